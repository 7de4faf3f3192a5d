//! What the rows of the database say of registries.

use std::collections::{BTreeMap, BTreeSet};

use tarsops_model::component::Component;
use tarsops_model::framework::{RegistryRow, Rows};
use tarsops_model::names::Endpoint;

/// The servant under which a registry stands in its rows.
const QUERY_OBJ: &str = "tars.tarsregistry.QueryObj";
/// Seconds. A living registry writes its rows every 13 s; one that missed several is not alive.
const STALE: i64 = 60;

/// The registries that the database lists: the row of the QueryObj of each, by endpoint. None where
/// the table could not be read.
pub(crate) fn listed(rows: &Rows) -> Option<BTreeMap<Endpoint, &RegistryRow>> {
    let all = rows.registries.present()?;
    Some(
        all.iter()
            .filter(|r| r.servant == QUERY_OBJ)
            .filter_map(|r| Some((r.locator.parse().ok()?, r)))
            .collect(),
    )
}

/// The registries that the database lists as alive; none where the table could not be read.
pub(crate) fn alive(rows: &Rows) -> Option<BTreeSet<Endpoint>> {
    let fresh = listed(rows)?.into_iter().filter(|(_, row)| is_fresh(row));
    Some(fresh.map(|(at, _)| at).collect())
}

/// Whether the row is that of a living registry.
pub(crate) fn is_fresh(row: &RegistryRow) -> bool {
    row.present.as_deref() == Some("active") && row.heartbeat_age.is_none_or(|age| age <= STALE)
}

/// The state of a registry and the age of its heartbeat, as text.
pub(crate) fn state(row: &RegistryRow) -> String {
    let state = row.present.as_deref().unwrap_or("(no state)");
    match row.heartbeat_age {
        Some(age) => format!("{state}, last heartbeat {age} s ago"),
        None => state.to_owned(),
    }
}

/// A registry that the rows of a server and its adapter name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// The node of the server.
    pub(crate) node: String,
    /// Whether it is resolved: somebody may have set it inactive.
    pub(crate) active: bool,
}

/// The registries that the rows of servers and adapters let be resolved, and the node of each. Name
/// resolution takes them beside the registries' own rows, whether they ever ran or not
/// (`RegistryServer/DbHandle.cpp`, loadObjectIdCache).
pub(crate) fn resolved(rows: &Rows) -> BTreeMap<Endpoint, Named> {
    let (Some(adapters), Some(servers)) = (rows.adapters.present(), rows.servers.present()) else {
        return BTreeMap::new();
    };
    let states: BTreeMap<&str, bool> = servers
        .iter()
        .filter(|s| s.application == "tars" && s.server == Component::Tarsregistry.name())
        .map(|s| (s.node.as_str(), s.setting.as_deref() != Some("inactive")))
        .collect();
    adapters
        .iter()
        .filter(|a| a.servant.as_deref() == Some(QUERY_OBJ))
        .filter_map(|a| {
            let named = Named {
                node: a.node.clone(),
                active: *states.get(a.node.as_str())?,
            };
            Some((endpoint(a.endpoint.as_deref()?)?, named))
        })
        .collect()
}

/// Reads `tcp -h 10.0.0.1 -p 17890 -t 60000`.
fn endpoint(text: &str) -> Option<Endpoint> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|w| *w == flag)?;
        words.get(at + 1).copied()
    };
    format!("{}:{}", after("-h")?, after("-p")?).parse().ok()
}
