//! The promises of every sink, by each kind of account and evidence.

use dvb_fixity::Evidence;
use dvb_sftp::SftpSink;
use dvb_storage::{Cause, Demand, conformance};
use dvb_testkit::sshd::Kind;

use super::{config, connect, connect_to_new, connect_with, get, put, refused, server};

fn keeps_them(kind: Kind, demand: Demand, evidence: Evidence) {
    let account = server().account(kind).fresh("promises");
    let config = config(&account, demand);
    let session = connect_with(config.clone()).unwrap();
    assert_eq!(session.evidence(), evidence, "{kind:?} {demand:?}");
    drop(session);
    conformance::sink(&SftpSink::new(config), "10.5072/FK2").unwrap_or_else(|it| panic!("{kind:?} {demand:?}: {it}"));
}

#[test]
fn a_shell_proves_by_its_digest() {
    keeps_them(Kind::Shell, Demand::Auto, Evidence::RemoteHash);
    keeps_them(Kind::Shell, Demand::RemoteHash, Evidence::RemoteHash);
}

#[test]
fn a_shell_reads_back_where_that_is_demanded() {
    keeps_them(Kind::Shell, Demand::ReadBack, Evidence::ReadBack);
}

#[test]
fn sftp_alone_reads_back() {
    keeps_them(Kind::SftpOnly, Demand::Auto, Evidence::ReadBack);
    keeps_them(Kind::SftpOnly, Demand::ReadBack, Evidence::ReadBack);
}

#[test]
fn an_external_server_reads_back() {
    keeps_them(Kind::External, Demand::Auto, Evidence::ReadBack);
    keeps_them(Kind::External, Demand::ReadBack, Evidence::ReadBack);
}

#[test]
fn a_server_without_extensions_reads_back() {
    keeps_them(Kind::Bare, Demand::Auto, Evidence::ReadBack);
    keeps_them(Kind::Bare, Demand::ReadBack, Evidence::ReadBack);
}

#[test]
fn a_large_upload_that_was_cut_is_gone_on_with() {
    for kind in [Kind::Shell, Kind::SftpOnly, Kind::External] {
        let account = server().account(kind).fresh("continued");
        let sink = SftpSink::new(config(&account, Demand::Auto));
        conformance::continued(&sink, "10.5072/FK2").unwrap_or_else(|it| panic!("{kind:?}: {it}"));
        let old = std::time::SystemTime::now() - dvb_storage::CONTINUED_FOR;
        for (file, swept) in [("swept", 1), ("spared", 0)] {
            let left = super::cut_large(&account, file);
            if swept == 1 {
                std::fs::File::options().write(true).open(&left).unwrap().set_modified(old).unwrap();
            }
            let mut session = connect(&account);
            assert_eq!(session.sweep(&|it| it.0.ends_with("-cut")).unwrap(), swept, "{kind:?} {file}");
        }
    }
}

#[test]
fn a_digest_that_cannot_be_had_is_not_promised() {
    for kind in [Kind::SftpOnly, Kind::External, Kind::Bare] {
        let error = refused(config(&server().account(kind).fresh("digest"), Demand::RemoteHash));
        assert_eq!(error.cause, Cause::Misconfigured, "{kind:?}");
        assert!(error.attempt.contains("set Verify to auto or read-back"), "{kind:?}: {error}");
    }
}

#[test]
fn a_folder_is_made_if_only_it_is_missing() {
    let account = server().sftp_only().fresh("root");
    let mut config = config(&account, Demand::Auto);
    config.root += "/new/";
    assert_eq!(refused(config.clone()).cause, Cause::Absent, "it is not made by whoever connects");
    let sink = dvb_sftp::SftpSink::new(config.clone());
    assert!(dvb_storage::Sink::room(&sink).is_err() && !account.local.join("new").exists());
    dvb_storage::Sink::make(&sink).unwrap();
    let mut session = connect_with(config.clone()).unwrap();
    let room = dvb_storage::Sink::room(&sink).unwrap().unwrap();
    assert!(room.free > 0 && room.free <= room.total, "{room:?}");
    put(session.as_mut(), "a/b", b"bytes").unwrap();
    assert_eq!(std::fs::read(account.local.join("new/a/b")).unwrap(), b"bytes");
    config.root += "and/newer";
    let error = dvb_storage::Sink::make(&dvb_sftp::SftpSink::new(config)).unwrap_err();
    assert_eq!(error.cause, Cause::Misconfigured);
    assert!(error.attempt.contains("the root folder"), "{error}");
}

#[test]
fn relative_folders_begin_where_the_login_does() {
    let account = server().shell();
    for root in ["relative", "~/tilde", "./dot/"] {
        let mut config = config(&account, Demand::Auto);
        config.root = root.to_owned();
        let mut session = connect_to_new(config).unwrap();
        let at = root.replace(['~', '/', '.'], "_");
        put(session.as_mut(), &at, b"here").unwrap();
        assert_eq!(get(session.as_mut(), &at), b"here", "{root}");
    }
}

#[test]
fn empty_batches_are_nothing_to_do() {
    let mut session = connect(&server().sftp_only().fresh("empty"));
    assert!(session.stage(Vec::new()).unwrap().is_empty());
    assert!(session.commit(Vec::new()).unwrap().is_empty());
    assert!(session.stat(&[]).unwrap().is_empty());
    assert!(session.measure(&[], &[]).unwrap().is_empty());
    session.discard(Vec::new()).unwrap();
}
