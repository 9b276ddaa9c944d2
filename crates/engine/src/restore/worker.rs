//! Many workers, each with its sessions, on one list of what is asked for.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use dvb_fixity::{Digest, RecordedChecksum};
use dvb_ledger::{CopyRecord, CopyState, LedgerError};
use dvb_model::{DataFile, DvObjectId, ObjectKey, ObjectRole, Status};
use dvb_storage::{Cause, SourceError};

use super::incidents::Incidents;
use super::object::{self, Candidate, ObjectOutcome, Outcome, Wanted, unpoisoned};
use super::place::{Home, Lack};
use super::plan::{Asked, Coverage};
use super::session_pool::SessionPool;
use super::summary::RestoreFinding;
use super::{Goal, Shared};
use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::pool;
use crate::source::examine::{self, Uncopied};
use crate::source::list_objects::PROVENANCE;
use crate::source::stores::{NotCovered, Scope};

/// Data files that a worker takes at once: one question to the ledger each time.
const BATCH: usize = 16;
/// The same where they are small, and their bytes: what is small is read together.
const SMALL_BATCH: usize = 256;
const SMALL_BYTES: u64 = 2 << 20;

pub(crate) fn work(shared: &Shared<'_>, asked: impl Iterator<Item = io::Result<Asked>> + Send, files: u64) {
    let list = Mutex::new(asked);
    let judged = AtomicU64::new(0);
    let worker = || {
        let mut reach = SessionPool::new(shared);
        while let Some(batch) = take(shared, &list) {
            let done = batch_of(shared, &mut reach, &batch, &judged);
            // Whatever ended it: what was put is told as given back.
            flush(shared);
            if let Err(error) = done {
                shared.tally().abort(ExitStatus::from(&error), dvb_storage::chain(&error));
            }
        }
        reach
    };
    let broke = |why| shared.tally().abort(ExitStatus::NotSafe, why);
    let show = pool::showing(|| shared.tell_bytes());
    let (open, ()) = pool::work(shared.options.jobs, worker, broke, show);
    open.into_iter().for_each(SessionPool::end);
    shared.tally().pending = files.saturating_sub(judged.into_inner());
}

/// Brings what a batch has put into a folder to stable storage.
fn flush(shared: &Shared<'_>) {
    if let Goal::Folder(folder) = shared.setup.to
        && let Err(error) = folder.flush()
    {
        shared.tally().abort(ExitStatus::of_cause(error.cause), error.chain());
    }
}

/// The next batch; `None` at the end, or when the restore is over.
fn take(shared: &Shared<'_>, list: &Mutex<impl Iterator<Item = io::Result<Asked>>>) -> Option<Vec<Asked>> {
    if !shared.setup.stop.may_begin() || shared.tally().aborted.is_some() {
        return None;
    }
    let mut bytes = 0_u64;
    let mut lines = 0;
    let mut list = unpoisoned(list);
    let next = || {
        let is_room = lines < BATCH || (lines < SMALL_BATCH && bytes <= SMALL_BYTES);
        let asked = if is_room { list.next()? } else { return None };
        lines += 1;
        bytes = bytes.saturating_add(asked.as_ref().map_or(0, |it| it.subject.bytes()));
        Some(asked)
    };
    match std::iter::from_fn(next).collect::<io::Result<Vec<_>>>() {
        Ok(batch) => Some(batch).filter(|it| !it.is_empty()),
        Err(error) => {
            let why = format!("cannot read the list of what is asked for: {error}");
            shared.tally().abort(ExitStatus::Unreachable, why);
            None
        }
    }
}

fn batch_of(
    shared: &Shared<'_>,
    reach: &mut SessionPool<'_>,
    batch: &[Asked],
    judged: &AtomicU64,
) -> Result<(), LedgerError> {
    let ids: Vec<DvObjectId> = batch.iter().map(|it| it.subject.id()).collect();
    let mut copies: HashMap<DvObjectId, Vec<(usize, CopyRecord)>> = HashMap::new();
    for (n, origin) in shared.setup.from.iter().enumerate() {
        for copy in shared.setup.ledger.copies(origin.name, &ids)? {
            if copy.state != CopyState::Reserved {
                copies.entry(copy.id).or_default().push((n, copy));
            }
        }
    }
    reach.prepare(likely(batch, &copies));
    for asked in batch {
        let mine = copies.remove(&asked.subject.id()).unwrap_or_default();
        let mut incidents = Incidents::default();
        let goes_on = one(shared, reach, asked, &mine, &mut incidents);
        incidents.record(shared);
        if !goes_on {
            return Ok(());
        }
        if asked.subject.is_data_file() {
            judged.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// What is read of a batch where nothing of it is there yet, and every copy is good, in that order.
fn likely(batch: &[Asked], copies: &HashMap<DvObjectId, Vec<(usize, CopyRecord)>>) -> Vec<(usize, ObjectKey, u64)> {
    let mut all = Vec::new();
    for asked in batch {
        let mut first: BTreeMap<&ObjectRole, &(usize, CopyRecord)> = BTreeMap::new();
        for copy in copies.get(&asked.subject.id()).into_iter().flatten() {
            let is_better = |it: &(usize, CopyRecord)| (copy.0, it.1.version) < (it.0, copy.1.version);
            if copy.1.state != CopyState::Damaged && first.get(&copy.1.role).is_none_or(|it| is_better(it)) {
                first.insert(&copy.1.role, copy);
            }
        }
        all.extend(first.into_values().filter_map(|(n, copy)| Some((*n, copy.key.clone(), copy.size?))));
    }
    all
}

/// One data file or dataset; `false` when the restore was told to stop.
fn one(
    shared: &Shared<'_>,
    reach: &mut SessionPool<'_>,
    asked: &Asked,
    copies: &[(usize, CopyRecord)],
    incidents: &mut Incidents,
) -> bool {
    let keys: Vec<&ObjectKey> = copies.iter().map(|it| &it.1.key).collect();
    let home = match &asked.subject {
        Subject::DataFile(it) => Home::of_file(it, shared.setup.stores, &keys),
        Subject::Dataset(it) => Home::of_dataset(it, shared.setup.stores, &keys),
    };
    let mut verdict = Verdict { shared, asked, restored: 0, good: 0, worst: None };
    let mut roles: BTreeMap<&ObjectRole, Vec<&(usize, CopyRecord)>> = BTreeMap::new();
    for copy in copies {
        roles.entry(&copy.1.role).or_default().push(copy);
    }
    for copies in roles.values_mut() {
        // What a snapshot claims is compared with its digest on the way, as all is. Where every copy was found bad, one
        // still says what the object should be.
        let is_alive = |it: &&(usize, CopyRecord)| it.1.state != CopyState::Damaged;
        if copies.iter().any(is_alive) {
            copies.retain(is_alive);
        }
    }
    if let Subject::DataFile(file) = &asked.subject
        && !roles.keys().any(|it| matches!(it, ObjectRole::Main | ObjectRole::Member(_)))
    {
        verdict.without_copy(file, home.as_ref());
    }
    let swapped =
        asked.paths.as_ref().is_some_and(|it| it.original.is_none()) && roles.contains_key(&ObjectRole::Original);
    for (role, copies) in &roles {
        let described = role_of_checksum(roles.contains_key(&ObjectRole::Original)) == **role;
        let mut wanted = match wanted(shared, asked, role, copies, home.as_ref(), described, swapped) {
            Ok(Some(it)) => it,
            Ok(None) => continue,
            Err(why) => {
                verdict.fail(copies.first().map(|it| it.1.key.as_str()), why);
                continue;
            }
        };
        if copies.iter().all(|it| it.1.state == CopyState::Damaged) {
            wanted.candidates.clear();
        }
        let outcome = object::give_back(shared, reach, &wanted);
        incidents.add(shared, asked.subject.id(), role, copies, &wanted, &outcome);
        if !verdict.take(&wanted, outcome) {
            return false;
        }
    }
    verdict.tell();
    true
}

/// The checksum speaks of the saved original where there is one (dataverse.md R5, R6).
pub(crate) fn role_of_checksum(has_original: bool) -> ObjectRole {
    if has_original { ObjectRole::Original } else { ObjectRole::Main }
}

/// What is wanted of one object; `None` where the layout does not show it.
pub(crate) fn wanted(
    shared: &Shared<'_>,
    asked: &Asked,
    role: &ObjectRole,
    copies: &[&(usize, CopyRecord)],
    home: Result<&Home, &String>,
    described: bool,
    swapped: bool,
) -> Result<Option<Wanted>, String> {
    // The newest version of the first destination that has one; the others serve where they hold the same bytes.
    let Some(first) = copies.iter().map(|it| it.0).min() else { return Ok(None) };
    let newest = copies.iter().filter(|it| it.0 == first).max_by_key(|it| it.1.version);
    let Some((_, chosen)) = newest else { return Ok(None) };
    let (Some(size), Some(sha256)) = (chosen.size, chosen.sha256.clone()) else {
        return Err("the ledger has no size and digest of its copy".to_owned());
    };
    let path = match &asked.paths {
        Some(_) => names_path(asked, role, swapped),
        None => Some(match (home, shared.setup.to) {
            // What kind of store it was in is not known, or it has no place in one any more: the key at the destination is
            // the same, or the best that is left.
            (Ok(home), Goal::Folder(_)) if !shared.setup.stores.by_id.contains_key(&home.driver) => {
                first_key(copies, first).unwrap_or(&chosen.key).clone()
            }
            (Err(_), Goal::Folder(_)) => first_key(copies, first).unwrap_or(&chosen.key).clone(),
            (Ok(home), _) => home.key(role).map_err(|it| it.to_string())?,
            (Err(why), Goal::InPlace(_)) => return Err(why.clone()),
        }),
    };
    let Some(path) = path else { return Ok(None) };
    let at = home.map_err(|it| Lack::Always(it.clone())).and_then(|home| {
        let source = home.source.clone()?;
        Ok((source, home.location(role).map_err(|it| Lack::Always(it.to_string()))?))
    });
    let mut same: Vec<&&(usize, CopyRecord)> =
        copies.iter().filter(|it| it.1.sha256.as_ref() == Some(&sha256)).collect();
    same.sort_by_key(|it| (it.0, std::cmp::Reverse(it.1.version)));
    let (recorded, ingest) = match &asked.subject {
        Subject::DataFile(file) => (recorded(file).filter(|_| described), file.is_being_ingested()),
        Subject::Dataset(_) => (None, false),
    };
    Ok(Some(Wanted {
        driver: home.ok().map(|it| it.driver.clone()),
        path,
        at,
        candidates: same.iter().map(|it| Candidate { origin: it.0, key: it.1.key.clone() }).collect(),
        size,
        sha256,
        known: copies.iter().filter_map(|it| it.1.sha256.clone()).collect(),
        recorded,
        unchanged: !is_in_no_table(role) && asked.unchanged.get(first).copied().unwrap_or(false),
        suspect: asked.suspect,
        ingest,
    }))
}

/// The key of an object's first version: those of others have a number behind it.
fn first_key<'a>(copies: &'a [&(usize, CopyRecord)], origin: usize) -> Option<&'a ObjectKey> {
    copies.iter().filter(|it| it.0 == origin).min_by_key(|it| it.1.version).map(|it| &it.1.key)
}

/// Of a package it is the manifest's, which is one of its members.
pub(crate) fn recorded(file: &DataFile) -> Option<Digest> {
    RecordedChecksum::parse(&file.checksum_value).digest().filter(|_| !file.is_package()).cloned()
}

/// What a person may have uploaded anew without a trace in any row: another one is not a damaged one.
fn is_in_no_table(role: &ObjectRole) -> bool {
    match role {
        ObjectRole::DatasetLevel(_) => true,
        ObjectRole::Auxiliary(tag) => tag == PROVENANCE,
        ObjectRole::Main | ObjectRole::Original | ObjectRole::Member(_) => false,
    }
}

/// In a swapped pair the upload lies under `.orig`, and is what people mean by the file's name (dataverse.md 3.4).
fn names_path(asked: &Asked, role: &ObjectRole, swapped: bool) -> Option<ObjectKey> {
    let paths = asked.paths.as_ref()?;
    match role {
        ObjectRole::Main if swapped => None,
        ObjectRole::Main => Some(paths.main.clone()),
        ObjectRole::Original if swapped => Some(paths.main.clone()),
        ObjectRole::Original => paths.original.clone(),
        ObjectRole::Member(path) => ObjectKey::new(&format!("{}/{path}", paths.main)).ok(),
        ObjectRole::Auxiliary(_) | ObjectRole::DatasetLevel(_) => None,
    }
}

/// What becomes of one data file or dataset, object by object.
struct Verdict<'a> {
    shared: &'a Shared<'a>,
    asked: &'a Asked,
    restored: u64,
    good: u64,
    worst: Option<(Status, String)>,
}

impl Verdict<'_> {
    fn finding(&self, key: Option<&str>, reason: String) -> RestoreFinding {
        let (id, dataset, identifier, name) = match &self.asked.subject {
            Subject::DataFile(it) => {
                (Some(it.id), it.dataset.as_ref().map(|it| it.pid.clone()), it.storage_identifier.clone(), it.label())
            }
            Subject::Dataset(it) => (None, Some(it.pid.clone()), it.storage_identifier.clone(), None),
        };
        RestoreFinding {
            data_file_id: id,
            dataset,
            storage_identifier: identifier,
            name,
            key: key.map(str::to_owned),
            reason,
        }
    }

    fn fail(&mut self, key: Option<&str>, reason: String) {
        let finding = self.finding(key, reason.clone());
        let mut tally = self.shared.tally();
        tally.objects.failed += 1;
        tally.fail(finding);
        drop(tally);
        self.worst.get_or_insert((Status::FailWrite, reason));
    }

    /// No destination has its main object.
    fn without_copy(&mut self, file: &DataFile, home: Result<&Home, &String>) {
        let options = self.shared.options;
        let reason = match self.not_covered(file) {
            Some(why) => {
                self.shared.tally().not_covered += 1;
                if options.selection.is_everything() {
                    self.worst.get_or_insert((Status::NotCovered, why));
                    return;
                }
                format!("there is nothing to give back: {why}")
            }
            None => {
                let in_place = matches!(self.shared.setup.to, Goal::InPlace(_)) || options.missing;
                let no_copy = "no destination has a proved copy of it";
                match (in_place && home.is_ok_and(is_there)).then(|| self.in_store(file)) {
                    None | Some(Uncopied::Missing(_)) => no_copy.to_owned(),
                    Some(Uncopied::Good) => {
                        self.good += 1;
                        self.shared.tally().objects.already_good += 1;
                        return;
                    }
                    Some(Uncopied::Undecided) => {
                        self.shared.tally().objects.present += 1;
                        return;
                    }
                    Some(Uncopied::Damaged(why)) => format!("what is there is damaged: {why}; {no_copy}"),
                    Some(Uncopied::Unread { why, of_all }) => {
                        ExitStatus::worsen(&mut self.shared.tally().unusable, of_all);
                        format!("{why}; {no_copy}")
                    }
                    Some(Uncopied::Stopped) => return,
                }
            }
        };
        let key = home.ok().and_then(|it| it.key(&ObjectRole::Main).ok());
        let finding = self.finding(key.as_ref().map(ObjectKey::as_str), reason.clone());
        let mut tally = self.shared.tally();
        tally.objects.no_copy += 1;
        tally.fail(finding);
        drop(tally);
        self.worst.get_or_insert((Status::Pending, reason));
    }

    /// By which rule there are no bytes that a backup could have: what the ledger or snapshot says. That no store is
    /// configured says nothing; what is configured to be read now, is to have a copy.
    fn not_covered(&self, file: &DataFile) -> Option<String> {
        match (self.shared.setup.stores.scope(file), &self.asked.coverage) {
            (Scope::NotCovered(NotCovered::UnknownDriver(_)), Coverage::Unknown)
            | (Scope::NotCovered(_), Coverage::Covered)
            | (
                Scope::Covered(_) | Scope::Refused(_) | Scope::Garbled(_) | Scope::Orphaned | Scope::Unavailable(..),
                _,
            ) => None,
            (Scope::NotCovered(_), Coverage::NotCovered(why)) => Some(why.clone()),
            (Scope::NotCovered(why), Coverage::Unknown) => Some(why.reason(file)),
        }
    }

    fn in_store(&self, file: &DataFile) -> Uncopied {
        let options = self.shared.options;
        if options.quick && !self.asked.suspect {
            return Uncopied::Undecided;
        }
        examine::without_copies(self.shared.setup.examine(options.auxiliary_objects), file)
    }

    /// `false` when the restore was told to stop.
    fn take(&mut self, wanted: &Wanted, outcome: Outcome) -> bool {
        let Outcome { fate, bad } = outcome;
        let key = wanted.path.as_str();
        for why in &bad {
            let finding = self.finding(Some(key), format!("its copy is bad: {}", why.why));
            self.shared.tally().damaged(finding);
        }
        match fate {
            ObjectOutcome::Stopped => return false,
            ObjectOutcome::Restored { note, kept, .. } => self.restored(wanted, note, kept),
            ObjectOutcome::AlreadyGood => {
                self.good += 1;
                self.shared.tally().objects.already_good += 1;
            }
            ObjectOutcome::Present => {
                self.good += 1;
                self.shared.tally().objects.present += 1;
            }
            ObjectOutcome::Failed(why) => self.fail(Some(key), why),
            ObjectOutcome::Unreachable(ending, why) => {
                self.fail(Some(key), why);
                ExitStatus::worsen(&mut self.shared.tally().unusable, Some(ending));
            }
            ObjectOutcome::BadCopies => {
                let why = match bad.as_slice() {
                    [] => {
                        "no destination has a good copy of it: verify found every one to be missing or damaged".into()
                    }
                    bad => format!("every copy is bad: {}", object::in_a_sentence(bad)),
                };
                self.fail(Some(key), why.clone());
                self.worst = Some((Status::FailVerify, why));
            }
        }
        true
    }

    fn restored(&mut self, wanted: &Wanted, note: Option<String>, kept: Option<String>) {
        self.restored += 1;
        let mut tally = self.shared.tally();
        tally.objects.restored += 1;
        tally.bytes += wanted.size;
        if let Some(note) = note {
            tally.note(note);
        }
        if let Some(kept) = kept {
            tally.keep(kept);
        }
    }

    fn tell(self) {
        let Subject::DataFile(file) = &self.asked.subject else { return };
        if self.restored > 0 {
            let mut tally = self.shared.tally();
            tally.files += 1;
            if is_restricted(file) {
                tally.restrict(file.id);
            }
        }
        let (status, reason) = match self.worst {
            Some((status, reason)) => (status, reason),
            None if self.restored > 0 && self.shared.options.dry_run => {
                (Status::Pending, "would be restored".to_owned())
            }
            None if self.restored > 0 => (Status::Ok, "restored".to_owned()),
            None => (Status::Ok, "there already".to_owned()),
        };
        let label = file.label();
        let name = label.as_deref().or(file.storage_identifier.as_deref()).unwrap_or_default();
        let dataset = file.dataset.as_ref().map(|it| it.pid.as_str());
        self.shared.setup.observer.event(&Event::Judged { id: file.id, dataset, name, status, reason: Some(&reason) });
    }
}

/// Whether something is there to be read. What cannot be looked at may be there: whoever reads it says why it cannot.
pub(crate) fn is_there(home: &Home) -> bool {
    let (Ok(source), Ok(at)) = (&home.source, home.location(&ObjectRole::Main)) else { return false };
    match source.size(&at) {
        Ok(Some(_)) => true,
        Ok(None) => source.members(&at).map_or_else(|error| is_unknown(&error), |it| it.is_some()),
        Err(error) => is_unknown(&error),
    }
}

fn is_unknown(error: &SourceError) -> bool {
    error.cause != Cause::Missing
}

/// Whether its bytes are not for everybody today.
fn is_restricted(file: &DataFile) -> bool {
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    file.restricted
        || file.embargo.as_ref().is_some_and(|it| it.until >= today)
        || file.retention.as_ref().is_some_and(|it| it.until < today)
}
