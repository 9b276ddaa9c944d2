//! Large objects.

use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, Demand, Sink as _};
use dvb_swift::{Limits, SwiftSink};
use dvb_testkit::swift::{self, Options, Server};

use crate::{Hooked, SMALL, commit, connect, get, key, put, run, sink, sink_config, stage_payload, tempauth};

const AT: &str = "10.5072/FK2/A/15b2";

fn segments_of(server: &Server, container: &str) -> Vec<String> {
    server.list(&format!("{container}_segments"))
}

#[test]
fn segments_have_the_size_that_was_chosen_and_the_manifest_each_digest() {
    let (server, container) = (swift::shared(), swift::container("large"));
    let mut session = connect(&sink(tempauth(server), &container));
    for (size, expected) in [(2 << 20, 2), ((2 << 20) + 1, 3), (100_000, 1)] {
        let bytes = some_bytes(1, size);
        let at = format!("10.5072/{size}");
        put(session.as_mut(), &key(&at), &bytes).unwrap();
        let manifest = server.request("GET", &format!("{container}/{at}"), "?multipart-manifest=get", &[], b"");
        let manifest: Vec<serde_json::Value> = serde_json::from_slice(&manifest.body).unwrap();
        assert_eq!(manifest.len(), expected);
        for (part, row) in bytes.chunks(1 << 20).zip(&manifest) {
            let name = row["name"].as_str().unwrap();
            let (segments, object) = name.trim_start_matches('/').split_once('/').unwrap();
            assert_eq!(segments, format!("{container}_segments"));
            assert!(server.get(segments, object).unwrap() == part);
        }
        assert!(server.get(&container, &at).unwrap() == bytes, "another client reads the same");
    }
    assert!(segments_of(server, &container).iter().all(|it| it.starts_with("segments/")), "no mark is left");
}

#[test]
fn the_servers_limits_come_first() {
    let server = Server::start_with(Options { max_file_size: 300_000, max_segments: 10, ..Options::default() });
    for (configured, size, expected) in [(1 << 30, 1_000_000, 4), (1000, 2_000_000, 10)] {
        let container = swift::container("limits");
        let limits = Limits { segment: configured, ..Limits::USUAL };
        let sink = SwiftSink::new(sink_config(tempauth(&server), &container, limits, Demand::Auto));
        let mut session = connect(&sink);
        let bytes = some_bytes(2, size);
        put(session.as_mut(), &key(AT), &bytes).unwrap();
        assert_eq!(segments_of(&server, &container).len(), expected);
        assert!(get(session.as_mut(), &key(AT)).unwrap() == bytes);
    }
}

#[test]
fn listings_of_many_pages_are_read_to_the_end() {
    let server = Server::start_with(Options { listing_limit: 3, ..Options::default() });
    let container = swift::container("pages");
    let limits = Limits { segment: 100, held_object: 0, ..SMALL };
    let sink = SwiftSink::new(sink_config(tempauth(&server), &container, limits, Demand::Auto));
    sink.make().unwrap();
    for n in 0..4 {
        let run = dvb_model::RunId(format!("2026010{n}T000000Z-pages"));
        let mut session = sink.connect(&run).unwrap();
        for at in ["a", "b"] {
            drop(crate::stage(session.as_mut(), &key(at), &some_bytes(6, 1000)).unwrap());
        }
    }
    assert_eq!(connect(&sink).sweep(&|_| true).unwrap(), 8);
    assert!(segments_of(&server, &container).is_empty());
}

#[test]
fn an_object_that_lost_a_segment_is_broken() {
    let server = swift::shared();
    let bytes = some_bytes(3, 3_500_000);
    for n in [0, 2, 3] {
        for other in [None, Some(&b"short"[..]), Some(&bytes[1..=1 << 20])] {
            let container = swift::container("lost");
            let mut session = connect(&sink(tempauth(server), &container));
            put(session.as_mut(), &key(AT), &bytes).unwrap();
            let segment = segments_of(server, &container).swap_remove(n);
            put(session.as_mut(), &key("10.5072/good"), &bytes).unwrap();
            let segments = format!("{container}_segments");
            match other {
                None => server.delete(&segments, &segment),
                Some(other) => server.put(&segments, &segment, other),
            }
            let error = session.open(&key(AT)).err().unwrap();
            assert_eq!(error.cause, Cause::Broken, "{n}: {}", error.chain());
            assert!(error.attempt.contains(&segment), "{n}: {}", error.chain());
            let keys = [key(AT), key("10.5072/good"), key("10.5072/none")];
            let [bad, good, none] = <[_; 3]>::try_from(session.measure(&keys, &[]).unwrap()).unwrap();
            assert_eq!((bad.unwrap_err().cause, none.unwrap_err().cause), (Cause::Broken, Cause::Missing), "{n}");
            assert_eq!(good.unwrap().size, 3_500_000, "{n}");
            let size = session.stat(&[key(AT)]).unwrap().remove(0).unwrap().unwrap().size;
            assert_eq!(size, 3_500_000, "the server itself notices nothing");
        }
    }
}

#[test]
fn no_sweep_takes_a_segment_that_a_manifest_names() {
    let (server, container) = (swift::shared(), swift::container("sweep"));
    let mut session = connect(&sink(tempauth(server), &container));
    let bytes = some_bytes(4, 2_500_000);
    put(session.as_mut(), &key(AT), &bytes).unwrap();
    session.rename(&key(AT), &key("10.5072/renamed")).unwrap();
    let staged = crate::stage(session.as_mut(), &key("10.5072/left"), &bytes).unwrap();
    // The segments of both, the mark of the second, and the note that the first has another key now.
    assert_eq!(segments_of(server, &container).len(), 3 + 3 + 1 + 1);
    drop((session, staged));
    let mut sweeper = connect(&sink(tempauth(server), &container));
    assert_eq!(sweeper.sweep(&|it| *it != run()).unwrap(), 0, "only dead runs are swept");
    assert_eq!(sweeper.sweep(&|it| *it == run()).unwrap(), 1);
    assert_eq!(segments_of(server, &container).len(), 3 + 1);
    assert!(get(sweeper.as_mut(), &key("10.5072/renamed")).unwrap() == bytes);
}

#[test]
fn an_own_object_goes_with_its_segments() {
    let (server, container) = (swift::shared(), swift::container("own"));
    let mut session = connect(&sink(tempauth(server), &container));
    let own = dvb_model::ObjectKey::own("catalogue.jsonl.zst").unwrap();
    for size in [100, 2_500_000] {
        put(session.as_mut(), &own, &some_bytes(5, size)).unwrap();
        session.remove_own(&own).unwrap();
        assert!(segments_of(server, &container).is_empty() && server.list(&container).is_empty());
    }
}

/// Bytes of memory of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[test]
fn memory_does_not_grow_with_the_object() {
    const SIZE: u64 = 300 << 20;
    let (server, container) = (swift::shared(), swift::container("memory"));
    let limits = Limits { segment: 100 << 20, ..Limits::USUAL };
    let sink = SwiftSink::new(sink_config(tempauth(server), &container, limits, Demand::Auto));
    let mut session = connect(&sink);
    let before = resident();
    let (told, peak) = std::sync::mpsc::channel();
    let payload = Hooked::new(SIZE, session.as_ref(), move |_| {
        let _ = told.send(resident());
    });
    let staged = stage_payload(session.as_mut(), &key(AT), payload).unwrap();
    commit(session.as_mut(), staged).unwrap();
    let mut most = peak.iter().max().unwrap();
    let mut body = session.open(&key(AT)).unwrap();
    let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
    loop {
        let n = body.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        assert_eq!((buffer[0], buffer[n - 1]), (Hooked::byte(at), Hooked::byte(at + n as u64 - 1)));
        at += n as u64;
        most = most.max(resident());
    }
    assert_eq!(at, SIZE);
    // Other tests of this process need some too.
    assert!(most.saturating_sub(before) < 100 << 20, "{} MiB more", (most - before) >> 20);
}
