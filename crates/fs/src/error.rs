//! What an I/O error means to the engine.

use std::io;
use std::path::Path;

use dvb_model::is_full;
use dvb_storage::{Cause, SinkError, SourceError};
use rustix::io::Errno;

/// The kind of failure behind an I/O error.
pub(crate) fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        // Under a name that the file system cannot have, nothing is there.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => Cause::Missing,
        // cap-std refuses what leads out of its folder with an error that no system call gave.
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => Cause::Refused,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Cause::Forbidden,
        io::ErrorKind::AlreadyExists => Cause::Exists,
        _ if is_full(error) => Cause::Full,
        io::ErrorKind::TimedOut | io::ErrorKind::StaleNetworkFileHandle | io::ErrorKind::Interrupted => {
            Cause::Transient
        }
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => Cause::Refused,
        _ => Cause::Io,
    }
}

/// Of a folder that the configuration names: whether it can pass that it cannot be used.
pub(crate) fn cause_of_root(error: &io::Error) -> Cause {
    match cause(error) {
        Cause::Missing | Cause::Absent | Cause::Forbidden | Cause::Refused | Cause::Exists | Cause::Unnameable => {
            Cause::Misconfigured
        }
        Cause::Full => Cause::Full,
        Cause::Transient | Cause::Unavailable | Cause::Misconfigured | Cause::Untrusted | Cause::Broken | Cause::Io => {
            Cause::Unavailable
        }
    }
}

pub(crate) fn source_error(error: io::Error, root: &Path, name: &str) -> SourceError {
    let cause = cause(&error);
    let at = root.join(name);
    let at = at.display();
    let attempt = match cause {
        Cause::Missing => format!("{at} is missing"),
        Cause::Refused => format!("{at} leads out of the store's folder and is not followed"),
        Cause::Forbidden => format!("{at} may not be read{}", grant()),
        _ => format!("cannot read {at}"),
    };
    SourceError::because(cause, attempt, error)
}

/// What lets this account read a store, for the end of a message.
pub(crate) fn grant() -> String {
    format!(
        " by this account (uid {}); give it read permission on the store's files, and permission to list and enter (rx) its \
         folders and those above them",
        rustix::process::geteuid().as_raw()
    )
}

/// A store's folder cannot be opened or listed. Who may not is told from who looks at the wrong place.
pub(crate) fn store_error(error: io::Error, attempt: &str, root: &Path, remedy: &str) -> SourceError {
    let at = root.display();
    match cause(&error) {
        Cause::Forbidden => {
            SourceError::because(Cause::Forbidden, format!("{attempt} {at}: it may not be read{}", grant()), error)
        }
        _ => SourceError::because(cause_of_root(&error), format!("{attempt} {at}{remedy}"), error),
    }
}

/// A copy could not be read back.
pub(crate) fn reading_error(error: io::Error, root: &Path, name: &str) -> SinkError {
    let cause = cause(&error);
    let what_to_do = if cause == Cause::Forbidden { "; give this account read permission" } else { "" };
    SinkError::because(cause, format!("cannot read back {}{what_to_do}", root.join(name).display()), error)
}

pub(crate) fn sink_error(error: io::Error, root: &Path, doing: &str, name: &str) -> SinkError {
    let cause = cause(&error);
    let at = root.join(name);
    let what_to_do = match cause {
        Cause::Full => "; make room there",
        Cause::Forbidden => "; give this account write permission",
        _ => "",
    };
    SinkError::because(cause, format!("cannot {doing} {}{what_to_do}", at.display()), error)
}

/// The names in a folder may be lost with the power.
pub(crate) fn flushing_error(error: &io::Error, root: &Path, folder: &str) -> SinkError {
    let cause = cause(error);
    let what_to_do = if cause == Cause::Forbidden { "; give this account read permission" } else { "" };
    let attempt = format!("cannot flush the folder {}{what_to_do}", root.join(folder).display());
    // One failure concerns many objects, each of which says it.
    SinkError::because(cause, attempt, error.to_string())
}
