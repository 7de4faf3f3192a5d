//! The test hosts themselves: they must behave as real machines do towards ssh, cron, power and
//! cables, and leave nothing behind.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tarsops_testkit::{Host, HostOptions, Network, SmallDisk, require_or_fail};

type Outcome = Result<(), Box<dyn Error>>;

fn ip(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 1, last)
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// What the system said.
fn reason(error: &dyn Error) -> String {
    error.source().expect("it has a source").to_string()
}

/// `ssh` as the ops user with these extra options.
fn ssh(network: &Network, host: &Host, options: &[&str], command: &str) -> (i32, String, String) {
    let mut ssh = network.ssh(&format!("ops@{}", host.ip()));
    ssh.args(options).arg(command).stdin(Stdio::null());
    said(&ssh.output().expect("ssh starts"))
}

#[test]
fn three_hosts_answer_over_ssh_and_count() -> Outcome {
    require_or_fail();
    let began = Instant::now();
    let network = Network::new()?;
    let hosts = network.hosts((0..3).map(HostOptions::numbered))?;
    eprintln!("three hosts up in {:?}", began.elapsed());

    let mut ids = Vec::new();
    for host in &hosts {
        let script = "uname -n; id -un; cat /etc/machine-id /proc/sys/kernel/random/boot_id; \
                      test -t 0 || echo no terminal";
        let (status, out, err) = ssh(&network, host, &[], script);
        assert_eq!(status, 0, "{err}");
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(
            (lines[0], lines[1], lines[4]),
            (host.name(), "ops", "no terminal")
        );
        ids.extend([lines[2].to_owned(), lines[3].to_owned()]);
        assert_eq!((host.connections()?, host.execs()?), (1, 1));
    }
    ids.sort();
    ids.dedup();
    assert_eq!(
        ids.len(),
        6,
        "machine and boot ids are each host's own: {ids:?}"
    );

    hosts[0].reset_counts()?;
    assert_eq!((hosts[0].connections()?, hosts[0].execs()?), (0, 0));
    let root = network.ssh("root@10.77.1.1").arg("id -u").output()?;
    assert_eq!(said(&root).1, "0");
    assert_eq!((hosts[0].connections()?, hosts[1].connections()?), (1, 1));

    // Neither way in leads to the machine's clock (bit 25) or its power (bit 22).
    let bounds = "sed -n 's/^CapBnd:[^0-9a-f]*//p' /proc/self/status";
    for bounds in [
        ssh(&network, &hosts[0], &[], bounds).1,
        hosts[0].sh(bounds)?,
    ] {
        assert_eq!(
            u64::from_str_radix(&bounds, 16)? & (1 << 25 | 1 << 22),
            0,
            "{bounds}"
        );
    }

    // Nothing of the machine's shows through, and the host's own folders can be written.
    hosts[0].sh("test -z \"$(find /etc/cron.* /var/lib/dpkg /root/[!.]* -type f 2>/dev/null)\"")?;
    hosts[0].write("/usr/local/app/tars/x", "one")?;
    hosts[0].write("/var/run/y", "two")?;
    assert_eq!(hosts[0].read("/usr/local/app/tars/x")?, b"one");
    assert_eq!(hosts[0].read("/run/y")?, b"two");
    assert!(!Path::new("/usr/local/app/tars/x").exists() && !Path::new("/run/y").exists());
    assert!(hosts[1].read("/usr/local/app/tars/x").is_err());
    Ok(())
}

#[test]
fn shells_sudo_and_hidden_programs() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let mut hidden = HostOptions::new("dash", ip(1));
    hidden.hide = ["ss", "pgrep", "sha256sum"].map(str::to_owned).to_vec();
    hidden.sudo = false;
    hidden.ssh_port = 2222;
    let hosts = network.hosts([hidden, HostOptions::new("busybox", ip(2)).busybox()])?;
    let port = ["-p", "2222"];

    let (status, out, _) = ssh(
        &network,
        &hosts[0],
        &port,
        "readlink -f /bin/sh; sudo -n true",
    );
    assert_eq!((status, out.as_str()), (1, "/usr/bin/dash"));
    let look = "command -v ss || command -v pgrep || command -v sha256sum || echo none";
    assert_eq!(ssh(&network, &hosts[0], &port, look).1, "none");

    let script = "readlink -f /proc/$$/exe; for p in dd tar head; do readlink -f /usr/bin/$p; done; \
                  sudo -n id -u; sudo -n -u tars id -un; \
                  echo '# mine' | crontab - && crontab -l; ps | head -n 1 | wc -l";
    let (status, out, err) = ssh(&network, &hosts[1], &[], script);
    assert_eq!(status, 0, "{err}");
    let b = "/usr/bin/busybox";
    assert_eq!(
        out.lines().collect::<Vec<_>>(),
        [b, b, b, b, "0", "tars", "# mine", "1"]
    );
    Ok(())
}

#[test]
fn an_inner_host_is_reached_through_a_jump_host_only() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let inner = Ipv4Addr::new(10, 78, 0, 2);
    let mut jump = HostOptions::new("jump", ip(1));
    jump.addresses.push(Ipv4Addr::new(10, 78, 0, 1));
    let hosts = network.hosts([jump, HostOptions::new("deep", inner)])?;

    assert_eq!(ssh(&network, &hosts[1], &[], "uname -n").0, 255);
    assert_eq!(hosts[1].connections()?, 0);
    let (status, out, err) = ssh(&network, &hosts[1], &["-J", "ops@10.77.1.1"], "uname -n");
    assert_eq!((status, out.as_str()), (0, "deep"), "{err}");
    assert_eq!((hosts[0].connections()?, hosts[0].execs()?), (1, 0));
    assert_eq!((hosts[1].connections()?, hosts[1].execs()?), (1, 1));
    Ok(())
}

#[test]
fn a_wrong_host_key_is_refused() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let host = network.host(HostOptions::new("n1", ip(1)))?;
    assert_eq!(ssh(&network, &host, &[], "true").0, 0);
    let before = host.host_key()?;
    host.change_host_key()?;
    assert_ne!(host.host_key()?, before);
    let (status, _, err) = ssh(&network, &host, &["-o", "LogLevel=INFO"], "true");
    assert_eq!(status, 255);
    assert!(
        err.contains("REMOTE HOST IDENTIFICATION HAS CHANGED"),
        "{err}"
    );
    Ok(())
}

#[test]
fn refusing_silent_and_frozen_hosts_are_told_apart() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let host = network.host(HostOptions::new("n1", ip(1)))?;
    let quick = ["-o", "ConnectTimeout=1", "-o", "LogLevel=INFO"];
    let failure = |because: &str| {
        let (status, _, err) = ssh(&network, &host, &quick, "true");
        assert!(
            status == 255 && err.contains(because),
            "'{because}' is not in: {status} {err}"
        );
    };

    host.stop_sshd()?;
    failure("Connection refused");
    host.start_sshd()?;
    assert_eq!(ssh(&network, &host, &quick, "true").0, 0);

    host.kill();
    failure("Connection refused");
    assert!(host.exec(["true"]).is_err() && host.sshd_log()?.contains("Connection from"));
    host.start()?;

    host.link_down()?;
    failure("Connection timed out");
    assert!(host.exec(["true"])?.status.success());
    host.link_up()?;
    assert_eq!(ssh(&network, &host, &quick, "true").0, 0);

    host.freeze()?;
    failure("banner exchange");
    host.thaw()?;
    assert_eq!(ssh(&network, &host, &quick, "true").0, 0);
    let busybox = network.host(HostOptions::new("n2", ip(2)).busybox())?;
    busybox.freeze()?;
    assert_eq!(ssh(&network, &busybox, &quick, "true").0, 255);
    busybox.thaw()?;
    busybox.restart_sshd()?;
    assert_eq!(ssh(&network, &busybox, &quick, "true").0, 0);

    // A session outlives a restart of sshd.
    let mut ssh = network.ssh("ops@10.77.1.1");
    let session = ssh
        .arg("echo in; sleep 0.3; echo out")
        .stdout(Stdio::piped())
        .spawn()?;
    sleep(Duration::from_millis(150));
    host.restart_sshd()?;
    assert_eq!(said(&session.wait_with_output()?).1, "in\nout");
    Ok(())
}

#[test]
fn a_reboot_keeps_the_disk_and_nothing_else() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let host = network.host(HostOptions::new("n1", ip(1)))?;
    for path in [
        "/usr/local/app/a",
        "/etc/a",
        "/var/lib/a",
        "/home/tars/a",
        "/run/a",
    ] {
        host.write(path, "kept")?;
    }
    host.sh("chown tars: /home/tars/a; setsid sleep 1000 </dev/null >/dev/null 2>&1 &")?;
    let ids = |host: &Host| -> Result<_, Box<dyn Error>> {
        let boot = host.read("/proc/sys/kernel/random/boot_id")?;
        Ok((boot, host.read("/etc/machine-id")?, host.host_key()?))
    };
    let before = ids(&host)?;
    // Everything inside may be killed but init.
    host.sh("kill -9 -1")?;
    assert!(host.exec(["true"])?.status.success());

    let began = Instant::now();
    host.reboot()?;
    eprintln!("rebooted in {:?}", began.elapsed());
    let after = ids(&host)?;
    assert_ne!(before.0, after.0);
    assert_eq!((before.1, before.2), (after.1, after.2));
    for path in ["/usr/local/app/a", "/etc/a", "/var/lib/a", "/home/tars/a"] {
        assert_eq!(host.read(path)?, b"kept");
    }
    assert!(host.read("/run/a").is_err());
    assert_eq!(
        host.sh("stat -c %U /home/tars/a; pgrep -x sleep | wc -l")?,
        "tars\n1"
    );
    assert_eq!(ssh(&network, &host, &[], "uname -n").1, "n1");
    assert_eq!((host.connections()?, host.execs()?), (1, 1));
    Ok(())
}

#[test]
fn disks_fill_up_and_turn_read_only() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let mut options = HostOptions::new("n1", ip(1));
    let path = "/usr/local/app";
    options.small_disks.push(SmallDisk {
        path: path.to_owned(),
        bytes: 1 << 20,
    });
    let host = network.host(options)?;

    host.write("/usr/local/app/kept", "here")?;
    host.fill_disk(path)?;
    let full = host
        .write("/usr/local/app/more", "x")
        .expect_err("the disk is full");
    assert!(reason(&full).contains("No space left on device"), "{full}");
    host.reboot()?;
    assert!(host.write("/usr/local/app/more", "x").is_err());
    host.free_disk(path)?;
    host.write("/usr/local/app/more", "x")?;
    assert_eq!(host.read("/usr/local/app/kept")?, b"here");
    assert!(host.fill_disk("/var").is_err());

    for path in ["/usr/local", "/usr/local/app", "/etc", "/home/tars"] {
        let file = format!("{path}/new");
        host.remount_ro(path)?;
        let refused = host.write(&file, "x").expect_err("it is read-only");
        assert!(
            reason(&refused).contains("Read-only file system"),
            "{refused}"
        );
        host.remount_rw(path)?;
        host.write(&file, "x")?;
    }
    Ok(())
}

#[test]
fn cron_runs_a_line_of_a_users_crontab() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let hosts = network.hosts([
        HostOptions::new("dash", ip(1)),
        HostOptions::new("busybox", ip(2)).busybox(),
    ])?;
    for host in &hosts {
        host.sh("echo '* * * * * id -un >/home/tars/ran' | crontab -u tars -")?;
    }
    let deadline = Instant::now() + Duration::from_secs(65);
    while !hosts.iter().all(|host| {
        host.read("/home/tars/ran")
            .is_ok_and(|who| who == b"tars\n")
    }) {
        assert!(Instant::now() < deadline, "cron did not run within 65 s");
        sleep(Duration::from_millis(500));
    }
    Ok(())
}

#[test]
fn options_that_make_no_sense_are_refused() -> Outcome {
    require_or_fail();
    let network = Network::new()?;
    let refused = |options: HostOptions| network.host(options).expect_err("refused").to_string();
    let elsewhere = refused(HostOptions::new("a", Ipv4Addr::new(192, 168, 0, 1)));
    assert!(
        elsewhere.contains("192.168.0.1 is no host address"),
        "{elsewhere}"
    );
    assert!(refused(HostOptions::new("../a", ip(1))).contains("no plain name"));
    let mut broken = HostOptions::new("b", ip(1));
    broken.sshd_config = "NoSuchOption yes".to_owned();
    assert!(refused(broken).contains("boot host b"));
    let _first = network.host(HostOptions::new("c", ip(2)))?;
    assert!(refused(HostOptions::new("c", ip(3))).contains("a host of that name"));
    Ok(())
}

/// Processes of the machine that name `dir` on their command line or run in the network `net`.
fn processes(dir: &Path, net: &Path) -> Vec<PathBuf> {
    let dir = dir.to_string_lossy();
    let all = fs::read_dir("/proc")
        .expect("/proc is there")
        .flatten()
        .map(|entry| entry.path());
    all.filter(|path| {
        let command = fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*dir)
            || fs::read_link(path.join("ns/net")).is_ok_and(|link| link == net)
    })
    .collect()
}

/// The network namespace of what runs on the control side.
fn net_of(network: &Network) -> Result<PathBuf, Box<dyn Error>> {
    let output = network
        .command("readlink")
        .arg("/proc/self/ns/net")
        .output()?;
    Ok(PathBuf::from(said(&output).1))
}

fn links() -> Vec<u8> {
    Command::new("ip")
        .args(["-o", "link"])
        .output()
        .expect("ip runs")
        .stdout
}

#[test]
fn nothing_is_left_after_drop() -> Outcome {
    require_or_fail();
    let links_before = links();
    let mounts_before = fs::read_to_string("/proc/self/mounts")?;
    let network = Network::new()?;
    let hosts = network.hosts((0..2).map(HostOptions::numbered))?;
    let (dir, net) = (network.dir().to_owned(), net_of(&network)?);
    // An ssh master in the background, as a killed program leaves it.
    let master = network
        .ssh("ops@10.77.1.1")
        .args(["-f", "-N", "-M", "-S"])
        .arg(dir.join("master"))
        .args(["-o", "ControlPersist=yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    assert!(master.success() && processes(&dir, &net).len() > 4);
    hosts[1].freeze()?;
    // A host keeps its network alive.
    drop(network);
    assert!(hosts[0].exec(["true"])?.status.success());

    let began = Instant::now();
    drop(hosts);
    eprintln!("dropped in {:?}", began.elapsed());
    assert_eq!(processes(&dir, &net), Vec::<PathBuf>::new());
    assert!(!dir.exists());
    assert_eq!(fs::read_to_string("/proc/self/mounts")?, mounts_before);
    assert_eq!(links(), links_before);
    Ok(())
}

/// Set in the copy of this test program that is going to be killed.
const VICTIM: &str = "TARSOPS_HOSTS_VICTIM";

#[test]
fn nothing_is_left_after_the_test_process_is_killed() -> Outcome {
    require_or_fail();
    if std::env::var_os(VICTIM).is_some() {
        let network = Network::new()?;
        let host = network.host(HostOptions::new("n1", ip(1)))?;
        host.freeze()?;
        let _left = network.command("sleep").arg("1000").spawn()?;
        eprintln!(
            "victim {} {}",
            network.dir().display(),
            net_of(&network)?.display()
        );
        sleep(Duration::from_secs(60));
        return Ok(());
    }
    let mut victim = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "--nocapture",
            "nothing_is_left_after_the_test_process_is_killed",
        ])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let words = BufReader::new(victim.stderr.take().expect("it is piped"))
        .lines()
        .map_while(Result::ok)
        .find_map(|line| {
            let (dir, net) = line.strip_prefix("victim ")?.split_once(' ')?;
            Some((PathBuf::from(dir), PathBuf::from(net)))
        });
    let (dir, net) = words.expect("the victim has its host up");
    assert!(dir.exists() && processes(&dir, &net).len() > 2);
    victim.kill()?;
    assert_eq!(victim.wait()?.signal(), Some(9));

    let deadline = Instant::now() + Duration::from_secs(20);
    while dir.exists() || !processes(&dir, &net).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left behind: {:?}",
            processes(&dir, &net)
        );
        sleep(Duration::from_millis(20));
    }
    Ok(())
}
