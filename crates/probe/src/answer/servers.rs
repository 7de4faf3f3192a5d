//! The lines about the components beside the agent.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;

use super::Servers;
use super::line::{AnswerError, Line, fits, unread};
use crate::limits::{PATH, PROCESSES};

/// What the lines about other components have said so far.
#[derive(Default)]
pub(super) struct ServerLines {
    files: BTreeMap<Component, Observed<Observed<FileFact>>>,
    processes: BTreeMap<Component, Vec<ProcessFact>>,
}

impl ServerLines {
    /// Takes a line; false if it is not about such a component.
    pub(super) fn read(&mut self, line: &Line<'_>) -> Result<bool, AnswerError> {
        match line.kind() {
            "server" => {
                if let Ok(component) = line.word(1)?.parse() {
                    let seen = match line.word(2)? {
                        "absent" => Observed::Absent,
                        "none" => Observed::Present(Observed::Absent),
                        "file" => Observed::Present(Observed::Present(line.file(3)?)),
                        _ => unread(line.get(3), "its folder cannot be read"),
                    };
                    self.files.insert(component, seen);
                }
            }
            "server-process" => {
                if let Ok(component) = line.word(1)?.parse() {
                    let exe = line.text("executable of a process", 5, PATH)?;
                    let process = ProcessFact {
                        pid: line.value(2)?,
                        user: line.name(3)?.to_owned(),
                        exe: match line.word(4)?.parse() {
                            Ok(digest) => Observed::Present(digest),
                            Err(_) => Observed::Unknown("its executable cannot be read".to_owned()),
                        },
                        exe_deleted: exe.ends_with(" (deleted)"),
                        nodeid: None,
                        config: None,
                    };
                    let all = self.processes.entry(component).or_default();
                    all.push(process);
                    let count = all.len();
                    fits("processes of one component", count, PROCESSES)?;
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The components. One without a folder that runs is there all the same.
    pub(super) fn finish(self, components: &Observed<BTreeSet<String>>) -> Servers {
        let mut processes = self.processes;
        self.files
            .into_iter()
            .map(|(component, file)| {
                let own = processes.remove(&component).unwrap_or_default();
                let processes = match components {
                    Observed::Present(_) => Observed::Present(own.clone()),
                    _ if !own.is_empty() => Observed::Present(own.clone()),
                    other => Observed::Unknown(
                        other
                            .unknown()
                            .unwrap_or("processes were not reported")
                            .to_owned(),
                    ),
                };
                let facts = match file {
                    Observed::Present(binary) => {
                        Observed::Present(ServerFacts { binary, processes })
                    }
                    Observed::Absent if !own.is_empty() => Observed::Present(ServerFacts {
                        binary: Observed::Absent,
                        processes,
                    }),
                    Observed::Absent => Observed::Absent,
                    Observed::Unknown(why) => Observed::Unknown(why),
                };
                (component, facts)
            })
            .collect()
    }
}
