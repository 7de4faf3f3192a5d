//! What will be seen of a host once its change has succeeded.

use std::collections::BTreeMap;

use tarsops_model::agent::{AgentFacts, FileFact, OwnerFact, ProcessFact, TextFact};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{Answer, NodeLabels, NodeRow};
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;

use super::change::HostChange;
use super::operation::{Content, CrontabChange, FileChange, Folder, Owner, Process, Restore};
use crate::actions::edit::edit_row;
use crate::actions::images::Images;
use crate::actions::kind::ActionKind;
use crate::actions::stop_server::StopServer;
use crate::crontab;
use crate::inventory_edit::{forget_registry, host_mut, keep, registry_alive, with_rows};
use crate::places::{BINARY, CONF, binary_path};

/// The files and the process of a component other than tarsnode.
fn files_of_server(inventory: &mut Inventory, change: &HostChange) {
    let id = ResourceId::Server(change.component, change.node.clone());
    if change.folder() == Folder::Remove {
        inventory.resources.insert(id, Observed::Absent);
        return;
    }
    if change.folder() == Folder::Create && change.restore().is_none() {
        let facts = ServerFacts {
            binary: Observed::Absent,
            processes: Observed::Present(vec![]),
        };
        let facts = Observed::Present(Facts::Server(Box::new(facts)));
        inventory.resources.insert(id.clone(), facts);
    }
    let Some(Observed::Present(Facts::Server(facts))) = inventory.resources.get_mut(&id) else {
        return;
    };
    for file in change.files() {
        if file.path == binary_path(change.component) {
            facts.binary = Observed::from(file.after.map(|digest| FileFact {
                digest,
                size: 0,
                mode: file.mode,
                owner: change.run_user.to_string(),
            }));
        }
    }
    if change.restarts() {
        let running = ProcessFact {
            pid: 1,
            exe: facts.binary.as_ref().map(|b| b.digest),
            exe_deleted: false,
            user: change.run_user.to_string(),
            nodeid: None,
            config: None,
        };
        facts.processes = Observed::Present(vec![running]);
    }
}

/// A server that was started answers and stands in the rows; one that was removed does neither.
pub(super) fn server(inventory: &mut Inventory, change: &HostChange, images: &Images) {
    files_of_server(inventory, change);
    let removed = change.folder() == Folder::Remove;
    let name = change.component.name();
    let after = host_mut(inventory, &change.node).and_then(|host| {
        let edit = change.crontab()?;
        Some(crontab_after(host, edit, images))
    });
    if !removed && !change.restarts() {
        if let Some(host) = host_mut(inventory, &change.node) {
            if let (Folder::Create, Observed::Present(all)) = (change.folder(), &mut host.installed)
            {
                all.insert(name.to_owned());
            }
            if let Some(crontab) = after {
                host.crontab = crontab;
            }
        }
        return;
    }
    if let Some(host) = host_mut(inventory, &change.node) {
        if let Observed::Present(all) = &mut host.components {
            if removed {
                all.remove(name);
            } else {
                all.insert(name.to_owned());
            }
        }
        if let Observed::Present(all) = &mut host.installed {
            if removed {
                all.remove(name);
            } else {
                all.insert(name.to_owned());
            }
        }
        if let Observed::Present(ports) = &mut host.ports {
            for (_, port) in change.component.servants() {
                if removed {
                    ports.remove(port);
                } else {
                    ports.insert(*port);
                }
            }
        }
        if let Some(crontab) = after {
            host.crontab = crontab;
        }
    }
    if let (Some(framework), false) = (&mut inventory.framework, removed) {
        for asked in framework.servants.values_mut() {
            if asked.component == change.component && asked.node == change.node {
                asked.answer = Answer::Answers;
            }
        }
    }
    if let Some(host) = host_mut(inventory, &change.node) {
        host.restarts.remove(&change.component);
    }
    with_rows(inventory, |rows| {
        for edit in change.rows() {
            edit_row(rows, edit);
        }
        if let (Observed::Present(all), false) = (&mut rows.servers, removed) {
            for row in all.iter_mut() {
                if row.server == name && row.node == change.node.as_str() {
                    row.present = Some("active".to_owned());
                    if change.publish().is_some() {
                        row.setting = Some("active".to_owned());
                        row.pid = Some(1);
                        row.library = Some("3.0.20".to_owned());
                    }
                }
            }
        }
    });
    let Some(at) = &change.registry() else {
        if removed && change.undoes().is_none() {
            // AdminRegistry has stopped it, and nobody answers any more.
            let stop = StopServer {
                component: change.component,
                node: change.node.clone(),
            };
            stop.effect(inventory, images);
        }
        return;
    };
    let locator = at.to_string();
    with_rows(inventory, |rows| {
        // A rollback deletes only rows that its own run wrote, by a step of its own.
        if removed && change.undoes().is_none() {
            forget_registry(rows, at, change.node.as_str());
        }
        keep(&mut rows.registries, |r| r.locator != locator);
    });
    if !removed {
        registry_alive(inventory, at);
    }
}

/// The files, the crontab and the process of a tarsnode, and what the framework knows of it.
pub(super) fn agent(inventory: &mut Inventory, change: &HostChange, images: &Images) {
    if let Some(host) = host_mut(inventory, &change.node) {
        if change.labels().is_some() {
            host.labels = None;
        }
        if change.owner() == Owner::NewRunUser {
            host.run_user = Observed::Present(());
        }
        if let Some(edit) = change.crontab() {
            host.crontab = crontab_after(host, edit, images);
        }
    }
    let id = ResourceId::Agent(change.node.clone());
    if change.folder() == Folder::Remove || change.process() == Process::Stop {
        inventory.resources.insert(id, Observed::Absent);
        return;
    }
    let saved = change.restore().map(Restore::saved_under);
    let saved = saved.and_then(|name| images.folder(&name));
    let mut facts = match (change.folder(), inventory.resources.get(&id)) {
        (Folder::Keep, Some(Observed::Present(Facts::Agent(facts)))) => (**facts).clone(),
        // Nothing of it is there, so a change can be one of the crontab only.
        (Folder::Keep, _) => return,
        (Folder::Create | Folder::Remove, _) => saved.cloned().unwrap_or_else(empty),
    };
    let owner = change.run_user.to_string();
    for file in change.files() {
        place(&mut facts, file, &owner, images);
    }
    let gives_back = change.restore().is_some_and(|restore| restore.owners);
    if let Some(before) = saved.filter(|_| gives_back) {
        facts.folder = before.folder.clone();
    }
    let installed = change.folder() == Folder::Create && change.restore().is_none();
    if change.owner() != Owner::Unchanged || installed {
        facts.folder = Observed::Present(OwnerFact {
            owner: owner.clone(),
            mode: 0o755,
            strangers: vec![],
        });
    }
    if change.restarts() {
        let exe = facts.binary.as_ref().map(|b| b.digest);
        let nodeid = facts
            .util
            .get("execute.sh")
            .and_then(Observed::present)
            .and_then(|s| tarsops_conf::util_script::nodeid(&s.text))
            .map(str::to_owned);
        facts.processes = Observed::Present(vec![ProcessFact {
            pid: 1,
            exe,
            exe_deleted: false,
            user: owner,
            nodeid,
            config: None,
        }]);
        facts.listening = Observed::Present(true);
        if let Some(nodeid) = nodeid_of(&facts).and_then(|id| id.parse().ok()) {
            registered(inventory, &nodeid, change.labels());
        }
    }
    inventory
        .resources
        .insert(id, Observed::Present(Facts::Agent(Box::new(facts))));
}

fn nodeid_of(facts: &AgentFacts) -> Option<String> {
    facts.processes.present()?.first()?.nodeid.clone()
}

/// A tarsnode that has started registers under its nodeid and connects to AdminRegistry.
fn registered(inventory: &mut Inventory, nodeid: &NodeName, labels: Option<&NodeLabels>) {
    let Some(framework) = &mut inventory.framework else {
        return;
    };
    if let Observed::Present(database) = &mut framework.database
        && let Observed::Present(rows) = &mut database.rows
        && let Observed::Present(nodes) = &mut rows.nodes
    {
        let row = NodeRow {
            name: nodeid.to_string(),
            node_obj: Some(String::new()),
            present: Some("active".to_owned()),
            setting: Some("active".to_owned()),
            group_id: Some(labels.and_then(|l| l.group_id).unwrap_or(-1)),
            label: labels.and_then(|l| l.label.clone()),
            heartbeat_age: Some(0),
            ..NodeRow::default()
        };
        nodes.insert(nodeid.to_string(), row);
    }
    if let Observed::Present(admin) = &mut framework.admin {
        admin.pings.insert(nodeid.clone(), Observed::Present(true));
        let now = Observed::Present("now".to_owned());
        admin.connections.insert(nodeid.clone(), now);
    }
}

const fn empty() -> AgentFacts {
    AgentFacts {
        folder: Observed::Absent,
        binary: Observed::Absent,
        conf: Observed::Absent,
        util: BTreeMap::new(),
        generated_conf: false,
        processes: Observed::Present(vec![]),
        listening: Observed::Present(false),
        servers: vec![],
    }
}

fn crontab_after(host: &HostFacts, change: &CrontabChange, images: &Images) -> Observed<String> {
    match &change.back {
        None => {
            let text = host.crontab.present().map(|t| crontab::without_guard(t));
            Observed::from(crontab::apply(text.as_deref(), &change.edit))
        }
        Some(back) => match back.digest {
            None => Observed::Absent,
            Some(digest) => images.text_of(digest),
        },
    }
}

fn place(facts: &mut AgentFacts, file: &FileChange, owner: &str, images: &Images) {
    let text = |old: Option<&TextFact>| -> Observed<TextFact> {
        match (&file.content, old) {
            (Content::Text(text), _) => Observed::Present(TextFact {
                text: text.clone(),
                mode: file.mode,
                owner: owner.to_owned(),
            }),
            (Content::None, Some(old)) if file.after.is_some() => Observed::Present(TextFact {
                mode: file.mode,
                ..old.clone()
            }),
            (Content::None, _) => Observed::Absent,
            (Content::Before { .. }, _) => match file.after {
                Some(digest) => images.text_of(digest).map(|text| TextFact {
                    text,
                    mode: file.mode,
                    owner: owner.to_owned(),
                }),
                None => Observed::Absent,
            },
            (Content::Package { .. }, _) => {
                Observed::Unknown("its content is not simulated".to_owned())
            }
        }
    };
    if file.path == BINARY {
        facts.binary = file.after.map_or(Observed::Absent, |digest: Digest| {
            Observed::Present(FileFact {
                digest,
                size: 0,
                mode: file.mode,
                owner: owner.to_owned(),
            })
        });
    } else if file.path == CONF {
        facts.conf = text(facts.conf.present());
    } else if let Some(name) = file.path.strip_prefix("tarsnode/util/") {
        let new = text(facts.util.get(name).and_then(Observed::present));
        facts.util.insert(name.to_owned(), new);
    }
}
