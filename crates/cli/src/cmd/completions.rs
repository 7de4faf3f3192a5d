//! `completions`: a completion script for a shell.

use clap::CommandFactory as _;

use crate::args::Cli;
use crate::context::print;
use crate::exit;
use crate::failure::Result;

/// Prints it.
pub fn run(shell: clap_complete::Shell) -> Result {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tarsops", &mut out);
    print(&*String::from_utf8_lossy(&out));
    Ok(exit::OK)
}
