//! Import circles inside one crate, read from its `use` lines and paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A module, by its path from the root of the crate.
type Module = Vec<String>;

/// Groups of modules in which each module reaches every other by imports. The path of a module is written
/// as in Rust, the root as `crate`.
pub(crate) fn of(sources: &Path) -> Vec<Vec<String>> {
    let mut files = Vec::new();
    super::sources(sources, &mut files);
    let texts: BTreeMap<Module, String> = files
        .iter()
        .filter(|file| !file.strip_prefix(sources).unwrap().starts_with("bin"))
        .map(|file| {
            let text = std::fs::read_to_string(file).unwrap();
            (module(file.strip_prefix(sources).unwrap()), text)
        })
        .collect();
    let edges: BTreeMap<&Module, BTreeSet<&Module>> = texts
        .iter()
        .map(|(own, text)| {
            let paths = paths(text);
            let known = paths.iter().filter_map(|path| found(&texts, own, path));
            (own, known.filter(|other| *other != own).collect())
        })
        .collect();
    let reached: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|own| (*own, reach(&edges, own))).collect();
    let mut circles = BTreeSet::new();
    for (own, far) in &reached {
        if far.contains(own) {
            let circle = far.iter().filter(|other| reached[*other].contains(own));
            circles.insert(circle.map(|m| name(m)).collect::<Vec<_>>());
        }
    }
    circles.into_iter().collect()
}

fn name(module: &Module) -> String {
    match module.as_slice() {
        [] => "crate".to_owned(),
        parts => parts.join("::"),
    }
}

/// `cmd/apply.rs` and `cmd/apply/mod.rs` are `cmd::apply`.
fn module(file: &Path) -> Module {
    let file = file.with_extension("");
    let mut parts: Module = file
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    let is_root = parts.len() == 1 && ["lib", "main"].contains(&parts[0].as_str());
    if is_root || parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

fn reach<'a>(
    edges: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    from: &Module,
) -> BTreeSet<&'a Module> {
    let mut seen = BTreeSet::new();
    let mut todo: Vec<&Module> = edges[from].iter().copied().collect();
    while let Some(next) = todo.pop() {
        if seen.insert(next) {
            todo.extend(&edges[next]);
        }
    }
    seen
}

/// The paths that the code of a module names: those of `use`, and those that begin at the crate. Its unit
/// tests, which come last, may import what they test.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .lines()
        .map(|line| line.split("//").next().unwrap().to_owned() + "\n")
        .collect();
    let mut all = Vec::new();
    for tree in code.split("use ").skip(1) {
        leaves(tree.split(';').next().unwrap(), &[], &mut all);
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in code.split(|c| !is_part(c)) {
        // The beginning of a use tree ends with `::`.
        let word = word.trim_end_matches(':');
        let parts: Vec<String> = word.split("::").map(str::to_owned).collect();
        if parts.len() > 1 && ["crate", "super", "self"].contains(&parts[0].as_str()) {
            all.push(parts);
        }
    }
    all
}

/// The paths of a use tree, `a::{b, c::{d}}`.
fn leaves(tree: &str, before: &[String], all: &mut Vec<Vec<String>>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        let own = path.split("::").map(|part| part.trim().to_owned());
        all.push(before.iter().cloned().chain(own).collect());
        return;
    };
    let own = head.split("::").map(str::trim).filter(|p| !p.is_empty());
    let before: Vec<String> = before
        .iter()
        .cloned()
        .chain(own.map(str::to_owned))
        .collect();
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut depth, mut from) = (0, 0);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !group[from..at].trim().is_empty() {
                    leaves(&group[from..at], &before, all);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}

/// The deepest module that a path leads to; none for one of another crate, and none where a parent is
/// named for its own sake.
fn found<'a>(
    texts: &'a BTreeMap<Module, String>,
    own: &Module,
    path: &[String],
) -> Option<&'a Module> {
    let mut rest = path;
    let mut at: Module = match path[0].as_str() {
        "crate" => {
            rest = &rest[1..];
            Vec::new()
        }
        "self" | "super" => own.clone(),
        first => {
            let child = [own.as_slice(), &[first.to_owned()]].concat();
            if !texts.contains_key(&child) {
                return None;
            }
            own.clone()
        }
    };
    while let Some((first, more)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => {
                at.pop();
            }
            _ => break,
        }
        rest = more;
    }
    while let Some((first, more)) = rest.split_first() {
        let child = [at.as_slice(), std::slice::from_ref(first)].concat();
        if !texts.contains_key(&child) {
            break;
        }
        (at, rest) = (child, more);
    }
    texts.get_key_value(&at).map(|(module, _)| module)
}
