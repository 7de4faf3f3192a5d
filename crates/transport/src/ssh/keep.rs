//! Connections that outlive a run, for the next one: `ssh.keep`.
//!
//! Each is an OpenSSH master in a folder of ours, named after everything that decides where it leads and
//! who logs in there. Whoever takes one over asks the host first whether it still answers.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use openssh::Session;
use tarsops_model::digest::Digest;
use tarsops_model::host::SshAccess;

use super::NewHostKeys;

/// How old a connection may be that is taken over. One that is used again and again would else never
/// end, and with it what was true when it logged in.
const OLDEST: Duration = Duration::from_secs(3600);
/// For how long a host may take to answer over a connection that is taken over.
const PATIENCE: Duration = Duration::from_secs(3);

/// The file that is as old as its connection.
const MADE: &str = "made";

/// The folder of kept connections.
pub(super) struct Keep {
    dir: PathBuf,
    /// For how long each of them may be idle.
    pub(super) idle: Duration,
}

/// The place of one connection, which is ours until this is dropped.
pub(super) struct Turn {
    /// The folder of its socket.
    pub(super) dir: PathBuf,
    _lock: File,
}

impl Keep {
    /// # Errors
    /// No place on this machine has a folder that is ours alone.
    pub(super) fn new(idle: Duration) -> io::Result<Self> {
        let user = rustix::process::getuid().as_raw();
        let dir = crate::folder::lasting(&format!("tarsops-ssh-{user}"))?;
        tidy(&dir);
        Ok(Self { dir, idle })
    }

    /// The place for the connection that `access` describes. Waits while another process opens it.
    ///
    /// # Errors
    /// An error of the file system.
    pub(super) async fn turn(
        &self,
        access: &SshAccess,
        new_keys: NewHostKeys,
        home: Option<&Path>,
    ) -> io::Result<Turn> {
        let dir = self.dir.join(name(access, new_keys, home));
        let path = dir.clone();
        let lock = tokio::task::spawn_blocking(move || locked(&path))
            .await
            .map_err(io::Error::other)??;
        Ok(Turn { dir, _lock: lock })
    }
}

/// Makes the folder `dir` where it is not there, and locks it.
fn locked(dir: &Path) -> io::Result<File> {
    loop {
        match fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        let file = match File::open(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        file.lock()?;
        // Somebody may have tidied it away meanwhile.
        let is_there =
            fs::metadata(dir).is_ok_and(|now| file.metadata().is_ok_and(|m| m.ino() == now.ino()));
        if is_there {
            return Ok(file);
        }
    }
}

/// Removes folders whose connections ended long ago.
fn tidy(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if age(&path).is_some_and(|age| age > OLDEST * 2)
            && !path.join("master").exists()
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// How long ago anything was made there.
fn age(path: &Path) -> Option<Duration> {
    let changed = fs::symlink_metadata(path).ok()?.modified().ok()?;
    SystemTime::now().duration_since(changed).ok()
}

impl Turn {
    /// The socket of the master.
    pub(super) fn socket(&self) -> PathBuf {
        self.dir.join("master")
    }

    /// The connection that an earlier run has left, if its host answers over it. One that does not is
    /// ended, and nothing is left of it.
    pub(super) async fn resume(&self) -> Option<Session> {
        let is_young = age(&self.dir.join(MADE)).is_some_and(|age| age < OLDEST);
        let session = Session::resume_mux(self.socket().into(), None);
        if is_young && answers(&session).await {
            return Some(session);
        }
        let _ = tokio::time::timeout(PATIENCE, session.close()).await;
        self.clear();
        None
    }

    /// Prepares the folder for a new connection.
    ///
    /// # Errors
    /// An error of the file system.
    pub(super) fn begin(&self) -> io::Result<()> {
        File::create_new(self.dir.join(MADE)).map(drop)
    }

    /// Removes what is left of a connection that does not stand.
    pub(super) fn clear(&self) {
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the host at the other end of a connection still runs what it is sent.
async fn answers(session: &Session) -> bool {
    let asked = async {
        session.check().await?;
        session.raw_command(":").status().await
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    matches!(answer, Ok(Ok(status)) if status.success())
}

/// A name for everything that decides where a connection leads and who logs in: it differs as soon as
/// the spec, a configuration of OpenSSH, a key or a list of known hosts does.
fn name(access: &SshAccess, new_keys: NewHostKeys, home: Option<&Path>) -> String {
    let mut text = format!("{access:?} {new_keys:?}");
    let own = |name: &str| home.map(|home| home.join(".ssh").join(name));
    let files = [
        access.identity.clone(),
        access.known_hosts.clone().or_else(|| own("known_hosts")),
        access.config.clone().or_else(|| own("config")),
        Some(PathBuf::from("/etc/ssh/ssh_config")),
        Some(PathBuf::from("/etc/ssh/ssh_known_hosts")),
    ];
    for path in files.into_iter().flatten() {
        let stamp = fs::metadata(&path).ok().map(|file| {
            let changed = (
                file.mtime(),
                file.mtime_nsec(),
                file.ctime(),
                file.ctime_nsec(),
            );
            (file.dev(), file.ino(), file.len(), changed)
        });
        text += &format!(" {} {stamp:?}", path.display());
    }
    Digest::of(text.as_bytes()).short()
}

#[cfg(test)]
mod tests {
    use tarsops_model::host::{Become, Jump, KeyExchange};

    use super::*;

    fn access() -> SshAccess {
        SshAccess {
            address: "10.0.0.1".parse().unwrap(),
            user: None,
            port: None,
            identity: None,
            jump: Jump::Configured,
            r#become: Become::None,
            known_hosts: None,
            config: None,
            connect_timeout: 7,
            key_exchange: KeyExchange::Configured,
        }
    }

    #[test]
    fn a_place_has_one_owner_at_a_time() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("place");
        let first = locked(&dir).unwrap();
        assert!(File::open(&dir).unwrap().try_lock().is_err());
        // Nobody tidies away what is in use, nor what is young.
        let old = SystemTime::now() - OLDEST * 3;
        first.set_modified(old).unwrap();
        tidy(root.path());
        assert!(dir.exists());
        drop(first);
        File::open(&dir)
            .unwrap()
            .set_modified(SystemTime::now())
            .unwrap();
        tidy(root.path());
        assert!(dir.exists());
        File::open(&dir).unwrap().set_modified(old).unwrap();
        tidy(root.path());
        assert!(!dir.exists());
        locked(&dir).unwrap();
    }

    #[test]
    fn a_connection_is_another_one_as_soon_as_anything_about_it_changes() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(".ssh")).unwrap();
        let now = |access: &SshAccess| name(access, NewHostKeys::Refuse, Some(home.path()));
        let first = now(&access());
        assert_eq!(first, now(&access()));
        let mut seen = vec![first];
        seen.push(name(&access(), NewHostKeys::Accept, Some(home.path())));
        seen.push(now(&SshAccess {
            user: Some("ops".parse().unwrap()),
            ..access()
        }));
        seen.push(now(&SshAccess {
            jump: Jump::None,
            ..access()
        }));
        seen.push(now(&SshAccess {
            r#become: Become::Sudo,
            ..access()
        }));
        seen.push(now(&SshAccess {
            key_exchange: KeyExchange::Curve25519,
            ..access()
        }));
        for file in ["config", "known_hosts"] {
            let path = home.path().join(".ssh").join(file);
            fs::write(&path, "a\n").unwrap();
            seen.push(now(&access()));
            // As an editor does: another file of the same name and length.
            fs::write(path.with_extension("new"), "b\n").unwrap();
            fs::rename(path.with_extension("new"), &path).unwrap();
            seen.push(now(&access()));
        }
        let key = home.path().join("key");
        let with_key = SshAccess {
            identity: Some(key.clone()),
            ..access()
        };
        seen.push(now(&with_key));
        fs::write(&key, "key").unwrap();
        seen.push(now(&with_key));
        let count = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), count, "{seen:?}");
    }
}
