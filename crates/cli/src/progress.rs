//! Progress: bars on a terminal, plain lines in a log, always on standard error.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use tarsops_apply::execute::{Observer, Progress};
use tarsops_apply::step::Verdict;
use tarsops_model::display;
use tarsops_plan::plan::Stage;
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

/// Tells what an apply does: a line for each thing that happens, and on a terminal a bar below.
pub struct Teller {
    bar: Option<ProgressBar>,
    done: AtomicUsize,
    busy: Mutex<Vec<String>>,
    verbose: bool,
}

impl Teller {
    /// A teller for a plan of so many steps.
    pub fn new(steps: usize, verbose: bool) -> Self {
        let bar = is_progress_terminal().then(|| {
            let bar = ProgressBar::new(steps as u64);
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
            verbose,
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
        match progress {
            Progress::Batch {
                stage,
                number,
                steps,
            } => {
                let hosts = if *steps == 1 {
                    "1 host".to_owned()
                } else {
                    format!("{steps} hosts")
                };
                let of_database = matches!(
                    stage,
                    Stage::Backup | Stage::Schema | Stage::Templates | Stage::Rows
                );
                if *stage == Stage::Recover {
                    self.line(&format!("{}: {hosts}", stage.title()));
                } else if of_database {
                    self.line(&format!("{}, batch {number}", stage.title()));
                } else {
                    self.line(&format!("{}, batch {number}: {hosts}", stage.title()));
                }
            }
            Progress::Step { .. } => {}
            Progress::Uploading { node, bytes } => {
                if self.verbose {
                    self.line(&format!("  {node}: sending {} KiB", bytes >> 10));
                }
            }
            Progress::Acting { node, what, .. } => {
                if let Ok(mut busy) = self.busy.lock() {
                    busy.push(node.to_string());
                }
                self.show_busy();
                self.line(&format!("  {node}: {what} …"));
            }
            Progress::Reconnecting { node, why } => {
                self.line(&format!(
                    "  {node}: {why}; the host goes on by itself, connecting again"
                ));
            }
            Progress::Ended { end } => {
                if let Ok(mut busy) = self.busy.lock() {
                    busy.retain(|n| n.as_str() != end.node.as_str());
                }
                self.show_busy();
                self.done.fetch_add(1, Ordering::Relaxed);
                if let Some(bar) = &self.bar {
                    bar.inc(1);
                }
                let secs = end.took.as_secs_f32();
                match &end.verdict {
                    Verdict::Done => {
                        self.line(&format!("  {}: done ({secs:.1} s)", end.node));
                        // Where a dump lies is worth a line.
                        if end.database.is_some() {
                            for line in &end.log {
                                self.line(&format!("    | {line}"));
                            }
                        }
                    }
                    Verdict::AlreadyDone => self.line(&format!("  {}: already done", end.node)),
                    bad => {
                        let why = bad.why().unwrap_or_default();
                        self.line(&format!(
                            "  {}: {}: {why} ({secs:.1} s)",
                            end.node,
                            bad.word()
                        ));
                        for line in &end.log {
                            self.line(&format!("    | {line}"));
                        }
                    }
                }
            }
            Progress::Waiting { nodes, what, .. } => {
                let nodes = match nodes {
                    1 => "1 node".to_owned(),
                    n => format!("{n} nodes"),
                };
                self.line(&format!(
                    "  waiting until the locators of {nodes} {what} it …"
                ));
            }
            Progress::StillWaiting { node, why, left } => {
                let left = left.map_or_else(String::new, |left| {
                    format!(", for at most {} s more", left.as_secs())
                });
                self.line(&format!("  {node}: waiting{left}: {why}"));
            }
            Progress::TakingBack { steps } => {
                self.line(&format!(
                    "taking this run back on {steps} hosts, as on_failure says"
                ));
            }
        }
    }
}
