//! What every change asks of its host: programs that carry it out, and room for its payload.

use tarsops_model::host::HostFacts;
use tarsops_model::observed::Observed;

use crate::input::PlanInput;
use crate::report::Blocked;

/// Free bytes that a change needs beyond twice its payload.
const HEADROOM: u64 = 16 << 20;

/// The programs that a change cannot do without and that the host lacks.
pub(crate) fn programs(host: &HostFacts) -> impl Iterator<Item = Blocked> + '_ {
    ["flock", "setsid"]
        .into_iter()
        .filter(|program| host.tools.get(*program) == Some(&false))
        .map(|program| Blocked::NoProgram {
            program: program.to_owned(),
            package: "util-linux".to_owned(),
        })
}

/// What stands against a payload of so many bytes, and what cannot be told about it.
pub(crate) fn room(
    input: &PlanInput<'_>,
    host: &HostFacts,
    payload: u64,
) -> (Vec<Blocked>, Vec<String>) {
    let (mut blocked, mut unknown) = (Vec::new(), Vec::new());
    let needed = payload.saturating_mul(2).saturating_add(HEADROOM);
    match &host.disk_free {
        Observed::Present(free) if *free < needed => blocked.push(Blocked::NoSpace {
            free: *free,
            needed,
        }),
        Observed::Unknown(why) => unknown.push(format!("the free space: {why}")),
        _ => {}
    }
    match &host.writable {
        Observed::Present(false) => blocked.push(Blocked::NotWritable {
            path: input.desired.install_path.to_string(),
        }),
        Observed::Unknown(why) => unknown.push(format!("the install path: {why}")),
        _ => {}
    }
    (blocked, unknown)
}
