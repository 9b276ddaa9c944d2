//! Small copies that are opened one after the other are read together: each one alone would cost four round trips.

use std::io::Cursor;

use dvb_model::ObjectKey;

use crate::download::Download;
use crate::error::Fault;
use crate::session::SftpSession;

/// A copy with more bytes is read when it is opened.
const SMALL: u64 = 64 * 1024;
/// Bytes that are kept at once; less than a [`Download`] reads ahead.
const MOST: u64 = 2 << 20;

impl SftpSession {
    /// Reads the first ones of these, as far as they are small; how many those are. What was read before is forgotten.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn read_ahead(&mut self, next: &[(ObjectKey, u64)]) -> Result<usize, Fault> {
        self.ahead.clear();
        let mut bytes = 0;
        let is_room = |(_, size): &&(ObjectKey, u64)| {
            bytes += size;
            *size <= SMALL && bytes <= MOST
        };
        let keys: Vec<ObjectKey> = next.iter().take_while(is_room).map(|it| it.0.clone()).collect();
        if keys.len() < 2 {
            return Ok(keys.len());
        }
        // What is no file is not opened, and what has become large is not kept.
        let (mut files, mut bytes) = (Vec::new(), 0);
        for (key, seen) in keys.iter().zip(self.look(&keys)?) {
            if let Ok(Some(size)) = seen
                && size <= SMALL
                && bytes + size <= MOST
            {
                bytes += size;
                files.push((key, size));
            }
        }
        let mut download = Download::keep_all(files.iter().map(|(key, size)| (self.path(key), *size)));
        self.client.drive(&mut download)?;
        for ((key, _), bytes) in files.iter().zip(download.whole()) {
            // Why one could not be read is told when it is opened.
            if let Ok(bytes) = bytes {
                self.ahead.insert((*key).clone(), bytes);
            }
        }
        Ok(keys.len())
    }

    /// What was read of a copy that is opened now.
    pub(crate) fn take_ahead(&mut self, key: &ObjectKey) -> Option<Cursor<Vec<u8>>> {
        self.ahead.remove(key).filter(|_| !self.lost).map(Cursor::new)
    }
}
