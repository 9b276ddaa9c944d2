//! SIGINT and SIGTERM: the first ends a run in order, the second at once.

use std::io;
use std::thread;
use std::time::Duration;

use dvb_engine::{CancelToken, ExitStatus};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::CommandFailure;
use crate::last_resort;

/// How long a run may take to end in order.
const PATIENCE: Duration = Duration::from_secs(10);

/// What stops a command from now on: a signal, or the end of its time.
pub(crate) fn stop(budget: Option<Duration>) -> Result<CancelToken, CommandFailure> {
    let stop = CancelToken::new().within(budget);
    watch(stop.clone()).map_err(CommandFailure::Signals)?;
    last_resort::watch(&stop, budget);
    Ok(stop)
}

/// From now on the first signal sets `stop`. Ten seconds later, or at a second signal, the process ends as it stands:
/// what is recorded is true at any moment.
fn watch(stop: CancelToken) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".into()).spawn(move || {
        let mut first = None;
        for signal in signals.forever() {
            if let Some(first) = first {
                last_resort::end(&stop, "a second signal came", ending(first));
            }
            first = Some(signal);
            stop.signal(signal);
            let stop = stop.clone();
            thread::spawn(move || {
                thread::sleep(PATIENCE);
                let why = format!("a signal came {} s ago", PATIENCE.as_secs());
                last_resort::end(&stop, &why, ending(signal));
            });
        }
    })?;
    Ok(())
}

fn ending(signal: i32) -> ExitStatus {
    ExitStatus::Signalled(u8::try_from(signal).unwrap_or(0))
}
