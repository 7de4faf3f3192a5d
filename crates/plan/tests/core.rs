//! The core services: one version, one order, never the last endpoint.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use support::core::{ask_for, facts, harm, world};
use support::framework::{framework, list, rows};
use support::{World, core_binary, intent_of, modify, recorded};
use tarsops_model::component::Component;
use tarsops_model::desired::{Count, Resource};
use tarsops_model::framework::{AdapterRow, Answer, ServerRow, TemplateRow};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::Action;
use tarsops_plan::checker;
use tarsops_plan::condition::Condition;
use tarsops_plan::drift::DriftKind;
use tarsops_plan::plan::{Plan, Stage};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::rules::check::Outcome;
use tarsops_plan::{PlanInput, effect, rollback};

fn checked(w: &World) -> Plan {
    let plan = w.plan();
    let input: PlanInput<'_> = w.input();
    assert_eq!(checker::check(&plan, &input), Ok(()), "{plan:#?}");
    plan
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.id.as_str()).collect()
}

fn blocked(plan: &Plan) -> Vec<(String, &Blocked)> {
    let mut out = Vec::new();
    for line in &plan.report {
        if let Line::Blocked { resource, why } = line {
            out.push((resource.to_string(), why));
        }
    }
    out
}

#[test]
fn a_cluster_in_sync_has_nothing_to_do() {
    let plan = checked(&world(4));
    assert!(plan.is_empty() && plan.drift.is_empty(), "{plan:#?}");
}

#[test]
fn a_new_version_goes_through_in_the_order_of_the_handbook() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let core: Vec<&str> = ids(&plan).into_iter().take(6).collect();
    assert_eq!(
        core,
        [
            "tarsregistry.change@10.0.0.1",
            "tarsregistry.change@10.0.0.2",
            "tarsAdminRegistry.change@10.0.0.1",
            "tarsconfig.change@10.0.0.1",
            "tarsconfig.change@10.0.0.2",
            "tarspatch.change@10.0.0.1",
        ]
    );
    // One at a time, and every one waits for the one before.
    let batches: BTreeSet<u32> = plan.steps[..6].iter().map(|s| s.batch).collect();
    assert_eq!(batches.len(), 6);
    assert!(plan.steps[6..].iter().all(|s| s.stage == Stage::Agents));
    // And the simulation ends where the spec wants it.
    let mut after = w.clone();
    for step in &plan.steps {
        effect::apply(&mut after.inventory, &step.action);
    }
    let again = checked(&after);
    assert!(again.is_empty() && again.drift.is_empty(), "{again:#?}");
}

#[test]
fn the_plan_says_how_few_endpoints_are_left() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let low = |servant: &str| {
        let low = plan.endpoints.iter().find(|l| l.servant == servant);
        low.map(|l| (l.least, l.has, l.during.clone())).unwrap()
    };
    assert_eq!(
        low("tars.tarsconfig.ConfigObj"),
        (1, 2, vec!["tarsconfig.change@10.0.0.1".to_owned()])
    );
    assert_eq!(low("tars.tarspatch.PatchObj").0, 0);
    assert_eq!(low("tars.tarsregistry.QueryObj").0, 1);
}

#[test]
fn a_registry_must_answer_and_be_listed_before_the_next() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let first = &plan.steps[0];
    let at = "10.0.0.1:17890".parse().unwrap();
    for wanted in [
        Condition::RegistryAnswers {
            registry: "10.0.0.1:17890".parse().unwrap(),
        },
        Condition::RegistryListed {
            registry: "10.0.0.1:17890".parse().unwrap(),
        },
    ] {
        assert!(first.post.contains(&wanted), "{wanted}");
    }
    assert!(first.pre.contains(&Condition::AnotherRegistry { but: at }));
}

#[test]
fn the_only_registry_is_restarted_by_an_explicit_word_only() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.18");
    for (at, answer) in &mut framework(&mut w).registries {
        if at.to_string() == "10.0.0.2:17890" {
            *answer = Answer::Mute("it hangs".to_owned());
        }
    }
    let plan = checked(&w);
    assert!(!ids(&plan).contains(&"tarsregistry.change@10.0.0.1"));
    assert!(
        blocked(&plan)
            .iter()
            .any(|(r, why)| r == "server/tarsregistry@10.0.0.1" && **why == Blocked::OnlyRegistry)
    );
    w.desired.policy.registry_gap = true;
    assert!(ids(&checked(&w)).contains(&"tarsregistry.change@10.0.0.1"));
}

#[test]
fn a_binary_that_nobody_knows_is_shown_and_left() {
    let mut w = world(3);
    let node = w.node(0);
    harm(&mut w, Component::Tarsconfig, &node, 6);
    let plan = checked(&w);
    assert!(plan.is_empty());
    let id = ResourceId::Server(Component::Tarsconfig, node.clone());
    let drift = plan.drift.iter().find(|d| d.resource == id).unwrap();
    assert!(
        matches!(&drift.kind, DriftKind::Unknown { why } if why[0].contains("package add")),
        "{drift:?}"
    );
    // The spec's word, or the lock file's, decides.
    let Some(Resource::Server(server)) = w.desired.resources.get_mut(&id) else {
        panic!("no server");
    };
    server.replace_unknown = true;
    assert_eq!(ids(&checked(&w)), ["tarsconfig.change@10.0.0.1"]);
}

/// What a plan shows as unknown, because no lock file knows the build, is in the preflight's table: of a
/// service, of the agent's file, and of the agent's process alone.
#[test]
fn the_preflight_names_an_unknown_build() {
    let line = |w: &World| {
        let all = tarsops_plan::rules::check::checks(&w.input());
        let found = all.into_iter().find(|c| c.check == "unknown-build");
        found.expect("a line of the table")
    };
    let other = tarsops_model::digest::Digest::of(b"built by hand");
    assert_eq!(line(&world(3)).result, Outcome::Ok);
    type Damage = fn(&mut World, tarsops_model::digest::Digest);
    let cases: [(&str, Damage); 3] = [
        ("tarsconfig", |w, _| {
            let node = w.node(0);
            harm(w, Component::Tarsconfig, &node, 6);
        }),
        ("tarsnode", |w, other| {
            if let Observed::Present(file) = &mut w.facts(0).binary {
                file.digest = other;
            }
            w.process(0).exe = Observed::Present(other);
        }),
        ("tarsnode", |w, other| {
            w.process(0).exe = Observed::Present(other);
        }),
    ];
    for (component, damage) in cases {
        let mut w = world(3);
        damage(&mut w, other);
        let node = w.node(0);
        let shown = w.plan().drift.into_iter().any(|d| {
            matches!(d.kind, DriftKind::Unknown { .. }) && d.resource.node() == Some(&node)
        });
        assert!(shown, "the plan shows it");
        let said = line(&w);
        assert_eq!(said.result, Outcome::Unknown, "{}", said.text);
        assert!(
            said.text.contains(component) && said.text.contains("10.0.0.1"),
            "{}",
            said.text
        );
        // One node's build is no matter of another node.
        w.scope.nodes = [w.node(1)].into();
        assert_eq!(line(&w).result, Outcome::Ok);
    }
    let mut w = world(3);
    w.inventory.resources.clear();
    assert_eq!(line(&w).result, Outcome::Skipped);
}

#[test]
fn a_downgrade_needs_permission() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.16");
    let plan = checked(&w);
    assert!(plan.is_empty(), "{:?}", ids(&plan));
    assert!(blocked(&plan).iter().any(
        |(r, why)| r == "server/tarspatch@10.0.0.1" && matches!(why, Blocked::Downgrade { .. })
    ));
    for resource in w.desired.resources.values_mut() {
        match resource {
            Resource::Server(server) => server.allow_downgrade = true,
            Resource::Agent(agent) => agent.allow_downgrade = true,
            _ => {}
        }
    }
    assert!(ids(&checked(&w)).contains(&"tarspatch.change@10.0.0.1"));
}

#[test]
fn what_the_lock_file_does_not_pin_is_not_compared() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.18");
    for component in tarsops_plan::components::CORE {
        w.catalog.available.remove(&component);
        for known in w.catalog.known.values_mut() {
            known.retain(|(c, _)| *c != component);
        }
    }
    let plan = checked(&w);
    assert!(plan.steps.iter().all(|s| s.stage == Stage::Agents));
    assert!(
        plan.report
            .iter()
            .any(|l| matches!(l, Line::NotYet { topic, .. } if topic == "components"))
    );
}

#[test]
fn a_version_without_a_package_is_blocked() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.19");
    let plan = checked(&w);
    assert!(plan.is_empty());
    assert!(blocked(&plan).iter().any(|(r, why)| {
        r == "server/tarsconfig@10.0.0.2" && matches!(why, Blocked::NoPackageOf { .. })
    }));
}

#[test]
fn what_somebody_stopped_stays_stopped() {
    let mut w = world(3);
    let node = w.node(0);
    harm(&mut w, Component::Tarspatch, &node, 3);
    facts(&mut w, Component::Tarspatch, &node).processes = Observed::Present(vec![]);
    let plan = checked(&w);
    let [step] = plan.steps.as_slice() else {
        panic!("{:?}", ids(&plan));
    };
    let Action::ChangeHost(change) = &step.action else {
        panic!("{step:?}");
    };
    assert!(!change.restarts() && !change.ends_healthy());
    assert_eq!(change.files().len(), 1);
    assert!(plan.endpoints.is_empty());
}

#[test]
fn a_process_that_still_runs_the_old_file_is_restarted() {
    let mut w = world(3);
    let node = w.node(0);
    harm(&mut w, Component::TarsAdminRegistry, &node, 5);
    let plan = checked(&w);
    let Action::ChangeHost(change) = &plan.steps[0].action else {
        panic!("{plan:?}");
    };
    assert!(change.files().is_empty() && change.restarts());
    let digest = Some(core_binary(Component::TarsAdminRegistry, support::VERSION));
    assert!(plan.steps[0].post.contains(&Condition::ServerRuns {
        component: Component::TarsAdminRegistry,
        digest,
        user: support::USER.to_owned(),
    }));
}

#[test]
fn a_registry_that_is_down_and_old_is_started_with_the_new_program() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.18");
    let node = w.node(1);
    harm(&mut w, Component::Tarsregistry, &node, 7);
    for (at, answer) in &mut framework(&mut w).registries {
        if at.to_string() == "10.0.0.2:17890" {
            *answer = Answer::Refused;
        }
    }
    if let Observed::Present(ports) = &mut w.host(1).ports {
        ports.retain(|p| ![17890, 17891].contains(p));
    }
    let plan = checked(&w);
    let step = plan
        .steps
        .iter()
        .find(|s| s.id == "tarsregistry.start@10.0.0.2")
        .unwrap();
    let Action::ChangeHost(change) = &step.action else {
        panic!("{step:?}");
    };
    assert_eq!(change.files().len(), 1);
    assert!(change.restarts() && change.ends_healthy());
}

/// A servant of an operator's own, on the given nodes.
fn serve(w: &mut World, servant: &str, nodes: &[usize]) {
    for i in nodes {
        let node = w.node(*i).to_string();
        list(&mut rows(w).servers).push(ServerRow {
            application: "Shop".to_owned(),
            server: "Cart".to_owned(),
            node: node.clone(),
            setting: Some("active".to_owned()),
            present: Some("active".to_owned()),
            ..ServerRow::default()
        });
        list(&mut rows(w).adapters).push(AdapterRow {
            application: "Shop".to_owned(),
            server: "Cart".to_owned(),
            node,
            adapter: "CartAdapter".to_owned(),
            servant: Some(servant.to_owned()),
            ..AdapterRow::default()
        });
    }
}

#[test]
fn two_endpoints_of_one_servant_never_restart_together() {
    let mut w = world(12);
    serve(&mut w, "Shop.Cart.CartObj", &[4, 5]);
    ask_for(&mut w, "3.0.18");
    w.desired.policy.max_parallel = Count::Number(10);
    let plan = checked(&w);
    let batch = |node: usize| {
        let id = format!("tarsnode.change@{}", w.node(node));
        plan.steps.iter().find(|s| s.id == id).unwrap().batch
    };
    assert_ne!(batch(4), batch(5));
    // The framework hosts share servants, too.
    assert_ne!(batch(0), batch(1));
    let low = plan
        .endpoints
        .iter()
        .find(|l| l.servant == "Shop.Cart.CartObj")
        .unwrap();
    assert_eq!((low.least, low.has), (1, 2));
}

/// A rollback is cut into batches as the plan that it undoes was.
#[test]
fn two_endpoints_of_one_servant_are_never_rolled_back_together() {
    let mut w = world(12);
    serve(&mut w, "Shop.Cart.CartObj", &[4, 5]);
    ask_for(&mut w, "3.0.18");
    w.desired.policy.max_parallel = Count::Number(10);
    let mut intents = Vec::new();
    for step in &checked(&w).steps {
        if let Action::ChangeHost(change) = &step.action {
            intents.push(intent_of(&w, step, change));
        }
        effect::apply(&mut w.inventory, &step.action);
    }
    let runs = recorded(&intents);
    let planned = rollback::plan(&w.input(), &intents[0].run, &runs);
    let back = planned.unwrap().plan;
    assert_eq!(checker::check(&back, &w.input()), Ok(()));
    let batch = |id: String| back.steps.iter().find(|s| s.id == id).unwrap().batch;
    let agent = |node: usize| batch(format!("rollback@{}", w.node(node)));
    assert_ne!(agent(4), agent(5));
    assert_eq!(agent(4), agent(6));
    let registry = |node: usize| batch(format!("rollback.tarsregistry@{}", w.node(node)));
    assert_ne!(registry(0), registry(1));

    // The checker sees it by itself.
    let mut together = back.clone();
    let first = agent(4);
    for step in &mut together.steps {
        if step.id == format!("rollback@{}", w.node(5)) {
            step.batch = first;
        }
    }
    together.steps.sort_by_key(|s| s.batch);
    let found = checker::check(&together, &w.input()).unwrap_err();
    let says = |v: &checker::Violation| v.what.contains("endpoints of Shop.Cart.CartObj");
    assert!(found.iter().any(says), "{found:?}");
}

/// A gate that does not wait lets the other endpoint go before the first is seen again.
#[test]
fn a_plan_whose_gates_do_not_wait_is_refused() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    for i in 0..plan.gates.len() {
        let mut forged = plan.clone();
        forged.gates[i].settle -= 1;
        let found = checker::check_document(&forged, &w.desired).unwrap_err();
        assert!(found[0].what.starts_with("it waits"), "{found:?}");
    }
}

fn mute(w: &mut World, servant: &str, i: usize) {
    let key = format!("{servant}@{}", w.node(i));
    framework(w).servants.get_mut(&key).unwrap().answer = Answer::Mute("it hangs".to_owned());
}

#[test]
fn the_only_endpoint_that_answers_is_not_restarted() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    mute(&mut w, "tars.tarsconfig.ConfigObj", 1);
    let plan = checked(&w);
    let first = "tarsconfig.change@10.0.0.1";
    assert!(!ids(&plan).contains(&first), "{:?}", ids(&plan));
    assert!(!ids(&plan).contains(&"tarsnode.change@10.0.0.1"));
    assert!(blocked(&plan).iter().any(|(r, why)| {
        r == "server/tarsconfig@10.0.0.1" && matches!(why, Blocked::LastEndpoint { silent: 1, .. })
    }));
    // The one that hangs is changed; so is everything that has no part in it.
    assert!(ids(&plan).contains(&"tarsconfig.change@10.0.0.2"));
    assert!(ids(&plan).contains(&"tarsnode.change@10.0.0.3"));
    // Whoever forges such a plan is refused.
    let mut v = world(4);
    ask_for(&mut v, "3.0.18");
    let forged = v.plan();
    let found = checker::check(&forged, &w.input()).unwrap_err();
    assert!(
        found
            .iter()
            .any(|v| v.what.contains("ConfigObj that answer"))
    );
}

#[test]
fn nothing_is_restarted_on_a_template_that_cannot_be_read() {
    let mut w = world(4);
    ask_for(&mut w, "3.0.18");
    // Above it, where several have their database from.
    let broken = TemplateRow::with_text("tars.framework-db", "tars.default", "<tars>\n<unclosed>");
    let own = TemplateRow::with_text("tars.tarsconfig", "tars.framework-db", "<tars>\n</tars>\n");
    let sound = TemplateRow::with_text("tars.tarspatch", "tars.default", "<tars>\n</tars>\n");
    rows(&mut w).templates = Observed::Present(vec![broken, own, sound]);
    let plan = checked(&w);
    assert!(!ids(&plan).contains(&"tarsconfig.change@10.0.0.1"));
    assert!(blocked(&plan).iter().any(|(r, why)| {
        r == "server/tarsconfig@10.0.0.2"
            && matches!(why, Blocked::Unreadable { file, .. } if file.contains("framework-db"))
    }));
    assert!(ids(&plan).contains(&"tarspatch.change@10.0.0.1"));
}

#[test]
fn a_server_that_runs_as_somebody_else_is_drift() {
    let mut w = world(4);
    let node = w.node(0);
    if let Observed::Present(all) = &mut facts(&mut w, Component::Tarspatch, &node).processes {
        all[0].user = "nobody".to_owned();
    }
    assert_eq!(ids(&checked(&w)), ["tarspatch.change@10.0.0.1"]);
}

#[test]
fn the_checker_counts_again() {
    let mut w = world(12);
    serve(&mut w, "Shop.Cart.CartObj", &[4, 5]);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    // Somebody edits the plan: everything of a stage at once.
    let mut edited = plan.clone();
    let first = edited
        .steps
        .iter()
        .find(|s| s.stage == Stage::Agents)
        .unwrap()
        .batch;
    for step in edited.steps.iter_mut().filter(|s| s.stage == Stage::Agents) {
        step.batch = first;
    }
    let found = checker::check(&edited, &w.input()).unwrap_err();
    let none = |servant: &str| {
        found
            .iter()
            .any(|v| v.what.contains("none of") && v.what.contains(servant))
    };
    assert!(
        none("Shop.Cart.CartObj") && none("tars.tarsconfig.ConfigObj"),
        "{found:#?}"
    );
    let mut edited = plan;
    let first = edited.steps[0].batch;
    edited.steps[1].batch = first;
    let found = checker::check(&edited, &w.input()).unwrap_err();
    assert!(
        found
            .iter()
            .any(|v| v.what == "it leaves no registry alive"),
        "{found:#?}"
    );
}

#[test]
fn a_program_that_is_not_the_specs_is_refused() {
    let mut w = world(3);
    ask_for(&mut w, "3.0.18");
    let plan = checked(&w);
    let with = |edit: &dyn Fn(&mut tarsops_plan::action::HostChange)| {
        let mut edited = plan.clone();
        if let Action::ChangeHost(change) = &mut edited.steps[0].action {
            edit(change);
        }
        checker::check(&edited, &w.input()).is_err()
    };
    assert!(with(
        &|c| c.files_mut()[0].path = "tarsregistry/conf/tars.tarsregistry.config.conf".into()
    ));
    assert!(with(
        &|c| c.files_mut()[0].content = tarsops_plan::action::Content::Text("x".into())
    ));
    assert!(with(
        &|c| c.files_mut()[0].after = Some(core_binary(Component::Tarsregistry, "3.0.16"))
    ));
    assert!(with(&|c| c.component = Component::Tarspatch));
    assert!(with(&|c| c.operation = modify(vec![], false)));
    assert!(with(&|c| c.run_user = "nobody".parse().unwrap()));
    assert!(with(&|c| c.node = "10.0.0.2".parse().unwrap()));
}
