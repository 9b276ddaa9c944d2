//! SELECTION: which data files a command is about.

use dvb_engine::Selection;
use dvb_model::DvObjectId;

use crate::args;

/// Which data files are meant; all without these options.
#[derive(Debug, clap::Args)]
pub(crate) struct Selecting {
    /// Only the data files of this dataset, by its PID such as doi:10.5072/FK2/ABC; repeatable
    #[arg(long, value_name = "PID", value_parser = args::pid, help_heading = "Selection")]
    dataset: Vec<String>,

    /// Only the data file with this id in Dataverse's database; repeatable
    #[arg(long, value_name = "ID", help_heading = "Selection")]
    file: Vec<i64>,

    /// Only the data file with this storage identifier, as it stands in Dataverse's database; repeatable
    #[arg(long, value_name = "X", help_heading = "Selection")]
    storage_identifier: Vec<String>,

    /// Only the data files in this store, by its driver id; repeatable
    ///
    /// Several options of one kind widen the selection, several kinds narrow it.
    #[arg(long, value_name = "DRIVER", help_heading = "Selection")]
    store: Vec<String>,
}

impl Selecting {
    pub(crate) fn selection(&self) -> Selection {
        Selection {
            datasets: self.dataset.iter().cloned().collect(),
            files: self.file.iter().copied().map(DvObjectId).collect(),
            storage_identifiers: self.storage_identifier.iter().cloned().collect(),
            stores: self.store.iter().cloned().collect(),
        }
    }
}
