//! The fields of `conf/tars.tarsnode.config.conf` that are managed, read and written by meaning.
//!
//! A running tarsnode rewrites this file: it merges the database's template, names every registry
//! it knows (twice), drops comments and the `NodeAdapter`, and takes `localip` from its node id
//! (framework `NodeServer/NodeServer.cpp`, `onUpdateConfig`). So nothing else in the file counts,
//! registries beyond the wanted ones are kept unless they should go, and an edit leaves all other
//! bytes as they are.
//!
//! This module does not know where the file lies nor what is wanted on which host.

use std::collections::BTreeSet;

use crate::document::{ConfError, Document};
use crate::endpoint::{Endpoint, EndpointError, Locator, QUERY_OBJECT, check_host};
use crate::placeholder::{Placeholder, placeholders};

const CLIENT: [&str; 3] = ["tars", "application", "client"];
const SERVER: [&str; 3] = ["tars", "application", "server"];

/// The servant of the adapter that each tarsnode has.
const SERVER_OBJECT: &str = "tars.tarsnode.ServerObj";
/// The servant of the adapter that tarsnode had before 3.0.7 and packages still configure.
const NODE_OBJECT: &str = "tars.tarsnode.NodeObj";

/// What the configuration of a tarsnode says about the fields that are managed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentConf {
    /// `localip`; none if it is missing, empty or a placeholder.
    pub localip: Option<String>,
    /// The host of the ServerObj adapter's endpoint; none if that is missing, no endpoint, or a
    /// placeholder.
    pub endpoint_host: Option<String>,
    /// The port of that endpoint.
    pub endpoint_port: Option<u16>,
    /// Host and port of each registry that the locator names.
    pub locator: BTreeSet<(String, u16)>,
    /// Placeholders left in any value.
    pub placeholders: Vec<Placeholder>,
}

/// What the configuration of a tarsnode should say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The address for `localip`.
    pub localip: String,
    /// The host of the endpoints of ServerObj and, where there is such an adapter, NodeObj.
    pub endpoint_host: String,
    /// Host and port of each registry that the locator must name; not empty.
    pub locator: BTreeSet<(String, u16)>,
    /// Whether the locator must name no others.
    pub exact: bool,
}

impl AgentConf {
    /// Whether nothing would change if `wanted` were written.
    #[must_use]
    pub fn satisfies(&self, wanted: &Wanted) -> bool {
        self.localip.as_deref() == Some(&wanted.localip)
            && self.endpoint_host.as_deref() == Some(&wanted.endpoint_host)
            && if wanted.exact {
                self.locator == wanted.locator
            } else {
                self.locator.is_superset(&wanted.locator)
            }
    }
}

/// Reads the managed fields. What is missing or makes no sense is none, so that any file that
/// Tars can read gives an answer.
#[must_use]
pub fn read(doc: &Document) -> AgentConf {
    let filled = |s: &&str| !s.is_empty() && placeholders(s).is_empty();
    let localip = doc.get(&SERVER, "localip").filter(filled);
    let endpoint = adapter(doc, "ServerAdapter", SERVER_OBJECT)
        .and_then(|name| doc.get(&below_server(name), "endpoint"))
        .and_then(|text| Endpoint::parse(text).ok());
    let locator = doc
        .get(&CLIENT, "locator")
        .and_then(|text| Locator::parse(text).ok());
    let left: BTreeSet<Placeholder> = doc.values().flat_map(placeholders).collect();
    AgentConf {
        localip: localip.map(str::to_owned),
        endpoint_host: endpoint
            .as_ref()
            .map(Endpoint::host)
            .filter(filled)
            .map(str::to_owned),
        endpoint_port: endpoint.as_ref().map(Endpoint::port),
        locator: locator.map(|l| l.set()).unwrap_or_default(),
        placeholders: left.into_iter().collect(),
    }
}

/// The text of a configuration after `wanted` was written into it. Only values that differ
/// change; a text that says all of it already comes back as it is. Other placeholders than those
/// in the managed fields stay: see [`substitute`](crate::placeholder::substitute).
///
/// # Errors
/// [`ConfError`] if the text cannot be read, if it lacks the `client`, `server` or ServerObj
/// adapter domain (an empty file does; such a file has to be made again from a package), if the
/// adapter's endpoint is no endpoint, or if a wanted value cannot be written.
pub fn rewrite(text: &str, wanted: &Wanted) -> Result<String, ConfError> {
    let mut doc = Document::parse(text)?;
    check_host(&wanted.localip).map_err(|e| refuse("localip", e))?;
    doc.set(&SERVER, "localip", &wanted.localip)?;

    let Some(name) = adapter(&doc, "ServerAdapter", SERVER_OBJECT).map(str::to_owned) else {
        let path = below_server("ServerAdapter").join("/");
        return Err(ConfError::NoDomain { path });
    };
    set_host(&mut doc, &name, &wanted.endpoint_host)?;
    if let Some(name) = adapter(&doc, "NodeAdapter", NODE_OBJECT).map(str::to_owned) {
        set_host(&mut doc, &name, &wanted.endpoint_host)?;
    }

    let old = doc.get(&CLIENT, "locator").map(Locator::parse);
    let locator = match old {
        Some(Ok(old)) => {
            let set = old.set();
            let enough = if wanted.exact {
                set == wanted.locator
            } else {
                set.is_superset(&wanted.locator)
            };
            if enough && !wanted.locator.is_empty() {
                None
            } else {
                Some(old.with(&wanted.locator, wanted.exact))
            }
        }
        // A locator without an object reaches nothing, so there is nothing in it to keep.
        Some(Err(_)) | None => Some(Locator::print(QUERY_OBJECT, &wanted.locator)),
    };
    if let Some(locator) = locator {
        let locator = locator.map_err(|e| refuse("locator", e))?;
        doc.set(&CLIENT, "locator", &locator)?;
    }
    Ok(doc.to_string())
}

fn refuse(key: &str, source: EndpointError) -> ConfError {
    ConfError::Wanted {
        key: key.to_owned(),
        source,
    }
}

fn below_server(name: &str) -> [&str; 4] {
    [SERVER[0], SERVER[1], SERVER[2], name]
}

/// The name of the adapter that serves `servant`: the one that packages call `usual`, else any
/// whose `servant` says so, for operators rename them.
fn adapter<'a>(doc: &'a Document, usual: &str, servant: &str) -> Option<&'a str> {
    let all = doc.domains(&SERVER);
    let serves = |name: &&str| doc.get(&below_server(name), "servant") == Some(servant);
    let by_name = all.iter().find(|name| **name == usual);
    by_name.or_else(|| all.iter().find(|n| serves(n))).copied()
}

/// Sets the host of the endpoint of one adapter; a missing endpoint is an error.
fn set_host(doc: &mut Document, name: &str, host: &str) -> Result<(), ConfError> {
    let path = below_server(name);
    let text = doc.get(&path, "endpoint").unwrap_or_default();
    let old = Endpoint::parse(text).map_err(|source| ConfError::Endpoint {
        line: doc.line_of(&path, "endpoint").unwrap_or_default(),
        key: format!("{}/endpoint", path.join("/")),
        source,
    })?;
    if old.host() == host {
        return Ok(());
    }
    let new = old.with_host(host).map_err(|e| refuse("endpoint", e))?;
    doc.set(&path, "endpoint", &new.to_string())
}
