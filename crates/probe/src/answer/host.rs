//! The lines about the host as a whole.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{HostFacts, LeaseFacts, Unfinished};
use tarsops_model::names::{RunId, StepName};
use tarsops_model::observed::Observed;

use super::line::{AnswerError, Line, fits};
use super::not_reported;
use crate::Options;
use crate::limits::{ADDRESSES, CRONTAB, LIST, LISTENERS, NAMES, PATH};
use crate::network::{Listener, addresses, listeners};

/// What the lines about the host have said so far.
pub(super) struct HostLines<'a> {
    options: &'a Options,
    now: i64,
    facts: HostFacts,
    listening: Option<BTreeSet<Listener>>,
    /// Programs that are there and do not work, and what they said.
    broken: BTreeMap<String, String>,
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
                digests_remembered: false,
            },
            listening: None,
            broken: BTreeMap::new(),
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
            "interfaces" => {
                self.facts.interfaces = if line.word(1)? == "none" {
                    Observed::Unknown("no program there reports the addresses".to_owned())
                } else {
                    let text = line.text("network interfaces", 2, LIST)?;
                    let all = addresses(&text);
                    fits("network addresses", all.len(), ADDRESSES)?;
                    Observed::Present(all)
                };
            }
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
                let said = line.text("failure of a program", 2, PATH)?;
                self.broken.insert(line.name(1)?.to_owned(), said);
                fits("programs that do not work", self.broken.len(), NAMES)?;
            }
            "writable" => self.facts.writable = Observed::Present(line.flag(1)?),
            "crontab" => {
                self.facts.crontab = match line.word(1)? {
                    "absent" => Observed::Absent,
                    "text" if line.size(2)? > CRONTAB => {
                        Observed::Unknown(format!("it is larger than {} KiB", CRONTAB >> 10))
                    }
                    "text" => match String::from_utf8(line.bytes("crontab", 2, CRONTAB)?) {
                        Ok(text) => Observed::Present(listed(text)),
                        Err(_) => Observed::Unknown("it is not UTF-8 text".to_owned()),
                    },
                    "unknown" if line.word(2)? == "no-crontab-program" => {
                        Observed::Unknown("the host has no crontab program".to_owned())
                    }
                    _ => {
                        let said = line.text("failure to show a crontab", 3, PATH)?;
                        Observed::Unknown(crontab_failure(&said))
                    }
                };
            }
            "other-crontab" if line.size(2)? <= CRONTAB => {
                let text = line.text("crontab", 2, CRONTAB)?;
                let (place, text) = match line.word(1)? {
                    "root" => ("root's crontab", listed(text)),
                    _ => ("/etc/crontab or /etc/cron.d", without_users(&text)),
                };
                self.facts.other_crontabs.insert(place.to_owned(), text);
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
            "lease" => self.facts.lease = lease(line.name(1)?, &line.text("lease", 2, PATH)?),
            "labels" => {
                self.facts.labels = NodeLabels::from_text(&line.text("labels", 1, PATH)?);
            }
            "restart" => {
                let text = line.text("pending restarts", 1, PATH)?;
                let named = text
                    .lines()
                    .filter_map(|name| name.parse::<Component>().ok());
                self.facts.restarts.extend(named);
            }
            "staged" => {
                if let Ok(digest) = line.word(1)?.parse() {
                    self.facts.staged.insert(digest);
                    fits("staged files", self.facts.staged.len(), NAMES)?;
                }
            }
            "exes" => {
                let text = line.list("executables", 2, NAMES)?;
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
                    let names = line.list("components", 2, NAMES)?;
                    Observed::Present(names.lines().map(str::to_owned).collect())
                } else {
                    Observed::Unknown("the framework's folder cannot be read".to_owned())
                };
            }
            "listen" => {
                let text = line.list("listeners", 1, LISTENERS)?;
                self.listening =
                    (line.word(1)? != "-" || !text.is_empty()).then(|| listeners(&text));
            }
            "remembered" => self.facts.digests_remembered = line.flag(1)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What was seen of the host, and what listens there.
    pub(super) fn finish(mut self) -> (HostFacts, Option<BTreeSet<Listener>>) {
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
