//! A store of type `s3` that objects are given back to, where Dataverse looks for them (dataverse.md 2.5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Location, Mender, ObjectWriter, Setting, SinkError, StoreWriter};

use crate::config::{S3SinkConfig, S3StoreConfig};
use crate::sink::S3Sink;
use crate::source::other_bucket;

/// Objects go into the configured bucket, as Dataverse 5.1 and later look for them; without one, into the bucket that
/// the identifier names.
pub struct S3StoreWriter {
    config: S3StoreConfig,
    run: RunId,
    buckets: Mutex<BTreeMap<String, Arc<ObjectWriter<S3Sink>>>>,
}

impl S3StoreWriter {
    /// Nothing is contacted yet. `run` is what the objects are called by that are there for a while only.
    #[must_use]
    pub fn new(config: S3StoreConfig, run: RunId) -> Self {
        Self { config, run, buckets: Mutex::default() }
    }

    fn writer(&self, bucket: &str) -> Result<Arc<ObjectWriter<S3Sink>>, SinkError> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = buckets.get(bucket) {
            return Ok(Arc::clone(writer));
        }
        let sink = S3Sink::of_store(S3SinkConfig::new(self.config.endpoint.clone(), bucket, ""))?;
        let writer = Arc::new(ObjectWriter::new(sink, self.run.clone()));
        buckets.insert(bucket.to_owned(), Arc::clone(&writer));
        Ok(writer)
    }
}

impl StoreWriter for S3StoreWriter {
    fn place(&self, at: &Location) -> Result<(Arc<dyn Mender>, ObjectKey), SinkError> {
        let key =
            at.key().map_err(|it| SinkError::because(Cause::Refused, "the object has no place in a bucket", it))?;
        let bucket = match self.config.bucket.as_str() {
            "" => other_bucket("", at),
            configured => Some(configured),
        };
        let bucket = bucket.ok_or_else(|| {
            let attempt = format!("no bucket is known for {key}: set {} of the store", Setting::StoreBucket);
            SinkError::new(Cause::Refused, attempt)
        })?;
        Ok((self.writer(bucket)?, key))
    }

    fn interrupt(&self) {
        let buckets: Vec<_> = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        buckets.iter().for_each(|it| it.interrupt());
    }

    fn close(&self, is_dead: &dyn Fn(&RunId) -> bool) {
        let buckets: Vec<_> = self.buckets.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        buckets.iter().for_each(|it| it.close(is_dead));
    }
}
