//! Which objects there are and where: what QueryObj answers from.
//!
//! An object's endpoints come from two tables, one after the other: from the adapters of servers, and
//! from the rows that registries and AdminRegistry write themselves. Whoever stands in both, as they
//! do, is answered twice (`RegistryServer/DbHandle.cpp`, `loadObjectIdCache`).

use std::collections::BTreeMap;

use tarsops_wire::interface::EndpointF;

use super::super::conf::Endpoint;
use crate::store::{Store, StoreError};

/// The endpoints of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) active: Vec<EndpointF>,
    pub(super) inactive: Vec<EndpointF>,
}

/// All objects by their names.
#[derive(Debug, Default)]
pub(super) struct Objects(BTreeMap<String, Places>);

impl Objects {
    pub(super) fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let servers = store.servers()?;
        let mut objects = Self::default();
        for adapter in store.adapters()? {
            let of = (
                &adapter.application,
                &adapter.server_name,
                &adapter.node_name,
            );
            // An adapter without a server is in no answer.
            let Some(server) = servers
                .iter()
                .find(|s| (&s.application, &s.server_name, &s.node_name) == of)
            else {
                continue;
            };
            let active = server.setting_state == "active"
                && server.present_state == "active"
                && server.flow_state != "inactive";
            objects.add(
                &adapter.servant,
                &adapter.endpoint,
                &adapter.node_name,
                active,
            );
        }
        for row in store.registries()? {
            // Its version is answered where others have their node.
            let active = row.present_state == "active";
            objects.add(&row.servant, &row.endpoint, &row.tars_version, active);
        }
        Ok(objects)
    }

    fn add(&mut self, servant: &str, text: &str, node: &str, active: bool) {
        let Ok(endpoint) = Endpoint::parse(text) else {
            return;
        };
        let place = EndpointF {
            host: endpoint.host,
            port: i32::from(endpoint.port),
            timeout: Endpoint::timeout(text),
            istcp: 1,
            groupworkid: -1,
            grouprealid: -1,
            weight: -1,
            node_name: node.to_owned(),
            ..EndpointF::default()
        };
        let places = self.0.entry(servant.to_owned()).or_default();
        if active {
            places.active.push(place);
        } else {
            places.inactive.push(place);
        }
    }

    pub(super) fn find(&self, id: &str) -> Places {
        self.0.get(id).cloned().unwrap_or_default()
    }
}
