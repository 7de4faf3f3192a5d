//! `completions`: a completion script for a shell.

use clap::{Command, CommandFactory as _};
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::args::{Cli, Shell};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output::print;

/// The variable by which the script of a shell asks for completions.
pub const VARIABLE: &str = "TARSOPS_COMPLETE";

/// Answers a shell and ends, if one asks.
pub fn maybe_complete() {
    CompleteEnv::with_factory(visible).var(VARIABLE).complete();
}

/// The command line without what help hides.
fn visible() -> Command {
    let all = Cli::command();
    let shown = all.get_subcommands().filter(|c| !c.is_hide_set()).cloned();
    Command::new("tarsops")
        .version(env!("CARGO_PKG_VERSION"))
        .args(all.get_arguments().cloned())
        .subcommands(shown)
}

/// Prints it. The script asks this program for every word.
pub fn run(shell: Shell) -> Result {
    let writer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
        Shell::Zsh => &Zsh,
    };
    let mut out = Vec::new();
    writer
        .write_registration(VARIABLE, "tarsops", "tarsops", "tarsops", &mut out)
        .map_err(|e| Failure::new("could not write the script").because(&e))?;
    print(&*String::from_utf8_lossy(&out));
    Ok(exit::OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_help_hides_is_no_part_of_the_command_line() {
        let shown = visible();
        let names: Vec<&str> = shown.get_subcommands().map(Command::get_name).collect();
        assert!(
            names.contains(&"plan") && names.contains(&"package"),
            "{names:?}"
        );
        assert!(!names.contains(&"standin-serve"), "{names:?}");
    }
}
