//! `history`: the runs that the hosts remember.

use std::collections::BTreeMap;

use tarsops_apply::history::{Memory, ask};
use tarsops_model::display::Text;
use tarsops_model::names::RunId;
use tarsops_plan::action::ReplaceContainer;
use tarsops_plan::intent::Intent;
use tarsops_plan::names::compress;
use tarsops_plan::record::Record;

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{publish, say};
use crate::session::Session;
use crate::unreachable_hosts;

/// Asks the hosts and shows one line for each run, or one run whole.
pub async fn run(global: &Global, look: &Look, run: Option<&str>, limit: usize) -> Result {
    let session = Session::open(global, look)?;
    crate::session::preflight::check_machine(session.desired())?;
    let memory = ask(
        &*session.connector,
        session.desired(),
        &session.nodes(),
        limit,
    )
    .await;
    if !memory.faults.is_empty() {
        say(unreachable_hosts::causes(&memory.faults).trim_end());
    }
    for node in &memory.strange {
        say(format!("{node}: {STRANGE}"));
    }
    let picked: BTreeMap<&RunId, &Vec<Record>> = match run {
        None => memory.runs.iter().rev().take(limit).collect(),
        Some(name) => vec![find(&memory, name)?].into_iter().collect(),
    };
    let document = serde_json::json!({
        "format": "tarsops.history/1",
        "runs": picked.iter().rev().map(|(id, changes)| serde_json::json!({
            "run": id,
            "changes": changes.iter().map(|c| serde_json::json!({
                "node": c.node, "step": c.step, "verdict": c.ended.as_str(), "text": c.text, "gate": c.gate,
                "does_not_fit": c.mismatch.as_ref().map(ToString::to_string),
                "summary": c.summary(), "holder": c.holder(),
                "started_at": c.started_at(), "spec_digest": c.spec_digest(),
                "database": c.intent.as_ref().and_then(Intent::database),
                "container": c.intent.as_ref().and_then(Intent::container).map(container),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    let mut text = Text::new();
    for (id, changes) in picked.iter().rev() {
        if run.is_some() {
            whole(&mut text, id, changes)
        } else {
            line(&mut text, id, changes)
        }
    }
    if picked.is_empty() {
        text.line(if memory.faults.is_empty() {
            "the hosts have no records of runs"
        } else {
            "no host that answered has records of a run"
        });
    }
    publish(global, &format!("{document:#}\n"), &text)?;
    let code = if memory.faults.is_empty() {
        exit::OK
    } else {
        exit::INCOMPLETE
    };
    session.close().await;
    Ok(code)
}

/// What a document says of a container's replacement: no variable of its environment.
fn container(change: &ReplaceContainer) -> serde_json::Value {
    let back = change.undoes().is_some();
    serde_json::json!({
        "name": change.name, "socket": change.socket, "does": if back { "back" } else { "replace" },
        "before": {"id": change.old.id, "image": change.old.image},
        "after": {"image": change.image()},
    })
}

/// What is said of a host with such records.
pub const STRANGE: &str = "it has records under names that no run or step has; they are ignored";

/// The run with this id, or with an id that begins so.
pub fn find<'a>(memory: &'a Memory, name: &str) -> Result<(&'a RunId, &'a Vec<Record>)> {
    let mut fits = memory
        .runs
        .iter()
        .filter(|(id, _)| id.as_str().starts_with(name));
    match (fits.next(), fits.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(Failure::new(format!("several runs begin with `{name}`"))
            .hint("give more of the id, as `tarsops history` shows it")),
        (None, _) => Err(Failure::new(format!("no host remembers a run `{name}`"))
            .hint("`tarsops history` shows those that are remembered")),
    }
}

/// When a run began, for people.
fn when(id: &RunId) -> String {
    let millis = i64::try_from(id.sequence()).unwrap_or(0);
    jiff::Timestamp::from_millisecond(millis)
        .map(|t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
        .unwrap_or_default()
}

/// How a change ended, in a word: what the gate said counts for more than the host's own verdict.
fn word(change: &Record) -> &str {
    if change.mismatch.is_some() {
        return "does not fit";
    }
    match change.gate.split_once(':') {
        Some((word, _)) => word,
        None => change.ended.as_str(),
    }
}

fn line(out: &mut Text, id: &RunId, changes: &[Record]) {
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    for change in changes {
        *verdicts.entry(word(change)).or_default() += 1;
    }
    let verdicts: Vec<String> = verdicts.iter().map(|(v, n)| format!("{n} {v}")).collect();
    let holder = changes.iter().find_map(Record::holder).unwrap_or("?");
    out.line(format_args!(
        "{id}  {}  {}  by {holder}",
        when(id),
        verdicts.join(", ")
    ));
}

fn whole(out: &mut Text, id: &RunId, changes: &[Record]) {
    line(out, id, changes);
    let mut groups: BTreeMap<(Option<String>, String, String), Vec<String>> = BTreeMap::new();
    for change in changes {
        let summary = change.summary().unwrap_or(&change.step).to_owned();
        let container = change.intent.as_ref().and_then(Intent::container);
        let part = match (change.host(), container) {
            (Some(host), _) => Some(host.component.to_string()),
            (None, Some(container)) => Some(container.name.to_string()),
            (None, None) => None,
        };
        let verdict = match (change.gate.as_str(), change.text.as_str()) {
            _ if change.mismatch.is_some() => {
                let why = change.mismatch.iter().map(ToString::to_string);
                format!("does not fit: {}", why.collect::<String>())
            }
            ("", "" | "done") => change.ended.to_string(),
            ("", text) => format!("{}: {text}", change.ended),
            (gate, _) => format!("{} on the host, and then {gate}", change.ended),
        };
        groups
            .entry((part, summary, verdict))
            .or_default()
            .push(change.node.to_string());
    }
    for ((part, summary, verdict), nodes) in groups {
        let nodes = compress(&nodes);
        let place = part.map_or_else(|| nodes.clone(), |part| format!("{part}@{nodes}"));
        out.line(format_args!("  {place}  {summary}  → {verdict}"));
    }
}
