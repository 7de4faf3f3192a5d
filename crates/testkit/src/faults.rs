//! What can go wrong with a host that is on: cables, frozen processes, `sshd`, full and read-only
//! disks. Each fault can be rolled back; none outlives the host.
//!
//! It works through the host's own programs and the control side's `ip`, and keeps no state: asking
//! twice for the same fault is asking the kernel twice.

use std::io::{ErrorKind, Write};

use rustix::fs::OFlags;

use crate::host::Host;
use crate::{Error, PATH, disk};

/// The file that fills a small disk.
const FILLING: &str = ".filled";

impl Host {
    /// Pulls the host's cables: what is sent to it from the control side is lost without a word, so
    /// that connecting times out and open connections hang. (Another *host* learns after three
    /// seconds that there is no route.)
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the control side refused.
    pub fn link_down(&self) -> Result<(), Error> {
        self.link("down")
    }

    /// Plugs the cables in again.
    ///
    /// # Errors
    ///
    /// As [`Host::link_down`].
    pub fn link_up(&self) -> Result<(), Error> {
        self.link("up")
    }

    fn link(&self, state: &str) -> Result<(), Error> {
        for position in 0..self.options.addresses.len() {
            let cable = disk::cable(self.index, position);
            let mut ip = self.control.command("ip");
            ip.env("PATH", PATH).args(["link", "set", &cable, state]);
            let what = format!("take the link of host {} {state}", self.options.name);
            crate::network::run(&mut ip, &what)?;
        }
        Ok(())
    }

    /// Stops every process of the host but its init (SIGSTOP): the kernel still accepts TCP
    /// connections for it, and nothing ever answers.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`].
    pub fn freeze(&self) -> Result<(), Error> {
        // The second time is for what was being forked meanwhile.
        self.sh("kill -STOP -1; kill -STOP -1").map(drop)
    }

    /// Lets every stopped process of the host continue.
    ///
    /// # Errors
    ///
    /// As [`Host::freeze`].
    pub fn thaw(&self) -> Result<(), Error> {
        self.sh("kill -CONT -1").map(drop)
    }

    /// Ends the listening `sshd`: new connections are refused, sessions continue.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] where it does not run.
    pub fn stop_sshd(&self) -> Result<(), Error> {
        // The PID file goes when sshd has ended; until then its port may still be taken.
        self.sh("kill \"$(cat /run/sshd.pid)\" && while [ -e /run/sshd.pid ]; do sleep 0.01; done")
            .map(drop)
    }

    /// Starts `sshd`; returns when it accepts connections.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] with the end of its log.
    pub fn start_sshd(&self) -> Result<(), Error> {
        // As at boot: it goes to the background first and listens then.
        let script = r#"
            rm -f /run/sshd.pid
            /usr/sbin/sshd -E /var/log/sshd.log && tries=0 && until [ -e /run/sshd.pid ]; do
                tries=$((tries + 1))
                [ $tries -lt 500 ] || break
                sleep 0.01
            done
            [ -e /run/sshd.pid ] || { tail -n 5 /var/log/sshd.log >&2; exit 1; }"#;
        self.sh(script).map(drop)
    }

    /// [`Host::stop_sshd`] and [`Host::start_sshd`]: sessions that are open continue, as under
    /// systemd.
    ///
    /// # Errors
    ///
    /// As those two.
    pub fn restart_sshd(&self) -> Result<(), Error> {
        self.stop_sshd()?;
        self.start_sshd()
    }

    /// Fills a small disk ([`crate::HostOptions::small_disks`], by its path) to the last byte.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] where the host has no small disk there: nothing else may be filled, since
    /// the other disks are the machine's memory.
    pub fn fill_disk(&self, path: &str) -> Result<(), Error> {
        if !self
            .options
            .small_disks
            .iter()
            .any(|disk| disk.path == path)
        {
            let what = format!("fill {path} on host {}", self.options.name);
            return Err(Error::Failed {
                what,
                said: "it is no small disk".to_owned(),
            });
        }
        let what = format!("fill {path} on host {}", self.options.name);
        let name = format!("{path}/{FILLING}");
        let mut file = self.open(&name, OFlags::WRONLY | OFlags::CREATE, &what)?;
        let zeros = [0; 65536];
        loop {
            // A write that finds some room left takes it, so that the last leaves none.
            match file.write(&zeros) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(Error::io(what)(error)),
            }
        }
    }

    /// Takes back what [`Host::fill_disk`] wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`].
    pub fn free_disk(&self, path: &str) -> Result<(), Error> {
        self.script("rm -f \"$1\"", &[&format!("{path}/{FILLING}")])
            .map(drop)
    }

    /// Makes the folder `path` read-only until [`Host::remount_rw`] or the next boot: writing says
    /// "Read-only file system". Small disks below it stay writable, and so do files that were opened
    /// before, so that running programs need not be stopped for it. Not for `/`.
    ///
    /// # Errors
    ///
    /// [`Error::Off`], or [`Error::Failed`] with what the host said.
    pub fn remount_ro(&self, path: &str) -> Result<(), Error> {
        // A second mount over the first: remounting that itself fails while a file is being written.
        let script = r#"mount --rbind "$1" "$1" && exec mount -o remount,bind,ro "$1""#;
        self.script(script, &[path]).map(drop)
    }

    /// Makes it writable again.
    ///
    /// # Errors
    ///
    /// As [`Host::remount_ro`]; where the folder is not read-only, too.
    pub fn remount_rw(&self, path: &str) -> Result<(), Error> {
        let script = r#"
            grep -q "^[^ ]* [^ ]* [^ ]* [^ ]* $1 ro" /proc/self/mountinfo && exec umount -l "$1"
            echo "$1 is not read-only" >&2; exit 1"#;
        self.script(script, &[path]).map(drop)
    }
}
