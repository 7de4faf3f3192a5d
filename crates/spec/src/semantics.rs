//! What must be true of the cluster as a whole.
//!
//! Every rule is one function that looks at the expanded nodes; none depends on another's result,
//! so that one run names everything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::component::{Component, Role};
use tarsops_model::names::NodeName;

use crate::document::{AdapterRules, Count, PackagesAt, State};
use crate::lower::{Check, policy};
use crate::members::{Member, more, nearest};
use crate::rules::Rule;

/// What the checks found out and lowering needs.
pub(crate) struct Facts {
    /// The node on which the lease lies.
    pub(crate) master: Option<NodeName>,
    /// Where each component but tarsnode runs.
    pub(crate) placement: BTreeMap<Component, BTreeSet<NodeName>>,
}

/// The expanded nodes by name.
pub(crate) type Nodes<'m, 'a> = BTreeMap<&'m NodeName, &'m Member<'a>>;

/// Runs all checks.
pub(crate) fn check(check: &mut Check<'_>, members: &[Member<'_>]) -> Facts {
    let nodes: Nodes<'_, '_> = members.iter().map(|m| (&m.name, m)).collect();
    let master = master(check, members);
    let placement = placement(check, members, &nodes);
    crate::versions::check(check, members, &placement);
    endpoints(check, members, &placement);
    rows(check);
    references(check, &nodes);
    crate::docker::check(check, members);
    crate::web::check(check, &nodes);
    overrides(check);
    rollout(check, members);
    Facts { master, placement }
}

fn master(check: &mut Check<'_>, members: &[Member<'_>]) -> Option<NodeName> {
    let masters: Vec<&Member<'_>> = members.iter().filter(|m| m.role == Role::Master).collect();
    let Some(first) = masters.first() else {
        let place = check.key("nodes");
        check.say(
            Rule::NoMaster,
            &place,
            "no node has the role `master`",
            "give it to the node that runs tarsAdminRegistry: `roles: [master]`",
        );
        return None;
    };
    if let Some(second) = masters.get(1) {
        let place = check.place(&format!("nodes/{}/roles", second.entry));
        let mut d = check.diagnostic(
            Rule::TwoMasters,
            &place,
            format!(
                "`{}`{} is a master beside `{}`",
                second.name,
                more(masters.len() - 1),
                first.name
            ),
            "exactly one node is the master; the others have `roles: [slave]` or none",
        );
        if second.entry != first.entry {
            let label = check.place(&format!("nodes/{}/roles", first.entry));
            d.related
                .push(check.label(&label, "the first master is here"));
        }
        check.push(d);
    }
    for m in masters.iter().filter(|m| m.leaves()) {
        let place = check.place(&format!("overrides/{}/state", m.name));
        check.say(
            Rule::MasterLeaving,
            &place,
            format!("the master `{}` cannot be taken away", m.name),
            "the lease of the cluster is there: make another node the master first",
        );
    }
    Some(first.name.clone())
}

fn placement(
    check: &mut Check<'_>,
    members: &[Member<'_>],
    nodes: &Nodes<'_, '_>,
) -> BTreeMap<Component, BTreeSet<NodeName>> {
    let spec = check.spec();
    let mut all = BTreeMap::new();
    for component in Component::ALL {
        let rules = spec.components.get(&component);
        let Some(list) = rules.and_then(|r| r.nodes.as_ref()) else {
            if component != Component::Tarsnode {
                let by_role = members.iter().filter(|m| component.placed_on(m.role));
                all.insert(component, by_role.map(|m| m.name.clone()).collect());
            }
            continue;
        };
        if component == Component::Tarsnode {
            let place = check.key("components/tarsnode/nodes");
            check.say(
                Rule::TarsnodePlacement,
                &place,
                "tarsnode runs on every node and cannot be placed",
                "remove `nodes` here; a node without tarsnode is no node: leave it out of `nodes`, \
                 or set `state: absent` in `overrides`",
            );
            continue;
        }
        let mut placed = BTreeSet::new();
        for (i, pattern) in list.iter().enumerate() {
            let path = format!("components/{component}/nodes/{i}");
            let names: Vec<NodeName> = pattern
                .expand()
                .into_iter()
                .filter_map(|n| NodeName::new(n).ok())
                .collect();
            let unknown: Vec<&NodeName> = names.iter().filter(|n| !nodes.contains_key(n)).collect();
            if let Some(first) = unknown.first() {
                let place = check.place(&path);
                let help = suggest(first, nodes);
                check.say(
                    Rule::ComponentUnknownNode,
                    &place,
                    format!(
                        "`{first}`{} is not listed under `nodes`",
                        more(unknown.len())
                    ),
                    help,
                );
            }
            let leaving = names
                .iter()
                .find(|n| nodes.get(n).is_some_and(|m| m.leaves()));
            if let Some(name) = leaving {
                leaves(
                    check,
                    &path,
                    name,
                    &format!("{component} cannot be placed on it"),
                );
            }
            placed.extend(names.into_iter().filter(|n| nodes.contains_key(n)));
        }
        if component == Component::Tarslog && placed.len() > 1 {
            let place = check.place("components/tarslog/nodes");
            check.say(
                Rule::TwoTarslogs,
                &place,
                format!(
                    "tarslog is placed on {} nodes, but there is one in a cluster",
                    placed.len()
                ),
                "keep one node: otherwise remote logs would be split",
            );
        }
        all.insert(component, placed);
    }
    all
}

pub(crate) fn suggest(name: &NodeName, nodes: &Nodes<'_, '_>) -> String {
    if let Some(range) = crate::range::meant(name.as_str()) {
        return format!("did you mean the range `{range}`? quote it inside `{{…}}`");
    }
    nearest(name, nodes.keys().copied()).map_or_else(
        || "list it under `nodes`, or correct the name".to_owned(),
        |n| format!("did you mean `{n}`?"),
    )
}

/// Says that something relies on a node that goes.
pub(crate) fn leaves(check: &mut Check<'_>, path: &str, name: &NodeName, what: &str) {
    let place = check.place(path);
    let label = check.place(&format!("overrides/{name}/state"));
    let mut d = check.diagnostic(
        Rule::LeavingNode,
        &place,
        format!("the node `{name}` is taken away, so {what}"),
        "name another node here, or keep this one",
    );
    d.related.push(check.label(&label, "taken away here"));
    check.push(d);
}

fn endpoints(
    check: &mut Check<'_>,
    members: &[Member<'_>],
    placement: &BTreeMap<Component, BTreeSet<NodeName>>,
) {
    let spec = check.spec();
    let none = BTreeSet::new();
    let registries = placement.get(&Component::Tarsregistry).unwrap_or(&none);
    let by_ip: BTreeMap<IpAddr, &Member<'_>> = members.iter().rev().map(|m| (m.ip, m)).collect();
    let mut seen: BTreeMap<(IpAddr, u16), usize> = BTreeMap::new();
    let mut named: BTreeSet<IpAddr> = BTreeSet::new();
    for (i, endpoint) in spec.registry.endpoints.iter().enumerate() {
        let path = format!("registry/endpoints/{i}");
        let host = endpoint.host.as_str();
        let Ok(ip) = host.parse::<IpAddr>() else {
            let place = check.place(&path);
            check.say(
                Rule::RegistryNotFramework,
                &place,
                format!("the registry endpoint names the host `{host}`, not an IP address"),
                "write the ip of the framework node, as its registry binds it",
            );
            continue;
        };
        if let Some(first) = seen.get(&(ip, endpoint.port)) {
            let place = check.place(&path);
            let label = check.place(&format!("registry/endpoints/{first}"));
            let mut d = check.diagnostic(
                Rule::DuplicateEndpoint,
                &place,
                format!("the registry endpoint `{endpoint}` is listed twice"),
                "remove one of them",
            );
            d.related.push(check.label(&label, "first listed here"));
            check.push(d);
            continue;
        }
        seen.insert((ip, endpoint.port), i);
        named.insert(ip);
        match by_ip.get(&ip) {
            None => {
                let place = check.place(&path);
                check.say(
                    Rule::RegistryNotFramework,
                    &place,
                    format!("no node has the ip of the registry endpoint `{endpoint}`"),
                    "list the node with `roles: [slave]`, or correct the endpoint",
                );
            }
            Some(m) if !registries.contains(&m.name) => {
                let place = check.place(&path);
                let label = check.place(&format!("nodes/{}/name", m.entry));
                let mut d = check.diagnostic(
                    Rule::RegistryNotFramework,
                    &place,
                    format!("the registry endpoint `{endpoint}` is on a node without a registry"),
                    "give the node `roles: [slave]`, or remove the endpoint",
                );
                d.related.push(check.label(&label, "the node is here"));
                check.push(d);
            }
            Some(m) if m.leaves() => {
                leaves(check, &path, &m.name, "its registry cannot be an endpoint");
            }
            Some(_) => {}
        }
    }
    for m in members {
        if registries.contains(&m.name) && !m.leaves() && !named.contains(&m.ip) {
            let place = check.place(&format!("nodes/{}/name", m.entry));
            let label = check.key("registry/endpoints");
            let mut d = check.diagnostic(
                Rule::FrameworkNotEndpoint,
                &place,
                format!("the registry on `{}` is not among the endpoints", m.name),
                format!(
                    "add `{}:17890`, so that the nodes know it from their first start",
                    m.ip
                ),
            );
            d.related
                .push(check.label(&label, "the endpoints are here"));
            check.push(d);
        }
    }
}

/// Values of rows: of basic services, in a database that is named.
fn rows(check: &mut Check<'_>) {
    let spec = check.spec();
    for (component, rules) in &spec.components {
        let waits = rules.adapters.queue_timeout.map(|t| t.0);
        if waits.is_some_and(|seconds| !(1..=1000).contains(&seconds)) {
            let place = check.place(&format!("components/{component}/adapters/queue_timeout"));
            check.say(
                Rule::OutOfRange,
                &place,
                "a request may wait between one second and a thousand",
                "write `1s` to `1000s`; the installer's is `60s`",
            );
        }
        let key = if rules.template.is_some() {
            "template"
        } else if rules.adapters != AdapterRules::default() {
            "adapters"
        } else {
            continue;
        };
        let place = check.key(&format!("components/{component}/{key}"));
        if !component.is_basic() {
            check.say(
                Rule::RowsOfCore,
                &place,
                format!("{component} is no basic service, and its rows are the installer's"),
                "remove it here; change such rows in the management platform",
            );
        } else if spec.database.is_none() {
            check.say(
                Rule::RowsWithoutDatabase,
                &place,
                "this is a value in the framework's database, which the spec does not name",
                "add the section `database`, or remove the value",
            );
        }
    }
}

/// Nodes that other sections name.
fn references(check: &mut Check<'_>, nodes: &Nodes<'_, '_>) {
    let spec = check.spec();
    if let Some(database) = &spec.database
        && database.ca.is_some()
        && database.tls == crate::document::Tls::Off
    {
        let place = check.place("database/ca");
        check.say(
            Rule::CaWithoutTls,
            &place,
            "an authority is named for a connection that `tls: none` never encrypts",
            "leave out `tls`, or `ca`",
        );
    }
    if let Some(database) = &spec.database
        && database.fingerprint.is_some()
        && database.tls == crate::document::Tls::Off
    {
        let place = check.place("database/fingerprint");
        check.say(
            Rule::CaWithoutTls,
            &place,
            "a key is named for a connection that `tls: none` never encrypts",
            "leave out `tls`, or `fingerprint`",
        );
    }
    if let Some(via) = spec.database.as_ref().and_then(|d| d.via.as_ref()) {
        match nodes.get(via) {
            None => {
                let place = check.place("database/via");
                check.say(
                    Rule::ViaUnknownNode,
                    &place,
                    format!("the database cannot be reached via `{via}`, which is not listed under `nodes`"),
                    suggest(via, nodes),
                );
            }
            Some(m) if m.leaves() => {
                leaves(
                    check,
                    "database/via",
                    via,
                    "the database cannot be reached via it",
                );
            }
            Some(_) => {}
        }
    }
    if let PackagesAt::Node(name) = &spec.framework.packages
        && let Ok(name) = NodeName::new(name.as_str())
    {
        match nodes.get(&name) {
            None => {
                let place = check.place("framework/packages");
                check.say(
                    Rule::PackagesUnknownNode,
                    &place,
                    format!(
                        "packages cannot be copied from `{name}`, which is not listed under `nodes`"
                    ),
                    suggest(&name, nodes),
                );
            }
            Some(m) if m.leaves() => {
                leaves(
                    check,
                    "framework/packages",
                    &name,
                    "packages cannot be copied from it",
                );
            }
            Some(_) => {}
        }
    }
}

/// Keys of overrides that belong to a state.
fn overrides(check: &mut Check<'_>) {
    let spec = check.spec();
    for (name, over) in &spec.overrides {
        if over.until.is_some() && over.state != State::Maintenance {
            let place = check.key(&format!("overrides/{name}/until"));
            check.say(
                Rule::UntilWithoutMaintenance,
                &place,
                "`until` says when maintenance ends, but the node is not in maintenance",
                "add `state: maintenance`, or remove `until`",
            );
        }
        if over.stop_servers.is_some() && over.state != State::Absent {
            let place = check.key(&format!("overrides/{name}/stop_servers"));
            check.say(
                Rule::StopServersWithoutAbsent,
                &place,
                "`stop_servers` is about removing a node, but the node is not to be removed",
                "add `state: absent`, or remove `stop_servers`",
            );
        }
    }
}

/// Seconds for which an idle connection may be kept.
const LONGEST_KEPT: u64 = 3600;

fn rollout(check: &mut Check<'_>, members: &[Member<'_>]) {
    let spec = check.spec();
    let r = &spec.rollout;
    let none = |(_, count): &(usize, Count)| matches!(count, Count::Number(0) | Count::Percent(0));
    let parallel = r.max_parallel.iter().flat_map(|all| all.iter().enumerate());
    for (entry, _) in parallel.filter(none) {
        let place = check
            .exact(&format!("rollout/max_parallel/{entry}"))
            .unwrap_or_else(|| check.place("rollout/max_parallel"));
        check.say(
            Rule::OutOfRange,
            &place,
            "with 0 hosts at once, nothing could ever be changed",
            "write at least 1, or a percentage above 0%",
        );
    }
    if spec.ssh.connect_timeout.is_some_and(|t| t.0 == 0) {
        let place = check.place("ssh/connect_timeout");
        check.say(
            Rule::OutOfRange,
            &place,
            "with no time to connect, no host could ever be reached",
            "write at least `1s`, or leave it out for `10s`",
        );
    }
    if spec.ssh.keep.is_some_and(|t| t.0 > LONGEST_KEPT) {
        let place = check.place("ssh/keep");
        check.say(
            Rule::OutOfRange,
            &place,
            "whoever gets at this account could use a connection that is kept for so long",
            "write at most `1h`",
        );
    }
    let p = policy(spec);
    if p.settle >= p.deadline {
        let path = if r.settle.is_some() {
            "rollout/settle"
        } else {
            "rollout/deadline"
        };
        let place = check.place(path);
        check.say(
            Rule::SettleTooLong,
            &place,
            format!(
                "health must hold for {} s, but a step fails after {} s",
                p.settle, p.deadline
            ),
            "make `deadline` longer than `settle`, with time for the change itself",
        );
    }
    let present = members.iter().filter(|m| !m.leaves()).count();
    if r.canary.is_some_and(|c| c as usize > present) {
        let place = check.place("rollout/canary");
        check.say(
            Rule::CanaryTooLarge,
            &place,
            format!(
                "the canary is {} hosts, but the cluster has {present}",
                p.canary
            ),
            "all hosts would be changed in the first batch; write a smaller number",
        );
    }
}
