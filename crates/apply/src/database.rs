//! Steps on the database as such: its backup, columns, templates.
//!
//! What a step does is written down on the master before the first act, and the row as it was beside
//! it, for its owner only; so `history` and `rollback` know of it on any machine. A step that
//! provably changed nothing takes what it wrote down away again. The dump goes to the master, as this
//! machine may be thrown away after the run.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tarsops_conf::{Document, merge};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, Confidential, DatabaseFacts, FrameworkFacts, parent_of};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::RunId;
use tarsops_model::observed::Observed;
use tarsops_plan::action::{Action, AddColumn, Backup, RestoreTemplate};
use tarsops_plan::database_record::{DatabaseChange, DatabaseIntent, FORMAT};
use tarsops_plan::plan::Step;
use tarsops_transport::mysql::{NewText, TemplateText, WriteError};
use tarsops_transport::{Bounds, FaultKind};
use tokio::time::Instant;

use crate::execute::{Progress, Run};
use crate::journal::Event;
use crate::port::{Ask, Database, Host, Request, Upload};
use crate::records;
use crate::scripts;
use crate::step::{StepEnd, Verdict, folder_name, holds, ready};
use crate::waiting::Waiting;

/// How long a look or a statement may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// And a small script on the master.
const SCRIPT: Duration = Duration::from_secs(30);
/// Dumps that the master keeps.
pub(crate) const DUMPS_TO_RETAIN: usize = 10;

/// A row as it was, as the master keeps it.
#[derive(Serialize, Deserialize)]
struct SavedTemplate {
    format: String,
    table: String,
    template_name: String,
    parents_name: String,
    profile: String,
}

const SAVED_ROW_FORMAT: &str = "tarsops.row/1";

/// Does what the step says.
pub(crate) async fn run(run: &Run<'_>, step: &Step, end: &mut StepEnd) -> Result<Verdict, Verdict> {
    let access = run
        .database
        .as_deref()
        .ok_or_else(|| Verdict::NotStarted("the spec names no database that can be used".into()))?;
    let master = &run.desired.master;
    let seen = look(run, access).await.map_err(Verdict::NotStarted)?;
    // A backup is of this moment: an older one is not it.
    let again = matches!(step.action, Action::Backup(_));
    if !again && holds(&step.post, master, &seen).is_ok() {
        return Ok(Verdict::AlreadyDone);
    }
    ready(&step.pre, master, &seen)?;
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    run.progress.event(&Progress::Acting {
        step: &step.id,
        node: master,
        what: &step.summary,
    });
    let done = match &step.action {
        Action::Backup(Backup { databases }) => {
            let done = backup(run, step, access, databases, end).await?;
            write_down(run, step, &done, Some(&told(&done))).await?;
            end.database = Some(intent(run, step, done));
            return Ok(Verdict::Done);
        }
        Action::AddColumn(AddColumn { table, column, .. }) => {
            let deed = DatabaseChange::Column {
                table: table.clone(),
                column: column.clone(),
            };
            write_down(run, step, &deed, None).await?;
            let addition = ADDITIONS
                .iter()
                .find(|a| a.table == table && a.column == column);
            let addition = addition
                .ok_or_else(|| Verdict::NotStarted("no release has added that column".into()))?;
            let _waiting = in_database(run, "the database adds a column");
            let added = access.add_column(addition, patience(run)).await;
            written(run, step, added).await?;
            deed
        }
        action => template(run, step, access, action).await?,
    };
    let seen = look(run, access).await.map_err(|why| {
        Verdict::LeftFailed(format!(
            "it was written, and could not be seen since: {why}"
        ))
    })?;
    holds(&step.post, master, &seen)
        .map_err(|why| Verdict::LeftFailed(format!("it was written, and yet {why}")))?;
    write_down(run, step, &done, Some("done"))
        .await
        .map_err(|v| Verdict::LeftFailed(v.why().unwrap_or_default().to_owned()))?;
    end.database = Some(intent(run, step, done));
    Ok(Verdict::Done)
}

/// How long one write may take: as long as a step, and no longer than people wait.
fn patience(run: &Run<'_>) -> Duration {
    Duration::from_secs(run.desired.policy.deadline.clamp(5, 300))
}

/// A wait for an answer of the database.
fn in_database(run: &Run<'_>, what: &str) -> Waiting {
    Waiting::until(Instant::now() + patience(run), what)
}

/// What the database says now, and nobody else.
pub(crate) async fn look(run: &Run<'_>, access: &dyn Database) -> Result<Inventory, String> {
    let facts: DatabaseFacts = access
        .read(run.clock, PATIENCE)
        .await
        .map_err(|e| e.to_string())?;
    let not_asked = "it was not asked".to_owned();
    Ok(Inventory {
        observed_at: (run.clock)(),
        framework: Some(Box::new(FrameworkFacts {
            servants: std::collections::BTreeMap::new(),
            registries: std::collections::BTreeMap::new(),
            admin: Observed::Unknown(not_asked),
            database: Observed::Present(facts),
            console: Observed::Absent,
        })),
        ..Inventory::default()
    })
}

fn intent(run: &Run<'_>, step: &Step, deed: DatabaseChange) -> DatabaseIntent {
    DatabaseIntent {
        format: FORMAT.to_owned(),
        cluster: run.desired.cluster.clone(),
        run: run.id.clone(),
        step: folder_name(&step.id),
        holder: run.holder.clone(),
        spec_digest: run.desired.spec_digest,
        started_at: (run.clock)(),
        sign: step.sign,
        summary: step.summary.clone(),
        resource: step.resource.clone(),
        deed,
    }
}

fn told(deed: &DatabaseChange) -> String {
    match deed {
        DatabaseChange::Backup { file, digest, .. } => {
            format!("the dump is in {file}, sha256 {digest}")
        }
        _ => "done".to_owned(),
    }
}

async fn master(run: &Run<'_>) -> Result<std::sync::Arc<dyn Host>, String> {
    let master = &run.desired.master;
    run.connect
        .connect(master)
        .await
        .map_err(|e| format!("the master {master}: {e}"))
}

/// Has the master carry out a request that it confirms with `word` and perhaps more; what it says more.
async fn tell(run: &Run<'_>, request: &Request<'_>, word: &str) -> Result<String, String> {
    let remote = master(run).await?;
    let output = match remote.tell(request, SCRIPT).await {
        Ok(output) => output,
        Err(fault) => {
            run.connect.forget(&run.desired.master).await;
            return Err(format!("the master {}: {fault}", run.desired.master));
        }
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().find_map(|l| l.strip_prefix(word));
    found.map(|rest| rest.trim().to_owned()).ok_or_else(|| {
        let why = output.stderr.lines().last().unwrap_or("it printed nothing");
        format!("the master {}: {why}", run.desired.master)
    })
}

/// Writes the intent down on the master, and the verdict where there is one.
async fn write_down(
    run: &Run<'_>,
    step: &Step,
    deed: &DatabaseChange,
    verdict: Option<&str>,
) -> Result<(), Verdict> {
    let intent = intent(run, step, deed.clone());
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "what is to be done could not be written down on the master: {why}"
        ))
    };
    let text = serde_json::to_string(&intent).map_err(|e| failed(e.to_string()))?;
    let place = run.place(&run.desired.master);
    let request = Request(Ask::WriteIntent {
        place: &place,
        run: &run.id,
        step: &intent.step,
        intent: text,
        verdict: verdict.map(str::to_owned),
    });
    tell(run, &request, "kept").await.map_err(failed).map(drop)
}

/// Takes away what a step wrote down that changed nothing.
async fn take_away(run: &Run<'_>, step: &Step) {
    let place = run.place(&run.desired.master);
    let request = Request(Ask::RemoveIntent {
        place: &place,
        run: &run.id,
        step: &folder_name(&step.id),
    });
    let _ = tell(run, &request, "gone").await;
}

/// The end of a write: whether anything may have been changed decides what is left behind.
async fn written(
    run: &Run<'_>,
    step: &Step,
    result: Result<(), WriteError>,
) -> Result<(), Verdict> {
    match result {
        Ok(()) => Ok(()),
        Err(WriteError::Refused(why)) => {
            take_away(run, step).await;
            Err(Verdict::Moved(why))
        }
        Err(WriteError::Database(e)) => {
            take_away(run, step).await;
            Err(Verdict::NotStarted(format!("nothing was changed: {e}")))
        }
        Err(e @ WriteError::InDoubt(_)) => Err(Verdict::LeftFailed(format!(
            "{e}; the next run checks it again"
        ))),
    }
}

fn digest(text: &TemplateText) -> Digest {
    Digest::of(text.text.expose().as_bytes())
}

async fn template(
    run: &Run<'_>,
    step: &Step,
    access: &dyn Database,
    action: &Action,
) -> Result<DatabaseChange, Verdict> {
    let (name, before, after) = match action {
        Action::MergeTemplate(c) => (&c.name, Some(c.before), Some(c.after)),
        Action::AddTemplate(n) => (&n.name, None, Some(Digest::of(n.text.as_bytes()))),
        Action::RestoreTemplate(RestoreTemplate {
            name, now, before, ..
        }) => (name, *now, *before),
        _ => return Err(Verdict::NotStarted("it is no step on a template".into())),
    };
    let moved = || format!("the template {name} is not what it was when the plan was made");
    let now = access
        .template(name, PATIENCE)
        .await
        .map_err(|e| Verdict::NotStarted(e.to_string()))?;
    if now.as_ref().map(digest) != before {
        return Err(Verdict::Moved(moved()));
    }
    let new = new_text(run, action, now.as_ref()).await?;
    let comes = match &new {
        NewText::Write(text) => Some(Digest::of(text.expose().as_bytes())),
        NewText::Insert(all) => Some(digest(all)),
        NewText::Delete => None,
    };
    if comes != after {
        return Err(Verdict::NotStarted(format!(
            "the text that {name} would get is not the announced one"
        )));
    }
    if let Some(now) = &now {
        keep(run, step, name, now).await?;
    }
    let deed = DatabaseChange::Template {
        name: name.clone(),
        before,
        after,
    };
    if let Err(verdict) = write_down(run, step, &deed, None).await {
        take_away(run, step).await;
        return Err(verdict);
    }
    if let Err(e) = run.lease.check() {
        take_away(run, step).await;
        return Err(Verdict::NoLease(e.to_string()));
    }
    let decide = move |row: Option<&TemplateText>| {
        if row.map(digest) == before {
            Ok(new.clone())
        } else {
            Err(moved())
        }
    };
    let _waiting = in_database(run, "the database changes a template");
    let changed = access.change_template(name, &decide, patience(run)).await;
    written(run, step, changed).await?;
    Ok(deed)
}

/// What becomes of the row.
async fn new_text(
    run: &Run<'_>,
    action: &Action,
    now: Option<&TemplateText>,
) -> Result<NewText, Verdict> {
    let cannot = |why: &str| Verdict::NotStarted(why.to_owned());
    match (action, now) {
        (Action::MergeTemplate(change), Some(now)) => {
            // An error of the reader quotes the text, which holds credentials.
            let live = Document::parse(now.text.expose())
                .map_err(|_| cannot("its text cannot be read any more"))?;
            let text = merge::apply(&live, &change.edits)
                .map_err(|_| cannot("its text cannot be edited any more"))?;
            Ok(NewText::Write(Confidential::new(text.to_string())))
        }
        (Action::AddTemplate(new), None) => Ok(NewText::Insert(TemplateText {
            parent: new.parent.clone(),
            text: Confidential::new(new.text.clone()),
        })),
        (Action::RestoreTemplate(RestoreTemplate { before: None, .. }), Some(_)) => {
            Ok(NewText::Delete)
        }
        (
            Action::RestoreTemplate(RestoreTemplate {
                name,
                run: from,
                step,
                ..
            }),
            now,
        ) => {
            let kept = kept(run, name, from, step).await?;
            Ok(match now {
                Some(_) => NewText::Write(kept.text),
                None => is_restored(name, kept)?,
            })
        }
        _ => Err(cannot("its row was added or deleted")),
    }
}

/// Writes the row down on the master as it is.
async fn keep(run: &Run<'_>, step: &Step, name: &str, now: &TemplateText) -> Result<(), Verdict> {
    let failed = |why: String| {
        Verdict::NotStarted(format!(
            "the template could not be saved on the master: {why}"
        ))
    };
    let kept = SavedTemplate {
        format: SAVED_ROW_FORMAT.to_owned(),
        table: "t_profile_template".to_owned(),
        template_name: name.to_owned(),
        parents_name: now.parent.clone(),
        profile: now.text.expose().to_owned(),
    };
    let text = serde_json::to_string(&kept).map_err(|e| failed(e.to_string()))?;
    let place = run.place(&run.desired.master);
    let request = Request(Ask::SaveRows {
        place: &place,
        name: records::row_name(&run.id, &folder_name(&step.id)),
        rows: &text,
    });
    tell(run, &request, "kept ").await.map_err(failed).map(drop)
}

/// The row as a run found it.
async fn kept(
    run: &Run<'_>,
    name: &str,
    from: &RunId,
    step: &str,
) -> Result<TemplateText, Verdict> {
    let failed = |why: String| {
        Verdict::NotStarted(format!("what run {from} saved of it cannot be read: {why}"))
    };
    let place = run.place(&run.desired.master);
    let request = Request(Ask::SavedRows {
        place: &place,
        name: records::row_name(from, step),
    });
    let remote = master(run).await.map_err(failed)?;
    let output = remote
        .ask(&request, Bounds::new(Bounds::RECORDS, SCRIPT))
        .await
        .map_err(|e| failed(e.to_string()))?;
    // An error of the reader may quote what it read.
    let kept: SavedTemplate = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("it is damaged, or not there any more".to_owned()))?;
    if kept.format != SAVED_ROW_FORMAT {
        return Err(failed("a newer tarsops wrote it".to_owned()));
    }
    if kept.template_name != name {
        return Err(failed("it is another template's".to_owned()));
    }
    Ok(TemplateText {
        parent: kept.parents_name,
        text: Confidential::new(kept.profile),
    })
}

/// A template that comes back, below the parent that the framework gives it. What was kept is in no
/// digest but for its text, and whatever a parent says holds for its servers too.
fn is_restored(name: &str, kept: TemplateText) -> Result<NewText, Verdict> {
    let parent = parent_of(name);
    if kept.parent == parent {
        return Ok(NewText::Insert(kept));
    }
    Err(Verdict::NotStarted(format!(
        "the saved row of {name} has another parent than {parent}, which the framework gives it; compare the row in `rows/` on the master, and restore it by hand"
    )))
}

/// Dumps the databases and brings the dump to the master.
async fn backup(
    run: &Run<'_>,
    step: &Step,
    access: &dyn Database,
    databases: &[String],
    end: &mut StepEnd,
) -> Result<DatabaseChange, Verdict> {
    let failed = |why: String| {
        Verdict::NotStarted(format!("there is no backup, so nothing was changed: {why}"))
    };
    let file = run.spool.join(format!("{}.sql.gz", run.id));
    let waiting = in_database(run, "the databases are dumped");
    let dump = access
        .backup(databases, &file, patience(run))
        .await
        .map_err(|e| failed(e.to_string()))?;
    drop(waiting);
    let place = run.place(&run.desired.master);
    let payload = Upload {
        place: &place,
        digest: dump.digest,
        size: dump.size,
        file: file.clone(),
    };
    run.progress.event(&Progress::Uploading {
        node: &run.desired.master,
        bytes: dump.size,
    });
    let brought = bring(run, &payload).await;
    let _ = std::fs::remove_file(&file);
    brought.map_err(failed)?;
    let keeps = Request(Ask::KeepDump {
        place: &place,
        digest: &dump.digest,
        keep: DUMPS_TO_RETAIN,
    });
    let drops = Request(Ask::DropDump {
        place: &place,
        digest: &dump.digest,
    });
    let path = match tell(run, &keeps, "kept ").await {
        Ok(path) => path,
        Err(why) => {
            let _ = tell(run, &drops, "gone").await;
            return Err(failed(why));
        }
    };
    run.journal.lock().await.write(&Event::Kept {
        step: step.id.clone(),
        path: path.clone(),
        digest: dump.digest.to_string(),
    });
    end.log.push(format!(
        "the dump is on {} in {path}: {} KiB, sha256 {}, by {}",
        run.desired.master,
        dump.size.div_ceil(1024),
        dump.digest,
        dump.by
    ));
    for name in &dump.left_out {
        end.log.push(format!(
            "it does not contain {name}: our user may read nothing in it, or it is empty"
        ));
    }
    Ok(DatabaseChange::Backup {
        databases: databases
            .iter()
            .filter(|d| !dump.left_out.contains(d))
            .cloned()
            .collect(),
        file: path,
        digest: dump.digest,
    })
}

/// Streams the dump to the master's stage; the master compares its digest.
async fn bring(run: &Run<'_>, payload: &Upload<'_>) -> Result<(), String> {
    let remote = master(run).await?;
    let deadline = patience(run).max(Duration::from_secs(60));
    match remote.upload(payload, deadline).await {
        Ok(output) => scripts::read_upload(&output.stdout),
        Err(fault) => {
            run.connect.forget(&run.desired.master).await;
            Err(match fault.kind {
                FaultKind::Local => fault.text,
                _ => format!(
                    "while the dump was on its way to the master: {}",
                    fault.text
                ),
            })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_kept_row_gives_a_template_no_other_parent() {
        let kept = |parent: &str| TemplateText {
            parent: parent.to_owned(),
            text: Confidential::new("<tars>\n</tars>\n".to_owned()),
        };
        let own = parent_of("tars.tarsstat");
        assert!(is_restored("tars.tarsstat", kept(own)).is_ok());
        for other in ["tars.mine", "tars.default", ""] {
            let refused = is_restored("tars.tarsstat", kept(other)).err().unwrap();
            assert!(refused.why().unwrap().contains(own));
        }
    }
}
