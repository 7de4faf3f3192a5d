//! What must hold at each moment of a world.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::framework::ServerRow;
use tarsops_model::names::NodeName;
use tokio::time::Instant;

use super::state::{FRAMEWORK, SILENCE, State};

impl State {
    /// Whether the database calls a server active.
    pub(super) fn is_active(&self, node: &NodeName, row: &ServerRow) -> bool {
        let Some(machine) = self.machines.get(node) else {
            return false;
        };
        if row.setting.as_deref() != Some("active") {
            return false;
        }
        let Some(registered) = machine.registered else {
            let gone = machine.left.is_some_and(|left| left.elapsed() > SILENCE);
            return !gone && machine.frozen.contains(&row.full_name());
        };
        let up = match row.server.parse::<Component>() {
            Ok(component) if row.application == FRAMEWORK => match self.process(node, component) {
                Some(process) => process.up,
                None => return false,
            },
            // Services of others run all the time.
            _ => registered,
        };
        let told = Duration::from_millis(500 + 700 * u64::from(machine.lag));
        registered.max(up) + told <= Instant::now()
    }

    pub(super) fn active_on(&self, node: &NodeName) -> BTreeSet<String> {
        self.servers_on(node)
            .iter()
            .filter(|r| self.is_active(node, r))
            .map(ServerRow::full_name)
            .collect()
    }

    pub(super) fn applications_on(&self, node: &NodeName) -> Vec<String> {
        self.servers_on(node)
            .iter()
            .filter(|r| r.application != FRAMEWORK)
            .map(ServerRow::full_name)
            .collect()
    }

    /// How many endpoints each servant has that answer and are resolved.
    pub(super) fn endpoints(&self) -> BTreeMap<&str, usize> {
        let mut out = BTreeMap::new();
        let mut active: BTreeSet<(&str, &str, &str)> = BTreeSet::new();
        for (node, rows) in &self.servers {
            let up = rows
                .iter()
                .filter(|row| self.is_active(node, row) && self.answers(node, row));
            active.extend(up.map(|r| (r.application.as_str(), r.server.as_str(), node.as_str())));
        }
        for adapter in &self.adapters {
            let Some(servant) = &adapter.servant else {
                continue;
            };
            let key = (
                adapter.application.as_str(),
                adapter.server.as_str(),
                adapter.node.as_str(),
            );
            let count = out.entry(servant.as_str()).or_insert(0);
            *count += usize::from(active.contains(&key));
        }
        out
    }

    fn answers(&self, node: &NodeName, row: &ServerRow) -> bool {
        match row.server.parse::<Component>() {
            Ok(component) if row.application == FRAMEWORK => self.is_up(node, component),
            _ => true,
        }
    }

    /// Looks whether every law holds now.
    pub(super) fn look_at_laws(&mut self, after: &str) {
        let registries = self
            .machines
            .keys()
            .filter(|node| self.is_up(node, Component::Tarsregistry))
            .count();
        if registries == 0 {
            self.break_law(format!("no registry answers after {after}"));
        }
        if self.guarded.is_empty() {
            return;
        }
        let endpoints = self.endpoints();
        let none: Vec<String> = self
            .guarded
            .iter()
            .filter(|servant| endpoints.get(servant.as_str()).copied().unwrap_or(0) == 0)
            .cloned()
            .collect();
        for servant in none {
            self.break_law(format!("{servant} has no endpoint after {after}"));
        }
    }
}
