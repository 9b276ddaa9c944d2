//! Whether a destination lies in the folder of a store, or the folder in it.

use std::collections::VecDeque;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Instant;

use cap_std::fs::Dir;
use dvb_storage::{Sighting, Trace};

/// Looks for what was just stored at a destination: at the folder of its own, which may be one of this machine; below the
/// store by the names that it can have there, and beside objects of the store; then from folder to folder, the upper ones
/// first.
pub(crate) fn look(dir: &Dir, root: &Path, trace: &Trace<'_>) -> Sighting {
    if let Some(seen) = on_this_machine(root, trace) {
        return Sighting::Seen(seen);
    }
    let folders = trace.near.iter().map(|it| format!("{}/{}", it.storage_pid.directory(), trace.key));
    for name in trace.names().into_iter().chain(folders) {
        if dir.symlink_metadata(&name).is_ok() {
            return seen_at(root, &name, trace);
        }
    }
    match search(dir, trace) {
        Ok(Some(name)) => seen_at(root, &name, trace),
        Ok(None) => Sighting::Unseen,
        Err(why) => Sighting::Unfinished(why),
    }
}

fn seen_at(root: &Path, name: &str, trace: &Trace<'_>) -> Sighting {
    let folder = name.strip_suffix(trace.key.as_str()).unwrap_or(name);
    Sighting::Seen(format!("what was just stored at the destination lies in {}", root.join(folder).display()))
}

/// Whether the destination is a folder of this machine that the store lies in, or that lies in the store. That it is one
/// shows by what was just stored there, whatever the protocol.
fn on_this_machine(store: &Path, trace: &Trace<'_>) -> Option<String> {
    let folder = trace.root.map(Path::new).filter(|it| it.is_absolute())?;
    if std::fs::symlink_metadata(folder.join(trace.key.as_str())).is_err() {
        return None;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let (theirs, ours) = (Place::of(folder, &mounts).ok()?, Place::of(store, &mounts).ok()?);
    if theirs == ours {
        Some(format!("the destination is this folder, {}", folder.display()))
    } else if theirs.is_in(&ours) {
        Some(format!("the destination, {}, lies in it", folder.display()))
    } else if ours.is_in(&theirs) {
        Some(format!("it lies in the destination, {}", folder.display()))
    } else {
        None
    }
}

/// A folder by its file system and its path in that: the same for every name that it has by links and bind mounts.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    device: String,
    path: PathBuf,
}

impl Place {
    fn of(folder: &Path, mounts: &str) -> io::Result<Self> {
        let path = folder.canonicalize()?;
        let lines = mounts.lines().filter_map(Mount::parse);
        // Of several mounts at one place, the last one shows.
        let mount = lines.filter(|it| path.starts_with(&it.point)).max_by_key(|it| it.point.components().count());
        Ok(match mount {
            Some(mount) => {
                let rest = path.strip_prefix(&mount.point).unwrap_or(&path);
                Self { device: mount.device, path: mount.root.join(rest) }
            }
            None => Self { device: String::new(), path },
        })
    }

    fn is_in(&self, other: &Self) -> bool {
        self.device == other.device && self.path.starts_with(&other.path)
    }
}

/// A line of `/proc/self/mountinfo`.
struct Mount {
    device: String,
    /// The folder of the file system that is mounted.
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ').skip(2);
        let (device, root, point) = (words.next()?, words.next()?, words.next()?);
        Some(Self { device: device.to_owned(), root: unescaped(root), point: unescaped(point) })
    }
}

/// Blanks and the like are written as `\040`.
fn unescaped(word: &str) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *first == b'\\').and_then(|it| std::str::from_utf8(it).ok());
        match code.and_then(|it| u8::from_str_radix(it, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// Goes through the folders below the store, level by level. Nothing but names is read.
fn search(dir: &Dir, trace: &Trace<'_>) -> Result<Option<String>, String> {
    let own = Path::new(trace.key.as_str()).components().next();
    let Some(Component::Normal(own)) = own else { return Ok(None) };
    let (mut folders, mut looked, mut closed) = (VecDeque::from([PathBuf::new()]), 0_u64, 0_u64);
    while let Some(folder) = folders.pop_front() {
        if Instant::now() >= trace.until {
            return Err(format!("the upper {looked} folders were searched, and there was no time for the rest"));
        }
        let entries = if folder.as_os_str().is_empty() { dir.entries() } else { dir.read_dir(&folder) };
        let Ok(entries) = entries else {
            closed += 1;
            continue;
        };
        looked += 1;
        for (n, entry) in entries.enumerate() {
            let Ok(entry) = entry else {
                closed += 1;
                break;
            };
            if n % 4096 == 4095 && Instant::now() >= trace.until {
                return Err(format!("the upper {looked} folders were searched, and there was no time for the rest"));
            }
            // One that is gone again is none.
            if !entry.file_type().is_ok_and(|it| it.is_dir()) {
                continue;
            }
            let path = folder.join(entry.file_name());
            if entry.file_name() != own {
                folders.push_back(path);
            } else if dir.symlink_metadata(folder.join(trace.key.as_str())).is_ok() {
                return Ok(Some(folder.join(trace.key.as_str()).to_string_lossy().into_owned()));
            }
        }
    }
    if closed > 0 { Err(format!("{closed} folders cannot be entered")) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_is_known_by_its_place_in_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(path.join("store/a b")).unwrap();
        std::fs::create_dir_all(path.join("bound")).unwrap();
        let shown = |it: &Path| it.to_string_lossy().replace(' ', "\\040");
        let mounts = format!(
            "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:1 {} {} rw shared:1 - ext4 /dev/sda1 rw\n",
            shown(&path.join("store/a b")),
            shown(&path.join("bound"))
        );
        let place = |it: &str| Place::of(&path.join(it), &mounts).unwrap();
        assert_eq!(place("bound"), place("store/a b"));
        assert!(place("bound").is_in(&place("store")) && !place("store").is_in(&place("bound")));
        std::os::unix::fs::symlink(path.join("store"), path.join("link")).unwrap();
        assert_eq!(place("link"), place("store"));
        let other = Place { device: "8:2".to_owned(), ..place("store") };
        assert!(!other.is_in(&place("store")));
    }
}
