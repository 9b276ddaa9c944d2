//! The lines of a snapshot: the catalogue and what is held at one destination, two lists in the order of ids, merged.

use std::fs::File;
use std::io::{self, BufWriter};

use dvb_catalog::SnapshotWriter;
use dvb_catalog::snapshot::{Gone, GoneKind, Held, HeldObject, HistoryKind};
use dvb_ledger::{CopyRecord, CopyState, EntryKind, Holding, Ledger, LedgerError};
use dvb_model::{DestinationName, DvObjectId, Status};

use super::Failure;
use crate::catalogue::in_step::InStep;
use crate::catalogue::spool::Subject;
use crate::command::purged::Buried;

/// Into a file without a name.
pub(super) type Writer = SnapshotWriter<BufWriter<File>>;

/// The lines of one destination's snapshot.
pub(super) struct Lines<'a> {
    writer: Writer,
    ledger: &'a dyn Ledger,
    datasets: Shelf<'a>,
    files: Shelf<'a>,
    /// The datasets have ended.
    in_files: bool,
    /// What no line may name.
    buried: Buried,
}

impl<'a> Lines<'a> {
    pub(super) fn new(
        writer: Writer,
        ledger: &'a dyn Ledger,
        destination: &DestinationName,
    ) -> Result<Self, LedgerError> {
        let shelf = |entries, kind| Shelf { holdings: InStep::holdings(ledger, destination, entries), kind };
        Ok(Self {
            buried: Buried::known(ledger)?,
            writer,
            ledger,
            datasets: shelf(EntryKind::Dataset, GoneKind::Dataset),
            files: shelf(EntryKind::DataFile, GoneKind::File),
            in_files: false,
        })
    }

    /// The next entry of the catalogue.
    pub(super) fn enter(&mut self, entry: &Subject) -> Result<(), Failure> {
        match entry {
            Subject::Dataset(dataset) => {
                let held = self.datasets.reach(dataset.id, &mut self.writer)?.map(held);
                if self.buried.has(dataset.id) {
                    return Ok(());
                }
                Ok(self.writer.dataset(dataset, held.as_ref())?)
            }
            Subject::DataFile(file) => {
                self.end_datasets()?;
                let held = self.files.reach(file.id, &mut self.writer)?.map_or_else(unknown, held);
                if self.buried.has(file.id) {
                    return Ok(());
                }
                Ok(self.writer.file(file, Some(&held))?)
            }
        }
    }

    fn end_datasets(&mut self) -> Result<(), Failure> {
        if !self.in_files {
            self.in_files = true;
            self.datasets.end(&mut self.writer)?;
        }
        Ok(())
    }

    /// The catalogue has ended.
    pub(super) fn finish(mut self) -> Result<File, Failure> {
        self.end_datasets()?;
        self.files.end(&mut self.writer)?;
        self.history()?;
        let (out, _) = self.writer.finish()?;
        Ok(out.into_inner().map_err(io::IntoInnerError::into_error)?)
    }
}

impl Lines<'_> {
    /// What the ledger keeps of the past: `rebuild` takes it over.
    fn history(&mut self) -> Result<(), Failure> {
        let (writer, ledger) = (&mut self.writer, self.ledger);
        let mut written = Ok(());
        ledger.visit_events(None, &mut |event| keep(&mut written, || writer.history(HistoryKind::Event, &event)))?;
        ledger.visit_incidents(false, &mut |incident| {
            keep(&mut written, || writer.history(HistoryKind::Incident, &incident));
        })?;
        for acknowledged in ledger.acknowledgements()? {
            keep(&mut written, || writer.history(HistoryKind::Acknowledgement, &acknowledged));
        }
        for purge in ledger.purges()? {
            keep(&mut written, || writer.history(HistoryKind::Purge, &purge));
        }
        for hold in ledger.holds()? {
            keep(&mut written, || writer.history(HistoryKind::Hold, &hold));
        }
        Ok(written?)
    }
}

/// Goes on as long as nothing failed.
fn keep(written: &mut io::Result<()>, write: impl FnOnce() -> io::Result<()>) {
    if written.is_ok() {
        *written = write();
    }
}

/// What is held of one kind, walked in step with the catalogue.
struct Shelf<'a> {
    holdings: InStep<'a, Holding>,
    kind: GoneKind,
}

impl Shelf<'_> {
    /// What is held of `id`; what comes before it is not in the catalogue, and gets lines of its own.
    fn reach(&mut self, id: DvObjectId, writer: &mut Writer) -> Result<Option<Holding>, Failure> {
        self.holdings.reach(id, |before| write_gone(before, self.kind, writer))
    }

    fn end(&mut self, writer: &mut Writer) -> Result<(), Failure> {
        self.holdings.finish(|it| write_gone(it, self.kind, writer))
    }
}

/// A line for what is gone, if it has copies.
fn write_gone(holding: Holding, kind: GoneKind, writer: &mut Writer) -> Result<(), Failure> {
    if holding.copies.iter().all(|it| it.state == CopyState::Reserved) {
        return Ok(());
    }
    let detail = &holding.detail;
    let gone = Gone {
        kind,
        id: detail.id,
        dataset: detail.dataset.clone(),
        dataset_identifier: holding.dataset_identifier.clone(),
        storage_identifier: detail.storage_identifier.clone(),
        label: detail.label.clone(),
        gone_since: detail.gone_since.clone(),
        held: held(holding),
    };
    Ok(writer.gone(&gone)?)
}

/// The ledger has no verdict yet.
fn unknown() -> Held {
    Held {
        status: Status::Pending,
        checksum_basis: None,
        reason: None,
        provisional: false,
        recorded_at: None,
        objects: Vec::new(),
        damaged: Vec::new(),
        claimed: Vec::new(),
    }
}

fn held(holding: Holding) -> Held {
    let Holding { detail, copies, .. } = holding;
    let of = |state| copies.iter().filter(|it| it.state == state).filter_map(object).collect();
    Held {
        status: detail.status,
        checksum_basis: detail.basis.map(|it| it.name().to_owned()),
        reason: detail.reason,
        provisional: detail.provisional,
        recorded_at: Some(detail.recorded_at),
        objects: of(CopyState::Proved),
        damaged: of(CopyState::Damaged),
        claimed: of(CopyState::Claimed),
    }
}

/// A copy that was proved once has all of this.
fn object(copy: &CopyRecord) -> Option<HeldObject> {
    Some(HeldObject {
        role: copy.role.to_string(),
        version: copy.version,
        key: copy.key.clone(),
        size: copy.size?,
        sha256: copy.sha256.as_ref()?.hex(),
        evidence: copy.evidence?.name().to_owned(),
        proved_at: copy.proved_at.clone()?,
    })
}
