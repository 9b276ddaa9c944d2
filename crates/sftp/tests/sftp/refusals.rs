//! Accounts that may not store, and disks that are full.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, Demand};
use dvb_testkit::sshd::Kind;

use super::{
    commit, config, connect, connect_with, get, key, put, refused, server, shown, sink_error, stage, stage_one,
    temporaries,
};

#[test]
fn a_read_only_account_serves_for_reading() {
    let account = server().account(Kind::ReadOnly).fresh("read-only");
    fs::write(account.local.join("copy"), b"bytes").unwrap();
    account.hand_over(&account.local.join("copy"));
    let mut session = connect(&account);
    assert_eq!(get(session.as_mut(), "copy"), b"bytes");
    assert_eq!(session.stat(&[key("copy")]).unwrap().remove(0).unwrap().unwrap().size, 5);
    assert_eq!(session.measure(&[key("copy")], &[]).unwrap().remove(0).unwrap().size, 5);
    let answers = stage(session.as_mut(), &[("a", b"1"), ("b", b"2")]);
    assert_eq!(answers.len(), 2);
    for answer in answers {
        let error = sink_error(answer);
        assert_eq!(error.cause, Cause::Forbidden, "{}", error.chain());
        assert!(error.chain().contains("must be able to write"), "{}", error.chain());
    }
    let error = session.rename(&key("copy"), &key("other")).unwrap_err();
    assert_eq!(error.cause, Cause::Forbidden, "{}", error.chain());
    assert_eq!(shown(&account), ["copy"]);
}

#[test]
fn a_folder_of_somebody_else_s_is_named() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("forbidden");
        let locked = account.local.join("locked");
        fs::create_dir(&locked).unwrap();
        account.hand_over(&locked);
        fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
        fs::write(account.local.join("file"), "").unwrap();
        let mut session = connect(&account);
        let answers = ["locked/new/a", "locked/b", "file/c", "good/d"].map(|at| put(session.as_mut(), at, b"bytes"));
        let [new, old, file, good] = answers;
        for (answer, named) in [(new, "locked/new"), (old, "locked/b")] {
            let error = sink_error(answer);
            assert_eq!(error.cause, Cause::Forbidden, "{kind:?}: {}", error.chain());
            assert!(error.chain().contains(named), "{kind:?}: {}", error.chain());
        }
        let error = sink_error(file);
        assert_eq!(error.cause, Cause::Io, "{kind:?}: {}", error.chain());
        assert!(error.chain().contains("make the folder file"), "{kind:?}: {}", error.chain());
        good.unwrap();
        assert_eq!(shown(&account), ["file", "good/d"]);
        assert!(temporaries(&account).is_empty(), "{:?}", temporaries(&account));
    }
}

#[test]
fn a_folder_that_vanished_is_worth_another_session() {
    let account = server().shell().fresh("vanished");
    let mut session = connect(&account);
    put(session.as_mut(), "a/b", b"1").unwrap();
    fs::remove_dir_all(account.local.join("a")).unwrap();
    let error = sink_error(put(session.as_mut(), "a/c", b"2"));
    assert_eq!(error.cause, Cause::Transient, "{}", error.chain());
    put(connect(&account).as_mut(), "a/c", b"2").unwrap();
}

/// 1 MiB, shared by all tests of it, one at a time.
fn on_a_full_disk(test: impl FnOnce(&dvb_testkit::sshd::Account)) {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    if !server().has_full_disk() {
        eprintln!("NOT TESTED: a disk that fills up needs root and the right to mount");
        return;
    }
    let _one = ONE.lock();
    let account = server().account(Kind::FullDisk).fresh("full");
    // Also where the test fails, for the sake of the next one.
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(&account)));
    fs::remove_dir_all(&account.local).unwrap();
    failed.unwrap_or_else(|it| std::panic::resume_unwind(it));
}

#[test]
fn a_full_disk_is_called_so_and_its_room_given_back() {
    on_a_full_disk(|account| {
        let mut session = connect(account);
        let large = some_bytes(1, 3 << 20);
        let larger = some_bytes(2, 5 << 20);
        let (first, second) = (some_bytes(3, 300_000), some_bytes(4, 400_000));
        let answers = stage(session.as_mut(), &[("first", &first), ("large", &large), ("larger", &larger)]);
        let mut answers = answers.into_iter();
        let staged = answers.next().unwrap().unwrap();
        for answer in answers {
            let error = sink_error(answer);
            assert_eq!(error.cause, Cause::Full, "{}", error.chain());
            assert!(error.chain().contains("no space is left"), "{}", error.chain());
        }
        commit(session.as_mut(), staged, false).unwrap();
        // Were there anything left of the others, this would not fit.
        put(session.as_mut(), "second", &second).unwrap();
        assert_eq!(shown(account), ["first", "second"]);
        assert!(temporaries(account).is_empty());
    });
}

#[test]
fn many_small_files_that_fill_a_disk_leave_only_whole_ones() {
    on_a_full_disk(|account| {
        let mut session = connect(account);
        let bytes = some_bytes(5, 20_000);
        let names: Vec<String> = (0..100).map(|n| format!("d/{n}")).collect();
        let batch: Vec<(&str, &[u8])> = names.iter().map(|it| (it.as_str(), bytes.as_slice())).collect();
        let mut stored = 0;
        for answer in stage(session.as_mut(), &batch) {
            match answer {
                Ok(staged) => {
                    stored += 1;
                    commit(session.as_mut(), staged, false).unwrap();
                }
                other => assert_eq!(sink_error(other).cause, Cause::Full),
            }
        }
        assert!((20..100).contains(&stored), "{stored}");
        assert_eq!(shown(account).len(), stored);
        assert!(temporaries(account).is_empty());
    });
}

#[test]
fn a_disk_that_is_full_before_the_start_is_called_so() {
    on_a_full_disk(|account| {
        drop(connect(account)); // the folder for temporaries is there
        let ballast = account.local.join("ballast");
        let mut size = 2 << 20;
        while size > 0 {
            let _ = fs::write(&ballast, vec![0; size]).map(|()| size = 0);
            size -= size.min(4096);
        }
        let mut session = connect_with(config(account, Demand::Auto)).unwrap();
        let error = sink_error(stage(session.as_mut(), &[("a", b"bytes")]).remove(0));
        assert_eq!(error.cause, Cause::Full, "{}", error.chain());
        let error = refused(config(account, Demand::RemoteHash));
        assert_eq!(error.cause, Cause::Full, "{}", error.chain());
        fs::remove_file(ballast).unwrap();
        let staged = stage_one(session.as_mut(), "a", b"bytes");
        commit(session.as_mut(), staged, false).unwrap();
    });
}
