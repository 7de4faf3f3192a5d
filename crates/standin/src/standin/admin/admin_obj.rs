//! AdminRegObj (TarsProtocol `framework/AdminReg.tars`, TarsFramework
//! `AdminRegistryServer/AdminRegistryImp.cpp`): what tarsops calls, and what nodes do.
//!
//! With the database down it answers as the framework does: no names of nodes and no error, 1003 "no
//! config" for every server.

use std::sync::Arc;
use std::time::Duration;

use tarsops_wire::Fields;
use tarsops_wire::codec::Pairs;
use tarsops_wire::interface::{FrameworkServer, ServerStateDesc, admin_code};
use tarsops_wire::packet::Request;

use super::super::conf::Endpoint;
use super::super::lies::Lie;
use super::super::net::{Arguments, Caller, Client, Outcome, Reply, Servant, body};
use super::super::shapes::{
    AdapterConf, PatchInfo, ReportNode, Reported, ServerConf, ServerStateInfo, TaskReq, state,
};
use super::super::template::merged;
use super::Admin;
use super::nodes::{Command, Outcome as Came};
use crate::store::{Change, ServerKey};

/// How long a servant may take to answer a ping (`sync-invoke-timeout` as shipped).
const PING_PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct AdminRegObj(pub(super) Arc<Admin>);

fn returned(value: i32) -> Reply {
    Reply::Body(body(|w| w.put(0, &value)))
}

/// A number, and words under `tag`.
fn with_words(value: i32, tag: u8, words: &str) -> Reply {
    Reply::Body(body(|w| {
        w.put(0, &value);
        w.put(tag, words);
    }))
}

/// Application, server, node.
fn key(arguments: &mut Arguments<'_>) -> Result<ServerKey, tarsops_wire::WireError> {
    Ok(ServerKey {
        application: arguments.get(1)?,
        server: arguments.get(2)?,
        node: arguments.get(3)?,
    })
}

impl AdminRegObj {
    /// A command about a server whose answer is a number and words under `tag`.
    fn command(
        &self,
        caller: &Caller,
        request: &Request,
        function: &str,
        key: &ServerKey,
        more: &[&str],
        tag: u8,
    ) -> Reply {
        let mut words = vec![key.application.as_str(), key.server.as_str()];
        words.extend(more);
        let command = Command {
            node: &key.node,
            function,
            words: &words,
        };
        self.0.forward(caller, request, &command, move |came, w| {
            let (ret, result) = came.plain();
            w.put(0, &ret);
            w.text(tag, &result);
        })
    }

    fn ping(&self, caller: &Caller, request: &Request) -> Outcome {
        let node: String = Arguments::of(request)?.get(1)?;
        let command = Command {
            node: &node,
            function: "ping",
            words: &[],
        };
        let name = node.clone();
        Ok(self.0.forward(caller, request, &command, move |came, w| {
            let (reached, words) = match came {
                // Not connected is a number, which as a bool is true: only the words tell.
                Came::NoConnection => (true, Vec::new()),
                Came::Reported { result, .. } => (true, result),
                Came::TimedOut => (false, Vec::new()),
                Came::NotRegistered(why) => {
                    (false, format!("pingNode '{name}' exception:{why}").into())
                }
            };
            w.put(0, &reached);
            w.text(2, &words);
        }))
    }

    fn shutdown(&self, caller: &Caller, request: &Request) -> Outcome {
        let node: String = Arguments::of(request)?.get(1)?;
        let command = Command {
            node: &node,
            function: "shutdown",
            words: &[],
        };
        let name = node.clone();
        Ok(self.0.forward(caller, request, &command, move |came, w| {
            let (done, words) = match came {
                Came::Reported { result, .. } => (1, result),
                Came::TimedOut => (0, Vec::new()),
                Came::NoConnection => (admin_code::NODE_NO_CONNECTION, Vec::new()),
                Came::NotRegistered(why) => {
                    (-1, format!("shutdownNode '{name}' exception:{why}").into())
                }
            };
            w.put(0, &done);
            w.text(2, &words);
        }))
    }

    fn server_state(&self, caller: &Caller, request: &Request) -> Outcome {
        let key = key(&mut Arguments::of(request)?)?;
        let rows = self.0.done("cannot read servers", self.0.store.servers());
        let row = rows.into_iter().flatten().find(|row| {
            (&row.application, &row.server_name, &row.node_name)
                == (&key.application, &key.server, &key.node)
        });
        let title = format!("{}.{}_{}", key.application, key.server, key.node);
        let Some(row) = row else {
            return Ok(Reply::Body(body(|w| {
                w.put(0, &admin_code::LOAD_DESC);
                w.put(4, &ServerStateDesc::default());
                w.put(5, &format!(" '{title}' no config"));
            })));
        };
        let mut desc = ServerStateDesc {
            setting_state_in_reg: row.setting_state,
            present_state_in_reg: row.present_state,
            patch_version: row.patch_version,
            patch_time: row.patch_time,
            patch_user: row.patch_user,
            ..ServerStateDesc::default()
        };
        let command = Command {
            node: &key.node,
            function: "getStateInfo",
            words: &[&key.application, &key.server],
        };
        Ok(self.0.forward(caller, request, &command, move |came, w| {
            let (ret, words) = match came {
                Came::Reported { ret, result } => {
                    let (info, words) = state_info(&result).unwrap_or_default();
                    desc.process_id = info.pid;
                    desc.present_state_in_node = state::name(info.state).to_owned();
                    (ret, words)
                }
                Came::NotRegistered(why) => (
                    admin_code::NODE_NOT_REGISTERED,
                    format!(
                        "AdminRegistryImp::getServerState '{title}' \
                         TarsNodeNotRegistryException:{why}"
                    ),
                ),
                other => (other.plain().0, String::new()),
            };
            w.put(0, &ret);
            w.put(4, &desc);
            w.put(5, &words);
        }))
    }

    fn patch_percent(&self, caller: &Caller, request: &Request) -> Outcome {
        let key = key(&mut Arguments::of(request)?)?;
        let command = Command {
            node: &key.node,
            function: "getPatchPercent",
            words: &[&key.application, &key.server],
        };
        Ok(self.0.forward(caller, request, &command, move |came, w| {
            let (ret, info) = match came {
                Came::Reported { ret, result } => {
                    let info = Fields::new(&result).and_then(PatchInfo::read_fields);
                    (ret, info.unwrap_or_default())
                }
                other => (other.plain().0, PatchInfo::default()),
            };
            w.put(0, &ret);
            w.put(4, &info);
        }))
    }

    /// The stop and the start are both sent at once, and the first report answers: mostly it is that
    /// of a start which found the server still stopping.
    fn restart(&self, caller: &Caller, request: &Request) -> Outcome {
        let key = key(&mut Arguments::of(request)?)?;
        let stop = self.command(caller, request, "stopServer", &key, &[], 4);
        if !matches!(stop, Reply::Later) {
            return Ok(stop);
        }
        self.0.set(&key, &Change::Setting("active".into()));
        Ok(self.command(caller, request, "startServer", &key, &[], 4))
    }

    fn check(&self, request: &Request) -> Outcome {
        let server: FrameworkServer = Arguments::of(request)?.get(1)?;
        if server.obj_name.is_empty() {
            let came = self.0.ask(&Command {
                node: &server.node_name,
                function: "ping",
                words: &[],
            });
            return Ok(returned(came.plain().0));
        }
        let (name, places) = match server.obj_name.split_once('@') {
            Some((name, list)) => {
                let places = list
                    .split(':')
                    .filter_map(|text| Endpoint::parse(text).ok());
                (name, places.collect())
            }
            None => (
                server.obj_name.as_str(),
                self.0.own.places(&server.obj_name),
            ),
        };
        let answers = places.iter().any(|place| {
            place.address().is_ok_and(|address| {
                Client::connect(address, PING_PATIENCE)
                    .and_then(|mut client| client.call(name, "tars_ping", Vec::new(), &[]))
                    .is_ok()
            })
        });
        Ok(returned(if answers { 0 } else { -1 }))
    }

    fn framework(&self) -> Reply {
        let read = self
            .0
            .store
            .adapters()
            .and_then(|adapters| Ok((adapters, self.0.store.nodes()?)));
        let Some((adapters, nodes)) = self.0.done("cannot read the framework", read) else {
            return Reply::Body(body(|w| {
                w.put(0, &-1);
                w.list(1, 0);
            }));
        };
        let mut servers: Vec<FrameworkServer> = adapters
            .into_iter()
            .filter(|row| row.application == "tars")
            .map(|row| FrameworkServer {
                obj_name: format!("{}@{}", row.servant, row.endpoint),
                server_name: row.server_name,
                node_name: row.node_name,
            })
            .collect();
        servers.extend(nodes.into_iter().map(|row| FrameworkServer {
            server_name: "tarsnode".to_owned(),
            node_name: row.node_name,
            obj_name: row.node_obj,
        }));
        Reply::Body(body(|w| {
            w.put(0, &0);
            w.put(1, &servers);
        }))
    }

    fn node_names(&self) -> Reply {
        // A database that is down is no error here: that is the framework's.
        let rows = self.0.done("cannot read nodes", self.0.store.nodes());
        let mut names: Vec<String> = rows
            .into_iter()
            .flatten()
            .filter(|row| row.present_state == "active")
            .map(|row| row.node_name)
            .collect();
        names.sort();
        Reply::Body(body(|w| {
            w.put(0, &names);
            w.put(1, "");
        }))
    }

    fn node_version(&self, request: &Request) -> Outcome {
        let node: String = Arguments::of(request)?.get(1)?;
        let (ret, version, words) = match self.0.store.nodes() {
            Err(error) => (
                -1,
                String::new(),
                format!("getNodeVersion exception: {error}"),
            ),
            Ok(rows) => match rows.into_iter().find(|row| row.node_name == node) {
                Some(row) => (0, row.tars_version, String::new()),
                None => {
                    let words = format!("node_name({node}) int table t_node_info not exist");
                    (-1, String::new(), words)
                }
            },
        };
        Ok(Reply::Body(body(|w| {
            w.put(0, &ret);
            w.put(2, &version);
            w.put(3, &words);
        })))
    }

    fn server_ids(&self) -> Reply {
        let rows = self.0.done("cannot read servers", self.0.store.servers());
        let ids: Vec<Vec<String>> = rows
            .into_iter()
            .flatten()
            .map(|row| {
                let id = format!("{}.{}_{}", row.application, row.server_name, row.node_name);
                vec![id, row.setting_state, row.present_state, row.server_type]
            })
            .collect();
        Reply::Body(body(|w| {
            w.put(0, &ids);
            w.put(1, "");
        }))
    }

    fn template(&self, request: &Request) -> Outcome {
        let name: String = Arguments::of(request)?.get(1)?;
        let (text, words) = match self.0.store.templates() {
            Ok(rows) => {
                let (section, words) = merged(&rows, &name);
                (section.render_in_order(), words)
            }
            Err(error) => (String::new(), format!("({name}:{error})")),
        };
        Ok(Reply::Body(body(|w| {
            w.put(0, &0);
            w.put(2, &text);
            w.put(3, &words);
        })))
    }

    fn server_template(&self, request: &Request) -> Outcome {
        let key = key(&mut Arguments::of(request)?)?;
        let store = &*self.0.store;
        let found =
            super::super::registry::descriptors(store, &key.application, &key.server, &key.node);
        let found = self.0.done("cannot read servers", found);
        let first = found.into_iter().flatten().next();
        Ok(Reply::Body(body(|w| {
            w.put(0, &if first.is_some() { 0 } else { -1 });
            w.put(4, &first.map(|server| server.profile).unwrap_or_default());
            w.put(5, "");
        })))
    }

    fn has_server(&self, request: &Request) -> Outcome {
        let mut arguments = Arguments::of(request)?;
        let (application, server): (String, String) = (arguments.get(1)?, arguments.get(2)?);
        let rows = self.0.done("cannot read servers", self.0.store.servers());
        let has = rows.as_ref().is_some_and(|rows| {
            rows.iter()
                .any(|row| (&row.application, &row.server_name) == (&application, &server))
        });
        Ok(Reply::Body(body(|w| {
            w.put(0, &if rows.is_some() { 0 } else { -1 });
            w.put(3, &has);
        })))
    }
}

/// What a node reports of a server: the state, and words.
fn state_info(report: &[u8]) -> Option<(ServerStateInfo, String)> {
    let mut fields = Fields::new(report).ok()?;
    let info = tarsops_wire::Decode::decode(fields.find(0).ok()??, 0).ok()?;
    let words = tarsops_wire::Decode::decode(fields.find(1).ok()??, 1).ok()?;
    Some((info, words))
}

impl Servant for AdminRegObj {
    fn call(&self, caller: &Caller, request: &Request) -> Outcome {
        let mut arguments = Arguments::of(request)?;
        let arguments = &mut arguments;
        let admin = &self.0;
        Ok(match request.function.as_str() {
            "reportNode" => {
                admin.nodes.seen(arguments.get(1)?, caller);
                returned(0)
            }
            "deleteNode" => {
                let node: ReportNode = arguments.get(1)?;
                admin.nodes.left(&node);
                returned(0)
            }
            "reportResult" => {
                let fields = Fields::new(&request.arguments.0)?;
                admin.nodes.reported(Reported::read_fields(fields)?);
                returned(0)
            }
            "getVersion" => with_words(0, 1, &admin.own.version),
            "getAllNodeNames" => self.node_names(),
            "getNodeVesion" => return self.node_version(request),
            "getNodeList" => {
                let nodes: Vec<String> = arguments.get(1)?;
                let mut seen: Vec<(String, String)> = nodes
                    .into_iter()
                    .map(|node| (node.clone(), admin.nodes.last_seen(&node)))
                    .collect();
                // A map of the framework: in the order of its keys, each once.
                seen.sort();
                seen.dedup();
                Reply::Body(body(|w| {
                    w.put(0, &0);
                    w.put(2, &Pairs(seen));
                }))
            }
            "getAllServerIds" => self.server_ids(),
            "getServers" => self.framework(),
            "checkServer" => return self.check(request),
            "getClientIp" => with_words(0, 1, &caller.ip()),
            "pingNode" => return self.ping(caller, request),
            "shutdownNode" => return self.shutdown(caller, request),
            "getServerState" => return self.server_state(caller, request),
            "getPatchPercent" => return self.patch_percent(caller, request),
            "getProfileTemplate" => return self.template(request),
            "getServerProfileTemplate" => return self.server_template(request),
            "hasServer" => return self.has_server(request),
            "startServer" => {
                let key = key(arguments)?;
                admin.set(&key, &Change::Setting("active".into()));
                self.command(caller, request, "startServer", &key, &[], 4)
            }
            // The row is set even if nobody can be told.
            "stopServer" => {
                let key = key(arguments)?;
                admin.set(&key, &Change::Setting("inactive".into()));
                self.command(caller, request, "stopServer", &key, &[], 4)
            }
            "restartServer" => return self.restart(caller, request),
            "loadServer" => self.command(caller, request, "loadServer", &key(arguments)?, &[], 4),
            "notifyServer" => {
                let key = key(arguments)?;
                let command: String = arguments.get(4)?;
                self.command(caller, request, "notifyServer", &key, &[&command], 5)
            }
            // The node's report on it cannot be read, and nobody answers.
            "getNodeLoad" => Reply::Later,
            "addTaskReq" => {
                let task: TaskReq = arguments.get(1)?;
                admin.begin(task);
                if admin.own.lies.tells(Lie::TaskUnanswered) {
                    return Ok(Reply::Later);
                }
                returned(if admin.own.lies.tells(Lie::TaskRefused) {
                    -1
                } else {
                    0
                })
            }
            "getTaskRsp" => {
                let task: String = arguments.get(1)?;
                let found = admin.find_task(&task);
                Reply::Body(body(|w| {
                    w.put(0, &if found.is_some() { 0 } else { -1 });
                    w.put(2, &found.unwrap_or_default());
                }))
            }
            "batchPatch" => return Ok(admin.batch_patch(caller, request, arguments.get(1)?)),
            "deletePatchFile" => {
                let of: [String; 3] = [arguments.get(1)?, arguments.get(2)?, arguments.get(3)?];
                returned(admin.delete_file(&of[0], &of[1], &of[2]))
            }
            "undeploy" => {
                let (ret, log) = admin.undeploy(&key(arguments)?);
                with_words(ret, 5, &log)
            }
            "insertServerConf" => {
                let conf: ServerConf = arguments.get(1)?;
                returned(admin.insert_server(conf, arguments.get(2)?))
            }
            "insertAdapterConf" => {
                let of = [arguments.get(1)?, arguments.get(2)?, arguments.get(3)?];
                let conf: AdapterConf = arguments.get(4)?;
                returned(admin.insert_adapter(of, conf, arguments.get(5)?))
            }
            _ => Reply::NoFunction,
        })
    }

    fn closed(&self, caller: &Caller) {
        self.0.nodes.closed(caller);
    }
}
