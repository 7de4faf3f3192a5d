//! The basic services (tarsstat, tarsproperty, tarsnotify, tarslog, tarsquerystat and
//! tarsqueryproperty): how they are published, and how one that is missing comes.
//!
//! They are changed as any service of the cluster is: a package, a task, a look at what the host then
//! shows. What must stay true: a server that somebody has set inactive is not published, because the
//! task would start it; a row that is there is never written by a deploy form, which resets it; and
//! tarslog, of which a cluster has one, is not made again where it was moved away from.

pub(crate) mod adapters;
pub(crate) mod rows;

use tarsops_model::component::Component;
use tarsops_model::desired::{Rpc, Server};
use tarsops_model::framework::{AdapterRow, ServerRow, server_key};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;
use tarsops_model::version::Version;

use crate::actions::{AddServerRows, NewRow, NewServers, Operation, Publish, Table, Via};
use crate::components;
use crate::condition::Condition;
use crate::drift::DriftKind;
use crate::expansion::{adapter_name, adapter_row, is_servant, never_started, server_row};
use crate::input::PlanInput;
use crate::places::binary_path;
use crate::plan::{ChangeKind, Stage, Step};
use crate::prerequisites;
use crate::report::{Blocked, Line};
use crate::servers::ServerAssessment;
use crate::tables::{framework, readable, row};
use crate::templates;

/// Whose hands publish: those of the management platform where the spec names one, those of Tars
/// otherwise.
pub(crate) fn way(input: &PlanInput<'_>) -> Result<Via, Blocked> {
    let desired = input.desired;
    if desired.web().is_some() {
        return match framework(input).map(|f| &f.console) {
            Some(Observed::Present(_)) => Ok(Via::Console),
            other => Err(Blocked::ConsoleSilent {
                why: other
                    .and_then(Observed::unknown)
                    .unwrap_or("it was not asked")
                    .to_owned(),
            }),
        };
    }
    let lacking = if desired.database().is_none() {
        "the spec names neither a management platform nor the database"
    } else if desired.rpc == Rpc::Off {
        "the spec names no management platform and says `rpc: none`"
    } else {
        return Ok(Via::Tars);
    };
    Err(Blocked::NoPublishPath {
        what: lacking.to_owned(),
    })
}

/// Whether AdminRegistry, which carries a task out by either way, can be asked; why not otherwise.
pub(crate) fn admin_silent(input: &PlanInput<'_>) -> Option<String> {
    match framework(input).map(|f| &f.admin) {
        Some(Observed::Present(_)) => None,
        Some(Observed::Unknown(why)) => Some(format!("AdminRegistry, which publishes: {why}")),
        Some(Observed::Absent) | None => {
            Some("AdminRegistry, which publishes, was not asked".to_owned())
        }
    }
}

/// Whether a server is set active: by its row, or by AdminRegistry where the spec names no database.
/// Absent where it has no row. A row that nobody has ever started is the rest of a deployment.
pub(crate) fn setting(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
) -> Observed<bool> {
    if input.desired.database().is_some() {
        return match readable(input) {
            Ok((_, servers, _)) => Observed::from(
                row(servers, component, node)
                    .map(|row| row.setting.as_deref() == Some("active") || never_started(row)),
            ),
            Err(why) => Observed::Unknown(why),
        };
    }
    let view = framework(input)
        .and_then(|f| f.admin.present())
        .and_then(|admin| admin.servers.get(&server_key(component, node)));
    match view {
        Some(Observed::Present(view)) => {
            Observed::Present(view.setting.eq_ignore_ascii_case("active"))
        }
        Some(Observed::Absent) => Observed::Absent,
        Some(Observed::Unknown(why)) => Observed::Unknown(why.clone()),
        None => Observed::Unknown("AdminRegistry was not asked".to_owned()),
    }
}

/// A server whose row has its program elsewhere: what is published goes there, over a program that
/// nobody has looked at.
pub(crate) fn elsewhere(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    server: &Server,
) -> Option<Blocked> {
    let (_, servers, _) = readable(input).ok()?;
    let path = row(servers, component, node)?.exe_path.as_ref()?;
    let own = format!("{}/{}", server.tars_path, binary_path(component));
    (*path != own).then(|| Blocked::OtherPath { path: path.clone() })
}

/// Whether the rows are proven to have none of the server.
pub(crate) fn is_undeployed(input: &PlanInput<'_>, component: Component, node: &NodeName) -> bool {
    input.desired.database().is_some()
        && readable(input).is_ok_and(|(_, servers, _)| row(servers, component, node).is_none())
}

/// A basic service that the spec places on `node` and that has no row, or no program there.
pub(crate) fn missing(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    server: &Server,
    host: &HostFacts,
    facts: Option<&ServerFacts>,
) -> ServerAssessment {
    let mut work = ServerAssessment::default();
    let resource = ResourceId::Server(component, node.clone());
    let mut blocked: Vec<Blocked> = Vec::new();
    let mut unknown: Vec<String> = Vec::new();
    let via = match way(input) {
        Ok(via) => Some(via),
        Err(why) => {
            blocked.push(why);
            None
        }
    };
    unknown.extend(admin_silent(input));
    blocked.extend(elsewhere(input, component, node, server));
    let mut missing = Vec::new();
    if input.desired.database().is_none() {
        blocked.push(Blocked::NoPublishPath {
            what: "the spec names no database, which would show whether it exists elsewhere"
                .to_owned(),
        });
    } else {
        match readable(input) {
            Err(why) => unknown.push(format!("its rows: {why}")),
            Ok((_, servers, adapters)) => {
                if let Some(elsewhere) = moved_to(component, node, servers) {
                    work.lines.push(Line::Note {
                        resource,
                        text: format!(
                            "a cluster has one {component}, and the database has it on {elsewhere}: it is not deployed again here; write `{component}: {{nodes: [{elsewhere}]}}` under `components`"
                        ),
                    });
                    return work;
                }
                let own = row(servers, component, node);
                if own.is_some_and(|r| r.setting.as_deref() != Some("active") && !never_started(r))
                {
                    work.lines.push(Line::Waiting {
                        resource,
                        why: format!(
                            "it is set inactive, and publishing would start it; {} is published once it is set active",
                            server.version
                        ),
                    });
                    return work;
                }
                missing = new_rows(component, node, spec, server, own, adapters);
            }
        }
    }
    let runs = facts.is_some_and(ServerFacts::runs);
    if runs {
        blocked.push(Blocked::RunsUnknown { component });
    }
    match &host.ports {
        Observed::Present(ports) if !runs => {
            let taken = component.servants().iter().map(|(_, port)| *port);
            if let Some(port) = taken.into_iter().find(|port| ports.contains(port)) {
                blocked.push(Blocked::PortTakenOf { component, port });
            }
        }
        Observed::Unknown(why) => unknown.push(format!("its ports: {why}")),
        _ => {}
    }
    let before = match facts.map(|f| &f.binary) {
        Some(Observed::Present(file)) => Some(file),
        Some(Observed::Unknown(why)) => {
            unknown.push(format!("the binary: {why}"));
            None
        }
        Some(Observed::Absent) | None => None,
    };
    let compared = rows::compare(input, component, node, spec, server, host, None);
    blocked.extend(compared.blocked);
    let named = readable(input)
        .ok()
        .and_then(|(_, servers, _)| row(servers, component, node)?.template.clone());
    blocked.extend(templates::unreadable_template(
        input, component, named, server,
    ));
    let version = server.version;
    let shipped = components::shipped(input.catalog, component, version);
    if shipped.is_none() {
        blocked.push(Blocked::NoPackageOf { component, version });
    }
    blocked.extend(components::means(input, component, node, host));
    let (against, unseen) = prerequisites::room(input, host, shipped.map_or(0, |s| s.size));
    blocked.extend(against);
    unknown.extend(unseen);
    work.drift = Some(if unknown.is_empty() {
        DriftKind::Missing
    } else {
        DriftKind::Unknown {
            why: unknown.clone(),
        }
    });
    let can = unknown.is_empty() && blocked.is_empty();
    work.lines
        .extend(blocked.into_iter().map(|why| Line::Blocked {
            resource: resource.clone(),
            why,
        }));
    let (true, Some(via), Some(shipped)) = (can, via, shipped) else {
        return work;
    };
    let summary = format!("publish {component} {version}, {}", via.words());
    let publish = Publish {
        via,
        program: components::program(component, version, shipped, before),
        first: facts.is_none(),
        rows: compared.edits,
        patch_version: None,
    };
    let operation = (summary, Operation::Publish(publish));
    let Some(mut change) = components::on_host(input, component, node, spec, host, operation)
    else {
        work.drift = Some(DriftKind::Unknown {
            why: vec!["its machine-id cannot be read".to_owned()],
        });
        return work;
    };
    change.port.after = component.servants().first().map(|(_, port)| *port);
    let machine = Condition::Machine {
        id: change.machine_id.clone(),
    };
    let user = change.run_user.to_string();
    let mut post = vec![
        Condition::File {
            path: binary_path(component),
            digest: Some(shipped.digest),
        },
        Condition::ServerRuns {
            component,
            digest: Some(shipped.digest),
            user,
        },
        Condition::ServerListens { component },
        Condition::ServerActive { component },
    ];
    let asked = framework(input).is_some_and(|f| {
        let mut all = f.servants.values();
        all.any(|a| a.component == component && a.node == *node)
    });
    if asked {
        post.push(Condition::ServantsAnswer { component });
    }
    if !missing.is_empty() {
        work.deploy = Some(deploy((component, version), node, missing, via, machine));
    }
    let pre = crate::preconditions::preconditions(&change);
    let id = format!("{component}.publish@{node}");
    work.step = Some(Step::of_change(id, change, pre, post));
    work
}

/// Where the only tarslog of the cluster is, if not on `node`.
fn moved_to<'a>(
    component: Component,
    node: &NodeName,
    servers: &'a [ServerRow],
) -> Option<&'a str> {
    if component != Component::Tarslog || row(servers, component, node).is_some() {
        return None;
    }
    let mut all = servers
        .iter()
        .filter(|r| r.application == "tars" && r.server == component.name());
    all.next().map(|r| r.node.as_str())
}

/// The rows that are missing.
fn new_rows(
    component: Component,
    node: &NodeName,
    spec: &Host,
    server: &Server,
    own: Option<&ServerRow>,
    adapters: &[AdapterRow],
) -> Vec<NewRow> {
    let mut out = Vec::new();
    if own.is_none() {
        out.push(server_row(component, node, server));
    }
    for (servant, port) in component.servants_in(server.version) {
        let name = adapter_name(servant);
        let there = adapters.iter().any(|r| {
            r.application == "tars"
                && r.server == component.name()
                && r.node == node.as_str()
                && (r.adapter == name
                    || r.servant.as_deref().is_some_and(|s| is_servant(s, servant)))
        });
        if !there {
            out.push(adapter_row(component, servant, port, node, spec.ip, server));
        }
    }
    out
}

/// The step that writes the rows, each only where none has its key.
fn deploy(
    (component, version): (Component, Version),
    node: &NodeName,
    rows: Vec<NewRow>,
    via: Via,
    machine: Condition,
) -> Step {
    // The form is of a whole server: it writes the server once for each adapter in it, and nothing
    // where the adapters are there already.
    let whole = rows.iter().any(|r| r.table == Table::TServerConf)
        && rows.len() == 1 + component.servants_in(version).len();
    let via = if whole { via } else { Via::Tars };
    let new = NewServers {
        node: node.clone(),
        rows,
        via,
    };
    let names = new.names();
    Step::new(
        format!("{component}.deploy@{node}"),
        (Stage::BasicServices, ChangeKind::Add),
        match via {
            Via::Console => format!("deploy {component} by the platform's form, set inactive"),
            Via::Tars => format!("write {} rows of {component}, set inactive", names.len()),
        },
        AddServerRows(new),
        vec![
            machine,
            Condition::RowsAbsent {
                rows: names.clone(),
            },
        ],
        vec![Condition::RowsThere { rows: names }],
    )
}
