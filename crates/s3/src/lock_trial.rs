//! Tries whether a lock holds: to delete a locked version, with the key that copies.
//!
//! There is one object of one name with one version, whose lock is made longer each time that it is tried; so nothing grows,
//! also where the account may delete no version. Its lock is as short as clocks allow. Beside it, one without a lock shows
//! whether the account can delete anything at all.

use dvb_storage::{Cause, LockTrial};
use time::{Duration, OffsetDateTime};

use crate::client::Answer;
use crate::config::LockMode;
use crate::error::Fault;
use crate::lock::{self, Retention};
use crate::prove::head;
use crate::sink::Shared;

const LOCKED: &str = "lock-probe.txt";
const FREE: &str = "lock-probe-free.txt";
const CONTENT: &[u8] = b"dataverse-backup puts this here to see whether a locked object can be deleted. It may stay.\n";
/// S3 accepts requests of a clock that is wrong by a quarter of an hour; a lock that ends before is none.
const BRIEFLY: Duration = Duration::minutes(20);

/// Tries it.
pub(crate) fn run(shared: &Shared, mode: LockMode) -> Result<LockTrial, Fault> {
    let wanted = Retention { mode, until: OffsetDateTime::now_utc() + BRIEFLY };
    let key = shared.own_key(LOCKED);
    let place = shared.describe();
    let there = match head(shared, &key)? {
        Some(there) => there,
        None => {
            store(shared, &key, lock::headers_of(wanted))?;
            head(shared, &key)?.ok_or(Fault::Lacking("object that was just stored"))?
        }
    };
    let Some(version) = version_of(&there) else {
        return Ok(LockTrial::Fails(format!(
            "{place} keeps no versions, so it has no locks; make a bucket with object lock"
        )));
    };
    let locked =
        match Retention::of(&there)?.filter(|it| it.mode == mode && it.until >= wanted.until - Duration::SECOND) {
            Some(locked) => locked,
            None => lock::put(shared, &key, Some(&version), wanted)?,
        };
    if delete(shared, &key, &version, false)? {
        return Ok(LockTrial::Fails(format!(
            "this account deleted a version in {place} that was locked: locks mean nothing there; look for another service, or \
             another account"
        )));
    }
    if mode == LockMode::Governance && delete(shared, &key, &version, true)? {
        return Ok(LockTrial::Fails(format!(
            "this account may lift locks in {place}, and so may whoever has its key: take s3:BypassGovernanceRetention from it"
        )));
    }
    Ok(LockTrial::Holds { until: locked.until.into(), may_delete: may_delete(shared)? })
}

/// Whether the account can delete a version that has no lock.
fn may_delete(shared: &Shared) -> Result<bool, Fault> {
    let key = shared.own_key(FREE);
    let version = match head(shared, &key)? {
        Some(there) => version_of(&there),
        None => version_of(&store(shared, &key, Vec::new())?),
    };
    version.map_or(Ok(false), |it| delete(shared, &key, &it, false))
}

fn store(shared: &Shared, key: &str, headers: Vec<(&'static str, String)>) -> Result<Answer, Fault> {
    let mut call = shared.call("PUT", key);
    (call.headers, call.body) = (headers, CONTENT);
    // S3 wants a digest where there is a lock.
    let digest = <md5::Md5 as md5::Digest>::digest(CONTENT);
    call.headers.push(("content-md5", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, digest)));
    shared.client.ask(&call)
}

fn version_of(answer: &Answer) -> Option<String> {
    answer.header("x-amz-version-id").filter(|it| *it != "null").map(str::to_owned)
}

/// Whether a version is gone by this. That it is still there is looked at, whatever was said.
fn delete(shared: &Shared, key: &str, version: &str, bypass: bool) -> Result<bool, Fault> {
    let mut call = shared.call("DELETE", key);
    call.query.push(("versionId", version.to_owned()));
    if bypass {
        call.headers.push(("x-amz-bypass-governance-retention", "true".into()));
    }
    match shared.client.ask(&call) {
        Err(fault) if matches!(fault.cause(), Cause::Transient | Cause::Unavailable) => return Err(fault),
        Ok(_) | Err(_) => {}
    }
    let mut call = shared.call("HEAD", key);
    call.query.push(("versionId", version.to_owned()));
    match shared.client.ask(&call) {
        Ok(_) => Ok(false),
        Err(fault) if fault.is_missing() => Ok(true),
        Err(fault) => Err(fault),
    }
}
