//! What a host remembers counts for that host only, whatever stands in its record.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use support::json::{hostile, paths};
use support::*;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{ADDITIONS, BACKED_UP_DATABASES};
use tarsops_model::names::{RunId, StepName};
use tarsops_model::observed::Observed;
use tarsops_model::resource::ResourceId;
use tarsops_plan::action::{Action, HostChange};
use tarsops_plan::claims::{Field, Place, fits, is_own_file};
use tarsops_plan::crontab;
use tarsops_plan::intent::{Changed, DatabaseChange, FORMAT, Intent};
use tarsops_plan::plan::ChangeKind;
use tarsops_plan::report::{Blocked, Line};

/// Hosts of which two have an older program, a script that cannot be run and no monitor in cron.
fn outdated() -> World {
    let mut world = World::new(4);
    for i in [2, 3] {
        world.file(i).digest = binary("3.0.16");
        world.process(i).exe = Observed::Present(binary("3.0.16"));
        let script = world.script(i, "start.sh");
        script.mode = 0o600;
        world.host(i).crontab = Observed::Present("0 4 * * * /opt/backup\n".to_owned());
    }
    world
}

/// A record of the first step of a plan that changes a host.
fn record(world: &World) -> Intent {
    let plan = world.plan();
    let (step, change): (_, &HostChange) = plan
        .steps
        .iter()
        .find_map(|s| match &s.action {
            Action::ChangeHost(change) => Some((s, &**change)),
            _ => None,
        })
        .unwrap();
    intent_of(world, step, change)
}

fn field(intent: &Intent, of: &Intent, world: &World) -> Option<Field> {
    let place = Place {
        node: &host_of(of).change.node,
        run: &of.run,
        step: &of.step,
    };
    fits(intent, place, &world.desired).err().map(|e| e.field)
}

/// Alters a record.
type Forge<'a> = &'a dyn Fn(&mut Intent);

#[test]
fn a_record_that_is_altered_anywhere_says_nothing_of_another_host_user_or_path() {
    let world = outdated();
    let honest = record(&world);
    assert_eq!(field(&honest, &honest, &world), None);
    let other = world.node(3).to_string();
    let document = serde_json::to_value(&honest).unwrap();
    let mut read = 0;
    for path in &paths(&document) {
        for value in hostile(&other) {
            let mut changed = document.clone();
            *changed.pointer_mut(path).unwrap() = value;
            let Ok(forged) = serde_json::from_value::<Intent>(changed) else {
                continue;
            };
            read += 1;
            if field(&forged, &honest, &world).is_some() {
                continue;
            }
            let (a, b) = (&host_of(&forged).change, &host_of(&honest).change);
            assert_eq!(
                (&forged.cluster, &forged.run, &forged.step),
                (&honest.cluster, &honest.run, &honest.step),
                "{path}"
            );
            assert_eq!(
                (
                    &a.node,
                    &a.node,
                    &a.ip,
                    &a.run_user,
                    &a.tars_path,
                    &a.registry()
                ),
                (
                    &b.node,
                    &b.node,
                    &b.ip,
                    &b.run_user,
                    &b.tars_path,
                    &b.registry()
                ),
                "{path}"
            );
            for file in a.files() {
                assert!(is_own_file(a.component, &file.path), "{path}");
                assert_eq!(file.mode & !0o777, 0, "{path}");
            }
            if let Some(line) = a.crontab().as_ref().and_then(|c| c.edit.add.as_ref()) {
                assert_eq!(*line, crontab::monitor_line(a.tars_path.as_str()), "{path}");
            }
        }
    }
    assert!(read > 100, "only {read} forged records could be read");
}

#[test]
fn the_field_that_does_not_fit_is_named() {
    let world = outdated();
    let honest = record(&world);
    let other = world.node(3);
    let cases: [(Field, Forge<'_>); 12] = [
        (Field::Format, &|i| i.format = "tarsops.intent/5".to_owned()),
        (Field::Cluster, &|i| i.cluster = "other".parse().unwrap()),
        (Field::Run, &|i| i.run = run_id(10)),
        (Field::Step, &|i| i.step = StepName::of("x")),
        (Field::Node, &|i| host_in(i).change.node = other.clone()),
        (Field::Ip, &|i| {
            host_in(i).change.ip = "10.9.9.9".parse().unwrap()
        }),
        (Field::TarsPath, &|i| {
            host_in(i).change.tars_path = "/tmp/x".parse().unwrap()
        }),
        (Field::RunUser, &|i| {
            host_in(i).change.run_user = "root".parse().unwrap()
        }),
        (Field::ChangeKind, &|i| i.sign = ChangeKind::Add),
        (Field::Resource, &|i| i.resource = ResourceId::Web),
        (Field::File, &|i| {
            host_in(i).change.files_mut()[0].path = "tarsnode/util/change.sh".to_owned()
        }),
        (Field::Mode, &|i| {
            host_in(i).change.files_mut()[0].mode = 0o6755
        }),
    ];
    for (wanted, forge) in cases {
        let mut forged = honest.clone();
        forge(&mut forged);
        assert_eq!(field(&forged, &honest, &world), Some(wanted));
    }
}

/// What the master remembers of each kind of step on the database.
fn of_database(world: &World) -> [Intent; 3] {
    let column = &ADDITIONS[0];
    let deeds = [
        (
            DatabaseChange::Backup {
                databases: vec!["db_tars".to_owned()],
                file: "/usr/local/app/.tarsops/backups/1.sql.gz".to_owned(),
                digest: Digest::of(b"dump"),
            },
            ResourceId::Schema,
            "database.backup".to_owned(),
        ),
        (
            DatabaseChange::Column {
                table: column.table.to_owned(),
                column: column.column.to_owned(),
            },
            ResourceId::Schema,
            format!("schema.add@{}.{}", column.table, column.column),
        ),
        (
            DatabaseChange::Template {
                name: "tars.tarsregistry".to_owned(),
                before: Some(Digest::of(b"before")),
                after: Some(Digest::of(b"after")),
            },
            ResourceId::Template("tars.tarsregistry".to_owned()),
            "template.merge@tars.tarsregistry".to_owned(),
        ),
    ];
    deeds.map(|(deed, resource, id)| Intent {
        format: FORMAT.to_owned(),
        cluster: world.desired.cluster.clone(),
        run: run_id(9),
        step: StepName::of(&id),
        holder: "me@here".to_owned(),
        spec_digest: world.desired.spec_digest,
        started_at: NOW,
        sign: ChangeKind::Change,
        summary: "what it does".to_owned(),
        resource,
        changed: Changed::Database(deed),
    })
}

/// What does not fit of a record that lies where `of` lies.
fn database_field(intent: &Intent, of: &Intent, world: &World) -> Option<Field> {
    let place = Place {
        node: &world.desired.master,
        run: &of.run,
        step: &of.step,
    };
    let mismatch = fits(intent, place, &world.desired).err()?;
    let text = mismatch.to_string();
    assert!(text.len() < 1000, "{text}");
    Some(mismatch.field)
}

#[test]
fn a_record_of_the_database_that_is_altered_anywhere_names_nothing_else_of_it() {
    let world = outdated();
    for honest in of_database(&world) {
        assert_eq!(database_field(&honest, &honest, &world), None);
        let document = serde_json::to_value(&honest).unwrap();
        let (mut read, mut believed) = (0, 0);
        for path in paths(&document) {
            for value in hostile("10.0.0.4") {
                let mut changed = document.clone();
                *changed.pointer_mut(&path).unwrap() = value;
                let Ok(forged) = serde_json::from_value::<Intent>(changed) else {
                    continue;
                };
                read += 1;
                if database_field(&forged, &honest, &world).is_some() {
                    continue;
                }
                believed += 1;
                assert_eq!(
                    (&forged.cluster, &forged.run, &forged.step, &forged.resource),
                    (&honest.cluster, &honest.run, &honest.step, &honest.resource),
                    "{path}"
                );
                match (forged.database().unwrap(), honest.database().unwrap()) {
                    (
                        DatabaseChange::Backup {
                            databases, file, ..
                        },
                        _,
                    ) => {
                        assert!(
                            databases
                                .iter()
                                .all(|d| BACKED_UP_DATABASES.contains(&d.as_str()))
                        );
                        assert!(file.starts_with('/') && file.ends_with(".sql.gz"), "{path}");
                    }
                    (
                        DatabaseChange::Template { name, .. },
                        DatabaseChange::Template { name: honest, .. },
                    ) => {
                        assert_eq!(name, honest, "{path}");
                    }
                    (forged, honest) => assert_eq!(forged, honest, "{path}"),
                }
            }
        }
        // Its holder and its summary are free texts.
        assert!(read > 30 && believed > 20, "{read} {believed}");
    }
}

#[test]
fn the_field_of_a_record_of_the_database_is_named() {
    let world = outdated();
    let [backup, column, template] = of_database(&world);
    let forged = |honest: &Intent, forge: &dyn Fn(&mut Intent)| {
        let mut forged = honest.clone();
        forge(&mut forged);
        database_field(&forged, honest, &world)
    };
    let deed =
        |deed: DatabaseChange| move |i: &mut Intent| i.changed = Changed::Database(deed.clone());
    let dump = |databases: &[&str], file: &str| {
        deed(DatabaseChange::Backup {
            databases: databases.iter().map(|d| (*d).to_owned()).collect(),
            file: file.to_owned(),
            digest: Digest::of(b"dump"),
        })
    };
    let other = |table: &str, column: &str| {
        deed(DatabaseChange::Column {
            table: table.to_owned(),
            column: column.to_owned(),
        })
    };
    let named = |name: &str| {
        deed(DatabaseChange::Template {
            name: name.to_owned(),
            before: None,
            after: None,
        })
    };
    type Forge<'a> = &'a dyn Fn(&mut Intent);
    let cases: [(Field, &Intent, Forge<'_>); 15] = [
        (Field::Format, &backup, &|i| {
            "tarsops.database-intent/1".clone_into(&mut i.format)
        }),
        (Field::Cluster, &backup, &|i| {
            i.cluster = "other".parse().unwrap()
        }),
        (Field::Run, &backup, &|i| i.run = run_id(10)),
        (Field::Step, &backup, &|i| i.step = StepName::of("x")),
        (Field::Backup, &backup, &dump(&["mysql"], "/x/1.sql.gz")),
        (Field::Backup, &backup, &dump(&["db_tars"], "1.sql.gz")),
        (Field::Backup, &backup, &dump(&["db_tars"], "/etc/shadow")),
        (Field::Column, &column, &other("t_server_conf", "password")),
        (
            Field::Column,
            &column,
            &other("mysql.user", ADDITIONS[0].column),
        ),
        (Field::Template, &template, &named("mine.template")),
        (Field::Template, &template, &named("tars.x'; DROP TABLE t")),
        (Field::Resource, &template, &named("tars.tarslog")),
        (Field::Resource, &column, &|i| i.resource = ResourceId::Web),
        // What another step did.
        (
            Field::Step,
            &backup,
            &other(ADDITIONS[0].table, ADDITIONS[0].column),
        ),
        (Field::Resource, &backup, &named("tars.tarsregistry")),
    ];
    for (number, (wanted, honest, forge)) in cases.into_iter().enumerate() {
        assert_eq!(forged(honest, forge), Some(wanted), "case {number}");
    }
    // Nobody but the master can know of the database.
    let place = Place {
        node: &world.node(2),
        run: &backup.run,
        step: &backup.step,
    };
    let mismatch = fits(&backup, place, &world.desired).unwrap_err();
    assert_eq!(mismatch.field, Field::Node);
    // What rolls a template back may be rolled back.
    for id in [
        "rollback.template@tars.tarsregistry",
        "template.merge@tars.tarsregistry.back",
    ] {
        let mut again = template.clone();
        again.step = StepName::of(id);
        assert_eq!(database_field(&again, &again, &world), None);
    }
}

#[test]
fn a_crontab_comes_back_only_as_it_follows_from_the_one_that_is_there() {
    let tars = "/usr/local/app/tars";
    let line = crontab::monitor_line(tars);
    let edit = crontab::CrontabEdit {
        remove: vec![],
        add: Some(line.clone()),
    };
    let before = "0 4 * * * /opt/backup\n";
    let after = crontab::apply(Some(before), &edit).unwrap();
    let known = crontab::before_edit(Some(&after), &edit);
    assert!(known.contains(&Some(before.to_owned())));
    let planted = Digest::of(b"* * * * * id >/tmp/x\n");
    let digests = known.iter().flatten().map(|t| Digest::of(t.as_bytes()));
    assert!(!digests.into_iter().any(|d| d == planted));
    assert!(crontab::is_plain_monitor(&line, tars, "tarsnode"));
    for other in [
        format!("{line}; id"),
        format!("{line} $(id)"),
        format!("* * * * * id {tars}/tarsnode/util/monitor.sh"),
        "* * * * * id >/tmp/x".to_owned(),
    ] {
        assert!(
            !crontab::is_plain_monitor(&other, tars, "tarsnode"),
            "{other}"
        );
    }
}

#[test]
fn a_fence_from_the_future_blocks_its_own_host_alone() {
    let mut world = outdated();
    let now = u64::try_from(NOW).unwrap() * 1000;
    world.host(2).fence = Some(RunId::from_parts(now + 9 * 60_000, 1));
    assert_eq!(world.plan().summary.blocked, 0);
    world.host(2).fence = Some(RunId::from_parts(9_999_999_999_999, 1));
    let plan = world.plan();
    assert_eq!(plan.summary.blocked, 1);
    let blocked = plan.report.iter().find_map(|line| match line {
        Line::Blocked {
            resource,
            why: why @ Blocked::FenceAhead { .. },
        } => Some((resource, why)),
        _ => None,
    });
    let (resource, why) = blocked.unwrap();
    assert_eq!(resource.node(), Some(&world.node(2)));
    assert!(why.to_string().contains("from the future"), "{why}");
    assert!(why.hint().contains("/var/lib/tarsops/"), "{}", why.hint());
    assert!(
        plan.steps
            .iter()
            .all(|s| s.resource.node() != Some(&world.node(2)))
    );
    assert!(!plan.steps.is_empty(), "the others go on");
}
