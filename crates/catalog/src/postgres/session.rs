//! One transaction in Dataverse's database, and the queries in it.

use dvb_pg::PostgresTarget;
use postgres::types::{ToSql, Type};
use postgres::{Client, IsolationLevel, Row, Transaction};

use super::text::Encoding;
use crate::CatalogError;

/// A cursor's rows are not worked out by parallel workers, nor are they worth compiling, and all of them are fetched: without
/// these settings the server would plan otherwise. Where a policy hides rows from the role, an error is better than a shorter catalogue.
/// Which settings exist depends on the server's version. Of a database that checks no encoding the server would refuse to
/// give a row that is not UTF-8, and all others with it.
const SETTINGS: &str = "SELECT set_config(s.name, w.value, true)
FROM pg_settings s JOIN (
    VALUES ('jit', 'off'), ('max_parallel_workers_per_gather', '0'), ('cursor_tuple_fraction', '1'), ('row_security', 'off')
) w (name, value) USING (name)
UNION ALL SELECT set_config('client_encoding', 'SQL_ASCII', true) WHERE current_setting('server_encoding') = 'SQL_ASCII'";

const SINGLE_BYTE: &str = "SELECT pg_encoding_max_length(pg_char_to_encoding(e)) = 1 AND e <> 'SQL_ASCII'
FROM current_setting('server_encoding') e";

/// A byte that is no character of the encoding: to be converted, or at all.
const REFUSED: [&str; 2] = ["22P05", "22021"];

/// Reads, and shows what was there when it began, however long it takes.
///
/// Nothing in it needs more than the transaction, so that a pooler may be in between: prepared statements with a name would be
/// those of a session.
pub(super) struct Session<'a> {
    pub(super) target: &'a PostgresTarget,
    /// What the bytes of its texts mean.
    pub(super) encoding: Encoding,
    transaction: Transaction<'a>,
}

impl<'a> Session<'a> {
    pub(super) fn begin(client: &'a mut Client, target: &'a PostgresTarget) -> Result<Self, CatalogError> {
        let transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .map_err(|it| CatalogError::statement(target, "begin a transaction", it))?;
        let mut session = Self { target, encoding: Encoding::Utf8, transaction };
        session.query("take settings for a transaction", SETTINGS, &[])?;
        session.learn_encoding()?;
        Ok(session)
    }

    /// A database of a single-byte encoding may hold bytes that are no character of it (WIN1252 has five). The server
    /// would fail to convert the first one and end the reading: so the bytes are taken as they are, by the server's own table.
    fn learn_encoding(&mut self) -> Result<(), CatalogError> {
        let what = "find out its encoding";
        let is_single = self.query(what, SINGLE_BYTE, &[])?.first().and_then(|row| row.try_get(0).ok());
        if !is_single.unwrap_or(false) {
            return Ok(());
        }
        let mut upper = Vec::with_capacity(128);
        for byte in 0x80..=0xff_u8 {
            // What fails ends no more than this.
            let mut one =
                self.transaction.savepoint("byte").map_err(|it| CatalogError::statement(self.target, what, it))?;
            let text = format!("SELECT convert_from('\\x{byte:02x}'::bytea, current_setting('server_encoding'))::text");
            let answer = one.query_typed(&text, &[]);
            let refused = |error: &postgres::Error| error.code().is_some_and(|it| REFUSED.contains(&it.code()));
            let character = match answer {
                Ok(rows) => {
                    let text: Option<String> = rows.first().and_then(|row| row.try_get(0).ok());
                    one.commit().map_err(|it| CatalogError::statement(self.target, what, it))?;
                    text.and_then(|it| it.chars().next())
                }
                Err(error) if refused(&error) => {
                    one.rollback().map_err(|it| CatalogError::statement(self.target, what, it))?;
                    None
                }
                Err(error) => return Err(CatalogError::statement(self.target, what, error)),
            };
            upper.push(character);
        }
        self.query(what, "SELECT set_config('client_encoding', 'SQL_ASCII', true)", &[])?;
        self.encoding = Encoding::SingleByte(upper);
        Ok(())
    }

    pub(super) fn query(
        &mut self,
        what: &'static str,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, CatalogError> {
        self.transaction.query_typed(sql, parameters).map_err(|it| self.error(what, it))
    }

    /// A statement without an answer.
    pub(super) fn run(&mut self, what: &'static str, sql: &str) -> Result<(), CatalogError> {
        self.transaction.batch_execute(sql).map_err(|it| self.error(what, it))
    }

    pub(super) fn error(&self, what: &'static str, error: postgres::Error) -> CatalogError {
        CatalogError::statement(self.target, what, error)
    }

    pub(super) fn denied(&self, relations: Vec<String>) -> CatalogError {
        CatalogError::Denied {
            target: self.target.describe(),
            database: self.target.database.clone(),
            role: self.target.username.clone(),
            relations,
        }
    }

    pub(super) fn unknown_schema(&self, missing: Vec<String>) -> CatalogError {
        CatalogError::UnknownSchema { target: self.target.describe(), role: self.target.username.clone(), missing }
    }
}
