//! The database fails in the middle of an apply: at each kind of step that touches it, in each way
//! that databases fail. Every time the program stops and says so, nothing that ran is down, no row is
//! half-written, and once the database is mended the next apply converges.
//!
//! Full disks are small ones that the test mounts, which takes root.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tarsops_standin::standin::{Behaviour, Identity};

use crate::support::{Ran, stand_in, wait_until};
use crate::world::{NEW, OLD, PASSWORD, PATIENCE, World};

const TEMPLATE: &str = "tars.tarsregistry";
/// The account of the spec here: it may do what tarsops does, table by table, and no more.
const ACCOUNT: &str = "operator";
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE, ALTER, TRIGGER";

/// How long a step may take here, and a whole apply: a look at a database that is silent takes 20 s.
const DEADLINE: &str = "5s";
const LIMIT: Duration = Duration::from_secs(60);

/// What is wrong with the database.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It takes no changes.
    ReadOnly,
    /// The account has lost a right on a table.
    Lost(&'static str, &'static str),
    /// Somebody holds a table: everything that needs it waits.
    Held(&'static str),
    /// Its process has ended.
    Down,
    /// The disk of this folder is full.
    Full(Folder),
    /// The disk of the database's tables is full, and so is the last page of the table of adapters.
    Brim,
}

/// A folder that is on a small disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Folder {
    /// The database's tables.
    Tables,
    /// The database's temporary files.
    Temporary,
    /// Where this machine writes a dump.
    Spool,
    /// Where the master keeps it.
    Dumps,
    /// Where the master keeps rows as they were.
    Rows,
}

/// When it breaks.
#[derive(Clone, Copy, Debug)]
enum When {
    /// Before the apply: no other step notices.
    Before,
    /// The moment the journal says that the step has begun; the program stands still meanwhile.
    Begun(&'static str),
    /// While a host changes: between the stop of what ran and the end of the gate.
    Changing(usize),
}

/// One way to fail.
struct Case {
    when: When,
    fault: Fault,
    exit: i32,
    /// What is said.
    tells: &'static [&'static str],
}

impl Case {
    fn name(&self) -> String {
        format!("{:?}, {:?}", self.when, self.fault)
    }
}

/// A small disk, gone when this is dropped and when the test is killed.
struct Disk {
    keeper: Child,
    path: PathBuf,
}

/// Mounts a disk over a folder, whose content goes with it, and unmounts it when nobody is left to
/// write to it.
const KEEPER: &str = r#"
set -e
mkdir -p "$1"; cp -a "$1" "$1.aside"
mount -t tmpfs -o size="$2"m,mode=700 none "$1"
trap 'umount -l "$1"' EXIT
cp -a "$1.aside/." "$1"; rm -rf "$1.aside"
echo there
read -r word || true
"#;

impl Disk {
    fn over(path: &Path, mebibytes: u32) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(path)
            .arg(mebibytes.to_string())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        if keeper
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .is_err()
        {
            let out = keeper.wait_with_output().unwrap();
            let why = String::from_utf8_lossy(&out.stderr).into_owned();
            panic!("a small disk cannot be mounted, which takes root: {why}");
        }
        let path = path.to_owned();
        Self { keeper, path }
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.path.join("filler")).unwrap();
        for size in [1 << 16, 1 << 8, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

/// A table that a session of its own holds until this is dropped.
struct Lock(Child);

impl Lock {
    fn on(world: &World, what: &str) -> Self {
        let socket = world.database.socket();
        let mut client = Command::new("mariadb")
            .args(["--no-defaults", "--user=root", "--batch", "--unbuffered"])
            .args(["--skip-column-names", "--socket", "s"])
            .current_dir(socket.parent().unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let words = format!("LOCK TABLES db_tars.{what};\nSELECT 'held';\n");
        let stdin = client.stdin.as_mut().unwrap();
        stdin.write_all(words.as_bytes()).unwrap();
        let mut said = [0; 5];
        client
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut said)
            .unwrap();
        Self(client)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Processes of each component on each host, counted from 1.
type Running = BTreeMap<(usize, String), Vec<i32>>;

/// A cluster whose account is a restricted one, and its small disks, which go first.
struct Stops {
    disks: BTreeMap<Folder, Disk>,
    lock: Option<Lock>,
    world: World,
}

impl Stops {
    fn new(mut world: World, folders: &[Folder]) -> Self {
        let literal = PASSWORD.replace('\\', "\\\\").replace('\'', "''");
        let mut statements = format!(
            "CREATE USER {ACCOUNT}@'%' IDENTIFIED BY '{literal}'; \
             GRANT SHOW DATABASES ON *.* TO {ACCOUNT}@'%';"
        );
        for table in world.sql("SHOW TABLES FROM db_tars").lines() {
            statements.push_str(&format!(
                "GRANT {RIGHTS} ON db_tars.{table} TO {ACCOUNT}@'%';"
            ));
        }
        // The framework's own account may not write in a read-only database either.
        statements.push_str("REVOKE SUPER, READ ONLY ADMIN ON *.* FROM framework@'%'; SHUTDOWN");
        world.sql(&statements);
        world.database.kill();
        let spool = world.dir().join("spool");
        std::fs::create_dir(&spool).unwrap();
        let database = world.database.log().parent().unwrap().to_owned();
        let disks = folders.iter().map(|which| {
            let (path, size) = match which {
                Folder::Rows => (tarsops_of(&world, 1).join("rows"), 16),
                Folder::Tables => (database.join("data"), 160),
                Folder::Temporary => (database.join("tmp"), 16),
                Folder::Spool => (spool.clone(), 16),
                Folder::Dumps => (tarsops_of(&world, 1).join("backups"), 16),
            };
            (*which, Disk::over(&path, size))
        });
        let disks = disks.collect();
        world.respec(|s| {
            s.user = ACCOUNT;
            s.deadline = DEADLINE;
        });
        let mut this = Self {
            disks,
            lock: None,
            world,
        };
        this.start();
        this
    }

    /// Starts the database, and has it keep what it has committed even if it is killed.
    fn start(&mut self) {
        self.world.database.start_again().unwrap();
        self.world
            .sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
    }

    fn damage(&mut self, fault: Fault) {
        let world = &mut self.world;
        match fault {
            Fault::ReadOnly => drop(world.sql("SET GLOBAL read_only = 1")),
            Fault::Lost(right, table) => {
                world.sql(&format!(
                    "REVOKE {right} ON db_tars.{table} FROM {ACCOUNT}@'%'"
                ));
            }
            Fault::Held(what) => self.lock = Some(Lock::on(world, what)),
            Fault::Down => world.database.kill(),
            Fault::Full(folder) => self.disks[&folder].fill(),
            Fault::Brim => {
                self.disks[&Folder::Tables].fill();
                // As long as a page has room, rows come to a full disk as well.
                for length in [50, 1] {
                    let rows: String = (0..2000).map(|n| format!(
                        "INSERT INTO db_tars.t_adapter_conf (application, server_name, node_name, adapter_name, endpoint, allow_ip) \
                         VALUES ('tars', 'tarsconfig', 'filler', '{length}-{n}', '{n}', REPEAT('x', {length} * 5));\n"
                    )).collect();
                    let full = world.database.root_sql(&rows).unwrap_err().to_string();
                    assert!(full.contains("is full"), "{full}");
                }
            }
        }
    }

    fn mend(&mut self, fault: Fault) {
        let world = &mut self.world;
        match fault {
            Fault::ReadOnly => drop(world.sql("SET GLOBAL read_only = 0")),
            Fault::Lost(right, table) => {
                world.sql(&format!(
                    "GRANT {right} ON db_tars.{table} TO {ACCOUNT}@'%'"
                ));
            }
            Fault::Held(_) => self.lock = None,
            Fault::Down => self.start(),
            Fault::Full(folder) => self.disks[&folder].free(),
            Fault::Brim => {
                self.disks[&Folder::Tables].free();
                world.sql("DELETE FROM db_tars.t_adapter_conf WHERE node_name = 'filler'");
            }
        }
    }

    /// Everything of the framework that runs.
    fn running(&self) -> Running {
        let mut all = Running::new();
        for (index, host) in self.world.cluster.facts().hosts.iter().enumerate() {
            for pid in self.world.cluster.processes(&host.name).unwrap() {
                let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
                let name = exe.file_name().unwrap_or_default().to_string_lossy();
                let name = name.trim_end_matches(" (deleted)").to_owned();
                if name.starts_with("tars") {
                    all.entry((index + 1, name)).or_default().push(pid);
                }
            }
        }
        all.values_mut().for_each(|pids| pids.sort_unstable());
        all
    }

    /// Applies while the database breaks.
    fn apply(&mut self, case: &Case) -> Ran {
        if matches!(case.when, When::Before) {
            self.damage(case.fault);
        }
        let mut command = self.world.command(&["apply", "-y"]);
        command.env("TMPDIR", self.world.dir().join("spool"));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let known = journals(&self.world);
        let began = Instant::now();
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
        let reached = |world: &World| match case.when {
            When::Before => true,
            When::Begun(step) => journals(world)
                .difference(&known)
                .any(|path| says(path, "started", step)),
            When::Changing(n) => tarsops_of(world, n).join("current").exists(),
        };
        while !reached(&self.world) {
            if child.try_wait().unwrap().is_some() {
                let out = child.wait_with_output().unwrap();
                let ran = Ran::new(case.name(), out, began.elapsed());
                panic!("it never came so far:\n{}\n{}", ran.out, ran.err);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if !matches!(case.when, When::Before) {
            kill_process(pid, Signal::STOP).unwrap();
            self.damage(case.fault);
            if let When::Begun(step) = case.when {
                let over = journals(&self.world)
                    .difference(&known)
                    .any(|path| says(path, "succeeded", step));
                assert!(!over, "{}: the step was over before it broke", case.name());
            }
            kill_process(pid, Signal::CONT).unwrap();
        }
        while child.try_wait().unwrap().is_none() {
            if began.elapsed() > LIMIT {
                let _ = child.kill();
                let out = child.wait_with_output().unwrap();
                let ran = Ran::new(case.name(), out, began.elapsed());
                panic!("{} hangs:\n{}\n{}", ran.words, ran.out, ran.err);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let out = child.wait_with_output().unwrap();
        Ran::new(case.name(), out, began.elapsed())
    }

    /// The database breaks, the program stops, the database is mended, the next apply converges.
    fn stop(&mut self, case: &Case, whole: &dyn Fn(&World) -> String) {
        let before = self.running();
        let rows = whole(&self.world);
        let ran = self.apply(case);
        ran.hides("s3cret").exits(case.exit);
        for text in case.tells {
            ran.tells(text);
        }
        self.left_nothing(case);
        self.mend(case.fault);
        if case.exit != 0 {
            assert_eq!(whole(&self.world), rows, "{}", case.name());
        }
        let after = self.running();
        match case.when {
            When::Changing(_) => {
                let one = |all: &Running| -> Vec<_> {
                    all.iter()
                        .map(|(k, pids)| (k.clone(), pids.len()))
                        .collect()
                };
                assert_eq!(one(&after), one(&before), "{}", case.name());
            }
            _ => assert_eq!(after, before, "{}", case.name()),
        }
        if matches!(case.fault, Fault::Down | Fault::Held(_))
            || matches!(case.when, When::Changing(_))
        {
            // The framework notices by itself that its database is back.
            wait_until("the framework to be content", PATIENCE, || {
                let plan = self.world.tarsops(["plan"]);
                matches!(plan.code, 0 | 2) && !plan.out.contains("fix:")
            });
        }
        self.settled();
    }

    /// Waits until the cluster is in sync, and stays so.
    ///
    /// The rows of a registry grow old only some time after its database stopped writing: an apply may
    /// find them as they should be, and the next plan may not.
    fn settled(&self) {
        wait_until("the cluster to be in sync", PATIENCE, || {
            self.world.tarsops(["apply", "-y"]).code == 0 && {
                let plan = self.world.tarsops(["plan"]);
                plan.code == 0 && plan.out.contains("Nothing to do")
            }
        });
    }

    /// No process of ours and no file on its way.
    #[track_caller]
    fn left_nothing(&self, case: &Case) {
        let spool = self.world.dir().join("spool");
        let files: Vec<_> = std::fs::read_dir(&spool)
            .unwrap()
            .flatten()
            .map(|e| e.file_name())
            .filter(|name| name != "filler")
            .collect();
        assert!(files.is_empty(), "{}: {files:?}", case.name());
        let ours = spool.to_string_lossy().into_owned();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let left: Vec<String> = all
            .filter_map(|p| std::fs::read(p.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            // The keeper of a small disk is the test's own.
            .filter(|line| line.contains(&ours) && !line.starts_with("sh -c"))
            .collect();
        assert!(left.is_empty(), "{}: {left:?}", case.name());
    }
}

/// What tarsops keeps on host `n`.
fn tarsops_of(world: &World, n: usize) -> PathBuf {
    world.tars(n).parent().unwrap().join(".tarsops")
}

fn journals(world: &World) -> BTreeSet<PathBuf> {
    let folder = world.dir().join("state/tarsops/test");
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    all.map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect()
}

/// Whether a journal has this event of this step.
fn says(journal: &Path, event: &str, step: &str) -> bool {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    text.lines()
        .any(|l| l.contains(&format!(r#""event":"{event}","step":"{step}"#)))
}

/// A template as a release ships it: the newer one's is large, so that the table's file must grow.
fn shipped(version: &str) -> String {
    let (timeout, more) = if version == NEW {
        (300, format!("        long={}\n", "x".repeat(40_000)))
    } else {
        (250, String::new())
    };
    format!("<tars>\n    <reap>\n        nodeTimeout={timeout}\n{more}    </reap>\n</tars>\n")
}

fn with_templates(count: usize) -> World {
    let world = World::new(count);
    for version in [OLD, NEW] {
        let tree = world.cluster.facts().packages.join(version).join("deploy");
        let folder = tree.join("framework/sql/template");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(tree.join("FRAMEWORK_VERSION.txt"), version).unwrap();
        std::fs::write(folder.join(TEMPLATE), shipped(version)).unwrap();
    }
    world
}

/// The template and the columns as they were before the upgrade, in a file without room to spare.
fn reset(world: &World) {
    world.sql(&format!(
        "UPDATE db_tars.t_profile_template SET profile = '{}' WHERE template_name = '{TEMPLATE}'; \
         ALTER TABLE db_tars.t_profile_template FORCE; \
         ALTER TABLE db_tars.t_base_image DROP COLUMN IF EXISTS result",
        shipped(OLD)
    ));
}

const NO_BACKUP: &str = "there is no backup, so nothing was changed";
const UNCHANGED: &str = "nothing was changed";
const GRANT: &str = "; grant it";
const READ_ONLY: [&str; 3] = [
    "takes no changes",
    "name the primary in `database.address`",
    "database-read-only",
];
const UNREACHABLE: &str = "the database 127.0.0.1:";
const NOT_REACHED: &str = " cannot be reached: ";
const HELD: &str = "`SHOW FULL PROCESSLIST` there shows which";
const UNSEEN: &str = "whether the framework is could not be seen";
const LATE: &str = "gave no answer in time";
const NO_SPACE: &str = "free space on its disk";
const IS_THERE_ROOM: &str = "cannot be written: is there room on its disk?";

/// One cluster for all: making one is what takes the time.
#[test]
fn at_backup_columns_and_templates() {
    use Fault::{Down, Full, Held, Lost, ReadOnly};
    use When::{Before, Begun};
    let folders = [
        Folder::Tables,
        Folder::Temporary,
        Folder::Spool,
        Folder::Dumps,
    ];
    let stops = &mut Stops::new(with_templates(2), &folders);
    reset(&stops.world);
    stops.settled();
    stops.world.respec(|s| s.version = NEW);
    stops.world.tarsops(["apply", "-y"]).exits(0);
    let whole = |world: &World| {
        world.sql(&format!(
            "SELECT SHA2(profile, 256) FROM db_tars.t_profile_template \
             WHERE template_name = '{TEMPLATE}'"
        ))
    };
    let backup = Begun("database.backup");
    let column = Begun("schema.add");
    let merge = Begun("template.merge");
    for (when, fault, exit, tells) in [
        // A backup reads: a database that takes no changes is noticed by the step after it.
        (
            Before,
            Lost("SELECT", "t_config_files"),
            8,
            &[NO_BACKUP, "t_config_files", GRANT][..],
        ),
        (Before, Held("t_config_files WRITE"), 8, &[NO_BACKUP, LATE]),
        (backup, Down, 8, &[UNREACHABLE, NOT_REACHED]),
        (backup, Full(Folder::Temporary), 8, &[NO_SPACE]),
        (
            Before,
            Full(Folder::Spool),
            8,
            &[NO_BACKUP, "on this machine", "No space left", "/spool/"],
        ),
        (Before, Full(Folder::Dumps), 8, &[NO_BACKUP, IS_THERE_ROOM]),
        (column, ReadOnly, 8, &READ_ONLY),
        (
            Before,
            Lost("ALTER", "t_base_image"),
            8,
            &[UNCHANGED, "t_base_image", GRANT],
        ),
        (Before, Held("t_base_image READ"), 8, &[UNCHANGED, HELD]),
        (column, Down, 8, &[UNREACHABLE, NOT_REACHED]),
        (Before, Full(Folder::Tables), 8, &[UNCHANGED, NO_SPACE]),
        (merge, ReadOnly, 8, &READ_ONLY),
        (
            Before,
            Lost("UPDATE", "t_profile_template"),
            8,
            &[UNCHANGED, "t_profile_template", GRANT],
        ),
        (
            Before,
            Held("t_profile_template READ"),
            8,
            &[UNCHANGED, HELD],
        ),
        (merge, Down, 8, &[UNREACHABLE, NOT_REACHED]),
        (merge, Full(Folder::Tables), 8, &[UNCHANGED, NO_SPACE]),
    ] {
        reset(&stops.world);
        stops.stop(
            &Case {
                when,
                fault,
                exit,
                tells,
            },
            &whole,
        );
    }
}

/// The rows of a node.
fn rows_of(world: &World, node: &str) -> String {
    let all = ["t_server_conf", "t_adapter_conf", "t_node_info"]
        .map(|table| format!("(SELECT COUNT(*) FROM db_tars.{table} WHERE node_name = '{node}')"));
    world.sql(&format!("SELECT {}", all.join(", ")))
}

#[test]
fn at_rows() {
    use Fault::{Brim, Down, Full, Held, Lost, ReadOnly};
    use When::{Before, Begun};
    let world = World::new(3);
    let identity = Identity::new(OLD, Behaviour::Healthy);
    let packages = world.cluster.add_slave_packages(&stand_in(), &identity);
    packages.unwrap();
    let stops = &mut Stops::new(world, &[Folder::Tables, Folder::Rows]);
    stops.world.respec(|s| s.settle = "0s");
    stops.settled();
    let two = stops.world.node(2);
    let there = rows_of(&stops.world, &two);
    let add = Begun("rows.add");
    for (when, fault, exit, tells) in [
        (add, ReadOnly, 8, &READ_ONLY[..]),
        (
            Before,
            Lost("INSERT", "t_adapter_conf"),
            8,
            &["t_adapter_conf", GRANT],
        ),
        (Before, Held("t_adapter_conf READ"), 8, &[HELD]),
        (add, Down, 8, &["not started", UNREACHABLE, NOT_REACHED]),
        (add, Brim, 8, &[NO_SPACE]),
        (
            Before,
            Full(Folder::Rows),
            8,
            &["could not be written down on the master", IS_THERE_ROOM],
        ),
    ] {
        stops
            .world
            .cluster
            .stop_component(&two, "tarsconfig")
            .unwrap();
        wait_until("tarsconfig to end", PATIENCE, || {
            stops.world.pids(2, "tarsconfig").is_empty()
        });
        for table in ["t_server_conf", "t_adapter_conf"] {
            stops.world.sql(&format!(
                "DELETE FROM db_tars.{table} WHERE node_name = '{two}' AND server_name = 'tarsconfig'; \
                 ALTER TABLE db_tars.{table} FORCE"
            ));
        }
        stops.stop(
            &Case {
                when,
                fault,
                exit,
                tells,
            },
            &|world| rows_of(world, &two),
        );
        assert_eq!(rows_of(&stops.world, &two), there);
    }
    let three = stops.world.node(3);
    stops.world.cluster.power_off(&three).unwrap();
    let gone = format!("{three} state: gone");
    stops.world.respec(|s| s.overrides = vec![gone]);
    let forget = Begun("rows.forget");
    for (when, fault, exit, tells) in [
        (forget, ReadOnly, 8, &READ_ONLY[..]),
        // The last table of four: what was deleted before it comes back.
        (
            Before,
            Lost("DELETE", "t_node_info"),
            8,
            &["not deleted", "t_node_info", GRANT],
        ),
        (forget, Down, 8, &["not started", UNREACHABLE, NOT_REACHED]),
        (
            Before,
            Full(Folder::Rows),
            8,
            &["could not be written down on the master", IS_THERE_ROOM],
        ),
        // Nothing has to grow for rows to go.
        (Before, Full(Folder::Tables), 0, &[]),
    ] {
        stops.world.sql(&format!(
            "INSERT INTO db_tars.t_server_conf (application, server_name, node_name, \
             setting_state, present_state, template_name, profile, posttime) \
             VALUES ('Shop', 'Cart', '{three}', 'inactive', 'inactive', 'tars.default', '', NOW()); \
             INSERT INTO db_tars.t_adapter_conf (application, server_name, node_name, \
             adapter_name, endpoint, servant) \
             VALUES ('Shop', 'Cart', '{three}', 'Shop.Cart.ObjAdapter', 'tcp -h {three} -p 1', 'Shop.Cart.Obj'); \
             REPLACE INTO db_tars.t_node_info (node_name, present_state, last_heartbeat) \
             VALUES ('{three}', 'inactive', NOW() - INTERVAL 10 MINUTE)"
        ));
        stops.stop(
            &Case {
                when,
                fault,
                exit,
                tells,
            },
            &|world| rows_of(world, &three),
        );
        assert_eq!(rows_of(&stops.world, &three), "0\t0\t0\n");
    }
}

/// A database that is frozen while a registry changes is `core`'s.
#[test]
fn at_gates() {
    let folders = [Folder::Tables, Folder::Temporary];
    let stops = &mut Stops::new(World::new(2), &folders);
    stops.settled();
    let two = stops.world.node(2);
    for (version, fault, exit, tells) in [
        // AdminRegistry has reached the node, and the row is as it was: done, and the rest waits.
        (
            NEW,
            Fault::ReadOnly,
            6,
            &["1 done", READ_ONLY[1], READ_ONLY[2]][..],
        ),
        (
            OLD,
            Fault::Lost("SELECT", "t_node_info"),
            8,
            &[UNSEEN, "t_node_info", GRANT],
        ),
        (NEW, Fault::Down, 8, &[UNSEEN, UNREACHABLE, NOT_REACHED]),
        // A row that is there is written without more room.
        (OLD, Fault::Full(Folder::Tables), 0, &["1 done"]),
        // The gate needs no temporary files, and the look after all has no others.
        (
            NEW,
            Fault::Full(Folder::Temporary),
            4,
            &["1 done", NO_SPACE],
        ),
    ] {
        stops.world.respec(|s| {
            s.framework = "  allow_downgrade: true\n";
            s.overrides = vec![format!("{two} version: {version}")];
        });
        let when = When::Changing(2);
        stops.stop(
            &Case {
                when,
                fault,
                exit,
                tells,
            },
            &|_| String::new(),
        );
    }
}
