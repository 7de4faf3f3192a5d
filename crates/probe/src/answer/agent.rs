//! The lines about the agent: its folder and its processes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::agent::{
    AgentFacts, FileFact, OwnerFact, ProcessFact, SERVER_OBJ_PORT, TextFact,
};
use tarsops_model::observed::Observed;

use super::line::{AnswerError, Line, fits, unread};
use super::not_reported;
use crate::Options;
use crate::limits::{ARGUMENTS, FILE, LIST, NAME, NAMES, PATH, PROCESSES};
use crate::network::Listener;

/// The agent's scripts that a look reports.
const SCRIPTS: [&str; 4] = ["start.sh", "stop.sh", "execute.sh", "monitor.sh"];

/// Its configuration, below its folder.
const CONF: &str = "conf/tars.tarsnode.config.conf";

/// A process line, before it is known which binary is ours.
struct RawProcess {
    pid: u32,
    user: String,
    digest: Option<String>,
    exe: String,
}

/// A text file before its text came.
enum RawText {
    Seen(Observed<TextFact>),
    Text {
        mode: u32,
        owner: String,
        size: usize,
    },
}

/// What the lines about the agent have said so far.
pub(super) struct AgentLines {
    present: Option<bool>,
    folder: Option<(String, u32)>,
    strangers: Observed<Vec<String>>,
    binary: Observed<FileFact>,
    conf: RawText,
    util: BTreeMap<String, RawText>,
    /// The texts of those files.
    texts: BTreeMap<String, Vec<u8>>,
    generated: bool,
    processes: Vec<RawProcess>,
    /// Command lines, whose words end with a zero byte each.
    arguments: BTreeMap<u32, Vec<u8>>,
    all_processes: Option<bool>,
}

impl AgentLines {
    pub(super) fn new() -> Self {
        Self {
            present: None,
            folder: None,
            strangers: not_reported(),
            binary: not_reported(),
            conf: RawText::Seen(not_reported()),
            util: BTreeMap::new(),
            texts: BTreeMap::new(),
            generated: false,
            processes: Vec::new(),
            arguments: BTreeMap::new(),
            all_processes: None,
        }
    }

    /// Takes a line; false if it is not about the agent.
    pub(super) fn read(&mut self, line: &Line<'_>) -> Result<bool, AnswerError> {
        match line.kind() {
            "agent" => {
                self.present = match line.word(1)? {
                    "present" => Some(true),
                    "absent" => Some(false),
                    _ => None,
                };
            }
            "folder" => {
                let owner = line.name(1)?.to_owned();
                let _written = line.word(2)?;
                self.folder = line.mode(2).ok().map(|mode| (owner, mode));
            }
            "strangers" => {
                self.strangers = match line.word(1)? {
                    "unknown" => Observed::Unknown("the run user does not exist".to_owned()),
                    _ => Observed::Present(Vec::new()),
                };
            }
            "stranger" => {
                let name = line.text("file of another user", 1, PATH)?;
                if let Observed::Present(all) = &mut self.strangers {
                    all.push(name.strip_prefix("./").unwrap_or(&name).to_owned());
                    fits("files of other users", all.len(), NAMES)?;
                }
            }
            "binary" => {
                self.binary = match line.word(1)? {
                    "file" => Observed::Present(line.file(2)?),
                    "absent" => Observed::Absent,
                    _ => unread(line.get(2), "the file cannot be read"),
                };
            }
            "conf" => self.conf = raw_text(line, 1)?,
            "util" => {
                // Names of files go into paths, so that none but those that were asked for count.
                if let Some(script) = SCRIPTS.iter().find(|s| Some(**s) == line.get(1)) {
                    self.util.insert((*script).to_owned(), raw_text(line, 2)?);
                }
            }
            "generated" => self.generated = line.flag(1)?,
            "process" => {
                let exe = line.text("executable of a process", 4, PATH)?;
                fits("processes", self.processes.len() + 1, PROCESSES)?;
                self.processes.push(RawProcess {
                    pid: line.value(1)?,
                    user: line.name(2)?.to_owned(),
                    digest: Some(line.name(3)?.to_owned()).filter(|digest| digest != "-"),
                    exe,
                });
            }
            "processes" => {
                self.all_processes = match line.word(1)? {
                    "all" => Some(true),
                    "some" => Some(false),
                    _ => None,
                };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a line of a file; false if it is not about the agent.
    pub(super) fn read_file(&mut self, file: &str, line: &[u8]) -> Result<bool, AnswerError> {
        let pid = file.strip_prefix("/proc/");
        let pid = pid.and_then(|rest| rest.strip_suffix("/cmdline"));
        let (what, all, most) = if let Some(pid) = pid.and_then(|pid| pid.parse().ok()) {
            fits("processes", self.arguments.len(), PROCESSES)?;
            let all = self.arguments.entry(pid).or_default();
            ("arguments of a process", all, LIST)
        } else if let Some(name) = file.strip_prefix("tars/tarsnode/") {
            let is_script = |name| SCRIPTS.contains(&name);
            if name != CONF && !name.strip_prefix("util/").is_some_and(is_script) {
                return Ok(false);
            }
            // The script reads no larger file.
            ("file", self.texts.entry(name.to_owned()).or_default(), LIST)
        } else {
            return Ok(false);
        };
        all.extend_from_slice(line);
        all.push(b'\n');
        if all.len() > most {
            return Err(AnswerError::TooLong { what, most });
        }
        Ok(true)
    }

    /// What was seen of the agent. `is_root` says whether executables of all users can be read there,
    /// `listening` what listens.
    pub(super) fn finish(
        &self,
        options: &Options,
        is_root: bool,
        listening: Option<&BTreeSet<Listener>>,
    ) -> Observed<AgentFacts> {
        let tars = options.tars();
        let conf = self.text_of(CONF, &self.conf);
        let util = self.util.iter();
        let util =
            util.map(|(name, raw)| (name.clone(), self.text_of(&format!("util/{name}"), raw)));
        let util = util.collect();
        let own = self.own_processes(&tars, is_root);
        let agent = match self.present {
            None => Observed::Unknown("the framework's folder cannot be entered".to_owned()),
            Some(false) => Observed::Absent,
            Some(true) => Observed::Present(()),
        };
        // A process without a folder is still a process: it must be seen, so the agent is present.
        let orphan = agent.is_absent() && !own.is_empty();
        let facts = AgentFacts {
            folder: match (self.folder.clone(), self.strangers.clone()) {
                (Some((owner, mode)), Observed::Present(strangers)) => {
                    Observed::Present(OwnerFact {
                        owner,
                        mode,
                        strangers,
                    })
                }
                (Some((owner, mode)), _) => Observed::Present(OwnerFact {
                    owner,
                    mode,
                    strangers: vec![],
                }),
                (None, _) if orphan => Observed::Absent,
                (None, _) => not_reported(),
            },
            binary: if orphan {
                Observed::Absent
            } else {
                self.binary.clone()
            },
            conf: if orphan {
                Observed::Absent
            } else {
                conf.clone()
            },
            util,
            generated_conf: self.generated,
            processes: match (self.all_processes, own) {
                (Some(true), all) => Observed::Present(all),
                (Some(false), some) if !some.is_empty() => Observed::Present(some),
                (Some(false), _) => Observed::Unknown(
                    "processes of other users cannot be seen there without root".to_owned(),
                ),
                (None, _) => Observed::Unknown("the host has no /proc".to_owned()),
            },
            listening: is_listening(&conf, listening),
            servers: self.servers(&tars),
        };
        match agent {
            Observed::Present(()) => Observed::Present(facts),
            Observed::Absent if orphan => Observed::Present(facts),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why),
        }
    }

    /// A text file with its text, which has to be as long as the file is.
    fn text_of(&self, name: &str, raw: &RawText) -> Observed<TextFact> {
        let (mode, owner, size) = match raw {
            RawText::Seen(seen) => return seen.clone(),
            RawText::Text { mode, owner, size } => (*mode, owner, *size),
        };
        let text = self.texts.get(name).map_or(&[][..], Vec::as_slice);
        // The last line has an end here, also where it has none in the file.
        let text = match text.len().checked_sub(size) {
            Some(0) => text,
            Some(1) => text.strip_suffix(b"\n").unwrap_or(text),
            _ => {
                let why = "it changed while it was read, or it is no text".to_owned();
                return Observed::Unknown(why);
            }
        };
        match String::from_utf8(text.to_owned()) {
            Ok(text) => Observed::Present(TextFact {
                text,
                mode,
                owner: owner.clone(),
            }),
            Err(_) => Observed::Unknown("it is not UTF-8 text".to_owned()),
        }
    }

    /// The arguments of a process; none of one that has ended since.
    fn arguments_of(&self, pid: u32) -> Vec<String> {
        let all = self.arguments.get(&pid).map_or(&[][..], Vec::as_slice);
        let all = all.strip_suffix(b"\n").unwrap_or(all);
        let words = all.split(|b| *b == 0).take(ARGUMENTS);
        words
            .map(|a| String::from_utf8_lossy(a).into_owned())
            .collect()
    }

    /// Processes that are the service `tarsnode` of this installation: neither its `--monitor` nor
    /// an editor with the path on its command line.
    fn own_processes(&self, tars: &str, is_root: bool) -> Vec<ProcessFact> {
        let bin = format!("{tars}/tarsnode/bin/tarsnode");
        let questions = ["--monitor", "--version", "--nodeversion", "--tarsversion"];
        self.processes
            .iter()
            .filter(|p| self.arguments.contains_key(&p.pid))
            .map(|p| (p, self.arguments_of(p.pid)))
            .filter(|(p, args)| {
                let exe = p.exe.trim_end_matches(" (deleted)");
                exe == bin || args.first().is_some_and(|a| *a == bin)
            })
            .filter(|(_, args)| !args.iter().any(|a| questions.contains(&a.as_str())))
            .map(|(p, args)| {
                let flag = |name: &str| {
                    args.iter()
                        .rev()
                        .find_map(|a| a.strip_prefix(name))
                        .map(|value| value.chars().take(NAME).collect())
                };
                ProcessFact {
                    pid: p.pid,
                    exe: match p.digest.as_deref().map(str::parse) {
                        Some(Ok(digest)) => Observed::Present(digest),
                        _ if is_root => Observed::Unknown(
                            "the executable of the process cannot be read".to_owned(),
                        ),
                        _ => Observed::Unknown(
                            "the executable of the process cannot be read without root".to_owned(),
                        ),
                    },
                    exe_deleted: p.exe.ends_with(" (deleted)"),
                    user: p.user.clone(),
                    nodeid: flag("--nodeid="),
                    config: flag("--config="),
                }
            })
            .collect()
    }

    /// Servers whose processes run from below tarsnode's data folder.
    fn servers(&self, tars: &str) -> Vec<String> {
        let data = format!("{tars}/tarsnode/data/");
        let set: BTreeSet<String> = self
            .processes
            .iter()
            .filter_map(|p| {
                let args = self.arguments_of(p.pid);
                std::iter::once(&p.exe)
                    .chain(&args)
                    .find_map(|a| a.find(&data).and_then(|at| a.get(at + data.len()..)))
                    .and_then(|rest| rest.split('/').next())
                    .filter(|name| name.len() <= NAME)
                    .filter(|name| name.contains('.') && !name.starts_with("tars."))
                    .map(str::to_owned)
            })
            .collect();
        set.into_iter().collect()
    }
}

/// Whether the endpoint that the configuration names listens.
fn is_listening(
    conf: &Observed<TextFact>,
    listening: Option<&BTreeSet<Listener>>,
) -> Observed<bool> {
    let Some(all) = listening else {
        return Observed::Unknown("the host's listeners cannot be seen".to_owned());
    };
    let conf = conf
        .present()
        .and_then(|c| tarsops_conf::Document::parse(&c.text).ok())
        .map(|doc| tarsops_conf::tarsnode::read(&doc));
    let port = conf
        .as_ref()
        .and_then(|c| c.endpoint_port)
        .unwrap_or(SERVER_OBJ_PORT);
    let host: Option<IpAddr> = conf
        .and_then(|c| c.endpoint_host)
        .and_then(|h| h.parse().ok());
    Observed::Present(
        all.iter()
            .any(|(ip, p)| *p == port && (ip.is_unspecified() || host.is_none_or(|h| h == *ip))),
    )
}

/// A text file whose state begins at a word.
fn raw_text(line: &Line<'_>, at: usize) -> Result<RawText, AnswerError> {
    let too_large = || Observed::Unknown(format!("it is larger than {} KiB", FILE >> 10));
    let seen = match line.word(at)? {
        "absent" => Observed::Absent,
        "text" => {
            let size: usize = line.value(at + 3)?;
            if size <= FILE {
                return Ok(RawText::Text {
                    mode: line.mode(at + 1)?,
                    owner: line.name(at + 2)?.to_owned(),
                    size,
                });
            }
            too_large()
        }
        _ => match line.word(at + 1)? {
            "too-large" => too_large(),
            "not-a-file" => Observed::Unknown("it is not a regular file".to_owned()),
            _ => Observed::Unknown("it cannot be read".to_owned()),
        },
    };
    Ok(RawText::Seen(seen))
}
