//! The story: what a person would do, chapter by chapter, on an embedded cluster that is made for it.
//!
//! Every command's exit code is checked. What must stay true: a change is made once; only looks are
//! repeated, where the framework has to follow by itself first.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tarsops_sandbox::cluster::{Cluster, ClusterError};

use super::embedded::{self, Tables, VERSIONS};
use super::tarsops;
use crate::args::Global;
use crate::context::{colored, print};
use crate::exit;
use crate::failure::{Failure, Result};

/// How long the framework may take to follow: far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);

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
    color: &'static str,
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
        Self::ended(words, status, expected)
    }

    /// Looks until what is seen is what is expected, and shows the last look: the framework follows a
    /// change by itself, within seconds.
    fn look(&self, words: &[&str], expected: u8) -> Result<()> {
        self.show(words, expected, |_| true)
    }

    /// [`Story::look`] with `check`, without the many lines that are well.
    fn check(&self, expected: u8) -> Result<()> {
        self.show(&["check"], expected, |line| {
            line.split_whitespace().nth(1) != Some("ok")
        })
    }

    fn show(&self, words: &[&str], expected: u8, shown: impl Fn(&str) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let output = tarsops(&self.spec)?
                .args(["--color", self.color])
                .args(words)
                .output()
                .map_err(|e| Failure::new("could not run tarsops").because(&e))?;
            if output.status.code() == Some(i32::from(expected)) || Instant::now() > until {
                print(&format!("\n$ tarsops {}\n", words.join(" ")));
                let text = String::from_utf8_lossy(&output.stdout);
                let lines: Vec<&str> = text.lines().filter(|line| shown(line)).collect();
                if lines.len() < text.lines().count() {
                    print("(lines that say ok are left out here)\n");
                }
                for line in lines {
                    print(&format!("{line}\n"));
                }
                print(&String::from_utf8_lossy(&output.stderr));
                return Self::ended(words, output.status, expected);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn ended(words: &[&str], status: std::process::ExitStatus, expected: u8) -> Result<()> {
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

fn harm(error: &ClusterError) -> Failure {
    Failure::new("could not do to the embedded cluster what the story wants").because(error)
}

/// Tells it.
pub fn tell(global: &Global) -> Result {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("tarsops-demo-")
        .tempdir()
        .map_err(|e| Failure::new("could not make a temporary folder").because(&e))?;
    let made = embedded::up(&folder.path().join("cluster"), 5, Duration::from_secs(5))?;
    let guarded = Guarded {
        cluster: made.cluster,
        folder: Some(folder),
    };
    let cluster = &guarded.cluster;
    let color = if colored(global, std::io::stdout().is_terminal()) {
        "always"
    } else {
        "never"
    };
    let mut story = Story {
        spec: cluster.dir().join("cluster.yaml"),
        chapter: 0,
        color,
    };

    story
        .chapter("five hosts, a framework on two of them, and a spec that says what they shall be");
    print(&format!("{}\n\n", made.tables.line()));
    print(&std::fs::read_to_string(&story.spec).unwrap_or_default());
    story.run(&["validate"], exit::OK)?;
    story.run(&["package", "lock"], exit::OK)?;

    story.chapter("what would be done, and doing it");
    story.run(&["plan"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.look(&["plan"], exit::OK)?;

    story.chapter("what the spec, the hosts and the framework say of each thing");
    story.look(&["status"], exit::OK)?;
    story.look(&["check"], exit::OK)?;

    if matches!(made.tables, Tables::MariaDb(_)) {
        forgotten(&mut story, cluster)?;
    }
    stopped(&mut story, cluster)?;
    copied(&mut story, cluster)?;

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

    story.chapter("the commit is reverted, and the hosts tell what happened");
    story.edit(VERSIONS[2].0, VERSIONS[1].0)?;
    story.look(&["drift"], exit::OK)?;
    story.run(&["history"], exit::OK)?;

    print(&format!(
        "\nThe demonstration took {:.0} s; its cluster is removed. Try your own: tarsops demo up --dir DIR\n",
        began.elapsed().as_secs_f32()
    ));
    Ok(exit::OK)
}

/// A tarsnode runs, and the registry does not know it any more. It registers at its start only.
fn forgotten(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let node = &cluster.facts().hosts[3].name;
    story.chapter("somebody deletes the row of a node while its tarsnode runs");
    print(&format!(
        "\n# in the database: DELETE FROM t_node_info WHERE node_name = '{node}'\n"
    ));
    cluster.delete_node_row(node).map_err(|e| harm(&e))?;
    story.check(exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.check(exit::OK)
}

/// A registry is down, and tarsnode does not start it: the platform has told it so.
fn stopped(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let node = &cluster.facts().hosts[1].name;
    story.chapter("somebody stops the second registry in the management platform");
    print(&format!(
        "\n# in the platform: stop tars.tarsregistry on {node}\n"
    ));
    cluster
        .stop_component(node, "tarsregistry")
        .map_err(|e| harm(&e))?;
    story.check(exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.check(exit::OK)
}

fn copied(story: &mut Story, cluster: &Cluster) -> Result<()> {
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
    story.look(&["drift"], exit::OK)?;
    print("(nothing was said: that is what cron likes)\n");
    Ok(())
}
