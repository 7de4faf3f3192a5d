//! What looking costs: one connection and one exec per host, and nothing stays behind.

use std::time::Duration;

use crate::support::*;

/// SSH clients on the control side of the network, which is this test's own.
fn masters(machine: &Machine) -> Vec<String> {
    machine
        .processes()
        .into_iter()
        .filter(|p| {
            let program = p.split(' ').next().unwrap_or_default();
            program.ends_with("/ssh") || program == "ssh" || program == "ssh:"
        })
        .collect()
}

fn plan_costs_one_of_each(n: u8) {
    let cluster = Cluster::new(n);
    let machine = cluster.machine();
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(2);
    for host in &cluster.hosts {
        let seen = (host.connections().unwrap(), host.execs().unwrap());
        assert_eq!(seen, (1, 1), "{}: connections, execs", host.name());
    }
    assert_eq!(masters(&machine), Vec::<String>::new(), "left by the run");
    let left: Vec<_> = std::fs::read_dir(machine.tmp())
        .unwrap()
        .flatten()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Masters of a run that is killed end by themselves.
#[test]
fn a_killed_run_leaves_no_master_for_long() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    let mut run = machine.command(["apply", "-y"]).spawn().unwrap();
    wait_until("the run connects", Duration::from_secs(60), || {
        !masters(&machine).is_empty()
    });
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("the masters end", Duration::from_secs(60), || {
        masters(&machine).is_empty()
    });
}

/// `ssh.keep`: one login for several commands, and another one as soon as the first may not do.
#[test]
fn a_kept_connection_serves_the_next_command_and_no_other() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    let mut spec = cluster.spec();
    spec.ssh.push("keep: 10m".to_owned());
    machine.spec(&spec);
    let host = &cluster.hosts[0];
    let logins = || host.connections().unwrap();
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(2);
    machine.tarsops(["apply", "-y"]).exits(0);
    machine.tarsops(["plan"]).exits(0);
    assert_eq!(logins(), 1, "logins");
    assert_eq!(masters(&machine).len(), 1);

    // Its host was started again: what stood is dead.
    host.reboot().unwrap();
    machine.tarsops(["apply", "-y"]).exits(0);
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(0);
    assert_eq!(logins(), 0, "logins");

    // The key that a host showed before is none that counts any more.
    let known = machine.repo("known_hosts");
    let text = std::fs::read_to_string(&known).unwrap();
    std::fs::write(&known, "").unwrap();
    machine
        .tarsops(["plan"])
        .exits(4)
        .says("host key is unknown");
    std::fs::write(&known, text).unwrap();
    machine.tarsops(["plan"]).exits(0);

    // Where the spec keeps none, a run uses none and leaves none.
    machine.spec(&cluster.spec());
    cluster.reset_counts();
    machine.tarsops(["plan"]).exits(0);
    assert_eq!(logins(), 1, "logins");
}

/// A kept connection ends by itself.
#[test]
fn a_kept_connection_ends_once_it_was_idle() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    let mut spec = cluster.spec();
    spec.ssh.push("keep: 2s".to_owned());
    machine.spec(&spec);
    machine.tarsops(["plan"]).exits(2);
    wait_until("the master ends", Duration::from_secs(60), || {
        masters(&machine).is_empty()
    });
    machine.tarsops(["plan"]).exits(2);
}

#[test]
fn a_plan_over_3_hosts() {
    plan_costs_one_of_each(3);
}

#[test]
fn a_plan_over_20_hosts() {
    plan_costs_one_of_each(20);
}

/// Opens of a file until it is dropped, as the kernel counts them.
struct Opens(std::os::fd::OwnedFd);

impl Opens {
    fn of(path: &std::path::Path) -> Opens {
        use rustix::fs::inotify;
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
        inotify::add_watch(&watch, path, inotify::WatchFlags::OPEN).unwrap();
        Opens(watch)
    }

    fn count(&self) -> usize {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = rustix::fs::inotify::Reader::new(&self.0, &mut buffer);
        std::iter::from_fn(|| reader.next().ok().map(drop)).count()
    }
}

/// 20 MB to 8 hosts, installed and then upgraded: the package is read once by each apply, and never
/// held in memory for each host, which would take more than the bound.
#[test]
fn a_large_package_to_8_hosts() {
    let cluster = Cluster::new(8);
    let machine = cluster.machine();
    for version in ["3.0.17", "3.0.18"] {
        let large = Identity::new(version, Behaviour::Healthy).padded_to(20 << 20);
        machine.package_of(version, Layout::Full, &large);
        let mut spec = cluster.spec();
        spec.version = version.to_owned();
        machine.spec(&spec);
        machine.lock();
        let archive = machine.repo(format!("packages/{version}/tarsnode.tgz"));
        assert!(std::fs::metadata(&archive).unwrap().len() > 5 << 20);
        let opens = Opens::of(&archive);
        let mut run = machine.start(["apply", "-y"]);
        let mut peak = 0;
        while !run.is_over() {
            peak = peak.max(run.peak_memory());
            std::thread::sleep(Duration::from_millis(20));
        }
        let ran = run.ends_within(Duration::from_secs(1));
        ran.exits(0);
        println!(
            "apply of 20 MB to 8 hosts, {version}: {:?}, at most {} MB resident",
            ran.took,
            peak >> 20
        );
        assert!(
            peak > 1 << 20 && peak < 100_000_000,
            "{peak} bytes resident"
        );
        assert_eq!(opens.count(), 1, "times that the package was opened");
    }
    for host in &cluster.hosts {
        host.assert_tidy();
    }
    machine.in_sync();
}

/// The newest process number of a host, which has its own.
fn newest_process(host: &Host) -> u64 {
    let text = host.sh("cat /proc/sys/kernel/ns_last_pid").unwrap();
    text.trim().parse().unwrap()
}

/// Each process is paid by every host. The bounds are what was measured, and a little more.
#[test]
fn processes_of_a_look_and_of_a_change() {
    let mut still = HostOptions::numbered(0);
    still.cron = false;
    let cluster = Cluster::of([still]);
    let machine = cluster.machine();
    let host = cluster.host(1);
    let counted = |words: &[&str], code: i32| {
        let before = newest_process(host);
        machine.tarsops(words).exits(code);
        newest_process(host) - before
    };
    let install = counted(&["apply", "-y"], 0);
    counted(&["plan"], 0);
    let look = counted(&["plan"], 0);
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let upgrade = counted(&["apply", "-y"], 0);
    let rollback = counted(&["rollback", "-y"], 0);
    let all = [look, install, upgrade, rollback];
    println!("processes: look {look}, install {install}, upgrade {upgrade}, rollback {rollback}");
    for (seen, bound) in all.into_iter().zip(PROCESSES) {
        assert!(seen <= bound, "{all:?}, at most {PROCESSES:?}");
    }
}

/// Of a look, an installation, an upgrade and its rollback, each with its looks.
const PROCESSES: [u64; 4] = [31, 265, 242, 236];
