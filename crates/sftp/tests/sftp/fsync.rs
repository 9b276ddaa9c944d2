//! What is told to the server's disk, and in which order.

use dvb_storage::{CommitRequest, Demand};
use dvb_testkit::sshd::{Kind, Server};

use super::{commit, config, connect, connect_with, stage, stage_one};

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

#[test]
fn a_folder_that_is_new_is_flushed_though_no_copy_came_into_it() {
    let server = Server::start();
    for open_files in [None, Some(2)] {
        let account = server.account(Kind::External).fresh("changed");
        let mut config = config(&account, Demand::ReadBack);
        config.open_files = open_files;
        let mut session = connect_with(config).unwrap();
        let before = server.external_log().len();
        // The folders are made for the second one, which is damaged meanwhile, and stand where the first one is to be.
        let staged = stage(session.as_mut(), &[("new/folder", b"a"), ("new/folder/file", b"b")]);
        let batch: Vec<_> =
            staged.into_iter().map(|it| CommitRequest { staged: it.unwrap(), replace: false }).collect();
        std::fs::write(&batch[1].staged.handle, b"c").unwrap();
        assert!(session.commit(batch).unwrap().iter().all(Result::is_err));
        let staged = stage_one(session.as_mut(), "new/folder/next", b"bytes");
        commit(session.as_mut(), staged, false).unwrap();
        let log = server.external_log().split_off(before);
        for folder in ["", "new", "new/folder"] {
            let step = format!("fsync \"{}/{folder}\"", account.root);
            assert!(log.contains(&step), "{open_files:?}: no {step} in\n{log}");
        }
    }
}
