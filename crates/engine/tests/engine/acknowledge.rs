//! A loss that the administrator has acknowledged raises no alarm, until something about it changes.

use std::fs;

use dvb_engine::{
    AcknowledgeOptions, AcknowledgeSetup, AcknowledgeSummary, ExitStatus, acknowledge, acknowledged, new_run_id,
};
use dvb_ledger::Acknowledgement;
use dvb_model::{DvObjectId, Status};

use crate::audit::audited;
use crate::bench::{Bench, LedgerKind, agent, destination};
use crate::verify::verified;

fn acknowledge_file(bench: &Bench, id: i64, reason: Option<&str>) -> AcknowledgeSummary {
    let setup = AcknowledgeSetup { ledger: bench.ledger.as_ref(), destinations: &[destination()] };
    let reason = reason.map(str::to_owned);
    let options = AcknowledgeOptions { run: new_run_id(), agent: agent(), files: vec![DvObjectId(id)], reason };
    acknowledge(&setup, &options).unwrap()
}

fn holding(bench: &Bench) -> Vec<Acknowledgement> {
    acknowledged(bench.ledger.as_ref(), &destination()).unwrap()
}

/// One of the files, with the key that it has everywhere.
fn one(bench: &Bench) -> (i64, String) {
    let (id, detail) = bench.details().into_iter().next().unwrap();
    let name = detail.storage_identifier.unwrap();
    let key = format!("10.5072/FK2/ONE/{}", name.strip_prefix("file://").unwrap());
    (id, key)
}

fn a_loss_is_silent_until_something_changes(kind: LedgerKind) {
    let bench = Bench::of_files_with(30, kind);
    bench.run();
    let (id, key) = one(&bench);
    let good = fs::read(bench.source_of(&key)).unwrap();
    fs::remove_file(bench.source_of(&key)).unwrap();
    assert_eq!(audited(&bench).exit_code, 3);
    assert_eq!(bench.run().exit_code, 3);
    assert_eq!(bench.details()[&id].status, Status::FailRead);

    let done = acknowledge_file(&bench, id, Some("deleted by the depositor"));
    assert_eq!((done.exit_code, done.files.len(), done.files[0].acknowledged), (0, 1, true));
    assert_eq!(holding(&bench).len(), 1);
    for _ in 0..2 {
        let run = bench.run();
        assert_eq!((run.exit_code, run.files.acknowledged, run.files.failed), (0, 1, 0), "{run:#?}");
        assert_eq!((run.failures_total, run.reasons.len()), (0, 0));
        let audit = audited(&bench);
        assert_eq!((audit.exit_code, audit.files.acknowledged, audit.files.missing), (0, 1, 0), "{audit:#?}");
        assert!(audit.findings.is_empty());
    }
    assert_eq!(verified(&bench).exit_code, 0);

    // Its last copy is lost too: that was not what was acknowledged.
    fs::remove_file(bench.backup.join(&key)).unwrap();
    assert_eq!(verified(&bench).exit_code, 4);
    assert!(holding(&bench).is_empty());
    let run = bench.run();
    assert_ne!(run.exit_code, 0);
    assert_eq!((run.files.acknowledged, run.files.failed), (0, 1));
    assert!(bench.ledger.acknowledgements().unwrap()[0].ended_at.is_some());
    // And it may be acknowledged as it is now.
    assert_eq!(acknowledge_file(&bench, id, Some("both are lost")).exit_code, 0);
    let run = bench.run();
    assert_eq!((run.exit_code, run.files.acknowledged), (0, 1), "{run:#?}");
    let verify = verified(&bench);
    assert_eq!((verify.exit_code, verify.copies.acknowledged), (0, 1), "{verify:#?}");

    // It comes back, and is lost again: the alarm is raised again.
    fs::write(bench.source_of(&key), &good).unwrap();
    let run = bench.run();
    assert_eq!((run.exit_code, run.files.copied), (0, 1), "{run:#?}");
    assert!(bench.ledger.acknowledgements().unwrap().iter().all(|it| it.ended_at.is_some()));
    fs::write(bench.source_of(&key), "rotten").unwrap();
    assert_eq!(audited(&bench).exit_code, 3);
    assert_eq!(bench.run().exit_code, 3);
}

#[test]
fn a_loss_is_silent_until_something_changes_in_sqlite() {
    a_loss_is_silent_until_something_changes(LedgerKind::Sqlite);
}

#[test]
fn a_loss_is_silent_until_something_changes_in_postgresql() {
    a_loss_is_silent_until_something_changes(LedgerKind::Postgres);
}

#[test]
fn what_is_safe_is_not_acknowledged() {
    let bench = Bench::of_files(2);
    bench.run();
    let done = acknowledge_file(&bench, one(&bench).0, Some("no reason"));
    assert_eq!((done.ending, done.files[0].why_not), (ExitStatus::NotSafe, Some("it is safe")));
    assert!(bench.ledger.acknowledgements().unwrap().is_empty());
}

#[test]
fn an_acknowledgement_is_withdrawn() {
    let bench = Bench::of_files(30);
    let (id, key) = {
        bench.run();
        one(&bench)
    };
    fs::remove_file(bench.source_of(&key)).unwrap();
    audited(&bench);
    bench.run();
    acknowledge_file(&bench, id, Some("lost"));
    assert_eq!(bench.run().exit_code, 0);
    assert_eq!(acknowledge_file(&bench, id, None).exit_code, 0);
    assert_eq!(bench.run().exit_code, 3);
}
