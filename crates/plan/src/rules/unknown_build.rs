//! Builds that no lock file knows: a plan leaves them alone as unknown, so `check` names them.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::host::NodeState;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::facts::{Facts, first_of};
use super::rule::{Outcome, Survey};
use crate::components::is_known;
use crate::input::PlanInput;

/// Nodes named for one build; of more the number is enough.
const SHOWN: usize = 3;

/// The line.
pub(super) static SURVEY: Survey = Survey {
    name: "unknown-build",
    meaning: "whether every build of the framework that is installed or runs on a host is in the lock file",
    judge,
};

fn judge(facts: &Facts<'_>) -> (Outcome, String) {
    let input = &facts.input;
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
    if unknown.is_empty() && seen == 0 {
        return (Outcome::Skipped, "no build was found".to_owned());
    }
    if unknown.is_empty() {
        let text = "every build that was found is in the lock file";
        return (Outcome::Ok, text.to_owned());
    }
    let named: Vec<String> = unknown
        .iter()
        .map(|((component, digest), nodes)| {
            let nodes = first_of(nodes, SHOWN);
            format!("{component} {} on {nodes}", digest.short())
        })
        .collect();
    let text = format!(
        "in no lock file: {}; register it with `tarsops package add`, or set `replace_unknown: true`",
        named.join("; ")
    );
    (Outcome::Unknown, text)
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
