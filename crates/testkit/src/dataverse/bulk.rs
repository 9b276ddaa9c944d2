//! Very many small data files, made by the server itself.

use std::fs;
use std::path::Path;

use super::Schema;

/// Statements that insert `files` data files into empty tables, `per_dataset` in each dataset, all in store `file`.
/// Each has an MD5, the one of [`bulk_content`], and a label in a released version.
///
/// Datasets have the ids from 2, `10.5072/FK2/B0` and on; data files have the ids after these, in the same order.
///
/// # Panics
/// When `per_dataset` is 0.
#[must_use]
pub fn bulk_sql(schema: Schema, files: u64, per_dataset: u64) -> String {
    let datasets = files.div_ceil(per_dataset);
    let first_file = datasets + 2;
    let (columns, values, dataset) = match schema {
        Schema::V4_8 => (
            "",
            "",
            "INSERT INTO dataset (id, protocol, authority, doiseparator, identifier)
             SELECT d + 2, 'doi', '10.5072/FK2', '/', 'B' || d",
        ),
        Schema::V6_9 => (
            ", protocol, authority, separator, identifier",
            ", 'doi', '10.5072', '/', 'FK2/B' || d",
            "INSERT INTO dataset (id, datasettype_id) SELECT d + 2, 1",
        ),
    };
    format!(
        "BEGIN;
SET LOCAL session_replication_role = replica; -- the rows below are right: no look-up of each foreign key
INSERT INTO dvobject (id, dtype, createdate, modificationtime) VALUES (1, 'Dataverse', '2017-01-01', '2017-01-01');
INSERT INTO dataverse (id, alias, dataversetype, name) VALUES (1, 'root', 'UNCATEGORIZED', 'Root');
INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier{columns})
SELECT d + 2, 'Dataset', 1, '2024-01-01', '2024-01-01', 'file://10.5072/FK2/B' || d{values} FROM generate_series(0, {datasets} - 1) d;
{dataset} FROM generate_series(0, {datasets} - 1) d;
INSERT INTO datasetversion (id, dataset_id, versionstate, versionnumber, minorversionnumber, createtime, lastupdatetime)
SELECT d + 2, d + 2, 'RELEASED', 1, 0, '2024-01-01', '2024-01-01' FROM generate_series(0, {datasets} - 1) d;
INSERT INTO dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)
SELECT {first_file} + f, 'DataFile', 2 + f / {per_dataset}, '2024-01-01', '2024-01-01', 'file://18f3a000000-' || lpad(to_hex(f), 12, '0')
FROM generate_series(0, {files} - 1) f;
INSERT INTO datafile (id, checksumtype, checksumvalue, contenttype, filesize, ingeststatus, restricted, rootdatafileid)
SELECT {first_file} + f, 'MD5', md5(f::text), 'text/plain', length(f::text), 'A', false, -1 FROM generate_series(0, {files} - 1) f;
INSERT INTO filemetadata (datafile_id, datasetversion_id, label, restricted)
SELECT {first_file} + f, 2 + f / {per_dataset}, 'file ' || f || '.txt', false FROM generate_series(0, {files} - 1) f;
SELECT setval('dvobject_id_seq', (SELECT max(id) FROM dvobject));
COMMIT;
ANALYZE;
"
    )
}

/// What the `number`-th of these data files holds, counted from 0: its number.
#[must_use]
pub fn bulk_content(number: u64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Writes the bytes of these data files into the folder of store `file`.
///
/// # Panics
/// When the file system refuses.
pub fn bulk_write(root: &Path, files: u64, per_dataset: u64) {
    for number in 0..files {
        let folder = root.join(format!("10.5072/FK2/B{}", number / per_dataset));
        if number % per_dataset == 0 {
            fs::create_dir_all(&folder).expect("make a dataset's folder");
        }
        fs::write(folder.join(format!("18f3a000000-{number:012x}")), bulk_content(number)).expect("write a file");
    }
}
