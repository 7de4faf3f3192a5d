//! The files for `ssh` that a spec names must be on this machine before any host is asked. OpenSSH passes
//! over a file that is not there, or says so in words that sound like a fault of the host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tarsops_transport::ssh::NewHostKeys;

use crate::failure::{Failure, Result};
use crate::spec_file::Loaded;

/// Checks that every file that the section `ssh` and its overrides name can be read.
///
/// # Errors
/// The first one that cannot, with its line in the spec.
pub fn are_there(loaded: &Loaded, new_keys: NewHostKeys) -> Result<()> {
    // Each file once, with the place that names it.
    let mut files: BTreeMap<&Path, (String, &str)> = BTreeMap::new();
    for (node, access) in &loaded.desired.access {
        let own = format!("overrides/{node}/ssh/identity");
        let identity = match loaded.parsed.line(&own) {
            Some(_) => own,
            None => "ssh/identity".to_owned(),
        };
        for (path, key, file) in [
            (identity, "ssh.identity", &access.identity),
            (
                "ssh/known_hosts".to_owned(),
                "ssh.known_hosts",
                &access.known_hosts,
            ),
            ("ssh/config".to_owned(), "ssh.config", &access.config),
        ] {
            if let Some(file) = file {
                files.entry(file).or_insert((path, key));
            }
        }
    }
    for (file, (path, key)) in files {
        let Err(error) = can_be_used(file, key, new_keys) else {
            continue;
        };
        let place = loaded.parsed.line(&path);
        let place = place.map_or_else(String::new, |place| format!("{place}: "));
        let what = format!(
            "{place}`{key}` names a file that cannot be read: {}; no host was contacted",
            file.display()
        );
        return Err(Failure::new(what).because(&error).hint(match key {
            "ssh.known_hosts" => {
                "make it with --accept-new-host-keys or ssh-keyscan, or leave the key out: the operator's own known hosts count then"
            }
            _ => "name a file that you may read, or leave the key out; relative paths start at the spec's folder",
        }));
    }
    Ok(())
}

fn can_be_used(file: &Path, key: &str, new_keys: NewHostKeys) -> std::io::Result<()> {
    let found = open(file);
    let is_missing = |e: &std::io::Error| e.kind() == std::io::ErrorKind::NotFound;
    match &found {
        Err(e) if key == "ssh.identity" && is_missing(e) => {
            // The private half of a key may be in an agent.
            let mut public = file.as_os_str().to_owned();
            public.push(".pub");
            open(&PathBuf::from(public)).or(found)
        }
        // OpenSSH makes it, in a folder that is there.
        Err(e) if key == "ssh.known_hosts" && new_keys == NewHostKeys::Accept && is_missing(e) => {
            match file.parent() {
                Some(folder) if folder.is_dir() => Ok(()),
                _ => found,
            }
        }
        _ => found,
    }
}

fn open(file: &Path) -> std::io::Result<()> {
    if std::fs::metadata(file)?.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    std::fs::File::open(file).map(drop)
}
