//! The embedded SSH server, driven by the system's own `ssh` client.

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Up, eventually};
use tarsops_standin::cluster::HostState;

#[test]
fn commands_have_streams_codes_and_an_environment() {
    let up = Up::new(2, |_| {});
    let host = up.host(0);
    assert_eq!(up.ok(0, "echo $TARSOPS_HOST"), format!("{}\n", host.name));
    assert_eq!(up.ok(0, "pwd"), format!("{}\n", host.home.display()));
    assert_eq!(
        up.ok(0, "cat $TARSOPS_MACHINE_ID").trim().len(),
        32,
        "a machine-id has 32 digits"
    );
    assert_ne!(
        up.ok(0, "cat $TARSOPS_MACHINE_ID"),
        up.ok(1, "cat $TARSOPS_MACHINE_ID")
    );
    assert!(
        up.ok(0, "ip -o addr show")
            .contains(&format!("inet {}/24", host.ip))
    );
    assert_eq!(up.ok(0, "hostname -I").trim(), host.ip.to_string());
    assert_eq!(up.ok(0, "hostname").trim(), host.name);

    let output = up.run(0, "echo out; echo err >&2; exit 42");
    assert_eq!(output.status.code(), Some(42));
    assert_eq!(
        (&output.stdout[..], &output.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    // The client has no code for a signal; 255 is what it says.
    assert_eq!(up.run(0, "kill -9 $$").status.code(), Some(255));
    assert_eq!(
        up.run(0, "nonsense-that-is-not-there").status.code(),
        Some(127)
    );
}

#[test]
fn only_the_key_gets_in() {
    let up = Up::new(1, |_| {});
    let other = up.scratch().join("other");
    tarsops_standin::ssh_server::make_key(&other, "other").unwrap();
    let mut ssh = std::process::Command::new("ssh");
    let output = ssh
        .args([
            "-F",
            "/dev/null",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
        ])
        .args([
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "IdentitiesOnly=yes",
            "-i",
        ])
        .arg(&other)
        .args([
            "-p",
            &up.host(0).ssh_port.to_string(),
            "-l",
            &up.cluster.facts().user,
        ])
        .arg(up.host(0).ip.to_string())
        .arg("true")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(255));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Permission denied"), "{said}");
}

#[test]
fn sessions_share_a_connection() {
    let up = Up::new(1, |_| {});
    let socket = up.scratch().join("m");
    let master = up
        .ssh(0)
        .args(["-M", "-N", "-f", "-o", "ControlPersist=no", "-S"])
        .arg(&socket)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Options after the host name are taken by OpenSSH as long as no command has been named.
    assert!(master.unwrap().success());
    let over_master = |command: &str| {
        let mut ssh = up.ssh(0);
        ssh.arg("-S").arg(&socket).arg(command);
        ssh
    };
    // More at once than a usual sshd allows, each with a stream of its own.
    let children: Vec<_> = (0..12)
        .map(|n| {
            over_master(&format!("sleep 0.2; echo {n}; exit {n}"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for (n, child) in children.into_iter().enumerate() {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(n as i32));
        assert_eq!(output.stdout, format!("{n}\n").into_bytes());
    }
    let started = Instant::now();
    for _ in 0..20 {
        assert!(over_master("true").status().unwrap().success());
    }
    eprintln!("exec over a master: {:?} each", started.elapsed() / 20);

    // A command that never reads its input holds up nobody.
    let mut deaf = over_master("sleep 30")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = deaf.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        let _ = input.write_all(&vec![b'x'; 20 << 20]);
    });
    for _ in 0..5 {
        let output = over_master("echo still here").output().unwrap();
        assert_eq!(output.stdout, b"still here\n");
    }
    deaf.kill().unwrap();
    deaf.wait().unwrap();
    writer.join().unwrap();

    let log = std::fs::read_to_string(&up.cluster.facts().log).unwrap();
    assert_eq!(log.matches(" connection\n").count(), 1, "{log}");
    let mut exit = up.ssh(0);
    exit.arg("-S")
        .arg(&socket)
        .args(["-O", "exit"])
        .stderr(Stdio::null());
    assert!(exit.status().unwrap().success());
}

#[test]
fn twenty_megabytes_go_up_and_come_back() {
    let up = Up::new(1, |_| {});
    let mut bytes = vec![0; 20 << 20];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    let local = up.scratch().join("twenty");
    std::fs::write(&local, &bytes).unwrap();

    let started = Instant::now();
    let status = up
        .ssh(0)
        .arg("cat > upload")
        .stdin(File::open(&local).unwrap())
        .status()
        .unwrap();
    eprintln!("20 MB up over a new connection: {:?}", started.elapsed());
    assert!(status.success());
    assert!(std::fs::read(up.host(0).home.join("upload")).unwrap() == bytes);

    let started = Instant::now();
    let output = up
        .ssh(0)
        .arg("cat")
        .stdin(File::open(&local).unwrap())
        .output()
        .unwrap();
    eprintln!("20 MB up and back: {:?}", started.elapsed());
    assert!(output.status.success());
    assert!(output.stdout == bytes);
}

#[test]
fn a_detached_child_outlives_its_session() {
    let up = Up::new(1, |_| {});
    // The session ends first: only then is the child let continue.
    up.ok(
        0,
        "setsid sh -c 'until [ -e go ]; do sleep 0.05; done; echo done > verdict' \
         < /dev/null > /dev/null 2>&1 &",
    );
    let verdict = up.host(0).home.join("verdict");
    assert!(!verdict.exists());
    std::fs::write(up.host(0).home.join("go"), "").unwrap();
    eventually("the verdict", || verdict.exists());

    // Whoever leaves standard error open holds the session, as with sshd.
    let started = Instant::now();
    up.ok(0, "sleep 1 > /dev/null &");
    assert!(started.elapsed() > Duration::from_millis(900));

    // A client that is killed: its command meets a closed pipe and dies of it, a detached one continues.
    let mut client = up
        .ssh(0)
        .arg(
            "setsid sh -c 'sleep 1; echo done > second' < /dev/null > /dev/null 2>&1 & \
             echo $$ > pid; while echo tick; do sleep 0.05; done",
        )
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid_file = up.host(0).home.join("pid");
    eventually("the command", || {
        std::fs::read_to_string(&pid_file).is_ok_and(|text| text.ends_with('\n'))
    });
    let pid: i32 = std::fs::read_to_string(&pid_file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    client.kill().unwrap();
    client.wait().unwrap();
    eventually("the end of the command", || {
        !up.cluster
            .processes(&up.host(0).name)
            .unwrap()
            .contains(&pid)
    });
    let second = up.host(0).home.join("second");
    eventually("the second verdict", || second.exists());
}

#[test]
fn a_host_can_refuse_freeze_and_come_back() {
    let up = Up::new(2, |_| {});
    let name = up.host(0).name.clone();
    let mut cut = up
        .ssh(0)
        .arg("sleep 60")
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the command", || {
        !up.cluster.processes(&name).unwrap().is_empty()
    });

    up.cluster.set_state(&name, HostState::Refusing).unwrap();
    assert_eq!(cut.wait().unwrap().code(), Some(255));
    let said = up.run(0, "true").stderr;
    assert!(String::from_utf8_lossy(&said).contains("refused"));
    assert_eq!(up.ok(1, "echo unmoved"), "unmoved\n");

    up.cluster.set_state(&name, HostState::Frozen).unwrap();
    let started = Instant::now();
    let mut ssh = up.ssh(0);
    ssh.args(["-o", "ConnectTimeout=1", "true"]);
    assert_eq!(ssh.output().unwrap().status.code(), Some(255));
    assert!(
        started.elapsed() > Duration::from_millis(900),
        "it answered"
    );

    up.cluster.set_state(&name, HostState::Up).unwrap();
    assert_eq!(up.ok(0, "echo back"), "back\n");
    // What was frozen continues where it stood.
    let frozen = up
        .ssh(0)
        .arg("sleep 0.3; echo thawed")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    up.cluster.set_state(&name, HostState::Frozen).unwrap();
    std::thread::sleep(Duration::from_millis(400));
    up.cluster.set_state(&name, HostState::Up).unwrap();
    assert_eq!(frozen.wait_with_output().unwrap().stdout, b"thawed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_multiplexing_client_library_works_on_twenty_hosts() {
    use openssh::{KnownHosts, SessionBuilder};
    use tokio::io::AsyncWriteExt;

    let started = Instant::now();
    let up = Up::new(20, |_| {});
    eprintln!("20 hosts up: {:?}", started.elapsed());
    let facts = up.cluster.facts();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for host in facts.hosts.clone() {
        let (user, identity, known) = (
            facts.user.clone(),
            facts.identity.clone(),
            facts.known_hosts.clone(),
        );
        let control = up.scratch().to_path_buf();
        tasks.spawn(async move {
            let session = SessionBuilder::default()
                .user(user)
                .port(host.ssh_port)
                .keyfile(identity)
                .user_known_hosts_file(known)
                .known_hosts_check(KnownHosts::Strict)
                .control_directory(control)
                .connect_mux(host.ip.to_string())
                .await
                .unwrap();
            let mut child = session
                .raw_command("sh -s")
                .stdin(openssh::Stdio::piped())
                .stdout(openssh::Stdio::piped())
                .stderr(openssh::Stdio::piped())
                .spawn()
                .await
                .unwrap();
            let mut input = child.stdin().take().unwrap();
            input
                .write_all(b"echo $TARSOPS_HOST; echo err >&2; exit 3\n")
                .await
                .unwrap();
            drop(input);
            let output = child.wait_with_output().await.unwrap();
            assert_eq!(output.status.code(), Some(3));
            assert_eq!(output.stdout, format!("{}\n", host.name).into_bytes());
            assert_eq!(output.stderr, b"err\n");
            session.close().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    eprintln!(
        "connect and one script on 20 hosts at once: {:?}",
        started.elapsed()
    );
    let log = std::fs::read_to_string(&facts.log).unwrap();
    assert_eq!(log.matches(" connection\n").count(), 20, "{log}");
    assert_eq!(log.matches(" exec ").count(), 20, "{log}");
    let pid = std::fs::read_to_string(up.cluster.dir().join("run/server.pid")).unwrap();
    let pid = pid.split(' ').next().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    eprintln!(
        "server: {}",
        status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap()
    );
}
