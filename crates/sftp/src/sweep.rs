//! The folder that the backup keeps for itself: what lies there, and removing what dead runs left.

use dvb_model::RunId;

use crate::error::Fault;
use crate::session::{OWN, SftpSession, TEMP};
use crate::start::{PROBE, decode_run};
use crate::wire::{self, Entry, Reply, Request, Status};

impl SftpSession {
    /// Removes the folders of the runs that are over, and tells how many objects went.
    pub(crate) fn sweep_all(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<Result<u64, Status>, Fault> {
        let temp = format!("{}/{TEMP}", self.root);
        let folders = match self.list(&temp)? {
            Ok(folders) => folders,
            Err(status) if status.code == wire::NO_SUCH_FILE => return Ok(Ok(0)),
            Err(status) => return Ok(Err(status)),
        };
        let mut removed = 0;
        for folder in folders {
            if let (Some(run), Ok(name)) = (decode_run(&folder.name), std::str::from_utf8(&folder.name))
                && folder.attributes.is_folder()
                && is_dead(&run)
            {
                match self.remove_run(&format!("{temp}/{name}"))? {
                    Ok(n) => removed += n,
                    Err(status) => return Ok(Err(status)),
                }
            }
        }
        Ok(Ok(removed))
    }

    /// Names of the files among the backup's own objects that begin with `prefix`.
    pub(crate) fn list_names(&mut self, prefix: &str) -> Result<Result<Vec<String>, Status>, Fault> {
        let entries = match self.list(&format!("{}/{OWN}", self.root))? {
            Ok(entries) => entries,
            Err(status) if status.code == wire::NO_SUCH_FILE => return Ok(Ok(Vec::new())),
            Err(status) => return Ok(Err(status)),
        };
        // A name that is not UTF-8 is none of ours.
        let files = entries.into_iter().filter(|it| !it.attributes.is_folder());
        let names = files.filter_map(|it| String::from_utf8(it.name).ok());
        Ok(Ok(names.filter(|it| it.starts_with(prefix)).collect()))
    }

    fn list(&mut self, path: &str) -> Result<Result<Vec<Entry>, Status>, Fault> {
        let handle = match self.client.ask(&[Request::OpenDir { path }])?.remove(0) {
            Reply::Handle(it) => it,
            Reply::Status(status) => return Ok(Err(status)),
            _ => return Err(wire::Malformed("OPENDIR answered without a handle").into()),
        };
        let mut entries = Vec::new();
        let ended = loop {
            match self.client.ask(&[Request::ReadDir { handle: &handle }])?.remove(0) {
                Reply::Names(more) => entries.extend(more),
                Reply::Status(it) if it.code == wire::EOF => break Ok(()),
                Reply::Status(it) => break Err(it),
                _ => return Err(wire::Malformed("READDIR answered without names").into()),
            }
        };
        self.client.order(&[Request::Close { handle: &handle }])?;
        entries.retain(|it| it.name != b"." && it.name != b"..");
        Ok(ended.map(|()| entries))
    }

    /// Removes a run's folder with all that is in it, and tells how many objects went.
    fn remove_run(&mut self, folder: &str) -> Result<Result<u64, Status>, Fault> {
        let entries = match self.list(folder)? {
            Ok(entries) => entries,
            // Another sweeper was here.
            Err(status) if status.code == wire::NO_SUCH_FILE => return Ok(Ok(0)),
            Err(status) => return Ok(Err(status)),
        };
        let names: Vec<_> = entries.iter().filter_map(|it| std::str::from_utf8(&it.name).ok()).collect();
        let paths: Vec<String> = names.iter().map(|it| format!("{folder}/{it}")).collect();
        let gone = self.remove(&paths.iter().map(String::as_str).collect::<Vec<_>>())?;
        let objects = names.iter().zip(&gone).filter(|(name, gone)| gone.is_ok() && !name.starts_with(PROBE)).count();
        if let Some(status) = gone.into_iter().filter_map(Result::err).find(|it| it.code != wire::NO_SUCH_FILE) {
            return Ok(Err(status));
        }
        self.client.order(&[Request::RemoveDir { path: folder }])?;
        Ok(Ok(objects as u64))
    }
}
