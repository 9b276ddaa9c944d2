//! Reading a store of Dataverse.

use std::collections::BTreeMap;
use std::io::Read as _;

use dvb_model::{ObjectName, StorageIdentifier, StoragePid};
use dvb_storage::conformance::{self, some_bytes};
use dvb_storage::{Cause, Location, ObjectAddress, Source as _};
use dvb_swift::{SwiftAccount, SwiftStore, SwiftStoreConfig};
use dvb_testkit::swift::{self, Server};

use crate::conformance::v3;
use crate::crook::{Crook, Trick};
use crate::tempauth;

fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

pub(crate) fn at(identifier: &str, object: ObjectAddress) -> Location {
    let storage_pid = StoragePid { authority: "10.5072".into(), identifier: "FK2/ABC".into() };
    Location { storage_pid, identifier: StorageIdentifier::parse(Some(identifier)).ok(), object }
}

fn main_object(identifier: &str) -> Location {
    at(identifier, ObjectAddress::Main(name("15b2")))
}

fn store(accounts: &[(&str, SwiftAccount)]) -> SwiftStore {
    let endpoints: BTreeMap<_, _> = accounts.iter().map(|(name, it)| ((*name).to_owned(), it.clone())).collect();
    SwiftStore::new(SwiftStoreConfig { default_endpoint: Some("Main".into()), endpoints })
}

/// A container with one object.
fn with_object(server: &Server, object: &str, bytes: &[u8]) -> String {
    let container = swift::container("doi-10-5072");
    server.make_container(&container);
    server.put(&container, object, bytes);
    container
}

#[test]
fn a_store_keeps_the_promises_of_a_source() {
    let server = swift::shared();
    let container = with_object(server, "15b2", b"of 4.8");
    let large = some_bytes(1, 3 << 20);
    for (object, bytes) in [
        ("FK2/ABC/15b2", b"of 4.10".as_slice()),
        ("FK2/ABC/15b2.orig", b"original"),
        ("FK2/ABC/15b2.prov-json.json", b""),
        ("FK2/ABC/dataset_logo_original", b"logo"),
        ("dataset_logo_original", b"logo of 4.8"),
        ("FK2/ABC/ü ?%", &large),
    ] {
        server.put(&container, object, bytes);
    }
    let old = format!("swift://main:{container}:15b2");
    let new = format!("swift://Main:{container}:FK2/ABC/15b2");
    let tag = |tag: &str| ObjectAddress::Tagged(name("15b2"), tag.into());
    let logo = || ObjectAddress::DatasetLevel(name("dataset_logo_original"));
    let present = [
        (main_object(&old), b"of 4.8".to_vec()),
        (main_object(&new), b"of 4.10".to_vec()),
        (main_object(&format!("swift://:{container}:15b2")), b"of 4.8".to_vec()),
        (at(&new, tag("orig")), b"original".to_vec()),
        (at(&new, tag("prov-json.json")), Vec::new()),
        (at(&format!("swift://main:{container}/FK2/ABC"), logo()), b"logo".to_vec()),
        (at(&format!("swift://main:{container}"), logo()), b"logo of 4.8".to_vec()),
        (main_object(&format!("swift://main:{container}:FK2/ABC/ü ?%")), large),
    ];
    let absent = [
        at(&old, tag("orig")),
        main_object("swift://main:no-such-container:15b2"),
        main_object("swift://junk"),
        at(&new, logo()),
    ];
    let refused = [
        main_object(&format!("swift://main:../AUTH_other/{container}:15b2")),
        main_object("swift://main:..:15b2"),
        main_object(&format!("swift://main:{container}/FK2:ABC/15b2")),
        main_object(&format!("swift://main:{container}:../../AUTH_other/c/15b2")),
        main_object(&format!("swift://main:{container}:")),
    ];
    assert_eq!(conformance::source(&store(&[("main", tempauth(server))]), &present, &absent, &refused), Ok(()));
}

#[test]
fn each_endpoint_has_its_own_login() {
    let (plain, identity) = (swift::shared(), crate::conformance::identity());
    let first = with_object(plain, "15b2", b"first");
    let second = with_object(identity, "15b2", b"second");
    let store = store(&[("main", tempauth(plain)), ("other", v3(identity))]);
    for (endpoint, container, expected) in [("main", &first, "first"), ("other", &second, "second")] {
        let mut text = String::new();
        let at = main_object(&format!("swift://{endpoint}:{container}:15b2"));
        store.open(&at).unwrap().body.read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
    let unknown = store.open(&main_object(&format!("swift://third:{first}:15b2"))).err().unwrap();
    assert_eq!(unknown.cause, Cause::Io);
    assert!(unknown.attempt.contains("the login of endpoint third"), "{}", unknown.attempt);
}

#[test]
fn what_cannot_be_read_says_why() {
    let server = swift::shared();
    let container = with_object(server, "15b2", b"bytes");
    let location = main_object(&format!("swift://main:{container}:15b2"));
    // A user of the same account who is given nothing.
    let auth = dvb_swift::SwiftAuth::V1 { user: "tester3".into(), key: "testing3".into(), tenant: Some("test".into()) };
    let stranger = store(&[("main", SwiftAccount { auth, ..tempauth(server) })]);
    assert_eq!(stranger.open(&location).err().unwrap().cause, Cause::Forbidden);
    assert!(stranger.check().is_ok(), "the login itself is good");

    let crook = Crook::of(server.port());
    let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
    crook.play("GET", &container, 0, 3, Trick::Say(503, ""));
    let store = store(&[("main", behind)]);
    assert_eq!(store.open(&location).err().unwrap().cause, Cause::Transient);
    assert_eq!(crook.count("GET", &container), 3);
    assert!(store.open(&location).is_ok());
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let server = swift::shared();
    let bytes = some_bytes(3, 1 << 20);
    let container = with_object(server, "15b2", &bytes);
    let crook = Crook::of(server.port());
    let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
    crook.play("GET", &container, 0, 2, Trick::CutAnswer(400_000));
    let mut read = Vec::new();
    let mut object = store(&[("main", behind)]).open(&main_object(&format!("swift://main:{container}:15b2"))).unwrap();
    object.body.read_to_end(&mut read).unwrap();
    assert!(read == bytes);
    assert_eq!(crook.count("GET", &container), 3);
    assert_eq!(crook.count("GET", "bytes=800000-"), 1);
}

#[test]
fn a_broken_download_does_not_go_on_with_another_object() {
    let server = swift::shared();
    let container = with_object(server, "15b2", &some_bytes(4, 1 << 20));
    let crook = Crook::of(server.port());
    let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
    crook.play("GET", &container, 0, 1, Trick::CutAnswer(400_000));
    let mut object = store(&[("main", behind)]).open(&main_object(&format!("swift://main:{container}:15b2"))).unwrap();
    server.put(&container, "15b2", &some_bytes(5, 1 << 20));
    let error = object.body.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("changed while it was read"), "{error}");
}

#[test]
fn a_server_that_ignores_conditions_is_found_out() {
    let server = swift::shared();
    let bytes = some_bytes(7, 1 << 20);
    let container = with_object(server, "15b2", &bytes);
    let etag = dvb_fixity::Measured::of(&bytes, &[dvb_fixity::Algorithm::Md5]).digests[0].hex();
    let another = (etag, "0".repeat(32), "was changed while it was read");
    let elsewhere = ("bytes 400000-".to_owned(), "bytes 400001-".to_owned(), "does not continue");
    for (from, to, said) in [another, elsewhere] {
        let crook = Crook::of(server.port());
        let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
        crook.play("GET", &container, 0, 1, Trick::CutAnswer(400_000));
        crook.play("GET", &container, 0, 9, Trick::Rewrite(from, to));
        let store = store(&[("main", behind)]);
        let mut object = store.open(&main_object(&format!("swift://main:{container}:15b2"))).unwrap();
        let error = object.body.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_body_that_ends_before_its_length_is_an_error() {
    let server = swift::shared();
    let container = with_object(server, "15b2", &some_bytes(6, 1 << 20));
    let crook = Crook::of(server.port());
    let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
    crook.play("GET", &container, 0, 1, Trick::CutAnswer(400_000));
    crook.play("GET", &container, 0, 9, Trick::CutAnswer(0));
    let mut object = store(&[("main", behind)]).open(&main_object(&format!("swift://main:{container}:15b2"))).unwrap();
    let mut read = Vec::new();
    let error = object.body.read_to_end(&mut read).unwrap_err();
    assert_eq!((error.kind(), read.len()), (std::io::ErrorKind::UnexpectedEof, 400_000));
}

#[test]
fn a_server_that_lies_about_the_length_is_found_out() {
    let server = swift::shared();
    let container = with_object(server, "15b2", &some_bytes(6, 1000));
    let crook = Crook::of(server.port());
    let behind = SwiftAccount { endpoint: Some(format!("{}/v1", crook.url)), ..tempauth(server) };
    let lie = Trick::Rewrite("Content-Length: 1000\r\n".into(), "Content-Length: 2000\r\n".into());
    crook.play("GET", &container, 0, 1, lie);
    let mut object = store(&[("main", behind)]).open(&main_object(&format!("swift://main:{container}:15b2"))).unwrap();
    assert!(object.body.read_to_end(&mut Vec::new()).is_err());
}
