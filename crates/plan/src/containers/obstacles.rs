//! What stands against the replacement of a container. Whatever is not known stands against it, too.

use tarsops_model::component::Role;
use tarsops_model::console_gates::{ALTERS_FRAMEWORK, LEARNED};
use tarsops_model::container::{Container, ContainerFacts, DockerFacts, ImageFacts};
use tarsops_model::desired::Resource;
use tarsops_model::framework::{ADDITIONS, Rows};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;

use super::versions;
use crate::input::PlanInput;
use crate::places::endpoint_at;
use crate::prerequisites;
use crate::report::Blocked;
use crate::tables::{self, framework};
use crate::templates;

/// A container that is about to be replaced, and its host.
pub(super) struct Look<'a> {
    pub(super) input: &'a PlanInput<'a>,
    pub(super) node: &'a NodeName,
    pub(super) spec: &'a Host,
    pub(super) host: &'a HostFacts,
    pub(super) docker: &'a DockerFacts,
    pub(super) wanted: &'a Container,
    pub(super) pin: &'a ImagePin,
    pub(super) seen: &'a ContainerFacts,
}

impl Look<'_> {
    /// Why it is not replaced, and what would have to be known for it.
    pub(super) fn obstacles(&self) -> (Vec<Blocked>, Vec<String>) {
        let (mut blocked, mut unknown) = (Vec::new(), Vec::new());
        self.of_container(&mut blocked, &mut unknown);
        self.of_host(&mut blocked, &mut unknown);
        self.of_database(&mut blocked);
        if self.seen.runs() && !self.input.desired.policy.registry_gap && !self.another_registry() {
            blocked.push(Blocked::OnlyRegistry);
        }
        (blocked, unknown)
    }

    /// The image that is wanted, as the engine of the host has it.
    pub(super) fn image(&self) -> Option<&ImageFacts> {
        let by_layers = |i: &&ImageFacts| i.layers == self.pin.layers;
        let by_id = self.docker.image(&self.pin.id);
        by_id.or_else(|| self.docker.images.iter().find(by_layers))
    }

    fn another_registry(&self) -> bool {
        let own = endpoint_at(self.spec.ip);
        framework(self.input).is_some_and(|f| {
            let mut others = f.registries.iter().filter(|(at, _)| **at != own);
            others.any(|(_, answer)| answer.is_alive())
        })
    }

    fn of_container(&self, blocked: &mut Vec<Blocked>, unknown: &mut Vec<String>) {
        let name = self.wanted.name.as_str();
        let rebuilds = self.docker.rebuilds(name).into_iter().next();
        blocked.extend(rebuilds.map(|(place, _)| Blocked::ContainerRebuilds { place }));
        if let Some(file) = self.docker.unread.first() {
            let why = format!("{file}, which describes the container");
            blocked.push(Blocked::Unseen { why });
        }
        if self.seen.state == "paused" {
            let name = self.seen.name.clone();
            blocked.push(Blocked::ContainerPaused { name });
        }
        if self.seen.image.is_none() {
            unknown.push("its engine does not say of which image it is".to_owned());
        }
        if self.image().is_none() {
            let image = self.wanted.image.clone();
            blocked.push(Blocked::ImageNotThere { image });
        }
        let has = versions::pin_of(self.input, self.docker, self.seen);
        if let Some(has) = has.filter(|has| has.framework > self.pin.framework)
            && !self.may_downgrade()
        {
            blocked.push(Blocked::Downgrade {
                from: has.framework,
                to: self.pin.framework,
            });
        }
    }

    /// Whether the spec lets a newer version be replaced; it says so of the whole framework.
    fn may_downgrade(&self) -> bool {
        let own = |id: &ResourceId| matches!(id, ResourceId::Server(_, node) if node == self.node);
        let mut all = self.input.desired.resources.iter();
        all.any(|(id, r)| own(id) && matches!(r, Resource::Server(s) if s.allow_downgrade))
    }

    fn of_host(&self, blocked: &mut Vec<Blocked>, unknown: &mut Vec<String>) {
        blocked.extend(prerequisites::programs(self.host));
        // Only root sees what runs inside of a container.
        if !self.host.is_root {
            blocked.push(Blocked::NeedsRoot {
                what: format!("replacing a container as {}", self.host.user),
            });
        }
        if !matches!(self.host.machine_id, Observed::Present(_)) {
            unknown.push("its machine-id cannot be read".to_owned());
        }
        let name = self.wanted.name.as_str();
        let others = self.docker.listed();
        let others = others.filter(|c| c.is_framework && c.name != name && c.runs());
        let mut beside: Vec<String> = others.map(|c| format!("container {}", c.name)).collect();
        match &self.host.components {
            Observed::Present(all) => beside.extend(all.iter().cloned()),
            Observed::Absent => {}
            Observed::Unknown(why) => unknown.push(format!("what runs on the host: {why}")),
        }
        if !beside.is_empty() {
            blocked.push(Blocked::RunsBeside { what: beside });
        }
    }

    /// What the installation in the container rests upon, and what it may not harm.
    fn of_database(&self, blocked: &mut Vec<Blocked>) {
        let unread = |why: String| Blocked::DatabaseUnread { why };
        let (rows, servers) = match tables::readable(self.input) {
            Ok((rows, servers, _)) => (rows, servers),
            Err(why) => return blocked.push(unread(why)),
        };
        if let Some(why) = rows.templates.unknown() {
            return blocked.push(unread(why.to_owned()));
        }
        for (id, resource) in &self.input.desired.resources {
            if let (ResourceId::Server(component, node), Resource::Server(server)) = (id, resource)
                && node == self.node
            {
                let row = tables::row(servers, *component, node).and_then(|r| r.template.clone());
                let why = templates::unreadable_template(self.input, *component, row, server);
                blocked.extend(why);
            }
        }
        match self.lacking(rows) {
            Ok(columns) if columns.is_empty() => {}
            Ok(columns) => blocked.push(Blocked::LacksColumns { columns }),
            Err(why) => blocked.push(unread(why)),
        }
        match self.dropped(rows) {
            Ok(columns) if columns.is_empty() => {}
            Ok(columns) => blocked.extend(
                self.pin
                    .console
                    .map(|console| Blocked::ConsoleDrops { console, columns }),
            ),
            Err(why) => blocked.push(unread(why)),
        }
    }

    /// Columns that the release needs, which are proven missing and which this plan does not add. Without
    /// them a registry loads no servers.
    fn lacking(&self, rows: &Rows) -> Result<Vec<String>, String> {
        let scope = self.input.scope;
        let whole = scope.nodes.is_empty() && scope.components.is_empty();
        let mut out = Vec::new();
        for column in ADDITIONS.iter().filter(|a| a.since <= self.pin.framework) {
            match rows.column(column.table, column.column) {
                Observed::Present(false) if whole => {}
                Observed::Present(true) => {}
                Observed::Present(false) | Observed::Absent => {
                    out.push(format!("{}.{}", column.table, column.column));
                }
                Observed::Unknown(why) => return Err(why),
            }
        }
        Ok(out)
    }

    /// Columns that the console of the image would drop; only a master starts one.
    fn dropped(&self, rows: &Rows) -> Result<Vec<String>, String> {
        let Some(console) = self.pin.console.filter(|_| self.spec.role == Role::Master) else {
            return Ok(vec![]);
        };
        let mut out = Vec::new();
        for (table, column, since) in LEARNED {
            if console < ALTERS_FRAMEWORK || console >= since {
                continue;
            }
            let added = |a: &&tarsops_model::framework::Addition| {
                (a.table, a.column) == (table, column) && a.since <= self.pin.framework
            };
            match rows.column(table, column) {
                Observed::Present(true) => out.push(format!("{table}.{column}")),
                Observed::Present(false) if ADDITIONS.iter().any(|a| added(&a)) => {
                    out.push(format!("{table}.{column}"));
                }
                Observed::Present(false) | Observed::Absent => {}
                Observed::Unknown(why) => return Err(why),
            }
        }
        Ok(out)
    }
}
