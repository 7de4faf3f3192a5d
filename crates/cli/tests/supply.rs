//! What tarsops is made of: licences, sources, duplicates, and what runs while it is built, compared with
//! `.ci/deny.toml` and `docs/dependencies.md`. Needs no network, only the crates that are built anyway.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?} failed, so nothing is known of the crates: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// All crates that are built for this machine, those of tests included.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = run(Command::new(rustc).arg("-vV"));
    let host = version
        .lines()
        .find_map(|l| l.strip_prefix("host: "))
        .unwrap();
    let metadata = run(Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", host])
        .current_dir(root()));
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    assert!(packages(&metadata).len() > 300, "where are they all?");
    metadata
});

fn packages(metadata: &Value) -> &Vec<Value> {
    metadata["packages"].as_array().unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// Texts of a list in `.ci/deny.toml` whose entries have a line each.
fn listed(key: &str) -> Vec<String> {
    let toml = read(".ci/deny.toml");
    let begin = format!("{key} = [");
    let lines = toml.lines().skip_while(|l| *l != begin).skip(1);
    let list: Vec<String> = lines
        .take_while(|l| *l != "]")
        .map(|l| l.split('"').nth(1).unwrap().to_owned())
        .collect();
    assert!(!list.is_empty(), "{key}");
    list
}

/// Whether an expression of licences can be met by those that are allowed. `/` is an old word for OR.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    fn one(
        words: &mut std::iter::Peekable<std::vec::IntoIter<String>>,
        all: &BTreeSet<String>,
    ) -> bool {
        match words.next().as_deref() {
            Some("(") => {
                let inner = any(words, all);
                assert_eq!(words.next().as_deref(), Some(")"));
                inner
            }
            Some(name) => {
                let mut name = name.to_owned();
                if words.next_if_eq("WITH").is_some() {
                    name = format!("{name} WITH {}", words.next().unwrap());
                }
                all.contains(&name)
            }
            None => false,
        }
    }
    fn every(
        words: &mut std::iter::Peekable<std::vec::IntoIter<String>>,
        all: &BTreeSet<String>,
    ) -> bool {
        let mut met = one(words, all);
        while words.next_if_eq("AND").is_some() {
            met &= one(words, all);
        }
        met
    }
    fn any(
        words: &mut std::iter::Peekable<std::vec::IntoIter<String>>,
        all: &BTreeSet<String>,
    ) -> bool {
        let mut met = every(words, all);
        while words.next_if_eq("OR").is_some() {
            met |= every(words, all);
        }
        met
    }
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut words = words.into_iter().peekable();
    any(&mut words, allowed) && words.next().is_none()
}

#[test]
fn expressions_of_licences_are_read() {
    let allowed: BTreeSet<String> = ["A", "B", "C WITH X"].map(str::to_owned).into();
    for (expression, met) in [
        ("A", true),
        ("Z", false),
        ("", false),
        ("Z OR A", true),
        ("Z/A", true),
        ("A AND Z", false),
        ("A AND B", true),
        ("(Z OR A) AND B", true),
        ("(Z OR A) AND Z", false),
        ("Z OR A AND B", true),
        ("C", false),
        ("C WITH X", true),
        ("C WITH Y OR Z", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), met, "{expression}");
    }
}

#[test]
fn licences_are_allowed() {
    let allowed: BTreeSet<String> = listed("allow").into_iter().collect();
    let refused: Vec<String> = packages(&METADATA)
        .iter()
        .filter(|p| !is_allowed(text(p, "license"), &allowed))
        .map(|p| {
            format!(
                "{} {}: {}",
                text(p, "name"),
                text(p, "version"),
                p["license"]
            )
        })
        .collect();
    assert_eq!(refused, Vec::<String>::new());
}

#[test]
fn sources_are_crates_io_and_the_workspace() {
    // Of all platforms, not only of this one.
    let lock = read("Cargo.lock");
    let others: Vec<&str> = lock
        .lines()
        .filter(|l| l.starts_with("source = ") && *l != format!("source = \"{CRATES_IO}\""))
        .collect();
    assert_eq!(others, Vec::<&str>::new());
    // A crate without a source is a folder on this machine.
    let members: BTreeSet<&str> = METADATA["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for package in packages(&METADATA) {
        let from_here = package["source"].is_null() && members.contains(text(package, "id"));
        // What a registry's mirror serves counts as from the registry that it stands for.
        assert!(
            from_here || text(package, "source") == CRATES_IO,
            "{} comes from {}",
            text(package, "name"),
            package["source"]
        );
        if !from_here {
            let entry = format!(
                "name = \"{}\"\nversion = \"{}\"\nsource = \"{CRATES_IO}\"\nchecksum = \"",
                text(package, "name"),
                text(package, "version")
            );
            assert!(lock.contains(&entry), "no checksum: {entry}");
        }
    }
}

/// Ids of the crates that the program and what builds it are made of, without those of tests.
fn of_the_program() -> BTreeSet<String> {
    let nodes: BTreeMap<&str, &Value> = METADATA["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| (text(n, "id"), n))
        .collect();
    let mut todo: Vec<&str> = METADATA["workspace_members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = todo.pop() {
        if !seen.insert(id.to_owned()) {
            continue;
        }
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|k| k["kind"] != "dev") {
                todo.push(text(dependency, "pkg"));
            }
        }
    }
    seen
}

#[test]
fn duplicates_are_those_that_are_listed() {
    let program = of_the_program();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&METADATA) {
        if program.contains(text(package, "id")) {
            let name = versions.entry(text(package, "name")).or_default();
            name.insert(text(package, "version"));
        }
    }
    versions.retain(|_, all| all.len() > 1);
    let skipped = listed("skip");
    let is_listed = |name: &str, version: &str| {
        skipped.iter().any(|entry| {
            let (n, v) = entry.split_once('@').unwrap();
            n == name && (v == version || version.starts_with(&format!("{v}.")))
        })
    };
    for (name, all) in &versions {
        let unlisted: Vec<&&str> = all.iter().filter(|v| !is_listed(name, v)).collect();
        assert!(
            unlisted.len() == 1,
            "{name} is there as {all:?}: list all but one in .ci/deny.toml, with who needs them"
        );
    }
    for entry in &skipped {
        let (name, version) = entry.split_once('@').unwrap();
        let there = versions.get(name).is_some_and(|all| {
            all.iter()
                .any(|v| *v == version || v.starts_with(&format!("{version}.")))
        });
        assert!(
            there,
            "{entry} is no duplicate any more: take it out of .ci/deny.toml"
        );
    }
}

#[test]
fn what_runs_while_it_is_built_is_listed() {
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages(&METADATA) {
        for target in package["targets"].as_array().unwrap() {
            for kind in target["kind"].as_array().unwrap() {
                let word = match kind.as_str().unwrap() {
                    "custom-build" => "build script",
                    "proc-macro" => "macro",
                    _ => continue,
                };
                found.entry(text(package, "name")).or_default().insert(word);
            }
        }
    }
    let found: BTreeMap<String, String> = found
        .into_iter()
        .map(|(name, kinds)| {
            let kinds: Vec<&str> = kinds.into_iter().collect();
            (name.to_owned(), kinds.join(" and "))
        })
        .collect();
    let page = read("docs/dependencies.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.strip_suffix(" |"))
        .map(|l| l.split(" | ").collect())
        .collect();
    for row in &rows {
        assert!(row.len() == 3 && row[2].len() > 3, "no reason: {row:?}");
    }
    let listed: BTreeMap<String, String> = rows
        .iter()
        .map(|row| (row[0].trim_end_matches('`').to_owned(), row[1].to_owned()))
        .collect();
    assert_eq!(listed.len(), rows.len(), "a crate stands there twice");
    assert_eq!(
        found, listed,
        "docs/dependencies.md differs from the crates"
    );
}

#[test]
fn no_crate_of_ours_runs_while_it_is_built() {
    for package in packages(&METADATA) {
        let ours = text(package, "name").starts_with("tarsops-");
        let folder = Path::new(text(package, "manifest_path")).parent().unwrap();
        assert!(
            !ours || !folder.join("build.rs").exists(),
            "{}",
            folder.display()
        );
    }
}
