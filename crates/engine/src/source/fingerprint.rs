//! Which columns of the catalogue a verdict rests on: when one of them changes, the file is looked at again (dataverse.md 3.5).

use dvb_fixity::{Algorithm, Measured};
use dvb_model::DataFile;
use serde_json::json;

/// 32 hexadecimal digits.
pub(crate) fn of_data_file(file: &DataFile, auxiliary_objects: bool) -> String {
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

/// Of anything that is text.
pub(crate) fn short_digest(bytes: &[u8]) -> String {
    let measured = Measured::of(bytes, &[]);
    let hex = measured.digest(Algorithm::Sha256).map(ToString::to_string).unwrap_or_default();
    hex.chars().take(32).collect()
}
