//! Which multipart uploads are ours.
//!
//! A list of uploads tells only keys and upload ids, so a run says beforehand which keys it is about to upload, in an
//! object of its own for each session: `.dataverse-backup/uploads/<run>/<session>`. What a dead run left is then found
//! by its keys, and uploads of other programs in the same bucket are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use dvb_model::RunId;
use dvb_storage::parallel_map;

use crate::error::Fault;
use crate::left::{self, UnfinishedUpload};
use crate::listing::{ask, decode, list};
use crate::sink::Shared;
use crate::upload;
use crate::xml::{OpenUpload, Uploads};

const FOLDER: &str = "uploads/";

/// What one session uploads.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    at: String,
    state: Mutex<JournalState>,
}

#[derive(Default)]
struct JournalState {
    /// Keys with an upload that is open.
    open: BTreeSet<String>,
    /// What the object at the destination says.
    written: BTreeSet<String>,
}

impl Journal {
    pub(crate) fn new(shared: &Arc<Shared>, run: &RunId, session: &str) -> Self {
        let at = shared.own_key(&format!("{FOLDER}{run}/{session}"));
        Self { shared: Arc::clone(shared), at, state: Mutex::default() }
    }

    /// Says that these keys are about to be uploaded; returns when that is on record.
    pub(crate) fn announce(&self, keys: &[String]) -> Result<(), Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().all(|it| state.written.contains(it)) {
            return Ok(());
        }
        let all: BTreeSet<String> = state.open.iter().chain(keys).cloned().collect();
        let body = serde_json::to_vec(&all).unwrap_or_default();
        let mut call = self.shared.call("PUT", &self.at);
        call.body = &body;
        self.shared.client.ask(&call)?;
        state.written = all;
        Ok(())
    }

    /// This key has an open upload: what is written next must name it, too.
    pub(crate) fn opened(&self, key: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open.insert(key.to_owned());
    }

    /// This key has none any more.
    pub(crate) fn closed(&self, key: &str) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open.remove(key);
    }

    /// Gives up an upload as well as can be: where the account may not, that is noted, and the upload stays on record.
    pub(crate) fn abort(&self, key: &str, id: &str) {
        match upload::abort(&self.shared, key, id) {
            Ok(()) => self.closed(key),
            Err(fault) => self.shared.notes.add(format!(
                "{}: a multipart upload could not be aborted ({fault}); give this account s3:AbortMultipartUpload, or \
                 the bucket a lifecycle rule with AbortIncompleteMultipartUpload",
                self.shared.describe()
            )),
        }
    }
}

/// The journals at the destination: by their keys, the run of each.
fn journals(shared: &Shared) -> Result<BTreeMap<String, RunId>, Fault> {
    let folder = shared.own_key(FOLDER);
    let mut found = BTreeMap::new();
    list(shared, &folder, false, &mut |row| {
        // A name that is no text is none of ours.
        let Ok(row) = row else { return ControlFlow::Continue(()) };
        if let Some((run, _)) = row.key.strip_prefix(&folder).and_then(|it| it.split_once('/')) {
            let run = RunId(run.to_owned());
            found.insert(row.key, run);
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// The keys of a journal; `None` where it is there and says nothing that could be read.
fn read(shared: &Shared, journal: &str) -> Result<Option<Vec<String>>, Fault> {
    match shared.client.ask(&shared.call("GET", journal)) {
        Ok(answer) => Ok(serde_json::from_str(&answer.text).ok()),
        Err(fault) if fault.is_missing() => Ok(Some(Vec::new())),
        Err(fault) => Err(fault),
    }
}

/// Every open upload of keys that begin with `prefix`, and whether the service told of all of them.
pub(crate) fn open_uploads(shared: &Shared, prefix: &str) -> Result<(Vec<UnfinishedUpload>, bool), Fault> {
    let mut found = Vec::new();
    let (mut key, mut id, mut encoded) = (String::new(), String::new(), true);
    loop {
        let mut call = shared.call("GET", "");
        call.query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
        if !key.is_empty() {
            call.query.extend([("key-marker", key), ("upload-id-marker", id)]);
        }
        let page: Uploads = ask(&shared.client, call, &mut encoded)?;
        let told = page.encoding_type.as_deref();
        // A key that is no text is none of ours.
        let ours = |upload: OpenUpload| {
            Some(UnfinishedUpload {
                key: decode(told, upload.key).ok()?,
                id: upload.upload_id,
                initiated: upload.initiated,
            })
        };
        found.extend(page.uploads.into_iter().filter_map(ours));
        if !page.is_truncated || page.next_key_marker.is_empty() {
            return Ok((found, !page.is_truncated));
        }
        key = decode(told, page.next_key_marker).map_err(|_| Fault::Lacking("NextKeyMarker that is text"))?;
        id = page.next_upload_id_marker;
    }
}

/// Aborts what dead runs left, and removes their journals; tells how many uploads went. What somebody may go on with stays,
/// and so does the journal that names it.
pub(crate) fn sweep(shared: &Shared, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, Fault> {
    let (dead, live): (Vec<_>, Vec<_>) = journals(shared)?.into_iter().partition(|(_, run)| is_dead(run));
    if dead.is_empty() {
        return Ok(0);
    }
    let width = shared.config.parallel;
    let keys_of = |journals: &[(String, RunId)]| -> Result<Vec<Option<Vec<String>>>, Fault> {
        let names: Vec<&String> = journals.iter().map(|it| &it.0).collect();
        parallel_map(names, width, |it| read(shared, it)).into_iter().collect()
    };
    // A key that a live run announced as well: which upload is whose cannot be told, so it waits for a later sweep.
    let Some(live) = keys_of(&live)?.into_iter().collect::<Option<Vec<_>>>() else {
        let text = "a journal of a run under way cannot be read, so nothing of dead runs is removed yet";
        shared.notes.add(format!("{}: {text}", shared.describe()));
        return Ok(0);
    };
    let live: BTreeSet<String> = live.into_iter().flatten().collect();
    let (mut dead_keys, mut read_ones) = (BTreeSet::new(), Vec::new());
    for (journal, keys) in dead.iter().zip(keys_of(&dead)?) {
        match keys {
            Some(keys) => {
                dead_keys.extend(keys.iter().filter(|it| !live.contains(*it)).cloned());
                read_ones.push((journal.0.clone(), keys));
            }
            None => shared.notes.add(format!(
                "{}: {} says which uploads a dead run left, and cannot be read; give the bucket a lifecycle rule with \
                 AbortIncompleteMultipartUpload, then remove it",
                shared.describe(),
                journal.0
            )),
        }
    }
    let left = if dead_keys.is_empty() { Vec::new() } else { open_uploads(shared, &shared.prefix)?.0 };
    let left: Vec<_> = left.into_iter().filter(|it| dead_keys.contains(&it.key)).collect();
    let (spared, rest) = spare(parallel_map(left, width, |it| (left::worth(shared, &it), it)));
    let aborted: Result<Vec<()>, Fault> =
        parallel_map(rest, width, |it| upload::abort(shared, &it.key, &it.id)).into_iter().collect();
    let removed = aborted?.len() as u64;
    let is_over = |keys: &[String]| !keys.iter().any(|it| spared.contains_key(it));
    let over: Vec<String> = read_ones.into_iter().filter(|it| is_over(&it.1)).map(|it| it.0).collect();
    spared.into_values().for_each(|it| shared.left.remember(it));
    let gone: Vec<Result<_, Fault>> =
        parallel_map(over, width, |it| shared.client.ask(&shared.call("DELETE", &it)).map(|_| ()));
    if gone.iter().any(Result::is_err) {
        let text = "journals of runs that are over could not be removed; they are small and may stay";
        shared.notes.add(format!("{}: {text}", shared.describe()));
    }
    Ok(removed)
}

/// Of uploads with the bytes that are worth going on with: by key, the one that has most; and all others.
fn spare(all: Vec<(u64, UnfinishedUpload)>) -> (BTreeMap<String, UnfinishedUpload>, Vec<UnfinishedUpload>) {
    let (mut spared, mut rest) = (BTreeMap::<String, (u64, UnfinishedUpload)>::new(), Vec::new());
    for (bytes, upload) in all {
        let most = spared.get(&upload.key).map_or(0, |it| it.0);
        if bytes <= most {
            rest.push(upload);
        } else if let Some((_, other)) = spared.insert(upload.key.clone(), (bytes, upload)) {
            rest.push(other);
        }
    }
    (spared.into_iter().map(|(key, (_, upload))| (key, upload)).collect(), rest)
}
