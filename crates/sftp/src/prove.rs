//! Proving a batch: what lies at the destination is looked at, then it gets its name.

use dvb_fixity::{Algorithm, Evidence, Observed, Proved};
use dvb_storage::{Cause, CommitRequest, SinkError, Unstaged};

use crate::client::is_vague;
use crate::digest::{Flush, Target, Tools};
use crate::download::{Download, Wanted};
use crate::error::{Fault, refusal};
use crate::publish::{Move, Unmade};
use crate::session::{MANY, SftpSession};
use crate::wire::Status;

impl SftpSession {
    pub(crate) fn commit_all(&mut self, batch: &[CommitRequest]) -> Result<Vec<Result<Proved, Unstaged>>, Fault> {
        let (observed, unmade) = self.observe(batch)?;
        for it in batch {
            self.flushed.remove(&it.staged.handle);
        }
        let mut results: Vec<Result<Proved, Unstaged>> = Vec::with_capacity(batch.len());
        for (request, observed) in batch.iter().zip(observed) {
            let proved = observed
                .map_err(Unstaged::from)
                .and_then(|observed| Proved::by(request.staged.measured.clone(), &observed).map_err(Unstaged::from));
            results.push(match (proved, self.no_folder(&request.staged.key, &unmade)?) {
                (Ok(_), Some(error)) => Err(error.into()),
                (proved, _) => proved,
            });
        }
        let good: Vec<usize> = (0..batch.len()).filter(|n| results[*n].is_ok()).collect();
        let moves: Vec<_> = good
            .iter()
            .map(|n| {
                let CommitRequest { staged, replace } = &batch[*n];
                let (from, to) = (staged.handle.clone(), self.path(&staged.key));
                Move { from, to, replace: *replace, size: Some(staged.measured.size) }
            })
            .collect();
        let folders: Vec<&str> = good.iter().map(|n| batch[*n].staged.key.parent().unwrap_or_default()).collect();
        let flush = self.begin_to_flush(&folders)?;
        for (n, shown) in good.into_iter().zip(self.publish(&moves)?) {
            if let Err(refused) = shown {
                let mut error = self.why_refused(&batch[n].staged.key, refused)?;
                if error.cause == Cause::Missing {
                    // The temporary or the folder vanished: a new session makes both again.
                    error.cause = Cause::Transient;
                }
                results[n] = Err(error.into());
            }
        }
        let shown = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let folders: Vec<&str> = shown.map(|(it, _)| it.staged.key.parent().unwrap_or_default()).collect();
        self.flush(flush, &folders)?;
        let bad: Vec<&str> = batch
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_err())
            .map(|(request, _)| request.staged.handle.as_str())
            .collect();
        self.drop_files(&bad)?;
        Ok(results)
    }

    /// Observes staged objects: by the server's digest, or by reading them back through new handles. Meanwhile makes
    /// their folders, and tells which could not be made.
    pub(crate) fn observe(
        &mut self,
        batch: &[CommitRequest],
    ) -> Result<(Vec<Result<Observed, SinkError>>, Unmade), Fault> {
        let parents: Vec<&str> = batch.iter().filter_map(|it| it.staged.key.parent()).collect();
        let Some((tools, best)) = self.tools.as_ref().and_then(|it| Some((it, it.best()?))) else {
            let unmade = self.folders.make(&mut self.client, parents.into_iter())?;
            return Ok((self.read_back(batch)?, unmade));
        };
        // The shell stands in the folder of temporaries.
        let name = |it: &'_ str| {
            it.strip_prefix(&self.temp).and_then(|it| it.strip_prefix('/')).map_or(0, |rest| it.len() - rest.len())
        };
        let targets: Vec<Target<'_>> = batch
            .iter()
            .map(|it| Target { name: &it.staged.handle[name(&it.staged.handle)..], size: it.staged.measured.size })
            .collect();
        let unflushed = batch.iter().any(|it| !self.flushed.contains(&it.staged.handle));
        let flush = match unflushed && tools.can_flush() {
            false => Flush::Nothing,
            true if batch.len() < MANY => Flush::These,
            true => Flush::All,
        };
        // While the server hashes, the folders are made.
        let asked = tools.ask(&mut self.client, &targets, best, flush)?;
        let unmade = self.folders.make(&mut self.client, parents.into_iter())?;
        let answer = Tools::read(&mut self.client, &asked, &targets, best);
        let answer = answer.inspect_err(|fault| self.blame_shell(fault))?;
        let safe = flush == Flush::Nothing || answer.flushed;
        let observed = answer.digests.into_iter().zip(batch).map(|(digest, it)| {
            if !safe {
                let attempt = format!("{} could not flush {} to stable storage", self.who, it.staged.key);
                return Err(SinkError::new(Cause::Io, attempt));
            }
            let missing = || SinkError::new(Cause::Io, format!("{} gave no digest of {}", self.who, it.staged.key));
            let digest = digest.ok_or_else(missing)?;
            Ok(Observed { digest, size: None, evidence: Evidence::RemoteHash })
        });
        Ok((observed.collect(), unmade))
    }

    pub(crate) fn read_back(&mut self, batch: &[CommitRequest]) -> Result<Vec<Result<Observed, SinkError>>, Fault> {
        let mut measured: Vec<Result<_, _>> = Vec::new();
        self.client.patiently(batch.len(), |client, which| {
            let wanted = |n: &usize| {
                let staged = &batch[*n].staged;
                Wanted { path: staged.handle.clone(), size: Some(staged.measured.size) }
            };
            let mut download = Download::hash(which.iter().map(wanted), &[]);
            client.drive(&mut download)?;
            let found = download.measured();
            let vague = |it: &Result<_, Status>| it.as_ref().is_err_and(is_vague);
            let again = which.iter().zip(&found).filter(|(_, it)| vague(it)).map(|it| *it.0).collect();
            if measured.is_empty() {
                measured = found;
            } else {
                which.iter().zip(found).for_each(|(n, it)| measured[*n] = it);
            }
            Ok(again)
        })?;
        let each = measured.into_iter().zip(batch).map(|(measured, it)| {
            let failed = |status| refusal(format!("cannot read {} back from {}", it.staged.key, self.who), status);
            let measured = measured.map_err(failed)?;
            let lacking = || SinkError::new(Cause::Io, format!("hash {}", it.staged.key));
            let digest = measured.digest(Algorithm::Sha256).ok_or_else(lacking)?.clone();
            Ok(Observed { digest, size: Some(measured.size), evidence: Evidence::ReadBack })
        });
        Ok(each.collect())
    }
}
