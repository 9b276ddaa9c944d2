//! Multipart uploads: what is sent shows only when it is completed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_fixity::{Digest, Mismatch, hex};
use md5::Digest as _;

use crate::error::{Fault, Refusal};
use crate::lock;
use crate::probe::Capabilities;
use crate::sink::Shared;
use crate::xml::{Created, NamedPart, completion, late_error, parse};

/// S3 takes no upload of more parts ("Amazon S3 multipart upload limits").
const MOST_PARTS: u64 = 10_000;

/// A part that the service has.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) number: u32,
    pub(crate) etag: String,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) md5: Option<[u8; 16]>,
}

/// A part was not taken, or not as it was sent.
#[derive(Debug)]
pub(crate) enum PartFailure {
    Fault(Fault),
    Mismatch(Mismatch),
}

impl From<Fault> for PartFailure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The digests of the parts put together, as S3 does ("Checking object integrity: composite checksums").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composite {
    /// Base64, `-`, number of parts.
    pub(crate) sha256: Option<String>,
    /// Hexadecimal, `-`, number of parts.
    pub(crate) md5: Option<String>,
}

impl Composite {
    pub(crate) fn of(parts: &[Part]) -> Self {
        let count = parts.len();
        let sha256: Option<Vec<[u8; 32]>> = parts.iter().map(|it| it.sha256).collect();
        let md5: Option<Vec<[u8; 16]>> = parts.iter().map(|it| it.md5).collect();
        Self {
            sha256: sha256.map(|it| format!("{}-{count}", BASE64.encode(sha2::Sha256::digest(it.concat())))),
            md5: md5.map(|it| format!("{}-{count}", hex(&md5::Md5::digest(it.concat())))),
        }
    }
}

/// Bytes of the part with this number, for an object of about `hint` bytes. Parts grow only where they would be too many.
pub(crate) fn part_size(configured: u64, hint: u64, number: u32) -> u64 {
    let needed = hint.div_ceil(MOST_PARTS - 200).next_multiple_of(1 << 20);
    let usual = configured.max(1).max(if hint > configured * (MOST_PARTS - 200) { needed } else { 0 });
    // More came than was said.
    let excess = number.saturating_sub(9_000) / 100;
    usual << excess.min(10)
}

pub(crate) fn create(shared: &Shared, capabilities: Capabilities, key: &str) -> Result<String, Fault> {
    let mut call = shared.call("POST", key);
    call.query.push(("uploads", String::new()));
    call.headers = lock::headers(shared, key);
    call.headers.push(("content-type", "application/octet-stream".into()));
    if capabilities.sha256 {
        call.headers.push(("x-amz-checksum-algorithm", "SHA256".into()));
    }
    let created: Created = parse(&shared.client.ask(&call)?.text)?;
    Ok(created.upload_id)
}

/// Sends a part, and compares what the service says of it.
pub(crate) fn send_part(
    shared: &Shared,
    capabilities: Capabilities,
    key: &str,
    id: &str,
    number: u32,
    bytes: &[u8],
) -> Result<Part, PartFailure> {
    let sha256: [u8; 32] = sha2::Sha256::digest(bytes).into();
    let md5: Option<[u8; 16]> = capabilities.takes_md5().then(|| md5::Md5::digest(bytes).into());
    let mut call = shared.call("PUT", key);
    call.query = vec![("partNumber", number.to_string()), ("uploadId", id.to_owned())];
    call.body = bytes;
    call.sha256 = Some(hex(&sha256));
    call.headers.push(match md5 {
        None => ("x-amz-checksum-sha256", BASE64.encode(sha256)),
        Some(it) => ("content-md5", BASE64.encode(it)),
    });
    let answer = shared.client.ask(&call)?;
    let etag = answer.etag().ok_or(Fault::Lacking("ETag"))?.to_owned();
    let told = if capabilities.sha256 {
        let text = answer.header("x-amz-checksum-sha256");
        text.and_then(|it| BASE64.decode(it).ok()).map(|it| (it, sha256.to_vec()))
    } else if capabilities.md5 {
        let text = etag.trim_matches('"');
        text.parse::<Digest>().ok().map(|it| (it.as_bytes().to_vec(), md5.map(|it| it.to_vec()).unwrap_or_default()))
    } else {
        None
    };
    if let Some((found, expected)) = told
        && found != expected
        && let (Some(expected), Some(found)) = (Digest::from_bytes(&expected), Digest::from_bytes(&found))
    {
        return Err(PartFailure::Mismatch(Mismatch::Digest { expected, found }));
    }
    Ok(Part { number, etag, sha256: capabilities.sha256.then_some(sha256), md5 })
}

/// What became of a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Completed {
    /// In a bucket with versions, this one.
    Yes(Option<String>),
    /// The service does not know the upload any more: an earlier attempt whose answer was lost may have done it.
    Perhaps,
}

/// Lets the object show; also tells whether that was asked for more than once. It must not take another's place where
/// `is_new` and the service keeps conditions.
pub(crate) fn complete(
    shared: &Shared,
    capabilities: Capabilities,
    key: &str,
    id: &str,
    parts: &[Part],
    is_new: bool,
) -> (Result<Completed, Fault>, bool) {
    let named: Vec<NamedPart> = parts
        .iter()
        .map(|part| NamedPart {
            number: part.number,
            etag: part.etag.clone(),
            sha256: part.sha256.map(|it| BASE64.encode(it)),
        })
        .collect();
    let body = completion(&named);
    let mut call = shared.call("POST", key);
    call.query.push(("uploadId", id.to_owned()));
    call.headers.push(("content-type", "application/xml".into()));
    call.body = body.as_bytes();
    call.is_long = true;
    if is_new && capabilities.conditions {
        call.headers.push(("if-none-match", "*".into()));
    }
    let mut was_repeated = false;
    let mut attempt = 1;
    loop {
        let (answer, repeated) = shared.client.ask_once(&call);
        was_repeated |= repeated;
        let refusal = match answer {
            Ok(answer) => match late_error(&answer.text) {
                None => {
                    let version = answer.header("x-amz-version-id").map(str::to_owned);
                    return (Ok(Completed::Yes(version)), was_repeated);
                }
                Some(it) => Refusal { status: 200, code: it.code, message: it.message, region: None },
            },
            Err(fault) if was_repeated && fault.is_code(&["NoSuchUpload"]) => {
                return (Ok(Completed::Perhaps), was_repeated);
            }
            // Conditions are kept on PUT, but not known here: the caller has looked before.
            Err(fault) if fault.is_status(&[501]) && call.headers.len() > 1 => {
                call.headers.truncate(1);
                continue;
            }
            Err(fault) => return (Err(fault), was_repeated),
        };
        if !refusal.is_transient() || attempt >= shared.client.service().limits().attempts {
            return (Err(refusal.into()), was_repeated);
        }
        was_repeated = true;
        shared.client.service().pause(attempt, None);
        attempt += 1;
    }
}

/// Gives up an upload; one that is not there any more is no failure.
pub(crate) fn abort(shared: &Shared, key: &str, id: &str) -> Result<(), Fault> {
    let mut call = shared.call("DELETE", key);
    call.query.push(("uploadId", id.to_owned()));
    match shared.client.ask(&call) {
        Ok(_) => Ok(()),
        Err(fault) if fault.is_missing() => Ok(()),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_has_too_many_parts() {
        let (mib, gib) = (1_u64 << 20, 1_u64 << 30);
        assert_eq!(part_size(8 * mib, 70 * gib, 1), 8 * mib);
        for hint in [0, 1, 80 * gib, 500 * gib, 5_000 * gib, 50_000 * gib] {
            let size = part_size(8 * mib, hint, 1);
            assert!(hint.div_ceil(size) <= 9_800 && size <= 8 * mib + hint / 9_000, "{hint}");
        }
        // An object that was said to be empty may come to 800 GiB.
        let room: u128 = (1..=10_000).map(|it| u128::from(part_size(8 * mib, 0, it))).sum();
        assert!(room > 800 * u128::from(gib), "{room}");
    }

    #[test]
    fn the_composite_is_that_of_the_s3_user_guide() {
        let part =
            |number| Part { number, etag: String::new(), sha256: None, md5: Some(md5::Md5::digest(b"x").into()) };
        let composite = Composite::of(&[part(1), part(2)]);
        let twice = [md5::Md5::digest(b"x"), md5::Md5::digest(b"x")].concat();
        assert_eq!(composite.md5, Some(format!("{}-2", hex(&md5::Md5::digest(twice)))));
        assert_eq!(composite.sha256, None);
    }
}
