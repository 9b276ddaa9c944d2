//! What never got a copy is no more given back from a snapshot than from a ledger, and is said to be missing.

use std::collections::BTreeMap;

use dvb_engine::{
    ExitStatus, Goal, NullObserver, Options, RebuildSetup, RestoreSetup, RestoreSummary, SinkAt, Stores, Which,
    claim_snapshot, fetch_snapshot, new_run_id, restore,
};
use dvb_fs::{FolderWriter, OwnershipPolicy};
use dvb_model::{DriverId, DvObjectId, Status};
use dvb_testkit::dataverse::{Expect, Schema};

use crate::bench::{Bench, LedgerKind, destination, new_ledger};

/// Everything into a folder by the snapshot alone, on a host that knows of no store.
fn from_snapshot_alone(bench: &Bench) -> RestoreSummary {
    let ledger = new_ledger(LedgerKind::Sqlite, &bench.folder.path().join(format!("{}.db", new_run_id())));
    let (destination, run) = (destination(), new_run_id());
    let setup = RebuildSetup {
        catalogue: None,
        accept_other: false,
        ledger: ledger.as_ref(),
        destination: &destination,
        sink: bench.sink.as_ref(),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let fetched = fetch_snapshot(&setup, &Which::Newest, &run, bench.folder.path()).unwrap();
    claim_snapshot(&setup, &fetched, &run, true).unwrap();
    let options = bench.restore_options();
    let out = bench.folder.path().join(format!("out-{run}"));
    let to = FolderWriter::open(&out, &options.run, OwnershipPolicy::Own).unwrap();
    let setup = RestoreSetup {
        catalog: &fetched.catalog(),
        stores: &Stores { default: DriverId("file".into()), by_id: BTreeMap::new() },
        ledger: ledger.as_ref(),
        from: &[SinkAt { name: &destination, sink: bench.sink.as_ref() }],
        to: Goal::Folder(&to),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    restore(&setup, &options).unwrap()
}

#[test]
fn what_never_got_a_copy_is_listed_and_no_rule_excuses_it() {
    let bench = Bench::of_files(9);
    bench.try_run(&Options { limit: Some(3), ..bench.options() }).unwrap();
    let summary = from_snapshot_alone(&bench);
    assert_eq!((summary.ending, summary.not_covered), (ExitStatus::NotSafe, 0), "{summary:#?}");
    assert_eq!((summary.objects.restored, summary.objects.no_copy, summary.failures_total), (3, 6, 6), "{summary:#?}");
    assert!(summary.failures.iter().all(|it| it.reason == "no destination has a proved copy of it"), "{summary:#?}");
}

#[test]
fn only_what_the_snapshot_calls_not_covered_is_not_covered() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let summary = from_snapshot_alone(&bench);
    let of = |expect: &[Expect]| -> Vec<DvObjectId> {
        let files = bench.world.files.iter().filter(|it| expect.contains(&it.expect));
        files.map(|it| DvObjectId(it.id)).collect()
    };
    assert_eq!(summary.not_covered, of(&[Expect::NotCovered]).len() as u64, "{summary:#?}");
    let mut lost: Vec<DvObjectId> = summary.failures.iter().filter_map(|it| it.data_file_id).collect();
    lost.sort_unstable();
    lost.dedup();
    assert_eq!(lost, of(&[Expect::FailRead, Expect::FailChecksum, Expect::Orphaned]), "{summary:#?}");
    assert_eq!(summary.ending, ExitStatus::NotSafe);
    // The ledger itself says the same, store or no store.
    let states = bench.details();
    let not_covered = states.values().filter(|it| it.status == Status::NotCovered).count() as u64;
    assert_eq!(not_covered, summary.not_covered);
}
