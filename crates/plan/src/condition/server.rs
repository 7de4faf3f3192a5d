//! Conditions over components other than tarsnode.

use tarsops_model::framework::{Answer, server_key};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::on_host;
use super::{Condition, Truth, compare, truth};

impl Condition {
    pub(super) fn of_server(&self, node: &NodeName, inventory: &Inventory) -> Truth {
        let framework = || {
            inventory
                .framework
                .as_deref()
                .ok_or_else(|| Truth::Unknown("the framework was not asked".to_owned()))
        };
        let result = match self {
            Self::ServerRuns {
                component,
                digest,
                user,
            } => match inventory.server(*component, node) {
                Observed::Unknown(why) => Ok(Truth::Unknown(why)),
                Observed::Absent => Ok(Truth::Fails(format!("{component} is not there"))),
                Observed::Present(server) => Ok(match &server.processes {
                    Observed::Present(all) => match all.as_slice() {
                        [one] if one.user != *user => {
                            Truth::Fails(format!("{component} runs as {}", one.user))
                        }
                        [one] => match digest {
                            None => Truth::Holds,
                            Some(d) => compare(&one.exe, "the running binary", |found| found == d),
                        },
                        [] => Truth::Fails(format!("{component} does not run")),
                        all => Truth::Fails(format!("{component} runs {} times", all.len())),
                    },
                    other => compare(other, "its processes", |_| false),
                }),
            },
            Self::ServerListens { component } => Ok(on_host(node, inventory, |h| match &h.ports {
                Observed::Present(ports) => {
                    let silent: Vec<String> = component
                        .servants()
                        .iter()
                        .take(1)
                        .filter(|(_, port)| !ports.contains(port))
                        .map(|(_, port)| port.to_string())
                        .collect();
                    truth(silent.is_empty(), || {
                        format!("{component} does not listen on port {}", silent.join(", "))
                    })
                }
                other => compare(other, "its ports", |_| false),
            })),
            Self::ServantsAnswer { component } => framework().map(|f| {
                let mut own = f
                    .servants
                    .values()
                    .filter(|a| a.component == *component && a.node == *node)
                    .peekable();
                if own.peek().is_none() {
                    return Truth::Unknown(format!("{component} was not asked"));
                }
                match own.find(|a| !a.answer.is_alive()) {
                    None => Truth::Holds,
                    Some(asked) => match &asked.answer {
                        Answer::Nobody(why) | Answer::Silent(why) => {
                            Truth::Unknown(format!("{}: {why}", asked.servant))
                        }
                        other => Truth::Fails(format!("{} {other}", asked.servant)),
                    },
                }
            }),
            Self::ServerActive { component } => framework().map(|f| match f.rows() {
                Observed::Present(rows) => match &rows.servers {
                    Observed::Present(all) => {
                        let row = all.iter().find(|r| {
                            r.application == "tars"
                                && r.server == component.name()
                                && r.node == node.as_str()
                        });
                        match row {
                            None => Truth::Fails(format!("the database has no row of {component}")),
                            Some(row) => truth(row.present.as_deref() == Some("active"), || {
                                let state = row.present.as_deref().unwrap_or("(nothing)");
                                format!("the database calls {component} {state}")
                            }),
                        }
                    }
                    other => Truth::Unknown(other.unknown().unwrap_or("no table").to_owned()),
                },
                other => Truth::Unknown(other.unknown().unwrap_or("no database").to_owned()),
            }),
            Self::ServerInNode { component } => framework().map(|f| match &f.admin {
                Observed::Present(admin) => {
                    match admin.servers.get(&server_key(*component, node)) {
                        Some(Observed::Present(view)) => truth(view.in_node == "Active", || {
                            format!("its node calls {component} {}", view.in_node)
                        }),
                        Some(other) => Truth::Unknown(format!(
                            "AdminRegistry: {}",
                            other.unknown().unwrap_or("it knows nothing of it")
                        )),
                        None => Truth::Unknown("AdminRegistry was not asked".to_owned()),
                    }
                }
                other => Truth::Unknown(format!(
                    "AdminRegistry: {}",
                    other.unknown().unwrap_or("there is none")
                )),
            }),
            _ => Ok(Truth::Unknown("it is no condition over servers".to_owned())),
        };
        result.unwrap_or_else(|unknown| unknown)
    }
}
