//! Reads the objects that a catalogue names in their store, without a ledger, a destination or a run: what an inventory,
//! or a migration, begins with. `cargo run -p dvb-examples --example read_catalogue`
#![allow(clippy::print_stdout, reason = "an example")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use dvb_catalog::{Catalog as _, Detail, Entry, SnapshotCatalog};
use dvb_engine::{Access, Scope, Store, Stores};
use dvb_fixity::{Algorithm, Hasher, Measured};
use dvb_fs::FileStore;
use dvb_model::{DriverId, StoreKind};

fn main() -> Result<(), Box<dyn Error>> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample");
    let id = DriverId("file".into());
    let access = Access::Readable(Arc::new(FileStore::open(&sample.join("files"))?));
    let by_id = BTreeMap::from([(id.clone(), Store { kind: StoreKind::File, access })]);
    let stores = Stores { default: id, by_id };

    let (mut objects, mut bytes) = (0, 0);
    SnapshotCatalog::new(sample.join("catalogue.jsonl")).read(Detail::Full, &mut |entry| {
        let Entry::DataFile(file) = entry else { return ControlFlow::Continue(()) };
        match stores.scope(&file) {
            Scope::Covered(place) => {
                // A table has two objects: what Dataverse made of it, and what was uploaded.
                for location in place.candidates() {
                    match place.source.open(&location).map(|object| measure(object.body)) {
                        Ok(Ok(measured)) => {
                            let digests: Vec<_> = measured.digests.iter().map(ToString::to_string).collect();
                            println!("{} {:?}: {}", file.id, file.label(), digests.join(" "));
                            (objects, bytes) = (objects + 1, bytes + measured.size);
                        }
                        Ok(Err(error)) => println!("{}: cannot be read to its end: {error}", file.id),
                        Err(error) => println!("{}: {}", file.id, error.chain()),
                    }
                }
            }
            Scope::NotCovered(why) => println!("{}: {}", file.id, why.reason(&file)),
            _ => println!("{}: nothing says where its bytes are", file.id),
        }
        ControlFlow::Continue(())
    })?;
    println!("{objects} objects, {bytes} bytes");
    if objects == 0 { Err("the sample has objects".into()) } else { Ok(()) }
}

/// Size and digests of all that can be read, in memory that does not grow with it.
fn measure(mut body: impl Read) -> io::Result<Measured> {
    let mut hasher = Hasher::new(&[Algorithm::Md5]);
    let mut piece = vec![0; 1 << 16];
    loop {
        match body.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&piece[..n]),
        }
    }
}

#[test]
fn the_samples_objects_are_read() -> Result<(), Box<dyn Error>> {
    main()
}
