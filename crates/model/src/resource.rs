//! The identity of a resource.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::component::Component;
use crate::names::{Endpoint, InvalidName, NodeName};
use crate::version::Version;

/// Names one thing that a spec can describe and a probe can see. Its text is stable:
/// `agent/10.0.0.1`, `server/tarsconfig@10.0.0.1`, `registry/10.0.0.1:17890`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ResourceId {
    /// The machine under a node.
    Host(NodeName),
    /// `tarsnode` on a node.
    Agent(NodeName),
    /// Another framework component on a node.
    Server(Component, NodeName),
    /// A configuration template in the framework's database, by name.
    Template(String),
    /// The schema of the framework's database.
    Schema,
    /// An endpoint under which a registry answers.
    RegistryEndpoint(Endpoint),
    /// A release package.
    Package(Component, Version),
    /// The management platform.
    Web,
    /// The framework's container on a node.
    Container(NodeName),
}

impl ResourceId {
    /// The node that the resource is on, where it is on one.
    #[must_use]
    pub const fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Host(n) | Self::Agent(n) | Self::Server(_, n) | Self::Container(n) => Some(n),
            Self::Template(_)
            | Self::Schema
            | Self::RegistryEndpoint(_)
            | Self::Package(..)
            | Self::Web => None,
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(n) => write!(f, "host/{n}"),
            Self::Agent(n) => write!(f, "agent/{n}"),
            Self::Server(c, n) => write!(f, "server/{c}@{n}"),
            Self::Template(t) => write!(f, "template/{t}"),
            Self::Schema => f.write_str("schema"),
            Self::RegistryEndpoint(e) => write!(f, "registry/{e}"),
            Self::Package(c, v) => write!(f, "package/{c}@{v}"),
            Self::Web => f.write_str("web"),
            Self::Container(n) => write!(f, "container/{n}"),
        }
    }
}

impl From<ResourceId> for String {
    fn from(id: ResourceId) -> String {
        id.to_string()
    }
}

impl TryFrom<String> for ResourceId {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        let bad = || InvalidName {
            what: "resource id",
            value: s.clone(),
            why: "no resource has this form",
        };
        let pair = |rest: &str| -> Result<(Component, String), InvalidName> {
            let (c, tail) = rest.split_once('@').ok_or_else(bad)?;
            Ok((c.parse()?, tail.to_owned()))
        };
        match s.split_once('/') {
            None if s == "schema" => Ok(Self::Schema),
            None if s == "web" => Ok(Self::Web),
            Some(("host", n)) => Ok(Self::Host(n.parse()?)),
            Some(("agent", n)) => Ok(Self::Agent(n.parse()?)),
            Some(("container", n)) => Ok(Self::Container(n.parse()?)),
            Some(("template", t)) => Ok(Self::Template(t.to_owned())),
            Some(("registry", e)) => Ok(Self::RegistryEndpoint(e.parse()?)),
            Some(("server", rest)) => {
                let (c, n) = pair(rest)?;
                Ok(Self::Server(c, n.parse()?))
            }
            Some(("package", rest)) => {
                let (c, v) = pair(rest)?;
                Ok(Self::Package(c, v.parse()?))
            }
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        let n = || NodeName::new("10.0.0.1").unwrap();
        let all = [
            ResourceId::Host(n()),
            ResourceId::Agent(n()),
            ResourceId::Server(Component::Tarslog, n()),
            ResourceId::Template("tars.default".into()),
            ResourceId::Schema,
            ResourceId::RegistryEndpoint("10.0.0.1:17890".parse().unwrap()),
            ResourceId::Package(Component::Tarsnode, "3.0.17".parse().unwrap()),
            ResourceId::Web,
            ResourceId::Container(n()),
        ];
        for id in all {
            assert_eq!(ResourceId::try_from(id.to_string()).unwrap(), id);
        }
        assert!(ResourceId::try_from("agent".to_owned()).is_err());
    }
}
