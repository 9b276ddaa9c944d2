//! Giving temporaries their names, and never one that is taken.

use std::collections::HashSet;

use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::error::Fault;
use crate::session::SftpSession;
use crate::wire::{Reply, Request, Status};

/// Folders that could not be made, with the server's words, the outer ones first.
pub(crate) type Unmade = Vec<(String, Status)>;

/// Why a name could not be given.
pub(crate) enum Refused {
    Taken,
    Status(Status),
}

impl SftpSession {
    /// Gives proved temporaries their names. What fails is told by the server's words.
    pub(crate) fn publish(&mut self, moves: &[(String, String, bool)]) -> Result<Vec<Result<(), Refused>>, Fault> {
        let mut results: Vec<Result<(), Refused>> = moves.iter().map(|_| Ok(())).collect();
        if !self.refuses_taken {
            // This server would let one file take another's place: look first.
            let looks: Vec<_> = moves.iter().map(|(_, to, _)| Request::Lstat { path: to }).collect();
            let mut given = HashSet::new();
            for ((reply, result), (_, to, replace)) in self.client.ask(&looks)?.iter().zip(&mut results).zip(moves) {
                if !given.insert(to) || (matches!(reply, Reply::Attributes(_)) && !replace) {
                    *result = Err(Refused::Taken);
                }
            }
        }
        if !self.client.offers.posix_rename {
            let old: Vec<_> = moves.iter().filter(|it| it.2).map(|(_, to, _)| Request::Remove { path: to }).collect();
            self.client.order(&old)?;
        }
        let posix = self.client.offers.posix_rename;
        let going: Vec<usize> = (0..moves.len()).filter(|n| results[*n].is_ok()).collect();
        let requests: Vec<_> = going
            .iter()
            .map(|n| match &moves[*n] {
                (from, to, true) if posix => Request::PosixRename { from, to },
                (from, to, _) => Request::Rename { from, to },
            })
            .collect();
        let mut refused = Vec::new();
        for (n, done) in going.into_iter().zip(self.client.order(&requests)?) {
            if let Err(status) = done {
                refused.push((n, status));
            }
        }
        let looks: Vec<_> = refused.iter().map(|(n, _)| Request::Lstat { path: &moves[*n].1 }).collect();
        for (seen, (n, status)) in self.client.ask(&looks)?.into_iter().zip(refused) {
            let taken = matches!(seen, Reply::Attributes(_)) && !moves[n].2;
            results[n] = Err(if taken { Refused::Taken } else { Refused::Status(status) });
        }
        Ok(results)
    }

    /// Why a key's folder is not there, where it could not be made.
    pub(crate) fn no_folder(&mut self, key: &ObjectKey, unmade: &Unmade) -> Result<Option<SinkError>, Fault> {
        let parent = key.parent().unwrap_or_default();
        let holds = |folder: &str| parent.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'));
        // The outermost comes first, and is what to mend.
        let Some((folder, status)) = unmade.iter().find(|(folder, _)| holds(folder)) else { return Ok(None) };
        self.explain(&format!("make the folder {folder} for {key}"), status.clone()).map(Some)
    }

    pub(crate) fn why_refused(&mut self, key: &ObjectKey, refused: Refused) -> Result<SinkError, Fault> {
        match refused {
            Refused::Taken => {
                Ok(SinkError::new(Cause::Exists, format!("there is something at {key} on {} already", self.who)))
            }
            Refused::Status(status) => self.explain(&format!("give a temporary file the name {key}"), status),
        }
    }
}
