//! What a real console answered to publications that failed, replayed: the publisher makes its calls,
//! and what came is reported as a cause.
//!
//! Every row of the table of failures that a recording shows is shown here.
#![allow(clippy::unwrap_used, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "other tests use the rest")]
#[path = "../../tests/support/failures.rs"]
mod failures;

use std::collections::{BTreeSet, HashMap};
use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use tarsops_apply::cause::{Ended, Evidence, cause};
use tarsops_framework::{Client, Publish as _, Publisher, Standing, Ways};
use tarsops_model::desired::Rpc;
use tarsops_model::digest::Digest;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::version::Version;
use tarsops_plan::action::Via;
use tarsops_transport::mysql::Secret;
use tarsops_transport::remote::{Connect, Fault as NoWay, FaultKind, Remote};

use self::failures::{FAILURES, Shown, failure};
use super::*;

const OURS: Component = Component::Tarsquerystat;
const HOST: &str = "192.0.2.1";
/// Seconds that a task may take, as told in words.
const DEADLINE: u64 = 60;

/// A task that failed, and what is told of it.
struct Task {
    /// The row of the table.
    row: &'static str,
    /// What the console said of the task in the end.
    said: &'static str,
    /// Whether the announced program lay on the host.
    file_is_new: Option<bool>,
}

const fn task(row: &'static str, said: &'static str, file_is_new: Option<bool>) -> Task {
    Task {
        row,
        said,
        file_is_new,
    }
}

const TASKS: [Task; 17] = [
    task("no-such-package", "failed_1", Some(false)),
    task("no-number", "no_number_null", Some(false)),
    task("no-number", "no_number_empty", Some(false)),
    task("command-unknown", "unknown_command", Some(false)),
    task("package-file-gone", "package_gone", Some(false)),
    task("tarspatch-silent", "tarspatch_down", Some(false)),
    task("two-packages-at-once", "second_package", Some(false)),
    task("fetch-fails", "package_damaged", Some(false)),
    task("fetch-fails", "fetch_failed", Some(false)),
    task("dead-node", "node_dead", None),
    task("node-busy", "node_busy", Some(false)),
    task("not-executable", "noexec_3", Some(true)),
    task("never-active", "never_active", Some(true)),
    task("no-script", "never_published", Some(false)),
    task("old-program-restarted", "other_content", Some(false)),
    task("no-words", "kept_without_words", Some(false)),
    // The program came up too late, or not at all: the task knows nothing of that.
    task("crashes", "published_new", Some(true)),
];

/// Tasks that were not taken, and may be carried out: the row, and the answer to `add_task`.
const REFUSED: [(&str, &str); 3] = [
    ("system-error", "add_task_unknown_server"),
    ("system-error", "add_task_admin_hung"),
    ("platform-database-down", "add_task_database_down"),
];

/// Packages that were not taken: the row, and the answer to the upload.
const NOT_UPLOADED: [(&str, &str); 5] = [
    ("upload-system-error", "upload_wrong_md5"),
    ("package-too-large", "upload_too_large"),
    ("ticket-gone", "upload_no_ticket"),
    ("too-many-requests", "rate_limited"),
    ("platform-database-down", "upload_database_down"),
];

/// Rows that a test of its own shows.
const ELSEWHERE: [&str; 1] = ["damaged-package"];

#[test]
fn every_row_that_a_recording_shows_is_shown_here() {
    let rows: BTreeSet<&str> = FAILURES
        .iter()
        .filter(|f| f.shown == Shown::Recording)
        .map(|f| f.name)
        .collect();
    let shown: BTreeSet<&str> = TASKS
        .iter()
        .map(|t| t.row)
        .chain(REFUSED.iter().chain(&NOT_UPLOADED).map(|(row, _)| *row))
        .chain(ELSEWHERE)
        .collect();
    let forgotten: Vec<_> = rows.difference(&shown).collect();
    assert!(forgotten.is_empty(), "no test shows {forgotten:?}");
    // What is shown on a cluster may be shown here as well, but it must be a row.
    for row in shown {
        failure(row);
    }
}

/// The recorded answer of that name: its status, its headers and its body.
fn recorded(name: &str) -> (u16, String, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/web");
    let read = |file| std::fs::read_to_string(folder.join(file)).unwrap();
    let all = format!("{}{}", read("exchanges.txt"), read("failures.txt"));
    let (_, rest) = all
        .split_once(&format!("\n== {name}\n"))
        .unwrap_or_else(|| panic!("nothing of the name {name} is recorded"));
    let (head, rest) = rest.split_once("\n\n").unwrap();
    let body = rest.split("\n== ").next().unwrap();
    let mut lines = head.lines();
    let status = lines.find_map(|line| line.parse().ok()).unwrap();
    let headers = lines.map(|line| format!("{line}\r\n")).collect();
    (status, headers, body.to_owned())
}

/// The number of the task that a recorded answer is about.
fn number_of(name: &str) -> String {
    let said: serde_json::Value = serde_json::from_str(&recorded(name).2).unwrap();
    said["data"]["task_no"].as_str().unwrap().to_owned()
}

/// A console on this machine that answers each call as it once was answered. It ends with the test.
#[derive(Default)]
struct Replies(HashMap<&'static str, (u16, String, String)>);

impl Replies {
    /// One that has our server on the host, and knows none of its packages.
    fn of_ours() -> Self {
        let none = r#"{"data":{"count":0,"rows":[]},"ret_code":200,"err_msg":""}"#;
        Self::default()
            .with("server_nodes", "server_nodes")
            .with("upload_patch_package", "upload")
            .saying("server_patch_list", none)
            .saying("server_notify_list", none)
    }

    fn with(mut self, call: &'static str, name: &str) -> Self {
        self.0.insert(call, recorded(name));
        self
    }

    fn saying(mut self, call: &'static str, body: &str) -> Self {
        let json = "Content-Type: application/json; charset=utf-8\r\n".to_owned();
        self.0.insert(call, (200, json, body.to_owned()));
        self
    }

    /// One that takes a task, and says this of it.
    fn that_takes(said: &str) -> Self {
        let number = number_of(said);
        let taken = format!(r#"{{"data":"{number}","ret_code":200,"err_msg":""}}"#);
        Self::of_ours()
            .saying("add_task", &taken)
            .with("task", said)
    }

    /// Where it listens.
    fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = self.meet(stream);
            }
        });
        url
    }

    fn meet(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut all = Vec::new();
        let mut part = [0; 64 << 10];
        let ended = |all: &[u8]| all.windows(4).position(|w| w == b"\r\n\r\n");
        let head = loop {
            if let Some(at) = ended(&all) {
                break at + 4;
            }
            match stream.read(&mut part)? {
                0 => return Ok(()),
                n => all.extend_from_slice(&part[..n]),
            }
        };
        let text = String::from_utf8_lossy(&all[..head]).to_lowercase();
        let length = text
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |n| n.trim().parse().unwrap());
        while all.len() < head + length {
            match stream.read(&mut part)? {
                0 => return Ok(()),
                n => all.extend_from_slice(&part[..n]),
            }
        }
        let path = text.split_whitespace().nth(1).unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let call = path.rsplit('/').next().unwrap_or_default();
        let (status, headers, body) = self.0.get(call).unwrap_or_else(|| panic!("{call}"));
        write!(
            stream,
            "HTTP/1.1 {status} Some Words\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Nobody is logged in to: what is asked here is asked of the console alone.
struct Nowhere;

impl Connect for Nowhere {
    fn connect<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, NoWay>> {
        Box::pin(async { Err(NoWay::new(FaultKind::Refused, "there is no host")) })
    }

    fn tunnel<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, NoWay>> {
        Box::pin(async { Err(NoWay::new(FaultKind::Refused, "there is no host")) })
    }

    fn forget<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

fn desired(url: &str, dir: &Path) -> Desired {
    let ticket = dir.join("ticket");
    std::fs::write(&ticket, "a-ticket").unwrap();
    std::fs::set_permissions(&ticket, Permissions::from_mode(0o600)).unwrap();
    let spec = format!(
        "schema: tarsops/v1\ncluster: replay\nframework:\n  version: 3.0.17\n  packages: packages\n\
         registry:\n  endpoints: [{HOST}:17890]\nrpc: none\n\
         web:\n  url: {url}\n  ticket: {{file: ticket}}\n\
         nodes:\n  - {{name: {HOST}, roles: [master]}}\n"
    );
    let base = tarsops_spec::Base {
        dir: dir.to_path_buf(),
        home: None,
        processors: 2,
    };
    let parsed = tarsops_spec::parse(&spec, "replay.yaml").unwrap();
    parsed.lower(&base).unwrap().0
}

fn client(url: &str, dir: &Path) -> Client {
    let ways = Ways {
        rpc: Rpc::Off,
        connect: Arc::new(Nowhere),
        gone: BTreeSet::new(),
        master: HOST.parse().unwrap(),
    };
    let console = Console::new(url, Secret::new("a-ticket")).unwrap();
    let short = Duration::from_secs(5);
    let console = console.with_deadlines(short, short);
    Client::new(desired(url, dir), ways, None, Some(console), || 0)
}

/// Told as it should be: the cause of the row, and as one clause.
#[track_caller]
fn as_reported(row: &str, told: &str) {
    let f = failure(row);
    assert!(told.contains(f.told), "{row}: {told}");
    let plain = told.split(" (in their words").next().unwrap();
    assert!(
        !plain.contains('\n') && !plain.ends_with('.'),
        "{row}: {told}"
    );
    // What to do about it stands behind a colon or a semicolon.
    assert!(plain.contains([':', ';']), "{row} has no next step: {told}");
    let first = plain.split(' ').next().unwrap();
    let is_a_name = matches!(first, "AdminRegistry") || first == HOST;
    assert!(
        is_a_name || first.starts_with(char::is_lowercase),
        "{row}: {told}"
    );
}

/// Publishes through a console that answers so, and tells why it failed.
async fn publish(replies: Replies, file_is_new: Option<bool>, within: Duration) -> String {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&replies.start(), dir.path());
    let publisher = Publisher::new(&client, dir.path());
    let node: NodeName = HOST.parse().unwrap();
    let binary = dir.path().join("program");
    std::fs::write(&binary, "a program").unwrap();
    let digest = Digest::of(b"a program");
    let evidence = Evidence {
        via: Via::Console,
        file_is_new,
        ..Evidence::of(OURS, &node)
    };
    let told = |ended: &Ended| {
        cause(&Evidence {
            ended,
            ..evidence.clone()
        })
    };
    let version = Version::new(3, 0, 17);
    let package = publisher
        .package(Via::Console, OURS, version, &binary, &digest)
        .await;
    let package = match package {
        Ok(package) => package,
        Err(fault) => {
            assert!(fault.nothing_happened, "{fault:?}");
            return told(&Ended::NotTaken(fault.text));
        }
    };
    let begun = publisher.begin(Via::Console, &node, OURS, &package).await;
    let number = match begun {
        Ok(number) => number,
        Err(fault) => {
            assert!(!fault.nothing_happened, "{fault:?}");
            return told(&Ended::Refused(fault.text));
        }
    };
    let ended = match publisher.standing(Via::Console, &number).await {
        Ok(Standing::Final { success, words }) if success => Ended::Success { words },
        Ok(Standing::Final { words, .. }) => Ended::Failed { words },
        Ok(Standing::Waiting) => panic!("it waits"),
        Ok(Standing::Running) => Ended::Stuck {
            last: "it runs".to_owned(),
            after: DEADLINE,
        },
        Err(last) => Ended::Stuck {
            last,
            after: DEADLINE,
        },
    };
    let notices = publisher.notices(Via::Console, &node, OURS, within).await;
    cause(&Evidence {
        ended: &ended,
        notices: &notices,
        ..evidence
    })
}

const WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn tasks_that_failed() {
    for task in TASKS {
        let replies = Replies::that_takes(task.said);
        let told = publish(replies, task.file_is_new, WITHIN).await;
        as_reported(task.row, &told);
    }
}

#[tokio::test]
async fn tasks_that_were_not_taken() {
    for (row, answer) in REFUSED {
        let replies = Replies::of_ours().with("add_task", answer);
        as_reported(row, &publish(replies, Some(false), WITHIN).await);
    }
}

#[tokio::test]
async fn packages_that_were_not_taken() {
    for (row, answer) in NOT_UPLOADED {
        let replies = Replies::of_ours().with("upload_patch_package", answer);
        as_reported(row, &publish(replies, Some(false), WITHIN).await);
    }
    // What the console would not take is not sent.
    let node = HOST.parse().unwrap();
    let why = "the platform does not take the package: x.tgz cannot be uploaded: it has more than 104857600 bytes";
    let told = cause(&Evidence {
        ended: &Ended::NotTaken(why.to_owned()),
        ..Evidence::of(OURS, &node)
    });
    as_reported("package-too-large", &told);
}

/// The reports of a node as they were recorded, without the newest that end before `from`.
fn reports(from: &str) -> String {
    let said: serde_json::Value = serde_json::from_str(&recorded("reports").2).unwrap();
    let rows = said["data"]["rows"].as_array().unwrap();
    let left: Vec<_> = rows
        .iter()
        .skip_while(|row| row["result"] != from)
        .collect();
    assert!(!left.is_empty());
    let text = serde_json::json!({
        "data": {"count": left.len(), "rows": left}, "ret_code": 200, "err_msg": ""
    });
    text.to_string()
        .replace("tars.tarsstat_", "tars.tarsquerystat_")
}

#[tokio::test]
async fn the_node_says_why_and_the_task_does_not() {
    // Those of the failure: what came after it was reported later.
    let replies =
        Replies::that_takes("fetch_failed").saying("server_notify_list", &reports("download succ"));
    let told = publish(replies, Some(false), WITHIN).await;
    as_reported("damaged-package", &told);
    // Another publication went well since, so that its words are not of this one.
    let replies =
        Replies::that_takes("fetch_failed").saying("server_notify_list", &reports("stop"));
    let told = publish(replies, Some(false), WITHIN).await;
    as_reported("fetch-fails", &told);
    assert!(!told.contains("MD5"), "{told}");
    // Nor are they where the task itself says why.
    let replies =
        Replies::that_takes("node_dead").saying("server_notify_list", &reports("download succ"));
    as_reported("dead-node", &publish(replies, None, WITHIN).await);
}

#[tokio::test]
async fn tasks_that_do_not_end() {
    // AdminRegistry published through itself, and away while it restarts.
    for said in ["still_running", "admin_restarting"] {
        let number = number_of("still_running");
        let taken = format!(r#"{{"data":"{number}","ret_code":200,"err_msg":""}}"#);
        let replies = Replies::of_ours()
            .saying("add_task", &taken)
            .with("task", said);
        as_reported("task-swallowed", &publish(replies, None, WITHIN).await);
    }
}

#[tokio::test]
async fn a_success_is_reported_as_success() {
    let dir = tempfile::tempdir().unwrap();
    let client = client(&Replies::that_takes("published_new").start(), dir.path());
    let publisher = Publisher::new(&client, dir.path());
    let number = number_of("published_new");
    let standing = publisher.standing(Via::Console, &number).await;
    assert!(matches!(
        standing,
        Ok(Standing::Final { success: true, .. })
    ));
}

#[tokio::test]
async fn a_console_whose_admin_registry_is_silent() {
    let dir = tempfile::tempdir().unwrap();
    let url = Replies::default()
        .with("web_version", "web_version_admin_down")
        .start();
    let all = checks(&desired(&url, dir.path()), Some(Ok(Secret::new("ticket")))).await;
    assert_eq!(all.len(), 3);
    for line in all {
        let told = "AdminRegistry does not answer the console";
        assert!(line.text.starts_with(told), "{}", line.text);
    }
}
