//! Deleting copies in a bucket: with their versions and markers, and uploads that were cut.

use std::time::{Duration, SystemTime};

use dvb_model::{ObjectKey, RunId};
use dvb_s3::{LockMode, ObjectLock, S3Purger, S3Sink, S3SinkConfig};
use dvb_storage::conformance::{Bytes, End, some_bytes};
use dvb_storage::{Cause, CommitRequest, Held, HeldKind, Lock, Purger as _, Sink as _, StageRequest, conformance};

use crate::world::{Service, seaweed, swift};

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn kinds(held: &[Held]) -> Vec<HeldKind> {
    held.iter().map(|it| it.kind).collect()
}

/// Stores an object, over one that is there.
fn store(config: &S3SinkConfig, at: &ObjectKey, bytes: Vec<u8>) {
    let sink = S3Sink::new(config.clone()).unwrap();
    let mut session = sink.connect(&RunId("20000101T000000Z-store".into())).unwrap();
    let payload = Box::new(Bytes::new(bytes, session.algorithms(), End::Whole));
    let staged = session.stage(vec![StageRequest { key: at.clone(), payload }]).unwrap().remove(0).unwrap();
    session.commit(vec![CommitRequest { staged, replace: true }]).unwrap().remove(0).unwrap();
}

#[test]
fn a_bucket_keeps_the_promises_of_a_purger() {
    for service in [seaweed(), swift()] {
        let bucket = service.bucket("purger");
        for prefix in ["", "copies/of it"] {
            let config = service.sink(&bucket.name(), prefix);
            let mut purger = S3Purger::new(config.clone()).unwrap();
            let kept = conformance::purged(&S3Sink::new(config).unwrap(), &mut purger, "10.5072/FK2", 300_000);
            assert_eq!(kept, Ok(()), "{} {prefix:?}", service.url);
        }
    }
}

#[test]
fn a_bucket_with_versions_keeps_them_too() {
    let service = seaweed();
    let bucket = service.lockable_bucket("purger-versions");
    let config = service.sink(&bucket.name(), "copies");
    let mut purger = S3Purger::new(config.clone()).unwrap();
    let kept = conformance::purged(&S3Sink::new(config).unwrap(), &mut purger, "10.5072/FK2", 300_000);
    assert_eq!(kept, Ok(()));
    // Nothing is left of any of its keys but what was never deleted.
    let (listed, _) = all_versions(&service, &bucket.name());
    assert!(!listed.contains("PURGED"), "{listed}");
}

/// The listing of all versions as the service has it.
fn all_versions(service: &Service, bucket: &str) -> (String, u16) {
    let mut whole = service.again(bucket);
    whole.add_query("versions", "");
    let answer = whole.get_object("/").unwrap();
    (String::from_utf8_lossy(answer.bytes()).into_owned(), answer.status_code())
}

#[test]
fn versions_that_do_not_show_and_markers_are_deleted() {
    let service = seaweed();
    let bucket = service.lockable_bucket("purger-hidden");
    let config = service.sink(&bucket.name(), "copies");
    let (main, other) = (key("10.5072/FK2/A/18f3"), key("10.5072/FK2/A/18f3.orig"));
    for n in 0..3 {
        store(&config, &main, some_bytes(n, 100));
        store(&config, &other, some_bytes(n, 100));
    }
    // Whoever deletes by name only hides it.
    bucket.delete_object("/copies/10.5072/FK2/A/18f3").unwrap();
    let mut purger = S3Purger::new(config).unwrap();
    let held = purger.held(&main).unwrap();
    let objects = [HeldKind::Object; 3];
    assert_eq!(kinds(&held), [&objects[..], &[HeldKind::Marker]].concat(), "{held:?}");
    for thing in &held {
        purger.delete(thing).unwrap();
    }
    assert_eq!(purger.held(&main).unwrap(), []);
    assert_eq!(kinds(&purger.held(&other).unwrap()), objects);
    let (listed, status) = all_versions(&service, &bucket.name());
    assert!(status == 200 && listed.contains("18f3.orig<") && !listed.contains("18f3<"), "{listed}");
}

#[test]
fn a_locked_version_says_until_when_and_is_not_deleted() {
    let service = seaweed();
    let bucket = service.lockable_bucket("purger-locked");
    let lock = ObjectLock { days: 2, mode: LockMode::Compliance };
    let config = S3SinkConfig { object_lock: Some(lock), ..service.sink(&bucket.name(), "copies") };
    let main = key("10.5072/FK2/A/18f3");
    store(&config, &main, b"locked".to_vec());
    let mut purger = S3Purger::new(config).unwrap();
    let held = purger.held(&main).unwrap();
    let Some(Lock::Until(until)) = held[0].lock else { panic!("{held:?}") };
    let left = until.duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(86_400) && left <= Duration::from_secs(2 * 86_400), "{left:?}");
    assert_eq!(purger.delete(&held[0]).unwrap_err().cause, Cause::Forbidden);
    assert_eq!(purger.held(&main).unwrap(), held);
}

#[test]
fn an_upload_that_is_open_is_held_by_its_key() {
    for service in [seaweed(), swift()] {
        let bucket = service.bucket("purger-upload");
        let config = service.sink(&bucket.name(), "copies");
        for name in ["/copies/a/18f3", "/copies/a/18f3.orig"] {
            bucket.initiate_multipart_upload(name, "application/octet-stream").unwrap();
        }
        let mut purger = S3Purger::new(config).unwrap();
        let held = purger.held(&key("a/18f3")).unwrap();
        assert_eq!(kinds(&held), [HeldKind::Upload], "{}", service.url);
        purger.delete(&held[0]).unwrap();
        purger.delete(&held[0]).unwrap();
        assert_eq!(purger.held(&key("a/18f3")).unwrap(), []);
        assert_eq!(purger.held(&key("a/18f3.orig")).unwrap().len(), 1);
    }
}

#[test]
fn who_may_not_list_or_delete_is_told() {
    let service = seaweed();
    let bucket = service.bucket("purger-rights");
    let config = service.sink(&bucket.name(), "");
    let main = key("a/18f3");
    store(&config, &main, b"bytes".to_vec());
    let held = S3Purger::new(config).unwrap().held(&main).unwrap();
    let server = dvb_testkit::seaweed::shared();
    let by = |access: &str| {
        let service = Service { access: access.to_owned(), ..service.clone() };
        S3Purger::new(service.sink(&bucket.name(), "")).unwrap()
    };
    assert_eq!(by(server.unlisted).held(&main).unwrap_err().cause, Cause::Forbidden);
    assert_eq!(by(server.reader).delete(&held[0]).unwrap_err().cause, Cause::Forbidden);
    assert_eq!(
        S3Purger::new(service.sink("no-such-bucket", "")).unwrap().held(&main).unwrap_err().cause,
        Cause::Misconfigured
    );
}
