//! The stand-in agent under its own scripts, on hosts of an embedded cluster.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Up, eventually, exe, healthy};
use tarsops_standin::cluster::{Cluster, ClusterError, Options};
use tarsops_standin::standin::{Behaviour, Identity, make};

#[test]
fn starts_answers_rewrites_and_dies() {
    let up = Up::new(2, |options| {
        options.packages = vec![healthy("3.0.17"), healthy("3.0.18")];
    });
    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    let node = up.install(0, "3.0.17", &registry);
    let bin = node.join("bin/tarsnode");
    let conf = node.join("conf/tars.tarsnode.config.conf");
    let monitor = format!("{} --monitor --config={}", bin.display(), conf.display());
    assert_eq!(
        up.ok(0, &format!("{} --nodeversion", bin.display())),
        "Node:3.0.17\n"
    );
    assert_eq!(
        up.ok(0, &format!("{} --version", bin.display())),
        "TARS:3.0.20\n"
    );
    assert_ne!(up.run(0, &monitor).status.code(), Some(0));

    let name = up.host(0).name.clone();
    up.script(0, "start.sh");
    eventually("the agent answers", || up.run(0, &monitor).status.success());
    let started = Instant::now();
    up.ok(0, &monitor);
    eprintln!("--monitor through ssh: {:?}", started.elapsed());
    let pids = up.cluster.processes(&name).unwrap();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let line = std::fs::read(format!("/proc/{}/cmdline", pids[0])).unwrap();
    let line = String::from_utf8(line).unwrap().replace('\0', " ");
    assert_eq!(
        line.trim(),
        format!(
            "{} --nodeid={} --config={}",
            bin.display(),
            up.host(0).ip,
            conf.display()
        )
    );

    // A second host on the same ports beside it; stopping one leaves the other.
    up.install(1, "3.0.17", &registry);
    up.script(1, "monitor.sh");
    let other = up.host(1).name.clone();
    eventually("the second agent", || {
        up.cluster.processes(&other).unwrap().len() == 1
    });

    // Its own rewrite.
    std::fs::write(node.join("data/registries"), "127.9.9.9:17890\n").unwrap();
    eventually("the rewrite", || {
        std::fs::read_to_string(&conf).is_ok_and(|text| text.contains("127.9.9.9"))
    });
    let text = std::fs::read_to_string(&conf).unwrap();
    let both = format!("{registry}:tcp -h 127.9.9.9 -p 17890");
    assert!(
        text.contains(&format!("QueryObj@{both}:{both}\n")),
        "{text}"
    );
    assert!(
        !text.contains("NodeAdapter") && !text.contains('#'),
        "{text}"
    );
    assert_eq!(
        std::fs::metadata(&conf).unwrap().permissions().mode() & 0o777,
        0o666
    );
    assert!(node.join("data/serversCache.dat").is_file());
    assert!(
        node.join("../app_log/tars/tarsnode/tars.tarsnode.log")
            .is_file()
    );
    up.ok(0, &monitor);

    // The monitor leaves a healthy one alone, and starts a killed one again.
    up.script(0, "monitor.sh");
    assert_eq!(up.cluster.processes(&name).unwrap(), pids);
    up.ok(0, &format!("kill -9 {}", pids[0]));
    up.script(0, "monitor.sh");
    eventually("the agent again", || up.run(0, &monitor).status.success());
    let again = up.cluster.processes(&name).unwrap();
    assert_ne!(again, pids);

    // A binary renamed into place is not a restarted process.
    make(&exe(), &bin, &healthy("3.0.18")).unwrap();
    let running = std::fs::read_link(format!("/proc/{}/exe", again[0])).unwrap();
    assert!(running.to_string_lossy().ends_with(" (deleted)"));
    assert_eq!(
        up.cluster.processes(&name).unwrap(),
        again,
        "still counted as the host's"
    );

    // start.sh kills whatever carries the binary's path on its command line.
    let mut bystander = up
        .ssh(0)
        .arg(format!("sleep 30; : {}", bin.display()))
        .spawn()
        .unwrap();
    eventually("the bystander", || {
        up.cluster.processes(&name).unwrap().len() > 1
    });
    up.script(0, "start.sh");
    // The client's own command line carries it, too, and hosts share this machine's processes.
    assert!(!bystander.wait().unwrap().success());

    // The bystander's `sleep` is still there.
    let pids: Vec<String> = up
        .cluster
        .processes(&name)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    // One that goes meanwhile is no matter.
    up.run(0, &format!("kill -TERM {}", pids.join(" ")));
    eventually("a clean end", || {
        up.cluster.processes(&name).unwrap().is_empty()
    });
    up.script(1, "stop.sh");
    eventually("the other end", || {
        up.cluster.processes(&other).unwrap().is_empty()
    });

    // The scripts leave standard error open: who does not redirect it hangs on the session.
    let script = node.join("util/start.sh");
    let mut hanging = up
        .ssh(0)
        .arg(format!("sh {}", script.display()))
        .spawn()
        .unwrap();
    eventually("the agent once more", || {
        up.run(0, &monitor).status.success()
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(hanging.try_wait().unwrap().is_none());
    let pid = up.cluster.processes(&name).unwrap()[0];
    up.ok(0, &format!("kill -STOP {pid}"));
    assert_eq!(
        up.run(0, &monitor).status.code(),
        Some(255),
        "a stopped agent is not alive"
    );
    up.ok(0, &format!("kill -9 {pid}"));
    assert_eq!(hanging.wait().unwrap().code(), Some(0));
}

#[test]
fn refuses_what_the_real_one_could_not_start_with() {
    let up = Up::new(1, |options| {
        options.packages = vec![healthy("3.0.17")];
    });
    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    let node = up.install(0, "3.0.17", &registry);
    let conf = node.join("conf/tars.tarsnode.config.conf");
    let good = std::fs::read_to_string(&conf).unwrap();
    let ip = up.host(0).ip.to_string();
    let run = format!(
        "exec {}/bin/tarsnode --nodeid=x --config={}",
        node.display(),
        conf.display()
    );
    let refused = |text: &str, why: &str| {
        std::fs::write(&conf, text).unwrap();
        let output = up.run(0, &run);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(why), "{said}");
    };
    refused("", "no <server>");
    refused("<tars>\n", "never closed");
    refused(
        &good.replace(&registry, "registryAddress"),
        "'registryAddress' is no tcp endpoint",
    );
    refused(
        &good.replace(&format!("-h {ip} -p 19386"), "-h localip.tars.com -p 19386"),
        "resolve",
    );
    let taken = std::net::TcpListener::bind((up.host(0).ip, 19386)).unwrap();
    refused(&good, "cannot bind");
    drop(taken);
    std::fs::remove_file(&conf).unwrap();
    assert_eq!(up.run(0, &run).status.code(), Some(1));
    let log = node.join("../app_log/tars/tarsnode/tars.tarsnode.log");
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("ERROR|cannot bind")
    );

    // Whoever owns the port without being an agent does not pass for one.
    std::fs::write(&conf, &good).unwrap();
    let silent = std::net::TcpListener::bind((up.host(0).ip, 19386)).unwrap();
    let monitor = format!(
        "{}/bin/tarsnode --monitor --config={}",
        node.display(),
        conf.display()
    );
    assert_eq!(up.run(0, &monitor).status.code(), Some(255));
    drop(silent);
}

#[test]
fn bad_versions_behave_badly() {
    let bad = |version: &str, behaviour| Identity::new(version, behaviour);
    let up = Up::new(1, |options| {
        options.packages = vec![
            bad("1", Behaviour::CrashAtStart),
            bad("2", Behaviour::NeverListens),
            bad("3", Behaviour::ExitAfter(1)),
        ];
    });
    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    let name = up.host(0).name.clone();
    let monitor = |node: &PathBuf| {
        let node = node.display();
        let conf = format!("{node}/conf/tars.tarsnode.config.conf");
        up.run(0, &format!("{node}/bin/tarsnode --monitor --config={conf}"))
            .status
            .success()
    };
    let node = up.install(0, "1", &registry);
    up.script(0, "start.sh");
    eventually("the crash", || {
        up.cluster.processes(&name).unwrap().is_empty()
    });
    up.install(0, "2", &registry);
    up.script(0, "start.sh");
    eventually("a process", || {
        up.cluster.processes(&name).unwrap().len() == 1
    });
    assert!(!monitor(&node));
    up.script(0, "stop.sh");
    up.install(0, "3", &registry);
    up.script(0, "start.sh");
    eventually("health", || monitor(&node));
    eventually("its end", || {
        up.cluster.processes(&name).unwrap().is_empty()
    });
}

#[test]
fn crontabs_are_the_hosts_own_and_survive_a_reboot() {
    let up = Up::new(1, |options| {
        options.packages = vec![healthy("3.0.17")];
        options.cron_period = Duration::from_millis(500);
    });
    let user = up.cluster.facts().user.clone();
    let output = up.run(0, "crontab -l");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        output.stderr,
        format!("no crontab for {user}\n").into_bytes()
    );
    assert_ne!(
        up.run(0, "printf '* * * * * true' | crontab -")
            .status
            .code(),
        Some(0)
    );
    assert_ne!(
        up.run(0, "crontab -u nobody-else -l").status.code(),
        Some(0)
    );

    let registry = format!("tcp -h {} -p 17890", up.host(0).ip);
    let node = up.install(0, "3.0.17", &registry);
    let line = format!(
        "* * * * * sh {}/util/monitor.sh > /dev/null 2>&1",
        node.display()
    );
    up.ok(0, &format!("echo '{line}' | crontab -u {user} -"));
    assert_eq!(up.ok(0, "crontab -l"), format!("{line}\n"));

    let name = up.host(0).name.clone();
    let conf = node.join("conf/tars.tarsnode.config.conf");
    let monitor = format!(
        "{}/bin/tarsnode --monitor --config={}",
        node.display(),
        conf.display()
    );
    eventually("cron starts the agent", || {
        up.run(0, &monitor).status.success()
    });
    let before = up.cluster.processes(&name).unwrap();
    up.cluster.power_off(&name).unwrap();
    assert!(up.cluster.processes(&name).unwrap().is_empty());
    std::thread::sleep(Duration::from_millis(800));
    assert!(
        up.cluster.processes(&name).unwrap().is_empty(),
        "cron ran on a host that is off"
    );
    up.cluster.reboot(&name).unwrap();
    eventually("cron brings it back", || {
        up.run(0, &monitor).status.success()
    });
    assert_ne!(up.cluster.processes(&name).unwrap(), before);

    up.ok(0, "crontab -r");
    assert_eq!(up.run(0, "crontab -l").status.code(), Some(1));
}

#[test]
fn a_cluster_goes_up_and_down_and_touches_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("not-ours");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("precious"), "x").unwrap();
    let options = Options::new().unwrap();
    assert!(matches!(
        Cluster::up(&dir, 1, &options),
        Err(ClusterError::NotEmpty(_))
    ));
    assert!(matches!(
        Cluster::down(&dir),
        Err(ClusterError::NoCluster(_))
    ));
    assert!(dir.join("precious").exists());

    let up = Up::new(3, |_| {});
    let opened = Cluster::open(up.cluster.dir()).unwrap();
    assert_eq!(opened.facts(), up.cluster.facts());
    assert!(opened.is_running());
    up.ok(2, "setsid sleep 600 < /dev/null > /dev/null 2>&1 &");
    let pids = up.cluster.processes(&up.host(2).name).unwrap();
    assert_eq!(pids.len(), 1);
    let dir = up.cluster.dir().to_path_buf();

    // Somebody has the port already: the error says where, and nothing stays behind.
    let mut options = Options::new().unwrap();
    options.exe = exe();
    options.ssh_port = up.host(0).ssh_port;
    let [a, b, c, _] = up.host(0).ip.octets();
    options.network = [a, b, c];
    let taken = folder.path().join("taken");
    let error = Cluster::up(&taken, 1, &options).unwrap_err().to_string();
    assert!(error.contains("cannot listen on"), "{error}");
    assert!(!taken.exists());

    drop(up);
    assert!(!dir.exists());
    // Dead, though perhaps not yet reaped.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids[0])).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}
