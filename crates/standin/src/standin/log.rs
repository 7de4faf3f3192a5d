//! The log of a stand-in.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::clock::since_1970;

/// A log file that is opened for each line, so that it may be moved or removed under us.
#[derive(Clone)]
pub(super) struct Log {
    file: PathBuf,
    gate: Arc<Mutex<()>>,
}

impl Log {
    /// `<logpath>/tars/<component>/tars.<component>.log`; the folder is made.
    pub(super) fn open(log_path: &Path, component: &str) -> Result<Self, String> {
        let folder = log_path.join("tars").join(component);
        std::fs::create_dir_all(&folder)
            .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
        Ok(Self {
            file: folder.join(format!("tars.{component}.log")),
            gate: Arc::default(),
        })
    }

    pub(super) fn write(&self, line: &str) {
        let _held = self.gate.lock();
        let now = since_1970();
        // A full disk must not end the agent.
        let _ = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.file)
            .and_then(|mut file: File| {
                writeln!(file, "{}.{:03}|{line}", now.as_secs(), now.subsec_millis())
            });
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}
