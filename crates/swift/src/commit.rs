//! Letting an object show at its key, and proving it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Read};

use dvb_fixity::{Algorithm, Digest, Evidence, Hasher, Measured, Mismatch, Observed, Proved};
use dvb_http::Download;
use dvb_model::ObjectKey;
use dvb_storage::{Cause, CommitRequest, Demand, Reservation, SinkError, Staged, Unstaged, parallel_map};
use ureq::http::Method;

use crate::client::{Body, Request};
use crate::container::{self, ListedObject};
use crate::context::Context;
use crate::download;
use crate::error::{SwiftFailure, status};
use crate::manifest;
use crate::path::Path;
use crate::upload::Upload;

/// Looks at an object that was stored but is not seen yet, or not as it was stored last.
const LOOKS: u32 = 4;

/// What was staged, until it is committed or discarded.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// A small object, in memory.
    Held(Reservation),
    /// A large one, on the server.
    Upload(Upload),
}

/// From so many objects of one folder on, a listing is asked for, which costs as much as a few single looks.
const TOGETHER: usize = 4;

/// What became of a request to commit, up to its proof.
enum Shown {
    Done(Box<Result<Proved, Unstaged>>),
    /// Stored under its key; what the server holds there is to be compared.
    Stored {
        key: ObjectKey,
        measured: Measured,
        sent: StoredBytes,
    },
}

/// What the server says lies at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredBytes {
    etag: String,
    bytes: u64,
}

impl Context {
    pub(crate) fn evidence(&self) -> Evidence {
        match self.demand {
            Demand::Auto | Demand::RemoteHash => Evidence::RemoteHash,
            Demand::ReadBack => Evidence::ReadBack,
        }
    }

    /// Commits a batch: the small objects of a folder are proved by one listing.
    pub(crate) fn commit(&self, batch: Vec<(Option<Waiting>, CommitRequest)>) -> Vec<Result<Proved, Unstaged>> {
        let shown = parallel_map(batch, self.requests, |(waiting, it)| self.show(it, waiting));
        let listed = self.listed(&shown);
        parallel_map(shown, self.requests, |object| match object {
            Shown::Done(answer) => *answer,
            Shown::Stored { key, measured, sent } => {
                let is_listed = listed.get(key.as_str()) == Some(&sent);
                self.prove_by_etag(&key, measured, &sent, is_listed)
            }
        })
    }

    /// What listings say of objects that were just stored. A listing may lag behind, and can only confirm: of what it
    /// does not, the object itself is looked at.
    fn listed(&self, shown: &[Shown]) -> HashMap<String, StoredBytes> {
        let mut folders: BTreeMap<Option<&str>, BTreeSet<&str>> = BTreeMap::new();
        for it in shown {
            if let Shown::Stored { key, .. } = it {
                folders.entry(key.parent()).or_default().insert(key.as_str());
            }
        }
        let folders: Vec<_> = folders.into_values().filter(|it| it.len() >= TOGETHER).collect();
        let rows = parallel_map(folders, self.requests, |keys| {
            let ends = keys.first().zip(keys.last()).map_or(("", ""), |(first, last)| (*first, *last));
            container::rows(&self.client, &self.container, ends, keys.len() * 4).unwrap_or_default()
        });
        let seen = |row: ListedObject| (row.name, StoredBytes { etag: row.hash.to_lowercase(), bytes: row.bytes });
        rows.into_iter().flatten().map(seen).collect()
    }

    fn show(&self, request: CommitRequest, waiting: Option<Waiting>) -> Shown {
        let CommitRequest { staged, replace } = request;
        let answer = match waiting {
            Some(Waiting::Held(memory)) => return self.show_held(staged, &memory.buffer, replace),
            Some(Waiting::Upload(upload)) => self.commit_upload(&staged.key, &upload, staged.measured, replace),
            None => {
                let attempt = format!("{} was not staged in this session", staged.key);
                Err(SinkError::new(Cause::Io, attempt).into())
            }
        };
        Shown::Done(Box::new(answer))
    }

    fn show_held(&self, staged: Staged, bytes: &[u8], replace: bool) -> Shown {
        let Staged { key, measured, .. } = staged;
        let answer = match self.store_held(&key, bytes, &measured, replace) {
            Ok(sent) if self.demand != Demand::ReadBack => return Shown::Stored { key, measured, sent },
            Ok(_) => self.prove_by_reading(&key, measured),
            Err(error) => Err(error),
        };
        Shown::Done(Box::new(answer))
    }

    /// One request stores it and shows it at once, if the server received what was sent and nothing is there.
    fn store_held(
        &self,
        key: &ObjectKey,
        bytes: &[u8],
        measured: &Measured,
        replace: bool,
    ) -> Result<StoredBytes, Unstaged> {
        let path = self.key(key.as_str());
        let failed = |failure: SwiftFailure| failure.into_sink(format!("cannot store {key} in {}", self.container));
        let Some(own) = measured.digest(Algorithm::Md5).cloned() else {
            return Err(SinkError::new(Cause::Io, format!("{key} was not hashed by MD5")).into());
        };
        let sent = StoredBytes { etag: own.hex(), bytes: bytes.len() as u64 };
        let request = Request::new(Method::PUT, &path).header("Content-Type", "application/octet-stream");
        let mut request = request.header("ETag", sent.etag.clone()).body(Body::Bytes(bytes));
        if !replace {
            request = request.header("If-None-Match", "*");
        }
        match self.client.send(request) {
            Ok(mut answer) => drop(answer.why()),
            // Our own first try may be what is there now.
            Err(SwiftFailure::Refused { status: 412, in_doubt: true, .. })
                if self.look(&path, &sent)? == Some(true) => {}
            Err(failure) => return Err(failed(failure).into()),
        }
        Ok(sent)
    }

    /// Whether the object at a path is this one, as all servers that hold it know; `None` where there is none.
    fn look(&self, path: &Path, sent: &StoredBytes) -> Result<Option<bool>, SinkError> {
        Ok(self.seen(path, true)?.map(|it| it == *sent))
    }

    pub(crate) fn seen(&self, path: &Path, newest: bool) -> Result<Option<StoredBytes>, SinkError> {
        let failed = |failure: SwiftFailure| failure.into_sink(format!("cannot stat {}", path.as_str()));
        let mut request = Request::new(Method::HEAD, path);
        if newest {
            request = request.header("X-Newest", "true");
        }
        match self.client.send(request) {
            Ok(answer) => {
                let etag = answer.etag().unwrap_or_default().to_lowercase();
                Ok(Some(StoredBytes { etag, bytes: crate::http::length(&answer).map_err(failed)? }))
            }
            Err(failure) if status(&failure) == Some(404) => Ok(None),
            Err(failure) => Err(failed(failure)),
        }
    }

    fn prove_by_etag(
        &self,
        key: &ObjectKey,
        measured: Measured,
        sent: &StoredBytes,
        is_listed: bool,
    ) -> Result<Proved, Unstaged> {
        let path = &self.key(key.as_str());
        let mut found = if is_listed { Some(sent.clone()) } else { self.seen(path, false)? };
        // Swift is eventually consistent: a server that missed the request may have been asked.
        for _ in 1..LOOKS {
            if found.as_ref() == Some(sent) {
                break;
            }
            self.client.rest();
            found = self.seen(path, true)?;
        }
        let Some(found) = found else {
            let attempt = format!("{key} was stored in {} and is not there", self.container);
            return Err(SinkError::new(Cause::Transient, attempt).into());
        };
        let Ok(digest) = found.etag.parse::<Digest>() else {
            self.take_away(path);
            let attempt = format!("{key} has the etag {:?}, which is not an MD5", found.etag);
            return Err(SinkError::new(Cause::Io, attempt).into());
        };
        let observed = Observed { digest, size: Some(found.bytes), evidence: Evidence::RemoteHash };
        Proved::by(measured, &observed).map_err(|mismatch| {
            self.take_away(path);
            mismatch.into()
        })
    }

    fn prove_by_reading(&self, key: &ObjectKey, measured: Measured) -> Result<Proved, Unstaged> {
        let path = &self.key(key.as_str());
        let read = self.read_back(key.as_str(), path.clone(), &[])?;
        proved_by_reading(measured, &read).map_err(|mismatch| {
            self.take_away(path);
            mismatch.into()
        })
    }

    /// Removes a bad copy that we stored; that it cannot be removed is no news beside what is wrong with it.
    pub(crate) fn take_away(&self, path: &Path) {
        let _ = self.client.send(Request::new(Method::DELETE, path));
    }

    /// Opens a copy, whole as far as the server knows; for `key`, in messages.
    pub(crate) fn open(&self, key: &str, path: Path) -> Result<Download, SinkError> {
        let attempt = || format!("cannot read {key} back from {}", self.container);
        let opened = download::open(&self.client, path.clone());
        if opened.as_ref().map_or_else(|it| status(it) == Some(409), |it| it.is_large)
            && let Some(why) = manifest::lost_segment(&self.client, &path).map_err(|it| it.into_sink(attempt()))?
        {
            return Err(SinkError::new(Cause::Broken, format!("{}: {why}", attempt())));
        }
        Ok(opened.map_err(|it| it.into_sink(attempt()))?.body)
    }

    /// Reads a copy back; for `key`, in messages.
    pub(crate) fn read_back(&self, key: &str, path: Path, wanted: &[Algorithm]) -> Result<Measured, SinkError> {
        let mut hasher = Hasher::new(wanted);
        self.read_into(&mut hasher, key, path)?;
        Ok(hasher.finish())
    }

    pub(crate) fn read_into(&self, hasher: &mut Hasher, key: &str, path: Path) -> Result<(), SinkError> {
        let attempt = || format!("cannot read {key} back from {}", self.container);
        let mut body = self.open(key, path)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => hasher.update(&buffer[..n]),
                Err(error) => return Err(SinkError::because(cause_of(&error), attempt(), error)),
            }
        }
    }
}

pub(crate) fn proved_by_reading(measured: Measured, read: &Measured) -> Result<Proved, Mismatch> {
    let digest = read.digest(Algorithm::Sha256).cloned();
    let incomparable = || Mismatch::Size { expected: measured.size, found: read.size };
    let digest = digest.ok_or_else(incomparable)?;
    let observed = Observed { digest, size: Some(read.size), evidence: Evidence::ReadBack };
    Proved::by(measured, &observed)
}

/// What a read error of a [`Download`] means. A body that ends early each time is damage, not a passing trouble.
pub(crate) fn cause_of(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::NotFound => Cause::Missing,
        io::ErrorKind::PermissionDenied => Cause::Forbidden,
        io::ErrorKind::TimedOut | io::ErrorKind::StaleNetworkFileHandle => Cause::Transient,
        _ => Cause::Io,
    }
}
