//! Lawful purges (design.md 11): what was asked for, who agreed, what is left to be deleted, and what is known of it afterwards.

use std::fmt;

use dvb_fixity::{Algorithm, Digest, Measured};
use dvb_model::{DestinationName, DvObjectId, RunId};
use serde::{Deserialize, Serialize};

use crate::{EntryKind, LedgerError};

/// How far a purge has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PurgeState {
    /// Somebody asked for it.
    Requested,
    /// Somebody agreed to its list.
    Approved,
    /// Deleting has begun: there is no way back.
    Executing,
    /// Nothing is left at any destination.
    Done,
    /// It was given up before anything was deleted.
    Withdrawn,
}

impl PurgeState {
    const ALL: [Self; 5] = [Self::Requested, Self::Approved, Self::Executing, Self::Done, Self::Withdrawn];

    /// As the ledger spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Approved => "approved",
            Self::Executing => "executing",
            Self::Done => "done",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether something is still to come of it.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Requested | Self::Approved | Self::Executing => true,
            Self::Done | Self::Withdrawn => false,
        }
    }
}

impl fmt::Display for PurgeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// When, RFC 3339 UTC.
    pub at: String,
    /// User of the system.
    pub user: String,
    /// Their number on that host.
    pub uid: u32,
    /// Name of the host.
    pub host: String,
}

impl fmt::Display for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (uid {}) on {}, {}", self.user, self.uid, self.host, self.at)
    }
}

/// A purge, from its request to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purge {
    /// Its number in this ledger; 0 before it is recorded.
    #[serde(default)]
    pub number: u64,
    /// Name of the request: no other one in the world has it.
    pub run: RunId,
    /// How far it has come.
    pub state: PurgeState,
    /// Who asked for it.
    pub requested: Signed,
    /// What was selected, in words.
    pub scope: String,
    /// On which legal basis, in a word.
    pub basis: String,
    /// The number of the case, or the letter that it rests on.
    pub reference: String,
    /// SHA-256 of its list in canonical form, in hexadecimal: the approval is bound to it.
    pub digest: String,
    /// The most data files that it was allowed to be about.
    pub cap: u64,
    /// Also what is in Dataverse's catalogue; no run copies it again.
    pub even_if_in_dataverse: bool,
    /// When its grace ends, RFC 3339 UTC.
    pub not_before: String,
    /// What it is about.
    pub files: Vec<Purged>,
    /// Every destination that was looked at.
    pub destinations: Vec<DestinationName>,
    /// Who agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<Signed>,
    /// Who began to carry it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executed: Option<Signed>,
    /// When nothing was left anywhere, or when it was given up, RFC 3339 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// A data file or dataset that is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Its id: `dvobject.id` of Dataverse's database.
    pub id: DvObjectId,
    /// Which of the two.
    pub kind: EntryKind,
}

/// How far a thing that is to go has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetState {
    /// It is there.
    Pending,
    /// It is there, and a lock keeps it: until when, RFC 3339 UTC; `None`: until somebody lifts it.
    Locked(Option<String>),
    /// It is not there any more, since when, RFC 3339 UTC.
    Gone(String),
}

impl TargetState {
    /// As the ledger spells it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Locked(_) => "locked",
            Self::Gone(_) => "gone",
        }
    }
}

/// One thing at a destination that is to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeTarget {
    /// Its number in the purge.
    pub number: u64,
    /// Where it is.
    pub destination: DestinationName,
    /// Whose it is; `None` for a snapshot, which names several.
    pub id: Option<DvObjectId>,
    /// Which object of the data file; `snapshot`.
    pub role: String,
    /// The key that it was found by.
    pub key: String,
    /// Its name at the destination.
    pub name: String,
    /// Which version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it is: `object`, `manifest`, `segment`, `upload`, `marker`.
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, where the ledger has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
    /// It stands in the list that is approved. What came forward while others were deleted does not.
    pub listed: bool,
    /// How far it has come.
    pub state: TargetState,
}

impl PurgeTarget {
    /// The same without its names: their digests are in their place.
    #[must_use]
    pub fn without_names(&self) -> Self {
        if self.name.starts_with(NAMELESS) {
            return self.clone();
        }
        let hidden = |name: &str| format!("{NAMELESS}{}", digest_of(name));
        Self { key: hidden(&self.key), name: hidden(&self.name), ..self.clone() }
    }
}

/// What stands before the digest of a name.
const NAMELESS: &str = "sha256:";

/// SHA-256 of a name, in hexadecimal: what is kept in its place.
#[must_use]
pub fn digest_of(name: &str) -> String {
    Measured::of(name.as_bytes(), &[]).digest(Algorithm::Sha256).map(Digest::hex).unwrap_or_default()
}

/// What is left of a data file at a destination: no names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Id of the data file or dataset.
    pub id: DvObjectId,
    /// Which of the two.
    pub kind: EntryKind,
    /// Name of the purge's request.
    pub purge: RunId,
    /// Where it was.
    pub destination: DestinationName,
    /// On which legal basis.
    pub basis: String,
    /// The number of the case.
    pub reference: String,
    /// SHA-256 of the list that was approved, in hexadecimal.
    pub list: String,
    /// Who asked for it.
    pub requested: Signed,
    /// Who agreed.
    pub approved: Option<Signed>,
    /// Who carried it out.
    pub executed: Signed,
    /// What was there when it began.
    pub objects: Vec<Buried>,
    /// When a listing showed that nothing is left there, RFC 3339 UTC; `None`: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved_at: Option<String>,
}

/// A thing that was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buried {
    /// SHA-256 of its key, in hexadecimal.
    pub key_sha256: String,
    /// What it was: `object`, `manifest`, `segment`, `upload`, `marker`.
    pub kind: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Digest>,
}

/// Data files and datasets that may not be purged, whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Its number in this ledger; 0 before it is recorded.
    #[serde(default)]
    pub number: u64,
    /// Name of the command that placed it.
    pub run: RunId,
    /// What was selected, in words.
    pub scope: String,
    /// Ids of data files.
    pub files: Vec<DvObjectId>,
    /// PIDs of datasets, with all data files that they have or will have.
    pub datasets: Vec<String>,
    /// Why, or the number of the case.
    pub reference: String,
    /// Who placed it.
    pub placed: Signed,
    /// Who released it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<(Signed, String)>,
}

/// Lawful purges and what keeps from them. Each call is one transaction.
pub trait Purges {
    /// Records a request with its list, and tells its number. The purge's own number is not looked at.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn request_purge(&self, purge: &Purge, targets: &[PurgeTarget]) -> Result<u64, LedgerError>;

    /// All purges, the first one first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn purges(&self) -> Result<Vec<Purge>, LedgerError>;

    /// Records how far a purge has come, if it is still as it was: says whether it was in the state `from`, with the digest
    /// that `purge` has. So of two that approve it at once, one does.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn advance_purge(&self, purge: &Purge, from: PurgeState) -> Result<bool, LedgerError>;

    /// What is or was to go, in the order of the numbers.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn purge_targets(&self, number: u64) -> Result<Vec<PurgeTarget>, LedgerError>;

    /// Records targets, in the place of those of the same numbers.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn record_purge_targets(&self, number: u64, targets: &[PurgeTarget]) -> Result<(), LedgerError>;

    /// Records tombstones at a destination, in the place of those of the same purge that are not proved; one that is proved
    /// stays as it is. Each data file becomes `PURGED` there, without names; its copies keep their keys, and are no
    /// copies any more: nothing is verified, restored or copied of it. What else the ledger says of it loses the names:
    /// incidents, acknowledgements, commands and runs.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn bury(&self, destination: &DestinationName, run: &RunId, tombstones: &[Tombstone]) -> Result<(), LedgerError>;

    /// Lets go of the keys of what is buried at a destination: nothing lies there any more. Only of what has a tombstone.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn free_keys(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError>;

    /// Makes the ledger's own files forget what its rows said before: names that were replaced lie in them until their room is
    /// used again. `Some`: what they keep all the same, and what can be done.
    ///
    /// # Errors
    /// [`LedgerError`], also where another program is at work with it.
    fn forget_deleted(&self) -> Result<Option<String>, LedgerError>;

    /// Takes over the purges and holds of a ledger that was lost; what is here already stays as it is. Of a purge that was not
    /// done, the list is lost: it is withdrawn, and can be requested again.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn take_over_purges(&self, purges: &[Purge], holds: &[Hold]) -> Result<(), LedgerError>;

    /// All tombstones, in the order of data files and destinations.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn tombstones(&self) -> Result<Vec<Tombstone>, LedgerError>;

    /// Records a hold, and tells its number. The hold's own number is not looked at.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn place_hold(&self, hold: &Hold) -> Result<u64, LedgerError>;

    /// All holds, those that were released among them, the first one first.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn holds(&self) -> Result<Vec<Hold>, LedgerError>;

    /// Releases a hold. Says whether there was one of this number that was not released.
    ///
    /// # Errors
    /// [`LedgerError`].
    fn release_hold(&self, number: u64, by: &Signed, reference: &str) -> Result<bool, LedgerError>;
}

/// A purge as it is taken over from a ledger that was lost.
pub(crate) fn taken_over(purge: &Purge, at: String) -> Purge {
    let ended_at = purge.ended_at.clone().or(Some(at));
    let state = if purge.state.is_open() { PurgeState::Withdrawn } else { purge.state };
    Purge { state, ended_at, ..purge.clone() }
}

/// A record as the databases write it.
pub(crate) fn written<T: Serialize>(record: &T) -> Result<String, LedgerError> {
    // It is made of text and numbers alone; what cannot be written is not recorded.
    serde_json::to_string(record)
        .map_err(|error| LedgerError::BadRow { what: "record of a purge".to_owned(), value: error.to_string() })
}

/// A record as the databases have it.
pub(crate) fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, LedgerError> {
    serde_json::from_str(text)
        .map_err(|error| LedgerError::BadRow { what: format!("record of a purge ({error})"), value: text.to_owned() })
}

/// A purge as its columns have it: the number and the state of the row count.
pub(crate) fn purge_of(number: i64, state: &str, record: &str) -> Result<Purge, LedgerError> {
    let state = PurgeState::ALL.into_iter().find(|it| it.name() == state);
    let state = state.ok_or_else(|| crate::decode::bad_row("state of purge", number, record))?;
    Ok(Purge { number: u64::try_from(number).unwrap_or(0), state, ..read(record)? })
}

/// A hold as its columns have it.
pub(crate) fn hold_of(number: i64, record: &str) -> Result<Hold, LedgerError> {
    Ok(Hold { number: u64::try_from(number).unwrap_or(0), ..read(record)? })
}

/// Why it has its status, for whoever lists it.
pub(crate) fn reason(tombstone: &Tombstone) -> String {
    let Tombstone { basis, reference, proved_at, .. } = tombstone;
    match proved_at {
        Some(at) => format!("purged: {basis}, {reference}; nothing is left here since {at}"),
        None => format!("purged: {basis}, {reference}; not everything is deleted here yet"),
    }
}

/// What stands in the place of names.
pub(crate) const REMOVED: &str = "(purged)";

/// What is searched for in texts, with what takes its place: names that are too short for that are only taken as a whole.
pub(crate) fn replacements(names: &[String]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for name in names.iter().filter(|it| !it.is_empty()) {
        let quoted = serde_json::Value::from(name.as_str()).to_string();
        if name.len() >= 12 {
            let inner = quoted.trim_matches('"').to_owned();
            all.push((inner, REMOVED.to_owned()));
        } else {
            all.push((quoted, format!("\"{REMOVED}\"")));
        }
    }
    // The longest first: a key holds the storage identifier.
    all.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all
}
