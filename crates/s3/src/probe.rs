//! What a service can do, found out with an object of our own instead of by its name.
//!
//! The object stays: the next run asks it, and a destination where nothing may be removed gets no more than one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_fixity::{Algorithm, Measured, hex};
use dvb_storage::{Cause, Setting};

use crate::client::Answer;
use crate::error::Fault;
use crate::sink::Shared;

const NAME: &str = "s3-digests.txt";
const CONTENT: &[u8] = b"dataverse-backup puts this here to see which digests the service keeps. It may stay.\n";

/// What a service was seen to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// Keeps `x-amz-checksum-sha256`, and tells it in `HEAD` with `x-amz-checksum-mode`.
    pub(crate) sha256: bool,
    /// The ETag of an object of one PUT is its MD5. Not so with encryption by KMS or by a customer's key.
    pub(crate) md5: bool,
    /// Keeps `If-None-Match: *` on PUT.
    pub(crate) conditions: bool,
}

impl Capabilities {
    pub(crate) fn has_digest(self) -> bool {
        self.sha256 || self.md5
    }

    /// Whether requests carry Content-MD5: where the service does not know SHA-256.
    pub(crate) fn takes_md5(self) -> bool {
        !self.sha256
    }
}

/// What probing found out about a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Probed {
    pub(crate) capabilities: Capabilities,
    /// Why nothing can be stored, where that is so; reading may still work.
    pub(crate) writable: Result<(), String>,
}

impl Probed {
    pub(crate) fn find_out(shared: &Shared) -> Result<Self, Fault> {
        let mut writable = Ok(());
        let mut seen = look(shared)?;
        if !seen.as_ref().is_some_and(is_ours) {
            match put(shared, &[]) {
                Ok(_) => seen = look(shared)?,
                Err(fault) if fault.is_status(&[403, 401]) && fault.is_code(&["AccessDenied", "Forbidden"]) => {
                    writable =
                        Err(format!("{} may not be written to: give this account s3:PutObject", shared.describe()));
                }
                Err(fault) => return Err(fault),
            }
        }
        let conditions = writable.is_ok()
            && match put(shared, &[("if-none-match", "*")]) {
                Ok(_) => false,
                Err(fault) if fault.is_status(&[412, 409]) => true,
                // "Not implemented", in the words of several services.
                Err(fault) if fault.is_status(&[400, 501, 405]) => false,
                Err(fault) if fault.is_status(&[403, 401]) => {
                    writable =
                        Err(format!("{} may not be written to: give this account s3:PutObject", shared.describe()));
                    false
                }
                Err(fault) => return Err(fault),
            };
        let expected = Measured::of(CONTENT, &[Algorithm::Md5]);
        let has = |name: &str, value: Option<String>| {
            let found = seen.as_ref().and_then(|it| it.header(name)).map(|it| it.trim_matches('"'));
            found.is_some() && found == value.as_deref()
        };
        let capabilities = Capabilities {
            sha256: has(
                "x-amz-checksum-sha256",
                expected.digest(Algorithm::Sha256).map(|it| BASE64.encode(it.as_bytes())),
            ),
            md5: has("etag", expected.digest(Algorithm::Md5).map(|it| it.hex())),
            conditions,
        };
        if writable.is_ok() && shared.config.object_lock.is_some() {
            writable = has_locks(shared)?;
        }
        Ok(Self { capabilities, writable })
    }

    /// Tries that the service is there.
    #[allow(clippy::unused_self)]
    pub(crate) fn try_again(&self, shared: &Shared) -> Result<(), Fault> {
        look(shared).map(|_| ())
    }
}

/// Whether a lock on an object means anything here: some services take the headers and forget them.
fn has_locks(shared: &Shared) -> Result<Result<(), String>, Fault> {
    let mut call = shared.call("GET", "");
    call.query = vec![("object-lock", String::new())];
    let place = shared.describe();
    match shared.client.ask(&call) {
        Ok(answer) if answer.text.contains("<ObjectLockEnabled>Enabled<") => Ok(Ok(())),
        Err(fault) if fault.cause() == Cause::Forbidden => {
            shared.notes.add(format!(
                "cannot find out whether {place} has object lock: give this account s3:GetBucketObjectLockConfiguration"
            ));
            Ok(Ok(()))
        }
        Err(fault) if matches!(fault.cause(), Cause::Transient | Cause::Unavailable) && !fault.is_status(&[501]) => {
            Err(fault)
        }
        Ok(_) | Err(_) => Ok(Err(format!(
            "{place} has no object lock, which {} asks for: make a bucket with object lock, or take the setting out",
            Setting::ObjectLock
        ))),
    }
}

/// Takes the object away, as well as can be: from a store of Dataverse, where it is not wanted.
pub(crate) fn remove(shared: &Shared) {
    let key = shared.own_key(NAME);
    if shared.client.ask(&shared.call("DELETE", &key)).is_err() {
        shared.notes.add(format!("{key} in {} may not be removed; it is small, and may stay", shared.describe()));
    }
}

/// The probe, if it may be seen.
fn look(shared: &Shared) -> Result<Option<Answer>, Fault> {
    let key = shared.own_key(NAME);
    let mut call = shared.call("HEAD", &key);
    call.headers.push(("x-amz-checksum-mode", "ENABLED".into()));
    match shared.client.ask(&call) {
        Ok(answer) => Ok(Some(answer)),
        // Without s3:ListBucket, or without s3:GetObject.
        Err(fault) if fault.is_missing() || fault.is_code(&["Forbidden"]) => Ok(None),
        Err(fault) => Err(fault),
    }
}

fn is_ours(answer: &Answer) -> bool {
    dvb_http::content_length(&answer.headers) == Some(CONTENT.len() as u64)
}

fn put(shared: &Shared, more: &[(&'static str, &str)]) -> Result<Answer, Fault> {
    let measured = Measured::of(CONTENT, &[Algorithm::Md5]);
    let encoded = |it| measured.digest(it).map(|it| BASE64.encode(it.as_bytes())).unwrap_or_default();
    let key = shared.own_key(NAME);
    let mut call = shared.call("PUT", &key);
    call.body = CONTENT;
    call.sha256 = measured.digest(Algorithm::Sha256).map(|it| hex(it.as_bytes()));
    call.headers.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    call.headers.push(("content-md5", encoded(Algorithm::Md5)));
    let plain = call.clone();
    call.headers.push(("x-amz-checksum-sha256", encoded(Algorithm::Sha256)));
    match shared.client.ask(&call) {
        // A service that takes only one digest, or does not know this one.
        Err(fault) if fault.is_status(&[400, 501]) => shared.client.ask(&plain),
        other => other,
    }
}
