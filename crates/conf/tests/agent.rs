//! The agent's configuration and start script: what is read, and what an edit leaves alone.
#![allow(
    clippy::disallowed_types,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read fixtures and measure time"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use tarsops_conf::placeholder::{Placeholder, Vars, substitute};
use tarsops_conf::tarsnode::{AgentConf, Wanted, read, rewrite};
use tarsops_conf::util_script::{nodeid, nodeids, placeholders, set_nodeid};
use tarsops_conf::{ConfError, Document};

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

fn set(all: &[&str]) -> BTreeSet<(String, u16)> {
    all.iter().map(|h| ((*h).to_owned(), 17890)).collect()
}

fn wanted(ip: &str, registries: &[&str]) -> Wanted {
    Wanted {
        localip: ip.into(),
        endpoint_host: ip.into(),
        locator: set(registries),
        exact: false,
    }
}

#[allow(clippy::unwrap_used, reason = "the callers give texts that parse")]
fn read_text(text: &str) -> AgentConf {
    read(&Document::parse(text).unwrap())
}

#[test]
fn the_same_facts_are_read_from_every_shape() {
    for name in ["installed", "crlf", "commented"] {
        let conf = read_text(&fixture(&format!("tarsnode.{name}.conf")));
        assert_eq!(conf.localip.as_deref(), Some("10.20.0.7"), "{name}");
        assert_eq!(conf.endpoint_host.as_deref(), Some("10.20.0.7"), "{name}");
        assert_eq!(conf.endpoint_port, Some(19386), "{name}");
        assert_eq!(conf.locator, set(&["10.20.0.1"]), "{name}");
        assert!(conf.placeholders.is_empty(), "{name}");
    }
    let conf = read_text(&fixture("tarsnode.rewritten.conf"));
    assert_eq!(conf.locator, set(&["10.20.0.1", "10.20.0.2"]));
    let conf = read_text(&fixture("tarsnode.packed.conf"));
    assert_eq!((conf.localip, conf.endpoint_host), (None, None));
    assert_eq!(conf.endpoint_port, Some(19386));
    assert_eq!(
        conf.placeholders,
        [
            Placeholder::LocalIp,
            Placeholder::RegistryAddress,
            Placeholder::TarsPath
        ]
    );
    assert_eq!(read_text(""), AgentConf::default());
}

#[test]
fn a_file_that_says_it_all_is_not_touched() {
    for name in ["installed", "crlf", "commented", "rewritten"] {
        let text = fixture(&format!("tarsnode.{name}.conf"));
        let wanted = wanted("10.20.0.7", &["10.20.0.1"]);
        assert!(read_text(&text).satisfies(&wanted));
        assert_eq!(rewrite(&text, &wanted).unwrap(), text, "{name}");
    }
}

#[test]
fn a_missing_registry_is_added_and_the_others_stay() {
    let text = fixture("tarsnode.commented.conf");
    let new = rewrite(&text, &wanted("10.20.0.7", &["10.20.0.2"])).unwrap();
    let locator = "locator   =  tars.tarsregistry.QueryObj@tcp -h 10.20.0.1 -p 17890 -t 3000";
    let longer = format!("{locator}:tcp -h 10.20.0.2 -p 17890");
    assert_eq!(new, text.replace(locator, &longer));

    let rewritten = fixture("tarsnode.rewritten.conf");
    let mut exact = wanted("10.20.0.7", &["10.20.0.2"]);
    exact.exact = true;
    let new = rewrite(&rewritten, &exact).unwrap();
    assert_eq!(read_text(&new).locator, set(&["10.20.0.2"]));
}

#[test]
fn a_copied_file_gets_its_own_address() {
    let text = fixture("tarsnode.installed.conf");
    let new = rewrite(&text, &wanted("10.20.0.8", &["10.20.0.1"])).unwrap();
    assert_eq!(new, text.replace("10.20.0.7", "10.20.0.8"));
}

#[test]
fn a_packaged_file_becomes_an_installed_one() {
    let vars = Vars {
        tars_path: Some("/usr/local/app/tars".into()),
        ..Vars::default()
    };
    let text = rewrite(
        &fixture("tarsnode.packed.conf"),
        &wanted("10.20.0.7", &["10.20.0.1"]),
    );
    assert_eq!(
        substitute(&text.unwrap(), &vars),
        fixture("tarsnode.installed.conf")
    );
}

#[test]
fn a_file_that_cannot_be_mended_is_an_error() {
    let good = wanted("10.20.0.7", &["10.20.0.1"]);
    for name in ["emptied", "zeroed"] {
        let error = rewrite(&fixture(&format!("tarsnode.{name}.conf")), &good).unwrap_err();
        assert!(matches!(error, ConfError::NoDomain { .. }), "{name}");
    }
    let text = fixture("tarsnode.installed.conf");
    let odd = text.replace(
        "endpoint=tcp -h 10.20.0.7 -p 19386",
        "endpoint=http -h 10.20.0.7 -p 1",
    );
    assert_eq!(rewrite(&odd, &good).unwrap_err().line(), Some(21));
    assert!(rewrite(&text, &wanted("10.20.0.7", &[])).is_err());
    assert!(rewrite(&text, &wanted("a b", &["10.20.0.1"])).is_err());
    assert!(rewrite(&text, &wanted("10.20.0.7", &["tcp"])).is_err());
}

#[test]
fn the_script_names_the_node_where_it_starts_it() {
    let packed = fixture("execute.packed.sh");
    assert_eq!(nodeid(&packed), Some("localip.tars.com"));
    let left = placeholders(&packed);
    assert_eq!(left, [Placeholder::LocalIp, Placeholder::TarsPath].into());
    let new = set_nodeid(&packed, "gw-1").unwrap();
    assert_eq!(new, packed.replace("localip.tars.com", "gw-1"));

    let edited = fixture("execute.edited.sh");
    assert_eq!(nodeid(&edited), Some("10.20.0.7"));
    let new = set_nodeid(&edited, "10.20.0.8").unwrap();
    let mut expected = edited.replace("'10.20.0.1'", "'10.20.0.8'");
    expected = expected.replace("10.20.0.7", "10.20.0.8");
    assert_eq!(new, expected);
}

#[test]
fn every_way_to_write_the_option_is_read_and_written() {
    for (script, value, after) in [
        ("b --nodeid=x", "x", "b --nodeid=n"),
        ("b --nodeid=\"x\"&", "x", "b --nodeid=\"n\"&"),
        ("b --nodeid='x y' -z", "x y", "b --nodeid='n' -z"),
        ("b '--nodeid=x'>/dev/null", "x", "b '--nodeid=n'>/dev/null"),
        ("b \"--nodeid=x\" c", "x", "b \"--nodeid=n\" c"),
        ("b --nodeid= c", "", "b --nodeid=n c"),
        ("b --nodeid=\"\" c", "", "b --nodeid=\"n\" c"),
        ("b --nodeid=$ID;", "$ID", "b --nodeid=n;"),
        (
            "b --nodeid=$(hostname -i) c",
            "$(hostname -i)",
            "b --nodeid=n c",
        ),
        (
            "b --nodeid=`hostname -i` c",
            "`hostname -i`",
            "b --nodeid=n c",
        ),
        ("b --nodeid=\"x\"y c", "\"x\"y", "b --nodeid=n c"),
        (
            "sh -c \"b --nodeid='x' c\"",
            "x",
            "sh -c \"b --nodeid='n' c\"",
        ),
        (
            "sh -c \"b --nodeid=\\\"x\\\" c\"",
            "x",
            "sh -c \"b --nodeid=\\\"n\\\" c\"",
        ),
        ("sh -c 'b --nodeid=x'", "x", "sh -c 'b --nodeid=n'"),
        (
            "if x; then b --nodeid=x; fi",
            "x",
            "if x; then b --nodeid=n; fi",
        ),
        ("A=1 b --nodeid=x", "x", "A=1 b --nodeid=n"),
        ("echo a && b --nodeid=x", "x", "echo a && b --nodeid=n"),
        ("( b --nodeid=x )", "x", "( b --nodeid=n )"),
        (
            "echo a 2>&1 --nodeid=y; b --nodeid=x",
            "x",
            "echo a 2>&1 --nodeid=n; b --nodeid=n",
        ),
        (
            "echo $(c) --nodeid=y\nb --nodeid=x",
            "x",
            "echo $(c) --nodeid=n\nb --nodeid=n",
        ),
        ("b \\\n --nodeid=x \\\n c", "x", "b \\\n --nodeid=n \\\n c"),
        (
            "b --nodeid=x # --nodeid=y",
            "x",
            "b --nodeid=n # --nodeid=y",
        ),
        ("b --nodeid=x\r\n", "x", "b --nodeid=n\r\n"),
    ] {
        assert_eq!(nodeids(script), [value], "{script}");
        let new = set_nodeid(script, "n").unwrap();
        assert_eq!(new, after, "{script}");
        assert_eq!(nodeid(&new), Some("n"), "{script}");
    }
}

#[test]
fn a_script_that_does_not_start_it_is_no_answer() {
    for script in [
        "",
        "# b --nodeid=x",
        "echo --nodeid=x",
        "  printf \"--nodeid=x\"",
        "b --my--nodeid=x",
    ] {
        assert_eq!(nodeid(script), None, "{script}");
        assert!(set_nodeid(script, "n").is_err(), "{script}");
    }
    assert_eq!(nodeid("b --nodeid=x\nb --nodeid=y"), None);
    assert!(set_nodeid("b --nodeid=x", "a;b").is_err());
    assert!(set_nodeid("b --nodeid=x", "").is_err());
}

#[test]
fn a_megabyte_of_script_takes_linear_time() {
    for unit in [
        "b --nodeid=x ",
        "b --nodeid=$(",
        "'",
        "--nodeid=\"",
        "\\\"`",
        "(`",
        "é\\",
    ] {
        let text = unit.repeat(1_000_000 / unit.len());
        let best = (0..3).map(|_| {
            let before = on_cpu();
            let _ = nodeids(&text).len();
            let _ = set_nodeid(&text, "n").is_ok();
            let _ = placeholders(&text);
            on_cpu() - before
        });
        let best = best.min().unwrap();
        assert!(best < LIMIT, "{best:?} for {unit:?}");
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof!["10\\.[0-9]{1,2}\\.0\\.[1-9]", "fd00::[1-9a-f]{1,3}"]
}

proptest! {
    #[test]
    fn rewriting_gives_what_is_wanted_and_is_done_once(
        name in prop::sample::select(vec!["packed", "installed", "crlf", "rewritten", "commented"]),
        localip in host(), endpoint_host in host(), exact in any::<bool>(),
        locator in prop::collection::btree_set((host(), 1_u16..), 1..4),
    ) {
        let text = fixture(&format!("tarsnode.{name}.conf"));
        let wanted = Wanted { localip, endpoint_host, locator, exact };
        let once = rewrite(&text, &wanted).unwrap();
        prop_assert!(read_text(&once).satisfies(&wanted));
        prop_assert_eq!(rewrite(&once, &wanted).unwrap(), once.clone());
        prop_assert_eq!(once.lines().count(), text.lines().count());
    }

    #[test]
    fn no_script_makes_it_panic(
        text in prop_oneof![
            any::<String>(),
            prop::collection::vec(
                prop::sample::select(vec![
                    "--nodeid=", "\"", "'", "`", "$(", ")", "(", "\\", "\n", " ", "x", "é", "#",
                    "echo", ";", "&", ">", "{", "}",
                ]),
                0..30,
            )
            .prop_map(|v| v.concat()),
        ],
    ) {
        let before = nodeids(&text).len();
        if let Ok(new) = set_nodeid(&text, "n-1") {
            prop_assert!(before > 0);
            prop_assert!(new.contains("--nodeid="));
        }
        let _ = substitute(&text, &Vars::default());
        let _ = placeholders(&text);
    }
}
