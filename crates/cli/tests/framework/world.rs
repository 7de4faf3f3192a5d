//! A cluster of stand-ins with a real database, its spec, and the program under test.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tarsops_standin::cluster::{Cluster, FrameworkOptions, Options, free_network};
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_standin::standin::{Behaviour, Identity, Timings};
use tarsops_standin::store::Database;

use crate::support::{Ran, program, run, stand_in, wait_until};

/// The password of our account; nothing may ever print it.
pub(crate) const PASSWORD: &str = "s3cret'word\\ü";
/// How much faster than the real framework the stand-ins are.
const SPEED: u32 = 8;
/// How long a stand-in may take for what the real one does within minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The versions in the packages folder.
pub(crate) const OLD: &str = "3.0.17";
pub(crate) const NEW: &str = "3.0.18";
pub(crate) const NEWER: &str = "3.0.19";

/// The core services beside tarsnode.
pub(crate) const CORE: [&str; 4] = [
    "tarsregistry",
    "tarsAdminRegistry",
    "tarsconfig",
    "tarspatch",
];

/// The basic services.
pub(crate) const BASIC: [&str; 6] = [
    "tarsstat",
    "tarsproperty",
    "tarsnotify",
    "tarslog",
    "tarsquerystat",
    "tarsqueryproperty",
];

/// A cluster: host 1 is the master, host 2 a slave, the others plain nodes.
pub(crate) struct World {
    pub(crate) database: MariaDb,
    pub(crate) cluster: Cluster,
    folder: tempfile::TempDir,
    /// Lines of the spec that tests vary.
    pub(crate) spec: Spec,
}

/// What tests vary in the spec.
#[derive(Clone)]
pub(crate) struct Spec {
    pub(crate) version: &'static str,
    pub(crate) slave: bool,
    /// Further slaves, on the hosts after the first one.
    pub(crate) further: usize,
    pub(crate) user: &'static str,
    pub(crate) database: bool,
    /// Another database than the framework's own.
    pub(crate) address: Option<std::net::SocketAddr>,
    pub(crate) rpc: &'static str,
    pub(crate) overrides: Vec<String>,
    pub(crate) deadline: &'static str,
    pub(crate) registries: Option<String>,
    /// Further keys of `framework` and `rollout`, as YAML.
    pub(crate) framework: &'static str,
    pub(crate) rollout: &'static str,
    pub(crate) settle: &'static str,
    /// Lines of `components`, as YAML.
    pub(crate) components: String,
    /// The management platform's address; its ticket is beside the spec.
    pub(crate) web: Option<String>,
    pub(crate) registry_settle: &'static str,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = Cluster::down(self.cluster.dir());
    }
}

impl World {
    /// `count` hosts with the framework on the first two, no agent yet.
    pub(crate) fn bare(count: usize) -> Self {
        Self::with_slaves(count, 1)
    }

    /// `count` hosts with the framework on the first, agents on all, and packages of what a slave has.
    pub(crate) fn master_only(count: usize) -> Self {
        let mut world = Self::with_slaves(count, 0);
        world.tarsops(["apply", "-y"]).exits(0);
        let identity = Identity::new(OLD, Behaviour::Healthy);
        world
            .cluster
            .add_slave_packages(&stand_in(), &identity)
            .unwrap();
        world.respec(|_| {});
        world
    }

    fn with_slaves(count: usize, slaves: usize) -> Self {
        // Networks are looked for and then taken: one at a time.
        static ONE: Mutex<()> = Mutex::new(());
        require_or_fail();
        let folder = tempfile::tempdir().unwrap();
        let database = MariaDb::start(folder.path(), &MariaDbOptions::default()).unwrap();
        database.load(Schema::Installed).unwrap();
        database
            .account("framework", "framework-pass", Rights::All)
            .unwrap();
        database.account("ops", PASSWORD, Rights::All).unwrap();
        let mut options = Options::new().unwrap();
        options.exe = stand_in();
        options.cron_period = Duration::from_secs(3600);
        options.packages = [OLD, NEW, NEWER]
            .map(|v| {
                Identity::new(v, Behaviour::Healthy).rewriting_after(Duration::from_millis(700))
            })
            .to_vec();
        let tables = Database::MariaDb {
            address: database.address(),
            user: "framework".to_owned(),
            password: "framework-pass".to_owned(),
            name: "db_tars".to_owned(),
        };
        let mut framework = FrameworkOptions::new(tables, Identity::new(OLD, Behaviour::Healthy));
        framework.timings = Timings::faster(SPEED);
        framework.slaves = slaves;
        options.framework = Some(framework);
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        options.network = free_network(options.ssh_port).unwrap();
        let cluster = Cluster::up(&folder.path().join("cluster"), count, &options).unwrap();
        drop(_one);
        let mut world = Self {
            database,
            cluster,
            folder,
            spec: Spec {
                version: OLD,
                slave: slaves > 0,
                further: slaves.saturating_sub(1),
                user: "ops",
                database: true,
                address: None,
                rpc: "direct",
                overrides: vec![],
                deadline: "45s",
                registries: None,
                framework: "",
                rollout: "",
                settle: "1s",
                components: String::new(),
                web: None,
                registry_settle: "2s",
            },
        };
        std::fs::write(world.dir().join("password"), PASSWORD).unwrap();
        std::fs::write(
            world.dir().join("ssh_config"),
            "Host *\n  KexAlgorithms curve25519-sha256\n",
        )
        .unwrap();
        world.write_spec();
        world.tarsops(["package", "lock"]).exits(0);
        world
    }

    /// As [`World::bare`], with the agents installed and everybody content.
    pub(crate) fn new(count: usize) -> Self {
        let world = Self::bare(count);
        world.tarsops(["apply", "-y"]).exits(0);
        world
    }

    /// As [`World::new`], with packages of the core services as well.
    pub(crate) fn with_core(count: usize) -> Self {
        Self::with_core_on(count, 1)
    }

    /// As [`World::with_core`], with so many slaves.
    pub(crate) fn with_core_on(count: usize, slaves: usize) -> Self {
        let mut world = Self::with_slaves(count, slaves);
        world.tarsops(["apply", "-y"]).exits(0);
        for version in [OLD, NEW, NEWER] {
            world.pack(&CORE, version, Behaviour::Healthy);
        }
        world.respec(|_| ());
        world
    }

    /// As [`World::new`], with packages of these basic services as well.
    pub(crate) fn with_basic(count: usize, basic: &[&str], versions: &[&str]) -> Self {
        let mut world = Self::with_slaves(count, 1);
        world.tarsops(["apply", "-y"]).exits(0);
        for version in versions {
            world.pack(basic, version, Behaviour::Healthy);
        }
        world.respec(|_| ());
        world
    }

    /// Puts programs of components that behave so among the packages of a version.
    pub(crate) fn pack(&self, components: &[&str], version: &str, behaviour: Behaviour) {
        let identity = Identity::new(version, behaviour);
        let cluster = &self.cluster;
        cluster
            .add_components(&stand_in(), components, &identity)
            .unwrap();
    }

    /// The digest of the program of a component that is on host `n`.
    pub(crate) fn installed(&self, n: usize, component: &str) -> String {
        let binary = self.tars(n).join(component).join("bin").join(component);
        let bytes = std::fs::read(binary).unwrap();
        tarsops_model::digest::Digest::of(&bytes).to_string()
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// The name of host `n`, counted from 1.
    pub(crate) fn node(&self, n: usize) -> String {
        self.cluster.facts().hosts[n - 1].name.clone()
    }

    /// The address of host `n`.
    pub(crate) fn ip(&self, n: usize) -> std::net::Ipv4Addr {
        self.cluster.facts().hosts[n - 1].ip
    }

    /// The folder of the framework on host `n`.
    pub(crate) fn tars(&self, n: usize) -> PathBuf {
        self.cluster.facts().hosts[n - 1].install_path.join("tars")
    }

    /// Writes the spec as [`World::spec`] says.
    pub(crate) fn write_spec(&mut self) {
        let facts = self.cluster.facts();
        let (hosts, spec) = (&facts.hosts, &self.spec);
        let registries = spec.registries.clone().unwrap_or_else(|| {
            let count = if spec.slave { 2 + spec.further } else { 1 };
            let all: Vec<String> = hosts[..count]
                .iter()
                .map(|h| format!("\"{}:17890\"", h.ip))
                .collect();
            all.join(", ")
        });
        let mut out = format!(
            "schema: tarsops/v1\ncluster: test\nrebuild: never\nframework:\n  version: {}\n  \
             packages: {}/{{version}}\n  install_path: {}\n  run_user: {user}\n{}ssh:\n  user: {user}\n  \
             port: {}\n  identity: {}\n  known_hosts: {}\n  config: ./ssh_config\nrpc: {}\n\
             registry:\n  endpoints: [{registries}]\n\
             rollout: {{canary: 1, max_parallel: 5, settle: {}, registry_settle: {}, deadline: {}{}}}\n",
            spec.version,
            facts.packages.display(),
            hosts[0].install_path.display(),
            spec.framework,
            hosts[0].ssh_port,
            facts.identity.display(),
            facts.known_hosts.display(),
            spec.rpc,
            spec.settle,
            spec.registry_settle,
            spec.deadline,
            spec.rollout,
            user = facts.user,
        );
        if spec.database {
            let _ = writeln!(
                out,
                "database:\n  address: {}\n  user: {}\n  password: {{file: ./password}}",
                spec.address.unwrap_or(self.database.address()),
                spec.user
            );
        }
        if !spec.components.is_empty() {
            let _ = write!(out, "components:\n{}", spec.components);
        }
        if let Some(url) = &spec.web {
            let _ = writeln!(out, "web:\n  url: {url}\n  ticket: {{file: ./ticket}}");
        }
        out.push_str("nodes:\n");
        for (index, host) in hosts.iter().enumerate() {
            let roles = match index {
                0 => ", roles: [master]",
                i if spec.slave && i <= 1 + spec.further => ", roles: [slave]",
                _ => "",
            };
            let _ = writeln!(out, "  - {{name: \"{}\"{roles}}}", host.name);
        }
        out.push_str("overrides:\n");
        for host in &hosts[1..] {
            let more: String = spec
                .overrides
                .iter()
                .filter_map(|o| o.strip_prefix(&format!("{} ", host.name)))
                .map(|o| format!(", {o}"))
                .collect();
            let _ = writeln!(
                out,
                "  \"{}\": {{install_path: {}{more}}}",
                host.name,
                host.install_path.display()
            );
        }
        std::fs::write(self.dir().join("cluster.yaml"), out).unwrap();
    }

    /// Changes the spec and pins what it needs.
    pub(crate) fn respec(&mut self, change: impl FnOnce(&mut Spec)) {
        change(&mut self.spec);
        self.write_spec();
        self.tarsops(["package", "lock"]).exits(0);
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        // As `run` leaves out three words of a namespaced command.
        let mut command = Command::new("env");
        command.args(["--", "TARSOPS_TEST=1"]).arg(program());
        command
            .args(words)
            .current_dir(self.dir())
            .env("HOME", self.dir())
            .env("XDG_STATE_HOME", self.dir().join("state"))
            .env("USER", "tester");
        for name in ["TARSOPS_SPEC", "TARSOPS_LOG", "NO_COLOR", "RUST_LOG"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program to its end. Whatever it says, it never says a password.
    #[track_caller]
    pub(crate) fn tarsops<const N: usize>(&self, words: [&str; N]) -> Ran {
        let ran = run(self.command(&words));
        ran.hides("s3cret").hides("framework-pass");
        ran
    }

    /// Runs SQL as the database's root.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.database.root_sql(statements).unwrap()
    }

    /// Processes of a component on host `n`.
    pub(crate) fn pids(&self, n: usize, component: &str) -> Vec<i32> {
        let binary = self.tars(n).join(component).join("bin").join(component);
        let all = self.cluster.processes(&self.node(n)).unwrap();
        all.into_iter()
            .filter(|pid| {
                std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| {
                    let exe = exe.to_string_lossy().into_owned();
                    Path::new(exe.trim_end_matches(" (deleted)")) == binary
                })
            })
            .collect()
    }

    /// Sends a signal to every process of a component on host `n`; there must be one.
    #[track_caller]
    pub(crate) fn signal(&self, n: usize, component: &str, signal: rustix::process::Signal) {
        let pids = self.pids(n, component);
        assert!(!pids.is_empty(), "no {component} on host {n}");
        for pid in pids {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, signal).unwrap();
        }
    }

    /// Freezes a component; [`World::thaw`] lets it continue.
    #[track_caller]
    pub(crate) fn freeze(&self, n: usize, component: &str) {
        self.signal(n, component, rustix::process::Signal::STOP);
    }

    #[track_caller]
    pub(crate) fn thaw(&self, n: usize, component: &str) {
        self.signal(n, component, rustix::process::Signal::CONT);
    }

    #[track_caller]
    pub(crate) fn kill(&self, n: usize, component: &str) {
        self.signal(n, component, rustix::process::Signal::KILL);
        wait_until(component, PATIENCE, || self.pids(n, component).is_empty());
    }

    /// The locator of the agent on host `n`.
    pub(crate) fn locator(&self, n: usize) -> String {
        let path = self.tars(n).join("tarsnode/conf/tars.tarsnode.config.conf");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|l| l.trim().starts_with("locator="));
        line.unwrap_or_default().trim().to_owned()
    }

    /// `check`, which must say this of the check named so, with this code.
    #[track_caller]
    pub(crate) fn check(&self, name: &str, result: &str, code: i32) -> Ran {
        let ran = self.tarsops(["check", "--json"]);
        ran.exits(code);
        let document = ran.json("tarsops.check/1");
        let line = document["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["check"] == name)
            .unwrap_or_else(|| panic!("no check {name}: {document:#}"));
        assert!(line["result"] == result, "{line:#}\n{document:#}");
        ran
    }

    /// Every source says the same, and `check` finds nothing.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        wait_until("all to be well", PATIENCE, || {
            self.tarsops(["check"]).code == 0 && self.tarsops(["drift"]).code == 0
        });
    }
}
