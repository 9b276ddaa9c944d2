//! Embeds the engine: backs up the sample repository into a folder, twice, without a command line or a configuration
//! file. `cargo run -p dvb-examples --example embed_engine`
#![allow(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use dvb_catalog::SnapshotCatalog;
use dvb_engine::{
    Access, CancelToken, Event, ExitStatus, Observer, Options, Overrides, Selection, Setup, Store, Stores, new_run_id,
    run,
};
use dvb_fs::{DirectorySink, DirectorySinkConfig, FileStore};
use dvb_ledger::{Agent, Ledger as _, SqliteLedger};
use dvb_model::{DestinationName, DriverId, StoreKind};
use dvb_storage::Demand;

fn main() -> Result<(), Box<dyn Error>> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let work = tempfile::tempdir()?;
    let catalog = SnapshotCatalog::new(sample.join("catalogue.jsonl"));
    let stores = stores(&sample)?;
    let ledger = SqliteLedger::new(work.path().join("ledger.db"));
    ledger.migrate()?;
    // A folder has no digests of its own: each copy is read back.
    let sink = DirectorySink::new(DirectorySinkConfig { root: work.path().join("copies"), demand: Demand::Auto });
    let setup = Setup {
        catalog: &catalog,
        stores: &stores,
        ledger: &ledger,
        destination: &DestinationName("folder".into()),
        sink: &sink,
        observer: &Lines,
        stop: &CancelToken::new(), // a signal handler would hold it too
    };

    let first = run(&setup, &options(work.path()))?;
    println!("{} copied, {} bytes: {}\n", first.files.copied, first.bytes_copied, first.ending.text());
    let second = run(&setup, &options(work.path()))?;
    println!("{} copied, {} unchanged: {}", second.files.copied, second.files.unchanged, second.ending.text());

    if (first.ending, second.ending) != (ExitStatus::Safe, ExitStatus::Safe) || second.files.copied > 0 {
        return Err("the sample should be safe after one run".into());
    }
    Ok(())
}

/// Dataverse's stores by their driver ids: one that is read, and one whose bytes somebody else keeps.
fn stores(sample: &Path) -> Result<Stores, Box<dyn Error>> {
    let files = FileStore::open(&sample.join("files"))?;
    let file = Store { kind: StoreKind::File, access: Access::Readable(Arc::new(files)) };
    let lab = Store { kind: StoreKind::Remote, access: Access::Reference("the laboratory keeps the bytes".into()) };
    let by_id = BTreeMap::from([(DriverId("file".into()), file), (DriverId("lab".into()), lab)]);
    Ok(Stores { default: DriverId("file".into()), by_id })
}

fn options(spool_folder: &Path) -> Options {
    Options {
        run: new_run_id(),
        agent: Agent { user: "backup".into(), host: "example".into(), program: "0.1.0".into() },
        selection: Selection::default(),
        rerun: false,
        dry_run: false,
        limit: None,
        jobs: 2,
        time_budget: None,
        verify_every: None,
        audit_every: None,
        presence_check: None,
        bandwidth_limit: None,
        auxiliary_objects: true,
        cached_exports: false,
        max_disappearance: 0.05,
        max_change: 0.05,
        overrides: Overrides::default(),
        spool_folder: spool_folder.to_owned(),
    }
}

/// Prints each verdict as it falls.
struct Lines;

impl Observer for Lines {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Judged { id, name, status, reason, .. } => {
                println!("{:12} {id} {name} {}", status.name(), reason.unwrap_or_default());
            }
            Event::Warning(text) | Event::Notice(text) => println!("warning: {text}"),
            Event::Planning { .. } | Event::Planned { .. } | Event::Bytes(_) => {}
        }
    }
}

#[test]
fn the_sample_is_safe_after_one_run() -> Result<(), Box<dyn Error>> {
    main()
}
