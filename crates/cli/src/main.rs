//! `tarsops`: desired state for Tars clusters.
//!
//! This crate reads the command line, prints and chooses exit codes; one file for each command. What
//! is decided is decided in `tarsops-plan`, what is done is done by `tarsops-apply`.

#![allow(
    unreachable_pub,
    reason = "a binary: `pub` marks what a module offers to the others"
)]

mod args;
mod cmd;
mod completing;
mod console;
mod examples;
mod exit;
mod failure;
mod in_progress;
mod node_package;
mod output;
mod pending;
mod privacy;
mod progress;
mod runs;
mod saved;
mod session;
mod spec_file;
mod state;
mod store;
mod style;
mod unreachable_hosts;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Cli, Command};
use crate::cmd::consent::Consent;
use crate::failure::{Failure, Result};
use crate::privacy::{Stops, finishing, until_signal};

fn main() -> ExitCode {
    // A copy of this program under the name of tarsnode is a stand-in for demonstrations.
    #[cfg(feature = "demo")]
    tarsops_standin::maybe_run();
    output::guard_panics();
    cmd::completions::maybe_complete();
    // Rust ignores SIGPIPE; `tarsops plan | head` then ends with a quiet error, not a panic.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() {
                exit::USAGE
            } else {
                exit::OK
            };
            output::usage(&e);
            return ExitCode::from(code);
        }
    };
    // The embedded cluster of a demonstration is not ours alone.
    if !cli.command.is_demo() {
        privacy::begin();
    }
    logging(&cli);
    let json = cli.global.json;
    let ended = output::open_document(&cli.global).and_then(|()| run(cli));
    let code = match ended {
        Ok(code) if output::is_lost() && code <= exit::PENDING => ExitCode::from(exit::ERROR),
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            output::say(failure.text().trim_end());
            if !failure.published && failure.code != exit::USAGE {
                let document = serde_json::json!({
                    "format": "tarsops.error/1", "exit_code": failure.code,
                    "error": failure.layers, "about": failure.items, "next": failure.hint,
                });
                let document = format!("{document:#}\n");
                if json {
                    output::print_json(&document);
                }
                // The command has failed already, whatever comes of its document.
                if let Err(lost) = output::write_document(&document) {
                    output::say(lost.text().trim_end());
                }
            }
            ExitCode::from(failure.code)
        }
    };
    output::close_document();
    code
}

fn logging(cli: &Cli) {
    use tracing_subscriber::EnvFilter;
    let level = match cli.global.verbose {
        0 => "error",
        1 => "warn",
        2 => "tarsops=debug,tarsops_probe=debug,tarsops_transport=debug,tarsops_apply=debug,warn",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("TARSOPS_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(output::Log {
            json: cli.global.log_json,
        })
        .with_target(false);
    if cli.global.log_json {
        builder.json().init();
    } else {
        builder.with_ansi(false).init();
    }
}

fn run(cli: Cli) -> Result {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::new("could not start").because(&e))?;
    let global = cli.global;
    match cli.command {
        Command::Init { path, name } => cmd::init::run(&global, &path, &name),
        Command::Adopt(adopt) => runtime.block_on(until_signal(cmd::adopt::run(&global, &adopt))),
        Command::Validate => cmd::validate::run(&global),
        Command::Schema => cmd::schema::run(),
        Command::Completions { shell } => cmd::completions::run(shell),
        Command::Plan { look, out } => {
            runtime.block_on(until_signal(cmd::plan::run(&global, &look, out.as_deref())))
        }
        Command::Drift { look, strict, wait } => {
            runtime.block_on(until_signal(cmd::drift::run(&global, &look, strict, wait)))
        }
        Command::Check { look } => runtime.block_on(until_signal(cmd::check::run(&global, &look))),
        Command::Status { look } => {
            runtime.block_on(until_signal(cmd::status::run(&global, &look)))
        }
        Command::Apply {
            plan,
            look,
            yes,
            allow_blocked,
        } => runtime.block_on(finishing(async |stops: &Stops| {
            let consent = Consent { yes, allow_blocked };
            cmd::apply::run(&global, &look, plan.as_deref(), consent, stops).await
        })),
        Command::Recover {
            node,
            look,
            accept,
            yes,
        } => runtime.block_on(finishing(async |stops: &Stops| {
            cmd::recover::run(&global, &look, &node, accept, yes, stops).await
        })),
        Command::History { look, run, limit } => runtime.block_on(until_signal(cmd::history::run(
            &global,
            &look,
            run.as_deref(),
            usize::from(limit),
        ))),
        Command::Rollback {
            run,
            look,
            out,
            yes,
        } => runtime.block_on(finishing(async |stops: &Stops| {
            cmd::rollback::run(&global, &look, run.as_deref(), out.as_deref(), yes, stops).await
        })),
        Command::Package { command } => {
            runtime.block_on(until_signal(cmd::package::run(&global, command)))
        }
        #[cfg(feature = "demo")]
        Command::Demo { command } => cmd::demo::run(&global, command),
        #[cfg(feature = "demo")]
        Command::StandinServe { dir } => tarsops_standin::cluster::serve(&dir)
            .map(|()| exit::OK)
            .map_err(|e| Failure::new("the embedded cluster stopped").because(&e)),
    }
}
