//! Which file is the configuration.

use std::path::{Path, PathBuf};

use super::{ConfigError, ProcessContext};

/// The variable that names the file where `--config` does not.
const VARIABLE: &str = "DATAVERSE_BACKUP_CONFIG";

const IN_CURRENT_FOLDER: &str = "config.ini";
const OF_SYSTEM: &str = "/etc/dataverse-backup/config.ini";

/// The configuration file: the one given, else `$DATAVERSE_BACKUP_CONFIG`, else the first of `config.ini` in the current
/// folder and `/etc/dataverse-backup/config.ini` that exists.
///
/// A file that was named is not looked at here; if it is missing, [`super::load`] says so.
///
/// # Errors
/// [`ConfigError::NotFound`] with the places.
pub fn find(explicit: Option<&Path>, process: &ProcessContext) -> Result<PathBuf, ConfigError> {
    find_or(explicit, process, Path::new(OF_SYSTEM))
}

fn find_or(explicit: Option<&Path>, process: &ProcessContext, of_system: &Path) -> Result<PathBuf, ConfigError> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = process.variable(VARIABLE).filter(|it| !it.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    // A place that may not even be looked into counts as there: silently using another file would be worse.
    let is_there = |path: &PathBuf| path.try_exists().unwrap_or(true);
    let here = process.current_folder.as_ref().map(|it| it.join(IN_CURRENT_FOLDER));
    let found = here.filter(is_there).or_else(|| Some(of_system.to_owned()).filter(is_there));
    found.ok_or_else(|| ConfigError::NotFound {
        tried: vec![Path::new("./").join(IN_CURRENT_FOLDER), of_system.to_owned()],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_named_or_there_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (here, of_system) = (dir.path().join("config.ini"), dir.path().join("etc.ini"));
        let with = |variable: &str| ProcessContext {
            variables: [(VARIABLE.to_owned(), variable.to_owned())].into(),
            current_folder: Some(dir.path().to_owned()),
            home: None,
        };
        let nowhere = ProcessContext::default();
        let unset = ProcessContext { current_folder: Some(dir.path().to_owned()), ..ProcessContext::default() };

        let error = find_or(None, &unset, &of_system).unwrap_err().to_string();
        assert!(error.contains("./config.ini, ") && error.contains("etc.ini; write one there"), "{error}");

        std::fs::write(&of_system, "").unwrap();
        assert_eq!(find_or(None, &unset, &of_system).unwrap(), of_system);
        std::fs::write(&here, "").unwrap();
        assert_eq!(find_or(None, &with(""), &of_system).unwrap(), here);
        assert_eq!(find_or(None, &nowhere, &of_system).unwrap(), of_system);
        assert_eq!(find_or(None, &with("/from/env.ini"), &of_system).unwrap(), Path::new("/from/env.ini"));
        assert_eq!(find_or(Some(Path::new("mine")), &with("/from/env.ini"), &of_system).unwrap(), Path::new("mine"));
    }
}
