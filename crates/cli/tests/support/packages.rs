//! Packages of stand-ins, and the program under test.
//!
//! Both are made from the program that Cargo built, stripped, and kept below the target folder under
//! its size and time: made once, whichever test binary comes first, and untouched by a build that
//! runs meanwhile.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tarsops_standin::packages::{
    LocalAdmin, write_binary_only, write_bundle, write_deploy_archive, write_deploy_tree,
    write_full,
};
use tarsops_standin::standin::{self, Identity};

/// In which layout a package comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `tarsnode.tgz` with `tarsnode/{bin,conf,util}`.
    Full,
    /// `tarsnode.tgz` with `tarsnode/tarsnode` alone.
    BinaryOnly,
    /// `framework.tgz` with `X/bin/X`.
    Bundle,
    /// The deploy tree, unpacked.
    DeployTree,
    /// The deploy tree as one `.tgz`.
    DeployArchive,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Layout::Full | Layout::BinaryOnly => "tarsnode.tgz",
            Layout::Bundle => "framework.tgz",
            Layout::DeployTree => "tree",
            Layout::DeployArchive => "deploy.tgz",
        }
    }
}

/// The folder of this build's stand-ins.
fn cache() -> &'static Path {
    static CACHE: OnceLock<PathBuf> = OnceLock::new();
    CACHE.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let exe = Path::new(env!("CARGO_BIN_EXE_tarsops"));
        let mut own = "standins".to_owned();
        let other = std::env::var_os("TARSOPS_STANDIN").map(PathBuf::from);
        for program in std::iter::once(exe).chain(other.as_deref()) {
            let meta = fs::metadata(program).unwrap();
            let key = [meta.mtime(), meta.mtime_nsec()].map(|n| n.to_string());
            own.push_str(&format!("-{}-{}", meta.len(), key.join("-")));
        }
        for entry in fs::read_dir(all).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|t| t < SystemTime::now() - Duration::from_secs(3600));
            if name.starts_with("standins-") && name != own && old {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let dir = all.join(own);
        fs::create_dir_all(&dir).unwrap();
        stripped(exe, &dir.join("tarsops"));
        dir
    })
}

/// Held while something in `dir` is made: each test may be a process of its own, and they begin together.
fn hold(dir: &Path) -> fs::File {
    let file = fs::File::create(dir.join("lock")).unwrap();
    file.lock().unwrap();
    file
}

/// A copy without symbols, made once.
fn stripped(exe: &Path, to: &Path) {
    let _held = hold(to.parent().unwrap());
    if to.exists() {
        return;
    }
    let fresh = to.with_extension(std::process::id().to_string());
    fs::copy(exe, &fresh).unwrap();
    // Without `strip` everything is larger and works as well.
    let _ = Command::new("strip").arg(&fresh).status();
    fs::rename(&fresh, to).unwrap();
}

/// The program under test.
pub fn program() -> PathBuf {
    cache().join("tarsops")
}

/// The program that plays the framework. The one under test can, and a user's demonstration runs on
/// it; `TARSOPS_STANDIN` names one that can nothing else and is less than half as large, of which a
/// whole run of the tests copies, packs and sends many gigabytes less.
pub fn stand_in() -> PathBuf {
    static STAND_IN: OnceLock<PathBuf> = OnceLock::new();
    let made = STAND_IN.get_or_init(|| {
        let Some(exe) = std::env::var_os("TARSOPS_STANDIN") else {
            return program();
        };
        let to = cache().join("standin");
        stripped(Path::new(&exe), &to);
        to
    });
    made.clone()
}

/// The part of a path that tells one identity from another.
fn key(identity: &Identity) -> String {
    let pad = identity
        .pad_to
        .map_or_else(String::new, |n| format!("-{n}"));
    let behaviour = String::from(identity.behaviour).replace(':', "-");
    format!(
        "{}-{behaviour}-{}{pad}",
        identity.version, identity.rewrite_ms
    )
}

/// Makes something below the cache once.
fn once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let path = cache().join(name);
    // Made before, as that holds the same file.
    let _ = stand_in();
    let _held = hold(cache());
    if !path.exists() {
        // What a test left that was killed in the middle is not taken for whole.
        let fresh = cache().join(format!("{name}.new"));
        let _ = fs::remove_dir_all(&fresh);
        let _ = fs::remove_file(&fresh);
        make(&fresh);
        fs::rename(&fresh, &path).unwrap();
    }
    path
}

/// Makes the folder `folder` one that holds this package and nothing else.
pub(super) fn put(folder: &Path, layout: Layout, identity: &Identity) {
    let local = LocalAdmin::OnLoopback;
    let made = once(&format!("{layout:?}-{}", key(identity)), |to| {
        fs::create_dir_all(to).unwrap();
        let path = to.join(layout.name());
        let exe = stand_in();
        match layout {
            Layout::Full => write_full(&exe, &path, identity, local),
            Layout::BinaryOnly => write_binary_only(&exe, &path, identity),
            Layout::Bundle => write_bundle(&exe, &path, identity),
            Layout::DeployTree => write_deploy_tree(&exe, to, identity, local),
            Layout::DeployArchive => {
                write_deploy_archive(&exe, &path, identity, local, Some("framework-3"))
            }
        }
        .unwrap();
    });
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    // Never links: a test may tamper with its own.
    let copied = Command::new("cp")
        .args(["-r", "--reflink=auto", "--"])
        .args([&made, folder])
        .status()
        .unwrap();
    assert!(copied.success());
}

/// The binary of an identity, as a file on this machine.
pub fn standin(identity: &Identity) -> PathBuf {
    once(&format!("binary-{}", key(identity)), |to| {
        standin::make(&stand_in(), to, identity).unwrap();
    })
}

/// The sha256 of the binary of an identity, in hexadecimal.
pub fn standin_digest(identity: &Identity) -> String {
    let file = fs::File::open(standin(identity)).unwrap();
    let output = Command::new("sha256sum").stdin(file).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').next().unwrap().to_owned()
}

/// Puts `X.tgz` of each of the components `names` into a folder.
pub fn put_components(dir: &Path, names: &[&str], identity: &Identity) {
    fs::create_dir_all(dir).unwrap();
    for name in names {
        let out = dir.join(format!("{name}.tgz"));
        tarsops_standin::packages::write_component(&stand_in(), &out, name, identity).unwrap();
    }
}
