//! `catalogue export`: the catalogue as a snapshot.

use std::io;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use dvb_build as build;
use dvb_catalog::{Catalog, CatalogError, SnapshotCounts, write_snapshot};
use dvb_engine::ExitStatus;
use jiff::Timestamp;

use super::Context;
use crate::exit::CommandFailure;
use crate::report;

/// Work with the catalogue: the list of what Dataverse's database says exists
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Export(Export),
}

/// Write a snapshot of the catalogue
///
/// JSON Lines: a header, the datasets, the data files with all of their names, an end. It can take the database's
/// place, by [Database] Catalogue: file:PATH.
#[derive(Debug, clap::Args)]
struct Export {
    /// The file to write; stdout without it
    ///
    /// It takes its place only when it is whole. A name that ends in .zst is compressed.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let Action::Export(export) = &args.action;
    let reader = build::catalogue(&context.config)?;
    let catalog = reader.as_catalog();
    match &export.output {
        Some(path) => {
            let counts = to_file(catalog, path)?;
            tell(context, path, &counts)?;
        }
        None if context.screen.json => {
            return Err(CommandFailure::Usage(
                "--json needs -o FILE here: stdout is where the snapshot goes".to_owned(),
            ));
        }
        None => {
            write(catalog, &mut io::stdout().lock(), false)?;
        }
    }
    Ok(ExitStatus::Safe)
}

fn write(catalog: &dyn Catalog, out: &mut dyn io::Write, compress: bool) -> Result<SnapshotCounts, CommandFailure> {
    Ok(write_snapshot(catalog, out, &report::time(Timestamp::now()), compress)?)
}

fn to_file(catalog: &dyn Catalog, path: &Path) -> Result<SnapshotCounts, CommandFailure> {
    let failed = |source| CommandFailure::File {
        doing: "write the snapshot",
        path: path.to_owned(),
        remedy: "check the directory, its permissions and the free space",
        source,
    };
    let compress = path.extension().is_some_and(|it| it == "zst");
    // It names drafts and restricted files.
    dvb_build::replace_file(path, 0o600, |file| write(catalog, file, compress).map_err(Unwritten::Catalogue)).map_err(
        |unwritten| match unwritten {
            Unwritten::Catalogue(CommandFailure::Catalog(CatalogError::Full { source, .. })) => {
                CommandFailure::Catalog(CatalogError::Full { place: format!("for {}", path.display()), source })
            }
            Unwritten::Catalogue(failure) => failure,
            Unwritten::File(error) => failed(error),
        },
    )
}

/// Why a snapshot is not in its file.
enum Unwritten {
    Catalogue(CommandFailure),
    File(io::Error),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

fn tell(context: &Context, path: &Path, counts: &SnapshotCounts) -> Result<(), CommandFailure> {
    let SnapshotCounts { datasets, files, .. } = counts;
    if context.screen.json {
        let file = path.display().to_string();
        return context.screen.print_json(&serde_json::json!({
            "file": file, "datasets": datasets, "data_files": files, "exit_code": ExitStatus::Safe.code()
        }));
    }
    if context.screen.is_chatty() {
        let files = report::data_files(*files);
        context.screen.print(&format!("{}: {files} in {datasets} datasets", path.display()))?;
    }
    Ok(())
}
