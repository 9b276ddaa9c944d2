//! The SeaweedFS that tests start.
#![allow(clippy::unwrap_used)]

use dvb_testkit::{http, seaweed};

#[test]
fn it_speaks_s3_and_knows_who_asks() {
    let server = seaweed::shared();
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let answer = http::request(port, "GET", "/no-such-bucket/x", &[], b"");
    assert_eq!(answer.status, 403, "{}", String::from_utf8_lossy(&answer.body));
    server.make_bucket("seen-from-behind");
    server.put("seen-from-behind", "a/b c", b"bytes");
    assert_eq!(server.get("seen-from-behind", "a/b c").as_deref(), Some(&b"bytes"[..]));
    server.delete("seen-from-behind", "a/b c");
    assert_eq!(server.get("seen-from-behind", "a/b c"), None);
    assert!(String::from_utf8_lossy(&answer.body).contains("AccessDenied"));
}
