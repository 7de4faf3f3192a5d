//! Core services: tarsregistry, tarsAdminRegistry, tarsconfig and tarspatch are brought to the
//! version of the spec where they are installed.
//!
//! Their version is known by digest, of the file and of the process. What must stay true: a binary
//! that no lock file knows is shown and left alone; a server that somebody has set inactive is not
//! started; and a component of which the lock file knows nothing at all is not compared, so that a
//! cluster of which only tarsnode is pinned stays as quiet as it was.

use tarsops_model::component::Component;
use tarsops_model::desired::{Rpc, Server};
use tarsops_model::digest::Digest;
use tarsops_model::framework::{FrameworkFacts, ServerRow};
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;
use tarsops_model::version::Version;

use crate::action::{Action, AgentChange, Content, FileChange, Folder, RowEdit, Table, Undo};
use crate::basic;
use crate::condition::Condition;
use crate::drift::{DriftKind, FieldChange};
use crate::expansion;
use crate::input::PlanInput;
use crate::plan::{Sign, Stage, Step};
use crate::registries;
use crate::report::{Blocked, Line};
use crate::room;

/// The core services beside tarsnode, in the order in which they are changed.
pub const CORE: [Component; 4] = [
    Component::Tarsregistry,
    Component::TarsAdminRegistry,
    Component::Tarsconfig,
    Component::Tarspatch,
];

/// The basic services, which the framework publishes as it does any service.
pub const BASIC: [Component; 6] = [
    Component::Tarsstat,
    Component::Tarsproperty,
    Component::Tarsnotify,
    Component::Tarslog,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];

/// The binary of a component, relative to the framework's folder.
#[must_use]
pub fn binary_path(component: Component) -> String {
    format!("{component}/bin/{component}")
}

/// The stage in which a core service is changed.
pub(crate) const fn stage(component: Component) -> Stage {
    match component {
        Component::Tarsregistry => Stage::Registries,
        Component::TarsAdminRegistry => Stage::AdminRegistry,
        Component::Tarsconfig | Component::Tarspatch | Component::Tarsnode => Stage::CoreServices,
        _ => Stage::BasicServices,
    }
}

/// Whether the lock file knows anything of a component.
pub(crate) fn is_known(catalog: &Catalog, component: Component) -> bool {
    let mut all = catalog.known.values().flatten();
    all.any(|(c, _)| *c == component)
}

/// What there is to say of one core service on one node.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) drift: Option<DriftKind>,
    pub(crate) lines: Vec<Line>,
    pub(crate) step: Option<Step>,
    /// The step that writes the rows of a basic service before it is published for the first time.
    pub(crate) deploy: Option<Step>,
}

/// Compares `component` on `node`, whose machine is the node's, with the spec.
pub(crate) fn assess(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    server: &Server,
    host: &HostFacts,
) -> Work {
    let mut work = Work::default();
    let facts = match input.inventory.server(component, node) {
        Observed::Present(facts)
            if component.is_basic()
                && !expansion::is_placed(component)
                && basic::is_undeployed(input, component, node) =>
        {
            return basic::missing(input, component, node, spec, server, host, Some(facts));
        }
        Observed::Present(facts) => facts,
        Observed::Unknown(why) => {
            work.drift = Some(DriftKind::Unknown { why: vec![why] });
            return work;
        }
        Observed::Absent if component.is_basic() && !expansion::is_placed(component) => {
            return basic::missing(input, component, node, spec, server, host, None);
        }
        // What can be placed is told, with what it takes, by the expansion of its host.
        Observed::Absent if expansion::is_placed(component) => return work,
        Observed::Absent => {
            let resource = ResourceId::Server(component, node.clone());
            work.lines.push(Line::Blocked {
                resource,
                why: Blocked::NotInstalled { component },
            });
            work.drift = Some(DriftKind::Missing);
            return work;
        }
    };
    // It runs as its node's tarsnode does, whoever of them was looked up first.
    let mut server = server.clone();
    if let Some(agent) = input.desired.agent(node) {
        server.run_user.clone_from(&agent.run_user);
    }
    let server = &server;
    let mut compared = Compared::of(input, component, server, facts);
    if component.is_basic() {
        compared.restart_owed(component, host);
        let runs = Some(facts.runs());
        let rows = basic::rows::compare(input, component, node, spec, server, host, runs);
        compared.fields.extend(rows.fields);
        compared.blocked.extend(rows.blocked);
        compared.stale |= !rows.edits.is_empty();
        compared.rows = rows.edits;
    }
    let look = Look {
        input,
        component,
        node,
        spec,
        server,
        host,
        facts,
    };
    look.finish(compared)
}

/// How a component differs.
#[derive(Default)]
struct Compared {
    fields: Vec<FieldChange>,
    unknown: Vec<String>,
    blocked: Vec<Blocked>,
    /// The file that is replaced, and by what.
    file: Option<FileChange>,
    /// The digest of the file afterwards.
    after: Option<Digest>,
    /// Whether the process must be started anew to run that file.
    stale: bool,
    /// Rows that change before it is started anew.
    rows: Vec<RowEdit>,
    /// Whether it was not started anew since its rows changed.
    owed: bool,
}

impl Compared {
    fn of(
        input: &PlanInput<'_>,
        component: Component,
        server: &Server,
        facts: &ServerFacts,
    ) -> Self {
        let mut out = Self::default();
        out.binary(input, component, server, &facts.binary);
        let all = match &facts.processes {
            Observed::Present(all) => all.as_slice(),
            Observed::Absent => &[],
            Observed::Unknown(why) => {
                out.unknown.push(format!("its processes: {why}"));
                &[]
            }
        };
        if all.len() > 1 {
            let pids: Vec<String> = all.iter().map(|p| p.pid.to_string()).collect();
            let old = format!("{} processes ({})", all.len(), pids.join(", "));
            out.fields
                .push(FieldChange::new("process", old, "running once"));
            out.stale = true;
        }
        for one in all {
            if one.user != server.run_user.as_str() {
                let user = server.run_user.as_str();
                out.fields
                    .push(FieldChange::new("running as", &one.user, user));
                out.stale = true;
            }
            match (&one.exe, out.after) {
                (Observed::Present(running), Some(after)) if *running != after => {
                    let on_disk = facts.binary.present().map(|b| b.digest);
                    let versions = input.catalog.versions_of(component, running);
                    if versions.is_empty() && Some(*running) != on_disk && !server.replace_unknown {
                        out.unknown.push(format!(
                            "it runs a binary {running} that is in no lock file; {TEACH}"
                        ));
                    } else if Some(*running) != on_disk {
                        out.refuse_downgrade(&versions, server);
                        out.fields.push(FieldChange::new(
                            "running version",
                            name_of(input.catalog, component, running),
                            name_of(input.catalog, component, &after),
                        ));
                    }
                    out.stale = true;
                }
                (Observed::Unknown(why), _) => {
                    out.unknown.push(format!("the running binary: {why}"));
                }
                _ if one.exe_deleted && out.file.is_none() => {
                    // The same bytes under another inode: nothing would be gained by a restart.
                }
                _ => {}
            }
        }
        out
    }

    fn binary(
        &mut self,
        input: &PlanInput<'_>,
        component: Component,
        server: &Server,
        binary: &Observed<tarsops_model::agent::FileFact>,
    ) {
        let want = server.version;
        let before = match binary {
            Observed::Unknown(why) => {
                self.unknown.push(format!("the binary: {why}"));
                return;
            }
            Observed::Absent => {
                self.fields
                    .push(FieldChange::new("version", "no binary", want.to_string()));
                None
            }
            Observed::Present(file) => {
                let versions = input.catalog.versions_of(component, &file.digest);
                if versions.contains(&want) {
                    self.after = Some(file.digest);
                    return;
                }
                if versions.is_empty() && !server.replace_unknown {
                    self.unknown.push(format!(
                        "its binary {} is in no lock file; {TEACH}",
                        file.digest
                    ));
                    return;
                }
                self.refuse_downgrade(&versions, server);
                self.fields.push(FieldChange::new(
                    "version",
                    name_of(input.catalog, component, &file.digest),
                    want.to_string(),
                ));
                Some(file)
            }
        };
        let shipped = input
            .catalog
            .get(component, want)
            .and_then(|p| p.file(&format!("bin/{component}")));
        let Some(shipped) = shipped else {
            self.blocked.push(Blocked::NoPackageOf {
                component,
                version: want,
            });
            return;
        };
        self.after = Some(shipped.digest);
        self.stale = true;
        self.file = Some(FileChange {
            path: binary_path(component),
            mode: 0o755,
            before: before.map(|b| b.digest),
            before_mode: before.map(|b| b.mode),
            after: Some(shipped.digest),
            content: Content::Package {
                component,
                version: want,
                path: shipped.path.clone(),
                size: shipped.size,
            },
        });
    }

    /// A run that changed its rows was cut off before it restarted it.
    fn restart_owed(&mut self, component: Component, host: &HostFacts) {
        if host.restarts.contains(&component) {
            let (old, new) = ("started before its rows changed", "started anew");
            self.fields.push(FieldChange::new("process", old, new));
            self.stale = true;
            self.owed = true;
        }
    }

    fn refuse_downgrade(&mut self, versions: &[Version], server: &Server) {
        let to = server.version;
        if let Some(from) = versions.iter().min().copied().filter(|from| *from > to)
            && !server.allow_downgrade
        {
            let why = Blocked::Downgrade { from, to };
            if !self.blocked.contains(&why) {
                self.blocked.push(why);
            }
        }
    }
}

/// What to do about a digest that nobody knows.
const TEACH: &str = "teach it with `tarsops package add`, or say `replace_unknown: true`";

/// A digest as people know it: its version, or its first digits.
fn name_of(catalog: &Catalog, component: Component, digest: &Digest) -> String {
    match catalog.versions_of(component, digest).last() {
        Some(v) => format!("{v} ({})", digest.short()),
        None => format!("unknown ({})", digest.short()),
    }
}

struct Look<'a> {
    input: &'a PlanInput<'a>,
    component: Component,
    node: &'a NodeName,
    spec: &'a Host,
    server: &'a Server,
    host: &'a HostFacts,
    facts: &'a ServerFacts,
}

impl Look<'_> {
    fn resource(&self) -> ResourceId {
        ResourceId::Server(self.component, self.node.clone())
    }

    fn row(&self) -> Option<&ServerRow> {
        let rows = framework(self.input)?.rows().present()?.servers.present()?;
        basic::row(rows, self.component, self.node)
    }

    fn finish(&self, compared: Compared) -> Work {
        let mut work = Work::default();
        let Compared {
            fields,
            mut unknown,
            mut blocked,
            file,
            after,
            stale,
            rows,
            owed,
        } = compared;
        let reads = owed || !rows.is_empty();
        if fields.is_empty() && unknown.is_empty() && blocked.is_empty() && !stale {
            return self.down().unwrap_or_default();
        }
        let runs = self.facts.runs();
        let publishes = self.component.is_basic() && file.is_some();
        if publishes || reads {
            match basic::setting(self.input, self.component, self.node) {
                Observed::Present(active) if active => {}
                // A task would start what somebody has stopped.
                Observed::Present(_) => {
                    let to = &self.server.version;
                    work.lines.push(Line::Waiting {
                        resource: self.resource(),
                        why: if publishes {
                            format!(
                                "it is set inactive, which publishing would end; {to} is published once somebody sets it active"
                            )
                        } else {
                            "it is set inactive; its rows are brought to the spec once somebody sets it active".to_owned()
                        },
                    });
                    return work;
                }
                other => {
                    let why = other.unknown().unwrap_or("the database has no row of it");
                    unknown.push(format!("whether it shall run: {why}"));
                }
            }
        }
        // Whoever stopped it knows why; whoever starts it then gets the new binary.
        let restart = stale && (runs || publishes || reads);
        let change = if unknown.is_empty() && blocked.is_empty() {
            let rows = reads.then_some(rows);
            self.change(&fields, file, rows, restart, &mut unknown, &mut blocked)
        } else {
            None
        };
        let kind = if unknown.is_empty() {
            DriftKind::Changed { fields }
        } else {
            DriftKind::Unknown { why: unknown }
        };
        work.drift = Some(kind);
        let blocking = blocked.into_iter().map(|why| Line::Blocked {
            resource: self.resource(),
            why,
        });
        work.lines.extend(blocking);
        let Some(change) = change else { return work };
        if !runs && !restart {
            work.lines.push(Line::Note {
                resource: self.resource(),
                text: "it does not run; it is not started, and runs the new binary when it is"
                    .to_owned(),
            });
        }
        work.step = Some(self.step(change, after, restart));
        work
    }

    /// A basic service that is set active, has its program, and does not run: AdminRegistry starts
    /// it. Its tarsnode does not where a start has failed before (`NodeServer/KeepAliveThread.cpp`).
    fn down(&self) -> Option<Work> {
        let (input, component, node) = (self.input, self.component, self.node);
        let Observed::Present(all) = &self.facts.processes else {
            return None;
        };
        let digest = self.facts.binary.present()?.digest;
        let set = self.row()?.setting.as_deref() == Some("active");
        let runs_as = |user: &str| {
            let seen = input.inventory.agent(node);
            let all = seen.present().and_then(|a| a.processes.present());
            all.is_some_and(|all| all.iter().any(|p| p.user == user))
        };
        let user = input.desired.agent(node)?.run_user.to_string();
        let able = input.desired.database().is_some()
            && input.desired.rpc != Rpc::Off
            && basic::admin_silent(input).is_none();
        if !component.is_basic() || !all.is_empty() || !set || !able || !runs_as(&user) {
            return None;
        }
        let machine = Condition::Machine {
            id: self.host.machine_id.present()?.clone(),
        };
        let mut work = Work {
            drift: Some(DriftKind::Changed {
                fields: vec![FieldChange::new("process", "not running", "running")],
            }),
            ..Work::default()
        };
        let port = component.servants().first().map(|(_, port)| *port);
        let held = |port: &u16| {
            self.host
                .ports
                .present()
                .is_some_and(|all| all.contains(port))
        };
        let why = match port.filter(held) {
            Some(port) => Some(Blocked::PortTakenOf { component, port }),
            None => self.unreadable_template(),
        };
        if let Some(why) = why {
            let resource = self.resource();
            work.lines.push(Line::Blocked { resource, why });
            return Some(work);
        }
        let mut post = vec![
            Condition::ServerRuns {
                component,
                digest: Some(digest),
                user,
            },
            Condition::ServerListens { component },
            Condition::ServerActive { component },
        ];
        let mut asked = framework(input)?.servants.values();
        if asked.any(|a| a.component == component && a.node == *node) {
            post.push(Condition::ServantsAnswer { component });
        }
        work.step = Some(Step {
            id: format!("{component}.start@{node}"),
            stage: Stage::BasicServices,
            batch: 0,
            needs: vec![],
            resource: self.resource(),
            sign: Sign::Change,
            summary: format!("start {component} through AdminRegistry"),
            action: Action::StartServer {
                component,
                node: node.clone(),
            },
            pre: vec![machine, Condition::Unfinished { run: None }],
            post,
            undo: Undo::Irreversible {
                reason: "it is set active, and shall run".to_owned(),
            },
        });
        Some(work)
    }

    fn change(
        &self,
        fields: &[FieldChange],
        file: Option<FileChange>,
        rows: Option<Vec<RowEdit>>,
        restart: bool,
        unknown: &mut Vec<String>,
        blocked: &mut Vec<Blocked>,
    ) -> Option<AgentChange> {
        let means = means(self.input, self.component, self.host);
        blocked.extend(means);
        let registry = self.component == Component::Tarsregistry;
        if restart
            && registry
            && !self.another_registry()
            && !self.input.desired.policy.registry_gap
        {
            blocked.push(Blocked::OnlyRegistry);
        }
        if restart && let Some(why) = self.unreadable_template() {
            blocked.push(why);
        }
        self.check_room(file.as_ref(), unknown, blocked);
        if restart && self.input.desired.database().is_some() {
            // Without the rows nobody could tell whether it comes back.
            let rows = framework(self.input).map(FrameworkFacts::rows);
            match rows {
                Some(Observed::Unknown(why)) => {
                    unknown.push(format!("its row, on which a restart rests: {why}"));
                }
                // One that Tars cannot read would make it start with nothing.
                Some(Observed::Present(rows)) => {
                    let unseen = rows.templates.unknown().or_else(|| rows.servers.unknown());
                    if let Some(why) = unseen {
                        unknown.push(format!("its template, on which a restart rests: {why}"));
                    }
                }
                _ => {}
            }
        }
        let Observed::Present(_) = &self.host.machine_id else {
            unknown.push("its machine-id cannot be read".to_owned());
            return None;
        };
        if !unknown.is_empty() || !blocked.is_empty() {
            return None;
        }
        let mut words: Vec<String> = fields
            .iter()
            .map(|f| {
                let from = f.old.split(' ').next().unwrap_or_default();
                let to = f.new.split(' ').next().unwrap_or_default();
                match f.field.as_str() {
                    "version" | "running version" => format!("{} {from} to {to}", f.field),
                    other => other.to_owned(),
                }
            })
            .collect();
        if words.is_empty() {
            words.push("process".to_owned());
        }
        let again = if restart { " (restart)" } else { "" };
        let summary = format!("change {}{again}", words.join(", "));
        let mut change = blank(
            self.input,
            self.component,
            self.node,
            self.spec,
            self.host,
            summary,
        )?;
        if file.is_some() && self.component.is_basic() {
            match basic::way(self.input) {
                Ok(via) => {
                    change.publish = Some(via);
                    let component = self.component;
                    change.summary =
                        format!("publish {component}, {}, {}", words.join(", "), via.words());
                }
                Err(why) => {
                    blocked.push(why);
                    return None;
                }
            }
            if let Some(why) = basic::admin_silent(self.input) {
                unknown.push(why);
                return None;
            }
            let other = basic::elsewhere(self.input, self.component, self.node, self.server);
            if let Some(why) = other {
                blocked.push(why);
                return None;
            }
        }
        if rows.is_some() && change.publish.is_none() {
            change.reread = true;
            // Its node writes its configuration anew when AdminRegistry tells it so.
            if self.input.desired.rpc == Rpc::Off {
                blocked.push(Blocked::NoWayIn {
                    what: "the spec says `rpc: none`, and AdminRegistry has its node read its rows"
                        .to_owned(),
                });
                return None;
            }
            if let Some(why) = basic::admin_silent(self.input) {
                unknown.push(why);
                return None;
            }
        }
        let rows = rows.unwrap_or_default();
        if rows.iter().any(|edit| edit.table == Table::TAdapterConf) {
            // As long as registries take to tell others where its servants are now.
            change.settle = Some(self.input.desired.policy.registry_settle);
        }
        change.rows = rows;
        change.files.extend(file);
        change.restart = restart;
        change.health = restart;
        change.ran = self.facts.runs();
        if restart {
            let port = self.component.servants().first().map(|(_, port)| *port);
            change.port = port;
            let moved = port.and_then(|port| basic::rows::port_before(&change.rows, port));
            change.port_before = moved.or(port);
        }
        Some(change)
    }

    fn unreadable_template(&self) -> Option<Blocked> {
        let row = self.row().and_then(|r| r.template.clone());
        unreadable_template(self.input, self.component, row, self.server)
    }

    /// Whether another registry of the spec answers.
    fn another_registry(&self) -> bool {
        let own = registries::endpoint_at(self.spec.ip);
        framework(self.input).is_some_and(|f| {
            f.registries
                .iter()
                .any(|(at, answer)| *at != own && answer.is_alive())
        })
    }

    fn check_room(
        &self,
        file: Option<&FileChange>,
        unknown: &mut Vec<String>,
        blocked: &mut Vec<Blocked>,
    ) {
        let payload = match file.map(|f| &f.content) {
            Some(Content::Package { size, .. }) => *size,
            _ => 0,
        };
        let (against, unseen) = room::room(self.input, self.host, payload);
        blocked.extend(against);
        unknown.extend(unseen);
    }

    fn step(&self, change: AgentChange, after: Option<Digest>, restart: bool) -> Step {
        let component = self.component;
        let mut pre = crate::assess::preconditions(&change);
        if restart
            && component == Component::Tarsregistry
            && !self.input.desired.policy.registry_gap
        {
            pre.push(Condition::AnotherRegistry {
                but: registries::endpoint_at(self.spec.ip),
            });
        }
        let mut post = vec![Condition::File {
            path: binary_path(component),
            digest: after,
        }];
        if restart {
            post.push(Condition::ServerRuns {
                component,
                digest: after,
                user: self.server.run_user.to_string(),
            });
            post.push(Condition::ServerListens { component });
            post.extend(self.framework_says());
        }
        Step {
            id: format!("{component}.change@{}", self.node),
            stage: stage(component),
            batch: 0,
            needs: vec![],
            resource: self.resource(),
            sign: Sign::Change,
            summary: change.summary.clone(),
            action: Action::ChangeAgent(Box::new(change)),
            pre,
            post,
            undo: Undo::Restore,
        }
    }

    /// What the framework must say of it afterwards, so far as it can be asked.
    fn framework_says(&self) -> Vec<Condition> {
        let component = self.component;
        let Some(framework) = framework(self.input) else {
            return vec![];
        };
        let mut out = Vec::new();
        let rows = framework.rows();
        if component == Component::Tarsregistry {
            let registry = registries::endpoint_at(self.spec.ip);
            if framework.registries.contains_key(&registry) {
                out.push(Condition::RegistryAnswers {
                    registry: registry.clone(),
                });
            }
            if rows
                .present()
                .is_some_and(|r| r.registries.present().is_some())
            {
                out.push(Condition::RegistryListed { registry });
            }
        } else {
            let asked = framework.servants.values();
            if asked
                .filter(|a| a.component == component && a.node == *self.node)
                .count()
                > 0
            {
                out.push(Condition::ServantsAnswer { component });
            }
        }
        // One that nobody counted as active before need not be so afterwards.
        if self
            .row()
            .is_some_and(|r| r.setting.as_deref() == Some("active"))
        {
            out.push(Condition::ServerActive { component });
        }
        if component != Component::TarsAdminRegistry && framework.admin.present().is_some() {
            let key = tarsops_model::framework::server_key(component, self.node);
            let view = framework.admin.present().and_then(|a| a.servers.get(&key));
            if view.is_some_and(|v| v.present().is_some_and(|v| v.in_node == "Active")) {
                out.push(Condition::ServerInNode { component });
            }
        }
        out
    }
}

/// A template of a server, or one above it, that is not there or that Tars could not read: its
/// tarsnode would make a configuration of it with which the server does not start. `row` is what its
/// row names now.
pub(crate) fn unreadable_template(
    input: &PlanInput<'_>,
    component: Component,
    row: Option<String>,
    server: &Server,
) -> Option<Blocked> {
    let rows = framework(input)?.rows();
    let rows = rows.present()?;
    let shall = server.rows.template.clone();
    let mut name = shall.or(row).unwrap_or_else(|| format!("tars.{component}"));
    // A chain longer than this goes round in a circle.
    for _ in 0..8 {
        let row = match rows.template(&name) {
            Observed::Present(row) => row,
            Observed::Absent if is_missed(input, component, &name, rows) => {
                return Some(Blocked::NoTemplate { name });
            }
            _ => return None,
        };
        if let Some(text) = &row.text
            && let Err(e) = tarsops_conf::Document::parse(text.expose())
        {
            return Some(Blocked::Unreadable {
                file: format!("the template {name}"),
                why: e.to_string(),
            });
        }
        name = row.parent.clone().filter(|p| *p != name)?;
    }
    None
}

/// Whether a template that is not there keeps a server from being published: no release in the lock
/// file brings it, or a narrowed plan leaves it out. A table without any row was not filled yet, and
/// proves nothing.
fn is_missed(
    input: &PlanInput<'_>,
    component: Component,
    name: &str,
    rows: &tarsops_model::framework::Rows,
) -> bool {
    let mut releases = input.catalog.templates.values();
    let whole = input.scope.nodes.is_empty() && input.scope.components.is_empty();
    component.is_basic()
        && rows.templates.present().is_some_and(|all| !all.is_empty())
        && !(whole && releases.any(|shipped| shipped.contains_key(name)))
}

fn framework<'a>(input: &PlanInput<'a>) -> Option<&'a FrameworkFacts> {
    input.inventory.framework.as_deref()
}

/// Has the step that starts a registry put the new binary there first.
pub(crate) fn start_with(start: &mut Step, change: Step) {
    let (Action::ChangeAgent(into), Action::ChangeAgent(from)) = (&mut start.action, change.action)
    else {
        return;
    };
    for file in &from.files {
        start.pre.push(Condition::File {
            path: file.path.clone(),
            digest: file.before,
        });
    }
    into.files = from.files;
    start.post.extend(change.post);
    start.summary = format!("{}, and start it", change.summary);
    into.summary.clone_from(&start.summary);
    start.undo = Undo::Restore;
}

/// What the host lacks for a change of `component`.
pub(crate) fn means(input: &PlanInput<'_>, component: Component, host: &HostFacts) -> Vec<Blocked> {
    let mut why: Vec<Blocked> = room::programs(host).collect();
    if !host.is_root && host.user != input.desired.run_user.as_str() {
        why.push(Blocked::NeedsRoot {
            what: format!("working on {component} as {}", host.user),
        });
    }
    why
}

/// A change of a component other than tarsnode that changes nothing yet; none where the machine
/// cannot be told.
pub(crate) fn blank(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    summary: String,
) -> Option<AgentChange> {
    let (Observed::Present(machine_id), Some(agent)) =
        (&host.machine_id, input.desired.agent(node))
    else {
        return None;
    };
    Some(AgentChange {
        component,
        node: node.clone(),
        summary,
        folder: Folder::Keep,
        files: vec![],
        make_user: false,
        own: false,
        restart: false,
        stop_servers: false,
        health: false,
        crontab: None,
        tars_path: agent.tars_path.clone(),
        run_user: agent.run_user.clone(),
        nodeid: node.clone(),
        ip: spec.ip,
        port: None,
        port_before: None,
        ran: false,
        lenient: false,
        machine_id: machine_id.clone(),
        folder_from: None,
        registry: (component == Component::Tarsregistry).then(|| registries::endpoint_at(spec.ip)),
        labels: None,
        owners_from: None,
        takes_back: None,
        settle: None,
        publish: None,
        names: None,
        rows: vec![],
        reread: false,
    })
}
