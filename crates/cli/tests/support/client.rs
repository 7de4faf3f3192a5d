//! An application that looks objects up, all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tarsops_testkit::Network;
use tarsops_transport::rpc::{Call, Route, RpcClient};
use tarsops_wire::interface::{EndpointF, QUERY, field, forward, texts};

/// A client as an application is one: both registries, one retry, an empty answer is a failure.
pub struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Asked>,
}

/// What came of it.
#[derive(Default)]
pub struct Asked {
    pub count: usize,
    pub failed: Vec<String>,
}

impl Client {
    /// Asks 50 times a second.
    pub fn start(registries: [String; 2]) -> Self {
        Self::with(move |stop| ask(&registries, stop))
    }

    /// As [`Client::start`], from the control side of a network.
    pub fn start_in(network: &Arc<Network>, registries: [String; 2]) -> Self {
        let network = Arc::clone(network);
        Self::with(move |stop| network.inside(|| ask(&registries, stop)).unwrap())
    }

    fn with(work: impl FnOnce(&AtomicBool) -> Asked + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::spawn(move || work(&seen));
        Self { stop, thread }
    }

    /// How often it asked, and what failed.
    pub fn stop(self) -> Asked {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Asked {
    /// How often it asked; every time it was answered.
    #[track_caller]
    pub fn all_answered(&self) -> usize {
        let Self { count, failed } = self;
        assert!(failed.is_empty(), "{} of {count}: {failed:?}", failed.len());
        *count
    }
}

fn ask(registries: &[String; 2], stop: &AtomicBool) -> Asked {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = |at: &String| RpcClient::new(at.parse().unwrap(), Route::Direct);
        let clients = registries.each_ref().map(client);
        let mut asked = Asked::default();
        while !stop.load(Ordering::SeqCst) {
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
