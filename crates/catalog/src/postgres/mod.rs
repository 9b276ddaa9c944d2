//! The catalogue in Dataverse's own database.

mod child_rows;
mod pages;
mod probe;
mod rows;
mod schema;
mod session;
mod sql;
mod text;

use std::ops::ControlFlow;
use std::time::Duration;
use std::time::Instant;

use dvb_pg::{Interrupt, Patience, PostgresTarget};

pub use probe::Probe;
pub use schema::PidPlace;

use self::child_rows::MergeJoin;
use self::pages::Reader;
use self::rows::CatalogueRow;
use self::schema::Schema;
use self::session::Session;
use crate::{Catalog, CatalogError, Detail, Entry};

/// How long the database may say nothing: before the first row of a long list, it sorts all of them.
const SILENCE: Duration = Duration::from_secs(900);

/// Dataverse's PostgreSQL database, 4.8 or later, by a connection of its own for each reading.
///
/// The tables are looked at before each reading, and the queries made of what is there: nothing is concluded from a
/// version number, and nothing that is there but closed to the role is left out silently ([`CatalogError::Denied`]).
/// A role with the rights of `sql/catalogue/grants.sql` is enough.
#[derive(Debug, Clone)]
pub struct PostgresCatalog {
    target: PostgresTarget,
    patience: Patience,
}

impl PostgresCatalog {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(target: PostgresTarget) -> Self {
        Self { target, patience: Patience { silence: SILENCE, interrupt: Interrupt::new() } }
    }

    /// Looks at the tables and counts, without reading the catalogue.
    ///
    /// # Errors
    /// [`CatalogError`], the same that reading it would meet with.
    pub fn probe(&self) -> Result<Probe, CatalogError> {
        self.transact(Probe::of)
    }

    /// Does `work` in one transaction, which ends with it.
    fn transact<T>(
        &self,
        work: impl FnOnce(&mut Session<'_>, &Schema) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let began = Instant::now();
        let done = self.transact_once(work);
        let (database, ms, ok) = (self.target.describe(), began.elapsed().as_millis(), done.is_ok());
        tracing::debug!(database, ms, ok, "transaction in the catalogue");
        done
    }

    fn transact_once<T>(
        &self,
        work: impl FnOnce(&mut Session<'_>, &Schema) -> Result<T, CatalogError>,
    ) -> Result<T, CatalogError> {
        let client = dvb_pg::connect_with(&self.target, &self.patience);
        let mut client = client.map_err(|it| CatalogError::connecting(&self.target, it))?;
        let mut session = Session::begin(&mut client, &self.target)?;
        let done = Schema::probe(&mut session).and_then(|schema| work(&mut session, &schema));
        done.map_err(|error| match (error, self.patience.interrupt.cause()) {
            (CatalogError::Unreachable { target, .. }, Some(cut)) => {
                CatalogError::Unreachable { target, source: cut.into() }
            }
            (other, _) => other,
        })
    }
}

impl Catalog for PostgresCatalog {
    fn describe(&self) -> String {
        self.target.describe()
    }

    fn interrupt(&self) {
        self.patience.interrupt.interrupt();
    }

    fn read(&self, detail: Detail, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), CatalogError> {
        self.transact(|session, schema| {
            pages::with_reader(session, |reader| match datasets(reader, schema, visit)? {
                ControlFlow::Continue(()) => data_files(reader, schema, detail, visit),
                ControlFlow::Break(()) => Ok(()),
            })
        })
    }
}

fn datasets(
    reader: &mut Reader<'_>,
    schema: &Schema,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, CatalogError> {
    let mut rows = reader.rows("list its datasets", schema.datasets());
    while let Some(row) = rows.next()? {
        let dataset = rows::dataset(&CatalogueRow::new(&row, rows.encoding), 0).map_err(|it| rows.error(it))?;
        if dataset.is_some_and(|it| visit(Entry::Dataset(it)).is_break()) {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The data files, merged with what belongs to them: all in the order of `datafile.id`.
fn data_files(
    reader: &mut Reader<'_>,
    schema: &Schema,
    detail: Detail,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> Result<(), CatalogError> {
    let mut files = reader.rows("list its data files", schema.data_files(detail));
    let mut tables = MergeJoin::of_rows(reader.rows("list its tables", schema.tables()));
    let auxiliary = schema.auxiliary_files().map(|sql| reader.rows("list its auxiliary files", sql));
    let mut auxiliary = auxiliary.map_or_else(MergeJoin::of_nothing, MergeJoin::of_rows);
    let mut versions = match detail {
        Detail::Full => MergeJoin::of_rows(reader.rows("list the names of its data files", schema.versions())),
        Detail::Essential => MergeJoin::of_nothing(),
    };
    // Most files come behind another one of their dataset.
    let mut dataset = None;
    while let Some(row) = files.next()? {
        let line = CatalogueRow::new(&row, files.encoding);
        let mut file = rows::data_file(&line, &mut dataset).map_err(|it| files.error(it))?;
        let id = file.id.0;
        file.tabular = rows::tabular(tables.of(id, rows::table)?);
        file.auxiliary = rows::auxiliary(auxiliary.of(id, rows::auxiliary_file)?);
        file.versions = rows::versions(versions.of(id, rows::named)?);
        if visit(Entry::DataFile(file)).is_break() {
            break;
        }
    }
    Ok(())
}
