//! The event log: every command is on record, whoever gave it and however it ended.

use std::fs;

use dvb_engine::{Options, Overrides};
use dvb_ledger::{Acknowledgement, Event, EventEnd, Holder, Incident};
use dvb_model::{DvObjectId, RunId, Status};

use crate::audit::audited;
use crate::bench::{Bench, LOST, LedgerKind, agent, destination};
use crate::rebuild::{rebuilt, without_ledger};
use crate::verify::verified;

fn events(bench: &Bench) -> Vec<Event> {
    let mut all = Vec::new();
    bench.ledger.visit_events(None, &mut |it| all.push(it)).unwrap();
    all
}

fn incidents(bench: &Bench) -> Vec<Incident> {
    let mut all = Vec::new();
    bench.ledger.visit_incidents(false, &mut |it| all.push(it)).unwrap();
    all
}

fn ends(events: &[Event]) -> Vec<(&str, Option<u8>)> {
    events.iter().map(|it| (it.command.as_str(), it.end.as_ref().map(|end| end.exit_code))).collect()
}

fn every_command_is_on_record(kind: LedgerKind) {
    let bench = Bench::of_files_with(3, kind);
    let run = bench.options();
    bench.try_run(&run).unwrap();
    verified(&bench);
    audited(&bench);
    bench.give_to_folder(&bench.restore_options()).unwrap();
    bench.try_run(&Options { dry_run: true, ..bench.options() }).unwrap();
    let lost = Options { overrides: LOST, ..bench.options() };
    bench.try_run(&lost).unwrap();
    // Refused, and on record all the same.
    let holder = Holder { host: "h".into(), pid: 1, run: RunId("r".into()), since: "2026-01-02T03:04:05.000Z".into() };
    let lock = bench.ledger.lock(&destination(), &holder).unwrap();
    bench.try_run(&bench.options()).unwrap_err();
    drop(lock);
    let all = events(&bench);
    assert_eq!(
        ends(&all),
        [
            ("run", Some(0)),
            ("verify", Some(0)),
            ("audit", Some(0)),
            ("restore", Some(0)),
            ("run", Some(0)),
            ("run", Some(6))
        ]
    );
    assert!(all.iter().all(|it| it.agent == agent() && it.scope == "everything"), "{all:#?}");
    assert_eq!(all[0].id, run.run);
    assert_eq!(all[0].destinations, [destination()]);
    assert_eq!((&all[0].overrides, &all[4].overrides), (&Vec::new(), &vec!["copies-lost".to_owned()]));
    let EventEnd { finished, counts, .. } = all[0].end.clone().unwrap();
    assert!(finished >= all[0].started);
    assert_eq!(counts["default"]["files"]["copied"], 3);
    assert_eq!(all[1].end.as_ref().unwrap().counts["copies"]["good"], 3);
    assert_eq!(all[2].end.as_ref().unwrap().counts["files"]["good"], 3);
}

#[test]
fn every_command_is_on_record_in_sqlite() {
    every_command_is_on_record(LedgerKind::Sqlite);
}

#[test]
fn every_command_is_on_record_in_postgresql() {
    every_command_is_on_record(LedgerKind::Postgres);
}

#[test]
fn a_lost_ledger_s_history_comes_back_from_the_snapshot() {
    let bench = Bench::of_files(3);
    bench.run();
    let (key, good) = bench.copies().into_iter().next().unwrap();
    fs::write(bench.backup.join(&key), "rotten").unwrap();
    assert_eq!(verified(&bench).exit_code, 4);
    let number = incidents(&bench)[0].number;
    bench.ledger.note_incident(number, "a disk died", "admin").unwrap();
    let acknowledged = Acknowledgement {
        id: DvObjectId(999),
        destination: destination(),
        status: Status::FailRead,
        fingerprint: "f".into(),
        copies: 0,
        at: String::new(),
        by: "admin".into(),
        reason: "lost in the flood".into(),
        ended_at: None,
    };
    bench.ledger.acknowledge(&[acknowledged]).unwrap();
    bench.run();
    assert_eq!(bench.copies()[&key], good);
    let (past, damage, acknowledged) = (events(&bench), incidents(&bench), bench.ledger.acknowledgements().unwrap());
    assert!(damage.len() == 1 && damage[0].mended.is_some() && damage[0].note.is_some(), "{damage:#?}");

    let bench = without_ledger(bench, LedgerKind::Sqlite);
    assert!(events(&bench).is_empty());
    rebuilt(&bench);
    assert_eq!(incidents(&bench), damage);
    assert_eq!(bench.ledger.acknowledgements().unwrap(), acknowledged);
    let now = events(&bench);
    // The run that wrote the snapshot had not ended when it did.
    assert_eq!(ends(&now), [("run", Some(0)), ("verify", Some(4)), ("run", None), ("rebuild", Some(0))]);
    assert_eq!(now[..2], past[..2]);
    assert_eq!(bench.run().exit_code, 0);
}

#[test]
fn overrides_are_named_as_the_command_line_spells_them() {
    let all = Overrides { disappearance: true, changes: true, copies_lost: true, take_over: true };
    assert_eq!(all.names(), ["accept-disappearance", "accept-changes", "copies-lost", "take-over"]);
}
