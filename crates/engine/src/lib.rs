//! One run: what is due, copy, prove, record.
//!
//! [`run`] reads the catalogue, compares it with the ledger, copies what is due from the stores to one destination,
//! and records each verdict only with its proofs in hand. [`restore()`] goes the other way: from the destinations back
//! into a folder or into the stores.

mod acknowledge;
mod audit;
mod catalogue;
mod check;
mod command;
mod copies;
mod drill;
mod guard;
mod hosts;
mod orphans;
mod purge;
mod rebuild;
mod repair;
mod restore;
mod run;
mod source;
mod status;
mod verify;

pub use acknowledge::{
    AcknowledgeOptions, AcknowledgeSetup, AcknowledgeSummary, AcknowledgedFile, acknowledge, acknowledged,
};
pub use audit::{AuditOptions, AuditSetup, AuditSummary, audit, audit_shared};
pub use check::{
    CatalogueCheck, CheckOptions, CheckSetup, DestinationCheck, Probed, check_catalogue, check_destinations,
    check_store, lock_holder, probe_destination,
};
pub use command::LISTED;
pub use command::cancel::{CancelToken, ENDS_WITHIN};
pub use command::cut::asking;
pub use command::error::RunError;
pub use command::exit_status::ExitStatus;
pub use command::hint::Hint;
pub use command::observer::{Event, NullObserver, Observer};
pub use command::owner::Owner;
pub use command::resolve::{Asked, Names, Resolved};
pub use command::selection::Selection;
pub use command::time::new_run_id;
pub use copies::findings::{CopyCounts, CopyFault, Damage};
pub use copies::locks::LockCounts;
pub use drill::{DrillOptions, DrillSetup, DrillSummary, drill};
pub use guard::{
    Examined, Identity, PrepareOptions, PrepareSetup, Prepared, Sample, Samples, Seen, examine, look_at_identity,
    prepare,
};
pub use hosts::{Share, SharedSummary};
pub use orphans::{KnownBy, MissingObject, Orphan, OrphansOptions, OrphansSetup, OrphansSummary, orphans};
pub use purge::{
    ApproveOptions, ExecuteOptions, ExecuteSummary, HoldOptions, Person, PurgeAccess, PurgeDestination, PurgeDone,
    PurgeError, PurgeSetup, PurgeStatus, PurgedAt, PurgedDestination, RequestOptions, RequestSummary, approve_purge,
    count_waiting_purges, execute_purges, list_purges, place_hold, release_hold, request_purge, withdraw_purge,
};
pub use rebuild::{
    ClaimCounts, Fetched, RebuildOptions, RebuildSetup, RebuildSummary, SnapshotRow, Which, claim_snapshot,
    fetch_snapshot, list_snapshots, rebuild,
};
pub use repair::{
    Outcome, RepairCounts, RepairFault, RepairItem, RepairOptions, RepairSetup, RepairSummary, Settled, repair,
};
pub use restore::{
    Goal, Layout, ObjectCounts, RestoreError, RestoreFinding, RestoreOptions, RestoreSetup, RestoreSummary, SinkAt,
    StoreWriters, restore, writer_run,
};
pub use run::join::run_shared;
pub use run::options::{Options, Overrides};
pub use run::summary::{AuditedCounts, Due, FileCounts, Finding, PresenceCounts, ReasonCount, Summary};
pub use run::{Setup, run, run_together};
pub use source::findings::{AuditCounts, AuditFinding, Condition};
pub use source::stores::{Access, NoStore, NotCovered, Scope, Store, StoreLocation, Stores};
pub use status::{
    BytesStatus, CopyCustody, DatasetStatus, DestinationStatus, FileCustody, FileHistory, FileStatus, GoneFile,
    HostState, HostStatus, IncidentStatus, KeptCopy, LastRun, Listed, LockStatus, NotBegun, Requirement, RunEnd,
    RunStatus, SharedRunStatus, Shortfall, StatusSetup, TooFew, Untouched, UntouchedKind, ending_of, gone_files,
    list_files, shortfall, status, unsafe_datasets,
};
pub use verify::{VerifyOptions, VerifySetup, VerifySummary, verify, verify_shared};
