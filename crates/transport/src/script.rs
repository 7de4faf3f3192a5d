//! Scripts for hosts, put together from files.
//!
//! Every script is the prelude, then its variables, then its parts. A value reaches a script only
//! as a quoted word, so no value is ever read as shell.

use std::fmt;
use std::ops::Deref;
use std::sync::OnceLock;

use crate::quote;

/// What every script begins with, as it is written.
const PRELUDE: &str = include_str!("host/prelude.sh");

/// The prelude as hosts get it.
#[must_use]
pub fn prelude() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| without_comments(PRELUDE))
}

/// The text of a script for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script(String);

impl Script {
    /// A script that begins with the prelude.
    #[must_use]
    pub fn new() -> Self {
        Self(prelude().to_owned())
    }

    /// A script or a file of variables that another script reads, which has the prelude already.
    #[must_use]
    pub const fn bare() -> Self {
        Self(String::new())
    }

    /// Sets a variable of the script.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(is_name(name), "{name} is no name of a variable");
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(&quote(value));
        self.0.push('\n');
        self
    }

    /// Defines the function `name`: it calls `function` once for each of `calls`, with these words.
    pub fn calls(&mut self, name: &str, function: &str, calls: &[[String; 2]]) -> &mut Self {
        debug_assert!(is_name(name) && is_name(function), "{name}, {function}");
        self.0.push_str(&format!("{name}() {{\n:\n"));
        for words in calls {
            self.0.push_str(function);
            for word in words {
                self.0.push(' ');
                self.0.push_str(&quote(word));
            }
            self.0.push('\n');
        }
        self.0.push_str("}\n");
        self
    }

    /// Adds a part of the script, a file that is read with `include_str!`. Lines that are only a comment
    /// are not sent, but for those that are for shellcheck; so no text inside quotes and no here-document
    /// of a part has a line that begins with `#`.
    pub fn part(&mut self, file: &str) -> &mut Self {
        self.0.push_str(&without_comments(file));
        self
    }

    /// The text.
    #[must_use]
    pub fn into_text(self) -> String {
        self.0
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Script {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn without_comments(file: &str) -> String {
    let sent = |line: &&str| {
        let line = line.trim_start();
        !line.starts_with('#') || line.starts_with("# shellcheck ")
    };
    file.split_inclusive('\n').filter(sent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::process::Command;

    fn run(script: &Script) -> String {
        let mut shell = Command::new("sh");
        let out = shell.arg("-c").arg(&**script).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn a_value_reaches_a_script_as_it_is() {
        let value = "# it's $(a) `b` \"c\"\n\n# \\ d\n";
        let mut script = Script::new();
        script.set("VALUE", value);
        script.calls(
            "show_all",
            "show",
            &[["a b".into(), value.into()], ["c".into(), String::new()]],
        );
        script.part("# Not sent.\nshow() { printf '<%s|%s>' \"$1\" \"$2\"; }\nshow_all\nprintf '<%s>' \"$VALUE\"\n");
        assert_eq!(run(&script), format!("<a b|{value}><c|><{value}>"));
        assert!(!script.contains("Not sent"));
    }

    #[test]
    fn a_function_without_calls_is_a_function() {
        let mut script = Script::bare();
        script.calls("none", "show", &[]).part("none && echo ok\n");
        assert_eq!(run(&script), "ok\n");
    }

    #[test]
    fn only_whole_comments_are_left_out() {
        let file = "a # b\n  # c\n#d\n# shellcheck disable=SC1 # e\nf '\n# shell\n'";
        let sent = "a # b\n# shellcheck disable=SC1 # e\nf '\n'";
        assert_eq!(without_comments(file), sent);
    }

    fn files_below(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                files_below(&path, out);
            } else if path.extension().is_some_and(|e| e == "sh") {
                out.push(path);
            }
        }
    }

    /// What bash understands of a text.
    fn parsed(text: &str) -> String {
        let define = format!("main() {{\n{text}\n}}\ndeclare -f main");
        let mut shell = Command::new("bash");
        let out = shell.args(["-c", &define]).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn every_script_means_the_same_without_its_comments() {
        let mut files = Vec::new();
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for name in ["apply", "probe", "transport"] {
            files_below(&crates.join(name).join("src"), &mut files);
        }
        assert!(files.len() > 10, "{files:?}");
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            let sent = without_comments(&text);
            assert_eq!(parsed(&sent), parsed(&text), "{}", file.display());
        }
    }
}
