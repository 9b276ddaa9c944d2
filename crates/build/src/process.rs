//! What this process has around it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dvb_config::{Config, ConfigError, ProcessContext};
use dvb_ledger::Agent;

/// The name of this host, for locks and reports.
#[must_use]
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who gives the commands of this process.
#[must_use]
pub fn agent() -> Agent {
    let user = whoami::username().unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw()));
    Agent { user, host: host_name(), program: env!("CARGO_PKG_VERSION").to_owned() }
}

/// The configuration file, wherever it is.
///
/// # Errors
/// [`ConfigError`].
pub fn config(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let process = process();
    dvb_config::load(&dvb_config::find(explicit, &process)?, &process)
}

/// The same, for what does without any database.
///
/// # Errors
/// [`ConfigError`].
pub fn config_without_database(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let process = process();
    dvb_config::load_without_database(&dvb_config::find(explicit, &process)?, &process)
}

/// What this process has around it: the one place that a configuration gets it from.
#[must_use]
pub fn process() -> ProcessContext {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    ProcessContext {
        variables: std::env::vars_os().filter_map(text).collect(),
        home: home(),
        // Where it was removed, only a path from the root on can be meant.
        current_folder: std::env::current_dir().ok(),
    }
}

pub(crate) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|it| !it.as_os_str().is_empty())
}
