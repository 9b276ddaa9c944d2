//! A question that many sessions ask at the same time, asked by one of them for all.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::{Cause, SinkError};

/// What was found out about a destination, for all its sessions. At the begin of a run they all want to know the same;
/// whoever waits while another asks takes its answer, good or bad, and nobody takes one that is older than his question.
#[derive(Debug)]
pub struct SingleFlight<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    /// The last good answer.
    known: Option<T>,
    /// When somebody was answered last.
    when: Option<Instant>,
    /// What kind of failure that was, if it was one.
    failed: Option<(Cause, String)>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self(Mutex::new(State { known: None, when: None, failed: None }))
    }
}

impl<T: Clone> SingleFlight<T> {
    /// The answer of somebody who asked meanwhile, or of `ask`, which gets what was known before.
    ///
    /// # Errors
    /// That of `ask`, or its text where another asked.
    pub fn get(&self, ask: impl FnOnce(Option<&T>) -> Result<T, SinkError>) -> Result<T, SinkError> {
        let came = Instant::now();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.when.is_some_and(|it| it >= came) {
            match (&state.failed, &state.known) {
                (Some((cause, why)), _) => return Err(SinkError::new(*cause, why.clone())),
                (None, Some(known)) => return Ok(known.clone()),
                (None, None) => {}
            }
        }
        let answer = ask(state.known.as_ref());
        state.failed = answer.as_ref().err().map(|it| (it.cause, it.chain()));
        state.when = Some(Instant::now());
        if let Ok(found) = &answer {
            state.known = Some(found.clone());
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Eight ask together; how often it was asked, and the answers.
    fn eight(
        shared: &SingleFlight<u32>,
        answer: fn() -> Result<u32, SinkError>,
    ) -> (usize, Vec<Result<u32, SinkError>>) {
        let (asked, start) = (AtomicUsize::new(0), Barrier::new(8));
        let one = || {
            start.wait();
            shared.get(|_| {
                asked.fetch_add(1, Ordering::SeqCst);
                // Until all have come.
                thread::sleep(Duration::from_millis(300));
                answer()
            })
        };
        let answers = thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(one)).collect();
            all.into_iter().map(|it| it.join().unwrap()).collect()
        });
        (asked.into_inner(), answers)
    }

    #[test]
    fn one_asks_for_all_that_wait() {
        let shared = SingleFlight::default();
        let (asked, answers) = eight(&shared, || Ok(7));
        assert!(asked == 1 && answers.iter().all(|it| matches!(it, Ok(7))), "{asked} {answers:?}");
        let (asked, answers) = eight(&shared, || Err(SinkError::new(Cause::Forbidden, "no")));
        assert_eq!(asked, 1);
        assert!(answers.iter().all(|it| matches!(it, Err(it) if it.cause == Cause::Forbidden && it.attempt == "no")));
    }

    #[test]
    fn who_comes_later_asks_again_and_knows_what_was_found() {
        let shared = SingleFlight::default();
        assert_eq!(shared.get(|known| Ok(known.map_or(1, |it| it + 1))).unwrap(), 1);
        assert!(shared.get(|_| Err(SinkError::new(Cause::Unavailable, "gone"))).is_err());
        assert_eq!(shared.get(|known| Ok(known.map_or(1, |it| it + 1))).unwrap(), 2);
    }
}
