//! A file that takes the place of an earlier one, whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::flush::sync_dir;

/// Writes a file with the permissions `mode`, flushes it, and gives it the name `path`, in the place of what is there. A
/// reader sees the old file or the new one, also after a power cut. What fails leaves nothing new.
///
/// # Errors
/// That of `write`, or of the file system.
pub fn replace_file<T, E: From<io::Error>>(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = make(&temporary, mode).map_err(E::from).and_then(|mut file| {
        let done = write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Where a folder cannot be flushed at all, nothing better can be had, and this file can be made again.
        sync_dir(File::open(folder)?, || folder.to_owned())?;
        Ok(done)
    });
    if written.is_err() {
        // It was not there before, and is of no use.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn make(temporary: &Path, mode: u32) -> io::Result<File> {
    // A dead process of the same number may have left one; a link that somebody else made there is not followed.
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(temporary)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    Ok(file)
}
