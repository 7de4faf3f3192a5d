//! The lines about the host as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{HostFacts, LeaseFacts, Unfinished};
use tarsops_model::names::{RunId, StepName};
use tarsops_model::observed::Observed;

use super::line::{AnswerError, Line, fits};
use super::not_reported;
use crate::Options;
use crate::limits::{ADDRESSES, CRONTAB, LIST, LISTENERS, NAMES, PATH};
use crate::network::{Listener, addresses, ipv6, listeners, listeners_of_ss, local};

/// What the lines about the host have said so far.
pub(super) struct HostLines<'a> {
    options: &'a Options,
    now: i64,
    facts: HostFacts,
    listening: Option<BTreeSet<Listener>>,
    /// Programs that are there and do not work, and what they said.
    broken: BTreeMap<String, String>,
    /// Lines of the kernel's table of IPv4 routes, where the addresses come from it.
    routes: Option<String>,
    /// Addresses of the kernel's table of IPv6 addresses.
    addresses: BTreeSet<IpAddr>,
    /// Lines of the crontabs of the system.
    system_crontab: String,
}

impl<'a> HostLines<'a> {
    pub(super) fn new(options: &'a Options, now: i64) -> Self {
        Self {
            options,
            now,
            facts: HostFacts {
                machine_id: not_reported(),
                boot_id: not_reported(),
                uptime: None,
                runs_from: None,
                hostname: String::new(),
                interfaces: not_reported(),
                clock_skew: 0,
                user: String::new(),
                is_root: false,
                run_user: not_reported(),
                disk_free: not_reported(),
                writable: not_reported(),
                tools: BTreeMap::new(),
                crontab: not_reported(),
                other_crontabs: BTreeMap::new(),
                fence: None,
                unfinished: None,
                lease: None,
                staged: BTreeSet::new(),
                components: not_reported(),
                installed: not_reported(),
                labels: None,
                restarts: BTreeSet::new(),
                ports: not_reported(),
                unsafe_state: None,
                impostors: BTreeMap::new(),
                docker: None,
                digests_remembered: false,
            },
            listening: None,
            broken: BTreeMap::new(),
            routes: None,
            addresses: BTreeSet::new(),
            system_crontab: String::new(),
        }
    }

    /// Takes a line; false if it is not about the host.
    pub(super) fn read(&mut self, line: &Line<'_>) -> Result<bool, AnswerError> {
        match line.kind() {
            "clock" => {
                let clock: i64 = line.value(1)?;
                self.facts.clock_skew = clock.checked_sub(self.now).ok_or_else(|| line.error())?;
            }
            "user" => {
                self.facts.user = line.name(1)?.to_owned();
                self.facts.is_root = line.flag(2)?;
            }
            "hostname" => self.facts.hostname = line.text("name", 1, PATH)?,
            "machine-id" => {
                self.facts.machine_id = told(line.name(1)?, "it has no /etc/machine-id")
            }
            "elsewhere" => {
                let path = line.text("path of another installation", 1, PATH)?;
                self.facts.runs_from = Some(path.trim().to_owned());
            }
            "uptime" => self.facts.uptime = hundredths(line.word(1)?),
            "boot-id" => self.facts.boot_id = told(line.name(1)?, "it has no boot id"),
            "interfaces" => match line.word(1)? {
                "none" => {
                    let why = "no program there reports the addresses".to_owned();
                    self.facts.interfaces = Observed::Unknown(why);
                }
                "fib" => self.routes = Some(String::new()),
                _ => {
                    let all = addresses(&line.lines("network interfaces", LIST)?);
                    fits("network addresses", all.len(), ADDRESSES)?;
                    self.facts.interfaces = Observed::Present(all);
                }
            },
            "tool" => {
                self.facts
                    .tools
                    .insert(line.name(1)?.to_owned(), line.flag(2)?);
                fits("tools", self.facts.tools.len(), NAMES)?;
            }
            "run-user" => {
                self.facts.run_user = if line.flag(1)? {
                    Observed::Present(())
                } else {
                    Observed::Absent
                };
            }
            "disk" => {
                self.facts.disk_free = match line.word(1)? {
                    "slow" => Observed::Unknown("df did not answer within 10 s".to_owned()),
                    kib => kib.parse::<u64>().map_or_else(
                        |_| Observed::Unknown("df reported nothing".to_owned()),
                        |kib| Observed::Present(kib.saturating_mul(1024)),
                    ),
                };
            }
            "broken" => {
                let said = match line.get(2) {
                    Some(_) => line.text("failure of a program", 2, PATH)?,
                    None => String::new(),
                };
                self.broken.insert(line.name(1)?.to_owned(), said);
                fits("programs that do not work", self.broken.len(), NAMES)?;
            }
            "writable" => self.facts.writable = Observed::Present(line.flag(1)?),
            "crontab" => match (line.word(1)?, &line.raw) {
                ("raw", Some(raw)) if raw.status == 0 => {
                    self.facts.crontab = if raw.text.len() > CRONTAB {
                        Observed::Unknown(format!("it is larger than {} KiB", CRONTAB >> 10))
                    } else {
                        match String::from_utf8(raw.text.to_owned()) {
                            Ok(text) => Observed::Present(listed(text)),
                            Err(_) => Observed::Unknown("it is not UTF-8 text".to_owned()),
                        }
                    };
                }
                // Why it failed comes in a line of its own.
                ("raw", _) => {}
                ("absent", _) => self.facts.crontab = Observed::Absent,
                ("no-program", _) => {
                    let why = "the host has no crontab program".to_owned();
                    self.facts.crontab = Observed::Unknown(why);
                }
                _ => {
                    let said = line.lines("failure to show a crontab", PATH)?;
                    self.facts.crontab = Observed::Unknown(crontab_failure(&said));
                }
            },
            "other-crontab" => {
                if let Some(raw) = &line.raw
                    && raw.text.len() <= CRONTAB
                    && let Some(text) = with_monitor(&String::from_utf8_lossy(raw.text))
                {
                    let place = "root's crontab".to_owned();
                    self.facts.other_crontabs.insert(place, listed(text));
                }
            }
            "base" if line.word(1)? == "untrusted" => {
                self.facts.unsafe_state = Some(line.text("folder", 2, PATH)?);
            }
            "impostor" => {
                let (pid, uid) = (line.value(1)?, line.value::<u32>(2)?);
                self.facts.impostors.insert(pid, format!("uid {uid}"));
            }
            "fence" => self.facts.fence = RunId::new(line.name(1)?).ok(),
            "current" => {
                self.facts.unfinished = Some(Unfinished {
                    run: RunId::new(line.name(1)?).map_err(|_| line.error())?,
                    // It becomes a part of a path that is entered as root.
                    step: StepName::new(line.name(2)?).map_err(|_| line.error())?,
                    alive: match line.word(3)? {
                        "0" => false,
                        "1" => true,
                        _ => return Err(line.error()),
                    },
                });
            }
            "lease" => self.facts.lease = lease(line.name(1)?, &line.lines("lease", PATH)?),
            "labels" => {
                self.facts.labels = NodeLabels::from_text(&line.lines("labels", PATH)?);
            }
            "restart" => {
                let name = line.text("pending restart", 1, PATH)?;
                self.facts.restarts.extend(name.parse::<Component>());
            }
            "staged" => {
                if let Ok(digest) = line.word(1)?.parse() {
                    self.facts.staged.insert(digest);
                    fits("staged files", self.facts.staged.len(), NAMES)?;
                }
            }
            "exes" => {
                let text = line.list("executables", NAMES)?;
                let tars = format!("{}/", self.options.tars());
                let names = text
                    .lines()
                    .filter_map(|l| l.strip_prefix(&tars)?.split_once('/'))
                    .filter(|(name, rest)| {
                        rest.trim_end_matches(" (deleted)") == format!("bin/{name}")
                    })
                    .map(|(name, _)| name.to_owned())
                    .collect();
                // Another user's executables show to root and to that user only.
                self.facts.components =
                    if line.word(1)? == "1" || self.facts.user == self.options.run_user.as_str() {
                        Observed::Present(names)
                    } else {
                        Observed::Unknown("only root may see what other users run".to_owned())
                    };
            }
            "installed" => {
                self.facts.installed = if line.word(1)? == "list" {
                    Observed::Present(BTreeSet::new())
                } else {
                    Observed::Unknown("the framework's folder cannot be read".to_owned())
                };
            }
            "has" => {
                let name = line.text("component", 1, PATH)?;
                if let Observed::Present(all) = &mut self.facts.installed {
                    all.insert(name);
                    fits("components", all.len(), NAMES)?;
                }
            }
            "listen" => {
                let text = line.list("listeners", LISTENERS)?;
                self.listening = match line.word(1)? {
                    "ss" => Some(listeners_of_ss(&text)),
                    "proc" => Some(listeners(&text)),
                    _ => None,
                };
            }
            "remembered" => self.facts.digests_remembered = line.flag(1)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a line of a file; false if it is not about the host.
    pub(super) fn read_file(&mut self, file: &str, line: &[u8]) -> Result<bool, AnswerError> {
        let line = String::from_utf8_lossy(line);
        match file {
            "/proc/net/fib_trie" => {
                if let Some(routes) = &mut self.routes {
                    append("routes", routes, &line, LIST)?;
                }
            }
            "/proc/net/if_inet6" => {
                self.addresses.extend(ipv6(&line));
                fits("network addresses", self.addresses.len(), ADDRESSES)?;
            }
            file if file.starts_with("/etc/cron") => {
                append("crontab", &mut self.system_crontab, &line, LIST)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was seen of the host, and what listens there.
    pub(super) fn finish(mut self) -> (HostFacts, Option<BTreeSet<Listener>>) {
        if let Some(routes) = &self.routes {
            self.addresses.extend(local(routes));
            self.facts.interfaces = if self.addresses.is_empty() {
                Observed::Unknown("the kernel lists no address".to_owned())
            } else {
                Observed::Present(self.addresses)
            };
        }
        if let Some(text) = with_monitor(&self.system_crontab)
            && text.len() <= CRONTAB
        {
            let place = "/etc/crontab or /etc/cron.d".to_owned();
            let text = without_users(&text);
            self.facts.other_crontabs.insert(place, text);
        }
        self.facts.ports = match (&self.listening, &self.facts.interfaces) {
            (Some(all), Observed::Present(own)) => Observed::Present(
                all.iter()
                    .filter(|(ip, _)| ip.is_unspecified() || own.contains(ip))
                    .map(|(_, port)| *port)
                    .collect(),
            ),
            _ => Observed::Unknown("the host's listeners cannot be seen".to_owned()),
        };
        (self.facts, self.listening)
    }

    /// Names the programs that do not work, if there are any.
    pub(super) fn broken(&self) -> Option<String> {
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

/// Adds a line to a text of at most `most` bytes.
fn append(
    what: &'static str,
    text: &mut String,
    line: &str,
    most: usize,
) -> Result<(), AnswerError> {
    text.push_str(line);
    text.push('\n');
    if text.len() > most {
        return Err(AnswerError::TooLong { what, most });
    }
    Ok(())
}

/// The lines of a crontab that start the monitor, and those that set something; nothing where none
/// starts it.
fn with_monitor(text: &str) -> Option<String> {
    let starts = |line: &str| line.contains("monitor.sh") || line.contains("check.sh");
    if !text.lines().any(starts) {
        return None;
    }
    let lines = text.lines().filter(|l| starts(l) || l.contains('='));
    Some(lines.map(|l| format!("{l}\n")).collect())
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
        [] => "crontab -l fails without a message".to_owned(),
        lines => lines.join("; "),
    }
}

fn told(word: &str, why: &str) -> Observed<String> {
    if word == "-" {
        Observed::Unknown(why.to_owned())
    } else {
        Observed::Present(word.to_owned())
    }
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
