//! Uploads that were cut, and are gone on with: a part that is there and is what was read is not sent again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use dvb_fixity::hex;
use dvb_storage::{CONTINUED_FOR, CONTINUED_FROM};
use md5::Digest as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::Fault;
use crate::probe::Capabilities;
use crate::sink::Shared;
use crate::upload::Part;
use crate::xml::{ListedParts, parse};

/// By their keys, the uploads that somebody may go on with.
#[derive(Default)]
pub(crate) struct UploadsToGoOnWith(Mutex<BTreeMap<String, String>>);

/// What a service says of a part that it has.
pub(crate) struct PartThere {
    pub(crate) size: u64,
    etag: String,
    sha256: Option<Vec<u8>>,
}

/// The parts of an upload that are there, by their numbers.
pub(crate) type Parts = BTreeMap<u32, PartThere>;

/// An upload that is open.
pub(crate) struct UnfinishedUpload {
    pub(crate) key: String,
    pub(crate) id: String,
    /// As the service writes it; empty where it does not say.
    pub(crate) initiated: String,
}

impl UploadsToGoOnWith {
    /// Whoever uploads to this key next goes on with it.
    pub(crate) fn remember(&self, UnfinishedUpload { key, id, .. }: UnfinishedUpload) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, id);
    }

    /// An upload to go on with, and what of it is there. Nobody else gets it.
    pub(crate) fn take(&self, shared: &Shared, key: &str) -> Option<(String, Parts)> {
        let id = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)?;
        // One that is gone by now, or cannot be looked at, is none; a later sweep sees to it.
        let parts = parts_of(shared, key, &id).ok()?;
        Some((id, parts))
    }
}

/// How many bytes of it are worth going on with; none where it is too old, or begun with a date until which what is made
/// of it is locked.
pub(crate) fn worth(shared: &Shared, upload: &UnfinishedUpload) -> u64 {
    let begun = OffsetDateTime::parse(&upload.initiated, &Rfc3339);
    let is_young = begun.is_ok_and(|it| OffsetDateTime::now_utc() - it < CONTINUED_FOR);
    if !is_young
        || !shared.continues
        || shared.config.object_lock.is_some()
        || upload.key.starts_with(&shared.own_key(""))
    {
        return 0;
    }
    let parts = parts_of(shared, &upload.key, &upload.id).unwrap_or_default();
    let bytes = parts.values().map(|it| it.size).sum();
    if bytes < CONTINUED_FROM { 0 } else { bytes }
}

fn parts_of(shared: &Shared, key: &str, id: &str) -> Result<Parts, Fault> {
    let mut found = Parts::new();
    let mut marker = String::new();
    loop {
        let mut call = shared.call("GET", key);
        call.query = vec![("uploadId", id.to_owned())];
        if !marker.is_empty() {
            call.query.push(("part-number-marker", marker.clone()));
        }
        let page: ListedParts = parse(&shared.client.ask(&call)?.text)?;
        for part in page.parts {
            let sha256 = part.sha256.and_then(|it| BASE64.decode(it).ok());
            found.insert(part.number, PartThere { size: part.size, etag: part.etag, sha256 });
        }
        if !page.is_truncated {
            return Ok(found);
        }
        if page.next_part_number_marker.is_empty() || page.next_part_number_marker == marker {
            return Err(Fault::Lacking("NextPartNumberMarker that leads on"));
        }
        marker = page.next_part_number_marker;
    }
}

impl PartThere {
    /// The part, where its digest is that of these bytes.
    pub(crate) fn if_it_is(&self, capabilities: Capabilities, number: u32, bytes: &[u8]) -> Option<Part> {
        if self.size != bytes.len() as u64 {
            return None;
        }
        let sha256: [u8; 32] = sha2::Sha256::digest(bytes).into();
        let md5: [u8; 16] = md5::Md5::digest(bytes).into();
        let is_same = match &self.sha256 {
            Some(told) => told[..] == sha256,
            None => capabilities.md5 && self.etag.trim_matches('"').eq_ignore_ascii_case(&hex(&md5)),
        };
        is_same.then(|| Part {
            number,
            etag: self.etag.clone(),
            sha256: capabilities.sha256.then_some(sha256),
            md5: capabilities.takes_md5().then_some(md5),
        })
    }
}
