//! Large objects that were cut, and are gone on with: segments that are there and are what is read are not sent again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use dvb_model::{ObjectKey, RunId};
use dvb_storage::{CONTINUED_FOR, CONTINUED_FROM};
use serde_json::{Value, json};
use ureq::http::Method;

use crate::client::Request;
use crate::container::{self, ListedObject};
use crate::context::{Context, folder, mark};
use crate::path::Path;

/// More than any server has segments in a manifest.
const MOST: usize = 10_000;

/// By their keys, the large objects that somebody may go on with.
#[derive(Default)]
pub(crate) struct ObjectsToGoOnWith(Mutex<BTreeMap<String, UnfinishedObject>>);

/// What a mark says of the object that its segments are of.
pub(crate) struct Inscription {
    key: String,
    size: u64,
    /// When it was begun, in seconds since 1970.
    began: u64,
}

/// A large object of which segments are there.
pub(crate) struct UnfinishedObject {
    pub(crate) run: RunId,
    pub(crate) name: String,
    /// How large the whole was to be.
    pub(crate) size: u64,
    /// From the first one on, without a gap.
    pub(crate) segments: Vec<ListedObject>,
}

impl Inscription {
    pub(crate) fn new(key: &ObjectKey, size: u64) -> Self {
        Self { key: key.as_str().to_owned(), size, began: now() }
    }

    pub(crate) fn text(&self) -> Vec<u8> {
        json!({"key": self.key, "size": self.size, "began": self.began}).to_string().into_bytes()
    }

    fn read(context: &Context, run: &RunId, name: &str) -> Option<Self> {
        let path = Path::object(&context.segments(), &mark(run, name));
        let mut answer = context.client.send(Request::new(Method::GET, &path)).ok()?;
        let value: Value = serde_json::from_slice(&answer.small_body().ok()?).ok()?;
        let (key, size, began) = (value["key"].as_str()?, value["size"].as_u64()?, value["began"].as_u64()?);
        Some(Self { key: key.to_owned(), size, began })
    }
}

impl ObjectsToGoOnWith {
    /// The one to go on with, where it was to be as large. Nobody else gets it.
    pub(crate) fn take(&self, key: &ObjectKey, size: u64) -> Option<UnfinishedObject> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key.as_str())?;
        (found.size == size).then_some(found)
    }

    /// The bytes that [`ObjectsToGoOnWith::take`] will find there, as segments of `cut` bytes.
    pub(crate) fn there(&self, key: &ObjectKey, size: u64, cut: u64) -> Range<u64> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = 0;
        for row in all.get(key.as_str()).filter(|it| it.size == size).iter().flat_map(|it| &it.segments) {
            if row.bytes != cut.min(size - there) {
                break;
            }
            there += row.bytes;
        }
        0..there
    }

    /// Whether it is worth going on with what has this mark: then whoever stores the key next does so.
    pub(crate) fn spares(&self, context: &Context, run: &RunId, name: &str) -> bool {
        if !context.continues {
            return false;
        }
        let Some(Inscription { key, size, began }) = Inscription::read(context, run, name) else { return false };
        let is_young = Duration::from_secs(now().saturating_sub(began)) < CONTINUED_FOR;
        let segments = if is_young { segments(context, run, name) } else { Vec::new() };
        if segments.iter().map(|it| it.bytes).sum::<u64>() < CONTINUED_FROM {
            return false;
        }
        let found = UnfinishedObject { run: run.clone(), name: name.to_owned(), size, segments };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two with one key, one is enough.
        let is_known = |it: &UnfinishedObject| it.run != found.run || it.name != found.name;
        if all.get(&key).is_some_and(is_known) {
            return false;
        }
        all.insert(key, found);
        true
    }
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |it| it.as_secs())
}

/// Those that are there without a gap.
fn segments(context: &Context, run: &RunId, name: &str) -> Vec<ListedObject> {
    let folder = folder(&run.0, name);
    let number = |n: usize| format!("{folder}{n:08}");
    let rows = container::rows(&context.client, &context.segments(), (&number(1), &number(MOST)), MOST);
    let in_order = rows.unwrap_or_default().into_iter().enumerate();
    in_order.take_while(|(n, row)| row.name == number(n + 1)).map(|it| it.1).collect()
}
