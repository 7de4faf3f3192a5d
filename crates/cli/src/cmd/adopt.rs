//! `adopt`: a spec and a lock file for a cluster that exists. It looks, again and again while it learns of
//! more nodes, and writes what it saw; it changes nothing and writes over nothing.

mod given;
mod keys;
mod packages;
mod passes;
mod seen;

use std::path::Path;

use tarsops_model::display::Text;
use tarsops_package::LockFile;
use tarsops_package::lock::{Known, Unknown};
use tarsops_plan::adopt::Proposal;
use tarsops_plan::render;
use tarsops_plan::{Checked, Plan};

use crate::args::{Adopt, Global};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::pending::Pending;
use crate::store::{lock_path, lock_text};
use crate::style::style;

use self::seen::Seen;

/// Adopts.
pub async fn run(global: &Global, adopt: &Adopt) -> Result {
    let lock_at = lock_path(&adopt.out);
    let (spec_file, lock_file) = (new_file(&adopt.out)?, new_file(&lock_at)?);
    let mut seen = passes::look(global, adopt).await?;
    let mut lock = seen.packages.clone();
    let source = packages::settle(&mut seen, &mut lock)?;
    let proposal = &seen.proposal;
    register(&mut lock, proposal);
    let keys = keys::candidates(adopt, seen.desired(), &seen.report.faults).await?;
    let plan = seen.plan(&lock)?;
    lock_file.write_new(&lock_text(&lock)?)?;
    spec_file.write_new(&proposal.text)?;
    let code = exit::of_plan(&plan);
    let document = serde_json::json!({
        "format": "tarsops.adopt/1", "exit_code": code, "spec": adopt.out, "lock": lock_at,
        "host_keys": keys.as_ref().map(|k| &k.path),
        "cluster": plan.cluster, "nodes": seen.nodes(),
        "notes": proposal.notes.iter().chain(&source).collect::<Vec<_>>(),
        "known": lock.known().count() + lock.pins().count(),
        "unknown": lock.unknown().collect::<Vec<_>>(),
        "summary": plan.summary,
    });
    let mut text = text(adopt, &lock_at, &seen, &lock, &source);
    if let Some(keys) = &keys {
        text.append(&keys.text());
    }
    text.append(&ending(global, &plan));
    publish(global, &format!("{document:#}\n"), &text)?;
    super::plan::explain_silence(&seen.report);
    Ok(code)
}

/// Opens a file that must not be there.
fn new_file(path: &Path) -> Result<Pending> {
    if path.symlink_metadata().is_ok() {
        return Err(
            Failure::new(format!("{} exists; nothing was looked at", path.display()))
                .hint("it was not changed: name another file with -o, or move this one"),
        );
    }
    Pending::public(path)
}

/// Registers binaries that a source names, and lists those that none does.
fn register(lock: &mut LockFile, proposal: &Proposal) {
    for build in &proposal.known {
        lock.register(Known {
            component: build.component,
            version: build.version,
            binary: build.binary,
            note: build.source.clone(),
        });
    }
    for build in &proposal.unknown {
        lock.insert_unknown(Unknown {
            component: build.component,
            binary: build.binary,
            nodes: build.nodes.clone(),
        });
    }
}

/// What was written, and what it could not say.
fn text(
    adopt: &Adopt,
    lock_at: &Path,
    seen: &Seen,
    lock: &LockFile,
    source: &Option<String>,
) -> Text {
    let mut out = Text::new();
    out.line(format_args!(
        "wrote {} and {}: {} nodes",
        adopt.out.display(),
        lock_at.display(),
        seen.nodes()
    ));
    let notes: Vec<&String> = seen.proposal.notes.iter().chain(source).collect();
    if !notes.is_empty() {
        out.line("");
        out.line("Not in the spec, or contradictory:");
        for note in notes {
            out.line(format_args!("  - {note}"));
        }
    }
    let unknown: Vec<&Unknown> = lock.unknown().collect();
    if !unknown.is_empty() {
        out.line("");
        out.line(
            "Binaries that nobody can name; `tarsops package lock` or `package add` names them:",
        );
        for build in unknown {
            let names: Vec<&str> = build.nodes.iter().map(|n| n.as_str()).collect();
            out.line(format_args!(
                "  {} {} on {}",
                build.component,
                build.binary.short(),
                tarsops_plan::names::compress(&names)
            ));
        }
    }
    out
}

/// The plan of what was written.
fn ending(global: &Global, plan: &Checked<Plan>) -> Text {
    let mut out = Text::new();
    out.line("");
    out.line("The plan of this spec:");
    out.append(&render::text(plan, style(global)));
    out
}
