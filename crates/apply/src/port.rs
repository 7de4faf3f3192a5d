//! The ports through which the executor reaches hosts and the database.
//!
//! A request says what a host should do; it becomes a script only where a real host carries it out
//! ([`Scripts`]). So what the executor decides can be tried on hosts that live in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{Addition, DatabaseFacts};
use tarsops_model::names::{AbsPath, ContainerName, NodeName, RunId};
use tarsops_model::version::Version;
use tarsops_probe::{Options, Seen};
use tarsops_transport::mysql::{
    Access, BackupError, DatabaseError, Decide, Dump, Secret, TemplateText, Tool, WriteError,
};
use tarsops_transport::{Bounds, Connect, Fault, Output, Payload, Remote};

use crate::place::Place;
use crate::records::{self, Program, Unmark};
use crate::scripts::{self, ContainerLaunch, Launch, LeaseMode, Mode};
use crate::words::ChangeWord;

/// Makes connections to hosts, and may keep them.
pub trait Hosts: Send + Sync {
    /// A connection to `node`: one that stands, or a new one.
    ///
    /// # Errors
    /// A [`Fault`] that says why there is none.
    fn connect<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Host>, Fault>>;

    /// Drops the connection to `node`, so that the next one is new.
    fn forget<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, ()>;
}

/// One connected host.
pub trait Host: Send + Sync {
    /// Looks at the host, `node`. `now` is the control machine's time in seconds since 1970.
    ///
    /// # Errors
    /// A [`Fault`] if the host could not be used, or its answer not be read.
    fn look<'a>(
        &'a self,
        node: &'a NodeName,
        options: &'a Options,
        now: i64,
    ) -> BoxFuture<'a, Result<Seen, Fault>>;

    /// Has the host carry out `request` and waits for its end.
    ///
    /// # Errors
    /// A [`Fault`] if the host could not be used, or did not keep within `bounds`.
    fn ask<'a>(
        &'a self,
        request: &'a Request<'a>,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, Fault>>;

    /// As [`Host::ask`], of a request whose answer only confirms what was done.
    ///
    /// # Errors
    /// As for [`Host::ask`].
    fn tell<'a>(
        &'a self,
        request: &'a Request<'a>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        self.ask(request, Bounds::new(Bounds::CONFIRMATION, deadline))
    }

    /// Sends a file to the host, which keeps it by its digest.
    ///
    /// # Errors
    /// As for [`Host::ask`], or if the file cannot be read.
    fn upload<'a>(
        &'a self,
        upload: &'a Upload<'a>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>>;
}

/// Hands out the files of pinned packages.
pub trait Payloads: Send + Sync {
    /// The file on this machine that holds `path` of the package, and has `digest`.
    ///
    /// # Errors
    /// One lowercase clause.
    fn file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Result<PathBuf, String>;
}

/// A file that is sent to a host.
pub struct Upload<'a> {
    pub(crate) place: &'a Place,
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// The file on this machine.
    pub(crate) file: PathBuf,
}

/// What a host is asked to do.
pub struct Request<'a>(pub(crate) Ask<'a>);

/// The requests, with what each needs.
pub(crate) enum Ask<'a> {
    /// Begin a change, if it has not begun, and wait for its verdict.
    Launch(Launch<'a>),
    /// Begin the replacement of the framework's container, if it has not begun, and wait for its verdict.
    ReplaceContainer(ContainerLaunch<'a>),
    /// Remove containers that the one of this name has replaced, all but the newest.
    PruneContainers {
        place: &'a Place,
        socket: &'a AbsPath,
        name: &'a ContainerName,
        keep: u32,
    },
    /// Wait for the verdict of a change, or have the host end it.
    Wait {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        mode: Mode,
    },
    /// Take, renew or release the cluster's lease.
    Lease {
        place: &'a Place,
        run: &'a RunId,
        holder: &'a str,
        /// In seconds.
        ttl: u64,
        spec: &'a Digest,
        mode: LeaseMode,
    },
    /// Write beside a change's verdict what the run made of it.
    NoteGate {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        words: String,
    },
    /// Save labels of the node's row, or remove what was saved.
    Labels {
        place: &'a Place,
        text: Option<String>,
    },
    /// Write down what a step on the database does, and its verdict where there is one.
    WriteIntent {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        intent: String,
        verdict: Option<String>,
    },
    /// Remove what a step on the database wrote down.
    RemoveIntent {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
    },
    /// Save rows of the database under a name.
    SaveRows {
        place: &'a Place,
        name: String,
        rows: &'a str,
    },
    /// Print saved rows.
    SavedRows { place: &'a Place, name: String },
    /// Move an uploaded dump to the others.
    KeepDump {
        place: &'a Place,
        digest: &'a Digest,
        keep: usize,
    },
    /// Remove an uploaded dump.
    DropDump {
        place: &'a Place,
        digest: &'a Digest,
    },
    /// Save a program and the intent to have it published over.
    SaveProgram {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        intent: &'a str,
        program: Program<'a>,
    },
    /// Write down the intent of a restart, and mark it as pending.
    PendRestart {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        intent: &'a str,
        component: Component,
    },
    /// Mark a restart as pending.
    Mark {
        place: &'a Place,
        component: Component,
        key: String,
    },
    /// Remove marks of pending restarts.
    Unmark {
        place: &'a Place,
        component: Component,
        which: Unmark<'a>,
    },
    /// Write the verdict of a change that no script of the host made.
    Conclude {
        place: &'a Place,
        run: &'a RunId,
        step: &'a str,
        verdict: ChangeWord,
        text: String,
        holder: &'a str,
        unmark: Option<(Component, Unmark<'a>)>,
        summary: &'a str,
    },
}

impl Request<'_> {
    /// The script that has a real host carry it out.
    pub(crate) fn script(&self) -> String {
        match &self.0 {
            Ask::Launch(launch) => scripts::launch(launch),
            Ask::ReplaceContainer(launch) => scripts::replace_container(launch),
            Ask::PruneContainers {
                place,
                socket,
                name,
                keep,
            } => scripts::prune_containers(place, socket, name.as_str(), *keep),
            Ask::Wait {
                place,
                run,
                step,
                mode,
            } => scripts::wait(place, run, step, *mode),
            Ask::Lease {
                place,
                run,
                holder,
                ttl,
                spec,
                mode,
            } => scripts::lease(place, run, holder, *ttl, spec, *mode),
            Ask::NoteGate {
                place,
                run,
                step,
                words,
            } => records::note_gate(place, run, step, words),
            Ask::Labels { place, text } => scripts::save_labels(place, text.as_deref()),
            Ask::WriteIntent {
                place,
                run,
                step,
                intent,
                verdict,
            } => records::write(place, run, step, intent, verdict.as_deref()),
            Ask::RemoveIntent { place, run, step } => records::delete(place, run, step),
            Ask::SaveRows { place, name, rows } => scripts::save_rows(place, name, rows),
            Ask::SavedRows { place, name } => scripts::saved_rows(place, name),
            Ask::KeepDump {
                place,
                digest,
                keep,
            } => records::save_dump(place, digest, *keep),
            Ask::DropDump { place, digest } => records::drop_dump(place, digest),
            Ask::SaveProgram {
                place,
                run,
                step,
                intent,
                program,
            } => records::save_program(place, run, step, intent, program),
            Ask::PendRestart {
                place,
                run,
                step,
                intent,
                component,
            } => records::add_marker(place, run, step, intent, *component),
            Ask::Mark {
                place,
                component,
                key,
            } => records::mark_pending_restart(place, *component, key),
            Ask::Unmark {
                place,
                component,
                which,
            } => records::unmark(place, *component, *which),
            Ask::Conclude {
                place,
                run,
                step,
                verdict,
                text,
                holder,
                unmark,
                summary,
            } => records::conclude(place, run, step, (*verdict, text), holder, *unmark, summary),
        }
    }
}

/// Real hosts: requests become scripts that run there.
pub struct Scripts(Arc<dyn Connect>);

impl Scripts {
    /// Over these connections.
    #[must_use]
    pub fn over(connect: Arc<dyn Connect>) -> Self {
        Self(connect)
    }
}

impl Hosts for Scripts {
    fn connect<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Host>, Fault>> {
        Box::pin(async move {
            let remote = self.0.connect(node).await?;
            Ok(Arc::new(Scripted(remote)) as Arc<dyn Host>)
        })
    }

    fn forget<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, ()> {
        self.0.forget(node)
    }
}

struct Scripted(Arc<dyn Remote>);

impl Host for Scripted {
    fn look<'a>(
        &'a self,
        node: &'a NodeName,
        options: &'a Options,
        now: i64,
    ) -> BoxFuture<'a, Result<Seen, Fault>> {
        Box::pin(tarsops_probe::look(node, &*self.0, options, now))
    }

    fn ask<'a>(
        &'a self,
        request: &'a Request<'a>,
        bounds: Bounds,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move { self.0.ask(&request.script(), bounds).await })
    }

    fn upload<'a>(
        &'a self,
        upload: &'a Upload<'a>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let payload = Payload {
                head: upload.place.upload_head(&upload.digest, upload.size),
                file: upload.file.clone(),
                size: upload.size,
            };
            self.0.upload(&scripts::upload(), &payload, deadline).await
        })
    }
}

/// The account of the database that the installation in a container logs in as.
pub trait Account: Send + Sync {
    /// Its name.
    fn user(&self) -> &str;

    /// Its password, which the container gets.
    fn password(&self) -> &Secret;

    /// Whether the database lets it in, seen from this machine. That proves less than the same from inside
    /// of a container would: an account may be let in from one address and not from another.
    ///
    /// # Errors
    /// A [`DatabaseError`] that says why it is not known to be let in.
    fn reach(&self, deadline: Duration) -> BoxFuture<'_, Result<(), DatabaseError>>;
}

impl Account for Access {
    fn user(&self) -> &str {
        &self.user
    }

    fn password(&self) -> &Secret {
        &self.password
    }

    fn reach(&self, deadline: Duration) -> BoxFuture<'_, Result<(), DatabaseError>> {
        Box::pin(async move { self.connect(deadline).await.map(drop) })
    }
}

/// The framework's database, so far as steps on its tables need it.
pub trait Database: Send + Sync {
    /// Reads everything that is known of it. `clock` gives seconds since 1970.
    ///
    /// # Errors
    /// A [`DatabaseError`]; then nothing is known.
    fn read<'a>(
        &'a self,
        clock: &'a (dyn Fn() -> i64 + Sync),
        deadline: Duration,
    ) -> BoxFuture<'a, Result<DatabaseFacts, DatabaseError>>;

    /// Reads one template; none where there is no such row.
    ///
    /// # Errors
    /// A [`DatabaseError`]; then nothing is known.
    fn template<'a>(
        &'a self,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Option<TemplateText>, DatabaseError>>;

    /// Changes one template to what `decide` makes of the row, in one transaction.
    ///
    /// # Errors
    /// A [`WriteError`], which says whether anything may have been changed.
    fn change_template<'a>(
        &'a self,
        name: &'a str,
        decide: &'a Decide<'a>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Adds a column.
    ///
    /// # Errors
    /// A [`WriteError`], which says whether anything may have been changed.
    fn add_column<'a>(
        &'a self,
        addition: &'a Addition,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Dumps `databases` into the new file `to`.
    ///
    /// # Errors
    /// A [`BackupError`]; then there is no file.
    fn backup<'a>(
        &'a self,
        databases: &'a [String],
        to: &'a Path,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Dump, BackupError>>;
}

impl Database for Access {
    fn read<'a>(
        &'a self,
        clock: &'a (dyn Fn() -> i64 + Sync),
        deadline: Duration,
    ) -> BoxFuture<'a, Result<DatabaseFacts, DatabaseError>> {
        Box::pin(self.read(clock, false, deadline))
    }

    fn template<'a>(
        &'a self,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Option<TemplateText>, DatabaseError>> {
        Box::pin(self.template(name, deadline))
    }

    fn change_template<'a>(
        &'a self,
        name: &'a str,
        decide: &'a Decide<'a>,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.change_template(name, decide, deadline))
    }

    fn add_column<'a>(
        &'a self,
        addition: &'a Addition,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(self.add_column(addition, deadline))
    }

    fn backup<'a>(
        &'a self,
        databases: &'a [String],
        to: &'a Path,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Dump, BackupError>> {
        Box::pin(async move {
            let tool = Tool::find();
            self.backup(databases, to, tool.as_ref(), deadline).await
        })
    }
}
