//! The core services of a cluster, in sync with its spec, and what may be wrong with them.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Resource, SettingValue};
use tarsops_model::framework::{AdapterRow, Answer, Asked, ServerRow, ServerView, server_key};
use tarsops_model::inventory::Facts;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;
use tarsops_plan::components::{BASIC, CORE};

use super::framework::{admin, framework, list, rows, server_on};
use super::{USER, VERSION, VERSIONS, World, core_binary, core_package, damage, version};

/// A cluster of which every source says the same, with pinned core services that run.
pub fn world(count: usize) -> World {
    serving(super::framework::world(count))
}

/// The core services where the framework's installer puts them.
pub fn serving(w: World) -> World {
    with(w, &CORE)
}

/// The basic services beside them, where the installer puts them.
pub fn publishing(w: World) -> World {
    with(w, &BASIC)
}

fn with(mut w: World, components: &[Component]) -> World {
    for component in components {
        for text in VERSIONS {
            w.catalog.insert(core_package(*component, text));
        }
    }
    let hosts: Vec<(NodeName, Role, std::net::IpAddr)> = w
        .desired
        .hosts()
        .filter(|(_, h)| h.role.is_framework())
        .map(|(n, h)| (n.clone(), h.role, h.ip))
        .collect();
    for (node, role, ip) in hosts {
        for component in components.iter().filter(|c| c.placed_on(role)) {
            place(&mut w, *component, &node, ip);
        }
    }
    w
}

pub fn place(w: &mut World, component: Component, node: &NodeName, ip: std::net::IpAddr) {
    let id = ResourceId::Server(component, node.clone());
    let server = server_on(w, node);
    w.desired.resources.insert(id, Resource::Server(server));
    let facts = Observed::Present(in_sync(component));
    w.inventory.insert_server(component, node, facts);
    if let Some(host) = damage::host_of(w, node) {
        for seen in [&mut host.components, &mut host.installed] {
            if let Observed::Present(all) = seen {
                all.insert(component.name().to_owned());
            }
        }
        if let Observed::Present(ports) = &mut host.ports {
            ports.extend(component.servants().iter().map(|(_, port)| *port));
        }
    }
    list(&mut rows(w).servers).push(ServerRow {
        application: "tars".to_owned(),
        server: component.name().to_owned(),
        node: node.to_string(),
        setting: Some("active".to_owned()),
        present: Some("active".to_owned()),
        ..ServerRow::default()
    });
    for (servant, port) in component.servants() {
        list(&mut rows(w).adapters).push(AdapterRow {
            application: "tars".to_owned(),
            server: component.name().to_owned(),
            node: node.to_string(),
            adapter: format!("{servant}Adapter"),
            servant: Some((*servant).to_owned()),
            endpoint: Some(format!("tcp -h {ip} -t 60000 -p {port}")),
            protocol: Some("tars".to_owned()),
            ..AdapterRow::default()
        });
        let asked = Asked {
            component,
            node: node.clone(),
            servant: (*servant).to_owned(),
            at: Endpoint::at(ip, *port),
            answer: Answer::Answers,
        };
        let key = format!("{servant}@{node}");
        framework(w).servants.insert(key, asked);
    }
    let view = ServerView {
        setting: "active".to_owned(),
        present: "active".to_owned(),
        in_node: "Active".to_owned(),
        pid: 42,
        patch_version: String::new(),
        library: Observed::Absent,
    };
    let key = server_key(component, node);
    admin(w).servers.insert(key, Observed::Present(view));
}

fn in_sync(component: Component) -> ServerFacts {
    ServerFacts {
        binary: Observed::Present(FileFact {
            digest: core_binary(component, VERSION),
            size: 30 << 20,
            mode: 0o755,
            owner: USER.to_owned(),
        }),
        processes: Observed::Present(vec![ProcessFact {
            pid: 42,
            exe: Observed::Present(core_binary(component, VERSION)),
            exe_deleted: false,
            user: USER.to_owned(),
            nodeid: None,
            config: None,
        }]),
    }
}

/// What was seen of a component on a node.
pub fn facts<'a>(w: &'a mut World, component: Component, node: &NodeName) -> &'a mut ServerFacts {
    let id = ResourceId::Server(component, node.clone());
    match w.inventory.resources.get_mut(&id) {
        Some(Observed::Present(Facts::Server(facts))) => facts,
        _ => panic!("{id} was not seen"),
    }
}

/// The spec asks for another version of everything.
pub fn ask_for(w: &mut World, text: &str) {
    for resource in w.desired.resources.values_mut() {
        match resource {
            Resource::Server(server) => server.version = version(text),
            Resource::Agent(agent) => agent.version = version(text),
            _ => {}
        }
    }
}

/// How many kinds of [`harm`] there are.
pub const HARMS: u8 = 15;

/// Damages a component, or what is seen of it.
pub fn harm(w: &mut World, component: Component, node: &NodeName, kind: u8) {
    let id = ResourceId::Server(component, node.clone());
    if !matches!(
        w.inventory.resources.get(&id),
        Some(Observed::Present(Facts::Server(_)))
    ) {
        return;
    }
    let other = core_binary(component, "3.0.16");
    match kind {
        0 => {
            let unseen = Observed::Unknown("no access".to_owned());
            w.inventory.insert_server(component, node, unseen);
        }
        1 => facts(w, component, node).binary = Observed::Unknown("no access".to_owned()),
        2 => facts(w, component, node).processes = Observed::Unknown("no root".to_owned()),
        // An older file, run or not.
        3 | 4 => {
            let facts = facts(w, component, node);
            if let Observed::Present(file) = &mut facts.binary {
                file.digest = other;
            }
            if let (4, Observed::Present(all)) = (kind, &mut facts.processes) {
                for one in all {
                    one.exe = Observed::Present(other);
                }
            }
        }
        // The file is right, and the process is not.
        5 => {
            if let Observed::Present(all) = &mut facts(w, component, node).processes {
                for one in all {
                    one.exe = Observed::Present(other);
                    one.exe_deleted = true;
                }
            }
        }
        6 => {
            let unknown = tarsops_model::digest::Digest::of(b"built by hand");
            if let Observed::Present(file) = &mut facts(w, component, node).binary {
                file.digest = unknown;
            }
        }
        8..=14 => rows_of(w, component, node, kind),
        _ => {
            facts(w, component, node).processes = Observed::Present(vec![]);
            if let Some(host) = damage::host_of(w, node)
                && let Observed::Present(all) = &mut host.components
            {
                all.remove(component.name());
            }
        }
    }
}

/// Rows that differ, or that the spec has a word about.
fn rows_of(w: &mut World, component: Component, node: &NodeName, kind: u8) {
    if let Some(host) = damage::host_of(w, node)
        && kind == 8
    {
        host.restarts.insert(component);
    }
    let id = ResourceId::Server(component, node.clone());
    if let (Some(Resource::Server(server)), true, 9) =
        (w.desired.resources.get_mut(&id), component.is_basic(), kind)
    {
        server.rows.set("thread_num", SettingValue::Number(7));
        let template = SettingValue::Text("tars.default".to_owned());
        server.rows.set("template_name", template);
    }
    if !component.is_basic() {
        return;
    }
    let own = |r: &AdapterRow| r.server == component.name() && r.node == node.as_str();
    let all = list(&mut rows(w).adapters);
    match kind {
        10 => all.retain(|r| !own(r)),
        11 => {
            if let Some(row) = all.iter().find(|r| own(r)).cloned() {
                all.push(AdapterRow {
                    adapter: "tars.other.OtherObjAdapter".to_owned(),
                    servant: Some("tars.other.OtherObj".to_owned()),
                    ..row
                });
            }
        }
        12 | 13 => {
            for row in all.iter_mut().filter(|r| own(r)) {
                row.endpoint = Some("tcp -h 10.0.0.99 -t 60000 -p 5".to_owned());
                row.threads = Some(3);
                if kind == 13 {
                    let old = row.servant.as_deref().and_then(Component::renamed);
                    row.servant = old.map(str::to_owned).or(row.servant.take());
                    row.protocol = Some("not_tars".to_owned());
                }
            }
        }
        14 => {
            let servers = list(&mut rows(w).servers);
            for row in servers {
                if row.server == component.name() && row.node == node.as_str() {
                    row.template = None;
                    row.setting = Some("inactive".to_owned());
                }
            }
        }
        _ => {}
    }
}
