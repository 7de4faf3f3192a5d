//! The monitor's line in a crontab that belongs to somebody else.
//!
//! Only whole lines that run this installation's tarsnode monitor are ever added or taken away; all
//! other bytes stay. Environment lines, comments and the monitors of other components are other
//! people's.

use serde::{Deserialize, Serialize};
use tarsops_model::agent::Monitor;

/// Ends the line that the host itself adds while a change is under way; it counts as not there.
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
    let monitor: Vec<_> = lines_that_run(text, &[monitor]).collect();
    let check = lines_that_run(text, &checks)
        .filter(|(n, _)| monitor.iter().all(|(m, _)| m != n))
        .collect();
    Watchers { monitor, check }
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

/// What has to change so that tarsnode is watched as wanted; `None` if nothing has to.
#[must_use]
pub fn wanted_edit(text: Option<&str>, tars_path: &str, monitor: Monitor) -> Option<CrontabEdit> {
    if monitor == Monitor::None {
        return None;
    }
    let found = watchers(text.unwrap_or_default(), tars_path);
    let edit = if found.check.is_empty() {
        CrontabEdit {
            // One watcher is enough, whatever its schedule: it is the operator's choice.
            remove: found.monitor.iter().skip(1).cloned().collect(),
            add: found.monitor.is_empty().then(|| monitor_line(tars_path)),
        }
    } else {
        CrontabEdit {
            remove: found.monitor,
            add: None,
        }
    };
    (edit != CrontabEdit::default()).then_some(edit)
}

/// What has to change so that another component is watched by its own monitor; `None` if something
/// watches it already, be it `check.sh`. Its line is of the form of [`monitor_line`].
#[must_use]
pub fn component_watch_edit(text: &str, tars_path: &str, name: &str) -> Option<CrontabEdit> {
    let monitor = format!("{tars_path}/{name}/util/monitor.sh");
    let watched = lines_that_run(text, &[monitor]).next().is_some()
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
    let remove: Vec<(usize, String)> = lines_that_run(text, &[monitor]).collect();
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

/// Lines of a crontab with one of the paths among the words of their command.
fn lines_that_run<'a>(
    text: &'a str,
    paths: &'a [String],
) -> impl Iterator<Item = (usize, String)> + 'a {
    let runs = move |line: &str| {
        command(line).is_some_and(|command| {
            command
                .split(|c: char| c.is_whitespace() || ";&|()<>'\"`".contains(c))
                .any(|w| paths.iter().any(|p| w == p))
        })
    };
    text.lines()
        .enumerate()
        .filter(move |(_, line)| runs(line))
        .map(|(number, line)| (number, line.to_owned()))
}

/// What has to change so that nothing brings a removed tarsnode back.
#[must_use]
pub fn removal_edit(text: Option<&str>, tars_path: &str) -> Option<CrontabEdit> {
    let found = watchers(text.unwrap_or_default(), tars_path);
    (!found.monitor.is_empty()).then_some(CrontabEdit {
        remove: found.monitor,
        add: None,
    })
}

/// The crontab after `edit`; `None` if there shall be none.
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
    fn a_check_line_makes_the_monitor_line_superfluous() {
        let text = "* * * * * /usr/local/app/tars/check.sh\n* * * * * /usr/local/app/tars/tarsnode/util/monitor.sh\n";
        let edit = wanted_edit(Some(text), TARS, Monitor::Cron).unwrap();
        assert_eq!(
            apply(Some(text), &edit).unwrap(),
            "* * * * * /usr/local/app/tars/check.sh\n"
        );
    }

    #[test]
    fn a_crontab_that_would_be_empty_goes() {
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
            let after = match wanted_edit(input, TARS, Monitor::Cron) {
                Some(edit) => apply(input, &edit),
                None => input.map(str::to_owned),
            };
            let after = after.unwrap_or_default();
            prop_assert_eq!(other(&text), other(&after));
            let found = watchers(&after, TARS);
            prop_assert!(found.monitor.len() == usize::from(found.check.is_empty()));
            prop_assert_eq!(wanted_edit(Some(&after), TARS, Monitor::Cron), None);
        }
    }
}
