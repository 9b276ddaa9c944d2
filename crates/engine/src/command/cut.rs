//! The watchdog of a command: what still waits for somebody else some time after a budget or a signal is cut off.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use dvb_catalog::Catalog;
use dvb_ledger::Ledger;

use crate::command::cancel::CancelToken;
use crate::command::waits::Wait;

/// How often it is looked.
const TICK: Duration = Duration::from_millis(200);

/// Something that can be waited for, and when its time is over.
pub(crate) struct Cut<'a> {
    is_due: Box<dyn Fn() -> bool + Send + 'a>,
    interrupt: Box<dyn Fn() + Send + 'a>,
    /// What it may be that hangs, where nobody says what it waits for.
    _used: Option<Wait>,
}

impl<'a> Cut<'a> {
    /// A store or a destination.
    pub(crate) fn new(stop: &'a CancelToken, interrupt: impl Fn() + Send + 'a) -> Self {
        Self { is_due: Box::new(|| stop.must_cut()), interrupt: Box::new(interrupt), _used: None }
    }

    pub(crate) fn databases(stop: &'a CancelToken, catalog: Option<&'a dyn Catalog>, ledger: &'a dyn Ledger) -> Self {
        let interrupt = move || {
            catalog.iter().for_each(|it| it.interrupt());
            ledger.interrupt();
        };
        let names: Vec<String> = catalog.iter().map(|it| it.describe()).chain([ledger.describe()]).collect();
        let used = stop.uses(move || format!("a database: {}", names.join(" or ")));
        Self { is_due: Box::new(|| stop.must_cut_databases()), interrupt: Box::new(interrupt), _used: Some(used) }
    }
}

/// Works, while a thread of its own looks whether anything has to be cut off.
pub(crate) fn watched<T>(mut cuts: Vec<Cut<'_>>, work: impl FnOnce() -> T) -> T {
    let (at_work, watch) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            while !cuts.is_empty() && watch.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                cuts.retain(|cut| {
                    let is_due = (cut.is_due)();
                    if is_due {
                        (cut.interrupt)();
                    }
                    !is_due
                });
            }
        });
        // Ends the thread, also where the work breaks down.
        let _at_work = at_work;
        work()
    })
}

/// Asks a database something before the command itself has begun: what is waited for is known, and is cut off when the command
/// would cut it off.
pub fn asking<T>(stop: &CancelToken, database: &str, interrupt: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
    let name = database.to_owned();
    let _wait = stop.waits(move || name.clone());
    let due = Box::new(|| stop.must_cut_databases());
    watched(vec![Cut { is_due: due, interrupt: Box::new(interrupt), _used: None }], work)
}
