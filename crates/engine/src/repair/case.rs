//! One data file or dataset: what is bad of it, on which side, and which side is good.

use std::collections::BTreeMap;

use dvb_fixity::{Algorithm, Digest, Measured};
use dvb_ledger::{Bytes, Check, CopyRecord, CopyState, Custody, Finding, Found};
use dvb_model::{DvObjectId, ObjectRole, Status};

use super::RepairFault;
use super::sides::{InStore, Measurement};
use super::{Case, Halt, Outcome, Repair, RepairItem};
use crate::catalogue::spool::Subject;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::compare::{Bad, sentence};
use crate::copies::incident::of_copy;
use crate::restore::object::{Wanted, may_mend};
use crate::restore::place::Home;
use crate::restore::plan::Asked;
use crate::restore::session_pool::SessionPool;
use crate::restore::worker;
use crate::source::examine::{self, Uncopied};
use crate::source::incident;
use crate::source::stores::{Scope, Stores};

/// What people call it.
pub(super) struct People {
    pub(super) id: DvObjectId,
    is_data_file: bool,
    dataset: Option<String>,
    storage_identifier: Option<String>,
    label: Option<String>,
}

impl People {
    fn of(case: &Case, history: &[Custody]) -> Self {
        match case.asked.as_ref().map(|it| &it.subject) {
            Some(Subject::DataFile(it)) => Self {
                id: it.id,
                is_data_file: true,
                dataset: it.dataset.as_ref().map(|it| it.pid.clone()),
                storage_identifier: it.storage_identifier.clone(),
                label: it.label(),
            },
            Some(Subject::Dataset(it)) => Self {
                id: it.id,
                is_data_file: false,
                dataset: Some(it.pid.clone()),
                storage_identifier: it.storage_identifier.clone(),
                label: None,
            },
            None => {
                let detail = history.first().map(|it| &it.detail);
                let of_dataset = |it: &ObjectRole| matches!(it, ObjectRole::DatasetLevel(_));
                let roles = history.iter().flat_map(|it| &it.copies).map(|it| &it.copy.role);
                Self {
                    id: case.id,
                    is_data_file: !roles.into_iter().any(of_dataset),
                    dataset: detail.and_then(|it| it.dataset.clone()),
                    storage_identifier: detail.and_then(|it| it.storage_identifier.clone()),
                    label: detail.and_then(|it| it.label.clone()),
                }
            }
        }
    }
}

/// A copy with the number of its destination, and what was found of it.
type LookedAt<'a> = (&'a (usize, CopyRecord), &'a Measurement);

/// One object with its copies, and what was found of each.
pub(super) struct Sides<'a> {
    pub(super) people: &'a People,
    pub(super) role: &'a ObjectRole,
    pub(super) copies: Vec<LookedAt<'a>>,
    pub(super) wanted: Option<Wanted>,
    pub(super) in_store: Option<InStore>,
}

impl Repair<'_> {
    pub(super) fn one(&self, reach: &mut SessionPool<'_>, case: &Case) -> Result<(), Halt> {
        let history = self.setup.ledger.history(case.id)?;
        let copies = self.copies(&history);
        let people = People::of(case, &history);
        let recorded = case.asked.as_ref().and_then(|asked| match &asked.subject {
            Subject::DataFile(file) => worker::recorded(file),
            Subject::Dataset(_) => None,
        });
        let also: Vec<Algorithm> = recorded.iter().map(Digest::algorithm).collect();
        let held = self.held(reach, &copies, &also)?;
        if self.options.apply {
            self.record_looks(&people, &copies, &held)?;
        }
        let keys: Vec<_> = copies.iter().map(|it| &it.1.key).collect();
        let home = case.asked.as_ref().map(|asked| match &asked.subject {
            Subject::DataFile(file) => Home::of_file(file, self.setup.stores, &keys),
            Subject::Dataset(dataset) => Home::of_dataset(dataset, self.setup.stores, &keys),
        });
        let mut roles: BTreeMap<&ObjectRole, Vec<LookedAt<'_>>> = BTreeMap::new();
        for (copy, held) in copies.iter().zip(&held) {
            roles.entry(&copy.1.role).or_default().push((copy, held));
        }
        if let (Some(asked), Some(home)) = (&case.asked, &home)
            && !roles.keys().any(|it| matches!(it, ObjectRole::Main | ObjectRole::Member(_)))
        {
            self.without_copy(&people, asked, home.as_ref().ok())?;
        }
        let has_original = roles.contains_key(&ObjectRole::Original);
        let has_recorded = |it: &Measured| recorded.as_ref().is_none_or(|recorded| it.matches(recorded) == Some(true));
        let in_a_copy = held.iter().any(|measurement| match measurement {
            Measurement::Good(proof) => has_recorded(proof.measured()),
            Measurement::Bad(_) => false,
            // Nobody knows.
            Measurement::Unread { .. } => true,
        });
        for (role, copies) in roles {
            let mut sides = Sides { people: &people, role, copies, wanted: None, in_store: None };
            if let (Some(asked), Some(home)) = (&case.asked, &home) {
                self.look_in_store_of(&mut sides, asked, home.as_ref(), has_original)?;
            }
            let in_store = matches!(&sides.in_store, Some(InStore::Good(it)) if has_recorded(it));
            if let (Some(recorded), false, false) = (&recorded, in_a_copy, in_store)
                && *role == worker::role_of_checksum(has_original)
            {
                self.row_side(&sides, case, recorded)?;
            }
            self.store_side(reach, &mut sides)?;
            self.destination_sides(reach, &sides)?;
        }
        self.show(&people);
        Ok(())
    }

    /// Every copy that was ever proved, with the number of its destination.
    fn copies(&self, history: &[Custody]) -> Vec<(usize, CopyRecord)> {
        let mut copies = Vec::new();
        for (n, origin) in self.setup.destinations.iter().enumerate() {
            let mine = history.iter().filter(|it| it.destination == *origin.name).flat_map(|it| &it.copies);
            let proved = mine.filter(|it| it.copy.state != CopyState::Reserved);
            copies.extend(proved.map(|it| (n, it.copy.clone())));
        }
        copies
    }

    /// What the ledger does not know yet.
    fn record_looks(&self, people: &People, copies: &[(usize, CopyRecord)], held: &[Measurement]) -> Result<(), Halt> {
        for (n, origin) in self.setup.destinations.iter().enumerate() {
            let check = |((_, copy), held): (&(usize, CopyRecord), &Measurement)| {
                let found = match (held, copy.state) {
                    (Measurement::Bad(bad), CopyState::Proved | CopyState::Claimed) => {
                        Found::Damaged(Box::new(self.finding(people, n, copy, bad)))
                    }
                    (Measurement::Good(proof), CopyState::Damaged | CopyState::Claimed) => Found::Good(proof.clone()),
                    _ => return None,
                };
                Some(Check { id: copy.id, role: copy.role.clone(), version: copy.version, found })
            };
            let mine = copies.iter().zip(held).filter(|it| it.0.0 == n);
            let checks: Vec<Check> = mine.filter_map(check).collect();
            if people.is_data_file && checks.iter().any(|it| matches!(it.found, Found::Good(_))) {
                // It is good again without having been mended: a run has to say so.
                self.out().settle.insert(people.id);
            }
            if !checks.is_empty() {
                self.setup.ledger.record_checks(origin.name, &self.shared.runs[n], &checks)?;
            }
        }
        Ok(())
    }

    /// No destination ever had its main object.
    fn without_copy(&self, people: &People, asked: &Asked, home: Option<&Home>) -> Result<(), Halt> {
        let Subject::DataFile(file) = &asked.subject else { return Ok(()) };
        let is_covered = matches!(self.setup.stores.scope(file), Scope::Covered(_));
        let Some(home) = home.filter(|_| is_covered) else { return Ok(()) };
        let key = home.key(&ObjectRole::Main).map(|it| it.as_str().to_owned()).unwrap_or_default();
        let bad = format!("store {}", home.driver);
        let (found, detail) = if worker::is_there(home) {
            match examine::without_copies(self.shared.setup.examine(self.options.how.auxiliary_objects), file) {
                Uncopied::Good | Uncopied::Undecided => return Ok(()),
                Uncopied::Missing(why) => (RepairFault::Missing, format!("{key} in {bad}: {why}")),
                Uncopied::Damaged(why) => (RepairFault::Damaged, format!("{key} in {bad} is damaged: {why}")),
                Uncopied::Unread { why, of_all } => {
                    ExitStatus::worsen(&mut self.out().unusable, of_all);
                    (RepairFault::Unreadable, why)
                }
                Uncopied::Stopped => return Err(Halt::Stopped),
            }
        } else {
            (RepairFault::Missing, format!("{key} is missing in {bad}"))
        };
        let mut item = people.item(&ObjectRole::Main, bad, key, found, detail);
        item.action = "no destination has a proved copy of it".into();
        self.out().enter(item, true);
        Ok(())
    }

    /// Every side has the bytes that were first seen, and Dataverse's row has the checksum of others.
    fn row_side(&self, sides: &Sides<'_>, case: &Case, recorded: &Digest) -> Result<(), Halt> {
        let (Some(wanted), Some(InStore::Good(_))) = (&sides.wanted, &sides.in_store) else { return Ok(()) };
        let Some(Subject::DataFile(file)) = case.asked.as_ref().map(|it| &it.subject) else { return Ok(()) };
        // It may be that of the .tab, of which no copy is good; and during an ingest, nobody can say.
        match examine::without_copies(self.shared.setup.examine(self.options.how.auxiliary_objects), file) {
            Uncopied::Damaged(_) => {}
            Uncopied::Good | Uncopied::Missing(_) | Uncopied::Unread { .. } | Uncopied::Undecided => return Ok(()),
            Uncopied::Stopped => return Err(Halt::Stopped),
        }
        let bad = format!("store {}", wanted.driver.as_ref().map_or("", |it| it.0.as_str()));
        let key = wanted.path.as_str().to_owned();
        let detail =
            format!("{key} in {bad} is what was first seen, but Dataverse recorded {recorded}, which no side has");
        let mut item = sides.people.item(sides.role, bad, key, RepairFault::OtherChecksum, detail);
        item.action =
            "nobody can say whether the row or the bytes are right; if it is the bytes, correct the checksum with \
                       Dataverse's API (computeDataFileHashValue)"
                .into();
        self.out().enter(item, true);
        Ok(())
    }

    fn look_in_store_of(
        &self,
        sides: &mut Sides<'_>,
        asked: &Asked,
        home: Result<&Home, &String>,
        has_original: bool,
    ) -> Result<(), Halt> {
        let all: Vec<&(usize, CopyRecord)> = sides.copies.iter().map(|it| it.0).collect();
        let described = worker::role_of_checksum(has_original) == *sides.role;
        let wanted = worker::wanted(&self.shared, asked, sides.role, &all, home, described, false);
        // It has no place in a store: its copies are all that there is.
        let Ok(Some(wanted)) = wanted else { return Ok(()) };
        sides.in_store = Some(self.in_store(&wanted)?);
        sides.wanted = Some(wanted);
        Ok(())
    }

    /// What is bad in the store.
    fn store_side(&self, reach: &mut SessionPool<'_>, sides: &mut Sides<'_>) -> Result<(), Halt> {
        let (Some(wanted), Some(in_store)) = (&mut sides.wanted, &sides.in_store) else { return Ok(()) };
        let driver = wanted.driver.as_ref().map_or_else(String::new, |it| it.0.clone());
        let bad = format!("store {driver}");
        let (found, detail) = match in_store {
            InStore::Good(_) => return Ok(()),
            InStore::Missing => (RepairFault::Missing, format!("{} is missing in {bad}", wanted.path)),
            InStore::Damaged(why) => {
                (RepairFault::Damaged, format!("{} in {bad} is not what was copied: {why}", wanted.path))
            }
            InStore::Unread { why, of_all } => {
                ExitStatus::worsen(&mut self.out().unusable, *of_all);
                let mut item = sides.people.item(
                    sides.role,
                    bad,
                    wanted.path.as_str().into(),
                    RepairFault::Unreadable,
                    why.clone(),
                );
                item.action = "it cannot be judged now".into();
                self.out().enter(item, true);
                return Ok(());
            }
        };
        let is_missing = matches!(in_store, InStore::Missing);
        let mut item = sides.people.item(sides.role, bad, wanted.path.as_str().to_owned(), found, detail);
        let is_good = |it: &LookedAt<'_>| matches!(it.1, Measurement::Good(_));
        let good: Vec<(usize, &CopyRecord)> =
            sides.copies.iter().filter(|it| is_good(it)).map(|it| (it.0.0, &it.0.1)).collect();
        let same: Vec<usize> =
            good.iter().filter(|it| it.1.sha256.as_ref() == Some(&wanted.sha256)).map(|it| it.0).collect();
        item.good = same.iter().map(|n| self.destination(*n)).collect();
        wanted.candidates.retain(|it| good.iter().any(|(n, copy)| *n == it.origin && copy.key == it.key));
        let is_recorded = sides.copies.iter().any(|(copy, held)| match (held, &wanted.recorded) {
            (Measurement::Good(proof), Some(recorded)) => {
                copy.1.sha256.as_ref() == Some(&wanted.sha256) && proof.measured().matches(recorded) == Some(true)
            }
            (_, None) => true,
            (Measurement::Bad(_) | Measurement::Unread { .. }, Some(_)) => false,
        });
        let closed = match wanted.driver.as_ref().and_then(|it| self.setup.writers.get(it)) {
            None => Some("nothing can be written to this store".to_owned()),
            Some(Err(no_store)) => Some(no_store.why.clone()),
            // What a link forbids, `--apply` could not do: it is not promised.
            Some(Ok(writer)) => {
                let place = wanted.at.as_ref().ok().map(|(_, at)| writer.place(at));
                place.and_then(Result::err).map(|error| error.chain())
            }
        };
        if self.options.apply && (is_missing || wanted.recorded.is_some()) {
            let finding = store_finding(sides.people, sides.role, self.setup.stores, wanted, &item);
            self.setup.ledger.record_incidents(&self.options.how.run, &[finding], &[])?;
        }
        let why_not = if wanted.candidates.is_empty() {
            Some("no destination has a good copy of it".to_owned())
        } else if let Some(why) = closed {
            Some(why)
        } else if is_missing {
            None
        } else if let Err(why) = may_mend(wanted, "it has other bytes") {
            Some(why)
        } else if is_recorded {
            None
        } else {
            Some("its copy is not what Dataverse recorded either, so nobody can say which one is right".to_owned())
        };
        match why_not {
            Some(why) => item.action = why,
            None if !self.options.apply => {
                item.outcome = Outcome::WouldMend;
                let from = item.good.first().cloned().unwrap_or_default();
                item.action = format!("would put the bytes of {from} there");
            }
            None => {
                self.mend_store(reach, sides, &mut item)?;
            }
        }
        self.out().enter(item, true);
        Ok(())
    }

    /// What is bad at destinations.
    fn destination_sides(&self, reach: &mut SessionPool<'_>, sides: &Sides<'_>) -> Result<(), Halt> {
        for ((n, copy), held) in &sides.copies {
            let bad = self.destination(*n);
            let key = copy.key.as_str().to_owned();
            let (found, detail) = match held {
                Measurement::Good(_) => continue,
                Measurement::Bad(bad) => {
                    let people = sides.people;
                    let found = if matches!(bad, Bad::Missing) { RepairFault::Missing } else { RepairFault::Damaged };
                    (found, sentence(copy, people.dataset.as_deref(), people.label.as_deref(), bad))
                }
                Measurement::Unread { why, of_all } => {
                    ExitStatus::worsen(&mut self.out().unusable, *of_all);
                    let mut item = sides.people.item(sides.role, bad, key, RepairFault::Unreadable, why.clone());
                    item.action = "it cannot be judged now".into();
                    self.out().enter(item, false);
                    continue;
                }
            };
            let mut item = sides.people.item(sides.role, bad, key, found, detail);
            let from = sides.sources_of(copy);
            item.good = from.iter().map(|it| self.name_of(it, sides)).collect();
            match from.first() {
                None => item.action = sides.why_lost(),
                Some(_) if !self.options.apply => {
                    item.outcome = Outcome::WouldMend;
                    let from = item.good.first().cloned().unwrap_or_default();
                    item.action = format!("would make the copy again from {from}");
                }
                Some(_) => {
                    self.mend_copy(reach, sides, (*n, copy), &from, &mut item)?;
                }
            }
            self.out().enter(item, false);
        }
        Ok(())
    }

    pub(super) fn destination(&self, n: usize) -> String {
        format!("destination {}", self.setup.destinations[n].name)
    }

    pub(super) fn name_of(&self, from: &From<'_>, sides: &Sides<'_>) -> String {
        match from {
            From::Store => {
                let driver = sides.wanted.as_ref().and_then(|it| it.driver.as_ref());
                format!("store {}", driver.map_or("", |it| it.0.as_str()))
            }
            From::CopyRecord(n, _) => self.destination(*n),
        }
    }

    /// What is bad of a copy, for its incident.
    pub(super) fn finding(&self, people: &People, n: usize, copy: &CopyRecord, bad: &Bad) -> Finding {
        let detail = sentence(copy, people.dataset.as_deref(), people.label.as_deref(), bad);
        let found = incident::Discovery { command: "repair", detail: &detail };
        of_copy(found, self.setup.destinations[n].name, copy, bad)
    }

    fn show(&self, people: &People) {
        if !people.is_data_file {
            return;
        }
        let name = people.label.as_deref().or(people.storage_identifier.as_deref()).unwrap_or_default();
        let dataset = people.dataset.as_deref();
        let event = Event::Judged { id: people.id, dataset, name, status: Status::Ok, reason: Some("looked at") };
        self.setup.observer.event(&event);
    }
}

/// Where good bytes are.
pub(super) enum From<'a> {
    Store,
    CopyRecord(usize, &'a CopyRecord),
}

impl<'a> Sides<'a> {
    /// Everything that has the bytes of a copy, the store first.
    pub(super) fn sources_of(&self, copy: &CopyRecord) -> Vec<From<'a>> {
        let Some(sha256) = &copy.sha256 else { return Vec::new() };
        let mut found = Vec::new();
        if let Some(InStore::Good(measured)) = &self.in_store
            && measured.matches(sha256) == Some(true)
        {
            found.push(From::Store);
        }
        for ((n, other), held) in &self.copies {
            if matches!(held, Measurement::Good(_)) && other.sha256.as_ref() == Some(sha256) {
                found.push(From::CopyRecord(*n, other));
            }
        }
        found
    }

    fn why_lost(&self) -> String {
        match &self.in_store {
            Some(InStore::Good(_)) => {
                "no side has these bytes any more; the store has others that are good, which the next run copies"
            }
            _ => "no side has these bytes any more",
        }
        .to_owned()
    }
}

/// What is bad in a store, for its incident.
pub(super) fn store_finding(
    people: &People,
    role: &ObjectRole,
    stores: &Stores,
    wanted: &Wanted,
    item: &RepairItem,
) -> Finding {
    let store = wanted.driver.as_ref().unwrap_or(&stores.default);
    let digest = wanted.recorded.as_ref().unwrap_or(&wanted.sha256).clone();
    let expected = Bytes { size: Some(wanted.size), digest: Some(digest) };
    let actual = (item.found != RepairFault::Missing).then(Bytes::default);
    let found = incident::Discovery { command: "repair", detail: &item.detail };
    incident::in_store(found, (people.id, role), store, item.key.clone(), expected, actual)
}

impl People {
    /// An item that is left, as long as nobody says otherwise.
    fn item(&self, role: &ObjectRole, bad: String, key: String, found: RepairFault, detail: String) -> RepairItem {
        RepairItem {
            data_file_id: self.is_data_file.then_some(self.id),
            dataset: self.dataset.clone(),
            storage_identifier: self.storage_identifier.clone(),
            name: self.label.clone(),
            object: role.to_string(),
            bad,
            key,
            found,
            detail,
            good: Vec::new(),
            outcome: Outcome::Left,
            action: String::new(),
            kept: None,
        }
    }

    pub(super) fn is_data_file(&self) -> bool {
        self.is_data_file
    }
}
