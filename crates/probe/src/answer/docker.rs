//! The lines about the engine of containers, and what is in them of `docker inspect`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tarsops_model::component::Component;
use tarsops_model::container::{
    ContainerFacts, ContainerProcess, DockerFacts, Engine, ImageFacts, Mount, REBUILD, RebuildText,
    RestartPolicy, SHOWN,
};
use tarsops_model::digest::Digest;
use tarsops_model::observed::Observed;

use super::line::{AnswerError, Line, fits};
use crate::Options;
use crate::limits::{CONTAINERS, INSPECT, NAMES, PATH, PROCESSES};

/// What the lines about containers have said so far.
#[derive(Default)]
pub(super) struct DockerLines {
    facts: Option<Box<DockerFacts>>,
}

impl DockerLines {
    /// Takes a line; false if it is not about containers.
    pub(super) fn read(&mut self, line: &Line<'_>, options: &Options) -> Result<bool, AnswerError> {
        if line.kind() == "docker" {
            self.facts = Some(Box::new(DockerFacts {
                socket: line.text("socket", 1, PATH)?,
                wanted: options.docker.as_ref().map(|d| d.container.clone()),
                engine: Engine::Silent {
                    why: "the host did not report it".to_owned(),
                },
                containers: Observed::Unknown("the host did not report them".to_owned()),
                images: vec![],
                processes: vec![],
                rebuild: BTreeSet::new(),
                unread: BTreeSet::new(),
                units: BTreeSet::new(),
            }));
            return Ok(true);
        }
        let Some(facts) = &mut self.facts else {
            return Ok(false);
        };
        match line.kind() {
            "engine" => {
                facts.engine = match line.word(1)? {
                    "answers" => Engine::Answers,
                    "no-program" => Engine::NoProgram,
                    "no-socket" => Engine::NoSocket,
                    "not-allowed" => Engine::NotAllowed,
                    "silent" => Engine::Silent {
                        why: line.text("failure of docker", 2, PATH)?,
                    },
                    _ => return Err(line.error()),
                };
            }
            "containers" => {
                let text = inspected(line)?;
                let all = listed(text)?;
                facts.containers = match all {
                    Ok(all) => Observed::Present(all),
                    Err(why) => Observed::Unknown(why),
                };
            }
            "images" => {
                let text = inspected(line)?;
                // One that cannot be read is one that is not known.
                facts.images = text.lines().filter_map(image).take(CONTAINERS).collect();
            }
            "unread" => {
                facts.unread.insert(line.text("file of compose", 1, PATH)?);
                fits("files of compose", facts.unread.len(), NAMES)?;
            }
            "inside" => {
                if let Ok(component) = line.word(2)?.parse::<Component>() {
                    facts.processes.push(ContainerProcess {
                        component,
                        pid: line.value(1)?,
                        exe: match line.word(3)?.parse() {
                            Ok(digest) => Observed::Present(digest),
                            Err(_) => Observed::Unknown("its executable cannot be read".to_owned()),
                        },
                        namespace: None,
                    });
                    let count = facts.processes.len();
                    fits("processes in containers", count, PROCESSES)?;
                }
            }
            "namespaces" => {
                let text = line.list("namespaces", PROCESSES)?;
                let all: BTreeMap<u32, u64> = text.lines().filter_map(namespace).collect();
                for process in &mut facts.processes {
                    process.namespace = all.get(&process.pid).copied();
                }
                if let Observed::Present(containers) = &mut facts.containers {
                    for container in containers {
                        let pid = container.pid.as_ref();
                        container.namespace = pid.and_then(|pid| all.get(pid).copied());
                    }
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Takes a part of a line of a file; false if nobody has asked for it.
    pub(super) fn read_file(&mut self, file: &str, line: &[u8]) -> Result<bool, AnswerError> {
        let Some(facts) = &mut self.facts else {
            return Ok(false);
        };
        let text = String::from_utf8_lossy(line);
        match text.split_once(REBUILD) {
            None if text.contains("docker") => {
                facts.units.insert(file.to_owned());
            }
            None => return Ok(false),
            Some((_, rest)) => {
                let quotes = ['"', '\'', ' ', '\t'];
                let value = rest.trim_start_matches(quotes).strip_prefix([':', '=']);
                facts.rebuild.insert(RebuildText {
                    file: file.to_owned(),
                    value: value.map(|v| v.trim_matches(quotes).to_owned()),
                });
            }
        }
        fits("texts about a rebuild", facts.rebuild.len(), NAMES)?;
        fits("units with docker", facts.units.len(), NAMES)?;
        Ok(true)
    }

    pub(super) fn finish(self) -> Option<Box<DockerFacts>> {
        self.facts
    }
}

/// What `docker inspect` printed.
fn inspected<'l>(line: &'l Line<'_>) -> Result<&'l str, AnswerError> {
    let raw = line.raw.as_ref().ok_or_else(|| line.error())?;
    if raw.text.len() > INSPECT {
        return Err(AnswerError::TooLong {
            what: "containers",
            most: INSPECT,
        });
    }
    std::str::from_utf8(raw.text).map_err(|_| line.error())
}

/// The containers of a list; the inner error says why it is not understood.
fn listed(text: &str) -> Result<Result<Vec<ContainerFacts>, String>, AnswerError> {
    let mut all = Vec::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        match container(line) {
            Ok(container) => all.push(container),
            Err(why) => return Ok(Err(why)),
        }
        fits("containers", all.len(), CONTAINERS)?;
    }
    Ok(Ok(all))
}

#[derive(Deserialize)]
struct RawContainer {
    id: String,
    name: String,
    image: String,
    framework: bool,
    pid: u32,
    state: String,
    started: String,
    restarts: u64,
    restart: Option<String>,
    log: RawLog,
    network: String,
    networks: Option<BTreeMap<String, Option<RawNetwork>>>,
    mounts: Option<Vec<RawMount>>,
    image_name: String,
    labels: Vec<Option<(String, String)>>,
    env: Vec<String>,
}

#[derive(Deserialize)]
struct RawLog {
    #[serde(rename = "Type")]
    kind: String,
    #[serde(rename = "Config")]
    config: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RawNetwork {
    #[serde(rename = "IPAMConfig")]
    ipam: Option<RawIpam>,
}

#[derive(Deserialize)]
struct RawIpam {
    #[serde(rename = "IPv4Address")]
    v4: Option<String>,
    #[serde(rename = "IPv6Address")]
    v6: Option<String>,
}

#[derive(Deserialize)]
struct RawMount {
    #[serde(rename = "Source", default)]
    source: String,
    #[serde(rename = "Destination")]
    destination: String,
    #[serde(rename = "RW")]
    writable: bool,
}

#[derive(Deserialize)]
struct RawImage {
    id: String,
    digests: Option<BTreeSet<String>>,
    tags: Option<BTreeSet<String>>,
    layers: Option<Vec<String>>,
    #[serde(default)]
    env: Vec<String>,
}

fn container(line: &str) -> Result<ContainerFacts, String> {
    // What the engine says may be repeated only by its place: it may have anything in it.
    let raw: RawContainer = serde_json::from_str(line)
        .map_err(|e| format!("what the engine says of a container is not understood: {e}"))?;
    let policy = raw.restart.unwrap_or_default();
    let restart = RestartPolicy::of(&policy)
        .ok_or_else(|| format!("the restart policy `{policy}` is not known"))?;
    let address = raw.networks.and_then(|mut all| {
        let ipam = all.remove(&raw.network)??.ipam?;
        let given = |address: Option<String>| address.filter(|a| !a.is_empty());
        given(ipam.v4).or_else(|| given(ipam.v6))
    });
    let mounts = raw.mounts.unwrap_or_default().into_iter().map(|m| {
        let (source, writable) = (m.source, m.writable);
        (m.destination, Mount { source, writable })
    });
    Ok(ContainerFacts {
        id: raw.id,
        name: raw.name.trim_start_matches('/').to_owned(),
        image: digest(&raw.image),
        image_name: raw.image_name,
        environment: environment(raw.env),
        mounts: mounts.collect(),
        network: raw.network,
        address,
        restart,
        log: (raw.log.kind, raw.log.config.unwrap_or_default()),
        state: raw.state,
        pid: Some(raw.pid).filter(|pid| *pid != 0),
        namespace: None,
        started_at: raw.started,
        restarts: raw.restarts,
        labels: raw.labels.into_iter().flatten().collect(),
        is_framework: raw.framework,
    })
}

fn image(line: &str) -> Option<ImageFacts> {
    let raw: RawImage = serde_json::from_str(line).ok()?;
    let layers = raw.layers.unwrap_or_default();
    Some(ImageFacts {
        id: digest(&raw.id)?,
        environment: environment(raw.env),
        digests: raw.digests.unwrap_or_default(),
        tags: raw.tags.unwrap_or_default(),
        layers: layers.iter().filter_map(|layer| digest(layer)).collect(),
    })
}

/// Whatever the host has sent, no other values than those that may be seen go further.
fn environment(all: Vec<String>) -> BTreeMap<String, Option<String>> {
    let pair = |variable: String| match variable.split_once('=') {
        Some((name, value)) if SHOWN.contains(&name) => (name.to_owned(), Some(value.to_owned())),
        Some((name, _)) => (name.to_owned(), None),
        None => (variable, None),
    };
    all.into_iter().map(pair).collect()
}

fn digest(id: &str) -> Option<Digest> {
    id.strip_prefix("sha256:")?.parse().ok()
}

/// A process and its namespace, of a line `… /proc/PID/ns/pid -> pid:[NUMBER]`.
fn namespace(line: &str) -> Option<(u32, u64)> {
    let (_, rest) = line.split_once("/proc/")?;
    let (pid, rest) = rest.split_once("/ns/pid -> pid:[")?;
    let (number, _) = rest.split_once(']')?;
    Some((pid.parse().ok()?, number.parse().ok()?))
}
