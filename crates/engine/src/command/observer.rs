//! What happens during a run, told to whoever shows it.

use dvb_model::{DvObjectId, Status};

/// One thing that happens while a command works, for a progress bar, a line of text or a test.
#[derive(Debug)]
pub enum Event<'a> {
    /// The catalogue is being read and compared with the ledger; this many data files so far.
    Planning {
        /// Data files that were read of the catalogue so far.
        seen: u64,
    },
    /// It is known what is due.
    Planned {
        /// Data files to look at.
        files: u64,
        /// Their bytes, as far as Dataverse knows.
        bytes: u64,
    },
    /// Bytes were read of the source, on their way.
    Bytes(u64),
    /// There is a verdict on a data file.
    Judged {
        /// Id of the data file, or of the dataset whose own object it is.
        id: DvObjectId,
        /// PID of its dataset.
        dataset: Option<&'a str>,
        /// Its newest name, or its storage identifier; of a copy, its key.
        name: &'a str,
        /// What the command found, as a verdict of the ledger; nothing may be recorded of it.
        status: Status,
        /// Why, in a sentence; with `OK`, what was done or what the administrator should know.
        reason: Option<&'a str>,
    },
    /// The administrator should know.
    Warning(&'a str),
    /// Something was done that is to be said in any case: a destination was made.
    Notice(&'a str),
}

/// Shows a run: a progress bar, lines, a test.
pub trait Observer: Sync {
    /// Called from any worker.
    fn event(&self, event: &Event<'_>);
}

/// An observer for callers who show nothing to anybody.
pub struct NullObserver;

impl Observer for NullObserver {
    fn event(&self, _: &Event<'_>) {}
}
