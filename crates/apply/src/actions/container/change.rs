//! What a host is asked to do, of what a step says and what was seen.

use std::collections::BTreeMap;

use tarsops_model::component::Component;
use tarsops_model::container;
use tarsops_model::digest::Digest;
use tarsops_model::names::AbsPath;
use tarsops_plan::action::{self as planned, ReplaceContainer};
use tarsops_plan::places::binary_path;

use super::account;
use crate::containers::{ContainerChange, Creation, Mount, Network, NewContainer, OldContainer};
use crate::job::Job;
use crate::verdict::Verdict;

/// Free bytes for the layer that a container writes: its installation copies each program of the image.
const SPACE: u64 = 512 << 20;
/// Where the framework is in a container (framework `deploy/tars-install.sh`).
const TARS: &str = "/usr/local/app/tars";
/// The restart policy of the framework's container.
const POLICY: container::RestartPolicy = container::RestartPolicy::Always;

/// The replacement that the step says.
///
/// # Errors
/// The verdict of a step that cannot be begun.
pub(super) fn there(job: &Job<'_>, step: &ReplaceContainer) -> Result<ContainerChange, Verdict> {
    let new = match &step.new {
        planned::NewContainer::Create(new) => {
            let account = account::of(job)?;
            NewContainer::Create(Creation {
                image: image(&new.image),
                environment: new.environment.clone(),
                password: Some(account.password().clone()),
                mounts: mounts(&new.mounts)?,
                network: match &new.network {
                    container::Network::Host => Network::Host,
                    container::Network::Bridge(name) => Network::Bridge(name.to_string(), new.ip),
                },
                logs: (new.log_size.clone(), new.log_files),
                space: SPACE,
            })
        }
        planned::NewContainer::Back { id, .. } => NewContainer::Back(id.clone()),
    };
    let old = OldContainer {
        id: step.old.id.clone(),
        adopt: Some(image(&step.old.image)),
    };
    Ok(change(job, step, old, new, &step.programs))
}

fn change(
    job: &Job<'_>,
    step: &ReplaceContainer,
    old: OldContainer,
    new: NewContainer,
    programs: &BTreeMap<Component, Digest>,
) -> ContainerChange {
    let policy = &job.run.desired.policy;
    let path = |c: &Component| format!("{TARS}/{}", binary_path(*c));
    ContainerChange {
        socket: step.socket.clone(),
        name: step.name.to_string(),
        old: Some(old),
        new,
        policy: POLICY.word().to_owned(),
        programs: programs.iter().map(|(c, d)| (path(c), *d)).collect(),
        ports: step.ports.clone(),
        // The framework is watched for longer once the host is done.
        settle: policy.settle,
        deadline: policy.deadline,
        stop_timeout: step.stop_timeout,
        summary: job.step.summary.clone(),
    }
}

fn image(id: &Digest) -> String {
    format!("sha256:{id}")
}

fn mounts(all: &BTreeMap<String, container::Mount>) -> Result<Vec<Mount>, Verdict> {
    let path = |text: &String| {
        AbsPath::new(text)
            .map_err(|e| Verdict::NotStarted(format!("the mount of {text} in the container: {e}")))
    };
    let one = |(target, mount): (&String, &container::Mount)| {
        Ok(Mount {
            source: path(&mount.source)?,
            target: path(target)?,
            read_only: !mount.writable,
        })
    };
    all.iter().map(one).collect()
}
