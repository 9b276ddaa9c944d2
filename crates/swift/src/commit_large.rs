//! Letting a large object show: its segments are proved, its mark goes, its manifest comes.

use dvb_fixity::{Algorithm, Hasher, Measured, Observed, Proved};
use dvb_model::ObjectKey;
use dvb_storage::{Cause, Demand, SinkError, Unstaged};

use crate::commit::proved_by_reading;
use crate::context::Context;
use crate::error::SwiftFailure;
use crate::manifest;
use crate::path::Path;
use crate::upload::Upload;

impl Context {
    /// Proves the segments, then stores the manifest, which shows the whole object at once.
    pub(crate) fn commit_upload(
        &self,
        key: &ObjectKey,
        upload: &Upload,
        measured: Measured,
        replace: bool,
    ) -> Result<Proved, Unstaged> {
        let path = self.key(key.as_str());
        let before = self.before_manifest(key, &path, upload, &measured, replace);
        if let Err(error) = before {
            let _ = upload.remove(self);
            return Err(error);
        }
        self.put_manifest(key, &path, upload, replace)?;
        let held = manifest::read(&self.client, &path);
        let held = held.map_err(|it| it.into_sink(format!("cannot read the manifest of {key} back")))?;
        if let Err(mismatch) = manifest::compare(&upload.segments, &held) {
            self.take_away(&path);
            return Err(mismatch.into());
        }
        // Each segment was compared by its MD5, and they are all that was read, in order: so the whole is.
        let whole = measured.digest(Algorithm::Sha256).cloned();
        let whole = whole.ok_or_else(|| SinkError::new(Cause::Io, format!("{key} was not hashed")))?;
        let observed = Observed { digest: whole, size: Some(measured.size), evidence: self.evidence() };
        Ok(Proved::by(measured, &observed)?)
    }

    /// What can fail while the segments may still be removed.
    fn before_manifest(
        &self,
        key: &ObjectKey,
        path: &Path,
        upload: &Upload,
        measured: &Measured,
        replace: bool,
    ) -> Result<(), Unstaged> {
        upload.compare(measured)?;
        if !replace && self.seen(path, false)?.is_some() {
            return Err(exists(key).into());
        }
        if self.demand == Demand::ReadBack {
            proved_by_reading(measured.clone(), &self.read_segments(key, upload)?)?;
        }
        let unmarked = upload.unmark(self);
        Ok(unmarked.map_err(|it| it.into_sink(format!("cannot prepare the manifest of {key}")))?)
    }

    fn put_manifest(&self, key: &ObjectKey, path: &Path, upload: &Upload, replace: bool) -> Result<(), SinkError> {
        let failed = |failure: SwiftFailure| failure.into_sink(format!("cannot store the manifest of {key}"));
        match manifest::put(&self.client, path, &upload.segments, replace) {
            Ok(()) => Ok(()),
            Err(SwiftFailure::Refused { status: 412, in_doubt: true, .. }) => {
                // Our own first try may be what is there now; if not, no manifest of ours was stored.
                let held = manifest::get(&self.client, path).map_err(failed)?;
                let ours = held.is_some_and(|it| manifest::compare(&upload.segments, &it).is_ok());
                if ours { Ok(()) } else { Err(exists(key)) }
            }
            Err(failure) => {
                // Only a refusal that leaves no doubt lets the segments go: a manifest may come into being behind a lost answer.
                if matches!(failure, SwiftFailure::Refused { status: 400..=499, in_doubt: false, .. }) {
                    let _ = upload.remove(self);
                }
                Err(failed(failure))
            }
        }
    }

    fn read_segments(&self, key: &ObjectKey, upload: &Upload) -> Result<Measured, SinkError> {
        let mut hasher = Hasher::new(&[]);
        let prefix = format!("/{}/", self.segments());
        for segment in &upload.segments {
            let object = segment.name.strip_prefix(&prefix).unwrap_or(&segment.name);
            self.read_into(&mut hasher, key.as_str(), Path::object(&self.segments(), object))?;
        }
        Ok(hasher.finish())
    }
}

fn exists(key: &ObjectKey) -> SinkError {
    SinkError::new(Cause::Exists, format!("something already exists at {key}"))
}
