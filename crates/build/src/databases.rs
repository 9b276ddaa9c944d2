//! The catalogue and the ledger.

use std::path::{Path, PathBuf};

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog};
use dvb_config::{CatalogueSource, Config, LedgerTarget};
use dvb_engine::{CancelToken, asking};
use dvb_ledger::{Ledger, LedgerError, PostgresLedger, SqliteLedger};
use dvb_pg::Interrupt;

use crate::error::BuildError;

/// What the catalogue is read from.
pub enum CatalogueReader {
    /// Dataverse's database, as it is now.
    Database(PostgresCatalog),
    /// A snapshot in a file.
    Snapshot(SnapshotCatalog),
}

impl CatalogueReader {
    /// What both can do.
    #[must_use]
    pub fn as_catalog(&self) -> &dyn Catalog {
        match self {
            Self::Database(it) => it,
            Self::Snapshot(it) => it,
        }
    }
}

/// The catalogue that the configuration names; nothing is contacted yet.
///
/// # Errors
/// [`BuildError::NoDatabase`].
pub fn catalogue(config: &Config) -> Result<CatalogueReader, BuildError> {
    Ok(match &config.database.catalogue {
        CatalogueSource::Postgres(target) => CatalogueReader::Database(PostgresCatalog::new(target.clone())),
        CatalogueSource::File(path) => CatalogueReader::Snapshot(SnapshotCatalog::new(path)),
        CatalogueSource::Unknown => return Err(BuildError::NoDatabase { path: config.path.clone() }),
    })
}

/// The ledger, for this many workers; a server that does not answer is waited for no longer than `stop` allows.
///
/// # Errors
/// [`LedgerError`], where it cannot be opened.
pub fn ledger(config: &Config, workers: u32, stop: &CancelToken) -> Result<Box<dyn Ledger>, LedgerError> {
    match &config.database.ledger {
        LedgerTarget::Postgres(target) => {
            let (name, interrupt) = (format!("the backup database {}", target.describe()), Interrupt::new());
            // One more plans while the others record.
            let open = || PostgresLedger::open_interruptible(target.clone(), workers + 1, interrupt.clone());
            Ok(Box::new(asking(stop, &name, || interrupt.interrupt(), open)?))
        }
        LedgerTarget::Sqlite(path) => Ok(Box::new(SqliteLedger::new(path))),
    }
}

/// Where a run keeps its list of what is due: beside the ledger, which has room to grow, else where temporary files are.
#[must_use]
pub fn spool_folder(config: &Config) -> PathBuf {
    match &config.database.ledger {
        LedgerTarget::Postgres(_) => std::env::temp_dir(),
        LedgerTarget::Sqlite(path) => path.parent().unwrap_or(Path::new("/")).to_owned(),
    }
}

/// A ledger that lasts as long as the folder.
///
/// # Errors
/// [`LedgerError`], where it cannot be made.
pub fn passing_ledger(folder: &Path) -> Result<Box<dyn Ledger>, LedgerError> {
    let ledger = SqliteLedger::temporary(folder.join("ledger.db"), std::env::temp_dir());
    ledger.migrate()?;
    Ok(Box::new(ledger))
}
