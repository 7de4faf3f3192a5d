//! Law 9: the spec that an adoption writes plans to nothing but contradictions that were there before.
//!
//! The text is parsed as any spec is; what the cluster was made of does not reach the planner.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use support::framework::{database, list, node_rows, rows};
use support::{INSTALL, USER, VERSION, World, binary, core, core_binary, version};
use tarsops_model::component::Component;
use tarsops_model::desired::Desired;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::names::{AbsPath, NodeName, UserName};
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_plan::adopt::{Entry, Given, Proposal, Start, propose};
use tarsops_plan::components::{BASIC, CORE};
use tarsops_plan::{Plan, PlanInput, Scope, make_plan};
use tarsops_spec::Base;

fn entry(key: &'static str, value: &str) -> Entry {
    Entry {
        key,
        value: value.to_owned(),
        source: "given".to_owned(),
    }
}

/// What a person gives: one framework host, and the database's account.
fn given(w: &World) -> Given {
    let node = w.node(0);
    Given {
        cluster: "prod".parse().unwrap(),
        start: Start {
            ip: node.as_ip().unwrap(),
            node,
            address: None,
        },
        version: None,
        packages: None,
        install_path: AbsPath::new(INSTALL).unwrap(),
        install_paths: BTreeMap::new(),
        run_user: UserName::new(USER).unwrap(),
        ssh: vec![entry("user", "root")],
        database: vec![
            entry("address", "\"10.0.0.9:3306\""),
            entry("user", "tarsAdmin"),
            entry("password", "{env: TARS_DB_PASSWORD}"),
        ],
        web: vec![],
        rpc: None,
    }
}

/// A whole cluster whose rows say which tarsnode each node has.
fn world(count: usize) -> World {
    let mut w = core::publishing(core::world(count));
    for row in node_rows(&mut w).values_mut() {
        row.version = Some(VERSION.to_owned());
    }
    w
}

fn read(text: &str) -> Desired {
    let base = Base {
        dir: PathBuf::from("/specs"),
        home: None,
        processors: 2,
    };
    let parsed = tarsops_spec::parse(text, "cluster.yaml")
        .unwrap_or_else(|d| panic!("{}\n{text}", d.render(false)));
    let (desired, warnings) = parsed
        .lower(&base)
        .unwrap_or_else(|d| panic!("{}\n{text}", d.render(false)));
    assert!(warnings.is_empty(), "{}\n{text}", warnings.render(false));
    desired
}

/// What the lock file of an adoption lets be recognised, and nothing else.
fn catalog(proposal: &Proposal) -> Catalog {
    let mut catalog = Catalog::default();
    for known in &proposal.known {
        let versions = catalog.known.entry(known.binary).or_default();
        versions.insert((known.component, known.version));
    }
    catalog
}

fn plan(w: &World, desired: &Desired, catalog: &Catalog) -> Plan {
    make_plan(&PlanInput {
        desired,
        inventory: &w.inventory,
        catalog,
        scope: &Scope::default(),
        now: w.now,
    })
}

fn adopted(w: &World) -> (Proposal, Desired) {
    let proposal = propose(&given(w), &w.inventory, &Catalog::default());
    let desired = read(&proposal.text);
    (proposal, desired)
}

/// What a plan has that is not empty, and the spec it is for.
fn nothing(w: &World) -> Result<(), TestCaseError> {
    let (proposal, desired) = adopted(w);
    let plan = plan(w, &desired, &catalog(&proposal));
    prop_assert!(
        plan.steps.is_empty(),
        "{:#?}\n{}",
        plan.steps,
        proposal.text
    );
    prop_assert!(
        plan.drift.is_empty(),
        "{:#?}\n{}",
        plan.drift,
        proposal.text
    );
    prop_assert!(!plan.is_blocked(), "{:#?}\n{}", plan.report, proposal.text);
    prop_assert_eq!(proposal.notes, Vec::<String>::new());
    Ok(())
}

/// What differs between one cluster and another, all of it as an operator may have made it.
fn change(w: &mut World, kind: u8, pick: usize) {
    let count = w.desired.hosts().count();
    let node = pick % count;
    let name = w.node(node);
    let basic = BASIC[pick % BASIC.len()];
    match kind {
        // Another release of tarsnode on a plain node.
        0 if node > 1 => {
            let other = binary("3.0.16");
            w.file(node).digest = other;
            w.process(node).exe = Observed::Present(other);
            node_rows(w).get_mut(name.as_str()).unwrap().version = Some("3.0.16".to_owned());
        }
        // The same on all nodes.
        1 => {
            for i in 0..count {
                let other = binary("3.0.18");
                let name = w.node(i);
                w.file(i).digest = other;
                w.process(i).exe = Observed::Present(other);
                node_rows(w).get_mut(name.as_str()).unwrap().version = Some("3.0.18".to_owned());
            }
        }
        2 => {
            let label = format!("{{\"idc\": \"sz{}\", \"rack\": \"r-1\"}}", pick % 3);
            node_rows(w).get_mut(name.as_str()).unwrap().label = Some(label);
        }
        // A basic service that was moved to one node.
        3 if basic != Component::Tarsnotify => {
            let ip = name.as_ip().unwrap();
            list(&mut rows(w).servers).retain(|r| r.server != basic.name());
            list(&mut rows(w).adapters).retain(|r| r.server != basic.name());
            for i in 0..count {
                let at = w.node(i);
                let id = tarsops_model::resource::ResourceId::Server(basic, at.clone());
                w.desired.resources.remove(&id);
                w.inventory.insert_server(basic, &at, Observed::Absent);
                let host = w.host(i);
                for seen in [&mut host.components, &mut host.installed] {
                    if let Observed::Present(all) = seen {
                        all.remove(basic.name());
                    }
                }
                let framework: &mut FrameworkFacts = w.inventory.framework.as_mut().unwrap();
                framework.servants.retain(|_, a| a.component != basic);
            }
            core::place(w, basic, &name, ip);
        }
        4 => {
            for row in list(&mut rows(w).adapters) {
                if row.server == basic.name() {
                    row.threads = Some(7);
                    row.queue_timeout = Some(30_000);
                }
            }
        }
        5 => {
            for row in list(&mut rows(w).servers) {
                if row.server == basic.name() {
                    row.template = Some("tars.default".to_owned());
                }
            }
        }
        // Nobody watches tarsnode.
        6 => (0..count).for_each(|i| w.host(i).crontab = Observed::Absent),
        // The installer's check.sh does.
        7 => (0..count).for_each(|i| {
            w.host(i).crontab =
                Observed::Present("* * * * * /usr/local/app/tars/check.sh\n".into());
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Law 9.
    #[test]
    fn what_an_adoption_writes_plans_to_nothing(
        count in 1..9_usize,
        changes in prop::collection::vec((0..8_u8, 0..40_usize), 0..5),
    ) {
        let mut w = world(count);
        for (kind, pick) in changes {
            change(&mut w, kind, pick);
        }
        nothing(&w)?;
    }
}

#[test]
fn an_adopted_cluster_is_the_one_that_was_desired() {
    let w = world(7);
    let (proposal, desired) = adopted(&w);
    let roles = |d: &Desired| -> BTreeMap<NodeName, _> {
        d.hosts()
            .map(|(n, h)| (n.clone(), (h.ip, h.role)))
            .collect()
    };
    assert_eq!(roles(&desired), roles(&w.desired), "{}", proposal.text);
    assert_eq!(desired.registries, w.desired.registries);
    assert_eq!(desired.install_path, w.desired.install_path);
    assert_eq!(desired.run_user, w.desired.run_user);
    assert_eq!(desired.master, w.desired.master);
    let servers = |d: &Desired| -> Vec<String> {
        let all = d
            .resources
            .keys()
            .filter(|id| matches!(id, tarsops_model::resource::ResourceId::Server(..)));
        all.map(ToString::to_string).collect()
    };
    assert_eq!(servers(&desired), servers(&w.desired), "{}", proposal.text);
}

#[test]
fn binaries_are_named_by_who_can_name_them() {
    let w = world(4);
    let (proposal, _) = adopted(&w);
    let known: Vec<_> = proposal
        .known
        .iter()
        .map(|k| (k.component, k.version, k.binary))
        .collect();
    let admin = Component::TarsAdminRegistry;
    assert_eq!(
        known,
        [
            (admin, version(VERSION), core_binary(admin, VERSION)),
            (Component::Tarsnode, version(VERSION), binary(VERSION)),
        ]
    );
    // Nobody names the others, and each is listed with its nodes.
    let unknown: Vec<Component> = proposal.unknown.iter().map(|u| u.component).collect();
    let expected: Vec<Component> = CORE
        .into_iter()
        .chain(BASIC)
        .filter(|c| *c != admin)
        .collect();
    let sorted = |mut all: Vec<Component>| {
        all.sort_unstable();
        all
    };
    assert_eq!(sorted(unknown), sorted(expected));
    let registry = &proposal.unknown[0];
    assert_eq!(registry.component, Component::Tarsregistry);
    assert_eq!(registry.nodes, [w.node(0), w.node(1)]);
}

/// Law 9's other half: what does not fit was there before, and nothing else is planned.
#[test]
fn a_contradiction_stays_one_and_nothing_joins_it() {
    let mut w = world(5);
    w.silence(4);
    let (proposal, desired) = adopted(&w);
    assert!(
        proposal
            .text
            .contains("NOT SEEN: 10.0.0.5: connection timed out")
    );
    let plan = plan(&w, &desired, &catalog(&proposal));
    assert!(plan.steps.is_empty(), "{:#?}", plan.steps);
    let drift: Vec<String> = plan.drift.iter().map(|d| d.resource.to_string()).collect();
    assert!(!drift.is_empty());
    assert!(drift.iter().all(|d| d.ends_with("10.0.0.5")), "{drift:?}");
}

#[test]
fn half_a_cluster_gives_half_a_spec_that_says_so() {
    // Neither a database nor AdminRegistry.
    let mut w = world(3);
    let framework = w.inventory.framework.as_mut().unwrap();
    framework.database = Observed::Absent;
    framework.admin = Observed::Unknown("10.0.0.1:12000 refuses connections".to_owned());
    let mut given = given(&w);
    given.database.clear();
    let proposal = propose(&given, &w.inventory, &Catalog::default());
    let desired = read(&proposal.text);
    assert_eq!(desired.hosts().count(), 1);
    assert!(desired.database().is_none());
    for said in [
        "version: 0.0.0  # NOT KNOWN",
        "AdminRegistry was not read: 10.0.0.1:12000 refuses connections",
        "No `database`: no account was named",
        "the registry 10.0.0.2:17890 is named by the locator of 10.0.0.1",
    ] {
        assert!(proposal.text.contains(said), "{said}\n{}", proposal.text);
    }
    assert!(proposal.known.is_empty());

    // Rows that cannot be read.
    let mut w = world(3);
    w.inventory.framework.as_mut().unwrap().database = Observed::Unknown("access denied".into());
    let (proposal, desired) = adopted(&w);
    assert_eq!(desired.hosts().count(), 3, "AdminRegistry knows them");
    assert!(
        proposal
            .text
            .contains("the rows of the database were not read: access denied")
    );

    // Nothing was seen at all.
    w.inventory = tarsops_model::inventory::Inventory::default();
    let (_, desired) = adopted(&w);
    assert_eq!(desired.hosts().count(), 1);
}

#[test]
fn text_of_a_cluster_is_data_and_never_a_line_of_the_spec() {
    let mut w = world(3);
    let hostile = "x\nrebuild: bootstrap # \u{202e}";
    database(&mut w);
    let row = tarsops_model::framework::NodeRow {
        name: hostile.to_owned(),
        ..Default::default()
    };
    node_rows(&mut w).insert(hostile.to_owned(), row);
    let first = w.node(0);
    let mine = node_rows(&mut w).get_mut(first.as_str()).unwrap();
    mine.label = Some(format!(
        "{{{:?}: \"a\", \"idc\": \"}} #\"}}",
        "k\nnodes: []"
    ));
    list(&mut rows(&mut w).servers)[0].template = Some(hostile.to_owned());
    w.silence(2);
    let third = w.node(2);
    w.inventory.insert(
        &third,
        Observed::Unknown(hostile.to_owned()),
        Observed::Unknown(hostile.to_owned()),
    );
    let proposal = propose(&given(&w), &w.inventory, &Catalog::default());
    let desired = read(&proposal.text);
    assert_eq!(desired.rebuild, tarsops_model::desired::Rebuild::Never);
    assert_eq!(desired.hosts().count(), 3);
    assert!(!proposal.text.contains('\u{202e}'));
    assert_eq!(proposal.notes.len(), 3, "{:#?}", proposal.notes);
}

#[test]
fn two_versions_of_one_binary_are_a_contradiction() {
    let mut w = world(3);
    let second = w.node(1);
    node_rows(&mut w).get_mut(second.as_str()).unwrap().version = Some("3.0.16".to_owned());
    let (proposal, _) = adopted(&w);
    assert_eq!(proposal.notes.len(), 1);
    assert!(proposal.notes[0].contains("3.0.16 (1 of its nodes), 3.0.17 (2 of its nodes)"));
    let agents = proposal
        .known
        .iter()
        .filter(|k| k.component == Component::Tarsnode);
    assert_eq!(
        agents.map(|k| k.version).collect::<Vec<_>>(),
        [version(VERSION)]
    );
}
