//! From the configuration to databases, stores and destinations: with `dvb-config`, all that it takes to work with an
//! existing `config.ini`.
//!
//! It alone names every kind of store and destination that there is. And of the libraries it alone looks around: what the
//! tools of each service look up by themselves (`~/.ssh`, `~/.aws`, the agent's socket, a proxy) is looked up here, in the
//! environment and the home folder of the process.

mod cloud;
mod databases;
mod error;
mod process;
mod purge;
mod setting;
mod sinks;
mod stores;

pub use cloud::CloudError;
/// What this program writes on its own machine is replaced as a whole.
pub use dvb_fs::replace_file;

pub use databases::{CatalogueReader, catalogue, ledger, passing_ledger, spool_folder};
pub use error::BuildError;
pub use process::{agent, config, config_without_database, host_name, person, process};
pub use purge::{PurgeOpener, purger};
pub use setting::key;
pub use sinks::{restore_folder, sink};
pub use stores::{Origin, StoreRow, StoreTable, default_store, no_stores, shown_url, store_table, store_table_or_none};
