//! The scripts that keep on the master what steps on the database did: intents and verdicts where
//! those of hosts lie, rows as they were, dumps.

use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::{RunId, UserName};
use tarsops_transport::quote;

use crate::scripts::Place;

/// The file of a row as a step found it.
pub(crate) fn row_name(run: &RunId, step: &str) -> String {
    format!("{run}.{step}.json")
}

/// Takes away all but the newest runs below `$B`.
fn prune() -> String {
    let keep = crate::scripts::KEEP_RUNS + 1;
    format!(
        "ls \"$B/runs\" | sort -r | tail -n +{keep} | while read -r r; do\n\
         case \"$r\" in *[!0-9a-f-]* | '') ;; *) rm -rf \"$B/runs/$r\" ;; esac\ndone\n"
    )
}

/// Writes an intent, and its verdict where there is one; the newest runs stay. Prints `kept`.
pub(crate) fn write(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    verdict: Option<&str>,
) -> String {
    let mut out = format!(
        "{begin}umask 077\nset -e\nd=$B/runs/{run}/{step}\nmkdir -p \"$d\"\n\
         put() {{ printf '%s' \"$2\" >\"$d/$1.tmp\"\nflush \"$d/$1.tmp\"\n\
         mv -f \"$d/$1.tmp\" \"$d/$1\"; }}\nput intent {intent}\n",
        begin = place.begin(),
        intent = quote(intent),
    );
    if let Some(verdict) = verdict {
        let verdict = quote(&format!("ok\n{verdict}\n"));
        out.push_str(&format!("put verdict {verdict}\n{}", prune()));
    }
    out.push_str("echo kept\n");
    out
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
/// the file. Prints `kept`; `moved …` or `refused …` if it must not go on.
pub(crate) fn keep_program(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    program: &Program<'_>,
) -> String {
    let component = program.component;
    let mark = if program.marked {
        mark(component, run.as_str())
    } else {
        String::new()
    };
    let before = program
        .before
        .map_or_else(|| "absent".to_owned(), |d| d.to_string());
    let (refuse, been) = fence(run);
    let install = quote(place.install_path.as_str());
    format!(
        "{begin}umask 077\nset -e\nd=$B/runs/{run}/{step}\nf={path}\n{refuse}\
         cd {install}\n\
         tree_rights {install} {user} tars tars/{component} tars/{component}/bin\n\
         # Where anybody can write, the rights of nobody in particular are enough to read.\n\
         [ -z \"$AS_WHY\" ] || AS_UID=65534 AS_GID=65534\n\
         mkdir -p \"$d/before\"\nnow=absent\n\
         if [ -f \"$f\" ]; then\n\
         if [ -z \"$AS_UID\" ]; then cat \"$f\"; else as_user 300 cat \"$f\" </dev/null; fi | head -c $SIZE_LIMIT >\"$d/before/1\"\n\
         now=$(sha \"$d/before/1\")\n\
         m=$(stat -c '%a %u:%g' \"$f\")\nprintf '%s\\n' \"$m\" >\"$d/before/1.meta\"\nfi\n\
         if [ \"$now\" != {before} ]; then rm -rf \"$d\"; echo \"moved $f changed since it was looked at\"; exit 0; fi\n\
         if [ \"$now\" != absent ]; then flush \"$d/before/1\" \"$d/before/1.meta\" \"$d/before\" \"$d\"; fi\n\
         {been}\
         printf '%s' {intent} >\"$d/intent.tmp\"\n\
         flush \"$d/intent.tmp\"\nmv -f \"$d/intent.tmp\" \"$d/intent\"\n{mark}echo kept\n",
        begin = place.begin(),
        path = quote(&format!("tars/{}", program.path)),
        user = quote(program.run_user.as_str()),
        intent = quote(intent),
    )
}

/// What refuses a run where a newer one has been, as lines of a script; and the line that says that
/// this one has.
fn fence(run: &RunId) -> (String, String) {
    (
        format!(
            "l=\n[ ! -r \"$B/fence\" ] || read -r l <\"$B/fence\" || :\n\
             if [ -n \"$l\" ] && [ \"$(printf '%s\\n%s\\n' \"$l\" {run} | sort | tail -n 1)\" != {run} ]; then\n\
             echo \"fenced a newer run, $l, has been on this host\"; exit 0; fi\n"
        ),
        format!("printf '%s\\n' {run} >\"$B/fence.$$\"\nmv -f \"$B/fence.$$\" \"$B/fence\"\n"),
    )
}

/// Keeps the intent to have a component start anew, and a mark that it owes that. Prints `kept`, or
/// `refused …` if it must not go on.
pub(crate) fn owe(
    place: &Place,
    run: &RunId,
    step: &str,
    intent: &str,
    component: Component,
) -> String {
    let (refuse, been) = fence(run);
    format!(
        "{begin}umask 077\nset -e\nd=$B/runs/{run}/{step}\n{refuse}mkdir -p \"$d\"\n{been}\
         printf '%s' {intent} >\"$d/intent.tmp\"\nmv -f \"$d/intent.tmp\" \"$d/intent\"\n\
         flush \"$d/intent\" \"$d\"\n{mark}echo kept\n",
        begin = place.begin(),
        intent = quote(intent),
        mark = mark(component, run.as_str()),
    )
}

/// The lines of a script that mark a component as owing a restart to what is called `key`: a run, or
/// `RUN.…`. Each has its own line.
fn mark(component: Component, key: &str) -> String {
    format!(
        "m=$B/restart.{component}\nprintf '%s\\n' {key} >>\"$m\" || {{ [ -s \"$m\" ] || rm -f \"$m\"; exit 1; }}\nflush \"$m\" \"$B\"\n"
    )
}

/// Which lines of a mark go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unmark<'a> {
    /// Those of this key: what it stands for has changed nothing.
    Own(&'a str),
    /// Those of this run and older ones, and of nobody: the component was started anew.
    Until(&'a RunId),
}

/// The lines of a script that take a mark away, or the part of it that is settled.
fn unmark_lines(component: Component, which: Unmark<'_>) -> String {
    let goes = match which {
        Unmark::Own(key) => format!("[ \"$r\" = {key} ]"),
        Unmark::Until(run) => format!(
            "[ -z \"$r\" ] || [ \"$(printf '%s\\n%s\\n' \"${{r%%.*}}\" {run} | sort | tail -n 1)\" = {run} ]"
        ),
    };
    // Nothing is written where nothing stays: the disk may be full.
    format!(
        "m=$B/restart.{component}\nif [ -e \"$m\" ]; then\n\
         l=$(while read -r r; do {goes} || printf '%s\\n' \"$r\"; done <\"$m\")\n\
         if [ -z \"$l\" ]; then rm -f \"$m\"\n\
         else printf '%s\\n' \"$l\" >\"$B/owed.tmp\"; mv -f \"$B/owed.tmp\" \"$m\"; fi; fi\n"
    )
}

/// Marks a component whose rows are about to change. Prints `kept`.
pub(crate) fn mark_owed(place: &Place, component: Component, key: &str) -> String {
    format!(
        "{begin}umask 077\nset -e\n{mark}echo kept\n",
        begin = place.begin(),
        mark = mark(component, key)
    )
}

/// Takes a mark away, or the part of it that is settled. Prints `kept`.
pub(crate) fn unmark(place: &Place, component: Component, which: Unmark<'_>) -> String {
    format!(
        "{begin}umask 077\nset -e\n{lines}echo kept\n",
        begin = place.begin(),
        lines = unmark_lines(component, which)
    )
}

/// Writes down how a publication ended. Prints `kept`.
pub(crate) fn conclude(
    place: &Place,
    run: &RunId,
    step: &str,
    (word, text): (&str, &str),
    holder: &str,
    owed: Option<(Component, Unmark<'_>)>,
    summary: &str,
) -> String {
    let owed = owed.map_or_else(String::new, |(component, which)| {
        unmark_lines(component, which)
    });
    format!(
        "{begin}umask 077\nset -e\nd=$B/runs/{run}/{step}\n[ -d \"$d\" ]\n{owed}\
         printf '%s\\n%s\\n' {word} {text} >\"$d/verdict.tmp\"\n\
         flush \"$d/verdict.tmp\"\nmv -f \"$d/verdict.tmp\" \"$d/verdict\"\n\
         printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\" {run} {step} {word} \
         {holder} {summary} >>\"$B/audit.log\"\n{prune}echo kept\n",
        begin = place.begin(),
        prune = prune(),
        text = quote(text),
        holder = quote(holder),
        summary = quote(summary),
    )
}

/// Writes beside a change's verdict what the run made of it after the host was content. Prints
/// `kept`.
pub(crate) fn note_gate(place: &Place, run: &RunId, step: &str, words: &str) -> String {
    format!(
        "{begin}umask 077\nset -e\nd=$B/runs/{run}/{step}\n[ -d \"$d\" ]\n\
         printf '%s' {words} >\"$d/gate.tmp\"\nmv -f \"$d/gate.tmp\" \"$d/gate\"\necho kept\n",
        begin = place.begin(),
        words = quote(words),
    )
}

/// Takes intent and row of a step away that changed nothing. Prints `gone`.
pub(crate) fn take_away(place: &Place, run: &RunId, step: &str) -> String {
    format!(
        "{begin}rm -rf \"$B/runs/{run}/{step}\"\nrmdir \"$B/runs/{run}\" 2>/dev/null\n\
         rm -f \"$B/rows/{row}\" \"$B/rows/{row}.tmp\"\nrmdir \"$B/rows\" 2>/dev/null\necho gone\n",
        begin = place.begin(),
        row = row_name(run, step),
    )
}

/// Moves a dump from the stage to its place, under the next number, with its digest beside it; keeps
/// the newest `keep`. What was moved is read once more. Prints `kept` and the path.
pub(crate) fn keep_dump(place: &Place, digest: &Digest, keep: usize) -> String {
    let keep = keep + 1;
    format!(
        "{begin}umask 077\nset -e\nS=$B/stage/{digest}\nd=$B/backups\nmkdir -p \"$d\"\n\
         numbers() {{ ls \"$d\" | sed -n 's/^0*\\([0-9][0-9]*\\)\\.sql\\.gz$/\\1/p' | sort -n; }}\n\
         n=$(numbers | tail -n 1)\nf=$(printf '%04d.sql.gz' $((${{n:-0}} + 1)))\n\
         if command -v gzip >/dev/null 2>&1; then gzip -t <\"$S\"; fi\n\
         cannot() {{ rm -f \"$d/$f\" \"$d/$f.sha256\"\n\
         echo \"$d/$f cannot be written: is there room on its disk?\" >&2; exit 1; }}\n\
         chmod 600 \"$S\"\nprintf '%s  %s\\n' {digest} \"$f\" >\"$d/$f.sha256\" || cannot\n\
         mv \"$S\" \"$d/$f\" || cannot\n\
         flush \"$d/$f\"\n\
         numbers | sort -rn | tail -n +{keep} | while read -r o; do\n\
         o=$(printf '%04d.sql.gz' \"$o\")\nrm -f \"$d/$o\" \"$d/$o.sha256\"\ndone\n\
         echo \"kept $d/$f\"\n",
        begin = place.begin(),
    )
}

/// Takes a dump away that could not be kept. Prints `gone`.
pub(crate) fn drop_dump(place: &Place, digest: &Digest) -> String {
    let begin = place.begin();
    format!(
        "{begin}rm -f \"$B/stage/{digest}\" \"$B/stage/{digest}\".part.*\n\
         rmdir \"$B/backups\" 2>/dev/null\necho gone\n"
    )
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
        // As root the folder is told, so that no test writes below /var/lib.
        let install = script.lines().find_map(|l| l.strip_prefix("state_folder "));
        let install = install.unwrap().split(' ').next().unwrap();
        let state = format!("{}/.tarsops", install.trim_matches('\''));
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
            let said = run(&keep_dump(&place, &digest, 10));
            let path = base.join(format!("backups/{number:04}.sql.gz"));
            assert_eq!(said, format!("kept {}\n", path.display()));
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
        assert!(!run(&keep_dump(&place, &digest, 10)).contains("kept"));
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
        let marks = |key: &str| assert_eq!(run(&mark_owed(&place, stat, key)), "kept\n");
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
        // Whoever started it anew settles what is older, and not what came later.
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
        let rows = crate::scripts::keep_rows(&place, &name, "secret");
        assert_eq!(run(&rows), format!("kept {}/rows/{name}\n", base.display()));
        assert_eq!(run(&take_away(&place, &id(1), "s")), "gone\n");
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
