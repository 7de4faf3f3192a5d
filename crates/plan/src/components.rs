//! What is the same for every component that is changed on a host: its program in a release, what the
//! host must offer, and the frame of the change.

use tarsops_model::agent::FileFact;
use tarsops_model::component::Component;
use tarsops_model::digest::Digest;
use tarsops_model::host::{Host, HostFacts};
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::{Catalog, PackageFile};
use tarsops_model::version::Version;

use crate::actions::{Content, FileChange, HostChange, Operation, Port};
use crate::input::PlanInput;
use crate::places::binary_path;
use crate::prerequisites;
use crate::report::Blocked;

/// The core services beside tarsnode, in the order in which they are changed.
pub const CORE: [Component; 4] = [
    Component::Tarsregistry,
    Component::TarsAdminRegistry,
    Component::Tarsconfig,
    Component::Tarspatch,
];

/// The basic services, which the framework publishes as it does any service.
pub const BASIC: [Component; 6] = [
    Component::Tarsstat,
    Component::Tarsproperty,
    Component::Tarsnotify,
    Component::Tarslog,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];

/// The components of a slave beside tarsnode, in the order in which they are started: the registry
/// first, as the others resolve names.
pub const PLACED: [Component; 5] = [
    Component::Tarsregistry,
    Component::Tarsconfig,
    Component::Tarsnotify,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];

/// The components of a host that a look must report, so that what is missing can be placed.
pub const LOOKED_AT: [Component; 10] = [
    Component::Tarsregistry,
    Component::TarsAdminRegistry,
    Component::Tarsconfig,
    Component::Tarspatch,
    Component::Tarsstat,
    Component::Tarsproperty,
    Component::Tarsnotify,
    Component::Tarslog,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];

/// Whether a component that is missing is placed by the steps of this module.
#[must_use]
pub fn is_placed(component: Component) -> bool {
    PLACED.contains(&component)
}

/// Whether the lock file knows anything of a component.
pub(crate) fn is_known(catalog: &Catalog, component: Component) -> bool {
    let mut all = catalog.known.values().flatten();
    all.any(|(c, _)| *c == component)
}

/// A digest as people know it: its version, or its first digits.
pub(crate) fn name_of(catalog: &Catalog, component: Component, digest: &Digest) -> String {
    match catalog.versions_of(component, digest).last() {
        Some(v) => format!("{v} ({})", digest.short()),
        None => format!("unknown ({})", digest.short()),
    }
}

/// The program that a release brings of a component.
pub(crate) fn shipped(
    catalog: &Catalog,
    component: Component,
    version: Version,
) -> Option<&PackageFile> {
    let package = catalog.get(component, version)?;
    package.file(&format!("bin/{component}"))
}

/// A component's program replaced by that of a release; `before` is what is there.
pub(crate) fn program(
    component: Component,
    version: Version,
    shipped: &PackageFile,
    before: Option<&FileFact>,
) -> FileChange {
    FileChange {
        path: binary_path(component),
        mode: 0o755,
        before: before.map(|b| b.digest),
        before_mode: before.map(|b| b.mode),
        after: Some(shipped.digest),
        content: Content::Package {
            component,
            version,
            path: shipped.path.clone(),
            size: shipped.size,
        },
    }
}

/// What the host lacks for a change of `component`.
pub(crate) fn means(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    host: &HostFacts,
) -> Vec<Blocked> {
    let mut why: Vec<Blocked> = prerequisites::programs(host).collect();
    // One who is made comes with tarsnode, after the stages of what runs there already.
    let comes = input.desired.agent(node).is_some_and(|a| a.create_run_user);
    let runs = host.components.present().is_none_or(|all| !all.is_empty());
    if host.run_user == Observed::Absent && (runs || !comes) {
        why.push(Blocked::NoRunUser {
            user: input.desired.run_user.to_string(),
            comes,
        });
    }
    if !host.is_root && host.user != input.desired.run_user.as_str() {
        why.push(Blocked::NeedsRoot {
            what: format!("working on {component} as {}", host.user),
        });
    }
    why
}

/// A change of a component other than tarsnode, of which no process runs; none where the machine
/// cannot be told.
pub(crate) fn on_host(
    input: &PlanInput<'_>,
    component: Component,
    node: &NodeName,
    spec: &Host,
    host: &HostFacts,
    (summary, operation): (String, Operation),
) -> Option<HostChange> {
    let (Observed::Present(machine_id), Some(agent)) =
        (&host.machine_id, input.desired.agent(node))
    else {
        return None;
    };
    Some(HostChange {
        component,
        node: node.clone(),
        summary,
        operation,
        tars_path: agent.tars_path.clone(),
        run_user: agent.run_user.clone(),
        ran_as: None,
        ip: spec.ip,
        port: Port::default(),
        ran: false,
        machine_id: machine_id.clone(),
        settle: None,
    })
}
