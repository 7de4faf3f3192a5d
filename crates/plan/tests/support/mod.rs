//! A cluster in sync with its spec, for tests to damage.
//!
//! The texts are shaped like the shipped ones and filled in here by plain replacement, so that the
//! planner's own editing is not tested against itself.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files and the benchmark, each of which uses another part"
)]

pub mod core;
pub mod damage;
pub mod docker;
pub mod expansion;
pub mod framework;
pub mod growth;
pub mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use tarsops_model::agent::{
    Agent, AgentFacts, FileFact, Monitor, OwnerFact, ProcessFact, SERVER_OBJ_PORT, TextFact,
};
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Count, Desired, PackageSource, Policy, Rebuild, Resource, Rpc};
use tarsops_model::digest::Digest;
use tarsops_model::host::{Host, HostFacts, NodeState, Unfinished};
use tarsops_model::inventory::{Facts, Inventory};
use tarsops_model::names::{AbsPath, Endpoint, NodeName, RunId, StepName, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::package::{Catalog, Layout, PackageContents, PackageFile, PackagePin};
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;
use tarsops_plan::action::{Action, FileChange, HostChange, Modify, Operation, Owner, RowEdit};
use tarsops_plan::assess::Prepared;
use tarsops_plan::finding::RuleName;
use tarsops_plan::intent::{By, Changed, CrontabLeft, HostChanged, Intent};
use tarsops_plan::plan::{Plan, Step};
use tarsops_plan::record::{Ended, Record, Runs};
use tarsops_plan::restore;
use tarsops_plan::{PlanInput, Scope, make_plan};

pub const INSTALL: &str = "/usr/local/app";
pub const TARS: &str = "/usr/local/app/tars";
pub const USER: &str = "tars";
/// 2026-11-20, 12:00 UTC.
pub const NOW: i64 = 1_795_176_000;
/// What the in-sync cluster runs.
pub const VERSION: &str = "3.0.17";
/// Versions that the catalog has, contents included.
pub const VERSIONS: [&str; 3] = ["3.0.16", "3.0.17", "3.0.18"];
pub const SCRIPTS: [&str; 4] = ["execute.sh", "monitor.sh", "start.sh", "stop.sh"];

const CONF: &str = "<tars>
  <application>
    enableset=n
    setdivision=NULL
    <client>
      # where names are resolved
      locator=tars.tarsregistry.QueryObj@registryAddress
      sync-invoke-timeout=6000
      modulename=tars.tarsnode
    </client>
    <server>
      app=tars
      server=tarsnode
      localip=localip.tars.com
      local=tcp -h 127.0.0.1 -p 19387 -t 10000
      basepath=TARS_PATH/tarsnode/bin
      datapath=TARS_PATH/tarsnode/data
      logpath=TARS_PATH/app_log
      <NodeAdapter>
        endpoint=tcp -h localip.tars.com -p 19385 -t 60000
        servant=tars.tarsnode.NodeObj
        threads=5
      </NodeAdapter>
      <ServerAdapter>
        endpoint=tcp -h localip.tars.com -p 19386 -t 60000
        servant=tars.tarsnode.ServerObj
        threads=5
      </ServerAdapter>
    </server>
  </application>
  <node>
    registryObj=tars.tarsregistry.RegistryObj
    <keepalive>
      heartTimeout=45
    </keepalive>
  </node>
</tars>
";
const EXECUTE: &str = "#!/bin/bash
bin=TARS_PATH/$1/bin/$1
case $2 in
start)
  echo \"starting $bin --nodeid=localip.tars.com\"
  $bin --config=TARS_PATH/$1/conf/tars.$1.config.conf --nodeid=\"localip.tars.com\" &
  ;;
stop)
  kill -9 $(pgrep -f \"$bin\")
  ;;
esac
";
const START: &str = "#!/bin/bash\nsh TARS_PATH/tarsnode/util/execute.sh tarsnode start\n";
const STOP: &str = "#!/bin/bash\nsh TARS_PATH/tarsnode/util/execute.sh tarsnode stop\n";
const MONITOR: &str = "#!/bin/bash
cd TARS_PATH/tarsnode/util
TARS_PATH/tarsnode/bin/tarsnode --monitor --config=TARS_PATH/tarsnode/conf/tars.tarsnode.config.conf
[ $? = 0 ] || sh TARS_PATH/tarsnode/util/start.sh
";

pub fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// The digest of the binary of a version.
pub fn binary(version: &str) -> Digest {
    Digest::of(format!("tarsnode {version}").as_bytes())
}

pub fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// The rule with this name, which must be registered.
pub fn rule(name: &str) -> RuleName {
    name.parse().unwrap()
}

pub fn run_id(n: u64) -> RunId {
    RunId::from_parts(n, 7)
}

pub fn package(text: &str) -> PackageContents {
    let file = |path: &str, mode, body: &str| PackageFile {
        path: path.to_owned(),
        mode,
        size: body.len() as u64,
        digest: Digest::of(body.as_bytes()),
        text: Some(body.to_owned()),
    };
    let bin = PackageFile {
        path: "bin/tarsnode".to_owned(),
        mode: 0o755,
        size: 20 << 20,
        digest: binary(text),
        text: None,
    };
    PackageContents {
        pin: PackagePin {
            component: Component::Tarsnode,
            version: version(text),
            layout: Layout::Deploy,
            source: format!("packages/{text}"),
            archive: None,
            archive_size: None,
            binary: bin.digest,
            binary_size: bin.size,
            contents: Digest::of(text.as_bytes()),
        },
        files: vec![
            bin,
            file("conf/tars.tarsnode.config.conf", 0o644, CONF),
            file("data/lib/README.md", 0o644, "nothing here is installed"),
            file("util/check.sh", 0o644, MONITOR),
            file("util/execute.sh", 0o644, EXECUTE),
            // As a checkout without execute bits leaves it.
            file("util/monitor.sh", 0o644, MONITOR),
            file("util/start.sh", 0o755, START),
            file("util/stop.sh", 0o755, STOP),
        ],
    }
}

/// The digest of the binary of a version of a component other than tarsnode.
pub fn core_binary(component: Component, version: &str) -> Digest {
    Digest::of(format!("{component} {version}").as_bytes())
}

/// The pinned program of a component other than tarsnode.
pub fn core_package(component: Component, text: &str) -> PackageContents {
    let digest = core_binary(component, text);
    PackageContents {
        pin: PackagePin {
            component,
            version: version(text),
            layout: Layout::Bundle,
            source: "framework.tgz".to_owned(),
            archive: None,
            archive_size: None,
            binary: digest,
            binary_size: 30 << 20,
            contents: Digest::of(text.as_bytes()),
        },
        files: vec![PackageFile {
            path: format!("bin/{component}"),
            mode: 0o755,
            size: 30 << 20,
            digest,
            text: None,
        }],
    }
}

/// A spec, its packages, and what is seen.
#[derive(Debug, Clone)]
pub struct World {
    pub desired: Desired,
    pub catalog: Catalog,
    pub inventory: Inventory,
    pub scope: Scope,
    pub now: i64,
}

/// The address of the `i`th node, from 1.
pub fn address(i: usize) -> String {
    format!("10.0.{}.{}", i / 250, i % 250 + 1)
}

impl World {
    /// `count` nodes in sync: a master, a slave where there are two, plain nodes.
    pub fn new(count: usize) -> Self {
        let registries: BTreeSet<Endpoint> = (0..count.min(2))
            .map(|i| format!("{}:17890", address(i)).parse().unwrap())
            .collect();
        let mut world = Self {
            desired: Desired {
                cluster: "prod".parse().unwrap(),
                spec_digest: Digest::of(b"spec"),
                rebuild: Rebuild::Never,
                install_path: AbsPath::new(INSTALL).unwrap(),
                run_user: UserName::new(USER).unwrap(),
                change_run_user: false,
                resources: BTreeMap::new(),
                access: BTreeMap::new(),
                registries,
                master: name(&address(0)),
                packages: PackageSource::Folder("packages/{version}".to_owned()),
                versions: [(Component::Tarsnode, version(VERSION))].into(),
                policy: Policy {
                    max_parallel: Count::Number(10),
                    ..Policy::default()
                },
                rpc: Rpc::Direct,
                parallel: 16,
                keep: None,
            },
            catalog: Catalog::default(),
            inventory: Inventory {
                observed_at: NOW,
                ..Inventory::default()
            },
            scope: Scope::default(),
            now: NOW,
        };
        for version in VERSIONS {
            world.catalog.insert(package(version));
        }
        for i in 0..count {
            let role = match i {
                0 => Role::Master,
                1 => Role::Slave,
                _ => Role::Node,
            };
            world.add(&address(i), &address(i), role);
        }
        world
    }

    /// Adds a node in sync.
    pub fn add(&mut self, node: &str, ip: &str, role: Role) {
        let node = name(node);
        let ip: IpAddr = ip.parse().unwrap();
        self.desired.resources.insert(
            ResourceId::Host(node.clone()),
            Resource::Host(Host {
                ip,
                role,
                labels: BTreeMap::new(),
                state: NodeState::Present,
            }),
        );
        let agent = Agent {
            version: version(VERSION),
            tars_path: AbsPath::new(TARS).unwrap(),
            nodeid: node.clone(),
            ip,
            locator: self.desired.registries.clone(),
            run_user: UserName::new(USER).unwrap(),
            create_run_user: false,
            monitor: Monitor::Cron,
            replace_unknown: false,
            allow_downgrade: false,
        };
        let facts = in_sync(&agent);
        self.desired.resources.insert(
            ResourceId::Agent(node.clone()),
            Resource::Agent(Box::new(agent)),
        );
        self.inventory.insert(
            &node,
            Observed::Present(host_facts(&node, ip)),
            Observed::Present(facts),
        );
    }

    pub fn input(&self) -> PlanInput<'_> {
        PlanInput {
            desired: &self.desired,
            inventory: &self.inventory,
            catalog: &self.catalog,
            scope: &self.scope,
            now: self.now,
        }
    }

    pub fn plan(&self) -> Plan {
        make_plan(&self.input())
    }

    pub fn node(&self, i: usize) -> NodeName {
        name(&address(i))
    }

    pub fn spec(&mut self, i: usize) -> &mut Host {
        let id = ResourceId::Host(self.node(i));
        match self.desired.resources.get_mut(&id) {
            Some(Resource::Host(h)) => h,
            _ => panic!("no host {id}"),
        }
    }

    pub fn agent(&mut self, i: usize) -> &mut Agent {
        let id = ResourceId::Agent(self.node(i));
        match self.desired.resources.get_mut(&id) {
            Some(Resource::Agent(a)) => a,
            _ => panic!("no agent {id}"),
        }
    }

    pub fn agents(&mut self) -> impl Iterator<Item = &mut Agent> {
        self.desired.resources.values_mut().filter_map(|r| match r {
            Resource::Agent(a) => Some(&mut **a),
            _ => None,
        })
    }

    pub fn host(&mut self, i: usize) -> &mut HostFacts {
        let id = ResourceId::Host(self.node(i));
        match self.inventory.resources.get_mut(&id) {
            Some(Observed::Present(Facts::Host(h))) => h,
            _ => panic!("{id} was not seen"),
        }
    }

    pub fn facts(&mut self, i: usize) -> &mut AgentFacts {
        let id = ResourceId::Agent(self.node(i));
        match self.inventory.resources.get_mut(&id) {
            Some(Observed::Present(Facts::Agent(a))) => a,
            _ => panic!("{id} was not seen"),
        }
    }

    /// As [`World::facts`], by the node's name.
    pub fn facts_of(&mut self, node: &str) -> &mut AgentFacts {
        let id = ResourceId::Agent(name(node));
        match self.inventory.resources.get_mut(&id) {
            Some(Observed::Present(Facts::Agent(a))) => a,
            _ => panic!("{id} was not seen"),
        }
    }

    /// The one process on a node.
    pub fn process(&mut self, i: usize) -> &mut ProcessFact {
        match &mut self.facts(i).processes {
            Observed::Present(all) => all.first_mut().unwrap(),
            _ => panic!("its processes were not seen"),
        }
    }

    pub fn conf(&mut self, i: usize) -> &mut TextFact {
        match &mut self.facts(i).conf {
            Observed::Present(conf) => conf,
            _ => panic!("its configuration was not seen"),
        }
    }

    pub fn script(&mut self, i: usize, script: &str) -> &mut TextFact {
        match self.facts(i).util.get_mut(script) {
            Some(Observed::Present(text)) => text,
            _ => panic!("{script} was not seen"),
        }
    }

    pub fn file(&mut self, i: usize) -> &mut FileFact {
        match &mut self.facts(i).binary {
            Observed::Present(file) => file,
            _ => panic!("its binary was not seen"),
        }
    }

    pub fn owner(&mut self, i: usize) -> &mut OwnerFact {
        match &mut self.facts(i).folder {
            Observed::Present(folder) => folder,
            _ => panic!("its folder was not seen"),
        }
    }

    /// The node's tarsnode, folder and all, is gone.
    pub fn uninstall(&mut self, i: usize) {
        let node = self.node(i);
        self.host(i).crontab = Observed::Absent;
        self.inventory
            .resources
            .insert(ResourceId::Agent(node), Observed::Absent);
    }

    /// The host does not answer.
    pub fn silence(&mut self, i: usize) {
        let node = self.node(i);
        let why = "connection timed out".to_owned();
        self.inventory.insert(
            &node,
            Observed::Unknown(why.clone()),
            Observed::Unknown(why),
        );
    }

    /// A change of some run that has no verdict.
    pub fn leave_unfinished(&mut self, i: usize, alive: bool) {
        self.host(i).unfinished = Some(Unfinished {
            run: run_id(5),
            step: StepName::of("tarsnode.change"),
            alive,
        });
    }
}

/// `text` of a package as it is on a node.
pub fn filled(text: &str, agent: &Agent) -> String {
    let locator: Vec<String> = agent
        .locator
        .iter()
        .map(|e| format!("tcp -h {} -p {}", e.host, e.port))
        .collect();
    text.replace(
        "--nodeid=localip.tars.com",
        &format!("--nodeid={}", agent.nodeid),
    )
    .replace(
        "--nodeid=\"localip.tars.com\"",
        &format!("--nodeid=\"{}\"", agent.nodeid),
    )
    .replace("localip.tars.com", &agent.ip.to_string())
    .replace("registryAddress", &locator.join(":"))
    .replace("TARS_PATH", TARS)
}

/// The monitor's line as tarsops writes it.
pub fn monitor_line() -> String {
    format!("* * * * * {TARS}/tarsnode/util/monitor.sh >/dev/null 2>&1\n")
}

pub fn in_sync(agent: &Agent) -> AgentFacts {
    let package = package(&agent.version.to_string());
    let text = |path: &str, mode| {
        let shipped = package.file(path).and_then(|f| f.text.as_deref());
        Observed::Present(TextFact {
            text: filled(shipped.unwrap(), agent),
            mode,
            owner: USER.to_owned(),
        })
    };
    AgentFacts {
        folder: Observed::Present(OwnerFact {
            owner: USER.to_owned(),
            mode: 0o755,
            strangers: vec![],
        }),
        binary: Observed::Present(FileFact {
            digest: package.pin.binary,
            size: package.pin.binary_size,
            mode: 0o755,
            owner: USER.to_owned(),
        }),
        conf: text("conf/tars.tarsnode.config.conf", 0o644),
        util: SCRIPTS
            .iter()
            .map(|s| ((*s).to_owned(), text(&format!("util/{s}"), 0o755)))
            .collect(),
        generated_conf: false,
        processes: Observed::Present(vec![ProcessFact {
            pid: 4711,
            exe: Observed::Present(package.pin.binary),
            exe_deleted: false,
            user: USER.to_owned(),
            nodeid: Some(agent.nodeid.to_string()),
            config: Some(format!("{TARS}/tarsnode/conf/tars.tarsnode.config.conf")),
        }]),
        listening: Observed::Present(true),
        servers: vec![],
    }
}

pub fn host_facts(node: &NodeName, ip: IpAddr) -> HostFacts {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    HostFacts {
        machine_id: Observed::Present(
            Digest::of(node.as_str().as_bytes()).to_string()[..32].into(),
        ),
        boot_id: Observed::Present("5e1f".to_owned()),
        uptime: None,
        runs_from: None,
        hostname: format!("h-{node}"),
        interfaces: Observed::Present([loopback, ip].into()),
        clock_skew: 0,
        user: "root".to_owned(),
        is_root: true,
        run_user: Observed::Present(()),
        disk_free: Observed::Present(50 << 30),
        writable: Observed::Present(true),
        tools: ["crontab", "flock", "setsid", "openssl", "stat", "find"]
            .map(|t| (t.to_owned(), true))
            .into(),
        crontab: Observed::Present(monitor_line()),
        other_crontabs: BTreeMap::new(),
        fence: None,
        unfinished: None,
        lease: None,
        staged: BTreeSet::new(),
        components: Observed::Present(BTreeSet::new()),
        installed: Observed::Present(BTreeSet::new()),
        labels: None,
        restarts: BTreeSet::new(),
        ports: Observed::Present(BTreeSet::new()),
        unsafe_state: None,
        impostors: BTreeMap::new(),
        docker: None,
        digests_remembered: false,
    }
}

/// The configuration as a running tarsnode writes it again: no comments, the registries of the rows
/// twice, the NodeAdapter gone, its nodeid as the address.
pub fn rewritten(nodeid: &str, registries: &[&str]) -> String {
    let mut locator = Vec::new();
    for registry in registries.iter().chain(registries) {
        let (host, port) = registry.split_once(':').unwrap();
        locator.push(format!("tcp -h {host} -p {port}"));
    }
    format!(
        "<tars>\n\t<application>\n\t\t<client>\n\t\t\tlocator=tars.tarsregistry.QueryObj@{}\n\t\t</client>\n\t\t<server>\n\t\t\tlocalip={nodeid}\n\t\t\t<ServerAdapter>\n\t\t\t\tendpoint=tcp -h {nodeid} -p {SERVER_OBJ_PORT} -t 60000\n\t\t\t\tservant=tars.tarsnode.ServerObj\n\t\t\t</ServerAdapter>\n\t\t</server>\n\t</application>\n</tars>\n",
        locator.join(":")
    )
}

/// An operation that changes files and restarts or not.
pub fn modify(files: Vec<FileChange>, restart: bool) -> Operation {
    Operation::Modify(Modify {
        files,
        owner: Owner::Unchanged,
        restart,
        crontab: None,
        labels: None,
    })
}

/// What hosts remember of a run whose steps have all succeeded.
pub fn recorded(intents: &[Intent]) -> Runs {
    let mut runs = Runs::new();
    for intent in intents {
        runs.entry(intent.run.clone()).or_default().push(Record {
            node: intent.resource.node().unwrap().clone(),
            run: intent.run.clone(),
            step: intent.step.clone(),
            intent: Some(intent.clone()),
            mismatch: None,
            ended: Ended::Ok,
            text: String::new(),
            gate: String::new(),
        });
    }
    runs
}

/// The rows that a change edits.
pub fn edits_of(change: &mut HostChange) -> &mut Vec<RowEdit> {
    match &mut change.operation {
        Operation::Publish(publish) => &mut publish.rows,
        Operation::Restart(restart) => &mut restart.rows,
        Operation::Restore(restore) => &mut restore.rows,
        other => panic!("it edits no rows: {other:?}"),
    }
}

/// The change of a step that changes a host.
pub fn change(step: &Step) -> &HostChange {
    match &step.action {
        Action::ChangeHost(change) => change,
        _ => panic!("{} changes nothing", step.id),
    }
}

/// What a host remembers of a step of run 9 that changes no crontab.
pub fn intent_of(world: &World, step: &Step, change: &HostChange) -> Intent {
    intent_left(world, step, change, CrontabLeft::Unchanged)
}

/// What a host remembers of a step of run 9 that leaves its crontab so.
pub fn intent_left(world: &World, step: &Step, change: &HostChange, left: CrontabLeft) -> Intent {
    recorded_as(world, step, Changed::host(change, left))
}

/// What is remembered of a step of run 9 that changes this.
pub fn recorded_as(world: &World, step: &Step, changed: Changed) -> Intent {
    let by = By {
        cluster: world.desired.cluster.clone(),
        run: run_id(9),
        holder: "me@here".to_owned(),
        spec_digest: world.desired.spec_digest,
        started_at: NOW,
    };
    Intent::of(step, by, changed)
}

/// What a record says of its host.
pub fn host_of(intent: &Intent) -> &HostChanged {
    match &intent.changed {
        Changed::Host(host) => host,
        other => panic!("it is no record of a host: {other:?}"),
    }
}

/// The same, to be altered.
pub fn host_in(intent: &mut Intent) -> &mut HostChanged {
    match &mut intent.changed {
        Changed::Host(host) => host,
        other => panic!("it is no record of a host: {other:?}"),
    }
}

/// What rolls a change of a host back.
pub fn restoring(
    intent: &Intent,
    inventory: &Inventory,
    known: restore::Known,
) -> Result<Prepared, restore::CannotRollBack> {
    restore::rollback_step(intent, host_of(intent), inventory, known)
}
