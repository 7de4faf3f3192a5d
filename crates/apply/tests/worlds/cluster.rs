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
  - {name: '10.0.1.[1-20]'}
";

fn desired() -> Desired {
    let base = tarsops_spec::Base {
        dir: "/spec".into(),
        home: None,
    };
    let parsed = tarsops_spec::parse(SPEC, "cluster.yaml").unwrap();
    parsed.lower(&base).unwrap().0
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
    world_that(seed, |_| {})
}

/// As [`world`], with something of its policy said.
pub(crate) fn world_that(seed: u64, say: impl FnOnce(&mut Policy)) -> World {
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x9011);
    let mut desired = desired();
    let policy = &mut desired.policy;
    policy.settle = [0, 5, 30][rng.usize(0..3)];
    policy.deadline = [60, 300][rng.usize(0..2)];
    policy.max_parallel = Count::Number([1, 4, 10][rng.usize(0..3)]);
    policy.max_unreachable = Count::Number([0, 2][rng.usize(0..2)]);
    policy.canary = rng.u32(0..3);
    policy.on_failure = [OnFailure::Rollback, OnFailure::RollbackAll][rng.usize(0..2)];
    say(policy);
    World::new(
        desired,
        catalog(),
        version("3.0.17"),
        &["Cart", "Pay", "User"],
        seed,
    )
}
