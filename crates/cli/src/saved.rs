//! A plan from a file, on its way to be carried out: it only narrows what is planned now.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tarsops_model::desired::Desired;
use tarsops_model::names::{NodeName, RunId};
use tarsops_plan::saved::SavedPlan;
use tarsops_plan::{Checked, Plan, PlanInput, Scope, checker};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::say;
use crate::session::Session;

/// A plan that was read from a file.
pub struct Saved {
    path: PathBuf,
    plan: SavedPlan,
}

impl Saved {
    /// Reads one, for this spec.
    pub fn read(desired: &Desired, path: &Path) -> Result<Self> {
        let unread = |e: &dyn std::error::Error| {
            Failure::new(format!("could not read the plan {}", path.display()))
                .because(e)
                .hint("name a file that `tarsops plan -o FILE` wrote")
        };
        let text = std::fs::read_to_string(path).map_err(|e| unread(&e))?;
        let plan = SavedPlan::from_json(text).map_err(|e| unread(&e))?;
        if plan.spec_digest != desired.spec_digest || plan.cluster != desired.cluster {
            return Err(Failure::new("the saved plan was made for another spec")
                .code(exit::STALE)
                .hint("plan again with the spec as it is now"));
        }
        if checker::asks_for_rebuild(plan.text()) {
            return Err(Failure::new(
                "the saved plan asks for a rebuild of the database, which tarsops never does",
            )
            .code(exit::BLOCKED));
        }
        Ok(Self {
            path: path.to_path_buf(),
            plan,
        })
    }

    /// The run that it rolls back; none where it brings the cluster to the spec.
    pub const fn rolls_back(&self) -> Option<&RunId> {
        self.plan.rolls_back.as_ref()
    }

    /// Refuses a file that was made with other options than these, which choose what is planned now.
    pub fn fits(&self, session: &Session) -> Result<()> {
        let made = Scope::parse(&self.plan.on, session.desired()).map_err(|e| {
            Failure::new("the saved plan was made for nodes that the spec does not have")
                .because(&e)
                .code(exit::STALE)
                .hint("plan again with the spec as it is now")
        })?;
        let scope = &session.scope;
        if (&made.nodes, &made.components) != (&scope.nodes, &scope.components) {
            let words = |scope: &Scope| match scope.words().join(",") {
                none if none.is_empty() => "without --on".to_owned(),
                words => format!("with --on {words}"),
            };
            return Err(Failure::new(format!(
                "the saved plan was made {}, and this is {}",
                words(&made),
                words(scope)
            ))
            .code(exit::USAGE)
            .hint("apply it with the same --on, or plan again"));
        }
        if self.plan.without_console && !scope.without_console {
            return Err(
                Failure::new("the saved plan was made with --without-console")
                    .code(exit::USAGE)
                    .hint("apply it with --without-console as well, or plan again"),
            );
        }
        Ok(())
    }

    /// What it leaves of the plan that was made now. `silent` are hosts that do not answer.
    pub fn narrow(
        &self,
        now: &Plan,
        input: &PlanInput<'_>,
        silent: &BTreeSet<NodeName>,
    ) -> Result<Checked<Plan>> {
        let narrowed = self.plan.narrow(now, silent).map_err(|refused| {
            let failure = if refused.iter().all(|r| r.why.is_stale()) {
                Failure::new(
                    "the saved plan is stale: it is not what spec, lock file and cluster give now; \
                     nothing was changed",
                )
                .code(exit::STALE)
                .hint("plan again, and apply that plan")
            } else {
                Failure::new("the saved plan was edited; nothing was changed")
                    .code(exit::BLOCKED)
                    .hint("plan again, and leave the file as it is; `--on` makes a smaller plan")
            };
            failure.about(refused)
        })?;
        let file = self.path.display();
        for (ids, why) in [
            (&narrowed.silent, "their hosts do not answer"),
            (
                &narrowed.left_out,
                "they are planned now and not in the file",
            ),
        ] {
            if !ids.is_empty() {
                say(format!("{file}: not carried out, as {why}: {}", few(ids)));
            }
        }
        // A part of a plan is a plan, and must hold as one.
        Checked::new(narrowed.plan, input).map_err(|found| {
            Failure::new("what the saved plan leaves does not pass the check; nothing was changed")
                .code(exit::BLOCKED)
                .hint("plan again, and leave the file as it is; `--on` makes a smaller plan")
                .about(found)
        })
    }
}

/// The first few of many names.
fn few(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if let Some(more) = names.len().checked_sub(SHOWN).filter(|n| *n > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
