//! What `check` says of the management platform.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, Mutex};

const TICKET: &str = "made-up-ticket";
const STRANGER: &str = r#"{"data":{},"ret_code":500,"err_msg":"You have not been login"}"#;
const ROWS: &str = r#"{"data":[],"ret_code":200,"err_msg":""}"#;

/// A console that lets in whom `lets_in` says, by the head of the request.
fn console(lets_in: fn(&str) -> bool) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    // It ends with the test.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            for line in BufReader::new(&stream).lines() {
                let line = line.unwrap();
                if line.is_empty() {
                    break;
                }
                head.push_str(&line.to_lowercase());
                head.push('\n');
            }
            let body = if head.starts_with("get /web_version ") {
                r#"{"webVersion":"3.0.15","frameworkVersion":"3.0.17"}"#
            } else if lets_in(&head) {
                ROWS
            } else {
                STRANGER
            };
            kept.lock().unwrap().push(head);
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (url, heads)
}

/// What the platform itself answers; the other lines about it are of its host.
const ANSWERS: [&str; 3] = ["console", "console-ticket", "console-open"];

/// The lines of the console in the table of `check`: name, result, text.
fn told(web: Option<&str>) -> Vec<(String, String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let specs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/specs");
    let mut spec = std::fs::read_to_string(specs.join("silent.yaml")).unwrap();
    if let Some(url) = web {
        spec.push_str(&format!(
            "web: {{url: \"{url}\", ticket: {{env: CONSOLE_TICKET}}}}\n"
        ));
    }
    std::fs::write(folder.path().join("cluster.yaml"), spec).unwrap();
    std::fs::copy(specs.join("known_hosts"), folder.path().join("known_hosts")).unwrap();
    let out = Command::new(super::PROGRAM)
        .args(["check", "--json"])
        .current_dir(folder.path())
        .env("CONSOLE_TICKET", TICKET)
        .env("XDG_STATE_HOME", folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let all = text.clone() + &String::from_utf8_lossy(&out.stderr);
    assert!(!all.contains(TICKET), "{all}");
    let table: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{all}"));
    let word = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_owned();
    table["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| ANSWERS.contains(&word(c, "check").as_str()))
        .map(|c| (word(c, "check"), word(c, "result"), word(c, "text")))
        .collect()
}

fn results(lines: &[(String, String, String)]) -> Vec<(&str, &str)> {
    lines.iter().map(|l| (l.0.as_str(), l.1.as_str())).collect()
}

#[test]
fn a_healthy_console_is_reported_ok() {
    let (url, heads) = console(|head| head.contains("ticket=made-up-ticket"));
    let lines = told(Some(&url));
    assert_eq!(
        results(&lines),
        [
            ("console", "ok"),
            ("console-ticket", "ok"),
            ("console-open", "ok")
        ]
    );
    assert_eq!(
        lines[0].2,
        format!("{url} answers: TarsWeb 3.0.15, framework 3.0.17")
    );
    // Who knocks at a door does not show the ticket there.
    let heads = heads.lock().unwrap();
    let knocks: Vec<&String> = heads
        .iter()
        .filter(|h| h.contains("x-forwarded-for") || h.contains("ticket=undefined"))
        .collect();
    assert_eq!(knocks.len(), 2, "{heads:?}");
    assert!(knocks.iter().all(|h| !h.contains(TICKET)), "{knocks:?}");
    assert!(heads.iter().all(|h| h.starts_with("get ")), "{heads:?}");
}

#[test]
fn an_open_door_is_a_warning_that_names_it() {
    let (url, _) = console(|h| h.contains(TICKET) || h.contains("x-forwarded-for: 127.0.0.1"));
    let lines = told(Some(&url));
    assert_eq!(results(&lines)[2], ("console-open", "warning"));
    assert!(lines[2].2.contains("X-Forwarded-For"), "{lines:?}");
    assert!(!lines[2].2.contains("undefined"), "{lines:?}");
}

#[test]
fn a_ticket_that_is_not_taken_is_drift_with_its_cure() {
    let (url, _) = console(|_| false);
    let lines = told(Some(&url));
    assert_eq!(
        results(&lines),
        [
            ("console", "ok"),
            ("console-ticket", "drift"),
            ("console-open", "ok")
        ]
    );
    assert!(lines[1].2.contains("web.ticket"), "{lines:?}");
}

/// Then its answer to the ticket proves nothing.
#[test]
fn a_console_that_lets_this_machine_in_anyway_says_nothing_of_the_ticket() {
    let (url, _) = console(|_| true);
    let lines = told(Some(&url));
    assert_eq!(
        results(&lines),
        [
            ("console", "ok"),
            ("console-ticket", "unknown"),
            ("console-open", "warning")
        ]
    );
}

#[test]
fn a_console_that_is_down_or_not_named_is_not_called_well() {
    // Held, so that nobody else comes to listen there.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    let down = told(Some(&url));
    assert!(
        down.iter()
            .all(|l| l.1 == "unknown" && l.2.contains("refuses")),
        "{down:?}"
    );
    let none = told(None);
    assert!(none.iter().all(|l| l.1 == "skipped"), "{none:?}");
    assert_eq!((down.len(), none.len()), (3, 3));
}
