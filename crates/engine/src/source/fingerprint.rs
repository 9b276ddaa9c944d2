//! Which columns of the catalogue a verdict rests on: when one of them changes, the file is looked at again (dataverse.md 3.5).

use dvb_fixity::{Algorithm, Digest, Measured};
use dvb_model::{AuxiliaryFile, DataFile};
use serde::Serialize;

/// The fingerprint of a data file: the first 32 hexadecimal digits of a SHA-256. Auxiliary objects count only where
/// they are backed up.
pub(crate) fn of_data_file(file: &DataFile, auxiliary_objects: bool) -> String {
    let pids = file.dataset.as_ref().map(|it| &it.storage_pids);
    let tables = file.tabular.as_ref().map(|it| (it.original_format.is_some(), it.original_size));
    let files = || file.auxiliary.iter().map(Auxiliary::of).collect::<Vec<_>>();
    let auxiliary = auxiliary_objects.then(|| (files(), &file.provenance_entity));
    let columns = (
        pids,
        &file.storage_identifier,
        &file.checksum_type,
        &file.checksum_value,
        file.size,
        file.is_package(),
        tables,
        auxiliary,
    );
    // It cannot fail: there is no map in it, and it is written to memory. An empty text would be another one, hence work.
    short_digest(&serde_json::to_vec(&columns).unwrap_or_default())
}

/// The columns of an auxiliary file in the order of their names: another order would be another fingerprint for every file that
/// has one.
#[derive(Serialize)]
struct Auxiliary<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    format_tag: &'a str,
    format_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

impl<'a> Auxiliary<'a> {
    fn of(file: &'a AuxiliaryFile) -> Self {
        let AuxiliaryFile { format_tag, format_version, content_type, size, checksum } = file;
        Self {
            checksum: checksum.as_deref(),
            content_type: content_type.as_deref(),
            format_tag,
            format_version,
            size: *size,
        }
    }
}

/// Of anything that is text.
pub(crate) fn short_digest(bytes: &[u8]) -> String {
    let measured = Measured::of(bytes, &[]);
    let mut hex = measured.digest(Algorithm::Sha256).map(Digest::hex).unwrap_or_default();
    hex.truncate(32);
    hex
}

#[cfg(test)]
mod tests {
    use dvb_model::{Dataset, DvObjectId, StoragePid, Tabular};
    use proptest::option;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As ledgers have it since there are any.
    fn as_recorded(file: &DataFile, auxiliary_objects: bool) -> String {
        let pids = file.dataset.as_ref().map(|it| &it.storage_pids);
        let tables = file.tabular.as_ref().map(|it| (it.original_format.is_some(), it.original_size));
        let auxiliary = auxiliary_objects.then_some((&file.auxiliary, &file.provenance_entity));
        let columns = json!([
            pids,
            file.storage_identifier,
            file.checksum_type,
            file.checksum_value,
            file.size,
            file.is_package(),
            tables,
            auxiliary
        ]);
        short_digest(columns.to_string().as_bytes())
    }

    prop_compose! {
        fn auxiliary()(
            format_tag in ".{0,4}", format_version in ".{0,2}", content_type in option::of(".{0,3}"),
            size in option::of(any::<u64>()), checksum in option::of(".{0,4}"),
        ) -> AuxiliaryFile {
            AuxiliaryFile { format_tag, format_version, content_type, size, checksum }
        }
    }

    prop_compose! {
        fn dataset()(pids in proptest::collection::vec((".{0,4}", ".{0,4}"), 0..3)) -> Dataset {
            let pid = |(authority, identifier)| StoragePid { authority, identifier };
            Dataset {
                id: DvObjectId(1),
                pid: String::new(),
                alternative_pids: Vec::new(),
                storage_pids: pids.into_iter().map(pid).collect(),
                storage_identifier: None,
                ingest_locked: false,
                garbled: Vec::new(),
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_the_same_as_in_every_ledger(
            dataset in option::of(dataset()), storage_identifier in option::of(".{0,5}"), checksum_type in ".{0,3}",
            checksum_value in ".{0,3}", size in option::of(any::<u64>()), is_package in any::<bool>(),
            tabular in option::of((option::of(".{0,2}"), option::of(any::<u64>()))),
            auxiliary in proptest::collection::vec(auxiliary(), 0..3), provenance_entity in option::of(".{0,3}"),
            with_auxiliary in any::<bool>(),
        ) {
            let file = DataFile {
                id: DvObjectId(2),
                pid: None,
                dataset,
                storage_identifier,
                checksum_type,
                checksum_value,
                content_type: if is_package { dvb_model::PACKAGE_CONTENT_TYPE } else { "text/plain" }.to_owned(),
                size,
                tabular: tabular.map(|(original_format, original_size)| {
                    Tabular { original_format, original_size, original_name: None }
                }),
                ingest_status: None,
                restricted: false,
                embargo: None,
                retention: None,
                provenance_entity,
                auxiliary,
                versions: Vec::new(),
                garbled: Vec::new(),
            };
            prop_assert_eq!(of_data_file(&file, with_auxiliary), as_recorded(&file, with_auxiliary));
        }
    }
}
