//! The generated client configuration, which stands before every other: of OpenSSH's settings the
//! first one counts.
//!
//! OpenSSH reads a path in a configuration by rules that differ between settings and releases:
//! quotation marks, backslashes, `%` and `${…}`, patterns in what is included. So a path with any of
//! these never stands there: a symbolic link in our own folder does, under a name of ours.

use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use tarsops_model::digest::Digest;
use tarsops_model::host::{Jump, KeyExchange, SshAccess};

use super::NewHostKeys;

/// The text of the client configuration that stands before the user's own. Links that it needs are
/// made in `dir`.
///
/// # Errors
/// An error of the file system if a link cannot be made.
pub(super) fn client_config(
    access: &SshAccess,
    new_keys: NewHostKeys,
    home: Option<&Path>,
    dir: &Path,
) -> io::Result<String> {
    let mut out =
        String::from("Host *\n  BatchMode yes\n  ServerAliveInterval 5\n  ServerAliveCountMax 3\n");
    // Connections carry our scripts and tunnels, and nothing that a configuration adds: a command on
    // this machine, an open port (which a second connection would meet), our agent or display, or our
    // key handed to an agent.
    out.push_str(
        "  AddKeysToAgent no\n  PermitLocalCommand no\n  ClearAllForwardings yes\n  ForwardAgent no\n  ForwardX11 no\n  Tunnel no\n",
    );
    if access.jump == Jump::None {
        // `ProxyJump none` alone leaves a ProxyCommand that comes later.
        out.push_str("  ProxyCommand none\n  ProxyJump none\n");
    }
    let strict = match new_keys {
        NewHostKeys::Refuse => "yes",
        NewHostKeys::Accept => "accept-new",
    };
    let _ = writeln!(out, "  StrictHostKeyChecking {strict}");
    let _ = writeln!(out, "  ConnectTimeout {}", access.connect_timeout);
    if access.key_exchange == KeyExchange::Curve25519 {
        // Only before the others: a host that does not know it is reached all the same.
        out.push_str("  KexAlgorithms ^curve25519-sha256,curve25519-sha256@libssh.org\n");
    }
    if let Some(path) = &access.known_hosts {
        let path = plain(path, &[""], dir)?;
        let _ = writeln!(out, "  UserKnownHostsFile \"{path}\"");
        let _ = writeln!(out, "  GlobalKnownHostsFile none");
    }
    if let Some(path) = &access.identity {
        // OpenSSH looks for these beside the key.
        let path = plain(path, &["", ".pub", "-cert.pub"], dir)?;
        let _ = writeln!(out, "  IdentityFile \"{path}\"");
        let _ = writeln!(out, "  IdentitiesOnly yes");
    }
    match &access.config {
        Some(path) => {
            let _ = writeln!(out, "  Include \"{}\"", plain(path, &[""], dir)?);
        }
        None => {
            if let Some(home) = home {
                let own = home.join(".ssh/config");
                let _ = writeln!(out, "  Include \"{}\"", plain(&own, &[""], dir)?);
            }
            let _ = writeln!(out, "  Include /etc/ssh/ssh_config");
        }
    }
    Ok(out)
}

/// `path` as every release of OpenSSH reads it, or a link in `dir` that leads there, with links
/// beside it for each of `endings`.
fn plain(path: &Path, endings: &[&str], dir: &Path) -> io::Result<String> {
    if let Some(text) = path.to_str()
        && is_plain(text)
    {
        return Ok(text.to_owned());
    }
    let name = format!("l{}", Digest::of(path.as_os_str().as_bytes()).short());
    for ending in endings {
        let mut to = path.as_os_str().to_owned();
        to.push(ending);
        let link = dir.join(format!("{name}{ending}"));
        match std::os::unix::fs::symlink(PathBuf::from(to), &link) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    let link = dir.join(name);
    match link.to_str() {
        Some(text) if is_plain(text) => Ok(text.to_owned()),
        _ => Err(io::Error::other(format!(
            "the temporary folder {} has a name that ssh would read otherwise",
            dir.display()
        ))),
    }
}

/// Whether every release of OpenSSH reads `text`, between quotation marks, as these very characters
/// in every setting.
fn is_plain(text: &str) -> bool {
    text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-+@:,= ".contains(&b))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tarsops_model::host::Become;

    use super::*;

    fn access(path: &Path) -> SshAccess {
        SshAccess {
            address: "10.0.0.1".parse().unwrap(),
            user: None,
            port: None,
            identity: Some(path.to_path_buf()),
            jump: Jump::Configured,
            r#become: Become::None,
            known_hosts: Some(path.to_path_buf()),
            config: Some(path.to_path_buf()),
            connect_timeout: 7,
            key_exchange: KeyExchange::Configured,
        }
    }

    #[test]
    fn a_cheaper_key_exchange_comes_first_and_rules_none_out() {
        let dir = tempfile::tempdir().unwrap();
        let spec = dir.path().join("spec");
        std::fs::write(&spec, "KexAlgorithms ecdh-sha2-nistp256\n").unwrap();
        let exchanges = |key_exchange, config| -> Vec<String> {
            let access = SshAccess {
                key_exchange,
                config,
                ..access(&spec)
            };
            let text = client_config(&access, NewHostKeys::Refuse, None, dir.path()).unwrap();
            let found = understood(&text, dir.path());
            let line = found.iter().find_map(|l| l.strip_prefix("kexalgorithms "));
            line.unwrap().split(',').map(str::to_owned).collect()
        };
        let usual = exchanges(KeyExchange::Configured, Some(dir.path().join("none")));
        let own = exchanges(KeyExchange::Configured, Some(spec.clone()));
        assert_eq!(own, ["ecdh-sha2-nistp256"]);
        let mut cheap = exchanges(KeyExchange::Curve25519, Some(spec.clone()));
        assert_eq!(cheap[0], "curve25519-sha256");
        let mut usual = usual;
        cheap.sort();
        usual.sort();
        assert_eq!(cheap, usual);
    }

    #[test]
    fn the_spec_stands_before_the_users_own_configuration() {
        let access = SshAccess {
            known_hosts: Some("/k/known hosts".into()),
            config: None,
            ..access(Path::new("/k/id"))
        };
        let home = Some(Path::new("/home/me"));
        let text = client_config(&access, NewHostKeys::Refuse, home, Path::new("/d")).unwrap();
        let ours = text.find("StrictHostKeyChecking yes").unwrap();
        let theirs = text.find("Include \"/home/me/.ssh/config\"").unwrap();
        assert!(ours < theirs);
        assert!(text.contains("UserKnownHostsFile \"/k/known hosts\""));
        assert!(!text.contains("StrictHostKeyChecking no"));
    }

    /// What the real client makes of a configuration, line by line.
    fn understood(text: &str, dir: &Path) -> Vec<String> {
        let file = dir.join("generated");
        std::fs::write(&file, text).unwrap();
        let out = Command::new("ssh")
            .args(["-G", "-F"])
            .arg(&file)
            .arg("10.0.0.1")
            .env("EVIL", "/evil")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{text}\n{said}");
        let out = String::from_utf8(out.stdout).unwrap();
        out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn no_configuration_hands_a_key_to_an_agent() {
        let dir = tempfile::tempdir().unwrap();
        let spec = dir.path().join("spec");
        std::fs::write(&spec, "AddKeysToAgent yes\n").unwrap();
        let text = client_config(&access(&spec), NewHostKeys::Refuse, None, dir.path()).unwrap();
        let found = understood(&text, dir.path());
        assert!(
            found.contains(&"addkeystoagent false".to_owned()),
            "{found:?}"
        );
    }

    #[test]
    fn no_jump_host_means_no_other_way_either() {
        let dir = tempfile::tempdir().unwrap();
        let spec = dir.path().join("spec");
        for way in [
            "ProxyJump bastion",
            "ProxyCommand nc %h %p",
            "ProxyJump a,b\nProxyCommand false",
        ] {
            std::fs::write(&spec, format!("{way}\n")).unwrap();
            let goes = |jump| {
                let access = SshAccess {
                    jump,
                    ..access(&spec)
                };
                let text = client_config(&access, NewHostKeys::Refuse, None, dir.path()).unwrap();
                let found = understood(&text, dir.path());
                found
                    .iter()
                    .any(|l| l.starts_with("proxyjump ") || l.starts_with("proxycommand "))
            };
            assert!(goes(Jump::Configured), "{way}");
            assert!(!goes(Jump::None), "{way}");
        }
    }

    #[test]
    fn no_path_leaves_its_place_in_the_configuration() {
        let parts = [
            "\"",
            "'",
            "\\",
            "%h",
            "%",
            "%%",
            "${EVIL}",
            "$EVIL",
            "~",
            " ",
            "\t",
            "#",
            "=",
            "*",
            "[a]",
            "?",
            "\n  ProxyCommand touch /evil",
            "\"\n  LogLevel DEBUG3\n",
            "ü",
            "none",
            "{",
            "\" /second \"",
            "\\\"",
            "|",
            "`id`",
            "\r",
        ];
        let plain = tempfile::tempdir().unwrap();
        let kept = plain.path().join("k");
        std::fs::write(&kept, "User included\n").unwrap();
        let make = |path: &Path, dir: &Path| {
            client_config(&access(path), NewHostKeys::Refuse, None, dir).unwrap()
        };
        let usual = understood(&make(&kept, plain.path()), plain.path());
        let places = ["userknownhostsfile ", "identityfile "];
        let others = |all: &[String]| -> Vec<String> {
            let is_place = |l: &&String| places.iter().any(|p| l.starts_with(p));
            all.iter().filter(|l| !is_place(l)).cloned().collect()
        };
        assert!(usual.contains(&"user included".to_owned()));
        let mut tried = 0;
        for first in parts {
            for second in parts {
                let root = tempfile::tempdir().unwrap();
                let links = tempfile::tempdir().unwrap();
                let path = root.path().join(format!("a{first}b{second}c"));
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(&path, "User included\n").unwrap();
                let found = understood(&make(&path, links.path()), links.path());
                assert_eq!(others(&found), others(&usual), "{}", path.display());
                for place in places {
                    let told: Vec<&str> =
                        found.iter().filter_map(|l| l.strip_prefix(place)).collect();
                    assert_eq!(told.len(), 1, "{told:?}");
                    let told = Path::new(told[0]);
                    let leads = std::fs::read_link(told).unwrap_or_else(|_| told.to_path_buf());
                    assert_eq!(leads, path);
                }
                tried += 1;
            }
        }
        assert_eq!(tried, parts.len() * parts.len());
    }

    #[test]
    fn a_key_brings_its_public_half_and_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(Path::new("/k/100%/id"));
        let text = client_config(&access, NewHostKeys::Refuse, None, dir.path()).unwrap();
        let line = text.lines().find(|l| l.contains("IdentityFile")).unwrap();
        let link = line.split('"').nth(1).unwrap();
        for ending in ["", ".pub", "-cert.pub"] {
            let leads = std::fs::read_link(format!("{link}{ending}")).unwrap();
            assert_eq!(leads, PathBuf::from(format!("/k/100%/id{ending}")));
        }
    }
}
