//! Disks of one's own: file systems in a file, mounted where only this process sees them.
//!
//! A mount lives in a namespace that one process keeps, and is reached through `/proc`. It is gone with that process,
//! however the test ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::spawn::{Daemon, is_root, mortal, run};
use crate::temp_folder;

/// What lies on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    /// ext4, which by itself writes names that nobody flushed after five minutes only.
    Ext4,
    /// XFS with its defaults.
    Xfs,
    /// exFAT by FUSE: no colons and the like in names, no links, no owners.
    ExFat,
}

/// A mounted file system; gone when it is dropped.
pub struct Disk {
    kind: FileSystem,
    holder: Daemon,
    dir: TempDir,
}

const SIZE: u64 = 320 << 20;

/// Whoever serves a FUSE must not be the last one in a namespace with its mount: it would wait for itself, for ever. So
/// this process leaves with a copy of the mount, which is the only one then.
const MOUNT: &str = r#"if [ "$4" != 0 ]; then
    mount -t tmpfs -o size="$4" none "$3" && cp --sparse=always "$2" "$3/image" && mkdir "$3/below" || exit
    mount -o "$1" "$3/image" "$3/below" && mount --move "$3/below" "$3" || exit
    echo mounted
    exec sleep infinity
fi
if [ "$1" != exfat ]; then
    mount -o "$1" "$2" "$3" || exit
    echo mounted
    exec sleep infinity
fi
device=$(losetup -f --show "$2") || exit
mount.exfat-fuse "$device" "$3" || { echo "apt-get install exfat-fuse"; losetup -d "$device"; exit 1; }
losetup -d "$device" # when it is not used any more
(
    while [ "$(readlink "/proc/$$/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ]; do sleep 0.02; done
    umount -l "$3"
) &
exec unshare --mount --propagation=private /bin/sh -c 'echo mounted; exec sleep infinity'"#;

impl Disk {
    /// Whether this process may mount: as root. A test of root that cannot fails.
    #[must_use]
    pub fn may_be_had() -> bool {
        is_root()
    }

    /// A new, empty one.
    #[must_use]
    pub fn new(kind: FileSystem) -> Self {
        Self::with_room(kind, 0)
    }

    /// One that promises more room than there is, as thin volumes do: after so many bytes it can write nothing more.
    #[must_use]
    pub fn thin(kind: FileSystem, bytes: u64) -> Self {
        Self::with_room(kind, bytes)
    }

    fn with_room(kind: FileSystem, bytes: u64) -> Self {
        let dir = temp_folder("disk");
        let image = image(dir.path());
        File::create(&image).and_then(|it| it.set_len(SIZE)).expect("make the file of a disk");
        let image = image.to_str().expect("a path in UTF-8").to_owned();
        match kind {
            FileSystem::Ext4 => run("/usr/sbin/mkfs.ext4", &["-q", "-F", &image], "e2fsprogs"),
            FileSystem::Xfs => run("/usr/sbin/mkfs.xfs", &["-q", "-f", &image], "xfsprogs"),
            FileSystem::ExFat => run("/usr/sbin/mkfs.exfat", &[&image], "exfatprogs"),
        };
        Self::mount(kind, dir, bytes)
    }

    /// What a power cut would leave at this moment: only what has reached the device is there.
    #[must_use]
    pub fn after_a_power_cut(&self) -> Self {
        let dir = temp_folder("disk");
        let (from, to) = (image(self.dir.path()), image(dir.path()));
        let paths = [from.to_str(), to.to_str()].map(|it| it.expect("a path in UTF-8"));
        run("cp", &["--sparse=always", paths[0], paths[1]], "coreutils");
        Self::mount(self.kind, dir, 0)
    }

    fn mount(kind: FileSystem, dir: TempDir, room: u64) -> Self {
        let options = match kind {
            FileSystem::Ext4 => "loop,commit=300",
            // The copy has the same number as the disk that it was made of.
            FileSystem::Xfs => "loop,nouuid",
            FileSystem::ExFat => "exfat",
        };
        let folder = dir.path().join("mounted");
        std::fs::create_dir(&folder).expect("make a folder");
        let mut command = mortal("KILL", None, "unshare");
        command.args(["--mount", "--propagation=private", "/bin/sh", "-c", MOUNT, "mount", options]);
        command.arg(image(dir.path())).arg(folder).arg(room.to_string());
        let mut holder = Daemon::start("mount", command, &dir.path().join("log"), Signal::KILL);
        let log = dir.path().join("log");
        let is_mounted = || std::fs::read_to_string(&log).ok().filter(|it| it.contains("mounted\n"));
        holder.wait(is_mounted).unwrap_or_else(|why| panic!("no disk could be mounted by a loop device: {why}"));
        Self { kind, holder, dir }
    }

    /// The root of the file system.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        let inside = self.dir.path().join("mounted");
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        root.join(inside.strip_prefix("/").expect("an absolute path"))
    }
}

fn image(dir: &Path) -> PathBuf {
    dir.join("image")
}
