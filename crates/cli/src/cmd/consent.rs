//! What a person agrees to before anything is changed.

use crate::exit;
use crate::failure::{Failure, Result};
use crate::output;
use crate::progress::amount;
use std::io::IsTerminal as _;
use tarsops_plan::Plan;
use tarsops_plan::plan::Stage;
use tarsops_plan::report::{Blocked, Line};

/// What a person has consented to beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Consent {
    /// Not to be asked.
    pub yes: bool,
    /// That the rest is done where something is blocked.
    pub allow_blocked: bool,
}

/// Without a person to ask, half of what the spec says is done only where that was said to be enough.
/// Ending what an earlier run left is no half of it.
pub fn refuse_blocked(plan: &Plan, consent: Consent) -> Result<()> {
    // Whoever is at work there holds the lease, which says who it is.
    let at_work = |l: &Line| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::ChangeInProgress { .. },
                ..
            }
        )
    };
    let is_blocked = |l: &&Line| matches!(l, Line::Blocked { .. }) && !at_work(l);
    let asks = !consent.yes && std::io::stdin().is_terminal();
    if consent.allow_blocked
        || asks
        || !plan.report.iter().any(|l| is_blocked(&l))
        || plan.steps.iter().all(|s| s.stage == Stage::Recover)
    {
        return Ok(());
    }
    let (count, are) = match plan.summary.blocked {
        1 => ("1 resource".to_owned(), "is"),
        n => (format!("{n} resources"), "are"),
    };
    Err(
        Failure::new(format!("{count} {are} blocked; nothing was changed"))
            .code(exit::BLOCKED)
            .hint("fix them, see the plan above; or use --allow-blocked to apply the rest"),
    )
}

/// Asks on the terminal; only `yes` continues.
pub async fn ask(plan: &Plan) -> Result<()> {
    let hosts = amount(&plan.steps);
    let what = match (hosts.as_str(), plan.changes_database()) {
        ("", _) => "the database".to_owned(),
        (hosts, false) => hosts.to_owned(),
        (hosts, true) => format!("{hosts} and the database"),
    };
    let but = match plan.summary.blocked {
        0 => String::new(),
        1 => ", although 1 resource is blocked".to_owned(),
        n => format!(", although {n} resources are blocked"),
    };
    confirm(
        &format!("Change {what}{but}?"),
        "use --yes, or apply a plan that was saved and reviewed: `plan -o FILE`, `apply -y FILE`",
    )
    .await
}

/// Asks `question` on the terminal; only `yes` continues. Where nobody can be asked, `otherwise` is the hint.
pub async fn confirm(question: &str, otherwise: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new("cannot ask for confirmation: stdin is not a terminal")
                .code(exit::USAGE)
                .hint(otherwise),
        );
    }
    let said = output::ask(&format!("{question} Only `yes` is taken: ")).await;
    if said.is_some_and(|line| line.trim() == "yes") {
        return Ok(());
    }
    Err(Failure::new("not confirmed; nothing was changed"))
}
