//! Trial files, on which a session finds out what the server can do. Where nothing can be removed there is one for all sessions
//! and runs that the shell is tried on, so that none leaves its own.

use dvb_fixity::{Algorithm, Measured};
use dvb_model::ObjectKey;
use dvb_storage::{InMemory, StageRequest};

use crate::download::{Download, Wanted};
use crate::error::Fault;
use crate::folders::FILE_MODE;
use crate::handshake::PROBE;
use crate::session::SftpSession;
use crate::upload::{Failure, Temporary, Upload};
use crate::wire::{Request, Status};

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

    /// Makes the folder for temporaries and, in it, trial files: where they are, and why one could not be stored. Inner
    /// error: the folder could not be made.
    pub(crate) fn make_probes(
        &mut self,
        temp: &str,
        secret: &[u8],
        wants_shell: bool,
    ) -> Result<Result<Probes, (String, Status)>, Fault> {
        if !self.keeps_all {
            let count = if wants_shell { 3 } else { 2 };
            let begun = self.folders.begin(&mut self.client, temp);
            let stored = self.store_probes(secret, count, false)?;
            let refused = self.folders.finish(&mut self.client, begun)?;
            if refused.is_empty() && stored.1.is_none() {
                return Ok(Ok(stored));
            }
            // It may be a server that works on many requests at once, or one that refuses something for a moment.
            let left: Vec<&str> = stored.0.iter().map(String::as_str).collect();
            self.drop_files(&left)?;
        }
        let refused = self.folders.make_temporary(&mut self.client, temp)?;
        if let Some(refused) = refused.into_iter().next() {
            return Ok(Err(refused));
        }
        // What cannot be removed is not made without need.
        let count = if self.keeps_all { usize::from(wants_shell) } else { 2 + usize::from(wants_shell) };
        self.store_probes(secret, count, true).map(Ok)
    }

    fn store_probes(&mut self, secret: &[u8], count: usize, patient: bool) -> Result<Probes, Fault> {
        let names = (0..count).map(|_| format!("{}/{}", self.temp, self.names.take_for(PROBE)));
        let names: Vec<String> = names.collect();
        let temporaries = names.into_iter().map(|new| match self.lessons.take_left().filter(|_| self.keeps_all) {
            Some(left) => Temporary::Left(left, new),
            None => Temporary::New(new),
        });
        let requests = temporaries.map(|it| Some((it, probe(secret)?))).collect::<Option<Vec<_>>>();
        let mut upload = Upload::new(requests.unwrap_or_default(), &self.temp, FILE_MODE, false);
        if !patient {
            upload.impatient();
        }
        self.client.drive(&mut upload)?;
        let (mut paths, mut failure) = (Vec::new(), None);
        for (path, outcome) in upload.outcomes() {
            paths.push(path);
            failure = failure.or(outcome.and_then(Result::err));
        }
        Ok((paths, failure))
    }
}

/// Where trial files are, and why one could not be stored.
pub(crate) type Probes = (Vec<String>, Option<Failure>);

/// A trial file. Its key is never used.
fn probe(secret: &[u8]) -> Option<StageRequest> {
    let key = ObjectKey::own(PROBE).ok()?;
    Some(StageRequest { key, payload: Box::new(InMemory::new(secret.to_vec(), &[])) })
}
