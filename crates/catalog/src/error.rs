//! What can go wrong while the catalogue is read.

use thiserror::Error;

/// Reading the catalogue failed.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The database cannot be reached, or the connection broke: trying again later can help.
    #[error("cannot reach Dataverse's database at {target}; check [Database] Host, Port, SslMode and that it runs")]
    Unreachable {
        /// Host, port and database.
        target: String,
        /// What the driver said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
