//! Compares the files of an installed tarsnode with the spec: configuration, scripts, owner, binary.
//!
//! The configuration is compared by meaning, because a running tarsnode rewrites it.

use std::collections::BTreeSet;

use tarsops_conf::placeholder::{Placeholder, placeholders, substitute};
use tarsops_conf::{Document, tarsnode, util_script};
use tarsops_model::agent::{AgentFacts, TextFact};
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::version::Version;

use super::{Assessment, NodeAssessment, texts::script_mode};
use crate::condition::wanted_conf_like;
use crate::drift::{DriftKind, FieldChange};
use crate::places::{BINARY, CONF, SCRIPTS};
use crate::registry_rows;
use crate::report::{Blocked, Line};

impl NodeAssessment<'_> {
    pub(super) fn existing(mut self, facts: &AgentFacts) -> Assessment {
        let port_before = port_of(&facts.conf);
        self.port = port_before;
        self.check_user();
        self.compare_conf(&facts.conf);
        for name in SCRIPTS {
            let unseen = Observed::Unknown("it was not observed".to_owned());
            self.compare_script(name, facts.util.get(name).unwrap_or(&unseen));
        }
        self.compare_owner(facts);
        let disk = self.compare_binary(facts);
        self.compare_processes(facts, disk);
        self.compare_registration(facts);
        // The host counts a process as healthy only if it runs the very file that is there.
        self.restart |= self.replaced && !self.fields.is_empty();
        if self.restart {
            self.check_reach(facts);
        }
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
            super::ending::Kind::Modify,
            crontab,
            port_before,
        )
    }

    pub(super) fn compare_conf(&mut self, conf: &Observed<TextFact>) {
        let blank = |t: &TextFact| Document::parse(&t.text).is_ok_and(|d| d.is_blank());
        let found = match conf {
            Observed::Unknown(why) => {
                self.unknown.push(format!("the configuration: {why}"));
                return;
            }
            Observed::Present(text) if !blank(text) => text,
            // Gone, or emptied by a power loss or a full disk: made again from the package.
            Observed::Present(_) | Observed::Absent => {
                let before = conf.present().map(TextFact::digest);
                let old = if before.is_some() { "empty" } else { "missing" };
                self.fields.push(FieldChange::new(
                    "configuration",
                    old,
                    "made from the package",
                ));
                self.restart = true;
                self.locator_after = self.fresh_registries();
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
                self.unreadable(CONF, &e);
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
        let fresh = self.fresh_registries();
        let mut needed = wanted.clone();
        if self.takes_registries_from_rows(&says.locator) {
            // An edit under it would be written over within a minute (`NodeServer/NodeServer.cpp`,
            // onUpdateConfig): what its locator lacks is told of the registries, not of the node.
            needed.locator.retain(|at| says.locator.contains(at));
            self.locator_after = Some(needed.locator.clone());
        } else if let Some(why) = self.rows_unread_under(&says.locator, &wanted.locator) {
            // It may take its registries from rows that nobody could read: then an edit is written
            // over, and may name one that is dead.
            self.unknown.push(format!(
                "its locator: whether it takes its registries from the database's rows is not known: {why}"
            ));
            needed.locator.retain(|at| says.locator.contains(at));
        } else if let Some(fresh) = &fresh {
            self.locator_after = Some(
                fresh
                    .iter()
                    .filter(|at| says.locator.contains(*at))
                    .cloned()
                    .collect(),
            );
        }
        if says.satisfies(&needed) && left.is_empty() {
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
        self.locator_after = fresh;
        let text = match tarsnode::rewrite(&substitute(&found.text, &self.vars()), &wanted) {
            Ok(text) => text,
            Err(e) => {
                self.unreadable(CONF, &e);
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
            let list = |set: &BTreeSet<(String, u16)>| {
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

    /// The spec's registries that the database lists as alive; none where that is not known, or
    /// where there would be none.
    pub(super) fn fresh_registries(&self) -> Option<BTreeSet<(String, u16)>> {
        let framework = self.input.inventory.framework.as_ref()?;
        let listed = registry_rows::alive(framework.rows().present()?)?;
        let fresh: BTreeSet<_> = self
            .agent
            .locator
            .iter()
            .filter(|at| listed.contains(*at))
            .map(|at| (at.host.to_string(), at.port))
            .collect();
        (!fresh.is_empty()).then_some(fresh)
    }

    /// Whether a tarsnode that runs takes its registries from the database's rows: it does once it
    /// is registered, as long as its locator names one that answers.
    fn takes_registries_from_rows(&self, locator: &BTreeSet<(String, u16)>) -> bool {
        let Some(framework) = &self.input.inventory.framework else {
            return false;
        };
        let runs = self
            .input
            .inventory
            .agent(self.node)
            .present()
            .and_then(|a| a.processes.present())
            .is_some_and(|all| {
                all.iter()
                    .any(|p| p.nodeid.as_deref() == Some(self.agent.nodeid.as_str()))
            });
        let registered = framework
            .node_row(self.node)
            .present()
            .is_some_and(|row| row.present.as_deref() == Some("active"));
        let reaches = framework.registries.iter().any(|(at, answer)| {
            answer.is_alive() && locator.contains(&(at.host.to_string(), at.port))
        });
        runs && registered && reaches
    }

    /// Why the rows could not be read, where the spec names a database, a tarsnode runs and its locator
    /// lacks a registry but names one of the spec.
    fn rows_unread_under(
        &self,
        locator: &BTreeSet<(String, u16)>,
        wanted: &BTreeSet<(String, u16)>,
    ) -> Option<String> {
        self.input.desired.database()?;
        let framework = self.input.inventory.framework.as_ref()?;
        let agent = self.input.inventory.agent(self.node);
        let runs = agent
            .present()
            .and_then(|a| a.processes.present())
            .is_some_and(|all| !all.is_empty());
        let lacks = !locator.is_superset(wanted) && !locator.is_disjoint(wanted);
        if !runs || !lacks {
            return None;
        }
        match framework.node_row(self.node) {
            Observed::Unknown(why) => Some(why),
            _ => None,
        }
    }

    pub(super) fn compare_script(&mut self, name: &str, script: &Observed<TextFact>) {
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
        let told = rewrite && left == [Placeholder::LocalIp.text()];
        if !left.is_empty() && !told {
            self.fields.push(FieldChange::new(
                &format!("util/{name}"),
                format!("has {}", left.join(", ")),
                "filled",
            ));
        }
        let elsewhere = util_script::other_homes(&found.text, self.tars());
        if !elsewhere.is_empty() {
            // A folder that was copied from an installation elsewhere: it would start that one.
            self.fields.push(FieldChange::new(
                &format!("util/{name}"),
                format!("works in {}", elsewhere.join(", ")),
                self.tars().to_owned(),
            ));
        }
        let mode = script_mode(name, found.mode);
        if mode != found.mode {
            self.fields.push(FieldChange::new(
                &format!("mode of util/{name}"),
                format!("{:o}", found.mode),
                format!("{mode:o}"),
            ));
        }
        if rewrite || !left.is_empty() || !elsewhere.is_empty() {
            if let Some(text) = self.fit_script(name, &found.text) {
                self.write(&path, mode, Some(found.digest()), text);
            }
        } else if mode != found.mode {
            self.chmod(&path, mode, found.digest());
        }
    }

    pub(super) fn warn_of_foreign_nodeid(&mut self, says: Option<&str>, where_: &str) {
        let Some(says) = says.filter(|s| *s != self.agent.nodeid.as_str()) else {
            return;
        };
        let named = NodeName::new(says)
            .ok()
            .filter(|n| self.input.desired.host(n).is_some());
        let addressed = || {
            says.parse()
                .ok()
                .and_then(|ip| self.places.node_at(ip).cloned())
        };
        let other = named.or_else(addressed).filter(|n| n != self.node);
        if let Some(other) = other {
            let text = format!(
                "{where_} nodeid {says}, which is node {other}: if it starts like this, it takes {other}'s services out of name resolution"
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

    pub(super) fn compare_owner(&mut self, facts: &AgentFacts) {
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
    pub(super) fn compare_binary(&mut self, facts: &AgentFacts) -> Option<Digest> {
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
                    self.retains_binary = Some(file.digest);
                    let mode = file.mode | 0o555;
                    if mode != file.mode {
                        self.fields.push(FieldChange::new(
                            "mode of bin/tarsnode",
                            format!("{:o}", file.mode),
                            format!("{mode:o}"),
                        ));
                        self.chmod(BINARY, mode, file.digest);
                    }
                    return Some(file.digest);
                }
                if versions.is_empty() && !self.agent.replace_unknown {
                    self.unknown.push(format!(
                        "its binary {} is in no lock file; register it with `tarsops package add`, or set `replace_unknown: true`",
                        file.digest
                    ));
                    self.retains_binary = Some(file.digest);
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

    pub(super) fn refuse_downgrade(&mut self, versions: &[Version]) {
        let want = self.agent.version;
        let lowest = versions.iter().min().copied();
        if let Some(from) = lowest.filter(|from| *from > want)
            && !self.agent.allow_downgrade
        {
            self.block(Blocked::Downgrade { from, to: want });
        }
    }
}

fn port_of(conf: &Observed<TextFact>) -> Option<u16> {
    let text = &conf.present()?.text;
    tarsnode::read(&Document::parse(text).ok()?).endpoint_port
}
