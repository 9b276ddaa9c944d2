//! One transaction in Dataverse's database, and the queries in it.

use std::vec;

use dvb_pg::PostgresTarget;
use postgres::types::ToSql;
use postgres::{Client, IsolationLevel, Portal, Row, Transaction};

use crate::CatalogError;

/// Rows fetched at a time: a few megabytes.
const PAGE: i32 = 5_000;

/// A portal's rows are not worked out by parallel workers, nor are they worth compiling: without these settings the
/// server would plan for both. Where a policy hides rows from the role, an error is better than a shorter catalogue.
/// Which settings exist depends on the server's version.
const SETTINGS: &str = "SELECT set_config(s.name, w.value, true)
FROM pg_settings s JOIN (
    VALUES ('jit', 'off'), ('max_parallel_workers_per_gather', '0'), ('row_security', 'off')
) w (name, value) USING (name)";

/// Reads, and shows what was there when it began, however long it takes.
pub(super) struct Session<'a> {
    target: &'a PostgresTarget,
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
        let mut session = Self { target, transaction };
        session.query("take settings for a transaction", SETTINGS, &[])?;
        Ok(session)
    }

    pub(super) fn query(
        &mut self,
        what: &'static str,
        sql: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, CatalogError> {
        self.transaction.query(sql, parameters).map_err(|it| self.error(what, it))
    }

    /// Begins a query whose rows are too many for memory.
    pub(super) fn open(&mut self, what: &'static str, sql: &str) -> Result<Cursor, CatalogError> {
        let portal = self.transaction.bind(sql, &[]).map_err(|it| self.error(what, it))?;
        Ok(Cursor { what, portal: Some(portal), page: Vec::new().into_iter() })
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

/// The rows of a query, page by page. Several may be open in one [`Session`].
pub(super) struct Cursor {
    pub(super) what: &'static str,
    portal: Option<Portal>, // until its last page
    page: vec::IntoIter<Row>,
}

impl Cursor {
    pub(super) fn next(&mut self, session: &mut Session<'_>) -> Result<Option<Row>, CatalogError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        let Some(portal) = &self.portal else { return Ok(None) };
        let page = session.transaction.query_portal(portal, PAGE).map_err(|it| session.error(self.what, it))?;
        // A server that gave fewer has none left.
        if i32::try_from(page.len()).is_ok_and(|it| it < PAGE) {
            self.portal = None;
        }
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}
