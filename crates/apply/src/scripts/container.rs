//! The script that replaces the framework's container on a host, and the one that removes retired
//! containers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use tarsops_model::container::ENTRYPOINT;
use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, RunId};
use tarsops_transport::Script;
use tarsops_transport::mysql::Secret;

use super::launch::{DETACHED, Expiry, Mode, Staged, joined, waiting};
use super::text::{flag, plain};
use crate::place::{Place, RUNS_TO_RETAIN};

/// The parts of the replacement of a container, in their order.
const CONTAINER: [&str; 10] = [
    include_str!("../host/container/setup.sh"),
    DETACHED,
    include_str!("../host/runs.sh"),
    include_str!("../host/change/crontab.sh"),
    include_str!("../host/container/engine.sh"),
    include_str!("../host/container/health.sh"),
    include_str!("../host/container/check.sh"),
    include_str!("../host/container/act.sh"),
    include_str!("../host/container/undo.sh"),
    include_str!("../host/container/main.sh"),
];
const PRUNE: &str = include_str!("../host/container/prune.sh");

/// The variable that makes an installation drop the framework's databases (framework
/// `deploy/docker-init.sh`, `deploy/tars-install.sh`). A container is made with `false` and nothing else.
const REBUILD: &str = "REBUILD";
/// The variable of the installation's password, the only one that is a secret.
const PASSWORD: &str = "MYSQL_ROOT_PASSWORD";

/// The container that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldContainer {
    /// Its ID, 64 hexadecimal digits.
    pub id: String,
    /// The ID of its image, where a container without our label becomes ours by this change.
    pub adopt: Option<String>,
}

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// The host's own.
    Host,
    /// A network of the engine, with a fixed address in it.
    Bridge(String, IpAddr),
}

/// A file or folder of the host inside of a container. It must be there: an engine is not asked to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// On the host.
    pub source: AbsPath,
    /// In the container.
    pub target: AbsPath,
    /// Whether the container only reads.
    pub read_only: bool,
}

/// A container that does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The ID of its image, `sha256:` and 64 hexadecimal digits. The image is on the host already.
    pub image: String,
    /// Its environment but for the password. `REBUILD=false` is added.
    pub environment: BTreeMap<String, String>,
    /// The password of the installation's account, where the image's installation needs one.
    pub password: Option<Secret>,
    /// What the host gives it.
    pub mounts: Vec<Mount>,
    /// Its network.
    pub network: Network,
    /// The size at which the engine begins a new log file (`100m`), and how many it keeps.
    pub logs: (String, u32),
    /// Free bytes that the engine's folder must have; 0 where that is not asked.
    pub space: u64,
}

/// The container that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewContainer {
    /// A new one.
    Create(Creation),
    /// One that was replaced before, by its ID.
    Back(String),
}

/// The replacement of the framework's container on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerChange {
    /// The engine's socket.
    pub socket: AbsPath,
    /// The container's name.
    pub name: String,
    /// The container that is there; none where there is to be none of that name.
    pub old: Option<OldContainer>,
    /// The container that is wanted.
    pub new: NewContainer,
    /// The restart policy of the container once it is healthy: `always`, as a rule.
    pub policy: String,
    /// What has to run in the container: the path inside of it, and the sha256 of the program.
    pub programs: BTreeMap<String, Digest>,
    /// TCP ports that have to be listened at in the container's network.
    pub ports: BTreeSet<u16>,
    /// Seconds for which it has to be healthy.
    pub settle: u64,
    /// Seconds after its start at which it has to be healthy.
    pub deadline: u64,
    /// Seconds that a container may take to stop before it is killed.
    pub stop_timeout: u64,
    /// For people, one line.
    pub summary: String,
}

/// A replacement that no host is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadContainer {
    /// It would drop the framework's databases.
    #[error("a container with REBUILD={0} would drop the framework's databases at each start")]
    Rebuild(String),
    /// A variable that the script or the engine's program would take for its own, or the secret one.
    #[error("`{0}` is no variable for the environment of a container")]
    Variable(String),
    /// A value that no line can hold.
    #[error("{0} has a line end or another control character")]
    Control(&'static str),
    /// Not what an engine has for an ID or a name.
    #[error("`{0}` is no {1}")]
    Name(String, &'static str),
}

/// A change that hosts may be asked for.
#[derive(Debug, Clone, Copy)]
pub struct Sound<'a>(&'a ContainerChange);

impl std::ops::Deref for Sound<'_> {
    type Target = ContainerChange;

    fn deref(&self) -> &ContainerChange {
        self.0
    }
}

impl ContainerChange {
    /// It, as one that a host may be asked for.
    ///
    /// # Errors
    /// [`BadContainer`] says what is wrong first.
    pub fn sound(&self) -> Result<Sound<'_>, BadContainer> {
        self.check().map(|()| Sound(self))
    }

    fn check(&self) -> Result<(), BadContainer> {
        named(&self.name)?;
        if let Some(old) = &self.old {
            hex(&old.id, "ID of a container")?;
            old.adopt.as_deref().map_or(Ok(()), image)?;
        }
        for path in self.programs.keys() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            if !path.starts_with('/') || !path.chars().all(plain) {
                return Err(BadContainer::Name(path.clone(), "path of a program"));
            }
        }
        match self.policy.as_str() {
            "always" | "unless-stopped" | "on-failure" | "no" => {}
            other => return Err(BadContainer::Name(other.to_owned(), "restart policy")),
        }
        match &self.new {
            NewContainer::Back(id) => hex(id, "ID of a container"),
            NewContainer::Create(creation) => creation.check(),
        }
    }
}

impl Creation {
    fn check(&self) -> Result<(), BadContainer> {
        image(&self.image)?;
        for (name, value) in &self.environment {
            if name.eq_ignore_ascii_case(REBUILD) && !value.eq_ignore_ascii_case("false") {
                return Err(BadContainer::Rebuild(value.clone()));
            }
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) || name == PASSWORD {
                return Err(BadContainer::Variable(name.clone()));
            }
            if value.contains(char::is_control) {
                return Err(BadContainer::Control("a variable of a container"));
            }
        }
        for path in self.mounts.iter().flat_map(|m| [&m.source, &m.target]) {
            // The engine's program reads a mount as words with commas between them.
            if path.as_str().contains([',', '"']) || path.as_str().contains(char::is_control) {
                return Err(BadContainer::Name(path.to_string(), "path of a mount"));
            }
        }
        if let Network::Bridge(name, _) = &self.network {
            named(name)?;
        }
        match self.logs.0.chars().all(|c| c.is_ascii_alphanumeric()) {
            true => Ok(()),
            false => Err(BadContainer::Name(self.logs.0.clone(), "size of a log")),
        }
    }

    /// The words of `docker create` between ours and the image, one a line.
    fn words(&self, stop_timeout: u64) -> String {
        let mut words = Vec::new();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        match &self.network {
            Network::Host => option("--network", "host".to_owned()),
            Network::Bridge(name, ip) => {
                option("--network", name.clone());
                option("--ip", ip.to_string());
            }
        }
        for mount in &self.mounts {
            let mode = if mount.read_only { ",readonly" } else { "" };
            let (source, target) = (&mount.source, &mount.target);
            option(
                "--mount",
                format!("type=bind,source={source},target={target}{mode}"),
            );
        }
        for (name, value) in &self.environment {
            if !name.eq_ignore_ascii_case(REBUILD) {
                option("--env", format!("{name}={value}"));
            }
        }
        option("--env", format!("{REBUILD}=false"));
        option("--log-driver", "json-file".to_owned());
        option("--log-opt", format!("max-size={}", self.logs.0));
        option("--log-opt", format!("max-file={}", self.logs.1));
        option("--stop-timeout", stop_timeout.to_string());
        words.join("\n")
    }
}

fn named(name: &str) -> Result<(), BadContainer> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match begins && name.len() <= 128 && name.chars().all(plain) {
        true => Ok(()),
        false => Err(BadContainer::Name(name.to_owned(), "name for an engine")),
    }
}

fn hex(id: &str, what: &'static str) -> Result<(), BadContainer> {
    let wrong = |_| BadContainer::Name(id.to_owned(), what);
    id.parse::<Digest>().map(drop).map_err(wrong)
}

fn image(id: &str) -> Result<(), BadContainer> {
    let hex = id.strip_prefix("sha256:").unwrap_or_default();
    let wrong = |_| BadContainer::Name(id.to_owned(), "ID of an image");
    hex.parse::<Digest>().map(drop).map_err(wrong)
}

/// Everything that a host needs for the replacement of its container.
#[derive(Clone, Copy)]
pub(crate) struct ContainerLaunch<'a> {
    pub(crate) place: &'a Place,
    pub(crate) run: &'a RunId,
    pub(crate) step: &'a str,
    pub(crate) change: Sound<'a>,
    pub(crate) holder: &'a str,
    pub(crate) intent: &'a str,
    /// None where the host has no such clock.
    pub(crate) expires: Option<&'a Expiry>,
}

/// The script that puts the replacement of a container on its host, starts it and waits for its verdict.
pub(crate) fn replace_container(launch: &ContainerLaunch<'_>) -> String {
    let mut out = waiting(launch.place, launch.run, launch.step, Mode::Start);
    let password = match &launch.change.new {
        NewContainer::Create(creation) => creation.password.as_ref(),
        NewContainer::Back(_) => None,
    };
    if let Some(password) = password {
        // The change inherits it; it is in none of the files.
        out.set(PASSWORD, password.expose())
            .part("export MYSQL_ROOT_PASSWORD\n");
    }
    staged(launch).launched_by(out)
}

fn staged<'a>(launch: &ContainerLaunch<'a>) -> Staged<'a> {
    Staged {
        expires: launch.expires,
        env: env(launch),
        files: String::new(),
        intent: launch.intent,
        change: joined(&CONTAINER),
        tree: Script::new().into_text(),
        texts: vec![],
        saved: vec![],
    }
}

/// The files of a replacement on its host.
#[cfg(test)]
pub(crate) fn container_files(launch: &ContainerLaunch<'_>) -> [(&'static str, String); 6] {
    staged(launch).on_host()
}

/// The variables that the replacement reads.
fn env(launch: &ContainerLaunch<'_>) -> String {
    let c = &*launch.change;
    let (retired, creation) = match &c.new {
        NewContainer::Back(id) => (id.as_str(), None),
        NewContainer::Create(creation) => ("", Some(creation)),
    };
    let adopt = c.old.as_ref().and_then(|old| old.adopt.as_deref());
    let image = creation.map_or("", |new| &new.image);
    let words = creation.map(|new| new.words(c.stop_timeout));
    let space = creation.map_or(0, |new| new.space);
    let secret = creation.is_some_and(|new| new.password.is_some());
    let programs: Vec<String> = c.programs.iter().map(|(p, d)| format!("{d} {p}")).collect();
    let ports: Vec<String> = c.ports.iter().map(u16::to_string).collect();
    let old = c.old.as_ref().map_or("", |old| &old.id);
    let mut out = Script::bare();
    out.set("T_INSTALL", launch.place.install_path.as_str())
        .set("T_CLUSTER", launch.place.cluster.as_str())
        .set("T_RUN", launch.run.as_str())
        .set("T_STEP", launch.step)
        .set("T_HOLDER", launch.holder)
        .set("T_SUMMARY", &c.summary)
        .set("T_KEEP", &RUNS_TO_RETAIN.to_string())
        .set("T_SOCKET", c.socket.as_str())
        .set("T_NAME", &c.name)
        .set("T_OLD", old)
        .set("T_ADOPT", adopt.unwrap_or_default())
        .set("T_RETIRED", retired)
        .set("T_IMAGE", image)
        .set("T_ENTRYPOINT", ENTRYPOINT)
        .set("T_WORDS", &words.unwrap_or_default())
        .set("T_SECRET", flag(secret))
        .set("T_SPACE", &space.to_string())
        .set("T_POLICY", &c.policy)
        .set("T_PROGRAMS", &programs.join("\n"))
        .set("T_PORTS", &ports.join(" "))
        .set("T_SETTLE", &c.settle.to_string())
        .set("T_DEADLINE", &c.deadline.to_string())
        .set("T_UNDO_DEADLINE", &c.deadline.to_string())
        .set("T_STOP", &c.stop_timeout.to_string());
    out.into_text()
}

/// The script that removes retired containers of `name`, all but the newest `keep`.
pub(crate) fn prune_containers(place: &Place, socket: &AbsPath, name: &str, keep: u32) -> String {
    let mut script = Script::new();
    script
        .set("P_INSTALL", place.install_path.as_str())
        .set("P_CLUSTER", place.cluster.as_str())
        .set("P_SOCKET", socket.as_str())
        .set("P_NAME", name)
        .set("P_KEEP", &keep.to_string())
        .part(PRUNE);
    script.into_text()
}

/// Reads the answer of that script: the names of what was removed, or why nothing was.
///
/// # Errors
/// One lowercase clause.
pub(crate) fn read_pruned(stdout: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(stdout);
    let lines = text.lines().skip_while(|l| *l != "tarsops-prune/1");
    let lines: Vec<&str> = lines.skip(1).collect();
    match lines.split_last() {
        Some((&"end", lines)) => lines
            .iter()
            .map(|line| match line.split_once(' ') {
                Some(("removed", name)) => Ok(name.to_owned()),
                Some(("refused", why)) => Err(plain(Some(why))),
                _ => Err("the host answered with a line that is not known".to_owned()),
            })
            .collect(),
        _ => Err("the host did not say which containers it removed".to_owned()),
    }
}
