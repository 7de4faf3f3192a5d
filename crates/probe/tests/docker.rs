//! A look at the engine of containers: the script as it is sent, against a `docker` that answers what an
//! engine 20.10 has said (`fixtures/docker`), or fails as it does.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests make files and start shells"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::Mutex;
use std::time::Duration;

use support::Host;
use tarsops_model::component::Component;
use tarsops_model::container::{ContainerFacts, DockerFacts, Engine, RestartPolicy};
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_probe::{DockerLook, Options, look};

const CONTAINERS: &str = include_str!("../../../fixtures/docker/containers.jsonl");
const IMAGES: &str = include_str!("../../../fixtures/docker/images.jsonl");

/// A `docker` that notes what it is asked, and answers from files beside its folder.
const DOCKER: &str = r#"#!/bin/sh
here=${0%/*}/..
echo "$*" >>"$here/asked"
[ "$2" = "unix://$(cd "$here" && pwd)/docker.sock" ] || exit 9
[ ! -e "$here/fails" ] || { cat "$here/fails" >&2; exit 1; }
shift 2
case "$1 $2" in
  "ps -a") cat "$here/ids" ;;
  "inspect --type") cat "$here/containers"; [ ! -e "$here/gone" ] || { rm "$here/gone"; exit 1; } ;;
  "image inspect") cat "$here/images"; exit 1 ;;
esac
"#;

/// This machine as a host: with its programs but for docker, and a folder of its own.
struct Place {
    dir: tempfile::TempDir,
    _socket: UnixListener,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path();
        fs::create_dir_all(at.join("bin")).unwrap();
        fs::create_dir_all(at.join("app")).unwrap();
        // Whether or not this machine has a docker.
        for folder in ["/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                if name != "docker" {
                    let _there = symlink(entry.path(), at.join("bin").join(name));
                }
            }
        }
        let socket = UnixListener::bind(at.join("docker.sock")).unwrap();
        let place = Self {
            dir,
            _socket: socket,
        };
        place.put("bin/docker", DOCKER);
        let program = place.at("bin/docker");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        place.put("ids", "1\n2\n");
        place.put("containers", CONTAINERS);
        place.put("images", IMAGES);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn options(&self, docker: bool) -> Options {
        Options {
            install_path: self.path("app").parse().unwrap(),
            cluster: "docker-test".parse().unwrap(),
            run_user: "root".parse().unwrap(),
            rehash: true,
            parallel: 1,
            deadline: Duration::from_secs(60),
            fence: None,
            servers: vec![Component::Tarsregistry],
            docker: docker.then(|| DockerLook {
                socket: self.path("docker.sock").parse().unwrap(),
                container: "tars-framework".parse().unwrap(),
                image: "tarscloud/framework:v3.0.20".parse().unwrap(),
            }),
            console: None,
        }
    }

    /// What a look gives, and all that the host sent.
    fn look_by(&self, shell: &[&str], docker: bool) -> (Inventory, String) {
        let host = Host {
            path: self.path("bin"),
            shell: shell.iter().map(|s| (*s).to_owned()).collect(),
            said: Mutex::default(),
        };
        let options = self.options(docker);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let seen = runtime.block_on(look(&node(), &host, &options, 0)).unwrap();
        let mut inventory = Inventory::default();
        seen.into(&mut inventory);
        (inventory, host.said.into_inner().unwrap())
    }

    fn look(&self) -> (Observed<ContainerFacts>, DockerFacts) {
        let (inventory, _) = self.look_by(&["sh"], true);
        let container = inventory.container(&node()).map(Clone::clone);
        (container, docker(&inventory).unwrap().clone())
    }
}

fn node() -> NodeName {
    "10.0.0.1".parse().unwrap()
}

fn docker(inventory: &Inventory) -> Option<&DockerFacts> {
    match inventory.host(&node()) {
        Observed::Present(host) => host.docker.as_deref(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_engine_that_answers_is_read_in_three_questions() {
    let place = Place::new();
    let (container, docker) = place.look();
    assert_eq!(docker.engine, Engine::Answers);
    let Observed::Present(container) = container else {
        panic!("{container:?}");
    };
    assert!(container.is_framework && container.runs());
    assert_eq!(container.name, "tars-framework");
    assert_eq!(container.image, Some(docker.images[0].id));
    assert_eq!(container.image_name, "tarscloud/framework:v3.0.20");
    assert_eq!(container.variable("MYSQL_HOST"), Some("10.0.0.9"));
    assert_eq!(container.rebuilds(), None);
    assert_eq!(container.network, "host");
    assert_eq!(container.restart, RestartPolicy::Always);
    assert_eq!(container.log.1["max-size"], "100m");
    assert!(!container.mounts["/etc/localtime"].writable);
    assert_eq!(container.mounts["/data/tars"].source, "/data/tars");
    let old = docker.listed().find(|c| c.name == "tars-framework.old");
    let old = old.unwrap();
    assert_eq!(old.rebuilds(), Some("true"));
    assert_eq!(old.compose_files(), ["/srv/tars/docker-compose.yml"]);
    assert!(old.is_of_kubernetes());
    // The file is not there: whether it asks for a rebuild is not known.
    assert!(docker.unread.contains("/srv/tars/docker-compose.yml"));
    let asked = place.asked();
    assert_eq!(asked.len(), 3, "{asked:#?}");
    assert!(asked[1].ends_with(" 1 2"), "all in one question");
}

#[test]
fn every_shell_reads_the_same() {
    let place = Place::new();
    for shell in [&["dash"] as &[&str], &["bash"], &["busybox", "sh"]] {
        let (inventory, _) = place.look_by(shell, true);
        let container = inventory.container(&node());
        assert!(container.present().is_some(), "{shell:?}");
    }
}

#[test]
fn ways_not_to_know_are_told_apart_and_none_is_an_absence() {
    let place = Place::new();
    place.put(
        "fails",
        "Cannot connect to the Docker daemon\nIs it running?\n",
    );
    let (container, docker) = place.look();
    let why = Engine::Silent {
        why: "Is it running?".to_owned(),
    };
    assert_eq!(docker.engine, why);
    assert!(container.unknown().is_some());

    let place = Place::new();
    fs::remove_file(place.at("docker.sock")).unwrap();
    let (container, docker) = place.look();
    assert_eq!(docker.engine, Engine::NoSocket);
    assert!(container.unknown().is_some());
    assert!(place.asked().is_empty());
}

#[test]
fn a_list_without_it_is_an_absence() {
    let place = Place::new();
    let others = CONTAINERS.replace("\"/tars-framework\"", "\"/tars-framework2\"");
    place.put("containers", &others);
    let (container, docker) = place.look();
    assert!(container.is_absent());
    // By what they run they are the framework's all the same.
    assert_eq!(docker.of_framework("tars-framework").count(), 2);
    place.put("ids", "");
    let (container, docker) = place.look();
    assert!(container.is_absent());
    assert_eq!(docker.listed().count(), 0);
}

#[test]
fn a_container_that_goes_during_the_look_is_asked_about_again() {
    let place = Place::new();
    place.put("gone", "");
    let (container, _) = place.look();
    assert!(container.present().is_some());
    let asked = place.asked();
    let lists = asked.iter().filter(|a| a.contains("ps -a -q"));
    assert_eq!(lists.count(), 2);
}

#[test]
fn what_is_not_understood_is_unknown() {
    let place = Place::new();
    for odd in [
        CONTAINERS.replace("\"restart\":\"always\"", "\"restart\":\"sometimes\""),
        CONTAINERS.replace("\"env\":[", "\"env\":{"),
        "no json\"framework\":true".to_owned(),
    ] {
        place.put("containers", &odd);
        let (container, docker) = place.look();
        assert!(container.unknown().is_some(), "{odd}");
        assert!(docker.containers.unknown().is_some());
    }
}

#[test]
fn secrets_stay_on_the_host_and_are_dropped_on_arrival() {
    let place = Place::new();
    place.put(
        "compose.yml",
        "MYSQL_ROOT_PASSWORD: hunter2\n- {REBUILD: true, P: hunter2}\n",
    );
    let compose = place.path("compose.yml");
    let obeyed = CONTAINERS.replace("/srv/tars/docker-compose.yml", &compose);
    place.put("containers", &obeyed);
    let (_, said) = place.look_by(&["sh"], true);
    assert!(said.contains("MYSQL_ROOT_PASSWORD") && !said.contains("hunter2"));
    // An engine that does not obey the template.
    let told = obeyed.replace("\"MYSQL_ROOT_PASSWORD\"", "\"MYSQL_ROOT_PASSWORD=hunter2\"");
    assert_ne!(told, obeyed);
    place.put("containers", &told);
    let (container, docker) = place.look();
    let shown = format!("{container:?}{docker:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    let container = container.present().unwrap();
    assert_eq!(container.environment["MYSQL_ROOT_PASSWORD"], None);
    let values: Vec<_> = docker.rebuild.iter().map(|t| t.value.as_deref()).collect();
    assert_eq!(values, [Some("true")]);
}

#[test]
fn texts_about_a_rebuild_are_found_in_their_forms() {
    let place = Place::new();
    let folder = place.path("");
    let folder = format!("\"{}\"", folder.trim_end_matches('/'));
    let containers = CONTAINERS
        .replace("/srv/tars/docker-compose.yml", &place.path("compose.yml"))
        .replace("\"/srv/tars\"", &folder);
    place.put("containers", &containers);
    for (compose, env, armed) in [
        ("environment:\n  REBUILD: \"true\"\n", "", true),
        ("environment:\n  - REBUILD=true\n", "", true),
        ("environment:\n  - 'REBUILD=1'\n", "", true),
        ("environment: [\"REBUILD=true\", \"A=b\"]\n", "", true),
        ("environment: {REBUILD: true}\n", "", true),
        ("environment:\n  - REBUILD\n", "", true),
        ("environment:\n  REBUILD: ${REBUILD}\n", "", true),
        ("environment:\n  REBUILD: ${REBUILD:-false}\n", "", false),
        (
            "environment:\n  REBUILD: ${REBUILD:-false}\n",
            "REBUILD=true\n",
            true,
        ),
        (
            "environment:\n  REBUILD: \"false\"\n",
            "export REBUILD=yes\n",
            true,
        ),
        (
            "environment:\n  REBUILD: 'false'\n  SLAVE: 'true'\n",
            "A=true\n",
            false,
        ),
        (
            "# REBUILD: true\nenvironment:\n  A: b # REBUILD: true\n",
            "",
            false,
        ),
        ("services: {}\n", "", false),
    ] {
        place.put("compose.yml", compose);
        place.put(".env", env);
        let (_, docker) = place.look();
        let found = docker.rebuild.iter().any(|text| text.is_armed());
        assert_eq!(found, armed, "{compose}{env}{:?}", docker.rebuild);
        assert!(docker.unread.is_empty());
    }
}

/// A process of a test, which ends with it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn processes_of_a_container_are_none_of_the_hosts() {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    assert!(
        id == b"0\n",
        "this test needs root, to make a namespace of processes"
    );
    let place = Place::new();
    let program = place.at("app/tars/tarsregistry/bin/tarsregistry");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy("/bin/sleep", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let inside = Command::new("unshare")
        .args(["--pid", "--fork", "--kill-child"])
        .arg(&program)
        .arg("1000")
        .spawn();
    let _inside = Ended(inside.unwrap());
    for _ in 0..200 {
        let (inventory, _) = place.look_by(&["sh"], true);
        let Some(process) = docker(&inventory).unwrap().processes.first() else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        assert_eq!(process.component, Component::Tarsregistry);
        assert!(process.exe.present().is_some() && process.namespace.is_some());
        // The host itself has the file, and runs nothing.
        let server = inventory.server(Component::Tarsregistry, &node());
        assert!(!server.present().unwrap().runs());
        // Without containers in the spec the engine is asked for that reason.
        let (inventory, _) = place.look_by(&["sh"], false);
        assert!(docker(&inventory).is_some());
        assert!(inventory.container(&node()).unknown().is_some());
        return;
    }
    panic!("the process was not seen");
}

#[test]
fn without_containers_in_the_spec_no_engine_is_asked() {
    let place = Place::new();
    let (inventory, _) = place.look_by(&["sh"], false);
    assert_eq!(docker(&inventory), None);
    assert!(place.asked().is_empty());
}
