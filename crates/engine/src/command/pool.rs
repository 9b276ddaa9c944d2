//! The workers of a command. One that breaks down ends the command, and never keeps another one, or the command, waiting.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// How often progress is told, and how long a command outlasts its workers at most.
const TICK: Duration = Duration::from_millis(20);

/// Works with `jobs` threads until each has come to its end; gives what they leave.
///
/// A worker that breaks down leaves nothing: `broke` is told why at once, and is to make the others end. The calling
/// thread goes through `meanwhile`, which is handed whether anybody still works.
pub(crate) fn work<T: Send, R>(
    jobs: usize,
    worker: impl Fn() -> T + Sync,
    broke: impl Fn(String) + Sync,
    meanwhile: impl FnOnce(&dyn Fn() -> bool) -> R,
) -> (Vec<T>, R) {
    thread::scope(|scope| {
        let guarded = || guarded(&worker).map_err(&broke).ok();
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(guarded)).collect();
        let done = meanwhile(&|| !workers.iter().all(thread::ScopedJoinHandle::is_finished));
        let left = workers.into_iter().filter_map(|it| it.join().ok().flatten()).collect();
        (left, done)
    })
}

/// For [`work`]: shows progress, and does nothing else.
pub(crate) fn showing(show: impl Fn()) -> impl FnOnce(&dyn Fn() -> bool) {
    move |is_busy| {
        while is_busy() {
            thread::sleep(TICK);
            show();
        }
        show();
    }
}

/// Does one thing for each of `all`, all at the same time. One that breaks down does not touch the others.
pub(crate) fn each<A: Send, R: Send>(
    all: impl IntoIterator<Item = A>,
    work: impl Fn(A) -> R + Sync,
) -> Vec<Result<R, String>> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = all.into_iter().map(|it| scope.spawn(move || guarded(|| work(it)))).collect();
        threads.into_iter().map(|it| it.join().unwrap_or_else(|panic| Err(mistake(panic.as_ref())))).collect()
    })
}

/// Does something; where it breaks down, gives what is to be said of that.
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    // What a panic can leave behind halfway is behind locks, and whole numbers.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| mistake(panic.as_ref()))
}

/// A panic is a mistake in the program, whatever it was about.
fn mistake(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("internal error (please report): {}", text.unwrap_or("no message"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_that_breaks_down_is_told_of_while_the_others_work() {
        let (next, over) = (AtomicUsize::new(0), Mutex::new(None));
        let worker = || {
            let n = next.fetch_add(1, Ordering::Relaxed);
            assert_ne!(n, 1, "number {n}");
            while over.lock().unwrap().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
            n
        };
        let (mut left, ()) = work(3, worker, |why| *over.lock().unwrap() = Some(why), showing(|| {}));
        left.sort_unstable();
        assert_eq!(left, [0, 2]);
        let why = over.lock().unwrap().take().unwrap();
        assert!(why.starts_with("internal error (please report): ") && why.contains("number 1"), "{why}");
    }

    #[test]
    fn what_is_done_for_each_is_told_apart() {
        let done = each([1, 0, 4], |it| 8 / it);
        assert_eq!((done[0].as_ref(), done[2].as_ref()), (Ok(&8), Ok(&2)));
        assert!(done[1].as_ref().unwrap_err().contains("divide by zero"), "{done:?}");
    }
}
