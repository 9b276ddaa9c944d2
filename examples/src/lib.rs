//! Programs that embed dataverse-backup: see `examples/*.rs`.
