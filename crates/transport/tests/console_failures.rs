//! The console's client where things go wrong: what is told, what is asked again, and where the
//! ticket does not go.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::time::{Duration, Instant};

use support::server::in_time;
use support::web::{ENCODED, Reply, TICKET, Web, certified, client, task};
use tarsops_transport::console::{
    Console, ConsoleError, DeployForm, MAX_ANSWER, ServerRow, ServerUpdate, Upload,
};
use tarsops_transport::mysql::Secret;

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(30);

/// Asks something that only reads.
async fn read(replies: Vec<Reply>) -> (Web, Result<Vec<ServerRow>, ConsoleError>) {
    let web = Web::start(replies).await;
    let answer = client(&web.url, LONG)
        .server_nodes("tars", "tarsstat")
        .await;
    (web, answer)
}

async fn failed(reply: Reply) -> ConsoleError {
    read(vec![reply]).await.1.unwrap_err()
}

fn empty() -> Reply {
    Reply::json(r#"{"data":[],"ret_code":200,"err_msg":""}"#)
}

#[tokio::test]
async fn who_is_not_logged_in_is_told_so_in_each_language_and_for_each_cause() {
    for name in [
        "no_ticket",
        "no_ticket_in_english",
        "ticket_unknown",
        "ticket_tampered",
        "ticket_revoked",
    ] {
        let error = failed(Reply::recorded(name)).await;
        assert!(
            matches!(
                &error,
                ConsoleError::NotLoggedIn {
                    call: "server_nodes",
                    ..
                }
            ),
            "{name}: {error:?}"
        );
        assert!(error.is_sure_that_nothing_happened());
    }
}

#[tokio::test]
async fn pages_bare_texts_and_half_answers_are_told_apart() {
    for (name, says) in [
        (
            "bad_json",
            "status 400: SyntaxError: Unexpected end of JSON input",
        ),
        ("not_found", "status 404: Not Found"),
        ("method_not_allowed", "status 200: Method Not Allowed"),
        ("redirect", "redirection to http://127.0.0.1:"),
        ("garbled", "cannot be read: EOF while parsing"),
        ("err_msg_is_an_object", "ret_code 500: (no message)"),
    ] {
        let said = failed(Reply::recorded(name)).await.to_string();
        assert!(said.contains(says), "{name}: {said}");
    }
    for (body, says) in [
        (r#"{"ret_code":500}"#, "ret_code 500: (no message)"),
        (
            r#"{"ret_code":500,"err_msg":null,"data":{}}"#,
            "ret_code 500: (no message)",
        ),
        (
            r#"{"ret_code":403,"err_msg":{"code":7}}"#,
            r#"ret_code 403: {"code":7}"#,
        ),
        (r#"{"ret_code":200,"err_msg":""}"#, "it has no data"),
        (r#"{"data":[]}"#, "it has no ret_code"),
        ("[]", "it has no ret_code"),
        ("", "EOF while parsing"),
        (
            r#"{"ret_code":200,"data":{}}"#,
            "invalid type: map, expected a sequence",
        ),
    ] {
        let said = failed(Reply::json(body)).await.to_string();
        assert!(said.contains(says), "{body}: {said}");
    }
}

#[tokio::test]
async fn success_needs_no_err_msg() {
    let (_web, answer) = read(vec![Reply::json(r#"{"data":[],"ret_code":200}"#)]).await;
    assert_eq!(answer.unwrap(), []);
}

#[tokio::test]
async fn an_answer_without_end_is_not_taken() {
    let long = vec![b' '; MAX_ANSWER + 1];
    let error = failed(Reply::of(200, &["Content-Type: application/json"], &long)).await;
    assert!(
        error.to_string().contains("longer than 16777216 bytes"),
        "{error}"
    );
    // One that is as long as is taken is read.
    let mut fits = br#"{"data":[],"ret_code":200}"#.to_vec();
    fits.resize(MAX_ANSWER, b' ');
    let reply = Reply::of(200, &["Content-Type: application/json"], &fits);
    assert_eq!(read(vec![reply]).await.1.unwrap(), []);
}

#[tokio::test]
async fn a_console_that_says_nothing_is_no_answer_in_time() {
    let web = Web::start(vec![Reply::Silence]).await;
    let began = Instant::now();
    let error = in_time(10 * SHORT, client(&web.url, SHORT).web_version()).await;
    let error = error.unwrap_err();
    assert!(began.elapsed() >= SHORT);
    assert!(
        matches!(&error, ConsoleError::NoAnswer { call: "web_version", waited, .. } if *waited == SHORT)
    );
    assert_eq!(
        error.to_string(),
        format!("{} gave no answer to web_version within 0.3 s", web.url)
    );
    assert_eq!(web.requests().len(), 1);
    let error = client(&web.url, SHORT).add_task(&task()).await.unwrap_err();
    assert!(!error.is_sure_that_nothing_happened());
}

/// The head of an answer that comes in parts.
const PARTS: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn an_answer_that_drips_ends_in_time() {
    let drip = Duration::from_millis(20);
    // In its head, and in its body.
    for (head, part) in [
        (&b"HTTP/1.1 200 OK\r\nX: "[..], &b"y"[..]),
        (PARTS, b"1\r\n \r\n"),
    ] {
        let reply = Reply::Endless(head.to_vec(), part.to_vec(), drip);
        let web = Web::start(vec![reply]).await;
        let began = Instant::now();
        let error = in_time(10 * SHORT, client(&web.url, SHORT).web_version()).await;
        let error = error.unwrap_err();
        assert!(matches!(error, ConsoleError::NoAnswer { .. }), "{error:?}");
        assert!(began.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn an_answer_in_parts_without_end_is_not_taken() {
    let part = [&b"10000\r\n"[..], &[b' '; 1 << 16], b"\r\n"].concat();
    let error = failed(Reply::Endless(PARTS.to_vec(), part, Duration::ZERO)).await;
    assert!(
        error.to_string().contains("longer than 16777216 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refused_connection_is_tried_thrice_for_a_read() {
    // Held, so that nobody else comes to listen there.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", held.local_addr().unwrap());
    let began = Instant::now();
    let error = client(&url, LONG).web_version().await.unwrap_err();
    assert!(began.elapsed() >= Duration::from_millis(1200));
    assert_eq!(
        error.to_string(),
        format!("{url} refuses the connection for web_version")
    );
    assert!(error.is_sure_that_nothing_happened());
    // A change is tried once: faster than the pauses of a read.
    let (console, task) = (client(&url, LONG), task());
    let once = in_time(Duration::from_millis(1200), console.add_task(&task));
    let error = once.await.unwrap_err();
    assert!(matches!(
        error,
        ConsoleError::Refused {
            call: "add_task",
            ..
        }
    ));
}

#[tokio::test]
async fn a_name_without_an_address_is_no_way() {
    let error = client("http://tarsops.invalid:3000", LONG)
        .add_task(&task())
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConsoleError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_console_is_trusted_by_its_authority_and_no_other() {
    let (authority, tls) = certified();
    let (stranger, _) = certified();
    let web = Web::start_tls(vec![Reply::recorded("web_version")], tls).await;
    let trusting = |pem: &[u8]| Console::trusting(&web.url, Secret::new(TICKET), pem).unwrap();
    let versions = trusting(&authority).web_version().await.unwrap();
    assert_eq!(versions.web_version, "3.0.15");
    let error = trusting(&stranger).add_task(&task()).await.unwrap_err();
    let said = error.to_string();
    assert!(
        matches!(error, ConsoleError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(said.contains("invalid peer certificate"), "{said}");
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn a_console_without_tls_is_no_way_for_https() {
    let (authority, _) = certified();
    let web = Web::start(vec![empty()]).await;
    let url = web.url.replace("http:", "https:");
    let console = Console::trusting(&url, Secret::new(TICKET), &authority).unwrap();
    let error = console.web_version().await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.is_sure_that_nothing_happened());
}

#[test]
fn an_authority_without_a_certificate_is_refused() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n",
    ] {
        let trusting = Console::trusting("https://192.0.2.1", Secret::new(TICKET), pem.as_bytes());
        let error = trusting.unwrap_err();
        assert!(matches!(error, ConsoleError::Settings { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_mended_for_a_read_and_never_for_a_task() {
    let (web, answer) = read(vec![Reply::End, empty()]).await;
    assert_eq!(answer.unwrap(), []);
    assert_eq!(web.requests().len(), 2);

    let web = Web::start(vec![Reply::End, empty()]).await;
    let error = client(&web.url, LONG).add_task(&task()).await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Disconnected { .. }),
        "{error:?}"
    );
    assert!(!error.is_sure_that_nothing_happened());
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn fewer_requests_are_waited_for_by_a_read_within_its_deadline_and_by_no_change() {
    let wait = || Reply::of(429, &["Retry-After: 1"], b"request frequency limited");
    let began = Instant::now();
    let (web, answer) = read(vec![wait(), empty()]).await;
    assert_eq!(answer.unwrap(), []);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(web.requests().len(), 2);

    let row = {
        let (_web, rows) = read(vec![Reply::recorded("server_nodes")]).await;
        rows.unwrap().remove(0)
    };
    let form = DeployForm {
        application: "tars".to_owned(),
        server_name: "tarsstat".to_owned(),
        server_type: "tars_cpp".to_owned(),
        template_name: "tars.tarsstat".to_owned(),
        exe_path: String::new(),
        operator: String::new(),
        developer: String::new(),
        adapters: Vec::new(),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "anything").unwrap();
    let upload = Upload {
        application: "tars".to_owned(),
        module_name: "tarsstat".to_owned(),
        comment: String::new(),
        path: file.path().to_owned(),
    };
    let web = Web::start(vec![wait(), empty()]).await;
    let console = client(&web.url, LONG);
    let error = console.add_task(&task()).await.unwrap_err();
    let retry_after = Some(Duration::from_secs(1));
    let call = "add_task";
    assert_eq!(error, ConsoleError::RateLimited { call, retry_after });
    assert_eq!(web.requests().len(), 1);
    for round in 0..3 {
        let web = Web::start(vec![wait(), empty()]).await;
        let console = client(&web.url, LONG);
        let error = match round {
            0 => console.deploy_server(&form).await.unwrap_err(),
            1 => console
                .update_server(&ServerUpdate::from(&row))
                .await
                .unwrap_err(),
            _ => console.upload_patch_package(&upload).await.unwrap_err(),
        };
        assert!(matches!(error, ConsoleError::RateLimited { .. }), "{error}");
        assert_eq!(web.requests().len(), 1);
    }

    // More than a clock has.
    let most = format!("Retry-After: {}", u64::MAX);
    let limited = Reply::of(429, &[&most], b"request frequency limited");
    let (web, answer) = read(vec![limited]).await;
    let error = answer.unwrap_err();
    assert!(matches!(error, ConsoleError::RateLimited { .. }), "{error}");
    assert_eq!(web.requests().len(), 1);

    // 23 s, as it was recorded, are more than is left.
    let web = Web::start(vec![Reply::recorded("rate_limited")]).await;
    let console = client(&web.url, Duration::from_secs(5));
    let error = in_time(Duration::from_secs(4), console.web_version()).await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the console takes no more requests for now, web_version is one too many: again in 23 s"
    );
    assert_eq!(web.requests().len(), 1);
}

#[tokio::test]
async fn a_redirection_is_not_followed_so_the_ticket_stays() {
    let elsewhere = Web::start(vec![empty()]).await;
    for status in [301, 302, 307, 308] {
        let to = format!("Location: {}/login?from=x&ticket={ENCODED}", elsewhere.url);
        let error = failed(Reply::of(status, &[&to], b"")).await;
        let call = "server_nodes";
        let to = elsewhere.url.clone();
        assert_eq!(error, ConsoleError::Redirected { call, to });
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn an_encrypted_console_cannot_send_the_ticket_elsewhere_either() {
    let (authority, tls) = certified();
    let elsewhere = Web::start(vec![empty()]).await;
    let to = format!("Location: {}/pages/server/api/server_list", elsewhere.url);
    let reply = Reply::of(307, &[&to], b"");
    let web = Web::start_tls(vec![reply], tls).await;
    let console = Console::trusting(&web.url, Secret::new(TICKET), &authority).unwrap();
    let error = console.add_task(&task()).await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Redirected { .. }),
        "{error:?}"
    );
    assert_eq!(web.requests().len(), 1);
    assert!(elsewhere.requests().is_empty());
}

/// What the process of the following test is given.
const CONSOLES: &str = "TARSOPS_TEST_CONSOLES";

#[tokio::test]
async fn proxies_of_the_environment_get_nothing() {
    if let Ok(consoles) = std::env::var(CONSOLES) {
        // The process that has proxies.
        let (urls, authority) = consoles.split_once('\n').unwrap();
        for url in urls.split(' ') {
            let ticket = Secret::new(TICKET);
            let console = Console::trusting(url, ticket, authority.as_bytes()).unwrap();
            assert_eq!(console.web_version().await.unwrap().web_version, "3.0.15");
        }
        return;
    }
    let (authority, tls) = certified();
    let plain = Web::start(vec![Reply::recorded("web_version")]).await;
    let encrypted = Web::start_tls(vec![Reply::recorded("web_version")], tls).await;
    let proxy = Web::start(vec![Reply::recorded("web_version")]).await;
    let authority = String::from_utf8(authority).unwrap();
    let consoles = format!("{} {}\n{authority}", plain.url, encrypted.url);
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "proxies_of_the_environment_get_nothing"])
        .env(CONSOLES, consoles)
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .kill_on_drop(true);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, &proxy.url);
        child.env(name.to_lowercase(), &proxy.url);
    }
    let ended = child.output().await.unwrap();
    assert!(ended.status.success(), "{ended:?}");
    // It was really asked, and by nobody but the child.
    assert_eq!((plain.requests().len(), encrypted.requests().len()), (1, 1));
    assert!(proxy.requests().is_empty());
}

#[test]
fn addresses_and_tickets_of_no_use_are_refused_before_anything_is_sent() {
    for (url, ticket) in [
        ("ftp://192.0.2.1", TICKET),
        ("192.0.2.1:3000", TICKET),
        ("http://admin:hunter2@192.0.2.1", TICKET),
        ("http://192.0.2.1/?ticket=hunter2", TICKET),
        ("http://192.0.2.1", ""),
        ("http://192.0.2.1", "undefined"),
    ] {
        let error = Console::new(url, Secret::new(ticket)).unwrap_err();
        let said = format!("{error} {error:?}");
        assert!(matches!(error, ConsoleError::Settings { .. }));
        assert!(
            !said.contains("hunter2") && !said.contains(TICKET),
            "{said}"
        );
    }
    Console::new("http://192.0.2.1:3000/", Secret::new(TICKET)).unwrap();
}

#[tokio::test]
async fn a_console_behind_a_path_is_asked_under_it() {
    let web = Web::start(vec![empty()]).await;
    let console = client(&format!("{}/tars", web.url), LONG);
    console.server_nodes("a b", "c&d").await.unwrap();
    assert_eq!(
        web.requests()[0].target,
        format!("/tars/api/server_nodes?application=a+b&server_name=c%26d&ticket={ENCODED}")
    );
}

/// The calls that only read, against a console that is there: `TARSOPS_CONSOLE_URL`, and its ticket in
/// the file `TARSOPS_CONSOLE_TICKET_FILE`, and the authority that vouches for it in the file
/// `TARSOPS_CONSOLE_CA`, if it is a private one. The cluster must have a server tars.tarsstat.
#[tokio::test]
#[ignore = "needs a real console"]
#[allow(clippy::print_stdout, reason = "somebody looks at it")]
async fn a_real_console_answers_what_reads() {
    let (Ok(url), Ok(file)) = (
        std::env::var("TARSOPS_CONSOLE_URL"),
        std::env::var("TARSOPS_CONSOLE_TICKET_FILE"),
    ) else {
        return;
    };
    let ticket = std::fs::read_to_string(file).unwrap();
    let ticket = Secret::new(ticket.trim());
    let console = match std::env::var("TARSOPS_CONSOLE_CA") {
        Ok(ca) => Console::trusting(&url, ticket, &std::fs::read(ca).unwrap()),
        Err(_) => Console::new(&url, ticket),
    };
    let console = console.unwrap();
    println!("{:?}", console.web_version().await.unwrap());
    let rows = console.server_nodes("tars", "tarsstat").await.unwrap();
    println!("{rows:#?}");
    let row = &rows[0];
    let nodes = [row.node_name.clone()];
    assert!(
        console
            .server_exist("tars", "tarsstat", &nodes)
            .await
            .unwrap()
    );
    let nowhere = ["192.0.2.1".to_owned()];
    assert!(
        !console
            .server_exist("tars", "tarsstat", &nowhere)
            .await
            .unwrap()
    );
    println!("{:#?}", console.adapter_conf_list(row.id).await.unwrap());
    let which = support::web::which_of("tars", "tarsstat", &row.node_name);
    println!("{:#?}", console.server_state(&[which]).await.unwrap());
    println!(
        "{:#?}",
        console.server_patch_list("tars", "tarsstat").await.unwrap()
    );
    println!(
        "{:#?}",
        console
            .server_notify_list("tars", "tarsstat", 1, 3)
            .await
            .unwrap()
    );
    println!("{:#?}", console.list_tars_node().await.unwrap());
    assert!(console.check_tars_node(&row.node_name).await.unwrap());
    assert!(!console.check_tars_node("192.0.2.1").await.unwrap());
    let template = console
        .query_profile_template("tars.tarsstat")
        .await
        .unwrap();
    println!("{:?}", template.unwrap());
    assert_eq!(
        console.query_profile_template("tars.tarss").await.unwrap(),
        None
    );
    let error = console.task("nosuchtask").await.unwrap_err();
    assert!(
        matches!(error, ConsoleError::Said { ret_code: 500, .. }),
        "{error}"
    );
    let stranger = Console::new(&url, Secret::new("nonsense")).unwrap();
    let error = stranger.server_nodes("tars", "tarsstat").await.unwrap_err();
    assert!(matches!(error, ConsoleError::NotLoggedIn { .. }), "{error}");
    // It says so before it has read the body, and changes nothing.
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(32 << 20).unwrap();
    let upload = Upload {
        application: "tars".to_owned(),
        module_name: "tarsstat".to_owned(),
        comment: String::new(),
        path: file.path().to_owned(),
    };
    let error = stranger.upload_patch_package(&upload).await.unwrap_err();
    println!("{error}");
    assert!(
        matches!(error, ConsoleError::NotLoggedIn { .. }),
        "{error:?}"
    );
}
