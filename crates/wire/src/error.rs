//! What can be wrong with bytes that should be Tars.

/// Why bytes could not be read, or a value not be written; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside something.
    #[error("the bytes end inside {what}")]
    Truncated {
        /// Inside what.
        what: &'static str,
    },
    /// A type number that the protocol does not have.
    #[error("{0} is no type of the protocol")]
    UnknownType(u8),
    /// A field has a type that its reader cannot take.
    #[error("field {tag} is {found}, not {wanted}")]
    Mismatch {
        /// The field.
        tag: u8,
        /// What it is.
        found: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// A number does not fit into the type that it is read as.
    #[error("field {tag} is {value}, which does not fit {wanted}")]
    OutOfRange {
        /// The field.
        tag: u8,
        /// Its value.
        value: i64,
        /// What it should be.
        wanted: &'static str,
    },
    /// A field that must be there is not.
    #[error("field {tag} ({name}) is missing")]
    Missing {
        /// The field.
        tag: u8,
        /// Its name in the interface.
        name: &'static str,
    },
    /// A text is no UTF-8.
    #[error("field {0} is no UTF-8")]
    NotUtf8(u8),
    /// Structures, lists and maps lie deeper in each other than anybody needs.
    #[error("values are nested more than {0} deep")]
    TooDeep(usize),
    /// A length or a count is negative.
    #[error("{what} has the length {length}")]
    BadLength {
        /// What has it.
        what: &'static str,
        /// The length.
        length: i64,
    },
    /// A frame is larger than the reader takes, or shorter than its own head.
    #[error("a message of {size} bytes is refused (at least 4, at most {limit})")]
    BadFrame {
        /// Its size in bytes.
        size: u64,
        /// The most that is taken.
        limit: usize,
    },
    /// A list or map of nearly empty elements would take far more memory than its bytes.
    #[error("{count} elements in {size} bytes would take too much memory")]
    TooSparse {
        /// How many elements.
        count: usize,
        /// Bytes on the wire.
        size: usize,
    },
    /// A structure ends where none began.
    #[error("a structure ends where none began")]
    StrayEnd,
    /// Something to write is larger than the protocol can say.
    #[error("{0} is too large for a message")]
    TooLarge(&'static str),
}

/// What this crate returns.
pub type Result<T> = std::result::Result<T, WireError>;
