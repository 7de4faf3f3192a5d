//! An application that looks objects up, all the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tarsops_testkit::Network;
use tarsops_transport::rpc::{Call, Route, RpcClient};
use tarsops_wire::interface::{EndpointF, QUERY, field, forward, texts};

/// A client as an application is one: both registries, one retry, an empty answer is a failure.
pub(crate) struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Asked>,
}

/// What it was told.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) count: usize,
    pub(crate) failed: Vec<String>,
}

impl Client {
    /// Asks 50 times a second from the control side of a network.
    pub(crate) fn start(network: &Arc<Network>, registries: [SocketAddr; 2]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, network) = (Arc::clone(&stop), Arc::clone(network));
        let thread = std::thread::spawn(move || network.inside(|| ask(registries, &told)).unwrap());
        Self { stop, thread }
    }

    /// How often it asked, and what failed.
    pub(crate) fn stop(self) -> Asked {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

fn ask(registries: [SocketAddr; 2], told: &AtomicBool) -> Asked {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clients =
            registries.map(|at| RpcClient::new(at.to_string().parse().unwrap(), Route::Direct));
        let mut asked = Asked::default();
        while !told.load(Ordering::SeqCst) {
            let mut why = None;
            for attempt in 0..2 {
                why = once(&clients[(asked.count + attempt) % 2]).await.err();
                if why.is_none() {
                    break;
                }
            }
            asked.failed.extend(why);
            asked.count += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        asked
    })
}

async fn once(client: &RpcClient) -> Result<(), String> {
    let call = Call {
        servant: QUERY,
        function: "findObjectById",
        arguments: texts(&["tars.tarsconfig.ConfigObj"]),
        context: forward(),
        deadline: Duration::from_secs(1),
        repeatable: true,
    };
    let answer = client.call(&call).await.map_err(|e| e.to_string())?;
    match field::<Vec<EndpointF>>(&answer, 0) {
        Ok(Some(found)) if !found.is_empty() => Ok(()),
        found => Err(format!("nothing was found: {found:?}")),
    }
}
