//! Servers that hang, or drip: nobody waits for them without end.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use dvb_model::ObjectName;
use dvb_storage::conformance::{self, some_bytes};
use dvb_storage::{Location, ObjectAddress, Source as _};
use dvb_swift::{SwiftAccount, SwiftStore, SwiftStoreConfig, TimeLimits};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::swift;

use crate::source::at;
use crate::{QUICK, sink, tempauth};

const BYTES: usize = 24 << 20;

/// An account behind a line that can fail, and an object there.
fn behind(limits: TimeLimits) -> (Proxy, SwiftAccount, String) {
    let server = swift::shared();
    let container = swift::container("hangs");
    server.make_container(&container);
    server.put(&container, "x1", &some_bytes(7, BYTES));
    let account = tempauth(server);
    let port: u16 = account.auth_url.split(['/', ':']).find_map(|it| it.parse().ok()).unwrap();
    let proxy = Proxy::start(port, Options::default());
    let auth_url = account.auth_url.replace(&format!(":{port}"), &format!(":{}", proxy.port));
    (proxy, SwiftAccount { auth_url, limits, ..account }, container)
}

fn store(account: SwiftAccount) -> SwiftStore {
    SwiftStore::new(SwiftStoreConfig {
        default_endpoint: Some("main".into()),
        endpoints: BTreeMap::from([("main".to_owned(), account)]),
    })
}

fn object(container: &str) -> Location {
    at(&format!("swift://main:{container}:x1"), ObjectAddress::Main(ObjectName::new("x1").unwrap()))
}

fn hang(proxy: &Proxy) {
    proxy.set(Options { hang: true, ..Options::default() });
}

#[test]
fn whoever_waits_for_a_server_that_hangs_can_be_interrupted() {
    let (proxy, account, container) = behind(QUICK);
    let found = conformance::interrupted_source(&store(account.clone()), &object(&container), || hang(&proxy));
    assert_eq!(found, Ok(()));
    proxy.set(Options::default());
    assert_eq!(conformance::interrupted_sink(&sink(account, &container), || hang(&proxy)), Ok(()));
}

#[test]
fn a_server_that_drips_is_not_read_without_end() {
    let (proxy, account, container) = behind(TimeLimits { idle: Duration::from_secs(2), ..QUICK });
    let mut body = store(account).open(&object(&container)).unwrap().body;
    body.read_exact(&mut [0; 1000]).unwrap();
    proxy.set(Options { drip: Some(Duration::from_millis(200)), ..Options::default() });
    let began = Instant::now();
    let read = io::copy(&mut body, &mut io::sink());
    assert!(read.is_err(), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}
