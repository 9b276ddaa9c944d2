//! One run a destination, and no lock that outlives its holder.

use dvb_ledger::{Ledger, LedgerError, Lock};
use dvb_model::DestinationName;

use crate::child::Child;
use crate::made::{here, holder, there};
use crate::{Bench, told};

fn refused(ledger: &dyn Ledger, destination: &DestinationName) -> dvb_ledger::Holder {
    match ledger.lock(destination, &holder("late")).map(drop).unwrap_err() {
        LedgerError::Locked { destination: named, holder } => {
            assert_eq!(named, destination.0);
            holder
        }
        other => panic!("{}", told(&other)),
    }
}

pub(crate) fn the_second_learns_who_holds_it(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let lock = ledger.lock(&here(), &holder("first")).unwrap();
    assert!(lock.is_held());
    assert_eq!(refused(&*ledger, &here()), holder("first"));
    assert_eq!(refused(&*bench.open(), &here()), holder("first"));
    assert!(lock.is_held());
    drop(lock);
    let lock = bench.open().lock(&here(), &holder("second")).unwrap();
    assert_eq!(refused(&*ledger, &here()), holder("second"));
    drop(lock);
}

pub(crate) fn another_destination_is_free(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let odd = DestinationName("../odd / nämé".into());
    let locks: Vec<Box<dyn Lock>> =
        [here(), there(), odd.clone()].iter().map(|it| ledger.lock(it, &holder(&it.0)).unwrap()).collect();
    assert_eq!(refused(&*ledger, &odd), holder(&odd.0));
    assert!(locks.iter().all(|it| it.is_held()));
}

pub(crate) fn many_at_once_give_one_holder(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let locks: Vec<Result<Box<dyn Lock>, LedgerError>> = std::thread::scope(|scope| {
        let take = |n: i32| ledger.lock(&here(), &holder(&format!("run-{n}")));
        let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || take(n))).collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = locks.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 7));
    for error in lost {
        let Err(LedgerError::Locked { holder, .. }) = error else { panic!("{:?}", error.map(drop)) };
        assert!(holder.run.0.starts_with("run-"), "{holder}");
    }
}

pub(crate) fn die_with_their_process(bench: &dyn Bench) {
    let ledger = bench.migrated();
    let mut child = Child::start("child::holds_a_lock", &bench.address());
    assert_eq!(child.line(), "held");
    let named = refused(&*ledger, &here());
    assert_eq!((named.run.0.as_str(), named.pid), ("child", child.id()));
    child.kill();
    // A server needs a moment to see that the connection is gone.
    let lock = child.until(|| ledger.lock(&here(), &holder("heir")).ok());
    assert!(lock.is_held());
}
