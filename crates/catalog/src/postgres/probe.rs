//! What a look at the database tells, for the command `check`.

use std::fmt;

use super::schema::{PidPlace, Schema};
use super::session::Session;
use crate::CatalogError;

/// What the catalogue would be made of. Whatever is listed here may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Where the persistent identifiers are, which tells 4.8 from later versions.
    pub pids: PidPlace,
    /// What some versions of Dataverse have and this one does: `auxiliary files`, `embargoes`, …
    pub present: Vec<&'static str>,
    /// What some versions of Dataverse have and this one does not.
    pub absent: Vec<&'static str>,
    /// Datasets that are not harvested.
    pub datasets: u64,
    /// Data files that are not harvested.
    pub data_files: u64,
    /// Data files of harvested datasets: left out.
    pub harvested: u64,
    /// Of `data_files`, those without a dataset (dataverse.md 5.4).
    pub orphaned: u64,
}

impl Probe {
    pub(super) fn of(session: &mut Session<'_>, schema: &Schema) -> Result<Self, CatalogError> {
        let what = "count its data files";
        let rows = session.query(what, Schema::counts(), &[])?;
        let count = |at| -> Result<u64, CatalogError> {
            let count =
                rows.first().map_or(Ok(0), |it| it.try_get::<_, i64>(at)).map_err(|it| session.error(what, it))?;
            Ok(u64::try_from(count).unwrap_or_default())
        };
        let (present, absent): (Vec<_>, Vec<_>) = parts(schema).into_iter().partition(|it| it.0);
        let names = |parts: Vec<(bool, &'static str)>| parts.into_iter().map(|it| it.1).collect();
        Ok(Self {
            pids: schema.pids,
            present: names(present),
            absent: names(absent),
            datasets: count(3)?,
            data_files: count(0)?,
            harvested: count(1)?,
            orphaned: count(2)?,
        })
    }
}

fn parts(schema: &Schema) -> [(bool, &'static str); 6] {
    [
        (schema.alternatives, "alternative PIDs"),
        (schema.auxiliary, "auxiliary files"),
        (schema.original_size, "sizes of saved originals"),
        (schema.provenance, "provenance"),
        (schema.embargo, "embargoes"),
        (schema.retention, "retention periods"),
    ]
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.pids {
            PidPlace::Dataset => "PIDs in dataset (4.8)",
            PidPlace::DvObject => "PIDs in dvobject (4.9 or later)",
        })?;
        if !self.present.is_empty() {
            write!(f, "; readable: {}", self.present.join(", "))?;
        }
        if !self.absent.is_empty() {
            write!(f, "; not in this version: {}", self.absent.join(", "))?;
        }
        let Self { datasets, data_files, harvested, .. } = self;
        write!(f, "; {data_files} data files in {datasets} datasets, {harvested} harvested left out")?;
        if self.orphaned > 0 {
            write!(f, ", {} without a dataset", self.orphaned)?;
        }
        Ok(())
    }
}
