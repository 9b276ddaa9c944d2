//! What a purger must keep: it shows and deletes all that is held of a key, and nothing else.

use dvb_model::{ObjectKey, RunId};

use super::{Broken, ensure, key, lost, put, some_bytes};
use crate::{Held, HeldKind, Purger, Sink, SinkError};

/// Deleting may bring forward what a destination keeps of what was deleted.
const ROUNDS: usize = 5;

fn failed(error: SinkError) -> Broken {
    format!("the purger failed: {}", error.chain())
}

fn names(held: &[Held]) -> Vec<&str> {
    held.iter().map(|it| it.name.as_str()).collect()
}

/// Deletes all that is held of a key, one thing after the other, listing anew after each as after a crash.
fn delete_all(purger: &mut dyn Purger, of: &ObjectKey) -> Result<(), Broken> {
    let first = purger.held(of).map_err(failed)?;
    for _ in 0..ROUNDS * first.len().max(1) {
        let held = purger.held(of).map_err(failed)?;
        let Some(next) = held.first() else { return Ok(()) };
        purger.delete(next).map_err(failed)?;
        purger.delete(next).map_err(|it| format!("what is gone can be deleted again: {}", it.chain()))?;
        let after = purger.held(of).map_err(failed)?;
        ensure(!after.contains(next), &format!("what was deleted is not held any more: {next:?}"))?;
    }
    Err(format!("deleting comes to an end: {:?}", purger.held(of)))
}

/// The promises of [`Purger`], at a destination that `sink` writes to: `large` bytes make an object that it stores in
/// parts, where it does that. Uses keys below `directory`, which must be free.
///
/// # Errors
/// The first promise that is broken.
pub fn purged(sink: &dyn Sink, purger: &mut dyn Purger, directory: &str, large: usize) -> Result<(), Broken> {
    let run = RunId("20000101T000000Z-purged".to_owned());
    let mut session = sink.connect(&run).map_err(lost)?;
    let session = session.as_mut();
    let main = key(&format!("{directory}/PURGED/18f3-ä b+c%20"))?;
    let beside: Vec<ObjectKey> = [".orig", ".v2", ".id7", "4"]
        .map(|it| key(&format!("{main}{it}")))
        .into_iter()
        .chain([key(&format!("{directory}/PURGED2/18f3-ä b+c%20")), key(&format!("{directory}/PURGED/18f3"))])
        .collect::<Result<_, _>>()?;
    ensure(purger.held(&main).map_err(failed)?.is_empty(), "nothing is held of a key that was never used")?;

    // One copy was set aside as damaged, by another run than this; one of another data file too.
    let other_run = RunId("19990101T000000Z-damaged".to_owned());
    let aside = |of: &ObjectKey| of.set_aside(&other_run).map_err(|it| it.to_string());
    let store = |session: &mut dyn crate::SinkSession, at: &ObjectKey, bytes: &[u8]| {
        put(session, at, bytes, false)?.map_err(|it| format!("cannot store {at}: {it:?}"))
    };
    for (n, of) in [&main, &beside[0]].into_iter().enumerate() {
        store(session, of, &some_bytes(90 + n as u64, large))?;
        session.rename(of, &aside(of)?).map_err(lost)?;
    }
    store(session, &main, &some_bytes(1, large))?;
    for (n, of) in beside.iter().enumerate() {
        store(session, of, &some_bytes(2 + n as u64, 100 + n))?;
    }

    let held = purger.held(&main).map_err(failed)?;
    let found = names(&held);
    for wanted in [&main, &aside(&main)?] {
        ensure(found.contains(&wanted.as_str()), &format!("{wanted} is held: {found:?}"))?;
    }
    ensure(
        beside.iter().all(|it| !found.contains(&it.as_str())) && !found.contains(&aside(&beside[0])?.as_str()),
        &format!("nothing of another key is held: {found:?}"),
    )?;
    let bytes: u64 = held.iter().filter(|it| it.kind != HeldKind::Manifest).map(|it| it.size).sum();
    ensure(bytes >= 2 * large as u64, &format!("all bytes of both are shown, not {bytes}: {held:?}"))?;
    ensure(held.iter().all(|it| it.lock.is_none()), "nothing is locked")?;

    // A copy of one key alone, as it lies among the damaged ones, can be asked for by its own key.
    let own = purger.held(&aside(&main)?).map_err(failed)?;
    ensure(names(&own).contains(&aside(&main)?.as_str()), "the backup's own keys are keys like others")?;

    // What the backup keeps for itself is shown by the beginnings of names, at any depth.
    let mut of_its_own = purger.own_keys("damaged/19990101").map_err(failed)?;
    of_its_own.sort_unstable();
    ensure(
        of_its_own == [aside(&main)?, aside(&beside[0])?],
        &format!("all of the backup's own that begins so is shown, and nothing else: {of_its_own:?}"),
    )?;
    ensure(purger.own_keys("damaged/2").map_err(failed)?.is_empty(), "nothing else of its own is shown")?;

    delete_all(purger, &main)?;
    ensure(purger.held(&main).map_err(failed)?.is_empty(), "nothing is left")?;
    let gone = session.stat(&[main.clone(), aside(&main)?]).map_err(lost)?;
    ensure(gone.iter().all(|it| matches!(it, Ok(None))), &format!("nothing of it shows: {gone:?}"))?;
    let measured = session.measure(&beside, &[]).map_err(lost)?;
    for (n, (of, measured)) in beside.iter().zip(measured).enumerate() {
        let expected = dvb_fixity::Measured::of(&some_bytes(2 + n as u64, 100 + n), &[]);
        let stays = measured.as_ref().is_ok_and(|it| it.size == expected.size && it.digests == expected.digests);
        ensure(stays, &format!("{of} stays as it is: {measured:?}"))?;
    }
    let set_aside = session.measure(&[aside(&beside[0])?], &[]).map_err(lost)?.remove(0);
    ensure(set_aside.is_ok_and(|it| it.size == large as u64), "what was set aside of another key stays")?;
    for of in &beside {
        delete_all(purger, of)?;
    }
    // The key is free again.
    store(session, &main, b"again")?;
    delete_all(purger, &main)
}
