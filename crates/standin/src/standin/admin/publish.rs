//! Publishing (TarsFramework `AdminRegistryServer/AdminRegistryImp.cpp`, `batchPatch`, and
//! `ExecuteTask.cpp`, `patch`): tarspatch prepares the package that a row of `t_server_patchs` names,
//! the node is told, and then asked how far it is.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tarsops_wire::Fields;
use tarsops_wire::interface::{admin_code, field};
use tarsops_wire::packet::Request;

use super::super::net::{Caller, Client, Reply, body};
use super::super::notify::{self, NOTIFY};
use super::super::patch::PATCH;
use super::super::shapes::{PatchInfo, PatchRequest, TaskItemReq};
use super::Admin;
use super::nodes::{Command, Outcome};
use crate::store::{PatchRow, ServerKey};

/// No such package (`EM_TARS_GET_PATCH_FILE_ERR`).
const NO_PACKAGE: i32 = 1009;
/// tarspatch did not prepare it (`EM_TARS_PREPARE_ERR`).
const NOT_PREPARED: i32 = 1010;
/// How long tarspatch may take (`batchpatch_node_timeout` as shipped).
const PREPARING: Duration = Duration::from_secs(10);
/// How long a node may take to publish (`patch_wait_timeout` as shipped).
const PUBLISHING: Duration = Duration::from_secs(300);

/// A parameter of an item; empty where there is none.
pub(super) fn parameter<'a>(item: &'a TaskItemReq, name: &str) -> &'a str {
    item.parameters.get(name).map_or("", String::as_str)
}

/// The server whose package it is: another one where the server belongs to a group.
fn source<'a>(group: &'a str, server: &'a str) -> &'a str {
    if group.is_empty() { server } else { group }
}

impl Admin {
    /// Tells tarsnotify, and waits for nothing.
    fn report(&self, key: &ServerKey, words: &str) {
        let places = self.own.places(NOTIFY);
        let places: Vec<SocketAddr> = places.iter().filter_map(|at| at.address().ok()).collect();
        let (key, words) = (key.clone(), words.to_owned());
        thread::spawn(move || {
            let of = [
                key.application.as_str(),
                key.server.as_str(),
                key.node.as_str(),
            ];
            notify::report(&places, of, &words);
        });
    }

    fn package(&self, id: &str) -> Option<PatchRow> {
        self.done("cannot read a package", self.store.patch(id))
            .flatten()
    }

    /// Has tarspatch put the file where nodes take it from.
    fn prepare(&self, application: &str, server: &str, file: &str) -> Result<(), String> {
        let failed = |why: String| Err(format!("tarspatch preparePatchFile error:{why}"));
        // One that the registry has as inactive is as good as none: what is known of it is stale.
        let place = self.own.places(PATCH).into_iter().next();
        let arguments = body(|w| {
            w.put(1, application);
            w.put(2, server);
            w.put(3, file);
        });
        let address = match &place {
            Some(place) => place.address().map_err(std::io::Error::other),
            None => Err(std::io::Error::other("nobody is there")),
        };
        let called = address
            .and_then(|address| Client::connect(address, PREPARING))
            .and_then(|mut client| client.call(PATCH, "preparePatchFile", arguments, &[]));
        let Ok(answer) = called else {
            let adapter = place.map_or(String::new(), |place| format!("adapter:{place} -t 60000,"));
            return failed(format!(
                "[ServantProxy::invoke errno:-7,info:,servant:{PATCH},func:preparePatchFile,\
                 {adapter}reqid:1]"
            ));
        };
        match field::<i32>(&answer, 0) {
            Ok(Some(0)) => Ok(()),
            _ => failed(field(&answer, 4).ok().flatten().unwrap_or_default()),
        }
    }

    /// `deletePatchFile`: has tarspatch delete an upload.
    pub(super) fn delete_file(&self, application: &str, server: &str, file: &str) -> i32 {
        let arguments = body(|w| {
            w.put(1, application);
            w.put(2, server);
            w.put(3, file);
        });
        let place = self.own.places(PATCH).into_iter().next();
        let address = place.and_then(|place| place.address().ok());
        let answer = address.and_then(|address| {
            let mut client = Client::connect(address, PREPARING).ok()?;
            client.call(PATCH, "deletePatchFile", arguments, &[]).ok()
        });
        let ret = answer.and_then(|answer| field::<i32>(&answer, 0).ok().flatten());
        ret.unwrap_or(-1)
    }

    /// `batchPatch`: answers as soon as the node has taken the command; nothing is restarted.
    pub(super) fn batch_patch(
        &self,
        caller: &Caller,
        request: &Request,
        mut patch: PatchRequest,
    ) -> Reply {
        let answer = |ret: i32, words: &str| {
            Reply::Body(body(|w| {
                w.put(0, &ret);
                w.put(2, words);
            }))
        };
        let key = ServerKey::new(&patch.application, &patch.server, &patch.node);
        let Some(row) = self.package(&patch.version) else {
            let words = format!("get patch tgz error:{}", patch.version);
            self.report(&key, &words);
            return answer(NO_PACKAGE, &words);
        };
        let server = source(&patch.group, &patch.server);
        if let Err(words) = self.prepare(&patch.application, server, &row.tgz) {
            self.report(&key, &format!("prepare patch file error:{words}"));
            return answer(NOT_PREPARED, &words);
        }
        patch.md5 = row.md5;
        patch.patch_object = PATCH.to_owned();
        let to = (key.node.as_str(), "patchPro");
        let fill = |w: &mut tarsops_wire::Writer| w.put(3, &patch);
        self.forward_with(caller, request, to, &fill, |came, w| {
            let (ret, words) = match came {
                Outcome::NotRegistered(words) => {
                    (admin_code::NODE_NOT_REGISTERED, words.into_bytes())
                }
                other => other.plain(),
            };
            w.put(0, &ret);
            w.text(2, &words);
        })
    }

    /// Before a task: every package is looked up and prepared, each once. An error is that of the item
    /// with this index, or of all.
    pub(super) fn prepare_all(
        &self,
        items: &mut [TaskItemReq],
    ) -> Result<(), (Option<usize>, String)> {
        let mut wanted: Vec<[String; 3]> = Vec::new();
        for (index, item) in items.iter_mut().enumerate() {
            if !item.command.contains("patch") {
                continue;
            }
            let id = parameter(item, "patch_id").to_owned();
            let Some(row) = self.package(&id) else {
                let words = format!("load patch info from database error, patchId:{id}");
                return Err((Some(index), words));
            };
            let group = parameter(item, "group_name");
            let server = source(group, &item.server).to_owned();
            item.parameters.0.retain(|(key, _)| key != "md5");
            item.parameters.0.push(("md5".to_owned(), row.md5));
            let file = [item.application.clone(), server, row.tgz];
            if !wanted.contains(&file) {
                wanted.push(file);
            }
        }
        for [application, server, file] in wanted {
            self.prepare(&application, &server, &file)
                .map_err(|words| (None, words))?;
        }
        Ok(())
    }

    /// Publishes one item and waits for its end; `percent` hears how far it is.
    pub(super) fn patch_and_wait(
        &self,
        item: &TaskItemReq,
        percent: impl Fn(i32),
    ) -> (i32, String) {
        let key = ServerKey::new(&item.application, &item.server, &item.node);
        let id = parameter(item, "patch_id");
        let request = PatchRequest {
            application: key.application.clone(),
            server: key.server.clone(),
            node: key.node.clone(),
            group: parameter(item, "group_name").to_owned(),
            version: id.to_owned(),
            user: item.user.clone(),
            kind: "tars_cpp".to_owned(),
            patch_object: PATCH.to_owned(),
            md5: parameter(item, "md5").to_owned(),
            ..PatchRequest::default()
        };
        let came = self.ask_with(&key.node, "patchPro", &|w| w.put(3, &request));
        let refused = match came {
            Outcome::Reported { ret: 0, .. } => None,
            Outcome::NotRegistered(words) => Some((admin_code::NODE_NOT_REGISTERED, words)),
            // Nobody waits for an answer, and that is where the real one stumbles.
            Outcome::NoConnection => Some((
                admin_code::NODE_NOT_REGISTERED,
                "autoptr null handle error![N4tars7CurrentE]".to_owned(),
            )),
            other => {
                let (ret, words) = other.plain();
                Some((ret, String::from_utf8_lossy(&words).into_owned()))
            }
        };
        if let Some((ret, why)) = refused {
            self.report(&key, &format!("patch:{why}"));
            let words = format!("tarsAdminRegistry batchPatch error, ret:{ret}, info:{why}");
            return (ret, words);
        }
        let deadline = Instant::now() + PUBLISHING;
        let words = [key.application.as_str(), key.server.as_str()];
        while Instant::now() < deadline {
            let came = self.ask(&Command {
                node: &key.node,
                function: "getPatchPercent",
                words: &words,
            });
            let (ret, result) = came.plain();
            let info = Fields::new(&result).and_then(PatchInfo::read_fields);
            let info = info.unwrap_or_default();
            percent(if ret == 0 { info.percent } else { 0 });
            let done = ret == 0 && info.percent == 100 && info.success;
            if ret != 0 || done {
                // As published counts what failed, too.
                let noted = self.store.published(id, &item.user);
                self.done("cannot note a publication", noted);
                if done {
                    return (0, String::new());
                }
                let words = format!("getPatchPercent {} error, iRet:{ret}", key.node);
                return (ret, words);
            }
            thread::sleep(self.own.timings.patch);
        }
        (-1, String::new())
    }
}
