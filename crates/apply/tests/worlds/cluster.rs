//! The cluster of the worlds: three framework hosts and twenty nodes, on the way to the next release.

use tarsops_apply::sim::World;
use tarsops_model::desired::{Count, Desired, OnFailure, Policy};
use tarsops_model::package::Catalog;
use tarsops_plan::components::{BASIC, CORE};

use crate::support::{core_package, package, version};

const SPEC: &str = "\
schema: tarsops/v1
cluster: prod
rebuild: never
framework: {version: 3.0.18, packages: './packages/{version}'}
registry: {endpoints: ['10.0.0.1:17890', '10.0.0.2:17890', '10.0.0.3:17890']}
database: {address: '10.0.0.9:3306', user: tarsAdmin, password: {env: DB_PASSWORD}}
nodes:
  - {name: 10.0.0.1, roles: [master]}
  - {name: 10.0.0.2, roles: [slave]}
  - {name: 10.0.0.3, roles: [slave]}
";

fn desired(nodes: &str) -> Desired {
    let base = tarsops_spec::Base {
        dir: "/spec".into(),
        home: None,
        processors: 2,
    };
    let text = format!("{SPEC}{nodes}");
    let parsed = tarsops_spec::parse(&text, "cluster.yaml").unwrap();
    parsed.lower(&base).unwrap().0
}

const ALL: &str = "  - {name: '10.0.1.[1-20]'}\n";

/// What becomes of the nodes beside the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nodes {
    /// They stay.
    Stay,
    /// Two are added.
    Added,
    /// Two leave.
    Leave,
}

impl Nodes {
    /// Those that are there, and those of the spec.
    fn specs(self) -> (Desired, Desired) {
        match self {
            Self::Stay => (desired(ALL), desired(ALL)),
            Self::Added => (desired("  - {name: '10.0.1.[1-18]'}\n"), desired(ALL)),
            Self::Leave => {
                let gone = "{state: absent}";
                let gone = format!("{ALL}overrides: {{10.0.1.19: {gone}, 10.0.1.20: {gone}}}\n");
                (desired(ALL), desired(&gone))
            }
        }
    }
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for of in ["3.0.17", "3.0.18"] {
        catalog.insert(package(of));
        for component in CORE.into_iter().chain(BASIC) {
            catalog.insert(core_package(component, of));
        }
    }
    catalog
}

/// A cluster at 3.0.17 whose spec asks for 3.0.18, with a policy drawn from the seed.
pub(crate) fn world(seed: u64) -> World {
    world_that(seed, Nodes::Stay, |_| {})
}

/// As [`world`], with what becomes of its nodes, and something of its policy set.
pub(crate) fn world_that(seed: u64, nodes: Nodes, set: impl FnOnce(&mut Policy)) -> World {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x9011);
    let (present, mut desired) = nodes.specs();
    let policy = &mut desired.policy;
    policy.settle = [0, 3, 8][rng.usize(0..3)];
    policy.registry_settle = [4, 13][rng.usize(0..2)];
    policy.deadline = [40, 120][rng.usize(0..2)];
    policy.max_parallel = Count::Number([1, 4, 10][rng.usize(0..3)]);
    policy.max_unreachable = Count::Number([0, 2][rng.usize(0..2)]);
    policy.canary = rng.u32(0..3);
    policy.on_failure =
        [OnFailure::Rollback, OnFailure::RollbackAll, OnFailure::Stop][rng.usize(0..3)];
    set(policy);
    World::new(
        &present,
        desired,
        catalog(),
        version("3.0.17"),
        &["Cart", "Pay", "User"],
        seed,
    )
}
