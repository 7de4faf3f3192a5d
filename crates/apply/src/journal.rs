//! This machine's log of a run: what was begun, and how it ended.
//!
//! It is a cache. What counts is on the hosts and is checked again before each step; so the
//! journal may be lost, or cut at any byte, and the next run ends in the same state.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tarsops_model::display;

/// Format name and number; the first line of a journal names it.
pub const FORMAT: &str = "tarsops.journal/1";

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run began.
    Run {
        /// [`FORMAT`].
        format: String,
        /// Its id.
        run: String,
        /// Who.
        holder: String,
        /// How many steps the plan has.
        steps: usize,
    },
    /// A step was found done already.
    AlreadyDone {
        /// Which.
        step: String,
    },
    /// A step is about to act.
    Started {
        /// Which.
        step: String,
    },
    /// A step has reached its end, seen by its postconditions.
    Succeeded {
        /// Which.
        step: String,
    },
    /// A step has failed.
    Failed {
        /// Which.
        step: String,
        /// Why.
        why: String,
    },
    /// A dump was made, and is on the master.
    #[serde(rename = "kept")]
    DumpStored {
        /// By which step.
        step: String,
        /// Where.
        path: String,
        /// sha256 of the file.
        digest: String,
    },
    /// A step is about to be rolled back.
    UndoStarted {
        /// Which.
        step: String,
    },
    /// A step was rolled back.
    UndoFinished {
        /// Which.
        step: String,
    },
    /// A step could not be rolled back.
    UndoFailed {
        /// Which.
        step: String,
        /// Why.
        why: String,
    },
    /// The run ended.
    Ended {
        /// How, in one word.
        outcome: String,
    },
}

/// A journal that is being written.
pub struct Journal {
    file: Option<std::fs::File>,
    path: PathBuf,
}

impl Journal {
    /// Makes the journal of a run in `folder`, readable by its owner only. A run can continue without
    /// one: see [`Journal::none`].
    ///
    /// # Errors
    /// An error of the file system, with the path.
    pub fn create(folder: &Path, run: &str) -> std::io::Result<Self> {
        let path = folder.join(format!("{run}.jsonl"));
        let open = || {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&path)
        };
        let named =
            |e: std::io::Error| std::io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let file = open().map_err(named)?;
        Ok(Self {
            file: Some(file),
            path,
        })
    }

    /// A journal that remembers nothing.
    #[must_use]
    pub fn none() -> Self {
        Self {
            file: None,
            path: PathBuf::new(),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one line and waits until it is on disk.
    pub fn write(&mut self, event: &Event) {
        let Some(file) = &mut self.file else { return };
        let Ok(line) = serde_json::to_string(event) else {
            return;
        };
        // People read it with `cat`, and hosts have words in it.
        let line = format!("{}\n", display::json(&line));
        if let Err(e) = file
            .write_all(line.as_bytes())
            .and_then(|()| file.sync_data())
        {
            let path = self.path.display();
            tracing::error!("the journal {path} cannot be written any more: {e}");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_said_is_data_in_a_journal() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(dir.path(), "r").unwrap();
        let why = "\u{1b}[2J\u{9b}\u{202e}\u{200b}\n{\"event\":\"started\"}";
        let event = Event::Failed {
            step: "s".into(),
            why: why.into(),
        };
        journal.write(&event);
        let text = std::fs::read_to_string(journal.path()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end().chars().all(display::is_harmless), "{text}");
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}
