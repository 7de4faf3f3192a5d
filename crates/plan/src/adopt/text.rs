//! The text of the spec: sections with comments that say where each fact is from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use tarsops_model::component::{Component, Role};
use tarsops_model::display;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;

use super::builds::Builds;
use super::cluster::{Cluster, Node, rows};
use super::given::{Entry, Given};
use super::values::Values;
use crate::crontab::watchers;
use crate::names::compress;

/// The version in a spec whose framework version nobody names: no release has it.
const NO_VERSION: &str = "0.0.0";
/// The most bytes of one comment.
const COMMENT: usize = 400;

/// A text as a YAML scalar that reads back as this text, in a block and between braces.
#[must_use]
pub fn quoted(text: &str) -> String {
    let first = |c: char| c.is_ascii_alphabetic() || c == '/';
    let rest = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_word = |word: &str| text.eq_ignore_ascii_case(word);
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let plain = text.starts_with(first) && text.chars().all(rest) && !word.into_iter().any(is_word);
    if plain {
        return text.to_owned();
    }
    // A text of JSON is one of YAML.
    serde_json::Value::from(text).to_string()
}

/// A number of things, in words.
pub(super) fn counted(count: usize, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        n => format!("{n} {thing}s"),
    }
}

/// A text as it grows.
struct Out(String);

impl Out {
    fn line(&mut self, part: impl fmt::Display) {
        // Writing to a string never fails.
        let _ = writeln!(self.0, "{part}");
    }

    /// A line with a comment behind it; without one if `source` is empty.
    fn from(&mut self, part: impl fmt::Display, source: &str) {
        if source.is_empty() {
            self.line(part);
        } else {
            let _ = writeln!(self.0, "{part}  # {}", comment(source));
        }
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.0, "# {}", comment(text));
    }

    fn section(&mut self, name: &str, entries: &[Entry]) {
        self.line(format_args!("\n{name}:"));
        for entry in entries {
            self.from(
                format_args!("  {}: {}", entry.key, entry.value),
                &entry.source,
            );
        }
    }
}

/// A text as it can stand behind a `#`: in one line.
fn comment(text: &str) -> String {
    display::cut(&display::line(text), COMMENT).into_owned()
}

/// Names as a list of YAML, in ranges.
fn list<'a>(names: impl IntoIterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
    let ranges = compress(&names);
    let ranges: Vec<String> = ranges.split(' ').map(quoted).collect();
    format!("[{}]", ranges.join(", "))
}

/// Writes the spec.
pub(super) fn write(
    given: &Given,
    inventory: &Inventory,
    cluster: &Cluster,
    builds: &Builds,
    values: &BTreeMap<Component, Values>,
    notes: &[String],
) -> String {
    let mut out = Out(String::new());
    head(&mut out, given, inventory, notes);
    framework(&mut out, given, cluster, builds);
    if !given.ssh.is_empty() {
        out.section("ssh", &given.ssh);
    }
    out.line("\nregistry:");
    let endpoints: Vec<String> = cluster
        .registries
        .iter()
        .map(|at| quoted(&at.to_string()))
        .collect();
    let source = match rows(inventory) {
        Some(_) => "t_server_conf, t_registry_info and the hosts",
        None => "the hosts that were seen; no rows were read",
    };
    out.from(
        format_args!("  endpoints: [{}]", endpoints.join(", ")),
        source,
    );
    database(&mut out, given, inventory);
    if given.web.is_empty() {
        out.line("");
        out.comment(
            "No `web`: name the management platform and its ticket, so that tarsops can publish.",
        );
    } else {
        out.section("web", &given.web);
    }
    if let Some(rpc) = given.rpc {
        out.line(format_args!("\nrpc: {rpc}"));
    }
    nodes(&mut out, cluster, inventory);
    overrides(&mut out, given, cluster, builds);
    components(&mut out, cluster, builds, values);
    monitor(&mut out, given, cluster, inventory);
    out.0
}

fn head(out: &mut Out, given: &Given, inventory: &Inventory, notes: &[String]) {
    out.comment("Written by `tarsops adopt`. Each comment says where a value was seen.");
    if !notes.is_empty() {
        out.line("#");
        out.comment("What this file cannot say, or what the sources disagree about:");
        for note in notes {
            out.comment(&format!("- {note}"));
        }
    }
    let framework = inventory.framework.as_deref();
    if let Some(why) = framework.and_then(|f| f.admin.unknown()) {
        out.comment(&format!("- AdminRegistry was not read: {why}"));
    }
    if let Some(Observed::Unknown(why)) = framework.map(|f| f.rows()) {
        out.comment(&format!("- the rows of the database were not read: {why}"));
    }
    out.line("schema: tarsops/v1");
    out.line(format_args!("cluster: {}", quoted(given.cluster.as_str())));
    out.line("\nrebuild: never");
}

fn framework(out: &mut Out, given: &Given, cluster: &Cluster, builds: &Builds) {
    out.line("\nframework:");
    match &builds.framework {
        Some(named) => out.from(format_args!("  version: {}", named.version), &named.source),
        None => out.from(
            format_args!("  version: {NO_VERSION}"),
            "NOT KNOWN: neither AdminRegistry nor a row names it; write the release that runs",
        ),
    }
    match &given.packages {
        Some(folder) => out.line(format_args!("  packages: {}", quoted(folder))),
        None => out.from(
            format_args!(
                "  packages: {}",
                quoted(&format!("node:{}", cluster.master))
            ),
            "no packages folder was named; name one before an upgrade",
        ),
    }
    out.from(
        format_args!("  install_path: {}", quoted(given.install_path.as_str())),
        &format!("the tarsnode that runs on {}", given.start.node),
    );
    out.from(
        format_args!("  run_user: {}", quoted(given.run_user.as_str())),
        &format!("the user of tarsnode on {}", given.start.node),
    );
}

fn database(out: &mut Out, given: &Given, inventory: &Inventory) {
    if !given.database.is_empty() {
        out.section("database", &given.database);
        let rows = rows(inventory);
        if rows.is_some() {
            out.comment(
                "Templates are adopted as they are. Pin the deploy tree of the release that runs \
                 (`tarsops package lock`) before an upgrade merges them.",
            );
        }
        return;
    }
    out.line("");
    out.comment(
        "No `database`: no account was named, so rows, labels and registrations were not seen.",
    );
}

/// Whether a node needs no more than its name.
fn is_plain(name: &NodeName, node: &Node) -> bool {
    name.as_ip() == Some(node.ip) && node.address.is_none()
}

fn nodes(out: &mut Out, cluster: &Cluster, inventory: &Inventory) {
    let read = rows(inventory).is_some_and(|rows| rows.nodes.present().is_some());
    let source = if read {
        "t_node_info"
    } else {
        "no table of nodes was read: AdminRegistry's list, or the host that was named"
    };
    out.line("");
    out.from("nodes:", source);
    for role in [Role::Master, Role::Slave, Role::Node] {
        let mut groups: BTreeMap<&BTreeMap<String, String>, Vec<&NodeName>> = BTreeMap::new();
        let of_role = cluster.nodes.iter().filter(|(_, node)| node.role == role);
        let mut single = Vec::new();
        for (name, node) in of_role {
            if is_plain(name, node) {
                groups.entry(&node.labels).or_default().push(name);
            } else {
                single.push((name, node));
            }
        }
        let why = match role {
            Role::Master => "AdminRegistry is here",
            Role::Slave => "a registry is here",
            Role::Node => "",
        };
        for (labels, names) in groups {
            let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
            for range in compress(&names).split(' ') {
                let parts = vec![format!("name: {}", quoted(range))];
                entry(out, parts, role, labels, why);
            }
        }
        for (name, node) in single {
            let mut parts = vec![format!("name: {}", quoted(name.as_str()))];
            if name.as_ip() != Some(node.ip) {
                parts.push(format!("ip: {}", quoted(&node.ip.to_string())));
            }
            if let Some(address) = &node.address {
                parts.push(format!("address: {}", quoted(address.as_str())));
            }
            entry(out, parts, role, &node.labels, why);
        }
    }
    let mut unseen: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for (name, node) in &cluster.nodes {
        if let Some(why) = &node.unseen {
            unseen.entry(why).or_default().push(name);
        }
    }
    for (why, names) in unseen {
        let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
        out.comment(&format!("  NOT SEEN: {}: {why}", compress(&names)));
    }
}

fn entry(
    out: &mut Out,
    mut parts: Vec<String>,
    role: Role,
    labels: &BTreeMap<String, String>,
    why: &str,
) {
    if role.is_framework() {
        parts.push(format!("roles: [{}]", role.name()));
    }
    if !labels.is_empty() {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{}: {}", quoted(key), quoted(value)))
            .collect();
        parts.push(format!("labels: {{{}}}", labels.join(", ")));
    }
    out.from(format_args!("  - {{{}}}", parts.join(", ")), why);
}

fn overrides(out: &mut Out, given: &Given, cluster: &Cluster, builds: &Builds) {
    let paths: BTreeMap<&NodeName, &str> = given
        .install_paths
        .iter()
        .filter(|(node, path)| cluster.nodes.contains_key(*node) && **path != given.install_path)
        .map(|(node, path)| (node, path.as_str()))
        .collect();
    let all: BTreeSet<&NodeName> = paths.keys().copied().chain(builds.nodes.keys()).collect();
    if all.is_empty() {
        return;
    }
    out.line("\noverrides:");
    for node in all {
        let mut parts = Vec::new();
        let mut source = "";
        if let Some(path) = paths.get(node) {
            parts.push(format!("install_path: {}", quoted(path)));
            source = "where its tarsnode runs";
        }
        if let Some(named) = builds.nodes.get(node) {
            parts.push(format!("version: {}", named.version));
            source = &named.source;
        }
        out.from(
            format_args!("  {}: {{{}}}", quoted(node.as_str()), parts.join(", ")),
            source,
        );
    }
}

fn components(
    out: &mut Out,
    cluster: &Cluster,
    builds: &Builds,
    values: &BTreeMap<Component, Values>,
) {
    let mut lines: Vec<(Component, Vec<String>, Vec<&str>)> = Vec::new();
    let mut nowhere = Vec::new();
    for component in Component::ALL {
        let (mut parts, mut sources) = (Vec::new(), Vec::new());
        if let Some(named) = builds.components.get(&component) {
            parts.push(format!("version: {}", named.version));
            sources.push(named.source.as_str());
        }
        if component != Component::Tarsnode {
            match cluster.placed.get(&component) {
                Some(on) if *on != cluster.by_role(component) => {
                    parts.push(format!("nodes: {}", list(on)));
                    sources.push("its rows and the hosts");
                }
                Some(_) => {}
                None => nowhere.push(component.name()),
            }
        }
        if let Some(values) = values.get(&component) {
            if let Some(template) = &values.template {
                parts.push(format!("template: {}", quoted(template)));
                sources.push("t_server_conf");
            }
            if !values.adapters.is_empty() {
                let all: Vec<String> = values
                    .adapters
                    .iter()
                    .map(|(key, value)| format!("{key}: {value}"))
                    .collect();
                parts.push(format!("adapters: {{{}}}", all.join(", ")));
                sources.push("t_adapter_conf");
            }
        }
        if !parts.is_empty() {
            lines.push((component, parts, sources));
        }
    }
    if !lines.is_empty() {
        out.line("\ncomponents:");
        for (component, parts, sources) in lines {
            out.from(
                format_args!("  {component}: {{{}}}", parts.join(", ")),
                &sources.join("; "),
            );
        }
    }
    if !nowhere.is_empty() {
        out.line("");
        out.comment(&format!(
            "Not seen on any node: {}. The roles place them all the same; a spec cannot leave a component out.",
            nowhere.join(", ")
        ));
    }
}

fn monitor(out: &mut Out, given: &Given, cluster: &Cluster, inventory: &Inventory) {
    let (mut watched, mut seen, mut check) = (0_usize, 0_usize, false);
    for node in cluster.nodes.keys() {
        let Observed::Present(host) = inventory.host(node) else {
            continue;
        };
        if inventory.agent(node).present().is_none() || host.crontab.unknown().is_some() {
            continue;
        }
        seen += 1;
        let path = given.install_paths.get(node).unwrap_or(&given.install_path);
        let tars = format!("{path}/tars");
        let texts = host
            .crontab
            .present()
            .into_iter()
            .chain(host.other_crontabs.values());
        let found: Vec<_> = texts.map(|text| watchers(text, &tars)).collect();
        watched += usize::from(found.iter().any(crate::crontab::Watchers::any));
        check |= found.iter().any(|w| !w.check.is_empty());
    }
    out.line("");
    match (watched, seen) {
        (_, 0) => out.comment("No crontab was seen: `monitor` is the default, cron."),
        (0, _) => out.from("monitor: none", "no crontab that was seen watches tarsnode"),
        (_, _) => {
            let by = if check { ", by check.sh too" } else { "" };
            let on = counted(seen, "node");
            out.from(
                "monitor: cron",
                &format!("crontabs watch tarsnode on {watched} of {on}{by}"),
            );
        }
    }
}
