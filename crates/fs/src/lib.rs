//! Stores and destinations on a local or mounted file system.
//!
//! Every path is resolved below a folder that was opened once, so that no name from a database, and no symbolic
//! link, leads out of it.

mod error;
mod flush;
mod kinds;
mod listing;
mod names;
mod publish;
mod purger;
mod replace;
mod roots;
mod sink;
mod source;
mod trace;
mod writer;

pub use purger::DirectoryPurger;
pub use replace::replace_file;
pub use sink::{DirectorySink, DirectorySinkConfig};
pub use source::FileStore;
pub use writer::{FileStoreWriter, FolderWriter, OwnershipPolicy};
