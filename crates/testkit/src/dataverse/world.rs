//! What a Dataverse holds: rows for its database, objects for its file stores, and what a backup should make of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::Schema;
use crate::files;
use crate::postgres::Database;

/// The verdict that a backup of everything should come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// `OK`.
    Ok,
    /// `OK`, with a line under `notes`.
    OkNote,
    /// `NOT_COVERED`.
    NotCovered,
    /// `FAIL_READ`.
    FailRead,
    /// `FAIL_CHECKSUM`.
    FailChecksum,
    /// No dataset: reported as orphaned.
    Orphaned,
    /// Not in the catalogue at all (harvested).
    Absent,
}

/// A row of `alternativepersistentidentifier`.
#[derive(Debug, Clone)]
pub struct AlternativePid {
    /// The protocol, for example `hdl`.
    pub protocol: String,
    /// The authority, for example `1902.1`.
    pub authority: String,
    /// The identifier, for example `00012`.
    pub identifier: String,
    /// Dataverse's column `storagelocationdesignator`.
    pub designator: Option<bool>,
}

/// A row of `datasetversion`.
#[derive(Debug, Clone)]
pub struct Version {
    /// Dataverse's column `id`.
    pub id: i64,
    /// `versionnumber` and `minorversionnumber`; none for a draft.
    pub number: Option<(i64, i64)>,
    /// Dataverse's column `versionstate`.
    pub state: String,
}

/// A dataset.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Dataverse's column `dvobject.id`.
    pub id: i64,
    /// The protocol, for example `doi`.
    pub protocol: String,
    /// For example `10.5072`; with the shoulder, `10.5072/FK2`, in 4.8.
    pub authority: String,
    /// `doiseparator` in 4.8, `separator` in 6.9.
    pub separator: String,
    /// For example `FK2/ABC`; `ABC` in 4.8.
    pub identifier: String,
    /// Its own `storageidentifier`.
    pub storage_identifier: Option<String>,
    /// Alternative PIDs; 6.9 only.
    pub alternatives: Vec<AlternativePid>,
    /// Whether it has a harvesting client.
    pub harvested: bool,
    /// Reasons of its locks, such as `Ingest`.
    pub locks: Vec<String>,
    /// Its versions, oldest first.
    pub versions: Vec<Version>,
}

impl Dataset {
    /// `<authority>/<identifier>`.
    #[must_use]
    pub fn own_directory(&self) -> String {
        format!("{}/{}", self.authority, self.identifier)
    }

    /// Where its objects lie: by the designated alternative PID if there is one.
    #[must_use]
    pub fn directory(&self) -> String {
        let designated = self.alternatives.iter().find(|it| it.designator == Some(true));
        designated.map_or_else(|| self.own_directory(), |it| format!("{}/{}", it.authority, it.identifier))
    }
}

/// A row of `datatable`.
#[derive(Debug, Clone, Default)]
pub struct DataTable {
    /// Dataverse's column `originalfileformat`.
    pub original_format: Option<String>,
    /// Dataverse's column `originalfilesize`; 6.9 only.
    pub original_size: Option<i64>,
    /// Dataverse's column `originalfilename`; 6.9 only.
    pub original_name: Option<String>,
}

/// A row of `auxiliaryfile`; 6.9 only.
#[derive(Debug, Clone)]
pub struct Auxiliary {
    /// Dataverse's column `formattag`.
    pub format_tag: String,
    /// Dataverse's column `formatversion`.
    pub format_version: String,
    /// Dataverse's column `contenttype`.
    pub content_type: Option<String>,
    /// Dataverse's column `filesize`.
    pub size: Option<i64>,
    /// Dataverse's column `checksum`.
    pub checksum: Option<String>,
}

/// A row of `filemetadata`.
#[derive(Debug, Clone)]
pub struct Label {
    /// Dataverse's column `datasetversion_id`.
    pub version: i64,
    /// Dataverse's column `label`.
    pub label: String,
    /// Dataverse's column `directorylabel`.
    pub directory: Option<String>,
}

/// A data file.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Dataverse's column `dvobject.id`.
    pub id: i64,
    /// Dataverse's column `owner_id`.
    pub dataset: Option<i64>,
    /// What it is an example of.
    pub kind: String,
    /// Dataverse's column `storageidentifier`.
    pub storage_identifier: Option<String>,
    /// Dataverse's column `checksumtype`.
    pub checksum_type: String,
    /// Dataverse's column `checksumvalue`.
    pub checksum_value: String,
    /// Dataverse's column `contenttype`.
    pub content_type: String,
    /// Dataverse's column `filesize`.
    pub size: Option<i64>,
    /// Dataverse's column `ingeststatus`.
    pub ingest_status: Option<char>,
    /// Dataverse's column `restricted`.
    pub restricted: bool,
    /// `embargo.dateavailable`, `YYYY-MM-DD`; 6.9 only.
    pub embargo_until: Option<String>,
    /// `retention.dateunavailable`, `YYYY-MM-DD`; 6.9 only.
    pub retention_until: Option<String>,
    /// Dataverse's column `prov_entityname`; 6.9 only.
    pub provenance_entity: Option<String>,
    /// Dataverse's column `previousdatafileid`.
    pub previous: Option<i64>,
    /// Dataverse's column `createdate`.
    pub created: String,
    /// Its rows of the table `datatable`.
    pub tables: Vec<DataTable>,
    /// Its rows of the table `auxiliaryfile`.
    pub auxiliary: Vec<Auxiliary>,
    /// Its rows of the table `filemetadata`, one a version.
    pub labels: Vec<Label>,
    /// The verdict that a backup should come to.
    pub expect: Expect,
    /// What a backup should have made at the destination: key, bytes.
    pub copies: Vec<(String, Vec<u8>)>,
}

/// What lies at a place in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// A file.
    Bytes(Vec<u8>),
    /// A symbolic link with this target.
    Link(PathBuf),
    /// An empty folder.
    Folder,
}

/// Something in a store.
#[derive(Debug, Clone)]
pub struct StoredObject {
    /// The store's driver id.
    pub store: String,
    /// Path below the store's root.
    pub path: String,
    /// What lies at its place in the store.
    pub content: Stored,
}

/// A store of type `file`.
#[derive(Debug, Clone)]
pub struct Store {
    /// Its driver id, as storage identifiers name it.
    pub id: String,
    /// The folder that its objects lie in.
    pub directory: PathBuf,
}

/// A whole installation. All fields may be changed before it is written.
#[derive(Debug, Clone)]
pub struct World {
    /// Which shape the tables have.
    pub schema: Schema,
    /// Stores of type `file`; the first one holds objects without a prefix.
    pub stores: Vec<Store>,
    /// Datasets that were added, in the order of their ids.
    pub datasets: Vec<Dataset>,
    /// Data files in scope, by what became of them.
    pub files: Vec<DataFile>,
    /// What lies in the stores.
    pub objects: Vec<StoredObject>,
    /// Copies that belong to no data file (logos): key, bytes.
    pub dataset_copies: Vec<(String, Vec<u8>)>,
    next_id: i64,
}

impl World {
    /// An empty one, whose store `file` is the folder `files`. Ids begin at 2: 1 is the root collection.
    #[must_use]
    pub fn new(schema: Schema, files: &Path) -> Self {
        let store = Store { id: "file".into(), directory: files.to_owned() };
        Self {
            schema,
            stores: vec![store],
            datasets: Vec::new(),
            files: Vec::new(),
            objects: Vec::new(),
            dataset_copies: Vec::new(),
            next_id: 2,
        }
    }

    /// The next free `dvobject.id`.
    pub fn take_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// An object name in Dataverse's pattern, different for each number.
    #[must_use]
    pub fn object_name(number: i64) -> String {
        format!("18f3a{:06x}-{:012x}", number & 0xff_ffff, 0xabc_def0_1234_i64 + number)
    }

    /// A dataset with a released version 1.0 and a draft; its directory is `<authority>/<identifier>` in either schema.
    /// For 4.8 the shoulder (`FK2` in `FK2/ABC`) is put where it was then.
    pub fn add_dataset(&mut self, authority: &str, identifier: &str) -> &mut Dataset {
        let (authority, identifier) = match (self.schema, identifier.split_once('/')) {
            (Schema::V4_8, Some((shoulder, rest))) => (format!("{authority}/{shoulder}"), rest.to_owned()),
            (Schema::V4_8, None) | (Schema::V6_9, _) => (authority.to_owned(), identifier.to_owned()),
        };
        let id = self.take_id();
        let version = |n, number, state: &str| Version { id: id * 10 + n, number, state: state.into() };
        self.datasets.push(Dataset {
            id,
            protocol: "doi".into(),
            storage_identifier: Some(format!("file://{authority}/{identifier}")),
            authority,
            separator: "/".into(),
            identifier,
            alternatives: Vec::new(),
            harvested: false,
            locks: Vec::new(),
            versions: vec![version(1, Some((1, 0)), "RELEASED"), version(2, None, "DRAFT")],
        });
        self.datasets.last_mut().expect("it was pushed")
    }

    /// The dataset with this id.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn dataset(&self, id: i64) -> &Dataset {
        self.datasets.iter().find(|it| it.id == id).expect("a dataset with this id")
    }

    /// The dataset with this id, to change it.
    ///
    /// # Panics
    /// When there is none.
    pub fn dataset_mut(&mut self, id: i64) -> &mut Dataset {
        self.datasets.iter_mut().find(|it| it.id == id).expect("a dataset with this id")
    }

    /// A row for a data file without any object in a store, in every version of its dataset, with MD5 and size of `content`.
    pub fn add_row(&mut self, dataset: i64, storage_identifier: Option<&str>, content: &[u8]) -> &mut DataFile {
        let id = self.take_id();
        let label = |it: &Version| Label { version: it.id, label: format!("file {id}.bin"), directory: None };
        let labels = self.dataset(dataset).versions.iter().map(label).collect();
        self.files.push(DataFile {
            id,
            dataset: Some(dataset),
            kind: String::new(),
            storage_identifier: storage_identifier.map(str::to_owned),
            checksum_type: "MD5".into(),
            checksum_value: files::md5(content),
            content_type: "application/octet-stream".into(),
            size: i64::try_from(content.len()).ok(),
            ingest_status: Some('A'),
            restricted: false,
            embargo_until: None,
            retention_until: None,
            provenance_entity: None,
            previous: None,
            created: "2024-02-03 04:05:06.789".into(),
            tables: Vec::new(),
            auxiliary: Vec::new(),
            labels,
            expect: Expect::FailRead,
            copies: Vec::new(),
        });
        self.files.last_mut().expect("it was pushed")
    }

    /// A good data file: a row, its bytes in the store that the prefix names, and the copy that is expected.
    pub fn add_file(&mut self, dataset: i64, storage_identifier: &str, content: &[u8]) -> &mut DataFile {
        let key = self.add_object(dataset, storage_identifier, Stored::Bytes(content.to_vec()));
        let file = self.add_row(dataset, Some(storage_identifier), content);
        file.expect = Expect::Ok;
        file.copies.push((key, content.to_vec()));
        file
    }

    /// Puts something into the store that a storage identifier names; gives its key at the destination.
    pub fn add_object(&mut self, dataset: i64, storage_identifier: &str, content: Stored) -> String {
        let (store, name) = match storage_identifier.split_once("://") {
            Some((store, name)) => (store.to_owned(), name),
            None => (self.stores.first().map(|it| it.id.clone()).unwrap_or_default(), storage_identifier),
        };
        let path = format!("{}/{name}", self.dataset(dataset).directory());
        self.objects.push(StoredObject { store, path: path.clone(), content });
        path
    }

    /// The data file that is an example of `kind`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> &DataFile {
        self.files.iter().find(|it| it.kind == kind).unwrap_or_else(|| panic!("no data file is of kind {kind:?}"))
    }

    /// Every copy that should be at the destination, by its key.
    #[must_use]
    pub fn expected_copies(&self) -> BTreeMap<String, Vec<u8>> {
        let all = self.files.iter().flat_map(|it| &it.copies).chain(&self.dataset_copies);
        all.map(|(key, bytes)| (key.clone(), bytes.clone())).collect()
    }

    /// Writes what lies in the stores.
    ///
    /// # Panics
    /// When the file system refuses.
    pub fn write_stores(&self) {
        for store in &self.stores {
            fs::create_dir_all(&store.directory).expect("make a store's folder");
        }
        for StoredObject { store, path, content } in &self.objects {
            let known = self.stores.iter().find(|it| it.id == *store);
            let root = &known.unwrap_or_else(|| panic!("no store {store:?}")).directory;
            let at = root.join(path);
            match content {
                Stored::Bytes(bytes) => files::write(root, path, bytes),
                Stored::Folder => fs::create_dir_all(&at).expect("make a folder"),
                Stored::Link(target) => {
                    fs::create_dir_all(at.parent().expect("an object has a folder")).expect("make a folder");
                    symlink(target, &at).expect("make a link");
                }
            }
        }
    }

    /// Inserts the rows into tables that exist.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn insert(&self, database: &Database) {
        database.execute(&self.sql());
    }

    /// Makes the tables, inserts the rows and writes the stores.
    ///
    /// # Panics
    /// When the server or the file system refuses.
    pub fn install(&self, database: &Database) {
        self.schema.create(database);
        self.insert(database);
        self.write_stores();
    }
}
