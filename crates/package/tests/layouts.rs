//! Every layout that exists is read; one file can be taken out; sources are put together.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use support::{Maker, Memory, component, deploy, gz, tgz_of};
use tar::EntryType;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::package::Layout;
use tarsops_package::{
    Archive, Found, Limits, PackageError, assemble, extract_file, read_archive, read_tree,
    read_whole_tree,
};

const NODE: Component = Component::Tarsnode;

fn read(data: &[u8]) -> Archive {
    read_archive(data, "a.tgz", &Limits::default()).unwrap()
}

fn paths(found: &Found) -> Vec<&str> {
    found.files.iter().map(|f| f.path.as_str()).collect()
}

#[test]
fn a_component_packed_whole() {
    let data = component("tarsnode", b"binary").tgz();
    let archive = read(&data);
    assert_eq!(archive.digest, Digest::of(&data));
    assert_eq!((archive.size, archive.trailing), (data.len() as u64, 0));
    let [found] = archive.found.as_slice() else {
        panic!("one component")
    };
    assert_eq!(found.layout, Layout::Component);
    assert_eq!(
        paths(found),
        [
            "bin/libx.so",
            "bin/tarsnode",
            "conf/tars.tarsnode.config.conf",
            "util/execute.sh",
            "util/start.sh",
            "util/stop.sh",
        ]
    );
    let contents = assemble(NODE, "3.0.17".parse().unwrap(), &archive.found).unwrap();
    assert!(contents.is_complete());
    let file = |p: &str| contents.file(p).unwrap();
    assert_eq!(file("bin/tarsnode").mode, 0o755);
    assert_eq!(file("bin/tarsnode").text, None);
    assert_eq!(file("util/start.sh").mode, 0o755);
    assert_eq!(file("conf/tars.tarsnode.config.conf").mode, 0o644);
    assert_eq!(file("util/start.sh").text.as_deref(), Some("#!/bin/sh\n"));
    assert_eq!(contents.pin.binary, Digest::of(b"binary"));
    assert_eq!(contents.pin.archive, Some(archive.digest));
}

#[test]
fn a_binary_alone_in_each_way() {
    for (name, lead) in [
        ("tarsstat", ""),
        ("tarsstat/tarsstat", ""),
        ("tarsstat/bin/tarsstat", "./"),
    ] {
        let data = Maker::new()
            .dir("./")
            .file(&format!("{lead}{name}"), b"b")
            .tgz();
        let archive = read(&data);
        assert_eq!(archive.found.len(), 1, "{name}");
        assert_eq!(archive.found[0].component, Component::Tarsstat);
        assert_eq!(archive.found[0].layout, Layout::Binary);
        assert_eq!(paths(&archive.found[0]), ["bin/tarsstat"]);
    }
}

#[test]
fn a_bundle_gives_all_its_components_in_one_pass() {
    let data = Maker::new()
        .file("tarsnode/bin/tarsnode", b"n")
        .file("tarsregistry/bin/tarsregistry", b"r")
        .tgz();
    let archive = read(&data);
    let got: Vec<_> = archive
        .found
        .iter()
        .map(|f| (f.component, f.layout))
        .collect();
    let bundle = Layout::Bundle;
    assert_eq!(got, [(Component::Tarsregistry, bundle), (NODE, bundle)]);
}

#[test]
fn the_templates_of_a_deploy_tree_come_along_and_may_be_all_of_it() {
    let template = |lead: &str| {
        let maker = Maker::new()
            .file(&format!("{lead}FRAMEWORK_VERSION.txt"), b"3.0.17\n")
            .file(&format!("{lead}framework/sql/db_tars.sql"), b"-- nothing\n")
            .file(
                &format!("{lead}framework/sql/template/tars.default"),
                b"<tars>\n</tars>\n",
            )
            .file(&format!("{lead}framework/sql/template/.hidden"), b"x")
            .file(&format!("{lead}framework/sql/template/old/tars.x"), b"x");
        maker.tgz()
    };
    for lead in ["", "./", "deploy/"] {
        let archive = read(&template(lead));
        assert!(archive.found.is_empty(), "{lead}");
        let names: Vec<&str> = archive.templates.keys().map(String::as_str).collect();
        assert_eq!(names, ["tars.default"]);
        assert_eq!(archive.templates["tars.default"], "<tars>\n</tars>\n");
    }
    let tree = Memory {
        files: [
            ("FRAMEWORK_VERSION.txt".into(), b"3.0.17".to_vec()),
            (
                "framework/sql/template/tars.default".into(),
                b"a=1\n".to_vec(),
            ),
        ]
        .into(),
        others: Vec::new(),
    };
    let (found, templates) = read_whole_tree(&tree, "tree", &Limits::default()).unwrap();
    assert_eq!((found.len(), templates.len()), (0, 1));
    let bad = Maker::new()
        .file("framework/sql/template/tars.default", b"\xff\xfe")
        .tgz();
    let error = read_archive(&bad[..], "a.tgz", &Limits::default()).unwrap_err();
    assert!(matches!(error, PackageError::Template { .. }), "{error}");
}

#[test]
fn a_deploy_tree_packed_or_not() {
    let version = "3.0.17".parse().unwrap();
    let mut all = Vec::new();
    for lead in ["", "./", "deploy/"] {
        let archive = read(&tgz_of(&deploy(lead, b"binary")));
        assert!(
            archive
                .found
                .iter()
                .all(|f| f.layout == Layout::Deploy && f.version == Some(version))
        );
        all.push(archive.found);
    }
    let mut tree = Memory {
        files: deploy("", b"binary").into_iter().collect(),
        others: Vec::new(),
    };
    let link = tarsops_package::tree::TreeKind::Link { target: "/".into() };
    tree.others
        .push(("web/node_modules/.bin/x".into(), link.clone()));
    all.push(read_tree(&tree, "tree", &Limits::default()).unwrap());
    let contents: Vec<_> = all
        .iter()
        .map(|f| assemble(NODE, version, f).unwrap())
        .collect();
    for c in &contents {
        assert!(c.is_complete());
        assert_eq!(c.files, contents[0].files);
        assert_eq!(c.pin.contents, contents[0].pin.contents);
    }
    assert_eq!(contents[3].pin.archive, None);

    tree.others
        .push(("framework/servers/tarsnode".into(), link));
    let error = read_tree(&tree, "tree", &Limits::default()).unwrap_err();
    assert!(matches!(error, PackageError::Link { .. }));
}

#[test]
fn long_names_are_read_in_both_ways() {
    let long = format!("tarsnode/conf/{}.conf", "x".repeat(150));
    let mut builder = tar::Builder::new(Vec::new());
    let add = |b: &mut tar::Builder<Vec<u8>>, name: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        b.append_data(&mut header, name, &b"b"[..]).unwrap();
    };
    add(&mut builder, "tarsnode/bin/tarsnode");
    add(&mut builder, &long);
    let gnu = gz(&builder.into_inner().unwrap());
    let record = format!(" path={long}\n");
    let record = format!("{}{record}", record.len() + 3);
    let pax = Maker::new()
        .entry(EntryType::XGlobalHeader, b"g", b"", b"16 comment=abcd\n")
        .file("tarsnode/bin/tarsnode", b"b")
        .entry(EntryType::XHeader, b"x", b"", record.as_bytes())
        .file("short", b"b")
        .tgz();
    for data in [gnu, pax] {
        let archive = read(&data);
        assert_eq!(format!("tarsnode/{}", archive.found[0].files[1].path), long);
    }
}

#[test]
fn what_comes_behind_the_data_is_hashed_and_told() {
    let mut data = component("tarsnode", b"b").tgz();
    data.extend_from_slice(b"garbage");
    let archive = read(&data);
    assert_eq!((archive.digest, archive.trailing), (Digest::of(&data), 7));

    let raw = component("tarsnode", b"b").tar();
    let (one, two) = raw.split_at(700);
    let members = [gz(one), gz(two)].concat();
    let archive = read(&members);
    assert_eq!(
        (archive.digest, archive.trailing),
        (Digest::of(&members), 0)
    );
}

#[test]
fn one_file_is_streamed_out_and_checked() {
    let big: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    let limits = Limits::default();
    for data in [
        component("tarsnode", &big).tgz(),
        tgz_of(&deploy("d/", &big)),
    ] {
        let layout = read(&data).found[0].layout;
        let mut out = Vec::new();
        let digest = Digest::of(&big);
        let path = "bin/tarsnode";
        let size = extract_file(&data[..], layout, NODE, path, &digest, &mut out, &limits).unwrap();
        assert_eq!((size, &out), (big.len() as u64, &big));

        let other = Digest::of(b"other");
        let e = extract_file(&data[..], layout, NODE, path, &other, &mut out, &limits).unwrap_err();
        assert!(matches!(e, PackageError::OtherDigest { .. }));
        let e = extract_file(&data[..], layout, NODE, "bin/no", &other, &mut out, &limits);
        assert!(matches!(e, Err(PackageError::NoFile { .. })));
    }
}

#[test]
fn sources_are_put_together_by_precedence() {
    let limits = Limits::default();
    let version = "3.0.17".parse().unwrap();
    let bundle = Maker::new()
        .file("tarsnode/bin/tarsnode", b"new")
        .file("tarspatch/bin/tarspatch", b"p")
        .tgz();
    let whole = component("tarsnode", b"new").tgz();
    let tree = tgz_of(&deploy("", b"new"));
    let mut found = Vec::new();
    for (name, data) in [
        ("deploy.tgz", &tree),
        ("framework.tgz", &bundle),
        ("tarsnode.tgz", &whole),
    ] {
        found.extend(read_archive(&data[..], name, &limits).unwrap().found);
    }
    let contents = assemble(NODE, version, &found).unwrap();
    assert_eq!(contents.pin.source, "tarsnode.tgz");
    let conf = contents.file("conf/tars.tarsnode.config.conf").unwrap();
    assert_eq!(conf.text.as_deref(), Some("localip=localip.tars.com\n"));
    found.reverse();
    assert_eq!(assemble(NODE, version, &found).unwrap(), contents);

    let upgrade = assemble(Component::Tarspatch, version, &found).unwrap();
    assert!(!upgrade.is_complete());
    let e = assemble(Component::Tarslog, version, &found).unwrap_err();
    assert!(matches!(e, PackageError::NoBinary { .. }));
    let e = assemble(NODE, "3.0.16".parse().unwrap(), &found).unwrap_err();
    assert!(matches!(e, PackageError::OtherVersion { .. }));
    let other = Maker::new().file("tarsnode", b"other").tgz();
    found.extend(read_archive(&other[..], "z.tgz", &limits).unwrap().found);
    let e = assemble(NODE, version, &found).unwrap_err();
    assert!(matches!(e, PackageError::Conflicting { .. }));
}
