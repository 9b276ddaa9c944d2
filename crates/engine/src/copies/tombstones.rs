//! Tombstones at a destination: what was purged there, without names, so that it does not come back when the ledger is lost.
//!
//! Each purge leaves one object before it deletes anything, and another one when nothing is left. Both are JSON.

use std::collections::HashSet;
use std::io::Read as _;

use dvb_ledger::{Ledger, Tombstone};
use dvb_model::{DestinationName, KeyError, ObjectKey, RunId};
use dvb_storage::{Cause, SinkError, SinkSession};
use serde::{Deserialize, Serialize};

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::copies::spelling;

/// What stands before the purge in a tombstone's name.
pub(crate) const BEFORE: &str = "tombstone-";
const BEHIND: &str = ".json";
/// The same of what proves that nothing is left.
const PROOF: &str = ".proof.json";
/// `format` in it.
const FORMAT: &str = "dataverse-backup tombstone";
const VERSION: u32 = 1;
/// What is longer is none: ten million data files would not be purged at once.
const LONGEST: u64 = 1 << 30;

/// One purge at one destination.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TombstoneFile {
    format: String,
    version: u32,
    /// What the file is for.
    #[serde(default)]
    about: String,
    pub(crate) tombstones: Vec<Tombstone>,
}

impl TombstoneFile {
    pub(crate) fn new(tombstones: Vec<Tombstone>) -> Self {
        let about = "The data files with these ids were deleted here by law, with all their copies. Do not remove this file: it \
                     keeps them from being copied or restored again";
        Self { format: FORMAT.to_owned(), version: VERSION, about: about.to_owned(), tombstones }
    }

    pub(crate) fn bytes(&self) -> Result<Vec<u8>, SinkError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|it| SinkError::because(Cause::Io, "cannot write a tombstone", std::io::Error::from(it)))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Where a purge leaves its tombstones before it deletes anything.
pub(crate) fn key_of(purge: &RunId) -> Result<ObjectKey, KeyError> {
    ObjectKey::own(&format!("{BEFORE}{purge}{BEHIND}"))
}

/// Where it leaves them with the proof.
pub(crate) fn proof_of(purge: &RunId) -> Result<ObjectKey, KeyError> {
    ObjectKey::own(&format!("{BEFORE}{purge}{PROOF}"))
}

/// The purge of a tombstone's name, and whether it is the one with the proof.
fn purge_of(name: &str) -> Option<(RunId, bool)> {
    let rest = name.strip_prefix(BEFORE)?;
    let (purge, is_proof) = match rest.strip_suffix(PROOF) {
        Some(purge) => (purge, true),
        None => (rest.strip_suffix(BEHIND)?, false),
    };
    // Some destinations make letters small.
    Some((RunId(spelling::of_run(purge)), is_proof))
}

/// The tombstones among the backup's own names that this ledger does not know, those with a proof last.
fn unknown(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    names: &[String],
) -> Result<Vec<String>, dvb_ledger::LedgerError> {
    let mut there: Vec<_> = names.iter().filter_map(|name| Some((purge_of(name)?, name))).collect();
    if there.is_empty() {
        return Ok(Vec::new());
    }
    let known = ledger.tombstones()?;
    let here = || known.iter().filter(|it| it.destination == *destination);
    let begun: HashSet<&RunId> = here().map(|it| &it.purge).collect();
    let proved: HashSet<&RunId> = here().filter(|it| it.proved_at.is_some()).map(|it| &it.purge).collect();
    there.retain(|((purge, is_proof), _)| !if *is_proof { &proved } else { &begun }.contains(purge));
    there.sort_by_key(|it| it.0.1);
    Ok(there.into_iter().map(|it| it.1.clone()).collect())
}

/// Takes over into the ledger what tombstones among these names of the backup's own say that it does not know, and tells how
/// many data files that is about.
///
/// Inner error: one of them cannot be read, so that nobody knows what must not come back.
pub(crate) fn take_over(
    session: &mut dyn SinkSession,
    ledger: &dyn Ledger,
    destination: &DestinationName,
    run: &RunId,
    names: &[String],
) -> Result<Result<usize, RunError>, SinkError> {
    let unknown = match unknown(ledger, destination, names) {
        Ok(it) => it,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut count = 0;
    for name in unknown {
        let tombstones = match read(session, &name)? {
            Ok(it) => it,
            Err(why) => {
                let text = format!(
                    "destination {destination}: the tombstone {name} cannot be read: {why}. It names data files that were \
                     deleted by law; nothing is copied or restored before it can be read"
                );
                return Ok(Err(RunError::Destination { text, ending: ExitStatus::Refused }));
            }
        };
        // They lie at this destination, whatever it was called then.
        let here: Vec<Tombstone> =
            tombstones.into_iter().map(|it| Tombstone { destination: destination.clone(), ..it }).collect();
        if let Err(error) = ledger.bury(destination, run, &here) {
            return Ok(Err(error.into()));
        }
        let ids: Vec<_> = here.iter().filter(|it| it.proved_at.is_some()).map(|it| it.id).collect();
        if let Err(error) = ledger.free_keys(destination, &ids) {
            return Ok(Err(error.into()));
        }
        count += here.len();
    }
    Ok(Ok(count))
}

/// The same after a listing of its own. An account that may not list knows only what the ledger has.
pub(crate) fn look_for(
    session: &mut dyn SinkSession,
    ledger: &dyn Ledger,
    destination: &DestinationName,
    run: &RunId,
) -> Result<Result<usize, RunError>, SinkError> {
    match session.list_own(BEFORE) {
        Err(error) if error.cause == Cause::Forbidden => Ok(Ok(0)),
        names => take_over(session, ledger, destination, run, &names?),
    }
}

/// Inner error: why it cannot be read.
fn read(session: &mut dyn SinkSession, name: &str) -> Result<Result<Vec<Tombstone>, String>, SinkError> {
    let key = match ObjectKey::own(name) {
        Ok(it) => it,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let body = match session.open(&key) {
        Ok(it) => it,
        Err(error) if matches!(error.cause, Cause::Transient | Cause::Unavailable) => return Err(error),
        Err(error) => return Ok(Err(error.chain())),
    };
    let mut bytes = Vec::new();
    if let Err(error) = body.take(LONGEST).read_to_end(&mut bytes) {
        return Err(SinkError::because(Cause::Transient, format!("reading {key} failed"), error));
    }
    Ok(match serde_json::from_slice::<TombstoneFile>(&bytes) {
        Ok(it) if it.format == FORMAT && it.version == VERSION => Ok(it.tombstones),
        Ok(it) => Err(format!("its format is {:?}, version {}", it.format, it.version)),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_tell_the_purge() {
        let purge = RunId("20260102T030405Z-0badcafe".to_owned());
        let name = |key: ObjectKey| key.as_str().rsplit('/').next().unwrap().to_owned();
        assert_eq!(purge_of(&name(key_of(&purge).unwrap())), Some((purge.clone(), false)));
        assert_eq!(purge_of(&name(proof_of(&purge).unwrap())), Some((purge.clone(), true)));
        assert_eq!(purge_of("tombstone-20260102t030405z-0badcafe.json"), Some((purge, false)));
        assert_eq!(purge_of("catalogue-20260102T030405Z-0badcafe.jsonl.zst"), None);
    }
}
