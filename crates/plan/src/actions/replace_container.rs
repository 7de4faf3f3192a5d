//! The replacement of the framework's container on a host.
//!
//! Every start of such a container is an installation (framework `deploy/docker-init.sh`,
//! `deploy/tars-install.sh`), so that the step takes everything of the framework on its host away for a
//! while, and changes rows.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::container::{
    Container, ContainerFacts, Mount, Network, REBUILD, RestartPolicy, SHOWN, asks_for_rebuild,
};
use tarsops_model::desired::Policy;
use tarsops_model::digest::Digest;
use tarsops_model::framework::Answer;
use tarsops_model::host::NodeState;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{AbsPath, ContainerName, ImageName, NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use super::images::Images;
use super::kind::{
    ActionKind, Changes, Interruption, OnHost, Order, Settle, StepView, Target, UndoBy, Writes,
};
use crate::condition::Condition;
use crate::input::PlanInput;
use crate::inventory_edit::host_mut;
use crate::places::endpoint_at;
use crate::stage::{ChangeKind, Stage};

/// Puts another container of the framework in the place of the one that is there. The old one is kept
/// under another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplaceContainer {
    /// The node.
    pub node: NodeName,
    /// The machine-id of its host.
    pub machine_id: String,
    /// The engine's socket.
    pub socket: AbsPath,
    /// The container's name.
    pub name: ContainerName,
    /// The container that is there.
    pub old: ReplacedContainer,
    /// The container that comes.
    pub new: NewContainer,
    /// What has to run in it: the program of each component.
    pub programs: BTreeMap<Component, Digest>,
    /// TCP ports that have to be listened at in its network.
    pub ports: BTreeSet<u16>,
    /// Seconds that a container may take to stop before it is killed.
    pub stop_timeout: u64,
    /// The management platform in the image of the container that comes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Version>,
}

/// The container that is replaced. A rollback knows no more of it than is said here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedContainer {
    /// The engine's id of it.
    pub id: String,
    /// The image that it was made from.
    pub image: Digest,
    /// Whether it ran when the step was planned.
    pub ran: bool,
    /// The programs that its start installs, as far as they are known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub programs: BTreeMap<Component, Digest>,
    /// The management platform in its image, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Version>,
}

/// The container that takes the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewContainer {
    /// One that does not exist yet.
    Create(ContainerCreation),
    /// One that a run has replaced, which this rolls back.
    Back {
        /// The engine's id of it.
        id: String,
        /// The image that it was made from.
        image: Digest,
        /// The run.
        undoes: RunId,
    },
}

/// What a new container is made of. The password of the installation is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerCreation {
    /// The engine's id of its image, which is on the host already.
    pub image: Digest,
    /// What the spec calls the image.
    pub image_name: ImageName,
    /// Its environment without the password.
    pub environment: BTreeMap<String, String>,
    /// What the host gives it, by the place inside of it.
    pub mounts: BTreeMap<String, Mount>,
    /// Its network.
    pub network: Network,
    /// Its address in a network of the engine.
    pub ip: IpAddr,
    /// The size at which the engine begins a new log file, as it is written (`100m`).
    pub log_size: String,
    /// How many log files the engine keeps.
    pub log_files: u32,
}

impl ContainerCreation {
    /// What the spec wants, of the image that a host's engine calls `image`.
    #[must_use]
    pub fn of(wanted: &Container, image: Digest) -> Self {
        Self {
            image,
            image_name: wanted.image.clone(),
            environment: wanted.environment.clone(),
            mounts: wanted.mounts.clone(),
            network: wanted.network.clone(),
            ip: wanted.ip,
            log_size: wanted.log_size.clone(),
            log_files: wanted.log_files,
        }
    }

    /// Whether an engine says of a container what it says of one that was made of this. Of the
    /// environment only the values that leave the host are compared.
    fn is_in(&self, seen: &ContainerFacts) -> bool {
        let shown = self
            .environment
            .iter()
            .filter(|(name, _)| SHOWN.contains(&name.as_str()));
        let mut same = shown.map(|(name, value)| seen.variable(name) == Some(value));
        seen.image == Some(self.image)
            && seen.network == self.network.to_string()
            && seen.mounts == self.mounts
            && same.all(|same| same)
    }

    /// Writes into what an engine says of a container what it says of one that was made of this.
    fn write_into(&self, seen: &mut ContainerFacts) {
        let password = seen.environment.remove_entry("MYSQL_ROOT_PASSWORD");
        seen.image = Some(self.image);
        self.image_name.as_str().clone_into(&mut seen.image_name);
        let set = self.environment.iter();
        seen.environment = set.map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
        seen.environment.extend(password);
        seen.mounts.clone_from(&self.mounts);
        seen.network = self.network.to_string();
        seen.address = match self.network {
            Network::Host => None,
            Network::Bridge(_) => Some(self.ip.to_string()),
        };
        let limits = [
            ("max-size", self.log_size.clone()),
            ("max-file", self.log_files.to_string()),
        ];
        let limits = limits.map(|(n, v)| (n.to_owned(), v)).into();
        seen.log = ("json-file".to_owned(), limits);
    }
}

impl ReplaceContainer {
    /// The image of the container that comes.
    #[must_use]
    pub const fn image(&self) -> Digest {
        match &self.new {
            NewContainer::Create(new) => new.image,
            NewContainer::Back { image, .. } => *image,
        }
    }

    /// The run that it rolls back; none where it brings the host to the spec.
    #[must_use]
    pub const fn undoes(&self) -> Option<&RunId> {
        match &self.new {
            NewContainer::Create(_) => None,
            NewContainer::Back { undoes, .. } => Some(undoes),
        }
    }

    /// Whether a container is the one that this has put in the place of the old one, unless somebody has
    /// made another one of the same kind.
    #[must_use]
    pub fn has_made(&self, seen: &ContainerFacts) -> bool {
        match &self.new {
            NewContainer::Create(new) => seen.id != self.old.id && new.is_in(seen),
            NewContainer::Back { id, .. } => seen.id == *id,
        }
    }

    /// What must hold before it, whatever else a plan asks for.
    #[must_use]
    pub fn preconditions(&self) -> Vec<Condition> {
        let mut out = vec![
            Condition::Machine {
                id: self.machine_id.clone(),
            },
            Condition::Unfinished { run: None },
            Condition::ContainerIs {
                id: self.old.id.clone(),
            },
            Condition::NoRebuild {
                name: self.name.clone(),
            },
            Condition::DatabaseRead,
        ];
        out.push(match &self.new {
            NewContainer::Create(new) => Condition::ImageThere { id: new.image },
            NewContainer::Back { id, .. } => Condition::ContainerRetired { id: id.clone() },
        });
        out
    }

    /// What must hold after it.
    #[must_use]
    pub fn postconditions(&self) -> Vec<Condition> {
        vec![
            Condition::ContainerRuns {
                instead_of: self.old.id.clone(),
                image: Some(self.image()),
            },
            Condition::Registered,
        ]
    }

    /// What must hold before it where its registry runs: another one answers meanwhile.
    #[must_use]
    pub fn another_registry(&self, ip: IpAddr, policy: &Policy) -> Option<Condition> {
        let guarded = self.old.ran && !policy.registry_gap;
        guarded.then(|| Condition::AnotherRegistry {
            but: endpoint_at(ip),
        })
    }
}

impl ReplaceContainer {
    /// Whether its step has the conditions that it needs in any plan.
    fn check_conditions(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let lacks = |all: &[Condition], c: &Condition| !all.contains(c);
        let pre = self.preconditions();
        let post = self.postconditions();
        if pre.iter().any(|c| lacks(step.pre, c)) || post.iter().any(|c| lacks(step.post, c)) {
            say("it does not check the machine, the container, its image, or its own result");
        }
    }
}

impl ActionKind for ReplaceContainer {
    type Inverse = Infallible;

    fn target(&self) -> Target<'_> {
        Target::Host(OnHost {
            component: None,
            interrupts: Some(Interruption {
                node: &self.node,
                component: Component::Tarsnode,
                ran: self.old.ran,
                is_removal: false,
                is_new: false,
                is_whole: true,
            }),
            settle: Settle::Registry,
            programs: Some(&self.programs),
        })
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Container(self.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        vec![(Stage::Containers, ChangeKind::Change)]
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        // The installation in it writes rows and templates.
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, node: &NodeName) -> Order {
        match *node == self.node {
            true => Order::Before,
            false => Order::Any,
        }
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::Restore
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        let docker = host_mut(inventory, &self.node).and_then(|h| h.docker.as_mut());
        let all = docker.and_then(|docker| match &mut docker.containers {
            Observed::Present(all) => Some((all, &mut docker.processes)),
            _ => None,
        });
        let Some((all, processes)) = all else { return };
        let Some(at) = all.iter().position(|c| c.name == self.name.as_str()) else {
            return;
        };
        let mut came = all[at].clone();
        all[at].name = format!("{}.old-{}", self.name, all[at].id);
        "exited".clone_into(&mut all[at].state);
        all[at].restart = RestartPolicy::No;
        (all[at].pid, all[at].namespace) = (None, None);
        match &self.new {
            NewContainer::Create(new) => {
                // The engine gives it an id that nobody knows before.
                came.id = format!("replaced {}", self.old.id);
                new.write_into(&mut came);
            }
            NewContainer::Back { id, .. } => {
                let Some(back) = all.iter().position(|c| c.id == *id) else {
                    return;
                };
                let back = all.remove(back);
                came = ContainerFacts {
                    name: came.name,
                    pid: came.pid,
                    namespace: came.namespace,
                    ..back
                };
            }
        }
        "running".clone_into(&mut came.state);
        came.restart = RestartPolicy::Always;
        all.push(came.clone());
        for process in processes {
            if let Some(digest) = self.programs.get(&process.component) {
                process.exe = Observed::Present(*digest);
            }
        }
        if let (NewContainer::Create(new), Some(framework)) =
            (&self.new, inventory.framework.as_mut())
            && let Some(answer) = framework.registries.get_mut(&endpoint_at(new.ip))
        {
            *answer = Answer::Answers;
        }
        let seen = inventory.resources.get_mut(&self.resource());
        if let Some(Observed::Present(Facts::Container(seen))) = seen {
            **seen = came;
        }
    }

    fn installs(&self) -> bool {
        // One that comes back has what it was made with.
        matches!(self.new, NewContainer::Create(_))
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let Some(wanted) = step.desired.container(&self.node) else {
            return say("the spec has no container there");
        };
        if self.socket != wanted.socket || self.name != wanted.name {
            say("it is about another container than the spec's");
        }
        let NewContainer::Create(new) = &self.new else {
            return say("it rolls a run back");
        };
        if *new != ContainerCreation::of(wanted, new.image) {
            say("it makes another container than the spec wants");
        }
        let rebuild = new.environment.get(REBUILD);
        if rebuild.is_none_or(|value| asks_for_rebuild(value)) {
            say("the container that it makes may drop the databases");
        }
        self.check_conditions(step, say);
        let host = step.desired.host(&self.node);
        let guard = host.and_then(|host| self.another_registry(host.ip, &step.desired.policy));
        if guard.is_some_and(|guard| !step.pre.contains(&guard)) {
            say("it stops a registry without making sure that another one lives");
        }
        if self.programs.is_empty() {
            say("it does not say what has to run in the container");
        }
    }

    fn check_pins(&self, input: &PlanInput<'_>, say: &mut dyn FnMut(&str)) {
        let NewContainer::Create(new) = &self.new else {
            return;
        };
        let Some(pin) = input.catalog.images.get(&new.image_name) else {
            return say("no lock file has its image");
        };
        let host = input.inventory.host(&self.node);
        let docker = host.present().and_then(|h| h.docker.as_deref());
        let layers = docker.and_then(|d| d.image(&new.image)).map(|i| &i.layers);
        if new.image != pin.id && layers != Some(&pin.layers) {
            say("it makes a container of another image than the lock file has");
        }
        let pinned = |(component, digest)| pin.binaries.get(component) == Some(digest);
        if !self.programs.iter().all(pinned) {
            say("it waits for programs that its image does not have");
        }
        if self.console != pin.console {
            say("it names another management platform than its image has");
        }
    }

    fn check_rollback(&self, step: &StepView<'_>, run: &RunId, say: &mut dyn FnMut(&str)) {
        let host = step.desired.host(&self.node);
        let (Some(wanted), Some(host)) = (step.desired.container(&self.node), host) else {
            return say("the spec has no container there");
        };
        if matches!(host.state, NodeState::Maintenance { .. } | NodeState::Gone) {
            say("its node must not be changed");
        }
        if self.socket != wanted.socket || self.name != wanted.name {
            say("it is about another container than the spec's");
        }
        if self.undoes() != Some(run) {
            say("it rolls another run back, or none");
        }
        self.check_conditions(step, say);
    }
}
