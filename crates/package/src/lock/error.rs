//! Why a lock file is not taken.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::names::ImageName;
use tarsops_model::version::Version;

/// The name of the format, before its number.
pub(super) const FORMAT: &str = "tarsops.lock/";
/// The number of the format that is written, and the highest that is read.
pub(super) const NUMBER: u32 = 1;

/// Why a lock file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The text is no lock file.
    #[error("the lock file is not valid{}", at(*.line))]
    Invalid {
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        source: serde_yaml::Error,
    },
    /// Another kind of file.
    #[error("`{found}` is not the format of a lock file; `{FORMAT}{NUMBER}` is")]
    Format {
        /// The format that it says.
        found: String,
    },
    /// A later tarsops wrote it.
    #[error(
        "the lock file has format {found}, this tarsops knows formats up to {NUMBER}; use a newer tarsops"
    )]
    Newer {
        /// The number of its format.
        found: u32,
    },
    /// Two pins for one component and version.
    #[error("the lock file pins {component} {version} twice")]
    Twice {
        /// The component.
        component: Component,
        /// The version.
        version: Version,
    },
    /// Two pins for one image.
    #[error("the lock file pins the image {name} twice")]
    ImageTwice {
        /// The image.
        name: ImageName,
    },
    /// Two pins for one version of the console.
    #[error("the lock file pins the platform {version} twice")]
    ConsoleTwice {
        /// The version.
        version: Version,
    },
    /// A pin of the console that no archive leads to.
    #[error("the pin of the platform {version} has the source `{}`, which is no name of a file", shown(.source_name))]
    ConsoleSource {
        /// The version.
        version: Version,
        /// What it says.
        source_name: String,
    },
    /// A template whose text is not in the file, or is another one than its digest says.
    #[error("the lock file has no text of the template {name} of {version}, or a damaged one")]
    Template {
        /// The template.
        name: String,
        /// The release.
        version: Version,
    },
    /// A pin that no package leads to.
    #[error("the pin of {component} {version} has the source `{}`, which is {why}", shown(.source_name))]
    Source {
        /// The component.
        component: Component,
        /// The version.
        version: Version,
        /// What it says.
        source_name: String,
        /// What is wrong with it, in one clause.
        why: &'static str,
    },
    /// A pin with the digest of an archive and not its size, or an archive where its layout has none.
    #[error("the pin of {component} {version} does not fit its layout: {why}")]
    Archive {
        /// The component.
        component: Component,
        /// The version.
        version: Version,
        /// What is wrong, in one clause.
        why: &'static str,
    },
    /// A template that no release of the framework has.
    #[error("`{}` of {version} is no name of a framework template", shown(.name))]
    TemplateName {
        /// The template.
        name: String,
        /// The release.
        version: Version,
    },
    /// A text that no template has.
    #[error("the text {digest} belongs to no template")]
    Orphan {
        /// The digest that it stands under.
        digest: Digest,
    },
    /// The lock file could not be written as text.
    #[error("the lock file could not be written")]
    Render(#[source] serde_yaml::Error),
}

/// A text of the file in a message, cut.
pub(super) fn shown(text: &str) -> String {
    display::cut(text, 120).into_owned()
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |l| format!(" at line {l}"))
}
