//! What a process has around it, as far as a configuration refers to it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The surroundings of the process that a configuration is read for. A library reads none of them by itself; the default
/// is a process that has none. `Debug` shows the names of the variables alone: some values are secrets.
#[derive(Clone, Default)]
pub struct ProcessContext {
    /// The variables of its environment, those that are text.
    pub variables: BTreeMap<String, String>,
    /// The user's home folder, for paths that begin with `~/`. Without it, `~` is a folder like any other.
    pub home: Option<PathBuf>,
    /// The current folder, absolute, for the path of the configuration file. Needed only where that path is relative.
    pub current_folder: Option<PathBuf>,
}

impl ProcessContext {
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    /// Whether the service manager handed this file over (`LoadCredential`, systemd.exec(5)). Such a file may have bits for its
    /// group that stand for an access control list; only the service's own account gets into the folder.
    pub(crate) fn is_credential(&self, path: &Path) -> bool {
        let folder = self.variables.get("CREDENTIALS_DIRECTORY").map(Path::new).filter(|it| it.is_absolute());
        folder.is_some_and(|folder| path.parent() == Some(folder))
    }

    /// The path from the root on, without `.` in it.
    pub(crate) fn absolute(&self, path: &Path) -> io::Result<PathBuf> {
        if path.is_absolute() {
            return Ok(path.components().collect());
        }
        let unknown = || io::Error::new(io::ErrorKind::NotFound, "the current folder is not known");
        Ok(self.current_folder.as_ref().ok_or_else(unknown)?.join(path).components().collect())
    }
}

impl fmt::Debug for ProcessContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessContext")
            .field("variables", &self.variables.keys())
            .field("home", &self.home)
            .field("current_folder", &self.current_folder)
            .finish()
    }
}
