//! Law 7: at each point of a plan a registry lives, and of every servant that had two endpoints one.
//!
//! Counted here from the facts alone, in another way than the planner counts.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::Rows;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::resource::ResourceId;

use crate::actions::Interruption;
use crate::input::PlanInput;
use crate::plan::{Plan, Step};
use crate::violation::{Violation, violation};

/// A server on a node, by their names.
type Place = (String, String);

/// One servant.
struct Servant {
    name: String,
    /// Where it lives, by the rows.
    places: BTreeMap<Place, Endpoint>,
    /// How many of them count, and how many of those were removed for good.
    counted: usize,
    gone: usize,
}

/// One endpoint of a servant.
#[derive(Clone, Copy)]
struct Endpoint {
    /// Whether it was asked and does not answer: it counts for nothing.
    is_mute: bool,
    is_gone: bool,
}

/// All servants, and which of them live on each node.
struct Servants {
    all: Vec<Servant>,
    on: BTreeMap<String, Vec<(usize, Place)>>,
    /// What a rollback has removed was added by the run that it undoes, and counts no more.
    rolls_back: bool,
}

impl Servants {
    fn of(input: &PlanInput<'_>, rolls_back: bool) -> Self {
        let mut out = Self {
            all: Vec::new(),
            on: BTreeMap::new(),
            rolls_back,
        };
        let asked = input.inventory.framework.as_ref().map(|f| &f.servants);
        for (name, places) in servants(input) {
            let number = out.all.len();
            let mut of = BTreeMap::new();
            for place in places {
                let asked = asked.and_then(|all| all.get(&format!("{name}@{}", place.0)));
                let is_mute = asked.is_some_and(|a| !a.answer.is_alive() && !a.answer.is_unknown());
                let on = out.on.entry(place.0.clone()).or_default();
                on.push((number, place.clone()));
                of.insert(
                    place,
                    Endpoint {
                        is_mute,
                        is_gone: false,
                    },
                );
            }
            out.all.push(Servant {
                counted: of.values().filter(|e| !e.is_mute).count(),
                gone: 0,
                name,
                places: of,
            });
        }
        out
    }

    /// The endpoints that an interruption takes away, with the numbers of their servants.
    fn taken_by(&self, change: &Interruption<'_>) -> Vec<(usize, Place)> {
        let own = format!("tars.{}", change.component);
        let on = self.on.get(change.node.as_str()).into_iter().flatten();
        on.filter(|(_, (_, server))| change.component == Component::Tarsnode || *server == own)
            .cloned()
            .collect()
    }

    /// The servant that has no endpoint left that answers while these are away, and how many it had.
    /// Each says whether its server is only restarted.
    fn without(&self, servant: usize, away: &BTreeMap<Place, bool>) -> Option<(&str, usize)> {
        let servant = &self.all[servant];
        let counts =
            |endpoint: &Endpoint| !(endpoint.is_mute || self.rolls_back && endpoint.is_gone);
        let counted = if self.rolls_back {
            servant.counted - servant.gone
        } else {
            servant.counted
        };
        let before = if self.rolls_back { 0 } else { servant.gone };
        let mine = || {
            let mine = away
                .iter()
                .filter_map(|(place, restarts)| Some((servant.places.get(place)?, *restarts)));
            mine.filter(|(endpoint, _)| counts(endpoint))
        };
        let now = mine().filter(|(endpoint, _)| !endpoint.is_gone).count();
        // What the spec takes away it means, and registries have a guard of their own below.
        let guarded = match counted {
            0 => false,
            // A rollback may be what brings the others back.
            1 => {
                !self.rolls_back
                    && servant.places.len() > 1
                    && mine().any(|(_, restarts)| restarts)
                    && !servant.name.starts_with("tars.tarsregistry.")
            }
            _ => true,
        };
        (guarded && before + now == counted).then_some((&servant.name, counted))
    }

    /// The server of an endpoint is removed for good.
    fn remove(&mut self, (servant, place): &(usize, Place)) {
        let servant = &mut self.all[*servant];
        if let Some(endpoint) = servant.places.get_mut(place)
            && !endpoint.is_gone
        {
            endpoint.is_gone = true;
            servant.gone += usize::from(!endpoint.is_mute);
        }
    }

    /// A rollback restores what a run has broken: what was silent may answer from its batch on.
    fn restore(&mut self, (servant, place): &(usize, Place)) {
        let servant = &mut self.all[*servant];
        if let Some(endpoint) = servant.places.get_mut(place)
            && endpoint.is_mute
        {
            endpoint.is_mute = false;
            servant.counted += 1;
            servant.gone += usize::from(endpoint.is_gone);
        }
    }
}

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    let rolls_back = plan.rolls_back.is_some();
    let mut servants = Servants::of(input, rolls_back);
    let mut registries: BTreeSet<&str> = BTreeSet::new();
    if let Some(framework) = &input.inventory.framework {
        let alive = framework.registries.iter().filter(|(_, a)| a.is_alive());
        let alive: BTreeSet<String> = alive.map(|(at, _)| at.host.to_string()).collect();
        let own = |host: &Host| alive.contains(&host.ip.to_string());
        let living = input.desired.hosts().filter(|(_, host)| own(host));
        registries.extend(living.map(|(node, _)| node.as_str()));
    }
    for (batch, steps) in batches(&plan.steps) {
        // The endpoints that are away, by servant, and whether each is only restarted.
        let mut away: BTreeMap<usize, BTreeMap<Place, bool>> = BTreeMap::new();
        let (mut removed, mut restarted) = (Vec::new(), Vec::new());
        let mut without_registry = BTreeSet::new();
        for change in steps.iter().filter_map(|s| interruption(s)) {
            if change.takes_registry() {
                without_registry.insert(change.node.as_str());
            }
            let taken = servants.taken_by(&change);
            for (servant, place) in &taken {
                let of = away.entry(*servant).or_default();
                *of.entry(place.clone()).or_default() |= !change.is_removal;
            }
            if change.is_removal {
                removed.extend(taken);
            } else {
                restarted.extend(taken);
            }
        }
        for (servant, away) in &away {
            if let Some((servant, had)) = servants.without(*servant, away) {
                found.push(violation(
                    &format!("batch {batch}"),
                    format!("it leaves none of the {had} endpoints of {servant} that answer"),
                ));
            }
        }
        for place in &removed {
            servants.remove(place);
        }
        if rolls_back {
            for place in &restarted {
                servants.restore(place);
            }
        }
        // A rollback of the only registry that there is has no other one to wait for.
        let alone = rolls_back && input.desired.registries.len() < 2;
        let left = || alone || registries.iter().any(|n| !without_registry.contains(*n));
        if !without_registry.is_empty()
            && !registries.is_empty()
            && !left()
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
            if change.component != Component::Tarsregistry && !change.is_whole {
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
