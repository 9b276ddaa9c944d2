//! What this process has around it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use dvb_config::{Config, ConfigError, ProcessContext};
use dvb_engine::Person;
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

/// Who started the program, as a person: whoever logged in, not whom they became.
///
/// The kernel keeps who logged in (`/proc/self/loginuid`), and neither `su` nor `sudo` changes it. Where it knows nobody, as in
/// a container or in a job of cron, the real user counts; what `sudo` says of who called it is believed to root alone, for
/// anybody else could have said it.
#[must_use]
pub fn person() -> Person {
    let login = std::fs::read_to_string("/proc/self/loginuid").ok();
    let uid = uid_of(login.as_deref(), rustix::process::getuid().as_raw(), std::env::var("SUDO_UID").ok().as_deref());
    Person { user: user_name(uid), uid }
}

/// What the kernel has where nobody logged in.
const NOBODY: u32 = u32::MAX;

fn uid_of(login: Option<&str>, real: u32, sudo: Option<&str>) -> u32 {
    let number = |text: Option<&str>| text.and_then(|it| it.trim().parse::<u32>().ok()).filter(|it| *it != NOBODY);
    number(login).or_else(|| number(sudo).filter(|_| real == 0)).unwrap_or(real)
}

/// The name of a user of this system, by its file of users; the number where it is not there.
fn user_name(uid: u32) -> String {
    if uid == rustix::process::geteuid().as_raw()
        && let Ok(name) = whoami::username()
    {
        return name;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_who_logged_in() {
        for (login, real, sudo, expected) in [
            (Some("1000\n"), 998, None, 1000),
            (Some("1000"), 0, Some("1001"), 1000),
            (Some("4294967295"), 0, Some("1001"), 1001),
            (None, 0, Some("1001"), 1001),
            (None, 998, Some("1001"), 998),
            (Some("4294967295"), 998, Some("1001"), 998),
            (None, 0, None, 0),
            (Some("x"), 7, Some("y"), 7),
        ] {
            assert_eq!(uid_of(login, real, sudo), expected, "{login:?} {real} {sudo:?}");
        }
        assert_eq!(user_name(0), "root");
    }
}
