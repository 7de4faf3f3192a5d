//! The ways in which a publication can fail: what is told of each, and the state after it.
//!
//! The tests take what they expect from here, and `docs/publishing.md` its table, so that the table
//! says what was seen.

/// How a failure is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// On a cluster of stand-ins, by the whole program.
    Cluster,
    /// By what a real console answered, recorded.
    Recording,
}

/// One way in which a publication can fail.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// Under which name tests know it.
    pub name: &'static str,
    /// What happens.
    pub happens: &'static str,
    /// Words that are told; empty where all went well and nothing need be told.
    pub told: &'static str,
    /// What is so afterwards.
    pub after: &'static str,
    /// The exit code of `apply`; none where a recording shows it.
    pub code: Option<i32>,
    /// How it is shown.
    pub shown: Shown,
}

const fn cluster(
    name: &'static str,
    happens: &'static str,
    told: &'static str,
    after: &'static str,
    code: i32,
) -> Failure {
    Failure {
        name,
        happens,
        told,
        after,
        code: Some(code),
        shown: Shown::Cluster,
    }
}

const fn recording(name: &'static str, happens: &'static str, told: &'static str) -> Failure {
    Failure {
        name,
        happens,
        told,
        after: "",
        code: None,
        shown: Shown::Recording,
    }
}

/// What the platform does not take, so that nothing happens.
const fn refused(name: &'static str, happens: &'static str, told: &'static str) -> Failure {
    Failure {
        after: OLD,
        ..recording(name, happens, told)
    }
}

const OLD: &str = "the old program runs, untouched";
const BACK: &str = "the old program was restored and runs; its row names its package again";
const NEW: &str = "the new program runs";
const NOTHING: &str = "nothing was begun";

/// All of them.
pub const FAILURES: [Failure; 40] = [
    cluster(
        "task-refused",
        "AdminRegistry refuses the task and carries it out",
        "",
        NEW,
        0,
    ),
    cluster(
        "task-unanswered",
        "AdminRegistry never answers to the task and carries it out",
        "",
        NEW,
        0,
    ),
    cluster(
        "task-stuck",
        "the task is done and stays in progress for ever",
        "",
        NEW,
        0,
    ),
    cluster(
        "task-swallowed",
        "the task is accepted and never started",
        "has not ended within",
        OLD,
        8,
    ),
    cluster(
        "node-busy",
        "the node is busy for 6 s: the task fails (1002), and the file comes all the same, later, without a restart",
        "was busy or silent for longer than AdminRegistry waits",
        BACK,
        8,
    ),
    cluster(
        "garbled",
        "what the node fetched is damaged, and no platform keeps what nodes report",
        "could not fetch or unpack the package",
        OLD,
        8,
    ),
    cluster(
        "start-fails",
        "the program is replaced, and its node cannot start it",
        "does not start",
        BACK,
        8,
    ),
    cluster(
        "crashes",
        "the new program ends at once",
        "does not start",
        BACK,
        8,
    ),
    cluster(
        "never-listens",
        "the new program runs and opens no port",
        "does not listen",
        BACK,
        8,
    ),
    cluster(
        "tarspatch-down",
        "tarspatch does not run",
        "which hands packages out, does not answer",
        OLD,
        8,
    ),
    cluster(
        "node-down",
        "the node's tarsnode does not run",
        "AdminRegistry does not reach the node",
        OLD,
        8,
    ),
    cluster(
        "admin-down",
        "AdminRegistry does not run",
        "AdminRegistry, which publishes",
        NOTHING,
        4,
    ),
    cluster(
        "no-package",
        "the lock file has no package of the version",
        "no pinned package has tarslog",
        NOTHING,
        6,
    ),
    cluster(
        "stopped",
        "somebody has set the server inactive",
        "waiting: it is set inactive",
        "it stays stopped and keeps its program",
        0,
    ),
    cluster(
        "template-unreadable",
        "Tars cannot read the server's template",
        "the template tars.tarslog cannot be edited",
        NOTHING,
        6,
    ),
    cluster(
        "port-taken",
        "another process holds the port of a server that comes",
        "another process listens on port 18913",
        NOTHING,
        6,
    ),
    cluster(
        "console-down",
        "the platform does not run",
        "the management platform cannot be used",
        NOTHING,
        6,
    ),
    cluster(
        "ticket-revoked",
        "the platform does not accept the ticket",
        "does not accept the ticket",
        NOTHING,
        6,
    ),
    cluster(
        "folder-not-shared",
        "the platform keeps packages in another folder than tarspatch",
        "do not share their folder of packages",
        OLD,
        8,
    ),
    cluster(
        "console-refuses",
        "the platform says \"system error\" to the task, which is carried out",
        "",
        NEW,
        0,
    ),
    recording(
        "no-such-package",
        "the database has no row of the package",
        "the database has no row of the package any more",
    ),
    recording(
        "no-number",
        "the platform passes no package's number on",
        "got no number of a package",
    ),
    recording(
        "command-unknown",
        "AdminRegistry does not know how to publish",
        "does not know the command",
    ),
    recording(
        "package-file-gone",
        "the package's file was deleted",
        "tarspatch does not find the package",
    ),
    recording(
        "tarspatch-silent",
        "tarspatch does not answer AdminRegistry",
        "tarspatch does not answer AdminRegistry",
    ),
    recording(
        "two-packages-at-once",
        "two packages of one server at once",
        "another publication of it was in progress there",
    ),
    recording(
        "damaged-package",
        "the package's file was damaged on its way, and the node says why",
        "its MD5 differs",
    ),
    recording(
        "fetch-fails",
        "the node could not fetch or unpack the package, and says nothing",
        "could not fetch or unpack",
    ),
    recording(
        "dead-node",
        "the node is not connected",
        "AdminRegistry has no connection",
    ),
    recording(
        "not-executable",
        "the program in the package is not executable",
        "does not start",
    ),
    recording(
        "never-active",
        "the new program runs and never tells its node that it does",
        "never saw tarsquerystat become active",
    ),
    recording(
        "no-script",
        "a server that was never published is started",
        "no program or start script",
    ),
    recording(
        "old-program-restarted",
        "the archive has no file of the server's name: success, and the old program runs",
        "still has another program",
    ),
    recording(
        "system-error",
        "\"system error\" and no more",
        "was not accepted, and was not carried out",
    ),
    recording(
        "no-words",
        "the task failed, and its words were not kept",
        "failed without a known message",
    ),
    recording(
        "platform-database-down",
        "the platform's database goes away before the task",
        "does not reach its database",
    ),
    refused(
        "upload-system-error",
        "\"system error\" and no more, to the upload",
        "did not accept the package of tarsquerystat and does not say why",
    ),
    refused(
        "package-too-large",
        "the package is larger than 100 MiB",
        "larger than the management platform takes",
    ),
    refused(
        "ticket-gone",
        "the ticket is revoked after the plan was made",
        "create a new token there",
    ),
    refused(
        "too-many-requests",
        "the platform has had too many requests from this address",
        "more requests from this address than it takes",
    ),
];

/// The failure of that name.
pub fn failure(name: &str) -> Failure {
    *FAILURES
        .iter()
        .find(|f| f.name == name)
        .unwrap_or_else(|| panic!("no failure is called {name}"))
}

/// The table of the documentation.
pub fn table() -> String {
    let mut out = String::from(
        "| what happens | what is reported | afterwards | exit code | shown on |\n|---|---|---|---|---|\n",
    );
    for f in FAILURES {
        let told = if f.told.is_empty() {
            "nothing: all went well".to_owned()
        } else {
            format!("… {} …", f.told)
        };
        let code = f.code.map_or_else(|| "8".to_owned(), |c| c.to_string());
        let after = if f.after.is_empty() {
            "as the host shows: untouched, or restored"
        } else {
            f.after
        };
        let shown = match f.shown {
            Shown::Cluster => "stand-ins",
            Shown::Recording => "a recording",
        };
        out.push_str(&format!(
            "| {} | {told} | {after} | {code} | {shown} |\n",
            f.happens
        ));
    }
    out
}
