//! Services with names that XML cannot write, and with limits of their own.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use dvb_s3::{S3Sink, S3SinkConfig};
use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, Listing, Sink as _, SinkSession, Unstaged};
use dvb_testkit::swift as server;

use crate::proxy::{Act, Asked, refusal};
use crate::sink::{behind, key, put, run};
use crate::world::{Service, seaweed, swift};

const ODD: [&str; 4] = ["10.5072/FK2/a\u{1}\u{b}b", "10.5072/FK2/a +b%20c&<d>", "10.5072/FK2/é\u{301}", "z"];

/// Names, and what was shown as an error.
fn listed(session: &mut dyn SinkSession) -> (BTreeSet<String>, Vec<String>) {
    let (mut names, mut errors) = (BTreeSet::new(), Vec::new());
    session
        .list(Listing::Copies, &mut |found| {
            match found {
                Ok(found) => assert!(names.insert(found.name), "an object is shown once"),
                Err(error) => errors.push(error.chain()),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (names, errors)
}

#[test]
fn names_with_control_characters_are_listed() {
    for service in [seaweed(), swift()] {
        let (proxy, config, _bucket) = behind(&service, |_| Act::Forward);
        let mut session = S3Sink::new(config).unwrap().connect(&run("odd")).unwrap();
        for (name, done) in ODD.iter().zip(put(session.as_mut(), &ODD.map(|it| (it, &b"x"[..]))).unwrap()) {
            done.unwrap_or_else(|error| panic!("{name:?}: {error:?}"));
        }
        assert_eq!(listed(session.as_mut()), (ODD.map(str::to_owned).into(), Vec::new()), "{}", service.url);
        assert!(proxy.count("GET", "encoding-type=url") > 0);
    }
}

#[test]
fn a_service_that_cannot_encode_names_is_asked_without() {
    for (status, code) in [(400, "InvalidArgument"), (501, "NotImplemented")] {
        let (_proxy, config, _bucket) =
            behind(
                &seaweed(),
                move |asked: &Asked| {
                    if asked.path.contains("encoding-type") { refusal(status, code) } else { Act::Forward }
                },
            );
        let mut session = S3Sink::new(config).unwrap().connect(&run("plain")).unwrap();
        put(session.as_mut(), &[("a b+c", b"x")]).unwrap().remove(0).unwrap();
        assert_eq!(listed(session.as_mut()), (["a b+c".to_owned()].into(), Vec::new()));
    }
}

#[test]
fn a_page_that_cannot_be_read_is_said_and_does_not_take_the_others() {
    let xml = |text: &str| Act::Answer(200, vec![("content-type", "application/xml".into())], text.into());
    let first = "<R><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><EncodingType>url\
                 </EncodingType><Contents><Key>copies/a%01</Key></Contents><Contents><Key>copies/%E9</Key></Contents></R>";
    let endless = "<R><IsTruncated>true</IsTruncated><Contents><Key>copies/b</Key></Contents></R>";
    for (second, says) in [
        (xml("<R><Contents><Key>copies/b"), "behind"),
        (xml(endless), "NextContinuationToken"),
        (refusal(500, "InternalError"), "behind"),
    ] {
        let (_proxy, config, _bucket) = behind(&seaweed(), move |asked| match asked.method.as_str() {
            "GET" if asked.path.contains("continuation-token=t") => second.clone(),
            "GET" if asked.path.contains("list-type=2") => xml(first),
            _ => Act::Forward,
        });
        let mut session = S3Sink::new(config).unwrap().connect(&run("bad")).unwrap();
        let (names, errors) = listed(session.as_mut());
        assert!(names.contains("a\u{1}") && errors.len() == 2, "{names:?} {errors:?}");
        assert!(errors[0].contains("%E9") && errors[1].contains(says), "{errors:?}");
        // Whoever has to know all of them is not told less.
        assert!(session.list_own("").is_err() || says == "behind");
    }
}

#[test]
fn a_journal_that_cannot_be_read_costs_no_upload_of_a_run_under_way() {
    let broken = |asked: &Asked, name: &str| asked.is("GET", "/uploads/") && asked.path.contains(name);
    for (name, is_live) in [("live", true), ("dead", false)] {
        let (proxy, config, _bucket) = behind(&seaweed(), move |asked| {
            if broken(asked, name) { Act::Answer(200, Vec::new(), b"[\"copies/a".to_vec()) } else { Act::Forward }
        });
        let parts = S3SinkConfig { single_put: 0, ..config };
        let sink = S3Sink::new(parts).unwrap();
        for run_name in ["live", "dead"] {
            // What is staged and left is an open upload.
            let mut session = sink.connect(&run(run_name)).unwrap();
            crate::sink::stage(session.as_mut(), &[("a", b"bytes")]).unwrap().remove(0).unwrap();
        }
        let mut session = sink.connect(&run("sweeping")).unwrap();
        assert_eq!(session.sweep(&|it| *it == run("dead")).unwrap(), 0);
        assert_eq!((proxy.count("DELETE", "uploadId="), proxy.count("DELETE", "/uploads/")), (0, 0), "{name}");
        let told = if is_live { "run under way" } else { "cannot be read" };
        assert!(sink.notes().iter().any(|it| it.contains(told)), "{:?}", sink.notes());
    }
}

/// Swift that takes at most so many bytes at once.
fn small(max_file_size: u64) -> (server::Server, Service) {
    let server = server::Server::start_with(server::Options { max_file_size, ..server::Options::default() });
    let service = Service { url: server.url.clone(), access: server.user.clone(), secret: server.key.clone() };
    (server, service)
}

fn stored_at_last(session: &mut dyn SinkSession, name: &str, bytes: &[u8], attempts: usize) {
    for attempt in 1.. {
        let failure = match put_one(session, name, bytes) {
            Ok(()) => {
                assert_eq!(attempt, attempts);
                return;
            }
            Err(failure) => failure,
        };
        let Unstaged::Sink(error) = &failure else { panic!("{failure:?}") };
        assert!(error.cause == Cause::Transient && error.chain().contains("smaller parts"), "{error:?}");
    }
}

fn put_one(session: &mut dyn SinkSession, name: &str, bytes: &[u8]) -> Result<(), Unstaged> {
    let staged = crate::sink::stage(session, &[(name, bytes)]).unwrap().remove(0)?;
    session.commit(vec![dvb_storage::CommitRequest { staged, replace: false }]).unwrap().remove(0).map(drop)
}

#[test]
fn what_is_too_large_at_once_is_sent_in_parts() {
    let (_server, service) = small(11 << 19);
    let bucket = service.bucket("small");
    let bytes = some_bytes(3, 12 << 20);
    let config = service.sink(&bucket.name(), "copies");
    let one_put = S3SinkConfig { single_put: 16 << 20, ..config.clone() };
    let large_parts = S3SinkConfig { part_size: 16 << 20, ..config.clone() };
    for (n, (config, attempts)) in [(one_put, 2), (large_parts, 3), (config, 1)].into_iter().enumerate() {
        let sink = S3Sink::new(config).unwrap();
        let mut session = sink.connect(&run("large")).unwrap();
        stored_at_last(session.as_mut(), &format!("{n}/a"), &bytes, attempts);
        // It is known now.
        stored_at_last(session.as_mut(), &format!("{n}/b"), &bytes, 1);
        assert_eq!(sink.notes().len(), usize::from(attempts > 1), "{:?}", sink.notes());
        session.rename(&key(&format!("{n}/a")), &key(&format!("{n}/c"))).unwrap();
        let found = session.measure(&[key(&format!("{n}/c"))], &[]).unwrap().remove(0).unwrap();
        assert_eq!(found.size, 12 << 20);
    }
}

#[test]
fn a_service_that_takes_no_part_at_all_says_so() {
    let (_server, service) = small(1 << 20);
    let bucket = service.bucket("tiny");
    let sink = S3Sink::new(service.sink(&bucket.name(), "copies")).unwrap();
    let mut session = sink.connect(&run("tiny")).unwrap();
    let failure = put_one(session.as_mut(), "a", &some_bytes(3, 12 << 20)).unwrap_err();
    let Unstaged::Sink(error) = failure else { panic!("{failure:?}") };
    assert!(error.cause != Cause::Transient && error.chain().contains("EntityTooLarge"), "{error:?}");
}

#[test]
fn a_key_that_is_too_long_is_no_failure_of_the_service() {
    for service in [seaweed(), swift()] {
        let (_proxy, config, _bucket) = behind(&service, |_| Act::Forward);
        let mut session = S3Sink::new(config).unwrap().connect(&run("long")).unwrap();
        // With "copies/", 1024 bytes go and 1025 do not.
        let name = |len: usize| {
            format!("{}/{}", "d".repeat(200), ["x".repeat(200).as_str(); 5].join("/"))[..len - 7].to_owned()
        };
        let (fits, long) = (name(1024), name(1025));
        let answers = crate::sink::stage(session.as_mut(), &[("a", b"a"), (&long, b"b"), (&fits, b"c")]).unwrap();
        let causes: Vec<_> = answers.iter().map(|it| it.as_ref().err().map(|it| format!("{it:?}"))).collect();
        assert!(causes[0].is_none() && causes[2].is_none(), "{causes:?}");
        let Err(Unstaged::Sink(error)) = &answers[1] else { panic!("{causes:?}") };
        assert_eq!(error.cause, Cause::Unnameable);
        assert_eq!(session.stat(&[key(&long)]).unwrap().remove(0).unwrap(), None);
    }
}

#[test]
fn a_key_that_only_the_service_refuses_is_one_that_it_cannot_have() {
    for code in ["KeyTooLongError", "XMinioInvalidObjectName"] {
        let (_proxy, config, _bucket) =
            behind(
                &seaweed(),
                move |asked| {
                    if asked.is("PUT", "/copies/10") { refusal(400, code) } else { Act::Forward }
                },
            );
        let mut session = S3Sink::new(config).unwrap().connect(&run("refused")).unwrap();
        let Err(Unstaged::Sink(error)) = put(session.as_mut(), &[("10/a", b"a")]).unwrap().remove(0) else { panic!() };
        assert_eq!(error.cause, Cause::Unnameable, "{code}");
    }
}

#[test]
fn a_service_without_room_is_full() {
    for (status, code) in [(507, "InsufficientStorage"), (507, ""), (403, "QuotaExceeded"), (400, "XMinioStorageFull")]
    {
        let (_proxy, config, _bucket) =
            behind(
                &seaweed(),
                move |asked| {
                    if asked.is("PUT", "/copies/10") { refusal(status, code) } else { Act::Forward }
                },
            );
        let mut session = S3Sink::new(config).unwrap().connect(&run("full")).unwrap();
        let Err(Unstaged::Sink(error)) = put(session.as_mut(), &[("10/a", b"a")]).unwrap().remove(0) else { panic!() };
        assert_eq!(error.cause, Cause::Full, "{status} {code}");
    }
}
