//! What is told to the server's disk, and in which order.

use dvb_storage::CommitRequest;
use dvb_testkit::sshd::{Kind, Server};

use super::{commit, connect, stage, stage_one};

#[test]
fn bytes_are_flushed_before_names_and_names_before_the_proof() {
    let server = Server::start();
    let account = server.account(Kind::External).fresh("durable");
    let mut session = connect(&account);
    let before = server.external_log().len();
    let staged = stage_one(session.as_mut(), "new/folder/file", b"bytes");
    let temporary = staged.handle.clone();
    commit(session.as_mut(), staged, false).unwrap();
    let log = server.external_log().split_off(before);
    let root = &account.root;
    let mut at = 0;
    for step in [
        format!("fsync \"{temporary}\""),
        format!("rename old \"{temporary}\" new \"{root}/new/folder/file\""),
        format!("fsync \"{root}/\""),
        format!("fsync \"{root}/new\""),
        format!("fsync \"{root}/new/folder\""),
    ] {
        let found = log[at..].find(&step).unwrap_or_else(|| panic!("no {step} after {at} in\n{log}"));
        at += found + step.len();
    }
    drop(session);

    // Folders that were there already are flushed only where a name was given in them.
    let mut session = connect(&account);
    let before = server.external_log().len();
    let staged = stage(session.as_mut(), &[("new/folder/a", b"a"), ("new/folder/b", b"b")]);
    let batch = staged.into_iter().map(|it| CommitRequest { staged: it.unwrap(), replace: false });
    session.commit(batch.collect()).unwrap();
    let log = server.external_log().split_off(before);
    assert_eq!(log.matches(&format!("fsync \"{root}/new/folder\"")).count(), 1, "{log}");
    assert_eq!(log.matches(&format!("fsync \"{root}/new\"")).count(), 0, "{log}");
}
