//! What the framework says that is not so, one by one: the stand-ins must say it, too, for tarsops is
//! tested against them.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;

use std::time::Duration;

use common::{Line, Up, body, eventually};
use tarsops_standin::store::{NodeRow, Store};
use tarsops_wire::interface::{ADMIN, EndpointF, FORWARD, QUERY, ServerStateDesc, field, texts};
use tarsops_wire::packet::Response;

const REGISTRY: &str = "tars.tarsregistry.RegistryObj";
const ON: [(&str, &str); 1] = [(FORWARD, "on")];
/// Nobody answers is a wait that ends: long enough that an answer would have come.
const NEVER: Duration = Duration::from_millis(1500);

fn admin(up: &Up, function: &str, arguments: Vec<u8>, context: &[(&str, &str)]) -> Response {
    Line::to(up.framework().admin)
        .call(ADMIN, function, arguments, context)
        .unwrap_or_else(|| panic!("{function} is not answered"))
}

fn never(up: &Up, function: &str, arguments: Vec<u8>, context: &[(&str, &str)]) {
    let mut line = Line::to(up.framework().admin);
    line.stream.set_read_timeout(Some(NEVER)).unwrap();
    let answer = line.call(ADMIN, function, arguments, context);
    assert!(answer.is_none(), "{function}: {answer:?}");
}

fn number(answer: &Response, tag: u8) -> i32 {
    field(answer, tag).unwrap().unwrap()
}

fn word(answer: &Response, tag: u8) -> String {
    field(answer, tag).unwrap().unwrap_or_default()
}

/// A node whose row says active although nobody is there.
fn ghost(up: &Up, name: &str) {
    let row = NodeRow {
        node_name: name.into(),
        tars_version: "3.0.17".into(),
        ..NodeRow::default()
    };
    assert!(up.tables().register_node(&row).unwrap());
}

#[test]
fn a_node_that_is_not_connected_is_never_answered_about() {
    let up = Up::with_framework(1);
    let name = up.host(0).name.clone();
    ghost(&up, &name);
    let server = texts(&["tars", "tarsstat", &name]);
    never(&up, "pingNode", texts(&[&name]), &[]);
    never(&up, "getServerState", server.clone(), &[]);
    never(&up, "getNodeLoad", server.clone(), &ON);

    // With the context it is, and pingNode says true: only its words are to be believed.
    ghost(&up, &name);
    let answer = admin(&up, "pingNode", texts(&[&name]), &ON);
    assert_eq!((number(&answer, 0), word(&answer, 2)), (1, String::new()));
    assert_eq!(answer.context.get(FORWARD).map(String::as_str), Some("on"));
    let answer = admin(&up, "getServerState", server.clone(), &ON);
    assert_eq!(number(&answer, 0), 1012);
    let state: ServerStateDesc = field(&answer, 4).unwrap().unwrap();
    assert_eq!(
        state.present_state_in_reg, "active",
        "what the tables say is there"
    );
    assert_eq!(state.present_state_in_node, "");
    for function in [
        "startServer",
        "restartServer",
        "loadServer",
        "getPatchPercent",
    ] {
        let answer = admin(&up, function, server.clone(), &ON);
        assert_eq!(number(&answer, 0), 1012, "{function}");
    }
    assert_eq!(
        number(&admin(&up, "shutdownNode", texts(&[&name]), &ON), 0),
        1012
    );
    let notify = texts(&["tars", "tarsstat", &name, "tars.viewversion"]);
    assert_eq!(number(&admin(&up, "notifyServer", notify, &ON), 0), 1012);

    // A stop that failed keeps the server down all the same.
    assert_eq!(number(&admin(&up, "stopServer", server, &ON), 0), 1012);
    let rows = up.tables().servers().unwrap();
    let row = rows
        .iter()
        .find(|row| row.server_name == "tarsstat")
        .unwrap();
    assert_eq!(row.setting_state, "inactive");
    // The list of the long connections does not lie.
    let answer = admin(
        &up,
        "getNodeList",
        body(|w| w.put(1, &vec![name.clone()])),
        &[],
    );
    let seen: tarsops_wire::codec::Pairs<String, String> = field(&answer, 2).unwrap().unwrap();
    assert_eq!(seen.get(name.as_str()).map(String::as_str), Some(""));
    // The version is that of the row.
    let answer = admin(&up, "getNodeVesion", texts(&[&name]), &[]);
    assert_eq!(word(&answer, 2), "3.0.17");
}

#[test]
fn a_node_without_an_active_row_is_refused_at_once() {
    let up = Up::with_framework(1);
    let server = texts(&["tars", "tarsstat", "10.9.9.9"]);
    let answer = admin(&up, "pingNode", texts(&["10.9.9.9"]), &[]);
    assert_eq!(number(&answer, 0), 0);
    assert!(
        word(&answer, 2).contains("not registered"),
        "{}",
        word(&answer, 2)
    );
    let answer = admin(&up, "startServer", server.clone(), &[]);
    assert_eq!(
        (number(&answer, 0), word(&answer, 4)),
        (1001, String::new())
    );
    let answer = admin(&up, "getServerState", server, &[]);
    assert_eq!(number(&answer, 0), 1003);
    assert_eq!(word(&answer, 5), " 'tars.tarsstat_10.9.9.9' no config");
    let answer = admin(&up, "getNodeVesion", texts(&["10.9.9.9"]), &[]);
    assert_eq!((number(&answer, 0), word(&answer, 2)), (-1, String::new()));
}

#[test]
fn a_database_that_is_down_looks_like_an_empty_one() {
    let up = Up::with_framework(1);
    let name = up.host(0).name.clone();
    ghost(&up, &name);
    let names = || {
        let answer = admin(&up, "getAllNodeNames", Vec::new(), &[]);
        assert_eq!(word(&answer, 1), "");
        field::<Vec<String>>(&answer, 0).unwrap().unwrap()
    };
    assert_eq!(names(), std::slice::from_ref(&name));

    let tarsops_standin::store::Database::File(path) = &up.framework().database else {
        panic!("the tables are in MySQL");
    };
    let aside = path.with_extension("aside");
    std::fs::rename(path, &aside).unwrap();
    assert!(names().is_empty(), "no names, and no error");
    let server = texts(&["tars", "tarsstat", &name]);
    let answer = admin(&up, "getServerState", server.clone(), &ON);
    assert_eq!(number(&answer, 0), 1003);
    assert!(word(&answer, 5).ends_with("no config"));
    let answer = admin(&up, "pingNode", texts(&[&name]), &ON);
    assert_eq!(number(&answer, 0), 0);
    assert_eq!(number(&admin(&up, "getServers", Vec::new(), &[]), 0), -1);
    let answer = admin(&up, "hasServer", texts(&["tars", "tarsstat"]), &[]);
    assert_eq!(number(&answer, 0), -1);

    // The registry continues from what it remembers; nodes hear that all is well.
    std::thread::sleep(Duration::from_millis(600));
    let find = || {
        let answer = Line::to(up.framework().query)
            .call(
                QUERY,
                "findObjectById",
                texts(&["tars.tarslog.LogObj"]),
                &[],
            )
            .unwrap();
        field::<Vec<EndpointF>>(&answer, 0).unwrap().unwrap()
    };
    assert_eq!(find().len(), 1);
    let registry = |function: &str, arguments: Vec<u8>| {
        let mut line = Line::to(up.framework().registry);
        number(&line.call(REGISTRY, function, arguments, &[]).unwrap(), 0)
    };
    let load = |w: &mut tarsops_wire::Writer, tag: u8| {
        w.structure(tag, |w| (0..3).for_each(|tag| w.float(tag, 1.0)));
    };
    let keep = body(|w| {
        w.put(1, &name);
        load(w, 2);
    });
    assert_eq!(registry("keepAlive", keep), 0);
    let register = body(|w| {
        w.put(1, &name);
        w.structure(2, |w| {
            (0..3).for_each(|tag| w.put(tag, ""));
            (3..5).for_each(|tag| w.put(tag, &0));
            w.put(5, "/data");
        });
        load(w, 3);
    });
    assert_eq!(registry("registerNode", register.clone()), 2);

    std::fs::rename(&aside, path).unwrap();
    eventually("the names again", || names() == std::slice::from_ref(&name));
    assert_eq!(registry("registerNode", register), 0);
}

#[test]
fn a_restart_mostly_loses_against_itself() {
    let up = Up::with_framework(1);
    let name = up.host(0).name.clone();
    up.install(0, "3.0.17", &format!("tcp -h {} -p 17890", up.host(0).ip));
    up.script(0, "start.sh");
    let server = texts(&["tars", "tarsstat", &name]);
    let state = || {
        let answer = admin(&up, "getServerState", server.clone(), &ON);
        let state: Option<ServerStateDesc> = field(&answer, 4).unwrap();
        state.unwrap_or_default()
    };
    eventually("running", || state().present_state_in_node == "Active");
    let mut numbers = Vec::new();
    for _ in 0..4 {
        let before = state().process_id;
        let answer = admin(&up, "restartServer", server.clone(), &ON);
        numbers.push(number(&answer, 0));
        // Whatever it says, the server stops and, since it should run, comes back.
        eventually("another process", || {
            let now = state();
            now.present_state_in_node == "Active" && now.process_id != before
        });
        assert_eq!(state().setting_state_in_reg, "active");
    }
    assert!(numbers.iter().all(|n| [0, 1003].contains(n)), "{numbers:?}");
}

#[test]
fn rows_are_written_once_and_templates_are_merged() {
    let up = Up::with_framework(1);
    let conf = |replace: bool| {
        body(|w| {
            w.structure(1, |w| {
                let words = [
                    "Demo",
                    "HelloServer",
                    "10.0.0.7",
                    "",
                    "",
                    "active",
                    "tars.cpp",
                ];
                for (tag, text) in (0u8..).zip(words) {
                    w.put(tag, text);
                }
                w.put(7, "tars_cpp");
            });
            w.put(2, &replace);
        })
    };
    let insert = |replace| number(&admin(&up, "insertServerConf", conf(replace), &[]), 0);
    assert_eq!(insert(false), 0);
    assert_eq!(insert(false), -1, "it is there");
    assert_eq!(insert(true), 0);
    let has = |server: &str| {
        let answer = admin(&up, "hasServer", texts(&["Demo", server]), &[]);
        (number(&answer, 0), field::<bool>(&answer, 3).unwrap())
    };
    assert_eq!(has("HelloServer"), (0, Some(true)));
    assert_eq!(has("Nobody"), (0, Some(false)));

    let answer = admin(&up, "getProfileTemplate", texts(&["tars.tarsnode"]), &[]);
    assert_eq!(word(&answer, 3), "(tars.default:OK)(tars.tarsnode:OK)");
    assert!(word(&answer, 2).contains("registryObj") && word(&answer, 2).contains("${locator}"));
    let answer = admin(&up, "getProfileTemplate", texts(&["tars.nothing"]), &[]);
    assert_eq!(word(&answer, 3), "(tars.nothing:template not found)");
}
