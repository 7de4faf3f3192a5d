//! Whether a host is the node that the spec means, and its own files can be used.

use std::collections::BTreeMap;

use tarsops_model::container::Network;
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use crate::input::PlanInput;
use crate::report::Blocked;

/// Which nodes answer with which machine-id.
pub(crate) fn machines<'a>(input: &PlanInput<'a>) -> BTreeMap<&'a str, Vec<&'a NodeName>> {
    let mut out: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for (node, _) in input.desired.hosts() {
        if let Observed::Present(HostFacts {
            machine_id: Observed::Present(id),
            ..
        }) = input.inventory.host(node)
        {
            out.entry(id).or_default().push(node);
        }
    }
    out
}

/// Why a host must not be changed, whatever is planned for it: it is not the node's, or that is not
/// known, or its fence is from the future. `machines` are those of [`machines`].
#[must_use]
pub(crate) fn stranger(
    input: &PlanInput<'_>,
    node: &NodeName,
    machines: &BTreeMap<&str, Vec<&NodeName>>,
) -> Option<String> {
    let spec = input.desired.host(node)?;
    let facts = match input.inventory.host(node) {
        Observed::Present(facts) => facts,
        other => return Some(other.unknown().unwrap_or("it is not there").to_owned()),
    };
    let known = identity(input, node, spec, facts, machines);
    let other = known.map(|why| why.map_or_else(|unknown| unknown, |blocked| blocked.to_string()));
    other.or_else(|| distrusted(input, node, facts).map(|blocked| blocked.to_string()))
}

/// Why tarsops' own files on a host cannot be used, if they cannot.
pub(crate) fn distrusted(
    input: &PlanInput<'_>,
    node: &NodeName,
    facts: &HostFacts,
) -> Option<Blocked> {
    let unsafe_folder = facts.unsafe_state.clone();
    unsafe_folder
        .map(|why| Blocked::UnsafeFolder { why })
        .or_else(|| fence_ahead(input, node, facts))
}

/// A fence that is later than our clock and some minutes: every run of today would be older.
fn fence_ahead(input: &PlanInput<'_>, node: &NodeName, facts: &HostFacts) -> Option<Blocked> {
    let fence = facts.fence.as_ref()?;
    if fence.is_by(input.now) {
        return None;
    }
    Some(Blocked::FenceAhead {
        run: fence.clone(),
        path: format!(
            "{}/fence",
            input.desired.state_folder_on(node, facts.is_root)
        ),
    })
}

/// The identity guard: a mistyped address must not give one machine another's nodeid. `None` if the
/// host is the node's; a reason that blocks, or one why it is not known.
pub(crate) fn identity(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    facts: &HostFacts,
    machines: &BTreeMap<&str, Vec<&NodeName>>,
) -> Option<Result<Blocked, String>> {
    let container = input.desired.container(node);
    // In a network of its engine the address is the container's, and none of its host.
    let is_inside = container.is_some_and(|c| c.network != Network::Host);
    match &facts.interfaces {
        _ if is_inside => {}
        Observed::Present(has) if has.contains(&spec.ip) => {}
        Observed::Present(has) => {
            return Some(Ok(Blocked::WrongAddress {
                ip: spec.ip.to_string(),
                has: has.iter().map(ToString::to_string).collect(),
            }));
        }
        Observed::Absent | Observed::Unknown(_) => {
            let why = facts.interfaces.unknown().unwrap_or("it has none");
            return Some(Err(format!("its addresses: {why}")));
        }
    }
    match &facts.machine_id {
        Observed::Present(id) => machines
            .get(id.as_str())
            .and_then(|all| all.iter().find(|n| **n != node))
            .map(|other| {
                Ok(Blocked::SameMachine {
                    other: (*other).clone(),
                })
            }),
        Observed::Absent | Observed::Unknown(_) => {
            let why = facts.machine_id.unknown().unwrap_or("it has none");
            Some(Err(format!("its machine-id: {why}")))
        }
    }
}
