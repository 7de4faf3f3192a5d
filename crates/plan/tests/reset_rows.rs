//! What a start of a container resets, and what comes back.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tarsops_model::component::Component;
use tarsops_plan::action::{Cell, RowEdit, Table};
use tarsops_plan::reset_rows::{BeforeStart, LeftBecause, RowImage, put_back};

const NODE: &str = "10.0.0.1";

fn row(table: Table, node: &str, columns: &[(&str, Option<&str>)]) -> RowImage {
    let own = [("application", "tars"), ("node_name", node)];
    let own = own.map(|(n, v)| (n.to_owned(), Some(v.to_owned())));
    let mut all: BTreeMap<String, Option<String>> = own.into();
    all.extend(
        columns
            .iter()
            .map(|(n, v)| ((*n).to_owned(), v.map(str::to_owned))),
    );
    RowImage {
        table,
        columns: all,
    }
}

/// What the installer writes of a row, whatever was there (`replace into`).
fn replaced(old: &RowImage, id: usize) -> RowImage {
    let mut new = old.clone();
    let server = old.columns["server_name"].clone().unwrap();
    let template = format!("tars.{server}");
    let defaults: &[(&str, Option<&str>)] = match old.table {
        Table::TServerConf => &[
            ("setting_state", Some("active")),
            ("template_name", Some(template.as_str())),
            ("profile", None),
            ("patch_version", Some("3.0.18")),
            ("patch_user", Some("")),
            ("enable_set", Some("N")),
            ("run_type", None),
        ],
        Table::TAdapterConf => &[
            ("thread_num", Some("5")),
            ("max_connections", Some("200000")),
        ],
    };
    for (column, value) in defaults {
        new.columns
            .insert((*column).to_owned(), value.map(str::to_owned));
    }
    let own = [("id", id.to_string()), ("lastuser", "admin".to_owned())];
    new.columns
        .extend(own.map(|(n, v)| (n.to_owned(), Some(v))));
    new
}

/// Carries out edits as the database does: each only where the row says what it said.
fn edit(rows: &mut [RowImage], all: &[RowEdit]) {
    let text = |cell: &Cell| cell.text();
    for edit in all {
        let is_it = |r: &&mut RowImage| {
            let mut key = edit.key.iter();
            r.table == edit.table && key.all(|(c, v)| r.columns[c].as_ref() == Some(v))
        };
        let row = rows.iter_mut().find(is_it).expect("a row that is there");
        for (column, cell) in edit.before.as_ref().unwrap() {
            assert_eq!(row.columns[column], text(cell), "{column}");
        }
        for (column, cell) in edit.after.as_ref().unwrap() {
            row.columns.insert(column.clone(), text(cell));
        }
    }
}

fn cells() -> impl Strategy<Value = Vec<RowImage>> {
    let servers = [
        Component::Tarsstat,
        Component::Tarsconfig,
        Component::Tarsnotify,
    ];
    let one = move |component: Component| {
        (
            prop::sample::select(vec!["active", "inactive"]),
            prop::sample::select(vec!["tars.default", "tars.mine"]),
            prop::option::of(prop::sample::select(vec!["", "<tars>\n</tars>"])),
            prop::sample::select(vec!["3.0.17", "77", ""]),
            prop::sample::select(vec![None, Some(""), Some("container")]),
            (1..9_u32, 1..9_u32),
        )
            .prop_map(
                move |(state, template, profile, version, run_type, (threads, most))| {
                    let name = component.name();
                    let server = row(
                        Table::TServerConf,
                        NODE,
                        &[
                            ("id", Some("1")),
                            ("server_name", Some(name)),
                            ("setting_state", Some(state)),
                            ("present_state", Some("active")),
                            ("template_name", Some(template)),
                            ("profile", profile),
                            ("patch_version", Some(version)),
                            ("patch_user", Some("me")),
                            ("lastuser", Some("me")),
                            ("run_type", run_type),
                            ("enable_set", Some("Y")),
                        ],
                    );
                    let adapter = format!("tars.{name}.ObjAdapter");
                    let adapter = row(
                        Table::TAdapterConf,
                        NODE,
                        &[
                            ("id", Some("1")),
                            ("server_name", Some(name)),
                            ("adapter_name", Some(&adapter)),
                            ("thread_num", Some(&threads.to_string())),
                            ("max_connections", Some(&most.to_string())),
                            ("lastuser", Some("me")),
                        ],
                    );
                    [server, adapter]
                },
            )
    };
    servers
        .map(one)
        .to_vec()
        .prop_map(|all| all.into_iter().flatten().collect())
}

/// What counts of a row: not what the framework writes by itself, nor what a stop restores.
fn settings(row: &RowImage) -> BTreeMap<String, String> {
    let not = [
        "id",
        "patch_version",
        "patch_user",
        "lastuser",
        "setting_state",
    ];
    row.columns
        .iter()
        .filter(|(c, _)| !not.contains(&c.as_str()))
        .map(|(c, v)| (c.clone(), v.clone().unwrap_or_default()))
        .collect()
}

proptest! {
    #[test]
    fn what_a_start_resets_comes_back(rows in cells()) {
        let before = BeforeStart::new(NODE, rows);
        let mut now: Vec<RowImage> =
            before.rows.iter().enumerate().map(|(i, r)| replaced(r, i + 100)).collect();
        let done = put_back(&before, &now);
        prop_assert!(done.made.is_empty(), "{:?}", done);
        // A core component is not stopped, and nothing else is left.
        prop_assert!(done.left.iter().all(|l| l.why == LeftBecause::Core), "{:?}", done);
        edit(&mut now, &done.edits);
        for (old, new) in before.rows.iter().zip(&now) {
            prop_assert_eq!(settings(old), settings(new));
        }
        // Whoever was stopped is stopped again, and nobody else.
        let (stopped, core): (BTreeSet<Component>, BTreeSet<_>) = before.rows.iter()
            .filter(|r| r.columns.get("setting_state") == Some(&Some("inactive".to_owned())))
            .filter_map(RowImage::component)
            .partition(|c| c.is_basic());
        prop_assert_eq!(&done.stop, &stopped);
        prop_assert_eq!(done.left.len(), core.len());
        prop_assert!(done.restart.is_disjoint(&stopped));
        let published = before.rows.iter()
            .filter(|r| r.columns.get("patch_version") == Some(&Some("77".to_owned()))).count();
        prop_assert_eq!(done.overwritten.len(), published);
        // A second time there is nothing to write.
        prop_assert!(put_back(&before, &now).edits.is_empty());
    }

    #[test]
    fn what_people_wrote_meanwhile_stays(rows in cells(), at in 0..6_usize, since in any::<bool>()) {
        let before = BeforeStart::new(NODE, rows);
        let mut now: Vec<RowImage> =
            before.rows.iter().enumerate().map(|(i, r)| replaced(r, i + 100)).collect();
        let column = match now[at].table {
            Table::TServerConf => "template_name",
            Table::TAdapterConf => "thread_num",
        };
        // Somebody writes it: over the row that the start made, or where no start has been.
        if !since {
            now[at] = before.rows[at].clone();
        }
        now[at].columns.insert(column.to_owned(), Some("64".to_owned()));
        now[at].columns.insert("lastuser".to_owned(), Some("somebody".to_owned()));
        let key = now[at].name();
        let done = put_back(&before, &now);
        let own = |e: &RowEdit| e.table == now[at].table
            && e.key.iter().any(|(_, v)| key == *v || key == format!("tars.{v}"));
        prop_assert!(!done.edits.iter().any(own));
        let why = if since { LeftBecause::Written } else { LeftBecause::Kept };
        prop_assert!(done.left.iter().any(|l| l.row == key && l.why == why), "{:?}", done.left);
    }
}

proptest! {
    #[test]
    fn what_people_change_in_the_console_stays(rows in cells(), at in 0..6_usize) {
        let before = BeforeStart::new(NODE, rows);
        let mut now: Vec<RowImage> =
            before.rows.iter().enumerate().map(|(i, r)| replaced(r, i + 100)).collect();
        // The console does not write who it was: the row still says that the installer wrote it last.
        let (column, value) = match now[at].table {
            Table::TServerConf => ("template_name", "tars.other"),
            Table::TAdapterConf => ("thread_num", "64"),
        };
        now[at].columns.insert(column.to_owned(), Some(value.to_owned()));
        let name = now[at].name();
        let done = put_back(&before, &now);
        let why = LeftBecause::Changed(column.to_owned());
        prop_assert!(done.left.iter().any(|l| l.row == name && l.why == why), "{:?}", done.left);
        edit(&mut now, &done.edits);
        prop_assert_eq!(now[at].columns[column].as_deref(), Some(value));
        // What else the start has reset in that row and in the others is as before.
        for (old, new) in before.rows.iter().zip(&now) {
            let (mut old, mut new) = (settings(old), settings(new));
            if new.get(column).is_some_and(|v| v == value) {
                old.remove(column);
                new.remove(column);
            }
            prop_assert_eq!(old, new);
        }
    }
}

#[test]
fn what_was_published_since_the_start_is_not_asked_for() {
    let published = |id: &str, version: &str| {
        let columns = [
            ("id", Some(id)),
            ("server_name", Some("tarsstat")),
            ("patch_version", Some(version)),
        ];
        row(Table::TServerConf, NODE, &columns)
    };
    let before = BeforeStart::new(NODE, vec![published("1", "77")]);
    let lost = |version| put_back(&before, &[published("2", version)]).overwritten;
    assert_eq!(lost("3.0.17")[0].version, "77");
    assert!(lost("78").is_empty() && lost("77").is_empty());
}

#[test]
fn a_column_that_nobody_knows_is_left() {
    let of = |id: &str, value: &str| {
        let columns = [
            ("id", Some(id)),
            ("server_name", Some("tarsstat")),
            ("lastuser", Some("admin")),
            ("of_another_release", Some(value)),
        ];
        row(Table::TServerConf, NODE, &columns)
    };
    let before = BeforeStart::new(NODE, vec![of("1", "mine")]);
    let done = put_back(&before, &[of("2", "0")]);
    let why = LeftBecause::Changed("of_another_release".to_owned());
    assert!(done.edits.is_empty() && done.left[0].why == why);
}

#[test]
fn rows_of_other_nodes_and_applications_are_nobodys_business() {
    let node = |node: &str, application: &str| {
        let columns = [
            ("id", Some("1")),
            ("server_name", Some("tarsstat")),
            ("application", Some(application)),
            ("template_name", Some("tars.mine")),
        ];
        row(Table::TServerConf, node, &columns)
    };
    let others = [node("10.0.0.2", "tars"), node(NODE, "Shop")];
    let before = BeforeStart::new(NODE, others.to_vec());
    let now: Vec<RowImage> = others.iter().map(|r| replaced(r, 7)).collect();
    let done = put_back(&before, &now);
    assert!(done.edits.is_empty() && done.restart.is_empty() && done.stop.is_empty());
}

#[test]
fn a_service_that_was_moved_away_is_named() {
    let columns = [("id", Some("1")), ("server_name", Some("tarsquerystat"))];
    let before = BeforeStart::new(NODE, vec![]);
    let now = [row(Table::TServerConf, NODE, &columns)];
    assert_eq!(put_back(&before, &now).made, ["tars.tarsquerystat"]);
    // And one that is gone.
    let before = BeforeStart::new(NODE, now.to_vec());
    let left = put_back(&before, &[]).left;
    assert_eq!(left[0].why, LeftBecause::Gone);
}

#[test]
fn values_of_rows_are_in_no_message() {
    let columns = [
        ("server_name", Some("tarsstat")),
        ("profile", Some("pass=geheim")),
    ];
    let said = format!("{:?}", row(Table::TServerConf, NODE, &columns));
    assert!(said.contains("tarsstat") && !said.contains("geheim"));
}
