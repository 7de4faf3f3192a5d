//! The document: lossless for every file, edits that touch one line.
#![allow(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read fixtures and measure time"
)]

use std::time::Duration;

use proptest::prelude::*;
use tarsops_conf::document::DEEPEST;
use tarsops_conf::{ConfError, Document};

const SERVER: [&str; 3] = ["tars", "application", "server"];

/// For a megabyte. Without optimisation everything takes ten times as long; work that grows with
/// the square of the size would take minutes.
const LIMIT: Duration = Duration::from_secs(if cfg!(debug_assertions) { 5 } else { 1 });

/// How long this thread has had a processor: what work costs, however busy the machine is.
fn on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[allow(
    clippy::unwrap_used,
    reason = "a fixture that is missing fails the test"
)]
fn fixture(name: &str) -> String {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/conf/");
    std::fs::read_to_string(format!("{dir}{name}")).unwrap()
}

#[test]
fn the_meaning_is_that_of_tars() {
    let doc = Document::parse(&fixture("tarsnode.commented.conf")).unwrap();
    assert_eq!(doc.get(&SERVER, "localip"), Some("10.20.0.7"));
    assert_eq!(doc.line_of(&SERVER, "localip"), Some(10));
    assert_eq!(doc.get(&SERVER, "note"), Some("a = b # not a comment"));
    assert_eq!(doc.domains(&["tars"]), ["application"]);
    assert_eq!(doc.domains(&["tars", "application"]), ["client", "server"]);
    let client = ["tars", "application", "client"];
    assert_eq!(doc.get(&client, "asyncthread"), Some("4"));
    assert_eq!(doc.entries(&client).len(), 2);
    assert_eq!(doc.get(&SERVER, "missing"), None);
    assert_eq!(doc.get(&["tars", "nothing"], "localip"), None);
    assert!(!doc.has_domain(&["application"]));
}

#[test]
fn all_fixtures_are_kept_byte_for_byte() {
    for name in [
        "packed",
        "installed",
        "crlf",
        "rewritten",
        "commented",
        "emptied",
        "zeroed",
    ] {
        let text = fixture(&format!("tarsnode.{name}.conf"));
        let doc = Document::parse(&text).unwrap();
        assert_eq!(doc.to_string(), text, "{name}");
        assert_eq!(
            doc.is_blank(),
            matches!(name, "emptied" | "zeroed"),
            "{name}"
        );
    }
}

#[test]
fn what_tars_refuses_is_refused_with_its_line() {
    for (text, line) in [
        ("<a>\n<b\n</a>", 2),
        ("<a>\n</b>", 2),
        ("<a>\n</a>\n</a>", 3),
        ("\n<a>\n<b>\n</b>\n", 2),
        ("<a>x</a>", 1),
        ("<a>\nk=\\x\n</a>", 2),
        ("<a>\nk=v\\\n</a>", 2),
        ("\u{feff}<a>\n</a>", 1),
    ] {
        assert_eq!(
            Document::parse(text).unwrap_err().line(),
            Some(line),
            "{text:?}"
        );
    }
}

#[test]
fn a_value_changes_in_place() {
    let text = fixture("tarsnode.commented.conf");
    let mut doc = Document::parse(&text).unwrap();
    doc.set(&SERVER, "localip", "10.20.0.8").unwrap();
    assert_eq!(
        doc.to_string(),
        text.replace("10.20.0.7   ", "10.20.0.8   ")
    );

    let mut doc = Document::parse("<a>\n k =\n l\n</a>").unwrap();
    doc.set(&["a"], "k", "1").unwrap();
    doc.set(&["a"], "l", "a\\b\n").unwrap();
    assert_eq!(doc.to_string(), "<a>\n k =1\n l=a\\\\b\\n\n</a>");
    doc.set(&["a"], "k", "").unwrap();
    assert_eq!(doc.get(&["a"], "k"), Some(""));
}

#[test]
fn a_missing_line_takes_the_shape_of_its_neighbours() {
    let crlf = fixture("tarsnode.crlf.conf");
    let mut doc = Document::parse(&crlf).unwrap();
    doc.set(&SERVER, "logsize", "10M").unwrap();
    let shown = "logpath=/usr/local/app/tars/app_log\r\n";
    let added = format!("{shown}            logsize=10M\r\n");
    assert_eq!(doc.to_string(), crlf.replace(shown, &added));

    let mut doc = Document::parse("<a>\n\t<b>\n\t</b>\n</a>\n").unwrap();
    doc.set(&["a", "b"], "k=", "v").unwrap();
    doc.set(&["a"], "k", "v").unwrap();
    assert_eq!(
        doc.to_string(),
        "<a>\n\tk=v\n\t<b>\n\t\tk\\==v\n\t</b>\n</a>\n"
    );

    let mut doc = Document::parse("x=1").unwrap();
    doc.set(&[], "y", "2").unwrap();
    assert_eq!(doc.to_string(), "x=1\ny=2\n");
}

#[test]
fn what_the_format_cannot_hold_is_refused() {
    let text = "<a>\nk=v\n</a>\n";
    let mut doc = Document::parse(text).unwrap();
    for (key, value) in [
        ("k", " v"),
        ("k", "v "),
        ("#k", "v"),
        ("<k", "v"),
        ("k\\", "v"),
    ] {
        let error = doc.set(&["a"], key, value).unwrap_err();
        assert!(
            matches!(error, ConfError::Unrepresentable { .. }),
            "{key}={value}"
        );
    }
    let error = doc.set(&["b"], "k", "v").unwrap_err();
    assert!(matches!(error, ConfError::NoDomain { .. }));
    assert_eq!(doc.to_string(), text);
}

#[test]
fn all_lines_of_a_key_are_removed() {
    let mut doc = Document::parse("<a>\nk=1\n#k=2\nk\nl=3\n</a>\n").unwrap();
    assert!(doc.remove(&["a"], "k"));
    assert!(!doc.remove(&["a"], "k"));
    assert_eq!(doc.to_string(), "<a>\n#k=2\nl=3\n</a>\n");
}

#[test]
fn a_megabyte_takes_linear_time() {
    let flat = format!("<a>\n{}</a>\n", "k=v\n".repeat(260_000));
    let deep = format!("{}{}", "<a>\n".repeat(DEEPEST), "</a>\n".repeat(DEEPEST));
    let deep = deep.repeat(120_000 / DEEPEST);
    let wide: String = (0..60_000).map(|i| format!("<d{i}>\n</d{i}>\n")).collect();
    let line = format!("k={}", "=\\\\ ".repeat(260_000));
    for text in [flat, deep, wide, line] {
        let best = (0..3).map(|_| {
            let before = on_cpu();
            let doc = Document::parse(&text).unwrap();
            assert_eq!(doc.to_string(), text);
            drop(doc.paths());
            drop(doc);
            on_cpu() - before
        });
        let best = best.min().unwrap();
        assert!(best < LIMIT, "{best:?} for {:?}", &text[..8]);
    }
}

/// Lines that make valid files more often than chance does.
fn lines() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("<a>".to_owned()),
        Just("  <b> x".to_owned()),
        Just("</a>".to_owned()),
        Just("\t</b>\r".to_owned()),
        Just("# <c>".to_owned()),
        Just(" k = v ".to_owned()),
        Just("k".to_owned()),
        "[ \t\r]{0,2}[kl\\\\=#<>/ ä]{0,6}",
    ];
    (prop::collection::vec(line, 0..24), any::<bool>()).prop_map(|(l, end)| {
        let mut text = l.join("\n");
        if end {
            text.push('\n');
        }
        text
    })
}

/// A well-formed file of some depth.
fn files() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[ \t]{0,2}[a-c]{1,2} ?= ?[a-z0-9 .:-]{0,8}\r?\n",
        "# [a-z<>=]{0,6}\n",
        "[a-c]\n",
        Just("\n".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        ("[abc]", prop::collection::vec(inner, 0..6))
            .prop_map(|(n, body)| format!(" <{n}>\n{}</{n}>\n", body.concat()))
    })
}

#[test]
fn domains_lie_in_each_other_only_so_deep() {
    let nested = |depth: usize| "<a>\n".repeat(depth) + &"</a>\n".repeat(depth);
    let deepest = Document::parse(&nested(DEEPEST)).unwrap();
    assert_eq!(deepest.paths().len(), DEEPEST);
    for depth in [DEEPEST + 1, 10_000] {
        assert_eq!(
            Document::parse(&nested(depth)).unwrap_err(),
            ConfError::TooDeep { line: DEEPEST + 1 }
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_kept(text in prop_oneof![any::<String>(), lines()]) {
        if let Ok(doc) = Document::parse(&text) {
            prop_assert_eq!(doc.to_string(), text);
        }
    }

    #[test]
    fn a_value_that_was_set_is_read_and_nothing_else_moved(
        text in files(), path in prop::collection::vec("[abc]", 0..3),
        key in "[a-d=\\\\]{1,2}", value in "[a-z=\\\\\n\t #<>]{0,8}",
    ) {
        let mut doc = Document::parse(&text).unwrap();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let before = doc.clone();
        match doc.set(&path, &key, &value) {
            Ok(()) => {
                prop_assert_eq!(doc.get(&path, &key), Some(value.as_str()));
                let again = Document::parse(&doc.to_string()).unwrap();
                prop_assert_eq!(again.get(&path, &key), Some(value.as_str()));
                let (old, new) = (before.entries(&path), doc.entries(&path));
                for entry in old.iter().filter(|e| e.0 != key) {
                    prop_assert!(new.contains(entry));
                }
                prop_assert_eq!(before.domains(&path), doc.domains(&path));
                let lines = text.split('\n').count();
                prop_assert!(doc.to_string().split('\n').count() <= lines + 1);
            }
            Err(_) => prop_assert_eq!(doc.to_string(), text),
        }
    }
}
