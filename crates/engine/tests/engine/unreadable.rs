//! A store that cannot be read is no news of its bytes: no verdict that is known gives way to an outage.

use std::fs;
use std::sync::Arc;

use dvb_engine::{Access, ExitStatus, NoStore, Options};
use dvb_model::{DriverId, Status};
use dvb_storage::Cause;

use crate::bench::Bench;
use crate::wrapped::Away;

#[test]
fn an_outage_takes_no_verdict_away() {
    let mut bench = Bench::of_files(6);
    let ids: Vec<i64> = bench.world.files.iter().map(|it| it.id).collect();
    let path = |bench: &Bench, n: usize| bench.source_of(&bench.world.files[n].copies[0].0);
    bench.run();
    // FAIL_CHECKSUM, FAIL_READ, OK of a row that has changed, FAIL_VERIFY, and what is OK.
    let change = |bench: &Bench, n: usize| {
        let set = "UPDATE datafile SET filesize = filesize + 1, checksumvalue = upper(checksumvalue)";
        bench.database.execute(&format!("{set} WHERE id = {}", ids[n]));
    };
    fs::write(path(&bench, 0), "other").unwrap();
    fs::remove_file(path(&bench, 1)).unwrap();
    change(&bench, 0);
    change(&bench, 1);
    bench.run();
    change(&bench, 2);
    let before = bench.details();
    let of = |n: usize| before[&ids[n]].status;
    assert_eq!([of(0), of(1), of(2)], [Status::FailChecksum, Status::FailRead, Status::Ok]);

    let readable = |cause| Access::Readable(Arc::new(Away { cause, is_there: true }));
    let accesses = [
        Access::Unavailable(NoStore { cause: Cause::Unavailable, why: "the disk is gone".into() }),
        readable(Cause::Transient),
        readable(Cause::Unavailable),
    ];
    let here = bench.stores.by_id[&DriverId("file".into())].access.clone();
    for access in accesses {
        bench.set_access(access);
        let run = bench.run();
        assert_eq!(run.ending, ExitStatus::Unreachable, "{run:#?}");
        assert_eq!(bench.details(), before, "{run:#?}");
        // What a dataset has of its own cannot be looked at either.
        let files = run.failures.iter().filter(|it| it.data_file_id.is_some());
        let statuses: Vec<Status> = files.map(|it| it.status).collect();
        assert_eq!(statuses, [Status::FailChecksum, Status::FailRead, Status::FailRead], "{run:#?}");
        let is_said = |it: &dvb_engine::Finding| it.reason.contains("what was found before stands (FAIL_CHECKSUM)");
        assert!(run.failures.iter().any(is_said), "{run:#?}");
        // A copy that was found bad meanwhile is on record all the same.
        bench.try_run(&Options { rerun: true, ..bench.options() }).unwrap();
        assert_eq!(bench.details(), before);
    }

    // Nor by an account that may not read any more: a store of which nothing can be read is the wrong one.
    bench.set_access(readable(Cause::Forbidden));
    assert_eq!(bench.run().ending, ExitStatus::Refused);
    assert_eq!(bench.details(), before);
    bench.set_access(here);
    fs::write(path(&bench, 0), "content 0").unwrap();
    fs::write(path(&bench, 1), "content 1").unwrap();
    assert_eq!(bench.run().ending, ExitStatus::Safe);
}
