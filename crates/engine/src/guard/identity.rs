//! Whose a destination is (design.md 7.9): an id that the ledger and the destination have both.

use std::io;

use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DestinationName, ObjectKey, RunId};
use dvb_storage::{Cause, Sink, SinkError, SinkSession, Unstaged};

use super::own;
use crate::command::error::RunError;
use crate::command::owner::Owner;
use crate::command::time::now;
use crate::copies::probe::PROBES;
use crate::copies::session::{Connection, Contact, DestinationContext, Interrupted};
use crate::copies::snapshot_names;

/// Its name in the backup's own folder.
const NAME: &str = "installation.json";
/// What [`Owner::format`] says, by which the object is known as ours; one with another text is not taken for an
/// identity.
const FORMAT: &str = "dataverse-backup installation";
/// What is longer is none.
const LONGEST: u64 = 1 << 20;

/// What a look at a destination's identity shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The object is not there: nobody has marked the destination, or it is new.
    None,
    /// It belongs to this installation.
    Of(Owner),
    /// Something is there that says nothing: why.
    Unreadable(String),
    /// This account may not see it.
    Hidden,
}

/// Looks whose a destination is.
///
/// # Errors
/// [`SinkError`], when the session is lost.
pub fn look_at_identity(session: &mut dyn SinkSession) -> Result<Identity, SinkError> {
    Ok(match own::get(session, &key()?, LONGEST)? {
        Ok(bytes) => match serde_json::from_slice::<Owner>(&bytes) {
            Ok(owner) if owner.format == FORMAT && !owner.id.is_empty() => Identity::Of(owner),
            Ok(_) => Identity::Unreadable("it was not written by this program".to_owned()),
            Err(error) => Identity::Unreadable(error.to_string()),
        },
        Err(error) if error.cause == Cause::Missing => Identity::None,
        Err(error) if error.cause == Cause::Forbidden => Identity::Hidden,
        Err(error) => Identity::Unreadable(error.chain()),
    })
}

fn key() -> Result<ObjectKey, SinkError> {
    ObjectKey::own(NAME).map_err(|it| SinkError::because(Cause::Refused, format!("cannot name {NAME}"), it))
}

/// Who comes to a destination.
pub(crate) struct Claimant<'a> {
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) destination: &'a DestinationName,
    pub(crate) catalogue: String,
    pub(crate) host: &'a str,
    /// Another installation's destination, or one that nobody knows whose it is, is to be this one's from now on.
    pub(crate) take_over: bool,
}

/// How a destination stands to an installation that may store there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It carries the installation's id, and the ledger knows it.
    Ours,
    /// The id is to be left there: those that it belonged to before.
    ToMark { before: Vec<String>, replace: bool },
}

/// Whether an installation may store at a destination. Nothing is stored here; [`leave`] does that.
///
/// Inner error: it may not.
pub(crate) fn standing(
    session: &mut dyn SinkSession,
    claimant: &Claimant<'_>,
) -> Result<Result<Standing, RunError>, SinkError> {
    let found = look_at_identity(session)?;
    let id = match installation(claimant.ledger) {
        Ok(it) => it,
        Err(error) => return Ok(Err(error.into())),
    };
    let destination = claimant.destination.0.clone();
    Ok(match found {
        Identity::Of(owner) if owner.id == id => Ok(match claimant.ledger.identified_at(claimant.destination) {
            Ok(Some(_)) => Standing::Ours,
            Ok(None) => {
                return Ok(claimant
                    .ledger
                    .identify(claimant.destination)
                    .map(|()| Standing::Ours)
                    .map_err(RunError::from));
            }
            Err(error) => return Ok(Err(error.into())),
        }),
        Identity::Of(owner) if claimant.take_over => {
            let before = [owner.before, vec![owner.id]].concat();
            Ok(Standing::ToMark { before, replace: true })
        }
        Identity::Of(owner) => Err(RunError::Foreign { destination, owner: Box::new(owner) }),
        Identity::Unreadable(_) if claimant.take_over => Ok(Standing::ToMark { before: Vec::new(), replace: true }),
        Identity::Unreadable(why) => Err(RunError::Unidentified { destination, name: key()?.to_string(), why }),
        // An account that may not see it will be told that it is there when it leaves its own.
        Identity::None | Identity::Hidden => match stranger(session, claimant)? {
            Ok(Some(snapshot)) if !claimant.take_over => Err(RunError::Strange { destination, snapshot }),
            Ok(_) => Ok(Standing::ToMark { before: Vec::new(), replace: false }),
            Err(error) => Err(error),
        },
    })
}

/// A snapshot that this ledger knows nothing of, at a destination that carries no id, where no other is there that it does
/// know: a version of this program without ids has left it, for another installation or for a ledger that was lost.
fn stranger(
    session: &mut dyn SinkSession,
    claimant: &Claimant<'_>,
) -> Result<Result<Option<String>, RunError>, SinkError> {
    let names = match session.list_own(snapshot_names::BEFORE) {
        Err(error) if error.cause == Cause::Forbidden => return Ok(Ok(None)),
        listed => listed?,
    };
    let snapshots = snapshot_names::newest_first(&names, snapshot_names::now());
    for run in snapshots.iter().filter_map(|it| snapshot_names::run_of(it)) {
        match claimant.ledger.knows_run(claimant.destination, &RunId(run.to_owned())) {
            Ok(true) => return Ok(Ok(None)),
            Ok(false) => {}
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(snapshots.first().map(|it| (*it).clone())))
}

/// Looks for some of the copies that the ledger knows.
///
/// Inner error: not one of them is there.
pub(crate) fn find_any(
    session: &mut dyn SinkSession,
    ledger: &dyn Ledger,
    destination: &DestinationName,
) -> Result<Result<(), RunError>, SinkError> {
    let known = ledger.oldest_copies(destination, None, None, PROBES.into());
    let keys: Vec<ObjectKey> = match known {
        Ok(held) => held.into_iter().map(|it| it.copy.key).collect(),
        Err(error) => return Ok(Err(error.into())),
    };
    if keys.is_empty() {
        return Ok(Ok(()));
    }
    let found = session.stat(&keys)?;
    let is_empty = found.iter().all(|it| matches!(it, Ok(None)));
    let error = RunError::AllMissing { destination: destination.0.clone(), probed: keys.len() };
    Ok(if is_empty { Err(error) } else { Ok(()) })
}

/// Leaves the id at a destination, and has the ledger know that it is there. Says what should be known of that.
///
/// Inner error: somebody else was faster, or nothing can be stored there.
pub(crate) fn leave(
    session: &mut dyn SinkSession,
    claimant: &Claimant<'_>,
    before: Vec<String>,
    replace: bool,
) -> Result<Result<Option<String>, RunError>, SinkError> {
    let Claimant { ledger, destination, catalogue, host, .. } = claimant;
    let id = match installation(*ledger) {
        Ok(it) => it,
        Err(error) => return Ok(Err(error.into())),
    };
    let taken = before.last().cloned();
    let owner = Owner {
        format: FORMAT.to_owned(),
        about: "The copies here belong to the installation of dataverse-backup with this id, which its ledger has too. Another \
                one refuses to store here. Do not remove this file"
            .to_owned(),
        id: id.clone(),
        destination: (*destination).clone(),
        catalogue: catalogue.clone(),
        host: (*host).to_owned(),
        since: now(),
        before,
    };
    let key = key()?;
    let unwritten = |it| SinkError::because(Cause::Io, format!("cannot write {key}"), io::Error::from(it));
    let mut text = serde_json::to_vec_pretty(&owner).map_err(unwritten)?;
    text.push(b'\n');
    match own::put(session, &key, text, replace)? {
        Ok(()) => {}
        Err(Unstaged::Sink(error)) if error.cause == Cause::Exists => {
            // It came since the look, or this account cannot see it.
            match look_at_identity(session)? {
                Identity::Of(owner) if owner.id == id => {}
                Identity::Of(owner) => {
                    return Ok(Err(RunError::Foreign { destination: destination.0.clone(), owner: Box::new(owner) }));
                }
                Identity::Hidden => {
                    let why = format!("cannot find out whose it is: this account may not read {key}");
                    return Ok(Ok(Some(why)));
                }
                Identity::None | Identity::Unreadable(_) => {
                    return Ok(Err(own::refused(Unstaged::Sink(error), destination, &key)));
                }
            }
        }
        Err(error) => return Ok(Err(own::refused(error, destination, &key))),
    }
    if let Err(error) = ledger.identify(destination) {
        return Ok(Err(error.into()));
    }
    Ok(Ok(taken.map(|it| format!("it belonged to the installation {it} and is this one's from now on, {id}"))))
}

/// The id of the installation that the ledger is of.
///
/// # Errors
/// [`LedgerError`].
pub(crate) fn installation(ledger: &dyn Ledger) -> Result<String, LedgerError> {
    ledger.installation(&fresh_id())
}

/// 32 hexadecimal digits that nobody else has.
fn fresh_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

impl Owner {
    /// Whose it is, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        let Self { id, catalogue, host, since, destination, .. } = self;
        format!("installation {id} (catalogue {catalogue}, host {host}, destination {destination}, since {since})")
    }
}

/// Has the ledger be the installation that a destination belongs to, where it has not been any other yet: after a loss. Where
/// the destination tells nothing, its snapshot may.
///
/// # Errors
/// [`RunError::Foreign`], where it is another one.
pub(crate) fn take_on(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    identity: Identity,
    of_snapshot: Option<&str>,
) -> Result<(), RunError> {
    match (identity, of_snapshot) {
        (Identity::Of(owner), _) => {
            if !ledger.become_installation(&owner.id)? {
                return Err(RunError::Foreign { destination: destination.0.clone(), owner: Box::new(owner) });
            }
            Ok(ledger.identify(destination)?)
        }
        // Another one's that was meant to be read, by its name: the next run sees what it may do.
        (_, Some(id)) => Ok(ledger.become_installation(id).map(drop)?),
        (_, None) => Ok(()),
    }
}

/// What a run would find at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It is not there: a run makes it.
    New,
    /// It carries the installation's id.
    Ours,
    /// It does not; a run leaves the id there. When the ledger saw one there before, if it did.
    Unmarked(Option<String>),
}

/// Looks what a run would find, and refuses what a run would refuse at once. Nothing stays there.
///
/// # Errors
/// [`RunError`].
pub(crate) fn outlook(
    sink: &dyn Sink,
    run: &RunId,
    claimant: &Claimant<'_>,
    copies_lost: bool,
) -> Result<Outlook, RunError> {
    let failed = |error: SinkError| RunError::unusable(claimant.destination, &error);
    let mut session = match sink.connect(run) {
        Err(error) if error.cause == Cause::Absent && copies_lost => return Ok(Outlook::New),
        Err(error) if error.cause == Cause::Absent => {
            return may_be_made(claimant.ledger, claimant.destination, &error).map(|()| Outlook::New);
        }
        connected => connected.map_err(failed)?,
    };
    let look = |session: &mut dyn SinkSession| -> Result<Standing, RunError> {
        let standing = standing(session, claimant).map_err(failed)??;
        if standing != Standing::Ours && !copies_lost {
            find_any(session, claimant.ledger, claimant.destination).map_err(failed)??;
        }
        Ok(standing)
    };
    let looked = look(session.as_mut());
    let swept = session.sweep(&|it| it == run);
    let standing = looked?;
    match swept {
        // Buckets and containers have no folder for temporaries that a session would make.
        Err(error) if matches!(error.cause, Cause::Forbidden | Cause::Misconfigured) => {}
        swept => drop(swept.map_err(failed)?),
    }
    Ok(match standing {
        Standing::Ours => Outlook::Ours,
        Standing::ToMark { .. } => Outlook::Unmarked(claimant.ledger.identified_at(claimant.destination)?),
    })
}

/// Whether a destination that is not there may be made: not where copies are known there.
///
/// # Errors
/// [`RunError::NotThere`].
pub(crate) fn may_be_made(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    error: &SinkError,
) -> Result<(), RunError> {
    if ledger.oldest_proof(destination)?.is_none() {
        return Ok(());
    }
    Err(RunError::NotThere { destination: destination.0.clone(), why: error.chain() })
}

/// What a command does with the copies at a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It reads them. A ledger made of a snapshot, or one from before there were ids, cannot tell whose they are.
    Reading,
    /// It may store there too.
    Storing,
}

/// Refuses a place that is not the one that the ledger speaks of, to whatever judges or writes there without being a run:
/// another installation's, one that carries no id although this one's was left there (a disk that is not mounted, another
/// folder), and one that never carried an id and has none of the copies that the ledger knows there. A destination that is out
/// of reach now is left to whoever goes there. Nothing stays there.
///
/// # Errors
/// [`RunError::Foreign`], [`RunError::NotMarked`], [`RunError::AllMissing`], [`RunError::NotThere`].
pub(crate) fn refuse_other_place(
    at: DestinationContext<'_>,
    contact: &Contact,
    purpose: Purpose,
) -> Result<(), RunError> {
    let DestinationContext { ledger, destination, .. } = at;
    let marked = ledger.identified_at(destination)?;
    let mut connection = Connection::new(at, contact);
    let found = connection.with(|session| {
        let identity = look_at_identity(session)?;
        let is_unknown = identity == Identity::None && marked.is_none();
        let copies = if is_unknown { find_any(session, ledger, destination)? } else { Ok(()) };
        Ok((identity, copies))
    });
    let absent = connection.take_absent();
    match purpose {
        Purpose::Reading => connection.leave_for_reading(),
        Purpose::Storing => connection.clean_up(),
    }
    let owner = match found {
        Ok((Identity::Of(owner), _)) => owner,
        Ok((Identity::None, copies)) => {
            return match marked {
                Some(since) => Err(RunError::NotMarked { destination: destination.0.clone(), since }),
                None => copies,
            };
        }
        Ok((Identity::Hidden | Identity::Unreadable(_), _)) => return Ok(()),
        // Whoever goes there next is told the same.
        Err(Interrupted::Run(..)) => {
            return absent.map_or(Ok(()), |absent| may_be_made(ledger, destination, &absent));
        }
        Err(Interrupted::Session(_) | Interrupted::Stopped) => return Ok(()),
    };
    if owner.id == installation(ledger)? || (marked.is_none() && purpose == Purpose::Reading) {
        return Ok(());
    }
    Err(RunError::Foreign { destination: destination.0.clone(), owner: Box::new(owner) })
}
