//! What a look at a host in memory shows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use tarsops_model::agent::{AgentFacts, FileFact, OwnerFact, ProcessFact, TextFact};
use tarsops_model::component::Component;
use tarsops_model::framework::NodeLabels;
use tarsops_model::host::{HostFacts, LeaseFacts, Unfinished};
use tarsops_model::names::{NodeName, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::server::ServerFacts;
use tarsops_probe::{Options, Seen};
use tokio::time::Instant;

use super::part::{Part, TARS, USER};
use super::state::State;

impl State {
    /// What a look at a host shows.
    pub(super) fn look(&mut self, node: &NodeName, options: &Options) -> Seen {
        let uptime = self.uptime();
        let machine = self.machine(node);
        if let Some(run) = &options.fence
            && machine.fence.as_ref().is_none_or(|fence| fence < run)
        {
            machine.fence = Some(run.clone());
        }
        let machine = &self.machines[node];
        let now = Instant::now();
        let runs = |part: &Part| part.process.is_some();
        let listens = |part: &Part| part.process.as_ref().is_some_and(|p| p.up <= now);
        let name = |(component, _): (&Component, &Part)| component.name().to_owned();
        let host = HostFacts {
            machine_id: Observed::Present(machine.machine_id.clone()),
            boot_id: Observed::Present(machine.boot_id.clone()),
            runs_from: None,
            uptime: Some(uptime),
            hostname: format!("h-{node}"),
            interfaces: Observed::Present([IpAddr::V4(Ipv4Addr::LOCALHOST), machine.ip].into()),
            clock_skew: 0,
            user: "root".to_owned(),
            is_root: true,
            run_user: Observed::Present(()),
            disk_free: Observed::Present(50 << 30),
            writable: Observed::Present(true),
            tools: ["crontab", "flock", "setsid", "openssl", "stat", "find"]
                .map(|tool| (tool.to_owned(), true))
                .into(),
            crontab: machine.crontab.clone().into(),
            other_crontabs: BTreeMap::new(),
            fence: machine.fence.clone(),
            unfinished: machine.current.as_ref().map(|(run, step)| Unfinished {
                run: run.clone(),
                step: StepName::of(step),
                alive: machine
                    .changes
                    .get(&(run.clone(), step.clone()))
                    .is_some_and(|c| c.alive),
            }),
            lease: machine.lease.as_ref().map(|held| LeaseFacts {
                holder: held.holder.clone(),
                run: held.run.clone(),
                age: held.beat.elapsed().as_secs(),
                ttl: held.ttl.as_secs(),
            }),
            staged: machine.staged.clone(),
            components: Observed::Present(
                machine
                    .parts
                    .iter()
                    .filter(|(_, p)| runs(p))
                    .map(name)
                    .collect(),
            ),
            installed: Observed::Present(machine.parts.iter().map(name).collect()),
            ports: Observed::Present(
                machine
                    .parts
                    .iter()
                    .filter(|(_, p)| listens(p))
                    .flat_map(|(component, _)| component.servants().iter().map(|(_, port)| *port))
                    .collect(),
            ),
            labels: machine.labels.as_deref().and_then(NodeLabels::from_text),
            restarts: machine.marks.keys().copied().collect(),
            unsafe_state: None,
            impostors: BTreeMap::new(),
            docker: None,
            digests_remembered: false,
        };
        let agent = match machine.parts.get(&Component::Tarsnode) {
            None => Observed::Absent,
            Some(part) => Observed::Present(self.agent(node, part)),
        };
        let servers = options
            .servers
            .iter()
            .map(|component| {
                let facts = match machine.parts.get(component) {
                    None => Observed::Absent,
                    Some(part) => Observed::Present(ServerFacts {
                        binary: binary(part, *component),
                        processes: processes(part, *component, None),
                    }),
                };
                (*component, facts)
            })
            .collect();
        Seen {
            node: node.clone(),
            host: Observed::Present(host),
            agent,
            servers,
            console: None,
            fault: None,
            took: Duration::from_millis(20),
        }
    }

    fn agent(&self, node: &NodeName, part: &Part) -> AgentFacts {
        let text = |path: &str| match part.files.get(path) {
            None => Observed::Absent,
            Some(file) => match self.texts.get(&file.digest) {
                None => Observed::Unknown("it is no text".to_owned()),
                Some(text) => Observed::Present(TextFact {
                    text: text.clone(),
                    mode: file.mode,
                    owner: USER.to_owned(),
                }),
            },
        };
        let listens = part
            .process
            .as_ref()
            .is_some_and(|p| p.up <= Instant::now());
        AgentFacts {
            folder: Observed::Present(OwnerFact {
                owner: USER.to_owned(),
                mode: 0o755,
                strangers: vec![],
            }),
            binary: binary(part, Component::Tarsnode),
            conf: text("tarsnode/conf/tars.tarsnode.config.conf"),
            util: part
                .files
                .keys()
                .filter_map(|path| path.strip_prefix("tarsnode/util/"))
                .map(|name| (name.to_owned(), text(&format!("tarsnode/util/{name}"))))
                .collect(),
            generated_conf: false,
            processes: processes(part, Component::Tarsnode, Some(node)),
            listening: Observed::Present(listens),
            servers: self.applications_on(node),
        }
    }
}

fn binary(part: &Part, component: Component) -> Observed<FileFact> {
    let path = format!("{component}/bin/{component}");
    Observed::from(part.files.get(&path).map(|file| FileFact {
        digest: file.digest,
        size: 20 << 20,
        mode: file.mode,
        owner: USER.to_owned(),
    }))
}

fn processes(
    part: &Part,
    component: Component,
    nodeid: Option<&NodeName>,
) -> Observed<Vec<ProcessFact>> {
    let all = part.process.iter().map(|process| ProcessFact {
        pid: process.pid,
        exe: Observed::Present(process.exe),
        exe_deleted: part.binary(component) != Some(process.exe),
        user: USER.to_owned(),
        nodeid: nodeid.map(ToString::to_string),
        config: nodeid.map(|_| format!("{TARS}/tarsnode/conf/tars.tarsnode.config.conf")),
    });
    Observed::Present(all.collect())
}
