//! `status`: what is there, by component and host.
//!
//! One line for a component, a version and a state, with all hosts of which that is so; with `-v` one for
//! each host, and what each source says.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::display::{self, Colour, Text};
use tarsops_model::host::{Host, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::Plan;
use tarsops_plan::PlanInput;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::names::{compress, natural_key};
use tarsops_plan::render::Style;
use tarsops_plan::sources::{SourceReport, source_reports};
use tarsops_probe::Report;

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::progress::Bar;
use crate::session::Session;
use crate::session::preflight;
use crate::style::style;

/// How a component on a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As the spec says.
    InSync,
    /// It is there, otherwise than the spec says.
    Differs,
    /// It should be there.
    Missing,
    /// It is there and does not run, which somebody decided.
    Stopped,
    /// It is there and should not.
    ToBeRemoved,
    /// It is not there, as the spec says.
    Absent,
    /// The spec says that it is being worked on.
    Maintenance,
    /// The spec says that its machine is no more.
    Gone,
    /// No package of it is pinned, so there is nothing to compare it with.
    NotCompared,
    /// It could not be seen.
    Unknown,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Stopped => "stopped",
            Self::ToBeRemoved => "to be removed",
            Self::Absent => "absent",
            Self::Maintenance => "maintenance",
            Self::Gone => "gone",
            Self::NotCompared => "not compared",
            Self::Unknown => "unknown",
        }
    }

    const fn colour(self) -> Option<Colour> {
        match self {
            Self::InSync | Self::Absent => Some(Colour::Green),
            Self::Differs | Self::Missing | Self::Stopped | Self::ToBeRemoved => {
                Some(Colour::Yellow)
            }
            Self::Unknown => Some(Colour::Magenta),
            Self::Maintenance | Self::Gone | Self::NotCompared => None,
        }
    }
}

/// One component on one host.
#[derive(Debug, Clone, Serialize)]
struct Row {
    component: Component,
    node: NodeName,
    state: State,
    /// The framework's version of its file, and of its process where that is another one.
    version: String,
    /// Its process, in a few words.
    process: String,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Looks, and shows what is there.
pub async fn run(global: &Global, look: &Look) -> Result {
    let mut session = Session::open(global, look)?;
    session.ask_libraries = true;
    session.ready().await?;
    let report = session.look(&Bar::new("looking at")).await;
    preflight::check_look(&report)?;
    let plan = super::plan::make(&mut session, &report).await?;
    let rows = rows(&session, &report, &plan);
    let truth = if report.inventory.framework.is_some() {
        source_reports(&PlanInput {
            desired: session.desired(),
            inventory: &report.inventory,
            catalog: session.store.catalog(),
            scope: &session.scope,
            now: report.inventory.observed_at,
        })
    } else {
        Vec::new()
    };
    let nodes: Vec<serde_json::Value> = rows
        .iter()
        .filter(|r| r.component == Component::Tarsnode)
        .map(|r| {
            let host = session.desired().host(&r.node);
            serde_json::json!({
                "node": r.node, "role": host.map_or("", |h| h.role.name()),
                "state": r.state.word(), "version": r.version,
                "nodeid": nodeid(&report, &r.node), "process": r.process,
            })
        })
        .collect();
    let document = serde_json::json!({
        "format": "tarsops.status/1",
        "cluster": plan.cluster,
        "observed_at": plan.observed_at,
        "components": rows,
        "nodes": nodes,
        "truth": truth,
        "inventory": serde_json::to_value(&report.inventory)
            .map_err(|e| Failure::new("could not write the inventory").because(&e))?,
    });
    let style = style(global);
    let mut shown = table(&rows, style);
    if style.verbose {
        shown.append(&truth_table(&truth));
    }
    shown.end();
    shown.line(summary(&rows));
    publish(global, &format!("{document:#}\n"), &shown)?;
    super::plan::explain_silence(&report);
    session.close().await;
    Ok(exit::of_plan(&plan))
}

/// Every component of the spec that is meant, in the order of the components and the nodes.
fn rows(session: &Session, report: &Report, plan: &Plan) -> Vec<Row> {
    let drift: BTreeMap<&ResourceId, &DriftKind> =
        plan.drift.iter().map(|d| (&d.resource, &d.kind)).collect();
    let mut nodes: Vec<(&NodeName, &Host)> = session
        .desired()
        .hosts()
        .filter(|(n, _)| session.scope.has_node(n))
        .collect();
    nodes.sort_by_key(|(n, _)| natural_key(n.as_str()));
    let mut out = Vec::new();
    for component in Component::ALL {
        if !session.scope.has_component(component) {
            continue;
        }
        for (node, host) in &nodes {
            let id = match component {
                Component::Tarsnode => ResourceId::Agent((*node).clone()),
                _ => ResourceId::Server(component, (*node).clone()),
            };
            if session.desired().resources.contains_key(&id) {
                let drift = drift.get(&id).copied();
                out.push(row(session, report, component, node, host, drift));
            }
        }
    }
    out
}

fn row(
    session: &Session,
    report: &Report,
    component: Component,
    node: &NodeName,
    host: &Host,
    drift: Option<&DriftKind>,
) -> Row {
    let seen = match component {
        Component::Tarsnode => report
            .inventory
            .agent(node)
            .map(|f| (&f.binary, &f.processes)),
        _ => report
            .inventory
            .server(component, node)
            .map(|f| (&f.binary, &f.processes)),
    };
    let known = session.store.catalog().known.values().flatten();
    let compared =
        component == Component::Tarsnode || known.into_iter().any(|(c, _)| *c == component);
    let (version, process, why) = match &seen {
        Observed::Present((binary, processes)) => (
            version(session, component, binary, processes),
            process(processes),
            binary.unknown().or_else(|| processes.unknown()),
        ),
        Observed::Absent => ("none".to_owned(), "-".to_owned(), None),
        Observed::Unknown(why) => ("?".to_owned(), "-".to_owned(), Some(why.as_str())),
    };
    let runs = match &seen {
        Observed::Present((_, processes)) => processes.present().is_none_or(|p| !p.is_empty()),
        _ => true,
    };
    let state = match (&host.state, drift) {
        (NodeState::Maintenance { .. }, _) => State::Maintenance,
        (NodeState::Gone, _) => State::Gone,
        (_, Some(DriftKind::Unknown { .. })) => State::Unknown,
        (_, Some(DriftKind::Missing)) => State::Missing,
        (_, Some(DriftKind::Surplus)) => State::ToBeRemoved,
        (_, Some(_)) => State::Differs,
        // What could not be seen is never in sync.
        (_, None) if why.is_some() => State::Unknown,
        (NodeState::Absent { .. }, None) => State::Absent,
        (NodeState::Present, None) if seen.is_absent() => State::Missing,
        (NodeState::Present, None) if !runs => State::Stopped,
        (NodeState::Present, None) if !compared => State::NotCompared,
        (NodeState::Present, None) => State::InSync,
    };
    // A host that is silent is the reason for all that it has.
    let host_seen = report.inventory.host(node);
    let why = match (host_seen.unknown(), drift) {
        (Some(silent), _) => Some(silent.to_owned()),
        (None, Some(DriftKind::Unknown { why })) => Some(why.join("; ")),
        (None, _) => why.map(str::to_owned),
    };
    Row {
        component,
        node: node.clone(),
        state,
        version,
        process,
        why: why.filter(|_| state == State::Unknown),
    }
}

/// The version of a file, and of its process where that runs another one.
fn version(
    session: &Session,
    component: Component,
    binary: &Observed<FileFact>,
    processes: &Observed<Vec<ProcessFact>>,
) -> String {
    let named = |digest| {
        let all = session.store.catalog().versions_of(component, digest);
        all.last()
            .map_or_else(|| digest.short(), ToString::to_string)
    };
    let Observed::Present(file) = binary else {
        return if binary.is_absent() { "none" } else { "?" }.to_owned();
    };
    let running = processes.present().into_iter().flatten();
    let other = running
        .filter_map(|p| p.exe.present())
        .find(|exe| **exe != file.digest);
    let on_disk = named(&file.digest);
    match other {
        Some(exe) => format!("{on_disk} (runs {})", named(exe)),
        None => on_disk,
    }
}

fn process(processes: &Observed<Vec<ProcessFact>>) -> String {
    match processes {
        Observed::Present(all) => match all.as_slice() {
            [] => "not running".to_owned(),
            [one] => format!("pid {} as {}", one.pid, one.user),
            many => format!("{} processes", many.len()),
        },
        _ => "unknown".to_owned(),
    }
}

fn nodeid(report: &Report, node: &NodeName) -> String {
    let one = match report.inventory.agent(node) {
        Observed::Present(facts) => match facts.processes.present().map(Vec::as_slice) {
            Some([one]) => one.nodeid.clone(),
            _ => None,
        },
        _ => None,
    };
    one.unwrap_or_else(|| "-".to_owned())
}

/// The last line: how many are how.
fn summary(rows: &[Row]) -> String {
    let mut states: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *states.entry(row.state).or_default() += 1;
    }
    let mut nodes: Vec<&NodeName> = rows.iter().map(|r| &r.node).collect();
    nodes.sort();
    nodes.dedup();
    let counted: Vec<String> = states
        .iter()
        .map(|(state, n)| format!("{n} {}", state.word()))
        .collect();
    let hosts = match nodes.len() {
        1 => "1 host".to_owned(),
        n => format!("{n} hosts"),
    };
    if counted.is_empty() {
        return "Status: nothing of the spec is meant.".to_owned();
    }
    format!("Status: {} on {hosts}.", counted.join(", "))
}

/// What every source says of every resource.
fn truth_table(all: &[SourceReport]) -> Text {
    let mut out = Text::new();
    if all.is_empty() {
        return out;
    }
    let width = all
        .iter()
        .map(|t| t.resource.to_string().len())
        .max()
        .unwrap_or(0);
    out.end();
    out.line(format_args!("{:width$}  WHAT EACH SOURCE SAYS", "RESOURCE"));
    for one in all {
        let words: Vec<String> = one.words.iter().map(|(s, w)| format!("{s}: {w}")).collect();
        out.line(format_args!(
            "{:width$}  {}",
            one.resource.to_string(),
            words.join(" | ")
        ));
    }
    out
}

/// One line for what is alike on several hosts; for each host with `-v`.
fn table(rows: &[Row], style: Style) -> Text {
    type Key<'r> = (Component, &'r str, State, Option<&'r str>, &'r str);
    let mut groups: Vec<(Key<'_>, Vec<&Row>)> = Vec::new();
    let mut index: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for row in rows {
        let alone = if style.verbose { row.node.as_str() } else { "" };
        let key = (
            row.component,
            row.version.as_str(),
            row.state,
            row.why.as_deref(),
            alone,
        );
        let at = *index.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row);
    }
    let mut lines = vec![(
        None,
        ["COMPONENT", "VERSION", "STATE", "HOSTS"].map(str::to_owned),
    )];
    let mut reasons: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for ((component, version, state, why, _), rows) in &groups {
        let nodes: Vec<&str> = rows.iter().map(|r| r.node.as_str()).collect();
        let mut hosts = compress(&nodes);
        if style.verbose {
            // One host a line, so there is room for its process.
            let _ = write!(hosts, "  {}", rows[0].process);
        } else if nodes.len() > 1 {
            let _ = write!(hosts, " ({} hosts)", nodes.len());
        }
        for row in rows {
            if let Some(why) = why {
                let nodes = reasons.entry(why).or_default();
                if !nodes.contains(&&row.node) {
                    nodes.push(&row.node);
                }
            }
        }
        lines.push((
            Some(*state),
            [
                component.name().to_owned(),
                display::line(version).into_owned(),
                state.word().to_owned(),
                display::line(&hosts).into_owned(),
            ],
        ));
    }
    let mut widths = [0_usize; 3];
    for (_, cells) in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = Text::new();
    for (state, [component, version, word, hosts]) in &lines {
        out.put(format_args!(
            "{component:0$}  {version:1$}  ",
            widths[0], widths[1]
        ));
        let colour = state.and_then(State::colour).filter(|_| style.color);
        out.put_in(colour, format!("{word:0$}", widths[2]));
        out.line(format_args!("  {hosts}"));
    }
    // One reason often holds for all of a host.
    if !reasons.is_empty() {
        out.end();
    }
    for (why, nodes) in reasons {
        let names: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
        let line = format!("  ? {}  {why}", compress(&names));
        out.line_in(Some(Colour::Magenta).filter(|_| style.color), line);
    }
    out
}
