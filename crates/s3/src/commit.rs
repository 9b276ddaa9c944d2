//! Letting staged objects show, and proving them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_fixity::{Algorithm, Digest, Evidence, Measured, Observed, Proved, hex};
use dvb_storage::{Cause, CommitRequest, SinkError, Unstaged};

use crate::client::Answer;
use crate::error::Fault;
use crate::journal::Journal;
use crate::lock;
use crate::probe::Capabilities;
use crate::prove::{head, observe};
use crate::sink::Shared;
use crate::stage::Pending;
use crate::upload::{self, Completed, Composite};

/// What committing takes from the session.
#[derive(Clone, Copy)]
pub(crate) struct Commit<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) capabilities: Capabilities,
    pub(crate) evidence: Evidence,
    pub(crate) journal: &'a Journal,
}

/// Why an object was not committed.
pub(crate) enum CommitFailure {
    /// This object alone is refused or failed; others of the batch may still be committed.
    Object(Unstaged),
    /// The service is out of reach.
    Lost(SinkError),
}

impl From<Unstaged> for CommitFailure {
    fn from(why: Unstaged) -> Self {
        Self::Object(why)
    }
}

/// How an object came to show.
enum Shown {
    /// By this request; in a bucket with versions, this one. What the answer told of the bytes.
    Now { version: Option<String>, observed: Option<Observed> },
    /// By an earlier attempt whose answer was lost, or somebody else's object lies there.
    Perhaps,
}

impl Commit<'_> {
    /// Shows and proves one object. What cannot be proved is removed.
    pub(crate) fn one(self, request: CommitRequest, pending: Pending) -> Result<Proved, CommitFailure> {
        let CommitRequest { staged, replace } = request;
        let key = self.shared.key(&staged.key);
        let composite = match &pending {
            Pending::Held(_) => None,
            Pending::Uploaded { parts, .. } => Some(Composite::of(parts)),
        };
        let shown = match self.show(&key, &staged.measured, &pending, replace) {
            Ok(shown) => shown,
            Err(failure) => {
                if let (CommitFailure::Object(_), Pending::Uploaded { id, .. }) = (&failure, &pending) {
                    self.journal.abort(&key, id);
                }
                return Err(failure);
            }
        };
        self.journal.closed(&key);
        let observed = match &shown {
            Shown::Now { observed: Some(it), .. } => Ok(it.clone()),
            Shown::Now { .. } | Shown::Perhaps => {
                observe(self.shared, self.capabilities, self.evidence, &key, &staged.measured, composite.as_ref())
            }
        };
        let proof = match observed {
            Ok(observed) => Proved::by(staged.measured, &observed).map_err(|it| CommitFailure::Object(it.into())),
            Err(fault) => Err(self.failed(fault, "prove", &key)),
        };
        match (proof, shown) {
            (Ok(proved), _) => match lock::confirm(self.shared, &key) {
                Ok(()) => Ok(proved),
                Err(fault) => Err(self.failed(fault, "lock", &key)),
            },
            (Err(CommitFailure::Object(Unstaged::Verify(_))), Shown::Perhaps) => Err(self.taken(&key).into()),
            (Err(failure @ CommitFailure::Object(_)), Shown::Now { version, .. }) => {
                self.remove(&key, version.as_deref())?;
                Err(failure)
            }
            (Err(failure), _) => Err(failure),
        }
    }

    fn show(&self, key: &str, measured: &Measured, pending: &Pending, replace: bool) -> Result<Shown, CommitFailure> {
        if !replace && self.is_taken(key, pending)? {
            return Err(self.taken(key).into());
        }
        let (shown, was_repeated) = match pending {
            Pending::Held(memory) => self.put(key, measured, &memory.buffer, !replace),
            Pending::Uploaded { id, parts } => {
                let (completed, was_repeated) =
                    upload::complete(self.shared, self.capabilities, key, id, parts, !replace);
                let shown = completed.map(|completed| match completed {
                    Completed::Yes(version) => Shown::Now { version, observed: None },
                    Completed::Perhaps => Shown::Perhaps,
                });
                (shown, was_repeated)
            }
        };
        match shown {
            Ok(shown) => Ok(shown),
            Err(fault) if !replace && fault.is_status(&[412]) => {
                if was_repeated {
                    Ok(Shown::Perhaps)
                } else {
                    Err(self.taken(key).into())
                }
            }
            Err(fault) => Err(self.failed(fault, "store", key)),
        }
    }

    /// Without conditions, looking first is all that is left; the ledger's lock keeps other runs out. Services that keep
    /// them on PUT may not on completing.
    fn is_taken(&self, key: &str, pending: &Pending) -> Result<bool, CommitFailure> {
        if self.capabilities.conditions && matches!(pending, Pending::Held(_)) {
            return Ok(false);
        }
        match head(self.shared, key) {
            Ok(found) => Ok(found.is_some()),
            // Who may not list gets this answer for a key that is free, too.
            Err(fault) if self.capabilities.conditions && fault.cause() == Cause::Forbidden => Ok(false),
            Err(fault) => Err(self.failed(fault, "stat", key)),
        }
    }

    fn put(&self, key: &str, measured: &Measured, bytes: &[u8], is_new: bool) -> (Result<Shown, Fault>, bool) {
        let mut call = self.shared.call("PUT", key);
        call.body = bytes;
        call.headers = lock::headers(self.shared, key);
        call.headers.push(("content-type", "application/octet-stream".into()));
        // What was hashed while it was read: nothing is hashed twice.
        call.sha256 = measured.digest(Algorithm::Sha256).map(|it| hex(it.as_bytes()));
        let (name, algorithm) = match self.capabilities.takes_md5() {
            true => ("content-md5", Algorithm::Md5),
            false => ("x-amz-checksum-sha256", Algorithm::Sha256),
        };
        if let Some(digest) = measured.digest(algorithm) {
            call.headers.push((name, BASE64.encode(digest.as_bytes())));
        }
        if is_new && self.capabilities.conditions {
            call.headers.push(("if-none-match", "*".into()));
        }
        let (answer, was_repeated) = self.shared.client.ask_once(&call);
        let answer = answer.map_err(|it| self.shared.refused_put(it, bytes.len()));
        let shown = answer.map(|answer| Shown::Now {
            version: answer.header("x-amz-version-id").map(str::to_owned),
            observed: self.told_at_once(&answer, measured),
        });
        (shown, was_repeated)
    }

    /// The ETag of the answer to a PUT, where it is seen to be the MD5 that the service made of what it got. (A checksum
    /// in that answer may be no more than the one of the request, handed back.) So nothing has to be asked for again.
    fn told_at_once(&self, answer: &Answer, measured: &Measured) -> Option<Observed> {
        if self.evidence != Evidence::RemoteHash || !self.capabilities.md5 {
            return None;
        }
        let digest: Digest = answer.etag()?.trim_matches('"').parse().ok()?;
        let is_same = measured.matches(&digest) == Some(true);
        is_same.then_some(Observed { digest, size: None, evidence: Evidence::RemoteHash })
    }

    /// Removes what this session has just put there and could not prove.
    fn remove(&self, key: &str, version: Option<&str>) -> Result<(), CommitFailure> {
        let plain = self.shared.call("DELETE", key);
        let mut call = plain.clone();
        // Removing the version itself brings back what was there before it.
        call.query.extend(version.map(|it| ("versionId", it.to_owned())));
        let removed = match self.shared.client.ask(&call) {
            // That needs a right of its own, and no lock; hiding the version does not.
            Err(fault) if version.is_some() && fault.cause() == Cause::Forbidden => self.shared.client.ask(&plain),
            other => other,
        };
        match removed {
            Ok(_) => Ok(()),
            Err(fault) => {
                let attempt = format!(
                    "{key} in {} holds other bytes than were sent, or could not be proved, and could not be removed; \
                     remove it by hand",
                    self.shared.describe()
                );
                let error = SinkError::because(Cause::Io, attempt, fault);
                Err(CommitFailure::Object(error.into()))
            }
        }
    }

    fn taken(&self, key: &str) -> Unstaged {
        SinkError::new(Cause::Exists, format!("something already exists at {key} in {}", self.shared.describe())).into()
    }

    fn failed(&self, fault: Fault, doing: &str, key: &str) -> CommitFailure {
        let is_lost = fault.is_lost();
        let error = self.shared.failed(fault, doing, key);
        if is_lost { CommitFailure::Lost(error) } else { CommitFailure::Object(error.into()) }
    }
}
