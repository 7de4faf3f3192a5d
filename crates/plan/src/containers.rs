//! The framework's container on one node, compared with the spec.
//!
//! What only another container can change is a step that replaces it. What must stay true: a container
//! that would rebuild the database is neither stopped nor started
//! ([`DockerFacts::rebuilds`](tarsops_model::container::DockerFacts::rebuilds)), and one that nobody could
//! see is left alone.

mod compared;
mod obstacles;
mod step;
pub(crate) mod versions;

use tarsops_model::container::{Container, ContainerFacts};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;

use crate::drift::{DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::plan::Step;
use crate::report::{Blocked, ContainerWork, Line};
use compared::Compared;
use obstacles::Look;

/// What there is to say of a node's container.
#[derive(Debug, Default)]
pub(crate) struct ContainerAssessment {
    /// How it differs; none if it is as it should be.
    pub(crate) drift: Option<DriftKind>,
    /// Why it is not changed, and what is to be said of a change.
    pub(crate) lines: Vec<Line>,
    /// The step that replaces it.
    pub(crate) step: Option<Step>,
}

/// Compares the container of `node` with the spec.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    wanted: &Container,
) -> ContainerAssessment {
    let resource = ResourceId::Container(node.clone());
    let unknown = |why: String| ContainerAssessment {
        drift: Some(DriftKind::Unknown { why: vec![why] }),
        ..ContainerAssessment::default()
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
        step: None,
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
    let compared = Compared::of(input, docker, wanted, pin, seen);
    let fields = compared.fields();
    if fields.is_empty() {
        return ContainerAssessment::default();
    }
    let mut work = ContainerAssessment {
        drift: Some(DriftKind::Changed { fields }),
        ..ContainerAssessment::default()
    };
    let block = |why: Blocked| Line::Blocked {
        resource: resource.clone(),
        why,
    };
    if compared.made.is_empty() && compared.state.is_none() {
        let all = without_a_start(&compared, seen).into_iter();
        work.lines.extend(all.map(block));
        return work;
    }
    let look = Look {
        input,
        node,
        spec,
        host,
        docker,
        wanted,
        pin,
        seen,
    };
    let (obstacles, unknown) = look.obstacles();
    if !unknown.is_empty() {
        work.drift = Some(DriftKind::Unknown { why: unknown });
    } else if obstacles.is_empty() {
        work.step = look.step(&compared);
        work.lines.extend(look.overwritten(&compared));
    }
    work.lines.extend(obstacles.into_iter().map(block));
    work
}

/// What is changed without a start, which would install everything again.
fn without_a_start(compared: &Compared, seen: &ContainerFacts) -> Vec<Blocked> {
    let mut out = Vec::new();
    if compared.policy.is_some() {
        out.push(Blocked::RestartPolicy {
            name: seen.name.clone(),
            policy: seen.restart.word().to_owned(),
        });
    }
    if !compared.published.is_empty() {
        out.push(Blocked::PublishedOver {
            components: compared.published.keys().copied().collect(),
        });
    }
    out
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
