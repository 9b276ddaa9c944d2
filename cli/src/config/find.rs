//! Which file is the configuration.

use std::path::{Path, PathBuf};

use super::{ConfigError, Env};

/// The variable that names the file where `--config` does not.
pub(super) const VARIABLE: &str = "DATAVERSE_BACKUP_CONFIG";

const PLACES: [&str; 2] = ["./config.ini", "/etc/dataverse-backup/config.ini"];

/// The configuration file: the one given, else `$DATAVERSE_BACKUP_CONFIG`, else the first of `./config.ini` and
/// `/etc/dataverse-backup/config.ini` that exists.
///
/// A file that was named is not looked at here; if it is missing, [`super::load`] says so.
///
/// # Errors
/// [`ConfigError::NotFound`] with the places.
pub fn find(explicit: Option<&Path>, env: Env<'_>) -> Result<PathBuf, ConfigError> {
    find_among(explicit, env, &PLACES.map(PathBuf::from))
}

fn find_among(explicit: Option<&Path>, env: Env<'_>, places: &[PathBuf]) -> Result<PathBuf, ConfigError> {
    if let Some(path) = explicit {
        return Ok(path.to_owned());
    }
    if let Some(path) = env(VARIABLE).filter(|it| !it.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    // A place that may not even be looked into counts as there: silently using another file would be worse.
    let there = |path: &&PathBuf| path.try_exists().unwrap_or(true);
    match places.iter().find(there) {
        Some(path) => Ok(path.clone()),
        None => Err(ConfigError::NotFound { tried: places.to_vec() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_named_or_there_wins() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("here.ini"), dir.path().join("etc.ini")];
        let unset = |_: &str| None;
        let set = |name: &str| (name == VARIABLE).then(|| "/from/env.ini".to_owned());
        let empty = |_: &str| Some(String::new());

        let error = find_among(None, &unset, &places).unwrap_err().to_string();
        assert!(error.contains("here.ini, ") && error.contains("etc.ini; write one there"), "{error}");

        std::fs::write(&places[1], "").unwrap();
        assert_eq!(find_among(None, &unset, &places).unwrap(), places[1]);
        std::fs::write(&places[0], "").unwrap();
        assert_eq!(find_among(None, &empty, &places).unwrap(), places[0]);
        assert_eq!(find_among(None, &set, &places).unwrap(), Path::new("/from/env.ini"));
        assert_eq!(find_among(Some(Path::new("mine")), &set, &places).unwrap(), Path::new("mine"));
    }
}
