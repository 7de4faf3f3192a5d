//! What can be wrong with an engine or a container, each with its plain cause in the output. Nothing is
//! planned then, and no container is started again.

use crate::support::Ran;
use crate::world::{NAME, NEW, OLD, World, image, reference};

/// The framework's container under another name, where it goes on while something else has its own.
const ASIDE: &str = "aside";
const COMMANDS: [[&str; 1]; 3] = [["plan"], ["drift"], ["check"]];

/// One world for all: making one is what takes the time.
#[test]
fn faults_of_engines_and_containers() {
    let world = &World::master_only();
    world.is_well();
    a_rebuild_is_an_alarm_wherever_it_is(world);
    a_tag_says_nothing(world);
    a_foreign_container_is_left_alone(world);
    an_engine_that_is_not_seen_is_no_engine_without_containers(world);
}

/// `plan`, `drift` and `check` say this, and plan nothing.
#[track_caller]
fn all_say(world: &World, text: &str) {
    for words in COMMANDS {
        let ran: Ran = world.tarsops(words);
        assert!(ran.code != 0, "{}: {}", ran.words, ran.out);
        ran.tells(text);
    }
    let document = world.tarsops(["plan", "--json"]).json("tarsops.plan/3");
    let steps = document["steps"].as_array().unwrap();
    assert!(steps.is_empty(), "{document:#}");
}

fn a_rebuild_is_an_alarm_wherever_it_is(world: &World) {
    let alarm = "the next start of the framework's container drops six databases";
    let started = world.started(1);
    // In the spec it cannot be said.
    let mut spec = world.spec(OLD);
    spec.more = spec.more.replace(
        "installer:",
        "environment: {REBUILD: \"true\"}\n  installer:",
    );
    world.machine.spec(&spec);
    let refused = world.tarsops(["validate"]);
    assert!(refused.code != 0, "{}", refused.out);
    refused.tells("REBUILD");
    world.machine.spec(&world.spec(OLD));

    // In the environment of a container. It is never started here.
    let created = |more: &[&str], from: &str| {
        world.docker(1, &format!("rename {NAME} {ASIDE}"));
        let words = world.words(1, OLD, more);
        let words = words.strip_suffix(&reference(OLD)).unwrap();
        world.docker(1, &format!("create {words} {from}"));
    };
    let back = || {
        world.docker(1, &format!("rm {NAME} && docker rename {ASIDE} {NAME}"));
    };
    created(&["REBUILD=true"], &reference(OLD));
    all_say(world, alarm);
    back();
    // In that of an image.
    let mut rebuilding = image(OLD);
    rebuilding.env("REBUILD", "true");
    world.host(1).load(&rebuilding, "rebuilding:1").unwrap();
    created(&[], "rebuilding:1");
    all_say(world, alarm);
    back();
    world.docker(1, "rmi rebuilding:1");
    // In the file of compose that made it, and in the file of variables beside that.
    let labels = "--label com.docker.compose.project=tars --label com.docker.compose.service=master \
         --label com.docker.compose.project.working_dir=/srv/tars \
         --label com.docker.compose.project.config_files=/srv/tars/compose.yml";
    let host = world.host(1);
    for (compose, variables) in [
        (
            "services:\n  master:\n    environment:\n      REBUILD: \"true\"\n",
            "",
        ),
        (
            "services:\n  master:\n    environment:\n      SLAVE: \"false\"\n",
            "REBUILD=true\n",
        ),
    ] {
        host.write("/srv/tars/compose.yml", compose).unwrap();
        host.write("/srv/tars/.env", variables).unwrap();
        created(&["REBUILD=false"], &format!("{labels} {}", reference(OLD)));
        all_say(world, alarm);
        world
            .tarsops(["check"])
            .tells("container-owned")
            .tells("/srv/tars/compose.yml");
        back();
    }
    // In a unit of systemd.
    let unit = "/etc/systemd/system/tars.service";
    let text = format!(
        "[Service]\nExecStart=/usr/bin/docker run --rm --name {NAME} -e REBUILD=true tars\n"
    );
    host.write(unit, text).unwrap();
    all_say(world, alarm);
    host.sh(&format!("rm {unit}")).unwrap();

    assert_eq!(world.started(1), started);
    world.is_well();
}

/// What counts of an image is what it is, not what it is called.
fn a_tag_says_nothing(world: &World) {
    let host = world.host(1);
    let mut other = image(OLD);
    other.file("/etc/other", 0o644, "another");
    world.docker(1, &format!("tag {} kept:1", reference(OLD)));
    host.load(&other, &reference(OLD)).unwrap();
    // The container is of the image that it was made from.
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
    world.docker(
        1,
        &format!(
            "update --restart=no {NAME} && docker stop -t 20 {NAME} && docker rename {NAME} {ASIDE} && \
             docker create {}",
            world.words(1, OLD, &["REBUILD=false"])
        ),
    );
    let plan = world.tarsops(["plan"]);
    assert!(plan.code != 0);
    plan.tells("image: ");
    world.docker(
        1,
        &format!(
            "rm {NAME} && docker rename {ASIDE} {NAME} && docker tag kept:1 {} && \
             docker update --restart=always {NAME} && docker start {NAME}",
            reference(OLD)
        ),
    );
    world.is_well();
    // Another image in the spec, and none of that name on the host.
    let started = world.started(1);
    world.ask_for(NEW);
    let plan = world.tarsops(["plan"]);
    assert!(plan.code != 0);
    plan.tells("the engine there does not have the image")
        .tells(&reference(NEW));
    assert_eq!(world.started(1), started);
    world.ask_for(OLD);
    world.is_well();
}

fn a_foreign_container_is_left_alone(world: &World) {
    world.docker(1, &format!("rename {NAME} {ASIDE}"));
    world.docker(
        1,
        &format!(
            "run -d --name {NAME} --pull never --entrypoint /bin/busybox {} sleep 1000",
            reference(OLD)
        ),
    );
    let started = world.started(1);
    for words in [["plan"], ["drift"]] {
        let ran = world.tarsops(words);
        assert!(ran.code != 0, "{}", ran.out);
        ran.tells(&format!("the container {NAME}"));
    }
    assert_eq!(world.started(1), started);
    world.docker(1, &format!("rm -f {NAME} && docker rename {ASIDE} {NAME}"));
    world.is_well();
}

fn an_engine_that_is_not_seen_is_no_engine_without_containers(world: &World) {
    let host = world.host(1);
    let started = world.started(1);
    // Its program.
    host.sh("mount --bind /dev/null /usr/bin/docker").unwrap();
    all_say(world, "the host has no program `docker`");
    host.sh("umount /usr/bin/docker").unwrap();
    // The right to ask it.
    let mut spec = world.spec(OLD);
    "none".clone_into(&mut spec.r#become);
    world.machine.spec(&spec);
    all_say(world, "ops has no right on /var/run/docker.sock");
    world.machine.spec(&world.spec(OLD));
    assert_eq!(world.started(1), started);
    // The engine itself, without its containers.
    host.kill_engine().unwrap();
    all_say(world, "the engine gives no list of its containers: ");
    host.sh("rm /run/docker.sock").unwrap();
    all_say(world, "no engine listens at /var/run/docker.sock");
    host.start_engine().unwrap();
    world.is_well();
}
