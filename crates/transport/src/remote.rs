//! The narrow traits through which everything else reaches hosts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tarsops_model::names::{Endpoint, NodeName};

/// What went wrong on the way to a host; decides nothing but what people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nothing listens there.
    Refused,
    /// It did not answer in time.
    TimedOut,
    /// It was never met: its host key is in no known hosts file.
    UnknownKey,
    /// It shows another host key than the known one, or a revoked one.
    ChangedKey,
    /// It did not accept our key.
    Login,
    /// It ended the login, as too many keys were offered that it does not accept.
    TooManyKeys,
    /// It and our `ssh` have no algorithm in common.
    NoCommonAlgorithm,
    /// The host that the connection goes through, or a `ProxyCommand`, failed. Nothing is known of
    /// the host behind it.
    Jump(JumpFault),
    /// Rights could not be had there (`become`).
    Become,
    /// The name does not resolve, or there is no way to it.
    Unreachable,
    /// The connection broke while it was in use.
    Disconnected,
    /// It answered something that we do not understand.
    Garbled,
    /// It sent more than is read; see [`Excess`].
    TooMuch,
    /// Something on the control machine: no `ssh`, no temporary folder, …
    Local,
}

/// What went wrong at a jump host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JumpFault {
    /// Nothing listens there.
    Refused,
    /// It did not answer in time.
    TimedOut,
    /// Its name does not resolve, or there is no way to it.
    Unreachable,
    /// It was never met.
    UnknownKey,
    /// It shows another host key than the known one, or a revoked one.
    ChangedKey,
    /// It did not accept our key.
    Login,
    /// It lets us in, and does not connect us to others.
    Forbids,
    /// It, or a `ProxyCommand`, ended for another reason.
    Ended,
}

impl JumpFault {
    const fn hint(self) -> &'static str {
        match self {
            Self::Refused => {
                "check that the jump host is up, with sshd on this port: see `ssh.jump` in the spec, or ProxyJump in the configuration of ssh"
            }
            Self::TimedOut => "is the jump host up, and is the way to it open?",
            Self::Unreachable => {
                "check the jump host's name: `ssh.jump` in the spec, or ProxyJump in the configuration of ssh"
            }
            Self::UnknownKey => {
                "compare the jump host's key with its own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then add it with --accept-new-host-keys or ssh-keyscan"
            }
            Self::ChangedKey => {
                "somebody may impersonate the jump host; if it was installed again, compare its new key there, and remove the old one with ssh-keygen -R"
            }
            Self::Login => {
                "is the public key in the user's authorized_keys on the jump host? `ssh.jump` may name the user: ops@bastion.example"
            }
            Self::Forbids => {
                "the jump host's sshd must allow forwarding to this host: see AllowTcpForwarding and PermitOpen there"
            }
            Self::Ended => "try `ssh` to the jump host by hand, or run with -v",
        }
    }
}

impl FaultKind {
    /// Next step for people, as one lowercase clause.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Refused => "is the host up, and sshd on this port?",
            Self::TimedOut => "is the host up, and is the way to it open?",
            Self::UnknownKey => {
                "compare the key with the host's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then add it with --accept-new-host-keys or ssh-keyscan"
            }
            Self::ChangedKey => {
                "somebody may impersonate the host; if it was installed again, compare its new key there, and remove the old one with ssh-keygen -R; --accept-new-host-keys never replaces a key"
            }
            Self::TooManyKeys => {
                "name the one key in `ssh.identity` of the spec: all keys of the agent are offered otherwise"
            }
            Self::NoCommonAlgorithm => {
                "update sshd there, or allow what it offers in a file that `ssh.config` of the spec names"
            }
            Self::Jump(fault) => fault.hint(),
            Self::Login => "is the public key in the user's authorized_keys there?",
            Self::Become => "sudo must work there without a password and without a terminal",
            Self::Unreachable => "check the address in the spec",
            Self::Disconnected => "run the same command again: it continues where the host is",
            Self::Garbled => "run with -v to see what it printed",
            Self::TooMuch => {
                "a healthy host sends a tenth of that: check its content, or leave it out with --on"
            }
            Self::Local => "see the message",
        }
    }
}

/// A failure to reach or to use a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind of failure.
    pub kind: FaultKind,
    /// One lowercase clause in the words of whoever noticed. Where many hosts fail alike, it is the
    /// same for all of them.
    pub text: String,
    /// What only holds for this host, as one clause; empty if there is nothing more.
    pub detail: String,
}

impl Fault {
    /// Makes a fault.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            detail: String::new(),
        }
    }

    /// With what only holds for this host.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// What one answer of a host may cost us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of standard output that are read at most.
    pub bytes: usize,
    /// Ends of lines in it, at most.
    pub lines: usize,
    /// How long it may take to its end.
    pub time: Duration,
}

impl Bounds {
    /// Bytes of an answer that only confirms: one word, and the few lines of a log.
    pub const CONFIRMATION: usize = 256 << 10;
    /// Bytes of a look at a host. One with 100 servers, 200 network interfaces and 500 listeners
    /// sends about a tenth of that.
    pub const LOOK: usize = 1 << 20;
    /// Bytes of records: what a host remembers of ten runs, or saved rows of the database.
    pub const RECORDS: usize = 4 << 20;
    /// Lines of any answer. A look has some fifty, as texts of several lines travel in one word.
    pub const LINES: usize = 1 << 14;

    /// At most `bytes` within `time`.
    #[must_use]
    pub const fn new(bytes: usize, time: Duration) -> Self {
        Self {
            bytes,
            lines: Self::LINES,
            time,
        }
    }
}

/// A host sent more than is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// More than so many bytes.
    #[error("it answered more than {}", size(*.0))]
    Bytes(u64),
    /// More than so many lines.
    #[error("it answered more than {0} lines")]
    Lines(usize),
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9999 => format!("{bytes} bytes"),
        10_000..=9_999_999 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

impl From<Excess> for Fault {
    fn from(excess: Excess) -> Self {
        Self::new(FaultKind::TooMuch, excess.to_string())
    }
}

/// What a script left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// The end of standard error (64 KiB at most).
    pub stderr: String,
    /// Exit status; none if a signal ended it.
    pub status: Option<i32>,
}

/// A file to stream to a host.
#[derive(Debug, Clone)]
pub struct Payload {
    /// Lines that stand before the bytes.
    pub head: String,
    /// The file on the control machine.
    pub file: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// One connected host.
pub trait Remote: Send + Sync {
    /// Runs `script` with `sh -s`, with the rights that the spec gives, and waits for its end.
    ///
    /// # Errors
    /// A [`Fault`] if the host could not be used, or did not keep within `bounds`.
    fn ask<'a>(&'a self, script: &'a str, bounds: Bounds) -> BoxFuture<'a, Result<Output, Fault>>;

    /// As [`Remote::ask`], of a script that only confirms what it did: its answer is at most
    /// [`Bounds::CONFIRMATION`].
    ///
    /// # Errors
    /// As for [`Remote::ask`].
    fn script<'a>(
        &'a self,
        script: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        self.ask(script, Bounds::new(Bounds::CONFIRMATION, deadline))
    }

    /// Runs `script` with `sh -c` and streams `payload` to its standard input. Its answer is at most
    /// [`Bounds::CONFIRMATION`].
    ///
    /// # Errors
    /// As for [`Remote::ask`], or if the payload's file cannot be read.
    fn upload<'a>(
        &'a self,
        script: &'a str,
        payload: &'a Payload,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>>;

    /// Runs `script` as [`Remote::ask`] does and writes its standard output to the new file `to`, at
    /// most `most` bytes. Unless it ends with status 0 there is no such file afterwards, also where
    /// the future is dropped.
    ///
    /// # Errors
    /// As for [`Remote::ask`], or if `to` cannot be written.
    fn download<'a>(
        &'a self,
        script: &'a str,
        to: &'a Path,
        most: u64,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>>;
}

/// Makes connections, and may keep them.
pub trait Connect: Send + Sync {
    /// A connection to `node`: one that stands, or a new one.
    ///
    /// # Errors
    /// A [`Fault`] that says why there is none.
    fn connect<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, Result<Arc<dyn Remote>, Fault>>;

    /// A Unix socket on this machine that leads, through the SSH connection to `node`, to `to` as
    /// the node sees it. It lives as long as the connection; asked for again, it is the same one.
    ///
    /// # Errors
    /// A [`Fault`] that says why there is none. Whether anybody listens at `to` shows only in use.
    fn tunnel<'a>(
        &'a self,
        node: &'a NodeName,
        to: &'a Endpoint,
    ) -> BoxFuture<'a, Result<PathBuf, Fault>>;

    /// Gives up a kept connection to `node`, so that the next one is new.
    fn forget<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, ()>;
}

/// Quotes `text` as one word for a POSIX shell.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        if c == '\'' {
            out.push_str("'\\''");
        } else {
            out.push(c);
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_comes_back_from_a_shell_byte_for_byte() {
        for text in [
            "",
            "a b",
            "it's",
            "$(x) `y` \\ \" \n!",
            "-n",
            "ünï",
            "a\tb'\n''",
        ] {
            let out = std::process::Command::new("sh")
                .arg("-c")
                .arg(format!("printf '%s' {}", quote(text)))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(out.stdout).unwrap(), text);
        }
    }
}
