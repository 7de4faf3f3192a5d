//! What commands share: the spec, the lock file, the way to the hosts, one look at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tarsops_framework::{Client, Questions, Ways};
use tarsops_model::desired::{Desired, Rpc, SecretRef};
use tarsops_model::display::Text;
use tarsops_model::framework::FrameworkFacts;
use tarsops_model::host::NodeState;
use tarsops_model::names::{NodeName, RunId};
use tarsops_model::observed::Observed;
use tarsops_plan::render::Style;
use tarsops_plan::{Plan, PlanInput, Scope, checker, make_plan};
use tarsops_probe::{Options, Report};
use tarsops_spec::{Base, Diagnostics, Parsed};
use tarsops_transport::Connect;
use tarsops_transport::console::Console;
use tarsops_transport::mysql::{Access, KnownServers, Secret};
use tarsops_transport::rpc::Way;
use tarsops_transport::ssh::{self, NewHostKeys, SshConnector};

use crate::args::{Color, Global, Look};
use crate::exit;
use crate::failure::{Failure, Result};
use crate::output;
pub use crate::output::{print, publish, say};
use crate::packages::Store;
use crate::preflight;
use crate::progress::Bar;
use crate::{secrets, ssh_files};

/// How long the management platform may take for one answer in a look.
const CONSOLE: Duration = Duration::from_secs(8);

/// A spec that was read and found right.
pub struct Loaded {
    /// Its document, for messages that point into it.
    pub parsed: Parsed,
    /// What it wants.
    pub desired: Desired,
    /// Its folder.
    pub dir: PathBuf,
    /// What may not be meant so.
    pub warnings: Diagnostics,
}

/// Whether to colour text that goes to `terminal`.
pub fn colored(global: &Global, terminal: bool) -> bool {
    match global.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}

/// How plans are printed.
pub fn style(global: &Global) -> Style {
    Style {
        verbose: global.verbose > 0,
        color: colored(global, output::is_terminal()),
    }
}

/// Reads the spec.
pub fn load(global: &Global) -> Result<Loaded> {
    let path = &global.file;
    let text = std::fs::read_to_string(path).map_err(|e| {
        let failure = Failure::new(format!("could not read the spec {}", path.display()));
        failure.because(&e).hint(match e.kind() {
            std::io::ErrorKind::NotFound => {
                "name it with -f or TARSOPS_SPEC, or write one with `tarsops init`"
            }
            std::io::ErrorKind::InvalidData => "the spec must be UTF-8 text",
            _ => "name a file that you may read with -f or TARSOPS_SPEC",
        })
    })?;
    let absolute = std::path::absolute(path)
        .map_err(|e| Failure::new(format!("could not resolve {}", path.display())).because(&e))?;
    let dir = absolute.parent().map(Path::to_path_buf).unwrap_or_default();
    let base = Base {
        dir: dir.clone(),
        home: std::env::home_dir(),
    };
    let color = colored(global, output::is_progress_terminal());
    let parsed = tarsops_spec::parse(&text, &path.display().to_string())
        .map_err(|d| Failure::invalid(&d, color))?;
    let (desired, warnings) = parsed
        .lower(&base)
        .map_err(|d| Failure::invalid(&d, color))?;
    Ok(Loaded {
        parsed,
        desired,
        dir,
        warnings,
    })
}

/// Everything that a command needs which looks at hosts.
pub struct Context {
    /// The spec.
    pub loaded: Loaded,
    /// Packages and the lock file.
    pub store: Store,
    /// The way to the hosts.
    pub connector: Arc<SshConnector>,
    /// What of the cluster is meant.
    pub scope: Scope,
    /// Whether digests are read anew.
    pub rehash: bool,
    /// How long one host may take.
    pub timeout: Duration,
    /// Whether programs that hand out secrets may run.
    pub allow_commands: bool,
    /// Whether the installer's default login is tried at the database.
    pub try_default_login: bool,
    /// Whether running servers are asked for their library's version.
    pub ask_libraries: bool,
    /// Secrets of the spec, each read once.
    password: Secrecy,
    ticket: Secrecy,
}

/// A secret that is read when it is first needed; one clause where it cannot be read.
type Secrecy = tokio::sync::OnceCell<std::result::Result<Secret, String>>;

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Context {
    /// Reads spec and lock file, and prepares the way to the hosts.
    pub fn open(global: &Global, look: &Look) -> Result<Self> {
        Self::opened(global, load(global)?, look)
    }

    /// As [`Context::open`], with a spec that was read already.
    pub fn opened(global: &Global, loaded: Loaded, look: &Look) -> Result<Self> {
        if !loaded.warnings.is_empty() && global.verbose > 0 {
            let color = colored(global, output::is_progress_terminal());
            say(Text::with_colours(&loaded.warnings.render(color)).trim_end());
        }
        let store = Store::open(&global.file, &loaded)?;
        Self::with(loaded, store, look)
    }

    /// As [`Context::open`], with a spec and packages that were read already.
    pub fn with(loaded: Loaded, store: Store, look: &Look) -> Result<Self> {
        let mut scope = Scope::parse(&look.on, &loaded.desired).map_err(|e| {
            Failure::new("could not understand --on")
                .because(&e)
                .code(exit::USAGE)
        })?;
        scope.without_console = look.without_console;
        let new_keys = if look.accept_new_host_keys {
            NewHostKeys::Accept
        } else {
            NewHostKeys::Refuse
        };
        ssh_files::are_there(&loaded, new_keys)?;
        harmless_ssh_config(&loaded.desired, look.allow_commands)?;
        let connector = SshConnector::new(loaded.desired.access.clone(), new_keys)
            .map_err(|e| Failure::new("could not prepare SSH").because(&e))?
            .hiding(secrets::variables(&loaded.desired));
        Ok(Self {
            loaded,
            store,
            connector: Arc::new(connector),
            scope,
            rehash: look.rehash,
            timeout: Duration::from_secs(look.timeout),
            allow_commands: look.allow_commands,
            try_default_login: false,
            ask_libraries: false,
            password: Secrecy::new(),
            ticket: Secrecy::new(),
        })
    }

    /// Checks that this machine has what the spec needs of it: programs, key files and secrets. To be
    /// called before the first look.
    ///
    /// # Errors
    /// What is missing (exit code 1); no host, database or platform was contacted.
    pub async fn ready(&self) -> Result<()> {
        let desired = self.desired();
        preflight::check_machine(desired)?;
        if let (Some(database), Some(Err(why))) = (desired.database(), self.password().await) {
            let what = "the password of the database";
            return Err(preflight::without_secret(what, &database.password, why));
        }
        if let (Some(web), Some(Err(why))) = (desired.web(), self.ticket().await) {
            let what = "the ticket of the console";
            return Err(preflight::without_secret(what, &web.ticket, why));
        }
        Ok(())
    }

    /// The password of the database; none if the spec names none.
    async fn password(&self) -> Option<std::result::Result<Secret, String>> {
        let from = &self.desired().database()?.password;
        let read = self.password.get_or_init(|| self.secret(from));
        Some(read.await.clone())
    }

    /// The ticket of the management platform; none if the spec names none.
    pub async fn ticket(&self) -> Option<std::result::Result<Secret, String>> {
        let from = &self.desired().web()?.ticket;
        let read = self.ticket.get_or_init(|| self.secret(from));
        Some(read.await.clone())
    }

    async fn secret(&self, from: &SecretRef) -> std::result::Result<Secret, String> {
        let hidden = secrets::variables(self.desired());
        secrets::resolve(from, self.allow_commands, &hidden).await
    }

    /// The desired state.
    pub const fn desired(&self) -> &Desired {
        &self.loaded.desired
    }

    /// Nodes that a look visits: those in scope that exist, and all others, where the identity of
    /// a machine or the lease is asked for.
    pub fn nodes(&self) -> Vec<NodeName> {
        self.desired()
            .hosts()
            .filter(|(n, h)| h.state != NodeState::Gone && self.scope.has_node(n))
            .map(|(n, _)| n.clone())
            .collect()
    }

    /// Looks at all nodes in scope.
    pub async fn look(&self, bar: &Bar) -> Report {
        let nodes = self.nodes();
        let (mut report, framework, console) = tokio::join!(
            self.look_at(&nodes, bar),
            self.ask(&nodes),
            self.console_word()
        );
        report.inventory.framework = framework.map(|mut facts| {
            facts.console = console;
            facts
        });
        report
    }

    /// The management platform; none if the spec names none, an error if it cannot be asked.
    pub async fn console(&self) -> Option<std::result::Result<Console, String>> {
        let web = self.desired().web()?;
        Some(match self.ticket().await? {
            Ok(ticket) => Console::new(&web.url, ticket).map_err(|e| e.to_string()),
            Err(why) => Err(format!("the ticket of the console: {why}")),
        })
    }

    /// Whether the management platform answers and takes the ticket, asked what touches the
    /// database alone: its other answers wait for AdminRegistry.
    async fn console_word(&self) -> Observed<String> {
        let console = match self.console().await {
            None => return Observed::Absent,
            Some(Err(why)) => return Observed::Unknown(why),
            Some(Ok(console)) => console.with_deadlines(CONSOLE, CONSOLE),
        };
        match console.server_nodes("tars", "tarslog").await {
            Ok(_) => Observed::Present("it answers".to_owned()),
            Err(error) => Observed::Unknown(error.to_string()),
        }
    }

    /// Asks the framework itself; none where the spec lets nobody be asked.
    async fn ask(&self, nodes: &[NodeName]) -> Option<Box<FrameworkFacts>> {
        let desired = self.desired();
        if desired.rpc == Rpc::Off && desired.database().is_none() {
            return None;
        }
        let ways = self.ways();
        let gone = desired
            .hosts()
            .filter(|(n, h)| h.state == NodeState::Gone && self.scope.has_node(n))
            .map(|(n, _)| n);
        let mut questions = Questions::of(desired, &nodes.iter().chain(gone).cloned().collect());
        questions.libraries = self.ask_libraries;
        let access = self.database().await;
        let facts = tarsops_framework::ask(
            desired,
            &questions,
            &ways,
            access,
            &now,
            self.try_default_login,
        )
        .await;
        Some(Box::new(facts))
    }

    /// How the framework's servants are reached.
    pub fn ways(&self) -> Ways {
        Ways {
            rpc: self.desired().rpc,
            connect: Arc::clone(&self.connector) as Arc<dyn Connect>,
            gone: self
                .desired()
                .hosts()
                .filter(|(_, h)| h.state == NodeState::Gone)
                .map(|(n, _)| n.clone())
                .collect(),
            master: self.desired().master.clone(),
        }
    }

    /// The framework, to read and to change it.
    pub async fn framework(&self) -> Client {
        let database = self.database().await.and_then(std::result::Result::ok);
        let console = self.console().await.and_then(std::result::Result::ok);
        Client::new(self.desired().clone(), self.ways(), database, console, now)
    }

    /// How the database is reached; none if the spec names none, an error if its password cannot be
    /// had.
    pub async fn database(&self) -> Option<std::result::Result<Access, String>> {
        let database = self.desired().database()?;
        let password = match self.password().await? {
            Ok(password) => password,
            Err(why) => return Some(Err(format!("the password of the database: {why}"))),
        };
        Some(Ok(Access {
            address: database.address.clone(),
            tls: database.tls.clone(),
            fingerprint: database.fingerprint,
            known: known_databases(self.desired()),
            way: match &database.via {
                None => Way::Direct,
                Some(node) => Way::Through {
                    connect: Arc::clone(&self.connector) as Arc<dyn Connect>,
                    node: node.clone(),
                },
            },
            user: database.user.clone(),
            password,
        }))
    }

    /// Looks at `nodes`. Nodes are grouped by install path, as that goes into the script.
    pub async fn look_at(&self, nodes: &[NodeName], bar: &Bar) -> Report {
        let mut groups: BTreeMap<String, Vec<NodeName>> = BTreeMap::new();
        for node in nodes {
            groups
                .entry(self.desired().install_path_on(node).to_string())
                .or_default()
                .push(node.clone());
        }
        bar.start(nodes.len());
        let at = now();
        let parallel = (self.desired().parallel as usize).max(1);
        // The groups share the bound: each gets its part, and at least one.
        let share = (parallel / groups.len().max(1)).max(1);
        let mut report = Report::default();
        let mut groups: Vec<(String, Vec<NodeName>)> = groups.into_iter().collect();
        while !groups.is_empty() {
            let wave: Vec<_> = groups.drain(..groups.len().min(parallel)).collect();
            let looks = wave.iter().map(|(_, nodes)| {
                let options = Options {
                    install_path: self.desired().install_path_on(&nodes[0]),
                    cluster: self.desired().cluster.clone(),
                    run_user: self.desired().run_user.clone(),
                    rehash: self.rehash,
                    fence: None,
                    parallel: share,
                    deadline: self.timeout,
                    servers: tarsops_plan::expansion::LOOKED_AT.to_vec(),
                };
                async move {
                    tarsops_probe::look_at_all(&*self.connector, nodes, &options, at, &|s| {
                        bar.seen(s)
                    })
                    .await
                }
            });
            for part in futures::future::join_all(looks).await {
                report.inventory.resources.extend(part.inventory.resources);
                report.faults.extend(part.faults);
            }
        }
        report.inventory.observed_at = at;
        report.faults.sort_by(|a, b| a.0.cmp(&b.0));
        bar.finish();
        report
    }

    /// All that may be known where something is planned, after a look.
    pub fn input<'a>(&'a self, report: &'a Report) -> PlanInput<'a> {
        PlanInput {
            desired: self.desired(),
            inventory: &report.inventory,
            catalog: self.store.catalog(),
            scope: &self.scope,
            now: report.inventory.observed_at,
        }
    }

    /// Makes the plan for what was seen and has it checked.
    pub fn plan(&self, report: &Report) -> Result<Plan> {
        let input = self.input(report);
        let plan = make_plan(&input);
        if let Err(found) = checker::check(&plan, &input) {
            return Err(Failure::new("the plan does not pass its own check; nothing was changed")
                .hint("this is a fault in tarsops: please report it with the output of `tarsops plan --json`").about(found));
        }
        Ok(plan)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.connector.close().await;
    }
}

/// Refuses an `ssh.config` of the spec that does more than choose how hosts are reached, unless
/// programs that the spec names may run.
fn harmless_ssh_config(desired: &Desired, allow_commands: bool) -> Result<()> {
    let files: BTreeSet<&PathBuf> = desired
        .access
        .values()
        .filter_map(|a| a.config.as_ref())
        .collect();
    for file in files {
        if allow_commands {
            continue;
        }
        ssh::scan(file, std::env::home_dir().as_deref()).map_err(|e| {
            Failure::new("the configuration in `ssh.config` cannot be used")
                .because(&e)
                .hint(match e {
                    ssh::ConfigRefusal::Unreadable { .. } => {
                        "name files that you may read, or leave the key out"
                    }
                    ssh::ConfigRefusal::Line { .. } => {
                        "remove the line; if you trust all of that file, run with --allow-commands; your own ~/.ssh/config may say anything"
                    }
                })
        })?;
    }
    Ok(())
}

/// A run id that is newer than every run that a host has seen, but for runs from the future.
pub fn new_run(report: &Report, master: Option<&RunId>) -> RunId {
    use std::hash::{BuildHasher as _, Hasher as _};
    use tarsops_model::inventory::Facts;
    use tarsops_model::observed::Observed;
    let seen = report
        .inventory
        .resources
        .values()
        .filter_map(|o| match o {
            Observed::Present(Facts::Host(h)) => h.fence.as_ref(),
            _ => None,
        })
        .chain(master)
        // One host's fence from the future would make every later run refused elsewhere.
        .filter(|run| run.is_by(now()))
        .map(RunId::sequence)
        .max()
        .unwrap_or(0);
    let clock = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
    let chance = std::hash::RandomState::new().build_hasher().finish();
    RunId::from_parts(clock.max(seen + 1), (chance & 0x00ff_ffff) as u32)
}

/// Who we are, in the words of a lease.
pub fn holder() -> String {
    // cron and many pipelines set no USER.
    let user = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(account);
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    format!("{user}@{host} pid {}", std::process::id())
}

/// The name of our account; its number where this machine has no name for it.
fn account() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid {uid}"))
}

/// Where this machine keeps its journals.
pub fn state_folder(desired: &Desired) -> PathBuf {
    let base = own_state().unwrap_or_else(std::env::temp_dir);
    base.join("tarsops").join(desired.cluster.as_str())
}

/// Where this user keeps the keys of the cluster's database servers. None without a home: a folder that
/// everybody can write to is no place for what we trust.
fn known_databases(desired: &Desired) -> Option<KnownServers> {
    let folder = own_state()?.join("tarsops").join(desired.cluster.as_str());
    Some(KnownServers::at(folder.join("known_databases")))
}

/// Our user's folder for state, if there is one.
fn own_state() -> Option<PathBuf> {
    std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute())
        .or_else(|| std::env::home_dir().map(|h| h.join(".local/state")))
}
