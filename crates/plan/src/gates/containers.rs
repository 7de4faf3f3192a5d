//! In which order the containers of the framework are replaced, and which of them may be.
//!
//! A container brings all components of its host at once. Slaves come before the master, as each of them
//! shows with less how the new image does. Where a slave's tarsnode would need what only the master
//! brings, the master comes first; the slave's older tarsregistry then stays for a moment beside it.

use std::collections::BTreeMap;

use tarsops_model::component::{Component, Role};
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;

use super::live::Live;
use crate::containers::versions;
use crate::names::natural_key;
use crate::plan::Step;
use crate::report::{Blocked, Line};

/// The steps that may be done, in their order. Says why others may not be.
pub(super) fn admitted(live: &mut Live<'_>, steps: Vec<Step>, out: &mut Vec<Line>) -> Vec<Step> {
    let master = |step: &Step| {
        let node = step.resource.node();
        let host = node.and_then(|node| live.input.desired.host(node));
        host.is_some_and(|host| host.role == Role::Master)
    };
    let slaves_first = sorted(steps, |step| master(step));
    let masters_first = sorted(slaves_first.clone(), |step| !master(step));
    // The order in which all can be done; an order in which one is held back is no reason to leave the usual one.
    let all = |order: &[Step], awaits| {
        let mut trial = live.clone();
        let mut said = Vec::new();
        trial.admit_all(order.to_vec(), awaits, &mut said).len() == order.len()
    };
    let (order, awaits) = if all(&slaves_first, false) {
        (slaves_first, false)
    } else if all(&masters_first, false) {
        (masters_first, false)
    } else if all(&masters_first, true) {
        (masters_first, true)
    } else {
        (slaves_first, false)
    };
    if awaits && let Some(first) = order.first() {
        out.push(Line::Note {
            resource: first.resource.clone(),
            text: "it is replaced before the slaves, whose tarsnode needs its tarsAdminRegistry; until theirs follow, an older tarsregistry may refuse its tarsnode".to_owned(),
        });
    }
    live.admit_all(order, awaits, out)
}

fn sorted(mut steps: Vec<Step>, last: impl Fn(&Step) -> bool) -> Vec<Step> {
    steps.sort_by_cached_key(|step| (last(step), natural_key(&step.id), step.id.clone()));
    steps
}

impl Live<'_> {
    /// Which of the steps may be done one after the other. With `awaits`, the tarsregistry of a later one
    /// holds no earlier one back.
    fn admit_all(&mut self, steps: Vec<Step>, awaits: bool, out: &mut Vec<Line>) -> Vec<Step> {
        if awaits {
            let nodes = steps.iter().filter_map(|step| step.resource.node());
            self.awaited = nodes.cloned().collect();
        }
        let mut admitted = Vec::new();
        for step in steps {
            let host = step.action.on_host();
            let (Some(programs), Some(node)) =
                (host.and_then(|host| host.programs), step.resource.node())
            else {
                admitted.push(step);
                continue;
            };
            self.awaited.remove(node);
            match self.replaced(node, programs) {
                Ok(()) => admitted.push(step),
                Err(why) => out.push(Line::Blocked {
                    resource: step.resource.clone(),
                    why,
                }),
            }
        }
        self.awaited.clear();
        admitted
    }

    /// All components of a node change at once; if that may be, from here on they count as changed.
    fn replaced(
        &mut self,
        node: &NodeName,
        programs: &BTreeMap<Component, Digest>,
    ) -> Result<(), Blocked> {
        let Some(node) = self.input.desired.name(node) else {
            return Ok(());
        };
        let before = self.seen.clone();
        let mut moves: Vec<(Component, Version)> = Vec::new();
        for (component, digest) in programs {
            let all = versions::of_program(self.input, *component, digest);
            let wanted = self.input.desired.container(node).map(|c| c.version);
            let to = wanted.filter(|v| all.contains(v)).or(all.last().copied());
            let Some(to) = to else { continue };
            let of = self.seen.entry(*component).or_default();
            of.insert(node, Ok(vec![to]));
            moves.push((*component, to));
        }
        for (component, to) in moves {
            let from = before.get(&component).and_then(|all| all.get(node));
            let from = from.and_then(|seen| seen.as_ref().ok());
            if from.is_some_and(|from| from.contains(&to)) {
                continue;
            }
            if let Some(why) = self.refusal(component, from, to) {
                self.seen = before;
                return Err(why);
            }
        }
        Ok(())
    }
}
