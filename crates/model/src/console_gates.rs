//! Which console goes with which framework.
//!
//! Neither says so anywhere: these lines were derived from what the console calls and what its models
//! have (TarsWeb `rpc/`, `app/service`, `ChangeList.md`; framework `AdminRegistryServer`).

use std::fmt;

use crate::version::Version;

const fn v(major: u16, minor: u16, patch: u16) -> Version {
    Version {
        major,
        minor,
        patch,
    }
}

/// What one line of the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// From this console on, the framework must be at least so new.
    NeedsFramework {
        /// The console.
        console: Version,
        /// The framework.
        framework: Version,
        /// What it calls there.
        why: &'static str,
    },
    /// From this framework on, the console must be at least so new.
    NeedsConsole {
        /// The framework.
        framework: Version,
        /// The console.
        console: Version,
        /// What goes wrong otherwise.
        why: &'static str,
    },
}

/// The table, by console.
pub const GATES: [Gate; 9] = [
    Gate::NeedsFramework {
        console: v(2, 0, 0),
        framework: v(2, 1, 0),
        why: "it asks tarsquerystat and tarsqueryproperty by their QueryObj",
    },
    Gate::NeedsFramework {
        console: v(2, 4, 16),
        framework: v(2, 4, 12),
        why: "it asks AdminRegistry for its version (getVersion)",
    },
    Gate::NeedsFramework {
        console: v(2, 4, 18),
        framework: v(2, 4, 15),
        why: "it stops the flow of a server before it publishes (updateServerFlowState)",
    },
    Gate::NeedsFramework {
        console: v(2, 4, 19),
        framework: v(3, 0, 1),
        why: "it asks tarslog for call chains by its TopologyObj",
    },
    Gate::NeedsFramework {
        console: v(2, 4, 25),
        framework: v(3, 0, 4),
        why: "it knows the states of tasks by other numbers",
    },
    Gate::NeedsConsole {
        framework: v(3, 0, 4),
        console: v(2, 4, 25),
        why: "it takes the states of tasks for others",
    },
    Gate::NeedsFramework {
        console: v(2, 4, 27),
        framework: v(3, 0, 5),
        why: "it asks AdminRegistry for registries of images (checkDockerRegistry)",
    },
    Gate::NeedsFramework {
        console: v(3, 0, 0),
        framework: v(3, 0, 6),
        why: "it lets AdminRegistry fetch images (dockerPull)",
    },
    Gate::NeedsFramework {
        console: v(3, 0, 1),
        framework: v(3, 0, 7),
        why: "it asks AdminRegistry for its nodes (getNodeList)",
    },
];

/// The first release whose `config/webConf.js` decides by `alter` whether tables are changed at its start.
pub const ALTER_SWITCH: Version = v(2, 4, 18);
/// The first release that changes tables at its start.
pub const ALTERS: Version = v(2, 4, 7);

/// A console and a framework that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Apart {
    /// The console.
    pub console: Version,
    /// The framework.
    pub framework: Version,
    gate: Gate,
}

impl fmt::Display for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (console, framework) = (self.console, self.framework);
        match self.gate {
            Gate::NeedsFramework {
                framework: least,
                why,
                ..
            } => write!(
                f,
                "the platform {console} needs framework {least} or newer, and not {framework}: {why}"
            ),
            Gate::NeedsConsole {
                console: least,
                why,
                ..
            } => write!(
                f,
                "framework {framework} needs the platform {least} or newer: with {console} {why}"
            ),
        }
    }
}

/// Why a console and a framework do not go together: the line that asks for most; none if they do.
#[must_use]
pub fn apart(console: Version, framework: Version) -> Option<Apart> {
    let broken = |gate: &&Gate| match **gate {
        Gate::NeedsFramework {
            console: from,
            framework: least,
            ..
        } => console >= from && framework < least,
        Gate::NeedsConsole {
            framework: from,
            console: least,
            ..
        } => framework >= from && console < least,
    };
    let gate = *GATES.iter().rfind(broken)?;
    Some(Apart {
        console,
        framework,
        gate,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(console: &str, framework: &str) -> Option<String> {
        let version = |text: &str| text.parse().unwrap();
        apart(version(console), version(framework)).map(|apart| apart.to_string())
    }

    #[test]
    fn what_was_released_together_goes_together() {
        for (console, framework) in [
            ("3.0.15", "3.0.17"),
            ("3.0.11", "3.0.12"),
            ("2.4.25", "3.0.4"),
            ("2.4.27", "3.0.5"),
            ("3.0.0", "3.0.6"),
            ("2.4.21", "3.0.3"),
            ("2.4.16", "2.4.14"),
            ("2.4.19", "3.0.1"),
        ] {
            assert_eq!(says(console, framework), None, "{console} {framework}");
        }
    }

    #[test]
    fn both_directions_are_refused_with_the_reason() {
        let newer = says("3.0.15", "3.0.3").unwrap();
        assert!(newer.contains("needs framework 3.0.7 or newer"), "{newer}");
        let older = says("2.4.23", "3.0.17").unwrap();
        assert!(
            older.contains("needs the platform 2.4.25 or newer"),
            "{older}"
        );
        // Each line says something of its own: the framework just before it is refused, and it is not.
        for gate in GATES {
            match gate {
                Gate::NeedsFramework {
                    console, framework, ..
                } => {
                    let before = Version {
                        minor: framework.minor,
                        patch: framework.patch.saturating_sub(1),
                        ..framework
                    };
                    let found = apart(console, before);
                    assert!(framework.patch == 0 || found.is_some(), "{console}");
                    let found = apart(console, framework);
                    assert!(found.is_none_or(|a| a.gate != gate), "{console}");
                }
                Gate::NeedsConsole {
                    framework, console, ..
                } => {
                    let before = Version {
                        patch: console.patch - 1,
                        ..console
                    };
                    assert!(apart(before, framework).is_some());
                    assert_eq!(apart(console, framework), None);
                }
            }
        }
    }
}
