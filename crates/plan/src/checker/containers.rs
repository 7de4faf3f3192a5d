//! Law 9: nothing is done to a container of which the next start would drop the framework's databases,
//! and nothing to one that could not be seen.
//!
//! Every change of a container ends in a start of it or of the one before. Whatever the action is, its
//! step works on the container as its resource.

use tarsops_model::container::{REBUILD, asks_for_rebuild};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use crate::input::PlanInput;
use crate::plan::Plan;
use crate::violation::{Violation, violation};

pub(super) fn check(plan: &Plan, input: &PlanInput<'_>, found: &mut Vec<Violation>) {
    for step in &plan.steps {
        if let ResourceId::Container(node) = &step.resource
            && let Some(why) = forbidden(input, node)
        {
            found.push(violation(&step.id, why));
        }
    }
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
