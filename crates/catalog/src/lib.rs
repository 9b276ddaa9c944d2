//! Which data files exist, by Dataverse's database or by a snapshot of it.
//!
//! [`PostgresCatalog`] asks the database of any Dataverse from 4.8 on, [`SnapshotCatalog`] reads the file that
//! [`write_snapshot`] wrote (its format: [`snapshot`]). Both give the same entries in the same order.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//!
//! use dvb_catalog::{Catalog, CatalogError, Detail, Entry, PostgresCatalog};
//!
//! fn total_size(target: dvb_pg::PostgresTarget) -> Result<u64, CatalogError> {
//!     let mut total = 0;
//!     PostgresCatalog::new(target).read(Detail::Essential, &mut |entry| {
//!         if let Entry::DataFile(file) = entry {
//!             total += file.size.unwrap_or_default();
//!         }
//!         ControlFlow::Continue(())
//!     })?;
//!     Ok(total)
//! }
//! ```

mod error;
mod postgres;
pub mod snapshot;

use std::ops::ControlFlow;

use dvb_model::{DataFile, Dataset};

pub use error::{CatalogError, CatalogHint, Cause};
pub use postgres::{PidPlace, PostgresCatalog, Probe};
pub use snapshot::{
    SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SNAPSHOT_WITHOUT_HISTORY, SnapshotCatalog, SnapshotCounts, SnapshotHeader,
    SnapshotLink, SnapshotRewriting, SnapshotWriter, Without, read_header, write_snapshot,
};

/// How much of each data file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What a copy needs.
    Essential,
    /// Also what a person needs: versions with labels and folders, embargo, retention period.
    Full,
}

/// One row of the catalogue. Datasets come first, then data files, each in the order of their ids.
// The difference in size is that of one row in flight; boxing a million rows would cost more.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant)]
pub enum Entry {
    /// A dataset that is not harvested, with or without files.
    Dataset(Dataset),
    /// A data file that is not harvested.
    DataFile(DataFile),
}

/// The list of what Dataverse's database says exists.
pub trait Catalog: Send + Sync {
    /// What is read, for messages: host and database, or the file.
    fn describe(&self) -> String;

    /// Hands every entry to `visit`, in memory that does not grow with their number, until it breaks off.
    ///
    /// Reading a database holds one READ ONLY transaction open for as long as this takes: `visit` must be quick.
    ///
    /// # Errors
    /// [`CatalogError`]; entries that were visited before it stay visited.
    fn read(&self, detail: Detail, visit: &mut dyn FnMut(Entry) -> ControlFlow<()>) -> Result<(), CatalogError>;

    /// Cuts off whoever waits for it, now or later: a run's time is over, and the database hangs. Such a call fails as
    /// [`CatalogError::Unreachable`]. Returns at once. A file has nothing to be cut off from.
    fn interrupt(&self) {}
}
