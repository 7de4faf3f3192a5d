//! A cluster in sync, what a look at it costs, and what an unplanned restart takes.

use crate::support::Ran;
use crate::world::{NAME, OLD, World};

/// One world for all: making one is what takes the time.
#[test]
fn a_cluster_of_containers() {
    let world = &mut World::new(3);
    world.is_well();
    it_is_in_sync(world);
    a_look_at_a_container_is_one_question(world);
    a_restart_takes_what_it_takes(world);
    a_restart_without_the_database_ends_everything(world);
}

fn it_is_in_sync(world: &World) {
    world.tarsops(["validate"]).exits(0).says("5 nodes");
    // The account with the installer's password is as every installation leaves it.
    let check = world.tarsops(["check"]);
    check.exits(0).hides("unknown   ").says("default-password");
    for name in [
        "container-rebuilds",
        "engine-silent",
        "retired-may-start",
        "framework-twice",
    ] {
        let line = check.out.lines().find(|line| line.starts_with(name));
        assert!(line.is_some_and(|line| line.contains(" ok ")), "{line:?}");
    }
    let status = world.tarsops(["status"]);
    status.exits(0).says("20 in sync on 5 hosts");
    world.tarsops(["drift"]).exits(0).is_quiet();
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
    // The installer has the password, and no text of the program has it.
    let seen = world.docker(1, &format!("inspect {NAME}"));
    assert!(seen.contains("s3cret-setup"));
}

/// Counts, not clocks.
fn a_look_at_a_container_is_one_question(world: &World) {
    for n in [1, 2] {
        let shim = "#!/bin/sh\necho \"$*\" >>/var/tmp/asked\nexec /usr/bin/docker \"$@\"\n";
        let host = world.host(n);
        host.write("/usr/local/bin/docker", shim).unwrap();
        host.sh("chmod 755 /usr/local/bin/docker; mkdir -p /srv; rm -f /var/tmp/asked")
            .unwrap();
    }
    // Further containers cost no further question.
    world.docker(
        2,
        &format!(
            "create --name more --pull never --entrypoint /bin/sh {}",
            crate::world::reference(OLD)
        ),
    );
    world.host(2).sh("rm -f /var/tmp/asked").unwrap();
    world.cluster.reset_counts();
    world.tarsops(["plan"]).exits(0).says("Nothing to do");
    // A host with a container is reached and asked as often as one without.
    let counts: Vec<(usize, usize)> = (1..=5)
        .map(|n| {
            let host = world.host(n);
            (host.connections().unwrap(), host.execs().unwrap())
        })
        .collect();
    assert!(
        counts[0].1 > 0 && counts.iter().all(|c| *c == counts[2]),
        "{counts:?}"
    );
    for n in [1, 2] {
        let asked = world
            .host(n)
            .sh("cat /var/tmp/asked; rm -f /usr/local/bin/docker")
            .unwrap();
        let of = |word: &str| asked.lines().filter(|l| l.contains(word)).count();
        assert_eq!(
            (
                of(" ps -a"),
                of(" inspect --type container"),
                of(" image inspect")
            ),
            (1, 1, 1),
            "{asked}"
        );
        assert_eq!(
            asked.lines().filter(|l| l.starts_with("-H ")).count(),
            3,
            "{asked}"
        );
    }
    world.docker(2, "rm more");
}

/// What somebody set on the master, row by row, for one look before and one after.
fn rows(world: &World, columns: &str, server: &str) -> String {
    let node = world.node(1);
    world.sql(&format!(
        "SELECT {columns} FROM db_tars.t_server_conf WHERE server_name = '{server}' AND node_name = '{node}'"
    ))
}

fn a_restart_takes_what_it_takes(world: &World) {
    let node = world.node(1);
    let of = |server: &str| format!("WHERE server_name = '{server}' AND node_name = '{node}'");
    world.sql(&format!(
        "USE db_tars;
         UPDATE t_server_conf SET setting_state = 'inactive' {stat};
         UPDATE t_server_conf SET profile = '<tars>x</tars>', template_name = 'tars.other', patch_version = '77' {property};
         UPDATE t_adapter_conf SET thread_num = 9 {property};
         UPDATE t_server_conf SET setting_state = 'inactive', patch_version = '78' {log};
         UPDATE t_profile_template SET profile = CONCAT(profile, '# edited') WHERE template_name = 'tars.tarsstat';
         UPDATE t_node_info SET label = '{{\"rack\": \"a\"}}', group_id = 7 WHERE node_name = '{node}';",
        stat = of("tarsstat"),
        property = of("tarsproperty"),
        log = of("tarslog"),
    ));
    let packages = "SELECT COUNT(*) FROM db_tars.t_server_patchs";
    let before: usize = world.sql(packages).trim().parse().unwrap();
    let binary = "/usr/local/app/tars/tarsstat/bin/tarsstat";
    let inside = format!(
        "/bin/busybox cp {binary} {binary}.x && echo published >>{binary}.x && /bin/busybox mv {binary}.x {binary}; echo kept >/usr/local/app/tars/note; echo kept >/data/tars/tarsnode-data/note"
    );
    world.docker(1, &format!("exec {NAME} sh -c '{inside}'"));
    let sum = |path: &str| {
        let said = world.docker(1, &format!("exec {NAME} /bin/busybox sha256sum {path}"));
        said.split(' ').next().unwrap().to_owned()
    };
    let shipped = sum("/usr/local/tars/cpp/deploy/framework/servers/tarsstat/bin/tarsstat");
    assert_ne!(sum(binary), shipped);

    // One registry at a time is no loss to who asks both.
    let client = world.client();
    world.docker(1, &format!("restart -t 60 {NAME}"));
    world.installed(1);
    let asked = client.stop();
    assert!(asked.count > 20, "{}", asked.count);
    assert_eq!(asked.failed, Vec::<String>::new());

    // Published basic services get the image's program back.
    assert_eq!(sum(binary), shipped);
    // What was stopped on purpose is active.
    assert_eq!(rows(world, "setting_state", "tarsstat"), "active\n");
    // Profile, template and published version are the installation's.
    let property = rows(
        world,
        "profile, template_name, patch_version",
        "tarsproperty",
    );
    assert_eq!(property, format!("\ttars.tarsproperty\t{OLD}\n"));
    let threads = "SELECT thread_num FROM db_tars.t_adapter_conf";
    assert_eq!(
        world.sql(&format!("{threads} {}", of("tarsproperty"))),
        "5\n"
    );
    // The row of tarslog is nobody's, and its program runs all the same.
    assert_eq!(
        rows(world, "setting_state, patch_version", "tarslog"),
        "inactive\t78\n"
    );
    world.docker(1, &format!("exec {NAME} sh -c 'ps | grep [t]arslog/bin'"));
    // Templates keep what people wrote.
    let template = "SELECT COUNT(*) FROM db_tars.t_profile_template WHERE profile LIKE '%# edited'";
    assert_eq!(world.sql(template), "1\n");
    // Label and group of the node are lost.
    world.until("the node registers", || {
        let row = world.sql(&format!(
            "SELECT IFNULL(label, ''), group_id FROM db_tars.t_node_info WHERE node_name = '{node}'"
        ));
        !row.contains("rack") && !row.contains('7') && !row.is_empty()
    });
    // All components are packed anew.
    let after: usize = world.sql(packages).trim().parse().unwrap();
    assert_eq!(after, before + 11);
    // The volume survives, and so does what else the container has.
    world.docker(
        1,
        &format!("exec {NAME} cat /data/tars/tarsnode-data/note /usr/local/app/tars/note"),
    );
    // Rows of the slave are not the master's to write.
    let slave = world.node(2);
    let all = world.sql(&format!(
        "SELECT COUNT(*) FROM db_tars.t_server_conf WHERE node_name = '{slave}'"
    ));
    assert_eq!(all, "5\n");
    world.sql(&format!(
        "UPDATE db_tars.t_server_conf SET setting_state = 'active', patch_version = '{OLD}' {}",
        of("tarslog")
    ));
    world.is_well();
}

fn a_restart_without_the_database_ends_everything(world: &mut World) {
    world.database.kill();
    world.docker(1, &format!("restart -t 60 {NAME}"));
    let alone = world.started(1);
    assert!(alone.contains(" running"), "{alone}");
    world.until("it asks for the database", || {
        world
            .docker(1, &format!("logs --tail 3 {NAME} 2>&1"))
            .contains("check mysql is not alive")
    });
    let listens = world
        .host(1)
        .sh("ss -ltn | grep -c ':17890 ' || :")
        .unwrap();
    assert_eq!(listens, "0");
    // Nothing is planned, and the cause is said.
    for words in [["plan"], ["check"]] {
        let ran: Ran = world.tarsops(words);
        assert!(ran.code != 0, "{}", ran.out);
        ran.tells("database");
    }
    assert_eq!(world.started(1), alone);
    let World {
        database, cluster, ..
    } = world;
    cluster
        .network
        .inside(|| database.start_again())
        .unwrap()
        .unwrap();
    // It comes back by itself.
    world.is_well();
    assert_eq!(world.started(1), alone);
}
