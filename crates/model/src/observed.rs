//! Three-valued facts: missing data is never evidence of absence.

use serde::{Deserialize, Serialize};

/// What is known of one fact.
///
/// `Unknown` never reads as "no change", and never leads to a stop, a removal or a creation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// Seen, with its value.
    Present(T),
    /// Proven not to be there.
    Absent,
    /// Could not be seen, and why; the text is one lowercase clause.
    Unknown(String),
}

impl<T> Observed<T> {
    /// The value, if it was seen.
    pub const fn present(&self) -> Option<&T> {
        match self {
            Self::Present(v) => Some(v),
            Self::Absent | Self::Unknown(_) => None,
        }
    }

    /// Why the fact is unknown, if it is.
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(why) => Some(why),
            Self::Present(_) | Self::Absent => None,
        }
    }

    /// Whether the fact is proven absent.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Borrows the value.
    pub fn as_ref(&self) -> Observed<&T> {
        match self {
            Self::Present(v) => Observed::Present(v),
            Self::Absent => Observed::Absent,
            Self::Unknown(w) => Observed::Unknown(w.clone()),
        }
    }

    /// Applies `f` to a value that was seen.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Self::Present(v) => Observed::Present(f(v)),
            Self::Absent => Observed::Absent,
            Self::Unknown(w) => Observed::Unknown(w),
        }
    }
}

impl<T> Default for Observed<T> {
    /// Nobody looked: what a document of an older release does not have.
    fn default() -> Self {
        Self::Unknown("it was not observed".to_owned())
    }
}

impl<T> From<Option<T>> for Observed<T> {
    /// `None` becomes a proven absence: use it only where the absence was proven.
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Absent, Self::Present)
    }
}
