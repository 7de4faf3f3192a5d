//! A real database, and the access to it that tests start from.

use std::sync::Arc;
use std::time::Duration;

use tarsops_model::desired::Tls;
use tarsops_model::names::Endpoint;
use tarsops_standin::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_transport::mysql::{Access, Secret};
use tarsops_transport::rpc::Route;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const WAIT: Duration = Duration::from_secs(20);
pub const PASSWORD: &str = "hunter2 'quoted\\";

pub fn start_with(options: MariaDbOptions) -> (tempfile::TempDir, MariaDb) {
    require_or_fail();
    let dir = tempfile::tempdir().unwrap();
    let database = MariaDb::start(dir.path(), &options).unwrap();
    (dir, database)
}

pub fn start() -> (tempfile::TempDir, MariaDb) {
    start_with(MariaDbOptions::default())
}

/// With `db_tars`, its rows, and an account `ops` that may read them.
pub fn filled(schema: Schema) -> (tempfile::TempDir, MariaDb) {
    let (dir, database) = start();
    database.load(schema).unwrap();
    database.fill().unwrap();
    database.account("ops", PASSWORD, Rights::Read).unwrap();
    (dir, database)
}

pub fn at(database: &MariaDb) -> Endpoint {
    Endpoint::at(database.address().ip(), database.address().port())
}

pub fn access(database: &MariaDb) -> Access {
    Access {
        address: at(database),
        tls: Tls::Prefer,
        fingerprint: None,
        known: None,
        way: Route::Direct,
        user: "ops".to_owned(),
        password: Secret::new(PASSWORD),
    }
}

pub fn clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// What happens when the client says a certain thing.
pub type Act = Arc<dyn Fn() -> bool + Send + Sync>;

/// A way to the database that acts when the client says `needle`, and cuts the connection if that
/// returned false. Every connection acts.
pub async fn between(to: Endpoint, needle: &'static str, act: Act) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let here = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((to.host.as_str(), to.port))
                .await
                .unwrap();
            let act = Arc::clone(&act);
            tokio::spawn(async move {
                let ((mut from, mut back), (mut answers, mut on)) =
                    (client.into_split(), server.into_split());
                let returns = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut answers, &mut back).await;
                });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(n @ 1..) = from.read(&mut buffer).await {
                    if String::from_utf8_lossy(&buffer[..n]).contains(needle) && !act() {
                        break;
                    }
                    if on.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
                returns.abort();
            });
        }
    });
    Endpoint::at(here.ip(), here.port())
}
