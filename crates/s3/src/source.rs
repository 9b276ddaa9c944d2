//! A store of type `s3`: `<bucket>/<storage authority>/<storage identifier>/<name>` (`S3AccessIO`, dataverse.md 2.5).

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::sync::Arc;

use dvb_storage::{Cause, Location, ObjectAddress, Shelf, Sighting, Source, SourceError, StoredObject, Trace};

use crate::client::{Call, Client};
use crate::config::S3StoreConfig;
use crate::error::Fault;
use crate::listing::{self, Listed};
use crate::notes::Notes;
use dvb_http::content_length;

/// A name that nobody gives an object: asking for it shows whether the bucket can be read at all.
const NO_OBJECT: &str = ".dataverse-backup/no-such-object";

/// A bucket of Dataverse. Objects are asked for by their keys; the bucket is never listed.
pub struct S3Store {
    client: Arc<Client>,
    bucket: String,
    notes: Notes,
}

impl S3Store {
    /// A store; nothing is contacted yet.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`], when the endpoint or its certificates make no sense.
    pub fn new(config: &S3StoreConfig) -> Result<Self, SourceError> {
        let unusable = |cause: Fault| {
            let attempt = format!("cannot use the S3 store in bucket {}", config.bucket);
            SourceError::because(Cause::Misconfigured, attempt, cause)
        };
        let client = Arc::new(Client::new(&config.endpoint).map_err(unusable)?);
        Ok(Self { client, bucket: config.bucket.clone(), notes: Notes::default() })
    }

    /// Looks in the configured bucket, as Dataverse does from 5.1 on, then in the identifier's, as it did before.
    fn look<T>(&self, at: &Location, key: &str, look: impl Fn(&str) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.bucket.is_empty() {
            return look(other_bucket(&self.bucket, at).ok_or(Fault::NoBucket)?);
        }
        let first = match look(&self.bucket) {
            Err(fault) if matches!(fault.cause(), Cause::Missing | Cause::Forbidden) => fault,
            // The bucket was renamed in the configuration before it was made.
            Err(fault) if fault.is_code(&["NoSuchBucket"]) => fault,
            other => return other,
        };
        let Some(second) = other_bucket(&self.bucket, at) else { return Err(first) };
        let found = match look(second) {
            Ok(found) => found,
            // It may be there: nobody can say that it is missing.
            Err(fault) if matches!(fault.cause(), Cause::Transient | Cause::Unavailable) => return Err(fault),
            Err(_) => return Err(first),
        };
        let example = key.rsplit_once('/').map_or(key, |(directory, _)| directory);
        self.notes.add(format!(
            "objects of {example} lie in bucket {second} of their identifiers, not in the configured bucket {}",
            self.bucket
        ));
        Ok(found)
    }

    fn failed(&self, fault: Fault, key: &str) -> SourceError {
        let at = format!("{key} in {}", self.client.describe(&self.bucket));
        let is_status = |it| fault.is_status(&[it]);
        let attempt = match fault.cause() {
            Cause::Missing => format!("{at} is missing"),
            Cause::Forbidden if is_status(403) && fault.is_code(&["AccessDenied", "Forbidden"]) => format!(
                "{at} may not be read by {}; an account without s3:ListBucket gets this answer for a missing object too, so \
                 give it s3:GetObject and s3:ListBucket",
                self.client.who()
            ),
            _ => format!("cannot read {at}"),
        };
        match fault.cause() {
            Cause::Missing => SourceError::because(Cause::Missing, attempt, fault),
            _ => fault.source(attempt),
        }
    }
}

fn key_of(at: &Location) -> Result<String, SourceError> {
    let refused = |it| SourceError::because(Cause::Refused, format!("{at:?} leads out of the store"), it);
    Ok(at.key().map_err(refused)?.as_str().to_owned())
}

/// The bucket that a data file's identifier names, where it is another one than `configured`.
pub(crate) fn other_bucket<'a>(configured: &str, at: &'a Location) -> Option<&'a str> {
    if matches!(at.object, ObjectAddress::DatasetLevel(_)) {
        return None;
    }
    let bucket = at.identifier.as_ref()?.bucket()?;
    let is_name = bucket.len() >= 3
        && bucket.len() <= 255
        && bucket.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_'))
        && !bucket.starts_with('.');
    (is_name && bucket != configured).then_some(bucket)
}

impl Source for S3Store {
    fn describe(&self) -> String {
        self.client.describe(&self.bucket)
    }

    fn interrupt(&self) {
        self.client.interrupt();
    }

    /// Objects that lie in the bucket of their identifier instead of the configured one; missing objects that cannot be
    /// told from forbidden ones.
    fn notes(&self) -> Vec<String> {
        self.notes.all()
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        let key = key_of(at)?;
        let body = self.look(at, &key, |bucket| self.client.download(bucket, &key));
        let body = body.map_err(|it| self.failed(it, &key))?;
        Ok(StoredObject { size: body.size(), body: Box::new(body) })
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        let key = key_of(at)?;
        let size = self.look(at, &key, |bucket| {
            let answer = self.client.ask(&Call { method: "HEAD", bucket, key: &key, ..Call::default() })?;
            content_length(&answer.headers).ok_or(Fault::Lacking("Content-Length"))
        });
        match size {
            Ok(size) => Ok(Some(size)),
            Err(fault) if fault.is_missing() => Ok(None),
            Err(fault) => Err(self.failed(fault, &key)),
        }
    }

    fn shelf(&self, at: &Location) -> Option<Shelf> {
        let ObjectAddress::Main(name) = &at.object else { return None };
        let directory = at.storage_pid.directory();
        // Behind the folder, the other bucket that objects of it may be in; no key holds a NUL.
        let folder = match other_bucket(&self.bucket, at) {
            Some(bucket) => format!("{directory}/\0{bucket}"),
            None => format!("{directory}/"),
        };
        Some(Shelf { folder, name: name.to_string() })
    }

    fn sizes(&self, folder: &str, wanted: &mut HashMap<String, Option<u64>>) -> Result<(), SourceError> {
        let (prefix, other) = folder.split_once('\0').map_or((folder, None), |(it, bucket)| (it, Some(bucket)));
        let configured = Some(self.bucket.as_str()).filter(|it| !it.is_empty());
        let mut failure = None;
        for bucket in configured.into_iter().chain(other) {
            if wanted.values().all(Option::is_some) {
                return Ok(());
            }
            let mut found = |row: Listed| {
                // A name that is no text is none of the catalogue.
                if let Ok(row) = row
                    && let Some(size) = wanted.get_mut(row.key.strip_prefix(prefix).unwrap_or_default())
                {
                    size.get_or_insert(row.size);
                }
                ControlFlow::Continue(())
            };
            let call = Call { method: "GET", bucket, ..Call::default() };
            let done = listing::list_bucket(&self.client, &call, prefix, false, &mut found);
            let is_second = Some(bucket) == other && configured.is_some();
            match done {
                // The bucket of an identifier is only ever a second chance: what cannot be found there is not there.
                Err(fault) if is_second && !matches!(fault.cause(), Cause::Transient | Cause::Unavailable) => {}
                // The bucket was renamed in the configuration before it was made, say: the other one may have everything.
                Err(fault) => failure = Some(fault),
                Ok(()) => {}
            }
        }
        match failure {
            Some(fault) if wanted.values().any(Option::is_none) => {
                let at = self.client.describe(&self.bucket);
                Err(fault.source(format!("cannot list {prefix} in {at}; this account needs s3:ListBucket")))
            }
            _ => Ok(()),
        }
    }

    /// A package on S3 is one zip (dataverse.md 2.8).
    fn members(&self, _: &Location) -> Result<Option<Vec<String>>, SourceError> {
        Ok(None)
    }

    /// Asks for it by every name that it can have in the store's bucket, and in those of the identifiers.
    fn look_for(&self, trace: &Trace<'_>) -> Result<Sighting, SourceError> {
        let others = trace.near.iter().filter_map(|it| other_bucket(&self.bucket, it));
        let own = Some(self.bucket.as_str()).filter(|it| !it.is_empty());
        let buckets: BTreeSet<&str> = own.into_iter().chain(others).collect();
        for bucket in buckets {
            for key in trace.names() {
                match self.client.ask(&Call { method: "HEAD", bucket, key: &key, ..Call::default() }) {
                    Ok(_) => {
                        let place = self.client.describe(bucket);
                        return Ok(Sighting::Seen(format!(
                            "what was just stored at the destination is {key} in {place}"
                        )));
                    }
                    // Without s3:ListBucket, "forbidden" stands for what is not there as well.
                    Err(fault) if matches!(fault.cause(), Cause::Missing | Cause::Forbidden) => {}
                    Err(fault) => return Err(self.failed(fault, &key)),
                }
            }
        }
        Ok(Sighting::Unseen)
    }

    fn check(&self) -> Result<(), SourceError> {
        if self.bucket.is_empty() {
            // Each object names its own bucket: there is none to try.
            return Ok(());
        }
        let call = Call { method: "GET", bucket: &self.bucket, key: NO_OBJECT, ..Call::default() };
        let fault = match self.client.ask(&call) {
            Ok(_) => return Ok(()),
            Err(fault) => fault,
        };
        if fault.is_missing() {
            return Ok(());
        }
        if fault.is_code(&["AccessDenied"]) {
            // Its objects may be readable all the same.
            self.notes.add(format!(
                "{} answers 403 for an object that is not there: missing and forbidden objects cannot be told apart; \
                 give this account s3:ListBucket",
                self.describe()
            ));
            return Ok(());
        }
        let mut error = fault.source(format!("cannot read {}", self.describe()));
        error.cause = match error.cause {
            // Keys that are wrong, a clock, a bucket that does not exist.
            Cause::Forbidden | Cause::Misconfigured => Cause::Misconfigured,
            _ => Cause::Unavailable,
        };
        Err(error)
    }
}
