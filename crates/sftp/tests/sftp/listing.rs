//! What lies there is listed in few round trips, whatever lies there.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use dvb_storage::{Cause, Demand, Listing, SinkError, SinkSession};
use dvb_testkit::netfault::{Options, Proxy};
use dvb_testkit::sshd::Kind;

use super::{config, connect, connect_with, server, shown, through};

fn list(session: &mut dyn SinkSession) -> (BTreeMap<String, u64>, Vec<SinkError>) {
    let (mut found, mut failures) = (BTreeMap::new(), Vec::new());
    let mut visit = |listed: Result<dvb_storage::Listed, SinkError>| {
        match listed {
            Ok(it) => assert_eq!(found.insert(it.name, it.size), None, "listed twice"),
            Err(error) => failures.push(error),
        }
        ControlFlow::Continue(())
    };
    session.list(Listing::Copies, &mut visit).unwrap();
    (found, failures)
}

#[test]
fn a_folder_that_may_not_be_read_is_told_and_the_rest_listed() {
    for kind in [Kind::Shell, Kind::SftpOnly] {
        let account = server().account(kind).fresh("list-locked");
        for folder in ["lost+found", "10.5072/FK2"] {
            fs::create_dir_all(account.local.join(folder)).unwrap();
        }
        fs::write(account.local.join("lost+found/#1"), "x").unwrap();
        fs::write(account.local.join("10.5072/FK2/a"), "bytes").unwrap();
        fs::set_permissions(account.local.join("lost+found"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut session = connect(&account);
        let (found, failures) = list(session.as_mut());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("10.5072/FK2/a".to_owned(), 5)], "{kind:?}");
        assert_eq!(failures.len(), 1, "{kind:?}: {failures:?}");
        assert_eq!(failures[0].cause, Cause::Forbidden, "{}", failures[0].chain());
        assert!(failures[0].chain().contains("lost+found"), "{}", failures[0].chain());
    }
}

#[test]
fn links_are_not_followed_and_names_that_are_no_text_are_told() {
    let account = server().shell().fresh("list-odd");
    fs::create_dir_all(account.local.join("real/folder")).unwrap();
    fs::write(account.local.join("real/folder/new\nline"), "123").unwrap();
    symlink("real", account.local.join("link")).unwrap();
    symlink(".", account.local.join("real/loop")).unwrap();
    symlink("real/folder/new\nline", account.local.join("file link")).unwrap();
    fs::write(account.local.join(std::ffi::OsStr::from_bytes(b"odd \xff")), "1").unwrap();
    fs::create_dir(account.local.join(std::ffi::OsStr::from_bytes(b"folder \xff"))).unwrap();
    let (found, failures) = list(connect(&account).as_mut());
    let expected = [("odd \u{fffd}".to_owned(), 1), ("real/folder/new\nline".to_owned(), 3)];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(failures.len(), 1);
    assert!(failures[0].chain().contains("not UTF-8"), "{}", failures[0].chain());
}

#[test]
fn round_trips_do_not_grow_with_each_folder() {
    let account = server().sftp_only().fresh("list-trips");
    for n in 0..300 {
        let folder = account.local.join(format!("10.5072/{n}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a"), "1").unwrap();
    }
    let proxy = Proxy::start(account.port, Options { delay: Duration::from_millis(20), ..Options::default() });
    let mut session = connect_with(through(&proxy, config(&account, Demand::Auto))).unwrap();
    let before = proxy.round_trips();
    let (found, failures) = list(session.as_mut());
    let trips = proxy.round_trips() - before;
    assert_eq!((found.len(), failures.len()), (300, 0), "{failures:?}");
    assert_eq!(found.keys().collect::<std::collections::BTreeSet<_>>().len(), shown(&account).len());
    // Open, read and close, for the root, the one folder in it, and ten times as many as are open at once.
    assert!(trips <= 3 * 12 + 8, "{trips}");
}
