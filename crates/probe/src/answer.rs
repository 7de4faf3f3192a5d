//! Reads the probe script's answer; its format is told at the head of `probe.sh`.
//!
//! Nothing is believed that is not whole: an answer without its last line, or with another number
//! of lines than that line says, is no answer at all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use base64::Engine as _;
use tarsops_model::agent::{
    AgentFacts, FileFact, OwnerFact, ProcessFact, SERVER_OBJ_PORT, TextFact,
};
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{HostFacts, LeaseFacts, Unfinished};
use tarsops_model::names::{RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;
use tarsops_transport::FaultKind;

use crate::Options;
use crate::limits::{
    ADDRESSES, ARGUMENTS, CRONTAB, FILE, LIST, LISTENERS, NAME, NAMES, PATH, PROCESSES,
};
use crate::network::{Listener, addresses, listeners};

/// Why an answer could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The first line did not come: another program answered, or the shell did not run the script.
    #[error("it does not begin as a probe answer does")]
    NoBeginning,
    /// The last line did not come, or lines are missing.
    #[error("it is cut off")]
    CutOff,
    /// A part of it is larger than is read.
    #[error("it says more than {} KiB of its {what}", .most >> 10)]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Bytes that are read.
        most: usize,
    },
    /// It has more of a kind than is read.
    #[error("it names more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// So many are read.
        most: usize,
    },
    /// A line is not as the script writes it.
    #[error("the line `{}` is not understood", .0.chars().take(80).collect::<String>().escape_debug())]
    Line(String),
}

impl AnswerError {
    /// What kind of failure of the host it is.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::TooLong { .. } | Self::TooMany { .. } => FaultKind::TooMuch,
            Self::NoBeginning | Self::CutOff | Self::Line(_) => FaultKind::Garbled,
        }
    }
}

type Servers = BTreeMap<Component, Observed<ServerFacts>>;
type Answer = (HostFacts, Observed<AgentFacts>, Servers);

/// Reads `stdout` of a probe that was given `nonce` at `now` (seconds since 1970).
pub(crate) fn read(
    stdout: &[u8],
    nonce: &str,
    options: &Options,
    now: i64,
) -> Result<Answer, AnswerError> {
    // Banners before it may be of any kind; what the script writes is ASCII.
    let text = String::from_utf8_lossy(stdout);
    let first = format!("tarsops-probe/1 {nonce}");
    let mut lines = text.lines().skip_while(|l| *l != first);
    lines.next().ok_or(AnswerError::NoBeginning)?;
    let mut state = State::new(options, now);
    for (count, line) in (1usize..).zip(lines) {
        if let Some(total) = line.strip_prefix("end ") {
            return if total.trim().parse() == Ok(count) {
                Ok(state.finish())
            } else {
                Err(AnswerError::CutOff)
            };
        }
        if state.line(line).is_none() {
            return Err(state
                .excess
                .unwrap_or_else(|| AnswerError::Line(line.chars().take(60).collect())));
        }
    }
    Err(AnswerError::CutOff)
}

fn decode(word: &str) -> Option<Vec<u8>> {
    if word == "-" {
        return Some(Vec::new());
    }
    if let Some(hex) = word.strip_prefix("hex:") {
        return (0..hex.len() / 2)
            .map(|i| {
                hex.get(2 * i..2 * i + 2)
                    .and_then(|h| u8::from_str_radix(h, 16).ok())
            })
            .collect();
    }
    base64::engine::general_purpose::STANDARD.decode(word).ok()
}

/// Bytes that a word stands for, or a few more.
fn decoded_size(word: &str) -> usize {
    match word.strip_prefix("hex:") {
        Some(hex) => hex.len() / 2,
        None => (word.len() / 4 * 3).saturating_sub(2),
    }
}

fn mode(word: &str) -> Option<u32> {
    u32::from_str_radix(word, 8).ok()
}

/// A process line, before it is known which binary is ours.
struct RawProcess {
    pid: u32,
    user: String,
    digest: Option<String>,
    exe: String,
    args: Vec<String>,
}

struct State<'a> {
    options: &'a Options,
    /// Why a line was refused, where it was for its size.
    excess: Option<AnswerError>,
    now: i64,
    host: HostFacts,
    present: Option<bool>,
    folder: Option<(String, u32)>,
    strangers: Observed<Vec<String>>,
    binary: Observed<FileFact>,
    conf: Observed<TextFact>,
    util: BTreeMap<String, Observed<TextFact>>,
    generated: bool,
    processes: Vec<RawProcess>,
    all_processes: Option<bool>,
    listening: Option<BTreeSet<Listener>>,
    /// Programs that are there and do not work, and what they said.
    broken: BTreeMap<String, String>,
    servers: BTreeMap<Component, Observed<Observed<FileFact>>>,
    server_processes: BTreeMap<Component, Vec<ProcessFact>>,
}

/// The agent's scripts that a look reports.
const SCRIPTS: [&str; 4] = ["start.sh", "stop.sh", "execute.sh", "monitor.sh"];

fn not_told<T>() -> Observed<T> {
    Observed::Unknown("the host did not tell".to_owned())
}

impl<'a> State<'a> {
    fn new(options: &'a Options, now: i64) -> Self {
        Self {
            options,
            excess: None,
            now,
            host: HostFacts {
                machine_id: not_told(),
                boot_id: not_told(),
                uptime: None,
                runs_from: None,
                hostname: String::new(),
                interfaces: not_told(),
                clock_skew: 0,
                user: String::new(),
                is_root: false,
                run_user: not_told(),
                disk_free: not_told(),
                writable: not_told(),
                tools: BTreeMap::new(),
                crontab: not_told(),
                other_crontabs: BTreeMap::new(),
                fence: None,
                unfinished: None,
                lease: None,
                staged: BTreeSet::new(),
                components: not_told(),
                installed: not_told(),
                labels: None,
                restarts: BTreeSet::new(),
                ports: not_told(),
                unsafe_state: None,
                impostors: BTreeMap::new(),
                digests_remembered: false,
            },
            present: None,
            folder: None,
            strangers: not_told(),
            binary: not_told(),
            conf: not_told(),
            util: BTreeMap::new(),
            generated: false,
            processes: Vec::new(),
            all_processes: None,
            listening: None,
            broken: BTreeMap::new(),
            servers: BTreeMap::new(),
            server_processes: BTreeMap::new(),
        }
    }

    /// What a word stands for, as bytes.
    fn bytes(&mut self, what: &'static str, word: &str, most: usize) -> Option<Vec<u8>> {
        if decoded_size(word) > most {
            self.excess = Some(AnswerError::TooLong { what, most });
            return None;
        }
        decode(word)
    }

    /// What a word stands for, as a text without blanks at its end.
    fn text(&mut self, what: &'static str, word: &str, most: usize) -> Option<String> {
        let bytes = self.bytes(what, word, most)?;
        Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// Whether so many are no more than are read.
    fn fits(&mut self, what: &'static str, count: usize, most: usize) -> Option<()> {
        if count > most {
            self.excess = Some(AnswerError::TooMany { what, most });
            return None;
        }
        Some(())
    }

    /// What a word lists, a line each.
    fn list(&mut self, what: &'static str, word: &str, most: usize) -> Option<String> {
        let text = self.text(what, word, LIST)?;
        self.fits(what, text.lines().count(), most)?;
        Some(text)
    }

    /// Takes one line; `None` if it is not as the script writes it. Lines with a first word that we
    /// do not know are passed over: a newer script may say more.
    fn line(&mut self, line: &str) -> Option<()> {
        // No line has more words; one of blanks alone would cost sixteen times its size.
        let words: Vec<&str> = line.splitn(10, ' ').collect();
        let word = |i: usize| words.get(i).copied();
        let name = |i: usize| word(i).filter(|w| w.len() <= NAME);
        match *words.first()? {
            "clock" => {
                self.host.clock_skew = word(1)?.parse::<i64>().ok()?.checked_sub(self.now)?
            }
            "user" => {
                self.host.user = name(1)?.to_owned();
                self.host.is_root = word(2)? == "1";
            }
            "hostname" => self.host.hostname = self.text("name", word(1)?, PATH)?,
            "machine-id" => self.host.machine_id = told(name(1)?, "it has no /etc/machine-id"),
            "elsewhere" => {
                let path = self.text("path of another installation", word(1)?, PATH)?;
                self.host.runs_from = Some(path.trim().to_owned());
            }
            "uptime" => self.host.uptime = hundredths(word(1)?),
            "boot-id" => self.host.boot_id = told(name(1)?, "it has no boot id"),
            "interfaces" => {
                self.host.interfaces = if word(1)? == "none" {
                    Observed::Unknown("no program there tells the addresses".to_owned())
                } else {
                    let text = self.text("network interfaces", word(2)?, LIST)?;
                    let all = addresses(&text);
                    self.fits("network addresses", all.len(), ADDRESSES)?;
                    Observed::Present(all)
                };
            }
            "tool" => {
                self.host.tools.insert(name(1)?.to_owned(), word(2)? == "1");
                self.fits("tools", self.host.tools.len(), NAMES)?;
            }
            "run-user" => {
                self.host.run_user = if word(1)? == "1" {
                    Observed::Present(())
                } else {
                    Observed::Absent
                };
            }
            "disk" => {
                self.host.disk_free = match word(1)? {
                    "slow" => Observed::Unknown("df did not answer within 10 s".to_owned()),
                    kib => kib.parse::<u64>().map_or_else(
                        |_| Observed::Unknown("df did not tell".to_owned()),
                        |kib| Observed::Present(kib.saturating_mul(1024)),
                    ),
                };
            }
            "broken" => {
                let said = self.text("failure of a program", word(2)?, PATH)?;
                self.broken.insert(name(1)?.to_owned(), said);
                self.fits("programs that do not work", self.broken.len(), NAMES)?;
            }
            "writable" => self.host.writable = Observed::Present(word(1)? == "1"),
            "crontab" => {
                self.host.crontab = match word(1)? {
                    "absent" => Observed::Absent,
                    "text" if decoded_size(word(2)?) > CRONTAB => {
                        Observed::Unknown(format!("it is larger than {} KiB", CRONTAB >> 10))
                    }
                    "text" => match String::from_utf8(decode(word(2)?)?) {
                        Ok(text) => Observed::Present(listed(text)),
                        Err(_) => Observed::Unknown("it is no UTF-8 text".to_owned()),
                    },
                    "unknown" if word(2)? == "no-crontab-program" => {
                        Observed::Unknown("the host has no crontab program".to_owned())
                    }
                    _ => {
                        let said = self.text("failure to show a crontab", word(3)?, PATH)?;
                        Observed::Unknown(crontab_failure(&said))
                    }
                };
            }
            "other-crontab" if decoded_size(word(2)?) <= CRONTAB => {
                let text = self.text("crontab", word(2)?, CRONTAB)?;
                let (place, text) = match word(1)? {
                    "root" => ("root's crontab", listed(text)),
                    _ => ("/etc/crontab or /etc/cron.d", without_users(&text)),
                };
                self.host.other_crontabs.insert(place.to_owned(), text);
            }
            "base" if word(1)? == "untrusted" => {
                self.host.unsafe_state = Some(self.text("folder", word(2)?, PATH)?);
            }
            "impostor" => {
                let (pid, uid) = (word(1)?.parse().ok()?, word(2)?.parse::<u32>().ok()?);
                self.host.impostors.insert(pid, format!("uid {uid}"));
            }
            "fence" => self.host.fence = RunId::new(name(1)?).ok(),
            "current" => {
                self.host.unfinished = Some(Unfinished {
                    run: RunId::new(name(1)?).ok()?,
                    // It becomes a part of a path that is entered as root.
                    step: StepName::new(name(2)?).ok()?,
                    alive: match word(3)? {
                        "0" => false,
                        "1" => true,
                        _ => return None,
                    },
                });
            }
            "lease" => self.host.lease = lease(name(1)?, &self.text("lease", word(2)?, PATH)?),
            "labels" => {
                self.host.labels = NodeLabels::from_text(&self.text("labels", word(1)?, PATH)?);
            }
            "restart" => {
                let text = self.text("pending restarts", word(1)?, PATH)?;
                let named = text
                    .lines()
                    .filter_map(|name| name.parse::<Component>().ok());
                self.host.restarts.extend(named);
            }
            "staged" => {
                if let Ok(digest) = word(1)?.parse() {
                    self.host.staged.insert(digest);
                    self.fits("staged files", self.host.staged.len(), NAMES)?;
                }
            }
            "agent" => {
                self.present = match word(1)? {
                    "present" => Some(true),
                    "absent" => Some(false),
                    _ => None,
                };
            }
            "folder" => {
                let owner = name(1)?.to_owned();
                self.folder = mode(word(2)?).map(|m| (owner, m));
            }
            "strangers" => {
                self.strangers = match word(1)? {
                    "unknown" => Observed::Unknown("the run user does not exist".to_owned()),
                    body => {
                        let text = self.list("files of other users", body, NAMES)?;
                        let names = text.lines().map(|l| l.strip_prefix("./").unwrap_or(l));
                        Observed::Present(names.map(str::to_owned).collect())
                    }
                };
            }
            "binary" => {
                self.binary = match word(1)? {
                    "file" => Observed::Present(FileFact {
                        digest: word(2)?.parse().ok()?,
                        size: word(3)?.parse().ok()?,
                        mode: mode(word(4)?)?,
                        owner: name(5)?.to_owned(),
                    }),
                    "absent" => Observed::Absent,
                    _ => unread(word(2), "the file cannot be read"),
                };
            }
            "server" => {
                if let Ok(component) = word(1)?.parse() {
                    let seen = match word(2)? {
                        "absent" => Observed::Absent,
                        "none" => Observed::Present(Observed::Absent),
                        "file" => Observed::Present(Observed::Present(FileFact {
                            digest: word(3)?.parse().ok()?,
                            size: word(4)?.parse().ok()?,
                            mode: mode(word(5)?)?,
                            owner: name(6)?.to_owned(),
                        })),
                        _ => unread(word(3), "its folder cannot be read"),
                    };
                    self.servers.insert(component, seen);
                }
            }
            "server-process" => {
                if let Ok(component) = word(1)?.parse() {
                    let exe = self.text("executable of a process", word(5)?, PATH)?;
                    let process = ProcessFact {
                        pid: word(2)?.parse().ok()?,
                        user: name(3)?.to_owned(),
                        exe: match word(4)?.parse() {
                            Ok(digest) => Observed::Present(digest),
                            Err(_) => Observed::Unknown("its executable cannot be read".to_owned()),
                        },
                        exe_deleted: exe.ends_with(" (deleted)"),
                        nodeid: None,
                        config: None,
                    };
                    let all = self.server_processes.entry(component).or_default();
                    all.push(process);
                    let count = all.len();
                    self.fits("processes of one component", count, PROCESSES)?;
                }
            }
            "conf" => self.conf = text_fact(&words[1..])?,
            "util" => {
                // Names of files go into paths, so that none but those that were asked for count.
                if let Some(script) = SCRIPTS.iter().find(|s| Some(**s) == word(1)) {
                    self.util
                        .insert((*script).to_owned(), text_fact(&words[2..])?);
                }
            }
            "generated" => self.generated = word(1)? == "1",
            "process" => {
                let exe = self.text("executable of a process", word(4)?, PATH)?;
                let args = self
                    .bytes("arguments of a process", word(5)?, LIST)?
                    .split(|b| *b == 0)
                    .take(ARGUMENTS)
                    .map(|a| String::from_utf8_lossy(a).into_owned())
                    .collect();
                self.fits("processes", self.processes.len() + 1, PROCESSES)?;
                self.processes.push(RawProcess {
                    pid: word(1)?.parse().ok()?,
                    user: name(2)?.to_owned(),
                    digest: (name(3)? != "-").then(|| name(3).unwrap_or_default().to_owned()),
                    exe,
                    args,
                });
            }
            "processes" => {
                self.all_processes = match word(1)? {
                    "all" => Some(true),
                    "some" => Some(false),
                    _ => None,
                };
            }
            "exes" => {
                let text = self.list("executables", word(2)?, NAMES)?;
                let tars = format!("{}/", self.tars());
                let names = text
                    .lines()
                    .filter_map(|l| l.strip_prefix(&tars)?.split_once('/'))
                    .filter(|(name, rest)| {
                        rest.trim_end_matches(" (deleted)") == format!("bin/{name}")
                    })
                    .map(|(name, _)| name.to_owned())
                    .collect();
                // Another user's executables show to root and to that user only.
                self.host.components =
                    if word(1)? == "1" || self.host.user == self.options.run_user.as_str() {
                        Observed::Present(names)
                    } else {
                        Observed::Unknown("only root may see what other users run".to_owned())
                    };
            }
            "installed" => {
                self.host.installed = if word(1)? == "list" {
                    let names = self.list("components", word(2)?, NAMES)?;
                    Observed::Present(names.lines().map(str::to_owned).collect())
                } else {
                    Observed::Unknown("the framework's folder cannot be read".to_owned())
                };
            }
            "listen" => {
                let text = self.list("listeners", word(1)?, LISTENERS)?;
                self.listening = (word(1)? != "-" || !text.is_empty()).then(|| listeners(&text));
            }
            "remembered" => self.host.digests_remembered = word(1)? == "1",
            _ => {}
        }
        Some(())
    }

    fn finish(mut self) -> Answer {
        self.host.ports = match (&self.listening, &self.host.interfaces) {
            (Some(all), Observed::Present(own)) => Observed::Present(
                all.iter()
                    .filter(|(ip, _)| ip.is_unspecified() || own.contains(ip))
                    .map(|(_, port)| *port)
                    .collect(),
            ),
            _ => Observed::Unknown("the host's listeners cannot be seen".to_owned()),
        };
        let agent = match self.present {
            None => Observed::Unknown("the framework's folder cannot be entered".to_owned()),
            Some(false) => Observed::Absent,
            Some(true) => Observed::Present(()),
        };
        // A process without a folder is still a process: it must be seen, so the agent is present.
        let orphan = agent.is_absent() && !self.own_processes().is_empty();
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
                (None, _) => not_told(),
            },
            binary: if orphan {
                Observed::Absent
            } else {
                self.binary.clone()
            },
            conf: if orphan {
                Observed::Absent
            } else {
                self.conf.clone()
            },
            util: self.util.clone(),
            generated_conf: self.generated,
            processes: match (self.all_processes, self.own_processes()) {
                (Some(true), all) => Observed::Present(all),
                (Some(false), some) if !some.is_empty() => Observed::Present(some),
                (Some(false), _) => Observed::Unknown(
                    "processes of other users cannot be seen there without root".to_owned(),
                ),
                (None, _) => Observed::Unknown("the host has no /proc".to_owned()),
            },
            listening: self.is_listening(),
            servers: self.servers(),
        };
        let agent = match agent {
            Observed::Present(()) => Observed::Present(facts),
            Observed::Absent if orphan => Observed::Present(facts),
            Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why),
        };
        let servers = self.other_servers();
        let Some(why) = self.broken() else {
            return (self.host, agent, servers);
        };
        // What such programs have shown is not believed, and least of all what they have not.
        self.host.components = Observed::Unknown(why.clone());
        self.host.installed = Observed::Unknown(why.clone());
        self.host.ports = Observed::Unknown(why.clone());
        let servers = servers
            .into_keys()
            .map(|component| (component, Observed::Unknown(why.clone())))
            .collect();
        (self.host, Observed::Unknown(why), servers)
    }

    /// Names the programs that do not work, if there are any.
    fn broken(&self) -> Option<String> {
        let all: Vec<String> = self
            .broken
            .iter()
            .map(|(program, said)| {
                let said = match said.lines().last().unwrap_or_default() {
                    "" => String::new(),
                    said => format!(" ({said})"),
                };
                format!("its {program} does not work{said}")
            })
            .collect();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The other components. One without a folder that runs is there all the same.
    fn other_servers(&mut self) -> Servers {
        let mut processes = std::mem::take(&mut self.server_processes);
        std::mem::take(&mut self.servers)
            .into_iter()
            .map(|(component, file)| {
                let own = processes.remove(&component).unwrap_or_default();
                let processes = match &self.host.components {
                    Observed::Present(_) => Observed::Present(own.clone()),
                    _ if !own.is_empty() => Observed::Present(own.clone()),
                    other => Observed::Unknown(
                        other
                            .unknown()
                            .unwrap_or("processes were not told")
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

    fn tars(&self) -> String {
        format!("{}/tars", self.options.install_path)
    }

    /// Processes that are the service `tarsnode` of this installation: neither its `--monitor` nor
    /// an editor with the path on its command line.
    fn own_processes(&self) -> Vec<ProcessFact> {
        let bin = format!("{}/tarsnode/bin/tarsnode", self.tars());
        let questions = ["--monitor", "--version", "--nodeversion", "--tarsversion"];
        self.processes
            .iter()
            .filter(|p| {
                let exe = p.exe.trim_end_matches(" (deleted)");
                exe == bin || p.args.first().is_some_and(|a| *a == bin)
            })
            .filter(|p| !p.args.iter().any(|a| questions.contains(&a.as_str())))
            .map(|p| {
                let flag = |name: &str| {
                    p.args
                        .iter()
                        .rev()
                        .find_map(|a| a.strip_prefix(name))
                        .map(|value| value.chars().take(NAME).collect())
                };
                ProcessFact {
                    pid: p.pid,
                    exe: match p.digest.as_deref().map(str::parse) {
                        Some(Ok(digest)) => Observed::Present(digest),
                        _ if self.host.is_root => Observed::Unknown(
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
    fn servers(&self) -> Vec<String> {
        let data = format!("{}/tarsnode/data/", self.tars());
        let set: BTreeSet<String> = self
            .processes
            .iter()
            .filter_map(|p| {
                std::iter::once(&p.exe)
                    .chain(&p.args)
                    .find_map(|a| a.find(&data).and_then(|at| a.get(at + data.len()..)))
                    .and_then(|rest| rest.split('/').next())
                    .filter(|name| name.len() <= NAME)
                    .filter(|name| name.contains('.') && !name.starts_with("tars."))
                    .map(str::to_owned)
            })
            .collect();
        set.into_iter().collect()
    }

    /// Whether the endpoint that the configuration names listens.
    fn is_listening(&self) -> Observed<bool> {
        let Some(all) = &self.listening else {
            return Observed::Unknown("the host's listeners cannot be seen".to_owned());
        };
        let conf = self
            .conf
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
            all.iter().any(|(ip, p)| {
                *p == port && (ip.is_unspecified() || host.is_none_or(|h| h == *ip))
            }),
        )
    }
}

/// Hundredths of a second of a number such as `350735.47`; nothing where it is none.
fn hundredths(word: &str) -> Option<u64> {
    let (seconds, rest) = word.split_once('.')?;
    let rest: u64 = rest.parse().ok().filter(|_| rest.len() == 2)?;
    seconds
        .parse::<u64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(rest)
}

/// A crontab as it is, from what `crontab -l` prints. Its last line has an end, as crontab(1) takes none
/// without, and a change would add it. Debian's prints a carriage return at the end of a line as two
/// characters.
fn listed(text: String) -> String {
    let mut text = text;
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.replace("\\r\n", "\r\n")
}

/// The crontab of the system as a user's: without the field behind the time, which names the user.
fn without_users(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let times = match words.first() {
            Some(first) if first.starts_with('@') => 1,
            _ => 5,
        };
        let setting = words.iter().take(2).any(|w| w.contains('='));
        if words.len() > times + 1 && !setting && !line.trim_start().starts_with('#') {
            let kept = words.iter().enumerate().filter(|(n, _)| *n != times);
            let kept: Vec<&str> = kept.map(|(_, word)| *word).collect();
            out.push_str(&kept.join(" "));
        } else {
            out.push_str(line);
        }
        out.push('\n');
    }
    out
}

/// What crontab(1) says of a failure, in one line and without its advice to read the manual.
fn crontab_failure(said: &str) -> String {
    let lines: Vec<&str> = said
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with("See crontab("))
        .collect();
    match lines.as_slice() {
        [] => "crontab -l fails without a word".to_owned(),
        lines => lines.join("; "),
    }
}

/// Why a file could not be read.
fn unread<T>(word: Option<&str>, otherwise: &str) -> Observed<T> {
    Observed::Unknown(match word {
        Some("no-digest") => "no program there makes its sha256: none of openssl, sha256sum, busybox and shasum works".to_owned(),
        Some("too-large") => "it is larger than any program of the framework".to_owned(),
        _ => otherwise.to_owned(),
    })
}

fn told(word: &str, why: &str) -> Observed<String> {
    if word == "-" {
        Observed::Unknown(why.to_owned())
    } else {
        Observed::Present(word.to_owned())
    }
}

fn text_fact(words: &[&str]) -> Option<Observed<TextFact>> {
    Some(match *words.first()? {
        "absent" => Observed::Absent,
        "text" if decoded_size(words.get(3)?) > FILE => too_large(),
        "text" => match String::from_utf8(decode(words.get(3)?)?) {
            Ok(text) => Observed::Present(TextFact {
                text,
                mode: mode(words.get(1)?)?,
                owner: words.get(2).filter(|w| w.len() <= NAME)?.to_string(),
            }),
            Err(_) => Observed::Unknown("it is no UTF-8 text".to_owned()),
        },
        _ => match *words.get(1)? {
            "too-large" => too_large(),
            "not-a-file" => Observed::Unknown("it is not a regular file".to_owned()),
            _ => Observed::Unknown("it cannot be read".to_owned()),
        },
    })
}

fn too_large() -> Observed<TextFact> {
    Observed::Unknown(format!("it is larger than {} KiB", FILE >> 10))
}

fn lease(host_clock: &str, text: &str) -> Option<LeaseFacts> {
    let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name));
    let clock: u64 = host_clock.parse().ok()?;
    let beat: u64 = field("beat=")?.parse().ok()?;
    Some(LeaseFacts {
        holder: field("holder=")?.to_owned(),
        run: RunId::new(field("run=")?).ok()?,
        age: clock.saturating_sub(beat),
        ttl: field("ttl=")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn options() -> Options {
        Options {
            cluster: "prod".parse().unwrap(),
            install_path: "/usr/local/app".parse().unwrap(),
            run_user: "tars".parse().unwrap(),
            rehash: false,
            fence: None,
            parallel: 1,
            deadline: std::time::Duration::from_secs(1),
            servers: vec![],
        }
    }

    fn answer(lines: &[String]) -> Result<Answer, AnswerError> {
        let mut text = "tarsops-probe/1 n\n".to_owned();
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&format!("end {}\n", lines.len() + 1));
        read(text.as_bytes(), "n", &options(), 0)
    }

    fn encoded(text: &str) -> String {
        STANDARD.encode(text)
    }

    /// Lines of a kind of which one more than `most` is refused.
    fn many(what: &str, most: usize, line: impl Fn(usize) -> String) {
        let lines: Vec<String> = (0..=most).map(line).collect();
        assert!(answer(&lines[..most]).is_ok(), "{what}");
        let why = answer(&lines).unwrap_err();
        assert!(
            matches!(why, AnswerError::TooMany { most: m, .. } if m == most),
            "{what}: {why}"
        );
        assert_eq!(why.kind(), FaultKind::TooMuch);
        assert!(why.to_string().contains(&most.to_string()), "{why}");
    }

    /// A list in one word of which one more than `most` is refused.
    fn long_list(before: &str, most: usize, entry: impl Fn(usize) -> String) {
        let list = |n: usize| (0..n).map(|i| entry(i) + "\n").collect::<String>();
        let line = |n| vec![format!("{before} {}", encoded(&list(n)))];
        assert!(answer(&line(most)).is_ok(), "{before}");
        let why = answer(&line(most + 1)).unwrap_err();
        assert!(
            matches!(why, AnswerError::TooMany { most: m, .. } if m == most),
            "{before}: {why}"
        );
    }

    #[test]
    fn lists_have_a_length() {
        many("processes", PROCESSES, |i| {
            format!("process {i} tars - - {}", encoded("x"))
        });
        many("processes of one component", PROCESSES, |i| {
            format!("server-process tarsconfig {i} tars - {}", encoded("x"))
        });
        many("tools", NAMES, |i| format!("tool t{i} 1"));
        many("staged files", NAMES, |i| format!("staged {i:064x}"));
        long_list("installed list", NAMES, |i| i.to_string());
        long_list("exes 1", NAMES, |i| i.to_string());
        long_list("strangers", NAMES, |i| i.to_string());
        long_list("listen", LISTENERS, |i| format!("{i:08X}:0016"));
        long_list("interfaces ip", ADDRESSES, |i| {
            std::net::Ipv4Addr::from(u32::try_from(i).unwrap()).to_string()
        });
    }

    #[test]
    fn words_have_a_length() {
        let long = |before: &str, most: usize, after: &str| {
            let word = encoded(&"x".repeat(most + 3));
            let why = answer(&[format!("{before} {word}{after}")]).unwrap_err();
            assert!(
                matches!(why, AnswerError::TooLong { most: m, .. } if m == most),
                "{before}: {why}"
            );
            assert_eq!(why.kind(), FaultKind::TooMuch);
        };
        long("hostname", PATH, "");
        long("crontab unknown error", PATH, "");
        long("lease 1", PATH, "");
        long("labels", PATH, "");
        long("restart", PATH, "");
        long("interfaces ip", LIST, "");
        long("listen", LIST, "");
        long("exes 1", LIST, "");
        long("installed list", LIST, "");
        long("strangers", LIST, "");
        long("process 1 tars -", PATH, " eA==");
        long("process 1 tars - eA==", LIST, "");
        long("server-process tarsconfig 1 tars -", PATH, "");
        let name = "x".repeat(NAME + 1);
        for line in [
            format!("user {name} 1"),
            format!("machine-id {name}"),
            format!("boot-id {name}"),
            format!("tool {name} 1"),
            format!("folder {name} 755"),
            format!("process 1 {name} - eA== eA=="),
            format!("conf text 644 {name} eA=="),
        ] {
            let read = answer(std::slice::from_ref(&line));
            assert!(matches!(read, Err(AnswerError::Line(_))), "{line:.20}");
        }
    }

    #[test]
    fn a_large_file_is_unknown_and_the_host_is_not() {
        let present = "agent present".to_owned();
        let crontab = |n| format!("crontab text {}", encoded(&"x".repeat(n)));
        let conf = |n| format!("conf text 644 root {}", encoded(&"x".repeat(n)));
        let (host, agent, _) = answer(&[present.clone(), crontab(CRONTAB), conf(FILE)]).unwrap();
        assert!(host.crontab.present().is_some());
        assert!(agent.present().unwrap().conf.present().is_some());
        let (host, agent, _) = answer(&[present, crontab(CRONTAB + 3), conf(FILE + 3)]).unwrap();
        assert_eq!(host.crontab.unknown(), Some("it is larger than 256 KiB"));
        let conf = &agent.present().unwrap().conf;
        assert_eq!(conf.unknown(), Some("it is larger than 64 KiB"));
    }

    #[test]
    fn crontabs_are_read_as_they_are() {
        let read = |lines: &[String]| answer(lines).unwrap().0;
        let line = |text: &str| format!("crontab text {}", encoded(text));
        // A last line without an end has one once anybody changes it.
        let host = read(&[line("MAILTO=x\n0 3 * * * true")]);
        let text = "MAILTO=x\n0 3 * * * true\n".to_owned();
        assert_eq!(host.crontab, Observed::Present(text));
        assert_eq!(read(&[line("")]).crontab, Observed::Present(String::new()));
        let said = "You (tars) are not allowed to use this program (crontab)\n\
            See crontab(1) for more information\n";
        let host = read(&[format!("crontab unknown error {}", encoded(said))]);
        assert_eq!(
            host.crontab.unknown(),
            Some("You (tars) are not allowed to use this program (crontab)")
        );
        let system = "SHELL=/bin/sh\n17 * * * * root cd / && run-parts x\n@reboot  root x y\n# a b c d e f g\nA = b c d e f g\n";
        let host = read(&[
            format!("other-crontab system {}", encoded(system)),
            format!("other-crontab root {}", encoded("* * * * * x\n")),
        ]);
        let texts: Vec<&str> = host.other_crontabs.values().map(String::as_str).collect();
        let system = "SHELL=/bin/sh\n17 * * * * cd / && run-parts x\n@reboot x y\n# a b c d e f g\nA = b c d e f g\n";
        assert_eq!(texts, [system, "* * * * * x\n"]);
        let host = read(&[line("MAILTO=x\\r\n0 3 * * * a\\rb\r\n1 3 * * * true\\r")]);
        let text = "MAILTO=x\r\n0 3 * * * a\\rb\r\n1 3 * * * true\r\n".to_owned();
        assert_eq!(host.crontab, Observed::Present(text));
    }

    #[test]
    fn programs_that_do_not_work_make_all_of_it_unknown() {
        let said = encoded("ls: error while loading\n");
        let (host, agent, servers) = answer(&[
            "agent present".to_owned(),
            "server tarsconfig absent".to_owned(),
            "processes all".to_owned(),
            format!("broken ls {said}"),
            "broken stat -".to_owned(),
        ])
        .unwrap();
        let why = Some("its ls does not work (ls: error while loading), its stat does not work");
        assert_eq!(agent.unknown(), why);
        assert_eq!(host.components.unknown(), why);
        assert_eq!(servers[&"tarsconfig".parse().unwrap()].unknown(), why);
    }

    #[test]
    fn names_of_scripts_are_those_that_were_asked_for() {
        let lines = [
            "agent present".to_owned(),
            "util ../../../etc/x text 644 root eA==".to_owned(),
            "util start.sh text 644 root eA==".to_owned(),
        ];
        let (_, agent, _) = answer(&lines).unwrap();
        let names: Vec<&String> = agent.present().unwrap().util.keys().collect();
        assert_eq!(names, ["start.sh"]);
    }

    #[test]
    fn no_clock_and_no_line_of_blanks_is_the_end_of_us() {
        assert!(answer(&[format!("clock {}", i64::MAX)]).is_ok());
        let early = read(
            format!("tarsops-probe/1 n\nclock {}\nend 2\n", i64::MIN).as_bytes(),
            "n",
            &options(),
            1,
        );
        assert!(matches!(early, Err(AnswerError::Line(_))));
        assert!(answer(&[" ".repeat(1 << 20)]).is_ok());
    }
}
