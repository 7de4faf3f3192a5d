//! As whom the framework runs: a spec that names another user, a change of user that fails, what a
//! change needs before it stops anything, and a change that only a person's word can end.

use std::time::Duration;

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// A cluster whose agents all run as root.
fn as_root(hosts: u8) -> (Cluster, Machine) {
    let cluster = Cluster::new(hosts);
    let machine = cluster.machine();
    let mut spec = cluster.spec();
    "root".clone_into(&mut spec.run_user);
    machine.spec(&spec);
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "root", &healthy("3.0.17"));
    }
    (cluster, machine)
}

/// Owners and modes of everything below the agent's folder but what it writes itself.
fn owners(host: &Host) -> String {
    host.sh(&format!(
        "cd {INSTALL}/tars && find . -path ./tarsnode/data -prune -o -path ./app_log -prune -o -print | sort | xargs stat -c '%n %U %a'"
    ))
    .unwrap()
}

#[test]
fn a_cluster_that_runs_as_somebody_else_is_not_restarted_unasked() {
    let (cluster, machine) = as_root(3);
    machine.spec(&cluster.spec());
    let before: Vec<_> = cluster.hosts.iter().map(HostExt::agent).collect();
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    // It is the same whether the user is there or not, and whether a new version is asked for.
    for way in ["true", "userdel -r tars 2>/dev/null || userdel tars"] {
        for host in &cluster.hosts {
            host.sh(way).unwrap();
        }
        let plan = machine.tarsops(["plan"]);
        plan.exits(6)
            .says("every process of the framework runs as root, and the spec says tars")
            .says("write `run_user: root`")
            .hides("does not exist");
        assert_eq!(plan.out.matches("every process").count(), 1, "{}", plan.out);
        machine.tarsops(["apply", "-y"]).exits(6);
        machine.tarsops(["apply", "-y", "--allow-blocked"]).exits(6);
    }
    for ((host, agent), state) in cluster.hosts.iter().zip(&before).zip(&states) {
        assert_eq!(&host.agent(), agent);
        assert_eq!(state.changes(&host.state()), "");
    }
    let mut spec = cluster.spec();
    "root".clone_into(&mut spec.run_user);
    machine.spec(&spec);
    machine.in_sync();
}

#[test]
fn a_change_of_user_that_fails_goes_back_to_the_old_user() {
    let (cluster, machine) = as_root(1);
    let host = cluster.host(1);
    // What it was started with comes back as well.
    host.kill_agents();
    host.sh(&format!(
        "env -i PATH=/usr/bin:/bin FIELD='one two' sh {INSTALL}/tars/tarsnode/util/start.sh >/dev/null 2>&1 </dev/null"
    ))
    .unwrap();
    wait_until("the agent", MINUTE, || host.agents().len() == 1);
    let before = (owners(host), host.crontab("tars"));
    machine.package("3.0.18", Layout::Full, Behaviour::CrashAtStart);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    spec.with_framework("change_run_user: true");
    machine.spec(&spec);
    machine.lock();
    machine.tarsops(["apply", "-y"]).exits(8);
    host.assert_runs("10.77.1.1", "root", &healthy("3.0.17"));
    assert_eq!(owners(host), before.0);
    assert_eq!(host.crontab("tars"), before.1);
    let environment = host
        .sh(&format!(
            "tr '\\0' '\\n' </proc/{}/environ",
            host.agent().pid
        ))
        .unwrap();
    assert!(environment.contains("FIELD=one two"), "{environment}");
    assert!(!environment.contains("LC_ALL"), "{environment}");
    let kept = host.sh(&format!("find {STATE} -name environ"));
    assert_eq!(kept.unwrap(), "");
    host.assert_tidy();

    // What the other user wrote meanwhile among the data stays that user's until somebody says so.
    let mut spec = cluster.spec();
    "root".clone_into(&mut spec.run_user);
    machine.spec(&spec);
    machine.converge();
    host.assert_runs("10.77.1.1", "root", &healthy("3.0.17"));
    machine.in_sync();
}

/// The other way round, from the run user to root.
#[test]
fn a_change_to_root_that_fails_goes_back_to_the_run_user() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    let before = (owners(host), host.crontab("root"));
    machine.package("3.0.18", Layout::Full, Behaviour::CrashAtStart);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    "root".clone_into(&mut spec.run_user);
    spec.with_framework("change_run_user: true");
    machine.spec(&spec);
    machine.lock();
    machine.tarsops(["apply", "-y"]).exits(8);
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    assert_eq!(owners(host), before.0);
    assert_eq!(host.crontab("root"), before.1);
    host.assert_tidy();
    // Where the run user could change what lies above, nothing is begun.
    host.sh(&format!("chown tars: {INSTALL}")).unwrap();
    let agent = host.agent();
    machine
        .tarsops(["apply", "-y"])
        .exits(8)
        .tells("root does not run what lies there");
    assert_eq!(host.agent(), agent);
    host.sh(&format!("chown root: {INSTALL}")).unwrap();
    machine.spec(&cluster.spec());
    machine.in_sync();
}

/// Files that the run user had for a while and changed are not run by root again.
#[test]
fn root_does_not_run_what_the_new_user_has_changed() {
    let (cluster, machine) = as_root(1);
    let host = cluster.host(1);
    machine.package("3.0.18", Layout::Full, Behaviour::NeverListens);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    spec.with_framework("change_run_user: true");
    spec.with_rollout("deadline: 8s");
    machine.spec(&spec);
    machine.lock();
    let run = machine.start(["apply", "-y"]);
    wait_until("the folder is the user's", MINUTE, || {
        host.agents().iter().any(|a| a.user == "tars")
    });
    // A script that the change does not replace, and that root would run each minute.
    let planted = format!(
        "rm -f {INSTALL}/tars/tarsnode/util/extra.sh; cd {INSTALL}/tars/tarsnode/util && \
         cp -p start.sh mine && echo 'id >/tmp/pwned' >>mine && mv -f mine start.sh"
    );
    host.sh(&format!("su -s /bin/sh tars -c '{planted}'"))
        .unwrap();
    run.ends_within(Duration::from_secs(120)).exits(9);
    assert!(
        !host
            .sh("cat /tmp/pwned 2>/dev/null || :")
            .unwrap()
            .contains("uid=0")
    );
}

#[test]
fn a_change_of_user_is_rolled_back_to_the_user_of_the_spec() {
    let (cluster, machine) = as_root(1);
    let host = cluster.host(1);
    let before = owners(host);
    let mut spec = cluster.spec();
    spec.with_framework("change_run_user: true");
    machine.spec(&spec);
    machine.converge();
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    machine
        .tarsops(["rollback", "-y"])
        .exits(6)
        .tells("ran as root")
        .tells("run_user");
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    let mut spec = cluster.spec();
    "root".clone_into(&mut spec.run_user);
    machine.spec(&spec);
    machine.tarsops(["rollback", "-y"]).exits(0);
    host.assert_runs("10.77.1.1", "root", &healthy("3.0.17"));
    assert_eq!(owners(host), before);
    machine.converge();
    machine.in_sync();
}

/// Kills a change after its first act, with everything that would end it.
fn cut_off(cluster: &Cluster, machine: &Machine) {
    let host = cluster.host(1);
    let mut spec = cluster.spec();
    "3.0.18".clone_into(&mut spec.version);
    spec.with_rollout("settle: 30s");
    spec.with_rollout("deadline: 90s");
    machine.spec(&spec);
    let run = machine.start(["apply", "-y"]);
    wait_until("the new version runs", MINUTE, || {
        host.agents().iter().any(|a| a.digest == healthy("3.0.18"))
    });
    run.signal(Signal::Kill);
    drop(run);
    host.sh(
        "for p in /proc/[0-9]*; do case \"$(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\" in \
         'sh /'*/change.sh' act '*) kill -9 ${p#/proc/} ;; esac; done; \
         crontab -l | grep -v tarsops-guard | crontab -",
    )
    .unwrap();
}

#[test]
fn a_person_can_end_a_stuck_change() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    for phase in ["acting", "undoing", "stuck", "done"] {
        cut_off(&cluster, &machine);
        let folder = host
            .sh(&format!("set -- {STATE}/runs/*/*/phase; for p; do [ -e ${{p%/*}}/verdict ] || echo ${{p%/*}}; done"))
            .unwrap();
        let folder = folder.trim();
        match phase {
            "stuck" => host
                .sh(&format!(
                    "printf 'stuck\\nthe old state could not be put back\\n' >{folder}/verdict"
                ))
                .unwrap(),
            _ => host.sh(&format!("echo {phase} >{folder}/phase")).unwrap(),
        };
        let agent = host.agent();
        // How a dead holder's lease runs out is another test; here it would only take time.
        host.sh(&format!("rm -f {STATE}/lease")).unwrap();
        wait_until("nobody is at work there", MINUTE, || {
            machine
                .tarsops(["recover", "--accept", "-y", &node(1)])
                .code
                == 0
        });
        assert_eq!(host.agent(), agent, "{phase}");
        host.assert_tidy();
        machine
            .tarsops(["recover", "--accept", "-y", &node(1)])
            .exits(0)
            .says("no change is unfinished");
        // The next plan starts from what runs there.
        machine.tarsops(["apply", "-y"]).exits(0);
        host.assert_runs("10.77.1.1", "tars", &healthy("3.0.18"));
        machine.spec(&cluster.spec());
        let mut back = cluster.spec();
        back.with_framework("allow_downgrade: true");
        machine.spec(&back);
        machine.tarsops(["apply", "-y"]).exits(0);
        host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    }
}

#[test]
fn recover_restores_the_old_state() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    cut_off(&cluster, &machine);
    wait_until("nobody is at work there", MINUTE, || {
        machine.tarsops(["recover", &node(1)]).code != 7
    });
    machine.tarsops(["recover", &node(1)]).exits(64).tells("-y");
    wait_until("the lease runs out", Duration::from_secs(75), || {
        machine.tarsops(["recover", "-y", &node(1)]).code == 0
    });
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    host.assert_tidy();
    machine.tarsops(["recover", "-y", "nosuch"]).exits(64);
}

/// An installation that lies elsewhere than the spec says is named, and no second one is made.
#[test]
fn an_installation_under_another_path_is_named() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    for host in &cluster.hosts {
        host.set_crontab("tars", b"\n");
        host.kill_agents();
        host.sh(&format!(
            "mkdir -p /data && mv {INSTALL} /data/app && \
             grep -rl {INSTALL} /data/app/tars/tarsnode/util /data/app/tars/tarsnode/conf | xargs sed -i 's|{INSTALL}|/data/app|g' && \
             su -s /bin/sh tars -c 'sh /data/app/tars/tarsnode/util/start.sh' >/dev/null 2>&1 </dev/null"
        ))
        .unwrap();
    }
    let there = || {
        cluster.hosts.iter().all(|host| {
            let found = "ls -l /proc/[0-9]*/exe 2>/dev/null | grep -c '/data/app/tars/tarsnode/bin/tarsnode$'";
            host.sh(&format!("{found} || :")).unwrap().trim() == "1"
        })
    };
    wait_until("both run", MINUTE, there);
    let plan = machine.tarsops(["plan"]);
    plan.exits(6).says("write `install_path: /data/app`");
    assert_eq!(
        plan.out.matches("a tarsnode runs from /data/app").count(),
        1
    );
    machine.tarsops(["apply", "-y"]).exits(6);
    for host in &cluster.hosts {
        assert!(!host.has(&format!("{INSTALL}/tars/tarsnode")));
    }
}
