//! Objects given back to a store of Dataverse.

use std::collections::BTreeMap;

use dvb_model::{ObjectName, RunId};
use dvb_storage::{Cause, Location, ObjectAddress, StoreWriter as _, conformance};
use dvb_swift::{Limits, SwiftStoreConfig, SwiftStoreWriter};
use dvb_testkit::swift::{self, Server};

use crate::source::at;
use crate::{SMALL, tempauth};

fn run() -> RunId {
    RunId("restore-20260101T000000Z-test".into())
}

fn writer(server: &Server, limits: Limits) -> SwiftStoreWriter {
    let endpoints = [("Main".to_owned(), tempauth(server))].into();
    let config = SwiftStoreConfig { default_endpoint: Some("main".into()), endpoints };
    SwiftStoreWriter::with_limits(config, limits, run())
}

fn everything(server: &Server, container: &str) -> BTreeMap<String, Vec<u8>> {
    let names = server.list(container).into_iter();
    names.map(|it| (it.clone(), server.get(container, &it).unwrap())).collect()
}

fn main_object(identifier: &str) -> Location {
    at(identifier, ObjectAddress::Main(ObjectName::new("15b2").unwrap()))
}

fn keeps_the_promises(limits: Limits) -> String {
    let server = swift::shared();
    let container = swift::container("doi-10-5072");
    server.make_container(&container);
    let writer = writer(server, limits);
    let (mender, key) = writer.place(&main_object(&format!("swift://main:{container}:FK2/ABC/15b2"))).unwrap();
    assert_eq!(key.as_str(), "FK2/ABC/15b2");
    conformance::target(mender.as_ref(), "FK2/ABC", &|| everything(server, &container)).unwrap();
    writer.close(&|it| *it == run());
    container
}

#[test]
fn a_container_keeps_the_promises_of_a_target() {
    keeps_the_promises(SMALL);
}

#[test]
fn a_container_for_segments_is_made_only_for_segments() {
    let container = keeps_the_promises(Limits { held_object: 32 << 20, ..Limits::USUAL });
    let there = |name: &str| swift::shared().request("HEAD", name, "", &[], b"").status != 404;
    assert!(there(&container));
    assert!(!there(&format!("{container}_segments")));
}

#[test]
fn objects_go_where_their_identifiers_say() {
    let server = swift::shared();
    let writer = writer(server, SMALL);
    let container = swift::container("doi-10-5072-FK2-ABC");
    let tag = || ObjectAddress::Tagged(ObjectName::new("15b2").unwrap(), "orig".into());
    let logo = || ObjectAddress::DatasetLevel(ObjectName::new("dataset_logo_original").unwrap());
    for (location, name) in [
        (main_object(&format!("swift://MAIN:{container}:15b2")), "15b2"),
        (main_object(&format!("swift://:{container}:FK2/ABC/15b2")), "FK2/ABC/15b2"),
        (at(&format!("swift://main:{container}:FK2/ABC/15b2"), tag()), "FK2/ABC/15b2.orig"),
        (at(&format!("swift://main:{container}/FK2/ABC"), logo()), "FK2/ABC/dataset_logo_original"),
        (at(&format!("swift://main:{container}"), logo()), "dataset_logo_original"),
    ] {
        let (mender, key) = writer.place(&location).unwrap();
        assert_eq!(key.as_str(), name);
        assert!(mender.describe().contains(&container));
    }
    for refused in [
        "swift://main:../AUTH_other:15b2".to_owned(),
        "swift://junk".to_owned(),
        format!("swift://main:{container}:../x"),
        format!("swift://main:{container}:.dataverse-backup/tmp/x"),
    ] {
        assert_eq!(writer.place(&main_object(&refused)).err().unwrap().cause, Cause::Refused, "{refused}");
    }
    assert!(writer.place(&main_object(&format!("swift://nobody:{container}:15b2"))).is_err());
}
