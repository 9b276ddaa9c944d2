//! The requests of one batch, several at a time.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` for every item on at most `threads` threads; the n-th answer belongs to the n-th item.
pub fn parallel_map<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.max(1).min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let mut answers: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let queue = Mutex::new(items.into_iter().zip(&mut answers));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    // Bound to a name: in a `while let` the lock would be held through the work.
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((item, answer)) = next else { break };
                    *answer = Some(work(item));
                }
            });
        }
    });
    drop(queue);
    // A thread that panicked has ended the scope with its panic: none is missing.
    answers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_keep_the_order_and_threads_their_bound() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let answers = parallel_map((0..40_u64).collect(), 4, |n| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(n % 3 + 1));
            now.fetch_sub(1, Ordering::SeqCst);
            n * 2
        });
        assert_eq!(answers, (0..40).map(|n| n * 2).collect::<Vec<_>>());
        assert!((2..=4).contains(&most.load(Ordering::SeqCst)));
    }
}
