//! Specs that are good.

use std::net::IpAddr;
use std::path::Path;

use tarsops_model::component::{Component, Role};
use tarsops_model::desired::{Count, Desired, PackageSource, Resource, SecretRef};
use tarsops_model::host::{Become, Jump, KeyExchange, NodeState};
use tarsops_model::names::NodeName;
use tarsops_model::resource::ResourceId;

use super::support::{base, specs};
use super::{Base, parse, starter};

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn full() -> Desired {
    let specs = specs("fixtures/specs/valid");
    let (_, text) = specs.iter().find(|(n, _)| n == "full").unwrap();
    parse(text, "full.yaml").unwrap().lower(&base()).unwrap().0
}

#[test]
fn every_spec_of_the_corpus_is_valid() {
    for (name, text) in specs("fixtures/specs/valid") {
        let parsed = parse(&text, &name).unwrap_or_else(|e| panic!("{e}"));
        let (desired, warnings) = parsed.lower(&base()).unwrap_or_else(|e| panic!("{e}"));
        let (again, _) = parse(&text, &name).unwrap().lower(&base()).unwrap();
        assert_eq!(desired, again);
        let codes: Vec<&str> = warnings.iter().map(|w| w.code.code()).collect();
        if name == "loopback" {
            assert_eq!(codes, ["loopback-node"]);
        } else {
            assert!(codes.is_empty(), "{name}: {warnings}");
        }
    }
}

#[test]
fn the_starter_is_valid_for_every_name() {
    for name in [
        "prod", "123", "1.5", "null", "True", "a.b-c_d", "_x", "0x1f",
    ] {
        let text = starter(name);
        let parsed = parse(&text, "cluster.yaml").unwrap_or_else(|e| panic!("{e}"));
        let (desired, warnings) = parsed.lower(&base()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(desired.cluster.as_str(), name);
        assert!(warnings.is_empty(), "{warnings}");
    }
}

#[test]
fn what_the_starter_comments_out_is_valid_too() {
    let text: String = starter("prod")
        .lines()
        .map(|l| {
            let body = l.trim_start();
            let indent = &l[..l.len() - body.len()];
            match body.strip_prefix("# ") {
                // Prose starts with a capital, or continues in the middle of a sentence.
                Some(b)
                    if b.contains(": ")
                        && !b.starts_with(char::is_uppercase)
                        && b.is_ascii()
                        && !b.contains('`')
                        && !b.starts_with("yaml-") =>
                {
                    format!("{indent}{b}\n")
                }
                Some(b) if ["database:", "web:", "overrides:", "components:"].contains(&b) => {
                    format!("{b}\n")
                }
                _ => format!("{l}\n"),
            }
        })
        .collect();
    let parsed = parse(&text, "cluster.yaml").unwrap_or_else(|e| panic!("{e}\n{text}"));
    let spec = parsed.spec();
    assert!(spec.database.is_some() && spec.web.is_some());
    assert_eq!(spec.overrides.len(), 2);
    assert_eq!(spec.components.len(), 2);
    assert!(spec.framework.create_run_user && spec.ssh.jump.is_some());
    parsed.lower(&base()).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn ranges_become_nodes_with_what_stands_beside_them() {
    let desired = full();
    assert_eq!(desired.hosts().count(), 46);
    let db3 = desired.host(&node("db-03")).unwrap();
    assert_eq!(db3.ip, "10.0.3.7".parse::<IpAddr>().unwrap());
    assert_eq!(
        desired.access[&node("db-03")].address.as_str(),
        "db3.example"
    );
    assert_eq!(
        desired.access[&node("10.0.1.7")].address.as_str(),
        "10.0.1.7"
    );
    assert_eq!(
        desired.host(&node("10.0.1.7")).unwrap().labels["rack"],
        "r1"
    );
    assert_eq!(
        desired.host(&node("10.0.1.15")).unwrap().labels["rack"],
        "r2"
    );
    assert_eq!(
        desired.host(&node("10.0.1.15")).unwrap().labels["idc"],
        "sz"
    );
}

#[test]
fn overrides_reach_access_state_and_agent() {
    let desired = full();
    let nine = &desired.access[&node("10.0.1.9")];
    assert_eq!(nine.address.as_str(), "db9.internal");
    assert_eq!(nine.port, Some(2222));
    assert_eq!(nine.user.as_ref().unwrap().as_str(), "root");
    assert_eq!(nine.identity.as_deref(), Some(Path::new("/keys/nine")));
    assert_eq!(nine.jump, Jump::None);
    assert_eq!(nine.r#become, Become::None);
    let usual = &desired.access[&node("10.0.1.8")];
    assert_eq!(
        usual.identity.as_deref(),
        Some(Path::new("/home/me/.ssh/id_ed25519"))
    );
    assert_eq!(
        usual.known_hosts.as_deref(),
        Some(Path::new("/spec/known_hosts"))
    );
    let bastion = "ops@bastion.example:2222".parse().unwrap();
    assert_eq!(usual.jump, Jump::Through(bastion));
    assert_eq!(usual.connect_timeout, 15);
    assert_eq!(usual.key_exchange, KeyExchange::Curve25519);
    let state = |n: &str| desired.host(&node(n)).unwrap().state.clone();
    assert!(matches!(
        state("10.0.1.12"),
        NodeState::Maintenance {
            reason: Some(_),
            until: Some(_)
        }
    ));
    assert_eq!(state("10.0.1.13"), NodeState::Absent { stop_servers: true });
    assert_eq!(state("10.0.1.14"), NodeState::Gone);
    let agent = desired.agent(&node("10.0.1.15")).unwrap();
    assert_eq!(agent.version.to_string(), "3.0.16");
    assert!(agent.replace_unknown);
    let agent = desired.agent(&node("10.0.1.16")).unwrap();
    assert_eq!(agent.ip.to_string(), "10.0.9.16");
    assert_eq!(agent.nodeid, node("10.0.1.16"));
    assert_eq!(agent.tars_path.as_str(), "/data/app/tars");
    let agent = desired.agent(&node("10.0.1.17")).unwrap();
    assert_eq!(agent.tars_path.as_str(), "/usr/local/app/tars");
    assert_eq!(agent.locator.len(), 2);
}

#[test]
fn components_are_placed_by_role_and_by_exception() {
    let desired = full();
    let on = |c: Component| -> Vec<&str> {
        desired
            .resources
            .keys()
            .filter_map(|id| match id {
                ResourceId::Server(found, n) if *found == c => Some(n.as_str()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(on(Component::Tarslog), ["10.0.0.2"]);
    assert_eq!(on(Component::Tarspatch), ["10.0.0.1"]);
    assert_eq!(on(Component::Tarsnotify), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(on(Component::Tarsnode), [""; 0]);
    let id = ResourceId::Server(Component::Tarsnotify, node("10.0.0.1"));
    assert!(
        matches!(&desired.resources[&id], Resource::Server(s) if s.version.to_string() == "3.0.16")
    );
    assert_eq!(desired.host(&node("10.0.0.2")).unwrap().role, Role::Slave);
    assert_eq!(desired.master, node("10.0.0.1"));
}

#[test]
fn a_component_carries_what_its_upgrade_needs() {
    let text = "\
schema: tarsops/v1
cluster: small
framework: {version: 3.0.17, packages: ./p, run_user: ops, allow_downgrade: true}
registry: {endpoints: [10.0.0.1:17890, 10.0.0.2:17890]}
nodes:
  - {name: 10.0.0.1, roles: [master]}
  - {name: fw-2, ip: 10.0.0.2, roles: [slave]}
overrides:
  fw-2: {install_path: /data/app, replace_unknown: true}
";
    let (desired, _) = parse(text, "f").unwrap().lower(&base()).unwrap();
    for (name, path, ip, unknown) in [
        ("10.0.0.1", "/usr/local/app/tars", "10.0.0.1", false),
        ("fw-2", "/data/app/tars", "10.0.0.2", true),
    ] {
        let node = node(name);
        let server = desired.server(Component::Tarsregistry, &node).unwrap();
        assert_eq!(server.version.to_string(), "3.0.17");
        assert_eq!(server.tars_path.as_str(), path);
        assert_eq!(server.run_user.as_str(), "ops");
        assert_eq!(server.ip.to_string(), ip);
        assert_eq!(server.replace_unknown, unknown);
        assert!(server.allow_downgrade);
        let agent = desired.agent(&node).unwrap();
        assert_eq!(agent.tars_path, server.tars_path);
        assert_eq!(agent.replace_unknown, server.replace_unknown);
    }
    assert!(
        desired
            .server(Component::Tarspatch, &node("fw-2"))
            .is_none()
    );
}

#[test]
fn versions_that_merely_differ_are_accepted() {
    let good = |framework: &str, rest: &str| {
        let text = format!(
            "\
schema: tarsops/v1
cluster: small
framework: {{version: {framework}, packages: ./p}}
registry: {{endpoints: [10.0.0.1:17890]}}
nodes:
  - {{name: 10.0.0.1, roles: [master]}}
  - {{name: \"10.0.1.[1-3]\"}}
{rest}
"
        );
        let said = super::support::said(&text);
        assert!(said.is_empty(), "{said}");
    };
    // Old nodes under a newer AdminRegistry: it still calls their NodeObj.
    good("3.0.17", "components: {tarsnode: {version: 3.0.6}}");
    good("3.0.17", "overrides: {10.0.1.2: {version: 2.4.14}}");
    good("3.0.5", "components: {tarsregistry: {version: 3.0.17}}");
    good(
        "3.0.17",
        "components: {tarslog: {version: 2.4.17}, tarspatch: {version: 3.0.2}}",
    );
    good("2.1.0", "components: {tarsquerystat: {version: 3.0.17}}");
    good(
        "3.0.13",
        "components: {tarsAdminRegistry: {nodes: [10.0.0.1, 10.0.1.1]}}",
    );
    // A node that is taken away runs nothing any more.
    good(
        "3.0.5",
        "overrides: {10.0.1.2: {version: 3.0.17, state: absent}}",
    );
}

#[test]
fn sections_become_resources() {
    let desired = full();
    assert_eq!(
        desired.packages,
        PackageSource::Folder("/spec/packages/{version}".into())
    );
    assert_eq!(desired.policy.ramp, [Count::Number(1), Count::Number(10)]);
    assert_eq!(desired.policy.max_parallel, Count::Percent(25));
    assert_eq!(desired.parallel, 64);
    assert_eq!(desired.keep, Some(600));
    let Resource::Schema(db) = &desired.resources[&ResourceId::Schema] else {
        panic!("no database");
    };
    assert_eq!(db.password, SecretRef::Env("TARS_DB_PASSWORD".into()));
    let Resource::Web(web) = &desired.resources[&ResourceId::Web] else {
        panic!("no web");
    };
    assert_eq!(web.ticket, SecretRef::File("/home/me/.tars-ticket".into()));
    let console = web.console.as_ref().unwrap();
    assert_eq!(console.node, node("10.0.0.1"));
    assert_eq!(console.install_path.as_str(), "/usr/local/app/web");
    assert_eq!(
        console.package.as_deref(),
        Some("/spec/packages/tars-web-3.0.15.tgz".as_ref())
    );
    let registries = desired
        .resources
        .keys()
        .filter(|id| matches!(id, ResourceId::RegistryEndpoint(_)));
    assert_eq!(registries.count(), 2);
    // The machine that is gone asks for no version.
    assert!(
        desired
            .versions
            .iter()
            .all(|(_, v)| v.to_string() != "0.0.0")
    );
}

#[test]
fn defaults_are_those_that_the_comments_name() {
    let text = super::support::GOOD;
    let (desired, _) = parse(text, "f").unwrap().lower(&base()).unwrap();
    let access = &desired.access[&node("10.0.0.1")];
    assert_eq!(
        (access.user.as_ref(), access.port, access.identity.as_ref()),
        (None, None, None)
    );
    assert_eq!(access.jump, Jump::Configured);
    assert_eq!(access.connect_timeout, 10);
    assert_eq!(desired.parallel, 16);
    for (processors, parallel) in [(0, 8), (1, 8), (4, 32), (8, 64), (128, 64), (u32::MAX, 64)] {
        let base = Base {
            processors,
            ..base()
        };
        let (desired, _) = parse(text, "f").unwrap().lower(&base).unwrap();
        assert_eq!(desired.parallel, parallel);
    }
    assert_eq!(desired.keep, None);
    assert_eq!(access.key_exchange, KeyExchange::Configured);
    assert_eq!(desired.install_path.as_str(), "/usr/local/app");
    assert_eq!(desired.run_user.as_str(), "tars");
    assert_eq!(desired.policy, tarsops_model::desired::Policy::default());
}

#[test]
fn a_framework_of_containers_has_one_on_each_of_its_hosts() {
    let specs = specs("fixtures/specs/valid");
    let (_, text) = specs.iter().find(|(n, _)| n == "docker").unwrap();
    let desired = parse(text, "docker.yaml")
        .unwrap()
        .lower(&base())
        .unwrap()
        .0;
    let nodes: Vec<&str> = desired.containers().map(|(n, _)| n.as_str()).collect();
    assert_eq!(nodes, ["10.0.0.1", "10.0.0.2"]);
    let master = desired.container(&node("10.0.0.1")).unwrap();
    let slave = desired.container(&node("10.0.0.2")).unwrap();
    assert_eq!(master.environment["SLAVE"], "false");
    assert_eq!(slave.environment["SLAVE"], "true");
    for (name, container) in desired.containers() {
        assert_eq!(container.environment["REBUILD"], "false");
        assert_eq!(container.environment["DOMAIN"], name.as_str());
        assert_eq!(container.environment["MYSQL_HOST"], "10.0.0.9");
        assert!(!container.environment.contains_key("MYSQL_ROOT_PASSWORD"));
        assert!(container.mounts["/data/tars"].writable);
        assert!(!container.mounts["/etc/localtime"].writable);
        // The container's tarsnode is no resource of its own, and no package of it is asked for.
        assert!(desired.agent(name).is_none());
    }
    assert!(desired.agent(&node("10.0.1.1")).is_some());
    let components: Vec<Component> = desired.versions.iter().map(|(c, _)| *c).collect();
    assert_eq!(components, [Component::Tarsnode]);
    // The servants of containers are asked as all others are.
    assert!(desired.admin().is_some());
}
