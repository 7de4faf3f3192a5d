//! Release packages of Tars components: what is inside, digests, the lock file.
//!
//! Packages come from elsewhere, so every archive is hostile until it was read to its end. Nothing
//! is ever unpacked: names and contents are looked at in one pass, in bounded memory, and a file
//! that is needed is streamed to where the caller says. This crate opens no file and knows no
//! network; callers hand in readers and a [`tree::Tree`].
//!
//! | module | for |
//! |---|---|
//! | [`refusal`] | limits, and why a package is refused |
//! | [`archive`] | `.tgz` files: read in one pass, take one file out |
//! | [`tree`] | unpacked folders |
//! | [`layout`] | which file belongs to which component |
//! | [`image`] | images of the framework, as archives |
//! | [`pairs`] | what the tags of public images hold |
//! | [`mod@assemble`] | one component out of all places where it was found |
//! | [`installed()`] | a live installation as a package |
//! | [`lock`] | the lock file |
//! | [`program`] | whether a file can be a program |
//! | [`web`] | release archives of the console |
//! | [`publishable()`] | a program as the framework publishes it |

pub mod archive;
pub mod assemble;
pub mod image;
mod installed;
pub mod layout;
pub mod lock;
pub mod pairs;
pub mod program;
mod publishable;
pub mod refusal;
mod stream;
pub mod tree;
pub mod web;

pub use archive::{Archive, extract_file, read_archive, read_archive_keeping};
pub use assemble::assemble;
pub use image::{ImageError, image_limits, read_image};
pub use installed::installed;
pub use layout::Found;
pub use lock::LockFile;
pub use publishable::publishable;
pub use refusal::{Limits, PackageError};
pub use tree::{Tree, read_tree, read_whole_tree};
pub use web::{WebEntry, WebError, WebKind, read_web, web_limits, write_web};
