//! Large uploads that were cut: a later run goes on where they ended.
//!
//! The name of a large temporary tells which key it is for. What a dead run left of it is spared by the sweep, taken over
//! by a rename, which only one can win, and written on from a little before its end. All bytes are read and hashed again,
//! and the proof of the whole says whether both parts belong together.

use std::time::SystemTime;

use dvb_fixity::{Algorithm, Measured};
use dvb_model::ObjectKey;
use dvb_storage::{CONTINUED_FOR, CONTINUED_FROM, StageRequest};

use crate::error::Fault;
use crate::handshake::OF_RUN;
use crate::session::SftpSession;
use crate::upload::{Temporary, Upload};
use crate::wire::{Attributes, Reply, Request};

/// How the names of large temporaries begin, before the mark of their key.
const LARGE: &str = "large-";
/// Digits of a mark.
const MARK: usize = 24;
/// Written again: the last requests before a cut may have been done in any order.
const AGAIN: u64 = 4 << 20;

/// Stands for a key in the name of a temporary.
fn mark(key: &ObjectKey) -> String {
    let measured = Measured::of(key.as_str().as_bytes(), &[]);
    let mut digits = measured.digest(Algorithm::Sha256).map_or_else(String::new, |it| it.hex());
    digits.truncate(MARK);
    digits
}

/// The mark in the name of a temporary that somebody may go on with, and how large it is.
pub(crate) fn worth_going_on(name: &str, seen: &Attributes) -> Option<(String, u64)> {
    let mark = name.strip_prefix(LARGE)?.get(..MARK)?;
    let size = seen.size.filter(|it| *it >= CONTINUED_FROM)?;
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.as_secs());
    let age = now.saturating_sub(u64::from(seen.modified?));
    (age < CONTINUED_FOR.as_secs()).then(|| (mark.to_owned(), size))
}

/// Whether a temporary of this name was made for this key.
pub(crate) fn is_cut_of(name: &str, key: &ObjectKey) -> bool {
    let in_run = name.split_once(OF_RUN).map_or(name, |it| it.1);
    in_run.strip_prefix(LARGE).is_some_and(|it| it.starts_with(&mark(key)))
}

impl SftpSession {
    /// Where the objects of a batch are stored.
    ///
    /// # Errors
    /// [`Fault`], when the session is lost.
    pub(crate) fn temporaries(&mut self, batch: &[StageRequest]) -> Result<Vec<Temporary>, Fault> {
        batch.iter().map(|it| self.temporary(it)).collect()
    }

    /// After the session was lost: another one of the same run goes on as well.
    pub(crate) fn remember_cut(&self, upload: &Upload) {
        for (path, far) in upload.cut() {
            let name = path.rsplit('/').next().unwrap_or(path);
            let mark = name.find(LARGE).and_then(|at| name.get(at + LARGE.len()..at + LARGE.len() + MARK));
            if let Some(mark) = mark {
                self.lessons.remember_cut(mark, path.to_owned(), far);
            }
        }
    }

    fn temporary(&mut self, request: &StageRequest) -> Result<Temporary, Fault> {
        let size = request.payload.promised().unwrap_or_else(|| request.payload.size_hint());
        if size < CONTINUED_FROM {
            let new = format!("{}/{}", self.temp, self.names.take());
            return Ok(match self.lessons.take_left() {
                Some(left) => Temporary::Left(left, new),
                None => Temporary::New(new),
            });
        }
        let mark = mark(&request.key);
        let purpose = format!("{LARGE}{mark}-");
        let new = format!("{}/{}", self.temp, self.names.take_for(&purpose));
        let Some(cut) = self.lessons.take_cut(&mark) else { return Ok(Temporary::New(new)) };
        let taken = format!("{}/{}", self.temp, self.names.take_for(&purpose));
        let both = [Request::Rename { from: &cut, to: &taken }, Request::Lstat { path: &taken }];
        let seen = self.client.ask(&both)?.pop();
        Ok(match seen {
            Some(Reply::Attributes(Attributes { size: Some(there), .. })) if there <= size => {
                Temporary::Cut { path: taken, there: there.saturating_sub(AGAIN), instead: new }
            }
            // Another host was quicker; or the source is smaller now, and what is left is swept some day.
            _ => Temporary::New(new),
        })
    }
}
