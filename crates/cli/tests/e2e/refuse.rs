//! What is refused, with nothing changed.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::*;

/// A converged cluster of two that is asked for 3.0.18, with all that a change could touch.
fn asked() -> (Cluster, Machine, Vec<Snapshot>) {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.18", Behaviour::Healthy);
    let states = cluster.hosts.iter().map(HostExt::state).collect();
    (cluster, machine, states)
}

#[track_caller]
fn unchanged(cluster: &Cluster, states: &[Snapshot]) {
    for (host, state) in cluster.hosts.iter().zip(states) {
        assert_eq!(state.changes(&host.state()), "", "{}", host.name());
        host.assert_tidy();
    }
}

/// A saved plan with everything in its place that its steps share; that is a saved plan as well.
fn whole(text: &str) -> Value {
    fn placed(value: &Value, shared: &Value, fill: &dyn Fn(&str) -> String) -> Value {
        match value {
            Value::Object(all) if all.len() == 1 && all.contains_key("shared") => {
                let number = usize::try_from(all["shared"].as_u64().unwrap()).unwrap();
                placed(&shared[number], shared, fill)
            }
            Value::Object(all) => {
                let all = all
                    .iter()
                    .map(|(k, v)| (k.clone(), placed(v, shared, fill)));
                Value::Object(all.collect())
            }
            Value::Array(all) => all.iter().map(|v| placed(v, shared, fill)).collect(),
            Value::String(text) => Value::String(fill(text)),
            other => other.clone(),
        }
    }
    let mut document: Value = serde_json::from_str(text).unwrap();
    let shared = document["shared"].clone();
    for step in document["steps"].as_array_mut().unwrap() {
        let node = step["resource"].as_str().unwrap().split('/').next_back();
        let node = node.unwrap().split('@').next_back().unwrap().to_owned();
        let own = |name: &str| step[name].as_str().unwrap_or_default().to_owned();
        let (ip, machine) = (own("ip"), own("machine"));
        let fill = |text: &str| {
            let text = text.replace("{machine}", &machine).replace("{ip}", &ip);
            text.replace("{node}", &node)
        };
        *step = placed(step, &shared, &fill);
    }
    document
}

#[test]
fn a_plan_whose_facts_have_moved() {
    let (cluster, machine, _) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    for host in &cluster.hosts {
        host.sh(&format!("chmod 755 {BINARY} && mv {BINARY} {BINARY}.x && cp {BINARY}.x {BINARY} && rm {BINARY}.x && echo >> {BINARY}")).unwrap();
    }
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    machine
        .tarsops(["apply", "-y", "p.json"])
        .exits(5)
        .tells("it is not planned now: ");
    unchanged(&cluster, &states);
}

#[test]
fn a_plan_for_another_spec() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    let mut spec = cluster.spec();
    spec.with_rollout("canary: 0");
    spec.version = "3.0.18".to_owned();
    machine.spec(&spec);
    machine
        .tarsops(["apply", "-y", "p.json"])
        .exits(5)
        .tells("plan again");
    unchanged(&cluster, &states);
}

/// Whoever can write the file can have less done, and nothing else.
#[test]
fn a_plan_that_was_edited() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    let text = machine.read("p.json");
    let honest = whole(&text);
    let first = honest["steps"][0]["id"].as_str().unwrap();
    let script = "#!/bin/sh\nid >/tmp/own\n";
    let digest = "0".repeat(64);
    let file = |path: &str, mode: u32| json!({"path": path, "mode": mode, "before": null, "after": digest, "content": {"text": script}});
    let recover = json!({
        "id": "recover@10.77.1.2", "stage": "recover", "batch": 0, "needs": [],
        "resource": "agent/10.77.1.2", "sign": "change", "summary": "end it",
        "action": {"do": "recover", "node": "10.77.1.2", "run": "1796006775354-f57302", "step": "x"},
        "pre": [], "post": [{"is": "stopped"}], "undo": {"undo": "restore"},
    });
    // A place in the document, what stands there then, and what is said of it.
    let edits: [(&str, Value, &str); 9] = [
        (
            "/steps/0/action/operation/modify/files/0/path",
            json!("../../etc/cron.d/x"),
            "action.operation.modify.files[0].path",
        ),
        (
            "/steps/0/action/operation/modify/files/0/after",
            json!(digest),
            "action.operation.modify.files[0].after",
        ),
        (
            "/steps/0/action/operation/modify/files/0/mode",
            json!(0o6755),
            "action.operation.modify.files[0].mode",
        ),
        (
            "/steps/0/action/operation/modify/files/1",
            file("tarsnode/util/change.sh", 0o755),
            "action.operation.modify.files[1]",
        ),
        (
            "/steps/0/action/operation/modify/crontab",
            json!({"before": null, "edit": {"remove": [], "add": "* * * * * id"}}),
            "action.operation.modify.crontab",
        ),
        ("/steps/0/action/run_user", json!("root"), "action.run_user"),
        (
            "/steps/0/action/tars_path",
            json!("/usr/local/app/other"),
            "action.tars_path",
        ),
        ("/steps/0/pre", json!([]), "pre[0]"),
        (
            "/steps/0",
            recover,
            "step recover@10.77.1.2: it is not planned now",
        ),
    ];
    for (place, value, told) in edits {
        let mut changed = honest.clone();
        match changed.pointer_mut(place) {
            Some(at) => *at = value,
            None => {
                let modify = &mut changed["steps"][0]["action"]["operation"]["modify"];
                let files = modify["files"].as_array_mut();
                files.unwrap().push(value);
            }
        }
        machine.write("p.json", changed.to_string());
        let ran = machine.tarsops(["apply", "-y", "p.json"]);
        ran.exits(5).tells(told).tells("nothing was changed");
        if !told.starts_with("step ") {
            ran.tells(&format!("step {first}: "));
        }
        unchanged(&cluster, &states);
    }
    // What is no step of the plan is not read at all, and what was not saved so is no plan.
    let mut twice = honest.clone();
    let steps = twice["steps"].as_array_mut().unwrap();
    steps.push(steps[0].clone());
    machine.write("p.json", twice.to_string());
    let ran = machine.tarsops(["apply", "-y", "p.json"]);
    ran.exits(6).tells("twice");
    machine.write("p.json", &text[..text.len() / 2]);
    let ran = machine.tarsops(["apply", "-y", "p.json"]);
    ran.exits(1).tells("p.json");
    unchanged(&cluster, &states);
}

/// The second host waits for the first one: a file that leaves that out is refused, one that ends
/// with it is done.
#[test]
fn a_plan_of_which_steps_were_taken_out() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["plan", "-o", "p.json"]).exits(2);
    let honest: Value = serde_json::from_str(&machine.read("p.json")).unwrap();
    let ids: Vec<&str> = honest["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["id"].as_str().unwrap())
        .collect();
    let mut last = honest.clone();
    last["steps"].as_array_mut().unwrap().remove(0);
    machine.write("last.json", last.to_string());
    machine
        .tarsops(["apply", "-y", "last.json"])
        .exits(5)
        .tells(&format!("step {}: {} comes before it now", ids[1], ids[0]));
    unchanged(&cluster, &states);
    // Counts and reports of a file are not shown, and its gates not waited for.
    let mut first = honest.clone();
    first["steps"].as_array_mut().unwrap().truncate(1);
    first["summary"] = json!({"add": 7, "change": 7, "remove": 7, "blocked": 0, "unknown": 0});
    first["gates"] = json!([]);
    machine.write("first.json", first.to_string());
    machine
        .tarsops(["apply", "-y", "first.json"])
        .exits(2)
        .says("Plan: 0 to add, 1 to change, 0 to remove")
        .says("1 done")
        .complains(&format!(
            "not carried out, as they are planned now and not in the file: {}",
            ids[1]
        ));
    let changed = |(host, state): (&Host, &Snapshot)| !state.changes(&host.state()).is_empty();
    let hosts = cluster.hosts.iter().zip(&states);
    assert_eq!(hosts.filter(|(h, s)| changed((h, s))).count(), 1);
}

/// Ctrl-C is an answer, too, and leaves nothing behind.
#[test]
fn a_question_that_is_not_answered() {
    let (cluster, machine, states) = asked();
    for (keys, code) in [("\u{3}", 130), ("no\n", 1)] {
        for command in [["apply"], ["rollback"]] {
            until_asked(&machine.command(command))
                .types(keys)
                .exits(code);
            assert_eq!(std::fs::read_dir(machine.tmp()).unwrap().count(), 0);
        }
    }
    unchanged(&cluster, &states);
}

/// A rollback is saved, planned again from what the hosts remember, and narrowed in the same way.
#[test]
fn a_rollback_that_was_saved() {
    let (cluster, machine, _) = asked();
    machine.tarsops(["apply", "-y"]).exits(0);
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    machine
        .tarsops(["rollback", "-o", "back.json"])
        .exits(2)
        .says("Plan: 0 to add, 2 to change")
        .complains("tarsops apply back.json");
    let mode = std::fs::metadata(machine.repo("back.json"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    machine
        .tarsops(["rollback", "-y", "-o", "x.json"])
        .exits(64);
    unchanged(&cluster, &states);
    let honest = whole(&machine.read("back.json"));
    let edits = [
        (
            "/steps/0/action/operation/restore/files/0/path",
            json!("tarsnode/util/change.sh"),
            "action.operation.restore.files[0].path",
        ),
        (
            "/steps/0/action/operation/restore/files/0/content/before/index",
            json!(7),
            "content.before.index",
        ),
        ("/steps/0/action/run_user", json!("root"), "action.run_user"),
    ];
    for (place, value, told) in edits {
        let mut changed = honest.clone();
        *changed.pointer_mut(place).unwrap() = value;
        machine.write("edited.json", changed.to_string());
        let ran = machine.tarsops(["apply", "-y", "edited.json"]);
        ran.exits(5).tells(told).tells("nothing was changed");
    }
    let mut unknown = honest.clone();
    unknown["rolls_back"] = json!("1796006775354-f57302");
    machine.write("edited.json", unknown.to_string());
    let ran = machine.tarsops(["apply", "-y", "edited.json"]);
    ran.exits(1).tells("no host remembers a run");
    unchanged(&cluster, &states);
    let on = cluster.hosts[0].ip().to_string();
    let one = machine.tarsops(["rollback", "-o", "one.json", "--on", &on]);
    one.exits(2).says("1 to change");
    let ran = machine.tarsops(["apply", "-y", "one.json"]);
    ran.exits(64).tells(&format!("made with --on {on}"));
    machine
        .tarsops(["apply", "-y", "back.json"])
        .exits(0)
        .says("2 of 2 hosts are restored to their state before");
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.17"));
        host.assert_tidy();
    }
    // It is planned from what is there now, and that has moved on.
    machine
        .tarsops(["apply", "-y", "back.json"])
        .exits(6)
        .tells("has changed since that run");
}

#[test]
fn a_package_that_is_not_the_pinned_one() {
    let (cluster, machine, states) = asked();
    machine.package("3.0.18", Layout::Full, Behaviour::CrashAtStart);
    for command in [["plan", "-v"], ["apply", "-y"]] {
        machine.tarsops(command).exits(1).tells("package lock");
    }
    let gone = machine.repo("packages/3.0.18");
    std::fs::rename(&gone, machine.repo("elsewhere")).unwrap();
    machine
        .tarsops(["plan"])
        .exits(2)
        .complains("not on this machine");
    machine
        .tarsops(["apply", "-y"])
        .exits(1)
        .tells("not on this machine");
    unchanged(&cluster, &states);
}

/// A lock file pins what is there, and brings nothing.
#[test]
fn a_lock_file_that_was_edited() {
    let (cluster, machine, states) = asked();
    let honest = machine.read("cluster.yaml.lock");
    let steps = |ran: &Ran| ran.json("tarsops.plan/3")["steps"].clone();
    let before = steps(machine.tarsops(["plan", "--json"]).exits(2));
    let at = honest.find("version: 3.0.18").unwrap();
    let entry = honest[..at].rfind("- component").unwrap();
    // It is the last one.
    let end = at + honest[at..].find("\nknown:").unwrap() + 1;
    assert!(!honest[at..end].contains("\n- "), "{honest}");
    let pin = &honest[entry..end];
    let with = |pin: &str| format!("{}{pin}{}", &honest[..entry], &honest[end..]);
    let binary = healthy("3.0.18");
    assert!(pin.contains(&binary), "{pin}");
    for (edited, told) in [
        (pin.replace(&binary, &"0".repeat(64)), "pinned"),
        (
            pin.replace("source: ", "source: ../"),
            "no place in the packages folder",
        ),
        (
            pin.replace("source: ", "source: /etc/"),
            "no place in the packages folder",
        ),
        (
            pin.replace("source: ", "source: node:10.77.1.1 #"),
            "a node, which its layout is not",
        ),
        (
            pin.replace("  version", "  run: id\n  version"),
            "unknown field `run`",
        ),
        (format!("{pin}{pin}"), "twice"),
    ] {
        machine.write("cluster.yaml.lock", with(&edited));
        let ran = machine.tarsops(["apply", "-y"]);
        assert_eq!(ran.code, 1, "{told}: {}", ran.err);
        ran.tells(told);
        unchanged(&cluster, &states);
    }
    // What the spec does not ask for is no source of anything.
    let more = pin
        .replace("3.0.18", "3.0.99")
        .replace(&binary, &"1".repeat(64));
    machine.write("cluster.yaml.lock", with(&format!("{pin}{more}")));
    let after = steps(machine.tarsops(["plan", "--json"]).exits(2));
    assert_eq!(after, before);
}

/// A binary that nobody knows is not replaced until somebody says what it is.
#[test]
fn a_binary_that_nobody_knows() {
    let (cluster, machine, _) = asked();
    let host = cluster.host(2);
    host.sh(&format!("cp {BINARY} {BINARY}.x && echo more >> {BINARY}.x && chown tars: {BINARY}.x && mv {BINARY}.x {BINARY}")).unwrap();
    let found = host.sha256(BINARY);
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    let plan = machine.tarsops(["plan"]);
    // The other host still has something to do.
    assert!([2, 6].contains(&plan.code), "{}\n{}", plan.code, plan.out);
    plan.tells(&found[..8]).tells("package add");
    machine.tarsops(["apply", "-y", "--on", "10.77.1.2"]);
    unchanged(&cluster, &states);
    machine
        .tarsops([
            "package",
            "add",
            "--component",
            "tarsnode",
            "--version",
            "3.0.17",
            &found,
        ])
        .exits(0);
    machine.converge();
    host.assert_runs("10.77.1.2", "tars", &healthy("3.0.18"));
    machine.in_sync();
}

#[test]
fn one_machine_under_two_names() {
    let (cluster, machine, _) = asked();
    let id = cluster.host(1).sh("cat /etc/machine-id").unwrap();
    cluster
        .host(2)
        .write("/etc/machine-id", format!("{id}\n"))
        .unwrap();
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    machine.tarsops(["plan"]).exits(6).tells("machine");
    machine.tarsops(["apply", "-y"]).exits(6);
    unchanged(&cluster, &states);
}

#[test]
fn a_downgrade_without_leave() {
    let cluster = Cluster::new(2);
    let machine = cluster.machine();
    machine.converge();
    machine.ask_for(&cluster, "3.0.16", Behaviour::Healthy);
    let states: Vec<_> = cluster.hosts.iter().map(HostExt::state).collect();
    // The binary that runs must be known as newer.
    let newer = healthy("3.0.17");
    machine
        .tarsops([
            "package",
            "add",
            "--component",
            "tarsnode",
            "--version",
            "3.0.17",
            &newer,
        ])
        .exits(0);
    machine.tarsops(["plan"]).exits(6).tells("allow_downgrade");
    machine.tarsops(["apply", "-y"]).exits(6);
    unchanged(&cluster, &states);
    let mut spec = cluster.spec();
    spec.version = "3.0.16".to_owned();
    spec.with_framework("allow_downgrade: true");
    machine.spec(&spec);
    machine.converge();
    for host in &cluster.hosts {
        host.assert_runs(&host.ip().to_string(), "tars", &healthy("3.0.16"));
    }
}

#[test]
fn an_apply_that_nobody_confirms() {
    let (cluster, machine, states) = asked();
    machine.tarsops(["apply"]).exits(64).tells("-y");
    unchanged(&cluster, &states);
}

#[test]
fn a_rebuild() {
    let (cluster, machine, states) = asked();
    let text = machine.read("cluster.yaml");
    machine.write("cluster.yaml", format!("{text}rebuild: true\n"));
    for command in [["plan", "-v"], ["apply", "-y"]] {
        machine
            .tarsops(command)
            .exits(3)
            .tells("rebuild")
            .tells("cluster.yaml:");
    }
    unchanged(&cluster, &states);
}

/// Each document says its format, and nothing else is on standard output.
#[test]
fn json_is_json() {
    let (_cluster, machine, _) = asked();
    machine
        .tarsops(["plan", "--json"])
        .exits(2)
        .json("tarsops.plan/3");
    machine
        .tarsops(["drift", "--json"])
        .exits(2)
        .json("tarsops.drift/1");
    machine
        .tarsops(["status", "--json"])
        .exits(2)
        .json("tarsops.status/1");
    machine
        .tarsops(["apply", "-y", "--json"])
        .exits(0)
        .json("tarsops.apply/1");
    machine
        .tarsops(["history", "--json"])
        .exits(0)
        .json("tarsops.history/1");
    machine
        .tarsops(["rollback", "-y", "--json"])
        .exits(0)
        .json("tarsops.rollback/1");
}
