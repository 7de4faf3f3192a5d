//! The monitor's line in a crontab that belongs to somebody else.
//!
//! Only whole lines that run this installation's tarsnode monitor are ever added or taken away; all
//! other bytes stay. Environment lines, comments and the monitors of other components are other
//! people's.
//!
//! A monitor is known by the path that the shell would run: blank settings, `cd`, variables and
//! doubled slashes are followed. Where a path may be the monitor's and cannot be told, no second line
//! is added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tarsops_model::agent::Monitor;

/// Ends the line that the host itself adds while a change is in progress; it counts as not there.
pub const GUARD_MARK: &str = "# tarsops-guard";

/// What changes in a crontab.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrontabEdit {
    /// Numbers (from 0) and texts of lines that go.
    pub remove: Vec<(usize, String)>,
    /// A line that comes, at the end.
    pub add: Option<String>,
}

impl CrontabEdit {
    /// The same edit of the crontab that `earlier` leaves: lines above that are gone are not counted, and
    /// what is gone itself is not removed again.
    #[must_use]
    pub fn after(&self, earlier: &Self) -> Self {
        let gone = |number: usize| earlier.remove.iter().any(|(n, _)| *n == number);
        let above = |number: usize| earlier.remove.iter().filter(|(n, _)| *n < number).count();
        let left = self.remove.iter().filter(|(number, _)| !gone(*number));
        Self {
            remove: left
                .map(|(number, line)| (number - above(*number), line.clone()))
                .collect(),
            add: self.add.clone(),
        }
    }
}

/// Which lines of a crontab watch tarsnode.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watchers {
    /// Lines that run `tarsnode/util/monitor.sh`.
    pub monitor: Vec<(usize, String)>,
    /// Lines that run a `check.sh`, which watches tarsnode among others.
    pub check: Vec<(usize, String)>,
    /// Lines that would run one of them, but for the carriage return at their end.
    pub broken: Vec<(usize, String)>,
    /// Lines that may run one of them: from a folder or by a variable that is not known here.
    pub unclear: Vec<(usize, String)>,
}

impl Watchers {
    /// Whether a line watches tarsnode, or may.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.monitor.is_empty() || !self.check.is_empty() || !self.unclear.is_empty()
    }
}

/// The monitor line of the handbook's chapter 3. Its output is dropped: what the monitor starts
/// keeps standard error open, and cron would wait for its end.
#[must_use]
pub fn monitor_line(tars_path: &str) -> String {
    component_monitor_line(tars_path, "tarsnode")
}

/// The crontab without the host's own guard line.
#[must_use]
pub fn without_guard(text: &str) -> String {
    text.split_inclusive('\n')
        .filter(|l| !l.trim_end().ends_with(GUARD_MARK))
        .collect()
}

/// Finds the lines that watch tarsnode.
#[must_use]
pub fn watchers(text: &str, tars_path: &str) -> Watchers {
    let monitor = format!("{tars_path}/tarsnode/util/monitor.sh");
    let checks = [
        format!("{tars_path}/check.sh"),
        format!("{tars_path}/tarsnode/util/check.sh"),
    ];
    let mut found = Watchers::default();
    for (number, line, runs) in lines_that_run(text, &[&monitor, &checks[0], &checks[1]]) {
        let line = (number, line.to_owned());
        match runs {
            Runs::Maybe => found.unclear.push(line),
            Runs::This(_) if line.1.ends_with('\r') => found.broken.push(line),
            Runs::This(0) => found.monitor.push(line),
            Runs::This(_) => found.check.push(line),
        }
    }
    found
}

/// The command of a crontab line; none for comments, blank lines and environment settings.
fn command(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    for _ in 0..fields {
        let end = rest.find(char::is_whitespace)?;
        // `NAME=value` has its sign before the second field.
        if fields == 5 && rest[..end].contains('=') {
            return None;
        }
        rest = rest[end..].trim_start();
        if rest.starts_with('=') {
            return None;
        }
    }
    (!rest.is_empty()).then_some(rest)
}

/// What has to change so that tarsnode is watched as wanted; `None` if nothing has to. `elsewhere` is
/// whether another crontab of the host watches it, or may.
#[must_use]
pub fn wanted_edit(
    text: Option<&str>,
    tars_path: &str,
    monitor: Monitor,
    elsewhere: bool,
) -> Option<CrontabEdit> {
    if monitor == Monitor::None {
        return None;
    }
    let found = watchers(text.unwrap_or_default(), tars_path);
    let watched = elsewhere || found.any();
    // One watcher is enough, whatever its schedule: it is the operator's choice.
    let enough = usize::from(found.check.is_empty());
    let mut remove: Vec<(usize, String)> = found.monitor.into_iter().skip(enough).collect();
    remove.extend(found.broken);
    remove.sort();
    let edit = CrontabEdit {
        remove,
        add: (!watched).then(|| monitor_line(tars_path)),
    };
    (edit != CrontabEdit::default()).then_some(edit)
}

/// What has to change so that another component is watched by its own monitor; `None` if something
/// watches it already, be it `check.sh`. Its line is of the form of [`monitor_line`].
#[must_use]
pub fn component_watch_edit(text: &str, tars_path: &str, name: &str) -> Option<CrontabEdit> {
    let monitor = format!("{tars_path}/{name}/util/monitor.sh");
    let watched = lines_that_run(text, &[&monitor]).any(|(_, line, _)| !line.ends_with('\r'))
        || !watchers(text, tars_path).check.is_empty();
    (!watched).then(|| CrontabEdit {
        remove: vec![],
        add: Some(component_monitor_line(tars_path, name)),
    })
}

/// The line that has cron run a component's own monitor each minute.
#[must_use]
pub fn component_monitor_line(tars_path: &str, name: &str) -> String {
    format!("* * * * * {tars_path}/{name}/util/monitor.sh >/dev/null 2>&1")
}

/// What has to change so that no monitor of its own brings another removed component back.
#[must_use]
pub fn component_removal_edit(text: &str, tars_path: &str, name: &str) -> Option<CrontabEdit> {
    let monitor = format!("{tars_path}/{name}/util/monitor.sh");
    let remove: Vec<(usize, String)> = lines_that_run(text, &[&monitor])
        .filter(|(_, _, runs)| matches!(runs, Runs::This(_)))
        .map(|(number, line, _)| (number, line.to_owned()))
        .collect();
    (!remove.is_empty()).then_some(CrontabEdit { remove, add: None })
}

/// Whether a line runs a component's own monitor and nothing else. Its schedule is the operator's
/// choice, and so is the shell and where the output goes.
#[must_use]
pub fn is_plain_monitor(line: &str, tars_path: &str, name: &str) -> bool {
    let monitor = format!("{tars_path}/{name}/util/monitor.sh");
    let words: Vec<&str> = line.split([' ', '\t']).filter(|w| !w.is_empty()).collect();
    let reboot = words.first().is_some_and(|w| w.starts_with('@'));
    let times = if reboot { 1 } else { 5 };
    let (Some(when), Some(mut rest)) = (words.get(..times), words.get(times..)) else {
        return false;
    };
    let time = |w: &&str| {
        w.chars()
            .all(|c| c.is_ascii_alphanumeric() || "@*/,-".contains(c))
    };
    if !when.iter().all(time) {
        return false;
    }
    if let Some(("sh" | "bash" | "/bin/sh" | "/bin/bash", after)) =
        rest.split_first().map(|(w, r)| (*w, r))
    {
        rest = after;
    }
    let away = |w: &&str| {
        [
            ">",
            "1>",
            "2>",
            "&>",
            "/dev/null",
            ">/dev/null",
            "1>/dev/null",
            "2>/dev/null",
            "&>/dev/null",
            "2>&1",
        ]
        .contains(w)
    };
    rest.first() == Some(&monitor.as_str()) && rest.iter().skip(1).all(away)
}

/// The crontabs from which `edit` may have led to `now`, with its own lines as they were; none where
/// it cannot have led there.
#[must_use]
pub fn before_edit(now: Option<&str>, edit: &CrontabEdit) -> Vec<Option<String>> {
    let now = now.unwrap_or_default();
    let mut lines: Vec<&str> = now.split_inclusive('\n').collect();
    if let Some(line) = &edit.add {
        let last = lines.pop().map(|l| l.trim_end_matches('\n'));
        if last != Some(line.as_str()) {
            return vec![];
        }
    }
    let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
    let mut removed: Vec<&(usize, String)> = edit.remove.iter().collect();
    removed.sort();
    for (number, line) in removed {
        if *number > lines.len() {
            return vec![];
        }
        lines.insert(*number, format!("{line}\n"));
    }
    let text = lines.concat();
    // The last line may have had no end.
    let open = text.strip_suffix('\n').map(str::to_owned);
    let all = [Some(text), open].into_iter().flatten();
    all.map(|t| (!t.is_empty()).then_some(t)).collect()
}

/// The crontabs that differ from `now` only in lines of this tool for a component: its monitor comes,
/// or some of its lines go.
#[must_use]
pub fn near(now: Option<&str>, tars_path: &str, name: &str) -> Vec<Option<String>> {
    let text = now.unwrap_or_default();
    let own: Vec<(usize, String)> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| is_plain_monitor(line, tars_path, name))
        .map(|(number, line)| (number, line.to_owned()))
        .collect();
    let add = CrontabEdit {
        remove: vec![],
        add: Some(component_monitor_line(tars_path, name)),
    };
    let mut edits = vec![add];
    for keep in [0, 1] {
        edits.push(CrontabEdit {
            remove: own.iter().skip(keep).cloned().collect(),
            add: None,
        });
    }
    edits.iter().map(|edit| apply(now, edit)).collect()
}

/// What a line runs of the programs that are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Runs {
    /// The one with this number.
    This(usize),
    /// It may run one of them.
    Maybe,
}

/// Lines of a crontab that run one of the programs at `paths`, or may: their numbers and texts.
fn lines_that_run<'a>(
    text: &'a str,
    paths: &[&str],
) -> impl Iterator<Item = (usize, &'a str, Runs)> {
    let mut variables = BTreeMap::new();
    let mut found = Vec::new();
    for (number, line) in text.split('\n').enumerate() {
        if let Some(command) = command(line) {
            found.extend(runs(command, paths, &variables).map(|runs| (number, line, runs)));
        } else if let Some((name, value)) = setting(line) {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
    found.into_iter()
}

/// A line that sets a variable for the commands below it.
fn setting(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim().trim_matches(['"', '\'']);
    let value = value.trim();
    let bare = ['"', '\'']
        .iter()
        .find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    is_name(name).then_some((name, bare.unwrap_or(value)))
}

fn is_name(word: &str) -> bool {
    !word.is_empty()
        && !word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What stands for a part of a path that is not known here.
const UNKNOWN: char = '\0';

/// Puts the values of variables in their places; what is not known becomes [`UNKNOWN`].
fn expand(word: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let (name, after) = match after.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                after.split_at(after.find(|c| !is_part(c)).unwrap_or(after.len()))
            }
        };
        match variables.get(name) {
            Some(value) if !value.contains('$') => out.push_str(value),
            _ => out.push(UNKNOWN),
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace(['~', '*', '?'], &UNKNOWN.to_string())
}

/// A path in its shortest form, from the root or from something that is not known.
fn shortest(path: &str) -> String {
    let (head, tail) = match path.rfind(UNKNOWN) {
        Some(at) => (&path[..=at], &path[at + 1..]),
        None => ("", path),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in tail.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let start = if head.is_empty() { "" } else { "\0" };
    format!("{start}/{}", parts.join("/"))
}

/// What a command runs of `paths`, with the variables that are set before it.
fn runs(command: &str, paths: &[&str], before: &BTreeMap<String, String>) -> Option<Runs> {
    let mut variables = before.clone();
    // Where cron begins is the home of a user.
    let mut folder = UNKNOWN.to_string();
    let mut enters = false;
    let mut found = None;
    let words = command
        .split(|c: char| c.is_whitespace() || ";&|()<>'\"`".contains(c))
        .filter(|word| !word.is_empty());
    for word in words {
        let word = expand(word, &variables);
        if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_name(name)) {
            variables.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let path = if word.starts_with(['/', UNKNOWN]) {
            shortest(&word)
        } else {
            shortest(&format!("{folder}/{word}"))
        };
        if std::mem::take(&mut enters) {
            folder = path;
            continue;
        }
        enters = word == "cd";
        let this = match path.strip_prefix(UNKNOWN) {
            None => paths.iter().position(|p| path == *p).map(Runs::This),
            // A check.sh alone may be anybody's.
            Some(end) => paths
                .iter()
                .any(|p| p.ends_with(end) && end.len() > 1 && end != "/check.sh")
                .then_some(Runs::Maybe),
        };
        found = found.into_iter().chain(this).min();
    }
    found
}

/// What has to change so that nothing brings a removed tarsnode back.
#[must_use]
pub fn removal_edit(text: Option<&str>, tars_path: &str) -> Option<CrontabEdit> {
    let found = watchers(text.unwrap_or_default(), tars_path);
    let mut remove = found.monitor;
    remove.extend(
        found
            .broken
            .into_iter()
            .filter(|(_, line)| !line.contains("check.sh")),
    );
    remove.sort();
    (!remove.is_empty()).then_some(CrontabEdit { remove, add: None })
}

/// The crontab after `edit`; `None` if there should be none.
#[must_use]
pub fn apply(text: Option<&str>, edit: &CrontabEdit) -> Option<String> {
    let mut out = String::new();
    for (number, line) in text.unwrap_or_default().split_inclusive('\n').enumerate() {
        if !edit.remove.iter().any(|(n, _)| *n == number) {
            out.push_str(line);
        }
    }
    if let Some(line) = &edit.add {
        // cron refuses a last line without an end.
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
    }
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TARS: &str = "/usr/local/app/tars";

    #[test]
    fn only_the_monitor_of_this_tarsnode_counts() {
        let text = "# */1 * * * * /usr/local/app/tars/tarsnode/util/monitor.sh\n\
            X=/usr/local/app/tars/tarsnode/util/monitor.sh\n\
            MAILTO = a b c d /usr/local/app/tars/tarsnode/util/monitor.sh\n\
            * * * * * /usr/local/app/tars/tarsregistry/util/monitor.sh\n\
            * * * * * /opt/usr/local/app/tars/tarsnode/util/monitor.sh\n\
            * * * * * cat /usr/local/app/tars/tarsnode/util/monitor.sh.bak\n";
        assert_eq!(watchers(text, TARS), Watchers::default());
        let found = watchers(
            "*/5 * * * * sh /usr/local/app/tars/tarsnode/util/monitor.sh;true\n@reboot /usr/local/app/tars/check.sh",
            TARS,
        );
        assert_eq!(found.monitor.len(), 1);
        assert_eq!(found.check.len(), 1);
    }

    #[test]
    fn a_monitor_is_known_in_any_spelling() {
        for line in [
            "* * * * * cd /usr/local/app/tars/tarsnode/util && ./monitor.sh",
            "* * * * * cd /usr/local/app/tars/tarsnode/util; sh monitor.sh >/dev/null 2>&1",
            "* * * * * cd /usr/local/app/tars/ && sh ./tarsnode//util/monitor.sh",
            "* * * * * /usr/local/app//tars/./tarsnode/util/monitor.sh",
            "* * * * * /usr/local/app/tars/tarsregistry/../tarsnode/util/monitor.sh",
            "* * * * * sh -c 'cd /usr/local/app/tars && exec tarsnode/util/monitor.sh'",
            "* * * * * T=/usr/local/app/tars; $T/tarsnode/util/monitor.sh",
            "@reboot cd \"/usr/local/app/tars/tarsnode/util\" && \"./monitor.sh\"",
            "TARS=/usr/local/app/tars\n* * * * * $TARS/tarsnode/util/monitor.sh",
            "TARS = '/usr/local/app/tars'\n* * * * * ${TARS}/tarsnode/util/monitor.sh",
        ] {
            let found = watchers(line, TARS);
            assert_eq!((found.monitor.len(), found.unclear.len()), (1, 0), "{line}");
            assert_eq!(wanted_edit(Some(line), TARS, Monitor::Cron, false), None);
        }
        for line in [
            "* * * * * $TARS/tarsnode/util/monitor.sh",
            "* * * * * ~/app/tars/tarsnode/util/monitor.sh",
            "* * * * * cd $UTIL && ./monitor.sh",
            "* * * * * ./monitor.sh",
            "* * * * * for f in /usr/local/app/tars/*/util/monitor.sh; do $f; done",
            "* * * * * $TARS/tarsnode/util/check.sh",
        ] {
            let found = watchers(line, TARS);
            assert_eq!((found.monitor.len(), found.unclear.len()), (0, 1), "{line}");
            assert_eq!(wanted_edit(Some(line), TARS, Monitor::Cron, false), None);
        }
        for line in [
            "* * * * * cd /opt/tars/tarsnode/util && ./monitor.sh",
            "* * * * * $TARS/tarsregistry/util/monitor.sh",
            "* * * * * ./check.sh",
            "* * * * * $MONITOR",
            "* * * * * cd; ls *",
        ] {
            assert!(!watchers(line, TARS).any(), "{line}");
        }
    }

    #[test]
    fn a_line_with_a_carriage_return_runs_nothing() {
        let line = monitor_line(TARS);
        let text = format!("MAILTO=x\r\n{line}\r\n0 3 * * * /usr/bin/true\r\n");
        let edit = wanted_edit(Some(&text), TARS, Monitor::Cron, false).unwrap();
        let after = apply(Some(&text), &edit).unwrap();
        assert_eq!(
            after,
            format!("MAILTO=x\r\n0 3 * * * /usr/bin/true\r\n{line}\n")
        );
        assert!(before_edit(Some(&after), &edit).contains(&Some(text.clone())));
        let gone = removal_edit(Some(&text), TARS).unwrap();
        assert_eq!(
            apply(Some(&text), &gone).unwrap(),
            "MAILTO=x\r\n0 3 * * * /usr/bin/true\r\n"
        );
    }

    #[test]
    fn another_crontab_may_watch() {
        assert_eq!(wanted_edit(None, TARS, Monitor::Cron, true), None);
    }

    #[test]
    fn a_check_line_makes_the_monitor_line_superfluous() {
        let text = "* * * * * /usr/local/app/tars/check.sh\n* * * * * /usr/local/app/tars/tarsnode/util/monitor.sh\n";
        let edit = wanted_edit(Some(text), TARS, Monitor::Cron, false).unwrap();
        assert_eq!(
            apply(Some(text), &edit).unwrap(),
            "* * * * * /usr/local/app/tars/check.sh\n"
        );
    }

    #[test]
    fn an_empty_crontab_is_removed() {
        let text = format!("{}\n", monitor_line(TARS));
        let edit = removal_edit(Some(&text), TARS).unwrap();
        assert_eq!(apply(Some(&text), &edit), None);
        assert_eq!(
            without_guard(&format!("{text}* * * * * sh x {GUARD_MARK}\n")),
            text
        );
    }

    fn lines() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just(monitor_line(TARS)),
            Just("0 3 * * * /usr/local/app/tars/tarsnode/util/monitor.sh".to_owned()),
            Just("* * * * * /usr/local/app/tars/check.sh".to_owned()),
            Just("MAILTO=root".to_owned()),
            "[ -~]{0,30}",
        ];
        (prop::collection::vec(line, 0..8), any::<bool>()).prop_map(|(l, end)| {
            let mut text = l.join("\n");
            if end && !text.is_empty() {
                text.push('\n');
            }
            text
        })
    }

    proptest! {
        #[test]
        fn other_lines_stay_and_one_watcher_is_left(text in lines()) {
            let other = |t: &str| -> Vec<String> {
                let own = watchers(t, TARS).monitor;
                t.lines().enumerate().filter(|(n, _)| !own.iter().any(|(m, _)| m == n)).map(|(_, l)| l.to_owned()).collect()
            };
            let input = (!text.is_empty()).then_some(text.as_str());
            let after = match wanted_edit(input, TARS, Monitor::Cron, false) {
                Some(edit) => apply(input, &edit),
                None => input.map(str::to_owned),
            };
            let after = after.unwrap_or_default();
            prop_assert_eq!(other(&text), other(&after));
            let found = watchers(&after, TARS);
            prop_assert!(found.monitor.len() == usize::from(found.check.is_empty()));
            prop_assert_eq!(wanted_edit(Some(&after), TARS, Monitor::Cron, false), None);
        }
    }
}
