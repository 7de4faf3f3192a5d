//! Which framework versions of which components work together, as data with the reason.
//!
//! Every row was read from the framework's own history; it says what breaks, not what its makers
//! recommend. What must stay true: the table is short and certain. A combination that merely was
//! never tried is no row here.

use std::fmt;

use crate::component::Component;
use crate::version::Version;

/// What a version changed between components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Couples {
    /// From then on `component` needs `on` to be of that version or later, too.
    Needs {
        /// Which component needs something.
        component: Component,
        /// Which one it needs.
        on: Component,
    },
    /// These are on the same side of that version as the templates and rows of the framework.
    Framework {
        /// Which components.
        components: &'static [Component],
    },
    /// From then on there may be more than one of it.
    Several {
        /// Which component.
        component: Component,
    },
    /// From then on these need something in the database. No other component has to move with
    /// them, so that no combination of versions is refused for it.
    Database {
        /// Which components.
        components: &'static [Component],
        /// What.
        what: &'static str,
    },
    /// It behaves in another way, and asks nothing of any other.
    Alone {
        /// Which component.
        component: Component,
    },
}

/// A framework version that changed how components work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRule {
    /// Its stable name.
    pub id: &'static str,
    /// The first version of the new behaviour.
    pub since: Version,
    /// What it couples.
    pub couples: Couples,
    /// Why, as one lowercase clause.
    pub reason: &'static str,
    /// Where in the framework's source that can be read.
    pub source: &'static str,
}

const fn v(major: u16, minor: u16, patch: u16) -> Version {
    Version {
        major,
        minor,
        patch,
    }
}

/// All rules, oldest first.
pub const RULES: &[VersionRule] = &[
    VersionRule {
        id: "query-servants",
        since: v(2, 1, 0),
        couples: Couples::Framework {
            components: &[
                Component::Tarsstat,
                Component::Tarsproperty,
                Component::Tarsquerystat,
                Component::Tarsqueryproperty,
            ],
        },
        reason: "the templates name the databases `statdb` and `propertydb` (before: `multidb` and \
                 `countdb`), and queries are Tars calls to QueryObj (before: another protocol at \
                 NoTarsObj)",
        source: "StatServer/StatDbManager.cpp, QueryStatServer/QueryServer.cpp, \
                 deploy/framework/sql/tars_servers.sql",
    },
    VersionRule {
        id: "framework-db-template",
        since: v(2, 1, 0),
        couples: Couples::Database {
            components: &[
                Component::Tarsregistry,
                Component::TarsAdminRegistry,
                Component::Tarsconfig,
                Component::Tarsstat,
                Component::Tarsproperty,
                Component::Tarsnotify,
                Component::Tarsquerystat,
                Component::Tarsqueryproperty,
            ],
            what: "the template tars.framework-db, as the parent of theirs",
        },
        reason: "the access to the database moved there out of each component's own template",
        source: "deploy/framework/sql/template/tars.framework-db",
    },
    VersionRule {
        id: "flow-state",
        since: v(2, 4, 15),
        couples: Couples::Needs {
            component: Component::TarsAdminRegistry,
            on: Component::Tarsregistry,
        },
        reason: "graceful publishing writes t_server_conf.flow_state, which only such a tarsregistry \
                 adds to the table and heeds: with an older one, traffic is not taken away",
        source: "AdminRegistryServer/DbProxy.cpp (updateServerFlowState), \
                 RegistryServer/DbHandle.cpp",
    },
    VersionRule {
        id: "topology-servant",
        since: v(3, 0, 1),
        couples: Couples::Database {
            components: &[Component::Tarslog],
            what: "the adapter row of tars.tarslog.TopologyObj",
        },
        reason: "without it tarslog starts all the same, and traces no calls",
        source: "LogServer/LogServer.cpp",
    },
    VersionRule {
        id: "container-columns",
        since: v(3, 0, 4),
        couples: Couples::Database {
            components: &[Component::Tarsregistry, Component::TarsAdminRegistry],
            what: "the columns run_type and base_image_id of t_server_conf, and the tables \
                   t_base_image and t_docker_registry",
        },
        reason: "they are part of the query for the servers of a node: without them none is loaded",
        source: "RegistryServer/DbHandle.cpp, AdminRegistryServer/DbProxy.cpp",
    },
    VersionRule {
        id: "node-connection",
        since: v(3, 0, 7),
        couples: Couples::Needs {
            component: Component::Tarsnode,
            on: Component::TarsAdminRegistry,
        },
        reason: "tarsnode takes commands only over a connection that it keeps to AdminRegistry; an \
                 older AdminRegistry calls its NodeObj, which is gone",
        source: "NodeServer/NodeServer.cpp, NodeServer/ServerManager.cpp, \
                 AdminRegistryServer/NodeManager.cpp",
    },
    VersionRule {
        id: "node-registration",
        since: v(3, 0, 7),
        couples: Couples::Needs {
            component: Component::Tarsnode,
            on: Component::Tarsregistry,
        },
        reason: "tarsnode registers without a NodeObj; an older tarsregistry takes that for another \
                 node of the same name and refuses it while the row is active",
        source: "NodeServer/PlatformInfo.cpp, RegistryServer/DbHandle.cpp (registerNode)",
    },
    VersionRule {
        id: "several-admin-registries",
        since: v(3, 0, 13),
        couples: Couples::Several {
            component: Component::TarsAdminRegistry,
        },
        reason: "a node is connected to one of them, and an older one runs a task itself, even \
                 where another one has the connection",
        source: "AdminRegistryServer/ExecuteTask.cpp",
    },
    VersionRule {
        id: "live-locator",
        since: v(3, 0, 16),
        couples: Couples::Alone {
            component: Component::Tarsnode,
        },
        reason: "a running tarsnode takes a changed list of registries into use; an older one only \
                 writes it into its configuration, and uses it from its next start on",
        source: "NodeServer/NodeServer.cpp (onUpdateConfig)",
    },
    VersionRule {
        id: "lost-database",
        since: v(3, 0, 16),
        couples: Couples::Alone {
            component: Component::Tarsregistry,
        },
        reason: "tarsregistry waits for a database that fails; an older one may end on it",
        source: "RegistryServer/DbHandle.cpp",
    },
];

/// The change of one component from a version to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// Which component.
    pub component: Component,
    /// What it is now; none where it is not there yet.
    pub from: Option<Version>,
    /// What it will be.
    pub to: Version,
}

impl VersionRule {
    /// Whether `version` has the new behaviour.
    #[must_use]
    pub fn covers(&self, version: Version) -> bool {
        version >= self.since
    }

    /// The component whose version decides whether `component` may have another one.
    #[must_use]
    pub fn partner(&self, component: Component) -> Option<Component> {
        match self.couples {
            Couples::Needs { component: c, on } if c == component => Some(on),
            Couples::Needs { component: c, on } if on == component => Some(c),
            _ => None,
        }
    }

    /// Whether by `change` a component begins to need something, or ceases to be what another one
    /// may need.
    #[must_use]
    pub fn is_crossed_by(&self, change: &Move) -> bool {
        let had = change.from.is_some_and(|v| self.covers(v));
        match self.couples {
            Couples::Needs { component, .. } if component == change.component => {
                !had && self.covers(change.to)
            }
            Couples::Needs { on, .. } if on == change.component => had && !self.covers(change.to),
            _ => false,
        }
    }

    /// Whether two components of these versions cannot work together by this rule.
    #[must_use]
    pub fn forbids(
        &self,
        (component, version): (Component, Version),
        (other, its): (Component, Version),
    ) -> bool {
        let Couples::Needs { component: c, on } = self.couples else {
            return false;
        };
        let lacks = |needs: Version, has: Version| self.covers(needs) && !self.covers(has);
        (component == c && other == on && lacks(version, its))
            || (other == c && component == on && lacks(its, version))
    }
}

/// The rule by which two components of these versions cannot work together.
#[must_use]
pub fn forbids(
    one: (Component, Version),
    other: (Component, Version),
) -> Option<&'static VersionRule> {
    RULES.iter().find(|r| r.forbids(one, other))
}

/// The rule by which a component of this version does not fit a framework of that version: its
/// templates, its rows, and what asks for them.
#[must_use]
pub fn apart_from_framework(
    component: Component,
    version: Version,
    framework: Version,
) -> Option<&'static VersionRule> {
    RULES.iter().find(|r| match r.couples {
        Couples::Framework { components } => {
            components.contains(&component) && r.covers(version) != r.covers(framework)
        }
        _ => false,
    })
}

/// The rule by which there cannot be several of a component of this version.
#[must_use]
pub fn only_one(component: Component, version: Version) -> Option<&'static VersionRule> {
    RULES.iter().find(|r| match r.couples {
        Couples::Several { component: c } => c == component && !r.covers(version),
        _ => false,
    })
}

impl fmt::Display for Couples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |all: &[Component]| {
            let names: Vec<&str> = all.iter().map(|c| c.name()).collect();
            names.join(", ")
        };
        match self {
            Self::Needs { component, on } => {
                write!(f, "{component} needs {on} of that version or later")
            }
            Self::Framework { components } => write!(
                f,
                "{} are on the same side as the framework's version",
                names(components)
            ),
            Self::Several { component } => write!(f, "there may be several {component}"),
            Self::Database { components, what } => {
                let need = if components.len() == 1 {
                    "needs"
                } else {
                    "need"
                };
                write!(f, "{} {need} {what} in the database", names(components))
            }
            Self::Alone { component } => write!(f, "{component} alone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use Component::{TarsAdminRegistry, Tarsnode, Tarsquerystat, Tarsregistry};

    fn at(text: &str) -> Version {
        text.parse().unwrap()
    }

    fn step(component: Component, from: &str, to: &str) -> Move {
        let from = (!from.is_empty()).then(|| at(from));
        let to = at(to);
        Move {
            component,
            from,
            to,
        }
    }

    fn id(rule: Option<&'static VersionRule>) -> &'static str {
        rule.map_or("", |r| r.id)
    }

    #[test]
    fn rules_are_named_once_ordered_and_say_why() {
        let names: BTreeSet<&str> = RULES.iter().map(|r| r.id).collect();
        assert_eq!(names.len(), RULES.len());
        assert!(RULES.windows(2).all(|w| w[0].since <= w[1].since));
        for rule in RULES {
            assert!(rule.reason.starts_with(char::is_lowercase), "{}", rule.id);
            assert!(!rule.reason.ends_with('.'), "{}", rule.id);
            assert!(rule.source.contains('/'), "{}", rule.id);
            assert!(!rule.reason.contains("  ") && !rule.source.contains("  "));
        }
    }

    #[test]
    fn what_cannot_work_together_is_known_both_ways() {
        let node = (Tarsnode, at("3.0.7"));
        let admin = |v| (TarsAdminRegistry, at(v));
        assert_eq!(id(forbids(node, admin("3.0.6"))), "node-connection");
        assert_eq!(id(forbids(admin("3.0.6"), node)), "node-connection");
        assert_eq!(id(forbids(node, admin("3.0.7"))), "");
        // A newer AdminRegistry still calls the NodeObj of an older node.
        assert_eq!(id(forbids((Tarsnode, at("3.0.6")), admin("3.0.17"))), "");
        let registry = |v| (Tarsregistry, at(v));
        assert_eq!(id(forbids(node, registry("3.0.6"))), "node-registration");
        assert_eq!(
            id(forbids(admin("2.4.15"), registry("2.4.14"))),
            "flow-state"
        );
        assert_eq!(id(forbids(admin("2.4.14"), registry("2.4.15"))), "");
        assert_eq!(id(forbids(node, node)), "");
    }

    #[test]
    fn a_rule_knows_whom_it_asks_and_when() {
        let rule = RULES.iter().find(|r| r.id == "node-connection").unwrap();
        assert_eq!(rule.partner(Tarsnode), Some(TarsAdminRegistry));
        assert_eq!(rule.partner(TarsAdminRegistry), Some(Tarsnode));
        assert_eq!(rule.partner(Tarsregistry), None);
        let crossed = |c, from, to| rule.is_crossed_by(&step(c, from, to));
        assert!(crossed(Tarsnode, "3.0.6", "3.0.7") && crossed(Tarsnode, "", "3.0.7"));
        assert!(!crossed(Tarsnode, "3.0.7", "3.0.17") && !crossed(Tarsnode, "3.0.7", "3.0.6"));
        assert!(crossed(TarsAdminRegistry, "3.0.7", "3.0.6"));
        assert!(!crossed(TarsAdminRegistry, "3.0.6", "3.0.7"));
        assert!(!crossed(TarsAdminRegistry, "", "3.0.6"));
        assert!(!crossed(Tarsregistry, "3.0.7", "3.0.6"));
    }

    #[test]
    fn some_go_with_the_framework_and_some_are_alone() {
        let apart = |v, f| id(apart_from_framework(Tarsquerystat, at(v), at(f)));
        assert_eq!(apart("2.0.1", "2.1.0"), "query-servants");
        assert_eq!(apart("2.1.0", "2.0.1"), "query-servants");
        assert_eq!(apart("2.1.0", "3.0.17"), "");
        assert_eq!(
            id(apart_from_framework(Tarsnode, at("2.0.1"), at("2.1.0"))),
            ""
        );
        assert_eq!(
            id(only_one(TarsAdminRegistry, at("3.0.12"))),
            "several-admin-registries"
        );
        assert_eq!(id(only_one(TarsAdminRegistry, at("3.0.13"))), "");
        assert_eq!(id(only_one(Tarsregistry, at("2.0.1"))), "");
    }

    /// The versions around each rule.
    fn around() -> BTreeSet<Version> {
        let mut out = BTreeSet::from([at("1.0.0"), at("9.0.0")]);
        for rule in RULES {
            out.insert(rule.since);
            let patch = rule.since.patch.checked_sub(1);
            out.extend(patch.map(|patch| Version {
                patch,
                ..rule.since
            }));
        }
        out
    }

    #[test]
    fn two_changes_whose_ends_work_work_in_one_of_the_two_orders() {
        let all = around();
        let pairs: Vec<(Version, Version)> = all
            .iter()
            .flat_map(|from| all.iter().map(move |to| (*from, *to)))
            .collect();
        for a in Component::ALL {
            for b in Component::ALL.into_iter().filter(|b| *b != a) {
                for (a_old, a_new) in &pairs {
                    for (b_old, b_new) in &pairs {
                        let works =
                            |av: &Version, bv: &Version| forbids((a, *av), (b, *bv)).is_none();
                        if works(a_old, b_old) && works(a_new, b_new) {
                            assert!(works(a_new, b_old) || works(a_old, b_new));
                        }
                    }
                }
            }
        }
    }
}
