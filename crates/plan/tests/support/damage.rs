//! Everything that may be wrong with a node, and with what the spec asks of it.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use proptest::prelude::*;
use tarsops_model::agent::{AgentFacts, Monitor};
use tarsops_model::desired::Count;
use tarsops_model::digest::Digest;
use tarsops_model::host::{HostFacts, NodeState};
use tarsops_model::inventory::Facts;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::*;

/// How many kinds of [`damage`] there are.
pub const KINDS: u8 = 53;
/// How many facts [`blind`] knows.
pub const SIGHTS: u8 = 18;

/// Sizes of first batches; none where every batch is of one size.
fn ramp() -> impl Strategy<Value = Vec<Count>> {
    let count = prop_oneof![
        (1u32..5).prop_map(Count::Number),
        (1u8..100).prop_map(Count::Percent)
    ];
    prop_oneof![
        2 => Just(vec![]),
        1 => prop::collection::vec(count, 1..4),
    ]
}

/// A cluster with a few things wrong.
pub fn worlds() -> impl Strategy<Value = World> {
    let damages = prop::collection::vec((0..KINDS, any::<prop::sample::Index>()), 0..7);
    let policy = (1u32..5, 0u32..3, any::<bool>(), ramp());
    (1usize..7, damages, policy).prop_map(|(count, damages, (parallel, canary, upgrade, ramp))| {
        let mut world = World::new(count);
        // A node that is not named by its address.
        world.add("gw-7", "10.0.9.7", Role::Node);
        world.desired.policy.max_parallel = Count::Number(parallel);
        world.desired.policy.canary = canary;
        world.desired.policy.ramp = ramp;
        if upgrade {
            world.agents().for_each(|a| a.version = version("3.0.18"));
        }
        let nodes: Vec<NodeName> = world.desired.hosts().map(|(n, _)| n.clone()).collect();
        for (kind, at) in damages {
            damage(&mut world, at.get(&nodes), kind);
        }
        world
    })
}

pub fn agent_of<'a>(world: &'a mut World, node: &NodeName) -> Option<&'a mut AgentFacts> {
    let id = ResourceId::Agent(node.clone());
    match world.inventory.resources.get_mut(&id) {
        Some(Observed::Present(Facts::Agent(facts))) => Some(facts),
        _ => None,
    }
}

pub fn host_of<'a>(world: &'a mut World, node: &NodeName) -> Option<&'a mut HostFacts> {
    let id = ResourceId::Host(node.clone());
    match world.inventory.resources.get_mut(&id) {
        Some(Observed::Present(Facts::Host(facts))) => Some(facts),
        _ => None,
    }
}

fn in_text(fact: Option<&mut Observed<TextFact>>, change: impl FnOnce(&mut TextFact)) {
    if let Some(Observed::Present(text)) = fact {
        change(text);
    }
}

fn wanted(world: &mut World, node: &NodeName, change: impl FnOnce(&mut Agent)) {
    let id = ResourceId::Agent(node.clone());
    if let Some(Resource::Agent(agent)) = world.desired.resources.get_mut(&id) {
        change(agent);
    }
}

fn state(world: &mut World, node: &NodeName, new: NodeState) {
    let id = ResourceId::Host(node.clone());
    if let Some(Resource::Host(host)) = world.desired.resources.get_mut(&id) {
        // The grammar refuses it for the master.
        if host.role != Role::Master {
            host.state = new;
        }
    }
}

/// What somebody, or something, did to the node or to its part of the spec.
pub fn damage(world: &mut World, node: &NodeName, kind: u8) {
    let monitor = monitor_line();
    match kind {
        // The spec.
        0 => wanted(world, node, |a| a.version = version("3.0.16")),
        1 => wanted(world, node, |a| a.version = version("3.0.18")),
        2 => wanted(world, node, |a| a.version = version("9.9.9")),
        3 => wanted(world, node, |a| a.allow_downgrade = true),
        4 => wanted(world, node, |a| a.replace_unknown = true),
        5 => wanted(world, node, |a| a.create_run_user = true),
        6 => wanted(world, node, |a| a.monitor = Monitor::None),
        7 => wanted(world, node, |a| {
            a.locator.insert("10.0.0.9:17890".parse().unwrap());
        }),
        8 => wanted(world, node, |a| {
            a.run_user = UserName::new("other").unwrap();
        }),
        9 | 10 => state(
            world,
            node,
            NodeState::Absent {
                stop_servers: kind == 10,
            },
        ),
        11 => state(
            world,
            node,
            NodeState::Maintenance {
                reason: None,
                until: None,
            },
        ),
        12 => state(world, node, NodeState::Gone),
        // The host as a whole.
        13 => {
            let why = "connection timed out".to_owned();
            let agent = Observed::Unknown(why.clone());
            world.inventory.insert(node, Observed::Unknown(why), agent);
        }
        14 | 15 => {
            if let Some(host) = host_of(world, node) {
                host.crontab = if kind == 14 {
                    Observed::Absent
                } else {
                    Observed::Present("MAILTO=ops\n0 4 * * * /opt/backup".to_owned())
                };
                let id = ResourceId::Agent(node.clone());
                world.inventory.resources.insert(id, Observed::Absent);
            }
        }
        16..=31 => {
            if let Some(host) = host_of(world, node) {
                on_host(host, kind, &monitor);
            }
        }
        _ => {
            if let Some(facts) = agent_of(world, node) {
                on_agent(facts, kind);
            }
        }
    }
}

fn on_host(host: &mut HostFacts, kind: u8, monitor: &str) {
    let crontab = |text: String| Observed::Present(text);
    match kind {
        16 => host.crontab = Observed::Absent,
        17 => host.crontab = crontab(format!("{monitor}# kept\n{monitor}")),
        18 => host.crontab = crontab(format!("* * * * * {TARS}/check.sh\n{monitor}")),
        19 => host.crontab = crontab("0 4 * * * /opt/backup".to_owned()),
        20 => host.crontab = crontab(format!("* * * * * sh g # tarsops-guard\n{monitor}")),
        21 | 22 => {
            host.unfinished = Some(Unfinished {
                run: run_id(5),
                step: StepName::of("tarsnode.change"),
                alive: kind == 21,
            });
        }
        23 => host.run_user = Observed::Absent,
        24 => host.disk_free = Observed::Present(1 << 20),
        25 => host.writable = Observed::Present(false),
        26 => {
            host.tools.insert("crontab".to_owned(), false);
        }
        27 => {
            host.tools.insert("flock".to_owned(), false);
        }
        28 => {
            host.is_root = false;
            host.user = USER.to_owned();
        }
        29 => host.interfaces = Observed::Present([IpAddr::V4(Ipv4Addr::LOCALHOST)].into()),
        30 => host.machine_id = Observed::Present("cloned".to_owned()),
        _ => host.clock_skew = -90,
    }
}

fn on_agent(facts: &mut AgentFacts, kind: u8) {
    let old = binary("3.0.16");
    let stranger = Digest::of(b"built by hand");
    let first = |facts: &mut AgentFacts, change: &dyn Fn(&mut ProcessFact)| {
        if let Observed::Present(all) = &mut facts.processes
            && let Some(one) = all.first_mut()
        {
            change(one);
        }
    };
    let on_disk = |facts: &mut AgentFacts, change: &dyn Fn(&mut FileFact)| {
        if let Observed::Present(file) = &mut facts.binary {
            change(file);
        }
    };
    match kind {
        32 => {
            on_disk(facts, &|f| f.digest = old);
            first(facts, &|p| p.exe = Observed::Present(old));
        }
        33 => first(facts, &|p| {
            p.exe = Observed::Present(old);
            p.exe_deleted = true;
        }),
        34 => on_disk(facts, &|f| f.digest = stranger),
        35 => first(facts, &|p| p.exe = Observed::Present(stranger)),
        36 => {
            facts.processes = Observed::Present(vec![]);
            facts.listening = Observed::Present(false);
        }
        37 => {
            if let Observed::Present(all) = &mut facts.processes
                && let Some(one) = all.first().cloned()
            {
                all.push(ProcessFact { pid: 9, ..one });
            }
        }
        38 => first(facts, &|p| p.nodeid = Some("10.0.0.1".to_owned())),
        39 => first(facts, &|p| p.user = "root".to_owned()),
        40 => facts.listening = Observed::Present(false),
        41 => in_text(facts.util.get_mut("execute.sh"), |t| {
            t.text = EXECUTE.replace("TARS_PATH", TARS);
        }),
        42 => {
            facts.util.insert("start.sh".to_owned(), Observed::Absent);
        }
        43 => in_text(facts.util.get_mut("monitor.sh"), |t| t.mode = 0o644),
        44 => facts.conf = Observed::Absent,
        45 => in_text(Some(&mut facts.conf), |t| {
            t.text = rewritten("10.7.7.7", &["10.0.0.1:17890"]);
        }),
        46 => in_text(Some(&mut facts.conf), |t| t.text.clear()),
        47 => in_text(Some(&mut facts.conf), |t| t.text = CONF.to_owned()),
        48 => {
            if let Observed::Present(folder) = &mut facts.folder {
                folder.owner = "root".to_owned();
                folder.strangers = vec!["conf".to_owned()];
            }
        }
        49 => facts.binary = Observed::Absent,
        50 => facts.servers = vec!["App.Server".to_owned()],
        51 => in_text(facts.util.get_mut("monitor.sh"), |t| {
            t.text = t.text.replace(TARS, "/data/tars");
        }),
        _ => on_disk(facts, &|f| f.mode = 0o644),
    }
}

/// One fact of the node cannot be seen any more; whether that changed anything.
pub fn blind(world: &mut World, node: &NodeName, sight: u8) -> bool {
    fn hide<T>(fact: &mut Observed<T>) -> bool {
        let seen = matches!(fact, Observed::Present(_));
        if seen {
            *fact = Observed::Unknown("it was not seen".to_owned());
        }
        seen
    }
    if sight < 9 {
        let Some(host) = host_of(world, node) else {
            return false;
        };
        return match sight {
            0 => hide(&mut host.machine_id),
            1 => hide(&mut host.boot_id),
            2 => hide(&mut host.interfaces),
            3 => hide(&mut host.run_user),
            4 => hide(&mut host.disk_free),
            5 => hide(&mut host.writable),
            6 => hide(&mut host.crontab),
            7 => {
                let id = ResourceId::Agent(node.clone());
                world.inventory.resources.get_mut(&id).is_some_and(hide)
            }
            _ => {
                let id = ResourceId::Host(node.clone());
                world.inventory.resources.get_mut(&id).is_some_and(hide)
            }
        };
    }
    if sight >= 16 {
        let mut hidden = false;
        for (id, seen) in &mut world.inventory.resources {
            if let (ResourceId::Server(_, of), true) = (id, sight == 16) {
                // That it is not there cannot be seen either.
                if of == node {
                    hidden = true;
                    *seen = Observed::Unknown("it was not seen".to_owned());
                }
            }
        }
        if let (Some(host), 17) = (host_of(world, node), sight) {
            hidden = hide(&mut host.ports);
        }
        return hidden;
    }
    let Some(facts) = agent_of(world, node) else {
        return false;
    };
    match sight {
        9 => hide(&mut facts.folder),
        10 => hide(&mut facts.binary),
        11 => hide(&mut facts.conf),
        12 => facts.util.values_mut().next_back().is_some_and(hide),
        13 => facts.util.get_mut("execute.sh").is_some_and(hide),
        14 => hide(&mut facts.processes),
        _ => hide(&mut facts.listening),
    }
}
