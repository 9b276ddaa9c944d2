//! The lines of a snapshot, taken over as claims.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use dvb_catalog::snapshot::{Gone, GoneKind, Held, HeldEntry, HeldObject, HistoryKind};
use dvb_ledger::{
    Acknowledgement, Basis, Claim, CopyRecord, CopyState, EntryKind, Event, Hold, Incident, Purge, Reservation,
};
use dvb_model::{DataFile, Dataset, DvObjectId, ObjectKey, RunId, Status, StoragePid};
use dvb_storage::{Cause, chain};
use serde::Serialize;

use super::{Fetched, Missing, RebuildSetup};
use crate::command::LISTED;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event as Shown;
use crate::command::purged::Buried;
use crate::copies::session::{Connection, Interrupted};
use crate::source::fingerprint;

/// Data files and datasets in one transaction: a few megabytes, and few enough flushes.
const BATCH: usize = 4_000;
const ATTEMPTS: u32 = 3;

/// What was taken over from a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ClaimCounts {
    /// Data files of the catalogue in it.
    pub files: u64,
    /// Datasets that have copies of their own objects.
    pub datasets: u64,
    /// Data files and datasets that had left the catalogue, and have copies.
    pub gone: u64,
    /// Copies that are there with their size; to be proved.
    pub copies: u64,
    /// Copies that are not there, or have another size.
    pub missing: u64,
    /// Copies that were known to be bad when the snapshot was made.
    pub damaged: u64,
}

pub(super) struct Claims<'a> {
    setup: &'a RebuildSetup<'a>,
    run: &'a RunId,
    auxiliary_objects: bool,
    reason: String,
    batch: Vec<Claim>,
    history: History,
    /// What was purged: nothing of it is claimed.
    buried: Buried,
    /// What of that is proved to be gone here.
    proved_gone: HashSet<DvObjectId>,
    /// The keys of what is not.
    pub(super) left: Vec<Reservation>,
    /// Objects that this version of the program cannot make out.
    unknown: AtomicU64,
    pub(super) counts: ClaimCounts,
    pub(super) missing: Vec<Missing>,
}

/// What the ledger that was lost had kept of the past: some thousands of lines in a repository's life.
#[derive(Default)]
struct History {
    events: Vec<Event>,
    incidents: Vec<Incident>,
    acknowledged: Vec<Acknowledgement>,
    purges: Vec<Purge>,
    holds: Vec<Hold>,
}

impl History {
    /// Says whether it can be made out.
    fn enter(&mut self, kind: HistoryKind, line: serde_json::Value) -> bool {
        fn read<T: serde::de::DeserializeOwned>(line: serde_json::Value, into: &mut Vec<T>) -> bool {
            serde_json::from_value(line).map(|it| into.push(it)).is_ok()
        }
        match kind {
            HistoryKind::Event => read(line, &mut self.events),
            HistoryKind::Incident => read(line, &mut self.incidents),
            HistoryKind::Acknowledgement => read(line, &mut self.acknowledged),
            HistoryKind::Purge => read(line, &mut self.purges),
            HistoryKind::Hold => read(line, &mut self.holds),
        }
    }
}

type Aborted = (ExitStatus, String);

impl<'a> Claims<'a> {
    pub(super) fn new(
        setup: &'a RebuildSetup<'a>,
        run: &'a RunId,
        fetched: &Fetched,
        auxiliary_objects: bool,
    ) -> Result<Self, RunError> {
        let reason = format!("the ledger was made again from {}: no copy of it is proved yet", fetched.link.name);
        let (batch, missing) = (Vec::with_capacity(BATCH), Vec::new());
        let tombstones = setup.ledger.tombstones()?;
        Ok(Self {
            buried: Buried::known(setup.ledger)?,
            proved_gone: tombstones
                .iter()
                .filter(|it| it.destination == *setup.destination && it.proved_at.is_some())
                .map(|it| it.id)
                .collect(),
            left: Vec::new(),
            setup,
            run,
            auxiliary_objects,
            reason,
            batch,
            history: History::default(),
            unknown: AtomicU64::new(0),
            counts: ClaimCounts::default(),
            missing,
        })
    }

    /// Takes over every line; with a connection, after a look at each of its objects.
    pub(super) fn take(
        &mut self,
        fetched: &Fetched,
        mut connection: Option<&mut Connection<'_>>,
    ) -> Result<(), Aborted> {
        let mut failure = None;
        let read = fetched.catalog().read_held(&mut |entry| {
            let claim = self.claim_of(entry);
            self.batch.extend(claim);
            let full = self.batch.len() >= BATCH;
            match if full { self.record(connection.as_deref_mut()) } else { Ok(()) } {
                Ok(()) if self.setup.stop.may_begin() => ControlFlow::Continue(()),
                Ok(()) => ControlFlow::Break(()),
                Err(aborted) => {
                    failure = Some(aborted);
                    ControlFlow::Break(())
                }
            }
        });
        match (failure, read) {
            (Some(aborted), _) => Err(aborted),
            (None, Err(error)) => Err((ExitStatus::from(&error), chain(&error))),
            (None, Ok(())) => {
                let unknown = self.unknown.load(Ordering::Relaxed);
                if unknown > 0 {
                    let text = format!(
                        "{}: {unknown} objects in it are of a kind that this version of the program does not know, and are \
                         passed over; use the version that wrote it, or a newer one",
                        fetched.link.name
                    );
                    self.setup.observer.event(&Shown::Warning(&text));
                }
                self.record(connection)?;
                let kept = self.setup.ledger.reserve(self.setup.destination, &self.left);
                kept.map_err(|error| (ExitStatus::from(&error), chain(&error)))?;
                let History { events, incidents, acknowledged, purges, holds } = std::mem::take(&mut self.history);
                let ledger = self.setup.ledger;
                let taken = ledger
                    .take_over_history(&events, &incidents, &acknowledged)
                    .and_then(|()| ledger.take_over_purges(&purges, &holds));
                taken.map_err(|error| (ExitStatus::from(&error), chain(&error)))
            }
        }
    }

    fn claim_of(&mut self, entry: HeldEntry) -> Option<Claim> {
        let id = match &entry {
            HeldEntry::DataFile(file, _) => Some(file.id),
            HeldEntry::Dataset(dataset, _) => Some(dataset.id),
            HeldEntry::Gone(gone) => Some(gone.id),
            HeldEntry::History(..) => None,
        };
        if let Some(id) = id.filter(|id| self.buried.has(*id)) {
            if !self.proved_gone.contains(&id) {
                self.keep_keys(id, &entry);
            }
            return None;
        }
        match entry {
            HeldEntry::DataFile(file, held) => Some(self.of_file(&file, held)),
            HeldEntry::Dataset(dataset, held) => held.map(|it| self.of_dataset(&dataset, &it)),
            HeldEntry::Gone(gone) => Some(self.of_gone(&gone)),
            HeldEntry::History(kind, line) => {
                if !self.history.enter(kind, line) {
                    self.unknown.fetch_add(1, Ordering::Relaxed);
                }
                None
            }
        }
    }

    /// What was purged, but not here, or not to the end: its keys are kept, so that a purge finds what is left.
    fn keep_keys(&mut self, id: DvObjectId, entry: &HeldEntry) {
        let held = match entry {
            HeldEntry::DataFile(_, held) | HeldEntry::Dataset(_, held) => held.as_ref(),
            HeldEntry::Gone(gone) => Some(&gone.held),
            HeldEntry::History(..) => None,
        };
        let Some(held) = held else { return };
        let objects = held.objects.iter().chain(&held.claimed).chain(&held.damaged);
        self.left.extend(objects.filter_map(|it| {
            let role = it.role.parse().ok()?;
            Some(Reservation { id, role, version: it.version, key: it.key.clone() })
        }));
    }

    fn of_file(&self, file: &DataFile, held: Option<Held>) -> Claim {
        let dataset = file.dataset.as_ref();
        Claim {
            kind: EntryKind::DataFile,
            dataset: dataset.map(|it| it.pid.clone()),
            dataset_identifier: dataset.and_then(directory),
            storage_identifier: file.storage_identifier.clone(),
            label: file.label(),
            fingerprint: fingerprint::of_data_file(file, self.auxiliary_objects),
            ..self.claim(file.id, held.as_ref())
        }
    }

    fn of_dataset(&self, dataset: &Dataset, held: &Held) -> Claim {
        Claim {
            kind: EntryKind::Dataset,
            dataset: Some(dataset.pid.clone()),
            dataset_identifier: directory(dataset),
            storage_identifier: dataset.storage_identifier.clone(),
            ..self.claim(dataset.id, Some(held))
        }
    }

    fn of_gone(&self, gone: &Gone) -> Claim {
        Claim {
            kind: match gone.kind {
                GoneKind::File => EntryKind::DataFile,
                GoneKind::Dataset => EntryKind::Dataset,
            },
            dataset: gone.dataset.clone(),
            dataset_identifier: gone.dataset_identifier.clone(),
            storage_identifier: gone.storage_identifier.clone(),
            label: gone.label.clone(),
            // One that left while the run was under way has no time of its own.
            gone_since: gone.gone_since.clone().or_else(|| gone.held.recorded_at.clone()),
            ..self.claim(gone.id, Some(&gone.held))
        }
    }

    /// What all have in common.
    fn claim(&self, id: DvObjectId, held: Option<&Held>) -> Claim {
        let not_covered = held.filter(|it| it.status == Status::NotCovered);
        let was = held.filter(|it| !matches!(it.status, Status::Ok | Status::Pending));
        let was = was.map(|held| match &held.reason {
            Some(why) => format!("; it was {}: {why}", held.status),
            None => format!("; it was {}", held.status),
        });
        let objects = held.into_iter().flat_map(|held| {
            let of =
                |objects: &'_ [HeldObject], state| objects.iter().map(|it| copy(id, it, state)).collect::<Vec<_>>();
            let claimed =
                of(&held.objects, CopyState::Claimed).into_iter().chain(of(&held.claimed, CopyState::Claimed));
            claimed.chain(of(&held.damaged, CopyState::Damaged))
        });
        let (mut copies, mut unknown) = (Vec::new(), 0);
        for it in objects {
            match it {
                Some(copy) => copies.push(copy),
                None => unknown += 1,
            }
        }
        self.unknown.fetch_add(unknown, Ordering::Relaxed);
        // It is not `OK` again by the proofs of a part of its objects.
        let held = held.filter(|_| unknown == 0);
        let basis = held.filter(|it| !it.provisional).and_then(|it| it.checksum_basis.as_deref());
        Claim {
            id,
            kind: EntryKind::DataFile,
            dataset: None,
            dataset_identifier: None,
            storage_identifier: None,
            label: None,
            fingerprint: String::new(),
            method: self.setup.sink.method(),
            basis: [Basis::Dataverse, Basis::FirstSeen].into_iter().find(|it| Some(it.name()) == basis),
            not_covered: not_covered.is_some(),
            reason: match not_covered {
                Some(it) => it.reason.clone().unwrap_or_default(),
                None => format!("{}{}", self.reason, was.unwrap_or_default()),
            },
            gone_since: None,
            copies,
        }
    }

    fn record(&mut self, connection: Option<&mut Connection<'_>>) -> Result<(), Aborted> {
        self.counts.damaged += self.copies(CopyState::Damaged);
        if let Some(connection) = connection {
            self.look(connection)?;
        }
        self.counts.copies += self.copies(CopyState::Claimed);
        for it in &self.batch {
            *match (it.gone_since.is_some(), it.kind) {
                (true, _) => &mut self.counts.gone,
                (false, EntryKind::DataFile) => &mut self.counts.files,
                (false, EntryKind::Dataset) => &mut self.counts.datasets,
            } += 1;
        }
        let RebuildSetup { ledger, destination, .. } = self.setup;
        ledger.claim(destination, self.run, &self.batch).map_err(|it| (ExitStatus::from(&it), chain(&it)))?;
        self.batch.clear();
        Ok(())
    }

    fn copies(&self, state: CopyState) -> u64 {
        self.batch.iter().flat_map(|it| &it.copies).filter(|it| it.state == state).count() as u64
    }

    /// Whether each object is there with its size. What is not stays known, as damaged.
    fn look(&mut self, connection: &mut Connection<'_>) -> Result<(), Aborted> {
        let is_claimed = |it: &&mut CopyRecord| it.state == CopyState::Claimed;
        let keys: Vec<ObjectKey> = self
            .batch
            .iter()
            .flat_map(|claim| &claim.copies)
            .filter(|copy| copy.state == CopyState::Claimed)
            .map(|copy| copy.key.clone())
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        let mut found = stat(connection, &keys)?.into_iter();
        for claim in &mut self.batch {
            let mut is_short = false;
            for copy in claim.copies.iter_mut().filter(is_claimed) {
                let reason = match found.next() {
                    Some(Ok(None)) => "nothing is there".to_owned(),
                    Some(Ok(Some(there))) if Some(there.size) != copy.size => {
                        format!("it has {} bytes where the snapshot says {}", there.size, copy.size.unwrap_or(0))
                    }
                    Some(Err(error)) if error.cause == Cause::Broken => error.chain(),
                    // What cannot be looked at now is looked at when it is proved.
                    Some(Ok(Some(_)) | Err(_)) | None => continue,
                };
                copy.state = CopyState::Damaged;
                is_short = true;
                self.counts.missing += 1;
                if self.missing.len() < LISTED {
                    self.missing.push(Missing {
                        data_file_id: (claim.kind == EntryKind::DataFile).then_some(claim.id),
                        dataset: claim.dataset.clone(),
                        name: claim.label.clone(),
                        key: copy.key.clone(),
                        reason,
                    });
                }
            }
            if is_short {
                claim.basis = None;
                claim.reason += "; a copy of it is not there, or has another size";
            }
        }
        Ok(())
    }
}

type Found = Result<Option<dvb_storage::Existing>, dvb_storage::SinkError>;

fn stat(connection: &mut Connection<'_>, keys: &[ObjectKey]) -> Result<Vec<Found>, Aborted> {
    let mut attempt = 1;
    loop {
        match connection.with(|it| it.stat(keys)) {
            Ok(found) => return Ok(found),
            Err(Interrupted::Session(_)) if attempt < ATTEMPTS => attempt += 1,
            Err(Interrupted::Session(error)) => return Err((ExitStatus::of_cause(error.cause), error.chain())),
            Err(Interrupted::Run(ending, text)) => return Err((ending, text)),
            Err(Interrupted::Stopped) => return Err((ExitStatus::Unreachable, "stopped".to_owned())),
        }
    }
}

fn directory(dataset: &Dataset) -> Option<String> {
    dataset.storage_pids.first().map(StoragePid::directory)
}

/// `None` for what this program never writes.
fn copy(id: DvObjectId, it: &HeldObject, state: CopyState) -> Option<CopyRecord> {
    Some(CopyRecord {
        id,
        role: it.role.parse().ok()?,
        version: it.version,
        key: it.key.clone(),
        state,
        size: Some(it.size),
        sha256: Some(it.sha256.parse().ok()?),
        others: Vec::new(),
        evidence: Some(it.evidence.parse().ok()?),
        proved_at: Some(it.proved_at.clone()),
    })
}
