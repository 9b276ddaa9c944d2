//! Rows of the queries, made into the model. NULL where Dataverse never writes one is empty text or nothing: one odd row must not
//! keep all others from their backup.

use dvb_model::{AuxiliaryFile, DataFile, Dataset, DvObjectId, Embargo, FileVersion, Retention, StoragePid, Tabular};
use postgres::{Error, Row};

/// Between authority and identifier, where the database does not say otherwise.
const SEPARATOR: &str = "/";

/// Where a dataset's columns begin in the row of a data file.
const DATASET: usize = 11;

/// A dataset whose columns begin at `at`; `None` where there is none.
pub(super) fn dataset(row: &Row, at: usize) -> Result<Option<Dataset>, Error> {
    let Some(id) = row.try_get(at)? else { return Ok(None) };
    let [protocol, authority, separator, identifier] =
        [row.try_get(at + 1)?, row.try_get(at + 2)?, row.try_get(at + 3)?, row.try_get(at + 4)?];
    Ok(Some(Dataset {
        id: DvObjectId(id),
        pid: pid(protocol, authority, separator, identifier),
        storage_pids: storage_pids(row, at, authority, identifier)?,
        storage_identifier: row.try_get(at + 5)?,
        ingest_locked: row.try_get(at + 6)?,
    }))
}

fn pid(protocol: Option<&str>, authority: Option<&str>, separator: Option<&str>, identifier: Option<&str>) -> String {
    if protocol.is_none() && authority.is_none() && identifier.is_none() {
        return String::new();
    }
    let [protocol, authority, identifier] = [protocol, authority, identifier].map(Option::unwrap_or_default);
    format!("{protocol}:{authority}{}{identifier}", separator.unwrap_or(SEPARATOR))
}

/// The designated alternative PIDs, or its own (facts 2.1).
fn storage_pids(
    row: &Row,
    at: usize,
    authority: Option<&str>,
    identifier: Option<&str>,
) -> Result<Vec<StoragePid>, Error> {
    let storage_pid = |authority: &str, identifier: &str| StoragePid {
        authority: authority.to_owned(),
        identifier: identifier.to_owned(),
    };
    let authorities: Option<Vec<&str>> = row.try_get(at + 7)?;
    let identifiers: Option<Vec<&str>> = row.try_get(at + 8)?;
    Ok(match authorities.zip(identifiers) {
        Some((authorities, identifiers)) => {
            authorities.into_iter().zip(identifiers).map(|(authority, it)| storage_pid(authority, it)).collect()
        }
        None => vec![storage_pid(authority.unwrap_or_default(), identifier.unwrap_or_default())],
    })
}

/// A data file without what is read beside it.
pub(super) fn data_file(row: &Row) -> Result<DataFile, Error> {
    let period = |at| row.try_get::<_, Option<String>>(at);
    Ok(DataFile {
        id: DvObjectId(row.try_get(0)?),
        dataset: dataset(row, DATASET)?,
        storage_identifier: row.try_get(1)?,
        checksum_type: text(row, 2)?,
        checksum_value: text(row, 3)?,
        content_type: text(row, 4)?,
        size: size(row, 5)?,
        tabular: None,
        ingest_status: row.try_get::<_, Option<&str>>(6)?.and_then(|it| it.chars().next()),
        restricted: row.try_get::<_, Option<bool>>(7)?.unwrap_or_default(),
        embargo: period(8)?.map(|until| Embargo { until }),
        retention: period(9)?.map(|until| Retention { until }),
        provenance_entity: row.try_get(10)?,
        auxiliary: Vec::new(),
        versions: Vec::new(),
    })
}

pub(super) fn table(row: &Row) -> Result<Tabular, Error> {
    Ok(Tabular { original_format: row.try_get(1)?, original_size: size(row, 2)?, original_name: row.try_get(3)? })
}

/// One of a file's rows of `datatable`, oldest first: what the first does not know, another may.
pub(super) fn tabular(tables: Vec<Tabular>) -> Option<Tabular> {
    tables.into_iter().reduce(|first, next| Tabular {
        original_format: first.original_format.or(next.original_format),
        original_size: first.original_size.or(next.original_size),
        original_name: first.original_name.or(next.original_name),
    })
}

pub(super) fn auxiliary_file(row: &Row) -> Result<AuxiliaryFile, Error> {
    Ok(AuxiliaryFile {
        format_tag: text(row, 1)?,
        format_version: text(row, 2)?,
        content_type: row.try_get(3)?,
        size: size(row, 4)?,
        checksum: row.try_get(5)?,
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

pub(super) fn named(row: &Row) -> Result<Named, Error> {
    let (id, major, minor): (_, Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(3)?, row.try_get(4)?);
    let name = FileVersion {
        state: text(row, 2)?,
        version: major.map(|it| format!("{it}.{}", minor.unwrap_or_default())),
        label: text(row, 5)?,
        directory: row.try_get(6)?,
    };
    Ok(Named { order: (major.is_none(), major, minor, id), name })
}

/// Oldest first.
pub(super) fn versions(mut names: Vec<Named>) -> Vec<FileVersion> {
    names.sort_by_key(|it| it.order);
    names.into_iter().map(|it| it.name).collect()
}

fn text(row: &Row, at: usize) -> Result<String, Error> {
    Ok(row.try_get::<_, Option<String>>(at)?.unwrap_or_default())
}

/// A size in bytes; -1 stands for an unknown one (facts 3.6).
fn size(row: &Row, at: usize) -> Result<Option<u64>, Error> {
    Ok(row.try_get::<_, Option<i64>>(at)?.and_then(|it| u64::try_from(it).ok()))
}
