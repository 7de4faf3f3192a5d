//! The management platform, compared with the spec, and what hinders another release of it.
//!
//! No step replaces it yet: what differs is blocked with its reason. What must stay true for whoever plans
//! it: a release whose models lack a column of the database drops that column at its start, so it is never
//! started, forward or back, unless its configuration says `alter: false`.

use tarsops_model::component::Component;
use tarsops_model::console::{ConsoleFacts, Models, dropped};
use tarsops_model::console_gates::{ALTER_SWITCH, ALTERS, apart};
use tarsops_model::observed::Observed;
use tarsops_model::package::ImagePin;
use tarsops_model::resource::ResourceId;
use tarsops_model::version::Version;

use crate::console_obstacle::ConsoleObstacle;
use crate::drift::{Drift, DriftKind, FieldChange};
use crate::input::PlanInput;
use crate::report::{Blocked, Line};

/// Whether a release changes tables at its start, with the configuration that the host has. What cannot
/// be seen counts as yes.
fn alters(version: Version, facts: Option<&ConsoleFacts>) -> bool {
    let off = facts.is_some_and(|facts| facts.alters == Observed::Present(false));
    version >= ALTERS && !(off && version >= ALTER_SWITCH)
}

/// What hinders a start of a release with these models; they are none where they are not known.
pub(crate) fn start(
    input: &PlanInput<'_>,
    version: Version,
    models: Option<&Models>,
) -> Vec<ConsoleObstacle> {
    let facts = input.inventory.console();
    if !alters(version, facts.present().copied()) {
        return vec![];
    }
    let unknown = |why: &str| ConsoleObstacle::ColumnsUnknown {
        why: why.to_owned(),
    };
    let Some(models) = models else {
        return vec![unknown("its models are not pinned")];
    };
    let framework = input.inventory.framework.as_deref();
    let tables = match framework.map(|f| f.rows()) {
        Some(Observed::Present(rows)) => &rows.console,
        Some(Observed::Unknown(why)) => return vec![unknown(&why)],
        Some(Observed::Absent) | None => return vec![unknown("the database was not read")],
    };
    let mut all = Vec::new();
    match &tables.columns {
        Observed::Present(live) => {
            let columns = dropped(models, live);
            if !columns.is_empty() {
                all.push(ConsoleObstacle::Drops { columns });
            }
        }
        Observed::Unknown(why) => all.push(unknown(why)),
        Observed::Absent => {}
    }
    if let Observed::Present(rows @ 1..) = tables.without_patch_time {
        all.push(ConsoleObstacle::WithoutPatchTime { rows });
    }
    all
}

/// Why a release does not go with the framework that runs, as far as its AdminRegistry is known.
pub(crate) fn apart_from_framework(input: &PlanInput<'_>, version: Version) -> Option<String> {
    let (node, _) = input.desired.admin()?;
    let seen = input.inventory.server(Component::TarsAdminRegistry, node);
    let binary = &seen.present()?.binary.present()?.digest;
    let versions = input
        .catalog
        .versions_of(Component::TarsAdminRegistry, binary);
    // A binary may be several versions; it is none of them that does not fit only if all do not.
    let all: Option<Vec<_>> = versions.iter().map(|f| apart(version, *f)).collect();
    all?.first().map(ToString::to_string)
}

/// What hinders that a release is put on its host and started.
fn obstacles(input: &PlanInput<'_>, version: Version) -> Vec<ConsoleObstacle> {
    let pin = input.catalog.consoles.get(&version);
    let mut all = Vec::new();
    match pin {
        None => all.push(ConsoleObstacle::NotPinned),
        Some(pin) => {
            all.extend(start(input, version, Some(&pin.models)));
            let facts = input.inventory.console();
            if let Some(Observed::Present(machine)) = facts.present().map(|f| &f.machine)
                && !pin.runs_on(machine)
            {
                let machine = machine.clone();
                all.push(ConsoleObstacle::OtherMachine { machine });
            }
        }
    }
    if let Some(why) = apart_from_framework(input, version) {
        all.push(ConsoleObstacle::Apart { why });
    }
    all
}

/// The image of the framework's containers, where the spec has some and it is pinned.
pub(crate) fn image<'a>(input: &PlanInput<'a>) -> Option<&'a ImagePin> {
    let (_, container) = input.desired.containers().next()?;
    input.catalog.images.get(&container.image)
}

/// How the platform differs from the spec, and why it is not changed.
pub(crate) fn assess(input: &PlanInput<'_>) -> Option<(Drift, Option<Line>)> {
    let console = input.desired.web()?.console.as_ref()?;
    let to = console.version?;
    let is_meant = input.scope.has_node(&console.node) && input.scope.components.is_empty();
    if !is_meant {
        return None;
    }
    if input.desired.containers().next().is_some() {
        return in_image(image(input)?, to);
    }
    let (kind, from) = match installed(input) {
        Observed::Present(from) if from == to => return None,
        Observed::Present(from) => (changed(Some(from), to), Some(from)),
        Observed::Absent => (DriftKind::Missing, None),
        Observed::Unknown(why) => {
            let kind = DriftKind::Unknown { why: vec![why] };
            return Some((drift(kind), None));
        }
    };
    let why = Blocked::NoConsoleWork {
        from,
        to,
        obstacles: obstacles(input, to),
    };
    Some((drift(kind), Some(blocked(why))))
}

fn in_image(image: &ImagePin, to: Version) -> Option<(Drift, Option<Line>)> {
    if image.console == Some(to) {
        return None;
    }
    let why = Blocked::OtherConsoleInImage {
        image: image.name.clone(),
        has: image.console,
        wanted: to,
    };
    Some((drift(changed(image.console, to)), Some(blocked(why))))
}

fn installed(input: &PlanInput<'_>) -> Observed<Version> {
    match input.inventory.console() {
        Observed::Present(facts) => facts.version.clone(),
        Observed::Absent => Observed::Absent,
        Observed::Unknown(why) => Observed::Unknown(why),
    }
}

fn changed(from: Option<Version>, to: Version) -> DriftKind {
    let old = from.map_or_else(|| "none".to_owned(), |v| v.to_string());
    let new = to.to_string();
    DriftKind::Changed {
        fields: vec![FieldChange::new("version", old.as_str(), new.as_str())],
    }
}

const fn drift(kind: DriftKind) -> Drift {
    Drift {
        resource: ResourceId::Web,
        kind,
    }
}

const fn blocked(why: Blocked) -> Line {
    Line::Blocked {
        resource: ResourceId::Web,
        why,
    }
}
