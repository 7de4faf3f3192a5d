//! `plan`: what would be done.

use std::collections::BTreeSet;
use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;
use tarsops_plan::action::Content;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::plan::Step;
use tarsops_plan::render;
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::{Checked, Plan};
use tarsops_probe::Report;

use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::node_package::{fetch_from_node, node_contents};
use crate::output::{Document, publish_plan, say};
use crate::pending::Pending;
use crate::progress::Bar;
use crate::session::{Session, lease_in, preflight};
use crate::style::style;
use crate::unreachable_hosts;

/// Shows it.
pub async fn run(global: &Global, look: &Look, out: Option<&Path>) -> Result {
    let out = out.map(Saving::open).transpose()?;
    let mut session = Session::open(global, look)?;
    super::validate::without_package(global, &session.loaded)?;
    session.ready().await?;
    let report = session.look(&Bar::new("looking at")).await;
    preflight::check_look(&report)?;
    let plan = make(&mut session, &report).await?;
    check_payloads(&session, &plan)?;
    explain_silence(&report);
    if let Some(out) = out {
        out.save(&plan)?;
    }
    publish_plan(global, &plan, || render::text(&plan, style(global)))?;
    lock_hint(&session, &plan, &report);
    if let Some(lease) = lease_in(&report) {
        say(format!(
            "note: an apply is in progress: {} (run {}); it may change what this plan shows",
            lease.holder, lease.run
        ));
    }
    session.close().await;
    Ok(exit::of_plan(&plan))
}

/// The file of a plan, for `apply FILE`; it is opened before anything is looked at.
pub struct Saving<'a> {
    path: &'a Path,
    file: Pending,
}

impl<'a> Saving<'a> {
    /// Opens it.
    pub fn open(path: &'a Path) -> Result<Self> {
        let file = Pending::private(path)?;
        Ok(Self { path, file })
    }

    /// Writes the document of a plan.
    pub fn save(self, plan: &Plan) -> Result<()> {
        self.file
            .write_with(|out| tarsops_plan::document::write(plan, &mut Document(out)))?;
        say(format!(
            "saved to {}; carry it out with `tarsops apply {0}`",
            self.path.display()
        ));
        Ok(())
    }
}

/// Makes the plan; reads packages only if something has to be installed from them.
pub async fn make(session: &mut Session, report: &Report) -> Result<Checked<Plan>> {
    let plan = session.plan(report)?;
    let lacks = plan.report.iter().any(|l| {
        matches!(
            l,
            Line::Blocked {
                why: Blocked::NoPackage { .. }
                    | Blocked::IncompletePackage { .. }
                    | Blocked::IncompletePackageOf { .. },
                ..
            }
        )
    });
    if !lacks || session.store.lock.is_none() {
        return Ok(plan);
    }
    match session.store.node_source().cloned() {
        None => {
            let desired = session.loaded.desired.clone();
            session.store.load(&desired)?;
        }
        Some(node) => {
            let versions = crate::store::wanted(session.desired());
            for (_, version) in versions {
                let contents = node_contents(session, &node, version).await?;
                session.store.take_node(contents)?;
            }
        }
    }
    session.plan(report)
}

/// Every file of a package that a plan installs: component, version, path and digest.
fn payloads(plan: &Plan) -> BTreeSet<(Component, Version, &str, Digest)> {
    let mut wanted = BTreeSet::new();
    for step in &plan.steps {
        for file in step.action.kind().writes().files {
            if let (
                Content::Package {
                    component,
                    version,
                    path,
                    ..
                },
                Some(digest),
            ) = (&file.content, file.after)
            {
                wanted.insert((*component, *version, path.as_str(), digest));
            }
        }
    }
    wanted
}

/// Releases of which a plan writes templates.
fn releases(plan: &Plan) -> BTreeSet<Version> {
    let of = |step: &Step| step.action.kind().writes().template;
    plan.steps.iter().filter_map(of).collect()
}

/// Brings the payloads of a plan to this machine, each once, and checks them and the templates against
/// their pins before anything is changed.
pub async fn fetch_payloads(session: &Session, plan: &Plan) -> Result<()> {
    for release in releases(plan) {
        session.store.verify_templates(release)?;
    }
    let node = session.store.node_source().cloned();
    for (component, version, path, digest) in payloads(plan) {
        if let Some(node) = &node {
            fetch_from_node(session, node, component, version, digest).await?;
        } else if !session.store.prepare(component, version, path, &digest)? {
            return Err(Failure::new(format!(
                "the package of {component} {version} is not on this machine; nothing was changed"
            ))
            .hint("put it into the folder that `framework.packages` names"));
        }
    }
    Ok(())
}

/// Checks the packages that a plan would install, as far as they are on this machine: a reviewer
/// may have nothing but the lock file.
fn check_payloads(session: &Session, plan: &Plan) -> Result<()> {
    if session.store.node_source().is_some() {
        return Ok(());
    }
    for (component, version, path, digest) in payloads(plan) {
        if !session.store.prepare(component, version, path, &digest)? {
            say(format!(
                "hint: the package of {component} {version} is not on this machine; apply needs it"
            ));
        }
    }
    Ok(())
}

/// Says what to look at next where hosts were silent; one line for each kind.
pub fn explain_silence(report: &Report) {
    let hints = unreachable_hosts::hints(&report.faults);
    if !hints.is_empty() {
        say(hints.trim_end());
    }
}

/// Without a lock file no binary can be recognised: say how to make one.
pub fn lock_hint(session: &Session, plan: &Plan, report: &Report) {
    // What is unknown for another reason than that its host was not seen.
    let silent: BTreeSet<&NodeName> = report.faults.iter().map(|(node, _)| node).collect();
    let unknown = plan.drift.iter().any(|d| {
        matches!(d.kind, DriftKind::Unknown { .. })
            && d.resource.node().is_some_and(|node| !silent.contains(node))
    });
    if session.store.lock.is_none() && (unknown || plan.is_blocked()) {
        say(format!(
            "hint: there is no {}; create it with `tarsops package lock`",
            session.store.lock_path.display()
        ));
    }
}
