//! Versions that cannot work together: the rules of [`tarsops_model::coupling`], held against the
//! versions that the nodes of a spec would run.
//!
//! A node that is taken away runs nothing any more; one under maintenance still counts, as it comes
//! back with what the spec says.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::coupling::{Couples, RULES, VersionRule, apart_from_framework, only_one};
use tarsops_model::names::NodeName;
use tarsops_model::version::Version;

use crate::document::Spec;
use crate::lower::{Check, version};
use crate::members::{Member, more};
use crate::rules::Rule;

/// A component on a node, at the version that the spec asks for.
struct Placed<'m> {
    component: Component,
    version: Version,
    node: &'m NodeName,
    /// Where the document says that version.
    path: String,
}

impl Placed<'_> {
    /// Whether the version is the framework's, and no exception.
    fn is_common(&self) -> bool {
        self.path == COMMON
    }
}

const COMMON: &str = "framework/version";

/// Refuses combinations of versions that cannot work.
pub(crate) fn check(
    check: &mut Check<'_>,
    members: &[Member<'_>],
    placement: &BTreeMap<Component, BTreeSet<NodeName>>,
) {
    let spec = check.spec();
    let mut all: BTreeMap<Component, Vec<Placed<'_>>> = BTreeMap::new();
    for m in members.iter().filter(|m| !m.leaves()) {
        for component in Component::ALL {
            let here = component == Component::Tarsnode
                || placement
                    .get(&component)
                    .is_some_and(|p| p.contains(&m.name));
            if here {
                all.entry(component).or_default().push(Placed {
                    component,
                    version: version(spec, m, component),
                    node: &m.name,
                    path: path(spec, m, component),
                });
            }
        }
    }
    for rule in RULES {
        if let Couples::Needs { component, on } = rule.couples {
            needs(check, rule, all.get(&component), all.get(&on));
        }
    }
    for placed in all.values() {
        framework(check, placed);
        several(check, placed);
    }
}

/// Where the document says which version of `component` a node runs.
fn path(spec: &Spec, member: &Member<'_>, component: Component) -> String {
    if member.over.is_some_and(|o| o.version.is_some()) {
        format!("overrides/{}/version", member.name)
    } else if spec
        .components
        .get(&component)
        .is_some_and(|c| c.version.is_some())
    {
        format!("components/{component}/version")
    } else {
        COMMON.to_owned()
    }
}

/// Some of `all` are new enough to need what some of `on` are too old for. An exception is the
/// likelier mistake than what all others follow, and each is named where it is written.
fn needs(
    check: &mut Check<'_>,
    rule: &VersionRule,
    all: Option<&Vec<Placed<'_>>>,
    on: Option<&Vec<Placed<'_>>>,
) {
    let (Some(all), Some(on)) = (all, on) else {
        return;
    };
    let new = by_path(all.iter().filter(|p| rule.covers(p.version)));
    let old = by_path(on.iter().filter(|p| !rule.covers(p.version)));
    let (Some(some_new), Some(some_old)) = (new.first(), old.first()) else {
        return;
    };
    let since = rule.since;
    let exceptions: Vec<_> = old.iter().filter(|p| !p.is_common()).collect();
    if exceptions.is_empty() {
        // All that are too new are exceptions, or there would be no difference.
        for p in &new {
            let help = format!(
                "write a version below {since} here, or raise `framework.version` to {since} or \
                 later"
            );
            apart(check, rule, (p, some_old), p, help);
        }
    }
    for p in exceptions {
        let help = if rule.covers(check.spec().framework.version) {
            format!("write {since} or later here, or leave the exception out")
        } else {
            let other = some_new.component;
            format!("write {since} or later here, or a version below it for {other}")
        };
        apart(check, rule, (some_new, p), p, help);
    }
}

/// One for each place of the document.
fn by_path<'p, 'm: 'p>(all: impl Iterator<Item = &'p Placed<'m>>) -> Vec<&'p Placed<'m>> {
    let mut out: BTreeMap<&str, &Placed<'_>> = BTreeMap::new();
    for p in all {
        out.entry(&p.path).or_insert(p);
    }
    out.into_values().collect()
}

/// Says that `new` cannot work with `old`, and that `at`, one of them, has to change.
fn apart(
    check: &mut Check<'_>,
    rule: &VersionRule,
    (new, old): (&Placed<'_>, &Placed<'_>),
    at: &Placed<'_>,
    help: String,
) {
    let message = format!(
        "{} {} on `{}` cannot work with {} {} on `{}`: {}",
        new.component, new.version, new.node, old.component, old.version, old.node, rule.reason
    );
    let other = if at.component == new.component {
        old
    } else {
        new
    };
    let place = check.place(&at.path);
    let label = check.place(&other.path);
    let mut d = check.diagnostic(Rule::VersionsApart, &place, message, help);
    let what = format!("{} is {} by this", other.component, other.version);
    d.related.push(check.label(&label, &what));
    check.push(d);
}

/// What goes with the framework's templates and rows, on the other side of a version than they.
fn framework(check: &mut Check<'_>, placed: &[Placed<'_>]) {
    let common = check.spec().framework.version;
    let broken = |p: &Placed<'_>| apart_from_framework(p.component, p.version, common);
    let mut paths: BTreeMap<&str, Vec<&Placed<'_>>> = BTreeMap::new();
    for p in placed.iter().filter(|p| broken(p).is_some()) {
        paths.entry(&p.path).or_default().push(p);
    }
    for (path, list) in paths {
        let Some((first, rule)) = list.first().and_then(|p| Some((*p, broken(p)?))) else {
            continue;
        };
        let since = rule.since;
        let message = format!(
            "{} {} on `{}`{} cannot work in a framework of {common}: since {since}, {}",
            first.component,
            first.version,
            first.node,
            more(list.len()),
            rule.reason
        );
        let help = if rule.covers(common) {
            format!("write {since} or later here, or leave the exception out")
        } else {
            format!(
                "write a version below {since} here, or raise `framework.version` to {since} or later"
            )
        };
        let place = check.place(path);
        let label = check.place(COMMON);
        let mut d = check.diagnostic(Rule::VersionsApart, &place, message, help);
        d.related
            .push(check.label(&label, "templates and rows are of this version"));
        check.push(d);
    }
}

/// More than one of what there can only be one of at that version.
fn several(check: &mut Check<'_>, placed: &[Placed<'_>]) {
    let old = placed
        .iter()
        .find_map(|p| Some((p, only_one(p.component, p.version)?)));
    let Some((p, rule)) = old.filter(|_| placed.len() > 1) else {
        return;
    };
    let (component, since) = (p.component, rule.since);
    let place = check.place(&format!("components/{component}/nodes"));
    let label = check.place(&p.path);
    let mut d = check.diagnostic(
        Rule::SeveralTooEarly,
        &place,
        format!(
            "{component} is placed on {} nodes, but before {since} there is one: {}",
            placed.len(),
            rule.reason
        ),
        format!("keep one node here, or write {since} or later for {component}"),
    );
    let what = format!("{component} on `{}` is {}", p.node, p.version);
    d.related.push(check.label(&label, &what));
    check.push(d);
}
