//! What ends a command that does not end: by promise 1 of a run, what is recorded is true at any moment.
//!
//! Whoever asked for JSON gets one object, from whichever comes first: the command, or this.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use dvb_engine::{CancelToken, ENDS_WITHIN, ExitStatus};

use crate::output::{self, Screen};

/// The command is given a second less than it was promised to take at most.
const EARLY: Duration = Duration::from_secs(1);

/// How the screen is wanted.
static SCREEN: OnceLock<Screen> = OnceLock::new();
/// How the command ends, where that is said already.
static DECIDED: OnceLock<ExitStatus> = OnceLock::new();
/// Who prints the result.
static PRINTS: AtomicU8 = AtomicU8::new(NOBODY);
const NOBODY: u8 = 0;
const COMMAND: u8 = 1;
const LAST_RESORT: u8 = 2;

/// Says how the screen is wanted.
pub(crate) fn prepare(screen: Screen) {
    SCREEN.get_or_init(|| screen);
}

/// The command prints its result now. Does not return where it is too late for that: the process is ending.
pub(crate) fn result_is_coming() {
    if PRINTS.compare_exchange(NOBODY, COMMAND, Ordering::SeqCst, Ordering::SeqCst) == Err(LAST_RESORT) {
        loop {
            thread::park();
        }
    }
}

/// The result is known and said; what follows tells others of it.
pub(crate) fn is_decided(ending: ExitStatus) {
    DECIDED.get_or_init(|| ending);
}

/// Ends the process when the time budget was over for so long that everything had to have ended.
pub(crate) fn watch(stop: &CancelToken, budget: Option<Duration>) {
    let Some(budget) = budget else { return };
    let stop = stop.clone();
    thread::spawn(move || {
        thread::sleep((budget + ENDS_WITHIN).saturating_sub(EARLY));
        end(&stop, "the time budget is over", ExitStatus::Unreachable);
    });
}

/// Ends the process, and says what it waited for.
pub(crate) fn end(stop: &CancelToken, why: &str, ending: ExitStatus) -> ! {
    let ending = DECIDED.get().copied().unwrap_or(ending);
    let hung = stop.waiting_for();
    let hung = if hung.is_empty() { "nobody knows what for".to_owned() } else { format!("for {}", hung.join(", ")) };
    let text = format!(
        "{why}, and the command still waits, {hung}; it was terminated. What is recorded is correct, and the next run continues"
    );
    let is_mine = PRINTS.compare_exchange(NOBODY, LAST_RESORT, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    if let Some(screen) = SCREEN.get() {
        screen.fail(&text);
        if screen.json && is_mine {
            output::print_error_object(&text, ending.code());
        }
    }
    signal_hook::low_level::exit(ending.code().into());
}
