//! The private network: its control side, its folder, and the making of hosts.
//!
//! The control side is one process tree held by a pipe (`control.sh`); this process only asks it
//! to end by closing the pipe, so a killed test process ends it just as well. It knows how to start
//! a host but not what one can do later.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, test_kill_process};

use crate::disk::{self, Facts, Place};
use crate::host::Host;
use crate::options::{HostOptions, Shell};
use crate::{Error, PATH, program};

/// How the folders of networks begin; the PID of the test process and a counter follow.
const PREFIX: &str = "tarsops-hosts-";

/// Networks made by this process.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A private network with a control side and hosts. It and all that runs in it end when it and its
/// last [`Host`] are dropped, or when the test process dies.
#[derive(Debug)]
pub struct Network {
    control: Arc<Control>,
}

/// What a network's hosts share.
#[derive(Debug)]
pub(crate) struct Control {
    /// The network's folder on the machine.
    dir: PathBuf,
    /// `control.sh`, with the pipe that holds it.
    process: Mutex<Child>,
    /// The PID of `control.sh`, which lives in the control side's network namespace.
    pid: u32,
    /// The first process of the PID and mount namespaces that hosts are made in.
    inner_pid: u32,
    /// The tmpfs that holds disks.
    disks: Place,
    etc_layer: Place,
    usr_dash: Place,
    usr_busybox: OnceLock<Place>,
    client_key: String,
    next: AtomicU32,
    names: Mutex<Vec<String>>,
}

impl Network {
    /// Makes an empty network; the control side is `10.77.0.1` on it.
    ///
    /// # Errors
    ///
    /// Where namespaces or the folder (below the temporary directory) cannot be made; see
    /// [`crate::require`] for a readable reason.
    pub fn new() -> Result<Network, Error> {
        let temp = fs::canonicalize(std::env::temp_dir())
            .map_err(Error::io("find the temporary directory"))?;
        if temp
            .to_string_lossy()
            .contains([' ', ',', ':', '\\', '\t', '\n'])
        {
            let said = format!("'{}' cannot be named in a mount option", temp.display());
            return Err(Error::Failed {
                what: "use the temporary directory".to_owned(),
                said,
            });
        }
        sweep(&temp);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = temp.join(format!("{PREFIX}{}-{number}", std::process::id()));
        // A process that died may have had our PID.
        let _ = fs::remove_dir_all(&dir);
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.and_then(|()| fs::create_dir(dir.join("disks")))
            .and_then(|()| fs::create_dir(dir.join("home")))
            .map_err(Error::io(format!(
                "make the network's folder {}",
                dir.display()
            )))?;
        match Control::start(&dir) {
            Ok(control) => Ok(Network {
                control: Arc::new(control),
            }),
            Err(error) => {
                let _ = fs::remove_dir_all(&dir);
                Err(error)
            }
        }
    }

    /// Makes and boots one host, and returns when its services accept connections.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] for options that make no sense or a boot that went wrong, with its words.
    pub fn host(&self, options: HostOptions) -> Result<Host, Error> {
        let mut hosts = self.hosts([options])?;
        hosts.pop().ok_or_else(|| Error::Off("(none)".to_owned()))
    }

    /// Makes and boots hosts side by side, in the order given; faster than one by one.
    ///
    /// # Errors
    ///
    /// The first that fails, as in [`Network::host`]; none of them is left then.
    pub fn hosts(
        &self,
        options: impl IntoIterator<Item = HostOptions>,
    ) -> Result<Vec<Host>, Error> {
        let mut hosts = Vec::new();
        for options in options {
            let host = Host::make(Arc::clone(&self.control), options)?;
            host.begin_boot()?;
            hosts.push(host);
        }
        for host in &hosts {
            host.finish_boot()?;
            self.control.know(host)?;
        }
        Ok(hosts)
    }

    /// A command that will run on the control side: in its network namespace, with the machine's
    /// files, working directory and users. `HOME` is a folder of the network, and no ssh agent is
    /// passed on. The child process is the program itself, so its PID and signals are the
    /// program's. What it leaves in the background is killed with the network. OpenSSH's `ssh`
    /// takes the home from the user database, not from `HOME`: give it `-F`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.control.command(program)
    }

    /// Does something on the control side: on a thread of its own in the control side's network
    /// namespace. What it listens on and which programs it starts are there, too.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    /// When `work` does.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let entered = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let namespace = fs::File::open(self.control.net())?;
                rustix::thread::move_into_link_name_space(
                    namespace.as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )?;
                Ok(work())
            });
            thread.join()
        });
        match entered {
            Ok(done) => done.map_err(Error::io("enter the control side's network")),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// `ssh` on the control side with [`Network::ssh_config`], to `destination` (`ops@10.77.1.1`).
    /// Add options and the remote command with `arg`.
    pub fn ssh(&self, destination: &str) -> Command {
        let mut command = self.command("ssh");
        command.arg("-F").arg(self.ssh_config()).arg(destination);
        command
    }

    /// An OpenSSH client configuration for all hosts: the client key, [`Network::known_hosts`],
    /// strict checking, no questions, five seconds to connect.
    pub fn ssh_config(&self) -> PathBuf {
        self.control.dir.join("ssh_config")
    }

    /// The private key that the ops user and `root` of every host accept (ed25519, no passphrase).
    pub fn client_key(&self) -> PathBuf {
        self.control.dir.join("id_ed25519")
    }

    /// The file with the host keys of all hosts as they were first booted, under each address.
    pub fn known_hosts(&self) -> PathBuf {
        self.control.dir.join("known_hosts")
    }

    /// The network's folder, mode 0700, removed with it; tests may keep files there.
    pub fn dir(&self) -> &Path {
        &self.control.dir
    }
}

impl Control {
    fn start(dir: &Path) -> Result<Control, Error> {
        let what = "start the control side of a test network";
        let mut process = Command::new("unshare")
            .args(["--net", "dash", "-c", include_str!("control.sh"), "control"])
            .arg(dir)
            .env_clear()
            .env("PATH", PATH)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(what))?;
        let inner_pid = match first_line(&mut process).and_then(|line| line.parse().ok()) {
            Some(pid) => pid,
            None => {
                return Err(Error::Failed {
                    what: what.to_owned(),
                    said: last_words(process),
                });
            }
        };
        process.stderr = None;
        let disks = Place {
            outside: PathBuf::from(format!("/proc/{inner_pid}/root"))
                .join(dir.strip_prefix("/").unwrap_or(dir))
                .join("disks"),
            inside: dir.join("disks"),
        };
        let control = Control {
            dir: dir.to_owned(),
            pid: process.id(),
            process: Mutex::new(process),
            inner_pid,
            etc_layer: disks.join(".etc"),
            usr_dash: disks.join(".usr-dash"),
            usr_busybox: OnceLock::new(),
            disks,
            client_key: client_key(dir)?,
            next: AtomicU32::new(1),
            names: Mutex::new(Vec::new()),
        };
        let layers = "make the file layers of a test network";
        disk::etc_layer(&control.etc_layer).map_err(Error::io(layers))?;
        disk::boot_script(&control.boot_script()).map_err(Error::io(layers))?;
        disk::dash_layer(&control.usr_dash).map_err(Error::io(layers))?;
        Ok(control)
    }

    /// Builds the disk of a new host; returns it with the host's number.
    pub(crate) fn build(&self, options: &HostOptions) -> Result<(Place, u32), Error> {
        let name = &options.name;
        let what = format!("build host {name}");
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = options.fault().or_else(|| {
            names
                .contains(name)
                .then(|| "the network has a host of that name".to_owned())
        });
        if let Some(said) = fault {
            return Err(Error::Failed { what, said });
        }
        names.push(name.clone());
        drop(names);
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let facts = Facts {
            etc_layer: &self.etc_layer,
            usr_layer: match options.shell {
                Shell::Dash => &self.usr_dash,
                Shell::Busybox => self.usr_busybox()?,
            },
            client_key: &self.client_key,
            index,
        };
        let disk = self.disks.join(name);
        disk::build(&disk, options, &facts).map_err(Error::io(&what))?;
        for (number, small) in options.small_disks.iter().enumerate() {
            let mut mount = Command::new("nsenter");
            mount
                .arg("--target")
                .arg(self.inner_pid.to_string())
                .args(["--mount", "mount"]);
            mount.args([
                "-t",
                "tmpfs",
                "-o",
                &format!("mode=755,size={}", small.bytes),
                "small",
            ]);
            mount.arg(disk.inside.join(format!("small-{number}")));
            run(&mut mount, &what)?;
        }
        Ok((disk, index))
    }

    /// The busybox layer, made when the first host wants it.
    fn usr_busybox(&self) -> Result<&Place, Error> {
        // Held so that two threads do not build the same layer.
        let _names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = self.usr_busybox.get() {
            return Ok(layer);
        }
        let what = "make busybox the shell of a host";
        let busybox = program("busybox").unwrap_or_else(|| PathBuf::from("busybox"));
        let mut probe = Command::new(&busybox);
        let probe = probe
            .args(["sh", "-c", "crontab --help"])
            .env("PATH", "/nowhere");
        let output = probe.output().map_err(Error::io(what))?;
        if output.status.code() != Some(127) {
            let said = "its shell takes applets before it looks at PATH, so that a host could hide \
                        no program and had no crontab that works: it is of the package \
                        busybox-static (apt-get install -y busybox replaces it)";
            return Err(Error::Failed {
                what: what.to_owned(),
                said: said.to_owned(),
            });
        }
        let applets = run(Command::new(&busybox).arg("--list-full"), what)?;
        let layer = self.disks.join(".usr-busybox");
        disk::busybox_layer(&layer, &busybox, &applets).map_err(Error::io(what))?;
        Ok(self.usr_busybox.get_or_init(|| layer))
    }

    /// The first half of the command that starts a host's init: everything before the host's own
    /// namespaces. The PID namespace is nested in the control side's, so it ends with it whatever
    /// state its processes are in.
    pub(crate) fn enter(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.env_clear().env("PATH", PATH).current_dir("/");
        command
            .arg("--target")
            .arg(self.inner_pid.to_string())
            .args(["--mount", "--pid"]);
        command
    }

    /// Where the script lies with which hosts boot.
    pub(crate) fn boot_script(&self) -> Place {
        self.disks.join(".boot.sh")
    }

    /// The control side's network namespace, as a path.
    pub(crate) fn net(&self) -> String {
        format!("/proc/{}/ns/net", self.pid)
    }

    /// A name that no other network on this machine has.
    pub(crate) fn label(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// See [`Network::command`].
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        // Found here, because the machine's PATH may lack sbin and nsenter would not say what
        // is missing.
        let nsenter = crate::program("nsenter").unwrap_or_else(|| PathBuf::from("nsenter"));
        let mut command = Command::new(nsenter);
        command
            .arg(format!("--net={}", self.net()))
            .arg("--")
            .arg(program);
        command
            .env("HOME", self.dir.join("home"))
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Adds a host's key to `known_hosts`.
    fn know(&self, host: &Host) -> Result<(), Error> {
        let what = format!("enrol the key of host {}", host.name());
        let path = self.dir.join("known_hosts");
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(Error::io(&what))?;
        file.write_all(host.known_hosts_lines()?.as_bytes())
            .map_err(Error::io(what))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let process = self
            .process
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        drop(process.stdin.take());
        let _ = process.wait();
    }
}

/// Makes the client's key and configuration; returns the public key's line.
fn client_key(dir: &Path) -> Result<String, Error> {
    let key = dir.join("id_ed25519");
    let what = "make the client key of a test network";
    run(
        Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&key),
        what,
    )?;
    let config = format!(
        "Host *\n  IdentityFile {dir}/id_ed25519\n  IdentitiesOnly yes\n  IdentityAgent none\n  \
         UserKnownHostsFile {dir}/known_hosts\n  GlobalKnownHostsFile /dev/null\n  \
         StrictHostKeyChecking yes\n  BatchMode yes\n  ConnectTimeout 5\n  LogLevel ERROR\n",
        dir = dir.display()
    );
    fs::write(dir.join("ssh_config"), config)
        .and_then(|()| fs::write(dir.join("known_hosts"), ""))
        .and_then(|()| fs::read_to_string(key.with_extension("pub")))
        .map_err(Error::io(what))
}

/// Removes the folders of test processes that ended together with their control side, as when the
/// machine went down.
fn sweep(temp: &Path) {
    for entry in fs::read_dir(temp).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok())
            .and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid) == Err(rustix::io::Errno::SRCH)) {
            // Its control side may be at it too; either will do.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// The first line that a child prints.
pub(crate) fn first_line(child: &mut Child) -> Option<String> {
    let mut line = String::new();
    BufReader::new(child.stdout.take()?)
        .read_line(&mut line)
        .ok()?;
    Some(line.trim_end().to_owned())
}

/// Ends a child that did not come up, and says why it did not.
pub(crate) fn last_words(mut child: Child) -> String {
    drop(child.stdin.take());
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child.wait();
    match (said.trim(), status) {
        ("", Ok(status)) => status.to_string(),
        (said, _) => said.to_owned(),
    }
}

/// Runs a helper program to its end; what it printed.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(Error::io(what))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = match String::from_utf8_lossy(&output.stderr).trim() {
        "" => output.status.to_string(),
        said => said.to_owned(),
    };
    Err(Error::Failed {
        what: what.to_owned(),
        said,
    })
}
