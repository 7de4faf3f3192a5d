//! The names in packaged files that stand for values of the host or the cluster.
//!
//! The framework's installer (`deploy/tars-install.sh`, `mysql-tool/main.cpp`,
//! `web/files/install.sh`) replaces them as plain text. This module replaces them as whole words, so that an operator's `$TARS_PATH` or
//! `mylocalip.tars.com` is left alone. It does not know what is a configuration and what a script.

use std::collections::BTreeSet;
use std::fmt;

/// A name that a package leaves open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// `localip.tars.com`: the address of the host.
    LocalIp,
    /// `registryAddress`: the endpoints of the registries, joined by `:`.
    RegistryAddress,
    /// `registry.tars.com`: the host of a registry.
    RegistryHost,
    /// `db.tars.com`: the host of the database.
    DatabaseHost,
    /// `TARS_PATH`: the framework's folder.
    TarsPath,
    /// `UPLOAD_PATH`: the folder that holds it; in templates only.
    UploadPath,
}

/// What the placeholders stand for on one host. One that is `None` is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vars {
    /// For `localip.tars.com`.
    pub localip: Option<String>,
    /// For `registryAddress`: host and port of each registry; empty leaves it as it is.
    pub registries: BTreeSet<(String, u16)>,
    /// For `registry.tars.com`.
    pub registry_host: Option<String>,
    /// For `db.tars.com`.
    pub database_host: Option<String>,
    /// For `TARS_PATH`, such as `/usr/local/app/tars`.
    pub tars_path: Option<String>,
    /// For `UPLOAD_PATH`, such as `/usr/local/app`.
    pub upload_path: Option<String>,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::LocalIp,
        Self::RegistryAddress,
        Self::RegistryHost,
        Self::DatabaseHost,
        Self::TarsPath,
        Self::UploadPath,
    ];

    /// The placeholder as packages write it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::LocalIp => "localip.tars.com",
            Self::RegistryAddress => "registryAddress",
            Self::RegistryHost => "registry.tars.com",
            Self::DatabaseHost => "db.tars.com",
            Self::TarsPath => "TARS_PATH",
            Self::UploadPath => "UPLOAD_PATH",
        }
    }

    /// Whether the placeholder stands at `at` as a whole word and is no variable of a script.
    fn is_at(self, text: &str, at: usize) -> bool {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
        let bytes = text.as_bytes();
        let name = self.text();
        if !bytes[at..].starts_with(name.as_bytes()) {
            return false;
        }
        let before = at.checked_sub(1).map(|i| bytes[i]);
        let after = bytes.get(at + name.len()).copied();
        if before.is_some_and(word) || after.is_some_and(word) {
            return false;
        }
        match self {
            Self::RegistryAddress | Self::TarsPath | Self::UploadPath => {
                !matches!(before, Some(b'$' | b'{')) && after != Some(b'=')
            }
            Self::LocalIp | Self::RegistryHost | Self::DatabaseHost => {
                let longer = after == Some(b'.')
                    && bytes.get(at + name.len() + 1).copied().is_some_and(word);
                // A `-` belongs to a host name, unless it starts the next option.
                !matches!(before, Some(b'.' | b'-')) && after != Some(b'-') && !longer
            }
        }
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

impl Vars {
    /// The replacement of `placeholder`, where there is one.
    #[must_use]
    pub fn value(&self, placeholder: Placeholder) -> Option<String> {
        match placeholder {
            Placeholder::LocalIp => self.localip.clone(),
            Placeholder::RegistryHost => self.registry_host.clone(),
            Placeholder::DatabaseHost => self.database_host.clone(),
            Placeholder::TarsPath => self.tars_path.clone(),
            Placeholder::UploadPath => self.upload_path.clone(),
            Placeholder::RegistryAddress if self.registries.is_empty() => None,
            Placeholder::RegistryAddress => {
                let all = self.registries.iter();
                let all: Vec<String> = all.map(|(h, p)| format!("tcp -h {h} -p {p}")).collect();
                Some(all.join(":"))
            }
        }
    }
}

/// Which placeholders are left in `text`, each once.
#[must_use]
pub fn placeholders(text: &str) -> BTreeSet<Placeholder> {
    find(text).map(|(_, p)| p).collect()
}

/// Puts the values of `vars` in place of the placeholders, everywhere in `text`.
///
/// In `util/execute.sh` of tarsnode the name of the node has to be written first, with
/// [`set_nodeid`](crate::util_script::set_nodeid), where it is not the address of the host.
#[must_use]
pub fn substitute(text: &str, vars: &Vars) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, placeholder) in find(text) {
        if let Some(value) = vars.value(placeholder) {
            out.push_str(&text[from..at]);
            out.push_str(&value);
            from = at + placeholder.text().len();
        }
    }
    out.push_str(&text[from..]);
    out
}

/// Each placeholder with its place, in the order of the text; they cannot overlap.
pub(crate) fn find(text: &str) -> impl Iterator<Item = (usize, Placeholder)> {
    let bytes = text.as_bytes();
    (0..bytes.len()).filter_map(move |at| {
        // Nearly every byte is passed over here, by the first letters of the names.
        if !matches!(bytes[at], b'l' | b'r' | b'd' | b'T' | b'U') {
            return None;
        }
        let found = Placeholder::ALL.into_iter().find(|p| p.is_at(text, at))?;
        Some((at, found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        Vars {
            localip: Some("10.1.0.4".into()),
            registries: [("10.1.0.1".into(), 17890), ("10.1.0.2".into(), 17890)].into(),
            registry_host: Some("10.1.0.1".into()),
            database_host: None,
            tars_path: Some("/srv/tars".into()),
            upload_path: Some("/srv".into()),
        }
    }

    #[test]
    fn whole_words_are_replaced_everywhere() {
        let text = "# TARS_PATH\nbin=\"TARS_PATH/tarsnode/bin\"\nlocator=q@registryAddress\n-h localip.tars.com -p 1";
        let out = substitute(text, &vars());
        assert_eq!(
            out,
            "# /srv/tars\nbin=\"/srv/tars/tarsnode/bin\"\nlocator=q@tcp -h 10.1.0.1 -p 17890:tcp -h 10.1.0.2 -p 17890\n-h 10.1.0.4 -p 1"
        );
        assert!(placeholders(&out).is_empty());
    }

    #[test]
    fn variables_and_longer_names_are_no_placeholders() {
        for text in [
            "TARS_PATH=/usr/local/app/tars",
            "$TARS_PATH/x",
            "${TARS_PATH}/x",
            "MY_TARS_PATH",
            "xlocalip.tars.com",
            "a.localip.tars.com",
            "localip.tars.com.example",
            "registryAddress=1",
            "registryAddresses",
        ] {
            assert!(placeholders(text).is_empty(), "{text}");
            assert_eq!(substitute(text, &vars()), text);
        }
    }

    #[test]
    fn one_without_a_value_stays() {
        let text = "dbhost=db.tars.com";
        assert_eq!(substitute(text, &vars()), text);
        assert_eq!(placeholders(text), [Placeholder::DatabaseHost].into());
    }
}
