//! What the ledger does not know: the configuration, the program, the time.

use std::time::Duration;

use dvb_ledger::Agent;
use dvb_model::DestinationName;
use jiff::Timestamp;

/// What a report needs beside the ledger.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The time that the report is about.
    pub as_of: Timestamp,
    /// The beginning of its period.
    pub since: Timestamp,
    /// Names of files, hosts, stores, destinations and people are left out, and what people wrote.
    pub public: bool,
    /// Who makes it, with which version of the program.
    pub agent: Agent,
    /// The ledger, as it describes itself.
    pub ledger: String,
    /// Dataverse's stores, as configured.
    pub stores: Vec<StoreFacts>,
    /// Keys of the configuration with their values, as far as they decide what is copied and checked.
    pub policy: Vec<(String, String)>,
    /// Within which time each data file is read again in its store; `None`: nothing was promised.
    pub audit_every: Option<Duration>,
    /// The destinations, as configured.
    pub destinations: Vec<DestinationFacts>,
}

/// One of Dataverse's stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFacts {
    /// The driver id, which stands before `://` in storage identifiers.
    pub id: String,
    /// Its type, as Dataverse calls it.
    pub kind: String,
}

/// One destination, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationFacts {
    /// Its name in the configuration and in the ledger.
    pub name: DestinationName,
    /// How it is spoken to: `SFTP`, `S3`, `Swift`, `directory`.
    pub protocol: &'static str,
    /// Host and folder, or bucket.
    pub location: String,
    /// `Place`: where it stands.
    pub place: Option<String>,
    /// `Medium`: what it is stored on.
    pub medium: Option<String>,
    /// `Region`: the region that a disaster would strike as a whole.
    pub region: Option<String>,
    /// `Administrator`: who is responsible for it.
    pub administrator: Option<String>,
    /// What keeps its copies from being deleted; `None`: nothing that this program knows of.
    pub lock: Option<LockFacts>,
    /// `Verify`: the evidence that is demanded of a copy.
    pub evidence: &'static str,
    /// `VerifyEvery`: within which time each copy is proved again; `None`: nothing was promised.
    pub verify_every: Option<Duration>,
}

/// What keeps copies from being deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockFacts {
    /// In a word: `S3 object lock`.
    pub kind: String,
    /// For how many days from the upload, or from when it was renewed.
    pub days: u32,
}
