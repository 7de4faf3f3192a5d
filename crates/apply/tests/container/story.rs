//! Replacements that go well, and back, and those whose new container is not healthy.

use tarsops_testkit::HostOptions;

use super::super::*;
use super::world::{Behaviour, NAME, STATE, World, image};

#[test]
fn an_upgrade_its_rollback_and_what_is_kept() {
    let world = World::new();
    let old = world.there();
    world.docker("run -d --name tars-framework.old-x --net host framework:3.0.17");
    world.docker(&format!("rm -f tars-framework.old-x && docker create --name {NAME}.old-0000000000001-000001 framework:3.0.17"));

    let report = world.carry_out(&world.upgrade("3.0.18"), 5);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.18"));
    let all = world.containers();
    let retired = format!("{NAME}.old-0000000000005-000001");
    assert_eq!(
        (&all[&retired].id, all[&retired].state.as_str()),
        (&old.id, "exited")
    );
    // As the spec has it, to the letter.
    let env = world.docker(&format!(
        "inspect --format '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {NAME}"
    ));
    let env: Vec<&str> = env.lines().collect();
    for line in [
        "SLAVE=false",
        "TZ=Asia/Shanghai $(id) 'x' *",
        "MYSQL_ROOT_PASSWORD=s3cret $(id) 'x'",
        "REBUILD=false",
    ] {
        assert!(env.contains(&line), "{line}: {env:#?}");
    }
    let format = "{{.HostConfig.LogConfig}} {{.Config.StopTimeout}} {{range .Mounts}}{{.Type}} {{.Destination}}{{end}}";
    let seen = world.docker(&format!("inspect --format '{format}' {NAME}"));
    assert_eq!(
        seen,
        "{json-file map[max-file:3 max-size:10m]} 10 bind /data/tars"
    );
    assert_eq!(world.sh(&format!("grep -rl s3cret {STATE} || :")), "");
    assert_eq!(world.sh("crontab -l 2>/dev/null || :"), "");

    // With the host the new one comes back, and the old one does not.
    world.host.reboot().unwrap();
    world.until("the new container is back", || world.runs("3.0.18"));
    assert_eq!(world.sound(), Ok("3.0.18"));

    // The way back is the same operation.
    let mut back = world.upgrade("3.0.17");
    back.new = NewContainer::Back(old.id.clone());
    let report = world.carry_out(&back, 6);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.17"));
    assert_eq!(world.there().id, old.id);
    // A start is an installation: there was none but those of the change, of the boot, and of the way back.
    let starts =
        ["3.0.17", "3.0.18", "3.0.18", "3.0.17"].map(|v| format!("start {v} REBUILD=false"));
    assert_eq!(world.starts(), starts);

    // Only what a replacement has put aside is removed.
    let bystander = format!("{NAME}.old-0000000000001-000001");
    assert_eq!(world.prune(1).unwrap(), Vec::<String>::new());
    assert_eq!(
        world.prune(0).unwrap(),
        [format!("{NAME}.old-0000000000006-000001")]
    );
    let names: Vec<String> = world.containers().into_keys().collect();
    assert_eq!(names, [NAME.to_owned(), bystander]);
}

#[test]
fn a_new_container_that_is_not_healthy_is_replaced_by_the_old_one() {
    let world = World::new();
    let old = world.there();
    for (run, behaviour, why) in [
        (1, Behaviour::Ends, "the container has ended with status 3"),
        (
            2,
            Behaviour::Lacks,
            "in the container does not run: tarsregistry",
        ),
        (
            3,
            Behaviour::Healthy,
            "tarsAdminRegistry in the container is not the program of the image",
        ),
    ] {
        let bad = image("3.0.18", behaviour);
        world.host.load(&bad, "bad:1").unwrap();
        let mut change = world.change(Some(old.id.clone()), bad.id().unwrap(), "3.0.18");
        change.deadline = 3;
        if run == 3 {
            change.programs = super::world::programs("3.0.19");
        }
        let report = world.carry_out(&change, run);
        assert_eq!(
            report.verdict,
            Err(Verdict::RolledBack(why.to_owned())),
            "{:#?}",
            report.log
        );
        assert_eq!(world.sound(), Ok("3.0.17"), "{behaviour:?}");
        let all = world.containers();
        assert_eq!((all.len(), &all[NAME].id), (1, &old.id), "{all:#?}");
    }
    // What the new one said is kept for its reader, and not shown.
    let log = world.sh(&format!("cat {STATE}/runs/*2-000001/s/container.log; stat -c %a {STATE}/runs/*2-000001/s/container.log"));
    assert!(log.ends_with("600"), "{log}");
}

/// With the shell and tools of busybox.
#[test]
fn the_first_container_of_a_host() {
    let world = World::with(HostOptions::numbered(0).engine().busybox());
    world.docker(&format!("rm -f {NAME}"));
    let first = world.change(None, world.id_of("3.0.18"), "3.0.18");
    let report = world.carry_out(&first, 1);
    assert_eq!(report.verdict, Ok(()), "{:#?}", report.log);
    assert_eq!(world.sound(), Ok("3.0.18"));
    // One of that name is not expected any more.
    let report = world.carry_out(&first, 2);
    let why = format!("there is a container {NAME} already");
    assert_eq!(report.verdict, Err(Verdict::Moved(why)));
    assert_eq!(world.starts().len(), 2);
    // What fails is undone as well.
    let mut bad = world.upgrade("3.0.17");
    bad.ports = [1].into();
    bad.deadline = 3;
    let report = world.carry_out(&bad, 3);
    assert!(
        matches!(&report.verdict, Err(Verdict::RolledBack(why)) if why == "nothing listens at port 1 in the container"),
        "{report:#?}"
    );
    assert_eq!(world.sound(), Ok("3.0.18"));
}
