//! Why a publication did not come about, in plain words.
//!
//! The platform's words are prose in several languages, or none ("system error"). What is known to
//! be behind them is reported as what / where / next step; their own words follow, so that nothing is
//! lost where we are wrong. Words were recorded on a real cluster; the files that make them stand
//! beside each.

use std::fmt::Write as _;
use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_plan::action::Via;

/// How long what a task calls failed may take to happen all the same: a node that was busy for over 5 s
/// was seen to change its files 12 s later.
pub(super) const LATE: Duration = Duration::from_secs(20);

/// How the task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The host showed the new program before the task had ended.
    Seen,
    /// The task calls itself a success.
    Success {
        /// Its words.
        words: String,
    },
    /// The task calls itself failed, or called off.
    Failed {
        /// Its words.
        words: String,
    },
    /// The task was not taken, and may be carried out all the same.
    Refused(String),
    /// The task has no end within our deadline.
    Stuck {
        /// Its last state.
        last: String,
        /// Seconds that were waited.
        after: u64,
    },
    /// tarspatch has no such package, in its words; no task was begun.
    NotFound(String),
    /// The package or the task was not taken, and it is sure that nothing happens.
    NotTaken(String),
}

/// All that is known when a publication has failed.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The server.
    pub component: Component,
    /// Where.
    pub node: &'a NodeName,
    /// By which way.
    pub via: Via,
    /// How the task ended.
    pub ended: &'a Ended,
    /// What the host lacks, as it was last seen.
    pub host: &'a str,
    /// What was reported of the server meanwhile, newest first.
    pub notices: &'a [String],
    /// Whether the announced program is there; none where that could not be seen.
    pub file_is_new: Option<bool>,
    /// Whether what is there is neither that nor what was there before.
    pub torn: bool,
}

impl<'a> Evidence<'a> {
    /// Nothing is known yet.
    #[must_use]
    pub const fn of(component: Component, node: &'a NodeName) -> Self {
        Self {
            component,
            node,
            via: Via::Tars,
            ended: &Ended::Seen,
            host: "",
            notices: &[],
            file_is_new: None,
            torn: false,
        }
    }

    /// The words of the task.
    fn task(&self) -> &str {
        match self.ended {
            Ended::Success { words } | Ended::Failed { words } => words,
            Ended::Refused(words) | Ended::NotFound(words) | Ended::NotTaken(words) => words,
            Ended::Stuck { last, .. } => last,
            Ended::Seen => "",
        }
    }

    /// What is repeated of their words: those of the task, and the newest of the node that tells more
    /// than that all goes its way.
    fn quoted(&self) -> String {
        let node = self.notices.iter().find(|words| !is_routine(words));
        // How a task that has no end stood last is reported with the cause.
        let task = match self.ended {
            Ended::Stuck { .. } => None,
            _ => Some(self.task()),
        };
        let all = [task, node.map(String::as_str)];
        let all: Vec<String> = all
            .into_iter()
            .flatten()
            .map(|words| words.trim().replace('\n', " "))
            .filter(|words| !words.is_empty())
            .map(|words| words.chars().take(300).collect())
            .collect();
        all.join("; ")
    }
}

/// Whether the package's file is not the one whose MD5 is known.
#[must_use]
pub fn is_damaged(evidence: &Evidence<'_>) -> bool {
    let mut words = std::iter::once(evidence.task());
    let mut notices = evidence.notices.iter().map(String::as_str);
    let says = |words: &str| words.contains("md5 is not equal");
    words.any(says) || notices.any(says)
}

/// Whether a node reports this of publications that go well, too.
fn is_routine(words: &str) -> bool {
    matches!(words, "" | "stop" | "restart" | "download succ")
        || words.starts_with("shm key:")
        || (words.starts_with("patch ") && words.contains(" succ, version"))
}

/// The cause, and the next step, as one lowercase clause.
#[must_use]
pub fn cause(evidence: &Evidence<'_>) -> String {
    let quoted = evidence.quoted();
    let plain = match (plain(evidence), evidence.ended) {
        (Some(plain), _) => plain,
        // What was not taken is explained by who did not take it.
        (None, Ended::NotTaken(words)) => return words.clone(),
        (None, _) => by_end(evidence),
    };
    let mut out = plain;
    if !quoted.is_empty() {
        let _ = write!(out, " (in their words: {quoted})");
    }
    if !evidence.host.is_empty() && !matches!(evidence.ended, Ended::NotFound(_)) {
        let _ = write!(out, "; on the host, {}", evidence.host);
    }
    out
}

/// What is known to be behind words. Those of the task come first: what the node has reported may be
/// of an earlier publication.
fn plain(e: &Evidence<'_>) -> Option<String> {
    if e.torn {
        return Some(format!(
            "the file on {} is neither the old {} nor the new one, but a part of one: check the free space on its disk, and whether somebody else publishes there",
            e.node, e.component
        ));
    }
    match e.ended {
        Ended::NotTaken(words) => return by_platform(e, words),
        Ended::Refused(words) | Ended::Stuck { last: words, .. } => {
            if let Some(text) = by_platform(e, words) {
                return Some(text);
            }
        }
        Ended::NotFound(_) => return Some(not_found(e)),
        _ => {}
    }
    let mut words = std::iter::once(e.task()).chain(e.notices.iter().map(String::as_str));
    words.find_map(|words| by_message(e, words)).or_else(|| {
        e.task().contains("getPatchPercent").then(|| {
            format!(
                "the tarsnode of {} could not fetch or unpack the package of {}: check the free space on its disk, and its log in app_log/tars/tarsnode there",
                e.node, e.component
            )
        })
    })
}

fn not_found(e: &Evidence<'_>) -> String {
    match e.via {
        Via::Console => "tarspatch does not find the package that the management platform has taken: the two do not share their folder of packages (on the host of the platform `patchs/tars.upload`, in the template tars.tarspatch `uploadDirectory`), or somebody has deleted it; let them share it, or apply again".to_owned(),
        Via::Tars => "tarspatch does not find the package that it has taken itself: somebody has deleted it, or its disk is full; free space, and apply again".to_owned(),
    }
}

/// What is behind an answer of the management platform that is no success.
fn by_platform(e: &Evidence<'_>, words: &str) -> Option<String> {
    let component = e.component;
    let says = |needle: &str| words.contains(needle);
    let text = if says("does not accept the ticket") {
        "the management platform does not accept the ticket: create a new token there, and store it where `web.ticket` says".to_owned()
    } else if says("takes no more requests") {
        "the management platform has had more requests from this address than it takes in ten minutes: apply again when it takes them".to_owned()
    } else if says("File too large") || says("it has more than") {
        format!(
            "the package of {component} is larger than the management platform takes: leave `web` out of the spec, so that it is published straight through Tars"
        )
    } else if says("Sequelize") {
        "the management platform does not reach its database: check that it runs, and apply again"
            .to_owned()
    } else if says("upload_patch_package") && says("system error") {
        format!(
            "the management platform did not accept the package of {component} and does not say why: check the free space on its disk, and its log, and apply again"
        )
    } else {
        return None;
    };
    Some(text)
}

/// What is behind words of a task or of a node.
fn by_message(e: &Evidence<'_>, words: &str) -> Option<String> {
    let (component, node) = (e.component, e.node);
    let says = |needle: &str| words.contains(needle);
    // PatchServer/PatchImp.cpp, preparePatchFile.
    let text = if says("not exists!") {
        not_found(e)
    // AdminRegistryServer/AdminRegistryImp.cpp, prepareInfo_inner. Without a number it has none to
    // look for.
    } else if says("load patch info from database error") {
        let number = words.rsplit("patchId:").next().unwrap_or_default().trim();
        if number.parse::<u64>().is_ok() {
            "the database has no row of the package any more (AdminRegistry keeps the newest of each server): apply again, which uploads it again".to_owned()
        } else {
            "AdminRegistry got no number of a package: the management platform lost it; check that its version is that of the framework, or leave `web` out of the spec".to_owned()
        }
    // AdminRegistryServer/ExecuteTask.cpp, executeSingleTask.
    } else if says("command not support!") {
        "AdminRegistry does not know the command `patch_tars`: upgrade tarsAdminRegistry to the version of the spec first".to_owned()
    // NodeServer/CommandPatch.cpp, download.
    } else if says("md5 is not equal") {
        format!(
            "the package that {node} fetched is not the one that was uploaded (its MD5 differs): another package of {component} was published at the same time, the disk of {node} is full, or the package's file is damaged, and the next apply uploads it again; see the disk, and apply again when nobody else publishes"
        )
    } else if says("preparePatchFile error") {
        if says("errno:") || says("imeout") {
            "tarspatch does not answer AdminRegistry, so no package was made ready: check that tarspatch runs (`tarsops status`), and apply again".to_owned()
        } else {
            "tarspatch could not make the package ready: check the free space and the rights of its folder `TARSBatchPatching`, and apply again".to_owned()
        }
    // AdminRegistryServer/NodeManager.cpp: there is no connection of that node.
    } else if says("autoptr null handle") || says("ret:1012") || says("ret:1001") {
        format!(
            "AdminRegistry has no connection to the tarsnode of {node}: check that tarsnode runs there and reaches AdminRegistry's port 12000"
        )
    // NodeServer/ServerManager.cpp, patchPro. Without a reason the registry had the server, and the
    // node was not free: that was seen where another publication of it had just begun there.
    } else if says("patchPro:") && says("|load ") {
        if words.trim_end().ends_with('|') {
            format!(
                "the tarsnode of {node} did not accept the package of {component}, because another publication of it was in progress there, perhaps the last one, if its download was cut off: apply again in a minute, when nobody else publishes"
            )
        } else {
            format!(
                "the tarsnode of {node} could not load {component} from the registry: its row, its adapters or its template are missing or cannot be read; mend them, and apply again"
            )
        }
    } else if says("cannot patch the server") || says("reduplicate patch request") {
        format!(
            "a publication of {component} on {node} was already in progress: wait for it, and apply again"
        )
    } else if says("et:1002")
        || says("Timeout")
        || says("TIMEOUT")
        || says("invoke timeout")
        || says("errno:-7")
    {
        format!(
            "{node} was busy or silent for longer than AdminRegistry waits; it may still carry the task out: look again in a minute before you repeat it"
        )
    // NodeServer/SingleFileDownloader.cpp.
    } else if says("download error:") || says("download from patch") {
        format!(
            "the tarsnode of {node} could not fetch the package of {component} from tarspatch: check that it reaches tarspatch's port 18793, and the free space on its disk"
        )
    } else if says("is not exist") {
        format!(
            "{component} has no program or start script on {node}: its `exe_path` leads elsewhere; mend that, and apply again"
        )
    // NodeServer/CommandStop.cpp, as the stop before the start says it; of the start there is no word.
    } else if says("server state is Inactive") && matches!(e.ended, Ended::Failed { .. }) {
        format!(
            "the tarsnode of {node} never saw {component} become active, whether or not its process runs: see its log in app_log/tars/{component} there"
        )
    } else {
        return None;
    };
    Some(text)
}

/// The cause where no word is known.
fn by_end(e: &Evidence<'_>) -> String {
    let (component, node) = (e.component, e.node);
    match (e.ended, e.file_is_new) {
        (Ended::Stuck { last, after }, _) => format!(
            "the task of {component} on {node} has not ended within {after} s: {last}; it may still be carried out, so plan again (`tarsops plan`) before you repeat it"
        ),
        (Ended::Refused(_), _) => format!(
            "the task of {component} on {node} was not accepted, and was not carried out within {} s either: check that AdminRegistry runs (`tarsops status`), and apply again",
            LATE.as_secs()
        ),
        (Ended::Success { .. }, Some(false)) => format!(
            "the task says that it succeeded, and {node} still has another program: the archive had no file {component}, or the server's `exe_path` is another path; check its row"
        ),
        (_, Some(true)) if e.host.contains("the running binary") => format!(
            "the new {component} is on {node} and was not started: its tarsnode was busy, did not answer or ended; see its log in app_log/tars/tarsnode there"
        ),
        (_, Some(true)) => format!(
            "the new {component} does not start on {node}: see its log in app_log/tars/{component} there"
        ),
        (Ended::Failed { .. }, _) => format!(
            "the task of {component} on {node} failed without a known message: see the logs of tarsAdminRegistry, and of tarsnode there"
        ),
        _ => format!(
            "{component} on {node} did not become what was published: see its log in app_log/tars/{component} there"
        ),
    }
}
