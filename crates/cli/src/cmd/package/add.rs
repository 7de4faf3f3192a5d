//! `package add`: register a binary that no package has.

use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::version::Version;
use tarsops_package::archive::stem;
use tarsops_package::lock::Known;
use tarsops_package::program::{HEAD, Head, no_program};
use tarsops_package::{Limits, LockFile, extract_file, read_archive};

use super::pins::{list_json, named};
use super::rm::CONSOLE;
use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::session::load;
use crate::store::{Store, digest_of, write_lock};

/// Registers it.
pub fn run(global: &Global, component: &str, version: &str, what: &str, note: String) -> Result {
    if component == CONSOLE {
        return Err(
            Failure::new("the platform is no program that could be registered")
                .hint("name its archive as `web.package` and run `tarsops package lock`")
                .code(exit::USAGE),
        );
    }
    let (component, version) = named(component, version)?;
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let file = store.open_lock()?;
    let binary = binary_digest(component, what)?;
    let mut lock = store.lock.clone().unwrap_or_default();
    if let Some((other, its)) = owner(&lock, &binary).filter(|(c, _)| *c != component) {
        return Err(
            Failure::new(format!("{what} is not a program of {component}"))
                .because(&io::Error::other(format!(
                    "the lock file has this binary as {other} {its}"
                )))
                .hint(format!(
                    "give the binary of {component}, or remove the other entry with `tarsops package rm`"
                )),
        );
    }
    let new = lock.register(Known {
        component,
        version,
        binary,
        note,
    });
    write_lock(file, &lock)?;
    let text = if new {
        format!(
            "{} is now recognised as {component} {version}\n",
            binary.short()
        )
    } else {
        format!(
            "{} was known as {component} {version} already\n",
            binary.short()
        )
    };
    publish(global, &list_json(&lock)?, &text)?;
    Ok(exit::OK)
}

/// The component and version that a lock file has a binary as.
fn owner(lock: &LockFile, binary: &Digest) -> Option<(Component, Version)> {
    let pins = lock.pins().map(|p| (p.component, p.version, p.binary));
    let known = lock.known().map(|k| (k.component, k.version, k.binary));
    pins.chain(known)
        .find(|(_, _, digest)| digest == binary)
        .map(|(component, version, _)| (component, version))
}

/// The digest of what the command line names: a digest itself, or a file that is a program of
/// `component` or an archive with one.
fn binary_digest(component: Component, what: &str) -> Result<Digest> {
    if let Ok(digest) = what.parse() {
        return Ok(digest);
    }
    let path = Path::new(what);
    let failed = |e: &dyn std::error::Error| {
        Failure::new(format!("could not read {}", path.display()))
            .because(e)
            .hint("give a binary, an archive that contains it, or 64 hexadecimal digits")
    };
    let refused = |why: String| {
        Failure::new(format!("{} is not a program of {component}", path.display()))
            .because(&io::Error::other(why))
            .hint(format!(
                "give the binary {component} itself, an archive that contains it, or 64 hexadecimal digits"
            ))
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or(what);
    let stem = stem(name);
    // An archive of another component is not worth the reading.
    if let Ok(other) = stem.unwrap_or(name).parse::<Component>()
        && other != component
    {
        return Err(refused(format!("by its name it is {other}")));
    }
    if stem.is_none() {
        let mut head = Vec::new();
        let file = File::open(path).map_err(|e| failed(&e))?;
        let head_size = HEAD as u64;
        (&file)
            .take(head_size)
            .read_to_end(&mut head)
            .map_err(|e| failed(&e))?;
        if let Some(why) = no_program(&head) {
            return Err(refused(why));
        }
        return digest_of(path).map_err(|e| failed(&e));
    }
    let file = File::open(path).map_err(|e| failed(&e))?;
    let archive =
        read_archive(BufReader::new(file), what, &Limits::default()).map_err(|e| failed(&e))?;
    let found = archive.found.iter().filter(|f| f.component == component);
    let Some((layout, binary)) = found
        .filter_map(|f| f.binary().map(|b| (f.layout, b)))
        .next()
    else {
        return Err(refused(format!("it contains no {component}")));
    };
    let mut head = Head::default();
    let file = File::open(path).map_err(|e| failed(&e))?;
    extract_file(
        BufReader::new(file),
        layout,
        component,
        &binary.path,
        &binary.digest,
        &mut head,
        &Limits::default(),
    )
    .map_err(|e| failed(&e))?;
    match no_program(&head.0) {
        Some(why) => Err(refused(format!("of its {component}: {why}"))),
        None => Ok(binary.digest),
    }
}
