//! A world as INSERT statements.

use super::{DataFile, Dataset, Schema, World};

/// Rows for one table; all texts are quoted already.
struct Rows {
    into: &'static str,
    rows: Vec<String>,
}

impl Rows {
    fn new(into: &'static str) -> Self {
        Self { into, rows: Vec::new() }
    }

    fn add(&mut self, values: &[String]) {
        self.rows.push(format!("({})", values.join(", ")));
    }

    fn sql(&self) -> String {
        // Statements of a size that the server's parser likes.
        self.rows.chunks(5000).map(|it| format!("INSERT INTO {} VALUES\n{};\n", self.into, it.join(",\n"))).collect()
    }
}

fn text(it: &str) -> String {
    format!("'{}'", it.replace('\'', "''"))
}

fn maybe(it: Option<&str>) -> String {
    it.map_or_else(null, text)
}

fn number(it: Option<i64>) -> String {
    it.map_or_else(null, |it| it.to_string())
}

fn null() -> String {
    "NULL".into()
}

/// Ids given out by hand leave their sequences behind.
const SEQUENCES: &str = "SELECT setval('dvobject_id_seq', (SELECT max(id) FROM dvobject));
SELECT setval('datasetversion_id_seq', (SELECT coalesce(max(id), 1) FROM datasetversion));
";

impl World {
    /// The rows as SQL, in one transaction.
    #[must_use]
    pub fn sql(&self) -> String {
        let root = "INSERT INTO dvobject (id, dtype, createdate, modificationtime)
            VALUES (1, 'Dataverse', '2017-01-01', '2017-01-01') ON CONFLICT DO NOTHING;
INSERT INTO dataverse (id, alias, dataversetype, name) VALUES (1, 'root', 'UNCATEGORIZED', 'Root')
            ON CONFLICT DO NOTHING;
INSERT INTO harvestingclient (id, name, harvestingurl, dataverse_id)
            VALUES (1, 'partner', 'https://partner.example/oai', 1) ON CONFLICT DO NOTHING;\n";
        let versions = [self.dataset_rows(), self.version_rows(), self.lock_rows(), self.file_rows()].concat();
        let rest = match self.schema {
            Schema::V4_8 => self.old_rows(),
            Schema::V6_9 => self.new_rows(),
        };
        format!("BEGIN;\n{root}{versions}{rest}{SEQUENCES}COMMIT;\n")
    }

    fn dataset_rows(&self) -> String {
        let mut old_objects =
            Rows::new("dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)");
        let mut old = Rows::new("dataset (id, protocol, authority, doiseparator, identifier, harvestingclient_id)");
        let mut new_objects = Rows::new(
            "dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier, protocol, authority, separator, identifier, identifierregistered)",
        );
        let mut new = Rows::new("dataset (id, harvestingclient_id, datasettype_id)");
        for it in &self.datasets {
            let date = text("2024-01-02 03:04:05");
            let id = it.id.to_string();
            let common =
                [id.clone(), text("Dataset"), "1".into(), date.clone(), date, maybe(it.storage_identifier.as_deref())];
            let Dataset { protocol, authority, separator, identifier, .. } = it;
            let pid = [protocol, authority, separator, identifier].map(|it| text(it));
            let client = if it.harvested { "1".into() } else { null() };
            match self.schema {
                Schema::V4_8 => {
                    old_objects.add(&common);
                    old.add(&[&[id][..], &pid, &[client]].concat());
                }
                Schema::V6_9 => {
                    new_objects.add(&[&common[..], &pid, &["true".into()]].concat());
                    new.add(&[id, client, "1".into()]);
                }
            }
        }
        [old_objects, old, new_objects, new].map(|it| it.sql()).concat()
    }

    fn version_rows(&self) -> String {
        let mut rows = Rows::new(
            "datasetversion (id, dataset_id, versionstate, versionnumber, minorversionnumber, createtime, lastupdatetime)",
        );
        for dataset in &self.datasets {
            for it in &dataset.versions {
                let date = text("2024-01-02 03:04:05");
                let (major, minor) = it.number.unzip();
                let ids = [it.id.to_string(), dataset.id.to_string(), text(&it.state)];
                rows.add(&[&ids[..], &[number(major), number(minor), date.clone(), date]].concat());
            }
        }
        rows.sql()
    }

    fn lock_rows(&self) -> String {
        let mut rows = Rows::new("datasetlock (dataset_id, reason, starttime, user_id)");
        for it in &self.datasets {
            for reason in &it.locks {
                rows.add(&[it.id.to_string(), text(reason), text("2024-01-02 03:04:05"), "1".into()]);
            }
        }
        rows.sql()
    }

    fn file_rows(&self) -> String {
        let mut objects = Rows::new("dvobject (id, dtype, owner_id, createdate, modificationtime, storageidentifier)");
        let mut files = Rows::new(
            "datafile (id, checksumtype, checksumvalue, contenttype, filesize, ingeststatus, restricted, rootdatafileid, previousdatafileid)",
        );
        let mut labels = Rows::new("filemetadata (datafile_id, datasetversion_id, label, directorylabel, restricted)");
        for it in &self.files {
            let (id, date) = (it.id.to_string(), text(&it.created));
            let owner = number(it.dataset);
            let identifier = maybe(it.storage_identifier.as_deref());
            objects.add(&[id.clone(), text("DataFile"), owner, date.clone(), date, identifier]);
            let status = it.ingest_status.map_or_else(null, |it| text(&it.to_string()));
            let checksum = [text(&it.checksum_type), text(&it.checksum_value), text(&it.content_type)];
            let root = it.previous.unwrap_or(-1).to_string();
            let rest = [number(it.size), status, it.restricted.to_string(), root, number(it.previous)];
            files.add(&[&[id.clone()][..], &checksum, &rest].concat());
            for label in &it.labels {
                let name = [text(&label.label), maybe(label.directory.as_deref()), it.restricted.to_string()];
                labels.add(&[&[id.clone(), label.version.to_string()][..], &name].concat());
            }
        }
        [objects, files, labels].map(|it| it.sql()).concat()
    }

    fn old_rows(&self) -> String {
        let mut tables = Rows::new("datatable (datafile_id, originalfileformat, unf)");
        for it in &self.files {
            for table in &it.tables {
                tables.add(&[it.id.to_string(), maybe(table.original_format.as_deref()), text("UNF:6:x==")]);
            }
        }
        tables.sql()
    }

    fn new_rows(&self) -> String {
        let mut tables =
            Rows::new("datatable (datafile_id, originalfileformat, originalfilesize, originalfilename, unf)");
        let mut auxiliary = Rows::new(
            "auxiliaryfile (datafile_id, formattag, formatversion, contenttype, filesize, checksum, ispublic)",
        );
        for it in &self.files {
            let id = it.id.to_string();
            for table in &it.tables {
                let (format, name) = (maybe(table.original_format.as_deref()), maybe(table.original_name.as_deref()));
                tables.add(&[id.clone(), format, number(table.original_size), name, text("UNF:6:x==")]);
            }
            for aux in &it.auxiliary {
                let tag = [text(&aux.format_tag), text(&aux.format_version), maybe(aux.content_type.as_deref())];
                let rest = [number(aux.size), maybe(aux.checksum.as_deref()), "true".into()];
                auxiliary.add(&[&[id.clone()][..], &tag, &rest].concat());
            }
        }
        let mut alternatives = Rows::new(
            "alternativepersistentidentifier (dvobject_id, protocol, authority, identifier, storagelocationdesignator)",
        );
        for dataset in &self.datasets {
            for it in &dataset.alternatives {
                let pid = [&it.protocol, &it.authority, &it.identifier].map(|it| text(it));
                let designator = it.designator.map_or_else(null, |it| it.to_string());
                alternatives.add(&[&[dataset.id.to_string()][..], &pid, &[designator]].concat());
            }
        }
        let updates: String = self.files.iter().map(periods).collect();
        [tables, auxiliary, alternatives].map(|it| it.sql()).concat() + &updates
    }
}

/// Embargo, retention and provenance of a file: few have any.
fn periods(file: &DataFile) -> String {
    let id = file.id;
    let mut sql = String::new();
    let mut period = |table: &str, column: &str, until: &str| {
        let until = text(until);
        sql += &format!(
            "WITH made AS (INSERT INTO {table} ({column}, reason) VALUES ({until}, 'because') RETURNING id)
             UPDATE datafile SET {table}_id = made.id FROM made WHERE datafile.id = {id};\n"
        );
    };
    if let Some(until) = &file.embargo_until {
        period("embargo", "dateavailable", until);
    }
    if let Some(until) = &file.retention_until {
        period("retention", "dateunavailable", until);
    }
    if let Some(entity) = &file.provenance_entity {
        sql += &format!("UPDATE datafile SET prov_entityname = {} WHERE id = {id};\n", text(entity));
    }
    sql
}
