//! What a world must still have at its end: what was there and belongs to nobody's change, and what a
//! person made of it meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::{AdapterRow, NodeLabels, ServerRow};
use tarsops_model::names::NodeName;

use super::faults::Deed;
use super::state::{FRAMEWORK, State};

/// What must be there.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    crontabs: BTreeMap<NodeName, BTreeSet<String>>,
    files: BTreeMap<(NodeName, Component), BTreeSet<String>>,
    labels: BTreeMap<String, Option<String>>,
    /// Rows of applications.
    servers: Vec<ServerRow>,
    adapters: Vec<AdapterRow>,
    /// Names of the framework's own rows.
    own: BTreeSet<String>,
}

impl Expected {
    /// What is there now on `nodes`.
    pub(super) fn of(state: &State, nodes: &BTreeSet<NodeName>) -> Self {
        let machines = || {
            let all = state.machines.iter();
            all.filter(|(node, machine)| nodes.contains(*node) && !machine.parts.is_empty())
        };
        let stays = |node: &str| nodes.iter().any(|n| n.as_str() == node);
        let servers = || {
            let all = state
                .servers
                .iter()
                .filter(|(node, _)| nodes.contains(node));
            all.flat_map(|(_, rows)| rows)
        };
        let adapters = || state.adapters.iter().filter(|row| stays(&row.node));
        let own_servers = servers()
            .filter(|row| row.application == FRAMEWORK)
            .map(|row| format!("{}@{}", row.server, row.node));
        let own_adapters = adapters()
            .filter(|row| row.application == FRAMEWORK)
            .map(|row| format!("{}@{}", row.adapter, row.node));
        Self {
            crontabs: machines()
                .map(|(node, machine)| {
                    let text = machine.crontab.as_deref().unwrap_or_default();
                    (node.clone(), text.lines().map(str::to_owned).collect())
                })
                .collect(),
            files: machines()
                .flat_map(|(node, machine)| {
                    machine.parts.iter().map(move |(component, part)| {
                        (
                            (node.clone(), *component),
                            part.files.keys().cloned().collect(),
                        )
                    })
                })
                .collect(),
            labels: state
                .nodes
                .iter()
                .filter(|(node, _)| stays(node))
                .map(|(node, row)| (node.clone(), row.label.clone()))
                .collect(),
            servers: servers()
                .filter(|row| row.application != FRAMEWORK)
                .cloned()
                .collect(),
            adapters: adapters()
                .filter(|row| row.application != FRAMEWORK)
                .cloned()
                .collect(),
            own: own_servers.chain(own_adapters).collect(),
        }
    }

    /// What is not as expected. A label may still be saved on its host where `allows_saved`.
    pub(super) fn differences(&self, state: &State, allows_saved: bool) -> Vec<String> {
        let nodes: BTreeSet<NodeName> = self.crontabs.keys().cloned().collect();
        let now = Self::of(state, &nodes);
        let mut out = Vec::new();
        for (node, lines) in &self.crontabs {
            if now.crontabs.get(node) != Some(lines) {
                out.push(format!("the crontab of {node} has other lines"));
            }
        }
        for ((node, component), files) in &self.files {
            if now.files.get(&(node.clone(), *component)) != Some(files) {
                out.push(format!(
                    "{component} of {node} has lost files, or got others"
                ));
            }
        }
        for (node, label) in &self.labels {
            let blind = state.blind.iter().any(|n| n.as_str() == node);
            let saved = state.machines.iter().find(|(n, _)| n.as_str() == node);
            let saved = saved.and_then(|(_, machine)| machine.labels.as_deref());
            let saved = saved.and_then(NodeLabels::from_text).and_then(|s| s.label);
            // A rollback leaves a label that is saved to the next apply.
            let waits = allows_saved && saved.is_some() && saved == *label;
            if now.labels.get(node) != Some(label) && !blind && !waits {
                out.push(format!("{node} has lost its label"));
            }
        }
        if now.servers != self.servers || now.adapters != self.adapters {
            out.push("a row of an application was lost or changed".to_owned());
        }
        let missing: Vec<&str> = self.own.difference(&now.own).map(String::as_str).collect();
        if !missing.is_empty() {
            out.push(format!("rows are lost: {}", missing.join(", ")));
        }
        let open = state.machines.iter().filter(|(_, m)| m.current.is_some());
        let open: Vec<&str> = open.map(|(node, _)| node.as_str()).collect();
        if !open.is_empty() {
            out.push(format!("a change has not ended on {}", open.join(", ")));
        }
        out
    }

    /// A person does something, which must last.
    pub(super) fn by_hand(&mut self, state: &mut State, node: &NodeName, deed: Deed) {
        match deed {
            Deed::Label => {
                // While tarsnode restarts, the framework itself loses it.
                let machine = state.machine(node);
                if machine.registered.is_none() || machine.labels.is_some() {
                    return;
                }
                let label = Some("{\"by\":\"hand\"}".to_owned());
                if let Some(row) = state.nodes.get_mut(node.as_str()) {
                    row.label.clone_from(&label);
                    self.labels.insert(node.to_string(), label);
                }
            }
            Deed::Crontab => {
                let line = "5 4 * * * /usr/local/bin/report";
                let crontab = state.machine(node).crontab.get_or_insert_default();
                crontab.push_str(line);
                crontab.push('\n');
                // A node that is still to be installed gets lines of its own beside it.
                if let Some(lines) = self.crontabs.get_mut(node) {
                    lines.insert(line.to_owned());
                }
            }
            Deed::Row => {
                let is_own = |row: &&mut AdapterRow| {
                    row.application != FRAMEWORK && row.node == node.as_str()
                };
                for row in state.adapters.iter_mut().filter(is_own) {
                    row.threads = Some(11);
                }
                for row in self.adapters.iter_mut().filter(is_own) {
                    row.threads = Some(11);
                }
            }
        }
    }
}
