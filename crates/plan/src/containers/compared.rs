//! How the framework's container on a node differs from the spec.

use std::collections::BTreeMap;

use tarsops_model::component::Component;
use tarsops_model::container::{
    Container, ContainerFacts, DockerFacts, ImageFacts, Network, REBUILD, RestartPolicy,
    asks_for_rebuild,
};
use tarsops_model::package::ImagePin;

use super::versions;
use crate::drift::FieldChange;
use crate::input::PlanInput;

/// The variable with the password of the installation, of which only the name is ever seen.
const PASSWORD: &str = "MYSQL_ROOT_PASSWORD";
/// The engine's log driver that the limits of a spec are for.
const LOG_DRIVER: &str = "json-file";

/// How a container differs from the spec.
pub(super) struct Compared {
    /// What only another container can change.
    pub(super) made: Vec<FieldChange>,
    /// The restart policy, which is changed without a start.
    pub(super) policy: Option<FieldChange>,
    /// Programs that were published over those of its image, by component.
    pub(super) published: BTreeMap<Component, FieldChange>,
    /// That it does not run.
    pub(super) state: Option<FieldChange>,
}

impl Compared {
    /// Compares what an engine says of a container with the spec and with what the lock file has of its image.
    pub(super) fn of(
        input: &PlanInput<'_>,
        docker: &DockerFacts,
        wanted: &Container,
        pin: &ImagePin,
        seen: &ContainerFacts,
    ) -> Self {
        let image = seen.image.and_then(|id| docker.image(&id));
        let always = RestartPolicy::Always;
        let policy = FieldChange::new("restart policy", seen.restart.word(), always.word());
        // Programs of another image are that image's.
        let own = versions::pin_of(input, docker, seen);
        let own = own.or((seen.image == Some(pin.id)).then_some(pin));
        Self {
            made: made(wanted, pin, seen, image),
            policy: (seen.restart != always).then_some(policy),
            published: own.map_or_else(BTreeMap::new, |own| published(docker, own, seen)),
            state: (!seen.runs())
                .then(|| FieldChange::new("state", seen.state.as_str(), "running")),
        }
    }

    /// Everything, in the order in which it is shown.
    pub(super) fn fields(&self) -> Vec<FieldChange> {
        let rest = self.policy.iter().chain(self.published.values());
        let all = self.made.iter().chain(rest).chain(&self.state);
        all.cloned().collect()
    }
}

fn made(
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

/// Programs that run in the container and are not its image's.
fn published(
    docker: &DockerFacts,
    pin: &ImagePin,
    seen: &ContainerFacts,
) -> BTreeMap<Component, FieldChange> {
    let other = docker.processes_of(seen).filter_map(|process| {
        let (runs, shipped) = (
            process.exe.present()?,
            pin.binaries.get(&process.component)?,
        );
        let field = format!("running {}", process.component);
        let change = FieldChange::new(&field, runs.short(), shipped.short());
        (runs != shipped).then_some((process.component, change))
    });
    other.collect()
}
