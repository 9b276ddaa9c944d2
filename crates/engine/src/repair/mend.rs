//! The mending itself, in either direction, and the incident that is written of it.

use dvb_fixity::{Algorithm, Evidence, Proved};
use dvb_ledger::{Check, CopyRecord, Found, Mending};
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Expected, PutError, SinkError, SinkSession, put_verified};

use super::case::{From, Sides, store_finding};
use super::sides::{InStore, Measurement};
use super::{Halt, Outcome, Repair, RepairItem};
use crate::command::exit_status::ExitStatus;
use crate::restore::object::{ObjectOutcome, give_back, in_a_sentence};
use crate::restore::session_pool::{SESSIONS, SessionPool, Unread, Watched};

/// What came of one attempt to make a copy again.
enum Made {
    Yes(Box<dvb_fixity::Proved>),
    No(String),
    /// The session was lost on the way. A new one may be had.
    Interrupted(String),
}

impl Repair<'_> {
    /// Puts what is good at a destination into the store.
    pub(super) fn mend_store(
        &self,
        reach: &mut SessionPool<'_>,
        sides: &mut Sides<'_>,
        item: &mut RepairItem,
    ) -> Result<(), Halt> {
        let Some(wanted) = &sides.wanted else { return Ok(()) };
        let outcome = give_back(&self.shared, reach, wanted);
        item.outcome = Outcome::Failed;
        let (from, kept) = match outcome.fate {
            ObjectOutcome::Restored { from, kept, note } => {
                if let Some(note) = note {
                    self.setup.observer.event(&crate::command::observer::Event::Warning(&note));
                }
                (from.map_or_else(String::new, |it| self.destination(it)), kept)
            }
            ObjectOutcome::AlreadyGood | ObjectOutcome::Present => {
                item.action = "it is good by now".into();
                return Ok(());
            }
            ObjectOutcome::Failed(why) => {
                item.action = why;
                return Ok(());
            }
            ObjectOutcome::Unreachable(ending, why) => {
                ExitStatus::worsen(&mut self.out().unusable, Some(ending));
                item.action = why;
                return Ok(());
            }
            ObjectOutcome::BadCopies => {
                item.action = format!("every copy is bad: {}", in_a_sentence(&outcome.bad));
                return Ok(());
            }
            ObjectOutcome::Stopped => return Err(Halt::Stopped),
        };
        // What was written is one thing, what lies there another.
        let now = self.in_store(wanted)?;
        item.kept.clone_from(&kept);
        let InStore::Good(measured) = now else {
            item.action = format!("the bytes of {from} were put there, but are not read back");
            return Ok(());
        };
        let of = store_finding(sides.people, sides.role, self.setup.stores, wanted, item);
        let sha256 = measured.digest(Algorithm::Sha256).unwrap_or(&wanted.sha256).clone();
        let (size, evidence) = (measured.size, Some(Evidence::ReadBack));
        let mending = Mending { of, from: from.clone(), evidence, size, sha256, kept };
        self.setup.ledger.record_incidents(&self.options.how.run, &[], &[mending])?;
        self.is_mended(sides, item);
        item.action = format!("the bytes of {from} were put there, and read back");
        sides.in_store = Some(InStore::Good(measured));
        Ok(())
    }

    /// Makes a copy again, from the first side that can give its bytes.
    pub(super) fn mend_copy(
        &self,
        reach: &mut SessionPool<'_>,
        sides: &Sides<'_>,
        (n, copy): (usize, &CopyRecord),
        sources: &[From<'_>],
        item: &mut RepairItem,
    ) -> Result<(), Halt> {
        let (mut failed, mut kept) = (Vec::new(), None);
        for source in sources {
            let from = self.name_of(source, sides);
            match self.copy_until_made(reach, sides, (n, copy), source, &mut kept)? {
                Made::No(why) => failed.push(format!("from {from}: {why}")),
                Made::Interrupted(why) => {
                    let ending = self.shared.contacts[n].ending().unwrap_or(ExitStatus::Unreachable);
                    ExitStatus::worsen(&mut self.out().unusable, Some(ending));
                    failed.push(format!("from {from}: {why}"));
                }
                Made::Yes(proof) => {
                    let kept = kept.as_ref().map(|it| it.as_str().to_owned());
                    item.kept.clone_from(&kept);
                    self.record_mended(sides, (n, copy), &proof, &from, kept)?;
                    self.is_mended(sides, item);
                    item.action = format!("the copy was made again from {from}, and proved ({})", proof.evidence());
                    return Ok(());
                }
            }
        }
        item.outcome = Outcome::Failed;
        item.action = failed.join("; ");
        Ok(())
    }

    /// Over as many sessions as a batch of a run may use up.
    fn copy_until_made(
        &self,
        reach: &mut SessionPool<'_>,
        sides: &Sides<'_>,
        copy: (usize, &CopyRecord),
        source: &From<'_>,
        kept: &mut Option<ObjectKey>,
    ) -> Result<Made, Halt> {
        for _ in 1..SESSIONS {
            match self.copy_again(reach, sides, copy, source, kept)? {
                Made::Interrupted(why) => {
                    let text = format!("{why}; the copy is made again");
                    self.setup.observer.event(&crate::command::observer::Event::Warning(&text));
                }
                made => return Ok(made),
            }
        }
        self.copy_again(reach, sides, copy, source, kept)
    }

    fn copy_again(
        &self,
        reach: &mut SessionPool<'_>,
        sides: &Sides<'_>,
        (n, copy): (usize, &CopyRecord),
        source: &From<'_>,
        kept: &mut Option<ObjectKey>,
    ) -> Result<Made, Halt> {
        let (Some(size), Some(sha256)) = (copy.size, copy.sha256.clone()) else {
            return Ok(Made::No("the ledger has no size and digest of it".into()));
        };
        let expected = Expected { size, digests: vec![sha256] };
        let mut session = match reach.take(n) {
            Ok(it) => it,
            Err(Unread::Stopped) => return Err(Halt::Stopped),
            Err(Unread::Interrupted(why)) => return Ok(Made::No(why)),
            Err(Unread::Copy(error)) => return Ok(Made::No(error.chain())),
        };
        let run = &self.shared.runs[n];
        let done = match source {
            From::Store => {
                let opened =
                    sides.wanted.as_ref().and_then(|it| it.at.as_ref().ok()).map(|(source, at)| source.open(at));
                match opened {
                    Some(Ok(mut object)) => {
                        let mut body = Watched { body: object.body.as_mut(), reading: &self.shared.reading };
                        put_verified(session.as_mut(), &copy.key, &mut body, &expected, false, |it| {
                            aside(it, &copy.key, run, kept)
                        })
                    }
                    Some(Err(error)) => return self.given_back(reach, n, session, Made::No(error.chain())),
                    None => return self.given_back(reach, n, session, Made::No("the store cannot be read".into())),
                }
            }
            From::CopyRecord(other, good) if *other != n => {
                let read = reach.read(*other, &good.key, |body| {
                    put_verified(session.as_mut(), &copy.key, &mut &mut *body, &expected, false, |it| {
                        aside(it, &copy.key, run, kept)
                    })
                });
                match read {
                    Ok(done) => done,
                    Err(Unread::Stopped) => return Err(Halt::Stopped),
                    Err(Unread::Interrupted(why)) => return self.given_back(reach, n, session, Made::No(why)),
                    Err(Unread::Copy(error)) => {
                        return self.given_back(reach, n, session, Made::No(error.chain()));
                    }
                }
            }
            From::CopyRecord(..) => {
                let why = "a good copy of the same bytes lies at the same destination under another key";
                return self.given_back(reach, n, session, Made::No(why.into()));
            }
        };
        let made = match done {
            Ok(proof) => Made::Yes(Box::new(proof)),
            Err(_) if !self.setup.stop.may_go_on() => return Err(Halt::Stopped),
            Err(PutError::Target(error)) if error.cause.is_of_all() => {
                return Ok(Made::Interrupted(error.chain()));
            }
            Err(PutError::Target(error)) if error.cause == Cause::Full => {
                ExitStatus::worsen(&mut self.out().unusable, Some(ExitStatus::NoSpace));
                return Ok(Made::No(error.chain()));
            }
            Err(PutError::Target(error)) => Made::No(error.chain()),
            Err(PutError::Read(error)) => Made::No(format!("it could not be read to its end: {error}")),
            Err(PutError::Mismatch(_)) => Made::No("its bytes are others by now".into()),
        };
        self.given_back(reach, n, session, made)
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    fn given_back(
        &self,
        reach: &mut SessionPool<'_>,
        n: usize,
        session: Box<dyn SinkSession>,
        made: Made,
    ) -> Result<Made, Halt> {
        reach.keep(n, session);
        Ok(made)
    }

    /// Enters that a copy is good again, and closes its incident.
    fn record_mended(
        &self,
        sides: &Sides<'_>,
        (n, copy): (usize, &CopyRecord),
        proof: &Proved,
        from: &str,
        kept: Option<String>,
    ) -> Result<(), Halt> {
        let (ledger, run) = (self.setup.ledger, &self.shared.runs[n]);
        let was = sides.copies.iter().find(|it| it.0.0 == n && it.0.1.key == copy.key);
        if let Some((_, Measurement::Bad(bad))) = was {
            // What was found before there were incidents has none yet.
            ledger.record_incidents(run, &[self.finding(sides.people, n, copy, bad)], &[])?;
        }
        let check = Check {
            id: copy.id,
            role: copy.role.clone(),
            version: copy.version,
            found: Found::Mended { proof: proof.clone(), from: from.to_owned(), kept },
        };
        Ok(ledger.record_checks(self.setup.destinations[n].name, run, &[check])?)
    }

    fn is_mended(&self, sides: &Sides<'_>, item: &mut RepairItem) {
        item.outcome = Outcome::Mended;
        if sides.people.is_data_file() {
            self.out().settle.insert(sides.people.id);
        }
    }
}

/// A bad copy may be the last that is left of something: it is moved out of the way, as a run does.
fn aside<S: SinkSession + ?Sized>(
    session: &mut S,
    key: &ObjectKey,
    run: &RunId,
    kept: &mut Option<ObjectKey>,
) -> Result<(), SinkError> {
    let lies_there = session.stat(std::slice::from_ref(key))?.pop().transpose()?.flatten().is_some();
    if lies_there {
        let to =
            key.set_aside(run).map_err(|it| SinkError::because(Cause::Refused, format!("cannot keep {key}"), it))?;
        session.rename(key, &to)?;
        *kept = Some(to);
    }
    Ok(())
}
