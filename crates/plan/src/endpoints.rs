//! How many endpoints each servant keeps while a plan is carried out.
//!
//! A component that is restarted takes its servants' endpoints away for a moment; a tarsnode that is
//! restarted takes all of its node out of name resolution for some seconds. The planner fills its
//! batches so that a servant with two endpoints keeps one; the checker counts again by itself.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::desired::Resource;
use tarsops_model::framework::Answer;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use crate::actions::Interruption;
use crate::input::PlanInput;
use crate::plan::{Low, Stage, Step};

/// A server on a node, by the names of node and server.
type Server = (String, String);

/// Endpoints that steps of a plan have taken away: the servers of each servant, by its number.
#[derive(Debug, Default)]
pub(crate) struct Gone(BTreeMap<usize, BTreeSet<Server>>);

/// The steps of one component in a batch.
#[derive(Debug, Default)]
pub(crate) struct Together {
    /// How many endpoints they take of each servant.
    down: BTreeMap<usize, usize>,
    /// Whether they take all of one that answer.
    is_full: bool,
}

/// The servants of a cluster and where they live.
#[derive(Debug, Default)]
pub(crate) struct Endpoints {
    /// Names, and how many endpoints each has.
    servants: Vec<(String, usize)>,
    /// By node: the server and the number of its servant.
    on: BTreeMap<String, Vec<(String, usize)>>,
    /// By the number of a servant: how many of its endpoints are not known to answer.
    silent: BTreeMap<usize, usize>,
    /// By the number of a servant: of how many of its endpoints it is unknown whether they answer.
    doubtful: BTreeMap<usize, usize>,
    /// As `on`, of endpoints of which it is unknown whether they answer.
    unsure: BTreeMap<String, Vec<(String, usize)>>,
    /// Nodes on which nothing of the framework runs: what comes there takes nothing away.
    bare: BTreeSet<String>,
}

impl Endpoints {
    /// As the framework's rows have them; as the spec places them where the rows cannot be read.
    pub(crate) fn of(input: &PlanInput<'_>) -> Self {
        let mut found: BTreeSet<(String, String, String)> = BTreeSet::new();
        let rows = input.inventory.framework.as_ref();
        let rows = rows.and_then(|f| f.rows().present().copied());
        let read = rows.and_then(|r| Some((r.servers.present()?, r.adapters.present()?)));
        if let Some((servers, adapters)) = read {
            let active: BTreeSet<(&str, &str, &str)> = servers
                .iter()
                .filter(|s| s.present.as_deref() == Some("active"))
                .map(|s| (s.application.as_str(), s.server.as_str(), s.node.as_str()))
                .collect();
            for adapter in adapters {
                let key = (
                    adapter.application.as_str(),
                    adapter.server.as_str(),
                    adapter.node.as_str(),
                );
                if let (true, Some(servant)) = (active.contains(&key), &adapter.servant) {
                    let server = format!("{}.{}", adapter.application, adapter.server);
                    found.insert((servant.clone(), adapter.node.clone(), server));
                }
            }
        } else {
            for (id, resource) in &input.desired.resources {
                let (ResourceId::Server(component, node), Resource::Server(_)) = (id, resource)
                else {
                    continue;
                };
                let host = input.desired.host(node);
                // What is about to go is there until then, and counts as it does by its rows.
                let there =
                    |h: &Host| matches!(h.state, NodeState::Present | NodeState::Absent { .. });
                if host.is_some_and(there) {
                    for (servant, _) in component.servants() {
                        let server = format!("tars.{component}");
                        found.insert(((*servant).to_owned(), node.to_string(), server));
                    }
                }
            }
        }
        let is_bare = |node: &NodeName| {
            let host = input.inventory.host(node);
            let runs = host.present().and_then(|h| h.components.present());
            runs.is_some_and(BTreeSet::is_empty)
        };
        let mut out = Self {
            bare: input
                .desired
                .hosts()
                .map(|(node, _)| node)
                .filter(|node| is_bare(node))
                .map(ToString::to_string)
                .collect(),
            ..Self::default()
        };
        for (servant, node, server) in found {
            if is_silent(input, &servant, &node) {
                let unsure = is_unsure(input, &servant, &node);
                // It counts for nothing, whatever the rows say.
                let number = match out.servants.last() {
                    Some((name, _)) if *name == servant => out.servants.len() - 1,
                    _ => {
                        out.servants.push((servant, 0));
                        out.servants.len() - 1
                    }
                };
                *out.silent.entry(number).or_default() += 1;
                if unsure {
                    *out.doubtful.entry(number).or_default() += 1;
                    out.unsure.entry(node).or_default().push((server, number));
                }
                continue;
            }
            match out.servants.last_mut() {
                Some((name, count)) if *name == servant => *count += 1,
                _ => out.servants.push((servant, 1)),
            }
            let number = out.servants.len() - 1;
            out.on.entry(node).or_default().push((server, number));
        }
        out
    }

    /// The servants of which a step takes an endpoint away, for a moment or for good.
    pub(crate) fn taken<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = usize> + 'a {
        among(&self.on, step)
    }

    /// The servant whose only living endpoint a step would take, though it has others that do not
    /// answer, and how many of those.
    pub(crate) fn last_of(&self, step: &Step) -> Option<(&str, usize)> {
        let silent = |servant| self.silent.get(&servant).copied().unwrap_or(0);
        let alone = self.taken(step).find_map(|servant| {
            let (name, has) = &self.servants[servant];
            (*has == 1 && silent(servant) > 0).then(|| (name.as_str(), silent(servant)))
        });
        // One that may live counts, too, where no other one is known to.
        alone.or_else(|| {
            among(&self.unsure, step).find_map(|servant| {
                let (name, has) = &self.servants[servant];
                (*has == 0 && silent(servant) > 1).then(|| (name.as_str(), silent(servant) - 1))
            })
        })
    }

    /// Takes the endpoints of steps away that remove servers; `gone` are those that were taken before
    /// and grows by them.
    ///
    /// A component of the framework that is removed leaves another endpoint of each of its servants.
    /// What goes with a tarsnode or a registry is what the spec takes away: the only endpoint that a
    /// servant has may go with it, and never all of several.
    ///
    /// # Errors
    /// The first step that would take the last endpoint of a servant that answers, and that servant;
    /// none of the steps counts then.
    pub(crate) fn take_away<'s>(
        &self,
        steps: &[&'s Step],
        gone: &mut Gone,
    ) -> Result<(), (&'s Step, &str)> {
        let mut taken: Vec<(usize, Server)> = Vec::new();
        for step in steps {
            let known = places(&self.on, step).map(|place| (place, true));
            let unsure = places(&self.unsure, step).map(|place| (place, false));
            for (place, is_known) in known.chain(unsure) {
                let (name, has) = &self.servants[place.servant];
                let silent = self.silent.get(&place.servant).copied().unwrap_or(0);
                let counted = match (is_known, has) {
                    (true, has) => *has,
                    // Where none is known to answer, those count that may.
                    (false, 0) => self.doubtful.get(&place.servant).copied().unwrap_or(0),
                    (false, _) => continue,
                };
                let server = (place.node.to_owned(), place.server.to_owned());
                let servers = gone.0.entry(place.servant).or_default();
                if servers.insert(server.clone()) {
                    taken.push((place.servant, server));
                }
                let is_guarded = has + silent > 1 || is_known && step.stage == Stage::ServerRemoval;
                if servers.len() < counted || !is_guarded {
                    continue;
                }
                for (servant, server) in taken {
                    gone.0.entry(servant).or_default().remove(&server);
                }
                return Err((step, name));
            }
        }
        Ok(())
    }

    /// Whether a step takes an endpoint away of a servant that has several.
    pub(crate) fn is_shared(&self, step: &Step) -> bool {
        self.taken(step).any(|servant| self.servants[servant].1 > 1)
    }

    /// Whether a servant that has several endpoints would have none while `batch` and `step` run
    /// together.
    pub(crate) fn clash(&self, down: &BTreeMap<usize, usize>, step: &Step) -> bool {
        self.taken(step).any(|servant| {
            let has = self.servants[servant].1;
            has > 1 && down.get(&servant).copied().unwrap_or(0) + 1 >= has
        })
    }

    /// Whether a servant of which the steps of one component in a batch take an endpoint already would
    /// have none that answers while `step`, which is of the same component, runs with them.
    pub(crate) fn all_go(&self, others: &Together, step: &Step) -> bool {
        // One that is not known to answer is on its rollback, too: it counts for nothing, and what
        // lives waits for it.
        let own = self.counts(step);
        let none = others.down.is_empty() && own.is_empty();
        none || others.is_full || self.takes_all(&others.down, &own)
    }

    /// Adds a step to those of its component in a batch.
    pub(crate) fn join(&self, others: &mut Together, step: &Step) {
        let own = self.counts(step);
        others.is_full |= self.takes_all(&others.down, &own);
        for (servant, count) in own {
            *others.down.entry(servant).or_default() += count;
        }
    }

    /// How many endpoints a step takes of each servant.
    fn counts(&self, step: &Step) -> BTreeMap<usize, usize> {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for servant in self.taken(step) {
            *counts.entry(servant).or_default() += 1;
        }
        counts
    }

    /// Whether a servant would have none left once `own` are taken beside `down`.
    fn takes_all(&self, down: &BTreeMap<usize, usize>, own: &BTreeMap<usize, usize>) -> bool {
        own.iter().any(|(servant, count)| {
            let others = down.get(servant).copied().unwrap_or(0);
            others + count >= self.servants[*servant].1
        })
    }

    /// Whether a step brings a component to a node where nothing runs.
    fn is_first(&self, step: &Step, node: &str) -> bool {
        interruption(step).is_some_and(|i| i.is_new) && self.bare.contains(node)
    }

    /// The lowest point of every servant that the steps touch.
    pub(crate) fn lows(&self, steps: &[Step]) -> Vec<Low> {
        let mut lows: BTreeMap<usize, (usize, Vec<String>)> = BTreeMap::new();
        // Endpoints and not their number: a tarsnode that is removed takes again what a step before
        // it has removed from its node.
        let mut gone: BTreeSet<Place<'_>> = BTreeSet::new();
        let mut gone_of: BTreeMap<usize, usize> = BTreeMap::new();
        let batches = steps.chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
        for batch in batches {
            let mut down: BTreeSet<Place<'_>> = BTreeSet::new();
            let mut during: BTreeMap<usize, (usize, BTreeSet<&str>)> = BTreeMap::new();
            let mut removed: Vec<Place<'_>> = Vec::new();
            for step in batch {
                let remove = interruption(step).is_some_and(|i| i.is_removal);
                for place in places(&self.on, step) {
                    if self.is_first(step, place.node) {
                        continue;
                    }
                    if !gone.contains(&place) && down.insert(place) {
                        let (away, ids) = during.entry(place.servant).or_default();
                        *away += 1;
                        ids.insert(&step.id);
                    }
                    if remove {
                        removed.push(place);
                    }
                }
            }
            for (servant, (away, during)) in during {
                let away = away + gone_of.get(&servant).copied().unwrap_or(0);
                let least = self.servants[servant].1.saturating_sub(away);
                let low = lows.entry(servant).or_insert((usize::MAX, vec![]));
                if least < low.0 {
                    *low = (least, during.into_iter().map(str::to_owned).collect());
                }
            }
            for place in removed {
                if gone.insert(place) {
                    *gone_of.entry(place.servant).or_default() += 1;
                }
            }
        }
        lows.into_iter()
            .map(|(servant, (least, during))| Low {
                servant: self.servants[servant].0.clone(),
                has: self.servants[servant].1,
                least,
                during,
            })
            .collect()
    }
}

/// The component that a step changes.
pub(crate) fn component_of(step: &Step) -> Option<Component> {
    step.action.on_host()?.component
}

/// The process that a step stops, for a moment or for good.
fn interruption(step: &Step) -> Option<Interruption<'_>> {
    step.action.on_host()?.interrupts
}

/// One endpoint: a servant of a server on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place<'a> {
    servant: usize,
    node: &'a str,
    server: &'a str,
}

/// The servants among `on` of which a step takes an endpoint away.
fn among<'a>(
    on: &'a BTreeMap<String, Vec<(String, usize)>>,
    step: &'a Step,
) -> impl Iterator<Item = usize> + 'a {
    places(on, step).map(|place| place.servant)
}

/// The endpoints among `on` that a step takes away.
fn places<'a>(
    on: &'a BTreeMap<String, Vec<(String, usize)>>,
    step: &'a Step,
) -> impl Iterator<Item = Place<'a>> + 'a {
    let stopped = interruption(step);
    let there = stopped.and_then(|c| on.get_key_value(c.node.as_str()));
    there.into_iter().flat_map(move |(node, all)| {
        all.iter().filter_map(move |(server, servant)| {
            let component = stopped?.component;
            let whole = component == Component::Tarsnode;
            (whole || *server == format!("tars.{component}")).then_some(Place {
                servant: *servant,
                node,
                server,
            })
        })
    })
}

/// Whether a servant was asked on a node and is not known to answer. What was not asked is taken at
/// its row's word.
fn is_silent(input: &PlanInput<'_>, servant: &str, node: &str) -> bool {
    asked(input, servant, node).is_some_and(|answer| !answer.is_alive())
}

/// Whether a servant was asked on a node and it is unknown whether it lives.
fn is_unsure(input: &PlanInput<'_>, servant: &str, node: &str) -> bool {
    asked(input, servant, node).is_some_and(Answer::is_unknown)
}

fn asked<'a>(input: &PlanInput<'a>, servant: &str, node: &str) -> Option<&'a Answer> {
    let framework = input.inventory.framework.as_ref()?;
    let asked = framework.servants.get(&format!("{servant}@{node}"))?;
    Some(&asked.answer)
}
