//! `package rm`: remove binaries from the lock file.

use tarsops_model::console::ConsolePin;
use tarsops_model::digest::Digest;
use tarsops_model::display::Text;
use tarsops_model::version::Version;

use super::pins::{list_json, named, not_meant};
use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::session::load;
use crate::store::{Store, write_lock};

/// What names the management platform among components.
pub const CONSOLE: &str = "web";

/// Removes them.
pub fn run(global: &Global, component: &str, version: &str, sha256: Option<&str>) -> Result {
    if component == CONSOLE {
        return console(global, version, sha256);
    }
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

/// Removes a release of the management platform.
fn console(global: &Global, version: &str, sha256: Option<&str>) -> Result {
    let version: Version = version.parse().map_err(|e| not_meant(&e))?;
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let mut lock = store.lock.clone().unwrap_or_default();
    let meant = |pin: &ConsolePin| {
        let digits = sha256.map(str::to_lowercase);
        digits.is_none_or(|digits| pin.archive.to_string().starts_with(&digits))
    };
    let Some(pin) = lock
        .consoles()
        .get(&version)
        .filter(|pin| meant(pin))
        .cloned()
    else {
        return Err(Failure::new(format!(
            "{} has no such platform {version}",
            store.lock_path.display()
        ))
        .hint("`tarsops package ls` shows what it has"));
    };
    let wanted = loaded.desired.web().and_then(|web| web.console.as_ref());
    if wanted.is_some_and(|console| console.version == Some(version)) {
        return Err(Failure::new(format!(
            "the spec asks for the platform {version}; its pin was not removed"
        ))
        .hint("change `web.version` first; `tarsops package lock` pins another archive of the same version"));
    }
    lock.unpin_console(version);
    write_lock(store.open_lock()?, &lock)?;
    let mut text = Text::new();
    text.line(format_args!(
        "{} is no longer pinned as the platform {version}",
        pin.archive.short()
    ));
    publish(global, &list_json(&lock)?, &text)?;
    Ok(exit::OK)
}
