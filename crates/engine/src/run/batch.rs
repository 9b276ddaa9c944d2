//! The way of a batch: its objects are compared with what is there, reserved, staged, judged, committed.
//!
//! Every step takes the items that are ready for it and leaves the others alone, so that after a lost session, or for
//! an item that is tried again, the steps are simply gone through once more.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dvb_fixity::{Algorithm, Evidence, Measured, Observed, Proved, RecordedChecksum};
use dvb_ledger::{CopyRecord, CopyState, LedgerError, Reservation};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, Status};
use dvb_storage::{
    Cause, CommitRequest, Payload, PayloadError, SinkError, SourceError, StageRequest, Staged, Unstaged,
};

use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::copies::compare::{Bad, sentence};
use crate::copies::incident::of_copy;
use crate::copies::session::{Connection, Interrupted};
use crate::run::destination_run::DestinationRun;
use crate::run::job::{Job, JobStage, ObjectError, ObjectState, ObjectTask, Settled};
use crate::run::shared_read::{Share, Wanted};
use crate::source::incident;
use crate::source::judge::{self, Judgement, Seen, reason};
use crate::source::list_objects::{self, Object, Unlisted};
use crate::source::payload::ObjectPayload;
use crate::source::stores::{NoStore, Scope};

/// How often one object is tried before what goes wrong with it is its verdict.
const TRIES: u32 = 3;
/// Sessions that one batch may use up before what is left of it is not stored.
const SESSIONS: u32 = 3;
/// Versions of one object; more than this is no history but a loop.
const VERSIONS: u32 = 10_000;

/// An item of a batch: number of its job, and its number there.
pub(crate) type ItemAt = (usize, usize);

impl From<LedgerError> for Interrupted {
    fn from(error: LedgerError) -> Self {
        let ending = ExitStatus::from(&error);
        Self::Run(ending, dvb_storage::chain(&error))
    }
}

impl DestinationRun<'_> {
    /// Carries a batch as far as it goes. Afterwards every item has come to its end, or the run has.
    pub(crate) fn carry(
        &self,
        jobs: &mut [Job],
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        for session in 1..=SESSIONS {
            let began = Instant::now();
            let carried = self.carry_once(jobs, connection, share);
            let objects = jobs.iter().map(|job| job.items.len()).sum::<usize>();
            let (ms, ok) = (began.elapsed().as_millis(), carried.is_ok());
            tracing::debug!(
                destination = self.setup.destination.0,
                files = jobs.len(),
                objects,
                session,
                ms,
                ok,
                "batch"
            );
            match carried {
                // To do it again would be to begin it.
                Err(Interrupted::Session(_)) if !self.setup.stop.may_begin() => return Err(Interrupted::Stopped),
                Err(Interrupted::Session(error)) if session < SESSIONS => {
                    let text = format!("{}; its batch is done again", error.chain());
                    self.setup.observer.event(&crate::command::observer::Event::Warning(&text));
                    forget_staged(jobs, &ObjectState::Todo);
                }
                Err(Interrupted::Session(error)) => {
                    let why = self.trouble(&error);
                    forget_staged(jobs, &ObjectState::Failed(why));
                    return Ok(());
                }
                other => return other,
            }
        }
        Ok(())
    }

    fn carry_once(
        &self,
        jobs: &mut [Job],
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        self.prove_claimed(jobs, connection)?;
        self.recheck(jobs, connection)?;
        self.list(jobs)?;
        self.compare(jobs)?;
        self.read_what_was_damaged(jobs)?;
        loop {
            self.reserve(jobs)?;
            self.adopt(jobs, connection)?;
            self.check_existing(jobs, connection)?;
            self.stage(jobs, connection, share)?;
            self.judge(jobs)?;
            self.commit(jobs, connection)?;
            let on_its_way = |it: &ObjectTask| matches!(it.progress, ObjectState::Todo | ObjectState::Staged(_));
            if !jobs.iter().flat_map(|it| &it.items).any(on_its_way) {
                note_names(jobs);
                return Ok(());
            }
        }
    }

    /// Looks whether copies that are recorded as proved are still there with their size (`--rerun`).
    fn recheck(&self, jobs: &mut [Job], connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let mut wanted: Vec<(usize, CopyRecord)> = Vec::new();
        for (n, job) in jobs.iter().enumerate() {
            let to_look = matches!(job.stage, JobStage::Recheck)
                || (self.options.looks_again() && matches!(job.stage, JobStage::List));
            if to_look {
                wanted.extend(job.newest_proved().map(|it| (n, it.clone())));
            }
        }
        if !wanted.is_empty() {
            let keys: Vec<ObjectKey> = wanted.iter().map(|it| it.1.key.clone()).collect();
            let found = connection.with(|it| it.stat(&keys))?;
            for ((n, copy), found) in wanted.into_iter().zip(found) {
                let bad = match found {
                    Ok(Some(it)) if Some(it.size) == copy.size => continue,
                    Ok(Some(it)) => Bad::Size(it.size, None),
                    Ok(None) => Bad::Missing,
                    Err(error) if error.cause == Cause::Broken => Bad::of(error),
                    // What cannot be looked at is not shown to be bad: its job is looked at in full.
                    Err(error) => {
                        jobs[n].notes.push(error.chain());
                        jobs[n].stage = JobStage::List;
                        continue;
                    }
                };
                self.take_bad(&mut jobs[n], &copy, &bad);
            }
        }
        for job in jobs.iter_mut().filter(|it| matches!(it.stage, JobStage::Recheck)) {
            // A dataset may have got a logo since.
            job.stage = if job.due.is_data_file() { JobStage::Unchanged } else { JobStage::List };
        }
        Ok(())
    }

    /// A copy that was recorded as proved is none any more.
    fn take_bad(&self, job: &mut Job, copy: &CopyRecord, bad: &Bad) {
        let (dataset, label) = job.people();
        let detail = sentence(copy, dataset.as_deref(), label.as_deref(), bad);
        let found = incident::Discovery { command: "run", detail: &detail };
        job.found.push(of_copy(found, self.setup.destination, copy, bad));
        job.notes.push(format!("the copy at {} was missing or had another size", copy.key));
        job.damaged.push((copy.role.clone(), copy.version));
        job.stage = JobStage::List;
    }

    /// Lists the objects of each job that is to be looked at.
    fn list(&self, jobs: &mut [Job]) -> Result<(), Interrupted> {
        for job in jobs.iter_mut().filter(|it| matches!(it.stage, JobStage::List)) {
            if !self.setup.stop.may_begin() {
                return Err(Interrupted::Stopped);
            }
            job.stage = match &job.due.subject {
                Subject::DataFile(_) => self.list_data_file(job),
                Subject::Dataset(_) => self.list_dataset(job),
            };
        }
        Ok(())
    }

    fn list_data_file(&self, job: &mut Job) -> JobStage {
        let Subject::DataFile(file) = &job.due.subject else { return JobStage::Unchanged };
        let place = match self.setup.stores.scope(file) {
            Scope::Covered(place) => place,
            Scope::NotCovered(why) => return JobStage::Settled(Settled::NotCovered(why.reason(file))),
            Scope::Refused(why) => {
                let why = format!("{why}, so it leads nowhere in the store and is not followed");
                return JobStage::Settled(Settled::Unread { why, lost: false });
            }
            Scope::Garbled(why) => return JobStage::Settled(Settled::Unread { why, lost: false }),
            Scope::Orphaned => {
                let why = "orphaned: the data file has no dataset (owner_id is NULL or leads nowhere), so nothing says where \
                           its bytes are; earlier copies are kept. Dataverse 5.11 left such rows: see its 5.11.1 release notes";
                return JobStage::Settled(Settled::Unread { why: why.into(), lost: false });
            }
            Scope::Unavailable(driver, NoStore { cause, why }) => {
                let why = format!("store {driver}: {why}");
                return JobStage::Settled(Settled::NoStore { why, ending: ExitStatus::of_cause(cause) });
            }
        };
        if self.doubtful.contains(&place.driver) {
            // It stays due, and what was known of it stays known.
            return JobStage::List;
        }
        if let Err(NoStore { cause, why }) = self.store_is_there(&place.driver, place.source.as_ref()) {
            let why = format!("store {}: {why}", place.driver);
            return JobStage::Settled(Settled::NoStore { why, ending: ExitStatus::of_cause(cause) });
        }
        match list_objects::of_data_file(
            file,
            &job.on_record(self.setup.destination),
            &place,
            self.options.auxiliary_objects,
        ) {
            Ok(listed) => {
                if listed.ambiguous {
                    job.notes.push(format!(
                        "its dataset has several alternative PIDs that designate its storage; {} was used",
                        listed.directory
                    ));
                }
                job.place = Some(place);
                job.package = listed.package;
                job.directory = Some(listed.directory);
                listed.objects.into_iter().for_each(|it| job.add(it));
                JobStage::Carry
            }
            Err(Unlisted::Source(error)) => unlisted(&error),
            Err(Unlisted::Name(why)) => JobStage::Settled(Settled::Unread { why: why.to_string(), lost: false }),
        }
    }

    fn list_dataset(&self, job: &mut Job) -> JobStage {
        let Subject::Dataset(dataset) = &job.due.subject else { return JobStage::Unchanged };
        let options = self.options;
        if let Some(why) = dataset.unknown_place() {
            return JobStage::Settled(Settled::Unread { lost: false, why });
        }
        match list_objects::of_dataset(dataset, self.setup.stores, options.auxiliary_objects, options.cached_exports) {
            Ok(found) => {
                found.into_iter().for_each(|it| job.add(it));
                for item in &mut job.items {
                    // Read at every run, they would cost more than all that is due: a size that is the same stands.
                    let copy = item.known.iter().rfind(|it| it.state == CopyState::Proved);
                    if let Some(copy) = copy.filter(|it| it.size == Some(item.object.size_hint) && !item.replace) {
                        item.progress = ObjectState::Kept { version: copy.version };
                    }
                }
                let idle = job.items.iter().all(|it| matches!(it.progress, ObjectState::Kept { .. }));
                match job.due.claimed {
                    Some(basis) if idle && job.damaged.is_empty() => JobStage::Claimed(basis),
                    None if idle && job.damaged.is_empty() => JobStage::Unchanged,
                    Some(_) | None => JobStage::Carry,
                }
            }
            Err(Unlisted::Source(error)) => match unlisted(&error) {
                JobStage::Settled(Settled::Unread { why, .. }) => {
                    JobStage::Settled(Settled::Unread { why, lost: false })
                }
                other => other,
            },
            // A name that could be none has no object.
            Err(Unlisted::Name(_)) => JobStage::Unchanged,
        }
    }

    /// Reads what has proved copies already: the same bytes need no transfer, others go beside them (design.md 7.6).
    fn compare(&self, jobs: &mut [Job]) -> Result<(), Interrupted> {
        for job in jobs.iter_mut().filter(|it| it.is_carried()) {
            let recorded = recorded_algorithm(&job.due.subject);
            for item in job.items.iter_mut().filter(|it| matches!(it.progress, ObjectState::Compare)) {
                loop {
                    match self.payload(item, &item.algorithms(recorded)).measure() {
                        Ok(measured) => settle_comparison(item, measured),
                        Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                        Err(PayloadError::Source(error)) if self.may_try_again(item, error.cause) => continue,
                        Err(PayloadError::Source(error)) if self.setup.stop.is_no_verdict(error.cause) => {
                            return Err(Interrupted::Stopped);
                        }
                        Err(PayloadError::Source(error)) => item.progress = unread(item, &error),
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads a source that was damaged at the last look before anything of it is sent: as a rule it still is, and what
    /// would be sent each night, only to be thrown away, does not even go where the account may remove nothing.
    fn read_what_was_damaged(&self, jobs: &mut [Job]) -> Result<(), Interrupted> {
        for job in jobs.iter_mut().filter(|it| it.is_carried() && it.due.was == Some(Status::FailChecksum)) {
            let recorded = recorded_algorithm(&job.due.subject);
            let mut new = Vec::new();
            // Once more with the other half of what may be a swapped pair.
            for _ in 0..2 {
                for n in 0..job.items.len() {
                    let item = &mut job.items[n];
                    if !matches!(item.progress, ObjectState::Todo) || new.contains(&n) {
                        continue;
                    }
                    new.push(n);
                    match self.payload(item, &item.algorithms(recorded)).measure() {
                        Ok(measured) => item.progress = ObjectState::Dropped(measured),
                        Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                        Err(PayloadError::Source(error)) if self.setup.stop.is_no_verdict(error.cause) => {
                            return Err(Interrupted::Stopped);
                        }
                        Err(PayloadError::Source(error)) => item.progress = unread(item, &error),
                    }
                }
                job.judgement = if job.is_read() { judgement(job) } else { None };
                if job.judgement == Some(Judgement::TryOriginal) {
                    add_original(job);
                }
            }
            if !matches!(job.judgement, Some(Judgement::Damaged(_))) {
                job.judgement = None;
                new.into_iter().for_each(|n| job.items[n].progress = ObjectState::Todo);
            }
        }
        Ok(())
    }

    /// Reserves a key for everything that is to be stored, so that no two data files ever share one.
    fn reserve(&self, jobs: &mut [Job]) -> Result<(), Interrupted> {
        for _ in 0..2 {
            let mut wishes = Vec::new();
            for job in jobs.iter().filter(|it| it.is_carried()) {
                let new = job.items.iter().filter(|it| !it.reserved && matches!(it.progress, ObjectState::Todo));
                wishes.extend(new.map(|it| Reservation {
                    id: job.due.id(),
                    role: it.object.role.clone(),
                    version: it.version,
                    key: it.key.clone(),
                }));
            }
            if wishes.is_empty() {
                return Ok(());
            }
            let owners = self.setup.ledger.reserve(self.setup.destination, &wishes)?;
            let mut owners = owners.into_iter();
            for job in jobs.iter_mut().filter(|it| it.is_carried()) {
                let id = job.due.id();
                for item in job.items.iter_mut().filter(|it| !it.reserved && matches!(it.progress, ObjectState::Todo)) {
                    let owner: Option<DvObjectId> = owners.next();
                    item.reserved = owner == Some(id);
                    if !item.reserved {
                        // Another data file's object lies, or will lie, there (design.md 5).
                        item.key = item.key.apart_for(id);
                    }
                }
            }
        }
        for item in jobs.iter_mut().filter(|it| it.is_carried()).flat_map(|it| &mut it.items) {
            if !item.reserved && matches!(item.progress, ObjectState::Todo) {
                item.progress =
                    ObjectState::Failed(ObjectError::Write(format!("no key is free for it, not even {}", item.key)));
            }
        }
        Ok(())
    }

    /// Where objects of unknown origin were met at the destination: looks before it sends (a lost ledger).
    fn check_existing(&self, jobs: &mut [Job], connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        if !self.met_strangers.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut wanted = Vec::new();
        for (n, job) in jobs.iter().enumerate().filter(|(_, it)| it.is_carried()) {
            let new = job.items.iter().enumerate();
            let new = new.filter(|(_, it)| matches!(it.progress, ObjectState::Todo) && !it.replace && it.tries == 0);
            wanted.extend(new.map(|(m, it)| (n, m, it.key.clone())));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = wanted.iter().map(|it| it.2.clone()).collect();
        let found = connection.with(|it| it.stat(&keys))?;
        for ((n, m, key), found) in wanted.into_iter().zip(found) {
            if !matches!(found, Ok(Some(_))) {
                continue;
            }
            let recorded = recorded_algorithm(&jobs[n].due.subject);
            let item = &mut jobs[n].items[m];
            match self.payload(item, &item.algorithms(recorded)).measure() {
                Ok(measured) => self.adopt_or_version(item, key, measured, connection)?,
                Err(PayloadError::Stopped) => return Err(Interrupted::Stopped),
                // It fails again where it is staged, and is judged there.
                Err(PayloadError::Source(_)) => {}
            }
        }
        Ok(())
    }

    /// Something is at the key that the ledger does not know: the same bytes are adopted, others left alone.
    fn adopt_or_version(
        &self,
        item: &mut ObjectTask,
        key: ObjectKey,
        measured: Measured,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        self.met_strangers.store(true, Ordering::Relaxed);
        let (held, evidence) = connection.with(|it| Ok((it.measure(&[key], &[])?.pop(), it.measure_evidence())))?;
        let same = match held {
            Some(Ok(held)) => observed(&held, evidence).and_then(|it| Proved::by(measured, &it).ok()),
            Some(Err(error)) if item.is_originals && Bad::is_told_by(&error) => None,
            Some(Err(error)) => {
                item.progress = ObjectState::Failed(self.trouble(&error));
                return Ok(());
            }
            None => None,
        };
        match same {
            Some(proof) => item.progress = ObjectState::Proved { proof, adopted: true },
            // Somebody else's bytes are left where they are, not what was to be a copy of this and is none.
            None if item.is_originals => item.take_the_place(),
            None if item.version >= VERSIONS => {
                let why = format!("every key from {} on is taken by other bytes", item.base_key());
                item.progress = ObjectState::Failed(ObjectError::Write(why));
            }
            None => item.make_new_version(),
        }
        Ok(())
    }

    fn stage(
        &self,
        jobs: &mut [Job],
        connection: &mut Connection<'_>,
        share: Option<&Share>,
    ) -> Result<(), Interrupted> {
        let mut at = Vec::new();
        for (n, job) in jobs.iter().enumerate().filter(|(_, it)| it.is_carried()) {
            // A look at the destination may just have turned an item to another version, whose key is to be reserved first.
            let is_ready = |it: &ObjectTask| it.reserved && matches!(it.progress, ObjectState::Todo);
            let todo = job.items.iter().enumerate().filter(|(_, it)| is_ready(it));
            at.extend(todo.map(|(m, _)| (n, m)));
        }
        if at.is_empty() {
            return Ok(());
        }
        // The session is there before the other destinations are kept waiting.
        let sinks = connection.with(|it| Ok(it.algorithms().to_vec()))?;
        let algorithms = |job: &Job, item: &ObjectTask| {
            let mut all = item.algorithms(recorded_algorithm(&job.due.subject));
            all.extend(&sinks);
            all
        };
        if let Some(share) = share {
            let want = |(n, m): &(usize, usize)| {
                let (job, item) = (&jobs[*n], &jobs[*n].items[*m]);
                (Wanted::new(&item.object.source, &item.object.at), algorithms(job, item))
            };
            share.say(self.number, at.iter().map(want).collect());
        }
        let request = |(n, m): &(usize, usize)| {
            let (job, item) = (&jobs[*n], &jobs[*n].items[*m]);
            let Object { source, at, size_hint, .. } = &item.object;
            let shared = share.and_then(|it| it.payload(self.number, source, at, *size_hint, &self.reading));
            let payload: Box<dyn Payload> = match shared {
                Some(it) => Box::new(it),
                None => Box::new(self.payload(item, &algorithms(job, item))),
            };
            StageRequest { key: item.key.clone(), payload }
        };
        let requests = at.iter().map(request).collect();
        let answers = connection.with(|session| session.stage(requests))?;
        for ((n, m), answer) in at.into_iter().zip(answers) {
            if let Err(Unstaged::Sink(error)) = &answer
                && error.cause == Cause::Unnameable
            {
                name_otherwise(&mut jobs[n].items[m], error);
                continue;
            }
            let item = &mut jobs[n].items[m];
            item.progress = match answer {
                Ok(staged) => ObjectState::Staged(staged),
                Err(Unstaged::Payload(PayloadError::Stopped)) => ObjectState::Failed(ObjectError::Stopped),
                Err(Unstaged::Payload(PayloadError::Source(error))) => {
                    if self.may_try_again(item, error.cause) {
                        ObjectState::Todo
                    } else if self.setup.stop.is_no_verdict(error.cause) {
                        ObjectState::Failed(ObjectError::Stopped)
                    } else {
                        unread(item, &error)
                    }
                }
                Err(Unstaged::Sink(error)) => self.unwritten(item, &error),
                Err(Unstaged::Verify(mismatch)) => unverified(item, mismatch.to_string()),
            };
        }
        Ok(())
    }

    /// Judges what was read to its end; a data file that may be half of a swapped pair gets one more object.
    fn judge(&self, jobs: &mut [Job]) -> Result<(), Interrupted> {
        let mut is_widened = false;
        for job in jobs.iter_mut().filter(|it| it.is_read()) {
            job.judgement = judgement(job);
            if job.judgement == Some(Judgement::TryOriginal) {
                is_widened = true;
                add_original(job);
            }
        }
        if is_widened {
            self.compare(jobs)?;
            // Its saved original may have a copy already: then there is nothing more to wait for.
            for job in jobs.iter_mut().filter(|it| it.is_read() && it.judgement == Some(Judgement::TryOriginal)) {
                job.judgement = judgement(job);
            }
        }
        Ok(())
    }

    /// Shows what was judged good, discards the rest.
    fn commit(&self, jobs: &mut [Job], connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (n, job) in jobs.iter().enumerate().filter(|(_, it)| it.is_read()) {
            let may_show = match &job.judgement {
                Some(Judgement::Good { .. } | Judgement::Unread(_) | Judgement::Missing { .. }) => true,
                Some(Judgement::Damaged(_) | Judgement::Later(_) | Judgement::TryOriginal) | None => false,
            };
            for (m, item) in job.items.iter().enumerate() {
                if let ObjectState::Staged(_) = item.progress {
                    if may_show && !item.is_unexpected() { good.push((n, m)) } else { bad.push((n, m)) }
                }
            }
        }
        self.discard(jobs, bad, connection)?;
        self.set_aside(jobs, &mut good, connection)?;
        if good.is_empty() {
            return Ok(());
        }
        let request = |(n, m): &(usize, usize)| match &jobs[*n].items[*m] {
            ObjectTask { progress: ObjectState::Staged(staged), replace, .. } => {
                Some(CommitRequest { staged: staged.clone(), replace: *replace })
            }
            _ => None,
        };
        let requests: Vec<CommitRequest> = good.iter().filter_map(request).collect();
        let answers = connection.with(|it| it.commit(requests))?;
        for ((n, m), answer) in good.into_iter().zip(answers) {
            self.take_commit(&mut jobs[n].items[m], answer, connection)?;
        }
        Ok(())
    }

    fn take_commit(
        &self,
        item: &mut ObjectTask,
        answer: Result<Proved, Unstaged>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        item.progress = match answer {
            Ok(proof) => ObjectState::Proved { proof, adopted: false },
            Err(Unstaged::Sink(error)) if error.cause == Cause::Exists => {
                let Some(measured) = item.measured().cloned() else { return Ok(()) };
                return self.adopt_or_version(item, item.key.clone(), measured, connection);
            }
            // Some services say so only when the object gets its name: it is sent again under another one.
            Err(Unstaged::Sink(error)) if error.cause == Cause::Unnameable => {
                item.progress = ObjectState::Todo;
                name_otherwise(item, &error);
                return Ok(());
            }
            Err(Unstaged::Sink(error)) => self.unwritten(item, &error),
            Err(Unstaged::Verify(mismatch)) => unverified(item, mismatch.to_string()),
            Err(Unstaged::Payload(error)) => ObjectState::Failed(ObjectError::Read(error.to_string(), None)),
        };
        Ok(())
    }

    pub(crate) fn discard(
        &self,
        jobs: &mut [Job],
        which: Vec<ItemAt>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        let mut batch: Vec<Staged> = Vec::with_capacity(which.len());
        for (n, m) in which {
            let item = &mut jobs[n].items[m];
            if let ObjectState::Staged(staged) = &item.progress {
                let staged = staged.clone();
                item.progress = ObjectState::Dropped(staged.measured.clone());
                batch.push(staged);
            }
        }
        if batch.is_empty() { Ok(()) } else { connection.with(|it| it.discard(batch)) }
    }

    fn payload(&self, item: &ObjectTask, algorithms: &[Algorithm]) -> ObjectPayload {
        let ObjectTask { object, .. } = item;
        let source = std::sync::Arc::clone(&object.source);
        ObjectPayload::new(source, object.at.clone(), object.size_hint, algorithms, self.reading.clone())
    }

    fn may_try_again(&self, item: &mut ObjectTask, cause: Cause) -> bool {
        let may = cause == Cause::Transient && item.tries + 1 < TRIES && self.setup.stop.may_begin();
        if may {
            item.tries += 1;
            self.setup.stop.pause(Duration::from_secs(item.tries.into()));
        }
        may
    }

    fn unwritten(&self, item: &mut ObjectTask, error: &SinkError) -> ObjectState {
        if self.may_try_again(item, error.cause) {
            ObjectState::Todo
        } else if self.setup.stop.is_no_verdict(error.cause) {
            ObjectState::Failed(ObjectError::Stopped)
        } else {
            ObjectState::Failed(self.trouble(error))
        }
    }

    /// What a failure of the destination means to an object. A full one is said in the same words for all.
    fn trouble(&self, error: &SinkError) -> ObjectError {
        match error.cause {
            Cause::Full => ObjectError::Full(no_space(&self.setup.sink.describe(), error)),
            Cause::Missing
            | Cause::Forbidden
            | Cause::Refused
            | Cause::Transient
            | Cause::Unavailable
            | Cause::Misconfigured
            | Cause::Absent
            | Cause::Untrusted
            | Cause::Exists
            | Cause::Broken
            | Cause::Unnameable
            | Cause::Io => ObjectError::Write(error.chain()),
        }
    }
}

/// A medium that cannot have a name (exFAT, SMB) gets the object under another one, once.
fn name_otherwise(item: &mut ObjectTask, error: &SinkError) {
    let other = item.key.for_any_medium();
    if item.named_otherwise.is_some() || other == item.key {
        item.progress = ObjectState::Failed(ObjectError::Write(error.chain()));
    } else {
        (item.key, item.reserved, item.named_otherwise) = (other, false, Some(error.chain()));
    }
}

/// Says where the copies are that have another name than their objects.
fn note_names(jobs: &mut [Job]) {
    for job in jobs {
        let stored = job.items.iter().filter(|it| matches!(it.progress, ObjectState::Proved { .. }));
        let note = |it: &ObjectTask| {
            let why = it.named_otherwise.as_ref()?;
            Some(format!("{why}: the copy of {} is at {}", it.object.key, it.key))
        };
        let notes: Vec<String> = stored.filter_map(note).collect();
        job.notes.extend(notes);
    }
}

fn add_original(job: &mut Job) {
    let Subject::DataFile(file) = &job.due.subject else { return };
    let main = job.item(&ObjectRole::Main).map(|it| &it.object);
    let Some((main, place)) = main.zip(job.place.as_ref()) else { return };
    match list_objects::original(file, main, place) {
        Ok(original) => job.add(original),
        Err(Unlisted::Source(error)) => job.judgement = Some(Judgement::Unread(reason(&error))),
        Err(Unlisted::Name(why)) => job.judgement = Some(Judgement::Unread(why.to_string())),
    }
}

fn forget_staged(jobs: &mut [Job], instead: &ObjectState) {
    for item in jobs.iter_mut().flat_map(|it| &mut it.items) {
        if matches!(item.progress, ObjectState::Staged(_) | ObjectState::Todo) {
            item.progress = match instead {
                ObjectState::Failed(trouble) => ObjectState::Failed(trouble.clone()),
                _ => ObjectState::Todo,
            };
        }
    }
}

fn settle_comparison(item: &mut ObjectTask, measured: Measured) {
    let Some(read) = measured.digest(Algorithm::Sha256) else { return };
    let same = |it: &&CopyRecord| it.sha256.as_ref() == Some(read) && it.size == Some(measured.size);
    let newest_is_bad = item.replace;
    let good = |it: &&CopyRecord| it.state == CopyState::Proved && !(newest_is_bad && it.version == item.version);
    // The newest version is what Dataverse has: bytes that came back, after others, are a version again.
    if let Some(copy) = item.known.iter().rfind(good).filter(same) {
        item.progress = ObjectState::Held { version: copy.version, measured };
    } else if newest_is_bad && item.known.iter().filter(|it| it.version == item.version).any(|it| same(&it)) {
        // The source still has what the bad copy should be.
        item.progress = ObjectState::Todo;
    } else {
        item.make_new_version();
    }
}

fn unread(item: &ObjectTask, error: &SourceError) -> ObjectState {
    let at = || item.object.source.place(&item.object.at);
    match error.cause {
        Cause::Missing if item.object.optional => ObjectState::Absent(at()),
        Cause::Missing => ObjectState::Failed(ObjectError::Missing(at())),
        _ => ObjectState::Failed(ObjectError::Read(reason(error), ExitStatus::of_all(error.cause))),
    }
}

/// Why the objects of a data file or dataset could not be listed.
fn unlisted(error: &SourceError) -> JobStage {
    let why = reason(error);
    JobStage::Settled(match ExitStatus::of_all(error.cause) {
        Some(ending) => Settled::NoStore { why, ending },
        None => Settled::Unread { lost: error.cause == Cause::Missing, why },
    })
}

fn unverified(item: &mut ObjectTask, why: String) -> ObjectState {
    item.tries += 1;
    // Once more: a memory or network error passes, a bad disk does not.
    if item.tries < TRIES - 1 { ObjectState::Todo } else { ObjectState::Failed(ObjectError::Verify(why)) }
}

/// What is said of a place that is full, whichever object found it out.
pub(crate) fn no_space(place: &str, error: &SinkError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(next) = deepest.source() {
        deepest = next;
    }
    format!("no space left at {place}; make room there ({deepest})")
}

fn recorded_algorithm(subject: &Subject) -> Option<Algorithm> {
    match subject {
        Subject::DataFile(file) => RecordedChecksum::parse(&file.checksum_value).algorithm(),
        Subject::Dataset(_) => None,
    }
}

pub(crate) fn observed(held: &Measured, evidence: Evidence) -> Option<Observed> {
    let digest = held.digest(Algorithm::Sha256)?.clone();
    Some(Observed { digest, size: Some(held.size), evidence })
}

/// `None` while something is not read for reasons that are not the source's.
fn judgement(job: &Job) -> Option<Judgement> {
    let Subject::DataFile(file) = &job.due.subject else {
        return Some(Judgement::Good { basis: dvb_ledger::Basis::FirstSeen, notes: Vec::new() });
    };
    // Where the copies are is no matter here.
    let known = job.on_record(&DestinationName(String::new()));
    if let Some(manifest) = &job.package {
        let mut members: Vec<(&str, Seen<'_>)> = Vec::with_capacity(job.items.len());
        for item in &job.items {
            if let ObjectRole::Member(path) = &item.object.role {
                members.push((path, item.seen()?));
            }
        }
        return Some(judge::package(file, &known, manifest, &members));
    }
    let main = job.item(&ObjectRole::Main)?.seen()?;
    let original = match job.item(&ObjectRole::Original) {
        Some(it) => Some(it.seen()?),
        None => None,
    };
    Some(judge::pair(file, &known, main, original))
}
