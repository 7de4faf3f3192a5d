//! Version gates in the live cluster: no step makes two components stand side by side that cannot
//! work together ([`tarsops_model::coupling`]).
//!
//! A valid spec ends in versions that fit. On the way there, one component may be held back: in
//! maintenance, of a binary that nobody knows, left out by `--on`, or not managed at all. So the
//! steps are walked in the order of their stages over what runs now, and what would break a rule at
//! its moment is taken out with the reason. What must stay true: a version that is not known never
//! counts as one that fits where a step crosses the rule, and never holds anything else back.
//! Components in containers are known by the images of lock files, and change together on their host.

mod containers;
mod live;

use crate::input::PlanInput;
use crate::plan::{Stage, Step};
use crate::report::Line;
use live::Live;

/// Takes out of `steps`, which stand in the order in which they are done, what would break a rule at
/// its moment, and says so.
pub fn postpone(input: &PlanInput<'_>, steps: &mut Vec<Step>) -> Vec<Line> {
    let mut live = Live::of(input);
    let mut out = Vec::new();
    let of_containers = steps.extract_if(.., |step| step.stage == Stage::Containers);
    let of_containers: Vec<Step> = of_containers.collect();
    let admitted = containers::admitted(&mut live, of_containers, &mut out);
    let is_gated = |stage| {
        matches!(
            stage,
            Stage::Registries | Stage::AdminRegistry | Stage::CoreServices | Stage::Agents
        )
    };
    steps.retain(|step| !is_gated(step.stage) || live.admit(step, &mut out));
    let at = steps.partition_point(|step| step.stage < Stage::Containers);
    steps.splice(at..at, admitted);
    out
}
