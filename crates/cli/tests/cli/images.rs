//! The image of a framework of containers: pinned from its archive, without an engine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tarsops_model::digest::Digest;

const DEPLOY: &str = "usr/local/tars/cpp/deploy";

/// Packs all that is below a folder.
fn tar(folder: &Path, to: &Path) {
    let done = Command::new("tar")
        .args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C"])
        .arg(folder)
        .arg("-cf")
        .arg(to)
        .arg(".")
        .status();
    assert!(done.unwrap().success());
}

/// An archive as `docker save` writes it, of a framework of this version.
fn archive(dir: &Path, version: &str, env: &str) {
    let at = |name: &str| dir.join(name);
    let (root, image) = (at("root"), at("image"));
    for folder in [&root, &image] {
        let _none = fs::remove_dir_all(folder);
    }
    fs::create_dir_all(root.join(DEPLOY).join("web")).unwrap();
    let put = |name: &str, text: &str| fs::write(root.join(DEPLOY).join(name), text).unwrap();
    put("FRAMEWORK_VERSION.txt", version);
    put("docker-init.sh", "#!/bin/bash\n");
    put("web/package.json", "{\"version\": \"3.0.15\"}");
    fs::create_dir_all(image.join("a")).unwrap();
    tar(&root, &image.join("a/layer.tar"));
    let layer = Digest::of(&fs::read(image.join("a/layer.tar")).unwrap());
    let config = json!({
        "architecture": "amd64",
        "config": {"Env": [env]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    });
    fs::write(image.join("c.json"), config.to_string()).unwrap();
    let manifest = json!([{"Config": "c.json", "Layers": ["a/layer.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string()).unwrap();
    tar(&image, &at("framework.tar"));
}

fn spec(dir: &Path, archive: &str) {
    let text = format!(
        "schema: tarsops/v1\ncluster: prod\n\
         framework: {{version: 3.0.17, packages: ./packages, deployment: docker}}\n\
         docker:\n  image: tarscloud/framework:v3.0.20\n{archive}  installer: {{password: {{env: ROOT}}}}\n\
         database: {{address: 10.0.0.9:3306, user: tarsAdmin, password: {{env: DB}}}}\n\
         registry: {{endpoints: [10.0.0.1:17890]}}\n\
         nodes: [{{name: 10.0.0.1, roles: [master]}}]\n"
    );
    fs::write(dir.join("cluster.yaml"), text).unwrap();
}

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

#[test]
fn an_image_is_pinned_from_its_archive() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    archive(dir, "3.0.17\n", "PATH=/bin");
    spec(dir, "  archive: ./framework.tar\n");
    let locked = run(dir, &["package", "lock"]);
    assert!(locked.status.success(), "{}", said(&locked));
    let id = Digest::of(&fs::read(dir.join("image/c.json")).unwrap());
    assert!(said(&locked).contains(&id.short()), "{}", said(&locked));
    let listed = run(dir, &["package", "ls", "--json"]);
    let document: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let image = &document["images"][0];
    assert_eq!(image["id"], id.to_string());
    assert_eq!(image["framework"], "3.0.17");
    assert_eq!(image["console"], "3.0.15");
    // The pin is enough afterwards, and the same archive gives the same bytes.
    let before = fs::read(dir.join("cluster.yaml.lock")).unwrap();
    spec(dir, "");
    let again = run(dir, &["package", "lock"]);
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(fs::read(dir.join("cluster.yaml.lock")).unwrap(), before);
    // Another archive under the same name is said.
    archive(dir, "3.0.17\n", "PATH=/usr/bin");
    spec(dir, "  archive: ./framework.tar\n");
    let moved = run(dir, &["package", "lock"]);
    assert!(
        said(&moved).contains("is now another one"),
        "{}",
        said(&moved)
    );
}

#[test]
fn an_image_that_is_not_the_specs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    spec(dir, "  archive: ./framework.tar\n");
    let refused = |why: &str| {
        let output = run(dir, &["package", "lock"]);
        assert!(
            !output.status.success() && said(&output).contains(why),
            "{}",
            said(&output)
        );
        assert!(!dir.join("cluster.yaml.lock").exists());
    };
    refused("No such file");
    archive(dir, "3.0.16\n", "PATH=/bin");
    refused(
        "holds framework 3.0.16, and the spec wants 3.0.17; a tag is no version: v3.0.20 has it",
    );
    archive(dir, "3.0.17\n", "REBUILD=true");
    refused("would drop the framework's databases");
    fs::write(dir.join("framework.tar"), "no archive").unwrap();
    refused("cannot be used");
    spec(dir, "");
    refused("is not pinned");
}
