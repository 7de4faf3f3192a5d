//! Answers of the database with a limit, so that no server can fill this machine's memory.

use mysql_async::prelude::{FromRow, Protocol, Queryable, StatementLike};
use mysql_async::{DriverError, Error, FromRowError, Params, QueryResult, Row, Value};

/// How many rows one question may have as its answer. A cluster of 10,000 nodes with 50 servers each
/// has half as many in its largest table.
pub const ROWS: usize = 1_000_000;
/// How many bytes the values of one answer may have together.
pub const BYTES: usize = 256 << 20;

/// An answer is larger than it may be; one lowercase clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its answer about {about} has more than {limit}")]
pub(super) struct TooMuch {
    /// What was asked for.
    pub(super) about: String,
    /// How much it may be, with its unit.
    pub(super) limit: String,
}

impl TooMuch {
    fn error(about: &str, limit: impl Into<String>) -> Error {
        Error::Other(Box::new(Self {
            about: about.to_owned(),
            limit: limit.into(),
        }))
    }
}

/// How much an answer may be.
#[derive(Debug, Clone, Copy)]
struct Limits {
    rows: usize,
    bytes: usize,
}

const LIMITS: Limits = Limits {
    rows: ROWS,
    bytes: BYTES,
};

/// All rows of a statement that asks for `about`.
pub(super) async fn query<T: FromRow + Send + 'static>(
    conn: &mut impl Queryable,
    about: &str,
    statement: &str,
) -> Result<Vec<T>, Error> {
    collect(conn.query_iter(statement).await?, about, LIMITS).await
}

/// All rows of a statement with parameters that asks for `about`.
pub(super) async fn exec<T: FromRow + Send + 'static>(
    conn: &mut impl Queryable,
    about: &str,
    statement: impl StatementLike,
    parameters: impl Into<Params> + Send,
) -> Result<Vec<T>, Error> {
    let result = conn.exec_iter(statement, parameters.into()).await?;
    collect(result, about, LIMITS).await
}

async fn collect<T: FromRow + Send + 'static, P: Protocol>(
    mut result: QueryResult<'_, 'static, P>,
    about: &str,
    limits: Limits,
) -> Result<Vec<T>, Error> {
    let (mut out, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = result.next().await? {
        bytes = bytes.saturating_add(size(&row));
        if out.len() >= limits.rows {
            return Err(TooMuch::error(about, format!("{} rows", limits.rows)));
        }
        if bytes > limits.bytes {
            let limit = format!("{} MiB", limits.bytes >> 20);
            return Err(TooMuch::error(about, limit));
        }
        let row = mysql_async::from_row_opt(row)
            .map_err(|FromRowError(row)| DriverError::FromRow { row })?;
        out.push(row);
    }
    result.drop_result().await?;
    Ok(out)
}

/// About how many bytes a row holds.
fn size(row: &Row) -> usize {
    (0..row.len())
        .map(|column| match row.as_ref(column) {
            Some(Value::Bytes(bytes)) => bytes.len() + size_of::<Value>(),
            _ => size_of::<Value>(),
        })
        .sum()
}
