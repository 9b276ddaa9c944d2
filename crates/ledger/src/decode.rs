//! Columns as the databases give them, made into the rows of the interface. What this program never writes is refused.

use std::str::FromStr;

use dvb_fixity::{Digest, Evidence};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, ObjectRole, RunId, Status};

use crate::validate::{Known, Place};
use crate::{Basis, CopyRecord, CopyState, EntryKind, Holding, LedgerError, Run, RunSummary, State, StateDetail};

pub(crate) struct RawState<'a> {
    pub(crate) id: i64,
    pub(crate) status: &'a str,
    pub(crate) fingerprint: String,
    pub(crate) provisional: bool,
    pub(crate) gone: bool,
    pub(crate) reason: Option<String>,
    pub(crate) basis: Option<&'a str>,
    pub(crate) dataset: Option<String>,
    pub(crate) audited_at: String,
}

impl RawState<'_> {
    pub(crate) fn read(self) -> Result<State, LedgerError> {
        let status = parsed(self.status, "status", self.id)?;
        let Self { id, fingerprint, provisional, gone, reason, basis, dataset, audited_at, .. } = self;
        let basis = basis.map(|it| self::basis(it, id)).transpose()?;
        Ok(State { id: DvObjectId(id), status, fingerprint, provisional, gone, reason, basis, dataset, audited_at })
    }
}

pub(crate) struct RawCopy {
    pub(crate) id: i64,
    pub(crate) role: String,
    pub(crate) version: i32,
    pub(crate) key: String,
    pub(crate) state: String,
    pub(crate) size: Option<i64>,
    pub(crate) sha256: Option<Vec<u8>>,
    /// Digests of the algorithms MD5, SHA-1 and SHA-512, in this order, where they are known.
    pub(crate) others: [Option<Vec<u8>>; 3],
    pub(crate) evidence: Option<String>,
    pub(crate) proved_at: Option<String>,
}

impl RawCopy {
    pub(crate) fn read(self) -> Result<CopyRecord, LedgerError> {
        let id = self.id;
        let state = match copy_state(&self.state, id)? {
            // Nothing else has a digest before its proof.
            CopyState::Reserved if self.sha256.is_some() => CopyState::Claimed,
            state => state,
        };
        Ok(CopyRecord {
            id: DvObjectId(id),
            role: parsed::<ObjectRole>(&self.role, "role", id)?,
            version: number(self.version, "version", id)?,
            key: ObjectKey::new(&self.key).map_err(|_| bad_row("key", id, &self.key))?,
            state,
            size: self.size.map(|it| number(it, "size", id)).transpose()?,
            sha256: self.sha256.map(|it| digest(&it, id)).transpose()?,
            others: self.others.into_iter().flatten().map(|it| digest(&it, id)).collect::<Result<_, _>>()?,
            evidence: self.evidence.map(|it| parsed::<Evidence>(&it, "evidence", id)).transpose()?,
            proved_at: self.proved_at,
        })
    }
}

pub(crate) struct RawDetail {
    pub(crate) id: i64,
    pub(crate) dataset: Option<String>,
    pub(crate) storage_identifier: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) status: String,
    pub(crate) basis: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) provisional: bool,
    pub(crate) gone_since: Option<String>,
    pub(crate) recorded_at: String,
    pub(crate) copies: i64,
    pub(crate) destinations: i64,
}

impl RawDetail {
    pub(crate) fn read(self) -> Result<StateDetail, LedgerError> {
        let id = self.id;
        Ok(StateDetail {
            id: DvObjectId(id),
            dataset: self.dataset,
            storage_identifier: self.storage_identifier,
            label: self.label,
            status: parsed(&self.status, "status", id)?,
            basis: self.basis.map(|it| basis(&it, id)).transpose()?,
            reason: self.reason,
            provisional: self.provisional,
            gone_since: self.gone_since,
            recorded_at: self.recorded_at,
            copies: number(self.copies, "count", id)?,
            destinations: number(self.destinations, "count", id)?,
        })
    }
}

/// Gives each state its copies; both come in the order of ids, and copies of others are passed over.
pub(crate) fn holdings(states: Vec<(StateDetail, Option<String>)>, mut copies: Vec<CopyRecord>) -> Vec<Holding> {
    sort(&mut copies);
    let mut copies = copies.into_iter().peekable();
    let holding = |(mut detail, dataset_identifier): (StateDetail, Option<String>)| {
        while copies.next_if(|it| it.id < detail.id).is_some() {}
        let mine: Vec<CopyRecord> = std::iter::from_fn(|| copies.next_if(|it| it.id == detail.id)).collect();
        detail.copies = mine.iter().filter(|it| it.state == CopyState::Proved).count() as u64;
        Holding { detail, dataset_identifier, copies: mine }
    };
    states.into_iter().map(holding).collect()
}

pub(crate) struct RawRun {
    pub(crate) id: String,
    pub(crate) started: String,
    pub(crate) host: String,
    pub(crate) pid: i64,
    pub(crate) finished: Option<String>,
    pub(crate) catalogued: Option<i64>,
    pub(crate) exit_code: Option<i16>,
    pub(crate) summary: Option<String>,
}

impl RawRun {
    pub(crate) fn read(self, destination: &DestinationName) -> Result<(Run, Option<RunSummary>), LedgerError> {
        let bad = |what: &str| LedgerError::BadRow { what: what.to_owned(), value: self.id.clone() };
        let summary = match self.finished {
            None => None,
            Some(finished) => Some(RunSummary {
                finished,
                catalogued: u64::try_from(self.catalogued.unwrap_or(0)).map_err(|_| bad("catalogued of a run"))?,
                exit_code: u8::try_from(self.exit_code.unwrap_or(0)).map_err(|_| bad("exit code of a run"))?,
                json: self.summary.unwrap_or_default(),
            }),
        };
        let pid = u32::try_from(self.pid).map_err(|_| bad("process id of a run"))?;
        let run =
            Run { id: RunId(self.id), destination: destination.clone(), started: self.started, host: self.host, pid };
        Ok((run, summary))
    }
}

/// A copy's place and what is known of it.
pub(crate) fn known(
    id: i64,
    role: String,
    version: i32,
    key: String,
    state: &str,
) -> Result<(Place, Known), LedgerError> {
    let place = (DvObjectId(id), role, number(version, "version", id)?);
    Ok((place, Known { key, state: copy_state(state, id)? }))
}

/// Puts copies in the order of id, role and version: the databases sort text in orders of their own.
pub(crate) fn sort(copies: &mut [CopyRecord]) {
    copies.sort_unstable_by(|a, b| (a.id, &a.role, a.version).cmp(&(b.id, &b.role, b.version)));
}

/// Counts by status, in the order of [`Status::ALL`], and the number of those gone.
pub(crate) fn counts(rows: Vec<(String, i64, i64)>) -> Result<(Vec<(Status, u64)>, u64), LedgerError> {
    let mut found = Vec::with_capacity(rows.len());
    let mut gone_total = 0;
    for (status, present, gone) in rows {
        let status: Status = parsed(&status, "status", 0)?;
        gone_total += number::<_, u64>(gone, "count", 0)?;
        found.push((status, number::<_, u64>(present, "count", 0)?));
    }
    let of = |wanted| found.iter().find(|it| it.0 == wanted && it.1 > 0).copied();
    Ok((Status::ALL.into_iter().filter_map(of).collect(), gone_total))
}

/// A version as the databases keep it.
pub(crate) fn version_column(version: u32) -> i32 {
    // Versions count changes of one object; a larger number would be a mistake that the unique key shows.
    i32::try_from(version).unwrap_or(i32::MAX)
}

pub(crate) fn parsed<T: FromStr>(value: &str, what: &str, id: i64) -> Result<T, LedgerError> {
    value.parse().map_err(|_| bad_row(what, id, value))
}

pub(crate) fn number<N: Copy + ToString, T: TryFrom<N>>(value: N, what: &str, id: i64) -> Result<T, LedgerError> {
    T::try_from(value).map_err(|_| bad_row(what, id, &value.to_string()))
}

pub(crate) fn digest(bytes: &[u8], id: i64) -> Result<Digest, LedgerError> {
    Digest::from_bytes(bytes).ok_or_else(|| bad_row("sha256", id, &format!("{bytes:02x?}")))
}

fn copy_state(value: &str, id: i64) -> Result<CopyState, LedgerError> {
    let all = [CopyState::Reserved, CopyState::Proved, CopyState::Damaged, CopyState::Claimed];
    all.into_iter().find(|it| it.name() == value).ok_or_else(|| bad_row("state", id, value))
}

pub(crate) fn entry_kind(value: &str, id: i64) -> Result<EntryKind, LedgerError> {
    let all = [EntryKind::DataFile, EntryKind::Dataset];
    all.into_iter().find(|it| it.name() == value).ok_or_else(|| bad_row("kind", id, value))
}

fn basis(value: &str, id: i64) -> Result<Basis, LedgerError> {
    let all = [Basis::Dataverse, Basis::FirstSeen];
    all.into_iter().find(|it| it.name() == value).ok_or_else(|| bad_row("basis", id, value))
}

pub(crate) fn bad_row(what: &str, id: i64, value: &str) -> LedgerError {
    LedgerError::BadRow { what: format!("{what} of {id}"), value: value.to_owned() }
}
