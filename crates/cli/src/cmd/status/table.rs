//! The table of what is there, and its last line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tarsops_model::component::Component;
use tarsops_model::display::{self, Colour, Text};
use tarsops_model::names::NodeName;
use tarsops_plan::names::compress;
use tarsops_plan::render::Style;
use tarsops_plan::sources::SourceReport;

use super::row::{Row, State};

/// The last line: how many are how.
pub fn summary(rows: &[Row]) -> String {
    let mut states: BTreeMap<State, usize> = BTreeMap::new();
    for row in rows {
        *states.entry(row.state).or_default() += 1;
    }
    let mut nodes: Vec<&NodeName> = rows.iter().map(|r| &r.node).collect();
    nodes.sort();
    nodes.dedup();
    let counted: Vec<String> = states
        .iter()
        .map(|(state, n)| format!("{n} {}", state.word()))
        .collect();
    let hosts = match nodes.len() {
        1 => "1 host".to_owned(),
        n => format!("{n} hosts"),
    };
    if counted.is_empty() {
        return "Status: nothing of the spec is meant.".to_owned();
    }
    format!("Status: {} on {hosts}.", counted.join(", "))
}

/// What every source says of every resource.
pub fn truth_table(all: &[SourceReport]) -> Text {
    let mut out = Text::new();
    if all.is_empty() {
        return out;
    }
    let width = all
        .iter()
        .map(|t| t.resource.to_string().len())
        .max()
        .unwrap_or(0);
    out.end();
    out.line(format_args!(
        "{:width$}  WHAT EACH SOURCE REPORTS",
        "RESOURCE"
    ));
    for one in all {
        let words: Vec<String> = one.words.iter().map(|(s, w)| format!("{s}: {w}")).collect();
        out.line(format_args!(
            "{:width$}  {}",
            one.resource.to_string(),
            words.join(" | ")
        ));
    }
    out
}

/// One line for what is alike on several hosts; for each host with `-v`.
pub fn table(rows: &[Row], style: Style) -> Text {
    type Key<'r> = (Component, &'r str, State, Option<&'r str>, &'r str);
    let mut groups: Vec<(Key<'_>, Vec<&Row>)> = Vec::new();
    let mut index: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    for row in rows {
        let alone = if style.verbose { row.node.as_str() } else { "" };
        let key = (
            row.component,
            row.version.as_str(),
            row.state,
            row.why.as_deref(),
            alone,
        );
        let at = *index.entry(key).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(row);
    }
    let mut lines = vec![(
        None,
        ["COMPONENT", "VERSION", "STATE", "HOSTS"].map(str::to_owned),
    )];
    let mut reasons: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
    for ((component, version, state, why, _), rows) in &groups {
        let nodes: Vec<&str> = rows.iter().map(|r| r.node.as_str()).collect();
        let mut hosts = compress(&nodes);
        if style.verbose {
            // One host a line, so there is room for its process.
            let _ = write!(hosts, "  {}", rows[0].process);
        } else if nodes.len() > 1 {
            let _ = write!(hosts, " ({} hosts)", nodes.len());
        }
        for row in rows {
            if let Some(why) = why {
                let nodes = reasons.entry(why).or_default();
                if !nodes.contains(&&row.node) {
                    nodes.push(&row.node);
                }
            }
        }
        lines.push((
            Some(*state),
            [
                component.name().to_owned(),
                display::line(version).into_owned(),
                state.word().to_owned(),
                display::line(&hosts).into_owned(),
            ],
        ));
    }
    let mut widths = [0_usize; 3];
    for (_, cells) in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = Text::new();
    for (state, [component, version, word, hosts]) in &lines {
        out.put(format_args!(
            "{component:0$}  {version:1$}  ",
            widths[0], widths[1]
        ));
        let colour = state.and_then(State::colour).filter(|_| style.color);
        out.put_in(colour, format!("{word:0$}", widths[2]));
        out.line(format_args!("  {hosts}"));
    }
    // One reason often holds for all of a host.
    if !reasons.is_empty() {
        out.end();
    }
    for (why, nodes) in reasons {
        let names: Vec<&str> = nodes.iter().map(|n| n.as_str()).collect();
        let line = format!("  ? {}  {why}", compress(&names));
        out.line_in(Some(Colour::Magenta).filter(|_| style.color), line);
    }
    out
}
