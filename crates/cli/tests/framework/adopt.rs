//! A cluster that exists, adopted: its spec plans to nothing, and nothing is written over.

use std::time::Instant;

use crate::support::{Ran, run};
use crate::world::{OLD, PASSWORD, World};

/// Adopts the cluster from its host `n` into a file.
fn adopt(world: &World, n: usize, file: &str, more: &[&str]) -> Ran {
    let facts = world.cluster.facts();
    let (from, port) = (world.node(n), facts.hosts[0].ssh_port.to_string());
    let (identity, known) = (
        facts.identity.display().to_string(),
        facts.known_hosts.display().to_string(),
    );
    let mut words = vec!["adopt", "--from", &from, "-o", file, "--name", "test"];
    words.extend(["--ssh-user", &facts.user, "--ssh-port", &port]);
    words.extend(["--ssh-identity", &identity]);
    if !more.contains(&"--ssh-known-hosts") {
        words.extend(["--ssh-known-hosts", &known]);
    }
    words.extend(["--ssh-config", "ssh_config"]);
    words.extend(more);
    let ran = run(world.command(&words));
    ran.hides("s3cret").hides("framework-pass");
    ran
}

fn read(world: &World, file: &str) -> String {
    std::fs::read_to_string(world.dir().join(file)).unwrap()
}

#[test]
fn an_adopted_cluster_plans_to_nothing() {
    let world = World::new(5);
    let database = world.database.address().to_string();
    let account = [
        "--database",
        &database,
        "--database-user",
        "ops",
        "--database-password",
        "file:password",
    ];
    world.sql(&format!(
        "UPDATE db_tars.t_node_info SET label = '{{\"idc\": \"sz\"}}' WHERE node_name = '{}'",
        world.node(4)
    ));
    let began = Instant::now();
    let adopted = adopt(&world, 1, "adopted.yaml", &account);
    println!("adopted 5 nodes in {:.1} s", began.elapsed().as_secs_f32());
    adopted
        .exits(0)
        .says("wrote adopted.yaml and adopted.yaml.lock: 5 nodes")
        .says("Nothing to do: 5 nodes are as the spec says.");
    let spec = read(&world, "adopted.yaml");
    for said in [
        format!("version: {OLD}  # AdminRegistry"),
        format!("- {{name: \"{}\", roles: [master]}}", world.node(1)),
        format!("- {{name: \"{}\", roles: [slave]}}", world.node(2)),
        "labels: {idc: sz}".to_owned(),
        "password: {file: \"./password\"}".to_owned(),
    ] {
        assert!(spec.contains(&said), "{said}\n{spec}");
    }
    for file in [&spec, &read(&world, "adopted.yaml.lock"), &adopted.out] {
        assert!(!file.contains(PASSWORD), "the password is in {file}");
    }
    // What a later plan sees with these files is the same.
    let planned = world.tarsops(["-f", "adopted.yaml", "plan"]);
    planned
        .exits(0)
        .says("Nothing to do: 5 nodes are as the spec says.");
    world.tarsops(["-f", "adopted.yaml", "validate"]).exits(0);
    world
        .tarsops(["-f", "adopted.yaml", "package", "ls"])
        .exits(0)
        .says("nobody names its version");

    // Neither file is written over, whichever of them is there.
    adopt(&world, 1, "adopted.yaml", &account)
        .exits(1)
        .complains("adopted.yaml exists; nothing was looked at");
    std::fs::remove_file(world.dir().join("adopted.yaml")).unwrap();
    adopt(&world, 1, "adopted.yaml", &account)
        .exits(1)
        .complains("adopted.yaml.lock exists");
    assert!(!world.dir().join("adopted.yaml").exists());

    // With the packages at hand binaries are pinned, and from a slave the master is found.
    let packages = format!("{}/{{version}}", world.cluster.facts().packages.display());
    let mut more = account.to_vec();
    more.extend(["--packages", &packages]);
    let adopted = adopt(&world, 2, "pinned.yaml", &more);
    adopted.exits(0).says("Nothing to do: 5 nodes");
    assert!(read(&world, "pinned.yaml.lock").contains("source: tarsnode.tgz"));

    // Without the account there is half a spec, which says so.
    adopt(&world, 1, "half.yaml", &[]).exits(4);
    let half = read(&world, "half.yaml");
    assert!(
        half.contains("No `database`: no account was named"),
        "{half}"
    );
    assert!(half.contains("AdminRegistry's list"), "{half}");

    // A host of which nobody knows the key is not asked, and its key is shown and not trusted.
    std::fs::write(world.dir().join("nobody"), "").unwrap();
    let before = std::fs::read(world.dir().join("nobody")).unwrap();
    let unknown = adopt(&world, 1, "new.yaml", &["--ssh-known-hosts", "nobody"]);
    assert_ne!(unknown.code, 0);
    assert_eq!(std::fs::read(world.dir().join("nobody")).unwrap(), before);
    assert!(!world.dir().join("new.yaml").exists());
}
