//! Where this program meets its surroundings, looked up in its sources.
#![allow(clippy::unwrap_used, reason = "tests")]

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
