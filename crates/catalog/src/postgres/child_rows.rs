//! What belongs to data files, read beside them: no query per file, and no more of it in memory than a page.

use std::cmp::Ordering;

use postgres::Row;

use super::pages::Rows;
use super::rows::CatalogueRow;
use crate::CatalogError;

/// Rows in the order of the data files' ids, which are in their first column; any number of them for one id.
pub(super) struct MergeJoin<'a> {
    rows: Option<Rows<'a>>,
    ahead: Option<(i64, Row)>,
}

impl<'a> MergeJoin<'a> {
    pub(super) fn of_rows(rows: Rows<'a>) -> Self {
        Self { rows: Some(rows), ahead: None }
    }

    /// Where this database, or this reading, has no such query.
    pub(super) fn of_nothing() -> Self {
        Self { rows: None, ahead: None }
    }

    /// The rows of `id`, each made into something by `make`; ids are asked for in ascending order.
    pub(super) fn of<T>(
        &mut self,
        id: i64,
        make: fn(&CatalogueRow<'_>) -> Result<T, postgres::Error>,
    ) -> Result<Vec<T>, CatalogError> {
        let mut found = Vec::new();
        let Some(rows) = &mut self.rows else { return Ok(found) };
        while let Some((owner, row)) = next(rows, &mut self.ahead)? {
            match owner.cmp(&id) {
                // Of a harvested file.
                Ordering::Less => {}
                Ordering::Equal => {
                    found.push(make(&CatalogueRow::new(&row, rows.encoding)).map_err(|it| rows.error(it))?)
                }
                Ordering::Greater => {
                    self.ahead = Some((owner, row));
                    break;
                }
            }
        }
        Ok(found)
    }
}

fn next(rows: &mut Rows<'_>, ahead: &mut Option<(i64, Row)>) -> Result<Option<(i64, Row)>, CatalogError> {
    if let Some(row) = ahead.take() {
        return Ok(Some(row));
    }
    let Some(row) = rows.next()? else { return Ok(None) };
    let owner = row.try_get(0).map_err(|it| rows.error(it))?;
    Ok(Some((owner, row)))
}
