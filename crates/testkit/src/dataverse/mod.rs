//! Databases and file stores as a Dataverse leaves them: the tables of two versions, and worlds to fill them with.

mod bulk;
mod kinds;
mod sql;
mod world;

pub use bulk::{bulk_content, bulk_sql, bulk_write};
pub use kinds::every_kind;
pub use world::{
    AlternativePid, Auxiliary, DataFile, DataTable, Dataset, Expect, Label, Store, Stored, StoredObject, Version, World,
};

use crate::postgres::Database;

/// The shape of Dataverse's database at both ends of what is supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schema {
    /// Before the PID moved from `dataset` to `dvobject` (4.9), before alternative PIDs, auxiliary files, embargoes.
    V4_8,
    /// With all of these.
    V6_9,
}

impl Schema {
    /// Both shapes, the older one first.
    pub const ALL: [Self; 2] = [Self::V4_8, Self::V6_9];

    /// The statements that make the tables.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::V4_8 => include_str!("v4_8.sql"),
            Self::V6_9 => include_str!("v6_9.sql"),
        }
    }

    /// Makes the tables in an empty database.
    ///
    /// # Panics
    /// When the server refuses.
    pub fn create(self, database: &Database) {
        database.execute(self.sql());
    }
}
