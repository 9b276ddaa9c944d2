//! What lies beside the copies and may hold their bytes or their names: temporaries and the journals of uploads.

use dvb_model::{DvObjectId, ObjectKey};
use dvb_storage::{Purger, SinkError};

use super::destination::{Of, Site, Thing};
use super::list::KeyOf;
use super::wait::Wait;
use crate::copies::spelling;

/// Folders of the backup's own, each with a folder for each run.
const FOLDERS: [&str; 2] = ["tmp/", "uploads/"];

impl Site<'_> {
    /// Deletes what other runs have left: under the lock, all of them are over.
    pub(super) fn delete_temporaries(&mut self) -> Result<(), Wait> {
        for folder in FOLDERS {
            let own = self.run.0.clone();
            let is_left = move |key: &ObjectKey| {
                let rest = key.as_str().split_once('/').and_then(|(_, rest)| rest.strip_prefix(folder));
                let run = rest.and_then(|rest| rest.split('/').next());
                run.is_some_and(|run| spelling::of_run(run) != own)
            };
            self.delete_rounds(Of::Ours, &mut |purger| {
                let keys = purger.own_keys(folder)?;
                own_things("temporary", purger, keys.into_iter().filter(&is_left))
            })?;
        }
        Ok(())
    }
}

/// What is held of keys of the backup's own, which belong to no data file.
pub(super) fn own_things(
    role: &str,
    purger: &mut dyn Purger,
    keys: impl Iterator<Item = ObjectKey>,
) -> Result<Vec<Thing>, SinkError> {
    let mut things = Vec::new();
    for key in keys {
        let held = purger.held(&key)?;
        let of = KeyOf { id: DvObjectId(0), role: role.to_owned(), key, sha256: None };
        things.extend(held.into_iter().map(|held| Thing { id: None, of: of.clone(), held }));
    }
    Ok(things)
}
