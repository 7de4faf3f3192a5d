//! Which console goes with which framework.
//!
//! Neither says so anywhere: these lines were derived from what the console calls and what its models
//! have (TarsWeb `rpc/`, `app/service`, `ChangeList.md`; framework `AdminRegistryServer`).

use std::fmt;

use crate::version::Version;

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
        console: Version::new(2, 0, 0),
        framework: Version::new(2, 1, 0),
        why: "it asks tarsquerystat and tarsqueryproperty by their QueryObj",
    },
    Gate::NeedsFramework {
        console: Version::new(2, 4, 16),
        framework: Version::new(2, 4, 12),
        why: "it asks AdminRegistry for its version (getVersion)",
    },
    Gate::NeedsFramework {
        console: Version::new(2, 4, 18),
        framework: Version::new(2, 4, 15),
        why: "it stops the flow of a server before it publishes (updateServerFlowState)",
    },
    Gate::NeedsFramework {
        console: Version::new(2, 4, 19),
        framework: Version::new(3, 0, 1),
        why: "it asks tarslog for call chains by its TopologyObj",
    },
    Gate::NeedsFramework {
        console: Version::new(2, 4, 25),
        framework: Version::new(3, 0, 4),
        why: "it knows the states of tasks by other numbers",
    },
    Gate::NeedsConsole {
        framework: Version::new(3, 0, 4),
        console: Version::new(2, 4, 25),
        why: "it takes the states of tasks for others",
    },
    Gate::NeedsFramework {
        console: Version::new(2, 4, 27),
        framework: Version::new(3, 0, 5),
        why: "it asks AdminRegistry for registries of images (checkDockerRegistry)",
    },
    Gate::NeedsFramework {
        console: Version::new(3, 0, 0),
        framework: Version::new(3, 0, 6),
        why: "it lets AdminRegistry fetch images (dockerPull)",
    },
    Gate::NeedsFramework {
        console: Version::new(3, 0, 1),
        framework: Version::new(3, 0, 7),
        why: "it asks AdminRegistry for its nodes (getNodeList)",
    },
];

/// The first release whose `config/webConf.js` decides by `alter` whether tables are changed at its start.
pub const ALTER_SWITCH: Version = Version::new(2, 4, 18);
/// The first release that changes tables at its start.
pub const ALTERS: Version = Version::new(2, 4, 7);
/// The first release that changes tables of the framework's own database (`db_tars`) then.
pub const ALTERS_FRAMEWORK: Version = Version::new(2, 4, 9);

/// Columns of the framework's tables that consoles have learned of, each with the first that has it in its
/// models. An older one drops it at its start (TarsWeb `app/dao/db/index.js`: `sync` with `alter`).
pub const LEARNED: [(&str, &str, Version); 5] = [
    ("t_server_conf", "flow_state", Version::new(2, 4, 18)),
    ("t_server_conf", "run_type", Version::new(2, 4, 25)),
    ("t_server_conf", "base_image_id", Version::new(2, 4, 25)),
    ("t_server_conf", "source", Version::new(2, 4, 25)),
    ("t_base_image", "result", Version::new(3, 0, 0)),
];

/// Whether a start of the console `old` leaves all columns that `new` has made. No column was added from 3.0.3
/// to 3.0.15; of later releases nothing is known.
#[must_use]
pub fn keeps_columns(old: Option<Version>, new: Option<Version>) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return false;
    };
    let same = Version::new(3, 0, 3)..=Version::new(3, 0, 15);
    old >= new || same.contains(&old) && same.contains(&new)
}

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
