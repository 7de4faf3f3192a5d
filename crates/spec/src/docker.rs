//! The framework as containers: what does not fit together, and the desired containers.

use std::collections::BTreeMap;

use tarsops_model::component::{Component, Role};
use tarsops_model::container::{Container, Installer, Mount, Network, REBUILD};
use tarsops_model::desired::SecretRef;
use tarsops_model::names::AbsPath;

use crate::document::{Database, Deployment, Docker, Environment, PackagesAt, Spec};
use crate::leaf;
use crate::lower::{Base, Check};
use crate::members::Member;
use crate::rules::Rule;

/// The folder of the framework's data inside of a container (framework `deploy/docker-init.sh`).
const DATA: &str = "/data/tars";
/// Seconds that a container may take to stop. An installation ends before it does.
const STOP: u64 = 60;

/// The section of the containers, if the framework is deployed so.
pub(crate) fn section(spec: &Spec) -> Option<&Docker> {
    match spec.framework.deployment {
        Deployment::Docker => spec.docker.as_ref(),
        Deployment::Script => None,
    }
}

/// Whether a node has the framework as a container.
pub(crate) fn is_in_container(spec: &Spec, member: &Member<'_>) -> bool {
    spec.framework.deployment == Deployment::Docker && member.role != Role::Node
}

/// Refuses what does not fit together.
pub(crate) fn check(check: &mut Check<'_>, members: &[Member<'_>]) {
    let spec = check.spec();
    if spec.framework.deployment == Deployment::Script {
        if spec.docker.is_some() {
            let place = check.key("docker");
            check.say(
                Rule::DockerUnused,
                &place,
                "containers are described here, and the framework is deployed by script",
                "add `deployment: docker` under `framework`, or remove this section",
            );
        }
        return;
    }
    incomplete(check);
    conflicts(check, members);
    mounts(check);
}

/// What containers need.
fn incomplete(check: &mut Check<'_>) {
    let spec = check.spec();
    let place = check.place("framework/deployment");
    if spec.docker.is_none() {
        check.say(
            Rule::DockerIncomplete,
            &place,
            "the framework is deployed as containers, which nothing describes",
            "add the section `docker` with `image` and `installer`",
        );
    }
    if spec.database.is_none() {
        check.say(
            Rule::DockerIncomplete,
            &place,
            "a container's environment names the framework's database, which the spec does not",
            "add the section `database`",
        );
    }
}

/// What contradicts containers.
fn conflicts(check: &mut Check<'_>, members: &[Member<'_>]) {
    let spec = check.spec();
    for (component, rules) in &spec.components {
        let key = if *component == Component::Tarsnode {
            continue;
        } else if rules.version.is_some() {
            "version"
        } else if rules.nodes.is_some() {
            "nodes"
        } else {
            continue;
        };
        let place = check.key(&format!("components/{component}/{key}"));
        let why = if key == "version" {
            "each start of a container puts the image's version back"
        } else {
            "a container has the components of its role"
        };
        check.say(
            Rule::DockerConflict,
            &place,
            format!("{component} is in the framework's image: {why}"),
            "remove it here; the image decides",
        );
    }
    for m in members.iter().filter(|m| is_in_container(spec, m)) {
        let Some(over) = m.over else { continue };
        for (key, is_there) in [
            ("version", over.version.is_some()),
            ("install_path", over.install_path.is_some()),
            ("replace_unknown", over.replace_unknown.is_some()),
        ] {
            if is_there {
                let place = check.key(&format!("overrides/{}/{key}", m.name));
                check.say(
                    Rule::DockerConflict,
                    &place,
                    format!(
                        "`{}` has the framework as a container, of which the image decides this",
                        m.name
                    ),
                    "remove it here",
                );
            }
        }
    }
    if let PackagesAt::Node(name) = &spec.framework.packages {
        let source = members
            .iter()
            .find(|m| m.name.as_str() == name.as_str() && is_in_container(spec, m));
        if let Some(m) = source {
            let place = check.place("framework/packages");
            check.say(
                Rule::DockerConflict,
                &place,
                format!(
                    "packages cannot be copied from `{}`: its framework is inside of a container",
                    m.name
                ),
                "name a folder with the package of tarsnode for the other nodes",
            );
        }
    }
    if let Some(docker) = &spec.docker
        && docker.network.as_str() != "host"
    {
        let inside = |m: &&Member<'_>| is_in_container(spec, m) && !m.leaves();
        let count = members.iter().filter(inside).count();
        if count > 1 {
            let place = check.place("docker/network");
            check.say(
                Rule::DockerConflict,
                &place,
                format!(
                    "{count} framework hosts would each be in a network of their own engine, where the others do not reach them"
                ),
                "write `network: host` for a framework on several hosts",
            );
        }
    }
}

/// Each place in a container is taken once.
fn mounts(check: &mut Check<'_>) {
    let Some(docker) = &check.spec().docker else {
        return;
    };
    let mut taken = BTreeMap::from([(DATA.to_owned(), "docker/data".to_owned())]);
    for (i, text) in docker.mounts.iter().enumerate() {
        let Some((_, inside, _)) = leaf::mount(text) else {
            continue;
        };
        let path = format!("docker/mounts/{i}");
        if let Some(first) = taken.get(inside.as_str()) {
            let place = check.place(&path);
            let message = format!("two mounts have the place `{inside}` in the container");
            let help = if first == "docker/data" {
                "`docker.data` is there: remove this one"
            } else {
                "remove one of them"
            };
            check.say(Rule::DuplicateMount, &place, message, help);
            continue;
        }
        taken.insert(inside.to_string(), path);
    }
}

/// The desired container of a node; none if the spec is wrong in a way that was reported.
pub(crate) fn container(check: &mut Check<'_>, m: &Member<'_>, base: &Base) -> Option<Container> {
    let spec = check.spec();
    let docker = section(spec)?;
    let database = spec.database.as_ref()?;
    let password = check.secret(
        "docker/installer/password",
        &docker.installer.password,
        base,
    );
    let archive = docker.archive.as_ref();
    let archive = archive.map(|path| check.local("docker/archive", path, base));
    Some(Container {
        version: spec.framework.version,
        image: docker.image.clone(),
        archive,
        socket: AbsPath::new(docker.socket.strip_prefix("unix://")?).ok()?,
        name: docker.container.clone(),
        network: match docker.network.as_str() {
            "host" => Network::Host,
            _ => Network::Bridge(docker.network.clone()),
        },
        ip: m.ip,
        mounts: all_mounts(docker),
        environment: environment(docker, database, m),
        log_size: docker
            .logs
            .max_size
            .clone()
            .unwrap_or_else(|| "100m".to_owned()),
        log_files: docker.logs.max_files.unwrap_or(5),
        stop_timeout: docker.stop_timeout.map_or(STOP, |s| s.0),
        retired: docker.retired.unwrap_or(1),
        installer: installer(docker, password),
    })
}

fn installer(docker: &Docker, password: SecretRef) -> Installer {
    let user = docker.installer.user.clone();
    Installer {
        user: user.unwrap_or_else(|| "root".to_owned()),
        password,
    }
}

fn all_mounts(docker: &Docker) -> BTreeMap<String, Mount> {
    let data = Mount {
        source: docker.data.to_string(),
        writable: true,
    };
    let further = docker.mounts.iter().filter_map(|text| {
        let (host, inside, writable) = leaf::mount(text)?;
        let source = host.to_string();
        Some((inside.to_string(), Mount { source, writable }))
    });
    let mut all: BTreeMap<String, Mount> = further.collect();
    all.insert(DATA.to_owned(), data);
    all
}

/// The environment without the installer's password (framework `deploy/docker-init.sh`).
fn environment(docker: &Docker, database: &Database, m: &Member<'_>) -> BTreeMap<String, String> {
    let user = docker.installer.user.as_deref().unwrap_or("root");
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    set("MYSQL_HOST", database.address.host.to_string());
    set("MYSQL_PORT", database.address.port.to_string());
    set("MYSQL_USER", user.to_owned());
    set("DOMAIN", m.name.to_string());
    set("SLAVE", (m.role == Role::Slave).to_string());
    set(REBUILD, "false".to_owned());
    let Environment {
        tz,
        tars_hostpath,
        port,
        tars_web_strict,
        tars_enable_login,
    } = &docker.environment;
    let further = [
        ("TZ", tz.clone()),
        (
            "TARS_HOSTPATH",
            tars_hostpath.as_ref().map(AbsPath::to_string),
        ),
        ("PORT", port.map(|p| p.0.to_string())),
        ("TARS_WEB_STRICT", tars_web_strict.map(|b| b.to_string())),
        (
            "TARS_ENABLE_LOGIN",
            tars_enable_login.map(|b| b.to_string()),
        ),
    ];
    for (name, value) in further {
        if let Some(value) = value {
            set(name, value);
        }
    }
    all
}
