//! Deleting copies in a bucket, for a lawful purge: with all versions, delete markers and open uploads.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::SystemTime;

use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Held, HeldKind, Lock, Purger, SinkError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::S3SinkConfig;
use crate::error::Fault;
use crate::journal::open_uploads;
use crate::listing::{ask, decode, list};
use crate::sink::Shared;
use crate::xml::{VersionRow, Versions};

/// What [`Shared::own_key`] takes for the copies that were set aside as damaged, a folder for each run.
const DAMAGED: &str = "damaged/";

/// A bucket, with the right to delete in it.
pub struct S3Purger {
    shared: Shared,
}

/// Objects and markers of a listing of versions.
struct Row {
    kind: HeldKind,
    row: VersionRow,
}

impl S3Purger {
    /// A bucket; nothing is contacted yet. Of the credentials in `config` it needs `s3:ListBucket`,
    /// `s3:ListBucketVersions`, `s3:ListBucketMultipartUploads`, `s3:GetObjectVersion`, `s3:DeleteObject`,
    /// `s3:DeleteObjectVersion` and `s3:AbortMultipartUpload`.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`](dvb_storage::Cause::Misconfigured), when the endpoint or its certificates make no sense.
    pub fn new(config: S3SinkConfig) -> Result<Self, SinkError> {
        Ok(Self { shared: Shared::new(config, false)? })
    }

    fn failed<'a>(&'a self, doing: &'a str) -> impl Fn(Fault) -> SinkError + 'a {
        move |fault| fault.sink(format!("cannot {doing} in {}", self.shared.describe()))
    }

    /// All versions of exactly these keys, and the markers among them; where the service has no versions, the objects.
    fn versions(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Row>, Fault> {
        match self.list_versions(prefix, &wanted) {
            Err(fault) if fault.is_status(&[501]) => self.objects(prefix, &wanted),
            listed => listed,
        }
    }

    fn objects(&self, prefix: &str, wanted: &impl Fn(&str) -> bool) -> Result<Vec<Row>, Fault> {
        let mut found = Vec::new();
        list(&self.shared, prefix, false, &mut |it| {
            if let Some(it) = it.ok().filter(|it| wanted(&it.key)) {
                let row = VersionRow { key: it.key, size: it.size, ..VersionRow::default() };
                found.push(Row { kind: HeldKind::Object, row });
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    fn list_versions(&self, prefix: &str, wanted: &impl Fn(&str) -> bool) -> Result<Vec<Row>, Fault> {
        let (mut found, mut encoded) = (Vec::new(), true);
        let (mut key, mut version) = (String::new(), String::new());
        loop {
            let mut call = self.shared.call("GET", "");
            call.query = vec![("versions", String::new()), ("prefix", prefix.to_owned())];
            if !key.is_empty() {
                call.query.push(("key-marker", key.clone()));
                if !version.is_empty() {
                    call.query.push(("version-id-marker", version.clone()));
                }
            }
            let page: Versions = ask(&self.shared.client, call, &mut encoded)?;
            let told = page.encoding_type.as_deref();
            let objects = page.versions.into_iter().map(|row| (HeldKind::Object, row));
            for (kind, row) in objects.chain(page.markers.into_iter().map(|row| (HeldKind::Marker, row))) {
                // A name that is no text is none of ours.
                let Ok(key) = decode(told, row.key) else { continue };
                if wanted(&key) {
                    found.push(Row { kind, row: VersionRow { key, ..row } });
                }
            }
            if !page.is_truncated {
                return Ok(found);
            }
            let next = decode(told, page.next_key_marker).map_err(|_| Fault::Lacking("NextKeyMarker that is text"))?;
            // To end here would be to say that there is nothing more.
            if next.is_empty() || (&next, &page.next_version_id_marker) == (&key, &version) {
                return Err(Fault::Lacking("NextKeyMarker that leads on"));
            }
            (key, version) = (next, page.next_version_id_marker);
        }
    }

    /// What keeps a version from being deleted.
    fn lock(&self, row: &VersionRow) -> Result<Option<Lock>, Fault> {
        let mut call = self.shared.call("HEAD", &row.key);
        call.query.extend(row.version_id.iter().map(|it| ("versionId", it.clone())));
        let answer = match self.shared.client.ask(&call) {
            // It was deleted meanwhile.
            Err(fault) if fault.is_status(&[404]) => return Ok(None),
            answer => answer?,
        };
        if answer.header("x-amz-object-lock-legal-hold").is_some_and(|it| it.eq_ignore_ascii_case("ON")) {
            return Ok(Some(Lock::Hold));
        }
        let Some(until) = answer.header("x-amz-object-lock-retain-until-date") else { return Ok(None) };
        let until = OffsetDateTime::parse(until, &Rfc3339).map_err(|_| Fault::Lacking("date of a lock that is one"))?;
        let until = SystemTime::from(until);
        Ok((until > SystemTime::now()).then_some(Lock::Until(until)))
    }

    /// What a row is, by its name below the root.
    fn held_of(&self, Row { kind, row }: Row) -> Result<Held, Fault> {
        let lock = if kind == HeldKind::Object { self.lock(&row)? } else { None };
        let name = row.key.strip_prefix(&self.shared.prefix).unwrap_or(&row.key).to_owned();
        Ok(Held { name, version: row.version_id, size: row.size, kind, lock })
    }

    fn find(&self, key: &ObjectKey) -> Result<Vec<Held>, Fault> {
        let at = self.shared.key(key);
        // Uploads first: one that is completed meanwhile would become an object.
        let (open, is_whole) = open_uploads(&self.shared, &at)?;
        if !is_whole {
            return Err(Fault::Lacking("NextKeyMarker, though there is more"));
        }
        let mut held: Vec<Held> = open
            .into_iter()
            .filter(|it| it.key == at)
            .map(|it| Held {
                name: key.as_str().to_owned(),
                version: Some(it.id),
                size: 0,
                kind: HeldKind::Upload,
                lock: None,
            })
            .collect();
        let mut rows = self.versions(&at, |it| it == at)?;
        if !key.is_own() {
            let damaged = self.shared.own_key(DAMAGED);
            rows.extend(self.versions(&damaged, |it| {
                let run = it.strip_prefix(&damaged).and_then(|it| it.split_once('/'));
                run.is_some_and(|(run, _)| {
                    key.set_aside(&RunId(run.to_owned())).is_ok_and(|aside| self.shared.key(&aside) == it)
                })
            })?);
        }
        // Markers last: with its marker gone, a version below it would show again.
        rows.sort_by_key(|it| it.kind);
        for row in rows {
            held.push(self.held_of(row)?);
        }
        Ok(held)
    }
}

impl Purger for S3Purger {
    fn describe(&self) -> String {
        self.shared.describe()
    }

    fn held(&mut self, key: &ObjectKey) -> Result<Vec<Held>, SinkError> {
        self.find(key).map_err(self.failed(&format!("list all versions of {key}")))
    }

    fn own_keys(&mut self, prefix: &str) -> Result<Vec<ObjectKey>, SinkError> {
        let at = self.shared.own_key(prefix);
        let rows = self.versions(&at, |_| true).map_err(self.failed(&format!("list all versions of {at}")))?;
        let names: BTreeSet<String> = rows.into_iter().map(|it| it.row.key).collect();
        let below = names.iter().filter_map(|it| it.strip_prefix(&self.shared.prefix));
        // A name that no key can have is none of ours.
        Ok(below.filter_map(|it| ObjectKey::new(it).ok()).collect())
    }

    fn delete(&mut self, held: &Held) -> Result<(), SinkError> {
        let key = format!("{}{}", self.shared.prefix, held.name);
        let mut call = self.shared.call("DELETE", &key);
        let version = held.version.clone();
        call.query.extend(version.map(|it| match held.kind {
            HeldKind::Upload => ("uploadId", it),
            HeldKind::Object | HeldKind::Marker | HeldKind::Manifest | HeldKind::Segment => ("versionId", it),
        }));
        match self.shared.client.ask(&call) {
            Err(fault) if fault.is_code(&["NoSuchUpload", "NoSuchVersion", "NoSuchKey"]) => Ok(()),
            Err(fault) => Err(self.failed(&format!("delete {}", held.name))(fault)),
            Ok(_) => Ok(()),
        }
    }
}
