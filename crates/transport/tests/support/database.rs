//! A real database, and the access to it that tests start from.

use std::time::Duration;

use tarsops_model::desired::Tls;
use tarsops_model::names::Endpoint;
use tarsops_sandbox::database::{MariaDb, MariaDbOptions, Rights, Schema, require_or_fail};
use tarsops_transport::mysql::{Access, Secret};
use tarsops_transport::rpc::Way;

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
        way: Way::Direct,
        user: "ops".to_owned(),
        password: Secret::new(PASSWORD),
    }
}

pub fn clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}
