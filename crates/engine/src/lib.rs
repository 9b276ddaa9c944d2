//! One run: what is due, copy, prove, record.
//!
//! [`run`] reads the catalogue, compares it with the ledger, copies what is due from the stores to one destination,
//! and records each verdict only with its proofs in hand.

mod ending;
mod error;
mod fingerprint;
mod observer;
mod options;
mod payload;
mod run;
mod spool;
mod stop;
mod stores;
mod summary;

pub use ending::Ending;
pub use error::RunError;
pub use observer::{Event, Observer, Silent};
pub use options::{Options, Selection};
pub use run::{Setup, new_run_id, run};
pub use stop::Stop;
pub use stores::{Access, Store, Stores};
pub use summary::{Due, FileCounts, Finding, LISTED, Summary};
