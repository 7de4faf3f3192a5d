//! `plan`: what would be done.

use std::path::Path;

use tarsops_plan::Plan;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::render;
use tarsops_plan::report::{Blocked, Line};
use tarsops_probe::Report;

use crate::args::{Global, Look};
use crate::context::{Context, publish, say, style, write_private};
use crate::exit;
use crate::failure::Result;
use crate::packages::{fetch_from_node, node_contents};
use crate::progress::Bar;

/// Shows it.
pub async fn run(global: &Global, look: &Look, out: Option<&Path>) -> Result {
    let mut context = Context::open(global, look)?;
    super::validate::without_package(global, &context.loaded)?;
    let report = context.look(&Bar::new("looking at")).await;
    let plan = make(&mut context, &report).await?;
    explain_silence(&report);
    let json = document(&plan)?;
    if let Some(path) = out {
        write_private(path, &json)?;
        say(&format!(
            "saved to {}; carry it out with `tarsops apply {0}`",
            path.display()
        ));
    }
    publish(global, &json, &render::text(&plan, style(global)))?;
    lock_hint(&context, &plan);
    context.close().await;
    Ok(exit::of_plan(&plan))
}

/// The plan as a document.
pub fn document(plan: &Plan) -> Result<String> {
    plan.to_json()
        .map_err(|e| crate::failure::Failure::new("could not write the plan").because(&e))
}

/// Makes the plan; reads packages only if something has to be installed from them.
pub async fn make(context: &mut Context, report: &Report) -> Result<Plan> {
    let plan = context.plan(report)?;
    let lacks = plan.report.iter().any(|l| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::NoPackage { .. } | Blocked::IncompletePackage { .. },
                ..
            }
        )
    });
    if !lacks || context.store.lock.is_none() {
        return Ok(plan);
    }
    match context.store.node_source().cloned() {
        None => {
            let desired = context.loaded.desired.clone();
            context.store.load(&desired)?;
        }
        Some(node) => {
            let versions = crate::packages::wanted(context.desired());
            for (_, version) in versions {
                let contents = node_contents(context, &node, version).await?;
                context.store.take_node(contents)?;
            }
        }
    }
    context.plan(report)
}

/// Brings the payloads of a plan to this machine, where they come from a node.
pub async fn fetch_payloads(context: &Context, plan: &Plan) -> Result<()> {
    use tarsops_plan::action::{Action, Content};
    let Some(node) = context.store.node_source().cloned() else {
        return Ok(());
    };
    let mut wanted = std::collections::BTreeSet::new();
    for step in &plan.steps {
        if let Action::ChangeAgent(change) = &step.action {
            for file in &change.files {
                if let (Content::Package { .. }, Some(digest)) = (&file.content, file.after) {
                    wanted.insert(digest);
                }
            }
        }
    }
    for digest in wanted {
        fetch_from_node(context, &node, digest).await?;
    }
    Ok(())
}

/// Says why hosts were silent, and what to look at next; one line for each kind.
pub fn explain_silence(report: &Report) {
    let mut hints: Vec<&str> = Vec::new();
    for (_, fault) in &report.faults {
        let hint = fault.kind.hint();
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    for hint in hints {
        say(&format!("hint: {hint}"));
    }
}

/// Without a lock file no binary can be recognised: say how to make one.
pub fn lock_hint(context: &Context, plan: &Plan) {
    let unknown = plan.drift.iter().any(|d| match &d.kind {
        DriftKind::Unknown { why } => why.iter().any(|w| w.contains("lock file")),
        _ => false,
    });
    if context.store.lock.is_none() && (unknown || plan.is_blocked()) {
        say(&format!(
            "hint: there is no {}; make it with `tarsops package lock`",
            context.store.lock_path.display()
        ));
    }
}
