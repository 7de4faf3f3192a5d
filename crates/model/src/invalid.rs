//! Why a text is not a value of a type.

/// Why a string is not a valid name; the text is one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {what}: {why}")]
pub struct InvalidName {
    /// What the string should have been, such as "node name".
    pub what: &'static str,
    /// The rejected string.
    pub value: String,
    /// The rule that it breaks.
    pub why: &'static str,
}
