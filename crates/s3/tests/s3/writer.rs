//! Objects given back to a store of Dataverse.

use std::collections::BTreeMap;

use dvb_fixity::{Algorithm, Measured};
use dvb_model::{ObjectName, RunId};
use dvb_s3::S3StoreWriter;
use dvb_storage::{Cause, Expected, Location, ObjectAddress, StoreWriter as _, conformance};
use s3::Bucket;

use crate::world::{Service, location, seaweed, swift};

fn everything(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let pages = bucket.list(String::new(), None).unwrap();
    let names = pages.into_iter().flat_map(|it| it.contents).map(|it| it.key);
    names.map(|key| (key.clone(), bucket.get_object(format!("/{key}")).unwrap().to_vec())).collect()
}

/// Without what is there while it works.
fn seen(bucket: &Bucket) -> BTreeMap<String, Vec<u8>> {
    let mut all = everything(bucket);
    all.retain(|key, _| !key.starts_with(".dataverse-backup/"));
    all
}

fn run() -> RunId {
    RunId("restore-20260101T000000Z-test".into())
}

fn keeps_the_promises(service: &Service) {
    let bucket = service.bucket("target");
    let writer = S3StoreWriter::new(service.store(&bucket.name()), run());
    let (mender, key) = writer.place(&location("s3://another-bucket:15b2", "15b2")).unwrap();
    assert_eq!(key.as_str(), "10.5072/FK2/ABC/15b2");
    conformance::target(mender.as_ref(), "10.5072/FK2/ABC", &|| seen(&bucket)).unwrap();
    writer.close(&|it| *it == run());
    assert_eq!(everything(&bucket), seen(&bucket), "nothing of its own stays");
}

#[test]
fn a_bucket_at_seaweedfs_keeps_the_promises_of_a_target() {
    keeps_the_promises(&seaweed());
}

#[test]
fn a_bucket_at_swift_keeps_the_promises_of_a_target() {
    keeps_the_promises(&swift());
}

fn expected(bytes: &[u8]) -> Expected {
    let measured = Measured::of(bytes, &[Algorithm::Md5]);
    Expected { size: measured.size, digests: measured.digests }
}

#[test]
fn objects_go_where_dataverse_looks_for_them() {
    let service = seaweed();
    let (configured, named) = (service.bucket("configured"), service.bucket("named"));
    let at = location(&format!("s3://{}:15b2", named.name()), "15b2");
    let name = |text: &str| ObjectName::new(text).unwrap();
    let original = Location { object: ObjectAddress::Tagged(name("15b2"), "orig".into()), ..at.clone() };
    let logo = Location { object: ObjectAddress::DatasetLevel(name("logo")), identifier: None, ..at.clone() };
    for (store, there, empty) in [(configured.name(), &configured, &named), (String::new(), &named, &configured)] {
        let writer = S3StoreWriter::new(service.store(&store), run());
        for at in [&at, &original] {
            let (mender, key) = writer.place(at).unwrap();
            mender.put_new(&key, &mut &b"x"[..], &expected(b"x")).unwrap();
        }
        writer.close(&|_| false);
        let keys: Vec<String> = everything(there).into_keys().collect();
        assert_eq!(keys, ["10.5072/FK2/ABC/15b2", "10.5072/FK2/ABC/15b2.orig"]);
        assert_eq!(everything(empty).len(), if store.is_empty() { 2 } else { 0 });
    }
    // An object of a dataset names no bucket.
    let writer = S3StoreWriter::new(service.store(""), run());
    assert_eq!(writer.place(&logo).err().unwrap().cause, Cause::Refused);
    let climbs = Location { storage_pid: crate::world::pid("../x"), ..at };
    assert_eq!(writer.place(&climbs).err().unwrap().cause, Cause::Refused);
}

#[test]
fn uploads_that_a_dead_restore_left_are_aborted_and_those_of_others_are_not() {
    let service = seaweed();
    let bucket = service.bucket("dead");
    let begin = |key: &str| bucket.initiate_multipart_upload(key, "application/octet-stream").unwrap().upload_id;
    let (dead, other) = (begin("10.5072/FK2/ABC/dead"), begin("10.5072/FK2/ABC/other"));
    let journal = "/.dataverse-backup/uploads/restore-20200101T000000Z-x/0-1";
    bucket.put_object(journal, br#"["10.5072/FK2/ABC/dead"]"#).unwrap();
    let of_run = "/.dataverse-backup/uploads/20200101T000000Z-x/0-1";
    bucket.put_object(of_run, br#"["10.5072/FK2/ABC/other"]"#).unwrap();
    let writer = S3StoreWriter::new(service.store(&bucket.name()), run());
    let (mender, key) = writer.place(&location("s3://b-b:15b2", "15b2")).unwrap();
    mender.put_new(&key, &mut &b"x"[..], &expected(b"x")).unwrap();
    writer.close(&|it| it.0.starts_with("restore-2020"));
    let takes = |key: &str, id: &str| bucket.put_multipart_chunk(&[1; 1000], key, 1, id, "text/plain").is_ok();
    assert!(!takes("10.5072/FK2/ABC/dead", &dead));
    assert!(takes("10.5072/FK2/ABC/other", &other));
    let keys: Vec<String> = everything(&bucket).into_keys().collect();
    assert_eq!(keys, [of_run.trim_start_matches('/'), "10.5072/FK2/ABC/15b2"]);
}

#[test]
fn who_may_not_write_is_told_which_right_is_missing() {
    let service = seaweed();
    let bucket = service.bucket("reader");
    let reader = Service { access: dvb_testkit::seaweed::shared().reader.into(), ..service };
    let writer = S3StoreWriter::new(reader.store(&bucket.name()), run());
    let (mender, key) = writer.place(&location("s3://b-b:15b2", "15b2")).unwrap();
    let error = mender.put_new(&key, &mut &b"x"[..], &expected(b"x")).unwrap_err();
    assert!(error.to_string().contains("s3:PutObject"), "{error}");
    writer.close(&|_| false);
    assert_eq!(everything(&bucket).len(), 0);
}
