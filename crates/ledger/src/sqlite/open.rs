//! Connections to the file, and the meaning of its errors.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use dvb_model::is_full;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::migrate;
use crate::LedgerError;
use crate::error::LedgerHint;

/// How long a writer waits for another process's transaction, which takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// What its write-ahead log and the index of that need at once: 32 KiB, and a page more.
const PAGES: u64 = 36 << 10;

/// A connection that may write to a file with tables of this version.
pub(super) fn existing(path: &Path) -> Result<Connection, LedgerError> {
    if !path.try_exists().map_err(|it| io_error(path, it))? {
        return Err(LedgerError::NotMigrated { target: path.display().to_string() });
    }
    let connection = connect(path)?;
    match migrate::version(&connection).map_err(|it| error(path, "read its version", it))? {
        migrate::NEWEST => Ok(connection),
        found => Err(migrate::wrong_version(path, found)),
    }
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, LedgerError> {
    let connection = existing(path)?;
    connection.pragma_update(None, "query_only", true).map_err(|it| error(path, "open it", it))?;
    Ok(connection)
}

/// Makes the file if it is missing, for its owner alone, and the folder it lies in.
pub(super) fn create(path: &Path) -> Result<Connection, LedgerError> {
    make_file(path).map_err(|it| match it.kind() {
        ErrorKind::PermissionDenied => LedgerError::Denied {
            target: path.display().to_string(),
            what: "make the file",
            remedy: "make its folder writable for the user that runs this program".into(),
            source: it.into(),
        },
        _ => io_error(path, it),
    })?;
    let connection = connect(path)?;
    write_ahead_log(&connection).map_err(|it| error(path, "set its journal mode", it))?;
    Ok(connection)
}

fn make_file(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // SQLite flushes the entries of its own files, but this one was made here.
        Ok(file) => file.sync_all().and_then(|()| File::open(folder)?.sync_all()),
        Err(it) if it.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(it) => Err(it),
    }
}

fn connect(path: &Path) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let settled = Connection::open_with_flags(path, flags).and_then(|it| {
        it.busy_timeout(PATIENCE)?;
        // FULL: a commit returns when it is on stable storage (promise 1 of the design).
        it.pragma_update(None, "synchronous", "FULL")?;
        it.pragma_update(None, "foreign_keys", true)?;
        Ok(it)
    });
    settled.map_err(|it| error(path, "open it", it))
}

/// The change to a write-ahead log fails at once while another connection does the same: `SQLite` does not wait here.
fn write_ahead_log(connection: &Connection) -> rusqlite::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0)) {
            Err(it) if it.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other.map(drop),
        }
    }
}

pub(super) fn error(path: &Path, what: &'static str, error: rusqlite::Error) -> LedgerError {
    let target = path.display().to_string();
    let source = Box::new(error);
    match source.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => LedgerError::Full { target, source },
        // For its index of the log and under a quota, SQLite says less than the system did.
        Some(ErrorCode::SystemIoFailure) if !has_room(path) => LedgerError::Full { target, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure) => {
            LedgerError::Unreachable { target, source }
        }
        Some(ErrorCode::CannotOpen) if !has_room(path) => LedgerError::Full { target, source },
        Some(ErrorCode::CannotOpen) => LedgerError::Unusable { target, hint: LedgerHint::Path, source },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => LedgerError::Corrupt { target, source },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            let remedy = "make the file and its folder writable for the user that runs this program".into();
            LedgerError::Denied { target, what, remedy, source }
        }
        Some(_) | None => LedgerError::Query { target, what, source },
    }
}

/// Whether a page could be written in the folder of this file, where that can be found out.
fn has_room(path: &Path) -> bool {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).map_or(true, |it| it.f_bavail.saturating_mul(it.f_frsize) > PAGES)
}

/// The meaning of the system's errors.
pub(super) fn io_error(path: &Path, error: io::Error) -> LedgerError {
    let target = path.display().to_string();
    match error.kind() {
        _ if is_full(&error) => LedgerError::Full { target, source: error.into() },
        ErrorKind::NotFound
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::InvalidFilename => LedgerError::Unusable { target, hint: LedgerHint::Path, source: error.into() },
        _ => LedgerError::Unreachable { target, source: error.into() },
    }
}
