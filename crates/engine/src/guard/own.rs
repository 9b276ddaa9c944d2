//! Small objects of the backup's own at a destination.

use std::io::Read as _;

use dvb_model::{DestinationName, ObjectKey};
use dvb_storage::{Cause, CommitRequest, InMemory, SinkError, SinkSession, StageRequest, Unstaged, chain};

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;

/// Stores one, proved and flushed. Inner error: it was not stored; what lay at its key is still there.
pub(crate) fn put(
    session: &mut dyn SinkSession,
    key: &ObjectKey,
    bytes: Vec<u8>,
    replace: bool,
) -> Result<Result<(), Unstaged>, SinkError> {
    let payload = Box::new(InMemory::new(bytes, session.algorithms()));
    let silent = || SinkError::new(Cause::Io, format!("the destination gave no answer for {key}"));
    let staged = session.stage(vec![StageRequest { key: key.clone(), payload }])?.pop().ok_or_else(silent)?;
    let staged = match staged {
        Ok(it) => it,
        Err(error) => return Ok(Err(error)),
    };
    let proved = session.commit(vec![CommitRequest { staged, replace }])?.pop().ok_or_else(silent)?;
    Ok(proved.map(drop))
}

/// Reads one, up to `limit` bytes. Inner error: it is not there, or cannot be read.
pub(super) fn get(
    session: &mut dyn SinkSession,
    key: &ObjectKey,
    limit: u64,
) -> Result<Result<Vec<u8>, SinkError>, SinkError> {
    let body = match session.open(key) {
        Ok(it) => it,
        Err(error) if matches!(error.cause, Cause::Transient | Cause::Unavailable) => return Err(error),
        Err(error) => return Ok(Err(error)),
    };
    let mut bytes = Vec::new();
    match body.take(limit).read_to_end(&mut bytes) {
        Ok(_) => Ok(Ok(bytes)),
        Err(error) => Err(SinkError::because(Cause::Transient, format!("reading {key} failed"), error)),
    }
}

/// Nothing can be stored at a destination, so nothing can be proved of it.
pub(super) fn refused(error: Unstaged, destination: &DestinationName, key: &ObjectKey) -> RunError {
    let why = match &error {
        Unstaged::Sink(error) => error.chain(),
        Unstaged::Verify(_) | Unstaged::Payload(_) => chain(&error),
    };
    let text = format!("destination {destination}: {key} cannot be stored: {why}");
    RunError::Destination { text, ending: ExitStatus::from(&error) }
}
