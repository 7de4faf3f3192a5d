//! Components that come to a framework host: a new slave, or one that lacks some of its own.
//!
//! A component comes in three parts, each of which is planned only where it is missing: its files are
//! placed; its rows are written, with both states inactive; AdminRegistry starts it, which sets it
//! active and has the host's tarsnode generate its configuration from the database's template.
//! tarsregistry comes first, and the locators follow it.
//!
//! What must stay true: nothing is placed, written or started that could not be proven missing; a row
//! that is there is never changed; a server that somebody stopped is not started; no password is
//! touched.

mod files;
mod moved;
mod rows;
mod steps;

use std::collections::BTreeSet;

use tarsops_model::component::Component;
use tarsops_model::desired::{Rpc, Server};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{AdapterRow, ServerRow};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::PackageContents;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;

use crate::actions::{CrontabChange, FileChange, NewRow};
use crate::components;
use crate::components::PLACED;
use crate::drift::{Drift, DriftKind};
use crate::input::PlanInput;
use crate::places;
use crate::plan::Step;
use crate::prerequisites;
use crate::report::{Blocked, Line};
use crate::tables::{framework, readable};

pub(crate) use moved::after;
pub(crate) use rows::{
    adapter_name, adapter_row, is_servant, never_started, observed_adapter, observed_server,
    server as server_row,
};

/// What there is to say of the components that a node lacks.
#[derive(Default)]
pub(crate) struct ExpansionAssessment {
    /// What differs.
    pub(crate) drift: Vec<Drift>,
    /// What stands in the way, and notes.
    pub(crate) lines: Vec<Line>,
    /// The steps, in their order.
    pub(crate) steps: Vec<Step>,
    /// Components that are started by these steps.
    pub(crate) started: BTreeSet<Component>,
}

/// What the change of a node's tarsnode in the same plan means for its components.
#[derive(Default)]
pub(crate) struct Agent<'a> {
    /// Whether its tarsnode will run.
    pub(crate) runs: bool,
    /// What becomes of the crontab before the components come.
    pub(crate) crontab: Option<&'a CrontabChange>,
}

/// Whether the rows have the framework host `node` at another address than the spec.
pub(crate) fn has_moved(input: &PlanInput<'_>, node: &str) -> bool {
    let Ok(node) = NodeName::new(node) else {
        return false;
    };
    let spec = input.desired.host(&node);
    spec.is_some_and(|spec| moved::address(input, &node, spec).is_some())
}

/// Whether the registry of a node may be one that was never started: it has no configuration of its
/// own yet, so its own script must not start it. Rows that cannot be read leave it open.
pub(crate) fn may_be_new(input: &PlanInput<'_>, node: &NodeName) -> bool {
    let component = Component::Tarsregistry;
    if input.desired.database().is_none() || !components::is_known(input.catalog, component) {
        return false;
    }
    let Ok((_, servers, _)) = readable(input) else {
        return true;
    };
    servers
        .iter()
        .find(|r| {
            r.application == rows::APPLICATION
                && r.server == component.name()
                && r.node == node.as_str()
        })
        .is_none_or(never_started)
}

/// Finds what `node`, whose machine is the node's, lacks of the components that the spec places
/// there.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    agent: &Agent<'_>,
) -> ExpansionAssessment {
    let mut work = ExpansionAssessment::default();
    let look = ComponentContext {
        input,
        node,
        spec,
        host,
        agent,
    };
    let mut lacking = Vec::new();
    let mut unseen = false;
    for component in PLACED {
        let Some(server) = input
            .desired
            .server(component, node)
            .filter(|_| input.scope.has_component(component))
        else {
            continue;
        };
        match look.lacks(component, server) {
            PartsState::Nothing => {}
            PartsState::Unseen => unseen = true,
            PartsState::Told(lines) => work.lines.extend(lines),
            PartsState::Missing { why } => {
                let resource = look.resource(component);
                work.drift.push(look.missing(component));
                let blocked = why.into_iter().map(|why| Line::Blocked {
                    resource: resource.clone(),
                    why,
                });
                work.lines.extend(blocked);
            }
            PartsState::Unknown(why) => work.drift.push(Drift {
                resource: look.resource(component),
                kind: DriftKind::Unknown { why },
            }),
            PartsState::Incomplete(lack) => {
                work.drift.push(look.missing(component));
                lacking.push(*lack);
            }
        }
    }
    // Also where nothing is missing: the rows send callers to another machine.
    if let Some(why) = moved::address(input, node, spec) {
        work.lines.push(Line::Blocked {
            resource: ResourceId::Host(node.clone()),
            why,
        });
        return work;
    }
    if lacking.is_empty() {
        return work;
    }
    // A host comes whole or not at all: half of it would answer for what the other half lacks.
    let held = unseen
        || work.lines.iter().any(|l| matches!(l, Line::Blocked { .. }))
        || work
            .drift
            .iter()
            .any(|d| matches!(d.kind, DriftKind::Unknown { .. }));
    if held {
        for lack in lacking {
            work.lines.push(Line::Note {
                resource: look.resource(lack.component),
                text: "it waits for the other components of its host".to_owned(),
            });
        }
        return work;
    }
    match look.blocks_installation(&lacking) {
        Ok(blocked) if blocked.is_empty() => {}
        Ok(blocked) => {
            let resource = ResourceId::Host(node.clone());
            work.lines
                .extend(blocked.into_iter().map(|why| Line::Blocked {
                    resource: resource.clone(),
                    why,
                }));
            return work;
        }
        Err(unknown) => {
            work.drift.push(Drift {
                resource: ResourceId::Host(node.clone()),
                kind: DriftKind::Unknown { why: unknown },
            });
            return work;
        }
    }
    look.steps(lacking, &mut work);
    work
}

/// What one component lacks.
struct MissingParts<'a> {
    component: Component,
    server: &'a Server,
    /// What is placed; none where its folder is there.
    files: Option<Vec<FileChange>>,
    /// What is written.
    rows: Vec<NewRow>,
    /// Whether it is started.
    start: bool,
    /// Whether its row says that somebody stopped it.
    stopped: bool,
    /// The digest that should run.
    digest: Option<Digest>,
}

/// How a component stands.
enum PartsState<'a> {
    /// All of it is there, or it is no concern of the spec.
    Nothing,
    /// Something is to be said, and nothing to be done.
    Told(Vec<Line>),
    /// It is missing, and something stands in the way.
    Missing { why: Vec<Blocked> },
    /// It cannot be told.
    Unknown(Vec<String>),
    /// It cannot be told, and the comparison of the core services says so.
    Unseen,
    /// Something is missing.
    Incomplete(Box<MissingParts<'a>>),
}

struct ComponentContext<'a> {
    input: &'a PlanInput<'a>,
    node: &'a NodeName,
    spec: &'a Host,
    host: &'a HostFacts,
    agent: &'a Agent<'a>,
}

/// What the database has of one component on one node.
struct ExistingRows<'a> {
    server: Option<&'a ServerRow>,
    adapters: Vec<&'a AdapterRow>,
}

impl<'a> ComponentContext<'a> {
    fn resource(&self, component: Component) -> ResourceId {
        ResourceId::Server(component, self.node.clone())
    }

    fn missing(&self, component: Component) -> Drift {
        Drift {
            resource: self.resource(component),
            kind: DriftKind::Missing,
        }
    }

    fn had(
        &self,
        component: Component,
        servers: &'a [ServerRow],
        adapters: &'a [AdapterRow],
    ) -> ExistingRows<'a> {
        let own = |application: &str, server: &str, node: &str| {
            application == rows::APPLICATION
                && server == component.name()
                && node == self.node.as_str()
        };
        ExistingRows {
            server: servers
                .iter()
                .find(|r| own(&r.application, &r.server, &r.node)),
            adapters: adapters
                .iter()
                .filter(|r| own(&r.application, &r.server, &r.node))
                .collect(),
        }
    }

    fn lacks(&self, component: Component, server: &'a Server) -> PartsState<'a> {
        let input = self.input;
        let known = components::is_known(input.catalog, component);
        let facts = match input.inventory.server(component, self.node) {
            Observed::Present(facts) => Some(facts),
            Observed::Absent => None,
            // One that no lock file knows is no concern.
            Observed::Unknown(_) if !known => return PartsState::Nothing,
            Observed::Unknown(_) if components::CORE.contains(&component) => {
                return PartsState::Unseen;
            }
            Observed::Unknown(why) => return PartsState::Unknown(vec![why]),
        };
        if input.desired.database().is_none() {
            return match facts {
                None if known => PartsState::Missing {
                    why: vec![Blocked::NoStartPath {
                        what: "the spec names no database, which has its rows".to_owned(),
                    }],
                },
                _ => PartsState::Nothing,
            };
        }
        let (servers, adapters) = match readable(input) {
            Ok((_, servers, adapters)) => (servers, adapters),
            Err(_) if facts.is_some() => return PartsState::Nothing,
            Err(why) => return PartsState::Unknown(vec![format!("its rows: {why}")]),
        };
        let had = self.had(component, servers, adapters);
        if facts.is_some() && !known {
            return PartsState::Nothing;
        }
        let runs = facts.is_some_and(ServerFacts::runs);
        // What a running basic service lacks comes with its restart.
        let rows = if runs && component.is_basic() && had.server.is_some() {
            vec![]
        } else {
            self.rows(component, server, &had)
        };
        let lines = self.foreign(component, &had);
        let fresh = had.server.is_none_or(never_started);
        // One that lacks nothing, or whose row says that somebody stopped it.
        if facts.is_some() && rows.is_empty() && (runs || had.server.is_some() && !fresh) {
            return if lines.is_empty() {
                PartsState::Nothing
            } else {
                PartsState::Told(lines)
            };
        }
        if let Some(why) = moved::name(input, self.node, servers) {
            return PartsState::Missing { why: vec![why] };
        }
        self.lack(component, server, facts, rows, &had)
    }

    fn lack(
        &self,
        component: Component,
        server: &'a Server,
        facts: Option<&ServerFacts>,
        rows: Vec<NewRow>,
        had: &ExistingRows<'_>,
    ) -> PartsState<'a> {
        let mut why = Vec::new();
        let mut unknown = Vec::new();
        let runs = facts.is_some_and(ServerFacts::runs);
        if runs && had.server.is_none() {
            why.push(Blocked::RunsUnknown { component });
        }
        if let Some(Observed::Unknown(what)) = facts.map(|f| &f.processes) {
            unknown.push(format!("its processes: {what}"));
        }
        let digest = match facts.map(|f| &f.binary) {
            // The comparison of the core services says what is wrong with a binary that is there.
            Some(Observed::Present(file)) => Some(file.digest),
            Some(Observed::Unknown(what)) => {
                unknown.push(format!("the binary: {what}"));
                None
            }
            Some(Observed::Absent) => {
                why.push(Blocked::NotInstalled { component });
                None
            }
            None => None,
        };
        let mut files = None;
        let mut digest = digest;
        if facts.is_none() {
            match self.package(component, server) {
                Ok(package) => {
                    digest = Some(package.pin.binary);
                    files = Some(files::files(
                        self.input, component, self.spec, server, package,
                    ));
                }
                Err(blocked) => why.push(blocked),
            }
        }
        // Before 2.1.0 the query services were no Tars services and had other rows.
        let old = "2.1.0".parse().is_ok_and(|since| server.version < since);
        if old {
            why.push(Blocked::NotInstalled { component });
        }
        let mut taken = component.servants().iter().map(|(_, port)| *port);
        match &self.host.ports {
            Observed::Present(ports) if !runs => {
                if let Some(port) = taken.find(|port| ports.contains(port)) {
                    why.push(Blocked::PortTakenOf { component, port });
                }
            }
            Observed::Unknown(what) => unknown.push(format!("its ports: {what}")),
            _ => {}
        }
        if !unknown.is_empty() {
            return PartsState::Unknown(unknown);
        }
        if !why.is_empty() {
            return PartsState::Missing { why };
        }
        // Whoever set it inactive knows why; a row that nobody ever started is the rest of a run that
        // was cut off.
        let stopped = had
            .server
            .is_some_and(|row| row.setting.as_deref() != Some("active") && !never_started(row))
            // A registry that the spec names should answer, whoever stopped it.
            && component != Component::Tarsregistry;
        PartsState::Incomplete(Box::new(MissingParts {
            component,
            server,
            files,
            rows,
            start: !runs && !stopped,
            stopped,
            digest,
        }))
    }

    fn package(
        &self,
        component: Component,
        server: &Server,
    ) -> Result<&'a PackageContents, Blocked> {
        let version = server.version;
        match self.input.catalog.get(component, version) {
            None => Err(Blocked::NoPackageOf { component, version }),
            Some(package) if !package.is_complete() => {
                Err(Blocked::IncompletePackageOf { component, version })
            }
            Some(package) => Ok(package),
        }
    }

    /// The rows that are missing.
    fn rows(&self, component: Component, server: &Server, had: &ExistingRows<'_>) -> Vec<NewRow> {
        let mut out = Vec::new();
        if had.server.is_none() {
            out.push(rows::server(component, self.node, server));
        }
        for (servant, port) in component.servants() {
            let name = adapter_name(servant);
            // One of another release, whose servant was renamed, is changed by its fields.
            let there = had.adapters.iter().any(|row| {
                let found = row.servant.as_deref();
                row.adapter == name || found.is_some_and(|f| is_servant(f, servant))
            });
            if !there {
                out.push(adapter_row(
                    component,
                    servant,
                    *port,
                    self.node,
                    self.spec.ip,
                    server,
                ));
            }
        }
        out
    }

    /// Rows of the component under another port than its own: left as they are.
    fn foreign(&self, component: Component, had: &ExistingRows<'_>) -> Vec<Line> {
        let mut out = Vec::new();
        // Of basic services it is a finding.
        if component.is_basic() {
            return out;
        }
        for (servant, port) in component.servants() {
            let of = |row: &&&AdapterRow| row.servant.as_deref() == Some(servant);
            for row in had.adapters.iter().filter(of) {
                let endpoint = row.endpoint.as_deref().unwrap_or_default();
                if moved::port_of(endpoint).is_some_and(|found| found != *port) {
                    out.push(Line::Note {
                        resource: self.resource(component),
                        text: format!(
                            "the database has {servant} at `{endpoint}`, not at port {port}; it is left so"
                        ),
                    });
                }
            }
        }
        out
    }

    /// What the host and the framework must offer beyond the single component; why it cannot be told
    /// otherwise.
    fn blocks_installation(
        &self,
        lacking: &[MissingParts<'_>],
    ) -> Result<Vec<Blocked>, Vec<String>> {
        let input = self.input;
        let (mut blocked, mut unknown) = (Vec::new(), Vec::new());
        let places = lacking.iter().any(|l| l.files.is_some());
        let starts = lacking.iter().any(|l| l.start);
        if places {
            for why in components::means(input, lacking[0].component, self.node, self.host) {
                blocked.push(why);
            }
            let payload: u64 = lacking
                .iter()
                .filter_map(|l| l.files.as_deref())
                .map(files::size)
                .sum();
            let (against, unseen) = prerequisites::room(input, self.host, payload);
            blocked.extend(against);
            unknown.extend(unseen);
        }
        // Whose database it is, AdminRegistry tells as well.
        if let (Some(Observed::Unknown(why)), false) = (framework(input).map(|f| &f.admin), starts)
            && input.desired.rpc != Rpc::Off
        {
            unknown.push(format!("AdminRegistry: {why}"));
        }
        if starts {
            match framework(input).map(|f| &f.admin) {
                _ if input.desired.rpc == Rpc::Off => blocked.push(Blocked::NoStartPath {
                    what: "the spec says `rpc: none`, and AdminRegistry starts it".to_owned(),
                }),
                Some(Observed::Present(_)) => {}
                Some(Observed::Unknown(why)) => unknown.push(format!("AdminRegistry: {why}")),
                Some(Observed::Absent) | None => blocked.push(Blocked::NoStartPath {
                    what: "there is no AdminRegistry to start it".to_owned(),
                }),
            }
            if !self.agent.runs {
                blocked.push(Blocked::NoStartPath {
                    what: "its tarsnode, which starts it, does not run".to_owned(),
                });
            }
        }
        let unlisted = lacking
            .iter()
            .any(|l| l.component == Component::Tarsregistry)
            && !input
                .desired
                .registries
                .contains(&places::endpoint_at(self.spec.ip));
        if unlisted {
            blocked.push(Blocked::NoStartPath {
                what: "`registry.endpoints` does not name its registry".to_owned(),
            });
        }
        if unknown.is_empty() {
            Ok(blocked)
        } else {
            Err(unknown)
        }
    }
}
