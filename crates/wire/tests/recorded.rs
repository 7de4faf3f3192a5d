//! Conversations of a real cluster (framework 3.0.17): every message is read, and written again to
//! the same bytes. They are in `fixtures/wire`; `TARSOPS_WIRE_DIR` can name a folder of more. Files have
//! lines `req: HEX` and `rsp: HEX`, or, where a whole conversation was listened to, `hex=HEX`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests read recordings"
)]

use std::path::{Path, PathBuf};

use tarsops_wire::interface::{EndpointF, ServerStateDesc, field};
use tarsops_wire::packet::{Request, Response, code, take_frame};
use tarsops_wire::{Fields, Value, Writer};

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

/// Requests, answers, and what a conversation has, in which each message says itself what it is.
fn messages(path: &Path) -> [Vec<Vec<u8>>; 3] {
    let text = std::fs::read_to_string(path).unwrap();
    ["req: ", "rsp: ", "hex="].map(|word| {
        let lines = text
            .lines()
            .filter_map(|l| l.trim_start().strip_prefix(word));
        // A listener cuts what is long, and says so by dots.
        let whole = lines.filter(|l| !l.contains("..."));
        whole.map(bytes).filter(|b| !b.is_empty()).collect()
    })
}

/// Field by field, whatever they are.
fn again(message: &[u8]) -> Vec<u8> {
    let mut fields = Fields::new(message).unwrap();
    let mut writer = Writer::new();
    while let Some((tag, value)) = fields.advance().unwrap() {
        writer.value(tag, value).unwrap();
    }
    writer.finish()
}

/// The frame of a message that is one, to the byte.
fn frame<'a>(raw: &'a [u8], path: &Path) -> &'a [u8] {
    let (frame, rest) = take_frame(raw, 1 << 24).unwrap().unwrap();
    assert!(rest.is_empty(), "{}", path.display());
    assert_eq!(again(frame), frame, "{}", path.display());
    frame
}

fn check_request(raw: &[u8], path: &Path) {
    let request = Request::from_frame(frame(raw, path)).unwrap();
    assert_eq!(request.to_frame().unwrap(), raw, "{}", path.display());
    assert_eq!(again(&request.arguments.0), request.arguments.0);
}

fn check_response(raw: &[u8], path: &Path) {
    let response = Response::from_frame(frame(raw, path)).unwrap();
    assert_eq!(response.to_frame().unwrap(), raw, "{}", path.display());
    // A pushed message and some errors carry no body.
    if !response.body.0.is_empty() {
        assert_eq!(again(&response.body.0), response.body.0);
    }
}

/// How many messages the folder holds.
fn check(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|e| e == "txt" || e == "hex") {
            continue;
        }
        let [requests, responses, conversation] = messages(&path);
        requests.iter().for_each(|raw| check_request(raw, &path));
        responses.iter().for_each(|raw| check_response(raw, &path));
        for raw in &conversation {
            // Field 5 is a call's servant, which is a text, and an answer's result, which is none.
            let called = Fields::new(frame(raw, &path)).unwrap().find(5).unwrap();
            if matches!(called, Some(Value::Text(_))) {
                check_request(raw, &path);
            } else {
                check_response(raw, &path);
            }
        }
        count += requests.len() + responses.len() + conversation.len();
    }
    count
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire")
}

fn answer(name: &str) -> Response {
    let [_, responses, _] = messages(&fixtures().join(name));
    Response::from_frame(&responses[0][4..]).unwrap()
}

#[test]
fn every_message_survives_to_the_byte() {
    let count = check(&fixtures());
    assert!(count >= 60, "{count} messages only");
    println!("{count} messages in fixtures/wire");
    match std::env::var_os("TARSOPS_WIRE_DIR").map(PathBuf::from) {
        Some(folder) => {
            let count = check(&folder);
            println!("{count} messages in {}", folder.display());
            assert!(count > 0, "{} holds no recordings", folder.display());
        }
        None => println!("no further recordings: TARSOPS_WIRE_DIR names a folder of them"),
    }
}

#[test]
fn answers_mean_what_the_recording_says() {
    let found: Vec<EndpointF> = field(&answer("01-query-findObjectById.txt"), 0)
        .unwrap()
        .unwrap();
    let [endpoint] = found.as_slice() else {
        panic!("{found:?}")
    };
    let seen = (
        endpoint.host.as_str(),
        endpoint.port,
        endpoint.timeout,
        endpoint.istcp,
    );
    assert_eq!(seen, ("10.77.0.1", 18193, 60_000, 1));
    assert_eq!((endpoint.groupworkid, endpoint.weight), (-1, -1));
    assert_eq!(endpoint.node_name, "10.77.0.1");

    let version = answer("10-admin-getVersion.txt");
    assert_eq!(version.ret, code::SUCCESS);
    assert_eq!(
        field::<String>(&version, 1).unwrap().as_deref(),
        Some("3.0.17")
    );

    assert_eq!(
        answer("41-node-ServerObj-getStateInfo-nofunc.txt").ret,
        code::NO_FUNCTION
    );
    assert_eq!(answer("42-wrong-servant.txt").ret, code::NO_SERVANT);

    let state: ServerStateDesc = field(&answer("16-admin-getServerState.txt"), 4)
        .unwrap()
        .unwrap();
    assert_eq!(state.setting_state_in_reg, "active");
}
