//! What goes wrong on the way: never a bad copy under a key, and nothing left behind.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dvb_fixity::Measured;
use dvb_storage::conformance::{Bytes, End, some_bytes};
use dvb_storage::{Cause, Payload, PayloadError, SinkError, SinkSession, SourceError, Unstaged};
use dvb_swift::SwiftAccount;
use dvb_testkit::swift::{self, Server};

use crate::crook::{Crook, Trick, counter};
use crate::{Hooked, commit, connect, get, key, put, sink, stage_payload, tempauth};

/// A destination behind a crook.
struct Stage {
    server: &'static Server,
    crook: Crook,
    container: String,
    session: Box<dyn SinkSession>,
}

impl Stage {
    fn set() -> Self {
        let server = swift::shared();
        let crook = Crook::of(server.port());
        let container = swift::container("faults");
        let endpoint = Some(format!("{}/v1", crook.url));
        let session = connect(&sink(SwiftAccount { endpoint, ..tempauth(server) }, &container));
        Self { server, crook, container, session }
    }

    /// Nothing at any key, no segment, no mark.
    fn is_empty(&self) -> bool {
        let segments = self.server.list(&format!("{}_segments", self.container));
        let copies = self.server.list(&self.container);
        assert!(segments.is_empty() && copies.is_empty(), "left behind: {segments:?} {copies:?}");
        true
    }

    fn is_stored(&mut self, at: &str, bytes: &[u8]) -> bool {
        get(self.session.as_mut(), &key(at)).unwrap() == bytes
    }
}

fn cause(answer: Result<(), Unstaged>) -> Cause {
    match answer {
        Err(Unstaged::Sink(error)) => error.cause,
        other => panic!("not a failure of the sink: {other:?}"),
    }
}

const AT: &str = "10.5072/FK2/A/15b2";

/// A size for each way that an object is stored.
const SIZES: [usize; 3] = [1000, 600_000, 2_500_000];

#[test]
fn tokens_may_expire_at_any_time() {
    // A server of its own: the tokens of all go at once.
    let server = Server::start();
    let server: &'static Server = Box::leak(Box::new(server));
    let container = swift::container("expiry");
    let mut session = connect(&sink(tempauth(server), &container));
    let mut expired = 0;
    let payload = Hooked::new(3_500_000, session.as_ref(), move |at| {
        // In the middle of the first, the second and the third segment.
        if at >= 500_000 + expired * 1_000_000 {
            expired += 1;
            server.expire_tokens();
        }
    });
    let staged = stage_payload(session.as_mut(), &key(AT), payload).unwrap();
    server.expire_tokens();
    commit(session.as_mut(), staged).unwrap();
    server.expire_tokens();
    let expected: Vec<u8> = (0..3_500_000).map(Hooked::byte).collect();
    assert!(get(session.as_mut(), &key(AT)).unwrap() == expected);
}

#[test]
fn connections_are_used_again() {
    let server = swift::shared();
    let (url, connections) = counter(server.port());
    let account = SwiftAccount { endpoint: Some(format!("{url}/v1")), ..tempauth(server) };
    let mut session = connect(&sink(account, &swift::container("reuse")));
    for (n, size) in SIZES.iter().cycle().take(9).enumerate() {
        let at = key(&format!("10.5072/{n}"));
        let bytes = some_bytes(1, *size);
        put(session.as_mut(), &at, &bytes).unwrap();
        assert!(get(session.as_mut(), &at).unwrap() == bytes);
        assert!(session.stat(&[key("10.5072/none")]).unwrap().remove(0).unwrap().is_none());
    }
    // One for all, and one to ask for the segments of a large object whose bytes are already on their way.
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_busy_server_is_given_the_time_that_it_asks_for() {
    for size in SIZES {
        let mut stage = Stage::set();
        let bytes = some_bytes(1, size);
        stage.crook.play("PUT", &stage.container.clone(), 0, 1, Trick::Say(503, "Retry-After: 1\r\n"));
        let began = Instant::now();
        put(stage.session.as_mut(), &key(AT), &bytes).unwrap();
        assert!(began.elapsed() >= Duration::from_secs(1));
        assert!(stage.is_stored(AT, &bytes));
    }
}

#[test]
fn every_passing_status_is_tried_again_and_no_other() {
    let cases = [
        (408, "", None),
        (413, "Retry-After: 0\r\n", None),
        (429, "", None),
        (498, "", None),
        (500, "", None),
        (502, "", None),
        (504, "", None),
        (403, "", Some(Cause::Forbidden)),
        (413, "", Some(Cause::Full)),
        (422, "", Some(Cause::Transient)),
        (507, "", Some(Cause::Full)),
    ];
    let mut stage = Stage::set();
    for (status, headers, expected) in cases {
        let at = format!("10.5072/{status}{}", headers.len());
        stage.crook.play("PUT", &at, 0, 1, Trick::Say(status, headers));
        let answer = put(stage.session.as_mut(), &key(&at), b"bytes");
        match expected {
            None => {
                answer.unwrap_or_else(|error| panic!("{status}: {error}"));
                assert!(stage.is_stored(&at, b"bytes"));
            }
            Some(expected) => assert_eq!(cause(answer), expected, "{status}"),
        }
        assert_eq!(stage.crook.count("PUT", &at), if expected.is_none() { 2 } else { 1 }, "{status}");
    }
}

#[test]
fn a_server_that_stays_busy_is_not_asked_for_ever() {
    let mut stage = Stage::set();
    stage.crook.play("PUT", AT, 0, 9, Trick::Say(503, ""));
    assert_eq!(cause(put(stage.session.as_mut(), &key(AT), b"bytes")), Cause::Transient);
    assert_eq!(stage.crook.count("PUT", AT), 3);
    assert!(stage.is_empty());
}

#[test]
fn a_cut_on_the_way_up_leaves_nothing_and_can_be_done_again() {
    for (size, segment) in [(600_000, 0), (2_500_000, 2)] {
        let mut stage = Stage::set();
        let bytes = some_bytes(2, size);
        stage.crook.play("PUT", "/segments/", segment, 1, Trick::CutRequest(200_000));
        let failed = crate::stage(stage.session.as_mut(), &key(AT), &bytes).map(|_| ());
        assert_eq!(cause(failed), Cause::Transient);
        assert!(stage.is_empty());
        put(stage.session.as_mut(), &key(AT), &bytes).unwrap();
        assert!(stage.is_stored(AT, &bytes));
    }
    // A small one is sent again from memory.
    let mut stage = Stage::set();
    let bytes = some_bytes(2, 60_000);
    stage.crook.play("PUT", AT, 0, 1, Trick::CutRequest(20_000));
    put(stage.session.as_mut(), &key(AT), &bytes).unwrap();
    assert!(stage.is_stored(AT, &bytes));
}

#[test]
fn a_lost_answer_is_not_taken_for_somebody_elses_object() {
    for size in SIZES {
        let mut stage = Stage::set();
        let bytes = some_bytes(3, size);
        stage.crook.play("PUT", AT, 0, 1, Trick::LoseAnswer);
        put(stage.session.as_mut(), &key(AT), &bytes).unwrap();
        assert!(stage.crook.count("PUT", AT) > 1, "it was sent again");
        assert!(stage.is_stored(AT, &bytes));
    }
}

#[test]
fn somebody_elses_object_stays_whatever_is_lost() {
    for size in SIZES {
        let mut stage = Stage::set();
        stage.server.put(&stage.container, AT, b"somebody else's");
        stage.crook.play("PUT", AT, 0, 1, Trick::LoseAnswer);
        // Seen only by the PUT: a look before it is told that nothing is there.
        stage.crook.play("HEAD", AT, 0, 1, Trick::Say(404, ""));
        assert_eq!(cause(put(stage.session.as_mut(), &key(AT), &some_bytes(3, size))), Cause::Exists);
        assert!(stage.is_stored(AT, b"somebody else's"));
    }
}

#[test]
fn a_taken_key_leaves_no_segments() {
    let mut stage = Stage::set();
    stage.server.put(&stage.container, AT, b"somebody else's");
    for told in [1, 0] {
        stage.crook.play("HEAD", AT, 0, told, Trick::Say(404, ""));
        assert_eq!(cause(put(stage.session.as_mut(), &key(AT), &some_bytes(3, 2_500_000))), Cause::Exists);
        assert!(stage.server.list(&format!("{}_segments", stage.container)).is_empty());
    }
}

#[test]
fn bytes_that_change_on_the_way_never_show() {
    let mut stage = Stage::set();
    stage.crook.play("PUT", AT, 0, 1, Trick::FlipByte);
    // The server compares: nothing was stored.
    assert_eq!(cause(put(stage.session.as_mut(), &key(AT), &some_bytes(4, 5000))), Cause::Transient);
    assert!(stage.is_empty());
    for size in [600_000, 2_500_000] {
        stage.crook.play("PUT", "/segments/", 0, 1, Trick::FlipByte);
        let answer = crate::stage(stage.session.as_mut(), &key(AT), &some_bytes(4, size));
        assert!(matches!(answer, Err(Unstaged::Verify(_))), "{answer:?}");
        assert!(stage.is_empty());
    }
}

#[test]
fn a_copy_that_the_server_says_is_another_is_taken_away() {
    let bytes = b"some bytes";
    let own = "c3d69cdaf2ba26a7f9adecd3d3b2d6b2";
    let md5 = dvb_fixity::Measured::of(bytes, &[dvb_fixity::Algorithm::Md5]);
    let md5 = md5.digest(dvb_fixity::Algorithm::Md5).unwrap().hex();
    for (from, to) in [(md5, own.to_owned()), ("Content-Length: 10\r\n".into(), "Content-Length: 11\r\n".into())] {
        let mut stage = Stage::set();
        stage.crook.play("HEAD", AT, 0, 9, Trick::Rewrite(from, to));
        let answer = put(stage.session.as_mut(), &key(AT), bytes);
        assert!(matches!(answer, Err(Unstaged::Verify(_))), "{answer:?}");
        assert!(stage.is_empty());
    }
}

/// Ten objects of one dataset in one batch; what became of each.
fn put_ten(stage: &mut Stage) -> Vec<Result<(), Unstaged>> {
    let at = |n: usize| key(&format!("10.5072/FK2/A/{n}ü"));
    let staged: Vec<_> =
        (0..10).map(|n| crate::stage(stage.session.as_mut(), &at(n), &some_bytes(n as u64, 1000)).unwrap()).collect();
    let requests = staged.into_iter().map(|staged| dvb_storage::CommitRequest { staged, replace: false }).collect();
    stage.session.commit(requests).unwrap().into_iter().map(|it| it.map(|_| ())).collect()
}

#[test]
fn a_listing_proves_many_and_can_only_confirm() {
    let hash = dvb_fixity::Measured::of(&some_bytes(3, 1000), &[dvb_fixity::Algorithm::Md5]).digests[0].hex();
    let lie = || Trick::Rewrite(hash.clone(), "0".repeat(32));
    let listing = "end_marker";

    let mut stage = Stage::set();
    // Neighbours are no hindrance.
    stage.server.put(&stage.container, "10.5072/FK2/A/0", b"");
    stage.server.put(&stage.container, "10.5072/FK2/B/0", b"");
    assert!(put_ten(&mut stage).iter().all(Result::is_ok));
    assert_eq!((stage.crook.count("GET", listing), stage.crook.count("HEAD", "/A/")), (1, 0));

    let mut stage = Stage::set();
    stage.crook.play("GET", listing, 0, 1, lie());
    assert!(put_ten(&mut stage).iter().all(Result::is_ok));
    assert_eq!(stage.crook.count("HEAD", "/A/"), 1, "only what the listing does not confirm is looked at");

    let mut stage = Stage::set();
    stage.crook.play("GET", listing, 0, 9, Trick::Say(403, ""));
    assert!(put_ten(&mut stage).iter().all(Result::is_ok));
    assert_eq!(stage.crook.count("HEAD", "/A/"), 10, "without the right to list, each is looked at");

    let mut stage = Stage::set();
    stage.crook.play("GET", listing, 0, 1, lie());
    stage.crook.play("HEAD", "/A/3", 0, 9, lie());
    let answers = put_ten(&mut stage);
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(matches!(answer, Err(Unstaged::Verify(_))), n == 3, "{n}: {answer:?}");
    }
    assert_eq!(stage.server.list(&stage.container).len(), 9, "the bad copy is taken away");
}

#[test]
fn a_server_that_lags_behind_is_asked_again() {
    let mut stage = Stage::set();
    stage.crook.play("HEAD", AT, 0, 2, Trick::Say(404, ""));
    put(stage.session.as_mut(), &key(AT), b"some bytes").unwrap();
    assert_eq!(stage.crook.count("HEAD", AT), 3);
}

#[test]
fn a_manifest_that_names_other_bytes_is_taken_away() {
    let mut stage = Stage::set();
    let staged = stage_large(&mut stage);
    let digest = dvb_fixity::Measured::of(&some_bytes(5, 2_500_000)[1 << 20..2 << 20], &[dvb_fixity::Algorithm::Md5]);
    let rewrite = Trick::Rewrite(digest.digests[0].hex(), "0".repeat(32));
    stage.crook.play("GET", "multipart-manifest=get", 0, 9, rewrite);
    let answer = commit(stage.session.as_mut(), staged);
    assert!(matches!(answer, Err(Unstaged::Verify(_))), "{answer:?}");
    assert!(stage.server.list(&stage.container).is_empty());
}

#[test]
fn a_manifest_that_is_refused_leaves_nothing() {
    let mut stage = Stage::set();
    let staged = stage_large(&mut stage);
    let segments = format!("{}_segments", stage.container);
    let lost = stage.server.list(&segments).pop().unwrap();
    stage.server.delete(&segments, &lost);
    assert_eq!(cause(commit(stage.session.as_mut(), staged)), Cause::Io);
    assert!(stage.is_empty());
}

fn stage_large(stage: &mut Stage) -> dvb_storage::Staged {
    crate::stage(stage.session.as_mut(), &key(AT), &some_bytes(5, 2_500_000)).unwrap()
}

#[test]
fn a_source_that_breaks_leaves_nothing() {
    let mut stage = Stage::set();
    for size in SIZES {
        let payload = Box::new(Bytes::new(some_bytes(6, size), &[], End::ReadError));
        let answer = stage_payload(stage.session.as_mut(), &key(AT), payload);
        assert!(matches!(answer, Err(Unstaged::Payload(_))), "{answer:?}");
        assert!(stage.is_empty());
    }
}

/// A payload that promises another size than it has.
struct Said(Box<Bytes>, u64);

impl Payload for Said {
    fn size_hint(&self) -> u64 {
        self.1
    }

    fn promised(&self) -> Option<u64> {
        Some(self.1)
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        self.0.open()
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        self.0.read(buffer)
    }

    fn finish(self: Box<Self>) -> Measured {
        self.0.finish()
    }
}

#[test]
fn an_object_that_grows_or_shrinks_while_it_is_read_is_whole_or_not_there() {
    let mut stage = Stage::set();
    for (size, said, is_whole) in [
        (600_000, 700_000, false),
        (2_500_000, 2_600_000, false),
        (700_000, 600_000, false),
        (600_000, 0, true),
        // It ends where a segment does: what was read is what is stored.
        (2 << 20, 2_500_000, true),
        (2_500_000, 1_500_000, true),
        (2_500_000, 1 << 21, true),
    ] {
        let at = key(&format!("10.5072/{size}-{said}"));
        let bytes = some_bytes(8, size);
        let payload = Bytes::new(bytes.clone(), stage.session.algorithms(), End::Whole);
        let staged = stage_payload(stage.session.as_mut(), &at, Box::new(Said(Box::new(payload), said)));
        match staged {
            Ok(staged) if is_whole => {
                commit(stage.session.as_mut(), staged).unwrap();
                assert!(stage.is_stored(&at.to_string(), &bytes), "{size} {said}");
            }
            Err(
                Unstaged::Payload(PayloadError::Source(SourceError { cause, .. }))
                | Unstaged::Sink(SinkError { cause, .. }),
            ) if !is_whole => {
                assert_eq!(cause, Cause::Transient, "{size} {said}");
                assert!(stage.is_empty());
            }
            other => panic!("{size} {said}: {other:?}"),
        }
    }
}

#[test]
fn what_is_discarded_leaves_nothing() {
    let mut stage = Stage::set();
    for size in SIZES {
        let staged = crate::stage(stage.session.as_mut(), &key(AT), &some_bytes(7, size)).unwrap();
        stage.session.discard(vec![staged]).unwrap();
        assert!(stage.is_empty());
    }
}

#[test]
fn a_server_that_went_away_loses_the_session() {
    let mut stage = Stage::set();
    let staged = stage_large(&mut stage);
    stage.crook.play("HEAD", "", 0, 99, Trick::CutRequest(0));
    let request = dvb_storage::CommitRequest { staged, replace: false };
    let lost = stage.session.commit(vec![request]).unwrap_err();
    assert_eq!(lost.cause, Cause::Unavailable, "{}", lost.chain());
    let lost = stage.session.stat(&[key(AT)]).unwrap_err();
    assert!(lost.chain().contains("no answer from"), "{}", lost.chain());
}

#[test]
fn a_name_that_is_too_long_is_no_failure_of_the_server() {
    let mut stage = Stage::set();
    let fits = format!("a/{}", "x".repeat(1022));
    put(stage.session.as_mut(), &key(&fits), b"fits").unwrap();
    let long = format!("{fits}x");
    assert_eq!(stage.session.stat(&[key(&long)]).unwrap().remove(0).unwrap(), None);
    assert_eq!(cause(put(stage.session.as_mut(), &key(&long), b"long")), Cause::Unnameable);
    assert!(stage.is_stored(&fits, b"fits"));
}
