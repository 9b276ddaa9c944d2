//! `--log FILE`, and journald: everything that is said, with its level.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use jiff::Timestamp;

/// How serious something is; the numbers are those of syslog (RFC 5424), which journald takes in front of a line
/// (sd-daemon(3)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

/// The file of `--log`. It names what is in drafts, so nobody else may read a new one.
static FILE: OnceLock<Mutex<File>> = OnceLock::new();

/// From now on, what is said goes to the end of this file too.
///
/// # Errors
/// When it can be neither opened nor made.
pub(crate) fn open(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    FILE.get_or_init(|| Mutex::new(file));
    Ok(())
}

/// Writes a line for each line of the text.
///
/// # Errors
/// When the file takes no more.
pub(super) fn write(level: Level, text: &str) -> io::Result<()> {
    let Some(file) = FILE.get() else { return Ok(()) };
    let now = Timestamp::now();
    let lines: String = text.lines().map(|line| format!("{now:.3} {:<7} {line}\n", level.name())).collect();
    // One call for all lines: several processes may write to one file.
    file.lock().unwrap_or_else(PoisonError::into_inner).write_all(lines.as_bytes())
}

/// Whether stderr goes to journald, by what systemd says of it (`JOURNAL_STREAM`, systemd.exec(5)).
pub(super) fn is_journal(stream: Option<&OsStr>) -> bool {
    let Some((device, inode)) = stream.and_then(OsStr::to_str).and_then(|it| it.split_once(':')) else { return false };
    // Where stderr is closed, it is not the journal.
    let Ok(meta) = std::fs::metadata("/proc/self/fd/2") else { return false };
    device.parse() == Ok(meta.dev()) && inode.parse() == Ok(meta.ino())
}

/// Each line with its level in front, as journald takes it.
pub(super) fn for_journal(level: Level, text: &str) -> String {
    text.lines().map(|line| format!("<{}>{line}", level as u8)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_tells_journald_its_level() {
        assert_eq!(for_journal(Level::Error, "one\n  two"), "<3>one\n<3>  two");
    }

    #[test]
    fn another_stream_is_not_the_journal() {
        assert!(!is_journal(None));
        assert!(!is_journal(Some(OsStr::new("1:1"))));
        assert!(!is_journal(Some(OsStr::new("nonsense"))));
    }
}
