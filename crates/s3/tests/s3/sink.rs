//! What is sent to a destination, with which rights, and what is left alone.

use std::io::Read as _;
use std::thread;
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Evidence, Proved};
use dvb_model::{ObjectKey, RunId};
use dvb_s3::{LockMode, ObjectLock, S3Sink, S3SinkConfig};
use dvb_storage::conformance::{Bytes, End, some_bytes};
use dvb_storage::{Cause, CommitRequest, Demand, Sink as _, SinkError, SinkSession, StageRequest, Staged, Unstaged};
use dvb_testkit::seaweed as weed;

use crate::proxy::{Act, Proxy, refusal};
use crate::world::{Service, seaweed, swift};

pub(crate) fn run(name: &str) -> RunId {
    RunId(format!("20000101T000000Z-{name}"))
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

pub(crate) fn stage(
    session: &mut dyn SinkSession,
    objects: &[(&str, &[u8])],
) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
    let algorithms = session.algorithms().to_vec();
    let request = |(name, bytes): &(&str, &[u8])| StageRequest {
        key: key(name),
        payload: Box::new(Bytes::new(bytes.to_vec(), &algorithms, End::Whole)),
    };
    session.stage(objects.iter().map(request).collect())
}

/// Stages and commits objects in one batch, where all can be staged; nothing that is there is replaced.
pub(crate) fn put(
    session: &mut dyn SinkSession,
    objects: &[(&str, &[u8])],
) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
    let staged = stage(session, objects)?.into_iter().map(Result::unwrap);
    session.commit(staged.map(|staged| CommitRequest { staged, replace: false }).collect())
}

/// A destination behind a proxy.
pub(crate) fn behind(
    service: &Service,
    rule: impl Fn(&crate::proxy::Asked) -> Act + Send + Sync + 'static,
) -> (Proxy, S3SinkConfig, Box<s3::Bucket>) {
    let bucket = service.bucket("sink");
    let proxy = Proxy::before(&service.url, rule);
    let config = service.through(&proxy.url).sink(&bucket.name(), "copies");
    (proxy, config, bucket)
}

#[test]
fn another_client_finds_the_bytes() {
    for service in [seaweed(), swift()] {
        let (proxy, config, bucket) = behind(&service, |_| Act::Forward);
        let sink = S3Sink::new(config).unwrap();
        let mut session = sink.connect(&run("bytes")).unwrap();
        let (small, large) = (some_bytes(1, 1000), some_bytes(2, 11 << 20));
        let proved = put(session.as_mut(), &[("10.5072/A/s", &small), ("10.5072/A/l", &large)]).unwrap();
        for (proved, bytes) in proved.into_iter().zip([&small, &large]) {
            let proved = proved.unwrap();
            assert_eq!(proved.evidence(), Evidence::RemoteHash);
            assert!(
                proved.measured().digest(Algorithm::Sha256).is_some() && proved.measured().size == bytes.len() as u64
            );
        }
        assert_eq!(bucket.get_object("/copies/10.5072/A/s").unwrap().bytes().to_vec(), small);
        assert_eq!(bucket.get_object("/copies/10.5072/A/l").unwrap().bytes().to_vec(), large);
        assert_eq!(proxy.count("PUT", "partNumber="), 3);
        // Nothing is read back where the service has digests; a part and a small object carry theirs.
        assert_eq!(proxy.count("GET", "10.5072"), 0);
        let sent = proxy.seen().into_iter().filter(|it| it.method == "PUT" && it.path.contains("10.5072"));
        for put in sent {
            assert!(put.header("x-amz-checksum-sha256").or(put.header("content-md5")).is_some(), "{put:?}");
        }
    }
}

#[test]
fn requests_of_a_batch_travel_side_by_side() {
    let (proxy, config, _bucket) = behind(&seaweed(), |_| {
        thread::sleep(Duration::from_millis(100));
        Act::Forward
    });
    let sink = S3Sink::new(S3SinkConfig { parallel: 16, ..config }).unwrap();
    let mut session = sink.connect(&run("parallel")).unwrap();
    let names: Vec<String> = (0..32).map(|it| format!("10.5072/A/{it}")).collect();
    let objects: Vec<(&str, &[u8])> = names.iter().map(|it| (it.as_str(), it.as_bytes())).collect();
    let began = Instant::now();
    assert!(put(session.as_mut(), &objects).unwrap().iter().all(Result::is_ok));
    // 32 requests one after another would take 3.2 s.
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(proxy.count("PUT", "10.5072/A"), 32);
    assert_eq!(proxy.count("HEAD", "10.5072/A"), 0, "one round trip each");
}

#[test]
fn copies_are_locked_and_own_objects_are_not() {
    let (proxy, config, _bucket) = behind(&seaweed(), |asked| {
        // SeaweedFS wants a bucket that was made for it: the headers are looked at here.
        let enabled =
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        match asked.header("x-amz-object-lock-mode") {
            _ if asked.path.contains("object-lock") => Act::Answer(200, Vec::new(), enabled.into()),
            Some(_) => refusal(400, "InvalidRequest"),
            None => Act::Forward,
        }
    });
    let lock = ObjectLock { days: 30, mode: LockMode::Compliance };
    let sink = S3Sink::new(S3SinkConfig { object_lock: Some(lock), ..config }).unwrap();
    let mut session = sink.connect(&run("lock")).unwrap();
    let large = some_bytes(1, 600_000);
    let staged = stage(session.as_mut(), &[("10.5072/A/s", b"small"), ("10.5072/A/l", &large)]).unwrap();
    assert!(staged[1].is_err());
    let staged = staged.into_iter().flatten().map(|staged| CommitRequest { staged, replace: false }).collect();
    assert!(session.commit(staged).unwrap()[0].is_err());
    assert!(put(session.as_mut(), &[(".dataverse-backup/x", b"own")]).unwrap()[0].is_ok());
    let locked: Vec<_> = proxy.seen().into_iter().filter(|it| it.header("x-amz-object-lock-mode").is_some()).collect();
    let names: Vec<_> = locked.iter().map(|it| it.path.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(names, ["l?uploads=", "s"]);
    for asked in locked {
        assert_eq!(asked.header("x-amz-object-lock-mode"), Some("COMPLIANCE"));
        let until = asked.header("x-amz-object-lock-retain-until-date").unwrap();
        assert!(until.ends_with('Z') && until.len() == 20, "{until}");
        assert!(asked.header("x-amz-checksum-sha256").is_some() || asked.header("x-amz-checksum-algorithm").is_some());
    }
}

#[test]
fn who_may_not_remove_can_still_back_up() {
    let (_proxy, config, bucket) =
        behind(&seaweed(), |asked| if asked.method == "DELETE" { refusal(403, "AccessDenied") } else { Act::Forward });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("undeletable")).unwrap();
    let large = some_bytes(1, 600_000);
    assert!(put(session.as_mut(), &[("a", b"small"), ("b", &large)]).unwrap().iter().all(Result::is_ok));
    session.rename(&key("a"), &key("c")).unwrap();
    assert_eq!(bucket.get_object("/copies/c").unwrap().bytes().to_vec(), b"small");
    assert!(sink.notes().iter().any(|it| it.contains("may not be removed")), "{:?}", sink.notes());
    let staged = stage(session.as_mut(), &[("d", &large)]).unwrap().remove(0).unwrap();
    session.discard(vec![staged]).unwrap();
    assert!(sink.notes().iter().any(|it| it.contains("s3:AbortMultipartUpload")), "{:?}", sink.notes());
    let error = session.remove_own(&ObjectKey::own("x").unwrap()).unwrap_err();
    assert_eq!(error.cause, Cause::Forbidden);
}

#[test]
fn who_may_not_list_can_still_back_up() {
    let (_proxy, config, _bucket) = behind(&seaweed(), |asked| match asked.method.as_str() {
        "GET" if asked.path.contains("list-type=") || asked.path.contains("uploads=") => refusal(403, "AccessDenied"),
        // What AWS answers for a key that is free, to an account without s3:ListBucket.
        "HEAD" => Act::Change(":status", "404 -> 403"),
        _ => Act::Forward,
    });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("unlisted")).unwrap();
    let large = some_bytes(1, 600_000);
    assert!(put(session.as_mut(), &[("a", b"small"), ("b", &large)]).unwrap().iter().all(Result::is_ok));
    for bytes in [&b"small"[..], &large] {
        let again = put(session.as_mut(), &[("b", bytes)]).unwrap().remove(0);
        assert!(matches!(&again, Err(Unstaged::Sink(it)) if it.cause == Cause::Exists), "{again:?}");
    }
    let error = session.sweep(&|_| true).unwrap_err();
    assert!(
        error.cause == Cause::Forbidden && error.chain().contains("AbortIncompleteMultipartUpload"),
        "{}",
        error.chain()
    );
}

#[test]
fn who_may_only_read_can_still_verify() {
    let service = seaweed();
    let bucket = service.bucket("reader");
    bucket.put_object("/copies/a", b"bytes").unwrap();
    let reader = Service { access: weed::shared().reader.into(), ..service };
    let sink = S3Sink::new(reader.sink(&bucket.name(), "copies")).unwrap();
    let mut session = sink.connect(&run("reader")).unwrap();
    let measured = session.measure(&[key("a")], &[Algorithm::Md5]).unwrap().remove(0).unwrap();
    assert_eq!(measured.digests.len(), 2);
    let refused = stage(session.as_mut(), &[("b", b"x")]).unwrap().remove(0);
    assert!(matches!(&refused, Err(Unstaged::Sink(it)) if it.cause == Cause::Forbidden), "{refused:?}");
}

#[test]
fn uploads_of_others_are_left_alone() {
    for service in [seaweed(), swift()] {
        let bucket = service.bucket("others");
        let theirs = bucket.initiate_multipart_upload("copies/theirs", "text/plain").unwrap();
        let sink = S3Sink::new(service.sink(&bucket.name(), "copies")).unwrap();
        let large = some_bytes(1, 600_000);
        let mut dead = sink.connect(&run("dead")).unwrap();
        let staged = stage(dead.as_mut(), &[("mine", &large), ("mine too", &large)]).unwrap();
        assert!(staged.iter().all(Result::is_ok));
        drop(dead);
        let mut session = sink.connect(&run("alive")).unwrap();
        assert_eq!(session.sweep(&|it| *it == run("other")).unwrap(), 0);
        assert_eq!(session.sweep(&|it| *it == run("dead")).unwrap(), 2);
        // rust-s3 cannot read Swift's list of uploads: that theirs still takes parts is as good.
        let part = bucket.put_multipart_chunk(b"part", "copies/theirs", 1, &theirs.upload_id, "text/plain");
        let done = bucket.complete_multipart_upload("copies/theirs", &theirs.upload_id, vec![part.unwrap()]).unwrap();
        assert_eq!(done.status_code(), 200);
        let own = bucket.list("copies/.dataverse-backup/uploads/".into(), None).unwrap();
        assert!(own.iter().all(|it| it.contents.is_empty()), "journals of dead runs go with them");
    }
}

#[test]
fn the_evidence_that_is_demanded_is_given() {
    let (proxy, config, _bucket) = behind(&swift(), |_| Act::Forward);
    let sink = S3Sink::new(S3SinkConfig { demand: Demand::ReadBack, ..config }).unwrap();
    let mut session = sink.connect(&run("evidence")).unwrap();
    let proved = put(session.as_mut(), &[("a", b"bytes")]).unwrap().remove(0).unwrap();
    assert_eq!(proved.evidence(), Evidence::ReadBack);
    assert_eq!(proxy.count("GET", "/copies/a"), 1);
    let mut read = Vec::new();
    session.open(&key("a")).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, b"bytes");
    assert!(matches!(session.open(&key("none")).map(|_| ()), Err(it) if it.cause == Cause::Missing));
    // A service that keeps no digest: no checksums, and ETags that are none.
    let hide = |asked: &crate::proxy::Asked| match asked.method.as_str() {
        "HEAD" => Act::Change("etag", "\"0123456789abcdef0123456789abcdef\""),
        _ => Act::Forward,
    };
    let (_proxy, config, _bucket) = behind(&swift(), hide);
    let error = S3Sink::new(S3SinkConfig { demand: Demand::RemoteHash, ..config.clone() });
    let error = error.unwrap().connect(&run("none")).map(|_| ()).unwrap_err();
    assert!(error.cause == Cause::Misconfigured && error.chain().contains("read-back"), "{}", error.chain());
    let session = S3Sink::new(config).unwrap().connect(&run("auto")).unwrap();
    assert_eq!(session.evidence(), Evidence::ReadBack);
}

#[test]
fn a_destination_that_cannot_be_used_says_why() {
    let service = seaweed();
    let bucket = service.bucket("unusable");
    let why = |service: &Service, bucket: &str| {
        let sink = S3Sink::new(service.sink(bucket, "")).unwrap();
        let error = sink.connect(&run("unusable")).map(|_| ()).unwrap_err();
        (error.cause, error.chain())
    };
    // SeaweedFS makes a bucket of every name that is written to.
    let (cause, text) = why(&swift(), "there-is-none");
    assert!(cause == Cause::Misconfigured && text.contains("the bucket does not exist"), "{text}");
    let (cause, text) = why(&service.through("http://127.0.0.1:1"), &bucket.name());
    assert_eq!(cause, Cause::Unavailable, "{text}");
    let (cause, text) = why(&Service { secret: "wrong".into(), ..service.clone() }, &bucket.name());
    assert!(cause == Cause::Forbidden && text.contains("secret is wrong"), "{text}");
    assert!(S3Sink::new(service.through("ftp://x").sink("b", "")).is_err());
}

#[test]
fn a_lock_holds_where_the_bucket_has_locks() {
    let service = seaweed();
    let bucket = service.lockable_bucket("locked");
    let lock = ObjectLock { days: 1, mode: LockMode::Governance };
    let config = S3SinkConfig { object_lock: Some(lock), ..service.sink(&bucket.name(), "copies") };
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("held")).unwrap();
    let large = some_bytes(1, 6 << 20);
    assert!(put(session.as_mut(), &[("s", b"small"), ("l", &large)]).unwrap().iter().all(Result::is_ok));
    for name in ["/copies/s", "/copies/l"] {
        let (head, _) = bucket.head_object(name).unwrap();
        let metadata = format!("{head:?}");
        assert!(metadata.contains("GOVERNANCE"), "{metadata}");
    }
}

#[test]
fn a_lock_that_the_bucket_would_not_hold_is_refused() {
    for service in [seaweed(), swift()] {
        let bucket = service.bucket("lockless");
        let lock = ObjectLock { days: 1, mode: LockMode::Governance };
        let config = S3SinkConfig { object_lock: Some(lock), ..service.sink(&bucket.name(), "copies") };
        let mut session = S3Sink::new(config).unwrap().connect(&run("lockless")).unwrap();
        let staged = stage(session.as_mut(), &[("s", b"small")]).unwrap();
        let why = format!("{}", staged[0].as_ref().unwrap_err());
        assert!(why.contains("has no object lock"), "{why}");
        assert_eq!(bucket.head_object("/copies/s").map_or(404, |it| it.1), 404);
    }
}

#[test]
fn long_lists_are_read_to_their_end() {
    let xml = |text: String| Act::Answer(200, vec![("content-type", "application/xml".into())], text.into_bytes());
    let journal = |n| format!("copies/.dataverse-backup/uploads/{}/{n}", run("dead"));
    let upload = |n| format!("<Upload><Key>copies/a&amp;{n}</Key><UploadId>id{n}</UploadId></Upload>");
    let (proxy, config, _bucket) = behind(&seaweed(), move |asked| {
        let is_second = asked.path.contains("marker=") || asked.path.contains("continuation-token=");
        let n = if is_second { 2 } else { 1 };
        let more = format!("<IsTruncated>{}</IsTruncated>", !is_second);
        match asked.method.as_str() {
            "GET" if asked.path.contains("uploads=") => xml(format!(
                "<R>{more}<NextKeyMarker>copies/a&amp;1</NextKeyMarker><NextUploadIdMarker>id1</NextUploadIdMarker>{}</R>",
                upload(n)
            )),
            "GET" if asked.path.contains("list-type=2") => xml(format!(
                "<R>{more}<NextContinuationToken>a+/=</NextContinuationToken><Contents><Key>{}</Key></Contents></R>",
                journal(n)
            )),
            "GET" => xml(format!("[\"copies/a&{}\"]", asked.path.rsplit('/').next().unwrap())),
            "DELETE" => Act::Answer(204, Vec::new(), Vec::new()),
            _ => Act::Forward,
        }
    });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("paging")).unwrap();
    assert_eq!(session.sweep(&|it| *it == run("dead")).unwrap(), 2);
    assert_eq!(proxy.count("GET", "key-marker=copies%2Fa%261&upload-id-marker=id1"), 1);
    assert_eq!(proxy.count("GET", "continuation-token=a%2B%2F%3D"), 1);
    assert_eq!(proxy.count("DELETE", "copies/a%261?uploadId=id1"), 1);
    assert_eq!(proxy.count("DELETE", "copies/a%262?uploadId=id2"), 1);
    assert_eq!(proxy.count("DELETE", "/uploads/"), 2);
}
