//! A store of type `swift` that objects are given back to: where, stands in the identifier (dataverse.md 2.6).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dvb_model::{ObjectKey, RunId};
use dvb_storage::{Cause, Demand, Location, Mender, ObjectWriter, SinkError, StoreWriter};

use crate::config::{Limits, SwiftSinkConfig, SwiftStoreConfig};
use crate::sink::SwiftSink;
use crate::source::{Address, address, endpoint_of};

/// Dataverse makes no large objects itself, and leaves the segments behind when it deletes one: so only what is too large
/// to wait in memory becomes one.
const HELD_OBJECT: u64 = 32 << 20;
const REQUESTS: usize = 4;

type Containers = BTreeMap<(String, String), Arc<ObjectWriter<SwiftSink>>>;

/// Objects go where their identifiers say: endpoint, container, name.
pub struct SwiftStoreWriter {
    config: SwiftStoreConfig,
    limits: Limits,
    run: RunId,
    containers: Mutex<Containers>,
}

impl SwiftStoreWriter {
    /// Nothing is contacted yet. `run` is what the objects are called by that are there for a while only.
    #[must_use]
    pub fn new(config: SwiftStoreConfig, run: RunId) -> Self {
        Self::with_limits(config, Limits { held_object: HELD_OBJECT, ..Limits::USUAL }, run)
    }

    /// As [`new`](Self::new), with other limits than the usual ones.
    #[must_use]
    pub fn with_limits(config: SwiftStoreConfig, limits: Limits, run: RunId) -> Self {
        Self { config, limits, run, containers: Mutex::default() }
    }

    fn writer(&self, endpoint: &str, container: String) -> Result<Arc<ObjectWriter<SwiftSink>>, SinkError> {
        let account = endpoint_of(&self.config.endpoints, self.config.default_endpoint.as_deref(), endpoint)
            .map_err(|it| SinkError::new(it.cause, it.attempt))?;
        let mut containers = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        let writer =
            containers.entry((endpoint.to_ascii_lowercase(), container)).or_insert_with_key(|(_, container)| {
                let config = SwiftSinkConfig {
                    account: account.clone(),
                    container: container.clone(),
                    limits: self.limits.clone(),
                    requests: REQUESTS,
                    demand: Demand::Auto,
                };
                Arc::new(ObjectWriter::new(SwiftSink::of_store(config), self.run.clone()))
            });
        Ok(Arc::clone(writer))
    }
}

impl StoreWriter for SwiftStoreWriter {
    fn place(&self, at: &Location) -> Result<(Arc<dyn Mender>, ObjectKey), SinkError> {
        let Address { endpoint, container, object } =
            address(at).map_err(|it| SinkError::new(Cause::Refused, it.chain()))?;
        let refused = |why: String| SinkError::new(Cause::Refused, format!("the object has no place in Swift: {why}"));
        let key = ObjectKey::new(&object).map_err(|it| refused(it.to_string()))?;
        if key.is_own() {
            return Err(refused(format!("{key} is a name of the backup's own")));
        }
        Ok((self.writer(&endpoint, container)?, key))
    }

    fn interrupt(&self) {
        let all: Vec<_> = self.containers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.iter().for_each(|it| it.interrupt());
    }

    fn close(&self, is_dead: &dyn Fn(&RunId) -> bool) {
        let all: Vec<_> = self.containers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        all.iter().for_each(|it| it.close(is_dead));
    }
}
