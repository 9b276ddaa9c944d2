//! Giving temporaries their names, and never one that is taken.

use std::collections::HashSet;

use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::client::{Client, done, is_vague};
use crate::error::Fault;
use crate::session::SftpSession;
use crate::wire::{Reply, Request, Status};

/// Folders that could not be made, with the server's words, the outer ones first.
pub(crate) type Unmade = Vec<(String, Status)>;

/// Why a name could not be given.
pub(crate) enum Refused {
    Taken,
    Status(Status),
    /// The server says that it did, and what is seen says otherwise.
    Untrue(&'static str),
}

/// A temporary that is to get its name.
pub(crate) struct Move {
    pub(crate) from: String,
    pub(crate) to: String,
    /// In the place of what lies there.
    pub(crate) replace: bool,
    /// As many bytes must show under the name; `None` where that is not known, or it is no file.
    pub(crate) size: Option<u64>,
}

impl SftpSession {
    /// Gives proved temporaries their names, and looks whether they have them. What fails is told by the server's words.
    pub(crate) fn publish(&mut self, moves: &[Move]) -> Result<Vec<Result<(), Refused>>, Fault> {
        let mut results: Vec<Result<(), Refused>> = moves.iter().map(|_| Ok(())).collect();
        if !self.refuses_taken {
            // This server would let one file take another's place: look first.
            let looks: Vec<_> = moves.iter().map(|it| Request::Lstat { path: &it.to }).collect();
            let mut given = HashSet::new();
            for ((reply, result), it) in self.client.ask(&looks)?.iter().zip(&mut results).zip(moves) {
                if !given.insert(&it.to) || (matches!(reply, Reply::Attributes(_)) && !it.replace) {
                    *result = Err(Refused::Taken);
                }
            }
        }
        let going: Vec<usize> = (0..moves.len()).filter(|n| results[*n].is_ok()).collect();
        let mut given: Vec<Given> = going.iter().map(|_| Given::Not(None)).collect();
        let posix = self.client.offers.posix_rename;
        self.client.patiently(going.len(), |client, which| {
            let which_moves: Vec<&Move> = which.iter().map(|n| &moves[going[*n]]).collect();
            for (n, answer) in which.iter().zip(rename(client, &which_moves, posix)?) {
                given[*n] = answer;
            }
            let again = |n: &&usize| matches!(&given[**n], Given::Not(Some(status)) if is_vague(status));
            Ok(which.iter().filter(again).copied().collect())
        })?;
        for (n, answer) in going.into_iter().zip(given) {
            results[n] = match answer {
                Given::Seen => Ok(()),
                Given::Taken => Err(Refused::Taken),
                Given::Not(Some(status)) => Err(Refused::Status(status)),
                Given::Not(None) => Err(Refused::Untrue("nothing was asked")),
                Given::Untrue(what) => Err(Refused::Untrue(what)),
            };
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
                Ok(SinkError::new(Cause::Exists, format!("something already exists at {key} on {}", self.who)))
            }
            Refused::Status(status) => self.explain(&format!("give a temporary file the name {key}"), status),
            Refused::Untrue(what) => {
                let attempt = format!(
                    "{} said that it gave a temporary file the name {key}, but {what}: this server is not to be trusted with \
                     copies",
                    self.who
                );
                Ok(SinkError::new(Cause::Io, attempt))
            }
        }
    }
}

impl Move {
    /// What is looked at afterwards: the new name; and the old one, where something may have had the new one before.
    fn looks(&self) -> impl Iterator<Item = Request<'_>> {
        let old = self.replace.then_some(&self.from);
        [Some(&self.to), old].into_iter().flatten().map(|path| Request::Lstat { path })
    }
}

/// What became of one move.
enum Given {
    /// The file has its name, and no other.
    Seen,
    Taken,
    Not(Option<Status>),
    Untrue(&'static str),
}

/// Renames, and in the same round trip looks at both names: an answer alone is only a word.
fn rename(client: &mut Client, moves: &[&Move], posix: bool) -> Result<Vec<Given>, Fault> {
    let old = moves.iter().filter(|it| it.replace && !posix);
    client.order(&old.map(|it| Request::Remove { path: &it.to }).collect::<Vec<_>>())?;
    let mut requests = Vec::with_capacity(3 * moves.len());
    for it @ Move { from, to, replace, .. } in moves {
        let posix = *replace && posix;
        requests.push(if posix { Request::PosixRename { from, to } } else { Request::Rename { from, to } });
        requests.extend(it.looks());
    }
    let mut replies = client.ask(&requests)?.into_iter();
    let mut given = Vec::with_capacity(moves.len());
    for it in moves {
        let Some(renamed) = replies.next() else { break };
        let looks: Vec<_> = replies.by_ref().take(it.looks().count()).collect();
        given.push(match done(renamed)? {
            Ok(()) => seen(it, &looks),
            Err(_) if matches!(looks.first(), Some(Reply::Attributes(_))) && !it.replace => Given::Taken,
            Err(status) => Given::Not(Some(status)),
        });
    }
    // A server that works on many requests at once may have looked before it renamed.
    let doubtful: Vec<usize> = (0..given.len()).filter(|n| matches!(given[*n], Given::Untrue(_))).collect();
    let looks: Vec<_> = doubtful.iter().flat_map(|n| moves[*n].looks()).collect();
    let mut replies = client.ask(&looks)?.into_iter();
    for n in doubtful {
        let looks: Vec<_> = replies.by_ref().take(moves[n].looks().count()).collect();
        given[n] = seen(moves[n], &looks);
    }
    Ok(given)
}

/// What the names say.
fn seen(it: &Move, looks: &[Reply<'_>]) -> Given {
    let (Some(to), from) = (looks.first(), looks.get(1)) else { return Given::Untrue("nothing shows under that name") };
    match (to, from) {
        (_, Some(Reply::Attributes(_))) => Given::Untrue("it still has its old name"),
        (Reply::Attributes(to), _) if it.size.is_some() && (to.is_link() || to.is_folder() || to.is_special()) => {
            Given::Untrue("there is no file under that name")
        }
        (Reply::Attributes(to), _) if it.size.zip(to.size).is_some_and(|(sent, shown)| sent != shown) => {
            Given::Untrue("there is another size under that name")
        }
        (Reply::Attributes(_), _) => Given::Seen,
        _ => Given::Untrue("nothing shows under that name"),
    }
}
