//! Logging in.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use dvb_storage::{Cause, Sink as _, SinkError};
use dvb_swift::{SwiftAccount, SwiftAuth, TimeLimits};
use dvb_testkit::{keystone, swift};

use crate::conformance::{identity, v3};
use crate::crook::{Crook, Trick};
use crate::{QUICK, connect, get, key, put, run, sink, tempauth};

fn refused(account: SwiftAccount) -> SinkError {
    let answer = sink(account, &swift::container("login")).connect(&run());
    answer.err().expect("the login is refused")
}

/// Logs in, and sees that it is the right place.
fn works(account: SwiftAccount) {
    let mut session = connect(&sink(account, &swift::container("login")));
    put(session.as_mut(), &key("10.5072/a"), b"bytes").unwrap();
    assert_eq!(get(session.as_mut(), &key("10.5072/a")).unwrap(), b"bytes");
}

#[test]
fn a_keystone_may_be_written_in_every_way() {
    let server = identity();
    let base = &server.keystone().url;
    // The second is what the sample of the original has, with SwiftAuthVersion: 3.
    for auth_url in [base.clone(), format!("{base}/v2.0/tokens"), format!("{base}/v3/")] {
        works(SwiftAccount { auth_url, ..v3(server) });
    }
}

#[test]
fn a_keystone_without_version_2_says_what_to_set() {
    let server = identity();
    let keystone = server.keystone();
    let auth = SwiftAuth::V2 { user: "demo".into(), key: "secret".into(), tenant: "demo".into() };
    for auth_url in [keystone.url.clone(), format!("{}/v2.0/tokens", keystone.url)] {
        let error = refused(SwiftAccount { auth_url, auth: auth.clone(), ..v3(server) });
        assert!(
            error.chain().contains("this Keystone has no v2.0 any more: set the login's version: 3"),
            "{}",
            error.chain()
        );
    }
}

/// Keystone lost version 2.0 in 2018; this answers once as its reference has it, with the token of a TempAuth.
fn keystone_of_old(storage: String, token: String) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/swift/v2.0/tokens", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let (mut request, mut buffer) = (String::new(), [0; 4096]);
        while !request.ends_with("}}") {
            let n = client.read(&mut buffer).unwrap();
            request.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        let endpoint = |region: &str, url: &str| serde_json::json!({"region": region, "publicURL": url});
        let services = serde_json::json!([
            {"type": "identity", "endpoints": [endpoint("Two", "http://127.0.0.1:1")]},
            {"type": "object-store", "endpoints": [endpoint("One", "http://127.0.0.1:1"), endpoint("Two", &storage)]},
        ]);
        let body = serde_json::json!({"access": {"token": {"id": token}, "serviceCatalog": services}}).to_string();
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        request
    });
    (url, server)
}

#[test]
fn version_2_sends_what_its_reference_asks_for() {
    let server = swift::shared();
    let (storage, token) = server.login();
    let (auth_url, old) = keystone_of_old(storage, token);
    let auth = SwiftAuth::V2 { user: "me".into(), key: "secret".into(), tenant: "us".into() };
    works(SwiftAccount { auth_url, auth, region: Some("Two".into()), ..tempauth(server) });
    let request = old.join().unwrap();
    assert!(request.starts_with("POST /swift/v2.0/tokens HTTP/1.1"), "{request}");
    let body: serde_json::Value = serde_json::from_str(request.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let credentials = serde_json::json!({"username": "me", "password": "secret"});
    let expected = serde_json::json!({"auth": {"passwordCredentials": credentials, "tenantName": "us"}});
    assert_eq!(body, expected);
}

#[test]
fn a_wrong_password_is_forbidden() {
    let wrong = |auth: &SwiftAuth| match auth {
        SwiftAuth::V1 { user, .. } => SwiftAuth::V1 { user: user.clone(), key: "wrong".into(), tenant: None },
        other => {
            let mut other = other.clone();
            if let SwiftAuth::V3 { key, .. } = &mut other {
                *key = "wrong".into();
            }
            other
        }
    };
    for account in [tempauth(swift::shared()), v3(identity())] {
        let error = refused(SwiftAccount { auth: wrong(&account.auth), ..account });
        assert_eq!(error.cause, Cause::Forbidden, "{}", error.chain());
        assert!(!error.chain().contains("wrong"), "no secret in a message");
    }
}

#[test]
fn several_regions_want_a_choice() {
    let error = refused(SwiftAccount { region: None, ..v3(identity()) });
    assert!(error.chain().contains("set the region"), "{}", error.chain());
    let error = refused(SwiftAccount { region: Some("Mars".into()), ..v3(identity()) });
    assert!(error.chain().contains("no object store in region Mars"), "{}", error.chain());
}

#[test]
fn a_configured_endpoint_comes_first() {
    let server = identity();
    // The catalogue's first region leads nowhere.
    works(SwiftAccount { region: Some("AAA".into()), endpoint: Some(format!("{}/v1", server.url)), ..v3(server) });
    let project = &server.keystone().project_id;
    works(SwiftAccount { region: None, endpoint: Some(format!("{}/v1/AUTH_{project}", server.url)), ..v3(server) });
}

#[test]
fn a_certificate_that_nobody_trusts_is_not_accepted() {
    let server = swift::shared();
    let account = SwiftAccount { auth_url: format!("{}/auth/v1.0", server.tls_url), ..tempauth(server) };
    let error = refused(account.clone());
    assert_eq!(error.cause, Cause::Misconfigured);
    assert!(error.chain().to_lowercase().contains("certificate"), "{}", error.chain());
    works(SwiftAccount { ca: Some(server.ca.clone()), ..account });
}

#[test]
fn nobody_there_ends_in_time() {
    let began = std::time::Instant::now();
    let error = refused(SwiftAccount { auth_url: "http://127.0.0.1:1/auth/v1.0".into(), ..tempauth(swift::shared()) });
    assert_eq!(error.cause, Cause::Unavailable);
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn a_server_that_says_nothing_ends_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let auth_url = format!("http://{}/auth/v1.0", silent.local_addr().unwrap());
    let limits = TimeLimits { idle: std::time::Duration::from_millis(300), ..QUICK };
    let began = std::time::Instant::now();
    let error = refused(SwiftAccount { auth_url, limits, ..tempauth(swift::shared()) });
    assert_eq!(error.cause, Cause::Unavailable);
    assert!(began.elapsed().as_secs() < 10);
}

#[test]
fn tokens_of_keystone_expire_too() {
    let keystone = Some(keystone::Server::start_with(4));
    let server = swift::Server::start_with(swift::Options { keystone, ..swift::Options::default() });
    let mut session = connect(&sink(v3(&server), &swift::container("expiry")));
    for n in 0..3 {
        let at = key(&format!("10.5072/{n}"));
        put(session.as_mut(), &at, b"bytes").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(5));
    }
    assert!(session.stat(&[key("10.5072/2")]).unwrap().remove(0).unwrap().is_some());
}

#[test]
fn a_busy_login_is_tried_again_and_a_wrong_address_is_not() {
    let server = swift::shared();
    let crook = Crook::of(server.port());
    let account = SwiftAccount { auth_url: format!("{}/auth/v1.0", crook.url), ..tempauth(server) };
    crook.play("GET", "/auth/v1.0", 0, 2, Trick::Say(503, ""));
    works(account.clone());
    crook.play("GET", "/auth/v1.0", 0, 9, Trick::Say(404, ""));
    let before = crook.count("GET", "/auth/v1.0");
    let error = refused(account);
    assert!(error.chain().contains("check the login's address"), "{}", error.chain());
    assert_eq!(crook.count("GET", "/auth/v1.0"), before + 1);
}
