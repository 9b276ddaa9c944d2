//! After a run the destination describes itself.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use dvb_catalog::snapshot::{Gone, GoneKind, Held, HeldEntry, HeldObject};
use dvb_catalog::{Catalog, Detail, Entry, SnapshotCatalog, SnapshotHeader, SnapshotLink};
use dvb_engine::{ExitStatus, NullObserver, Options, Selection, Setup, Summary, Which, run};
use dvb_fixity::{Algorithm, Measured};
use dvb_model::{DvObjectId, Status};
use dvb_storage::{Cause, SinkError};
use dvb_testkit::dataverse::Schema;
use dvb_testkit::files;

use crate::bench::{Bench, LedgerKind, destination, sink_at};
use crate::faults::{Fault, Plan};
use crate::wrapped::{Call, OnConnect, WrapSession, wrapped};
use crate::{rebuild, verify};

/// The snapshots at the destination, the oldest first.
fn snapshots(bench: &Bench) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(bench.backup.join(".dataverse-backup"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|it| it.ends_with(".jsonl.zst"))
        .collect();
    names.sort();
    names
}

fn path(bench: &Bench, name: &str) -> PathBuf {
    bench.backup.join(".dataverse-backup").join(name)
}

fn sha256(bytes: &[u8]) -> String {
    Measured::of(bytes, &[]).digest(Algorithm::Sha256).unwrap().hex()
}

fn link(summary: &Summary) -> &SnapshotLink {
    summary.snapshot.as_ref().unwrap()
}

fn header(bench: &Bench, name: &str) -> SnapshotHeader {
    SnapshotCatalog::new(path(bench, name)).header().unwrap()
}

#[derive(Default)]
struct Told {
    files: BTreeMap<i64, Held>,
    datasets: BTreeMap<i64, Held>,
    gone: Vec<Gone>,
}

fn told(bench: &Bench, name: &str) -> Told {
    let mut told = Told::default();
    let mut visit = |entry| {
        match entry {
            HeldEntry::Dataset(it, held) => told.datasets.extend(held.map(|held| (it.id.0, held))),
            HeldEntry::DataFile(it, held) => drop(told.files.insert(it.id.0, held.unwrap())),
            HeldEntry::Gone(it) => told.gone.push(it),
            HeldEntry::History(..) => {}
        }
        ControlFlow::Continue(())
    };
    SnapshotCatalog::new(path(bench, name)).read_held(&mut visit).unwrap();
    told
}

fn entries(catalog: &dyn Catalog) -> Vec<Entry> {
    let mut all = Vec::new();
    let mut visit = |it| {
        all.push(it);
        ControlFlow::Continue(())
    };
    catalog.read(Detail::Full, &mut visit).unwrap();
    all
}

fn keys(objects: &[HeldObject]) -> impl Iterator<Item = String> {
    objects.iter().map(|it| it.key.as_str().to_owned())
}

fn a_run_of_every_kind_is_described(ledger: LedgerKind) {
    let bench = Bench::of_every_kind(Schema::V6_9, ledger);
    let options = bench.options();
    let summary = bench.try_run(&options).unwrap();
    let name = format!("catalogue-{}.jsonl.zst", options.run);
    assert_eq!(snapshots(&bench), [name.as_str()]);
    let bytes = fs::read(path(&bench, &name)).unwrap();
    assert_eq!(*link(&summary), SnapshotLink { name: name.clone(), sha256: sha256(&bytes) });
    let header = header(&bench, &name);
    assert_eq!((header.run, header.destination), (Some(options.run), Some(destination())));
    assert_eq!((header.host.as_deref(), header.previous), (Some("testhost"), None));
    // It is the catalogue, whatever else it tells.
    assert_eq!(entries(&SnapshotCatalog::new(path(&bench, &name))), entries(&bench.catalog()));
    // Every verdict is in it, and every copy, with the digest of its bytes.
    let told = told(&bench, &name);
    let details = bench.details();
    assert!(told.files.keys().eq(details.keys()));
    let mut described = BTreeMap::new();
    for (id, held) in &told.files {
        let detail = &details[id];
        assert_eq!((held.status, &held.reason), (detail.status, &detail.reason));
        assert_eq!(held.checksum_basis.as_deref(), detail.basis.map(dvb_ledger::Basis::name));
        assert_eq!(held.recorded_at.as_ref(), Some(&detail.recorded_at));
        assert_eq!(held.status == Status::Ok, held.checksum_basis.is_some());
    }
    for object in told.files.values().chain(told.datasets.values()).flat_map(|it| &it.objects) {
        assert_eq!((object.version, object.evidence.as_str()), (1, "read-back"));
        assert!(object.proved_at.starts_with("20") && object.proved_at.ends_with('Z'));
        described.insert(object.key.as_str().to_owned(), object.sha256.clone());
    }
    let copies = bench.copies();
    assert!(copies.iter().map(|(key, bytes)| (key.clone(), sha256(bytes))).eq(described));
    let roles: Vec<&str> = told.files.values().flat_map(|it| &it.objects).map(|it| it.role.as_str()).collect();
    for role in ["main", "orig"] {
        assert!(roles.contains(&role), "{roles:?}");
    }
    assert_eq!(told.gone, []);
}

#[test]
fn a_run_of_every_kind_is_described_from_sqlite() {
    a_run_of_every_kind_is_described(LedgerKind::Sqlite);
}

#[test]
fn a_run_of_every_kind_is_described_from_postgres() {
    a_run_of_every_kind_is_described(LedgerKind::Postgres);
}

fn snapshots_are_a_chain(ledger: LedgerKind) {
    let bench = Bench::of_every_kind(Schema::V6_9, ledger);
    let first = bench.run();
    // Failures that repeat, and files that stay as they are, are no news.
    let second = bench.run();
    assert_eq!(second.snapshot, first.snapshot, "the one that is there describes it still");
    assert_eq!(bench.rerun().snapshot, first.snapshot);
    assert_eq!(snapshots(&bench).len(), 1);
    // What was missing at the source comes back.
    let failing = bench.details().into_values().filter(|it| it.status == Status::FailRead).count();
    let file = bench.world.files.iter().find(|it| bench.details()[&it.id].status == Status::Ok).unwrap();
    let id = file.id;
    bench.database.execute(&format!("UPDATE datafile SET checksumvalue = '{}' WHERE id = {id}", "0".repeat(32)));
    bench.database.execute(&format!("UPDATE datafile SET checksumtype = 'MD5' WHERE id = {id}"));
    let third = bench.run();
    assert_eq!(told(&bench, &link(&third).name).files[&id].status, Status::FailChecksum);
    assert!(!told(&bench, &link(&third).name).files[&id].objects.is_empty(), "its copy stays");
    assert_ne!(third.snapshot, first.snapshot);
    assert!(failing > 0);
    assert_eq!(header(&bench, &link(&third).name).previous, first.snapshot);
    // All of one day, so only the newest is left; the chain says what the others were.
    assert_eq!(snapshots(&bench), [link(&third).name.as_str()]);
    assert_eq!(bench.run().snapshot, third.snapshot);
}

#[test]
fn snapshots_are_a_chain_with_sqlite() {
    snapshots_are_a_chain(LedgerKind::Sqlite);
}

#[test]
fn snapshots_are_a_chain_with_postgres() {
    snapshots_are_a_chain(LedgerKind::Postgres);
}

#[test]
fn a_failure_that_is_mended_is_news() {
    let bench = Bench::of_files(3);
    let key = bench.world.files[0].copies[0].0.clone();
    let (id, bytes) = (bench.world.files[0].id, fs::read(bench.source_of(&key)).unwrap());
    fs::remove_file(bench.source_of(&key)).unwrap();
    let first = bench.run();
    let held = &told(&bench, &link(&first).name).files[&id];
    assert_eq!((held.status, held.objects.len()), (Status::FailRead, 0));
    assert!(held.reason.as_deref().unwrap().contains("missing"));
    fs::write(bench.source_of(&key), bytes).unwrap();
    let second = bench.run();
    assert_ne!(second.snapshot, first.snapshot);
    let held = &told(&bench, &link(&second).name).files[&id];
    assert_eq!((held.status, keys(&held.objects).collect::<Vec<_>>()), (Status::Ok, vec![key]));
}

#[test]
fn a_catalogue_that_changed_is_news_though_nothing_is_due() {
    let bench = Bench::of_files(3);
    let first = bench.run();
    bench.database.execute(&format!("UPDATE datafile SET restricted = true WHERE id = {}", bench.world.files[1].id));
    let second = bench.run();
    assert_eq!((second.due.files, second.files.unchanged, second.exit_code), (0, 3, 0));
    assert_ne!(second.snapshot, first.snapshot);
    let restricted = |summary: &Summary| {
        let all = entries(&SnapshotCatalog::new(path(&bench, &link(summary).name)));
        all.iter().filter(|it| matches!(it, Entry::DataFile(it) if it.restricted)).count()
    };
    assert_eq!(restricted(&second), 1);
    assert_eq!(bench.run().snapshot, second.snapshot);
}

#[test]
fn the_catalogue_of_a_snapshot_is_the_one_that_the_run_worked_by() {
    let bench = Bench::of_files(3);
    let expected = entries(&bench.catalog());
    let happens = || {
        bench.database.execute("UPDATE datafile SET checksumvalue = repeat('0', 32), restricted = true");
    };
    let summary =
        bench.run_onto(&OnConnect { inner: bench.sink.as_ref(), happens: &happens }, &bench.options()).unwrap();
    assert_eq!(summary.files.copied, 3);
    // A verdict stands beside the row that it is about.
    assert_eq!(entries(&SnapshotCatalog::new(path(&bench, &link(&summary).name))), expected);
    assert!(told(&bench, &link(&summary).name).files.values().all(|it| it.status == Status::Ok));
    let next = bench.run();
    assert_eq!(next.files.failed, 3);
    assert!(told(&bench, &link(&next).name).files.values().all(|it| it.status == Status::FailChecksum));
}

#[test]
fn what_is_gone_is_told_with_its_copies() {
    for ledger in [LedgerKind::Sqlite, LedgerKind::Postgres] {
        let world = Bench::of_files(40);
        let bench = Bench::new(world.world, ledger, world.folder);
        bench.run();
        let file = bench.world.files[7].clone();
        bench.database.execute(&format!(
            "DELETE FROM filemetadata WHERE datafile_id = {id}; DELETE FROM datafile WHERE id = {id};
             DELETE FROM dvobject WHERE id = {id}",
            id = file.id
        ));
        let summary = bench.run();
        assert_eq!((summary.gone, summary.exit_code), (1, 0));
        let told = told(&bench, &link(&summary).name);
        assert_eq!(told.files.len(), 39);
        let [gone] = told.gone.as_slice() else { panic!("{:?}", told.gone) };
        assert_eq!((gone.kind, gone.id.0, gone.held.status), (GoneKind::File, file.id, Status::Ok));
        assert_eq!(gone.dataset.as_deref(), Some("doi:10.5072/FK2/ONE"));
        assert_eq!(gone.dataset_identifier.as_deref(), Some("10.5072/FK2/ONE"));
        assert_eq!(gone.storage_identifier, file.storage_identifier);
        assert!(gone.gone_since.is_some());
        assert_eq!(keys(&gone.held.objects).collect::<Vec<_>>(), [file.copies[0].0.as_str()]);
        // It is gone still, which is no news.
        assert_eq!(bench.run().snapshot, summary.snapshot);
    }
}

#[test]
fn a_copy_that_was_found_bad_is_not_listed_to_be_given_back() {
    let bench = Bench::of_files(2);
    let first = bench.run();
    let key = bench.world.files[0].copies[0].0.clone();
    let id = bench.world.files[0].id;
    fs::remove_file(bench.backup.join(&key)).unwrap();
    fs::remove_file(bench.source_of(&key)).unwrap();
    let second = bench.rerun();
    assert_ne!(second.snapshot, first.snapshot);
    let held = &told(&bench, &link(&second).name).files[&id];
    assert_eq!((held.status, held.objects.len()), (Status::FailRead, 0));
    assert_eq!(keys(&held.damaged).collect::<Vec<_>>(), [key]);
}

#[test]
fn a_run_can_read_the_snapshot_of_another() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let summary = bench.run();
    let downloaded = bench.folder.path().join("downloaded");
    fs::copy(path(&bench, &link(&summary).name), &downloaded).unwrap();
    let catalog = SnapshotCatalog::new(downloaded);
    let second = bench.folder.path().join("second");
    let sink = sink_at(&second);
    let ledger = dvb_ledger::SqliteLedger::new(bench.folder.path().join("second.db"));
    dvb_ledger::Ledger::migrate(&ledger).unwrap();
    let destination = destination();
    let setup = Setup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: &ledger,
        destination: &destination,
        sink: sink.as_ref(),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let again = run(&setup, &bench.options()).unwrap();
    assert_eq!(again.files, summary.files);
    let mut copies = files::tree(&second);
    copies.retain(|it, _| !it.starts_with(".dataverse-backup/"));
    files::assert_same(&bench.copies(), &copies);
    let left = SnapshotCatalog::new(second.join(".dataverse-backup").join(&link(&again).name));
    assert_eq!(entries(&left), entries(&catalog));
}

#[test]
fn what_verify_finds_damaged_is_news_and_nothing_else_of_it() {
    let bench = Bench::of_files(3);
    let first = bench.run();
    let look = || verify::try_verify(&bench, bench.sink.as_ref(), &verify::options()).unwrap();
    assert_eq!(look().exit_code, 0);
    assert_eq!(bench.run().snapshot, first.snapshot);
    let key = bench.world.files[0].copies[0].0.clone();
    fs::write(bench.backup.join(&key), "CONTENT 0").unwrap();
    assert_eq!(look().exit_code, 4);
    // This run does not come to it.
    let part = Selection { files: [DvObjectId(bench.world.files[1].id)].into(), ..Selection::default() };
    let second = bench.try_run(&Options { selection: part, ..bench.options() }).unwrap();
    let held = &told(&bench, &link(&second).name).files[&bench.world.files[0].id];
    assert_eq!((held.status, held.objects.len()), (Status::FailVerify, 0));
    assert_eq!(keys(&held.damaged).collect::<Vec<_>>(), [key]);
}

/// May write and read, and neither list nor remove.
struct Blind;

impl WrapSession for Blind {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        match call {
            Call::List => Err(SinkError::new(Cause::Forbidden, "this account may not list")),
            Call::RemoveOwn => Err(SinkError::new(Cause::Forbidden, "this account may not remove")),
            _ => work(),
        }
    }
}

#[test]
fn an_account_that_may_neither_list_nor_remove_leaves_a_chain() {
    let bench = Bench::of_files(2);
    let blind = wrapped(bench.sink.as_ref(), &Arc::new(Blind));
    let first = bench.run_onto(&blind, &bench.options()).unwrap();
    bench.database.execute("UPDATE datafile SET restricted = true");
    let second = bench.run_onto(&blind, &bench.options()).unwrap();
    assert_eq!((first.exit_code, second.exit_code), (0, 0));
    assert_eq!(header(&bench, &link(&second).name).previous, first.snapshot);
    assert_eq!(snapshots(&bench).len(), 2);
    assert_eq!(*bench.warnings.lock().unwrap(), [""; 0]);
    let made = rebuild::from_snapshot_alone(&bench, &blind, Which::Newest).unwrap_err();
    assert!(made.to_string().contains("one can be asked for by its name"), "{made}");
    let made = rebuild::from_snapshot_alone(&bench, &blind, Which::Named(link(&first).name.clone())).unwrap();
    assert_eq!(Some(made), first.snapshot);
}

#[test]
fn nothing_is_left_by_a_dry_run() {
    let bench = Bench::of_files(2);
    let summary = bench.try_run(&Options { dry_run: true, ..bench.options() }).unwrap();
    assert_eq!(summary.snapshot, None);
    assert!(!bench.backup.exists());
    bench.run();
    let before = snapshots(&bench);
    bench.try_run(&Options { dry_run: true, ..bench.options() }).unwrap();
    assert_eq!(snapshots(&bench), before);
}

#[test]
fn a_run_that_died_before_it_leaves_it_to_the_next() {
    let bench = Bench::of_files(3);
    bench.run();
    let before = snapshots(&bench);
    fs::remove_file(path(&bench, &before[0])).unwrap();
    // It recorded that it began, and never how it ended.
    let dead = dvb_ledger::Run {
        id: dvb_engine::new_run_id(),
        destination: destination(),
        started: "2999-01-01T00:00:00.000Z".into(),
        host: "h".into(),
        pid: 1,
    };
    bench.ledger.begin_run(&dead).unwrap();
    let end =
        dvb_ledger::RunSummary { finished: dead.started.clone(), catalogued: 0, exit_code: 143, json: "{}".into() };
    let next = bench.run();
    assert_eq!((next.files.unchanged, next.exit_code), (3, 0));
    assert_eq!(snapshots(&bench), [link(&next).name.as_str()]);
    // One that ended by a signal, or of an older program, says nothing of a snapshot either.
    bench.ledger.finish_run(&dead.id, &end).unwrap();
    assert_ne!(bench.run().snapshot, next.snapshot);
}

#[test]
fn a_snapshot_that_vanished_is_missed_by_the_next_run() {
    let bench = Bench::of_files(3);
    for run in [Bench::run, Bench::rerun] {
        let before = bench.run();
        fs::remove_file(path(&bench, &link(&before).name)).unwrap();
        let next = run(&bench);
        assert_eq!((next.exit_code, next.files.unchanged, next.notes_total), (0, 3, 1), "{next:#?}");
        assert_eq!(snapshots(&bench), [link(&next).name.as_str()]);
    }
    assert_eq!(bench.run().notes_total, 0);
}

#[test]
fn a_snapshot_that_is_damaged_is_said_and_another_one_is_left() {
    for damage in [
        |at: &std::path::Path| fs::write(at, "x").unwrap(),
        |at: &std::path::Path| {
            fs::remove_file(at).unwrap();
            fs::create_dir(at).unwrap();
        },
    ] {
        let bench = Bench::of_files(3);
        let first = bench.run();
        damage(&path(&bench, &link(&first).name));
        let next = bench.run();
        assert_eq!((next.ending, next.files.unchanged), (ExitStatus::DestinationDamaged, 3));
        assert!(next.notes[0].reason.contains("is damaged"), "{:?}", next.notes);
        assert_ne!(next.snapshot, first.snapshot);
        assert_eq!(bench.run().exit_code, 0);
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_is_said_and_costs_no_verdict() {
    let bench = Bench::of_files(3);
    // Its name is taken by a folder.
    let options = bench.options();
    let taken = bench.backup.join(".dataverse-backup").join(format!("catalogue-{}.jsonl.zst", options.run));
    fs::create_dir_all(&taken).unwrap();
    let summary = bench.try_run(&options).unwrap();
    assert_eq!((summary.files.copied, summary.ending, &summary.snapshot), (3, ExitStatus::NotSafe, &None));
    assert!(summary.notes[0].reason.starts_with("no snapshot of the catalogue"), "{:?}", summary.notes);
    assert!(bench.warnings.lock().unwrap()[0].starts_with("no snapshot of the catalogue"));
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
    assert_eq!(bench.temporaries(), [""; 0]);
    let next = bench.run();
    assert_eq!((next.files.unchanged, next.exit_code), (3, 0));
    assert!(path(&bench, &link(&next).name).is_file());
}

#[test]
fn a_destination_that_dies_before_it_is_unreachable_and_the_next_run_writes_it() {
    let bench = Bench::of_files(1);
    // Of the copy: stage, commit.
    for at in 2.. {
        let bench = Bench::of_files(1);
        let plan = Arc::new(Plan { fault: Fault::Death, at, done: AtomicU32::new(0) });
        let faulty = wrapped(bench.sink.as_ref(), &plan);
        let summary = bench.run_onto(&faulty, &Options { jobs: 1, ..bench.options() }).unwrap();
        if summary.exit_code == 0 {
            assert!(at > 3);
            break;
        }
        assert_eq!((summary.ending, summary.snapshot), (ExitStatus::Unreachable, None), "at {at}");
        let next = bench.run();
        assert_eq!((next.files.unchanged + next.files.adopted + next.files.copied, next.exit_code), (1, 0));
        assert_eq!(snapshots(&bench), [link(&next).name.as_str()]);
    }
    drop(bench);
}

#[test]
fn old_snapshots_are_thinned_and_what_is_none_stays() {
    let bench = Bench::of_files(1);
    let own = bench.backup.join(".dataverse-backup");
    fs::create_dir_all(&own).unwrap();
    let old = |time: &str| {
        let run = format!("{time}Z-0badcafe");
        let run = dvb_ledger::Run {
            id: dvb_model::RunId(run),
            destination: destination(),
            started: "2020-01-01T01:02:03.000Z".into(),
            host: "h".into(),
            pid: 1,
        };
        if !bench.ledger.knows_run(&destination(), &run.id).unwrap() {
            bench.ledger.begin_run(&run).unwrap();
        }
        format!("catalogue-{}.jsonl.zst", run.id)
    };
    // Another ledger's, in the same place.
    let others = "catalogue-20200101T010204Z-0therone.jsonl.zst";
    fs::write(own.join(others), "others").unwrap();
    for name in ["20200101T010203", "20200131T010203", "20200131T020203", "20200215T010203"].map(old) {
        fs::write(own.join(name), "old").unwrap();
    }
    for name in ["20200101T010203", "20200131T020203", "20190131T020203"].map(old) {
        fs::write(own.join(format!("{name}.sha256")), "digest").unwrap();
    }
    fs::write(own.join("catalogue-mine.jsonl.zst"), "mine").unwrap();
    let summary = bench.run();
    let expected = [
        others.to_owned(),
        old("20200131T020203"),
        old("20200215T010203"),
        link(&summary).name.clone(),
        "catalogue-mine.jsonl.zst".into(),
    ];
    assert_eq!(snapshots(&bench), expected);
    // Digests go with their snapshots, and a new one has one.
    let mut digests: Vec<String> =
        files::tree(&own).into_keys().filter_map(|it| it.strip_suffix(".sha256").map(str::to_owned)).collect();
    digests.sort();
    assert_eq!(digests, [old("20200131T020203"), link(&summary).name.clone()]);
    let digest = fs::read_to_string(own.join(format!("{}.sha256", link(&summary).name))).unwrap();
    assert_eq!(digest, format!("{}  {}\n", link(&summary).sha256, link(&summary).name));
    // A ledger that knows nothing of it: its digest is what lies there.
    let previous = header(&bench, &link(&summary).name).previous;
    assert_eq!(previous, Some(SnapshotLink { name: old("20200215T010203"), sha256: sha256(b"old") }));
}
