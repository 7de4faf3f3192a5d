//! RegistryObj: what nodes say of themselves and ask for (TarsProtocol `framework/Registry.tars`,
//! TarsFramework `RegistryServer/RegistryImp.cpp` and `DbHandle.cpp`).

use std::sync::Arc;

use tarsops_wire::codec::Pairs;
use tarsops_wire::packet::Request;

use super::super::conf::Section;
use super::super::net::{Arguments, Caller, Outcome, Reply, Servant, body};
use super::super::shapes::{
    AdapterDescriptor, LoadInfo, NodeInfo, PatchResult, ServerDescriptor, ServerStateInfo, state,
};
use super::super::template::merged;
use super::shared::Registry;
use crate::store::{
    AdapterRow, Change, NodeRow, ServerKey, ServerRow, Store, StoreError, TemplateRow,
};

pub(super) struct RegistryObj(pub(super) Arc<Registry>);

fn returned(value: i32) -> Reply {
    Reply::Body(body(|w| w.put(0, &value)))
}

/// A load that tables can hold.
fn load(info: &LoadInfo) -> [f32; 3] {
    [info.one, info.five, info.fifteen].map(|v| if v.is_finite() { v } else { 0.0 })
}

impl RegistryObj {
    fn store(&self) -> &dyn Store {
        &*self.0.store
    }

    fn done<T>(&self, what: &str, outcome: Result<T, StoreError>) -> Option<T> {
        self.0.done(what, outcome)
    }

    fn register(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let name: String = arguments.get(1)?;
        let info: NodeInfo = arguments.get(2)?;
        let [load_avg1, load_avg5, load_avg15] = load(&arguments.get(3)?);
        let row = NodeRow {
            node_name: name.clone(),
            node_obj: info.object,
            endpoint_ip: info.ip,
            endpoint_port: i64::from(info.port),
            data_dir: info.data,
            load_avg1,
            load_avg5,
            load_avg15,
            tars_version: info.version,
            ..NodeRow::default()
        };
        let registered = self.done("cannot register", self.store().register_node(&row));
        self.0
            .own
            .log
            .write(&format!("INFO|register {name}: {registered:?}"));
        Ok(returned(match registered {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        }))
    }

    /// Always 0: the framework does the work later and tells nobody what came of it.
    fn keep_alive(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let name: String = arguments.get(1)?;
        let load = load(&arguments.get(2)?);
        self.done("cannot keep alive", self.store().keep_alive(&name, load));
        Ok(returned(0))
    }

    /// The three texts are node, application and server, whatever the interface calls them.
    fn update(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let node: String = arguments.get(1)?;
        let (application, server): (String, String) = (arguments.get(2)?, arguments.get(3)?);
        let info: ServerStateInfo = arguments.get(4)?;
        let key = ServerKey {
            application,
            server,
            node,
        };
        Ok(returned(self.set_present(&key, &info)))
    }

    fn set_present(&self, key: &ServerKey, info: &ServerStateInfo) -> i32 {
        let name = state::name(info.state).to_lowercase();
        let change = Change::Present(name, i64::from(info.pid));
        match self.done("cannot update", self.store().set_server(key, &change)) {
            Some(()) => 0,
            None => -1,
        }
    }

    fn update_batch(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let all: Vec<ServerStateInfo> = arguments.get(1)?;
        let outcomes = all.iter().map(|info| {
            let key = ServerKey::new(&info.application, &info.server, &info.node);
            self.set_present(&key, info)
        });
        Ok(returned(outcomes.min().unwrap_or(0)))
    }

    fn servers(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let application: String = arguments.get(1)?;
        let (server, node): (String, String) = (arguments.get(2)?, arguments.get(3)?);
        let found = descriptors(self.store(), &application, &server, &node);
        let found = self.done("cannot read servers", found).unwrap_or_default();
        Ok(Reply::Body(body(|w| w.put(0, &found))))
    }

    fn node_template(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let node: String = arguments.get(1)?;
        let nodes = self.done("cannot read nodes", self.store().nodes());
        let chosen = nodes
            .into_iter()
            .flatten()
            .find(|row| row.node_name == node)
            .map(|row| row.template_name)
            .filter(|name| !name.is_empty());
        let conf = &self.0.own.conf;
        let default = conf
            .at(&["tars", "nodeinfo"])
            .and_then(|section| section.get("defaultTemplate"))
            .unwrap_or("tars.tarsnode");
        let name = chosen.as_deref().unwrap_or(default);
        let templates = self.done("cannot read templates", self.store().templates());
        let (section, _) = merged(&templates.unwrap_or_default(), name);
        Ok(Reply::Body(body(|w| {
            w.put(0, &0);
            w.put(2, &section.render_in_order());
        })))
    }

    fn report_version(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let (application, server): (String, String) = (arguments.get(1)?, arguments.get(2)?);
        let (node, version): (String, String) = (arguments.get(3)?, arguments.get(4)?);
        let key = ServerKey {
            application,
            server,
            node,
        };
        let outcome = self.store().set_server(&key, &Change::Library(version));
        self.done("cannot note a version", outcome);
        Ok(returned(0))
    }

    fn patched(&self, arguments: &mut Arguments<'_>) -> Outcome {
        let result: PatchResult = arguments.get(1)?;
        let key = ServerKey::new(&result.application, &result.server, &result.node);
        let change = Change::Patch(result.version, result.user);
        let outcome = self.done(
            "cannot note a patch",
            self.store().set_server(&key, &change),
        );
        Ok(returned(if outcome.is_some() { 0 } else { -1 }))
    }
}

impl Servant for RegistryObj {
    fn call(&self, caller: &Caller, request: &Request) -> Outcome {
        let mut arguments = Arguments::of(request)?;
        let arguments = &mut arguments;
        match request.function.as_str() {
            "registerNode" => self.register(arguments),
            "keepAlive" => self.keep_alive(arguments),
            "getServers" => self.servers(arguments),
            "updateServer" => self.update(arguments),
            "updateServerBatch" => self.update_batch(arguments),
            "reportVersion" => self.report_version(arguments),
            "updatePatchResult" => self.patched(arguments),
            "getNodeTemplate" => self.node_template(arguments),
            "destroyNode" => {
                let node: String = arguments.get(1)?;
                self.done("cannot stop a node", self.store().stop_node(&node));
                Ok(returned(0))
            }
            "reportNode" => Ok(returned(0)),
            "getClientIp" => Ok(Reply::Body(body(|w| {
                w.put(0, &0);
                w.put(1, &caller.ip());
            }))),
            // No image registries, and no key of the framework's market.
            "getDockerRegistry" => Ok(Reply::Body(body(|w| {
                w.put(0, &0);
                w.list(1, 0);
            }))),
            "getFrameworkKey" => Ok(Reply::Body(body(|w| {
                w.put(0, &0);
                w.structure(1, |_| {});
            }))),
            _ => Ok(Reply::NoFunction),
        }
    }
}

/// The servers of a node as it should run them; an empty application or server means any.
pub(in super::super) fn descriptors(
    store: &dyn Store,
    application: &str,
    server: &str,
    node: &str,
) -> Result<Vec<ServerDescriptor>, StoreError> {
    let mut servers = store.servers()?;
    servers.retain(|row| {
        row.node_name == node
            && (application.is_empty() || row.application == application)
            && (server.is_empty() || row.server_name == server)
    });
    if servers.is_empty() {
        return Ok(Vec::new());
    }
    let (adapters, templates) = (store.adapters()?, store.templates()?);
    Ok(servers
        .into_iter()
        .map(|row| descriptor(row, &adapters, &templates))
        .collect())
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap_or_default()
}

fn descriptor(
    row: ServerRow,
    adapters: &[AdapterRow],
    templates: &[TemplateRow],
) -> ServerDescriptor {
    let (mut profile, _) = merged(templates, &row.template_name);
    let private = Section::parse(&row.profile).unwrap_or_default();
    let threads = private
        .at(&["tars", "application", "client"])
        .and_then(|client| client.get("asyncthread"))
        .and_then(|text| text.parse().ok())
        .unwrap_or(narrow(row.async_thread_num).max(3));
    profile.join(&private, true);
    let own = (&row.application, &row.server_name, &row.node_name);
    let mut adapters: Vec<(String, AdapterDescriptor)> = adapters
        .iter()
        .filter(|a| (&a.application, &a.server_name, &a.node_name) == own)
        .map(|a| {
            let adapter = AdapterDescriptor {
                name: a.adapter_name.clone(),
                threads: a.thread_num.to_string(),
                endpoint: a.endpoint.clone(),
                connections: narrow(a.max_connections),
                allow: a.allow_ip.clone(),
                servant: a.servant.clone(),
                queue: narrow(a.queuecap),
                timeout: narrow(a.queuetimeout),
                grid: 0,
                protocol: a.protocol.clone(),
                group: a.handlegroup.clone(),
            };
            (a.adapter_name.clone(), adapter)
        })
        .collect();
    adapters.sort_by(|a, b| a.0.cmp(&b.0));
    ServerDescriptor {
        application: row.application,
        server: row.server_name,
        node: row.node_name,
        base: row.base_path,
        exe: row.exe_path,
        setting: row.setting_state,
        present: row.present_state,
        profile: profile.render_in_order(),
        patch_version: row.patch_version,
        patch_time: row.patch_time,
        patch_user: row.patch_user,
        adapters: Pairs(adapters),
        kind: row.server_type,
        start_script: row.start_script_path,
        stop_script: row.stop_script_path,
        monitor_script: row.monitor_script_path,
        config_center_port: narrow(row.config_center_port),
        threads,
        run_type: row.run_type,
        image_id: row.base_image_id.to_string(),
        ..ServerDescriptor::default()
    }
}
