//! What is kept of the past: commands, the administrator's words, acknowledged losses.

use dvb_ledger::{Acknowledgement, Agent, Event, EventEnd, Incident, LedgerError};
use dvb_model::{DvObjectId, RunId, Status};
use serde_json::json;

use crate::Bench;
use crate::incidents::{finding, mending};
use crate::made::{here, there};

fn event(id: &str, started: &str) -> Event {
    Event {
        id: RunId(id.into()),
        command: "verify".into(),
        started: started.into(),
        agent: Agent { user: "backup".into(), host: "host".into(), program: "0.1.0".into() },
        scope: "everything".into(),
        destinations: vec![here(), there()],
        overrides: vec!["copies-lost".into()],
        end: None,
    }
}

fn end() -> EventEnd {
    EventEnd { finished: "2026-01-02T03:04:05.678Z".into(), exit_code: 4, counts: json!({"checked": 3}) }
}

fn acknowledgement(id: i64) -> Acknowledgement {
    Acknowledgement {
        id: DvObjectId(id),
        destination: here(),
        status: Status::FailRead,
        fingerprint: "f".into(),
        copies: 0,
        at: String::new(),
        by: "backup".into(),
        reason: "lost in the flood".into(),
        ended_at: None,
    }
}

fn events(bench: &dyn Bench, since: Option<&str>) -> Vec<Event> {
    let mut all = Vec::new();
    bench.open().visit_events(since, &mut |it| all.push(it)).unwrap();
    all
}

fn incidents(bench: &dyn Bench, open: bool) -> Vec<Incident> {
    let mut all = Vec::new();
    bench.open().visit_incidents(open, &mut |it| all.push(it)).unwrap();
    all
}

pub(crate) fn commands_are_on_record_from_their_beginning(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let (first, second) = (event("a", "2026-01-01T00:00:00.000Z"), event("b", "2026-01-02T00:00:00.000Z"));
    ledger.begin_event(&second).unwrap();
    ledger.begin_event(&first).unwrap();
    ledger.begin_event(&Event { scope: "another".into(), ..first.clone() }).unwrap();
    assert_eq!(events(bench, None), [first.clone(), second.clone()]);
    ledger.finish_event(&first.id, &end()).unwrap();
    let ended = Event { end: Some(end()), ..first };
    assert_eq!(events(bench, None), [ended, second.clone()]);
    assert_eq!(events(bench, Some("2026-01-01T00:00:00.001Z")), [second]);
    let unknown = ledger.finish_event(&RunId("c".into()), &end());
    assert!(matches!(unknown, Err(LedgerError::UnknownRun { .. })));
}

pub(crate) fn commands_come_in_order_over_pages(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let all: Vec<Event> = (0..2_500).map(|n| event(&format!("r{n:04}"), "2026-01-01T00:00:00.000Z")).collect();
    ledger.take_over_history(&all, &[], &[]).unwrap();
    assert_eq!(events(bench, None), all);
}

pub(crate) fn incidents_are_listed_and_explained(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let run = RunId("r".into());
    let found: Vec<_> = (0..1_200).map(|id| finding(id, dvb_ledger::Side::Store, "file")).collect();
    ledger.record_incidents(&run, &found, &[mending(found[0].clone())]).unwrap();
    let all = incidents(bench, false);
    assert_eq!(all.iter().map(|it| it.id.0).collect::<Vec<_>>(), (0..1_200).collect::<Vec<_>>());
    assert_eq!(incidents(bench, true), all[1..]);
    assert_eq!(ledger.count_open_incidents().unwrap(), 1_199);
    assert!(ledger.note_incident(all[7].number, "a disk died", "admin").unwrap());
    assert!(ledger.note_incident(all[7].number, "two disks died", "admin").unwrap());
    assert!(!ledger.note_incident(999_999, "nothing", "admin").unwrap());
    let note = ledger.incidents(DvObjectId(7)).unwrap()[0].note.clone().unwrap();
    assert_eq!((note.text.as_str(), note.by.as_str()), ("two disks died", "admin"));
    assert!(note.at.ends_with('Z'));
}

pub(crate) fn losses_are_acknowledged_until_something_changes(bench: &dyn Bench) {
    let ledger = bench.migrated();
    ledger.acknowledge(&[acknowledgement(1), acknowledgement(2)]).unwrap();
    ledger.end_acknowledgements(&here(), &[DvObjectId(1)]).unwrap();
    ledger.end_acknowledgements(&there(), &[DvObjectId(2)]).unwrap();
    ledger.acknowledge(&[Acknowledgement { reason: "looked for again".into(), ..acknowledgement(2) }]).unwrap();
    let all = ledger.acknowledgements().unwrap();
    let told: Vec<_> = all.iter().map(|it| (it.id.0, it.ended_at.is_some(), it.reason.as_str())).collect();
    assert_eq!(told, [(1, true, "lost in the flood"), (2, true, "lost in the flood"), (2, false, "looked for again")]);
    assert!(all.iter().all(|it| it.at.ends_with('Z') && it.status == Status::FailRead && it.destination == here()));
}

pub(crate) fn history_is_taken_over_once(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let of = finding(7, dvb_ledger::Side::Store, "file");
    ledger
        .record_incidents(&RunId("r".into()), &[finding(8, dvb_ledger::Side::Store, "file")], &[mending(of)])
        .unwrap();
    let number = incidents(bench, true)[0].number;
    ledger.note_incident(number, "a disk died", "admin").unwrap();
    ledger.begin_event(&event("a", "2026-01-01T00:00:00.000Z")).unwrap();
    ledger.finish_event(&RunId("a".into()), &end()).unwrap();
    ledger.acknowledge(&[acknowledgement(8)]).unwrap();
    let (past, damage) = (events(bench, None), incidents(bench, false));
    let acknowledged = ledger.acknowledgements().unwrap();
    // As a snapshot carries them.
    let carried: Vec<Incident> = serde_json::from_str(&serde_json::to_string(&damage).unwrap()).unwrap();
    assert_eq!(carried, damage);
    bench.execute("DELETE FROM backup_incident; DELETE FROM backup_event; DELETE FROM backup_acknowledgement;");
    for _ in 0..2 {
        ledger.take_over_history(&past, &carried, &acknowledged).unwrap();
        assert_eq!(events(bench, None), past);
        assert_eq!(ledger.acknowledgements().unwrap(), acknowledged);
        let renumbered: Vec<Incident> = incidents(bench, false)
            .into_iter()
            .zip(&damage)
            .map(|(it, was)| Incident { number: was.number, ..it })
            .collect();
        assert_eq!(renumbered, damage);
    }
}
