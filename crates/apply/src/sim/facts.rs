//! What the framework of a world says.

use std::collections::BTreeMap;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::framework::{
    AdminFacts, Answer, Asked, DATABASES, DatabaseFacts, FrameworkFacts, NodeRow, Protection,
    RegistryRow, Rows, ServerRow, ServerView, server_key,
};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tokio::time::Instant;

use super::faults::Table;
use super::machine::Machine;
use super::state::{FRAMEWORK, SILENCE, State};

/// Seconds between two heartbeats of a registry.
const BEAT: u64 = 13;

impl State {
    fn server_row(&self, node: &NodeName, row: &ServerRow) -> ServerRow {
        let active = self.is_active(node, row);
        let component = row.server.parse::<Component>().ok();
        let process = component.and_then(|component| self.process(node, component));
        ServerRow {
            present: Some(if active { "active" } else { "inactive" }.to_owned()),
            pid: Some(process.map_or(0, |p| i64::from(p.pid))),
            ..row.clone()
        }
    }

    pub(super) fn servers_on(&self, node: &NodeName) -> &[ServerRow] {
        self.servers.get(node).map_or(&[], Vec::as_slice)
    }

    fn node_row(&self, node: &NodeName) -> Option<NodeRow> {
        let base = self.nodes.get(node.as_str())?;
        let machine = &self.machines[node];
        let since = match (machine.registered, machine.left) {
            (Some(_), _) => 3,
            (None, left) => left.map_or(9999, |l| l.elapsed().as_secs()),
        };
        let active = since < SILENCE.as_secs();
        Some(NodeRow {
            name: node.to_string(),
            id: Some(base.id),
            endpoint_ip: Some(machine.ip.to_string()),
            present: Some(if active { "active" } else { "inactive" }.to_owned()),
            setting: Some("active".to_owned()),
            version: base.version.clone(),
            group_id: base.group,
            label: base.label.clone(),
            heartbeat_age: i64::try_from(since).ok(),
            ..NodeRow::default()
        })
    }

    fn registry_rows(&self) -> Vec<RegistryRow> {
        let of = |(_, machine): (&NodeName, &Machine)| {
            let part = machine.parts.get(&Component::Tarsregistry)?;
            let age = match &part.process {
                Some(process) if process.up <= Instant::now() => {
                    process.up.elapsed().as_secs() % BEAT
                }
                _ => machine.beat.map_or(999, |beat| beat.elapsed().as_secs()),
            };
            Some(RegistryRow {
                locator: machine.registry.to_string(),
                servant: "tars.tarsregistry.QueryObj".to_owned(),
                present: Some("active".to_owned()),
                heartbeat_age: i64::try_from(age).ok(),
                ..RegistryRow::default()
            })
        };
        self.machines.iter().filter_map(of).collect()
    }

    pub(super) fn answer(&self, node: &NodeName, component: Component) -> Answer {
        if self.faults.is_silent(node) {
            Answer::Silent("no answer".to_owned())
        } else if self.is_up(node, component) {
            Answer::Answers
        } else {
            Answer::Refused
        }
    }

    fn ping(&self, node: &NodeName) -> Observed<bool> {
        let admin = self.desired.admin().map(|(node, _)| node);
        let admin = admin.and_then(|node| self.process(node, Component::TarsAdminRegistry));
        let connected = admin
            .zip(self.machines[node].registered)
            .is_some_and(|(admin, at)| admin.up.max(at) + Duration::from_secs(1) <= Instant::now());
        Observed::Present(connected && !self.faults.is_silent(node))
    }

    /// Why AdminRegistry cannot be asked, if it cannot.
    pub(super) fn admin_fault(&self) -> Option<String> {
        let Some((node, _)) = self.desired.admin() else {
            return Some("there is no AdminRegistry".to_owned());
        };
        if self.faults.admin_is_mute() || self.faults.is_silent(node) {
            return Some("AdminRegistry did not answer".to_owned());
        }
        let up = self.is_up(node, Component::TarsAdminRegistry);
        (!up).then(|| "AdminRegistry refuses connections".to_owned())
    }

    fn view(&self, component: Component, node: &NodeName) -> Option<ServerView> {
        let row = self.row(component, node)?;
        let row = self.server_row(node, row);
        let connected = self.ping(node) == Observed::Present(true);
        let up = self.is_up(node, component);
        let in_node = match (connected, up) {
            (true, true) => "Active",
            (true, false) => "Inactive",
            (false, _) => "",
        };
        Some(ServerView {
            setting: row.setting.unwrap_or_default(),
            present: row.present.unwrap_or_default(),
            in_node: in_node.to_owned(),
            pid: row.pid.and_then(|p| i32::try_from(p).ok()).unwrap_or(0),
            patch_version: row.patch_version.unwrap_or_default(),
            library: Observed::Absent,
        })
    }

    pub(super) fn row(&self, component: Component, node: &NodeName) -> Option<&ServerRow> {
        let mut own = self.servers_on(node).iter();
        own.find(|r| r.application == FRAMEWORK && r.server == component.name())
    }

    pub(super) fn row_mut(
        &mut self,
        component: Component,
        node: &NodeName,
    ) -> Option<&mut ServerRow> {
        let mut own = self.servers.get_mut(node)?.iter_mut();
        own.find(|r| r.application == FRAMEWORK && r.server == component.name())
    }

    fn asked(&self, component: Component, node: &NodeName) -> Vec<(String, Asked)> {
        let ip = self.machines[node].ip;
        let all = component.servants().iter();
        all.map(|(servant, port)| {
            let asked = Asked {
                component,
                node: node.clone(),
                servant: (*servant).to_owned(),
                at: Endpoint::at(ip, *port),
                answer: self.answer(node, component),
            };
            (format!("{servant}@{node}"), asked)
        })
        .collect()
    }

    fn database(&self, mut rows: Rows) -> Observed<DatabaseFacts> {
        let hidden = |table| {
            let hidden = self.faults.is_hidden(table);
            hidden.then(|| "SELECT command denied to user".to_owned())
        };
        if let Some(why) = hidden(Table::Nodes) {
            rows.nodes = Observed::Unknown(why);
        }
        if let Some(why) = hidden(Table::Servers) {
            rows.servers = Observed::Unknown(why);
        }
        if let Some(why) = hidden(Table::Adapters) {
            rows.adapters = Observed::Unknown(why);
        }
        if let Some(why) = hidden(Table::Registries) {
            rows.registries = Observed::Unknown(why);
        }
        if let Some(why) = hidden(Table::Templates) {
            rows.templates = Observed::Unknown(why);
        }
        if self.faults.database_is_down() {
            return Observed::Unknown("the database did not answer".to_owned());
        }
        Observed::Present(DatabaseFacts {
            server: "11.4".to_owned(),
            protection: Observed::Present(Protection::Authority),
            clock_skew: 0,
            read_only: Observed::Present(self.faults.read_only),
            databases: DATABASES
                .iter()
                .map(|name| ((*name).to_owned(), Observed::Present(())))
                .collect(),
            rows: Observed::Present(rows),
            default_login: Observed::Present(false),
        })
    }

    /// Everything that the framework says.
    pub(super) fn facts(&self) -> FrameworkFacts {
        let mut servants: BTreeMap<String, Asked> = BTreeMap::new();
        let mut registries = BTreeMap::new();
        for (node, machine) in &self.machines {
            for component in machine.parts.keys() {
                servants.extend(self.asked(*component, node));
            }
            if machine.parts.contains_key(&Component::Tarsregistry) {
                let at = machine.registry.clone();
                registries.insert(at, self.answer(node, Component::Tarsregistry));
            }
        }
        let admin = match self.admin_fault() {
            Some(why) => Observed::Unknown(why),
            None => Observed::Present(AdminFacts {
                version: Observed::Present("3.0.17".to_owned()),
                nodes: Observed::Present(self.nodes.keys().cloned().collect()),
                connections: BTreeMap::new(),
                pings: self
                    .machines
                    .keys()
                    .map(|n| (n.clone(), self.ping(n)))
                    .collect(),
                servers: self.views(),
            }),
        };
        let database = self.database(Rows {
            nodes: Observed::Present(
                self.machines
                    .keys()
                    .filter_map(|n| Some((n.to_string(), self.node_row(n)?)))
                    .collect(),
            ),
            servers: Observed::Present(
                self.servers
                    .iter()
                    .flat_map(|(node, rows)| rows.iter().map(|r| self.server_row(node, r)))
                    .collect(),
            ),
            adapters: Observed::Present(self.adapters.clone()),
            registries: Observed::Present(self.registry_rows()),
            templates: Observed::Present(self.templates.clone()),
            columns: self.columns.clone(),
            console: tarsops_model::console::ConsoleTables::default(),
        });
        FrameworkFacts {
            servants,
            registries,
            admin,
            database,
            console: Observed::Absent,
        }
    }

    fn views(&self) -> BTreeMap<String, Observed<ServerView>> {
        let mut out = BTreeMap::new();
        for (node, machine) in &self.machines {
            for component in machine.parts.keys() {
                if let Some(view) = self.view(*component, node) {
                    out.insert(server_key(*component, node), Observed::Present(view));
                }
            }
        }
        out
    }

    /// What it says of one node, of one of its components, or of its registry.
    pub(super) fn facts_of(&self, node: &NodeName, component: Option<Component>) -> FrameworkFacts {
        let not_asked = || "it was not asked".to_owned();
        let admin = match self.admin_fault() {
            Some(why) => Observed::Unknown(why),
            None => Observed::Present(AdminFacts {
                version: Observed::Unknown(not_asked()),
                nodes: Observed::Unknown(not_asked()),
                connections: BTreeMap::new(),
                pings: [(node.clone(), self.ping(node))].into(),
                servers: component
                    .and_then(|c| Some((server_key(c, node), self.view(c, node)?)))
                    .map(|(key, view)| (key, Observed::Present(view)))
                    .into_iter()
                    .collect(),
            }),
        };
        let own = |row: &&ServerRow| {
            component.is_none_or(|c| row.application == FRAMEWORK && row.server == c.name())
        };
        let database = self.database(Rows {
            nodes: Observed::Present(
                self.node_row(node)
                    .map(|row| (node.to_string(), row))
                    .into_iter()
                    .collect(),
            ),
            servers: Observed::Present(
                self.servers_on(node)
                    .iter()
                    .filter(own)
                    .map(|r| self.server_row(node, r))
                    .collect(),
            ),
            adapters: Observed::Unknown(not_asked()),
            registries: Observed::Present(self.registry_rows()),
            templates: Observed::Unknown(not_asked()),
            columns: BTreeMap::new(),
            console: tarsops_model::console::ConsoleTables::default(),
        });
        let at = self.machines[node].registry.clone();
        FrameworkFacts {
            servants: component
                .map(|c| self.asked(c, node))
                .unwrap_or_default()
                .into_iter()
                .collect(),
            registries: [(at, self.answer(node, Component::Tarsregistry))].into(),
            admin,
            database,
            console: Observed::Absent,
        }
    }
}
