//! What a package may be, and why one is refused.
//!
//! The limits bound memory and time for any input; they are values so that tests can make them small.

use std::io;

use tarsops_model::component::Component;
use tarsops_model::names::InvalidName;
use tarsops_model::version::Version;

/// How much of a package is read before it is refused. Sizes are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Entries of all kinds.
    pub max_entries: usize,
    /// Size of one file.
    pub max_file: u64,
    /// Size of everything unpacked, and of the archive itself.
    pub max_total: u64,
    /// How many times larger than the archive the unpacked data may be …
    pub max_ratio: u64,
    /// … once it is larger than this.
    pub ratio_from: u64,
    /// Length of a name.
    pub max_name: usize,
    /// Size up to which a file in `conf/` or `util/` is kept as text.
    pub max_text: u64,
    /// Size of all texts together.
    pub max_all_text: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_entries: 20_000,
            max_file: 2 << 30,
            max_total: 4 << 30,
            max_ratio: 200,
            ratio_from: 64 << 20,
            max_name: 1024,
            max_text: 256 << 10,
            max_all_text: 32 << 20,
        }
    }
}

/// Why a package cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The source itself could not be read.
    #[error("the package could not be read")]
    Read(#[source] io::Error),
    /// A file could not be written to where it was extracted.
    #[error("the extracted file could not be written")]
    Write(#[source] io::Error),
    /// The source has no byte, or the archive has no entry.
    #[error("the package is empty")]
    Empty,
    /// The file is not compressed by gzip.
    #[error("the package is no gzip file")]
    NotGzip,
    /// The data ends too early.
    #[error("the package is truncated: {what} ends too early")]
    Truncated {
        /// What ends.
        what: &'static str,
    },
    /// The compressed data or an archive header is damaged.
    #[error("the package is damaged")]
    Damaged(#[source] io::Error),
    /// An archive header says something contradictory.
    #[error("the header of `{name}` is not valid: {why}")]
    Header {
        /// The entry.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An absolute path.
    #[error("`{name}` is an absolute path")]
    Absolute {
        /// The entry.
        name: String,
    },
    /// A path that leaves its folder.
    #[error("`{name}` climbs out of its folder with `..`")]
    Traversal {
        /// The entry.
        name: String,
    },
    /// A name that is no UTF-8, has control characters, or is too long.
    #[error("the name `{name}` {why}")]
    Name {
        /// The entry, made printable.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A symbolic or hard link.
    #[error("`{name}` is a link to `{target}`; packages must hold plain files")]
    Link {
        /// The entry.
        name: String,
        /// Where it points.
        target: String,
    },
    /// A device, a pipe, a socket, or a kind that is not known.
    #[error("`{name}` is neither a file nor a folder")]
    Special {
        /// The entry.
        name: String,
    },
    /// A sparse file.
    #[error("`{name}` is stored as a sparse file; pack it without --sparse")]
    Sparse {
        /// The entry.
        name: String,
    },
    /// The same path twice, or a file that is a folder elsewhere.
    #[error("`{name}` appears more than once")]
    Duplicate {
        /// The entry.
        name: String,
    },
    /// More than [`Limits`] allow.
    #[error("the package has {what}, more than the {limit} allowed")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// The limit that is passed.
        limit: u64,
    },
    /// The unpacked data is suspiciously much larger than the archive.
    #[error("the package unpacks to more than {ratio} times its size")]
    Ratio {
        /// The limit.
        ratio: u64,
    },
    /// No file of any component in any layout.
    #[error("the package holds no component of the framework (its first entry is `{first}`)")]
    NoComponent {
        /// The first name in it.
        first: String,
    },
    /// A component's folder without its binary.
    #[error("the package has a folder `{component}` but no binary of that name in it")]
    NoBinary {
        /// The component.
        component: Component,
    },
    /// Something other than a file with content stands where the binary should.
    #[error("`{name}` should be the binary of {component} but {why}")]
    BadBinary {
        /// The component.
        component: Component,
        /// The entry.
        name: String,
        /// What it is instead.
        why: &'static str,
    },
    /// `FRAMEWORK_VERSION.txt` holds no version.
    #[error("`FRAMEWORK_VERSION.txt` names no version")]
    Version(#[source] InvalidName),
    /// The tree says another version than the folder or the spec.
    #[error("{source_name} holds framework {found}, not {wanted}")]
    OtherVersion {
        /// The source.
        source_name: String,
        /// The version it says.
        found: Version,
        /// The version that was asked for.
        wanted: Version,
    },
    /// Two sources hold different binaries for one component and version.
    #[error("the binaries of {component} in {first} and {second} differ")]
    Conflicting {
        /// The component.
        component: Component,
        /// One source.
        first: String,
        /// The other.
        second: String,
    },
    /// A configuration or script that has to be text and is none.
    #[error("`{name}` of {component} is no text of at most 256 KiB")]
    NotText {
        /// The component.
        component: Component,
        /// The file.
        name: String,
    },
    /// A template that is no text.
    #[error("the template `{name}` is no text of at most 256 KiB")]
    Template {
        /// The file.
        name: String,
    },
    /// The file to extract is not in the archive.
    #[error("the package has no `{name}` of {component}")]
    NoFile {
        /// The component.
        component: Component,
        /// The file as it would be installed.
        name: String,
    },
    /// The extracted file is not the one that was expected.
    #[error("`{name}` of {component} is not the expected file: its sha256 is {found}")]
    OtherDigest {
        /// The component.
        component: Component,
        /// The file as it would be installed.
        name: String,
        /// What was found.
        found: tarsops_model::digest::Digest,
    },
}
