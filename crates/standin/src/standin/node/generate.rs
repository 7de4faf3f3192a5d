//! The configuration that the agent generates for a server which it loads (TarsFramework
//! `NodeServer/CommandLoad.cpp`): the template that came with its description, its adapters, and the
//! administration port of the configuration that was there before.
//!
//! The host of that port stays as it is, where the real one always writes 127.0.0.1, so that many
//! hosts fit on one machine's loopback addresses; so does the section `<standin>`.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::conf::{Endpoint, Section};
use super::super::shapes::ServerDescriptor;
use super::agent::Agent;
use crate::framework::Component;

/// Where a server's configuration is generated.
pub(super) fn place(data: &Path, application: &str, server: &str) -> PathBuf {
    let name = format!("{application}.{server}");
    data.join(&name)
        .join("conf")
        .join(format!("{name}.config.conf"))
}

/// Writes the configuration of a server of the framework.
pub(super) fn write(agent: &Agent, of: &ServerDescriptor) -> Result<(), String> {
    if of.application != "tars" {
        return Ok(());
    }
    let path = place(&agent.data, &of.application, &of.server);
    let exe = if of.exe.is_empty() {
        let own = agent.data.join(format!("{}.{}", of.application, of.server));
        own.join("bin").join(&of.server)
    } else {
        PathBuf::from(&of.exe)
    };
    let exe = exe.as_path();
    let shipped = exe.parent().and_then(Path::parent).map(|root| {
        let name = format!("{}.{}.config.conf", of.application, of.server);
        root.join("conf").join(name)
    });
    let old = fs::read_to_string(&path)
        .or_else(|_| fs::read_to_string(shipped.as_deref().unwrap_or(Path::new("/"))))
        .ok()
        .and_then(|text| Section::parse(&text).ok())
        .unwrap_or_default();
    let text = text(agent, of, &old, exe)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn text(agent: &Agent, of: &ServerDescriptor, old: &Section, exe: &Path) -> Result<String, String> {
    let before = |key: &str| {
        let server = old.at(&["tars", "application", "server"]);
        server.and_then(|s| s.get(key)).map(str::to_owned)
    };
    let told = agent.told().map(|told| told.queries).unwrap_or_default();
    let places: Vec<String> = if told.is_empty() {
        let known = agent.queries.iter();
        known
            .map(|at| format!("tcp -h {} -p {}", at.ip(), at.port()))
            .collect()
    } else {
        told.iter().map(Endpoint::to_string).collect()
    };
    let locator = format!("tars.tarsregistry.QueryObj@{}", places.join(":"));
    let tars = agent.data.parent().and_then(Path::parent);
    let logs = tars.unwrap_or(Path::new("/")).join("app_log");
    let bin = exe.parent().unwrap_or(Path::new("/"));
    let own = agent.data.join(format!("{}.{}", of.application, of.server));
    let localip = before("localip").unwrap_or_else(|| agent.name());
    let values = [
        ("enableset", "n".to_owned()),
        ("setdivision", "NULL".to_owned()),
        ("locator", locator),
        ("modulename", format!("{}.{}", of.application, of.server)),
        ("app", of.application.clone()),
        ("server", of.server.clone()),
        ("localip", localip),
        ("nodename", agent.name()),
        ("local", before("local").unwrap_or_else(|| local(agent, of))),
        ("basepath", bin.display().to_string()),
        ("datapath", own.join("data").display().to_string()),
        ("logpath", logs.display().to_string()),
    ];
    let filled = values
        .into_iter()
        .fold(of.profile.clone(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), &value)
        });
    let mut conf = Section::parse(&filled)?;
    let server = conf.at_mut(&["tars", "application", "server"]);
    for (name, adapter) in &of.adapters.0 {
        let section = server.at_mut(&[name]);
        section.set("endpoint", &adapter.endpoint);
        section.set("servant", &adapter.servant);
        section.set("allow", &adapter.allow);
        section.set("maxconns", &adapter.connections.to_string());
        section.set("queuecap", &adapter.queue.to_string());
        section.set("queuetimeout", &adapter.timeout.to_string());
        section.set("threads", &adapter.threads);
        section.set("protocol", adapter.protocol.as_str());
    }
    if let Some(standin) = old.at(&["tars", "standin"]) {
        conf.at_mut(&["tars", "standin"]).join(standin, false);
    }
    Ok(conf.render())
}

/// Where the administration object of a server listens that never had a configuration: on the address
/// of its adapters, at the framework's port, or at one that is free.
fn local(agent: &Agent, of: &ServerDescriptor) -> String {
    let adapters = of.adapters.0.iter();
    let host = adapters
        .filter_map(|(_, adapter)| Endpoint::parse(&adapter.endpoint).ok())
        .map(|endpoint| endpoint.host)
        .next()
        .unwrap_or_else(|| agent.name());
    let free = || {
        let listener = std::net::TcpListener::bind((host.as_str(), 0));
        let address = listener.and_then(|listener| listener.local_addr());
        address.map_or(0, |address| address.port())
    };
    let port = Component::named(&of.server).map_or_else(free, |component| component.local);
    format!("tcp -h {host} -p {port} -t 3000")
}
