//! What must not be so of containers on the hosts of the framework.

use tarsops_model::container::{ContainerFacts, DockerFacts};
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, Node, first_of};
use super::rule::{About, ExplainedBy, Rule, Seen, Source};
use crate::finding::{Finding, RuleName, Severity};

/// Whether the engines of all hosts that have containers were asked and answered.
pub(super) const SEEN: fn(&Facts<'_>) -> Seen = seen;

fn seen(facts: &Facts<'_>) -> Seen {
    for node in &facts.nodes {
        let container = facts.input.desired.container(node.name).is_some();
        match node.host {
            None if container => {
                return Seen::Unknown(format!("{}: its host was not seen", node.name));
            }
            Some(host) if container || host.docker.is_some() => {
                let why = match &host.docker {
                    // A node that has its tarsnode by script needs no engine.
                    Some(docker) if !container && docker.has_none() => None,
                    Some(docker) => docker.engine.why(&docker.socket, &host.user),
                    None => Some(("its engine was not looked at".to_owned(), String::new())),
                };
                if let Some((why, _)) = why {
                    return Seen::Unknown(format!("{}: {why}", node.name));
                }
            }
            _ => {}
        }
    }
    Seen::All
}

/// The engine of a host whose framework is a container cannot be asked.
pub(super) static ENGINE: Rule = Rule {
    name: RuleName::new("engine-silent"),
    meaning: "the engine of containers on a framework host is not there, not reachable, or not allowed to be asked",
    healthy: "every engine of the framework's containers answers",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: engine,
    explained_by: ExplainedBy::Reported,
    ..Rule::DEFAULT
};

/// A container that was replaced may start beside the one that replaced it.
pub(super) static RETIRED: Rule = Rule {
    name: RuleName::new("retired-may-start"),
    meaning: "a framework container beside the one that the spec names may start by itself with its engine or host, on the same addresses",
    healthy: "no further framework container starts by itself",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: retired,
    ..Rule::DEFAULT
};

/// The framework runs as a container and by script on one host.
pub(super) static BESIDE: Rule = Rule {
    name: RuleName::new("framework-twice"),
    meaning: "a host has the framework in a container and runs components of a script installation as well; each end the other's processes and take its ports",
    healthy: "no host has the framework twice",
    about: About::Containers,
    sources: &[Source::Other(SEEN), Source::Hosts(|host| host.components())],
    find: beside,
    ..Rule::DEFAULT
};

/// The engine has started a container again.
pub(super) static RESTARTED: Rule = Rule {
    name: RuleName::new("container-restarted"),
    severity: Severity::Warning,
    meaning: "the engine has started a framework container again after it ended; each start is an installation, which resets rows and published versions",
    healthy: "no engine has started a framework container again",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: restarted,
    ..Rule::DEFAULT
};

/// Something replaces containers by itself.
pub(super) static WATCHTOWER: Rule = Rule {
    name: RuleName::new("watchtower"),
    severity: Severity::Warning,
    meaning: "watchtower runs on a framework host: it replaces containers by itself, with their present environment and without a way back",
    healthy: "nothing replaces the framework's containers by itself",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: watchtower,
    ..Rule::DEFAULT
};

/// Somebody else describes the container as well.
pub(super) static OWNED: Rule = Rule {
    name: RuleName::new("container-owned"),
    severity: Severity::Warning,
    meaning: "a file of compose or a unit of systemd describes the framework's container too, and may make another one of it",
    healthy: "nothing else describes the framework's containers",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: owned,
    ..Rule::DEFAULT
};

/// The framework is in Kubernetes, which is another product.
pub(super) static KUBERNETES: Rule = Rule {
    name: RuleName::new("kubernetes"),
    severity: Severity::Blocked,
    meaning: "a framework container is owned by Kubernetes, whose Tars is another product; nothing is changed",
    healthy: "no framework container is owned by Kubernetes",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: kubernetes,
    ..Rule::DEFAULT
};

/// The tag of the image moves.
pub(super) static TAG: Rule = Rule {
    name: RuleName::new("image-tag-moves"),
    severity: Severity::Warning,
    meaning: "the spec names its image by a tag that means another image tomorrow, such as `latest`",
    healthy: "the image is named by a tag of a release",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find: tag,
    ..Rule::DEFAULT
};

/// Tags that are made again with every build.
const MOVING: [&str; 4] = ["latest", "stable", "nightly", "dev"];

/// The hosts whose engine was looked at.
fn looked<'f>(
    facts: &'f Facts<'_>,
) -> impl Iterator<Item = (&'f Node<'f>, ResourceId, &'f DockerFacts)> {
    facts.nodes.iter().filter_map(|node| {
        let docker = node.host?.docker.as_deref()?;
        Some((node, ResourceId::Container(node.name.clone()), docker))
    })
}

/// The name of the framework's container on a host, where the spec has one there.
fn name<'f>(facts: &'f Facts<'_>, node: &Node<'_>) -> &'f str {
    let container = facts.input.desired.container(node.name);
    container.map_or("", |c| c.name.as_str())
}

fn engine(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (node, resource, docker) in looked(facts) {
        let Some(host) = node.host else { continue };
        if facts.input.desired.container(node.name).is_none() {
            continue;
        }
        if let Some((why, fix)) = docker.engine.why(&docker.socket, &host.user) {
            let said = why.clone();
            found.push(ENGINE.finding(resource, why, fix).source("host", said));
        }
    }
}

fn retired(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (node, resource, docker) in looked(facts) {
        let wanted = name(facts, node);
        // Without a name in the spec nobody can say which one is the framework's.
        if wanted.is_empty() {
            continue;
        }
        let others = docker
            .listed()
            .filter(|c| c.is_framework && c.name != wanted && c.restart.may_start());
        for other in others {
            let text = format!(
                "the container {} is {} and starts by itself with its engine: its restart policy is `{}`",
                other.name,
                other.state,
                other.restart.word()
            );
            let fix = format!(
                "run `docker update --restart=no {}` there, or remove it",
                other.name
            );
            let finding = RETIRED.finding(resource.clone(), text, fix);
            found.push(finding.source(other.name.clone(), other.restart.word()));
        }
    }
}

fn beside(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (node, resource, docker) in looked(facts) {
        let wanted = name(facts, node);
        let containers: Vec<&str> = docker
            .of_framework(wanted)
            .filter(|c| c.is_framework)
            .map(|c| c.name.as_str())
            .collect();
        let running = node.host.and_then(|host| host.components.present());
        let own = running.filter(|all| !all.is_empty());
        let (Some(own), false) = (own, containers.is_empty()) else {
            continue;
        };
        let text = format!(
            "it has the framework in the container {} and runs {} outside of it",
            containers.join(", "),
            first_of(own, 3)
        );
        let fix = "stop one of them: a start of either ends the processes of the other";
        let finding = BESIDE.finding(resource, text, fix);
        found.push(finding.source("host", first_of(own, 12)));
    }
}

/// Containers of the framework that run, or should.
fn active<'f>(
    facts: &'f Facts<'_>,
    node: &Node<'_>,
    docker: &'f DockerFacts,
) -> impl Iterator<Item = &'f ContainerFacts> {
    let wanted = name(facts, node);
    docker
        .listed()
        .filter(move |c| c.is_framework && (wanted.is_empty() || c.name == wanted))
}

fn restarted(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (node, resource, docker) in looked(facts) {
        for container in active(facts, node, docker).filter(|c| c.restarts > 0) {
            let times = match container.restarts {
                1 => "once".to_owned(),
                n => format!("{n} times"),
            };
            let text = format!(
                "the engine has started the container {} again {times}, the last time at {}: rows, states and published versions of the host were reset",
                container.name, container.started_at
            );
            let fix = format!(
                "see `docker logs {}` there for why it ended, and check what was published or stopped on purpose",
                container.name
            );
            let finding = RESTARTED.finding(resource.clone(), text, fix);
            found.push(finding.source("engine", format!("RestartCount {}", container.restarts)));
        }
    }
}

fn watchtower(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (_, resource, docker) in looked(facts) {
        let running = docker.listed().find(|c| c.is_watchtower() && c.runs());
        if let Some(container) = running {
            let text = format!(
                "watchtower runs there as {}: it replaces containers by itself when a tag moves",
                container.name
            );
            let fix = "stop it, or give the framework's container the label com.centurylinklabs.watchtower.enable=false";
            let finding = WATCHTOWER.finding(resource, text, fix);
            found.push(finding.source(container.name.clone(), container.image_name.clone()));
        }
    }
}

fn owned(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (node, resource, docker) in looked(facts) {
        let mut owners: Vec<(String, String)> = Vec::new();
        for container in active(facts, node, docker) {
            for file in container.compose_files() {
                let read = if docker.unread.contains(file) {
                    "compose, and it could not be read"
                } else {
                    "compose"
                };
                owners.push((file.to_owned(), read.to_owned()));
            }
        }
        let units = docker.units.iter();
        owners.extend(units.map(|unit| (unit.clone(), "it runs docker".to_owned())));
        owners.dedup();
        if owners.is_empty() {
            continue;
        }
        let names = first_of(owners.iter().map(|(file, _)| file), 3);
        let text = format!("{names} may make or start the framework's container as well");
        let fix = "keep the container in one place: take it out of these, or leave it to them";
        found.push(OWNED.finding(resource, text, fix).sources(owners));
    }
}

fn kubernetes(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for (_, resource, docker) in looked(facts) {
        let owned = |c: &&ContainerFacts| c.is_framework && c.is_of_kubernetes();
        if let Some(container) = docker.listed().find(owned) {
            let text = format!(
                "Kubernetes owns the framework's container {}, and would undo every change",
                container.name
            );
            let fix =
                "manage it with its own tools: K8SFramework and the Helm chart are other products";
            let finding = KUBERNETES.finding(resource, text, fix);
            found.push(finding.source("engine", container.name.clone()));
        }
    }
}

fn tag(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    let Some((node, container)) = facts.input.desired.containers().next() else {
        return;
    };
    let image = &container.image;
    if image.digest().is_some() {
        return;
    }
    let tag = image.tag().unwrap_or("latest");
    if MOVING.contains(&tag) {
        let text = format!("the image {image} is named by the tag `{tag}`, which moves");
        let fix = "name the tag of a release: what counts is the lock file, and hosts that pull by this name get something else";
        let resource = ResourceId::Container(node.clone());
        let finding = TAG.finding(resource, text, fix);
        found.push(finding.source("spec", image.as_str()));
    }
}
