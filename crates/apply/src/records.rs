//! The scripts that save records: on the master those of steps on the database, rows as they were and
//! dumps; on hosts intents, markers and verdicts.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{RunId, UserName};
use tarsops_transport::Script;

use crate::place::{Place, RUNS_TO_RETAIN};
use crate::words::ChangeWord;

/// What is shared with the script of a change.
const RUNS: &str = include_str!("host/runs.sh");

/// The file of a row as a step found it.
pub(crate) fn row_name(run: &RunId, step: &str) -> String {
    format!("{run}.{step}.json")
}

/// Writes an intent, and its verdict where there is one; the newest runs stay. Prints `kept`.
pub(crate) fn write(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    verdict: Option<&str>,
) -> String {
    let mut script = step_script(place, run, step);
    script
        .set("R_INTENT", intent)
        .set("R_VERDICT", verdict.unwrap_or_default())
        .set("R_KEEP", &RUNS_TO_RETAIN.to_string())
        .part(RUNS)
        .part(include_str!("host/records/write.sh"));
    script.into_text()
}

/// A script for the records of one step, up to its own part.
fn step_script(place: &Place, run: &RunId, step: &str) -> Script {
    let mut script = place.records();
    script.set("R_RUN", run.as_str()).set("R_STEP", step);
    script
}

/// The program that a publication is about to replace.
pub(crate) struct Program<'a> {
    /// Of which component.
    pub(crate) component: Component,
    /// Its path below the framework's folder.
    pub(crate) path: &'a str,
    /// sha256 of it; none where there is none.
    pub(crate) before: Option<Digest>,
    /// Whose the framework's folder is.
    pub(crate) run_user: &'a UserName,
    /// Whether its rows change with it: then it is marked to need a restart until this is seen to end.
    pub(crate) marked: bool,
}

/// Saves a program and the intent to have it published over. It is a copy, as tarsnode may write into
/// the file. Prints `kept`; `moved …`, `fenced …` or `refused …` if it must not continue.
pub(crate) fn save_program(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    program: &Program<'_>,
) -> String {
    let before = program
        .before
        .map_or_else(|| "absent".to_owned(), |d| d.to_string());
    let mut script = step_script(place, run, step);
    script
        .set("R_INTENT", intent)
        .set("R_RUN_USER", program.run_user.as_str())
        .set("R_COMPONENT", program.component.name())
        .set("R_PROGRAM", &format!("tars/{}", program.path))
        .set("R_BEFORE", &before)
        .set("R_MARK", if program.marked { run.as_str() } else { "" })
        .part(include_str!("host/records/save-program.sh"));
    script.into_text()
}

/// Saves the intent to restart a component, and a marker that its restart is pending. Prints `kept`, or
/// `fenced …` or `refused …` if it must not continue.
pub(crate) fn add_marker(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    component: Component,
) -> String {
    let mut script = step_script(place, run, step);
    script
        .set("R_INTENT", intent)
        .set("R_COMPONENT", component.name())
        .part(include_str!("host/records/plan-restart.sh"));
    script.into_text()
}

/// Which lines of a marker are removed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unmark<'a> {
    /// Those of this key: its change has changed nothing.
    Own(&'a str),
    /// Those of this run and older ones, and those without a key: the component was restarted.
    Until(&'a RunId),
}

impl<'a> Unmark<'a> {
    /// As the scripts get it: what it is, and the key or run.
    fn words(self) -> (&'static str, &'a str) {
        match self {
            Self::Own(key) => ("key", key),
            Self::Until(run) => ("until", run.as_str()),
        }
    }
}

/// Sets the variables of a script that removes lines of a mark.
fn set_unmark(script: &mut Script, component: Component, which: Unmark<'_>) {
    let (kind, value) = which.words();
    script
        .set("R_COMPONENT", component.name())
        .set("R_SETTLED", kind)
        .set("R_SETTLED_BY", value);
}

/// Marks a component whose rows are about to change. Prints `kept`.
pub(crate) fn mark_pending_restart(place: &Place, component: Component, key: &str) -> String {
    let mut script = place.records();
    script
        .set("R_COMPONENT", component.name())
        .set("R_KEY", key)
        .part(include_str!("host/records/mark.sh"));
    script.into_text()
}

/// Removes a marker, or the part of it that is settled. Prints `kept`.
pub(crate) fn unmark(place: &Place, component: Component, which: Unmark<'_>) -> String {
    let mut script = place.records();
    set_unmark(&mut script, component, which);
    script.part(include_str!("host/records/unmark.sh"));
    script.into_text()
}

/// Records how a publication ended. Prints `kept`.
pub(crate) fn conclude(
    place: &Place,
    run: &RunId,
    step: &str,
    (word, text): (ChangeWord, &str),
    holder: &str,
    pending_restart: Option<(Component, Unmark<'_>)>,
    summary: &str,
) -> String {
    let mut script = step_script(place, run, step);
    script
        .set("R_WORD", word.as_str())
        .set("R_TEXT", text)
        .set("R_HOLDER", holder)
        .set("R_SUMMARY", summary)
        .set("R_KEEP", &RUNS_TO_RETAIN.to_string());
    match pending_restart {
        Some((component, which)) => set_unmark(&mut script, component, which),
        None => drop(script.set("R_SETTLED", "")),
    }
    script
        .part(RUNS)
        .part(include_str!("host/records/conclude.sh"));
    script.into_text()
}

/// Writes beside a change's verdict what the run made of it after the host was healthy. Prints
/// `kept`.
pub(crate) fn note_gate(place: &Place, run: &RunId, step: &str, words: &str) -> String {
    let mut script = step_script(place, run, step);
    script
        .set("R_GATE", words)
        .part(include_str!("host/records/gate.sh"));
    script.into_text()
}

/// Removes intent and row of a step that changed nothing. Prints `gone`.
pub(crate) fn delete(place: &Place, run: &RunId, step: &str) -> String {
    let mut script = step_script(place, run, step);
    script
        .set("R_NAME", &row_name(run, step))
        .part(include_str!("host/records/delete.sh"));
    script.into_text()
}

/// Moves a dump from the stage to its place, under the next number, with its digest beside it; the newest
/// `keep` stay. What was moved is read once more. Prints `kept` and the path.
pub(crate) fn save_dump(place: &Place, digest: &Digest, keep: usize) -> String {
    let mut script = place.records();
    script
        .set("R_DIGEST", &digest.to_string())
        .set("R_KEEP", &keep.to_string())
        .part(include_str!("host/records/save-dump.sh"));
    script.into_text()
}

/// Removes a dump that could not be saved. Prints `gone`.
pub(crate) fn drop_dump(place: &Place, digest: &Digest) -> String {
    let mut script = place.records();
    script
        .set("R_DIGEST", &digest.to_string())
        .part(include_str!("host/records/delete-dump.sh"));
    script.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::Command;
    use tarsops_model::names::{AbsPath, ClusterName};

    /// A host whose install path is `dir`, and the folder of our own files there.
    fn place_in(dir: &Path) -> (Place, std::path::PathBuf) {
        let place = Place {
            install_path: AbsPath::new(dir.to_str().unwrap()).unwrap(),
            cluster: ClusterName::new("test").unwrap(),
        };
        (place, dir.join(".tarsops"))
    }

    fn run(script: &str) -> String {
        // As root the folder is given, so that no test writes below /var/lib.
        let install = script.lines().find_map(|l| l.strip_prefix("R_INSTALL="));
        let state = format!("{}/.tarsops", install.unwrap().trim_matches('\''));
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).env("TARSOPS_STATE", state);
        let out = shell.output().unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        )
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir(dir)
            .map(|d| {
                d.flatten()
                    .map(|e| e.file_name().to_string_lossy().into_owned())
            })
            .into_iter()
            .flatten()
            .collect();
        all.sort();
        all
    }

    fn id(n: u64) -> RunId {
        RunId::from_parts(n, 7)
    }

    #[test]
    fn dumps_are_numbered_private_and_the_newest_ten_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (place, base) = place_in(&dir.path().join("app"));
        std::fs::create_dir_all(base.join("stage")).unwrap();
        for number in 1..=12 {
            let text = format!("dump {number}");
            let packed = Command::new("sh")
                .args(["-c", &format!("printf '{text}' | gzip")])
                .output()
                .unwrap()
                .stdout;
            let digest = Digest::of(&packed);
            std::fs::write(base.join("stage").join(digest.to_string()), packed).unwrap();
            let printed = run(&save_dump(&place, &digest, 10));
            let path = base.join(format!("backups/{number:04}.sql.gz"));
            assert_eq!(printed, format!("kept {}\n", path.display()));
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let sum =
                std::fs::read_to_string(base.join(format!("backups/{number:04}.sql.gz.sha256")));
            assert_eq!(sum.unwrap(), format!("{digest}  {number:04}.sql.gz\n"));
        }
        let left = names(&base.join("backups"));
        assert_eq!(left.len(), 20, "{left:?}");
        assert_eq!(left[0], "0003.sql.gz");
        assert!(names(&base.join("stage")).is_empty());
        // What is no dump does not get there.
        let digest = Digest::of(b"x");
        std::fs::write(base.join("stage").join(digest.to_string()), "x").unwrap();
        assert!(!run(&save_dump(&place, &digest, 10)).contains("kept"));
        assert_eq!(run(&drop_dump(&place, &digest)), "gone\n");
        assert!(names(&base.join("stage")).is_empty());
        assert_eq!(names(&base.join("backups")), left);
    }

    #[test]
    fn a_mark_stays_until_everything_that_it_stands_for_is_settled() {
        let dir = tempfile::tempdir().unwrap();
        let (place, base) = place_in(dir.path());
        let stat = Component::Tarsstat;
        let mark = base.join("restart.tarsstat");
        let says = || std::fs::read_to_string(&mark).ok();
        let marks = |key: &str| assert_eq!(run(&mark_pending_restart(&place, stat, key)), "kept\n");
        let unmarks = |which| assert_eq!(run(&unmark(&place, stat, which)), "kept\n");
        let (old, new) = (id(3), id(20));
        let back = format!("{old}.back");
        // Nothing is there to take away.
        std::fs::create_dir(&base).unwrap();
        unmarks(Unmark::Until(&new));
        // One that changed nothing takes its own away, and an older one's stays.
        marks(old.as_str());
        marks(new.as_str());
        unmarks(Unmark::Own(new.as_str()));
        assert_eq!(says(), Some(format!("{old}\n")));
        marks(&back);
        unmarks(Unmark::Own(&back));
        assert_eq!(says(), Some(format!("{old}\n")));
        // Whoever started it again settles what is older, and not what came later.
        marks(&back);
        marks(new.as_str());
        unmarks(Unmark::Until(&old));
        assert_eq!(says(), Some(format!("{new}\n")));
        unmarks(Unmark::Until(&new));
        assert_eq!(says(), None);
        // Somebody else's counts, too.
        std::fs::write(&mark, "").unwrap();
        unmarks(Unmark::Until(&new));
        assert_eq!(says(), None);
        assert_eq!(names(&base), [""; 0]);
    }

    #[test]
    fn records_are_written_whole_and_taken_away_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (place, base) = place_in(dir.path());
        let text = "{\"a\": \"it's $HOME `x` \\\\n\"}";
        assert_eq!(run(&write(&place, &id(1), "s", text, None)), "kept\n");
        let step = base.join(format!("runs/{}/s", id(1)));
        assert_eq!(names(&step), ["intent"]);
        assert_eq!(std::fs::read_to_string(step.join("intent")).unwrap(), text);
        assert_eq!(
            run(&write(&place, &id(1), "s", text, Some("done"))),
            "kept\n"
        );
        assert_eq!(
            std::fs::read_to_string(step.join("verdict")).unwrap(),
            "ok\ndone\n"
        );
        let name = row_name(&id(1), "s");
        let rows = crate::scripts::save_rows(&place, &name, "secret");
        assert_eq!(run(&rows), format!("kept {}/rows/{name}\n", base.display()));
        assert_eq!(run(&delete(&place, &id(1), "s")), "gone\n");
        assert!(names(&base.join("runs")).is_empty());
        assert!(!base.join("rows").exists());
        // The newest runs stay.
        for n in 1..=12 {
            run(&write(&place, &id(n), "s", text, Some("done")));
        }
        assert_eq!(names(&base.join("runs")).len(), 10);
        assert!(!base.join(format!("runs/{}", id(2))).exists());
    }
}
