//! Files come back: into a folder, in place, as people see them; and nothing good is ever touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use dvb_engine::{
    Access, CancelToken, Event, ExitStatus, Goal, Hint, Layout, NoStore, NullObserver, Observer, RestoreError,
    RestoreOptions, RestoreSetup, RestoreSummary, RunError, Selection, SinkAt, StoreWriters, new_run_id, restore,
};
use dvb_fs::{FileStoreWriter, FolderWriter, OwnershipPolicy};
use dvb_model::{DestinationName, DriverId, DvObjectId, ObjectKey, RunId};
use dvb_storage::{Cause, Expected, Folder, Placed, PutError, Sink, SinkError, StoreWriter, StoredObject, Target};
use dvb_testkit::dataverse::{Expect, Label, Schema, Version, World};
use dvb_testkit::{files, temp_folder};

use crate::bench::{Bench, LedgerKind, destination, sink_at};
use crate::wrapped::{Away, Call, WrapSession, wrapped};

/// Counts what is read of the destinations, and may give the stop.
struct Watch<'a> {
    bytes: AtomicU64,
    stop_at: u64,
    stop: &'a CancelToken,
}

impl Observer for Watch<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Judged { .. } = event
            && self.bytes.fetch_add(1, Ordering::Relaxed) + 1 == self.stop_at
        {
            self.stop.signal(2);
        }
    }
}

impl Bench {
    pub(crate) fn restore_options(&self) -> RestoreOptions {
        RestoreOptions {
            agent: crate::bench::agent(),
            run: new_run_id(),
            selection: Selection::default(),
            missing: false,
            quick: false,
            layout: Layout::Keys,
            dry_run: false,
            jobs: 2,
            bandwidth_limit: None,
            auxiliary_objects: true,
            spool_folder: self.folder.path().to_owned(),
        }
    }

    pub(crate) fn give(
        &self,
        from: &[(&DestinationName, &dyn Sink)],
        to: Goal<'_>,
        options: &RestoreOptions,
        observer: &dyn Observer,
    ) -> Result<RestoreSummary, RestoreError> {
        let from: Vec<SinkAt<'_>> = from.iter().map(|(name, sink)| SinkAt { name, sink: *sink }).collect();
        let catalog = self.catalog();
        let setup = RestoreSetup {
            catalog: &catalog,
            stores: &self.stores,
            ledger: self.ledger.as_ref(),
            from: &from,
            to,
            observer,
            stop: &self.stop,
        };
        restore(&setup, options)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    pub(crate) fn give_to_folder(&self, options: &RestoreOptions) -> Result<RestoreSummary, RestoreError> {
        let writer = FolderWriter::open(&self.out(), &options.run, OwnershipPolicy::Own).unwrap();
        self.give(&[(&destination(), self.sink.as_ref())], Goal::Folder(&writer), options, &NullObserver)
    }

    pub(crate) fn writers(&self, run: &RunId) -> StoreWriters {
        let open = |it: &dvb_testkit::dataverse::Store| {
            let writer = FileStoreWriter::open(&it.directory, &[], run).unwrap();
            (DriverId(it.id.clone()), Ok(Box::new(writer) as Box<dyn StoreWriter>))
        };
        self.world.stores.iter().map(open).collect()
    }

    pub(crate) fn give_in_place(&self, options: &RestoreOptions) -> RestoreSummary {
        let writers = self.writers(&options.run);
        self.give(&[(&destination(), self.sink.as_ref())], Goal::InPlace(&writers), options, &NullObserver).unwrap()
    }

    pub(crate) fn missing(&self) -> RestoreOptions {
        RestoreOptions { missing: true, ..self.restore_options() }
    }
}

/// What Dataverse's own layout has: no key at the destination with an ending of its own.
fn plain(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut all = world.expected_copies();
    for file in
        world.files.iter().filter(|it| it.copies.iter().any(|it| it.0.ends_with(&format!(".id{}", file_id(&it.0)))))
    {
        for (key, _) in &file.copies {
            all.remove(key);
        }
    }
    all
}

fn file_id(key: &str) -> &str {
    key.rsplit_once(".id").map_or("", |it| it.1)
}

/// Inode and time of every file: what was not touched has the same.
fn stamps(root: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, (metadata.ino(), metadata.modified().unwrap()));
            }
        }
    }
    found
}

fn every_kind_comes_back(schema: Schema, ledger: LedgerKind) {
    let bench = Bench::of_every_kind(schema, ledger);
    bench.run();
    let summary = bench.give_to_folder(&bench.restore_options()).unwrap();
    files::assert_same(&plain(&bench.world), &files::tree(&bench.out()));
    // Whatever has no copy is named, and only that. The second data file of a name in another store has no room here.
    let no_copy = [Expect::FailRead, Expect::FailChecksum, Expect::Orphaned];
    let no_copy = bench.world.files.iter().filter(|it| no_copy.contains(&it.expect)).count() as u64;
    assert_eq!(summary.objects.no_copy, no_copy, "{:#?}", summary.failures);
    let clashes = u64::from(schema == Schema::V6_9);
    assert_eq!(
        (summary.objects.failed, summary.failures_total),
        (clashes, no_copy + clashes),
        "{:#?}",
        summary.failures
    );
    assert_eq!((summary.ending, summary.exit_code), (ExitStatus::NotSafe, 1));
    let bytes: usize = plain(&bench.world).values().map(Vec::len).sum();
    assert_eq!(summary.bytes, bytes as u64);
    assert!(summary.restricted.contains(&DvObjectId(bench.world.of_kind("restricted").id)));
    if schema == Schema::V6_9 {
        assert!(summary.restricted.contains(&DvObjectId(bench.world.of_kind("embargoed").id)));
    }
    // Again: it is all there.
    let stamps_before = stamps(&bench.out());
    let again = bench.give_to_folder(&bench.restore_options()).unwrap();
    assert_eq!((again.objects.restored, again.bytes), (0, 0));
    assert_eq!(stamps(&bench.out()), stamps_before);
}

#[test]
fn every_kind_comes_back_from_6_9() {
    every_kind_comes_back(Schema::V6_9, LedgerKind::Sqlite);
}

#[test]
fn every_kind_comes_back_from_4_8() {
    every_kind_comes_back(Schema::V4_8, LedgerKind::Postgres);
}

/// A folder that counts what is not flushed yet, and may fail to flush.
struct Counted {
    inner: FolderWriter,
    puts: AtomicU64,
    flushed: AtomicU64,
    is_broken: bool,
}

impl Target for Counted {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn put_new(&self, at: &ObjectKey, copy: &mut dyn std::io::Read, expected: &Expected) -> Result<Placed, PutError> {
        let placed = self.inner.put_new(at, copy, expected)?;
        self.puts.fetch_add(1, Ordering::SeqCst);
        Ok(placed)
    }
}

impl Folder for Counted {
    fn size(&self, at: &ObjectKey) -> Result<Option<u64>, SinkError> {
        self.inner.size(at)
    }

    fn open(&self, at: &ObjectKey) -> Result<StoredObject, SinkError> {
        self.inner.open(at)
    }

    fn flush(&self) -> Result<(), SinkError> {
        let puts = self.puts.load(Ordering::SeqCst);
        if self.is_broken && puts > 0 {
            return Err(SinkError::new(Cause::Io, "the disk is broken"));
        }
        self.inner.flush()?;
        self.flushed.fetch_max(puts, Ordering::SeqCst);
        Ok(())
    }
}

#[test]
fn what_is_given_back_to_a_folder_is_flushed_before_it_is_called_there() {
    let bench = Bench::of_files(60);
    bench.run();
    for is_broken in [false, true] {
        let out = bench.folder.path().join(format!("out-{is_broken}"));
        let options = bench.restore_options();
        let inner = FolderWriter::open(&out, &options.run, OwnershipPolicy::Own).unwrap();
        let folder = Counted { inner, puts: AtomicU64::new(0), flushed: AtomicU64::new(0), is_broken };
        let from = [(&destination(), bench.sink.as_ref())];
        let summary = bench.give(&from, Goal::Folder(&folder), &options, &NullObserver).unwrap();
        let (puts, flushed) = (folder.puts.into_inner(), folder.flushed.into_inner());
        if is_broken {
            assert_eq!(flushed, 0);
            assert!(summary.ending != ExitStatus::Safe && summary.aborted.unwrap().contains("broken"));
        } else {
            assert_eq!((puts, flushed, summary.ending), (60, 60, ExitStatus::Safe));
        }
    }
}

/// A destination with which no session is open, but the first, and of which no copy is read, before all were asked for.
#[derive(Default)]
struct Meeting {
    asked: Mutex<usize>,
    came: Condvar,
    opened: AtomicU64,
}

impl Meeting {
    const ALL: usize = 3;

    fn wait_for_all(&self) {
        let asked = self.asked.lock().unwrap();
        let (asked, _) =
            self.came.wait_timeout_while(asked, Duration::from_secs(20), |asked| *asked < Self::ALL).unwrap();
        assert_eq!(*asked, Self::ALL, "sessions are opened one after the other");
    }
}

impl WrapSession for Meeting {
    fn around<T>(&self, call: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        let is_later = match call {
            Call::Connect => {
                let mut asked = self.asked.lock().unwrap();
                *asked += 1;
                self.came.notify_all();
                *asked > 1
            }
            // The first one looks whose the destination is.
            Call::Open => self.opened.fetch_add(1, Ordering::SeqCst) > 0,
            _ => false,
        };
        if is_later {
            self.wait_for_all();
        }
        work()
    }
}

#[test]
fn sessions_are_opened_beside_each_other_and_the_first_one_serves_twice() {
    let bench = Bench::of_files(600);
    bench.run();
    let meeting = Arc::new(Meeting::default());
    let sink = wrapped(bench.sink.as_ref(), &meeting);
    let options = RestoreOptions { jobs: 3, ..bench.restore_options() };
    let folder = FolderWriter::open(&bench.out(), &options.run, OwnershipPolicy::Own).unwrap();
    let summary = bench.give(&[(&destination(), &sink)], Goal::Folder(&folder), &options, &NullObserver).unwrap();
    assert_eq!((summary.objects.restored, summary.ending), (600, ExitStatus::Safe));
    assert_eq!(*meeting.asked.lock().unwrap(), Meeting::ALL);
}

#[test]
fn a_store_that_lost_everything_is_as_it_was() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let before: Vec<_> = bench.world.stores.iter().map(|it| files::tree(&it.directory)).collect();
    for store in &bench.world.stores {
        for entry in fs::read_dir(&store.directory).unwrap() {
            fs::remove_dir_all(entry.unwrap().path()).unwrap();
        }
    }
    let summary = bench.give_in_place(&bench.missing());
    let copies = bench.world.expected_copies();
    for (store, before) in bench.world.stores.iter().zip(before) {
        let mut wanted = before;
        // What had no copy cannot come back: what can be made again, and what was bad.
        wanted.retain(|key, bytes| {
            copies.get(key) == Some(bytes) || copies.iter().any(|it| file_key(it.0) == key && it.1 == bytes)
        });
        files::assert_same(&wanted, &files::tree(&store.directory));
    }
    assert_eq!((summary.objects.failed, summary.objects.damaged_copies), (0, 0), "{:#?}", summary.failures);
    assert_eq!(summary.objects.restored, copies.len() as u64, "{:#?}", summary.objects);
}

/// The plain key of one with an ending.
fn file_key(key: &str) -> &str {
    key.rsplit_once(".id").map_or(key, |it| it.0)
}

#[test]
fn exactly_what_was_lost_comes_back_in_place() {
    let bench = Bench::of_files(30);
    bench.run();
    let expected = bench.world.expected_copies();
    let keys: Vec<&String> = expected.keys().collect();
    let lost = [keys[2], keys[11], keys[29]];
    for key in lost {
        fs::remove_file(bench.source_of(key)).unwrap();
    }
    let root = bench.folder.path().join("files");
    let before = stamps(&root);
    let quick = || RestoreOptions { quick: true, ..bench.missing() };
    let dry = bench.give_in_place(&RestoreOptions { dry_run: true, ..quick() });
    assert_eq!((dry.objects.restored, dry.files, dry.exit_code), (3, 3, 0));
    assert_eq!(stamps(&root), before, "a dry run changes nothing");
    let summary = bench.give_in_place(&quick());
    assert_eq!((summary.objects.restored, summary.objects.present, summary.exit_code), (3, 27, 0), "{summary:#?}");
    assert_eq!((summary.bytes, summary.files), (dry.bytes, 3));
    files::assert_same(&expected, &files::tree(&root));
    let mut after = stamps(&root);
    for key in lost {
        let made = fs::metadata(bench.source_of(key)).unwrap();
        let beside = fs::metadata(bench.source_of(keys[0])).unwrap();
        assert_eq!((made.uid(), made.gid(), made.mode()), (beside.uid(), beside.gid(), beside.mode()));
        after.remove(&bench.source_of(key));
    }
    assert_eq!(after, before, "what was there is not touched");
    // With everything read.
    for options in [bench.restore_options(), bench.missing()] {
        let all = bench.give_in_place(&options);
        assert_eq!((all.objects.already_good, all.objects.restored, all.exit_code), (30, 0, 0));
    }
}

#[test]
fn owner_and_mode_are_those_of_the_files_beside() {
    let bench = Bench::of_files(2);
    bench.run();
    let keys: Vec<String> = bench.world.expected_copies().into_keys().collect();
    let (lost, beside) = (bench.source_of(&keys[0]), bench.source_of(&keys[1]));
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o604)).unwrap();
    let is_root = rustix_is_root(&beside);
    if is_root {
        std::os::unix::fs::chown(&beside, Some(4711), Some(4712)).unwrap();
    }
    fs::remove_file(&lost).unwrap();
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.exit_code, summary.notes.len()), (0, 0));
    let (made, model) = (fs::metadata(&lost).unwrap(), fs::metadata(&beside).unwrap());
    assert_eq!((made.uid(), made.gid(), made.mode()), (model.uid(), model.gid(), model.mode()));
}

/// Files that this process makes belong to root.
fn rustix_is_root(path: &Path) -> bool {
    fs::metadata(path).unwrap().uid() == 0
}

#[test]
fn what_is_proved_damaged_is_replaced_and_kept_beside() {
    let bench = Bench::of_files(5);
    bench.run();
    let expected = bench.world.expected_copies();
    let keys: Vec<&String> = expected.keys().collect();
    fs::write(bench.source_of(keys[1]), "cut").unwrap();
    let flipped = [b"Content ", &expected[keys[3]][8..]].concat();
    fs::write(bench.source_of(keys[3]), &flipped).unwrap();
    // By its size alone, only the first one is seen.
    let quick = RestoreOptions { quick: true, ..bench.missing() };
    let summary = bench.give_in_place(&quick);
    assert_eq!((summary.objects.restored, summary.objects.replaced, summary.exit_code), (1, 1, 0), "{summary:#?}");
    let all = bench.missing();
    let summary = bench.give_in_place(&all);
    assert_eq!((summary.objects.replaced, summary.objects.already_good), (1, 4), "{summary:#?}");
    let kept = format!("{}.damaged-{}", keys[3], all.run);
    assert!(summary.kept[0].ends_with(&kept), "{:?}", summary.kept);
    let mut found = files::tree(&bench.folder.path().join("files"));
    assert_eq!(found.remove(&kept), Some(flipped));
    let other = found.keys().find(|it| it.contains(".damaged-")).cloned().unwrap();
    assert_eq!(found.remove(&other), Some(b"cut".to_vec()));
    files::assert_same(&expected, &found);
}

#[test]
fn what_was_put_back_is_safe_at_the_next_run() {
    let bench = Bench::of_files(4);
    bench.run();
    let (lost, damaged) = (&bench.world.files[0], &bench.world.files[2]);
    fs::remove_file(bench.source_of(&lost.copies[0].0)).unwrap();
    fs::write(bench.source_of(&damaged.copies[0].0), "damaged").unwrap();
    // Another algorithm in the database makes the run look at them again.
    for file in [lost, damaged] {
        let sha1 = dvb_fixity::Measured::of(&file.copies[0].1, &[dvb_fixity::Algorithm::Sha1]);
        let hex = sha1.digest(dvb_fixity::Algorithm::Sha1).unwrap().hex();
        let set = format!("checksumtype = 'SHA1', checksumvalue = '{hex}'");
        bench.database.execute(&format!("UPDATE datafile SET {set} WHERE id = {}", file.id));
    }
    let run = bench.run();
    assert_eq!((run.ending, run.files.failed), (ExitStatus::SourceDamaged, 2), "{run:#?}");
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.objects.restored, summary.objects.replaced, summary.exit_code), (2, 1, 0), "{summary:#?}");
    let run = bench.run();
    assert_eq!((run.ending, run.files.failed, run.bytes_copied), (ExitStatus::Safe, 0, 0), "{run:#?}");
    assert!(bench.details().values().all(|it| it.status == dvb_model::Status::Ok));
}

#[test]
fn what_dataverse_calls_good_is_left_alone_whatever_the_backup_holds() {
    let bench = Bench::of_files(3);
    bench.run();
    let file = &bench.world.files[1];
    let source = bench.source_of(&file.copies[0].0);
    fs::write(&source, "deposited anew").unwrap();
    let md5 = files::md5(b"deposited anew");
    let set = |value: &str| {
        bench.database.execute(&format!("UPDATE datafile SET checksumvalue = '{value}' WHERE id = {}", file.id));
    };
    set(&md5);
    let summary = bench.give_in_place(&bench.restore_options());
    assert_eq!((summary.objects.already_good, summary.exit_code), (3, 0), "{summary:#?}");
    // Neither side fits: nobody can say which is right.
    set(&files::md5(b"neither"));
    let summary = bench.give_in_place(&bench.restore_options());
    assert_eq!((summary.objects.failed, summary.exit_code), (1, 1), "{summary:#?}");
    assert!(summary.failures[0].reason.contains("neither"), "{summary:#?}");
    // No checksum, and a row that changed since.
    set("Unknown");
    let summary = bench.give_in_place(&bench.restore_options());
    assert_eq!((summary.objects.failed, summary.exit_code), (1, 1), "{summary:#?}");
    assert_eq!(fs::read(&source).unwrap(), b"deposited anew");
    assert_eq!(fs::read_dir(source.parent().unwrap()).unwrap().count(), 3);
}

#[test]
fn without_a_checksum_the_digest_first_seen_proves_the_damage() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    world.add_file(dataset, "file://a", b"content").checksum_value = "Unknown".into();
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    bench.run();
    let source = bench.source_of("10.5072/FK2/ONE/a");
    fs::write(&source, "CONTENT").unwrap();
    assert_eq!(bench.give_in_place(&bench.restore_options()).objects.replaced, 1);
    assert_eq!(fs::read(&source).unwrap(), b"content");
    // While an ingest is under way, nothing is.
    fs::write(&source, "CONTENT").unwrap();
    bench.database.execute("UPDATE datafile SET ingeststatus = 'C'");
    let summary = bench.give_in_place(&bench.restore_options());
    assert_eq!((summary.objects.replaced, summary.objects.failed), (0, 1), "{summary:#?}");
    assert_eq!(fs::read(&source).unwrap(), b"CONTENT");
}

#[test]
fn a_copy_that_is_bad_is_never_given_back() {
    let bench = Bench::of_files(4);
    bench.run();
    let expected = bench.world.expected_copies();
    let keys: Vec<&String> = expected.keys().collect();
    let mut rotten = expected[keys[0]].clone();
    rotten[3] ^= 1;
    fs::write(bench.backup.join(keys[0]), rotten).unwrap();
    fs::write(bench.backup.join(keys[1]), "longer than what was there").unwrap();
    fs::remove_file(bench.backup.join(keys[2])).unwrap();
    for key in &keys {
        fs::remove_file(bench.source_of(key)).unwrap();
    }
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.ending, summary.exit_code), (ExitStatus::DestinationDamaged, 4), "{summary:#?}");
    let counts = (summary.objects.damaged_copies, summary.objects.failed, summary.objects.restored);
    assert_eq!(counts, (3, 3, 1), "{summary:#?}");
    assert!(summary.failures.iter().all(|it| it.reason.contains("every copy is bad")), "{summary:#?}");
    let left = files::tree(&bench.folder.path().join("files"));
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [(keys[3].clone(), expected[keys[3]].clone())]);
}

#[test]
fn the_next_destination_helps_where_a_copy_is_bad() {
    let bench = Bench::of_files(3);
    bench.run();
    let second = DestinationName("second".into());
    let folder = bench.folder.path().join("second");
    let sink = sink_at(&folder);
    let catalog = bench.catalog();
    let setup = dvb_engine::Setup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destination: &second,
        sink: sink.as_ref(),
        observer: &NullObserver,
        stop: &bench.stop,
    };
    assert_eq!(dvb_engine::run(&setup, &bench.options()).unwrap().exit_code, 0);
    let expected = bench.world.expected_copies();
    let keys: Vec<&String> = expected.keys().collect();
    fs::write(bench.backup.join(keys[1]), "rotten").unwrap();
    let options = bench.restore_options();
    let writer = FolderWriter::open(&bench.out(), &options.run, OwnershipPolicy::Own).unwrap();
    let first = destination();
    let from: [(&DestinationName, &dyn Sink); 2] = [(&first, bench.sink.as_ref()), (&second, sink.as_ref())];
    let summary = bench.give(&from, Goal::Folder(&writer), &options, &NullObserver).unwrap();
    assert_eq!((summary.objects.restored, summary.failures_total), (3, 0), "{summary:#?}");
    // It is all there, and the administrator hears of the bad copy all the same.
    assert_eq!((summary.exit_code, summary.damaged_copies.len()), (4, 1), "{summary:#?}");
    files::assert_same(&expected, &files::tree(&bench.out()));
    // A destination that is gone altogether does not keep the other from helping.
    fs::remove_dir_all(bench.out()).unwrap();
    let gone = sink_at(&bench.folder.path().join("no/such/parent"));
    let options = bench.restore_options();
    let writer = FolderWriter::open(&bench.out(), &options.run, OwnershipPolicy::Own).unwrap();
    let from: [(&DestinationName, &dyn Sink); 2] = [(&first, gone.as_ref()), (&second, sink.as_ref())];
    let summary = bench.give(&from, Goal::Folder(&writer), &options, &NullObserver).unwrap();
    assert_eq!((summary.objects.restored, summary.exit_code), (3, 0), "{summary:#?}");
    let from: [(&DestinationName, &dyn Sink); 1] = [(&first, gone.as_ref())];
    fs::remove_dir_all(bench.out()).unwrap();
    let options = bench.restore_options();
    let writer = FolderWriter::open(&bench.out(), &options.run, OwnershipPolicy::Own).unwrap();
    // Nothing is called lost where nobody could look.
    let refused = bench.give(&from, Goal::Folder(&writer), &options, &NullObserver).unwrap_err();
    assert_eq!(ExitStatus::from(&refused), ExitStatus::Unreachable, "{refused}");
}

#[test]
fn an_interrupted_restore_goes_on_where_it_was() {
    let bench = Bench::of_files(200);
    bench.run();
    let options = RestoreOptions { jobs: 1, ..bench.restore_options() };
    let writer = FolderWriter::open(&bench.out(), &options.run, OwnershipPolicy::Own).unwrap();
    let watch = Watch { bytes: AtomicU64::new(0), stop_at: 50, stop: &bench.stop };
    let from: [(&DestinationName, &dyn Sink); 1] = [(&destination(), bench.sink.as_ref())];
    let summary = bench.give(&from, Goal::Folder(&writer), &options, &watch).unwrap();
    assert_eq!((summary.exit_code, summary.objects.restored, summary.pending), (130, 50, 150), "{summary:#?}");
    // A process that was killed leaves a temporary; nobody holds it.
    let leftover = bench.out().join("10.5072/FK2/ONE/.dataverse-backup-restore-x-1");
    fs::write(&leftover, "half").unwrap();
    let before = stamps(&bench.out());
    let bench = Bench { stop: CancelToken::new(), ..bench };
    let summary = bench.give_to_folder(&bench.restore_options()).unwrap();
    assert_eq!((summary.objects.restored, summary.objects.already_good, summary.exit_code), (150, 50, 0));
    files::assert_same(&bench.world.expected_copies(), &files::tree(&bench.out()));
    let after = stamps(&bench.out());
    assert!(before.iter().all(|(path, stamp)| *path == leftover || after[path] == *stamp));
}

#[test]
fn links_in_the_target_are_not_followed_and_what_is_there_is_left() {
    let bench = Bench::of_files(4);
    bench.run();
    let keys: Vec<String> = bench.world.expected_copies().into_keys().collect();
    let elsewhere = bench.folder.path().join("elsewhere");
    fs::create_dir_all(elsewhere.join("ONE")).unwrap();
    fs::write(elsewhere.join("precious"), "precious").unwrap();
    // A folder on the way, out of the target and inside of it.
    for target in [elsewhere.clone(), PathBuf::from("../FK3")] {
        fs::create_dir_all(bench.out().join("10.5072/FK3/ONE")).unwrap();
        symlink(&target, bench.out().join("10.5072/FK2")).unwrap();
        let summary = bench.give_to_folder(&bench.restore_options()).unwrap();
        assert_eq!((summary.objects.failed, summary.exit_code), (4, 1), "{summary:#?}");
        assert!(summary.failures[0].reason.contains("symbolic link"), "{summary:#?}");
        assert_eq!(files::tree(&elsewhere).len(), 1);
        assert_eq!(files::tree(&bench.out()).len(), 1);
        fs::remove_dir_all(bench.out()).unwrap();
    }
    // The name itself: a link, a dangling link, other bytes, a folder.
    let folder = bench.out().join("10.5072/FK2/ONE");
    fs::create_dir_all(&folder).unwrap();
    symlink(elsewhere.join("precious"), bench.out().join(&keys[0])).unwrap();
    symlink("nowhere", bench.out().join(&keys[1])).unwrap();
    fs::write(bench.out().join(&keys[2]), "mine").unwrap();
    fs::create_dir(bench.out().join(&keys[3])).unwrap();
    let before = stamps(&folder);
    let summary = bench.give_to_folder(&bench.restore_options()).unwrap();
    assert_eq!((summary.objects.failed, summary.exit_code), (4, 1), "{summary:#?}");
    assert_eq!(stamps(&folder), before);
    assert_eq!(fs::read(elsewhere.join("precious")).unwrap(), b"precious");
}

#[test]
fn links_in_a_store_are_not_replaced() {
    let bench = Bench::of_files(2);
    bench.run();
    let keys: Vec<String> = bench.world.expected_copies().into_keys().collect();
    let precious = bench.folder.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    for key in &keys {
        fs::remove_file(bench.source_of(key)).unwrap();
    }
    symlink(&precious, bench.source_of(&keys[0])).unwrap();
    let inside = bench.source_of("10.5072/inside");
    fs::write(&inside, "inside, and wrong").unwrap();
    symlink("../../inside", bench.source_of(&keys[1])).unwrap();
    let summary = bench.give_in_place(&bench.restore_options());
    assert_eq!((summary.objects.failed, summary.objects.restored), (2, 0), "{summary:#?}");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    assert_eq!(fs::read(&inside).unwrap(), b"inside, and wrong");
}

fn two_versions() -> Bench {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    let version = |n, number, state: &str| Version { id: dataset * 10 + n, number, state: state.into() };
    world.dataset_mut(dataset).versions = vec![
        version(1, Some((1, 0)), "RELEASED"),
        version(2, Some((2, 0)), "RELEASED"),
        version(3, Some((3, 0)), "DEACCESSIONED"),
        version(4, None, "DRAFT"),
    ];
    let label = |n, label: &str, directory: Option<&str>| Label {
        version: dataset * 10 + n,
        label: label.into(),
        directory: directory.map(str::to_owned),
    };
    let mut add = |name: &str, labels: Vec<Label>| {
        let file = world.add_file(dataset, &format!("file://{name}"), name.as_bytes());
        file.labels = labels;
    };
    add("old", vec![label(1, "data.csv", None)]);
    add("new", vec![label(2, "data.csv", Some("raw data/2019")), label(4, "data.csv", None)]);
    add("both", vec![label(1, "Käse & Brot.txt", None), label(2, "Käse & Brot.txt", None), label(3, "x", None)]);
    add("clash", vec![label(2, "Käse & Brot.txt", None)]);
    add("evil", vec![label(2, "../../evil", Some("../../.."))]);
    add("absolute", vec![label(2, "/etc/passwd", Some("/etc"))]);
    Bench::new(world, LedgerKind::Sqlite, folder)
}

fn named(bench: &Bench, layout: Layout) -> (RestoreSummary, BTreeMap<String, String>) {
    let selection = Selection { datasets: ["doi:10.5072/FK2/ONE".to_owned()].into(), ..Selection::default() };
    let options = RestoreOptions { layout, selection, ..bench.restore_options() };
    let summary = bench.give_to_folder(&options).unwrap();
    let text = |it: Vec<u8>| String::from_utf8(it).unwrap();
    let found = files::tree(&bench.out()).into_iter().map(|(key, bytes)| (key, text(bytes))).collect();
    fs::remove_dir_all(bench.out()).unwrap();
    (summary, found)
}

#[test]
fn a_version_is_laid_out_as_people_see_it() {
    let bench = two_versions();
    bench.run();
    let tree = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(path, bytes)| ((*path).to_owned(), (*bytes).to_owned())).collect()
    };
    let clash = bench.world.files[3].id;
    let (summary, found) = named(&bench, Layout::NewestNames);
    let second = tree(&[
        ("raw data/2019/data.csv", "new"),
        ("Käse & Brot.txt", "both"),
        (&format!("Käse & Brot (file {clash}).txt"), "clash"),
        ("__/__/__/.._.._evil", "evil"),
        ("etc/_etc_passwd", "absolute"),
    ]);
    assert_eq!((found, summary.exit_code), (second.clone(), 0));
    assert_eq!(named(&bench, Layout::NamesOf("2.0".into())).1, second);
    let (_, first) = named(&bench, Layout::NamesOf("1.0".into()));
    assert_eq!(first, tree(&[("data.csv", "old"), ("Käse & Brot.txt", "both")]));
    assert_eq!(named(&bench, Layout::NamesOf("draft".into())).1, tree(&[("data.csv", "new")]));
    assert_eq!(named(&bench, Layout::NamesOf("3".into())).1, tree(&[("x", "both")]), "withdrawn, but asked for");
    let options = RestoreOptions { layout: Layout::NamesOf("7.0".into()), ..bench.restore_options() };
    assert!(matches!(bench.give_to_folder(&options), Err(RestoreError::NoSuchVersion { .. })));
}

#[test]
fn what_the_version_that_is_shown_lacks_is_told() {
    let bench = two_versions();
    bench.run();
    let of = |file: usize, layout| {
        let files = [DvObjectId(bench.world.files[file].id)].into();
        let selection = Selection { files, ..Selection::default() };
        RestoreOptions { layout, selection, ..bench.restore_options() }
    };
    // Only in 1.0; the newest is 2.0.
    let error = bench.give_to_folder(&of(0, Layout::NewestNames)).unwrap_err();
    assert!(matches!(&error, RestoreError::NotShown { versions } if versions == &["1.0"]), "{error}");
    assert_eq!(error.hint(), Some(Hint::Versions(vec!["1.0".to_owned()])), "{error}");
    assert_eq!(ExitStatus::from(&error), ExitStatus::Usage);
    assert!(!bench.out().exists());
    let note = |it: &RestoreSummary| {
        let is_hidden = |it: &&(String, Hint)| it.1 == Hint::OtherVersion && it.0.contains("not in the version");
        it.left_out.iter().find(is_hidden).map(|it| it.0.clone())
    };
    let (newest, _) = named(&bench, Layout::NewestNames);
    assert!(note(&newest).unwrap().starts_with("1 data files of the selection"), "{:?}", newest.left_out);
    assert!(note(&named(&bench, Layout::NamesOf("draft".into())).0).unwrap().starts_with("5 data files"));
    assert_eq!(note(&bench.give_to_folder(&bench.restore_options()).unwrap()), None);
}

#[test]
fn a_dataset_that_was_withdrawn_is_not_an_empty_one() {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    world.dataset_mut(dataset).versions =
        vec![Version { id: dataset * 10, number: Some((1, 0)), state: "DEACCESSIONED".into() }];
    let labels = vec![Label { version: dataset * 10, label: "data.csv".into(), directory: None }];
    world.add_file(dataset, "file://one", b"one").labels = labels;
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    bench.run();
    let selection = Selection { datasets: ["doi:10.5072/FK2/ONE".to_owned()].into(), ..Selection::default() };
    let options = RestoreOptions { layout: Layout::NewestNames, selection, ..bench.restore_options() };
    let error = bench.give_to_folder(&options).unwrap_err();
    assert!(matches!(&error, RestoreError::NotShown { versions } if versions == &["1.0"]), "{error}");
    assert_eq!(named(&bench, Layout::NamesOf("1.0".into())).1["data.csv"], "one");
}

#[test]
fn tables_and_packages_have_the_names_that_people_know() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let options = RestoreOptions { layout: Layout::NamesOf("draft".into()), ..bench.restore_options() };
    bench.give_to_folder(&options).unwrap();
    let found = files::tree(&bench.out());
    let table = bench.world.of_kind("tabular");
    assert_eq!(found["10.5072/FK2/TABLES/survey.dta"], table.copies[0].1);
    assert_eq!(found[&format!("10.5072/FK2/TABLES/{}", table.labels[0].label)], table.copies[1].1);
    let swapped = bench.world.of_kind("swapped pair");
    assert_eq!(found[&format!("10.5072/FK2/TABLES/{}", swapped.labels[0].label)], swapped.copies[0].1);
    let package = bench.world.of_kind("package");
    let member = format!("10.5072/FK2/PACKAGE/{}/sub/deep/ü.bin", package.labels[0].label);
    assert!(package.copies.iter().any(|it| it.1 == found[&member]));
    assert!(found.contains_key("10.5072/FK2/CHECKSUMS/raw data/2019/Käse & \"Brot\".csv"));
}

#[test]
fn a_selection_is_all_that_comes_back() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let of = |selection: Selection| RestoreOptions { selection, ..bench.restore_options() };
    let datasets = ["doi:10.5072/FK2/PACKAGE".to_owned(), "doi:10.5072/FK2/LOGO".to_owned()].into();
    let summary = bench.give_to_folder(&of(Selection { datasets, ..Selection::default() })).unwrap();
    let mut expected = bench.world.expected_copies();
    expected.retain(|key, _| key.contains("/PACKAGE/") || key.contains("/LOGO/"));
    files::assert_same(&expected, &files::tree(&bench.out()));
    // The package with a damaged member was never copied, and is named.
    assert_eq!((summary.objects.no_copy, summary.exit_code), (1, 1), "{summary:#?}");
    assert_eq!(
        summary.failures[0].data_file_id,
        Some(DvObjectId(bench.world.of_kind("package with a damaged member").id))
    );
    fs::remove_dir_all(bench.out()).unwrap();
    let moved = bench.world.of_kind("under a designated alternative PID");
    let summary = bench.give_to_folder(&of(Selection { files: [DvObjectId(moved.id)].into(), ..Selection::default() }));
    assert_eq!(summary.unwrap().exit_code, 0);
    assert_eq!(files::tree(&bench.out()).into_keys().collect::<Vec<_>>(), [moved.copies[0].0.clone()]);
    let nobody = of(Selection { files: [DvObjectId(987_654)].into(), ..Selection::default() });
    assert!(matches!(bench.give_to_folder(&nobody), Err(RestoreError::Run(RunError::NothingSelected))));
    let remote = bench.world.of_kind("remote");
    let remote = of(Selection { files: [DvObjectId(remote.id)].into(), ..Selection::default() });
    assert_eq!(bench.give_to_folder(&remote).unwrap().exit_code, 1, "there is nothing to give back");
}

#[test]
fn what_a_store_has_to_tell_is_passed_on() {
    let mut bench = Bench::of_files(1);
    bench.wrap_store(crate::audit::Telling);
    bench.run();
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!(summary.notes, ["store file: its objects lie in another bucket"]);
}

#[test]
fn a_folder_serves_where_the_store_cannot_be_had_at_all() {
    let mut bench = Bench::of_files(3);
    bench.run();
    let expected = bench.world.expected_copies();
    bench.set_access(Access::Unavailable(NoStore::misconfigured("the disk is gone")));
    assert_eq!(bench.give_to_folder(&bench.restore_options()).unwrap().exit_code, 0);
    files::assert_same(&expected, &files::tree(&bench.out()));
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.ending, summary.objects.failed), (ExitStatus::Usage, 3));
    // So does one that is there and does not answer.
    bench.set_access(Access::Readable(Arc::new(Away { cause: Cause::Transient, is_there: false })));
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.ending, summary.objects.failed), (ExitStatus::Unreachable, 3));
    // One that is never read: trying again later would not help.
    bench.set_access(Access::Reference("not ours to read".into()));
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.ending, summary.objects.failed), (ExitStatus::NotSafe, 3));
}
