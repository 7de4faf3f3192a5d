//! Release archives of the console: a checkout with its production dependencies, packed whole.
//!
//! The console has no release of its own that can be installed without a registry of npm (TarsWeb
//! `package.json`: `private`, wide ranges, no lock file). So an archive is made once, of a checkout after
//! `npm install --omit=dev`, and pinned like every package. Unlike other packages it has links, which npm
//! makes in `node_modules/.bin`; none may lead out of it.

mod models;
mod write;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde::Deserialize;
use tar::EntryType;
use tarsops_model::console::{CONFIG, ConsolePin, Models};
use tarsops_model::digest::Digest;
use tarsops_model::display;
use tarsops_model::version::Version;

use crate::archive::{Longer, Stop};
use crate::layout::check_name;
use crate::refusal::{Limits, PackageError};
use crate::stream::{Gunzip, Hasher};
pub use models::{Model, database, model};
pub use write::{WebEntry, WebKind, write_web};

/// The name that the console's `package.json` has.
const NAMES: [&str; 2] = ["tars-web", "tars-node-web"];
/// Bytes of a text that is read.
const TEXT: u64 = 1 << 20;
/// Bytes of all texts together.
const ALL_TEXT: u64 = 32 << 20;
/// Bytes at the start of a native module that say what machine it is for.
const HEAD: usize = 20;
/// What the framework's installer replaces by the database's address (framework
/// `deploy/web-install.sh`). A configuration without it is that of an installation.
const PLACEHOLDER: &str = "db.tars.com";

/// Why an archive of the console cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The archive itself is refused.
    #[error("the archive of the platform is refused")]
    Archive(#[from] PackageError),
    /// Something lies outside of its one folder.
    #[error("`{name}` is not in the archive's folder `{folder}`")]
    Outside {
        /// The entry.
        name: String,
        /// The folder.
        folder: String,
    },
    /// A link that leads out of the archive.
    #[error("`{name}` is a link to `{target}`, which leads out of the archive")]
    LinkOut {
        /// The link.
        name: String,
        /// Where it leads.
        target: String,
    },
    /// An entry below a link.
    #[error("`{name}` lies behind the link `{link}`")]
    Behind {
        /// The entry.
        name: String,
        /// The link.
        link: String,
    },
    /// A file that every console has.
    #[error("it is no console: it lacks `{path}`")]
    Lacks {
        /// The file.
        path: &'static str,
    },
    /// Its description of itself is not understood.
    #[error("its `package.json` is not understood")]
    Json(#[source] serde_json::Error),
    /// It is something else.
    #[error("its `package.json` says that it is `{}`, and not the console", display::cut(.name, 60))]
    Other {
        /// What it calls itself.
        name: String,
    },
    /// Its version is none.
    #[error("its `package.json` holds no version")]
    Version(#[source] tarsops_model::names::InvalidName),
    /// It cannot be installed without a registry of npm.
    #[error("it lacks dependencies in `node_modules`: {}", first(.missing))]
    Dependencies {
        /// Those that it lacks.
        missing: Vec<String>,
    },
    /// A native module is for no machine that Linux runs on.
    #[error("the native module `{module}` has no program for Linux")]
    NotLinux {
        /// The module.
        module: String,
    },
    /// Its native modules are for different kinds of machines.
    #[error("its native modules are for different machines: {}", first(.modules))]
    Machines {
        /// Each module with what it is for.
        modules: Vec<String>,
    },
    /// Its native modules are for another kind of machine than was wanted.
    #[error("its native modules are for {}, and not for {wanted}", first(.found))]
    OtherMachine {
        /// What they are for.
        found: Vec<String>,
        /// What was wanted.
        wanted: String,
    },
    /// A file of models is not understood.
    #[error("the model `{path}` is not understood: {why}")]
    Model {
        /// The file.
        path: String,
        /// What is wrong, in one clause.
        why: &'static str,
    },
    /// It has no models.
    #[error("it has no models of tables in `app/dao/db`")]
    NoModels,
    /// It was made of an installation.
    #[error(
        "its `config/webConf.js` is that of an installation, with the password of its database"
    )]
    Configured,
    /// A text is too large or no text.
    #[error("`{path}` is no small text")]
    Text {
        /// The file.
        path: String,
    },
}

/// Some names, and how many more there are.
fn first(all: &[String]) -> String {
    let shown = all.iter().take(4).map(|name| display::cut(name, 60));
    let shown: Vec<_> = shown.collect();
    match all.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// How much of an archive of the console is read: it has some 16,000 files, most of them small.
#[must_use]
pub fn web_limits() -> Limits {
    Limits {
        max_entries: 200_000,
        max_file: 256 << 20,
        max_total: 2 << 30,
        ..Limits::default()
    }
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: String,
    version: String,
    #[serde(default)]
    dependencies: BTreeMap<String, serde::de::IgnoredAny>,
}

/// What an archive holds, as far as it matters.
#[derive(Default)]
struct Listing {
    /// The one folder that everything is in.
    folder: Option<String>,
    /// For the digest of the contents: what each name is.
    entries: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    texts: BTreeMap<String, String>,
    /// For each native module its files, and the machine of each that is for Linux.
    natives: BTreeMap<String, BTreeMap<String, Option<String>>>,
    text_left: u64,
    size: u64,
}

/// Reads a release archive of the console to its end. `source` is its name in the lock file.
///
/// # Errors
/// [`WebError`] for everything that cannot be installed as it is, on a host without a registry of npm.
pub fn read_web<R: Read>(reader: R, source: &str, limits: &Limits) -> Result<ConsolePin, WebError> {
    let mut gunzip = Gunzip::new(reader, limits)?;
    let mut listing = Listing {
        text_left: ALL_TEXT,
        ..Listing::default()
    };
    match listing.read(&mut gunzip, limits) {
        Ok(()) => {}
        Err(Refused::Stream(Stop::Io(e))) => return Err(gunzip.explain(e).into()),
        Err(Refused::Stream(Stop::Refused(e))) => return Err(e.into()),
        Err(Refused::Web(e)) => return Err(e),
    }
    if gunzip.is_empty() || listing.entries.is_empty() {
        return Err(PackageError::Empty.into());
    }
    let whole = gunzip.finish()?;
    listing.judge(source, whole.digest, whole.size)
}

enum Refused {
    Stream(Stop),
    Web(WebError),
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self::Stream(stop)
    }
}

impl From<PackageError> for Refused {
    fn from(e: PackageError) -> Self {
        Self::Web(e.into())
    }
}

impl From<WebError> for Refused {
    fn from(e: WebError) -> Self {
        Self::Web(e)
    }
}

impl From<std::io::Error> for Refused {
    fn from(e: std::io::Error) -> Self {
        Self::Stream(Stop::Io(e))
    }
}

impl Listing {
    fn read(&mut self, archive: &mut dyn Read, limits: &Limits) -> Result<(), Refused> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries()?.raw(true);
        let mut longer = Longer::default();
        for (count, entry) in entries.enumerate() {
            let mut entry = entry?;
            if count >= limits.max_entries {
                return Err(PackageError::TooMuch {
                    what: "too many entries",
                    limit: limits.max_entries as u64,
                }
                .into());
            }
            let Some((raw, said)) = longer.described(&mut entry, limits)? else {
                continue;
            };
            let name = check_name(&raw, limits)?;
            let Some(name) = self.inside(&name)? else {
                continue;
            };
            let kind = entry.header().entry_type();
            let size = entry.size();
            if size > limits.max_file {
                return Err(PackageError::TooMuch {
                    what: "a file with too many bytes",
                    limit: limits.max_file,
                }
                .into());
            }
            let what = match kind {
                EntryType::Directory => "folder".to_owned(),
                EntryType::Regular | EntryType::Continuous => {
                    let mode = entry.header().mode()?;
                    let digest = self.file(&name, size, &mut entry)?;
                    let mode = if mode & 0o111 == 0 { "644" } else { "755" };
                    self.size = self.size.saturating_add(size);
                    format!("file {mode} {digest}")
                }
                EntryType::Symlink => {
                    let target = said.link;
                    let target = target.or_else(|| entry.link_name_bytes().map(|l| l.into_owned()));
                    let target = String::from_utf8(target.unwrap_or_default());
                    let target = target.unwrap_or_else(|_| "/".to_owned());
                    if !stays(&name, &target) {
                        return Err(WebError::LinkOut { name, target }.into());
                    }
                    self.links.insert(name.clone(), target.clone());
                    format!("link {target}")
                }
                _ => return Err(PackageError::Special { name }.into()),
            };
            if self.entries.insert(name.clone(), what).is_some() && kind != EntryType::Directory {
                return Err(PackageError::Duplicate { name }.into());
            }
        }
        Ok(())
    }

    /// The name within the archive's folder; none for the folder itself.
    fn inside(&mut self, name: &str) -> Result<Option<String>, WebError> {
        let (folder, rest) = match name.split_once('/') {
            Some((folder, rest)) => (folder, Some(rest)),
            None => (name, None),
        };
        let mine = self.folder.get_or_insert_with(|| folder.to_owned());
        if mine != folder {
            return Err(WebError::Outside {
                name: name.to_owned(),
                folder: mine.clone(),
            });
        }
        Ok(rest.map(str::to_owned))
    }

    /// Reads a file, and keeps what matters of it.
    fn file(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<Digest, Refused> {
        let keeps = is_text(name);
        if keeps {
            let left = self.text_left.checked_sub(size).filter(|_| size <= TEXT);
            self.text_left = left.ok_or_else(|| WebError::Text {
                path: name.to_owned(),
            })?;
        }
        let mut hasher = Hasher::new();
        let mut kept = Vec::new();
        let mut buf = [0; 16 << 10];
        let mut left = size;
        while left > 0 {
            let n = content.read(&mut buf)?;
            if n == 0 {
                return Err(PackageError::Truncated { what: "a file" }.into());
            }
            let part = buf.get(..n).unwrap_or_default();
            hasher.update(part);
            if keeps || kept.len() < HEAD {
                kept.extend_from_slice(part);
            }
            left = left.saturating_sub(n as u64);
        }
        if keeps {
            let text = String::from_utf8(kept).map_err(|_| WebError::Text {
                path: name.to_owned(),
            })?;
            self.texts.insert(name.to_owned(), text);
        } else if let Some((module, file)) = native(name) {
            let files = self.natives.entry(module.to_owned()).or_default();
            files.insert(file.to_owned(), machine(&kept));
        }
        Ok(hasher.finish())
    }

    fn judge(mut self, source: &str, archive: Digest, size: u64) -> Result<ConsolePin, WebError> {
        for name in self.entries.keys() {
            let mut parent = name.as_str();
            while let Some((folder, _)) = parent.rsplit_once('/') {
                if self.links.contains_key(folder) {
                    return Err(WebError::Behind {
                        name: name.clone(),
                        link: folder.to_owned(),
                    });
                }
                parent = folder;
            }
        }
        for path in ["package.json", "bin/www", "config/webConf.js"] {
            if !self.entries.contains_key(path) {
                return Err(WebError::Lacks { path });
            }
        }
        let text = self.texts.get("package.json").map_or("", String::as_str);
        let package: Package = serde_json::from_str(text).map_err(WebError::Json)?;
        if !NAMES.contains(&package.name.as_str()) {
            return Err(WebError::Other { name: package.name });
        }
        let version: Version = package.version.parse().map_err(WebError::Version)?;
        let there = |name: &&String| {
            let path = format!("node_modules/{name}/package.json");
            self.entries.contains_key(&path)
        };
        let (_, missing): (Vec<&String>, Vec<&String>) =
            package.dependencies.keys().partition(there);
        if !missing.is_empty() {
            let missing = missing.into_iter().cloned().collect();
            return Err(WebError::Dependencies { missing });
        }
        let machines = machines(&self.natives)?;
        let config = CONFIG.iter().filter_map(|name| {
            let text = self.texts.remove(&format!("config/{name}"))?;
            Some(((*name).to_owned(), text))
        });
        let config: BTreeMap<String, String> = config.collect();
        if !config
            .get("webConf.js")
            .is_some_and(|text| text.contains(PLACEHOLDER))
        {
            return Err(WebError::Configured);
        }
        let models = read_models(&self.texts)?;
        let mut contents = Hasher::new();
        for (name, what) in &self.entries {
            contents.update(format!("{name}\0{what}\n").as_bytes());
        }
        Ok(ConsolePin {
            version,
            source: source.to_owned(),
            archive,
            archive_size: size,
            unpacked_size: self.size,
            contents: contents.finish(),
            machines,
            config,
            models,
        })
    }
}

/// The tables and columns of all files of models among `texts`, by their paths in the console.
///
/// # Errors
/// [`WebError::Model`] for one that is not understood, [`WebError::NoModels`] where there is none.
pub(crate) fn read_models(texts: &BTreeMap<String, String>) -> Result<Models, WebError> {
    let mut all = Models::new();
    for (path, text) in texts {
        let Some(database) = database(path) else {
            continue;
        };
        let model = model(text).map_err(|why| WebError::Model {
            path: path.clone(),
            why,
        })?;
        let tables = all.entry(database.to_owned()).or_default();
        // Each of two models of a table drops what it lacks.
        match tables.entry(model.table) {
            Entry::Vacant(place) => drop(place.insert(model.columns)),
            Entry::Occupied(mut place) => place.get_mut().retain(|c| model.columns.contains(c)),
        }
    }
    if all.is_empty() {
        return Err(WebError::NoModels);
    }
    Ok(all)
}

/// Whether a file is read as text.
fn is_text(name: &str) -> bool {
    let config = name.strip_prefix("config/");
    name == "package.json"
        || config.is_some_and(|name| CONFIG.contains(&name))
        || database(name).is_some()
}

/// Whether a link stays within the archive's folder, `name` being its own path there.
fn stays(name: &str, target: &str) -> bool {
    let mut depth = name.split('/').count() - 1;
    if target.is_empty() || target.starts_with('/') || target.contains(char::is_control) {
        return false;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => depth += 1,
        }
    }
    true
}

/// The module that a native file belongs to, and the file's path in it.
fn native(name: &str) -> Option<(&str, &str)> {
    let at = name.rfind("node_modules/")? + "node_modules/".len();
    let rest = name.get(at..)?;
    let scope = if rest.starts_with('@') { 2 } else { 1 };
    let end = rest.match_indices('/').nth(scope - 1)?.0;
    let (module, file) = (name.get(..at + end)?, rest.get(end + 1..)?);
    file.ends_with(".node").then_some((module, file))
}

/// The machine that a native file is for, in the word of `uname -m`; none if it is not for Linux
/// (`elf.h`, `e_machine`).
fn machine(head: &[u8]) -> Option<String> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let machine = match (head.get(5), head.get(18..20)) {
        (Some(2), Some([high, low])) => u16::from_be_bytes([*high, *low]),
        (_, Some([low, high])) => u16::from_le_bytes([*low, *high]),
        _ => return None,
    };
    Some(match machine {
        3 => "i686".to_owned(),
        21 => "ppc64le".to_owned(),
        22 => "s390x".to_owned(),
        40 => "armv7l".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv64".to_owned(),
        258 => "loongarch64".to_owned(),
        other => format!("machine-{other}"),
    })
}

/// The machines that all native modules are for; none where there are none. One that was built has
/// its own file in `build/Release`, which counts before those that were delivered.
fn machines(
    natives: &BTreeMap<String, BTreeMap<String, Option<String>>>,
) -> Result<Option<BTreeSet<String>>, WebError> {
    let mut all: Option<BTreeSet<String>> = None;
    let mut modules = Vec::new();
    for (module, files) in natives {
        let built: Vec<_> = files
            .iter()
            .filter(|(path, _)| path.starts_with("build/Release/"))
            .collect();
        let counts: Vec<_> = if built.is_empty() {
            files.iter().collect()
        } else {
            built
        };
        let mine: BTreeSet<String> = counts.iter().filter_map(|(_, m)| (*m).clone()).collect();
        if mine.is_empty() {
            let module = module.clone();
            return Err(WebError::NotLinux { module });
        }
        let words: Vec<&str> = mine.iter().map(String::as_str).collect();
        modules.push(format!("{module} ({})", words.join(", ")));
        all = Some(match all {
            Some(all) => all.intersection(&mine).cloned().collect(),
            None => mine,
        });
    }
    match all {
        Some(all) if all.is_empty() => Err(WebError::Machines { modules }),
        all => Ok(all),
    }
}
