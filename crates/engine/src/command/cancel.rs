//! When to end early: a signal, a time budget.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dvb_storage::Cause;

use crate::command::waits::{Wait, Waits};

/// Everything has ended so long after a time budget, whoever hangs.
pub const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// So long after a time budget, what is in flight may still come to its end.
const IN_FLIGHT: Duration = Duration::from_secs(10);
/// So long after it, what describes the copies may still be written.
const SNAPSHOT: Duration = Duration::from_secs(17);
/// So long after it, whoever still waits for somebody else waits in vain.
const CUT: Duration = Duration::from_secs(19);
/// The same after a signal.
const CUT_BY_SIGNAL: Duration = Duration::from_secs(4);
/// So much later the databases follow: until then, what was found can still be recorded.
const RECORDING: Duration = Duration::from_secs(4);

/// Set by a signal handler, watched by every worker. Clones are one and the same.
#[derive(Debug, Default, Clone)]
pub struct CancelToken {
    signal: Arc<Signal>,
    waits: Waits,
    /// When the time budget is over.
    over: Option<Instant>,
    /// How much longer than usual what is in flight may go on.
    longer: Duration,
}

#[derive(Debug, Default)]
struct Signal {
    number: AtomicI32,
    came: OnceLock<Instant>,
}

impl CancelToken {
    /// A token that nothing has stopped yet, without a time budget.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the run as soon as it can, within seconds. `signal` is a number above 0.
    pub fn signal(&self, signal: i32) {
        self.signal.came.get_or_init(Instant::now);
        self.signal.number.store(signal, Ordering::SeqCst);
    }

    /// The same, with a time budget that begins now.
    #[must_use]
    pub fn within(&self, budget: Option<Duration>) -> Self {
        self.until(budget.map(|it| Instant::now() + it))
    }

    /// What whoever works by it waits for now, as far as it is known.
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        self.waits.words()
    }

    /// Something is waited for, as long as the answer lives.
    pub(crate) fn waits(&self, what: impl Fn() -> String + Send + 'static) -> Wait {
        self.waits.begin(what)
    }

    /// Something is used that may be waited for, as long as the answer lives.
    pub(crate) fn uses(&self, what: impl Fn() -> String + Send + 'static) -> Wait {
        self.waits.uses(what)
    }

    /// The signal, if there was one.
    #[must_use]
    pub fn signalled(&self) -> Option<i32> {
        match self.signal.number.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(signal),
        }
    }

    /// The same, with a time budget that ends then; an earlier one stays.
    pub(crate) fn until(&self, over: Option<Instant>) -> Self {
        let over = self.over.into_iter().chain(over).min();
        Self { over, ..self.clone() }
    }

    /// The same for what describes the copies at the end of a run.
    pub(crate) fn for_snapshot(&self) -> Self {
        Self { longer: SNAPSHOT - IN_FLIGHT, ..self.clone() }
    }

    /// When the time budget is over; the last one, where there is none.
    pub(crate) fn latest(&self) -> (bool, Option<Instant>) {
        (self.over.is_none(), self.over)
    }

    /// Whether anything new may begin: there was no signal, and there is time left.
    pub(crate) fn may_begin(&self) -> bool {
        self.signalled().is_none() && !self.is_over()
    }

    /// Whether the time budget is over.
    pub(crate) fn is_over(&self) -> bool {
        self.is_past(Duration::ZERO)
    }

    /// Whether what is under way may go on: there was no signal, and the time budget has not been over for long.
    pub(crate) fn may_go_on(&self) -> bool {
        self.signalled().is_none() && !self.is_past(IN_FLIGHT + self.longer)
    }

    /// Whether it is time to cut off whoever still waits for a store or a destination.
    pub(crate) fn must_cut(&self) -> bool {
        self.must_cut_after(Duration::ZERO)
    }

    /// The same for a database.
    pub(crate) fn must_cut_databases(&self) -> bool {
        self.must_cut_after(RECORDING)
    }

    fn must_cut_after(&self, more: Duration) -> bool {
        let after_signal = self.signal.came.get().is_some_and(|it| it.elapsed() >= CUT_BY_SIGNAL + more);
        after_signal || self.is_past(CUT + more)
    }

    /// Whether what failed so says nothing: there was no time to try it again, or it was cut off.
    pub(crate) fn is_no_verdict(&self, cause: Cause) -> bool {
        match cause {
            Cause::Transient | Cause::Unavailable | Cause::Absent => !self.may_begin(),
            Cause::Io => self.must_cut(),
            Cause::Missing
            | Cause::Misconfigured
            | Cause::Forbidden
            | Cause::Refused
            | Cause::Untrusted
            | Cause::Full
            | Cause::Exists
            | Cause::Broken
            | Cause::Unnameable => false,
        }
    }

    fn is_past(&self, grace: Duration) -> bool {
        self.over.is_some_and(|it| Instant::now() >= it + grace)
    }

    /// Sleeps, but no longer than what is under way may go on.
    pub(crate) fn sleep(&self, time: Duration) {
        self.sleep_while(time, Self::may_go_on);
    }

    /// Sleeps before something is tried again, but no longer than anything may begin.
    pub(crate) fn pause(&self, time: Duration) {
        if !time.is_zero() {
            tracing::debug!(ms = time.as_millis(), "wait before another attempt");
        }
        self.sleep_while(time, Self::may_begin);
    }

    fn sleep_while(&self, time: Duration, wanted: impl Fn(&Self) -> bool) {
        let end = Instant::now() + time;
        while wanted(self) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())));
        }
    }
}
