//! What the operating system says where no room is left.

use std::io;

/// Whether a disk or a quota is full, or the file larger than one may be there.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_a_quota_and_a_limit_are_full() {
        // ENOSPC, EDQUOT, EFBIG; EIO, EACCES.
        for (errno, full) in [(28, true), (122, true), (27, true), (5, false), (13, false)] {
            assert_eq!(is_full(&io::Error::from_raw_os_error(errno)), full, "{errno}");
        }
    }
}
