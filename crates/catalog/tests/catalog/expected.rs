//! What a catalogue of a world has to give.

use dvb_catalog::{Detail, Entry};
use dvb_model::{AuxiliaryFile, DataFile, Dataset, DvObjectId, Embargo, FileVersion, Retention, StoragePid, Tabular};
use dvb_testkit::dataverse::{self as made, Schema, World};

pub(crate) fn entries(world: &World, detail: Detail) -> Vec<Entry> {
    let mut datasets: Vec<Dataset> = world.datasets.iter().filter(|it| !it.harvested).map(dataset).collect();
    datasets.sort_by_key(|it| it.id);
    let mut files: Vec<DataFile> = world.files.iter().filter_map(|it| file(world, it, detail)).collect();
    files.sort_by_key(|it| it.id);
    datasets.into_iter().map(Entry::Dataset).chain(files.into_iter().map(Entry::DataFile)).collect()
}

fn dataset(made: &made::Dataset) -> Dataset {
    let made::Dataset { protocol, authority, separator, identifier, .. } = made;
    let storage_pid =
        |authority: &str, identifier: &str| StoragePid { authority: authority.into(), identifier: identifier.into() };
    let designated = made.alternatives.iter().filter(|it| it.designator == Some(true));
    let mut storage_pids: Vec<_> = designated.map(|it| storage_pid(&it.authority, &it.identifier)).collect();
    if storage_pids.is_empty() {
        storage_pids.push(storage_pid(authority, identifier));
    }
    Dataset {
        id: DvObjectId(made.id),
        pid: format!("{protocol}:{authority}{separator}{identifier}"),
        alternative_pids: made
            .alternatives
            .iter()
            .map(|it| format!("{}:{}/{}", it.protocol, it.authority, it.identifier))
            .collect(),
        storage_pids,
        storage_identifier: made.storage_identifier.clone(),
        ingest_locked: made.locks.iter().any(|it| it == "Ingest"),
        garbled: Vec::new(),
    }
}

/// `None` when its dataset is harvested.
fn file(world: &World, made: &made::DataFile, detail: Detail) -> Option<DataFile> {
    let owner = world.datasets.iter().find(|it| Some(it.id) == made.dataset);
    if owner.is_some_and(|it| it.harvested) {
        return None;
    }
    let full = detail == Detail::Full;
    Some(DataFile {
        id: DvObjectId(made.id),
        pid: None,
        dataset: owner.map(dataset),
        storage_identifier: made.storage_identifier.clone(),
        checksum_type: made.checksum_type.clone(),
        checksum_value: made.checksum_value.clone(),
        content_type: made.content_type.clone(),
        size: size(made.size),
        tabular: tabular(world.schema, &made.tables),
        ingest_status: made.ingest_status,
        restricted: made.restricted,
        embargo: made.embargo_until.clone().filter(|_| full).map(|until| Embargo { until }),
        retention: made.retention_until.clone().filter(|_| full).map(|until| Retention { until }),
        provenance_entity: made.provenance_entity.clone(),
        auxiliary: auxiliary_files(made),
        versions: if full { versions(world, made) } else { Vec::new() },
        garbled: Vec::new(),
    })
}

fn tabular(schema: Schema, tables: &[made::DataTable]) -> Option<Tabular> {
    let newer = |it: &&made::DataTable| schema == Schema::V6_9 || it.original_format.is_some();
    let known = |it: &made::DataTable| size(it.original_size).filter(|_| schema == Schema::V6_9);
    let name = |it: &made::DataTable| it.original_name.clone().filter(|_| schema == Schema::V6_9);
    (!tables.is_empty()).then(|| Tabular {
        original_format: tables.iter().filter(newer).find_map(|it| it.original_format.clone()),
        original_size: tables.iter().find_map(known),
        original_name: tables.iter().find_map(name),
    })
}

fn auxiliary_files(made: &made::DataFile) -> Vec<AuxiliaryFile> {
    let mut files: Vec<_> = made.auxiliary.iter().map(auxiliary).collect();
    files.sort_by_key(AuxiliaryFile::tag);
    files
}

fn auxiliary(made: &made::Auxiliary) -> AuxiliaryFile {
    AuxiliaryFile {
        format_tag: made.format_tag.clone(),
        format_version: made.format_version.clone(),
        content_type: made.content_type.clone(),
        size: size(made.size),
        checksum: made.checksum.clone(),
    }
}

/// A world's datasets list their versions oldest first.
fn versions(world: &World, made: &made::DataFile) -> Vec<FileVersion> {
    let versions = world.datasets.iter().flat_map(|it| &it.versions);
    let named = versions.filter_map(|it| Some((it, made.labels.iter().find(|label| label.version == it.id)?)));
    named
        .map(|(version, label)| FileVersion {
            state: version.state.clone(),
            version: version.number.map(|(major, minor)| format!("{major}.{minor}")),
            label: label.label.clone(),
            directory: label.directory.clone(),
        })
        .collect()
}

fn size(made: Option<i64>) -> Option<u64> {
    made.and_then(|it| u64::try_from(it).ok())
}
