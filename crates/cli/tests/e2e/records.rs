//! What a host remembers counts for that host only: records that somebody on it wrote.

use serde_json::{Value, json};

use crate::support::*;

/// Two hosts that a run has just brought from 3.0.17 to 3.0.18, and that run.
fn upgraded() -> (Cluster, Machine, String) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    machine.tarsops(["apply", "-y"]).exits(0);
    let history = machine.tarsops(["history", "--json"]);
    let history = history.json("tarsops.history/1");
    let run = history["runs"][0]["run"].as_str().unwrap().to_owned();
    (cluster, machine, run)
}

/// The folder of the one step of a run on a host.
fn folder(host: &Host, run: &str) -> String {
    let found = host.sh(&format!("echo {STATE}/runs/{run}/*"));
    let found = found.unwrap().trim().to_owned();
    assert!(!found.contains(['*', ' ']), "{found}");
    found
}

fn write(host: &Host, path: &str, text: &str) {
    let text = text.replace('\'', r"'\''");
    host.sh(&format!("printf %s '{text}' >'{path}'")).unwrap();
}

/// The change of a host in a document of `history RUN --json`.
fn change_of(document: &Value, node: &str) -> Value {
    let changes = document["runs"][0]["changes"].as_array().unwrap();
    changes.iter().find(|c| c["node"] == node).unwrap().clone()
}

#[test]
fn a_record_that_was_forged() {
    let (cluster, machine, run) = upgraded();
    let (first, second) = (cluster.host(1), cluster.host(2));
    machine.tarsops(["rollback", "-o", "back.json"]).exits(2);
    let intent = format!("{}/intent", folder(second, &run));
    let honest: Value =
        serde_json::from_str(&second.sh(&format!("cat {intent}")).unwrap()).unwrap();
    let (victim, forger) = (first.ip().to_string(), second.ip().to_string());
    let of_database = json!({
        "format": "tarsops.database-intent/1", "cluster": honest["cluster"], "run": run,
        "step": honest["step"], "holder": "x", "spec_digest": honest["spec_digest"], "started_at": 0,
        "sign": "change", "summary": "x", "resource": "template/tars.default",
        "deed": {"does": "template", "name": "tars.default", "before": null, "after": null},
    });
    let cases: [(&str, Value, &str); 9] = [
        ("/changed/host/change/node", json!(victim), "node"),
        ("/changed/host/change/ip", json!(victim), "address"),
        ("/changed/host/change/tars_path", json!("/tmp/x"), "folder"),
        ("/changed/host/change/run_user", json!("root"), "run user"),
        (
            "/changed/host/change/operation/modify/files/0/path",
            json!("tarsnode/util/change.sh"),
            "file",
        ),
        (
            "/changed/host/change/operation/modify/files/0/mode",
            json!(0o6755),
            "mode of a file",
        ),
        ("/run", json!("1796006775354-f57302"), "run"),
        ("/cluster", json!("other"), "cluster"),
        // Only the master can know of the database.
        ("", of_database, "node"),
    ];
    for (place, value, field) in cases {
        let mut forged = honest.clone();
        *forged.pointer_mut(place).unwrap() = value;
        write(second, &intent, &forged.to_string());
        let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
        let told = format!("does not fit: its {field} is `");
        machine
            .tarsops(["history"])
            .exits(0)
            .says("1 does not fit, 1 ok");
        machine.tarsops(["history", &run]).exits(0).says(&told);
        let document = machine.tarsops(["history", &run, "--json"]);
        let document = document.json("tarsops.history/1");
        let change = change_of(&document, &forger);
        let why = change["does_not_fit"].as_str().unwrap();
        assert!(why.starts_with(&format!("its {field} is `")), "{why}");
        // Nothing that it says is passed on.
        for silent in ["summary", "holder", "started_at", "spec_digest", "database"] {
            assert_eq!(change[silent], Value::Null, "{silent}");
        }
        assert_eq!(change_of(&document, &victim)["does_not_fit"], Value::Null);
        for command in [
            &["rollback", "-y"][..],
            &["rollback", "-o", "other.json"],
            &["apply", "-y", "back.json"],
        ] {
            machine
                .tarsops(command)
                .exits(6)
                .tells(&format!(
                    "{forger}: its record does not fit: its {field} is `"
                ))
                .tells("nothing was changed");
        }
        assert!(!machine.repo("other.json").exists());
        for (host, state) in cluster.hosts.iter().zip(&states) {
            assert_eq!(state.changes(&host.state()), "", "{}", host.name());
        }
    }
    // The other host is not kept from going back.
    machine
        .tarsops(["rollback", "-y", &run, "--on", &victim])
        .exits(0)
        .says("1 of 1 hosts");
    first.assert_runs(&victim, "tars", &healthy("3.0.17"));
    second.assert_runs(&forger, "tars", &healthy("3.0.18"));
}

#[test]
fn records_under_names_that_no_run_has() {
    let (cluster, machine, run) = upgraded();
    let second = cluster.host(2);
    let mine = folder(second, &run);
    for name in ["x;id", "zzz..", "1796006775354-f57302/..x"] {
        let base = format!("{STATE}/runs/{name}");
        second
            .sh(&format!("mkdir -p '{base}' && cp -r {mine} '{base}/'"))
            .unwrap();
    }
    for command in [&["history"][..], &["rollback", "-y"]] {
        machine
            .tarsops(command)
            .exits(0)
            .complains("10.77.1.2: it has records under names that no run or step has");
    }
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
    }
}
