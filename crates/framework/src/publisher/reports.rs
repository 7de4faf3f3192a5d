//! Reports of a node, as the management platform lists them.

use std::time::Duration;

use jiff::civil::DateTime;
use tarsops_transport::console::Notice;

/// Reports are dated to the second.
const SECOND: Duration = Duration::from_secs(1);

/// What reports say, newest first, as far as they may be of a publication that began `within` ago.
///
/// The platform tells them without a zone and cannot be asked since when, so they are only compared
/// with each other; and what is older than a success belongs to an earlier publication.
pub(super) fn reported(rows: impl Iterator<Item = Notice>, within: Duration) -> Vec<String> {
    let mut newest: Option<DateTime> = None;
    let mut out = Vec::new();
    for row in rows {
        let when: Option<DateTime> = row.notifytime.parse().ok();
        newest = newest.or(when);
        let age = newest
            .zip(when)
            .map(|(newest, when)| newest.duration_since(when));
        let words = row.result.unwrap_or_default();
        let succeeded = words.starts_with("patch ") && words.contains(" succ, version");
        if age.is_some_and(|age| age.unsigned_abs() > within + SECOND) {
            break;
        }
        if !words.is_empty() && !words.contains("viewversion") {
            out.push(words);
        }
        if succeeded {
            break;
        }
    }
    out
}
