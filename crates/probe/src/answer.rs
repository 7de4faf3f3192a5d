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

use crate::Options;
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
    /// A line is not as the script writes it.
    #[error("the line `{}` is not understood", .0.chars().take(80).collect::<String>().escape_debug())]
    Line(String),
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
        state
            .line(line)
            .ok_or_else(|| AnswerError::Line(line.chars().take(60).collect()))?;
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

fn decode_text(word: &str) -> Option<String> {
    decode(word).map(|b| String::from_utf8_lossy(&b).trim_end().to_owned())
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
    servers: BTreeMap<Component, Observed<Observed<FileFact>>>,
    server_processes: BTreeMap<Component, Vec<ProcessFact>>,
}

fn not_told<T>() -> Observed<T> {
    Observed::Unknown("the host did not tell".to_owned())
}

impl<'a> State<'a> {
    fn new(options: &'a Options, now: i64) -> Self {
        Self {
            options,
            now,
            host: HostFacts {
                machine_id: not_told(),
                boot_id: not_told(),
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
            servers: BTreeMap::new(),
            server_processes: BTreeMap::new(),
        }
    }

    /// Takes one line; `None` if it is not as the script writes it. Lines with a first word that we
    /// do not know are passed over: a newer script may say more.
    fn line(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        let word = |i: usize| words.get(i).copied();
        match *words.first()? {
            "clock" => self.host.clock_skew = word(1)?.parse::<i64>().ok()? - self.now,
            "user" => {
                self.host.user = word(1)?.to_owned();
                self.host.is_root = word(2)? == "1";
            }
            "hostname" => self.host.hostname = decode_text(word(1)?)?,
            "machine-id" => self.host.machine_id = told(word(1)?, "it has no /etc/machine-id"),
            "boot-id" => self.host.boot_id = told(word(1)?, "it has no boot id"),
            "interfaces" => {
                self.host.interfaces = if word(1)? == "none" {
                    Observed::Unknown("no program there tells the addresses".to_owned())
                } else {
                    Observed::Present(addresses(&decode_text(word(2)?)?))
                };
            }
            "tool" => {
                self.host.tools.insert(word(1)?.to_owned(), word(2)? == "1");
            }
            "run-user" => {
                self.host.run_user = if word(1)? == "1" {
                    Observed::Present(())
                } else {
                    Observed::Absent
                };
            }
            "disk" => {
                self.host.disk_free = word(1)?.parse::<u64>().map_or_else(
                    |_| Observed::Unknown("df did not tell".to_owned()),
                    |kib| Observed::Present(kib.saturating_mul(1024)),
                );
            }
            "writable" => self.host.writable = Observed::Present(word(1)? == "1"),
            "crontab" => {
                self.host.crontab = match word(1)? {
                    "absent" => Observed::Absent,
                    "text" => match String::from_utf8(decode(word(2)?)?) {
                        Ok(text) => Observed::Present(text),
                        Err(_) => Observed::Unknown("it is no UTF-8 text".to_owned()),
                    },
                    "unknown" if word(2)? == "no-crontab-program" => {
                        Observed::Unknown("the host has no crontab program".to_owned())
                    }
                    _ => Observed::Unknown(decode_text(word(3)?)?),
                };
            }
            "base" if word(1)? == "untrusted" => {
                self.host.unsafe_state = Some(decode_text(word(2)?)?);
            }
            "impostor" => {
                let (pid, uid) = (word(1)?.parse().ok()?, word(2)?.parse::<u32>().ok()?);
                self.host.impostors.insert(pid, format!("uid {uid}"));
            }
            "fence" => self.host.fence = RunId::new(word(1)?).ok(),
            "current" => {
                self.host.unfinished = Some(Unfinished {
                    run: RunId::new(word(1)?).ok()?,
                    // It becomes a part of a path that is entered as root.
                    step: StepName::new(word(2)?).ok()?,
                    alive: match word(3)? {
                        "0" => false,
                        "1" => true,
                        _ => return None,
                    },
                });
            }
            "lease" => self.host.lease = lease(word(1)?, &decode_text(word(2)?)?),
            "labels" => {
                self.host.labels = NodeLabels::from_text(&decode_text(word(1)?)?);
            }
            "restart" => {
                let text = decode_text(word(1)?)?;
                let named = text
                    .lines()
                    .filter_map(|name| name.parse::<Component>().ok());
                self.host.restarts.extend(named);
            }
            "staged" => {
                if let Ok(digest) = word(1)?.parse() {
                    self.host.staged.insert(digest);
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
                self.folder = mode(word(2)?).map(|m| (word(1).unwrap_or("?").to_owned(), m));
            }
            "strangers" => {
                self.strangers = match word(1)? {
                    "unknown" => Observed::Unknown("the run user does not exist".to_owned()),
                    body => {
                        Observed::Present(decode_text(body)?.lines().map(str::to_owned).collect())
                    }
                };
            }
            "binary" => {
                self.binary = match word(1)? {
                    "file" => Observed::Present(FileFact {
                        digest: word(2)?.parse().ok()?,
                        size: word(3)?.parse().ok()?,
                        mode: mode(word(4)?)?,
                        owner: word(5)?.to_owned(),
                    }),
                    "absent" => Observed::Absent,
                    _ => Observed::Unknown("the file cannot be read".to_owned()),
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
                            owner: word(6)?.to_owned(),
                        })),
                        _ => Observed::Unknown("its folder cannot be read".to_owned()),
                    };
                    self.servers.insert(component, seen);
                }
            }
            "server-process" => {
                if let Ok(component) = word(1)?.parse() {
                    let exe = decode_text(word(5)?)?;
                    let process = ProcessFact {
                        pid: word(2)?.parse().ok()?,
                        user: word(3)?.to_owned(),
                        exe: match word(4)?.parse() {
                            Ok(digest) => Observed::Present(digest),
                            Err(_) => Observed::Unknown("its executable cannot be read".to_owned()),
                        },
                        exe_deleted: exe.ends_with(" (deleted)"),
                        nodeid: None,
                        config: None,
                    };
                    self.server_processes
                        .entry(component)
                        .or_default()
                        .push(process);
                }
            }
            "conf" => self.conf = text_fact(&words[1..])?,
            "util" => {
                self.util
                    .insert(word(1)?.to_owned(), text_fact(&words[2..])?);
            }
            "generated" => self.generated = word(1)? == "1",
            "process" => {
                let exe = String::from_utf8_lossy(&decode(word(4)?)?)
                    .trim_end()
                    .to_owned();
                let args = decode(word(5)?)?
                    .split(|b| *b == 0)
                    .map(|a| String::from_utf8_lossy(a).into_owned())
                    .collect();
                self.processes.push(RawProcess {
                    pid: word(1)?.parse().ok()?,
                    user: word(2)?.to_owned(),
                    digest: (word(3)? != "-").then(|| word(3).unwrap_or_default().to_owned()),
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
                let text = decode_text(word(2)?)?;
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
                    let names = decode_text(word(2)?)?;
                    Observed::Present(names.lines().map(str::to_owned).collect())
                } else {
                    Observed::Unknown("the framework's folder cannot be read".to_owned())
                };
            }
            "listen" => {
                let text = decode_text(word(1)?)?;
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
        (self.host, agent, servers)
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
                        .map(str::to_owned)
                };
                ProcessFact {
                    pid: p.pid,
                    exe: match p.digest.as_deref().map(str::parse) {
                        Some(Ok(digest)) => Observed::Present(digest),
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
        "text" => match String::from_utf8(decode(words.get(3)?)?) {
            Ok(text) => Observed::Present(TextFact {
                text,
                mode: mode(words.get(1)?)?,
                owner: (*words.get(2)?).to_owned(),
            }),
            Err(_) => Observed::Unknown("it is no UTF-8 text".to_owned()),
        },
        _ => Observed::Unknown(match *words.get(1)? {
            "too-large" => "it is larger than 1 MiB".to_owned(),
            "not-a-file" => "it is not a regular file".to_owned(),
            _ => "it cannot be read".to_owned(),
        }),
    })
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
