//! Are Dataverse's own stores still what Dataverse recorded, and what was first seen?

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dvb_engine::{
    Access, AuditCounts, AuditOptions, AuditSetup, AuditSummary, Condition, ExitStatus, NullObserver, RunError,
    Selection, audit, new_run_id,
};
use dvb_ledger::EntryKind;
use dvb_model::{DvObjectId, Status};
use dvb_storage::{Cause, Location, Source, SourceError, StoredObject};
use dvb_testkit::dataverse::{Expect, Schema};
use dvb_testkit::files;

use crate::bench::{Bench, LedgerKind, destination};
use crate::wrapped::WrapSource;

fn options(bench: &Bench) -> AuditOptions {
    AuditOptions {
        agent: crate::bench::agent(),
        run: new_run_id(),
        selection: Selection::default(),
        older_than: None,
        sample: None,
        jobs: 2,
        time_budget: None,
        auxiliary_objects: true,
        spool_folder: bench.folder.path().to_owned(),
    }
}

fn try_audit(bench: &Bench, options: &AuditOptions) -> Result<AuditSummary, RunError> {
    let setup = AuditSetup {
        catalog: &bench.catalog(),
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destinations: &[destination()],
        observer: &NullObserver,
        stop: &bench.stop,
    };
    audit(&setup, options)
}

pub(crate) fn audited(bench: &Bench) -> AuditSummary {
    try_audit(bench, &options(bench)).unwrap()
}

fn found(summary: &AuditSummary, id: i64) -> Vec<Condition> {
    summary.findings.iter().filter(|it| it.data_file_id == DvObjectId(id)).map(|it| it.what).collect()
}

fn every_kind_is_what_a_run_says(schema: Schema, ledger: LedgerKind) {
    let bench = Bench::of_every_kind(schema, ledger);
    let run = bench.run();
    let before = (files::tree(&bench.folder.path().join("files")), bench.copies(), bench.details());
    let summary = audited(&bench);
    assert_eq!((summary.ending, summary.files.left), (ExitStatus::SourceDamaged, 0), "{summary:#?}");
    assert_eq!(summary.files.catalogued, run.files.catalogued);
    assert_eq!(summary.files.good, run.files.copied);
    assert_eq!(summary.files.not_covered, run.files.not_covered);
    for file in &bench.world.files {
        let (kind, found) = (&file.kind, found(&summary, file.id));
        let is_bad = |it: &Condition| {
            use Condition::{ChecksumChanged, Damaged, Missing, Orphaned, Unreadable};
            matches!(it, Missing | Unreadable | Damaged | ChecksumChanged | Orphaned)
        };
        match file.expect {
            Expect::Ok | Expect::OkNote | Expect::NotCovered | Expect::Absent => {
                assert!(!found.iter().any(is_bad), "{kind}: {found:?}");
            }
            Expect::FailRead => {
                assert!(matches!(found[..], [Condition::Missing | Condition::Unreadable]), "{kind}: {found:?}");
            }
            Expect::FailChecksum => assert_eq!(found, [Condition::Damaged], "{kind}"),
            Expect::Orphaned => assert_eq!(found, [Condition::Orphaned], "{kind}"),
        }
    }
    assert_eq!(found(&summary, bench.world.of_kind("swapped pair").id), [Condition::SwappedPair]);
    assert_eq!(found(&summary, bench.world.of_kind("missing").id), [Condition::Missing]);
    let after = (files::tree(&bench.folder.path().join("files")), bench.copies(), bench.details());
    assert!(before == after, "an audit changes nothing");
}

#[test]
fn every_kind_is_what_a_run_says_of_6_9() {
    every_kind_is_what_a_run_says(Schema::V6_9, LedgerKind::Postgres);
}

#[test]
fn every_kind_is_what_a_run_says_of_4_8() {
    every_kind_is_what_a_run_says(Schema::V4_8, LedgerKind::Sqlite);
}

#[test]
fn damage_at_the_source_is_named() {
    let bench = Bench::of_files(8);
    bench.run();
    let (id, path) =
        (|n: usize| bench.world.files[n].id, |n: usize| bench.source_of(&bench.world.files[n].copies[0].0));
    assert_eq!((audited(&bench).exit_code, audited(&bench).files.good), (0, 8));
    fs::write(path(0), "Content 0").unwrap();
    fs::write(path(1), "cut").unwrap();
    fs::remove_file(path(2)).unwrap();
    let new_checksum = "checksumvalue = 'ffffffffffffffffffffffffffffffff'";
    bench.database.execute(&format!("UPDATE datafile SET {new_checksum} WHERE id = {}", id(3)));
    // Other bytes, and the checksum that is theirs: somebody meant it, or covers it up.
    fs::write(path(4), "other").unwrap();
    let theirs = format!("checksumtype = 'SHA256', checksumvalue = '{}'", files::sha256(b"other"));
    bench.database.execute(&format!("UPDATE datafile SET {theirs}, filesize = 5 WHERE id = {}", id(4)));
    let summary = audited(&bench);
    assert_eq!(found(&summary, id(0)), [Condition::Damaged]);
    assert_eq!(found(&summary, id(1)), [Condition::Damaged]);
    assert_eq!(found(&summary, id(2)), [Condition::Missing]);
    assert_eq!(found(&summary, id(3)), [Condition::ChecksumChanged]);
    assert_eq!(found(&summary, id(4)), [Condition::Changed]);
    let expected = AuditCounts { catalogued: 8, good: 4, damaged: 3, missing: 1, ..AuditCounts::default() };
    assert_eq!((summary.files, summary.exit_code, summary.findings_total), (expected, 3, 5));
    let recorded: Vec<Status> = (0..5).map(|n| bench.details()[&id(n)].status).collect();
    let (damaged, missing) = (Status::FailChecksum, Status::FailRead);
    assert_eq!(recorded, [damaged, damaged, missing, damaged, Status::Ok]);
    // A run that looks again says so too, and loses no copy.
    let copies = bench.copies();
    assert_eq!(bench.run().exit_code, 3);
    let recorded: Vec<Status> = (0..4).map(|n| bench.details()[&id(n)].status).collect();
    assert_eq!(recorded, [damaged, damaged, missing, damaged]);
    assert!(copies.iter().all(|it| bench.copies().get(it.0) == Some(it.1)));
}

#[test]
fn bytes_that_no_checksum_of_dataverse_covers_are_compared_with_what_was_first_seen() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let flip = |key: &str| {
        let path = bench.source_of(key);
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    let (tab, empty) = (bench.world.of_kind("tabular"), bench.world.of_kind("empty checksum"));
    let key = tab.copies.iter().map(|it| &it.0).find(|it| !it.ends_with(".orig")).unwrap();
    flip(key);
    flip(&empty.copies[0].0);
    let summary = audited(&bench);
    assert_eq!(found(&summary, tab.id), [Condition::Damaged], "the .tab");
    assert_eq!(found(&summary, empty.id), [Condition::Damaged]);
    // A run would take them for new versions, so it is not sent there.
    let details = bench.details();
    assert_eq!((details[&tab.id].status, details[&empty.id].status), (Status::Ok, Status::Ok));
}

/// Each object of every kind of data file in turn: it was copied, and is gone from its store.
#[test]
fn an_object_that_is_gone_is_missing_whatever_it_is() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let of_store = |key: &str| {
        let paths = bench.world.stores.iter().map(|it| it.directory.join(key));
        paths.into_iter().find(|it| it.exists()).unwrap_or_else(|| panic!("{key} is in no store"))
    };
    let mut looked_at = 0;
    for file in bench.world.files.iter().filter(|it| matches!(it.expect, Expect::Ok | Expect::OkNote)) {
        if file.ingest_status.is_some_and(|it| it != 'A') || bench.details()[&file.id].provisional {
            continue;
        }
        let selection = Selection { files: [DvObjectId(file.id)].into(), ..Selection::default() };
        for (key, bytes) in &file.copies {
            let kind = format!("{key} of {}", file.kind);
            if key.contains(".id") || key.contains("NcML") {
                continue;
            }
            let path = of_store(key);
            fs::remove_file(&path).unwrap();
            let named = path.display().to_string();
            let is_named = |reason: &str| {
                let tells = reason.contains("missing") && reason.contains("proved copy is at destination default");
                tells && (reason.contains(&named) || reason.contains("of the package") || key.contains(".sha"))
            };
            let audit = try_audit(&bench, &AuditOptions { selection: selection.clone(), ..options(&bench) }).unwrap();
            assert_eq!(found(&audit, file.id), [Condition::Missing], "{kind}: {audit:#?}");
            assert!(is_named(&audit.findings[0].reason), "{kind}: {audit:#?}");
            let recorded = bench.details()[&file.id].clone();
            assert_eq!(recorded.status, Status::FailRead, "{kind}: {recorded:?}");
            assert!(is_named(recorded.reason.as_deref().unwrap()), "{kind}: {recorded:?}");
            let run = bench.try_run(&dvb_engine::Options { selection: selection.clone(), ..bench.options() }).unwrap();
            assert_eq!((run.ending, run.failures.len()), (ExitStatus::SourceDamaged, 1), "{kind}: {run:#?}");
            assert_eq!(run.failures[0].status, Status::FailRead, "{kind}: {run:#?}");
            assert!(is_named(&run.failures[0].reason), "{kind}: {run:#?}");
            fs::write(&path, bytes).unwrap();
            let run = bench.try_run(&dvb_engine::Options { selection: selection.clone(), ..bench.options() }).unwrap();
            assert_eq!((run.ending, run.bytes_copied), (ExitStatus::Safe, 0), "{kind}: {run:#?}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 20, "{looked_at}");
}

#[test]
fn a_file_that_came_back_is_told_of() {
    let bench = Bench::of_files(3);
    let (file, path) = (&bench.world.files[1], bench.source_of(&bench.world.files[1].copies[0].0));
    fs::remove_file(&path).unwrap();
    assert_eq!(bench.run().exit_code, 3);
    assert_eq!(found(&audited(&bench), file.id), [Condition::Missing]);
    fs::write(&path, &file.copies[0].1).unwrap();
    let summary = audited(&bench);
    assert_eq!((found(&summary, file.id), summary.exit_code), (vec![Condition::CameBack], 0));
    bench.run();
    assert_eq!(audited(&bench).findings_total, 0);
}

/// When the objects of each data file were looked at last.
fn looked_at(bench: &Bench) -> BTreeMap<i64, String> {
    let states = bench.ledger.states(&destination(), EntryKind::DataFile).map(Result::unwrap);
    states.map(|it| (it.id.0, it.audited_at)).collect()
}

fn parts_walk_through_everything(kind: LedgerKind) {
    let bench = Bench::of_files_with(12, kind);
    bench.run();
    let all = |n: usize| bench.world.files[n].id;
    // One is damaged, and is found to be that by the first part.
    fs::write(bench.source_of(&bench.world.files[0].copies[0].0), "other").unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(5));
        let before = looked_at(&bench);
        let part = try_audit(&bench, &AuditOptions { sample: Some(0.25), ..options(&bench) }).unwrap();
        assert_eq!(part.files.catalogued, 3, "{:?}", part.files);
        let after = looked_at(&bench);
        let looked: Vec<i64> = before.iter().filter(|it| after[it.0] != *it.1).map(|it| *it.0).collect();
        assert_eq!(looked.len(), 3, "each is looked at in its turn, also one that is damaged");
        seen.extend(looked);
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..12).map(all).collect::<Vec<_>>(), "none comes again before all had their turn");
    // What was looked at a short while ago can wait, but for what was bad.
    let old = AuditOptions { older_than: Some(Duration::from_secs(3600)), ..options(&bench) };
    let old = try_audit(&bench, &old).unwrap();
    assert_eq!((old.files.catalogued, old.files.damaged, old.exit_code), (1, 1, 3), "{:?}", old.files);
    let all_again = AuditOptions { older_than: Some(Duration::ZERO), ..options(&bench) };
    assert_eq!(try_audit(&bench, &all_again).unwrap().files.catalogued, 12);
}

#[test]
fn parts_walk_through_everything_with_either_ledger() {
    for kind in [LedgerKind::Sqlite, LedgerKind::Postgres] {
        parts_walk_through_everything(kind);
    }
}

#[test]
fn part_of_it_on_demand() {
    let bench = Bench::of_files(40);
    let of = |options: AuditOptions| try_audit(&bench, &options).unwrap();
    let none = of(AuditOptions { time_budget: Some(Duration::ZERO), ..options(&bench) });
    assert_eq!((none.files.left, none.exit_code), (40, 8));
    let some = of(AuditOptions { sample: Some(0.5), ..options(&bench) });
    assert_eq!((some.files.catalogued, some.files.good, some.exit_code), (20, 20, 0), "{:?}", some.files);
    let one = Selection { files: [DvObjectId(bench.world.files[5].id)].into(), ..Selection::default() };
    assert_eq!(of(AuditOptions { selection: one, ..options(&bench) }).files.good, 1);
    let nothing = Selection { datasets: ["doi:10.5072/NO".to_owned()].into(), ..Selection::default() };
    let error = try_audit(&bench, &AuditOptions { selection: nothing, ..options(&bench) }).unwrap_err();
    assert_eq!(ExitStatus::from(&error), ExitStatus::Usage);
    bench.stop.signal(2);
    assert_eq!(audited(&bench).exit_code, 130);
}

/// The n-th operation fails.
struct Failing {
    cause: Cause,
    at: u32,
    done: Arc<AtomicU32>,
}

impl WrapSource for Failing {
    fn before(&self, _: Option<&Location>) -> Result<(), SourceError> {
        let n = self.done.fetch_add(1, Ordering::SeqCst);
        if n == self.at { Err(SourceError::new(self.cause, "injected")) } else { Ok(()) }
    }
}

#[test]
fn what_may_pass_at_any_operation_is_never_called_damaged_or_missing() {
    for cause in [Cause::Transient, Cause::Unavailable, Cause::Io] {
        for at in 0.. {
            let mut bench = Bench::of_files(2);
            let done = Arc::<AtomicU32>::default();
            bench.wrap_store(Failing { cause, at, done: Arc::clone(&done) });
            let summary = try_audit(&bench, &AuditOptions { jobs: 1, ..options(&bench) }).unwrap();
            let AuditCounts { good, damaged, missing, unreadable, .. } = summary.files;
            assert_eq!((good + unreadable, damaged, missing), (2, 0, 0), "{cause:?} at {at}: {summary:#?}");
            let may_pass = cause != Cause::Io || at == 0;
            let expected: u8 = if unreadable == 0 {
                0
            } else if may_pass {
                5
            } else {
                1
            };
            assert_eq!(summary.exit_code, expected, "{cause:?} at {at}: {summary:#?}");
            if done.load(Ordering::SeqCst) <= at {
                assert!(at > 3, "only {at} operations could fail");
                break;
            }
        }
    }
}

/// Gives other bytes than there are, as often as told.
struct Mistaken(AtomicU32);

impl WrapSource for Mistaken {
    fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
        let mut object = store.open(at)?;
        if self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |it| it.checked_sub(1)).is_ok() {
            let mut bytes = Vec::new();
            object.body.read_to_end(&mut bytes).unwrap();
            bytes[0] ^= 1;
            object.body = Box::new(std::io::Cursor::new(bytes));
        }
        Ok(object)
    }
}

#[test]
fn bytes_that_are_wrong_once_are_read_again() {
    for (times, expected) in [(1, (0, 2)), (9, (3, 0))] {
        let mut bench = Bench::of_files(2);
        bench.run();
        bench.wrap_store(Mistaken(times.into()));
        let summary = audited(&bench);
        assert_eq!((summary.exit_code, summary.files.good), expected, "{times}: {summary:#?}");
    }
}

#[test]
fn a_store_that_is_not_mounted_is_not_a_thousand_missing_files() {
    let mut bench = Bench::of_files(3);
    let empty = bench.folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let source = dvb_fs::FileStore::open(&empty).unwrap();
    bench.set_access(Access::Readable(Arc::new(source)));
    let summary = audited(&bench);
    assert_eq!((summary.files.unreadable, summary.files.missing, summary.exit_code), (3, 0, 5));
}

/// A store that has something to tell.
pub(crate) struct Telling;

impl WrapSource for Telling {
    fn notes(&self, _: &dyn Source) -> Vec<String> {
        vec!["its objects lie in another bucket".into()]
    }
}

#[test]
fn what_a_store_has_to_tell_is_passed_on() {
    let mut bench = Bench::of_files(1);
    bench.wrap_store(Telling);
    bench.run();
    let summary = audited(&bench);
    assert_eq!((summary.notes, summary.exit_code), (vec!["store file: its objects lie in another bucket".into()], 0));
}
