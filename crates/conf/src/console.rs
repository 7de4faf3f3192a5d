//! The configuration files of the management console (TarsWeb), merged three ways as text: as the installed
//! release ships them, as the new one does, and as they live on the host.
//!
//! Most of them are JavaScript, which operators edit and which is never evaluated here. What the installer
//! writes into a shipped file (framework `deploy/web-install.sh`, `update_conf`) is written into both
//! shipped texts first, so that it is nobody's edit.
//!
//! What must stay true: with equal releases a live text stays as it is, byte for byte; a live text that
//! nobody touched becomes the new release's; what only one side changed is in the result. No text of a live
//! file is in an error, as it may hold the password of the database.

mod merge;
mod script;

use std::collections::BTreeSet;
use std::fmt;

use crate::document::{ConfError, Document};
use crate::endpoint::{EndpointError, Locator, QUERY_OBJECT};

pub use merge::{Conflict, merge};
pub use script::{Alter, alter};

const CLIENT: [&str; 3] = ["tars", "application", "client"];

/// A configuration file of the console that operators edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigFile {
    /// Port, database, upload folder, limits.
    Web,
    /// The registries that the console asks.
    Tars,
    /// Whether and how users log in.
    Login,
    /// Whether rights are asked for.
    Auth,
    /// Compilation of uploaded sources, where that is used.
    Compile,
    /// Caches, where those are used.
    Dcache,
}

impl ConfigFile {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Web,
        Self::Tars,
        Self::Login,
        Self::Auth,
        Self::Compile,
        Self::Dcache,
    ];

    /// Its path below the console's folder.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Web => "config/webConf.js",
            Self::Tars => "config/tars.conf",
            Self::Login => "config/loginConf.js",
            Self::Auth => "config/authConf.js",
            Self::Compile => "config/compileConf.js",
            Self::Dcache => "config/dcacheConf.js",
        }
    }

    /// Whether a console can do without it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Compile | Self::Dcache)
    }

    const fn is_script(self) -> bool {
        !matches!(self, Self::Tars)
    }
}

impl fmt::Display for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path())
    }
}

/// What the installer writes into the shipped files.
#[derive(Clone, PartialEq, Eq)]
pub struct Installed {
    /// For `localip.tars.com` and `registry.tars.com`: the address of the host.
    pub host: String,
    /// For `db.tars.com`.
    pub db_host: String,
    /// For `3306`.
    pub db_port: u16,
    /// For `user: 'tars'`.
    pub db_user: String,
    /// For `password: 'tars2015'`.
    pub db_password: String,
    /// For `/usr/local/app`: the folder that holds the console's, such as `/usr/local/app`.
    pub install_path: String,
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installed")
            .field("host", &self.host)
            .field("db_host", &self.db_host)
            .field("db_port", &self.db_port)
            .finish_non_exhaustive()
    }
}

/// A shipped file as the installer leaves it (framework `deploy/web-install.sh`, `update_conf`).
#[must_use]
pub fn installed(file: ConfigFile, shipped: &str, values: &Installed) -> String {
    let text = shipped
        .replace("localip.tars.com", &values.host)
        .replace("db.tars.com", &values.db_host)
        .replace("registry.tars.com", &values.host)
        .replace("3306", &values.db_port.to_string())
        .replace("/usr/local/app", &values.install_path);
    if !file.is_script() {
        return text;
    }
    // In single quotes, where the installer would write a broken file.
    let word = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    text.replace(
        "user: 'tars'",
        &format!("user: '{}'", word(&values.db_user)),
    )
    .replace(
        "password: 'tars2015'",
        &format!("password: '{}'", word(&values.db_password)),
    )
    .replace("enableAuth: false", "enableAuth: true")
    .replace("enableLogin: false", "enableLogin: true")
}

/// A configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleConfError {
    /// The new release and somebody on the host have changed the same lines in different ways.
    #[error("{file} cannot be merged: {}", listed(.conflicts))]
    Conflicts {
        /// Of which file.
        file: ConfigFile,
        /// Where.
        conflicts: Vec<Conflict>,
    },
    /// A file that the console needs is not on the host.
    #[error("{0} is missing on the host, and the console needs it: put it back")]
    Missing(ConfigFile),
    /// `tars.conf` is no configuration that Tars could read.
    #[error("config/tars.conf cannot be read")]
    Conf(#[from] ConfError),
    /// The registries cannot be named in a locator.
    #[error("config/tars.conf cannot name the registries")]
    Endpoint(#[from] EndpointError),
}

fn listed(conflicts: &[Conflict]) -> String {
    let all: Vec<String> = conflicts.iter().map(Conflict::to_string).collect();
    all.join("; ")
}

/// One file in its three states. A release or a host without the file has none.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'a> {
    /// As the installed release ships it.
    pub old: Option<&'a str>,
    /// As the new release ships it.
    pub new: Option<&'a str>,
    /// As it is on the host.
    pub live: Option<&'a str>,
}

/// What a file becomes when the new release takes the place of the old one; none where it is in neither the
/// new release nor on the host. A file that the new release does not ship any more stays as it is.
///
/// # Errors
/// [`ConsoleConfError::Conflicts`], and [`ConsoleConfError::Missing`] where somebody has removed what the
/// console needs.
pub fn upgrade(
    file: ConfigFile,
    texts: Texts<'_>,
    values: &Installed,
) -> Result<Option<String>, ConsoleConfError> {
    let fill = |text: &str| installed(file, text, values);
    match (texts.old, texts.new, texts.live) {
        (_, None, live) => Ok(live.map(str::to_owned)),
        (None, Some(new), None) => Ok(Some(fill(new))),
        (Some(_), Some(_), None) if file.is_optional() => Ok(None),
        (Some(_), Some(_), None) => Err(ConsoleConfError::Missing(file)),
        // Without the text that both come from, every difference is a conflict.
        (old, Some(new), Some(live)) => merge(&old.map(fill).unwrap_or_default(), &fill(new), live)
            .map(Some)
            .map_err(|conflicts| ConsoleConfError::Conflicts { file, conflicts }),
    }
}

/// `tars.conf` with a locator that names exactly `registries`. What already does stays as it is.
///
/// # Errors
/// [`ConsoleConfError::Conf`] and [`ConsoleConfError::Endpoint`].
pub fn with_registries(
    text: &str,
    registries: &BTreeSet<(String, u16)>,
) -> Result<String, ConsoleConfError> {
    let mut document = Document::parse(text)?;
    let live = document.get(&CLIENT, "locator").map(Locator::parse);
    let wanted = match live {
        Some(Ok(live)) if live.set() == *registries => return Ok(text.to_owned()),
        Some(Ok(live)) => live.with(registries, true)?,
        _ => Locator::print(QUERY_OBJECT, registries)?,
    };
    document.add_domain(&CLIENT)?;
    document.set(&CLIENT, "locator", &wanted)?;
    Ok(document.to_string())
}
