//! `package web`: make a release archive of the management platform.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tarsops_model::console::ConsolePin;
use tarsops_model::display::Text;
use tarsops_package::{WebEntry, WebError, WebKind, read_web, web_limits, write_web};

use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::publish;
use crate::pending::Pending;
use crate::store::console_refused;

/// Makes it. It is read before it takes its place, so that one that `package lock` would refuse is
/// never left.
pub fn run(global: &Global, folder: &Path, output: &Path, machine: Option<&str>) -> Result {
    let pending = Pending::public(output)?;
    let unread = |e: &io::Error| {
        Failure::new(format!("could not read {}", folder.display()))
            .because(e)
            .hint("name the folder of a checkout of TarsWeb")
    };
    let entries = entries(folder).map_err(|e| unread(&e))?;
    let open = |name: &str| -> io::Result<Box<dyn Read>> {
        let path = folder.join(name);
        if path.symlink_metadata()?.file_type().is_symlink() {
            return Err(io::Error::other(format!("{name} has become a link")));
        }
        Ok(Box::new(File::open(path)?))
    };
    // Some 30 MB, which are read before anybody else can see them.
    let mut bytes = Vec::new();
    write_web(entries, &open, &mut bytes).map_err(|e| unread(&e))?;
    let name = output.file_name().map(|n| n.to_string_lossy().into_owned());
    let pin = read_web(&bytes[..], &name.unwrap_or_default(), &web_limits())
        .and_then(|pin| fits(pin, machine))
        .map_err(|e| console_refused(folder, &e))?;
    pending.write_with(|out| out.write_all(&bytes))?;
    let mut text = Text::new();
    text.line(format_args!(
        "{}: platform {}, sha256 {}, {} KiB, for {}",
        output.display(),
        pin.version,
        pin.archive.short(),
        pin.archive_size.div_ceil(1 << 10),
        machines(&pin)
    ));
    let document = serde_json::json!({ "format": "tarsops.platform/1", "platform": pin });
    publish(global, &format!("{document:#}\n"), &text)?;
    Ok(exit::OK)
}

/// Whether its native modules are for the machine that was asked for.
fn fits(pin: ConsolePin, machine: Option<&str>) -> std::result::Result<ConsolePin, WebError> {
    match machine.filter(|machine| !pin.runs_on(machine)) {
        None => Ok(pin),
        Some(wanted) => Err(WebError::OtherMachine {
            found: pin.machines.into_iter().flatten().collect(),
            wanted: wanted.to_owned(),
        }),
    }
}

/// The machines that it is for, in words.
pub fn machines(pin: &ConsolePin) -> String {
    match &pin.machines {
        None => "any machine".to_owned(),
        Some(all) => all.iter().cloned().collect::<Vec<_>>().join(", "),
    }
}

/// All that lies below a folder. Links are not followed.
fn entries(folder: &Path) -> io::Result<Vec<WebEntry>> {
    let mut all = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(below) = todo.pop() {
        for entry in std::fs::read_dir(folder.join(&below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            let meta = entry.metadata()?;
            let Some(name) = path.to_str().map(str::to_owned) else {
                let text = format!("the name {} is not UTF-8", path.display());
                return Err(io::Error::other(text));
            };
            let kind = if meta.file_type().is_symlink() {
                let target = std::fs::read_link(entry.path())?;
                let target = target.to_string_lossy().into_owned();
                WebKind::Link { target }
            } else if meta.is_dir() {
                if name != ".git" {
                    todo.push(path);
                }
                WebKind::Folder
            } else if meta.is_file() {
                WebKind::File {
                    size: meta.len(),
                    runs: meta.permissions().mode() & 0o111 != 0,
                }
            } else {
                return Err(io::Error::other(format!("{name} is no file and no folder")));
            };
            all.push(WebEntry { name, kind });
        }
    }
    Ok(all)
}
