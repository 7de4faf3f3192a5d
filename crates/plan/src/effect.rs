//! What an action does to an inventory: the simulation that the laws of the planner run on.
//!
//! It says what will be observed once an action has succeeded, and nothing else. It shares no code
//! with the scripts that do the work on hosts; the end-to-end tests compare the two.

use std::collections::BTreeMap;

use tarsops_model::agent::{AgentFacts, FileFact, OwnerFact, ProcessFact, TextFact};
use tarsops_model::digest::Digest;
use tarsops_model::host::HostFacts;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::action::{Action, AgentChange, Content, Folder};
use crate::assess::{BINARY, CONF};
use crate::crontab;

/// The inventory after `action` has succeeded.
#[must_use]
pub fn after(inventory: &Inventory, action: &Action) -> Inventory {
    let mut out = inventory.clone();
    apply(&mut out, action);
    out
}

/// Changes `inventory` to what will be seen once `action` has succeeded.
pub fn apply(inventory: &mut Inventory, action: &Action) {
    match action {
        Action::Recover { node, .. } => {
            if let Some(host) = host_mut(inventory, node) {
                host.unfinished = None;
            }
        }
        Action::ChangeAgent(change) => agent(inventory, change),
    }
}

fn host_mut<'a>(
    inventory: &'a mut Inventory,
    node: &tarsops_model::names::NodeName,
) -> Option<&'a mut HostFacts> {
    match inventory.resources.get_mut(&ResourceId::Host(node.clone())) {
        Some(Observed::Present(Facts::Host(host))) => Some(host),
        _ => None,
    }
}

fn agent(inventory: &mut Inventory, change: &AgentChange) {
    if let Some(host) = host_mut(inventory, &change.node) {
        if change.make_user {
            host.run_user = Observed::Present(());
        }
        if let Some(edit) = &change.crontab {
            let text = host.crontab.present().map(|t| crontab::without_guard(t));
            host.crontab = Observed::from(crontab::apply(text.as_deref(), &edit.edit));
        }
    }
    let id = ResourceId::Agent(change.node.clone());
    if change.folder == Folder::Remove || (change.folder == Folder::Keep && !change.health) {
        inventory.resources.insert(id, Observed::Absent);
        return;
    }
    let mut facts = match inventory.resources.get(&id) {
        Some(Observed::Present(Facts::Agent(facts))) if change.folder == Folder::Keep => {
            (**facts).clone()
        }
        _ => empty(),
    };
    let owner = change.run_user.to_string();
    for file in &change.files {
        place(&mut facts, file, &owner);
    }
    if change.own || change.folder == Folder::Create {
        facts.folder = Observed::Present(OwnerFact {
            owner: owner.clone(),
            mode: 0o755,
            strangers: vec![],
        });
    }
    if change.restart {
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
    }
    inventory
        .resources
        .insert(id, Observed::Present(Facts::Agent(Box::new(facts))));
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

fn place(facts: &mut AgentFacts, file: &crate::action::FileChange, owner: &str) {
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
            (Content::Package { .. } | Content::Before { .. }, _) => {
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
