//! The release archive of the management platform: made, pinned, listed, removed, and refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tarsops_model::digest::Digest;

fn run(dir: &Path, words: &[&str]) -> Output {
    Command::new(super::PROGRAM)
        .args(words)
        .current_dir(dir)
        .env("HOME", dir)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

fn put(dir: &Path, name: &str, data: &[u8]) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, data).unwrap();
}

/// A checkout with its dependencies, one of them native, and what a run of it has left.
fn checkout(dir: &Path, version: &str) {
    let package = format!(
        r#"{{"name": "tars-web", "version": "{version}", "dependencies": {{"koa": "*"}}}}"#
    );
    put(dir, "package.json", package.as_bytes());
    put(dir, "bin/www", b"#!/usr/bin/env node\n");
    fs::set_permissions(dir.join("bin/www"), fs::Permissions::from_mode(0o755)).unwrap();
    put(
        dir,
        "config/webConf.js",
        b"module.exports = {host: 'db.tars.com'};",
    );
    let model = b"module.exports = (s, D) => s.define('t_node_info', { node_name: {} }, \
        { tableName: 't_node_info', timestamps: false });";
    put(dir, "app/dao/db/db_tars_models/t_node_info.js", model);
    put(dir, "node_modules/koa/package.json", b"{}");
    let mut native = b"\x7fELF\x02\x01".to_vec();
    native.resize(18, 0);
    native.extend([62, 0, 0, 0]);
    put(dir, "node_modules/koa/prebuilds/linux-x64/k.node", &native);
    fs::create_dir_all(dir.join("node_modules/.bin")).unwrap();
    let _there = symlink("../koa/package.json", dir.join("node_modules/.bin/koa"));
    put(dir, ".git/HEAD", b"ref");
    put(dir, "log/app.log", b"yesterday");
}

fn spec(dir: &Path, web: &str) {
    let text = format!(
        "schema: tarsops/v1\ncluster: prod\n\
         framework: {{version: 3.0.17, packages: ./packages}}\n\
         registry: {{endpoints: [10.0.0.1:17890]}}\n\
         web:\n  url: http://10.0.0.1:3000\n  ticket: {{env: TICKET}}\n{web}\
         nodes: [{{name: 10.0.0.1, roles: [master]}}]\n"
    );
    fs::write(dir.join("cluster.yaml"), text).unwrap();
}

const ARCHIVE: &str = "packages/tars-web-3.0.15.tgz";

#[test]
fn a_platform_is_packed_pinned_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    checkout(&dir.join("TarsWeb"), "3.0.15");
    put(dir, "packages/.keep", b"");
    let words = [
        "package",
        "web",
        "TarsWeb",
        "-o",
        ARCHIVE,
        "--machine",
        "x86_64",
    ];
    let made = run(dir, &words);
    assert!(made.status.success(), "{}", said(&made));
    assert!(said(&made).contains("platform 3.0.15"), "{}", said(&made));
    let archive = fs::read(dir.join(ARCHIVE)).unwrap();
    // Neither the time nor who packs it is in it.
    let later = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    let touched = fs::File::open(dir.join("TarsWeb/bin/www")).unwrap();
    touched.set_times(later).unwrap();
    assert!(run(dir, &words).status.success());
    assert_eq!(fs::read(dir.join(ARCHIVE)).unwrap(), archive);

    // A tarsnode lies beside it, as a lock needs one.
    let mut node = b"\x7fELF\x02\x01".to_vec();
    node.resize(16, 0);
    node.extend([2, 0]);
    put(dir, "root/tarsnode/tarsnode", &node);
    let tar = Command::new("tar")
        .args(["-C", "root", "-czf", "packages/tarsnode.tgz", "tarsnode"])
        .current_dir(dir)
        .status();
    assert!(tar.unwrap().success());
    spec(dir, &format!("  version: 3.0.15\n  package: ./{ARCHIVE}\n"));
    let locked = run(dir, &["package", "lock"]);
    assert!(locked.status.success(), "{}", said(&locked));
    let digest = Digest::of(&archive);
    assert!(said(&locked).contains(&digest.short()), "{}", said(&locked));
    let listed = run(dir, &["package", "ls"]);
    let row = "web                3.0.15    yes";
    assert!(said(&listed).contains(row), "{}", said(&listed));
    let listed = run(dir, &["package", "ls", "--json"]);
    let document: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let platform = &document["platforms"][0];
    assert_eq!(platform["archive"], digest.to_string());
    assert_eq!(platform["models"]["db_tars"]["t_node_info"][0], "node_name");

    // The spec asks for it.
    let remove = ["package", "rm", "--component", "web", "--version", "3.0.15"];
    let kept = run(dir, &remove);
    assert!(
        said(&kept).contains("the spec asks for the platform"),
        "{}",
        said(&kept)
    );
    spec(dir, "");
    assert!(run(dir, &remove).status.success());
    let again = run(dir, &remove);
    assert!(
        said(&again).contains("no such platform"),
        "{}",
        said(&again)
    );
}

#[test]
fn a_platform_that_cannot_be_installed_is_refused_and_not_left() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let web = dir.join("TarsWeb");
    checkout(&web, "3.0.15");
    let refused = |words: &[&str], why: &str| {
        let mut all = vec!["package", "web", "TarsWeb", "-o", "web.tgz"];
        all.extend(words);
        let output = run(dir, &all);
        assert!(!output.status.success(), "{why}");
        assert!(said(&output).contains(why), "{}", said(&output));
        assert!(!dir.join("web.tgz").exists());
    };
    let words = ["--machine", "aarch64"];
    refused(&words, "for x86_64, and not for aarch64");
    let link = web.join("node_modules/.bin/out");
    symlink("/etc/passwd", &link).unwrap();
    refused(&[], "leads out of the archive");
    fs::remove_file(link).unwrap();
    put(
        &web,
        "config/webConf.js",
        b"module.exports = {password: 'hunter2'};",
    );
    refused(&[], "that of an installation");
    checkout(&web, "3.0.15");
    fs::remove_dir_all(web.join("node_modules")).unwrap();
    refused(&[], "npm install --omit=dev");
    // Another version than the spec's.
    checkout(&web, "3.0.14");
    let made = run(dir, &["package", "web", "TarsWeb", "-o", "web.tgz"]);
    assert!(made.status.success(), "{}", said(&made));
    spec(dir, "  version: 3.0.15\n  package: ./web.tgz\n");
    let locked = run(dir, &["package", "lock"]);
    let why = "holds the platform 3.0.14, and the spec wants 3.0.15";
    assert!(said(&locked).contains(why), "{}", said(&locked));
    spec(dir, "  version: 3.0.15\n");
    let locked = run(dir, &["package", "lock"]);
    assert!(said(&locked).contains("is not pinned"), "{}", said(&locked));
}
