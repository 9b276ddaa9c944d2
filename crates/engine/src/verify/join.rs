//! A `verify` that several hosts share.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dvb_ledger::{Ledger, LedgerCopy};
use dvb_model::RunId;
use dvb_storage::SinkSession;
use serde_json::{Value, json};

use super::{
    Plan, VerifyOptions, VerifySetup, VerifySummary, arrive, begin_event, cuts, plan, summary, wanted, with_locks,
};
use crate::command::acknowledged::Acknowledged;
use crate::command::cut::watched;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::time::now;
use crate::copies::list::Copies;
use crate::copies::pass::{BATCH_COPIES, Findings, Pass, Queue};
use crate::copies::session::{Connection, Contact, DestinationContext};
use crate::hosts::{self, Asking, Member, NewRanges, RANGES, Range, SharedSummary, Tallied, Task, Trouble};

/// Bytes in one range at least, and at most, unless one copy alone has more.
const RANGE_BYTES: (u64, u64) = (64 << 20, 4 << 30);

/// As [`verify`](super::verify()), together with all other hosts that call this for the destination. The ledger must be in
/// PostgreSQL.
///
/// A host that gives no sign of life for the time of `lease` loses what it was at; the first host's counts for all.
///
/// # Errors
/// [`RunError`], when this host looked at no copy. What goes wrong later is in the summary.
pub fn verify_shared(
    setup: &VerifySetup<'_>,
    options: &VerifyOptions,
    lease: Duration,
) -> Result<SharedSummary<VerifySummary>, RunError> {
    let stop = setup.stop.within(options.time_budget);
    let setup = VerifySetup { stop: &stop, ..*setup };
    watched(cuts(&setup), || {
        let started = now();
        let recorded = begin_event(&setup, options, &started)?;
        hosts::finish_event(&recorded, take_part(&setup, options, lease, started), |counts| counts)
    })
}

fn take_part(
    setup: &VerifySetup<'_>,
    own: &VerifyOptions,
    lease: Duration,
    started: String,
) -> Result<SharedSummary<VerifySummary>, RunError> {
    let VerifySetup { ledger, observer, stop, destination, .. } = *setup;
    let member = Member::join(Asking {
        ledger,
        observer,
        stop,
        command: "verify",
        destination,
        beside: false,
        own: &own.run,
        host: &own.agent.host,
        parameters: parameters(own),
        lease,
        jobs: own.jobs,
    })?;
    let options = VerifyOptions { run: member.run().clone(), ..own.clone() };
    let task = SharedVerify { setup, options: &options, own: &own.run, member: &member };
    member.take_part(&task)?.summary(|counts, trouble| {
        let abort = trouble.or_else(|| Some(hosts::left_early()));
        Ok(summary(setup, &options, started, Findings { abort, ..counts })?)
    })
}

fn parameters(options: &VerifyOptions) -> Value {
    json!({
        "selection": hosts::selected(&options.selection),
        "older_than": options.older_than.map(|it| it.as_secs()),
        "sample": options.sample,
    })
}

/// What one host works with, in a verification that several share.
struct SharedVerify<'a> {
    setup: &'a VerifySetup<'a>,
    /// The options as all hosts have them: the run's name is the shared one.
    options: &'a VerifyOptions,
    /// This process's own name, for its sessions.
    own: &'a RunId,
    member: &'a Member<'a>,
}

/// The destination, as this host has it.
struct Place {
    contact: Contact,
    acknowledged: Arc<Acknowledged>,
    spare: Mutex<Option<Box<dyn SinkSession>>>,
}

impl<'a> SharedVerify<'a> {
    fn at<'b>(&'b self, ledger: &'b dyn Ledger) -> DestinationContext<'b> {
        let VerifySetup { destination, sink, observer, stop, .. } = *self.setup;
        DestinationContext { ledger, destination, sink, observer, stop, run: self.own }
    }
}

impl Task for SharedVerify<'_> {
    type Counts = Findings;
    type Plan = Plan;
    type Item = LedgerCopy;
    type Place = Place;
    type Hand = Option<Box<dyn SinkSession>>;
    type Summary = VerifySummary;

    fn plan(&self, ledger: &dyn Ledger, ranges: &mut NewRanges<'_>) -> Result<Plan, RunError> {
        let (at, options) = (self.at(ledger), self.options);
        self.member.locked(ledger).begin(at.destination, &options.agent, &self.member.began())?;
        let filter = |it: &LedgerCopy| options.selection.has_copy(it, &options.default_store.0);
        let wanted = wanted(options, &filter);
        let plan = plan(at, &Contact::under_lock(), &wanted, options)?;
        let copies = usize::try_from(plan.count / RANGES).unwrap_or(usize::MAX).clamp(1, BATCH_COPIES);
        let bytes = (plan.bytes / RANGES).clamp(RANGE_BYTES.0, RANGE_BYTES.1);
        let mut queue = Queue::of(Copies::new(at, &wanted), plan.count);
        loop {
            let list = queue.take(copies, bytes)?;
            if list.is_empty() {
                return Ok(plan);
            }
            ranges.add(list.len(), &list)?;
        }
    }

    fn arrive(&self, plan: Plan) -> Result<Place, RunError> {
        let VerifySetup { ledger, destination, .. } = *self.setup;
        let contact = Contact::under_lock();
        arrive(self.at(ledger), &contact, &plan)?;
        let acknowledged = Arc::new(Acknowledged::at(ledger, destination)?);
        Ok(Place { contact, acknowledged, spare: Mutex::default() })
    }

    fn work_on(&self, place: &Place, range: Range<'_, LedgerCopy>, session: &mut Self::Hand) -> Findings {
        let (at, lock) = (self.at(range.ledger), self.member.presence.lock());
        let count = range.items.len() as u64;
        Pass::new((at, &place.contact, "verify"), lock.as_ref(), Copies::listed(at, range.items), count, 1)
            .on_record_as(&self.options.run)
            .knowing(Arc::clone(&place.acknowledged))
            .work_alone(session)
    }

    fn close(
        &self,
        _place: &Place,
        ledger: &dyn Ledger,
        plan: Plan,
        mut done: Findings,
    ) -> Result<VerifySummary, RunError> {
        done.copies.left = plan.count.saturating_sub(done.copies.checked);
        let setup = VerifySetup { ledger, ..*self.setup };
        let (at, contact, lock) = (self.at(ledger), Contact::under_lock(), self.member.presence.lock());
        let done = with_locks(at, &contact, lock.as_ref(), self.options, done);
        self.member.locked(ledger).finish(Ok(summary(&setup, self.options, self.member.began(), done)?))
    }

    fn put_away(&self, place: &Place, session: Self::Hand) {
        let mut spare = place.spare.lock().unwrap_or_else(PoisonError::into_inner);
        *spare = spare.take().or(session);
    }

    fn set_aside(&self, counts: &mut Findings, _: u64, why: String) {
        counts.abort = Some((ExitStatus::NotSafe, why));
    }

    fn leave(&self, place: Place) {
        let spare = place.spare.into_inner().unwrap_or_else(PoisonError::into_inner);
        Connection::new(self.at(self.setup.ledger), &place.contact).going_on(spare).clean_up();
    }
}

impl Tallied for Findings {
    fn of_trouble(trouble: Trouble) -> Self {
        Self { abort: Some(trouble), ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        Self::add(self, other);
    }

    fn trouble(&self) -> Option<Trouble> {
        self.abort.clone()
    }

    fn is_cut(&self) -> bool {
        self.copies.left > self.copies.unreadable
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }
}
