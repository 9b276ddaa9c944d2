//! Services that hang, or drip: nobody waits for them without end.

use std::io::{self, Read as _};
use std::time::{Duration, Instant};

use dvb_s3::{S3Endpoint, S3Sink, S3SinkConfig, S3Store, S3StoreConfig, TimeLimits};
use dvb_storage::{Source as _, conformance};
use dvb_testkit::netfault::{Options, Proxy};

use crate::world::{LIMITS, Service, location, seaweed};

const BYTES: usize = 24 << 20;

/// A service behind a line that can fail, as an endpoint, and a bucket there with an object.
fn behind(limits: TimeLimits) -> (Proxy, S3Endpoint, String) {
    let service = seaweed();
    let bucket = service.bucket("hangs");
    bucket.put_object("/10.5072/FK2/ABC/x1", &conformance::some_bytes(7, BYTES)).unwrap();
    let port = service.url.rsplit_once(':').unwrap().1.parse().unwrap();
    let proxy = Proxy::start(port, Options::default());
    let through: Service = service.through(&format!("http://127.0.0.1:{}", proxy.port));
    (proxy, S3Endpoint { limits, ..through.endpoint() }, bucket.name())
}

fn hang(proxy: &Proxy) {
    proxy.set(Options { hang: true, ..Options::default() });
}

#[test]
fn whoever_waits_for_a_service_that_hangs_can_be_interrupted() {
    let (proxy, endpoint, bucket) = behind(LIMITS);
    let store = S3Store::new(&S3StoreConfig { endpoint: endpoint.clone(), bucket: bucket.clone() }).unwrap();
    assert_eq!(conformance::interrupted_source(&store, &location("s3://x1", "x1"), || hang(&proxy)), Ok(()));
    proxy.set(Options::default());
    let sink = S3Sink::new(S3SinkConfig::new(endpoint, &bucket, "")).unwrap();
    assert_eq!(conformance::interrupted_sink(&sink, || hang(&proxy)), Ok(()));
}

#[test]
fn a_service_that_drips_is_not_read_without_end() {
    let limits = TimeLimits { idle: Duration::from_secs(2), attempts: 2, ..LIMITS };
    let (proxy, endpoint, bucket) = behind(limits);
    let store = S3Store::new(&S3StoreConfig { endpoint, bucket }).unwrap();
    let mut body = store.open(&location("s3://x1", "x1")).unwrap().body;
    body.read_exact(&mut [0; 1000]).unwrap();
    proxy.set(Options { drip: Some(Duration::from_millis(200)), ..Options::default() });
    let began = Instant::now();
    let read = io::copy(&mut body, &mut io::sink());
    assert!(read.is_err(), "{read:?}");
    assert!(began.elapsed() < Duration::from_secs(90), "{:?}", began.elapsed());
}
