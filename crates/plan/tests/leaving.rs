//! Framework hosts that leave: whole, in one run, in the documented order, and never with the last
//! endpoint of a servant.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use support::expansion::{COMPONENTS, installed, row, row_of, without_files, without_rows, world};
use support::framework::{list, rows};
use support::*;
use tarsops_model::component::{Component, Role};
use tarsops_model::desired::Rpc;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{AdapterRow, Answer, Asked, ServerRow};
use tarsops_model::host::NodeState;
use tarsops_model::names::{Endpoint, NodeName, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, DeleteServerRows, Folder};
use tarsops_plan::condition::{Condition, Truth};
use tarsops_plan::crontab::{self, CrontabEdit};
use tarsops_plan::drift::DriftKind;
use tarsops_plan::effect::{self, Images};
use tarsops_plan::intent::{CrontabLeft, Intent};
use tarsops_plan::plan::{Plan, Stage};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::restore::Known;
use tarsops_plan::rules;
use tarsops_plan::{checker, render};

const REGISTRY: &str = "* * * * * /usr/local/app/tars/tarsregistry/util/monitor.sh";

/// The spec takes a framework host away, and no longer names its registry.
fn leaves(w: &mut World, i: usize, stop_servers: bool) {
    let ip = w.spec(i).ip;
    w.spec(i).state = NodeState::Absent { stop_servers };
    let at = Endpoint::at(ip, 17890);
    w.desired.registries.remove(&at);
    let node = w.node(i);
    let framework = w.inventory.framework.as_mut().unwrap();
    framework.registries.remove(&at);
    // What is absent is not asked.
    framework.servants.retain(|_, asked| asked.node != node);
    w.agents().for_each(|a| {
        a.locator.remove(&at);
    });
}

/// A cluster whose slave leaves; both monitors stand in its crontab.
fn slave_leaves() -> World {
    let mut w = world(3);
    w.host(1).crontab = Observed::Present(format!("{}{REGISTRY}\n", monitor_line()));
    leaves(&mut w, 1, true);
    w
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.id.as_str()).collect()
}

fn blocked(plan: &Plan) -> Vec<(String, Blocked)> {
    let of = |l: &Line| match l {
        Line::Blocked { resource, why } => Some((resource.to_string(), why.clone())),
        _ => None,
    };
    plan.report.iter().filter_map(of).collect()
}

/// Carries the plan out on what was seen: each precondition holds at its turn, each postcondition
/// afterwards, and nothing is left to do.
fn carry_out(world: &World) -> Result<World, TestCaseError> {
    let plan = world.plan();
    if let Err(found) = checker::check(&plan, &world.input()) {
        return Err(TestCaseError::fail(format!("{found:#?}")));
    }
    let mut now = world.clone();
    for step in &plan.steps {
        let node = step.resource.node().unwrap_or(&world.desired.master);
        for condition in &step.pre {
            let truth = condition.eval(node, &now.inventory);
            prop_assert_eq!(truth, Truth::Holds, "before {}: {}", &step.id, condition);
        }
        effect::apply(&mut now.inventory, &step.action);
        for condition in &step.post {
            let truth = condition.eval(node, &now.inventory);
            prop_assert_eq!(truth, Truth::Holds, "after {}: {}", &step.id, condition);
        }
    }
    let second = now.plan();
    prop_assert_eq!(ids(&second), Vec::<&str>::new());
    Ok(now)
}

#[test]
fn a_slave_is_removed_completely_in_one_run() {
    let w = slave_leaves();
    let node = w.node(1);
    let plan = w.plan();
    assert_eq!(
        ids(&plan),
        [
            "database.backup",
            &format!("tarsregistry.remove@{node}"),
            &format!("tarsconfig.remove@{node}"),
            &format!("tarsnotify.remove@{node}"),
            &format!("tarsqueryproperty.remove@{node}"),
            &format!("tarsquerystat.remove@{node}"),
            &format!("tarsnode.remove@{node}"),
            &format!("rows.forget@{node}"),
        ]
    );
    let now = carry_out(&w).unwrap();
    assert!(
        now.plan()
            .drift
            .iter()
            .all(|d| d.resource.node() != Some(&node)),
        "{:#?}",
        now.plan().drift
    );
    let mut now = now;
    assert_eq!(now.host(1).crontab, Observed::Absent);
    assert!(
        list(&mut rows(&mut now).servers)
            .iter()
            .all(|r| r.node != node.as_str())
    );
    assert!(
        list(&mut rows(&mut now).adapters)
            .iter()
            .all(|r| r.node != node.as_str())
    );
}

/// What an earlier version left: the tarsnode is gone, and its services run on.
#[test]
fn services_that_outlived_their_tarsnode_leave_as_well() {
    let mut w = slave_leaves();
    w.uninstall(1);
    let node = w.node(1);
    without_files(&mut w, Component::Tarsregistry, &node);
    without_rows(&mut w, Component::Tarsregistry, &node);
    assert!(w.plan().has_drift());
    carry_out(&w).unwrap();
    // And a run that was cut off before the rows.
    for component in COMPONENTS {
        without_files(&mut w, component, &node);
    }
    assert_eq!(
        ids(&w.plan()),
        ["database.backup", &format!("rows.forget@{node}")]
    );
    carry_out(&w).unwrap();
}

#[test]
fn nothing_that_runs_is_stopped_without_the_word() {
    let mut w = slave_leaves();
    w.spec(1).state = NodeState::Absent {
        stop_servers: false,
    };
    let plan = w.plan();
    assert_eq!(ids(&plan), Vec::<&str>::new());
    let told: BTreeSet<String> = blocked(&plan)
        .into_iter()
        .filter_map(|(_, why)| match why {
            Blocked::ServersRunning { servers } => Some(servers.join(",")),
            _ => None,
        })
        .collect();
    let all = ["config", "notify", "querystat", "queryproperty"];
    assert_eq!(told, all.iter().map(|c| format!("tars.tars{c}")).collect());
    assert!(render::text(&plan, render::Style::default()).contains("stop_servers"));
    // What does not run is not stopped.
    let node = w.node(1);
    for component in COMPONENTS.into_iter().skip(1) {
        installed(&mut w, component, &node, false);
        row(&mut w, component, &node).present = Some("inactive".to_owned());
        row(&mut w, component, &node).setting = Some("inactive".to_owned());
    }
    assert_eq!(w.plan().steps.len(), 8);
    carry_out(&w).unwrap();
}

#[test]
fn a_host_stays_whole_while_one_of_its_components_must() {
    let stays = |w: &World| {
        let plan = w.plan();
        assert_eq!(ids(&plan), Vec::<&str>::new(), "{:#?}", plan.report);
        plan
    };
    // One that could not be seen.
    let mut w = slave_leaves();
    let node = w.node(1);
    let why = "permission denied".to_owned();
    w.inventory
        .insert_server(Component::Tarsnotify, &node, Observed::Unknown(why));
    assert!(stays(&w).is_incomplete());
    // AdminRegistry, which stops them, is silent, or may not be asked.
    let mut w = slave_leaves();
    w.inventory.framework.as_mut().unwrap().admin = Observed::Unknown("timed out".to_owned());
    assert!(stays(&w).is_incomplete());
    let mut w = slave_leaves();
    w.desired.rpc = Rpc::Off;
    assert!(stays(&w).is_blocked());
    // The rows cannot be read.
    let mut w = slave_leaves();
    rows(&mut w).adapters = Observed::Unknown("access denied".to_owned());
    assert!(stays(&w).is_incomplete());
    // Its registry is the only one that answers.
    let mut w = slave_leaves();
    for answer in w
        .inventory
        .framework
        .as_mut()
        .unwrap()
        .registries
        .values_mut()
    {
        *answer = Answer::Refused;
    }
    let plan = stays(&w);
    assert!(
        blocked(&plan)
            .iter()
            .any(|(_, why)| matches!(why, Blocked::LastRegistry { .. }))
    );
}

#[test]
fn the_last_endpoint_of_a_servant_stays() {
    let only = |w: &World, servant: &str| {
        let plan = w.plan();
        assert!(
            ids(&plan).iter().all(|id| !id.contains("remove")),
            "{:?}",
            ids(&plan)
        );
        let why = Blocked::OnlyEndpoint {
            servant: servant.to_owned(),
        };
        assert!(
            blocked(&plan).iter().any(|(_, w)| *w == why),
            "{:#?}",
            plan.report
        );
    };
    // The master's is down.
    let mut w = slave_leaves();
    let master = w.node(0);
    installed(&mut w, Component::Tarsquerystat, &master, false);
    row(&mut w, Component::Tarsquerystat, &master).present = Some("inactive".to_owned());
    only(&w, "tars.tarsquerystat.QueryObj");
    // Its row calls the master's active, and it does not answer.
    let mut w = slave_leaves();
    for asked in w
        .inventory
        .framework
        .as_mut()
        .unwrap()
        .servants
        .values_mut()
    {
        if asked.component == Component::Tarsconfig {
            asked.answer = Answer::Refused;
        }
    }
    only(&w, "tars.tarsconfig.ConfigObj");
    // Two leave at once: each alone could go, and of one servant nothing would be left.
    let mut w = two_slaves();
    without_rows(&mut w, Component::Tarsnotify, &master);
    let (a, b) = (w.node(1), w.node(2));
    leaves(&mut w, 1, true);
    leaves(&mut w, 2, true);
    let plan = w.plan();
    let removed: BTreeSet<&NodeName> = plan
        .steps
        .iter()
        .filter(|s| s.stage == Stage::ServerRemoval)
        .filter_map(|s| s.resource.node())
        .collect();
    assert_eq!(removed, [&a].into(), "{:#?}", plan.report);
    assert!(blocked(&plan).iter().any(|(at, _)| at.contains(b.as_str())));
}

/// A cluster with a master, two slaves and a node.
fn two_slaves() -> World {
    two_slaves_of(4)
}

/// As [`two_slaves`], of `count` nodes.
fn two_slaves_of(count: usize) -> World {
    let mut w = world(count);
    w.spec(2).role = Role::Slave;
    let (second, third) = (w.node(1), w.node(2));
    let ip = w.spec(2).ip.to_string();
    let at = Endpoint::at(w.spec(2).ip, 17890);
    w.desired.registries.insert(at.clone());
    w.inventory
        .framework
        .as_mut()
        .unwrap()
        .registries
        .insert(at, Answer::Answers);
    for component in COMPONENTS {
        installed(&mut w, component, &third, true);
        let mut server = row(&mut w, component, &second).clone();
        server.node = third.to_string();
        list(&mut rows(&mut w).servers).push(server);
        let all: Vec<_> = list(&mut rows(&mut w).adapters)
            .iter()
            .filter(|r| r.server == component.name() && r.node == second.as_str())
            .cloned()
            .collect();
        for mut adapter in all {
            adapter.node = third.to_string();
            adapter.endpoint = adapter.endpoint.map(|e| e.replace(second.as_str(), &ip));
            list(&mut rows(&mut w).adapters).push(adapter);
        }
    }
    w
}

/// Of three endpoints one is removed, by its own step and by its tarsnode's: two are left.
#[test]
fn an_endpoint_that_is_removed_is_counted_once() {
    let mut w = two_slaves();
    leaves(&mut w, 1, true);
    let plan = w.plan();
    assert!(plan.steps.len() > 6, "{:?} {:#?}", ids(&plan), plan.report);
    for low in &plan.endpoints {
        assert_eq!((low.has, low.least), (3, 2), "{low:#?}");
    }
    assert!(plan.endpoints.len() >= COMPONENTS.len());
}

/// A registry of a node that leaves is not one to be added to the spec; nor is one on a machine that is
/// gone, while one on a node that stays is.
#[test]
fn no_hint_asks_for_the_registry_of_a_node_that_leaves() {
    let cure = |state: NodeState| {
        let mut w = slave_leaves();
        w.spec(1).state = state;
        let at = Endpoint::at(w.spec(1).ip, 17890);
        let found = rules::findings(&w.input());
        let about = ResourceId::RegistryEndpoint(at);
        let found = found.into_iter().find(|f| f.resource == about).unwrap();
        found.fix
    };
    let absent = cure(NodeState::Absent { stop_servers: true });
    assert!(
        !absent.contains("add it") && absent.contains("apply stops and removes it"),
        "{absent}"
    );
    let gone = cure(NodeState::Gone);
    assert!(!gone.contains("add it"), "{gone}");
    assert!(cure(NodeState::Present).contains("add it"));
}

#[test]
fn a_forged_removal_is_refused() {
    let w = slave_leaves();
    let plan = w.plan();
    let refused = |forge: &dyn Fn(&mut Plan), desired: &dyn Fn(&mut World)| {
        let mut forged = plan.clone();
        forge(&mut forged);
        let mut w = w.clone();
        desired(&mut w);
        checker::check_document(&forged, &w.desired).is_err()
    };
    let same = |_: &mut Plan| ();
    assert!(!refused(&same, &|_| ()));
    assert!(refused(&same, &|w| w.spec(1).state = NodeState::Present));
    assert!(refused(&same, &|w| {
        w.spec(1).state = NodeState::Absent {
            stop_servers: false,
        };
    }));
    assert!(refused(&same, &|w| w.spec(1).role = Role::Master));
    assert!(refused(
        &|p| {
            for step in &mut p.steps {
                if let Action::DeleteServerRows(DeleteServerRows { servers, .. }) = &mut step.action
                {
                    servers.insert(Component::Tarsregistry);
                }
            }
        },
        &|_| ()
    ));
    assert!(refused(
        &|p| {
            for step in p.steps.iter_mut().filter(|s| s.stage == Stage::Rows) {
                step.pre
                    .retain(|c| !matches!(c, Condition::Component { .. }));
            }
        },
        &|_| ()
    ));
}

/// A step that rests on a fact which a step before it changes is refused by the checker.
#[test]
fn a_step_may_not_rest_on_what_the_steps_before_it_change() {
    let w = slave_leaves();
    let mut plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let seen = w
        .inventory
        .host(&w.node(1))
        .present()
        .unwrap()
        .crontab
        .clone();
    let stale = Condition::Crontab {
        digest: Some(Digest::of(seen.present().unwrap().as_bytes())),
    };
    let step = plan
        .steps
        .iter_mut()
        .find(|s| s.id.starts_with("tarsnode.remove"))
        .unwrap();
    let own = step
        .pre
        .iter_mut()
        .find(|c| matches!(c, Condition::Crontab { .. }))
        .unwrap();
    assert_ne!(*own, stale);
    *own = stale;
    let found = checker::check(&plan, &w.input()).unwrap_err();
    assert!(
        found
            .iter()
            .any(|v| v.what.contains("its crontab has changed")),
        "{found:#?}"
    );
    // Nor on what a step of its own batch may have changed by then.
    let mut plan = w.plan();
    let step = plan
        .steps
        .iter()
        .find(|s| s.id.starts_with("rows.forget"))
        .unwrap()
        .clone();
    plan.steps
        .retain(|s| s.id == step.id || s.stage == Stage::Backup);
    assert!(checker::check(&plan, &w.input()).is_err());
}

/// What takes a run back, newest step first: each step's rollback rests on what the ones before it left.
#[test]
fn a_host_that_left_comes_back_in_the_other_order() {
    let w = slave_leaves();
    let mut now = w.clone();
    let mut images = Images::default();
    let mut done: Vec<Intent> = Vec::new();
    for step in &w.plan().steps {
        if let Action::ChangeHost(change) = &step.action {
            let text = now.host(1).crontab.present().cloned();
            let after = change
                .crontab()
                .as_ref()
                .map_or(CrontabLeft::Unchanged, |c| {
                    let left = crontab::apply(text.as_deref(), &c.edit);
                    CrontabLeft::after(left.map(|t| Digest::of(t.as_bytes())))
                });
            images.keep(&now.inventory, &run_id(9), &StepName::of(&step.id), change);
            done.push(intent_left(&w, step, change, after));
        }
        effect::apply(&mut now.inventory, &step.action);
    }
    let known = Known {
        asks: true,
        failed: false,
        other_crontab: false,
    };
    for intent in done.iter().rev() {
        let back = restoring(intent, &now.inventory, known).unwrap();
        let node = &back.change.node;
        for condition in &back.pre {
            let truth = condition.eval(node, &now.inventory);
            assert_eq!(truth, Truth::Holds, "{}: {condition}", intent.step);
        }
        if back.change.component.is_basic() || back.change.component == Component::Tarsconfig {
            // AdminRegistry starts it, once its folder and its rows are back.
            assert_eq!(back.change.folder(), Folder::Create);
            assert!(!back.change.restarts() && !back.change.ends_healthy());
            let runs = Condition::Component {
                component: back.change.component,
                runs: true,
            };
            assert!(back.post.contains(&runs));
        }
        let action = Action::ChangeHost(Box::new(back.change.clone()));
        effect::apply_with(&mut now.inventory, &action, &images);
    }
    let mut w = w;
    assert_eq!(now.host(1).crontab, w.host(1).crontab);
}

/// A server of users on node `i`, active, with one servant; `answer` is what it said, if it was asked.
fn serves(w: &mut World, server: &str, servant: &str, i: usize, answer: Option<Answer>) {
    let (node, ip) = (w.node(i), w.spec(i).ip);
    let server_row = ServerRow {
        application: "Shop".to_owned(),
        server: server.to_owned(),
        ..row_of(Component::Tarsconfig, &node)
    };
    w.facts(i).servers.push(server_row.full_name());
    list(&mut rows(w).servers).push(server_row);
    list(&mut rows(w).adapters).push(AdapterRow {
        application: "Shop".to_owned(),
        server: server.to_owned(),
        node: node.to_string(),
        adapter: format!("{servant}Adapter"),
        servant: Some(servant.to_owned()),
        endpoint: Some(format!("tcp -h {ip} -t 60000 -p 20000")),
        ..AdapterRow::default()
    });
    if let Some(answer) = answer {
        let asked = Asked {
            component: Component::Tarsconfig,
            node: node.clone(),
            servant: servant.to_owned(),
            at: Endpoint::at(ip, 20000),
            answer,
        };
        let framework = w.inventory.framework.as_mut().unwrap();
        framework
            .servants
            .insert(format!("{servant}@{node}"), asked);
    }
}

/// The nodes of each servant by the rows, without those that were asked and do not answer.
fn counted(w: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut w = w.clone();
    let asked = w.inventory.framework.as_ref().unwrap().servants.clone();
    let active: BTreeSet<(String, String)> = list(&mut rows(&mut w).servers)
        .iter()
        .filter(|r| r.present.as_deref() == Some("active"))
        .map(|r| (r.full_name(), r.node.clone()))
        .collect();
    let mut out: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for r in list(&mut rows(&mut w).adapters) {
        let servant = r.servant.clone().unwrap();
        let of = (format!("{}.{}", r.application, r.server), r.node.clone());
        let answer = asked
            .get(&format!("{servant}@{}", r.node))
            .map(|a| &a.answer);
        if active.contains(&of) && answer.is_none_or(|a| a.is_alive() || a.is_unknown()) {
            out.entry(servant).or_default().insert(r.node.clone());
        }
    }
    out
}

/// All nodes of a user's servant leave: the last of them stays, with a reason, and the others go.
#[test]
fn the_last_node_of_a_users_servant_stays() {
    let mut w = world(6);
    for i in [3, 4] {
        serves(&mut w, "Cart", "Shop.Cart.CartObj", i, None);
    }
    (3..6).for_each(|i| w.spec(i).state = NodeState::Absent { stop_servers: true });
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    let (first, last, other) = (w.node(3), w.node(4), w.node(5));
    let mut removed = ids(&plan);
    removed.sort_unstable();
    assert_eq!(
        removed,
        [
            format!("tarsnode.remove@{first}"),
            format!("tarsnode.remove@{other}")
        ]
    );
    let why = Blocked::OnlyEndpoint {
        servant: "Shop.Cart.CartObj".to_owned(),
    };
    assert_eq!(blocked(&plan), [(format!("agent/{last}"), why)]);
    let text = render::text(&plan, render::Style::default());
    assert!(
        text.contains("last endpoint of Shop.Cart.CartObj"),
        "{text}"
    );
    assert!(text.contains("on a node that stays"), "{text}");
    // The only endpoint that a servant has goes with its node: the spec says so.
    w.spec(3).state = NodeState::Present;
    list(&mut rows(&mut w).servers).retain(|r| r.application != "Shop" || r.node != first.as_str());
    w.facts(3).servers.clear();
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    assert_eq!(blocked(&plan), vec![]);
    assert!(ids(&plan).contains(&&*format!("tarsnode.remove@{last}")));
}

/// Crontabs with the monitors of tarsnode and tarsregistry among other lines.
fn crontabs() -> impl Strategy<Value = Option<String>> {
    let line = prop_oneof![
        Just(monitor_line().trim_end().to_owned()),
        Just(REGISTRY.to_owned()),
        Just(format!("*/5 * * * * {TARS}/tarsnode/util/monitor.sh")),
        Just(format!("@reboot {TARS}/tarsregistry/util/monitor.sh")),
        Just("# theirs".to_owned()),
        Just("7 7 * * * true".to_owned()),
        Just(String::new()),
    ];
    (prop::collection::vec(line, 0..7), any::<bool>()).prop_map(|(lines, end)| {
        let mut text = lines.join("\n");
        if end && !text.is_empty() {
            text.push('\n');
        }
        (!text.is_empty()).then_some(text)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Law 10 for hosts that leave, whatever their crontab holds and whatever is there of them.
    #[test]
    fn one_run_removes_a_framework_host(
        text in crontabs(),
        there in prop::collection::vec(0..4_u8, COMPONENTS.len()),
        tarsnode in any::<bool>(),
    ) {
        let mut w = slave_leaves();
        let node = w.node(1);
        if !tarsnode {
            w.uninstall(1);
        }
        w.host(1).crontab = Observed::from(text);
        for (component, kind) in COMPONENTS.into_iter().zip(there) {
            match kind {
                0 => installed(&mut w, component, &node, false),
                1 => without_files(&mut w, component, &node),
                2 => {
                    without_files(&mut w, component, &node);
                    without_rows(&mut w, component, &node);
                }
                _ => {}
            }
        }
        let now = carry_out(&w)?;
        let left = now.plan();
        for drift in &left.drift {
            let own = drift.resource.node() == Some(&node);
            prop_assert!(!own || matches!(drift.kind, DriftKind::Disagreeing { .. }), "{:#?}", drift);
        }
    }

    /// Whatever leaves in one change of the spec, of each servant with several endpoints one stays, the
    /// checker agrees, and what is held has a reason.
    #[test]
    fn of_each_servant_one_stays_whatever_leaves(
        leaving in prop::collection::vec(any::<bool>(), 6),
        inactive in prop::collection::vec((0..COMPONENTS.len(), 0..3_usize), 0..4),
        silent in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 0..4),
        users in prop::collection::vec((0..2_u8, 0..3_u8, 1..7_usize, 0..6_u8), 0..8),
        upgrade in any::<bool>(),
    ) {
        let mut w = two_slaves_of(7);
        for (component, i) in inactive {
            let node = w.node(i);
            row(&mut w, COMPONENTS[component], &node).present = Some("inactive".to_owned());
        }
        let answer = |kind: u8| match kind {
            0 => Answer::Refused,
            1 => Answer::Mute("it hangs".to_owned()),
            _ => Answer::Silent("timed out".to_owned()),
        };
        for (at, kind) in silent {
            let servants = &mut w.inventory.framework.as_mut().unwrap().servants;
            let key = at.get(&servants.keys().cloned().collect::<Vec<_>>()).clone();
            servants.get_mut(&key).unwrap().answer = answer(kind);
        }
        let mut there = BTreeSet::new();
        for (server, servant, i, kind) in users {
            // A node that has all endpoints of a servant is restarted with all of them.
            let server = if upgrade { 0 } else { server };
            if there.insert((server, servant, i)) {
                let said = (kind < 3).then(|| answer(kind));
                let servant = format!("Shop.Cart.Obj{servant}");
                serves(&mut w, &format!("Cart{server}"), &servant, i, said);
            }
        }
        let users = w.inventory.framework.as_ref().unwrap().servants.clone();
        for (i, leaves_now) in leaving.into_iter().enumerate() {
            if leaves_now {
                leaves(&mut w, i + 1, true);
            }
        }
        // Nobody asks what leaves; were it asked, that would count.
        let servants = &mut w.inventory.framework.as_mut().unwrap().servants;
        servants.extend(users.into_iter().filter(|(name, _)| name.starts_with("Shop.")));
        if upgrade {
            w.agents().for_each(|agent| agent.version = version("3.0.18"));
        }
        let plan = w.plan();
        if let Err(found) = checker::check(&plan, &w.input()) {
            prop_assert!(false, "{:#?} {:#?}", found, ids(&plan));
        }
        let removed: BTreeSet<String> = plan
            .steps
            .iter()
            .filter(|s| s.stage == Stage::AgentRemoval)
            .filter_map(|s| Some(s.resource.node()?.to_string()))
            .collect();
        let all = counted(&w);
        for (servant, nodes) in &all {
            let left = nodes.difference(&removed).count();
            prop_assert!(nodes.len() < 2 || left > 0, "{}: {:?}", servant, ids(&plan));
        }
        for i in 1..7 {
            let node = w.node(i).to_string();
            if !matches!(w.spec(i).state, NodeState::Absent { .. }) || removed.contains(&node) {
                continue;
            }
            let own = |at: &ResourceId| at.node().is_some_and(|n| n.as_str() == node);
            let told = plan.report.iter().any(|l| matches!(l, Line::Blocked { resource, .. } if own(resource)));
            let unseen = plan.drift.iter().any(|d| own(&d.resource) && matches!(d.kind, DriftKind::Unknown { .. }));
            prop_assert!(told || unseen, "{} has no reason: {:#?}", node, plan.report);
        }
    }

    /// Edits of one crontab that are made one after the other come to the same as both at once.
    #[test]
    fn an_edit_follows_another(text in crontabs()) {
        let text = text.unwrap_or_default();
        let tarsnode = crontab::removal_edit(Some(&text), TARS).unwrap_or_default();
        let registry = crontab::component_removal_edit(&text, TARS, "tarsregistry").unwrap_or_default();
        let both = CrontabEdit {
            remove: tarsnode.remove.iter().chain(&registry.remove).cloned().collect(),
            add: None,
        };
        let first = crontab::apply(Some(&text), &registry);
        let second = crontab::apply(first.as_deref(), &tarsnode.after(&registry));
        prop_assert_eq!(&second, &crontab::apply(Some(&text), &both));
        // Line by line it says what it removes.
        let after = tarsnode.after(&registry);
        let lines: Vec<&str> = first.as_deref().unwrap_or_default().lines().collect();
        for (number, line) in &after.remove {
            prop_assert_eq!(lines[*number], line);
        }
        // What is gone already is not removed again.
        prop_assert_eq!(tarsnode.after(&tarsnode).remove, vec![]);
    }
}
