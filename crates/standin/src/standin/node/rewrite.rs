//! The agent's own configuration, rewritten by the agent (TarsFramework `NodeServer/NodeServer.cpp`,
//! `onUpdateConfig`).

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::conf::{Endpoint, Section};
use super::super::log::Log;
use super::agent::{Agent, Told};

/// Rewrites the configuration as the real agent does, from what it read at its start and what a
/// registry says, if one answers.
pub(super) struct Rewriter {
    pub(super) conf: Section,
    pub(super) config: PathBuf,
    pub(super) nodeid: String,
    pub(super) registries: Vec<Endpoint>,
    /// Registries that count as told by rows, for clusters without a registry.
    pub(super) extra: PathBuf,
    pub(super) agent: Arc<Agent>,
    pub(super) log: Log,
}

impl Rewriter {
    /// Write the file if it does not say what this agent believes.
    pub(super) fn once(&self) -> io::Result<()> {
        let told = self.agent.told();
        if told
            .as_ref()
            .is_some_and(|told| told.template.trim().is_empty())
        {
            // The real one gives up here, too.
            self.log.write("WARN|the registry has no template for me");
            return Ok(());
        }
        let text = self.text(told.as_ref());
        let live = std::fs::read_to_string(&self.config).unwrap_or_default();
        if live == text {
            return Ok(());
        }
        let folder = self.config.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let fresh = folder.join("config.conf.tmp");
        let _ = std::fs::remove_file(&fresh);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o666)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        drop(file);
        if !live.is_empty() {
            let mut backup = self.config.as_os_str().to_owned();
            backup.push(".bak");
            std::fs::write(backup, live)?;
        }
        std::fs::rename(&fresh, &self.config)?;
        self.log
            .write("INFO|config rewritten from the registry's template");
        Ok(())
    }

    /// The registries as they stand in the locator.
    fn locator(&self, told: Option<&Told>) -> Vec<Endpoint> {
        // A registry answers with a row for each and an adapter for each: every endpoint twice.
        let answered = told.map(|told| told.queries.clone()).unwrap_or_default();
        let mut more = Vec::new();
        if answered.is_empty() {
            more.clone_from(&self.registries);
        }
        let extra = std::fs::read_to_string(&self.extra).unwrap_or_default();
        for line in extra.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let endpoint = Endpoint::parse(line).ok().or_else(|| {
                let (host, port) = line.split_once(':')?;
                Some(Endpoint {
                    host: host.to_owned(),
                    port: port.parse().ok()?,
                })
            });
            if let Some(endpoint) = endpoint
                && !more.contains(&endpoint)
                && !answered.contains(&endpoint)
            {
                more.push(endpoint);
            }
        }
        [answered, more.clone(), more].concat()
    }

    fn text(&self, told: Option<&Told>) -> String {
        let places: Vec<String> = self.locator(told).iter().map(Endpoint::to_string).collect();
        let locator = format!("tars.tarsregistry.QueryObj@{}", places.join(":"));

        let mut conf = self.conf.clone();
        if let Some(told) = told {
            let filled = self.filled(&told.template, &locator);
            // A template that does not nest changes nothing; the real one throws here.
            conf.join(&Section::parse(&filled).unwrap_or_default(), true);
        }
        let application = conf.at_mut(&["tars", "application"]);
        application.set("setdivision", "");
        let client = application.at_mut(&["client"]);
        client.set("locator", &locator);
        client.set("modulename", "${modulename}");
        let server = application.at_mut(&["server"]);
        server.sections.retain(|(name, _)| name != "NodeAdapter");
        if !self.nodeid.is_empty() && self.nodeid != "localip.tars.com" {
            server.set("localip", &self.nodeid);
        }
        server.set_missing("nodename", "");
        server.set_missing("lognum", "10");
        server.set_missing("log", "tars.tarslog.LogObj");
        server.set_missing("activating-timeout", "60000");
        conf.at_mut(&["tars", "node"])
            .set_missing("cmd_white_list_ip", "");
        conf.render()
    }

    /// The template with its placeholders filled from the configuration that was read.
    fn filled(&self, template: &str, locator: &str) -> String {
        let server = self.conf.at(&["tars", "application", "server"]);
        let get = |key: &str, default: &str| {
            server
                .and_then(|server| server.get(key))
                .unwrap_or(default)
                .to_owned()
        };
        let localip = if self.nodeid.is_empty() || self.nodeid == "localip.tars.com" {
            get("localip", "")
        } else {
            self.nodeid.clone()
        };
        [
            ("enableset", get("enableset", "n")),
            ("setdivision", get("setdivision", "")),
            ("locator", locator.to_owned()),
            ("app", get("app", "tars")),
            ("server", get("server", "tarsnode")),
            ("basepath", get("basepath", "")),
            ("datapath", get("datapath", "tars")),
            ("logpath", get("logpath", "tars")),
            ("localip", localip),
            ("local", get("local", "")),
            ("nodename", get("nodename", "")),
        ]
        .into_iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), &value)
        })
    }
}
