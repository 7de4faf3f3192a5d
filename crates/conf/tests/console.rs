//! Three-way merges of the console's configuration: examples as its releases ship them, and laws.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;
use tarsops_conf::console::{
    Alter, ConfigFile, ConsoleConfError, Installed, Texts, alter, installed, merge, upgrade,
    with_registries,
};

/// As a release has it, in fewer words.
const SHIPPED: &str = "const cwd = process.cwd();
let conf = {
    webConf: {
        host: 'localip.tars.com',
        port: 3000, // where it listens
        strict: false,
        alter: true, // columns
    },
    pkgUploadPath: {
        path: '/usr/local/app/patchs/tars.upload'
    },
    limitConf: {
        limit: 5000,
    },
    dbConf: {
        host: 'db.tars.com',
        port: '3306',
        user: 'tars',
        password: 'tars2015',
        pool: {
            max: 10,
        }
    },
    show: true,
};
if (process.env.NODE_ENV == \"dev\") {
    conf.webConf.alter = true;
}
module.exports = conf;";

const TARS: &str = "/**\n * A licence: <BSD>.\n */\n \n<tars>\n\t<application>\n\t\t<client>\n\t\t\t#address\n\t\t\tlocator = tars.tarsregistry.QueryObj@tcp -h registry.tars.com -p 17890\n\t\t\tasyncthread = 3\n\t\t</client>\n\t</application>\n</tars>\n";

fn values() -> Installed {
    Installed {
        host: "10.0.0.1".into(),
        db_host: "10.0.0.9".into(),
        db_port: 3307,
        db_user: "tarsAdmin".into(),
        db_password: "S3cret's\\".into(),
        install_path: "/srv".into(),
    }
}

fn texts<'a>(old: &'a str, new: &'a str, live: &'a str) -> Texts<'a> {
    Texts {
        old: Some(old),
        new: Some(new),
        live: Some(live),
    }
}

#[test]
fn edits_of_operators_survive_and_what_the_release_changes_arrives() {
    let live = installed(ConfigFile::Web, SHIPPED, &values())
        .replace("port: 3000", "port: 8080")
        .replace("alter: true, // columns", "alter: false, // columns")
        .replace("limit: 5000", "limit: 9000");
    assert!(live.contains("password: 'S3cret\\'s\\\\'"), "{live}");
    assert!(live.contains("path: '/srv/patchs/tars.upload'"), "{live}");
    let new = SHIPPED.replace("max: 10", "max: 20").replace(
        "    show: true,\n",
        "    show: true,\n    market: {\n        url: 'https://db.tars.com'\n    },\n",
    );
    let merged = upgrade(ConfigFile::Web, texts(SHIPPED, &new, &live), &values());
    let expected = live.replace("max: 10", "max: 20").replace(
        "    show: true,\n",
        "    show: true,\n    market: {\n        url: 'https://10.0.0.9'\n    },\n",
    );
    assert_eq!(merged.unwrap().unwrap(), expected);
    assert_eq!(alter(&expected), Alter::Off);
    // Line ends of the host stay.
    let dos = live.replace('\n', "\r\n");
    let merged = upgrade(ConfigFile::Web, texts(SHIPPED, &new, &dos), &values());
    assert_eq!(merged.unwrap().unwrap(), expected.replace('\n', "\r\n"));
}

#[test]
fn a_conflict_names_its_place_and_shows_no_value_of_the_host() {
    let live = installed(ConfigFile::Web, SHIPPED, &values())
        .replace("password: 'S3cret\\'s\\\\'", "password: 'an0ther'")
        .replace("limit: 5000", "limit: 9000");
    let new = SHIPPED
        .replace("limit: 5000", "limit: 6000")
        .replace("password: 'tars2015'", "password: 'tars2015', // secret");
    let error = upgrade(ConfigFile::Web, texts(SHIPPED, &new, &live), &values()).unwrap_err();
    let said = error.to_string();
    assert_eq!(
        said,
        "config/webConf.js cannot be merged: line 13 was changed on the host, and the new release changes \
         the same lines (limit); line 19 was changed on the host, and the new release changes the same lines \
         (password)"
    );
    let ConsoleConfError::Conflicts { conflicts, .. } = error else {
        panic!("{said}");
    };
    assert_eq!((conflicts[0].line, conflicts[0].count), (13, 1));
    for secret in ["an0ther", "S3cret", "9000"] {
        assert!(!said.contains(secret) && !format!("{:?}", values()).contains(secret));
    }
}

#[test]
fn files_that_come_go_or_are_missing() {
    let none =
        |old, new, live| upgrade(ConfigFile::Dcache, Texts { old, new, live }, &values()).unwrap();
    assert_eq!(none(None, Some("a"), None).as_deref(), Some("a"));
    assert_eq!(none(Some("a"), None, Some("b")).as_deref(), Some("b"));
    assert_eq!(none(Some("a"), Some("c"), None), None);
    assert_eq!(none(None, None, None), None);
    // Both have added it alike.
    assert_eq!(none(None, Some("a"), Some("a")).as_deref(), Some("a"));
    let missing = upgrade(
        ConfigFile::Login,
        Texts {
            old: Some("a"),
            new: Some("a"),
            live: None,
        },
        &values(),
    );
    assert!(matches!(
        missing,
        Err(ConsoleConfError::Missing(ConfigFile::Login))
    ));
    let unknown = upgrade(
        ConfigFile::Login,
        Texts {
            old: None,
            new: Some("a"),
            live: Some("b"),
        },
        &values(),
    );
    assert!(matches!(unknown, Err(ConsoleConfError::Conflicts { .. })));
}

#[test]
fn the_locator_names_all_registries() {
    let live = installed(ConfigFile::Tars, TARS, &values());
    assert!(live.contains("@tcp -h 10.0.0.1 -p 17890\n"), "{live}");
    let two: BTreeSet<(String, u16)> =
        [("10.0.0.1".into(), 17890), ("10.0.0.2".into(), 17890)].into();
    let full = with_registries(&live, &two).unwrap();
    let expected = live.replace(
        "@tcp -h 10.0.0.1 -p 17890",
        "@tcp -h 10.0.0.1 -p 17890:tcp -h 10.0.0.2 -p 17890",
    );
    assert_eq!(full, expected);
    assert_eq!(with_registries(&full, &two).unwrap(), full);
    let other: BTreeSet<(String, u16)> = [("10.0.0.3".into(), 17890)].into();
    let moved = with_registries(&full, &other).unwrap();
    assert!(
        moved.contains("QueryObj@tcp -h 10.0.0.3 -p 17890\n"),
        "{moved}"
    );
}

#[test]
fn whether_a_console_alters_the_database_is_read_and_never_guessed() {
    assert_eq!(alter(SHIPPED), Alter::On);
    let off = SHIPPED.replace("alter: true", "alter: false");
    assert_eq!(alter(&off), Alter::Off);
    for (from, to) in [
        ("alter: true, // columns", "// alter: false,\n"),
        ("alter: true", "alter: !true"),
        ("alter: true", "alter: process.env.ALTER"),
        ("alter: true, // columns", "alter: false || true,"),
        ("strict: false", "strict: 'open"),
        ("    webConf: {", "    webConf: Object.assign({"),
    ] {
        assert_eq!(alter(&SHIPPED.replace(from, to)), Alter::Unknown, "{to}");
    }
    let later = off.replace(
        "module.exports",
        "conf.webConf.alter = true;\nmodule.exports",
    );
    assert_eq!(alter(&later), Alter::On);
    let later = off.replace("module.exports", "conf.webConf = other;\nmodule.exports");
    assert_eq!(alter(&later), Alter::Unknown);
    let twice = off.replace("strict: false,", "strict: false, alter: true,");
    assert_eq!(alter(&twice), Alter::Off);
    let elsewhere = off.replace("show: true", "show: { alter: true }");
    assert_eq!(alter(&elsewhere), Alter::Off);
}

/// Texts of a few lines that often have lines in common.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec("[a-e]{0,2}", 0..9).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn equal_releases_change_nothing(old in text(), live in text()) {
        prop_assert_eq!(merge(&old, &old, &live), Ok(live));
    }

    #[test]
    fn what_nobody_touched_becomes_the_new_release(old in text(), new in text()) {
        prop_assert_eq!(merge(&old, &new, &old), Ok(new.clone()));
        prop_assert_eq!(merge(&old, &new, &new), Ok(new));
    }

    /// Whoever of both is called the release: lines of each side, and no others, are in the result.
    #[test]
    fn both_sides_are_alike_and_no_line_is_invented(old in text(), new in text(), live in text()) {
        let merged = merge(&old, &new, &live);
        prop_assert_eq!(merged.is_ok(), merge(&old, &live, &new).is_ok());
        if let Ok(merged) = merged {
            prop_assert_eq!(&merged, &merge(&old, &live, &new).unwrap());
            for line in merged.lines() {
                prop_assert!(new.split('\n').chain(live.split('\n')).any(|l| l == line));
            }
            // Merging again changes nothing.
            prop_assert_eq!(merge(&new, &new, &merged), Ok(merged));
        }
    }

    /// Edits that are apart never meet.
    #[test]
    fn edits_that_are_apart_are_both_there(at in 0_usize..8, before in "[x-z]{1,3}", after in "[x-z]{1,3}") {
        let lines: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
        let with = |index: usize, text: &str| {
            let mut out = lines.clone();
            out[index] = text.to_owned();
            out
        };
        let (new, live) = (with(at, &before), with(at + 10, &after));
        let mut both = new.clone();
        both[at + 10] = after.clone();
        prop_assert_eq!(merge(&lines.join("\n"), &new.join("\n"), &live.join("\n")), Ok(both.join("\n")));
    }

    /// An error of a merge holds no text of the host.
    #[test]
    fn no_secret_is_in_an_error(secret in "[q-z]{12}", other in "[q-z]{12}") {
        let mut values = values();
        values.db_password = secret.clone();
        let live = SHIPPED.replace("password: 'tars2015'", &format!("password: '{other}'"));
        let new = SHIPPED.replace("password: 'tars2015'", "password: 'tars2015' // new");
        let error = upgrade(ConfigFile::Web, texts(SHIPPED, &new, &live), &values).unwrap_err();
        let said = error.to_string();
        prop_assert!(!said.contains(&secret) && !said.contains(&other), "{said}");
    }
}
