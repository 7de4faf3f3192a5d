//! Builds that no lock file knows: a plan leaves them alone as unknown, so the preflight names them.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::check::{Check, Result};
use crate::input::PlanInput;
use crate::servers::is_known;

/// Nodes named for one build; of more the number is enough.
const SHOWN: usize = 3;

/// Whether every build of the framework that lies or runs on a host is in the lock file.
pub(super) fn check(input: &PlanInput<'_>) -> Check {
    let mut unknown: BTreeMap<(Component, Digest), BTreeSet<&NodeName>> = BTreeMap::new();
    let mut seen = 0_usize;
    let present = |state: &NodeState| matches!(state, NodeState::Present);
    let nodes = input.desired.hosts();
    for (node, _) in nodes.filter(|(n, h)| input.scope.has_node(n) && present(&h.state)) {
        for component in Component::ALL {
            if !input.scope.has_component(component) {
                continue;
            }
            let replaced = match component {
                Component::Tarsnode => input.desired.agent(node).map(|a| a.replace_unknown),
                // What the lock file has nothing of is not compared.
                _ if !is_known(input.catalog, component) => None,
                _ => input
                    .desired
                    .server(component, node)
                    .map(|s| s.replace_unknown),
            };
            if replaced != Some(false) {
                continue;
            }
            let digests = digests(input, component, node);
            seen += usize::from(!digests.is_empty());
            for digest in digests {
                if input.catalog.versions_of(component, &digest).is_empty() {
                    let on = unknown.entry((component, digest)).or_default();
                    on.insert(node);
                }
            }
        }
    }
    let (result, text) = if unknown.is_empty() && seen == 0 {
        (Result::Skipped, "no build was seen".to_owned())
    } else if unknown.is_empty() {
        (
            Result::Ok,
            "every build that was seen is in the lock file".to_owned(),
        )
    } else {
        let named: Vec<String> = unknown
            .iter()
            .map(|((component, digest), nodes)| {
                format!("{component} {} on {}", digest.short(), names(nodes))
            })
            .collect();
        let text = format!(
            "in no lock file: {}; register it with `tarsops package add`, or say `replace_unknown: true`",
            named.join("; ")
        );
        (Result::Unknown, text)
    };
    Check {
        check: "unknown-build".to_owned(),
        result,
        text,
        findings: vec![],
    }
}

fn names(nodes: &BTreeSet<&NodeName>) -> String {
    let first: Vec<&str> = nodes.iter().take(SHOWN).map(|n| n.as_str()).collect();
    match nodes.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The digests of a component on a node: of its file, and of what runs.
fn digests(input: &PlanInput<'_>, component: Component, node: &NodeName) -> BTreeSet<Digest> {
    let of = |binary: &Observed<FileFact>, processes: &Observed<Vec<ProcessFact>>| {
        let running = processes.present().into_iter().flatten();
        let running = running.filter_map(|p| p.exe.present().copied());
        running
            .chain(binary.present().map(|b| b.digest))
            .collect::<BTreeSet<_>>()
    };
    match component {
        Component::Tarsnode => match input.inventory.agent(node) {
            Observed::Present(facts) => of(&facts.binary, &facts.processes),
            _ => BTreeSet::new(),
        },
        _ => match input.inventory.server(component, node) {
            Observed::Present(facts) => of(&facts.binary, &facts.processes),
            _ => BTreeSet::new(),
        },
    }
}
