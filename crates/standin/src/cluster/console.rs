//! The console on the framework's first host: a process of its own, which goes down with the cluster.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Cluster, ClusterError, PATIENCE, at, procs};
use crate::console::{NAME, Options};
use crate::standin;

/// The real one's port.
const PORT: u16 = 3000;
/// Ends nothing but the console, and leaves it to itself: whoever asks is gone before it is.
const STARTER: &str = r#""$1" --config="$2" </dev/null >>"$3" 2>&1 &"#;

/// The console that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleFacts {
    /// Its address for a client.
    pub url: String,
    /// The ticket that it takes.
    pub ticket: String,
    /// Its folder, `<install path>/web`, where `lies` may lie (see [`crate::standin::lies`]).
    pub folder: PathBuf,
    /// Where packages go; tarspatch looks there, unless the options said otherwise.
    pub uploads: PathBuf,
}

impl Cluster {
    /// Start the console on the framework's first host, port 3000, in a process of its own; one that
    /// runs there is ended before. Its tables must be in MySQL. Its options may be `change`d: `listen`,
    /// `uploads`, `ticket` and the rest.
    ///
    /// # Errors
    /// When there is no framework, or the console does not start.
    pub fn start_console(
        &self,
        change: impl FnOnce(&mut Options),
    ) -> Result<ConsoleFacts, ClusterError> {
        let framework = self
            .facts
            .framework
            .as_ref()
            .ok_or_else(|| ClusterError::NoHost("with a framework".to_owned()))?;
        let host = self.host(&framework.host)?;
        let folder = host.install_path.join("web");
        let uploads = host.install_path.join("patchs/tars.upload");
        let mut options = Options::new(
            framework.database.clone(),
            framework.admin,
            &uploads,
            &folder,
        );
        options.listen = SocketAddr::new(IpAddr::V4(host.ip), PORT);
        change(&mut options);

        let (binary, config, log) = (
            folder.join("bin").join(NAME),
            folder.join("config.json"),
            folder.join("log"),
        );
        end(&folder, &binary);
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        // Every stand-in is a copy of the multi-call program.
        let program = host
            .install_path
            .join("tars/tarsAdminRegistry/bin/tarsAdminRegistry");
        let made = standin::read_identity(&program).and_then(|identity| {
            let identity =
                identity.unwrap_or_else(|| standin::Identity::new("", standin::Behaviour::Healthy));
            standin::make(&program, &binary, &identity)
        });
        made.map_err(|error| ClusterError::Framework(error.into()))?;
        let failed = |last: String| ClusterError::Component {
            component: NAME,
            log: log.clone(),
            last,
        };
        options
            .write(&config)
            .map_err(|error| failed(error.to_string()))?;
        Command::new("sh")
            .args(["-c", STARTER, "sh"])
            .args([&binary, &config, &log])
            .env_clear()
            .envs(host.environment(&self.facts))
            .current_dir(&host.home)
            .stdin(Stdio::null())
            .status()
            .map_err(at(&binary))?;
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Instant::now();
        while TcpStream::connect_timeout(&options.listen, Duration::from_secs(1)).is_err() {
            if !running(&folder, &binary).is_empty() {
                seen = Instant::now();
            }
            if Instant::now() > deadline || seen.elapsed() > super::framework::GONE {
                let text = fs::read_to_string(&log).unwrap_or_default();
                return Err(failed(
                    text.lines().next_back().unwrap_or("(nothing)").to_owned(),
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(ConsoleFacts {
            url: format!("http://{}", options.listen),
            ticket: options.ticket,
            folder: options.folder,
            uploads: options.uploads,
        })
    }

    /// End the console that [`Self::start_console`] has started, if it runs.
    ///
    /// # Errors
    /// When there is no framework.
    pub fn stop_console(&self) -> Result<(), ClusterError> {
        if let Some(framework) = &self.facts.framework {
            let folder = self.host(&framework.host)?.install_path.join("web");
            end(&folder, &folder.join("bin").join(NAME));
        }
        Ok(())
    }
}

fn running(folder: &Path, binary: &Path) -> Vec<procs::Process> {
    let is = |pid: i32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        // A copy that was replaced is another file by the same name.
        exe == binary || exe.to_string_lossy() == format!("{} (deleted)", binary.display())
    };
    procs::inside(folder)
        .into_iter()
        .filter(|process| is(process.pid))
        .collect()
}

fn end(folder: &Path, binary: &Path) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = running(folder, binary);
        if found.is_empty() || Instant::now() > deadline {
            break;
        }
        found
            .iter()
            .for_each(|process| process.signal(Signal::TERM));
        std::thread::sleep(Duration::from_millis(10));
    }
}
