//! A finding: one contradiction between the sources, as data.
//!
//! Which findings exist is the registration of [`crate::rules`]; this module knows none of them.

use std::fmt;

use serde::{Deserialize, Serialize};
use tarsops_model::resource::ResourceId;

/// The name of a rule, in kebab case, as it is printed and stored.
///
/// It is read back through the registration, so every value is the name of a rule that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RuleName(&'static str);

impl RuleName {
    /// The name of a rule, for its own file alone.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name as it is printed.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing may be changed while it holds.
    Blocked,
    /// The cluster differs from the spec.
    Drift,
    /// It works, and should not stay so.
    Warning,
}

impl Severity {
    /// The word as it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Drift => "drift",
            Self::Warning => "warning",
        }
    }
}

/// One contradiction between sources.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The rule that found it.
    pub name: RuleName,
    /// How serious it is.
    #[serde(rename = "grade")]
    pub severity: Severity,
    /// What it is about.
    pub resource: ResourceId,
    /// What is wrong, in one clause.
    pub text: String,
    /// What to do about it, in one clause.
    #[serde(rename = "cure")]
    pub fix: String,
    /// Each source and what it says.
    pub sources: Vec<(String, String)>,
    /// Seconds within which it heals by itself, if whoever heals it was seen at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heals_within: Option<u64>,
}

impl Finding {
    /// Adds what one source says.
    pub(crate) fn source(mut self, source: impl Into<String>, word: impl Into<String>) -> Self {
        self.sources.push((source.into(), word.into()));
        self
    }

    /// Adds what several sources say.
    pub(crate) fn sources(mut self, sources: impl IntoIterator<Item = (String, String)>) -> Self {
        self.sources.extend(sources);
        self
    }

    /// The finding as a warning.
    pub(crate) fn warning(self) -> Self {
        Self {
            severity: Severity::Warning,
            ..self
        }
    }

    /// The finding as one that heals by itself within `seconds`.
    pub(crate) fn healing_within(self, seconds: Option<u64>) -> Self {
        Self {
            heals_within: seconds,
            ..self
        }
    }
}
