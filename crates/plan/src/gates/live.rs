//! What version each component has while a plan is carried out.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::coupling::{Move, RULES, VersionRule};
use tarsops_model::desired::Resource;
use tarsops_model::digest::Digest;
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::actions::{Content, HostChange};
use crate::containers::versions::{self, ReadVersions};
use crate::input::PlanInput;
use crate::plan::Step;
use crate::report::{Blocked, Line};

/// What every component has, as far as the steps up to here have brought it.
#[derive(Clone)]
pub(super) struct Live<'a> {
    pub(super) input: &'a PlanInput<'a>,
    pub(super) seen: BTreeMap<Component, BTreeMap<&'a NodeName, ReadVersions>>,
    /// Nodes whose tarsregistry follows in the same plan, so that an older one is there for a moment.
    pub(super) awaited: BTreeSet<NodeName>,
}

impl<'a> Live<'a> {
    pub(super) fn of(input: &'a PlanInput<'a>) -> Self {
        let mut out = Self {
            input,
            seen: BTreeMap::new(),
            awaited: BTreeSet::new(),
        };
        for (id, resource) in &input.desired.resources {
            let (component, node) = match (id, resource) {
                (ResourceId::Agent(n), Resource::Agent(_))
                | (ResourceId::Container(n), Resource::Container(_)) => (Component::Tarsnode, n),
                (ResourceId::Server(c, n), Resource::Server(_)) => (*c, n),
                _ => continue,
            };
            let leaves = |h: &Host| matches!(h.state, NodeState::Absent { .. } | NodeState::Gone);
            // Only what a rule asks for has to be known.
            let asked = RULES.iter().any(|r| r.partner(component).is_some());
            if !asked || input.desired.host(node).is_none_or(leaves) {
                continue;
            }
            if let Some(seen) = running(input, component, node) {
                out.seen.entry(component).or_default().insert(node, seen);
            }
        }
        out
    }

    /// Whether the step may be done at its moment; if so, from here on it counts as done.
    pub(super) fn admit(&mut self, step: &Step, out: &mut Vec<Line>) -> bool {
        let Some(change) = step.action.get::<HostChange>() else {
            return true;
        };
        let Some(to) = target(self.input, change) else {
            return true;
        };
        let component = change.component;
        let all = self.seen.get(&component);
        let own = all.and_then(|all| all.get_key_value(&change.node));
        let from = own.and_then(|(_, seen)| seen.as_ref().ok());
        if from.is_some_and(|from| from.contains(&to)) {
            return true;
        }
        if let Some(why) = self.refusal(component, from, to) {
            out.push(Line::Blocked {
                resource: step.resource.clone(),
                why,
            });
            return false;
        }
        let node = own.map(|(node, _)| *node);
        if let Some(node) = node.or_else(|| self.input.desired.name(&change.node)) {
            let all = self.seen.entry(component).or_default();
            all.insert(node, Ok(vec![to]));
        }
        true
    }

    /// Why `component` cannot come from one of `from` to `to` now.
    pub(super) fn refusal(
        &self,
        component: Component,
        from: Option<&Vec<Version>>,
        to: Version,
    ) -> Option<Blocked> {
        for rule in RULES {
            let Some(other) = rule.partner(component) else {
                continue;
            };
            // Where not even the own version is known, nobody knows that anything is crossed.
            let crossed = from.is_some_and(|from| {
                !from.is_empty()
                    && from.iter().all(|from| {
                        let from = Some(*from);
                        rule.is_crossed_by(&Move {
                            component,
                            from,
                            to,
                        })
                    })
            });
            for (node, seen) in self.seen.get(&other).into_iter().flatten() {
                if other == Component::Tarsregistry && self.awaited.contains(*node) {
                    continue;
                }
                let (its, why) = match seen {
                    Ok(its) if forbidden(rule, (component, to), other, its) => {
                        (its.last().copied(), rule.reason.to_owned())
                    }
                    Err(why) if crossed => (None, why.clone()),
                    Ok(_) | Err(_) => continue,
                };
                return Some(Blocked::VersionsApart {
                    component,
                    to,
                    other,
                    at: (*node).clone(),
                    its,
                    since: rule.since,
                    rule: rule.id.to_owned(),
                    why,
                });
            }
        }
        None
    }
}

/// Whether every version that the other one may have is one that it cannot work with.
fn forbidden(
    rule: &VersionRule,
    moved: (Component, Version),
    other: Component,
    its: &[Version],
) -> bool {
    !its.is_empty() && its.iter().all(|its| rule.forbids(moved, (other, *its)))
}

/// The version that runs once a change is done; none where it does not bring one.
fn target(input: &PlanInput<'_>, change: &HostChange) -> Option<Version> {
    let binary = crate::places::binary_path(change.component);
    let file = change.files().iter().find(|f| f.path == binary);
    match file.map(|f| (&f.content, f.after)) {
        Some((Content::Package { version, .. }, _)) => Some(*version),
        // A binary that an earlier run kept.
        Some((Content::Before { .. }, Some(after))) => {
            version_of(input, change.component, &after).ok()?.pop()
        }
        // What is there is started, whatever ran until now.
        _ if change.restarts() => {
            let digest = on_disk(input, change.component, &change.node)?;
            version_of(input, change.component, &digest).ok()?.pop()
        }
        _ => None,
    }
}

/// The binary on disk, where it was seen.
fn on_disk(input: &PlanInput<'_>, component: Component, node: &NodeName) -> Option<Digest> {
    let (agent, server) = (
        input.inventory.agent(node),
        input.inventory.server(component, node),
    );
    let binary = match component {
        Component::Tarsnode => &agent.present()?.binary,
        _ => &server.present()?.binary,
    };
    Some(binary.present()?.digest)
}

/// The versions of a component on a node: of the process, and where none runs, of what would be
/// started. `None` if it is proven not to be there.
fn running(input: &PlanInput<'_>, component: Component, node: &NodeName) -> Option<ReadVersions> {
    let seen = match component {
        _ if input.desired.container(node).is_some() => versions::running(input, component, node),
        Component::Tarsnode => match input.inventory.agent(node) {
            Observed::Present(f) => installed(input, component, &f.binary, &f.processes),
            Observed::Absent => None,
            Observed::Unknown(why) => Some(Err(why)),
        },
        _ => match input.inventory.server(component, node) {
            Observed::Present(f) => installed(input, component, &f.binary, &f.processes),
            Observed::Absent => None,
            Observed::Unknown(why) => Some(Err(why)),
        },
    };
    let says = component == Component::TarsAdminRegistry
        && input.desired.admin().is_some_and(|(at, _)| at == node);
    match seen {
        // Its digest is known to nobody, or was not looked at; then its own word counts.
        Some(Err(why)) if says => Some(admin(input).map_err(|w| format!("{why}; {w}"))),
        seen => seen,
    }
}

/// The versions of what runs, and where nothing does, of what would be started.
fn installed(
    input: &PlanInput<'_>,
    component: Component,
    binary: &Observed<FileFact>,
    processes: &Observed<Vec<ProcessFact>>,
) -> Option<ReadVersions> {
    let first = match processes {
        Observed::Present(all) => all.first(),
        Observed::Absent => None,
        Observed::Unknown(why) => return Some(Err(format!("its processes: {why}"))),
    };
    let digest = match (first.map(|p| &p.exe), binary) {
        (Some(Observed::Present(digest)), _) => *digest,
        (Some(other), _) => {
            let why = other.unknown().unwrap_or("it is gone");
            return Some(Err(format!("the running binary: {why}")));
        }
        (None, Observed::Present(file)) => file.digest,
        (None, Observed::Absent) => return None,
        (None, Observed::Unknown(why)) => return Some(Err(format!("the binary: {why}"))),
    };
    Some(version_of(input, component, &digest))
}

/// What AdminRegistry says of itself.
fn admin(input: &PlanInput<'_>) -> ReadVersions {
    let framework = input.inventory.framework.as_deref();
    let facts = match framework.map(|f| &f.admin) {
        Some(Observed::Present(facts)) => facts,
        Some(Observed::Unknown(why)) => return Err(why.clone()),
        Some(Observed::Absent) | None => return Err("AdminRegistry was not asked".to_owned()),
    };
    match &facts.version {
        Observed::Present(text) => match text.trim().parse() {
            Ok(version) => Ok(vec![version]),
            Err(_) => Err(format!("AdminRegistry says `{text}`")),
        },
        Observed::Unknown(why) => Err(why.clone()),
        Observed::Absent => Err("AdminRegistry does not say it".to_owned()),
    }
}

fn version_of(input: &PlanInput<'_>, component: Component, digest: &Digest) -> ReadVersions {
    let all = input.catalog.versions_of(component, digest);
    if all.is_empty() {
        return Err(format!("its binary {} is in no lock file", digest.short()));
    }
    Ok(all)
}
