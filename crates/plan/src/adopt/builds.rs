//! Which version each binary is, and what a spec says of versions.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::{Component, Role};
use tarsops_model::digest::Digest;
use tarsops_model::inventory::Inventory;
use tarsops_model::names::NodeName;
use tarsops_model::observed::Observed;
use tarsops_model::package::Catalog;
use tarsops_model::version::Version;

use super::cluster::{Cluster, rows};
use super::given::{Given, KnownBuild, UnknownBuild};

/// A version and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) version: Version,
    pub(super) source: String,
}

/// What is known of binaries.
#[derive(Debug, Clone, Default)]
pub(super) struct Builds {
    /// The framework's version; none where nobody names one.
    pub(super) framework: Option<Named>,
    /// Components with another version.
    pub(super) components: BTreeMap<Component, Named>,
    /// Nodes with another version.
    pub(super) nodes: BTreeMap<NodeName, Named>,
    pub(super) known: Vec<KnownBuild>,
    pub(super) unknown: Vec<UnknownBuild>,
}

/// The binary of a component on each node: of its process, and of its file where none runs.
type Running = BTreeMap<Component, BTreeMap<NodeName, Digest>>;

impl Builds {
    pub(super) fn read(
        given: &Given,
        inventory: &Inventory,
        catalog: &Catalog,
        cluster: &Cluster,
        notes: &mut Vec<String>,
    ) -> Self {
        let running = running(inventory, cluster);
        let mut out = Self::default();
        let reported = reported(inventory);
        if let Some(admin) = &reported {
            out.known.extend(admin_build(&running, admin.version));
        }
        out.known
            .extend(agent_builds(inventory, &running, catalog, notes));
        let version_of = |component: Component, digest: &Digest, wanted: Option<Version>| {
            let mut all: BTreeSet<Version> =
                catalog.versions_of(component, digest).into_iter().collect();
            let own = out
                .known
                .iter()
                .filter(|k| k.component == component && k.binary == *digest);
            all.extend(own.map(|k| k.version));
            let wanted = wanted.filter(|v| all.contains(v));
            wanted.or_else(|| all.last().copied())
        };
        let agents = running.get(&Component::Tarsnode);
        let of_agents = most(
            agents
                .into_iter()
                .flat_map(BTreeMap::values)
                .filter_map(|digest| version_of(Component::Tarsnode, digest, None)),
        );
        out.framework = reported
            .or_else(|| {
                Some(Named {
                    version: of_agents?,
                    source: "the tarsnode of most nodes".to_owned(),
                })
            })
            .or_else(|| {
                Some(Named {
                    version: given.version?,
                    source: "as given".to_owned(),
                })
            });
        let framework = out.framework.as_ref().map(|n| n.version);
        let mut deviating: BTreeMap<NodeName, BTreeMap<Component, Version>> = BTreeMap::new();
        let mut components = BTreeMap::new();
        for (component, on) in &running {
            let versions: BTreeMap<&NodeName, Version> = on
                .iter()
                .filter_map(|(node, digest)| {
                    Some((node, version_of(*component, digest, framework)?))
                })
                .collect();
            let Some(usual) = most(versions.values().copied()) else {
                continue;
            };
            if Some(usual) != framework {
                components.insert(
                    *component,
                    Named {
                        version: usual,
                        source: "the binaries that run".to_owned(),
                    },
                );
            }
            for (node, version) in versions.into_iter().filter(|(_, v)| *v != usual) {
                let of = deviating.entry(node.clone()).or_default();
                of.insert(*component, version);
            }
        }
        for (node, versions) in deviating {
            let all: BTreeSet<Version> = versions.values().copied().collect();
            let plain = cluster
                .nodes
                .get(&node)
                .is_some_and(|n| n.role == Role::Node);
            let alone = running
                .iter()
                .all(|(component, on)| versions.contains_key(component) || !on.contains_key(&node));
            match all.first() {
                Some(version) if all.len() == 1 && (plain || alone) => {
                    let source = match rows(inventory) {
                        Some(_) => "t_node_info.tars_version, by its binary",
                        None => "its binary",
                    };
                    out.nodes.insert(
                        node,
                        Named {
                            version: *version,
                            source: source.to_owned(),
                        },
                    );
                }
                _ => {
                    let list: Vec<String> =
                        versions.iter().map(|(c, v)| format!("{c} {v}")).collect();
                    notes.push(format!(
                        "{node} runs {}, unlike the others; a spec has one version for all components \
                         of a node, so a plan shows it",
                        list.join(", ")
                    ));
                }
            }
        }
        out.components = components;
        out.unknown = unknown(&running, |component, digest| {
            version_of(component, digest, None).is_some()
        });
        out
    }
}

/// The binary that runs, or that lies there where none runs.
fn of(binary: &Observed<FileFact>, processes: &Observed<Vec<ProcessFact>>) -> Option<Digest> {
    let running = processes.present().and_then(|all| all.first());
    running
        .and_then(|p| p.exe.present().copied())
        .or_else(|| binary.present().map(|b| b.digest))
}

fn running(inventory: &Inventory, cluster: &Cluster) -> Running {
    let mut out = Running::new();
    for node in cluster.nodes.keys() {
        for component in Component::ALL {
            let digest = if component == Component::Tarsnode {
                match inventory.agent(node) {
                    Observed::Present(facts) => of(&facts.binary, &facts.processes),
                    _ => None,
                }
            } else {
                match inventory.server(component, node) {
                    Observed::Present(facts) => of(&facts.binary, &facts.processes),
                    _ => None,
                }
            };
            if let Some(digest) = digest {
                out.entry(component)
                    .or_default()
                    .insert(node.clone(), digest);
            }
        }
    }
    out
}

/// The version that AdminRegistry reports of itself.
fn reported(inventory: &Inventory) -> Option<Named> {
    let framework = inventory.framework.as_deref()?;
    let version = framework.admin.present()?.version.present()?;
    Some(Named {
        version: version.parse().ok()?,
        source: "AdminRegistry".to_owned(),
    })
}

/// AdminRegistry reports its own version: that of its binary, where there is one of it.
fn admin_build(running: &Running, version: Version) -> Option<KnownBuild> {
    let on = running.get(&Component::TarsAdminRegistry)?;
    let digests: BTreeSet<&Digest> = on.values().collect();
    let mut digests = digests.into_iter();
    match (digests.next(), digests.next()) {
        (Some(digest), None) => Some(KnownBuild {
            component: Component::TarsAdminRegistry,
            version,
            binary: *digest,
            source: "adopted: AdminRegistry reports this version".to_owned(),
        }),
        _ => None,
    }
}

/// What tarsnodes reported when they registered (`t_node_info.tars_version`), by the binary that runs.
fn agent_builds(
    inventory: &Inventory,
    running: &Running,
    catalog: &Catalog,
    notes: &mut Vec<String>,
) -> Vec<KnownBuild> {
    let rows = rows(inventory).and_then(|rows| rows.nodes.present());
    let (Some(rows), Some(on)) = (rows, running.get(&Component::Tarsnode)) else {
        return vec![];
    };
    let mut votes: BTreeMap<Digest, BTreeMap<Version, Vec<&NodeName>>> = BTreeMap::new();
    for (node, digest) in on {
        let version = rows
            .get(node.as_str())
            .and_then(|row| row.version.as_deref());
        if let Some(version) = version.and_then(|v| v.parse().ok()) {
            let nodes = votes
                .entry(*digest)
                .or_default()
                .entry(version)
                .or_default();
            nodes.push(node);
        }
    }
    let mut out = Vec::new();
    for (binary, by_version) in votes {
        // What a package says of a binary is proven, and a row may be old.
        if !catalog.versions_of(Component::Tarsnode, &binary).is_empty() {
            continue;
        }
        let most = by_version.iter().max_by_key(|(_, nodes)| nodes.len());
        let Some((version, nodes)) = most else {
            continue;
        };
        let ties = by_version
            .values()
            .filter(|n| n.len() == nodes.len())
            .count();
        if by_version.len() > 1 {
            let list: Vec<String> = by_version
                .iter()
                .map(|(v, n)| format!("{v} ({} of its nodes)", n.len()))
                .collect();
            notes.push(format!(
                "t_node_info.tars_version names the tarsnode {} differently: {}",
                binary.short(),
                list.join(", ")
            ));
        }
        // Two versions with as many nodes each are none.
        if ties > 1 {
            continue;
        }
        out.push(KnownBuild {
            component: Component::Tarsnode,
            version: *version,
            binary,
            source: format!("adopted: t_node_info.tars_version, nodes: {}", nodes.len()),
        });
    }
    out
}

/// The binaries that no source names, with their nodes.
fn unknown(running: &Running, is_known: impl Fn(Component, &Digest) -> bool) -> Vec<UnknownBuild> {
    let mut out = Vec::new();
    for (component, on) in running {
        let mut by_digest: BTreeMap<Digest, Vec<NodeName>> = BTreeMap::new();
        for (node, digest) in on.iter().filter(|(_, d)| !is_known(*component, d)) {
            by_digest.entry(*digest).or_default().push(node.clone());
        }
        out.extend(by_digest.into_iter().map(|(binary, nodes)| UnknownBuild {
            component: *component,
            binary,
            nodes,
        }));
    }
    out
}

/// The one that is there most often, the higher one of two.
fn most(all: impl Iterator<Item = Version>) -> Option<Version> {
    let mut counts: BTreeMap<Version, usize> = BTreeMap::new();
    for version in all {
        *counts.entry(version).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(version, _)| version)
}
