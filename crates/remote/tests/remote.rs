//! Against a small web server of its own: what it keeps of the promises of a source, and what becomes of servers that
//! break off, lie, or lead astray.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod server;

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dvb_model::{ObjectName, StorageIdentifier, StoragePid};
use dvb_remote::{Layout, RemoteConfig, RemoteStore, Signing, TimeLimits};
use dvb_storage::conformance::{self, some_bytes};
use dvb_storage::{Cause, Location, ObjectAddress, Source as _};

use dvb_testkit::netfault::{Options, Proxy};

use crate::server::{Reply, Server};

const QUICK: TimeLimits = TimeLimits {
    connect: Duration::from_secs(5),
    idle: Duration::from_millis(600),
    attempts: 3,
    first_pause: Duration::from_millis(5),
    longest_pause: Duration::from_secs(2),
};

fn config(base_url: String) -> RemoteConfig {
    RemoteConfig { base_url, layout: Layout::Remote, signing: None, limits: QUICK }
}

fn store(server: &Server) -> RemoteStore {
    RemoteStore::new(&config(server.url("/pub/d"))).unwrap()
}

fn location(rest: &str) -> Location {
    let identifier = StorageIdentifier::parse(Some(&format!("trsa://{rest}"))).unwrap();
    let name = rest.split("//").next().unwrap();
    Location {
        storage_pid: StoragePid { authority: "10.5072".into(), identifier: "FK2/ABC".into() },
        identifier: Some(identifier),
        object: ObjectAddress::Main(ObjectName::new(name).unwrap()),
    }
}

fn tagged(rest: &str, tag: &str) -> Location {
    let at = location(rest);
    let ObjectAddress::Main(name) = at.object.clone() else { unreachable!() };
    Location { object: ObjectAddress::Tagged(name, tag.to_owned()), ..at }
}

fn read(store: &RemoteStore, at: &Location) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    store.open(at).unwrap().body.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A whole file, as servers give it out: HEAD, ranges, `If-Range`, an ETag.
fn file(bytes: &[u8]) -> impl Fn(&server::Request) -> Reply + Send + 'static {
    let bytes = bytes.to_vec();
    move |request| Reply::file(request, &bytes, "\"one\"")
}

#[test]
fn a_web_server_keeps_the_promises_of_a_source() {
    let server = Server::start(|request| match request.path.as_str() {
        "/pub/d/a%20b.csv" => Reply::file(request, b"abc", "\"a\""),
        "/pub/d/deep/empty" => Reply::file(request, b"", "\"b\""),
        "/pub/d/get?id=1" => Reply::file(request, &some_bytes(7, 300_000), "\"c\""),
        "/pub/d/moved" => Reply::new(302).header("Location", "deep/empty"),
        _ => Reply::new(404),
    });
    let present = [
        (location("18b3//a b.csv"), b"abc".to_vec()),
        (location("18b3//deep/empty"), Vec::new()),
        (location("18b3//other//get?id=1"), some_bytes(7, 300_000)),
        (location("18b3//moved"), Vec::new()),
    ];
    let absent = [location("18b3//none"), location("none"), tagged("18b3//a b.csv", "orig")];
    let refused = [location("18b3//../secret"), location("18b3//a/%2e%2e/%2e%2e/secret"), location("18b3//..%2fx")];
    let store = store(&server);
    assert_eq!(conformance::source(&store, &present, &absent, &refused), Ok(()));
    assert_eq!(store.members(&location("18b3//a b.csv")).unwrap(), None);
    let dataset = Location { object: ObjectAddress::DatasetLevel(ObjectName::new("logo").unwrap()), ..location("x") };
    assert_eq!(store.size(&dataset).unwrap(), None);
    assert!(server.paths().iter().all(|it| it.starts_with("/pub/d/")), "{:?}", server.paths());
}

#[test]
fn a_globus_store_finds_what_dataverse_manages_by_its_pid() {
    let server = Server::start(|request| match request.path.as_str() {
        "/pub/d/10.5072/FK2/ABC/18b3" => Reply::file(request, b"managed", "\"a\""),
        "/pub/d/x/y" => Reply::file(request, b"referred to", "\"b\""),
        _ => Reply::new(404),
    });
    let config = RemoteConfig { layout: Layout::Globus, ..config(server.url("/pub/d/")) };
    let store = RemoteStore::new(&config).unwrap();
    assert_eq!(read(&store, &location("18b3")).unwrap(), b"managed");
    assert_eq!(read(&store, &location("18b3//x/y")).unwrap(), b"referred to");
}

#[test]
fn a_redirect_out_of_the_store_is_refused_and_not_followed() {
    let elsewhere = Server::start(file(b"not this"));
    for target in
        [elsewhere.url("/pub/d/x"), "/pub/other".to_owned(), "../../x".to_owned(), "file:///etc/passwd".to_owned()]
    {
        let location_header = target.clone();
        let server = Server::start(move |_| Reply::new(307).header("Location", &location_header));
        let error = store(&server).open(&location("1//x")).err().unwrap();
        assert_eq!(error.cause, Cause::Refused, "{target}: {}", error.chain());
        assert_eq!(store(&server).size(&location("1//x")).unwrap_err().cause, Cause::Refused, "{target}");
        assert!(server.paths().iter().all(|it| it == "/pub/d/x"));
    }
    assert!(elsewhere.paths().is_empty());
    let circle = Server::start(|_| Reply::new(302).header("Location", "/pub/d/x"));
    assert_eq!(store(&circle).open(&location("1//x")).err().unwrap().cause, Cause::Io);
    assert_eq!(circle.paths().len(), 6);
}

#[test]
fn statuses_are_told_apart() {
    for (status, cause, asked) in [
        (404, Cause::Missing, 1),
        (410, Cause::Missing, 1),
        (401, Cause::Forbidden, 1),
        (403, Cause::Forbidden, 1),
        (400, Cause::Io, 1),
        (204, Cause::Io, 1),
        (206, Cause::Io, 1),
        (408, Cause::Transient, 3),
        (429, Cause::Transient, 3),
        (500, Cause::Transient, 3),
        (503, Cause::Transient, 3),
    ] {
        let server = Server::start(move |_| Reply::new(status));
        let error = store(&server).open(&location("1//x")).err().unwrap();
        assert_eq!((error.cause, server.paths().len()), (cause, asked), "{status}: {}", error.chain());
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let server = Server::start(move |request| match request.nth {
        0 => Reply::new(503).header("Retry-After", "1"),
        1 => Reply::new(429),
        _ => Reply::file(request, b"abc", "\"a\""),
    });
    let begun = Instant::now();
    assert_eq!(read(&store(&server), &location("1//x")).unwrap(), b"abc");
    assert!(begun.elapsed() >= Duration::from_secs(1) && server.paths().len() == 3);

    let server = Server::start(move |_| Reply::new(503).header("Retry-After", "3600"));
    assert_eq!(store(&server).open(&location("1//x")).err().unwrap().cause, Cause::Transient);
    assert_eq!(server.paths().len(), 1, "not asked before the time");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let server = Server::start(|_| Reply::new(200).silent());
    let begun = Instant::now();
    let error = store(&server).open(&location("1//x")).err().unwrap();
    assert_eq!(error.cause, Cause::Transient, "{}", error.chain());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // In mid-body as well.
    let server = Server::start(|_| Reply::new(200).body(&[1; 1000]).length(2000).stalled());
    let error = read(&store(&server), &location("1//x")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
}

#[test]
fn nobody_there_is_transient_and_a_failed_check() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let store = RemoteStore::new(&config(format!("http://127.0.0.1:{port}/d"))).unwrap();
    assert_eq!(store.open(&location("1//x")).err().unwrap().cause, Cause::Transient);
    assert_eq!(store.check().unwrap_err().cause, Cause::Unavailable);
    let broken = Server::start(|_| Reply::new(500));
    assert_eq!(self::store(&broken).check().unwrap_err().cause, Cause::Unavailable);
    let closed = Server::start(|_| Reply::new(403));
    assert!(self::store(&closed).check().is_ok(), "a listing may be forbidden");
}

#[test]
fn a_body_that_ends_early_is_an_error() {
    let server = Server::start(|_| Reply::new(200).body(&[1; 1000]).length(2000));
    let error = read(&store(&server), &location("1//x")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    // One that can tell its versions apart is asked to go on, but not for ever.
    let server = Server::start(|request| {
        let reply = Reply::new(if request.range.is_some() { 206 } else { 200 }).header("ETag", "\"a\"");
        match request.range {
            Some((at, _)) => reply.header("Content-Range", &format!("bytes {at}-1999/2000")).length(2000 - at),
            None => reply.body(&[1; 1000]).length(2000),
        }
    });
    let error = read(&store(&server), &location("1//x")).unwrap_err();
    assert_eq!((error.kind(), server.paths().len()), (std::io::ErrorKind::UnexpectedEof, 3), "{error}");
    // A byte at a time is no way to get on.
    let server = Server::start(|request| Reply::file(request, &[1; 100_000], "\"a\"").cut(1));
    let error = read(&store(&server), &location("1//x")).unwrap_err();
    assert_eq!((error.kind(), server.paths().len()), (std::io::ErrorKind::UnexpectedEof, 3), "{error}");
}

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let bytes = some_bytes(3, 5 << 20);
    let content = bytes.clone();
    let server = Server::start(move |request| match request.nth {
        0..4 => Reply::file(request, &content, "\"one\"").cut(1_200_000),
        _ => Reply::file(request, &content, "\"one\""),
    });
    assert_eq!(read(&store(&server), &location("1//x")).unwrap(), bytes);
    let ranges = server.ranges();
    assert_eq!(ranges.len(), 5);
    assert!(ranges.windows(2).all(|it| it[0] < it[1]) && ranges[0].is_none(), "{ranges:?}");
}

#[test]
fn without_ranges_what_is_there_is_read_over() {
    let bytes = some_bytes(4, 1 << 20);
    let content = bytes.clone();
    let server = Server::start(move |request| {
        let whole = Reply::new(200).header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT").body(&content);
        if request.nth == 0 { whole.cut(300_000) } else { whole }
    });
    assert_eq!(read(&store(&server), &location("1//x")).unwrap(), bytes);
    assert_eq!(server.paths().len(), 2);
}

#[test]
fn a_file_that_was_changed_is_never_joined_to_what_was_read() {
    let (old, new) = (some_bytes(5, 1 << 20), some_bytes(6, 1 << 20));
    for lies in [false, true] {
        let (old, new) = (old.clone(), new.clone());
        let server = Server::start(move |request| match (request.nth, lies, request.range) {
            (0, ..) => Reply::file(request, &old, "\"one\"").cut(300_000),
            // A server that ignores If-Range.
            (_, true, Some((at, _))) => {
                let rest = &new[usize::try_from(at).unwrap()..];
                Reply::new(206)
                    .header("ETag", "\"two\"")
                    .header("Content-Range", &format!("bytes {at}-{}/{}", new.len() - 1, new.len()))
                    .body(rest)
            }
            _ => Reply::file(request, &new, "\"two\""),
        });
        let error = read(&store(&server), &location("1//x")).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StaleNetworkFileHandle, "{error}");
    }
    // A range from another place than was asked for.
    let server = Server::start(move |request| match request.range {
        None => Reply::file(request, &old, "\"one\"").cut(300_000),
        Some(_) => {
            Reply::new(206).header("ETag", "\"one\"").header("Content-Range", "bytes 0-9/1048576").body(&old[..10])
        }
    });
    let error = read(&store(&server), &location("1//x")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StaleNetworkFileHandle, "{error}");
}

#[test]
fn the_size_is_told_whatever_the_server_can() {
    let bytes = some_bytes(8, 70_000);
    let of = |answer: fn(&server::Request, &[u8]) -> Reply, bytes: &[u8]| {
        let content = bytes.to_vec();
        let server = Server::start(move |request| answer(request, &content));
        store(&server).size(&location("1//x")).map_err(|it| it.cause)
    };
    for bytes in [bytes.as_slice(), b""] {
        let size = Ok(Some(bytes.len() as u64));
        assert_eq!(of(|request, it| Reply::file(request, it, "\"a\""), bytes), size);
        for status in [403, 404, 405, 501] {
            let server = Server::start({
                let content = bytes.to_vec();
                move |request| {
                    if request.method == "HEAD" { Reply::new(status) } else { Reply::file(request, &content, "\"a\"") }
                }
            });
            assert_eq!(store(&server).size(&location("1//x")).unwrap(), Some(bytes.len() as u64), "HEAD {status}");
        }
        // No HEAD, no ranges; no length either.
        assert_eq!(
            of(|it, bytes| if it.method == "HEAD" { Reply::new(405) } else { Reply::new(200).body(bytes) }, bytes),
            size
        );
        assert_eq!(
            of(
                |it, bytes| if it.method == "HEAD" { Reply::new(405) } else { Reply::new(200).body(bytes).chunked() },
                bytes
            ),
            size
        );
    }
    assert_eq!(of(|_, _| Reply::new(403), b""), Err(Cause::Forbidden));
    assert_eq!(of(|_, _| Reply::new(502), b""), Err(Cause::Transient));
}

#[test]
fn a_file_without_a_length_is_read_whole() {
    let bytes = some_bytes(9, 200_000);
    let content = bytes.clone();
    let server = Server::start(move |_| Reply::new(200).body(&content).chunked());
    let mut object = store(&server).open(&location("1//x")).unwrap();
    let mut read = Vec::new();
    object.body.read_to_end(&mut read).unwrap();
    assert!(object.size == 200_000 && read == bytes);
}

#[test]
fn a_server_that_encodes_the_file_is_not_believed() {
    let server = Server::start(|_| Reply::new(200).header("Content-Encoding", "gzip").body(b"xyz"));
    assert_eq!(store(&server).open(&location("1//x")).err().unwrap().cause, Cause::Io);
    assert!(server.requests().iter().all(|it| it.accept_encoding == "identity"));
}

#[test]
fn addresses_are_signed_as_dataverse_checks_them() {
    const KEY: &str = "a secret";
    let server = Server::start(|request| {
        // `UrlSignerUtil.isValidUrl`: the digest of all up to "token=" and the key.
        let host = request.host.clone();
        let (to_prove, token) =
            request.path.split_once("&token=").map(|(url, it)| (format!("http://{host}{url}&token="), it)).unwrap();
        let proved = server::sha512(&format!("{to_prove}{KEY}"));
        let is_good = token == proved && to_prove.contains("?until=2026-01-02T04:04:05.006&method=GET&");
        match (is_good, request.path.starts_with("/pub/d/moved?")) {
            (false, _) => Reply::new(403),
            // With the query, as servers do.
            (true, true) => Reply::new(302).header("Location", &request.path.replacen("moved", "x", 1)),
            (true, false) => Reply::file(request, b"signed", "\"a\"").cut(if request.nth == 0 { 3 } else { 6 }),
        }
    });
    let clock = Arc::new(|| "2026-01-02T03:04:05.006".parse().unwrap());
    let signing = Some(Signing { key: KEY.to_owned(), clock });
    let signed = RemoteStore::new(&RemoteConfig { signing, ..config(server.url("/pub/d")) }).unwrap();
    assert_eq!(read(&signed, &location("1//x")).unwrap(), b"signed");
    assert_eq!(read(&signed, &location("1//moved")).unwrap(), b"signed");
    assert_eq!(signed.size(&location("1//x")).unwrap(), Some(6));
    assert!(server.requests().iter().all(|it| it.method == "GET"), "a signature is good for GET alone");
    let error = RemoteStore::new(&RemoteConfig {
        signing: Some(Signing { key: "wrong".into(), clock: Arc::new(|| "2026-01-02T03:04:05.006".parse().unwrap()) }),
        ..config(server.url("/pub/d"))
    })
    .unwrap()
    .open(&location("1//x"))
    .err()
    .unwrap();
    let text = error.chain();
    assert!(error.cause == Cause::Forbidden && !text.contains("token") && !text.contains("wrong"), "{text}");
}

#[test]
fn a_server_that_nobody_vouches_for_is_not_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = server::Tls::start(folder.path());
    let store = RemoteStore::new(&config(format!("https://localhost:{}/d", server.port))).unwrap();
    let begun = Instant::now();
    let error = store.open(&location("1//x")).err().unwrap();
    assert_eq!(error.cause, Cause::Misconfigured, "{}", error.chain());
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    assert_eq!(store.check().unwrap_err().cause, Cause::Misconfigured);
    assert!(begun.elapsed() < Duration::from_secs(5), "no further try can help");
}

/// A server with a large file behind a line that can fail.
fn behind_a_line(idle: Duration) -> (Server, Proxy, RemoteStore, Location) {
    let bytes = some_bytes(7, 24 << 20);
    let server = Server::start(move |request| Reply::file(request, &bytes, "\"one\""));
    let url = server.url("/pub/d");
    let port = url.split(['/', ':']).find_map(|it| it.parse().ok()).unwrap();
    let proxy = Proxy::start(port, Options::default());
    let base = url.replace(&format!(":{port}"), &format!(":{}", proxy.port));
    let config = RemoteConfig { limits: TimeLimits { idle, ..QUICK }, ..config(base) };
    (server, proxy, RemoteStore::new(&config).unwrap(), location("18b3//large"))
}

#[test]
fn whoever_waits_for_a_server_that_hangs_can_be_interrupted() {
    let (_server, proxy, store, at) = behind_a_line(Duration::from_secs(60));
    let hang = || proxy.set(Options { hang: true, ..Options::default() });
    assert_eq!(conformance::interrupted_source(&store, &at, hang), Ok(()));
}

#[test]
fn a_server_that_drips_is_not_read_without_end() {
    let (_server, proxy, store, at) = behind_a_line(Duration::from_secs(2));
    let mut body = store.open(&at).unwrap().body;
    body.read_exact(&mut [0; 1000]).unwrap();
    proxy.set(Options { drip: Some(Duration::from_millis(200)), ..Options::default() });
    let began = Instant::now();
    let read = std::io::copy(&mut body, &mut std::io::sink());
    assert!(read.is_err(), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}
