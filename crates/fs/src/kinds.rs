//! Which file system something lies on.

use std::fs;
use std::io;

use rustix::fd::AsFd;
use rustix::fs::fstatfs;

const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;
const BTRFS: u64 = 0x9123_683e;

/// Numbers of `statfs`, with their names.
const KINDS: [(u64, &str); 18] = [
    (EXT, "ext4"),
    (XFS, "xfs"),
    (BTRFS, "btrfs"),
    (0xf2f5_2010, "f2fs"),
    (0x2fc1_2fc1, "zfs"),
    (0x0102_1994, "tmpfs"),
    (0x794c_7630, "overlay"),
    (0x6969, "nfs"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x517b, "smb"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x0102_1997, "9p"),
    (0x4d44, "vfat"),
    (0x2011_bab0, "exfat"),
    (0x7366_746e, "ntfs"),
    (0x9fa0, "proc"),
];

/// Its name, or the number that stands for one.
pub(crate) fn name(file: impl AsFd) -> String {
    match number(file) {
        Ok(number) => KINDS
            .iter()
            .find(|(it, _)| *it == number)
            .map_or_else(|| format!("file system {number:#x}"), |(_, name)| (*name).to_owned()),
        Err(error) => format!("unknown file system: {error}"),
    }
}

/// Whether to flush the file system as a whole (`syncfs`) flushes every file in it, and fails where one of them could
/// not be written. Linux tells so from 5.8 on. FUSE and network file systems may answer without asking their servers.
pub(crate) fn whole_flush_tells_errors(dir: impl AsFd) -> io::Result<bool> {
    Ok([EXT, XFS, BTRFS].contains(&number(dir)?) && kernel().is_some_and(|it| it >= (5, 8)))
}

/// The same of names: before Linux 5.17 an error of the file system's log was not passed on.
pub(crate) fn whole_flush_tells_errors_of_names() -> bool {
    kernel().is_some_and(|it| it >= (5, 17))
}

fn number(file: impl AsFd) -> io::Result<u64> {
    // Numbers of 32 bits; where the field is signed, some are negative.
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::unnecessary_cast)]
    Ok(u64::from(fstatfs(file)?.f_type as u32))
}

fn kernel() -> Option<(u32, u32)> {
    release(&fs::read_to_string("/proc/sys/kernel/osrelease").ok()?)
}

fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|it: char| !it.is_ascii_digit()).map(|it| it.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_known_by_its_two_first_numbers() {
        for (text, expected) in [
            ("6.1.0-13-amd64\n", Some((6, 1))),
            ("5.10.0", Some((5, 10))),
            ("5.8-rc1", Some((5, 8))),
            ("3.10.0-1160.el7.x86_64", Some((3, 10))),
            ("", None),
            ("6", None),
        ] {
            assert_eq!(release(text), expected, "{text:?}");
        }
    }
}
