//! What lies on each side now: the copies at the destinations, and the object in its store.

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_ledger::Copy;
use dvb_model::ObjectKey;
use dvb_storage::SinkError;

use super::{Halt, Repair};
use crate::command::ending::Ending;
use crate::copies::compare::{Bad, compare};
use crate::restore::object::{Fate, Look, Wanted, at_source};
use crate::restore::reach::{Reach, SESSIONS, Unread};

/// A copy as it was found.
pub(super) enum Held {
    Good(Proved),
    Bad(Bad),
    Unread { why: String, of_all: Option<Ending> },
}

/// An object in its store as it was found.
pub(super) enum InStore {
    Good(Measured),
    Missing,
    Damaged(String),
    Unread { why: String, of_all: Option<Ending> },
}

type Answers = Vec<Result<Measured, SinkError>>;

impl Repair<'_> {
    /// Looks at copies; `copies` have the number of their destination. What is bad is looked at twice, over two sessions.
    pub(super) fn held(
        &self,
        reach: &mut Reach<'_>,
        copies: &[(usize, Copy)],
        also: &[Algorithm],
    ) -> Result<Vec<Held>, Halt> {
        let mut held: Vec<Option<Held>> = copies.iter().map(|_| None).collect();
        for again in [false, true] {
            for destination in 0..self.setup.destinations.len() {
                let is_open = |it: &Option<Held>| !matches!(it, Some(Held::Good(_)));
                let of: Vec<usize> =
                    (0..copies.len()).filter(|n| copies[*n].0 == destination && is_open(&held[*n])).collect();
                if of.is_empty() {
                    continue;
                }
                if again {
                    reach.hang_up(destination);
                }
                let keys: Vec<ObjectKey> = of.iter().map(|n| copies[*n].1.key.clone()).collect();
                match self.measure(reach, destination, &keys, also)? {
                    Ok((answers, evidence)) => {
                        for (n, answer) in of.into_iter().zip(answers) {
                            held[n] = Some(found(&copies[n].1, answer, evidence));
                        }
                    }
                    Err(why) => {
                        let ending = self.shared.contacts[destination].ending().unwrap_or(Ending::Unreachable);
                        let unread = || Some(Held::Unread { why: why.clone(), of_all: Some(ending) });
                        of.into_iter().for_each(|n| held[n] = unread());
                    }
                }
            }
        }
        // Every copy is of one of the destinations, so each was looked at.
        Ok(held.into_iter().flatten().collect())
    }

    fn measure(
        &self,
        reach: &mut Reach<'_>,
        destination: usize,
        keys: &[ObjectKey],
        also: &[Algorithm],
    ) -> Result<Result<(Answers, Evidence), String>, Halt> {
        let mut failed = String::new();
        for _ in 0..SESSIONS {
            let mut session = match reach.take(destination) {
                Ok(it) => it,
                Err(Unread::Stopped) => return Err(Halt::Stopped),
                Err(Unread::Lost(why)) => return Ok(Err(why)),
                Err(Unread::Copy(error)) => return Ok(Err(error.chain())),
            };
            let evidence = session.measures_by();
            match session.measure(keys, also) {
                Ok(answers) => {
                    reach.keep(destination, session);
                    return Ok(Ok((answers, evidence)));
                }
                Err(error) => failed = error.chain(),
            }
            if !self.setup.stop.may_go_on() {
                return Err(Halt::Stopped);
            }
        }
        Ok(Err(failed))
    }

    /// Looks at an object in its store; twice where it is bad.
    pub(super) fn in_store(&self, wanted: &Wanted) -> Result<InStore, Halt> {
        let first = self.look_in_store(wanted)?;
        match first {
            InStore::Missing | InStore::Damaged(_) => self.look_in_store(wanted),
            InStore::Good(_) | InStore::Unread { .. } => Ok(first),
        }
    }

    fn look_in_store(&self, wanted: &Wanted) -> Result<InStore, Halt> {
        Ok(match at_source(&self.shared, wanted) {
            Look::Good(found) => InStore::Good(found),
            Look::Put => InStore::Missing,
            Look::Mend(why) => InStore::Damaged(why),
            Look::Done(Fate::Unreachable(ending, why)) => InStore::Unread { why, of_all: Some(ending) },
            Look::Done(Fate::Failed(why)) => InStore::Unread { why, of_all: None },
            Look::Done(Fate::Stopped | Fate::Restored { .. } | Fate::AlreadyGood | Fate::Present | Fate::BadCopies) => {
                return Err(Halt::Stopped);
            }
        })
    }
}

fn found(copy: &Copy, answer: Result<Measured, SinkError>, evidence: Evidence) -> Held {
    match answer {
        Ok(measured) => compare(copy, measured, evidence).map_or_else(Held::Bad, Held::Good),
        Err(error) if Bad::is_told_by(&error) => Held::Bad(Bad::of(error)),
        Err(error) => {
            let of_all = Ending::of_all(error.cause);
            Held::Unread { why: error.chain(), of_all }
        }
    }
}
