//! `status`: what is there, node by node.

use std::fmt::Write as _;

use tarsops_model::component::Component;
use tarsops_model::display::{self, Text};
use tarsops_model::host::NodeState;
use tarsops_model::observed::Observed;
use tarsops_plan::PlanInput;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::findings::{Truth, truth};
use tarsops_plan::names::natural_key;

use crate::args::{Global, Look};
use crate::context::{Context, publish};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::preflight;
use crate::progress::Bar;

/// Looks, and shows a line for each node.
pub async fn run(global: &Global, look: &Look) -> Result {
    let mut context = Context::open(global, look)?;
    context.ask_libraries = true;
    context.ready().await?;
    let report = context.look(&Bar::new("looking at")).await;
    preflight::check_look(&report)?;
    let plan = super::plan::make(&mut context, &report).await?;
    let mut rows: Vec<[String; 6]> = Vec::new();
    for (node, host) in context
        .desired()
        .hosts()
        .filter(|(n, _)| context.scope.has_node(n))
    {
        let drift = plan
            .drift
            .iter()
            .find(|d| d.resource.node() == Some(node))
            .map(|d| &d.kind);
        let state = match (&host.state, drift) {
            (NodeState::Maintenance { .. }, _) => "maintenance",
            (NodeState::Gone, _) => "gone",
            (_, Some(DriftKind::Unknown { .. })) => "unknown",
            (_, Some(DriftKind::Missing)) => "missing",
            (_, Some(DriftKind::Surplus)) => "to be removed",
            (_, Some(_)) => "differs",
            (NodeState::Absent { .. }, None) => "absent",
            (NodeState::Present, None) => "in sync",
        };
        let (version, process, nodeid) = match report.inventory.agent(node) {
            Observed::Present(facts) => {
                let version = facts.binary.present().map_or_else(
                    || "-".to_owned(),
                    |b| {
                        let all = context
                            .store
                            .catalog()
                            .versions_of(Component::Tarsnode, &b.digest);
                        all.last()
                            .map_or_else(|| b.digest.short(), ToString::to_string)
                    },
                );
                let (process, nodeid) = match &facts.processes {
                    Observed::Present(all) => match all.as_slice() {
                        [] => ("not running".to_owned(), "-".to_owned()),
                        [one] => (
                            format!("pid {} as {}", one.pid, one.user),
                            one.nodeid.clone().unwrap_or_else(|| "-".to_owned()),
                        ),
                        many => (format!("{} processes", many.len()), "-".to_owned()),
                    },
                    _ => ("unknown".to_owned(), "-".to_owned()),
                };
                (version, process, nodeid)
            }
            Observed::Absent => ("none".to_owned(), "-".to_owned(), "-".to_owned()),
            Observed::Unknown(why) => ("?".to_owned(), why, "-".to_owned()),
        };
        rows.push([
            node.to_string(),
            host.role.name().to_owned(),
            state.to_owned(),
            version,
            nodeid,
            process,
        ]);
    }
    rows.sort_by_key(|r| natural_key(&r[0]));
    let truth = if report.inventory.framework.is_some() {
        truth(&PlanInput {
            desired: context.desired(),
            inventory: &report.inventory,
            catalog: context.store.catalog(),
            scope: &context.scope,
            now: report.inventory.observed_at,
        })
    } else {
        Vec::new()
    };
    let document = serde_json::json!({
        "format": "tarsops.status/1",
        "cluster": plan.cluster,
        "observed_at": plan.observed_at,
        "nodes": rows.iter().map(|r| serde_json::json!({
            "node": r[0], "role": r[1], "state": r[2], "version": r[3], "nodeid": r[4], "process": r[5],
        })).collect::<Vec<_>>(),
        "truth": truth,
        "inventory": serde_json::to_value(&report.inventory)
            .map_err(|e| Failure::new("could not write the inventory").because(&e))?,
    });
    let mut shown = table(&rows);
    shown.append(&truth_table(&truth));
    publish(global, &format!("{document:#}\n"), &shown)?;
    super::plan::explain_silence(&report);
    context.close().await;
    Ok(exit::of_plan(&plan))
}

/// What every source says of every resource.
fn truth_table(all: &[Truth]) -> Text {
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

fn table(rows: &[[String; 6]]) -> Text {
    let head = ["NODE", "ROLE", "STATE", "VERSION", "NODEID", "PROCESS"];
    let mut widths: [usize; 6] = head.map(str::len);
    // As wide as what is shown.
    let rows: Vec<[String; 6]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| display::line(cell).into_owned()))
        .collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = Text::new();
    let mut line = |cells: [&str; 6]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(text, "{cell:width$}  ");
        }
        out.line(text.trim_end());
    };
    line(head);
    for row in rows {
        line([&row[0], &row[1], &row[2], &row[3], &row[4], &row[5]]);
    }
    out
}
