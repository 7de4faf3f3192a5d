//! Scripts over ssh.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_testkit::Network as Hosts;
use tarsops_transport::{Bounds, Connect, Fault, FaultKind, Output, Payload, Remote};

/// Scripts go over ssh, to one host and as one user: the words of the command that does it.
#[derive(Clone)]
pub(crate) struct Ssh(Vec<OsString>);

impl Ssh {
    pub(crate) fn to(hosts: &Hosts, destination: &str) -> Self {
        let ssh = hosts.ssh(destination);
        let words = [ssh.get_program()].into_iter().chain(ssh.get_args());
        Self(words.map(OsString::from).collect())
    }
}

impl Connect for Ssh {
    fn connect<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, Fault>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Remote>) })
    }

    fn tunnel<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Local, "there are no tunnels here")) })
    }

    fn forget<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

impl Remote for Ssh {
    fn ask<'a>(&'a self, script: &'a str, _: Bounds) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async move {
            let mut ssh = Command::new(&self.0[0]);
            ssh.args(&self.0[1..]).arg("sh -s");
            Ok(fed(&mut ssh, script))
        })
    }

    fn upload<'a>(
        &'a self,
        _: &'a str,
        _: &'a Payload,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Local, "nothing is uploaded here")) })
    }

    fn download<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
        _: u64,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::Local, "nothing is downloaded here")) })
    }
}

/// Waits with a clock of its own.
pub(crate) fn alone<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

fn fed(command: &mut Command, text: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A host that dies in the middle takes no more.
    let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    let output = child.wait_with_output().unwrap();
    Output {
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
    }
}
