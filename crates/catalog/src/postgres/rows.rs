//! Rows of the queries, made into the model. NULL where Dataverse never writes one is empty text or nothing, and a byte that is not
//! UTF-8 is escaped: one odd row must not keep all others from their backup.

use dvb_model::{AuxiliaryFile, DataFile, Dataset, DvObjectId, Embargo, FileVersion, Retention, StoragePid, Tabular};
use postgres::types::FromSql;
use postgres::{Error, Row};

use super::text::{Encoding, Text};

/// Between authority and identifier, where the database does not say otherwise.
const SEPARATOR: &str = "/";

/// A row, with what its bytes mean.
pub(super) struct CatalogueRow<'a> {
    row: &'a Row,
    encoding: &'a Encoding,
}

impl<'a> CatalogueRow<'a> {
    pub(super) fn new(row: &'a Row, encoding: &'a Encoding) -> Self {
        Self { row, encoding }
    }

    fn try_get<T: FromSql<'a>>(&self, at: usize) -> Result<T, Error> {
        self.row.try_get(at)
    }

    fn shown(&self, text: Text<'_>) -> String {
        text.shown(self.encoding)
    }

    fn is_known(&self, text: Text<'_>) -> bool {
        text.is_known(self.encoding)
    }
}

/// Where a dataset's columns begin in the row of a data file.
const DATASET: usize = 15;

/// A dataset whose columns begin at `at`; `None` where there is none.
pub(super) fn dataset(row: &CatalogueRow<'_>, at: usize) -> Result<Option<Dataset>, Error> {
    let Some(id) = row.try_get(at)? else { return Ok(None) };
    let [protocol, authority, separator, identifier] =
        [optional(row, at + 1)?, optional(row, at + 2)?, optional(row, at + 3)?, optional(row, at + 4)?];
    let designated = designated(row, at)?;
    let mut garbled = Vec::new();
    if designated.is_empty() {
        garbled.extend(garbled_in(row, at + 2, "the authority of its dataset")?);
        garbled.extend(garbled_in(row, at + 4, "the identifier of its dataset")?);
    } else if designated.iter().any(|(_, is_known)| !is_known) {
        garbled.push("the alternative PID of its dataset".to_owned());
    }
    let mut storage_pids: Vec<StoragePid> = designated.into_iter().map(|(pid, _)| pid).collect();
    if storage_pids.is_empty() {
        let [authority, identifier] = [&authority, &identifier].map(|it| it.clone().unwrap_or_default());
        storage_pids.push(StoragePid { authority, identifier });
    }
    Ok(Some(Dataset {
        id: DvObjectId(id),
        pid: pid(protocol.as_deref(), authority.as_deref(), separator.as_deref(), identifier.as_deref()),
        alternative_pids: alternatives(row, at + 9)?,
        storage_pids,
        storage_identifier: optional(row, at + 5)?,
        ingest_locked: row.try_get(at + 6)?,
        garbled,
    }))
}

fn pid(protocol: Option<&str>, authority: Option<&str>, separator: Option<&str>, identifier: Option<&str>) -> String {
    if protocol.is_none() && authority.is_none() && identifier.is_none() {
        return String::new();
    }
    let [protocol, authority, identifier] = [protocol, authority, identifier].map(Option::unwrap_or_default);
    format!("{protocol}:{authority}{}{identifier}", separator.unwrap_or(SEPARATOR))
}

/// The designated alternative PIDs (dataverse.md 2.1), each with whether all of it is text.
fn designated(row: &CatalogueRow<'_>, at: usize) -> Result<Vec<(StoragePid, bool)>, Error> {
    let authorities: Option<Vec<Text<'_>>> = row.try_get(at + 7)?;
    let identifiers: Option<Vec<Text<'_>>> = row.try_get(at + 8)?;
    let pairs = authorities.unwrap_or_default().into_iter().zip(identifiers.unwrap_or_default());
    let pid = |(authority, identifier): (Text<'_>, Text<'_>)| {
        let pid = StoragePid { authority: row.shown(authority), identifier: row.shown(identifier) };
        (pid, row.is_known(authority) && row.is_known(identifier))
    };
    Ok(pairs.map(pid).collect())
}

fn alternatives(row: &CatalogueRow<'_>, at: usize) -> Result<Vec<String>, Error> {
    let names: Option<Vec<Text<'_>>> = row.try_get(at)?;
    Ok(names.unwrap_or_default().into_iter().map(|name| row.shown(name)).collect())
}

/// A data file without what is read beside it. `known` is the dataset of the row before, and then of this one.
pub(super) fn data_file(row: &CatalogueRow<'_>, known: &mut Option<Dataset>) -> Result<DataFile, Error> {
    // All other columns of a dataset follow from its id.
    let id: Option<i64> = row.try_get(DATASET)?;
    if known.as_ref().map(|it| it.id.0) != id {
        *known = dataset(row, DATASET)?;
    }
    Ok(DataFile {
        id: DvObjectId(row.try_get(0)?),
        pid: own_pid(row)?,
        dataset: known.clone(),
        storage_identifier: optional(row, 1)?,
        checksum_type: text(row, 2)?,
        checksum_value: text(row, 3)?,
        content_type: text(row, 4)?,
        size: size(row, 5)?,
        tabular: None,
        ingest_status: optional(row, 6)?.and_then(|it| it.chars().next()),
        restricted: row.try_get::<Option<bool>>(7)?.unwrap_or_default(),
        embargo: optional(row, 8)?.map(|until| Embargo { until }),
        retention: optional(row, 9)?.map(|until| Retention { until }),
        provenance_entity: optional(row, 10)?,
        auxiliary: Vec::new(),
        versions: Vec::new(),
        garbled: garbled_in(row, 1, "its storageidentifier")?.into_iter().collect(),
    })
}

/// The PID of the data file itself. A file without one has empty columns, or has its dataset's authority alone.
fn own_pid(row: &CatalogueRow<'_>) -> Result<Option<String>, Error> {
    let Some(identifier) = optional(row, 14)?.filter(|it| !it.is_empty()) else { return Ok(None) };
    let [protocol, authority, separator] = [optional(row, 11)?, optional(row, 12)?, optional(row, 13)?];
    Ok(Some(pid(protocol.as_deref(), authority.as_deref(), separator.as_deref(), Some(&identifier))))
}

pub(super) fn table(row: &CatalogueRow<'_>) -> Result<Tabular, Error> {
    Ok(Tabular { original_format: optional(row, 1)?, original_size: size(row, 2)?, original_name: optional(row, 3)? })
}

/// One of a file's rows of `datatable`, oldest first: what the first does not know, another may.
pub(super) fn tabular(tables: Vec<Tabular>) -> Option<Tabular> {
    tables.into_iter().reduce(|first, next| Tabular {
        original_format: first.original_format.or(next.original_format),
        original_size: first.original_size.or(next.original_size),
        original_name: first.original_name.or(next.original_name),
    })
}

pub(super) fn auxiliary_file(row: &CatalogueRow<'_>) -> Result<AuxiliaryFile, Error> {
    Ok(AuxiliaryFile {
        format_tag: text(row, 1)?,
        format_version: text(row, 2)?,
        content_type: optional(row, 3)?,
        size: size(row, 4)?,
        checksum: optional(row, 5)?,
    })
}

/// By tag, whatever the collation of the database.
pub(super) fn auxiliary(mut files: Vec<AuxiliaryFile>) -> Vec<AuxiliaryFile> {
    files.sort_by(|a, b| {
        let key = |it: &AuxiliaryFile| (it.tag(), it.size, it.checksum.clone());
        key(a).cmp(&key(b))
    });
    files
}

/// The name in one version, and what puts the versions in order.
pub(super) struct Named {
    /// Drafts have no number and come last.
    order: (bool, Option<i64>, Option<i64>, Option<i64>),
    name: FileVersion,
}

pub(super) fn named(row: &CatalogueRow<'_>) -> Result<Named, Error> {
    let (id, major, minor): (_, Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
    let name = FileVersion {
        state: text(row, 2)?,
        version: major.map(|it| format!("{it}.{}", minor.unwrap_or_default())),
        label: text(row, 5)?,
        directory: optional(row, 6)?,
    };
    Ok(Named { order: (major.is_none(), major, minor, id), name })
}

pub(super) fn versions(mut names: Vec<Named>) -> Vec<FileVersion> {
    names.sort_by_key(|it| it.order);
    names.into_iter().map(|it| it.name).collect()
}

fn text(row: &CatalogueRow<'_>, at: usize) -> Result<String, Error> {
    Ok(optional(row, at)?.unwrap_or_default())
}

fn optional(row: &CatalogueRow<'_>, at: usize) -> Result<Option<String>, Error> {
    Ok(row.try_get::<Option<Text<'_>>>(at)?.map(|text| row.shown(text)))
}

/// `name`, where the column has a byte that is no character.
fn garbled_in(row: &CatalogueRow<'_>, at: usize, name: &str) -> Result<Option<String>, Error> {
    let found = row.try_get::<Option<Text<'_>>>(at)?;
    Ok(found.filter(|text| !row.is_known(*text)).map(|_| name.to_owned()))
}

/// A size in bytes; -1 stands for an unknown one (dataverse.md 3.6).
fn size(row: &CatalogueRow<'_>, at: usize) -> Result<Option<u64>, Error> {
    Ok(row.try_get::<Option<i64>>(at)?.and_then(|it| u64::try_from(it).ok()))
}
