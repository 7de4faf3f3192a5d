//! Every fault of a host or a console that an operator meets, and its plain cause.

use tarsops_conf::console::{Alter, ConfigFile, alter};
use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, UserName};
use tarsops_testkit::{HostOptions, SmallDisk};

use super::super::*;
use super::composed::change;
use super::world::{Behaviour, STATE, WEB, World};
use crate::replaced::{place, run_id};

/// The verdict of an update that is refused, with the console running on.
fn refused(world: &World, run: u64, change: &ConsoleChange) -> Result<Reboot, Verdict> {
    let before = world.sh("pgrep -f '[b]in/www' | sort");
    let report = world.carry_out(change, run);
    assert_eq!(
        world.sh("pgrep -f '[b]in/www' | sort"),
        before,
        "{report:#?}"
    );
    assert_eq!(world.sh(&format!("ls -d {WEB}.new* 2>/dev/null || :")), "");
    // The configuration, with its password, is nowhere.
    assert_eq!(
        world.sh(&format!("grep -rl s3cret {STATE} 2>/dev/null || :")),
        ""
    );
    report.verdict
}

fn refusal(text: &str) -> Result<Reboot, Verdict> {
    Err(Verdict::Refused(text.to_owned()))
}

#[test]
fn what_is_refused_before_anything_changes() {
    let world = World::new(Supervisor::Pm2);
    let mut run = 0;
    let mut verdict_of = |prepare: &str, edit: &dyn Fn(&mut ConsoleChange), restore: &str| {
        run += 1;
        let mut change = world.update(Behaviour::Healthy);
        edit(&mut change);
        world.sh(prepare);
        let verdict = refused(&world, run, &change);
        world.sh(restore);
        verdict
    };
    let path = |p: &str| AbsPath::new(p).unwrap();

    // An operator's edit after the plan is never lost.
    let edit = format!("echo '// mine' >>{WEB}/config/webConf.js");
    let verdict = verdict_of(&edit, &|_| {}, ":");
    let why = "config/webConf.js was changed since it was looked at";
    assert_eq!(verdict, Err(Verdict::Moved(why.to_owned())));
    let verdict = verdict_of(":", &|c| c.old_version = "3.0.13".into(), ":");
    let why = "/usr/local/app/web has the console 3.0.14, and not 3.0.13";
    assert_eq!(verdict, Err(Verdict::Moved(why.to_owned())));
    let verdict = verdict_of(":", &|c| c.old_supervisor = Supervisor::None, ":");
    let why = "the console is run by pm2, and not by none, as was seen before";
    assert_eq!(verdict, Err(Verdict::Moved(why.to_owned())));

    // The folder, its data, and whose it is.
    let verdict = verdict_of(
        &format!("mv {WEB} /usr/local/app/real; ln -s real {WEB}"),
        &|_| {},
        &format!("rm {WEB}; mv /usr/local/app/real {WEB}"),
    );
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("is a link")),
        "{verdict:?}"
    );
    let verdict = verdict_of(
        &format!("mv {WEB}/files /srv/files; ln -s /srv/files {WEB}/files"),
        &|_| {},
        &format!("rm {WEB}/files; mv /srv/files {WEB}/files"),
    );
    assert_eq!(
        verdict,
        refusal("/usr/local/app/web/files is a link: put the folder itself there")
    );
    let verdict = verdict_of(
        "chown tars /usr/local/app",
        &|_| {},
        "chown root /usr/local/app",
    );
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("belongs to another user")),
        "{verdict:?}"
    );
    let verdict = verdict_of(":", &|c| c.user = UserName::new("tars").unwrap(), ":");
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.starts_with("the console runs as root")),
        "{verdict:?}"
    );

    // What is to come.
    let missing = NewConsole::Release {
        archive: Digest::of(b"other"),
        strip: 1,
        space: 0,
    };
    let verdict = verdict_of(":", &|c| c.new = missing.clone(), ":");
    assert_eq!(
        verdict,
        refusal("the archive of the release did not reach this host")
    );
    let gone = NewConsole::Back(path(&format!("{WEB}.old-{}", run_id(1))));
    let verdict = verdict_of(":", &|c| c.new = gone.clone(), ":");
    assert!(
        matches!(&verdict, Err(Verdict::Moved(why)) | Err(Verdict::Refused(why)) if why.contains("is not there any more")),
        "{verdict:?}"
    );
    let verdict = verdict_of(":", &|c| c.version = "3.0.16".into(), ":");
    assert_eq!(
        verdict,
        refusal("the archive has the console 3.0.15, and not 3.0.16")
    );
    let verdict = verdict_of(
        ":",
        &|c| c.configuration[0].after = Some(FileText::new("let x = {;")),
        ":",
    );
    assert_eq!(
        verdict,
        refusal("config/webConf.js is no JavaScript that /usr/bin/node can read")
    );

    // Programs.
    let verdict = verdict_of(":", &|c| c.node = path("/usr/bin/node99"), ":");
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("/usr/bin/node99 does not run")),
        "{verdict:?}"
    );
    let verdict = verdict_of(
        "mv /usr/local/bin/pm2 /root/",
        &|_| {},
        "mv /root/pm2 /usr/local/bin/",
    );
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("has no program pm2")),
        "{verdict:?}"
    );
    let verdict = verdict_of(":", &|c| c.supervisor = Supervisor::Systemd, ":");
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("was not started by systemd")),
        "{verdict:?}"
    );
    let verdict = verdict_of(
        "node -e 'require(\"net\").createServer().listen(3001)' </dev/null >/dev/null 2>&1 & sleep 0.3",
        &|c| c.port = 3001,
        "pkill -f 'listen[(]3001'",
    );
    assert_eq!(verdict, refusal("another program listens at port 3001"));

    // All is as it was, and an update goes well.
    let report = world.carry_out(&world.update(Behaviour::Healthy), 50);
    assert_eq!(report.verdict, Ok(Reboot::Nothing), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    // A newer run has been here since.
    let mut late = world.update(Behaviour::Healthy);
    late.old_version = "3.0.15".into();
    let verdict = refused(&world, 3, &late);
    assert!(
        matches!(verdict, Err(Verdict::NoLease(_)) | Err(Verdict::Moved(_))),
        "{verdict:?}"
    );
}

/// A disk that is full leaves nothing behind, wherever it fills up.
#[test]
fn a_full_disk() {
    let mut options = HostOptions::numbered(0);
    options.small_disks.push(SmallDisk {
        path: "/usr/local/app".to_owned(),
        bytes: 400 << 10,
    });
    let world = World::with(options, Supervisor::None);
    let mut change = world.update(Behaviour::Healthy);
    change.new = match change.new {
        NewConsole::Release { archive, strip, .. } => NewConsole::Release {
            archive,
            strip,
            space: 1 << 30,
        },
        back @ NewConsole::Back(_) => back,
    };
    let verdict = refused(&world, 1, &change);
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("the console needs 1024 MiB")),
        "{verdict:?}"
    );
    world.sh("head -c 10M /dev/zero >/usr/local/app/full 2>/dev/null || :");
    let mut change = world.update(Behaviour::Healthy);
    if let NewConsole::Release { space, .. } = &mut change.new {
        *space = 0;
    }
    let verdict = refused(&world, 2, &change);
    assert!(matches!(verdict, Err(Verdict::Refused(_))), "{verdict:?}");
    world.sh("rm /usr/local/app/full");
    assert_eq!(world.sound(), Ok("3.0.14"));
}

/// PM2's daemon is killed, the new console is stopped by somebody, and a second applier comes.
#[test]
fn what_happens_in_the_middle() {
    let world = World::new(Supervisor::Pm2);
    for (run, fault) in [
        (1, "kill -9 $(cat /root/.pm2/pm2.pid)"),
        (2, "pm2 stop tars-node-web >/dev/null"),
    ] {
        let mut change = world.update(Behaviour::Deaf);
        change.deadline = 20;
        std::thread::scope(|scope| {
            let acting = scope.spawn(|| world.carry_out(&change, run));
            world.until("the new console is tried", || {
                let said = world.sh(&format!("cat {WEB}/log/web.log 2>/dev/null || :"));
                said.matches("3.0.15 start").count() == usize::try_from(run).unwrap()
            });
            if run == 1 {
                let other = world.carry_out(&change, 9);
                assert!(
                    matches!(&other.verdict, Err(Verdict::NoLease(why)) if why.contains("another change is at work")),
                    "{other:#?}"
                );
            }
            world.sh(fault);
            let report = acting.join().unwrap();
            assert!(
                matches!(report.verdict, Err(Verdict::RolledBack(_))),
                "{report:#?}"
            );
        });
        assert_eq!(world.sound(), Ok("3.0.14"), "{fault}");
        // The second applier has raised the fence.
        world.sh(&format!("rm -f {STATE}/fence"));
    }
    // Killed before the update, the daemon is started again, with the console only.
    world.sh("kill -9 $(cat /root/.pm2/pm2.pid); sleep 0.5");
    assert_eq!(world.answers(), "");
    let report = world.carry_out(&world.update(Behaviour::Healthy), 10);
    assert_eq!(report.verdict, Ok(Reboot::Nothing), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    // The old folder is removed meanwhile: the new console is better than none.
    let mut change = world.update(Behaviour::Deaf);
    (change.old_version, change.deadline) = ("3.0.15".into(), 6);
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| world.carry_out(&change, 11));
        world.until("the old folder is aside", || {
            !world
                .sh(&format!("ls -d {WEB}.old-{} 2>/dev/null || :", run_id(11)))
                .is_empty()
        });
        world.sh(&format!("rm -rf {WEB}.old-{}", run_id(11)));
        let report = acting.join().unwrap();
        assert!(
            matches!(&report.verdict, Err(Verdict::Stuck(why)) if why.contains("so the new one was left")),
            "{report:#?}"
        );
    });
}

/// As `pm2 start` of another user leaves it: root works in a folder of that user, and gets no rights there.
#[test]
fn a_console_of_another_user() {
    let world = World::new(Supervisor::None);
    world.sh("kill -9 $(pgrep -f '[b]in/www')");
    world.sh(&format!(
        "chown -R tars {WEB}; cd {WEB}; setsid setpriv --reuid=tars --clear-groups node bin/www </dev/null >/dev/null 2>&1 & :"
    ));
    world.until("it answers", || world.answers() == "3.0.14");
    let mut change = world.update(Behaviour::Healthy);
    change.user = UserName::new("tars").unwrap();
    let report = world.carry_out(&change, 1);
    assert_eq!(report.verdict, Ok(Reboot::Nothing), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    let owners = world.sh(&format!(
        "stat -c %U {WEB} {WEB}/bin/www {WEB}/config/webConf.js {WEB}/files; stat -c %U /proc/$(pgrep -x node)"
    ));
    assert_eq!(owners, "tars\ntars\ntars\ntars\ntars");
}

/// Why no console may be started whose models lack a live column: this one is started by hand, and the column is
/// gone. With `alter: false` it is not.
#[test]
fn an_old_console_drops_columns_it_does_not_know() {
    let world = World::new(Supervisor::None);
    world.sh(
        "mkdir -p /var/lib/db && mariadb-install-db --no-defaults --user=root --datadir=/var/lib/db --auth-root-authentication-method=normal >/dev/null 2>&1
         setsid mariadbd --no-defaults --user=root --datadir=/var/lib/db --socket=/run/db.sock --skip-networking --pid-file=/run/db.pid </dev/null >/var/log/db.log 2>&1 &",
    );
    let sql = |text: &str| {
        world.sh(&format!(
            "mariadb --socket=/run/db.sock -N -e \"{text}\" || echo FAILED"
        ))
    };
    world.until("the database answers", || sql("select 1") == "1");
    sql(
        "create database db_tars; create table db_tars.t_server_conf (id int, application text, server_name text, run_type text, base_image_id text)",
    );
    let columns = || {
        sql(
            "select group_concat(column_name order by column_name) from information_schema.columns where table_schema = 'db_tars'",
        )
    };
    assert!(columns().contains("base_image_id"));

    // An update keeps what an operator has set, so the new console leaves the columns alone.
    world.sh(&format!(
        "sed -i 's/alter: true/alter: false/' {WEB}/config/webConf.js"
    ));
    let report = world.carry_out(&world.update(Behaviour::Healthy), 1);
    assert_eq!(report.verdict, Ok(Reboot::Nothing), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    let live = world
        .host
        .read(&format!("{WEB}/{}", ConfigFile::Web.path()))
        .unwrap();
    assert_eq!(alter(&String::from_utf8(live).unwrap()), Alter::Off);
    assert_eq!(
        columns(),
        "application,base_image_id,id,run_type,server_name"
    );

    // Without it, a start is enough.
    world.sh("kill -9 $(pgrep -f '[b]in/www')");
    world.sh(&format!(
        "sed -i 's/alter: false/alter: true/' {WEB}/config/webConf.js
         cd {WEB}; setsid node bin/www </dev/null >/dev/null 2>&1 & :"
    ));
    world.until("it answers", || world.answers() == "3.0.15");
    assert_eq!(columns(), "application,id,run_type,server_name");
    world.sh("kill $(cat /run/db.pid)");
}

/// systemd itself reads the unit.
#[test]
fn systemd_accepts_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tarsops-web-test.service");
    let mut change = change();
    change.folder = AbsPath::new("/usr").unwrap();
    std::fs::write(&file, change.unit_text(&place())).unwrap();
    let output = std::process::Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(&file)
        .output()
        .expect("these tests need systemd-analyze (package systemd)");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.contains("tarsops-web-test"),
        "{said}"
    );
}
