//! Databases with a world in them, and catalogues of these.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use dvb_catalog::{Catalog, PostgresCatalog, SnapshotCatalog, write_snapshot};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_testkit::dataverse::{AlternativePid, Auxiliary, DataTable, Label, Schema, Version, World, every_kind};
use dvb_testkit::postgres::{Database, shared};
use tempfile::TempDir;

pub(crate) const MADE: &str = "2025-01-02T03:04:05Z";

/// A database of a schema, without rows.
pub(crate) fn empty(schema: Schema) -> Database {
    let database = shared().create_database("catalog");
    schema.create(&database);
    database
}

/// A database with [`world`] in it.
pub(crate) fn filled(schema: Schema) -> (World, Database) {
    let (world, database) = (world(schema), empty(schema));
    world.insert(&database);
    if schema == Schema::V6_9 {
        // From 6.7 on a data file may have an alternative PID; it says nothing of where its dataset lies.
        let id = world.of_kind("md5").id;
        database.execute(&format!(
            "INSERT INTO alternativepersistentidentifier (dvobject_id, protocol, authority, identifier, storagelocationdesignator)
             VALUES ({id}, 'hdl', '1902.1', 'FILE', true)"
        ));
    }
    (world, database)
}

pub(crate) fn target(database: &Database) -> PostgresTarget {
    let Database { host, port, name, user, password } = database.clone();
    PostgresTarget {
        host,
        port,
        database: name,
        username: user,
        password: Some(password),
        ssl_mode: SslMode::Disable,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn catalog(database: &Database) -> PostgresCatalog {
    PostgresCatalog::new(target(database))
}

/// A folder, and a snapshot in it whose name says nothing.
pub(crate) fn snapshot(catalog: &dyn Catalog, compress: bool) -> (TempDir, PathBuf) {
    let folder = dvb_testkit::temp_folder("catalog");
    let path = folder.path().join("snapshot");
    write_snapshot(catalog, &mut File::create(&path).unwrap(), MADE, compress).unwrap();
    (folder, path)
}

/// A catalogue, the world that it is of, and what has to live as long.
pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) catalog: Box<dyn Catalog>,
    _folder: Option<TempDir>,
}

impl Bench {
    pub(crate) fn database(schema: Schema) -> Self {
        let (world, database) = filled(schema);
        Self { world, catalog: Box::new(catalog(&database)), _folder: None }
    }

    pub(crate) fn snapshot(schema: Schema, compress: bool) -> Self {
        let Self { world, catalog, .. } = Self::database(schema);
        let (folder, path) = snapshot(&*catalog, compress);
        Self { world, catalog: Box::new(SnapshotCatalog::new(path)), _folder: Some(folder) }
    }
}

/// Every kind of data file, and what only a catalogue cares about.
pub(crate) fn world(schema: Schema) -> World {
    let mut world = every_kind(schema, "/nowhere".as_ref());
    let separated = world.add_dataset("10.5072", "FK2/SEPARATED");
    (separated.separator, separated.identifier) = (".".into(), "SEPARATED".into());
    let separated = separated.id;
    named(&mut world, separated, "separator of its own");
    let joined = world.add_dataset("XYZ", "JOINED");
    (joined.protocol, joined.separator) = ("perma".into(), String::new());

    let other_lock = world.add_dataset("10.5072", "FK2/REVIEW");
    other_lock.locks = vec!["InReview".into()];
    let locked_twice = world.add_dataset("10.5072", "FK2/TWICE");
    locked_twice.locks = vec!["Ingest".into(), "Ingest".into(), "Workflow".into()];
    let locked_twice = locked_twice.id;
    named(&mut world, locked_twice, "locked twice");

    versions(&mut world);
    odd_rows(&mut world, separated);
    if schema == Schema::V6_9 {
        designators(&mut world);
        auxiliary(&mut world, separated);
    }
    world
}

fn named(world: &mut World, dataset: i64, kind: &str) -> i64 {
    let name = format!("file://{}", World::object_name(900_000 + i64::try_from(world.files.len()).unwrap()));
    let file = world.add_row(dataset, Some(&name), kind.as_bytes());
    file.kind = kind.into();
    file.id
}

/// Versions whose ids are in another order than their numbers, which are not in that of their text either.
fn versions(world: &mut World) {
    let dataset = world.add_dataset("10.5072", "FK2/VERSIONS");
    let id = dataset.id;
    let version =
        |n: i64, number: Option<(i64, i64)>, state: &str| Version { id: id * 10 + n, number, state: state.into() };
    dataset.versions = vec![
        version(5, Some((1, 0)), "ARCHIVED"),
        version(4, Some((2, 9)), "DEACCESSIONED"),
        version(3, Some((2, 10)), "RELEASED"),
        version(2, Some((10, 0)), "RELEASED"),
        version(1, None, "DRAFT"),
    ];
    named(world, id, "renamed in each version");
    let file = world.files.last_mut().unwrap();
    // The rows themselves are in a third order.
    file.labels = [3, 1, 5, 2, 4]
        .map(|n| Label { version: id * 10 + n, label: format!("name {n}"), directory: (n == 3).then(|| "a/b".into()) })
        .to_vec();
}

fn odd_rows(world: &mut World, dataset: i64) {
    named(world, dataset, "owned by a collection");
    world.files.last_mut().unwrap().dataset = Some(1);
    named(world, dataset, "size negative");
    let negative = world.files.last_mut().unwrap();
    (negative.size, negative.labels) = (Some(-1), Vec::new());
    named(world, dataset, "tables that complete each other");
    let newer = world.schema == Schema::V6_9;
    let table = |format: Option<&str>, size: Option<i64>, name: Option<&str>| DataTable {
        original_format: format.map(str::to_owned),
        original_size: size.filter(|_| newer),
        original_name: name.map(str::to_owned).filter(|_| newer),
    };
    world.files.last_mut().unwrap().tables = vec![
        table(None, Some(-1), Some("first.sav")),
        table(Some("application/x-spss-sav"), None, None),
        table(Some("application/x-stata"), Some(77), Some("third.dta")),
    ];
}

/// Auxiliary files whose tags are in another order than their rows, and in another than a dictionary's.
fn auxiliary(world: &mut World, dataset: i64) {
    named(world, dataset, "auxiliary files out of order");
    let row = |tag: &str, size: Option<i64>| Auxiliary {
        format_tag: tag.into(),
        format_version: "1".into(),
        content_type: None,
        size,
        checksum: None,
    };
    world.files.last_mut().unwrap().auxiliary = vec![row("z", Some(-1)), row("a", Some(0)), row("B", None)];
}

/// Two designated PIDs: a mistake, but whose it is nobody knows.
fn designators(world: &mut World) {
    let dataset = world.add_dataset("10.5072", "FK2/TWO");
    let pid = |authority: &str, identifier: &str| AlternativePid {
        protocol: "hdl".into(),
        authority: authority.into(),
        identifier: identifier.into(),
        designator: Some(true),
    };
    dataset.alternatives = vec![pid("1902.2", "00099"), pid("1902.1", "00098")];
    let id = dataset.id;
    named(world, id, "under one of two designated PIDs");
}
