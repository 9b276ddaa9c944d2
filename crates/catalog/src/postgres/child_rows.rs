//! What belongs to data files, read beside them: no query per file, and no more of it in memory than a page.

use std::cmp::Ordering;

use postgres::Row;

use super::rows::Line;
use super::session::{Cursor, Session};
use crate::CatalogError;

/// Rows in the order of the data files' ids, which are in their first column; any number of them for one id.
pub(super) struct MergeJoin {
    cursor: Option<Cursor>,
    ahead: Option<(i64, Row)>,
}

impl MergeJoin {
    /// The rows of `sql`, or none where this database, or this reading, has no such query.
    pub(super) fn open(
        session: &mut Session<'_>,
        what: &'static str,
        sql: Option<String>,
    ) -> Result<Self, CatalogError> {
        let cursor = sql.map(|it| session.open(what, &it)).transpose()?;
        Ok(Self { cursor, ahead: None })
    }

    /// The rows of `id`, each made into something by `make`; ids are asked for in ascending order.
    pub(super) fn of<T>(
        &mut self,
        session: &mut Session<'_>,
        id: i64,
        make: fn(&Line<'_>) -> Result<T, postgres::Error>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut found = Vec::new();
        while let Some((owner, row)) = self.next(session)? {
            match owner.cmp(&id) {
                // Of a harvested file.
                Ordering::Less => {}
                Ordering::Equal => {
                    let line = Line::new(&row, &session.encoding);
                    found.push(make(&line).map_err(|it| session.error(self.what(), it))?);
                }
                Ordering::Greater => {
                    self.ahead = Some((owner, row));
                    break;
                }
            }
        }
        Ok(found)
    }

    fn next(&mut self, session: &mut Session<'_>) -> Result<Option<(i64, Row)>, CatalogError> {
        if let Some(row) = self.ahead.take() {
            return Ok(Some(row));
        }
        let Some(cursor) = &mut self.cursor else { return Ok(None) };
        let Some(row) = cursor.next(session)? else { return Ok(None) };
        let owner = row.try_get(0).map_err(|it| session.error(cursor.what, it))?;
        Ok(Some((owner, row)))
    }

    fn what(&self) -> &'static str {
        self.cursor.as_ref().map_or("be read", |it| it.what)
    }
}
