//! What the service holds at a key, told by its own digest or by reading it back.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_fixity::{Algorithm, Digest, Evidence, Hasher, Measured, Observed};
use dvb_storage::Demand;

use crate::client::Answer;
use crate::error::Fault;
use crate::probe::Capabilities;
use crate::sink::Shared;
use crate::upload::Composite;
use dvb_http::content_length;

/// The headers of an object with its checksums; `None` where there is none.
pub(crate) fn head(shared: &Shared, key: &str) -> Result<Option<Answer>, Fault> {
    let mut call = shared.call("HEAD", key);
    call.headers.push(("x-amz-checksum-mode", "ENABLED".into()));
    match shared.client.ask(&call) {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// The headers of an object that was just stored: services that are consistent only in the end may not know it yet.
fn head_of_new(shared: &Shared, key: &str) -> Result<Answer, Fault> {
    for attempt in 1..shared.client.service().limits().attempts {
        if let Some(answer) = head(shared, key)? {
            return Ok(answer);
        }
        shared.client.service().pause(attempt, None);
    }
    head(shared, key)?.ok_or(Fault::Lacking("object that was just stored"))
}

/// Observes what lies at `key`, of which `measured` (and of its parts, `composite`) was sent.
pub(crate) fn observe(
    shared: &Shared,
    capabilities: Capabilities,
    evidence: Evidence,
    key: &str,
    measured: &Measured,
    composite: Option<&Composite>,
) -> Result<Observed, Fault> {
    if evidence == Evidence::RemoteHash {
        let answer = head_of_new(shared, key)?;
        let size = content_length(&answer.headers);
        if let Some(digest) = told(capabilities, &answer, measured, composite) {
            return Ok(Observed { digest, size, evidence });
        }
        // A digest of another kind (an encrypted object, parts put together otherwise) proves nothing, nor disproves.
        if shared.config.demand == Demand::RemoteHash {
            return Err(Fault::Lacking("digest that could be compared"));
        }
    }
    let measured = read_back(shared, key, &[])?;
    let digest = measured.digest(Algorithm::Sha256).cloned().ok_or(Fault::Lacking("digest"))?;
    Ok(Observed { digest, size: Some(measured.size), evidence: Evidence::ReadBack })
}

/// The digest that the service tells, where it is one of the whole object or equals what the parts make.
fn told(
    capabilities: Capabilities,
    answer: &Answer,
    measured: &Measured,
    composite: Option<&Composite>,
) -> Option<Digest> {
    if capabilities.sha256 {
        let text = answer.header("x-amz-checksum-sha256")?;
        if composite.and_then(|it| it.sha256.as_deref()) == Some(text) {
            // Part by part what was sent, in the same order: so the whole is what was read.
            return measured.digest(Algorithm::Sha256).cloned();
        }
        return BASE64.decode(text).ok().and_then(|it| Digest::from_bytes(&it));
    }
    let etag = answer.etag()?.trim_matches('"');
    if composite.is_some_and(|it| it.md5.as_deref() == Some(etag)) {
        return measured.digest(Algorithm::Sha256).cloned();
    }
    // An ETag may look like an MD5 and be none: only equality says something.
    let digest: Digest = etag.parse().ok()?;
    (measured.matches(&digest) == Some(true)).then_some(digest)
}

/// Size and digests of the bytes as they lie there.
pub(crate) fn read_back(shared: &Shared, key: &str, wanted: &[Algorithm]) -> Result<Measured, Fault> {
    let mut body = shared.client.download(&shared.config.bucket, key)?;
    let mut hasher = Hasher::new(wanted);
    let mut buffer = vec![0; 128 << 10];
    loop {
        match body.read(&mut buffer).map_err(Fault::Body)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}
