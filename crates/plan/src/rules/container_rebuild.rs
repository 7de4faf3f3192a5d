//! Something on a host makes a start of the framework's container drop the framework's databases.

use tarsops_model::container::REBUILD;
use tarsops_model::resource::ResourceId;

use super::containers::SEEN;
use super::facts::Facts;
use super::rule::{About, Rule, Source};
use crate::finding::{Finding, RuleName};

/// The rule.
pub(super) static RULE: Rule = Rule {
    name: RuleName::new("container-rebuilds"),
    meaning: "the next start of a framework container drops the framework's databases: its environment, its image, a file of compose or a unit of systemd sets `REBUILD`; nothing is planned that stops or starts it",
    healthy: "no start of a container drops databases",
    about: About::Containers,
    sources: &[Source::Other(SEEN)],
    find,
    ..Rule::DEFAULT
};

fn find(facts: &Facts<'_>, found: &mut Vec<Finding>) {
    for node in &facts.nodes {
        let Some(docker) = node.host.and_then(|host| host.docker.as_deref()) else {
            continue;
        };
        let wanted = docker.wanted.as_ref().map_or("", |name| name.as_str());
        let places = docker.rebuilds(wanted);
        if places.is_empty() {
            continue;
        }
        let resource = ResourceId::Container(node.name.clone());
        let text = format!(
            "the next start of the framework's container drops six databases: {REBUILD} is set in {} of {}",
            if places.len() == 1 {
                "one place"
            } else {
                "several places"
            },
            node.name
        );
        let fix = format!(
            "do not stop or restart the container, nor its engine, nor the host; take {REBUILD} out of the files that are named, and replace the container by one without it"
        );
        found.push(RULE.finding(resource, text, fix).sources(places));
    }
}
