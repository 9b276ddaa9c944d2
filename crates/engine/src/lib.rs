//! One run: what is due, copy, prove, record.
//!
//! [`run`] reads the catalogue, compares it with the ledger, copies what is due from the stores to one destination,
//! and records each verdict only with its proofs in hand. [`restore()`] goes the other way: from the destinations back
//! into a folder or into the stores.

mod adopt;
mod arrival;
mod audit;
mod carry;
mod check;
mod claimed;
mod connection;
mod cut;
mod ending;
mod error;
mod fingerprint;
mod guard;
mod hand;
mod incident;
mod inspect;
mod item;
mod judge;
mod lane;
mod mend;
mod nightly;
mod objects;
mod observer;
mod on_record;
mod options;
mod orphans;
mod package;
mod payload;
mod plan;
mod pool;
mod presence;
mod rebuild;
mod renamed;
mod repair;
mod reread;
mod resolve;
mod restore;
mod run;
mod settle;
mod share;
mod snapshot;
mod sorted;
mod spelling;
mod spool;
mod stop;
mod stores;
mod summary;
mod tally;
mod verify;
mod waits;
mod workers;

pub use audit::{AuditCounts, AuditFinding, AuditOptions, AuditSetup, AuditSummary, Condition, audit};
pub use ending::Ending;
pub use error::RunError;
pub use guard::{
    Examined, Identity, Owner, PrepareOptions, PrepareSetup, Prepared, Sample, Samples, Seen, examine,
    look_at_identity, prepare,
};
pub use observer::{Event, Observer, Silent};
pub use options::{Options, Overrides, Selection};
pub use orphans::{KnownBy, MissingObject, Orphan, OrphansOptions, OrphansSetup, OrphansSummary, orphans};
pub use rebuild::{
    ClaimCounts, Fetched, RebuildOptions, RebuildSetup, RebuildSummary, SnapshotRow, Which, claim_snapshot,
    fetch_snapshot, list_snapshots, rebuild,
};
pub use repair::{Outcome, RepairCounts, RepairItem, RepairOptions, RepairSetup, RepairSummary, Settled, repair};
pub use resolve::{Asked, Names, Resolved};
pub use restore::{
    Goal, Layout, ObjectCounts, Origin, RestoreError, RestoreFinding, RestoreOptions, RestoreSetup, RestoreSummary,
    StoreWriters, restore, writer_run,
};
pub use run::{Setup, new_run_id, run, run_together};
pub use stop::{ENDS_WITHIN, Stop};
pub use stores::{Access, NoStore, Store, Stores};
pub use summary::{AuditedCounts, Due, FileCounts, Finding, LISTED, PresenceCounts, ReasonCount, Summary};
pub use verify::{CopyCounts, Damage, VerifyOptions, VerifySetup, VerifySummary, verify};

/// An error with the causes behind it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(it) = next {
        text.push_str(": ");
        text.push_str(&it.to_string());
        next = it.source();
    }
    text
}
