//! A pass over copies at a destination, least recently proved first: what lies there is compared with the ledger's digest.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dvb_fixity::{Evidence, Measured, Proved};
use dvb_ledger::{Check, CopyRecord, CopyState, EntryKind, Found, LedgerCopy, LedgerError, Lock};
use dvb_model::{RunId, Status};
use dvb_storage::{SinkError, SinkSession, chain};
use serde::{Deserialize, Serialize};

use crate::command::acknowledged::Acknowledged;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::{LISTED, pool};
use crate::copies::compare::{Bad, compare, measure, sentence};
use crate::copies::findings::CopyFault;
use crate::copies::findings::{CopyCounts, Damage};
use crate::copies::incident::of_copy;
use crate::copies::list::Copies;
use crate::copies::locks::LockCounts;
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};
use crate::source::incident;
use crate::source::payload::Reading;

/// Copies in one batch at most.
pub(crate) const BATCH_COPIES: usize = 1024;
/// Bytes in one batch, unless one copy alone has more.
const BATCH_BYTES: u64 = 64 << 20;
/// How often a copy that cannot be read is tried.
const TRIES: u32 = 3;
/// Sessions that one batch may use up.
const SESSIONS: u32 = 3;

/// What a pass has found so far.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) copies: CopyCounts,
    pub(crate) bytes: u64,
    pub(crate) damaged: Vec<Damage>,
    pub(crate) unreadable: Vec<Damage>,
    /// A copy could not be read for a reason that concerns all of them.
    pub(crate) unusable: Option<ExitStatus>,
    /// Locks of copies, where they were looked at.
    #[serde(skip)]
    pub(crate) locks: Option<LockCounts>,
    #[serde(skip)]
    pub(crate) abort: Option<(ExitStatus, String)>,
}

impl Findings {
    /// Adds those of another part of the same pass.
    pub(crate) fn add(&mut self, other: Self) {
        let (copies, more) = (&mut self.copies, other.copies);
        copies.checked += more.checked;
        copies.good += more.good;
        copies.damaged += more.damaged;
        copies.missing += more.missing;
        copies.acknowledged += more.acknowledged;
        copies.left += more.left;
        copies.unreadable += more.unreadable;
        self.bytes += other.bytes;
        for (list, more) in [(&mut self.damaged, other.damaged), (&mut self.unreadable, other.unreadable)] {
            let room = LISTED.saturating_sub(list.len());
            list.extend(more.into_iter().take(room));
        }
        ExitStatus::worsen(&mut self.unusable, other.unusable);
    }

    /// How the pass ended, by all that was found (design.md 4).
    pub(crate) fn ending(&self, signalled: Option<u8>) -> ExitStatus {
        let locks = self.locks.as_ref();
        let found = [
            (self.copies.damaged + self.copies.missing > 0, ExitStatus::DestinationDamaged),
            (self.copies.unreadable > 0 || locks.is_some_and(|it| it.failed > 0), ExitStatus::NotSafe),
            (self.copies.left > 0 || locks.is_some_and(|it| !it.complete), ExitStatus::Stopped),
        ];
        let aborted = self.abort.as_ref().map(|it| it.0);
        ExitStatus::of_found(&found, [self.unusable, signalled.map(ExitStatus::Signalled), aborted])
    }
}

/// A pass, shared by its workers.
pub(crate) struct Pass<'a> {
    at: DestinationContext<'a>,
    contact: &'a Contact,
    /// Losses that are known.
    acknowledged: Arc<Acknowledged>,
    command: &'static str,
    /// By this name all is recorded.
    run: &'a RunId,
    lock: &'a dyn Lock,
    jobs: usize,
    batch_copies: usize,
    /// Copies that were planned.
    count: u64,
    /// How fast copies are read back.
    reading: Reading,
    queue: Mutex<Queue<'a>>,
    findings: Mutex<Findings>,
}

/// A list of copies, of which so many are handed out.
pub(crate) struct Queue<'a> {
    copies: Copies<'a>,
    next: Option<LedgerCopy>,
    left: u64,
}

/// One copy that is being looked at.
struct CopyCheck {
    held: LedgerCopy,
    tries: u32,
    /// It was found bad once; memory and network err too.
    was_bad: bool,
    end: Option<End>,
}

enum End {
    Good(Proved),
    Bad(Bad),
    Unreadable { why: String, of_all: Option<ExitStatus> },
}

impl<'a> Pass<'a> {
    /// A pass over the first `count` of the copies.
    pub(crate) fn new(
        (at, contact, command): (DestinationContext<'a>, &'a Contact, &'static str),
        lock: &'a dyn Lock,
        copies: Copies<'a>,
        count: u64,
        jobs: usize,
    ) -> Self {
        let share = usize::try_from(count).unwrap_or(usize::MAX) / (jobs.max(1) * 2);
        Self {
            at,
            contact,
            acknowledged: Arc::default(),
            command,
            run: at.run,
            lock,
            jobs: jobs.max(1),
            batch_copies: share.clamp(1, BATCH_COPIES),
            count,
            reading: Reading::new(at.stop, None),
            queue: Mutex::new(Queue::of(copies, count)),
            findings: Mutex::default(),
        }
    }

    /// What is known to be lost raises no alarm.
    pub(crate) fn knowing(self, acknowledged: Arc<Acknowledged>) -> Self {
        Self { acknowledged, ..self }
    }

    /// The same, at a limited rate.
    pub(crate) fn at_rate_of(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// By another name in the ledger than that of the sessions.
    pub(crate) fn on_record_as(self, run: &'a RunId) -> Self {
        Self { run, ..self }
    }

    /// Looks at all of them with this session alone, which is left for whoever comes next.
    pub(crate) fn work_alone(self, session: &mut Option<Box<dyn SinkSession>>) -> Findings {
        let connection = Connection::new(self.at, self.contact).going_on(session.take());
        *session = self.work_through(connection).into_session();
        self.end()
    }

    /// Looks at all of them, or at as many as there is time for.
    pub(crate) fn work(self) -> Findings {
        let broke = |why| self.abort(ExitStatus::NotSafe, why);
        let connection = || Connection::new(self.at, self.contact);
        let (mut connections, ()) = pool::work(self.jobs, || self.work_through(connection()), broke, |_| {});
        if let Some(open) = connections.iter_mut().find(|it| it.is_untidy()) {
            open.clean_up();
        }
        drop(connections);
        self.end()
    }

    fn end(self) -> Findings {
        let mut findings = self.findings.into_inner().unwrap_or_else(PoisonError::into_inner);
        findings.copies.left = self.count.saturating_sub(findings.copies.checked);
        findings
    }

    fn work_through(&self, mut connection: Connection<'a>) -> Connection<'a> {
        while let Some(batch) = self.next_batch() {
            match self.look_at(batch, &mut connection) {
                Ok(()) => {}
                Err(Interrupted::Stopped) => break,
                Err(Interrupted::Run(ending, why)) => self.abort(ending, why),
                Err(Interrupted::Session(error)) => {
                    let why = format!("destination {}: {}", self.at.destination, error.chain());
                    self.abort(ExitStatus::of_cause(error.cause), why);
                }
            }
        }
        connection
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        // A worker that panicked left whole numbers.
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes every worker stop. The first reason counts.
    fn abort(&self, ending: ExitStatus, why: String) {
        self.findings().abort.get_or_insert((ending, why));
    }

    fn goes_on(&self) -> bool {
        self.at.stop.may_begin() && self.findings().abort.is_none()
    }

    fn next_batch(&self) -> Option<Vec<CopyCheck>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.goes_on() {
            return None;
        }
        if !self.lock.is_held() {
            let why = "the lock on the destination was lost with the connection to the backup database".to_owned();
            self.abort(ExitStatus::Unreachable, why);
            return None;
        }
        match queue.take(self.batch_copies, BATCH_BYTES) {
            Ok(batch) if batch.is_empty() => None,
            Ok(batch) => {
                Some(batch.into_iter().map(|held| CopyCheck { held, tries: 0, was_bad: false, end: None }).collect())
            }
            Err(error) => {
                self.abort(ExitStatus::from(&error), chain(&error));
                None
            }
        }
    }

    /// Looks at a batch until each copy has come to its end, and records that.
    fn look_at(&self, mut batch: Vec<CopyCheck>, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let mut sessions = 1;
        let began = Instant::now();
        let looked = loop {
            if batch.iter().all(|it| it.end.is_some()) {
                break Ok(());
            }
            match self.look_once(&mut batch, connection) {
                Ok(()) => {}
                Err(Interrupted::Session(error)) if sessions < SESSIONS => {
                    sessions += 1;
                    let text = format!("{}; its copies are checked again", error.chain());
                    self.at.observer.event(&Event::Warning(&text));
                }
                Err(other) => break Err(other),
            }
        };
        let (destination, copies, ok) = (&self.at.destination.0, batch.len(), looked.is_ok());
        let ms = began.elapsed().as_millis();
        tracing::debug!(destination, copies, sessions, ms, ok, "batch of copies that are verified");
        // What has come to its end is known, whatever happened to the rest.
        self.record(&batch)?;
        looked
    }

    fn look_once(&self, batch: &mut [CopyCheck], connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        if !self.at.stop.may_begin() {
            return Err(Interrupted::Stopped);
        }
        let waiting: Vec<usize> = (0..batch.len()).filter(|n| batch[*n].end.is_none()).collect();
        let (keys, sizes): (Vec<_>, Vec<u64>) =
            waiting.iter().map(|n| (batch[*n].held.copy.key.clone(), batch[*n].held.copy.size.unwrap_or(0))).unzip();
        let (answers, evidence) = measure(&self.reading, &keys, &sizes, connection)?;
        let mut pause = 0;
        for (n, answer) in waiting.into_iter().zip(answers) {
            pause = pause.max(self.take(&mut batch[n], answer, evidence));
        }
        self.at.stop.pause(Duration::from_secs(pause.into()));
        Ok(())
    }

    /// Takes an answer; says how many seconds to wait before the next look.
    fn take(&self, look: &mut CopyCheck, answer: Result<Measured, SinkError>, evidence: Evidence) -> u32 {
        let bad = match answer {
            Ok(held) => match compare(&look.held.copy, held, evidence) {
                Ok(proof) => {
                    let key = &look.held.copy.key;
                    if look.was_bad {
                        let text = format!("{key} was bad at first, and good when it was checked again");
                        self.at.observer.event(&Event::Warning(&text));
                    } else if look.held.copy.state == CopyState::Damaged {
                        let text =
                            format!("{key} had been found to be bad, and is good again; the next run takes it up");
                        self.at.observer.event(&Event::Warning(&text));
                    }
                    look.end = Some(End::Good(proof));
                    return 0;
                }
                Err(bad) => bad,
            },
            Err(error) if Bad::is_told_by(&error) => Bad::of(error),
            // The next look finds that there is no time.
            Err(error) if self.at.stop.is_no_verdict(error.cause) => return 0,
            Err(error) => {
                look.tries += 1;
                if look.tries < TRIES {
                    return look.tries;
                }
                look.end = Some(End::Unreadable { why: error.chain(), of_all: ExitStatus::of_all(error.cause) });
                return 0;
            }
        };
        if look.was_bad {
            look.end = Some(End::Bad(bad));
        }
        look.was_bad = true;
        0
    }

    fn record(&self, batch: &[CopyCheck]) -> Result<(), Interrupted> {
        let check = |look: &CopyCheck| {
            let CopyRecord { id, role, version, .. } = &look.held.copy;
            let found = match look.end.as_ref()? {
                End::Good(proof) => Found::Good(proof.clone()),
                End::Bad(bad) => {
                    let found = incident::Discovery { command: self.command, detail: &reason(&look.held, bad) };
                    Found::Damaged(Box::new(of_copy(found, self.at.destination, &look.held.copy, bad)))
                }
                End::Unreadable { .. } => return None,
            };
            Some(Check { id: *id, role: role.clone(), version: *version, found })
        };
        let checks: Vec<Check> = batch.iter().filter_map(check).collect();
        if !checks.is_empty() {
            self.at.ledger.record_checks(self.at.destination, self.run, &checks)?;
        }
        let mut findings = self.findings();
        for look in batch {
            let is_known = look.held.copy.state == CopyState::Damaged && self.acknowledged.has(look.held.copy.id);
            findings.count(look, is_known);
        }
        drop(findings);
        batch.iter().for_each(|it| self.show(it));
        Ok(())
    }

    fn show(&self, look: &CopyCheck) {
        let (status, reason) = match &look.end {
            Some(End::Good(_)) => (Status::Ok, None),
            Some(End::Bad(bad)) => (Status::FailVerify, Some(reason(&look.held, bad))),
            Some(End::Unreadable { why, .. }) => (Status::Pending, Some(why.clone())),
            None => return,
        };
        let LedgerCopy { copy, dataset, .. } = &look.held;
        self.at.observer.event(&Event::Bytes(copy.size.unwrap_or(0)));
        self.at.observer.event(&Event::Judged {
            id: copy.id,
            dataset: dataset.as_deref(),
            name: copy.key.as_str(),
            status,
            reason: reason.as_deref(),
        });
    }
}

impl<'a> Queue<'a> {
    pub(crate) fn of(copies: Copies<'a>, count: u64) -> Self {
        Self { copies, next: None, left: count }
    }

    /// The next ones: so many at most, and no more bytes, unless one alone has more. None at the end.
    pub(crate) fn take(&mut self, count: usize, most: u64) -> Result<Vec<LedgerCopy>, LedgerError> {
        let mut batch = Vec::new();
        let mut bytes = 0_u64;
        while batch.len() < count && self.left > 0 {
            let next = match self.next.take() {
                Some(it) => Some(it),
                None => self.copies.next()?,
            };
            let Some(held) = next else { break };
            bytes = bytes.saturating_add(held.copy.size.unwrap_or(0));
            if bytes > most && !batch.is_empty() {
                self.next = Some(held);
                break;
            }
            self.left -= 1;
            batch.push(held);
        }
        Ok(batch)
    }
}

impl Findings {
    fn count(&mut self, look: &CopyCheck, is_known: bool) {
        let copies = &mut self.copies;
        let (what, why) = match &look.end {
            None => return,
            Some(End::Good(proof)) => {
                copies.checked += 1;
                copies.good += 1;
                self.bytes += proof.measured().size;
                return;
            }
            Some(End::Bad(bad)) => {
                copies.checked += 1;
                if is_known {
                    copies.acknowledged += 1;
                    return;
                }
                match bad {
                    Bad::Missing => copies.missing += 1,
                    Bad::Broken(_) | Bad::Size(..) | Bad::Digest(_) => copies.damaged += 1,
                }
                (bad.fault(), reason(&look.held, bad))
            }
            Some(End::Unreadable { why, of_all }) => {
                copies.unreadable += 1;
                ExitStatus::worsen(&mut self.unusable, *of_all);
                (CopyFault::Unreadable, why.clone())
            }
        };
        let list = if what == CopyFault::Unreadable { &mut self.unreadable } else { &mut self.damaged };
        if list.len() < LISTED {
            list.push(damage(&look.held, what, why));
        }
    }
}

fn damage(held: &LedgerCopy, what: CopyFault, reason: String) -> Damage {
    Damage {
        data_file_id: (held.kind == EntryKind::DataFile).then_some(held.copy.id),
        dataset: held.dataset.clone(),
        storage_identifier: held.storage_identifier.clone(),
        name: held.label.clone(),
        key: held.copy.key.clone(),
        what,
        reason,
    }
}

/// What is wrong, in a sentence that names the object, its dataset and the file.
fn reason(held: &LedgerCopy, bad: &Bad) -> String {
    sentence(&held.copy, held.dataset.as_deref(), held.label.as_deref(), bad)
}
