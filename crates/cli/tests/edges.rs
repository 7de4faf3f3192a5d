//! Where this program meets its surroundings, looked up in its sources.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/circles.rs"]
mod circles;

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Sources of all crates but the stand-ins and the test hosts, whose processes are not this program, with their paths below
/// `crates/`.
fn program() -> Vec<(String, String)> {
    let crates = root().join("crates");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&crates).unwrap() {
        let entry = entry.unwrap();
        if !["standin", "testkit"]
            .iter()
            .any(|other| entry.file_name() == *other)
        {
            sources(&entry.path().join("src"), &mut all);
        }
    }
    all.into_iter()
        .map(|path| {
            let name = path.strip_prefix(&crates).unwrap();
            (
                name.display().to_string(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

#[test]
fn one_module_writes_to_the_terminal() {
    let ways = [
        "io::stdout",
        "io::stderr",
        "println!",
        "print!(",
        "dbg!",
        "/dev/tty",
        "/dev/std",
        "Stdio::inherit",
        "set_hook",
        ".print()",
    ];
    let mut found = Vec::new();
    let excused = |name: &str, way: &str| {
        name == "cli/src/output.rs"
            // The operator's own program may ask for what it needs to hand out a secret.
            || (name == "cli/src/session/secrets.rs" && way == "Stdio::inherit")
            // It only keeps quiet what is caught there, and hands everything else on.
            || (name == "transport/src/mysql/guard.rs" && way == "set_hook")
    };
    for (name, text) in program() {
        found.extend(
            ways.iter()
                .filter(|way| text.contains(**way) && !excused(&name, way))
                .map(|way| format!("{name}: {way}")),
        );
        // Bars write by themselves; what they are given is made harmless there.
        if text.contains("indicatif") && name != "cli/src/progress.rs" {
            found.push(format!("{name}: indicatif"));
        }
    }
    assert_eq!(
        found,
        Vec::<String>::new(),
        "all output goes through cli/src/output.rs"
    );
}

#[test]
fn no_crate_leaves_memory_to_chance() {
    let mut crates = 0;
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        let manifest = std::fs::read_to_string(&manifest).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "a crate takes the lints of the workspace: {manifest}"
        );
        crates += 1;
    }
    assert!(crates > 11);
    let mut all = Vec::new();
    sources(&root().join("crates"), &mut all);
    for path in all {
        let text = std::fs::read_to_string(&path).unwrap();
        // Put together, so that this line does not find itself.
        let word = ["unsafe", "_code"].concat();
        assert!(!text.contains(&word), "{} speaks of it", path.display());
    }
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains(&["unsafe", "_code = \"deny\""].concat()));
}

/// A module that imports another one and is imported by it cannot be read, tested or moved alone.
#[test]
fn no_modules_import_each_other_in_a_circle() {
    for name in ["cli", "framework"] {
        let found = circles::of(&root().join("crates").join(name).join("src"));
        let none: Vec<Vec<String>> = vec![];
        assert_eq!(found, none, "crates/{name}");
    }
}

#[test]
fn a_circle_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::X;\n");
    write("a.rs", "use std::io;\nuse crate::{c, b::{self, Y}};\n");
    write(
        "b/mod.rs",
        "mod deep;\n#[cfg(test)]\nmod tests { use crate::a; }\n",
    );
    write("b/deep.rs", "// use crate::a;\nfn f() {}\n");
    write("c.rs", "use super::b::deep;\n");
    let none: Vec<Vec<String>> = Vec::new();
    assert_eq!(circles::of(dir.path()), none);
    write("b/deep.rs", "fn f() { crate::a::x() }\n");
    assert_eq!(circles::of(dir.path()), [["a", "b::deep", "c"]]);
    write("c.rs", "use super::X;\n");
    assert_eq!(circles::of(dir.path()), [["crate", "a", "c"]]);
}
