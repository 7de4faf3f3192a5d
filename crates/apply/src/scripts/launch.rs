//! The script that has a host make a change, or end one, and its report.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::RunId;
use tarsops_plan::action::{Content, FileChange, Folder, HostChange, Owner};
use tarsops_transport::Script;

use super::text::{flag, harmless};
use crate::place::{Place, RUNS_TO_RETAIN};
use crate::words::ChangeWord;

pub(super) const TREE: &str = include_str!("../host/tree.sh");
/// What every change that runs detached has.
pub(super) const DETACHED: &str = include_str!("../host/detached.sh");
/// The parts of a change, in their order.
pub(super) const CHANGE: [&str; 14] = [
    include_str!("../host/change/setup.sh"),
    DETACHED,
    include_str!("../host/runs.sh"),
    include_str!("../host/change/crontab.sh"),
    include_str!("../host/change/process.sh"),
    include_str!("../host/change/health.sh"),
    include_str!("../host/change/rights.sh"),
    include_str!("../host/change/owners.sh"),
    include_str!("../host/change/check.sh"),
    include_str!("../host/change/save.sh"),
    include_str!("../host/change/act.sh"),
    include_str!("../host/change/undo.sh"),
    include_str!("../host/change/finish.sh"),
    include_str!("../host/change/main.sh"),
];
pub(super) const GUARD: &str = include_str!("../host/guard.sh");
pub(super) const LAUNCH: &str = include_str!("../host/launch.sh");

/// Fifths of a second for which a process may end by itself.
const STOP_TICKS: u32 = 25;
/// Seconds for which the old state may take to be healthy again.
const UNDO_DEADLINE: u64 = 60;

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
pub struct Expiry {
    /// Of which boot.
    pub boot_id: String,
    /// Hundredths of a second since that boot.
    pub uptime: u64,
}

impl Expiry {
    pub(super) fn words(&self) -> String {
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

fn word(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "absent".to_owned(), |d| d.to_string())
}

/// The variables that `change.sh` reads.
pub(super) fn env(launch: &Launch<'_>) -> String {
    let mut out = Script::bare();
    name(launch, &mut out);
    conduct(launch, &mut out);
    effect(launch, &mut out);
    out.into_text()
}

/// What changes, where, and by whom.
fn name(launch: &Launch<'_>, out: &mut Script) {
    let c = launch.change;
    // Only tarsnode carries its node's name on its command line.
    let any = c.undoes().is_some() || c.component != Component::Tarsnode;
    let nodeid = if any { "any" } else { c.node.as_str() };
    let ip = if c.undoes().is_some() {
        "-".to_owned()
    } else {
        c.ip.to_string()
    };
    let port = |p: Option<u16>| p.map_or_else(|| "-".to_owned(), |p| p.to_string());
    out.set("T_INSTALL", launch.place.install_path.as_str())
        .set("T_TARS", c.tars_path.as_str())
        .set("T_COMP", c.component.name())
        .set("T_RUN", launch.run.as_str())
        .set("T_STEP", launch.step)
        .set("T_USER", c.run_user.as_str())
        .set("T_CRON_USER", c.crontab_user().as_str())
        .set("T_HOLDER", launch.holder)
        .set("T_SUMMARY", &c.summary)
        .set("T_MACHINE_ID", &c.machine_id)
        .set("T_NODEID", nodeid)
        .set("T_IP", &ip)
        .set("T_PORT", &port(c.port.after))
        .set("T_PORT_BEFORE", &port(c.port.before));
}

/// How the script proceeds, and for how long.
fn conduct(launch: &Launch<'_>, out: &mut Script) {
    let c = launch.change;
    let on_failure = if launch.stop_on_failure {
        "stop"
    } else if c.is_last_resort() {
        "caller"
    } else {
        "rollback"
    };
    out.set("T_MAKE_USER", flag(c.owner() == Owner::NewRunUser))
        .set("T_OWN", flag(c.owner() != Owner::Unchanged))
        .set("T_RESTART", flag(c.restarts()))
        .set("T_HEALTH", flag(c.ends_healthy()))
        .set("T_STOP_SERVERS", flag(c.stops_servers()))
        .set("T_SETTLE", &launch.settle.to_string())
        .set("T_DEADLINE", &launch.deadline.to_string())
        .set("T_UNDO_DEADLINE", &UNDO_DEADLINE.to_string())
        .set("T_STOP_TICKS", &STOP_TICKS.to_string())
        .set("T_KEEP", &RUNS_TO_RETAIN.to_string())
        .set("T_ON_FAILURE", on_failure);
}

/// What becomes of folder, owners and crontab.
fn effect(launch: &Launch<'_>, out: &mut Script) {
    let c = launch.change;
    let folder = match c.folder() {
        Folder::Keep => "keep",
        Folder::Create => "create",
        Folder::Remove => "remove",
    };
    let restore = c.restore();
    let back = restore.filter(|r| r.folder == Folder::Create);
    let back = back.map(|r| away(&r.undoes, &r.step));
    let owners = restore.filter(|r| r.owners);
    let owners = owners.map(|r| format!("{}/{}", r.undoes, r.step));
    let before = c.crontab().as_ref().and_then(|c| c.before);
    let after = match launch.crontab {
        CrontabAfter::Keep => "keep".to_owned(),
        CrontabAfter::None => "absent".to_owned(),
        CrontabAfter::Text(text) => Digest::of(text.as_bytes()).to_string(),
        CrontabAfter::Back(digest, _) => digest.to_string(),
    };
    out.set("T_FOLDER", folder)
        .set("T_AWAY", &away(launch.run, launch.step))
        .set("T_BACK_FROM", &back.unwrap_or_default())
        .set("T_OWNERS_FROM", &owners.unwrap_or_default())
        .set("T_CRON_BEFORE", &word(before))
        .set("T_CRON_AFTER", &after);
}

pub(super) fn files(change: &HostChange) -> String {
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
    let out = waiting(launch.place, launch.run, launch.step, Mode::Start);
    let staged = Staged {
        expires: launch.expires.as_ref(),
        env: env(launch),
        files: files(launch.change),
        intent: launch.intent,
        change: change(),
        tree: tree(),
        texts,
        saved,
    };
    staged.launched_by(out)
}

/// What is put on a host before its change is started.
pub(super) struct Staged<'a> {
    /// After which moment it does not begin; none where the host has no such clock.
    pub(super) expires: Option<&'a Expiry>,
    /// The variables of its script.
    pub(super) env: String,
    /// Its files, a line each.
    pub(super) files: String,
    /// What the host remembers of it.
    pub(super) intent: &'a str,
    /// Its script.
    pub(super) change: String,
    /// What its script reads first.
    pub(super) tree: String,
    /// Texts, each with its digest.
    pub(super) texts: Vec<[String; 2]>,
    /// What earlier changes saved: digest and path.
    pub(super) saved: Vec<[String; 2]>,
}

impl Staged<'_> {
    /// The script `out`, which waits for a change, with all that starts it.
    pub(super) fn launched_by(&self, mut out: Script) -> String {
        let expires = self.expires.map(Expiry::words);
        out.set("L_EXPIRES", &expires.unwrap_or_default())
            .set("L_ENV", &self.env)
            .set("L_FILES", &self.files)
            .set("L_INTENT", self.intent)
            .set("L_CHANGE", &self.change)
            .set("L_TREE", &self.tree)
            .set("L_GUARD", &guard())
            .calls("stage_texts", "stage", &self.texts)
            .calls("stage_saved", "stage_before", &self.saved)
            .part(LAUNCH);
        out.into_text()
    }

    /// The files of the change as they are on its host afterwards.
    #[cfg(test)]
    pub(super) fn on_host(self) -> [(&'static str, String); 6] {
        [
            ("env", self.env),
            ("files", self.files),
            ("intent", self.intent.to_owned()),
            ("tree.sh", self.tree),
            ("guard.sh", guard()),
            ("change.sh", self.change),
        ]
    }
}

/// The script of a change, as it is beside its data.
pub(super) fn change() -> String {
    joined(&CHANGE)
}

/// One script of its parts.
pub(super) fn joined(parts: &[&str]) -> String {
    let mut script = Script::bare();
    for part in parts {
        script.part(part);
    }
    script.into_text()
}

/// The script that works below the framework's folder, as it is beside a change.
pub(super) fn tree() -> String {
    let mut script = Script::new();
    script.part(TREE);
    script.into_text()
}

/// The script that cron runs while a change is in progress.
pub(super) fn guard() -> String {
    joined(&[GUARD])
}

pub(super) fn waiting(place: &Place, run: &RunId, step: &str, mode: Mode) -> Script {
    let mut out = Script::new();
    out.set("L_INSTALL", place.install_path.as_str());
    out.set("L_CLUSTER", place.cluster.as_str());
    out.set("L_RUN", run.as_str());
    out.set("L_STEP", step);
    out.set("L_MODE", mode.word());
    out.set("L_EXPIRES", "");
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

/// Reads the answer of the waiting script; `None` if it is not whole.
pub(crate) fn read_report(stdout: &[u8]) -> Option<ChangeReport> {
    let text = String::from_utf8_lossy(stdout);
    let mut lines = text
        .split_inclusive('\n')
        .skip_while(|l| *l != "tarsops-change/2\n")
        .skip(1);
    let first = lines.next()?;
    let mut log = Vec::new();
    loop {
        match lines.next()? {
            "end\n" => break,
            line => log.push(harmless(line.strip_prefix('+')?)),
        }
    }
    if first == "lost\n" {
        return Some(ChangeReport::Lost { log });
    }
    let (word, text) = first.strip_prefix("verdict ")?.split_once(' ')?;
    Some(ChangeReport::Verdict {
        word: word.parse().ok(),
        text: harmless(text),
        log,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_not_whole_are_no_answers() {
        let whole = "banner\ntarsops-change/2\nverdict ok done\n+a\n+end\nend\n";
        assert_eq!(
            read_report(whole.as_bytes()),
            Some(ChangeReport::Verdict {
                word: Some(ChangeWord::Ok),
                text: "done".into(),
                log: vec!["a".into(), "end".into()]
            })
        );
        for cut in 0..whole.len() - 1 {
            assert_eq!(read_report(&whole.as_bytes()[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_handed_on() {
        let answer = "tarsops-change/2\nverdict ok \u{1b}\u{1d}1ma\r\nend\n";
        let Some(ChangeReport::Verdict { text, .. }) = read_report(answer.as_bytes()) else {
            panic!("no verdict");
        };
        assert!(!text.contains(['\u{1b}', '\r', '\u{1d}']), "{text:?}");
    }
}
