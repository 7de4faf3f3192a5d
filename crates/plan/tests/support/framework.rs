//! What the framework says in a cluster where every source says the same, and what may be wrong
//! with it.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proptest::prelude::*;
use tarsops_model::component::Component;
use tarsops_model::desired::{Database, Resource, SecretRef, Server, Tls};
use tarsops_model::framework::{
    AdminFacts, Answer, Asked, DatabaseFacts, FrameworkFacts, NodeLabels, NodeRow, Protection,
    RegistryRow, Rows, TemplateRow,
};
use tarsops_model::host::NodeState;
use tarsops_model::inventory::Facts;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::World;
use super::damage;

pub const QUERY: &str = "tars.tarsregistry.QueryObj";

/// A cluster in which every source says the same.
pub fn world(count: usize) -> World {
    speaking(World::new(count))
}

/// A component beside the tarsnode of `node`, of the cluster's version.
pub fn server_on(w: &World, node: &NodeName) -> Server {
    let agent = w.desired.agent(node).unwrap();
    Server {
        rows: tarsops_model::desired::RowSettings::default(),
        version: agent.version,
        tars_path: agent.tars_path.clone(),
        run_user: agent.run_user.clone(),
        ip: agent.ip,
        replace_unknown: agent.replace_unknown,
        allow_downgrade: agent.allow_downgrade,
    }
}

/// The cluster, with a framework that says what the hosts say.
pub fn speaking(mut w: World) -> World {
    let database = Database {
        address: "10.0.0.9:3306".parse().unwrap(),
        user: "tarsAdmin".to_owned(),
        password: SecretRef::File(PathBuf::from("password")),
        via: None,
        tls: Tls::Prefer,
        fingerprint: None,
    };
    w.desired
        .resources
        .insert(ResourceId::Schema, Resource::Schema(database));
    // Registries run where the spec has their endpoints.
    let places: Vec<NodeName> = w
        .desired
        .hosts()
        .filter(|(_, h)| w.desired.registries.contains(&Endpoint::at(h.ip, 17890)))
        .map(|(n, _)| n.clone())
        .collect();
    for node in places {
        let server = server_on(&w, &node);
        w.desired.resources.insert(
            ResourceId::Server(Component::Tarsregistry, node.clone()),
            Resource::Server(server),
        );
        if let Some(host) = damage::host_of(&mut w, &node) {
            brought_up(host);
        }
    }
    let nodes: Vec<_> = w.desired.hosts().map(|(n, h)| (n.clone(), h.ip)).collect();
    let servants = nodes
        .iter()
        .map(|(node, ip)| {
            let servant = "tars.tarsnode.ServerObj";
            let asked = Asked {
                component: Component::Tarsnode,
                node: node.clone(),
                servant: servant.to_owned(),
                at: Endpoint::at(*ip, 19386),
                answer: Answer::Answers,
            };
            (format!("{servant}@{node}"), asked)
        })
        .collect();
    let present = |text: &str| Observed::Present(text.to_owned());
    let rows = Rows {
        nodes: Observed::Present(
            nodes
                .iter()
                .map(|(node, _)| {
                    let row = NodeRow {
                        name: node.to_string(),
                        present: Some("active".to_owned()),
                        heartbeat_age: Some(3),
                        ..NodeRow::default()
                    };
                    (node.to_string(), row)
                })
                .collect(),
        ),
        servers: Observed::Present(vec![]),
        adapters: Observed::Present(vec![]),
        registries: Observed::Present(
            w.desired
                .registries
                .iter()
                .map(|at| registry(&at.to_string(), "active", 5))
                .collect(),
        ),
        templates: Observed::Present(vec![]),
        columns: columns(),
        console: tarsops_model::console::ConsoleTables::default(),
    };
    w.inventory.framework = Some(Box::new(FrameworkFacts {
        servants,
        registries: w
            .desired
            .registries
            .iter()
            .map(|at| (at.clone(), Answer::Answers))
            .collect(),
        admin: Observed::Present(AdminFacts {
            version: present("3.0.17"),
            nodes: Observed::Present(nodes.iter().map(|(n, _)| n.to_string()).collect()),
            connections: nodes
                .iter()
                .map(|(n, _)| (n.clone(), present("now")))
                .collect(),
            pings: nodes
                .iter()
                .map(|(n, _)| (n.clone(), Observed::Present(true)))
                .collect(),
            servers: BTreeMap::new(),
        }),
        database: Observed::Present(DatabaseFacts {
            server: "11.4".to_owned(),
            protection: Observed::Present(Protection::Authority),
            clock_skew: 0,
            read_only: Observed::Present(false),
            databases: BTreeMap::new(),
            rows: Observed::Present(rows),
            default_login: Observed::Present(false),
        }),
        console: Observed::Absent,
    }));
    w
}

/// The columns of a database that lacks none of those that releases have added.
pub fn columns() -> BTreeMap<String, Observed<BTreeSet<String>>> {
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for addition in tarsops_model::framework::ADDITIONS {
        let table = out.entry(addition.table.to_owned()).or_default();
        table.insert("id".to_owned());
        table.insert(addition.column.to_owned());
    }
    out.into_iter()
        .map(|(table, columns)| (table, Observed::Present(columns)))
        .collect()
}

pub fn registry(at: &str, present: &str, age: i64) -> RegistryRow {
    RegistryRow {
        locator: at.to_owned(),
        servant: QUERY.to_owned(),
        present: Some(present.to_owned()),
        heartbeat_age: Some(age),
        ..RegistryRow::default()
    }
}

pub fn framework(w: &mut World) -> &mut FrameworkFacts {
    w.inventory.framework.as_mut().unwrap()
}

pub fn database(w: &mut World) -> &mut DatabaseFacts {
    match &mut framework(w).database {
        Observed::Present(facts) => facts,
        _ => panic!("it has no database"),
    }
}

pub fn rows(w: &mut World) -> &mut Rows {
    match &mut database(w).rows {
        Observed::Present(rows) => rows,
        _ => panic!("it has no rows"),
    }
}

pub fn list<T>(seen: &mut Observed<Vec<T>>) -> &mut Vec<T> {
    match seen {
        Observed::Present(all) => all,
        _ => panic!("the table was not read"),
    }
}

pub fn admin(w: &mut World) -> &mut AdminFacts {
    match &mut framework(w).admin {
        Observed::Present(admin) => admin,
        _ => panic!("it has no AdminRegistry"),
    }
}

/// The host's registry is installed and runs.
pub fn brought_up(host: &mut tarsops_model::host::HostFacts) {
    for seen in [&mut host.components, &mut host.installed] {
        if let Observed::Present(all) = seen {
            all.insert("tarsregistry".to_owned());
        }
    }
    if let Observed::Present(ports) = &mut host.ports {
        ports.extend([17890, 17891]);
    }
}

/// A password that is in a live template and must be in nothing that is written or printed.
pub const PASSWORD: &str = "geheim-im-template";

/// Templates as two releases ship them.
pub fn shipped(new: bool) -> BTreeMap<String, String> {
    let (timeout, more) = if new {
        (300, "fresh=1\n")
    } else {
        (250, "gone=1\n")
    };
    let db = "<db>\ndbhost=db.tars.com\ndbuser=tars\ndbpass=tars2015\ndbport=3306\n</db>\n";
    [
        (
            "tars.default",
            "<tars>\nlog=TARS_PATH/log\n</tars>\n".to_owned(),
        ),
        (
            "tars.framework-db",
            format!("<tars>\n{db}charset={timeout}\n</tars>\n"),
        ),
        (
            "tars.tarsregistry",
            format!("<tars>\n<reap>\nnodeTimeout={timeout}\nsame=1\n{more}</reap>\n</tars>\n"),
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// A row as the installer writes it.
pub fn template(name: &str, text: &str) -> TemplateRow {
    let text = text
        .replace("TARS_PATH", "/usr/local/app/tars")
        .replace("db.tars.com", "10.0.0.9")
        .replace("tars2015", PASSWORD);
    let parent = tarsops_model::framework::parent_of(name);
    TemplateRow::with_text(name, parent, &text)
}

/// The cluster runs 3.0.16 by AdminRegistry's word, has the templates of that release, and is to
/// have those of 3.0.17, which are pinned as well.
pub fn with_templates(mut w: World) -> World {
    let (old, new) = ("3.0.16".parse().unwrap(), "3.0.17".parse().unwrap());
    w.catalog.templates = [(old, shipped(false)), (new, shipped(true))].into();
    admin(&mut w).version = Observed::Present("3.0.16".to_owned());
    let rows = rows(&mut w);
    let all = shipped(false);
    rows.templates = Observed::Present(all.iter().map(|(n, t)| template(n, t)).collect());
    w
}

/// Replaces the live text of a template.
pub fn edit(w: &mut World, name: &str, change: impl Fn(&str) -> String) {
    for row in list(&mut rows(w).templates).iter_mut() {
        if row.name == name {
            let text = change(row.text.as_ref().unwrap().expose());
            *row = TemplateRow::with_text(name, row.parent.as_deref().unwrap(), &text);
        }
    }
}

/// How many kinds of [`unspoken`] there are.
pub const KINDS: u8 = 27;

/// Damages what the framework says, or what it says against the host of `node`.
pub fn unspoken(w: &mut World, node: &NodeName, kind: u8) {
    let name = node.to_string();
    let at = w.desired.host(node).map(|h| Endpoint::at(h.ip, 17890));
    let Some(at) = at else { return };
    let Some(framework) = w.inventory.framework.as_deref_mut() else {
        return;
    };
    let Observed::Present(facts) = &mut framework.database else {
        return;
    };
    match kind {
        0 => framework.database = Observed::Unknown("no way".to_owned()),
        1 => facts.rows = Observed::Unknown("no privilege".to_owned()),
        2 => framework.admin = Observed::Unknown("no answer".to_owned()),
        3 => {
            for answer in framework.registries.values_mut() {
                *answer = Answer::Silent("no answer".to_owned());
            }
        }
        4 => {
            if let Observed::Present(admin) = &mut framework.admin {
                admin.pings.insert(node.clone(), Observed::Present(false));
            }
        }
        5 => {
            let key = format!("tars.tarsnode.ServerObj@{node}");
            if let Some(asked) = framework.servants.get_mut(&key) {
                asked.answer = Answer::Refused;
            }
        }
        // A registry that is down, known or not, on its host or not.
        6 | 7 => {
            if let Some(answer) = framework.registries.get_mut(&at) {
                *answer = if kind == 6 {
                    Answer::Refused
                } else {
                    Answer::Mute("it hangs".to_owned())
                };
            }
            if let Some(host) = damage::host_of(w, node) {
                if let Observed::Present(all) = &mut host.components {
                    all.remove("tarsregistry");
                }
                if let Observed::Present(ports) = &mut host.ports {
                    ports.remove(&17890);
                    ports.remove(&17891);
                }
            }
            let id = ResourceId::Server(Component::Tarsregistry, node.clone());
            if let Some(Observed::Present(Facts::Server(server))) =
                w.inventory.resources.get_mut(&id)
            {
                server.processes = Observed::Present(vec![]);
            }
        }
        // A registry that the spec does not name.
        8 => {
            if !w.desired.registries.contains(&at)
                && let Some(host) = damage::host_of(w, node)
            {
                brought_up(host);
            }
        }
        _ => {
            let Observed::Present(rows) = &mut facts.rows else {
                return;
            };
            match (kind, &mut rows.nodes, &mut rows.registries) {
                (9, Observed::Present(nodes), _) => drop(nodes.remove(&name)),
                (10..=13, Observed::Present(nodes), _) => {
                    if let Some(row) = nodes.get_mut(&name) {
                        match kind {
                            10 => row.present = Some("inactive".to_owned()),
                            11 => row.label = Some("{\"idc\":\"sz\"}".to_owned()),
                            12 => row.group_id = Some(3),
                            _ => row.heartbeat_age = Some(4000),
                        }
                    }
                }
                (14, _, Observed::Present(all)) => {
                    for row in all.iter_mut().filter(|r| r.locator == at.to_string()) {
                        row.heartbeat_age = Some(500);
                    }
                }
                (15, _, Observed::Present(all)) => {
                    all.push(registry("10.9.9.9:17890", "inactive", 900));
                }
                (16, _, registries) => *registries = Observed::Unknown("no privilege".to_owned()),
                (17, _, _) => rows.servers = Observed::Unknown("no privilege".to_owned()),
                (19, _, _) => rows.templates = Observed::Unknown("no privilege".to_owned()),
                (20, _, _) => drop(rows.columns.remove("t_server_conf")),
                (21, _, _) => drop(
                    rows.columns
                        .insert("t_base_image".to_owned(), Observed::Absent),
                ),
                (22, _, _) => {
                    if let Some(Observed::Present(all)) = rows.columns.get_mut("t_server_conf") {
                        all.remove("run_type");
                    }
                }
                (23..=26, _, _) => {
                    if let Observed::Present(all) = &mut rows.templates {
                        if kind == 23 {
                            all.retain(|t| t.name != "tars.tarsregistry");
                        }
                        for row in all.iter_mut().filter(|t| t.name == "tars.tarsregistry") {
                            let text = row.text.as_ref().unwrap().expose();
                            let text = match kind {
                                24 => text.replace("same=1", "same=2\nmine=1"),
                                25 => text.replace("=250", "=400"),
                                _ => text.replace("</reap>", ""),
                            };
                            *row = template("tars.tarsregistry", &text);
                        }
                    }
                }
                _ => {
                    if let Some(host) = damage::host_of(w, node) {
                        host.labels = Some(NodeLabels {
                            label: Some("kept".to_owned()),
                            group_id: None,
                            row: None,
                        });
                    }
                }
            }
        }
    }
}

/// A cluster whose sources say different things, with a few things wrong on its hosts as well.
pub fn babel() -> impl Strategy<Value = World> {
    let said = prop::collection::vec((0..KINDS, any::<prop::sample::Index>()), 0..6);
    let gone = prop::option::of(any::<prop::sample::Index>());
    let harm = (
        0..super::core::HARMS,
        0..10usize,
        any::<prop::sample::Index>(),
    );
    let core = prop::option::of((
        prop::collection::vec(harm, 0..4),
        any::<bool>(),
        any::<bool>(),
    ));
    (damage::worlds(), said, gone, core).prop_map(|(world, said, gone, core)| {
        let mut w = with_templates(speaking(world));
        let nodes: Vec<NodeName> = w.desired.hosts().map(|(n, _)| n.clone()).collect();
        if let Some((harms, gap, basic)) = core {
            w = super::core::serving(w);
            if basic {
                w = super::core::publishing(w);
            }
            w.desired.policy.registry_gap = gap;
            for (kind, component, at) in harms {
                let all = tarsops_plan::components::CORE.into_iter();
                let all: Vec<_> = all.chain(tarsops_plan::components::BASIC).collect();
                let component = all[component];
                super::core::harm(&mut w, component, at.get(&nodes), kind);
            }
        }
        for (kind, at) in said {
            unspoken(&mut w, at.get(&nodes), kind);
        }
        if let Some(at) = gone {
            let id = ResourceId::Host(at.get(&nodes).clone());
            if let Some(Resource::Host(host)) = w.desired.resources.get_mut(&id)
                && host.role == tarsops_model::component::Role::Node
            {
                host.state = NodeState::Gone;
            }
        }
        w
    })
}

/// How many sources [`hush`] knows.
pub const WORDS: u8 = 13;

/// Takes a source's word away.
pub fn hush(w: &mut World, node: &NodeName, sight: u8) {
    let why = || "it was not seen".to_owned();
    let at = w.desired.host(node).map(|h| Endpoint::at(h.ip, 17890));
    if sight == 11 {
        let all = tarsops_plan::components::CORE.into_iter();
        for component in all.chain(tarsops_plan::components::BASIC) {
            let id = ResourceId::Server(component, node.clone());
            if w.inventory.resources.contains_key(&id) {
                w.inventory.resources.insert(id, Observed::Unknown(why()));
            }
        }
        return;
    }
    let Some(framework) = w.inventory.framework.as_deref_mut() else {
        return;
    };
    match sight {
        0 => framework.database = Observed::Unknown(why()),
        1 => framework.admin = Observed::Unknown(why()),
        2 => {
            for asked in framework.servants.values_mut() {
                asked.answer = Answer::Silent(why());
            }
        }
        3 => {
            if let Some(answer) = at.and_then(|at| framework.registries.get_mut(&at)) {
                *answer = Answer::Silent(why());
            }
        }
        4 => {
            if let Observed::Present(admin) = &mut framework.admin {
                admin.pings.insert(node.clone(), Observed::Unknown(why()));
            }
        }
        _ => {
            if let Observed::Present(facts) = &mut framework.database
                && let Observed::Present(rows) = &mut facts.rows
            {
                match sight {
                    5 => rows.nodes = Observed::Unknown(why()),
                    6 => rows.registries = Observed::Unknown(why()),
                    7 => rows.servers = Observed::Unknown(why()),
                    8 => rows.templates = Observed::Unknown(why()),
                    9 => rows.columns.clear(),
                    10 => rows.adapters = Observed::Unknown(why()),
                    _ => facts.rows = Observed::Unknown(why()),
                }
            }
        }
    }
}

/// The row of the node number `i`, counted from 0.
pub fn node_row(w: &mut World, i: usize) -> &mut NodeRow {
    let name = w.node(i).to_string();
    match &mut rows(w).nodes {
        Observed::Present(nodes) => nodes.get_mut(&name).unwrap(),
        _ => panic!("the table was not read"),
    }
}

/// All rows of nodes.
pub fn node_rows(w: &mut World) -> &mut BTreeMap<String, NodeRow> {
    match &mut rows(w).nodes {
        Observed::Present(nodes) => nodes,
        _ => panic!("the table was not read"),
    }
}
