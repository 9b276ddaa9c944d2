//! Deleting copies on an SSH server.

use std::fs;

use dvb_sftp::{SftpPurger, SftpSink};
use dvb_storage::{Cause, Demand, HeldKind, Purger as _, conformance};
use dvb_testkit::sshd::Kind;

use super::{config, connect, key, put, run_id, server};

#[test]
fn a_server_keeps_the_promises_of_a_purger() {
    for kind in [Kind::Shell, Kind::SftpOnly, Kind::Bare] {
        let account = server().account(kind).fresh("purger");
        let config = config(&account, Demand::Auto);
        let mut purger = SftpPurger::open(&config, &run_id("20000102T000000Z-purge")).unwrap();
        let kept = conformance::purged(&SftpSink::new(config), &mut purger, "10.5072/FK2", 300_000);
        assert_eq!(kept, Ok(()), "{kind:?}");
        drop(purger);
        let left = account.local.join(".dataverse-backup/tmp/20000102T000000Z-purge");
        assert!(!left.exists(), "{kind:?}");
    }
}

#[test]
fn an_account_that_may_not_delete_is_told_so() {
    let account = server().account(Kind::ReadOnly).fresh("purger-rights");
    fs::write(account.local.join("18f3"), "bytes").unwrap();
    let mut purger = SftpPurger::open(&config(&account, Demand::Auto), &run_id("20000102T000000Z-purge")).unwrap();
    let held = purger.held(&key("18f3")).unwrap();
    assert_eq!(held.iter().map(|it| it.size).collect::<Vec<_>>(), [5]);
    let refused = purger.delete(&held[0]).unwrap_err();
    assert!(refused.cause == Cause::Forbidden && refused.attempt.contains("may delete"), "{refused:?}");
    assert_eq!(purger.held(&key("18f3")).unwrap(), held);
}

#[test]
fn what_one_session_stored_another_one_deletes() {
    let account = server().account(Kind::Shell).fresh("purger-sessions");
    let mut nightly = connect(&account);
    put(nightly.as_mut(), "10.5072/FK2/A/18f3", b"bytes").unwrap();
    let mut purger = SftpPurger::open(&config(&account, Demand::Auto), &run_id("20000102T000000Z-purge")).unwrap();
    let held = purger.held(&key("10.5072/FK2/A/18f3")).unwrap();
    assert_eq!(held.iter().map(|it| it.size).collect::<Vec<_>>(), [5]);
    purger.delete(&held[0]).unwrap();
    assert!(nightly.stat(&[key("10.5072/FK2/A/18f3")]).unwrap()[0].as_ref().unwrap().is_none());
}

#[test]
fn an_upload_that_was_cut_is_held_by_its_key() {
    let account = server().account(Kind::Shell).fresh("purger-cut");
    let left = super::cut_large(&account, "file");
    let mut purger = SftpPurger::open(&config(&account, Demand::Auto), &run_id("20000102T000000Z-purge")).unwrap();
    assert!(purger.held(&key("another")).unwrap().is_empty());
    let held = purger.held(&key("file")).unwrap();
    assert_eq!(held.iter().map(|it| it.kind).collect::<Vec<_>>(), [HeldKind::Upload], "{held:?}");
    assert!(held[0].size > 0 && left.ends_with(&held[0].name), "{held:?}");
    purger.delete(&held[0]).unwrap();
    assert!(!left.exists() && purger.held(&key("file")).unwrap().is_empty());
}

#[test]
fn a_folder_at_the_key_is_broken() {
    let account = server().account(Kind::SftpOnly).fresh("purger-folder");
    connect(&account);
    fs::create_dir_all(account.local.join("a/folder")).unwrap();
    let mut purger = SftpPurger::open(&config(&account, Demand::Auto), &run_id("20000102T000000Z-purge")).unwrap();
    assert_eq!(purger.held(&key("a/folder")).unwrap_err().cause, Cause::Broken);
}
