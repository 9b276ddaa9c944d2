//! Connections that break, services that refuse and lie: never a bad copy that shows.

use std::sync::atomic::{AtomicUsize, Ordering};

use dvb_fixity::Evidence;
use dvb_s3::{S3Sink, S3SinkConfig};
use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, CommitRequest, Demand, Sink as _, Unstaged};

use crate::proxy::{Act, Asked, refusal};
use crate::sink::{behind, key, put, run, stage};
use crate::world::{seaweed, swift};

/// A rule that does `act` to the first `times` requests that `which` picks.
fn first(times: usize, which: Which, act: Act) -> impl Fn(&Asked) -> Act + Send + Sync {
    let met = AtomicUsize::new(0);
    move |asked| {
        let is_hit = which(asked) && met.fetch_add(1, Ordering::SeqCst) < times;
        if is_hit { act.clone() } else { Act::Forward }
    }
}

/// Which requests are meant.
type Which = fn(&Asked) -> bool;

fn is_part(asked: &Asked) -> bool {
    asked.is("PUT", "partNumber=")
}

fn is_completion(asked: &Asked) -> bool {
    asked.is("POST", "uploadId=")
}

fn is_small(asked: &Asked) -> bool {
    asked.method == "PUT" && asked.path.ends_with("/10.5072/A/s")
}

const NAMES: [&str; 2] = ["10.5072/A/s", "10.5072/A/l"];

fn some_objects() -> (Vec<u8>, Vec<u8>) {
    (some_bytes(1, 1000), some_bytes(2, 6 << 20))
}

#[test]
fn what_passes_is_tried_again() {
    let late =
        Act::Answer(200, vec![], b"<?xml version=\"1.0\"?>\n\n<Error><Code>InternalError</Code></Error>".to_vec());
    let busy = Act::Answer(503, vec![("retry-after", "0".into())], Vec::new());
    let rows: Vec<(&str, Which, Act)> = vec![
        ("a part is cut", is_part, Act::CutRequest(100_000)),
        ("a part is refused for now", is_part, busy.clone()),
        ("a part's answer is lost", is_part, Act::LoseAnswer),
        ("a small object is cut", is_small, Act::CutRequest(10)),
        ("a small object's answer is lost", is_small, Act::LoseAnswer),
        ("a completion is cut", is_completion, Act::CutRequest(10)),
        ("a completion's answer is lost", is_completion, Act::LoseAnswer),
        ("a completion fails late", is_completion, late),
        ("a beginning is refused for now", |it| it.is("POST", "uploads="), busy.clone()),
        ("a beginning's answer is lost", |it| it.is("POST", "uploads="), Act::LoseAnswer),
        ("a look is refused for now", |it| it.is("HEAD", "/10.5072"), busy),
    ];
    for service in [seaweed(), swift()] {
        for (what, which, act) in &rows {
            let (_proxy, config, bucket) = behind(&service, first(1, *which, act.clone()));
            let sink = S3Sink::new(config).unwrap();
            let mut session = sink.connect(&run("again")).unwrap();
            let (small, large) = some_objects();
            for proved in put(session.as_mut(), &[(NAMES[0], &small), (NAMES[1], &large)]).unwrap() {
                assert!(proved.is_ok(), "{what}: {proved:?}");
            }
            for (name, bytes) in NAMES.iter().zip([&small, &large]) {
                let found = bucket.get_object(format!("/copies/{name}")).unwrap();
                assert_eq!(found.bytes().to_vec(), *bytes, "{what}");
            }
        }
    }
}

#[test]
fn what_does_not_pass_leaves_nothing() {
    let (_proxy, config, _bucket) = behind(&seaweed(), first(1000, is_part, refusal(503, "SlowDown")));
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("never")).unwrap();
    let (small, large) = some_objects();
    let mut staged = stage(session.as_mut(), &[(NAMES[0], &small), (NAMES[1], &large)]).unwrap();
    let failed = staged.remove(1);
    assert!(matches!(&failed, Err(Unstaged::Sink(it)) if it.cause == Cause::Transient), "{failed:?}");
    let staged = staged.remove(0).unwrap();
    assert!(session.commit(vec![CommitRequest { staged, replace: false }]).unwrap()[0].is_ok());
    assert_eq!(session.stat(&[key(NAMES[1])]).unwrap().remove(0).unwrap(), None);
    assert_eq!(session.sweep(&|_| true).unwrap(), 0, "the upload was aborted at once");
}

#[test]
fn a_service_out_of_reach_ends_the_session_and_a_later_run_sweeps() {
    let (_proxy, config, bucket) = behind(&seaweed(), first(1000, is_part, Act::CutRequest(1000)));
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("lost")).unwrap();
    let (small, large) = some_objects();
    let error = stage(session.as_mut(), &[(NAMES[0], &small), (NAMES[1], &large)]).unwrap_err();
    assert_eq!(error.cause, Cause::Transient, "{}", error.chain());
    assert_eq!(session.stat(&[key(NAMES[1])]).unwrap().remove(0).unwrap(), None);
    drop(session);
    let healthy = S3Sink::new(seaweed().sink(&bucket.name(), "copies")).unwrap();
    let mut session = healthy.connect(&run("next")).unwrap();
    assert_eq!(session.sweep(&|it| *it == run("lost")).unwrap(), 1);
}

#[test]
fn bytes_that_change_on_the_way_are_not_taken() {
    for service in [seaweed(), swift()] {
        let rows: [(Which, &str); 2] = [(is_part, NAMES[1]), (is_small, NAMES[0])];
        for (which, damaged) in rows {
            let (_proxy, config, _bucket) = behind(&service, first(1000, which, Act::Falsify));
            let sink = S3Sink::new(config).unwrap();
            let mut session = sink.connect(&run("flipped")).unwrap();
            let (small, large) = some_objects();
            let staged = stage(session.as_mut(), &[(NAMES[0], &small), (NAMES[1], &large)]).unwrap();
            let staged = staged.into_iter().flatten().map(|staged| CommitRequest { staged, replace: false }).collect();
            let good = session.commit(staged).unwrap().into_iter().filter(Result::is_ok).count();
            assert_eq!(good, 1);
            assert_eq!(session.stat(&[key(damaged)]).unwrap().remove(0).unwrap(), None);
        }
    }
}

/// The service says that it holds other bytes: it is believed, and the copy goes.
#[test]
fn a_wrong_checksum_is_a_failed_proof() {
    let lie = |asked: &Asked| match asked.is("HEAD", "/10.5072/A/") {
        true => Act::Change("x-amz-checksum-sha256", ""),
        false if is_small(asked) => WRONG,
        false => Act::Forward,
    };
    let wrong = |asked: &Asked| match asked.is("HEAD", "/10.5072/A/") {
        true => Act::Change("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        false if is_small(asked) => WRONG,
        false => Act::Forward,
    };
    let (_proxy, config, bucket) = behind(&seaweed(), wrong);
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("wrong")).unwrap();
    let (small, large) = some_objects();
    for proved in put(session.as_mut(), &[(NAMES[0], &small), (NAMES[1], &large)]).unwrap() {
        assert!(matches!(proved, Err(Unstaged::Verify(_))), "{proved:?}");
    }
    for name in NAMES {
        assert_eq!(bucket.get_object(format!("/copies/{name}")).unwrap().status_code(), 404);
    }
    // No digest at all: reading back decides, unless that is not enough.
    for (demand, is_good) in [(Demand::Auto, true), (Demand::RemoteHash, false)] {
        let (_proxy, config, _bucket) = behind(&seaweed(), lie);
        let sink = S3Sink::new(S3SinkConfig { demand, ..config }).unwrap();
        let mut session = sink.connect(&run("none")).unwrap();
        let proved = put(session.as_mut(), &[(NAMES[0], &small)]).unwrap().remove(0);
        assert_eq!(proved.is_ok(), is_good, "{proved:?}");
        assert!(proved.is_err() || proved.unwrap().evidence() == Evidence::ReadBack);
        assert_eq!(session.stat(&[key(NAMES[0])]).unwrap().remove(0).unwrap().is_some(), is_good);
    }
}

#[test]
fn a_bad_copy_that_may_not_be_removed_is_told() {
    let (_proxy, config, _bucket) = behind(&seaweed(), |asked| match asked.method.as_str() {
        "HEAD" if asked.path.contains("10.5072") => {
            Act::Change("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        }
        "PUT" if is_small(asked) => WRONG,
        "DELETE" => refusal(403, "AccessDenied"),
        _ => Act::Forward,
    });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("stuck")).unwrap();
    let answer = put(session.as_mut(), &[(NAMES[0], b"bytes")]).unwrap().remove(0);
    assert!(matches!(&answer, Err(Unstaged::Sink(it)) if it.chain().contains("could not be removed")), "{answer:?}");
}

const WRONG: Act = Act::Change("etag", "\"0123456789abcdef0123456789abcdef\"");

#[test]
fn a_wrong_etag_is_never_a_proof() {
    // Of a part: the service took other bytes than were sent.
    let (_proxy, config, _bucket) = behind(&swift(), |it| if is_part(it) { WRONG } else { Act::Forward });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("part")).unwrap();
    let (small, large) = some_objects();
    let staged = stage(session.as_mut(), &[(NAMES[1], &large)]).unwrap().remove(0);
    assert!(matches!(staged, Err(Unstaged::Verify(_))), "{staged:?}");
    assert_eq!(session.stat(&[key(NAMES[1])]).unwrap().remove(0).unwrap(), None);
    // Of an object: it may be no MD5, so the bytes decide.
    let (proxy, config, _bucket) = behind(&swift(), |it| match it.is("HEAD", "10.5072") || is_small(it) {
        true => WRONG,
        false => Act::Forward,
    });
    let sink = S3Sink::new(config).unwrap();
    let mut session = sink.connect(&run("object")).unwrap();
    let proved = put(session.as_mut(), &[(NAMES[0], &small)]).unwrap().remove(0).unwrap();
    assert_eq!(proved.evidence(), Evidence::ReadBack);
    assert_eq!(proxy.count("GET", "10.5072"), 1);
}
