//! Hosts that say whatever a test wants, without SSH: a program called `ssh` stands in for the real
//! one, and a thread of the test for each host's master process. tarsops talks to it as to OpenSSH's
//! (`PROTOCOL.mux`), so all of its own code is in use.

use std::fs::File;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// What a host is asked for.
pub struct Asked {
    /// The address that `ssh` was called with.
    pub host: String,
    /// The script on standard input.
    pub script: String,
}

impl Asked {
    /// The value of a variable that stands before the script, as it is quoted for names.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.script
            .lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix("='")?.strip_suffix('\''))
    }
}

/// What a host sends.
pub enum Reply {
    /// These bytes, and the exit status 0.
    Text(Vec<u8>),
    /// These bytes again and again, as long as somebody reads.
    Endless(Vec<u8>),
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// Hosts, by address.
pub struct Hosts {
    dir: tempfile::TempDir,
}

impl Hosts {
    /// Hosts that answer so.
    pub fn new<S: AsRef<str>>(
        addresses: impl IntoIterator<Item = S>,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let answer: Arc<Answer> = Arc::new(answer);
        std::fs::create_dir(dir.path().join("sockets")).unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        for address in addresses {
            let host = address.as_ref().to_owned();
            let socket = UnixListener::bind(dir.path().join("sockets").join(&host)).unwrap();
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                for peer in socket.incoming().flatten() {
                    let (host, answer) = (host.clone(), Arc::clone(&answer));
                    std::thread::spawn(move || serve(&peer, &host, &*answer));
                }
            });
        }
        let ssh = dir.path().join("bin/ssh");
        let script = format!(
            "#!/bin/sh\nwhile [ $# -gt 1 ]; do [ \"$1\" != -S ] || s=$2; shift; done\n\
             exec ln -s '{}/'\"$1\" \"$s\"\n",
            dir.path().join("sockets").display()
        );
        std::fs::write(&ssh, script).unwrap();
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { dir }
    }

    /// The folder that goes before all others in `PATH`.
    pub fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }
}

fn send(mut peer: &UnixStream, numbers: &[u32]) {
    let mut bytes = u32::try_from(4 * numbers.len())
        .unwrap()
        .to_be_bytes()
        .to_vec();
    bytes.extend(numbers.iter().flat_map(|n| n.to_be_bytes()));
    let _ = peer.write_all(&bytes);
}

fn packet(mut peer: &UnixStream) -> Option<Vec<u8>> {
    let mut size = [0; 4];
    peer.read_exact(&mut size).ok()?;
    let mut bytes = vec![0; u32::from_be_bytes(size) as usize];
    peer.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn descriptor(peer: &UnixStream) -> Option<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut buffer = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        peer,
        &mut [IoSliceMut::new(&mut byte)],
        &mut buffer,
        RecvFlags::CMSG_CLOEXEC,
    )
    .ok()?;
    buffer.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut all) => all.next(),
        _ => None,
    })
}

/// One client of a master process. It ends with the connection.
fn serve(peer: &UnixStream, host: &str, answer: &Answer) {
    send(peer, &[1, 4]);
    while let Some(bytes) = packet(peer) {
        let number = |at: usize| {
            let bytes = bytes.get(4 * at..4 * at + 4).unwrap_or_default();
            bytes.try_into().map_or(0, u32::from_be_bytes)
        };
        let id = number(1);
        match number(0) {
            1 => {}
            0x1000_0004 => send(peer, &[0x8000_0005, id, std::process::id()]),
            0x1000_0009 => send(peer, &[0x8000_0001, id]),
            0x1000_0002 => {
                let [Some(input), Some(output), Some(errors)] =
                    std::array::from_fn(|_| descriptor(peer))
                else {
                    return;
                };
                send(peer, &[0x8000_0006, id, 1]);
                let mut script = Vec::new();
                let _ = File::from(input).read_to_end(&mut script);
                let asked = Asked {
                    host: host.to_owned(),
                    script: String::from_utf8_lossy(&script).into_owned(),
                };
                let mut output = File::from(output);
                let _ = output.write_all(tarsops_transport::ssh::ANSWER.as_bytes());
                match answer(&asked) {
                    Reply::Text(bytes) => drop(output.write_all(&bytes)),
                    Reply::Endless(bytes) => while output.write_all(&bytes).is_ok() {},
                }
                drop((output, errors));
                send(peer, &[0x8000_0004, 1, 0]);
            }
            other => panic!("a client asks for {other:#x}"),
        }
    }
}

/// A probe answer with these lines. The line `NONCE STATUS` ends what a program printed.
pub fn probe_answer(asked: &Asked, lines: &[String]) -> Vec<u8> {
    let nonce = asked.variable("P_NONCE").unwrap();
    let mut text = format!("tarsops-probe/2 {nonce}\n");
    let (mut count, mut raw) = (1, false);
    for line in lines.iter().flat_map(|lines| lines.split('\n')) {
        match line.strip_prefix("NONCE ") {
            Some(status) => text.push_str(&format!("{nonce} {status}\n")),
            None => text.push_str(&format!("{line}\n")),
        }
        count += usize::from(!raw && !line.starts_with('/'));
        raw = !line.starts_with("NONCE ") && (raw || line.ends_with(" raw"));
    }
    text.push_str(&format!("end {count}\n"));
    text.into_bytes()
}

/// A text as the lines that follow another one.
pub fn more(text: &str) -> String {
    text.lines().map(|line| format!("\n+{line}")).collect()
}

/// A text as lines of a file.
pub fn of_file(file: &str, text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("{file}:{line}")).collect();
    lines.join("\n")
}
