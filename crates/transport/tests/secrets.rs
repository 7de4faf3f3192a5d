//! No secret shows in what is said, debugged or traced. Apart from the other tests: whether a line is
//! traced is kept for the whole process, and asked of the thread that comes by it first.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::database::{WAIT, access, clock, filled};
use support::web::{ENCODED, Reply, TICKET, Web, client, task};
use tarsops_model::desired::Tls;
use tarsops_standin::database::{INSTALLER, Schema};
use tarsops_transport::mysql::{Access, DatabaseError, Secret, Which};
use tracing::subscriber::DefaultGuard;

const SHORT: Duration = Duration::from_millis(300);

/// All that is traced, by whatever library.
#[derive(Clone, Default)]
struct Traces(Arc<Mutex<Vec<u8>>>);

impl Traces {
    /// Of this thread, until the guard goes.
    fn kept() -> (Self, DefaultGuard) {
        let traces = Self::default();
        let writer = traces.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        (traces, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_ticket_is_in_no_debug_output_no_error_and_no_log() {
    let (traces, tracing) = Traces::kept();

    // A console that repeats it wherever it can.
    let echo = format!("{TICKET} {ENCODED}");
    let long = format!("{}{TICKET}{}", "x".repeat(290), "y".repeat(50));
    let location = format!("Location: http://192.0.2.9/{ENCODED}?ticket={ENCODED}");
    let cookie = format!("Set-Cookie: ticket={TICKET}; path=/");
    let kind = "Content-Type: application/json";
    let says = |code: u32, words: &str| {
        let body = format!(r#"{{"ret_code":{code},"err_msg":"{words}","data":"{words}"}}"#);
        Reply::of(200, &[kind, &cookie], body.as_bytes())
    };
    let replies = [
        says(500, &echo),
        says(500, &long),
        says(500, "You have not been login"),
        says(200, &echo),
        Reply::of(
            500,
            &["Content-Type: text/html"],
            format!("<code>\n{echo}").as_bytes(),
        ),
        Reply::of(500, &["Content-Type: text/html"], long.as_bytes()),
        Reply::of(302, &[&location, &cookie], echo.as_bytes()),
        Reply::of(429, &[&cookie], echo.as_bytes()),
        Reply::of(200, &[kind], format!("{{{echo}").as_bytes()),
        Reply::Bytes(format!("HTTP/1.1 {echo}\r\n\r\n").into_bytes()),
        Reply::End,
        Reply::Silence,
    ];
    let task = task();
    let mut errors = Vec::new();
    for reply in replies {
        let web = Web::start(vec![reply]).await;
        let console = client(&web.url, SHORT);
        // Any text is the number of a task.
        errors.extend(console.add_task(&task).await.err());
        errors.push(console.server_nodes("a", "b").await.unwrap_err());
        let shown = format!("{console:?} {console:#?}");
        assert!(shown.contains("127.0.0.1"), "{shown}");
        assert!(!shown.contains("made-up"), "{shown}");
    }
    let refused = client("http://127.0.0.1:9", SHORT);
    errors.push(refused.add_task(&task).await.unwrap_err());
    let unreachable = client("http://tarsops.invalid", WAIT);
    errors.push(unreachable.add_task(&task).await.unwrap_err());
    drop(tracing);

    let mut kinds: Vec<String> = Vec::new();
    for error in &errors {
        let said = format!("{error} {error:?} {error:#?}");
        assert!(!said.contains("made-up"), "{said}");
        let shown = format!("{error:?}");
        kinds.push(shown.split(' ').next().unwrap().to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "Disconnected",
            "Garbled",
            "Html",
            "NoAnswer",
            "NotLoggedIn",
            "RateLimited",
            "Redirected",
            "Refused",
            "Said",
            "Unreachable",
        ]
    );
    let log = traces.text();
    assert!(log.contains("it is asked again"), "{log}");
    assert!(!log.contains("made-up"), "{log}");
}

#[tokio::test]
async fn no_secret_is_in_errors_or_traces() {
    let (traces, _tracing) = Traces::kept();
    tracing::trace!("traces are kept");
    let (_dir, mut database) = filled(Schema::Installed);
    let wrong = Access {
        password: Secret::new("wr0ng-geheim"),
        ..access(&database)
    };
    let stranger = Access {
        user: "stranger".to_owned(),
        ..wrong.clone()
    };
    let mut said = String::new();
    for access in [&wrong, &stranger] {
        let error = access.read(&clock, true, WAIT).await.unwrap_err();
        assert!(matches!(error, DatabaseError::Denied { .. }), "{error:?}");
        said.push_str(&format!("{error} {error:?}"));
    }
    assert!(said.contains("does not let ops in"), "{said}");
    let good = access(&database);
    good.read(&clock, true, WAIT).await.unwrap();
    let required = Access {
        tls: Tls::Require,
        ..good.clone()
    };
    let no_tls = required.read(&clock, true, WAIT).await.unwrap_err();
    said.push_str(&format!("{no_tls} {no_tls:?}"));
    let which = [Which {
        table: "nowhere",
        column: "x",
        value: "y".to_owned(),
        prefix: false,
        also: vec![],
    }];
    let failed = good.dump(&which, WAIT).await.unwrap_err();
    said.push_str(&format!("{failed} {failed:?}"));
    database.freeze();
    let late = good
        .read(&clock, true, Duration::from_millis(300))
        .await
        .unwrap_err();
    said.push_str(&format!("{late} {late:?}"));
    database.kill();
    let gone = good.read(&clock, true, WAIT).await.unwrap_err();
    said.push_str(&format!("{gone} {gone:?} {:?}", good.password));
    let kept = traces.text();
    assert!(kept.contains("traces are kept"));
    for secret in ["hunter2", "wr0ng-geheim", INSTALLER.1] {
        assert!(!said.contains(secret), "{said}");
        assert!(!kept.contains(secret), "{kept}");
    }
}
