//! What lies at a destination, compared with what the ledger has of it: the one place where a copy is found to be good.

use dvb_fixity::{Algorithm, Digest, Evidence, Hasher, Measured, Mismatch, Proved};
use dvb_ledger::CopyRecord;
use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::command::cancel::CancelToken;
use crate::copies::findings::CopyFault;
use crate::copies::session::{Connection, Interrupted};
use crate::source::payload::Reading;
use dvb_ledger::Loss;

/// Bytes that are read back here at once, before it is looked whether there was a signal.
const BATCH_BYTES: u64 = 64 << 20;

/// What is wrong with a copy.
pub(crate) enum Bad {
    Missing,
    /// It is no object any more, for this reason.
    Broken(String),
    /// Other bytes, by their number; their SHA-256 where they were read.
    Size(u64, Option<Digest>),
    Digest(Mismatch),
}

impl Bad {
    /// Whether a destination says by this error that the copy is bad, not that it cannot be read for now.
    pub(crate) fn is_told_by(error: &SinkError) -> bool {
        matches!(error.cause, Cause::Missing | Cause::Broken)
    }

    /// What such an error says.
    pub(crate) fn of(error: SinkError) -> Self {
        if error.cause == Cause::Missing { Self::Missing } else { Self::Broken(error.chain()) }
    }

    pub(crate) fn fault(&self) -> CopyFault {
        match self {
            Self::Missing => CopyFault::Missing,
            Self::Broken(_) => CopyFault::Broken,
            Self::Size(..) => CopyFault::OtherSize,
            Self::Digest(_) => CopyFault::OtherDigest,
        }
    }

    /// The same for an incident.
    pub(crate) fn loss(&self) -> Loss {
        match self {
            Self::Missing => Loss::Missing,
            Self::Broken(_) | Self::Size(..) | Self::Digest(_) => Loss::Damaged,
        }
    }
}

/// Measures what lies at each key, and tells by which evidence. What is read back counts for the rate of `reading`.
pub(crate) fn measure(
    reading: &Reading,
    keys: &[ObjectKey],
    sizes: &[u64],
    connection: &mut Connection<'_>,
) -> Result<(Vec<Result<Measured, SinkError>>, Evidence), Interrupted> {
    let evidence = connection.with(|it| Ok(it.measure_evidence()))?;
    let total: u64 = sizes.iter().sum();
    let is_small = sizes.iter().all(|it| *it <= BATCH_BYTES) && (reading.rate.is_none() || total <= BATCH_BYTES);
    if evidence != Evidence::ReadBack {
        return Ok((connection.with(|it| it.measure(keys, &[]))?, evidence));
    }
    if is_small {
        reading.passed(usize::try_from(total).unwrap_or(usize::MAX));
        return Ok((connection.with(|it| it.measure(keys, &[]))?, evidence));
    }
    // Long enough that neither a signal nor a limit of the rate may wait for its end.
    let mut answers = Vec::with_capacity(keys.len());
    for key in keys {
        answers.push(read_back(reading, key, &[], connection)?);
    }
    Ok((answers, evidence))
}

/// Reads an object back here, watching for a signal, as fast as it comes.
pub(crate) fn read_back_at_any_rate(
    stop: &CancelToken,
    key: &ObjectKey,
    algorithms: &[Algorithm],
    connection: &mut Connection<'_>,
) -> Result<Result<Measured, SinkError>, Interrupted> {
    read_back(&Reading::new(stop, None), key, algorithms, connection)
}

/// Reads an object back here, watching for a signal and keeping to the rate.
fn read_back(
    reading: &Reading,
    key: &ObjectKey,
    algorithms: &[Algorithm],
    connection: &mut Connection<'_>,
) -> Result<Result<Measured, SinkError>, Interrupted> {
    let read = connection.with(|session| {
        let mut body = match session.open(key) {
            Ok(it) => it,
            Err(error) if error.cause.is_of_all() => return Err(error),
            Err(error) => return Ok(Some(Err(error))),
        };
        let (mut hasher, mut buffer) = (Hasher::new(algorithms), vec![0; 1 << 18]);
        loop {
            if !reading.stop.may_go_on() {
                return Ok(None);
            }
            match body.read(&mut buffer) {
                Ok(0) => return Ok(Some(Ok(hasher.finish()))),
                Ok(n) => {
                    hasher.update(&buffer[..n]);
                    reading.passed(n);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let attempt = format!("reading back {key} failed");
                    return Ok(Some(Err(SinkError::because(Cause::Io, attempt, error))));
                }
            }
        }
    })?;
    read.ok_or(Interrupted::Stopped)
}

/// The one place where a copy is found to be good.
pub(crate) fn compare(copy: &CopyRecord, held: Measured, evidence: Evidence) -> Result<Proved, Bad> {
    if copy.size.is_some_and(|it| it != held.size) {
        return Err(Bad::Size(held.size, held.digest(Algorithm::Sha256).cloned()));
    }
    let none = || {
        let found = held.digest(Algorithm::Sha256).cloned();
        found.map_or(Bad::Missing, |found| Bad::Digest(Mismatch::Incomparable { found }))
    };
    let recorded = copy.sha256.as_ref().ok_or_else(none)?;
    Proved::recorded(recorded, held, evidence).map_err(Bad::Digest)
}

/// What is wrong with a copy, in a sentence that names the object, its dataset and the file.
pub(crate) fn sentence(copy: &CopyRecord, dataset: Option<&str>, label: Option<&str>, bad: &Bad) -> String {
    let name = label.map(|it| format!(" of {it:?}")).unwrap_or_default();
    let dataset = dataset.map(|it| format!(" in {it}")).unwrap_or_default();
    let what = match bad {
        Bad::Missing => "is missing".to_owned(),
        Bad::Broken(why) => format!("is no whole object: {why}"),
        Bad::Size(found, _) => format!("has {found} bytes where {} were proved", copy.size.unwrap_or(0)),
        Bad::Digest(Mismatch::Digest { expected, found }) => {
            format!("has {} {found} where {expected} was proved", found.algorithm())
        }
        Bad::Digest(other) => other.to_string(),
    };
    let last = copy.proved_at.as_deref().map(|it| format!("; it was good on {it}")).unwrap_or_default();
    format!("the copy at {}, {}{name}{dataset}, {what}{last}", copy.key, copy.role)
}
