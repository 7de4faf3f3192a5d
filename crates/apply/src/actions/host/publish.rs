//! Basic services: the framework publishes the program, and the host is looked at.
//!
//! What a task says is not what happened (`docs/publishing.md`): success is that the host runs the
//! announced bytes, and failure that it does not, whatever anybody answered. The program that was there
//! is copied aside first, since tarsnode keeps none of a server that has its own `exe_path`; with it the
//! host is rolled back by its own script, as any component is.
//!
//! Packages of one server are never published at once: tarspatch places each at the same path.

use std::time::Duration;

use tarsops_framework::{Package, Publish, Standing};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::ServerRow;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::version::Version;
use tarsops_plan::action::{self, Content, FileChange, HostChange, Operation, Renamed, Via};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::intent::{Changed, CrontabLeft};
use tokio::time::Instant;

use super::cause::{Ended, Evidence, LATE, cause, is_damaged};
use super::notes::name_again;
use super::rows::{self, NOTE};
use crate::answer::saved;
use crate::backoff::Pause;
use crate::intent;
use crate::job::Job;
use crate::look::{GRACE, holds, look_at_one, of_framework};
use crate::port::{Ask, Request};
use crate::records;
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};
use crate::waiting::Waiting;

/// Between two questions about a task.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at the host while its task runs: each is a login.
const LOOK: Duration = Duration::from_secs(3);

/// Publishes the program of `change`. `Ok` if the host shows it; [`Verdict::LeftFailed`] if the host
/// changed and does not show it, so that it should be rolled back; [`Verdict::NotStarted`] if nothing
/// changed.
pub(crate) async fn act(
    job: &Job<'_>,
    change: &HostChange,
    publish: &action::Publish,
    local: &[Condition],
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let not_started = |why: &str| Verdict::NotStarted(why.to_owned());
    let publisher = job
        .run
        .publish
        .ok_or_else(|| not_started("nothing is available to publish it"))?;
    let FileChange {
        content: Content::Package { version, path, .. },
        after: Some(digest),
        ..
    } = &publish.program
    else {
        return Err(not_started(
            "the plan does not say which program is published",
        ));
    };
    let publication = Publication {
        job,
        change,
        publish,
        publisher,
        version: *version,
        digest: *digest,
        local,
    };
    publication.carry_out(path, end).await
}

/// A publication on its way.
struct Publication<'a> {
    job: &'a Job<'a>,
    change: &'a HostChange,
    publish: &'a action::Publish,
    publisher: &'a dyn Publish,
    version: Version,
    /// sha256 of the program that is published.
    digest: Digest,
    /// What the host shows once it runs.
    local: &'a [Condition],
}

/// How a task ended, and what the host showed last.
struct Unseen {
    ended: Ended,
    /// What the host lacks.
    why: String,
    /// Everything that was seen of the host; none where it could not be looked at.
    seen: Option<Inventory>,
}

impl Publication<'_> {
    async fn carry_out(&self, path: &str, end: &mut StepEnd) -> Result<(), Verdict> {
        let (run, component) = (self.job.run, self.change.component);
        ready(run, self.job.node, component)
            .await
            .map_err(Verdict::NotStarted)?;
        let binary = run
            .payloads
            .file(component, self.version, path, &self.digest)
            .map_err(Verdict::NotStarted)?;
        // From here on no other package of this server is prepared, by us.
        let _turn = self.publisher.turn(component.name()).await;
        let package = self.prepare(&binary, end).await?;
        let names = self.renamed(&package, end).await?;
        self.save(names.clone(), end).await?;
        rows::make(run, self.change, end).await?;
        run.check_lease()?;
        self.job.acting();
        let began = Instant::now();
        let ended = self.run_task(&package, end).await?;
        let Some(unseen) = self.wait_for_host(ended, end).await else {
            return Ok(());
        };
        let why = self.blame(&unseen, &package, began, end).await;
        match unseen.seen {
            // It runs what it ran, so nothing has to be rolled back.
            Some(seen) if self.is_untouched(&seen) => {
                // The node may have reported the package before it failed.
                if let Some(names) = names {
                    let names = names.inverse();
                    name_again(run, self.job.node, component, &names, end).await;
                }
                Err(Verdict::NotStarted(why))
            }
            Some(_) => Err(Verdict::LeftFailed(why)),
            None => Err(Verdict::Silent(why)),
        }
    }

    /// Uploads the package, and has tarspatch prepare it.
    async fn prepare(
        &self,
        binary: &std::path::Path,
        end: &mut StepEnd,
    ) -> Result<Package, Verdict> {
        let component = self.change.component;
        let package = self
            .publisher
            .package(
                self.publish.via,
                component,
                self.version,
                binary,
                &self.digest,
            )
            .await
            .map_err(|fault| self.not_started(&Ended::NotTaken(fault.text)))?;
        end.log
            .push(format!("package {} ({})", package.id, package.tgz));
        self.publisher
            .prepare(component, &package)
            .await
            .map_err(|why| self.not_started(&Ended::NotFound(why)))?;
        Ok(package)
    }

    /// Why the package, or the task, was not taken.
    fn not_started(&self, ended: &Ended) -> Verdict {
        Verdict::NotStarted(cause(&Evidence {
            via: self.publish.via,
            ended,
            ..Evidence::of(self.change.component, self.job.node)
        }))
    }

    /// Which package the server's row names, before and afterwards.
    async fn renamed(
        &self,
        package: &Package,
        end: &mut StepEnd,
    ) -> Result<Option<Renamed>, Verdict> {
        let component = self.change.component;
        let row = self.publisher.row(self.job.node, component).await;
        let stopped = |row: &ServerRow| row.setting.as_deref() == Some("inactive");
        if self.change.ran && row.as_ref().is_some_and(stopped) {
            return Err(Verdict::Moved(format!(
                "somebody has set {component} inactive, and publishing would start it"
            )));
        }
        let before = row.and_then(|row| row.patch_version);
        if before.is_none() {
            end.log
                .push("which package its row names could not be read".to_owned());
        }
        Ok(before.map(|from| Renamed {
            from,
            to: package.id.to_string(),
        }))
    }

    /// Saves the program that is there, with the intent, where the host's own changes save theirs.
    async fn save(&self, patch_version: Option<Renamed>, end: &mut StepEnd) -> Result<(), Verdict> {
        let (run, node) = (self.job.run, self.job.node);
        let place = &run.place(node);
        let file = &self.publish.program;
        let recorded = HostChange {
            operation: Operation::Publish(action::Publish {
                patch_version,
                ..self.publish.clone()
            }),
            ..self.change.clone()
        };
        let intent = intent::of(self.job, Changed::host(&recorded, CrontabLeft::Unchanged));
        let text = serde_json::to_string(&intent)
            .map_err(|e| Verdict::NotStarted(format!("the intent cannot be written down: {e}")))?;
        let request = Request(Ask::SaveProgram {
            place,
            run: &run.id,
            step: &intent.step,
            intent: &text,
            program: records::Program {
                component: self.change.component,
                path: &file.path,
                before: file.before,
                run_user: &self.change.run_user,
                marked: !self.publish.rows.is_empty(),
            },
        });
        let remote = run.reach(node).await?;
        let output = remote.tell(&request, NOTE).await.map_err(|e| {
            Verdict::NotStarted(format!(
                "the old program could not be saved, so nothing was published: {}; check that {node} can be reached, and apply again",
                e.text
            ))
        })?;
        saved(&output).map_err(|e| {
            e.verdict(|why| Verdict::NotStarted(format!("the program could not be saved: {why}")))
        })?;
        end.intent = Some(intent);
        Ok(())
    }

    /// Begins the task and waits for its end, or for what the host shows.
    async fn run_task(&self, package: &Package, end: &mut StepEnd) -> Result<Ended, Verdict> {
        let (node, component) = (self.job.node, self.change.component);
        let via = self.publish.via;
        // Cut off from here on, it may still happen.
        end.begun = true;
        let task = match self.publisher.begin(via, node, component, package).await {
            Ok(task) => task,
            Err(fault) if fault.nothing_happened => {
                end.begun = false;
                return Err(self.not_started(&Ended::NotTaken(fault.text)));
            }
            // It may be carried out all the same, under a number that nobody reports.
            Err(fault) => return Ok(Ended::Refused(fault.text)),
        };
        let began = Instant::now();
        let ended = self.follow_task(via, &task).await;
        end.log.push(format!(
            "task {task} took {:.1} s",
            began.elapsed().as_secs_f64()
        ));
        Ok(ended)
    }

    /// Waits for the end of a task, or for what the host shows.
    async fn follow_task(&self, via: Via, task: &str) -> Ended {
        let (run, node) = (self.job.run, self.job.node);
        let component = self.change.component;
        let until = Instant::now() + run.deadline();
        let mut looked = Instant::now();
        let waiting = Waiting::until(until, format!("the publication of {component} was ordered"));
        loop {
            let last = match self.publisher.standing(via, task).await {
                Ok(Standing::Final {
                    success: true,
                    words,
                }) => return Ended::Success { words },
                Ok(Standing::Final { words, .. }) => return Ended::Failed { words },
                Ok(Standing::Waiting) => "it waits for its turn".to_owned(),
                Ok(Standing::Running) => "it runs".to_owned(),
                Err(why) => why,
            };
            if looked.elapsed() >= LOOK {
                let seen = look_at_one(run, node, Some(component)).await;
                if seen.is_ok_and(|seen| holds(self.local, node, &seen).is_ok()) {
                    return Ended::Seen;
                }
                looked = Instant::now();
            }
            waiting.say(format!("the publication of {component}: {last}"));
            if Instant::now() > until {
                return Ended::Stuck {
                    last,
                    after: run.desired.policy.deadline,
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the host shows the new program; what it showed last otherwise.
    async fn wait_for_host(&self, ended: Ended, end: &mut StepEnd) -> Option<Unseen> {
        let (run, node) = (self.job.run, self.job.node);
        let component = self.change.component;
        let patience = match &ended {
            Ended::Seen => return None,
            Ended::Success { .. } => GRACE,
            Ended::Failed { .. } | Ended::Refused(_) => LATE.min(run.deadline()),
            Ended::Stuck { .. } | Ended::NotFound(_) | Ended::NotTaken(_) => Duration::ZERO,
        };
        let until = Instant::now() + patience;
        let waiting = Waiting::until(until, format!("{component} is being checked on its host"));
        loop {
            let (why, seen) = match look_at_one(run, node, Some(component)).await {
                Err(verdict) => (verdict.into_why(), None),
                Ok(seen) => match holds(self.local, node, &seen) {
                    Ok(()) => {
                        if let Ended::Failed { words } | Ended::Refused(words) = &ended {
                            end.log.push(format!(
                                "the task says that it failed ({words}), and the host runs the new program"
                            ));
                        }
                        return None;
                    }
                    Err(why) => (why, Some(seen)),
                },
            };
            if Instant::now() > until {
                return Some(Unseen { ended, why, seen });
            }
            waiting.say(&*why);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Why the host does not show the program, as what / where / next step. A package that may be damaged
    /// is not used again.
    async fn blame(
        &self,
        unseen: &Unseen,
        package: &Package,
        began: Instant,
        end: &mut StepEnd,
    ) -> String {
        let (node, component, via) = (self.job.node, self.change.component, self.publish.via);
        let notices = self
            .publisher
            .notices(via, node, component, began.elapsed())
            .await;
        let there = |seen: &Inventory| {
            let facts = seen.server(component, node);
            Some(facts.present()?.binary.present()?.digest)
        };
        let seen = unseen.seen.as_ref();
        let evidence = Evidence {
            component,
            node,
            via,
            ended: &unseen.ended,
            host: &unseen.why,
            notices: &notices,
            file_is_new: seen.map(|seen| there(seen) == Some(self.digest)),
            torn: seen
                .and_then(there)
                .is_some_and(|now| now != self.digest && Some(now) != self.publish.program.before),
        };
        if is_damaged(&evidence) {
            // It would be known again by its MD5, and fail again.
            let discarded = self
                .publisher
                .discard(via, component, self.version, package)
                .await;
            end.log.push(match discarded {
                Ok(()) => format!("package {} is not used again", package.id),
                Err(why) => format!(
                    "package {} may be damaged, and the next run may take it again: {why}; delete it in the management platform",
                    package.id
                ),
            });
        }
        cause(&evidence)
    }

    /// Whether the host still has the program that it had, and runs it if it did.
    fn is_untouched(&self, seen: &Inventory) -> bool {
        let (change, before) = (self.change, self.publish.program.before);
        let facts = seen.server(change.component, self.job.node);
        let facts = match &facts {
            Observed::Present(facts) => facts,
            Observed::Absent => return before.is_none() && !change.ran,
            Observed::Unknown(_) => return false,
        };
        let same = match &facts.binary {
            Observed::Present(now) => Some(now.digest) == before,
            Observed::Absent => before.is_none(),
            Observed::Unknown(_) => false,
        };
        let runs = match facts.processes.present().map(Vec::as_slice) {
            Some([]) => !change.ran,
            Some([one]) => change.ran && one.exe.present().copied() == before,
            _ => false,
        };
        same && runs
    }
}

/// Waits until those who carry a task out answer: AdminRegistry reaches the node, and tarspatch is up.
async fn ready(run: &Run<'_>, node: &NodeName, component: Component) -> Result<(), String> {
    let until = Instant::now() + run.deadline();
    let patch = run.desired.patch();
    let mut pause = Pause::default();
    loop {
        let seen = of_framework(run.watch.node(node).await);
        let mut why = match Condition::Connected.eval(node, &seen) {
            Truth::Holds => None,
            Truth::Fails(why) | Truth::Unknown(why) => Some(format!(
                "AdminRegistry does not reach the node, where tarsnode would fetch {component}: {why}"
            )),
        };
        if let (None, Some((at, _))) = (&why, &patch) {
            let seen = of_framework(run.watch.server(at, Component::Tarspatch).await);
            let answers = Condition::ServantsAnswer {
                component: Component::Tarspatch,
            };
            if let Truth::Fails(silence) | Truth::Unknown(silence) = answers.eval(at, &seen) {
                why = Some(format!(
                    "tarspatch on {at}, which hands packages out, does not answer: {silence}"
                ));
            }
        }
        let Some(why) = why else { return Ok(()) };
        if Instant::now() > until {
            return Err(why);
        }
        pause.wait().await;
    }
}
