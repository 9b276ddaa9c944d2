//! Many small files do not cost many round trips, and large ones not much memory.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dvb_fixity::Evidence;
use dvb_storage::conformance::some_bytes;
use dvb_storage::{CommitRequest, Demand, SinkSession};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::sshd::{Kind, Server};

use super::{commit, config, connect, connect_with, get, key, put, request, server, shown, stage_one, through};

const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// Stores so many files in one batch.
fn store(session: &mut dyn SinkSession, folder: &str, files: usize) {
    let keys = (0..files).map(|n| format!("{folder}/{}/{n}", n / 50));
    let batch: Vec<_> = keys.enumerate().map(|(n, at)| request(&at, &some_bytes(n as u64, 1000))).collect();
    let staged = session.stage(batch).unwrap().into_iter().map(Result::unwrap);
    let commits = staged.map(|staged| CommitRequest { staged, replace: false }).collect();
    session.commit(commits).unwrap().into_iter().for_each(|it| drop(it.unwrap()));
}

#[test]
fn round_trips_do_not_grow_with_the_number_of_files() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("trips");
        let proxy = Proxy::start(account.port, Options { delay: Duration::from_millis(50), ..Options::default() });
        let mut session = connect_with(through(&proxy, config(&account, Demand::Auto))).unwrap();
        let mut trips = |files: usize| {
            let before = proxy.round_trips();
            store(session.as_mut(), &files.to_string(), files);
            proxy.round_trips() - before
        };
        let (few, many) = (trips(2), trips(250));
        // Open, write and close, make folders and look, prove, rename, open folders and flush them.
        assert!((4..=12).contains(&few), "{kind:?}: {few}");
        // More bytes than go out at once may cost a pause or two, and a busy machine some more.
        assert!(many <= few + 6, "{kind:?}: {few} for 2 files, {many} for 250");
    }
}

/// What does not depend on each other travels together.
#[test]
fn a_session_begins_and_ends_in_few_round_trips() {
    for (kind, most_in_batch) in [(Kind::Shell, 5), (Kind::SftpOnly, 7)] {
        let account = server().account(kind).fresh("few-trips");
        let proxy = Proxy::start(account.port, Options { delay: Duration::from_millis(50), ..Options::default() });
        let config = through(&proxy, config(&account, Demand::Auto));
        let mut before = 0;
        let mut trips = || {
            let all = proxy.round_trips();
            all - std::mem::replace(&mut before, all)
        };
        let mut all_trips = |round: usize| {
            let mut session = connect_with(config.clone()).unwrap();
            let login = trips();
            store(session.as_mut(), &format!("files-{round}"), 2);
            let batch = trips();
            assert_eq!(session.list_own("").unwrap(), [""; 0]);
            let listing = trips();
            let keys: Vec<_> = (0..2).map(|n| (key(&format!("files-{round}/0/{n}")), 1000)).collect();
            assert_eq!(session.expect(&keys).unwrap(), 2);
            keys.iter().for_each(|it| assert_eq!(get(session.as_mut(), it.0.as_str()).len(), 1000));
            let reading = trips();
            assert_eq!(session.sweep(&|_| true).unwrap(), 0);
            [login, batch, listing, reading, trips()]
        };
        // SSH's versions, keys, three for the login, channels, SFTP's version, the folder, three for what it can do, and what
        // TCP and the library add. On a busy machine, one may fall in two; hardly the same one three times.
        let most = [14, most_in_batch, 2, 3, 3];
        let rounds = [all_trips(1), all_trips(2), all_trips(3)];
        let best = (0..5).map(|n| rounds.iter().map(|it| it[n]).min().unwrap());
        assert!(best.zip(most).all(|(best, most)| best <= most), "{kind:?}: {rounds:?}, and no more than {most:?}");
    }
}

/// `sftp-server` copies all that waits for it whenever more comes: few bytes may stand behind the OPENs.
#[test]
fn no_more_files_are_open_than_can_be_filled() {
    let server = Server::start();
    let account = server.account(Kind::External).fresh("ahead");
    let proxy = Proxy::start(account.port, Options { delay: Duration::from_millis(50), ..Options::default() });
    let mut session = connect_with(through(&proxy, config(&account, Demand::Auto))).unwrap();
    for (size, files, most_open) in [(65_536, 80, 32), (400_000, 12, 5), (3_000_000, 3, 1)] {
        // What was asked before, and not waited for, is done when this is.
        session.stat(&[key("nothing")]).unwrap().remove(0).unwrap();
        let before = server.external_log().len();
        let bytes = some_bytes(size, usize::try_from(size).unwrap());
        let batch = (0..files).map(|n| request(&format!("{size}/{n}"), &bytes)).collect();
        session.stage(batch).unwrap().into_iter().for_each(|it| drop(it.unwrap()));
        let (mut open, mut most) = (0, 0);
        for line in server.external_log().split_off(before).lines() {
            open += usize::from(line.contains("open \""));
            open -= usize::from(line.contains("close \""));
            most = most.max(open);
        }
        assert_eq!(most, most_open, "of {size} bytes each");
    }
}

/// What one session takes away at its end may lie on the way to what another one is just making.
#[test]
fn a_session_begins_while_others_tidy_up() {
    let account = server().shell().fresh("tidy");
    let (own, temporary) = (account.local.join(".dataverse-backup"), account.local.join(".dataverse-backup/tmp"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let tidying = scope.spawn(|| {
            let mut removed = 0;
            while !is_over.load(Ordering::Relaxed) {
                if [&temporary, &own].into_iter().any(|it| std::fs::remove_dir(it).is_ok()) {
                    removed += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            removed
        });
        let sessions = scope.spawn(|| {
            let evidence = |mut session: Box<dyn SinkSession>| {
                session.sweep(&|_| true).unwrap();
                session.evidence()
            };
            (0..40).map(|_| evidence(connect(&account))).collect::<Vec<_>>()
        });
        let sessions = sessions.join();
        is_over.store(true, Ordering::Relaxed);
        assert!(tidying.join().unwrap() > 0);
        assert_eq!(sessions.unwrap(), [Evidence::RemoteHash; 40]);
    });
}

#[test]
fn thousands_of_files_go_over_several_sessions() {
    let account = server().shell().fresh("many");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = connect(&account);
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let files = match n {
                        0..7 => 256,
                        7 => 2000 - 7 * 256,
                        _ => return,
                    };
                    store(session.as_mut(), &n.to_string(), files);
                }
            });
        }
    });
    assert_eq!(shown(&account).len(), 2000);
}

#[test]
fn a_large_file_is_proved() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("large");
        let mut session = connect(&account);
        let bytes = some_bytes(1, 1 << 20).repeat(64);
        let proved = put(session.as_mut(), "large", &bytes).unwrap();
        assert_eq!(proved.measured().size, 64 << 20);
        assert!(std::fs::read(account.local.join("large")).unwrap() == bytes, "{kind:?}: other bytes");
    }
}

#[test]
fn new_keys_are_agreed_on_while_data_flows() {
    let lines = "RekeyLimit 1M\n".to_owned();
    let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server.account(kind).fresh("rekey");
        let mut session = connect(&account);
        let bytes = some_bytes(2, 1_000_003).repeat(30);
        put(session.as_mut(), "large", &bytes).unwrap_or_else(|it| panic!("{kind:?}: {it}"));
        assert!(get(session.as_mut(), "large") == bytes, "{kind:?}: other bytes");
        for round in 0..4 {
            store(session.as_mut(), &round.to_string(), 200);
        }
    }
}

#[test]
fn a_server_that_asks_whether_we_live_is_answered_while_the_source_is_slow() {
    let lines = "ClientAliveInterval 1\nClientAliveCountMax 1\n".to_owned();
    let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
    let account = server.shell().fresh("alive");
    let mut session = connect(&account);
    let slow = super::cut::slow_request("slow", 6_000_000, Duration::from_secs(5));
    let staged = session.stage(vec![slow]).unwrap().remove(0).unwrap();
    commit(session.as_mut(), staged, false).unwrap();
}

#[test]
fn a_server_that_starts_no_sftp_is_unavailable_within_the_limit() {
    let lines = "ForceCommand sleep 60\n".to_owned();
    let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
    let mut config = config(&server.shell().fresh("mute"), Demand::Auto);
    config.connect_timeout = Duration::from_secs(1);
    let began = std::time::Instant::now();
    let error = super::refused(config);
    assert_eq!(error.cause, dvb_storage::Cause::Unavailable, "{}", error.chain());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(error.attempt.contains(".bashrc"), "{}", error.chain());
}

#[test]
fn a_shell_that_is_none_costs_only_its_digests() {
    for strange in ["sleep 60", "yes", "cat", "exit 0"] {
        let lines = format!(
            "ForceCommand case \"$SSH_ORIGINAL_COMMAND\" in \"exec sh\") {strange};; *) {SFTP_SERVER};; esac\n"
        );
        let server = Server::start_with(dvb_testkit::sshd::Options { lines, ..Default::default() });
        let account = server.shell().fresh("strange");
        let mut config = config(&account, Demand::Auto);
        config.connect_timeout = Duration::from_secs(2);
        let began = std::time::Instant::now();
        let mut session = connect_with(config).unwrap_or_else(|it| panic!("{strange}: {}", it.chain()));
        assert!(began.elapsed() < Duration::from_secs(60), "{strange}: {:?}", began.elapsed());
        assert_eq!(session.evidence(), Evidence::ReadBack, "{strange}");
        store(session.as_mut(), "d", 300);
        put(session.as_mut(), "large", &some_bytes(7, 10_000_000)).unwrap_or_else(|it| panic!("{strange}: {it}"));
    }
}

#[test]
fn a_line_that_hangs_or_breaks_is_noticed_within_the_limit() {
    let account = server().shell().fresh("line");
    let proxy = Proxy::start(account.port, Options::default());
    let mut config = through(&proxy, config(&account, Demand::Auto));
    config.idle_timeout = Duration::from_secs(1);
    let mut session = connect_with(config.clone()).unwrap();
    let staged = stage_one(session.as_mut(), "a", b"bytes");
    proxy.set(Options { hang: true, ..Options::default() });
    let began = std::time::Instant::now();
    let answer = session.commit(vec![CommitRequest { staged, replace: false }]);
    assert_eq!(answer.map(drop).unwrap_err().cause, dvb_storage::Cause::Transient);
    config.connect_timeout = Duration::from_secs(1);
    assert_eq!(super::refused(config.clone()).cause, dvb_storage::Cause::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());

    for cut in [
        Options { cut_up: Some(2_000_000), ..Options::default() },
        Options { cut_down: Some(6_000), ..Options::default() },
    ] {
        proxy.set(Options::default());
        let mut session = connect_with(config.clone()).unwrap();
        proxy.set(cut);
        let bytes = some_bytes(3, 5_000_000);
        let error = session.stage((0..40).map(|n| request(&format!("d/{n}"), &bytes)).collect()).map(drop).unwrap_err();
        assert_eq!(error.cause, dvb_storage::Cause::Transient, "{}", error.chain());
    }
    assert_eq!(session.stat(&[key("a")]).unwrap_err().cause, dvb_storage::Cause::Transient);
    assert_eq!(shown(&account), [""; 0]);
}
