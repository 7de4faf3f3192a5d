//! `package`: pin, show, register and remove release packages.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::path::Path;

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::display::Text;
use tarsops_model::package::Layout;
use tarsops_model::version::Version;
use tarsops_package::lock::Known;
use tarsops_package::{Limits, LockFile, assemble, extract_file, read_archive};

use crate::args::{Global, Look, PackageCommand};
use crate::context::{Context, load, publish, say};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::packages::{Store, archive_stem, digest_of, node_contents};

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
        PackageCommand::Rm {
            component,
            version,
            sha256,
        } => remove(global, &component, &version, sha256.as_deref()),
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
            let mut templates = BTreeMap::new();
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
    let sources = sources(&fresh);
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
    let mut text = Text::new();
    text.line(format_args!(
        "pinned {} in {}",
        packages(whole.pins().count()),
        context.store.lock_path.display()
    ));
    for ((version, source), count) in sources {
        text.line(format_args!(
            "  {version}: {} from {source}",
            packages(count)
        ));
    }
    publish(global, &list_json(&whole)?, &text)?;
    context.close().await;
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

/// The source of a pin in words: of a deploy tree also where in the packages folder it is.
fn source(layout: Layout, name: &str) -> String {
    match (layout, name) {
        (Layout::Deploy, ".") => "the deploy tree that the packages folder is".to_owned(),
        (Layout::Deploy, name) if archive_stem(name).is_none() => {
            format!("the deploy tree {name}/")
        }
        (_, name) => name.to_owned(),
    }
}

fn list_json(lock: &LockFile) -> Result<String> {
    let document = serde_json::json!({
        "format": "tarsops.packages/1",
        "packages": lock.pins().collect::<Vec<_>>(),
        "known": lock.known().collect::<Vec<_>>(),
        "templates": lock.templates().iter().map(|(version, all)| {
            (version.to_string(), all.keys().collect::<Vec<_>>())
        }).collect::<BTreeMap<_, _>>(),
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
    publish(global, &list_json(lock)?, &text)?;
    Ok(exit::OK)
}

/// A component and a version from the command line.
fn named(component: &str, version: &str) -> Result<(Component, Version)> {
    let usage = |e: &dyn std::error::Error| {
        Failure::new("could not understand which package is meant")
            .because(e)
            .code(exit::USAGE)
    };
    Ok((
        component.parse().map_err(|e| usage(&e))?,
        version.parse().map_err(|e| usage(&e))?,
    ))
}

fn add(global: &Global, component: &str, version: &str, what: &str, note: String) -> Result {
    let (component, version) = named(component, version)?;
    let loaded = load(global)?;
    let store = Store::open(&global.file, &loaded)?;
    let file = store.open_lock()?;
    let binary = binary_digest(component, what)?;
    let mut lock = store.lock.clone().unwrap_or_default();
    if let Some((other, its)) = owner(&lock, &binary).filter(|(c, _)| *c != component) {
        return Err(
            Failure::new(format!("{what} is no program of {component}"))
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

/// The component and version that a lock file has a binary as.
fn owner(lock: &LockFile, binary: &Digest) -> Option<(Component, Version)> {
    let pins = lock.pins().map(|p| (p.component, p.version, p.binary));
    let known = lock.known().map(|k| (k.component, k.version, k.binary));
    pins.chain(known)
        .find(|(_, _, digest)| digest == binary)
        .map(|(component, version, _)| (component, version))
}

fn remove(global: &Global, component: &str, version: &str, sha256: Option<&str>) -> Result {
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
    Store::write_lock(store.open_lock()?, &lock)?;
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
            .hint("give a binary, an archive that holds it, or 64 hexadecimal digits")
    };
    let refused = |why: String| {
        Failure::new(format!("{} is no program of {component}", path.display()))
            .because(&io::Error::other(why))
            .hint(format!(
                "give the binary {component} itself, an archive that holds it, or 64 hexadecimal digits"
            ))
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or(what);
    let stem = archive_stem(name);
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
        return Err(refused(format!("it holds no {component}")));
    };
    let mut head = Head(Vec::new());
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

/// Bytes at the start of a file that tell whether it is a program.
const HEAD: usize = 18;

/// Takes the first bytes of what is written.
struct Head(Vec<u8>);

impl io::Write for Head {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = HEAD.saturating_sub(self.0.len());
        self.0.extend(bytes.iter().take(room));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a file that begins like this cannot be a program of the framework, which are ELF files that
/// the kernel starts.
fn no_program(head: &[u8]) -> Option<String> {
    if head.is_empty() {
        return Some("it is empty".to_owned());
    }
    if !head.starts_with(b"\x7fELF") {
        let shown = head.iter().take(8).copied().collect::<Vec<u8>>();
        let shown = shown.escape_ascii();
        return Some(format!("it is no ELF file: it begins with `{shown}`"));
    }
    let kind = match (head.get(5), head.get(16..18)) {
        (Some(2), Some([high, low])) => Some(u16::from_be_bytes([*high, *low])),
        (Some(1), Some([low, high])) => Some(u16::from_le_bytes([*low, *high])),
        _ => None,
    };
    match kind {
        // ET_EXEC, and ET_DYN for a program that can be placed anywhere.
        Some(2 | 3) => None,
        Some(_) => {
            Some("it is an ELF file that cannot be started, such as an object file".to_owned())
        }
        None => Some("it is cut off after the first bytes of an ELF file".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_starts_is_a_program() {
        let elf = |order: u8, kind: [u8; 2]| {
            let mut head = b"\x7fELF\x02".to_vec();
            head.push(order);
            head.resize(16, 0);
            head.extend(kind);
            head
        };
        for good in [elf(1, [2, 0]), elf(1, [3, 0]), elf(2, [0, 2])] {
            assert_eq!(no_program(&good), None, "{good:?}");
        }
        let bad: [(&[u8], &str); 6] = [
            (b"", "empty"),
            (b"#!/bin/sh\nexit\n", "#!/bin/sh"),
            (b"\x1f\x8b\x08", "\\x1f\\x8b"),
            (b"\x7fELF\x02\x01", "cut off"),
            (&elf(1, [1, 0]), "object file"),
            (&elf(1, [4, 0]), "object file"),
        ];
        for (head, why) in bad {
            let said = no_program(head).unwrap_or_default();
            let why = if why.len() > 8 { &why[..8] } else { why };
            assert!(said.contains(why), "{said}");
        }
    }
}
