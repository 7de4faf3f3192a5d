//! Framework hosts with all of their components, and hosts that lack some.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "shared by the test files, each of which uses another part"
)]

use proptest::prelude::*;
use tarsops_model::agent::{FileFact, ProcessFact};
use tarsops_model::component::Component;
use tarsops_model::desired::Resource;
use tarsops_model::digest::Digest;
use tarsops_model::framework::{AdapterRow, Answer, Asked, ServerRow};
use tarsops_model::names::{Endpoint, NodeName};
use tarsops_model::observed::Observed;
use tarsops_model::package::{Layout, PackageContents, PackageFile, PackagePin};
use tarsops_model::resource::ResourceId;
use tarsops_model::server::ServerFacts;

use super::framework::{KINDS, list, rows, server_on, speaking, unspoken};
use super::{USER, VERSION, World, damage, version};

/// The components of a slave beside tarsnode.
pub const COMPONENTS: [Component; 5] = [
    Component::Tarsregistry,
    Component::Tarsconfig,
    Component::Tarsnotify,
    Component::Tarsquerystat,
    Component::Tarsqueryproperty,
];

pub fn digest_of(component: Component) -> Digest {
    Digest::of(format!("{component} {VERSION}").as_bytes())
}

/// A package with configuration and scripts.
pub fn package_of(component: Component) -> PackageContents {
    let file = |path: String, body: String| PackageFile {
        path,
        mode: 0o644,
        size: body.len() as u64,
        digest: Digest::of(body.as_bytes()),
        text: Some(body),
    };
    let bin = PackageFile {
        path: format!("bin/{component}"),
        mode: 0o755,
        size: 10 << 20,
        digest: digest_of(component),
        text: None,
    };
    let script = |name: &str| {
        let body = format!(
            "#!/bin/sh\nsh TARS_PATH/{component}/util/execute.sh {component} {name}\nls TARS_PATH/tarsnode/data/lib/\n"
        );
        file(format!("util/{name}.sh"), body)
    };
    let conf = format!(
        "<tars>\nlocalip=localip.tars.com\nbasepath=TARS_PATH/{component}/bin\n\
         locator=tars.tarsregistry.QueryObj@tcp -h registry.tars.com -p 17890\n\
         dbhost=db.tars.com\ndbpass=tars2015\n</tars>\n"
    );
    let mut files = vec![
        bin.clone(),
        file(format!("conf/tars.{component}.config.conf"), conf),
        script("execute"),
        script("start"),
        script("stop"),
    ];
    if component == Component::Tarsregistry {
        files.push(script("monitor"));
    }
    PackageContents {
        pin: PackagePin {
            component,
            version: version(VERSION),
            layout: Layout::Deploy,
            source: format!("packages/{VERSION}"),
            archive: None,
            archive_size: None,
            binary: bin.digest,
            binary_size: bin.size,
            contents: Digest::of(component.name().as_bytes()),
        },
        files,
    }
}

pub fn row_of(component: Component, node: &NodeName) -> ServerRow {
    ServerRow {
        application: "tars".to_owned(),
        server: component.name().to_owned(),
        node: node.to_string(),
        setting: Some("active".to_owned()),
        present: Some("active".to_owned()),
        pid: Some(100),
        patch_version: Some(VERSION.to_owned()),
        library: Some("3.0.20".to_owned()),
        template: Some(format!("tars.{component}")),
        kind: Some("tars_cpp".to_owned()),
        exe_path: None,
    }
}

fn adapters_of(component: Component, node: &NodeName, ip: &str) -> Vec<AdapterRow> {
    let all = component.servants().iter();
    all.map(|(servant, port)| AdapterRow {
        application: "tars".to_owned(),
        server: component.name().to_owned(),
        node: node.to_string(),
        adapter: format!("{servant}Adapter"),
        servant: Some((*servant).to_owned()),
        endpoint: Some(format!("tcp -h {ip} -t 60000 -p {port}")),
        protocol: Some("tars".to_owned()),
        ..AdapterRow::default()
    })
    .collect()
}

/// A cluster whose framework hosts, the first two, have everything, with packages of it.
pub fn whole(mut w: World) -> World {
    for component in COMPONENTS {
        w.catalog.insert(package_of(component));
    }
    let places: Vec<_> = w
        .desired
        .hosts()
        .filter(|(_, h)| h.role.is_framework())
        .map(|(n, h)| (n.clone(), h.ip))
        .collect();
    for (node, ip) in places {
        for component in COMPONENTS {
            let server = server_on(&w, &node);
            w.desired.resources.insert(
                ResourceId::Server(component, node.clone()),
                Resource::Server(server),
            );
            installed(&mut w, component, &node, true);
            list(&mut rows(&mut w).servers).push(row_of(component, &node));
            list(&mut rows(&mut w).adapters).extend(adapters_of(component, &node, &ip.to_string()));
            for (servant, port) in component.servants() {
                let asked = Asked {
                    component,
                    node: node.clone(),
                    servant: (*servant).to_owned(),
                    at: Endpoint::at(ip, *port),
                    answer: Answer::Answers,
                };
                let framework = w.inventory.framework.as_mut().unwrap();
                framework
                    .servants
                    .insert(format!("{servant}@{node}"), asked);
            }
        }
    }
    w
}

/// As [`whole`], of `count` nodes in sync.
pub fn world(count: usize) -> World {
    whole(speaking(World::new(count)))
}

/// The component's files are there, and it runs or does not.
pub fn installed(w: &mut World, component: Component, node: &NodeName, runs: bool) {
    let facts = ServerFacts {
        binary: Observed::Present(FileFact {
            digest: digest_of(component),
            size: 10 << 20,
            mode: 0o755,
            owner: USER.to_owned(),
        }),
        processes: Observed::Present(if runs {
            vec![ProcessFact {
                pid: 100,
                exe: Observed::Present(digest_of(component)),
                exe_deleted: false,
                user: USER.to_owned(),
                nodeid: None,
                config: None,
            }]
        } else {
            vec![]
        }),
    };
    w.inventory
        .insert_server(component, node, Observed::Present(facts));
    if let Some(host) = damage::host_of(w, node) {
        if let Observed::Present(all) = &mut host.installed {
            all.insert(component.name().to_owned());
        }
        if let Observed::Present(all) = &mut host.components {
            if runs {
                all.insert(component.name().to_owned());
            } else {
                all.remove(component.name());
            }
        }
        if let Observed::Present(ports) = &mut host.ports {
            for (_, port) in component.servants() {
                if runs {
                    ports.insert(*port);
                } else {
                    ports.remove(port);
                }
            }
        }
    }
    let answer = if runs {
        Answer::Answers
    } else {
        Answer::Refused
    };
    let at = w.desired.host(node).map(|h| Endpoint::at(h.ip, 17890));
    if let Some(framework) = &mut w.inventory.framework {
        for asked in framework.servants.values_mut() {
            if asked.component == component && asked.node == *node {
                asked.answer = answer.clone();
            }
        }
        if let (Component::Tarsregistry, Some(at)) = (component, at)
            && let Some(of) = framework.registries.get_mut(&at)
        {
            *of = answer;
        }
    }
}

/// The component's folder and process are gone.
pub fn without_files(w: &mut World, component: Component, node: &NodeName) {
    installed(w, component, node, false);
    w.inventory.insert_server(component, node, Observed::Absent);
    if let Some(host) = damage::host_of(w, node)
        && let Observed::Present(all) = &mut host.installed
    {
        all.remove(component.name());
    }
}

/// The database has no rows of it; of a registry none that it writes itself, either.
pub fn without_rows(w: &mut World, component: Component, node: &NodeName) {
    let ip = w.desired.host(node).unwrap().ip;
    let own = |server: &str, of: &str| server == component.name() && of == node.as_str();
    let rows = rows(w);
    list(&mut rows.servers).retain(|r| !own(&r.server, &r.node));
    list(&mut rows.adapters).retain(|r| !own(&r.server, &r.node));
    if component == Component::Tarsregistry {
        let at = Endpoint::at(ip, 17890).to_string();
        list(&mut rows.registries).retain(|r| r.locator != at);
    }
}

/// The row of a component, to be changed.
pub fn row<'a>(w: &'a mut World, component: Component, node: &NodeName) -> &'a mut ServerRow {
    list(&mut rows(w).servers)
        .iter_mut()
        .find(|r| r.server == component.name() && r.node == node.as_str())
        .unwrap()
}

/// A new slave: the second node has its tarsnode and nothing else.
pub fn fresh_slave(count: usize) -> World {
    let mut w = world(count);
    let node = w.node(1);
    for component in COMPONENTS {
        without_files(&mut w, component, &node);
        without_rows(&mut w, component, &node);
    }
    w
}

/// How many kinds of [`lack`] there are.
pub const LACKS: u8 = 9;

/// What may be missing of a component.
pub fn lack(w: &mut World, component: Component, node: &NodeName, kind: u8) {
    let stop = |w: &mut World, library: &str| {
        let row = row(w, component, node);
        row.setting = Some("inactive".to_owned());
        row.present = Some("inactive".to_owned());
        row.pid = Some(0);
        row.library = Some(library.to_owned());
    };
    match kind {
        1 => {
            without_files(w, component, node);
            without_rows(w, component, node);
        }
        2 => without_files(w, component, node),
        // A run that was cut off after the files, after the rows.
        3 => {
            installed(w, component, node, false);
            without_rows(w, component, node);
        }
        4 => {
            installed(w, component, node, false);
            stop(w, "");
        }
        // Somebody has stopped it.
        5 => {
            installed(w, component, node, false);
            stop(w, "3.0.20");
        }
        6 => {
            without_files(w, component, node);
            stop(w, "3.0.20");
        }
        // It runs unknown to the framework.
        7 => without_rows(w, component, node),
        8 => list(&mut rows(w).adapters)
            .retain(|r| r.server != component.name() || r.node != node.as_str()),
        _ => {}
    }
}

/// Clusters whose slave, or master, lacks some of its components, with other things wrong besides.
pub fn lacking() -> impl Strategy<Value = World> {
    let lacks = prop::collection::vec(0..LACKS, 5);
    let damages = prop::collection::vec((0..damage::KINDS, any::<prop::sample::Index>()), 0..3);
    let said = prop::collection::vec((0..KINDS, any::<prop::sample::Index>()), 0..2);
    (2usize..5, lacks, any::<bool>(), damages, said).prop_map(
        |(count, lacks, new, damages, said)| {
            let mut w = world(count);
            let node = w.node(1);
            for (component, kind) in COMPONENTS.into_iter().zip(lacks) {
                lack(&mut w, component, &node, kind);
            }
            if new {
                w.uninstall(1);
            }
            let nodes: Vec<NodeName> = w.desired.hosts().map(|(n, _)| n.clone()).collect();
            for (kind, at) in damages {
                damage::damage(&mut w, at.get(&nodes), kind);
            }
            for (kind, at) in said {
                unspoken(&mut w, at.get(&nodes), kind);
            }
            w
        },
    )
}
