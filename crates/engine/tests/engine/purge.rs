//! Lawful purge: what is purged is gone from every copy, provably, and does not come back; nothing else goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use dvb_engine::{
    ApproveOptions, ExecuteOptions, ExecuteSummary, ExitStatus, HoldOptions, NullObserver, Options, Person,
    PurgeDestination, PurgeError, PurgeSetup, PurgedAt, RequestOptions, RequestSummary, RestoreError, RunError,
    Selection, Which, approve_purge, count_waiting_purges, execute_purges, list_purges, new_run_id, place_hold,
    release_hold, request_purge, withdraw_purge,
};
use dvb_fs::DirectoryPurger;
use dvb_ledger::{EntryKind, Holder, Purge, PurgeState, Run, TargetState};
use dvb_model::{DestinationName, DriverId, DvObjectId, ObjectKey, ObjectRole, RunId, Status};
use dvb_storage::{Held, Lock, Purger, Sink, SinkError};
use dvb_testkit::files;

use crate::bench::{Bench, GONE, LedgerKind, destination, sink_at};
use crate::faults::{Fault, Plan};
use crate::wrapped::{Call, WrapSession as _, wrapped};
use crate::{orphans, rebuild, verify};

fn person(user: &str) -> Person {
    Person { user: user.into(), uid: user.bytes().map(u32::from).sum() }
}

fn of(ids: &[i64]) -> Selection {
    Selection { files: ids.iter().copied().map(DvObjectId).collect(), ..Selection::default() }
}

fn request_options(ids: &[i64]) -> RequestOptions {
    RequestOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        person: person("alice"),
        selection: of(ids),
        default_store: DriverId("file".into()),
        basis: "gdpr-17".into(),
        reference: "case 7".into(),
        cap: 10,
        even_if_in_dataverse: false,
        grace: Duration::ZERO,
    }
}

fn approve_options(by: &str) -> ApproveOptions {
    ApproveOptions { run: new_run_id(), agent: crate::bench::agent(), person: person(by), two_persons: true }
}

fn execute_options(bench: &Bench) -> ExecuteOptions {
    ExecuteOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        person: person("carol"),
        number: None,
        spool_folder: bench.folder.path().to_owned(),
    }
}

type Opener<'a> = &'a dvb_engine::PurgeAccess<'a>;

/// A destination of these tests: its name, the sink, and what deletes there.
type Site<'a> = (DestinationName, &'a dyn Sink, Opener<'a>);

fn with<T>(bench: &Bench, sites: &[Site<'_>], work: impl FnOnce(&PurgeSetup<'_>) -> T) -> T {
    let destinations: Vec<PurgeDestination<'_>> =
        sites.iter().map(|(name, sink, purger)| PurgeDestination { name, sink: *sink, purger: *purger }).collect();
    work(&PurgeSetup {
        ledger: bench.ledger.as_ref(),
        destinations: &destinations,
        observer: &NullObserver,
        stop: &bench.stop,
    })
}

fn opener(folder: &Path) -> impl Fn(&RunId) -> Result<Box<dyn Purger>, SinkError> + Sync {
    move |_| Ok(Box::new(DirectoryPurger::open(folder)?) as Box<dyn Purger>)
}

fn try_request(bench: &Bench, options: &RequestOptions) -> Result<RequestSummary, PurgeError> {
    let purger = opener(&bench.backup);
    let sites: [Site<'_>; 1] = [(destination(), bench.sink.as_ref(), &purger)];
    with(bench, &sites, |setup| request_purge(setup, &bench.catalog(), options))
}

fn requested(bench: &Bench, ids: &[i64]) -> RequestSummary {
    try_request(bench, &request_options(ids)).unwrap()
}

fn approved(bench: &Bench, ids: &[i64]) -> Purge {
    let request = requested(bench, ids);
    approve_purge(bench.ledger.as_ref(), &approve_options("bob"), request.purge.number, &request.purge.digest).unwrap()
}

fn execute_by(bench: &Bench, sink: &dyn Sink, purger: Opener<'_>) -> ExecuteSummary {
    let sites: [Site<'_>; 1] = [(destination(), sink, purger)];
    with(bench, &sites, |setup| execute_purges(setup, &bench.catalog(), &execute_options(bench))).unwrap()
}

fn execute(bench: &Bench) -> ExecuteSummary {
    execute_by(bench, bench.sink.as_ref(), &opener(&bench.backup))
}

/// Takes data files out of Dataverse, with their bytes.
fn delete_in_dataverse(bench: &Bench, ids: &[i64]) {
    for id in ids {
        bench.database.execute(&format!(
            "DELETE FROM filemetadata WHERE datafile_id = {id}; DELETE FROM datafile WHERE id = {id};
             DELETE FROM dvobject WHERE id = {id}"
        ));
        let file = bench.world.files.iter().find(|it| it.id == *id).unwrap();
        fs::remove_file(bench.source_of(&file.copies[0].0)).unwrap();
    }
    bench.try_run(&Options { overrides: GONE, ..bench.options() }).unwrap();
}

/// Everything at the destination, what is compressed opened: names and contents.
fn all_that_is_said(folder: &Path) -> String {
    let mut said = String::new();
    for (name, bytes) in files::tree(folder) {
        let bytes = if name.ends_with(".zst") { zstd::decode_all(bytes.as_slice()).unwrap() } else { bytes };
        said += &format!("{name}\n{}\n", String::from_utf8_lossy(&bytes));
    }
    said
}

fn assert_says_nothing(bench: &Bench, words: &[String], when: &str) {
    let said = all_that_is_said(&bench.backup);
    for word in words {
        assert!(!said.contains(word.as_str()), "{word:?} is at the destination {when}:\n{said}");
    }
}

/// A world where data file 0 has been through everything: changed bytes, a damaged copy that was set aside.
struct Purged {
    bench: Bench,
    id: i64,
    key: String,
    /// Its names and its bytes.
    words: Vec<String>,
}

fn a_hard_life(kind: LedgerKind) -> Purged {
    let bench = Bench::of_files_with(4, kind);
    let file = &bench.world.files[0];
    let (id, key) = (file.id, file.copies[0].0.clone());
    bench
        .database
        .execute(&format!("UPDATE filemetadata SET label = 'interview with Jane Doe.txt' WHERE datafile_id = {id}"));
    bench.run();
    // A snapshot of long ago, which stays when younger ones go.
    let own = bench.backup.join(".dataverse-backup");
    let older = RunId("20250102T030405Z-0badcafe".into());
    let run = Run {
        id: older.clone(),
        destination: destination(),
        started: "2025-01-02T03:04:05Z".into(),
        host: "h".into(),
        pid: 1,
    };
    bench.ledger.begin_run(&run).unwrap();
    let newest = fs::read_dir(&own).unwrap().map(|it| it.unwrap().path());
    let newest = newest.into_iter().find(|it| it.extension().is_some_and(|it| it == "zst")).unwrap();
    fs::copy(newest, own.join(format!("catalogue-{older}.jsonl.zst"))).unwrap();
    // Other bytes: a second version of the copy.
    let bytes = b"the second bytes of it";
    fs::write(bench.source_of(&key), bytes).unwrap();
    bench.database.execute(&format!(
        "UPDATE datafile SET checksumvalue = '{}', filesize = {} WHERE id = {id}",
        files::md5(bytes),
        bytes.len()
    ));
    bench.run();
    // It rots, and the bad bytes are set aside.
    files::write(&bench.backup, &format!("{key}.v2"), b"the second bytes of XX");
    verify::verified(&bench);
    bench.run();
    let tree = files::tree(&bench.backup);
    assert!(tree.keys().any(|it| it.contains("/damaged/") && it.ends_with(&format!("{key}.v2"))), "{:?}", tree.keys());
    let words = [
        "Jane Doe",
        key.as_str(),
        key.rsplit('/').next().unwrap(),
        "content 0",
        "the second bytes of it",
        "the second bytes of XX",
    ];
    let words = words.map(str::to_owned).into();
    Purged { bench, id, key, words }
}

/// The same in less time: what runs would leave is put there. It has left Dataverse.
fn a_short_life() -> Purged {
    let bench = Bench::of_files(2);
    let file = &bench.world.files[0];
    let (id, key) = (file.id, file.copies[0].0.clone());
    bench
        .database
        .execute(&format!("UPDATE filemetadata SET label = 'interview with Jane Doe.txt' WHERE datafile_id = {id}"));
    bench.run();
    files::write(&bench.backup, &format!(".dataverse-backup/damaged/20260102T030405Z-0badcafe/{key}"), b"rotten 0");
    files::write(&bench.backup, &format!("{key}.v2"), b"unknown 0");
    files::write(&bench.backup, ".dataverse-backup/tmp/20260102T030405Z-0badcafe/1", b"half of content 0");
    delete_in_dataverse(&bench, &[id]);
    let words = ["Jane Doe", key.as_str(), key.rsplit('/').next().unwrap(), "content 0", "rotten 0", "unknown 0"];
    let words = words.map(str::to_owned).into();
    Purged { bench, id, key, words }
}

fn is_gone_and_stays_gone(kind: LedgerKind) {
    let Purged { bench, id, words, .. } = a_hard_life(kind);
    delete_in_dataverse(&bench, &[id]);
    let before = all_that_is_said(&bench.backup);
    assert!(words.iter().all(|it| before.contains(it.as_str())), "{before}");
    let others: BTreeMap<_, _> = bench.copies().into_iter().filter(|(key, _)| !key.contains(&words[2])).collect();

    let request = requested(&bench, &[id]);
    let kinds: Vec<&str> = request.list.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(request.list.len(), 3, "two versions and a damaged one: {kinds:?}");
    assert!(all_that_is_said(&bench.backup) == before, "a request deletes nothing");
    let number = request.purge.number;
    approve_purge(bench.ledger.as_ref(), &approve_options("bob"), number, &request.purge.digest[..16]).unwrap();
    let done = execute(&bench);
    assert_eq!(done.exit_code, 0, "{done:#?}");
    let [purged] = done.purges.as_slice() else { panic!("{done:#?}") };
    assert_eq!((purged.purge.state, purged.at[0].state), (PurgeState::Done, PurgedAt::Done));
    assert!(purged.at[0].snapshots_rewritten >= 2 && purged.at[0].deleted >= 3, "{purged:#?}");
    assert_says_nothing(&bench, &words, "after the purge");
    let of_others: BTreeMap<_, _> = bench.copies();
    files::assert_same(&others, &of_others);
    assert_eq!(count_waiting_purges(bench.ledger.as_ref()).unwrap(), 0);

    // The ledger has no names either, and knows who did it.
    let detail = &bench.details()[&id];
    assert_eq!((detail.status, &detail.label, &detail.storage_identifier), (Status::Purged, &None, &None));
    let status = &list_purges(bench.ledger.as_ref()).unwrap()[0];
    assert_eq!((status.left, status.locked), (0, 0));
    let people =
        [&status.purge.requested, status.purge.approved.as_ref().unwrap(), status.purge.executed.as_ref().unwrap()];
    assert_eq!(people.map(|it| it.user.as_str()), ["alice", "bob", "carol"]);
    let targets = bench.ledger.purge_targets(number).unwrap();
    assert!(
        targets.iter().all(|it| matches!(it.state, TargetState::Gone(_)) && it.name.starts_with("sha256:")),
        "{targets:#?}"
    );
    let tombstones = bench.ledger.tombstones().unwrap();
    assert!(
        tombstones.len() == 1 && tombstones[0].proved_at.is_some() && tombstones[0].objects.len() >= 3,
        "{tombstones:#?}"
    );
    let mut events = String::new();
    bench.ledger.visit_events(None, &mut |it| events += &format!("{it:?}\n")).unwrap();
    for told in ["purge request", "purge approve", "purge execute", "case 7", "alice", "bob", "carol"] {
        assert!(events.contains(told), "{told} is not on record:\n{events}");
    }
    assert!(words.iter().all(|it| !events.contains(it.as_str())), "{events}");

    // A run brings nothing back, and raises no alarm; the chain of snapshots goes on.
    let run = bench.run();
    assert_eq!((run.exit_code, run.gone, run.bytes_copied), (0, 0, 0), "{run:#?}");
    assert_eq!(*bench.warnings.lock().unwrap(), [""; 0]);
    assert_says_nothing(&bench, &words, "after a run");
    assert_eq!(verify::verified(&bench).exit_code, 0);
    assert!(orphans::list(&bench).1.is_empty());
    // A second call finds nothing to do.
    assert!(execute(&bench).purges.is_empty());
    // A restore says why there is nothing to be had.
    let options = dvb_engine::RestoreOptions { selection: of(&[id]), ..bench.restore_options() };
    let none = bench.give_to_folder(&options).unwrap_err();
    assert!(matches!(none, RestoreError::Purged { .. }), "{none:?}");

    // Nor does a ledger that is made again, nor a snapshot alone.
    rebuild::from_snapshot_alone(&bench, bench.sink.as_ref(), Which::Newest).unwrap();
    let bench = rebuild::without_ledger(bench, kind);
    let made = rebuild::rebuilt(&bench);
    assert_eq!(made.exit_code, 0, "{made:#?}");
    assert_eq!(bench.details()[&id].status, Status::Purged);
    assert_eq!(bench.ledger.tombstones().unwrap(), tombstones);
    assert_eq!(bench.run().exit_code, 0);
    assert_says_nothing(&bench, &words, "after a rebuild");
    assert_eq!(verify::verified(&bench).exit_code, 0);
}

#[test]
fn what_is_purged_is_gone_and_stays_gone_in_sqlite() {
    is_gone_and_stays_gone(LedgerKind::Sqlite);
}

#[test]
fn what_is_purged_is_gone_and_stays_gone_in_postgresql() {
    is_gone_and_stays_gone(LedgerKind::Postgres);
}

#[test]
fn what_is_still_in_dataverse_is_refused_or_never_copied_again() {
    let bench = Bench::of_files(3);
    bench.run();
    let file = &bench.world.files[0];
    let refused = try_request(&bench, &request_options(&[file.id])).unwrap_err();
    assert!(matches!(&refused, PurgeError::InCatalogue { files } if *files == [DvObjectId(file.id)]), "{refused:?}");
    assert_eq!(ExitStatus::from(&refused), ExitStatus::Refused);
    let options = RequestOptions { even_if_in_dataverse: true, ..request_options(&[file.id]) };
    let request = try_request(&bench, &options).unwrap();
    let by = approve_options("bob");
    approve_purge(bench.ledger.as_ref(), &by, request.purge.number, &request.purge.digest).unwrap();
    assert_eq!(execute(&bench).exit_code, 0);
    for _ in 0..2 {
        let run = bench.rerun();
        assert_eq!((run.exit_code, run.files.purged, run.files.copied, run.files.catalogued), (0, 1, 0, 3), "{run:#?}");
    }
    assert_eq!(bench.copies().len(), 2);
    let key = file.copies[0].0.clone();
    assert_says_nothing(&bench, std::slice::from_ref(&key), "though it is in the catalogue");
    // A destination that comes later has none of it either; nor has a ledger that was lost.
    let there = sink_at(&bench.folder.path().join("second"));
    let second = DestinationName("second".into());
    let run = bench.run_to(&second, there.as_ref(), &bench.options()).unwrap();
    assert_eq!((run.files.purged, run.files.copied), (1, 2), "{run:#?}");
    let bench = rebuild::without_ledger(bench, LedgerKind::Sqlite);
    let taken = Options { overrides: crate::bench::TAKEN, ..bench.options() };
    let run = bench.try_run(&taken).unwrap();
    assert_eq!((run.exit_code, run.files.purged, run.files.copied), (0, 1, 0), "{run:#?}");
    assert_eq!(bench.copies().len(), 2);
    assert_eq!(bench.details()[&bench.world.files[0].id].status, Status::Purged);
    assert_says_nothing(&bench, &[key], "after a run with an empty ledger");
}

#[test]
fn keys_of_others_and_the_same_bytes_of_others_stay() {
    let folder = dvb_testkit::temp_folder("engine");
    let mut world =
        dvb_testkit::dataverse::World::new(dvb_testkit::dataverse::Schema::V6_9, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
    let name = |n| format!("file://{}", dvb_testkit::dataverse::World::object_name(n));
    let same = world.add_file(dataset, &name(1), b"the same bytes").id;
    let purged = world.add_file(dataset, &name(2), b"the same bytes").id;
    // Two rows with one place: the second one's copy has a key of its own.
    let sharing = world.add_row(dataset, Some(name(2).trim_start_matches("file://")), b"the same bytes").id;
    // A name that a version of the purged one would have.
    let like_a_version = world.add_file(dataset, &format!("{}.v2", name(2)), b"another's own").id;
    let bench = Bench::new(world, LedgerKind::Sqlite, folder);
    bench.run();
    let id = |id: i64| bench.ledger.copies(&destination(), &[DvObjectId(id)]).unwrap();
    let (of_purged, of_sharing) = (id(purged), id(sharing));
    assert_eq!((of_purged.len(), of_sharing.len()), (1, 1));
    assert_ne!(of_purged[0].key, of_sharing[0].key);
    bench.database.execute(&format!(
        "DELETE FROM filemetadata WHERE datafile_id = {purged}; DELETE FROM datafile WHERE id = {purged};
         DELETE FROM dvobject WHERE id = {purged}"
    ));
    bench.try_run(&Options { overrides: GONE, ..bench.options() }).unwrap();
    let request = requested(&bench, &[purged]);
    assert_eq!(request.list.len(), 1, "{:#?}", request.list);
    approved(&bench, &[purged]);
    assert_eq!(execute(&bench).exit_code, 0);
    let left = bench.copies();
    assert!(
        !left.contains_key(of_purged[0].key.as_str()) && left.contains_key(of_sharing[0].key.as_str()),
        "{:?}",
        left.keys()
    );
    assert_eq!(left.len(), 3);
    let details = bench.details();
    assert_eq!([same, sharing, like_a_version].map(|id| details[&id].status), [Status::Ok; 3]);
    assert_eq!(bench.run().exit_code, 0);
    assert_eq!(verify::verified(&bench).exit_code, 0);
}

#[test]
fn the_list_is_what_was_approved_by_another_person() {
    let bench = Bench::of_files(3);
    bench.run();
    let (id, other) = (bench.world.files[0].id, bench.world.files[1].id);
    delete_in_dataverse(&bench, &[id, other]);
    let ledger = bench.ledger.as_ref();
    let mistakes = [
        RequestOptions { selection: Selection::default(), ..request_options(&[]) },
        RequestOptions { basis: " ".into(), ..request_options(&[id]) },
        RequestOptions { reference: String::new(), ..request_options(&[id]) },
        request_options(&[999_999]),
    ];
    for options in mistakes {
        let error = try_request(&bench, &options).unwrap_err();
        assert_eq!(ExitStatus::from(&error), ExitStatus::Usage, "{error:?}");
    }
    let above = try_request(&bench, &RequestOptions { cap: 1, ..request_options(&[id, other]) }).unwrap_err();
    assert!(matches!(above, PurgeError::TooMany { files: 2, cap: 1 }), "{above:?}");

    let graced = RequestOptions { grace: Duration::from_secs(60), ..request_options(&[id]) };
    let Purge { number, digest, .. } = try_request(&bench, &graced).unwrap().purge;
    let approve = |by: &str, number, digest: &str| approve_purge(ledger, &approve_options(by), number, digest);
    assert!(matches!(approve("bob", number, &digest).unwrap_err(), PurgeError::TooEarly { .. }));
    // The next request takes its place.
    let Purge { number: second, digest, .. } = requested(&bench, &[id]).purge;
    assert!(matches!(approve("bob", number, &digest).unwrap_err(), PurgeError::State { .. }));
    assert!(matches!(approve("alice", second, &digest).unwrap_err(), PurgeError::SamePerson { .. }));
    assert!(matches!(approve("bob", second, &digest[..15]).unwrap_err(), PurgeError::OtherList { .. }));
    assert!(matches!(approve("bob", second, &"0".repeat(64)).unwrap_err(), PurgeError::OtherList { .. }));
    assert!(matches!(approve("bob", 99, &digest).unwrap_err(), PurgeError::NoSuchPurge { .. }));
    assert!(execute(&bench).purges.is_empty(), "nothing is approved");
    // Alone, where the site says so.
    let alone = ApproveOptions { two_persons: false, ..approve_options("alice") };
    approve_purge(ledger, &alone, second, &digest).unwrap();
    withdraw_purge(ledger, &approve_options("alice"), second).unwrap();
    assert_eq!(bench.copies().len(), 3);

    // What comes after the approval is not deleted with it: nothing is.
    approved(&bench, &[id]);
    let key = bench.world.files[0].copies[0].0.clone();
    files::write(&bench.backup, &format!("{key}.v2"), b"came later");
    let before = all_that_is_said(&bench.backup);
    let refused = execute(&bench);
    assert_eq!(refused.ending, ExitStatus::Refused, "{refused:#?}");
    assert!(refused.purges[0].refused.as_ref().unwrap().contains(".v2"), "{refused:#?}");
    assert!(all_that_is_said(&bench.backup) == before);
    assert_eq!(bench.ledger.tombstones().unwrap(), []);
    // Somebody's hand in the ledger is seen.
    let purge = approved(&bench, &[id]);
    let mut targets = bench.ledger.purge_targets(purge.number).unwrap();
    targets[0].name = bench.world.files[2].copies[0].0.clone();
    bench.ledger.record_purge_targets(purge.number, &targets[..1]).unwrap();
    let refused = execute(&bench);
    assert!(refused.purges[0].refused.as_ref().unwrap().contains("somebody has changed it"), "{refused:#?}");
    approved(&bench, &[id, other]);
    assert_eq!(execute(&bench).exit_code, 0);
    assert_eq!(bench.copies().len(), 1);
}

#[test]
fn what_is_under_a_hold_is_not_purged() {
    let bench = Bench::of_files(2);
    bench.run();
    let id = bench.world.files[0].id;
    delete_in_dataverse(&bench, &[id]);
    let ledger = bench.ledger.as_ref();
    let options = HoldOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        person: person("dora"),
        reference: "court order 3".into(),
    };
    let of_dataset = Selection { datasets: ["doi:10.5072/FK2/ONE".to_owned()].into(), ..Selection::default() };
    let purge = approved(&bench, &[id]);
    for selection in [of(&[id]), of_dataset] {
        let hold = place_hold(ledger, &HoldOptions { run: new_run_id(), ..options.clone() }, &selection).unwrap();
        let refused = try_request(&bench, &request_options(&[id])).unwrap_err();
        assert!(
            matches!(&refused, PurgeError::OnHold { reference, .. } if reference == "court order 3"),
            "{refused:?}"
        );
        let refused = execute(&bench);
        assert_eq!((refused.ending, bench.copies().len()), (ExitStatus::Refused, 2), "{refused:#?}");
        release_hold(ledger, &HoldOptions { run: new_run_id(), ..options.clone() }, hold.number).unwrap();
    }
    assert!(matches!(place_hold(ledger, &options, &Selection::default()).unwrap_err(), PurgeError::NothingNamed));
    assert_eq!(list_purges(ledger).unwrap().last().unwrap().purge.number, purge.number);
    assert_eq!(execute(&bench).exit_code, 0);
}

/// A purger that fails at its n-th operation, or sees locks.
struct FaultyPurger {
    inner: Box<dyn Purger>,
    plan: Arc<Plan>,
    lock: Option<Lock>,
}

impl Purger for FaultyPurger {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError> {
        let lock = self.lock.filter(|_| !key.is_own());
        let held = self.plan.around(Call::Stat, || self.inner.held(key))?;
        Ok(held.into_iter().map(|it| Held { lock, ..it }).collect())
    }

    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError> {
        self.plan.around(Call::List, || self.inner.own_keys(prefix))
    }

    fn delete(&mut self, held: &Held) -> Result<(), SinkError> {
        assert!(held.lock.is_none(), "what is locked is not deleted");
        self.plan.around(Call::Discard, || self.inner.delete(held))
    }
}

fn faulty(
    folder: &Path,
    plan: &Arc<Plan>,
    lock: Option<Lock>,
) -> impl Fn(&RunId) -> Result<Box<dyn Purger>, SinkError> + Sync {
    move |_| {
        let (inner, plan) = (Box::new(DirectoryPurger::open(folder)?), Arc::clone(plan));
        Ok(Box::new(FaultyPurger { inner, plan, lock }) as Box<dyn Purger>)
    }
}

fn no_fault() -> Arc<Plan> {
    Arc::new(Plan { fault: Fault::Before, at: u32::MAX, done: AtomicU32::new(0) })
}

/// Whatever fails of deleting and storing, nothing is called done that is not, and the next call ends it.
fn at_every_operation(fault: Fault, of_purger: bool) {
    for at in 0.. {
        let Purged { bench, id, words, .. } = a_short_life();
        let others: BTreeMap<_, _> = bench.copies().into_iter().filter(|(key, _)| !key.contains(&words[2])).collect();
        approved(&bench, &[id]);
        let plan = Arc::new(Plan { fault, at, done: AtomicU32::new(0) });
        let of_sink = if of_purger { no_fault() } else { Arc::clone(&plan) };
        let sink = wrapped(bench.sink.as_ref(), &of_sink);
        let of_purging = if of_purger { Arc::clone(&plan) } else { no_fault() };
        let purger = faulty(&bench.backup, &of_purging, None);
        let first = execute_by(&bench, &sink, &purger);
        let purge = |number: usize| list_purges(bench.ledger.as_ref()).unwrap()[number].purge.clone();
        if first.exit_code == 0 {
            assert_says_nothing(&bench, &words, &format!("after a purge that is called done, fault at {at}"));
            assert_eq!(purge(0).state, PurgeState::Done);
        } else {
            assert!(purge(0).state.is_open(), "at {at}: {first:#?}");
        }
        // A run between them brings nothing back.
        let run = bench.run();
        assert_eq!(run.exit_code, 0, "at {at}: {run:#?}");
        if !bench.ledger.tombstones().unwrap().is_empty() {
            assert_eq!(bench.details()[&id].status, Status::Purged, "at {at}");
        }
        let second = execute(&bench);
        assert_eq!(second.exit_code, 0, "at {at}: {second:#?}");
        assert_eq!(purge(0).state, PurgeState::Done, "at {at}");
        assert_says_nothing(&bench, &words, &format!("after a fault at {at}"));
        files::assert_same(&others, &bench.copies());
        if at % 5 == 0 || !plan.has_failed() {
            assert_eq!(bench.run().exit_code, 0, "at {at}");
            assert_eq!(verify::verified(&bench).exit_code, 0, "at {at}");
        }
        if !plan.has_failed() {
            assert!(at > 5, "only {at} operations could fail");
            return;
        }
    }
}

#[test]
fn a_purger_that_fails_before_any_operation_is_made_good() {
    at_every_operation(Fault::Before, true);
}

#[test]
fn a_purger_that_fails_after_any_operation_is_made_good() {
    at_every_operation(Fault::After, true);
}

#[test]
fn a_purger_that_dies_at_any_operation_is_made_good() {
    at_every_operation(Fault::Death, true);
}

#[test]
fn a_destination_that_fails_at_any_operation_is_made_good() {
    at_every_operation(Fault::Before, false);
}

#[test]
fn a_destination_that_dies_at_any_operation_is_made_good() {
    at_every_operation(Fault::Death, false);
}

#[test]
fn what_is_locked_waits_and_is_never_called_done() {
    let Purged { bench, id, key, words } = a_hard_life(LedgerKind::Sqlite);
    delete_in_dataverse(&bench, &[id]);
    approved(&bench, &[id]);
    let until = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
    for (lock, said) in [(Lock::Until(until), "waiting for the lock until 2096-10-02"), (Lock::Hold, "legal hold")] {
        let no_fault = no_fault();
        let locked = faulty(&bench.backup, &no_fault, Some(lock));
        let waiting = execute_by(&bench, bench.sink.as_ref(), &locked);
        assert_eq!(waiting.exit_code, 1, "{waiting:#?}");
        let at = &waiting.purges[0].at[0];
        assert_eq!((at.state, at.locked, waiting.purges[0].purge.state), (PurgedAt::Waiting, 3, PurgeState::Executing));
        assert!(at.reason.as_ref().unwrap().contains(said), "{at:#?}");
        assert_eq!(count_waiting_purges(bench.ledger.as_ref()).unwrap(), 1);
    }
    // The bytes wait; the names do not, unless they are locked too. Nobody gives the bytes back.
    assert!(bench.copies().contains_key(&key));
    let said = all_that_is_said(&bench.backup.join(".dataverse-backup"));
    assert!(!said.contains("Jane Doe"), "{said}");
    assert_eq!(bench.run().exit_code, 0);
    assert_eq!(verify::verified(&bench).exit_code, 0);
    assert!(bench.copies().contains_key(&key));
    assert_eq!(execute(&bench).exit_code, 0);
    assert_says_nothing(&bench, &words, "after the lock");
}

#[test]
fn a_destination_that_is_away_waits_and_the_others_do_not() {
    let Purged { bench, id, words, .. } = a_hard_life(LedgerKind::Sqlite);
    let (second, folder) = (DestinationName("second".into()), bench.folder.path().join("second"));
    let there = sink_at(&folder);
    bench.run_to(&second, there.as_ref(), &bench.options()).unwrap();
    delete_in_dataverse(&bench, &[id]);
    bench.run_to(&second, there.as_ref(), &Options { overrides: GONE, ..bench.options() }).unwrap();
    let (here, beyond) = (opener(&bench.backup), opener(&folder));
    let sites: [Site<'_>; 2] = [(destination(), bench.sink.as_ref(), &here), (second.clone(), there.as_ref(), &beyond)];
    // A list that lacks a destination is none.
    let lacking = try_request(&bench, &request_options(&[id])).unwrap_err();
    assert!(matches!(&lacking, PurgeError::Elsewhere { destination, .. } if *destination == second), "{lacking:?}");
    let request = with(&bench, &sites, |it| request_purge(it, &bench.catalog(), &request_options(&[id]))).unwrap();
    let by = approve_options("bob");
    approve_purge(bench.ledger.as_ref(), &by, request.purge.number, &request.purge.digest).unwrap();
    let run = || with(&bench, &sites, |it| execute_purges(it, &bench.catalog(), &execute_options(&bench))).unwrap();

    let away = bench.folder.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let unlisted = with(&bench, &sites, |it| request_purge(it, &bench.catalog(), &request_options(&[id])));
    assert!(
        matches!(unlisted, Err(PurgeError::Run(RunError::NotThere { .. } | RunError::Destination { .. }))),
        "{unlisted:?}"
    );
    let waiting = run();
    let states: Vec<_> = waiting.purges[0].at.iter().map(|it| it.state).collect();
    assert_eq!(states, [PurgedAt::Done, PurgedAt::Waiting], "{waiting:#?}");
    assert_ne!(waiting.exit_code, 0);
    assert_says_nothing(&bench, &words, "at the one that is there");
    assert_eq!(waiting.purges[0].purge.state, PurgeState::Executing);
    fs::rename(&away, &folder).unwrap();
    assert_eq!(run().exit_code, 0);
    let said = all_that_is_said(&folder);
    assert!(words.iter().all(|it| !said.contains(it.as_str())), "{said}");
    assert_eq!(list_purges(bench.ledger.as_ref()).unwrap()[0].purge.state, PurgeState::Done);
}

#[test]
fn a_ledger_that_is_lost_in_the_middle_loses_no_copy_and_no_hold() {
    let Purged { bench, id, words, .. } = a_hard_life(LedgerKind::Sqlite);
    let (second, folder) = (DestinationName("second".into()), bench.folder.path().join("second"));
    let there = sink_at(&folder);
    bench.run_to(&second, there.as_ref(), &bench.options()).unwrap();
    delete_in_dataverse(&bench, &[id]);
    let backup = bench.backup.clone();
    let first = sink_at(&backup);
    let (here, beyond) = (opener(&backup), opener(&folder));
    let sites: [Site<'_>; 2] = [(destination(), first.as_ref(), &here), (second.clone(), there.as_ref(), &beyond)];
    let request = |bench: &Bench| {
        let request = with(bench, &sites, |it| request_purge(it, &bench.catalog(), &request_options(&[id]))).unwrap();
        let Purge { number, digest, .. } = &request.purge;
        approve_purge(bench.ledger.as_ref(), &approve_options("bob"), *number, digest).unwrap();
        request
    };
    request(&bench);
    let other = bench.world.files[1].id;
    let hold = HoldOptions {
        run: new_run_id(),
        agent: crate::bench::agent(),
        person: person("dora"),
        reference: "court order 3".into(),
    };
    place_hold(bench.ledger.as_ref(), &hold, &of(&[other])).unwrap();
    let away = bench.folder.path().join("away");
    fs::rename(&folder, &away).unwrap();
    let done = with(&bench, &sites, |it| execute_purges(it, &bench.catalog(), &execute_options(&bench))).unwrap();
    assert_ne!(done.exit_code, 0);
    fs::rename(&away, &folder).unwrap();
    bench.try_run(&Options { rerun: true, ..bench.options() }).unwrap();
    bench.database.execute("UPDATE filemetadata SET label = 'another.txt' WHERE label LIKE '%1%'");
    bench.run();

    let bench = &rebuild::without_ledger(bench, LedgerKind::Sqlite);
    let made = rebuild::rebuilt(bench);
    assert_eq!(made.exit_code, 0, "{made:#?}");
    rebuild::rebuilt_at(bench, &second, there.as_ref());
    let holds = bench.ledger.holds().unwrap();
    assert!(holds.len() == 1 && holds[0].reference == "court order 3", "{holds:#?}");
    assert_eq!(bench.ledger.purges().unwrap()[0].state, PurgeState::Withdrawn);
    bench.run();
    bench.run_to(&second, there.as_ref(), &bench.options()).unwrap();
    // What is left is found by the keys that the snapshot there has.
    let again = request(bench);
    assert!(again.list.iter().any(|it| it.destination == second), "{again:#?}");
    let done = with(bench, &sites, |it| execute_purges(it, &bench.catalog(), &execute_options(bench))).unwrap();
    assert_eq!(done.exit_code, 0, "{done:#?}");
    for place in [&backup, &folder] {
        let said = all_that_is_said(place);
        for word in &words {
            let line = said.lines().find(|line| line.contains(word.as_str()));
            assert_eq!(line, None, "{word} at {}", place.display());
        }
    }
}

#[test]
fn of_two_at_once_one_waits_for_the_other() {
    let Purged { bench, id, words, .. } = a_hard_life(LedgerKind::Sqlite);
    delete_in_dataverse(&bench, &[id]);
    approved(&bench, &[id]);
    let holder = Holder {
        host: "h".into(),
        pid: std::process::id(),
        run: RunId("20260102T030405Z-other".into()),
        since: "2026-01-02T03:04:05.000Z".into(),
    };
    let lock = bench.ledger.lock(&destination(), &holder).unwrap();
    let before = all_that_is_said(&bench.backup);
    let waiting = execute(&bench);
    assert_eq!(waiting.ending, ExitStatus::Locked, "{waiting:#?}");
    assert!(all_that_is_said(&bench.backup) == before);
    drop(lock);
    let done: Vec<ExecuteSummary> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| execute(&bench))).collect();
        both.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert!(done.iter().any(|it| it.exit_code == 0 || it.purges.is_empty()), "{done:#?}");
    assert_eq!(execute(&bench).exit_code, 0);
    assert_says_nothing(&bench, &words, "after both");
    assert_eq!(list_purges(bench.ledger.as_ref()).unwrap()[0].purge.state, PurgeState::Done);
}

#[test]
fn a_dataset_that_left_goes_with_its_own_objects_and_one_that_is_there_keeps_them() {
    let bench = Bench::of_every_kind(dvb_testkit::dataverse::Schema::V6_9, LedgerKind::Sqlite);
    bench.run();
    let kinds = |kind| bench.ledger.states(&destination(), kind).map(Result::unwrap).collect::<Vec<_>>();
    let dataset = kinds(EntryKind::Dataset).into_iter().find(|it| {
        let copies = bench.ledger.copies(&destination(), &[it.id]).unwrap();
        copies.iter().any(|it| matches!(it.role, ObjectRole::DatasetLevel(_)))
    });
    let dataset = dataset.unwrap();
    let pid = dataset.dataset.unwrap();
    let selection = Selection { datasets: [pid].into(), ..Selection::default() };
    let options = RequestOptions { selection, even_if_in_dataverse: true, ..request_options(&[]) };
    let request = try_request(&bench, &RequestOptions { cap: 1000, ..options }).unwrap();
    assert!(request.purge.files.iter().any(|it| (it.id, it.kind) == (dataset.id, EntryKind::Dataset)), "{request:#?}");
    let by = approve_options("bob");
    approve_purge(bench.ledger.as_ref(), &by, request.purge.number, &request.purge.digest).unwrap();
    assert_eq!(execute(&bench).exit_code, 0);
    let keys: Vec<String> = request.list.iter().map(|it| it.name.clone()).collect();
    assert!(keys.len() > 1);
    assert_says_nothing(&bench, &keys, "after the purge of a dataset");
    bench.run();
    assert_says_nothing(&bench, &keys, "after a run");
    assert!(!bench.copies().is_empty());
}
