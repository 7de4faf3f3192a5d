//! The tables of a world's database.

use std::path::Path;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{Addition, DatabaseFacts, TemplateRow};
use tarsops_model::names::{Endpoint, RunId};
use tarsops_model::observed::Observed;
use tarsops_transport::mysql::{
    BackupError, DatabaseError, Decide, Dump, NewText, TemplateText, WriteError,
};
use tokio::time::sleep;

use super::state::{Shared, State};
use crate::port::Database;

/// The database of a world.
pub(super) struct SimDatabase {
    pub(super) shared: Shared,
    pub(super) run: RunId,
}

impl SimDatabase {
    async fn pause(&self) {
        let pause = self.shared.lock().delay(2, 30);
        sleep(pause).await;
    }

    fn at(state: &State) -> Endpoint {
        state.desired.database().map_or_else(
            || Endpoint::at(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3306),
            |database| database.address.clone(),
        )
    }

    /// Why it cannot be used, if it cannot.
    fn fault(state: &State, writes: bool) -> Option<DatabaseError> {
        let down = state.faults.database_is_down() || writes && state.faults.read_only;
        down.then(|| DatabaseError::TimedOut(Self::at(state)))
    }
}

fn text_of(row: &TemplateRow) -> TemplateText {
    TemplateText {
        parent: row.parent.clone().unwrap_or_default(),
        text: row.text.clone().unwrap_or_default(),
    }
}

impl Database for SimDatabase {
    fn read<'a>(
        &'a self,
        _: &'a (dyn Fn() -> i64 + Sync),
        _: Duration,
    ) -> BoxFuture<'a, Result<DatabaseFacts, DatabaseError>> {
        Box::pin(async move {
            self.pause().await;
            let state = self.shared.lock();
            match state.facts().database {
                Observed::Present(facts) => Ok(facts),
                _ => Err(DatabaseError::TimedOut(Self::at(&state))),
            }
        })
    }

    fn template<'a>(
        &'a self,
        name: &'a str,
        _: Duration,
    ) -> BoxFuture<'a, Result<Option<TemplateText>, DatabaseError>> {
        Box::pin(async move {
            self.pause().await;
            let state = self.shared.lock();
            match Self::fault(&state, false) {
                Some(fault) => Err(fault),
                None => Ok(state.templates.iter().find(|t| t.name == name).map(text_of)),
            }
        })
    }

    fn change_template<'a>(
        &'a self,
        name: &'a str,
        decide: &'a Decide<'a>,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async move {
            self.pause().await;
            let mut state = self.shared.lock();
            if let Some(fault) = Self::fault(&state, true) {
                return Err(WriteError::Database(fault));
            }
            state.writes(&self.run, "a template");
            let at = state.templates.iter().position(|t| t.name == name);
            let now = at.map(|at| text_of(&state.templates[at]));
            match (decide(now.as_ref()).map_err(WriteError::Refused)?, at) {
                (NewText::Write(text), Some(at)) => {
                    let parent = state.templates[at].parent.clone().unwrap_or_default();
                    state.templates[at] = TemplateRow::with_text(name, &parent, text.expose());
                }
                (NewText::Insert(all), None) => {
                    let row = TemplateRow::with_text(name, &all.parent, all.text.expose());
                    state.templates.push(row);
                }
                (NewText::Delete, Some(at)) => drop(state.templates.remove(at)),
                _ => return Err(WriteError::Refused("the row is not as it was".to_owned())),
            }
            Ok(())
        })
    }

    fn add_column<'a>(
        &'a self,
        addition: &'a Addition,
        _: Duration,
    ) -> BoxFuture<'a, Result<(), WriteError>> {
        Box::pin(async move {
            self.pause().await;
            let mut state = self.shared.lock();
            if let Some(fault) = Self::fault(&state, true) {
                return Err(WriteError::Database(fault));
            }
            state.writes(&self.run, "a column");
            if let Some(Observed::Present(all)) = state.columns.get_mut(addition.table) {
                all.insert(addition.column.to_owned());
            }
            Ok(())
        })
    }

    fn backup<'a>(
        &'a self,
        databases: &'a [String],
        _: &'a Path,
        _: Duration,
    ) -> BoxFuture<'a, Result<Dump, BackupError>> {
        Box::pin(async move {
            sleep(Duration::from_secs(3)).await;
            let state = self.shared.lock();
            if let Some(fault) = Self::fault(&state, false) {
                return Err(BackupError::Database(fault));
            }
            let text = format!("{databases:?} at {:?}", state.start.elapsed());
            Ok(Dump {
                size: text.len() as u64,
                digest: Digest::of(text.as_bytes()),
                by: "this world".to_owned(),
                left_out: vec![],
            })
        })
    }
}
