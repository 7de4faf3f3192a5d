//! A change as records of the formats 1 and 2 say it: one flat structure for every operation, of
//! which some fields exclude each other.

use std::net::IpAddr;

use serde::Deserialize;
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, StepName, UserName};

use super::change::{HostChange, Port};
use super::operation::{
    CrontabChange, FileChange, Folder, Install, Modify, Operation, Owner, Place, Process, Publish,
    Remove, RemoveRest, Renamed, Restart, Restore,
};
use crate::actions::rows::{RowEdit, Via};

/// A change in the formats 1 and 2.
#[derive(Debug, Deserialize)]
pub(crate) struct FlatChange {
    #[serde(default = "tarsnode")]
    component: Component,
    node: NodeName,
    summary: String,
    folder: Folder,
    files: Vec<FileChange>,
    make_user: bool,
    own: bool,
    restart: bool,
    #[serde(default)]
    stop_servers: bool,
    health: bool,
    crontab: Option<CrontabChange>,
    tars_path: AbsPath,
    run_user: UserName,
    #[serde(default)]
    crontab_of: Option<UserName>,
    #[serde(default)]
    ran_as: Option<UserName>,
    nodeid: NodeName,
    ip: IpAddr,
    port: Option<u16>,
    port_before: Option<u16>,
    ran: bool,
    #[serde(default)]
    lenient: bool,
    machine_id: String,
    #[serde(default)]
    folder_from: Option<(RunId, StepName)>,
    #[serde(default)]
    registry: Option<Endpoint>,
    #[serde(default)]
    labels: Option<NodeLabels>,
    #[serde(default)]
    settle: Option<u64>,
    #[serde(default)]
    owners_from: Option<(RunId, StepName)>,
    #[serde(default)]
    takes_back: Option<RunId>,
    #[serde(default)]
    publish: Option<Via>,
    #[serde(default)]
    names: Option<Renamed>,
    #[serde(default)]
    reread: bool,
    #[serde(default)]
    rows: Vec<RowEdit>,
}

const fn tarsnode() -> Component {
    Component::Tarsnode
}

/// Why a flat change is none that tarsops ever wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Contradiction {
    /// The operation has no such part.
    #[error("its {0} does not go with what it does")]
    Part(&'static str),
    /// A part does not follow from the others.
    #[error("its {0} is not the one of its node")]
    NotOfNode(&'static str),
}

impl FlatChange {
    /// The change that was meant, of the record that lies under `run` and `step`.
    ///
    /// # Errors
    /// A [`Contradiction`] where it has a part that its operation does not have, so that nothing of
    /// the record is lost without a word.
    pub(crate) fn change(self, run: &RunId, step: &StepName) -> Result<HostChange, Contradiction> {
        if self.nodeid != self.node {
            return Err(Contradiction::NotOfNode("nodeid"));
        }
        let mut rest = self;
        let operation = rest.operation(run, step)?;
        rest.is_used_up()?;
        let change = HostChange {
            component: rest.component,
            node: rest.node,
            summary: rest.summary,
            operation,
            tars_path: rest.tars_path,
            run_user: rest.run_user,
            ran_as: rest.ran_as,
            ip: rest.ip,
            port: Port {
                before: rest.port_before,
                after: rest.port,
            },
            ran: rest.ran,
            machine_id: rest.machine_id,
            settle: rest.settle,
        };
        if rest.registry != change.registry() {
            return Err(Contradiction::NotOfNode("registry"));
        }
        let user = rest.crontab_of.as_ref();
        if user.is_some_and(|user| user != change.crontab_user()) {
            return Err(Contradiction::NotOfNode("owner of the crontab"));
        }
        Ok(change)
    }

    /// The operation; its parts are taken out of `self`.
    fn operation(&mut self, run: &RunId, step: &StepName) -> Result<Operation, Contradiction> {
        let undoes = match (self.takes_back.take(), std::mem::take(&mut self.lenient)) {
            (Some(run), _) => Some(run),
            (None, true) => Some(run.clone()),
            (None, false) => None,
        };
        if std::mem::take(&mut self.reread) {
            self.must_restart()?;
            let rows = std::mem::take(&mut self.rows);
            return Ok(Operation::Restart(Restart { rows, undoes }));
        }
        if let Some(undoes) = undoes {
            return self.restored(undoes, step).map(Operation::Restore);
        }
        if let Some(via) = self.publish.take() {
            self.must_restart()?;
            let first = self.folder == Folder::Create;
            self.folder = Folder::Keep;
            let program = self.files.pop().ok_or(Contradiction::Part("program"))?;
            return Ok(Operation::Publish(Publish {
                via,
                program,
                first,
                rows: std::mem::take(&mut self.rows),
                patch_version: self.names.take(),
            }));
        }
        let agent = self.component == Component::Tarsnode;
        let folder = std::mem::replace(&mut self.folder, Folder::Keep);
        Ok(match folder {
            Folder::Create if agent => {
                self.must_restart()?;
                Operation::Install(Install {
                    files: std::mem::take(&mut self.files),
                    owner: self.owner()?,
                    crontab: self.crontab.take(),
                    labels: self.labels.take(),
                })
            }
            Folder::Create => Operation::Place(Place {
                files: std::mem::take(&mut self.files),
                owner: self.owner()?,
            }),
            Folder::Remove => Operation::Remove(Remove {
                crontab: self.crontab.take(),
                stop_servers: std::mem::take(&mut self.stop_servers),
            }),
            Folder::Keep if agent && !self.health => Operation::RemoveRest(RemoveRest {
                crontab: self.crontab.take(),
                stop: std::mem::take(&mut self.restart),
                stop_servers: std::mem::take(&mut self.stop_servers),
            }),
            Folder::Keep => self.modified(agent)?,
        })
    }

    fn modified(&mut self, agent: bool) -> Result<Operation, Contradiction> {
        let alone = self.files.is_empty() && !self.restart && !agent;
        if let Some(crontab) = self.crontab.take_if(|_| alone) {
            return Ok(Operation::Watch(crontab));
        }
        let restart = std::mem::take(&mut self.restart);
        if std::mem::take(&mut self.health) != (restart || agent) {
            return Err(Contradiction::Part("health check"));
        }
        Ok(Operation::Modify(Modify {
            files: std::mem::take(&mut self.files),
            owner: self.owner()?,
            restart,
            crontab: if agent { self.crontab.take() } else { None },
            labels: self.labels.take(),
        }))
    }

    fn restored(&mut self, undoes: RunId, step: &StepName) -> Result<Box<Restore>, Contradiction> {
        let folder = std::mem::replace(&mut self.folder, Folder::Keep);
        let (from, owners) = (self.folder_from.take(), self.owners_from.take());
        if from.is_some() != (folder == Folder::Create) {
            return Err(Contradiction::Part("folder"));
        }
        let crontab = self.crontab.take();
        let back = crontab.as_ref().and_then(|c| c.back.as_ref());
        let step = [&from, &owners]
            .into_iter()
            .flatten()
            .map(|(_, step)| step)
            .chain(back.map(|back| &back.step))
            .next()
            .unwrap_or(step)
            .clone();
        let process = match (
            std::mem::take(&mut self.restart),
            std::mem::take(&mut self.health),
        ) {
            (true, true) => Process::Restart,
            (true, false) => Process::Stop,
            (false, true) => Process::Check,
            (false, false) => Process::Leave,
        };
        Ok(Box::new(Restore {
            undoes,
            step,
            folder,
            files: std::mem::take(&mut self.files),
            owners: owners.is_some(),
            process,
            crontab,
            rows: std::mem::take(&mut self.rows),
            patch_version: self.names.take(),
        }))
    }

    fn owner(&mut self) -> Result<Owner, Contradiction> {
        match (
            std::mem::take(&mut self.make_user),
            std::mem::take(&mut self.own),
        ) {
            (true, true) => Ok(Owner::NewRunUser),
            (true, false) => Err(Contradiction::Part("new user")),
            (false, true) => Ok(Owner::RunUser),
            (false, false) => Ok(Owner::Unchanged),
        }
    }

    fn must_restart(&mut self) -> Result<(), Contradiction> {
        let both = [
            std::mem::take(&mut self.restart),
            std::mem::take(&mut self.health),
        ];
        if both == [true, true] {
            Ok(())
        } else {
            Err(Contradiction::Part("process"))
        }
    }

    /// Whether nothing is left that the operation did not take.
    fn is_used_up(&self) -> Result<(), Contradiction> {
        let left = [
            ("folder", self.folder != Folder::Keep),
            ("files", !self.files.is_empty()),
            ("new user", self.make_user),
            ("owner", self.own),
            ("restart", self.restart),
            ("stop of servers", self.stop_servers),
            ("health check", self.health),
            ("crontab", self.crontab.is_some()),
            ("folder of another run", self.folder_from.is_some()),
            ("owners of another run", self.owners_from.is_some()),
            ("label", self.labels.is_some()),
            ("publication", self.publish.is_some()),
            ("package", self.names.is_some()),
            ("rows", !self.rows.is_empty()),
        ];
        match left.into_iter().find(|(_, left)| *left) {
            Some((part, _)) => Err(Contradiction::Part(part)),
            None => Ok(()),
        }
    }
}
