//! Images of the framework as `docker save` writes them: both layouts, and hostile ones.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::error::Error as _;

use serde_json::json;
use support::{Maker, gz};
use tar::EntryType;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::names::ImageName;
use tarsops_package::{ImageError, Limits, PackageError, image_limits, read_image};

const DEPLOY: &str = "usr/local/tars/cpp/deploy";

fn name() -> ImageName {
    "tarscloud/framework:v3.0.20".parse().unwrap()
}

/// The layers of a small framework: a base, and what the framework adds.
fn layers() -> Vec<Vec<u8>> {
    let base = Maker::new().dir("etc/").file("etc/os-release", b"x").tar();
    let framework = Maker::new()
        .file(&format!("{DEPLOY}/docker-init.sh"), b"#!/bin/bash\n")
        .file(&format!("{DEPLOY}/FRAMEWORK_VERSION.txt"), b"3.0.17\n")
        .file(
            &format!("{DEPLOY}/web/package.json"),
            br#"{"name": "tars-node-web", "version": "3.0.15"}"#,
        )
        .file(
            &format!("{DEPLOY}/framework/servers/tarsnode/bin/tarsnode"),
            b"\x7fELF node",
        )
        .tar();
    vec![base, framework]
}

fn sha(data: &[u8]) -> String {
    format!("sha256:{}", Digest::of(data))
}

fn config(layers: &[Vec<u8>], env: &[&str]) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|l| sha(l)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": env, "Entrypoint": ["/usr/local/tars/cpp/deploy/docker-init.sh"]},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    serde_json::to_vec(&config).unwrap()
}

/// An archive as engines before 25 write it.
fn old(layers: &[Vec<u8>], config: &[u8]) -> Vec<u8> {
    let mut archive = Maker::new();
    let mut names = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let name = format!("{i:064}/layer.tar");
        archive = archive
            .file(&format!("{i:064}/VERSION"), b"1.0")
            .file(&name, layer);
        names.push(name);
    }
    let manifest = json!([{"Config": "c.json", "RepoTags": ["t:1"], "Layers": names}]);
    archive
        .file("c.json", config)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .tar()
}

/// An archive in the layout of OCI, its layers compressed, its manifest first.
fn new(layers: &[Vec<u8>], config: &[u8]) -> Vec<u8> {
    let blob = |data: &[u8]| format!("blobs/sha256/{}", Digest::of(data));
    let packed: Vec<Vec<u8>> = layers.iter().map(|l| gz(l)).collect();
    let names: Vec<String> = packed.iter().map(|l| blob(l)).collect();
    let manifest = json!([{"Config": blob(config), "RepoTags": null, "Layers": names}]);
    let mut archive = Maker::new()
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .file("oci-layout", br#"{"imageLayoutVersion": "1.0.0"}"#)
        .file("index.json", b"{}")
        .file(&blob(config), config);
    for layer in &packed {
        archive = archive.file(&blob(layer), layer);
    }
    archive.tar()
}

fn read(archive: &[u8]) -> Result<tarsops_model::package::ImagePin, ImageError> {
    read_image(archive, &name(), &image_limits())
}

#[test]
fn both_layouts_are_the_same_image() {
    let layers = layers();
    let config = config(&layers, &["PATH=/usr/bin", "REBUILD=false"]);
    let pin = read(&old(&layers, &config)).unwrap();
    assert_eq!(pin.id, Digest::of(&config));
    assert_eq!(pin.layers, [Digest::of(&layers[0]), Digest::of(&layers[1])]);
    assert_eq!(pin.framework.to_string(), "3.0.17");
    assert_eq!(pin.console.unwrap().to_string(), "3.0.15");
    assert_eq!(pin.entrypoint, Digest::of(b"#!/bin/bash\n"));
    assert_eq!(pin.architecture, "amd64");
    assert_eq!(
        pin.binaries[&Component::Tarsnode],
        Digest::of(b"\x7fELF node")
    );
    assert_eq!(pin.registry, None);
    assert_eq!(read(&new(&layers, &config)).unwrap(), pin);
    assert_eq!(read(&gz(&old(&layers, &config))).unwrap(), pin);
}

#[test]
fn a_layer_that_comes_twice_is_a_link() {
    let mut layers = layers();
    layers.push(layers[0].clone());
    let config = config(&layers, &[]);
    let link = format!("../{:064}/layer.tar", 0);
    let manifest = json!([{"Config": "c.json", "Layers": [
        format!("{:064}/layer.tar", 0), "b/layer.tar", "c/layer.tar"]}]);
    let archive = Maker::new()
        .file(&format!("{:064}/layer.tar", 0), &layers[0])
        .file("b/layer.tar", &layers[1])
        .entry(EntryType::Symlink, b"c/layer.tar", link.as_bytes(), b"")
        .file("c.json", &config)
        .file("manifest.json", &serde_json::to_vec(&manifest).unwrap())
        .tar();
    assert_eq!(read(&archive).unwrap().layers.len(), 3);
}

#[test]
fn later_layers_replace_and_remove() {
    let version = |version: &[u8]| {
        Maker::new()
            .file(&format!("{DEPLOY}/FRAMEWORK_VERSION.txt"), version)
            .tar()
    };
    let mut all = layers();
    all.push(version(b"3.0.18\n"));
    let pin = read(&old(&all, &config(&all, &[]))).unwrap();
    assert_eq!(pin.framework.to_string(), "3.0.18");
    for gone in [
        format!("{DEPLOY}/.wh.docker-init.sh"),
        format!("{DEPLOY}/.wh..wh..opq"),
        "usr/local/.wh.tars".to_owned(),
        "usr/local/tars".to_owned(),
    ] {
        let mut all = layers();
        all.push(Maker::new().file(&gone, b"").tar());
        let why = read(&old(&all, &config(&all, &[]))).unwrap_err();
        let lacks =
            matches!(&why, ImageError::NoFramework { path } if path.ends_with("docker-init.sh"));
        assert!(lacks, "{gone}: {why}");
    }
}

#[test]
fn a_moved_or_damaged_layer_is_refused() {
    let layers = layers();
    let right = config(&layers, &[]);
    let mut wrong = layers.clone();
    *wrong[1].get_mut(600).unwrap() ^= 1;
    let why = read(&old(&wrong, &right)).unwrap_err();
    assert!(matches!(why, ImageError::Layer { number: 2, .. }), "{why}");
    let why = read(&old(&layers[..1], &right)).unwrap_err();
    assert!(matches!(why, ImageError::Layers { .. }), "{why}");
}

#[test]
fn an_image_that_would_drop_databases_is_refused() {
    let layers = layers();
    for value in ["true", "TRUE", "1", "yes"] {
        let config = config(&layers, &["A=b", &format!("REBUILD={value}")]);
        let why = read(&old(&layers, &config)).unwrap_err();
        assert!(matches!(why, ImageError::Rebuilds { .. }), "{value}: {why}");
    }
}

#[test]
fn archives_of_other_kinds_are_told_apart() {
    let layers = layers();
    let good = config(&layers, &[]);
    let whole = old(&layers, &good);
    let cut = read(&whole[..whole.len() / 2]).unwrap_err();
    assert!(
        cut.source().is_some() || matches!(cut, ImageError::NoManifest),
        "{cut}"
    );
    assert!(matches!(
        read(b"").unwrap_err(),
        ImageError::Archive(PackageError::Empty)
    ));
    let package = Maker::new().file("tarsnode/bin/tarsnode", b"x").tar();
    assert!(matches!(
        read(&package).unwrap_err(),
        ImageError::NoManifest
    ));
    let several = json!([{"Config": "a", "Layers": []}, {"Config": "b", "Layers": []}]);
    let several = Maker::new()
        .file("manifest.json", &serde_json::to_vec(&several).unwrap())
        .tar();
    assert!(matches!(
        read(&several).unwrap_err(),
        ImageError::Count { count: 2 }
    ));
    let no_json = Maker::new().file("manifest.json", b"[{").tar();
    assert!(matches!(
        read(&no_json).unwrap_err(),
        ImageError::Json { .. }
    ));
    let lacks = json!([{"Config": "c.json", "Layers": ["x/layer.tar", "y/layer.tar"]}]);
    let lacks = Maker::new()
        .file("c.json", &good)
        .file("manifest.json", &serde_json::to_vec(&lacks).unwrap())
        .tar();
    assert!(matches!(
        read(&lacks).unwrap_err(),
        ImageError::Lacks { .. }
    ));
    let zstd = json!([{"Config": "c.json", "Layers": ["x", "y"]}]);
    let zstd = Maker::new()
        .file("c.json", &good)
        .file("x", b"\x28\xb5\x2f\xfd....")
        .file("y", b"\x28\xb5\x2f\xfd....")
        .file("manifest.json", &serde_json::to_vec(&zstd).unwrap())
        .tar();
    assert!(matches!(read(&zstd).unwrap_err(), ImageError::Zstd));
}

#[test]
fn hostile_archives_are_refused_in_bounded_memory() {
    let small = Limits {
        max_entries: 8,
        max_total: 1 << 20,
        ratio_from: 64 << 10,
        ..image_limits()
    };
    let read = |archive: &[u8]| read_image(archive, &name(), &small).unwrap_err();
    let many = (0..20).fold(Maker::new(), |m, i| m.file(&format!("f{i}"), b"x"));
    let why = read(&many.tar());
    assert!(
        matches!(why, ImageError::Archive(PackageError::TooMuch { .. })),
        "{why}"
    );
    // A kilobyte that unpacks to a gigabyte, in a layer and around everything.
    let zeros = vec![0; 64 << 20];
    let bomb = Maker::new().file("x", &gz(&zeros)).tar();
    assert!(bomb.len() < 1 << 20);
    let why = read(&bomb);
    assert!(
        matches!(why, ImageError::Archive(PackageError::TooMuch { .. })),
        "{why}"
    );
    let why = read(&gz(&zeros));
    assert!(matches!(why, ImageError::Archive(_)), "{why}");
    // A header that claims more than there is.
    let claims = Maker::new().claims(EntryType::XHeader, "x", 1 << 40).tar();
    let why = read(&claims);
    assert!(
        matches!(why, ImageError::Archive(PackageError::TooMuch { .. })),
        "{why}"
    );
    let claims = Maker::new()
        .claims(EntryType::Regular, "manifest.json", 1 << 40)
        .tar();
    read(&claims);
    let twice = Maker::new().file("a", b"x").file("a", b"x").tar();
    let why = read(&twice);
    assert!(
        matches!(why, ImageError::Archive(PackageError::Duplicate { .. })),
        "{why}"
    );
}

#[test]
fn no_byte_of_an_archive_makes_it_panic_or_another_image() {
    let layers = layers();
    let config = config(&layers, &[]);
    let whole = old(&layers, &config);
    let pin = read(&whole).unwrap();
    for at in (0..whole.len()).step_by(37) {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        if let Ok(other) = read(&altered) {
            // What means nothing may differ; what is pinned and in the layers may not.
            if other.id == pin.id {
                assert_eq!(other, pin, "byte {at}");
            }
        }
    }
}

/// What the platform of an image would drop is known from its models.
#[test]
fn the_columns_of_the_platforms_models_are_read() {
    let model = |column: &str| {
        format!(
            "module.exports = (s, D) => s.define('t_x', {{ id: {{}}, {column}: {{}} }}, \
             {{ tableName: 't_x', timestamps: false }});"
        )
    };
    let path = format!("{DEPLOY}/web/app/dao/db/db_tars_models/t_x.js");
    let columns = |further: Vec<Vec<u8>>| {
        let mut layers = layers();
        layers.push(Maker::new().file(&path, model("old").as_bytes()).tar());
        layers.extend(further);
        let config = config(&layers, &["PATH=/bin"]);
        let pin = read_image(&old(&layers, &config)[..], &name(), &image_limits()).unwrap();
        let models = pin.models?;
        let columns = models.get("db_tars").and_then(|db| db.get("t_x"));
        columns.map(|all| all.iter().cloned().collect::<Vec<_>>().join(" "))
    };
    assert_eq!(columns(vec![]).unwrap(), "id old");
    let newer = Maker::new().file(&path, model("newer").as_bytes()).tar();
    assert_eq!(columns(vec![newer]).unwrap(), "id newer");
    // A layer takes the platform away: then nothing is known of it.
    let gone = Maker::new()
        .file(&format!("{DEPLOY}/web/app/.wh.dao"), b"")
        .tar();
    assert_eq!(columns(vec![gone]), None);
    let odd = Maker::new().file(&path, b"s.define(name)").tar();
    assert_eq!(columns(vec![odd]), None);
}
