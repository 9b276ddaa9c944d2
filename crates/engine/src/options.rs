//! What the caller of a run decides. There are no defaults: the caller says the limits.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use dvb_ledger::{EntryKind, Held, StateDetail};
use dvb_model::{DataFile, DvObjectId, RunId};

/// How a run goes about its work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this run.
    pub run: RunId,
    /// Name of this host, for the lock and the reports.
    pub host: String,
    /// Only these data files; with an empty selection, all.
    pub selection: Selection,
    /// Also look, at the destination, at copies that are recorded as proved.
    pub rerun: bool,
    /// Only count.
    pub dry_run: bool,
    /// Stop after this many data files.
    pub limit: Option<u64>,
    /// Workers, each with a session of its own; at least 1.
    pub jobs: usize,
    /// Begin no more work after this long.
    pub time_budget: Option<Duration>,
    /// After copying, and in the time that is left, look again at a share of the copies, so that no proof gets older.
    pub verify_every: Option<Duration>,
    /// Look by listings, beside the copying and for so long at most, whether what is safe is still in its store with its
    /// size. What there is no time for, a later run looks at first.
    pub presence_check: Option<Duration>,
    /// After copying, and in the time that is left, read a share of the data files again in their stores, so that each is
    /// read within this time.
    pub audit_every: Option<Duration>,
    /// Bytes a second over all workers.
    pub bandwidth_limit: Option<u64>,
    /// Copy auxiliary files, provenance and dataset logos too.
    pub auxiliary_objects: bool,
    /// Copy cached metadata exports too.
    pub cached_exports: bool,
    /// The share of the known data files that may leave the catalogue between two runs, 0.05 for 5 %.
    pub max_disappearance: f64,
    /// The share of the known data files that may have other bytes and other checksums all at once.
    pub max_change: f64,
    /// Which brakes the caller takes off.
    pub overrides: Overrides,
    /// A folder with room for the list of what is due (about 100 bytes a data file).
    pub spool_folder: PathBuf,
}

impl Options {
    /// Whether the whole catalogue is to be looked at.
    pub(crate) fn is_whole(&self) -> bool {
        self.selection.is_everything() && self.limit.is_none()
    }
}

/// What the administrator has looked into and takes upon himself. Each takes off one brake of a run and nothing else, and
/// stands in its summary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Overrides {
    /// More data files than [`Options::max_disappearance`] may have left the catalogue.
    pub disappearance: bool,
    /// More data files than [`Options::max_change`] may have changed.
    pub changes: bool,
    /// All copies of the destination are lost: what is recorded as proved is looked at, and copied again.
    pub copies_lost: bool,
    /// The destination becomes this installation's, whosever it was.
    pub take_over: bool,
}

impl Overrides {
    /// Those that were given, as the command line spells them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.disappearance, "accept-disappearance"),
            (self.changes, "accept-changes"),
            (self.copies_lost, "copies-lost"),
            (self.take_over, "take-over"),
        ];
        all.into_iter().filter(|it| it.0).map(|it| it.1).collect()
    }
}

impl Options {
    /// Whether copies that are recorded as proved are looked at again, at the destination.
    pub(crate) fn looks_again(&self) -> bool {
        self.rerun || self.overrides.copies_lost
    }
}

/// Which data files are meant. Several of one kind widen it, several kinds narrow it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// By PID of the dataset, as the catalogue has it ([`Asked`](crate::Asked) finds it by any other name).
    pub datasets: BTreeSet<String>,
    /// Other PIDs of these datasets, under which the ledger may know them. They select nothing by themselves.
    pub earlier_pids: BTreeSet<String>,
    /// Data files that were named where datasets are: they widen `datasets`.
    pub named_files: BTreeSet<DvObjectId>,
    /// By id.
    pub files: BTreeSet<DvObjectId>,
    /// By storage identifier as it stands in the database.
    pub storage_identifiers: BTreeSet<String>,
    /// By driver id; an identifier without a prefix belongs to the default store.
    pub stores: BTreeSet<String>,
}

impl Selection {
    /// Whether nothing is selected in particular, which means everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn has(&self, file: &DataFile, default_store: &str) -> bool {
        let identifier = file.storage_identifier.as_deref().unwrap_or("");
        let pid = file.dataset.as_ref().map_or("", |it| it.pid.as_str());
        self.has_parts(pid, file.id, identifier, default_store)
    }

    fn has_parts(&self, pid: &str, id: DvObjectId, identifier: &str, default_store: &str) -> bool {
        let store = identifier.split_once("://").map_or(default_store, |(driver, _)| driver);
        self.has_place(pid, id)
            && (self.files.is_empty() || self.files.contains(&id))
            && (self.storage_identifiers.is_empty() || self.storage_identifiers.contains(identifier))
            && (self.stores.is_empty() || self.stores.contains(store))
    }

    fn has_place(&self, pid: &str, id: DvObjectId) -> bool {
        (self.datasets.is_empty() && self.named_files.is_empty()) || self.has_pid(pid) || self.named_files.contains(&id)
    }

    fn has_pid(&self, pid: &str) -> bool {
        self.datasets.contains(pid) || self.earlier_pids.contains(pid)
    }

    /// Whether a copy that the ledger knows belongs to what is meant.
    pub(crate) fn has_copy(&self, held: &Held, default_store: &str) -> bool {
        let pid = held.dataset.as_deref().unwrap_or("");
        if held.kind == EntryKind::Dataset {
            return self.has_dataset(pid);
        }
        let identifier = held.storage_identifier.as_deref().unwrap_or("");
        self.has_parts(pid, held.copy.id, identifier, default_store)
    }

    /// Whether a data file that the ledger knows is meant.
    #[must_use]
    pub fn has_detail(&self, detail: &StateDetail, default_store: &str) -> bool {
        let part = |it: &Option<String>| it.clone().unwrap_or_default();
        self.has_parts(&part(&detail.dataset), detail.id, &part(&detail.storage_identifier), default_store)
    }

    /// Whether it may mean the file's dataset: other files of a dataset say which versions it has.
    pub(crate) fn has_dataset_of(&self, file: &DataFile) -> bool {
        let pid = file.dataset.as_ref().map_or("", |it| it.pid.as_str());
        self.datasets.is_empty() || self.has_pid(pid)
    }

    /// Whether the own objects of a dataset are meant, its logo among them.
    #[must_use]
    pub fn has_dataset(&self, pid: &str) -> bool {
        self.is_everything()
            || (self.has_pid(pid)
                && self.files.is_empty()
                && self.storage_identifiers.is_empty()
                && self.stores.is_empty())
    }
}
