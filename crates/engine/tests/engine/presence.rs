//! Is what is safe still in its store? Each run of everything looks, by listings.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dvb_engine::{ExitStatus, Options, PresenceCounts, Selection, Summary};
use dvb_model::{DvObjectId, Status};
use dvb_storage::{Source, SourceError};
use dvb_testkit::dataverse::{Expect, Schema, World};
use dvb_testkit::temp_folder;

use crate::bench::{Bench, LedgerKind};
use crate::wrapped::WrapSource;

/// Some datasets with some files each.
fn bench_of(datasets: i64, files: i64, ledger: LedgerKind) -> Bench {
    let folder = temp_folder("engine");
    let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
    for n in 0..datasets {
        let dataset = world.add_dataset("10.5072", &format!("FK2/SET{n}")).id;
        for m in 0..files {
            let name = format!("file://{}", World::object_name(n * 1_000 + m));
            world.add_file(dataset, &name, format!("content {n} {m}").as_bytes());
        }
    }
    Bench::new(world, ledger, folder)
}

fn failure(summary: &Summary, id: i64) -> (Status, &str) {
    let it = summary.failures.iter().find(|it| it.data_file_id == Some(DvObjectId(id)));
    let it = it.unwrap_or_else(|| panic!("{id} is no failure: {summary:#?}"));
    (it.status, &it.reason)
}

fn a_dataset_that_vanishes_is_told_of(ledger: LedgerKind) {
    let bench = bench_of(4, 5, ledger);
    assert_eq!(bench.run().exit_code, 0);
    let quiet = bench.run();
    let counts = PresenceCounts { data_files: 20, not_safe: 0, complete: true };
    assert_eq!((quiet.exit_code, quiet.presence), (0, Some(counts)));
    let (gone, kept) = (bench.source_of("10.5072/FK2/SET2"), bench.folder.path().join("kept"));
    fs::rename(&gone, &kept).unwrap();
    let cut = &bench.world.files[1];
    fs::write(bench.source_of(&cut.copies[0].0), "cut").unwrap();
    for round in 0..2 {
        let run = bench.run();
        assert_eq!((run.ending, run.failures_total), (ExitStatus::SourceDamaged, 6), "{run:#?}");
        assert_eq!((run.files.failed, run.files.unchanged, run.files.catalogued), (6, 14, 20));
        let looked = PresenceCounts { data_files: 20, not_safe: 6, complete: true };
        // What is known not to be safe is looked at by the run itself.
        let rest = PresenceCounts { data_files: 14, not_safe: 0, complete: true };
        assert_eq!(run.presence, Some(if round == 0 { looked } else { rest }));
        for file in &bench.world.files[10..15] {
            let key = &file.copies[0].0;
            let (status, reason) = failure(&run, file.id);
            let copy = format!("a proved copy is at destination default, {key}");
            let path = bench.source_of(key).display().to_string();
            assert!(status == Status::FailRead && reason.contains(&path) && reason.contains(&copy), "{reason}");
            let recorded = &bench.details()[&file.id];
            assert_eq!((recorded.status, recorded.reason.as_deref()), (Status::FailRead, Some(reason)));
        }
        assert_eq!(failure(&run, cut.id).0, Status::FailChecksum, "{run:#?}");
        assert_eq!(bench.details()[&cut.id].status, Status::FailChecksum);
        assert_eq!(bench.copies().len(), 20);
    }
    fs::rename(&kept, &gone).unwrap();
    fs::write(bench.source_of(&cut.copies[0].0), &cut.copies[0].1).unwrap();
    let again = bench.run();
    assert_eq!((again.ending, again.bytes_copied), (ExitStatus::Safe, 0), "{again:#?}");
}

#[test]
fn a_dataset_that_vanishes_is_told_of_with_sqlite() {
    a_dataset_that_vanishes_is_told_of(LedgerKind::Sqlite);
}

#[test]
fn a_dataset_that_vanishes_is_told_of_with_postgresql() {
    a_dataset_that_vanishes_is_told_of(LedgerKind::Postgres);
}

#[test]
fn each_object_of_each_kind_is_missed() {
    let bench = Bench::of_every_kind(Schema::V6_9, LedgerKind::Sqlite);
    let before = bench.run();
    let mut taken = Vec::new();
    for file in bench.world.files.iter().filter(|it| matches!(it.expect, Expect::Ok | Expect::OkNote)) {
        let is_ours = |it: &&(String, Vec<u8>)| !it.0.contains(".id") && !it.0.contains("NcML");
        // The last one: a saved original, a member, an auxiliary file, where there is any.
        let Some((key, bytes)) = file.copies.iter().rfind(is_ours) else { continue };
        let paths = bench.world.stores.iter().map(|it| it.directory.join(key));
        let Some(path) = paths.into_iter().find(|it| it.exists()) else { continue };
        let is_shared = bench.world.files.iter().filter(|it| it.copies.iter().any(|it| it.0 == *key)).count() > 1;
        if bench.details()[&file.id].provisional || is_shared || file.kind.contains("designat") {
            continue;
        }
        // Not all of a store: it would be away.
        if taken.len() % 2 == 0 {
            fs::remove_file(&path).unwrap();
        }
        taken.push((file, path, bytes));
    }
    let run = bench.run();
    let missed: Vec<_> = taken.iter().step_by(2).collect();
    assert!(missed.len() > 10, "{}", missed.len());
    for (file, path, _) in &missed {
        let (status, reason) = failure(&run, file.id);
        assert_eq!(status, Status::FailRead, "{}: {reason}", file.kind);
        assert!(reason.contains("missing"), "{}: {reason} {}", file.kind, path.display());
        assert_eq!(bench.details()[&file.id].status, Status::FailRead, "{}", file.kind);
    }
    assert_eq!(run.failures_total, before.failures_total + missed.len() as u64, "{run:#?}");
    for (_, path, bytes) in missed {
        fs::write(path, bytes).unwrap();
    }
    let after = bench.run();
    assert_eq!((after.failures_total, after.bytes_copied), (before.failures_total, 0), "{after:#?}");
}

#[test]
fn a_store_that_is_away_is_no_loss() {
    let bench = bench_of(3, 5, LedgerKind::Sqlite);
    bench.run();
    let before = bench.details();
    let files = bench.folder.path().join("files");
    let away = bench.folder.path().join("away");
    fs::create_dir(&away).unwrap();
    // The mount is gone: the folder that it was mounted on is empty, or has other things in it.
    for entry in fs::read_dir(&files).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), away.join(entry.file_name())).unwrap();
    }
    for other in [false, true] {
        if other {
            fs::create_dir_all(files.join("10.5072/OTHER/THING")).unwrap();
        }
        let run = bench.run();
        // An empty folder may be a mount that is missing for now; one with other things in it is the wrong one.
        let expected = if other { (ExitStatus::Refused, 0) } else { (ExitStatus::Unreachable, 1) };
        assert_eq!((run.ending, run.failures.len()), expected, "{run:#?}");
        assert_eq!(run.files.unchanged, 15);
        assert_eq!(bench.details(), before);
    }
    for entry in fs::read_dir(&away).unwrap() {
        let entry = entry.unwrap();
        let _ = fs::remove_dir_all(files.join(entry.file_name()));
        fs::rename(entry.path(), files.join(entry.file_name())).unwrap();
    }
    assert_eq!(bench.run().ending, ExitStatus::Safe);
}

/// Lists slowly, and tells what was listed.
struct Slow(Arc<Mutex<Vec<String>>>);

impl WrapSource for Slow {
    fn sizes(
        &self,
        store: &dyn Source,
        folder: &str,
        wanted: &mut HashMap<String, Option<u64>>,
    ) -> Result<(), SourceError> {
        self.0.lock().unwrap().push(folder.to_owned());
        std::thread::sleep(Duration::from_millis(100));
        store.sizes(folder, wanted)
    }
}

#[test]
fn the_next_night_goes_on_where_there_was_no_more_time() {
    let mut bench = bench_of(90, 1, LedgerKind::Postgres);
    bench.run();
    let listed = Arc::<Mutex<Vec<String>>>::default();
    bench.wrap_store(Slow(Arc::clone(&listed)));
    // The last one is missed by the night whose turn it is.
    let last = bench.world.files.iter().max_by_key(|it| it.copies[0].0.clone()).unwrap();
    fs::remove_file(bench.source_of(&last.copies[0].0)).unwrap();
    let mut nights = 0;
    let found = loop {
        nights += 1;
        assert!(nights < 30, "it never comes round");
        let bound = Some(Duration::from_millis(900));
        let run = bench.try_run(&Options { presence_check: bound, ..bench.options() }).unwrap();
        assert!(run.presence.is_some_and(|it| it.data_files < 90 && !it.complete), "{run:#?}");
        if run.exit_code != 0 {
            break run;
        }
    };
    assert_eq!((found.ending, failure(&found, last.id).0), (ExitStatus::SourceDamaged, Status::FailRead));
    let mut all = listed.lock().unwrap().clone();
    let count = all.len();
    all.sort();
    all.dedup();
    assert!(nights > 1 && all.len() == 90 && count < 140, "{nights} nights, {count} listings of {} folders", all.len());
}

#[test]
fn only_a_run_of_everything_looks() {
    let bench = bench_of(2, 2, LedgerKind::Sqlite);
    bench.run();
    fs::remove_file(bench.source_of(&bench.world.files[0].copies[0].0)).unwrap();
    let some = Selection { files: [DvObjectId(bench.world.files[3].id)].into(), ..Selection::default() };
    for options in [
        Options { selection: some, ..bench.options() },
        Options { limit: Some(1), ..bench.options() },
        Options { presence_check: None, ..bench.options() },
    ] {
        let run = bench.try_run(&options).unwrap();
        assert_eq!((run.exit_code, run.presence), (0, None));
    }
    assert_eq!(bench.rerun().exit_code, 3);
}

/// Lets the first `count` data files look as if they had been read so many days ago.
fn age(bench: &Bench, count: usize, days: u32) {
    let ledger = rusqlite::Connection::open(bench.folder.path().join("ledger.db")).unwrap();
    for file in &bench.world.files[..count] {
        let then = format!("strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-{days} days')");
        ledger.execute(&format!("UPDATE backup_state SET audited_at = {then} WHERE id = {}", file.id), []).unwrap();
    }
}

#[test]
fn a_run_reads_its_share_so_that_each_is_read_in_time() {
    let bench = bench_of(4, 10, LedgerKind::Sqlite);
    let month = Some(Duration::from_secs(30 * 86_400));
    let run = || bench.try_run(&Options { audit_every: month, ..bench.options() }).unwrap();
    let audited = |it: &Summary| it.audited.map(|it| it.data_files);
    assert_eq!(audited(&run()), Some(0), "all was read just now");
    age(&bench, 40, 11);
    assert_eq!(audited(&run()), Some(2), "a twentieth each night");
    age(&bench, 9, 29);
    assert_eq!(audited(&run()), Some(9), "what is due, however many");
    age(&bench, 9, 31);
    // Of the same size: no listing tells.
    let rotten = &bench.world.files[4];
    let size = rotten.copies[0].1.len();
    fs::write(bench.source_of(&rotten.copies[0].0), "x".repeat(size)).unwrap();
    assert_eq!(bench.run().exit_code, 0);
    let found = run();
    assert_eq!(
        (audited(&found), found.ending, found.failures_total),
        (Some(9), ExitStatus::SourceDamaged, 1),
        "{found:#?}"
    );
    assert_eq!(failure(&found, rotten.id).0, Status::FailChecksum);
    assert_eq!(bench.details()[&rotten.id].status, Status::FailChecksum);
    assert_eq!((found.files.failed, found.files.unchanged), (1, 39));
    fs::write(bench.source_of(&rotten.copies[0].0), &rotten.copies[0].1).unwrap();
    assert_eq!(run().ending, ExitStatus::Safe);
}

#[test]
fn what_is_read_again_keeps_to_the_limit_of_bytes_a_second() {
    let bench = Bench::of_files(12);
    bench.run();
    let ledger = rusqlite::Connection::open(bench.folder.path().join("ledger.db")).unwrap();
    ledger.execute("UPDATE backup_state SET audited_at = '2001-01-01T00:00:00.000Z'", []).unwrap();
    // Nine bytes each: all of them take a minute and a half at this limit, and the run has a second.
    let slow = Options { bandwidth_limit: Some(1), time_budget: Some(Duration::from_secs(1)), ..bench.options() };
    let run = bench.try_run(&Options { audit_every: Some(Duration::from_secs(86_400)), ..slow }).unwrap();
    let audited = run.audited.unwrap();
    assert!(audited.data_files < 12, "{audited:?}");
}
