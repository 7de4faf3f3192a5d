//! The framework as containers on a master and a slave, in sync with its spec.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::{Component, Role};
use tarsops_model::container::{
    Container, ContainerFacts, ContainerProcess, DockerFacts, Engine, ImageFacts, Installer, Mount,
    Network, RebuildText, RestartPolicy,
};
use tarsops_model::desired::{Resource, SecretRef};
use tarsops_model::digest::Digest;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;

use super::framework::{self, shipped, template};
use super::{VERSION, VERSIONS, World, binary, core, core_binary, version};

pub const IMAGE: &str = "tarscloud/framework:v3.0.20";
pub const NAME: &str = "tars-framework";

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// What a lock file calls the image of a version.
pub fn image_name(text: &str) -> String {
    match text == VERSION {
        true => IMAGE.to_owned(),
        false => format!("tarscloud/framework:with-{text}"),
    }
}

/// The program of a component in the image of a version, which is that of its package.
pub fn program(component: Component, text: &str) -> Digest {
    match component {
        Component::Tarsnode => binary(text),
        _ => core_binary(component, text),
    }
}

/// What an engine says of the image of a version.
pub fn image(text: &str) -> ImageFacts {
    ImageFacts {
        id: digest(&format!("image {text}")),
        environment: [("PATH".to_owned(), Some("/bin".to_owned()))].into(),
        digests: BTreeSet::new(),
        tags: [image_name(text)].into(),
        layers: vec![digest(&format!("layer {text}"))],
    }
}

/// What a lock file has of the image of a version.
pub fn pin(text: &str) -> ImagePin {
    let binaries = Component::ALL.into_iter().map(|c| (c, program(c, text)));
    ImagePin {
        name: image_name(text).parse().unwrap(),
        id: image(text).id,
        registry: None,
        architecture: "amd64".to_owned(),
        layers: image(text).layers,
        framework: version(text),
        console: None,
        models: None,
        entrypoint: digest("entrypoint"),
        binaries: binaries.collect(),
    }
}

/// What runs in the container of a version.
pub fn processes(text: &str, slave: bool) -> Vec<ContainerProcess> {
    let role = if slave { Role::Slave } else { Role::Master };
    let all = Component::ALL.into_iter().filter(|c| c.placed_on(role));
    let process = |component| ContainerProcess {
        component,
        pid: 78,
        exe: Observed::Present(program(component, text)),
        namespace: Some(4026),
    };
    let mut all: Vec<ContainerProcess> = all.map(process).collect();
    all.sort_by_key(|p| p.component != Component::Tarsconfig);
    all
}

pub fn wanted(node: &NodeName, slave: bool) -> Container {
    let variables = [
        ("MYSQL_HOST", "10.0.0.9"),
        ("MYSQL_PORT", "3306"),
        ("MYSQL_USER", "root"),
        ("DOMAIN", node.as_str()),
        ("SLAVE", if slave { "true" } else { "false" }),
        ("REBUILD", "false"),
    ];
    let data = Mount {
        source: "/data/tars".to_owned(),
        writable: true,
    };
    Container {
        version: version(VERSION),
        image: IMAGE.parse().unwrap(),
        archive: None,
        socket: "/var/run/docker.sock".parse().unwrap(),
        name: NAME.parse().unwrap(),
        network: Network::Host,
        ip: node.as_str().parse().unwrap(),
        mounts: [("/data/tars".to_owned(), data)].into(),
        environment: variables.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        log_size: "100m".to_owned(),
        log_files: 5,
        stop_timeout: 60,
        retired: 1,
        installer: Installer {
            user: "root".to_owned(),
            password: SecretRef::Env("ROOT".to_owned()),
        },
    }
}

/// What an engine says of a container as it should be.
pub fn seen(wanted: &Container) -> ContainerFacts {
    let shown = wanted.environment.iter();
    let mut environment: BTreeMap<String, Option<String>> =
        shown.map(|(n, v)| (n.clone(), Some(v.clone()))).collect();
    environment.insert("MYSQL_ROOT_PASSWORD".to_owned(), None);
    environment.insert("PATH".to_owned(), Some("/bin".to_owned()));
    let limits = [("max-size", "100m"), ("max-file", "5")];
    ContainerFacts {
        id: "c0ffee".to_owned(),
        name: NAME.to_owned(),
        image: Some(image(VERSION).id),
        image_name: IMAGE.to_owned(),
        environment,
        mounts: wanted.mounts.clone(),
        network: "host".to_owned(),
        address: None,
        restart: RestartPolicy::Always,
        log: (
            "json-file".to_owned(),
            limits.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        ),
        state: "running".to_owned(),
        pid: Some(77),
        namespace: Some(4026),
        started_at: "2026-11-20T11:00:00Z".to_owned(),
        restarts: 0,
        labels: BTreeMap::new(),
        is_framework: true,
    }
}

/// What was seen of the engine with a container as it should be.
pub fn engine(container: ContainerFacts, slave: bool) -> DockerFacts {
    DockerFacts {
        socket: "/var/run/docker.sock".to_owned(),
        wanted: Some(NAME.parse().unwrap()),
        engine: Engine::Answers,
        containers: Observed::Present(vec![container]),
        images: vec![image(VERSION)],
        processes: processes(VERSION, slave),
        rebuild: BTreeSet::new(),
        unread: BTreeSet::new(),
        units: BTreeSet::new(),
    }
}

/// A master and a slave in containers, and plain nodes up to `count`, all in sync.
pub fn fleet(count: usize) -> World {
    let mut w = core::publishing(core::world(count));
    for i in 0..count.min(2) {
        let node = w.node(i);
        let container = wanted(&node, i == 1);
        let docker = engine(seen(&container), i == 1);
        w.desired.resources.remove(&ResourceId::Agent(node.clone()));
        w.desired.resources.insert(
            ResourceId::Container(node.clone()),
            Resource::Container(Box::new(container)),
        );
        for component in Component::ALL {
            let id = ResourceId::Server(component, node.clone());
            if w.desired.resources.contains_key(&id) {
                w.inventory
                    .insert_server(component, &node, Observed::Absent);
            }
        }
        put(&mut w, i, docker);
    }
    for text in VERSIONS {
        let pin = pin(text);
        w.catalog.images.insert(pin.name.clone(), pin);
    }
    let mut all = shipped(true);
    for component in Component::ALL {
        let text = "<tars>\nlog=TARS_PATH/log\n</tars>\n".to_owned();
        all.entry(format!("tars.{component}")).or_insert(text);
    }
    framework::rows(&mut w).templates =
        Observed::Present(all.iter().map(|(n, t)| template(n, t)).collect());
    w.catalog.templates.insert(version(VERSION), all);
    w
}

/// As [`fleet`], of three.
pub fn docker_world() -> World {
    fleet(3)
}

/// The container of the `i`th node runs another version; the wanted image is there as well.
pub fn runs(w: &mut World, i: usize, text: &str) {
    change(w, i, |docker| {
        docker.processes = processes(text, i == 1);
        if text != VERSION {
            docker.images.push(image(text));
        }
    });
    alter(w, i, |c| {
        c.image = Some(image(text).id);
        c.image_name = image_name(text);
    });
}

/// What was seen of the engine of the `i`th node; its host runs nothing itself.
pub fn put(w: &mut World, i: usize, docker: DockerFacts) {
    let node = w.node(i);
    let mut host = w.host(i).clone();
    host.docker = Some(Box::new(docker));
    host.components = Observed::Present(BTreeSet::new());
    host.crontab = Observed::Absent;
    w.inventory
        .insert(&node, Observed::Present(host), Observed::Absent);
}

/// Changes what was seen of the engine of the `i`th node.
pub fn change(w: &mut World, i: usize, change: impl FnOnce(&mut DockerFacts)) {
    let mut docker = (**w.host(i).docker.as_ref().unwrap()).clone();
    change(&mut docker);
    put(w, i, docker);
}

/// Changes what was seen of the container of the `i`th node.
pub fn alter(w: &mut World, i: usize, alter: impl FnOnce(&mut ContainerFacts)) {
    change(w, i, |docker| {
        let Observed::Present(all) = &mut docker.containers else {
            panic!("no list");
        };
        alter(&mut all[0]);
    });
}

pub fn container(w: &World, i: usize) -> ResourceId {
    ResourceId::Container(w.node(i))
}

/// The places where a value can be that makes a start drop the databases.
pub fn arm(w: &mut World, i: usize, place: usize, value: &str) {
    let variable = ("REBUILD".to_owned(), Some(value.to_owned()));
    let text = |file: &str| RebuildText {
        file: file.to_owned(),
        value: Some(value.to_owned()),
    };
    change(w, i, |d| match place {
        0 => {
            let Observed::Present(all) = &mut d.containers else {
                panic!("no list");
            };
            all[0].environment.extend([variable]);
        }
        1 => d.images[0].environment.extend([variable]),
        2 => {
            d.rebuild.insert(text("/srv/compose.yml"));
        }
        3 => {
            d.rebuild.insert(text("/srv/.env"));
        }
        _ => {
            d.rebuild.insert(text("/etc/systemd/system/tars.service"));
        }
    });
}
