//! Damage that any command finds is on record until it is mended, and then with its end.

use std::fs;

use dvb_engine::{ExitStatus, Options};
use dvb_ledger::{Incident, Side};
use dvb_model::DvObjectId;
use dvb_testkit::files;

use crate::audit::audited;
use crate::bench::{Bench, LedgerKind};
use crate::verify::verified;

fn of(bench: &Bench, n: usize) -> Vec<Incident> {
    bench.ledger.incidents(DvObjectId(bench.world.files[n].id)).unwrap()
}

/// The one of a data file: which command found it, what, and where it was mended from.
#[track_caller]
fn one(bench: &Bench, n: usize) -> (String, Side, String, Option<String>) {
    let all = of(bench, n);
    let [it] = all.as_slice() else { panic!("{all:#?}") };
    (it.command.clone().unwrap(), it.side, it.found.clone(), it.mended.as_ref().map(|it| it.from.clone()))
}

fn copy(bench: &Bench, n: usize) -> std::path::PathBuf {
    bench.backup.join(&bench.world.files[n].copies[0].0)
}

fn store(bench: &Bench, n: usize) -> std::path::PathBuf {
    bench.source_of(&bench.world.files[n].copies[0].0)
}

fn what_verify_finds_ends_with_the_run_that_mends_it(kind: LedgerKind) {
    let bench = Bench::of_files_with(4, kind);
    bench.run();
    fs::write(copy(&bench, 0), "content X").unwrap();
    fs::remove_file(copy(&bench, 1)).unwrap();
    let found = verified(&bench);
    for _ in 0..2 {
        assert_eq!(one(&bench, 0), ("verify".into(), Side::Destination, "damaged".into(), None));
        assert_eq!(one(&bench, 1), ("verify".into(), Side::Destination, "missing".into(), None));
        verified(&bench);
    }
    let incident = of(&bench, 0).remove(0);
    assert_eq!((&incident.found_by, incident.expected.size), (&found.run_id, Some(9)));
    let sha256 = |it: &[u8]| files::sha256(it);
    let digest = |it: &dvb_ledger::Bytes| it.digest.as_ref().unwrap().to_string();
    assert_eq!((digest(&incident.expected), digest(&incident.actual)), (sha256(b"content 0"), sha256(b"content X")));
    let summary = bench.run();
    assert_eq!((summary.ending, summary.files.copied), (ExitStatus::Safe, 2), "{summary:#?}");
    assert_eq!(one(&bench, 0).3.as_deref(), Some("store file"));
    let mended = of(&bench, 1).remove(0).mended.unwrap();
    assert_eq!((mended.by, mended.size), (summary.run_id, Some(9)));
    assert!(of(&bench, 2).is_empty());
}

#[test]
fn what_verify_finds_ends_with_the_run_that_mends_it_in_sqlite() {
    what_verify_finds_ends_with_the_run_that_mends_it(LedgerKind::Sqlite);
}

#[test]
fn what_verify_finds_ends_with_the_run_that_mends_it_in_postgresql() {
    what_verify_finds_ends_with_the_run_that_mends_it(LedgerKind::Postgres);
}

#[test]
fn what_a_run_finds_and_mends_has_both_ends() {
    let bench = Bench::of_files(3);
    bench.run();
    fs::remove_file(copy(&bench, 0)).unwrap();
    // Its source is lost, too: it stays open.
    fs::remove_file(copy(&bench, 1)).unwrap();
    let bytes = fs::read(store(&bench, 1)).unwrap();
    fs::remove_file(store(&bench, 1)).unwrap();
    let options = Options { rerun: true, ..bench.options() };
    assert_eq!(bench.try_run(&options).unwrap().ending, ExitStatus::DestinationDamaged);
    assert_eq!(one(&bench, 0), ("run".into(), Side::Destination, "missing".into(), Some("store file".into())));
    // The look at what is still in the store goes on beside the copying: either may be the first.
    let open = of(&bench, 1);
    assert!([Side::Destination, Side::Store].iter().all(|side| open.iter().any(|it| it.side == *side)), "{open:#?}");
    assert_eq!(open.len(), 2, "{open:#?}");
    assert!(open.iter().all(|it| it.mended.is_none() && it.found == "missing"), "{open:#?}");
    fs::write(store(&bench, 1), bytes).unwrap();
    assert_eq!(bench.run().ending, ExitStatus::Safe);
    let mut froms: Vec<_> = of(&bench, 1).into_iter().map(|it| it.mended.unwrap().from).collect();
    froms.sort();
    assert!(froms[0].starts_with("elsewhere") && froms[1] == "store file", "{froms:?}");
}

#[test]
fn what_audit_and_restore_find_is_on_record() {
    let bench = Bench::of_files(4);
    bench.run();
    fs::write(store(&bench, 0), "CONTENT 0").unwrap();
    fs::remove_file(store(&bench, 1)).unwrap();
    audited(&bench);
    assert_eq!(one(&bench, 0), ("audit".into(), Side::Store, "damaged".into(), None));
    let actual = of(&bench, 0).remove(0).actual.digest.unwrap().to_string();
    assert_eq!(actual, files::md5(b"CONTENT 0"));
    assert_eq!(one(&bench, 1), ("audit".into(), Side::Store, "missing".into(), None));
    // One copy is bad, too, which only the restore notices.
    fs::write(copy(&bench, 1), "content X").unwrap();
    fs::remove_file(store(&bench, 2)).unwrap();
    let summary = bench.give_in_place(&bench.missing());
    assert_eq!((summary.objects.restored, summary.objects.damaged_copies), (2, 1), "{summary:#?}");
    assert_eq!(one(&bench, 0).3.as_deref(), Some("destination default"));
    assert!(of(&bench, 0)[0].mended.as_ref().unwrap().kept.as_ref().unwrap().contains(".damaged-"));
    let found = of(&bench, 1);
    assert_eq!((found[1].command.as_deref(), found[1].side), (Some("restore"), Side::Destination), "{found:#?}");
    assert!(found.iter().all(|it| it.mended.is_none()), "{found:#?}");
    let both = one(&bench, 2);
    assert_eq!(both, ("restore".into(), Side::Store, "missing".into(), Some("destination default".into())));
}
