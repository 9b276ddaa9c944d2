//! The file that a shell is tried on where nothing can be removed: one for all sessions and runs, so that none leaves its own.

use dvb_fixity::{Algorithm, Measured};

use crate::download::{Download, Wanted};
use crate::error::Fault;
use crate::session::SftpSession;
use crate::wire::Request;

/// Its name in the folder of what is kept. Without a run, no sweep takes it.
const NAME: &str = "shell";
/// Its bytes, which nobody can guess.
pub(crate) const LENGTH: u64 = 32;

impl SftpSession {
    fn known_file(&self) -> String {
        format!("{}/{NAME}", self.temp)
    }

    /// Where it is, and what it holds by SFTP's word, if it is there and whole.
    pub(crate) fn find_known_file(&mut self) -> Result<Option<(String, Measured)>, Fault> {
        let path = self.known_file();
        let mut download = Download::hash([Wanted { path: path.clone(), size: Some(LENGTH) }], &Algorithm::ALL);
        self.client.drive(&mut download)?;
        let measured = download.measured().pop().and_then(Result::ok);
        Ok(measured.filter(|it| it.size == LENGTH).map(|it| (path, it)))
    }

    /// Leaves a trial file there for the sessions to come. If another session was quicker, its name is for what comes next.
    pub(crate) fn leave_known_file(&mut self, trial: &str) -> Result<(), Fault> {
        let to = self.known_file();
        let left = self.client.order(&[Request::Rename { from: trial, to: &to }])?;
        if left.iter().all(Result::is_ok) { Ok(()) } else { self.drop_files(&[trial]) }
    }
}
