//! Conditions over the rows of the framework's database and those who stand behind them.

use std::collections::BTreeSet;

use tarsops_model::framework::{Answer, FrameworkFacts, RegistryRow, ServerRow};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;

use super::{Condition, Truth, truth};
use crate::registry_rows::{self, is_fresh};
use crate::rows::rows_of;

/// A heartbeat comes every 10 s; one that is this old, in seconds, was missed several times.
const OLD: i64 = 60;
/// The servant of tarsnode.
const NODE: &str = "tars.tarsnode.ServerObj";

impl Condition {
    pub(super) fn of_rows(&self, node: &NodeName, inventory: &Inventory) -> Truth {
        let Some(framework) = inventory.framework.as_deref() else {
            return Truth::Unknown("the framework was not asked".to_owned());
        };
        match self {
            Self::Unanswered => unanswered(framework, node),
            Self::Forgotten { ip } => match framework.rows() {
                Observed::Present(rows) => match rows_of(rows, node, *ip) {
                    Observed::Present(count) => truth(count == 0, || {
                        format!("the database has {count} rows of it")
                    }),
                    other => Truth::Unknown(other.unknown().unwrap_or_default().to_owned()),
                },
                Observed::Absent => Truth::Holds,
                Observed::Unknown(why) => Truth::Unknown(why),
            },
            Self::RegistryDead { registry } => match rows_at(framework, registry) {
                Ok(rows) => match rows.iter().find(|r| is_fresh(r)) {
                    Some(_) => Truth::Fails(format!("the registry {registry} writes its rows")),
                    None => Truth::Holds,
                },
                Err(why) => Truth::Unknown(why),
            },
            Self::ServersActive { servers } => {
                servers_active(framework, node, |name| servers.contains(name))
            }
            Self::AllServersActive { but } => {
                servers_active(framework, node, |name| !but.contains(name))
            }
            Self::RegistryAnswers { registry } => match framework.registries.get(registry) {
                Some(answer) if answer.is_unknown() => Truth::Unknown(answer.to_string()),
                Some(answer) => truth(answer.is_alive(), || {
                    format!("the registry {registry} {answer}")
                }),
                None => Truth::Unknown(format!("the registry {registry} was not asked")),
            },
            Self::RegistryListed { registry } => match rows_at(framework, registry) {
                Ok(rows) => truth(rows.iter().any(|r| is_fresh(r)), || {
                    format!("the database does not list the registry {registry} as active")
                }),
                Err(why) => Truth::Unknown(why),
            },
            Self::RegistryRowsDeleted { registry } => match rows_at(framework, registry) {
                Ok(rows) => {
                    let resolved = framework
                        .rows()
                        .present()
                        .is_some_and(|r| registry_rows::resolved(r).contains_key(registry));
                    truth(rows.is_empty() && !resolved, || {
                        format!("the database has rows of the registry {registry}")
                    })
                }
                Err(why) => Truth::Unknown(why),
            },
            Self::AnotherRegistry { but } => {
                let others = framework.registries.iter().filter(|(at, _)| *at != but);
                let mut others = others.map(|(_, answer)| answer);
                truth(others.any(Answer::is_alive), || {
                    format!("no registry of the spec other than {but} answers")
                })
            }
            Self::RowsAbsent { rows } => match names_on(framework, node) {
                Ok(there) => truth(there.is_disjoint(rows), || {
                    let found: Vec<&str> = there.intersection(rows).map(String::as_str).collect();
                    format!("the database has rows of {}", found.join(", "))
                }),
                Err(why) => Truth::Unknown(why),
            },
            Self::RowsThere { rows } => match names_on(framework, node) {
                Ok(there) => truth(there.is_superset(rows), || {
                    let lacks: Vec<&str> = rows.difference(&there).map(String::as_str).collect();
                    format!("the database has no rows of {}", lacks.join(", "))
                }),
                Err(why) => Truth::Unknown(why),
            },
            Self::DatabaseRead => match framework.rows() {
                Observed::Present(_) => Truth::Holds,
                Observed::Absent => Truth::Fails("there is no db_tars".to_owned()),
                Observed::Unknown(why) => Truth::Unknown(why),
            },
            Self::Column {
                table,
                column,
                there,
            } => match framework.rows().map(|rows| rows.column(table, column)) {
                Observed::Present(Observed::Present(found)) => truth(found == *there, || {
                    let has = if found { "has" } else { "has not" };
                    format!("{table} {has} the column {column}")
                }),
                Observed::Present(Observed::Absent) => {
                    Truth::Fails(format!("there is no table {table}"))
                }
                Observed::Absent => Truth::Fails("there is no db_tars".to_owned()),
                Observed::Present(Observed::Unknown(why)) | Observed::Unknown(why) => {
                    Truth::Unknown(why)
                }
            },
            Self::Template { name, digest } => match framework.rows() {
                Observed::Present(rows) => match rows.template(name) {
                    Observed::Present(row) => match crate::database_record::digest_of(row) {
                        Some(found) => truth(Some(found) == *digest, || match digest {
                            Some(_) => format!("the template {name} has another text"),
                            None => format!("the template {name} is there"),
                        }),
                        None => Truth::Unknown(format!("the text of {name} was not read")),
                    },
                    Observed::Absent => truth(digest.is_none(), || {
                        format!("the template {name} is not there")
                    }),
                    Observed::Unknown(why) => Truth::Unknown(why),
                },
                Observed::Absent => Truth::Fails("there is no db_tars".to_owned()),
                Observed::Unknown(why) => Truth::Unknown(why),
            },
            Self::RegistryLeft => {
                if framework.registries.values().any(|a| a.is_alive()) {
                    Truth::Holds
                } else {
                    Truth::Fails("no registry of the spec answers".to_owned())
                }
            }
            _ => Truth::Unknown("it is no condition over rows".to_owned()),
        }
    }
}

/// A server that somebody has undeployed meanwhile is not waited for.
fn servers_active(
    framework: &FrameworkFacts,
    node: &NodeName,
    counts: impl Fn(&str) -> bool,
) -> Truth {
    let all = match framework.rows() {
        Observed::Present(rows) => match &rows.servers {
            Observed::Present(all) => all,
            other => return Truth::Unknown(other.unknown().unwrap_or_default().to_owned()),
        },
        Observed::Absent => return Truth::Unknown("there is no database".to_owned()),
        Observed::Unknown(why) => return Truth::Unknown(why),
    };
    let away: Vec<String> = all
        .iter()
        .filter(|r| r.node == node.as_str() && r.present.as_deref() != Some("active"))
        .filter(|r| r.setting.as_deref() == Some("active"))
        .map(ServerRow::full_name)
        .filter(|name| counts(name))
        .collect();
    truth(away.is_empty(), || {
        format!("the database calls its {} inactive", away.join(", "))
    })
}

fn rows_at<'a>(
    framework: &'a FrameworkFacts,
    registry: &Endpoint,
) -> Result<Vec<&'a RegistryRow>, String> {
    match framework.rows() {
        Observed::Present(rows) => match &rows.registries {
            Observed::Present(all) => Ok(all
                .iter()
                .filter(|r| r.locator == registry.to_string())
                .collect()),
            other => Err(other.unknown().unwrap_or("there is no table").to_owned()),
        },
        Observed::Absent => Ok(vec![]),
        Observed::Unknown(why) => Err(why),
    }
}

/// The names of the rows of servers and adapters on a node.
fn names_on(framework: &FrameworkFacts, node: &NodeName) -> Result<BTreeSet<String>, String> {
    let rows = match framework.rows() {
        Observed::Present(rows) => rows,
        other => return Err(other.unknown().unwrap_or("there is no database").to_owned()),
    };
    let (servers, adapters) = match (&rows.servers, &rows.adapters) {
        (Observed::Present(servers), Observed::Present(adapters)) => (servers, adapters),
        (servers, adapters) => {
            let why = servers.unknown().or_else(|| adapters.unknown());
            return Err(why.unwrap_or("there is no table").to_owned());
        }
    };
    let mut out: BTreeSet<String> = servers
        .iter()
        .filter(|row| row.node == node.as_str())
        .map(ServerRow::full_name)
        .collect();
    out.extend(
        adapters
            .iter()
            .filter(|row| row.node == node.as_str())
            .map(|row| row.adapter.clone()),
    );
    Ok(out)
}

fn unanswered(framework: &FrameworkFacts, node: &NodeName) -> Truth {
    // Every source must have had its say: one that is silent is no evidence.
    match framework
        .servants
        .get(&format!("{NODE}@{node}"))
        .map(|a| &a.answer)
    {
        Some(Answer::Refused | Answer::NoServant | Answer::Nobody(_)) => {}
        Some(Answer::Answers | Answer::Mute(_) | Answer::Failed(_)) => {
            return Truth::Fails("something answers at its address".to_owned());
        }
        Some(Answer::Silent(why)) => {
            return Truth::Unknown(format!("its address could not be asked: {why}"));
        }
        None => {
            return Truth::Unknown(
                "its address was not asked (`rpc: none`), so it may still live".to_owned(),
            );
        }
    }
    match framework.ping(node) {
        Observed::Present(true) => {
            return Truth::Fails("AdminRegistry has a connection to it".to_owned());
        }
        Observed::Unknown(why) if !framework.admin.is_absent() => {
            return Truth::Unknown(format!("AdminRegistry: {why}"));
        }
        _ => {}
    }
    match framework.node_row(node) {
        Observed::Unknown(why) => Truth::Unknown(why),
        // Other tables may still have rows of it.
        Observed::Absent => Truth::Holds,
        Observed::Present(row) => match row.heartbeat_age {
            Some(age) if age <= OLD => Truth::Fails(format!("its last heartbeat came {age} s ago")),
            Some(_) => Truth::Holds,
            None if row.present.as_deref() == Some("active") => Truth::Unknown(
                "the database calls it active without a time of its last heartbeat".to_owned(),
            ),
            None => Truth::Holds,
        },
    }
}
