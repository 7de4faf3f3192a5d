//! The step that replaces a container, as the executor carries it out: what is known before anything stops,
//! the framework's word after the host's, what its rows get back, and the rollback.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::BoxFuture;
use tarsops_framework::{Order, Read, Unedited, Write};
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{Answer, DatabaseFacts, FrameworkFacts, NodeLabels, NodeRow, Rows};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_plan::action::{self as planned, Action, NewServers, RowEdit, Table, Undo};
use tarsops_plan::plan::{ChangeKind, Stage, Step};
use tarsops_plan::reset_rows::RowImage;
use tarsops_transport::mysql::{DatabaseError, Secret};

use super::super::*;
use super::world::{ADDRESS, NAME, PORT, Unheard, World, programs_of};
use crate::journal::Journal;
use crate::lease::{Lease, LeaseSpec};
use crate::look::look_at;
use crate::port::{Account, Hosts, Scripts};
use crate::progress::Interrupt;
use crate::replaced::{Ssh, alone, run_id};
use crate::run::{Run, place};
use crate::step;
use crate::verdict::{StepEnd, Verdict};

const SPEC: &str = "\
schema: tarsops/v1
cluster: test
framework: {version: 3.0.18, packages: './packages/{version}', deployment: docker}
docker: {image: 'framework:3.0.18', network: tars, installer: {password: {env: ROOT}}}
registry: {endpoints: ['172.25.0.3:17890']}
database: {address: '172.25.0.2:3306', user: tarsAdmin, password: {env: DB}}
nodes: [{name: 172.25.0.3, roles: [master]}]
";

fn desired() -> Desired {
    let base = tarsops_spec::Base {
        dir: "/spec".into(),
        home: None,
        processors: 2,
    };
    let parsed = tarsops_spec::parse(SPEC, "cluster.yaml").unwrap();
    let mut desired = parsed.lower(&base).unwrap().0;
    let policy = &mut desired.policy;
    (policy.settle, policy.registry_settle, policy.deadline) = (0, 1, 10);
    desired
}

/// A framework that is well or not, and has one row of its node's tarsnotify, which is inactive: each start
/// of a container sets it active, and writes it anew.
struct Framework<'a> {
    world: &'a World,
    well: AtomicBool,
    /// The orders that it was given, in their order.
    orders: Mutex<Vec<String>>,
}

impl Framework<'_> {
    fn note(&self, what: String) {
        self.orders.lock().unwrap().push(what);
    }

    fn facts(&self) -> Option<Box<FrameworkFacts>> {
        let well = self.well.load(Ordering::SeqCst);
        let state = if well { "active" } else { "inactive" };
        let node = NodeRow {
            name: ADDRESS.to_owned(),
            present: Some(state.to_owned()),
            ..NodeRow::default()
        };
        let unread = || "not read".to_owned();
        let rows = Rows {
            nodes: Observed::Present([(ADDRESS.to_owned(), node)].into()),
            servers: Observed::Present(vec![]),
            adapters: Observed::Unknown(unread()),
            registries: Observed::Unknown(unread()),
            templates: Observed::Unknown(unread()),
            columns: BTreeMap::new(),
            console: tarsops_model::console::ConsoleTables::default(),
        };
        let answer = if well {
            Answer::Answers
        } else {
            Answer::Refused
        };
        let registry: Endpoint = format!("{ADDRESS}:{PORT}").parse().unwrap();
        Some(Box::new(FrameworkFacts {
            servants: BTreeMap::new(),
            registries: [(registry, answer)].into(),
            admin: Observed::Absent,
            database: Observed::Present(DatabaseFacts {
                server: "a stand-in".to_owned(),
                protection: Observed::Absent,
                clock_skew: 0,
                read_only: Observed::Present(false),
                databases: BTreeMap::new(),
                rows: Observed::Present(rows),
                default_login: Observed::Unknown(unread()),
            }),
            console: Observed::Absent,
        }))
    }

    /// The row as the last start has left it.
    fn row(&self) -> RowImage {
        let starts = self.world.starts().len();
        let setting = if starts > 1 { "active" } else { "inactive" };
        let id = starts.to_string();
        let columns = [
            ("id", id.as_str()),
            ("application", "tars"),
            ("server_name", "tarsnotify"),
            ("node_name", ADDRESS),
            ("setting_state", setting),
            ("lastuser", "admin"),
        ];
        RowImage {
            table: Table::TServerConf,
            columns: columns
                .map(|(n, v)| (n.to_owned(), Some(v.to_owned())))
                .into(),
        }
    }
}

const NOT_HERE: &str = "this framework has no such thing";

fn none<T: Send + 'static>() -> BoxFuture<'static, Result<T, String>> {
    Box::pin(async { Err(NOT_HERE.to_owned()) })
}

impl Read for Framework<'_> {
    fn node<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async { self.facts() })
    }

    fn registry<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a Endpoint,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async { self.facts() })
    }

    fn server<'a>(
        &'a self,
        _: &'a NodeName,
        _: Component,
    ) -> BoxFuture<'a, Option<Box<FrameworkFacts>>> {
        Box::pin(async { self.facts() })
    }

    fn all(&self) -> BoxFuture<'_, Option<Box<FrameworkFacts>>> {
        Box::pin(async { self.facts() })
    }

    fn answers<'a>(&'a self, _: &'a Endpoint) -> BoxFuture<'a, bool> {
        Box::pin(async { self.well.load(Ordering::SeqCst) })
    }

    fn rows<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<String, String>> {
        none()
    }

    fn own_rows<'a>(&'a self, _: &'a NodeName) -> BoxFuture<'a, Result<Vec<RowImage>, String>> {
        Box::pin(async { Ok(vec![self.row()]) })
    }
}

impl Write for Framework<'_> {
    fn load<'a>(&'a self, _: &'a NodeName, _: Component) -> BoxFuture<'a, Result<(), String>> {
        none()
    }

    fn label<'a>(
        &'a self,
        _: &'a NodeName,
        _: &'a NodeLabels,
    ) -> BoxFuture<'a, Result<bool, String>> {
        none()
    }

    fn deactivate<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        none()
    }

    fn put_back<'a>(
        &'a self,
        _: &'a str,
        _: &'a NodeName,
        _: Component,
    ) -> BoxFuture<'a, Result<u64, String>> {
        none()
    }

    fn delete<'a>(&'a self, _: &'a Action) -> BoxFuture<'a, Result<u64, String>> {
        none()
    }

    fn add<'a>(&'a self, _: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        none()
    }

    fn take_out<'a>(&'a self, _: &'a NewServers) -> BoxFuture<'a, Result<u64, String>> {
        none()
    }

    fn edit<'a>(&'a self, _: &'a [RowEdit]) -> BoxFuture<'a, Result<Vec<bool>, Unedited>> {
        Box::pin(async { Err(Unedited::Failed(NOT_HERE.to_owned())) })
    }

    fn order<'a>(
        &'a self,
        _: &'a NodeName,
        component: Component,
        order: Order,
    ) -> BoxFuture<'a, Result<(), String>> {
        // After how many starts of a container it was ordered.
        let starts = self.world.starts().len();
        self.note(format!("{order:?} {component} after start {starts}"));
        Box::pin(async { Ok(()) })
    }
}

/// An account that the database lets in, or not.
struct Login(Secret, bool);

impl Account for Login {
    fn user(&self) -> &str {
        "root"
    }

    fn password(&self) -> &Secret {
        &self.0
    }

    fn reach(&self, _: Duration) -> BoxFuture<'_, Result<(), DatabaseError>> {
        let at: Endpoint = "172.25.0.2:3306".parse().unwrap();
        let answer = self.1.then_some(()).ok_or(DatabaseError::TimedOut(at));
        Box::pin(async { answer })
    }
}

struct Nothing;

impl crate::port::Payloads for Nothing {
    fn file(
        &self,
        _: Component,
        _: tarsops_model::version::Version,
        _: &str,
        _: &Digest,
    ) -> Result<std::path::PathBuf, String> {
        Err("no package is needed here".to_owned())
    }
}

/// How a run goes on.
#[derive(Clone, Copy)]
struct Case {
    number: u64,
    /// Whether the database lets the account of the installation in.
    login: bool,
    /// Whether the framework is well once the new container runs.
    well: bool,
    stop_on_failure: bool,
}

/// Has the executor replace what is there by a container of 3.0.18.
fn carried_out(world: &World, case: Case) -> (StepEnd, Vec<String>) {
    alone(async {
        let desired = desired();
        let node: NodeName = ADDRESS.parse().unwrap();
        let ssh = Ssh::to(&world.hosts, &format!("root@{}", world.host.ip()));
        let hosts: Arc<dyn Hosts> = Arc::new(Scripts::over(Arc::new(ssh)));
        let id = run_id(case.number);
        let lease = LeaseSpec {
            master: desired.master.clone(),
            place: place(&desired, &desired.master),
            run: id.clone(),
            holder: "a test".to_owned(),
            spec: desired.spec_digest,
        };
        let lease = Lease::acquire(Arc::clone(&hosts), lease).await.unwrap();
        let framework = Framework {
            world,
            well: AtomicBool::new(true),
            orders: Mutex::default(),
        };
        let interrupt = Interrupt::default();
        let clock = || 0;
        let run = Run {
            id,
            holder: "a test".to_owned(),
            desired: &desired,
            connect: hosts,
            payloads: &Nothing,
            lease: &lease,
            progress: &Unheard,
            interrupt: &interrupt,
            clock: &clock,
            look_deadline: Duration::from_secs(20),
            stop_on_failure: case.stop_on_failure,
            journal: tokio::sync::Mutex::new(Journal::none()),
            watch: &framework,
            database: None,
            installer: Some(Arc::new(Login(Secret::new("s3cret"), case.login))),
            publish: None,
            spool: std::path::PathBuf::new(),
        };
        let step = step_of(&run, &node, world).await;
        framework.well.store(true, Ordering::SeqCst);
        let end = {
            let work = step::run(&run, &step, 0);
            // The framework falls ill with the start of the new container, and is well with the old one.
            let ill = async {
                loop {
                    let is_new = world.there().image == world.id_of("3.0.18");
                    framework.well.store(case.well || !is_new, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            };
            tokio::select! {
                end = work => end,
                () = ill => unreachable!(),
            }
        };
        drop(run);
        lease.release().await;
        let orders = framework.orders.into_inner().unwrap();
        (end, orders)
    })
}

/// The step, of what is there now.
async fn step_of(run: &Run<'_>, node: &NodeName, world: &World) -> Step {
    let seen = look_at(run, node).await.unwrap();
    let host = seen.host(node);
    let host = host.present().unwrap();
    let wanted = run.desired.container(node).unwrap();
    let hex = |id: &str| id.trim_start_matches("sha256:").parse::<Digest>().unwrap();
    let there = world.there();
    let mut creation = planned::ContainerCreation::of(wanted, hex(&world.id_of("3.0.18")));
    creation.mounts.retain(|place, _| place == "/data/tars");
    let change = planned::ReplaceContainer {
        node: node.clone(),
        machine_id: host.machine_id.present().unwrap().clone(),
        socket: wanted.socket.clone(),
        name: wanted.name.clone(),
        old: planned::ReplacedContainer {
            id: there.id.clone(),
            image: hex(&there.image),
            ran: true,
            programs: programs_of("3.0.17"),
            console: Some("3.0.15".parse().unwrap()),
        },
        new: planned::NewContainer::Create(creation),
        programs: programs_of("3.0.18"),
        ports: [PORT].into(),
        stop_timeout: 10,
        console: Some("3.0.15".parse().unwrap()),
    };
    let (pre, post) = (change.preconditions(), change.postconditions());
    let action: Action = change.into();
    Step {
        id: format!("container@{node}"),
        stage: Stage::Containers,
        batch: 0,
        needs: vec![],
        resource: action.kind().resource(),
        sign: ChangeKind::Change,
        summary: "replace the container".to_owned(),
        action,
        pre,
        post,
        undo: Undo::Restore,
    }
}

const GOOD: Case = Case {
    number: 1,
    login: true,
    well: true,
    stop_on_failure: false,
};

#[test]
fn a_step_replaces_a_container_and_gives_its_rows_back() {
    let world = World::new();
    let old = world.there();

    // Nothing stops before the account is let in.
    let case = Case {
        login: false,
        ..GOOD
    };
    let (end, _) = carried_out(&world, case);
    assert!(
        matches!(&end.verdict, Verdict::NotStarted(why) if why.contains("its account root does not reach")),
        "{end:#?}"
    );
    assert_eq!((world.there(), world.starts().len()), (old.clone(), 1));

    // The framework's word counts: what is wrong with it goes back, and its rows with it.
    let case = Case {
        number: 2,
        well: false,
        ..GOOD
    };
    let (end, orders) = carried_out(&world, case);
    assert!(
        matches!(&end.verdict, Verdict::RolledBack(why) if why.contains("the host is healthy, and after 10 s")),
        "{end:#?}"
    );
    assert_eq!(world.there().id, old.id);
    assert_eq!(world.sound(), Ok("3.0.17"));
    // The start of either container has started what was stopped.
    let stops = [2, 3].map(|n| format!("Stop tarsnotify after start {n}"));
    assert_eq!(orders, stops);
}

#[test]
fn a_step_is_done_once_its_rows_are_back_and_is_not_done_twice() {
    let world = World::new();
    let (end, orders) = carried_out(&world, GOOD);
    assert_eq!(end.verdict, Verdict::Done, "{end:#?}");
    assert_eq!(world.sound(), Ok("3.0.18"));
    assert_eq!(orders, ["Stop tarsnotify after start 2"]);
    assert!(end.intent.is_some_and(|i| i.container().is_some()));
    // What was replaced stays for a rollback, as the spec says.
    assert!(
        world
            .containers()
            .keys()
            .any(|name| name.starts_with(&format!("{NAME}.old-")))
    );
    assert_eq!(world.starts().len(), 2);
}
