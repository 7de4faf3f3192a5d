//! `package`: pin and show release packages.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::display::Text;
use tarsops_model::version::Version;
use tarsops_package::lock::Known;
use tarsops_package::{Limits, LockFile, assemble, read_archive};

use crate::args::{Global, Look, PackageCommand};
use crate::context::{Context, load, publish, say};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::packages::{MANAGED, Store, digest_of, node_contents};

/// Does it.
pub async fn run(global: &Global, command: PackageCommand) -> Result {
    match command {
        PackageCommand::Lock { look } => lock(global, &look).await,
        PackageCommand::Ls => ls(global),
        PackageCommand::Add {
            component,
            version,
            what,
            note,
        } => add(global, &component, &version, &what, note),
    }
}

async fn lock(global: &Global, look: &Look) -> Result {
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let mut fresh = LockFile::default();
    let versions: std::collections::BTreeSet<Version> =
        loaded.desired.versions.iter().map(|(_, v)| *v).collect();
    let node = store.node_source().cloned();
    let file = store.open_lock()?;
    let context = Context::with(loaded, store, look)?;
    if let Some(node) = &node {
        for (_, version) in crate::packages::wanted(context.desired()) {
            fresh.insert(node_contents(&context, node, version).await?.pin);
        }
    } else {
        for version in versions {
            let mut templates = std::collections::BTreeMap::new();
            let found =
                context
                    .store
                    .read_release(version, &Component::ALL, false, &mut templates)?;
            if !templates.is_empty() {
                fresh.set_templates(version, templates);
            }
            let there: std::collections::BTreeSet<Component> = found
                .iter()
                .filter(|f| f.binary().is_some())
                .map(|f| f.component)
                .collect();
            for component in there {
                let contents = assemble(component, version, &found).map_err(|e| {
                    Failure::new(format!(
                        "the package of {component} {version} cannot be used"
                    ))
                    .because(&e)
                })?;
                fresh.insert(contents.pin);
            }
        }
    }
    let available: std::collections::BTreeSet<_> =
        fresh.pins().map(|p| (p.component, p.version)).collect();
    let lacking: Vec<String> = crate::packages::wanted(context.desired())
        .difference(&available)
        .map(|(c, v)| format!("{c} {v}"))
        .collect();
    if !lacking.is_empty() {
        let mut places: Vec<String> = crate::packages::wanted(context.desired())
            .iter()
            .filter_map(|(_, v)| context.store.folder(*v).map(|f| f.display().to_string()))
            .collect();
        places.dedup();
        return Err(
            Failure::new(format!("there is no package of {}", lacking.join(", "))).hint(format!(
                "put it into {} and run this again; the lock file was not changed",
                places.join(" or ")
            )),
        );
    }
    let mut whole = context.store.lock.clone().unwrap_or_default();
    let replaced = whole.merge(fresh);
    for old in &replaced {
        say(format!(
            "warning: {} {} was pinned with the binary {} and is now another one",
            old.component,
            old.version,
            old.binary.short()
        ));
    }
    Store::write_lock(file, &whole)?;
    let text = format!(
        "pinned {} packages in {}\n",
        whole.pins().count(),
        context.store.lock_path.display()
    );
    publish(global, &list_json(&whole)?, &text)?;
    context.close().await;
    Ok(exit::OK)
}

fn list_json(lock: &LockFile) -> Result<String> {
    let document = serde_json::json!({
        "format": "tarsops.packages/1",
        "packages": lock.pins().collect::<Vec<_>>(),
        "known": lock.known().collect::<Vec<_>>(),
        "templates": lock.templates().iter().map(|(version, all)| {
            (version.to_string(), all.keys().collect::<Vec<_>>())
        }).collect::<std::collections::BTreeMap<_, _>>(),
    });
    Ok(format!("{document:#}\n"))
}

fn ls(global: &Global) -> Result {
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let Some(lock) = &store.lock else {
        return Err(
            Failure::new(format!("there is no {}", store.lock_path.display()))
                .hint("make it with `tarsops package lock`"),
        );
    };
    let mut text = Text::new();
    for pin in lock.pins() {
        let wanted = loaded
            .desired
            .versions
            .contains(&(pin.component, pin.version));
        let managed = MANAGED.contains(&pin.component);
        let there = match store.folder(pin.version) {
            Some(folder) if folder.join(&pin.source).exists() => "",
            Some(_) => "  (not in the packages folder)",
            None => "",
        };
        text.line(format_args!(
            "{} {:<17} {:<8} {:>9} KiB  {}  {}{}{there}",
            if wanted { "*" } else { " " },
            pin.component,
            pin.version,
            pin.binary_size >> 10,
            pin.binary.short(),
            pin.source,
            if managed { "" } else { "  (not managed yet)" }
        ));
    }
    for (version, all) in lock.templates() {
        text.line(format_args!(
            "  templates         {version:<8} {:>13}",
            all.len()
        ));
    }
    for known in lock.known() {
        text.line(format_args!(
            "  {:<17} {:<8} {:>13}  {}  taught{}",
            known.component,
            known.version,
            "",
            known.binary.short(),
            if known.note.is_empty() {
                String::new()
            } else {
                format!(": {}", known.note)
            }
        ));
    }
    publish(global, &list_json(lock)?, &text)?;
    Ok(exit::OK)
}

fn add(global: &Global, component: &str, version: &str, what: &str, note: String) -> Result {
    let usage = |e: &dyn std::error::Error| {
        Failure::new("could not understand what to add")
            .because(e)
            .code(exit::USAGE)
    };
    let component: Component = component.parse().map_err(|e| usage(&e))?;
    let version: Version = version.parse().map_err(|e| usage(&e))?;
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let file = store.open_lock()?;
    let binary = binary_digest(component, what)?;
    let mut lock = store.lock.clone().unwrap_or_default();
    let new = lock.teach(Known {
        component,
        version,
        binary,
        note,
    });
    Store::write_lock(file, &lock)?;
    let text = if new {
        format!("{} now counts as {component} {version}\n", binary.short())
    } else {
        format!(
            "{} was known as {component} {version} already\n",
            binary.short()
        )
    };
    publish(global, &list_json(&lock)?, &text)?;
    Ok(exit::OK)
}

fn binary_digest(component: Component, what: &str) -> Result<Digest> {
    if let Ok(digest) = what.parse() {
        return Ok(digest);
    }
    let path = Path::new(what);
    let failed = |e: &dyn std::error::Error| {
        Failure::new(format!("could not read {}", path.display()))
            .because(e)
            .hint("give a binary, an archive that holds it, or 64 hexadecimal digits")
    };
    let archive = what.ends_with(".tgz") || what.ends_with(".tar.gz");
    if !archive {
        return digest_of(path).map_err(|e| failed(&e));
    }
    let file = File::open(path).map_err(|e| failed(&e))?;
    let archive =
        read_archive(BufReader::new(file), what, &Limits::default()).map_err(|e| failed(&e))?;
    archive
        .found
        .iter()
        .filter(|f| f.component == component)
        .find_map(|f| f.binary())
        .map(|b| b.digest)
        .ok_or_else(|| Failure::new(format!("{} holds no {component}", path.display())))
}
