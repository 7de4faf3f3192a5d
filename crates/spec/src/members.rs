//! The nodes of a spec one by one: ranges expanded, overrides applied, overlaps found.
//!
//! What must stay true: a node that is reported here as broken is still a member where it can be,
//! so that later checks do not report it as unknown a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Range;

use tarsops_model::component::Role;
use tarsops_model::host::NodeState;
use tarsops_model::names::{HostAddress, NodeName};

use crate::document::{Jump, Node, Override, Pattern, RoleName, State};
use crate::lower::Check;
use crate::range;
use crate::rules::Rule;

/// One node.
pub(crate) struct Member<'a> {
    pub(crate) name: NodeName,
    pub(crate) ip: IpAddr,
    pub(crate) address: HostAddress,
    /// Index of its entry in `nodes`.
    pub(crate) entry: usize,
    pub(crate) role: Role,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: NodeState,
    pub(crate) over: Option<&'a Override>,
}

impl Member<'_> {
    /// Whether the spec takes the node away.
    pub(crate) const fn leaves(&self) -> bool {
        matches!(self.state, NodeState::Absent { .. } | NodeState::Gone)
    }
}

/// In what two nodes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Same {
    Name,
    Ip,
    Address,
}

/// The two nodes, and what they share.
type Overlap = (NodeName, NodeName, String);

/// What was found already, by what it must not share.
#[derive(Default)]
struct SeenNames<'a> {
    names: BTreeMap<NodeName, usize>,
    ips: BTreeMap<IpAddr, usize>,
    addresses: BTreeMap<(HostAddress, Option<u16>, Option<&'a Jump>), usize>,
    /// Members that overlap, by the two entries, so that ranges are reported once.
    overlaps: BTreeMap<(usize, usize, Same), Vec<Overlap>>,
}

/// All nodes, in the order of the text.
pub(crate) fn members<'a>(check: &mut Check<'a>) -> Vec<Member<'a>> {
    let mut all: Vec<Member<'a>> = Vec::new();
    let mut seen = SeenNames::default();
    let mut loopback: Vec<(usize, String)> = Vec::new();
    for (entry, node) in check.spec().nodes.iter().enumerate() {
        let role = role(check, entry, node);
        let names = node.name.expand();
        let ips = side(check, entry, "ip", node.ip.as_ref(), names.len());
        let addresses = side(check, entry, "address", node.address.as_ref(), names.len());
        let mut without_ip: Vec<String> = Vec::new();
        let mut local: Option<NodeName> = None;
        for (i, text) in names.iter().enumerate() {
            let Ok(name) = NodeName::new(text.as_str()) else {
                continue;
            };
            let over = check.spec().overrides.get(&name);
            let ip = over
                .and_then(|o| o.ip)
                .or_else(|| ips.as_ref().and_then(|list| list.get(i)?.parse().ok()));
            let ip = ip.or_else(|| name.as_ip());
            if text.eq_ignore_ascii_case("localhost") || ip.is_some_and(is_local) {
                local.get_or_insert(name.clone());
            } else if ip.is_some_and(|ip| ip.is_loopback()) {
                loopback.push((entry, text.clone()));
            } else if let Some(ip) = ip.filter(|ip| !is_machine(*ip)) {
                let place = written_at(check, &name, entry, "ip");
                check.say(
                    Rule::InvalidIp,
                    &place,
                    format!("`{ip}` is not the address of one machine"),
                    "write the address that the node binds",
                );
            }
            let Some(ip) = ip else {
                // A range that is too short, or a name that means this machine, is told already.
                if node.ip.is_none() && !text.eq_ignore_ascii_case("localhost") {
                    without_ip.push(text.clone());
                }
                seen.names.entry(name).or_insert(usize::MAX);
                continue;
            };
            let address = over
                .and_then(|o| o.address.clone())
                .or_else(|| {
                    let list = addresses.as_ref()?;
                    HostAddress::new(list.get(i)?.as_str()).ok()
                })
                .or_else(|| HostAddress::new(ip.to_string()).ok());
            let Some(address) = address else {
                continue;
            };
            let mut labels = node.labels.clone();
            labels.extend(over.into_iter().flat_map(|o| o.labels.clone()));
            let member = Member {
                name,
                ip,
                address,
                entry,
                role,
                labels,
                state: state(over),
                over,
            };
            if seen.admit(check, &all, &member) {
                all.push(member);
            }
        }
        if let Some(name) = local {
            let key = if name.as_ip().is_some_and(is_local) {
                "name"
            } else {
                "ip"
            };
            let place = written_at(check, &name, entry, key);
            check.say(
                Rule::LocalNode,
                &place,
                "this node's name or ip means the machine that looks at it, whichever that is",
                "write the address by which the other nodes reach it",
            );
        }
        if let Some(first) = without_ip.first() {
            let place = check.place(&format!("nodes/{entry}/name"));
            check.say(
                Rule::NodeWithoutIp,
                &place,
                format!(
                    "the entry has no `ip`, and the name `{first}`{} is no IP address",
                    more(without_ip.len())
                ),
                match range::meant(first.as_str()) {
                    Some(meant) => {
                        format!("did you mean the range `{meant}`? quote it inside `{{…}}`")
                    }
                    None => "add `ip:` with the address that the node binds; a range takes a range"
                        .to_owned(),
                },
            );
        }
    }
    seen.report(check, &all);
    if let Some((entry, name)) = loopback.first() {
        let place = check.place(&format!("nodes/{entry}/name"));
        check.say(
            Rule::LoopbackNode,
            &place,
            format!(
                "the loopback network holds `{name}`{}",
                more(loopback.len())
            ),
            "this is for demonstration clusters on one machine; write real addresses otherwise",
        );
    }
    let known: BTreeSet<&NodeName> = seen.names.keys().collect();
    unknown_overrides(check, &known);
    all
}

/// " and 3 more".
pub(crate) fn more(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    }
}

fn is_local(ip: IpAddr) -> bool {
    ip.is_unspecified()
        || match ip {
            IpAddr::V4(v4) => v4 == std::net::Ipv4Addr::LOCALHOST,
            IpAddr::V6(v6) => v6 == std::net::Ipv6Addr::LOCALHOST,
        }
}

fn is_machine(ip: IpAddr) -> bool {
    !ip.is_multicast() && !matches!(ip, IpAddr::V4(v4) if v4.is_broadcast())
}

fn role(check: &mut Check<'_>, entry: usize, node: &Node) -> Role {
    let has = |r| node.roles.contains(&r);
    match (has(RoleName::Master), has(RoleName::Slave)) {
        (true, true) => {
            let place = check.place(&format!("nodes/{entry}/roles"));
            check.say(
                Rule::ConflictingRoles,
                &place,
                "a node cannot be both master and slave",
                "keep `master`: it runs everything that a slave runs",
            );
            Role::Master
        }
        (true, false) => Role::Master,
        (false, true) => Role::Slave,
        (false, false) => Role::Node,
    }
}

/// The members of a range that is beside the names.
fn side(
    check: &mut Check<'_>,
    entry: usize,
    key: &str,
    pattern: Option<&Pattern>,
    names: usize,
) -> Option<Vec<String>> {
    let list = pattern?.expand();
    if list.len() != names {
        let place = check.place(&format!("nodes/{entry}/{key}"));
        let label = check.place(&format!("nodes/{entry}/name"));
        let mut d = check.diagnostic(
            Rule::RangeMismatch,
            &place,
            format!("`{key}` has {} members, but `name` has {names}", list.len()),
            "write a range with as many members, or one entry for each node",
        );
        d.related.push(check.label(&label, "the names are here"));
        check.push(d);
    }
    Some(list)
}

fn state(over: Option<&Override>) -> NodeState {
    let Some(over) = over else {
        return NodeState::Present;
    };
    match over.state {
        State::Present => NodeState::Present,
        State::Maintenance => NodeState::Maintenance {
            reason: over.reason.clone(),
            until: over.until,
        },
        State::Absent => NodeState::Absent {
            stop_servers: over.stop_servers.unwrap_or(false),
        },
        State::Gone => NodeState::Gone,
    }
}

impl<'a> SeenNames<'a> {
    /// Remembers `member`, and says whether its name is new.
    fn admit(&mut self, check: &Check<'a>, all: &[Member<'a>], member: &Member<'a>) -> bool {
        let index = all.len();
        if let Some(first) = self.names.get(&member.name).copied() {
            if let Some(first) = all.get(first) {
                self.overlap(Same::Name, first, member, member.name.to_string());
            }
            return false;
        }
        self.names.insert(member.name.clone(), index);
        // What a machine that is gone had may belong to another one now.
        if matches!(member.state, NodeState::Gone) {
            return true;
        }
        if let Some(first) = self.ips.get(&member.ip).and_then(|i| all.get(*i)) {
            self.overlap(Same::Ip, first, member, member.ip.to_string());
            return true;
        }
        self.ips.insert(member.ip, index);
        let ssh = member.over.and_then(|o| o.ssh.as_ref());
        let common = &check.spec().ssh;
        let port = ssh.and_then(|s| s.port).or(common.port).map(|p| p.0);
        let jump = ssh
            .and_then(|s| s.jump.as_ref())
            .or(common.jump.as_ref())
            .filter(|j| **j != Jump::None);
        let key = (member.address.clone(), port, jump);
        if let Some(first) = self.addresses.get(&key).and_then(|i| all.get(*i)) {
            let what = match port {
                Some(port) => format!("{}, port {port}", member.address),
                None => member.address.to_string(),
            };
            self.overlap(Same::Address, first, member, what);
        } else {
            self.addresses.insert(key, index);
        }
        true
    }

    fn overlap(&mut self, same: Same, first: &Member<'_>, second: &Member<'_>, what: String) {
        self.overlaps
            .entry((first.entry, second.entry, same))
            .or_default()
            .push((first.name.clone(), second.name.clone(), what));
    }

    fn report(&self, check: &mut Check<'a>, all: &[Member<'a>]) {
        let by_name: BTreeMap<&NodeName, &Member<'a>> = all.iter().map(|m| (&m.name, m)).collect();
        for ((first, second, same), names) in &self.overlaps {
            let Some((a, b, what)) = names.first() else {
                continue;
            };
            let others = more(names.len());
            let (message, help, key) = match same {
                Same::Name => (
                    if names.len() == 1 {
                        format!("the node `{what}` is named twice")
                    } else {
                        format!("the nodes `{what}`{others} are named twice")
                    },
                    "each node belongs to one entry; what differs for it goes under `overrides`",
                    "name",
                ),
                Same::Ip => (
                    format!("the nodes `{a}` and `{b}`{others} have the same ip {what}"),
                    "each node binds an address of its own",
                    "ip",
                ),
                Same::Address => (
                    format!("the nodes `{a}` and `{b}`{others} have the same SSH address {what}"),
                    "two nodes on one machine would overwrite each other; correct the address, or \
                     give one of them another `ssh.port`",
                    "address",
                ),
            };
            let place = place_of(check, by_name.get(b).copied(), *second, key);
            let label = place_of(check, by_name.get(a).copied(), *first, key);
            let mut d = check.diagnostic(Rule::OverlappingNodes, &place, message, help);
            if place != label {
                d.related.push(check.label(&label, "first named here"));
            }
            check.push(d);
        }
    }
}

/// Where `key` of a member is written; a member that was found twice has its override only once.
fn place_of(
    check: &Check<'_>,
    member: Option<&Member<'_>>,
    entry: usize,
    key: &str,
) -> Range<usize> {
    match member {
        Some(m) if m.entry == entry => written_at(check, &m.name, entry, key),
        _ => in_entry(check, entry, key),
    }
}

/// Where `key` of a node is written: in its override, in its entry, or as its name.
fn written_at(check: &Check<'_>, name: &NodeName, entry: usize, key: &str) -> Range<usize> {
    check
        .exact(&format!("overrides/{name}/{key}"))
        .unwrap_or_else(|| in_entry(check, entry, key))
}

fn in_entry(check: &Check<'_>, entry: usize, key: &str) -> Range<usize> {
    check
        .exact(&format!("nodes/{entry}/{key}"))
        .unwrap_or_else(|| check.place(&format!("nodes/{entry}/name")))
}

fn unknown_overrides(check: &mut Check<'_>, known: &BTreeSet<&NodeName>) {
    let spec = check.spec();
    for name in spec.overrides.keys().filter(|n| !known.contains(n)) {
        let near = nearest(name, known.iter().copied());
        let place = check.key(&format!("overrides/{name}"));
        check.say(
            Rule::OverrideUnknownNode,
            &place,
            format!("no entry of `nodes` names `{name}`"),
            match (range::meant(name.as_str()), near) {
                (Some(range), _) => {
                    format!("an override is for one node: write one for each of `{range}`")
                }
                (None, Some(near)) => format!("did you mean `{near}`?"),
                (None, None) => "list it under `nodes`, or remove the override".to_owned(),
            },
        );
    }
}

/// The known node whose name is nearest to a wrong one, where it differs by a single character.
pub(crate) fn nearest<'n>(
    name: &NodeName,
    known: impl IntoIterator<Item = &'n NodeName>,
) -> Option<&'n NodeName> {
    // Addresses differ by one character from many others, so only words are worth guessing.
    if name.as_ip().is_some() {
        return None;
    }
    known
        .into_iter()
        .filter(|k| k.as_str().len().abs_diff(name.as_str().len()) <= 1)
        .find(|k| strsim::damerau_levenshtein(k.as_str(), name.as_str()) <= 1)
}
