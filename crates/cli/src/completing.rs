//! What a shell offers for arguments: nodes, labels, components, runs.
//!
//! A shell calls this program for every word that it completes, with the words of the command line
//! so far. What is offered comes from the spec and this machine's journals; no host is asked, no
//! secret is read, and whatever fails offers nothing.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::names::RunId;
use tarsops_plan::names::natural_key;

use crate::spec_file;
use crate::state::state_folder;

/// Runs offered at most: the newest.
const RUNS: usize = 50;

/// The words of `--on`.
pub fn scope() -> ArgValueCompleter {
    ArgValueCompleter::new(scope_words)
}

/// The nodes of the spec.
pub fn nodes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let found = spec().into_iter().flat_map(|desired| {
            let names = desired.hosts().map(|(node, _)| node.to_string());
            names.collect::<Vec<_>>()
        });
        found.map(CompletionCandidate::new).collect()
    })
}

/// Runs that this machine began.
pub fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let found = spec().map(|desired| own_runs(&desired)).unwrap_or_default();
        found.into_iter().map(CompletionCandidate::new).collect()
    })
}

/// The framework's components.
pub fn components() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = Component::ALL.iter().map(|c| c.name());
        names.map(CompletionCandidate::new).collect()
    })
}

fn scope_words(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return vec![];
    };
    // What stands before the word that is typed now stays as it is.
    let at = typed.rfind(',').map_or(0, |i| i + 1);
    let at = at + usize::from(typed[at..].starts_with('!'));
    let (before, word) = typed.split_at(at);
    let nodes = spec().map(|desired| words(&desired)).unwrap_or_default();
    let components = Component::ALL.iter().map(|c| c.name().to_owned());
    nodes
        .into_iter()
        .chain(components)
        .filter(|w| w.starts_with(word))
        .map(|w| CompletionCandidate::new(format!("{before}{w}")))
        .collect()
}

/// The nodes and labels of a spec.
fn words(desired: &Desired) -> Vec<String> {
    let mut nodes: Vec<String> = desired.hosts().map(|(n, _)| n.to_string()).collect();
    nodes.sort_by_key(|n| natural_key(n));
    let labels: BTreeSet<String> = desired
        .hosts()
        .flat_map(|(_, h)| h.labels.iter().map(|(k, v)| format!("@{k}={v}")))
        .collect();
    nodes.extend(labels);
    nodes
}

/// The runs that have a journal on this machine, the newest first.
fn own_runs(desired: &Desired) -> Vec<String> {
    let entries = std::fs::read_dir(state_folder(desired))
        .into_iter()
        .flatten();
    let mut found: BTreeSet<RunId> = BTreeSet::new();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let stem = name.to_str().and_then(|n| n.split('.').next());
        found.extend(stem.and_then(|s| RunId::new(s).ok()));
    }
    let newest = found.into_iter().rev().take(RUNS);
    newest.map(|run| run.to_string()).collect()
}

/// The spec of the command line that is typed.
fn spec() -> Option<Desired> {
    let words = std::env::args_os().skip_while(|w| w != "--").skip(1);
    let file = named(words)
        .or_else(|| std::env::var_os("TARSOPS_SPEC").map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from("./cluster.yaml"));
    spec_file::read(&file, false)
        .ok()
        .map(|loaded| loaded.desired)
}

/// The file that `-f` or `--file` names among the words.
fn named(words: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let mut found = None;
    let mut next = false;
    for word in words {
        let text = word.to_string_lossy();
        if next {
            found = Some(PathBuf::from(&word));
            next = false;
        } else if text == "-f" || text == "--file" {
            next = true;
        } else if let Some(file) = text.strip_prefix("--file=") {
            found = Some(PathBuf::from(file));
        } else if let Some(file) = text.strip_prefix("-f").filter(|f| !f.is_empty()) {
            found = Some(PathBuf::from(file));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spec_is_the_one_that_the_line_names() {
        let of = |line: &str| named(line.split(' ').map(OsString::from));
        assert_eq!(of("tarsops plan --on"), None);
        for line in [
            "-f a.yaml plan",
            "plan --file a.yaml --on",
            "plan --file=a.yaml",
            "-fa.yaml",
        ] {
            assert_eq!(of(line), Some(PathBuf::from("a.yaml")), "{line}");
        }
        // Nothing stands after it yet.
        assert_eq!(of("plan -f"), None);
    }
}
