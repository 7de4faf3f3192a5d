//! Packages, reports and tasks: both forms of the store keep them alike, in MySQL as it is after the
//! console has started, where items are tied to their task.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_standin::store::{
    Database, JsonFile, NoticeRow, PatchRow, Store, Tables, TaskItemRow, TaskRow,
};

fn contract(store: &dyn Store) {
    let row = PatchRow {
        server: "tars.tarslog".into(),
        tgz: "x.tgz".into(),
        md5: "00".into(),
        upload_user: "admin".into(),
        comment: "a test".into(),
        ..PatchRow::default()
    };
    let id = store.add_patch(&row).unwrap();
    let other = store.add_patch(&row).unwrap();
    store.published(&id.to_string(), "me").unwrap();
    let read = |id: &str| store.patch(id).unwrap();
    let published = PatchRow {
        id,
        publish: 1,
        publish_user: "me".into(),
        ..row.clone()
    };
    assert_eq!(read(&id.to_string()), Some(published));
    assert_eq!(read(&other.to_string()).unwrap().publish, 0);
    for no in ["99999", "", "null", "1 OR 1"] {
        assert_eq!(read(no), None, "{no}");
    }

    let notice = NoticeRow {
        application: "tars".into(),
        server_name: "tarslog".into(),
        node_name: "n".into(),
        server_id: "tars.tarslog_n".into(),
        command: "[normal]".into(),
        result: "it's so".into(),
        ..NoticeRow::default()
    };
    store.add_notice(&notice).unwrap();
    let kept = store.notices().unwrap();
    assert_eq!((kept.len(), kept[0].result.as_str()), (1, "it's so"));

    let item = |item_no: &str| TaskItemRow {
        item_no: item_no.into(),
        application: "tars".into(),
        server_name: "tarslog".into(),
        node_name: "n".into(),
        command: "patch_tars".into(),
        parameters: "patch_id=1&bak_flag=0".into(),
        ..TaskItemRow::default()
    };
    let task = TaskRow {
        task_no: "t".into(),
        serial: true,
        user_name: "admin".into(),
        items: vec![item("a"), item("b")],
        ..TaskRow::default()
    };
    store.add_task(&task).unwrap();
    let ended = TaskItemRow {
        start_time: "2026-11-22 10:00:00".into(),
        end_time: "2026-11-22 10:00:01".into(),
        status: 3,
        log: "done".into(),
        ..item("b")
    };
    store.set_task_item(&ended).unwrap();
    let kept = store.task("t").unwrap().unwrap();
    assert_eq!(kept.items, [item("a"), ended]);
    assert!(kept.serial);
    assert_eq!(store.task("u").unwrap(), None);
}

#[test]
fn a_file_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tables.json");
    contract(&JsonFile::create(&path, &Tables::default()).unwrap());
}

#[test]
fn mysql_keeps_them() {
    require_or_fail();
    let folder = tempfile::tempdir().unwrap();
    let server = MariaDb::start(folder.path(), &MariaDbOptions::default()).unwrap();
    server.load(Schema::AfterConsole).unwrap();
    server.account("web", "web", Rights::All).unwrap();
    let database = Database::MariaDb {
        address: server.address(),
        user: "web".into(),
        password: "web".into(),
        name: "db_tars".into(),
    };
    contract(&*database.open().unwrap());
}
