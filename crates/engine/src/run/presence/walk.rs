//! The listings: each folder of each store once, from where the last night stopped.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dvb_model::{DriverId, DvObjectId};
use dvb_storage::SourceError;

use super::gather::Objects;
use super::{Presence, Wanted};
use crate::catalogue::sorted::Sorted;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::hand::{self, Giver};
use crate::command::pool;
use crate::source::stores::{Access, Store};

/// Under which name the ledger keeps where the next night goes on.
const MARK: &str = "presence";
/// Folders that wait for a worker.
const AHEAD: usize = 16;
/// After so many folders, where to go on is recorded: the process may die.
const RECORDED_EACH: usize = 1_000;

/// What the listings have shown.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) files: u64,
    /// Data files with an object that is not there or has another size, by store.
    pub(super) suspects: BTreeMap<DriverId, Vec<(DvObjectId, Wanted)>>,
    pub(super) stores: BTreeMap<DriverId, OfStore>,
    /// The last folder, where there was no time for all.
    pub(super) goes_on_at: Option<String>,
    /// A listing was cut off for lack of time: so much is to be done again.
    pub(super) is_cut_off: bool,
}

impl Walked {
    pub(super) fn is_complete(&self) -> bool {
        self.goes_on_at.is_none() && !self.is_cut_off
    }
}

#[derive(Default)]
pub(super) struct OfStore {
    pub(super) files: u64,
    /// Something was where it should be.
    pub(super) has_any: bool,
    /// Why it could not be listed, and how the run ends where that is so of the whole store.
    pub(super) trouble: Option<(String, Option<ExitStatus>)>,
}

/// The data files in one folder of a store.
struct Folder {
    key: String,
    files: Vec<Objects>,
}

impl Folder {
    fn place(&self) -> (DriverId, &str) {
        let (driver, folder) = self.key.split_once('\0').unwrap_or((&self.key, ""));
        (DriverId(driver.to_owned()), folder)
    }
}

fn lock(walked: &Mutex<Walked>) -> MutexGuard<'_, Walked> {
    walked.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Presence<'_> {
    pub(super) fn walk(&self, places: &mut Sorted) -> Result<Walked, RunError> {
        let Some(first) = self.dests.first() else { return Ok(Walked::default()) };
        let ledger = first.setup.ledger;
        // A folder's key may hold what a database's text cannot.
        let after: Option<String> = ledger.mark(MARK)?.and_then(|it| serde_json::from_str(&it).ok());
        let walked = Mutex::new(Walked::default());
        let (giver, taker) = hand::over(AHEAD);
        let worker = || {
            while let Some(folder) = taker.take() {
                self.list(&folder, &walked);
            }
        };
        let broke = |why: String| self.dests.iter().for_each(|it| it.tally.abort(ExitStatus::NotSafe, why.clone()));
        let hand_out = |is_busy: &dyn Fn() -> bool| self.hand_out(places, after.as_deref(), &walked, giver, is_busy);
        let (_, last) = pool::work(self.options.jobs, worker, broke, hand_out);
        // What was handed out was listed to its end.
        let mut walked = walked.into_inner().unwrap_or_else(PoisonError::into_inner);
        walked.goes_on_at = last?;
        Ok(walked)
    }

    /// Has the next run go on there, or begin anew.
    pub(super) fn go_on_at(&self, place: Option<&str>) -> Result<(), RunError> {
        let Some(first) = self.dests.first() else { return Ok(()) };
        let value = place.and_then(|it| serde_json::to_string(it).ok());
        Ok(first.setup.ledger.set_mark(MARK, value.as_deref())?)
    }

    /// Hands the folders out, those behind `after` first; gives the last one where there was no time for all.
    fn hand_out(
        &self,
        places: &mut Sorted,
        after: Option<&str>,
        walked: &Mutex<Walked>,
        giver: Giver<Folder>,
        is_busy: &dyn Fn() -> bool,
    ) -> Result<Option<String>, RunError> {
        let mut recent: VecDeque<String> = VecDeque::new();
        let mut count = 0_usize;
        let rounds: &[bool] = if after.is_some() { &[true, false] } else { &[false] };
        for behind in rounds {
            let is_meant = |key: &str| match after {
                Some(after) => (key > after) == *behind,
                None => true,
            };
            let mut entries = places.read::<Objects>().map_err(|it| self.spool_error(it))?.peekable();
            while let Some(entry) = entries.next() {
                let (key, objects) = entry.map_err(|it| self.spool_error(it))?;
                if !is_meant(&key) {
                    continue;
                }
                let mut folder = Folder { key, files: vec![objects] };
                while let Some(more) = entries.next_if(|it| it.as_ref().map_or(true, |(key, _)| *key == folder.key)) {
                    folder.files.push(more.map_err(|it| self.spool_error(it))?.1);
                }
                let key = folder.key.clone();
                if !self.goes_on() || !giver.give(folder, is_busy) {
                    // Nothing was looked at yet: the place where to go on is the old one.
                    return Ok(Some(recent.pop_back().or(after.map(str::to_owned)).unwrap_or_default()));
                }
                recent.push_back(key);
                if recent.len() > AHEAD + self.options.jobs + 1 {
                    let done = recent.pop_front();
                    count += 1;
                    // What was found is to be recorded first: another night would not come there for long.
                    if count.is_multiple_of(RECORDED_EACH) && lock(walked).suspects.is_empty() {
                        self.go_on_at(done.as_deref())?;
                    }
                }
            }
        }
        Ok(None)
    }

    /// Lists one folder, and compares.
    fn list(&self, folder: &Folder, walked: &Mutex<Walked>) {
        let Some(dest) = self.dests.first() else { return };
        let (driver, path) = folder.place();
        let Some(Store { access: Access::Readable(source), .. }) = dest.setup.stores.by_id.get(&driver) else { return };
        if lock(walked).stores.get(&driver).is_some_and(|it| it.trouble.is_some()) {
            return;
        }
        let names = folder.files.iter().flat_map(|it| &it.sizes).map(|it| it.0.clone());
        let mut found: HashMap<String, Option<u64>> = names.map(|it| (it, None)).collect();
        let is_no_verdict = |cause| self.dests.iter().all(|it| it.setup.stop.is_no_verdict(cause));
        let listed = match dest.store_is_there(&driver, source.as_ref()) {
            Ok(()) => source.sizes(path, &mut found),
            Err(none) => Err(SourceError::new(none.cause, none.why)),
        };
        let mut walked = lock(walked);
        if let Err(error) = listed {
            if is_no_verdict(error.cause) {
                walked.is_cut_off = true;
            } else {
                let of_store = walked.stores.entry(driver).or_default();
                of_store.trouble.get_or_insert_with(|| (error.chain(), ExitStatus::of_all(error.cause)));
            }
            return;
        }
        let of_store = walked.stores.entry(driver.clone()).or_default();
        of_store.files += folder.files.len() as u64;
        of_store.has_any |= found.values().any(Option::is_some);
        walked.files += folder.files.len() as u64;
        for file in &folder.files {
            let is_wrong = |(name, sizes): &&(String, Vec<u64>)| {
                found.get(name).copied().flatten().is_none_or(|size| !sizes.contains(&size))
            };
            let wrong: Vec<&str> = file.sizes.iter().filter(is_wrong).map(|it| it.0.as_str()).collect();
            if !wrong.is_empty() {
                let only_original = wrong.iter().all(|it| Some(*it) == file.original.as_deref());
                let wanted = Wanted { dests: file.dests, only_original };
                walked.suspects.entry(driver.clone()).or_default().push((file.id, wanted));
            }
        }
    }
}
