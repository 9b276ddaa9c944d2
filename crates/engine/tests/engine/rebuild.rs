//! The ledger is lost, and made again from what the destination tells of itself.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotLink};
use dvb_engine::{
    ExitStatus, NullObserver, Options, RebuildOptions, RebuildSetup, RebuildSummary, RunError, Which, claim_snapshot,
    fetch_snapshot, new_run_id, rebuild,
};
use dvb_ledger::{Basis, CopyState};
use dvb_model::{DestinationName, DvObjectId, Status};
use dvb_storage::Sink;
use dvb_testkit::dataverse::{Expect, Schema};
use dvb_testkit::files;

use crate::bench::{Bench, GONE, LedgerKind, TAKEN, destination, new_ledger, target};
use crate::faults::{Fault, Plan};
use crate::wrapped::wrapped;
use crate::{orphans, verify};

fn options(bench: &Bench) -> RebuildOptions {
    RebuildOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        which: Which::Newest,
        auxiliary_objects: true,
        spool_folder: bench.folder.path().to_owned(),
    }
}

fn rebuild_by(bench: &Bench, sink: &dyn Sink, options: &RebuildOptions) -> Result<RebuildSummary, RunError> {
    rebuild_of(bench, &destination(), sink, options)
}

fn rebuild_of(
    bench: &Bench,
    destination: &DestinationName,
    sink: &dyn Sink,
    options: &RebuildOptions,
) -> Result<RebuildSummary, RunError> {
    let setup = RebuildSetup {
        ledger: bench.ledger.as_ref(),
        destination,
        sink,
        catalogue: None,
        accept_other: false,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    rebuild(&setup, options)
}

/// Another destination's part of the ledger, with nothing missing there.
pub(crate) fn rebuilt_at(bench: &Bench, destination: &DestinationName, sink: &dyn Sink) {
    assert_eq!(rebuild_of(bench, destination, sink, &options(bench)).unwrap().exit_code, 0);
}

/// Which snapshot is had, with a ledger that does not outlast it.
pub(crate) fn from_snapshot_alone(bench: &Bench, sink: &dyn Sink, which: Which) -> Result<SnapshotLink, RunError> {
    let ledger = new_ledger(LedgerKind::Sqlite, &bench.folder.path().join(format!("{}.db", new_run_id())));
    let (destination, run) = (destination(), new_run_id());
    let setup = RebuildSetup {
        ledger: ledger.as_ref(),
        destination: &destination,
        sink,
        catalogue: None,
        accept_other: false,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let fetched = fetch_snapshot(&setup, &which, &run, bench.folder.path())?;
    let claimed = claim_snapshot(&setup, &fetched, &run, true)?;
    assert_eq!(claimed.copies, ledger.count_claimed(&destination)?);
    Ok(fetched.link)
}

pub(crate) fn rebuilt(bench: &Bench) -> RebuildSummary {
    rebuild_by(bench, bench.sink.as_ref(), &options(bench)).unwrap()
}

/// The bench with an empty ledger in the place of its own.
pub(crate) fn without_ledger(bench: Bench, kind: LedgerKind) -> Bench {
    let ledger = new_ledger(kind, &bench.folder.path().join("another.db"));
    Bench { ledger, ..bench }
}

fn claimed(bench: &Bench) -> u64 {
    bench.ledger.count_claimed(&destination()).unwrap()
}

fn a_lost_ledger_comes_back(kind: LedgerKind) {
    let bench = Bench::of_every_kind(Schema::V6_9, kind);
    let before = bench.run();
    let (copies, details) = (bench.copies(), bench.details());
    let bench = without_ledger(bench, kind);
    let made = rebuilt(&bench);
    assert_eq!((made.exit_code, made.missing.len(), &made.notes), (0, 0, &Vec::new()));
    assert_eq!(Some(&made.snapshot), before.snapshot.as_ref());
    assert_eq!((made.claimed.files, made.claimed.copies), (before.files.catalogued, copies.len() as u64));
    // Nothing is proved, and the ledger says so. What is not covered stays that: no copy is to be proved.
    for (id, detail) in bench.details() {
        let was = &details[&id];
        // That there is nothing to copy, by rule, needs no proof.
        let status = if was.status == Status::NotCovered { Status::NotCovered } else { Status::Pending };
        assert_eq!((detail.status, detail.copies), (status, 0), "{id}");
        let is_doubted = detail.reason.as_deref().unwrap().contains("no copy of it is proved yet");
        assert!(is_doubted || detail.reason == was.reason, "{detail:?}");
        assert_eq!(detail.label, details[&id].label);
        assert_eq!(detail.dataset, details[&id].dataset);
    }
    assert_eq!(claimed(&bench), copies.len() as u64);
    let orphans = orphans::list(&bench).1;
    assert!(orphans.is_empty(), "{:?}", orphans.keys());
    assert_eq!(bench.ledger.oldest_proof(&destination()).unwrap(), None);

    let after = bench.run();
    assert_eq!((after.bytes_copied, after.files.copied), (0, 0), "{after:?}");
    // What is provisional is compared with its source again, as ever.
    let provisional = details.values().filter(|it| it.provisional).count() as u64;
    assert_eq!(after.files.adopted, before.files.copied - provisional);
    assert_eq!(after.files.unchanged, provisional);
    assert_eq!((after.files.failed, after.files.not_covered), (before.files.failed, before.files.not_covered));
    assert_eq!(claimed(&bench), 0);
    files::assert_same(&copies, &bench.copies());
    for (id, detail) in bench.details() {
        let was = &details[&id];
        assert_eq!((detail.status, detail.basis, detail.copies), (was.status, was.basis, was.copies), "{id}");
    }
    // As if nothing had happened.
    let next = bench.run();
    assert_eq!((next.files.unchanged, next.bytes_copied), (before.files.copied, 0));
    assert_eq!(next.snapshot, after.snapshot);
    assert_ne!(after.snapshot, before.snapshot);
}

#[test]
fn a_lost_ledger_comes_back_in_sqlite() {
    a_lost_ledger_comes_back(LedgerKind::Sqlite);
}

#[test]
fn a_lost_ledger_comes_back_in_postgres() {
    a_lost_ledger_comes_back(LedgerKind::Postgres);
}

#[test]
fn the_copies_of_another_dataverse_are_refused_and_those_of_the_same_at_another_address_noted() {
    let bench = Bench::of_files(4);
    bench.run();
    let destination = destination();
    let of = |catalogue: Option<&dyn Catalog>, accept_other: bool| {
        let setup = RebuildSetup {
            ledger: bench.ledger.as_ref(),
            destination: &destination,
            sink: bench.sink.as_ref(),
            catalogue,
            accept_other,
            observer: &NullObserver,
            stop: &bench.stop,
        };
        fetch_snapshot(&setup, &Which::Newest, &new_run_id(), bench.folder.path()).map(|it| it.notes)
    };
    assert_eq!(of(Some(&bench.catalog()), false).unwrap(), [""; 0]);
    assert_eq!(of(None, false).unwrap(), [""; 0]);
    // Its database came back under another name.
    let moved = dvb_testkit::postgres::shared().create_database("moved");
    bench.world.install(&moved);
    let catalogue = PostgresCatalog::new(target(&moved));
    let notes = of(Some(&catalogue), false).unwrap();
    assert!(notes.len() == 1 && notes[0].contains("4 of 4 data files that both have are the same"), "{notes:?}");
    // Another one, where other files have the same ids.
    moved.execute(
        "UPDATE dvobject SET storageidentifier = storageidentifier || 'f' WHERE dtype = 'DataFile' AND id % 4 <> 0",
    );
    let refused = of(Some(&catalogue), false).unwrap_err();
    assert!(matches!(refused, RunError::OtherDataverse { both: 4, same: 1, .. }), "{refused}");
    assert_eq!(ExitStatus::from(&refused), ExitStatus::Refused);
    assert_eq!(of(Some(&catalogue), true).unwrap().len(), 1);
    // A Dataverse that is empty yet says nothing.
    moved.execute("TRUNCATE datafile CASCADE");
    assert_eq!(of(Some(&catalogue), false).unwrap().len(), 1);
}

#[test]
fn what_was_ok_is_proved_without_its_source() {
    let bench = Bench::of_files(3);
    bench.run();
    let copies = bench.copies();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    rebuilt(&bench);
    for file in &bench.world.files {
        fs::remove_file(bench.source_of(&file.copies[0].0)).unwrap();
    }
    let summary = bench.run();
    // The copies are proved where they lie; that the store is empty is said all the same.
    assert_eq!((summary.files.adopted, summary.exit_code), (3, 7));
    files::assert_same(&copies, &bench.copies());
    let detail = &bench.details()[&bench.world.files[0].id];
    assert_eq!((detail.status, detail.basis, detail.copies), (Status::Ok, Some(Basis::Dataverse), 1));
}

/// The row says something else since: the verdict of the snapshot is not about it.
#[test]
fn what_changed_since_is_looked_at_in_full() {
    let bench = Bench::of_files(2);
    bench.run();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    rebuilt(&bench);
    let id = bench.world.files[0].id;
    bench.database.execute(&format!("UPDATE datafile SET checksumvalue = repeat('0', 32) WHERE id = {id}"));
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.failed, summary.exit_code), (1, 1, 3));
    let detail = &bench.details()[&id];
    // Its copy is what was copied, and stays.
    assert_eq!((detail.status, detail.copies), (Status::FailChecksum, 1));
}

#[test]
fn copies_that_are_not_there_are_named_and_made_again() {
    let bench = Bench::of_files(4);
    bench.run();
    let copies = bench.copies();
    let key = |n: usize| bench.world.files[n].copies[0].0.clone();
    let (gone, short, rotten) = (key(0), key(1), key(2));
    fs::remove_file(bench.backup.join(&gone)).unwrap();
    fs::write(bench.backup.join(&short), "x").unwrap();
    // Nobody sees that by its size.
    fs::write(bench.backup.join(&rotten), "CONTENT 2").unwrap();
    let bench = without_ledger(bench, LedgerKind::Postgres);
    let made = rebuilt(&bench);
    assert_eq!((made.claimed.missing, made.claimed.copies, made.ending), (2, 2, ExitStatus::DestinationDamaged));
    let named: Vec<(&str, &str)> = made.missing.iter().map(|it| (it.key.as_str(), it.reason.as_str())).collect();
    assert_eq!(
        named,
        [(gone.as_str(), "nothing is there"), (short.as_str(), "it has 1 bytes where the snapshot says 9")]
    );
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied), (1, 3));
    assert_eq!(summary.ending, ExitStatus::DestinationDamaged);
    let now = bench.copies();
    let good = now.iter().filter(|(key, _)| copies.contains_key(*key));
    assert!(good.eq(copies.iter()), "{now:?}");
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn a_ledger_that_knows_something_is_left_alone() {
    let bench = Bench::of_files(2);
    bench.run();
    let before = bench.details();
    let refused = rebuild_by(&bench, bench.sink.as_ref(), &options(&bench)).unwrap_err();
    assert!(matches!(refused, RunError::NotBlank { .. }), "{refused:?}");
    assert_eq!(ExitStatus::from(&refused), ExitStatus::Refused);
    assert_eq!(bench.details(), before);
}

#[test]
fn a_rebuild_that_broke_off_anywhere_is_done_again() {
    let original = Bench::of_files(20);
    original.run();
    let mut bench = original;
    for at in 0.. {
        bench = without_ledger_number(bench, at);
        let plan = Arc::new(Plan { fault: Fault::Death, at, done: AtomicU32::new(0) });
        let faulty = wrapped(bench.sink.as_ref(), &plan);
        let first = rebuild_by(&bench, &faulty, &options(&bench));
        if plan.has_failed() {
            assert!(first.is_err() || first.unwrap().ending == ExitStatus::Unreachable, "at {at}");
        }
        assert_eq!(rebuilt(&bench).claimed.copies, 20, "at {at}");
        let summary = bench.run();
        assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (20, 0, 0), "at {at}");
        if !plan.has_failed() {
            assert!(at >= 2, "only {at} operations could fail");
            return;
        }
    }
}

fn without_ledger_number(bench: Bench, n: u32) -> Bench {
    let ledger = new_ledger(LedgerKind::Sqlite, &bench.folder.path().join(format!("ledger-{n}.db")));
    Bench { ledger, ..bench }
}

#[test]
fn what_a_part_was_looked_at_of_is_told_by_the_next_snapshot() {
    let bench = Bench::of_files(6);
    bench.run();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    rebuilt(&bench);
    // Of two snapshots in one second, their names do not tell which is newer.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let part = bench.try_run(&Options { limit: Some(2), ..bench.options() }).unwrap();
    assert_eq!((part.files.adopted, part.files.pending), (2, 4));
    assert_eq!(claimed(&bench), 4);
    // Lost once more, before the rest was proved.
    let bench = without_ledger_number(bench, 9);
    let made = rebuilt(&bench);
    assert_eq!(Some(&made.snapshot), part.snapshot.as_ref());
    assert_eq!(made.claimed.copies, 6);
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied, summary.exit_code), (6, 0, 0));
}

#[test]
fn verify_proves_what_is_claimed_and_the_next_run_takes_it_up() {
    let bench = Bench::of_files(3);
    bench.run();
    let rotten = bench.world.files[1].copies[0].0.clone();
    fs::write(bench.backup.join(&rotten), "CONTENT 1").unwrap();
    let bench = without_ledger(bench, LedgerKind::Postgres);
    rebuilt(&bench);
    let looked = verify::try_verify(&bench, bench.sink.as_ref(), &verify::options()).unwrap();
    assert_eq!((looked.copies.good, looked.copies.damaged, looked.exit_code), (2, 1, 4));
    assert_eq!(claimed(&bench), 0);
    let id = DvObjectId(bench.world.files[1].id);
    let copies = bench.ledger.copies(&destination(), &[id]).unwrap();
    assert_eq!(copies[0].state, CopyState::Damaged);
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.files.copied), (2, 1));
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn copies_of_what_is_gone_are_claimed_too() {
    let bench = Bench::of_files(40);
    bench.run();
    let id = bench.world.files[3].id;
    bench.database.execute(&format!(
        "DELETE FROM filemetadata WHERE datafile_id = {id}; DELETE FROM datafile WHERE id = {id};
         DELETE FROM dvobject WHERE id = {id}"
    ));
    bench.run();
    let gone_since = bench.details()[&id].gone_since.clone();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    let made = rebuilt(&bench);
    assert_eq!((made.claimed.files, made.claimed.gone, made.claimed.copies), (39, 1, 40));
    assert_eq!(bench.details()[&id].gone_since, gone_since);
    let summary = bench.run();
    assert_eq!((summary.files.adopted, summary.gone, summary.exit_code), (39, 0, 0));
    // No run looks at it any more; verify does.
    assert_eq!(claimed(&bench), 1);
    let looked = verify::try_verify(&bench, bench.sink.as_ref(), &verify::options()).unwrap();
    assert_eq!((looked.copies.good, claimed(&bench)), (40, 0));
}

#[test]
fn a_snapshot_that_rots_is_passed_over_for_the_one_before() {
    let bench = Bench::of_files(3);
    let own = bench.backup.join(".dataverse-backup");
    let first = bench.run().snapshot.unwrap();
    // Another day's, which thinning keeps.
    let old = "catalogue-20250101T010203Z-0badcafe.jsonl.zst";
    fs::copy(own.join(&first.name), own.join(old)).unwrap();
    let mut bytes = fs::read(own.join(&first.name)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(own.join(&first.name), bytes).unwrap();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    let made = rebuilt(&bench);
    assert_eq!((made.snapshot.name.as_str(), made.claimed.copies), (old, 3));
    assert!(made.notes[0].starts_with(&format!("{} was changed after it was written", first.name)), "{:?}", made.notes);
    assert!(made.notes[1].contains("no digest lies beside it"), "{:?}", made.notes);

    // Cut off, without a digest that would say so.
    fs::remove_file(own.join(&first.name)).unwrap();
    let whole = fs::read(own.join(old)).unwrap();
    fs::write(own.join(old), &whole[..whole.len() / 2]).unwrap();
    let bench = without_ledger_number(bench, 2);
    let refused = rebuild_by(&bench, bench.sink.as_ref(), &options(&bench)).unwrap_err();
    assert!(matches!(&refused, RunError::NoSnapshot { why, .. } if why.len() == 1), "{refused:?}");
    fs::write(own.join(old), whole).unwrap();
    let named = RebuildOptions { which: Which::Named(old.into()), ..options(&bench) };
    assert_eq!(rebuild_by(&bench, bench.sink.as_ref(), &named).unwrap().claimed.copies, 3);
}

#[test]
fn a_snapshot_of_a_fast_clock_does_not_stand_for_what_came_after() {
    let bench = Bench::of_files(2);
    let own = bench.backup.join(".dataverse-backup");
    let first = bench.run().snapshot.unwrap();
    let fast = "catalogue-29990101T000000Z-0badcafe.jsonl.zst";
    fs::rename(own.join(&first.name), own.join(fast)).unwrap();
    fs::remove_file(own.join(format!("{}.sha256", first.name))).unwrap();
    // Later, there is one file less.
    let left = bench.world.files[1].id;
    for table in ["filemetadata WHERE datafile_id", "datafile WHERE id", "dvobject WHERE id"] {
        bench.database.execute(&format!("DELETE FROM {table} = {left}"));
    }
    let later = bench.try_run(&Options { overrides: GONE, ..bench.options() }).unwrap().snapshot.unwrap();
    assert!(own.join(&later.name).exists() && own.join(fast).exists());
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    let made = rebuilt(&bench);
    assert_eq!(made.snapshot, later);
    assert!(made.notes[0].starts_with(&format!("{fast} was passed over: by its name, it")), "{:?}", made.notes);
    // Better than none.
    fs::remove_file(own.join(&later.name)).unwrap();
    let bench = without_ledger_number(bench, 2);
    let made = rebuilt(&bench);
    assert_eq!(made.snapshot.name, fast);
    assert!(made.notes.iter().any(|it| it.starts_with(&format!("{fast}, by its name, was made more than a day"))));
}

#[test]
fn a_chain_that_is_broken_is_told() {
    let bench = Bench::of_files(1);
    let own = bench.backup.join(".dataverse-backup");
    fs::create_dir_all(&own).unwrap();
    let old = own.join("catalogue-20250101T010203Z-0badcafe.jsonl.zst");
    fs::write(&old, "old").unwrap();
    bench.try_run(&Options { overrides: TAKEN, ..bench.options() }).unwrap();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    assert_eq!(rebuilt(&bench).notes, [""; 0]);
    fs::write(&old, "changed").unwrap();
    let bench = without_ledger_number(bench, 2);
    let made = rebuilt(&bench);
    assert!(made.notes[0].starts_with("the chain is broken: catalogue-20250101T"), "{:?}", made.notes);
    assert_eq!(bench.world.files.iter().filter(|it| it.expect == Expect::Ok).count() as u64, made.claimed.copies);
}

#[test]
fn what_a_newer_program_has_copied_is_not_ok_by_the_rest_of_it() {
    let bench = Bench::of_files(2);
    let link = bench.run().snapshot.unwrap();
    let packed = fs::read(bench.backup.join(".dataverse-backup").join(&link.name)).unwrap();
    let lines = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let object = lines.split_once("\"objects\":[").unwrap().1.split_once("]").unwrap().0;
    let both = format!("{object},{}", object.replace("main", "future:thing"));
    let path = bench.folder.path().join("newer.jsonl.zst");
    fs::write(&path, zstd::encode_all(lines.replacen(object, &both, 1).as_bytes(), 1).unwrap()).unwrap();
    let bench = without_ledger(bench, LedgerKind::Sqlite);
    let setup = RebuildSetup {
        catalogue: None,
        accept_other: false,
        ledger: bench.ledger.as_ref(),
        destination: &destination(),
        sink: bench.sink.as_ref(),
        observer: &crate::bench::Warnings(&bench.warnings),
        stop: &bench.stop,
    };
    rebuild(&setup, &RebuildOptions { which: Which::File(path), ..options(&bench) }).unwrap();
    let said = bench.warnings.lock().unwrap().join("\n");
    assert!(said.contains("1 objects in it are of a kind that this version"), "{said}");
    let states = bench.ledger.states(&destination(), dvb_ledger::EntryKind::DataFile);
    let was: Vec<_> = states.map(|it| it.unwrap().basis).collect();
    assert_eq!(was, [None, Some(Basis::Dataverse)]);
}
