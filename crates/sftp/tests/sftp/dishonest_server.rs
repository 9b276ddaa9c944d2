//! What lies at the destination is not believed to be what was sent.

use std::fs;

use dvb_fixity::Evidence;
use dvb_storage::conformance::some_bytes;
use dvb_storage::{Cause, CommitRequest, Demand, Unstaged};
use dvb_testkit::sshd::Kind;

use super::{
    commit, config, connect, connect_with, get, key, server, shown, sink_error, stage, stage_one, temporaries,
};

#[test]
fn bytes_that_changed_after_they_were_sent_do_not_show() {
    for (kind, demand) in
        [(Kind::Shell, Demand::RemoteHash), (Kind::Shell, Demand::ReadBack), (Kind::SftpOnly, Demand::Auto)]
    {
        for change in ["flip", "cut", "grow", "empty"] {
            let account = server().account(kind).fresh("lie");
            let mut session = connect_with(config(&account, demand)).unwrap();
            let bytes = some_bytes(1, 100_000);
            let good = stage_one(session.as_mut(), "good", b"good");
            let staged = stage_one(session.as_mut(), "bad", &bytes);
            let temporary = temporaries(&account).into_iter().find(|it| fs::read(it).unwrap() == bytes).unwrap();
            let mut altered = bytes;
            match change {
                "flip" => altered[50_000] ^= 1,
                "cut" => altered.truncate(99_999),
                "grow" => altered.push(0),
                _ => altered.clear(),
            }
            fs::write(&temporary, altered).unwrap();
            let batch = [staged, good].map(|staged| CommitRequest { staged, replace: true });
            let mut answers = session.commit(batch.into()).unwrap();
            let good = answers.pop().unwrap().unwrap();
            let expected = if demand == Demand::RemoteHash { Evidence::RemoteHash } else { Evidence::ReadBack };
            assert_eq!(good.evidence(), expected);
            let bad = answers.pop().unwrap();
            assert!(matches!(bad, Err(Unstaged::Verify(_))), "{kind:?} {demand:?} {change}: {bad:?}");
            assert_eq!(shown(&account), ["good"]);
            assert!(temporaries(&account).is_empty(), "the bad copy is left");
        }
    }
}

#[test]
fn a_temporary_that_vanished_is_no_proof() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("gone");
        let mut session = connect(&account);
        let staged = stage_one(session.as_mut(), "a", b"bytes");
        temporaries(&account).iter().for_each(|it| fs::remove_file(it).unwrap());
        sink_error(commit(session.as_mut(), staged, false));
        assert_eq!(shown(&account), [""; 0]);
    }
}

#[test]
fn what_came_to_the_key_in_the_meantime_stays() {
    for kind in [Kind::Shell, Kind::SftpOnly, Kind::External, Kind::Bare] {
        let account = server().account(kind).fresh("taken");
        let mut session = connect(&account);
        let answers = stage(session.as_mut(), &[("d/file", b"new"), ("d/link", b"new"), ("d/folder", b"new")]);
        fs::create_dir_all(account.local.join("d/folder")).unwrap();
        account.hand_over(&account.local.join("d"));
        fs::write(account.local.join("d/file"), "old").unwrap();
        std::os::unix::fs::symlink("/nowhere", account.local.join("d/link")).unwrap();
        for answer in answers {
            let staged = answer.unwrap();
            let at = staged.key.clone();
            let error = sink_error(commit(session.as_mut(), staged, false));
            assert_eq!(error.cause, Cause::Exists, "{kind:?} {at}: {}", error.chain());
        }
        assert_eq!(get(session.as_mut(), "d/file"), b"old");
        assert_eq!(fs::read_link(account.local.join("d/link")).unwrap().to_str(), Some("/nowhere"));
        assert!(account.local.join("d/folder").is_dir());
        assert!(temporaries(&account).is_empty());
    }
}

#[test]
fn a_name_that_was_not_given_is_no_proof() {
    for (quirk, replace) in [("idle-rename", false), ("idle-posix-rename", true)] {
        let server = dvb_testkit::asyncssh::start(&[quirk]);
        let account = server.account().fresh("idle");
        let mut session = connect(&account);
        if replace {
            fs::write(account.local.join("a"), "dated").unwrap();
        }
        let staged = stage_one(session.as_mut(), "a", b"bytes");
        let error = sink_error(commit(session.as_mut(), staged, replace));
        assert_eq!(error.cause, Cause::Io, "{quirk}: {}", error.chain());
        assert!(error.attempt.contains("not to be trusted"), "{quirk}: {}", error.chain());
        assert!(fs::read(account.local.join("a")).ok() != Some(b"bytes".to_vec()), "{quirk}: the test shows nothing");
    }
}

#[test]
fn a_link_in_the_place_of_a_copy_is_no_copy() {
    for kind in [Kind::Shell, Kind::SftpOnly, Kind::Bare] {
        let account = server().account(kind).fresh("link");
        fs::write(account.local.join("elsewhere"), "bytes").unwrap();
        account.hand_over(&account.local.join("elsewhere"));
        std::os::unix::fs::symlink("elsewhere", account.local.join("a")).unwrap();
        let mut session = connect(&account);
        let at = [key("a")];
        assert_eq!(session.stat(&at).unwrap().remove(0).unwrap_err().cause, Cause::Broken, "{kind:?}");
        assert_eq!(session.measure(&at, &[]).unwrap().remove(0).unwrap_err().cause, Cause::Broken, "{kind:?}");
        assert_eq!(session.open(&at[0]).map(drop).unwrap_err().cause, Cause::Broken, "{kind:?}");
    }
}

#[test]
fn two_of_one_batch_do_not_share_a_key() {
    for kind in [Kind::Shell, Kind::Bare] {
        let account = server().account(kind).fresh("twice");
        let mut session = connect(&account);
        let staged = stage(session.as_mut(), &[("same", b"one"), ("same", b"two")]).into_iter().map(Result::unwrap);
        let answers = session.commit(staged.map(|staged| CommitRequest { staged, replace: false }).collect()).unwrap();
        let [first, second] = <[_; 2]>::try_from(answers).unwrap();
        first.unwrap();
        assert_eq!(sink_error(second).cause, Cause::Exists);
        assert_eq!(get(session.as_mut(), "same"), b"one");
    }
}

#[test]
fn replacing_puts_the_proved_bytes_in_place() {
    for kind in [Kind::Shell, Kind::Bare] {
        let account = server().account(kind).fresh("replace");
        fs::write(account.local.join("a"), "bad").unwrap();
        let mut session = connect(&account);
        let staged = stage_one(session.as_mut(), "a", b"good");
        commit(session.as_mut(), staged, true).unwrap();
        assert_eq!(fs::read(account.local.join("a")).unwrap(), b"good");
        let staged = stage_one(session.as_mut(), "fresh", b"new");
        commit(session.as_mut(), staged, true).unwrap();
    }
}
