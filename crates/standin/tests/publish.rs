//! Publishing in the stand-ins of tarsAdminRegistry, tarspatch and tarsnode: how it goes, and every way
//! in which what is said of it is not what happened.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;
#[path = "common/publish.rs"]
mod publish;

use std::time::Duration;

use common::{Line, body, eventually, exe, healthy};
use publish::{World, answers, digest};
use tarsops_standin::framework::Component;
use tarsops_standin::packages::{Inside, write_service, write_service_mode};
use tarsops_standin::standin::lies::Lie;
use tarsops_standin::store::Publications as _;
use tarsops_wire::codec::Bytes;
use tarsops_wire::interface::{PatchInfo, TaskRsp, field, texts};

fn statuses(task: &TaskRsp) -> Vec<i32> {
    task.items.iter().map(|item| item.status).collect()
}

fn log(task: &TaskRsp) -> &str {
    &task.items[0].execute_log
}

#[test]
fn a_bare_server_is_published_and_upgraded() {
    let world = World::new();
    world.deploy_tarslog();
    let ip = world.up.host(1).ip.into();
    let binary = world.binary(1, "tarslog");
    assert_eq!(world.row(1, "tarslog").setting_state, "inactive");
    for (inside, version) in [(Inside::Dotted, "4"), (Inside::Bin, "5")] {
        let (package, program) = world.package("tarslog", inside, version);
        let id = world.upload("tarslog", &package);
        let task = world.publish(1, "tarslog", id);
        assert_eq!(statuses(&task), [3], "{inside:?}: {task:?}");
        assert_eq!((task.status, task.items[0].percent), (3, 100));
        // Here and there tarsnode itself was faster: the server was dead for a moment.
        let said = "server is activating, please check: ";
        assert!(log(&task).starts_with(said), "{task:?}");
        assert_eq!(digest(&binary), program, "{inside:?}");
        for (servant, port) in [("LogObj", 18993), ("TopologyObj", 18913)] {
            let servant = format!("tars.tarslog.{servant}");
            eventually(&servant, || answers(ip, port, &servant));
        }
        let row = world.row(1, "tarslog");
        assert_eq!(
            (row.patch_version, row.patch_user),
            (id.to_string(), "admin".into())
        );
        assert_eq!(row.setting_state, "active");
        eventually("active in the tables", || {
            world
                .row(1, "tarslog")
                .present_state
                .eq_ignore_ascii_case("active")
        });
        let pid = world.row(1, "tarslog").process_id;
        let runs = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap();
        assert_eq!(runs, binary, "the new program runs, not a deleted one");
        assert_eq!(
            world
                .up
                .tables()
                .patch(&id.to_string())
                .unwrap()
                .unwrap()
                .publish,
            1
        );
    }
    // Of a bare deployment only bin/ is made.
    let mut made: Vec<_> = std::fs::read_dir(world.tars(1).join("tarslog"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    made.sort();
    assert_eq!(made, ["bin"]);
    assert!(binary.with_file_name("tars_start.sh").is_file());
    let notices = world.notices("tarslog");
    assert!(notices.contains(&"download succ".to_owned()), "{notices:?}");
    assert!(
        notices
            .iter()
            .any(|n| n.starts_with("patch tars.tarslog succ, version "))
    );

    // Serial items wait for each other; on the master's own node the same package is published, too.
    let (package, program) = world.package("tarslog", Inside::Folder, "8");
    let id = world.upload("tarslog", &package);
    let items = vec![
        world.patch_item(0, "tarslog", id),
        world.patch_item(1, "tarslog", id),
    ];
    let (task, _) = world.begin(items, true);
    let task = world.finished(&task);
    assert_eq!((statuses(&task), task.status), (vec![3, 3], 3), "{task:?}");
    assert!((0..2).all(|index| digest(&world.binary(index, "tarslog")) == program));

    // What only publishes is kept: another AdminRegistry knows it, without its words.
    let number = task.task_no.clone();
    world.up.ok(
        0,
        &format!(
            "sh {}/tarsAdminRegistry/util/start.sh > /dev/null 2>&1 < /dev/null",
            world.tars(0).display()
        ),
    );
    eventually("AdminRegistry again", || {
        let stream = std::net::TcpStream::connect(world.up.framework().admin);
        stream.is_ok() && world.task(&number).is_some()
    });
    let kept = world.task(&number).unwrap();
    assert_eq!(
        (statuses(&kept), kept.status, log(&kept)),
        (vec![3, 3], 3, "")
    );
}

#[test]
fn every_basic_service_comes_to_a_bare_node() {
    let world = World::new();
    let services = [
        "tarsstat",
        "tarsproperty",
        "tarsnotify",
        "tarslog",
        "tarsquerystat",
        "tarsqueryproperty",
    ];
    let items = services.map(|server| {
        world.deploy(server);
        let package = world.up.scratch().join(format!("{server}.tgz"));
        write_service(&exe(), &package, server, Inside::Folder, &healthy("4")).unwrap();
        let id = world.upload(server, &package);
        world.patch_item(1, server, id)
    });
    let (task, _) = world.begin(items.to_vec(), false);
    let task = world.finished(&task);
    assert_eq!(statuses(&task), [3; 6], "{task:?}");
    for server in services {
        let component = Component::named(server).unwrap();
        for (object, port) in component.objects {
            let servant = format!("tars.{server}.{object}");
            let ip = world.up.host(1).ip.into();
            eventually(&servant, || answers(ip, *port, &servant));
        }
        eventually("active in the tables", || {
            let state = world.row(1, server).present_state;
            state.eq_ignore_ascii_case("active")
        });
    }
}

#[test]
fn success_is_said_of_what_was_not_replaced_and_failure_of_what_was() {
    let world = World::new();
    world.deploy_tarslog();
    let binary = world.binary(1, "tarslog");
    let published = |id: i64| {
        world
            .up
            .tables()
            .patch(&id.to_string())
            .unwrap()
            .unwrap()
            .publish
    };
    let (package, first) = world.package("tarslog", Inside::Folder, "4");
    let id = world.upload("tarslog", &package);
    assert_eq!(statuses(&world.publish(1, "tarslog", id)), [3]);

    // 1: another server's package. The old program runs on, the foreign one is beside it.
    let (package, _) = world.package("tarsstat", Inside::Folder, "5");
    let id = world.upload("tarslog", &package);
    let task = world.publish(1, "tarslog", id);
    assert_eq!(statuses(&task), [3]);
    assert_eq!(digest(&binary), first);
    assert!(binary.with_file_name("tarsstat").is_file());
    assert_eq!(world.row(1, "tarslog").patch_version, id.to_string());

    // No archive at all.
    let junk = world.up.scratch().join("junk.tgz");
    std::fs::write(&junk, "not an archive").unwrap();
    let id = world.upload("tarslog", &junk);
    let task = world.publish(1, "tarslog", id);
    assert_eq!(statuses(&task), [4]);
    let node = &world.up.host(1).name;
    assert_eq!(log(&task), format!("getPatchPercent {node} error, iRet:-1"));
    assert_eq!(published(id), 1, "10: as published counts what failed");

    // 2: a busy node.
    let (package, second) = world.package("tarslog", Inside::Folder, "6");
    let id = world.upload("tarslog", &package);
    world.tell(1, "tarsnode", &[Lie::Busy(Duration::from_millis(5500))]);
    let before = world.row(1, "tarslog").process_id;
    let task = world.publish(1, "tarslog", id);
    world.tell(1, "tarsnode", &[]);
    assert_eq!(statuses(&task), [4]);
    assert_eq!(
        log(&task),
        "tarsAdminRegistry batchPatch error, ret:1002, info:"
    );
    eventually("applied all the same", || digest(&binary) == second);
    eventually("noted", || {
        world.row(1, "tarslog").patch_version == id.to_string()
    });
    assert_eq!(world.row(1, "tarslog").process_id, before, "not restarted");

    // 9: the start fails, by a lie and by a package that cannot be executed.
    let (package, third) = world.package("tarslog", Inside::Folder, "7");
    let id = world.upload("tarslog", &package);
    world.tell(1, "tarsnode", &[Lie::StartFails]);
    let task = world.publish(1, "tarslog", id);
    assert_eq!((statuses(&task), task.items[0].percent), (vec![4], 100));
    assert_eq!(
        log(&task),
        format!("error:find server exe: {}", binary.display())
    );
    assert_eq!(digest(&binary), third);
    std::thread::sleep(Duration::from_millis(500));
    let row = world.row(1, "tarslog");
    assert_eq!((row.process_id, published(id)), (0, 1));
    world.tell(1, "tarsnode", &[]);
    let answering = || answers(world.up.host(1).ip.into(), 18993, "tars.tarslog.LogObj");
    eventually("tarsnode starts it again", answering);

    let package = world.up.scratch().join("noexec.tgz");
    let inside = ("tarslog", Inside::Folder);
    write_service_mode(&exe(), &package, inside, &healthy("8"), 0o644).unwrap();
    let id = world.upload("tarslog", &package);
    let task = world.publish(1, "tarslog", id);
    assert_eq!(statuses(&task), [4]);
    assert_eq!(
        log(&task),
        format!("error:find server exe: {}", binary.display())
    );
    assert!(!answering());
}

#[test]
fn tasks_are_swallowed_and_get_stuck() {
    let world = World::new();
    world.deploy_tarslog();
    let binary = world.binary(1, "tarslog");
    let item = |version: &str| {
        let (package, program) = world.package("tarslog", Inside::Folder, version);
        let id = world.upload("tarslog", &package);
        (vec![world.patch_item(1, "tarslog", id)], program)
    };
    // 3: no, and done; silence, and done; yes, and never begun.
    for (lie, said, version) in [
        (Lie::TaskRefused, Some(-1), "4"),
        (Lie::TaskUnanswered, None, "5"),
    ] {
        world.tell(0, "tarsAdminRegistry", &[lie]);
        let (items, program) = item(version);
        let (task, answer) = world.begin(items, true);
        assert_eq!(answer, said, "{lie:?}");
        assert_eq!(statuses(&world.finished(&task)), [3]);
        assert_eq!(digest(&binary), program);
    }
    world.tell(0, "tarsAdminRegistry", &[Lie::TaskNeverBegun]);
    let before = digest(&binary);
    let (items, _) = item("6");
    let (task, answer) = world.begin(items, true);
    assert_eq!(answer, Some(0));
    std::thread::sleep(Duration::from_millis(500));
    let told = world.task(&task).unwrap();
    assert_eq!((statuses(&told), told.status), (vec![0], 0));
    assert_eq!(told.items[0].status_info, "EM_I_NOT_START");
    assert_eq!(digest(&binary), before);

    // 4: done, and in progress for ever.
    world.tell(0, "tarsAdminRegistry", &[Lie::TaskStuck]);
    let (items, program) = item("7");
    let (task, _) = world.begin(items, true);
    eventually("published", || digest(&binary) == program);
    let ip = world.up.host(1).ip.into();
    eventually("running", || answers(ip, 18993, "tars.tarslog.LogObj"));
    std::thread::sleep(Duration::from_millis(500));
    let told = world.task(&task).unwrap();
    assert_eq!((statuses(&told), told.status), (vec![2], 2));
}

#[test]
fn tarspatch_has_nothing_or_something_else_or_is_not_there() {
    let world = World::new();
    world.deploy_tarslog();
    let (package, program) = world.package("tarslog", Inside::Bare, "4");
    // 5: the file is not the one that the row tells of.
    let id = world.upload("tarslog", &package);
    let row = world.up.tables().patch(&id.to_string()).unwrap().unwrap();
    let uploaded = world.uploaded("tarslog", &row.tgz);
    let (other, _) = world.package("tarslog", Inside::Folder, "5");
    std::fs::copy(&other, &uploaded).unwrap();
    let task = world.publish(1, "tarslog", id);
    assert_eq!(statuses(&task), [4]);
    assert!(log(&task).ends_with(" error, iRet:-1"), "{task:?}");
    let mismatch = |notices: &[String]| notices.iter().any(|n| n.ends_with("md5 is not equal"));
    eventually("the reason", || mismatch(&world.notices("tarslog")));
    assert!(!world.binary(1, "tarslog").exists());
    // Or on its way.
    std::fs::copy(&package, &uploaded).unwrap();
    world.tell(0, "tarspatch", &[Lie::Garbled]);
    assert_eq!(statuses(&world.publish(1, "tarslog", id)), [4]);
    world.tell(0, "tarspatch", &[]);
    assert_eq!(statuses(&world.publish(1, "tarslog", id)), [3]);
    assert_eq!(digest(&world.binary(1, "tarslog")), program);

    // 6: no such file where it looks. All items of a task fail with it.
    std::fs::remove_file(&uploaded).unwrap();
    let items = vec![
        world.patch_item(1, "tarslog", id),
        world.patch_item(0, "tarslog", id),
    ];
    let (task, _) = world.begin(items, false);
    let task = world.finished(&task);
    assert_eq!((statuses(&task), task.status), (vec![4, 4], 4));
    assert_eq!(
        log(&task),
        format!(
            "tarspatch preparePatchFile error:{} not exists!",
            uploaded.display()
        )
    );
    // Nor a row.
    let task = world.publish(1, "tarslog", 99_999);
    assert_eq!(
        log(&task),
        "load patch info from database error, patchId:99999"
    );

    // 8: it is down.
    world
        .up
        .cluster
        .stop_component(&world.up.host(0).name, "tarspatch")
        .unwrap();
    let task = world.publish(1, "tarslog", id);
    assert_eq!(statuses(&task), [4]);
    assert!(
        log(&task).starts_with("tarspatch preparePatchFile error:["),
        "{task:?}"
    );
}

#[test]
fn a_node_that_is_not_there_fails_at_once_and_cancels_what_follows() {
    let world = World::new();
    world.deploy_tarslog();
    let (package, _) = world.package("tarslog", Inside::Folder, "4");
    let id = world.upload("tarslog", &package);
    world.up.script(1, "stop.sh");
    let node = world.up.host(1).name.clone();
    eventually("the connection is gone", || {
        let asked = body(|w| w.put(1, &vec![node.clone()]));
        let answer = world.ask("getNodeList", asked, false).unwrap();
        let seen: tarsops_wire::codec::Pairs<String, String> = field(&answer, 2).unwrap().unwrap();
        seen.get(node.as_str()).map(String::as_str) == Some("")
    });
    // 7.
    let items = vec![
        world.patch_item(1, "tarslog", id),
        world.patch_item(0, "tarslog", id),
    ];
    let (task, _) = world.begin(items, true);
    let task = world.finished(&task);
    assert_eq!((statuses(&task), task.status), (vec![4, 5], 6));
    assert!(
        log(&task).starts_with("tarsAdminRegistry batchPatch error, ret:1001, info:"),
        "{task:?}"
    );
    assert_eq!(task.items[1].status_info, "EM_I_CANCEL");
}

#[test]
fn a_batch_patch_restarts_nothing_and_uploads_have_their_numbers() {
    let world = World::new();
    let node = world.up.host(0).name.clone();
    let binary = world.binary(0, "tarsstat");
    let (package, program) = world.package("tarsstat", Inside::Folder, "4");
    let bytes = std::fs::read(&package).unwrap();
    let patch = std::net::SocketAddr::from((world.up.host(0).ip, 18793));
    let upload = |part: &[u8], md5: &str, first: bool, last: bool| {
        let arguments = body(|w| {
            w.put(1, "tars");
            w.put(2, "tarsstat");
            w.structure(3, |w| {
                w.put(0, md5);
                w.put(1, "new.tgz");
                w.put(2, &first);
                w.put(3, &last);
                w.put(4, &Bytes(part.to_vec()));
            });
        });
        let mut line = Line::to(patch);
        let answer = line.call("tars.tarspatch.PatchObj", "upload", arguments, &[]);
        field::<i32>(&answer.unwrap(), 0).unwrap().unwrap()
    };
    let md5 = digest(&package);
    let parts: Vec<&[u8]> = bytes.chunks(1 << 20).collect();
    assert!(parts.len() > 1);
    for (index, part) in parts.iter().enumerate() {
        let (first, last) = (index == 0, index + 1 == parts.len());
        assert_eq!(upload(part, &md5, first, last), 0);
    }
    assert_eq!(upload(parts[0], &md5, true, true), 1, "it is there");
    let wrong = "0".repeat(32);
    assert_eq!(upload(&bytes[..16], &wrong, true, true), -3);

    let id = world.upload("tarsstat", &package);
    eventually("running", || world.row(0, "tarsstat").process_id != 0);
    let before = world.row(0, "tarsstat").process_id;
    let batch = |version: &str, node: &str| {
        let arguments = body(|w| {
            w.structure(1, |w| {
                let words = ["tars", "tarsstat", node, "", "", version, "admin"];
                for (tag, text) in (0u8..).zip(words) {
                    w.put(tag, text);
                }
                (7..10).for_each(|tag| w.put(tag, ""));
            });
        });
        let answer = world.ask("batchPatch", arguments, true).unwrap();
        let ret: i32 = field(&answer, 0).unwrap().unwrap();
        (ret, field::<String>(&answer, 2).unwrap().unwrap())
    };
    assert_eq!(
        batch("9999", &node),
        (1009, "get patch tgz error:9999".into())
    );
    let (ret, words) = batch(&id.to_string(), "10.9.9.9");
    assert_eq!(ret, 1001);
    assert!(
        words.starts_with("node '10.9.9.9' not registered"),
        "{words}"
    );
    assert_eq!(batch(&id.to_string(), &node), (0, String::new()));
    eventually("all of it", || {
        let of = texts(&["tars", "tarsstat", &node]);
        let answer = world.ask("getPatchPercent", of, true).unwrap();
        let info: PatchInfo = field(&answer, 4).unwrap().unwrap();
        field::<i32>(&answer, 0).unwrap() == Some(0) && info.percent == 100 && info.success
    });
    assert_eq!(digest(&binary), program);
    assert_eq!(world.row(0, "tarsstat").process_id, before);
}
