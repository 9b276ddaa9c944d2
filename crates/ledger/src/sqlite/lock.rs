//! The lock on a destination: a file beside the ledger, locked by the system for as long as the process lives.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dvb_model::{DestinationName, RunId};

use super::open;
use crate::{Holder, LedgerError, Lock};

/// A holder writes its name right after it got the lock: how often the other one looks for it, 10 ms apart.
const LOOKS: u32 = 20;

pub(super) struct FileLock {
    file: File,
    path: PathBuf,
}

impl FileLock {
    pub(super) fn take(ledger: &Path, destination: &DestinationName, holder: &Holder) -> Result<Self, LedgerError> {
        let path = path_of(ledger, destination);
        let io_error = |it| open::io_error(&path, it);
        loop {
            let file = open(&path).map_err(io_error)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = holder_in(file);
                    return Err(LedgerError::Locked { destination: destination.0.clone(), holder });
                }
                Err(TryLockError::Error(it)) => return Err(io_error(it)),
            }
            let mut lock = Self { file, path: path.clone() };
            // Somebody may have removed the file between its opening and its locking.
            if lock.is_held() {
                lock.write(holder).map_err(io_error)?;
                return Ok(lock);
            }
        }
    }

    fn write(&mut self, holder: &Holder) -> io::Result<()> {
        let text = serde_json::to_vec(holder)?;
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&text)
    }
}

impl Lock for FileLock {
    fn is_held(&self) -> bool {
        match (self.file.metadata(), self.path.metadata()) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            (Ok(_), Err(_)) | (Err(_), Ok(_) | Err(_)) => false,
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // The file stays: removing it would let two processes lock two files of one name.
        let _ = self.file.set_len(0);
        // Closing it is not enough while a process that was just begun has it too.
        let _ = self.file.unlock();
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// `<ledger>.lock-<destination>`, whatever characters the destination's name has.
fn path_of(ledger: &Path, destination: &DestinationName) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock-");
    for byte in destination.0.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte).to_string()),
            _ => name.push(format!("%{byte:02X}")),
        }
    }
    name.into()
}

fn holder_in(mut file: File) -> Holder {
    for _ in 0..LOOKS {
        let mut text = String::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text));
        if let (Ok(_), Ok(holder)) = (read, serde_json::from_str(&text)) {
            return holder;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Holder { host: "this host".into(), pid: 0, run: RunId("unknown".into()), since: "unknown".into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_let_go_though_another_process_has_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (ledger, destination) = (folder.path().join("ledger.db"), DestinationName("default".into()));
        let holder = Holder { host: "h".into(), pid: 1, run: RunId("r".into()), since: "now".into() };
        let lock = FileLock::take(&ledger, &destination, &holder).unwrap();
        // As a child has it between its beginning and its own program.
        let childs = lock.file.try_clone().unwrap();
        assert!(FileLock::take(&ledger, &destination, &holder).is_err());
        drop(lock);
        assert!(FileLock::take(&ledger, &destination, &holder).is_ok());
        drop(childs);
    }
}
