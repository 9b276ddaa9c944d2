//! The SeaweedFS that tests start.
#![allow(clippy::unwrap_used)]

use dvb_testkit::{http, seaweed};

#[test]
fn it_speaks_s3_and_knows_who_asks() {
    let server = seaweed::shared();
    let port = server.url.rsplit(':').next().unwrap().parse().unwrap();
    let answer = http::request(port, "GET", "/no-such-bucket/x", &[], b"");
    assert_eq!(answer.status, 403, "{}", String::from_utf8_lossy(&answer.body));
    assert!(String::from_utf8_lossy(&answer.body).contains("AccessDenied"));
}
