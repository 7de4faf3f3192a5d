//! What a test host is made of.
//!
//! Plain data. It does not know how a host is built; [`crate::Network::host`] refuses what makes no
//! sense before anything is started.

use std::net::Ipv4Addr;

/// Which programs a host's `/bin/sh` and basic tools are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Shell {
    /// `/bin/sh` is dash and the tools are the machine's own (GNU coreutils on Debian).
    #[default]
    Dash,
    /// `/bin/sh` is busybox, and every tool that busybox has an applet for is that applet, except
    /// `crontab`, `crond`, `su`, `passwd` and `login`, which stay the machine's because they carry
    /// a set-user-id bit or belong to its cron. What busybox lacks (`ss`, `pgrep`, `openssl`) is
    /// the machine's; see [`HostOptions::hide`].
    ///
    /// Debian's package `busybox` is needed: the shell of `busybox-static` looks at its own applets
    /// before `PATH`.
    Busybox,
}

/// A small file system of its own at some folder of a host, to be filled by a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmallDisk {
    /// The folder, absolute.
    pub path: String,
    /// Its size in bytes, rounded up to whole pages.
    pub bytes: u64,
}

/// What to build a host from; made by [`HostOptions::new`], then changed field by field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostOptions {
    /// The host name: letters, digits, `-`, `_` and `.`; unique in its network, also after the host
    /// was dropped.
    pub name: String,
    /// Its addresses, one interface each (`eth0`, `eth1`). `10.77.x.y` is on the outer segment,
    /// which the control side sees (itself `10.77.0.1`); `10.78.x.y` on the inner segment, which
    /// only hosts with an address there see. A jump host has one of each. The first address is
    /// what [`crate::Host::ip`] returns.
    pub addresses: Vec<Ipv4Addr>,
    /// Shell and basic tools.
    pub shell: Shell,
    /// The user an operator logs in as, with the network's client key; `root` may log in too.
    pub ops_user: String,
    /// Whether that user may run everything through `sudo` without a password.
    pub sudo: bool,
    /// Further users with a home folder and no key, such as the framework's `tars`.
    pub users: Vec<String>,
    /// Whether `sshd` is started at boot.
    pub sshd: bool,
    /// The port of `sshd`.
    pub ssh_port: u16,
    /// Lines put at the top of `sshd_config`, where they win over the harness's own.
    pub sshd_config: String,
    /// Whether `cron` is started at boot.
    pub cron: bool,
    /// Whether a Docker engine of the host's own is started at boot: `dockerd` with its images below
    /// `/var/lib/docker`, its socket at `/run/docker.sock` and a bridge. Needs Debian's `docker.io` and
    /// `iptables`, see [`crate::require_engine_or_fail`].
    pub engine: bool,
    /// Programs that are taken out of `/usr/bin` and `/usr/sbin`: `ss`, `pgrep`, `sha256sum`. The
    /// harness boots a host with its `umount` and `ssh-keygen`, and some methods of
    /// [`crate::Host`] use its `sh`, `cat`, `grep`, `mount`, `rm`, `sleep` or `tail`.
    pub hide: Vec<String>,
    /// Folders that are small file systems of their own.
    pub small_disks: Vec<SmallDisk>,
}

impl HostOptions {
    /// A host with one address, dash, `sshd` on port 22, `cron`, the user `ops` with `sudo`, and
    /// the user `tars`.
    #[must_use]
    pub fn new(name: &str, ip: Ipv4Addr) -> HostOptions {
        HostOptions {
            name: name.to_owned(),
            addresses: vec![ip],
            shell: Shell::Dash,
            ops_user: "ops".to_owned(),
            sudo: true,
            users: vec!["tars".to_owned()],
            sshd: true,
            ssh_port: 22,
            sshd_config: String::new(),
            cron: true,
            engine: false,
            hide: Vec::new(),
            small_disks: Vec::new(),
        }
    }

    /// The `index`th host of a row, counted from 0: named `nINDEX+1`, at `10.77.1.1` onwards.
    #[must_use]
    pub fn numbered(index: u8) -> HostOptions {
        let number = u16::from(index) + 1;
        let [high, low] = number.to_be_bytes();
        HostOptions::new(&format!("n{number}"), Ipv4Addr::new(10, 77, 1 + high, low))
    }

    /// The same host with the busybox shell and tools.
    #[must_use]
    pub fn busybox(mut self) -> HostOptions {
        self.shell = Shell::Busybox;
        self
    }

    /// The same host with a Docker engine.
    #[must_use]
    pub fn engine(mut self) -> HostOptions {
        self.engine = true;
        self
    }

    /// The first thing that makes no sense, as a lowercase sentence.
    pub(crate) fn fault(&self) -> Option<String> {
        let word = |text: &str| {
            !text.is_empty()
                && !text.starts_with(['-', '.'])
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        for text in [&self.name, &self.ops_user]
            .into_iter()
            .chain(&self.users)
            .chain(&self.hide)
        {
            if !word(text) {
                return Some(format!("'{text}' is no plain name"));
            }
        }
        if self.addresses.is_empty() {
            return Some("it has no address".to_owned());
        }
        for ip in &self.addresses {
            if !matches!(ip.octets(), [10, 77 | 78, _, _]) || ip.octets() == [10, 77, 0, 1] {
                return Some(format!(
                    "{ip} is no host address in 10.77.0.0/16 or 10.78.0.0/16"
                ));
            }
        }
        for disk in &self.small_disks {
            if !disk.path.starts_with('/') || disk.path.contains([' ', '\t', '\n', '\\', '"']) {
                return Some(format!("'{}' is no plain absolute path", disk.path));
            }
        }
        None
    }
}
