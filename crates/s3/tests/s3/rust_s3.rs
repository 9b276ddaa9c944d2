//! Why the requests are not made by rust-s3's own client. When one of these fails after an update, look again.

use dvb_s3::S3Store;
use dvb_storage::Source as _;

use crate::proxy::{Act, Proxy};
use crate::world::{Service, location};

fn service(proxy: &Proxy) -> Service {
    Service { url: proxy.url.clone(), access: "a".into(), secret: "b".into() }
}

#[test]
fn it_opens_a_connection_for_each_request() {
    let answer = Act::Answer(200, vec![("etag", "\"e\"".into()), ("content-length", "7".into())], Vec::new());
    let proxy = Proxy::scripted(vec![answer.clone()]);
    let bucket = service(&proxy).again("bucket");
    for _ in 0..10 {
        bucket.head_object("/x").unwrap();
    }
    assert_eq!(proxy.connections(), 10);
    let proxy = Proxy::scripted(vec![answer]);
    let store = S3Store::new(&service(&proxy).store("bucket")).unwrap();
    for _ in 0..10 {
        assert_eq!(store.size(&location("s3://x1", "x1")).unwrap(), Some(7));
    }
    assert_eq!(proxy.connections(), 1, "ours keeps its connections");
}

#[test]
fn it_takes_a_download_that_broke_off_for_a_whole_one() {
    let short = Act::Answer(200, vec![("etag", "\"e\"".into()), ("content-length", "10".into())], vec![7; 4]);
    let proxy = Proxy::scripted(vec![short]);
    let mut read = Vec::new();
    let status = service(&proxy).again("bucket").get_object_to_writer("/x", &mut read).unwrap();
    assert_eq!((status, read.len(), proxy.seen().len()), (200, 4, 1));
}

#[test]
fn it_does_not_wait_as_long_as_it_is_asked_to() {
    let busy = Act::Answer(503, vec![("retry-after", "1".into())], Vec::new());
    let proxy = Proxy::scripted(vec![busy]);
    // Without its feature `fail-on-err`, a refusal is an answer like any other, and nothing is tried again.
    let (_, status) = service(&proxy).again("bucket").head_object("/x").unwrap();
    assert_eq!((status, proxy.seen().len()), (503, 1));
}
