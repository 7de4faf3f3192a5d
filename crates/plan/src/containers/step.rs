//! The step that replaces a container.
//!
//! A container that is stopped is replaced as well, by one of the same settings: its start is an
//! installation either way, and the old one stays for the rollback.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;

use super::compared::Compared;
use super::obstacles::Look;
use super::versions;
use crate::actions::{ContainerCreation, NewContainer, ReplaceContainer, ReplacedContainer};
use crate::components::CORE;
use crate::condition::Condition;
use crate::places::endpoint_at;
use crate::plan::{ChangeKind, Stage, Step};
use crate::report::Line;
use crate::tables::framework;

impl Look<'_> {
    /// The step; none where something that it says is not known.
    pub(super) fn step(&self, compared: &Compared) -> Option<Step> {
        let Observed::Present(machine_id) = &self.host.machine_id else {
            return None;
        };
        let has = versions::pin_of(self.input, self.docker, self.seen);
        let action = ReplaceContainer {
            node: self.node.clone(),
            machine_id: machine_id.clone(),
            socket: self.wanted.socket.clone(),
            name: self.wanted.name.clone(),
            old: ReplacedContainer {
                id: self.seen.id.clone(),
                image: self.seen.image?,
                ran: self.seen.runs(),
                programs: has.map_or_else(BTreeMap::new, |pin| self.programs(pin)),
                console: has.and_then(|pin| pin.console),
            },
            new: NewContainer::Create(ContainerCreation::of(self.wanted, self.image()?.id)),
            programs: self.programs(self.pin),
            ports: self.ports(),
            stop_timeout: self.wanted.stop_timeout,
            console: self.pin.console,
        };
        let mut pre = action.preconditions();
        pre.extend(action.another_registry(self.spec.ip, &self.input.desired.policy));
        let mut post = action.postconditions();
        let registry = endpoint_at(self.spec.ip);
        if framework(self.input).is_some_and(|f| f.registries.contains_key(&registry)) {
            post.push(Condition::RegistryAnswers { registry });
        }
        Some(Step::new(
            format!("container.replace@{}", self.node),
            (Stage::Containers, ChangeKind::Change),
            self.summary(compared),
            action,
            pre,
            post,
        ))
    }

    /// Everything of the role is started, whatever was moved away or stopped (framework
    /// `deploy/tars-install.sh`).
    fn programs(&self, pin: &ImagePin) -> BTreeMap<Component, Digest> {
        let all = pin.binaries.iter();
        let own = all.filter(|(component, _)| component.placed_on(self.spec.role));
        own.map(|(component, digest)| (*component, *digest))
            .collect()
    }

    /// Where the installer has the components listen that no row moves elsewhere.
    fn ports(&self) -> BTreeSet<u16> {
        let all = CORE.into_iter().chain([Component::Tarsnode]);
        let own = all.filter(|component| component.placed_on(self.spec.role));
        own.flat_map(|component| component.servants_in(self.pin.framework))
            .map(|(_, port)| port)
            .collect()
    }

    fn summary(&self, compared: &Compared) -> String {
        let has = versions::pin_of(self.input, self.docker, self.seen);
        let to = self.pin.framework;
        let other = has.map(|has| has.framework).filter(|from| *from != to);
        let mut fields: Vec<&str> = compared.made.iter().map(|f| f.field.as_str()).collect();
        if fields.is_empty() {
            fields.push("it does not run");
        }
        let of = match other {
            Some(from) => format!("framework {from} to {to}"),
            None => format!("framework {to}"),
        };
        format!("replace the container, {of} ({})", fields.join(", "))
    }

    /// What was published over the image's programs, of which the new container has its image's.
    pub(super) fn overwritten(&self, compared: &Compared) -> Option<Line> {
        if compared.published.is_empty() {
            return None;
        }
        let names: Vec<&str> = compared.published.keys().map(|c| c.name()).collect();
        Some(Line::Note {
            resource: ResourceId::Container(self.node.clone()),
            text: format!(
                "{} does not run the program of its image; the new container has its image's",
                names.join(", ")
            ),
        })
    }
}
