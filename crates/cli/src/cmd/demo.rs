//! `demo`: the whole story on an embedded cluster on this machine, without root.
//!
//! The hosts are loopback addresses behind one embedded SSH server; each has its own install path
//! and its own crontab. What runs on them are stand-ins: `tarsnode`, which the story installs, and
//! the framework's other components, which are there before it and speak the framework's protocol.
//! Their tables are in a real MariaDB where the machine has one, and then a stand-in of the management
//! platform publishes; else they are in a file, and nothing is published. Everything is below one
//! folder and is gone afterwards. The commands of the story are run as a person would run
//! them: by this program, through the system's `ssh`.

mod embedded;
mod program;
mod stop;
mod story;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::args::{DemoCommand, Global};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{publish, say};
use program::{down, lock};
use stop::Stop;

/// Runs the story, or leaves a cluster running, or removes one.
pub fn run(global: &Global, command: Option<DemoCommand>) -> Result {
    need_ssh()?;
    match command {
        None => {
            let global = global.clone();
            stop::until_stopped(move |stop| story::tell(&global, stop))
        }
        Some(DemoCommand::Up { nodes, dir }) => {
            let global = global.clone();
            stop::until_stopped(move |stop| up(&global, usize::from(nodes), &dir, stop))
        }
        Some(DemoCommand::Down { dir }) => stop::until_stopped(move |stop| {
            stop.holds(Some(&dir));
            down(&dir)?;
            stop.holds(None);
            say(format!("{} is gone", dir.display()));
            Ok(exit::OK)
        }),
    }
}

/// Leaves a cluster running; where a signal comes first, nothing of it.
fn up(global: &Global, nodes: usize, dir: &Path, stop: &Stop) -> Result {
    let made = embedded::up(dir, nodes, Duration::from_secs(60), stop)?;
    let spec = made.cluster.dir().join("cluster.yaml");
    let locked = lock(&spec, stop).and_then(|()| stop.check());
    if let Err(failure) = locked {
        down(made.cluster.dir())?;
        stop.holds(None);
        return Err(failure);
    }
    say(made.line());
    let document = serde_json::json!({
        "format": "tarsops.demo/1", "spec": spec, "tables": made.tables.word(),
        "web": made.console.as_ref().map(|c| &c.url),
    });
    publish(
        global,
        &format!("{document:#}\n"),
        format!("{}\n", spec.display()),
    )?;
    Ok(exit::OK)
}

fn need_ssh() -> Result<()> {
    let found = Command::new("ssh")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success());
    if found {
        return Ok(());
    }
    Err(Failure::new("the program ssh is not on this machine")
        .hint("install OpenSSH's client (Debian: apt-get install openssh-client)"))
}
