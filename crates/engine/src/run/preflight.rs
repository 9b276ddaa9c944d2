//! Before a run works for a destination: is it there, and is it the one that the ledger knows?
//!
//! A run with nothing to do would see none of it: a server that is gone, a disk that is not mounted, a damaged snapshot.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dvb_catalog::SnapshotLink;
use dvb_fixity::{Algorithm, Digest, Evidence};
use dvb_model::{DestinationName, ObjectKey, RunId, Status};
use dvb_storage::{Cause, SinkError, SinkSession, chain};

use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::command::purged::Buried;
use crate::copies::session::{Connection, Interrupted};
use crate::copies::{snapshot_names, tombstones};
use crate::guard::{self, Beyond, Claimant, Samples, Standing};
use crate::run::counts::About;
use crate::run::destination_run::DestinationRun;
use crate::run::options::Options;
use crate::run::{Setup, snapshot};

/// Where a snapshot cannot be hashed by the destination, it is read back up to this size; of larger ones, it has to do
/// that they are there.
const READ_BACK: u64 = 64 << 20;

/// How long the folders of stores are searched for what was just stored.
const SEARCH: Duration = Duration::from_secs(3);

/// What the newest snapshot that the ledger knows turns out to be.
enum Newest {
    Good,
    Missing,
    Damaged(String),
    /// It cannot be looked at.
    Unknown(String),
}

impl DestinationRun<'_> {
    /// Connects, and looks whether the destination is the one that the ledger knows, and this installation's. Nothing is
    /// stored, but the place itself is made where it is new. `None`: it cannot be worked for, which is said in the tally.
    /// Once there is a session, `logged_in` is called: others can be had too.
    ///
    /// # Errors
    /// [`RunError`], when it is not.
    pub(crate) fn arrive(&self, logged_in: impl Fn()) -> Result<Option<Standing>, RunError> {
        if !self.setup.stop.may_begin() {
            return Ok(None);
        }
        let mut connection = self.connection();
        let look_around = |connection: &mut Connection<'_>| {
            connection.with(|_| Ok(()))?;
            logged_in();
            self.look_around(connection)
        };
        let entered = match look_around(&mut connection) {
            Err(Interrupted::Run(..)) if let Some(absent) = connection.take_absent() => {
                if !self.options.overrides.copies_lost {
                    guard::may_be_made(self.setup.ledger, self.setup.destination, &absent)?;
                }
                self.make().and_then(|()| look_around(&mut connection))
            }
            entered => entered,
        };
        match entered {
            Ok(Ok(standing)) => {
                self.give_back(connection);
                return Ok(Some(standing));
            }
            Ok(Err(error)) => {
                self.close(connection);
                return Err(error);
            }
            Err(Interrupted::Stopped) => {}
            Err(Interrupted::Run(ending, why)) => self.tally.abort(ending, why),
            Err(Interrupted::Session(error)) => self.tally.abort(ExitStatus::of_cause(error.cause), error.chain()),
        }
        Ok(None)
    }

    fn make(&self) -> Result<(), Interrupted> {
        let Setup { sink, destination, observer, .. } = self.setup;
        let failed = |it: SinkError| {
            Interrupted::Run(ExitStatus::of_cause(it.cause), format!("destination {destination}: {}", it.chain()))
        };
        sink.make().map_err(failed)?;
        self.is_made.store(true, Ordering::Relaxed);
        self.contact.is_made();
        observer.event(&Event::Notice(&format!("destination {destination} is new: made {}", sink.describe())));
        Ok(())
    }

    /// Who the installation is, to a destination.
    pub(crate) fn claimant(&self) -> Claimant<'_> {
        claimant(self.setup, self.options)
    }

    fn look_around(&self, connection: &mut Connection<'_>) -> Result<Result<Standing, RunError>, Interrupted> {
        let standing = match snapshot::again(|| connection.with(|it| guard::standing(it, &self.claimant())))? {
            Ok(it) => it,
            Err(error) => return Ok(Err(error)),
        };
        let link = snapshot::newest_known(self)?;
        let newest = snapshot::again(|| {
            connection.with(|session| link.as_ref().map_or(Ok(Newest::Good), |it| look(session, it)))
        })?;
        // A run that never came to its snapshot has left copies all the same.
        let is_in_doubt = link.is_none() || matches!(newest, Newest::Missing);
        if is_in_doubt
            && !self.options.overrides.copies_lost
            && let Err(error) = snapshot::again(|| {
                connection.with(|it| guard::find_any(it, self.setup.ledger, self.setup.destination))
            })?
        {
            return Ok(Err(error));
        }
        self.compare_with_snapshots(connection);
        if let Err(error) = self.take_over_tombstones(connection)? {
            return Ok(Err(error));
        }
        let name = link.map(|it| it.name).unwrap_or_default();
        match newest {
            Newest::Good => {}
            Newest::Missing => self.lacks_snapshot(format!("the newest snapshot, {name}, is missing"), false),
            Newest::Damaged(why) => {
                self.lacks_snapshot(format!("the newest snapshot, {name}, is damaged: {why}"), true);
            }
            Newest::Unknown(why) => {
                let text = format!("the newest snapshot, {name}, cannot be read: {why}");
                self.setup.observer.event(&Event::Warning(&text));
            }
        }
        Ok(Ok(standing))
    }

    /// Proves that the destination is a place of its own, before anything is copied there, and leaves the installation's id
    /// where it is not there yet.
    ///
    /// # Errors
    /// [`RunError`], when it is none, or somebody else's.
    pub(crate) fn take_ground(
        &self,
        standing: &Standing,
        others: &[&DestinationRun<'_>],
        samples: &Samples,
    ) -> Result<(), RunError> {
        if !self.setup.stop.may_begin() {
            return Ok(());
        }
        let mut connections: Vec<(&DestinationRun<'_>, Connection<'_>)> =
            others.iter().map(|it| (*it, it.connection())).collect();
        let mut connection = self.connection();
        let done = snapshot::again(|| {
            connection.with(|session| {
                let others =
                    connections.iter_mut().filter_map(|(dest, it)| Some((dest.setup.destination, it.session()?)));
                self.settle_on(session, &mut others.collect::<Vec<_>>(), standing, samples)
            })
        });
        connections.into_iter().for_each(|(dest, it)| dest.leave(it));
        match done {
            Ok(Ok(())) => {
                self.settled.store(true, Ordering::Relaxed);
                self.give_back(connection);
            }
            // Where nothing can be stored, nothing can be proved. It was proved before: each file's own failure says more.
            Ok(Err(RunError::Destination { text, .. })) if *standing == Standing::Ours => {
                self.setup.observer.event(&Event::Warning(&text));
                self.settled.store(true, Ordering::Relaxed);
                self.give_back(connection);
            }
            Ok(Err(RunError::Destination { text, ending })) => {
                self.tally.abort(ending, text);
                self.give_back(connection);
            }
            Ok(Err(error)) => {
                self.close(connection);
                return Err(self.unmake(error));
            }
            Err(Interrupted::Stopped) => {}
            Err(Interrupted::Run(ending, why)) => self.tally.abort(ending, why),
            Err(Interrupted::Session(error)) => self.tally.abort(ExitStatus::of_cause(error.cause), error.chain()),
        }
        Ok(())
    }

    /// What this run made for nothing goes again.
    fn unmake(&self, refused: RunError) -> RunError {
        if !self.is_made.load(Ordering::Relaxed) {
            return refused;
        }
        match self.setup.sink.unmake() {
            Ok(()) => refused,
            Err(left) => refused.beside(self.setup.destination, &left),
        }
    }

    /// The destination knows of runs that the ledger has forgotten: it was lost, or an older one was put in its place.
    fn compare_with_snapshots(&self, connection: &mut Connection<'_>) {
        let Ok(Some(own)) = snapshot::list_own(connection, "") else { return };
        let names = own.iter().filter(|it| it.starts_with(snapshot_names::BEFORE)).cloned().collect();
        let names = snapshot_names::as_spelled(names);
        *self.own_names.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
        let Some(newest) = snapshot_names::newest(&names, snapshot_names::now()) else { return };
        let Some(run) = snapshot_names::run_of(newest).map(|it| RunId(it.to_owned())) else { return };
        // What cannot be asked now is asked by the next run.
        let Ok(false) = self.setup.ledger.knows_run(self.setup.destination, &run) else { return };
        let why = format!(
            "the newest snapshot there, {newest}, is of a run that this ledger does not know: an older ledger was put in the \
             place of the one that it belongs to, or that one was lost, or another ledger is used with this destination. \
             This run proves anew what it meets; copies that the ledger does not know are found by their bytes. Where the \
             newer ledger is still to be had, use that one; else `rebuild` with an empty ledger knows more than this one"
        );
        self.setup.observer.event(&Event::Warning(&why));
        self.tally.lock().note_global(About::Destination(self.setup.destination), Status::Pending, why);
    }

    /// What was purged does not come back, also where the ledger was lost: the destination knows it too.
    fn take_over_tombstones(&self, connection: &mut Connection<'_>) -> Result<Result<(), RunError>, Interrupted> {
        let Setup { ledger, destination, observer, .. } = *self.setup;
        let names = self.own_names.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let run = &self.options.run;
        let taken = snapshot::again(|| {
            connection.with(|session| tombstones::take_over(session, ledger, destination, run, &names))
        })?;
        match taken {
            Ok(0) => Ok(Ok(())),
            Ok(count) => {
                let text = format!(
                    "destination {destination} has tombstones of {count} data files that were deleted by law, which this ledger \
                     did not know; they are not copied again"
                );
                observer.event(&Event::Notice(&text));
                // It was empty before: one arrival a run.
                let _ = self.purged.set(Buried::known(ledger)?);
                self.tally.lock().changed = true;
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn settle_on(
        &self,
        session: &mut dyn SinkSession,
        others: &mut [(&DestinationName, &mut dyn SinkSession)],
        standing: &Standing,
        samples: &Samples,
    ) -> Result<Result<(), RunError>, SinkError> {
        let until = Instant::now() + SEARCH;
        let (stores, passed_over) = (self.setup.stores, &self.doubtful);
        let own = self.own_names.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut beyond = Beyond { stores, passed_over, samples, until, unfinished: BTreeMap::new(), own };
        if let Err(one) = guard::prove_apart(session, self.setup.destination, &mut beyond, others)? {
            return Ok(Err(one));
        }
        let Standing::ToMark { before, replace } = standing else { return Ok(Ok(())) };
        Ok(guard::leave(session, &self.claimant(), before.clone(), *replace)?.map(|note| {
            if let Some(note) = note {
                let why = format!("destination {}: {note}", self.setup.destination);
                self.setup.observer.event(&Event::Warning(&why));
                let mut counts = self.tally.lock();
                counts.note_global(About::Destination(self.setup.destination), Status::Ok, note);
            }
        }))
    }

    /// The run is to leave another one.
    fn lacks_snapshot(&self, what: String, is_damaged: bool) {
        let why = format!("{what}; this run leaves another one");
        self.setup.observer.event(&Event::Warning(&why));
        let mut counts = self.tally.lock();
        counts.changed = true;
        counts.destination_damaged |= is_damaged;
        counts.note_global(About::Destination(self.setup.destination), Status::FailVerify, why);
    }
}

/// Who the installation is, to a destination.
pub(crate) fn claimant<'a>(setup: &'a Setup<'_>, options: &'a Options) -> Claimant<'a> {
    Claimant {
        ledger: setup.ledger,
        destination: setup.destination,
        catalogue: setup.catalog.describe(),
        host: &options.agent.host,
        take_over: options.overrides.take_over,
    }
}

fn look(session: &mut dyn SinkSession, link: &SnapshotLink) -> Result<Newest, SinkError> {
    let key = match ObjectKey::own(&link.name) {
        Ok(it) => [it],
        Err(error) => return Ok(Newest::Unknown(chain(&error))),
    };
    if session.measure_evidence() == Evidence::ReadBack {
        match session.stat(&key)?.pop() {
            Some(Ok(Some(found))) if found.size > READ_BACK => return Ok(Newest::Good),
            Some(Ok(None)) => return Ok(Newest::Missing),
            Some(Ok(Some(_)) | Err(_)) | None => {}
        }
    }
    Ok(match session.measure(&key, &[])?.pop() {
        Some(Ok(measured)) => match measured.digest(Algorithm::Sha256).map(Digest::hex) {
            Some(found) if found == link.sha256 => Newest::Good,
            Some(found) => Newest::Damaged(format!("it has SHA-256 {found} where {} was proved", link.sha256)),
            None => Newest::Unknown("the destination gave no SHA-256 of it".to_owned()),
        },
        Some(Err(error)) if error.cause == Cause::Missing => Newest::Missing,
        Some(Err(error)) if error.cause == Cause::Broken => Newest::Damaged(error.chain()),
        // An account that may only write is one that was meant so.
        Some(Err(error)) if error.cause == Cause::Forbidden => Newest::Good,
        Some(Err(error)) => Newest::Unknown(error.chain()),
        None => Newest::Unknown("the destination gave no answer".to_owned()),
    })
}
