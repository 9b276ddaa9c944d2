//! `init`: makes the ledger, or brings it up to date.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;

use dvb_engine::Ending;
use dvb_ledger::Migration;
use serde::Serialize;

use super::Context;
use crate::config::{Config, LedgerTarget};
use crate::exit::Failure;
use crate::output::Verbosity;
use crate::wiring;

/// Make the ledger, or bring it up to date
///
/// Makes the tables of the backup database that [Database] BackupDatabase names, or brings them up to date. A table
/// `datafilestatus` of Dataverse's original script that is found there is adopted: its files are proved where they
/// lie, and not sent again. Calling it once more changes nothing.
///
/// A PostgreSQL database has to be there already (`createdb`). For a ledger in a file, the folder of the file is made
/// if only that one is missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Done {
    ledger: String,
    from: u32,
    to: u32,
    adopted: Option<u64>,
    exit_code: u8,
}

pub(crate) fn run(_: &Args, context: &Context) -> Result<Ending, Failure> {
    make_folder(&context.config)?;
    let ledger = wiring::ledger(&context.config, 1)?;
    let Migration { from, to, adopted } = ledger.migrate()?;
    let done = Done { ledger: ledger.describe(), from, to, adopted, exit_code: Ending::Safe.code() };
    if context.screen.json {
        context.screen.print_json(&done)?;
    } else if context.screen.verbosity != Verbosity::Quiet {
        context.screen.print(&text(&done))?;
    }
    Ok(Ending::Safe)
}

fn text(done: &Done) -> String {
    let Done { ledger, from, to, adopted, .. } = done;
    let mut text = match (from, to) {
        (0, to) => format!("ledger {ledger}: made, version {to}"),
        (from, to) if from == to => format!("ledger {ledger}: up to date already, version {to}"),
        (from, to) => format!("ledger {ledger}: brought from version {from} to version {to}"),
    };
    if let Some(rows) = adopted {
        text += &format!(
            "\nadopted {rows} rows of the original's datafilestatus that are OK: the next run proves these files where \
             they lie. The table is now datafilestatus_original; a view takes its place"
        );
    }
    text
}

/// The folder of a ledger in a file. More than the last folder missing is more likely a mistyped path, or a disk that is
/// not mounted.
pub(super) fn make_folder(config: &Config) -> Result<(), Failure> {
    let LedgerTarget::Sqlite(ledger) = &config.database.ledger else { return Ok(()) };
    let Some(folder) = ledger.parent() else { return Ok(()) };
    let made = match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), |it| fs::File::open(it)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    };
    let remedy = "make it, or mend the path in [Database] BackupDatabase";
    made.map_err(|source| Failure::File { doing: "make the ledger's folder", path: folder.to_owned(), remedy, source })
}
