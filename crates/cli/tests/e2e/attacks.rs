//! What users of a host who are less than root try, and what a host could remember: root follows no
//! link of theirs, runs nothing of theirs, and a change is stopped by nobody's process name.
//!
//! A victim is files of root that only root can read. They are untouched when neither their owners,
//! modes, contents and inodes nor the time of the last read have changed.

use std::time::{Duration, Instant};

use crate::support::*;

const VICTIM: &str = "/usr/local/victim";
const SECRET: &str = "secret-of-root";

/// Files of root under every name that a component has, which were last read long ago.
fn victim(host: &Host) -> Snapshot {
    host.sh(&format!(
        "mkdir -p {VICTIM}/bin {VICTIM}/util {VICTIM}/conf && umask 077 && \
         for d in . bin util conf; do \
         for f in tarsnode start.sh stop.sh execute.sh monitor.sh tars.tarsnode.config.conf secret; do \
         echo {SECRET} >{VICTIM}/$d/$f; done; done; \
         find {VICTIM} -type f -exec touch -d '2020-01-02' {{}} + && \
         find {VICTIM} -type f -exec touch -a -d '2019-01-02' {{}} +"
    ))
    .unwrap();
    look(host)
}

/// The victim as it is. What looks at it must not read it.
fn look(host: &Host) -> Snapshot {
    host.files(&format!(
        "find {VICTIM} -type f -exec stat -c '%n|%a %U:%G %s %i %X %Y %Z' {{}} + ; \
         find {VICTIM} -type d -exec stat -c '%n|%a %U:%G %i' {{}} +; \
         find {VICTIM} -type f | wc -l | sed 's/^/files|/'"
    ))
}

#[track_caller]
fn untouched(host: &Host, before: &Snapshot) {
    assert_eq!(before.changes(&look(host)), "", "{}", host.name());
}

fn as_tars(host: &Host, script: &str) -> String {
    let quoted = script.replace('\'', r"'\''");
    host.sh(&format!("su -s /bin/sh tars -c '{quoted}'"))
        .unwrap()
}

/// A process of the run user that swaps its folders and files for links to the victim, for a moment
/// each, and puts links where this tool is about to write. It ends when its file is removed.
const SWAPPER: &str = r#"
chdir "/usr/local/app/tars" or die;
my $go = "/tmp/swap-on";
my @folders = map { "tarsnode/$_" } qw(bin util conf data);
my @files = qw(tarsnode/bin/tarsnode tarsnode/util/start.sh tarsnode/util/stop.sh tarsnode/util/execute.sh
    tarsnode/util/monitor.sh tarsnode/conf/tars.tarsnode.config.conf);
my $n = 0;
while (-e $go) {
    $n++;
    my $folder = $folders[int rand @folders];
    my ($own) = $folder =~ m{([^/]+)$};
    if (-d $folder && ! -l $folder && rename $folder, "$folder.mine") {
        symlink "/usr/local/victim/$own", $folder;
        select undef, undef, undef, 0.002;
        unlink $folder if -l $folder;
        # What was made there meanwhile gives way to what was there.
        if (-e $folder) { rename $folder, "$folder.made$n" }
        rename "$folder.mine", $folder;
    }
    if ($n % 7 == 0 && rename "tarsnode", "away.$$") {
        symlink "/usr/local/victim", "tarsnode";
        select undef, undef, undef, 0.002;
        unlink "tarsnode" if -l "tarsnode";
        rename "away.$$", "tarsnode";
    }
    for my $file (@files) {
        my ($name) = $file =~ m{([^/]+)$};
        for my $end (qw(.tarsops-new .tarsops-old)) {
            next unless -e "$file$end" && ! -l "$file$end";
            unlink "$file$end";
            symlink "/usr/local/victim/$name", "$file$end";
        }
    }
    select undef, undef, undef, 0.001 + rand 0.02;
}
"#;

fn swap(host: &Host) {
    host.write("/tmp/swapper.pl", SWAPPER).unwrap();
    host.sh("touch /tmp/swap-on && chown tars /tmp/swap-on && \
         (setsid su -s /bin/sh tars -c 'perl /tmp/swapper.pl' >/tmp/swapper.log 2>&1 </dev/null &)")
        .unwrap();
}

fn stop_swapping(host: &Host) {
    host.sh("rm -f /tmp/swap-on; while pgrep -u tars perl >/dev/null; do sleep 0.05; done")
        .unwrap();
    assert_eq!(host.sh("cat /tmp/swapper.log").unwrap(), "");
    // What it was cut off in. While a change takes the folders for root, it cannot give back what it had moved away.
    host.sh(&format!(
        "cd {INSTALL}/tars && for d in tarsnode tarsnode/bin tarsnode/util tarsnode/conf tarsnode/data; do \
         if [ -h $d ]; then rm $d; fi; done; \
         for d in away.*; do [ ! -d $d ] || [ -e tarsnode ] || mv $d tarsnode; done; \
         for d in tarsnode/*.mine; do [ ! -d $d ] || [ -e ${{d%.mine}} ] || mv $d ${{d%.mine}}; done; rm -rf away.* tarsnode/*.made* tarsnode/*.mine; \
         find . -name '*.tarsops-*' -type l -exec rm {{}} +"
    ))
    .unwrap();
}

/// Installation, upgrade, an upgrade that fails, rollback and removal while links are swapped.
#[test]
fn no_link_of_the_run_user_is_followed() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let before = victim(host);
    let machine = cluster.machine();
    machine.converge();
    let swapping = |words: &[&str], tries: usize| {
        swap(host);
        let mut codes = Vec::new();
        for _ in 0..tries {
            let ran = machine.tarsops(words);
            assert!(!ran.out.contains(SECRET) && !ran.err.contains(SECRET));
            codes.push(ran.code);
            untouched(host, &before);
        }
        stop_swapping(host);
        codes
    };
    // The host ends by itself what was in the way of the swapper, within a minute. A busy machine makes each
    // try longer: a number of tries says more than a time.
    let settles = || {
        let mut last = String::new();
        let until = Instant::now() + Duration::from_secs(150);
        let mut tries = 0..20;
        while tries.next().is_some() || Instant::now() < until {
            let ran = machine.tarsops(["apply", "-y"]);
            if ran.code == 0 {
                return;
            }
            last = format!("{}{}", ran.out, ran.err);
        }
        panic!("the host does not converge: {last}");
    };
    let mut codes = Vec::new();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    codes.extend(swapping(&["apply", "-y"], 3));
    settles();
    codes.extend(swapping(&["rollback", "-y"], 2));
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    settles();
    machine.ask_for(&cluster, "3.0.19", Behaviour::CrashAtStart);
    codes.extend(swapping(&["apply", "-y"], 2));
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    settles();
    // Other owners below it: the change that gives everything to the run user.
    host.sh(&format!("chown -R ops: {INSTALL}/tars/tarsnode/conf"))
        .unwrap();
    codes.extend(swapping(&["apply", "-y"], 2));
    settles();
    codes.extend(swapping(&["plan"], 3));
    untouched(host, &before);
    // The swapper was in the way of something, or it attacked nothing.
    assert!(
        codes.iter().any(|code| *code != 0 && *code != 2),
        "{codes:?}"
    );
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.18"));
    // What was uploaded for a change that was refused waits for the next one.
    host.sh(&format!("rm -f {STATE}/stage/*")).unwrap();
    host.assert_tidy();
}

/// The install path belongs to the run user, who has put a change there.
#[test]
fn what_lies_in_a_folder_of_the_run_user_is_never_run() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    host.sh(&format!("mkdir -p {INSTALL} && chown tars: {INSTALL}"))
        .unwrap();
    let before = victim(host);
    let plant = |base: &str| {
        as_tars(
            host,
            &format!(
                "r=1796000000000-abcdef s=tarsnode.change_x; mkdir -p {base}/runs/$r/$s {base}/stage && cd {base} && \
                 echo \"$r $s\" >current; : >lock; echo '{{}}' >runs/$r/$s/intent; \
                 for f in guard.sh runs/$r/$s/change.sh runs/$r/$s/tree.sh runs/$r/$s/env; do \
                 echo 'id >>/tmp/pwned; chown tars {VICTIM}/secret' >$f; done"
            ),
        )
    };
    let base = format!("{INSTALL}/.tarsops");
    plant(&base);
    machine.converge();
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    // The folder itself belongs to root now, and so does nothing below it that is run.
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    as_tars(
        host,
        &format!(
            "rm -rf {base}; ln -s {VICTIM} {base}; ln -s {VICTIM} {INSTALL}/tars/.tarsops || :"
        ),
    );
    machine.converge();
    machine.tarsops(["rollback", "-y"]).exits(0);
    machine.tarsops(["history"]).exits(0);
    assert!(!host.has("/tmp/pwned"), "it was run");
    untouched(host, &before);
    for user in ["root", "ops", "tars"] {
        let text = host.crontab(user).unwrap_or_default();
        assert!(!text.contains("tarsops"), "{user}: {text}");
    }
}

/// Our own folder, where others could write on the way to it.
#[test]
fn a_folder_of_ours_that_others_can_write_to_is_not_used() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let ways = [
        "chown tars: /var/lib/tarsops",
        "chmod o+w /var/lib/tarsops",
        "chgrp tars /var/lib/tarsops; chmod g+w /var/lib/tarsops",
        "chown tars: /var/lib/tarsops/test",
        "mv /var/lib/tarsops/test /home/tars/t; chown -R tars: /home/tars/t; ln -s /home/tars/t /var/lib/tarsops/test",
    ];
    for way in ways {
        host.sh("rm -rf /var/lib/saved && cp -a /var/lib/tarsops /var/lib/saved")
            .unwrap();
        host.sh(way).unwrap();
        let state = host.state();
        machine
            .tarsops(["plan"])
            .exits(6)
            .tells("write there")
            .tells("/var/lib/tarsops");
        machine.tarsops(["apply", "-y"]).exits(6);
        machine.tarsops(["check"]).says("unsafe-folder");
        assert_eq!(state.changes(&host.state()), "", "{way}");
        host.sh("rm -rf /var/lib/tarsops && mv /var/lib/saved /var/lib/tarsops")
            .unwrap();
    }
    machine.converge();
    host.assert_tidy();
}

/// What an earlier version left below the install path is moved, as data.
#[test]
fn what_an_earlier_version_left_is_taken_over_as_data() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    let old = format!("{INSTALL}/.tarsops");
    host.sh(&format!(
        "mv {STATE} {old} && for s in {old}/runs/*/*/change.sh {old}/guard.sh; do echo 'id >>/tmp/pwned' >$s; done"
    ))
    .unwrap();
    // It is read where it lies, and a look changes nothing.
    let told = machine.tarsops(["history"]);
    told.exits(0);
    assert_eq!(told.out.lines().count(), 2, "{}", told.out);
    assert!(host.has(&old) && !host.has(STATE));
    machine.tarsops(["rollback", "-y"]).exits(0);
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.17"));
    assert!(!host.has(&old) && !host.has("/tmp/pwned"));
    host.assert_tidy();
    // A change of the earlier version that has not ended is left to it.
    machine.converge();
    machine.ask_for(&cluster, "3.0.17", Behaviour::Healthy);
    host.sh(&format!(
        "mv {STATE} {old} && echo '1796000000000-abcdef x' >{old}/current"
    ))
    .unwrap();
    let ran = machine.tarsops(["apply", "-y"]);
    assert!(![0, 101].contains(&ran.code), "{}", ran.err);
    host.assert_runs("10.77.1.1", "tars", &healthy("3.0.18"));
    assert!(!host.has("/tmp/pwned"));
}

/// Names with line breaks, in folders that are given to the run user and back.
#[test]
fn names_of_files_are_nothing_but_names() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let before = victim(host);
    let machine = cluster.machine();
    machine.converge();
    as_tars(
        host,
        &format!(
            "cd {INSTALL}/tars/tarsnode/data && d=$(printf 'x\\n0:0 {VICTIM}') && mkdir -p \"$d\" && \
             touch \"$d/secret\" \"$(printf '1 0:0\\n2 tars:')\" && \
             ln -s {VICTIM} link && ln -s {VICTIM}/secret \"$(printf 'a\\nb')\""
        ),
    );
    host.sh(&format!(
        "cd {INSTALL}/tars/tarsnode && chown -h ops: data/* && chown ops: data/x*{VICTIM}/secret conf && touch -h data/*"
    ))
    .unwrap();
    machine.tarsops(["plan"]).exits(2);
    machine.converge();
    untouched(host, &before);
    let strangers = format!("find {INSTALL}/tars ! -user tars | wc -l");
    assert_eq!(host.sh(&strangers).unwrap(), "0");
    machine.tarsops(["rollback", "-y"]).exits(0);
    untouched(host, &before);
    assert_ne!(host.sh(&strangers).unwrap(), "0", "owners came back");
}

/// Root reads no further than whoever put the link there could.
#[test]
fn what_a_link_leads_to_is_in_no_plan() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let before = victim(host);
    let machine = cluster.machine();
    machine.converge();
    for path in [
        "util/execute.sh",
        "util/monitor.sh",
        "conf/tars.tarsnode.config.conf",
        "bin/tarsnode",
    ] {
        as_tars(
            host,
            &format!(
                "cd {INSTALL}/tars/tarsnode && mv {path} {path}.mine && ln -s {VICTIM}/secret {path}"
            ),
        );
        for words in [
            &["plan", "-v", "-o", "saved.plan"][..],
            &["plan", "--json", "--rehash"],
            &["status"],
            &["apply", "-y"],
        ] {
            let ran = machine.tarsops(words);
            let text = format!("{}{}", ran.out, ran.err);
            assert!(!text.contains(SECRET), "{path}: {text}");
        }
        let saved = machine.repo("saved.plan");
        let text = std::fs::read_to_string(&saved).unwrap_or_default();
        assert!(!text.contains(SECRET), "{path}");
        std::fs::remove_file(&saved).ok();
        assert!(!machine.journals().contains(SECRET));
        untouched(host, &before);
        as_tars(
            host,
            &format!("cd {INSTALL}/tars/tarsnode && rm -f {path} && mv {path}.mine {path}"),
        );
    }
}

/// A process counts by whose it is, and not by what it calls itself.
#[test]
fn a_process_of_another_user_stops_no_change() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    // As its words, as its title, and as a program with the path of the agent's data.
    host.sh(&format!(
        "for n in 1 2; do (setsid su -s /bin/sh nobody -c 'exec perl -e \"exec {{q(/bin/sleep)}} \
         q({BINARY}), q(3600)\"' >/dev/null 2>&1 </dev/null &); done; \
         (setsid su -s /bin/sh nobody -c 'exec perl -e \"exec {{q(/bin/sleep)}} \
         q({INSTALL}/tars/tarsnode/data/App.S/bin/S), q(3600)\"' >/dev/null 2>&1 </dev/null &); \
         until [ $(pgrep -u nobody -c sleep) = 3 ]; do sleep 0.05; done"
    ))
    .unwrap();
    let theirs = host.sh("pgrep -u nobody sleep").unwrap();
    machine.tarsops(["drift"]).exits(0);
    machine
        .tarsops(["check"])
        .says("impostor")
        .says("uid 65534");
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    machine.tarsops(["rollback", "-y"]).exits(0);
    let agents = host.agents().into_iter().filter(|a| a.user == "tars");
    assert_eq!(agents.count(), 1);
    assert_eq!(host.sh("pgrep -u nobody sleep").unwrap(), theirs);
    host.assert_tidy();
}

/// The path of a program may have a line end in it, and look like the line of another process.
#[test]
fn a_path_that_looks_like_another_process_ends_nobody() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    host.sh("(setsid sleep 3601 >/dev/null 2>&1 </dev/null &); until pgrep -fx 'sleep 3601'; do sleep 0.05; done")
        .unwrap();
    let pid = host.sh("pgrep -fx 'sleep 3601'").unwrap();
    as_tars(
        host,
        &format!(
            "p=$(printf '/tmp/a\nq /proc/{}/exe -> {BINARY}') && mkdir -p \"${{p%/*}}\" && cp /bin/sleep \"$p\" && \
             (setsid \"$p\" 3602 >/dev/null 2>&1 </dev/null &)",
            pid.trim()
        ),
    );
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.converge();
    machine.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(host.sh("pgrep -fx 'sleep 3601' || :").unwrap(), pid);
}

/// A file of any size costs its owner nothing, and must cost us nothing.
#[test]
fn a_sparse_file_is_not_read() {
    let cluster = Cluster::new(1);
    let host = cluster.host(1);
    let machine = cluster.machine();
    machine.converge();
    as_tars(
        host,
        &format!(
            "cd {INSTALL}/tars/tarsnode && mv bin/tarsnode bin/mine && truncate -s 1T bin/tarsnode && truncate -s 1T conf/big && mv conf/tars.tarsnode.config.conf conf/mine && mv conf/big conf/tars.tarsnode.config.conf"
        ),
    );
    let ran = machine.tarsops(["plan", "--rehash"]);
    assert!(![0, 2, 101].contains(&ran.code), "{}\n{}", ran.out, ran.err);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
    let busy: Vec<_> = host
        .processes()
        .into_iter()
        .filter(|p| p.command.contains("openssl") || p.command.contains("sha256sum"))
        .collect();
    assert!(busy.is_empty(), "{busy:?}");
}
