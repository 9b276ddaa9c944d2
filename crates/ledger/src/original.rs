//! The original script's rows: how their storage identifiers compare with today's.

/// What Dataverse 4.20 wrote before bare identifiers (dataverse.md 1.1).
const PREFIX: &str = "file://";

/// The spellings under which the original may have recorded a storage identifier.
pub(crate) fn spellings(storage_identifier: &str) -> Vec<String> {
    let bare = storage_identifier.strip_prefix(PREFIX).unwrap_or(storage_identifier);
    if bare.contains("://") { vec![bare.to_owned()] } else { vec![bare.to_owned(), format!("{PREFIX}{bare}")] }
}
