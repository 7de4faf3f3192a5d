//! What this machine remembers of a run: an append-only log of intents and ends.
//!
//! It is a cache. What counts lies on the hosts and is looked at anew before each step; so the
//! journal may be lost, or cut at any byte, and the next run ends in the same state.

use std::collections::BTreeMap;
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
    /// A dump was made, and lies on the master.
    Kept {
        /// By which step.
        step: String,
        /// Where.
        path: String,
        /// sha256 of the file.
        digest: String,
    },
    /// A step is about to be taken back.
    UndoStarted {
        /// Which.
        step: String,
    },
    /// A step was taken back.
    UndoFinished {
        /// Which.
        step: String,
    },
    /// A step could not be taken back.
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

/// Where a step stands, by its journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It was started and its end is not known: in doubt.
    InDoubt,
    /// It reached its end.
    Done,
    /// It failed; its host put the old state back or is looked at anew.
    Failed,
    /// It was taken back.
    Undone,
}

/// Where the steps of a journal stand. A last line that is cut, and lines that are not understood,
/// are passed over: the hosts know better.
#[must_use]
pub fn standing(text: &str) -> BTreeMap<String, Standing> {
    let mut out = BTreeMap::new();
    for line in text.lines() {
        let Ok(event) = serde_json::from_str::<Event>(line) else {
            continue;
        };
        match event {
            Event::Started { step } | Event::UndoStarted { step } => {
                out.insert(step, Standing::InDoubt);
            }
            Event::AlreadyDone { step } | Event::Succeeded { step } => {
                out.insert(step, Standing::Done);
            }
            Event::Failed { step, .. } | Event::UndoFailed { step, .. } => {
                out.insert(step, Standing::Failed);
            }
            Event::UndoFinished { step } => {
                out.insert(step, Standing::Undone);
            }
            Event::Run { .. } | Event::Kept { .. } | Event::Ended { .. } => {}
        }
    }
    out
}

/// A journal that is being written.
pub struct Journal {
    file: Option<std::fs::File>,
    path: PathBuf,
}

impl Journal {
    /// Makes the journal of a run in `folder`, readable by its owner only. A run can go on without
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
    use proptest::prelude::*;

    fn event() -> impl Strategy<Value = Event> {
        let step = || (0..4u8).prop_map(|n| format!("s{n}"));
        prop_oneof![
            step().prop_map(|step| Event::Started { step }),
            step().prop_map(|step| Event::Succeeded { step }),
            step().prop_map(|step| Event::Failed {
                step,
                why: "ü\n".into()
            }),
            step().prop_map(|step| Event::UndoStarted { step }),
            step().prop_map(|step| Event::UndoFinished { step }),
        ]
    }

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

    proptest! {
        #[test]
        fn a_cut_journal_reads_as_the_whole_lines_before_the_cut(
            events in prop::collection::vec(event(), 0..12), cut in 0usize..2000
        ) {
            let lines: Vec<String> =
                events.iter().map(|e| serde_json::to_string(e).unwrap() + "\n").collect();
            let text = lines.concat();
            let mut cut = cut.min(text.len());
            while !text.is_char_boundary(cut) { cut -= 1; }
            let mut whole = String::new();
            for line in &lines {
                // A line that lacks only its end is whole as well.
                if whole.len() + line.len() - 1 > cut { break; }
                whole.push_str(line);
            }
            prop_assert_eq!(standing(&text[..cut]), standing(&whole));
        }
    }
}
