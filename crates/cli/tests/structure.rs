//! What the compiler does not check of our sources: modules that import each other in a circle,
//! decisions that depend on the words of a message, and code that asks which action a step is. Lists of
//! what is left are in `.ci`; they only shrink.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The crates that are checked. One that does not exist yet has no sources.
const CRATES: [&str; 4] = ["plan", "apply", "cli", "framework"];
const CIRCLES: &str = ".ci/circles.txt";
const PROSE: &str = ".ci/prose.txt";
const ACTIONS: &str = ".ci/actions.txt";
/// Where an action may be named: one file for each, in both crates.
const HOMES: [&str; 2] = ["crates/plan/src/actions/", "crates/apply/src/actions/"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A source file without comments.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An identifier, keyword or number.
    Word(String),
    /// The content of a string literal.
    Text(String),
    /// `::`.
    Colons,
    /// Any other character that is no white space.
    Mark(char),
}

use Token::{Colons, Mark, Text, Word};

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Skips a block comment, which may hold others; `at` is behind its first `/*`.
fn block_comment(text: &[char], mut at: usize) -> usize {
    let mut depth = 1;
    while depth > 0 && at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// Reads a string literal whose quote is at `at`; a raw one ends with `hashes` times `#`.
fn literal(text: &[char], at: usize, hashes: Option<usize>) -> (String, usize) {
    let mut out = String::new();
    let mut at = at + 1;
    while at < text.len() {
        let c = text[at];
        if c == '"' {
            let end = at + 1 + hashes.unwrap_or(0);
            if (text.get(at + 1..end)).is_some_and(|rest| rest.iter().all(|c| *c == '#')) {
                return (out, end);
            }
        }
        if c == '\\' && hashes.is_none() {
            out.extend(text.get(at..at + 2).into_iter().flatten());
            at += 2;
        } else {
            out.push(c);
            at += 1;
        }
    }
    (out, at)
}

/// Where a character literal that begins at `at` ends; `None` for a lifetime.
fn character(text: &[char], at: usize) -> Option<usize> {
    if text.get(at + 1) == Some(&'\\') {
        let rest = text.get(at + 3..)?;
        return Some(at + 4 + rest.iter().position(|c| *c == '\'')?);
    }
    (text.get(at + 2) == Some(&'\'')).then_some(at + 3)
}

fn tokens(text: &str) -> Vec<Token> {
    let text: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at..] {
            ['/', '/', ..] => at += text[at..].iter().take_while(|c| **c != '\n').count(),
            ['/', '*', ..] => at = block_comment(&text, at + 2),
            ['"', ..] => {
                let (words, end) = literal(&text, at, None);
                out.push(Text(words));
                at = end;
            }
            ['\'', ..] => at = character(&text, at).unwrap_or(at + 1),
            [':', ':', ..] => {
                out.push(Colons);
                at += 2;
            }
            [c, ..] if is_word(c) => {
                let end = at + text[at..].iter().take_while(|c| is_word(**c)).count();
                let word: String = text[at..end].iter().collect();
                let hashes = text[end..].iter().take_while(|c| **c == '#').count();
                let quoted = text.get(end + hashes) == Some(&'"');
                if matches!(word.as_str(), "r" | "br" | "cr") && quoted {
                    let (words, after) = literal(&text, end + hashes, Some(hashes));
                    out.push(Text(words));
                    at = after;
                } else {
                    out.push(Word(word));
                    at = end;
                }
            }
            [c, ..] => {
                if !c.is_whitespace() {
                    out.push(Mark(c));
                }
                at += 1;
            }
            [] => break,
        }
    }
    out
}

/// Where the bracket at `at` is closed, or the end.
fn closed(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token {
            Mark('(' | '[' | '{') => depth += 1,
            Mark(')' | ']' | '}') => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return index;
        }
    }
    tokens.len()
}

/// Where the item at `at` ends: at a `;` or a `}` outside other brackets.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at] {
            Mark(';') => return at,
            Mark('{') => return closed(tokens, at),
            Mark('(' | '[') => at = closed(tokens, at),
            _ => {}
        }
        at += 1;
    }
    at
}

/// The tokens without what is only built for tests, and the modules among that which have a file.
fn without_tests(tokens: &[Token]) -> (Vec<Token>, BTreeSet<String>) {
    let (mut kept, mut modules) = (Vec::new(), BTreeSet::new());
    let mut at = 0;
    while at < tokens.len() {
        if !matches!(tokens[at..], [Mark('#'), Mark('['), ..]) {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let end = closed(tokens, at + 1);
        let words: Vec<&str> = tokens[at..end].iter().filter_map(word).collect();
        if words.first() != Some(&"cfg") || !words.contains(&"test") || words.contains(&"not") {
            kept.extend(tokens[at..=end.min(tokens.len() - 1)].iter().cloned());
            at = end + 1;
            continue;
        }
        at = end + 1;
        while matches!(tokens.get(at..), Some([Mark('#'), Mark('['), ..])) {
            at = closed(tokens, at + 1) + 1;
        }
        let end = item_end(tokens, at);
        let item = &tokens[at..end.min(tokens.len())];
        if let Some(name) = declared(item)
            && tokens.get(end) == Some(&Mark(';'))
        {
            modules.insert(name.to_owned());
        }
        // A `use` ends behind its braces.
        at = end + 1;
        if item.iter().any(|t| *t == Word("use".into())) && tokens.get(at) == Some(&Mark(';')) {
            at += 1;
        }
    }
    (kept, modules)
}

fn word(token: &Token) -> Option<&str> {
    match token {
        Word(word) => Some(word),
        _ => None,
    }
}

/// The name in `mod NAME`.
fn declared(tokens: &[Token]) -> Option<&str> {
    let at = tokens.iter().position(|t| *t == Word("mod".into()))?;
    word(tokens.get(at + 1)?)
}

/// All paths of a `use` tree that begins at `at`, below `stem`; where it ends.
fn tree(
    tokens: &[Token],
    mut at: usize,
    stem: &[String],
    out: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let mut path = stem.to_vec();
    loop {
        match tokens.get(at) {
            Some(Word(name)) if name == "as" => {
                let alias = tokens.get(at + 1).and_then(word).unwrap_or("_").to_owned();
                out.push((path, alias));
                return at + 2;
            }
            Some(Word(name)) => path.push(name.clone()),
            Some(Mark('*')) => path.push("*".to_owned()),
            Some(Mark('{')) => {
                let end = closed(tokens, at);
                at += 1;
                while at < end {
                    at = tree(tokens, at, &path, out);
                    if tokens.get(at) == Some(&Mark(',')) {
                        at += 1;
                    }
                }
                return end + 1;
            }
            Some(Colons) => {}
            _ => {
                let mut name = path.last().cloned().unwrap_or_default();
                if name == "self" {
                    path.pop();
                    name = path.last().cloned().unwrap_or_default();
                }
                out.push((path, name));
                return at;
            }
        }
        at += 1;
    }
}

/// A source file and what it names.
#[derive(Debug, Default)]
struct Module {
    /// Paths that it imports or names, each from the root of the crate.
    paths: BTreeSet<Vec<String>>,
    /// What it exports under another path: name and origin; `*` for everything of the origin.
    exports: Vec<(String, Vec<String>)>,
}

type Modules = BTreeMap<Vec<String>, Module>;

/// Reads one file. `name` is its path from the root of the crate.
fn read(text: &str, name: &[String]) -> (Module, BTreeSet<String>) {
    let (tokens, tests) = without_tests(&tokens(text));
    let children: BTreeSet<&str> = (0..tokens.len())
        .filter(|at| tokens[*at] == Word("mod".into()))
        .filter_map(|at| word(tokens.get(at + 1)?))
        .collect();
    let absolute = |path: &[String]| -> Option<Vec<String>> {
        let up = path.iter().take_while(|w| *w == "super").count();
        let (stem, rest) = match path.first()?.as_str() {
            "crate" => (&[][..], &path[1..]),
            "self" => (name, &path[1..]),
            "super" => (&name[..name.len().checked_sub(up)?], &path[up..]),
            first if children.contains(first) => (name, path),
            _ => return None,
        };
        Some([stem, rest].concat())
    };
    let mut module = Module::default();
    let mut at = 0;
    while at < tokens.len() {
        let before = at.checked_sub(1).map(|b| &tokens[b]);
        if tokens[at] == Word("use".into()) {
            let mut all = Vec::new();
            let end = tree(&tokens, at + 1, &[], &mut all);
            let is_exported =
                matches!(before, Some(Mark(')'))) || before == Some(&Word("pub".into()));
            for (path, name) in all {
                if let Some(path) = absolute(&path) {
                    if is_exported {
                        module.exports.push((name, path.clone()));
                    }
                    module.paths.insert(path);
                }
            }
            at = end;
        } else if let Word(first) = &tokens[at]
            && tokens.get(at + 1) == Some(&Colons)
            && before != Some(&Colons)
        {
            let mut path = vec![first.clone()];
            at += 1;
            while let (Some(Colons), Some(Word(next))) = (tokens.get(at), tokens.get(at + 1)) {
                path.push(next.clone());
                at += 2;
            }
            module.paths.extend(absolute(&path));
        } else {
            at += 1;
        }
    }
    (module, tests)
}

/// All modules of a crate that have a file, without those of tests.
fn modules(src: &Path) -> (Modules, BTreeMap<Vec<String>, PathBuf>) {
    let (mut out, mut files, mut tests) = (Modules::new(), BTreeMap::new(), Vec::new());
    for path in sources(src) {
        let relative = path.strip_prefix(src).unwrap().with_extension("");
        let mut name: Vec<String> = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if ["mod", "lib", "main"].contains(&name.last().unwrap().as_str()) {
            name.pop();
        }
        let (module, only_tests) = read(&std::fs::read_to_string(&path).unwrap(), &name);
        tests.extend(
            only_tests
                .into_iter()
                .map(|test| [&name[..], &[test]].concat()),
        );
        out.insert(name.clone(), module);
        files.insert(name, path);
    }
    out.retain(|name, _| !tests.iter().any(|test| name.starts_with(test)));
    (out, files)
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// The module whose file has what `path` names. A name that a module only exports from elsewhere
/// belongs to where it comes from.
fn owner(modules: &Modules, path: &[String], depth: usize) -> Option<Vec<String>> {
    let length = (0..=path.len())
        .rev()
        .find(|n| modules.contains_key(&path[..*n]))?;
    let (module, rest) = path.split_at(length);
    if let Some(name) = rest.first()
        && depth < 8
    {
        let exports = &modules[module].exports;
        let named = exports.iter().find(|(n, _)| n == name);
        if let Some((_, origin)) = named {
            let path = [&origin[..], &rest[1..]].concat();
            return owner(modules, &path, depth + 1);
        }
    }
    Some(module.to_vec())
}

/// Which module imports which.
fn edges(modules: &Modules) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    modules
        .iter()
        .map(|(name, module)| {
            let mut to: BTreeSet<Vec<String>> = module
                .paths
                .iter()
                .filter_map(|path| owner(modules, path, 0))
                .collect();
            to.remove(name);
            (name.clone(), to)
        })
        .collect()
}

/// Sets of modules each of which reaches each other one.
fn circles(edges: &BTreeMap<Vec<String>, BTreeSet<Vec<String>>>) -> Vec<BTreeSet<Vec<String>>> {
    let reached: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = edges
        .keys()
        .map(|from| {
            let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
            while let Some(name) = todo.pop() {
                todo.extend(edges[name].iter().filter(|to| seen.insert(*to)));
            }
            (from, seen)
        })
        .collect();
    let mut out: Vec<BTreeSet<Vec<String>>> = Vec::new();
    for (name, to) in &reached {
        if to.contains(name) && !out.iter().any(|circle| circle.contains(*name)) {
            let circle = to.iter().filter(|other| reached[*other].contains(name));
            out.push(circle.map(|other| (*other).clone()).collect());
        }
    }
    out
}

/// A list in `.ci`: its lines without comments.
fn listed(path: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let lines = text.lines().map(str::trim);
    lines
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Takes lines that hold no longer out of a list, if asked to.
fn shorten(path: &str, stale: &BTreeSet<String>) {
    if std::env::var_os("UPDATE_LISTS").is_none() || stale.is_empty() {
        return;
    }
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let kept: String = text
        .lines()
        .filter(|line| !stale.contains(line.trim()))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(root().join(path), kept).unwrap();
    panic!("{path} is shorter now: run the test again");
}

#[test]
fn no_further_circle_of_imports() {
    let (mut found, mut pictures) = (BTreeSet::new(), String::new());
    for name in CRATES {
        let src = root().join("crates").join(name).join("src");
        let (modules, files) = modules(&src);
        let edges = edges(&modules);
        let file = |module: &Vec<String>| {
            let path = files[module].strip_prefix(&src).unwrap();
            format!("crates/{name}/src/{}", path.display())
        };
        for circle in circles(&edges) {
            for from in &circle {
                found.insert(file(from));
                for to in edges[from].intersection(&circle) {
                    pictures.push_str(&format!("  {} -> {}\n", file(from), file(to)));
                }
            }
        }
    }
    let known: BTreeSet<String> = listed(CIRCLES).into_iter().collect();
    let new: Vec<&String> = found.difference(&known).collect();
    let stale: BTreeSet<String> = known.difference(&found).cloned().collect();
    assert!(
        new.is_empty(),
        "these files came into a circle of imports; move what both sides need to a module below \
         them: {new:#?}\nall imports within circles:\n{pictures}"
    );
    shorten(CIRCLES, &stale);
    assert!(
        stale.is_empty(),
        "these files are in no circle any more; take them out of {CIRCLES} (UPDATE_LISTS=1 does): {stale:#?}"
    );
}

/// Comparisons of a text with a literal that has letters: `FILE METHOD("LITERAL")`.
fn comparisons() -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for name in CRATES {
        let src = root().join("crates").join(name).join("src");
        let (modules, files) = modules(&src);
        for module in modules.keys() {
            let path = &files[module];
            let (tokens, _) = without_tests(&tokens(&std::fs::read_to_string(path).unwrap()));
            for window in tokens.windows(4) {
                if let [Mark('.'), Word(method), Mark('('), Text(text)] = window
                    && ["contains", "starts_with", "ends_with"].contains(&method.as_str())
                    && text.chars().any(char::is_alphabetic)
                {
                    let file = path.strip_prefix(&src).unwrap().display();
                    out.insert(format!("crates/{name}/src/{file} {method}(\"{text}\")"));
                }
            }
        }
    }
    out
}

/// A list in `.ci` of which each line ends with its reason: the whole line by what it is about.
fn reasons(path: &str) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for line in listed(path) {
        let (what, why) = line
            .split_once(" # ")
            .unwrap_or_else(|| panic!("no reason: {line}"));
        assert!(why.trim().len() > 10, "no reason: {line}");
        let again = known.insert(what.trim().to_owned(), line.clone());
        assert!(again.is_none(), "twice in {path}: {what}");
    }
    known
}

#[test]
fn no_further_decision_over_words() {
    let found = comparisons();
    let known = reasons(PROSE);
    let new: Vec<&String> = found.iter().filter(|f| !known.contains_key(*f)).collect();
    assert!(
        new.is_empty(),
        "no decision may depend on the words of a message: match a typed value. What other programs \
         print, and paths, stand in {PROSE}, each with its reason: {new:#?}"
    );
    let stale: BTreeSet<String> = known
        .into_iter()
        .filter(|(what, _)| !found.contains(what))
        .map(|(_, line)| line)
        .collect();
    shorten(PROSE, &stale);
    assert!(
        stale.is_empty(),
        "nothing compares these any more; take them out of {PROSE} (UPDATE_LISTS=1 does): {stale:#?}"
    );
}

/// The variants of `Action`, from the invocation of the macro that makes it.
fn variants() -> BTreeSet<String> {
    let path = root().join(HOMES[0]).join("mod.rs");
    let tokens = tokens(&std::fs::read_to_string(path).unwrap());
    let start = [Word("actions".into()), Mark('!'), Mark('{')];
    let at = tokens.windows(3).position(|w| *w == start).unwrap() + 2;
    let (mut out, mut at, end) = (BTreeSet::new(), at + 1, closed(&tokens, at));
    while at < end {
        match (&tokens[at], tokens.get(at + 1)) {
            (Word(variant), Some(Mark('('))) => {
                out.insert(variant.clone());
                at = closed(&tokens, at + 1);
            }
            _ => at += 1,
        }
    }
    out
}

/// Whether the tokens name an action: a variant of the enum, or the data of one kind.
fn names_action(window: &[Token], variants: &BTreeSet<String>) -> Option<String> {
    let name = match window {
        [Word(name), Colons, Word(variant), ..] if name == "Action" => variant,
        [Word(get), Colons, Mark('<'), Word(kind)]
            if ["get", "get_mut"].contains(&get.as_str()) && kind == "HostChange" =>
        {
            return Some(kind.clone());
        }
        [Word(get), Colons, Mark('<'), Word(kind)]
            if ["get", "get_mut"].contains(&get.as_str()) =>
        {
            kind
        }
        [Word(name), Colons, Mark('{' | '*'), ..] if name == "Action" => {
            return Some("Action".to_owned());
        }
        _ => return None,
    };
    variants.contains(name).then(|| name.clone())
}

/// Actions that are named outside of their homes: `FILE NAME`.
fn named_actions() -> BTreeSet<String> {
    let (variants, mut out) = (variants(), BTreeSet::new());
    for name in CRATES {
        let src = root().join("crates").join(name).join("src");
        let (_, files) = modules(&src);
        for path in files.values() {
            let file = path.strip_prefix(&src).unwrap().display();
            let file = format!("crates/{name}/src/{file}");
            if HOMES.iter().any(|home| file.starts_with(home)) {
                continue;
            }
            let (tokens, _) = without_tests(&tokens(&std::fs::read_to_string(path).unwrap()));
            let found = tokens
                .windows(4)
                .filter_map(|window| names_action(window, &variants));
            out.extend(found.map(|action| format!("{file} {action}")));
        }
    }
    out
}

#[test]
fn no_further_code_asks_which_action_it_is() {
    let found = named_actions();
    let known = reasons(ACTIONS);
    let new: Vec<&String> = found.iter().filter(|f| !known.contains_key(*f)).collect();
    assert!(
        new.is_empty(),
        "an action is named outside of {HOMES:?}. Ask the action (`ActionKind`), and let it say there \
         what it is: {new:#?}"
    );
    let stale: BTreeSet<String> = known
        .into_iter()
        .filter(|(what, _)| !found.contains(what))
        .map(|(_, line)| line)
        .collect();
    shorten(ACTIONS, &stale);
    assert!(
        stale.is_empty(),
        "these are named no longer; take them out of {ACTIONS} (UPDATE_LISTS=1 does): {stale:#?}"
    );
}

#[test]
fn named_actions_are_found() {
    let variants = variants();
    assert!(
        variants.contains("StopServer") && !variants.contains("Box"),
        "{variants:?}"
    );
    let found = |text: &str| -> Vec<String> {
        let tokens = tokens(text);
        let each = tokens.windows(4).filter_map(|w| names_action(w, &variants));
        each.collect()
    };
    assert_eq!(found("matches!(a, Action::Backup(_))"), ["Backup"]);
    assert_eq!(
        found("use crate::actions::Action::{Backup, Recover};"),
        ["Action"]
    );
    assert_eq!(found("let r = a.get_mut::<Recover>();"), ["Recover"]);
    assert_eq!(found("let r = a.get::<HostChange>()?;"), ["HostChange"]);
    let none: [&str; 0] = [];
    assert_eq!(
        found("// Action::Backup\nAction::from(it); map.get::<String>(x);"),
        none
    );
}

/// A crate of these files, in memory.
fn graph(files: &[(&str, &str)]) -> Vec<String> {
    let mut modules = Modules::new();
    for (name, text) in files {
        let name: Vec<String> = name
            .split('/')
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .collect();
        let (module, _) = read(text, &name);
        modules.insert(name, module);
    }
    let found = circles(&edges(&modules));
    found
        .iter()
        .map(|circle| {
            let names: Vec<String> = circle.iter().map(|m| m.join("/")).collect();
            names.join(" ")
        })
        .collect()
}

#[test]
fn circles_are_found() {
    let none: &[&str] = &[];
    assert_eq!(
        graph(&[("a", "use crate::b::B;"), ("b", "use crate::a::{self, A};")]),
        ["a b"]
    );
    assert_eq!(
        graph(&[
            ("a", "use crate::b::B;"),
            ("b", "// use crate::a\nconst S: &str = \"crate::a\";")
        ]),
        none
    );
    assert_eq!(
        graph(&[
            ("a", "use crate::b;"),
            ("b", "fn f() { let c = '\"'; crate::a::g(); }")
        ]),
        ["a b"]
    );
    assert_eq!(
        graph(&[
            ("a", "use crate::{b::{B, C as D}, c};"),
            ("b", ""),
            ("c", "use super::a::A;")
        ]),
        ["a c"]
    );
    // A module and its folder are two files.
    assert_eq!(
        graph(&[
            ("a", "mod deep;\nuse deep::D;\nstruct A;"),
            ("a/deep", "use super::A;")
        ]),
        ["a a/deep"]
    );
    assert_eq!(
        graph(&[("a", "mod deep;\nuse deep::D;"), ("a/deep", "")]),
        none
    );
    // What the root only exports belongs to the module that it comes from.
    assert_eq!(
        graph(&[
            ("", "pub mod a;\nmod b;\npub use a::{A as Z};"),
            ("a", ""),
            ("b", "use crate::Z;")
        ]),
        none
    );
    assert_eq!(
        graph(&[
            ("", "mod a;\npub use a::A;\nstruct R;"),
            ("a", "use crate::R;")
        ]),
        [" a"]
    );
    // Tests may know whom they like.
    assert_eq!(
        graph(&[
            ("a", "use crate::b::B;"),
            (
                "b",
                "#[cfg(test)]\nmod tests { use crate::a::A; }\n#[cfg(test)]\n#[allow(x)]\nuse crate::a::{A};\n"
            )
        ]),
        none
    );
    assert_eq!(
        graph(&[
            ("a", "use crate::b::B;"),
            ("b", "#[cfg(test)]\nuse crate::c::{C};\nuse crate::a::A;"),
            ("c", "")
        ]),
        ["a b"]
    );
}
