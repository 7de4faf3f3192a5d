//! The dump of the databases before a plan changes them.
//!
//! It is stored on the master, as this machine may be thrown away after the run.

use std::path::Path;
use std::time::Duration;

use tarsops_plan::intent::{Changed, DatabaseChange};
use tarsops_transport::FaultKind;
use tarsops_transport::mysql::Dump;

use super::{facts, record};
use crate::intent;
use crate::job::{Execution, Job, Precheck};
use crate::journal::Event;
use crate::port::{Ask, Request, Upload};
use crate::progress::Progress;
use crate::run::Run;
use crate::scripts;
use crate::verdict::{Failed, StepEnd, Verdict};

/// Dumps that the master keeps.
const DUMPS_TO_RETAIN: usize = 10;

/// Dumps databases whole, and stores the dump on the master.
pub(crate) struct Backup<'a> {
    pub(crate) databases: &'a [String],
}

impl Execution for Backup<'_> {
    type Seen = ();
    type Acted = DatabaseChange;

    async fn precheck(&self, job: &Job<'_>) -> Result<Precheck<()>, Verdict> {
        // A backup is of this moment: an older one is not it.
        facts::precheck(job, true).await
    }

    async fn act(
        &self,
        job: &Job<'_>,
        (): (),
        end: &mut StepEnd,
    ) -> Result<DatabaseChange, Failed> {
        job.run.check_lease()?;
        job.acting();
        let made = self.make(job, end).await.map_err(|why| {
            Verdict::NotStarted(format!("there is no backup, so nothing was changed: {why}"))
        })?;
        Ok(made)
    }

    async fn settle(
        &self,
        job: &Job<'_>,
        change: DatabaseChange,
        end: &mut StepEnd,
    ) -> Result<(), Failed> {
        let verdict = match &change {
            DatabaseChange::Backup { file, digest, .. } => {
                format!("the dump is in {file}, sha256 {digest}")
            }
            _ => "done".to_owned(),
        };
        record::write(job, &change, Some(&verdict)).await?;
        end.intent = Some(intent::of(job, Changed::Database(change)));
        Ok(())
    }
}

impl Backup<'_> {
    /// Dumps the databases and stores the dump on the master.
    async fn make(&self, job: &Job<'_>, end: &mut StepEnd) -> Result<DatabaseChange, String> {
        let run = job.run;
        let access = facts::access(run).map_err(Verdict::into_why)?;
        let file = run.spool.join(format!("{}.sql.gz", run.id));
        let waiting = facts::waiting(run, "the databases are dumped");
        let dump = access
            .backup(self.databases, &file, facts::patience(run))
            .await
            .map_err(|e| e.to_string())?;
        drop(waiting);
        let path = store(run, &dump, &file).await?;
        run.journal.lock().await.write(&Event::DumpStored {
            step: job.step.id.clone(),
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
        let contains = |d: &&String| !dump.left_out.contains(d);
        Ok(DatabaseChange::Backup {
            databases: self.databases.iter().filter(contains).cloned().collect(),
            file: path,
            digest: dump.digest,
        })
    }
}

/// Sends a dump to the master and removes it here; its path there.
async fn store(run: &Run<'_>, dump: &Dump, file: &Path) -> Result<String, String> {
    let place = run.place(&run.desired.master);
    let payload = Upload {
        place: &place,
        digest: dump.digest,
        size: dump.size,
        file: file.to_path_buf(),
    };
    run.progress.event(&Progress::Uploading {
        node: &run.desired.master,
        bytes: dump.size,
    });
    let sent = send(run, &payload).await;
    let _ = std::fs::remove_file(file);
    sent?;
    let retain = Request(Ask::KeepDump {
        place: &place,
        digest: &dump.digest,
        keep: DUMPS_TO_RETAIN,
    });
    let delete = Request(Ask::DropDump {
        place: &place,
        digest: &dump.digest,
    });
    let stored = record::tell(run, &retain).await;
    if stored.is_err() {
        let _ = record::tell(run, &delete).await;
    }
    stored
}

/// Streams the dump to the master's stage; the master compares its digest.
async fn send(run: &Run<'_>, payload: &Upload<'_>) -> Result<(), String> {
    let remote = run.master().await?;
    let deadline = facts::patience(run).max(Duration::from_secs(60));
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
