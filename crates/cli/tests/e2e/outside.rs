//! The outside of the program on real hosts: signals, outputs, waiting.

use std::time::Duration;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Two hosts on 3.0.17 and a spec that asks for 3.0.18, one host at a time, the plain node first.
fn before_an_upgrade() -> (Cluster, Machine) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.package("3.0.18", Layout::Full, Behaviour::Healthy);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    spec.with_rollout("settle: 3s")
        .with_rollout("max_parallel: 1");
    machine.spec(&spec);
    machine.lock();
    (cluster, machine)
}

fn until_acting(host: &Host) {
    wait_until("the change begins", MINUTE, || {
        host.has(&format!("{STATE}/current"))
    });
}

/// Nobody holds the lease, and this machine has no temporary file left.
#[track_caller]
fn nothing_is_left(cluster: &Cluster, machine: &Machine) {
    let lease = format!("{STATE}/lease");
    assert!(!cluster.host(1).has(&lease), "the lease is given back");
    let left: Vec<_> = std::fs::read_dir(machine.tmp())
        .unwrap()
        .flatten()
        .map(|e| e.path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn the_first_signal_finishes_what_runs() {
    let (cluster, machine) = before_an_upgrade();
    for (signal, version, back) in [
        (Signal::Term, "3.0.18", "3.0.17"),
        (Signal::Hup, "3.0.18", "3.0.17"),
    ] {
        let run = machine.start(["apply", "-y"]);
        until_acting(cluster.host(2));
        run.signal(signal);
        run.ends_within(MINUTE)
            .exits(130)
            .complains("running steps are finished");
        nothing_is_left(&cluster, &machine);
        let host = |n| cluster.host(n);
        host(2).assert_runs("10.77.1.2", "tars", &healthy(version));
        host(1).assert_runs("10.77.1.1", "tars", &healthy(back));
        // Nobody has to wait until a lease runs out.
        machine.tarsops(["rollback", "-y"]).exits(0);
        host(2).assert_runs("10.77.1.2", "tars", &healthy(back));
    }
}

#[test]
fn the_second_signal_stops_at_once_and_gives_the_lease_back() {
    let (cluster, machine) = before_an_upgrade();
    for (first, second) in [(Signal::Term, Signal::Term), (Signal::Hup, Signal::Int)] {
        let mut run = machine.start(["apply", "-y"]);
        until_acting(cluster.host(2));
        run.signal(first);
        run.until_it_says("running steps are finished");
        run.signal(second);
        let ran = run.ends_within(Duration::from_secs(8));
        // What continues by itself is named.
        ran.exits(130)
            .complains("stopped at once; hosts and the framework finish by themselves")
            .complains("\n  10.77.1.2: ")
            .hides("\n  10.77.1.1: ");
        nothing_is_left(&cluster, &machine);
        wait_until("the host finishes by itself", MINUTE, || {
            !cluster.host(2).has(&format!("{STATE}/current"))
        });
        machine.tarsops(["rollback", "-y"]).exits(0);
    }
}

/// `nohup` and background jobs of scripts have signals ignored, and mean it.
#[test]
fn a_signal_that_the_caller_had_ignored_ends_nothing() {
    let (cluster, machine) = before_an_upgrade();
    let mut plain = machine.command(["apply", "-y"]);
    let mut words: Vec<_> = vec![plain.get_program().to_owned()];
    words.extend(plain.get_args().map(std::ffi::OsStr::to_owned));
    let at = words.iter().position(|w| w == "apply").unwrap() - 1;
    let mut command = std::process::Command::new(&words[0]);
    command
        .args(&words[1..at])
        .args(["sh", "-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .args(&words[at..])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let _ = plain.stdin(std::process::Stdio::null());
    let child = command.spawn().unwrap();
    until_acting(cluster.host(2));
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-HUP", &pid])
        .status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    Ran::new("apply -y".to_owned(), output, Duration::ZERO)
        .exits(0)
        .hides("running steps are finished");
}

/// A small file system over a folder of this machine, gone when this is dropped and when the test is
/// killed.
struct Tiny(std::process::Child);

impl Tiny {
    fn over(path: &std::path::Path, options: &str) -> Self {
        const KEEPER: &str = r#"mount -t tmpfs -o "$2" none "$1" || exit 1
            trap 'umount -l "$1"' EXIT; echo there; read -r word || true"#;
        let mut keeper = std::process::Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(path)
            .arg(options)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        let out = keeper.stdout.as_mut().unwrap();
        std::io::Read::read_exact(out, &mut said).expect("a small disk takes root");
        Self(keeper)
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// A package of several MiB, and room for one.
#[test]
fn a_full_temporary_folder_is_not_called_a_wrong_package() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    let large = Identity::new("3.0.18", Behaviour::Healthy).padded_to(8 << 20);
    machine.package_of("3.0.18", Layout::Full, &large);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    machine.spec(&spec);
    machine.lock();
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    let tiny = Tiny::over(&machine.tmp(), "size=1m");
    let tmp = machine.tmp().to_str().unwrap().to_owned();
    for words in [&["apply", "-y"][..], &["plan"]] {
        machine
            .tarsops(words)
            .exits(1)
            .complains("No space left on device")
            .complains(&tmp)
            .complains("TMPDIR")
            .hides("the one that was pinned")
            .hides("was refused");
    }
    // A host that is to be installed needs the whole package.
    cluster
        .host(2)
        .sh(&format!("rm -rf {INSTALL}/tars/tarsnode"))
        .unwrap();
    machine
        .tarsops(["plan", "--on", "10.77.1.2"])
        .exits(1)
        .complains("No space left on device")
        .hides("pinned")
        .hides("was refused");
    drop(tiny);
    for (host, state) in cluster.hosts.iter().zip(&states).take(1) {
        assert_eq!(state.changes(&host.state()), "");
    }
}

/// The node that a package is copied from is not to blame for our disk.
#[test]
fn a_full_temporary_folder_is_not_blamed_on_the_node_of_the_package() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    let large = Identity::new("3.0.17", Behaviour::Healthy).padded_to(8 << 20);
    machine.package_of("3.0.17", Layout::Full, &large);
    machine.lock();
    machine.tarsops(["apply", "-y", "--on", "10.77.1.1"]);
    let other = cluster.bare_machine();
    let mut spec = cluster.spec();
    spec.packages = "node:10.77.1.1".to_owned();
    other.spec(&spec);
    other.lock();
    let _tiny = Tiny::over(&other.tmp(), "size=1m");
    other
        .tarsops(["apply", "-y"])
        .exits(1)
        .complains("could not write the binary of the package to")
        .complains("No space left on device")
        .complains("TMPDIR")
        .hides("from node 10.77.1.1");
    assert!(!cluster.host(2).has(BINARY));
}

/// What cannot be read is not called another package than the pinned one.
#[test]
fn a_package_that_cannot_be_read_is_not_called_a_wrong_one() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let archive = machine.repo("packages/3.0.18/tarsnode.tgz");
    std::fs::remove_file(&archive).unwrap();
    std::fs::create_dir(&archive).unwrap();
    machine
        .tarsops(["apply", "-y"])
        .exits(1)
        .complains("could not read the package of tarsnode 3.0.18")
        .complains(archive.file_name().unwrap().to_str().unwrap())
        .complains("directory")
        .hides("is not the one that was pinned");
}

/// An apply continues without its journal, which is a cache, and says so; a document that cannot be
/// written at the end does not hide how the apply went.
#[test]
fn an_apply_without_a_place_for_its_journal_or_its_document() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    std::fs::create_dir_all(machine.state().join("tarsops")).unwrap();
    let _full = Tiny::over(&machine.state().join("tarsops"), "ro");
    // By a link, so that a program which replaces files harms no device of this machine.
    std::os::unix::fs::symlink("/dev/full", machine.repo("full")).unwrap();
    machine
        .tarsops(["--json-into", "full", "apply", "-y"])
        .exits(1)
        .complains("the journal of this run cannot be written")
        .complains("Read-only file system")
        .complains("could not write full")
        .says("Apply: converged");
    cluster
        .host(1)
        .assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
}

/// While somebody else is at work, what differs may be about to change.
#[test]
fn drift_waits_for_an_apply() {
    let (cluster, machine) = before_an_upgrade();
    let cron = machine.another(&cluster);
    let run = machine.start(["apply", "-y"]);
    until_acting(cluster.host(2));
    cron.tarsops(["drift"])
        .exits(7)
        .says("an apply is in progress");
    cron.tarsops(["plan"])
        .complains("note: an apply is in progress: ");
    // The master, which has the lease, is left out here.
    cron.tarsops(["drift", "--on", "10.77.1.2"])
        .exits(7)
        .says("an apply is in progress");
    // Too short a time, as cron would see it.
    cron.tarsops(["drift", "--wait", "1s"])
        .exits(7)
        .says("an apply is in progress");
    let waited = cron.tarsops(["drift", "--wait", "2m"]);
    waited.exits(0).is_quiet();
    run.ends_within(Duration::from_secs(20)).exits(0);
    // Nobody is at work: nothing is waited for.
    cluster.host(2).sh("crontab -u tars -r").unwrap();
    let ran = cron.tarsops(["drift", "--wait", "5m"]);
    ran.exits(2);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
}
