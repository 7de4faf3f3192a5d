//! `check`: the preflight alone. Looks at hosts, servants and the database, changes nothing, and
//! says of each thing that can be wrong whether it is.

use tarsops_model::display::{Colour, Text};
use tarsops_plan::report::Line;
use tarsops_plan::rules::check::{Check, Outcome, checks};
use tarsops_plan::{Plan, PlanInput};

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::Result;
use crate::output::{is_terminal, publish};
use crate::progress::Bar;
use crate::session::Session;
use crate::style::colored;

/// Looks, and prints the table.
pub async fn run(global: &Global, look: &Look) -> Result {
    let mut session = Session::open(global, look)?;
    session.try_default_login = true;
    session.ready().await?;
    let bar = Bar::new("looking at");
    let (report, console) = tokio::join!(session.look(&bar), async {
        crate::console::checks(session.desired(), session.ticket().await).await
    });
    crate::session::preflight::check_look(&report)?;
    let plan = super::plan::make(&mut session, &report).await?;
    let mut table = checks(&PlanInput {
        desired: session.desired(),
        inventory: &report.inventory,
        catalog: session.store.catalog(),
        scope: &session.scope,
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
    let color = colored(global, is_terminal());
    publish(
        global,
        &format!("{document:#}\n"),
        text(&table, &guards, color),
    )?;
    super::plan::explain_silence(&report);
    session.close().await;
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

/// Begins a line: what was looked at, and in its colour how it is.
fn head(out: &mut Text, check: &str, result: Outcome, color: bool) {
    let colour = match result {
        Outcome::Ok => Some(Colour::Green),
        Outcome::Skipped => None,
        Outcome::Warning | Outcome::Drift => Some(Colour::Yellow),
        Outcome::Unknown => Some(Colour::Magenta),
        Outcome::Blocked => Some(Colour::Red),
    };
    out.put(format_args!("{check:<22}"));
    let word = format!("{:<8}", result.word());
    out.put_in(colour.filter(|_| color), word);
    out.put("  ");
}

fn text(table: &[Check], guards: &[(String, String, String)], color: bool) -> Text {
    let mut out = Text::new();
    out.line(format_args!("{:<22}{:<10}ABOUT", "CHECK", "RESULT"));
    let mut told: &str = "";
    for check in table {
        head(&mut out, &check.check, check.result, color);
        if check.findings.is_empty() {
            // One source that is silent leaves many things unknown.
            let again = check.result == Outcome::Unknown && check.text == told;
            out.line(if again { "as above" } else { &check.text });
            told = &check.text;
            continue;
        }
        for (number, found) in check.findings.iter().enumerate() {
            if number > 0 {
                out.put(" ".repeat(32));
            }
            out.line(format_args!("{}: {}", found.resource, found.text));
            out.line(format_args!("{:32}fix: {}", "", found.fix));
        }
    }
    for (resource, why, next) in guards {
        head(&mut out, "guard", Outcome::Blocked, color);
        out.line(format_args!("{resource}: {why}"));
        out.line(format_args!("{:32}fix: {next}", ""));
    }
    let count = |wanted: Outcome| table.iter().filter(|c| c.result == wanted).count();
    out.end();
    out.line(format_args!(
        "Check: {} ok, {} drift, {} blocked, {} warning, {} unknown, {} skipped.",
        count(Outcome::Ok),
        count(Outcome::Drift),
        count(Outcome::Blocked) + guards.len(),
        count(Outcome::Warning),
        count(Outcome::Unknown),
        count(Outcome::Skipped)
    ));
    out
}
