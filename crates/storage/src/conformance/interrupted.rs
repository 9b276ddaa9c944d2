//! What a source and a sink must keep whose server has stopped to answer, when they are interrupted.

use std::io::{self, Read as _};
use std::thread;
use std::time::{Duration, Instant};

use dvb_model::{ObjectKey, RunId};

use super::{Broken, ensure, lost};
use crate::{Cause, Location, Sink, Source};

/// How long somebody waits before he is interrupted, and how long that may take.
const BEFORE: Duration = Duration::from_millis(500);
const AFTER: Duration = Duration::from_secs(5);

/// Does `work` on a thread of its own, and interrupts it; what came of it, where it ended in time.
fn interrupted<T: Send>(work: impl FnOnce() -> T + Send, interrupt: impl FnOnce()) -> Result<T, Broken> {
    thread::scope(|scope| {
        let working = scope.spawn(work);
        thread::sleep(BEFORE);
        ensure(!working.is_finished(), "whoever waits for a server that does not answer waits")?;
        let began = Instant::now();
        interrupt();
        ensure(began.elapsed() < AFTER / 5, "to interrupt returns at once")?;
        while !working.is_finished() && began.elapsed() < AFTER {
            thread::sleep(Duration::from_millis(20));
        }
        // Else this waits for ever, and the test's own limit tells.
        ensure(working.is_finished(), "whoever waits ends when he is interrupted")?;
        working.join().map_err(|_| "whoever waited broke down".to_owned())
    })
}

/// The promise of [`Source::interrupt`]: `at` is an object of many megabytes, and `hang` lets its server answer no more.
///
/// # Errors
/// The first promise that is broken.
pub fn interrupted_source(source: &dyn Source, at: &Location, hang: impl FnOnce()) -> Result<(), Broken> {
    let mut object = source.open(at).map_err(|it| it.chain())?;
    object.body.read_exact(&mut [0; 1000]).map_err(|it| it.to_string())?;
    hang();
    let size = object.size;
    let read = interrupted(move || io::copy(&mut object.body, &mut io::sink()), || source.interrupt())?;
    ensure(read.is_err(), &format!("reading that is interrupted fails: {read:?} of {size}"))?;
    let began = Instant::now();
    let later = source.open(at).map(|it| it.size);
    ensure(
        matches!(&later, Err(error) if error.cause == Cause::Unavailable) && began.elapsed() < AFTER,
        &format!("whoever comes later fails at once: {later:?}"),
    )
}

/// The promise of [`Sink::interrupt`]: `hang` lets the destination answer no more.
///
/// # Errors
/// The first promise that is broken.
pub fn interrupted_sink(sink: &dyn Sink, hang: impl FnOnce()) -> Result<(), Broken> {
    let run = RunId("20000120T000000Z-interrupted".to_owned());
    let keys = [ObjectKey::new("interrupted/none").map_err(|it| it.to_string())?];
    let mut session = sink.connect(&run).map_err(lost)?;
    session.stat(&keys).map_err(lost)?;
    hang();
    let looked = interrupted(|| session.stat(&keys), || sink.interrupt())?;
    ensure(
        matches!(&looked, Err(error) if error.cause == Cause::Unavailable),
        &format!("a session that is interrupted fails as a whole: {looked:?}"),
    )?;
    let began = Instant::now();
    ensure(session.stat(&keys).is_err(), "so do its later calls")?;
    let later = sink.connect(&run).map(|_| ());
    ensure(
        matches!(&later, Err(error) if error.cause == Cause::Unavailable) && began.elapsed() < AFTER,
        &format!("whoever comes later fails at once: {later:?}"),
    )
}
