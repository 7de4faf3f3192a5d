//! Why a publication did not come about, in plain words.
//!
//! The platform's words are prose in several languages, or none ("system error"). What is known to
//! be behind them is told as what / where / next step; their own words follow, so that nothing is
//! lost where we are wrong. Words were recorded on a real cluster; the files that make them stand
//! beside each.

use std::fmt::Write as _;

use tarsops_model::component::Component;
use tarsops_model::names::NodeName;
use tarsops_plan::action::Via;

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
        /// What was last heard of it.
        last: String,
        /// Seconds that were waited.
        after: u64,
    },
    /// tarspatch has no such package, in its words; no task was begun.
    NotFound(String),
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
    /// Whether the announced program lies there; none where that could not be seen.
    pub file_is_new: Option<bool>,
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
        }
    }

    /// The words of the task and of the node, in which a cause may stand.
    fn words(&self) -> Vec<&str> {
        let task = match self.ended {
            Ended::Success { words } | Ended::Failed { words } | Ended::Refused(words) => {
                Some(words.as_str())
            }
            Ended::NotFound(words) => Some(words.as_str()),
            Ended::Stuck { last, .. } => Some(last.as_str()),
            Ended::Seen => None,
        };
        task.into_iter()
            .chain(self.notices.iter().map(String::as_str))
            .filter(|w| !w.is_empty())
            .collect()
    }

    fn says(&self, needle: &str) -> bool {
        self.words().iter().any(|w| w.contains(needle))
    }
}

/// The cause, and the next step, as one lowercase clause.
#[must_use]
pub fn cause(evidence: &Evidence<'_>) -> String {
    let plain = plain(evidence);
    let mut out = plain;
    if let Some(word) = evidence.words().first() {
        let word: String = word.chars().take(300).collect();
        let _ = write!(out, " (in their words: {})", word.trim().replace('\n', " "));
    }
    if !evidence.host.is_empty() && !matches!(evidence.ended, Ended::NotFound(_)) {
        let _ = write!(out, "; on the host, {}", evidence.host);
    }
    out
}

fn plain(e: &Evidence<'_>) -> String {
    let (component, node) = (e.component, e.node);
    // PatchServer/PatchImp.cpp, preparePatchFile.
    if e.says("not exists!") || matches!(e.ended, Ended::NotFound(_)) {
        return match e.via {
            Via::Console => "tarspatch does not find the package that the management platform has taken: the two do not share their folder of packages (on the host of the platform `patchs/tars.upload`, in the template tars.tarspatch `uploadDirectory`), or somebody has deleted it".to_owned(),
            Via::Tars => "tarspatch does not find the package that it has taken itself: somebody has deleted it, or its disk is full".to_owned(),
        };
    }
    // AdminRegistryServer/ExecuteTask.cpp, patch.
    if e.says("load patch info from database error") {
        return "the database has no row of the package any more (AdminRegistry keeps the newest of each server): apply again, which uploads it anew".to_owned();
    }
    // NodeServer/CommandPatch.h.
    if e.says("md5 is not equal") {
        return format!(
            "the package that {node} fetched is not the one that was uploaded (its MD5 differs): another package of {component} was published at the same time, or tarspatch's copy is damaged; apply again when nobody else publishes"
        );
    }
    if e.says("preparePatchFile error") {
        return "tarspatch does not answer AdminRegistry, so no package was laid ready: see whether tarspatch runs (`tarsops status`)".to_owned();
    }
    // AdminRegistryServer/NodeManager.cpp: there is no connection of that node.
    if e.says("autoptr null handle") || e.says("ret:1012") || e.says("ret:1001") {
        return format!(
            "AdminRegistry has no connection to the tarsnode of {node}: see whether tarsnode runs there and reaches AdminRegistry's port 12000"
        );
    }
    // NodeServer/NodeImp.cpp, patchPro: the server's description comes from the registry.
    if e.says("patchPro:") && e.says("|load ") {
        return format!(
            "the tarsnode of {node} could not load {component} from the registry: its row, its adapters or its template are missing or cannot be read"
        );
    }
    if e.says("ret:1002") || e.says("Timeout") || e.says("errno:-7") {
        return format!(
            "{node} was busy or silent for longer than AdminRegistry waits; it may still carry the task out: look again in a minute before you repeat it"
        );
    }
    if e.says("reduplicate patch request") {
        return format!(
            "a publication of {component} on {node} was under way already: wait for it"
        );
    }
    if e.says("getPatchPercent") {
        return format!(
            "the tarsnode of {node} could not fetch or unpack the package of {component}"
        );
    }
    if e.says("is not exist") {
        return format!(
            "{component} has no program or start script on {node}: its `exe_path` leads elsewhere"
        );
    }
    match (e.ended, e.file_is_new) {
        (Ended::Stuck { last, after }, _) => format!(
            "the task of {component} on {node} has not ended within {after} s: {last}; it may still be carried out"
        ),
        (Ended::Refused(_), _) => format!(
            "the task of {component} on {node} was not taken, and was not carried out within {} s either",
            super::LATE.as_secs()
        ),
        (Ended::Success { .. }, Some(false)) => format!(
            "the task says that it succeeded, and {node} still has another program: the archive had none of the name {component}, or the server's `exe_path` leads elsewhere"
        ),
        (_, Some(true)) => format!(
            "the new {component} lies on {node} and does not come up: see its log in app_log/tars/{component} there"
        ),
        (Ended::Failed { .. }, _) => {
            format!("the task of {component} on {node} failed without a word that is known")
        }
        _ => format!("{component} on {node} did not become what was published"),
    }
}
