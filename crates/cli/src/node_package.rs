//! A node as the source of a package (`packages: node:<name>`): its installation, and its binary.

use std::io;
use std::time::Duration;

use tarsops_apply::execute::place;
use tarsops_apply::send_binary;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::PackageContents;
use tarsops_model::version::Version;
use tarsops_package::{Limits, installed};
use tarsops_transport::{Connect as _, FaultKind};

use crate::exit;
use crate::failure::{Failure, Result};
use crate::progress::Bar;
use crate::session::Session;
use crate::store::{digest_of, no_space};

/// Seconds that the binary of a `node:` source may take to come.
const FETCH_SECS: u64 = 600;

/// Looks at the live installation on the source node, as the handbook's chapter 3 copies it: the
/// binary, the configuration and the scripts, without data and logs.
pub async fn node_contents(
    session: &Session,
    node: &NodeName,
    version: Version,
) -> Result<PackageContents> {
    let bar = Bar::quiet();
    let report = session.look_at(std::slice::from_ref(node), &bar).await;
    let unseen = |why: &str| {
        Failure::new(format!("could not read the package source node:{node}"))
            .because(&io::Error::other(why.to_owned()))
            .code(exit::INCOMPLETE)
    };
    let facts = match report.inventory.agent(node) {
        Observed::Present(facts) => facts,
        Observed::Absent => return Err(unseen("tarsnode is not installed there")),
        Observed::Unknown(why) => return Err(unseen(&why)),
    };
    installed(node, version, facts).map_err(|why| unseen(&why))
}

/// Fetches the binary of a `node:` source, once, with its digest checked. What is not the pinned one
/// does not stay.
pub async fn fetch_from_node(
    session: &Session,
    node: &NodeName,
    component: Component,
    version: Version,
    digest: Digest,
) -> Result<()> {
    let store = &session.store;
    if store.files().has(&digest) {
        return Ok(());
    }
    let to = store.spool().join(digest.to_string());
    let desired = session.desired();
    let script = send_binary(
        &place(desired, node),
        &desired.run_user,
        component,
        FETCH_SECS,
    );
    let most = store
        .lock
        .as_ref()
        .map_or(Limits::default().max_file, |lock| {
            lock.largest_binary(component, version, &digest)
        });
    let failed = |e: &dyn std::error::Error| {
        Failure::new(format!("could not copy the binary from node {node}")).because(e)
    };
    let here = |e: &dyn std::error::Error| {
        let place = to.display();
        no_space(
            &format!("could not write the binary of the package to {place}"),
            e,
        )
    };
    let remote = session
        .connector
        .connect(node)
        .await
        .map_err(|e| failed(&e).hint(e.kind.hint()))?;
    let output = remote
        .download(&script, &to, most, Duration::from_secs(FETCH_SECS))
        .await;
    let output = match output {
        Ok(output) => output,
        Err(fault) => {
            // A connection that broke is not used again; with it goes what the host still runs.
            session.connector.forget(node).await;
            if fault.kind == FaultKind::Local {
                return Err(here(&fault));
            }
            let failure = failed(&fault).code(exit::INCOMPLETE);
            return Err(match fault.kind {
                FaultKind::TooMuch => failure.hint(
                    "the file on the node is larger than the pinned one; find out what it is, or run `tarsops package lock` and commit the lock file if this is intended",
                ),
                kind => failure.hint(kind.hint()),
            });
        }
    };
    if output.status != Some(0) {
        let said = output.stderr.lines().last().unwrap_or("it did not say why");
        return Err(failed(&io::Error::other(said.to_owned()))
            .code(exit::INCOMPLETE)
            .hint("check that the file can be read there"));
    }
    let found = digest_of(&to).map_err(|e| here(&e))?;
    if found != digest {
        // The folder goes with this process; what is wrong need not stay that long.
        let _ = std::fs::remove_file(&to);
        return Err(Failure::new(format!(
            "the binary on node {node} is not the one that was pinned: its sha256 is {found}, not {digest}"
        ))
        .hint("if it is meant, run `tarsops package lock` and commit the lock file"));
    }
    store.files().insert(digest, to);
    Ok(())
}
