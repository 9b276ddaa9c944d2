//! Versions of an object: where they go when keys are taken, and which one is what Dataverse has.

use std::fs;

use dvb_engine::Options;
use dvb_ledger::{CopyState, Reservation};
use dvb_model::{DvObjectId, ObjectKey, ObjectRole, Status};
use dvb_testkit::files;

use crate::bench::{Bench, destination};

/// Version, state and key of every copy that the ledger knows.
fn known(bench: &Bench, id: i64) -> Vec<(u32, CopyState, String)> {
    let copies = bench.ledger.copies(&destination(), &[DvObjectId(id)]).unwrap();
    copies.into_iter().map(|it| (it.version, it.state, it.key.as_str().to_owned())).collect()
}

/// Other bytes in the store, and the row that fits.
fn deposit(bench: &Bench, id: i64, key: &str, bytes: &str) {
    fs::write(bench.source_of(key), bytes).unwrap();
    let md5 = files::md5(bytes.as_bytes());
    let size = bytes.len();
    bench.database.execute(&format!("UPDATE datafile SET checksumvalue = '{md5}', filesize = {size} WHERE id = {id}"));
}

#[test]
fn keys_that_strangers_took_are_gone_past_in_one_run() {
    for (count, jobs) in [(2, 1), (2, 2), (20, 1), (20, 2)] {
        let bench = Bench::of_files(count);
        for file in &bench.world.files {
            files::write(&bench.backup, &file.copies[0].0, b"of another");
        }
        let run = bench.try_run(&Options { jobs, ..bench.options() }).unwrap();
        assert_eq!((run.exit_code, run.aborted.as_deref()), (0, None), "{count} {jobs}: {run:#?}");
        assert_eq!((run.files.copied, run.files.failed), (count.unsigned_abs(), 0), "{count} {jobs}");
        let copies = bench.copies();
        assert_eq!(copies.len(), bench.world.files.len() * 2, "{count} {jobs}");
        for file in &bench.world.files {
            let (key, bytes) = &file.copies[0];
            let second = format!("{key}.v2");
            assert_eq!((&copies[key][..], &copies[&second]), (&b"of another"[..], bytes), "{count} {jobs}");
            let proved = known(&bench, file.id).into_iter().filter(|it| it.1 == CopyState::Proved);
            assert_eq!(proved.collect::<Vec<_>>(), [(2, CopyState::Proved, second)], "{count} {jobs}");
            assert_eq!(bench.details()[&file.id].status, Status::Ok, "{count} {jobs}");
        }
        assert_eq!(bench.temporaries(), [""; 0]);
        assert_eq!((bench.run().files.unchanged, crate::verify::verified(&bench).exit_code), (count.unsigned_abs(), 0));
    }
}

#[test]
fn bytes_that_come_back_are_the_highest_version_and_what_a_restore_gives() {
    let bench = Bench::of_files(1);
    let (id, key) = (bench.world.files[0].id, bench.world.files[0].copies[0].0.clone());
    bench.run();
    for bytes in ["other bytes", "content 0"] {
        deposit(&bench, id, &key, bytes);
        assert_eq!(bench.run().exit_code, 0, "{bytes}");
    }
    let highest = known(&bench, id).pop().unwrap();
    assert_eq!(highest, (3, CopyState::Proved, format!("{key}.v3")));
    assert_eq!(bench.copies()[&highest.2], b"content 0");
    fs::remove_file(bench.source_of(&key)).unwrap();
    assert_eq!(bench.give_in_place(&bench.missing()).objects.restored, 1);
    assert_eq!(fs::read(bench.source_of(&key)).unwrap(), b"content 0");
    assert_eq!(bench.give_to_folder(&bench.restore_options()).unwrap().exit_code, 0);
    assert_eq!(files::tree(&bench.out()), [(key, b"content 0".to_vec())].into());
}

/// As a run leaves it that was killed between the commit and the record of a second version.
fn killed_with(bytes: &str) -> (Bench, i64, String) {
    let bench = Bench::of_files(1);
    let (id, key) = (bench.world.files[0].id, bench.world.files[0].copies[0].0.clone());
    bench.run();
    let second = ObjectKey::new(&format!("{key}.v2")).unwrap();
    files::write(&bench.backup, second.as_str(), bytes.as_bytes());
    let wish = Reservation { id: DvObjectId(id), role: ObjectRole::Main, version: 2, key: second };
    assert_eq!(bench.ledger.reserve(&destination(), &[wish]).unwrap(), [DvObjectId(id)]);
    deposit(&bench, id, &key, "changed");
    (bench, id, key)
}

#[test]
fn a_version_that_a_killed_run_stored_is_adopted() {
    let (bench, id, key) = killed_with("changed");
    let run = bench.run();
    assert_eq!((run.exit_code, run.files.adopted, run.bytes_copied), (0, 1, 0), "{run:#?}");
    let proved = |version, key: &str| (version, CopyState::Proved, key.to_owned());
    assert_eq!(known(&bench, id), [proved(1, &key), proved(2, &format!("{key}.v2"))]);
    assert_eq!((bench.copies().len(), bench.run().files.unchanged), (2, 1));
}

#[test]
fn a_version_whose_key_has_other_bytes_since_a_killed_run_is_gone_past() {
    let (bench, id, key) = killed_with("of another");
    let run = bench.run();
    assert_eq!((run.exit_code, run.files.copied), (0, 1), "{run:#?}");
    let highest = known(&bench, id).pop().unwrap();
    assert_eq!(highest, (3, CopyState::Proved, format!("{key}.v3")));
    let copies = bench.copies();
    assert_eq!((&copies[&format!("{key}.v2")][..], &copies[&highest.2][..]), (&b"of another"[..], &b"changed"[..]));
    assert_eq!((copies.len(), bench.run().files.unchanged), (3, 1));
}
