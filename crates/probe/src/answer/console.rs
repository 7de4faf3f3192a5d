//! The lines about the management platform.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::console::{ConsoleFacts, ConsoleProcess, StartedBy};
use tarsops_model::observed::Observed;

use super::line::{AnswerError, Line, fits};
use super::not_reported;
use crate::limits::{FILE, NAME, NAMES, PATH, PROCESSES};

/// What the lines about the platform have said so far.
#[derive(Default)]
pub(super) struct ConsoleLines {
    folder: String,
    facts: Option<ConsoleFacts>,
    processes: Vec<ConsoleProcess>,
}

impl ConsoleLines {
    /// Takes a line; false if it is not about the platform.
    pub(super) fn read(&mut self, line: &Line<'_>) -> Result<bool, AnswerError> {
        if line.kind() == "console" {
            self.folder = line.text("folder of the platform", 1, PATH)?;
            self.facts = Some(ConsoleFacts {
                version: not_reported(),
                alters: not_reported(),
                locator: not_reported(),
                config: BTreeMap::new(),
                machine: not_reported(),
                processes: not_reported(),
                saved: not_reported(),
                units: BTreeSet::new(),
                retired: BTreeSet::new(),
            });
            return Ok(true);
        }
        let Some(facts) = &mut self.facts else {
            return Ok(false);
        };
        match line.kind() {
            "console-folder" => match line.word(1)? {
                "present" => {
                    let none = |what: &str| format!("its {what} cannot be read");
                    facts.version = Observed::Unknown(none("package.json"));
                    facts.alters = Observed::Unknown(none("config/webConf.js"));
                    facts.locator = Observed::Unknown(none("config/tars.conf"));
                }
                "absent" => {
                    facts.version = Observed::Absent;
                    facts.alters = Observed::Absent;
                    facts.locator = Observed::Absent;
                }
                "no-folder" => {
                    facts.version = Observed::Unknown(format!("{} is no folder", self.folder));
                }
                "no-access" => {
                    facts.version =
                        Observed::Unknown(format!("{} cannot be searched", self.folder));
                }
                _ => return Err(line.error()),
            },
            "console-machine" => {
                let machine = line.text("kind of machine", 1, NAME)?;
                if !machine.is_empty() {
                    facts.machine = Observed::Present(machine);
                }
            }
            "console-texts" => {
                let raw = line.raw.as_ref().ok_or_else(|| line.error())?;
                if raw.text.len() > FILE {
                    return Err(AnswerError::TooLong {
                        what: "platform's configuration",
                        most: FILE,
                    });
                }
                // 1: no line is so. What is there was read then.
                if raw.status <= 1 {
                    let text = String::from_utf8_lossy(raw.text);
                    texts(&self.folder, &text, facts);
                }
            }
            "console-digests" => {
                let raw = line.raw.as_ref().ok_or_else(|| line.error())?;
                let text = String::from_utf8_lossy(raw.text);
                for line in text.lines().take(NAMES) {
                    if let Some((digest, path)) = line.split_once("  ")
                        && let Ok(digest) = digest.parse()
                        && let Some((_, name)) = path.rsplit_once('/')
                    {
                        facts.config.insert(name.to_owned(), digest);
                    }
                }
            }
            "console-retired" => {
                facts.retired.insert(line.text("retired folder", 1, PATH)?);
                fits("retired folders", facts.retired.len(), NAMES)?;
            }
            "console-unit" => {
                facts.units.insert(line.text("unit", 1, PATH)?);
                fits("units", facts.units.len(), NAMES)?;
            }
            "console-saved" => {
                let saved = match line.word(1)? {
                    "1" => Observed::Present(true),
                    "0" => Observed::Present(false),
                    _ => Observed::Unknown("the list of PM2 cannot be read".to_owned()),
                };
                // Of several daemons one is enough.
                if facts.saved != Observed::Present(true) {
                    facts.saved = saved;
                }
            }
            "console-process" => {
                self.processes.push(process(line)?);
                fits("processes of the platform", self.processes.len(), PROCESSES)?;
            }
            "console-processes" => {
                let all = std::mem::take(&mut self.processes);
                facts.processes = match line.word(1)? {
                    _ if !all.is_empty() => Observed::Present(all),
                    "all" => Observed::Absent,
                    _ => Observed::Unknown(
                        "only root sees in which folder the processes of others run".to_owned(),
                    ),
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn finish(self) -> Option<ConsoleFacts> {
        self.facts
    }
}

/// What single lines of its files say.
fn texts(folder: &str, text: &str, facts: &mut ConsoleFacts) {
    let of = |name: &str| {
        let path = format!("{folder}/{name}:");
        let lines = text.lines().filter_map(move |l| l.strip_prefix(&path));
        lines.map(|l| l.trim().to_owned()).collect::<Vec<_>>()
    };
    if let Some(line) = of("package.json").first() {
        let version = line.rsplit('"').nth(1).unwrap_or_default();
        facts.version = match version.parse() {
            Ok(version) => Observed::Present(version),
            Err(_) => Observed::Unknown("its package.json has no version".to_owned()),
        };
    }
    let values: BTreeSet<Option<bool>> = of("config/webConf.js")
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(_, value)| value.trim().parse().ok())
        .collect();
    let values: Vec<Option<bool>> = values.into_iter().collect();
    facts.alters = match values.as_slice() {
        [Some(alters)] => Observed::Present(*alters),
        [] => Observed::Unknown("its config/webConf.js does not say `alter`".to_owned()),
        _ => Observed::Unknown("its config/webConf.js says `alter` in several ways".to_owned()),
    };
    if let Some(line) = of("config/tars.conf").first()
        && let Some((_, locator)) = line.split_once('=')
    {
        facts.locator = Observed::Present(locator.trim().to_owned());
    }
}

/// A process, of a line with its folder, its program, its root, its parent and its unit behind it.
fn process(line: &Line<'_>) -> Result<ConsoleProcess, AnswerError> {
    let more = line.lines("process of the platform", FILE)?;
    let mut more = more.lines();
    let mut next = || more.next().unwrap_or_default().to_owned();
    let (folder, exe, root, parent, unit) = (next(), next(), next(), next(), next());
    let (number, command) = parent.split_once(' ').unwrap_or((&parent, ""));
    let home = command.split_once('(').map(|(_, rest)| rest);
    let home = home.and_then(|rest| rest.split_once(')'));
    let by = match (home, number) {
        _ if !root.is_empty() && root != "/" => StartedBy::Container,
        (Some((home, _)), _) if command.starts_with("PM2") => StartedBy::Pm2 {
            home: home.to_owned(),
        },
        _ if command.contains(TARSNODE) => StartedBy::Tarsnode,
        (_, "1") if !unit.is_empty() && !SESSIONS.contains(&unit.as_str()) => {
            StartedBy::Systemd { unit }
        }
        (_, "1") => StartedBy::Nothing,
        (_, "?") => StartedBy::Other {
            command: "a process that could not be seen".to_owned(),
        },
        _ => StartedBy::Other {
            command: command.to_owned(),
        },
    };
    Ok(ConsoleProcess {
        pid: line.value(1)?,
        user: line.name(2)?.to_owned(),
        exe,
        folder,
        by,
    })
}

/// Units of programs that let people start others, which stay in their control groups.
const SESSIONS: [&str; 4] = [
    "ssh.service",
    "sshd.service",
    "cron.service",
    "crond.service",
];
/// How the program of a tarsnode is called.
const TARSNODE: &str = "tarsnode/bin/tarsnode";
