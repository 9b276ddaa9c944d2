//! `[Repository]`: what Dataverse keeps, and how much of it is copied.

use std::path::PathBuf;
use std::time::Duration;

use dvb_model::DriverId;

use super::fields::Fields;
use super::{PurgeApproval, value};

/// The section `[Repository]`: the stores and what is copied of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Repository {
    /// Folder of the store `file`.
    pub file_system_directory: Option<PathBuf>,
    /// Further folders that links in it may lead to.
    pub extra_roots: Vec<PathBuf>,
    /// Store of identifiers without a prefix, where it is set; else `domain.xml` says, else it is `file`.
    pub default_store: Option<DriverId>,
    /// Payara's `domain.xml`, to take further stores from; `[Store]` sections go before it.
    pub domain_xml: Option<PathBuf>,
    /// A file with the environment of Dataverse's container.
    pub environment: Option<PathBuf>,
    /// Whether auxiliary files, provenance JSON and dataset logos are copied.
    pub auxiliary_objects: bool,
    /// Whether `export_*.cached` objects are copied.
    pub cached_exports: bool,
    /// The fraction of the catalogue (0 to 1) that may vanish between two runs without a question.
    pub max_disappearance: f64,
    /// Whether each run of everything looks, by listings, whether what is safe is still in its store.
    pub presence_check: bool,
    /// Within which time each run's shares read every data file again in its store.
    pub audit_every: Option<Duration>,
    /// The fraction of the known files (0 to 1) that may have other bytes and checksums all at once without a question.
    pub max_change: f64,
    /// How many people a lawful purge takes.
    pub purge_approval: PurgeApproval,
    /// How long after a purge was asked for it may be done at the earliest.
    pub purge_grace: Duration,
}

impl Default for Repository {
    fn default() -> Self {
        Self {
            file_system_directory: None,
            extra_roots: Vec::new(),
            default_store: None,
            domain_xml: None,
            environment: None,
            auxiliary_objects: true,
            cached_exports: false,
            max_disappearance: 0.05,
            presence_check: true,
            audit_every: None,
            max_change: 0.05,
            purge_approval: PurgeApproval::TwoPerson,
            purge_grace: Duration::from_secs(7 * 86_400),
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_>) -> Repository {
    let default = Repository::default();
    let file_system_directory = fields.path("FileSystemDirectory");
    let extra_roots = fields.paths("ExtraRoots");
    if file_system_directory.is_none() && !extra_roots.is_empty() {
        fields
            .problem("ExtraRoots", "FileSystemDirectory is missing here; for another store, put it in its [Store ID]");
    }
    let approvals = [("two-person", PurgeApproval::TwoPerson), ("none", PurgeApproval::None)];
    // None at all has to be possible where a court or an authority does not wait.
    let grace = |text: &str| if text.trim() == "0" { Ok(Duration::ZERO) } else { value::duration(text) };
    Repository {
        file_system_directory,
        extra_roots,
        default_store: fields.text("DefaultStore").map(DriverId),
        domain_xml: fields.path("DomainXml"),
        environment: fields.path("Environment"),
        auxiliary_objects: fields.parsed("AuxiliaryObjects", value::boolean).unwrap_or(default.auxiliary_objects),
        cached_exports: fields.parsed("CachedExports", value::boolean).unwrap_or(default.cached_exports),
        presence_check: fields.parsed("PresenceCheck", value::boolean).unwrap_or(default.presence_check),
        audit_every: fields.parsed("AuditEvery", value::duration),
        max_disappearance: fields.parsed("MaxDisappearance", value::percent).unwrap_or(default.max_disappearance),
        max_change: fields.parsed("MaxChange", value::percent).unwrap_or(default.max_change),
        purge_approval: fields.parsed("PurgeApproval", |text| value::choice(text, &approvals)).unwrap_or_default(),
        purge_grace: fields.parsed("PurgeGrace", grace).unwrap_or(default.purge_grace),
    }
}
