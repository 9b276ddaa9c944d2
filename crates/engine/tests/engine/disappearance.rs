//! Data files that leave the catalogue.

use dvb_engine::{ExitStatus, Options, RunError};

use crate::bench::{Bench, GONE, destination};

fn delete(bench: &Bench, count: usize) -> Vec<i64> {
    let ids: Vec<i64> = bench.world.files.iter().take(count).map(|it| it.id).collect();
    for id in &ids {
        bench.database.execute(&format!(
            "DELETE FROM filemetadata WHERE datafile_id = {id}; DELETE FROM datafile WHERE id = {id};
             DELETE FROM dvobject WHERE id = {id}"
        ));
    }
    ids
}

#[test]
fn a_few_are_marked_and_keep_their_copies() {
    let bench = Bench::of_files(40);
    bench.run();
    let gone = delete(&bench, 2);
    let summary = bench.run();
    assert_eq!((summary.gone, summary.files.catalogued, summary.exit_code), (2, 38, 0));
    assert_eq!(bench.copies().len(), 40);
    assert!(bench.details()[&gone[0]].gone_since.is_some());
    assert_eq!(bench.run().gone, 0, "it is said once");
    assert_eq!(bench.ledger.counts(&destination()).unwrap().1, 2);
}

#[test]
fn many_are_refused_until_confirmed() {
    let bench = Bench::of_files(40);
    bench.run();
    let gone = delete(&bench, 3);
    let refused = bench.try_run(&bench.options()).unwrap_err();
    assert!(matches!(refused, RunError::Disappearance { missing: 3, known: 40, .. }), "{refused:?}");
    assert_eq!(ExitStatus::from(&refused).code(), 7);
    assert!(bench.details()[&gone[0]].gone_since.is_none());
    let confirmed = bench.try_run(&Options { overrides: GONE, ..bench.options() }).unwrap();
    assert_eq!((confirmed.gone, confirmed.exit_code), (3, 0));
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn an_empty_catalogue_is_refused() {
    let bench = Bench::of_files(3);
    bench.run();
    delete(&bench, 3);
    assert_eq!(ExitStatus::from(&bench.try_run(&bench.options()).unwrap_err()), ExitStatus::Refused);
}

#[test]
fn one_that_comes_back_is_known_again() {
    let bench = Bench::of_files(1);
    bench.run();
    let id = bench.world.files[0].id;
    // Not a thing that happens; but a restore of the database from its dump looks the same.
    bench.database.execute("UPDATE dataset SET harvestingclient_id = 1");
    bench.try_run(&Options { overrides: GONE, ..bench.options() }).unwrap();
    assert!(bench.details()[&id].gone_since.is_some());
    bench.database.execute("UPDATE dataset SET harvestingclient_id = NULL");
    let back = bench.run();
    assert_eq!((back.files.unchanged, back.bytes_copied), (1, 0));
    assert!(bench.details()[&id].gone_since.is_none());
}
