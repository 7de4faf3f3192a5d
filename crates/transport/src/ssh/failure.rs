//! Why a connection failed: the words of OpenSSH become a [`FaultKind`] here, and nowhere else.
//!
//! `ssh` writes its own words to a log. The standard error of its process has the words of the
//! programs that lead to the host: `ssh` to a jump host, or a `ProxyCommand`. So a failure of a jump
//! host is never taken for one of the host behind it.

use tarsops_model::host::{Jump, SshAccess};

use crate::remote::{Fault, FaultKind, JumpFault};

/// What a failed `ssh -v` wrote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    /// Its log.
    pub(super) log: &'a str,
    /// The standard error of its process.
    pub(super) way: &'a str,
    /// Whether it had to be ended, as it took too long.
    pub(super) timed_out: bool,
}

/// What the lines of one `ssh` say, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Symptom {
    /// It cannot work with its configuration.
    Unusable,
    ChangedKey,
    UnknownKey,
    TooManyKeys,
    Login,
    NoCommonAlgorithm,
    /// A jump host could not reach what comes next.
    Forwarding(Reach),
    /// A jump host may not lead us further.
    Forbidden,
    Reach(Reach),
    /// The connection ended, without a cause.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Refused,
    TimedOut,
    Unreachable,
}

impl Reach {
    /// From the text of an error of the operating system.
    fn of(reason: &str) -> Self {
        if reason.contains("refused") {
            Self::Refused
        } else if reason.contains("timed out") {
            Self::TimedOut
        } else {
            Self::Unreachable
        }
    }

    const fn kind(self) -> FaultKind {
        match self {
            Self::Refused => FaultKind::Refused,
            Self::TimedOut => FaultKind::TimedOut,
            Self::Unreachable => FaultKind::Unreachable,
        }
    }

    const fn jump(self) -> JumpFault {
        match self {
            Self::Refused => JumpFault::Refused,
            Self::TimedOut => JumpFault::TimedOut,
            Self::Unreachable => JumpFault::Unreachable,
        }
    }
}

/// What one line means. Banners of hosts stand among the lines, so whole sentences are compared.
fn meaning(line: &str) -> Option<Symptom> {
    if let Some(rest) = line.strip_prefix("ssh: connect to host ") {
        return Some(Symptom::Reach(Reach::of(rest)));
    }
    if line.starts_with("ssh: Could not resolve hostname ") {
        return Some(Symptom::Reach(Reach::Unreachable));
    }
    if line.starts_with("channel ")
        && let Some((_, reason)) = line.split_once(": open failed: ")
    {
        return Some(match reason.strip_prefix("connect failed: ") {
            Some(reason) => Symptom::Forwarding(Reach::of(reason)),
            None => Symptom::Forbidden,
        });
    }
    let starts = |text| line.starts_with(text);
    let ends = |text| line.ends_with(text);
    let contains = |text| line.contains(text);
    let timed_out = starts("Connection timed out during ")
        || starts("Timeout, server ")
        || starts("Connection to ") && ends(" timed out");
    let unusable = starts("jumphost loop via ")
        || starts("Bad owner or permissions on ")
        || starts("Can't open user config file ")
        || starts("/") && (contains(" line ") || contains(": terminating, "))
        || starts("command-line") && contains(" line ")
        || starts("ControlPath too long")
        || starts("unix_listener: path ")
        || starts("percent_")
        || starts("vdollar_percent_expand");
    let changed = starts("Host key for ") && contains(" has changed and you have requested strict")
        || starts("The ") && contains(" host key for ") && ends(" is marked as revoked.")
        || starts("Host key ") && contains(" revoked by file ");
    let unknown = starts("No ") && contains(" host key is known for ")
        || line == "Host key verification failed.";
    let denied = contains(": Permission denied (") && ends(").");
    let closed = contains("Connection closed by ")
        || contains("Connection reset by ")
        || starts("Disconnected from ")
        || starts("Received disconnect from ");
    if unusable {
        Some(Symptom::Unusable)
    } else if changed {
        Some(Symptom::ChangedKey)
    } else if unknown {
        Some(Symptom::UnknownKey)
    } else if starts("Received disconnect from ") && ends("Too many authentication failures") {
        Some(Symptom::TooManyKeys)
    } else if denied {
        Some(Symptom::Login)
    } else if starts("Unable to negotiate with ") {
        Some(Symptom::NoCommonAlgorithm)
    } else if timed_out {
        Some(Symptom::Reach(Reach::TimedOut))
    } else if closed {
        Some(Symptom::Closed)
    } else {
        None
    }
}

/// The lines that are no debug output, and what stands around the messages.
fn lines(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.lines().map(str::trim).filter(|l| {
        let is_debug = l
            .strip_prefix("debug")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        !l.is_empty() && !is_debug && !l.starts_with("OpenSSH_") && !l.starts_with('@')
    })
}

/// The strongest cause that `text` has, with its line; of equal ones the first.
fn cause(text: &str) -> Option<(Symptom, &str)> {
    lines(text)
        .filter_map(|l| Some((meaning(l)?, l)))
        .min_by_key(|(said, _)| *said)
}

/// The rest of the first line of `text` that begins so.
fn after<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    text.lines().find_map(|l| l.trim().strip_prefix(beginning))
}

/// Why there is no connection.
pub(super) fn connect_fault(words: Words<'_>, access: &SshAccess) -> Fault {
    let is_proxied = after(words.log, "debug1: Executing proxy command: ").is_some();
    match cause(words.log) {
        Some((said, line)) if said < Symptom::Reach(Reach::Refused) => {
            host_fault(said, line, words.log, access)
        }
        own if is_proxied => {
            let timed_out = words.timed_out || own.is_some_and(|(s, _)| s < Symptom::Closed);
            behind(words, timed_out, access)
        }
        Some((said @ Symptom::Reach(_), line)) => host_fault(said, line, words.log, access),
        _ if words.timed_out => Fault::new(
            FaultKind::TimedOut,
            format!("{} did not finish an SSH handshake in time", access.address),
        ),
        _ => {
            let last = lines(words.log).next_back().unwrap_or("no word");
            host_fault(Symptom::Closed, last, words.log, access)
        }
    }
}

/// Why there is no connection to a host behind others, of which the log itself says nothing.
fn behind(words: Words<'_>, timed_out: bool, access: &SshAccess) -> Fault {
    let through = match &access.jump {
        Jump::Through(host) => format!("the jump host {host}"),
        Jump::Configured | Jump::None => "the jump host".to_owned(),
    };
    let is_inside = lines(words.way).any(|l| l.starts_with("Authenticated to "));
    // With several jump hosts, those that come after the failed one end with it.
    let is_last = !lines(words.way).any(|l| meaning(l) == Some(Symptom::Closed));
    let jump = |fault, what: &str, said: &str| {
        let text = format!("{through} {what} ({})", plain(said));
        Fault::new(FaultKind::Jump(fault), text)
    };
    match cause(words.way) {
        Some((Symptom::Unusable, line)) => unusable(line),
        Some((Symptom::ChangedKey, line)) => {
            let what = "shows a host key that is not the known one";
            jump(JumpFault::ChangedKey, what, line).detail(shown_key(words.way, access))
        }
        Some((Symptom::UnknownKey, line)) => {
            let what = "has a host key that is not known";
            jump(JumpFault::UnknownKey, what, line).detail(shown_key(words.way, access))
        }
        Some((Symptom::TooManyKeys | Symptom::Login, line)) => {
            jump(JumpFault::Login, "refused the login", line)
        }
        Some((Symptom::Forwarding(reach), line)) if is_last => {
            let what = match reach {
                Reach::Refused => "the connection was refused",
                Reach::TimedOut => "no answer in time",
                Reach::Unreachable => "the host cannot be reached",
            };
            let text = format!(
                "{what} ({}, says {through}: {})",
                access.address,
                plain(line)
            );
            Fault::new(reach.kind(), text)
        }
        Some((Symptom::Forwarding(reach) | Symptom::Reach(reach), line)) => {
            let what = match reach {
                Reach::Refused => "refused the connection",
                Reach::TimedOut => "gave no answer in time",
                Reach::Unreachable => "cannot be reached",
            };
            jump(reach.jump(), what, line)
        }
        Some((Symptom::Forbidden, line)) => {
            jump(JumpFault::Forbids, "does not lead to the host", line)
        }
        _ if timed_out && is_inside => Fault::new(
            FaultKind::TimedOut,
            format!("no answer in time ({} behind {through})", access.address),
        ),
        _ if timed_out => Fault::new(
            FaultKind::Jump(JumpFault::TimedOut),
            format!("{through} gave no answer in time"),
        ),
        _ if is_inside => Fault::new(
            FaultKind::Disconnected,
            format!("the connection ended ({} behind {through})", access.address),
        ),
        found => {
            let line = found.map(|(_, line)| line);
            let line = line.or_else(|| lines(words.way).next_back());
            jump(
                JumpFault::Ended,
                "ended the connection",
                line.unwrap_or("no word"),
            )
        }
    }
}

fn host_fault(said: Symptom, line: &str, log: &str, access: &SshAccess) -> Fault {
    let port = access
        .port
        .map_or_else(String::new, |p| format!(" port {p}"));
    let of = |kind, what: &str| {
        let text = format!("{what} ({}{port}: {})", access.address, plain(line));
        Fault::new(kind, text)
    };
    match said {
        Symptom::Unusable => unusable(line),
        // Often true of many hosts at once: what differs is not part of the text.
        Symptom::ChangedKey => Fault::new(
            FaultKind::ChangedKey,
            "the host key changed: it is not the known one",
        )
        .detail(shown_key(log, access)),
        Symptom::UnknownKey => Fault::new(
            FaultKind::UnknownKey,
            "the host key is unknown: this host is new",
        )
        .detail(shown_key(log, access)),
        Symptom::TooManyKeys => of(FaultKind::TooManyKeys, "too many keys were offered"),
        Symptom::Login => our_key(line, log, access)
            .unwrap_or_else(|| of(FaultKind::Login, "the login was refused")),
        Symptom::NoCommonAlgorithm => of(
            FaultKind::NoCommonAlgorithm,
            "ssh and the host have no algorithm in common",
        ),
        Symptom::Forwarding(reach) | Symptom::Reach(reach) => of(
            reach.kind(),
            match reach {
                Reach::Refused => "the connection was refused",
                Reach::TimedOut => "no answer in time",
                Reach::Unreachable => "the host cannot be reached",
            },
        ),
        Symptom::Forbidden | Symptom::Closed => of(FaultKind::Disconnected, "the connection ended"),
    }
}

/// Where a login was refused because our own key is of no use.
fn our_key(line: &str, log: &str, access: &SshAccess) -> Option<Fault> {
    let local = |text: String| Some(Fault::new(FaultKind::Local, text));
    if access.identity.is_some()
        && let Some(bad) = lines(log).find(|l| {
            l.starts_with("Load key ")
                || l.starts_with("Permissions ") && l.ends_with(" are too open.")
        })
    {
        return local(format!(
            "the private key cannot be used on this machine ({bad})"
        ));
    }
    if after(log, "debug1: Server accepts key: ").is_some() && !log.contains("partial success") {
        return local(
            "the host takes our key, which cannot be used on this machine: it has a passphrase; load it with ssh-add"
                .to_owned(),
        );
    }
    let tried = after(log, "debug1: Offering public key: ").is_some();
    if !tried && line.contains("publickey") {
        return local(
            "ssh has no private key to offer: set `ssh.identity` in the spec, or load one with ssh-add; one with a passphrase works through an agent only"
                .to_owned(),
        );
    }
    None
}

fn unusable(line: &str) -> Fault {
    Fault::new(
        FaultKind::Local,
        format!("ssh cannot use its configuration ({})", plain(line)),
    )
}

/// The key that a host showed, and where another one is known.
fn shown_key(text: &str, access: &SshAccess) -> String {
    let shown = after(text, "debug1: Server host key: ").unwrap_or("a key");
    let name = lines(text).find_map(|l| {
        let changed = l.strip_prefix("Host key for ");
        let changed = changed.and_then(|l| Some(l.split_once(" has changed")?.0));
        let unknown = l.split_once(" host key is known for ");
        changed.or_else(|| Some(unknown?.1.split_once(" and you have requested")?.0))
    });
    let name = name.unwrap_or(access.address.as_str());
    let known = lines(text)
        .find_map(|l| l.strip_prefix("Offending ")?.split_once(" key in "))
        .and_then(|(_, place)| place.rsplit_once(':'));
    match known {
        Some((file, line)) => {
            // The file may stand there under a name of ours.
            let file = match &access.known_hosts {
                Some(file) => file.display().to_string(),
                None => file.to_owned(),
            };
            format!("{name} shows {shown}; {file}:{line} has another key")
        }
        None => format!("{name} shows {shown}"),
    }
}

fn plain(line: &str) -> &str {
    line.strip_prefix("ssh: ").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use tarsops_model::host::Become;

    use super::*;

    fn access() -> SshAccess {
        SshAccess {
            address: "10.0.0.1".parse().unwrap(),
            user: None,
            port: None,
            identity: Some("/k/id".into()),
            jump: Jump::Through("nosuch@10.0.0.9".parse().unwrap()),
            r#become: Become::None,
            known_hosts: Some("/k/known hosts".into()),
            config: None,
            connect_timeout: 7,
            key_exchange: tarsops_model::host::KeyExchange::Configured,
        }
    }

    const VERSION: &str = "OpenSSH_9.2p1 Debian-2+deb12u10, OpenSSL 3.0.22 25 Aug 2026\n";
    const PROXIED: &str = "debug1: Executing proxy command: exec ssh -l nosuch -v 10.0.0.9\n";
    const CUT: &str = "kex_exchange_identification: Connection closed by remote host\n\
                       Connection closed by UNKNOWN port 65535\n";
    const INSIDE: &str = "Authenticated to 10.0.0.9 ([10.0.0.9]:22) using \"publickey\".\n";
    const OFFERED: &str = "debug1: Offering public key: /k/id ED25519 SHA256:x explicit\n";
    const CHANGED: &str = "debug1: Server host key: ssh-ed25519 SHA256:new\n\
        @@@@@@@@@@@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n\
        Offending ED25519 key in /run/user/0/l1:3\n\
        Host key for 10.0.0.1 has changed and you have requested strict checking.\n\
        Host key verification failed.\n";
    const UNKNOWN: &str = "debug1: Server host key: ssh-ed25519 SHA256:new\n\
        No ED25519 host key is known for [10.0.0.1]:23 and you have requested strict checking.\n\
        Host key verification failed.\n";
    const REVOKED: &str = "The ED25519 host key for 10.0.0.1 is marked as revoked.\n\
        Host key verification failed.\n";

    fn fault(log: &str, way: &str) -> Fault {
        let log = format!("{VERSION}{log}");
        let words = Words {
            log: &log,
            way,
            timed_out: false,
        };
        connect_fault(words, &access())
    }

    #[test]
    fn errors_of_openssh_are_distinguished() {
        let denied = format!("{OFFERED}me@h: Permission denied (publickey).");
        let too_many = "Received disconnect from 10.0.0.1 port 22:2: Too many authentication \
                        failures\nDisconnected from 10.0.0.1 port 22";
        for (log, kind, text) in [
            (CHANGED, FaultKind::ChangedKey, "changed"),
            (REVOKED, FaultKind::ChangedKey, "changed"),
            (UNKNOWN, FaultKind::UnknownKey, "unknown"),
            (&denied, FaultKind::Login, "me@h: Permission denied"),
            (
                too_many,
                FaultKind::TooManyKeys,
                "Too many authentication failures",
            ),
            (
                "ssh: connect to host h port 22: Connection refused",
                FaultKind::Refused,
                "refused",
            ),
            (
                "ssh: connect to host h port 22: Connection timed out",
                FaultKind::TimedOut,
                "in time",
            ),
            (
                "ssh: connect to host h port 22: No route to host",
                FaultKind::Unreachable,
                "No route",
            ),
            (
                "Connection timed out during banner exchange",
                FaultKind::TimedOut,
                "banner",
            ),
            (
                "ssh: Could not resolve hostname h: Name or service not known",
                FaultKind::Unreachable,
                "not known",
            ),
            (
                "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their \
                 offer: ssh-rsa",
                FaultKind::NoCommonAlgorithm,
                "ssh-rsa",
            ),
            (CUT, FaultKind::Disconnected, "closed"),
            ("", FaultKind::Disconnected, "no word"),
        ] {
            let fault = fault(log, "");
            assert_eq!(fault.kind, kind, "{log}");
            assert!(fault.text.contains(text), "{fault}");
        }
    }

    #[test]
    fn a_fault_of_this_machine_blames_no_host() {
        let denied = "me@h: Permission denied (publickey,password).";
        for log in [
            format!("{OFFERED}debug1: Server accepts key: /k/id ED25519\n{denied}"),
            format!("Permissions 0644 for '/k/id' are too open.\n{OFFERED}{denied}"),
            format!("Load key \"/k/id\": error in libcrypto\n{denied}"),
            denied.to_owned(),
            "Bad owner or permissions on /home/me/.ssh/config".to_owned(),
            "/c/ssh_config: line 3: Bad configuration option: porg\n/c/ssh_config: terminating, 1 bad \
             configuration options"
                .to_owned(),
            "/c/ssh_config line 2: Bad number 'x'.".to_owned(),
            "jumphost loop via 10.0.0.9".to_owned(),
        ] {
            assert_eq!(fault(&log, "").kind, FaultKind::Local, "{log}");
        }
        let log = format!("{PROXIED}{CUT}");
        let way = "/c/ssh_config line 2: Bad number 'x'.";
        assert_eq!(fault(&log, way).kind, FaultKind::Local);
        // Where the host takes no key at all, no key of ours could help.
        let password = fault("me@h: Permission denied (password).", "");
        assert_eq!(password.kind, FaultKind::Login);
    }

    #[test]
    fn a_jump_host_is_distinguished_from_the_host_behind_it() {
        let log = format!("{VERSION}{PROXIED}{CUT}");
        let denied = "nosuch@10.0.0.9: Permission denied (publickey).";
        let forwarding = |why: &str| format!("{INSIDE}channel 0: open failed: {why}\n");
        let refused = forwarding("connect failed: Connection refused");
        let unknown = forwarding("connect failed: Name or service not known");
        let late = forwarding("connect failed: Connection timed out");
        let second = format!("{refused}{CUT}");
        let forbidden = forwarding("administratively prohibited: open failed");
        use FaultKind::Jump as J;
        for (way, kind) in [
            (denied, J(JumpFault::Login)),
            (
                "ssh: connect to host 10.0.0.9 port 22: Connection refused",
                J(JumpFault::Refused),
            ),
            (
                "ssh: connect to host 10.0.0.9 port 22: Connection timed out",
                J(JumpFault::TimedOut),
            ),
            (
                "ssh: Could not resolve hostname h: Name or service not known",
                J(JumpFault::Unreachable),
            ),
            (CHANGED, J(JumpFault::ChangedKey)),
            (UNKNOWN, J(JumpFault::UnknownKey)),
            (&forbidden, J(JumpFault::Forbids)),
            ("zsh: command not found: nc", J(JumpFault::Ended)),
            ("", J(JumpFault::Ended)),
            // The second of two jump hosts.
            (&second, J(JumpFault::Refused)),
            // The host itself.
            (&refused, FaultKind::Refused),
            (&unknown, FaultKind::Unreachable),
            (&late, FaultKind::TimedOut),
            (INSIDE, FaultKind::Disconnected),
        ] {
            let words = Words {
                log: &log,
                way,
                timed_out: false,
            };
            let fault = connect_fault(words, &access());
            assert_eq!(fault.kind, kind, "{way}");
            assert!(fault.text.contains("nosuch@10.0.0.9"), "{fault}");
        }
        // What the host itself says counts, and no word of the jump host.
        let log = format!("{PROXIED}{OFFERED}me@h: Permission denied (publickey).");
        assert_eq!(fault(&log, INSIDE).kind, FaultKind::Login);
        assert_eq!(
            fault(&format!("{PROXIED}{UNKNOWN}"), INSIDE).kind,
            FaultKind::UnknownKey
        );
    }

    #[test]
    fn whoever_is_silent_is_named() {
        let log = format!("{VERSION}{PROXIED}");
        for (way, timed_out, kind) in [
            (INSIDE, true, FaultKind::TimedOut),
            ("", true, FaultKind::Jump(JumpFault::TimedOut)),
        ] {
            let words = Words {
                log: &log,
                way,
                timed_out,
            };
            assert_eq!(connect_fault(words, &access()).kind, kind);
        }
        let log = format!("{log}Connection timed out during banner exchange\n");
        for (way, kind) in [
            (INSIDE, FaultKind::TimedOut),
            ("", FaultKind::Jump(JumpFault::TimedOut)),
        ] {
            let words = Words {
                log: &log,
                way,
                timed_out: false,
            };
            assert_eq!(connect_fault(words, &access()).kind, kind);
        }
        let words = Words {
            log: VERSION,
            way: "",
            timed_out: true,
        };
        assert_eq!(connect_fault(words, &access()).kind, FaultKind::TimedOut);
    }

    #[test]
    fn keys_of_many_hosts_are_one_sentence_and_each_has_its_detail() {
        let changed = fault(CHANGED, "");
        assert_eq!(
            changed.detail,
            "10.0.0.1 shows ssh-ed25519 SHA256:new; /k/known hosts:3 has another key"
        );
        let unknown = fault(UNKNOWN, "");
        assert_eq!(unknown.detail, "[10.0.0.1]:23 shows ssh-ed25519 SHA256:new");
        for fault in [changed, unknown] {
            assert!(!fault.text.contains("10.0.0.1"), "{fault}");
        }
    }

    #[test]
    fn a_banner_is_no_failure_of_a_jump_host() {
        let banner = "Host key verification failed. Not really.\nPermission denied to strangers!\n\
                      Connection refused, timed out, could not resolve hostname\n";
        let log = format!("{PROXIED}{CUT}");
        let way =
            format!("{banner}{INSIDE}channel 0: open failed: connect failed: Connection refused");
        assert_eq!(fault(&log, &way).kind, FaultKind::Refused);
        let log = format!("{OFFERED}me@h: Permission denied (publickey).");
        assert_eq!(fault(&log, banner).kind, FaultKind::Login);
    }
}
