//! Labels and groups of nodes, which a registration makes the framework forget.
//!
//! They lie on the node's host from before its tarsnode is stopped until they stand in the
//! database again, so that a run that dies in between loses nothing: the next plan puts them back.

use std::time::Duration;

use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, NodeName};
use tarsops_transport::Remote;

use crate::execute::Run;
use crate::scripts;
use crate::step::{StepEnd, Verdict};

/// How long a host may take for a small file.
const PATIENCE: Duration = Duration::from_secs(30);

/// Keeps the labels on the host.
pub(crate) async fn keep(
    remote: &dyn Remote,
    install: &AbsPath,
    labels: &NodeLabels,
) -> Result<(), String> {
    let script = scripts::keep_labels(install, Some(&labels.to_text()));
    confirmed(remote, &script)
        .await
        .map_err(|why| format!("its label and group could not be kept on the host: {why}"))
}

async fn confirmed(remote: &dyn Remote, script: &str) -> Result<(), String> {
    let output = remote
        .script(script, PATIENCE)
        .await
        .map_err(|e| e.to_string())?;
    if String::from_utf8_lossy(&output.stdout).trim() == "kept" {
        return Ok(());
    }
    let why = output.stderr.lines().last().unwrap_or("it said nothing");
    Err(why.to_owned())
}

/// Writes the labels into the node's row where it says nothing of its own, and forgets them on the
/// host.
pub(crate) async fn put_back(
    run: &Run<'_>,
    node: &NodeName,
    labels: &NodeLabels,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let failed = |why: String| {
        Verdict::LeftFailed(format!(
            "the node is well, and its label and group are not back in the database ({why}); they are kept on the host, and the next apply puts them back"
        ))
    };
    run.lease
        .check()
        .map_err(|e| Verdict::NoLease(e.to_string()))?;
    if run.watch.label(node, labels).await.map_err(failed)? {
        end.log.push("its label and group are put back".to_owned());
    } else {
        end.log
            .push("its row has a label or group of its own, which is left".to_owned());
    }
    let remote = run
        .connect
        .connect(node)
        .await
        .map_err(|e| failed(e.text))?;
    let install = run.install_path(node);
    let forgotten = confirmed(&*remote, &scripts::keep_labels(&install, None)).await;
    forgotten.map_err(failed)
}
