//! What protects the connection to the database.

use tarsops_model::framework::Protection;
use tarsops_model::observed::Observed;

use super::facts::Facts;
use super::rule::{NO_DATABASE, Outcome, Survey};

/// The line.
pub(super) static SURVEY: Survey = Survey {
    name: "database-connection",
    meaning: "what protects the connection to the database",
    judge,
};

fn judge(facts: &Facts<'_>) -> (Outcome, String) {
    let protection = match facts.framework.map(|f| &f.database) {
        Some(Observed::Present(database)) => &database.protection,
        Some(Observed::Unknown(why)) => return (Outcome::Unknown, why.clone()),
        Some(Observed::Absent) | None => &Observed::Absent,
    };
    match protection {
        Observed::Absent => (Outcome::Skipped, NO_DATABASE.to_owned()),
        Observed::Unknown(why) => (Outcome::Unknown, why.clone()),
        Observed::Present(by) => match by {
            Protection::Authority | Protection::Fingerprint | Protection::Known => {
                (Outcome::Ok, by.to_string())
            }
            Protection::FirstUse => (
                Outcome::Warning,
                format!(
                    "{by}: compare it on the server, or set `database.ca` or `database.fingerprint`"
                ),
            ),
            Protection::None => (
                Outcome::Warning,
                format!(
                    "{by}: an attacker on the network can read and change the connection; set up TLS there"
                ),
            ),
        },
    }
}
