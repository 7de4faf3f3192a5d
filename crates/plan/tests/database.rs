//! The database in an upgrade: columns, templates, the backup before them, and the rollback.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use proptest::prelude::*;
use support::framework::{
    KINDS, PASSWORD, database, edit, framework, list, rows, shipped, template, unspoken,
    with_templates, world,
};
use support::{World, recorded_as};
use tarsops_conf::merge::{Edit, Place, Value};
use tarsops_model::desired::Rebuild;
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, AddColumn, Backup, Undo};
use tarsops_plan::database_record;
use tarsops_plan::effect::{self, Images};
use tarsops_plan::intent::{Changed, DatabaseChange, Intent};
use tarsops_plan::plan::{Plan, Stage, Step};
use tarsops_plan::report::{Blocked, Line};
use tarsops_plan::restore::CannotRollBack;
use tarsops_plan::{checker, render};

const REGISTRY: &str = "tars.tarsregistry";

fn old() -> World {
    with_templates(world(3))
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|s| s.id.as_str()).collect()
}

fn sound(w: &World) -> Plan {
    let plan = w.plan();
    checker::check(&plan, &w.input()).unwrap();
    plan
}

fn text(plan: &Plan) -> String {
    render::text(plan, render::Style::default()).to_string()
}

fn blocked(plan: &Plan) -> Vec<&Blocked> {
    plan.report
        .iter()
        .filter_map(|l| match l {
            Line::Blocked { why, .. } => Some(why),
            _ => None,
        })
        .collect()
}

#[test]
fn an_upgrade_backs_up_and_then_brings_columns_and_keys() {
    let mut w = old();
    if let Some(Observed::Present(all)) = rows(&mut w).columns.get_mut("t_server_conf") {
        all.remove("run_type");
    }
    edit(&mut w, REGISTRY, |t| t.replace("same=1", "same=2\n# ours"));
    let plan = sound(&w);
    assert_eq!(
        ids(&plan),
        [
            "database.backup",
            "schema.add@t_server_conf.run_type",
            "template.merge@tars.framework-db",
            "template.merge@tars.tarsregistry",
        ]
    );
    assert!(
        !plan.is_blocked() && !plan.is_incomplete(),
        "{:?}",
        plan.drift
    );
    // The backup is no change of the cluster.
    assert_eq!((plan.summary.add, plan.summary.change), (1, 2));
    let shown = text(&plan);
    for word in [
        "backup of the database\n  + schema  back up db_tars to the master",
        "schema\n  + schema  add the column run_type to t_server_conf",
        "  ~ template/tars.tarsregistry  add 3 keys of the release 3.0.17",
        "      /tars/reap<nodeTimeout>: 250 → 300",
        "      /tars/reap<gone>: 1 → no such key",
        "      /tars/reap<fresh>: no such key → 1",
    ] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    for told in [shown, plan.to_json().unwrap(), format!("{plan:?}")] {
        assert!(!told.contains(PASSWORD));
    }
    assert!(matches!(plan.steps[1].undo, Undo::Irreversible { .. }));
    assert_eq!(plan.steps[2].undo, Undo::Restore);
    for step in &plan.steps {
        effect::apply(&mut w.inventory, &step.action);
    }
    assert!(w.plan().is_empty());
    let row = rows(&mut w).template(REGISTRY);
    let now = row.present().unwrap().text.as_ref().unwrap().expose();
    assert!(now.contains("same=2\n# ours\n") && now.contains("nodeTimeout=300\n"));
}

#[test]
fn a_conflict_blocks_its_template_alone_and_shows_no_secret() {
    let mut w = old();
    edit(&mut w, REGISTRY, |t| t.replace("=250", "=400"));
    let plan = sound(&w);
    assert_eq!(
        ids(&plan),
        ["database.backup", "template.merge@tars.framework-db"]
    );
    assert!(plan.is_blocked());
    let shown = text(&plan);
    assert!(
        shown.contains("/tars/reap<nodeTimeout> (was shipped as 250, 3.0.17 has 300, here 400)"),
        "{shown}"
    );
    edit(&mut w, "tars.framework-db", |t| {
        t.replace("charset=250", &format!("charset=--password={PASSWORD}"))
    });
    let plan = sound(&w);
    assert!(plan.is_empty() && plan.is_blocked());
    assert!(text(&plan).contains("here (hidden)"));
    assert!(!plan.to_json().unwrap().contains(PASSWORD));
}

#[test]
fn where_the_old_release_is_not_known_only_what_is_missing_comes() {
    let mut w = old();
    w.catalog.templates.remove(&"3.0.16".parse().unwrap());
    let plan = sound(&w);
    assert_eq!(
        ids(&plan),
        ["database.backup", "template.merge@tars.tarsregistry"]
    );
    let Action::MergeTemplate(change) = &plan.steps[1].action else {
        panic!("{:?}", plan.steps[1]);
    };
    assert_eq!(
        change.edits,
        [Edit::Set {
            at: Place::new(&["tars", "reap"], "fresh"),
            value: Value::Text("1".into())
        }]
    );
    assert!(text(&plan).contains("in /tars/reap<nodeTimeout> (250 here, 300 there)"));
}

#[test]
fn a_missing_template_comes_below_its_parent_and_without_credentials() {
    let mut w = old();
    list(&mut rows(&mut w).templates).retain(|t| t.name != REGISTRY);
    let plan = sound(&w);
    let step = &plan.steps[1];
    assert_eq!(step.id, "template.add@tars.tarsregistry");
    let Action::AddTemplate(new) = &step.action else {
        panic!("{step:?}");
    };
    assert_eq!(new.parent, "tars.framework-db");
    // Without its parent it is no configuration, and nobody knows the parent's credentials.
    list(&mut rows(&mut w).templates).clear();
    let plan = sound(&w);
    assert_eq!(ids(&plan), ["database.backup", "template.add@tars.default"]);
    let Action::AddTemplate(new) = &plan.steps[1].action else {
        panic!("{:?}", plan.steps[1]);
    };
    assert!(
        new.text.contains("log=/usr/local/app/tars/log\n"),
        "{}",
        new.text
    );
    let why = blocked(&plan);
    assert!(matches!(why[0], Blocked::NoCredentials { keys } if keys.len() == 4));
    assert!(matches!(why[1], Blocked::NoParent { parent } if parent == "tars.framework-db"));
    // One that nobody needs and that the old release had, too, was taken out by somebody.
    let mut w = old();
    for all in w.catalog.templates.values_mut() {
        all.insert("tars.tarsphp.default".into(), "<tars>\n</tars>\n".into());
    }
    let plan = sound(&w);
    assert!(!ids(&plan).contains(&"template.add@tars.tarsphp.default"));
    assert!(text(&plan).contains("somebody deleted it here"));
}

#[test]
fn a_text_that_tars_cannot_read_is_left_and_told_without_its_words() {
    let mut w = old();
    edit(&mut w, "tars.framework-db", |t| t.replace("</db>", ""));
    let plan = sound(&w);
    assert_eq!(
        ids(&plan),
        ["database.backup", "template.merge@tars.tarsregistry"]
    );
    assert!(matches!(blocked(&plan)[0], Blocked::Unreadable { .. }));
    assert!(!plan.to_json().unwrap().contains(PASSWORD));
}

#[test]
fn equal_releases_and_an_unpinned_one_change_nothing() {
    let mut w = old();
    support::framework::admin(&mut w).version = Observed::Present("3.0.17".into());
    edit(&mut w, REGISTRY, |t| t.replace("same=1\n", ""));
    let plan = sound(&w);
    assert!(plan.is_empty() && !plan.has_drift());
    assert!(text(&plan).contains("it lacks /tars/reap<fresh>, /tars/reap<same> of release 3.0.17"));
    let mut w = old();
    w.catalog.templates.clear();
    let plan = sound(&w);
    assert!(plan.is_empty());
    assert!(text(&plan).contains("templates (the lock file has no deploy tree of 3.0.17)"));
}

/// Absent, unknown and narrowed: no step, whatever is pinned.
#[test]
fn a_database_that_is_not_seen_is_not_touched() {
    let silent = |w: &mut World| framework(w).database = Observed::Unknown("no way".into());
    let blind = |w: &mut World| database(w).rows = Observed::Unknown("no right".into());
    let hidden = |w: &mut World| rows(w).templates = Observed::Unknown("no right".into());
    let unasked = |w: &mut World| framework(w).admin = Observed::Unknown("no answer".into());
    for (number, damage) in [silent, blind, hidden, unasked].iter().enumerate() {
        let mut w = old();
        damage(&mut w);
        let plan = sound(&w);
        assert!(
            plan.is_empty() && plan.is_incomplete(),
            "{number}: {:?}",
            plan.steps
        );
    }
    for (rebuild, bootstrap) in [(Rebuild::Never, false), (Rebuild::Bootstrap, true)] {
        let mut w = old();
        w.desired.rebuild = rebuild;
        database(&mut w).rows = Observed::Absent;
        let plan = sound(&w);
        assert!(plan.is_empty() && plan.is_blocked(), "{:?}", plan.steps);
        assert!(blocked(&plan).contains(&&Blocked::NoDatabase { bootstrap }));
    }
    let mut w = old();
    w.scope.nodes = [w.node(2)].into();
    assert!(sound(&w).is_empty());
    // A column of a table that is not there is told, and nothing is made.
    let mut w = old();
    rows(&mut w)
        .columns
        .insert("t_base_image".into(), Observed::Absent);
    let plan = sound(&w);
    assert!(plan.steps.iter().all(|s| s.stage != Stage::Schema));
    assert!(text(&plan).contains("there is no table t_base_image"));
    rows(&mut w).columns.clear();
    let plan = sound(&w);
    assert!(plan.is_incomplete());
    assert!(plan.steps.iter().all(|s| s.stage != Stage::Schema));
}

#[test]
fn the_backup_holds_what_is_there_and_no_measurements() {
    let mut w = old();
    for (name, seen) in [
        ("db_tars", Observed::Present(())),
        ("db_tars_web", Observed::Present(())),
        ("tars_stat", Observed::Present(())),
        ("db_base", Observed::Unknown("hidden".into())),
        ("db_cache_web", Observed::Absent),
    ] {
        database(&mut w).databases.insert(name.into(), seen);
    }
    let plan = sound(&w);
    let Action::Backup(Backup { databases }) = &plan.steps[0].action else {
        panic!("{:?}", plan.steps[0]);
    };
    assert_eq!(databases, &["db_tars", "db_tars_web"]);
    assert!(text(&plan).contains("the backup does not contain db_base: hidden"));
}

fn forged(w: &World, at: usize, change: impl FnOnce(&mut Step)) -> String {
    let mut plan = w.plan();
    change(&mut plan.steps[at]);
    let found = checker::check(&plan, &w.input()).unwrap_err();
    let fresh = checker::check_document(&plan, &w.desired);
    let words: Vec<String> = found.iter().map(ToString::to_string).collect();
    format!("{} document: {}", words.join("; "), fresh.is_err())
}

#[test]
fn the_checker_lets_through_what_releases_have_and_nothing_else() {
    let mut w = old();
    if let Some(Observed::Present(all)) = rows(&mut w).columns.get_mut("t_base_image") {
        all.remove("result");
    }
    sound(&w);
    let column = |f: fn(&mut String, &mut String, &mut String)| {
        forged(&w, 1, |s| {
            if let Action::AddColumn(AddColumn {
                table,
                column,
                definition,
            }) = &mut s.action
            {
                f(table, column, definition);
            }
        })
    };
    for found in [
        column(|t, _, _| *t = "t_node_info".into()),
        column(|_, c, _| *c = "x INT, DROP COLUMN id".into()),
        column(|_, _, d| *d = "TEXT, DROP COLUMN id".into()),
    ] {
        assert!(
            found.contains("adds a column that no release has added"),
            "{found}"
        );
        assert!(found.ends_with("document: true"));
    }
    let backup = forged(&w, 0, |s| {
        s.action = Action::Backup(Backup {
            databases: vec!["mysql".into()],
        })
    });
    assert!(
        backup.contains("does not dump the framework's databases"),
        "{backup}"
    );
    let edited = |f: fn(&mut Vec<Edit>)| {
        forged(&w, 3, |s| {
            if let Action::MergeTemplate(change) = &mut s.action {
                f(&mut change.edits);
            }
        })
    };
    let found = edited(|e| {
        e.push(Edit::Set {
            at: Place::new(&["tars", "reap"], "nodeTimeout"),
            value: Value::Text("1".into()),
        });
    });
    assert!(
        found.contains("writes what the release does not ship"),
        "{found}"
    );
    let found = edited(|e| {
        e.push(Edit::Set {
            at: Place::new(&["tars", "db"], "dbpass"),
            value: Value::Text("mine".into()),
        });
    });
    assert!(found.contains("has a credential in it"), "{found}");
    assert!(found.ends_with("document: true"));
    let found = edited(Vec::clear);
    assert!(found.contains("do not give the announced text"), "{found}");
    // Without its backup no plan passes.
    let mut plan = w.plan();
    plan.steps.remove(0);
    let found = checker::check_document(&plan, &w.desired).unwrap_err();
    assert!(
        found
            .iter()
            .any(|v| v.what.contains("without a backup before"))
    );
}

fn intent(w: &World, step: &Step) -> Option<Intent> {
    let (name, before, after) = match &step.action {
        Action::MergeTemplate(c) => (&c.name, Some(c.before), Some(c.after)),
        Action::AddTemplate(n) => (&n.name, None, Some(Digest::of(n.text.as_bytes()))),
        _ => return None,
    };
    let done = DatabaseChange::Template {
        name: name.clone(),
        before,
        after,
    };
    Some(recorded_as(w, step, Changed::Database(done)))
}

/// The step that rolls it back.
fn restoring_rows(intent: &Intent, inventory: &Inventory) -> Result<Option<Step>, CannotRollBack> {
    database_record::rollback_step(intent, intent.database().unwrap(), inventory)
}

#[test]
fn what_somebody_changed_since_is_not_taken_back() {
    let mut w = old();
    let plan = w.plan();
    let step = plan.steps.last().unwrap();
    let intent = intent(&w, step).unwrap();
    assert_eq!(restoring_rows(&intent, &w.inventory).unwrap(), None);
    effect::apply(&mut w.inventory, &step.action);
    assert!(restoring_rows(&intent, &w.inventory).unwrap().is_some());
    edit(&mut w, REGISTRY, |t| t.replace("same=1", "same=9"));
    assert!(matches!(
        restoring_rows(&intent, &w.inventory),
        Err(CannotRollBack::Moved(_))
    ));
    rows(&mut w).templates = Observed::Unknown("no right".into());
    assert!(matches!(
        restoring_rows(&intent, &w.inventory),
        Err(CannotRollBack::Unknown(_))
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Law 5 for templates: every prefix of a plan can be rolled back, to the byte.
    #[test]
    fn every_prefix_is_rolled_back(
        kinds in prop::collection::vec(19..KINDS, 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut w = old();
        let node = w.node(0);
        for kind in kinds {
            unspoken(&mut w, &node, kind);
        }
        let plan = sound(&w);
        prop_assume!(!plan.steps.is_empty());
        let (mut now, mut images, mut done) = (w.clone(), Images::default(), Vec::new());
        for step in &plan.steps[..=cut.index(plan.steps.len())] {
            if let ResourceId::Template(name) = &step.resource {
                images.save_template(&now.inventory, name);
            }
            effect::apply(&mut now.inventory, &step.action);
            done.extend(intent(&w, step));
        }
        for intent in done.iter().rev() {
            let step = restoring_rows(intent, &now.inventory).unwrap().unwrap();
            effect::apply_with(&mut now.inventory, &step.action, &images);
            for condition in &step.post {
                let master = &now.desired.master;
                prop_assert_eq!(
                    condition.eval(master, &now.inventory),
                    tarsops_plan::condition::Truth::Holds
                );
            }
        }
        let texts = |w: &mut World| {
            let mut all = match &rows(w).templates {
                Observed::Present(all) => all.clone(),
                _ => vec![],
            };
            all.sort_by(|a, b| a.name.cmp(&b.name));
            all
        };
        prop_assert_eq!(texts(&mut now), texts(&mut w));
    }
}

#[test]
fn an_inventory_that_is_written_down_has_no_template_in_it() {
    let w = old();
    for told in [
        serde_json::to_string(&w.inventory).unwrap(),
        format!("{:?}", w.inventory),
    ] {
        assert!(told.contains("tars.framework-db") && !told.contains(PASSWORD));
    }
}

/// The shipped texts of these tests are what they say.
#[test]
fn the_fixture_is_as_an_installer_leaves_it() {
    let row = template("tars.default", &shipped(false)["tars.default"]);
    assert_eq!(
        row.text.unwrap().expose(),
        "<tars>\nlog=/usr/local/app/tars/log\n</tars>\n"
    );
}
