//! What is said of hosts that could not be used: each cause once, with all hosts that it holds for.

use tarsops_model::display::Text;
use tarsops_model::names::NodeName;
use tarsops_plan::names::compress;
use tarsops_transport::Fault;

/// Details of single hosts that are shown for each hint.
const SHOWN: usize = 10;

/// One line for each cause, with its hosts.
pub fn causes(faults: &[(NodeName, Fault)]) -> Text {
    let mut out = Text::new();
    for (text, alike) in groups(faults, |fault| fault.text.as_str()) {
        let names: Vec<&str> = alike.iter().map(|(node, _)| node.as_str()).collect();
        out.line(format_args!("{}: {text}", compress(&names)));
    }
    out
}

/// What to look at next: one line for each kind, and below it what differs between its hosts.
pub fn hints(faults: &[(NodeName, Fault)]) -> Text {
    let mut out = Text::new();
    for (hint, alike) in groups(faults, |fault| fault.kind.hint()) {
        out.line(format_args!("hint: {hint}"));
        let details = alike.iter().filter(|(_, fault)| !fault.detail.is_empty());
        let details: Vec<String> = {
            // Hosts behind one jump host have the same detail.
            let same = groups_of(details.copied(), |fault| fault.detail.as_str());
            let line = |(detail, alike): (&str, Vec<&(NodeName, Fault)>)| {
                let names: Vec<&str> = alike.iter().map(|(node, _)| node.as_str()).collect();
                let names = compress(&names);
                // It mostly begins with the address, which is the name of most nodes.
                if detail.starts_with(&format!("{names} ")) {
                    format!("  {detail}")
                } else {
                    format!("  {names}: {detail}")
                }
            };
            same.into_iter().map(line).collect()
        };
        for detail in details.iter().take(SHOWN) {
            out.line(detail);
        }
        if let Some(more) = details.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            out.line(format_args!("  and {more} more"));
        }
    }
    out
}

fn groups<'a>(
    faults: &'a [(NodeName, Fault)],
    by: impl Fn(&'a Fault) -> &'a str,
) -> Vec<(&'a str, Vec<&'a (NodeName, Fault)>)> {
    groups_of(faults.iter(), by)
}

/// Groups in the order of their first members.
fn groups_of<'a>(
    faults: impl Iterator<Item = &'a (NodeName, Fault)>,
    by: impl Fn(&'a Fault) -> &'a str,
) -> Vec<(&'a str, Vec<&'a (NodeName, Fault)>)> {
    let mut out: Vec<(&str, Vec<_>)> = Vec::new();
    for entry in faults {
        let key = by(&entry.1);
        match out.iter_mut().find(|(k, _)| *k == key) {
            Some((_, alike)) => alike.push(entry),
            None => out.push((key, vec![entry])),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use tarsops_transport::FaultKind;

    use super::*;

    #[test]
    fn many_hosts_with_one_cause_are_one_line() {
        let mut faults: Vec<(NodeName, Fault)> = (1..=30)
            .map(|n| {
                let kind = if n % 10 == 0 {
                    FaultKind::ChangedKey
                } else {
                    FaultKind::UnknownKey
                };
                let text = format!("{kind:?}");
                let fault = Fault::new(kind, text).detail(format!("10.0.1.{n} shows a key"));
                (NodeName::new(format!("10.0.1.{n}")).unwrap(), fault)
            })
            .collect();
        faults.push((
            NodeName::new("gw").unwrap(),
            Fault::new(FaultKind::Refused, "refused"),
        ));
        let said = causes(&faults);
        let said = said.to_string();
        assert_eq!(said.lines().count(), 3, "{said}");
        assert!(said.contains("10.0.1.[10,20,30]: ChangedKey"), "{said}");
        let said = hints(&faults).to_string();
        assert_eq!(said.matches("hint: ").count(), 3, "{said}");
        // Ten of 27, and all of three.
        assert_eq!(said.matches(" shows a key").count(), 13, "{said}");
        assert!(said.contains("and 17 more"), "{said}");
        assert!(said.contains("\n  10.0.1.1 shows a key\n"), "{said}");
    }
}
