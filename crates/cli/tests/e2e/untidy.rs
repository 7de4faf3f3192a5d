//! Hosts that are not tidy: login files that print or read, variables that change how programs answer,
//! login shells of every kind.

use crate::support::*;

/// Gives a user another login shell.
fn login_shell(host: &Host, user: &str, shell: &str) {
    host.sh(&format!(
        "test -x {shell} && sed -i 's|^\\({user}:.*\\):[^:]*$|\\1:{shell}|' /etc/passwd"
    ))
    .unwrap();
}

/// Writes a file of the user `ops`.
fn of_ops(host: &Host, name: &str, text: &str) {
    let path = format!("/home/ops/{name}");
    host.sh(&format!("mkdir -p $(dirname {path})")).unwrap();
    host.write(&path, text).unwrap();
    host.sh("chown -R ops: /home/ops").unwrap();
}

/// Everything that a cluster goes through: an install, an upgrade that uploads, a rollback.
#[track_caller]
fn live(cluster: &Cluster, machine: &Machine) {
    let runs = |version: &str| {
        for host in &cluster.hosts {
            host.assert_runs(&host.ip().to_string(), "tars", &healthy(version));
            host.assert_tidy();
        }
    };
    machine.converge();
    runs("3.0.17");
    machine.in_sync();
    machine.ask_for(cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    runs("3.0.18");
    machine.tarsops(["history"]).exits(0).says(" ok  by ");
    machine.tarsops(["rollback", "-y"]).exits(0);
    runs("3.0.17");
}

#[test]
fn login_files_print_and_read() {
    let cluster = Cluster::new(4);
    let login = |n: usize, shell: &str, file: &str, text: &str| {
        login_shell(cluster.host(n), "ops", shell);
        of_ops(cluster.host(n), file, text);
    };
    // A window title without a line end.
    let title = "printf \"\\033]0;%s\\007\" \"$(uname -n)\"\n";
    login(1, "/bin/bash", ".bashrc", title);
    // Much, in which the beginning of an answer stands, and what reads two lines.
    login(
        2,
        "/bin/bash",
        ".bashrc",
        "seq 2000\nread -r a; read -r b\necho tarsops-probe/2\nprintf tarsops-answ\n",
    );
    login(
        3,
        "/bin/tcsh",
        ".tcshrc",
        "echo -n hello\nset answer = $<\n",
    );
    login(
        4,
        "/usr/bin/fish",
        ".config/fish/config.fish",
        "printf 'welcome to %s' (uname -n)\nread -l answer\n",
    );
    let machine = cluster.machine();
    live(&cluster, &machine);
    machine
        .tarsops(["plan", "-v"])
        .tells("printed there before the answer")
        .tells("]0;")
        .tells("1\\n2\\n3\\n")
        .tells("welcome to")
        .hides("\x1b]0");
    machine.tarsops(["plan"]).hides("printed there before");
}

#[test]
fn a_login_file_that_takes_everything_is_named() {
    let cluster = Cluster::new(3);
    let machine = cluster.machine();
    machine.converge();
    login_shell(cluster.host(2), "ops", "/bin/bash");
    of_ops(cluster.host(2), ".bashrc", "cat >/dev/null\n");
    cluster
        .host(3)
        .write(
            "/usr/bin/locked",
            "#!/bin/sh\necho this account is locked\nexit 1\n",
        )
        .unwrap();
    cluster.host(3).sh("chmod 755 /usr/bin/locked").unwrap();
    login_shell(cluster.host(3), "ops", "/usr/bin/locked");
    machine
        .tarsops(["plan"])
        .tells("a login file of the user there reads standard input")
        .tells("the login shell of the user there ended with status 1 before it ran anything (this account is locked)");
}

#[test]
fn every_login_shell_will_do() {
    let cluster = Cluster::new(4);
    for (n, shell) in [
        (1, "/bin/tcsh"),
        (2, "/usr/bin/fish"),
        (3, "/bin/bash"),
        (4, "/bin/csh"),
    ] {
        let host = cluster.host(n);
        host.sh("[ -e /bin/csh ] || ln -s tcsh /bin/csh").unwrap();
        login_shell(host, "ops", shell);
    }
    live(&cluster, &cluster.machine());
}

/// Root logs in itself, and its login files set what changes a shell or a program.
#[test]
fn the_environment_of_a_login_changes_nothing() {
    let cluster = Cluster::new(4);
    let path = "export CDPATH=.:/usr/local/app:/\n";
    let programs = "export TIME_STYLE='+%s %j' QUOTING_STYLE=c GREP_OPTIONS=-v POSIXLY_CORRECT=1 BLOCKSIZE=1 \
         BLOCK_SIZE=human-readable COLUMNS=7 LC_ALL=de_DE.UTF-8 LANGUAGE=de TZ=Asia/Tokyo TMPDIR=/nowhere\n\
         umask 077\nalias ls='ls --color=always'\n";
    let shell = "export IFS=/ TMOUT=1 ENV=/root/env BASH_ENV=/root/env GLOBIGNORE='*'\n\
         ls() { echo 'ls is another one'; }\nid() { echo 0; }\nfunction which { :; }\nexport -f ls id which\n\
         export SHELLOPTS\nset -o noglob -o noclobber\n";
    for (n, text) in [
        (1, path.to_owned()),
        (2, programs.to_owned()),
        (3, shell.to_owned()),
        (4, format!("{path}{programs}{shell}")),
    ] {
        let host = cluster.host(n);
        login_shell(host, "root", "/bin/bash");
        // A bash takes more from its environment than a dash.
        if n > 2 {
            host.sh("ln -sf bash /usr/bin/sh").unwrap();
        }
        host.write("/root/.bashrc", text).unwrap();
        host.write("/root/env", "exit 9\n").unwrap();
    }
    let machine = cluster.bare_machine();
    let mut spec = cluster.spec();
    spec.user = "root".to_owned();
    spec.r#become = "none".to_owned();
    machine.spec(&spec);
    machine.package("3.0.17", Layout::Full, Behaviour::Healthy);
    machine.lock();
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
        assert_eq!(host.stat("%a", &format!("{INSTALL}/tars/tarsnode")), "755");
        assert!(!host.has("/nowhere"));
    }
    machine.in_sync();
    // What programs in general are run with is the host's own affair.
    let agent = cluster.host(2).agent();
    let environment = cluster
        .host(2)
        .sh(&format!("tr '\\0' '\\n' </proc/{}/environ", agent.pid))
        .unwrap();
    assert!(environment.contains("TZ=Asia/Tokyo"), "{environment}");
    machine.package("3.0.18", Layout::Full, Behaviour::Healthy);
    "3.0.18".clone_into(&mut spec.version);
    machine.spec(&spec);
    machine.lock();
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.18"));
    }
    machine.in_sync();
}

/// Stops the agent, moves a folder to another place and puts a link there, as one does when a disk is full.
fn move_away(host: &Host, moves: &[(&str, &str)]) {
    host.kill_agents();
    for (from, to) in moves {
        host.sh(&format!(
            "mkdir -p \"$(dirname '{to}')\" && mv {from} '{to}' && ln -s '{to}' {from}"
        ))
        .unwrap();
    }
    host.sh(&format!(
        "runuser -u tars -- sh {UTIL}/start.sh >/dev/null 2>&1 </dev/null"
    ))
    .unwrap();
}

#[test]
fn folders_may_be_links() {
    let cluster = Cluster::new(5);
    let machine = cluster.machine();
    // A host on which the links are there first.
    cluster
        .host(5)
        .sh(&format!(
            "mkdir -p /data/app /big/tars && ln -s /data/app {INSTALL} && ln -s ../../big/tars /data/app/tars && chown tars: /big/tars"
        ))
        .unwrap();
    machine.converge();
    let tars = &format!("{INSTALL}/tars");
    let node = &format!("{tars}/tarsnode");
    move_away(cluster.host(1), &[(INSTALL, "/data/app")]);
    move_away(cluster.host(2), &[(tars, "/data/tars")]);
    move_away(
        cluster.host(3),
        &[(node, "/data/d/tarsnode"), (tars, "/big/t")],
    );
    move_away(
        cluster.host(4),
        &[
            (&format!("{node}/bin"), "/data/bin of it"),
            (&format!("{node}/data"), "/data/data"),
        ],
    );
    // A server that runs below a link is one all the same.
    let server = format!("{node}/data/App.S/bin/S");
    cluster
        .host(4)
        .sh(&format!(
            "mkdir -p {node}/data/App.S/bin && cp /bin/sleep {server} && chown -R tars: {node}/data/ && \
             (cd {node}/data/App.S/bin && setsid ./S 3600 >/dev/null 2>&1 </dev/null &)"
        ))
        .unwrap();
    machine
        .tarsops(["plan"])
        .exits(0)
        .says("Nothing to do")
        .hides("cannot be read");
    let mut spec = cluster.spec();
    spec.with_override("10.77.1.4: {state: absent}");
    machine.spec(&spec);
    machine.tarsops(["plan"]).exits(6).tells("stop_servers");
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.18"));
        host.assert_tidy();
    }
    machine.in_sync();
    // A change that fails goes back to what runs below the link.
    machine.ask_for(&cluster, "3.0.19", Behaviour::CrashAtStart);
    machine.tarsops(["apply", "-y", "--on", "10.77.1.3"]);
    let host = cluster.host(3);
    host.assert_runs("10.77.1.3", "tars", &healthy("3.0.18"));
    assert!(host.sh(&format!("[ -h {node} ] && [ -h {tars} ]")).is_ok());
    machine.tarsops(["rollback", "-y"]);
}

#[test]
fn a_link_is_not_removed() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(2);
    move_away(
        host,
        &[(&format!("{INSTALL}/tars/tarsnode"), "/data/tarsnode")],
    );
    let mut spec = cluster.spec();
    spec.with_override("10.77.1.2: {state: absent}");
    machine.spec(&spec);
    machine
        .tarsops(["apply", "-y"])
        .tells("/usr/local/app/tars/tarsnode is a symbolic link");
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.17"));
    host.assert_tidy();
}

/// The program alone is a link: it is seen to run and not replaced.
#[test]
fn a_program_may_be_a_link() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(1);
    move_away(host, &[(BINARY, "/data/tarsnode-of-3.0.17")]);
    host.sh(&format!("chown -h tars: {BINARY}")).unwrap();
    machine.in_sync();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine
        .tarsops(["apply", "-y"])
        .tells("tarsnode/bin/tarsnode is a symbolic link, which is not replaced")
        .hides("without root");
    assert_eq!(host.agents().len(), 1);
}

/// The run user leads its folder to another installation, whose programs root runs.
#[test]
fn a_link_of_the_run_user_stops_nobody_else() {
    let cluster = Cluster::new(1);
    let machine = cluster.machine();
    machine.converge();
    let host = cluster.host(1);
    let other = "/opt/other/tarsnode/bin/tarsnode";
    host.sh(&format!(
        "mkdir -p /opt/other/tarsnode && cp -r {INSTALL}/tars/tarsnode/. /opt/other/tarsnode && \
         cp /bin/sleep {other} && chown -R root: /opt/other && (setsid {other} 3600 >/dev/null 2>&1 </dev/null &)"
    ))
    .unwrap();
    host.kill_agents();
    host.sh(&format!(
        "runuser -u tars -- sh -c 'cd {INSTALL}/tars && mv tarsnode mine && ln -s /opt/other/tarsnode tarsnode'"
    ))
    .unwrap();
    let others = || {
        host.processes()
            .iter()
            .filter(|p| p.command.starts_with(other))
            .count()
    };
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let ran = machine.tarsops(["apply", "-y"]);
    assert_ne!(ran.code, 0, "{} {}", ran.out, ran.err);
    assert_eq!(others(), 1, "{} {}", ran.out, ran.err);
    host.assert_tidy();
}

/// Puts a program before the host's own that is there and does not work.
fn break_tool(host: &Host, tool: &str) {
    let text = format!(
        "#!/bin/sh\necho '{tool}: error while loading shared libraries: libssl.so.10' >&2\nexit 127\n"
    );
    put_tool(host, tool, &text);
}

/// Where `sudo` looks first; the tests' own programs on the host come from elsewhere.
fn put_tool(host: &Host, tool: &str, text: &str) {
    let path = format!("/opt/broken/{tool}");
    host.sh("mkdir -p /opt/broken && sed -i 's|secure_path=\"/usr/local/sbin|secure_path=\"/opt/broken:/usr/local/sbin|' /etc/sudoers")
        .unwrap();
    host.write(&path, text).unwrap();
    host.sh(&format!("chmod 755 {path}")).unwrap();
}

#[test]
fn another_program_takes_the_place_of_a_broken_one() {
    let cluster = Cluster::new(4);
    break_tool(cluster.host(1), "openssl");
    for tool in ["openssl", "sha256sum", "runuser"] {
        break_tool(cluster.host(2), tool);
    }
    for tool in ["timeout", "ip", "setpriv"] {
        break_tool(cluster.host(3), tool);
    }
    // Nothing but su(1) is left to act as another user.
    break_tool(cluster.host(2), "setpriv");
    // Says something else with a good status.
    put_tool(
        cluster.host(4),
        "openssl",
        "#!/bin/sh\necho no such engine\n",
    );
    put_tool(cluster.host(4), "df", "#!/bin/sh\nexec sleep 1000\n");
    put_tool(cluster.host(4), "ip", "#!/bin/sh\nexec sleep 1000\n");
    let machine = cluster.machine();
    let ran = machine.tarsops(["plan"]);
    ran.exits(2).tells("df did not answer within 10 s");
    cluster
        .host(4)
        .sh("rm /opt/broken/df /opt/broken/ip")
        .unwrap();
    live(&cluster, &machine);
}

#[test]
fn a_program_that_does_not_work_is_named() {
    let tools = ["stat", "ls", "grep", "id", "date"];
    // Only scripts that change something use these.
    let of_changes = ["sort", "readlink", "sed", "head"];
    let others = ["flock", "setsid", "all digests", "find"];
    let count = u8::try_from(tools.len() + others.len() + of_changes.len()).unwrap();
    let cluster = Cluster::new(count);
    let machine = cluster.machine();
    machine.converge();
    let state: Vec<_> = cluster.hosts.iter().map(|h| h.agent().pid).collect();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    for (tool, host) in tools.iter().chain(&others).zip(&cluster.hosts) {
        if *tool == "all digests" {
            for tool in ["openssl", "sha256sum", "busybox", "shasum"] {
                break_tool(host, tool);
            }
        } else {
            break_tool(host, tool);
        }
    }
    let changed = &cluster.hosts[tools.len() + others.len()..];
    for (tool, host) in of_changes.iter().zip(changed) {
        break_tool(host, tool);
        machine
            .tarsops(["apply", "-y", "--on", &host.ip().to_string()])
            .tells(&format!("its {tool} does not work"));
    }
    // Digests of an earlier look are remembered.
    let ran = machine.tarsops(["plan", "--rehash"]);
    for tool in tools.iter().chain(&["find"]) {
        ran.tells(&format!("its {tool} does not work"));
    }
    for tool in ["flock", "setsid"] {
        ran.tells(&format!("the host has no program `{tool}` that works"));
    }
    ran.tells("no program there computes its sha256")
        .tells("error while loading shared libraries");
    machine.tarsops(["apply", "-y"]);
    for (host, pid) in cluster.hosts.iter().zip(state) {
        assert_eq!(host.agent().pid, pid, "{}", host.name());
    }
}

/// Writes a crontab past crontab(1), as people do.
fn spool(host: &Host, user: &str, text: &str) {
    let path = format!("/var/spool/cron/crontabs/{user}");
    host.write(&path, text).unwrap();
    host.sh(&format!("chown {user}:crontab {path} && chmod 600 {path}"))
        .unwrap();
}

#[test]
fn crontabs_are_not_tidy_either() {
    let cluster = Cluster::new(5);
    let open = "MAILTO=ops@example.com\n0 3 * * * /usr/bin/true";
    let comments = "# nothing here\n#\n\n# at all\n";
    let returns = "MAILTO=x\r\n0 3 * * * /usr/bin/true\r\n";
    let large: String = (0..1900)
        .map(|n| format!("{} 3 * * * /usr/bin/true --number {n}\n", n % 60))
        .collect();
    assert!(large.len() > 60 << 10);
    let texts = [
        (open, ""),
        (open, open),
        (comments, comments),
        (returns, returns),
        (&large, &large),
    ];
    for (host, (root, tars)) in cluster.hosts.iter().zip(texts) {
        for (user, text) in [("root", root), ("tars", tars)] {
            // A program that lists a crontab leaves out what it takes for its own first lines.
            if text.starts_with('#') {
                host.set_crontab(user, text.as_bytes());
            } else if !text.is_empty() {
                spool(host, user, text);
            }
        }
    }
    let machine = cluster.machine();
    live(&cluster, &machine);
    let ended = |text: &str| match text {
        "" => String::new(),
        text => format!("{}\n", text.trim_end_matches('\n')),
    };
    for (host, (root, tars)) in cluster.hosts.iter().zip(texts) {
        assert_eq!(
            host.crontab("root").unwrap(),
            ended(root),
            "{}",
            host.name()
        );
        let own = host.crontab("tars").unwrap();
        let monitor = own.strip_prefix(&ended(tars)).unwrap();
        assert!(
            monitor.starts_with(MONITOR) && monitor.lines().count() == 1,
            "{own}"
        );
    }
    // The removal and its rollback.
    let mut spec = cluster.spec();
    for n in 2..=5 {
        spec.with_override(format!("{}: {{state: absent}}", node(n)));
    }
    machine.spec(&spec);
    machine.converge();
    for (host, (_, tars)) in cluster.hosts.iter().zip(texts).skip(1) {
        assert_eq!(
            host.crontab("tars").unwrap(),
            ended(tars),
            "{}",
            host.name()
        );
    }
    machine.tarsops(["rollback", "-y"]).exits(0);
    for (host, (_, tars)) in cluster.hosts.iter().zip(texts).skip(1) {
        let own = host.crontab("tars").unwrap();
        assert!(
            own.starts_with(&ended(tars)) && own.contains(MONITOR),
            "{own}"
        );
    }
}

#[test]
fn who_may_not_have_a_crontab_is_named() {
    let cluster = Cluster::new(3);
    for n in [2, 3] {
        let host = cluster.host(n);
        host.sh("mkdir -p /home/tars/.ssh && cp /home/ops/.ssh/authorized_keys /home/tars/.ssh/ && \
             chown -R tars: /home/tars/.ssh && chmod 700 /home/tars/.ssh && mkdir -p /usr/local/app && chown tars: /usr/local/app")
            .unwrap();
    }
    cluster.host(2).write("/etc/cron.deny", "tars\n").unwrap();
    cluster
        .host(3)
        .write("/etc/cron.allow", "nobody\n")
        .unwrap();
    let machine = cluster.machine();
    let mut spec = cluster.spec();
    spec.user = "tars".to_owned();
    spec.r#become = "none".to_owned();
    machine.spec(&spec);
    let ran = machine.tarsops(["plan", "--on", "10.77.1.2,10.77.1.3"]);
    ran.tells("You (tars) are not allowed to use this program (crontab)")
        .hides("See crontab(1)");
}

#[test]
fn no_second_monitor_stands_beside_another() {
    let cluster = Cluster::new(6);
    let machine = cluster.machine();
    let entered =
        "* * * * * cd /usr/local/app/tars/tarsnode/util && ./monitor.sh >/dev/null 2>&1\n";
    let own = [
        "",
        "",
        entered,
        "TARS=/usr/local/app/tars\n* * * * * $TARS/tarsnode//util/monitor.sh >/dev/null 2>&1\n",
        "* * * * * ~/tarsnode/util/monitor.sh >/dev/null 2>&1\n",
    ];
    cluster.host(1).set_crontab("root", entered.as_bytes());
    cluster
        .host(2)
        .write(
            "/etc/cron.d/tars",
            "* * * * * tars /usr/local/app/tars/tarsnode/util/monitor.sh >/dev/null 2>&1\n",
        )
        .unwrap();
    for (host, text) in cluster.hosts.iter().zip(own) {
        if !text.is_empty() {
            host.set_crontab("tars", text.as_bytes());
        }
    }
    // One that runs nothing is replaced.
    let returned = format!("MAILTO=x\r\n{MONITOR}\r\n");
    cluster.host(6).set_crontab("tars", returned.as_bytes());
    let ran = machine.converge();
    ran.tells("root's crontab has a line that watches it")
        .tells("/etc/crontab or /etc/cron.d has a line that watches it")
        .tells("line 1 of its crontab may be its monitor");
    for (host, text) in cluster.hosts.iter().zip(own) {
        assert_eq!(
            host.crontab("tars").unwrap_or_default(),
            text,
            "{}",
            host.name()
        );
    }
    let last = cluster.host(6).crontab("tars").unwrap();
    assert!(
        last.starts_with(&format!("MAILTO=x\r\n{MONITOR}")) && !last.contains("sh\r"),
        "{last}"
    );
    machine.in_sync();
    // What would start it again is named before anything is removed.
    let mut spec = cluster.spec();
    for n in [1, 2] {
        spec.with_override(format!("{}: {{state: absent}}", node(n)));
    }
    spec.registries = vec!["10.77.1.3:17890".to_owned()];
    spec.nodes[0] = "{name: 10.77.1.1}".to_owned();
    spec.nodes[2] = "{name: 10.77.1.3, roles: [master]}".to_owned();
    machine.spec(&spec);
    machine
        .tarsops(["plan"])
        .exits(6)
        .tells("root's crontab would start again what is stopped")
        .tells("/etc/crontab or /etc/cron.d would start again what is stopped");
}
