//! Which version of a component runs in the framework's container of a node.
//!
//! A container runs what its image holds, and what was published over it since its last start. Lock files
//! know images by their layers, and programs by their digests.

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::container::{ContainerFacts, DockerFacts};
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::version::Version;

use crate::input::PlanInput;

/// The versions that a component on a node may have: a binary can be several; none where that is
/// not known, and why.
pub(crate) type ReadVersions = Result<Vec<Version>, String>;

/// The versions that a program may have: those of the images that hold it, and of its packages, lowest
/// first. None where no lock file knows it.
pub(crate) fn of_program(
    input: &PlanInput<'_>,
    component: Component,
    program: &Digest,
) -> Vec<Version> {
    let holds = |pin: &&ImagePin| pin.binaries.get(&component) == Some(program);
    let images = input.catalog.images.values().filter(holds);
    let mut all: BTreeSet<Version> = images.map(|pin| pin.framework).collect();
    all.extend(input.catalog.versions_of(component, program));
    all.into_iter().collect()
}

/// What lock files have of the image of a container; none where they do not know it.
pub(crate) fn pin_of<'a>(
    input: &PlanInput<'a>,
    docker: &DockerFacts,
    seen: &ContainerFacts,
) -> Option<&'a ImagePin> {
    let id = seen.image?;
    let layers = docker.image(&id).map(|image| &image.layers);
    let mut pins = input.catalog.images.values();
    // An engine that stores images as containerd does has another id of the same layers.
    pins.find(|pin| pin.id == id || layers == Some(&pin.layers))
}

/// The versions of a component in the container of a node: of its process, and where none runs, of what a
/// start would install. `None` if there is proven to be no container.
pub(crate) fn running(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
) -> Option<ReadVersions> {
    let host = input.inventory.host(node);
    let docker = match host.present().and_then(|host| host.docker.as_deref()) {
        Some(docker) => docker,
        None => return Some(Err("the engine of its host was not looked at".to_owned())),
    };
    let seen = match input.inventory.container(node) {
        Observed::Present(seen) => seen,
        Observed::Absent => return None,
        Observed::Unknown(why) => return Some(Err(format!("its container: {why}"))),
    };
    let mut processes = docker.processes_of(seen);
    let Some(process) = processes.find(|process| process.component == component) else {
        return Some(of_image(input, docker, seen));
    };
    let Observed::Present(program) = &process.exe else {
        let why = process.exe.unknown().unwrap_or("it is gone");
        return Some(Err(format!("the running binary: {why}")));
    };
    let all = of_program(input, component, program);
    Some(match all.is_empty() {
        false => Ok(all),
        true => Err(format!(
            "its binary {} is in no image or package of a lock file",
            program.short()
        )),
    })
}

/// The framework's version in the image of a container.
fn of_image(input: &PlanInput<'_>, docker: &DockerFacts, seen: &ContainerFacts) -> ReadVersions {
    match pin_of(input, docker, seen) {
        Some(pin) => Ok(vec![pin.framework]),
        None => Err(format!("its image {} is in no lock file", seen.image_name)),
    }
}
