//! What is asked of every step on a table or a template.

use tarsops_model::digest::Digest;

use super::kind::StepView;
use crate::condition::Condition;

/// Says where a step on tables or templates is in a plan for a part of the cluster, or of a cluster
/// without a database.
pub(super) fn check_whole(step: &StepView<'_>, say: &mut dyn FnMut(&str)) {
    if step.desired.database().is_none() {
        say("the spec names no database");
    }
    if !step.scope.nodes.is_empty() || !step.scope.components.is_empty() {
        say("it is not among those that were asked for");
    }
}

/// Whether a step makes sure of the template's text before and afterwards.
pub(super) fn expects(
    step: &StepView<'_>,
    name: &str,
    before: Option<Digest>,
    after: Option<Digest>,
) -> bool {
    let is = |digest| Condition::Template {
        name: name.to_owned(),
        digest,
    };
    step.pre.contains(&is(before)) && step.post.contains(&is(after))
}
