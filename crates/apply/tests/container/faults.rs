//! Every fault of a host or an engine that an operator meets, and its plain cause.

use tarsops_model::container::ENTRYPOINT;

use super::super::*;
use super::world::{Behaviour, Ended, NAME, Seen, World, image};
use crate::replaced::run_id;
use crate::words::ChangeWord;

/// What of the container must not change where a change is refused: which it is, and since when it runs.
fn as_it_was(world: &World) -> (Seen, String) {
    let started = world.docker(&format!(
        "inspect --format '{{{{.State.StartedAt}}}}' {NAME}"
    ));
    (world.there(), started)
}

/// The verdict of an upgrade that is refused, with nothing changed.
fn refused(world: &World, run: u64, change: &ContainerChange) -> Result<(), Verdict> {
    unchanged(world, run, change).verdict
}

/// The end of an upgrade that changes nothing.
fn unchanged(world: &World, run: u64, change: &ContainerChange) -> Ended {
    let before = as_it_was(world);
    let report = world.carry_out(change, run);
    assert_eq!(as_it_was(world), before, "{report:#?}");
    assert!(
        !world.containers().contains_key("tars-framework.new"),
        "{report:#?}"
    );
    assert_eq!(world.sh("crontab -l 2>/dev/null || :"), "");
    report
}

fn refusal(text: &str) -> Result<(), Verdict> {
    Err(Verdict::Refused(text.to_owned()))
}

fn creation(change: &mut ContainerChange) -> &mut Creation {
    match &mut change.new {
        NewContainer::Create(creation) => creation,
        NewContainer::Back(_) => panic!("it makes no container"),
    }
}

#[test]
fn what_is_refused_before_anything_changes() {
    let world = World::new();
    let upgrade = world.upgrade("3.0.18");
    let with = |edit: &dyn Fn(&mut ContainerChange)| {
        let mut change = upgrade.clone();
        edit(&mut change);
        change
    };

    // The image: missing; another one under the same name; without its entrypoint; with a rebuild.
    let missing = format!("sha256:{}", "e".repeat(64));
    let verdict = refused(&world, 1, &with(&|c| creation(c).image = missing.clone()));
    let why = format!(
        "the image {missing} is not on this host: load it before (docker load, or docker pull by its digest)"
    );
    assert_eq!(verdict, refusal(&why));
    let lacks = image("3.0.18", Behaviour::NoEntrypoint);
    world.host.load(&lacks, "framework:3.0.18").unwrap();
    let verdict = refused(
        &world,
        2,
        &with(&|c| creation(c).image = lacks.id().unwrap()),
    );
    let Err(Verdict::Refused(why)) = verdict else {
        panic!("{verdict:?}")
    };
    assert!(
        why.starts_with(&format!("the image has no {ENTRYPOINT}")),
        "{why}"
    );
    let rebuilds = image("3.0.18", Behaviour::Rebuild);
    world.host.load(&rebuilds, "framework:rebuilds").unwrap();
    let ended = unchanged(
        &world,
        3,
        &with(&|c| creation(c).image = rebuilds.id().unwrap()),
    );
    assert_eq!(ended.word, Some(ChangeWord::Rebuild), "{ended:?}");

    // The disk, and the container that is there.
    let verdict = refused(&world, 4, &with(&|c| creation(c).space = 1 << 50));
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("MiB free")),
        "{verdict:?}"
    );
    let verdict = refused(
        &world,
        5,
        &with(&|c| c.old.as_mut().unwrap().id = "a".repeat(64)),
    );
    let why = "the container tars-framework is another one than was looked at";
    assert_eq!(verdict, Err(Verdict::Moved(why.to_owned())));
    world.docker(&format!("pause {NAME}"));
    let verdict = refused(&world, 6, &upgrade);
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("is paused")),
        "{verdict:?}"
    );
    world.docker(&format!("unpause {NAME}"));
    world.docker("create --name tars-framework.new framework:3.0.17");
    let report = world.carry_out(&upgrade, 7);
    let why = "the name tars-framework.new is taken by a container that is not ours to remove";
    assert_eq!(report.verdict, refusal(why));
    world.docker("rm tars-framework.new");

    // The engine: no right on it, no program, stopped, killed. Three causes, each in words of its own.
    world.sh("mkdir -p /usr/local/app && chown ops /usr/local/app");
    let verdict = world.try_as("ops", &upgrade, 8).unwrap().verdict;
    let why =
        "ops has no right on /var/run/docker.sock: use become: sudo, or the group of the socket";
    assert_eq!(verdict, refusal(why));
    world.sh("mv /usr/bin/docker /usr/bin/docker.off");
    let verdict = world.carry_out(&upgrade, 9).verdict;
    assert_eq!(
        verdict,
        refusal("the host has no program docker: install it there, with the engine")
    );
    world.sh("mv /usr/bin/docker.off /usr/bin/docker");
    world.host.stop_engine().unwrap();
    let verdict = world.carry_out(&upgrade, 10).verdict;
    let why = "no engine listens at /var/run/docker.sock: start it there (systemctl start docker)";
    assert_eq!(verdict, refusal(why));
    world.host.start_engine().unwrap();
    world.until("the container is back", || world.runs("3.0.17"));
    world.host.kill_engine().unwrap();
    let verdict = world.carry_out(&upgrade, 11).verdict;
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.starts_with("the engine at /var/run/docker.sock does not answer")),
        "{verdict:?}"
    );
    world.host.start_engine().unwrap();
    world.until("the container is back", || world.runs("3.0.17"));

    // A newer run has been here since.
    let verdict = refused(&world, 1, &world.upgrade("3.0.17"));
    assert!(
        matches!(verdict, Err(Verdict::Refused(_)) | Err(Verdict::NoLease(_))),
        "{verdict:?}"
    );
    let report = world.carry_out(&upgrade, 12);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.18"));
}

/// A container whose environment says REBUILD, in any spelling, and one that is not of this cluster.
#[test]
fn what_is_never_touched() {
    let world = World::new();
    let make = |more: &str| {
        world.docker(&format!("rm -f {NAME}"));
        world.docker(&format!(
            "run -d --name {NAME} --restart always --net tars --ip 172.25.0.3 -v /data/tars:/data/tars {more} framework:3.0.17"
        ));
        world.until("it is up", || world.runs("3.0.17"));
    };
    let ours = "--label tarsops.cluster=test";
    for (run, value) in [(1, "True"), (2, "")] {
        make(&format!("{ours} -e REBUILD={value}"));
        let ended = unchanged(&world, run, &world.upgrade("3.0.18"));
        assert_eq!(ended.word, Some(ChangeWord::Rebuild), "{ended:?}");
        assert!(
            matches!(&ended.verdict, Err(Verdict::Refused(why)) if why.contains(&format!("REBUILD={value} "))),
            "{ended:?}"
        );
    }
    make("-e REBUILD=FALSE");
    let verdict = refused(&world, 4, &world.upgrade("3.0.18"));
    assert!(
        matches!(&verdict, Err(Verdict::Refused(why)) if why.contains("is not of this cluster")),
        "{verdict:?}"
    );
    // Adopted by its image, it is; and its way back is known although it has no label.
    let old = world.there();
    let mut change = world.upgrade("3.0.18");
    change.old.as_mut().unwrap().adopt = Some(world.id_of("3.0.17"));
    let report = world.carry_out(&change, 5);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    let mut back = world.upgrade("3.0.17");
    back.new = NewContainer::Back(old.id);
    let report = world.carry_out(&back, 6);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.17"));
}

/// The new container cannot start, is removed meanwhile, or the engine goes; two appliers.
#[test]
fn what_happens_in_the_middle() {
    let world = World::new();
    // The address is in use.
    world.docker("run -d --name other --net tars --ip 172.25.0.9 framework:3.0.17");
    let mut change = world.upgrade("3.0.18");
    creation(&mut change).network = Network::Bridge("tars".to_owned(), [172, 25, 0, 9].into());
    let report = world.carry_out(&change, 1);
    assert!(
        matches!(&report.verdict, Err(Verdict::RolledBack(why)) if why.contains("Address already in use")),
        "{report:#?}"
    );
    world.docker("rm -f other");
    assert_eq!(world.sound(), Ok("3.0.17"));

    // An installation that waits for its database: it runs, and nothing listens.
    let mut change = world.upgrade("3.0.18");
    change.deadline = 40;
    std::thread::scope(|scope| {
        world.sh("touch /data/tars/no-database");
        let acting = scope.spawn(|| world.carry_out(&change, 2));
        // A person restarts the one that is there, while it is waited for.
        world.until("the new one is tried", || {
            world.starts().iter().any(|l| l.contains("3.0.18"))
        });
        world.docker(&format!("restart -t 5 {NAME}"));
        // Another applier comes in between.
        let other = world.carry_out(&change, 3);
        assert!(
            matches!(&other.verdict, Err(Verdict::NoLease(why)) if why.contains("another change is at work")),
            "{other:#?}"
        );
        world.sh("rm /data/tars/no-database");
        world.docker(&format!("restart -t 5 {NAME}"));
        let report = acting.join().unwrap();
        assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    });
    assert_eq!(world.sound(), Ok("3.0.18"));

    // The engine dies while the new container is waited for, and comes back after a while.
    world.renew();
    world.sh("rm -rf /data/tars/*");
    let change = world.upgrade("3.0.18");
    std::thread::scope(|scope| {
        world.sh("touch /data/tars/no-database");
        let acting = scope.spawn(|| world.carry_out(&change, 4));
        world.until("the new one is tried", || {
            world.starts().iter().any(|l| l.contains("3.0.18"))
        });
        world.host.kill_engine().unwrap();
        world.sh("rm /data/tars/no-database");
        world.host.start_engine().unwrap();
        let report = acting.join().unwrap();
        assert!(
            matches!(report.verdict, Err(Verdict::RolledBack(_))),
            "{report:#?}"
        );
    });
    assert_eq!(world.sound(), Ok("3.0.17"));

    // The old container is pruned: the new one is better than none.
    world.renew();
    let mut change = world.upgrade("3.0.18");
    change.deadline = 6;
    std::thread::scope(|scope| {
        world.sh("touch /data/tars/no-database");
        let acting = scope.spawn(|| world.carry_out(&change, 5));
        world.until("the new one is tried", || {
            world.starts().iter().any(|l| l.contains("3.0.18"))
        });
        world.docker("container prune -f");
        let report = acting.join().unwrap();
        assert!(
            matches!(&report.verdict, Err(Verdict::Stuck(why)) if why.contains("the old container was removed meanwhile")),
            "{report:#?}"
        );
    });
    assert_eq!(world.there().image, world.id_of("3.0.18"));

    // One that its engine starts again and again is replaced as well, and never came to run.
    world.renew();
    world.docker(&format!("rm -f {NAME}"));
    let ends = image("3.0.17", Behaviour::Ends);
    world.host.load(&ends, "framework:ends").unwrap();
    world.docker(&format!("run -d --name {NAME} --restart always --label tarsops.cluster=test -v /data/tars:/data/tars framework:ends"));
    world.until("it loops", || world.there().state == "restarting");
    let report = world.carry_out(&world.upgrade("3.0.18"), 6);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    let all = world.containers();
    let retired = &all[&format!("{NAME}.old-{}", run_id(6))];
    assert_eq!(
        (retired.state.as_str(), retired.policy.as_str()),
        ("exited", "no")
    );
}
