//! What every source, sink and target must keep, as suites that each implementation runs against a real server.
//!
//! The functions return the first promise that is broken as text, so that they serve tests without being one.

mod continued;
mod interrupted;
mod purged;
mod target;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::ops::ControlFlow;

use dvb_fixity::{Algorithm, Measured};
use dvb_model::{ObjectKey, RunId};

use crate::{
    Cause, CommitRequest, InMemory, Listed, Listing, Location, ObjectAddress, Payload, PayloadError, Shelf, Sink,
    SinkSession, Source, SourceError, StageRequest, Staged, Unstaged,
};

pub use continued::continued;
pub use interrupted::{interrupted_sink, interrupted_source};
pub use purged::purged;
pub use target::{Seen, target};

/// A broken promise, or the way to it barred.
pub type Broken = String;

/// Bytes at hand as a payload, which can be told to fail.
pub struct Bytes {
    bytes: InMemory,
    end: End,
}

/// How a payload of [`Bytes`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With its last byte.
    Whole,
    /// With a read error after its last byte.
    ReadError,
    /// It cannot even be opened.
    OpenError,
}

impl Bytes {
    /// A payload of these bytes, hashed by `algorithms` (and SHA-256).
    #[must_use]
    pub fn new(bytes: Vec<u8>, algorithms: &[Algorithm], end: End) -> Self {
        Self { bytes: InMemory::new(bytes, algorithms), end }
    }
}

impl Payload for Bytes {
    fn size_hint(&self) -> u64 {
        self.bytes.size_hint()
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        match self.end {
            End::OpenError => Err(SourceError::new(Cause::Missing, "no such object").into()),
            End::Whole | End::ReadError => Ok(()),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        let n = self.bytes.read(buffer)?;
        if n == 0 && self.end == End::ReadError {
            return Err(SourceError::new(Cause::Io, "read error").into());
        }
        Ok(n)
    }

    fn finish(self: Box<Self>) -> Measured {
        Box::new(self.bytes).finish()
    }
}

/// Bytes that differ for each `seed`, the same each time.
#[must_use]
pub fn some_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn ensure(holds: bool, promise: &str) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(promise.to_owned()) }
}

fn key(text: &str) -> Result<ObjectKey, Broken> {
    ObjectKey::new(text).map_err(|it| it.to_string())
}

fn lost(error: crate::SinkError) -> Broken {
    format!("the session was lost: {}", error.chain())
}

fn stage(
    session: &mut dyn SinkSession,
    batch: Vec<(ObjectKey, Vec<u8>, End)>,
) -> Result<Vec<Result<Staged, Unstaged>>, Broken> {
    let algorithms = session.algorithms().to_vec();
    let requests = batch
        .into_iter()
        .map(|(key, bytes, end)| StageRequest { key, payload: Box::new(Bytes::new(bytes, &algorithms, end)) })
        .collect();
    session.stage(requests).map_err(lost)
}

fn put(
    session: &mut dyn SinkSession,
    key: &ObjectKey,
    bytes: &[u8],
    replace: bool,
) -> Result<Result<(), Unstaged>, Broken> {
    let staged = stage(session, vec![(key.clone(), bytes.to_vec(), End::Whole)])?
        .remove(0)
        .map_err(|it| format!("staging {key} failed: {it}"))?;
    let committed = session.commit(vec![CommitRequest { staged, replace }]).map_err(lost)?.remove(0);
    Ok(committed.map(|_| ()))
}

fn get(session: &mut dyn SinkSession, key: &ObjectKey) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    let mut body = session.open(key).map_err(lost)?;
    body.read_to_end(&mut bytes).map_err(|it| format!("reading {key} back failed: {it}"))?;
    Ok(bytes)
}

fn shows(session: &mut dyn SinkSession, key: &ObjectKey) -> Result<Option<u64>, Broken> {
    let found = session.stat(std::slice::from_ref(key)).map_err(lost)?.remove(0);
    found.map(|there| there.map(|it| it.size)).map_err(|error| error.chain())
}

/// The promises of [`Sink`] and [`SinkSession`], at a destination that holds nothing below `prefix` yet.
///
/// # Errors
/// The first promise that is broken.
pub fn sink(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    let run = RunId("20000101T000000Z-conformance".to_owned());
    let mut session = match sink.connect(&run) {
        Err(error) if error.cause == Cause::Absent => {
            let again = sink.connect(&run).map(drop).map_err(|it| it.cause);
            ensure(again == Err(Cause::Absent), "connecting does not make the place itself")?;
            sink.make().map_err(lost)?;
            sink.connect(&run).map_err(lost)?
        }
        connected => connected.map_err(lost)?,
    };
    let session = session.as_mut();
    a_batch_shows_whole_after_commit(session, prefix)?;
    nothing_is_replaced_unasked(session, prefix)?;
    a_failing_payload_harms_no_other(session, prefix)?;
    large_objects_arrive(session, prefix)?;
    what_is_expected_is_read_as_it_is(session, prefix)?;
    renaming_keeps_the_bytes(session, prefix)?;
    only_own_objects_can_be_removed(session, prefix)?;
    own_objects_are_listed(session, prefix)?;
    copies_are_listed(session, prefix)?;
    dead_runs_are_swept(sink, prefix)
}

/// Those of the same promises that an account can keep which may store and rename, and remove nothing.
///
/// # Errors
/// The first promise that is broken.
pub fn append_only(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    let run = RunId("20000101T000000Z-conformance".to_owned());
    let mut session = sink.connect(&run).map_err(lost)?;
    let session = session.as_mut();
    a_batch_shows_whole_after_commit(session, prefix)?;
    a_failing_payload_harms_no_other(session, prefix)?;
    large_objects_arrive(session, prefix)?;
    renaming_keeps_the_bytes(session, prefix)
}

fn a_batch_shows_whole_after_commit(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let names =
        ["a", "b/c/d", "with blank", "quo'te\"", "$(touch x);`y`", "back\\slash", "-dash", "ünï", "*?[", "a.orig"];
    let mut batch = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let size = [0, 1, 4096, 70_000][n % 4];
        batch.push((key(&format!("{prefix}/batch/{name}"))?, some_bytes(n as u64, size), End::Whole));
    }
    let keys: Vec<ObjectKey> = batch.iter().map(|it| it.0.clone()).collect();
    let bytes: Vec<Vec<u8>> = batch.iter().map(|it| it.1.clone()).collect();
    let mut commits = Vec::new();
    for (n, staged) in stage(session, batch)?.into_iter().enumerate() {
        let staged = staged.map_err(|it| format!("staging {} failed: {it}", keys[n]))?;
        ensure(staged.key == keys[n], "the n-th answer of stage belongs to the n-th request")?;
        ensure(staged.measured.size == bytes[n].len() as u64, "a staged object has the size that was read")?;
        ensure(shows(session, &keys[n])?.is_none(), "nothing shows at a key after stage")?;
        commits.push(CommitRequest { staged, replace: false });
    }
    for (n, proved) in session.commit(commits).map_err(lost)?.into_iter().enumerate() {
        let proved = proved.map_err(|it| format!("committing {} failed: {it}", keys[n]))?;
        ensure(proved.evidence() == session.evidence(), "a proof is by the session's evidence")?;
        ensure(shows(session, &keys[n])? == Some(bytes[n].len() as u64), "a committed object has its size")?;
        ensure(get(session, &keys[n])? == bytes[n], "a committed object has its bytes")?;
    }
    let wanted = [Algorithm::Md5, Algorithm::Sha1];
    for (n, measured) in session.measure(&keys, &wanted).map_err(lost)?.into_iter().enumerate() {
        let measured = measured.map_err(|it| format!("measuring {} failed: {}", keys[n], it.chain()))?;
        let expected = Measured::of(&bytes[n], &wanted);
        ensure(measured.size == expected.size, "measure tells the size")?;
        for digest in &expected.digests {
            ensure(measured.matches(digest) == Some(true), "measure tells every digest wanted, and SHA-256")?;
        }
    }
    let missing = session.measure(&[key(&format!("{prefix}/batch/none"))?], &[]).map_err(lost)?.remove(0);
    ensure(
        matches!(missing, Err(it) if it.cause == Cause::Missing),
        "measuring an object that is not there fails as Missing",
    )
}

fn nothing_is_replaced_unasked(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let at = key(&format!("{prefix}/kept"))?;
    let (first, second) = (some_bytes(1, 5000), some_bytes(2, 6000));
    put(session, &at, &first, false)?.map_err(|it| it.to_string())?;
    let again = put(session, &at, &second, false)?;
    ensure(
        matches!(again, Err(Unstaged::Sink(it)) if it.cause == Cause::Exists),
        "without replace, a taken key fails as Exists",
    )?;
    ensure(get(session, &at)? == first, "without replace, what lay there stays")?;
    put(session, &at, &second, true)?.map_err(|it| it.to_string())?;
    ensure(get(session, &at)? == second, "with replace, the new bytes are there")?;
    let staged = stage(session, vec![(key(&format!("{prefix}/dropped"))?, first, End::Whole)])?
        .remove(0)
        .map_err(|it| it.to_string())?;
    let at = staged.key.clone();
    session.discard(vec![staged]).map_err(lost)?;
    ensure(shows(session, &at)?.is_none(), "a discarded object never shows")
}

fn a_failing_payload_harms_no_other(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let at = |n: usize| key(&format!("{prefix}/mixed/{n}"));
    let ends = [End::Whole, End::OpenError, End::ReadError, End::Whole];
    let mut batch = Vec::new();
    for (n, end) in ends.into_iter().enumerate() {
        batch.push((at(n)?, some_bytes(n as u64, 10_000), end));
    }
    for (n, staged) in stage(session, batch)?.into_iter().enumerate() {
        match (ends[n], staged) {
            (End::Whole, Ok(staged)) => {
                let mut answers = session.commit(vec![CommitRequest { staged, replace: false }]).map_err(lost)?;
                answers.remove(0).map_err(|it| it.to_string())?;
                ensure(get(session, &at(n)?)? == some_bytes(n as u64, 10_000), "a failing object harms no other")?;
            }
            (End::OpenError | End::ReadError, Err(Unstaged::Payload(_))) => {
                ensure(shows(session, &at(n)?)?.is_none(), "a failing payload leaves nothing at its key")?;
            }
            (end, answer) => return Err(format!("a payload that ends by {end:?} gave {answer:?}")),
        }
    }
    Ok(())
}

fn large_objects_arrive(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let at = key(&format!("{prefix}/large"))?;
    let bytes = some_bytes(9, 9 * 1024 * 1024 + 17);
    put(session, &at, &bytes, false)?.map_err(|it| it.to_string())?;
    ensure(get(session, &at)? == bytes, "a large object has its bytes")
}

fn what_is_expected_is_read_as_it_is(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let bytes = |n: usize| some_bytes(n as u64, [0, 1, 4096, 65_536, 65_537, 300_000][n % 6]);
    let mut next = Vec::new();
    for n in 0..12 {
        let key = key(&format!("{prefix}/expected/{n}"))?;
        put(session, &key, &bytes(n), false)?.map_err(|it| format!("storing {key} failed: {it}"))?;
        next.push((key, bytes(n).len() as u64));
    }
    let gone = (key(&format!("{prefix}/expected/gone"))?, 4096);
    next.insert(3, gone.clone());
    // What is on record need not be what lies there.
    next[5].1 = 7;
    let mut told = 0;
    for (at, (key, _)) in next.iter().enumerate() {
        if at >= told {
            told = at + session.expect(&next[at..]).map_err(lost)?.max(1);
            ensure(told <= next.len(), "no more is told of than was asked for")?;
        }
        if *key == gone.0 {
            let cause = session.open(key).map(drop).map_err(|it| it.cause);
            ensure(cause == Err(Cause::Missing), "what is missing is told when it is opened")?;
        } else {
            let n = key.as_str().rsplit('/').next().and_then(|it| it.parse().ok()).unwrap_or(0);
            ensure(get(session, key)? == bytes(n), "what was expected is read as it is")?;
        }
    }
    // What was read before is not what is there now.
    let first = &next[..2];
    session.expect(first).map_err(lost)?;
    let (key, other) = (&first[1].0, some_bytes(77, 500));
    put(session, key, &other, true)?.map_err(|it| format!("replacing {key} failed: {it}"))?;
    ensure(get(session, key)? == other, "what was stored since is read")
}

fn renaming_keeps_the_bytes(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let (from, to) = (key(&format!("{prefix}/old name"))?, key(&format!("{prefix}/deep/new name"))?);
    let bytes = some_bytes(3, 100);
    put(session, &from, &bytes, false)?.map_err(|it| it.to_string())?;
    session.rename(&from, &to).map_err(lost)?;
    ensure(shows(session, &from)?.is_none(), "a renamed object leaves its old key")?;
    ensure(get(session, &to)? == bytes, "a renamed object keeps its bytes")?;
    put(session, &from, &some_bytes(4, 7), false)?.map_err(|it| it.to_string())?;
    let refused = session.rename(&from, &to);
    ensure(matches!(refused, Err(it) if it.cause == Cause::Exists), "renaming onto a taken key fails as Exists")?;
    ensure(get(session, &to)? == bytes, "renaming onto a taken key changes nothing")
}

fn only_own_objects_can_be_removed(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let (copy, own) = (key(&format!("{prefix}/kept"))?, ObjectKey::own("probe").map_err(|it| it.to_string())?);
    let refused = session.remove_own(&copy);
    ensure(matches!(refused, Err(it) if it.cause == Cause::Refused), "a copy cannot be removed")?;
    put(session, &own, b"probe", false)?.map_err(|it| it.to_string())?;
    session.remove_own(&own).map_err(lost)?;
    ensure(shows(session, &own)?.is_none(), "an own object can be removed")
}

fn own_objects_are_listed(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let names = ["listed-b.jsonl.zst", "listed-a.jsonl.zst", "listed-c", "other"];
    let own = |name: &str| ObjectKey::own(name).map_err(|it| it.to_string());
    let listed = |session: &mut dyn SinkSession, prefix: &str| {
        let mut names = session.list_own(prefix).map_err(lost)?;
        names.sort();
        Ok::<_, Broken>(names)
    };
    let nothing = listed(session, "listed-")?;
    ensure(nothing.is_empty(), "own objects that were not stored are not listed")?;
    for name in names {
        put(session, &own(name)?, name.as_bytes(), false)?.map_err(|it| it.to_string())?;
    }
    // A copy of that name, and a temporary, are none of the backup's own objects.
    put(session, &key(&format!("{prefix}/listed-copy"))?, b"copy", false)?.map_err(|it| it.to_string())?;
    let staged = stage(session, vec![(own("listed-d")?, some_bytes(6, 10), End::Whole)])?.remove(0);
    let found = listed(session, "listed-")?;
    ensure(
        found == ["listed-a.jsonl.zst", "listed-b.jsonl.zst", "listed-c"],
        "own objects are listed by their prefix",
    )?;
    ensure(listed(session, "none")?.is_empty(), "no own object of another prefix is listed")?;
    let all = listed(session, "")?;
    ensure(all.iter().any(|it| it == "other") && !all.iter().any(|it| it == "tmp"), "folders are not listed")?;
    session.discard(vec![staged.map_err(|it| it.to_string())?]).map_err(lost)?;
    for name in names {
        session.remove_own(&own(name)?).map_err(lost)?;
    }
    ensure(listed(session, "listed-")?.is_empty(), "what was removed is not listed any more")
}

fn copies_are_listed(session: &mut dyn SinkSession, prefix: &str) -> Result<(), Broken> {
    let below = format!("{prefix}/listed/");
    // Without a backslash: SeaweedFS lists it as a slash.
    let names = ["one", "deep/er/two", "deep/with blank", "ünï", "*?[", "quo'te\"", ".hidden/x"];
    let mut expected: BTreeMap<String, u64> =
        names.iter().enumerate().map(|(n, it)| (format!("{below}{it}"), n as u64)).collect();
    expected.extend((0..150).map(|n| (format!("{below}many/{n:03}"), n)));
    expected.extend((0..40).map(|n| (format!("{below}wide/{n}/x"), n)));
    for batch in expected.iter().collect::<Vec<_>>().chunks(40) {
        let bytes = |size: u64| some_bytes(size, usize::try_from(size).unwrap_or_default());
        let batch: Result<Vec<_>, Broken> =
            batch.iter().map(|(name, size)| Ok((key(name)?, bytes(**size), End::Whole))).collect();
        let mut commits = Vec::new();
        for staged in stage(session, batch?)? {
            commits.push(CommitRequest { staged: staged.map_err(|it| it.to_string())?, replace: false });
        }
        for done in session.commit(commits).map_err(lost)? {
            done.map_err(|it| it.to_string())?;
        }
    }
    let own = ObjectKey::own("listed").map_err(|it| it.to_string())?;
    put(session, &own, b"own", false)?.map_err(|it| it.to_string())?;
    let staged = stage(session, vec![(key(&format!("{below}staged"))?, some_bytes(6, 10), End::Whole)])?.remove(0);
    let (mut found, mut own_ones, mut twice, mut failure) = (BTreeMap::new(), 0, 0, None);
    let mut visit = |listed: Result<Listed, crate::SinkError>| {
        match listed {
            Ok(it) if it.name.starts_with(".dataverse-backup/") => own_ones += 1,
            Ok(it) if it.name.starts_with(&below) => twice += u32::from(found.insert(it.name, it.size).is_some()),
            Ok(_) => {}
            Err(error) => failure = Some(error.chain()),
        }
        ControlFlow::Continue(())
    };
    session.list(Listing::Copies, &mut visit).map_err(lost)?;
    ensure(failure.is_none(), "everything can be listed")?;
    let differ = |it: &(&String, &u64), other: &BTreeMap<String, u64>| other.get(it.0) != Some(it.1);
    let lacking: Vec<_> = expected.iter().filter(|it| differ(it, &found)).take(5).collect();
    let too_many: Vec<_> = found.iter().filter(|it| differ(it, &expected)).take(5).collect();
    ensure(
        lacking.is_empty() && too_many.is_empty(),
        &format!(
            "every copy is listed with its size, whatever its name, and no temporary; lacking: {lacking:?}, too many: {too_many:?}"
        ),
    )?;
    ensure(own_ones == 0, "the backup's own objects are no copies")?;
    ensure(twice == 0, "no copy is listed twice")?;
    let mut seen = 0;
    let stop = &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    };
    session.list(Listing::Copies, stop).map_err(lost)?;
    ensure(seen == 1, "a listing ends where it is broken off")?;
    session.discard(vec![staged.map_err(|it| it.to_string())?]).map_err(lost)?;
    session.remove_own(&own).map_err(lost)?;
    ensure(shows(session, &key(&format!("{below}one"))?)?.is_some(), "after a listing the session is well")
}

fn dead_runs_are_swept(sink: &dyn Sink, prefix: &str) -> Result<(), Broken> {
    let (dead, live) = (RunId("20000102T000000Z-dead".to_owned()), RunId("20000103T000000Z-live".to_owned()));
    let mut staged = Vec::new();
    for run in [&dead, &live] {
        let mut session = sink.connect(run).map_err(lost)?;
        let at = key(&format!("{prefix}/of {run}"))?;
        let answer = stage(session.as_mut(), vec![(at, some_bytes(5, 300_000), End::Whole)])?.remove(0);
        staged.push((session, answer.map_err(|it| it.to_string())?));
    }
    let mut sweeper = sink.connect(&RunId("20000104T000000Z-sweeper".to_owned())).map_err(lost)?;
    let removed = sweeper.sweep(&|run| *run == dead).map_err(lost)?;
    ensure(removed == 1, "the temporary of a dead run is removed")?;
    let again = sweeper.sweep(&|run| *run == dead).map_err(lost)?;
    ensure(again == 0, "a second sweep finds nothing")?;
    let (mut session, of_live) = staged.pop().ok_or("two were staged")?;
    let at = of_live.key.clone();
    let commit = CommitRequest { staged: of_live, replace: false };
    session.commit(vec![commit]).map_err(lost)?.remove(0).map_err(|it| it.to_string())?;
    ensure(shows(session.as_mut(), &at)?.is_some(), "the temporary of a live run is left alone")
}

/// The promises of [`Source`]: `present` lists objects with their bytes, `absent` objects that are not there,
/// `refused` names that lead out of the store.
///
/// # Errors
/// The first promise that is broken.
pub fn source(
    source: &dyn Source,
    present: &[(Location, Vec<u8>)],
    absent: &[Location],
    refused: &[Location],
) -> Result<(), Broken> {
    source.check().map_err(|it| it.chain())?;
    for (at, bytes) in present {
        let mut object = source.open(at).map_err(|it| format!("opening {at:?} failed: {}", it.chain()))?;
        ensure(object.size == bytes.len() as u64, "an object has its size")?;
        let mut read = Vec::new();
        object.body.read_to_end(&mut read).map_err(|it| format!("reading {at:?} failed: {it}"))?;
        ensure(read == *bytes, "reading gives the bytes from the first to the last")?;
        let size = source.size(at).map_err(|it| it.chain())?;
        ensure(size == Some(bytes.len() as u64), "size tells the size")?;
    }
    for at in absent {
        ensure(matches!(source.open(at), Err(it) if it.cause == Cause::Missing), "an absent object fails as Missing")?;
        ensure(matches!(source.size(at), Ok(None)), "an absent object has no size")?;
    }
    listings_tell_the_sizes(source, present, absent)?;
    for at in refused {
        let answer = source.open(at);
        ensure(
            matches!(&answer, Err(it) if it.cause == Cause::Refused),
            &format!("{at:?} leads out of the store and must be refused, not {:?}", answer.map(|it| it.size)),
        )?;
    }
    Ok(())
}

/// Main objects alone have a shelf of their own; the rest stand beside them.
fn listings_tell_the_sizes(
    source: &dyn Source,
    present: &[(Location, Vec<u8>)],
    absent: &[Location],
) -> Result<(), Broken> {
    let mut folders: BTreeMap<String, HashMap<String, Option<u64>>> = BTreeMap::new();
    let mut enter = |at: &Location, size: Option<u64>| {
        if let (ObjectAddress::Main(_), Some(Shelf { folder, name })) = (&at.object, source.shelf(at)) {
            folders.entry(folder).or_default().insert(name, size);
        }
    };
    present.iter().for_each(|(at, bytes)| enter(at, Some(bytes.len() as u64)));
    absent.iter().for_each(|at| enter(at, None));
    for (folder, expected) in folders {
        let mut found: HashMap<_, _> = expected.keys().map(|it| (it.clone(), None)).collect();
        source.sizes(&folder, &mut found).map_err(|it| format!("listing {folder:?} failed: {}", it.chain()))?;
        ensure(found == expected, &format!("a listing tells the sizes {expected:?}, not {found:?}"))?;
    }
    Ok(())
}
