//! The same promises at servers that are not OpenSSH, and with the quirks that servers have.

use std::fs;
use std::time::{Duration, Instant};

use dvb_fixity::Evidence;
use dvb_sftp::{SftpConfig, SftpSink};
use dvb_storage::conformance::{self, some_bytes};
use dvb_storage::{Cause, CommitRequest, Demand, Listing, Sink as _};
use dvb_testkit::sshd::{Account, Options, Server};
use dvb_testkit::{asyncssh, proftpd};

use super::{commit, config, connect, get, key, put, run_id, shown, sink_error, stage, stage_one, temporaries};

fn keeps_them(what: &str, account: &Account) -> SftpSink {
    let account = account.fresh("promises");
    let sink = SftpSink::new(config(&account, Demand::Auto));
    assert_eq!(sink.connect(&run_id("x")).unwrap().evidence(), Evidence::ReadBack, "{what}");
    conformance::sink(&sink, "10.5072/FK2").unwrap_or_else(|it| panic!("{what}: {it}"));
    sink
}

#[test]
fn proftpd_keeps_the_promises() {
    for lines in
        ["", "SFTPRekey required 60 1\nSFTPOptions IgnoreSFTPSetPerms", "SFTPExtensions -posixRename -fsync -statvfs"]
    {
        let server = proftpd::start(lines);
        let sink = keeps_them(lines, &server.account());
        assert!(sink.notes().is_empty(), "{lines}: {:?}", sink.notes());
    }
}

#[test]
fn asyncssh_keeps_the_promises() {
    for quirks in [
        &[][..],
        &["no-posix-rename", "no-fsync", "no-limits", "no-statvfs"],
        &["rekey=1000000"],
        &["short-reads"],
        &["handles=1"],
        &["handles=3", "no-posix-rename"],
        &["locked=1"],
    ] {
        let server = asyncssh::start(quirks);
        let sink = keeps_them(&format!("{quirks:?}"), &server.account());
        let notes = sink.notes().join("\n");
        match quirks.iter().find_map(|it| it.strip_prefix("handles=")) {
            Some(n) => assert!(notes.contains(&format!("the open files: {n}")), "{quirks:?}: {notes}"),
            None => assert_eq!(notes, "", "{quirks:?}"),
        }
    }
}

#[test]
fn a_number_of_open_files_that_is_told_is_kept_from_the_start() {
    let server = asyncssh::start(&["handles=2"]);
    let account = server.account().fresh("told");
    let sink = SftpSink::new(SftpConfig { open_files: Some(2), ..config(&account, Demand::Auto) });
    let mut session = sink.connect(&run_id("x")).unwrap();
    let files: Vec<(String, Vec<u8>)> = (0..40).map(|n| (format!("d/{n}"), some_bytes(n, 3000))).collect();
    let batch: Vec<(&str, &[u8])> = files.iter().map(|(at, bytes)| (at.as_str(), bytes.as_slice())).collect();
    let staged = stage(session.as_mut(), &batch).into_iter().map(Result::unwrap);
    let answers = session.commit(staged.map(|staged| CommitRequest { staged, replace: false }).collect()).unwrap();
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!(sink.notes().is_empty(), "{:?}", sink.notes());
}

/// The limit is the account's: another session may hold the one handle.
#[test]
fn sessions_take_turns_where_the_account_has_one_open_file() {
    let server = asyncssh::start(&["handles=1", "handles-of-all"]);
    let account = server.account().fresh("turns");
    let sink = SftpSink::new(config(&account, Demand::Auto));
    std::thread::scope(|scope| {
        for worker in 0..3 {
            let sink = &sink;
            scope.spawn(move || {
                let mut session = sink.connect(&run_id("x")).unwrap_or_else(|it| panic!("{}", it.chain()));
                for n in 0..5 {
                    put(session.as_mut(), &format!("{worker}/{n}"), &some_bytes(n, 200_000))
                        .unwrap_or_else(|it| panic!("{worker} {n}: {it:?}"));
                }
            });
        }
    });
    assert_eq!(shown(&account).len(), 15);
}

fn leftovers(account: &Account) -> Vec<u64> {
    temporaries(account).iter().map(|it| fs::metadata(it).unwrap().len()).collect()
}

#[test]
fn an_account_that_may_remove_nothing_stores_all_the_same() {
    let forbidden = "<Limit DELE RMD>\nDenyAll\n</Limit>";
    let (one, two) = (asyncssh::start(&["no-remove"]), proftpd::start(forbidden));
    for (what, account) in [("asyncssh", one.account()), ("proftpd", two.account())] {
        let account = account.fresh("keeps");
        let sink = || SftpSink::new(config(&account, Demand::Auto));
        conformance::append_only(&sink(), "10.5072/FK2").unwrap_or_else(|it| panic!("{what}: {it}"));
        let mut most = 0;
        for night in 0..4 {
            let sink = sink();
            let run = run_id(&format!("2000010{night}T000000Z-night"));
            let mut session = sink.connect(&run).unwrap();
            session.sweep(&|it| *it != run).unwrap_or_else(|it| panic!("{what}: {}", it.chain()));
            // What comes to nothing leaves nothing that a later object cannot use.
            let staged = stage_one(session.as_mut(), "dropped", &some_bytes(1, 500_000));
            session.discard(vec![staged]).unwrap();
            let name = format!("night/{night}");
            put(session.as_mut(), &name, &some_bytes(night, 1000)).unwrap_or_else(|it| panic!("{what}: {it:?}"));
            assert_eq!(get(session.as_mut(), &name), some_bytes(night, 1000));
            assert!(sink.notes().iter().any(|it| it.contains("can remove nothing")), "{what}: {:?}", sink.notes());
            // As by a kill: the next night finds it, and uses its name.
            stage_one(session.as_mut(), "killed", b"half");
            let left = leftovers(&account);
            assert!(left.iter().all(|it| *it < 100), "{what}: {left:?} bytes are left");
            assert!(night < 2 || left.len() <= most, "{what}: {most} were left, now {:?}", temporaries(&account));
            most = most.max(left.len());
        }
    }
}

/// As with OpenSSH's `sftp-server -P remove,rmdir` beside a shell.
#[test]
fn where_nothing_can_be_removed_runs_with_a_shell_leave_nothing_more_each() {
    let lines = "ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in \"exec sh\") exec sh;; \
                 *) exec /usr/lib/openssh/sftp-server -P remove,rmdir;; esac\n";
    let server = Server::start_with(Options { lines: lines.into(), ..Options::default() });
    let account = server.shell().fresh("appends");
    let mut left = Vec::new();
    for night in 0..5 {
        let sink = SftpSink::new(config(&account, Demand::Auto));
        let run = run_id(&format!("2000010{night}T000000Z-night"));
        let mut sessions: Vec<_> = (0..2).map(|_| sink.connect(&run).unwrap()).collect();
        assert_eq!(sessions[0].evidence(), Evidence::RemoteHash);
        sessions[0].sweep(&|it| *it != run).unwrap();
        left.push(temporaries(&account));
    }
    assert_eq!(left.iter().map(Vec::len).collect::<Vec<_>>(), [3; 5], "{left:#?}");
}

#[test]
fn tales_without_an_end_are_not_listened_to() {
    for kind in ["same", "nested"] {
        let server = asyncssh::start(&[&format!("endless-folder={kind}")]);
        let account = server.account().fresh("endless");
        let mut session = connect(&account);
        put(session.as_mut(), "d/a", b"bytes").unwrap();
        let began = Instant::now();
        let mut errors = Vec::new();
        session
            .list(Listing::Copies, &mut |it| {
                errors.extend(it.err());
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert!(!errors.is_empty(), "{kind}");
        assert!(began.elapsed() < Duration::from_secs(60), "{kind}: {:?}", began.elapsed());
        assert_eq!(get(session.as_mut(), "d/a"), b"bytes", "the session is well");
    }
    let server = asyncssh::start(&["endless-read"]);
    let account = server.account().fresh("endless");
    let mut session = connect(&account);
    let staged = stage_one(session.as_mut(), "a", &some_bytes(1, 100_000));
    let error = sink_error(commit(session.as_mut(), staged, false));
    assert!(error.chain().contains("more than the 100000 bytes"), "{}", error.chain());
    fs::write(account.local.join("b"), "bytes").unwrap();
    let measured = session.measure(&[key("b")], &[]).unwrap().remove(0);
    assert_eq!(measured.unwrap_err().cause, Cause::Io);
    std::io::Read::read_to_end(&mut session.open(&key("b")).unwrap(), &mut Vec::new()).unwrap_err();
}
