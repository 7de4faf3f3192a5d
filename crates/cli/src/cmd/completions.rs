//! `completions`: a completion script for a shell.

use clap::ValueEnum;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use crate::completing::VARIABLE;
use crate::context::print;
use crate::exit;
use crate::failure::{Failure, Result};

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
