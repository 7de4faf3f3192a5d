//! Clusters of any size, for what the planner costs: one for each kind of work that it may have.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    dead_code,
    unreachable_pub,
    reason = "shared by a test and the benchmark"
)]

use std::time::Duration;

use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Count, Resource};
use tarsops_model::framework::{AdapterRow, Answer, NodeLabels, ServerRow};
use tarsops_model::host::NodeState;
use tarsops_model::names::RunId;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::plan::Plan;
use tarsops_plan::record::Runs;
use tarsops_plan::render::{self, Style};
use tarsops_plan::saved::SavedPlan;
use tarsops_plan::{checker, effect, make_plan, rollback};

use super::framework::{list, rows, server_on, speaking};
use super::{World, binary, change, expansion, intent_of, run_id, version};

/// Something to plan.
pub struct Case {
    /// The cluster.
    pub world: World,
    /// What the hosts remember of the run that is rolled back; none where the cluster is brought to
    /// its spec.
    pub runs: Option<(RunId, Runs)>,
}

/// One kind of work.
pub struct Kind {
    /// What it is.
    pub name: &'static str,
    /// The cluster with so many nodes.
    pub make: fn(usize) -> Case,
    /// How many steps its plan has with so many nodes, about.
    pub steps: fn(usize) -> usize,
}

/// What a plan goes through, in this order.
pub const PHASES: [&str; 5] = ["plan", "check", "text", "save", "narrow"];

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "in sync",
        make: |n| planned(services(n)),
        steps: |_| 0,
    },
    Kind {
        name: "upgrade, batches of 10",
        make: |n| planned(upgrade(n)),
        steps: |n| n,
    },
    Kind {
        name: "upgrade, batches of half",
        make: |n| {
            let mut w = upgrade(n);
            w.desired.policy.max_parallel = Count::Percent(50);
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "upgrade, one by one",
        make: |n| {
            let mut w = upgrade(n);
            w.desired.policy.max_parallel = Count::Number(1);
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "upgrade, servants on two nodes each",
        make: |n| {
            let mut w = upgrade(n);
            for (i, row) in list(&mut rows(&mut w).adapters).iter_mut().enumerate() {
                row.servant = Some(format!("Demo.Pair{}.Obj{}", i / 4, i % 2));
            }
            w.desired.policy.max_parallel = Count::Percent(50);
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "installation",
        make: |n| {
            let mut w = World::new(n);
            (0..n).for_each(|i| w.uninstall(i));
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "expansion",
        make: |n| planned(expansion(n)),
        steps: |n| n * 9 / 10,
    },
    Kind {
        name: "labels",
        make: |n| {
            let mut w = services(n);
            for i in 0..n {
                w.host(i).labels = Some(NodeLabels {
                    label: Some("rack 7".to_owned()),
                    group_id: None,
                    row: None,
                });
            }
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "clones with one nodeid",
        make: |n| {
            let mut w = services(n);
            for i in 0..n {
                w.process(i).nodeid = Some("10.0.0.1".to_owned());
            }
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "clones with one machine-id",
        make: |n| {
            let mut w = services(n);
            for i in 0..n {
                w.host(i).machine_id = Observed::Present("0".repeat(32));
            }
            planned(w)
        },
        steps: |_| 0,
    },
    Kind {
        name: "nodes that are gone",
        make: |n| {
            let mut w = services(n);
            for i in 2..n - 2 {
                let node = &w.node(i);
                w.spec(i).state = NodeState::Gone;
                let framework = w.inventory.framework.as_mut().unwrap();
                let key = format!("tars.tarsnode.ServerObj@{node}");
                framework.servants.get_mut(&key).unwrap().answer = Answer::Refused;
                if let Observed::Present(admin) = &mut framework.admin {
                    admin.pings.insert(node.clone(), Observed::Present(false));
                }
            }
            let Observed::Present(all) = &mut rows(&mut w).nodes else {
                unreachable!()
            };
            all.values_mut()
                .for_each(|row| row.heartbeat_age = Some(9000));
            planned(w)
        },
        steps: |n| n - 3,
    },
    Kind {
        name: "nodes that are removed",
        make: |n| {
            let mut w = speaking(World::new(n));
            for i in 2..n {
                w.spec(i).state = NodeState::Absent { stop_servers: true };
            }
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "every node silent",
        make: |n| {
            let mut w = services(n);
            (0..n).for_each(|i| w.silence(i));
            planned(w)
        },
        steps: |_| 0,
    },
    Kind {
        name: "servants that do not answer",
        make: |n| {
            let mut w = services(n);
            let framework = w.inventory.framework.as_mut().unwrap();
            for asked in framework.servants.values_mut() {
                asked.answer = Answer::Refused;
            }
            planned(w)
        },
        steps: |_| 0,
    },
    Kind {
        name: "nodes that are not registered",
        make: |n| {
            let mut w = services(n);
            let Observed::Present(all) = &mut rows(&mut w).nodes else {
                unreachable!()
            };
            all.clear();
            planned(w)
        },
        steps: |n| n,
    },
    Kind {
        name: "nodes that the spec does not name",
        make: |n| {
            let mut w = services(n);
            for i in n / 2..n {
                let node = w.node(i);
                w.desired.resources.remove(&ResourceId::Host(node.clone()));
                w.desired.resources.remove(&ResourceId::Agent(node));
            }
            planned(w)
        },
        steps: |_| 0,
    },
    Kind {
        name: "rollback of an upgrade",
        make: undone,
        steps: |n| n,
    },
];

/// For how long this thread has been on a processor: other work shares the machine, and the clock on
/// the wall counts it.
pub fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn planned(world: World) -> Case {
    Case { world, runs: None }
}

/// A cluster in sync whose nodes have two services of users each.
pub fn services(count: usize) -> World {
    let mut w = speaking(World::new(count));
    for i in 0..count {
        let node = w.node(i);
        for one in 0..2 {
            let server = format!("Svc{}", (i + one) % 100);
            let row = ServerRow {
                application: "Demo".to_owned(),
                server: server.clone(),
                node: node.to_string(),
                setting: Some("active".to_owned()),
                present: Some("active".to_owned()),
                ..expansion::row_of(Component::Tarsconfig, &node)
            };
            let adapter = AdapterRow {
                application: "Demo".to_owned(),
                adapter: format!("Demo.{server}.ObjAdapter"),
                servant: Some(format!("Demo.{server}.Obj")),
                endpoint: Some(format!("tcp -h {node} -t 60000 -p 10000")),
                node: node.to_string(),
                server,
                ..AdapterRow::default()
            };
            w.facts(i).servers.push(row.full_name());
            let rows = rows(&mut w);
            list(&mut rows.servers).push(row);
            list(&mut rows.adapters).push(adapter);
        }
    }
    w
}

fn upgrade(count: usize) -> World {
    let mut w = services(count);
    w.agents().for_each(|a| a.version = version("3.0.18"));
    w
}

/// Every tenth node is a slave that has nothing but its tarsnode yet.
fn expansion(count: usize) -> World {
    let mut w = services(count);
    for component in expansion::COMPONENTS {
        w.catalog.insert(expansion::package_of(component));
    }
    for i in (1..count).step_by(10) {
        w.spec(i).role = Role::Slave;
        let node = w.node(i);
        for component in expansion::COMPONENTS {
            if component == Component::Tarsregistry {
                continue;
            }
            let server = server_on(&w, &node);
            let id = ResourceId::Server(component, node.clone());
            w.desired.resources.insert(id, Resource::Server(server));
            w.inventory
                .insert_server(component, &node, Observed::Absent);
        }
    }
    w
}

/// Every node has just been upgraded, and that is rolled back.
fn undone(count: usize) -> Case {
    let mut world = World::new(count);
    for i in 0..count {
        world.file(i).digest = binary("3.0.16");
        world.process(i).exe = Observed::Present(binary("3.0.16"));
    }
    let plan = world.plan();
    let mut intents = Vec::new();
    for step in &plan.steps {
        intents.push(intent_of(&world, step, change(step)));
        effect::apply(&mut world.inventory, &step.action);
    }
    let runs = super::recorded(&intents);
    Case {
        world,
        runs: Some((run_id(9), runs)),
    }
}

impl Case {
    /// Its plan.
    pub fn plan(&self) -> Plan {
        match &self.runs {
            None => make_plan(&self.world.input()),
            Some((run, runs)) => {
                let planned = rollback::plan(&self.world.input(), run, runs);
                planned.unwrap().plan
            }
        }
    }

    /// Takes a plan through all [`PHASES`]; `done` is called after each. How long its JSON is.
    pub fn walk(&self, mut done: impl FnMut(usize, &Plan)) -> usize {
        let plan = self.plan();
        done(0, &plan);
        let found = checker::check(&plan, &self.world.input());
        assert!(found.is_ok(), "{:?}", found.map_err(|all| all[0].clone()));
        done(1, &plan);
        assert!(!render::text(&plan, Style::default()).is_empty());
        done(2, &plan);
        let text = plan.to_json().unwrap();
        done(3, &plan);
        let saved = SavedPlan::from_json(&text).unwrap();
        let narrowed = saved.narrow(&plan, &std::collections::BTreeSet::new());
        assert_eq!(narrowed.unwrap().plan.steps.len(), plan.steps.len());
        done(4, &plan);
        text.len()
    }
}
