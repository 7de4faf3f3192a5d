//! The framework as a container: as desired, and as seen by the engine of its host.
//!
//! Every start of a framework container is an installation (framework `deploy/docker-init.sh`,
//! `deploy/tars-install.sh`): binaries, rows and states are reset. With `REBUILD=true` in its
//! environment every start of a master drops the framework's databases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::desired::SecretRef;
use crate::digest::Digest;
use crate::names::{AbsPath, ContainerName, ImageName, NetworkName};
use crate::observed::Observed;
use crate::version::Version;

/// What the framework's container runs, inside of the image (framework `deploy/docker-init.sh`).
pub const ENTRYPOINT: &str = "/usr/local/tars/cpp/deploy/docker-init.sh";

/// The variable that makes an installation drop the framework's databases.
pub const REBUILD: &str = "REBUILD";

/// Variables of which values are looked at and compared; of all others only the names. None of them
/// holds a secret.
pub const SHOWN: [&str; 18] = [
    REBUILD,
    "SLAVE",
    "INET",
    "DOMAIN",
    "MYSQL_HOST",
    "MYSQL_PORT",
    "MYSQL_USER",
    "TARS_HOSTPATH",
    "PORT",
    "TARS_WEB_STRICT",
    "TARS_ENABLE_LOGIN",
    "ENABLE_K8S",
    "NODE_ENV",
    "TARSNAME",
    "TZ",
    "PATH",
    "WEB_HOST",
    "TARS_REGISTRY_ADDRESS",
];

/// The network of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    /// The host's own.
    Host,
    /// A network of the engine, where the container has the node's address.
    Bridge(NetworkName),
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Bridge(name) => name.fmt(f),
        }
    }
}

/// A file or folder of the host inside of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mount {
    /// On the host.
    pub source: String,
    /// Whether the container may write there.
    pub writable: bool,
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.writable { "" } else { " (read-only)" };
        write!(f, "{}{mode}", self.source)
    }
}

/// The account of the database that the installation inside of a container logs in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installer {
    /// Its name (`MYSQL_USER`).
    pub user: String,
    /// Its password (`MYSQL_ROOT_PASSWORD`).
    pub password: SecretRef,
}

/// The framework's container on one node, as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The framework's version, which the image holds.
    pub version: Version,
    /// The image, by the name under which the lock file pins it.
    pub image: ImageName,
    /// Archive of the image on the control machine (`docker save`).
    pub archive: Option<PathBuf>,
    /// The engine's socket on the host.
    pub socket: AbsPath,
    /// Its name.
    pub name: ContainerName,
    /// Its network.
    pub network: Network,
    /// The address that it binds.
    pub ip: IpAddr,
    /// What the host gives it, by the place inside of it.
    pub mounts: BTreeMap<String, Mount>,
    /// Its environment without the installer's password, by name.
    pub environment: BTreeMap<String, String>,
    /// The size at which the engine begins a new log file, as it is written (`100m`).
    pub log_size: String,
    /// How many log files the engine keeps.
    pub log_files: u32,
    /// Seconds that it may take to stop.
    pub stop_timeout: u64,
    /// How many containers that it has replaced are kept.
    pub retired: u32,
    /// The account of the installation inside of it.
    pub installer: Installer,
}

/// Whether a host's engine can be asked. Each value has another remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "engine", rename_all = "kebab-case")]
pub enum Engine {
    /// The host has no program `docker`.
    NoProgram,
    /// There is no socket: the engine is not installed, or not started.
    NoSocket,
    /// The user of the look has no right on the socket.
    NotAllowed,
    /// It was asked and gave no list of its containers.
    Silent {
        /// What its program said last.
        why: String,
    },
    /// It answers.
    Answers,
}

impl Engine {
    /// Why nothing is known of its containers, and what to do; `None` if it answers.
    #[must_use]
    pub fn why(&self, socket: &str, user: &str) -> Option<(String, String)> {
        match self {
            Self::Answers => None,
            Self::NoProgram => Some((
                "the host has no program `docker`".to_owned(),
                "install it there, with the engine".to_owned(),
            )),
            Self::NoSocket => Some((
                format!("no engine listens at {socket}"),
                "start the engine there, or correct `docker.socket` in the spec".to_owned(),
            )),
            Self::NotAllowed => Some((
                format!("{user} has no right on {socket}"),
                "set `become: sudo` under `ssh`, or take the user into the group of the socket"
                    .to_owned(),
            )),
            Self::Silent { why } => Some((
                format!("the engine gives no list of its containers: {why}"),
                "look at the engine's log there".to_owned(),
            )),
        }
    }
}

/// What an engine does with a container that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Nothing.
    No,
    /// Starts it, also together with the engine.
    Always,
    /// As `always`, but for one that was stopped by hand. After the engine was killed such a container
    /// may stay down.
    UnlessStopped,
    /// Starts it if it failed.
    OnFailure,
}

impl RestartPolicy {
    /// The policy as the engine writes it; an empty one is `no`.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        match word {
            "" | "no" => Some(Self::No),
            "always" => Some(Self::Always),
            "unless-stopped" => Some(Self::UnlessStopped),
            "on-failure" => Some(Self::OnFailure),
            _ => None,
        }
    }

    /// The word of the engine.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
            Self::OnFailure => "on-failure",
        }
    }

    /// Whether a container that was stopped by hand may start again by itself, with its engine.
    /// `always` and `on-failure` do; `unless-stopped` does after a loss of power.
    #[must_use]
    pub const fn may_start(self) -> bool {
        !matches!(self, Self::No)
    }
}

/// One container of a host. Of its environment only the values of [`SHOWN`] leave the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerFacts {
    /// The engine's id of it.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// The image that it was made from, by digest; none where the engine says none.
    pub image: Option<Digest>,
    /// The name of that image, as it was given. A name may mean another image today.
    pub image_name: String,
    /// Its environment, the image's included: values of [`SHOWN`], `None` for those of others and
    /// for what has no value.
    pub environment: BTreeMap<String, Option<String>>,
    /// What the host gives it, by the place inside of it.
    pub mounts: BTreeMap<String, Mount>,
    /// Its network: `host`, or a name.
    pub network: String,
    /// The address that was asked for in that network.
    pub address: Option<String>,
    /// What the engine does when it ends.
    pub restart: RestartPolicy,
    /// The engine's log driver, and its options.
    pub log: (String, BTreeMap<String, String>),
    /// Its state in the engine's word: `running`, `created`, `restarting`, `exited`, `paused`, `dead`.
    pub state: String,
    /// Its first process, by the host's number; none unless it runs.
    pub pid: Option<u32>,
    /// The number of its namespace of processes; none where it cannot be seen.
    pub namespace: Option<u64>,
    /// When it was last started, as the engine writes it.
    pub started_at: String,
    /// How often its engine has started it again by its policy.
    pub restarts: u64,
    /// Its labels of compose and Kubernetes, by name.
    pub labels: BTreeMap<String, String>,
    /// Whether its command is the framework's installation ([`ENTRYPOINT`]). The command itself stays on
    /// the host: people write passwords there.
    pub is_framework: bool,
}

impl ContainerFacts {
    /// Whether it runs now.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Whether it replaces other containers by itself.
    #[must_use]
    pub fn is_watchtower(&self) -> bool {
        let name = self.image_name.split(['@', ':']).next().unwrap_or_default();
        name.rsplit('/').next() == Some("watchtower")
    }

    /// Whether Kubernetes owns it.
    #[must_use]
    pub fn is_of_kubernetes(&self) -> bool {
        self.labels.keys().any(|l| l.starts_with("io.kubernetes."))
    }

    /// The value of a variable that is looked at; none where it is not set.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name)?.as_deref()
    }

    /// Where its environment has a value of [`REBUILD`] other than `false`.
    #[must_use]
    pub fn rebuilds(&self) -> Option<&str> {
        let value = self.environment.get(REBUILD)?.as_deref();
        value.filter(|v| asks_for_rebuild(v))
    }

    /// Files of compose that describe it.
    #[must_use]
    pub fn compose_files(&self) -> Vec<&str> {
        let files = self.labels.get("com.docker.compose.project.config_files");
        files.map_or_else(Vec::new, |f| f.split(',').collect())
    }
}

/// Whether a value of [`REBUILD`] has to be taken for a wish to drop the databases: whatever is not
/// `false`. The framework tests for exactly `true` today (`deploy/docker-init.sh`).
#[must_use]
pub fn asks_for_rebuild(value: &str) -> bool {
    !value.trim().eq_ignore_ascii_case("false")
}

/// One image of a host that a container of the framework uses, or the spec names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// Its id: the sha256 of its configuration.
    pub id: Digest,
    /// Its environment, as of [`ContainerFacts::environment`].
    pub environment: BTreeMap<String, Option<String>>,
    /// Names with digests of registries that it was taken from; empty after `docker load`.
    pub digests: BTreeSet<String>,
    /// Names that mean it now.
    pub tags: BTreeSet<String>,
    /// Its layers, by the sha256 of their unpacked content.
    pub layers: Vec<Digest>,
}

/// A process of the framework that runs in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerProcess {
    /// Its component.
    pub component: Component,
    /// Process id on the host.
    pub pid: u32,
    /// sha256 of what it runs.
    pub exe: Observed<Digest>,
    /// The number of its namespace of processes, which tells its container; none where it cannot be seen.
    pub namespace: Option<u64>,
}

/// A text on a host that speaks of [`REBUILD`] and may start a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RebuildText {
    /// The file.
    pub file: String,
    /// The value there; none where the name stands alone.
    pub value: Option<String>,
}

impl RebuildText {
    /// Whether it may make an installation drop the databases. A name alone takes its value from
    /// elsewhere, which nobody has seen, and so does a variable unless it has a harmless default.
    #[must_use]
    pub fn is_armed(&self) -> bool {
        let Some(value) = self.value.as_deref() else {
            return true;
        };
        let inner = value.strip_prefix("${").and_then(|v| v.strip_suffix('}'));
        let default = inner.and_then(|inner| inner.split_once('-'));
        asks_for_rebuild(default.map_or(value, |(_, default)| default))
    }
}

/// What was seen of a host's engine, and of what starts containers there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DockerFacts {
    /// The socket that was asked.
    pub socket: String,
    /// The framework's container, where the spec has one there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<ContainerName>,
    /// Whether the engine answers.
    #[serde(flatten)]
    pub engine: Engine,
    /// Its containers; unknown unless the engine gave a list.
    pub containers: Observed<Vec<ContainerFacts>>,
    /// Images that matter.
    pub images: Vec<ImageFacts>,
    /// Processes of the framework that run in containers.
    pub processes: Vec<ContainerProcess>,
    /// Texts that speak of a rebuild: files of compose and their `.env`, units of systemd.
    pub rebuild: BTreeSet<RebuildText>,
    /// Files of compose that could not be read.
    pub unread: BTreeSet<String>,
    /// Units of systemd that run `docker`.
    pub units: BTreeSet<String>,
}

impl DockerFacts {
    /// Whether the host has no engine at the socket, and nothing of the framework runs in a container.
    #[must_use]
    pub fn has_none(&self) -> bool {
        matches!(self.engine, Engine::NoProgram | Engine::NoSocket) && self.processes.is_empty()
    }

    /// The container with a name. It is absent only if the engine gave a list without it.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> Observed<&ContainerFacts> {
        let found = self.containers.as_ref().map(|all| {
            let named = |c: &&ContainerFacts| c.name == name.as_str();
            all.iter().find(named)
        });
        match found {
            Observed::Present(Some(container)) => Observed::Present(container),
            Observed::Present(None) | Observed::Absent => Observed::Absent,
            Observed::Unknown(why) => Observed::Unknown(why),
        }
    }

    /// The containers, as far as they are known.
    pub fn listed(&self) -> impl Iterator<Item = &ContainerFacts> {
        self.containers.present().into_iter().flatten()
    }

    /// Containers that are the framework's: by their name, or by what they run.
    pub fn of_framework<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ContainerFacts> {
        self.listed()
            .filter(move |c| c.name == name || c.is_framework)
    }

    /// Processes of the framework that run in a container.
    pub fn processes_of<'a>(
        &'a self,
        container: &'a ContainerFacts,
    ) -> impl Iterator<Item = &'a ContainerProcess> {
        let its = container.namespace;
        self.processes
            .iter()
            .filter(move |p| p.namespace.is_some() && p.namespace == its)
    }

    /// The image with an id.
    #[must_use]
    pub fn image(&self, id: &Digest) -> Option<&ImageFacts> {
        self.images.iter().find(|i| i.id == *id)
    }

    /// Every place on a host that makes a start of a framework container drop the databases, with the value
    /// there. `name` is what the spec calls the container, if it has one there.
    #[must_use]
    pub fn rebuilds(&self, name: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for container in self.of_framework(name) {
            if let Some(value) = container.rebuilds() {
                let place = format!("environment of {}", container.name);
                found.push((place, value.to_owned()));
            }
        }
        for image in &self.images {
            let value = image.environment.get(REBUILD).and_then(Option::as_deref);
            if let Some(value) = value.filter(|v| asks_for_rebuild(v)) {
                let tags: Vec<&str> = image.tags.iter().map(String::as_str).collect();
                let image = match tags.as_slice() {
                    [] => image.id.short(),
                    tags => tags.join(", "),
                };
                found.push((
                    format!("environment of the image {image}"),
                    value.to_owned(),
                ));
            }
        }
        for text in self.rebuild.iter().filter(|text| text.is_armed()) {
            let value = text.value.as_deref().unwrap_or("(from elsewhere)");
            found.push((text.file.clone(), value.to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_false_is_a_no() {
        for value in ["false", "False", " FALSE "] {
            assert!(!asks_for_rebuild(value), "{value}");
        }
        for value in [
            "true",
            "TRUE",
            "1",
            "yes",
            "${REBUILD}",
            "flase",
            "",
            "0",
            "no",
        ] {
            assert!(asks_for_rebuild(value), "{value}");
        }
    }

    #[test]
    fn a_text_without_a_value_is_armed() {
        let text = |value: Option<&str>| RebuildText {
            file: "/x".to_owned(),
            value: value.map(str::to_owned),
        };
        for armed in [
            None,
            Some("true"),
            Some("${REBUILD}"),
            Some("${REBUILD:-true}"),
            Some(""),
            Some("no"),
        ] {
            assert!(text(armed).is_armed(), "{armed:?}");
        }
        for harmless in [Some("false"), Some("${REBUILD:-false}")] {
            assert!(!text(harmless).is_armed(), "{harmless:?}");
        }
    }

    #[test]
    fn no_variable_with_a_secret_is_shown() {
        for name in SHOWN {
            let low = name.to_ascii_lowercase();
            assert!(!low.contains("pass") && !low.contains("token"), "{name}");
        }
    }

    #[test]
    fn each_state_of_the_engine_has_its_own_remedy() {
        let all = [
            Engine::NoProgram,
            Engine::NoSocket,
            Engine::NotAllowed,
            Engine::Silent {
                why: "it hangs".to_owned(),
            },
        ];
        let said: BTreeSet<_> = all.iter().filter_map(|e| e.why("/s", "ops")).collect();
        assert_eq!(said.len(), all.len());
        assert_eq!(Engine::Answers.why("/s", "ops"), None);
    }
}
