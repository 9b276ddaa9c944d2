//! Makes a Dataverse with very many tiny data files: `bulk_world FILES FOLDER` writes them into FOLDER, laid out as a
//! store of type `file`, and prints the SQL of a Dataverse 6.9's database that names them; without FOLDER, only that. For
//! measurements.
#![allow(clippy::print_stdout, reason = "a program for developers")]

use std::path::Path;

use dvb_testkit::dataverse::{Schema, bulk_sql, bulk_write};

const PER_DATASET: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (files, folder) = match arguments.as_slice() {
        [files] => (files.parse()?, None),
        [files, folder] => (files.parse()?, Some(folder)),
        _ => return Err("bulk_world FILES [FOLDER]".into()),
    };
    if let Some(folder) = folder {
        bulk_write(Path::new(folder), files, PER_DATASET);
    }
    println!("{}\n{}", Schema::V6_9.sql(), bulk_sql(Schema::V6_9, files, PER_DATASET));
    Ok(())
}
