//! What lies at keys: sizes and digests, by the server's own programs or by reading back.

use dvb_fixity::{Algorithm, Measured};
use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::digest::{Flush, Target, Tools};
use crate::download::{Download, Wanted};
use crate::error::{Fault, refusal};
use crate::session::SftpSession;
use crate::wire::{self, Attributes, Reply, Request};

impl SftpSession {
    /// Size of each file. A symbolic link is none: what it leads to can be changed without a trace here.
    pub(crate) fn look(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<u64>, SinkError>>, Fault> {
        let paths: Vec<String> = keys.iter().map(|it| self.path(it)).collect();
        let requests: Vec<_> = paths.iter().map(|path| Request::Lstat { path }).collect();
        let replies = self.client.ask(&requests)?;
        let each = replies.into_iter().zip(keys).map(|(reply, key)| match reply {
            Reply::Attributes(it) if it.is_folder() => {
                Err(SinkError::new(Cause::Broken, format!("{key} on {} is a folder, not a file", self.who)))
            }
            Reply::Attributes(it) if it.is_link() => {
                Err(SinkError::new(Cause::Broken, format!("{key} on {} is a symbolic link, not a file", self.who)))
            }
            Reply::Attributes(it) if it.is_special() => {
                let attempt = format!("{key} on {} is a pipe, a device or a socket, not a file", self.who);
                Err(SinkError::new(Cause::Broken, attempt))
            }
            Reply::Attributes(Attributes { size: Some(size), .. }) => Ok(Some(size)),
            Reply::Status(it) if it.code == wire::SSH_FX_NO_SUCH_FILE => Ok(None),
            Reply::Status(it) => Err(refusal(format!("cannot stat {key} on {}", self.who), it)),
            _ => Err(SinkError::new(Cause::Io, format!("{} does not report the size of {key}", self.who))),
        });
        Ok(each.collect())
    }

    pub(crate) fn measure_all(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, Fault> {
        let mut algorithms = vec![Algorithm::Sha256];
        algorithms.extend(wanted.iter().filter(|it| **it != Algorithm::Sha256));
        algorithms.sort();
        algorithms.dedup();
        let mut results: Vec<Option<Result<Measured, SinkError>>> = Vec::with_capacity(keys.len());
        let mut there = Vec::new();
        for (n, size) in self.look(keys)?.into_iter().enumerate() {
            results.push(match size {
                Ok(Some(size)) => {
                    there.push((n, self.path(&keys[n]), size));
                    None
                }
                Ok(None) => {
                    Some(Err(SinkError::new(Cause::Missing, format!("there is no {} on {}", keys[n], self.who))))
                }
                Err(error) => Some(Err(error)),
            });
        }
        for (n, measured) in self.digests(&there, &algorithms)? {
            results[n] = Some(Ok(measured));
        }
        let rest: Vec<usize> = (0..keys.len()).filter(|n| results[*n].is_none()).collect();
        let wanted = |n: &usize| Wanted { path: self.path(&keys[*n]), size: None };
        let mut download = Download::hash(rest.iter().map(wanted), &algorithms);
        self.client.drive(&mut download)?;
        for (n, measured) in rest.into_iter().zip(download.measured()) {
            let failed = |status| refusal(format!("cannot read {} from {}", keys[n], self.who), status);
            results[n] = Some(measured.map_err(failed));
        }
        Ok(results.into_iter().flatten().collect())
    }

    /// What the server's own programs say, of the files for which they say everything.
    pub(crate) fn digests(
        &mut self,
        files: &[(usize, String, u64)],
        algorithms: &[Algorithm],
    ) -> Result<Vec<(usize, Measured)>, Fault> {
        let Some(tools) = self.tools.as_ref().filter(|it| it.know(algorithms)) else { return Ok(Vec::new()) };
        let targets: Vec<Target<'_>> = files.iter().map(|(_, name, size)| Target { name, size: *size }).collect();
        let mut found: Vec<Vec<_>> = files.iter().map(|_| Vec::new()).collect();
        let asked: Vec<_> = algorithms
            .iter()
            .map(|it| tools.ask(&mut self.client, &targets, *it, Flush::Nothing).map(|asked| (*it, asked)))
            .collect::<Result<_, _>>()?;
        for (algorithm, asked) in asked {
            let answer = Tools::read(&mut self.client, &asked, &targets, algorithm);
            let answer = answer.inspect_err(|fault| self.blame_shell(fault))?;
            for (digests, digest) in found.iter_mut().zip(answer.digests) {
                digests.extend(digest);
            }
        }
        let whole = files.iter().zip(found).filter(|(_, digests)| digests.len() == algorithms.len());
        Ok(whole.map(|((n, _, size), digests)| (*n, Measured { size: *size, digests })).collect())
    }
}
