//! SSH as people have it: jump hosts that fail, configurations that hide or forward, paths with any
//! character, keys that are unknown, changed, locked or too many, files that are not there.

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::*;

const CONFIG: &str = "Host *\n  KexAlgorithms curve25519-sha256\n  IdentityAgent none\n";
const INNER: &str = "10.78.1.2";

/// A master that leads to the inner host, and that host.
fn gate_and_inner() -> Cluster {
    let mut gate = HostOptions::numbered(0);
    gate.addresses.push(Ipv4Addr::new(10, 78, 1, 1));
    Cluster::of([gate, HostOptions::new("n2", INNER.parse().unwrap())])
}

/// The known hosts without the lines of `address`.
fn without(known: &str, address: &str) -> String {
    let other = |l: &&str| !l.starts_with(&format!("{address} "));
    known
        .lines()
        .filter(other)
        .map(|l| format!("{l}\n"))
        .collect()
}

#[test]
fn a_failed_jump_host_is_not_the_host_behind_it() {
    let mut closed = HostOptions::numbered(2);
    closed.addresses.push(Ipv4Addr::new(10, 78, 1, 3));
    closed.sshd_config = "AllowTcpForwarding no\n".to_owned();
    let mut gate = HostOptions::numbered(0);
    gate.addresses.push(Ipv4Addr::new(10, 78, 1, 1));
    let inner = HostOptions::new("n2", INNER.parse().unwrap());
    let cluster = Cluster::of([gate, inner, closed]);
    let machine = cluster.machine();
    let known = machine.read("known_hosts");
    let through = |jump: &str, more: &str| {
        let mut spec = cluster.spec();
        spec.with_override(format!("{INNER}: {{ssh: {{jump: \"{jump}\"{more}}}}}"));
        machine.spec(&spec);
        machine.tarsops(["plan", "--on", INNER])
    };
    let hint = "jump host";
    for (jump, text) in [
        (
            "nosuch@10.77.1.1",
            "the jump host nosuch@10.77.1.1 refused the login",
        ),
        (
            "ops@10.77.1.1:2299",
            "the jump host ops@10.77.1.1:2299 refused the connection",
        ),
        (
            "ops@nosuch.invalid",
            "the jump host ops@nosuch.invalid cannot be reached",
        ),
        (
            "ops@10.77.1.3",
            "the jump host ops@10.77.1.3 does not lead to the host",
        ),
    ] {
        let ran = through(jump, "");
        ran.exits(4)
            .tells(text)
            .tells(hint)
            .hides("authorized_keys there");
    }
    // What the jump host says of the host behind it is that host's.
    for (more, text) in [
        (", port: 2299", "the connection was refused (10.78.1.2"),
        (", user: nosuch", "the login was refused (10.78.1.2"),
    ] {
        let ran = through("ops@10.77.1.1", more);
        ran.exits(4).tells(text).hides("jump host refused");
    }
    machine.write("known_hosts", without(&known, INNER));
    let ran = through("ops@10.77.1.1", "");
    ran.exits(4)
        .tells("the host key is unknown")
        .tells("10.78.1.2 shows ssh-ed25519 SHA256:");
    machine.write("known_hosts", without(&known, "10.77.1.1"));
    let ran = through("ops@10.77.1.1", "");
    ran.exits(4)
        .tells("the jump host ops@10.77.1.1 has a host key that is not known")
        .tells("--accept-new-host-keys")
        .hides("the host key is unknown");
    machine.write("known_hosts", &known);
    cluster.host(1).change_host_key().unwrap();
    let ran = through("ops@10.77.1.1", "");
    ran.exits(4)
        .tells("the jump host ops@10.77.1.1 shows a host key that is not the known one")
        .tells("ssh-keygen -R")
        .hides("add it with --accept-new-host-keys");
}

#[test]
fn a_jump_host_of_the_configuration_fails_as_one_of_the_spec() {
    let cluster = gate_and_inner();
    let machine = cluster.machine();
    for (way, text) in [
        (
            "ProxyJump nosuch@10.77.1.1",
            "the jump host refused the login (nosuch@10.77.1.1",
        ),
        (
            "ProxyJump ops@10.77.1.1:2299",
            "the jump host refused the connection",
        ),
    ] {
        machine.write(
            "ssh_config",
            format!("{CONFIG}Host 10.78.*\n  {way}\n  LogLevel QUIET\n"),
        );
        machine
            .tarsops(["plan", "--on", INNER])
            .exits(4)
            .tells(text);
    }
    machine.write(
        "ssh_config",
        format!("{CONFIG}Host 10.78.*\n  ProxyJump ops@10.77.1.1\n"),
    );
    machine.tarsops(["plan"]).exits(2).says("2 to add");
    let command = "ProxyCommand sh -c 'echo no way to host %h >&2; exit 1'";
    machine.write("ssh_config", format!("{CONFIG}Host 10.78.*\n  {command}\n"));
    machine
        .tarsops(["plan", "--allow-commands", "--on", INNER])
        .exits(4)
        .tells("the jump host ended the connection (no way to host 10.78.1.2)");
}

#[test]
fn jump_none_goes_directly() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    for way in [
        "ProxyJump nosuch.invalid",
        "ProxyJump a@10.77.1.9,b@10.77.1.8",
        "ProxyCommand false",
    ] {
        machine.write("ssh_config", format!("{CONFIG}Host 10.77.*\n  {way}\n"));
        machine.spec(&cluster.spec());
        machine
            .tarsops(["plan", "--allow-commands"])
            .exits(4)
            .tells("jump host");
        let mut spec = cluster.spec();
        spec.ssh.push("jump: none".to_owned());
        machine.spec(&spec);
        machine
            .tarsops(["plan", "--allow-commands"])
            .exits(2)
            .says("2 to add");
        // One node of its own.
        spec.ssh = vec!["jump: ops@nosuch.invalid".to_owned()];
        for n in [1, 2] {
            spec.with_override(format!("{}: {{ssh: {{jump: none}}}}", node(n)));
        }
        machine.spec(&spec);
        machine
            .tarsops(["plan", "--allow-commands"])
            .exits(2)
            .says("2 to add");
    }
}

#[test]
fn what_a_configuration_forwards_is_not_forwarded() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    for forward in [
        "LocalForward 18080 localhost:80",
        "RemoteForward 18081 localhost:80",
        "DynamicForward 18082",
        "SessionType subsystem",
        "RequestTTY force",
        "RemoteCommand false",
        "ForkAfterAuthentication yes",
        "StdinNull yes",
        "ControlMaster auto\n  ControlPath ~/.ssh/%C\n  ControlPersist yes",
        "Tunnel point-to-point",
    ] {
        machine.write(
            "ssh_config",
            format!("{CONFIG}  ExitOnForwardFailure yes\n  {forward}\n"),
        );
        machine
            .tarsops(["plan", "--allow-commands"])
            .exits(2)
            .says("3 to add");
    }
    let config = format!("{CONFIG}  ExitOnForwardFailure yes\n  LocalForward 18080 localhost:80\n");
    machine.write("ssh_config", config);
    machine.converge();
}

#[test]
fn no_log_level_hides_or_drowns_a_cause() {
    let cluster = Cluster::new(4);
    let machine = cluster.machine();
    let known = machine.read("known_hosts");
    machine.write("known_hosts", without(&known, "10.77.1.3"));
    cluster.host(2).change_host_key().unwrap();
    let mut spec = cluster.spec();
    spec.with_override("10.77.1.4: {ssh: {user: tars}}");
    machine.spec(&spec);
    for level in ["QUIET", "FATAL", "INFO", "DEBUG", "DEBUG3"] {
        machine.write("ssh_config", format!("{CONFIG}  LogLevel {level}\n"));
        machine
            .tarsops(["plan"])
            .exits(2)
            .tells("the host key changed")
            .tells("the host key is unknown")
            .tells("the login was refused (10.77.1.4: tars@10.77.1.4: Permission denied")
            .hides("debug1");
    }
}

#[test]
fn unknown_and_changed_keys_are_two_causes_each_said_once() {
    let cluster = Cluster::new(6);
    let machine = cluster.machine();
    let mut known = machine.read("known_hosts");
    for n in [2, 3, 4] {
        known = without(&known, &node(n));
    }
    machine.write("known_hosts", &known);
    for n in [5, 6] {
        cluster.host(n).change_host_key().unwrap();
    }
    for words in [
        vec!["plan"],
        vec!["apply", "-y"],
        vec!["history"],
        vec!["drift"],
    ] {
        let ran = machine.tarsops(&words);
        // What is proven to differ goes before what could not be seen.
        let looks = matches!(words[0], "plan" | "drift");
        ran.exits(if looks { 2 } else { 4 });
        let whole = format!("{}{}", ran.out, ran.err);
        for text in ["the host key is unknown", "the host key changed"] {
            // A refusal lists its causes, besides.
            let times = if words[0] == "apply" { 2 } else { 1 };
            assert_eq!(whole.matches(text).count(), times, "{words:?}: {whole}");
        }
    }
    machine
        .tarsops(["plan"])
        .tells("agent/10.77.1.[2-4] (3 nodes)")
        .tells("agent/10.77.1.[5-6] (2 nodes)")
        .tells("10.77.1.3 shows ssh-ed25519 SHA256:")
        .tells("known_hosts:");
    // Of the two only the first is added.
    machine
        .tarsops(["plan", "--accept-new-host-keys"])
        .exits(2)
        .tells("the host key changed")
        .hides("the host key is unknown");
}

#[test]
fn paths_mean_what_they_say() {
    let mut elsewhere = HostOptions::numbered(1);
    elsewhere.ssh_port = 2022;
    let cluster = Cluster::of([HostOptions::numbered(0), elsewhere]);
    let machine = cluster.machine();
    // Without this file the second host does not answer.
    machine.write(
        "ssh_config",
        format!("{CONFIG}Host 10.77.1.2\n  Port 2022\n"),
    );
    std::fs::copy(cluster.network.client_key(), machine.repo("key")).unwrap();
    let key = machine.repo("key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut known = machine.read("known_hosts");
    known.push_str(&known.replace("10.77.1.2 ", "[10.77.1.2]:2022 "));
    machine.write("known_hosts", &known);
    let identity = cluster.network.client_key().display().to_string();
    let text = cluster.spec().text().replace(&identity, "./key");
    machine.write("cluster.yaml", text);
    machine.lock();
    machine.tarsops(["plan"]).exits(2).says("2 to add");
    let places = [
        "ws/tars_feature%2Fx",
        "ws/[prod]",
        "ws/*?",
        "ws/a b",
        "ws/it's \"quoted\"",
        "ws/~ops",
        "ws/${HOME}",
        "ws/back\\slash",
        "ws/ü",
        "ws/# no comment",
    ];
    let long = format!("ws/{}", "long/".repeat(40));
    for place in places.into_iter().chain([long.as_str()]) {
        let to = machine.repo(place);
        std::fs::create_dir_all(&to).unwrap();
        for name in [
            "cluster.yaml",
            "cluster.yaml.lock",
            "known_hosts",
            "ssh_config",
            "key",
            "packages",
        ] {
            let copied = Command::new("cp")
                .args(["-rp", "--"])
                .arg(machine.repo(name))
                .arg(&to)
                .status()
                .unwrap();
            assert!(copied.success());
        }
        let mut command = machine.command(["plan"]);
        // Temporary files may are there as well.
        command.current_dir(&to).env("TMPDIR", &to).env("HOME", &to);
        run(command).exits(2).says("2 to add");
    }
}

#[test]
fn a_file_of_the_spec_that_is_missing_is_no_hosts_fault() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    let line = |text: &str| {
        let spec = machine.read("cluster.yaml");
        let at = spec.lines().position(|l| l.contains(text)).unwrap() + 1;
        format!("cluster.yaml:{at}: ")
    };
    cluster.reset_counts();
    for name in ["known_hosts", "ssh_config"] {
        let text = machine.read(name);
        std::fs::remove_file(machine.repo(name)).unwrap();
        for words in [
            vec!["plan"],
            vec!["drift"],
            vec!["apply", "-y"],
            vec!["plan", "--allow-commands"],
        ] {
            machine
                .tarsops(&words)
                .exits(1)
                .tells(&line(name))
                .tells(name);
        }
        // A folder is no file either.
        machine.write(&format!("{name}/x"), "");
        machine.tarsops(["status"]).exits(1).tells(&line(name));
        std::fs::remove_dir_all(machine.repo(name)).unwrap();
        machine.write(name, text);
    }
    let mut spec = cluster.spec();
    spec.with_override("10.77.1.2: {ssh: {identity: ./nokey}}");
    machine.spec(&spec);
    machine
        .tarsops(["plan"])
        .exits(1)
        .tells(&line("./nokey"))
        .tells("`ssh.identity`")
        .hides("10.77.1.2");
    for host in &cluster.hosts {
        assert_eq!(host.connections().unwrap(), 0);
    }
    // Where keys are accepted, the file may be made.
    machine.spec(&cluster.spec());
    std::fs::remove_file(machine.repo("known_hosts")).unwrap();
    machine.tarsops(["plan", "--accept-new-host-keys"]).exits(2);
    assert_eq!(machine.read("known_hosts").lines().count(), 2);
}

#[test]
fn a_machine_without_ssh_is_reported() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    let empty = machine.repo("bin");
    std::fs::create_dir(&empty).unwrap();
    for words in [
        vec!["plan"],
        vec!["apply", "-y"],
        vec!["check"],
        vec!["history"],
    ] {
        let mut command = machine.command(&words);
        command.env("PATH", &empty);
        run(command)
            .exits(1)
            .tells("there is no program `ssh` in PATH on this machine")
            .tells("openssh-client")
            .hides("10.77.1.1");
    }
}

/// A new key at `path`, locked by `passphrase` unless that is empty.
fn make_key(path: &Path, passphrase: &str) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

#[test]
fn keys_that_cannot_work_are_distinguished() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    let with = |identity: &str, user: &str| {
        let mut spec = cluster.spec();
        spec.with_override(format!(
            "10.77.1.2: {{ssh: {{identity: {identity}, user: {user}}}}}"
        ));
        machine.spec(&spec);
        machine.tarsops(["plan", "--on", "10.77.1.2"])
    };
    make_key(&machine.repo("other"), "");
    with("./other", "ops")
        .exits(4)
        .tells("the login was refused (10.77.1.2: ops@10.77.1.2: Permission denied");
    // Too many keys, which is another thing than a wrong one.
    let mut config = CONFIG.to_owned();
    for n in 0..8 {
        make_key(&machine.repo(format!("more{n}")), "");
        config.push_str(&format!(
            "  IdentityFile {}\n",
            machine.repo(format!("more{n}")).display()
        ));
    }
    machine.write("ssh_config", config);
    with("./other", "ops")
        .exits(4)
        .tells("Too many authentication failures")
        .tells("ssh.identity");
    machine.write("ssh_config", CONFIG);
    // The right key, which everybody may read, so ssh does not use it.
    let open = machine.repo("open");
    std::fs::copy(cluster.network.client_key(), &open).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    with("./open", "ops")
        .tells("the private key cannot be used on this machine")
        .tells("too open");
    machine.write("garbage", "-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n");
    let garbage = machine.repo("garbage");
    std::fs::set_permissions(garbage, std::fs::Permissions::from_mode(0o600)).unwrap();
    with("./garbage", "ops").tells("the private key cannot be used on this machine");
    // The right key, locked.
    let locked = machine.repo("locked");
    std::fs::copy(cluster.network.client_key(), &locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o600)).unwrap();
    let public = Command::new("ssh-keygen")
        .arg("-yf")
        .arg(&locked)
        .output()
        .unwrap();
    machine.write("locked.pub", public.stdout);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "a passphrase", "-f"])
        .arg(&locked)
        .status()
        .unwrap();
    assert!(made.success());
    with("./locked", "ops")
        .tells("it has a passphrase")
        .tells("ssh-add");
}

#[test]
fn hosts_without_a_common_algorithm_are_told() {
    let mut old = HostOptions::numbered(1);
    old.sshd_config = "KexAlgorithms diffie-hellman-group14-sha256\n".to_owned();
    let cluster = Cluster::of([HostOptions::numbered(0), old]);
    let machine = cluster.machine();
    machine
        .tarsops(["plan"])
        .exits(2)
        .tells("no matching key exchange method found")
        .tells("diffie-hellman-group14-sha256")
        .tells("ssh.config");
}
