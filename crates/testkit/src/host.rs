//! One running (or powered-off) host: its power, programs, files, and what its `sshd` logged.
//!
//! A host's disk and network namespace live as long as the [`Host`]; its processes and mounts live
//! from boot to [`Host::kill`]. It does not know how disks are laid out beyond where `sshd` logs.
//!
//! What must stay true: files of the host are reached by the host's own programs or by paths
//! resolved below its root, never by plain paths through `/proc/PID/root`, where an absolute link
//! would lead into the machine.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat2};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::disk::{self, Place};
use crate::engine;
use crate::network::{Control, last_words};
use crate::options::HostOptions;
use crate::{Error, PATH};

/// What no program on a host may do, because it would be done to the machine: set the clock, reboot,
/// load modules, reach the hardware.
const BOUNDS: &str = "--bounding-set=-sys_time,-sys_boot,-sys_module,-sys_rawio";

/// A host. Dropping it powers it off; its disk goes with the network.
#[derive(Debug)]
pub struct Host {
    pub(crate) control: Arc<Control>,
    pub(crate) options: HostOptions,
    disk: Place,
    pub(crate) index: u32,
    /// Keeps the network namespace, and with it the cables, over a power cycle.
    net: OnceLock<File>,
    power: Mutex<Power>,
    /// How much of sshd's log the counters leave out, in bytes.
    counted_from: AtomicUsize,
}

/// What of a host runs.
#[derive(Debug)]
enum Power {
    Off,
    /// Started, not yet up.
    Booting(Child),
    /// The process that ends when the host does, and the PID of the host's init.
    On(Child, u32),
}

impl Host {
    /// Builds the disk.
    pub(crate) fn make(control: Arc<Control>, options: HostOptions) -> Result<Host, Error> {
        let (disk, index) = control.build(&options)?;
        Ok(Host {
            control,
            options,
            disk,
            index,
            net: OnceLock::new(),
            power: Mutex::new(Power::Off),
            counted_from: AtomicUsize::new(0),
        })
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the host's init.
    pub(crate) fn begin_boot(&self) -> Result<(), Error> {
        let what = format!("boot host {}", self.options.name);
        let mut power = self.power();
        if !matches!(*power, Power::Off) {
            return Ok(());
        }
        disk::before_boot(&self.disk).map_err(Error::io(&what))?;
        let mut command = self.control.enter();
        match self.net.get() {
            Some(net) => {
                let (pid, fd) = (std::process::id(), net.as_raw_fd());
                command
                    .arg(format!("--net=/proc/{pid}/fd/{fd}"))
                    .arg("unshare");
            }
            None => {
                command.args(["unshare", "--net"]);
            }
        }
        command.args([
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
        ]);
        // What a script on a host must not do to the machine, whatever it tries.
        command.args([
            "setpriv",
            "--bounding-set=-sys_time,-sys_boot,-sys_module,-sys_rawio",
        ]);
        command.arg("dash").arg(self.control.boot_script().inside);
        command
            .arg(&self.disk.inside)
            .arg(&self.options.name)
            .arg(self.control.net());
        command.arg(if self.net.get().is_some() {
            "wired"
        } else {
            "wire"
        });
        let services = [
            (self.options.sshd, "sshd"),
            (self.options.cron, "cron"),
            (self.options.engine, "docker"),
        ];
        let services: Vec<_> = services
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, s)| *s)
            .collect();
        let child = command
            .arg(services.join(" "))
            .arg(self.cgroup())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io(what))?;
        *power = Power::Booting(child);
        Ok(())
    }

    /// The control group, below the root of each hierarchy, that holds those of the host's containers.
    pub(crate) fn cgroup(&self) -> String {
        format!("/{}/{}", self.control.label(), self.options.name)
    }

    /// Waits until it is up.
    pub(crate) fn finish_boot(&self) -> Result<(), Error> {
        let what = format!("boot host {}", self.options.name);
        let mut power = self.power();
        let mut child = match std::mem::replace(&mut *power, Power::Off) {
            Power::Booting(child) => child,
            other => {
                *power = other;
                return Ok(());
            }
        };
        let mut lines = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            lines.extend(BufReader::new(stdout).lines().map_while(Result::ok).take(2));
        }
        let init = match &lines[..] {
            [pid, up] if up == "up" => pid.parse().ok(),
            _ => None,
        };
        let Some(init) = init else {
            return Err(Error::Failed {
                what,
                said: last_words(child),
            });
        };
        child.stderr = None;
        if self.net.get().is_none() {
            let net = File::open(format!("/proc/{init}/ns/net")).map_err(Error::io(what))?;
            let _ = self.net.set(net);
        }
        *power = Power::On(child, init);
        Ok(())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its first address.
    pub fn ip(&self) -> Ipv4Addr {
        self.options.addresses[0]
    }

    /// What it was made from.
    pub fn options(&self) -> &HostOptions {
        &self.options
    }

    /// The PID of its init as the machine sees it; below `/proc/PID` the machine sees the host.
    ///
    /// # Errors
    ///
    /// [`Error::Off`].
    pub fn init_pid(&self) -> Result<u32, Error> {
        match *self.power() {
            Power::On(_, init) => Ok(init),
            _ => Err(Error::Off(self.options.name.clone())),
        }
    }

    /// A command that will run on the host as root, in all its namespaces, with a clean
    /// environment and `/` as its working directory. Killing the child process does not kill the
    /// program; to have one to kill, ask the host.
    ///
    /// # Errors
    ///
    /// [`Error::Off`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Result<Command, Error> {
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", PATH).env("HOME", "/root");
        command
            .args([BOUNDS, "nsenter", "--target"])
            .arg(self.init_pid()?.to_string());
        command
            .args(["--mount", "--pid", "--uts", "--ipc", "--net", "--"])
            .arg(program);
        Ok(command)
    }

    /// Runs a command on the host as root, with nothing on its standard input, to its end. Goes
    /// past `sshd`, so it works on a host that is cut off or frozen, and is not counted.
    ///
    /// # Errors
    ///
    /// [`Error::Off`]; a command that fails is an [`Output`] that says so.
    pub fn exec<S: AsRef<OsStr>>(
        &self,
        command: impl IntoIterator<Item = S>,
    ) -> Result<Output, Error> {
        let mut words = command.into_iter();
        let Some(program) = words.next() else {
            let said = "no program is named".to_owned();
            return Err(Error::Failed {
                what: format!("run a command on {}", self.name()),
                said,
            });
        };
        self.command(program)?
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(format!(
                "run a command on host {}",
                self.options.name
            )))
    }

    /// Runs a script with the host's `sh` as root; what it printed, without the end's white space.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] where it ended with another status than 0.
    pub fn sh(&self, script: &str) -> Result<String, Error> {
        self.script(script, &[])
    }

    /// [`Host::sh`] with arguments, `$1` onwards.
    pub(crate) fn script(&self, script: &str, args: &[&str]) -> Result<String, Error> {
        let what = format!("run a script on host {}", self.options.name);
        let mut sh = self.command("sh")?;
        let text = crate::network::run(sh.args(["-c", script, "sh"]).args(args), &what)?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes a file, making the folders above it (mode 0755); a new file has mode 0644, and both
    /// belong to root. Uses no program of the host.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Io`] with the system's reason (disk full, read-only, …).
    pub fn write(&self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let what = format!("write {path} on host {}", self.options.name);
        let root = self.root(&what)?;
        let mut above = PathBuf::new();
        for name in Path::new(path)
            .parent()
            .into_iter()
            .flat_map(Path::components)
        {
            let parent = if above.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &above
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let made = openat2(&root, parent, flags, Mode::empty(), ResolveFlags::IN_ROOT)
                .and_then(|parent| match name {
                    Component::Normal(name) => mkdirat(parent, name, Mode::from(0o755)),
                    _ => Ok(()),
                });
            match made {
                Ok(()) | Err(Errno::EXIST) => above.push(name),
                Err(errno) => return Err(Error::io(what)(errno.into())),
            }
        }
        let mut file = self.open(path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC, &what)?;
        file.write_all(bytes.as_ref()).map_err(Error::io(what))
    }

    /// Reads a file whole. Uses no program of the host.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Io`] with the system's reason (not found, …).
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        let what = format!("read {path} on host {}", self.options.name);
        let mut bytes = Vec::new();
        let mut file = self.open(path, OFlags::RDONLY, &what)?;
        file.read_to_end(&mut bytes).map_err(Error::io(what))?;
        Ok(bytes)
    }

    /// The host's root folder.
    fn root(&self, what: &str) -> Result<File, Error> {
        File::open(format!("/proc/{}/root", self.init_pid()?)).map_err(Error::io(what))
    }

    /// Opens a file as the host's own root user would, links and mounts included.
    pub(crate) fn open(&self, path: &str, flags: OFlags, what: &str) -> Result<File, Error> {
        // A mode may only be given where a file may be made.
        let create = flags.contains(OFlags::CREATE);
        let mode = if create {
            Mode::from(0o644)
        } else {
            Mode::empty()
        };
        let root = self.root(what)?;
        let file = openat2(
            &root,
            path,
            flags | OFlags::CLOEXEC,
            mode,
            ResolveFlags::IN_ROOT,
        );
        file.map(File::from)
            .map_err(|errno| Error::io(what)(errno.into()))
    }

    /// The log of `sshd` since the host was made, at level VERBOSE; also of a host that is off.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where it cannot be read; a host that never had an `sshd` has an empty one.
    pub fn sshd_log(&self) -> Result<String, Error> {
        let path = self.disk.outside.join("rootfs/var/log/sshd.log");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut bytes = Vec::new();
        match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
            Ok(file) => File::from(file).read_to_end(&mut bytes).map(drop),
            Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
        .map_err(Error::io(format!(
            "read the sshd log of host {}",
            self.options.name
        )))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn count(&self, words: &str) -> Result<usize, Error> {
        let log = self.sshd_log()?;
        let from = self.counted_from.load(Ordering::Relaxed).min(log.len());
        let counted = log.as_bytes().split_at(from).1;
        let counted = String::from_utf8_lossy(counted);
        Ok(counted
            .lines()
            .filter(|line| line.starts_with(words))
            .count())
    }

    /// TCP connections that `sshd` accepted since the last [`Host::reset_counts`], whether or not
    /// they logged in. Passing through a jump host is a connection there and no exec.
    ///
    /// # Errors
    ///
    /// As [`Host::sshd_log`].
    pub fn connections(&self) -> Result<usize, Error> {
        self.count("Connection from ")
    }

    /// Sessions that were started since the last [`Host::reset_counts`]: commands, shells and
    /// subsystems.
    ///
    /// # Errors
    ///
    /// As [`Host::sshd_log`].
    pub fn execs(&self) -> Result<usize, Error> {
        self.count("Starting session: ")
    }

    /// Counts from here on.
    ///
    /// # Errors
    ///
    /// As [`Host::sshd_log`].
    pub fn reset_counts(&self) -> Result<(), Error> {
        self.counted_from
            .store(self.sshd_log()?.len(), Ordering::Relaxed);
        Ok(())
    }

    /// The host's public key as `sshd` shows it now: `ssh-ed25519 AAAA…`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the host never came up.
    pub fn host_key(&self) -> Result<String, Error> {
        let path = self
            .disk
            .outside
            .join("etc/upper/ssh/ssh_host_ed25519_key.pub");
        let line = fs::read_to_string(path).map_err(Error::io(format!(
            "read the host key of {}",
            self.options.name
        )))?;
        Ok(line.split(' ').take(2).collect::<Vec<_>>().join(" "))
    }

    /// [`Host::host_key`] as lines for a `known_hosts` file, one for each address.
    ///
    /// # Errors
    ///
    /// As [`Host::host_key`].
    pub fn known_hosts_lines(&self) -> Result<String, Error> {
        let key = self.host_key()?;
        let name = |ip: &Ipv4Addr| match self.options.ssh_port {
            22 => ip.to_string(),
            port => format!("[{ip}]:{port}"),
        };
        Ok(self
            .options
            .addresses
            .iter()
            .map(|ip| format!("{} {key}\n", name(ip)))
            .collect())
    }

    /// Gives the host another host key and restarts `sshd`; the network's `known_hosts` keeps the
    /// old one, so that checking clients refuse it.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] with what the host said.
    pub fn change_host_key(&self) -> Result<(), Error> {
        self.sh(
            "cd /etc/ssh && rm -f ssh_host_ed25519_key ssh_host_ed25519_key.pub && \
                 ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key",
        )?;
        self.restart_sshd()
    }

    /// Powers the host off, as if by pulling the plug: every process dies at once, nothing is
    /// unmounted or written. Its address still answers, and refuses connections; add
    /// [`Host::link_down`] for one that is silent. Does nothing to a host that is off.
    pub fn kill(&self) {
        // A host that is still booting has told no PID yet.
        let _ = self.finish_boot();
        let power = std::mem::replace(&mut *self.power(), Power::Off);
        match power {
            Power::Off | Power::Booting(_) => {}
            Power::On(mut child, init) => {
                // Only while the parent of init lives is the PID surely init's.
                if matches!(child.try_wait(), Ok(None))
                    && let Some(pid) = i32::try_from(init).ok().and_then(Pid::from_raw)
                {
                    let _ = kill_process(pid, Signal::KILL);
                }
                let _ = child.wait();
                if self.options.engine {
                    engine::remove_cgroups(&self.cgroup());
                }
            }
        }
    }

    /// Powers the host on again, with the same disk and cables, a new boot id and an empty `/run`.
    /// Returns when its services accept connections. Does nothing to a host that is on.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] with what the boot said.
    pub fn start(&self) -> Result<(), Error> {
        self.begin_boot()?;
        self.finish_boot()
    }

    /// [`Host::kill`] and [`Host::start`].
    ///
    /// # Errors
    ///
    /// As [`Host::start`].
    pub fn reboot(&self) -> Result<(), Error> {
        self.kill();
        self.start()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}
