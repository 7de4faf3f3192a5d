//! `package ls`: what is pinned and what is there.

use tarsops_model::display::Text;

use super::pins::{list_json, source};
use super::web::machines;
use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::session::load;
use crate::store::Store;

/// Shows it.
pub fn run(global: &Global) -> Result {
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let Some(lock) = &store.lock else {
        return Err(
            Failure::new(format!("there is no {}", store.lock_path.display()))
                .hint("create it with `tarsops package lock`"),
        );
    };
    let row = |out: &mut Text, cells: [&str; 6]| {
        let [component, version, wanted, binary, size, from] = cells;
        out.line(format_args!(
            "{component:<17}  {version:<8}  {wanted:<7}  {binary:<12}  {size:>10}  {from}"
        ));
    };
    let mut text = Text::new();
    row(
        &mut text,
        ["COMPONENT", "VERSION", "IN SPEC", "BINARY", "SIZE", "FROM"],
    );
    for pin in lock.pins() {
        let asked = (pin.component, pin.version);
        let mut from = source(pin.layout, &pin.source);
        if let Some(folder) = store.folder(pin.version)
            && !folder.join(&pin.source).exists()
        {
            from.push_str(" (not in the packages folder)");
        }
        row(
            &mut text,
            [
                pin.component.name(),
                &pin.version.to_string(),
                if loaded.desired.versions.contains(&asked) {
                    "yes"
                } else {
                    "no"
                },
                &pin.binary.short(),
                &format!("{} KiB", pin.binary_size.div_ceil(1 << 10)),
                &from,
            ],
        );
    }
    for (version, all) in lock.templates() {
        let asked = loaded.desired.versions.iter().any(|(_, v)| v == version);
        let count = match all.len() {
            1 => "1 file".to_owned(),
            n => format!("{n} files"),
        };
        let asked = if asked { "yes" } else { "no" };
        let version = version.to_string();
        let from = "the deploy tree";
        row(&mut text, ["templates", &version, asked, "-", &count, from]);
    }
    for known in lock.known() {
        let from = match known.note.as_str() {
            "" => "package add".to_owned(),
            note => format!("package add: {note}"),
        };
        let version = known.version.to_string();
        let binary = known.binary.short();
        let cells = [known.component.name(), &version, "-", &binary, "-", &from];
        row(&mut text, cells);
    }
    for unknown in lock.unknown() {
        let binary = unknown.binary.short();
        let from = match unknown.nodes.as_slice() {
            [node] => format!("seen on {node}; nobody names its version"),
            nodes => format!("seen on {} nodes; nobody names its version", nodes.len()),
        };
        let cells = [
            unknown.component.name(),
            "unknown",
            "-",
            &binary,
            "-",
            &from,
        ];
        row(&mut text, cells);
    }
    for (name, image) in lock.images() {
        let asked = loaded.desired.containers().any(|(_, c)| c.image == *name);
        let asked = if asked { "yes" } else { "no" };
        let (version, id) = (image.framework.to_string(), image.id.short());
        let console = image.console.map(|v| format!(", platform {v}"));
        let from = format!("{name}{}", console.unwrap_or_default());
        row(&mut text, ["image", &version, asked, &id, "-", &from]);
    }
    let web = loaded.desired.web().and_then(|web| web.console.as_ref());
    for (version, pin) in lock.consoles() {
        let asked = web.is_some_and(|console| console.version == Some(*version));
        let asked = if asked { "yes" } else { "no" };
        let size = format!("{} KiB", pin.archive_size.div_ceil(1 << 10));
        let from = format!("{}, for {}", pin.source, machines(pin));
        let (version, archive) = (version.to_string(), pin.archive.short());
        row(&mut text, ["web", &version, asked, &archive, &size, &from]);
    }
    publish(global, &list_json(lock)?, &text)?;
    Ok(exit::OK)
}
