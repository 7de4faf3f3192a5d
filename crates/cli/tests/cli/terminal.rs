//! What a terminal shows: texts wrapped at words. The terminal is made by `script` of util-linux.

use std::process::{Command, Stdio};

/// The output of a command line on a terminal of so many columns.
fn on_terminal(columns: u16, line: &str) -> String {
    let line = format!("stty cols {columns} rows 50 && cd tests/cli/specs && {line}");
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("NO_COLOR", "1")
        .env_remove("TARSOPS_SPEC")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("`script` of util-linux (bsdutils) must be installed");
    String::from_utf8(output.stdout).unwrap().replace('\r', "")
}

/// All words of `whole` in their order, and no line longer than the terminal.
fn assert_wrapped(shown: &str, whole: &str, columns: usize) {
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    assert_eq!(words(shown), words(whole));
    for line in shown.lines() {
        // Lines of a file stay whole, as carets stand below them.
        let whole = line.contains(" | ") || !line.trim().contains(' ');
        let short = line.chars().count() <= columns || whole;
        assert!(short, "{columns}: {line}");
    }
}

#[test]
fn a_terminal_gets_its_texts_wrapped_at_words() {
    let program = super::PROGRAM;
    for arguments in [
        "rollback --on nowhere -f silent.yaml",
        "package ls -f right.yaml",
        "package add -f right.yaml --component tarsnode --version 3.0.17 nowhere",
        "validate -f warning.yaml",
        "validate -f no-package.yaml",
        "package add --help",
        "plan --help",
    ] {
        let whole = on_terminal(400, &format!("{program} {arguments}"));
        assert!(!whole.is_empty(), "{arguments}");
        for columns in [60, 80] {
            let shown = on_terminal(columns, &format!("{program} {arguments}"));
            assert_wrapped(&shown, &whole, usize::from(columns));
        }
        // What is no terminal gets whole lines.
        let piped = on_terminal(60, &format!("{program} {arguments} 2>&1 | cat"));
        if !arguments.contains("--help") {
            assert_eq!(piped, whole, "{arguments}");
        }
    }
}
