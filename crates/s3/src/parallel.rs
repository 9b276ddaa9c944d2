//! The requests of one batch, several at a time.

use std::sync::{Mutex, PoisonError};
use std::thread;

/// Does `work` on each item, on at most `width` threads; the n-th answer belongs to the n-th item.
pub(crate) fn each<T: Send, R: Send>(items: Vec<T>, width: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let count = items.len();
    let width = width.clamp(1, count.max(1));
    if width == 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let answers: Mutex<Vec<Option<R>>> = Mutex::new((0..count).map(|_| None).collect());
    thread::scope(|scope| {
        for _ in 0..width {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((n, item)) = next else { return };
                    let answer = work(item);
                    answers.lock().unwrap_or_else(PoisonError::into_inner)[n] = Some(answer);
                }
            });
        }
    });
    // A thread that broke down has ended the scope by its panic: nothing is missing here.
    answers.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}
