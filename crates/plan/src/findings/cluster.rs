//! Findings about the cluster as a whole: its database, its registries, its clocks.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::{FrameworkFacts, RegistryRow, Rows};
use tarsops_model::host::{HostFacts, NodeState};
use tarsops_model::names::Endpoint;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::{CLOCKS, Finding, Grade, Name, REGISTRY_WRITES};
use crate::input::PlanInput;
use crate::registries;

/// The servant under which a registry stands in its rows.
const QUERY_OBJ: &str = "tars.tarsregistry.QueryObj";
/// A living registry writes its rows again every 13 s; one that missed several is not alive.
const STALE: i64 = 60;

pub(super) fn find(input: &PlanInput<'_>, out: &mut Vec<Finding>) {
    let Some(framework) = &input.inventory.framework else {
        return;
    };
    database(framework, out);
    let rows = match framework.rows() {
        Observed::Present(rows) => Some(rows),
        _ => None,
    };
    registries(input, framework, rows, out);
    clocks(input, framework, out);
}

fn is_foreign(listed: &BTreeMap<Endpoint, &RegistryRow>, input: &PlanInput<'_>) -> bool {
    !listed.is_empty()
        && listed
            .keys()
            .all(|at| !input.desired.registries.contains(at))
}

/// Whether the database is this cluster's: looked at whatever the command is narrowed to.
pub(super) fn guard(input: &PlanInput<'_>, out: &mut Vec<Finding>) {
    let Some(framework) = &input.inventory.framework else {
        return;
    };
    let Observed::Present(facts) = &framework.database else {
        return;
    };
    if let Observed::Present(admin) = &framework.admin
        && let (Observed::Present(known), Observed::Present(rows)) = (&admin.nodes, &facts.rows)
        && let Observed::Present(listed) = &rows.nodes
        && !known.is_empty()
        && !listed.is_empty()
        && known.iter().all(|name| !listed.contains_key(name))
    {
        let some = |names: Vec<&String>| {
            let more = if names.len() > 5 { ", …" } else { "" };
            let first: Vec<&str> = names.iter().take(5).map(|n| n.as_str()).collect();
            format!("{}{more}", first.join(", "))
        };
        let (known, listed) = (some(known.iter().collect()), some(listed.keys().collect()));
        out.push(Finding {
            name: Name::ForeignDatabase,
            heals_within: None,
            grade: Grade::Blocked,
            resource: ResourceId::Schema,
            text: format!(
                "AdminRegistry knows the nodes {known}, and the database has none of them: AdminRegistry works with another one"
            ),
            cure: "correct `database.address`, or `dbhost` in AdminRegistry's configuration".into(),
            sources: vec![
                ("AdminRegistry".into(), known),
                ("database".into(), listed),
            ],
        });
    }
    let Observed::Present(rows) = &facts.rows else {
        return;
    };
    let Some(listed) = listed(rows).filter(|l| is_foreign(l, input)) else {
        return;
    };
    let names: Vec<String> = listed.keys().map(ToString::to_string).collect();
    let wanted: Vec<String> = input
        .desired
        .registries
        .iter()
        .map(ToString::to_string)
        .collect();
    out.push(Finding {
        name: Name::ForeignDatabase,
        heals_within: None,
        grade: Grade::Blocked,
        resource: ResourceId::Schema,
        text: format!(
            "the database lists the registries {}, and none of them is in the spec: it is another cluster's",
            names.join(", ")
        ),
        cure: "correct `database.address`, or `registry.endpoints`".into(),
        sources: vec![
            ("spec".into(), wanted.join(", ")),
            ("database".into(), names.join(", ")),
        ],
    });
}

fn database(framework: &FrameworkFacts, out: &mut Vec<Finding>) {
    let Observed::Present(facts) = &framework.database else {
        return;
    };
    if facts.rows.is_absent() {
        out.push(Finding {
            name: Name::NoDatabase,
            heals_within: None,
            grade: Grade::Drift,
            resource: ResourceId::Schema,
            text: "the server has no database db_tars, and our user may see all there are".into(),
            cure: "correct `database.address` if it is the wrong server; tarsops never creates one while `rebuild: never`".into(),
            sources: vec![("database".into(), "db_tars: absent".into())],
        });
    }
    if facts.read_only == Observed::Present(true) {
        out.push(Finding {
            name: Name::DatabaseReadOnly,
            heals_within: None,
            grade: Grade::Blocked,
            resource: ResourceId::Schema,
            // What stands in the rows then is what was so before, and no gate can rest on it.
            text: "the database takes no changes of ordinary accounts (`read_only`): registries cannot write there who is alive, and names are resolved from what was".into(),
            cure: "name the primary in `database.address` if this is a replica, or end the read-only state".into(),
            sources: vec![],
        });
    }
    if facts.default_login == Observed::Present(true) {
        out.push(Finding {
            name: Name::DefaultPassword,
            heals_within: None,
            grade: Grade::Warning,
            resource: ResourceId::Schema,
            text: "the account tarsAdmin is open with the password that the installer gives everybody".into(),
            cure: "change it in the database, in the templates tars.framework-db and in the console's configuration".into(),
            sources: vec![],
        });
    }
}

/// The registries that the database lists: the row of each one's QueryObj, by endpoint.
pub(super) fn listed(rows: &Rows) -> Option<BTreeMap<Endpoint, &RegistryRow>> {
    let all = rows.registries.present()?;
    Some(
        all.iter()
            .filter(|r| r.servant == QUERY_OBJ)
            .filter_map(|r| Some((r.locator.parse().ok()?, r)))
            .collect(),
    )
}

/// The registries that the rows of servers and adapters let be resolved, and the node of each. Name
/// resolution takes them beside the registries' own rows, whether they ever ran or not
/// (`RegistryServer/DbHandle.cpp`, loadObjectIdCache).
pub(crate) fn resolved(rows: &Rows) -> BTreeMap<Endpoint, Named> {
    let (Some(adapters), Some(servers)) = (rows.adapters.present(), rows.servers.present()) else {
        return BTreeMap::new();
    };
    let states: BTreeMap<&str, bool> = servers
        .iter()
        .filter(|s| s.application == "tars" && s.server == Component::Tarsregistry.name())
        .map(|s| (s.node.as_str(), s.setting.as_deref() != Some("inactive")))
        .collect();
    adapters
        .iter()
        .filter(|a| a.servant.as_deref() == Some(QUERY_OBJ))
        .filter_map(|a| {
            let named = Named {
                node: a.node.clone(),
                active: *states.get(a.node.as_str())?,
            };
            Some((endpoint(a.endpoint.as_deref()?)?, named))
        })
        .collect()
}

/// A registry that the rows of a server and its adapter name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// On which node.
    pub(crate) node: String,
    /// Whether it is resolved: somebody may have set it inactive.
    pub(crate) active: bool,
}

/// Reads `tcp -h 10.0.0.1 -p 17890 -t 60000`.
fn endpoint(text: &str) -> Option<Endpoint> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|w| *w == flag)?;
        words.get(at + 1).copied()
    };
    format!("{}:{}", after("-h")?, after("-p")?).parse().ok()
}

/// The registries that the database lists as alive; none where the table could not be read.
pub(crate) fn alive(rows: &Rows) -> Option<BTreeSet<Endpoint>> {
    let listed = listed(rows)?;
    Some(
        listed
            .into_iter()
            .filter(|(_, row)| is_fresh(row))
            .map(|(at, _)| at)
            .collect(),
    )
}

pub(crate) fn is_fresh(row: &RegistryRow) -> bool {
    row.present.as_deref() == Some("active") && row.heartbeat_age.is_none_or(|age| age <= STALE)
}

/// What the database says of a registry.
pub(super) fn told(row: &RegistryRow) -> String {
    let state = row.present.as_deref().unwrap_or("(no state)");
    match row.heartbeat_age {
        Some(age) => format!("{state}, last heartbeat {age} s ago"),
        None => state.to_owned(),
    }
}

fn registries(
    input: &PlanInput<'_>,
    framework: &FrameworkFacts,
    rows: Option<&Rows>,
    out: &mut Vec<Finding>,
) {
    let listed = rows.and_then(listed);
    let spec = &input.desired.registries;
    if listed.as_ref().is_some_and(|l| is_foreign(l, input)) {
        // What follows would compare two clusters with each other.
        return;
    }
    for (at, answer) in &framework.registries {
        let row = listed.as_ref().and_then(|l| l.get(at));
        let mut sources = vec![
            ("spec".to_owned(), "shall answer".to_owned()),
            ("rpc".to_owned(), answer.to_string()),
        ];
        if let Some(row) = row {
            sources.push(("database".to_owned(), told(row)));
        }
        if !answer.is_alive() && !answer.is_unknown() {
            out.push(Finding {
                name: Name::RegistrySilent,
                heals_within: None,
                grade: Grade::Drift,
                resource: ResourceId::RegistryEndpoint(at.clone()),
                text: format!("the registry {answer}"),
                cure: if answer.is_dead() && startable(input, at) {
                    "apply starts it".into()
                } else {
                    "look at app_log/tars/tarsregistry there, or take it out of `registry.endpoints`".into()
                },
                sources,
            });
        } else if answer.is_alive() && listed.is_some() && row.is_none_or(|r| !is_fresh(r)) {
            if row.is_none() {
                sources.push(("database".to_owned(), "no row".to_owned()));
            }
            out.push(Finding {
                name: Name::RegistryUnlisted,
                heals_within: Some(REGISTRY_WRITES),
                grade: Grade::Drift,
                resource: ResourceId::RegistryEndpoint(at.clone()),
                text: "the registry answers, and the database does not list it as active: nodes do not learn of it".into(),
                cure: "it writes its rows every 13 s; if it stays so, look at its log for errors of the database".into(),
                sources,
            });
        }
    }
    let Some(listed) = listed else { return };
    let resolved = rows.map(resolved).unwrap_or_default();
    let addresses: BTreeSet<String> = input
        .desired
        .hosts()
        .map(|(_, h)| h.ip.to_string())
        .collect();
    for (at, named) in resolved
        .iter()
        .filter(|(at, _)| !spec.contains(*at) && !listed.contains_key(*at))
        // Rows that are set inactive on a node of the spec are somebody's choice; elsewhere they
        // are what a run that was cut off has left.
        .filter(|(at, named)| named.active || !addresses.contains(at.host.as_str()))
    {
        out.push(Finding {
            name: Name::RegistryGone,
            heals_within: None,
            grade: Grade::Drift,
            resource: ResourceId::RegistryEndpoint(at.clone()),
            text: "the rows of a server name a registry that is gone: every node takes it into its locator".into(),
            cure: "apply deletes its rows".into(),
            sources: vec![
                ("spec".into(), "not named".into()),
                (
                    "database".into(),
                    format!(
                        "tars.tarsregistry on {}, {}",
                        named.node,
                        if named.active { "active" } else { "inactive" }
                    ),
                ),
            ],
        });
    }
    for (at, row) in listed.iter().filter(|(at, _)| !spec.contains(*at)) {
        let sources = vec![
            ("spec".to_owned(), "not named".to_owned()),
            ("database".to_owned(), told(row)),
        ];
        let resource = ResourceId::RegistryEndpoint(at.clone());
        out.push(if is_fresh(row) {
            Finding {
                name: Name::RegistryNotInSpec,
                heals_within: None,
                grade: Grade::Drift,
                resource,
                text: "a living registry that the spec does not name: every node takes it into its locator".into(),
                cure: if let Some(state) = leaves(input, at) {
                    match state {
                        NodeState::Absent { .. } => {
                            "apply stops and removes it with its node, which the spec calls absent"
                        }
                        _ => "stop that machine for good: the spec calls its node gone",
                    }
                    .into()
                } else if is_placed(input, at) {
                    "add it to `registry.endpoints`: the spec places a registry on that node".into()
                } else if host_of(input, at).is_some() {
                    "apply stops and removes it; add it to `registry.endpoints` if it is meant".into()
                } else {
                    "add it to `registry.endpoints`, or stop it there".into()
                },
                sources,
            }
        } else {
            Finding {
                name: Name::RegistryGone,
                heals_within: None,
                grade: Grade::Drift,
                resource,
                text: "the rows of a registry that is gone: every node keeps it in its locator".into(),
                cure: "apply deletes its rows".into(),
                sources,
            }
        });
    }
}

/// The state of the node at the address of a registry, if the spec takes that node away.
fn leaves<'a>(input: &PlanInput<'a>, at: &Endpoint) -> Option<&'a NodeState> {
    let address = at.host.to_string();
    let mut all = input.desired.hosts();
    let (_, host) = all.find(|(_, h)| h.ip.to_string() == address)?;
    matches!(host.state, NodeState::Absent { .. } | NodeState::Gone).then_some(&host.state)
}

/// What was seen of the host at the address of a registry, if the spec names it as present.
fn host_of<'a>(input: &PlanInput<'a>, at: &Endpoint) -> Option<&'a HostFacts> {
    let address = at.host.to_string();
    let (node, _) = input
        .desired
        .hosts()
        .find(|(_, h)| h.ip.to_string() == address && h.state == NodeState::Present)?;
    match input.inventory.host(node) {
        Observed::Present(facts) => Some(facts),
        _ => None,
    }
}

/// Whether the spec places a registry on the node at this address, by its role or by `components`.
fn is_placed(input: &PlanInput<'_>, at: &Endpoint) -> bool {
    input.desired.hosts().any(|(node, host)| {
        let id = ResourceId::Server(Component::Tarsregistry, node.clone());
        registries::endpoint_at(host.ip) == *at && input.desired.resources.contains_key(&id)
    })
}

fn startable(input: &PlanInput<'_>, at: &Endpoint) -> bool {
    host_of(input, at).is_some_and(registries::is_startable)
}

/// Registries and database decide by comparing their clocks, so those are compared with each other;
/// the control machine's own clock is only the measure.
fn clocks(input: &PlanInput<'_>, framework: &FrameworkFacts, out: &mut Vec<Finding>) {
    let Observed::Present(database) = &framework.database else {
        return;
    };
    let on_registry: BTreeSet<_> = input
        .desired
        .resources
        .keys()
        .filter_map(|id| match id {
            ResourceId::Server(Component::Tarsregistry, node) => Some(node),
            _ => None,
        })
        .collect();
    for (node, _) in input.desired.hosts() {
        let Observed::Present(host) = input.inventory.host(node) else {
            continue;
        };
        let apart = host.clock_skew.saturating_sub(database.clock_skew);
        let seconds = apart.saturating_abs();
        if seconds <= CLOCKS {
            continue;
        }
        let registry = on_registry.contains(node);
        let word = if apart > 0 { "ahead of" } else { "behind" };
        out.push(Finding {
            name: Name::ClockSkew,
            heals_within: None,
            grade: if registry {
                Grade::Drift
            } else {
                Grade::Warning
            },
            resource: ResourceId::Host(node.clone()),
            text: if registry {
                format!(
                    "its clock is {seconds} s {word} the database's: its registry misses changes"
                )
            } else {
                format!("its clock is {seconds} s {word} the database's")
            },
            cure: "set the clocks by one source (chrony, ntpd)".into(),
            sources: vec![
                ("host".into(), format!("{:+} s", host.clock_skew)),
                ("database".into(), format!("{:+} s", database.clock_skew)),
            ],
        });
    }
}
