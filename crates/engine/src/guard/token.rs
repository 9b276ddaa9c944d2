//! Something random that is stored at a destination, to be looked for in all other places (design.md 7.9).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use dvb_model::{DestinationName, DriverId, ObjectKey};
use dvb_storage::{Cause, Location, Sighting, SinkError, SinkSession, Trace};

use super::{Samples, own};
use crate::command::error::RunError;
use crate::source::stores::{Access, Stores};

/// What comes before what is random in its name.
const BEFORE: &str = "token-";
const TEXT: &str =
    "dataverse-backup looks whether this shows in a store, or at another destination. It may be removed.\n";

/// An object at a destination with a name like no other.
struct Token {
    key: ObjectKey,
    root: Option<String>,
}

impl Token {
    fn of(session: &dyn SinkSession, name: &str) -> Result<Self, SinkError> {
        let key = ObjectKey::own(name);
        let key = key.map_err(|it| SinkError::because(Cause::Refused, format!("cannot name a token {name:?}"), it))?;
        Ok(Self { key, root: session.root() })
    }

    /// Stores a new one. Inner error: nothing can be stored.
    fn leave(
        session: &mut dyn SinkSession,
        destination: &DestinationName,
    ) -> Result<Result<Self, RunError>, SinkError> {
        let token = Self::of(session, &format!("{BEFORE}{:032x}", fastrand::u128(..)))?;
        let stored = own::put(session, &token.key, TEXT.into(), false)?;
        Ok(stored.map_err(|it| own::refused(it, destination, &token.key)).map(|()| token))
    }

    fn is_there(&self, session: &mut dyn SinkSession) -> Result<bool, SinkError> {
        Ok(matches!(session.stat(std::slice::from_ref(&self.key))?.pop(), Some(Ok(Some(_)))))
    }

    /// Takes it away. Where this account may remove nothing, it stays, and serves the next time.
    fn remove(&self, session: &mut dyn SinkSession) -> Result<(), SinkError> {
        match session.remove_own(&self.key) {
            Err(error) if matches!(error.cause, Cause::Missing | Cause::Forbidden | Cause::Refused | Cause::Io) => {
                Ok(())
            }
            removed => removed,
        }
    }

    /// Looks for it below a store.
    fn look_below(&self, near: &[Location], until: Instant, access: &Access) -> Result<Sighting, String> {
        match access {
            Access::Readable(source) => {
                let trace = Trace { key: &self.key, root: self.root.as_deref(), near, until };
                source.look_for(&trace).map_err(|it| it.chain())
            }
            Access::Reference(_) | Access::Unavailable(_) => Ok(Sighting::Unseen),
        }
    }

    /// Looks for it at another destination: under its own key, and under those that it has if one lies in the other.
    fn look_at(&self, other: &mut dyn SinkSession) -> Result<Option<String>, SinkError> {
        let trace = Trace { key: &self.key, root: self.root.as_deref(), near: &[], until: Instant::now() };
        let keys: Vec<ObjectKey> = trace.names().iter().filter_map(|it| ObjectKey::new(it).ok()).collect();
        let found = other.stat(&keys)?;
        let mut seen = keys.iter().zip(found).filter(|(_, found)| matches!(found, Ok(Some(_))));
        Ok(seen.next().map(|(key, _)| format!("what was just stored at one of them is {key} at the other")))
    }
}

/// All other places that a destination could be.
pub(crate) struct Beyond<'a> {
    pub(crate) stores: &'a Stores,
    /// Stores of these that nothing is taken from.
    pub(crate) passed_over: &'a BTreeSet<DriverId>,
    pub(crate) samples: &'a Samples,
    /// When the search from folder to folder ends.
    pub(crate) until: Instant,
    /// What could not be looked at, by driver id.
    pub(crate) unfinished: BTreeMap<DriverId, String>,
    /// The backup's own names at the destination, where they were just listed.
    pub(crate) own: Option<Vec<String>>,
}

impl Beyond<'_> {
    /// Looks for a token below every store, and at every other destination.
    fn look(
        &mut self,
        token: &Token,
        destination: &DestinationName,
        others: &mut [(&DestinationName, &mut dyn SinkSession)],
    ) -> Result<Option<RunError>, SinkError> {
        let one_place =
            |other: String, how: String| Some(RunError::OnePlace { destination: destination.0.clone(), other, how });
        for (driver, store) in self.stores.by_id.iter().filter(|it| !self.passed_over.contains(it.0)) {
            match token.look_below(self.samples.near(driver), self.until, &store.access) {
                Ok(Sighting::Seen(how)) => return Ok(one_place(format!("store {driver}"), how)),
                Ok(Sighting::Unseen) => {}
                Ok(Sighting::Unfinished(why)) | Err(why) => drop(self.unfinished.insert(driver.clone(), why)),
            }
        }
        for (name, other) in others {
            // One that is out of reach now is looked at when its own turn comes.
            if let Ok(Some(how)) = token.look_at(*other) {
                return Ok(one_place(format!("destination {name}"), how));
            }
        }
        Ok(None)
    }
}

/// Proves that a destination is a place of its own, by a token that is taken away again.
///
/// Inner error: it is none ([`RunError::OnePlace`]), or nothing can be stored there ([`RunError::Destination`]).
pub(crate) fn prove_apart(
    session: &mut dyn SinkSession,
    destination: &DestinationName,
    beyond: &mut Beyond<'_>,
    others: &mut [(&DestinationName, &mut dyn SinkSession)],
) -> Result<Result<(), RunError>, SinkError> {
    // Where nothing may be removed, one token is enough for ever; where it shows elsewhere too, it may have come there
    // with a copy of everything, which a new one tells.
    if let Some(name) = left_behind(session, beyond.own.as_deref())? {
        let token = Token::of(session, &name)?;
        if beyond.look(&token, destination, others)?.is_none() && token.is_there(session)? {
            token.remove(session)?;
            return Ok(Ok(()));
        }
    }
    let token = match Token::leave(session, destination)? {
        Ok(it) => it,
        Err(error) => return Ok(Err(error)),
    };
    let seen = beyond.look(&token, destination, others);
    let removed = token.remove(session);
    Ok(match (seen?, removed?) {
        (Some(one), ()) => Err(one),
        (None, ()) => Ok(()),
    })
}

/// The name of a token that is there from before.
fn left_behind(session: &mut dyn SinkSession, listed: Option<&[String]>) -> Result<Option<String>, SinkError> {
    if let Some(names) = listed {
        return Ok(names.iter().find(|it| it.starts_with(BEFORE)).cloned());
    }
    match session.list_own(BEFORE) {
        Ok(names) => Ok(names.into_iter().next()),
        Err(error) if error.cause == Cause::Forbidden => Ok(None),
        Err(error) => Err(error),
    }
}
