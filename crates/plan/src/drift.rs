//! What differs between the desired and the observed state.

use serde::{Deserialize, Serialize};
use tarsops_model::resource::ResourceId;

use crate::finding::RuleName;

/// How one resource differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum DriftKind {
    /// It is proven not to be there.
    Missing,
    /// It is there and should not be.
    Surplus,
    /// It is there, with other values.
    Changed {
        /// What differs.
        fields: Vec<FieldChange>,
    },
    /// It cannot be told whether it differs.
    Unknown {
        /// Why not, one clause each.
        why: Vec<String>,
    },
    /// Sources say different things of it.
    Disagreeing {
        /// Under which name.
        finding: RuleName,
        /// Each source and its word.
        sources: Vec<(String, String)>,
        /// What is so, in one clause.
        explanation: String,
        /// What to do about it, in one clause.
        cure: String,
        /// Seconds within which it heals by itself; none where it does not, or nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heals_within: Option<u64>,
    },
}

/// One value that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Which value, in the words of the glossary.
    pub field: String,
    /// What it is.
    pub old: String,
    /// What it should be.
    pub new: String,
    /// For texts: what changes, as a unified diff.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

impl FieldChange {
    /// A change of a short value.
    pub fn new(field: &str, old: impl Into<String>, new: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            old: old.into(),
            new: new.into(),
            diff: None,
        }
    }
}

/// The drift of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// Which resource.
    pub resource: ResourceId,
    /// How it differs.
    #[serde(flatten)]
    pub kind: DriftKind,
}
