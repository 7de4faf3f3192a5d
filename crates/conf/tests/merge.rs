//! Three-way merges of templates: examples from the framework's own, and laws.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tarsops_conf::Document;
use tarsops_conf::merge::{
    Conflict, Edit, Left, Merge, Place, Value, apply, is_secret, is_shipped, merge, shown,
};
use tarsops_conf::placeholder::Vars;

fn doc(text: &str) -> Document {
    Document::parse(text).unwrap()
}

fn vars() -> Vars {
    Vars {
        tars_path: Some("/srv/tars".into()),
        upload_path: Some("/srv".into()),
        ..Vars::default()
    }
}

/// Everything that a text means.
fn meaning(document: &Document) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for path in std::iter::once(vec![]).chain(document.paths()) {
        for (key, value) in document.entries(&path) {
            out.insert(format!("/{}<{key}>", path.join("/")), value.to_owned());
        }
    }
    out
}

const OLD: &str = "<tars>\n  # what the old release says\n  <reap>\n    nodeTimeout = 250\n    gone=1\n    same=x\n  </reap>\n  <log>\n    path=TARS_PATH/log\n  </log>\n</tars>\n";
const NEW: &str = "<tars>\n  <reap>\n    nodeTimeout = 300\n    fresh=5\n    same=x\n  </reap>\n  <log>\n    path=TARS_PATH/logs\n  </log>\n  <container>\n    socket=/var/run/docker.sock\n  </container>\n</tars>\n";

#[test]
fn what_nobody_touched_follows_the_release_and_what_people_did_stays() {
    // As an installer leaves it, with an edit and a comment of ours.
    let live = doc(
        "<tars>\n  <log>\n    path=/srv/tars/log\n  </log>\n  <reap>\n    gone=1\n    # ours\n    mine=7\n    nodeTimeout=250\n    same=y\n  </reap>\n</tars>\n",
    );
    let merged = merge(Some(&doc(OLD)), &doc(NEW), &live, &vars());
    assert!(merged.conflicts.is_empty() && merged.left.is_empty());
    let text = apply(&live, &merged.edits).unwrap().to_string();
    assert_eq!(
        text,
        "<tars>\n  <log>\n    path=/srv/tars/logs\n  </log>\n  <reap>\n    # ours\n    mine=7\n    nodeTimeout=300\n    same=y\n    fresh=5\n  </reap>\n  <container>\n    socket=/var/run/docker.sock\n  </container>\n</tars>\n"
    );
    let again = merge(Some(&doc(OLD)), &doc(NEW), &doc(&text), &vars());
    assert!(again.edits.is_empty(), "{again:?}");
}

#[test]
fn both_changed_is_a_conflict_with_its_three_values() {
    let live = doc(&OLD.replace("250", "400").replace("gone=1", "gone=2"));
    let merged = merge(Some(&doc(OLD)), &doc(NEW), &live, &vars());
    let at = |key| Place::new(&["tars", "reap"], key);
    assert_eq!(
        merged.conflicts,
        [Conflict {
            at: at("nodeTimeout"),
            old: Some("250".into()),
            new: Some("300".into()),
            live: Some("400".into()),
        }]
    );
    assert_eq!(merged.left, [Left::KeptHere(at("gone"))]);
    // Taken out here and changed there is one, too.
    let live = doc(&OLD.replace("    nodeTimeout = 250\n", ""));
    let merged = merge(Some(&doc(OLD)), &doc(NEW), &live, &vars());
    assert_eq!(merged.conflicts[0].live, None);
    // Both came to the same value: nothing to do for this key.
    let live = doc(&OLD.replace("250", "300"));
    let merged = merge(Some(&doc(OLD)), &doc(NEW), &live, &vars());
    assert!(merged.conflicts.is_empty());
    assert!(!format!("{:?}", merged.edits).contains("nodeTimeout"));
}

#[test]
fn without_the_old_text_only_what_is_missing_comes() {
    let live =
        doc("<tars>\n  <reap>\n    nodeTimeout=250\n    same=x\n    mine=1\n  </reap>\n</tars>\n");
    let merged = merge(None, &doc(NEW), &live, &vars());
    assert!(merged.conflicts.is_empty());
    assert_eq!(
        merged.left,
        [Left::Differs {
            at: Place::new(&["tars", "reap"], "nodeTimeout"),
            new: "300".into(),
            live: "250".into()
        }]
    );
    let out = meaning(&apply(&live, &merged.edits).unwrap());
    assert_eq!(out["/tars/reap<nodeTimeout>"], "250");
    assert_eq!(out["/tars/reap<fresh>"], "5");
    assert_eq!(out["/tars/reap<mine>"], "1");
    assert_eq!(out["/tars/log<path>"], "/srv/tars/logs");
}

#[test]
fn credentials_are_nobodys_edit_and_are_copied_where_a_release_wants_more_of_them() {
    let old = "<tars>\n<db>\ndbhost=db.tars.com\ndbuser=tars\ndbpass=shipped\ncharset=utf8\n</db>\n</tars>\n";
    let new = "<tars>\n<db>\ndbhost=db.tars.com\ndbuser=tars\ndbpass=other\ncharset=utf8mb4\n</db>\n<statdb>\n<db1>\ndbhost=db.tars.com\ndbpass=other\ndbname=tars_stat\n</db1>\n</statdb>\n</tars>\n";
    let live = doc(
        "<tars>\n<db>\ndbhost=10.0.0.9\ndbuser=ops\ndbpass=geheim\ncharset=utf8\n</db>\n</tars>\n",
    );
    let merged = merge(Some(&doc(old)), &doc(new), &live, &vars());
    assert_eq!((merged.conflicts.len(), merged.unfilled.len()), (0, 0));
    assert!(!format!("{:?}", merged.edits).contains("geheim"));
    assert!(merged.edits.contains(&Edit::Set {
        at: Place::new(&["tars", "statdb", "db1"], "dbpass"),
        value: Value::As(Place::new(&["tars", "db"], "dbpass")),
    }));
    let out = meaning(&apply(&live, &merged.edits).unwrap());
    assert_eq!(out["/tars/db<dbpass>"], "geheim");
    assert_eq!(out["/tars/db<charset>"], "utf8mb4");
    assert_eq!(out["/tars/statdb/db1<dbpass>"], "geheim");
    assert_eq!(out["/tars/statdb/db1<dbhost>"], "10.0.0.9");
    // Nowhere to be had.
    let bare = doc("<tars>\n</tars>\n");
    let merged = merge(None, &doc(new), &bare, &vars());
    assert_eq!(merged.unfilled.len(), 5);
}

#[test]
fn a_domain_that_was_taken_out_here_does_not_come_back() {
    let old = doc("<tars>\n<elk>\nprotocol=http\n<nodes>\n</nodes>\n</elk>\n</tars>\n");
    let new = doc(
        "<tars>\n<elk>\nprotocol=http\nmore=1\n<nodes>\n</nodes>\n<x>\n</x>\n</elk>\n</tars>\n",
    );
    let live = doc("<tars>\n</tars>\n");
    let merged = merge(Some(&old), &new, &live, &vars());
    assert!(merged.edits.is_empty(), "{merged:?}");
    // An empty one that is new comes.
    let merged = merge(Some(&live), &new, &live, &vars());
    let out = apply(&live, &merged.edits).unwrap();
    assert!(out.has_domain(&["tars", "elk", "nodes"]));
    assert_eq!(meaning(&out), meaning(&new));
}

#[test]
fn anything_may_stand_in_the_place_of_a_placeholder() {
    for (shipped, live, is) in [
        ("TARS_PATH/log", "/usr/local/app/tars/log", true),
        ("TARS_PATH/log", "/usr/local/app/tars/logs", false),
        ("TARS_PATH/log", "/log", false),
        ("db.tars.com", "10.0.0.9", true),
        ("db.tars.com", "", false),
        ("a TARS_PATH b UPLOAD_PATH c", "a x b y c", true),
        ("a TARS_PATH b UPLOAD_PATH c", "a x c", false),
        ("plain", "plain", true),
        ("plain", "Plain", false),
    ] {
        assert_eq!(is_shipped(shipped, live), is, "{shipped} {live}");
    }
}

#[test]
fn what_looks_like_a_secret_is_not_shown() {
    let at = |key: &str| Place::new(&["tars", "x"], key);
    for (key, value) in [
        ("dbpass", "a"),
        ("DBPassword", "a"),
        ("accessToken", "a"),
        ("url", "mysql://me:geheim@10.0.0.9/x"),
        ("opts", "--password=geheim"),
        ("dbuser", "tarsAdmin"),
    ] {
        assert!(is_secret(&at(key), value), "{key}");
        assert_eq!(shown(&at(key), Some(value)), "(hidden)");
    }
    assert_eq!(shown(&at("timeout"), Some("5")), "5");
    assert_eq!(shown(&at("timeout"), None), "no such key");
    assert!(is_secret(
        &Place::new(&["tars", "db"], "dbhost"),
        "10.0.0.9"
    ));
}

/// A text with a few keys in a few domains.
fn texts() -> impl Strategy<Value = String> {
    let key = ("[a-d]", "[0-3]");
    let keys = prop::collection::btree_map(key.0, key.1, 0..4);
    prop::collection::btree_map(
        prop::sample::select(vec!["", "p", "q", "p/r", "p/r/s"]),
        keys,
        0..5,
    )
    .prop_map(|domains| {
        let mut document = doc("<tars>\n  # a comment\n</tars>\n");
        for (path, keys) in domains {
            let path: Vec<&str> = std::iter::once("tars")
                .chain(path.split('/').filter(|p| !p.is_empty()))
                .collect();
            document.add_domain(&path).unwrap();
            for (key, value) in keys {
                document.set(&path, &key, &value).unwrap();
            }
        }
        document.to_string()
    })
}

fn merged(old: &Document, new: &Document, live: &Document) -> (Merge, Document) {
    let merge = merge(Some(old), new, live, &Vars::default());
    let out = apply(live, &merge.edits).unwrap();
    (merge, out)
}

proptest! {
    #[test]
    fn equal_releases_leave_every_byte(one in texts(), live in texts()) {
        let (merge, out) = merged(&doc(&one), &doc(&one), &doc(&live));
        prop_assert!(merge.conflicts.is_empty());
        prop_assert_eq!(out.to_string(), live);
    }

    #[test]
    fn a_text_that_nobody_touched_comes_to_mean_the_new_one(old in texts(), new in texts()) {
        let (merge, out) = merged(&doc(&old), &doc(&new), &doc(&old));
        prop_assert!(merge.conflicts.is_empty());
        prop_assert_eq!(meaning(&out), meaning(&doc(&new)));
        for path in doc(&new).paths() {
            prop_assert!(out.has_domain(&path));
        }
    }

    #[test]
    fn a_merge_can_be_read_and_another_one_changes_nothing(old in texts(), new in texts(), live in texts()) {
        let (_, out) = merged(&doc(&old), &doc(&new), &doc(&live));
        let read = doc(&out.to_string());
        prop_assert_eq!(meaning(&read), meaning(&out));
        let (again, same) = merged(&doc(&old), &doc(&new), &read);
        prop_assert!(again.edits.is_empty(), "{:?}", again);
        prop_assert_eq!(same.to_string(), out.to_string());
    }

    #[test]
    fn what_people_changed_stays(old in texts(), new in texts(), live in texts()) {
        let (_, out) = merged(&doc(&old), &doc(&new), &doc(&live));
        let (was, is) = (meaning(&doc(&old)), meaning(&out));
        for (at, value) in meaning(&doc(&live)) {
            if was.get(&at) != Some(&value) {
                prop_assert_eq!(is.get(&at), Some(&value), "{}", at);
            }
        }
    }

    #[test]
    fn without_the_old_text_nothing_is_changed_or_taken(new in texts(), live in texts()) {
        let live = doc(&live);
        let merge = merge(None, &doc(&new), &live, &Vars::default());
        let is = meaning(&apply(&live, &merge.edits).unwrap());
        for (at, value) in meaning(&live) {
            prop_assert_eq!(is.get(&at), Some(&value));
        }
        for at in meaning(&doc(&new)).keys() {
            prop_assert!(is.contains_key(at));
        }
    }
}
