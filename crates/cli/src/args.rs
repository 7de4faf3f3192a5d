//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use tarsops_spec::document::Seconds;

use crate::completing;
use crate::examples;

/// Desired state for Tars clusters: says what differs from the spec, and moves the cluster there.
#[derive(Debug, Parser)]
#[command(name = "tarsops", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 in sync or applied, 1 error, 2 changes pending, 3 invalid spec, \
4 incomplete, 5 stale plan, 6 blocked by a guard, 7 lease held by another, 8 failed and rolled back, \
9 stuck, 64 wrong usage, 130 interrupted."
)]
pub struct Cli {
    /// What is the same for all commands.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command; help shows them last.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The spec.
    #[arg(
        short,
        long,
        global = true,
        env = "TARSOPS_SPEC",
        default_value = "./cluster.yaml",
        value_name = "SPEC",
        value_hint = ValueHint::FilePath
    )]
    pub file: PathBuf,
    /// Print one JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Write the JSON document to a file, and text to the terminal.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json_into: Option<PathBuf>,
    /// When to use colours (NO_COLOR is respected).
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Show more; twice for traces on standard error.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write traces on standard error as JSON lines.
    #[arg(long, global = true)]
    pub log_json: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of commands that look at hosts. A command has them after its own: its help has their heading
/// from there on.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options for looking at hosts")]
pub struct Look {
    /// Narrow to nodes, patterns over them, `@label=value` or components (repeat or use commas);
    /// with `!` before it, to all but these.
    #[arg(long, value_name = "WHAT", add = completing::scope())]
    pub on: Vec<String>,
    /// Read every digest again instead of those that a host remembers.
    #[arg(long)]
    pub rehash: bool,
    /// Take the keys of hosts that were never seen into the known hosts file; keys that changed are
    /// refused still. Compare the fingerprints first.
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// Run programs that the spec names: those that hand out secrets (`{command: …}`), and what the
    /// file in `ssh.config` may start.
    #[arg(long)]
    pub allow_commands: bool,
    /// If the management platform is down, still apply the steps that do not need it (default: apply
    /// nothing).
    #[arg(long)]
    pub without_console: bool,
    /// Seconds that one host may take to answer a look.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented starter spec.
    #[command(after_help = examples::INIT)]
    Init {
        /// The file to write.
        #[arg(default_value = "cluster.yaml", value_hint = ValueHint::FilePath)]
        path: PathBuf,
        /// The cluster's name.
        #[arg(long, default_value = "prod")]
        name: String,
    },
    /// Check the spec without looking at anything else.
    #[command(after_help = examples::VALIDATE)]
    Validate,
    /// Show what would be done.
    #[command(after_help = examples::PLAN)]
    Plan {
        /// Save the plan, for `apply FILE`.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Bring the cluster to the spec: plan, show, ask, change, verify.
    #[command(after_help = examples::APPLY)]
    Apply {
        /// A saved plan: of what is planned now, do the steps that it has, and refuse it if it has
        /// others.
        #[arg(value_hint = ValueHint::FilePath)]
        plan: Option<PathBuf>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do the rest where something is blocked.
        #[arg(long)]
        allow_blocked: bool,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// End a change that is stuck on a node: put the old state back, or accept what runs there now.
    #[command(after_help = examples::RECOVER)]
    Recover {
        /// The node.
        #[arg(add = completing::nodes())]
        node: String,
        /// Accept what runs there now, and put nothing back: the next plan starts from it.
        #[arg(long)]
        accept: bool,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Report whether the cluster differs from the spec; quiet when it does not, for cron.
    #[command(after_help = examples::DRIFT)]
    Drift {
        /// Count what is there beyond the spec as drift.
        #[arg(long)]
        strict: bool,
        /// Wait up to so long (such as 5m) for the end of an apply that is under way, rather than end
        /// with exit code 7 at once.
        #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
        wait: Duration,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Look for everything that is known to go wrong, and change nothing: the preflight alone.
    #[command(after_help = examples::CHECK)]
    Check {
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Show what is there, node by node.
    #[command(after_help = examples::STATUS)]
    Status {
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Show the runs that the hosts remember.
    #[command(after_help = examples::HISTORY)]
    History {
        /// One run, with all it did.
        #[arg(add = completing::runs())]
        run: Option<String>,
        /// How many runs.
        #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Roll back a run: every host that it changed goes to where it was before.
    #[command(after_help = examples::ROLLBACK)]
    Rollback {
        /// The run; the newest if left out.
        #[arg(add = completing::runs())]
        run: Option<String>,
        /// Save the plan of the rollback, for `apply FILE`, and change nothing.
        #[arg(short, long, value_name = "FILE", conflicts_with = "yes", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// How to look.
        #[command(flatten)]
        look: Look,
    },
    /// Print the JSON Schema of the spec.
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Pin, show, register and remove release packages.
    #[command(after_help = examples::PACKAGE)]
    Package {
        /// What to do.
        #[command(subcommand)]
        command: PackageCommand,
    },
    /// Run the whole story on an embedded cluster on this machine.
    #[cfg(feature = "demo")]
    #[command(after_help = examples::DEMO)]
    Demo {
        /// What to do; the whole story if left out.
        #[command(subcommand)]
        command: Option<DemoCommand>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Serves an embedded cluster.
    #[cfg(feature = "demo")]
    #[command(name = "standin-serve", hide = true)]
    StandinServe {
        /// Its folder.
        dir: PathBuf,
    },
}

impl Command {
    /// Whether the command makes or serves the embedded cluster of a demonstration, whose files belong to
    /// more than one process.
    pub const fn is_demo(&self) -> bool {
        #[cfg(feature = "demo")]
        return matches!(self, Self::Demo { .. } | Self::StandinServe { .. });
        #[cfg(not(feature = "demo"))]
        false
    }
}

/// Shells that there is a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash.
    Bash,
    /// Elvish.
    Elvish,
    /// Fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// Zsh.
    Zsh,
}

/// What to do with packages.
#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// Read every package that the spec asks for and pin it in `<spec>.lock`.
    #[command(after_help = examples::PACKAGE_LOCK)]
    Lock {
        /// For `packages: node:<name>`: as for `plan`.
        #[command(flatten)]
        look: Look,
    },
    /// Show what is pinned and what is there.
    #[command(after_help = examples::PACKAGE_LS)]
    Ls,
    /// Register in the lock file a binary that no package has, so that it is recognised.
    #[command(after_help = examples::PACKAGE_ADD)]
    Add {
        /// The component.
        #[arg(long, add = completing::components())]
        component: String,
        /// The version that the binary counts as.
        #[arg(long)]
        version: String,
        /// The binary, an archive that holds it, or its sha256.
        #[arg(value_hint = ValueHint::FilePath)]
        what: String,
        /// A remark for those who read the lock file.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Remove from the lock file what it has of a component at a version: binaries that were added,
    /// and the pin if the spec does not ask for that version.
    #[command(after_help = examples::PACKAGE_RM)]
    Rm {
        /// The component.
        #[arg(long, add = completing::components())]
        component: String,
        /// The version.
        #[arg(long)]
        version: String,
        /// Only the binary with this sha256; its first digits will do.
        sha256: Option<String>,
    },
}

/// What to do with an embedded cluster.
#[cfg(feature = "demo")]
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Leave a cluster running and print the path of its spec.
    #[command(after_help = examples::DEMO_UP)]
    Up {
        /// How many nodes.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=200))]
        nodes: u8,
        /// Its folder, which must not exist.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Stop a cluster and remove its folder.
    #[command(after_help = examples::DEMO_DOWN)]
    Down {
        /// Its folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Reads a duration as the spec has them: `30s`, `5m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let read: Result<Seconds, String> = text.parse();
    read.map(|Seconds(seconds)| Duration::from_secs(seconds))
        .map_err(|why| format!("{why}; write it as 30s, 5m or 1h30m"))
}
