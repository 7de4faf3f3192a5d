//! Law 9: nothing is done to a container of which the next start would drop the framework's databases,
//! and nothing to one that could not be seen. Containers change one at a time, slaves before the master
//! unless only the master brings what a slave's tarsnode needs.
//!
//! Every change of a container ends in a start of it or of the one before. Whatever the action is, its
//! step works on the container as its resource.

use std::collections::BTreeMap;

use tarsops_model::component::{Component, Role};

use tarsops_model::container::{REBUILD, asks_for_rebuild};
use tarsops_model::coupling::forbids;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::input::PlanInput;
use crate::plan::{Plan, Stage};
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    for step in &plan.steps {
        if let ResourceId::Container(node) = &step.resource
            && let Some(why) = forbidden(input, node)
        {
            found.push(violation(&step.id, why));
        }
    }
    one_at_a_time(plan, found);
    if plan.rolls_back.is_none() {
        in_order(plan, input, found);
    }
}

fn one_at_a_time(plan: &Plan, found: &mut Vec<Violation>) {
    let mut batches: BTreeMap<u32, (usize, Option<&str>)> = BTreeMap::new();
    for step in &plan.steps {
        let (count, container) = batches.entry(step.batch).or_default();
        *count += 1;
        if let ResourceId::Container(_) = step.resource
            && step.stage != Stage::Recover
        {
            *container = Some(&step.id);
        }
    }
    for (count, container) in batches.into_values() {
        if let (Some(id), true) = (container, count > 1) {
            found.push(violation(
                id,
                "something else changes together with a container",
            ));
        }
    }
}

fn in_order(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    let mut master = None;
    for step in plan.steps.iter().filter(|s| s.stage == Stage::Containers) {
        let ResourceId::Container(node) = &step.resource else {
            continue;
        };
        match input.desired.host(node).map(|host| host.role) {
            Some(Role::Master) => master = Some(step.id.as_str()),
            _ if may_follow(input, node) => {}
            _ => {
                if let Some(id) = master {
                    found.push(violation(id, "it comes before the container of a slave"));
                }
            }
        }
    }
}

/// Whether the container of a slave may follow the master's: its tarsnode may need a newer AdminRegistry than
/// the cluster has.
fn may_follow(input: &PlanInput<'_>, slave: &NodeName) -> bool {
    let Some(to) = input.desired.container(slave).map(|c| c.version) else {
        return true;
    };
    let admin = Component::TarsAdminRegistry;
    let framework = input.inventory.framework.as_deref();
    let word = framework.and_then(|f| f.admin.present()?.version.present());
    let mut versions: Vec<Version> = word
        .and_then(|v| v.trim().parse().ok())
        .into_iter()
        .collect();
    let master = input.inventory.host(&input.desired.master);
    let docker = master.present().and_then(|host| host.docker.as_deref());
    let programs = docker.into_iter().flat_map(|d| &d.processes);
    let programs = programs.filter(|p| p.component == admin);
    for digest in programs.filter_map(|p| p.exe.present()) {
        versions.extend(input.catalog.versions_of(admin, digest));
        let images = input.catalog.images.values();
        let images = images.filter(|pin| pin.binaries.get(&admin) == Some(digest));
        versions.extend(images.map(|pin| pin.framework));
    }
    let needs = |its: &Version| forbids((Component::Tarsnode, to), (admin, *its)).is_some();
    versions.is_empty() || versions.iter().any(needs)
}

/// Why the container of a node is left alone, if it is.
fn forbidden(input: &PlanInput<'_>, node: &NodeName) -> Option<String> {
    let host = match input.inventory.host(node) {
        Observed::Present(host) => host,
        _ => return Some("the host of its container was not seen".to_owned()),
    };
    let docker = host.docker.as_deref();
    let (Some(docker), Some(all)) = (docker, docker.and_then(|d| d.containers.present())) else {
        return Some("the containers of its host were not seen".to_owned());
    };
    if !docker.unread.is_empty() {
        return Some("a file that describes its container could not be read".to_owned());
    }
    // Of all of them: which one a restart of the engine starts is not a matter of names.
    let environments = all
        .iter()
        .filter(|c| c.is_framework || docker.wanted.as_ref().is_some_and(|n| n.as_str() == c.name))
        .map(|c| &c.environment)
        .chain(docker.images.iter().map(|i| &i.environment));
    for environment in environments {
        if let Some(Some(value)) = environment.get(REBUILD)
            && asks_for_rebuild(value)
        {
            return Some("a start of its container would drop the databases".to_owned());
        }
    }
    docker.rebuild.iter().any(|text| text.is_armed()).then(|| {
        "a file on its host would drop the databases with a start of its container".to_owned()
    })
}
