//! The plan as text: grouped by stage, one line per resource or per group of equal changes.
//!
//! The same plan gives the same text. Data of the plan comes from hosts, databases and specs: it goes
//! through [`Text`], which lets it bring neither escapes nor lines of its own.

use std::collections::BTreeMap;

use tarsops_model::display::{Colour, Text};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use crate::actions::Cell;
use crate::drift::{Drift, DriftKind, FieldChange};
use crate::names::compress;
use crate::plan::{ChangeKind, Plan, Stage, Step};
use crate::report::Line;

/// How to print.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether groups are unfolded and diffs shown.
    pub verbose: bool,
    /// Whether ANSI colours are used.
    pub color: bool,
}

impl Style {
    const fn paint(self, sign: char) -> Option<Colour> {
        if !self.color {
            return None;
        }
        match sign {
            '+' => Some(Colour::Green),
            '~' => Some(Colour::Yellow),
            '-' | '!' => Some(Colour::Red),
            '?' => Some(Colour::Magenta),
            _ => None,
        }
    }
}

const fn sign_of(sign: ChangeKind) -> char {
    match sign {
        ChangeKind::Add => '+',
        ChangeKind::Change => '~',
        ChangeKind::Remove => '-',
    }
}

/// The plan as `tarsops plan` prints it, with the summary as its last line.
#[must_use]
pub fn text(plan: &Plan, style: Style) -> Text {
    shown(plan, style, false)
}

/// As [`text`], where what is there beyond the spec counts as drift.
#[must_use]
pub fn strict_text(plan: &Plan, style: Style) -> Text {
    shown(plan, style, true)
}

fn shown(plan: &Plan, style: Style, strict: bool) -> Text {
    let mut out = Text::new();
    let drift: BTreeMap<&ResourceId, &Drift> =
        // What the sources say against each other is told below.
        plan.drift
            .iter()
            .filter(|d| !matches!(d.kind, DriftKind::Disagreeing { .. }))
            .map(|d| (&d.resource, d))
            .collect();
    for stage in Stage::all() {
        let steps: Vec<&Step> = plan.steps.iter().filter(|s| s.stage == stage).collect();
        if steps.is_empty() {
            continue;
        }
        if matches!(
            stage,
            Stage::Backup
                | Stage::Schema
                | Stage::Templates
                | Stage::Containers
                | Stage::Registries
                | Stage::AdminRegistry
                | Stage::CoreServices
                | Stage::Expansion
                | Stage::BasicServices
                | Stage::RegistryRemoval
                | Stage::ServerRemoval
                | Stage::Rows
        ) {
            out.line(stage.title());
            // What is rolled back is no drift, and is shown by the rows themselves.
            stage_lines(&mut out, &steps, &drift, style, plan.rolls_back.is_some());
            out.end();
            continue;
        }
        let batches = steps.iter().map(|s| s.batch).max().unwrap_or(0)
            - steps.iter().map(|s| s.batch).min().unwrap_or(0)
            + 1;
        let canary = steps.iter().filter(|s| s.batch == steps[0].batch).count();
        out.put(stage.title());
        if batches > 1 {
            out.put(format_args!(
                ": {batches} batches, {} first",
                count(canary, "host")
            ));
        }
        out.end();
        stage_lines(&mut out, &steps, &drift, style, false);
        out.end();
    }
    report(&mut out, plan, style, strict);
    let beyond = strict && !plan.extra.is_empty();
    let quiet = plan.report.iter().all(is_quiet) && plan.drift.is_empty() && !beyond;
    if plan.steps.is_empty() && quiet {
        out.line(format_args!(
            "Nothing to do: {} as the spec says.",
            match plan.nodes {
                1 => "1 node is".to_owned(),
                n => format!("{n} nodes are"),
            }
        ));
        out.end();
    }
    let mut last = summary(plan);
    if beyond {
        last.push_str(&format!(" {} not in the spec.", plan.extra.len()));
    }
    out.line(last);
    out
}

/// The last line of a plan.
#[must_use]
pub fn summary(plan: &Plan) -> String {
    let s = plan.summary;
    let mut text = format!(
        "Plan: {} to add, {} to change, {} to remove, {} blocked, {} unknown.",
        s.add, s.change, s.remove, s.blocked, s.unknown
    );
    let gone = plan.endpoints.iter().filter(|low| low.least == 0).count();
    if gone > 0 {
        text.push_str(&format!(
            " {} will be unavailable for a moment.",
            count(gone, "servant")
        ));
    }
    text
}

const fn is_quiet(line: &Line) -> bool {
    matches!(
        line,
        Line::NotYet { .. }
            | Line::Unchecked { .. }
            | Line::Note { .. }
            | Line::Ignored { .. }
            | Line::Waiting { .. }
    )
}

fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// What stands for a node's own name where the changes of several nodes are told in one line.
const NODE: &str = "<node>";

/// A change with the node's own name taken out, so that equal changes look equal. Only whole names:
/// the node `db` is not the start of `db-2`.
fn generic(text: &str, node: &str) -> String {
    if node.is_empty() {
        return text.to_owned();
    }
    let part = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices(node) {
        let end = at + node.len();
        let alone = !text[..at].ends_with(part) && !text[end..].starts_with(part);
        if alone {
            out.push_str(&text[from..at]);
            out.push_str(NODE);
            from = end;
        }
    }
    out.push_str(&text[from..]);
    out
}

fn fields_of<'a>(drift: Option<&&'a Drift>) -> &'a [FieldChange] {
    match drift.map(|d| &d.kind) {
        Some(DriftKind::Changed { fields }) => fields,
        _ => &[],
    }
}

/// What a step makes of rows, column by column.
fn rows_of(step: &Step) -> Vec<FieldChange> {
    let mut fields = Vec::new();
    for edit in step.action.kind().writes().rows {
        let about = edit
            .of_key("adapter_name")
            .unwrap_or_else(|| edit.table.name());
        let (before, after) = (edit.before.as_deref(), edit.after.as_deref());
        let said = |cells: Option<&[(String, Cell)]>, column: &str| {
            let mut all = cells.unwrap_or_default().iter();
            let cell = all.find_map(|(name, cell)| (name == column).then_some(cell));
            match cell {
                Some(Cell::Text(text)) => text.clone(),
                Some(Cell::Number(number)) => number.to_string(),
                Some(Cell::Now) => "now".to_owned(),
                Some(Cell::Null) | None => "none".to_owned(),
            }
        };
        let mut columns: Vec<&str> = Vec::new();
        for (column, _) in [before, after].into_iter().flatten().flatten() {
            if !columns.contains(&column.as_str()) {
                columns.push(column);
            }
        }
        for column in columns {
            let what = format!("{about} {column}");
            fields.push(FieldChange::new(
                &what,
                said(before, column),
                said(after, column),
            ));
        }
    }
    fields
}

/// What a resource is without its node, as in `server/tarsconfig@`: resources alike are told together.
/// One that is on no node, or is none of these, is a kind of its own.
fn kind(resource: &ResourceId) -> String {
    match (resource, resource.node()) {
        (ResourceId::Server(component, _), _) => format!("server/{component}@"),
        (ResourceId::Agent(_), _) => "agent/".to_owned(),
        (ResourceId::Host(_), _) => "host/".to_owned(),
        (ResourceId::Container(_), _) => "container/".to_owned(),
        (other, _) => other.to_string(),
    }
}

/// The resources of one kind, by their nodes.
fn alike(kind: &str, nodes: &[&str]) -> String {
    match nodes {
        [] => kind.to_owned(),
        [one] => format!("{kind}{one}"),
        many => format!("{kind}{} ({} nodes)", compress(many), many.len()),
    }
}

/// The changes of a stage; equal ones of several nodes are one line. With `rows`, what they make of rows
/// is shown as well.
fn stage_lines(
    out: &mut Text,
    steps: &[&Step],
    drift: &BTreeMap<&ResourceId, &Drift>,
    style: Style,
    rows: bool,
) {
    type Key = (
        String,
        ChangeKind,
        String,
        Vec<(String, String, String)>,
        String,
    );
    let mut groups: Vec<(Key, Vec<&Step>)> = Vec::new();
    let mut index: BTreeMap<Key, usize> = BTreeMap::new();
    for step in steps {
        let node = step.resource.node().map_or("", NodeName::as_str);
        let of_rows = if rows { rows_of(step) } else { Vec::new() };
        let fields = fields_of(drift.get(&step.resource))
            .iter()
            .chain(&of_rows)
            .map(|f| {
                (
                    f.field.clone(),
                    generic(&f.old, node),
                    generic(&f.new, node),
                )
            })
            .collect();
        // Unfolded, every resource is a group of its own.
        let alone = if style.verbose { node } else { "" };
        let key = (
            kind(&step.resource),
            step.sign,
            generic(&step.summary, node),
            fields,
            alone.to_owned(),
        );
        let at = *index.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(step);
    }
    for ((kind, sign, summary, fields, _), steps) in groups {
        let sign = sign_of(sign);
        // One node is told by its name.
        let told = |text: &str| match steps.as_slice() {
            [one] => text.replace(NODE, one.resource.node().map_or(NODE, NodeName::as_str)),
            _ => text.to_owned(),
        };
        let on_nodes = kind.ends_with(['@', '/']);
        let nodes: Vec<&str> = steps
            .iter()
            .filter(|_| on_nodes)
            .filter_map(|s| s.resource.node())
            .map(NodeName::as_str)
            .collect();
        let summary = told(&summary);
        let line = format!("  {sign} {}  {summary}", alike(&kind, &nodes));
        out.line_in(style.paint(sign), line);
        for (field, old, new) in fields {
            out.line(format_args!(
                "      {field}: {} → {}",
                told(&old),
                told(&new)
            ));
        }
        if style.verbose {
            for step in &steps {
                for field in fields_of(drift.get(&step.resource)) {
                    for line in field.diff.iter().flat_map(|d| d.lines()) {
                        out.line(format_args!("        {line}"));
                    }
                }
            }
        }
    }
}

/// `agent/10.0.0.[1-3] (3 nodes)`: what several resources of one kind have in common.
fn together(about: &[String]) -> String {
    // Steps are named as services are: `tarsconfig.change@10.0.0.1`.
    let split = |name: &str| {
        let own = ["agent/", "host/", "container/"]
            .into_iter()
            .find(|k| name.starts_with(k));
        own.map(str::len)
            .or_else(|| name.find('@').map(|at| at + 1))
    };
    let mut kinds: Vec<(&str, Vec<&str>)> = Vec::new();
    for name in about {
        let (kind, node) = name.split_at(split(name).unwrap_or(name.len()));
        let nodes = (!node.is_empty()).then_some(node);
        match kinds.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, all)) => all.extend(nodes),
            None => kinds.push((kind, nodes.into_iter().collect())),
        }
    }
    let parts: Vec<String> = kinds.iter().map(|(k, nodes)| alike(k, nodes)).collect();
    parts.join(", ")
}

fn report(out: &mut Text, plan: &Plan, style: Style, strict: bool) {
    // Equal reasons are one line, with the nodes that they hold for.
    let mut blocked: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut alarms: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ignored: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut waiting: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut not_yet: Vec<String> = Vec::new();
    let mut unchecked: Vec<String> = Vec::new();
    let mut found: BTreeMap<(char, String, String), Vec<String>> = BTreeMap::new();
    let mut plain: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let name = |r: &ResourceId| match (r, r.node()) {
        (ResourceId::Server(..) | ResourceId::Container(_), _) | (_, None) => r.to_string(),
        (_, Some(node)) => format!("agent/{node}"),
    };
    for line in &plan.report {
        match line {
            Line::Blocked { resource, why } => {
                blocked
                    .entry((why.to_string(), why.hint()))
                    .or_default()
                    .push(name(resource));
            }
            Line::Alarm { resource, text } => {
                alarms.entry(text.clone()).or_default().push(name(resource));
            }
            Line::Warning {
                resource,
                name: label,
                text,
                cure,
            } => {
                let key = ('!', format!("warning: {label}: {text}"), cure.clone());
                found.entry(key).or_default().push(resource.to_string());
            }
            Line::Note { resource, text } => {
                notes.entry(text.clone()).or_default().push(name(resource));
            }
            Line::Ignored { resource, why } => {
                ignored.entry(why.clone()).or_default().push(name(resource));
            }
            Line::Waiting { resource, why } => {
                waiting.entry(why.clone()).or_default().push(name(resource));
            }
            Line::Unchecked { what } => unchecked.push(what.clone()),
            Line::NotYet { topic, what } => not_yet.push(format!("{topic}: {what}")),
            Line::Unfinished { node, run } => {
                alarms
                    .entry(format!(
                        "run {run} left a change unfinished; apply ends it first"
                    ))
                    .or_default()
                    .push(format!("agent/{node}"));
            }
        }
    }
    for drift in &plan.drift {
        match &drift.kind {
            DriftKind::Unknown { why }
                if drift
                    .resource
                    .node()
                    .is_some_and(|_| matches!(drift.resource, ResourceId::Agent(_))) =>
            {
                unknown
                    .entry(why.join("; "))
                    .or_default()
                    .push(name(&drift.resource));
            }
            DriftKind::Unknown { why } => {
                plain
                    .entry(why.join("; "))
                    .or_default()
                    .push(drift.resource.to_string());
            }
            DriftKind::Disagreeing {
                finding,
                explanation,
                cure,
                sources,
                heals_within,
            } => {
                let words: Vec<String> = sources.iter().map(|(s, w)| format!("{s}: {w}")).collect();
                let text = if style.verbose && !words.is_empty() {
                    format!("{finding}: {explanation} ({})", words.join("; "))
                } else {
                    format!("{finding}: {explanation}")
                };
                let text = match heals_within {
                    Some(seconds) => format!("{text}; heals by itself within {seconds} s"),
                    None => text,
                };
                let key = ('~', text, cure.clone());
                found
                    .entry(key)
                    .or_default()
                    .push(drift.resource.to_string());
            }
            _ => {}
        }
    }
    let before = out.len();
    let put = |out: &mut Text, sign: char, about: &[String], text: &str| {
        let line = format!("  {sign} {}  {text}", together(about));
        out.line_in(style.paint(sign), line);
    };
    for (text, nodes) in &alarms {
        put(out, '!', nodes, &format!("alarm: {text}"));
    }
    for ((why, hint), nodes) in &blocked {
        put(out, '!', nodes, &format!("blocked: {why}"));
        out.line(format_args!("      fix: {hint}"));
    }
    for ((sign, text, cure), about) in &found {
        let line = format!("  {sign} {}  {text}", together(about));
        out.line_in(style.paint(*sign), line);
        out.line(format_args!("      fix: {cure}"));
    }
    for (why, about) in &plain {
        put(out, '?', about, &format!("unknown: {why}"));
    }
    if !plan.extra.is_empty() {
        let names: Vec<String> = plan.extra.iter().map(ToString::to_string).collect();
        let sign = if strict { '~' } else { ' ' };
        let line = format!(
            "  {sign} extra: {}  in the framework's rows, not in the spec; left alone",
            together(&names)
        );
        out.line_in(style.paint(sign), line);
    }
    for (why, nodes) in &unknown {
        put(out, '?', nodes, &format!("unknown: {why}"));
    }
    for (why, nodes) in &waiting {
        put(out, ' ', nodes, &format!("waiting: {why}"));
    }
    for (why, nodes) in &ignored {
        put(out, ' ', nodes, &format!("ignored: {why}"));
    }
    for (text, nodes) in &notes {
        put(out, ' ', nodes, &format!("note: {text}"));
    }
    for what in &unchecked {
        out.line(format_args!("    not checked by gates: {what}"));
    }
    endpoints(out, plan, style);
    for what in &not_yet {
        out.line(format_args!("    not managed yet: {what}"));
    }
    if out.len() > before {
        out.end();
    }
}

/// Names of servants that a line tells; the others are counted.
const NAMED: usize = 3;

/// The servants that lose endpoints for a while, those alike together.
fn endpoints(out: &mut Text, plan: &Plan, style: Style) {
    let mut alike: BTreeMap<(usize, usize, &[String]), Vec<&str>> = BTreeMap::new();
    for low in &plan.endpoints {
        alike
            .entry((low.least, low.has, &low.during))
            .or_default()
            .push(&low.servant);
    }
    for ((least, has, during), servants) in alike {
        let named = if style.verbose { servants.len() } else { NAMED };
        let mut names = servants
            .iter()
            .take(named)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        if servants.len() > named {
            names.push_str(&format!(" and {} more", servants.len() - named));
        }
        // Whoever calls a servant without endpoints gets an error.
        let sign = if least == 0 { '!' } else { ' ' };
        let line = format!(
            "  {sign} endpoints: {least} of {has} left of {names} during {}",
            together(during)
        );
        out.line_in(style.paint(sign), line);
    }
}
