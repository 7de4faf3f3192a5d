//! Law 7: at each point of a plan a registry lives, and of every servant that had two endpoints one.
//!
//! Counted here from the facts alone, in another way than the planner counts.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::Rows;
use tarsops_model::host::NodeState;
use tarsops_model::resource::ResourceId;

use crate::actions::Interruption;
use crate::input::PlanInput;
use crate::plan::{Plan, Step};
use crate::violation::{Violation, violation};

/// A server on a node, by their names.
type Place = (String, String);

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    let servants = servants(input);
    let mut registries: BTreeSet<&str> = BTreeSet::new();
    if let Some(framework) = &input.inventory.framework {
        for (node, host) in input.desired.hosts() {
            let own = framework.registries.iter().any(|(at, answer)| {
                at.host.to_string() == host.ip.to_string() && answer.is_alive()
            });
            if own {
                registries.insert(node.as_str());
            }
        }
    }
    let mut gone: BTreeSet<Place> = BTreeSet::new();
    // A rollback restores what a run has broken: what was silent may answer from its batch on.
    let mut restored: BTreeSet<Place> = BTreeSet::new();
    let rolls_back = plan.rolls_back.is_some();
    for (batch, steps) in batches(&plan.steps) {
        // What a rollback has removed was added by the run that it undoes.
        let removed = if rolls_back {
            gone.clone()
        } else {
            BTreeSet::new()
        };
        let mut down = gone.clone();
        let mut restarted: BTreeSet<Place> = BTreeSet::new();
        let mut without_registry = BTreeSet::new();
        for change in steps.iter().filter_map(|s| interruption(s)) {
            let node = change.node.to_string();
            let places: Vec<Place> = if change.component == Component::Tarsnode {
                servants
                    .values()
                    .flatten()
                    .filter(|(at, _)| *at == node)
                    .cloned()
                    .collect()
            } else {
                vec![(node.clone(), format!("tars.{}", change.component))]
            };
            if change.component == Component::Tarsregistry && change.ran {
                without_registry.insert(node);
            }
            if change.is_removal {
                gone.extend(places.iter().cloned());
            } else {
                restarted.extend(places.iter().cloned());
            }
            down.extend(places);
        }
        for (servant, all) in &servants {
            // Whoever was asked and does not answer is no endpoint.
            let mute = |p: &&Place| {
                if restored.contains(*p) {
                    return false;
                }
                let key = format!("{servant}@{}", p.0);
                let asked = input.inventory.framework.as_ref();
                asked
                    .and_then(|f| f.servants.get(&key))
                    .is_some_and(|a| !a.answer.is_alive() && !a.answer.is_unknown())
            };
            let places: Vec<&Place> = all
                .iter()
                .filter(|p| !mute(p) && !removed.contains(*p))
                .collect();
            // What the spec takes away it means, and registries have a guard of their own below.
            let guarded = match places.as_slice() {
                [] => false,
                // A rollback may be what brings the others back.
                [only] => {
                    !rolls_back
                        && all.len() > 1
                        && restarted.contains(*only)
                        && !servant.starts_with("tars.tarsregistry.")
                }
                _ => true,
            };
            if guarded && places.iter().all(|p| down.contains(*p)) {
                found.push(violation(
                    &format!("batch {batch}"),
                    format!(
                        "it leaves none of the {} endpoints of {servant} that answer",
                        places.len()
                    ),
                ));
            }
        }
        if rolls_back {
            restored.extend(restarted);
        }
        // A rollback of the only registry that there is has no other one to wait for.
        let alone = rolls_back && input.desired.registries.len() < 2;
        let left = alone || registries.iter().any(|n| !without_registry.contains(*n));
        if !without_registry.is_empty()
            && !registries.is_empty()
            && !left
            && !input.desired.policy.registry_gap
        {
            found.push(violation(
                &format!("batch {batch}"),
                "it leaves no registry alive".to_owned(),
            ));
        }
        for step in &steps {
            let Some(change) = interruption(step) else {
                continue;
            };
            if change.component != Component::Tarsregistry {
                continue;
            }
            if change.is_removal {
                registries.remove(change.node.as_str());
            } else if rolls_back {
                registries.insert(change.node.as_str());
            }
        }
    }
}

/// The process that a step stops, for a moment or for good.
fn interruption(step: &Step) -> Option<Interruption<'_>> {
    step.action.on_host()?.interrupts
}

fn batches(steps: &[Step]) -> BTreeMap<u32, Vec<&Step>> {
    let mut out: BTreeMap<u32, Vec<&Step>> = BTreeMap::new();
    for step in steps {
        out.entry(step.batch).or_default().push(step);
    }
    out
}

/// Where each servant lives: by the rows, or as the spec places the framework's own.
fn servants(input: &PlanInput<'_>) -> BTreeMap<String, BTreeSet<Place>> {
    let rows = input.inventory.framework.as_ref();
    let rows = rows.and_then(|f| f.rows().present().copied());
    if let Some(found) = rows.and_then(by_rows) {
        return found;
    }
    let mut out: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
    for id in input.desired.resources.keys() {
        if let ResourceId::Server(component, node) = id
            && input
                .desired
                .host(node)
                .is_some_and(|h| h.state == NodeState::Present)
        {
            for (servant, _) in component.servants() {
                let places = out.entry((*servant).to_owned()).or_default();
                places.insert((node.to_string(), format!("tars.{component}")));
            }
        }
    }
    out
}

fn by_rows(rows: &Rows) -> Option<BTreeMap<String, BTreeSet<Place>>> {
    let (servers, adapters) = (rows.servers.present()?, rows.adapters.present()?);
    let mut active: BTreeSet<Place> = BTreeSet::new();
    for row in servers {
        if row.present.as_deref() == Some("active") {
            active.insert((row.node.clone(), row.full_name()));
        }
    }
    let mut out: BTreeMap<String, BTreeSet<Place>> = BTreeMap::new();
    for row in adapters {
        let place = (
            row.node.clone(),
            format!("{}.{}", row.application, row.server),
        );
        if let (Some(servant), true) = (&row.servant, active.contains(&place)) {
            out.entry(servant.clone()).or_default().insert(place);
        }
    }
    Some(out)
}
