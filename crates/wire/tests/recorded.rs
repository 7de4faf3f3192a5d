//! Conversations of a real cluster (framework 3.0.17): every message is read, and written again to
//! the same bytes. `fixtures/wire` always; a folder of further recordings, whose files have lines
//! `req: HEX` and `rsp: HEX`, with `TARSOPS_WIRE_DIR`.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests read recordings"
)]

use std::path::{Path, PathBuf};

use tarsops_wire::interface::{EndpointF, ServerStateDesc, field};
use tarsops_wire::packet::{Request, Response, code, take_frame};
use tarsops_wire::{Fields, Writer};

fn bytes(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
        .collect()
}

fn messages(path: &Path) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let all = |word: &str| {
        let lines = text.lines().filter_map(|l| l.strip_prefix(word));
        lines.map(bytes).filter(|b| !b.is_empty()).collect()
    };
    (all("req: "), all("rsp: "))
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

/// How many messages the folder holds.
fn check(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|e| e == "txt" || e == "hex") {
            continue;
        }
        let (requests, responses) = messages(&path);
        for raw in requests {
            let (frame, rest) = take_frame(&raw, 1 << 24).unwrap().unwrap();
            assert!(rest.is_empty(), "{}", path.display());
            assert_eq!(again(frame), frame, "{}", path.display());
            let request = Request::from_frame(frame).unwrap();
            assert_eq!(request.to_frame().unwrap(), raw, "{}", path.display());
            assert_eq!(again(&request.arguments.0), request.arguments.0);
            count += 1;
        }
        for raw in responses {
            let (frame, rest) = take_frame(&raw, 1 << 24).unwrap().unwrap();
            assert!(rest.is_empty(), "{}", path.display());
            assert_eq!(again(frame), frame, "{}", path.display());
            let response = Response::from_frame(frame).unwrap();
            assert_eq!(response.to_frame().unwrap(), raw, "{}", path.display());
            assert_eq!(again(&response.body.0), response.body.0);
            count += 1;
        }
    }
    count
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire")
}

fn answer(name: &str) -> Response {
    let (_, responses) = messages(&fixtures().join(name));
    Response::from_frame(&responses[0][4..]).unwrap()
}

#[test]
fn every_message_survives_to_the_byte() {
    let count = check(&fixtures());
    assert!(count >= 60, "{count} messages only");
    if let Some(more) = std::env::var_os("TARSOPS_WIRE_DIR") {
        let count = check(Path::new(&more));
        println!("{count} messages in {}", Path::new(&more).display());
        assert!(count > 0, "TARSOPS_WIRE_DIR holds no recordings");
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
