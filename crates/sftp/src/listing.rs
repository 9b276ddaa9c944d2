//! What lies in folders: many of them at once, entry by entry.

use std::ops::ControlFlow;

use dvb_storage::{Cause, Listed, Listing, SinkError};

use crate::error::{Fault, refusal};
use crate::session::{OWN, SftpSession};
use crate::wire::{self, Attributes, Entry, Reply, Request, Status};

/// Folders that are open at once.
const OPEN: usize = 32;
/// READDIR requests under way, over all of them.
const ASKED: usize = 64;
/// More than any folder that a store of Dataverse was seen to have; a server can make up names without end.
const MOST_IN_FOLDER: u64 = 20_000_000;
/// Levels below the root; a key has three or four.
const DEEPEST: usize = 64;
/// Answers without a single name, one after the other.
const MOST_EMPTY: u32 = 1000;

const LINK: u32 = 0o120_000;
const FILE: u32 = 0o100_000;

pub(crate) type Visit<'a> = &'a mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>;

/// Takes some entries of the n-th folder.
type Take<'a> = &'a mut dyn FnMut(&mut SftpSession, usize, Vec<Entry>) -> Result<ControlFlow<()>, Fault>;

/// What one folder has listed so far.
#[derive(Default)]
struct Seen {
    count: u64,
    empty: u32,
    /// A name that was listed, a later one each time that the count has doubled.
    mark: Vec<u8>,
    next_mark: u64,
    /// How often such a name came again.
    again: u32,
}

impl Seen {
    /// Takes an answer. What is no folder, but an endless tale, is refused.
    fn take(&mut self, entries: &[Entry]) -> Result<(), Status> {
        self.empty = if entries.is_empty() { self.empty + 1 } else { 0 };
        for entry in entries {
            self.count += 1;
            // A file that is renamed meanwhile may show twice.
            self.again += u32::from(self.mark == entry.name);
            if self.count >= self.next_mark {
                (self.mark, self.next_mark) = (entry.name.clone(), 2 * self.count);
            }
        }
        if self.count > MOST_IN_FOLDER || self.empty > MOST_EMPTY || self.again > 3 {
            let message = "the listing of this folder has no end".to_owned();
            return Err(Status { code: wire::SSH_FX_FAILURE, message });
        }
        Ok(())
    }
}

impl SftpSession {
    /// Shows the files below the root, folders side by side. A folder's name is relative to the root, which is the empty one.
    pub(crate) fn walk(&mut self, which: Listing<'_>, visit: Visit<'_>) -> Result<ControlFlow<()>, Fault> {
        let start = match which {
            Listing::Copies => "",
            Listing::Own(_) => OWN,
        };
        let mut waiting = vec![start.to_owned()];
        // What a server refuses for no reason that it names may be one folder too many at once.
        let mut alone = Vec::new();
        while let Some(next) = waiting.pop().or_else(|| alone.pop()) {
            let mut group = vec![next];
            let others = OPEN.min(self.client.open_ahead()) - 1;
            group.extend(waiting.drain(waiting.len().saturating_sub(others)..));
            let mut vague = Vec::new();
            let paths: Vec<String> = group.iter().map(|it| self.below_root(it)).collect();
            let read = self.read_folders(&paths, &mut |session, n, entries| {
                session.show(&group[n], entries, which, &mut waiting, visit)
            })?;
            let results = match read {
                ControlFlow::Continue(results) => results,
                ControlFlow::Break(()) => return Ok(ControlFlow::Break(())),
            };
            for (folder, result) in group.iter().zip(results) {
                match result {
                    Ok(()) => {}
                    // It was removed meanwhile, or nothing was stored yet.
                    Err(status) if status.code == wire::SSH_FX_NO_SUCH_FILE => {}
                    Err(_) if group.len() > 1 => {
                        vague.push(folder.clone());
                    }
                    Err(status) => {
                        let error = refusal(format!("cannot list the folder {folder:?} on {}", self.who), status);
                        if visit(Err(error)).is_break() {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
            }
            alone.extend(vague);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Everything in one folder.
    pub(crate) fn entries(&mut self, path: &str) -> Result<Result<Vec<Entry>, Status>, Fault> {
        Ok(self.entries_of(&[path.to_owned()])?.pop().unwrap_or(Ok(Vec::new())))
    }

    /// Everything in each of these folders.
    pub(crate) fn entries_of(&mut self, paths: &[String]) -> Result<Vec<Result<Vec<Entry>, Status>>, Fault> {
        let mut all: Vec<Vec<Entry>> = paths.iter().map(|_| Vec::new()).collect();
        let read = self.read_folders(paths, &mut |_, n, entries| {
            all[n].extend(entries);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(match read {
            ControlFlow::Continue(results) => {
                results.into_iter().zip(all).map(|(result, entries)| result.map(|()| entries)).collect()
            }
            ControlFlow::Break(()) => all.into_iter().map(Ok).collect(),
        })
    }

    fn below_root(&self, folder: &str) -> String {
        match (self.root.as_str(), folder) {
            ("", "") => "/".to_owned(),
            (root, "") => root.to_owned(),
            (root, folder) => format!("{root}/{folder}"),
        }
    }

    /// Reads several folders side by side; `take` gets some entries of the n-th at a time. What a server refuses is the
    /// n-th result.
    fn read_folders(
        &mut self,
        paths: &[String],
        take: Take<'_>,
    ) -> Result<ControlFlow<(), Vec<Result<(), Status>>>, Fault> {
        let mut results: Vec<Result<(), Status>> = paths.iter().map(|_| Ok(())).collect();
        let mut open: Vec<(usize, Vec<u8>)> = Vec::new();
        let requests: Vec<_> = paths.iter().map(|path| Request::OpenDir { path }).collect();
        for (n, reply) in self.client.ask(&requests)?.into_iter().enumerate() {
            match reply {
                Reply::Handle(handle) => open.push((n, handle)),
                Reply::Status(status) => results[n] = Err(status),
                _ => return Err(wire::Malformed("OPENDIR answered without a handle").into()),
            }
        }
        let handles: Vec<Vec<u8>> = open.iter().map(|it| it.1.clone()).collect();
        let mut seen: Vec<Seen> = paths.iter().map(|_| Seen::default()).collect();
        let mut flow = ControlFlow::Continue(());
        while !open.is_empty() && flow.is_continue() {
            let each = (ASKED / open.len()).max(1);
            let asked: Vec<usize> = (0..open.len()).flat_map(|at| std::iter::repeat_n(at, each)).collect();
            let requests: Vec<_> = asked.iter().map(|at| Request::ReadDir { handle: &open[*at].1 }).collect();
            let replies = self.client.ask(&requests)?;
            let mut ended = vec![false; open.len()];
            for (at, reply) in asked.into_iter().zip(replies) {
                match reply {
                    Reply::Names(mut entries) => {
                        let n = open[at].0;
                        if let Err(endless) = seen[n].take(&entries) {
                            ended[at] = true;
                            results[n] = Err(endless);
                            continue;
                        }
                        entries.retain(|it| it.name != b"." && it.name != b"..");
                        if flow.is_continue() {
                            flow = take(self, n, entries)?;
                        }
                    }
                    Reply::Status(it) if it.code == wire::SSH_FX_EOF => ended[at] = true,
                    Reply::Status(it) => {
                        ended[at] = true;
                        results[open[at].0] = Err(it);
                    }
                    _ => return Err(wire::Malformed("READDIR answered without names").into()),
                }
            }
            let mut ended = ended.into_iter();
            open.retain(|_| !ended.next().unwrap_or_default());
        }
        self.client.close_all(&handles);
        Ok(match flow {
            ControlFlow::Continue(()) => ControlFlow::Continue(results),
            ControlFlow::Break(()) => ControlFlow::Break(()),
        })
    }

    /// Shows the files among some entries of a folder, and puts the folders among them on the list.
    fn show(
        &mut self,
        folder: &str,
        entries: Vec<Entry>,
        which: Listing<'_>,
        waiting: &mut Vec<String>,
        visit: Visit<'_>,
    ) -> Result<ControlFlow<()>, Fault> {
        let mut known = Vec::with_capacity(entries.len());
        for Entry { name, attributes } in entries {
            let text = String::from_utf8_lossy(&name);
            let path = if folder.is_empty() { text.into_owned() } else { format!("{folder}/{text}") };
            known.push((path, std::str::from_utf8(&name).is_ok(), attributes));
        }
        self.complete(&mut known)?;
        for (name, is_text, attributes) in known {
            let kind = attributes.mode.map_or(FILE, |it| it & 0o170_000);
            let found = match which {
                Listing::Copies if attributes.is_folder() && name == OWN => continue,
                Listing::Copies if attributes.is_folder() && name.matches('/').count() >= DEEPEST => {
                    let attempt = format!("cannot list the folder {name:?} on {}: it lies too deep", self.who);
                    Err(SinkError::new(Cause::Io, attempt))
                }
                Listing::Copies if attributes.is_folder() && is_text => {
                    waiting.push(name);
                    continue;
                }
                Listing::Copies if attributes.is_folder() => {
                    let attempt = format!("cannot list the folder {name:?} on {}: its name is not UTF-8", self.who);
                    Err(SinkError::new(Cause::Io, attempt))
                }
                Listing::Own(_) if attributes.is_folder() => continue,
                Listing::Own(prefix) if !name.rsplit('/').next().is_some_and(|it| it.starts_with(prefix)) => continue,
                Listing::Copies | Listing::Own(_) if kind == FILE => {
                    Ok(Listed { name, size: attributes.size.unwrap_or(0) })
                }
                Listing::Copies | Listing::Own(_) => continue,
            };
            if visit(found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Asks for what a server left out of a folder's listing.
    fn complete(&mut self, known: &mut [(String, bool, Attributes)]) -> Result<(), Fault> {
        let lacks = |it: &Attributes| it.mode.is_none() || (it.size.is_none() && !it.is_folder());
        let lacking: Vec<usize> = (0..known.len()).filter(|n| known[*n].1 && lacks(&known[*n].2)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = lacking.iter().map(|n| self.below_root(&known[*n].0)).collect();
        let requests: Vec<_> = paths.iter().map(|path| Request::Lstat { path }).collect();
        for (n, reply) in lacking.into_iter().zip(self.client.ask(&requests)?) {
            match reply {
                Reply::Attributes(it) => known[n].2 = it,
                // It went meanwhile, or nobody may know: no file is better than a wrong one.
                _ => known[n].2.mode = Some(LINK),
            }
        }
        Ok(())
    }
}
