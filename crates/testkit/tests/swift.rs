//! The Swift and the Keystone of the tests do what the tests rely on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use dvb_testkit::{http, keystone, swift};

/// An S3 request that is not signed is enough to see that the S3 interface is there: it refuses in XML.
fn speaks_s3(server: &swift::Server) -> bool {
    let headers = [("Authorization", "AWS someone:wrong"), ("Date", "Thu, 01 Jan 2026 00:00:00 GMT")];
    let answer = http::request(server.port(), "GET", "/bucket", &headers, b"");
    answer.status == 403 && String::from_utf8_lossy(&answer.body).contains("<Error>")
}

#[test]
fn tempauth_gives_tokens_that_can_all_expire_at_once() {
    let server = swift::shared();
    let (storage, token) = server.login();
    let path = storage.strip_prefix(&server.url).unwrap();
    let ask = || http::request(server.port(), "GET", path, &[("X-Auth-Token", &token)], b"").status;
    assert!(ask() < 300);
    server.expire_tokens();
    assert_eq!(ask(), 401);
    assert!(speaks_s3(server));
}

#[test]
fn objects_can_be_put_looked_at_and_removed() {
    let server = swift::shared();
    let container = swift::container("testkit");
    server.make_container(&container);
    server.put(&container, "a b/ü?", b"bytes");
    assert_eq!(server.list(&container), ["a b/ü?"]);
    assert_eq!(server.get(&container, "a b/ü?").unwrap(), b"bytes");
    server.delete(&container, "a b/ü?");
    assert_eq!(server.get(&container, "a b/ü?"), None);
}

#[test]
fn limits_are_the_chosen_ones() {
    let options = swift::Options { max_file_size: 1000, max_segments: 3, ..Default::default() };
    let server = swift::Server::start_with(options);
    let container = swift::container("small");
    server.make_container(&container);
    let put = |size| server.request("PUT", &format!("{container}/x"), "", &[], &vec![7; size]).status;
    assert_eq!((put(1000), put(1001)), (201, 413));
    let info = http::request(server.port(), "GET", "/info", &[], b"");
    let info: serde_json::Value = serde_json::from_slice(&info.body).unwrap();
    assert_eq!(info["swift"]["max_file_size"], 1000);
    assert_eq!(info["slo"]["max_manifest_segments"], 3);
}

#[test]
fn keystone_opens_its_swift() {
    let server =
        swift::Server::start_with(swift::Options { keystone: Some(keystone::Server::start()), ..Default::default() });
    let container = swift::container("identity");
    server.make_container(&container);
    server.put(&container, "x", b"bytes");
    assert_eq!(server.get(&container, "x").unwrap(), b"bytes");
    assert!(speaks_s3(&server));
}

/// Whether something listens on a port of loopback.
fn listens(port: &u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", *port)).is_ok()
}

/// Also what the next test has a process of its own do.
#[test]
fn all_of_its_servers_listen() {
    let ports = swift::shared().ports();
    assert_eq!(ports.len(), 6, "proxy, with TLS, account, container, object, memcached");
    assert!(ports.iter().all(listens));
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    println!("\nports={}", ports.join(","));
}

#[test]
fn nothing_outlives_the_process() {
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", "--nocapture", "all_of_its_servers_listen"]);
    let output = String::from_utf8(again.output().unwrap().stdout).unwrap();
    let ports = output.lines().find_map(|it| it.strip_prefix("ports=")).unwrap_or_else(|| panic!("{output}"));
    let ports: Vec<u16> = ports.split(',').map(|it| it.parse().unwrap_or_else(|_| panic!("{output}"))).collect();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while ports.iter().any(listens) {
        assert!(std::time::Instant::now() < end, "something outlived the process");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
