//! The script that replaces the management console on its host.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, RunId, UserName};
use tarsops_transport::Script;

use super::launch::{DETACHED, Expiry, Mode, Staged, joined, waiting};
use crate::place::{Place, RUNS_TO_RETAIN};

/// The parts of the replacement of a console, in their order.
const CONSOLE: [&str; 11] = [
    include_str!("../host/console/setup.sh"),
    DETACHED,
    include_str!("../host/runs.sh"),
    include_str!("../host/change/crontab.sh"),
    include_str!("../host/console/folders.sh"),
    include_str!("../host/console/supervisor.sh"),
    include_str!("../host/console/health.sh"),
    include_str!("../host/console/check.sh"),
    include_str!("../host/console/act.sh"),
    include_str!("../host/console/undo.sh"),
    include_str!("../host/console/main.sh"),
];

/// What starts the console and starts it again when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Supervisor {
    /// The process manager that the installer uses (framework `deploy/web-install.sh`).
    Pm2,
    /// A unit of systemd that tarsops writes.
    Systemd,
    /// Nothing: a process on its own, which does not come back.
    None,
}

impl Supervisor {
    const fn word(self) -> &'static str {
        match self {
            Self::Pm2 => "pm2",
            Self::Systemd => "systemd",
            Self::None => "none",
        }
    }
}

/// What starts the console together with its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reboot {
    /// The unit of tarsops.
    Unit,
    /// PM2, as `pm2 startup` has set it up.
    Pm2,
    /// A line `@reboot` of a crontab that names PM2.
    Crontab,
    /// Nothing: after a reboot somebody has to start it.
    Nothing,
    /// That could not be read.
    Unknown,
}

impl FromStr for Reboot {
    /// A word of another version of tarsops says nothing here.
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        match word {
            "systemd" => Ok(Self::Unit),
            "pm2" => Ok(Self::Pm2),
            "cron" => Ok(Self::Crontab),
            "nothing" => Ok(Self::Nothing),
            _ => Ok(Self::Unknown),
        }
    }
}

/// The text of a file that may hold the password of the database. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct FileText(String);

impl FileText {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The digest under which a host has it for a while.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FileText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileText(…)")
    }
}

/// A file of the console's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// Below the console's folder: `config/webConf.js`.
    pub path: String,
    /// The digest of the file that is there; none where there is none. Another one by then stops the change
    /// before it begins.
    pub before: Option<Digest>,
    /// What it becomes in the new folder; none where the new folder's own stays.
    pub after: Option<FileText>,
}

/// The console that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewConsole {
    /// A release, whose archive the host has already.
    Release {
        /// The archive's digest, under which it was uploaded.
        archive: Digest,
        /// How many leading folders of its paths are left out.
        strip: u32,
        /// Free bytes that the disk of the console must have.
        space: u64,
    },
    /// The folder of a console that was replaced before, beside the one that is there.
    Back(AbsPath),
}

/// The replacement of the management console on its host. Whether the new one may be started with the columns
/// of the database is decided before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleChange {
    /// The console's folder: a real one, no link.
    pub folder: AbsPath,
    /// The version of the console that is there, of its package.json.
    pub old_version: String,
    /// The version that is wanted.
    pub version: String,
    /// The console that is wanted.
    pub new: NewConsole,
    /// Its configuration, and what the one that is there must still be.
    pub configuration: Vec<Configuration>,
    /// The program of Node.js.
    pub node: AbsPath,
    /// The script of PM2; none where it is beside Node.js or in the PATH.
    pub pm2: Option<AbsPath>,
    /// The console's name in PM2: `tars-node-web`, as a rule (TarsWeb `package.json`).
    pub pm2_name: String,
    /// The user that runs the console.
    pub user: UserName,
    /// What runs the console that is there.
    pub old_supervisor: Supervisor,
    /// What is to run the new one.
    pub supervisor: Supervisor,
    /// The TCP port of the console that is there.
    pub old_port: u16,
    /// The TCP port of the new one.
    pub port: u16,
    /// Seconds for which it has to be healthy.
    pub settle: u64,
    /// Seconds after its start at which it has to be healthy.
    pub deadline: u64,
    /// Seconds that a console may take to end before it is killed.
    pub stop_timeout: u64,
    /// How many folders of consoles that were replaced stay, the newest ones.
    pub retired: u32,
    /// For people, one line.
    pub summary: String,
}

/// A replacement that no host is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConsole {
    /// Not what a path, version or name of a console is.
    #[error("`{0}` is no {1}")]
    Name(String, &'static str),
    /// A folder to come back to that is not beside the console's.
    #[error("`{0}` is no folder of a console that was replaced in {1}")]
    Elsewhere(AbsPath, AbsPath),
}

impl ConsoleChange {
    /// Whether a host may be asked for it.
    ///
    /// # Errors
    /// [`BadConsole`] says what is wrong first.
    pub fn check(&self) -> Result<(), BadConsole> {
        // Units have a syntax of their own, and lists of processes are divided at blanks.
        let paths = [Some(&self.folder), Some(&self.node), self.pm2.as_ref()];
        for path in paths.into_iter().flatten() {
            plain(path.as_str(), "/._-+", "path for a console")?;
        }
        plain(&self.old_version, ".+-", "version of a console")?;
        plain(&self.version, ".+-", "version of a console")?;
        plain(&self.pm2_name, "._-", "name for PM2")?;
        if let NewConsole::Back(folder) = &self.new {
            let beside = format!("{}.old-", self.folder);
            let run = folder.as_str().strip_prefix(&beside);
            if run.is_none_or(|run| run.parse::<RunId>().is_err()) {
                return Err(BadConsole::Elsewhere(folder.clone(), self.folder.clone()));
            }
        }
        for file in &self.configuration {
            let path = &file.path;
            plain(path, "/._-", "file of a console's configuration")?;
            if path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == "..")
            {
                return Err(BadConsole::Name(
                    path.clone(),
                    "file of a console's configuration",
                ));
            }
        }
        Ok(())
    }

    /// The name of the unit of systemd.
    fn unit(&self, place: &Place) -> String {
        format!("tarsops-web-{}.service", place.cluster)
    }

    /// The unit. Without a database a console ends (TarsWeb `app/dao/db/index.js`), so it is started again
    /// for ever.
    pub(crate) fn unit_text(&self, place: &Place) -> String {
        let (cluster, user, folder, node) = (&place.cluster, &self.user, &self.folder, &self.node);
        let stop = self.stop_timeout;
        format!(
            "# tarsops: cluster {cluster}\n[Unit]\nDescription=Tars management console of the cluster {cluster}\n\
             Wants=network-online.target\nAfter=network-online.target\nStartLimitIntervalSec=0\n\n[Service]\n\
             User={user}\nWorkingDirectory={folder}\nExecStart={node} bin/www\nRestart=always\nRestartSec=2\n\
             TimeoutStopSec={stop}\n\n[Install]\nWantedBy=multi-user.target\n"
        )
    }
}

fn plain(text: &str, marks: &str, what: &'static str) -> Result<(), BadConsole> {
    let plain = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    match !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        true => Ok(()),
        false => Err(BadConsole::Name(text.to_owned(), what)),
    }
}

/// Everything that a host needs for the replacement of its console.
pub(crate) struct ConsoleLaunch<'a> {
    pub(crate) place: &'a Place,
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a str,
    pub(crate) change: &'a ConsoleChange,
    pub(crate) holder: &'a str,
    pub(crate) intent: &'a str,
    /// None where the host has no such clock.
    pub(crate) expires: Option<&'a Expiry>,
}

/// The script that puts the replacement of a console on its host, starts it and waits for its verdict.
///
/// # Errors
/// [`BadConsole`]; there is no script then.
pub(crate) fn replace_console(launch: &ConsoleLaunch<'_>) -> Result<String, BadConsole> {
    launch.change.check()?;
    let out = waiting(launch.place, launch.run, launch.step, Mode::Start);
    Ok(staged(launch).launched_by(out))
}

fn staged<'a>(launch: &ConsoleLaunch<'a>) -> Staged<'a> {
    let after = launch.change.configuration.iter();
    let texts = after.filter_map(|file| file.after.as_ref());
    Staged {
        expires: launch.expires,
        env: env(launch),
        files: files(launch.change),
        intent: launch.intent,
        change: joined(&CONSOLE),
        tree: Script::new().into_text(),
        texts: texts
            .map(|text| [text.digest().to_string(), text.0.clone()])
            .collect(),
        saved: vec![],
    }
}

/// The files of a replacement on its host.
#[cfg(test)]
pub(crate) fn console_files(launch: &ConsoleLaunch<'_>) -> [(&'static str, String); 6] {
    staged(launch).on_host()
}

fn files(change: &ConsoleChange) -> String {
    let word =
        |digest: Option<Digest>| digest.map_or_else(|| "absent".to_owned(), |d| d.to_string());
    let line = |file: &Configuration| {
        let after = file.after.as_ref().map(FileText::digest);
        format!("{} {} {}\n", word(file.before), word(after), file.path)
    };
    change.configuration.iter().map(line).collect()
}

/// The variables that the replacement reads.
fn env(launch: &ConsoleLaunch<'_>) -> String {
    let c = launch.change;
    let (archive, strip, space, back) = match &c.new {
        NewConsole::Release {
            archive,
            strip,
            space,
        } => (archive.to_string(), *strip, *space, ""),
        NewConsole::Back(folder) => (String::new(), 0, 0, folder.as_str()),
    };
    let mut out = Script::bare();
    out.set("T_INSTALL", launch.place.install_path.as_str())
        .set("T_CLUSTER", launch.place.cluster.as_str())
        .set("T_RUN", launch.run.as_str())
        .set("T_STEP", launch.step)
        .set("T_HOLDER", launch.holder)
        .set("T_SUMMARY", &c.summary)
        .set("T_KEEP", &RUNS_TO_RETAIN.to_string())
        .set("T_WEB", c.folder.as_str())
        .set("T_OLD_VERSION", &c.old_version)
        .set("T_VERSION", &c.version)
        .set("T_ARCHIVE", &archive)
        .set("T_STRIP", &strip.to_string())
        .set("T_SPACE", &space.to_string())
        .set("T_BACK", back)
        .set("T_NODE", c.node.as_str())
        .set("T_PM2", c.pm2.as_ref().map_or("", AbsPath::as_str))
        .set("T_PM2_NAME", &c.pm2_name)
        .set("T_USER", c.user.as_str())
        .set("T_FROM", c.old_supervisor.word())
        .set("T_SUPERVISOR", c.supervisor.word())
        .set("T_OLD_PORT", &c.old_port.to_string())
        .set("T_PORT", &c.port.to_string())
        .set("T_UNIT", &c.unit(launch.place))
        .set("T_UNIT_TEXT", &c.unit_text(launch.place))
        .set("T_SETTLE", &c.settle.to_string())
        .set("T_DEADLINE", &c.deadline.to_string())
        .set("T_UNDO_DEADLINE", &c.deadline.to_string())
        .set("T_STOP", &c.stop_timeout.to_string())
        .set("T_RETIRED", &c.retired.to_string());
    out.into_text()
}
