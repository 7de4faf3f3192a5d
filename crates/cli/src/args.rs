//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use tarsops_spec::document::Seconds;

use crate::completing;
use crate::examples;

/// Desired state for Tars clusters: compares a cluster with its spec, and changes it to match.
#[derive(Debug, Parser)]
#[command(name = "tarsops", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 in sync or applied, 1 error, 2 changes pending, 3 invalid spec, \
4 incomplete, 5 stale plan, 6 blocked by a guard, 7 lease held by another, 8 failed and rolled back, \
9 stuck, 64 wrong usage, 130 interrupted."
)]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command; help shows them last.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The spec: a YAML file that describes the cluster.
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
    /// Print one JSON document to standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// Write the JSON document to this file, and text to the terminal.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json_into: Option<PathBuf>,
    /// When to use colours; `auto` respects NO_COLOR.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Show more details; twice for traces on standard error.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Write traces to standard error as JSON lines.
    #[arg(long, global = true)]
    pub log_json: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// If standard output is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Options of commands that look at hosts. A command lists them after its own options, as everything
/// after them has their heading in the help.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options for looking at hosts")]
pub struct Look {
    /// Only these nodes, patterns of nodes, `@label=value` or components (repeat the option, or use
    /// commas). With `!` before a word: all except these.
    #[arg(long, value_name = "WHAT", add = completing::scope())]
    pub on: Vec<String>,
    /// Read all files again, instead of using the digests that a host has cached.
    #[arg(long)]
    pub rehash: bool,
    /// Add the keys of new hosts to the known hosts file. Compare the fingerprints first. Keys that
    /// have changed are still refused.
    #[arg(long)]
    pub accept_new_host_keys: bool,
    /// Allow programs that the spec names: those that print secrets (`{command: …}`), and those that
    /// the file in `ssh.config` starts.
    #[arg(long)]
    pub allow_commands: bool,
    /// If the management platform is down, still apply the steps that do not need it (default: apply
    /// nothing).
    #[arg(long)]
    pub without_console: bool,
    /// Seconds that one host may take to report its facts.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a starter spec with comments.
    #[command(after_help = examples::INIT)]
    Init {
        /// The file to write.
        #[arg(default_value = "cluster.yaml", value_hint = ValueHint::FilePath)]
        path: PathBuf,
        /// The cluster's name.
        #[arg(long, default_value = "prod")]
        name: String,
    },
    /// Write a spec and a lock file for a cluster that exists. Reads the rows, AdminRegistry and the
    /// hosts, and changes nothing.
    #[command(after_help = examples::ADOPT)]
    Adopt(Box<Adopt>),
    /// Check the spec, without connecting to anything.
    #[command(after_help = examples::VALIDATE)]
    Validate,
    /// Show what `apply` would change.
    #[command(after_help = examples::PLAN)]
    Plan {
        /// Save the plan for `apply FILE`.
        #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Change the cluster to match the spec: plan, show, ask, change, verify.
    #[command(after_help = examples::APPLY)]
    Apply {
        /// A saved plan. Only its steps are applied; it is refused if one of them is not planned now.
        #[arg(value_hint = ValueHint::FilePath)]
        plan: Option<PathBuf>,
        /// Do not ask for confirmation.
        #[arg(short, long)]
        yes: bool,
        /// If something is blocked, apply the rest.
        #[arg(long)]
        allow_blocked: bool,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// End a stuck change on a node: restore the old state, or accept what runs there now.
    #[command(after_help = examples::RECOVER)]
    Recover {
        /// The node.
        #[arg(add = completing::nodes())]
        node: String,
        /// Accept what runs there now, and restore nothing. The next plan starts from it.
        #[arg(long)]
        accept: bool,
        /// Do not ask for confirmation.
        #[arg(short, long)]
        yes: bool,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Report whether the cluster differs from the spec; prints nothing if it does not. For cron.
    #[command(after_help = examples::DRIFT)]
    Drift {
        /// Count what exists but is not in the spec as drift.
        #[arg(long)]
        strict: bool,
        /// Wait this long (such as 5m) for the end of an apply in progress, instead of ending with exit
        /// code 7 at once.
        #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = duration)]
        wait: Duration,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Run all checks for known problems, and change nothing: the preflight alone.
    #[command(after_help = examples::CHECK)]
    Check {
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Show each component with its version, state and hosts.
    #[command(after_help = examples::STATUS)]
    Status {
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Show the runs that the hosts have on record.
    #[command(after_help = examples::HISTORY)]
    History {
        /// Show one run with all its changes.
        #[arg(add = completing::runs())]
        run: Option<String>,
        /// Number of runs.
        #[arg(short = 'n', long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Roll back a run: restore every host that it changed to its state before the run.
    #[command(after_help = examples::ROLLBACK)]
    Rollback {
        /// The run; by default the newest.
        #[arg(add = completing::runs())]
        run: Option<String>,
        /// Save the plan of the rollback for `apply FILE`, and change nothing.
        #[arg(short, long, value_name = "FILE", conflicts_with = "yes", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
        /// Do not ask for confirmation.
        #[arg(short, long)]
        yes: bool,
        /// Options for looking at hosts.
        #[command(flatten)]
        look: Look,
    },
    /// Print the JSON Schema of the spec.
    #[command(after_help = examples::SCHEMA)]
    Schema,
    /// Pin, list, register and remove release packages.
    #[command(after_help = examples::PACKAGE)]
    Package {
        /// The subcommand.
        #[command(subcommand)]
        command: PackageCommand,
    },
    /// Run a demonstration on an embedded cluster on this machine.
    #[cfg(feature = "demo")]
    #[command(after_help = examples::DEMO)]
    Demo {
        /// The subcommand; without one, the whole demonstration runs.
        #[command(subcommand)]
        command: Option<DemoCommand>,
    },
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Serve an embedded cluster.
    #[cfg(feature = "demo")]
    #[command(name = "standin-serve", hide = true)]
    StandinServe {
        /// The folder of the cluster.
        dir: PathBuf,
    },
}

/// What `adopt` has to be given, as no look shows it.
#[derive(Debug, Clone, Args)]
pub struct Adopt {
    /// A host of the framework, best the one with tarsAdminRegistry: what SSH connects to.
    #[arg(long, value_name = "HOST")]
    pub from: String,
    /// The spec to write; its lock file is beside it. Neither may exist.
    #[arg(short, long, default_value = "cluster.yaml", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// The cluster's name.
    #[arg(long, default_value = "prod")]
    pub name: String,
    /// The framework's version, used only if neither AdminRegistry nor a row names one.
    #[arg(long, value_name = "VERSION")]
    pub framework_version: Option<String>,
    /// Folder with release packages; `{version}` in it stands for each version.
    #[arg(long, value_name = "FOLDER")]
    pub packages: Option<String>,
    /// Where the framework's database listens. Left out: as the registry's configuration says.
    #[arg(
        long,
        value_name = "HOST:PORT",
        help_heading = "The framework's database"
    )]
    pub database: Option<String>,
    /// User of the database. Left out: as the registry's configuration says.
    #[arg(long, value_name = "USER", help_heading = "The framework's database")]
    pub database_user: Option<String>,
    /// Where the password comes from: `env:NAME` or `file:PATH`. Without it, no rows are read.
    #[arg(long, value_name = "SOURCE", help_heading = "The framework's database")]
    pub database_password: Option<String>,
    /// Reach the database through SSH to the host in `--from`.
    #[arg(long, help_heading = "The framework's database")]
    pub database_via_ssh: bool,
    /// Whether the connection is encrypted: `prefer`, `require` or `none`.
    #[arg(long, value_name = "WHEN", value_parser = ["prefer", "require", "none"], help_heading = "The framework's database")]
    pub database_tls: Option<String>,
    /// Base address of the management platform.
    #[arg(
        long,
        value_name = "URL",
        requires = "web_ticket",
        help_heading = "The management platform"
    )]
    pub web: Option<String>,
    /// Where its ticket comes from: `env:NAME` or `file:PATH`.
    #[arg(
        long,
        value_name = "SOURCE",
        requires = "web",
        help_heading = "The management platform"
    )]
    pub web_ticket: Option<String>,
    /// How the framework's servants are asked: `direct`, `ssh` or `none`.
    #[arg(long, value_parser = ["direct", "ssh", "none"], default_value = "direct", value_name = "WAY", help_heading = "SSH")]
    pub rpc: String,
    /// Login user on the hosts.
    #[arg(long, value_name = "USER", help_heading = "SSH")]
    pub ssh_user: Option<String>,
    /// Port of the hosts' SSH servers.
    #[arg(long, value_name = "PORT", help_heading = "SSH")]
    pub ssh_port: Option<u16>,
    /// Private key file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "SSH")]
    pub ssh_identity: Option<String>,
    /// Host to go through: `[user@]host[:port]`.
    #[arg(long, value_name = "HOST", help_heading = "SSH")]
    pub ssh_jump: Option<String>,
    /// How root rights are got on the hosts: `none` or `sudo`.
    #[arg(long, value_parser = ["none", "sudo"], value_name = "HOW", help_heading = "SSH")]
    pub ssh_become: Option<String>,
    /// File with the hosts' keys.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "SSH")]
    pub ssh_known_hosts: Option<String>,
    /// OpenSSH client configuration to use in place of your own.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "SSH")]
    pub ssh_config: Option<String>,
    /// Seconds that one host may take to report its facts.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600), help_heading = "SSH")]
    pub timeout: u64,
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

/// Subcommands of `package`.
#[derive(Debug, Subcommand)]
pub enum PackageCommand {
    /// Read every package that the spec asks for, and pin it in `<spec>.lock`.
    #[command(after_help = examples::PACKAGE_LOCK)]
    Lock {
        /// Used for `packages: node:NAME`.
        #[command(flatten)]
        look: Look,
    },
    /// Make a release archive of the management platform, of a checkout with its dependencies.
    #[command(after_help = examples::PACKAGE_WEB)]
    Web {
        /// A checkout of TarsWeb in which `npm install --omit=dev` was run.
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
        /// Where the archive goes, such as `tars-web-3.0.15.tgz`.
        #[arg(short, long, value_hint = ValueHint::FilePath)]
        output: PathBuf,
        /// Refuse it if its native modules are not for such machines, in the word of `uname -m`.
        #[arg(long)]
        machine: Option<String>,
    },
    /// List what the lock file pins, and where it is from.
    #[command(after_help = examples::PACKAGE_LS)]
    Ls,
    /// Register a binary that is in no package, so that it is recognised.
    #[command(after_help = examples::PACKAGE_ADD)]
    Add {
        /// The component.
        #[arg(long, add = completing::components())]
        component: String,
        /// The version that the binary counts as.
        #[arg(long)]
        version: String,
        /// The binary, an archive that contains it, or its sha256.
        #[arg(value_hint = ValueHint::FilePath)]
        what: String,
        /// A note for readers of the lock file.
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Remove a version of a component from the lock file: registered binaries, and the pin if the spec
    /// does not ask for that version.
    #[command(after_help = examples::PACKAGE_RM)]
    Rm {
        /// The component, or `web` for the management platform.
        #[arg(long, add = completing::components())]
        component: String,
        /// The version.
        #[arg(long)]
        version: String,
        /// Only the binary with this sha256; its first digits are enough.
        sha256: Option<String>,
    },
}

/// Subcommands of `demo`.
#[cfg(feature = "demo")]
#[derive(Debug, Subcommand)]
pub enum DemoCommand {
    /// Start a cluster, leave it running, and print the path of its spec.
    #[command(after_help = examples::DEMO_UP)]
    Up {
        /// Number of nodes.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(2..=200))]
        nodes: u8,
        /// The folder of the cluster, which must not exist.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Stop a cluster and remove its folder.
    #[command(after_help = examples::DEMO_DOWN)]
    Down {
        /// The folder of the cluster.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Reads a duration in the form that the spec uses: `30s`, `5m`, `1h30m`.
fn duration(text: &str) -> Result<Duration, String> {
    let read: Result<Seconds, String> = text.parse();
    read.map(|Seconds(seconds)| Duration::from_secs(seconds))
        .map_err(|why| format!("{why}; write it as 30s, 5m or 1h30m"))
}
