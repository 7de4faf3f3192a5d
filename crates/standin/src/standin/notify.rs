//! The stand-in of tarsnotify: what others report stands in `t_server_notifys` (TarsFramework
//! `NotifyServer/NotifyImp.cpp`). That is where the reason of a failed publication is found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tarsops_wire::packet::Request;

use super::log::chain;
use super::net::{Arguments, Caller, Client, Outcome, Reply, Servant, body};
use super::own::{Named, Own};
use super::shapes::ReportInfo;
use crate::store::{NoticeRow, Store};

/// Its object.
pub(super) const NOTIFY: &str = "tars.tarsnotify.NotifyObj";
/// How long a report may take; nothing depends on it.
const PATIENCE: Duration = Duration::from_secs(1);

struct NotifyObj {
    own: Own,
    store: Option<Arc<dyn Store>>,
}

/// The servant.
pub(super) fn servants(own: Own, store: Option<Arc<dyn Store>>) -> Vec<Named> {
    let servant: Arc<dyn Servant> = Arc::new(NotifyObj { own, store });
    vec![(NOTIFY.to_owned(), servant)]
}

fn level(number: i32) -> &'static str {
    match number {
        1 => "[warn]",
        2 => "[error]",
        3 => "[alarm]",
        _ => "[normal]",
    }
}

impl NotifyObj {
    fn keep(&self, info: ReportInfo) {
        let node = info.node;
        let row = NoticeRow {
            server_id: format!("{}.{}_{node}", info.application, info.server),
            application: info.application,
            server_name: info.server,
            node_name: node,
            thread_id: info.thread,
            command: level(info.level).to_owned(),
            result: info.message,
            notifytime: crate::clock::local_time(),
        };
        if let Some(store) = &self.store
            && let Err(error) = store.add_notice(&row)
        {
            let why = chain(&error);
            self.own
                .log
                .write(&format!("ERROR|cannot keep a report: {why}"));
        }
    }
}

impl Servant for NotifyObj {
    fn call(&self, _caller: &Caller, request: &Request) -> Outcome {
        Ok(match request.function.as_str() {
            "reportNotifyInfo" => {
                self.keep(Arguments::of(request)?.get(1)?);
                Reply::Body(Vec::new())
            }
            _ => Reply::NoFunction,
        })
    }
}

/// Reports something about a server to the first tarsnotify that takes it. That none does is no matter.
pub(super) fn report(places: &[SocketAddr], [application, server, node]: [&str; 3], words: &str) {
    let info = ReportInfo {
        application: application.to_owned(),
        server: server.to_owned(),
        node: node.to_owned(),
        message: words.to_owned(),
        ..ReportInfo::default()
    };
    let arguments = body(|w| w.put(1, &info));
    for place in places {
        let called = Client::connect(*place, PATIENCE)
            .and_then(|mut client| client.call(NOTIFY, "reportNotifyInfo", arguments.clone(), &[]));
        if called.is_ok() {
            break;
        }
    }
}
