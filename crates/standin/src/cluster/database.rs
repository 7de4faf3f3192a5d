//! The cluster's own MariaDB: where it listens, its accounts, and a row that goes.
//!
//! The cluster's server holds it, so it outlives whoever made the cluster and ends with the server,
//! however that ends.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

use super::{Cluster, ClusterError, PATIENCE, at};
use crate::database::{MariaDb, MariaDbOptions, Rights, Schema};
use crate::store::{Database, StoreError};

/// Where databases listen, if nobody else does.
const PORT: u16 = 3306;
/// The framework's account, as the installer calls it.
const USER: &str = "tarsAdmin";
const NAME: &str = "db_tars";

/// Where the database will listen, and as whom the framework will log in.
pub(super) fn choose(ip: Ipv4Addr) -> Result<Database, ClusterError> {
    let any = SocketAddr::from((ip, 0));
    let listener = TcpListener::bind((ip, PORT)).or_else(|_| TcpListener::bind(any));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(Database::MariaDb {
        address: address.map_err(|source| ClusterError::Address {
            address: any,
            source,
        })?,
        user: USER.to_owned(),
        password: password()?,
        name: NAME.to_owned(),
    })
}

fn password() -> Result<String, ClusterError> {
    let source = Path::new("/dev/urandom");
    let mut random = [0u8; 12];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(at(source))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Start the database of a cluster that has one of its own, with tables and accounts.
pub(super) fn start(cluster: &Cluster) -> Result<Option<MariaDb>, ClusterError> {
    let (Some(own), Some(framework)) = (&cluster.facts.own_database, &cluster.facts.framework)
    else {
        return Ok(None);
    };
    let Database::MariaDb {
        address,
        user,
        password,
        ..
    } = &framework.database
    else {
        return Ok(None);
    };
    let folder = cluster.dir.join("database");
    fs::create_dir_all(&folder).map_err(at(&folder))?;
    let options = MariaDbOptions {
        ip: address.ip(),
        port: address.port(),
        tls: false,
        more: &[],
    };
    let database = MariaDb::start(&folder, &options)?;
    database.load(Schema::Installed)?;
    database.account(user, password, Rights::All)?;
    database.account(&own.operator, &own.password, Rights::Read)?;
    let operator = own.operator.replace('\'', "''");
    database.root_sql(&format!(
        "GRANT UPDATE, DELETE ON {NAME}.* TO '{operator}'@'%'"
    ))?;
    Ok(Some(database))
}

/// Delete a node's row; how many there were.
pub(super) fn delete_node_row(server: &Database, node: &str) -> Result<u64, StoreError> {
    let Database::MariaDb {
        address,
        user,
        password,
        name,
    } = server
    else {
        return Ok(0);
    };
    let options = OptsBuilder::default()
        .ip_or_hostname(address.ip().to_string())
        .tcp_port(address.port())
        .user(Some(user))
        .pass(Some(password))
        .db_name(Some(name))
        .prefer_socket(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StoreError::Database(error.into()))?;
    let work = async {
        let mut conn = Conn::new(options).await?;
        conn.exec_drop("DELETE FROM t_node_info WHERE node_name = ?", (node,))
            .await?;
        let gone = conn.affected_rows();
        conn.disconnect().await?;
        Ok(gone)
    };
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, work)
            .await
            .map_err(|_| StoreError::TimedOut(PATIENCE))?
            .map_err(StoreError::Database)
    })
}
