//! A real MariaDB on this machine, for tests and the demonstration, gone when it is dropped.
//!
//! [`MariaDb::start`] makes a fresh data folder and starts `mariadbd` on it, in little more than a
//! second. Root has no password and is let in through the server's Unix socket only; every other
//! account is made by [`MariaDb::account`]. `db_tars` comes from `fixtures/db`, in the two shapes
//! that real clusters have ([`Schema`]).
//!
//! What must stay true: neither the server nor its folder outlives the value, nor the process that
//! holds it, however that ends: a small shell stands between them, reads from a pipe, and cleans up
//! when the pipe closes. The server listens where it is told and nowhere else, reads no file of the
//! machine's own configuration, and is ended by its process number.
//!
//! ```no_run
//! use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
//!
//! require_or_fail();
//! let database = MariaDb::start(&std::env::temp_dir(), &MariaDbOptions::default())?;
//! database.load(Schema::Installed)?;
//! database.account("ops", "secret", Rights::All)?;
//! assert!(database.address().ip().is_loopback());
//! assert_eq!(database.root_sql("SELECT COUNT(*) FROM db_tars.t_node_info")?, "0\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod certificate;

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The account that the framework's installer makes for every host, with a password that everybody
/// knows.
pub const INSTALLER: (&str, &str) = ("tarsAdmin", "Tars@2019");

/// How long the server may take until it answers: far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(60);
/// The server's socket, in its data folder: it goes there first, so the name is short wherever that
/// is, and a socket's path must fit 107 bytes.
const SOCKET: &str = "s";
/// Folders that hold the programs; `sbin` is often not in a test's `PATH`.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
/// Where the statements lie that make the server's own tables, oldest names last.
const SYSTEM_TABLES: [(&str, &str); 2] = [
    (
        "mariadb_system_tables.sql",
        "mariadb_system_tables_data.sql",
    ),
    ("mysql_system_tables.sql", "mysql_system_tables_data.sql"),
];
const SHARES: [&str; 3] = [
    "/usr/share/mysql",
    "/usr/share/mariadb",
    "/usr/local/share/mysql",
];

/// Starts the server, tells its number, and ends it when told to or when nobody is left to tell.
const KEEPER: &str = r#"
folder=$1; shift
"$@" >>"$folder/log" 2>&1 </dev/null &
server=$!
echo "$server"
read -r word; kept=$?
kill -9 "$server" 2>/dev/null
wait "$server" 2>/dev/null
[ "$kept" = 0 ] || rm -rf "$folder"
"#;

/// Why there is no database, or a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum MariaDbError {
    /// A program is not on this machine.
    #[error(
        "the database cannot run here: missing {0} (apt-get install -y --no-install-recommends mariadb-server openssl)"
    )]
    Missing(&'static str),
    /// The operating system refused something.
    #[error("could not {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("could not {what}: {said}")]
    Failed {
        /// What was tried.
        what: &'static str,
        /// What it said.
        said: String,
    },
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> MariaDbError {
    move |source| MariaDbError::Io { what, source }
}

/// How the server is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MariaDbOptions {
    /// The address that it listens on.
    pub ip: IpAddr,
    /// The port; 0 for one that is free.
    pub port: u16,
    /// Whether it offers TLS, with a certificate of [`MariaDb::ca`] for its address.
    pub tls: bool,
    /// Further options of the server, such as `--tls-version=TLSv1.1`.
    pub more: &'static [&'static str],
}

impl Default for MariaDbOptions {
    /// Loopback, a free port, no TLS.
    fn default() -> Self {
        Self {
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            tls: false,
            more: &[],
        }
    }
}

/// Shapes of `db_tars`, without rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// As the installer leaves it.
    Installed,
    /// As it is after the management platform has started once.
    AfterConsole,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Everything, as the installer's account may.
    All,
    /// See all databases and read `db_tars`.
    Read,
    /// Read `db_tars`, and see no database that it may not use.
    ReadBlind,
    /// See that databases exist, and nothing in them.
    ShowDatabases,
    /// Log in.
    Nothing,
}

/// Whether the programs are here that [`MariaDb`] needs.
#[must_use]
pub fn is_there() -> bool {
    require().is_ok()
}

/// Looks for the programs that [`MariaDb`] needs.
///
/// # Errors
/// [`MariaDbError::Missing`], with the `apt-get` line that installs them.
pub fn require() -> Result<(), MariaDbError> {
    server_program()?;
    client_program()?;
    system_tables().map(drop)
}

/// For tests: fails with what is missing, because a test that did not run must not pass.
///
/// # Panics
/// Where [`require`] fails.
pub fn require_or_fail() {
    if let Err(missing) = require() {
        panic!("{missing}");
    }
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn server_program() -> Result<PathBuf, MariaDbError> {
    program("mariadbd").ok_or(MariaDbError::Missing("mariadbd"))
}

fn client_program() -> Result<PathBuf, MariaDbError> {
    program("mariadb").ok_or(MariaDbError::Missing("the client mariadb"))
}

/// The statements that make the server's own tables.
fn system_tables() -> Result<String, MariaDbError> {
    for share in SHARES {
        for (tables, data) in SYSTEM_TABLES {
            let (tables, data) = (Path::new(share).join(tables), Path::new(share).join(data));
            if let (Ok(tables), Ok(data)) = (fs::read_to_string(tables), fs::read_to_string(data)) {
                return Ok(format!(
                    "CREATE DATABASE mysql;\nUSE mysql;\n{tables}\n{data}\n\
                     DELETE FROM global_priv WHERE User = '' OR User = 'root' AND Host <> 'localhost';\n\
                     DELETE FROM proxies_priv;\n"
                ));
            }
        }
    }
    Err(MariaDbError::Missing("mysql_system_tables.sql"))
}

/// A running server. Dropping it ends the server and removes its folder.
#[derive(Debug)]
pub struct MariaDb {
    folder: TempDir,
    address: SocketAddr,
    tls: bool,
    more: &'static [&'static str],
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    keeper: Child,
    server: Pid,
}

impl MariaDb {
    /// Makes a folder in `dir` and starts a server on it; returns when it answers.
    ///
    /// # Errors
    /// A program is missing, the port is taken, or the server does not start; its last words are
    /// in the error.
    pub fn start(dir: &Path, options: &MariaDbOptions) -> Result<Self, MariaDbError> {
        require()?;
        let folder = tempfile::Builder::new().prefix("mariadb-").tempdir_in(dir);
        let folder = folder.map_err(io("make a folder for the database"))?;
        for name in ["data", "tmp"] {
            let path = folder.path().join(name);
            fs::create_dir(&path).map_err(io("make a folder for the database"))?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
                .map_err(io("make a folder for the database"))?;
        }
        let mut this = Self {
            folder,
            address: SocketAddr::new(options.ip, options.port),
            tls: options.tls,
            more: options.more,
            running: None,
        };
        if options.tls {
            certificate::make(this.folder.path(), options.ip)?;
        }
        this.initialise()?;
        for try_ in 1.. {
            if options.port == 0 {
                let port =
                    free_port(options.ip).map_err(io("find a free port for the database"))?;
                this.address.set_port(port);
            }
            match this.start_again() {
                // Somebody took the port meanwhile.
                Err(MariaDbError::Failed { said, .. })
                    if options.port == 0 && try_ < 5 && said.contains("already in use") => {}
                other => return other.map(|()| this),
            }
        }
        Ok(this)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's Unix socket, by which root is let in without a password.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.data().join(SOCKET)
    }

    /// What the server says of itself.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The certificate of the authority that signed the server's own, where it offers TLS.
    #[must_use]
    pub fn ca(&self) -> Option<PathBuf> {
        self.tls.then(|| self.folder.path().join("ca.pem"))
    }

    /// The server's process, while it was not ended.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.running
            .as_ref()
            .map(|r| r.server.as_raw_nonzero().get())
    }

    /// Runs statements as root; what they return comes line by line, columns apart by tabs and
    /// without their names.
    ///
    /// # Errors
    /// The server is not there, or a statement failed; those before it were carried out.
    pub fn root_sql(&self, statements: &str) -> Result<String, MariaDbError> {
        // Statements go in by the standard input: they may hold passwords.
        let mut client = Command::new(client_program()?)
            .args([
                "--no-defaults",
                "--user=root",
                "--batch",
                "--skip-column-names",
                // Its own TLS may not get on with what a test sets up.
                "--skip-ssl",
            ])
            .args(["--default-character-set=utf8mb4", "--connect-timeout=10"])
            .arg(format!("--socket={SOCKET}"))
            .current_dir(self.data())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(io("start the database's client"))?;
        let mut stdin = client.stdin.take();
        // The client reads on while it writes, so nothing waits for the other for ever.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(stdin) = &mut stdin {
                    let _ = stdin.write_all(statements.as_bytes());
                }
                drop(stdin);
            });
            client.wait_with_output()
        });
        let output = output.map_err(io("run the database's client"))?;
        if !output.status.success() {
            return Err(MariaDbError::Failed {
                what: "run a statement",
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes `db_tars` in that shape, without rows.
    ///
    /// # Errors
    /// It is there already.
    pub fn load(&self, schema: Schema) -> Result<(), MariaDbError> {
        self.root_sql(include_str!("../../../fixtures/db/db_tars.sql"))?;
        if schema == Schema::AfterConsole {
            self.root_sql(include_str!("../../../fixtures/db/db_tars_console.sql"))?;
        }
        Ok(())
    }

    /// Fills `db_tars` with the rows of `fixtures/db/rows.sql`: a master 10.77.0.1, a slave and an
    /// agent.
    ///
    /// # Errors
    /// There is no `db_tars`, or it has rows of that name.
    pub fn fill(&self) -> Result<(), MariaDbError> {
        self.root_sql(include_str!("../../../fixtures/db/rows.sql"))
            .map(drop)
    }

    /// Makes an account that may log in from everywhere.
    ///
    /// # Errors
    /// It is there already, or `rights` need a `db_tars` that is not there.
    pub fn account(&self, user: &str, password: &str, rights: Rights) -> Result<(), MariaDbError> {
        let account = format!("{}@'%'", literal(user));
        let mut statements = format!(
            "CREATE USER {account} IDENTIFIED BY {};\n",
            literal(password)
        );
        for grant in match rights {
            Rights::All => &["ALL PRIVILEGES ON *.*"][..],
            Rights::Read => &["SHOW DATABASES ON *.*", "SELECT ON db_tars.*"],
            Rights::ReadBlind => &["SELECT ON db_tars.*"],
            Rights::ShowDatabases => &["SHOW DATABASES ON *.*"],
            Rights::Nothing => &[],
        } {
            statements.push_str(&format!("GRANT {grant} TO {account};\n"));
        }
        self.root_sql(&statements).map(drop)
    }

    /// Makes the installer's account with the password that everybody knows ([`INSTALLER`]).
    ///
    /// # Errors
    /// It is there already.
    pub fn installer_account(&self) -> Result<(), MariaDbError> {
        self.account(INSTALLER.0, INSTALLER.1, Rights::All)
    }

    /// Stops the server where it stands: it takes connections and says nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen server continue.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the server at once, as a crash would. Its data stay.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Told to stop, rather than left: the folder stays.
            if let Some(mut stdin) = running.keeper.stdin.take() {
                let _ = stdin.write_all(b"stop\n");
            }
            let _ = running.keeper.wait();
        }
    }

    /// Starts a server that was ended, on the same data and port; returns when it answers.
    ///
    /// # Errors
    /// It does not start; its last words are in the error.
    pub fn start_again(&mut self) -> Result<(), MariaDbError> {
        self.kill();
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(self.folder.path());
        if let Some(setpriv) = program("setpriv") {
            // For when the shell itself is killed.
            command.arg(setpriv).args(["--pdeathsig", "KILL", "--"]);
        }
        command.arg(server_program()?).args(self.arguments());
        command
            .arg(format!("--bind-address={}", self.address.ip()))
            .arg(format!("--port={}", self.address.port()))
            .arg(format!("--socket={SOCKET}"))
            .arg(format!(
                "--pid-file={}",
                self.folder.path().join("pid").display()
            ));
        if self.tls {
            for (option, file) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
                let file = self.folder.path().join(file);
                command.arg(format!("--ssl-{option}={}", file.display()));
            }
        } else {
            // Later releases make themselves a certificate where nobody says no.
            command.arg("--skip-ssl");
        }
        command.args(self.more);
        let mut keeper = command
            // A group of its own: an interrupt from the keyboard is for whoever holds this value.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(io("start the database"))?;
        let mut number = String::new();
        if let Some(stdout) = &mut keeper.stdout {
            BufReader::new(stdout)
                .read_line(&mut number)
                .map_err(io("start the database"))?;
        }
        let server = number.trim().parse().ok().and_then(Pid::from_raw);
        let Some(server) = server else {
            let _ = keeper.kill();
            let _ = keeper.wait();
            return Err(self.failed("start the database"));
        };
        self.running = Some(Running { keeper, server });
        self.wait(server)
    }

    fn wait(&self, server: Pid) -> Result<(), MariaDbError> {
        let until = Instant::now() + PATIENCE;
        // The path may be too long to connect to; then the client says the same, more slowly.
        while UnixStream::connect(self.socket())
            .is_err_and(|e| e.kind() != io::ErrorKind::InvalidInput)
            || self.root_sql("SELECT 1").is_err()
        {
            if !lives(server) || Instant::now() > until {
                return Err(self.failed("start the database"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(running) = &self.running {
            let _ = kill_process(running.server, signal);
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn failed(&self, what: &'static str) -> MariaDbError {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        MariaDbError::Failed {
            what,
            said: lines[lines.len().saturating_sub(8)..].join("\n"),
        }
    }

    /// What every start has: little memory, and no wait for a disk, as no data outlive the folder. What
    /// is committed outlives the server: a crash loses nothing.
    fn arguments(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let mut out: Vec<String> = [
            "--no-defaults",
            "--skip-log-bin",
            "--skip-name-resolve",
            "--performance-schema=OFF",
            "--default-storage-engine=InnoDB",
            "--character-set-server=utf8mb3",
            "--max-connections=200",
            "--key-buffer-size=1M",
            "--aria-pagecache-buffer-size=8M",
            "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M",
            "--innodb-data-file-path=ibdata1:4M:autoextend",
            "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
            "--innodb-flush-method=nosync",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-doublewrite=0",
        ]
        .map(str::to_owned)
        .into();
        out.push(format!("--datadir={folder}/data"));
        out.push(format!("--tmpdir={folder}/tmp"));
        if rustix::process::geteuid().is_root() {
            out.push("--user=root".to_owned());
        }
        out
    }

    /// Makes the server's own tables.
    fn initialise(&self) -> Result<(), MariaDbError> {
        const WHAT: &str = "make the database's own tables";
        let log = fs::File::create(self.log()).map_err(io(WHAT))?;
        let mut server = Command::new(server_program()?)
            .args(self.arguments())
            .args(["--bootstrap", "--log-warnings=0"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io(WHAT))?;
        if let Some(mut stdin) = server.stdin.take() {
            // A server that ends early says why in its log.
            let _ = stdin.write_all(system_tables()?.as_bytes());
        }
        let status = server.wait().map_err(io(WHAT))?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(WHAT))
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the process runs; one that ended and that its shell did not look at yet does not.
fn lives(server: Pid) -> bool {
    let stat = format!("/proc/{}/stat", server.as_raw_nonzero());
    fs::read_to_string(stat).is_ok_and(|line| {
        let (_, rest) = line.rsplit_once(") ").unwrap_or_default();
        !rest.starts_with(['Z', 'X'])
    })
}

fn free_port(ip: IpAddr) -> io::Result<u16> {
    TcpListener::bind((ip, 0))?.local_addr().map(|a| a.port())
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
