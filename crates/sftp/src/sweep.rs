//! Removing what dead runs left.

use dvb_model::RunId;

use crate::error::Fault;
use crate::session::{SftpSession, TEMP};
use crate::start::{PROBE, decode_run};
use crate::wire::{self, Request, Status};

impl SftpSession {
    /// Removes the folders of the runs that are over, and tells how many objects went.
    pub(crate) fn sweep_all(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<Result<u64, Status>, Fault> {
        let temp = format!("{}/{TEMP}", self.root);
        let folders = match self.entries(&temp)? {
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

    /// Removes a run's folder with all that is in it, and tells how many objects went.
    fn remove_run(&mut self, folder: &str) -> Result<Result<u64, Status>, Fault> {
        let entries = match self.entries(folder)? {
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
