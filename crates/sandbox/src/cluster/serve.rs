//! The process behind an embedded cluster: SSH for every host, cron for every host.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::procs::Process;
use super::{
    Cluster, ClusterError, FACTS, HostFacts, HostState, PID, STATES_SEEN, States, at, cron,
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
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(at(dir))
        .and_then(|runtime| {
            let outcome = runtime.block_on(serve_all(&cluster, &log));
            // Commands that still run are not waited for.
            runtime.shutdown_background();
            outcome
        });
    if let Err(error) = &outcome {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            text.push_str(": ");
            text.push_str(&next.to_string());
            cause = next.source();
        }
        log.write("server", &format!("error: {text}"));
    }
    outcome
}

async fn serve_all(cluster: &Cluster, log: &ServerLog) -> Result<(), ClusterError> {
    let facts = &cluster.facts;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(at(&cluster.dir))?;
    let mut states = Vec::with_capacity(facts.hosts.len());
    let mut hosts = Vec::with_capacity(facts.hosts.len());
    for host in &facts.hosts {
        let (sender, _) = watch::channel(HostState::Up);
        let (listener_sender, listener) = watch::channel(Listener::Open);
        hosts.push(SshHost {
            name: host.name.clone(),
            listen: host.ssh_address(),
            host_key: host.host_key.clone(),
            home: host.home.clone(),
            environment: host.environment(&facts.user),
            listener,
        });
        states.push((host, sender, listener_sender));
    }
    let identity = facts.identity.with_extension("pub");
    let server = SshServer::bind(hosts, &facts.user, &identity, log.clone()).await?;

    let pid = cluster.dir.join(PID);
    let own = i32::try_from(std::process::id())
        .ok()
        .and_then(Process::find);
    if let Some(own) = own {
        let fresh = pid.with_extension("new");
        fs::write(&fresh, format!("{} {}\n", own.pid, own.started))
            .and_then(|()| fs::rename(&fresh, &pid))
            .map_err(at(&pid))?;
    }
    log.write("server", "ready");

    let period = Duration::from_millis(facts.cron_ms.max(100));
    let mut next_cron = tokio::time::interval(period);
    next_cron.tick().await;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut generation = None;

    let serving = server.run();
    tokio::pin!(serving);
    loop {
        tokio::select! {
            () = &mut serving => return Ok(()),
            _ = terminate.recv() => {
                log.write("server", "stopped");
                return Ok(());
            }
            _ = next_cron.tick() => {
                for (host, state, _) in &states {
                    if *state.borrow() != HostState::Off {
                        run_cron(host, &facts.user, log);
                    }
                }
            }
            _ = look.tick() => {
                if !cluster.dir.join(FACTS).exists() {
                    return Ok(());
                }
                let wanted = cluster.read_states();
                if generation != Some(wanted.generation) {
                    apply(&wanted, &states);
                    generation = Some(wanted.generation);
                    // The listeners act on their own tasks; give them a moment before saying so.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let seen = cluster.dir.join(STATES_SEEN);
                    fs::write(&seen, format!("{}\n", wanted.generation)).map_err(at(&seen))?;
                }
            }
        }
    }
}

fn apply(
    wanted: &States,
    states: &[(
        &HostFacts,
        watch::Sender<HostState>,
        watch::Sender<Listener>,
    )],
) {
    for (host, state, listener) in states {
        let now = wanted.hosts.get(&host.name).copied().unwrap_or_default();
        state.send_replace(now);
        listener.send_replace(match now {
            HostState::Up => Listener::Open,
            HostState::Refusing | HostState::Off => Listener::Closed,
            HostState::Frozen => Listener::Frozen,
        });
    }
}

fn run_cron(host: &HostFacts, user: &str, log: &ServerLog) {
    let Ok(table) = fs::read_to_string(&host.crontab) else {
        return;
    };
    for entry in cron::entries(&table) {
        if let Err(error) = cron::start(&entry, &host.environment(user), &host.home, &host.cron_log)
        {
            log.write(
                &host.name,
                &format!("error: cron cannot start a line: {error}"),
            );
        }
    }
}
