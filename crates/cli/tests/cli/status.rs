//! `status` of an embedded cluster.

use super::asking::Embedded;

/// The output of a command, and its exit code.
fn run(cluster: &Embedded, args: &[&str]) -> (String, Option<i32>) {
    let out = cluster.run(args, "");
    (String::from_utf8(out.stdout).unwrap(), out.status.code())
}

/// The words of the line of a component.
fn line<'t>(text: &'t str, component: &str) -> Vec<&'t str> {
    let found = text
        .lines()
        .find(|l| l.split_whitespace().next() == Some(component));
    found.unwrap_or_default().split_whitespace().collect()
}

#[test]
fn status_shows_components_and_hosts() {
    let cluster = Embedded::up();
    // tarsnode is not installed yet; everything else runs.
    let (text, code) = run(&cluster, &["status"]);
    assert_eq!(code, Some(2), "{text}");
    let head: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["COMPONENT", "VERSION", "STATE", "HOSTS"]);
    let node = line(&text, "tarsnode");
    assert_eq!(node[1..3], ["none", "missing"], "{text}");
    assert_eq!(node[node.len() - 2..], ["(2", "hosts)"], "{text}");
    let registry = line(&text, "tarsregistry");
    assert_eq!(registry[1..4], ["3.0.17", "in", "sync"], "{text}");
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("Status: ") && last.contains(" 2 missing on 2 hosts."),
        "{text}"
    );
    assert!(!text.contains("SOURCE"), "{text}");

    // Details are for -v: each host, its process, and the sources; nobody's exceptions even there.
    let (details, _) = run(&cluster, &["status", "-v"]);
    assert!(details.contains("WHAT EACH SOURCE REPORTS"), "{details}");
    assert!(details.contains("pid "), "{details}");
    let lines = details.lines().filter(|l| l.starts_with("tarsnode "));
    assert_eq!(lines.count(), 2, "{details}");
    assert!(
        details.contains("getServerState answered with code"),
        "{details}"
    );
    for raw in ["Exception", "Imp::"] {
        assert!(!details.contains(raw), "{details}");
    }

    // One component, in text, in the sources and for machines.
    let (one, _) = run(&cluster, &["status", "--on", "tarsconfig"]);
    let named: Vec<&str> = one
        .lines()
        .filter_map(|l| l.split_whitespace().next())
        .collect();
    assert_eq!(named, ["COMPONENT", "tarsconfig", "Status:"], "{one}");
    let (one, _) = run(&cluster, &["status", "-v", "--on", "tarsconfig"]);
    assert!(one.contains("server/tarsconfig@"), "{one}");
    assert!(
        !one.contains("agent/") && !one.contains("server/tarslog"),
        "{one}"
    );
    let (json, _) = run(&cluster, &["status", "--json", "--on", "!tarsnode"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["format"], "tarsops.status/1");
    assert!(json["nodes"].as_array().unwrap().is_empty());
    let all = json["components"].as_array().unwrap();
    assert!(all.len() > 8, "{all:?}");
    for one in all {
        assert_eq!(one["state"], "in-sync", "{one}");
        assert_eq!(one["version"], "3.0.17", "{one}");
    }
}
