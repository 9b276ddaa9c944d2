//! The brake for changes: known files whose bytes and checksums are others all at once.
//!
//! Files in Dataverse do not change: a new upload is a new data file. So very many with other bytes, and checksums that fit
//! them, are the work of somebody who has both, the store and the database. The catalogue's checksums tell first, and cost
//! nothing; the bytes are read only of a few, and only where too many checksums changed: where the bytes are still those of
//! the copies, checksums were rewritten, by Dataverse itself perhaps, and a run may look at each.

use std::collections::HashMap;

use dvb_fixity::{Algorithm, Digest, RecordedChecksum};
use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DataFile, DestinationName, DvObjectId, ObjectRole};

use crate::command::error::RunError;
use crate::source::list_objects::{self, Object};
use crate::source::on_record::OnRecord;
use crate::source::payload::{ObjectPayload, Reading};
use crate::source::stores::{Scope, StoreLocation, Stores};

/// Data files that the ledger is asked for at a time.
const BATCH: usize = 1_000;
/// Data files whose bytes are read.
const READ: usize = 20;
/// Bytes that are read of them in all, but for the first.
const READ_BYTES: u64 = 1 << 30;

/// Counts, while the catalogue is read, the data files whose checksums are none of those that their copies have.
pub(crate) struct Changes<'a> {
    stores: &'a Stores,
    ledger: &'a dyn Ledger,
    destination: &'a DestinationName,
    reading: Reading,
    /// The share that may change at once; `None` where the administrator takes the brake off.
    limit: Option<f64>,
    /// Data files with a proved copy, as far as the catalogue has them.
    known: u64,
    /// Not compared yet: they have other columns than when they were judged.
    waiting: Vec<DataFile>,
    changed: u64,
    /// Some of those that changed, each with the same chance.
    sample: Vec<(DataFile, Vec<Digest>)>,
}

impl<'a> Changes<'a> {
    /// For a run of this destination. With a `limit` of `None` nothing is compared.
    pub(crate) fn new(
        (stores, ledger): (&'a Stores, &'a dyn Ledger),
        destination: &'a DestinationName,
        reading: Reading,
        limit: Option<f64>,
    ) -> Self {
        Self {
            stores,
            ledger,
            destination,
            reading,
            limit,
            known: 0,
            waiting: Vec::new(),
            changed: 0,
            sample: Vec::new(),
        }
    }

    /// Takes a data file that is safe by what the ledger knows.
    pub(crate) fn enter(&mut self, file: &DataFile, has_other_columns: bool) -> Result<(), LedgerError> {
        self.known += 1;
        if has_other_columns && self.limit.is_some() {
            self.waiting.push(file.clone());
        }
        if self.waiting.len() >= BATCH { self.compare() } else { Ok(()) }
    }

    fn compare(&mut self) -> Result<(), LedgerError> {
        let files = std::mem::take(&mut self.waiting);
        if files.is_empty() {
            return Ok(());
        }
        let ids: Vec<DvObjectId> = files.iter().map(|it| it.id).collect();
        let mut digests: HashMap<DvObjectId, Vec<Digest>> = HashMap::new();
        for (id, digest) in self.ledger.digests(self.destination, &ids)? {
            digests.entry(id).or_default().push(digest);
        }
        for file in files {
            let digests = digests.remove(&file.id).unwrap_or_default();
            let recorded = RecordedChecksum::parse(&file.checksum_value);
            if recorded.digest().is_some_and(|it| digests.contains(it)) || digests.is_empty() {
                continue;
            }
            self.changed += 1;
            if self.sample.len() < READ {
                self.sample.push((file, digests));
            } else if let Ok(n) = usize::try_from(fastrand::u64(..self.changed))
                && let Some(it) = self.sample.get_mut(n)
            {
                *it = (file, digests);
            }
        }
        Ok(())
    }

    /// Whether a run may go on, after the whole catalogue was read.
    pub(crate) fn judge(mut self) -> Result<Result<(), RunError>, LedgerError> {
        self.compare()?;
        let Some(limit) = self.limit else { return Ok(Ok(())) };
        if !is_more(self.changed, limit, self.known) {
            return Ok(Ok(()));
        }
        let (read, other) = self.look();
        // As many of all as of those that were read. What cannot be read cannot be copied either.
        let likely = self.changed.saturating_mul(other).checked_div(read).unwrap_or(0);
        Ok(if is_more(likely, limit, self.known) {
            Err(RunError::Changes {
                destination: self.destination.0.clone(),
                changed: self.changed,
                known: self.known,
                limit: limit * 100.0,
                read,
                other,
            })
        } else {
            Ok(())
        })
    }

    /// Reads the sample: how many could be read, and how many of them have none of the bytes that their copies have.
    fn look(&self) -> (u64, u64) {
        let (mut read, mut other, mut bytes) = (0, 0, 0_u64);
        for (file, digests) in &self.sample {
            let size = file.size.unwrap_or(0);
            if self.reading.stop.signalled().is_some() || (read > 0 && bytes.saturating_add(size) > READ_BYTES) {
                continue;
            }
            let Scope::Covered(place) = self.stores.scope(file) else { continue };
            let Some(is_same) = self.is_same(file, &place, digests) else { continue };
            bytes = bytes.saturating_add(size);
            read += 1;
            other += u64::from(!is_same);
        }
        (read, other)
    }

    /// Whether one of its objects has bytes that its copies have; `None` where none can be read.
    fn is_same(&self, file: &DataFile, place: &StoreLocation, digests: &[Digest]) -> Option<bool> {
        let listed = list_objects::of_data_file(file, &OnRecord::default(), place, false).ok()?;
        let is_own = |it: &&Object| matches!(it.role, ObjectRole::Main | ObjectRole::Original);
        let mut found = None;
        for object in listed.objects.iter().filter(is_own) {
            let reading = self.reading.clone();
            let source = std::sync::Arc::clone(&object.source);
            let payload = ObjectPayload::new(source, object.at.clone(), object.size_hint, &[], reading);
            let Ok(measured) = payload.measure() else { continue };
            let is_same = measured.digest(Algorithm::Sha256).is_some_and(|it| digests.contains(it));
            found = Some(found.unwrap_or(false) || is_same);
        }
        found
    }
}

/// Whether a part is more than a share of the whole.
pub(crate) fn is_more(part: u64, share: f64, whole: u64) -> bool {
    // Counts of files are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    let is_more = part as f64 > share * whole as f64;
    is_more
}
