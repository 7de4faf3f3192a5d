//! Release archives of the console: written, read, and refused with the reason.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::io::{self, Read};

use support::Maker;
use tar::EntryType;
use tarsops_model::console::ConsolePin;
use tarsops_package::{
    LockFile, PackageError, WebEntry, WebError, WebKind, read_web, web_limits, write_web,
};

const PACKAGE: &str = r#"{"name": "tars-web", "version": "3.0.15", "dependencies": {"koa": "^2.5.1", "@tars/rpc": "*"}}"#;
const MODEL: &str = "module.exports = (sequelize, DataTypes) => sequelize.define('t_server_conf', {\n\
    id: { type: DataTypes.INTEGER(11) },\n\
    flow_state: { type: DataTypes.STRING(64) },\n\
}, { tableName: 't_server_conf', timestamps: false });\n";

/// The head of a native module for a machine (`elf.h`).
fn elf(machine: u8) -> Vec<u8> {
    let mut head = b"\x7fELF\x02\x01".to_vec();
    head.resize(18, 0);
    head.extend([machine, 0, 0, 0]);
    head
}

/// A small checkout with its dependencies.
fn checkout() -> BTreeMap<String, Vec<u8>> {
    let text = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let mut all = BTreeMap::from([
        text("package.json", PACKAGE),
        text("bin/www", "#!/usr/bin/env node\n"),
        text(
            "config/webConf.js",
            "module.exports = {dbConf: {host: 'db.tars.com'}};",
        ),
        text("config/tars.conf", "<tars>\n</tars>\n"),
        text("app/dao/db/db_tars_models/t_server_conf.js", MODEL),
        text("node_modules/koa/package.json", "{}"),
        text("node_modules/@tars/rpc/package.json", "{}"),
        text("log/app.log", "yesterday"),
        text("files/tarsstat.tgz", "made by the installer"),
        text(".git/HEAD", "ref"),
    ]);
    let module = "node_modules/bufferutil/prebuilds";
    all.insert(format!("{module}/linux-x64/b.node"), elf(62));
    all.insert(format!("{module}/darwin-x64/b.node"), vec![0xcf, 0xfa]);
    all
}

fn written(files: &BTreeMap<String, Vec<u8>>, links: &[(&str, &str)]) -> Vec<u8> {
    let mut entries: Vec<WebEntry> = files
        .iter()
        .map(|(name, data)| WebEntry {
            name: name.clone(),
            kind: WebKind::File {
                size: data.len() as u64,
                runs: name == "bin/www",
            },
        })
        .collect();
    // Whatever order a file system gives them in.
    entries.reverse();
    entries.extend(links.iter().map(|(name, target)| WebEntry {
        name: (*name).to_owned(),
        kind: WebKind::Link {
            target: (*target).to_owned(),
        },
    }));
    let open = |name: &str| -> io::Result<Box<dyn Read>> {
        Ok(Box::new(io::Cursor::new(files[name].clone())))
    };
    let mut archive = Vec::new();
    write_web(entries, &open, &mut archive).unwrap();
    archive
}

fn read(archive: &[u8]) -> Result<ConsolePin, WebError> {
    read_web(archive, "tars-web-3.0.15.tgz", &web_limits())
}

#[test]
fn an_archive_says_what_it_is() {
    let link = [("node_modules/.bin/koa", "../koa/package.json")];
    let archive = written(&checkout(), &link);
    assert_eq!(archive, written(&checkout(), &link), "the same every time");
    let pin = read(&archive).unwrap();
    assert_eq!(pin.version.to_string(), "3.0.15");
    assert_eq!(pin.archive_size, archive.len() as u64);
    let machines: Vec<String> = pin.machines.clone().unwrap().into_iter().collect();
    assert_eq!(machines, ["x86_64"]);
    assert!(pin.runs_on("x86_64") && !pin.runs_on("aarch64"));
    let columns: Vec<&str> = pin.models["db_tars"]["t_server_conf"]
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(columns, ["flow_state", "id"]);
    let config: Vec<&str> = pin.config.keys().map(String::as_str).collect();
    assert_eq!(config, ["tars.conf", "webConf.js"]);
    // What Git, logs and the installer have left is not in it.
    let mut without = checkout();
    without.retain(|name, _| {
        !["log/app.log", "files/tarsstat.tgz", ".git/HEAD"].contains(&name.as_str())
    });
    assert_eq!(read(&written(&without, &link)).unwrap(), pin);
}

#[test]
fn the_lock_file_keeps_it() {
    let mut lock = LockFile::default();
    let pin = read(&written(&checkout(), &[])).unwrap();
    lock.insert_console(pin.clone());
    let text = lock.render().unwrap();
    let again = LockFile::parse(&text).unwrap();
    assert_eq!(again, lock);
    assert_eq!(again.catalog().consoles[&pin.version], pin);
    for source in ["../x.tgz", "a/b.tgz", ".."] {
        let mut bad = LockFile::default();
        bad.insert_console(ConsolePin {
            source: source.to_owned(),
            ..pin.clone()
        });
        assert!(LockFile::parse(&bad.render().unwrap()).is_err(), "{source}");
    }
}

/// What an altered checkout is refused with.
fn refused(alter: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> WebError {
    let mut files = checkout();
    alter(&mut files);
    read(&written(&files, &[])).unwrap_err()
}

#[test]
fn what_cannot_be_installed_is_refused_with_its_reason() {
    let no_modules = refused(|all| all.retain(|name, _| !name.starts_with("node_modules/")));
    let WebError::Dependencies { missing } = no_modules else {
        panic!("{no_modules}")
    };
    assert_eq!(missing, ["@tars/rpc", "koa"]);
    let one = refused(|all| drop(all.remove("node_modules/koa/package.json")));
    assert!(matches!(one, WebError::Dependencies { missing } if missing == ["koa"]));
    let configured = b"module.exports = {dbConf: {host: '10.0.0.9', password: 'secret'}};".to_vec();
    let live = refused(|all| drop(all.insert("config/webConf.js".to_owned(), configured)));
    assert!(matches!(live, WebError::Configured));
    let other = br#"{"name": "express", "version": "3.0.15"}"#.to_vec();
    let other = refused(|all| drop(all.insert("package.json".to_owned(), other)));
    assert!(matches!(other, WebError::Other { name } if name == "express"));
    let model = "app/dao/db/db_tars_models/t_server_conf.js".to_owned();
    let odd = refused(|all| drop(all.insert(model, b"sequelize.define(name, columns)".to_vec())));
    assert!(matches!(odd, WebError::Model { .. }));
    let none = refused(|all| all.retain(|name, _| !name.contains("_models/")));
    assert!(matches!(none, WebError::NoModels));
    let www = refused(|all| drop(all.remove("bin/www")));
    assert!(matches!(www, WebError::Lacks { path: "bin/www" }));
}

#[test]
fn native_modules_are_for_one_kind_of_machine() {
    let other = |all: &mut BTreeMap<String, Vec<u8>>| {
        all.insert("node_modules/koa/build/Release/k.node".to_owned(), elf(183));
    };
    let WebError::Machines { modules } = refused(other) else {
        panic!("two machines are taken")
    };
    assert_eq!(
        modules,
        [
            "node_modules/bufferutil (x86_64)",
            "node_modules/koa (aarch64)"
        ]
    );
    // What was built on the spot is loaded before what was delivered.
    let mut files = checkout();
    let built = "node_modules/bufferutil/build/Release/b.node";
    files.insert(built.to_owned(), elf(183));
    let pin = read(&written(&files, &[])).unwrap();
    assert!(pin.runs_on("aarch64") && !pin.runs_on("x86_64"));
    let mac = refused(|all| all.retain(|name, _| !name.contains("linux-x64")));
    assert!(matches!(mac, WebError::NotLinux { .. }));
    // Without any, every machine will do.
    files.retain(|name, _| !name.ends_with(".node"));
    assert!(read(&written(&files, &[])).unwrap().runs_on("riscv64"));
}

#[test]
fn no_link_leads_out_of_it() {
    for target in ["/etc/passwd", "../../../x", "a/../../../../x"] {
        let archive = written(&checkout(), &[("node_modules/.bin/koa", target)]);
        let e = read(&archive).unwrap_err();
        assert!(matches!(e, WebError::LinkOut { .. }), "{target}: {e}");
    }
    let file = |maker: Maker, name: &str| maker.file(name, b"x");
    let link = |name: &str| Maker::new().entry(EntryType::Symlink, name.as_bytes(), b"log", b"");
    let behind = file(link("web/lib"), "web/lib/x.js").tgz();
    assert!(matches!(
        read(&behind).unwrap_err(),
        WebError::Behind { .. }
    ));
    let two = file(file(Maker::new(), "web/x.js"), "other/y.js").tgz();
    assert!(matches!(read(&two).unwrap_err(), WebError::Outside { .. }));
    let hard = Maker::new().entry(EntryType::Link, b"web/x", b"web/y", b"");
    let hard = read(&hard.tgz()).unwrap_err();
    assert!(
        matches!(hard, WebError::Archive(PackageError::Special { .. })),
        "{hard}"
    );
    for archive in [&b""[..], b"no gzip", &Maker::new().tgz()] {
        assert!(matches!(read(archive).unwrap_err(), WebError::Archive(_)));
    }
}
