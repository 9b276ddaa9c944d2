//! Deleting copies in a container: with their segments and versions, and what was cut.

use dvb_model::{ObjectKey, RunId};
use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, Demand, Held, HeldKind, Purger as _, SinkSession, conformance};
use dvb_swift::{Limits, SwiftAccount, SwiftAuth, SwiftPurger};
use dvb_testkit::swift::{self, Options, Server};

use crate::{SMALL, commit, connect, get, key, put, run, sink, sink_config, stage, tempauth};

const AT: &str = "10.5072/FK2/A/15b2";
const LARGE: usize = 2_500_000;

fn purger(server: &Server, container: &str) -> SwiftPurger {
    SwiftPurger::new(sink_config(tempauth(server), container, SMALL, Demand::Auto)).unwrap()
}

fn kinds(held: &[Held]) -> Vec<HeldKind> {
    held.iter().map(|it| it.kind).collect()
}

/// Deletes what is held until nothing is.
fn purge(purger: &mut SwiftPurger, at: &ObjectKey) {
    for _ in 0..5 {
        for held in purger.held(at).unwrap() {
            purger.delete(&held).unwrap();
        }
    }
    assert_eq!(purger.held(at).unwrap(), []);
}

/// Stores an object over what is there.
fn replace(session: &mut dyn SinkSession, at: &ObjectKey, bytes: &[u8]) {
    let staged = stage(session, at, bytes).unwrap();
    let request = dvb_storage::CommitRequest { staged, replace: true };
    session.commit(vec![request]).unwrap().remove(0).unwrap();
}

/// Has a container and that of its segments keep versions, by these headers.
fn keep_versions(server: &Server, container: &str, header: &str) {
    for of in [container.to_owned(), format!("{container}_segments")] {
        let archive = format!("{of} old");
        server.make_container(&archive);
        let value = if header == "X-Versions-Enabled" { "true" } else { &archive.replace(' ', "%20") };
        let answer = server.request("PUT", &of, "", &[(header, value)], b"");
        assert!(answer.status < 300, "{of}: {}", answer.status);
    }
}

/// Everything in the four containers, with versions.
fn all(server: &Server, container: &str) -> Vec<String> {
    let mut found = Vec::new();
    for of in [container.to_owned(), format!("{container}_segments")] {
        let versions = server.request("GET", &of, "?versions&format=json", &[], b"");
        let rows: serde_json::Value = serde_json::from_slice(&versions.body).unwrap_or_default();
        found.extend(rows.as_array().into_iter().flatten().map(|it| format!("{of}: {it}")));
        found.extend(server.list(&format!("{of} old")));
    }
    found
}

#[test]
fn a_container_keeps_the_promises_of_a_purger() {
    let server = swift::shared();
    for size in [100, LARGE] {
        let container = swift::container("purger");
        let sink = sink(tempauth(server), &container);
        dvb_storage::Sink::make(&sink).unwrap();
        let kept = conformance::purged(&sink, &mut purger(server, &container), "10.5072/FK2", size);
        assert_eq!(kept, Ok(()), "{size}");
        assert!(server.list(&format!("{container}_segments")).is_empty());
    }
}

#[test]
fn a_container_with_versions_keeps_them_too() {
    let server = swift::shared();
    for header in ["X-Versions-Enabled", "X-Versions-Location", "X-History-Location"] {
        let container = swift::container("purger-versions");
        keep_versions(server, &container, header);
        let sink = sink(tempauth(server), &container);
        // One segment is enough, and Swift is slow with versions.
        let kept = conformance::purged(&sink, &mut purger(server, &container), "10.5072/FK2", 100_000);
        assert_eq!(kept, Ok(()), "{header}");
        assert_eq!(all(server, &container), <Vec<String>>::new(), "{header}");
    }
}

#[test]
fn versions_that_do_not_show_are_deleted_with_their_segments() {
    let server = swift::shared();
    for header in ["X-Versions-Enabled", "X-Versions-Location", "X-History-Location"] {
        let container = swift::container("purger-hidden");
        keep_versions(server, &container, header);
        let mut session = connect(&sink(tempauth(server), &container));
        let (main, other) = (key(AT), key(&format!("{AT}.orig")));
        for n in 0..3 {
            for at in [&main, &other] {
                replace(session.as_mut(), at, &some_bytes(n, LARGE + usize::try_from(n).unwrap()));
            }
        }
        // Whoever deletes by name only hides it, or brings the one before it forward.
        server.delete(&container, AT);
        let mut purger = purger(server, &container);
        let held = purger.held(&main).unwrap();
        assert!(held.iter().filter(|it| it.kind == HeldKind::Segment).count() >= 9, "{header}: {held:?}");
        assert!(held.iter().filter(|it| it.kind == HeldKind::Manifest).count() >= 2, "{header}: {held:?}");
        purge(&mut purger, &main);
        let left = all(server, &container);
        let of_main = purger.held(&other).unwrap().len();
        assert_eq!(left.len(), of_main, "{header}: {left:#?}");
        assert!(get(session.as_mut(), &other).unwrap() == some_bytes(2, LARGE + 2), "{header}");
    }
}

#[test]
fn segments_whose_manifest_was_replaced_are_found_by_their_key() {
    let (server, container) = (swift::shared(), swift::container("purger-replaced"));
    let mut session = connect(&sink(tempauth(server), &container));
    for n in 0..2 {
        replace(session.as_mut(), &key(AT), &some_bytes(n, LARGE));
    }
    replace(session.as_mut(), &key(AT), b"small");
    let mut purger = purger(server, &container);
    assert_eq!(kinds(&purger.held(&key(AT)).unwrap()), [&[HeldKind::Segment; 6][..], &[HeldKind::Object]].concat());
    purge(&mut purger, &key(AT));
    assert!(server.list(&format!("{container}_segments")).is_empty() && server.list(&container).is_empty());
}

#[test]
fn an_upload_that_was_cut_is_held_by_its_key() {
    let (server, container) = (swift::shared(), swift::container("purger-cut"));
    let mut session = connect(&sink(tempauth(server), &container));
    for at in [AT, "10.5072/FK2/A/15b2.orig"] {
        drop(stage(session.as_mut(), &key(at), &some_bytes(1, LARGE)).unwrap());
    }
    drop(session);
    let mut purger = purger(server, &container);
    assert_eq!(kinds(&purger.held(&key(AT)).unwrap()), [&[HeldKind::Segment; 3][..], &[HeldKind::Upload]].concat());
    purge(&mut purger, &key(AT));
    assert_eq!(server.list(&format!("{container}_segments")).len(), 4);
    assert_eq!(connect(&sink(tempauth(server), &container)).sweep(&|it| *it == run()).unwrap(), 1);
}

#[test]
fn a_large_copy_that_was_given_another_key_belongs_to_that_one() {
    let (server, container) = (swift::shared(), swift::container("purger-moved"));
    let mut session = connect(&sink(tempauth(server), &container));
    let (from, to, bytes) = (key(AT), key("10.5072/FK2/A/15b2.orig"), some_bytes(1, LARGE));
    put(session.as_mut(), &from, &bytes).unwrap();
    session.rename(&from, &to).unwrap();
    put(session.as_mut(), &from, &some_bytes(2, LARGE)).unwrap();
    let mut purger = purger(server, &container);
    purge(&mut purger, &from);
    assert!(get(session.as_mut(), &to).unwrap() == bytes);
    purge(&mut purger, &to);
    assert!(server.list(&format!("{container}_segments")).is_empty() && server.list(&container).is_empty());
}

/// As a rename that broke off leaves it, and as somebody else names segments.
#[test]
fn segments_that_another_manifest_names_too_stay() {
    let (server, container) = (swift::shared(), swift::container("purger-shared"));
    drop(connect(&sink(tempauth(server), &container)));
    let segments = format!("{container}_segments");
    server.make_container(&segments);
    server.put(&segments, "elsewhere/1", b"bytes of both");
    let manifest = serde_json::json!([{"path": format!("/{segments}/elsewhere/1")}]).to_string();
    let other = "10.5072/FK2/B/15b3";
    for at in [AT, other] {
        let answer =
            server.request("PUT", &format!("{container}/{at}"), "?multipart-manifest=put", &[], manifest.as_bytes());
        assert_eq!(answer.status, 201);
    }
    let mut purger = purger(server, &container);
    assert_eq!(kinds(&purger.held(&key(AT)).unwrap()), [HeldKind::Manifest]);
    purge(&mut purger, &key(AT));
    assert_eq!(server.get(&container, other).unwrap(), b"bytes of both");
    assert_eq!(kinds(&purger.held(&key(other)).unwrap()), [HeldKind::Segment, HeldKind::Manifest]);
    purge(&mut purger, &key(other));
    assert!(server.list(&segments).is_empty());
}

#[test]
fn the_segments_of_the_originals_large_objects_go_with_them() {
    let (server, container) = (swift::shared(), swift::container("purger-dynamic"));
    drop(connect(&sink(tempauth(server), &container)));
    let segments = format!("{container}_segments");
    server.make_container(&segments);
    for at in [AT, "10.5072/FK2/A/15b2.orig"] {
        let below = format!("{at}/1400000000.0/13/7/");
        for n in 0..2 {
            server.put(&segments, &format!("{below}0000000{n}"), b"segment");
        }
        let header = [("X-Object-Manifest", &*format!("{segments}/{below}"))];
        assert_eq!(server.request("PUT", &format!("{container}/{at}"), "", &header, b"").status, 201);
    }
    let mut purger = purger(server, &container);
    let held = purger.held(&key(AT)).unwrap();
    assert_eq!(kinds(&held), [HeldKind::Segment, HeldKind::Segment, HeldKind::Manifest]);
    purge(&mut purger, &key(AT));
    assert_eq!(server.list(&segments).len(), 2);
    // All objects of a container are nobody's segments.
    let header = [("X-Object-Manifest", &*format!("{segments}/1"))];
    assert_eq!(server.request("PUT", &format!("{container}/{AT}"), "", &header, b"").status, 201);
    assert_eq!(purger.held(&key(AT)).unwrap_err().cause, Cause::Io);
}

#[test]
fn listings_of_many_pages_show_all_versions() {
    let server = Server::start_with(Options { listing_limit: 3, ..Options::default() });
    for header in ["X-Versions-Enabled", "X-History-Location"] {
        let container = swift::container("purger-pages");
        keep_versions(&server, &container, header);
        let limits = Limits { segment: 400_000, ..SMALL };
        let sink = dvb_swift::SwiftSink::new(sink_config(tempauth(&server), &container, limits, Demand::Auto));
        let mut session = connect(&sink);
        for n in 0..5 {
            replace(session.as_mut(), &key(AT), &some_bytes(n, LARGE));
        }
        let mut purger = purger(&server, &container);
        let held = purger.held(&key(AT)).unwrap();
        assert_eq!(held.iter().filter(|it| it.kind == HeldKind::Manifest).count(), 5, "{header}: {held:?}");
        assert_eq!(held.iter().filter(|it| it.kind == HeldKind::Segment).count(), 35, "{header}: {held:?}");
        purge(&mut purger, &key(AT));
        assert_eq!(all(&server, &container), <Vec<String>>::new());
    }
}

#[test]
fn who_may_not_list_or_delete_is_told() {
    let (server, container) = (swift::shared(), swift::container("purger-rights"));
    put(connect(&sink(tempauth(server), &container)).as_mut(), &key(AT), b"bytes").unwrap();
    let held = purger(server, &container).held(&key(AT)).unwrap();
    let auth = SwiftAuth::V1 { user: "test:tester3".into(), key: "testing3".into(), tenant: None };
    let other = SwiftAccount { auth, ..tempauth(server) };
    let mut other = SwiftPurger::new(sink_config(other, &container, SMALL, Demand::Auto)).unwrap();
    assert_eq!(other.held(&key(AT)).unwrap_err().cause, Cause::Forbidden);
    assert_eq!(other.delete(&held[0]).unwrap_err().cause, Cause::Forbidden);
    assert_eq!(server.get(&container, AT).unwrap(), b"bytes");
    let mut none = purger(server, &swift::container("purger-none"));
    assert_eq!(none.held(&key(AT)).unwrap_err().cause, Cause::Absent);
}

#[test]
fn own_objects_and_copies_set_aside_are_asked_for_by_their_own_keys() {
    let (server, container) = (swift::shared(), swift::container("purger-own"));
    let mut session = connect(&sink(tempauth(server), &container));
    let own = ObjectKey::own("catalogue-20260101T000000Z-a.jsonl.zst").unwrap();
    put(session.as_mut(), &own, &some_bytes(5, LARGE)).unwrap();
    let staged = stage(session.as_mut(), &key(AT), &some_bytes(6, LARGE)).unwrap();
    commit(session.as_mut(), staged).unwrap();
    let mut purger = purger(server, &container);
    purge(&mut purger, &own);
    assert!(get(session.as_mut(), &key(AT)).unwrap() == some_bytes(6, LARGE));
    let aside = key(AT).set_aside(&RunId("20260102T000000Z-b".into())).unwrap();
    session.rename(&key(AT), &aside).unwrap();
    assert_eq!(purger.held(&key(AT)).unwrap().len(), 4);
    assert_eq!(purger.held(&aside).unwrap().len(), 4);
    purge(&mut purger, &aside);
    assert_eq!(purger.held(&key(AT)).unwrap(), []);
}
