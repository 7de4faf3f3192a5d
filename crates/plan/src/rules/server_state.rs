//! What the registry says of servers against the processes of their host.

use tarsops_model::component::Component;
use tarsops_model::framework::ServerRow;
use tarsops_model::resource::ResourceId;

use super::facts::{Facts, NODE_BEATS, NODE_REPORTS, Node};
use super::rule::{ExplainedBy, HostParts, Rule, Source};
use crate::finding::{Finding, RuleName};

/// The application of the framework's own servers.
const APPLICATION: &str = "tars";

/// A server's process runs, and the registry calls it inactive.
pub(super) static RUNS_INACTIVE: Rule = Rule {
    name: RuleName::new("runs-inactive"),
    meaning: "a server runs and the registry calls it inactive, so nobody is sent to it; while its tarsnode runs, a server that nobody has stopped heals within a minute",
    healthy: "no server runs that is called inactive",
    sources: &[
        Source::Tables(|rows| rows.servers.unknown()),
        Source::Hosts(unread),
    ],
    find: |facts, found| each(facts, found, runs_inactive),
    ..Rule::DEFAULT
};

/// The registry calls a server active, and no process of it runs.
pub(super) static ACTIVE_NOT_RUNNING: Rule = Rule {
    name: RuleName::new("active-not-running"),
    meaning: "the registry calls a server active and no process of it runs; while its tarsnode runs, a server that nobody has stopped heals within a minute",
    healthy: "every active server runs",
    sources: &[
        Source::Tables(|rows| rows.servers.unknown()),
        Source::Hosts(unread),
    ],
    find: |facts, found| each(facts, found, active_not_running),
    explained_by: ExplainedBy::Installation,
    ..Rule::DEFAULT
};

fn unread(host: &HostParts<'_>) -> Option<String> {
    host.agent().or_else(|| host.components())
}

/// A server by its row, and whether it runs.
struct Server<'a> {
    node: &'a Node<'a>,
    row: &'a ServerRow,
    component: Option<Component>,
    runs: bool,
}

fn each(facts: &Facts<'_>, found: &mut Vec<Finding>, find: fn(&Server<'_>) -> Option<Finding>) {
    for node in &facts.nodes {
        let components = node.host.and_then(|host| host.components.present());
        let (Some(components), Some(agent)) = (components, node.agent) else {
            continue;
        };
        for row in &node.servers {
            let own = row.application == APPLICATION;
            found.extend(find(&Server {
                node,
                row,
                component: row.server.parse().ok().filter(|_| own),
                runs: if own {
                    components.contains(&row.server)
                } else {
                    agent.servers.contains(&row.full_name())
                },
            }));
        }
    }
}

fn runs_inactive(it: &Server<'_>) -> Option<Finding> {
    if !it.runs || it.state() != "inactive" {
        return None;
    }
    let text = format!(
        "{} runs, and the registry calls it inactive: no client is sent to it",
        it.name()
    );
    let heals = it
        .node
        .heals_within(NODE_REPORTS)
        .filter(|_| it.is_set_active());
    let fix = if heals.is_some() {
        "its tarsnode reports it to the registry within a minute; if it stays so, start it through the platform, which adds it to name resolution again"
    } else {
        "start it through the platform, which takes it into name resolution again"
    };
    let finding = RUNS_INACTIVE.finding(it.resource(), text, fix);
    Some(finding.sources(it.sources()).healing_within(heals))
}

fn active_not_running(it: &Server<'_>) -> Option<Finding> {
    let native = it.row.kind.as_deref() == Some("tars_cpp");
    if it.runs || !native || it.state() != "active" {
        return None;
    }
    let text = format!(
        "the registry calls {} active, and no process of it runs: clients are sent to nothing",
        it.name()
    );
    let fix = "check that tarsnode runs there, which restarts it within seconds; otherwise start it through the platform";
    let heals = it
        .node
        .heals_within(NODE_BEATS)
        .filter(|_| it.is_set_active());
    let finding = ACTIVE_NOT_RUNNING.finding(it.resource(), text, fix);
    Some(finding.sources(it.sources()).healing_within(heals))
}

impl Server<'_> {
    fn resource(&self) -> ResourceId {
        match self.component {
            Some(component) => ResourceId::Server(component, self.node.name.clone()),
            None => self.node.resource(),
        }
    }

    /// The name, where the resource does not already say it: equal lines are printed as one.
    fn name(&self) -> String {
        match self.component {
            Some(_) => "it".to_owned(),
            None => self.row.full_name(),
        }
    }

    fn state(&self) -> &str {
        self.row.present.as_deref().unwrap_or_default()
    }

    fn is_set_active(&self) -> bool {
        self.row.setting.as_deref() == Some("active")
    }

    fn sources(&self) -> [(String, String); 2] {
        let process = if self.runs { "it runs" } else { "no process" };
        let setting = self.row.setting.as_deref().unwrap_or("(nothing)");
        [
            ("host".to_owned(), process.to_owned()),
            (
                "database".to_owned(),
                format!("{}, set {setting}", self.state()),
            ),
        ]
    }
}
