#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Action, Images, TestOnly, Undo, VARIANTS};
use crate::actions::Backup;
use crate::batch::Batches;
use crate::plan::{ChangeKind, Plan, Stage, Step, Summary};
use crate::render::{self, Style};
use crate::support::{self, framework::world};
use crate::{checker, database, effect};

/// Each action as a plan of the format 2 has it: what one release has saved, another one reads.
const ACTIONS: [&str; 20] = [
    r#"{"do":"recover","node":"10.0.0.1","run":"1764500000000-00000a","step":"x"}"#,
    r#"{"do":"recover","node":"10.0.0.1","run":"1764500000000-00000a","step":"x","accept":true}"#,
    r#"{"do":"change-host","component":"tarsconfig","node":"10.0.0.1","summary":"restart it","operation":{"restart":{"rows":[]}},"tars_path":"/usr/local/app/tars","run_user":"tars","ip":"10.0.0.1","port":{"before":19385,"after":19385},"ran":true,"machine_id":"m"}"#,
    r#"{"do":"delete-node-rows","node":"10.0.0.1","ip":"10.0.0.1"}"#,
    r#"{"do":"delete-registry-rows","registry":"10.0.0.1:17890","node":"10.0.0.1"}"#,
    r#"{"do":"delete-server-rows","node":"10.0.0.1","servers":["tarsconfig","tarspatch"]}"#,
    r#"{"do":"backup","databases":["db_tars"]}"#,
    r#"{"do":"add-column","table":"t_server_conf","column":"c","definition":"int(11) DEFAULT 0"}"#,
    r#"{"do":"merge-template","name":"tars.default","release":"3.0.20","before":"0000000000000000000000000000000000000000000000000000000000000000","after":"0000000000000000000000000000000000000000000000000000000000000001","edits":[]}"#,
    r#"{"do":"add-template","name":"tars.new","parent":"tars.default","release":"3.0.20","text":"<tars>\n</tars>\n"}"#,
    r#"{"do":"restore-template","name":"tars.new","run":"1764500000000-00000a","step":"x","now":null,"before":null}"#,
    r#"{"do":"restore-labels","node":"10.0.0.1","labels":{"label":"a","group_id":3}}"#,
    r#"{"do":"add-server-rows","node":"10.0.0.1","rows":[{"table":"t_server_conf","columns":[["application",{"text":"tars"}],["posttime","now"]]}]}"#,
    r#"{"do":"add-server-rows","node":"10.0.0.1","rows":[],"via":"console"}"#,
    r#"{"do":"remove-server-rows","node":"10.0.0.1","rows":[]}"#,
    r#"{"do":"start-server","component":"tarsnotify","node":"10.0.0.1"}"#,
    r#"{"do":"stop-server","component":"tarsnotify","node":"10.0.0.1"}"#,
    r#"{"do":"replace-container","node":"10.0.0.1","machine_id":"m","socket":"/var/run/docker.sock","name":"tars-framework","old":{"id":"c0ffee","image":"0000000000000000000000000000000000000000000000000000000000000000","ran":true,"programs":{"tarsconfig":"0000000000000000000000000000000000000000000000000000000000000000"},"console":"3.0.14"},"new":{"create":{"image":"0000000000000000000000000000000000000000000000000000000000000000","image_name":"tarscloud/framework:v3.0.20","environment":{"REBUILD":"false"},"mounts":{"/data/tars":{"source":"/data/tars","writable":true}},"network":"host","ip":"10.0.0.1","log_size":"100m","log_files":5}},"programs":{"tarsconfig":"0000000000000000000000000000000000000000000000000000000000000000"},"ports":[17890],"stop_timeout":60}"#,
    r#"{"do":"replace-container","node":"10.0.0.1","machine_id":"m","socket":"/var/run/docker.sock","name":"tars-framework","old":{"id":"c0ffee","image":"0000000000000000000000000000000000000000000000000000000000000000","ran":false},"new":{"back":{"id":"decaf","image":"0000000000000000000000000000000000000000000000000000000000000000","undoes":"0000000000009-000007"}},"programs":{},"ports":[],"stop_timeout":60,"console":"3.0.15"}"#,
    r#"{"do":"test-only","name":"new","before":"old"}"#,
];

#[test]
fn each_action_keeps_its_form() {
    for text in ACTIONS {
        let action: Action = serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(serde_json::to_string(&action).unwrap(), text);
        for undo in [
            format!(r#"{{"undo":"inverse","action":{text}}}"#),
            r#"{"undo":"restore"}"#.to_owned(),
            r#"{"undo":"irreversible","reason":"it stays"}"#.to_owned(),
        ] {
            let read: Undo = serde_json::from_str(&undo).unwrap_or_else(|e| panic!("{undo}: {e}"));
            assert_eq!(serde_json::to_string(&read).unwrap(), undo);
        }
    }
}

#[test]
fn each_action_has_its_form_here() {
    let named = |variant: &str| {
        let with_dashes = variant.chars().enumerate().map(|(at, c)| match c {
            c if c.is_uppercase() && at > 0 => format!("-{}", c.to_ascii_lowercase()),
            c => c.to_ascii_lowercase().to_string(),
        });
        format!(r#"{{"do":"{}","#, with_dashes.collect::<String>())
    };
    for variant in VARIANTS {
        let start = named(variant);
        assert!(ACTIONS.iter().any(|a| a.starts_with(&start)), "{start}");
    }
}

/// A plan of these steps, each alone in its batch.
fn plan_of(world: &support::World, steps: Vec<Step>) -> Plan {
    let input = world.input();
    let mut batches = Batches::of(&input);
    for step in steps {
        batches.roll_out(vec![step], &world.desired.policy);
    }
    Plan {
        summary: Summary::of(&batches.steps),
        steps: batches.steps,
        gates: batches.gates,
        ..world.plan()
    }
}

fn step(name: &str) -> Step {
    Step::new(
        "schema.name".to_owned(),
        (Stage::Schema, ChangeKind::Change),
        format!("call the server {name}"),
        TestOnly {
            name: name.to_owned(),
            before: "old".to_owned(),
        },
        vec![],
        vec![],
    )
}

/// In this crate an action is its file and its line in the enum: `test_only` is in no third place.
#[test]
fn an_action_of_two_places_is_everywhere() {
    let world = world(4);
    let (backup, _) = database::backup(&world.inventory).unwrap();
    let said = |plan: &Plan| -> String {
        let found = checker::check(plan, &world.input()).err();
        let found = found.unwrap_or_default();
        found.iter().map(|v| format!("{v}\n")).collect()
    };
    let plan = plan_of(&world, vec![backup.clone(), step("new")]);
    assert_eq!(said(&plan), "");
    // Backup, checker, and what the trait says of the step.
    let alone = plan_of(&world, vec![step("new")]);
    assert!(
        said(&alone).contains("without a backup"),
        "{}",
        said(&alone)
    );
    let with = |change: &dyn Fn(&mut Step)| {
        let mut plan = plan.clone();
        change(&mut plan.steps[1]);
        said(&plan)
    };
    assert!(with(&|s| s.stage = Stage::Rows).contains("its stage is not that of its action"));
    assert!(with(&|s| s.sign = ChangeKind::Add).contains("its sign is not that of its action"));
    assert!(with(&|s| s.undo = Undo::Restore).contains("its undo is not that of its action"));
    let resource = with(&|s| s.resource = tarsops_model::resource::ResourceId::Web);
    assert!(resource.contains("another node or component"), "{resource}");
    assert!(said(&plan_of(&world, vec![backup.clone(), step("")])).contains("it has no name"));
    let other = said(&plan_of(&world, vec![backup, step("other")]));
    assert!(other.contains("no package has that name"), "{other}");
    let rollback = Plan {
        rolls_back: Some(support::run_id(1)),
        ..plan.clone()
    };
    assert!(said(&rollback).contains("it does not roll anything back"));
    // Summary, text and document.
    assert!(plan.changes_database());
    assert_eq!((plan.summary.add, plan.summary.change), (0, 1));
    assert!(render::text(&plan, Style::default()).contains("call the server new"));
    let read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert_eq!(read, plan);
    // Effect and undo.
    let mut inventory = world.inventory.clone();
    let server = |inventory: &tarsops_model::inventory::Inventory| {
        let framework = inventory.framework.as_ref().unwrap();
        framework.database.present().unwrap().server.clone()
    };
    let action = &plan.steps[1].action;
    effect::apply_with(&mut inventory, action, &Images::default());
    assert_eq!(server(&inventory), "new");
    let Undo::Inverse { action } = action.undo(ChangeKind::Change) else {
        panic!("it has an inverse");
    };
    effect::apply(&mut inventory, &action);
    assert_eq!(server(&inventory), "old");
    assert!(action.get::<TestOnly>().is_some() && action.get::<Backup>().is_none());
}
