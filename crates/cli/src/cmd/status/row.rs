//! One line of a status: a component on a host.

use serde::Serialize;
use tarsops_model::component::Component;
use tarsops_model::display::Colour;
use tarsops_model::names::NodeName;

/// How a component on a host is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As the spec says.
    InSync,
    /// It is there, otherwise than the spec says.
    Differs,
    /// It should be there.
    Missing,
    /// It is there and does not run, which somebody decided.
    Stopped,
    /// It is there and should not.
    ToBeRemoved,
    /// It is not there, as the spec says.
    Absent,
    /// The spec says that it is being worked on.
    Maintenance,
    /// The spec says that its machine is no more.
    Gone,
    /// No package of it is pinned, so there is nothing to compare it with.
    NotCompared,
    /// It could not be seen.
    Unknown,
}

impl State {
    /// Its name for people and documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Differs => "differs",
            Self::Missing => "missing",
            Self::Stopped => "stopped",
            Self::ToBeRemoved => "to be removed",
            Self::Absent => "absent",
            Self::Maintenance => "maintenance",
            Self::Gone => "gone",
            Self::NotCompared => "not compared",
            Self::Unknown => "unknown",
        }
    }

    /// The colour that it is shown in.
    pub const fn colour(self) -> Option<Colour> {
        match self {
            Self::InSync | Self::Absent => Some(Colour::Green),
            Self::Differs | Self::Missing | Self::Stopped | Self::ToBeRemoved => {
                Some(Colour::Yellow)
            }
            Self::Unknown => Some(Colour::Magenta),
            Self::Maintenance | Self::Gone | Self::NotCompared => None,
        }
    }
}

/// One component on one host.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The component.
    pub component: Component,
    /// The host.
    pub node: NodeName,
    /// How it is.
    pub state: State,
    /// The framework's version of its file, and of its process where that is another one.
    pub version: String,
    /// Its process, in a few words.
    pub process: String,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
