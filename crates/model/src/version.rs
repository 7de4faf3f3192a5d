//! Framework versions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::names::InvalidName;

/// A framework version such as `3.0.17`; ordered by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    /// First number.
    pub major: u16,
    /// Second number.
    pub minor: u16,
    /// Third number.
    pub patch: u16,
}

impl Version {
    /// The version of these three numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = InvalidName;
    fn from_str(s: &str) -> Result<Self, InvalidName> {
        let bad = || InvalidName {
            what: "version",
            value: s.to_owned(),
            why: "it is not three numbers joined by dots",
        };
        let mut it = s.strip_prefix('v').unwrap_or(s).split('.');
        let mut next = || {
            it.next()
                .and_then(|p| p.parse::<u16>().ok())
                .ok_or_else(bad)
        };
        let v = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        };
        if it.next().is_some() {
            Err(bad())
        } else {
            Ok(v)
        }
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidName;
    fn try_from(s: String) -> Result<Self, InvalidName> {
        s.parse()
    }
}

impl From<Version> for String {
    fn from(v: Version) -> String {
        v.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_order_by_number() {
        let v = |s: &str| s.parse::<Version>().unwrap();
        assert!(v("3.0.9") < v("3.0.17"));
        assert!("3.0".parse::<Version>().is_err());
        assert!("3.0.1.2".parse::<Version>().is_err());
        assert!("3.0.x".parse::<Version>().is_err());
    }
}
