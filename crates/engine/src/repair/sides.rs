//! What lies on each side now: the copies at the destinations, and the object in its store.

use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_ledger::CopyRecord;
use dvb_model::ObjectKey;
use dvb_storage::SinkError;

use super::{Halt, Repair};
use crate::command::exit_status::ExitStatus;
use crate::copies::compare::{Bad, compare};
use crate::restore::object::{Look, ObjectOutcome, Wanted, at_source};
use crate::restore::session_pool::{SESSIONS, SessionPool, Unread};

/// A copy as it was found.
pub(super) enum Measurement {
    Good(Proved),
    Bad(Bad),
    Unread { why: String, of_all: Option<ExitStatus> },
}

/// An object in its store as it was found.
pub(super) enum InStore {
    Good(Measured),
    Missing,
    Damaged(String),
    Unread { why: String, of_all: Option<ExitStatus> },
}

type Answers = Vec<Result<Measured, SinkError>>;

impl Repair<'_> {
    /// Looks at copies; `copies` have the number of their destination. What is bad is looked at twice, over two sessions.
    pub(super) fn held(
        &self,
        reach: &mut SessionPool<'_>,
        copies: &[(usize, CopyRecord)],
        also: &[Algorithm],
    ) -> Result<Vec<Measurement>, Halt> {
        let mut held: Vec<Option<Measurement>> = copies.iter().map(|_| None).collect();
        for again in [false, true] {
            for destination in 0..self.setup.destinations.len() {
                let is_open = |it: &Option<Measurement>| !matches!(it, Some(Measurement::Good(_)));
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
                        let ending = self.shared.contacts[destination].ending().unwrap_or(ExitStatus::Unreachable);
                        let unread = || Some(Measurement::Unread { why: why.clone(), of_all: Some(ending) });
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
        reach: &mut SessionPool<'_>,
        destination: usize,
        keys: &[ObjectKey],
        also: &[Algorithm],
    ) -> Result<Result<(Answers, Evidence), String>, Halt> {
        let mut failed = String::new();
        for _ in 0..SESSIONS {
            let mut session = match reach.take(destination) {
                Ok(it) => it,
                Err(Unread::Stopped) => return Err(Halt::Stopped),
                Err(Unread::Interrupted(why)) => return Ok(Err(why)),
                Err(Unread::Copy(error)) => return Ok(Err(error.chain())),
            };
            let evidence = session.measure_evidence();
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
            Look::Done(ObjectOutcome::Unreachable(ending, why)) => InStore::Unread { why, of_all: Some(ending) },
            Look::Done(ObjectOutcome::Failed(why)) => InStore::Unread { why, of_all: None },
            Look::Done(
                ObjectOutcome::Stopped
                | ObjectOutcome::Restored { .. }
                | ObjectOutcome::AlreadyGood
                | ObjectOutcome::Present
                | ObjectOutcome::BadCopies,
            ) => {
                return Err(Halt::Stopped);
            }
        })
    }
}

fn found(copy: &CopyRecord, answer: Result<Measured, SinkError>, evidence: Evidence) -> Measurement {
    match answer {
        Ok(measured) => compare(copy, measured, evidence).map_or_else(Measurement::Bad, Measurement::Good),
        Err(error) if Bad::is_told_by(&error) => Measurement::Bad(Bad::of(error)),
        Err(error) => {
            let of_all = ExitStatus::of_all(error.cause);
            Measurement::Unread { why: error.chain(), of_all }
        }
    }
}
