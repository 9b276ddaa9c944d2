//! Servers that are slow, and those that only seem to live: nothing is waited for for ever.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use dvb_fixity::Evidence;
use dvb_sftp::SftpSink;
use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, CommitRequest, Demand, Sink as _};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::sshd::{self, Kind, Server};

use super::{config, connect_with, key, put, run_id, server, stage_one, through};

const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A server whose shell is started by this command; SFTP is not touched.
fn with_shell(command: &str) -> Server {
    let lines =
        format!("ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in \"exec sh\") {command};; *) {SFTP_SERVER};; esac\n");
    Server::start_with(sshd::Options { lines, ..Default::default() })
}

#[test]
fn a_server_that_drips_is_given_up() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("drip");
        let proxy = Proxy::start(account.port, Options::default());
        let mut config = through(&proxy, config(&account, Demand::Auto));
        config.idle_timeout = Duration::from_secs(2);
        let mut session = connect_with(config.clone()).unwrap();
        let staged = stage_one(session.as_mut(), "a", &some_bytes(1, 100_000));
        proxy.set(Options { drip: Some(Duration::from_millis(100)), ..Options::default() });
        let began = Instant::now();
        let answer = session.commit(vec![CommitRequest { staged, replace: false }]);
        assert_eq!(answer.map(drop).unwrap_err().cause, Cause::Transient, "{kind:?}");
        assert!(began.elapsed() < Duration::from_secs(15), "{kind:?}: {:?}", began.elapsed());
        config.connect_timeout = Duration::from_secs(1);
        assert_eq!(super::refused(config).cause, Cause::Unavailable, "{kind:?}");
    }
}

#[test]
fn who_is_interrupted_waits_no_longer() {
    let account = server().sftp_only().fresh("interrupt");
    let proxy = Proxy::start(account.port, Options::default());
    let sink = SftpSink::new(through(&proxy, config(&account, Demand::Auto)));
    let mut session = sink.connect(&run_id("x")).unwrap();
    proxy.set(Options { hang: true, ..Options::default() });
    std::thread::scope(|scope| {
        let waiting = [
            scope.spawn(move || session.stat(&[key("a")]).map(drop).unwrap_err()),
            scope.spawn(|| sink.connect(&run_id("x")).map(drop).unwrap_err()),
        ];
        std::thread::sleep(Duration::from_millis(500));
        assert!(waiting.iter().all(|it| !it.is_finished()), "nothing was waited for");
        let began = Instant::now();
        sink.interrupt();
        for it in waiting {
            assert_eq!(it.join().unwrap().cause, Cause::Unavailable);
        }
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    });
    let error = sink.connect(&run_id("x")).map(drop).expect_err("after that, nothing begins");
    assert_eq!(error.cause, Cause::Unavailable);
}

#[test]
fn a_slow_login_shell_is_waited_for_once() {
    let server = with_shell("sleep 30; exec sh");
    let account = server.shell().fresh("slow");
    let mut config = config(&account, Demand::Auto);
    config.connect_timeout = Duration::from_secs(3);
    let sink = SftpSink::new(config.clone());
    let mut took = Vec::new();
    for n in 0..3 {
        let began = Instant::now();
        let mut session = sink.connect(&run_id("x")).unwrap();
        took.push(began.elapsed());
        assert_eq!(session.evidence(), Evidence::ReadBack);
        put(session.as_mut(), &n.to_string(), b"bytes").unwrap();
    }
    assert!(took[0] >= Duration::from_secs(3), "{took:?}");
    assert!(took[1..].iter().all(|it| *it < Duration::from_secs(2)), "{took:?}");
    let notes = sink.notes().join("\n");
    assert!(
        notes.contains("login shell") && notes.contains("for 3 s") && notes.contains("reading them back"),
        "{notes}"
    );
    config.demand = Demand::RemoteHash;
    let error = super::refused(config);
    assert!(error.chain().contains("did not answer for 3 s"), "{}", error.chain());

    let server = with_shell("sleep 6; exec sh");
    let sink = SftpSink::new(super::config(&server.shell().fresh("slower"), Demand::Auto));
    assert_eq!(sink.connect(&run_id("x")).unwrap().evidence(), Evidence::RemoteHash);
    assert!(sink.notes().join("\n").contains("took 6 s to start"), "{:?}", sink.notes());
}

#[test]
fn a_digest_that_hangs_is_done_without() {
    let folder = dvb_testkit::temp_folder("hangs");
    let (program, hangs) = (folder.path().join("sha256sum"), folder.path().join("now"));
    let text = format!("#!/bin/sh\n[ ! -e {} ] || sleep 600\nexec /usr/bin/sha256sum \"$@\"\n", hangs.display());
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let server = with_shell(&format!("PATH={}:$PATH exec sh", folder.path().display()));
    let account = server.shell().fresh("hangs");
    let mut config = config(&account, Demand::Auto);
    config.idle_timeout = Duration::from_millis(500);
    let sink = SftpSink::new(config);
    let mut session = sink.connect(&run_id("x")).unwrap();
    assert_eq!(session.evidence(), Evidence::RemoteHash);
    put(session.as_mut(), "before", b"bytes").unwrap();
    fs::write(&hangs, "").unwrap();
    let staged = stage_one(session.as_mut(), "a", b"bytes");
    let began = Instant::now();
    let answer = session.commit(vec![CommitRequest { staged, replace: false }]);
    assert_eq!(answer.map(drop).unwrap_err().cause, Cause::Transient);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let mut session = sink.connect(&run_id("x")).unwrap();
    assert_eq!(session.evidence(), Evidence::ReadBack);
    put(session.as_mut(), "a", b"bytes").unwrap();
    assert!(sink.notes().join("\n").contains("digests"), "{:?}", sink.notes());
}
