//! What is bad on one side is mended from a side that is good, in either direction; and nothing else is touched.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use dvb_engine::{
    ExitStatus, NullObserver, Options, Outcome, RepairOptions, RepairSetup, RepairSummary, RestoreError, RunError,
    Selection, Setup, SinkAt, new_run_id, repair, run,
};
use dvb_ledger::{CopyState, Incident, Side};
use dvb_model::{DestinationName, DvObjectId, Status};
use dvb_storage::Sink;
use dvb_testkit::dataverse::{DataTable, Schema, Stored, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, destination, new_ledger, sink_at};
use crate::faults::{Fault, Plan};
use crate::rebuild;
use crate::wrapped::wrapped;

/// A bench with a second destination.
struct Two {
    bench: Bench,
    second: Box<dyn Sink>,
    folder: PathBuf,
    keys: Vec<String>,
    contents: Vec<Vec<u8>>,
}

fn second() -> DestinationName {
    DestinationName("second".into())
}

impl Two {
    fn of_files(count: i64) -> Self {
        let two = Self::of(Bench::of_files(count));
        two.run();
        two
    }

    fn of(bench: Bench) -> Self {
        let folder = bench.folder.path().join("second");
        let second = sink_at(&folder);
        let (keys, contents) = bench.world.expected_copies().into_iter().unzip();
        Self { bench, second, folder, keys, contents }
    }

    /// Runs at both.
    fn run(&self) {
        assert_eq!(self.bench.run().ending, ExitStatus::Safe);
        let catalog = self.bench.catalog();
        let setup = Setup {
            catalog: &catalog,
            stores: &self.bench.stores,
            ledger: self.bench.ledger.as_ref(),
            destination: &second(),
            sink: self.second.as_ref(),
            observer: &NullObserver,
            stop: &self.bench.stop,
        };
        assert_eq!(run(&setup, &self.bench.options()).unwrap().ending, ExitStatus::Safe);
    }

    fn try_repair(&self, apply: bool, selection: Selection) -> Result<RepairSummary, RestoreError> {
        self.repair_by(self.bench.sink.as_ref(), apply, selection)
    }

    /// With another way to the first destination.
    fn repair_by(&self, sink: &dyn Sink, apply: bool, selection: Selection) -> Result<RepairSummary, RestoreError> {
        let catalog = self.bench.catalog();
        let how = Options { selection, run: new_run_id(), ..self.bench.options() };
        let writers = self.bench.writers(&how.run);
        let (first, second) = (destination(), second());
        let destinations = [SinkAt { name: &first, sink }, SinkAt { name: &second, sink: self.second.as_ref() }];
        let setup = RepairSetup {
            catalog: &catalog,
            stores: &self.bench.stores,
            writers: &writers,
            ledger: self.bench.ledger.as_ref(),
            destinations: &destinations,
            observer: &NullObserver,
            stop: &self.bench.stop,
        };
        repair(&setup, &RepairOptions { apply, all: false, how })
    }

    fn repair(&self, apply: bool) -> RepairSummary {
        self.try_repair(apply, Selection::default()).unwrap()
    }

    fn repair_all(&self, apply: bool) -> RepairSummary {
        let files = self.bench.world.files.iter().map(|it| DvObjectId(it.id)).collect();
        self.try_repair(apply, Selection { files, ..Selection::default() }).unwrap()
    }

    fn store(&self, n: usize) -> PathBuf {
        self.bench.source_of(&self.keys[n])
    }

    fn first(&self, n: usize) -> PathBuf {
        self.bench.backup.join(&self.keys[n])
    }

    fn second(&self, n: usize) -> PathBuf {
        self.folder.join(&self.keys[n])
    }

    fn id(&self, n: usize) -> DvObjectId {
        let file = self.bench.world.files.iter().find(|it| it.copies[0].0 == self.keys[n]);
        DvObjectId(file.unwrap().id)
    }

    fn incidents(&self, n: usize) -> Vec<Incident> {
        self.bench.ledger.incidents(self.id(n)).unwrap()
    }

    /// Everything that anybody has.
    fn everything(&self) -> [BTreeMap<String, Vec<u8>>; 3] {
        let ours = |root: &Path| {
            let mut tree = files::tree(root);
            tree.retain(|it, _| !it.starts_with(".dataverse-backup/"));
            tree
        };
        [ours(&self.bench.folder.path().join("files")), ours(&self.bench.backup), ours(&self.folder)]
    }

    fn is_whole(&self, n: usize) -> bool {
        [self.store(n), self.first(n), self.second(n)].iter().all(|it| fs::read(it).unwrap() == self.contents[n])
    }

    fn statuses(&self) -> Vec<Status> {
        let history = |it: &dvb_testkit::dataverse::DataFile| self.bench.ledger.history(DvObjectId(it.id)).unwrap();
        self.bench.world.files.iter().flat_map(history).map(|it| it.detail.status).collect()
    }
}

#[test]
fn both_sides_are_mended_from_each_other() {
    let two = Two::of_files(6);
    // In the store: one missing, one damaged. At the destinations: one missing, one damaged, one on both sides of a pair.
    fs::remove_file(two.store(0)).unwrap();
    fs::write(two.store(1), "CONTENT").unwrap();
    fs::remove_file(two.first(2)).unwrap();
    fs::write(two.second(3), "rotten").unwrap();
    fs::remove_file(two.store(4)).unwrap();
    fs::write(two.first(4), "rotten").unwrap();
    let before = two.everything();
    let ledger = |it: &Two| {
        it.bench.world.files.iter().map(|f| it.bench.ledger.history(DvObjectId(f.id)).unwrap()).collect::<Vec<_>>()
    };
    let history = ledger(&two);

    let dry = two.repair_all(false);
    assert_eq!(
        (dry.objects.bad_in_stores, dry.objects.bad_at_destinations, dry.objects.would_mend),
        (3, 3, 6),
        "{dry:#?}"
    );
    assert_eq!((dry.ending, dry.items.len(), dry.looked_at), (ExitStatus::DestinationDamaged, 6, 6));
    assert_eq!(two.everything(), before, "without --apply nothing changes");
    assert_eq!(two.bench.temporaries(), [""; 0]);
    let tmp = two.bench.backup.join(".dataverse-backup/tmp");
    assert_eq!(fs::read_dir(tmp).map_or(0, Iterator::count), 0, "nor is a folder left");
    assert_eq!(ledger(&two), history);
    let item = dry.items.iter().find(|it| it.data_file_id == Some(two.id(4)) && it.bad == "store file").unwrap();
    assert_eq!(
        (item.found.name(), item.good.as_slice()),
        ("missing", &["destination second".to_owned()][..]),
        "{item:#?}"
    );
    assert!(item.action.contains("would put the bytes of destination second"), "{item:#?}");

    let done = two.repair_all(true);
    assert_eq!((done.objects.mended, done.objects.left, done.objects.failed), (6, 0, 0), "{done:#?}");
    assert_eq!((done.ending, done.exit_code), (ExitStatus::Safe, 0), "{done:#?}");
    assert!((0..6).all(|it| two.is_whole(it)));
    assert_eq!(two.statuses(), [Status::Ok; 12]);
    // What was bad is kept.
    let kept: Vec<&str> = done.items.iter().filter_map(|it| it.kept.as_deref()).collect();
    assert_eq!(kept.len(), 3, "{kept:?}");
    let aside = done.items.iter().find(|it| it.bad == "destination second").unwrap().kept.clone().unwrap();
    assert_eq!(fs::read(two.folder.join(aside)).unwrap(), b"rotten");
    // Each is on record.
    let [incident] = &two.incidents(1)[..] else { panic!("{:?}", two.incidents(1)) };
    assert_eq!((incident.side, incident.place.as_str(), incident.found.as_str()), (Side::Store, "file", "damaged"));
    let mended = incident.mended.as_ref().unwrap();
    assert_eq!((mended.from.as_str(), &mended.by), ("destination default", &done.run_id));
    assert_eq!((&incident.found_by, mended.size), (&done.run_id, Some(two.contents[1].len() as u64)));
    let [incident] = &two.incidents(3)[..] else { panic!("{:?}", two.incidents(3)) };
    assert_eq!((incident.side, incident.place.as_str()), (Side::Destination, "second"));
    let from = incident.mended.as_ref().map(|it| it.from.as_str());
    assert_eq!((from, incident.found.as_str()), (Some("store file"), "damaged"));
    assert_eq!((two.incidents(4).len(), two.incidents(5).len()), (2, 0));

    let again = two.repair_all(true);
    assert_eq!((again.ending, again.items.len()), (ExitStatus::Safe, 0), "{again:#?}");
    assert_eq!(two.repair(true).looked_at, 0, "the ledger knows of nothing bad");
}

#[test]
fn what_the_ledger_knows_to_be_bad_is_looked_at() {
    let two = Two::of_files(3);
    fs::remove_file(two.first(0)).unwrap();
    // Not known yet.
    assert_eq!((two.repair(false).looked_at, two.repair(false).ending), (0, ExitStatus::Safe));
    let found = crate::verify::verified(&two.bench);
    assert_eq!(found.copies.missing, 1);
    let dry = two.repair(false);
    assert_eq!((dry.looked_at, dry.items.len(), dry.ending), (1, 1, ExitStatus::DestinationDamaged), "{dry:#?}");
    let done = two.repair(true);
    assert_eq!((done.objects.mended, done.ending), (1, ExitStatus::Safe), "{done:#?}");
    assert!(two.is_whole(0));
    let [incident] = &two.incidents(0)[..] else { panic!() };
    assert_eq!((&incident.found_by, incident.command.as_deref()), (&found.run_id, Some("verify")));
    assert!(incident.found_at <= incident.mended.as_ref().unwrap().at);
    // What came back by itself was an incident, too, and is called OK.
    fs::remove_file(two.first(1)).unwrap();
    crate::verify::verified(&two.bench);
    fs::write(two.first(1), &two.contents[1]).unwrap();
    assert!(two.statuses().contains(&Status::FailVerify));
    let done = two.repair(true);
    assert_eq!((done.items.len(), done.looked_at, done.ending), (0, 1, ExitStatus::Safe), "{done:#?}");
    assert_eq!(two.statuses(), [Status::Ok; 6]);
    let [incident] = &two.incidents(1)[..] else { panic!("{:?}", two.incidents(1)) };
    assert!(incident.mended.as_ref().unwrap().from.starts_with("elsewhere"), "{incident:#?}");
}

#[test]
fn a_copy_of_what_left_dataverse_comes_from_another_destination() {
    let two = Two::of_files(30);
    let id = two.id(0);
    two.bench.database.execute(&format!("DELETE FROM filemetadata WHERE datafile_id = {id}"));
    two.bench.database.execute(&format!("DELETE FROM datafile WHERE id = {id}"));
    two.bench.database.execute(&format!("DELETE FROM dvobject WHERE id = {id}"));
    fs::remove_file(two.store(0)).unwrap();
    two.run();
    fs::write(two.first(0), "rotten").unwrap();
    crate::verify::verified(&two.bench);
    let done = two.repair(true);
    assert_eq!((done.objects.mended, done.looked_at, done.ending), (1, 1, ExitStatus::Safe), "{done:#?}");
    assert_eq!(fs::read(two.first(0)).unwrap(), two.contents[0]);
    assert!(!two.store(0).exists(), "Dataverse does not know it any more");
    assert_eq!(two.incidents(0)[0].mended.as_ref().unwrap().from, "destination second");
    let copies = two.bench.ledger.copies(&destination(), &[id]).unwrap();
    assert_eq!(copies[0].state, CopyState::Proved);
}

#[test]
fn what_nobody_can_decide_or_has_any_more_is_left() {
    let two = Two::of_files(4);
    // No good side.
    for path in [two.store(0), two.first(0), two.second(0)] {
        fs::write(path, "rotten").unwrap();
    }
    // Without a checksum, and the row changed since: nobody can say which is right.
    fs::write(two.store(1), "deposited anew").unwrap();
    let set = |n: usize, value: &str| {
        let sql = format!("UPDATE datafile SET checksumvalue = '{value}' WHERE id = {}", two.id(n));
        two.bench.database.execute(&sql);
    };
    set(1, "Unknown");
    // Neither the store nor the copy is what Dataverse recorded.
    fs::write(two.store(2), "neither").unwrap();
    set(2, &files::md5(b"something else"));
    let before = two.everything();
    let done = two.repair_all(true);
    assert_eq!((done.objects.mended, done.objects.left), (0, 5), "{done:#?}");
    assert_eq!(done.ending, ExitStatus::DestinationDamaged);
    assert_eq!(two.everything(), before, "nothing was touched");
    let of =
        |n: usize| done.items.iter().find(|it| it.data_file_id == Some(two.id(n)) && it.bad == "store file").unwrap();
    assert!(of(0).action.contains("no destination has a good copy"), "{:#?}", of(0));
    assert!(of(1).action.contains("left alone"), "{:#?}", of(1));
    assert!(of(2).action.contains("nobody can say"), "{:#?}", of(2));
    let open = |n: usize| two.incidents(n).iter().filter(|it| it.mended.is_none()).count();
    assert_eq!([0, 1, 2, 3].map(open), [3, 0, 1, 0], "as far as it is damage for sure");
    // It is known now, without having been verified.
    let copies = two.bench.ledger.copies(&second(), &[two.id(0)]).unwrap();
    assert_eq!(copies[0].state, CopyState::Damaged);
    let nobody = Selection { files: [DvObjectId(987_654)].into(), ..Selection::default() };
    let none = two.try_repair(false, nobody);
    assert!(matches!(none, Err(RestoreError::Run(RunError::NothingSelected))), "{none:?}");
}

#[test]
fn whatever_fails_on_the_way_the_next_repair_ends_it() {
    for fault in [Fault::Before, Fault::After, Fault::Death] {
        for at in 0.. {
            let two = Two::of_files(4);
            fs::remove_file(two.store(0)).unwrap();
            fs::write(two.first(1), "rotten").unwrap();
            fs::remove_file(two.first(2)).unwrap();
            fs::write(two.second(3), "rotten").unwrap();
            let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
            let faulty = wrapped(two.bench.sink.as_ref(), &plan);
            let files = (0..4).map(|it| two.id(it)).collect();
            let first = two.repair_by(&faulty, true, Selection { files, ..Selection::default() }).unwrap();
            // What is at a name is whole, or what was there before; what is recorded as mended is mended.
            for (n, path) in [(0, two.store(0)), (1, two.first(1)), (2, two.first(2)), (3, two.second(3))] {
                let bytes = fs::read(&path).ok();
                let is_good = bytes.as_ref() == Some(&two.contents[n]);
                assert!(is_good || bytes.is_none() || bytes.unwrap() == b"rotten", "{fault:?} at {at}: {n}");
                let is_mended = two.incidents(n).iter().any(|it| it.mended.is_some());
                assert!(is_good || !is_mended, "{fault:?} at {at}: {n}: {first:#?}");
            }
            let second = two.repair_all(true);
            assert_eq!(second.ending, ExitStatus::Safe, "{fault:?} at {at}: {second:#?}");
            assert!((0..4).all(|it| two.is_whole(it)), "{fault:?} at {at}");
            two.run();
            assert_eq!(two.statuses(), [Status::Ok; 8], "{fault:?} at {at}");
            if !plan.has_failed() {
                assert!(at > 5, "{at}");
                break;
            }
        }
    }
}

#[test]
fn a_destination_that_is_away_neither_helps_nor_hinders() {
    let mut two = Two::of_files(3);
    // Something else has its name.
    fs::write(two.bench.folder.path().join("no"), "folder").unwrap();
    two.second = sink_at(&two.bench.folder.path().join("no/such"));
    fs::remove_file(two.store(0)).unwrap();
    let done = two.repair_all(true);
    assert_eq!(done.ending, ExitStatus::Usage, "{done:#?}");
    assert_eq!((done.objects.mended, done.objects.unreadable), (1, 3), "{done:#?}");
    assert_eq!(fs::read(two.store(0)).unwrap(), two.contents[0]);
    assert!(done.items.iter().any(|it| it.outcome == Outcome::Mended && it.bad == "store file"));
}

#[test]
fn mending_waits_for_no_run_and_looking_needs_no_lock() {
    let two = Two::of_files(1);
    fs::remove_file(two.first(0)).unwrap();
    let holder =
        dvb_ledger::Holder { host: "h".into(), pid: 1, run: new_run_id(), since: "2026-01-02T03:04:05.000Z".into() };
    let lock = two.bench.ledger.lock(&second(), &holder).unwrap();
    assert_eq!(two.repair_all(false).objects.would_mend, 1);
    let files: std::collections::BTreeSet<_> = [two.id(0)].into();
    let selection = Selection { files, ..Selection::default() };
    let refused = two.try_repair(true, selection).unwrap_err();
    assert_eq!(ExitStatus::from(&refused), ExitStatus::Locked);
    assert!(!two.first(0).exists());
    drop(lock);
    assert_eq!(two.repair_all(true).objects.mended, 1);
}

#[test]
fn every_kind_of_object_is_mended_on_both_sides() {
    let bench = Bench::of_every_kind(dvb_testkit::dataverse::Schema::V6_9, crate::bench::LedgerKind::Postgres);
    bench.run();
    let folder = bench.folder.path().join("second");
    let second_sink = sink_at(&folder);
    let two = Two { bench, second: second_sink, folder, keys: Vec::new(), contents: Vec::new() };
    let catalog = two.bench.catalog();
    let setup = Setup {
        catalog: &catalog,
        stores: &two.bench.stores,
        ledger: two.bench.ledger.as_ref(),
        destination: &second(),
        sink: two.second.as_ref(),
        observer: &NullObserver,
        stop: &two.bench.stop,
    };
    run(&setup, &two.bench.options()).unwrap();
    let [_, good, at_second] = two.everything();
    let stores: Vec<_> = two.bench.world.stores.iter().map(|it| files::tree(&it.directory)).collect();
    // Everything at the first destination is damaged, every other object at the stores is gone.
    for key in good.keys() {
        fs::write(two.bench.backup.join(key), "rotten and longer than it was before").unwrap();
    }
    let mut lost = 0;
    for (n, (store, tree)) in two.bench.world.stores.iter().zip(&stores).enumerate() {
        for key in tree.keys().filter(|it| good.contains_key(*it) && good[*it] == tree[*it]).skip(n).step_by(2) {
            fs::remove_file(store.directory.join(key)).unwrap();
            lost += 1;
        }
    }
    crate::verify::verified(&two.bench);
    let ids = two.bench.world.files.iter().map(|it| DvObjectId(it.id)).collect();
    let done = two.repair(true);
    let rest = two.try_repair(true, Selection { files: ids, ..Selection::default() }).unwrap();
    assert!(lost > 10 && done.objects.mended + rest.objects.mended >= good.len() as u64 + lost, "{done:#?} {rest:#?}");
    assert_eq!((done.objects.failed, rest.objects.failed), (0, 0), "{done:#?}");
    files::assert_same(&good, &two.bench.copies());
    for (store, before) in two.bench.world.stores.iter().zip(&stores) {
        files::assert_same(before, &files::tree(&store.directory));
    }
    files::assert_same(&at_second, &two.everything()[2]);
}

#[test]
fn what_a_snapshot_claims_is_mended_as_any_copy() {
    let two = Two::of_files(3);
    let ledger = new_ledger(LedgerKind::Sqlite, &two.bench.folder.path().join("again.db"));
    let two = Two { bench: Bench { ledger, ..two.bench }, ..two };
    for (name, sink) in [(destination(), two.bench.sink.as_ref()), (second(), two.second.as_ref())] {
        rebuild::rebuilt_at(&two.bench, &name, sink);
    }
    // By its size, which stayed, the rebuild could not tell.
    fs::write(two.first(0), "x".repeat(two.contents[0].len())).unwrap();
    fs::remove_file(two.store(0)).unwrap();
    let summary = two.repair_all(true);
    assert_eq!(summary.objects.failed, 0, "{summary:?}");
    assert_eq!(fs::read(two.first(0)).unwrap(), two.contents[0]);
    assert_eq!(fs::read(two.store(0)).unwrap(), two.contents[0]);
    let copies = two.bench.ledger.copies(&destination(), &[two.id(0), two.id(1), two.id(2)]).unwrap();
    assert!(copies.iter().all(|it| it.state == CopyState::Proved), "{copies:?}");
    two.run();
}

#[test]
fn a_damaged_file_that_never_had_a_copy_is_told() {
    let two = Two::of(Bench::of_files(3));
    fs::create_dir(&two.folder).unwrap();
    fs::write(two.store(1), "CONTENT 1").unwrap();
    assert_eq!(two.bench.run().ending, ExitStatus::SourceDamaged);
    let before = two.everything();
    for done in [two.repair(false), two.repair(true), two.repair_all(true)] {
        assert_eq!((done.ending, done.exit_code), (ExitStatus::SourceDamaged, 3), "{done:#?}");
        let [item] = &done.items[..] else { panic!("{done:#?}") };
        assert_eq!((item.data_file_id, item.found.name(), item.outcome), (Some(two.id(1)), "damaged", Outcome::Left));
        assert_eq!((item.bad.as_str(), item.action.as_str()), ("store file", "no destination has a proved copy of it"));
        assert!(item.detail.contains(&two.keys[1]) && item.detail.contains("is damaged"), "{item:#?}");
    }
    assert_eq!(two.everything(), before);
}

#[test]
fn a_row_that_fits_no_side_is_told() {
    let two = Two::of_files(3);
    let sql = format!("UPDATE datafile SET checksumvalue = '{}' WHERE id = {}", files::md5(b"others"), two.id(1));
    two.bench.database.execute(&sql);
    let before = two.everything();
    let told = |done: RepairSummary| {
        assert_eq!((done.ending, done.objects.left), (ExitStatus::SourceDamaged, 1), "{done:#?}");
        assert_eq!(done.exit_code, 3, "{done:#?}");
        let [item] = &done.items[..] else { panic!("{done:#?}") };
        assert_eq!(
            (item.data_file_id, item.found.name(), item.outcome),
            (Some(two.id(1)), "other-checksum", Outcome::Left)
        );
        assert_eq!((item.bad.as_str(), item.key.as_str()), ("store file", two.keys[1].as_str()));
        assert!(item.detail.contains(&files::md5(b"others")), "{item:#?}");
    };
    told(two.repair_all(false));
    told(two.repair_all(true));
    // A run says so too; then the ledger knows.
    assert_eq!(two.bench.run().failures[0].status, Status::FailChecksum);
    told(two.repair(true));
    assert_eq!(two.everything(), before);
}

#[test]
fn a_row_that_fits_another_object_of_the_file_is_not_told() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    let mut add = |name: &str, recorded: &[u8], is_tabular: bool| {
        let (tab, original) = (format!("{name}\tb\n").into_bytes(), format!("{name},b\n").into_bytes());
        let key = world.add_object(dataset, &format!("file://{name}"), Stored::Bytes(tab.clone()));
        world.add_object(dataset, &format!("file://{name}.orig"), Stored::Bytes(original.clone()));
        let file = world.add_row(dataset, Some(&format!("file://{name}")), recorded);
        if is_tabular {
            let (original_format, original_size) = (Some("text/csv".into()), Some(4));
            file.tables.push(DataTable { original_format, original_size, original_name: None });
        }
        file.copies = vec![(key.clone(), tab), (format!("{key}.orig"), original)];
    };
    add("a", b"a\tb\n", true);
    add("b", b"b,b\n", true);
    add("c", b"c,b\n", false);
    let two = Two::of(Bench::new(world, LedgerKind::Sqlite, folder));
    two.run();
    let good = two.repair_all(false);
    assert_eq!((good.ending, good.items.len(), good.looked_at), (ExitStatus::Safe, 0, 3), "{good:#?}");
    // Nor where only the store has it.
    for (n, key) in two.keys.iter().enumerate() {
        if ["/a", "/b.orig", "/c.orig"].iter().any(|it| key.ends_with(it)) {
            fs::write(two.first(n), "rotten").unwrap();
            fs::write(two.second(n), "rotten").unwrap();
        }
    }
    let bad = two.repair_all(false);
    let found: Vec<_> = bad.items.iter().map(|it| (it.found.name(), it.outcome)).collect();
    assert_eq!(found, [("damaged", Outcome::WouldMend); 6], "{bad:#?}");
}

#[test]
fn nothing_is_written_where_the_installations_id_is_gone() {
    let two = Two::of_files(3);
    // As a mount point without its disk.
    fs::rename(&two.bench.backup, two.bench.folder.path().join("away")).unwrap();
    fs::create_dir(&two.bench.backup).unwrap();
    let files = two.bench.world.files.iter().map(|it| DvObjectId(it.id)).collect();
    let error = two.try_repair(true, Selection { files, ..Selection::default() }).unwrap_err();
    assert!(matches!(error, RestoreError::Run(RunError::NotMarked { .. })), "{error}");
    assert_eq!(ExitStatus::from(&error), ExitStatus::Refused);
    assert_eq!(two.bench.copies(), BTreeMap::new());
}
