//! What a real console (TarsWeb 3.0.15) was asked, asked again: the stand-in answers the recorded
//! requests of `fixtures/web` with the recorded answers where nothing depends on time or place, and
//! with answers of the same shape elsewhere: the same keys in the same order, values of the same kind.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

mod common;
#[path = "common/web.rs"]
mod web;

use std::path::Path;

use common::eventually;
use serde_json::Value;
use tarsops_standin::standin::lies::Lie;
use web::{Came, Web, send};

/// One recorded exchange.
struct Exchange {
    method: String,
    target: String,
    sent: String,
    status: u16,
    headers: Vec<String>,
    body: String,
}

fn exchange(name: &str) -> Exchange {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/web/exchanges.txt");
    let all = std::fs::read_to_string(file).unwrap();
    let (_, rest) = all.split_once(&format!("\n== {name}\n")).unwrap();
    let (head, body) = rest
        .split("\n== ")
        .next()
        .unwrap()
        .split_once("\n\n")
        .unwrap();
    let mut lines = head.lines();
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let mut next = lines.next().unwrap();
    let mut sent = "";
    if next.parse::<u16>().is_err() {
        (sent, next) = (next, lines.next().unwrap());
    }
    Exchange {
        method: method.into(),
        target: target.into(),
        sent: sent.into(),
        status: next.parse().unwrap(),
        headers: lines.map(str::to_lowercase).collect(),
        body: body.trim_end().into(),
    }
}

/// Values as their kinds; of a list what stands first. What is null is a text that is missing.
fn shape(value: &Value) -> String {
    let is = |text: &str, form: &str| {
        text.len() == form.len()
            && text.chars().zip(form.chars()).all(|(c, f)| match f {
                '0' => c.is_ascii_digit(),
                f => c == f,
            })
    };
    match value {
        Value::Object(object) => {
            let pairs: Vec<String> = object
                .iter()
                .map(|(k, v)| format!("{k}:{}", shape(v)))
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(list) => format!("[{}]", list.first().map(shape).unwrap_or_default()),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(text) if is(text, "0000-00-00 00:00:00") => "time".into(),
        Value::String(text) if is(text, "0000-00-00T00:00:00.000Z") => "zulu".into(),
        Value::String(_) | Value::Null => "text".into(),
    }
}

/// The line of a page that says most.
fn code(page: &str) -> &str {
    let (_, code) = page.split_once("<code>").unwrap();
    code.lines().find(|line| !line.trim().is_empty()).unwrap()
}

/// How closely an answer is compared.
enum Like {
    Same,
    Shape,
    Page,
}

struct Replay<'a> {
    web: &'a Web,
    /// What is called otherwise here, in requests and in answers.
    names: Vec<(String, String)>,
}

impl Replay<'_> {
    fn here(&self, text: &str) -> String {
        let names = self.names.iter();
        names.fold(text.to_owned(), |text, (there, here)| {
            text.replace(there, here)
        })
    }

    /// Ask as it was recorded, with the ticket, in English.
    fn ask(&self, e: &Exchange) -> Came {
        let joint = if e.target.contains('?') { '&' } else { '?' };
        let target = format!("{}{joint}__locale=en", self.here(&e.target));
        self.web.ask(&e.method, &target, &self.here(&e.sent))
    }

    fn compare(&self, name: &str, e: &Exchange, came: &Came, like: Like) {
        assert_eq!(came.status, e.status, "{name}: {}", came.body);
        for header in &e.headers {
            let header = match header.split_once('=') {
                // A cookie's time is now.
                Some((start, _)) if header.starts_with("set-cookie: ticket") => start,
                _ => header,
            };
            assert!(came.head.contains(header), "{name}: {}", came.head);
        }
        match like {
            Like::Same => assert_eq!(came.body, self.here(&e.body), "{name}"),
            Like::Page => assert_eq!(code(&came.body), code(&e.body), "{name}"),
            Like::Shape => {
                let here: Value = serde_json::from_str(&came.body).unwrap();
                let there: Value = serde_json::from_str(&e.body).unwrap();
                assert_eq!(shape(&here), shape(&there), "{name}: {}", came.body);
            }
        }
    }

    fn replay(&self, name: &str, like: Like) -> Came {
        let e = exchange(name);
        let came = self.ask(&e);
        self.compare(name, &e, &came, like);
        came
    }

    /// An answer that is the recorded one to the last letter.
    fn same(&self, name: &str) {
        self.replay(name, Like::Same);
    }

    fn shape(&self, name: &str) -> Value {
        let came = self.replay(name, Like::Shape);
        serde_json::from_str::<Value>(&came.body).unwrap()["data"].take()
    }
}

/// An upload: its fields, the name of the file's field, the file.
fn form(web: &Web, fields: &[(&str, &str)], file: (&str, &[u8]), ticket: bool) -> Came {
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
                .bytes(),
        );
    }
    let (name, bytes) = file;
    body.extend(format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x.tgz\"\r\nContent-Type: application/x-compressed-tar\r\n\r\n").bytes());
    body.extend(bytes);
    body.extend(b"\r\n--xyz--\r\n");
    let target = match ticket {
        true => format!(
            "/api/upload_patch_package?__locale=en&ticket={}",
            web.console().ticket()
        ),
        false => "/api/upload_patch_package".into(),
    };
    let kind = "Content-Type: multipart/form-data; boundary=xyz\r\n";
    send(web.console().address(), ("POST", &target), kind, &body)
}

#[test]
fn the_recorded_console_answers() {
    let web = Web::new(|options| options.patience_ms = 1000);
    let id = |server: &str, node: usize| {
        let target = format!("/api/server_nodes?application=tars&server_name={server}");
        let answer: Value = serde_json::from_str(&web.ask("GET", &target, "").body).unwrap();
        let rows = answer["data"].as_array().unwrap();
        let name = web.up.host(node).name.as_str();
        let row = rows.iter().find(|row| row["node_name"] == name);
        row.map(|row| row["id"].to_string()).unwrap_or_default()
    };
    let mut replay = Replay {
        web: &web,
        names: vec![
            ("192.0.2.1".into(), web.up.host(0).name.clone()),
            ("192.0.2.2".into(), web.up.host(1).name.clone()),
        ],
    };
    eventually("running", || {
        let came = replay.ask(&exchange("server_state"));
        came.body.contains("\"present_state_in_node\":\"Active\"")
    });
    replay.same("web_version");
    for name in [
        "server_nodes_unknown",
        "server_exist_no",
        "server_exist_before_deploy",
    ] {
        replay.same(name);
    }
    replay.shape("server_nodes");
    replay.shape("server_state");
    replay
        .names
        .push(("id=6".into(), format!("id={}", id("tarsregistry", 0))));
    replay.shape("adapter_conf_list");

    // A server comes.
    replay.shape("deploy_server");
    replay.same("server_exist_after_deploy");
    let server = id("tarslog", 1);
    replay
        .names
        .push(("\"id\":18,".into(), format!("\"id\":{server},")));
    replay.same("update_server_partial");
    replay.shape("update_server");

    // A package comes.
    let bytes = b"not an archive";
    let md5 = format!("{:x}", md5::compute(bytes));
    let of = [("application", "tars"), ("module_name", "tarsquerystat")];
    let with = |md5: &'static str| [of[0], of[1], ("md5", md5)];
    let md5: &'static str = md5.leak();
    let upload = |name: &str, came: &Came, like: Like| {
        replay.compare(name, &exchange(name), came, like);
    };
    let came = form(&web, &with(md5), ("suse", bytes), true);
    upload("upload", &came, Like::Shape);
    let answer: Value = serde_json::from_str(&came.body).unwrap();
    let package = answer["data"]["id"].to_string();
    let wrong = form(&web, &with("00"), ("suse", bytes), true);
    upload("upload_wrong_md5", &wrong, Like::Same);
    let wrong = form(&web, &of, ("other", bytes), true);
    upload("upload_wrong_field", &wrong, Like::Page);
    let large = vec![0; (100 << 20) + 1];
    let wrong = form(&web, &of, ("suse", &large), true);
    upload("upload_too_large", &wrong, Like::Page);
    let wrong = form(&web, &of, ("suse", bytes), false);
    upload("upload_no_ticket", &wrong, Like::Same);
    let empty = form(&web, &of, ("suse", b""), true);
    upload("upload", &empty, Like::Shape);
    replay.shape("server_patch_list");
    replay
        .names
        .push(("\"id\":16,".into(), format!("\"id\":{package},")));
    replay.same("set_default");
    replay.same("set_default_unknown");

    // It is published, in vain.
    let querystat = id("tarsquerystat", 0);
    replay.names.push((
        "\"server_id\":10,".into(),
        format!("\"server_id\":{querystat},"),
    ));
    replay.names.push((
        "\"patch_id\":15,".into(),
        format!("\"patch_id\":{package},"),
    ));
    let number = replay.shape("add_task");
    replay.names.push((
        "40de205e90274fcaa231c62f443ca85d".into(),
        number.as_str().unwrap().into(),
    ));
    replay.shape_of_task();
    eventually("the end", || {
        replay
            .ask(&exchange("task_running"))
            .body
            .contains("\"status\":4,\"status_info\":\"EM_I_FAILED\"")
    });
    let ended = replay.ask(&exchange("task_running"));
    replay.compare("noexec_3", &exchange("noexec_3"), &ended, Like::Shape);
    eventually("a report", || {
        !replay
            .ask(&exchange("notify_list"))
            .body
            .contains("\"count\":0")
    });
    replay.shape("notify_list");
    for name in ["add_task_unknown_server", "task_unknown"] {
        replay.same(name);
    }
    replay
        .names
        .push(("{\"id\":18}".into(), format!("{{\"id\":{package}}}")));
    replay.same("delete");

    // Nodes and templates.
    replay.shape("nodes");
    replay.same("check_node");
    replay.shape("template");
    let lies = |all: &[Lie]| web.tell(all);
    lies(&[Lie::AdminSilent]);
    replay.shape("nodes_admin_down");
    replay.same("check_node_silent");
    replay.replay("web_version_admin_down", Like::Page);
    let kept = form(&web, &of, ("suse", b"x"), true);
    let answer: Value = serde_json::from_str(&kept.body).unwrap();
    replay.names.push((
        "{\"id\":17}".into(),
        format!("{{\"id\":{}}}", answer["data"]["id"]),
    ));
    replay.same("delete_admin_hung");
    replay
        .names
        .push((web.up.host(1).name.clone(), "192.0.2.9".into()));
    replay.same("server_state_dead");
    lies(&[]);
    replay.same("server_state_dead");

    // Whoever may not ask, or asks for nothing.
    for name in ["not_found", "method_not_allowed", "redirect"] {
        replay.same(name);
    }
    replay.replay("bad_json", Like::Page);
    for (name, header) in [
        ("no_ticket", ""),
        ("ticket_unknown", ""),
        ("no_ticket_in_english", "Cookie: locale=en\r\n"),
    ] {
        let e = exchange(name);
        let came = web.ask_bare(&e.method, &e.target, header);
        replay.compare(name, &e, &came, Like::Same);
    }
    let came = web.ask_bare("GET", "/api/get_login_uid?ticket=nonsense", "");
    replay.compare(
        "ticket_unknown",
        &exchange("ticket_unknown"),
        &came,
        Like::Same,
    );

    // What nobody recorded for this: a body that is too large, and a queue without a length.
    let large = format!("{{\"application\":\"{}\"}}", "x".repeat(2 << 20));
    let came = web.ask("POST", "/api/server_exist", &large);
    assert_eq!(came.status, 413);
    assert!(came.head.contains("content-type: text/html"));
    let e = exchange("deploy_server");
    let sent = e
        .sent
        .replace("\"queuecap\":50000,", "")
        .replace("tarslog", "other");
    let came = web.ask("POST", "/api/deploy_server?__locale=en", &sent);
    assert!(
        came.body.contains("\"err_msg\":\"system error\""),
        "{}",
        came.body
    );
    assert_eq!(id("other", 1), "", "nothing of it was written");
    let came = web.ask(
        "POST",
        "/api/server_exist",
        "{\"application\":\"tars\",\"server_name\":\"tarslog\",\"node_names\":\"x127.0.0.0\"}",
    );
    assert!(came.body.contains("\"data\":false"), "{}", came.body);
    let names = format!("and {} too", web.up.host(0).name);
    let sent = format!(
        "{{\"application\":\"tars\",\"server_name\":\"tarslog\",\"node_names\":\"{names}\"}}"
    );
    let came = web.ask("POST", "/api/server_exist", &sent);
    assert!(
        came.body.contains("\"data\":true"),
        "a part of a text: {}",
        came.body
    );
}

impl Replay<'_> {
    /// A task on its way.
    fn shape_of_task(&self) {
        let e = exchange("task_running");
        let came = self.ask(&e);
        let here: Value = serde_json::from_str(&came.body).unwrap();
        let there: Value = serde_json::from_str(&e.body).unwrap();
        // Times that are not there yet, or there already, are of another kind.
        let keys = |value: &Value| shape(value).replace(":time", ":text");
        assert_eq!(keys(&here), keys(&there), "{}", came.body);
    }
}
