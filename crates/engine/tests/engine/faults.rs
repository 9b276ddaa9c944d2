//! The n-th thing asked of the destination fails, for every n; then everything is well again.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dvb_catalog::SnapshotCatalog;
use dvb_catalog::snapshot::HeldEntry;
use dvb_engine::{ExitStatus, Options, Summary};
use dvb_model::Status;
use dvb_storage::{Cause, SinkError};
use dvb_testkit::files;

use crate::bench::Bench;
use crate::wrapped::{Call, WrapSession, wrapped};

/// What happens at the n-th operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not done, and the session is lost; a new one can be had.
    Before,
    /// It is done, but nobody hears of it.
    After,
    /// As `Before`, and nothing works any more: as if the machine had died.
    Death,
}

pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) at: u32,
    pub(crate) done: AtomicU32,
}

impl Plan {
    pub(crate) fn has_failed(&self) -> bool {
        self.done.load(Ordering::SeqCst) > self.at
    }
}

impl WrapSession for Plan {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        match call {
            Call::Connect if self.fault == Fault::Death && self.has_failed() => {
                return Err(SinkError::new(Cause::Io, "dead"));
            }
            Call::Connect | Call::Open | Call::RemoveOwn | Call::Sweep => return work(),
            Call::Stage | Call::Commit | Call::Discard | Call::Stat | Call::Measure | Call::Rename | Call::List => {}
        }
        let n = self.done.fetch_add(1, Ordering::SeqCst);
        let fails = n == self.at || (n > self.at && self.fault == Fault::Death);
        // What does not pass is not tried again, so nobody waits.
        let error =
            || SinkError::new(if self.fault == Fault::Death { Cause::Io } else { Cause::Transient }, "injected");
        match (fails, self.fault) {
            (false, _) => work(),
            (true, Fault::After) => work().and(Err(error())),
            (true, Fault::Before | Fault::Death) => Err(error()),
        }
    }
}

/// `OK` only with a copy, and no copy but whole ones.
fn assert_true(bench: &Bench, at: u32) {
    let (copies, expected) = (bench.copies(), bench.world.expected_copies());
    for (key, bytes) in &copies {
        assert_eq!(expected.get(key), Some(bytes), "{key} after a fault at {at}");
    }
    for file in &bench.world.files {
        let is_ok = bench.details().get(&file.id).is_some_and(|it| it.status == Status::Ok);
        for (key, _) in file.copies.iter().filter(|_| is_ok) {
            assert!(copies.contains_key(key), "{key} is OK and not there, after a fault at {at}");
        }
    }
}

/// The newest snapshot tells of every copy that is there, and of no other.
fn assert_describes(bench: &Bench, summary: &Summary, at: u32) {
    let link = summary.snapshot.as_ref().unwrap();
    let path = bench.backup.join(".dataverse-backup").join(&link.name);
    let mut keys = BTreeSet::new();
    let mut visit = |entry: HeldEntry| {
        if let HeldEntry::Dataset(_, Some(held)) | HeldEntry::DataFile(_, Some(held)) = entry {
            keys.extend(held.objects.into_iter().map(|it| it.key.as_str().to_owned()));
        }
        ControlFlow::Continue(())
    };
    SnapshotCatalog::new(path).read_held(&mut visit).unwrap();
    assert!(bench.copies().into_keys().eq(keys), "after a fault at {at}");
}

fn at_every_operation(fault: Fault) {
    for at in 0.. {
        let bench = Bench::of_every_kind(dvb_testkit::dataverse::Schema::V6_9, crate::bench::LedgerKind::Sqlite);
        let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
        let faulty = wrapped(bench.sink.as_ref(), &plan);
        let first = bench.run_onto(&faulty, &Options { jobs: 1, ..bench.options() }).unwrap();
        assert_true(&bench, at);
        if fault == Fault::Death && plan.has_failed() {
            assert_eq!(first.ending, ExitStatus::Unreachable, "at {at}");
            assert!(first.files.pending > 0 || first.snapshot.is_none(), "at {at}");
        }
        let healthy = bench.run();
        files::assert_same(&bench.world.expected_copies(), &bench.copies());
        assert_eq!(healthy.ending, ExitStatus::SourceDamaged);
        assert_describes(&bench, &healthy, at);
        assert_eq!(bench.temporaries(), [""; 0], "at {at}");
        if !plan.has_failed() {
            assert!(at > 5, "only {at} operations could fail");
            return;
        }
    }
}

#[test]
fn a_session_lost_before_any_operation_costs_nothing() {
    at_every_operation(Fault::Before);
}

#[test]
fn a_session_lost_after_any_operation_costs_nothing() {
    at_every_operation(Fault::After);
}

#[test]
fn a_death_at_any_operation_is_made_good_by_the_next_run() {
    at_every_operation(Fault::Death);
}
