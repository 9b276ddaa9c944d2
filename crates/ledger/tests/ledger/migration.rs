//! Tables are made once, and only those of this version are used.

use dvb_ledger::{EntryKind, LedgerError, LedgerHint, Migration};

use crate::Bench;
use crate::made::{copy_all, here, run};

pub(crate) fn no_tables_are_told_of(bench: &dyn Bench) {
    let ledger = bench.open();
    let error = ledger.counts(&here()).unwrap_err();
    assert!(matches!(error, LedgerError::NotMigrated { .. }), "{error:?}");
    assert_eq!(error.hint(), Some(LedgerHint::Migrate));
    assert!(matches!(ledger.knows_run(&here(), &run()), Err(LedgerError::NotMigrated { .. })));
    let first = ledger.states(&here(), EntryKind::DataFile).next();
    assert!(matches!(first, Some(Err(LedgerError::NotMigrated { .. }))));
    ledger.migrate().unwrap();
    assert_eq!(ledger.counts(&here()).unwrap(), (vec![], 0));
}

pub(crate) fn is_done_once(bench: &dyn Bench) {
    let ledger = bench.open();
    let first = ledger.migrate().unwrap();
    assert_eq!((first.from, first.adopted), (0, None));
    assert!(first.to >= 1);
    let again = Migration { from: first.to, to: first.to, adopted: None };
    assert_eq!(ledger.migrate().unwrap(), again);
    assert_eq!(bench.open().migrate().unwrap(), again);
}

pub(crate) fn several_at_once_do_it_once(bench: &dyn Bench) {
    let ledgers: Vec<_> = (0..4).map(|_| bench.open()).collect();
    let mut done: Vec<Migration> = std::thread::scope(|scope| {
        let threads: Vec<_> = ledgers.iter().map(|it| scope.spawn(|| it.migrate().unwrap())).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    done.sort_by_key(|it| it.from);
    let to = done[0].to;
    assert_eq!(done.iter().map(|it| it.from).collect::<Vec<_>>(), [0, to, to, to]);
}

pub(crate) fn a_newer_ledger_is_refused(bench: &dyn Bench) {
    let ledger = bench.migrated();
    drop(ledger);
    bench.execute("INSERT INTO backup_schema VALUES (999, '2040-01-01T00:00:00Z')");
    let ledger = bench.open();
    for error in [ledger.migrate().unwrap_err(), ledger.counts(&here()).unwrap_err()] {
        assert!(matches!(error, LedgerError::Newer { found: 999, .. }), "{error:?}");
    }
}

/// Takes away what the steps behind the fifth made.
pub(crate) const BACK_TO_FIVE: &str = "DROP VIEW datafilestatus; DROP TABLE backup_installation;
    ALTER TABLE backup_destination DROP COLUMN marked_at; DROP INDEX backup_state_audited; DROP TABLE backup_mark;
    ALTER TABLE backup_state DROP COLUMN audited_at; DROP TABLE backup_event; DROP TABLE backup_acknowledgement;
    DROP TABLE IF EXISTS backup_worker; DROP TABLE IF EXISTS backup_range; DROP TABLE IF EXISTS backup_shared;
    DROP TABLE backup_hold; DROP TABLE backup_tombstone; DROP TABLE backup_purge_target; DROP TABLE backup_purge;
    DROP INDEX backup_copy_locked; ALTER TABLE backup_copy DROP COLUMN locked_until;";

pub(crate) fn an_older_ledger_is_brought_up_to_date(bench: &dyn Bench) {
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    drop(ledger);
    bench.execute(&format!(
        "{BACK_TO_FIVE} DROP INDEX backup_copy_oldest; DROP INDEX backup_copy_damaged; DROP INDEX backup_copy_claimed;
         DROP TABLE backup_incident; DELETE FROM backup_schema WHERE version > 1",
    ));
    let ledger = bench.open();
    assert!(matches!(ledger.counts(&here()), Err(LedgerError::NotMigrated { .. })));
    assert_eq!(ledger.migrate().unwrap(), Migration { from: 1, to: 12, adopted: None });
    assert_eq!(ledger.oldest_copies(&here(), None, None, 9).unwrap().len(), 1);
}
