//! What hinders a release of the management platform, typed.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What hinders a release of the platform.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum ConsoleObstacle {
    /// The lock file does not have it.
    NotPinned,
    /// It would drop columns at its start.
    Drops {
        /// Each as `database.table.column`.
        columns: BTreeSet<String>,
    },
    /// Nobody can tell whether it would.
    ColumnsUnknown {
        /// Why not.
        why: String,
    },
    /// It would end at its start: rows have no time of their patch.
    WithoutPatchTime {
        /// How many rows.
        rows: u64,
    },
    /// It does not go with the framework that runs.
    Apart {
        /// Why not.
        why: String,
    },
    /// Its native modules are for other machines.
    OtherMachine {
        /// The host's kind.
        machine: String,
    },
}

impl fmt::Display for ConsoleObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPinned => f.write_str("the lock file does not pin it"),
            Self::Drops { columns } => {
                let shown: Vec<&str> = columns.iter().take(4).map(String::as_str).collect();
                let more = columns.len() - shown.len();
                write!(f, "its start would drop {}", shown.join(", "))?;
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
                Ok(())
            }
            Self::ColumnsUnknown { why } => {
                write!(
                    f,
                    "it is not known which columns its start would drop: {why}"
                )
            }
            Self::WithoutPatchTime { rows } => write!(
                f,
                "it would end at its start: {rows} rows of t_server_conf have no patch_time"
            ),
            Self::Apart { why } => f.write_str(why),
            Self::OtherMachine { machine } => {
                write!(f, "its native modules are not for {machine}")
            }
        }
    }
}
