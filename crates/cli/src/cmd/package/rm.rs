//! `package rm`: remove binaries from the lock file.

use tarsops_model::digest::Digest;
use tarsops_model::display::Text;

use super::pins::{list_json, named};
use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::session::load;
use crate::store::{Store, write_lock};

/// Removes them.
pub fn run(global: &Global, component: &str, version: &str, sha256: Option<&str>) -> Result {
    let (component, version) = named(component, version)?;
    if let Some(digits) = sha256
        && (digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(Failure::new(format!("`{digits}` is no sha256"))
            .hint("give the hexadecimal digits that `tarsops package ls` shows, or leave them out")
            .code(exit::USAGE));
    }
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let mut lock = store.lock.clone().unwrap_or_default();
    let meant = |binary: &Digest| {
        sha256.is_none_or(|digits| binary.to_string().starts_with(&digits.to_lowercase()))
    };
    let gone =
        lock.forget(|k| (k.component, k.version) == (component, version) && meant(&k.binary));
    let mut gone: Vec<Digest> = gone.iter().map(|k| k.binary).collect();
    let pin = lock.pin(component, version).map(|p| p.binary);
    if let Some(binary) = pin.filter(meant) {
        let wanted = loaded.desired.versions.contains(&(component, version));
        if !wanted {
            lock.unpin(component, version);
            gone.push(binary);
        } else if gone.is_empty() {
            return Err(Failure::new(format!(
                "the spec asks for {component} {version}; its pin was not removed"
            ))
            .hint("change the version in the spec first; `tarsops package lock` pins another package of the same version"));
        }
    }
    if gone.is_empty() {
        return Err(Failure::new(format!(
            "{} has no such binary of {component} {version}",
            store.lock_path.display()
        ))
        .hint("`tarsops package ls` shows what it has"));
    }
    write_lock(store.open_lock()?, &lock)?;
    let mut text = Text::new();
    for binary in gone {
        text.line(format_args!(
            "{} no longer counts as {component} {version}",
            binary.short()
        ));
    }
    publish(global, &list_json(&lock)?, &text)?;
    Ok(exit::OK)
}
