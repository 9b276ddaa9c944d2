//! The queries, made of what the database has.
//!
//! Every id is cast: `dvobject.id` is an `integer` where `datafile.id` is a `bigint`, and fresh installations differ
//! from upgraded ones (dataverse.md 1.2). What a database lacks is a NULL in its place, so that a row has the same columns in all.

use super::schema::{PidPlace, Schema};
use crate::Detail;

impl Schema {
    /// Datasets that are not harvested, with the columns that `rows::dataset` reads.
    pub(super) fn datasets(&self) -> String {
        let columns = self.dataset_columns();
        let joined = self.dataset_joins();
        format!("SELECT {columns} FROM dataset d {joined} WHERE d.harvestingclient_id IS NULL ORDER BY d.id")
    }

    /// Data files that are not harvested, with the columns that `rows::data_file` reads.
    ///
    /// All joins are outer ones: a file without an owner must be reported, not lost (dataverse.md 5.4).
    pub(super) fn data_files(&self, detail: Detail) -> String {
        let full = detail == Detail::Full;
        let period = |wanted: bool, column: &str| {
            // Not a cast: the text of a date is as the role's DateStyle has it.
            if wanted { format!("to_char({column}, 'YYYY-MM-DD')") } else { "NULL::text".into() }
        };
        let (embargo, retention) = (full && self.embargo, full && self.retention);
        format!(
            "SELECT f.id::bigint, o.storageidentifier::text, f.checksumtype::text, f.checksumvalue::text,
                f.contenttype::text, f.filesize::bigint, f.ingeststatus::text, f.restricted::boolean, {}, {}, {}, {}, {}
            FROM datafile f LEFT JOIN dvobject o ON o.id = f.id LEFT JOIN dataset d ON d.id = o.owner_id {} {} {}
            WHERE d.harvestingclient_id IS NULL ORDER BY f.id",
            period(embargo, "e.dateavailable"),
            period(retention, "r.dateunavailable"),
            column(self.provenance, "f.prov_entityname"),
            self.file_pid(),
            self.dataset_columns(),
            self.dataset_joins(),
            if embargo { "LEFT JOIN embargo e ON e.id = f.embargo_id" } else { "" },
            if retention { "LEFT JOIN retention r ON r.id = f.retention_id" } else { "" },
        )
    }

    /// The PID of a data file itself, as three columns; 4.9 and later.
    fn file_pid(&self) -> String {
        let columns = match self.pids {
            PidPlace::DvObject => ["o.protocol", "o.authority", "o.identifier"],
            PidPlace::Dataset => ["NULL"; 3],
        };
        let separator = column(self.separator && self.pids == PidPlace::DvObject, "o.separator");
        let [protocol, authority, identifier] = columns.map(|it| format!("{it}::text"));
        format!("{protocol}, {authority}, {separator}, {identifier}")
    }

    /// Rows of `datatable`, of which a file may have several (dataverse.md 3.7).
    pub(super) fn tables(&self) -> String {
        let size = if self.original_size { "originalfilesize::bigint" } else { "NULL::bigint" };
        let name = column(self.original_name, "originalfilename");
        format!(
            "SELECT datafile_id::bigint, originalfileformat::text, {size}, {name} FROM datatable
             WHERE datafile_id IS NOT NULL ORDER BY datafile_id, id"
        )
    }

    /// Rows of `auxiliaryfile`, which came with 5.3.
    pub(super) fn auxiliary_files(&self) -> Option<String> {
        let sql = "SELECT datafile_id::bigint, formattag::text, formatversion::text, contenttype::text,
                filesize::bigint, checksum::text
            FROM auxiliaryfile WHERE datafile_id IS NOT NULL ORDER BY datafile_id";
        self.auxiliary.then(|| sql.into())
    }

    /// What data files are called in each version; a file's own rows in no order.
    pub(super) fn versions(&self) -> String {
        let directory = column(self.folders, "m.directorylabel");
        format!(
            "SELECT m.datafile_id::bigint, v.id::bigint, v.versionstate::text, v.versionnumber::bigint,
                v.minorversionnumber::bigint, m.label::text, {directory}
            FROM filemetadata m LEFT JOIN datasetversion v ON v.id = m.datasetversion_id
            WHERE m.datafile_id IS NOT NULL ORDER BY m.datafile_id"
        )
    }

    /// How many data files there are, how many of them harvested and without a dataset, and how many datasets.
    pub(super) fn counts() -> &'static str {
        "SELECT count(*) FILTER (WHERE d.harvestingclient_id IS NULL), count(d.harvestingclient_id),
            count(*) FILTER (WHERE d.id IS NULL),
            (SELECT count(*) FROM dataset WHERE harvestingclient_id IS NULL)
        FROM datafile f LEFT JOIN dvobject o ON o.id = f.id LEFT JOIN dataset d ON d.id = o.owner_id"
    }

    fn dataset_columns(&self) -> String {
        let (of, separator) = match self.pids {
            PidPlace::DvObject => ("od", "od.separator"),
            PidPlace::Dataset => ("d", "d.doiseparator"),
        };
        let separator = column(self.separator, separator);
        let designated = if self.alternatives {
            "p.authorities, p.identifiers, p.names"
        } else {
            "NULL::text[], NULL::text[], NULL::text[]"
        };
        format!(
            "d.id::bigint, {of}.protocol::text, {of}.authority::text, {separator}, {of}.identifier::text,
                od.storageidentifier::text, l.dataset_id IS NOT NULL, {designated}"
        )
    }

    /// Joins to a dataset `d`. None of them gives more than one row.
    fn dataset_joins(&self) -> String {
        // Rows of data files (6.7 and later) are in that table too; no dataset has their ids.
        let designated = "LEFT JOIN (
                SELECT dvobject_id,
                    array_agg(coalesce(authority, '')::text ORDER BY id) FILTER (WHERE storagelocationdesignator)
                        AS authorities,
                    array_agg(coalesce(identifier, '')::text ORDER BY id) FILTER (WHERE storagelocationdesignator)
                        AS identifiers,
                    array_agg(concat(protocol, ':', authority, '/', identifier) ORDER BY id) AS names
                FROM alternativepersistentidentifier GROUP BY dvobject_id
            ) p ON p.dvobject_id = d.id";
        format!(
            "LEFT JOIN dvobject od ON od.id = d.id
            LEFT JOIN (SELECT DISTINCT dataset_id FROM datasetlock WHERE reason = 'Ingest') l ON l.dataset_id = d.id
            {}",
            if self.alternatives { designated } else { "" }
        )
    }
}

/// A column of text that may not be there.
fn column(there: bool, name: &str) -> String {
    if there { format!("{name}::text") } else { "NULL::text".into() }
}
