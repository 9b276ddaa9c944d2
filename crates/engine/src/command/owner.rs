//! Whose a destination is.

use dvb_model::DestinationName;
use serde::{Deserialize, Serialize};

/// What a destination tells of its installation, in an object that people can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub(crate) format: String,
    /// What the file is for.
    #[serde(default)]
    pub(crate) about: String,
    /// The id of the installation.
    pub id: String,
    /// What this destination is called there.
    pub destination: DestinationName,
    /// Where its catalogue was read from: host, port and database.
    pub catalogue: String,
    /// The host that left this.
    pub host: String,
    /// When it was left, RFC 3339 UTC.
    pub since: String,
    /// The ids of installations that it belonged to before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}
