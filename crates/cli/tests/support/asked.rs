//! A run of the program that asks on a terminal, and waits while a test changes the world: what lies
//! between the look and the first step takes as long as a test needs.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Instant;

use super::Ran;

/// How the question ends.
const QUESTION: &str = "Only `yes` is taken: ";

/// A run that waits for an answer; killed when dropped.
pub struct Asked {
    child: Child,
    out: ChildStdout,
    said: Vec<u8>,
    words: String,
    began: Instant,
}

/// One word for a shell.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"))
}

/// Starts a command on a terminal of its own (`script` of bsdutils), and returns when it asks.
#[track_caller]
pub fn until_asked(command: &Command) -> Asked {
    let words: Vec<String> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quoted)
        .collect();
    let words = words.join(" ");
    let mut script = Command::new("script");
    script
        .args(["-qec", &format!("exec {words}"), "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    if let Some(dir) = command.get_current_dir() {
        script.current_dir(dir);
    }
    let began = Instant::now();
    let mut child = script.spawn().unwrap_or_else(|e| {
        panic!("these tests need `script` (Debian: bsdutils): {e}");
    });
    let mut out = child.stdout.take().unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(QUESTION.as_bytes()) {
        let text = || String::from_utf8_lossy(&said).into_owned();
        assert_eq!(
            out.read(&mut byte).unwrap(),
            1,
            "{words} does not ask:\n{}",
            text()
        );
        said.push(byte[0]);
    }
    Asked {
        child,
        out,
        said,
        words,
        began,
    }
}

impl Asked {
    /// Types a line, or what a key sends, and waits for the end. All that the program said is its
    /// standard output.
    pub fn types(mut self, text: &str) -> Ran {
        let mut keys = self.child.stdin.take().unwrap();
        keys.write_all(text.as_bytes()).unwrap();
        keys.flush().unwrap();
        self.out.read_to_end(&mut self.said).unwrap();
        let status = self.child.wait().unwrap();
        drop(keys);
        let output = Output {
            status,
            stdout: std::mem::take(&mut self.said),
            stderr: vec![],
        };
        Ran::new(self.words.clone(), output, self.began.elapsed())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
