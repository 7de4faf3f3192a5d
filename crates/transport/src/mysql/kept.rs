//! Reading the rows again that a run wrote down before it deleted them.
//!
//! Whoever can write into the master's folder can write anything there. So the text is never run: what
//! is read of it are names of columns and plain values, in exactly the form in which they are written,
//! and only rows of the server that is meant.

use std::net::IpAddr;

use mysql_async::Value;

/// The longest text that an error quotes, in characters.
const QUOTED: usize = 64;
/// The most columns that a row may have.
const COLUMNS: usize = 256;

/// Whose rows are restored.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The server, of the application `tars`.
    pub server: &'a str,
    /// The node as its rows name it.
    pub node: &'a str,
    /// The address of the node.
    pub ip: IpAddr,
    /// Whether a text of the column `endpoint` is an endpoint at that address.
    pub is_endpoint: fn(&str, IpAddr) -> bool,
}

/// Why a kept row is not put back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SavedRowError {
    /// It is not what is written there.
    #[error(
        "line {line} of the saved rows is not a row as tarsops writes it: {wanted} expected at column {column}"
    )]
    Form {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 1.
        column: usize,
        /// What should be there.
        wanted: &'static str,
    },
    /// It is another's.
    #[error("line {line} of the saved rows has `{says}` as {column}, and {wanted} is expected")]
    Strange {
        /// The line, from 1.
        line: usize,
        /// The column of the table.
        column: &'static str,
        /// What it says, shortened and without what a terminal would obey.
        says: String,
        /// What it may say.
        wanted: String,
    },
}

/// A row to restore.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SavedRow {
    table: &'static str,
    columns: Vec<String>,
    values: Vec<Value>,
}

impl SavedRow {
    /// The statement that writes it where no row has its place, and its parameters.
    pub(super) fn statement(&self) -> (String, Vec<Value>) {
        let names: Vec<String> = self.columns.iter().map(|c| format!("`{c}`")).collect();
        let statement = format!(
            "INSERT IGNORE INTO db_tars.{} ({}) VALUES ({})",
            self.table,
            names.join(", "),
            vec!["?"; names.len()].join(", ")
        );
        (statement, self.values.clone())
    }

    fn text(&self, column: &str) -> Option<&[u8]> {
        // The database takes names of columns in any case.
        let at = self
            .columns
            .iter()
            .position(|c| c.eq_ignore_ascii_case(column))?;
        match self.values.get(at) {
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn is_of(&self, owner: &Owner<'_>, line: usize) -> Result<(), SavedRowError> {
        let must = |column: &'static str, wanted: String, fits: &dyn Fn(&str) -> bool| {
            let says = self.text(column).map(String::from_utf8_lossy);
            if says.as_ref().is_some_and(|says| fits(says)) {
                return Ok(());
            }
            let says = says.as_deref().unwrap_or("no text");
            Err(SavedRowError::Strange {
                line,
                column,
                says: says
                    .chars()
                    .take(QUOTED)
                    .flat_map(char::escape_debug)
                    .collect(),
                wanted,
            })
        };
        for (column, value) in [
            ("application", "tars"),
            ("server_name", owner.server),
            ("node_name", owner.node),
        ] {
            must(column, format!("`{value}`"), &|says| says == value)?;
        }
        if self.table == ADAPTERS {
            // What a servant resolves to is what its callers believe.
            let own = format!("tars.{}.", owner.server);
            must("servant", format!("a servant of {own}"), &|says| {
                says.starts_with(&own)
            })?;
            must(
                "endpoint",
                format!("an endpoint at {}", owner.ip),
                &|says| (owner.is_endpoint)(says, owner.ip),
            )?;
        }
        Ok(())
    }
}

const SERVERS: &str = "t_server_conf";
const ADAPTERS: &str = "t_adapter_conf";

/// The servers and adapters in what [`Access::dump`](super::Access::dump) wrote. Other lines are passed
/// over: rows of registries and nodes are written by those who stand behind them.
pub(super) fn rows(dump: &str, owner: &Owner<'_>) -> Result<Vec<SavedRow>, SavedRowError> {
    let mut all = Vec::new();
    for (index, text) in dump.lines().enumerate() {
        let line = index + 1;
        for table in [SERVERS, ADAPTERS] {
            let Some(rest) = text.strip_prefix(&format!("INSERT INTO db_tars.{table} (")) else {
                continue;
            };
            let reader = Reader { text, rest, line };
            let row = reader.row(table)?;
            row.is_of(owner, line)?;
            all.push(row);
        }
    }
    Ok(all)
}

/// Reads one line from the left to the right.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, wanted: &'static str) -> SavedRowError {
        SavedRowError::Form {
            line: self.line,
            column: self.text.len() - self.rest.len() + 1,
            wanted,
        }
    }

    fn skip(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str, wanted: &'static str) -> Result<(), SavedRowError> {
        if self.skip(text) {
            Ok(())
        } else {
            Err(self.error(wanted))
        }
    }

    /// What stands here of characters that `fits`.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn row(mut self, table: &'static str) -> Result<SavedRow, SavedRowError> {
        let mut columns: Vec<String> = Vec::new();
        loop {
            self.expect("`", "a backquote")?;
            let name = self.run(|c| c.is_ascii_alphanumeric() || c == '_');
            let new = !columns.iter().any(|c| c.eq_ignore_ascii_case(name));
            if name.is_empty() || !new || columns.len() == COLUMNS {
                return Err(self.error("another column"));
            }
            columns.push(name.to_owned());
            self.expect("`", "a backquote")?;
            if !self.skip(", ") {
                break;
            }
        }
        self.expect(") VALUES (", "the list of values")?;
        let mut values = Vec::new();
        loop {
            values.push(self.value()?);
            if !self.skip(", ") {
                break;
            }
        }
        self.expect(")", "a comma or the end of the row")?;
        self.skip(";");
        if !self.rest.is_empty() {
            return Err(self.error("the end of the line"));
        }
        if columns.len() != values.len() {
            return Err(self.error("as many values as columns"));
        }
        Ok(SavedRow {
            table,
            columns,
            values,
        })
    }

    fn value(&mut self) -> Result<Value, SavedRowError> {
        if self.skip("NULL") {
            return Ok(Value::NULL);
        }
        if self.skip("'") {
            return self.string();
        }
        if self.skip("0x") {
            let digits = self.run(|c| c.is_ascii_hexdigit());
            let bytes = (0..digits.len())
                .step_by(2)
                .map(|at| digits.get(at..at + 2).map(|d| u8::from_str_radix(d, 16)));
            let bytes: Option<Result<Vec<u8>, _>> = bytes.collect();
            let Some(Ok(bytes)) = bytes else {
                return Err(self.error("two digits for each byte"));
            };
            return Ok(Value::Bytes(bytes));
        }
        let number = self.run(|c| c.is_ascii_digit() || c == '-' || c == '.');
        let whole = number.parse().map(Value::Int);
        let whole = whole.or_else(|_| number.parse().map(Value::UInt));
        let value = whole.or_else(|_| number.parse().map(Value::Double));
        value.map_err(|_| self.error("a value"))
    }

    /// The rest of a text behind its first quote.
    fn string(&mut self) -> Result<Value, SavedRowError> {
        let mut out = String::new();
        loop {
            out.push_str(self.run(|c| !matches!(c, '\'' | '\\' | '"' | '\0' | '\u{1a}')));
            if self.skip("'") {
                return Ok(Value::from(out));
            }
            self.expect("\\", "the end of the text")?;
            let escaped = self.run_one();
            out.push(match escaped {
                Some('0') => '\0',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('Z') => '\u{1a}',
                Some(c @ ('\\' | '\'' | '"')) => c,
                _ => return Err(self.error("an escape")),
            });
        }
    }

    fn run_one(&mut self) -> Option<char> {
        let mut all = self.rest.chars();
        let first = all.next();
        self.rest = all.as_str();
        first
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use mysql_async::Value;
    use proptest::prelude::*;

    const OWNER: Owner<'static> = Owner {
        server: "tarsregistry",
        node: "10.0.0.2",
        ip: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)),
        is_endpoint: |text, ip| text.contains(&format!("-h {ip} ")),
    };
    const HEAD: &str = "INSERT INTO db_tars.t_server_conf (`application`, `server_name`, \
                        `node_name`, `profile`) VALUES ('tars', 'tarsregistry', '10.0.0.2', ";

    fn read(text: &str) -> Result<Vec<SavedRow>, SavedRowError> {
        rows(text, &OWNER)
    }

    fn adapter(servant: &str, endpoint: &str) -> String {
        format!(
            "INSERT INTO db_tars.t_adapter_conf (`application`, `server_name`, `node_name`, \
             `servant`, `endpoint`) VALUES ('tars', 'tarsregistry', '10.0.0.2', '{servant}', \
             '{endpoint}');\n"
        )
    }

    #[test]
    fn nothing_but_plain_values_is_read() {
        for bad in [
            "1); DROP DATABASE db_tars; SELECT (1);",
            "SLEEP(9));",
            "(SELECT password FROM mysql.user));",
            "'a' 'b');",
            "'a''b');",
            "'a\\%');",
            "'a\"b');",
            "'a",
            "'a\\",
            "1, 2);",
            "0xABC);",
            "0xZZ);",
            "1e9);",
            "inf);",
            "NaN);",
            "--1);",
            "@@version);",
            "NOW());",
            "'a') ON DUPLICATE KEY UPDATE profile = 'b';",
            "'a'), ('tars', 'x', 'y', 'z');",
            "'a');;",
            "'a'); -- more",
            "'a'",
            "",
        ] {
            let found = read(&format!("{HEAD}{bad}\n"));
            assert!(
                matches!(found, Err(SavedRowError::Form { line: 1, .. })),
                "{bad}: {found:?}"
            );
        }
        for columns in ["`a` = 1", "a", "``", "`a`, `A`", "`a b`", "`a`)--"] {
            let text = format!("INSERT INTO db_tars.t_server_conf ({columns}) VALUES (1, 2);");
            let found = read(&text);
            assert!(
                matches!(found, Err(SavedRowError::Form { .. })),
                "{columns}: {found:?}"
            );
        }
    }

    #[test]
    fn only_rows_of_the_server_on_its_node_are_read() {
        assert_eq!(read(&format!("{HEAD}NULL);\n")).unwrap().len(), 1);
        for (from, to) in [
            ("'tars',", "'Shop',"),
            ("'tarsregistry'", "'tarsnode'"),
            ("'tarsregistry'", "NULL"),
            ("'10.0.0.2'", "'10.0.0.3'"),
            ("`node_name`", "`node`"),
        ] {
            let text = format!("{HEAD}NULL);\n").replace(from, to);
            let found = read(&text);
            assert!(
                matches!(found, Err(SavedRowError::Strange { .. })),
                "{to}: {found:?}"
            );
        }
        let (query, own) = ("tars.tarsregistry.QueryObj", "tcp -h 10.0.0.2 -p 17890");
        assert_eq!(read(&adapter(query, own)).unwrap().len(), 1);
        for (servant, endpoint) in [
            ("tars.tarsAdminRegistry.AdminRegObj", own),
            (query, "tcp -h 10.6.6.6 -p 17890"),
        ] {
            let found = read(&adapter(servant, endpoint));
            assert!(
                matches!(found, Err(SavedRowError::Strange { .. })),
                "{servant} {endpoint}: {found:?}"
            );
        }
    }

    #[test]
    fn what_is_read_is_bound_and_never_part_of_a_statement() {
        let all = read(&format!("{HEAD}'a\\'; DROP');\n")).unwrap();
        let (statement, values) = all[0].statement();
        assert_eq!(
            statement,
            "INSERT IGNORE INTO db_tars.t_server_conf (`application`, `server_name`, `node_name`, \
             `profile`) VALUES (?, ?, ?, ?)"
        );
        assert_eq!(values[3], Value::from("a'; DROP"));
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::NULL),
            any::<i64>().prop_map(Value::Int),
            (i64::MAX as u64 + 1..).prop_map(Value::UInt),
            any::<String>().prop_map(Value::from),
            "['\"\\\\\n\r\0\u{1a},);`a]{0,12}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..9).prop_map(Value::Bytes),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_written_down_is_read_again(value in value()) {
            let text = format!("{HEAD}{});\n", value.as_sql(false));
            let found = read(&text).unwrap();
            prop_assert_eq!(&found[0].values[3], &value);
        }
    }
}
