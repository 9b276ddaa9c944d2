//! Who gets which key, worked out under a lock from what the database holds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use dvb_model::DvObjectId;

use crate::validate::{Known, Place};
use crate::{CopyState, LedgerError, Reservation};

/// The answer to a call of `reserve`, and what makes it true.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Allotment {
    /// The n-th wish's owner.
    pub(crate) owners: Vec<DvObjectId>,
    /// Reservations to take back. They go before `inserts`, so that keys can change hands.
    pub(crate) deletes: Vec<Place>,
    /// Reservations to make, with their keys.
    pub(crate) inserts: Vec<(Place, String)>,
}

/// The copies that a call of `reserve` depends on: those at the wished places and those at the wished keys.
#[derive(Default)]
pub(crate) struct KeyAllocator {
    by_place: HashMap<Place, Known>,
    by_key: HashMap<String, Place>,
    made: BTreeMap<Place, String>,
    taken_back: BTreeSet<Place>,
}

impl KeyAllocator {
    /// Enters a row of the database.
    pub(crate) fn enter(&mut self, place: Place, known: Known) {
        self.by_key.insert(known.key.clone(), place.clone());
        self.by_place.insert(place, known);
    }

    /// Grants the wishes in their order.
    pub(crate) fn allot(mut self, wishes: &[Reservation]) -> Result<Allotment, LedgerError> {
        let owners = wishes.iter().map(|it| self.grant(it)).collect::<Result<_, _>>()?;
        let inserts = self.made.into_iter().collect();
        Ok(Allotment { owners, deletes: self.taken_back.into_iter().collect(), inserts })
    }

    fn grant(&mut self, wish: &Reservation) -> Result<DvObjectId, LedgerError> {
        let place = (wish.id, wish.role.to_string(), wish.version);
        let key = wish.key.as_str();
        if let Some(owner) = self.by_key.get(key).cloned() {
            // Another role's reservation of the same data file gives way: nothing lies there yet.
            let gives_way = owner != place && owner.0 == wish.id && self.is_reserved(&owner);
            if !gives_way {
                return Ok(owner.0);
            }
            self.take_back(&owner);
        }
        match self.by_place.get(&place).cloned() {
            Some(Known { state: CopyState::Reserved, .. }) => self.take_back(&place),
            Some(Known { state: CopyState::Proved | CopyState::Damaged | CopyState::Claimed, key }) => {
                return Err(LedgerError::Settled { id: place.0, role: place.1, version: place.2, key });
            }
            None => {}
        }
        self.by_key.insert(key.to_owned(), place.clone());
        self.by_place.insert(place.clone(), Known { key: key.to_owned(), state: CopyState::Reserved });
        self.made.insert(place, key.to_owned());
        Ok(wish.id)
    }

    fn is_reserved(&self, place: &Place) -> bool {
        self.by_place.get(place).is_some_and(|it| it.state == CopyState::Reserved)
    }

    fn take_back(&mut self, place: &Place) {
        if let Some(known) = self.by_place.remove(place) {
            self.by_key.remove(&known.key);
        }
        if self.made.remove(place).is_none() {
            self.taken_back.insert(place.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use dvb_model::{ObjectKey, ObjectRole};

    use super::*;

    fn wish(id: i64, role: ObjectRole, version: u32, key: &str) -> Reservation {
        Reservation { id: DvObjectId(id), role, version, key: ObjectKey::new(key).unwrap() }
    }

    #[test]
    fn the_first_of_two_wishes_gets_the_key_and_the_other_learns_of_it() {
        let wishes = [wish(1, ObjectRole::Main, 1, "a/b"), wish(2, ObjectRole::Main, 1, "a/b")];
        let allotment = KeyAllocator::default().allot(&wishes).unwrap();
        assert_eq!(allotment.owners, [DvObjectId(1), DvObjectId(1)]);
        assert_eq!(allotment.inserts, [((DvObjectId(1), "main".to_owned(), 1), "a/b".to_owned())]);
    }

    #[test]
    fn a_key_that_was_given_up_in_the_same_call_is_free() {
        let wishes = [
            wish(1, ObjectRole::Main, 1, "a/b"),
            wish(1, ObjectRole::Main, 1, "a/c"),
            wish(2, ObjectRole::Main, 1, "a/b"),
        ];
        let allotment = KeyAllocator::default().allot(&wishes).unwrap();
        assert_eq!(allotment.owners, [DvObjectId(1), DvObjectId(1), DvObjectId(2)]);
        assert_eq!(allotment.inserts.len(), 2);
        assert_eq!(allotment.deletes, []);
    }
}
