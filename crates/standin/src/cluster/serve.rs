//! The process behind an embedded cluster: SSH for every host, cron for every host.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::procs::Process;
use super::{
    Cluster, ClusterError, FACTS, Facts, HostFacts, HostState, PID, STATES_SEEN, States, at, cron,
    database,
};
use crate::ssh_server::{Listener, ServerLog, SshHost, SshServer};

/// How often the server looks whether somebody wants a host changed.
const LOOK: Duration = Duration::from_millis(50);

/// Serve the cluster in the folder `dir` until SIGTERM, or until the folder is removed. This is what
/// the program that [`super::Options::exe`] names must call when started with
/// [`super::Options::serve_args`]; it blocks.
///
/// # Errors
/// When the folder holds no cluster or an address is taken. The error is in the log, too.
pub fn serve(dir: &Path) -> Result<(), ClusterError> {
    let cluster = Cluster::open(dir)?;
    // Out of the terminal's session: it outlives the command that started it.
    let _ = rustix::process::setsid();
    let log = ServerLog::open(&cluster.facts.log)?;
    let outcome = database::start(&cluster).and_then(|_database| serve_in_runtime(&cluster, &log));
    if let Err(error) = &outcome {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        // The last line is what is told.
        log.write("server", &format!("error: {}", text.replace('\n', " ")));
    }
    outcome
}

fn serve_in_runtime(cluster: &Cluster, log: &ServerLog) -> Result<(), ClusterError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(at(&cluster.dir))
        .and_then(|runtime| {
            let outcome = runtime.block_on(serve_all(cluster, log));
            // Commands that still run are not waited for.
            runtime.shutdown_background();
            outcome
        })
}

/// One host as the server steers it.
struct Steered<'a> {
    host: &'a HostFacts,
    state: HostState,
    wanted: watch::Sender<Listener>,
    acted: watch::Receiver<Listener>,
}

async fn serve_all(cluster: &Cluster, log: &ServerLog) -> Result<(), ClusterError> {
    let facts = &cluster.facts;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(at(&cluster.dir))?;
    let mut steered = Vec::with_capacity(facts.hosts.len());
    let mut hosts = Vec::with_capacity(facts.hosts.len());
    for host in &facts.hosts {
        let (wanted, listener) = watch::channel(Listener::Open);
        let (acting, acted) = watch::channel(Listener::Open);
        hosts.push(SshHost {
            name: host.name.clone(),
            listen: host.ssh_address(),
            host_key: host.host_key.clone(),
            home: host.home.clone(),
            environment: host.environment(facts),
            listener,
            acted: acting,
        });
        steered.push(Steered {
            host,
            state: HostState::Up,
            wanted,
            acted,
        });
    }
    let identity = facts.identity.with_extension("pub");
    let server = SshServer::bind(hosts, &facts.user, &identity, log.clone()).await?;
    write_pid(cluster)?;
    log.write("server", "ready");

    let mut cron_due = tokio::time::interval(Duration::from_millis(facts.cron_ms.max(100)));
    cron_due.tick().await;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut generation = None;

    let serving = tokio::spawn(server.run());
    loop {
        tokio::select! {
            _ = terminate.recv() => {
                log.write("server", "stopped");
                break;
            }
            _ = cron_due.tick() => {
                for steered in steered.iter().filter(|steered| steered.state != HostState::Off) {
                    run_cron(steered.host, facts, log);
                }
            }
            _ = look.tick() => {
                // Whoever removes the folder by hand must not leave a server behind.
                if !cluster.dir.join(FACTS).exists() {
                    break;
                }
                let states = cluster.read_states();
                if generation != Some(states.generation) {
                    steer(&states, &mut steered).await;
                    generation = Some(states.generation);
                    let seen = cluster.dir.join(STATES_SEEN);
                    fs::write(&seen, format!("{}\n", states.generation)).map_err(at(&seen))?;
                }
            }
        }
    }
    serving.abort();
    Ok(())
}

/// Say who serves, in one rename: whoever reads it never sees half of it.
fn write_pid(cluster: &Cluster) -> Result<(), ClusterError> {
    let path = cluster.dir.join(PID);
    let fresh = path.with_extension("new");
    let own = i32::try_from(std::process::id())
        .ok()
        .and_then(Process::find)
        .ok_or_else(|| at(Path::new("/proc/self/stat"))(io::ErrorKind::NotFound.into()))?;
    fs::write(&fresh, format!("{} {}\n", own.pid, own.started))
        .and_then(|()| fs::rename(&fresh, &path))
        .map_err(at(&path))
}

/// Bring every host into its state; returns when the listeners behave so.
async fn steer(states: &States, hosts: &mut [Steered<'_>]) {
    for steered in hosts {
        steered.state = states
            .hosts
            .get(&steered.host.name)
            .copied()
            .unwrap_or_default();
        let wanted = match steered.state {
            HostState::Up => Listener::Open,
            HostState::Refusing | HostState::Off => Listener::Closed,
            HostState::Frozen => Listener::Frozen,
        };
        if *steered.wanted.borrow() != wanted {
            steered.wanted.send_replace(wanted);
            // An address that was taken meanwhile is tried again for ever: do not wait so long.
            let acted = steered.acted.wait_for(|acted| *acted == wanted);
            let _ = tokio::time::timeout(Duration::from_secs(5), acted).await;
        }
    }
}

fn run_cron(host: &HostFacts, facts: &Facts, log: &ServerLog) {
    let Ok(table) = fs::read_to_string(&host.crontab) else {
        return;
    };
    for entry in cron::entries(&table) {
        if let Err(error) =
            cron::start(&entry, &host.environment(facts), &host.home, &host.cron_log)
        {
            log.write(
                &host.name,
                &format!("error: cron cannot start a line: {error}"),
            );
        }
    }
}
