//! One installation with its backup, to be run as often as a test likes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dvb_catalog::{Catalog, PostgresCatalog};
use dvb_engine::{
    Access, CancelToken, Event, Observer, Options, Overrides, RunError, Selection, Setup, Store, Stores, Summary,
    new_run_id, run,
};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore};
use dvb_ledger::{Ledger, PostgresLedger, SqliteLedger, StateDetail};
use dvb_model::{DestinationName, DriverId, StoreKind};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_storage::{Demand, Sink};
use dvb_testkit::dataverse::{Schema, World, every_kind};
use dvb_testkit::postgres::{self, Database};
use dvb_testkit::{files, temp_folder};
use tempfile::TempDir;

/// Which ledger a test uses.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LedgerKind {
    Sqlite,
    Postgres,
}

const NONE: Overrides = Overrides { disappearance: false, changes: false, copies_lost: false, take_over: false };
/// Very many have left the catalogue, and that is meant.
pub(crate) const GONE: Overrides = Overrides { disappearance: true, ..NONE };
/// Very many have changed, and that is meant.
pub(crate) const CHANGED: Overrides = Overrides { changes: true, ..NONE };
/// All copies are lost, and that is known.
pub(crate) const LOST: Overrides = Overrides { copies_lost: true, ..NONE };
/// The destination is to be this installation's, whosever it was.
pub(crate) const TAKEN: Overrides = Overrides { take_over: true, ..NONE };

pub(crate) struct Bench {
    pub(crate) world: World,
    pub(crate) database: Database,
    pub(crate) stores: Stores,
    pub(crate) ledger: Box<dyn Ledger>,
    pub(crate) sink: Box<dyn Sink>,
    pub(crate) backup: PathBuf,
    pub(crate) stop: CancelToken,
    pub(crate) warnings: Arc<Mutex<Vec<String>>>,
    pub(crate) folder: TempDir,
}

pub(crate) fn target(database: &Database) -> PostgresTarget {
    PostgresTarget {
        host: database.host.clone(),
        port: database.port,
        database: database.name.clone(),
        username: database.user.clone(),
        password: Some(database.password.clone()),
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

pub(crate) fn sink_at(folder: &Path) -> Box<dyn Sink> {
    Box::new(DirectorySink::new(DirectorySinkConfig { root: folder.to_owned(), demand: Demand::Auto }))
}

/// One that knows nothing yet.
pub(crate) fn new_ledger(kind: LedgerKind, path: &Path) -> Box<dyn Ledger> {
    let ledger: Box<dyn Ledger> = match kind {
        LedgerKind::Sqlite => Box::new(SqliteLedger::new(path)),
        LedgerKind::Postgres => {
            let database = postgres::shared().create_database("ledger");
            Box::new(PostgresLedger::open(target(&database), 4).unwrap())
        }
    };
    ledger.migrate().unwrap();
    ledger
}

pub(crate) struct Warnings<'a>(pub(crate) &'a Mutex<Vec<String>>);

impl Observer for Warnings<'_> {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

impl Bench {
    /// Every kind of data file that there is.
    pub(crate) fn of_every_kind(schema: Schema, ledger: LedgerKind) -> Self {
        let folder = temp_folder("engine");
        let world = every_kind(schema, folder.path());
        Self::new(world, ledger, folder)
    }

    /// One dataset, 10.5072/FK2/ONE, with as many small files.
    pub(crate) fn of_files(count: i64) -> Self {
        Self::of_files_with(count, LedgerKind::Sqlite)
    }

    pub(crate) fn of_files_with(count: i64, ledger: LedgerKind) -> Self {
        let folder = temp_folder("engine");
        let mut world = World::new(Schema::V6_9, &folder.path().join("files"));
        let dataset = world.add_dataset("10.5072", "FK2/ONE").id;
        for n in 0..count {
            world.add_file(dataset, &format!("file://{}", World::object_name(n)), format!("content {n}").as_bytes());
        }
        Self::new(world, ledger, folder)
    }

    pub(crate) fn new(world: World, ledger: LedgerKind, folder: TempDir) -> Self {
        let database = postgres::shared().create_database("engine");
        world.install(&database);
        let ledger = new_ledger(ledger, &folder.path().join("ledger.db"));
        let store = |it: &dvb_testkit::dataverse::Store| {
            let source = FileStore::open(&it.directory).unwrap();
            (DriverId(it.id.clone()), Store { kind: StoreKind::File, access: Access::Readable(Arc::new(source)) })
        };
        let mut by_id: BTreeMap<DriverId, Store> = world.stores.iter().map(store).collect();
        for (id, kind) in [("s3", StoreKind::S3), ("remote1", StoreKind::Remote)] {
            by_id.insert(DriverId(id.into()), Store { kind, access: Access::Reference("not ours to read".into()) });
        }
        let backup = folder.path().join("backup");
        Self {
            stores: Stores { default: DriverId("file".into()), by_id },
            sink: sink_at(&backup),
            world,
            database,
            ledger,
            backup,
            stop: CancelToken::new(),
            warnings: Arc::default(),
            folder,
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            run: new_run_id(),
            agent: agent(),
            selection: Selection::default(),
            rerun: false,
            dry_run: false,
            limit: None,
            jobs: 2,
            time_budget: None,
            verify_every: None,
            audit_every: None,
            presence_check: Some(Duration::from_secs(600)),
            bandwidth_limit: None,
            auxiliary_objects: true,
            cached_exports: false,
            max_disappearance: 0.05,
            // Small as the worlds are, one file that changes is already very many.
            max_change: 1.0,
            overrides: Overrides::default(),
            spool_folder: self.folder.path().to_owned(),
        }
    }

    pub(crate) fn catalog(&self) -> PostgresCatalog {
        PostgresCatalog::new(target(&self.database))
    }

    pub(crate) fn try_run(&self, options: &Options) -> Result<Summary, RunError> {
        self.run_onto(self.sink.as_ref(), options)
    }

    pub(crate) fn run_onto(&self, sink: &dyn Sink, options: &Options) -> Result<Summary, RunError> {
        self.run_to(&destination(), sink, options)
    }

    pub(crate) fn run_to(
        &self,
        destination: &DestinationName,
        sink: &dyn Sink,
        options: &Options,
    ) -> Result<Summary, RunError> {
        let catalog: &dyn Catalog = &self.catalog();
        let setup = Setup {
            catalog,
            stores: &self.stores,
            ledger: self.ledger.as_ref(),
            destination,
            sink,
            observer: &Warnings(&self.warnings),
            stop: &self.stop,
        };
        run(&setup, options)
    }

    pub(crate) fn run(&self) -> Summary {
        self.try_run(&self.options()).unwrap()
    }

    pub(crate) fn rerun(&self) -> Summary {
        self.try_run(&Options { rerun: true, ..self.options() }).unwrap()
    }

    /// What lies at the destination, the backup's own folder left out.
    pub(crate) fn copies(&self) -> BTreeMap<String, Vec<u8>> {
        let mut tree = files::tree(&self.backup);
        tree.retain(|it, _| !it.starts_with(".dataverse-backup/"));
        tree
    }

    /// What is left of temporaries.
    pub(crate) fn temporaries(&self) -> Vec<String> {
        files::tree(&self.backup).into_keys().filter(|it| it.starts_with(".dataverse-backup/tmp/")).collect()
    }

    pub(crate) fn details(&self) -> BTreeMap<i64, StateDetail> {
        let mut all = BTreeMap::new();
        let mut visit = |it: StateDetail| drop(all.insert(it.id.0, it));
        self.ledger.visit_details(&destination(), None, false, &mut visit).unwrap();
        all
    }

    /// Path of a data file's main object in its store.
    pub(crate) fn source_of(&self, key: &str) -> PathBuf {
        self.folder.path().join("files").join(key)
    }
}

pub(crate) fn destination() -> DestinationName {
    DestinationName("default".into())
}

/// Who gives the commands of tests.
pub(crate) fn agent() -> dvb_ledger::Agent {
    dvb_ledger::Agent { user: "tester".into(), host: "testhost".into(), program: "0".into() }
}
