//! The story: what a person would do, chapter by chapter, on an embedded cluster that is made for it.
//!
//! Every command's exit code is checked. What must stay true: a change is made once; only looks are
//! repeated, where the framework has to follow by itself first.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tarsops_model::display::Text;
use tarsops_standin::cluster::{Cluster, ClusterError};

use super::embedded::{self, Tables, VERSIONS};
use super::program::tarsops;
use super::stop::Stop;
use crate::args::Global;
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::{is_terminal, print, say};
use crate::style::colored;

/// How long the framework may take to follow: far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that is removed whatever happens.
struct Guarded<'a> {
    cluster: Cluster,
    folder: Option<tempfile::TempDir>,
    stop: &'a Stop,
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        let dir = self.cluster.dir();
        match super::program::down(dir) {
            Ok(()) => self.stop.holds(None),
            Err(failure) => {
                // Without its folder nobody could find what still runs.
                let _ = self.folder.take().map(tempfile::TempDir::keep);
                let hint = format!("remove it with `tarsops demo down --dir {}`", dir.display());
                say(failure.hint(hint).text().trim_end());
            }
        }
    }
}

/// The service whose program somebody replaces.
const SERVICE: &str = "tarsproperty";

struct Story<'a> {
    spec: PathBuf,
    chapter: u32,
    color: &'static str,
    stop: &'a Stop,
}

impl Story<'_> {
    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        print(format!("\n== {}. {title}\n", self.chapter));
    }

    /// Runs a command as a person would, and makes sure that it ends as it should.
    fn run(&self, words: &[&str], expected: u8) -> Result<()> {
        self.stop.check()?;
        print(format!("\n$ tarsops {}\n", words.join(" ")));
        let status = self
            .stop
            .run(tarsops(&self.spec)?.args(words), |mut child| child.wait())
            .map_err(|e| Failure::new("could not run tarsops").because(&e))?;
        self.ended(words, status, expected)
    }

    /// [`Story::run`] without the plan, which was shown a moment ago or is like one that was.
    fn briefly(&self, words: &[&str], expected: u8) -> Result<()> {
        let failed = |e: &std::io::Error| Failure::new("could not run tarsops").because(e);
        self.stop.check()?;
        print(format!("\n$ tarsops {}\n", words.join(" ")));
        let mut command = tarsops(&self.spec)?;
        command
            .args(["--color", "never"])
            .args(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let shown = |mut child: std::process::Child| {
            // Nothing is written to the other one that would not fit into it.
            if let Some(told) = child.stderr.take() {
                for line in BufReader::new(told).lines().map_while(std::io::Result::ok) {
                    print(format!("{line}\n"));
                }
            }
            child.wait_with_output()
        };
        let output = self.stop.run(&mut command, shown).map_err(|e| failed(&e))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let end = text.find("Plan: ").map_or("", |at| &text[at..]);
        print(format!("(the plan itself is left out here)\n{end}"));
        self.ended(words, output.status, expected)
    }

    /// Looks until what is seen is what is expected, and shows the last look: the framework follows a
    /// change by itself, within seconds.
    fn look(&self, words: &[&str], expected: u8) -> Result<()> {
        self.show(words, expected, |_| true)
    }

    /// [`Story::look`] with `check`, without the many lines that say nothing new.
    fn check(&self, expected: u8) -> Result<()> {
        self.show(&["check"], expected, |line| {
            !matches!(line.split_whitespace().nth(1), Some("ok" | "skipped"))
        })
    }

    fn show(&self, words: &[&str], expected: u8, shown: impl Fn(&str) -> bool) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.stop.check()?;
            let mut command = tarsops(&self.spec)?;
            command
                .args(["--color", self.color])
                .args(words)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped());
            let output = self
                .stop
                .run(&mut command, std::process::Child::wait_with_output)
                .map_err(|e| Failure::new("could not run tarsops").because(&e))?;
            if output.status.code() == Some(i32::from(expected)) || Instant::now() > until {
                print(format!("\n$ tarsops {}\n", words.join(" ")));
                let text = String::from_utf8_lossy(&output.stdout);
                let lines: Vec<&str> = text.lines().filter(|line| shown(line)).collect();
                if lines.len() < text.lines().count() {
                    print("(lines that say ok or skipped are left out here)\n");
                }
                for line in lines {
                    print(Text::with_colours(&format!("{line}\n")));
                }
                print(Text::with_colours(&String::from_utf8_lossy(&output.stderr)));
                return self.ended(words, output.status, expected);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn ended(&self, words: &[&str], status: std::process::ExitStatus, expected: u8) -> Result<()> {
        self.stop.check()?;
        let code = status.code().unwrap_or(-1);
        print(format!("(exit code {code})\n"));
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
        print(format!("\n$ sed -i 's/{from}/{to}/' cluster.yaml\n"));
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
    Failure::new("could not change the embedded cluster for the demonstration").because(error)
}

/// Tells it.
pub fn tell(global: &Global, stop: &Stop) -> Result {
    let began = Instant::now();
    let folder = tempfile::Builder::new()
        .prefix("tarsops-demo-")
        .tempdir()
        .map_err(|e| Failure::new("could not create a temporary folder").because(&e))?;
    let made = embedded::up(folder.path(), 5, Duration::from_secs(5), stop)?;
    let about = made.line();
    let guarded = Guarded {
        cluster: made.cluster,
        folder: Some(folder),
        stop,
    };
    let cluster = &guarded.cluster;
    let color = if colored(global, is_terminal()) {
        "always"
    } else {
        "never"
    };
    let mut story = Story {
        spec: cluster.dir().join("cluster.yaml"),
        chapter: 0,
        color,
        stop,
    };

    story.chapter("five hosts, a framework on two of them, and a spec that describes them");
    print(format!("{about}\n\n"));
    print(std::fs::read_to_string(&story.spec).unwrap_or_default());
    story.run(&["validate"], exit::OK)?;
    story.run(&["package", "lock"], exit::OK)?;

    story.chapter("what would be done, and doing it");
    story.run(&["plan"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.look(&["plan"], exit::OK)?;

    story.chapter("what the spec, the hosts and the framework report about each resource");
    story.look(&["status"], exit::OK)?;
    story.look(&["check"], exit::OK)?;

    let published = made.console.is_some();
    lost(
        &mut story,
        cluster,
        matches!(made.tables, Tables::MariaDb(_)),
    )?;

    let [first, second, third] = VERSIONS;
    story.chapter(if published {
        "the whole framework to the next version, in the order in which its parts need each other"
    } else {
        "the core services and every tarsnode to the next version, in the order in which they need each other"
    });
    story.edit(first, second)?;
    story.run(&["package", "lock"], exit::OK)?;
    story.run(&["plan"], exit::PENDING)?;
    story.briefly(&["apply", "-y"], exit::OK)?;
    story.look(&["plan"], exit::OK)?;
    story.look(&["drift"], exit::OK)?;

    by_hand(&mut story, cluster, published.then_some(first))?;

    story.chapter("one version further, with a saved plan that was reviewed");
    story.edit(second, third)?;
    story.run(&["package", "lock"], exit::OK)?;
    story.briefly(&["plan", "--out", "next.plan"], exit::PENDING)?;
    story.briefly(&["apply", "next.plan", "-y"], exit::OK)?;
    story.look(&["drift"], exit::OK)?;

    story.chapter(
        "that run is rolled back, the commit is reverted, and the hosts show what happened",
    );
    story.briefly(&["rollback", "-y"], exit::OK)?;
    story.edit(third, second)?;
    story.look(&["drift"], exit::OK)?;
    story.run(&["history"], exit::OK)?;

    print(format!(
        "\nThe demonstration took {:.0} s; its cluster is removed. Try your own: tarsops demo up --dir DIR\n",
        began.elapsed().as_secs_f32()
    ));
    Ok(exit::OK)
}

/// A tarsnode runs, and the registry does not know it any more: it registers at its start only. And a
/// registry is down that tarsnode does not start: the platform has told it so.
fn lost(story: &mut Story<'_>, cluster: &Cluster, rows: bool) -> Result<()> {
    let hosts = &cluster.facts().hosts;
    let (registry, node) = (&hosts[1].name, &hosts[3].name);
    story.chapter(if rows {
        "somebody stops the second registry, and deletes the row of a node while its tarsnode runs"
    } else {
        "somebody stops the second registry"
    });
    print(format!(
        "\n# in the platform: stop tars.tarsregistry on {registry}\n"
    ));
    cluster
        .stop_component(registry, "tarsregistry")
        .map_err(|e| harm(&e))?;
    if rows {
        print(format!(
            "# in the database: DELETE FROM t_node_info WHERE node_name = '{node}'\n"
        ));
        cluster.delete_node_row(node).map_err(|e| harm(&e))?;
    }
    story.check(exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.check(exit::OK)
}

/// Files are not what they should be: a start script, and where services are published a program, of
/// which an older one is there while the new one runs on.
fn by_hand(story: &mut Story<'_>, cluster: &Cluster, older: Option<&str>) -> Result<()> {
    let hosts = &cluster.facts().hosts;
    let (master, other) = (&hosts[0], &hosts[2]);
    story.chapter(if older.is_some() {
        "somebody copies the master's start script to another node, and an old program over a published one"
    } else {
        "somebody copies the master's start script to another node"
    });
    let script = other.install_path.join("tars/tarsnode/util/execute.sh");
    print(format!(
        "\n# on {}: util/execute.sh now says --nodeid={}\n",
        other.name, master.name
    ));
    // Only the nodeid: the folder's path holds the name as well.
    let nodeid = |name: &str| format!("--nodeid=\"{name}\"");
    story.change(&script, &nodeid(&other.name), &nodeid(&master.name))?;
    if let Some(version) = older {
        print(format!(
            "# on {}: {SERVICE}/bin/{SERVICE} is that of {version} again\n",
            master.name
        ));
        let program = format!("{SERVICE}/bin/{SERVICE}");
        let servers = cluster
            .facts()
            .packages
            .join(version)
            .join("framework/servers");
        let (old, place) = (
            servers.join(&program),
            master.install_path.join("tars").join(&program),
        );
        // A program that runs cannot be written to, only replaced.
        let beside = place.with_extension("new");
        std::fs::copy(old, &beside)
            .and_then(|_| std::fs::rename(&beside, &place))
            .map_err(|e| {
                Failure::new(format!("could not replace {}", place.display())).because(&e)
            })?;
    }
    story.run(&["drift"], exit::PENDING)?;
    story.run(&["apply", "-y"], exit::OK)?;
    story.look(&["drift"], exit::OK)?;
    print("(nothing was printed: that is right for cron)\n");
    Ok(())
}
