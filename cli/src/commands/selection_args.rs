//! SELECTION: which data files a command is about.

use dvb_build::{self as build, CatalogueReader};
use dvb_catalog::Catalog;
use dvb_engine::{Asked, CancelToken, Names, Resolved, RunError, Selection, asking};
use dvb_ledger::Ledger;
use dvb_model::DestinationName;

use super::Context;
use crate::exit::CommandFailure;
use crate::output::plain;

/// Which data files are meant; all without these options.
#[derive(Debug, clap::Args)]
pub(crate) struct SelectionArgs {
    /// Only the data files of this dataset, by any of its names; repeatable
    ///
    /// Its PID with or without `doi:` or `hdl:`, in any case, one that it had before, or an address: of doi.org,
    /// hdl.handle.net, or of its page in Dataverse. The PID or page of a data file selects that file. What a name was
    /// taken for is said, if it is not the PID as Dataverse has it.
    #[arg(long, value_name = "PID", help_heading = "Selection")]
    dataset: Vec<String>,

    /// Only the data file with this id in Dataverse's database; repeatable
    ///
    /// Its own PID and the address of its page are taken too.
    #[arg(long, value_name = "ID", help_heading = "Selection")]
    file: Vec<String>,

    /// Only the data file with this storage identifier, as it stands in Dataverse's database; repeatable
    #[arg(long, value_name = "X", help_heading = "Selection")]
    storage_identifier: Vec<String>,

    /// Only the data files in this store, by its driver id; repeatable
    ///
    /// Several options of one kind widen the selection, several kinds narrow it.
    #[arg(long, value_name = "DRIVER", help_heading = "Selection")]
    store: Vec<String>,
}

impl SelectionArgs {
    pub(crate) fn asked(&self) -> Asked {
        Asked {
            datasets: self.dataset.clone(),
            files: self.file.clone(),
            storage_identifiers: self.storage_identifier.iter().cloned().collect(),
            stores: self.store.iter().cloned().collect(),
        }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.asked().is_everything()
    }
}

/// The selection that is asked for, by the first of `from` that knows every name; says what was taken for what.
pub(super) fn resolve(
    asked: &Asked,
    context: &Context,
    from: &[Names<'_>],
    default_store: &str,
    stop: &CancelToken,
) -> Result<Selection, CommandFailure> {
    Ok(said(ask(asked, from, default_store, stop)?, context))
}

/// Asks; a database that does not answer is waited for no longer than `stop` allows.
fn ask(asked: &Asked, from: &[Names<'_>], default_store: &str, stop: &CancelToken) -> Result<Resolved, RunError> {
    match from.iter().find_map(catalogue_of) {
        Some(catalogue) if !asked.is_everything() => {
            let name = format!("Dataverse's database {}", catalogue.describe());
            asking(stop, &name, || catalogue.interrupt(), || asked.resolve(from, default_store))
        }
        Some(_) | None => asked.resolve(from, default_store),
    }
}

fn catalogue_of<'a>(names: &Names<'a>) -> Option<&'a dyn Catalog> {
    match *names {
        Names::Catalog(it) => Some(it),
        Names::Ledger(..) => None,
    }
}

/// Says what was taken for what.
fn said(resolved: Resolved, context: &Context) -> Selection {
    resolved.taken.iter().for_each(|it| context.screen.say(&format!("dataverse-backup: {}", plain(it))));
    resolved.selection
}

/// The same by what the ledger knows of these destinations. The catalogue is read for names of datasets, which may have
/// changed since the last run, and for what the ledger does not know.
pub(super) fn resolve_by_ledger(
    asked: &Asked,
    context: &Context,
    ledger: &dyn Ledger,
    destinations: &[&DestinationName],
    catalogue: impl FnOnce() -> Result<CatalogueReader, CommandFailure>,
    stop: &CancelToken,
) -> Result<Selection, CommandFailure> {
    if asked.is_everything() {
        return Ok(Selection::default());
    }
    let default_store = build::default_store(&context.config, !asked.stores.is_empty())?;
    let mut from: Vec<Names<'_>> = destinations.iter().map(|it| Names::Ledger(ledger, it)).collect();
    let by_ledger = match asked.resolve(&from, &default_store.0) {
        Err(error @ RunError::Unknown { .. }) => Err(error),
        Ok(resolved) if asked.datasets.is_empty() => return Ok(said(resolved, context)),
        other => Ok(other?),
    };
    let without_catalogue = |why: &dyn std::fmt::Display| {
        // An unknown name is an error of its own.
        if by_ledger.is_ok() {
            let text = format!("names are those of the last run, because the catalogue cannot be read: {why}");
            context.screen.say(&format!("dataverse-backup: {}", plain(&text)));
        }
    };
    let catalogue = match catalogue() {
        Ok(it) => it,
        Err(failure) => {
            without_catalogue(&failure.text());
            return Ok(said(by_ledger?, context));
        }
    };
    from.push(Names::Catalog(catalogue.as_catalog()));
    match ask(asked, &from, &default_store.0, stop) {
        Err(error @ RunError::Catalog(_)) => {
            without_catalogue(&CommandFailure::from(error).text());
            Ok(said(by_ledger?, context))
        }
        done => Ok(said(done?, context)),
    }
}
