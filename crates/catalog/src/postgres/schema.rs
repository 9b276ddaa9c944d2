//! Which of Dataverse's tables and columns are there: asked of the database, never concluded from a version number.

use std::collections::{BTreeMap, BTreeSet};

use postgres::types::Type;

use super::session::Session;
use crate::CatalogError;

type Column = (&'static str, &'static str);

/// In every Dataverse from 4.8 on (dataverse.md 1.2).
const REQUIRED: &[Column] = &[
    ("dvobject", "id"),
    ("dvobject", "owner_id"),
    ("dvobject", "storageidentifier"),
    ("dataset", "id"),
    ("dataset", "harvestingclient_id"),
    ("datafile", "id"),
    ("datafile", "checksumtype"),
    ("datafile", "checksumvalue"),
    ("datafile", "contenttype"),
    ("datafile", "filesize"),
    ("datafile", "ingeststatus"),
    ("datafile", "restricted"),
    ("datatable", "id"),
    ("datatable", "datafile_id"),
    ("datatable", "originalfileformat"),
    ("datasetlock", "dataset_id"),
    ("datasetlock", "reason"),
    ("filemetadata", "datafile_id"),
    ("filemetadata", "datasetversion_id"),
    ("filemetadata", "label"),
    ("datasetversion", "id"),
    ("datasetversion", "versionstate"),
    ("datasetversion", "versionnumber"),
    ("datasetversion", "minorversionnumber"),
];

/// Where Dataverse 4.9 and later have the parts of a PID.
const PID_OF_DVOBJECT: &[Column] = &[("dvobject", "protocol"), ("dvobject", "authority"), ("dvobject", "identifier")];
/// Where Dataverse 4.8 has them.
const PID_OF_DATASET: &[Column] = &[("dataset", "protocol"), ("dataset", "authority"), ("dataset", "identifier")];

/// What comes with a column: where the first one is, the others must be too.
const ALTERNATIVES: &[Column] = &[
    ("alternativepersistentidentifier", "dvobject_id"),
    ("alternativepersistentidentifier", "id"),
    ("alternativepersistentidentifier", "protocol"),
    ("alternativepersistentidentifier", "authority"),
    ("alternativepersistentidentifier", "identifier"),
    ("alternativepersistentidentifier", "storagelocationdesignator"),
];
const AUXILIARY: &[Column] = &[
    ("auxiliaryfile", "datafile_id"),
    ("auxiliaryfile", "formattag"),
    ("auxiliaryfile", "formatversion"),
    ("auxiliaryfile", "contenttype"),
    ("auxiliaryfile", "filesize"),
    ("auxiliaryfile", "checksum"),
];
const EMBARGO: &[Column] = &[("datafile", "embargo_id"), ("embargo", "id"), ("embargo", "dateavailable")];
const RETENTION: &[Column] = &[("datafile", "retention_id"), ("retention", "id"), ("retention", "dateunavailable")];
const SEPARATOR: &[Column] = &[("dvobject", "separator")];
const DOI_SEPARATOR: &[Column] = &[("dataset", "doiseparator")];
const ORIGINAL_SIZE: &[Column] = &[("datatable", "originalfilesize")];
const ORIGINAL_NAME: &[Column] = &[("datatable", "originalfilename")];
const PROVENANCE: &[Column] = &[("datafile", "prov_entityname")];
const FOLDERS: &[Column] = &[("filemetadata", "directorylabel")];

/// All of them, for the names of the tables.
const KNOWN: &[&[Column]] = &[REQUIRED, ALTERNATIVES, AUXILIARY, EMBARGO, RETENTION];

/// Where the persistent identifiers of datasets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidPlace {
    /// Columns of `dataset`: 4.8.
    Dataset,
    /// Columns of `dvobject`: 4.9 and later.
    DvObject,
}

/// What this database has, all of it readable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) pids: PidPlace,
    /// Of the PID as people write it.
    pub(super) separator: bool,
    pub(super) alternatives: bool,
    pub(super) auxiliary: bool,
    pub(super) embargo: bool,
    pub(super) retention: bool,
    pub(super) original_size: bool,
    pub(super) original_name: bool,
    pub(super) provenance: bool,
    pub(super) folders: bool,
}

impl Schema {
    /// Looks the tables up as the role's `search_path` finds them.
    pub(super) fn probe(session: &mut Session<'_>) -> Result<Self, CatalogError> {
        let found = TablesFound::look(session)?;
        let pids = found.pids();
        let (pid_columns, separator) = match pids {
            PidPlace::DvObject => (PID_OF_DVOBJECT, SEPARATOR),
            PidPlace::Dataset => (PID_OF_DATASET, DOI_SEPARATOR),
        };
        let mut needed = [REQUIRED, pid_columns].concat();
        let mut take = |columns: &[Column]| {
            let there = columns.first().is_some_and(|it| found.has(it));
            if there {
                needed.extend(columns);
            }
            there
        };
        let schema = Self {
            pids,
            separator: take(separator),
            alternatives: take(ALTERNATIVES),
            auxiliary: take(AUXILIARY),
            embargo: take(EMBARGO),
            retention: take(RETENTION),
            original_size: take(ORIGINAL_SIZE),
            original_name: take(ORIGINAL_NAME),
            provenance: take(PROVENANCE),
            folders: take(FOLDERS),
        };
        found.demand(session, &needed)?;
        Ok(schema)
    }
}

/// The catalogues of the system can be read by everybody, whatever else the role may see.
const LOOK: &str = "SELECT c.relname::text, a.attname::text, n.nspname::text, pg_table_is_visible(c.oid),
       has_schema_privilege(n.oid, 'USAGE'), has_column_privilege(c.oid, a.attnum, 'SELECT')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attnum > 0 AND NOT a.attisdropped";

#[derive(Default)]
struct TablesFound {
    /// Columns of the tables that the `search_path` leads to, and whether they may be read.
    columns: BTreeMap<String, BTreeMap<String, bool>>,
    /// Schemas that hold such a table and are closed to the role: the `search_path` passes over them.
    closed: BTreeSet<String>,
}

impl TablesFound {
    fn look(session: &mut Session<'_>) -> Result<Self, CatalogError> {
        let tables: BTreeSet<&str> = KNOWN.iter().flat_map(|it| it.iter()).map(|it| it.0).collect();
        let tables: Vec<&str> = tables.into_iter().collect();
        let mut found = Self::default();
        for row in session.query("look for its tables", LOOK, &[(&tables, Type::TEXT_ARRAY)])? {
            let of = |error| session.error("look for its tables", error);
            if row.try_get(3).map_err(of)? {
                let columns = found.columns.entry(row.try_get(0).map_err(of)?).or_default();
                columns.insert(row.try_get(1).map_err(of)?, row.try_get(5).map_err(of)?);
            } else if !row.try_get::<_, bool>(4).map_err(of)? {
                found.closed.insert(row.try_get(2).map_err(of)?);
            }
        }
        Ok(found)
    }

    fn readable(&self, (table, column): &Column) -> Option<bool> {
        self.columns.get(*table)?.get(*column).copied()
    }

    fn has(&self, column: &Column) -> bool {
        self.readable(column).is_some()
    }

    fn pids(&self) -> PidPlace {
        let moved = PID_OF_DVOBJECT.iter().all(|it| self.has(it));
        if !moved && PID_OF_DATASET.iter().any(|it| self.has(it)) { PidPlace::Dataset } else { PidPlace::DvObject }
    }

    /// Refuses what lacks a column, or keeps one from the role.
    fn demand(&self, session: &Session<'_>, needed: &[Column]) -> Result<(), CatalogError> {
        let missing: Vec<&Column> = needed.iter().filter(|it| !self.has(it)).collect();
        if !missing.is_empty() && !self.closed.is_empty() {
            let schemas = self.closed.iter().map(|it| format!("schema {it}")).collect();
            return Err(session.denied(schemas));
        }
        if !missing.is_empty() {
            return Err(session.unknown_schema(missing.iter().map(|(table, it)| format!("{table}.{it}")).collect()));
        }
        let denied = needed.iter().filter(|it| self.readable(it) == Some(false)).map(|it| it.0.to_owned());
        let denied: BTreeSet<String> = denied.collect();
        if denied.is_empty() { Ok(()) } else { Err(session.denied(denied.into_iter().collect())) }
    }
}
