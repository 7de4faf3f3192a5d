//! Updates that go well, and back, and those whose new console is not healthy.

use std::time::Duration;

use tarsops_model::names::AbsPath;
use tarsops_testkit::HostOptions;

use super::super::*;
use super::world::{Behaviour, STATE, WEB, World};
use crate::replaced::run_id;

/// For how long a console was away.
#[derive(Debug)]
struct Away {
    /// As a clock says it.
    time: Duration,
    /// As many times in a row it was asked in vain, fifty times a second at most. A busy machine slows this as well.
    tries: u32,
}

/// Asks for the page of the login all the time, and says for how long there was no answer.
fn watched<T>(world: &World, work: impl FnOnce() -> T) -> (T, Away) {
    let ask = "const f=require(\"fs\");let last=Date.now(),time=0,row=0,tries=0;(async()=>{while(!f.existsSync(\"/run/stop\")){\
        try{const a=await fetch(\"http://127.0.0.1:3000/login.html\");await a.text();const n=Date.now();time=Math.max(time,n-last);last=n;row=0}catch(e){tries=Math.max(tries,++row)}\
        await new Promise(r=>setTimeout(r,20))}console.log(time,tries)})()";
    std::thread::scope(|scope| {
        world.sh("rm -f /run/stop");
        let watching = scope.spawn(|| world.sh(&format!("node -e '{ask}'")));
        let done = work();
        world.sh("touch /run/stop");
        let said = watching.join().unwrap();
        let (time, tries) = said.trim().split_once(' ').unwrap();
        let time = Duration::from_millis(time.parse().unwrap());
        let tries = tries.parse().unwrap();
        (done, Away { time, tries })
    })
}

#[test]
fn an_update_under_pm2_its_rollback_and_a_reboot() {
    let world = World::new(Supervisor::Pm2);
    let change = world.update(Behaviour::Healthy);
    let (report, away) = watched(&world, || world.carry_out(&change, 5));
    // The installer sets nothing up that would start it with the host.
    assert_eq!(report.verdict, Ok(Reboot::Nothing), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    println!(
        "an update under PM2: the console was away for {:?}",
        away.time
    );
    assert!(away.tries < 5 * 50, "{away:?}");
    let dump = world.sh("cat /root/.pm2/dump.pm2");
    assert!(
        dump.contains("\"pm_cwd\": \"/usr/local/app/web\""),
        "{dump}"
    );

    // With the host the daemon ends. What was saved is the new console.
    world.host.reboot().unwrap();
    assert_eq!(world.answers(), "");
    world.sh("pm2 resurrect >/dev/null");
    assert_eq!(world.sound(), Ok("3.0.15"));

    // The way back is the same operation, with the folder that was put aside.
    let back = ConsoleChange {
        old_version: "3.0.15".into(),
        version: "3.0.14".into(),
        new: NewConsole::Back(AbsPath::new(format!("{WEB}.old-{}", run_id(5))).unwrap()),
        configuration: vec![],
        ..change.clone()
    };
    world.sh("(crontab -l 2>/dev/null; echo '@reboot pm2 resurrect') | crontab -");
    let report = world.carry_out(&back, 6);
    assert_eq!(report.verdict, Ok(Reboot::Crontab), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.14"));
    // Asked again, it keeps its verdict.
    assert_eq!(world.recover(&back, 6).verdict, Ok(Reboot::Crontab));

    // Only so many folders stay as the spec says, but for the one in which PM2's daemon works.
    let mut again = world.update(Behaviour::Healthy);
    again.retired = 0;
    let report = world.carry_out(&again, 7);
    assert_eq!(report.verdict, Ok(Reboot::Crontab), "{:#?}", report.log);
    assert_eq!(world.sh(&format!("ls -d {WEB}.old-* || :")), "");
    assert_eq!(world.sound(), Ok("3.0.15"));
}

#[test]
fn a_release_that_is_not_healthy_goes_back() {
    let world = World::new(Supervisor::Pm2);
    for (run, behaviour, why) in [
        (
            1,
            Behaviour::Ends,
            "the console ends again and again, and PM2 has given up (errored)",
        ),
        (
            2,
            Behaviour::Deaf,
            "the console does not answer at port 3000",
        ),
        (
            3,
            Behaviour::Lies,
            "the console says that it is 0.0.1, and not 3.0.15",
        ),
    ] {
        let mut change = world.update(behaviour);
        change.deadline = if run == 1 { 25 } else { 2 };
        let report = world.carry_out(&change, run);
        assert_eq!(
            report.verdict,
            Err(Verdict::RolledBack(why.to_owned())),
            "{behaviour:?}: {:#?}",
            report.log
        );
        assert_eq!(world.sound(), Ok("3.0.14"), "{behaviour:?}");
        assert_eq!(
            world.sh(&format!("ls -d {WEB}.* 2>/dev/null || :")),
            "",
            "{behaviour:?}"
        );
    }
    // What no program could start is not tried, and the console is not touched.
    let change = world.update(Behaviour::Broken);
    let (report, away) = watched(&world, || world.carry_out(&change, 4));
    let why = "bin/www is no JavaScript that /usr/bin/node can read";
    assert_eq!(report.verdict, Err(Verdict::Refused(why.to_owned())));
    assert_eq!(away.tries, 0, "{away:?}");
    assert_eq!(world.sound(), Ok("3.0.14"));
    // AdminRegistry is away: neither release tells its version. The old one is back as it was.
    world.sh("touch /run/no-admin");
    let mut change = world.update(Behaviour::Healthy);
    change.deadline = 2;
    let report = world.carry_out(&change, 5);
    let why = "the console answers /web_version with status 500: is AdminRegistry there?";
    assert_eq!(report.verdict, Err(Verdict::RolledBack(why.to_owned())));
    world.sh("rm /run/no-admin");
    assert_eq!(world.sound(), Ok("3.0.14"));
}

/// With the shell and tools of busybox.
#[test]
fn a_unit_of_systemd_starts_it_with_the_host() {
    let world = World::with(HostOptions::numbered(0).busybox(), Supervisor::None);
    world.sh("mkdir -p /run/systemd/system");
    // One that fails leaves no unit behind.
    let mut bad = world.update(Behaviour::Lies);
    bad.supervisor = Supervisor::Systemd;
    bad.deadline = 3;
    let report = world.carry_out(&bad, 1);
    assert!(
        matches!(report.verdict, Err(Verdict::RolledBack(_))),
        "{report:#?}"
    );
    assert_eq!(world.sound(), Ok("3.0.14"));
    assert_eq!(
        world.sh("ls /etc/systemd/system/tarsops* 2>/dev/null || :"),
        ""
    );

    let mut change = world.update(Behaviour::Healthy);
    change.supervisor = Supervisor::Systemd;
    let (report, away) = watched(&world, || world.carry_out(&change, 2));
    assert_eq!(report.verdict, Ok(Reboot::Unit), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    println!(
        "an update to a unit: the console was away for {:?}",
        away.time
    );
    assert!(away.tries < 5 * 50, "{away:?}");

    // It comes back when it ends, and with the host.
    world.sh("kill -9 $(cat /run/main.tarsops-web-test)");
    assert_eq!(world.sound(), Ok("3.0.15"));
    world.host.reboot().unwrap();
    world.sh("mkdir -p /run/systemd/system; systemctl boot");
    assert_eq!(world.sound(), Ok("3.0.15"));

    // From the unit to the folder before and back, under the unit.
    let back = ConsoleChange {
        old_version: "3.0.15".into(),
        version: "3.0.14".into(),
        new: NewConsole::Back(AbsPath::new(format!("{WEB}.old-{}", run_id(2))).unwrap()),
        configuration: vec![],
        old_supervisor: Supervisor::Systemd,
        ..change.clone()
    };
    let report = world.carry_out(&back, 3);
    assert_eq!(report.verdict, Ok(Reboot::Unit), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.14"));
    // A unit that is somebody else's is not written.
    world.sh("sed -i 1d /etc/systemd/system/tarsops-web-test.service");
    let mut change = world.update(Behaviour::Healthy);
    (change.old_supervisor, change.supervisor) = (Supervisor::Systemd, Supervisor::Systemd);
    let report = world.carry_out(&change, 4);
    assert!(
        matches!(&report.verdict, Err(Verdict::Refused(why)) if why.contains("was not written by tarsops")),
        "{report:#?}"
    );
}

/// From PM2 to a unit: nothing of PM2 starts it a second time.
#[test]
fn a_console_leaves_pm2_for_a_unit() {
    let world = World::new(Supervisor::Pm2);
    world.sh("mkdir -p /run/systemd/system; cd / && pm2 start /usr/bin/sleep --name=other -- 1000 >/dev/null; pm2 save >/dev/null");
    let mut change = world.update(Behaviour::Healthy);
    change.supervisor = Supervisor::Systemd;
    let report = world.carry_out(&change, 1);
    assert_eq!(report.verdict, Ok(Reboot::Unit), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.15"));
    let dump = world.sh("cat /root/.pm2/dump.pm2");
    assert!(
        !dump.contains("tars-node-web") && dump.contains("\"other\""),
        "{dump}"
    );
    assert!(world.sh("pm2 jlist").contains("\"other\""));
    assert!(
        world
            .sh(&format!("cat {STATE}/audit.log"))
            .contains("console: to 3.0.15")
    );
}
