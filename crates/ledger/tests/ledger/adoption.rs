//! The original's table `datafilestatus`.

use dvb_ledger::{Candidate, EntryKind, Ledger, LedgerError, Verdict};
use dvb_model::{ObjectRole, Status};

use crate::Bench;
use crate::made::{copy_all, failed, here, main_key, now, record, run, safe, there, wish};

pub(crate) const TABLE: &str = "CREATE TABLE datafilestatus (
    id integer PRIMARY KEY, datasetidentifier varchar(255), storageidentifier varchar(255) UNIQUE, status varchar(255),
    createdate timestamp, lastbackuptime timestamp, lastbackupmethod varchar(16))";

const VIEW: &str = "SELECT datasetidentifier, storageidentifier, status, lastbackupmethod FROM datafilestatus
    ORDER BY 1, 2, 3";

fn insert(bench: &dyn Bench, id: i32, storage_identifier: &str, status: &str) {
    bench.execute(&format!(
        "INSERT INTO datafilestatus VALUES ({id}, '10.5072/FK2/ABC', '{storage_identifier}', '{status}',
         '2016-01-02 03:04:05', '2016-01-03 00:00:00', 'ssh')"
    ));
}

fn candidate(storage_identifier: &str) -> Candidate {
    Candidate { dataset_identifier: "10.5072/FK2/ABC".into(), storage_identifier: storage_identifier.into() }
}

fn candidates(ledger: &dyn Ledger, wanted: &[&str]) -> Vec<Candidate> {
    let wanted: Vec<_> = wanted.iter().map(|it| ("10.5072/FK2/ABC".to_owned(), (*it).to_owned())).collect();
    ledger.candidates(&wanted).unwrap()
}

pub(crate) fn of_no_table_makes_a_view(bench: &dyn Bench) {
    let ledger = bench.migrated();
    assert_eq!(bench.rows(VIEW), [""; 0]);
    copy_all(&*ledger, &here(), [1]);
    copy_all(&*ledger, &there(), [2]);
    ledger.record(&here(), &run(), &[record(3, Verdict::Pending)]).unwrap();
    let dataset = dvb_ledger::Record { kind: EntryKind::Dataset, ..record(4, safe(vec![])) };
    ledger.record(&here(), &run(), &[dataset]).unwrap();
    assert_eq!(bench.rows(VIEW), ["10.5072/FK2/ABC|file://1|OK|ssh", "10.5072/FK2/ABC|file://3|PENDING|ssh"]);
    assert_eq!(candidates(&*ledger, &["file://1"]), []);
    let all = bench.rows("SELECT CAST(id AS text), CAST(createdate AS text) FROM datafilestatus ORDER BY id");
    assert_eq!(all, ["1|-", "3|-"]);
    let times = "SELECT 'y' FROM datafilestatus WHERE lastbackuptime IS NOT NULL AND status = 'OK'";
    assert_eq!(bench.rows(times), ["y"]);
}

pub(crate) fn keeps_the_rows_and_answers_in_their_place(bench: &dyn Bench) {
    bench.execute(TABLE);
    insert(bench, 1, "1", "OK");
    insert(bench, 2, "file://2", "OK");
    insert(bench, 3, "s3://bucket:3", "FAIL_READ");
    insert(bench, 4, "4", "OK");
    bench.execute("INSERT INTO datafilestatus (id, datasetidentifier, storageidentifier, status) VALUES (5, '10.5072/OTHER', '5', 'OK')");
    let ledger = bench.open();
    assert_eq!(ledger.migrate().unwrap().adopted, Some(4));
    assert_eq!(ledger.migrate().unwrap().adopted, None);
    assert_eq!(bench.rows("SELECT CAST(count(*) AS text) FROM datafilestatus_original"), ["5"]);
    assert_eq!(bench.rows(VIEW).len(), 5);

    assert_eq!(
        candidates(&*ledger, &["file://1", "2", "s3://bucket:3", "4", "5"]),
        [candidate("1"), candidate("file://2"), candidate("4")]
    );

    // Ours of the same data file take the place of the original's, with or without the prefix that 4.20 wrote.
    ledger.reserve(&here(), &[wish(1, ObjectRole::Main, 1, main_key(1))]).unwrap();
    let damaged = record(1, failed(Status::FailChecksum, vec![], vec![]));
    let five = record(5, safe(vec![now(ObjectRole::Main, 1, main_key(5), b"5")]));
    ledger.reserve(&here(), &[wish(5, ObjectRole::Main, 1, main_key(5))]).unwrap();
    ledger.record(&here(), &run(), &[damaged, record(2, Verdict::Pending), five]).unwrap();
    assert_eq!(
        bench.rows(VIEW),
        [
            "10.5072/FK2/ABC|4|OK|ssh",
            "10.5072/FK2/ABC|file://1|FAIL_CHECKSUM|ssh",
            "10.5072/FK2/ABC|file://2|PENDING|ssh",
            "10.5072/FK2/ABC|file://5|OK|ssh",
            "10.5072/FK2/ABC|s3://bucket:3|FAIL_READ|ssh",
            "10.5072/OTHER|5|OK|-",
        ]
    );
    let kept = bench
        .rows("SELECT CAST(id AS text), CAST(createdate AS text) FROM datafilestatus WHERE storageidentifier = '4'");
    assert_eq!(kept, ["4|2016-01-02 03:04:05"]);
}

pub(crate) fn of_a_table_that_came_later(bench: &dyn Bench) {
    let ledger = bench.migrated();
    bench.execute("DROP VIEW datafilestatus");
    bench.execute(TABLE);
    insert(bench, 1, "1", "OK");
    assert_eq!(ledger.migrate().unwrap().adopted, Some(1));
    assert_eq!(candidates(&*ledger, &["file://1"]), [candidate("1")]);
    assert_eq!(bench.rows(VIEW), ["10.5072/FK2/ABC|1|OK|ssh"]);
}

pub(crate) fn refuses_a_second_table_with_rows(bench: &dyn Bench) {
    bench.execute(TABLE);
    insert(bench, 1, "1", "OK");
    let ledger = bench.migrated();
    bench.execute("DROP VIEW datafilestatus");
    bench.execute(&TABLE.replace("storageidentifier varchar(255) UNIQUE", "storageidentifier varchar(255)"));
    insert(bench, 1, "2", "OK");
    assert!(matches!(ledger.migrate(), Err(LedgerError::TwoOriginals { .. })));
    assert_eq!(bench.rows("SELECT storageidentifier FROM datafilestatus_original"), ["1"]);
    assert_eq!(bench.rows("SELECT storageidentifier FROM datafilestatus"), ["2"]);
}
