//! The scripts that go to hosts, with their variables, and their answers.

use base64::Engine as _;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::names::{AbsPath, ClusterName, RunId, UserName};
use tarsops_plan::action::{Content, FileChange, Folder, HostChange, Owner};
use tarsops_transport::Script;

use crate::record_limits::{self, HistoryError};
use crate::words::{ChangeWord, LeaseWord};

const UPLOAD: &str = include_str!("host/upload.sh");
const TREE: &str = include_str!("host/tree.sh");
/// The parts of a change, in their order.
const CHANGE: [&str; 13] = [
    include_str!("host/change/setup.sh"),
    include_str!("host/runs.sh"),
    include_str!("host/change/crontab.sh"),
    include_str!("host/change/process.sh"),
    include_str!("host/change/health.sh"),
    include_str!("host/change/rights.sh"),
    include_str!("host/change/owners.sh"),
    include_str!("host/change/check.sh"),
    include_str!("host/change/save.sh"),
    include_str!("host/change/act.sh"),
    include_str!("host/change/undo.sh"),
    include_str!("host/change/finish.sh"),
    include_str!("host/change/main.sh"),
];
const GUARD: &str = include_str!("host/guard.sh");
const LAUNCH: &str = include_str!("host/launch.sh");
const LEASE: &str = include_str!("host/lease.sh");
const HISTORY: &str = include_str!("host/history.sh");
const BINARY: &str = include_str!("host/binary.sh");
const RECORDS: &str = include_str!("host/records.sh");

/// Runs that a host keeps for `history` and `rollback`.
pub(crate) const RUNS_TO_RETAIN: u32 = 10;
/// Fifths of a second for which a process may end by itself.
const STOP_TICKS: u32 = 25;
/// Seconds for which the old state may take to be healthy again.
const UNDO_DEADLINE: u64 = 60;

/// Where tarsops works on a host: its scripts find their own folder there by these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The folder that holds `tars/`.
    pub install_path: AbsPath,
    /// The cluster: what is saved on a host belongs to one.
    pub cluster: ClusterName,
}

impl Place {
    /// The lines that stand before a payload that is sent.
    pub(crate) fn upload_head(&self, digest: &Digest, size: u64) -> String {
        format!(
            "{}\n{}\n{digest}\n{size}\n",
            self.install_path, self.cluster
        )
    }

    /// A script that works on our own records, up to its own part.
    pub(crate) fn records(&self) -> Script {
        let mut script = Script::new();
        script
            .set("R_INSTALL", self.install_path.as_str())
            .set("R_CLUSTER", self.cluster.as_str())
            .part(RECORDS);
        script
    }
}

/// The script that receives a payload.
pub(crate) fn upload() -> String {
    let mut script = Script::new();
    script.part(UPLOAD);
    script.into_text()
}

/// Where a change puts a folder that it removes, relative to the install path: beside the others, as
/// only within one file system a folder is moved in one step.
fn away(run: &RunId, step: &str) -> String {
    format!("tars/.tarsops/{run}.{step}")
}

/// Everything that a host needs for one change.
pub(crate) struct Launch<'a> {
    pub(crate) place: &'a Place,
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a str,
    pub(crate) change: &'a HostChange,
    pub(crate) holder: &'a str,
    pub(crate) intent: &'a str,
    /// The crontab afterwards: nothing to write, none at all, or this text or digest.
    pub(crate) crontab: &'a CrontabAfter,
    pub(crate) settle: u64,
    pub(crate) deadline: u64,
    pub(crate) stop_on_failure: bool,
    /// None where the host has no such clock.
    pub(crate) expires: Option<Expiry>,
}

/// The moment after which a launch does not begin, in the host's own time, which nobody can set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiry {
    /// Of which boot.
    pub(crate) boot_id: String,
    /// Hundredths of a second since that boot.
    pub(crate) uptime: u64,
}

impl Expiry {
    fn words(&self) -> String {
        format!("{} {}", self.boot_id, self.uptime)
    }
}

/// What becomes of the crontab.
pub(crate) enum CrontabAfter {
    /// It stays.
    Keep,
    /// There is none afterwards.
    None,
    /// It is this text.
    Text(String),
    /// It is a before-image: digest, and its path below `runs/`.
    Back(Digest, String),
}

/// What the waiting script does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Begin the change, if it has not begun.
    Start,
    /// Only wait for its verdict.
    Wait,
    /// End it by putting the old state back, if nobody works on it.
    Recover,
    /// End it with what is there now, if nobody works on it.
    Accept,
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Wait => "wait",
            Self::Recover => "recover",
            Self::Accept => "accept",
        }
    }
}

fn set(out: &mut Script, name: &str, value: &str) {
    out.set(name, value);
}

fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

fn word(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |d| d.to_string())
}

/// The variables that `change.sh` reads.
fn env(launch: &Launch<'_>) -> String {
    let c = launch.change;
    let mut out = Script::bare();
    let install = launch.place.install_path.as_str();
    set(&mut out, "T_INSTALL", install);
    set(&mut out, "T_TARS", c.tars_path.as_str());
    set(&mut out, "T_COMP", c.component.name());
    set(&mut out, "T_RUN", launch.run.as_str());
    set(&mut out, "T_STEP", launch.step);
    set(&mut out, "T_USER", c.run_user.as_str());
    set(&mut out, "T_CRON_USER", c.crontab_user().as_str());
    set(&mut out, "T_HOLDER", launch.holder);
    set(&mut out, "T_SUMMARY", &c.summary);
    set(&mut out, "T_MACHINE_ID", &c.machine_id);
    // Only tarsnode carries its node's name on its command line.
    let any = c.undoes().is_some() || c.component != Component::Tarsnode;
    let nodeid = if any { "any" } else { c.node.as_str() };
    set(&mut out, "T_NODEID", nodeid);
    let ip = if c.undoes().is_some() {
        "-".to_owned()
    } else {
        c.ip.to_string()
    };
    set(&mut out, "T_IP", &ip);
    let port = |p: Option<u16>| p.map_or_else(|| "-".to_owned(), |p| p.to_string());
    set(&mut out, "T_PORT", &port(c.port.after));
    set(&mut out, "T_PORT_BEFORE", &port(c.port.before));
    set(
        &mut out,
        "T_MAKE_USER",
        flag(c.owner() == Owner::NewRunUser),
    );
    set(&mut out, "T_OWN", flag(c.owner() != Owner::Unchanged));
    set(&mut out, "T_RESTART", flag(c.restarts()));
    set(&mut out, "T_HEALTH", flag(c.ends_healthy()));
    set(&mut out, "T_STOP_SERVERS", flag(c.stops_servers()));
    set(&mut out, "T_SETTLE", &launch.settle.to_string());
    set(&mut out, "T_DEADLINE", &launch.deadline.to_string());
    set(&mut out, "T_UNDO_DEADLINE", &UNDO_DEADLINE.to_string());
    set(&mut out, "T_STOP_TICKS", &STOP_TICKS.to_string());
    set(&mut out, "T_KEEP", &RUNS_TO_RETAIN.to_string());
    set(
        &mut out,
        "T_ON_FAILURE",
        if launch.stop_on_failure {
            "stop"
        } else if c.undoes().is_some() && c.component.is_basic() && c.folder() == Folder::Keep {
            // A rollback that does not start is not rolled back: what it replaced has failed.
            "caller"
        } else {
            "rollback"
        },
    );
    let folder = match c.folder() {
        Folder::Keep => "keep",
        Folder::Create => "create",
        Folder::Remove => "remove",
    };
    set(&mut out, "T_FOLDER", folder);
    set(&mut out, "T_AWAY", &away(launch.run, launch.step));
    let restore = c.restore();
    let back = restore.filter(|r| r.folder == Folder::Create);
    let back = back.map(|r| away(&r.undoes, &r.step));
    set(&mut out, "T_BACK_FROM", &back.unwrap_or_default());
    let owners = restore.filter(|r| r.owners);
    let owners = owners.map(|r| format!("{}/{}", r.undoes, r.step));
    set(&mut out, "T_OWNERS_FROM", &owners.unwrap_or_default());
    let before = c.crontab().as_ref().and_then(|c| c.before);
    set(&mut out, "T_CRON_BEFORE", &word(before));
    let after = match launch.crontab {
        CrontabAfter::Keep => "keep".to_owned(),
        CrontabAfter::None => "absent".to_owned(),
        CrontabAfter::Text(text) => Digest::of(text.as_bytes()).to_string(),
        CrontabAfter::Back(digest, _) => digest.to_string(),
    };
    set(&mut out, "T_CRON_AFTER", &after);
    out.into_text()
}

fn files(change: &HostChange) -> String {
    let line = |f: &FileChange| {
        format!(
            "{:o} {} {} {}\n",
            f.mode,
            word(f.before),
            word(f.after),
            f.path
        )
    };
    change.files().iter().map(line).collect()
}

/// The script that puts a change on its host, starts it and waits for its verdict.
pub(crate) fn launch(launch: &Launch<'_>) -> String {
    let mut out = waiting(launch.place, launch.run, launch.step, Mode::Start);
    let expires = launch.expires.as_ref().map(Expiry::words);
    set(&mut out, "L_EXPIRES", &expires.unwrap_or_default());
    set(&mut out, "L_ENV", &env(launch));
    set(&mut out, "L_FILES", &files(launch.change));
    set(&mut out, "L_INTENT", launch.intent);
    set(&mut out, "L_CHANGE", &change());
    set(&mut out, "L_TREE", &tree());
    set(&mut out, "L_GUARD", &guard());
    let mut texts: Vec<&str> = Vec::new();
    let mut saved = Vec::new();
    for file in launch.change.files() {
        match (&file.content, file.after) {
            (Content::Text(text), _) => texts.push(text),
            (Content::Before { run, step, index }, Some(after)) => {
                saved.push([after.to_string(), format!("{run}/{step}/before/{index}")]);
            }
            _ => {}
        }
    }
    match launch.crontab {
        CrontabAfter::Text(text) => texts.push(text),
        CrontabAfter::Back(digest, path) => saved.push([digest.to_string(), path.clone()]),
        CrontabAfter::Keep | CrontabAfter::None => {}
    }
    let texts: Vec<[String; 2]> = texts
        .into_iter()
        .map(|text| [Digest::of(text.as_bytes()).to_string(), text.to_owned()])
        .collect();
    out.calls("stage_texts", "stage", &texts)
        .calls("stage_saved", "stage_before", &saved)
        .part(LAUNCH);
    out.into_text()
}

/// The script of a change, as it is beside its data.
fn change() -> String {
    let mut script = Script::bare();
    for part in CHANGE {
        script.part(part);
    }
    script.into_text()
}

/// The script that works below the framework's folder, as it is beside a change.
fn tree() -> String {
    let mut script = Script::new();
    script.part(TREE);
    script.into_text()
}

/// The script that cron runs while a change is in progress.
fn guard() -> String {
    let mut script = Script::bare();
    script.part(GUARD);
    script.into_text()
}

fn waiting(place: &Place, run: &RunId, step: &str, mode: Mode) -> Script {
    let mut out = Script::new();
    set(&mut out, "L_INSTALL", place.install_path.as_str());
    set(&mut out, "L_CLUSTER", place.cluster.as_str());
    set(&mut out, "L_RUN", run.as_str());
    set(&mut out, "L_STEP", step);
    set(&mut out, "L_MODE", mode.word());
    set(&mut out, "L_EXPIRES", "");
    out
}

/// The script that waits for the verdict of a change, or has the host end it.
pub(crate) fn wait(place: &Place, run: &RunId, step: &str, mode: Mode) -> String {
    let mut out = waiting(place, run, step, mode);
    out.part(LAUNCH);
    out.into_text()
}

/// What a host says of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChangeReport {
    /// Its verdict: a word, none where it is not known here; one line for people; the end of the host's log.
    Verdict {
        word: Option<ChangeWord>,
        text: String,
        log: Vec<String>,
    },
    /// Nobody works on it and no verdict came.
    Lost { log: Vec<String> },
}

fn plain(word: Option<&str>) -> String {
    let word = word.unwrap_or("-");
    base64::engine::general_purpose::STANDARD
        .decode(word)
        .map(|b| display::block(&String::from_utf8_lossy(&b)).into_owned())
        .unwrap_or_default()
}

/// Reads the answer of the waiting script; `None` if it is not whole.
pub(crate) fn read_report(stdout: &[u8]) -> Option<ChangeReport> {
    let text = String::from_utf8_lossy(stdout);
    let mut lines = text
        .lines()
        .skip_while(|l| *l != "tarsops-change/1")
        .skip(1);
    let first = lines.next()?;
    let log = lines.next()?.strip_prefix("log ")?.to_owned();
    if lines.next() != Some("end") {
        return None;
    }
    let log: Vec<String> = plain(Some(&log)).lines().map(str::to_owned).collect();
    if first == "lost" {
        return Some(ChangeReport::Lost { log });
    }
    let mut words = first.strip_prefix("verdict ")?.split(' ');
    Some(ChangeReport::Verdict {
        word: words.next()?.parse().ok(),
        text: plain(words.next()),
        log,
    })
}

/// What the lease script does.
#[derive(Clone, Copy)]
pub(crate) enum LeaseMode {
    /// Take it.
    Acquire,
    /// Say that we live.
    Renew,
    /// Give it back.
    Release,
}

/// The lease script for the master.
pub(crate) fn lease(
    place: &Place,
    run: &RunId,
    holder: &str,
    ttl: u64,
    spec: &Digest,
    mode: LeaseMode,
) -> String {
    let mut out = Script::new();
    set(&mut out, "E_INSTALL", place.install_path.as_str());
    set(&mut out, "E_CLUSTER", place.cluster.as_str());
    set(&mut out, "E_RUN", run.as_str());
    set(&mut out, "E_HOLDER", holder);
    set(&mut out, "E_TTL", &ttl.to_string());
    set(&mut out, "E_SPEC", &spec.to_string());
    let word = match mode {
        LeaseMode::Acquire => "acquire",
        LeaseMode::Renew => "renew",
        LeaseMode::Release => "release",
    };
    set(&mut out, "E_MODE", word);
    out.part(LEASE);
    out.into_text()
}

/// Reads the answer of the lease script: its word and what follows.
pub(crate) fn read_lease(stdout: &[u8]) -> Option<(LeaseWord, Vec<String>)> {
    let text = String::from_utf8_lossy(stdout);
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix("tarsops-lease/1 "))?;
    let mut words = line.split(' ');
    let word = words.next()?.parse().ok()?;
    Some((word, words.map(|w| plain(Some(w))).collect()))
}

/// The script that prints a component's installed binary. Root reads it with the rights of whoever can
/// put files there, so that a link leads no further than that user can read. A host that continues after
/// we have left does so for `seconds` at most.
#[must_use]
pub fn send_binary(
    place: &Place,
    run_user: &UserName,
    component: Component,
    seconds: u64,
) -> String {
    let mut script = Script::new();
    script
        .set("G_INSTALL", place.install_path.as_str())
        .set("G_CLUSTER", place.cluster.as_str())
        .set("G_USER", run_user.as_str())
        .set("G_COMPONENT", component.name())
        .set("G_SECONDS", &seconds.to_string())
        .part(BINARY);
    script.into_text()
}

/// The script that tells what a host remembers of runs.
pub(crate) fn history(place: &Place, limit: usize) -> String {
    let mut out = Script::new();
    set(&mut out, "H_INSTALL", place.install_path.as_str());
    set(&mut out, "H_CLUSTER", place.cluster.as_str());
    set(&mut out, "H_LIMIT", &limit.to_string());
    out.part(HISTORY);
    out.into_text()
}

/// One change that a host remembers, as it tells it.
pub(crate) struct ChangeRecord {
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) intent: String,
    pub(crate) verdict: String,
    pub(crate) text: String,
    pub(crate) gate: String,
}

/// Reads the answer of the history script.
///
/// # Errors
/// A [`HistoryError`] if it is not whole, or says more than is read.
pub(crate) fn read_history(stdout: &[u8]) -> Result<Vec<ChangeRecord>, HistoryError> {
    let text = String::from_utf8_lossy(stdout);
    let mut out = Vec::new();
    let mut lines = text.lines().skip_while(|l| *l != "tarsops-history/1");
    lines.next().ok_or(HistoryError::NotWhole)?;
    for line in lines {
        if line == "end" {
            return Ok(out);
        }
        // A line of blanks alone would cost sixteen times its size.
        let words: Vec<&str> = line.splitn(8, ' ').collect();
        if let ["change", run, step, intent, verdict, text, gate] = words.as_slice() {
            if run.len().max(step.len()).max(verdict.len()) > record_limits::NAME {
                return Err(HistoryError::NotWhole);
            }
            if intent.len() / 4 * 3 > record_limits::INTENT {
                let (run, step) = ((*run).to_owned(), (*step).to_owned());
                return Err(HistoryError::Intent { run, step });
            }
            if out.len() == record_limits::CHANGES {
                return Err(HistoryError::Changes);
            }
            let sentence =
                |word| display::cut(&plain(Some(word)), record_limits::SENTENCE).into_owned();
            out.push(ChangeRecord {
                run: (*run).to_owned(),
                step: (*step).to_owned(),
                intent: plain(Some(intent)),
                verdict: (*verdict).to_owned(),
                text: sentence(text),
                gate: sentence(gate),
            });
        }
    }
    Err(HistoryError::NotWhole)
}

/// What the upload script said: `Ok`, or why not.
pub(crate) fn read_upload(stdout: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(stdout);
    match text
        .lines()
        .find_map(|l| l.strip_prefix("tarsops-upload/1 "))
    {
        Some("ok") => Ok(()),
        Some(other) => Err(other.trim_start_matches("failed ").to_owned()),
        None => Err("the host did not confirm the payload".to_owned()),
    }
}

/// They look into what is private here, and are many.
#[cfg(test)]
#[path = "../tests/host/mod.rs"]
#[allow(clippy::unwrap_used, reason = "tests")]
mod host;

/// Writes rows that are about to be deleted into a file of their own, for its owner only. Prints
/// `kept PATH`.
#[must_use]
pub(crate) fn save_rows(place: &Place, name: &str, rows: &str) -> String {
    let mut script = place.records();
    script
        .set("R_NAME", name)
        .set("R_ROWS", rows)
        .part(include_str!("host/records/save-rows.sh"));
    script.into_text()
}

/// Prints rows that were written down; nothing where there are none.
#[must_use]
pub(crate) fn saved_rows(place: &Place, name: &str) -> String {
    let mut script = place.records();
    script
        .set("R_NAME", name)
        .part(include_str!("host/records/print-rows.sh"));
    script.into_text()
}

/// Keeps labels of the node's row, or forgets them. Prints `kept`.
#[must_use]
pub(crate) fn save_labels(place: &Place, labels: Option<&str>) -> String {
    let mut script = place.records();
    script
        .set("R_LABELS", labels.unwrap_or_default())
        .set("R_FORGET", flag(labels.is_none()))
        .part(include_str!("host/records/labels.sh"));
    script.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_not_whole_are_no_answers() {
        let whole = "banner\ntarsops-change/1\nverdict ok ZG9uZQ==\nlog YQpi\nend\n";
        assert_eq!(
            read_report(whole.as_bytes()),
            Some(ChangeReport::Verdict {
                word: Some(ChangeWord::Ok),
                text: "done".into(),
                log: vec!["a".into(), "b".into()]
            })
        );
        for cut in 0..whole.len() - 1 {
            assert_eq!(read_report(&whole.as_bytes()[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_handed_on() {
        let answer = "tarsops-change/1\nverdict ok Gx0xbWENCg==\nlog -\nend\n";
        let Some(ChangeReport::Verdict { text, .. }) = read_report(answer.as_bytes()) else {
            panic!("no verdict");
        };
        assert!(!text.contains(['\u{1b}', '\r', '\u{1d}']), "{text:?}");
    }

    #[test]
    fn what_a_host_remembers_has_limits() {
        let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
        let answer = |lines: &str| format!("tarsops-history/1\n{lines}end\n");
        let change = |run: &str, intent: &str, text: &str| {
            let (intent, text) = (encode(intent), encode(text));
            format!("change {run} step {intent} ok {text} -\n")
        };
        let read = |lines: &str| read_history(answer(lines).as_bytes());
        let failure = |lines: &str| read(lines).map(|all| all.len()).unwrap_err();

        let most = change("r", "{}", "x").repeat(record_limits::CHANGES);
        assert_eq!(read(&most).unwrap().len(), record_limits::CHANGES);
        let more = format!("{most}{}", change("r", "{}", "x"));
        assert_eq!(failure(&more), HistoryError::Changes);

        assert!(read(&change("r", &"x".repeat(record_limits::INTENT - 3), "x")).is_ok());
        let large = failure(&change("r7", &"x".repeat(record_limits::INTENT + 3), "x"));
        assert_eq!(
            large.to_string(),
            "the record of step step of run r7 is larger than 512 KiB"
        );

        let long = read(&change(
            "r",
            "{}",
            &"x".repeat(10 * record_limits::SENTENCE),
        ))
        .unwrap();
        assert!(long[0].text.len() < record_limits::SENTENCE + 100);
        assert!(long[0].text.ends_with("more bytes)"), "{}", long[0].text);

        let name = "r".repeat(record_limits::NAME + 1);
        assert_eq!(failure(&change(&name, "{}", "x")), HistoryError::NotWhole);
        // Many words are no change, and are passed over as other lines that we do not know.
        assert!(
            read(&format!("change{}\n", " ".repeat(1 << 20)))
                .unwrap()
                .is_empty()
        );
        assert_eq!(
            read_history(b"tarsops-history/1\n").map(|a| a.len()),
            Err(HistoryError::NotWhole)
        );
    }

    #[test]
    fn no_script_asks_for_a_rebuild() {
        let scripts = [
            tarsops_transport::script::prelude(),
            &CHANGE.concat(),
            TREE,
            GUARD,
            LAUNCH,
            LEASE,
            HISTORY,
            UPLOAD,
            BINARY,
            RECORDS,
        ];
        for script in scripts {
            assert!(!script.to_lowercase().contains("rebuild"));
        }
    }
}
