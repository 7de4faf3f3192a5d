//! A cluster whose framework is in containers: a master and a slave, each a host with an engine, plain
//! nodes, and a real database that all of them reach.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use tarsops_standin::container::{CONTAINER, DEPLOY, ENTRYPOINT, TIMINGS};
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, require_or_fail};
use tarsops_standin::framework::COMPONENTS;
use tarsops_standin::standin::{self, Identity, Timings};
use tarsops_testkit::{HostOptions, Image, require_engine_or_fail};

use crate::support::client::Client;
use crate::support::{
    Behaviour, Cluster, Host, Layout, Machine, Ran, Spec, ip, stand_in, wait_until,
};

/// The container of a framework host.
pub(crate) const NAME: &str = "tars-framework";
/// The versions that there are images of.
pub(crate) const OLD: &str = "3.0.17";
pub(crate) const NEW: &str = "3.0.18";
/// How long a container may take to install and to be seen everywhere.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Passwords of the installation and of our own account; nothing may ever print them.
const SETUP: &str = "s3cret-setup";
const OPS: &str = "s3cret-ops";
/// The control side of the network, where the database listens.
const CONTROL: [u8; 4] = [10, 77, 0, 1];
/// How much faster than the real framework its stand-ins are.
const SPEED: u32 = 8;

/// The name of an image. As of the real ones, it says little of the framework's version.
pub(crate) fn reference(version: &str) -> String {
    format!("tarscloud/framework:v3.1.{}", &version[4..])
}

/// An image as the framework's are laid out.
pub(crate) fn image(version: &str) -> Image {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("standin");
    let identity = Identity::new(version, Behaviour::Healthy);
    standin::make(&stand_in(), &binary, &identity).unwrap();
    let program = fs::read(&binary).unwrap();
    let mut image = Image::new();
    image
        .program("/bin/busybox", Path::new("/usr/bin/busybox"))
        .unwrap();
    // Its libraries; the program itself is that of a component.
    let first = format!("{DEPLOY}/framework/servers/tarsnode/bin/tarsnode");
    image.program(&first, &binary).unwrap();
    for applet in ["sh", "ifconfig", "ps", "grep", "cat"] {
        image.link(&format!("/bin/{applet}"), "busybox");
    }
    for name in COMPONENTS.iter().map(|c| c.name) {
        let path = format!("{DEPLOY}/framework/servers/{name}/bin/{name}");
        image.file(&path, 0o755, program.clone());
    }
    let timings = serde_json::to_vec(&Timings::faster(SPEED)).unwrap();
    let installer = format!("{DEPLOY}/tars-install");
    image
        .folder("/tmp", 0o1777)
        .link(&installer, &first)
        .file(
            &format!("{DEPLOY}/FRAMEWORK_VERSION.txt"),
            0o644,
            format!("{version}\n"),
        )
        .file(
            &format!("{DEPLOY}/web/package.json"),
            0o644,
            "{\"version\": \"3.0.15\"}",
        )
        .file(TIMINGS, 0o644, timings)
        .file(
            ENTRYPOINT,
            0o755,
            format!("#!/bin/sh\nexec {installer} {CONTAINER}\n"),
        )
        .entrypoint(&["/bin/sh", ENTRYPOINT]);
    image
}

/// A world.
pub(crate) struct World {
    pub(crate) machine: Machine,
    pub(crate) database: MariaDb,
    pub(crate) cluster: Cluster,
    images: BTreeMap<&'static str, OnceLock<Image>>,
    /// Hosts 1 and 2 are master and slave where there are two.
    frameworks: usize,
}

impl World {
    /// A master and a slave in containers of [`OLD`], and `nodes` plain nodes on which the program
    /// installed tarsnode.
    pub(crate) fn new(nodes: u8) -> Self {
        Self::of(2, nodes)
    }

    /// As [`World::new`], with the master alone.
    pub(crate) fn master_only() -> Self {
        Self::of(1, 0)
    }

    fn of(frameworks: u8, nodes: u8) -> Self {
        require_engine_or_fail();
        require_or_fail();
        let options = (0..frameworks + nodes).map(|index| {
            let options = HostOptions::numbered(index);
            if index < frameworks {
                options.engine()
            } else {
                options
            }
        });
        let cluster = Cluster::of(options);
        let listen = MariaDbOptions {
            ip: IpAddr::from(CONTROL),
            ..MariaDbOptions::default()
        };
        let dir = cluster.network.dir().to_owned();
        let database = cluster.network.inside(|| MariaDb::start(&dir, &listen));
        let database = database.unwrap().unwrap();
        database
            .root_sql(&format!(
                "CREATE USER 'setup'@'%' IDENTIFIED BY '{SETUP}';
                 GRANT ALL ON *.* TO 'setup'@'%' WITH GRANT OPTION;"
            ))
            .unwrap();
        database.account("ops", OPS, Rights::All).unwrap();
        let world = Self {
            machine: cluster.bare_machine(),
            database,
            cluster,
            images: [OLD, NEW].map(|v| (v, OnceLock::new())).into(),
            frameworks: frameworks.into(),
        };
        world.machine.package(OLD, Layout::Full, Behaviour::Healthy);
        world.machine.write("setup", SETUP);
        world.machine.write("ops", OPS);
        world.ask_for(OLD);
        world.load(OLD);
        for n in 1..=world.frameworks {
            world.host(n).sh("mkdir -p /data/tars").unwrap();
            world.docker(
                n,
                &format!("run -d {}", world.words(n, OLD, &["REBUILD=false"])),
            );
            // A slave ends where its master has made no tables yet.
            world.installed(n);
        }
        if nodes > 0 {
            world.tarsops(["apply", "-y"]).exits(0);
        }
        world
    }

    /// The image of a version.
    pub(crate) fn image(&self, version: &str) -> &Image {
        self.images[version].get_or_init(|| image(version))
    }

    /// Loads the image of a version into all engines.
    pub(crate) fn load(&self, version: &str) {
        let image = self.image(version);
        std::thread::scope(|scope| {
            for n in 1..=self.frameworks {
                scope.spawn(move || self.host(n).load(image, &reference(version)).unwrap());
            }
        });
    }

    /// The words that make the container of host `n` as the spec has it, with these variables more.
    pub(crate) fn words(&self, n: usize, version: &str, more: &[&str]) -> String {
        let address = self.database.address();
        let mut env = vec![
            format!("MYSQL_HOST={}", address.ip()),
            format!("MYSQL_PORT={}", address.port()),
            "MYSQL_USER=setup".to_owned(),
            format!("MYSQL_ROOT_PASSWORD={SETUP}"),
            format!("SLAVE={}", n > 1),
            format!("DOMAIN={}", self.host(n).ip()),
        ];
        env.extend(more.iter().map(|&word| word.to_owned()));
        let env: String = env.iter().map(|word| format!(" -e {word}")).collect();
        format!(
            "--name {NAME} --pull never --restart always --net host --stop-timeout 60 \
             --log-opt max-size=100m --log-opt max-file=5 -v /data/tars:/data/tars{env} {}",
            reference(version)
        )
    }

    /// Host number `n`, counted from 1.
    pub(crate) fn host(&self, n: usize) -> &Host {
        self.cluster.host(n)
    }

    pub(crate) fn node(&self, n: usize) -> String {
        self.host(n).ip().to_string()
    }

    pub(crate) fn docker(&self, n: usize, line: &str) -> String {
        let said = self
            .host(n)
            .sh(&format!("docker -H unix:///run/docker.sock {line}"));
        said.unwrap_or_else(|e| panic!("docker {line}: {e}"))
    }

    /// Waits until the installation in the container of host `n` is over, however often it was started.
    #[track_caller]
    pub(crate) fn installed(&self, n: usize) {
        let script = format!(
            "since=$(docker inspect --format '{{{{.State.StartedAt}}}}' {NAME}); \
             docker logs --since \"$since\" {NAME} 2>&1 | grep -c 'install success' || :"
        );
        let log = format!("docker ps -a; docker logs --tail 20 {NAME} 2>&1 || :");
        let end = std::time::Instant::now() + PATIENCE;
        while self.host(n).sh(&script).unwrap() == "0" {
            if std::time::Instant::now() > end {
                panic!("host {n}: {}", self.host(n).sh(&log).unwrap());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until every container is installed and every component is seen to run.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        for n in 1..=self.frameworks {
            self.installed(n);
        }
        let mut last = String::new();
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            let ran = self.tarsops(["plan"]);
            if ran.code == 0 && ran.out.contains("Nothing to do") {
                return;
            }
            last.clone_from(&ran.out);
            last.push_str(&ran.err);
            assert!(std::time::Instant::now() < end, "never in sync: {last}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The spec of a version, to be changed.
    pub(crate) fn spec(&self, version: &str) -> Spec {
        let mut spec = self.cluster.spec();
        spec.nodes.clear();
        for n in 1..=self.cluster.hosts.len() {
            let role = match n {
                1 => ", roles: [master]",
                n if n <= self.frameworks => ", roles: [slave]",
                _ => "",
            };
            spec.node(format!("{{name: {}{role}}}", self.node(n)));
        }
        version.clone_into(&mut spec.version);
        spec.with_framework("deployment: docker");
        let registries = 1..=self.frameworks;
        spec.registries = registries
            .map(|n| format!("{}:17890", self.node(n)))
            .collect();
        "direct".clone_into(&mut spec.rpc);
        spec.with_rollout("registry_settle: 2s");
        spec.with_rollout("deadline: 60s");
        spec.more = format!(
            "docker:\n  image: {}\n  archive: ./framework-{version}.tar\n  \
             installer: {{user: setup, password: {{file: ./setup}}}}\n\
             database:\n  address: {}\n  user: ops\n  password: {{file: ./ops}}\n",
            reference(version),
            self.database.address()
        );
        spec
    }

    /// Writes the spec of a version and pins what it needs.
    pub(crate) fn ask_for(&self, version: &str) {
        self.machine
            .package(version, Layout::Full, Behaviour::Healthy);
        let archive = self.image(version).archive(&reference(version)).unwrap();
        self.machine
            .write(&format!("framework-{version}.tar"), archive);
        self.machine.spec(&self.spec(version));
        self.tarsops(["package", "lock"]).exits(0);
    }

    /// Runs the program to its end. Whatever it says, it never says a password.
    #[track_caller]
    pub(crate) fn tarsops<const N: usize>(&self, words: [&str; N]) -> Ran {
        let ran = self.machine.tarsops(words);
        ran.hides("s3cret");
        ran
    }

    /// Runs SQL as the database's root.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.database.root_sql(statements).unwrap()
    }

    /// A client that resolves over both registries.
    pub(crate) fn client(&self) -> Client {
        let registries = [1, 2].map(|n| format!("{}:17890", ip(n)));
        Client::start_in(&self.cluster.network, registries)
    }

    /// When the container of host `n` was started, for whoever asks whether somebody did it again.
    pub(crate) fn started(&self, n: usize) -> String {
        let format = "'{{.Id}} {{.State.StartedAt}} {{.State.Status}}'";
        self.docker(n, &format!("inspect --format {format} {NAME}"))
    }

    /// `wait_until` with this world's patience.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, done: impl FnMut() -> bool) {
        wait_until(what, PATIENCE, done);
    }
}
