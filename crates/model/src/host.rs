//! The machine under a node: as desired, and as seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::component::{Component, Role};
use crate::container::DockerFacts;
use crate::digest::Digest;
use crate::framework::NodeLabels;
use crate::names::{HostAddress, InvalidName, NodeName, RunId, StepName, UserName};
use crate::observed::Observed;

/// What the spec wants of a node as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum NodeState {
    /// Looked at and moved to the spec.
    #[default]
    Present,
    /// Looked at, never changed; no alarm until the date.
    Maintenance {
        /// Why, in the operator's words.
        reason: Option<String>,
        /// First day (UTC) on which drift is an alarm again.
        until: Option<jiff::civil::Date>,
    },
    /// Stopped and removed from the host.
    Absent {
        /// Whether servers that it runs may be stopped with it.
        stop_servers: bool,
    },
    /// The machine does not exist any more.
    Gone,
}

/// A node of the spec, as a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The address that it must carry on an interface.
    pub ip: IpAddr,
    /// Its framework role.
    pub role: Role,
    /// Labels, for `--on @label=value`.
    pub labels: BTreeMap<String, String>,
    /// What the spec wants of it.
    pub state: NodeState,
}

/// How a user without root rights gets them on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Become {
    /// Not at all: everything runs as the SSH user.
    #[default]
    None,
    /// `sudo -n`, which never asks for a password.
    Sudo,
}

/// A jump host: `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JumpHost {
    /// User, where it differs from OpenSSH's choice.
    pub user: Option<UserName>,
    /// Address of the jump host.
    pub host: HostAddress,
    /// Port, where it is not OpenSSH's choice.
    pub port: Option<u16>,
}

impl FromStr for JumpHost {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let bad = |why| InvalidName {
            what: "jump host",
            value: s.to_owned(),
            why,
        };
        let (user, rest) = match s.rsplit_once('@') {
            Some((u, r)) => (Some(UserName::new(u).map_err(|e| bad(e.why))?), r),
            None => (None, s),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((h, p)) if !h.contains(':') => {
                let port = p.parse().map_err(|_| bad("its port is not a number"))?;
                (h, Some(port))
            }
            _ => (rest, None),
        };
        let host = HostAddress::new(host).map_err(|e| bad(e.why))?;
        Ok(Self { user, host, port })
    }
}

impl fmt::Display for JumpHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(u) = &self.user {
            write!(f, "{u}@")?;
        }
        write!(f, "{}", self.host)?;
        if let Some(p) = self.port {
            write!(f, ":{p}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for JumpHost {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        s.parse()
    }
}

impl From<JumpHost> for String {
    fn from(j: JumpHost) -> String {
        j.to_string()
    }
}

/// Which host the connection to a node goes through.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Jump {
    /// As OpenSSH's configuration says.
    #[default]
    Configured,
    /// None, whatever OpenSSH's configuration says.
    None,
    /// This one.
    Through(JumpHost),
}

/// How keys are exchanged when a connection is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyExchange {
    /// As OpenSSH and its configuration say: from OpenSSH 9.0 on, one that withstands quantum computers.
    #[default]
    Configured,
    /// By curve25519 where the host knows it, which takes a fifth of the processor time on both ends.
    Curve25519,
}

/// How SSH reaches one node. Paths are as OpenSSH should see them (`~` already resolved).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshAccess {
    /// Where to connect.
    pub address: HostAddress,
    /// Login user; OpenSSH's own choice if left out.
    pub user: Option<UserName>,
    /// Port; OpenSSH's own choice if left out.
    pub port: Option<u16>,
    /// Private key file.
    pub identity: Option<PathBuf>,
    /// Host to go through.
    pub jump: Jump,
    /// How to get root rights.
    pub r#become: Become,
    /// Known hosts file; OpenSSH's own if left out.
    pub known_hosts: Option<PathBuf>,
    /// OpenSSH client configuration to use in place of the user's own.
    pub config: Option<PathBuf>,
    /// Seconds until a connection attempt is given up.
    pub connect_timeout: u32,
    /// How keys are exchanged.
    pub key_exchange: KeyExchange,
}

/// A change on a host that has neither a verdict nor a living process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The run that began it.
    pub run: RunId,
    /// The step within the run.
    pub step: StepName,
    /// Whether a process still works on it.
    pub alive: bool,
}

/// The cluster's lease as it is on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseFacts {
    /// `user@host pid N`, in the holder's words.
    pub holder: String,
    /// The holder's run.
    pub run: RunId,
    /// Seconds since the last heartbeat, by the host's clock.
    pub age: u64,
    /// Seconds after which a silent holder loses it.
    pub ttl: u64,
}

impl LeaseFacts {
    /// Whether the holder still counts as alive.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        self.age <= self.ttl
    }
}

/// What was seen of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Contents of `/etc/machine-id`.
    pub machine_id: Observed<String>,
    /// The kernel's boot id.
    pub boot_id: Observed<String>,
    /// The install path that a tarsnode runs from, where none is below the spec's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_from: Option<String>,
    /// Hundredths of a second since that boot, at some moment of the look (`/proc/uptime`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
    /// The host's own name for itself.
    pub hostname: String,
    /// Addresses on its interfaces.
    pub interfaces: Observed<BTreeSet<IpAddr>>,
    /// Its clock minus the control machine's, in seconds.
    pub clock_skew: i64,
    /// User that the probe ran as (after `become`).
    pub user: String,
    /// Whether that user is root.
    pub is_root: bool,
    /// Whether the run user exists.
    pub run_user: Observed<()>,
    /// Free bytes on the file system of the install path, or of tarsops' own files if those are fewer.
    pub disk_free: Observed<u64>,
    /// Whether the install path, or its nearest existing parent, can be written, and so can the folder of
    /// tarsops' own files.
    pub writable: Observed<bool>,
    /// Programs that were looked for, and whether they are there.
    pub tools: BTreeMap<String, bool>,
    /// The run user's crontab, whole; absent where it has none.
    pub crontab: Observed<String>,
    /// Other crontabs there with lines that may watch the framework, as a user's crontab would have
    /// them: the text of each, by what people call it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other_crontabs: BTreeMap<String, String>,
    /// The newest run that this host has seen.
    pub fence: Option<RunId>,
    /// A change that was begun and has no verdict.
    pub unfinished: Option<Unfinished>,
    /// The lease, if it lies here.
    pub lease: Option<LeaseFacts>,
    /// Staged payloads, by digest.
    pub staged: BTreeSet<Digest>,
    /// Framework components of which a process runs from this installation, by the name of their
    /// folder; unknown where not all processes can be seen.
    #[serde(default)]
    pub components: Observed<BTreeSet<String>>,
    /// Framework components that are installed with a start script, by the name of their folder.
    #[serde(default)]
    pub installed: Observed<BTreeSet<String>>,
    /// TCP ports on which somebody listens on an address of the node or on all of them.
    #[serde(default)]
    pub ports: Observed<BTreeSet<u16>>,
    /// What a run that was cut off has kept of the node's row, which its registration replaced.
    #[serde(default)]
    pub labels: Option<NodeLabels>,
    /// Components whose rows a run has changed that was cut off before it restarted them.
    #[serde(default)]
    pub restarts: BTreeSet<Component>,
    /// Why the folder of tarsops' own files there is neither read nor used: others can write on the way
    /// to it.
    #[serde(default)]
    pub unsafe_state: Option<String>,
    /// Processes of other users that call themselves by the path of a component of the framework: the
    /// user of each, by pid.
    #[serde(default)]
    pub impostors: BTreeMap<u32, String>,
    /// The engine of containers and what it has; none where nobody had a reason to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docker: Option<Box<DockerFacts>>,
    /// Whether digests were remembered from an earlier look rather than read again.
    pub digests_remembered: bool,
}

/// A node's name with its address, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAt<'a> {
    /// The node.
    pub node: &'a NodeName,
    /// Where SSH goes.
    pub address: &'a HostAddress,
}

impl fmt::Display for NodeAt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.node.as_str() == self.address.as_str() {
            write!(f, "{}", self.node)
        } else {
            write!(f, "{} ({})", self.node, self.address)
        }
    }
}
