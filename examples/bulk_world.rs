//! Makes a Dataverse with very many tiny data files: `bulk_world FILES FOLDER` writes them into FOLDER, laid out as a
//! store of type `file`, and prints the SQL of a Dataverse 6.9's database that names them. For measurements.
#![allow(clippy::print_stdout, reason = "a program for developers")]

use std::path::Path;

use dvb_testkit::dataverse::{Schema, bulk_sql, bulk_write};

const PER_DATASET: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [files, folder] = arguments.as_slice() else { return Err("bulk_world FILES FOLDER".into()) };
    let files = files.parse()?;
    bulk_write(Path::new(folder), files, PER_DATASET);
    println!("{}\n{}", Schema::V6_9.sql(), bulk_sql(Schema::V6_9, files, PER_DATASET));
    Ok(())
}
