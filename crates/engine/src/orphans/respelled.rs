//! Copies that the destination lists in another spelling than the ledger has: these are no orphans.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use dvb_ledger::EntryKind;
use dvb_model::ObjectKey;

use super::list::Found;
use super::{Failure, Orphan, OrphansOptions, OrphansSetup};
use crate::catalogue::spool::Spool;
use crate::copies::session::Connection;
use crate::copies::spelling::folded;

/// Copies that are looked at in one request.
const BATCH: usize = 1_000;

/// A set of names in a memory that does not grow: it may say yes by mistake, once in some thousands, and never no.
pub(super) struct Names(Vec<u64>);

impl Names {
    const BITS: u64 = 1 << 27;

    pub(super) fn new() -> Self {
        Self(vec![0; (Self::BITS / 64) as usize])
    }

    fn places(name: &str) -> [(usize, u64); 2] {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let hash = hasher.finish();
        [hash, hash.rotate_left(32)].map(|it| (((it % Self::BITS) / 64) as usize, 1 << (it % 64)))
    }

    pub(super) fn add(&mut self, name: &str) {
        for (word, bit) in Self::places(name) {
            self.0[word] |= bit;
        }
    }

    fn may_have(&self, name: &str) -> bool {
        Self::places(name).iter().all(|(word, bit)| self.0[*word] & bit != 0)
    }
}

/// Sizes of what lies at the ledger's keys, by their folded spelling.
type There = HashMap<String, Vec<u64>>;

/// Takes those copies from the list of orphans. A key of the ledger that was not listed, whose object is there all the same
/// when it is asked for, was listed under another spelling; where both are listed, they are two objects.
pub(super) fn leave_out(
    setup: &OrphansSetup<'_>,
    options: &OrphansOptions,
    connection: &mut Connection<'_>,
    found: &mut Found,
) -> Result<(), Failure> {
    let mut keys: Vec<ObjectKey> = Vec::new();
    for kind in [EntryKind::DataFile, EntryKind::Dataset] {
        for holding in setup.ledger.holdings(setup.destination, kind) {
            let copies = holding?.copies.into_iter().map(|it| it.key);
            keys.extend(
                copies.filter(|it| !found.listed.may_have(it.as_str()) && found.unknown.may_have(&folded(it.as_str()))),
            );
            if keys.len() >= options.held.max(1) {
                drop_them(options, &look(connection, &std::mem::take(&mut keys))?, found)?;
            }
            if !setup.stop.may_begin() {
                return Ok(());
            }
        }
    }
    drop_them(options, &look(connection, &keys)?, found)
}

fn look(connection: &mut Connection<'_>, keys: &[ObjectKey]) -> Result<There, Failure> {
    let mut there = There::new();
    for batch in keys.chunks(BATCH) {
        let answers = connection.with(|it| it.stat(batch))?;
        for (key, answer) in batch.iter().zip(answers) {
            // What cannot be looked at stays in the list.
            if let Ok(Some(existing)) = answer {
                there.entry(folded(key.as_str())).or_default().push(existing.size);
            }
        }
    }
    Ok(there)
}

fn drop_them(options: &OrphansOptions, there: &There, found: &mut Found) -> Result<(), Failure> {
    if there.is_empty() {
        return Ok(());
    }
    let failed = |it| options.spool_error(it);
    let mut left = Spool::create(&options.spool_folder).map_err(failed)?;
    found.count = 0;
    for orphan in found.orphans.read().map_err(failed)? {
        let orphan: Orphan = orphan.map_err(failed)?;
        if !there.get(&folded(&orphan.key)).is_some_and(|it| it.contains(&orphan.size)) {
            found.count += 1;
            left.push(&orphan).map_err(failed)?;
        }
    }
    found.orphans = left;
    Ok(())
}
