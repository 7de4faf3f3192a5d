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
    Container, ContainerFacts, Mount, Network, REBUILD, RestartPolicy, asks_for_rebuild,
};
use tarsops_model::desired::Policy;
use tarsops_model::digest::Digest;
use tarsops_model::framework::Answer;
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{AbsPath, ContainerName, ImageName, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

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
}

/// The container that is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplacedContainer {
    /// The engine's id of it.
    pub id: String,
    /// The image that it was made from.
    pub image: Digest,
    /// Whether it ran when the step was planned.
    pub ran: bool,
}

/// The container that takes the place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewContainer {
    /// One that does not exist yet.
    Create(ContainerCreation),
    /// One that was replaced before.
    Back {
        /// The engine's id of it.
        id: String,
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
        if let NewContainer::Create(new) = &self.new {
            out.push(Condition::ImageThere { id: new.image });
        }
        out
    }

    /// What must hold after it.
    #[must_use]
    pub fn postconditions(&self) -> Vec<Condition> {
        let image = match &self.new {
            NewContainer::Create(new) => Some(new.image),
            NewContainer::Back { .. } => None,
        };
        vec![
            Condition::ContainerRuns {
                instead_of: self.old.id.clone(),
                image,
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
        let change = |seen: &mut ContainerFacts| {
            match &self.new {
                NewContainer::Create(new) => {
                    // The engine gives it an id that nobody knows before.
                    seen.id = format!("replaced {}", self.old.id);
                    new.write_into(seen);
                }
                NewContainer::Back { id } => id.clone_into(&mut seen.id),
            }
            "running".clone_into(&mut seen.state);
            seen.restart = RestartPolicy::Always;
        };
        if let Some(docker) = host_mut(inventory, &self.node).and_then(|h| h.docker.as_mut()) {
            if let Observed::Present(all) = &mut docker.containers {
                let own = all.iter_mut().filter(|c| c.name == self.name.as_str());
                own.for_each(change);
            }
            for process in &mut docker.processes {
                if let Some(digest) = self.programs.get(&process.component) {
                    process.exe = Observed::Present(*digest);
                }
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
            change(seen);
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
            return say("it brings a container back that was replaced");
        };
        if *new != ContainerCreation::of(wanted, new.image) {
            say("it makes another container than the spec wants");
        }
        let rebuild = new.environment.get(REBUILD);
        if rebuild.is_none_or(|value| asks_for_rebuild(value)) {
            say("the container that it makes may drop the databases");
        }
        let lacks = |all: &[Condition], c: &Condition| !all.contains(c);
        let pre = self.preconditions();
        let post = self.postconditions();
        if pre.iter().any(|c| lacks(step.pre, c)) || post.iter().any(|c| lacks(step.post, c)) {
            say("it does not check the machine, the container, its image, or its own result");
        }
        let host = step.desired.host(&self.node);
        let guard = host.and_then(|host| self.another_registry(host.ip, &step.desired.policy));
        if guard.is_some_and(|guard| lacks(step.pre, &guard)) {
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
    }
}
