//! What a container of the framework does: the entrypoint of stand-in images.
//!
//! It is the program behind `docker-init.sh` (TarsFramework `deploy/docker-init.sh`,
//! `deploy/tars-install.sh`), and every start of it is an installation, as there: it ends what runs,
//! waits for the database for ever, writes the rows of its address anew, copies the image's programs
//! over what is there, starts them all, and then looks after tarsregistry and tarsnode. What it leaves
//! out: templates are those of the stand-ins, and the console does not run.
//!
//! What must stay true: what a start resets is what the real one was seen to reset, and `REBUILD` drops
//! databases. Tests of the program rest on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use crate::clock::since_1970;
use crate::database::INSTALLER;
use crate::framework::{COMPONENTS, Component, Layout, slave};
use crate::packages::{self, LocalAdmin};
use crate::standin::{Behaviour, Identity, Timings};
use crate::store::Database;

/// The first word of the program that makes it a container's entrypoint.
pub const CONTAINER: &str = "standin-container";
/// The folder of an image that the framework is installed from.
pub const DEPLOY: &str = "/usr/local/tars/cpp/deploy";
/// What a container of the framework runs, by the name that the image's description has.
pub const ENTRYPOINT: &str = "/usr/local/tars/cpp/deploy/docker-init.sh";
/// Beside it: how fast the image's components are, as [`Timings`] in JSON.
pub const TIMINGS: &str = "/usr/local/tars/cpp/deploy/standin-timings.json";

const TARS: &str = "/usr/local/app/tars";
const VOLUME: &str = "/data/tars";
/// What a rebuild drops (`tars-install.sh`).
const DATABASES: [&str; 6] = [
    "db_tars",
    "db_tars_web",
    "tars_stat",
    "tars_property",
    "db_cache_web",
    "db_user_system",
];
/// Between two tries to reach the database, and between two looks at the components. The real one takes
/// 3 s and 5 s.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(2);

/// Be the first process of a container until a signal ends it. The result is the container's.
#[must_use]
pub fn run() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&why);
            ExitCode::FAILURE
        }
    }
}

/// What a container's environment says (`docker-init.sh`).
struct Setting {
    host: String,
    port: u16,
    user: String,
    password: String,
    rebuild: bool,
    slave: bool,
    /// The node's name.
    node: String,
    ip: IpAddr,
}

fn variable(name: &str, default: &str) -> String {
    let value = std::env::var(name).unwrap_or_default();
    if value.is_empty() {
        default.to_owned()
    } else {
        value
    }
}

impl Setting {
    fn read() -> Result<Self, String> {
        // Only this word is yes.
        let yes = |name: &str| variable(name, "false") == "true";
        let (node, ip) = address()?;
        let host = variable("MYSQL_HOST", "");
        if host.is_empty() {
            return Err("MYSQL_HOST is not set".to_owned());
        }
        let port = variable("MYSQL_PORT", "3306");
        Ok(Self {
            host,
            port: port
                .parse()
                .map_err(|_| format!("MYSQL_PORT is no port: {port}"))?,
            user: variable("MYSQL_USER", "root"),
            password: variable("MYSQL_ROOT_PASSWORD", ""),
            rebuild: yes("REBUILD"),
            slave: yes("SLAVE"),
            node,
            ip,
        })
    }
}

/// The node's name and address: those of `DOMAIN`, or the first of the interface that `INET` names.
fn address() -> Result<(String, IpAddr), String> {
    let domain = variable("DOMAIN", "");
    if !domain.is_empty() {
        let found = (domain.as_str(), 0).to_socket_addrs();
        let found = found.map_err(|e| format!("cannot resolve {domain}: {e}"))?;
        let ip = found.map(|a| a.ip()).next();
        return Ok((
            domain.clone(),
            ip.ok_or(format!("{domain} has no address"))?,
        ));
    }
    let interface = variable("INET", "eth0");
    let output = Command::new("ifconfig").arg(&interface).output();
    let output = output.map_err(|e| format!("cannot run ifconfig: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.split(|c: char| c.is_whitespace() || c == ':');
    let ip = words
        .filter_map(|word| word.parse::<IpAddr>().ok())
        .find(|ip| ip.is_ipv4());
    match ip {
        Some(ip) if !ip.is_loopback() => Ok((ip.to_string(), ip)),
        _ => Err(format!(
            "hostip is not valid: interface {interface} has no address"
        )),
    }
}

/// Whoever reads a container's log wants to know where it is.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

fn start() -> Result<(), String> {
    let ended = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&ended))
            .map_err(|e| format!("cannot wait for signals: {e}"))?;
    }
    let setting = Setting::read()?;
    let components = install(&setting)?;
    say("install success");
    // The real one ends between two looks only, too.
    while !ended.load(Ordering::SeqCst) {
        while wait(WaitOptions::NOHANG).is_ok_and(|found| found.is_some()) {}
        for name in ["tarsregistry", "tarsnode"] {
            if components.contains(&name) && running(name).is_empty() {
                launch(name, &setting.node)?;
            }
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// Everything up to the start of the components; which those are.
fn install(setting: &Setting) -> Result<Vec<&'static str>, String> {
    for component in COMPONENTS.iter().map(|c| c.name).chain(["tarsnode"]) {
        for pid in running(component) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let version = fs::read_to_string(Path::new(DEPLOY).join("FRAMEWORK_VERSION.txt"));
    let version = version.map_err(|e| format!("cannot read the version: {e}"))?;
    let timings = fs::read_to_string(TIMINGS).map_err(|e| format!("cannot read {TIMINGS}: {e}"))?;
    let timings: Timings =
        serde_json::from_str(&timings).map_err(|e| format!("cannot read {TIMINGS}: {e}"))?;
    let components = if setting.slave {
        slave()
    } else {
        COMPONENTS.to_vec()
    };
    let database = Database::MariaDb {
        address: database_address(setting)?,
        user: INSTALLER.0.to_owned(),
        password: INSTALLER.1.to_owned(),
        name: DATABASES[0].to_owned(),
    };
    let fresh = prepare(setting)?;
    let registries = format!("tcp -h {} -p 17890", setting.ip);
    let layout = Layout {
        tars: Path::new(TARS),
        ip: setting.ip,
        registries: &registries,
        database: &database,
        timings,
    };
    let identity = Identity::new(version.trim(), Behaviour::Healthy);
    // A row of tarslog is written with the tables and never again.
    let with_rows: Vec<Component> = components
        .iter()
        .copied()
        .filter(|c| fresh || c.name != "tarslog")
        .collect();
    let store = database.open().map_err(|e| e.to_string())?;
    layout
        .write_rows(&*store, &setting.node, &with_rows, &identity)
        .map_err(|e| format!("cannot write rows: {e}"))?;
    lay_out(&layout, &components).map_err(|e| format!("cannot copy components: {e}"))?;
    if !setting.slave {
        pack(setting)?;
    }
    let names: Vec<&str> = components
        .iter()
        .map(|c| c.name)
        .chain(["tarsnode"])
        .collect();
    for name in &names {
        launch(name, &setting.node)?;
    }
    Ok(names)
}

fn database_address(setting: &Setting) -> Result<SocketAddr, String> {
    let at = (setting.host.as_str(), setting.port);
    let mut found = at
        .to_socket_addrs()
        .map_err(|e| format!("cannot resolve {}: {e}", setting.host))?;
    found
        .next()
        .ok_or(format!("{} has no address", setting.host))
}

/// Waits for the database and makes what is not there; whether the tables are fresh.
fn prepare(setting: &Setting) -> Result<bool, String> {
    loop {
        let text = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'db_tars'";
        let asked = with_database(setting, TRY, async |conn| {
            conn.query_first::<u64, _>(text).await
        });
        if let Ok(tables) = asked {
            return made(setting, tables.unwrap_or_default() > 0);
        }
        say("check mysql is not alive");
        sleep(PAUSE);
    }
}

/// Drops what a rebuild drops, and makes account and tables that are not there.
fn made(setting: &Setting, there: bool) -> Result<bool, String> {
    let rebuild = setting.rebuild && !setting.slave;
    let fresh = rebuild || !there;
    if setting.slave && !there {
        return Err("db_tars does not exist".to_owned());
    }
    let (user, password) = INSTALLER;
    let mut statements = format!(
        "CREATE USER IF NOT EXISTS '{user}'@'%' IDENTIFIED BY '{password}';\
         GRANT ALL ON *.* TO '{user}'@'%' WITH GRANT OPTION;"
    );
    if rebuild {
        for name in DATABASES {
            statements.push_str(&format!("DROP DATABASE IF EXISTS {name};"));
        }
    }
    if fresh {
        statements.push_str(include_str!("../../../fixtures/db/db_tars.sql"));
    }
    with_database(setting, Duration::from_secs(30), async |conn| {
        conn.query_drop(statements).await
    })
    .map_err(|e| format!("cannot prepare the database: {e}"))?;
    Ok(fresh)
}

/// Packs all components anew: other sums under the same names, each time.
fn pack(setting: &Setting) -> Result<(), String> {
    let now = since_1970().as_nanos();
    let names = COMPONENTS.iter().map(|c| c.name).chain(["tarsnode"]);
    let rows: Vec<String> = names
        .map(|name| {
            let md5 = format!("{:032x}", now ^ u128::from(name.len() as u64));
            format!("('tars.{name}', '{name}.tgz', '{md5}', 'auto', NOW(), NOW(), 1)")
        })
        .collect();
    let statement = format!(
        "INSERT INTO db_tars.t_server_patchs \
         (server, tgz, md5, upload_user, upload_time, posttime, default_version) VALUES {}",
        rows.join(", ")
    );
    with_database(setting, TRY, async |conn| conn.query_drop(statement).await)
        .map_err(|e| format!("cannot write packages: {e}"))
}

/// Work on the database with the account of the environment.
fn with_database<T>(
    setting: &Setting,
    patience: Duration,
    work: impl AsyncFnOnce(&mut Conn) -> Result<T, mysql_async::Error>,
) -> Result<T, String> {
    let options = OptsBuilder::default()
        .ip_or_hostname(&setting.host)
        .tcp_port(setting.port)
        .user(Some(&setting.user))
        .pass(Some(&setting.password))
        .prefer_socket(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let whole = async {
        let mut conn = Conn::new(options).await?;
        let outcome = work(&mut conn).await?;
        conn.disconnect().await?;
        Ok::<T, mysql_async::Error>(outcome)
    };
    match runtime.block_on(async { tokio::time::timeout(patience, whole).await }) {
        Ok(outcome) => outcome.map_err(|e| e.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// Copies the image's programs over what is there, and writes their configurations anew.
fn lay_out(
    layout: &Layout<'_>,
    components: &[Component],
) -> Result<(), Box<dyn std::error::Error>> {
    for folder in [
        "app_log",
        "remote_app_log",
        "patchs",
        "tarsnode-data",
        "web_log",
        "demo_log",
    ] {
        fs::create_dir_all(Path::new(VOLUME).join(folder))?;
    }
    fs::create_dir_all(Path::new(TARS).join("tarsnode"))?;
    for (link, folder) in [
        ("app_log", "app_log"),
        ("remote_app_log", "remote_app_log"),
        ("patchs", "patchs"),
        ("tarsnode/data", "tarsnode-data"),
    ] {
        match symlink(Path::new(VOLUME).join(folder), Path::new(TARS).join(link)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
            _ => {}
        }
    }
    let mut texts: BTreeMap<PathBuf, String> = BTreeMap::new();
    for component in components {
        let root = Path::new(TARS).join(component.name);
        for (path, text, _) in layout.files(*component) {
            texts.insert(root.join(path), text);
        }
    }
    let node = Path::new(TARS).join("tarsnode");
    let conf = packages::conf(LocalAdmin::OnLoopback)
        .replace("localip.tars.com", &layout.ip.to_string())
        .replace("registryAddress", layout.registries);
    texts.insert(node.join("conf/tars.tarsnode.config.conf"), conf);
    for (name, text) in packages::scripts() {
        texts.insert(node.join("util").join(name), text.to_owned());
    }
    for (path, text) in texts {
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, text.replace("TARS_PATH", TARS))?;
    }
    for name in components.iter().map(|c| c.name).chain(["tarsnode"]) {
        let shipped = format!("{DEPLOY}/framework/servers/{name}/bin/{name}");
        let to = binary(name);
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        let fresh = to.with_extension("new");
        fs::copy(shipped, &fresh)?;
        fs::rename(fresh, to)?;
    }
    Ok(())
}

fn binary(name: &str) -> PathBuf {
    Path::new(TARS).join(name).join("bin").join(name)
}

/// Starts a component. Nobody waits for it here: whatever ends is this process's to bury.
fn launch(name: &str, node: &str) -> Result<(), String> {
    let config = format!("--config={TARS}/{name}/conf/tars.{name}.config.conf");
    let mut command = Command::new(binary(name));
    command.arg(config);
    if name == "tarsnode" {
        command.arg(format!("--nodeid={node}"));
    }
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    quiet
        .spawn()
        .map(drop)
        .map_err(|e| format!("cannot start {name}: {e}"))
}

/// Processes of a component.
fn running(name: &str) -> Vec<Pid> {
    let binary = binary(name);
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter(|entry| {
        fs::read_link(entry.path().join("exe")).is_ok_and(|exe| {
            let exe = exe.to_string_lossy().into_owned();
            Path::new(exe.trim_end_matches(" (deleted)")) == binary
        })
    })
    .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
    .filter_map(Pid::from_raw)
    .collect()
}
