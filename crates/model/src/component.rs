//! The eleven components of the framework and their placement.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::InvalidName;
use crate::version::Version;

/// A component of the Tars framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Component {
    /// The name service.
    #[serde(rename = "tarsregistry")]
    Tarsregistry,
    /// The management registry.
    #[serde(rename = "tarsAdminRegistry")]
    TarsAdminRegistry,
    /// The configuration service.
    #[serde(rename = "tarsconfig")]
    Tarsconfig,
    /// The publishing service.
    #[serde(rename = "tarspatch")]
    Tarspatch,
    /// The agent on every node.
    #[serde(rename = "tarsnode")]
    Tarsnode,
    /// Call statistics.
    #[serde(rename = "tarsstat")]
    Tarsstat,
    /// Property reports.
    #[serde(rename = "tarsproperty")]
    Tarsproperty,
    /// Notifications.
    #[serde(rename = "tarsnotify")]
    Tarsnotify,
    /// Remote logs; exactly one per cluster.
    #[serde(rename = "tarslog")]
    Tarslog,
    /// Queries over statistics.
    #[serde(rename = "tarsquerystat")]
    Tarsquerystat,
    /// Queries over properties.
    #[serde(rename = "tarsqueryproperty")]
    Tarsqueryproperty,
}

/// The framework role of a node, as the framework's own installer knows it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// All eleven components; one per cluster.
    Master,
    /// A further framework host: registry, config, notify and the two query services.
    Slave,
    /// `tarsnode` only.
    #[default]
    Node,
}

impl Component {
    /// All components, in the order in which they are brought up.
    pub const ALL: [Self; 11] = [
        Self::Tarsregistry,
        Self::TarsAdminRegistry,
        Self::Tarsconfig,
        Self::Tarspatch,
        Self::Tarsnode,
        Self::Tarsstat,
        Self::Tarsproperty,
        Self::Tarsnotify,
        Self::Tarslog,
        Self::Tarsquerystat,
        Self::Tarsqueryproperty,
    ];

    /// The name as Tars writes it: of the binary, the folder and the server.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tarsregistry => "tarsregistry",
            Self::TarsAdminRegistry => "tarsAdminRegistry",
            Self::Tarsconfig => "tarsconfig",
            Self::Tarspatch => "tarspatch",
            Self::Tarsnode => "tarsnode",
            Self::Tarsstat => "tarsstat",
            Self::Tarsproperty => "tarsproperty",
            Self::Tarsnotify => "tarsnotify",
            Self::Tarslog => "tarslog",
            Self::Tarsquerystat => "tarsquerystat",
            Self::Tarsqueryproperty => "tarsqueryproperty",
        }
    }

    /// Whether the framework's installer puts this component on a node of `role`
    /// (`deploy/tars-install.sh`: `MASTER_SERVERS`, `SLAVE_SERVERS`).
    #[must_use]
    pub const fn placed_on(self, role: Role) -> bool {
        match role {
            Role::Master => true,
            Role::Slave => matches!(
                self,
                Self::Tarsregistry
                    | Self::Tarsconfig
                    | Self::Tarsnode
                    | Self::Tarsnotify
                    | Self::Tarsquerystat
                    | Self::Tarsqueryproperty
            ),
            Role::Node => matches!(self, Self::Tarsnode),
        }
    }

    /// Its servants and their TCP ports, as the installer places them
    /// (`deploy/framework/sql/tars_servers_master.sql`; `TopologyObj` since 3.0.1).
    #[must_use]
    pub const fn servants(self) -> &'static [(&'static str, u16)] {
        match self {
            Self::Tarsregistry => &[
                ("tars.tarsregistry.QueryObj", 17890),
                ("tars.tarsregistry.RegistryObj", 17891),
            ],
            Self::TarsAdminRegistry => &[("tars.tarsAdminRegistry.AdminRegObj", 12000)],
            Self::Tarsconfig => &[("tars.tarsconfig.ConfigObj", 18193)],
            Self::Tarspatch => &[("tars.tarspatch.PatchObj", 18793)],
            Self::Tarsnode => &[("tars.tarsnode.ServerObj", 19386)],
            Self::Tarsstat => &[("tars.tarsstat.StatObj", 18293)],
            Self::Tarsproperty => &[("tars.tarsproperty.PropertyObj", 18493)],
            Self::Tarsnotify => &[("tars.tarsnotify.NotifyObj", 18593)],
            Self::Tarslog => &[
                ("tars.tarslog.LogObj", 18993),
                ("tars.tarslog.TopologyObj", 18913),
            ],
            Self::Tarsquerystat => &[("tars.tarsquerystat.QueryObj", 18393)],
            Self::Tarsqueryproperty => &[("tars.tarsqueryproperty.QueryObj", 18693)],
        }
    }

    /// Its servants and their ports in a release: the query services had another object before 2.1.0,
    /// which spoke no Tars, and `TopologyObj` came with 3.0.1.
    #[must_use]
    pub fn servants_in(self, version: Version) -> Vec<(&'static str, u16)> {
        let old = version < Version::new(2, 1, 0);
        match self {
            Self::Tarsquerystat if old => vec![("tars.tarsquerystat.NoTarsObj", 18393)],
            Self::Tarsqueryproperty if old => vec![("tars.tarsqueryproperty.NoTarsObj", 18693)],
            Self::Tarslog if version < Version::new(3, 0, 1) => {
                vec![("tars.tarslog.LogObj", 18993)]
            }
            other => other.servants().to_vec(),
        }
    }

    /// The name of a servant in other releases, where it was renamed (2.1.0).
    #[must_use]
    pub fn renamed(servant: &str) -> Option<&'static str> {
        match servant {
            "tars.tarsquerystat.QueryObj" => Some("tars.tarsquerystat.NoTarsObj"),
            "tars.tarsquerystat.NoTarsObj" => Some("tars.tarsquerystat.QueryObj"),
            "tars.tarsqueryproperty.QueryObj" => Some("tars.tarsqueryproperty.NoTarsObj"),
            "tars.tarsqueryproperty.NoTarsObj" => Some("tars.tarsqueryproperty.QueryObj"),
            _ => None,
        }
    }

    /// What its servants speak in a release, as `t_adapter_conf.protocol` has it.
    #[must_use]
    pub fn protocol_in(self, version: Version) -> &'static str {
        match self {
            Self::Tarsquerystat | Self::Tarsqueryproperty if version < Version::new(2, 1, 0) => {
                "not_tars"
            }
            _ => "tars",
        }
    }

    /// Whether the platform publishes it (a basic service) rather than an operator by hand.
    #[must_use]
    pub const fn is_basic(self) -> bool {
        matches!(
            self,
            Self::Tarsstat
                | Self::Tarsproperty
                | Self::Tarsnotify
                | Self::Tarslog
                | Self::Tarsquerystat
                | Self::Tarsqueryproperty
        )
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Component {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        Self::ALL
            .into_iter()
            .find(|c| c.name() == s)
            .ok_or_else(|| InvalidName {
                what: "component",
                value: s.to_owned(),
                why: "the framework has no such component",
            })
    }
}

impl Role {
    /// The role as written in a spec; plain nodes have none.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Slave => "slave",
            Self::Node => "node",
        }
    }

    /// Whether the node is a framework host.
    #[must_use]
    pub const fn is_framework(self) -> bool {
        matches!(self, Self::Master | Self::Slave)
    }
}
