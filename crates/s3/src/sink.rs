//! The destination as the engine holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dvb_fixity::Evidence;
use dvb_model::{ObjectKey, RunId};
use dvb_storage::{
    Cause, Demand, MemoryBudget, ObjectSession, ObjectSink, Setting, SingleFlight, Sink, SinkError, SinkSession,
};

use crate::client::{Call, Client};
use crate::config::S3SinkConfig;
use crate::error::Fault;
use crate::journal::Journal;
use crate::largest::Largest;
use crate::left::UploadsToGoOnWith;
use crate::notes::Notes;
use crate::probe::Probed;
use crate::session::S3Session;

/// Copies in a bucket. Its sessions share connections and memory.
pub struct S3Sink {
    shared: Arc<Shared>,
    probed: SingleFlight<Probed>,
    next: AtomicU64,
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) client: Arc<Client>,
    pub(crate) config: S3SinkConfig,
    /// What every key begins with.
    pub(crate) prefix: String,
    pub(crate) notes: Notes,
    pub(crate) parts: Arc<MemoryBudget>,
    pub(crate) held: Arc<MemoryBudget>,
    pub(crate) largest: Largest,
    /// Uploads that were cut.
    pub(crate) left: UploadsToGoOnWith,
    /// Whether they are gone on with, or aborted.
    pub(crate) continues: bool,
}

impl Shared {
    /// Nothing is contacted yet.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`], when the endpoint or its certificates make no sense.
    pub(crate) fn new(config: S3SinkConfig, continues: bool) -> Result<Self, SinkError> {
        let client = Client::new(&config.endpoint).map_err(|cause| {
            let attempt = format!("cannot use the destination in bucket {}", config.bucket);
            SinkError::because(Cause::Misconfigured, attempt, cause)
        })?;
        Ok(Self {
            client: Arc::new(client),
            prefix: config.key_prefix(),
            notes: Notes::default(),
            parts: MemoryBudget::new(config.part_memory),
            held: MemoryBudget::new(config.held_memory),
            largest: Largest::new(),
            left: UploadsToGoOnWith::default(),
            continues,
            config,
        })
    }

    pub(crate) fn key(&self, key: &ObjectKey) -> String {
        format!("{}{key}", self.prefix)
    }

    pub(crate) fn own_key(&self, name: &str) -> String {
        format!("{}.dataverse-backup/{name}", self.prefix)
    }

    pub(crate) fn call<'a>(&'a self, method: &'static str, key: &'a str) -> Call<'a> {
        Call { method, bucket: &self.config.bucket, key, ..Call::default() }
    }

    /// Of a part, usually.
    pub(crate) fn part_size(&self) -> u64 {
        self.config.part_size.min(self.largest.part())
    }

    /// What becomes of a PUT of so many bytes that failed: one that was too large is made again, in parts.
    pub(crate) fn refused_put(&self, fault: Fault, size: usize) -> Fault {
        if !fault.is_too_large() {
            return fault;
        }
        self.largest.refuse_put(size as u64);
        self.smaller(fault, size)
    }

    /// The same of a part: smaller ones are made.
    pub(crate) fn refused_part(&self, fault: Fault, size: usize) -> Fault {
        if fault.is_too_large() && self.largest.refuse_part(size as u64) { self.smaller(fault, size) } else { fault }
    }

    fn smaller(&self, fault: Fault, size: usize) -> Fault {
        self.notes.add(format!(
            "{} takes less at once than S3 services do ({fault}); what is too large is sent again in smaller parts. \
             {}: 5MiB makes them small from the start",
            self.describe(),
            Setting::PartSize
        ));
        match fault {
            Fault::Refused(refusal) => Fault::TooLarge { size, refusal },
            other => other,
        }
    }

    /// What could not be done with a key, and which right is lacking.
    pub(crate) fn failed(&self, fault: Fault, doing: &str, key: &str) -> SinkError {
        let what = if key.is_empty() { "what lies" } else { key };
        let right = match doing {
            "read back" | "prove" => "; give this account s3:GetObject",
            "list" => "; give this account s3:ListBucket",
            "remove" => "; give this account s3:DeleteObject",
            "lock" | "try the" => "; give this account s3:GetObjectRetention and s3:PutObjectRetention",
            "store" if self.config.object_lock.is_some() => "; to lock it, it needs s3:PutObjectRetention too",
            _ => "",
        };
        let right = if fault.is_code(&["AccessDenied", "Forbidden"]) { right } else { "" };
        fault.sink(format!("cannot {doing} {what} in {}{right}", self.describe()))
    }

    pub(crate) fn describe(&self) -> String {
        let place = self.client.describe(&self.config.bucket);
        match self.prefix.trim_end_matches('/') {
            "" => place,
            prefix => format!("{place}, below {prefix}"),
        }
    }
}

impl S3Sink {
    /// A destination; nothing is contacted yet.
    ///
    /// # Errors
    /// [`Cause::Misconfigured`], when the endpoint or its certificates make no sense.
    pub fn new(config: S3SinkConfig) -> Result<Self, SinkError> {
        Self::with(config, true)
    }

    /// A bucket of Dataverse, as a sink: nothing of ours is to stay there.
    pub(crate) fn of_store(config: S3SinkConfig) -> Result<Self, SinkError> {
        Self::with(config, false)
    }

    fn with(config: S3SinkConfig, continues: bool) -> Result<Self, SinkError> {
        let shared = Arc::new(Shared::new(config, continues)?);
        Ok(Self { shared, probed: SingleFlight::default(), next: AtomicU64::new(0) })
    }

    /// What the service can do, found out once; later it is only tried that it is there.
    fn probe(&self, known: Option<&Probed>) -> Result<Probed, SinkError> {
        let probed = match known {
            None => Probed::find_out(&self.shared),
            Some(it) => it.try_again(&self.shared).map(|()| it.clone()),
        };
        probed.map_err(|fault| {
            let is_transport = matches!(fault, Fault::Transport(_));
            let mut error = fault.sink(format!("cannot use {}", self.shared.describe()));
            if error.cause == Cause::Transient && is_transport {
                error.cause = Cause::Unavailable;
            }
            error
        })
    }
}

impl Sink for S3Sink {
    fn describe(&self) -> String {
        self.shared.describe()
    }

    fn method(&self) -> &'static str {
        "s3"
    }

    fn interrupt(&self) {
        self.shared.client.interrupt();
    }

    /// Objects that could not be removed.
    fn notes(&self) -> Vec<String> {
        self.shared.notes.all()
    }

    fn locks_for(&self) -> Option<Duration> {
        self.shared.config.object_lock.map(|it| Duration::from_secs(u64::from(it.days) * 86_400))
    }

    /// Buckets have an owner, a region and rules of their own, so this program makes none.
    fn make(&self) -> Result<(), SinkError> {
        let attempt = format!("{} does not exist; create it, or correct {}", self.shared.describe(), Setting::Bucket);
        Err(SinkError::new(Cause::Unavailable, attempt))
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        Ok(Box::new(self.open(run)?))
    }
}

impl ObjectSink for S3Sink {
    fn describe(&self) -> String {
        self.shared.describe()
    }

    fn interrupt(&self) {
        Sink::interrupt(self);
    }

    fn session(&self, run: &RunId) -> Result<Box<dyn ObjectSession>, SinkError> {
        Ok(Box::new(self.open(run)?))
    }
}

impl S3Sink {
    fn open(&self, run: &RunId) -> Result<S3Session, SinkError> {
        let probed = self.probed.get(|known| self.probe(known))?;
        let evidence = match (self.shared.config.demand, probed.capabilities.has_digest()) {
            (Demand::ReadBack, _) | (Demand::Auto, false) => Evidence::ReadBack,
            (Demand::Auto | Demand::RemoteHash, true) => Evidence::RemoteHash,
            (Demand::RemoteHash, false) => {
                let attempt = format!(
                    "{} keeps no digest of its own; set {}: read-back",
                    self.shared.describe(),
                    Setting::Evidence
                );
                return Err(SinkError::new(Cause::Misconfigured, attempt));
            }
        };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        // Several processes may share a run.
        let name = format!("{number}-{:016x}", fastrand::u64(..));
        let journal = Journal::new(&self.shared, run, &name);
        let (bucket, capabilities) = (self.shared.describe(), probed.capabilities);
        tracing::debug!(bucket, run = run.0, session = name, ?capabilities, "open a session");
        Ok(S3Session::new(Arc::clone(&self.shared), probed, evidence, journal))
    }
}
