//! Docker engines on test hosts: they must run containers as real ones do, lose them to a power cut as
//! real ones do, and leave nothing behind.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tarsops_testkit::{Host, HostOptions, Image, Network, require_engine_or_fail};

type Outcome = Result<(), Box<dyn Error>>;

const TINY: &str = "tiny:1";

/// An image with a shell and tools that waits until it is told to end.
fn tiny() -> Result<Image, Box<dyn Error>> {
    let mut image = Image::new();
    image.program("/bin/busybox", Path::new("/usr/bin/busybox"))?;
    image.link("/bin/sh", "busybox").folder("/tmp", 0o1777);
    let script = "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do busybox sleep 0.1; done\n";
    image.file("/init.sh", 0o755, script);
    image.entrypoint(&["/bin/sh", "/init.sh"]);
    Ok(image)
}

fn said(output: &Output) -> Result<String, Box<dyn Error>> {
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn docker(host: &Host, line: &str) -> Result<String, Box<dyn Error>> {
    let words: Vec<&str> = line.split(' ').collect();
    said(&host.docker(&words)?)
}

fn status(host: &Host, name: &str) -> Result<String, Box<dyn Error>> {
    docker(
        host,
        &format!("inspect --format {{{{.State.Status}}}} {name}"),
    )
}

/// How the names of this process's networks begin.
fn own() -> String {
    format!("tarsops-hosts-{}-", std::process::id())
}

/// Control groups of this process's networks.
fn groups() -> Vec<String> {
    let own = own();
    let roots = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten();
    let roots = roots.map(|entry| entry.path());
    roots
        .chain(["/sys/fs/cgroup".into()])
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten())
        .map(|entry| entry.path().display().to_string())
        .filter(|path| path.contains(&own))
        .collect()
}

/// Processes of the machine that have a word among their arguments.
fn processes(word: &str) -> usize {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|entry| {
        fs::read_to_string(entry.path().join("cmdline")).is_ok_and(|line| line.contains(word))
    })
    .count()
}

#[test]
fn containers_live_and_die_with_their_host() -> Outcome {
    require_engine_or_fail();
    let network = Network::new()?;
    let began = Instant::now();
    let hosts = network.hosts([0, 1].map(|n| HostOptions::numbered(n).engine()))?;
    eprintln!("two hosts with engines up in {:?}", began.elapsed());
    let image = tiny()?;
    for host in &hosts {
        host.load(&image, TINY)?;
        let id = docker(host, &format!("image inspect --format {{{{.Id}}}} {TINY}"))?;
        assert_eq!(id, image.id()?);
    }
    let host = &hosts[0];
    // Debian's own client, whatever the machine has in /usr/local.
    assert_eq!(host.sh("command -v docker")?, "/usr/bin/docker");
    for policy in ["always", "no"] {
        let run = format!(
            "run -d --net host --restart {policy} --name {policy} {TINY} {}",
            own()
        );
        docker(host, &run)?;
    }
    docker(host, "network create --subnet 172.25.0.0/16 tars")?;
    docker(
        host,
        &format!("run -d --net tars --ip 172.25.0.3 --name bridged {TINY}"),
    )?;
    host.sh("ip route get 172.25.0.3 | grep -q dev && ip link show docker0")?;
    assert_eq!(status(host, "always")?, "running");
    // The engines are each host's own.
    assert_eq!(docker(&hosts[1], "ps -aq")?, "");
    assert!(!groups().is_empty());

    // A power cut: one comes back by its policy, the other does not.
    host.reboot()?;
    let until = Instant::now() + Duration::from_secs(20);
    while status(host, "always")? != "running" && Instant::now() < until {
        sleep(Duration::from_millis(50));
    }
    assert_eq!(status(host, "always")?, "running");
    assert_eq!(status(host, "no")?, "exited");

    // An engine that crashed and comes back.
    host.kill_engine()?;
    assert!(!host.docker(&["ps"])?.status.success());
    host.start_engine()?;
    assert_eq!(
        docker(host, "ps -a --format {{.Names}}")?.lines().count(),
        3
    );

    let root = network.dir().to_owned();
    assert!(
        processes(&own()) > 2,
        "the engines and containers are not seen"
    );
    drop(hosts);
    drop(network);
    assert_eq!(groups(), Vec::<String>::new(), "control groups are left");
    assert_eq!(processes(&own()), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    assert!(!mounts.contains(&own()));
    assert!(!root.exists());
    Ok(())
}
