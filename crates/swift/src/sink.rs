//! The destination as the engine holds it.

use std::sync::{Arc, Mutex, PoisonError};

use dvb_http::Interrupt;
use dvb_model::RunId;
use dvb_storage::{
    Cause, MemoryBudget, ObjectSession, ObjectSink, Setting, SingleFlight, Sink, SinkError, SinkSession,
};

use crate::capabilities::Capabilities;
use crate::client::Client;
use crate::config::SwiftSinkConfig;
use crate::container;
use crate::context::{Context, segments_of};
use crate::error::SwiftFailure;
use crate::left::ObjectsToGoOnWith;
use crate::session::Session;

/// A container. Its sessions share a token, connections, and what may wait in memory.
pub struct SwiftSink {
    config: SwiftSinkConfig,
    budget: Arc<MemoryBudget>,
    client: Mutex<Option<Arc<Client>>>,
    interrupt: Interrupt,
    left: Arc<ObjectsToGoOnWith>,
    context: SingleFlight<Arc<Context>>,
    /// In a store of Dataverse a container is made as it is needed; a destination's only when that is asked for.
    is_store: bool,
}

impl SwiftSink {
    /// A destination; nothing is contacted yet.
    #[must_use]
    pub fn new(config: SwiftSinkConfig) -> Self {
        let budget = MemoryBudget::new(config.limits.held_total);
        Self {
            config,
            budget,
            client: Mutex::new(None),
            interrupt: Interrupt::default(),
            left: Arc::default(),
            context: SingleFlight::default(),
            is_store: false,
        }
    }

    /// A container of Dataverse, as a sink.
    pub(crate) fn of_store(config: SwiftSinkConfig) -> Self {
        Self { is_store: true, ..Self::new(config) }
    }

    fn client(&self) -> Result<Arc<Client>, SwiftFailure> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Client::new(self.config.account.clone(), self.interrupt.clone())?);
        *kept = Some(Arc::clone(&client));
        Ok(client)
    }

    /// Looks that the container is there; `None` where it is not. What the server says of itself is asked for once.
    fn context(&self, known: Option<&Arc<Context>>) -> Result<Option<Arc<Context>>, SwiftFailure> {
        let client = self.client()?;
        let capabilities = known.map_or_else(|| Capabilities::ask(&client), |it| Ok(it.capabilities.clone()))?;
        if self.is_store {
            container::ensure(&client, &self.config.container)?;
        } else if !container::exists(&client, &self.config.container)? {
            return Ok(None);
        }
        Ok(Some(Arc::new(Context {
            client,
            container: self.config.container.clone(),
            capabilities,
            limits: self.config.limits.clone(),
            budget: Arc::clone(&self.budget),
            requests: self.config.requests,
            demand: self.config.demand,
            left: Arc::clone(&self.left),
            // In a store of Dataverse, nothing of ours is to stay.
            continues: !self.is_store,
        })))
    }

    fn failed(&self, failure: SwiftFailure) -> SinkError {
        let cause = match failure.cause() {
            _ if matches!(failure, SwiftFailure::LoginRefused { .. }) => Cause::Forbidden,
            Cause::Misconfigured | Cause::Missing => Cause::Misconfigured,
            known @ (Cause::Forbidden | Cause::Full) => known,
            _ => Cause::Unavailable,
        };
        let advice = match cause {
            Cause::Forbidden if !matches!(failure, SwiftFailure::LoginRefused { .. }) => {
                "give this user the right to read and to write it, by an ACL or a role; if it is not there yet, make it, or give \
                 the right to make it"
            }
            _ => "check that it may be entered, or made",
        };
        let attempt = format!("cannot use the {}; {advice}", Sink::describe(self));
        SinkError::because(cause, attempt, failure)
    }
}

impl Sink for SwiftSink {
    fn describe(&self) -> String {
        format!("container {} at {}", self.config.container, self.config.account.auth_url)
    }

    fn method(&self) -> &'static str {
        "swift"
    }

    fn interrupt(&self) {
        self.interrupt.interrupt(None);
        if let Some(client) = &*self.client.lock().unwrap_or_else(PoisonError::into_inner) {
            client.service().interrupt();
        }
    }

    /// With the container for the segments of large objects, so that an account without the right to make them is told now.
    fn make(&self) -> Result<(), SinkError> {
        let make = || {
            let client = self.client()?;
            container::ensure(&client, &self.config.container)?;
            container::ensure(&client, &segments_of(&self.config.container))
        };
        make().map_err(|it| self.failed(it))
    }

    fn unmake(&self) -> Result<(), SinkError> {
        let unmake = || {
            let client = self.client()?;
            container::remove_empty(&client, &segments_of(&self.config.container))?;
            container::remove_empty(&client, &self.config.container)
        };
        unmake().map_err(|it| it.into_sink(format!("cannot remove the empty {}", Sink::describe(self))))
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        Ok(Box::new(self.open(run)?))
    }
}

impl ObjectSink for SwiftSink {
    fn describe(&self) -> String {
        Sink::describe(self)
    }

    fn interrupt(&self) {
        Sink::interrupt(self);
    }

    fn session(&self, run: &RunId) -> Result<Box<dyn ObjectSession>, SinkError> {
        Ok(Box::new(self.open(run)?))
    }
}

impl SwiftSink {
    fn open(&self, run: &RunId) -> Result<Session, SinkError> {
        let missing = || {
            let attempt = format!("the {} does not exist; check {}", Sink::describe(self), Setting::Container);
            SinkError::new(Cause::Absent, attempt)
        };
        let context =
            self.context.get(|known| self.context(known).map_err(|it| self.failed(it))?.ok_or_else(missing))?;
        tracing::debug!(container = self.config.container, run = run.0, capabilities = ?context.capabilities, "open a session");
        Ok(Session::new(context, run.clone()))
    }
}
