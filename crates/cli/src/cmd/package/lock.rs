//! `package lock`: read every package that the spec asks for and pin it.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::display::Text;
use tarsops_model::version::Version;
use tarsops_package::LockFile;

use super::pins::{list_json, source};
use crate::args::{Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::node_package::node_contents;
use crate::output::{publish, say};
use crate::session::{Session, load};
use crate::store::{Store, identify, identify_console, wanted, write_lock};

/// Pins them.
pub async fn run(global: &Global, look: &Look) -> Result {
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let mut fresh = LockFile::default();
    let versions: BTreeSet<Version> = loaded.desired.versions.iter().map(|(_, v)| *v).collect();
    let node = store.node_source().cloned();
    let file = store.open_lock()?;
    let session = Session::with(loaded, store, look)?;
    if let Some(node) = &node {
        for (_, version) in wanted(session.desired()) {
            fresh.insert(node_contents(&session, node, version).await?.pin);
        }
    } else {
        fresh = session.store.pin_releases(&versions)?;
    }
    // One image for all containers of a spec.
    let image = session.desired().containers().next();
    if let Some((_, container)) = image {
        let pin = identify(container, session.store.lock.as_ref())?;
        fresh.insert_image(pin);
    }
    // In containers it is a part of the image.
    if let Some(console) = session.desired().web().and_then(|web| web.console.as_ref())
        && image.is_none()
        && let Some(pin) = identify_console(console, session.store.lock.as_ref())?
    {
        fresh.insert_console(pin);
    }
    let sources = sources(&fresh);
    let available: BTreeSet<_> = fresh.pins().map(|p| (p.component, p.version)).collect();
    let lacking: Vec<String> = wanted(session.desired())
        .difference(&available)
        .map(|(c, v)| format!("{c} {v}"))
        .collect();
    if !lacking.is_empty() {
        let mut places: Vec<String> = wanted(session.desired())
            .iter()
            .filter_map(|(_, v)| session.store.folder(*v).map(|f| f.display().to_string()))
            .collect();
        places.dedup();
        return Err(
            Failure::new(format!("there is no package of {}", lacking.join(", "))).hint(format!(
                "put it into {} and run this again; the lock file was not changed",
                places.join(" or ")
            )),
        );
    }
    let mut whole = session.store.lock.clone().unwrap_or_default();
    for (name, image) in fresh.images() {
        if let Some(old) = whole.images().get(name).filter(|old| old.id != image.id) {
            say(format!(
                "warning: the image {name} was pinned as {} and is now another one",
                old.id.short()
            ));
        }
    }
    for (version, console) in fresh.consoles() {
        let old = whole.consoles().get(version);
        if let Some(old) = old.filter(|old| old.archive != console.archive) {
            say(format!(
                "warning: the platform {version} was pinned as {} and is now another one",
                old.archive.short()
            ));
        }
    }
    let consoles = fresh.consoles().clone();
    let images = fresh.images().clone();
    let replaced = whole.merge(fresh);
    for old in &replaced {
        say(format!(
            "warning: {} {} was pinned with the binary {} and is now another one",
            old.component,
            old.version,
            old.binary.short()
        ));
    }
    write_lock(file, &whole)?;
    let mut text = Text::new();
    text.line(format_args!(
        "pinned {} in {}",
        packages(whole.pins().count()),
        session.store.lock_path.display()
    ));
    for ((version, source), count) in sources {
        text.line(format_args!(
            "  {version}: {} from {source}",
            packages(count)
        ));
    }
    for (name, image) in &images {
        text.line(format_args!(
            "  {}: image {} of {name}",
            image.framework,
            image.id.short()
        ));
    }
    for (version, console) in &consoles {
        text.line(format_args!(
            "  {version}: platform {} from {}",
            console.archive.short(),
            console.source
        ));
    }
    publish(global, &list_json(&whole)?, &text)?;
    session.close().await;
    Ok(exit::OK)
}

/// A number of packages in words.
fn packages(count: usize) -> String {
    match count {
        1 => "1 package".to_owned(),
        n => format!("{n} packages"),
    }
}

/// How many pins come from which source, by version.
fn sources(lock: &LockFile) -> BTreeMap<(Version, String), usize> {
    let mut out = BTreeMap::new();
    for pin in lock.pins() {
        *out.entry((pin.version, source(pin.layout, &pin.source)))
            .or_default() += 1;
    }
    out
}
