//! Another key for an object: a copy made by the service, and for a new name the old one removed.

use dvb_storage::{Cause, SinkError, parallel_map};

use crate::error::{Fault, Refusal};
use crate::lock;
use crate::probe::Capabilities;
use crate::prove::head;
use crate::sink::Shared;
use crate::upload::{self, Completed, Part};
use crate::xml::{CopiedPart, late_error, parse};
use dvb_http::content_length;

/// `CopyObject` takes no larger object; larger ones are copied part by part.
const LARGEST_COPY: u64 = 5 << 30;
const COPIED_PART: u64 = 1 << 30;

/// Gives the object at `from` the key `to`.
pub(crate) fn rename(shared: &Shared, capabilities: Capabilities, from: &str, to: &str) -> Result<(), SinkError> {
    second(shared, capabilities, from, to)?;
    match shared.client.ask(&shared.call("DELETE", from)) {
        Ok(_) => Ok(()),
        Err(fault) if fault.cause() == Cause::Forbidden => {
            // The object has its new key; what is left is a copy too many.
            shared.notes.add(format!("{from} in {} has a copy at {to} now, but may not be removed", shared.describe()));
            Ok(())
        }
        Err(fault) => Err(fault.sink(format!("cannot rename {from} to {to} in {}", shared.describe()))),
    }
}

/// Gives the object at `from` the key `to` as well.
pub(crate) fn second(shared: &Shared, capabilities: Capabilities, from: &str, to: &str) -> Result<(), SinkError> {
    let failed = |fault: Fault| fault.sink(format!("cannot copy {from} to {to} in {}", shared.describe()));
    let Some(old) = head(shared, from).map_err(failed)? else {
        return Err(SinkError::new(Cause::Missing, format!("{from} is missing in {}", shared.describe())));
    };
    if head(shared, to).map_err(failed)?.is_some() {
        let attempt = format!("something already exists at {to} in {}", shared.describe());
        return Err(SinkError::new(Cause::Exists, attempt));
    }
    let size = content_length(&old.headers).ok_or(Fault::Lacking("Content-Length")).map_err(failed)?;
    let etag = old.etag().unwrap_or_default().to_owned();
    let make = |etag: &str| match size <= LARGEST_COPY {
        true => match copy(shared, capabilities, from, to, etag) {
            // It makes a new object of the whole, and takes none as large.
            Err(fault) if fault.is_too_large() => {
                copy_parts(shared, capabilities, from, to, etag, (size, shared.part_size()))
            }
            done => done,
        },
        false => copy_parts(shared, capabilities, from, to, etag, (size, COPIED_PART)),
    };
    match make(&etag) {
        Ok(()) => {}
        // Swift's S3 never takes the ETag of an object of parts for this: look again afterwards instead.
        Err(fault) if fault.is_status(&[412]) => {
            make("").map_err(failed)?;
            let still = head(shared, from).map_err(failed)?;
            if still.as_ref().and_then(|it| it.etag()) != Some(etag.as_str()) {
                let attempt = format!("{from} changed while it was copied to {to} in {}", shared.describe());
                return Err(SinkError::new(Cause::Io, attempt));
            }
        }
        Err(fault) => return Err(failed(fault)),
    }
    let copied = head(shared, to).map_err(failed)?.and_then(|it| content_length(&it.headers));
    if copied != Some(size) {
        let attempt = format!("{from} was copied to {to} in {}, but not as a whole", shared.describe());
        return Err(SinkError::new(Cause::Io, attempt));
    }
    Ok(())
}

fn source(shared: &Shared, from: &str, etag: &str) -> Vec<(&'static str, String)> {
    let path = s3::signing::uri_encode(from, false);
    let mut headers = vec![("x-amz-copy-source", format!("/{}/{path}", shared.config.bucket))];
    if !etag.is_empty() {
        headers.push(("x-amz-copy-source-if-match", etag.to_owned()));
    }
    headers
}

fn copy(shared: &Shared, capabilities: Capabilities, from: &str, to: &str, etag: &str) -> Result<(), Fault> {
    let mut call = shared.call("PUT", to);
    call.headers = source(shared, from, etag);
    call.headers.extend(lock::headers(shared, to));
    call.is_long = true;
    if capabilities.sha256 {
        // A copy gets a checksum of its own, of the whole.
        call.headers.push(("x-amz-checksum-algorithm", "SHA256".into()));
    }
    match late_error(&shared.client.ask(&call)?.text) {
        None => Ok(()),
        Some(it) => Err(Refusal { status: 200, code: it.code, message: it.message, region: None }.into()),
    }
}

fn copy_parts(
    shared: &Shared,
    capabilities: Capabilities,
    from: &str,
    to: &str,
    etag: &str,
    (size, part_size): (u64, u64),
) -> Result<(), Fault> {
    let id = upload::create(shared, capabilities, to)?;
    let part_size = upload::part_size(part_size, size, 1);
    let numbers: Vec<u64> = (0..size.div_ceil(part_size)).collect();
    let copied: Result<Vec<Part>, Fault> = parallel_map(numbers, shared.config.parallel, |n| {
        let (first, last) = (n * part_size, ((n + 1) * part_size).min(size) - 1);
        let mut call = shared.call("PUT", to);
        call.query = vec![("partNumber", (n + 1).to_string()), ("uploadId", id.clone())];
        call.headers = source(shared, from, etag);
        call.headers.push(("x-amz-copy-source-range", format!("bytes={first}-{last}")));
        call.is_long = true;
        let text = shared.client.ask(&call)?.text;
        if let Some(it) = late_error(&text) {
            return Err(Refusal { status: 200, code: it.code, message: it.message, region: None }.into());
        }
        let part: CopiedPart = parse(&text)?;
        let sha256 = part.sha256.and_then(|text| {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok()
        });
        Ok(Part { number: u32::try_from(n + 1).unwrap_or(u32::MAX), etag: part.etag, sha256, md5: None })
    })
    .into_iter()
    .collect();
    let done = copied.and_then(|parts| upload::complete(shared, capabilities, to, &id, &parts, true).0);
    match done {
        Ok(Completed::Yes(_) | Completed::Perhaps) => Ok(()),
        Err(fault) => {
            // Its own failure is not news beside the one at hand.
            let _ = upload::abort(shared, to, &id);
            Err(fault)
        }
    }
}
