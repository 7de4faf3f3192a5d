//! Rows of basic services that differ: changed by their fields, with a restart, and rolled back.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tarsops_standin::standin::lies::{self, Lie};

use crate::support::{until_asked, wait_until};
use crate::world::{NEW, NEWER, OLD, PATIENCE, World};

/// Columns of the adapter of a servant on host 1.
fn adapter(world: &World, servant: &str, columns: &str) -> String {
    let node = world.node(1);
    let said = world.sql(&format!(
        "SELECT {columns} FROM db_tars.t_adapter_conf WHERE servant = '{servant}' AND node_name = '{node}'"
    ));
    said.trim().to_owned()
}

fn set(world: &World, servant: &str, columns: &str) {
    let node = world.node(1);
    world.sql(&format!(
        "UPDATE db_tars.t_adapter_conf SET {columns} WHERE servant = '{servant}' AND node_name = '{node}'"
    ));
}

fn tell(world: &World, n: usize, component: &str, all: &[Lie]) {
    lies::tell(&world.tars(n).join(component), all).unwrap();
}

/// What tarsnode has written for a server on host 1.
fn generated(world: &World, component: &str) -> String {
    let path = format!("tarsnode/data/tars.{component}/conf/tars.{component}.config.conf");
    std::fs::read_to_string(world.tars(1).join(path)).unwrap()
}

fn endpoint(world: &World, port: u16) -> String {
    format!("tcp -h {} -t 60000 -p {port}", world.ip(1))
}

#[test]
fn rows_are_changed_by_their_fields() {
    let world = &mut World::with_basic(2, &["tarsstat", "tarslog"], &[OLD, NEW, NEWER]);
    world.respec(|s| s.registry_settle = "1s");
    an_adapter_that_differs_is_corrected(world);
    what_the_spec_says_is_kept_so(world);
    an_adapter_that_is_missing_comes_and_goes(world);
    a_program_and_its_rows_go_together(world);
    a_run_that_was_cut_off_leaves_a_pending_restart(world);
}

const STAT: &str = "tars.tarsstat.StatObj";

fn an_adapter_that_differs_is_corrected(world: &mut World) {
    let wrong = endpoint(world, 28293);
    set(
        world,
        STAT,
        &format!("endpoint = '{wrong}', protocol = 'not_tars', thread_num = 17"),
    );
    let before = world.pids(1, "tarsstat");
    world.tarsops(["drift"]).exits(2).says("28293 → 18293");
    let planned = world.tarsops(["plan"]);
    planned
        .exits(2)
        .says("StatObj port")
        .says("not_tars → tars");
    let applied = world.tarsops(["apply", "-y"]);
    applied.exits(0).says("Apply: converged");
    // Only what the release says: threads are the operator's.
    let right = endpoint(world, 18293);
    assert_eq!(
        adapter(world, STAT, "endpoint, protocol, thread_num"),
        format!("{right}\ttars\t17")
    );
    assert_ne!(world.pids(1, "tarsstat"), before);
    assert!(generated(world, "tarsstat").contains(&right));
    world.tarsops(["drift"]).exits(0);
    // And back: what ran before runs with what it had.
    let now = world.pids(1, "tarsstat");
    world.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(
        adapter(world, STAT, "endpoint, protocol"),
        format!("{wrong}\tnot_tars")
    );
    assert_ne!(world.pids(1, "tarsstat"), now);
    assert!(generated(world, "tarsstat").contains(&wrong));
    what_does_not_come_up_has_its_rows_again(world, &wrong);
    world.tarsops(["apply", "-y"]).exits(0);
    world.tarsops(["drift"]).exits(0);
}

fn what_the_spec_says_is_kept_so(world: &mut World) {
    world.respec(|s| {
        s.components =
            "  tarsstat: {adapters: {threads: 9, queue: 500, queue_timeout: 30s}}\n".to_owned();
    });
    let planned = world.tarsops(["plan"]);
    planned.exits(2).says("StatObj threads").says("17 → 9");
    world.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(
        adapter(
            world,
            STAT,
            "thread_num, max_connections, queuecap, queuetimeout"
        ),
        "9\t200000\t500\t30000"
    );
    let conf = generated(world, "tarsstat");
    assert!(
        conf.contains("threads=9") && conf.contains("queuecap=500"),
        "{conf}"
    );
    world.tarsops(["drift"]).exits(0);
}

fn an_adapter_that_is_missing_comes_and_goes(world: &mut World) {
    let servant = "tars.tarslog.TopologyObj";
    world.sql(&format!(
        "DELETE FROM db_tars.t_adapter_conf WHERE servant = '{servant}'"
    ));
    world.tarsops(["plan"]).exits(2).says("TopologyObj adapter");
    world.tarsops(["apply", "-y"]).exits(0);
    assert_eq!(
        adapter(world, servant, "endpoint, thread_num, protocol"),
        format!("{}\t5\ttars", endpoint(world, 18913))
    );
    world.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(adapter(world, servant, "endpoint"), "");
    world.tarsops(["apply", "-y"]).exits(0);
    world.tarsops(["drift"]).exits(0);
}

fn a_program_and_its_rows_go_together(world: &mut World) {
    world.respec(|s| s.version = NEW);
    set(world, STAT, "thread_num = 3");
    let old = world.installed(1, "tarsstat");
    let applied = world.tarsops(["apply", "-y", "--on", "tarsstat"]);
    applied.exits(0).says("publish tarsstat");
    let new = world.installed(1, "tarsstat");
    assert_ne!(new, old);
    assert_eq!(adapter(world, STAT, "thread_num"), "9");
    assert!(generated(world, "tarsstat").contains("threads=9"));
    world.tarsops(["rollback", "-y"]).exits(0);
    assert_eq!(world.installed(1, "tarsstat"), old);
    assert_eq!(adapter(world, STAT, "thread_num"), "3");
    assert!(generated(world, "tarsstat").contains("threads=3"));
    let base = world.tars(1).parent().unwrap().join(".tarsops");
    assert!(!base.join("restart.tarsstat").exists());
    // A publication that fails leaves the rows as they were.
    tell(world, 1, "tarspatch", &[Lie::Garbled]);
    world.respec(|s| s.version = NEWER);
    let failed = world.tarsops(["apply", "-y", "--on", "tarsstat"]);
    failed.exits(8);
    assert_eq!(world.installed(1, "tarsstat"), old);
    assert_eq!(adapter(world, STAT, "thread_num"), "3");
    tell(world, 1, "tarspatch", &[]);
    world.respec(|s| s.version = NEW);
    world.tarsops(["apply", "-y", "--on", "tarsstat"]).exits(0);
    assert_eq!(world.installed(1, "tarsstat"), new);
}

/// Somebody takes the port between the plan and the restart; the server listens at another.
fn what_does_not_come_up_has_its_rows_again(world: &mut World, wrong: &str) {
    world.respec(|s| s.deadline = "6s");
    let asked = until_asked(&world.command(&["apply"]));
    let held = TcpListener::bind((world.ip(1), 18293)).unwrap();
    let applied = asked.types("yes\n");
    applied.exits(8).says("tarsstat");
    assert_eq!(adapter(world, STAT, "endpoint"), wrong);
    assert!(generated(world, "tarsstat").contains(wrong));
    assert_eq!(world.pids(1, "tarsstat").len(), 1);
    // Whoever looks now sees why.
    world.tarsops(["plan"]).exits(6).says("18293");
    drop(held);
    world.respec(|s| s.deadline = "45s");
}

/// Killed at any moment: what is next converges, and nothing runs on with rows that it never read.
fn a_run_that_was_cut_off_leaves_a_pending_restart(world: &mut World) {
    let base = world.tars(1).parent().unwrap().join(".tarsops");
    for delay in [0, 300] {
        set(world, STAT, &format!("thread_num = {}", 20 + delay));
        let mut command = world.command(&["apply", "-y", "--on", "tarsstat"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let acts = lines.any(|l| l.unwrap().contains("StatObj"));
        assert!(acts, "nothing is done");
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        let _ = std::fs::remove_file(base.join("lease"));
        // What was begun on the host ends there by itself.
        wait_until("the host to end it", PATIENCE, || {
            world.tarsops(["plan", "--on", "tarsstat"]).code != 6
        });
        world.tarsops(["apply", "-y", "--on", "tarsstat"]).exits(0);
        assert_eq!(adapter(world, STAT, "thread_num"), "9");
        assert!(
            generated(world, "tarsstat").contains("threads=9"),
            "{delay}"
        );
    }
    published_between_rows_and_restart(world, &base);
    // As it is where a run ends between the rows and the restart.
    let before = world.pids(1, "tarsstat");
    let mark = base.join("restart.tarsstat");
    std::fs::write(&mark, "").unwrap();
    let planned = world.tarsops(["plan", "--on", "tarsstat"]);
    planned
        .exits(2)
        .says("restart pending, its rows were changed");
    world.tarsops(["apply", "-y", "--on", "tarsstat"]).exits(0);
    assert_ne!(world.pids(1, "tarsstat"), before);
    assert!(!mark.exists());
    world.tarsops(["drift", "--on", "tarsstat"]).exits(0);
}

/// A publication that is killed when its rows are written and nothing else has come of it, and a spec
/// that goes back to the version that runs: nothing but the mark tells that the rows were not read.
fn published_between_rows_and_restart(world: &mut World, base: &Path) {
    set(world, STAT, "thread_num = 31");
    world.respec(|s| s.version = NEWER);
    tell(world, 1, "tarsAdminRegistry", &[Lie::TaskNeverBegun]);
    let mut command = world.command(&["apply", "-y", "--on", "tarsstat"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_until("the rows", PATIENCE, || {
        adapter(world, STAT, "thread_num") == "9"
    });
    let _ = child.kill();
    child.wait().unwrap();
    std::fs::remove_file(base.join("lease")).unwrap();
    tell(world, 1, "tarsAdminRegistry", &[]);
    world.respec(|s| s.version = NEW);
    let before = world.pids(1, "tarsstat");
    let planned = world.tarsops(["plan", "--on", "tarsstat"]);
    planned
        .exits(2)
        .says("restart pending, its rows were changed");
    world.tarsops(["apply", "-y", "--on", "tarsstat"]).exits(0);
    assert_ne!(world.pids(1, "tarsstat"), before);
    assert!(!base.join("restart.tarsstat").exists());
    world.tarsops(["drift", "--on", "tarsstat"]).exits(0);
}
