//! Compares tarsnode on one node with the spec, and says what one script on the host shall do.
//!
//! Every fact is looked at on its own; what cannot be seen makes the node unknown, and an unknown
//! node gets no step. What must stay true: a node's step either brings all of it to the spec or is
//! not made at all.

use std::collections::BTreeMap;

use tarsops_conf::placeholder::{Placeholder, Vars, placeholders, substitute};
use tarsops_conf::{Document, tarsnode, util_script};
use tarsops_model::agent::{Agent, AgentFacts, Monitor, ProcessFact, TextFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::host::{Host, HostFacts, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::PackageContents;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::action::{AgentChange, Content, CrontabChange, FileChange, Folder};
use crate::condition::{Condition, wanted_conf, wanted_conf_like};
use crate::crontab;
use crate::drift::{DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::report::{Blocked, Line};

/// tarsnode's configuration, relative to the framework's folder.
pub const CONF: &str = "tarsnode/conf/tars.tarsnode.config.conf";
/// tarsnode's binary, relative to the framework's folder.
pub const BINARY: &str = "tarsnode/bin/tarsnode";
/// Scripts without which tarsnode cannot be started, stopped and watched.
pub const SCRIPTS: [&str; 4] = ["execute.sh", "monitor.sh", "start.sh", "stop.sh"];
/// Free bytes that a change needs beyond twice its payload.
const HEADROOM: u64 = 16 << 20;

/// What there is to say of one node.
#[derive(Debug, Clone, Default)]
pub struct Assessment {
    /// How it differs; `None` if it does not, or if that is nobody's concern.
    pub drift: Option<DriftKind>,
    /// Reasons and notes.
    pub lines: Vec<Line>,
    /// What one script shall do.
    pub change: Option<Prepared>,
}

/// A change with its conditions.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// What to do.
    pub change: AgentChange,
    /// What must hold before.
    pub pre: Vec<Condition>,
    /// What must hold after.
    pub post: Vec<Condition>,
}

/// What is gathered while one node is compared.
struct Work<'a> {
    input: &'a PlanInput<'a>,
    node: &'a NodeName,
    agent: &'a Agent,
    host: &'a HostFacts,
    package: Option<&'a PackageContents>,
    fields: Vec<FieldChange>,
    unknown: Vec<String>,
    blocked: Vec<Blocked>,
    lines: Vec<Line>,
    files: Vec<FileChange>,
    restart: bool,
    own: bool,
    make_user: bool,
    keeps_binary: Option<Digest>,
    port: Option<u16>,
}

/// Compares `node` with the spec. The caller has made sure of the host's identity.
#[must_use]
pub fn assess(
    input: &PlanInput<'_>,
    node: &NodeName,
    spec: &Host,
    agent: &Agent,
    host: &HostFacts,
) -> Assessment {
    let facts = match input.inventory.agent(node) {
        Observed::Unknown(why) => {
            return Assessment {
                drift: Some(DriftKind::Unknown { why: vec![why] }),
                ..Assessment::default()
            };
        }
        Observed::Absent => None,
        Observed::Present(facts) => Some(facts),
    };
    let work = Work {
        input,
        node,
        agent,
        host,
        package: input.catalog.get(Component::Tarsnode, agent.version),
        fields: vec![],
        unknown: vec![],
        blocked: vec![],
        lines: vec![],
        files: vec![],
        restart: false,
        own: false,
        make_user: false,
        keeps_binary: None,
        port: None,
    };
    match (&spec.state, facts) {
        (NodeState::Absent { stop_servers }, facts) => work.removal(facts, *stop_servers),
        (_, Some(facts)) if !facts.folder.is_absent() => work.existing(facts),
        (_, facts) => work.install(facts),
    }
}

impl Work<'_> {
    fn resource(&self) -> ResourceId {
        ResourceId::Agent(self.node.clone())
    }

    fn tars(&self) -> &str {
        self.agent.tars_path.as_str()
    }

    fn block(&mut self, why: Blocked) {
        if !self.blocked.contains(&why) {
            self.blocked.push(why);
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Note {
            resource: self.resource(),
            text: text.into(),
        });
    }

    /// A digest as people know it: its version, or its first digits.
    fn name_of(&self, digest: &Digest) -> String {
        let versions = self.input.catalog.versions_of(Component::Tarsnode, digest);
        match versions.last() {
            Some(v) => format!("{v} ({})", digest.short()),
            None => format!("unknown ({})", digest.short()),
        }
    }

    fn vars(&self) -> Vars {
        let registries = &self.agent.locator;
        Vars {
            localip: Some(self.agent.ip.to_string()),
            registries: registries
                .iter()
                .map(|e| (e.host.to_string(), e.port))
                .collect(),
            registry_host: registries.iter().next().map(|e| e.host.to_string()),
            database_host: None,
            tars_path: Some(self.tars().to_owned()),
        }
    }

    // ---- texts ---------------------------------------------------------------------------

    /// The configuration from the package, for this node.
    fn fresh_conf(&mut self) -> Option<String> {
        let shipped = self
            .package
            .and_then(|p| p.file("conf/tars.tarsnode.config.conf"));
        let Some(text) = shipped.and_then(|f| f.text.as_deref()) else {
            self.block(match self.package {
                None => Blocked::NoPackage {
                    version: self.agent.version,
                },
                Some(_) => Blocked::IncompletePackage {
                    version: self.agent.version,
                },
            });
            return None;
        };
        let text = substitute(text, &self.vars());
        let mut wanted = wanted_conf(&self.agent.ip.to_string(), &self.agent.locator);
        wanted.exact = true;
        match tarsnode::rewrite(&text, &wanted) {
            Ok(text) => Some(text),
            Err(e) => {
                self.block(Blocked::Unreadable {
                    file: "the package's configuration".to_owned(),
                    why: e.to_string(),
                });
                None
            }
        }
    }

    /// A script from the package, for this node.
    fn fresh_script(&mut self, name: &str) -> Option<String> {
        let shipped = self.package.and_then(|p| p.file(&format!("util/{name}")));
        let Some(text) = shipped.and_then(|f| f.text.as_deref()) else {
            self.block(match self.package {
                None => Blocked::NoPackage {
                    version: self.agent.version,
                },
                Some(_) => Blocked::IncompletePackage {
                    version: self.agent.version,
                },
            });
            return None;
        };
        self.fit_script(name, text)
    }

    /// `text` with this node's values in it.
    fn fit_script(&mut self, name: &str, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        if name == "execute.sh" {
            match util_script::set_nodeid(&text, self.agent.nodeid.as_str()) {
                Ok(t) => text = t,
                Err(e) => {
                    self.block(Blocked::Unreadable {
                        file: "util/execute.sh".to_owned(),
                        why: e.to_string(),
                    });
                    return None;
                }
            }
        }
        Some(substitute(&text, &self.vars()))
    }

    fn write(&mut self, path: &str, mode: u32, before: Option<Digest>, text: String) {
        self.files.push(FileChange {
            path: path.to_owned(),
            mode,
            before,
            before_mode: None,
            after: Some(Digest::of(text.as_bytes())),
            content: Content::Text(text),
        });
    }

    // ---- install -------------------------------------------------------------------------

    fn install(mut self, facts: Option<&AgentFacts>) -> Assessment {
        let Some(package) = self.package else {
            self.block(Blocked::NoPackage {
                version: self.agent.version,
            });
            return self.finish(DriftKind::Missing, Folder::Create, None, None);
        };
        if !package.is_complete() {
            self.block(Blocked::IncompletePackage {
                version: self.agent.version,
            });
        }
        for file in &package.files {
            let path = format!("tarsnode/{}", file.path);
            if path == BINARY {
                continue;
            }
            let text = match file.path.strip_prefix("util/") {
                _ if path == CONF => self.fresh_conf(),
                Some(name) if file.text.is_some() => self.fresh_script(name),
                _ => None,
            };
            match text {
                Some(text) => self.write(&path, file.mode, None, text),
                None if path == CONF || file.path.starts_with("util/") => {}
                None => self.files.push(FileChange {
                    path,
                    mode: file.mode,
                    before: None,
                    before_mode: None,
                    after: Some(file.digest),
                    content: Content::Package {
                        component: Component::Tarsnode,
                        version: self.agent.version,
                        path: file.path.clone(),
                        size: file.size,
                    },
                }),
            }
        }
        self.port = self.new_port();
        self.binary_from_package(None);
        self.fields.push(FieldChange::new(
            "version",
            "none",
            self.agent.version.to_string(),
        ));
        self.check_user();
        self.own = self.host.is_root;
        self.restart = true;
        let crontab = self.crontab_change();
        if let Some(facts) = facts.filter(|f| f.processes.present().is_some_and(|p| !p.is_empty()))
        {
            let _ = facts;
            self.note("a tarsnode runs there without its folder; it is stopped");
        }
        self.finish(DriftKind::Missing, Folder::Create, crontab, None)
    }

    fn binary_from_package(&mut self, before: Option<Digest>) {
        let file = self.package.and_then(|p| p.file("bin/tarsnode"));
        let Some(file) = file else {
            self.block(Blocked::NoPackage {
                version: self.agent.version,
            });
            return;
        };
        self.files.push(FileChange {
            path: BINARY.to_owned(),
            mode: 0o755,
            before,
            before_mode: None,
            after: Some(file.digest),
            content: Content::Package {
                component: Component::Tarsnode,
                version: self.agent.version,
                path: file.path.clone(),
                size: file.size,
            },
        });
    }

    // ---- compare -------------------------------------------------------------------------

    fn existing(mut self, facts: &AgentFacts) -> Assessment {
        let port_before = port_of(&facts.conf);
        self.port = port_before;
        self.check_user();
        self.compare_conf(&facts.conf);
        for name in SCRIPTS {
            let unseen = Observed::Unknown("it was not looked at".to_owned());
            self.compare_script(name, facts.util.get(name).unwrap_or(&unseen));
        }
        self.compare_owner(facts);
        let disk = self.compare_binary(facts);
        self.compare_processes(facts, disk);
        if facts.generated_conf {
            self.note(
                "tarsnode/data/tars.tarsnode/conf has a configuration that start.sh prefers to its own",
            );
        }
        let crontab = self.crontab_change();
        if let Some(edit) = &crontab {
            self.crontab_fields(edit);
        }
        let fields = std::mem::take(&mut self.fields);
        self.finish(
            DriftKind::Changed { fields },
            Folder::Keep,
            crontab,
            port_before,
        )
    }

    fn compare_conf(&mut self, conf: &Observed<TextFact>) {
        let blank = |t: &TextFact| Document::parse(&t.text).is_ok_and(|d| d.is_blank());
        let found = match conf {
            Observed::Unknown(why) => {
                self.unknown.push(format!("the configuration: {why}"));
                return;
            }
            Observed::Present(text) if !blank(text) => text,
            // Gone, or emptied by a power loss or a full disk: made anew from the package.
            Observed::Present(_) | Observed::Absent => {
                let before = conf.present().map(TextFact::digest);
                let old = if before.is_some() { "empty" } else { "missing" };
                self.fields.push(FieldChange::new(
                    "configuration",
                    old,
                    "made from the package",
                ));
                self.restart = true;
                if let Some(text) = self.fresh_conf() {
                    self.write(CONF, 0o644, before, text);
                    self.port = self.new_port();
                }
                return;
            }
        };
        let doc = match Document::parse(&found.text) {
            Ok(doc) => doc,
            Err(e) => {
                self.block(Blocked::Unreadable {
                    file: CONF.to_owned(),
                    why: e.to_string(),
                });
                return;
            }
        };
        let ip = self.agent.ip.to_string();
        let says = tarsnode::read(&doc);
        let wanted = wanted_conf_like(&says, &ip, self.agent.nodeid.as_str(), &self.agent.locator);
        let left: Vec<Placeholder> = says
            .placeholders
            .iter()
            .copied()
            .filter(|p| !matches!(p, Placeholder::DatabaseHost))
            .collect();
        if says.satisfies(&wanted) && left.is_empty() {
            let more: Vec<String> = says
                .locator
                .difference(&wanted.locator)
                .map(|(h, p)| format!("{h}:{p}"))
                .collect();
            if !more.is_empty() {
                self.note(format!("its locator also names {}", more.join(", ")));
            }
            return;
        }
        let text = match tarsnode::rewrite(&substitute(&found.text, &self.vars()), &wanted) {
            Ok(text) => text,
            Err(e) => {
                self.block(Blocked::Unreadable {
                    file: CONF.to_owned(),
                    why: e.to_string(),
                });
                return;
            }
        };
        let mut reloads = !left.is_empty();
        let shown = |v: &Option<String>| v.clone().unwrap_or_else(|| "none".to_owned());
        if says.localip.as_deref() != Some(&wanted.localip) {
            self.fields
                .push(FieldChange::new("localip", shown(&says.localip), &ip));
            reloads = true;
        }
        if says.endpoint_host.as_deref() != Some(&wanted.endpoint_host) {
            self.fields.push(FieldChange::new(
                "endpoint",
                shown(&says.endpoint_host),
                &ip,
            ));
            reloads = true;
        }
        if !says.locator.is_superset(&wanted.locator) {
            let list = |set: &std::collections::BTreeSet<(String, u16)>| {
                let all: Vec<String> = set.iter().map(|(h, p)| format!("{h}:{p}")).collect();
                if all.is_empty() {
                    "none".to_owned()
                } else {
                    all.join(", ")
                }
            };
            let mut new = says.locator.clone();
            new.extend(wanted.locator.iter().cloned());
            self.fields
                .push(FieldChange::new("locator", list(&says.locator), list(&new)));
            // A running tarsnode learns registries from one that it knows; without any it cannot.
            reloads |= says.locator.is_disjoint(&wanted.locator);
        }
        if !left.is_empty() {
            let names: Vec<&str> = left.iter().map(|p| p.text()).collect();
            self.fields
                .push(FieldChange::new("placeholders", names.join(", "), "filled"));
        }
        let diff = similar::TextDiff::from_lines(&found.text, &text)
            .unified_diff()
            .context_radius(1)
            .header("live", "spec")
            .to_string();
        if let Some(last) = self.fields.last_mut() {
            last.diff = Some(diff);
        }
        self.restart |= reloads;
        self.write(CONF, found.mode, Some(found.digest()), text);
    }

    fn compare_script(&mut self, name: &str, script: &Observed<TextFact>) {
        let path = format!("tarsnode/util/{name}");
        let found = match script {
            Observed::Unknown(why) => {
                self.unknown.push(format!("util/{name}: {why}"));
                return;
            }
            Observed::Present(text) if !text.text.trim().is_empty() => text,
            Observed::Present(_) | Observed::Absent => {
                let before = script.present().map(TextFact::digest);
                let old = if before.is_some() { "empty" } else { "missing" };
                self.fields.push(FieldChange::new(
                    &format!("util/{name}"),
                    old,
                    "from the package",
                ));
                if let Some(text) = self.fresh_script(name) {
                    self.write(&path, 0o755, before, text);
                }
                return;
            }
        };
        let mut rewrite = false;
        if name == "execute.sh" {
            let says = util_script::nodeid(&found.text);
            if says != Some(self.agent.nodeid.as_str()) {
                let old = says.unwrap_or("none");
                self.fields
                    .push(FieldChange::new("nodeid", old, self.agent.nodeid.as_str()));
                self.warn_of_foreign_nodeid(says, "util/execute.sh says");
                rewrite = true;
            }
        }
        let left: Vec<&str> = placeholders(&found.text)
            .into_iter()
            .filter(|p| !matches!(p, Placeholder::DatabaseHost))
            .map(Placeholder::text)
            .collect();
        // A nodeid that is the placeholder was told above.
        if !left.is_empty() && !(rewrite && left == ["localip.tars.com"]) {
            self.fields.push(FieldChange::new(
                &format!("util/{name}"),
                format!("has {}", left.join(", ")),
                "filled",
            ));
        }
        // cron runs the monitor itself, so it must be executable.
        let mode = if name == "monitor.sh" {
            found.mode | 0o555
        } else {
            found.mode
        };
        if mode != found.mode {
            self.fields.push(FieldChange::new(
                &format!("mode of util/{name}"),
                format!("{:o}", found.mode),
                format!("{mode:o}"),
            ));
        }
        if rewrite || !left.is_empty() {
            if let Some(text) = self.fit_script(name, &found.text) {
                self.write(&path, mode, Some(found.digest()), text);
            }
        } else if mode != found.mode {
            let digest = Some(found.digest());
            self.files.push(FileChange {
                path,
                mode,
                before: digest,
                before_mode: None,
                after: digest,
                content: Content::None,
            });
        }
    }

    fn warn_of_foreign_nodeid(&mut self, says: Option<&str>, where_: &str) {
        let Some(says) = says.filter(|s| *s != self.agent.nodeid.as_str()) else {
            return;
        };
        let other = self.input.desired.hosts().find(|(name, host)| {
            *name != self.node && (name.as_str() == says || host.ip.to_string() == says)
        });
        if let Some((other, _)) = other {
            let text = format!(
                "{where_} nodeid {says}, which is node {other}: started like this it takes {other}'s services out of name resolution"
            );
            let line = Line::Alarm {
                resource: self.resource(),
                text,
            };
            if !self.lines.contains(&line) {
                self.lines.push(line);
            }
        }
    }

    fn compare_owner(&mut self, facts: &AgentFacts) {
        let user = self.agent.run_user.as_str();
        match &facts.folder {
            Observed::Unknown(why) => self.unknown.push(format!("the folder: {why}")),
            Observed::Absent => {}
            Observed::Present(folder) => {
                if folder.owner != user || !folder.strangers.is_empty() {
                    let old = if folder.owner == user {
                        format!("others own {}", folder.strangers.join(", "))
                    } else {
                        folder.owner.clone()
                    };
                    self.fields.push(FieldChange::new("owner", old, user));
                    self.own = true;
                    if !self.host.is_root {
                        self.block(Blocked::NeedsRoot {
                            what: format!("giving the folder to {user}"),
                        });
                    }
                }
            }
        }
    }

    /// Compares the file on disk; the digest that will be there afterwards, if that is known.
    fn compare_binary(&mut self, facts: &AgentFacts) -> Option<Digest> {
        let want = self.agent.version;
        match &facts.binary {
            Observed::Unknown(why) => {
                self.unknown.push(format!("the binary: {why}"));
                None
            }
            Observed::Absent => {
                self.fields
                    .push(FieldChange::new("version", "no binary", want.to_string()));
                self.restart = true;
                self.binary_from_package(None);
                self.package.map(|p| p.pin.binary)
            }
            Observed::Present(file) => {
                let versions = self
                    .input
                    .catalog
                    .versions_of(Component::Tarsnode, &file.digest);
                if versions.contains(&want) {
                    self.keeps_binary = Some(file.digest);
                    let mode = file.mode | 0o555;
                    if mode != file.mode {
                        self.fields.push(FieldChange::new(
                            "mode of bin/tarsnode",
                            format!("{:o}", file.mode),
                            format!("{mode:o}"),
                        ));
                        self.files.push(FileChange {
                            path: BINARY.to_owned(),
                            mode,
                            before: Some(file.digest),
                            before_mode: None,
                            after: Some(file.digest),
                            content: Content::None,
                        });
                    }
                    return Some(file.digest);
                }
                if versions.is_empty() && !self.agent.replace_unknown {
                    self.unknown.push(format!(
                        "its binary {} is in no lock file; teach it with `tarsops package add`, or say `replace_unknown: true`",
                        file.digest
                    ));
                    self.keeps_binary = Some(file.digest);
                    return Some(file.digest);
                }
                self.refuse_downgrade(&versions);
                self.fields.push(FieldChange::new(
                    "version",
                    self.name_of(&file.digest),
                    want.to_string(),
                ));
                self.restart = true;
                self.binary_from_package(Some(file.digest));
                self.package.map(|p| p.pin.binary)
            }
        }
    }

    fn refuse_downgrade(&mut self, versions: &[Version]) {
        let want = self.agent.version;
        if let Some(from) = versions.iter().min().copied() {
            if from > want && !self.agent.allow_downgrade {
                self.block(Blocked::Downgrade { from, to: want });
            }
        }
    }

    fn compare_processes(&mut self, facts: &AgentFacts, disk: Option<Digest>) {
        let all = match &facts.processes {
            Observed::Unknown(why) => {
                self.unknown.push(format!("its processes: {why}"));
                return;
            }
            Observed::Absent => &vec![],
            Observed::Present(all) => all,
        };
        let [one] = all.as_slice() else {
            let old = if all.is_empty() {
                "not running".to_owned()
            } else {
                let pids: Vec<String> = all.iter().map(|p| p.pid.to_string()).collect();
                format!("{} processes ({})", all.len(), pids.join(", "))
            };
            self.fields
                .push(FieldChange::new("process", old, "running once"));
            self.restart = true;
            return;
        };
        self.compare_running(one, facts, disk);
        let nodeid = self.agent.nodeid.as_str();
        if one.nodeid.as_deref() != Some(nodeid) {
            let old = one.nodeid.clone().unwrap_or_else(|| "none".to_owned());
            self.warn_of_foreign_nodeid(one.nodeid.as_deref(), "it runs with");
            self.fields
                .push(FieldChange::new("running nodeid", old, nodeid));
            self.restart = true;
        }
        if one.user != self.agent.run_user.as_str() {
            self.fields.push(FieldChange::new(
                "running as",
                &one.user,
                self.agent.run_user.as_str(),
            ));
            self.restart = true;
        }
        match &facts.listening {
            Observed::Present(true) => {}
            Observed::Present(false) | Observed::Absent => {
                self.fields
                    .push(FieldChange::new("port", "does not listen", "listens"));
                self.restart = true;
            }
            Observed::Unknown(why) => self.unknown.push(format!("its port: {why}")),
        }
    }

    /// A replaced file whose process still runs the old one is a restart.
    fn compare_running(&mut self, one: &ProcessFact, facts: &AgentFacts, disk: Option<Digest>) {
        let on_disk_now = facts.binary.present().map(|b| b.digest);
        match (&one.exe, disk) {
            (Observed::Present(running), Some(disk)) if *running != disk => {
                let versions = self.input.catalog.versions_of(Component::Tarsnode, running);
                if versions.is_empty()
                    && Some(*running) != on_disk_now
                    && !self.agent.replace_unknown
                {
                    self.unknown.push(format!(
                        "it runs a binary {running} that is in no lock file; teach it with `tarsops package add`, or say `replace_unknown: true`"
                    ));
                    return;
                }
                if Some(*running) != on_disk_now {
                    self.refuse_downgrade(&versions);
                    self.fields.push(FieldChange::new(
                        "running version",
                        self.name_of(running),
                        self.name_of(&disk),
                    ));
                }
                self.restart = true;
            }
            (Observed::Present(_), _) => {}
            (Observed::Absent | Observed::Unknown(_), _) if one.exe_deleted => {
                self.fields.push(FieldChange::new(
                    "running version",
                    "a file that was replaced",
                    "the installed one",
                ));
                self.restart = true;
            }
            (Observed::Unknown(why), _) => self.unknown.push(format!("the running binary: {why}")),
            (Observed::Absent, _) => {}
        }
    }

    fn check_user(&mut self) {
        let user = self.agent.run_user.clone();
        match &self.host.run_user {
            Observed::Present(()) => {}
            Observed::Absent if self.agent.create_run_user => {
                self.make_user = true;
                self.own = true;
                self.fields
                    .push(FieldChange::new("run user", "missing", user.as_str()));
            }
            Observed::Absent => self.block(Blocked::NoRunUser {
                user: user.to_string(),
            }),
            Observed::Unknown(why) => self.unknown.push(format!("the run user: {why}")),
        }
    }

    fn crontab_text(&self) -> Option<String> {
        self.host
            .crontab
            .present()
            .map(|t| crontab::without_guard(t))
            .filter(|t| !t.is_empty())
    }

    fn crontab_change(&mut self) -> Option<CrontabChange> {
        if self.agent.monitor == Monitor::None {
            return None;
        }
        if let Observed::Unknown(why) = &self.host.crontab {
            self.unknown.push(format!("its crontab: {why}"));
            return None;
        }
        let text = self.crontab_text();
        crontab::wanted_edit(text.as_deref(), self.tars(), self.agent.monitor).map(|edit| {
            CrontabChange {
                before: text.map(|t| Digest::of(t.as_bytes())),
                edit,
                back: None,
            }
        })
    }

    fn crontab_fields(&mut self, change: &CrontabChange) {
        for (_, line) in &change.edit.remove {
            self.fields
                .push(FieldChange::new("crontab", line, "removed"));
        }
        if let Some(line) = &change.edit.add {
            self.fields
                .push(FieldChange::new("crontab", "no monitor", line));
        }
    }

    // ---- removal -------------------------------------------------------------------------

    fn removal(mut self, facts: Option<&AgentFacts>, stop_servers: bool) -> Assessment {
        let text = self.crontab_text();
        let crontab = match &self.host.crontab {
            Observed::Unknown(why) if self.host.tools.get("crontab") != Some(&false) => {
                self.unknown.push(format!("its crontab: {why}"));
                None
            }
            _ => crontab::removal_edit(text.as_deref(), self.tars()).map(|edit| CrontabChange {
                before: text.map(|t| Digest::of(t.as_bytes())),
                edit,
                back: None,
            }),
        };
        let there = facts.filter(|f| !f.folder.is_absent());
        let running = facts.is_some_and(|f| f.processes.present().is_some_and(|p| !p.is_empty()));
        if there.is_none() && crontab.is_none() && !running && self.unknown.is_empty() {
            return Assessment {
                lines: self.lines,
                ..Assessment::default()
            };
        }
        if let Some(facts) = facts {
            if let Observed::Unknown(why) = &facts.processes {
                self.unknown.push(format!("its processes: {why}"));
            }
            if !facts.servers.is_empty() {
                if stop_servers {
                    self.note(format!(
                        "its servers are stopped with it: {}",
                        facts.servers.join(", ")
                    ));
                } else {
                    self.block(Blocked::ServersRunning {
                        servers: facts.servers.clone(),
                    });
                }
            }
        }
        if self.host.user != self.agent.run_user.as_str() && !self.host.is_root {
            self.block(Blocked::NeedsRoot {
                what: "removing tarsnode".to_owned(),
            });
        }
        self.restart = there.is_none() && running;
        let folder = if there.is_some() {
            Folder::Remove
        } else {
            Folder::Keep
        };
        let mut done = self.finish(DriftKind::Surplus, folder, crontab, None);
        if let Some(prepared) = &mut done.change {
            prepared.change.stop_servers = stop_servers;
        }
        done
    }

    // ---- the end -------------------------------------------------------------------------

    /// The port that the configuration among the files to write names.
    fn new_port(&self) -> Option<u16> {
        let text = self
            .files
            .iter()
            .find(|f| f.path == CONF)
            .and_then(|f| match &f.content {
                Content::Text(t) => Some(t.as_str()),
                _ => None,
            })?;
        Document::parse(text)
            .ok()
            .and_then(|d| tarsnode::read(&d).endpoint_port)
    }

    fn check_means(&mut self) {
        for (program, package) in [("flock", "util-linux"), ("setsid", "util-linux")] {
            if self.host.tools.get(program) == Some(&false) {
                self.block(Blocked::NoProgram {
                    program: program.to_owned(),
                    package: package.to_owned(),
                });
            }
        }
        if !self.host.is_root {
            if self.make_user {
                self.block(Blocked::NeedsRoot {
                    what: "making a user".to_owned(),
                });
            } else if self.host.user != self.agent.run_user.as_str() {
                let what = format!("running tarsnode as {}", self.agent.run_user);
                self.block(Blocked::NeedsRoot { what });
            }
        }
        let payload: u64 = self
            .files
            .iter()
            .map(|f| match &f.content {
                Content::Package { size, .. } => *size,
                Content::Text(t) => t.len() as u64,
                Content::Before { .. } | Content::None => 0,
            })
            .sum();
        match &self.host.disk_free {
            Observed::Present(free) if *free < 2 * payload + HEADROOM => {
                let needed = 2 * payload + HEADROOM;
                self.block(Blocked::NoSpace {
                    free: *free,
                    needed,
                });
            }
            Observed::Unknown(why) => self.unknown.push(format!("the free space: {why}")),
            _ => {}
        }
        match &self.host.writable {
            Observed::Present(false) => {
                let path = self.input.desired.install_path.to_string();
                self.block(Blocked::NotWritable { path });
            }
            Observed::Unknown(why) => self.unknown.push(format!("the install path: {why}")),
            _ => {}
        }
    }

    fn finish(
        mut self,
        drift: DriftKind,
        folder: Folder,
        crontab: Option<CrontabChange>,
        port_before: Option<u16>,
    ) -> Assessment {
        let quiet = matches!(&drift, DriftKind::Changed { fields } if fields.is_empty());
        if quiet && self.unknown.is_empty() && self.blocked.is_empty() {
            return Assessment {
                lines: self.lines,
                ..Assessment::default()
            };
        }
        let removal = drift == DriftKind::Surplus;
        if !quiet {
            self.check_means();
        }
        let Observed::Present(machine_id) = self.host.machine_id.clone() else {
            self.unknown
                .push("its machine-id cannot be read".to_owned());
            return self.without_change(drift, quiet);
        };
        if !self.unknown.is_empty() || !self.blocked.is_empty() || quiet {
            return self.without_change(drift, quiet);
        }
        let modes = modes_seen(self.input, self.node);
        for file in &mut self.files {
            file.before_mode = file.before.and_then(|_| modes.get(&file.path).copied());
        }
        // The binary is last: until it is in place, whoever restarts it starts the old one whole.
        self.files.sort_by_key(|f| f.path == BINARY);
        let summary = self.summary(&drift, folder);
        let change = AgentChange {
            node: self.node.clone(),
            summary,
            folder,
            make_user: self.make_user,
            own: self.own,
            restart: self.restart,
            stop_servers: false,
            health: !removal,
            crontab,
            tars_path: self.agent.tars_path.clone(),
            run_user: self.agent.run_user.clone(),
            nodeid: self.agent.nodeid.clone(),
            ip: self.agent.ip,
            port: self.port,
            port_before,
            ran: facts_ran(self.input, self.node),
            lenient: false,
            machine_id,
            folder_from: None,
            owners_from: None,
            files: self.files.clone(),
        };
        let pre = preconditions(&change);
        let post = if removal {
            self.removed()
        } else {
            self.converged()
        };
        Assessment {
            drift: Some(drift),
            lines: self.lines,
            change: Some(Prepared { change, pre, post }),
        }
    }

    fn without_change(mut self, drift: DriftKind, quiet: bool) -> Assessment {
        let resource = self.resource();
        let blocked = !self.blocked.is_empty();
        for why in std::mem::take(&mut self.blocked) {
            self.lines.push(Line::Blocked {
                resource: resource.clone(),
                why,
            });
        }
        let drift = if !self.unknown.is_empty() {
            Some(DriftKind::Unknown { why: self.unknown })
        } else if blocked && quiet {
            None
        } else {
            Some(drift)
        };
        Assessment {
            drift,
            lines: self.lines,
            change: None,
        }
    }

    fn summary(&self, drift: &DriftKind, folder: Folder) -> String {
        match (drift, folder) {
            (DriftKind::Missing, _) => format!("install tarsnode {}", self.agent.version),
            (DriftKind::Surplus, Folder::Remove) => "remove tarsnode".to_owned(),
            (DriftKind::Surplus, _) => "remove what is left of tarsnode".to_owned(),
            (DriftKind::Changed { fields }, _) => {
                let mut words: Vec<String> = Vec::new();
                for field in fields {
                    let word = if field.field == "version" {
                        let from = field.old.split(' ').next().unwrap_or_default();
                        format!("version {from} to {}", self.agent.version)
                    } else {
                        field.field.clone()
                    };
                    if !words.contains(&word) {
                        words.push(word);
                    }
                }
                let restart = if self.restart { " (restart)" } else { "" };
                format!("change {}{restart}", words.join(", "))
            }
            _ => "change tarsnode".to_owned(),
        }
    }

    fn converged(&self) -> Vec<Condition> {
        let digest = self
            .package
            .map(|p| p.pin.binary)
            .filter(|_| self.keeps_binary.is_none());
        let digest = digest.or(self.keeps_binary);
        let mut out = vec![
            Condition::File {
                path: BINARY.to_owned(),
                digest,
            },
            Condition::ScriptNodeid {
                nodeid: self.agent.nodeid.clone(),
            },
            Condition::Conf {
                ip: self.agent.ip.to_string(),
                nodeid: self.agent.nodeid.clone(),
                locator: self.agent.locator.clone(),
            },
            Condition::Runs {
                digest,
                nodeid: self.agent.nodeid.clone(),
                user: self.agent.run_user.to_string(),
            },
            Condition::Listens,
            Condition::Owner {
                user: self.agent.run_user.to_string(),
            },
        ];
        if self.agent.monitor == Monitor::Cron {
            out.push(Condition::Watched {
                tars_path: self.tars().to_owned(),
            });
        }
        out
    }

    fn removed(&self) -> Vec<Condition> {
        let mut out = vec![Condition::Folder { exists: false }, Condition::Stopped];
        if self.host.crontab.unknown().is_none() {
            out.push(Condition::Unwatched {
                tars_path: self.tars().to_owned(),
            });
        }
        out
    }
}

fn facts_ran(input: &PlanInput<'_>, node: &NodeName) -> bool {
    let agent = input.inventory.agent(node);
    agent
        .present()
        .is_some_and(|a| a.processes.present().is_some_and(|p| !p.is_empty()))
}

/// Permission bits of the files that a probe reports.
fn modes_seen(input: &PlanInput<'_>, node: &NodeName) -> BTreeMap<String, u32> {
    let mut out = BTreeMap::new();
    if let Observed::Present(agent) = input.inventory.agent(node) {
        if let Observed::Present(file) = &agent.binary {
            out.insert(BINARY.to_owned(), file.mode);
        }
        if let Observed::Present(file) = &agent.conf {
            out.insert(CONF.to_owned(), file.mode);
        }
        for (name, script) in &agent.util {
            if let Observed::Present(file) = script {
                out.insert(format!("tarsnode/util/{name}"), file.mode);
            }
        }
    }
    out
}

fn port_of(conf: &Observed<TextFact>) -> Option<u16> {
    let text = &conf.present()?.text;
    tarsnode::read(&Document::parse(text).ok()?).endpoint_port
}

/// Every fact that a change rests upon.
#[must_use]
pub fn preconditions(change: &AgentChange) -> Vec<Condition> {
    let mut out = vec![
        Condition::Machine {
            id: change.machine_id.clone(),
        },
        Condition::Unfinished { run: None },
        Condition::Folder {
            exists: change.folder != Folder::Create && !change.files.is_empty()
                || change.folder == Folder::Remove,
        },
    ];
    if change.folder == Folder::Keep && change.files.is_empty() {
        out.pop();
    }
    let known: BTreeMap<&str, ()> = [(CONF, ()), (BINARY, ())].into_iter().collect();
    for file in &change.files {
        let seen = known.contains_key(file.path.as_str())
            || SCRIPTS
                .iter()
                .any(|s| file.path == format!("tarsnode/util/{s}"));
        if change.folder == Folder::Keep && seen {
            out.push(Condition::File {
                path: file.path.clone(),
                digest: file.before,
            });
        }
    }
    if let Some(crontab) = &change.crontab {
        out.push(Condition::Crontab {
            digest: crontab.before,
        });
    }
    out
}
