//! The framework's container on one node, compared with the spec.
//!
//! Nothing is planned for containers yet: what differs is blocked with its reason. What must stay true
//! for whoever plans them: a container that would rebuild the database is neither stopped nor started
//! ([`DockerFacts::rebuilds`]), and one that nobody could see is left alone.

pub(crate) mod versions;

use std::collections::BTreeMap;

use tarsops_model::container::{
    Container, ContainerFacts, DockerFacts, ImageFacts, Network, REBUILD, RestartPolicy,
    asks_for_rebuild,
};
use tarsops_model::host::HostFacts;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;

use crate::drift::{DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::report::{Blocked, ContainerWork, Line};

/// The variable with the password of the installation, of which only the name is ever seen.
const PASSWORD: &str = "MYSQL_ROOT_PASSWORD";
/// The engine's log driver that the limits of a spec are for.
const LOG_DRIVER: &str = "json-file";

/// What there is to say of a node's container.
#[derive(Debug, Default)]
pub(crate) struct ContainerAssessment {
    /// How it differs; none if it is as it should be.
    pub(crate) drift: Option<DriftKind>,
    /// Why it is not changed.
    pub(crate) lines: Vec<Line>,
}

/// Compares the container of `node` with the spec.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    host: &HostFacts,
    wanted: &Container,
) -> ContainerAssessment {
    let resource = ResourceId::Container(node.clone());
    let unknown = |why: String| ContainerAssessment {
        drift: Some(DriftKind::Unknown { why: vec![why] }),
        lines: vec![],
    };
    let Some(docker) = &host.docker else {
        return unknown("the host's engine was not looked at".to_owned());
    };
    if let Some((why, _)) = docker.engine.why(&docker.socket, &host.user) {
        return unknown(why);
    }
    let blocked = |kind: DriftKind, why: Blocked| ContainerAssessment {
        drift: Some(kind),
        lines: vec![Line::Blocked {
            resource: resource.clone(),
            why,
        }],
    };
    let pin = match pin(input, wanted) {
        Ok(pin) => pin,
        Err(why) => {
            let kind = DriftKind::Unknown {
                why: vec![why.to_string()],
            };
            return blocked(kind, why);
        }
    };
    let seen = match input.inventory.container(node) {
        Observed::Present(seen) => seen,
        Observed::Absent => {
            let why = Blocked::NoContainerWork {
                work: ContainerWork::Create,
                differs: vec![],
            };
            return blocked(DriftKind::Missing, why);
        }
        Observed::Unknown(why) => return unknown(why),
    };
    if !seen.is_framework {
        let fields = vec![FieldChange::new(
            "image",
            seen.image_name.as_str(),
            wanted.image.as_str(),
        )];
        let why = Blocked::ForeignContainer {
            name: seen.name.clone(),
        };
        return blocked(DriftKind::Changed { fields }, why);
    }
    let image = seen.image.and_then(|id| docker.image(&id));
    let mut fields = compared(wanted, pin, seen, image);
    let recreated = !fields.is_empty();
    fields.extend(running(docker, pin, seen));
    if !seen.runs() {
        fields.push(FieldChange::new("state", seen.state.as_str(), "running"));
    }
    if fields.is_empty() {
        return ContainerAssessment::default();
    }
    let work = if recreated {
        ContainerWork::Replace
    } else {
        ContainerWork::Start
    };
    let differs = fields
        .iter()
        .map(|f| format!("{}: {} → {}", f.field, f.old, f.new));
    let why = Blocked::NoContainerWork {
        work,
        differs: differs.collect(),
    };
    blocked(DriftKind::Changed { fields }, why)
}

/// The pinned image, if it holds what the spec wants.
fn pin<'a>(input: &PlanInput<'a>, wanted: &Container) -> Result<&'a ImagePin, Blocked> {
    let image = &wanted.image;
    let pin = input.catalog.images.get(image);
    let pin = pin.ok_or_else(|| Blocked::NoImage {
        image: image.clone(),
    })?;
    if pin.framework == wanted.version {
        return Ok(pin);
    }
    Err(Blocked::OtherImage {
        image: image.clone(),
        holds: pin.framework,
        wanted: wanted.version,
    })
}

/// What can only be changed by another container.
fn compared(
    wanted: &Container,
    pin: &ImagePin,
    seen: &ContainerFacts,
    image: Option<&ImageFacts>,
) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    // An engine that stores images as containerd does has another id of the same layers.
    let same = seen.image == Some(pin.id) || image.is_some_and(|i| i.layers == pin.layers);
    if !same {
        let old = match seen.image {
            Some(id) => format!("{} ({})", seen.image_name, id.short()),
            None => seen.image_name.clone(),
        };
        let new = format!("{} ({})", pin.name, pin.id.short());
        fields.push(FieldChange::new("image", old, new));
    }
    let network = wanted.network.to_string();
    if seen.network != network {
        fields.push(FieldChange::new("network", seen.network.as_str(), network));
    } else if let Network::Bridge(_) = wanted.network {
        let address = wanted.ip.to_string();
        let has = seen.address.clone().unwrap_or_else(|| "none".to_owned());
        if has != address {
            fields.push(FieldChange::new("address", has, address));
        }
    }
    if seen.restart != RestartPolicy::Always {
        let always = RestartPolicy::Always.word();
        fields.push(FieldChange::new(
            "restart policy",
            seen.restart.word(),
            always,
        ));
    }
    logs(wanted, seen, &mut fields);
    mounts(wanted, seen, &mut fields);
    environment(wanted, seen, image, &mut fields);
    fields
}

fn logs(wanted: &Container, seen: &ContainerFacts, fields: &mut Vec<FieldChange>) {
    let (driver, options) = &seen.log;
    let of = |name: &str| options.get(name).map_or("unlimited", String::as_str);
    let old = match driver.as_str() {
        LOG_DRIVER => format!("{} × {}", of("max-file"), of("max-size")),
        other => other.to_owned(),
    };
    let new = format!("{} × {}", wanted.log_files, wanted.log_size);
    if old != new {
        fields.push(FieldChange::new("logs", old, new));
    }
}

fn mounts(wanted: &Container, seen: &ContainerFacts, fields: &mut Vec<FieldChange>) {
    let places = wanted.mounts.keys().chain(seen.mounts.keys());
    let places: std::collections::BTreeSet<&String> = places.collect();
    for place in places {
        let (old, new) = (seen.mounts.get(place), wanted.mounts.get(place));
        if old != new {
            let text = |mount: Option<&tarsops_model::container::Mount>| {
                mount.map_or_else(|| "none".to_owned(), ToString::to_string)
            };
            fields.push(FieldChange::new(
                &format!("mount {place}"),
                text(old),
                text(new),
            ));
        }
    }
}

/// Compares environments by what they mean to the entrypoint (framework `deploy/docker-init.sh`).
fn environment(
    wanted: &Container,
    seen: &ContainerFacts,
    image: Option<&ImageFacts>,
    fields: &mut Vec<FieldChange>,
) {
    let none = BTreeMap::new();
    let of_image = image.map_or(&none, |i| &i.environment);
    for (name, value) in &wanted.environment {
        let has = seen.variable(name);
        let same = match name.as_str() {
            // Only this word makes a slave.
            "SLAVE" => (has == Some("true")) == (value == "true"),
            REBUILD => has.is_none_or(|v| !asks_for_rebuild(v)),
            "MYSQL_PORT" => has.unwrap_or("3306") == value,
            "MYSQL_USER" => has.unwrap_or("root") == value,
            // Without it the address is that of an interface, which the framework's rows show.
            "DOMAIN" => has.is_none_or(|v| v == value),
            _ => has == Some(value),
        };
        if !same {
            let old = match (name.as_str(), has) {
                // So that no text of a plan reads as if it asked for one.
                (REBUILD, Some(value)) => format!("set to {value}"),
                (_, value) => value.unwrap_or("not set").to_owned(),
            };
            fields.push(FieldChange::new(&format!("environment {name}"), old, value));
        }
    }
    if !seen.environment.contains_key(PASSWORD) {
        let field = format!("environment {PASSWORD}");
        fields.push(FieldChange::new(&field, "not set", "set"));
    }
    // Without the image nobody knows which of the others are the image's own.
    if image.is_none() {
        return;
    }
    for (name, value) in &seen.environment {
        let expected = [PASSWORD, "INET"].contains(&name.as_str())
            || wanted.environment.contains_key(name)
            || of_image.get(name) == Some(value);
        if !expected {
            let old = value.as_deref().unwrap_or("set");
            let field = format!("environment {name}");
            fields.push(FieldChange::new(&field, old, "not set"));
        }
    }
}

/// Programs that run in the container and are not the image's.
fn running(docker: &DockerFacts, pin: &ImagePin, seen: &ContainerFacts) -> Vec<FieldChange> {
    let other = docker.processes_of(seen).filter_map(|process| {
        let (runs, shipped) = (
            process.exe.present()?,
            pin.binaries.get(&process.component)?,
        );
        let field = format!("running {}", process.component);
        (runs != shipped).then(|| FieldChange::new(&field, runs.short(), shipped.short()))
    });
    let mut all: Vec<FieldChange> = other.collect();
    all.sort_by(|a, b| a.field.cmp(&b.field));
    all.dedup();
    all
}
