//! New rows of the servers of a node.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use tarsops_model::component::Component;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::images::Images;
use super::kind::{ActionKind, Changes, Order, StepView, Target, UndoBy, Writes};
use super::remove_server_rows::RemoveServerRows;
use super::rows::{Cell, NewRow, NewServers, Table, Via};
use crate::condition::Condition;
use crate::expansion::{observed_adapter, observed_server};
use crate::input::PlanInput;
use crate::inventory_edit::with_rows;
use crate::stage::{ChangeKind, Stage};

/// Writes rows of new servers of a node, each only where no row has its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AddServerRows(pub NewServers);

impl ActionKind for AddServerRows {
    type Inverse = RemoveServerRows;

    fn target(&self) -> Target<'_> {
        Target::Rows
    }

    fn resource(&self) -> ResourceId {
        ResourceId::Host(self.0.node.clone())
    }

    fn standing(&self) -> Vec<(Stage, ChangeKind)> {
        let mut all = Vec::new();
        if self.0.via == Via::Tars {
            all.push((Stage::Expansion, ChangeKind::Add));
        }
        let mut named = self.0.rows.iter().map(component_of);
        if named.all(|c| c.is_some_and(Component::is_basic)) {
            all.push((Stage::BasicServices, ChangeKind::Add));
        }
        all
    }

    fn changes(&self, _post: &[Condition]) -> Changes {
        Changes::Database
    }

    fn writes(&self) -> Writes<'_> {
        Writes::default()
    }

    fn beside_start(&self, _component: Component, node: &NodeName) -> Order {
        if self.0.node == *node {
            Order::Before
        } else {
            Order::Any
        }
    }

    fn undo(&self, _sign: ChangeKind) -> UndoBy<Self::Inverse> {
        UndoBy::inverse(RemoveServerRows(self.0.clone()))
    }

    fn effect(&self, inventory: &mut Inventory, _images: &Images) {
        with_rows(inventory, |rows| {
            for row in &self.0.rows {
                match row.table {
                    Table::TServerConf => {
                        if let Observed::Present(all) = &mut rows.servers {
                            all.push(observed_server(row));
                        }
                    }
                    Table::TAdapterConf => {
                        if let Observed::Present(all) = &mut rows.adapters {
                            all.push(observed_adapter(row));
                        }
                    }
                }
            }
        });
    }

    fn check(&self, step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
        let new = &self.0;
        if new.via == Via::Console && step.desired.web().is_none() {
            say("it fills in the form of a platform that the spec does not name");
        }
        let Some(host) = step.desired.host(&new.node) else {
            return say("the spec has no such node");
        };
        let absent = Condition::RowsAbsent { rows: new.names() };
        let there = Condition::RowsThere { rows: new.names() };
        if !step.pre.contains(&absent) || !step.post.contains(&there) || !step.checks_machine() {
            say("it does not check that no row has the key");
        }
        if new.rows.is_empty() || new.names().len() != new.rows.len() {
            say("it writes nothing, or a row twice");
        }
        let tars = step.tars_path(&new.node);
        for row in &new.rows {
            let component = component_of(row).filter(|c| step.is_placed(*c, &new.node));
            let Some(component) = component else {
                say("it writes a row of a server that the spec does not have there");
                continue;
            };
            let server = step.desired.server(component, &new.node);
            let template = server.and_then(|s| s.rows.template());
            if !is_right(row, component, &new.node, host.ip, (&tars, template)) {
                say("it writes a row that is not an inactive server's of that node and address");
            }
        }
    }

    fn check_pins(&self, _input: &PlanInput<'_>, _say: &mut dyn FnMut(&str)) {}
}

fn component_of(row: &NewRow) -> Option<Component> {
    row.text("server_name")?.parse().ok()
}
/// Whether a row says, from the spec alone, what an inactive server of the node has.
fn is_right(
    row: &NewRow,
    component: Component,
    node: &NodeName,
    ip: IpAddr,
    (tars, template): (&str, Option<&str>),
) -> bool {
    let is = |column: &str, value: &str| row.text(column) == Some(value);
    let named = row.columns.iter().all(|(name, cell)| {
        let word = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let plain = match cell {
            Cell::Text(text) => !text.contains(['\n', '\'', '"', '\\']),
            Cell::Number(number) => (0..=1_000_000).contains(number),
            Cell::Now => true,
            Cell::Null => false,
        };
        word && plain
    });
    let columns: BTreeSet<&str> = row.columns.iter().map(|(n, _)| n.as_str()).collect();
    let own = named
        && columns.len() == row.columns.len()
        && is("application", "tars")
        && is("node_name", node.as_str());
    own && match row.table {
        Table::TServerConf => {
            is("setting_state", "inactive")
                && is("present_state", "inactive")
                && row.number("process_id") == Some(0)
                && is("tars_version", "")
                && is(
                    "template_name",
                    template.unwrap_or(&format!("tars.{component}")),
                )
                && is("exe_path", &format!("{tars}/{component}/bin/{component}"))
                && row.text("profile").unwrap_or_default().is_empty()
        }
        Table::TAdapterConf => component.servants().iter().any(|(servant, port)| {
            is("servant", servant)
                && is("adapter_name", &format!("{servant}Adapter"))
                && is("endpoint", &format!("tcp -h {ip} -t 60000 -p {port}"))
        }),
    }
}
