//! The scripts as they are sent, and what they may never hold.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tarsops_transport::mysql::Secret;

use super::super::*;
use super::world::programs;
use crate::replaced::{place, run_id};
use crate::scripts::host::composed::read_by_all;
use crate::scripts::{container_files, prune_containers, replace_container};

/// A replacement with an environment.
fn change(environment: BTreeMap<String, String>) -> ContainerChange {
    let path = |p: &str| AbsPath::new(p).unwrap();
    ContainerChange {
        socket: path("/var/run/docker.sock"),
        name: "tars-framework".to_owned(),
        old: Some(OldContainer {
            id: "a".repeat(64),
            adopt: Some(format!("sha256:{}", "c".repeat(64))),
        }),
        new: NewContainer::Create(Creation {
            image: format!("sha256:{}", "b".repeat(64)),
            environment,
            password: Some(Secret::new("s3cret")),
            mounts: vec![],
            network: Network::Host,
            logs: ("10m".to_owned(), 3),
            space: 0,
        }),
        policy: "always".to_owned(),
        programs: programs("3.0.18"),
        ports: [17890].into(),
        settle: 1,
        deadline: 60,
        stop_timeout: 60,
        summary: "a change".to_owned(),
    }
}

fn scripts(change: &ContainerChange) -> Result<Vec<(&'static str, String)>, BadContainer> {
    let (place, run) = (place(), run_id(1));
    let launch = ContainerLaunch {
        place: &place,
        run: &run,
        step: "s",
        change: change.sound()?,
        holder: "me",
        intent: "{}",
        expires: None,
    };
    let prune = prune_containers(&place, &change.socket, &change.name, 2);
    let mut all = vec![("launch", replace_container(&launch)), ("prune", prune)];
    all.extend(
        container_files(&launch)
            .into_iter()
            .filter(|f| f.0 != "intent"),
    );
    Ok(all)
}

#[test]
fn every_script_passes_shellcheck_and_every_shell_reads_it() {
    let all = scripts(&change(BTreeMap::new())).unwrap();
    let text = |name: &str| all.iter().find(|s| s.0 == name).unwrap().1.as_str();
    let whole = format!("{}{}{}", text("tree.sh"), text("env"), text("change.sh"));
    read_by_all([
        ("change", whole),
        ("launch", text("launch").to_owned()),
        ("prune", text("prune").to_owned()),
    ]);
}

/// The password is a variable of the launching shell; it is on no command line and in no file.
#[test]
fn the_password_is_in_no_file_of_a_change() {
    let all = scripts(&change(BTreeMap::new())).unwrap();
    for (name, text) in all {
        let lines = text.lines().filter(|l| l.contains("s3cret"));
        let lines: Vec<&str> = lines.collect();
        match name {
            "launch" => assert_eq!(lines, ["MYSQL_ROOT_PASSWORD='s3cret'"], "{name}"),
            _ => assert_eq!(lines, Vec::<&str>::new(), "{name}"),
        }
    }
    assert!(!format!("{:?}", change(BTreeMap::new())).contains("s3cret"));
}

/// Only one function starts a container and only one stops one, and both look at its environment first.
#[test]
fn nothing_starts_or_stops_a_container_unguarded() {
    let all = scripts(&change(BTreeMap::new())).unwrap();
    let script = &all.iter().find(|s| s.0 == "change.sh").unwrap().1;
    let lines: Vec<&str> = script.lines().collect();
    let mut commands = BTreeSet::new();
    for (number, line) in lines.iter().enumerate() {
        for (at, _) in line.match_indices("engine ") {
            if line[..at].ends_with('_') {
                continue;
            }
            let mut words = line[at..].split_whitespace().skip(1);
            // Seconds, or a sum of them.
            let seconds = words.next().unwrap_or_default();
            if seconds != "$((T_STOP" && seconds.parse::<u32>().is_err() {
                continue;
            }
            let command = words.find(|w| w.starts_with(|c: char| c.is_ascii_lowercase()));
            let command = command.unwrap_or_default();
            commands.insert(command);
            if command == "start" || command == "stop" {
                assert!(lines[number - 2].starts_with(&format!("{command}_container() {{")));
                assert_eq!(
                    lines[number - 1].trim(),
                    "! may_drop container \"$1\" || return 1"
                );
            }
        }
    }
    let known = [
        "cp", "create", "image", "info", "inspect", "ps", "rename", "rm", "start", "stop",
        "update", "version",
    ];
    assert_eq!(commands, BTreeSet::from(known));
    assert!(!script.contains("rm -v") && !script.contains("engine 60 rm -f"));
}

proptest! {
    /// Whatever an environment holds, the words for the engine say `REBUILD=false` once and nothing else
    /// of it, or there are no words.
    #[test]
    fn no_words_ask_for_a_rebuild(
        name in "REBUILD|rebuild|Rebuild|REBUILD |RE\nBUILD|[A-Z_]{1,8}",
        value in "true|TRUE|false|False|1|yes||a\nREBUILD=true|[ -~]{0,12}",
    ) {
        let change = change(BTreeMap::from([(name.clone(), value.clone())]));
        if let Ok(all) = scripts(&change) {
            let env = &all.iter().find(|s| s.0 == "env").unwrap().1;
            let lines: Vec<String> =
                env.lines().filter(|l| l.to_lowercase().starts_with("rebuild")).map(str::to_owned).collect();
            prop_assert_eq!(lines, vec!["REBUILD=false".to_owned()]);
        } else {
            let harmless = name.chars().all(|c| c.is_ascii_uppercase() || c == '_') && name != "REBUILD";
            prop_assert!(!harmless || value.contains('\n'), "{name}={value}");
        }
    }
}
