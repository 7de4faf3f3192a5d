//! This machine as a host that is looked at.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tarsops_transport::{Bounds, Fault, Output, Payload, Remote};

/// Runs scripts by a shell here.
pub(crate) struct Host {
    /// Where its programs are.
    pub(crate) path: String,
    /// The shell with its words.
    pub(crate) shell: Vec<String>,
    /// What the last script has sent.
    pub(crate) said: Mutex<String>,
}

impl Remote for Host {
    fn ask<'a>(&'a self, script: &'a str, _: Bounds) -> BoxFuture<'a, Result<Output, Fault>> {
        let mut child = Command::new(&self.shell[0])
            .args(&self.shell[1..])
            .arg("-s")
            .env("PATH", &self.path)
            // What a profile says of another engine does not count.
            .env("DOCKER_HOST", "tcp://10.9.9.9:2375")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text = script.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let _cut = writer.join();
        *self.said.lock().unwrap() = String::from_utf8_lossy(&output.stdout).into_owned();
        let output = Output {
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status.code(),
        };
        async { Ok(output) }.boxed()
    }

    fn upload<'a>(
        &'a self,
        _: &'a str,
        _: &'a Payload,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        unreachable!("a look sends no file")
    }

    fn download<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
        _: u64,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        unreachable!("a look fetches no file")
    }
}
