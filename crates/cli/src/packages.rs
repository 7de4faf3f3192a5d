//! Release packages on this machine: the lock file, the packages folder, and the files that go to
//! hosts.
//!
//! A folder is read only when something has to be installed from it; an upgrade needs no more than
//! what the lock file says of the binary. What goes to hosts is taken out of its archive once, into
//! a private folder, with its digest checked on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use sha2::Digest as _;
use tarsops_apply::execute::place;
use tarsops_apply::{Payloads, send_binary};
use tarsops_model::component::Component;
use tarsops_model::desired::{Desired, PackageSource};
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::{Catalog, Layout, PackageContents, PackageFile, PackagePin};
use tarsops_model::version::Version;
use tarsops_package::assemble::contents_digest;
use tarsops_package::lock::verify;
use tarsops_package::tree::{Tree, TreeEntry, TreeKind};
use tarsops_package::{
    Found, Limits, LockFile, PackageError, assemble, extract_file, read_archive_keeping,
    read_whole_tree,
};
use tarsops_transport::{Connect as _, FaultKind};

use crate::context::{Context, Loaded};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::pending::Pending;

/// Components whose files a plan may install: their packages are read whole. The others are published.
const MANAGED: [Component; 8] = [
    Component::Tarsregistry,
    Component::TarsAdminRegistry,
    Component::Tarsconfig,
    Component::Tarspatch,
    Component::Tarsnode,
    Component::Tarsnotify,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];
/// Components whose packages a lock file must have: a spec may leave the others unpinned, and they
/// are not compared then.
pub const NEEDED: [Component; 1] = [Component::Tarsnode];

/// The lock file and the packages of one spec.
pub struct Store {
    /// Where the lock file lies.
    pub lock_path: PathBuf,
    /// What it says; none if there is none.
    pub lock: Option<LockFile>,
    source: PackageSource,
    dir: PathBuf,
    catalog: Catalog,
    full: bool,
    spool: tempfile::TempDir,
    spooled: Mutex<BTreeMap<Digest, PathBuf>>,
    origins: Mutex<BTreeMap<Digest, Origin>>,
}

/// Where the bytes of a file can be had.
#[derive(Debug, Clone)]
enum Origin {
    Archive {
        path: PathBuf,
        layout: Layout,
        component: Component,
        file: String,
    },
    Plain(PathBuf),
}

/// The lock file of a spec.
pub fn lock_path(spec: &Path) -> PathBuf {
    let mut name = spec.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// The name of an archive without its ending; none if it has no ending of an archive.
pub fn archive_stem(name: &str) -> Option<&str> {
    name.strip_suffix(".tgz")
        .or_else(|| name.strip_suffix(".tar.gz"))
}

/// Whether a deploy tree lies at `path`.
fn is_tree(path: &Path) -> bool {
    path.join("FRAMEWORK_VERSION.txt").is_file() || path.join("framework/servers").is_dir()
}

/// Whether a packages folder has something that may hold `component`: its own archive, an archive that
/// is no other component's, or a deploy tree, which may be the folder itself.
pub fn may_hold(folder: &Path, component: Component) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    is_tree(folder)
        || entries.filter_map(std::result::Result::ok).any(|entry| {
            let name = entry.file_name();
            match name.to_str().and_then(archive_stem) {
                Some(stem) => stem.parse().map_or(true, |c: Component| c == component),
                None => is_tree(&entry.path()),
            }
        })
}

/// Reads a lock file; none if there is none.
pub fn read_lock(path: &Path) -> Result<Option<LockFile>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => {
            return Err(Failure::new(format!("could not read {}", path.display())).because(&e));
        }
    };
    LockFile::parse(&text).map(Some).map_err(|e| {
        Failure::new(format!("could not read the lock file {}", path.display()))
            .because(&e)
            .hint("restore it from Git, or remove it and run `tarsops package lock`")
    })
}

impl Store {
    /// Reads the lock file of the spec at `spec`.
    pub fn open(spec: &Path, loaded: &Loaded) -> Result<Self> {
        let lock_path = lock_path(spec);
        let lock = read_lock(&lock_path)?;
        let spool = tempfile::Builder::new()
            .prefix("tarsops-spool-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|e| no_room("could not make a temporary folder", &e))?;
        let mut store = Self {
            lock_path,
            lock,
            source: loaded.desired.packages.clone(),
            dir: loaded.dir.clone(),
            catalog: Catalog::default(),
            full: false,
            spool,
            spooled: Mutex::default(),
            origins: Mutex::default(),
        };
        store.catalog = store.pinned(&loaded.desired);
        Ok(store)
    }

    /// What is known so far.
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// What the lock file alone says: every digest, and for the versions that the spec asks for the
    /// binary.
    fn pinned(&self, desired: &Desired) -> Catalog {
        let Some(lock) = &self.lock else {
            return Catalog::default();
        };
        let mut catalog = lock.catalog();
        for (component, version) in &desired.versions {
            let Some(pin) = lock.pin(*component, *version) else {
                continue;
            };
            catalog.insert(PackageContents {
                pin: pin.clone(),
                files: vec![PackageFile {
                    path: format!("bin/{component}"),
                    mode: 0o755,
                    size: pin.binary_size,
                    digest: pin.binary,
                    text: None,
                }],
            });
        }
        catalog
    }

    /// The folder with the packages of `version`; none for `node:` sources.
    pub fn folder(&self, version: Version) -> Option<PathBuf> {
        match &self.source {
            PackageSource::Folder(template) => Some(
                self.dir
                    .join(template.replace("{version}", &version.to_string())),
            ),
            PackageSource::Node(_) => None,
        }
    }

    /// Reads everything in the folder of `version` that may hold one of `components`. With `keep`,
    /// their binaries are laid into the spool on the way.
    pub fn read_folder(
        &self,
        version: Version,
        components: &[Component],
        keep: bool,
    ) -> Result<Vec<Found>> {
        let mut templates = BTreeMap::new();
        self.read_release(version, components, keep, &mut templates)
    }

    /// As [`Store::read_folder`], with the templates of a deploy tree that lies there.
    pub fn read_release(
        &self,
        version: Version,
        components: &[Component],
        keep: bool,
        templates: &mut BTreeMap<String, String>,
    ) -> Result<Vec<Found>> {
        let Some(folder) = self.folder(version) else {
            return Ok(vec![]);
        };
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => {
                return Err(
                    Failure::new(format!("could not read {}", folder.display())).because(&e)
                );
            }
        };
        let mut names: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        names.sort();
        let mut found = Vec::new();
        if is_tree(&folder) {
            found.extend(self.one_tree(&folder, ".", templates)?);
        }
        for path in names {
            let Some(name) = path.file_name().and_then(|n| n.to_str()).map(str::to_owned) else {
                continue;
            };
            if let Some(stem) = archive_stem(&name) {
                // Another component's own package has nothing of ours.
                let other = stem
                    .parse::<Component>()
                    .is_ok_and(|c| !components.contains(&c));
                if !other {
                    found.extend(self.one_archive(
                        &path,
                        &name,
                        if keep { components } else { &[] },
                        templates,
                    )?);
                }
            } else if path.is_dir() && is_tree(&path) {
                found.extend(self.one_tree(&path, &name, templates)?);
            }
        }
        found.retain(|f| components.contains(&f.component));
        Ok(found)
    }

    fn one_archive(
        &self,
        path: &Path,
        name: &str,
        keep: &[Component],
        templates: &mut BTreeMap<String, String>,
    ) -> Result<Vec<Found>> {
        let refused = |e: PackageError| match e {
            PackageError::Write(e) => no_room(
                &format!("could not unpack {}; nothing was changed", path.display()),
                &at_path(self.spool.path(), e),
            ),
            PackageError::Read(e) => unreadable(path, &e),
            other => Failure::new(format!("the package {} was refused", path.display()))
                .because(&other)
                .hint("replace it; nothing was unpacked and nothing was changed"),
        };
        let file = File::open(path).map_err(|e| unreadable(path, &e))?;
        let mut copies: Vec<PathBuf> = Vec::new();
        let archive = read_archive_keeping(
            BufReader::with_capacity(1 << 16, file),
            name,
            &Limits::default(),
            &mut |entry| {
                let last = entry.rsplit('/').next().unwrap_or_default();
                if !keep.iter().any(|c| c.name() == last) {
                    return Ok(None);
                }
                let copy = tempfile::Builder::new()
                    .prefix("copy-")
                    .tempfile_in(self.spool.path())?;
                let (file, path) = copy.keep().map_err(|e| e.error)?;
                copies.push(path);
                Ok(Some(Box::new(BufWriter::with_capacity(1 << 16, file))))
            },
        )
        .map_err(refused)?;
        for (digest, copy) in archive.kept.iter().zip(copies) {
            self.take_file(*digest, copy);
        }
        if archive.trailing > 0 {
            tracing::warn!(
                "{} has {} bytes after its end",
                path.display(),
                archive.trailing
            );
        }
        for found in &archive.found {
            for file in &found.files {
                self.remember(
                    file.digest,
                    Origin::Archive {
                        path: path.to_path_buf(),
                        layout: found.layout,
                        component: found.component,
                        file: file.path.clone(),
                    },
                );
            }
        }
        templates.extend(archive.templates);
        Ok(archive.found)
    }

    fn one_tree(
        &self,
        root: &Path,
        name: &str,
        templates: &mut BTreeMap<String, String>,
    ) -> Result<Vec<Found>> {
        let (found, shipped) =
            read_whole_tree(&Folder(root.to_path_buf()), name, &Limits::default()).map_err(
                |e| {
                    Failure::new(format!("the package tree {} was refused", root.display()))
                        .because(&e)
                },
            )?;
        templates.extend(shipped);
        for f in &found {
            for file in &f.files {
                let place = match file.path.split_once('/') {
                    Some(("bin", _)) => root
                        .join("framework/servers")
                        .join(f.component.name())
                        .join(&file.path),
                    Some(("conf", _)) => root
                        .join("framework/conf")
                        .join(f.component.name())
                        .join(&file.path),
                    _ => root
                        .join("framework/util-linux")
                        .join(f.component.name())
                        .join(&file.path),
                };
                self.remember(file.digest, Origin::Plain(place));
            }
        }
        Ok(found)
    }

    fn remember(&self, digest: Digest, origin: Origin) {
        if let Ok(mut origins) = self.origins.lock() {
            origins.entry(digest).or_insert(origin);
        }
    }

    /// Reads the packages whole, so that fresh installs can be planned. Every one is compared with
    /// its pin.
    pub fn load(&mut self, desired: &Desired) -> Result<()> {
        if self.full {
            return Ok(());
        }
        self.full = true;
        let Some(lock) = self.lock.clone() else {
            return Ok(());
        };
        // By version, so that no archive is read more than once.
        let mut wanted: BTreeMap<Version, Vec<(Component, PackagePin)>> = BTreeMap::new();
        for (component, version) in desired.versions.iter().filter(|(c, _)| MANAGED.contains(c)) {
            if let Some(pin) = lock.pin(*component, *version) {
                let pins = wanted.entry(*version).or_default();
                pins.push((*component, pin.clone()));
            }
        }
        for (version, pins) in wanted {
            let components: Vec<Component> = pins.iter().map(|(c, _)| *c).collect();
            let all = self.read_folder(version, &components, true)?;
            for (component, pin) in pins {
                if !all.iter().any(|f| f.component == component) {
                    continue;
                }
                let contents = assemble(component, version, &all).map_err(|e| {
                    Failure::new(format!(
                        "the package of {component} {version} cannot be used"
                    ))
                    .because(&e)
                })?;
                verify(&pin, &contents).map_err(|e| {
                    Failure::new("a package is not the one that was pinned")
                        .because(&e)
                        .hint("if the new package is meant, run `tarsops package lock` and commit the lock file")
                })?;
                self.catalog.insert(contents);
            }
        }
        Ok(())
    }

    /// Whether packages come from a node, and which.
    pub const fn node_source(&self) -> Option<&NodeName> {
        match &self.source {
            PackageSource::Node(node) => Some(node),
            PackageSource::Folder(_) => None,
        }
    }

    /// Takes over the contents that were seen on a node, if they are what is pinned.
    pub fn take_node(&mut self, contents: PackageContents) -> Result<()> {
        let (component, version) = (contents.pin.component, contents.pin.version);
        if let Some(pin) = self.lock.as_ref().and_then(|l| l.pin(component, version)) {
            verify(pin, &contents).map_err(|e| {
                Failure::new("the node's installation is not the one that was pinned")
                    .because(&e)
                    .hint("if it is meant, run `tarsops package lock` and commit the lock file")
            })?;
            self.catalog.insert(contents);
        }
        Ok(())
    }

    /// Compares the templates that the lock file has of a release with those of its package. A template
    /// is the one thing whose content is in the lock file: what its package does not ship is not written.
    pub fn verify_templates(&self, release: Version) -> Result<()> {
        let mut shipped = BTreeMap::new();
        self.read_release(release, &[], false, &mut shipped)?;
        let lock = self.lock.as_ref();
        let locked = lock.and_then(|l| l.templates().get(&release));
        if shipped.is_empty() {
            return Err(Failure::new(format!(
                "the templates of {release} cannot be compared with its package, which is not on this \
                 machine; nothing was changed"
            ))
            .hint("put the deploy tree of that release where the spec's `framework.packages` says"));
        }
        let differ = locked.into_iter().flatten();
        let differ = differ.filter(|(name, text)| shipped.get(*name) != Some(*text));
        let names: Vec<&String> = differ.map(|(name, _)| name).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "templates of {release} in the lock file are not those of its package; nothing was changed"
        ))
        .hint("if the package is meant, run `tarsops package lock` and commit the lock file")
        .about(names))
    }

    /// Makes a file that came from elsewhere available under its digest.
    pub fn take_file(&self, digest: Digest, path: PathBuf) {
        if let Ok(mut spooled) = self.spooled.lock() {
            spooled.insert(digest, path);
        }
    }

    /// Whether a file is available under its digest already.
    fn has_file(&self, digest: &Digest) -> bool {
        self.spooled
            .lock()
            .is_ok_and(|spooled| spooled.contains_key(digest))
    }

    /// Takes a file of a pinned package out of its source and checks it, as an apply will; false
    /// where the source is not on this machine.
    pub fn prepare(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Result<bool> {
        let there = match self.origin(component, version, path, digest) {
            Some(Origin::Archive { path, .. } | Origin::Plain(path)) => path.exists(),
            None => false,
        };
        if !there {
            return Ok(false);
        }
        let what = format!("the package of {component} {version}");
        match self.spooled_file(component, version, path, digest) {
            Ok(_) => Ok(true),
            Err(e @ NoFile::Room(_)) => Err(no_room(
                &format!("could not unpack {what}; nothing was changed"),
                &e,
            )),
            Err(e @ NoFile::Read(_)) => Err(Failure::new(format!(
                "could not read {what}; nothing was changed"
            ))
            .because(&e)
            .hint("see that the file is there and that you may read it")),
            Err(e @ NoFile::Other(_)) => Err(Failure::new(format!(
                "{what} is not the one that was pinned; nothing was changed"
            ))
            .because(&e)
            .hint("put the pinned package back; if the new one is meant, run `tarsops package lock` and commit the lock file")),
        }
    }

    /// A private folder for files on their way.
    pub fn spool(&self) -> &Path {
        self.spool.path()
    }

    /// Opens the lock file, which belongs into Git and holds no secret.
    pub fn open_lock(&self) -> Result<Pending> {
        Pending::public(&self.lock_path)
    }

    /// Writes the lock file.
    pub fn write_lock(file: Pending, lock: &LockFile) -> Result<()> {
        let text = lock
            .render()
            // What could not be read again is not written.
            .and_then(|text| LockFile::parse(&text).map(|_| text))
            .map_err(|e| Failure::new("could not write the lock file").because(&e))?;
        file.write(&text)
    }

    fn origin(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> Option<Origin> {
        let known = self
            .origins
            .lock()
            .ok()
            .and_then(|o| o.get(digest).cloned());
        if known.is_some() {
            return known;
        }
        // Only the lock file was read so far: it says which source has the binary.
        let pin = self.lock.as_ref()?.pin(component, version)?;
        let folder = self.folder(version)?;
        match pin.layout {
            Layout::Node => None,
            Layout::Deploy if pin.archive.is_none() => {
                let root = folder.join(&pin.source);
                Some(Origin::Plain(
                    root.join("framework/servers")
                        .join(component.name())
                        .join(path),
                ))
            }
            layout => Some(Origin::Archive {
                path: folder.join(&pin.source),
                layout,
                component,
                file: path.to_owned(),
            }),
        }
    }
}

/// A failure of this machine's temporary folder.
fn no_room(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(what).because(error).hint(format!(
        "make room in {}, or set TMPDIR to a folder that has more",
        std::env::temp_dir().display()
    ))
}

/// A failure to read a file of this machine, which says nothing of what is in it.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "could not read {}; nothing was changed",
        path.display()
    ))
    .because(error)
    .hint("see that the file is there and that you may read it")
}

fn at_path(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Why a file of a package cannot be had.
#[derive(Debug, thiserror::Error)]
enum NoFile {
    /// It cannot be written to this machine's temporary folder.
    #[error("{0}")]
    Room(io::Error),
    /// Its source cannot be read.
    #[error("{0}")]
    Read(io::Error),
    /// Its source does not hold it.
    #[error("{0}")]
    Other(String),
}

impl NoFile {
    fn refused(source: &Path, to: &Path, error: PackageError) -> Self {
        match error {
            PackageError::Write(e) => Self::Room(at_path(to, e)),
            PackageError::Read(e) => Self::Read(at_path(source, e)),
            other => Self::Other(format!("{}: {other}", source.display())),
        }
    }
}

impl Payloads for Store {
    fn file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> std::result::Result<PathBuf, String> {
        self.spooled_file(component, version, path, digest)
            .map_err(|e| e.to_string())
    }
}

impl Store {
    /// The file in the spool that has `digest`, taken there if it is not there yet.
    fn spooled_file(
        &self,
        component: Component,
        version: Version,
        path: &str,
        digest: &Digest,
    ) -> std::result::Result<PathBuf, NoFile> {
        let mut spooled = self
            .spooled
            .lock()
            .map_err(|_| NoFile::Other("the spool is broken".to_owned()))?;
        if let Some(path) = spooled.get(digest) {
            return Ok(path.clone());
        }
        let origin = self
            .origin(component, version, path, digest)
            .ok_or_else(|| {
                NoFile::Other(format!("no package has {path} of {component} {version}"))
            })?;
        let to = self.spool.path().join(digest.to_string());
        let taken = take_out(&origin, digest, &to);
        if taken.is_err() {
            // Half a file takes room and is of no use.
            let _ = std::fs::remove_file(&to);
        }
        taken?;
        spooled.insert(*digest, to.clone());
        Ok(to)
    }
}

/// Copies the file with `digest` out of its source to the new file `to`.
fn take_out(origin: &Origin, digest: &Digest, to: &Path) -> std::result::Result<(), NoFile> {
    let room = |e: io::Error| NoFile::Room(at_path(to, e));
    let read = |path: &Path, e: io::Error| NoFile::Read(at_path(path, e));
    let mut out = BufWriter::new(File::create(to).map_err(room)?);
    match origin {
        Origin::Archive {
            path,
            layout,
            component,
            file,
        } => {
            let archive = File::open(path).map_err(|e| read(path, e))?;
            extract_file(
                BufReader::with_capacity(1 << 16, archive),
                *layout,
                *component,
                file,
                digest,
                &mut out,
                &Limits::default(),
            )
            .map_err(|e| NoFile::refused(path, to, e))?;
        }
        Origin::Plain(path) => {
            let mut file = File::open(path).map_err(|e| read(path, e))?;
            let found = copy_hashed(&mut file, &mut out).map_err(|e| match e {
                Copying::From(e) => read(path, e),
                Copying::To(e) => room(e),
            })?;
            if found != *digest {
                let why = format!("{} is not what the lock file says", path.display());
                return Err(NoFile::Other(why));
            }
        }
    }
    out.flush().map_err(room)
}

/// Which side of a copy failed.
enum Copying {
    From(io::Error),
    To(io::Error),
}

/// Copies and hashes in one pass.
fn copy_hashed(
    from: &mut dyn Read,
    to: &mut dyn io::Write,
) -> std::result::Result<Digest, Copying> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let n = from.read(&mut buffer).map_err(Copying::From)?;
        if n == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..n]);
        to.write_all(&buffer[..n]).map_err(Copying::To)?;
    }
}

/// The sha256 of a file.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    copy_hashed(&mut File::open(path)?, &mut io::sink()).map_err(|error| match error {
        Copying::From(e) | Copying::To(e) => e,
    })
}

/// A folder of the file system as a package tree.
struct Folder(PathBuf);

impl Tree for Folder {
    fn entries(&self) -> io::Result<Vec<TreeEntry>> {
        let mut out = Vec::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(below) = todo.pop() {
            for entry in std::fs::read_dir(self.0.join(&below))? {
                let entry = entry?;
                let name = below.join(entry.file_name());
                let meta = entry.metadata()?;
                let kind = if meta.file_type().is_symlink() {
                    let target = std::fs::read_link(entry.path())?;
                    TreeKind::Link {
                        target: target.to_string_lossy().into_owned(),
                    }
                } else if meta.is_dir() {
                    todo.push(name.clone());
                    TreeKind::Folder
                } else if meta.is_file() {
                    TreeKind::File { size: meta.len() }
                } else {
                    TreeKind::Special
                };
                out.push(TreeEntry {
                    name: name.as_os_str().as_bytes().to_vec(),
                    kind,
                });
            }
        }
        Ok(out)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let path = self.0.join(path);
        if path.symlink_metadata()?.file_type().is_symlink() {
            return Err(io::Error::other("it has become a link"));
        }
        Ok(Box::new(BufReader::with_capacity(
            1 << 16,
            File::open(path)?,
        )))
    }
}

/// Looks at the live installation on the source node, as the handbook's chapter 3 copies it: the
/// binary, the configuration and the scripts, without data and logs.
pub async fn node_contents(
    context: &Context,
    node: &NodeName,
    version: Version,
) -> Result<PackageContents> {
    let bar = crate::progress::Bar::quiet();
    let report = context.look_at(std::slice::from_ref(node), &bar).await;
    let unseen = |why: &str| {
        Failure::new(format!("could not look at the package source node:{node}"))
            .because(&io::Error::other(why.to_owned()))
            .code(exit::INCOMPLETE)
    };
    let facts = match report.inventory.agent(node) {
        Observed::Present(facts) => facts,
        Observed::Absent => return Err(unseen("tarsnode is not installed there")),
        Observed::Unknown(why) => return Err(unseen(&why)),
    };
    let binary = match &facts.binary {
        Observed::Present(file) => file,
        other => return Err(unseen(other.unknown().unwrap_or("its binary is not there"))),
    };
    let mut files = vec![PackageFile {
        path: "bin/tarsnode".to_owned(),
        mode: 0o755,
        size: binary.size,
        digest: binary.digest,
        text: None,
    }];
    for (name, script) in &facts.util {
        if let Observed::Present(text) = script {
            files.push(text_file(format!("util/{name}"), 0o755, &text.text));
        }
    }
    // A running tarsnode rewrites its configuration, so that is no part of what is pinned.
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let contents = contents_digest(&files);
    if let Observed::Present(text) = &facts.conf {
        files.push(text_file(
            "conf/tars.tarsnode.config.conf".to_owned(),
            0o644,
            &text.text,
        ));
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(PackageContents {
        pin: PackagePin {
            component: Component::Tarsnode,
            version,
            layout: Layout::Node,
            source: format!("node:{node}"),
            archive: None,
            archive_size: None,
            binary: binary.digest,
            binary_size: binary.size,
            contents,
        },
        files,
    })
}

fn text_file(path: String, mode: u32, text: &str) -> PackageFile {
    PackageFile {
        path,
        mode,
        size: text.len() as u64,
        digest: Digest::of(text.as_bytes()),
        text: Some(text.to_owned()),
    }
}

/// Seconds that the binary of a `node:` source may take to come.
const FETCH_SECS: u64 = 600;

/// Bytes that a binary of this digest may have: as many as the lock file says, and never more than one
/// in a package may.
fn largest(
    lock: Option<&LockFile>,
    component: Component,
    version: Version,
    digest: &Digest,
) -> u64 {
    let most = Limits::default().max_file;
    lock.and_then(|lock| lock.pin(component, version))
        .filter(|pin| pin.binary == *digest)
        .map_or(most, |pin| pin.binary_size.min(most))
}

/// Fetches the binary of a `node:` source, once, with its digest checked. What is not the pinned one
/// does not stay.
pub async fn fetch_from_node(
    context: &Context,
    node: &NodeName,
    component: Component,
    version: Version,
    digest: Digest,
) -> Result<()> {
    let store = &context.store;
    if store.has_file(&digest) {
        return Ok(());
    }
    let to = store.spool().join(digest.to_string());
    let desired = context.desired();
    let script = send_binary(
        &place(desired, node),
        &desired.run_user,
        component,
        FETCH_SECS,
    );
    let most = largest(store.lock.as_ref(), component, version, &digest);
    let failed = |e: &dyn std::error::Error| {
        Failure::new(format!("could not copy the binary from node {node}")).because(e)
    };
    let here = |e: &dyn std::error::Error| {
        let place = to.display();
        no_room(
            &format!("could not write the binary of the package to {place}"),
            e,
        )
    };
    let remote = context
        .connector
        .connect(node)
        .await
        .map_err(|e| failed(&e).hint(e.kind.hint()))?;
    let output = remote
        .download(&script, &to, most, Duration::from_secs(FETCH_SECS))
        .await;
    let output = match output {
        Ok(output) => output,
        Err(fault) => {
            // A connection that broke is not used again; with it goes what the host still runs.
            context.connector.forget(node).await;
            if fault.kind == FaultKind::Local {
                return Err(here(&fault));
            }
            let failure = failed(&fault).code(exit::INCOMPLETE);
            return Err(match fault.kind {
                FaultKind::TooMuch => failure.hint(
                    "the file on the node is larger than the pinned one; see what it is, or run `tarsops package lock` and commit the lock file if it is meant",
                ),
                kind => failure.hint(kind.hint()),
            });
        }
    };
    if output.status != Some(0) {
        let said = output.stderr.lines().last().unwrap_or("it did not say why");
        return Err(failed(&io::Error::other(said.to_owned()))
            .code(exit::INCOMPLETE)
            .hint("see whether the file can be read there"));
    }
    let found = digest_of(&to).map_err(|e| here(&e))?;
    if found != digest {
        // The folder goes with this process; what is wrong need not stay that long.
        let _ = std::fs::remove_file(&to);
        return Err(Failure::new(format!(
            "the binary on node {node} is not the one that was pinned: its sha256 is {found}, not {digest}"
        ))
        .hint("if it is meant, run `tarsops package lock` and commit the lock file"));
    }
    store.take_file(digest, to);
    Ok(())
}

/// Versions that the spec asks for, of components whose packages must be there.
pub fn wanted(desired: &Desired) -> BTreeSet<(Component, Version)> {
    desired
        .versions
        .iter()
        .filter(|(c, _)| NEEDED.contains(c))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tarsops_model::package::{Layout, PackagePin};

    #[test]
    fn a_lock_file_makes_no_binary_larger_than_one_may_be() {
        let (component, version) = (Component::Tarsnode, Version::new(3, 0, 17));
        let binary = Digest::of(b"binary");
        let most = Limits::default().max_file;
        for (says, may) in [(7, 7), (most, most), (most + 1, most), (u64::MAX, most)] {
            let mut lock = LockFile::default();
            lock.insert(PackagePin {
                component,
                version,
                layout: Layout::Deploy,
                source: "node:10.0.0.1".to_owned(),
                archive: None,
                archive_size: None,
                binary,
                binary_size: says,
                contents: Digest::of(b"contents"),
            });
            assert_eq!(largest(Some(&lock), component, version, &binary), may);
        }
        assert_eq!(largest(None, component, version, &binary), most);
    }
}
