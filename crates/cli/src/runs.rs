//! The run that a command begins: its id, its time, and who runs it.

use tarsops_model::inventory::Facts;
use tarsops_model::names::RunId;
use tarsops_model::observed::Observed;
use tarsops_probe::Report;

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A run id that is newer than every run that a host has seen, but for runs from the future.
pub fn new_run(report: &Report, master: Option<&RunId>) -> RunId {
    use std::hash::{BuildHasher as _, Hasher as _};
    let seen = report
        .inventory
        .resources
        .values()
        .filter_map(|o| match o {
            Observed::Present(Facts::Host(h)) => h.fence.as_ref(),
            _ => None,
        })
        .chain(master)
        // One host's fence from the future would make every later run refused elsewhere.
        .filter(|run| run.is_by(now()))
        .map(RunId::sequence)
        .max()
        .unwrap_or(0);
    let clock = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let chance = std::hash::RandomState::new().build_hasher().finish();
    RunId::from_parts(clock.max(seen + 1), (chance & 0x00ff_ffff) as u32)
}

/// Who we are, in the words of a lease.
pub fn holder() -> String {
    // cron and many pipelines set no USER.
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(account);
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{user}@{host} pid {}", std::process::id())
}

/// The name of our account; its number where this machine has no name for it.
fn account() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {uid}"))
}
