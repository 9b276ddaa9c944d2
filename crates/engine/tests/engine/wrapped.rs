//! A store or a destination with something between it and the engine. What a test does not change goes through.

use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use dvb_engine::Access;
use dvb_fixity::{Algorithm, Evidence, Measured, Proved};
use dvb_model::{DriverId, ObjectKey, RunId};
use dvb_storage::{
    Cause, CommitRequest, Existing, Listed, Listing, Location, Room, Shelf, Sighting, Sink, SinkError, SinkSession,
    Source, SourceError, StageRequest, Staged, StoredObject, Trace, Unstaged,
};

use crate::bench::Bench;

/// What is asked of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Connect,
    Stage,
    Commit,
    Discard,
    Stat,
    Measure,
    Rename,
    Open,
    List,
    RemoveOwn,
    Sweep,
}

/// What a test does to the sessions with a destination.
pub(crate) trait WrapSession: Send + Sync + 'static {
    /// Does the work, or fails in its place, or afterwards.
    fn around<T>(&self, _: Call, work: impl FnOnce() -> Result<T, SinkError>) -> Result<T, SinkError> {
        work()
    }

    fn measure(
        &self,
        session: &mut dyn SinkSession,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        session.measure(keys, wanted)
    }

    fn list(
        &self,
        session: &mut dyn SinkSession,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        session.list(which, visit)
    }

    fn sweep(&self, session: &mut dyn SinkSession, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        session.sweep(is_dead)
    }
}

/// A destination whose sessions are wrapped.
pub(crate) struct WrappedSink<'a, W> {
    inner: &'a dyn Sink,
    by: Arc<W>,
}

pub(crate) fn wrapped<'a, W>(inner: &'a dyn Sink, by: &Arc<W>) -> WrappedSink<'a, W> {
    WrappedSink { inner, by: Arc::clone(by) }
}

impl<W: WrapSession> Sink for WrappedSink<'_, W> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn method(&self) -> &'static str {
        self.inner.method()
    }

    fn notes(&self) -> Vec<String> {
        self.inner.notes()
    }

    fn room(&self) -> Result<Option<Room>, SinkError> {
        self.inner.room()
    }

    fn make(&self) -> Result<(), SinkError> {
        self.inner.make()
    }

    fn unmake(&self) -> Result<(), SinkError> {
        self.inner.unmake()
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        let inner = self.by.around(Call::Connect, || self.inner.connect(run))?;
        Ok(Box::new(WrappedSession { inner, by: Arc::clone(&self.by) }))
    }

    fn interrupt(&self) {
        self.inner.interrupt();
    }
}

struct WrappedSession<W> {
    inner: Box<dyn SinkSession>,
    by: Arc<W>,
}

/// `list_own` is left to `list`, and small objects are not read ahead: each of them is asked for by itself.
impl<W: WrapSession> SinkSession for WrappedSession<W> {
    fn algorithms(&self) -> &[Algorithm] {
        self.inner.algorithms()
    }

    fn evidence(&self) -> Evidence {
        self.inner.evidence()
    }

    fn measure_evidence(&self) -> Evidence {
        self.inner.measure_evidence()
    }

    fn root(&self) -> Option<String> {
        self.inner.root()
    }

    fn stage(&mut self, batch: Vec<StageRequest>) -> Result<Vec<Result<Staged, Unstaged>>, SinkError> {
        self.by.around(Call::Stage, || self.inner.stage(batch))
    }

    fn spared(&self) -> u64 {
        self.inner.spared()
    }

    fn commit(&mut self, batch: Vec<CommitRequest>) -> Result<Vec<Result<Proved, Unstaged>>, SinkError> {
        self.by.around(Call::Commit, || self.inner.commit(batch))
    }

    fn discard(&mut self, batch: Vec<Staged>) -> Result<(), SinkError> {
        self.by.around(Call::Discard, || self.inner.discard(batch))
    }

    fn stat(&mut self, keys: &[ObjectKey]) -> Result<Vec<Result<Option<Existing>, SinkError>>, SinkError> {
        self.by.around(Call::Stat, || self.inner.stat(keys))
    }

    fn measure(
        &mut self,
        keys: &[ObjectKey],
        wanted: &[Algorithm],
    ) -> Result<Vec<Result<Measured, SinkError>>, SinkError> {
        self.by.around(Call::Measure, || self.by.measure(self.inner.as_mut(), keys, wanted))
    }

    fn rename(&mut self, from: &ObjectKey, to: &ObjectKey) -> Result<(), SinkError> {
        self.by.around(Call::Rename, || self.inner.rename(from, to))
    }

    fn open<'a>(&'a mut self, key: &ObjectKey) -> Result<Box<dyn Read + Send + 'a>, SinkError> {
        self.by.around(Call::Open, || self.inner.open(key))
    }

    fn list(
        &mut self,
        which: Listing<'_>,
        visit: &mut dyn FnMut(Result<Listed, SinkError>) -> ControlFlow<()>,
    ) -> Result<(), SinkError> {
        self.by.around(Call::List, || self.by.list(self.inner.as_mut(), which, visit))
    }

    fn remove_own(&mut self, key: &ObjectKey) -> Result<(), SinkError> {
        self.by.around(Call::RemoveOwn, || self.inner.remove_own(key))
    }

    fn sweep(&mut self, is_dead: &dyn Fn(&RunId) -> bool) -> Result<u64, SinkError> {
        self.by.around(Call::Sweep, || self.by.sweep(self.inner.as_mut(), is_dead))
    }
}

/// A destination where something happens whenever a session was asked for: a run has read its catalogue by then.
pub(crate) struct OnConnect<'a> {
    pub(crate) inner: &'a dyn Sink,
    pub(crate) happens: &'a (dyn Fn() + Sync),
}

impl Sink for OnConnect<'_> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn method(&self) -> &'static str {
        self.inner.method()
    }

    fn make(&self) -> Result<(), SinkError> {
        self.inner.make()
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        let session = self.inner.connect(run);
        (self.happens)();
        session
    }
}

/// What a test does to a store.
pub(crate) trait WrapSource: Send + Sync + 'static {
    /// Asked before an object is looked at or opened, and with `None` before the store itself is tried.
    fn before(&self, _: Option<&Location>) -> Result<(), SourceError> {
        Ok(())
    }

    fn notes(&self, store: &dyn Source) -> Vec<String> {
        store.notes()
    }

    fn open(&self, store: &dyn Source, at: &Location) -> Result<StoredObject, SourceError> {
        store.open(at)
    }

    fn sizes(
        &self,
        store: &dyn Source,
        folder: &str,
        wanted: &mut HashMap<String, Option<u64>>,
    ) -> Result<(), SourceError> {
        store.sizes(folder, wanted)
    }

    fn interrupt(&self, store: &dyn Source) {
        store.interrupt();
    }
}

struct WrappedSource<W> {
    inner: Arc<dyn Source>,
    by: W,
}

impl<W: WrapSource> Source for WrappedSource<W> {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn place(&self, at: &Location) -> String {
        self.inner.place(at)
    }

    fn notes(&self) -> Vec<String> {
        self.by.notes(self.inner.as_ref())
    }

    fn open(&self, at: &Location) -> Result<StoredObject, SourceError> {
        self.by.before(Some(at))?;
        self.by.open(self.inner.as_ref(), at)
    }

    fn size(&self, at: &Location) -> Result<Option<u64>, SourceError> {
        self.by.before(Some(at))?;
        self.inner.size(at)
    }

    fn shelf(&self, at: &Location) -> Option<Shelf> {
        self.inner.shelf(at)
    }

    fn sizes(&self, folder: &str, wanted: &mut HashMap<String, Option<u64>>) -> Result<(), SourceError> {
        self.by.sizes(self.inner.as_ref(), folder, wanted)
    }

    fn members(&self, at: &Location) -> Result<Option<Vec<String>>, SourceError> {
        self.by.before(Some(at))?;
        self.inner.members(at)
    }

    fn look_for(&self, trace: &Trace<'_>) -> Result<Sighting, SourceError> {
        self.inner.look_for(trace)
    }

    fn check(&self) -> Result<(), SourceError> {
        self.by.before(None)?;
        self.inner.check()
    }

    fn interrupt(&self) {
        self.by.interrupt(self.inner.as_ref());
    }
}

/// A store that answers nothing, or only that it is there.
pub(crate) struct Away {
    pub(crate) cause: Cause,
    pub(crate) is_there: bool,
}

impl Away {
    fn error<T>(&self) -> Result<T, SourceError> {
        Err(SourceError::new(self.cause, "injected"))
    }
}

impl Source for Away {
    fn describe(&self) -> String {
        "away".into()
    }

    fn open(&self, _: &Location) -> Result<StoredObject, SourceError> {
        self.error()
    }

    fn size(&self, _: &Location) -> Result<Option<u64>, SourceError> {
        self.error()
    }

    fn members(&self, _: &Location) -> Result<Option<Vec<String>>, SourceError> {
        self.error()
    }

    fn check(&self) -> Result<(), SourceError> {
        if self.is_there { Ok(()) } else { self.error() }
    }
}

impl Bench {
    /// Reaches the store `file` in another way from now on; gives the way before.
    pub(crate) fn set_access(&mut self, access: Access) -> Access {
        let store = self.stores.by_id.get_mut(&DriverId("file".into())).unwrap();
        std::mem::replace(&mut store.access, access)
    }

    /// Wraps the store `file`; gives it as it was.
    pub(crate) fn wrap_store(&mut self, by: impl WrapSource) -> Arc<dyn Source> {
        let Access::Readable(inner) = self.stores.by_id[&DriverId("file".into())].access.clone() else {
            panic!("it is readable")
        };
        self.set_access(Access::Readable(Arc::new(WrappedSource { inner: Arc::clone(&inner), by })));
        inner
    }
}
