//! What a shell is offered: the words that the script of `completions` asks for.

use std::path::Path;
use std::process::{Command, Stdio};

const SPEC: &str = "\
schema: tarsops/v1
cluster: prod
framework: {version: 3.0.17, packages: ./packages}
registry: {endpoints: [10.0.0.1:17890]}
nodes:
  - {name: 10.0.0.1, roles: [master]}
  - {name: \"10.0.1.[8-10]\", labels: {idc: sz}}
";

/// What is offered for the last of the words, without the help beside each.
fn offered(dir: &Path, words: &[&str]) -> Vec<String> {
    let mut line = vec!["tarsops"];
    line.extend(words);
    let output = Command::new(super::PROGRAM)
        .arg("--")
        .args(&line)
        .current_dir(dir)
        .env_clear()
        .env("TARSOPS_COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("XDG_STATE_HOME", dir.join("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|l| l.trim().to_owned()).collect()
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.yaml"), SPEC).unwrap();
    std::fs::write(
        dir.path().join("other.yaml"),
        SPEC.replace("10.0.0.1", "10.9.9.9"),
    )
    .unwrap();
    dir
}

#[test]
fn nodes_labels_and_components_are_offered() {
    let dir = folder();
    let dir = dir.path();
    let nodes = ["10.0.0.1", "10.0.1.8", "10.0.1.9", "10.0.1.10"];
    for command in [
        "plan", "apply", "drift", "check", "status", "history", "rollback",
    ] {
        assert_eq!(offered(dir, &[command, "--on", "10"]), nodes, "{command}");
    }
    let all = offered(dir, &["plan", "--on", ""]);
    assert!(all.starts_with(&nodes.map(str::to_owned)), "{all:?}");
    assert!(all.contains(&"@idc=sz".to_owned()) && all.contains(&"tarsconfig".to_owned()));
    assert_eq!(offered(dir, &["plan", "--on", "@"]), ["@idc=sz"]);
    assert_eq!(
        offered(dir, &["plan", "--on", "10.0.1.8,!tarsq"]),
        ["10.0.1.8,!tarsquerystat", "10.0.1.8,!tarsqueryproperty"]
    );
    for command in ["add", "rm"] {
        let words = ["package", command, "--component", "tarsn"];
        assert_eq!(offered(dir, &words), ["tarsnode", "tarsnotify"]);
    }
    // The spec that the line names is the one that counts.
    let other = offered(dir, &["-f", "other.yaml", "plan", "--on", "10.9"]);
    assert_eq!(other, ["10.9.9.9"]);
}

#[test]
fn runs_are_offered_and_the_newest_first() {
    let dir = folder();
    let dir = dir.path();
    let journals = dir.join("state/tarsops/prod");
    std::fs::create_dir_all(&journals).unwrap();
    let runs = ["1700000000001-000001", "1700000000002-00000a"];
    for name in [runs[0], runs[1], "not a run"] {
        std::fs::write(journals.join(format!("{name}.jsonl")), "").unwrap();
    }
    for command in ["history", "rollback"] {
        assert_eq!(
            offered(dir, &[command, "17"]),
            [runs[1], runs[0]],
            "{command}"
        );
    }
}

#[test]
fn what_help_hides_is_not_offered() {
    let dir = folder();
    let all = offered(dir.path(), &[""]);
    assert!(all.contains(&"rollback".to_owned()), "{all:?}");
    for typed in ["", "s", "stand", "standin-serve"] {
        let found = offered(dir.path(), &[typed]);
        assert!(
            !found.iter().any(|w| w.contains("standin")),
            "{typed}: {found:?}"
        );
    }
}

/// No spec, or a wrong one, is no reason to write into the line of whoever types.
#[test]
fn a_spec_that_cannot_be_read_offers_components_only() {
    let dir = tempfile::tempdir().unwrap();
    for text in [None, Some("nodes: ["), Some("\0\0")] {
        if let Some(text) = text {
            std::fs::write(dir.path().join("cluster.yaml"), text).unwrap();
        }
        let found = offered(dir.path(), &["plan", "--on", "tarsl"]);
        assert_eq!(found, ["tarslog"], "{text:?}");
        assert!(
            offered(dir.path(), &["history", ""])
                .iter()
                .all(|w| w.starts_with('-'))
        );
    }
}
