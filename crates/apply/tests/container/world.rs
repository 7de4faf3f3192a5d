//! A host with an engine, images of the framework, and the container that is there at first.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tarsops_model::component::Component;
use tarsops_model::container::ENTRYPOINT;
use tarsops_model::digest::Digest;
use tarsops_model::names::{AbsPath, ContainerName, NodeName};
use tarsops_testkit::{Host, HostOptions, Image, Network as Hosts, require_engine_or_fail};
use tarsops_transport::mysql::Secret;

use super::super::*;
use crate::host_session::{patience, unfinished, verdict_of};
use crate::port::{Hosts as _, Scripts};
use crate::progress::{Observer, Progress};
use crate::replaced::{Ssh, alone, place, run_id};
use crate::words::ChangeWord;

pub(crate) const NAME: &str = "tars-framework";
pub(crate) const STATE: &str = "/var/lib/tarsops/test";
pub(crate) const ADDRESS: &str = "172.25.0.3";
/// A port of the registry.
pub(crate) const PORT: u16 = 17890;
/// Of the eleven components of an image, these are enough.
const COMPONENTS: [&str; 3] = ["tarsregistry", "tarsAdminRegistry", "tarsnode"];
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What its installation does: it kills what runs, and starts all anew over the volume's files. It tells of
/// each start in a file on the volume, where tests count them.
const INIT: &str = r#"#!/bin/sh
# docker-init.sh of a stand-in image.
trap 'exit 0' TERM INT
echo "start $(cat /usr/local/tars/cpp/deploy/FRAMEWORK_VERSION.txt) REBUILD=${REBUILD:-}" >>/data/tars/starts
[ "${REBUILD:-false}" != true ] || echo "databases dropped" >>/data/tars/starts
[ ! -e /data/tars/no-database ] || while :; do echo "check mysql is not alive"; sleep 0.1; done
BEHAVIOUR=$(cat /usr/local/tars/cpp/deploy/behaviour)
[ "$BEHAVIOUR" != ends ] || exit 3
for c in COMPONENTS; do
  [ "$BEHAVIOUR/$c" != lacks/tarsregistry ] || continue
  mkdir -p /usr/local/app/tars/$c/bin
  cp /usr/local/tars/cpp/deploy/framework/servers/$c/bin/$c /usr/local/app/tars/$c/bin/$c
  /usr/local/app/tars/$c/bin/$c -c 'while :; do sleep 1000; done' &
done
nc -ll -p 17890 -e true &
while :; do sleep 0.2; done
"#;

/// How an image behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Healthy,
    /// Its first process ends at once.
    Ends,
    /// One of its programs never runs.
    Lacks,
    /// It has no entrypoint.
    NoEntrypoint,
    /// Its own environment says REBUILD=true.
    Rebuild,
}

/// The program of a component in a version: a shell that waits, with some bytes behind it.
fn program(component: &str, version: &str) -> Vec<u8> {
    let mut bytes = std::fs::read("/bin/dash").expect("these tests need the shell /bin/dash");
    bytes.extend_from_slice(format!("{component} {version}").as_bytes());
    bytes
}

/// An image as the framework's are laid out.
pub(crate) fn image(version: &str, behaviour: Behaviour) -> Image {
    let mut image = Image::new();
    let busybox = Path::new("/usr/bin/busybox");
    image.program("/bin/busybox", busybox).unwrap();
    image.program("/bin/dash", Path::new("/bin/dash")).unwrap();
    for applet in ["sh", "cat", "sleep", "mkdir", "cp", "nc", "true", "echo"] {
        image.link(&format!("/bin/{applet}"), "busybox");
    }
    let deploy = "/usr/local/tars/cpp/deploy";
    for component in COMPONENTS {
        let path = format!("{deploy}/framework/servers/{component}/bin/{component}");
        image.file(&path, 0o755, program(component, version));
    }
    let word = match behaviour {
        Behaviour::Ends => "ends",
        Behaviour::Lacks => "lacks",
        _ => "healthy",
    };
    image
        .folder("/tmp", 0o1777)
        .file(&format!("{deploy}/FRAMEWORK_VERSION.txt"), 0o644, version)
        .file(&format!("{deploy}/behaviour"), 0o644, word)
        .file(
            &format!("{deploy}/web/package.json"),
            0o644,
            "{\"version\":\"3.0.15\"}",
        )
        .file(
            ENTRYPOINT,
            0o755,
            INIT.replace("COMPONENTS", &COMPONENTS.join(" ")),
        )
        .entrypoint(&["/bin/sh", ENTRYPOINT]);
    if behaviour == Behaviour::NoEntrypoint {
        image.without(ENTRYPOINT);
    }
    if behaviour == Behaviour::Rebuild {
        image.env("REBUILD", "true");
    }
    image
}

/// What has to run of a version.
pub(crate) fn programs_of(version: &str) -> BTreeMap<Component, Digest> {
    let of = |c: &&str| (c.parse().unwrap(), Digest::of(&program(c, version)));
    COMPONENTS.iter().map(of).collect()
}

/// What has to run of a version, by its path in the container.
pub(crate) fn programs(version: &str) -> BTreeMap<String, Digest> {
    let of = |c: &&str| {
        let path = format!("/usr/local/app/tars/{c}/bin/{c}");
        (path, Digest::of(&program(c, version)))
    };
    COMPONENTS.iter().map(of).collect()
}

/// Nobody listens.
pub(crate) struct Unheard;

impl Observer for Unheard {
    fn event(&self, _: &Progress<'_>) {}
}

/// How a change ended on its host.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The host's word; none where it is not known, or where there is none.
    pub(crate) word: Option<ChangeWord>,
    pub(crate) verdict: Result<(), Verdict>,
    pub(crate) log: Vec<String>,
}

impl Ended {
    fn of(report: ChangeReport) -> Self {
        match report {
            ChangeReport::Lost { log } => Self {
                word: None,
                verdict: Err(unfinished()),
                log,
            },
            ChangeReport::Verdict { word, text, log } => Self {
                word,
                verdict: verdict_of(word, text),
                log,
            },
        }
    }
}

/// One container as the engine describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) image: String,
    pub(crate) state: String,
    pub(crate) policy: String,
}

pub(crate) struct World {
    pub(crate) hosts: Hosts,
    pub(crate) host: Host,
    /// Images by version.
    pub(crate) images: BTreeMap<&'static str, Image>,
}

impl World {
    /// A host with an engine, a bridge, the images 3.0.17 and 3.0.18, and a container of the first.
    pub(crate) fn new() -> Self {
        Self::with(HostOptions::numbered(0).engine())
    }

    pub(crate) fn with(options: HostOptions) -> Self {
        require_engine_or_fail();
        let hosts = Hosts::new().unwrap();
        let host = hosts.host(options).unwrap();
        let images = ["3.0.17", "3.0.18"].map(|v| (v, image(v, Behaviour::Healthy)));
        let world = Self {
            hosts,
            host,
            images: BTreeMap::from(images),
        };
        world.sh("mkdir -p /data/tars");
        world.load("3.0.17");
        world.load("3.0.18");
        world.docker("network create --subnet 172.25.0.0/16 tars");
        world.first();
        world
    }

    /// The container of 3.0.17, as the spec would have made it.
    fn first(&self) {
        let (image, id) = ("framework:3.0.17", NAME);
        self.docker(&format!(
            "run -d --name {id} --restart always --net tars --ip {ADDRESS} --label tarsops.cluster=test \
             -v /data/tars:/data/tars -e REBUILD=false {image}"
        ));
        self.until("the first container is up", || self.runs("3.0.17"));
    }

    /// Only the new container of this world is taken away, and the first one made again.
    pub(crate) fn renew(&self) {
        self.sh("docker ps -aq | xargs -r docker rm -f >/dev/null; rm -rf /data/tars/* /var/lib/tarsops; crontab -r 2>/dev/null || :");
        self.first();
    }

    fn load(&self, version: &'static str) {
        let reference = format!("framework:{version}");
        self.host.load(&self.images[version], &reference).unwrap();
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        self.host.sh(script).unwrap()
    }

    pub(crate) fn docker(&self, line: &str) -> String {
        self.sh(&format!("docker {line}"))
    }

    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < end, "{what}: never\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// All containers, by name.
    pub(crate) fn containers(&self) -> BTreeMap<String, Seen> {
        let format =
            "{{.Name}} {{.Id}} {{.Image}} {{.State.Status}} {{.HostConfig.RestartPolicy.Name}}";
        let text = self.sh(&format!(
            "docker ps -aq | xargs -r docker inspect --format '{format}'"
        ));
        let seen = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let name = words[0].trim_start_matches('/').to_owned();
            let [id, image, state, policy] = [1, 2, 3, 4].map(|n| words[n].to_owned());
            (
                name,
                Seen {
                    id,
                    image,
                    state,
                    policy,
                },
            )
        };
        text.lines().map(seen).collect()
    }

    pub(crate) fn there(&self) -> Seen {
        self.containers()[NAME].clone()
    }

    pub(crate) fn id_of(&self, version: &str) -> String {
        static IDS: OnceLock<[String; 2]> = OnceLock::new();
        let ids = IDS.get_or_init(|| {
            ["3.0.17", "3.0.18"].map(|v| image(v, Behaviour::Healthy).id().unwrap())
        });
        ids[usize::from(version == "3.0.18")].clone()
    }

    /// Whether the container of the name runs, is of this version, and all its programs run.
    pub(crate) fn runs(&self, version: &str) -> bool {
        // The engine is asked only where it is worth it: its program takes longer than all else.
        let running = self.sh("ls -l /proc/[0-9]*/exe 2>/dev/null || :");
        programs(version)
            .keys()
            .all(|p| running.contains(p.as_str()))
            && self
                .containers()
                .get(NAME)
                .is_some_and(|seen| seen.state == "running" && seen.image == self.id_of(version))
    }

    /// How often any container was started on this host.
    pub(crate) fn starts(&self) -> Vec<String> {
        let text = self.sh("cat /data/tars/starts 2>/dev/null || :");
        text.lines().map(str::to_owned).collect()
    }

    /// The replacement of what is there by a new container of `version`.
    pub(crate) fn upgrade(&self, version: &str) -> ContainerChange {
        self.change(Some(self.there().id), self.id_of(version), version)
    }

    pub(crate) fn change(
        &self,
        old: Option<String>,
        image: String,
        version: &str,
    ) -> ContainerChange {
        let path = |p: &str| AbsPath::new(p).unwrap();
        ContainerChange {
            socket: path("/var/run/docker.sock"),
            name: NAME.to_owned(),
            old: old.map(|id| OldContainer { id, adopt: None }),
            new: NewContainer::Create(Creation {
                image,
                environment: BTreeMap::from([
                    ("SLAVE".to_owned(), "false".to_owned()),
                    ("TZ".to_owned(), "Asia/Shanghai $(id) 'x' *".to_owned()),
                ]),
                password: Some(Secret::new("s3cret $(id) 'x'")),
                mounts: vec![Mount {
                    source: path("/data/tars"),
                    target: path("/data/tars"),
                    read_only: false,
                }],
                network: Network::Bridge("tars".to_owned(), IpAddr::from([172, 25, 0, 3])),
                logs: ("10m".to_owned(), 3),
                space: 1 << 20,
            }),
            policy: "always".to_owned(),
            programs: programs(version),
            ports: BTreeSet::from([PORT]),
            settle: 0,
            deadline: 15,
            stop_timeout: 10,
            summary: format!("{NAME}: to {version}"),
        }
    }

    /// Has the host carry out a change.
    pub(crate) fn carry_out(&self, change: &ContainerChange, run: u64) -> Ended {
        self.try_as("root", change, run).unwrap()
    }

    pub(crate) fn try_as(
        &self,
        user: &str,
        change: &ContainerChange,
        run: u64,
    ) -> Result<Ended, Verdict> {
        let ssh = Ssh::to(&self.hosts, &format!("{user}@{}", self.host.ip()));
        let hosts = Scripts::over(Arc::new(ssh));
        let (place, run) = (place(), run_id(run));
        let node: NodeName = self.host.ip().to_string().parse().unwrap();
        let replacement = Replacement {
            conversation: Conversation {
                hosts: &hosts,
                progress: &Unheard,
                lease: None,
                node: &node,
                place: &place,
                id: &run,
                name: "s",
                patience: patience(change.settle, change.deadline, change.stop_timeout),
            },
            change: change.sound().unwrap(),
            holder: "a test",
            intent: "{}",
            expires: None,
        };
        alone(async {
            let host = hosts.connect(&node).await.unwrap();
            replacement.carry_out(host).await.map(Ended::of)
        })
    }

    pub(crate) fn prune(&self, keep: u32) -> Result<Vec<String>, String> {
        let ssh = Ssh::to(&self.hosts, &format!("root@{}", self.host.ip()));
        let hosts = Scripts::over(Arc::new(ssh));
        let node: NodeName = self.host.ip().to_string().parse().unwrap();
        let socket = AbsPath::new("/var/run/docker.sock").unwrap();
        let name: ContainerName = NAME.parse().unwrap();
        alone(async {
            let host = hosts.connect(&node).await.unwrap();
            prune(&*host, &place(), &socket, &name, keep).await
        })
    }

    /// What cron does each minute, until there is nothing left to end.
    pub(crate) fn cron(&self) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.sh(&format!(
                "[ ! -e {STATE}/guard.sh ] || sh {STATE}/guard.sh || :"
            ));
            let left = self.sh(&format!(
                "[ ! -e {STATE}/current ] || [ -e {STATE}/runs/*/s/verdict ] || echo left"
            ));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "cron ends nothing\n{}", self.log());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn log(&self) -> String {
        self.sh(&format!(
            "cat {STATE}/runs/*/s/log {STATE}/runs/*/s/verdict 2>/dev/null; docker ps -a 2>&1; docker logs {NAME} 2>&1; docker top {NAME} -eo pid,args 2>&1; \
             tail -n 5 {STATE}/runs/*/s/docker.err 2>/dev/null || :"
        ))
    }

    /// The version that the container of the name has, where all is as it must be after any change.
    pub(crate) fn sound(&self) -> Result<&'static str, String> {
        let all = self.containers();
        let fault = |what: &str| format!("{what}: {all:#?}\n{}", self.log());
        let there = all.get(NAME).ok_or_else(|| fault("no container"))?;
        if there.policy != "always" {
            return Err(fault("the container does not start by itself"));
        }
        let others = all.iter().filter(|(name, _)| *name != NAME);
        for (name, other) in others {
            if other.policy != "no" || other.state == "running" {
                return Err(fault(&format!("{name} may run")));
            }
            if !name.starts_with("tars-framework.old-") && name != "tars-framework.new" {
                return Err(fault(&format!("{name} is left")));
            }
        }
        let version = ["3.0.17", "3.0.18"]
            .into_iter()
            .find(|v| there.image == self.id_of(v))
            .ok_or_else(|| fault("another image"))?;
        let end = Instant::now() + Duration::from_secs(10);
        while !self.runs(version) {
            if Instant::now() > end {
                return Err(fault("its programs do not run"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let crontab = self.sh("crontab -l 2>/dev/null || :");
        if crontab.contains("tarsops") {
            return Err(fault(&format!("the crontab is {crontab}")));
        }
        if self.starts().iter().any(|l| l.contains("dropped")) {
            return Err(fault("databases were dropped"));
        }
        Ok(version)
    }
}
