//! Nodes, roles and placement, from the rows, from AdminRegistry and from the hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_conf::{Document, tarsnode};
use tarsops_model::component::{Component, Role};
use tarsops_model::framework::{NodeRow, RegistryRow, Rows, ServerRow};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{Endpoint, HostAddress, NodeName};
use tarsops_model::observed::Observed;

use super::given::Given;

/// The port of a registry (`deploy/framework/conf/tarsregistry`).
const REGISTRY_PORT: u16 = 17890;
/// The servant by which a registry is known in `t_registry_info`.
const QUERY_OBJ: &str = "tars.tarsregistry.QueryObj";
/// The application of the framework's own servers.
const APPLICATION: &str = "tars";

/// A node as it will be in the spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) ip: IpAddr,
    pub(super) address: Option<HostAddress>,
    pub(super) role: Role,
    pub(super) labels: BTreeMap<String, String>,
    /// Why its host was not seen, where nobody could look.
    pub(super) unseen: Option<String>,
}

/// What a spec says of its nodes.
#[derive(Debug, Clone)]
pub(super) struct Cluster {
    pub(super) nodes: BTreeMap<NodeName, Node>,
    pub(super) master: NodeName,
    /// Where each component is, as far as the sources know.
    pub(super) placed: BTreeMap<Component, BTreeSet<NodeName>>,
    pub(super) registries: BTreeSet<Endpoint>,
}

/// The rows, if they were read.
pub(super) fn rows(inventory: &Inventory) -> Option<&Rows> {
    match inventory.framework.as_deref()?.rows() {
        Observed::Present(rows) => Some(rows),
        Observed::Absent | Observed::Unknown(_) => None,
    }
}

/// The rows of the framework's own servers, with the component of each.
fn own_servers(rows: &Rows) -> impl Iterator<Item = (Component, &ServerRow)> {
    let all = rows.servers.present().into_iter().flatten();
    all.filter(|row| row.application == APPLICATION)
        .filter_map(|row| Some((row.server.parse().ok()?, row)))
}

impl Cluster {
    pub(super) fn read(given: &Given, inventory: &Inventory, notes: &mut Vec<String>) -> Self {
        let mut nodes = nodes(given, inventory, notes);
        let mut placed = placement(inventory, &nodes);
        one_tarslog(&mut placed, notes);
        let of = |component| placed.get(&component).cloned().unwrap_or_default();
        let (admins, registries) = (
            of(Component::TarsAdminRegistry),
            of(Component::Tarsregistry),
        );
        let master = master(given, &admins, &registries);
        if admins.len() > 1 {
            let others: Vec<&str> = admins
                .iter()
                .filter(|n| **n != master)
                .map(NodeName::as_str)
                .collect();
            notes.push(format!(
                "tarsAdminRegistry is on {} as well, and a spec has one master: {master} was chosen",
                others.join(", ")
            ));
        }
        for (name, node) in &mut nodes {
            node.role = if *name == master {
                Role::Master
            } else if registries.contains(name) {
                Role::Slave
            } else {
                Role::Node
            };
        }
        let endpoints = endpoints(inventory, &nodes, &registries, &master);
        strangers(inventory, &nodes, &endpoints, notes);
        Self {
            nodes,
            master,
            placed,
            registries: endpoints,
        }
    }

    /// Where the roles place a component by themselves.
    pub(super) fn by_role(&self, component: Component) -> BTreeSet<NodeName> {
        let there = self
            .nodes
            .iter()
            .filter(|(_, n)| component.placed_on(n.role));
        there.map(|(name, _)| name.clone()).collect()
    }
}

/// All nodes that the sources name.
fn nodes(
    given: &Given,
    inventory: &Inventory,
    notes: &mut Vec<String>,
) -> BTreeMap<NodeName, Node> {
    let start = &given.start;
    let framework = inventory.framework.as_deref();
    let none = BTreeMap::new();
    let node_rows = rows(inventory)
        .and_then(|rows| rows.nodes.present())
        .unwrap_or(&none);
    let mut names: BTreeSet<String> = [start.node.to_string()].into();
    names.extend(node_rows.keys().cloned());
    let admin = framework.and_then(|f| f.admin.present());
    names.extend(
        admin
            .and_then(|a| a.nodes.present())
            .into_iter()
            .flatten()
            .cloned(),
    );
    let mut out: BTreeMap<NodeName, Node> = BTreeMap::new();
    let mut taken: BTreeMap<IpAddr, NodeName> = BTreeMap::new();
    for name in names {
        let Ok(node) = NodeName::new(name.clone()) else {
            notes.push(format!(
                "the framework has a node `{name}`, which is no name of a node"
            ));
            continue;
        };
        let row = node_rows.get(&name);
        let Some(ip) = address(given, inventory, &node, row) else {
            notes.push(format!(
                "nobody names an address of the node {node}; add it with its `ip`"
            ));
            continue;
        };
        if let Some(other) = taken.get(&ip) {
            notes.push(format!(
                "{node} has the address {ip} of {other}, and a spec has each address once; it is left out"
            ));
            continue;
        }
        taken.insert(ip, node.clone());
        let labels = row.map(|row| labels(&node, row, notes)).unwrap_or_default();
        let host = inventory.host(&node);
        let looked = inventory
            .resources
            .contains_key(&tarsops_model::resource::ResourceId::Host(node.clone()));
        let entry = Node {
            ip,
            address: start.address.clone().filter(|_| node == start.node),
            role: Role::Node,
            labels,
            unseen: host.unknown().filter(|_| looked).map(str::to_owned),
        };
        out.insert(node, entry);
    }
    out
}

/// The address that a node binds: of its row, of its name, or of its own configuration.
fn address(
    given: &Given,
    inventory: &Inventory,
    node: &NodeName,
    row: Option<&NodeRow>,
) -> Option<IpAddr> {
    if *node == given.start.node {
        return Some(given.start.ip);
    }
    let of_row = row
        .and_then(|row| row.endpoint_ip.as_deref())
        .and_then(|ip| ip.parse().ok());
    let of_conf = || {
        let Observed::Present(agent) = inventory.agent(node) else {
            return None;
        };
        let conf = Document::parse(&agent.conf.present()?.text).ok()?;
        tarsnode::read(&conf).localip?.parse().ok()
    };
    // A name that is an address is what the node binds (TarsCpp takes it as `localip`).
    node.as_ip().or(of_row).or_else(of_conf)
}

/// The labels of a node's row, as far as a spec can have them.
fn labels(node: &NodeName, row: &NodeRow, notes: &mut Vec<String>) -> BTreeMap<String, String> {
    let Some(text) = row.label.as_deref().filter(|text| !text.is_empty()) else {
        return BTreeMap::new();
    };
    let Ok(all) = serde_json::from_str::<BTreeMap<String, serde_json::Value>>(text) else {
        notes.push(format!(
            "the label of {node} in t_node_info is no JSON object; it is not in the spec"
        ));
        return BTreeMap::new();
    };
    let mut out = BTreeMap::new();
    for (key, value) in all {
        match value.as_str() {
            Some(value) if is_label(&key) && is_label(value) => {
                out.insert(key, value.to_owned());
            }
            _ => notes.push(format!(
                "the label `{key}` of {node} in t_node_info cannot be a label of a spec"
            )),
        }
    }
    out
}

/// Whether a text can be the name or the value of a label in a spec.
fn is_label(text: &str) -> bool {
    let first = text
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphanumeric());
    let rest = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    first && text.len() <= 63 && text.chars().all(rest)
}

/// Where each component is: its row says so, or it runs there. Where no rows could be read, one that is
/// installed counts as well.
fn placement(
    inventory: &Inventory,
    nodes: &BTreeMap<NodeName, Node>,
) -> BTreeMap<Component, BTreeSet<NodeName>> {
    let mut out: BTreeMap<Component, BTreeSet<NodeName>> = BTreeMap::new();
    let rows = rows(inventory);
    let by_ip: BTreeMap<String, &NodeName> = nodes
        .iter()
        .map(|(n, node)| (node.ip.to_string(), n))
        .collect();
    let mut add = |component, node: &str| {
        let name = NodeName::new(node).ok();
        if let Some(name) = name.filter(|name| nodes.contains_key(name)) {
            out.entry(component).or_default().insert(name);
        }
    };
    for (component, row) in rows.into_iter().flat_map(own_servers) {
        add(component, &row.node);
    }
    for at in rows.into_iter().flat_map(registered) {
        if let Some(name) = by_ip.get(at.host.as_str()) {
            add(Component::Tarsregistry, name.as_str());
        }
    }
    let believed = rows.is_some_and(|rows| rows.servers.present().is_some());
    for node in nodes.keys() {
        for component in Component::ALL {
            if component == Component::Tarsnode {
                continue;
            }
            if let Observed::Present(facts) = inventory.server(component, node)
                && (facts.runs() || !believed)
            {
                add(component, node.as_str());
            }
        }
    }
    out
}

/// A spec has one tarslog, as logs would be split otherwise: the first of several.
fn one_tarslog(placed: &mut BTreeMap<Component, BTreeSet<NodeName>>, notes: &mut Vec<String>) {
    let Some(on) = placed
        .get_mut(&Component::Tarslog)
        .filter(|on| on.len() > 1)
    else {
        return;
    };
    let all: Vec<&str> = on.iter().map(NodeName::as_str).collect();
    notes.push(format!(
        "tarslog is on {}, and a spec has one; the first one is in it",
        crate::names::compress(&all)
    ));
    let first = on.first().cloned();
    on.retain(|node| Some(node) == first.as_ref());
}

/// Where registries say that they are.
fn registered(rows: &Rows) -> impl Iterator<Item = Endpoint> {
    let all = rows.registries.present().into_iter().flatten();
    // AdminRegistry has rows of its own there.
    all.filter(|row| row.servant == QUERY_OBJ)
        .filter_map(|row: &RegistryRow| row.locator.parse().ok())
}

/// The master: where AdminRegistry is; the host at which the adoption began where that is one of several,
/// and where nobody says.
fn master(given: &Given, admins: &BTreeSet<NodeName>, registries: &BTreeSet<NodeName>) -> NodeName {
    let start = &given.start.node;
    let of = |all: &BTreeSet<NodeName>| all.get(start).or_else(|| all.iter().next()).cloned();
    of(admins)
        .or_else(|| of(registries))
        .unwrap_or_else(|| start.clone())
}

/// Where registries answer: on each node that has one, at the port of its own row.
fn endpoints(
    inventory: &Inventory,
    nodes: &BTreeMap<NodeName, Node>,
    registries: &BTreeSet<NodeName>,
    master: &NodeName,
) -> BTreeSet<Endpoint> {
    let rows = rows(inventory);
    let at = |ip: IpAddr| {
        let mut own = rows.into_iter().flat_map(registered);
        own.find(|at| at.host.as_str() == ip.to_string())
            .unwrap_or_else(|| Endpoint::at(ip, REGISTRY_PORT))
    };
    let mut out: BTreeSet<Endpoint> = registries
        .iter()
        .filter_map(|n| Some(at(nodes.get(n)?.ip)))
        .collect();
    if out.is_empty() {
        out.extend(nodes.get(master).map(|n| at(n.ip)));
    }
    out
}

/// Notes registries that configurations or rows name and that no node of the spec has.
fn strangers(
    inventory: &Inventory,
    nodes: &BTreeMap<NodeName, Node>,
    endpoints: &BTreeSet<Endpoint>,
    notes: &mut Vec<String>,
) {
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for at in rows(inventory).into_iter().flat_map(registered) {
        let by = named.entry(at.to_string()).or_default();
        by.insert("t_registry_info".to_owned());
    }
    for node in nodes.keys() {
        let Observed::Present(agent) = inventory.agent(node) else {
            continue;
        };
        let conf = agent.conf.present().map(|conf| Document::parse(&conf.text));
        let Some(Ok(conf)) = conf else { continue };
        for (host, port) in tarsnode::read(&conf).locator {
            let by = named.entry(format!("{host}:{port}")).or_default();
            by.insert(format!("the locator of {node}"));
        }
    }
    let has: BTreeSet<String> = endpoints.iter().map(ToString::to_string).collect();
    for (at, by) in named.iter().filter(|(at, _)| !has.contains(*at)) {
        let shown: Vec<&str> = by.iter().take(3).map(String::as_str).collect();
        let more = match by.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        notes.push(format!(
            "the registry {at} is named by {}{more}, and no registry was seen there",
            shown.join(", ")
        ));
    }
}
