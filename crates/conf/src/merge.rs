//! Three texts of one template: as one release ships it, as the next one does, and as it lives in
//! the framework's database. What the releases changed between them is to reach the live one; what
//! people changed in it stays.
//!
//! Texts are compared by what they mean to Tars ([`Document`]), never as lines: the framework's
//! installer writes a template again from its meaning, so comments and order of the shipped text are
//! not in the live one (`mysql-tool/main.cpp`, `replaceConfig`). Where a shipped value has a
//! placeholder, the installer has put something in its place, so any text there is the shipped one.
//! It also writes host, user, password and port of the database into fixed places
//! ([`is_credential`]); what stands there is nobody's edit, and no release says anything about it.
//!
//! What must stay true: with equal releases there is nothing to do; a live text that nobody touched
//! comes to mean what the new release says; merging again changes nothing. No value of the live text
//! is in an [`Edit`]: an edit can be written down where a credential must not stand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::document::{ConfError, Document};
use crate::placeholder::{self, Vars};

/// Where a value stands: the domains from the root down, and the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Names of the domains.
    pub path: Vec<String>,
    /// The key.
    pub key: String,
}

impl Place {
    /// Makes a place.
    #[must_use]
    pub fn new(path: &[&str], key: &str) -> Self {
        Self {
            path: path.iter().map(|p| (*p).to_owned()).collect(),
            key: key.to_owned(),
        }
    }

    fn domains(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// The value there.
    #[must_use]
    pub fn of<'d>(&self, document: &'d Document) -> Option<&'d str> {
        document.get(&self.domains(), &self.key)
    }
}

impl fmt::Display for Place {
    /// As Tars' own code writes it: `/tars/db<dbhost>`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}<{}>", self.path.join("/"), self.key)
    }
}

/// A value that an edit writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// This one, which comes from a release.
    Text(String),
    /// The one that the live text has there: a credential, which is copied and never told.
    As(Place),
}

/// One change of a live text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// A domain comes, with those above it.
    AddDomain {
        /// Names of the domains.
        path: Vec<String>,
    },
    /// A key gets a value, and comes if it is not there.
    Set {
        /// Where.
        #[serde(flatten)]
        at: Place,
        /// Which.
        value: Value,
    },
    /// A key goes.
    Remove {
        /// Where.
        #[serde(flatten)]
        at: Place,
    },
}

/// A key that the release changed and people changed, each in another way. The live value may be a
/// secret: see [`shown`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// Where.
    pub at: Place,
    /// What the old release ships; none for no such key.
    pub old: Option<String>,
    /// What the new release ships.
    pub new: Option<String>,
    /// What the live text has.
    pub live: Option<String>,
}

/// A difference that is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// The key was taken out of the live text, and both releases ship it.
    RemovedHere(Place),
    /// The new release does not ship the key any more; the live text has another value than the old
    /// release and keeps it.
    KeptHere(Place),
    /// The live value is another one than the new release's, and nothing tells whose it is.
    Differs {
        /// Where.
        at: Place,
        /// What the new release ships.
        new: String,
        /// What the live text has; it may be a secret.
        live: String,
    },
}

/// What a merge comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merge {
    /// What is to be done, in this order.
    pub edits: Vec<Edit>,
    /// What stands against it; with any of them nothing should be done.
    pub conflicts: Vec<Conflict>,
    /// Credentials that the new release wants and the live text has nowhere.
    pub unfilled: Vec<Place>,
    /// What is left as it is.
    pub left: Vec<Left>,
}

/// Keys whose values the installer takes from its arguments (`mysql-tool/main.cpp`, `replaceConfig`).
const CREDENTIALS: [&str; 4] = ["dbhost", "dbuser", "dbpass", "dbport"];

/// Whether the installer writes the database's credentials there.
#[must_use]
pub fn is_credential(at: &Place) -> bool {
    let path = at.domains();
    let there = matches!(
        path.as_slice(),
        ["tars", "db"] | ["tars", "statdb" | "propertydb", _]
    );
    there && CREDENTIALS.contains(&at.key.as_str())
}

/// Whether a value may be shown: a credential is not, nor what is called or looks like one.
#[must_use]
pub fn is_secret(at: &Place, value: &str) -> bool {
    const WORDS: [&str; 7] = [
        "pass",
        "pwd",
        "secret",
        "token",
        "credential",
        "private",
        "apikey",
    ];
    let suspicious = |text: &str| {
        let low = text.to_ascii_lowercase();
        WORDS.iter().any(|w| low.contains(w))
    };
    // Such as mysql://user:password@host.
    let in_address = value.split_once("://").is_some_and(|(_, rest)| {
        rest.split('/')
            .next()
            .is_some_and(|host| host.contains('@'))
    });
    let user = at.key.to_ascii_lowercase().contains("user");
    is_credential(at) || user || in_address || suspicious(&at.key) || suspicious(value)
}

/// A value as it may be shown.
#[must_use]
pub fn shown(at: &Place, value: Option<&str>) -> String {
    match value {
        None => "no such key".to_owned(),
        Some(value) if is_secret(at, value) => "(hidden)".to_owned(),
        Some("") => "(empty)".to_owned(),
        Some(value) => {
            let short: String = value.chars().take(80).collect();
            if short.len() < value.len() {
                format!("{short}…")
            } else {
                short
            }
        }
    }
}

/// Whether `live` is what an installer makes of `shipped`: the same, with something in the place of
/// each placeholder.
#[must_use]
pub fn is_shipped(shipped: &str, live: &str) -> bool {
    if shipped == live {
        return true;
    }
    let mut fixed: Vec<&str> = Vec::new();
    let mut from = 0;
    for (at, found) in placeholder::find(shipped) {
        fixed.push(&shipped[from..at]);
        from = at + found.text().len();
    }
    let (Some((first, inner)), last) = (fixed.split_first(), &shipped[from..]) else {
        return false;
    };
    let Some(mut rest) = live.strip_prefix(first) else {
        return false;
    };
    for part in inner {
        // Something stands in the place of each placeholder.
        let Some(skip) = rest.chars().next().map(char::len_utf8) else {
            return false;
        };
        let Some(at) = rest[skip..].find(part) else {
            return false;
        };
        rest = &rest[skip + at + part.len()..];
    }
    rest.len() > last.len() && rest.ends_with(last)
}

type Values<'d> = BTreeMap<Place, &'d str>;

fn values(document: &Document) -> Values<'_> {
    let mut out = Values::new();
    let root = std::iter::once(Vec::new());
    for path in root.chain(document.paths()) {
        for (key, value) in document.entries(&path) {
            out.insert(Place::new(&path, key), value);
        }
    }
    out
}

/// What becomes of `live` when `new` takes the place of `old`. Where the old release is not known,
/// only what is missing is added. `vars` fills the placeholders of new values.
#[must_use]
pub fn merge(old: Option<&Document>, new: &Document, live: &Document, vars: &Vars) -> Merge {
    let mut work = Merger {
        old,
        live,
        vars,
        coming: BTreeSet::new(),
        out: Merge::default(),
    };
    for path in new.paths() {
        work.domain(&path);
    }
    let (olds, news, lives) = (old.map(values), values(new), values(live));
    let mut all: BTreeSet<&Place> = news.keys().collect();
    all.extend(olds.iter().flat_map(|o| o.keys()));
    for at in all {
        let now = news.get(at).copied();
        let here = lives.get(at).copied();
        match &olds {
            Some(olds) => work.key(at, olds.get(at).copied(), now, here),
            None => work.unknown(at, now, here),
        }
    }
    work.out
}

struct Merger<'a> {
    old: Option<&'a Document>,
    live: &'a Document,
    vars: &'a Vars,
    /// Domains that are added.
    coming: BTreeSet<Vec<String>>,
    out: Merge,
}

impl Merger<'_> {
    /// Adds a domain of the new release that the live text lacks. One that the old release had was
    /// taken out by somebody.
    fn domain(&mut self, path: &[&str]) {
        if self.live.has_domain(path) || self.is_removed(path) {
            return;
        }
        let path: Vec<String> = path.iter().map(|p| (*p).to_owned()).collect();
        self.coming.insert(path.clone());
        self.out.edits.push(Edit::AddDomain { path });
    }

    /// Whether somebody took this domain, or one above it, out of the live text.
    fn is_removed(&self, path: &[&str]) -> bool {
        self.old.is_some_and(|old| {
            (1..=path.len()).any(|depth| {
                let part = &path[..depth];
                old.has_domain(part) && !self.live.has_domain(part)
            })
        })
    }

    fn key(&mut self, at: &Place, old: Option<&str>, new: Option<&str>, live: Option<&str>) {
        if is_credential(at) {
            if old.is_none() && live.is_none() && new.is_some() {
                self.add(at, "");
            }
            return;
        }
        let is = |shipped: Option<&str>| match (shipped, live) {
            (Some(shipped), Some(live)) => is_shipped(shipped, live),
            (None, None) => true,
            _ => false,
        };
        if old == new {
            if live.is_none() {
                self.out.left.push(Left::RemovedHere(at.clone()));
            }
            return;
        }
        if is(new) {
            return;
        }
        match (old, new, live) {
            (None, Some(new), None) => self.add(at, new),
            (Some(_), Some(new), Some(_)) if is(old) => self.set(at, new),
            (Some(_), None, Some(_)) if is(old) => {
                self.out.edits.push(Edit::Remove { at: at.clone() });
            }
            (Some(_), None, Some(_)) => self.out.left.push(Left::KeptHere(at.clone())),
            _ => self.out.conflicts.push(Conflict {
                at: at.clone(),
                old: old.map(str::to_owned),
                new: new.map(str::to_owned),
                live: live.map(str::to_owned),
            }),
        }
    }

    /// Nothing is known of the old release.
    fn unknown(&mut self, at: &Place, new: Option<&str>, live: Option<&str>) {
        match (new, live) {
            (Some(new), None) => self.add(at, new),
            (Some(new), Some(live)) if !is_credential(at) && !is_shipped(new, live) => {
                self.out.left.push(Left::Differs {
                    at: at.clone(),
                    new: new.to_owned(),
                    live: live.to_owned(),
                });
            }
            _ => {}
        }
    }

    fn add(&mut self, at: &Place, value: &str) {
        if self.is_removed(&at.domains()) {
            self.out.left.push(Left::RemovedHere(at.clone()));
            return;
        }
        if !is_credential(at) {
            self.set(at, value);
            return;
        }
        let from = Place::new(&["tars", "db"], &at.key);
        if from.of(self.live).is_none() {
            self.out.unfilled.push(at.clone());
            return;
        }
        self.out.edits.push(Edit::Set {
            at: at.clone(),
            value: Value::As(from),
        });
    }

    fn set(&mut self, at: &Place, value: &str) {
        let value = placeholder::substitute(value, self.vars);
        self.out.edits.push(Edit::Set {
            at: at.clone(),
            value: Value::Text(value),
        });
    }
}

/// Carries out edits; everything else of the text stays byte for byte.
///
/// # Errors
/// [`ConfError`] for a name or a value that no configuration can hold, or a credential that is not
/// there. Nothing is done by half: the document comes back only whole.
pub fn apply(live: &Document, edits: &[Edit]) -> Result<Document, ConfError> {
    let mut out = live.clone();
    for edit in edits {
        match edit {
            Edit::AddDomain { path } => {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                out.add_domain(&path)?;
            }
            Edit::Set { at, value } => {
                let path = at.domains();
                out.add_domain(&path)?;
                let value = match value {
                    Value::Text(text) => text.as_str(),
                    Value::As(from) => from.of(live).ok_or_else(|| ConfError::NoDomain {
                        path: from.path.join("/"),
                    })?,
                };
                out.set(&path, &at.key, value)?;
            }
            Edit::Remove { at } => {
                out.remove(&at.domains(), &at.key);
            }
        }
    }
    Ok(out)
}
