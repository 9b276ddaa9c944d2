//! What the caller of a run decides. There are no defaults: the caller says the limits.

use std::path::PathBuf;
use std::time::Duration;

use dvb_ledger::Agent;
use dvb_model::RunId;

use crate::command::selection::Selection;

/// How a run goes about its work.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this run.
    pub run: RunId,
    /// Who gives the command, for the lock, the event log and the reports.
    pub agent: Agent,
    /// Only these data files; with an empty selection, all.
    pub selection: Selection,
    /// Also look, at the destination, at copies that are recorded as proved.
    pub rerun: bool,
    /// Only count what is due; nothing is locked, stored or recorded.
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
