//! `demo`: the whole story on an embedded cluster on this machine, without root.
//!
//! The hosts are loopback addresses behind one embedded SSH server; each has its own install path
//! and its own crontab. What runs on them is a stand-in for `tarsnode`. Everything lies below one
//! folder and is gone afterwards. The commands of the story are run as a person would run them: by
//! this program, through the system's `ssh`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tarsops_sandbox::cluster::{Cluster, Options, free_network};
use tarsops_sandbox::standin::{Behaviour, Identity};

use crate::args::{DemoCommand, Global};
use crate::context::{print, publish, say};
use crate::exit;
use crate::failure::{Failure, Result};

/// SSH port of the embedded hosts.
const SSH_PORT: u16 = 2222;
/// Versions in the packages folder: the third one ends as soon as it is started.
const VERSIONS: [(&str, Behaviour); 3] = [
    ("3.0.16", Behaviour::Healthy),
    ("3.0.17", Behaviour::Healthy),
    ("3.0.18", Behaviour::CrashAtStart),
];
/// How soon a stand-in rewrites its own configuration; the real one takes a minute.
const REWRITE: Duration = Duration::from_secs(2);

/// Runs the story, or leaves a cluster running, or removes one.
pub fn run(global: &Global, command: Option<DemoCommand>) -> Result {
    need_ssh()?;
    match command {
        None => story(),
        Some(DemoCommand::Up { nodes, dir }) => {
            let cluster = up(&dir, usize::from(nodes), Duration::from_secs(60))?;
            let spec = cluster.dir().join("cluster.yaml");
            lock(&spec)?;
            let document = serde_json::json!({"format": "tarsops.demo/1", "spec": spec});
            publish(
                global,
                &format!("{document:#}\n"),
                &format!("{}\n", spec.display()),
            )?;
            Ok(exit::OK)
        }
        Some(DemoCommand::Down { dir }) => {
            down(&dir)?;
            say(&format!("{} is gone", dir.display()));
            Ok(exit::OK)
        }
    }
}

fn need_ssh() -> Result<()> {
    let found = Command::new("ssh")
        .arg("-V")
        .output()
        .is_ok_and(|o| o.status.success());
    if found {
        return Ok(());
    }
    Err(Failure::new("the program ssh is not on this machine")
        .hint("install OpenSSH's client (Debian: apt-get install openssh-client)"))
}

fn down(dir: &Path) -> Result<()> {
    Cluster::down(dir).map_err(|e| {
        Failure::new(format!(
            "could not remove the embedded cluster in {}",
            dir.display()
        ))
        .because(&e)
    })
}

/// Makes a cluster and its spec.
fn up(dir: &Path, nodes: usize, cron: Duration) -> Result<Cluster> {
    let failed =
        |e: &dyn std::error::Error| Failure::new("could not make the embedded cluster").because(e);
    let mut options = Options::new().map_err(|e| failed(&e))?;
    options.ssh_port = SSH_PORT;
    options.network = free_network(SSH_PORT).ok_or_else(|| {
        Failure::new(format!(
            "port {SSH_PORT} is taken on every loopback address"
        ))
    })?;
    options.cron_period = cron;
    options.packages = VERSIONS
        .into_iter()
        .map(|(version, behaviour)| Identity::new(version, behaviour).rewriting_after(REWRITE))
        .collect();
    let cluster = Cluster::up(dir, nodes, &options).map_err(|e| failed(&e))?;
    let write = |name: &str, text: &str| {
        let path = cluster.dir().join(name);
        std::fs::write(&path, text)
            .map_err(|e| Failure::new(format!("could not write {}", path.display())).because(&e))
    };
    // The demonstration must not depend on the user's own SSH settings.
    write("ssh_config", "Host *\n  KexAlgorithms curve25519-sha256\n")?;
    write("cluster.yaml", &spec(&cluster))?;
    Ok(cluster)
}

/// The spec of an embedded cluster.
fn spec(cluster: &Cluster) -> String {
    let facts = cluster.facts();
    let hosts = &facts.hosts;
    let first = &hosts[0];
    let below = |path: &Path| {
        path.strip_prefix(cluster.dir()).map_or_else(
            |_| path.display().to_string(),
            |p| format!("./{}", p.display()),
        )
    };
    let mut out = format!(
        "# An embedded cluster for demonstrations; everything lies below this folder.\n\
         schema: tarsops/v1\n\
         cluster: demo\n\
         rebuild: never\n\
         framework:\n\
         \x20 version: {version}\n\
         \x20 packages: {packages}/{{version}}\n\
         \x20 install_path: {install}\n\
         \x20 run_user: {user}\n\
         ssh:\n\
         \x20 user: {user}\n\
         \x20 port: {port}\n\
         \x20 identity: {identity}\n\
         \x20 known_hosts: {known}\n\
         \x20 config: ./ssh_config\n\
         rpc: none\n\
         registry:\n\
         \x20 endpoints: [\"{ip}:17890\"]\n\
         rollout: {{canary: 1, max_parallel: 2, settle: 1s, deadline: 8s}}\n\
         nodes:\n",
        version = VERSIONS[0].0,
        packages = below(&facts.packages),
        install = first.install_path.display(),
        user = facts.user,
        port = first.ssh_port,
        identity = below(&facts.identity),
        known = below(&facts.known_hosts),
        ip = first.ip,
    );
    for (index, host) in hosts.iter().enumerate() {
        let roles = if index == 0 { ", roles: [master]" } else { "" };
        let _ = writeln!(out, "  - {{name: \"{}\"{roles}}}", host.name);
    }
    // Here all hosts share one file system, so each has a folder of its own.
    out.push_str("overrides:\n");
    for host in &hosts[1..] {
        let _ = writeln!(
            out,
            "  \"{}\": {{install_path: {}}}",
            host.name,
            host.install_path.display()
        );
    }
    out
}

fn lock(spec: &Path) -> Result<()> {
    let status = tarsops(spec)?
        .args(["package", "lock"])
        .stdout(std::process::Stdio::null())
        .status()
        .map_err(|e| Failure::new("could not pin the packages").because(&e))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new("could not pin the packages"))
    }
}

/// This program, on this spec.
fn tarsops(spec: &Path) -> Result<Command> {
    let exe = std::env::current_exe()
        .map_err(|e| Failure::new("could not find this program").because(&e))?;
    let mut command = Command::new(exe);
    if let Some(dir) = spec.parent() {
        command
            .current_dir(dir)
            .env("XDG_STATE_HOME", dir.join("state"));
    }
    command.env("TARSOPS_SPEC", spec);
    Ok(command)
}

/// A cluster that is removed whatever happens.
struct Guarded {
    cluster: Cluster,
    folder: Option<tempfile::TempDir>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = Cluster::down(self.cluster.dir());
        self.folder.take();
    }
}

struct Story {
    spec: PathBuf,
    chapter: u32,
}

impl Story {
    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        print(&format!("\n== {}. {title}\n", self.chapter));
    }

    /// Runs a command as a person would, and makes sure that it ends as it should.
    fn run(&self, words: &[&str], expected: u8) -> Result<()> {
        print(&format!("\n$ tarsops {}\n", words.join(" ")));
        let status = tarsops(&self.spec)?
            .args(words)
            .status()
            .map_err(|e| Failure::new("could not run tarsops").because(&e))?;
        let code = status.code().unwrap_or(-1);
        print(&format!("(exit code {code})\n"));
        if code == i32::from(expected) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "`tarsops {}` ended with {code} and should have ended with {expected}",
            words.join(" ")
        ))
        .hint(
            "the demonstration is wrong, or this machine is out of the ordinary: please report it",
        ))
    }

    fn edit(&self, from: &str, to: &str) -> Result<()> {
        print(&format!("\n$ sed -i 's/{from}/{to}/' cluster.yaml\n"));
        self.change(&self.spec.clone(), from, to)
    }

    fn change(&self, path: &Path, from: &str, to: &str) -> Result<()> {
        let failed = |e: &dyn std::error::Error| {
            Failure::new(format!("could not edit {}", path.display())).because(e)
        };
        let text = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
        if !text.contains(from) {
            return Err(failed(&std::io::Error::other(format!(
                "it does not say `{from}`"
            ))));
        }
        std::fs::write(path, text.replace(from, to)).map_err(|e| failed(&e))
    }
}

fn story() -> Result {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("tarsops-demo-")
        .tempdir()
        .map_err(|e| Failure::new("could not make a temporary folder").because(&e))?;
    let cluster = up(&folder.path().join("cluster"), 5, Duration::from_secs(5))?;
    let guarded = Guarded {
        cluster,
        folder: Some(folder),
    };
    let cluster = &guarded.cluster;
    let mut story = Story {
        spec: cluster.dir().join("cluster.yaml"),
        chapter: 0,
    };

    story.chapter("five empty hosts, and a spec that says what they shall be");
    print(&std::fs::read_to_string(&story.spec).unwrap_or_default());
    story.run(&["validate"], exit::OK)?;
    story.run(&["package", "lock"], exit::OK)?;

    story.chapter("what would be done, and doing it");
    story.run(&["plan"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.run(&["plan"], exit::OK)?;
    story.run(&["status"], exit::OK)?;

    story.chapter("somebody copies the master's start script over another node's");
    let hosts = &cluster.facts().hosts;
    let (master, other) = (&hosts[0], &hosts[2]);
    let script = other.install_path.join("tars/tarsnode/util/execute.sh");
    print(&format!(
        "\n# on {}: util/execute.sh now says --nodeid={}\n",
        other.name, master.name
    ));
    // Only the nodeid: the folder's path holds the name as well.
    let nodeid = |name: &str| format!("--nodeid=\"{name}\"");
    story.change(&script, &nodeid(&other.name), &nodeid(&master.name))?;
    story.run(&["drift"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.run(&["drift"], exit::OK)?;
    print("(nothing was said: that is what cron likes)\n");

    story.chapter("an upgrade, one host first");
    story.edit(VERSIONS[0].0, VERSIONS[1].0)?;
    story.run(&["package", "lock"], exit::OK)?;
    story.run(&["plan"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;

    story.chapter("an upgrade to a version that does not start");
    story.edit(VERSIONS[1].0, VERSIONS[2].0)?;
    story.run(&["package", "lock"], exit::OK)?;
    story.run(&["apply", "-y"], exit::FAILED)?;
    print(
        "\nThe first host put the old version back and saw it run; the others were never touched.\n",
    );
    story.run(&["status"], exit::PENDING)?;

    story.chapter("the commit is reverted, and the hosts tell what happened");
    story.edit(VERSIONS[2].0, VERSIONS[1].0)?;
    story.run(&["drift"], exit::OK)?;
    story.run(&["history"], exit::OK)?;

    print(&format!(
        "\nThe demonstration took {:.0} s; its cluster is removed. Try your own: tarsops demo up --dir DIR\n",
        began.elapsed().as_secs_f32()
    ));
    Ok(exit::OK)
}
