//! Connections that break, and what they leave behind.

use std::fs;
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Measured};
use dvb_sftp::SftpSink;
use dvb_storage::conformance::{Bytes, End, some_bytes};
use dvb_storage::{Cause, CommitRequest, Demand, Payload, PayloadError, Sink as _, SinkError, StageRequest, Unstaged};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::sshd::{Account, Kind, Server};

use super::{config, connect, connect_with, get, key, put, request, run_id, shown, stage, temporaries, through};

/// Does something when so many bytes were read.
struct Trap {
    inner: Bytes,
    left: usize,
    spring: Box<dyn FnMut() + Send>,
}

impl Payload for Trap {
    fn size_hint(&self) -> u64 {
        self.inner.size_hint()
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        self.inner.open()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = self.inner.read(buffer)?;
        if self.left > 0 && n >= self.left {
            (self.spring)();
        }
        self.left = self.left.saturating_sub(n);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        Box::new(self.inner).finish()
    }
}

#[test]
fn a_cut_while_storing_is_worth_another_try_and_leaves_nothing_half() {
    let server: &'static Server = Box::leak(Box::new(Server::start()));
    for (kind, size) in [(Kind::Shell, 20_000_000), (Kind::SftpOnly, 20_000_000), (Kind::Shell, 100_000)] {
        let account = server.account(kind).fresh("cut");
        let sink = SftpSink::new(config(&account, Demand::Auto));
        let mut session = sink.connect(&run_id("20000101T000000Z-dead")).unwrap();
        put(session.as_mut(), "before", b"whole").unwrap();
        let bytes = some_bytes(1, size);
        let inner = Bytes::new(bytes.clone(), &Algorithm::ALL, End::Whole);
        let spring = Box::new(|| server.kill_sessions());
        let trap = StageRequest { key: key("cut"), payload: Box::new(Trap { inner, left: size / 2, spring }) };
        let error = session.stage(vec![request("first", b"bytes"), trap]).unwrap_err();
        assert_eq!(error.cause, Cause::Transient, "{}", error.chain());
        assert_eq!(session.stat(&[key("before")]).unwrap_err().cause, Cause::Transient, "the session is over");
        assert_eq!(shown(&account), ["before"]);
        assert!(!temporaries(&account).is_empty(), "a cut leaves temporaries");

        let mut next = sink.connect(&run_id("20000102T000000Z-next")).unwrap();
        put(next.as_mut(), "cut", &bytes).unwrap();
        let staged = stage(next.as_mut(), &[("live", b"staged")]).remove(0).unwrap();
        let swept = next.sweep(&|run| run.0.ends_with("-dead")).unwrap();
        assert!((1..=2).contains(&swept), "{swept}");
        next.commit(vec![CommitRequest { staged, replace: false }]).unwrap().remove(0).unwrap();
        assert_eq!(shown(&account), ["before", "cut", "live"]);
        assert!(temporaries(&account).is_empty());
    }
}

#[test]
fn the_next_session_goes_on_where_a_large_upload_was_cut() {
    let account = super::server().shell().fresh("again");
    let proxy = Proxy::start(account.port, Options::default());
    let sink = SftpSink::new(through(&proxy, config(&account, Demand::Auto)));
    let run = run_id("20000101T000000Z-test");
    let mut session = sink.connect(&run).unwrap();
    let bytes = some_bytes(1, 1 << 20).repeat(40);
    proxy.set(Options { cut_up: Some(30 << 20), ..Options::default() });
    assert_eq!(session.stage(vec![request("large", &bytes)]).map(drop).unwrap_err().cause, Cause::Transient);
    proxy.set(Options::default());
    let mut session = sink.connect(&run).unwrap();
    put(session.as_mut(), "large", &bytes).unwrap();
    assert!(get(session.as_mut(), "large") == bytes, "other bytes");
    assert!(session.spared() > 16 << 20, "{}", session.spared());
    assert!(temporaries(&account).is_empty());
}

/// Stages some files, cuts the line when so many bytes of answers to their proof have come, and tells how many do come.
fn cut_proof(account: &Account, at: Option<u64>) -> Result<u64, SinkError> {
    let proxy = Proxy::start(account.port, Options::default());
    let mut session = connect_with(through(&proxy, config(account, Demand::Auto))).unwrap();
    let files: Vec<(String, Vec<u8>)> = (0..6).map(|n| (format!("d{n}/file"), some_bytes(n, 100_000))).collect();
    let batch: Vec<(&str, &[u8])> = files.iter().map(|(at, bytes)| (at.as_str(), bytes.as_slice())).collect();
    let staged = stage(session.as_mut(), &batch).into_iter().map(Result::unwrap);
    let commits = staged.map(|staged| CommitRequest { staged, replace: true }).collect();
    let before = proxy.came_down();
    proxy.set(Options { cut_down: at.map(|it| before + it), ..Options::default() });
    let answer = session.commit(commits);
    for (name, bytes) in &files {
        let found = fs::read(account.local.join(name));
        assert!(found.is_err() || found.unwrap() == *bytes, "{name} shows half, with a cut at {at:?}");
    }
    assert!(shown(account).len() <= files.len());
    for proved in answer? {
        proved.unwrap();
    }
    assert_eq!(shown(account).len(), files.len());
    Ok(proxy.came_down() - before)
}

#[test]
fn a_cut_while_proving_shows_only_whole_copies() {
    for kind in [Kind::Shell, Kind::SftpOnly, Kind::Bare] {
        let whole = cut_proof(&super::server().account(kind).fresh("cut"), None).unwrap();
        let account = super::server().account(kind).fresh("cut");
        let (mut leftovers, mut cuts) = (0, 0);
        for n in 0..12 {
            let at = whole * n / 12;
            match cut_proof(&account, Some(at)) {
                Err(error) => {
                    assert_eq!(error.cause, Cause::Transient, "{kind:?}: {}", error.chain());
                    cuts += 1;
                }
                // Answers that come together take fewer bytes, so that one may be over before it is cut.
                Ok(came) => assert!(came <= at, "{kind:?}: {came} bytes came through a cut at {at}"),
            }
            leftovers += connect(&account).sweep(&|_| true).unwrap();
        }
        assert!(cuts >= 9, "{kind:?}: only {cuts} cuts");
        assert!(leftovers > 0, "{kind:?}: nothing was cut before the end");
        cut_proof(&account, None).unwrap();
        assert!(temporaries(&account).is_empty());
    }
}

#[test]
fn a_cut_while_reading_is_an_error_and_not_an_end() {
    let server = Server::start();
    let account = server.shell().fresh("cut");
    let bytes = some_bytes(3, 1_000_003).repeat(30);
    fs::write(account.local.join("large"), &bytes).unwrap();
    let mut session = connect(&account);
    let mut body = session.open(&key("large")).unwrap();
    let mut buffer = vec![0; 1_000_000];
    std::io::Read::read_exact(&mut body, &mut buffer).unwrap();
    assert_eq!(buffer, bytes[..1_000_000]);
    server.kill_sessions();
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut body, &mut rest).expect_err("a cut looks like the end");
    drop(body);
    assert_eq!(session.stat(&[key("large")]).unwrap_err().cause, Cause::Transient);
    assert_eq!(get(connect(&account).as_mut(), "large"), bytes);
}

#[test]
fn a_copy_that_is_not_read_to_its_end_leaves_the_session_well() {
    let account = super::server().sftp_only().fresh("part");
    let bytes = some_bytes(4, 10_000_000);
    fs::write(account.local.join("large"), &bytes).unwrap();
    let mut session = connect(&account);
    for _ in 0..3 {
        let mut body = session.open(&key("large")).unwrap();
        let mut buffer = [0; 1000];
        std::io::Read::read_exact(&mut body, &mut buffer).unwrap();
        assert_eq!(buffer, bytes[..1000]);
    }
    assert_eq!(session.open(&key("none")).map(drop).unwrap_err().cause, Cause::Missing);
    put(session.as_mut(), "after", b"1").unwrap();
}

#[test]
fn a_server_that_is_stopped_is_unavailable_and_then_there_again() {
    let mut server = Server::start();
    let account = server.shell().fresh("stop");
    let sink = SftpSink::new(config(&account, Demand::Auto));
    let run = run_id("20000101T000000Z-test");
    let mut session = sink.connect(&run).unwrap();
    server.stop();
    let began = Instant::now();
    assert_eq!(session.stat(&[key("a")]).unwrap_err().cause, Cause::Transient);
    assert_eq!(sink.connect(&run).map(drop).unwrap_err().cause, Cause::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.start_again();
    put(sink.connect(&run).unwrap().as_mut(), "a", b"1").unwrap();
}

/// An object whose source stands still in the middle.
pub(crate) fn slow_request(at: &str, size: usize, pause: Duration) -> StageRequest {
    let inner = Bytes::new(some_bytes(5, size), &Algorithm::ALL, End::Whole);
    let spring = Box::new(move || std::thread::sleep(pause));
    StageRequest { key: key(at), payload: Box::new(Trap { inner, left: size / 2, spring }) }
}

#[test]
fn a_large_source_that_breaks_harms_no_other() {
    for kind in [Kind::Shell, Kind::Bare] {
        let account = super::server().account(kind).fresh("source");
        let mut session = connect(&account);
        let of = |at: &str, end| {
            let payload = Bytes::new(some_bytes(6, 6_000_000), &Algorithm::ALL, end);
            StageRequest { key: key(at), payload: Box::new(payload) }
        };
        let batch = vec![of("a", End::Whole), of("b", End::ReadError), of("c", End::OpenError), of("d", End::Whole)];
        let mut commits = Vec::new();
        for (n, staged) in session.stage(batch).unwrap().into_iter().enumerate() {
            match staged {
                Ok(staged) => commits.push(CommitRequest { staged, replace: false }),
                Err(error) => assert!(matches!(error, Unstaged::Payload(_)) && (1..=2).contains(&n), "{n}: {error:?}"),
            }
        }
        assert_eq!(temporaries(&account).len(), 2, "a failed payload leaves its temporary");
        session.commit(commits).unwrap().into_iter().for_each(|it| drop(it.unwrap()));
        assert_eq!(shown(&account), ["a", "d"]);
    }
}
