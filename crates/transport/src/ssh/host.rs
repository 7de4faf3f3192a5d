//! One connected host: how a script reaches it, and how its answer comes back.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use openssh::{ForwardType, Session, Socket, Stdio};
use tarsops_model::display;
use tarsops_model::host::Become;
use tarsops_model::names::{Endpoint, NodeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use super::receive;
use super::{MAX_STDERR, local};
use crate::remote::{Bounds, Fault, FaultKind, Output, Payload, Remote};

/// How long the end of a connection may take.
const LEAVE: Duration = Duration::from_secs(5);
/// Bytes that are shown of what login files print.
const NOISE_SHOWN: usize = 400;

/// What a host sends before the answer to a script. Whatever comes before it is printed by login files.
pub const ANSWER: &str = "tarsops-answer/1\n";
/// Lines before a script: a login file that reads standard input takes these and not the script.
const PADDING: &str = "\n\n\n\n\n\n\n\n";
/// The line after which the script follows.
const BEGIN: &str = "tarsops-begin/1";
/// The status with which the command ends if the script did not arrive.
const NO_SCRIPT: i32 = 97;

/// The command that receives a script. It is one line that every login shell reads in the same way, csh
/// and fish as well: one kind of quotes, and none of `!`, a backslash or a line end between them. There is no
/// `exec` before it, which a restricted shell refuses. Bash becomes the last command without it.
fn receiver(r#become: Become, then: &str) -> String {
    let prefix = match r#become {
        Become::None => "",
        Become::Sudo => "sudo -n ",
    };
    let answer = ANSWER.trim_end();
    // Without a limit it would read a whole payload, byte by byte, where a login file took the line.
    format!(
        "{prefix}sh -c 'n=0; while [ $n -lt 99 ] && IFS= read -r l; do n=$((n+1)); case $l in {BEGIN}) echo {answer}; {then};; esac; done; exit {NO_SCRIPT}'"
    )
}

/// The script is all that follows.
fn script_receiver(r#become: Become) -> String {
    receiver(r#become, "exec sh -s")
}

/// The script is the next line, as [`one_line`] writes it; what follows is its standard input.
fn upload_receiver(r#become: Become) -> String {
    receiver(
        r#become,
        "IFS= read -r l; eval \"$(printf %b \"$l\")\"; exit",
    )
}

/// A script in one line, for `printf %b`.
fn one_line(script: &str) -> String {
    script.replace('\\', "\\\\").replace('\n', "\\n")
}

/// One connected host.
pub(super) struct SshHost {
    node: NodeName,
    session: Session,
    r#become: Become,
    /// Unix sockets that lead through it, by where to.
    tunnels: Mutex<HashMap<Endpoint, PathBuf>>,
    /// Whether what it printed before an answer was shown.
    noisy: AtomicBool,
}

/// Where the standard output of a host's script goes.
enum Sink<'a> {
    /// To whoever asked.
    Memory(Bounds),
    /// To a new file, at most so many bytes.
    File { to: &'a Path, most: u64 },
}

impl SshHost {
    pub(super) fn new(node: NodeName, session: Session, r#become: Become) -> Self {
        Self {
            node,
            session,
            r#become,
            tunnels: Mutex::default(),
            noisy: AtomicBool::new(false),
        }
    }

    /// Ends the connection.
    pub(super) async fn close(self) {
        let _ = tokio::time::timeout(LEAVE, self.session.close()).await;
    }

    /// A socket that leads to `to` through the host: one that is there, or a new one at `path`.
    ///
    /// # Errors
    /// The connection is broken, or the host forwards nothing.
    pub(super) async fn tunnel(&self, to: &Endpoint, path: PathBuf) -> Result<PathBuf, Fault> {
        let mut tunnels = self.tunnels.lock().await;
        if let Some(path) = tunnels.get(to) {
            return Ok(path.clone());
        }
        let listen = Socket::UnixSocket {
            path: path.clone().into(),
        };
        self.session
            .request_port_forward(ForwardType::Local, listen, target(to))
            .await
            .map_err(|e| {
                Fault::new(
                    FaultKind::Disconnected,
                    format!("could not forward to {to}: {e}"),
                )
            })?;
        tunnels.insert(to.clone(), path.clone());
        Ok(path)
    }

    /// Ends what leads through it, whose sockets are this run's.
    pub(super) async fn cancel_tunnels(&self) {
        for (to, path) in self.tunnels.lock().await.drain() {
            let listen = Socket::UnixSocket { path: path.into() };
            let ended = self
                .session
                .close_port_forward(ForwardType::Local, listen, target(&to));
            let _ = tokio::time::timeout(LEAVE, ended).await;
        }
    }

    /// Whether the master process still answers on its socket; nothing goes over the network.
    pub(super) async fn is_alive(&self) -> bool {
        tokio::time::timeout(Duration::from_secs(2), self.session.check())
            .await
            .is_ok_and(|checked| checked.is_ok())
    }

    async fn run(
        &self,
        command: String,
        script: &str,
        payload: Option<&Payload>,
        into: Sink<'_>,
    ) -> Result<Output, Fault> {
        let mut head = format!("{PADDING}{BEGIN}\n");
        if let Some(payload) = payload {
            head += &format!("{}\n{}", one_line(script), payload.head);
        } else {
            head += script;
        }
        let head = head.as_bytes();
        let mut child = self
            .session
            .raw_command(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .await
            .map_err(|e| broken(&e))?;
        let mut stdin = child.stdin().take();
        let mut stdout = child.stdout().take();
        let mut stderr = child.stderr().take();
        let send = async {
            let Some(mut pipe) = stdin.take() else {
                return Ok(());
            };
            // A script may end before it has read everything; what it answered tells why.
            if pipe.write_all(head).await.is_err() {
                return Ok(());
            }
            if let Some(payload) = payload {
                let mut file = tokio::fs::File::open(&payload.file).await.map_err(|e| {
                    local(format!("could not read {}: {e}", payload.file.display()))
                })?;
                let mut buffer = vec![0u8; 256 << 10];
                let mut left = payload.size;
                while left > 0 {
                    let n = file.read(&mut buffer).await.map_err(|e| {
                        local(format!("could not read {}: {e}", payload.file.display()))
                    })?;
                    if n == 0 {
                        return Err(local(format!("{} became shorter", payload.file.display())));
                    }
                    left = left.saturating_sub(n as u64);
                    if pipe.write_all(&buffer[..n]).await.is_err() {
                        return Ok(());
                    }
                }
            }
            let _ = pipe.flush().await;
            Ok(())
        };
        let receive = async {
            let Some(mut pipe) = stdout.take() else {
                return Ok((Vec::new(), false, Vec::new(), None));
            };
            let begun = receive::skip_to(&mut pipe, ANSWER.as_bytes()).await?;
            let mut pipe = begun.rest.chain(pipe);
            let (answer, file) = match into {
                Sink::Memory(bounds) => (receive::answer(&mut pipe, bounds).await?, None),
                Sink::File { to, most } => {
                    (Vec::new(), Some(receive::file(&mut pipe, to, most).await?))
                }
            };
            Ok((begun.noise, begun.found, answer, file))
        };
        let complain = async {
            let mut err = Vec::new();
            if let Some(mut pipe) = stderr.take() {
                let mut buffer = vec![0u8; 8 << 10];
                while let Ok(n) = pipe.read(&mut buffer).await {
                    if n == 0 {
                        break;
                    }
                    err.extend_from_slice(&buffer[..n]);
                    if err.len() > MAX_STDERR {
                        let cut = err.len() - MAX_STDERR;
                        err.drain(..cut);
                    }
                }
            }
            Ok(err)
        };
        // Once one of them fails we read no more: what the host still runs loses its output.
        let ((), (noise, begun, stdout, file), stderr) = tokio::try_join!(send, receive, complain)?;
        let noise = display::block(&String::from_utf8_lossy(&noise)).into_owned();
        // Each login there says it again.
        if !noise.is_empty() && !self.noisy.swap(true, Ordering::Relaxed) {
            let printed = display::cut(&noise, NOISE_SHOWN);
            tracing::warn!(node = %self.node, %printed, "ignored what was printed there before the answer (by a login file?)");
        }
        let stderr = String::from_utf8_lossy(&stderr).into_owned();
        let status = match child.wait().await {
            Ok(status) => status.code(),
            Err(openssh::Error::RemoteProcessTerminated) => None,
            Err(e) => return Err(broken(&e)),
        };
        if self.r#become == Become::Sudo && status != Some(0) && stderr.contains("sudo:") {
            let said = stderr
                .lines()
                .rfind(|l| l.contains("sudo:"))
                .unwrap_or_default();
            return Err(Fault::new(
                FaultKind::Become,
                format!("could not become root ({said})"),
            ));
        }
        if !begun {
            return Err(unreceived(status, &noise, &stderr));
        }
        if let Some(file) = file.filter(|_| status == Some(0)) {
            file.keep();
        }
        Ok(Output {
            stdout,
            stderr,
            status,
        })
    }

    async fn within<F>(&self, deadline: Duration, run: F) -> Result<Output, Fault>
    where
        F: Future<Output = Result<Output, Fault>>,
    {
        tokio::time::timeout(deadline, run)
            .await
            .unwrap_or_else(|_| {
                Err(Fault::new(
                    FaultKind::TimedOut,
                    format!(
                        "it connected but did not answer within {} s",
                        deadline.as_secs()
                    ),
                ))
            })
    }
}

fn target(to: &Endpoint) -> Socket<'_> {
    Socket::TcpSocket {
        host: to.host.as_str().into(),
        port: to.port,
    }
}

/// Why a script was not received: what stands between its login and `sh`.
fn unreceived(status: Option<i32>, noise: &str, stderr: &str) -> Fault {
    if status == Some(NO_SCRIPT) {
        return Fault::new(
            FaultKind::Garbled,
            "a login file of the user there reads standard input, and with it what tarsops sends (~/.bashrc, ~/.cshrc, config.fish): let it do so only in an interactive shell",
        );
    }
    let words = [stderr, noise];
    let said = words
        .iter()
        .find_map(|text| text.lines().map(str::trim).rfind(|l| !l.is_empty()));
    let said = display::line(said.unwrap_or("it printed nothing"));
    let ended = status.map_or_else(|| "a signal".to_owned(), |s| format!("status {s}"));
    Fault::new(
        FaultKind::Garbled,
        format!(
            "the login shell of the user there ended with {ended} before it ran anything ({said})"
        ),
    )
}

fn broken(error: &openssh::Error) -> Fault {
    use std::error::Error as _;
    let cause = error
        .source()
        .map_or_else(String::new, |s| format!(": {s}"));
    Fault::new(
        FaultKind::Disconnected,
        format!("the connection broke ({error}{cause})"),
    )
}

impl Remote for SshHost {
    fn ask<'a>(&'a self, script: &'a str, bounds: Bounds) -> BoxFuture<'a, Result<Output, Fault>> {
        let into = Sink::Memory(bounds);
        let command = script_receiver(self.r#become);
        Box::pin(self.within(bounds.time, self.run(command, script, None, into)))
    }

    fn upload<'a>(
        &'a self,
        script: &'a str,
        payload: &'a Payload,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let into = Sink::Memory(Bounds::new(Bounds::CONFIRMATION, deadline));
        let command = upload_receiver(self.r#become);
        Box::pin(self.within(deadline, self.run(command, script, Some(payload), into)))
    }

    fn download<'a>(
        &'a self,
        script: &'a str,
        to: &'a Path,
        most: u64,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        let into = Sink::File { to, most };
        let command = script_receiver(self.r#become);
        Box::pin(self.within(deadline, self.run(command, script, None, into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out of a login shell that gets `command`, with these bytes on standard input.
    fn login(shell: &str, command: &str, input: &[u8]) -> (String, Option<i32>) {
        use std::io::{Read as _, Seek as _, Write as _};
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input).unwrap();
        stdin.rewind().unwrap();
        let mut words = shell.split(' ');
        let mut child = std::process::Command::new(words.next().unwrap())
            .args(words)
            .arg("-c")
            .arg(command)
            .stdin(stdin)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("these tests need the shell {shell}: {e}"));
        let mut out = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        (out, child.wait().unwrap().code())
    }

    const SHELLS: [&str; 7] = [
        "dash",
        "bash",
        "bash --restricted",
        "busybox sh",
        "tcsh -f",
        "tcsh",
        "fish",
    ];

    #[test]
    fn every_login_shell_passes_a_script_on() {
        let script = "printf '%s|' \"$0\" 'a\\nb' \"it's\" '!x' `echo y`; cd /\nexit 7\n";
        let input = format!("{PADDING}{BEGIN}\n{script}");
        for shell in SHELLS {
            let (out, code) = login(shell, &script_receiver(Become::None), input.as_bytes());
            assert_eq!(out, format!("{ANSWER}sh|a\\nb|it's|!x|y|"), "{shell}");
            assert_eq!(code, Some(7), "{shell}");
        }
    }

    #[test]
    fn every_login_shell_passes_an_upload_on() {
        let script = "IFS= read -r a\nprintf '%s|' 'x\\ty' '\\\\' \"$a\" '100% \\c'\ncat\nexit 7\n";
        let input = format!("{PADDING}{BEGIN}\n{}\nhead\n\0\n!pay", one_line(script));
        for shell in SHELLS {
            let (out, code) = login(shell, &upload_receiver(Become::None), input.as_bytes());
            let want = format!("{ANSWER}x\\ty|\\\\|head|100% \\c|\0\n!pay");
            assert_eq!(out, want, "{shell}");
            assert_eq!(code, Some(7), "{shell}");
        }
    }

    #[test]
    fn a_script_that_a_login_file_took_is_missed() {
        for (input, what) in [
            (String::new(), "nothing is left"),
            (format!("{BEGIN}x\necho no\n"), "another line"),
            ("\0\n".repeat(1 << 20), "a payload is left"),
        ] {
            let command = upload_receiver(Become::None);
            let (out, code) = login("dash", &command, input.as_bytes());
            assert_eq!((out.as_str(), code), ("", Some(NO_SCRIPT)), "{what}");
        }
        let fault = unreceived(Some(NO_SCRIPT), "", "");
        assert!(fault.text.contains("reads standard input"), "{fault}");
        let fault = unreceived(Some(1), "This account is\x1b[2J not available.\n", "");
        assert!(fault.text.contains("ended with status 1"), "{fault}");
        assert!(fault.text.contains("This account is"), "{fault}");
        assert!(!fault.text.contains('\x1b'), "{fault}");
    }
}
