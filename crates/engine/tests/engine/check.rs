//! What is tried before a run, and that nothing of it stays.

use std::fs;
use std::time::Duration;

use dvb_engine::{
    Access, CheckOptions, CheckSetup, DestinationCheck, ExitStatus, Hint, RunError, Samples, check_catalogue,
    check_destinations, check_store, lock_holder, probe_destination,
};
use dvb_fixity::Evidence;
use dvb_model::{DestinationName, DriverId, RunId};
use dvb_storage::{Cause, Room, Sink, SinkError, SinkSession};
use dvb_testkit::files;

use crate::bench::{Bench, destination, sink_at};

#[test]
fn a_destination_is_probed_and_nothing_stays() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("copies");
    assert_eq!(probe_destination(sink_at(&place).as_ref()).unwrap(), None, "it is not there, and is not made");
    assert!(!place.exists());
    fs::create_dir(&place).unwrap();
    let probed = probe_destination(sink_at(&place).as_ref()).unwrap().unwrap();
    assert_eq!((probed.evidence, probed.left), (Evidence::ReadBack, None));
    assert_eq!(files::tree(&place).keys().filter(|it| it.contains("check-")).count(), 0);
}

#[test]
fn all_destinations_are_checked_with_what_is_due_to_each() {
    let bench = Bench::of_files(3);
    let root = bench.folder.path();
    fs::create_dir(root.join("beside")).unwrap();
    let sinks = [sink_at(&root.join("beside")), sink_at(&root.join("files/10.5072")), sink_at(&root.join("none"))];
    let names = ["good", "store", "new"].map(|it| DestinationName(it.to_owned()));
    let destinations: Vec<(&DestinationName, &dyn Sink)> = names.iter().zip(sinks.iter().map(AsRef::as_ref)).collect();
    let catalog = bench.catalog();
    let found = check_catalogue(&catalog, &bench.stores).unwrap();
    assert_eq!((found.files, found.placeless), (3, 0));
    let setup = CheckSetup {
        catalog: Some(&catalog),
        stores: &bench.stores,
        samples: &found.samples,
        ledger: bench.ledger.as_ref(),
        is_known: true,
        destinations: &destinations,
    };
    // That nothing is copied is the check's to say, not the caller's.
    let run = dvb_engine::Options { dry_run: false, ..bench.options() };
    let options = CheckOptions { host: "h".to_owned(), patience: Duration::from_secs(20), run };
    let checked: Vec<_> = check_destinations(&setup, &options).collect();
    let good = checked[0].as_ref().unwrap();
    assert_eq!(good.due.unwrap().files, 3, "{good:?}");
    assert!(good.probed.is_some() && good.free.is_some() && !good.is_too_small(), "{good:?}");
    assert!(good.examined.owner.is_none(), "{good:?}");
    assert!(matches!(&checked[1], Err(RunError::OnePlace { .. })), "{:?}", checked[1]);
    let new = checked[2].as_ref().unwrap();
    assert!(new.probed.is_none() && new.examined.is_new, "{new:?}");
    assert!(!root.join("none").exists());
    assert!(files::tree(&root.join("beside")).keys().all(|it| !it.contains("10.5072")), "nothing was copied");
    assert!(lock_holder(bench.ledger.as_ref(), &destination(), "h").unwrap().is_none());
}

#[test]
fn a_store_with_none_of_its_objects_is_not_the_one() {
    let bench = Bench::of_files(3);
    let (file, nothing) = (DriverId("file".to_owned()), Samples::default());
    let Access::Readable(source) = &bench.stores.by_id[&file].access else { panic!() };
    let samples = check_catalogue(&bench.catalog(), &bench.stores).unwrap().samples;
    let seen = check_store(&file, source.as_ref(), &samples).unwrap();
    assert!(seen.is_it() && seen.there == 3, "{seen:?}");
    fs::rename(bench.folder.path().join("files/10.5072"), bench.folder.path().join("files/lost")).unwrap();
    let seen = check_store(&file, source.as_ref(), &samples).unwrap();
    assert!(!seen.is_it() && seen.missing == 3, "{seen:?}");
    assert_eq!(check_store(&file, source.as_ref(), &nothing).unwrap().looked, 0);
}

fn checked_at(bench: &Bench, sink: &dyn Sink) -> Result<DestinationCheck, RunError> {
    let catalog = bench.catalog();
    let name = destination();
    let samples = check_catalogue(&catalog, &bench.stores).unwrap().samples;
    let setup = CheckSetup {
        catalog: Some(&catalog),
        stores: &bench.stores,
        samples: &samples,
        ledger: bench.ledger.as_ref(),
        is_known: true,
        destinations: &[(&name, sink)],
    };
    let options = CheckOptions { host: "h".to_owned(), patience: Duration::from_secs(20), run: bench.options() };
    check_destinations(&setup, &options).next().unwrap()
}

#[test]
fn a_run_that_would_be_refused_is_not_called_ready() {
    let bench = Bench::of_files(40);
    bench.run();
    assert!(checked_at(&bench, bench.sink.as_ref()).is_ok());
    bench.database.execute(
        "DELETE FROM filemetadata; DELETE FROM datafile WHERE id IN (SELECT id FROM datafile ORDER BY id LIMIT 10)",
    );
    let refused = checked_at(&bench, bench.sink.as_ref()).unwrap_err();
    assert_eq!(ExitStatus::from(&refused).code(), 7, "{refused}");
    assert_eq!(refused.hint(), Some(Hint::AcceptDisappearance), "{refused}");
    assert!(refused.to_string().contains("10 of the 40 data files"), "{refused}");
}

#[test]
fn an_empty_dataverse_is_ready() {
    let bench = Bench::of_files(0);
    fs::create_dir(&bench.backup).unwrap();
    assert!(checked_at(&bench, bench.sink.as_ref()).is_ok());
}

/// A destination whose room cannot be asked for.
struct Unmeasured(Box<dyn Sink>);

impl Sink for Unmeasured {
    fn describe(&self) -> String {
        self.0.describe()
    }

    fn method(&self) -> &'static str {
        self.0.method()
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        self.0.connect(run)
    }

    fn make(&self) -> Result<(), SinkError> {
        self.0.make()
    }

    fn room(&self) -> Result<Option<Room>, SinkError> {
        Err(SinkError::new(Cause::Io, "the disk does not answer"))
    }
}

#[test]
fn room_that_cannot_be_asked_for_is_not_room_that_nobody_tells() {
    let bench = Bench::of_files(1);
    fs::create_dir(&bench.backup).unwrap();
    let measured = checked_at(&bench, bench.sink.as_ref()).unwrap();
    assert!(measured.free.is_some() && measured.unmeasured.is_none(), "{measured:?}");
    let checked = checked_at(&bench, &Unmeasured(sink_at(&bench.backup))).unwrap();
    assert_eq!((checked.free, checked.unmeasured.as_deref()), (None, Some("the disk does not answer")));
}
