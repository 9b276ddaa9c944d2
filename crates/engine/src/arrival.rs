//! Before a run works for a destination: is it there, and is it the one that the ledger knows?
//!
//! A run with nothing to do would see none of it: a server that is gone, a disk that is not mounted, a damaged snapshot.

use dvb_catalog::SnapshotLink;
use dvb_fixity::{Algorithm, Digest, Evidence};
use dvb_model::{ObjectKey, RunId, Status};
use dvb_storage::{Cause, SinkError, SinkSession};

use crate::check::{Copies, Wanted};
use crate::connection::{Connection, Lost};
use crate::lane::Lane;
use crate::nightly::keys_of_first;
use crate::observer::Event;
use crate::snapshot::{self, thin};
use crate::tally::About;
use crate::verify::{FOREVER, PROBES};
use crate::{Ending, RunError, chain};

/// Where a snapshot cannot be hashed by the destination, it is read back up to this size; of larger ones, it has to do
/// that they are there.
const READ_BACK: u64 = 64 << 20;

/// What the newest snapshot that the ledger knows turns out to be.
enum Newest {
    Good,
    Missing,
    Damaged(String),
    /// It cannot be looked at.
    Unknown(String),
}

impl Lane<'_> {
    /// Connects, and looks at the newest snapshot.
    ///
    /// # Errors
    /// [`RunError::AllMissing`], when nothing is there that should be.
    pub(crate) fn arrive(&self) -> Result<(), RunError> {
        if !self.setup.stop.may_begin() {
            return Ok(());
        }
        let link = snapshot::newest_known(self)?;
        let mut connection = self.connection();
        let looked = snapshot::again(|| {
            connection.with(|session| link.as_ref().map_or(Ok(Newest::Good), |it| look(session, it)))
        });
        let newest = match looked {
            Ok(it) => it,
            Err(Lost::Stopped) => return Ok(()),
            Err(Lost::Run(ending, why)) => {
                self.tally.abort(ending, why);
                return Ok(());
            }
            Err(Lost::Session(error)) => {
                self.tally.abort(Ending::of_cause(error.cause), error.chain());
                return Ok(());
            }
        };
        // A run that never came to its snapshot has left copies all the same.
        let is_in_doubt = link.is_none() || matches!(newest, Newest::Missing);
        if is_in_doubt && !self.options.overrides.copies_lost {
            let keys = self.some_copies()?;
            let found = snapshot::again(|| connection.with(|it| it.stat(&keys)));
            let is_empty = |it: &Vec<_>| !it.is_empty() && it.iter().all(|it| matches!(it, Ok(None)));
            if found.is_ok_and(|it| is_empty(&it)) {
                connection.clean_up();
                return Err(RunError::AllMissing { destination: self.setup.destination.0.clone(), probed: keys.len() });
            }
        }
        self.compare_with_snapshots(&mut connection);
        self.leave(connection);
        let name = link.map(|it| it.name).unwrap_or_default();
        match newest {
            Newest::Good => {}
            Newest::Missing => self.lacks_snapshot(format!("the newest snapshot, {name}, is missing"), false),
            Newest::Damaged(why) => {
                self.lacks_snapshot(format!("the newest snapshot, {name}, is damaged: {why}"), true)
            }
            Newest::Unknown(why) => {
                let text = format!("the newest snapshot, {name}, cannot be looked at: {why}");
                self.setup.observer.event(&Event::Warning(&text));
            }
        }
        Ok(())
    }

    /// The destination knows of runs that the ledger has forgotten: it was lost, or an older one was put in its place.
    fn compare_with_snapshots(&self, connection: &mut Connection<'_>) {
        let Ok(Some(names)) = snapshot::list(connection) else { return };
        let Some(newest) = thin::newest(&names, thin::now()) else { return };
        let Some(run) = thin::run_of(newest).map(|it| RunId(it.to_owned())) else { return };
        // What cannot be asked now is asked by the next run.
        let Ok(false) = self.setup.ledger.knows_run(self.setup.destination, &run) else { return };
        let why = format!(
            "the newest snapshot there, {newest}, is of a run that this ledger does not know: an older ledger was put in the \
             place of the one that it belongs to, or that one was lost, or another ledger is used with this destination. \
             This run proves anew what it meets; copies that the ledger does not know are found by their bytes. Where the \
             newer ledger is still to be had, use that one; else `rebuild` with an empty ledger knows more than this one"
        );
        self.setup.observer.event(&Event::Warning(&why));
        self.tally.lock().note_at_large(About::Destination(self.setup.destination), Status::Pending, why);
    }

    /// The run is to leave another one.
    fn lacks_snapshot(&self, what: String, is_damaged: bool) {
        let why = format!("{what}; this run leaves another one");
        self.setup.observer.event(&Event::Warning(&why));
        let mut counts = self.tally.lock();
        counts.changed = true;
        counts.destination_damaged |= is_damaged;
        counts.note_at_large(About::Destination(self.setup.destination), Status::FailVerify, why);
    }

    fn some_copies(&self) -> Result<Vec<ObjectKey>, RunError> {
        let wanted = Wanted { damaged: false, before: FOREVER.to_owned(), filter: &|_| true };
        Ok(keys_of_first(Copies::new(self.setup.at(&self.options.run), &wanted), PROBES as u64)?)
    }
}

fn look(session: &mut dyn SinkSession, link: &SnapshotLink) -> Result<Newest, SinkError> {
    let key = match ObjectKey::own(&link.name) {
        Ok(it) => [it],
        Err(error) => return Ok(Newest::Unknown(chain(&error))),
    };
    if session.measures_by() == Evidence::ReadBack {
        match session.stat(&key)?.pop() {
            Some(Ok(Some(found))) if found.size > READ_BACK => return Ok(Newest::Good),
            Some(Ok(None)) => return Ok(Newest::Missing),
            Some(Ok(Some(_)) | Err(_)) | None => {}
        }
    }
    Ok(match session.measure(&key, &[])?.pop() {
        Some(Ok(measured)) => match measured.digest(Algorithm::Sha256).map(Digest::hex) {
            Some(found) if found != link.sha256 => {
                Newest::Damaged(format!("it has SHA-256 {found} where {} was proved", link.sha256))
            }
            Some(_) | None => Newest::Good,
        },
        Some(Err(error)) if error.cause == Cause::Missing => Newest::Missing,
        Some(Err(error)) if error.cause == Cause::Broken => Newest::Damaged(error.chain()),
        // An account that may only write is one that was meant so.
        Some(Err(error)) if error.cause == Cause::Forbidden => Newest::Good,
        Some(Err(error)) => Newest::Unknown(error.chain()),
        None => Newest::Good,
    })
}
