//! A copy in whose place is something that is no file: a folder, a link, a pipe.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use dvb_engine::{ExitStatus, Summary};
use dvb_model::Status;
use dvb_testkit::files;

use crate::bench::Bench;
use crate::verify::{bad_copies, keys, verified};

const FILES: i64 = 10;

/// Puts something at the path of a copy that had these bytes.
type Maker<'a> = &'a dyn Fn(&Path, &[u8]);

/// Five of the copies are none any more; gives their keys, in order.
fn broken(bench: &Bench) -> Vec<String> {
    let outside = bench.folder.path().join("outside");
    let mut bad = Vec::new();
    let makers: [Maker<'_>; 5] = [
        &|at, _| fs::create_dir(at).unwrap(),
        &|at, _| files::write(at, "within", b"something"),
        // The right bytes, as long as nobody touches what is not the backup's.
        &|at, bytes| {
            fs::write(&outside, bytes).unwrap();
            symlink(&outside, at).unwrap();
        },
        &|at, bytes| {
            fs::write(at.with_extension("moved"), bytes).unwrap();
            symlink(at.with_extension("moved").file_name().unwrap(), at).unwrap();
        },
        &|at, _| files::pipe(at),
    ];
    for (file, make) in bench.world.files.iter().zip(makers) {
        let (key, bytes) = &file.copies[0];
        let at = bench.backup.join(key);
        fs::remove_file(&at).unwrap();
        make(&at, bytes);
        bad.push(key.clone());
    }
    bad.sort_unstable();
    bad
}

/// Every copy is there again, and what was in its place is kept.
fn assert_made_again(bench: &Bench, summary: &Summary, bad: &[String]) {
    assert_eq!((summary.files.copied, summary.files.failed), (5, 0), "{summary:#?}");
    let set_aside = summary.notes.iter().filter(|it| it.reason.contains("was set aside as"));
    assert_eq!(set_aside.count(), 5, "{summary:#?}");
    let mut copies = bench.copies();
    copies.retain(|it, _| !it.ends_with(".moved"));
    files::assert_same(&bench.world.expected_copies(), &copies);
    // A folder shows by what is in it: the empty one by nothing.
    let kept = bad_copies(bench);
    assert_eq!(kept.len(), 4, "{kept:?}");
    for key in kept.keys() {
        assert!(bad.iter().any(|it| *it == key.trim_end_matches("/within")), "{key}");
    }
    let moved = bench.backup.join(&bench.world.files[3].copies[0].0).with_extension("moved");
    for kept in [bench.folder.path().join("outside"), moved] {
        assert!(kept.is_file(), "what a link led to is left alone");
    }
    let again = verified(bench);
    assert_eq!((again.exit_code, again.copies.good), (0, FILES.unsigned_abs()), "{again:#?}");
    assert!(bench.details().values().all(|it| it.status == Status::Ok));
    assert_eq!(bench.temporaries(), [""; 0]);
}

#[test]
fn what_is_no_file_any_more_is_named_and_made_again() {
    let bench = Bench::of_files(FILES);
    bench.run();
    let bad = broken(&bench);
    for _ in 0..2 {
        let found = verified(&bench);
        let expected: Vec<(&str, &str)> = bad.iter().map(|it| ("broken", it.as_str())).collect();
        assert_eq!((found.exit_code, keys(&found)), (4, expected), "{found:#?}");
        assert_eq!((found.copies.damaged, found.copies.good, found.copies.unreadable), (5, 5, 0));
        let why = |what: &str| found.damaged.iter().filter(|it| it.reason.contains(what)).count();
        assert_eq!((why("is a folder, not a file"), why("is a link or a pipe, not a file")), (2, 3), "{found:#?}");
        let states = bench.details();
        let failed = states.values().filter(|it| it.status == Status::FailVerify);
        assert_eq!(failed.count(), 5, "{states:#?}");
    }
    let mended = bench.run();
    assert_eq!(mended.ending, ExitStatus::Safe, "{mended:#?}");
    assert_made_again(&bench, &mended, &bad);
}

#[test]
fn what_is_no_file_any_more_is_found_by_a_rerun() {
    let bench = Bench::of_files(FILES);
    bench.run();
    let bad = broken(&bench);
    let mended = bench.rerun();
    assert_eq!(mended.ending, ExitStatus::DestinationDamaged, "{mended:#?}");
    assert_made_again(&bench, &mended, &bad);
    assert_eq!(bench.rerun().exit_code, 0);
}

#[test]
fn what_is_no_file_any_more_is_never_given_back() {
    let bench = Bench::of_files(FILES);
    bench.run();
    let bad = broken(&bench);
    for key in &bad {
        fs::remove_file(bench.source_of(key)).unwrap();
    }
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.ending, summary.objects.damaged_copies), (ExitStatus::DestinationDamaged, 5), "{summary:#?}");
    assert_eq!((summary.objects.failed, summary.objects.restored), (5, 0), "{summary:#?}");
    assert!(summary.failures.iter().all(|it| it.reason.contains("every copy is bad")), "{summary:#?}");
    assert!(bad.iter().all(|it| !bench.source_of(it).exists()));
}
