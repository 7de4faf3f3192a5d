//! `check`: the preflight alone. Looks at hosts, servants and the database, changes nothing, and
//! says of each thing that can be wrong whether it is.

use std::fmt::Write as _;

use tarsops_plan::findings::check::{Check, Result as Outcome, checks};
use tarsops_plan::report::Line;
use tarsops_plan::{Plan, PlanInput};

use crate::args::{Global, Look};
use crate::context::{Context, colored, publish};
use crate::exit;
use crate::failure::Result;
use crate::progress::Bar;

/// Looks, and prints the table.
pub async fn run(global: &Global, look: &Look) -> Result {
    let mut context = Context::open(global, look)?;
    context.try_default_login = true;
    let bar = Bar::new("looking at");
    let (report, console) = tokio::join!(
        context.look(&bar),
        crate::console::checks(context.desired(), context.allow_commands)
    );
    let plan = super::plan::make(&mut context, &report).await?;
    let mut table = checks(&PlanInput {
        desired: context.desired(),
        inventory: &report.inventory,
        catalog: context.store.catalog(),
        scope: &context.scope,
        now: report.inventory.observed_at,
    });
    table.extend(console);
    let guards: Vec<(String, String, String)> = guards(&plan);
    let code = code(&table, &guards);
    let document = serde_json::json!({
        "format": "tarsops.check/1", "cluster": plan.cluster, "observed_at": plan.observed_at,
        "exit_code": code, "checks": table,
        "blocked": guards.iter().map(|(r, why, next)| serde_json::json!({
            "resource": r, "why": why, "next": next,
        })).collect::<Vec<_>>(),
    });
    let color = colored(global, std::io::IsTerminal::is_terminal(&std::io::stdout()));
    publish(
        global,
        &format!("{document:#}\n"),
        &text(&table, &guards, color),
    )?;
    super::plan::explain_silence(&report);
    context.close().await;
    Ok(code)
}

/// What the planner's own guards refuse, beside the findings.
fn guards(plan: &Plan) -> Vec<(String, String, String)> {
    plan.report
        .iter()
        .filter_map(|line| match line {
            Line::Blocked { resource, why } => match why {
                tarsops_plan::report::Blocked::Finding { .. } => None,
                other => Some((resource.to_string(), other.to_string(), other.hint())),
            },
            _ => None,
        })
        .collect()
}

fn code(table: &[Check], guards: &[(String, String, String)]) -> u8 {
    let mut codes = vec![exit::OK];
    if !guards.is_empty() {
        codes.push(exit::BLOCKED);
    }
    codes.extend(table.iter().map(|c| match c.result {
        Outcome::Ok | Outcome::Skipped | Outcome::Warning => exit::OK,
        Outcome::Unknown => exit::INCOMPLETE,
        Outcome::Drift => exit::PENDING,
        Outcome::Blocked => exit::BLOCKED,
    }));
    exit::worst(&codes)
}

fn paint(result: Outcome, color: bool) -> String {
    let word = format!("{:<8}", result.word());
    let code = match result {
        Outcome::Ok => "32",
        Outcome::Skipped => return word,
        Outcome::Warning | Outcome::Drift => "33",
        Outcome::Unknown => "35",
        Outcome::Blocked => "31",
    };
    if color {
        format!("\x1b[{code}m{word}\x1b[0m")
    } else {
        word
    }
}

fn text(table: &[Check], guards: &[(String, String, String)], color: bool) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{:<22}{:<10}ABOUT", "CHECK", "RESULT");
    let mut told: &str = "";
    for check in table {
        let head = format!("{:<22}{}  ", check.check, paint(check.result, color));
        if check.findings.is_empty() {
            // One source that is silent leaves many things unknown.
            let again = check.result == Outcome::Unknown && check.text == told;
            let _ = writeln!(
                out,
                "{head}{}",
                if again { "as above" } else { &check.text }
            );
            told = &check.text;
            continue;
        }
        for (number, found) in check.findings.iter().enumerate() {
            let lead = if number == 0 {
                head.clone()
            } else {
                " ".repeat(32)
            };
            let _ = writeln!(out, "{lead}{}: {}", found.resource, found.text);
            let _ = writeln!(out, "{:32}next: {}", "", found.cure);
        }
    }
    for (resource, why, next) in guards {
        let head = format!("{:<22}{}  ", "guard", paint(Outcome::Blocked, color));
        let _ = writeln!(out, "{head}{resource}: {why}");
        let _ = writeln!(out, "{:32}next: {next}", "");
    }
    let count = |wanted: Outcome| table.iter().filter(|c| c.result == wanted).count();
    let _ = writeln!(
        out,
        "\nCheck: {} ok, {} drift, {} blocked, {} warning, {} unknown, {} skipped.",
        count(Outcome::Ok),
        count(Outcome::Drift),
        count(Outcome::Blocked) + guards.len(),
        count(Outcome::Warning),
        count(Outcome::Unknown),
        count(Outcome::Skipped)
    );
    out
}
