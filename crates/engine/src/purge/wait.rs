//! Why a destination of a purge waits, and how the call ends therefore.

use dvb_ledger::LedgerError;
use dvb_storage::{SinkError, Unstaged, chain};

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::copies::session::Interrupted;

/// Why a destination waits.
#[derive(Debug)]
pub(super) struct Wait {
    pub(super) reason: String,
    pub(super) ending: ExitStatus,
}

impl From<SinkError> for Wait {
    fn from(error: SinkError) -> Self {
        Self { ending: ExitStatus::of_cause(error.cause), reason: error.chain() }
    }
}

impl From<LedgerError> for Wait {
    fn from(error: LedgerError) -> Self {
        Self { ending: ExitStatus::from(&error), reason: chain(&error) }
    }
}

impl From<RunError> for Wait {
    fn from(error: RunError) -> Self {
        Self { ending: ExitStatus::from(&error), reason: chain(&error) }
    }
}

impl From<Interrupted> for Wait {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Session(error) => error.into(),
            Interrupted::Run(ending, reason) => Self { reason, ending },
            Interrupted::Stopped => Self::stopped(),
        }
    }
}

impl From<Unstaged> for Wait {
    fn from(error: Unstaged) -> Self {
        Self { ending: ExitStatus::from(&error), reason: chain(&error) }
    }
}

impl From<std::io::Error> for Wait {
    fn from(error: std::io::Error) -> Self {
        let ending = if dvb_model::is_full(&error) { ExitStatus::NoSpace } else { ExitStatus::NotSafe };
        Self { reason: format!("cannot use the folder for temporary files: {error}"), ending }
    }
}

impl Wait {
    pub(super) fn stopped() -> Self {
        Self { reason: "stopped; the next call goes on".to_owned(), ending: ExitStatus::Stopped }
    }
}
