//! Who is let in, and who learns why not.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use dvb_sftp::{KeyFile, SftpConfig};
use dvb_storage::{Cause, Demand};
use dvb_testkit::sshd::PASSPHRASE;

use crate::{config, connect_with, refused, server};

fn with_keys(keys: Vec<KeyFile>, agent: bool) -> SftpConfig {
    let agent = agent.then(|| server().agent_socket());
    SftpConfig { keys, agent, ..config(&server().shell().fresh("login"), Demand::ReadBack) }
}

fn locked(passphrase: Option<&str>) -> KeyFile {
    KeyFile { path: server().key_with_passphrase(), passphrase: passphrase.map(str::to_owned) }
}

fn stranger() -> KeyFile {
    KeyFile { path: server().stranger_key(), passphrase: None }
}

#[test]
fn keys_and_agents_open() {
    let open = KeyFile { path: server().shell().key, passphrase: None };
    for (keys, agent) in [
        (vec![open.clone()], false),
        (vec![locked(Some(PASSPHRASE))], false),
        (vec![], true),
        (vec![stranger()], true),
        (vec![stranger(), locked(None), open], false),
    ] {
        connect_with(with_keys(keys.clone(), agent)).unwrap_or_else(|it| panic!("{keys:?} {agent}: {}", it.chain()));
    }
}

#[test]
fn whoever_is_not_let_in_learns_what_was_tried() {
    let missing = KeyFile { path: "/does/not/exist".into(), passphrase: None };
    let nobody = SftpConfig { username: "no-such-user".into(), ..with_keys(vec![stranger()], true) };
    let deaf = SftpConfig { agent: Some("/does/not/exist.sock".into()), ..with_keys(vec![], false) };
    for (config, words) in [
        (with_keys(vec![stranger()], false), vec!["stranger"]),
        (with_keys(vec![locked(Some("wrong"))], false), vec!["key_pw"]),
        (with_keys(vec![locked(None)], false), vec!["key_pw", "no passphrase"]),
        (with_keys(vec![missing.clone(), stranger()], false), vec!["/does/not/exist", "stranger"]),
        (with_keys(vec![], false), vec!["neither key file nor agent"]),
        (nobody, vec!["stranger", "the 1 keys of the agent"]),
        (deaf, vec!["agent at /does/not/exist.sock"]),
    ] {
        let error = connect_with(config).map(drop).expect_err(&format!("let in: {words:?}"));
        assert_eq!(error.cause, Cause::Forbidden, "{}", error.chain());
        for word in words {
            assert!(error.attempt.contains(word), "{error}");
        }
        assert!(!error.chain().contains("\"wrong\""), "{error}");
    }
}

#[test]
fn whoever_is_not_there_is_unavailable_within_the_limit() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let rude = TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = [&silent, &rude].map(|it| it.local_addr().unwrap().port());
    std::thread::spawn(move || rude.incoming().for_each(drop));
    for port in [free, ports[0], ports[1]] {
        let limit = Duration::from_secs(1);
        let config = SftpConfig { port, connect_timeout: limit, ..with_keys(vec![stranger()], false) };
        let began = Instant::now();
        let error = refused(config);
        assert_eq!(error.cause, Cause::Unavailable, "{}", error.chain());
        assert!(error.chain().contains(&port.to_string()), "{}", error.chain());
        assert!(began.elapsed() < 3 * limit, "{:?}", began.elapsed());
    }
    let folder = dvb_testkit::temp_folder("agent");
    let agent = folder.path().join("agent.sock");
    let _hung = std::os::unix::net::UnixListener::bind(&agent).unwrap();
    let limit = Duration::from_secs(1);
    let config = SftpConfig { agent: Some(agent), connect_timeout: limit, ..with_keys(vec![stranger()], false) };
    let began = Instant::now();
    let error = refused(config);
    assert_eq!(error.cause, Cause::Unavailable, "{}", error.chain());
    assert!(error.attempt.contains("agent"), "{error}");
    assert!(began.elapsed() < 5 * limit, "{:?}", began.elapsed());
    let unknown = SftpConfig { host: "no-such-host.invalid".into(), ..with_keys(vec![], false) };
    assert_eq!(refused(unknown).cause, Cause::Unavailable);
}

#[test]
fn ciphers_are_the_user_s_to_choose() {
    for (ciphers, known) in [("aes256-gcm@openssh.com", true), ("aes128-ctr,aes256-ctr", true), ("rot13", false)] {
        let config = SftpConfig {
            ciphers: Some(ciphers.into()),
            ..with_keys(vec![KeyFile { path: server().shell().key, passphrase: None }], false)
        };
        match connect_with(config) {
            Ok(_) => assert!(known, "{ciphers}"),
            Err(error) => assert!(!known && error.attempt.contains("SshCiphers"), "{ciphers}: {}", error.chain()),
        }
    }
}

#[test]
fn a_key_is_tried_without_a_server() {
    let good = KeyFile { path: server().shell().key, passphrase: None };
    good.check().unwrap();
    locked(Some(PASSPHRASE)).check().unwrap();
    for (key, cause, says) in [
        (
            KeyFile { path: "/does/not/exist".into(), passphrase: None },
            Cause::Missing,
            "/does/not/exist cannot be read",
        ),
        (locked(None), Cause::Forbidden, "needs a passphrase"),
        (locked(Some("wrong")), Cause::Forbidden, "passphrase is wrong"),
        (KeyFile { path: "/etc/passwd".into(), passphrase: None }, Cause::Forbidden, "no private key"),
    ] {
        let error = key.check().unwrap_err();
        assert!(error.cause == cause && error.chain().contains(says), "{}", error.chain());
    }
}
