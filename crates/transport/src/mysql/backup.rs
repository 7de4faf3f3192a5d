//! A dump of whole databases, compressed, as of one moment.
//!
//! The database's own program makes it where this machine has one and it can reach the database; else
//! it is read from one snapshot here. Whoever wrote it, it is read again to its end before it counts.
//! The program connects through the same relay as we do, so it needs no TLS of its own. The password
//! goes to it in a file without a name, never on a command line, in the environment or on a disk. A dump
//! that was not finished leaves no file.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use mysql_async::Conn;
use mysql_async::prelude::Queryable as _;
use sha2::Digest as _;
use tarsops_model::digest::Digest;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::guard::caught;
use super::{Access, DatabaseError, bounded, relay};

/// The first line of a dump. A MariaDB client that knows it does no command of its own from then on, such as
/// `\!`, which starts a program. To all others it is a comment.
const SANDBOX: &[u8] = b"/*M!999999\\- enable the sandbox mode */ \n";
/// Commands of the client that brings a dump back; it looks for them at the beginning of a line.
const COMMANDS: [&str; 9] = [
    "connect",
    "delimiter",
    "edit",
    "pager",
    "prompt",
    "source",
    "system",
    "tee",
    "\\",
];
/// What the last line of a whole dump says, whoever wrote it.
const END: &str = "-- Dump completed";
/// Rows are written in statements of about this many bytes.
const STATEMENT: usize = 256 << 10;
/// So much of what the program says is kept.
const SAID: usize = 16 << 10;

/// A program that dumps databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool(PathBuf);

impl Tool {
    /// The one of this machine, if it has one: MariaDB's by its new or its old name, or MySQL's.
    #[must_use]
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        ["mariadb-dump", "mysqldump"].iter().find_map(|name| {
            std::env::split_paths(&path)
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
                .map(Self)
        })
    }

    /// This program.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// A dump that was made and read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dump {
    /// Size of the file in bytes.
    pub size: u64,
    /// sha256 of the file.
    pub digest: Digest,
    /// Who wrote it, and why not another.
    pub by: String,
    /// Databases of which our user may read nothing, so that they are not in it.
    pub left_out: Vec<String>,
}

/// Why there is no dump; one lowercase clause.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// This machine could not write or read it.
    #[error("the dump could not be written on this machine: {0}")]
    Local(#[from] io::Error),
    /// The server's own text would do more than make a table when the dump is brought back.
    #[error(
        "the server describes {0} by more than one plain statement, which a client could take for commands"
    )]
    Unsafe(String),
    /// What was written is not a whole dump.
    #[error("the dump is not whole: {0}")]
    NotWhole(String),
}

/// Why the program made no dump; the dump is tried another way.
struct NoTool(String);

impl Access {
    /// Dumps `databases` into the new file `to`, as SQL that makes their tables again, compressed with
    /// gzip. All of it together takes no longer than `deadline`.
    ///
    /// # Errors
    /// A [`BackupError`]; then there is no file.
    pub async fn backup(
        &self,
        databases: &[String],
        to: &Path,
        tool: Option<&Tool>,
        deadline: Duration,
    ) -> Result<Dump, BackupError> {
        let made = self.try_backup(databases, to, tool, deadline).await;
        if made.is_err() {
            let _ = std::fs::remove_file(to);
        }
        // The system's own words do not say whose disk is full.
        made.map_err(|error| match error {
            BackupError::Local(e) => {
                BackupError::Local(io::Error::new(e.kind(), format!("{}: {e}", to.display())))
            }
            other => other,
        })
    }

    async fn try_backup(
        &self,
        databases: &[String],
        to: &Path,
        tool: Option<&Tool>,
        deadline: Duration,
    ) -> Result<Dump, BackupError> {
        let until = Instant::now() + deadline;
        let (mut conn, _) = self.connect_for_a_dump(deadline).await?;
        let (mut meant, mut left_out) = (Vec::new(), Vec::new());
        for name in databases {
            let counting = conn.exec_first(
                "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?",
                (name,),
            );
            let seen: Option<u64> = self.within(until, counting).await?;
            if seen.unwrap_or_default() > 0 {
                meant.push(name.clone());
            } else if name == "db_tars" {
                return Err(BackupError::NotWhole(
                    "our user may read nothing in db_tars".to_owned(),
                ));
            } else {
                left_out.push(name.clone());
            }
        }
        let by = match tool {
            None => self.by_us(&mut conn, &meant, to, until).await?,
            Some(tool) => match self.by_tool(tool, &meant, to, until).await? {
                Ok(by) => by,
                Err(NoTool(why)) => {
                    let by = self.by_us(&mut conn, &meant, to, until).await?;
                    format!("{by}, as {why}")
                }
            },
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), conn.disconnect()).await;
        let file = to.to_path_buf();
        let (size, digest) = tokio::task::spawn_blocking(move || verify(&file, &meant))
            .await
            .map_err(|e| BackupError::NotWhole(e.to_string()))??;
        Ok(Dump {
            size,
            digest,
            by,
            left_out,
        })
    }

    /// What the program reads in place of a command line: where, as whom, and how.
    fn tool_options(&self, socket: &Path) -> String {
        let quoted = |text: &str| {
            let mut out = String::from("\"");
            for c in text.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '"' => out.push_str("\\\""),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c => out.push(c),
                }
            }
            out.push('"');
            out
        };
        // What only one of the two families of programs knows is no error to the other.
        format!(
            "[client]\nprotocol=socket\nsocket={}\nuser={}\npassword={}\n\
             loose-ssl-mode=DISABLED\nloose-skip-ssl\nloose-skip-ssl-verify-server-cert\n\
             loose-skip-local-infile\ndefault-character-set=utf8mb4\n\
             [mysqldump]\nloose-column-statistics=0\nloose-set-gtid-purged=OFF\n",
            quoted(&socket.to_string_lossy()),
            quoted(&self.user),
            quoted(self.password.expose()),
        )
    }

    async fn by_tool(
        &self,
        tool: &Tool,
        databases: &[String],
        to: &Path,
        until: Instant,
    ) -> Result<Result<String, NoTool>, BackupError> {
        let no = |why: String| Ok(Err(NoTool(format!("{} {why}", tool.name()))));
        let left = until.saturating_duration_since(Instant::now());
        let entrance = tokio::time::timeout_at(until, relay::open(self, left, None)).await;
        let late = || DatabaseError::TimedOut(self.address.clone());
        let mut entrance = entrance.map_err(|_| late())??;
        let options = nameless(self.tool_options(&entrance.socket).as_bytes())?;
        let mut command = tokio::process::Command::new(&tool.0);
        command
            // The file is its standard input: no other program that is started meanwhile gets it.
            .arg("--defaults-file=/dev/fd/0")
            .args([
                "--single-transaction",
                "--quick",
                "--skip-lock-tables",
                "--no-tablespaces",
                "--hex-blob",
                "--triggers",
                "--skip-dump-date",
                "--databases",
            ])
            .args(databases)
            .env_clear()
            .envs(harmless_environment())
            .stdin(Stdio::from(options))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C of a terminal goes to us, who let what runs end.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(e) => return no(format!("could not be started: {e}")),
        };
        let (Some(mut stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return no("could not be listened to".to_owned());
        };
        let mut out = Gz::create(to)?;
        let copying = async {
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = stdout.read(&mut buffer).await?;
                if count == 0 {
                    return Ok::<(), io::Error>(());
                }
                out.write_all(&buffer[..count])?;
            }
        };
        let listening = async {
            let mut said = Vec::new();
            let mut part = stderr.take(SAID as u64);
            let _ = part.read_to_end(&mut said).await;
            // It must not wait for us to read the rest.
            let _ = tokio::io::copy(&mut part.into_inner(), &mut tokio::io::sink()).await;
            String::from_utf8_lossy(&said).into_owned()
        };
        let whole = async {
            let (copied, said) = tokio::join!(copying, listening);
            copied?;
            Ok::<_, io::Error>((child.wait().await?, said))
        };
        let Ok(ended) = tokio::time::timeout_at(until, whole).await else {
            return Err(DatabaseError::TimedOut(self.address.clone()).into());
        };
        let (status, said) = ended?;
        out.finish()?;
        if status.success() {
            return Ok(Ok(tool.name()));
        }
        // A server that we do not trust is not asked again in another way. A program that never came to
        // the socket leaves the relay waiting.
        let outcome = tokio::time::timeout(Duration::from_secs(1), entrance.outcome()).await;
        if let Ok(Err(Some(refused))) = outcome {
            return Err(refused.into());
        }
        let last = said.lines().rfind(|l| !l.trim().is_empty());
        no(format!(
            "failed: {}",
            last.unwrap_or("it printed nothing").trim()
        ))
    }

    async fn by_us(
        &self,
        conn: &mut Conn,
        databases: &[String],
        to: &Path,
        until: Instant,
    ) -> Result<String, BackupError> {
        let mut out = Gz::create(to)?;
        let work = async {
            write_dump(conn, databases, &mut out).await?;
            Ok::<(), Failed>(())
        };
        match tokio::time::timeout_at(until, caught(work)).await {
            Err(_) => Err(DatabaseError::TimedOut(self.address.clone()).into()),
            Ok(Err(Failed::Local(e))) => Err(e.into()),
            Ok(Err(Failed::Mysql(e))) => Err(self.error(&e).into()),
            Ok(Err(Failed::Unsafe(what))) => Err(BackupError::Unsafe(what)),
            Ok(Ok(())) => {
                out.finish()?;
                Ok("tarsops".to_owned())
            }
        }
    }
}

/// A file in memory that has no name anywhere, readable for our user only.
fn nameless(content: &[u8]) -> io::Result<File> {
    use rustix::fs::{MemfdFlags, Mode, SealFlags};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("options", flags)?);
    // The programs pass over a file that everybody may write.
    rustix::fs::fchmod(&file, Mode::RUSR)?;
    file.write_all(content)?;
    file.seek(io::SeekFrom::Start(0))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// What the program may know of our environment: where programs are, language and time zone. Not
/// `HOME`, where MySQL's programs look for further options.
fn harmless_environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        ["PATH", "LANG", "TZ"].contains(&&*name) || name.starts_with("LC_")
    })
}

enum Failed {
    Mysql(mysql_async::Error),
    Local(io::Error),
    Unsafe(String),
}

impl From<mysql_async::Error> for Failed {
    fn from(e: mysql_async::Error) -> Self {
        Self::Mysql(e)
    }
}

impl From<io::Error> for Failed {
    fn from(e: io::Error) -> Self {
        Self::Local(e)
    }
}

/// A compressed file for its owner only.
struct Gz(GzEncoder<BufWriter<File>>);

impl Gz {
    fn create(path: &Path) -> io::Result<Self> {
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Self(GzEncoder::new(file, Compression::default())))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn finish(self) -> io::Result<()> {
        let file = self.0.finish()?;
        file.into_inner().map_err(|e| e.into_error())?.sync_all()
    }
}

fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// [`name`], of a text that the server said.
fn said_name(text: &str) -> Result<String, Failed> {
    // Old clients take the character behind a backslash out of the quotation, too.
    if text.contains('\\') || text.chars().any(char::is_control) {
        let text: String = text.escape_default().take(80).collect();
        return Err(Failed::Unsafe(format!("a name ({text})")));
    }
    Ok(name(text))
}

/// `made`, as the server said it of `what`, if clients of every kind read it as one statement.
fn said_statement(made: String, what: &str) -> Result<String, Failed> {
    if is_one_statement(&made) {
        return Ok(made);
    }
    Err(Failed::Unsafe(what.to_owned()))
}

/// Whether `text` is one `CREATE` statement for clients of every kind. They do commands of their own where
/// they see a backslash, a semicolon or certain words outside of quotations. What they see differently is
/// refused: plain comments with more than words, and backslashes before the end of a quotation.
fn is_one_statement(text: &str) -> bool {
    if !text.starts_with("CREATE ") || text.contains('\0') {
        return false;
    }
    let mut quote: Option<char> = None;
    let mut is_line_start = false;
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        let here = &text[at..];
        if let Some(end) = quote {
            match c {
                // What servers write: no quotation mark behind a backslash, in strings only.
                '\\' if end == '\'' && !here[1..].starts_with('\'') => {
                    rest.next();
                }
                '\\' => return false,
                // Twice is once in it: that ends it and begins it again.
                c if c == end => quote = None,
                _ => {}
            }
            is_line_start = false;
            continue;
        }
        let word = here.trim_start();
        let begins = |c: &&str| {
            word.get(..c.len())
                .is_some_and(|w| w.eq_ignore_ascii_case(c))
        };
        if is_line_start && COMMANDS.iter().any(begins) {
            return false;
        }
        is_line_start = c == '\n';
        match c {
            '\\' | ';' | '#' => return false,
            '-' if here.starts_with("--") => return false,
            '\'' | '"' | '`' => quote = Some(c),
            // `/*!` is read as if it were no comment.
            '/' if here.starts_with("/*") && !here.starts_with("/*!") => {
                let Some((comment, _)) = here.split_once("*/") else {
                    return false;
                };
                if comment.contains(['\'', '"', '`', '\\', ';', '\n']) {
                    return false;
                }
            }
            c if c.is_control() && c != '\n' && c != '\t' => return false,
            _ => {}
        }
    }
    quote.is_none()
}

/// All tables of all databases as of one moment. Tables that know no transactions are read as they
/// are when their turn comes; the framework has none.
async fn write_dump(conn: &mut Conn, databases: &[String], out: &mut Gz) -> Result<(), Failed> {
    conn.query_drop("SET NAMES utf8mb4").await?;
    conn.query_drop("SET time_zone = '+00:00'").await?;
    conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await?;
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    out.write_all(SANDBOX)?;
    out.write_all(
        b"-- Dump by tarsops\n\
          SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO', \
          FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0;\n",
    )?;
    for database in databases {
        let quoted = name(database);
        let made: Option<(String, String)> = conn
            .query_first(format!("SHOW CREATE DATABASE IF NOT EXISTS {quoted}"))
            .await?;
        let made = made.map_or_else(|| format!("CREATE DATABASE {quoted}"), |m| m.1);
        let made = said_statement(made, database)?;
        out.write_all(format!("\n{made};\nUSE {quoted};\n").as_bytes())?;
        let tables: Vec<(String, String)> = bounded::exec(
            conn,
            "tables",
            "SELECT CAST(TABLE_NAME AS CHAR), CAST(TABLE_TYPE AS CHAR) \
             FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? ORDER BY 1",
            (database,),
        )
        .await?;
        for (table, _) in tables.iter().filter(|t| t.1 == "BASE TABLE") {
            write_table(conn, database, table, out).await?;
        }
        for (view, _) in tables.iter().filter(|t| t.1 == "VIEW") {
            let short = said_name(view)?;
            let full = format!("{quoted}.{short}");
            let made: Option<mysql_async::Row> =
                conn.query_first(format!("SHOW CREATE VIEW {full}")).await?;
            let made: Option<String> = made.and_then(|mut row| row.take(1));
            let made = said_statement(made.unwrap_or_default(), &full)?;
            let text = format!("DROP VIEW IF EXISTS {short};\n{made};\n");
            out.write_all(text.as_bytes())?;
        }
    }
    conn.query_drop("COMMIT").await?;
    out.write_all(format!("{END}\n").as_bytes())?;
    Ok(())
}

async fn write_table(
    conn: &mut Conn,
    database: &str,
    table: &str,
    out: &mut Gz,
) -> Result<(), Failed> {
    let short = said_name(table)?;
    let full = format!("{}.{short}", name(database));
    let made: Option<(String, String)> = conn
        .query_first(format!("SHOW CREATE TABLE {full}"))
        .await?;
    let made = said_statement(made.map_or_else(String::new, |m| m.1), &full)?;
    out.write_all(format!("DROP TABLE IF EXISTS {short};\n{made};\n").as_bytes())?;
    let mut result = conn.query_iter(format!("SELECT * FROM {full}")).await?;
    let names: Vec<String> = result
        .columns_ref()
        .iter()
        .map(|c| said_name(&c.name_str()))
        .collect::<Result<_, _>>()?;
    let head = format!("INSERT INTO {short} ({}) VALUES\n", names.join(","));
    let mut statement = String::new();
    while let Some(row) = result.next().await? {
        let values: Vec<String> = row.unwrap().iter().map(|v| v.as_sql(false)).collect();
        statement.push_str(if statement.is_empty() { &head } else { ",\n" });
        statement.push_str(&format!("({})", values.join(",")));
        if statement.len() >= STATEMENT {
            statement.push_str(";\n");
            out.write_all(statement.as_bytes())?;
            statement.clear();
        }
    }
    drop(result);
    if !statement.is_empty() {
        statement.push_str(";\n");
        out.write_all(statement.as_bytes())?;
    }
    Ok(())
}

/// Reads a dump to its end: size and sha256 of the file.
fn verify(path: &Path, databases: &[String]) -> Result<(u64, Digest), BackupError> {
    let mut hasher = sha2::Sha256::new();
    let mut size = 0;
    let mut buffer = vec![0; 64 << 10];
    let mut file = File::open(path)?;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        hasher.update(&buffer[..count]);
    }
    let not_whole = |why: &str| BackupError::NotWhole(why.to_owned());
    let mut text = MultiGzDecoder::new(BufReader::new(File::open(path)?));
    let mut rest: Vec<u8> = Vec::new();
    let mut missing: Vec<String> = databases
        .iter()
        .map(|d| format!("\nUSE {};", name(d)))
        .collect();
    loop {
        let count = text
            .read(&mut buffer)
            .map_err(|_| not_whole("it cannot be decompressed"))?;
        if count == 0 {
            break;
        }
        rest.extend_from_slice(&buffer[..count]);
        let seen = String::from_utf8_lossy(&rest);
        missing.retain(|line| !seen.contains(line));
        // What a line may still begin in is kept for the next part.
        let from = rest.len().saturating_sub(1024);
        rest.drain(..from);
    }
    if let Some(line) = missing.first() {
        return Err(BackupError::NotWhole(format!("it lacks `{}`", line.trim())));
    }
    let end = String::from_utf8_lossy(&rest);
    let last = end
        .lines()
        .rfind(|l| !l.trim().is_empty())
        .unwrap_or_default();
    if !last.starts_with(END) {
        return Err(not_whole("it breaks off"));
    }
    Ok((size, Digest::from_bytes(hasher.finalize().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut gz = Gz::create(file.path()).unwrap();
        gz.write_all(text).unwrap();
        gz.finish().unwrap();
        file
    }

    #[test]
    fn the_servers_words_are_one_statement() {
        for text in [
            "CREATE DATABASE `db_tars` /*!40100 DEFAULT CHARACTER SET utf8mb4 */",
            "CREATE TABLE `a``b` (\n  `c` varchar(9) DEFAULT 'it''s; # \\\\ \\n' COMMENT '--',\n  KEY `k` (`c`)\n)",
            "CREATE TABLE `t` (\n  `c` int\n)\n/*!50100 PARTITION BY LIST (`c`) (PARTITION `p` VALUES IN ('a')) */",
            "CREATE TABLE `t` (\n  `c` blob /*M!100301 COMPRESSED*/\n)",
            "CREATE VIEW `v` AS select '/*' AS `\"`",
        ] {
            assert!(is_one_statement(text), "{text}");
        }
        for text in [
            "",
            "system id",
            "\\! id",
            "CREATE DATABASE x;\n\\! id\n",
            "CREATE DATABASE x\n\\! id\n",
            "CREATE DATABASE x\n  Delimiter a",
            "CREATE DATABASE x\nsource /etc/passwd",
            "CREATE DATABASE x;",
            "CREATE DATABASE x COMMENT 'a\\'\n\\! id\n'",
            "CREATE DATABASE `x\\`\n! id`",
            "CREATE DATABASE \"x\\\"\n! id\"",
            "CREATE DATABASE x /* ' */\n\\! id\n/* ' */",
            "CREATE DATABASE x -- '\n\\! id\n-- '",
            "CREATE DATABASE x # '\n\\! id\n# '",
            "CREATE DATABASE x /*! ' */",
            "CREATE DATABASE x /* open",
            "CREATE DATABASE `x",
            "CREATE DATABASE x\0",
        ] {
            assert!(!is_one_statement(text), "{text}");
        }
        for text in ["a\\", "a\nb", "\0"] {
            assert!(said_name(text).is_err(), "{text:?}");
        }
        assert!(said_name("a`b").is_ok_and(|n| n == "`a``b`"));
    }

    #[test]
    fn only_a_whole_dump_counts() {
        let names = ["db_tars".to_owned()];
        let whole = b"x\nUSE `db_tars`;\nCREATE TABLE t;\n-- Dump completed on 2026-01-01\n";
        let made = file(whole);
        let (size, digest) = verify(made.path(), &names).unwrap();
        let bytes = std::fs::read(made.path()).unwrap();
        assert_eq!((size, digest), (bytes.len() as u64, Digest::of(&bytes)));
        for cut in [bytes.len() - 1, bytes.len() / 2] {
            std::fs::write(made.path(), &bytes[..cut]).unwrap();
            assert!(verify(made.path(), &names).is_err(), "cut at {cut}");
        }
        assert!(verify(file(b"\nUSE `db_tars`;\nCREATE").path(), &names).is_err());
        assert!(verify(file(b"-- Dump completed\n").path(), &names).is_err());
        // A line may lie across two parts.
        let mut long = vec![b'x'; (64 << 10) - 5];
        long.extend_from_slice(b"\nUSE `db_tars`;\n-- Dump completed\n");
        verify(file(&long).path(), &names).unwrap();
    }
}
