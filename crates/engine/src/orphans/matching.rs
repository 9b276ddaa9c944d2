//! Which orphan is which missing object: of equal size first, then of equal digest.

use std::collections::HashMap;

use dvb_fixity::{Algorithm, Evidence, Measured};
use dvb_model::ObjectKey;
use dvb_storage::SinkError;

use super::list::Found;
use super::{Counts, Failure, MissingObject, Orphan, OrphansOptions, OrphansSetup, Wanted, wanted};
use crate::catalogue::spool::Spool;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::compare::read_back_at_any_rate;
use crate::copies::session::{Connection, Interrupted};

/// Orphans that are measured at once, at most so many or of so many bytes; one alone may have more.
const BATCH: usize = 256;
const BATCH_BYTES: u64 = 64 << 20;
/// Sessions that one batch may use up.
const SESSIONS: u32 = 3;
/// Missing objects that one orphan is said to be, of many that are the same.
const NAMED: usize = 10;

/// Missing objects by their size.
type Chunk = HashMap<u64, Vec<MissingObject>>;

/// Compares all orphans with all missing objects, and writes their list anew with what was found.
pub(super) fn compare(
    setup: &OrphansSetup<'_>,
    options: &OrphansOptions,
    connection: &mut Connection<'_>,
    found: &mut Found,
    wanted: &mut Wanted,
    counts: &mut Counts,
) -> Result<(), Failure> {
    let mut lines = wanted.read().map_err(|it| options.spool_error(it))?;
    loop {
        let mut chunk = Chunk::new();
        for line in lines.by_ref().take(options.held.max(1)) {
            let wanted::Line { size, object } = line.map_err(|it| options.spool_error(it))?;
            chunk.entry(size).or_default().push(object);
        }
        if chunk.is_empty() {
            return Ok(());
        }
        pass(&mut Matcher { setup, options, connection, counts, chunk: &chunk }, found)?;
    }
}

/// One way through the orphans. Their list is replaced only as a whole.
fn pass(matcher: &mut Matcher<'_, '_>, found: &mut Found) -> Result<(), Failure> {
    let failed = |it| matcher.options.spool_error(it);
    let mut again = Spool::create(&matcher.options.spool_folder).map_err(failed)?;
    let mut batch: Vec<Orphan> = Vec::new();
    let (mut candidates, mut bytes) = (0, 0_u64);
    for orphan in found.orphans.read().map_err(failed)? {
        let orphan: Orphan = orphan.map_err(|it| matcher.options.spool_error(it))?;
        if matcher.lacks(&orphan).is_some() {
            candidates += 1;
            bytes = bytes.saturating_add(orphan.size);
        }
        batch.push(orphan);
        if candidates == BATCH || bytes > BATCH_BYTES || batch.len() == BATCH * 16 {
            matcher.settle(&mut batch, &mut again)?;
            (candidates, bytes) = (0, 0);
        }
    }
    matcher.settle(&mut batch, &mut again)?;
    found.orphans = again;
    Ok(())
}

struct Matcher<'a, 'c> {
    setup: &'a OrphansSetup<'a>,
    options: &'a OrphansOptions,
    connection: &'a mut Connection<'c>,
    counts: &'a mut Counts,
    chunk: &'a Chunk,
}

impl Matcher<'_, '_> {
    /// The algorithms that it must be measured by before it can be compared; `None` where nothing of its size is missing, or
    /// all is known.
    fn lacks(&self, orphan: &Orphan) -> Option<Vec<Algorithm>> {
        if orphan.unreadable.is_some() {
            return None;
        }
        let known = |it: &Algorithm| orphan.digests.iter().any(|digest| digest.algorithm() == *it);
        let mut lacking: Vec<Algorithm> =
            self.chunk.get(&orphan.size)?.iter().map(|it| it.digest.algorithm()).filter(|it| !known(it)).collect();
        lacking.sort_unstable();
        lacking.dedup();
        (!lacking.is_empty()).then_some(lacking)
    }

    /// Measures the candidates of a batch, says what they are, and writes it down.
    fn settle(&mut self, batch: &mut Vec<Orphan>, into: &mut Spool<Orphan>) -> Result<(), Failure> {
        let mut at: Vec<(usize, ObjectKey)> = Vec::new();
        let mut algorithms = Vec::new();
        for (n, orphan) in batch.iter_mut().enumerate() {
            let Some(lacking) = self.lacks(orphan) else { continue };
            match ObjectKey::new(&orphan.key) {
                Ok(key) => {
                    at.push((n, key));
                    algorithms.extend(lacking);
                }
                Err(why) => orphan.unreadable = Some(why.to_string()),
            }
        }
        algorithms.sort_unstable();
        algorithms.dedup();
        let keys: Vec<ObjectKey> = at.iter().map(|it| it.1.clone()).collect();
        let sizes: Vec<u64> = at.iter().map(|it| batch[it.0].size).collect();
        let answers = self.measure(&keys, &sizes, &algorithms)?;
        for ((n, _), answer) in at.into_iter().zip(answers) {
            take(&mut batch[n], answer, self.counts);
        }
        for mut orphan in batch.drain(..) {
            self.name(&mut orphan);
            into.push(&orphan).map_err(|it| self.options.spool_error(it))?;
        }
        Ok(())
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        sizes: &[u64],
        algorithms: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, Interrupted> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        for session in 1..=SESSIONS {
            if !self.setup.stop.may_begin() {
                return Err(Interrupted::Stopped);
            }
            match self.measure_once(keys, sizes, algorithms) {
                Err(Interrupted::Session(error)) if session < SESSIONS => {
                    let text = format!("{}; its objects are measured again", error.chain());
                    self.setup.observer.event(&Event::Warning(&text));
                }
                done => return done,
            }
        }
        Err(Interrupted::Stopped)
    }

    fn measure_once(
        &mut self,
        keys: &[ObjectKey],
        sizes: &[u64],
        algorithms: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, Interrupted> {
        let evidence = self.connection.with(|it| Ok(it.measure_evidence()))?;
        self.counts.evidence = Some(evidence);
        let is_long = sizes.iter().any(|it| *it > BATCH_BYTES);
        let answers = if evidence == Evidence::ReadBack && is_long {
            let one = |key| read_back_at_any_rate(self.setup.stop, key, algorithms, self.connection);
            keys.iter().map(one).collect::<Result<_, _>>()?
        } else {
            self.connection.with(|it| it.measure(keys, algorithms))?
        };
        self.setup.observer.event(&Event::Bytes(sizes.iter().sum()));
        Ok(answers)
    }

    /// Says which missing objects it is, as far as it was measured.
    fn name(&self, orphan: &mut Orphan) {
        let Some(wanted) = self.chunk.get(&orphan.size) else { return };
        for object in wanted.iter().filter(|it| orphan.digests.contains(&it.digest)) {
            // Dataverse and the ledger may both know it.
            let is_named = |it: &MissingObject| it.data_file_id == object.data_file_id && it.object == object.object;
            if orphan.is.len() < NAMED && !orphan.is.iter().any(is_named) {
                orphan.is.push(object.clone());
            }
        }
    }
}

fn take(orphan: &mut Orphan, answer: Result<Measured, SinkError>, counts: &mut Counts) {
    match answer {
        // Another size than was listed: it is being changed.
        Ok(measured) if measured.size != orphan.size => {
            orphan.unreadable = Some(format!("it was listed with {} bytes and has {}", orphan.size, measured.size));
        }
        Ok(measured) => {
            let new = |it: &dvb_fixity::Digest| !orphan.digests.contains(it);
            let new: Vec<_> = measured.digests.into_iter().filter(new).collect();
            orphan.digests.extend(new);
        }
        Err(error) => {
            ExitStatus::worsen(&mut counts.unusable, ExitStatus::of_all(error.cause));
            orphan.unreadable = Some(error.chain());
        }
    }
}
