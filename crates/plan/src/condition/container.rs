//! Conditions over the framework's container, as the engine of its host says.

use tarsops_model::container::{ContainerFacts, DockerFacts};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::{Condition, Truth, on_host, truth};

impl Condition {
    /// Evaluates a condition over the container of `node` or its engine.
    pub(super) fn of_container(&self, node: &NodeName, inventory: &Inventory) -> Truth {
        match self {
            Self::ContainerIs { id } => on_container(node, inventory, |seen| {
                truth(seen.id == *id, || "its container is another one".to_owned())
            }),
            Self::ContainerRuns { instead_of, image } => on_container(node, inventory, |seen| {
                if seen.id == *instead_of {
                    return Truth::Fails("its container was not replaced".to_owned());
                }
                if image.is_some() && seen.image != *image {
                    return Truth::Fails("its container is of another image".to_owned());
                }
                truth(seen.runs(), || format!("its container is {}", seen.state))
            }),
            Self::ContainerRetired { id } => on_engine(node, inventory, |docker| {
                let all = match &docker.containers {
                    Observed::Present(all) => all,
                    Observed::Absent => &Vec::new(),
                    Observed::Unknown(why) => {
                        return Truth::Unknown(format!("its containers: {why}"));
                    }
                };
                match all.iter().find(|c| c.id == *id) {
                    Some(seen) => truth(!seen.runs(), || format!("{} runs", seen.name)),
                    None => Truth::Fails("the container that it goes back to is gone".to_owned()),
                }
            }),
            Self::ImageThere { id } => on_engine(node, inventory, |docker| {
                truth(docker.image(id).is_some(), || {
                    format!("its engine does not have the image {}", id.short())
                })
            }),
            Self::NoRebuild { name } => on_engine(node, inventory, |docker| {
                if let Some(file) = docker.unread.first() {
                    return Truth::Unknown(format!("{file} could not be read"));
                }
                match docker.rebuilds(name.as_str()).first() {
                    None => Truth::Holds,
                    Some((place, _)) => Truth::Fails(format!(
                        "a start of its container would drop the databases ({place})"
                    )),
                }
            }),
            _ => Truth::Unknown("it is not about a container".to_owned()),
        }
    }
}

fn on_container(
    node: &NodeName,
    inventory: &Inventory,
    f: impl FnOnce(&ContainerFacts) -> Truth,
) -> Truth {
    match inventory.container(node) {
        Observed::Present(seen) => f(seen),
        Observed::Absent => Truth::Fails("its container is not there".to_owned()),
        Observed::Unknown(why) => Truth::Unknown(format!("its container: {why}")),
    }
}

fn on_engine(
    node: &NodeName,
    inventory: &Inventory,
    f: impl FnOnce(&DockerFacts) -> Truth,
) -> Truth {
    on_host(node, inventory, |host| match host.docker.as_deref() {
        None => Truth::Unknown("its engine was not looked at".to_owned()),
        Some(docker) => match docker.engine.why(&docker.socket, &host.user) {
            Some((why, _)) => Truth::Unknown(why),
            None => f(docker),
        },
    })
}
