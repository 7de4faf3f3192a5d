//! What recorded answers of a host become when the host means harm: each word of each line is replaced
//! and altered. Whatever it says, nobody panics, the plan passes its check, and what is planned is on
//! the hosts, below the folders and with the users that the spec names.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component as Part, Path};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::*;
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::digest::Digest;
use tarsops_model::display::is_harmless;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::package::{Catalog, Layout, PackageContents, PackageFile, PackagePin};
use tarsops_plan::action::{Action, Folder, Recover};
use tarsops_plan::checker;
use tarsops_plan::input::{PlanInput, Scope};
use tarsops_plan::plan::{Plan, Step};
use tarsops_plan::planner::plan as make_plan;
use tarsops_plan::render::{self, Style};
use tarsops_probe::{Options, look};
use tarsops_transport::{Bounds, Fault, Output, Payload, Remote};

/// When the answers were recorded, in seconds since 1970.
const NOW: i64 = 1_796_026_940;
const INSTALL: &str = "/usr/local/app";
const USER: &str = "tars";
const RECORDED: [(&str, &str); 3] = [
    ("fresh", include_str!("../../../fixtures/probe/fresh.txt")),
    (
        "under way",
        include_str!("../../../fixtures/probe/under-way.txt"),
    ),
    (
        "settled",
        include_str!("../../../fixtures/probe/settled.txt"),
    ),
];
/// The host that means harm.
const ATTACKER: usize = 2;

const SPEC: &str = "schema: tarsops/v1
cluster: prod
framework: {version: 3.0.18, packages: ./packages}
ssh: {user: ops, become: sudo}
rpc: none
registry: {endpoints: [10.77.1.1:17890]}
nodes:
- {name: 10.77.1.1, roles: [master]}
- {name: 10.77.1.2}
- {name: 10.77.1.3}
";

/// Values in the place of a word, and in the place of what a word encodes.
const HOSTILE: &[&str] = &[
    "",
    "-",
    "0",
    "1",
    "-1",
    "-9223372036854775808",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "777",
    "37777777777",
    "absent",
    "unknown",
    "present",
    "file",
    "text",
    "root",
    "10.77.1.3",
    "10.77.1.1",
    "..",
    "../../../etc/cron.d/x",
    "/etc/shadow",
    "/",
    "tarsregistry",
    "$(reboot)",
    "`reboot`",
    "';reboot;'",
    "\u{1b}[2J\u{1b}]0;t\u{7}",
    "\u{202e}\u{2066}\u{200b}\u{e0041}",
    "\u{0}\u{7f}\u{85}\r",
    "* * * * * root reboot",
    "9999999999999-ffffff",
    "0000000000000-000000",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn address(host: usize) -> String {
    format!("10.77.1.{host}")
}

fn name(host: usize) -> NodeName {
    NodeName::new(address(host)).unwrap()
}

/// The lines of a recorded answer between the first and the last, as if `host` had sent them.
fn lines(recorded: &str, host: usize) -> Vec<String> {
    let own = if recorded.contains("\nhostname n2\n") {
        2
    } else {
        1
    };
    let all: Vec<&str> = recorded.lines().collect();
    all[1..all.len() - 1]
        .iter()
        .map(|line| {
            let line = line.replace(&address(own), &address(host));
            match line.strip_prefix("machine-id ") {
                Some(id) => format!("machine-id {host}{}", &id[1..]),
                None => line,
            }
        })
        .collect()
}

/// A host that answers with these lines.
struct Host(Vec<String>);

impl Remote for Host {
    fn ask<'a>(&'a self, script: &'a str, _: Bounds) -> BoxFuture<'a, Result<Output, Fault>> {
        let nonce = script
            .lines()
            .find_map(|l| l.strip_prefix("P_NONCE='")?.strip_suffix('\''))
            .unwrap();
        let mut text = format!("tarsops-probe/2 {nonce}\n");
        let (mut count, mut raw) = (1, false);
        for line in self.0.iter().flat_map(|lines| lines.split('\n')) {
            let status = line.strip_prefix("recorded ");
            match status {
                Some(status) => text.push_str(&format!("{nonce} {status}\n")),
                None => text.push_str(&format!("{line}\n")),
            }
            let of_file = line.starts_with('/') && line.contains(':');
            count += usize::from(!raw && !of_file);
            raw = status.is_none() && (raw || line.ends_with(" raw"));
        }
        text.push_str(&format!("end {count}\n"));
        let output = Output {
            stdout: text.into_bytes(),
            stderr: String::new(),
            status: Some(0),
        };
        async { Ok(output) }.boxed()
    }

    fn upload<'a>(
        &'a self,
        _: &'a str,
        _: &'a Payload,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        unreachable!("a look sends no file")
    }

    fn download<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
        _: u64,
        _: Duration,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        unreachable!("a look fetches no file")
    }
}

struct World {
    desired: Desired,
    catalog: Catalog,
    inventory: Inventory,
}

impl World {
    /// Three hosts that say what was recorded of a settled one.
    fn new() -> Self {
        let base = tarsops_spec::Base {
            dir: "/spec".into(),
            home: None,
            processors: 2,
        };
        let parsed = tarsops_spec::parse(SPEC, "cluster.yaml").unwrap();
        let (desired, _) = parsed.lower(&base).unwrap();
        let mut world = Self {
            desired,
            catalog: catalog(),
            inventory: Inventory {
                observed_at: NOW,
                ..Inventory::default()
            },
        };
        for host in 1..=3 {
            assert!(world.look(host, lines(RECORDED[2].1, host)), "host {host}");
        }
        world
    }

    /// Looks at a host that answers so; whether the answer can be read.
    fn look(&mut self, host: usize, answer: Vec<String>) -> bool {
        let options = Options {
            install_path: INSTALL.parse().unwrap(),
            cluster: "prod".parse().unwrap(),
            run_user: USER.parse().unwrap(),
            rehash: false,
            fence: None,
            parallel: 1,
            deadline: Duration::from_secs(1),
            servers: tarsops_plan::components::LOOKED_AT.to_vec(),
            docker: None,
            console: None,
        };
        let node = name(host);
        let host = Host(answer);
        // Nothing waits in it.
        let seen = look(&node, &host, &options, NOW).now_or_never().unwrap();
        match seen {
            Ok(seen) => {
                seen.into(&mut self.inventory);
                true
            }
            Err(_) => false,
        }
    }

    fn plan(&self) -> Plan {
        let scope = Scope::default();
        let input = PlanInput {
            desired: &self.desired,
            inventory: &self.inventory,
            catalog: &self.catalog,
            scope: &scope,
            now: NOW,
        };
        let plan = make_plan(&input);
        if let Err(found) = checker::check(&plan, &input) {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            panic!("the plan does not pass its check: {found:?}");
        }
        plan
    }
}

/// The release of the spec: the scripts that were recorded, and another binary.
fn catalog() -> Catalog {
    let recorded = lines(RECORDED[2].1, ATTACKER);
    let text = |file: &str| {
        let before = format!("tars/tarsnode/{file}:");
        let lines = recorded.iter().filter_map(|l| l.strip_prefix(&before));
        lines.map(|l| format!("{l}\n")).collect::<String>()
    };
    let file = |path: &str, text: Option<String>| PackageFile {
        path: path.to_owned(),
        mode: 0o755,
        size: text.as_ref().map_or(1 << 20, |t| t.len() as u64),
        digest: Digest::of(text.as_deref().unwrap_or("3.0.18").as_bytes()),
        text,
    };
    let mut files = vec![
        file("bin/tarsnode", None),
        file(
            "conf/tars.tarsnode.config.conf",
            Some(
                text("conf/tars.tarsnode.config.conf")
                    .replace(&address(ATTACKER), "localip.tars.com"),
            ),
        ),
    ];
    for script in ["execute.sh", "monitor.sh", "start.sh", "stop.sh"] {
        let body = text(&format!("util/{script}"));
        files.push(file(&format!("util/{script}"), Some(body)));
    }
    let mut catalog = Catalog::default();
    catalog.insert(PackageContents {
        pin: PackagePin {
            component: Component::Tarsnode,
            version: "3.0.18".parse().unwrap(),
            layout: Layout::Component,
            source: "tarsnode.tgz".to_owned(),
            archive: None,
            archive_size: None,
            binary: files[0].digest,
            binary_size: files[0].size,
            contents: Digest::of(b"3.0.18"),
        },
        files,
    });
    // What was recorded ran 3.0.17.
    let binary = recorded
        .iter()
        .find_map(|l| l.strip_prefix("binary file "))
        .unwrap();
    let digest = binary.split(' ').next().unwrap().parse().unwrap();
    let old = (Component::Tarsnode, "3.0.17".parse().unwrap());
    catalog.known.entry(digest).or_default().insert(old);
    catalog
}

/// What is planned on hosts, by step.
fn steps(plan: &Plan) -> BTreeMap<&str, &Step> {
    plan.steps.iter().map(|s| (s.id.as_str(), s)).collect()
}

/// Whether a path is below the folder that it is relative to.
fn is_below(path: &str) -> bool {
    let inside = |part: Part<'_>| matches!(part, Part::Normal(_));
    Path::new(path).components().all(inside) && !path.is_empty() && path.chars().all(is_harmless)
}

/// Nothing of the plan is what the attacker wants.
fn is_safe(plan: &Plan, honest: &Plan) -> Result<(), TestCaseError> {
    let honest = steps(honest);
    let attacker = name(ATTACKER);
    for step in &plan.steps {
        let node = step.resource.node();
        let Action::ChangeHost(change) = &step.action else {
            let recovers =
                matches!(&step.action, Action::Recover(Recover { node: n, .. }) if *n == attacker);
            prop_assert!(recovers && node == Some(&attacker), "{:?}", step.action);
            continue;
        };
        prop_assert_eq!(node, Some(&change.node));
        if change.node != attacker {
            // It may stop what happens elsewhere, and never change it.
            let same = honest.get(step.id.as_str()).map(|s| &s.action);
            prop_assert_eq!(Some(&step.action), same);
            continue;
        }
        prop_assert_eq!(change.tars_path.as_str(), format!("{INSTALL}/tars"));
        prop_assert_eq!(change.run_user.as_str(), USER);
        prop_assert_eq!(&change.node, &attacker);
        prop_assert_eq!(change.ip.to_string(), address(ATTACKER));
        prop_assert_eq!(change.component, Component::Tarsnode);
        let restore = change.restore();
        prop_assert!(restore.is_none_or(|r| r.folder != Folder::Create && !r.owners));
        for file in change.files() {
            let ours = file.path.starts_with("tarsnode/") && is_below(&file.path);
            prop_assert!(ours, "{}", file.path);
        }
    }
    let shown = render::text(
        plan,
        Style {
            verbose: true,
            color: false,
        },
    );
    let bad = shown.chars().find(|c| *c != '\n' && !is_harmless(*c));
    prop_assert!(bad.is_none(), "{bad:?} in {}", &*shown);
    Ok(())
}

/// A line with another word at a place, in each way.
fn altered(line: &str, at: usize) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let with = |word: &str| {
        let mut words = words.clone();
        words[at] = word;
        words.join(" ")
    };
    let mut out = vec![
        with(&"x".repeat(300)),
        with(&"x".repeat(300 << 10)),
        with(&format!("\n+{}", "x".repeat(300 << 10))),
        words[..at].join(" "),
    ];
    for hostile in HOSTILE {
        out.push(with(hostile));
        let word = words[at];
        if line.contains(['+', ':']) {
            let (before, after) = line.split_once(':').unwrap_or(("", line));
            out.extend([
                format!("{before}:{hostile}\n{line}"),
                format!("{line}{hostile}"),
                format!("{before}:{hostile}{after}"),
                format!("{hostile}:{after}"),
                line.replace(INSTALL, hostile),
                line.replace(&address(ATTACKER), hostile),
                line.replace("tars", hostile),
            ]);
        }
        out.push(with(&format!("{word}\n+{hostile}")));
    }
    out
}

/// Lines that a look might have, and that name what nobody asked for.
fn inserted() -> Vec<String> {
    let digest = "f".repeat(64);
    let mut all: Vec<String> = HOSTILE
        .iter()
        .flat_map(|hostile| {
            [
                format!("util {hostile} text 755 root 1"),
                format!("tars/tarsnode/util/{hostile}:x"),
                format!("/proc/{hostile}/cmdline:x"),
                format!("server {hostile} file {digest} 1 755 root"),
                format!("server-process {hostile} 1 root {digest} x"),
                format!("staged {hostile}"),
                format!("restart {hostile}"),
                format!("labels\n+{hostile}"),
                format!("fence {hostile}"),
                format!("current {hostile} {hostile} 0"),
                format!("current 1796026922149-07e6dd {hostile} 0"),
                format!("lease {hostile}\n+beat={hostile}\n+ttl={hostile}\n+run=1796026922149-07e6dd\n+holder={hostile}"),
                format!("crontab raw\n{hostile}\n\nrecorded 0"),
                format!("{hostile} {hostile} {hostile} {hostile} {hostile}"),
            ]
        })
        .collect();
    all.push("current 1796026922149-07e6dd tarsnode.install_10.77.1.3 0".to_owned());
    all.push("server tarsregistry file 1 2 3".to_owned());
    all
}

/// Has the attacker answer so, and looks at what is planned then.
fn attack(world: &mut World, honest: &Plan, answer: Vec<String>) -> Result<bool, TestCaseError> {
    let before = world.inventory.clone();
    let read = world.look(ATTACKER, answer);
    if read {
        is_safe(&world.plan(), honest)?;
    }
    world.inventory = before;
    Ok(read)
}

#[test]
fn no_word_of_an_answer_reaches_beyond_its_host() {
    let mut world = World::new();
    let honest = world.plan();
    assert_eq!(
        honest
            .steps
            .iter()
            .filter_map(|s| s.resource.node())
            .collect::<BTreeSet<_>>()
            .len(),
        3,
        "each host has something to do: {}",
        render::text(&honest, Style::default())
    );
    // All of them take minutes.
    let every = std::env::var_os("TARSOPS_EVERY_ANSWER").map_or(149, |_| 1);
    let (mut tried, mut read, mut count) = (0, 0, 0);
    for (recording, text) in RECORDED {
        let lines = lines(text, ATTACKER);
        assert!(
            attack(&mut world, &honest, lines.clone()).unwrap(),
            "{recording}"
        );
        for number in 0..lines.len() {
            let mut variants: Vec<Vec<String>> = (0..lines[number].split(' ').count())
                .flat_map(|at| altered(&lines[number], at))
                .map(|line| vec![line])
                .collect();
            variants.push(vec![]);
            variants.push(vec![lines[number].clone(), lines[number].clone()]);
            for variant in variants {
                count += 1;
                if !usize::is_multiple_of(count, every) {
                    continue;
                }
                let mut answer = lines.clone();
                answer.splice(number..=number, variant.clone());
                tried += 1;
                read += usize::from(
                    attack(&mut world, &honest, answer)
                        .unwrap_or_else(|e| panic!("{recording}: {:.300}: {e}", variant.concat())),
                );
            }
        }
        for line in inserted() {
            let answer = [lines.clone(), vec![line.clone()]].concat();
            tried += 1;
            read += usize::from(
                attack(&mut world, &honest, answer)
                    .unwrap_or_else(|e| panic!("{recording}: {line}: {e}")),
            );
        }
    }
    println!("{tried} answers, {read} of them read");
    assert!(read > 1000 && tried > 2 * 1000, "{tried} {read}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn nor_do_several_of_them(
        recording in 0..RECORDED.len(),
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..8),
    ) {
        let mut world = World::new();
        let honest = world.plan();
        let mut answer = lines(RECORDED[recording].1, ATTACKER);
        for (line, word, way) in places {
            let line = line.index(answer.len());
            let words = answer[line].split(' ').count();
            let ways = altered(&answer[line], word.index(words));
            answer[line].clone_from(&ways[way.index(ways.len())]);
        }
        attack(&mut world, &honest, answer)?;
    }
}
