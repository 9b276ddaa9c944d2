//! Removing what dead runs left.

use dvb_model::RunId;

use crate::continued::worth_going_on;
use crate::error::Fault;
use crate::handshake::{KEPT, OF_RUN, PROBE, decode_run};
use crate::session::{OWN, SftpSession, TEMP};
use crate::wire::{self, Attributes, Entry, Request, Status};

/// How long a file may stay locked after it was closed.
const LOCKED: std::time::Duration = std::time::Duration::from_millis(1_500);

impl SftpSession {
    /// Removes the folders of the runs that are over, and tells how many objects went.
    pub(crate) fn sweep_all(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<Result<u64, Status>, Fault> {
        let temp = format!("{}/{TEMP}", self.root);
        // This run's own folder is listed beside, as it is what there is to be swept at the end of a run.
        let mut listed = self.entries_of(&[temp.clone(), self.temp.clone()])?;
        let mut own = listed.pop();
        let folders = match listed.pop().unwrap_or(Ok(Vec::new())) {
            Ok(folders) => folders,
            Err(status) if status.code == wire::SSH_FX_NO_SUCH_FILE => return Ok(Ok(0)),
            Err(status) => return Ok(Err(status)),
        };
        let mut removed = 0;
        for folder in folders {
            if folder.name == KEPT.as_bytes() {
                match self.sweep_kept(&format!("{temp}/{KEPT}"), is_dead)? {
                    Ok(n) => removed += n,
                    Err(status) => return Ok(Err(status)),
                }
                continue;
            }
            if let (Some(run), Ok(name)) = (decode_run(&folder.name), std::str::from_utf8(&folder.name))
                && folder.attributes.is_folder()
                && is_dead(&run)
            {
                let path = format!("{temp}/{name}");
                let entries = match own.take_if(|_| path == self.temp) {
                    Some(listed) => listed,
                    None => self.entries(&path)?,
                };
                match self.remove_run(&path, entries)? {
                    Ok(n) => removed += n,
                    Err(status) => return Ok(Err(status)),
                }
            }
        }
        Ok(Ok(removed))
    }

    /// Removes what dead runs left in the folder that all share, or takes it for what is stored next.
    fn sweep_kept(&mut self, folder: &str, is_dead: &dyn Fn(&RunId) -> bool) -> Result<Result<u64, Status>, Fault> {
        let entries = match self.entries(folder)? {
            Ok(entries) => entries,
            Err(status) => return Ok(Err(status)),
        };
        let names = entries.iter().filter_map(|it| Some((std::str::from_utf8(&it.name).ok()?, &it.attributes)));
        let dead = names.filter_map(|(name, seen)| {
            let (run, rest) = name.split_once(OF_RUN)?;
            let is_left = is_dead(&decode_run(run.as_bytes())?) && !self.spares(folder, name, rest, seen);
            is_left.then(|| (format!("{folder}/{name}"), rest.starts_with(PROBE)))
        });
        let dead: Vec<(String, bool)> = dead.collect();
        let paths: Vec<&str> = dead.iter().map(|it| it.0.as_str()).collect();
        if self.keeps_all {
            return self.take_over(&paths).map(Ok);
        }
        let gone = self.remove(&paths)?;
        Ok(Ok(gone.iter().zip(&dead).filter(|(gone, (_, probe))| gone.is_ok() && !probe).count() as u64))
    }

    /// Whether a temporary is one that somebody may go on with; then it is remembered.
    fn spares(&self, folder: &str, name: &str, in_run: &str, seen: &Attributes) -> bool {
        let Some((mark, size)) = worth_going_on(in_run, seen) else { return false };
        self.lessons.remember_cut(&mark, format!("{folder}/{name}"), size);
        true
    }

    /// Empties what cannot be removed, for what is stored next. Each is given a name of this session first: another one,
    /// maybe of another host, that takes it too would write over what was proved.
    fn take_over(&mut self, paths: &[&str]) -> Result<u64, Fault> {
        let own: Vec<String> = paths.iter().map(|_| format!("{}/{}", self.temp, self.names.take())).collect();
        let moves: Vec<_> = paths.iter().zip(&own).map(|(from, to)| Request::Rename { from, to }).collect();
        let moved = self.client.order(&moves)?;
        let taken: Vec<&str> = own.iter().zip(&moved).filter(|it| it.1.is_ok()).map(|it| it.0.as_str()).collect();
        self.drop_files(&taken)?;
        Ok(0)
    }

    /// Some servers keep a file locked for a moment after it was closed, and say only that it failed.
    fn remove_again(&mut self, paths: &[String], gone: &mut [Result<(), Status>]) -> Result<(), Fault> {
        let may_pass =
            |answer: &Result<(), Status>| answer.as_ref().is_err_and(|status| status.code == wire::SSH_FX_FAILURE);
        if self.keeps_all || !gone.iter().any(may_pass) {
            return Ok(());
        }
        std::thread::sleep(LOCKED);
        for (path, gone) in paths.iter().zip(gone).filter(|it| may_pass(it.1)) {
            if let Some(again) = self.remove(&[path.as_str()])?.pop() {
                *gone = again;
            }
        }
        Ok(())
    }

    /// Removes a run's folder with all that is in it, and tells how many objects went.
    fn remove_run(&mut self, folder: &str, entries: Result<Vec<Entry>, Status>) -> Result<Result<u64, Status>, Fault> {
        let entries = match entries {
            Ok(entries) => entries,
            // Another sweeper was here.
            Err(status) if status.code == wire::SSH_FX_NO_SUCH_FILE => return Ok(Ok(0)),
            Err(status) => return Ok(Err(status)),
        };
        let names = entries.iter().filter_map(|it| Some((std::str::from_utf8(&it.name).ok()?, &it.attributes)));
        let names: Vec<_> =
            names.filter(|(name, seen)| !self.spares(folder, name, name, seen)).map(|it| it.0).collect();
        let paths: Vec<String> = names.iter().map(|it| format!("{folder}/{it}")).collect();
        let mut gone = self.remove(&paths.iter().map(String::as_str).collect::<Vec<_>>())?;
        self.remove_again(&paths, &mut gone)?;
        if self.keeps_all {
            let left: Vec<&str> = paths.iter().zip(&gone).filter(|it| it.1.is_err()).map(|it| it.0.as_str()).collect();
            return self.take_over(&left).map(Ok);
        }
        let objects = names.iter().zip(&gone).filter(|(name, gone)| gone.is_ok() && !name.starts_with(PROBE)).count();
        if let Some(status) = gone.into_iter().filter_map(Result::err).find(|it| it.code != wire::SSH_FX_NO_SUCH_FILE) {
            return Ok(Err(status));
        }
        // Where nothing was stored, nothing stays: the place may be the wrong one. A folder that is not empty is not removed.
        let (all, own) = (format!("{}/{TEMP}", self.root), format!("{}/{OWN}", self.root));
        self.client.order(&[folder, &all, &own].map(|path| Request::RemoveDir { path }))?;
        Ok(Ok(objects as u64))
    }
}
