//! What is saved of rows on the master: those that are about to be deleted, and which rows a run wrote.

use std::time::Duration;

use tarsops_model::component::Component;
use tarsops_model::names::{NodeName, RunId, StepName};
use tarsops_plan::action::{HostChange, NewRow, NewServers};
use tarsops_transport::Bounds;

use crate::answer::saved;
use crate::port::{Ask, Host, Request};
use crate::run::Run;
use crate::verdict::{StepEnd, Verdict};

/// How long a small script on the master may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a note of rows that a run wrote begins; the rows follow as JSON.
const NOTE: &str = "-- tarsops-rows/1 ";

/// The file on the master in which a run saves the rows of a step.
pub(crate) fn file_of(run: &RunId, step: &str) -> String {
    format!("{run}.{}.sql", StepName::of(step))
}

/// Saves rows on the master that are about to be deleted.
pub(crate) async fn save(
    run: &Run<'_>,
    name: &str,
    image: &str,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let master = &run.desired.master;
    let remote = run.master().await.map_err(Verdict::NotStarted)?;
    let place = run.place(master);
    let request = Request(Ask::SaveRows {
        place: &place,
        name: name.to_owned(),
        rows: image,
    });
    let output = remote
        .tell(&request, PATIENCE)
        .await
        .map_err(|e| Verdict::NotStarted(format!("the master {master}: {e}")))?;
    let path = saved(&output).map_err(|why| {
        Verdict::NotStarted(format!(
            "the rows could not be written down on the master: {why}"
        ))
    })?;
    end.log.push(format!("the rows are on {master} in {path}"));
    Ok(())
}

/// Saves on the master which rows a step is about to write, so that a later rollback knows them.
pub(crate) async fn save_new(
    run: &Run<'_>,
    step: &str,
    new: &NewServers,
    end: &mut StepEnd,
) -> Result<(), Verdict> {
    let text = serde_json::to_string(new)
        .map_err(|e| Verdict::NotStarted(format!("the rows cannot be written down: {e}")))?;
    save(
        run,
        &file_of(&run.id, step),
        &format!("{NOTE}{text}\n"),
        end,
    )
    .await
}

/// What is saved under a name; empty where nothing is.
pub(crate) async fn read(
    run: &Run<'_>,
    remote: &dyn Host,
    name: String,
) -> Result<Vec<u8>, String> {
    let master = &run.desired.master;
    let request = Request(Ask::SavedRows {
        place: &run.place(master),
        name,
    });
    let output = remote
        .ask(&request, Bounds::new(Bounds::RECORDS, PATIENCE))
        .await
        .map_err(|e| format!("the master {master}: {e}"))?;
    Ok(output.stdout)
}

/// Whether the run that `change` rolls back wrote rows of its component; yes where that is not known.
pub(crate) async fn wrote(run: &Run<'_>, change: &HostChange) -> bool {
    !matches!(written(run, change).await, Ok(None))
}

/// The rows of the component that the run wrote which `change` rolls back.
pub(crate) async fn written(
    run: &Run<'_>,
    change: &HostChange,
) -> Result<Option<NewServers>, String> {
    let Some(of) = &change.undoes() else {
        return Ok(None);
    };
    let remote = run.master().await?;
    // Rows are added for a whole host, or for one service that is published.
    let steps = [
        format!("{}.deploy@{}", change.component, change.node),
        format!("rows.add@{}", change.node),
    ];
    for step in steps {
        let rows = read(run, &*remote, file_of(of, &step)).await?;
        let text = String::from_utf8_lossy(&rows);
        let Some(note) = text.lines().find_map(|line| line.strip_prefix(NOTE)) else {
            continue;
        };
        let mut new: NewServers = serde_json::from_str(note).map_err(|e| e.to_string())?;
        // The note is a claim: rows of others stay, whatever it says.
        new.rows
            .retain(|row| is_of(row, change.component, &change.node));
        if !new.rows.is_empty() && new.node == change.node {
            return Ok(Some(new));
        }
    }
    Ok(None)
}

/// Whether a row is of that component on that node.
fn is_of(row: &NewRow, component: Component, node: &NodeName) -> bool {
    row.text("application") == Some("tars")
        && row.text("server_name") == Some(component.name())
        && row.text("node_name") == Some(node.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use tarsops_plan::action::{Cell, Table};

    #[test]
    fn a_note_speaks_for_its_own_server_on_its_own_node() {
        let of = Component::Tarslog;
        let node = NodeName::new("10.0.0.2").unwrap();
        let row = |application: &str, server: &str, node: &str| NewRow {
            table: Table::TServerConf,
            columns: [
                ("application", application),
                ("server_name", server),
                ("node_name", node),
            ]
            .map(|(column, text)| (column.to_owned(), Cell::Text(text.to_owned())))
            .into(),
        };
        let own = |row: NewRow| is_of(&row, of, &node);
        let (name, node) = (of.name(), node.as_str());
        assert!(own(row("tars", name, node)));
        assert!(!own(row("Shop", name, node)));
        assert!(!own(row("tars", "tarsother", node)));
        assert!(!own(row("tars", name, "10.9.9.9")));
    }
}
