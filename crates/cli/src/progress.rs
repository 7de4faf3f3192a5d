//! Progress: bars on a terminal, plain lines in a log, always on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use tarsops_apply::execute::{Observer, Progress};
use tarsops_apply::step::Verdict;
use tarsops_model::component::Component;
use tarsops_model::display;
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;
use tarsops_plan::plan::{Stage, Step};
use tarsops_probe::Seen;

use crate::output::{is_progress_terminal, say};

/// Progress of a look at many hosts; silent in a log.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// A bar on a terminal, nothing elsewhere.
    pub fn new(what: &'static str) -> Self {
        if !is_progress_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} hosts") {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(Some(bar))
    }

    /// Nothing anywhere.
    pub const fn quiet() -> Self {
        Self(None)
    }

    /// Begins with so many hosts.
    pub fn start(&self, hosts: usize) {
        if let Some(bar) = &self.0 {
            bar.set_length(hosts as u64);
        }
    }

    /// One host was seen.
    pub fn seen(&self, _: &Seen) {
        if let Some(bar) = &self.0 {
            bar.inc(1);
        }
    }

    /// All were seen.
    pub fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// `1 host`, `2 hosts`.
fn count(n: usize, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// What steps change, counted: services as services, and hosts as hosts. Empty where nothing is on a
/// host.
pub fn amount<'s>(steps: impl IntoIterator<Item = &'s Step>) -> String {
    let mut nodes: BTreeSet<&NodeName> = BTreeSet::new();
    let mut agents: BTreeSet<&NodeName> = BTreeSet::new();
    let mut services: BTreeSet<(Component, &NodeName)> = BTreeSet::new();
    for step in steps {
        match &step.resource {
            ResourceId::Server(component, node) => {
                services.insert((*component, node));
            }
            ResourceId::Agent(node) => {
                agents.insert(node);
            }
            _ => {}
        }
        nodes.extend(step.resource.node());
    }
    let hosts = count(nodes.len(), "host");
    let served = count(services.len(), "service");
    match (agents.len(), services.len()) {
        _ if nodes.is_empty() => String::new(),
        (_, 0) => hosts,
        (0, _) => format!("{served} on {hosts}"),
        (n, _) => format!("{} and {served} on {hosts}", count(n, "agent")),
    }
}

/// What a step is about, as a line of progress names it: `tarsconfig@10.0.0.1`.
fn label(resource: &ResourceId) -> String {
    match resource {
        ResourceId::Agent(node) => format!("{}@{node}", Component::Tarsnode),
        ResourceId::Server(component, node) => format!("{component}@{node}"),
        other => other.to_string(),
    }
}

/// Tells what an apply does: a line for each thing that happens, and on a terminal a bar below.
pub struct Teller {
    bar: Option<ProgressBar>,
    done: AtomicUsize,
    busy: Mutex<Vec<String>>,
    /// Steps in progress, each with its node.
    begun: Mutex<Vec<(String, NodeName)>>,
    /// What each step of the plan is about, by its id.
    labels: BTreeMap<String, String>,
    /// What each batch changes.
    batches: BTreeMap<(Stage, u32), String>,
    verbose: bool,
}

impl Teller {
    /// A teller for the steps of a plan.
    pub fn new(steps: &[Step], verbose: bool) -> Self {
        let labels = steps.iter().map(|s| (s.id.clone(), label(&s.resource)));
        let of = steps.chunk_by(|a, b| (a.stage, a.batch) == (b.stage, b.batch));
        let batches = of.map(|batch| ((batch[0].stage, batch[0].batch), amount(batch)));
        let (labels, batches) = (labels.collect(), batches.collect());
        let bar = is_progress_terminal().then(|| {
            let bar = ProgressBar::new(steps.len() as u64);
            let template = "  {bar:30} {pos}/{len}  {elapsed}  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(std::time::Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            done: AtomicUsize::new(0),
            busy: Mutex::default(),
            begun: Mutex::default(),
            labels,
            batches,
            verbose,
        }
    }

    /// What the step with this id is about; a step of a rollback has its id from the one that it undoes.
    fn about(&self, step: &str, node: &NodeName) -> String {
        let known = |id: &str| self.labels.get(id).cloned();
        known(step)
            .or_else(|| known(step.strip_suffix(".back")?))
            .unwrap_or_else(|| node.to_string())
    }

    /// What is in progress on a host; its name where nothing is.
    fn under_way(&self, node: &NodeName) -> String {
        let Ok(begun) = self.begun.lock() else {
            return node.to_string();
        };
        let here = begun.iter().filter(|(_, n)| n == node);
        let all: Vec<String> = here.map(|(step, n)| self.about(step, n)).collect();
        if all.is_empty() {
            node.to_string()
        } else {
            all.join(", ")
        }
    }

    /// A line above the bar, or in the log.
    pub fn line(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(text)),
            None => say(text),
        }
    }

    /// The end.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn show_busy(&self) {
        if let (Some(bar), Ok(busy)) = (&self.bar, self.busy.lock()) {
            bar.set_message(display::line(&busy.join("  ")).into_owned());
        }
    }
}

impl Observer for Teller {
    fn event(&self, progress: &Progress<'_>) {
        for line in self.lines(progress) {
            self.line(&line);
        }
    }
}

impl Teller {
    /// The lines for one event.
    fn lines(&self, progress: &Progress<'_>) -> Vec<String> {
        let mut out = Vec::new();
        match progress {
            Progress::Batch {
                stage,
                number,
                steps,
            } => {
                let known = self.batches.get(&(*stage, *number));
                let what = known.filter(|w| !w.is_empty()).cloned();
                let what = what.unwrap_or_else(|| count(*steps, "step"));
                let of_database = matches!(
                    stage,
                    Stage::Backup | Stage::Schema | Stage::Templates | Stage::Rows
                );
                if *stage == Stage::Recover {
                    out.push(format!("{}: {what}", stage.title()));
                } else if of_database {
                    out.push(format!("{}, batch {number}", stage.title()));
                } else {
                    out.push(format!("{}, batch {number}: {what}", stage.title()));
                }
            }
            Progress::Step { step } => {
                if let (Ok(mut begun), Some(node)) = (self.begun.lock(), step.resource.node()) {
                    begun.push((step.id.clone(), node.clone()));
                }
            }
            Progress::Uploading { node, bytes } => {
                if self.verbose {
                    let about = self.under_way(node);
                    out.push(format!("  {about}: sending {} KiB", bytes >> 10));
                }
            }
            Progress::Acting { step, node, what } => {
                let about = self.about(step, node);
                if let Ok(mut busy) = self.busy.lock() {
                    busy.push(about.clone());
                }
                self.show_busy();
                out.push(format!("  {about}: {what} …"));
            }
            Progress::Reconnecting { node, why } => {
                let about = self.under_way(node);
                out.push(format!(
                    "  {about}: {why}; the host continues by itself, connecting again"
                ));
            }
            Progress::Ended { end } => {
                let about = self.about(&end.step, &end.node);
                if let Ok(mut begun) = self.begun.lock() {
                    begun.retain(|(step, _)| *step != end.step);
                }
                if let Ok(mut busy) = self.busy.lock() {
                    busy.retain(|b| *b != about);
                }
                self.show_busy();
                self.done.fetch_add(1, Ordering::Relaxed);
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
                let secs = end.took.as_secs_f32();
                match &end.verdict {
                    Verdict::Done => {
                        out.push(format!("  {about}: done ({secs:.1} s)"));
                        // Where a dump lies is worth a line.
                        if end.intent.as_ref().is_some_and(|i| i.database().is_some()) {
                            for line in &end.log {
                                out.push(format!("    | {line}"));
                            }
                        }
                    }
                    Verdict::AlreadyDone => out.push(format!("  {about}: already done")),
                    bad => {
                        let why = bad.why().unwrap_or_default();
                        out.push(format!("  {about}: {}: {why} ({secs:.1} s)", bad.word()));
                        for line in &end.log {
                            out.push(format!("    | {line}"));
                        }
                    }
                }
            }
            Progress::Waiting { nodes, what, .. } => {
                let nodes = match nodes {
                    1 => "1 node".to_owned(),
                    n => format!("{n} nodes"),
                };
                out.push(format!(
                    "  waiting until the locators of {nodes} {what} it …"
                ));
            }
            Progress::StillWaiting { node, why, left } => {
                let left = left.map_or_else(String::new, |left| {
                    format!(", for at most {} s more", left.as_secs())
                });
                self.line(&format!("  {node}: waiting{left}: {why}"));
            }
            Progress::RollingBack { steps } => {
                out.push(format!(
                    "rolling back {} of this run (on_failure)",
                    count(*steps, "step")
                ));
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tarsops_apply::StepEnd;
    use tarsops_model::names::{RunId, StepName};
    use tarsops_plan::action::{Action, Recover, Undo};
    use tarsops_plan::plan::ChangeKind;

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn step(id: &str, resource: &str, stage: Stage, batch: u32) -> Step {
        Step {
            id: id.to_owned(),
            stage,
            batch,
            needs: vec![],
            resource: ResourceId::try_from(resource.to_owned()).unwrap(),
            sign: ChangeKind::Change,
            summary: String::new(),
            // Which action it is does not matter to what is told.
            action: Action::Recover(Recover {
                node: node("10.0.0.1"),
                run: RunId::from_parts(1, 1),
                step: StepName::new("x").unwrap(),
                accept: false,
            }),
            pre: vec![],
            post: vec![],
            undo: Undo::Restore,
        }
    }

    fn ended(step: &str, on: &str, verdict: Verdict) -> StepEnd {
        StepEnd {
            took: Duration::from_secs(2),
            ..StepEnd::new(step.to_owned(), node(on), verdict)
        }
    }

    fn steps() -> Vec<Step> {
        let services = Stage::BasicServices;
        vec![
            step("a", "agent/10.0.0.1", Stage::Agents, 1),
            step("b", "agent/10.0.0.2", Stage::Agents, 1),
            step("c", "server/tarsstat@10.0.0.1", services, 2),
            step("d", "server/tarslog@10.0.0.1", services, 2),
            step("e", "server/tarsnotify@10.0.0.2", services, 2),
            step("f", "server/tarsnotify@10.0.0.1", services, 3),
            step("g", "schema", Stage::Schema, 4),
        ]
    }

    #[test]
    fn services_are_counted_as_services_and_hosts_as_hosts() {
        let all = steps();
        assert_eq!(amount(&all[..1]), "1 host");
        assert_eq!(amount(&all[..2]), "2 hosts");
        assert_eq!(amount(&all[2..5]), "3 services on 2 hosts");
        assert_eq!(amount(&all[2..4]), "2 services on 1 host");
        assert_eq!(amount(&all), "2 agents and 4 services on 2 hosts");
        assert_eq!(amount(&all[6..]), "");
        let teller = Teller::new(&all, false);
        let batch = |stage, number, steps| {
            teller.lines(&Progress::Batch {
                stage,
                number,
                steps,
            })
        };
        assert_eq!(batch(Stage::Agents, 1, 2), ["tarsnode, batch 1: 2 hosts"]);
        let services = ["basic services, batch 2: 3 services on 2 hosts"];
        assert_eq!(batch(Stage::BasicServices, 2, 3), services);
        assert_eq!(batch(Stage::Schema, 4, 1), ["schema, batch 4"]);
        // Each step of a rollback counts, whatever it is about.
        let back = teller.lines(&Progress::RollingBack { steps: 1 });
        assert_eq!(back, ["rolling back 1 step of this run (on_failure)"]);
    }

    #[test]
    fn progress_and_results_name_the_component() {
        let all = steps();
        let teller = Teller::new(&all, true);
        let here = node("10.0.0.1");
        let acting = |step| Progress::Acting {
            step,
            node: &here,
            what: "publish 3.0.18",
        };
        assert_eq!(
            teller.lines(&acting("c")),
            ["  tarsstat@10.0.0.1: publish 3.0.18 …"]
        );
        assert_eq!(
            teller.lines(&acting("d")),
            ["  tarslog@10.0.0.1: publish 3.0.18 …"]
        );
        for (id, about) in [("a", "tarsnode"), ("c", "tarsstat"), ("d", "tarslog")] {
            let end = ended(id, "10.0.0.1", Verdict::Done);
            let line = format!("  {about}@10.0.0.1: done (2.0 s)");
            assert_eq!(teller.lines(&Progress::Ended { end: &end }), [line]);
            let end = ended(id, "10.0.0.1", Verdict::AlreadyDone);
            let line = format!("  {about}@10.0.0.1: already done");
            assert_eq!(teller.lines(&Progress::Ended { end: &end }), [line]);
            // A step that undoes one is about the same.
            let end = ended(
                &format!("{id}.back"),
                "10.0.0.1",
                Verdict::Stuck("x".to_owned()),
            );
            let line = format!("  {about}@10.0.0.1: stuck: x (2.0 s)");
            assert_eq!(teller.lines(&Progress::Ended { end: &end }), [line]);
        }
        // Of what is not about a step, those that are in progress on the host.
        let broke = Progress::Reconnecting {
            node: &here,
            why: "the connection broke",
        };
        let text = "the connection broke; the host continues by itself, connecting again";
        assert_eq!(teller.lines(&broke), [format!("  10.0.0.1: {text}")]);
        assert!(teller.lines(&Progress::Step { step: &all[2] }).is_empty());
        assert_eq!(
            teller.lines(&broke),
            [format!("  tarsstat@10.0.0.1: {text}")]
        );
        let sent = Progress::Uploading {
            node: &here,
            bytes: 2048,
        };
        assert_eq!(teller.lines(&sent), ["  tarsstat@10.0.0.1: sending 2 KiB"]);
        teller.lines(&Progress::Ended {
            end: &ended("c", "10.0.0.1", Verdict::Done),
        });
        assert_eq!(teller.lines(&broke), [format!("  10.0.0.1: {text}")]);
        // A step that the plan does not have is named by its host.
        let end = ended("other", "10.0.0.9", Verdict::Done);
        assert_eq!(
            teller.lines(&Progress::Ended { end: &end }),
            ["  10.0.0.9: done (2.0 s)"]
        );
    }
}
