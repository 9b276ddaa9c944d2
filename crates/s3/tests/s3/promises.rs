//! What every source and sink promises, at real services.

use dvb_fixity::Evidence;
use dvb_model::{ObjectName, RunId};
use dvb_s3::{S3Sink, S3SinkConfig, S3Store};
use dvb_storage::{Demand, ObjectAddress, Sink as _, conformance};

use crate::world::{Service, location, pid, seaweed, swift};

fn holds(config: S3SinkConfig, evidence: Evidence) {
    let sink = S3Sink::new(config).unwrap();
    let session = sink.connect(&RunId("20000101T000000Z-first".into())).unwrap();
    assert_eq!(session.evidence(), evidence);
    drop(session);
    conformance::sink(&sink, "10.5072/FK2").unwrap();
    assert_eq!(sink.notes(), Vec::<String>::new());
}

fn each_way(service: &Service) {
    let bucket = service.bucket("conformance").name();
    holds(service.sink(&bucket, "as it is"), Evidence::RemoteHash);
    holds(S3SinkConfig { single_put: 0, ..service.sink(&bucket, "only-parts/") }, Evidence::RemoteHash);
    let config = S3SinkConfig { held_memory: 100_000, part_memory: 1, ..service.sink(&bucket, "/scarce/memory") };
    holds(S3SinkConfig { demand: Demand::ReadBack, ..config }, Evidence::ReadBack);
}

#[test]
fn the_sink_keeps_its_promises_at_seaweedfs() {
    each_way(&seaweed());
}

#[test]
fn the_sink_keeps_its_promises_at_swift() {
    each_way(&swift());
}

fn source_holds(service: &Service) {
    let bucket = service.bucket("source");
    let (small, large) = (conformance::some_bytes(1, 17), conformance::some_bytes(2, 9 << 20));
    let put = |key: &str, bytes: &[u8]| assert_eq!(bucket.put_object(key, bytes).unwrap().status_code(), 200);
    put("/10.5072/FK2/ABC/15b2-9f0", &small);
    put("/10.5072/FK2/ABC/15b2-9f0.orig", &large);
    put("/10.5072/FK2/ABC/with blank+ü.txt", &small);
    put("/10.5072/FK2/ABC/empty", b"");
    put("/10.5072/FK2/ABC/dataset_logo_original", &small);
    let at = |name: &str| location(&format!("s3://{}:{name}", bucket.name()), name);
    let as_address = |address| dvb_storage::Location { object: address, ..at("15b2-9f0") };
    let name = |text: &str| ObjectName::new(text).unwrap();
    let orig = as_address(ObjectAddress::Tagged(name("15b2-9f0"), "orig".into()));
    let logo = as_address(ObjectAddress::DatasetLevel(name("dataset_logo_original")));
    let store = S3Store::new(&service.store(&bucket.name())).unwrap();
    let present = [
        (at("15b2-9f0"), small.clone()),
        (orig, large),
        (at("with blank+ü.txt"), small.clone()),
        (at("empty"), Vec::new()),
        (logo, small),
    ];
    let climbs = dvb_storage::Location { storage_pid: pid("../../x"), ..at("15b2-9f0") };
    let own = dvb_storage::Location {
        storage_pid: dvb_model::StoragePid { authority: ".dataverse-backup".into(), ..pid("x") },
        ..at("y")
    };
    conformance::source(&store, &present, &[at("none"), at("15b2-9f")], &[climbs, own]).unwrap();
    assert_eq!(store.notes(), Vec::<String>::new());
    use dvb_storage::Source as _;
    assert!(matches!(store.members(&at("15b2-9f0")), Ok(None)));
}

#[test]
fn the_source_keeps_its_promises_at_seaweedfs() {
    source_holds(&seaweed());
}

#[test]
fn the_source_keeps_its_promises_at_swift() {
    source_holds(&swift());
}

#[test]
fn uploads_that_were_cut_are_gone_on_with() {
    for service in [seaweed(), swift()] {
        let bucket = service.bucket("continued");
        let config = S3SinkConfig { part_size: 5 << 20, ..service.sink(&bucket.name(), "copies") };
        let sink = S3Sink::new(config).unwrap();
        assert_eq!(conformance::continued(&sink, "10.5072/FK2"), Ok(()), "{}", service.url);
    }
}
