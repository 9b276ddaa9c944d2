//! What is proved before a run stores anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dvb_engine::{Access, ExitStatus, Hint, NullObserver, Options, RunError, Setup, run_together};
use dvb_fs::FileStore;
use dvb_model::{DestinationName, Status};
use dvb_storage::Sink;
use dvb_testkit::files;

use crate::bench::{Bench, CHANGED, LOST, LedgerKind, TAKEN, new_ledger, sink_at};

fn store(bench: &Bench) -> PathBuf {
    bench.folder.path().join("files")
}

/// A run to this place is refused, and leaves what is below the store as it was.
fn is_refused(bench: &Bench, sink: &dyn Sink, what: &str) {
    let before = files::tree(&store(bench));
    let refused = bench.run_onto(sink, &bench.options()).map(|it| it.ending);
    assert!(matches!(&refused, Err(RunError::OnePlace { other, .. }) if other == "store file"), "{what}: {refused:?}");
    assert_eq!(ExitStatus::from(&refused.unwrap_err()).code(), 7);
    assert_eq!(files::tree(&store(bench)), before, "{what}");
}

#[test]
fn a_folder_that_is_the_store_or_lies_in_it_or_around_it_is_refused() {
    let bench = Bench::of_files(3);
    let (root, files) = (bench.folder.path(), store(&bench));
    symlink(&files, root.join("link")).unwrap();
    symlink(files.join("10.5072"), root.join("link-into")).unwrap();
    for place in
        ["files", "link", "files/10.5072", "link-into", "files/10.5072/FK2/ONE", "files/a", "files/10.5072/FK2/ONE/b"]
    {
        is_refused(&bench, sink_at(&root.join(place)).as_ref(), place);
    }
    for deep in ["files/x/y/z/w", "link-into/FK2/ONE/deep/deeper"] {
        fs::create_dir_all(root.join(deep)).unwrap();
        is_refused(&bench, sink_at(&root.join(deep)).as_ref(), deep);
    }
    is_refused(&bench, sink_at(root).as_ref(), "around it");
    let summary = bench.run_onto(sink_at(&root.join("beside")).as_ref(), &bench.options()).unwrap();
    assert_eq!((summary.files.copied, summary.exit_code), (3, 0), "{summary:?}");
    assert!(files::tree(&root.join("beside")).keys().all(|it| !it.contains("token")), "the token is taken away");
}

#[test]
fn two_destinations_that_are_one_place_are_told_apart_from_two() {
    let bench = Bench::of_files(3);
    let root = bench.folder.path();
    fs::create_dir(root.join("one")).unwrap();
    symlink(root.join("one"), root.join("other")).unwrap();
    let (one, other) = (sink_at(&root.join("one")), sink_at(&root.join("other")));
    let (first, second) = (DestinationName("first".into()), DestinationName("second".into()));
    let catalog = bench.catalog();
    let setup = |destination, sink| Setup {
        catalog: &catalog,
        stores: &bench.stores,
        ledger: bench.ledger.as_ref(),
        destination,
        sink,
        observer: &NullObserver,
        stop: &bench.stop,
    };
    let setups = [(setup(&first, one.as_ref()), bench.options()), (setup(&second, other.as_ref()), bench.options())];
    let results = run_together(&setups);
    assert!(
        matches!(&results[0], Err(RunError::OnePlace { other, .. }) if other == "destination second"),
        "{results:?}"
    );
    assert_eq!(results[1].as_ref().unwrap().files.copied, 3, "the other one is a place of its own");
}

fn another(bench: Bench) -> Bench {
    let ledger = new_ledger(LedgerKind::Sqlite, &bench.folder.path().join("another.db"));
    Bench { ledger, ..bench }
}

#[test]
fn the_destination_of_another_installation_is_refused_until_it_is_taken_over() {
    let bench = Bench::of_files(20);
    bench.run();
    let text = fs::read_to_string(bench.backup.join(".dataverse-backup/installation.json")).unwrap();
    let owner: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(owner["destination"], "default");
    assert!(owner["catalogue"].as_str().unwrap().contains(&bench.database.name), "{owner}");
    let header = bench.run();
    assert_eq!(header.exit_code, 0);

    let first = new_ledger(LedgerKind::Sqlite, &bench.folder.path().join("ledger.db"));
    let other = another(bench);
    let before = files::tree(&other.backup);
    let refused = other.try_run(&other.options()).unwrap_err();
    let RunError::Foreign { owner: found, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(found.id, owner["id"].as_str().unwrap());
    assert_eq!(ExitStatus::from(&refused).code(), 7);
    assert_eq!(refused.hint(), Some(Hint::ClaimForeign { destination: "default".to_owned() }));
    assert_eq!(files::tree(&other.backup), before);
    assert!(other.details().is_empty());

    let taken = other.try_run(&Options { overrides: TAKEN, ..other.options() }).unwrap();
    assert_eq!((taken.files.adopted, taken.exit_code, taken.overrides.as_slice()), (20, 0, ["take-over"].as_slice()));
    assert_eq!(other.run().files.unchanged, 20);
    // Now it is the first one that is refused.
    let bench = Bench { ledger: first, ..other };
    assert!(matches!(bench.try_run(&bench.options()), Err(RunError::Foreign { .. })));
}

#[test]
fn a_destination_of_a_version_without_ids_is_marked_by_the_ledger_that_knows_it_and_no_other() {
    let bench = Bench::of_files(20);
    bench.run();
    let mark = bench.backup.join(".dataverse-backup/installation.json");
    fs::remove_file(&mark).unwrap();
    let other = another(bench);
    let refused = other.try_run(&other.options()).unwrap_err();
    assert!(matches!(refused, RunError::Strange { .. }), "{refused:?}");
    let bench = Bench { ledger: new_ledger(LedgerKind::Sqlite, &other.folder.path().join("ledger.db")), ..other };
    assert_eq!(bench.run().exit_code, 0);
    assert!(mark.exists());
    fs::write(&mark, "half a wor").unwrap();
    let refused = bench.try_run(&bench.options()).unwrap_err();
    assert!(matches!(refused, RunError::Unidentified { .. }), "{refused:?}");
    assert_eq!(bench.try_run(&Options { overrides: TAKEN, ..bench.options() }).unwrap().exit_code, 0);
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn a_destination_that_vanished_is_not_made_again() {
    let bench = Bench::of_files(3);
    bench.run();
    fs::rename(&bench.backup, bench.folder.path().join("elsewhere")).unwrap();
    let refused = bench.try_run(&bench.options()).unwrap_err();
    assert!(matches!(refused, RunError::NotThere { .. }), "{refused:?}");
    assert!(!bench.backup.exists());
    let made = bench.try_run(&Options { overrides: LOST, ..bench.options() }).unwrap();
    assert_eq!(made.files.copied, 3);
}

/// A store whose path is one level too high.
fn mislead(bench: &mut Bench, folder: &Path) {
    bench.set_access(Access::Readable(Arc::new(FileStore::open(folder).unwrap())));
}

#[test]
fn a_store_that_has_none_of_the_files_is_the_wrong_one_and_not_damaged() {
    let mut bench = Bench::of_files(30);
    let right = store(&bench);
    let too_high = bench.folder.path().to_owned();
    mislead(&mut bench, &too_high);
    let summary = bench.run();
    assert_eq!(
        (summary.ending, summary.files.pending, summary.failures_total),
        (ExitStatus::Refused, 30, 0),
        "{summary:?}"
    );
    let why = summary.aborted.unwrap();
    assert!(why.contains("of 30 objects that were looked for first, 0 are there"), "{why}");
    assert!(bench.details().values().all(|it| it.status == Status::Pending));
    mislead(&mut bench, &right);
    // One file that is lost is not the whole store.
    fs::remove_file(bench.source_of(&bench.world.files[4].copies[0].0)).unwrap();
    let summary = bench.run();
    assert_eq!((summary.ending, summary.files.copied, summary.files.failed), (ExitStatus::SourceDamaged, 29, 1));
}

fn replace(bench: &Bench, count: usize, bytes_too: bool) {
    for file in bench.world.files.iter().take(count) {
        let bytes = format!("encrypted {}", file.id);
        if bytes_too {
            fs::write(bench.source_of(&file.copies[0].0), &bytes).unwrap();
        }
        let md5 = files::md5(bytes.as_bytes());
        bench.database.execute(&format!("UPDATE datafile SET checksumvalue = '{md5}' WHERE id = {}", file.id));
    }
}

#[test]
fn many_files_with_other_bytes_and_checksums_are_refused_until_confirmed() {
    let bench = Bench::of_files(40);
    let options = || Options { max_change: 0.05, ..bench.options() };
    bench.run();
    replace(&bench, 2, true);
    let few = bench.try_run(&options()).unwrap();
    assert_eq!((few.files.copied, few.exit_code), (2, 0), "two of forty are not more than 5 %");
    replace(&bench, 6, true);
    // The first two are what they were made to be.
    let refused = bench.try_run(&options()).unwrap_err();
    assert!(matches!(refused, RunError::Changes { changed: 4, known: 40, read: 4, other: 4, .. }), "{refused:?}");
    assert_eq!(ExitStatus::from(&refused).code(), 7);
    assert_eq!(bench.copies().len(), 42, "nothing was stored");
    let dry = bench.try_run(&Options { dry_run: true, ..options() }).unwrap();
    assert_eq!(dry.ending, ExitStatus::Refused);
    let done = bench.try_run(&Options { overrides: CHANGED, ..options() }).unwrap();
    assert_eq!((done.files.copied, done.overrides.as_slice()), (4, ["accept-changes"].as_slice()));
    assert_eq!(bench.try_run(&options()).unwrap().exit_code, 0);
}

#[test]
fn checksums_alone_that_changed_are_judged_file_by_file() {
    let bench = Bench::of_files(40);
    let options = || Options { max_change: 0.05, ..bench.options() };
    bench.run();
    replace(&bench, 10, false);
    let judged = bench.try_run(&options()).unwrap();
    assert_eq!((judged.ending, judged.files.failed), (ExitStatus::SourceDamaged, 10));
    assert_eq!(bench.copies().len(), 40);
    // Another algorithm for the same bytes is what Dataverse itself does.
    for file in &bench.world.files {
        let sha512 = files::sha512(&file.copies[0].1);
        let sql =
            format!("UPDATE datafile SET checksumtype = 'SHA512', checksumvalue = '{sha512}' WHERE id = {}", file.id);
        bench.database.execute(&sql);
    }
    let again = bench.try_run(&options()).unwrap();
    assert_eq!((again.ending, again.bytes_copied), (ExitStatus::Safe, 0), "{again:?}");
}
