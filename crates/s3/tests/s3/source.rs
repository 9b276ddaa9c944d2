//! Reading a store: which bucket, what a refusal means, how a broken download goes on.

use std::io::Read as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dvb_s3::{Credentials, CredentialsError, Keys, S3Endpoint, S3Store, S3StoreConfig};
use dvb_storage::{Cause, Source as _, conformance};
use std::sync::Arc;

use crate::proxy::{Act, Proxy, refusal};
use crate::world::{Service, location, seaweed, swift};

/// A store behind a proxy, with one object of 3 MiB in it.
struct Behind {
    proxy: Proxy,
    store: S3Store,
    bytes: Vec<u8>,
    at: dvb_storage::Location,
}

fn behind(service: &Service, rule: impl Fn(&crate::proxy::Asked) -> Act + Send + Sync + 'static) -> Behind {
    let bucket = service.bucket("behind");
    let bytes = conformance::some_bytes(7, 3 << 20);
    assert_eq!(bucket.put_object("/10.5072/FK2/ABC/x1", &bytes).unwrap().status_code(), 200);
    let proxy = Proxy::before(&service.url, rule);
    let store = S3Store::new(&service.through(&proxy.url).store(&bucket.name())).unwrap();
    Behind { proxy, store, bytes, at: location("s3://x1", "x1") }
}

impl Behind {
    fn read(&self) -> std::io::Result<Vec<u8>> {
        let mut read = Vec::new();
        self.store.open(&self.at).map_err(std::io::Error::other)?.body.read_to_end(&mut read)?;
        Ok(read)
    }
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    for service in [seaweed(), swift()] {
        let cuts = AtomicUsize::new(0);
        let world = behind(&service, move |asked| match cuts.fetch_add(1, Ordering::SeqCst) {
            it @ 0..2 if asked.method == "GET" => Act::CutAnswer([1 << 20, 70_000][it]),
            _ => Act::Forward,
        });
        assert_eq!(world.read().unwrap(), world.bytes);
        let seen = world.proxy.seen();
        let ranges: Vec<_> = seen.iter().map(|it| it.header("range").unwrap_or("all").to_owned()).collect();
        assert_eq!(ranges, ["all".to_owned(), format!("bytes={}-", 1 << 20), format!("bytes={}-", (1 << 20) + 70_000)]);
        assert!(seen[1].header("if-match").is_some());
    }
}

#[test]
fn an_object_that_changed_meanwhile_is_not_patched_together() {
    let service = seaweed();
    let (url, key) = (service.clone(), "/10.5072/FK2/ABC/x1");
    let world = behind(&service, move |asked| {
        if asked.header("range").is_some() {
            let name = asked.path.split('/').nth(1).unwrap();
            url.again(name).put_object(key, &conformance::some_bytes(8, 3 << 20)).unwrap();
            return Act::Forward;
        }
        Act::CutAnswer(100_000)
    });
    let error = world.read().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StaleNetworkFileHandle, "{error}");
}

#[test]
fn a_range_that_is_answered_with_the_whole_is_not_taken() {
    let whole =
        |n: usize| Act::Answer(200, vec![("etag", "\"e\"".into()), ("content-length", "10".into())], vec![7; n]);
    let proxy = Proxy::scripted(vec![whole(4), whole(10)]);
    let store = store_at(&proxy);
    let mut body = store.open(&location("s3://x1", "x1")).unwrap().body;
    let error = body.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StaleNetworkFileHandle);
}

#[test]
fn a_service_that_lies_about_the_length_is_found_out() {
    let short = Act::Answer(200, vec![("etag", "\"e\"".into()), ("content-length", "10".into())], vec![7; 4]);
    let part = Act::Answer(
        206,
        vec![("etag", "\"e\"".into()), ("content-range", "bytes 4-9/10".into()), ("content-length", "6".into())],
        vec![],
    );
    let proxy = Proxy::scripted(vec![short, part]);
    let mut object = store_at(&proxy).open(&location("s3://x1", "x1")).unwrap();
    let mut read = Vec::new();
    let error = object.body.read_to_end(&mut read).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::UnexpectedEof), "{:?} {error}", error.kind());
    assert_eq!(read, vec![7; 4]);
    assert_eq!(proxy.seen().len(), 3, "it gives up after a number of attempts");
}

fn store_at(proxy: &Proxy) -> S3Store {
    let service = Service { url: proxy.url.clone(), access: "a".into(), secret: "b".into() };
    S3Store::new(&service.store("bucket")).unwrap()
}

#[test]
fn each_refusal_has_a_reason_of_its_own() {
    for (act, cause, words) in [
        (refusal(404, "NoSuchKey"), Cause::Missing, "is missing"),
        (refusal(404, "NoSuchBucket"), Cause::Misconfigured, "the bucket does not exist"),
        (refusal(403, "AccessDenied"), Cause::Forbidden, "s3:ListBucket"),
        (refusal(403, "InvalidObjectState"), Cause::Io, "restore it from the storage class first"),
        (refusal(403, "SignatureDoesNotMatch"), Cause::Forbidden, "secret is wrong"),
        (refusal(403, "RequestTimeTooSkewed"), Cause::Forbidden, "clock"),
        (refusal(400, "ExpiredToken"), Cause::Forbidden, "session token has ended"),
        (refusal(503, "SlowDown"), Cause::Transient, "SlowDown"),
        (
            Act::Answer(301, vec![("x-amz-bucket-region", "eu-west-3".into())], Vec::new()),
            Cause::Misconfigured,
            "region eu-west-3",
        ),
    ] {
        let proxy = Proxy::scripted(vec![act]);
        let error = store_at(&proxy).open(&location("s3://x1", "x1")).map(|it| it.size).unwrap_err();
        assert_eq!(error.cause, cause, "{}", error.chain());
        assert!(error.chain().contains(words), "{}", error.chain());
        let attempts = if cause == Cause::Transient { 3 } else { 1 };
        assert_eq!(proxy.seen().len(), attempts, "{}", error.chain());
    }
}

#[test]
fn a_busy_service_is_asked_again_after_the_time_it_wants() {
    let busy = Act::Answer(503, vec![("retry-after", "1".into())], Vec::new());
    let good = Act::Answer(200, vec![("etag", "\"e\"".into())], b"bytes".to_vec());
    let proxy = Proxy::scripted(vec![busy.clone(), busy, good]);
    let began = Instant::now();
    let mut read = Vec::new();
    store_at(&proxy).open(&location("s3://x1", "x1")).unwrap().body.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"bytes");
    assert!(began.elapsed() >= Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_silent_service_is_not_waited_for_without_end() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let service =
        Service { url: format!("http://{}", listener.local_addr().unwrap()), access: "a".into(), secret: "b".into() };
    let mut config = service.store("bucket");
    config.endpoint.limits =
        dvb_s3::TimeLimits { idle: Duration::from_millis(200), attempts: 2, ..config.endpoint.limits };
    let began = Instant::now();
    let error = S3Store::new(&config).unwrap().open(&location("s3://x1", "x1")).map(|it| it.size).unwrap_err();
    assert_eq!(error.cause, Cause::Transient);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn the_configured_bucket_comes_first_and_the_identifiers_second() {
    let service = seaweed();
    let (configured, named) = (service.bucket("configured"), service.bucket("named"));
    let (first, second) = (b"in both: configured".to_vec(), b"only named".to_vec());
    configured.put_object("/10.5072/FK2/ABC/both", &first).unwrap();
    named.put_object("/10.5072/FK2/ABC/both", b"old").unwrap();
    named.put_object("/10.5072/FK2/ABC/old", &second).unwrap();
    let store = S3Store::new(&service.store(&configured.name())).unwrap();
    let at = |name: &str| location(&format!("s3://{}:{name}", named.name()), name);
    let read = |name: &str| {
        let mut read = Vec::new();
        store.open(&at(name)).unwrap().body.read_to_end(&mut read).unwrap();
        read
    };
    assert_eq!(read("both"), first);
    assert!(store.notes().is_empty());
    assert_eq!(read("old"), second);
    assert_eq!(store.size(&at("old")).unwrap(), Some(second.len() as u64));
    let notes = store.notes();
    assert!(notes.len() == 1 && notes[0].contains(&named.name()) && notes[0].contains(&configured.name()), "{notes:?}");
    assert_eq!(store.size(&at("none")).unwrap(), None);
    // The bucket was renamed in the configuration before it was made.
    let store = S3Store::new(&service.store("not-made-yet")).unwrap();
    let mut read = Vec::new();
    store.open(&at("old")).unwrap().body.read_to_end(&mut read).unwrap();
    assert_eq!(read, second);
}

#[test]
fn what_the_second_bucket_cannot_say_now_is_not_missing() {
    let proxy = Proxy::before("http://127.0.0.1:1", |asked| match asked.path.starts_with("/bucket/") {
        true => refusal(404, "NoSuchKey"),
        false => refusal(503, "SlowDown"),
    });
    let (store, at) = (store_at(&proxy), location("s3://named:x1", "x1"));
    let error = store.open(&at).map(|it| it.size).unwrap_err();
    assert_eq!((error.cause, store.size(&at).unwrap_err().cause), (Cause::Transient, Cause::Transient));
    assert!(error.chain().contains("SlowDown"), "{}", error.chain());
}

#[test]
fn without_a_configured_bucket_only_the_identifier_names_one() {
    let service = seaweed();
    let named = service.bucket("named");
    named.put_object("/10.5072/FK2/ABC/x1", b"bytes").unwrap();
    let store = S3Store::new(&service.store("")).unwrap();
    let size = |identifier: &str| store.size(&location(identifier, "x1")).unwrap();
    assert_eq!((size(&format!("s3://{}:x1", named.name())), size("s3://x1")), (Some(5), None));
    let error = store.open(&location("s3://x1", "x1")).map(|it| it.size).unwrap_err();
    assert!(error.cause == Cause::Missing && error.chain().contains("no bucket is known"), "{}", error.chain());
}

#[test]
fn a_store_that_cannot_be_read_is_told_by_check() {
    let service = seaweed();
    let bucket = service.bucket("checked");
    let check = |config: &S3StoreConfig| S3Store::new(config).unwrap().check();
    check(&service.store(&bucket.name())).unwrap();
    let error = check(&service.store("no-such-bucket-at-all")).unwrap_err();
    assert_eq!(error.cause, Cause::Misconfigured);
    let wrong = Service { secret: "wrong".into(), ..service.clone() };
    let error = check(&wrong.store(&bucket.name())).unwrap_err();
    assert!(error.cause == Cause::Misconfigured && error.chain().contains("secret is wrong"), "{}", error.chain());
    let error = check(&service.through("http://127.0.0.1:1").store("x")).unwrap_err();
    assert_eq!(error.cause, Cause::Unavailable);
}

/// An endpoint whose keys come from a provider, which counts how often it was asked.
fn provided(
    url: &str,
    keys: impl Fn(usize) -> Result<Keys, CredentialsError> + Send + Sync + 'static,
) -> S3StoreConfig {
    let asked = AtomicUsize::new(0);
    let provider = move || keys(asked.fetch_add(1, Ordering::SeqCst));
    let service = Service { url: url.into(), access: String::new(), secret: String::new() };
    let endpoint = S3Endpoint { credentials: Credentials::Provider(Arc::new(provider)), ..service.endpoint() };
    S3StoreConfig { endpoint, bucket: "bucket".into() }
}

#[test]
fn keys_that_ended_are_replaced_once() {
    let good = Act::Answer(200, vec![("etag", "\"e\"".into())], b"bytes".to_vec());
    let proxy = Proxy::scripted(vec![refusal(400, "ExpiredToken"), good.clone(), good]);
    let keys = |n| Ok(Keys { token: Some(format!("token-{n}")), ..Keys::lasting("a", "b") });
    let store = S3Store::new(&provided(&proxy.url, keys)).unwrap();
    for _ in 0..2 {
        store.open(&location("s3://x1", "x1")).unwrap();
    }
    let tokens: Vec<_> = proxy.seen().iter().map(|it| it.header("x-amz-security-token").unwrap().to_owned()).collect();
    assert_eq!(tokens, ["token-0", "token-1", "token-1"]);
    // HEAD has no body to say so.
    let sized = Act::Answer(200, vec![("content-length", "5".into())], Vec::new());
    let proxy = Proxy::scripted(vec![Act::Answer(400, Vec::new(), Vec::new()), sized]);
    let store = S3Store::new(&provided(&proxy.url, keys)).unwrap();
    assert_eq!(store.size(&location("s3://x1", "x1")).unwrap(), Some(5));
    let proxy = Proxy::scripted(vec![refusal(400, "ExpiredToken")]);
    let store = S3Store::new(&provided(&proxy.url, keys)).unwrap();
    let error = store.open(&location("s3://x1", "x1")).map(|it| it.size).unwrap_err();
    assert!(error.cause == Cause::Forbidden && proxy.seen().len() == 2, "{}", error.chain());
    let none = |_| Err(CredentialsError::Provider("no role here".into()));
    let store = S3Store::new(&provided(&proxy.url, none)).unwrap();
    let error = store.open(&location("s3://x1", "x1")).map(|it| it.size).unwrap_err();
    assert!(error.chain().contains("no role here"), "{}", error.chain());
}

#[test]
fn a_certificate_is_checked_by_the_authority_that_is_named() {
    let server = dvb_testkit::swift::shared();
    let service = swift();
    let bucket = service.bucket("tls");
    bucket.put_object("/10.5072/FK2/ABC/x1", b"bytes").unwrap();
    let mut config = service.through(&server.tls_url).store(&bucket.name());
    config.endpoint.limits.attempts = 2;
    let read = |config: &S3StoreConfig| {
        let mut read = Vec::new();
        let mut object = S3Store::new(config).unwrap().open(&location("s3://x1", "x1"))?;
        object.body.read_to_end(&mut read).unwrap();
        Ok::<_, dvb_storage::SourceError>(read)
    };
    let error = read(&config).unwrap_err();
    assert!(matches!(error.cause, Cause::Misconfigured), "{}", error.chain());
    config.endpoint.ca = Some(std::fs::read(&server.ca).unwrap());
    assert_eq!(read(&config).unwrap(), b"bytes");
    config.endpoint.ca = Some(b"nothing".to_vec());
    assert!(S3Store::new(&config).is_err());
}
