//! A script that dies before one of its lines, or waits there for the power to fail.

use std::time::{Duration, Instant};

use tarsops_testkit::Host;

/// How long a line may take to be reached.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the script does before each line: it says so in a file, and at a chosen one it dies, or waits
/// for the power to fail.
const POINT: &str = r#"
K() {
  k_s=$?
  echo "$1" >>/run/lines
  if [ -r /run/kill ] && read -r k_line k_how </run/kill && [ "$k_line" = "$1" ]; then
    rm -f /run/kill
    case "$k_how" in kill) kill -9 $$ ;; *) : >/run/reached; sleep 1000 ;; esac
  fi
  return $k_s
}
"#;

/// The script with a point before each line on which a command begins.
pub(crate) fn instrumented(text: &str) -> String {
    let mut out = String::new();
    let mut before = String::new();
    let (mut inside, mut quoted, mut other) = (false, false, false);
    for (number, line) in text.lines().enumerate() {
        let body = line.trim_start();
        let first = body
            .split(|c: char| c.is_whitespace() || c == ';')
            .next()
            .unwrap_or_default();
        let continues = ["\\", "|", "||", "&&", "(", "in", ";;"]
            .iter()
            .any(|e| before.ends_with(e));
        let closes = ["then", "else", "elif", "do", "done", "fi", "esac", "read"].contains(&first)
            || body.starts_with(['}', ')', '|', '&', ';', '\'', '#'])
            || body.is_empty();
        // The text of a here-document is no command, and a program for Node is none of this shell.
        quoted &= !line.ends_with("_END");
        let begins = body.contains("='const ") && !line.ends_with('\'');
        if inside && !continues && !closes && !quoted && !other && !line.ends_with("_END") {
            out.push_str(&format!("K {}; ", number + 1));
        }
        quoted |= line.contains("<<") && line.ends_with("_END");
        other = (other || begins) && !line.ends_with('\'');
        out.push_str(line);
        out.push('\n');
        if line == "set -u" {
            out.push_str(POINT);
        }
        inside |= line.starts_with("cd / ||");
        if !body.starts_with('#') && !body.is_empty() {
            body.clone_into(&mut before);
        }
    }
    out
}

/// Every `stride`th line, as each costs seconds; all with `TARSOPS_EVERY_LINE`.
pub(crate) fn some(lines: Vec<u32>, stride: usize) -> Vec<u32> {
    let every = std::env::var_os("TARSOPS_EVERY_LINE").is_some();
    lines
        .into_iter()
        .step_by(if every { 1 } else { stride })
        .collect()
}

/// The number of the line of a script on which a step is taken.
pub(crate) fn line_of(script: &str, step: &str) -> u32 {
    let at = script
        .lines()
        .position(|l| l.contains(step) && !l.trim_start().starts_with('#'));
    u32::try_from(at.unwrap_or_else(|| panic!("no line has {step}")) + 1).unwrap()
}

/// Has the host lose its power while `act` waits at a line of its script, and boots it again.
pub(crate) fn while_it_waits(host: &Host, line: u32, act: impl FnOnce() + Send) {
    host.sh(&format!("echo {line} wait >/run/kill")).unwrap();
    std::thread::scope(|scope| {
        let acting = scope.spawn(act);
        let end = Instant::now() + PATIENCE;
        while host
            .sh("ls /run/reached 2>/dev/null || :")
            .unwrap()
            .is_empty()
        {
            assert!(Instant::now() < end, "line {line} is not reached");
            std::thread::sleep(Duration::from_millis(50));
        }
        host.kill();
        acting.join().unwrap();
    });
    host.start().unwrap();
}
