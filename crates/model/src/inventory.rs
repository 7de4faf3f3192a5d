//! What a probe saw of a cluster at one instant.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agent::AgentFacts;
use crate::component::Component;
use crate::console::ConsoleFacts;
use crate::container::ContainerFacts;
use crate::framework::FrameworkFacts;
use crate::host::HostFacts;
use crate::names::NodeName;
use crate::observed::Observed;
use crate::resource::ResourceId;
use crate::server::ServerFacts;

/// The observed state of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facts {
    /// Of a machine.
    Host(Box<HostFacts>),
    /// Of `tarsnode` on a machine.
    Agent(Box<AgentFacts>),
    /// Of another component on a machine.
    Server(Box<ServerFacts>),
    /// Of the framework's container on a machine.
    Container(Box<ContainerFacts>),
    /// Of the management platform.
    Console(Box<ConsoleFacts>),
}

/// What was seen, by resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// When the probe began, in seconds since 1970 by the control machine's clock.
    pub observed_at: i64,
    /// Everything that was looked for.
    pub resources: BTreeMap<ResourceId, Observed<Facts>>,
    /// What the framework itself says; none where it was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<Box<FrameworkFacts>>,
}

/// Stands for a resource that nobody looked for.
const NOT_LOOKED: &str = "it was not observed";

impl Inventory {
    /// What was seen of the machine under `node`.
    #[must_use]
    pub fn host(&self, node: &NodeName) -> Observed<&HostFacts> {
        match self.resources.get(&ResourceId::Host(node.clone())) {
            Some(Observed::Present(Facts::Host(h))) => Observed::Present(h),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            Some(Observed::Present(_)) | None => Observed::Unknown(NOT_LOOKED.to_owned()),
        }
    }

    /// What was seen of `tarsnode` on `node`.
    #[must_use]
    pub fn agent(&self, node: &NodeName) -> Observed<&AgentFacts> {
        match self.resources.get(&ResourceId::Agent(node.clone())) {
            Some(Observed::Present(Facts::Agent(a))) => Observed::Present(a),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            Some(Observed::Present(_)) | None => Observed::Unknown(NOT_LOOKED.to_owned()),
        }
    }

    /// What was seen of a component other than `tarsnode` on `node`. One that was not looked at on a
    /// host that was seen is absent only if that was told.
    #[must_use]
    pub fn server(&self, component: Component, node: &NodeName) -> Observed<&ServerFacts> {
        match self
            .resources
            .get(&ResourceId::Server(component, node.clone()))
        {
            Some(Observed::Present(Facts::Server(s))) => Observed::Present(s),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            Some(Observed::Present(_)) | None => Observed::Unknown(NOT_LOOKED.to_owned()),
        }
    }

    /// What was seen of the framework's container on `node`. It is absent only if its engine gave a
    /// list without it.
    #[must_use]
    pub fn container(&self, node: &NodeName) -> Observed<&ContainerFacts> {
        match self.resources.get(&ResourceId::Container(node.clone())) {
            Some(Observed::Present(Facts::Container(c))) => Observed::Present(c),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            Some(Observed::Present(_)) | None => Observed::Unknown(NOT_LOOKED.to_owned()),
        }
    }

    /// What was seen of the management platform on its host.
    #[must_use]
    pub fn console(&self) -> Observed<&ConsoleFacts> {
        match self.resources.get(&ResourceId::Web) {
            Some(Observed::Present(Facts::Console(c))) => Observed::Present(c),
            Some(Observed::Absent) => Observed::Absent,
            Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
            Some(Observed::Present(_)) | None => Observed::Unknown(NOT_LOOKED.to_owned()),
        }
    }

    /// Records what was seen of the management platform.
    pub fn insert_console(&mut self, console: Observed<ConsoleFacts>) {
        self.resources.insert(
            ResourceId::Web,
            console.map(|c| Facts::Console(Box::new(c))),
        );
    }

    fn insert_container(&mut self, node: &NodeName, container: Observed<ContainerFacts>) {
        self.resources.insert(
            ResourceId::Container(node.clone()),
            container.map(|c| Facts::Container(Box::new(c))),
        );
    }

    /// Records what was seen of a component other than `tarsnode` on one node.
    pub fn insert_server(
        &mut self,
        component: Component,
        node: &NodeName,
        server: Observed<ServerFacts>,
    ) {
        self.resources.insert(
            ResourceId::Server(component, node.clone()),
            server.map(|s| Facts::Server(Box::new(s))),
        );
    }

    /// Records what was seen of one node. Its container is part of what was seen of its host.
    pub fn insert(
        &mut self,
        node: &NodeName,
        host: Observed<HostFacts>,
        agent: Observed<AgentFacts>,
    ) {
        let docker = host.present().and_then(|host| host.docker.as_deref());
        if let Some(docker) = docker
            && let Some(name) = &docker.wanted
        {
            let container = docker.container(name).map(Clone::clone);
            self.insert_container(node, container);
        }
        self.resources.insert(
            ResourceId::Host(node.clone()),
            host.map(|h| Facts::Host(Box::new(h))),
        );
        self.resources.insert(
            ResourceId::Agent(node.clone()),
            agent.map(|a| Facts::Agent(Box::new(a))),
        );
    }
}
