//! Whether the copies of a destination are there at all, before anything is recorded as missing.

use dvb_model::ObjectKey;

use crate::command::error::RunError;
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};

/// Copies that are looked for before anything is recorded as missing.
pub(crate) const PROBES: u8 = 100;
/// With fewer copies than this, all of them may well be lost at once.
const PROBED_FROM: usize = 20;

/// An empty folder where a disk should be mounted is not a million lost copies.
pub(crate) fn probe(at: DestinationContext<'_>, contact: &Contact, keys: &[ObjectKey]) -> Result<(), RunError> {
    if keys.len() < PROBED_FROM {
        return Ok(());
    }
    let mut connection = Connection::new(at, contact);
    let found = match connection.with(|it| it.stat(keys)) {
        Ok(found) => found,
        Err(Interrupted::Run(ending, text)) => return Err(RunError::Destination { text, ending }),
        // The pass tries again, and says what it finds.
        Err(Interrupted::Session(_) | Interrupted::Stopped) => return Ok(()),
    };
    connection.leave_for_reading();
    if found.iter().all(|it| matches!(it, Ok(None))) {
        return Err(RunError::AllMissing { destination: at.destination.0.clone(), probed: keys.len() });
    }
    Ok(())
}
