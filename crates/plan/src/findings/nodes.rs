//! Findings about single nodes and what runs on them.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_conf::{Document, tarsnode};
use tarsops_model::agent::AgentFacts;
use tarsops_model::component::Component;
use tarsops_model::framework::{Asked, FrameworkFacts, ServerRow};
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;

use super::{Finding, Grade, NODE_BEATS, NODE_FOLLOWS, NODE_TELLS, Name, cluster};
use crate::assess::Places;
use crate::input::PlanInput;
use crate::registries;

/// The application of the framework's own servers.
const APPLICATION: &str = "tars";

pub(super) fn find(input: &PlanInput<'_>, out: &mut Vec<Finding>) {
    claims(input, out);
    let places = Places::of(input);
    let servants = servants_by_node(input);
    for (node, spec) in input.desired.hosts() {
        if !input.scope.has_node(node) || spec.state != NodeState::Present {
            continue;
        }
        let one = One {
            input,
            node,
            spec,
            host: present(input.inventory.host(node)),
            agent: present(input.inventory.agent(node)),
        };
        one.ports(out);
        one.other_users(out);
        one.locator(out);
        if let Some(framework) = &input.inventory.framework {
            one.registration(framework, out);
            let asked = servants.get(node).map_or(&[][..], Vec::as_slice);
            one.servants(framework, asked, out);
            one.servers(places.servers_on(node), out);
        }
    }
}

fn present<T>(seen: Observed<T>) -> Option<T> {
    match seen {
        Observed::Present(value) => Some(value),
        _ => None,
    }
}

/// Servants that were asked, by node, so that no node walks over all of them.
fn servants_by_node<'a>(input: &PlanInput<'a>) -> BTreeMap<&'a NodeName, Vec<&'a Asked>> {
    let mut out: BTreeMap<&NodeName, Vec<&Asked>> = BTreeMap::new();
    for asked in input
        .inventory
        .framework
        .iter()
        .flat_map(|f| f.servants.values())
    {
        out.entry(&asked.node).or_default().push(asked);
    }
    out
}

/// Two hosts under one nodeid: the registry gives the name to whoever registered last.
fn claims(input: &PlanInput<'_>, out: &mut Vec<Finding>) {
    let mut claims: BTreeMap<&str, BTreeSet<&NodeName>> = BTreeMap::new();
    for (node, _) in input.desired.hosts() {
        let Observed::Present(agent) = input.inventory.agent(node) else {
            continue;
        };
        for process in agent.processes.present().into_iter().flatten() {
            if let Some(nodeid) = &process.nodeid {
                claims.entry(nodeid).or_default().insert(node);
            }
        }
    }
    for (nodeid, hosts) in claims.iter().filter(|(_, hosts)| hosts.len() > 1) {
        for node in hosts {
            if node.as_str() == *nodeid || !input.scope.has_node(node) {
                continue;
            }
            let others: Vec<&str> = hosts
                .iter()
                .filter(|h| h != &node)
                .map(|h| h.as_str())
                .collect();
            out.push(Finding {
                name: Name::NodeidTwice,
                heals_within: None,
                grade: Grade::Drift,
                resource: ResourceId::Agent((*node).clone()),
                text: format!(
                    "it runs as {nodeid}, and so does {}: whoever registers last takes the other's services out of name resolution",
                    others.join(", ")
                ),
                cure: "apply puts --nodeid right and restarts it; then restart tarsnode on the other host, so that it registers again".into(),
                sources: hosts
                    .iter()
                    .map(|h| (format!("host {h}"), format!("--nodeid={nodeid}")))
                    .collect(),
            });
        }
    }
}

struct One<'a> {
    input: &'a PlanInput<'a>,
    node: &'a NodeName,
    spec: &'a Host,
    host: Option<&'a HostFacts>,
    agent: Option<&'a AgentFacts>,
}

impl One<'_> {
    fn finding(
        &self,
        name: Name,
        grade: Grade,
        text: impl Into<String>,
        cure: impl Into<String>,
        sources: Vec<(String, String)>,
    ) -> Finding {
        Finding {
            name,
            grade,
            resource: ResourceId::Agent(self.node.clone()),
            text: text.into(),
            cure: cure.into(),
            sources,
            heals_within: None,
        }
    }

    /// The finding, as one that heals by itself within `seconds` while tarsnode runs there.
    fn heals(&self, found: Finding, seconds: u64) -> Finding {
        Finding {
            heals_within: self.runs_as_itself().then_some(seconds),
            ..found
        }
    }

    /// Whether tarsnode runs there under the node's own name.
    fn runs_as_itself(&self) -> bool {
        self.agent
            .and_then(|a| a.processes.present())
            .is_some_and(|all| {
                all.iter()
                    .any(|p| p.nodeid.as_deref() == Some(self.node.as_str()))
            })
    }

    /// What other users of the host do, or could do.
    fn other_users(&self, out: &mut Vec<Finding>) {
        let Some(host) = self.host else { return };
        if let Some(why) = &host.unsafe_state {
            out.push(self.finding(
                Name::UnsafeFolder,
                Grade::Warning,
                why.as_str(),
                "let only root, or only whom tarsops logs in as, write there; nothing is changed until then",
                vec![("host".into(), why.clone())],
            ));
        }
        for (pid, who) in &host.impostors {
            out.push(self.finding(
                Name::Impostor,
                Grade::Warning,
                format!("process {pid} of another user ({who}) has the path of a component among its words"),
                "end it if it is not meant: tarsops leaves it alone, but the framework's own start.sh and \
                 stop.sh go by words and try to end it",
                vec![("host".into(), format!("pid {pid}, {who}"))],
            ));
        }
    }

    fn ports(&self, out: &mut Vec<Finding>) {
        let Some(host) = self.host else { return };
        let Some(ports) = host.ports.present() else {
            return;
        };
        let mut taken = |component: Component, runs: bool| {
            for (servant, port) in component.servants() {
                if runs || !ports.contains(port) {
                    continue;
                }
                let mut found = self.finding(
                    Name::PortTaken,
                    Grade::Drift,
                    format!("port {port}, which {servant} needs, is held by another process"),
                    format!("find it with `ss -ltnp sport = :{port}` there and move it away"),
                    vec![(
                        "host".into(),
                        format!("{port} listens, {component} does not run"),
                    )],
                );
                if component != Component::Tarsnode {
                    found.resource = ResourceId::Server(component, self.node.clone());
                }
                out.push(found);
            }
        };
        match self.agent {
            // A process that listens is judged by the comparison of the agent itself.
            Some(agent) => {
                if let Some(all) = agent.processes.present() {
                    taken(Component::Tarsnode, !all.is_empty());
                }
            }
            None if self.input.inventory.agent(self.node).is_absent() => {
                taken(Component::Tarsnode, false);
            }
            None => {}
        }
        if let Some(running) = host.components.present() {
            for component in Component::ALL {
                let id = ResourceId::Server(component, self.node.clone());
                if self.input.desired.resources.contains_key(&id) {
                    taken(component, running.contains(component.name()));
                }
            }
        }
    }

    fn locator(&self, out: &mut Vec<Finding>) {
        let Some(framework) = &self.input.inventory.framework else {
            return;
        };
        let Some(conf) = self.agent.and_then(|a| a.conf.present()) else {
            return;
        };
        let Ok(document) = Document::parse(&conf.text) else {
            return;
        };
        let named = tarsnode::read(&document).locator;
        let alive: Vec<String> = framework
            .registries
            .iter()
            .filter(|(_, answer)| answer.is_alive())
            .map(|(at, _)| at.to_string())
            .collect();
        let names_living = framework.registries.iter().any(|(at, answer)| {
            // A registry that could not be asked may well be alive.
            !answer.is_dead() && named.contains(&(at.host.to_string(), at.port))
        });
        if names_living {
            self.behind(framework, &named, out);
            return;
        }
        if alive.is_empty() {
            return;
        }
        let named: Vec<String> = named.iter().map(|(h, p)| format!("{h}:{p}")).collect();
        out.push(self.finding(
            Name::DeadLocator,
            Grade::Drift,
            "its locator names no registry that lives: after a restart it would not register",
            "apply writes the spec's registries into it",
            vec![
                ("host".into(), named.join(", ")),
                ("rpc".into(), format!("alive: {}", alive.join(", "))),
            ],
        ));
    }

    /// A tarsnode that runs writes all rows of registries into its locator by itself.
    fn behind(
        &self,
        framework: &FrameworkFacts,
        named: &BTreeSet<(String, u16)>,
        out: &mut Vec<Finding>,
    ) {
        let Some(listed) = framework.rows().present().and_then(|r| cluster::alive(r)) else {
            return;
        };
        let missing: Vec<String> = self
            .input
            .desired
            .registries
            .iter()
            .filter(|at| listed.contains(*at))
            .filter(|at| !named.contains(&(at.host.to_string(), at.port)))
            .map(ToString::to_string)
            .collect();
        if missing.is_empty() || !self.runs_as_itself() {
            return;
        }
        let found = self.finding(
            Name::LocatorBehind,
            Grade::Drift,
            format!(
                "its locator does not name {}, which the database lists: a running tarsnode takes it over within two minutes",
                missing.join(", ")
            ),
            "wait two minutes; if it stays so, look at app_log/tars/tarsnode there and restart it",
            vec![
                (
                    "host".into(),
                    named
                        .iter()
                        .map(|(h, p)| format!("{h}:{p}"))
                        .collect::<Vec<_>>()
                        .join(", "),
                ),
                ("database".into(), missing.join(", ")),
            ],
        );
        out.push(self.heals(found, NODE_FOLLOWS));
    }

    fn registration(&self, framework: &FrameworkFacts, out: &mut Vec<Finding>) {
        let runs = self.runs_as_itself();
        let row = framework.node_row(self.node);
        let ping = framework.ping(self.node);
        let mut sources = vec![(
            "host".to_owned(),
            if runs {
                "tarsnode runs"
            } else {
                "tarsnode does not run"
            }
            .to_owned(),
        )];
        match &row {
            Observed::Present(row) => sources.push((
                "database".to_owned(),
                row.present.clone().unwrap_or_else(|| "(no state)".into()),
            )),
            Observed::Absent => sources.push(("database".to_owned(), "no row".to_owned())),
            Observed::Unknown(_) => {}
        }
        if let Observed::Present(alive) = &ping {
            let word = if *alive { "ping succ" } else { "no connection" };
            sources.push(("AdminRegistry".to_owned(), word.to_owned()));
        }
        self.elsewhere(framework, out);
        match &row {
            Observed::Absent if runs => out.push(self.finding(
                Name::NotRegistered,
                Grade::Drift,
                "tarsnode runs, and the registry has no row of it: it registers at its start only",
                "restart it: apply does",
                sources,
            )),
            Observed::Present(row)
                if row.present.as_deref() == Some("active") && ping == Observed::Present(false) =>
            {
                let elsewhere = self
                    .agent
                    .and_then(|a| a.processes.present())
                    .is_some_and(|all| !all.is_empty());
                let found = self.finding(
                    Name::ConnectionLost,
                    Grade::Drift,
                    "the database calls it active, and AdminRegistry has no connection to it: nothing can be started, stopped or published there",
                    if runs {
                        "look at tarsnode's log for the address of AdminRegistry; restart tarsnode if it does not connect within a minute"
                    } else if elsewhere {
                        "it runs under another nodeid: apply puts that right"
                    } else if self.agent.is_none() {
                        "see whether the machine is up; the database says so after 249 to 285 s"
                    } else {
                        "start tarsnode: apply does; without it the database says so after 249 to 285 s"
                    },
                    sources,
                );
                out.push(self.heals(found, NODE_TELLS));
            }
            Observed::Present(row) if row.present.as_deref() == Some("active") => {}
            Observed::Present(_) if runs => {
                let found = self.finding(
                    Name::NodeInactive,
                    Grade::Drift,
                    "tarsnode runs, and the registry calls it inactive: no heartbeat has arrived yet",
                    "its next heartbeat heals it within 10 s; if it stays so, see whether it reaches port 17891 of the registries, then restart it",
                    sources,
                );
                out.push(self.heals(found, NODE_BEATS));
            }
            _ => {}
        }
    }

    /// A node under another name: the literal `localip.tars.com` makes the registry take the
    /// address that it sees.
    fn elsewhere(&self, framework: &FrameworkFacts, out: &mut Vec<Finding>) {
        let ip = self.spec.ip.to_string();
        if self.node.as_str() != ip
            && let Observed::Present(rows) = framework.rows()
            && let Observed::Present(all) = &rows.nodes
            && let Some(row) = all.get(&ip)
            && row.present.as_deref() == Some("active")
        {
            out.push(self.finding(
                Name::RegisteredElsewhere,
                Grade::Drift,
                format!(
                    "the registry knows it as {ip}, and the spec as {}",
                    self.node
                ),
                "apply puts --nodeid right; then delete the row of the address",
                vec![
                    ("spec".into(), self.node.to_string()),
                    ("database".into(), format!("{ip}: active")),
                ],
            ));
        }
        if let Observed::Present(row) = framework.node_row(self.node)
            && let Some(registered) = row.endpoint_ip.as_deref().filter(|a| !a.is_empty())
            && registered != ip
        {
            out.push(self.finding(
                Name::RegisteredElsewhere,
                Grade::Drift,
                format!("it is registered with the address {registered}, and the spec says {ip}"),
                "restart tarsnode there, so that it registers again; correct `ip` if the spec is wrong",
                vec![
                    ("spec".into(), ip),
                    ("database".into(), registered.to_owned()),
                ],
            ));
        }
    }

    fn servants(&self, framework: &FrameworkFacts, all: &[&Asked], out: &mut Vec<Finding>) {
        for asked in all {
            // What could not be told is told as unknown.
            if asked.answer.is_alive() || asked.answer.is_unknown() {
                continue;
            }
            // Registries are told as registries, and an agent that does not run as an agent.
            let is_registry = asked.component == Component::Tarsregistry
                && framework
                    .registries
                    .get(&registries::endpoint_at(self.spec.ip))
                    .is_some_and(|answer| !answer.is_alive());
            let idle_agent = asked.component == Component::Tarsnode && !self.runs_as_itself();
            if is_registry || idle_agent {
                continue;
            }
            // Whoever stopped it through the platform meant it: no drift, and no silence about it.
            let stopped = framework
                .rows()
                .present()
                .and_then(|rows| rows.servers.present())
                .is_some_and(|all| {
                    all.iter().any(|r| {
                        r.application == "tars"
                            && r.server == asked.component.name()
                            && r.node == self.node.as_str()
                            && r.setting.as_deref() == Some("inactive")
                    })
                });
            let mut found = self.finding(
                Name::ServantSilent,
                if stopped {
                    Grade::Warning
                } else {
                    Grade::Drift
                },
                format!("{} {}", asked.servant, asked.answer),
                match asked.component {
                    _ if stopped => {
                        "it was stopped through the platform; start it there if it is meant to run"
                            .to_owned()
                    }
                    Component::Tarsnode => "restart tarsnode there".to_owned(),
                    component if asked.answer.is_dead() => format!(
                        "look at app_log/tars/{component} there; `util/start.sh` of {component} starts it"
                    ),
                    component => format!(
                        "something is there and does not answer: look at app_log/tars/{component}, and at the database if {component} uses it, before you end anything"
                    ),
                },
                vec![
                    ("spec".into(), format!("answers at {}", asked.at)),
                    ("rpc".into(), asked.answer.to_string()),
                ],
            );
            if asked.component != Component::Tarsnode {
                found.resource = ResourceId::Server(asked.component, self.node.clone());
            }
            out.push(found);
        }
    }

    /// What the registry says of servers against the processes of the host.
    fn servers(&self, rows: &[&ServerRow], out: &mut Vec<Finding>) {
        let (Some(host), Some(agent)) = (self.host, self.agent) else {
            return;
        };
        let Some(components) = host.components.present() else {
            return;
        };
        for row in rows {
            let own = row.application == APPLICATION;
            let full = row.full_name();
            let runs = if own {
                components.contains(&row.server)
            } else {
                agent.servers.contains(&full)
            };
            let state = row.present.as_deref().unwrap_or_default();
            let native = row.kind.as_deref() == Some("tars_cpp");
            let sources = vec![
                (
                    "host".to_owned(),
                    if runs { "it runs" } else { "no process" }.to_owned(),
                ),
                (
                    "database".to_owned(),
                    format!(
                        "{state}, set {}",
                        row.setting.as_deref().unwrap_or("(nothing)")
                    ),
                ),
            ];
            let component = row.server.parse::<Component>().ok().filter(|_| own);
            // What the resource says already is not said again, so that equal lines are one.
            let it = match component {
                Some(_) => "it",
                None => full.as_str(),
            };
            let set = row.setting.as_deref() == Some("active");
            let mut found = if runs && state == "inactive" {
                let text =
                    format!("{it} runs, and the registry calls it inactive: nobody is sent to it");
                if set && self.runs_as_itself() {
                    let cure = "its tarsnode tells the registry within a minute; if it stays so, start it through the platform, which takes it into name resolution again";
                    let found = self.finding(Name::RunsInactive, Grade::Drift, text, cure, sources);
                    self.heals(found, NODE_TELLS)
                } else {
                    let cure =
                        "start it through the platform, which takes it into name resolution again";
                    self.finding(Name::RunsInactive, Grade::Drift, text, cure, sources)
                }
            } else if !runs && native && state == "active" {
                let found = self.finding(
                    Name::ActiveNotRunning,
                    Grade::Drift,
                    format!("the registry calls {it} active, and no process of it runs: callers are sent to nobody"),
                    "see whether tarsnode runs there, which restarts it within seconds; else start it through the platform",
                    sources,
                );
                if set {
                    self.heals(found, NODE_BEATS)
                } else {
                    found
                }
            } else {
                continue;
            };
            if let Some(component) = component {
                found.resource = ResourceId::Server(component, self.node.clone());
            }
            out.push(found);
        }
    }
}
