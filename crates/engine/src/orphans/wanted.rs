//! What the destination lacks: objects of data files without a proved copy there, as far as a digest of them is known.

use std::ops::ControlFlow;

use dvb_catalog::{Detail, Entry};
use dvb_fixity::{Digest, RecordedChecksum};
use dvb_ledger::{CopyRecord, CopyState, EntryKind, Holding};
use dvb_model::{DataFile, DvObjectId, ObjectRole, Status};
use serde::{Deserialize, Serialize};

use super::list::Sizes;
use super::{Failure, KnownBy, MissingObject, OrphansOptions, OrphansSetup, Wanted};
use crate::catalogue::in_step::InStep;
use crate::catalogue::spool::Spool;
use crate::command::error::RunError;
use crate::command::purged::Buried;

/// Damaged copies in a page of the ledger's list.
const PAGE: u32 = 5_000;

/// A missing object with its size.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) size: u64,
    pub(super) object: MissingObject,
}

/// A data file of the catalogue, as far as its objects can be known by a digest.
#[derive(Serialize, Deserialize)]
struct Catalogued {
    id: DvObjectId,
    dataset: Option<String>,
    storage_identifier: Option<String>,
    name: Option<String>,
    digest: Option<Digest>,
    is_tabular: bool,
    size: Option<u64>,
    original_size: Option<u64>,
}

impl Catalogued {
    fn of(file: &DataFile) -> Self {
        Self {
            id: file.id,
            dataset: file.dataset.as_ref().map(|it| it.pid.clone()),
            storage_identifier: file.storage_identifier.clone(),
            name: file.label(),
            digest: RecordedChecksum::parse(&file.checksum_value).digest().cloned(),
            is_tabular: file.tabular.is_some(),
            size: file.size,
            original_size: file.tabular.as_ref().and_then(|it| it.original_size),
        }
    }

    /// The object that Dataverse's checksum is of: the upload, which of a table is the saved original.
    fn upload(&self) -> ObjectRole {
        if self.is_tabular { ObjectRole::Original } else { ObjectRole::Main }
    }

    /// Objects that it may be of, with their sizes: a table without a saved original has its own.
    fn recorded(&self) -> impl Iterator<Item = (ObjectRole, u64)> {
        let original = self.original_size.map(|it| (ObjectRole::Original, it));
        original.into_iter().chain(self.size.map(|it| (ObjectRole::Main, it)))
    }

    fn object(&self, role: &ObjectRole, digest: &Digest, known_by: KnownBy) -> MissingObject {
        MissingObject {
            data_file_id: Some(self.id),
            dataset: self.dataset.clone(),
            storage_identifier: self.storage_identifier.clone(),
            name: self.name.clone(),
            object: role.to_string(),
            key: None,
            digest: digest.clone(),
            known_by,
        }
    }
}

/// The missing objects that have the size of an orphan, and the number of data files that miss one of whatever size.
pub(super) fn of(setup: &OrphansSetup<'_>, options: &OrphansOptions, sizes: &Sizes) -> Result<(Wanted, u64), Failure> {
    let spool = Spool::create(&options.spool_folder).map_err(|it| options.spool_error(it))?;
    let mut list = List { options, sizes, spool };
    found_bad(setup, &mut list)?;
    let mut catalogue = catalogue(setup, options)?;
    let lines = catalogue.read().map_err(|it| options.spool_error(it))?;
    let holdings = |destination| InStep::holdings(setup.ledger, destination, EntryKind::DataFile);
    let mut here = holdings(setup.destination);
    let mut others: Vec<InStep<'_, Holding>> = setup.others.iter().map(holdings).collect();
    let mut missing = 0;
    let buried = Buried::known(setup.ledger).map_err(RunError::from)?;
    for line in lines {
        let file: Catalogued = line.map_err(|it| options.spool_error(it))?;
        // Nothing of it is missing.
        if buried.has(file.id) {
            continue;
        }
        let held = here.find(file.id)?;
        let elsewhere: Vec<Holding> =
            others.iter_mut().filter_map(|it| it.find(file.id).transpose()).collect::<Result<_, _>>()?;
        missing += u64::from(one_file(&file, held.as_ref(), &elsewhere, &mut list)?);
        if !setup.stop.may_begin() {
            break;
        }
    }
    Ok((list.spool, missing))
}

/// The list in the making.
struct List<'a> {
    options: &'a OrphansOptions,
    sizes: &'a Sizes,
    spool: Wanted,
}

impl List<'_> {
    fn add(&mut self, size: u64, object: MissingObject) -> Result<(), RunError> {
        if !self.sizes.may_have(size) {
            return Ok(());
        }
        self.spool.push(&Line { size, object }).map_err(|it| self.options.spool_error(it))
    }
}

/// Copies that a look found missing or changed, those of what left the catalogue among them.
fn found_bad(setup: &OrphansSetup<'_>, list: &mut List<'_>) -> Result<(), RunError> {
    let mut after: Option<CopyRecord> = None;
    loop {
        let page = setup.ledger.damaged_copies(setup.destination, after.as_ref(), PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.copy.clone());
        for held in page {
            let (Some(size), Some(digest)) = (held.copy.size, held.copy.sha256) else { continue };
            let object = MissingObject {
                data_file_id: (held.kind == EntryKind::DataFile).then_some(held.copy.id),
                dataset: held.dataset,
                storage_identifier: held.storage_identifier,
                name: held.label,
                object: held.copy.role.to_string(),
                key: Some(held.copy.key),
                digest,
                known_by: KnownBy::Ledger,
            };
            list.add(size, object)?;
        }
    }
}

/// The data files of the catalogue, on disk: so its transaction ends before anything else begins.
fn catalogue(setup: &OrphansSetup<'_>, options: &OrphansOptions) -> Result<Spool<Catalogued>, RunError> {
    let mut spool = Spool::create(&options.spool_folder).map_err(|it| options.spool_error(it))?;
    let mut failure = None;
    setup.catalog.read(Detail::Full, &mut |entry| {
        let Entry::DataFile(file) = entry else { return ControlFlow::Continue(()) };
        failure = spool.push(&Catalogued::of(&file)).err();
        if failure.is_some() || !setup.stop.may_begin() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    failure.map_or(Ok(spool), |it| Err(options.spool_error(it)))
}

/// Enters what a data file lacks at the destination; says whether it lacks anything.
fn one_file(
    file: &Catalogued,
    held: Option<&Holding>,
    elsewhere: &[Holding],
    list: &mut List<'_>,
) -> Result<bool, RunError> {
    match held.map(|it| it.detail.status) {
        Some(Status::Ok | Status::NotCovered | Status::Purged) => return Ok(false),
        None
        | Some(Status::Pending | Status::FailRead | Status::FailChecksum | Status::FailWrite | Status::FailVerify) => {}
    }
    let is_here = |role: &ObjectRole| held.is_some_and(|it| proved(it).any(|copy| copy.role == *role));
    if let Some(digest) = &file.digest
        && !is_here(&file.upload())
    {
        for (role, size) in file.recorded() {
            list.add(size, file.object(&role, digest, KnownBy::Dataverse))?;
        }
    }
    for copy in elsewhere.iter().flat_map(proved) {
        let (Some(size), Some(digest)) = (copy.size, &copy.sha256) else { continue };
        let has = |it: &CopyRecord| it.role == copy.role && it.sha256.as_ref() == Some(digest);
        // Those that were here once are on the list already.
        if !held.is_some_and(|it| it.copies.iter().any(has)) {
            list.add(size, file.object(&copy.role, digest, KnownBy::Ledger))?;
        }
    }
    let has_any = held.is_some_and(|it| proved(it).next().is_some());
    let has_bad = held.is_some_and(|held| held.copies.iter().any(|copy| copy.state == CopyState::Damaged));
    Ok(!has_any || has_bad)
}

fn proved(holding: &Holding) -> impl Iterator<Item = &CopyRecord> {
    holding.copies.iter().filter(|it| it.state == CopyState::Proved)
}
