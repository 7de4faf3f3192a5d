//! One layer of an image, and layers over each other.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;

use super::ImageError;
use super::reader::{Counted, meant, refused};
use crate::archive::Longer;
use crate::refusal::{Limits, PackageError};
use crate::stream::Hasher;

/// The folder that the framework is installed from, in an image (TarsDocker `framework/Dockerfile`).
const DEPLOY: &str = "usr/local/tars/cpp/deploy/";
/// What a container runs.
pub(super) const ENTRYPOINT: &str = "usr/local/tars/cpp/deploy/docker-init.sh";
/// The framework's version; releases before 2.4.12 have none.
pub(super) const VERSION: &str = "usr/local/tars/cpp/deploy/FRAMEWORK_VERSION.txt";
/// The management platform's description of itself.
pub(super) const CONSOLE: &str = "usr/local/tars/cpp/deploy/web/package.json";

/// The management platform, whose models say which columns it would drop.
const WEB: &str = "usr/local/tars/cpp/deploy/web/";
/// Names that are kept of one layer; the platform has some thousands beside its dependencies.
const KEPT: usize = 100_000;

/// The path within the management platform of a file of its models.
fn model(path: &str) -> Option<&str> {
    let path = path.strip_prefix(WEB)?;
    crate::web::database(path).map(|_| path)
}

/// Whether models may lie in a folder of the management platform, whose path ends in a slash.
fn of_models(folder: &str) -> bool {
    let below = folder.strip_prefix(WEB);
    below.is_some_and(|path| !path.split('/').any(|part| part == "node_modules"))
}

/// Entries of one layer: ten times as many as an image has with everything in it.
const ENTRIES: usize = 2_000_000;
/// Bytes of a file that is kept.
const TEXT: u64 = 64 << 10;

/// A file that matters.
#[derive(Clone)]
pub(super) struct File {
    pub(super) digest: Digest,
    /// Its content, if it is a small text.
    pub(super) text: Option<String>,
}

/// Files that matter, by path.
pub(super) type Files = BTreeMap<String, File>;

/// A layer that was read to its end.
pub(super) struct Layer {
    /// sha256 of it, unpacked.
    pub(super) digest: Digest,
    files: Files,
    /// Paths of which nothing is left of the layers below. They end in a slash where what is beneath
    /// them is meant.
    gone: BTreeSet<String>,
}

/// The program of a component.
fn binary(component: Component) -> String {
    format!("{DEPLOY}framework/servers/{component}/bin/{component}")
}

/// Every path that matters.
fn wanted() -> BTreeSet<String> {
    let texts = [ENTRYPOINT, VERSION, CONSOLE].map(str::to_owned);
    let programs = Component::ALL.into_iter().map(binary);
    texts.into_iter().chain(programs).collect()
}

/// A layer as it is read.
struct Hashed<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        Ok(n)
    }
}

impl Layer {
    /// Reads an unpacked layer of at most `most` bytes to its end, and takes them from `room`.
    pub(super) fn read(
        layer: &mut dyn Read,
        most: u64,
        room: &mut u64,
        limits: &Limits,
    ) -> Result<Self, ImageError> {
        let wanted = wanted();
        let mut found = Self {
            digest: Digest::of(b""),
            files: Files::new(),
            gone: BTreeSet::new(),
        };
        let counted = Counted::new(layer, most);
        let mut hashed = Hashed {
            inner: counted,
            hasher: Hasher::new(),
        };
        found.entries(&mut hashed, &wanted, limits)?;
        // What is behind the last entry belongs to the layer, too.
        io::copy(&mut hashed, &mut io::sink()).map_err(|e| meant(e, limits))?;
        *room -= most - hashed.inner.left;
        found.digest = hashed.hasher.finish();
        Ok(found)
    }

    fn entries(
        &mut self,
        layer: &mut dyn Read,
        wanted: &BTreeSet<String>,
        limits: &Limits,
    ) -> Result<(), ImageError> {
        let failed = |e| ImageError::from(meant(e, limits));
        let mut archive = tar::Archive::new(layer);
        let entries = archive.entries().map_err(failed)?.raw(true);
        let mut longer = Longer::default();
        for (count, entry) in entries.enumerate() {
            let mut entry = entry.map_err(failed)?;
            if count >= ENTRIES {
                return Err(PackageError::TooMuch {
                    what: "a layer with too many entries",
                    limit: ENTRIES as u64,
                }
                .into());
            }
            let kind = entry.header().entry_type();
            let size = entry.size();
            let said = longer.described(&mut entry, limits);
            let Some((raw, _)) = said.map_err(|stop| refused(stop, limits))? else {
                continue;
            };
            let Ok(path) = String::from_utf8(raw) else {
                continue;
            };
            let path = path.trim_start_matches("./").trim_matches('/');
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            // What a layer takes away from those below it is an entry with a name of its own.
            if name == ".wh..wh..opq" {
                self.goes(format!("{folder}/"), wanted);
            } else if let Some(name) = name.strip_prefix(".wh.") {
                let path = if folder.is_empty() {
                    name.to_owned()
                } else {
                    format!("{folder}/{name}")
                };
                self.goes(format!("{path}/"), wanted);
                self.goes(path, wanted);
            } else if (wanted.contains(path) || model(path).is_some()) && !kind.is_dir() {
                self.gone.insert(path.to_owned());
                let file = file(&mut entry, size, kind.is_file()).map_err(failed)?;
                self.files.insert(path.to_owned(), file);
            } else if !kind.is_dir() {
                // Something other than a folder where a folder was.
                self.goes(format!("{path}/"), wanted);
            }
            if self.files.len() > KEPT || self.gone.len() > KEPT {
                return Err(PackageError::TooMuch {
                    what: "a layer with too many files of the platform",
                    limit: KEPT as u64,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Notes that nothing of the layers below is left at a path, if that matters.
    fn goes(&mut self, path: String, wanted: &BTreeSet<String>) {
        let matters = match path.as_str() {
            "/" => true,
            p if p.ends_with('/') => {
                WEB.starts_with(p) || of_models(p) || wanted.iter().any(|w| w.starts_with(p))
            }
            p => wanted.contains(p) || model(p).is_some(),
        };
        if matters {
            self.gone.insert(path);
        }
    }

    /// Puts the layer over those before it.
    pub(super) fn put_over(&self, files: &mut Files) {
        let is_gone = |path: &String| {
            self.gone.iter().any(|gone| {
                gone == path || gone == "/" || gone.ends_with('/') && path.starts_with(gone)
            })
        };
        files.retain(|path, _| !is_gone(path));
        files.extend(self.files.iter().map(|(p, f)| (p.clone(), f.clone())));
    }

    /// The texts of the management platform's models among all files of an image, by their paths in it;
    /// none if one of them is no text.
    pub(super) fn models(files: &Files) -> Option<BTreeMap<String, String>> {
        let models = files
            .iter()
            .filter_map(|(path, file)| Some((model(path)?, file)));
        models
            .map(|(path, file)| Some((path.to_owned(), file.text.clone()?)))
            .collect()
    }

    /// The programs of components among all files of an image.
    pub(super) fn binaries(files: &Files) -> BTreeMap<Component, Digest> {
        let digest = |component| Some((component, files.get(&binary(component))?.digest));
        Component::ALL.into_iter().filter_map(digest).collect()
    }
}

/// Hashes a file, and keeps it if it is a small text. A link has no content of its own.
fn file(entry: &mut dyn Read, size: u64, is_file: bool) -> io::Result<File> {
    let mut hasher = Hasher::new();
    let mut text = Vec::new();
    let mut buf = [0; 16 << 10];
    loop {
        let n = entry.read(&mut buf)?;
        if n == 0 {
            break;
        }
        let part = buf.get(..n).unwrap_or_default();
        hasher.update(part);
        if size <= TEXT {
            text.extend_from_slice(part);
        }
    }
    Ok(File {
        digest: hasher.finish(),
        text: String::from_utf8(text)
            .ok()
            .filter(|_| is_file && size <= TEXT),
    })
}
