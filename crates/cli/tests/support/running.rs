//! A run of the program that is in progress, to be watched, signalled and killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::{Machine, Ran, wait_until};

/// Signals that tests send.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// As Ctrl-C.
    Int,
    /// As systemd and most schedulers end a program.
    Term,
    /// As a terminal that goes away.
    Hup,
    /// At once, without a chance to say anything.
    Kill,
    /// Freezes it.
    Stop,
    /// Lets it continue.
    Cont,
}

/// A run that is in progress; killed when dropped.
pub struct Running {
    child: Child,
    words: String,
    out: PathBuf,
    err: PathBuf,
    began: Instant,
}

impl Machine {
    /// Starts the program and returns while it runs. Its output goes to files, so that it never
    /// waits for a reader.
    pub fn start<const N: usize>(&self, words: [&str; N]) -> Running {
        let began = Instant::now();
        let number = std::fs::read_dir(self.tmp().parent().unwrap())
            .unwrap()
            .count();
        let file = |kind: &str| self.tmp().with_file_name(format!("run-{number}.{kind}"));
        let (out, err) = (file("out"), file("err"));
        let mut command = self.command(words);
        command
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        let child = command.spawn().unwrap();
        Running {
            child,
            words: words.join(" "),
            out,
            err,
            began,
        }
    }

    /// Journals of this machine, whole, in the order of their runs.
    pub fn journals(&self) -> String {
        fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    walk(&path, out);
                } else if path.extension().is_some_and(|e| e == "jsonl") {
                    out.push(path);
                }
            }
        }
        let mut files = Vec::new();
        walk(&self.state(), &mut files);
        files.sort();
        files
            .iter()
            .map(|f| std::fs::read_to_string(f).unwrap_or_default())
            .collect()
    }
}

impl Running {
    /// Sends a signal to it.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Int => "-INT",
            Signal::Term => "-TERM",
            Signal::Hup => "-HUP",
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Cont => "-CONT",
        };
        let sent = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "{name}");
    }

    /// Whether it has ended.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// The most memory that it held so far, in bytes; 0 once it has ended.
    pub fn peak_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        std::fs::read_to_string(status)
            .unwrap_or_default()
            .lines()
            .find_map(|l| {
                l.strip_prefix("VmHWM:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .map_or(0, |kib: u64| kib << 10)
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Waits until it ends; kills it and fails if that takes longer than `patience`.
    #[track_caller]
    pub fn ends_within(mut self, patience: Duration) -> Ran {
        let end = Instant::now() + patience;
        while !self.is_over() {
            if Instant::now() > end {
                let said = self.said();
                panic!(
                    "`{}` has not ended after {patience:?}; it said\n{said}",
                    self.words
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = self.child.wait().unwrap();
        let output = std::process::Output {
            status,
            stdout: std::fs::read(&self.out).unwrap(),
            stderr: std::fs::read(&self.err).unwrap(),
        };
        Ran::new(self.words.clone(), output, self.began.elapsed())
    }

    /// Waits until it has said this on standard error.
    #[track_caller]
    pub fn until_it_says(&mut self, text: &str) {
        wait_until(text, Duration::from_secs(30), || {
            assert!(
                !self.is_over() || self.said().contains(text),
                "{}",
                self.said()
            );
            self.said().contains(text)
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
