//! The script of a change, killed before each of its lines.

use std::collections::BTreeSet;
use std::fs;

use tarsops_model::names::RunId;

use super::super::change;
use super::world::{Kept, Kind, World, in_parallel};

/// Tells of each line that is reached and dies at a chosen one; `$?` stays what it was.
const POINT: &str = r#"
K() {
  k_s=$?
  [ -z "${KILL_TRACE:-}" ] || echo "$1" >>"$KILL_TRACE"
  if [ "$1" = "${KILL_LINE:-}" ]; then
    if [ "${KILL_PASS:-1}" = 1 ] || [ -e "$HOST/passed" ]; then kill -9 $$; sleep 1
    else : >"$HOST/passed"
    fi
  fi
  return $k_s
}
"#;

/// The script with a point before each line on which a command begins, and what waits longer than
/// a test can made short.
fn instrumented() -> String {
    let whole = change();
    let text = whole.replace("healthy any 2 ", "healthy any 0 ");
    assert_ne!(text, whole, "the way back is not waited for as it was");
    let mut out = String::new();
    let mut before = String::new();
    let mut inside = false;
    for (number, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let first = body
            .split(|c: char| c.is_whitespace() || c == ';')
            .next()
            .unwrap_or_default();
        let continues = ["\\", "|", "||", "&&", "(", "in", ";;"]
            .iter()
            .any(|e| before.ends_with(e));
        let closes = ["then", "else", "elif", "do", "done", "fi", "esac"].contains(&first)
            || body.starts_with(['}', ')', '|', '&', ';', '\'', '#'])
            || body.is_empty();
        if inside && !continues && !closes {
            out.push_str(&format!("K {}; ", number + 1));
        }
        out.push_str(line);
        out.push('\n');
        if line == "set -u" {
            out.push_str(POINT);
        }
        inside |= line.starts_with("cd -P \"$T_INSTALL\"");
        let code = line.split(" # ").next().unwrap_or_default().trim_end();
        if !body.starts_with('#') && !body.is_empty() {
            before = code.to_owned();
        }
    }
    out
}

fn run_id(n: u64) -> RunId {
    RunId::from_parts(n, 1)
}

/// The lines that an undisturbed change passes, in the order of the script.
fn lines_of(kind: Kind, shell: &'static str) -> Vec<u32> {
    let world = World::new(kind, shell);
    let folder = world.lay_out(&run_id(1), &instrumented());
    let trace = world.path("trace");
    let killed = world.run(
        &folder.join("change.sh"),
        "act",
        &[("KILL_TRACE", trace.to_str().unwrap())],
    );
    assert!(!killed);
    assert_eq!(world.sound(), Ok(Kept::New), "{}", world.log());
    let all = fs::read_to_string(trace).unwrap();
    let lines: BTreeSet<u32> = all.lines().map(|l| l.parse().unwrap()).collect();
    lines.into_iter().collect()
}

/// Kills a change at `line`, lets cron end it, and looks.
fn kill_at(kind: Kind, shell: &'static str, line: u32, pass: u32) -> Result<(), String> {
    let at = |fault: String| format!("{kind:?} under {shell}, line {line}, pass {pass}: {fault}");
    let world = World::new(kind, shell);
    let folder = world.lay_out(&run_id(1), &instrumented());
    let more = [
        ("KILL_LINE", line.to_string()),
        ("KILL_PASS", pass.to_string()),
    ];
    let more = more.each_ref().map(|(k, v)| (*k, v.as_str()));
    let killed = world.run(&folder.join("change.sh"), "act", &more);
    if !killed && pass == 1 {
        return Err(at(format!("it is not reached\n{}", world.log())));
    }
    world.cron();
    let kept = world.sound().map_err(at)?;
    let verdict = world.verdict(&run_id(1));
    if verdict.starts_with("stuck") || (kept == Kept::Old) == verdict.starts_with("ok") {
        return Err(at(format!("{kept:?}, and the verdict is {verdict}")));
    }
    // That a further run converges is the same question for neighbours.
    if kept == Kept::Old && line.is_multiple_of(4) {
        world.converges(&run_id(2)).map_err(at)?;
    }
    Ok(())
}

#[test]
fn every_shell_takes_the_script_with_points() {
    for shell in ["dash", "busybox", "bash"] {
        let lines = lines_of(Kind::Upgrade, shell);
        assert!(
            lines.len() > 120,
            "{shell} passed {} lines only",
            lines.len()
        );
    }
}

/// Every `stride`th line, as all of them under every shell take long; all with `TARSOPS_EVERY_LINE`.
fn kill_everywhere(kind: Kind, shell: &'static str, stride: usize, pass: u32) {
    let every = std::env::var_os("TARSOPS_EVERY_LINE").is_some();
    let stride = if every { 1 } else { stride };
    let lines: Vec<u32> = lines_of(kind, shell).into_iter().step_by(stride).collect();
    in_parallel(&lines, |line| kill_at(kind, shell, *line, pass));
}

#[test]
fn an_upgrade_killed_at_any_line() {
    kill_everywhere(Kind::Upgrade, "dash", 1, 1);
}

#[test]
fn an_upgrade_killed_where_a_line_is_passed_again() {
    kill_everywhere(Kind::Upgrade, "dash", 12, 2);
}

#[test]
fn an_installation_killed_at_any_line() {
    kill_everywhere(Kind::Install, "dash", 2, 1);
}

#[test]
fn a_removal_killed_at_any_line() {
    kill_everywhere(Kind::Removal, "dash", 2, 1);
}

#[test]
fn killed_under_busybox() {
    kill_everywhere(Kind::Upgrade, "busybox", 16, 1);
}

#[test]
fn killed_under_bash() {
    kill_everywhere(Kind::Upgrade, "bash", 24, 1);
}

/// The rollback dies too, and cron brings it again.
#[test]
fn killed_and_killed_again_on_the_way_back() {
    let kinds = [Kind::Upgrade, Kind::Install, Kind::Removal];
    let mut cases = Vec::new();
    for kind in kinds {
        let lines = lines_of(kind, "dash");
        let script = instrumented();
        // Killed late, so that the rollback has everything to do.
        let late = script
            .lines()
            .position(|l| l.contains("change_crontab || return 1"))
            .unwrap();
        let late = lines
            .iter()
            .copied()
            .filter(|l| (*l as usize) < late)
            .max()
            .unwrap();
        let world = World::new(kind, "dash");
        let folder = world.lay_out(&run_id(1), &script);
        let change = folder.join("change.sh");
        let trace = world.path("trace");
        world.run(&change, "act", &[("KILL_LINE", &late.to_string())]);
        world.run(
            &change,
            "recover",
            &[("KILL_TRACE", trace.to_str().unwrap())],
        );
        let back: BTreeSet<u32> = fs::read_to_string(trace)
            .unwrap()
            .lines()
            .map(|l| l.parse().unwrap())
            .collect();
        cases.extend(back.into_iter().step_by(12).map(|l| (kind, late, l)));
    }
    assert!(cases.len() > 20, "{cases:?}");
    in_parallel(&cases, |(kind, late, line)| {
        let at = |fault: String| format!("{kind:?}, line {late}, then line {line}: {fault}");
        let world = World::new(*kind, "dash");
        let folder = world.lay_out(&run_id(1), &instrumented());
        let change = folder.join("change.sh");
        world.run(&change, "act", &[("KILL_LINE", &late.to_string())]);
        world.run(&change, "recover", &[("KILL_LINE", &line.to_string())]);
        world.cron();
        world.sound().map_err(at)?;
        let verdict = world.verdict(&run_id(1));
        if verdict.starts_with("stuck") || verdict.is_empty() {
            return Err(at(format!("the verdict is {verdict}\n{}", world.log())));
        }
        Ok(())
    });
}
