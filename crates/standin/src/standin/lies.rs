//! Lies of the framework that depend on bad luck, so that somebody has to ask for them.
//!
//! A stand-in tells those that stand in the file [`FILE`] of its component's folder, one a line (of the
//! console's folder, for the console), and in the environment variable [`ENV`], with commas between. It looks at the moment of lying: a lie begins
//! and ends when the file says so, and nothing is restarted. Lies that need no luck are not here; the
//! stand-ins tell them by themselves, as the framework does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file's name in `tars/<component>/`, and in the console's folder.
pub const FILE: &str = "lies";
/// The environment variable.
pub const ENV: &str = "TARSOPS_STANDIN_LIES";

/// A lie, and who tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// tarsAdminRegistry: `addTaskReq` says no, and the task is carried out.
    TaskRefused,
    /// tarsAdminRegistry: `addTaskReq` is never answered, and the task is carried out.
    TaskUnanswered,
    /// tarsAdminRegistry: `addTaskReq` says yes, and the task is never begun.
    TaskNeverBegun,
    /// tarsAdminRegistry: what was done stays in progress in what is told of it, for ever.
    TaskStuck,
    /// tarsnode: it is busy for so long before it does what it is told to publish. After 5 s it counts
    /// as silent (1002), and publishes all the same.
    Busy(Duration),
    /// tarsnode: no server can be started.
    StartFails,
    /// tarspatch: what nodes download is not what was uploaded.
    Garbled,
    /// The console: `add_task` says "system error", and the task is carried out.
    AddTaskFails,
    /// The console: it hears nothing of tarsAdminRegistry.
    AdminSilent,
}

impl Lie {
    /// How it is written.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::TaskRefused => "task-refused".into(),
            Self::TaskUnanswered => "task-unanswered".into(),
            Self::TaskNeverBegun => "task-never-begun".into(),
            Self::TaskStuck => "task-stuck".into(),
            Self::Busy(time) => format!("busy={}", time.as_millis()),
            Self::StartFails => "start-fails".into(),
            Self::Garbled => "garbled".into(),
            Self::AddTaskFails => "add-task-fails".into(),
            Self::AdminSilent => "admin-silent".into(),
        }
    }

    fn parse(words: &str) -> Option<Self> {
        let (name, value) = words.split_once('=').unwrap_or((words, ""));
        Some(match name.trim() {
            "task-refused" => Self::TaskRefused,
            "task-unanswered" => Self::TaskUnanswered,
            "task-never-begun" => Self::TaskNeverBegun,
            "task-stuck" => Self::TaskStuck,
            "busy" => Self::Busy(Duration::from_millis(value.trim().parse().ok()?)),
            "start-fails" => Self::StartFails,
            "garbled" => Self::Garbled,
            "add-task-fails" => Self::AddTaskFails,
            "admin-silent" => Self::AdminSilent,
            _ => return None,
        })
    }
}

/// Has the stand-in in `folder`, such as `/usr/local/app/tars/tarsnode`, tell these lies and no others
/// from now on. None at all is the truth again.
///
/// # Errors
/// When the file cannot be written.
pub fn tell(folder: &Path, lies: &[Lie]) -> io::Result<()> {
    let file = folder.join(FILE);
    if lies.is_empty() {
        return match fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let text: String = lies.iter().map(|lie| lie.words() + "\n").collect();
    let fresh = folder.join(format!("{FILE}.new"));
    fs::write(&fresh, text)?;
    fs::rename(fresh, file)
}

/// The lies of one stand-in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lies(Option<PathBuf>);

impl Lies {
    /// Those of this process. Its own file may be replaced later, so it is asked now where it is.
    pub(super) fn own() -> Self {
        let exe = std::env::current_exe().ok();
        let folder = exe.and_then(|exe| Some(exe.parent()?.parent()?.join(FILE)));
        Self(folder)
    }

    /// Those of whoever has this folder.
    pub(crate) fn of(folder: &Path) -> Self {
        Self(Some(folder.join(FILE)))
    }

    fn all(&self) -> Vec<Lie> {
        let file = self
            .0
            .as_ref()
            .and_then(|file| fs::read_to_string(file).ok());
        let said = std::env::var(ENV).ok();
        let lines = file.iter().flat_map(|text| text.lines());
        lines
            .chain(said.iter().flat_map(|text| text.split(',')))
            .filter_map(Lie::parse)
            .collect()
    }

    /// Whether it is told now.
    pub(crate) fn tells(&self, lie: Lie) -> bool {
        self.all().contains(&lie)
    }

    /// How long it is busy now.
    pub(super) fn busy(&self) -> Option<Duration> {
        self.all().into_iter().find_map(|lie| match lie {
            Lie::Busy(time) => Some(time),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_begin_and_end_with_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let lies = Lies(Some(folder.path().join(FILE)));
        assert!(!lies.tells(Lie::TaskStuck));
        let busy = Duration::from_millis(1500);
        let all = [
            Lie::TaskRefused,
            Lie::TaskUnanswered,
            Lie::TaskNeverBegun,
            Lie::TaskStuck,
            Lie::Busy(busy),
            Lie::StartFails,
            Lie::Garbled,
            Lie::AddTaskFails,
            Lie::AdminSilent,
        ];
        tell(folder.path(), &all).unwrap();
        assert!(all.into_iter().all(|lie| lies.tells(lie)));
        assert_eq!(lies.busy(), Some(busy));
        tell(folder.path(), &[]).unwrap();
        tell(folder.path(), &[]).unwrap();
        assert!(lies.all().is_empty());
    }
}
