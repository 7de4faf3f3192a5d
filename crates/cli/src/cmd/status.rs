//! `status`: what is there, by component and host.
//!
//! One line for a component, a version and a state, with all hosts of which that is so; with `-v` one for
//! each host, and what each source says.

mod inside;
mod row;
mod rows;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::Plan;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::sources::source_reports;
use tarsops_probe::Report;

use self::row::{Row, State};
use self::rows::rows;
use self::table::{summary, table, truth_table};
use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{publish, say};
use crate::progress::Bar;
use crate::session::{Session, preflight};
use crate::style::style;

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
        source_reports(&session.input(&report))
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
    explain_unseen(&plan, &rows);
    session.close().await;
    Ok(exit::of_plan(&plan))
}

/// Says what could not be seen and has no row: the exit code counts it.
fn explain_unseen(plan: &Plan, rows: &[Row]) {
    let unknown = rows.iter().filter(|row| row.state == State::Unknown);
    let unknown: BTreeSet<(Component, &NodeName)> =
        unknown.map(|row| (row.component, &row.node)).collect();
    let has_row = |resource: &ResourceId| {
        let component = match resource {
            ResourceId::Server(component, _) => *component,
            _ => Component::Tarsnode,
        };
        let node = resource.node();
        node.is_some_and(|node| unknown.contains(&(component, node)))
    };
    let mut unseen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for drift in plan.drift.iter().filter(|d| !has_row(&d.resource)) {
        if let DriftKind::Unknown { why } = &drift.kind {
            let resources = unseen.entry(why.join("; ")).or_default();
            resources.push(drift.resource.to_string());
        }
    }
    for (why, resources) in unseen {
        say(format!("not seen: {}: {why}", resources.join(", ")));
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
