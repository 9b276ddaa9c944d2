//! What Dataverse's database says exists: the rows of the catalogue, and the lines of its snapshot.

use serde::{Deserialize, Serialize};

use crate::key::{climbs, collapse};
use crate::{DvObjectId, KeyError, ObjectKey, StoreKind};

/// Content type of a package: on a file store its object is a folder (`DataFileServiceBean.MIME_TYPE_PACKAGE_FILE`).
pub const PACKAGE_CONTENT_TYPE: &str = "application/vnd.dataverse.file-package";

/// The PID that storage paths are made of (`Dataset.get{Authority,Identifier}ForFileStorage`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StoragePid {
    /// The authority, for example `10.5072`.
    pub authority: String,
    /// For example `FK2/ABC`; case as stored.
    pub identifier: String,
}

impl StoragePid {
    /// `<authority>/<identifier>`, the dataset's folder in a store and at a destination.
    #[must_use]
    pub fn directory(&self) -> String {
        let Self { authority, identifier } = self;
        match (authority.is_empty(), identifier.is_empty()) {
            (true, _) => identifier.clone(),
            (false, true) => authority.clone(),
            (false, false) => format!("{authority}/{identifier}"),
        }
    }

    /// As a store of this kind makes paths of it. In a folder, empty parts mean nothing (`Paths.get` in `FileAccessIO`): of
    /// `//FK2//ABC` it makes `FK2/ABC`, and of an empty authority nothing at all. Elsewhere each slash is part of a key.
    ///
    /// # Errors
    /// [`KeyError`], when it makes no path below the store's root.
    pub fn in_store(&self, kind: StoreKind) -> Result<Self, KeyError> {
        let pid = match kind {
            StoreKind::File => {
                let [authority, identifier] = [&self.authority, &self.identifier].map(|it| collapse(it).into_owned());
                let plain = Self { authority, identifier };
                // What climbs out of the authority may stay in the store.
                let climbs = climbs(&plain.authority) || climbs(&plain.identifier);
                let whole = || Self { authority: String::new(), identifier: collapse(&plain.directory()).into_owned() };
                if climbs { whole() } else { plain }
            }
            StoreKind::S3 | StoreKind::Swift | StoreKind::Remote | StoreKind::Globus => {
                ObjectKey::new(&format!("{}/{}", self.authority, self.identifier))?;
                self.clone()
            }
        };
        ObjectKey::new(&pid.directory())?;
        Ok(pid)
    }
}

/// A dataset that is not harvested.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Dataverse's column `dataset.id`, which never changes.
    pub id: DvObjectId,
    /// Its PID as people write it, for example `doi:10.5072/FK2/ABC`; empty where it has none.
    pub pid: String,
    /// Other PIDs that lead to it, as people write them: those that it had before, in the order of their rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_pids: Vec<String>,
    /// Where its objects are: the designated alternative PIDs if there are any, else its own. Never empty; more
    /// than one, in the order of their rows, is a mistake of configuration in Dataverse, and each is tried (dataverse.md 2.1).
    pub storage_pids: Vec<StoragePid>,
    /// Its own `storageidentifier`: only the driver before `://` means anything (dataverse.md 2.9).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_identifier: Option<String>,
    /// A lock with reason `Ingest` is on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ingest_locked: bool,
    /// Columns that say where its objects are and hold bytes that are not UTF-8: what stands here for them is escaped, and
    /// names no place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub garbled: Vec<String>,
}

/// A data file that was ingested as a table (at least one row of `datatable`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tabular {
    /// `originalfileformat`; NULL means that no original was ever saved (dataverse.md 3.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_format: Option<String>,
    /// Size of the saved original in bytes, where Dataverse knows it (never negative).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_size: Option<u64>,
    /// The name that it was uploaded under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_name: Option<String>,
}

/// A row of `auxiliaryfile`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuxiliaryFile {
    /// Dataverse's column `formattag`: what kind of file it is, for the tool that made it.
    pub format_tag: String,
    /// Dataverse's column `formatversion`: the version of that format.
    pub format_version: String,
    /// `contenttype`, the media type; `None` where NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// `filesize` in bytes; `None` where NULL or negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// `checksum` as it stands; its algorithm follows from its length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

impl AuxiliaryFile {
    /// The tag behind the data file's name (`AuxiliaryFileServiceBean`: `<formattag>_<formatversion>`).
    #[must_use]
    pub fn tag(&self) -> String {
        format!("{}_{}", self.format_tag, self.format_version)
    }
}

/// What a data file is called in one version of its dataset (a row of `filemetadata`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileVersion {
    /// `versionstate`: `DRAFT`, `RELEASED`, `ARCHIVED`, `DEACCESSIONED`.
    pub state: String,
    /// `versionnumber`.`minorversionnumber`, for example `2.0`; `None` where it has no number, as a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The file's name in it.
    pub label: String,
    /// The folder it is shown in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// An embargo on a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embargo {
    /// `dateavailable`, `YYYY-MM-DD`: the day on which the embargo ends.
    pub until: String,
}

/// A retention period of a data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// `dateunavailable`, `YYYY-MM-DD`: the day on which the file stops being available.
    pub until: String,
}

/// A row of `datafile`, with what else the database knows of it. Text that Dataverse always writes is empty where the
/// database has NULL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// `datafile.id`: the only name of it that never changes (dataverse.md R2).
    pub id: DvObjectId,
    /// Its own PID as people write it; many installations give files none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<String>,
    /// Its dataset; `None` where `owner_id` is NULL or leads nowhere (dataverse.md 5.4).
    #[serde(default)]
    pub dataset: Option<Dataset>,
    /// `dvobject.storageidentifier` as it stands.
    #[serde(default)]
    pub storage_identifier: Option<String>,
    /// `checksumtype` as it stands.
    pub checksum_type: String,
    /// `checksumvalue` as it stands; may be junk (dataverse.md R7).
    pub checksum_value: String,
    /// Dataverse's column `contenttype`, the media type; of the `.tab` when tabular.
    pub content_type: String,
    /// `filesize` in bytes; of the `.tab` when tabular. `None` where NULL or negative.
    #[serde(default)]
    pub size: Option<u64>,
    /// Set when the file is tabular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tabular: Option<Tabular>,
    /// `ingeststatus`: `A` none or done, `B` scheduled, `C` in progress, `D` error; often NULL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingest_status: Option<char>,
    /// `datafile.restricted`: only people with a permission may download it.
    #[serde(default)]
    pub restricted: bool,
    /// The embargo, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embargo: Option<Embargo>,
    /// The retention period, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// `prov_entityname`: a hint that `<name>.prov-json.json` exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance_entity: Option<String>,
    /// Its auxiliary files, by tag.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auxiliary: Vec<AuxiliaryFile>,
    /// What it is called in each version, oldest first; empty where the catalogue was asked not to read it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<FileVersion>,
    /// As [`Dataset::garbled`], of its own row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub garbled: Vec<String>,
}

impl Dataset {
    /// Why nobody knows where its objects are, in a sentence.
    #[must_use]
    pub fn unknown_place(&self) -> Option<String> {
        unknown_place(&self.garbled)
    }
}

fn unknown_place(garbled: &[String]) -> Option<String> {
    let columns = garbled.join(", ");
    (!garbled.is_empty()).then(|| {
        format!(
            "Dataverse's database holds bytes that are not UTF-8 as {columns}, so that nobody knows where its objects are: \
             correct that row there"
        )
    })
}

impl DataFile {
    /// Why nobody knows where its objects are, in a sentence.
    #[must_use]
    pub fn unknown_place(&self) -> Option<String> {
        unknown_place(&self.garbled).or_else(|| self.dataset.as_ref()?.unknown_place())
    }

    /// Whether Dataverse keeps it as a package.
    #[must_use]
    pub fn is_package(&self) -> bool {
        self.content_type == PACKAGE_CONTENT_TYPE
    }

    /// An ingest is scheduled or under way: what is read now may be replaced soon (dataverse.md 3.4).
    #[must_use]
    pub fn is_being_ingested(&self) -> bool {
        matches!(self.ingest_status, Some('B' | 'C')) || self.dataset.as_ref().is_some_and(|it| it.ingest_locked)
    }

    /// Its newest name with its folder, where the versions were read.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        self.versions.last().map(|version| match &version.directory {
            Some(folder) if !folder.is_empty() => format!("{folder}/{}", version.label),
            _ => version.label.clone(),
        })
    }
}
