//! A long list of the ledger, read by a thread of its own while whoever walks it is busy with the rows before.

use std::sync::mpsc::{self, Receiver};
use std::thread::Scope;
use std::vec;

use dvb_ledger::LedgerError;

/// Rows that are handed over at once.
const PART: usize = 5_000;

type Part<T> = Vec<Result<T, LedgerError>>;

/// The rows of `list`, in its order.
pub(super) struct Ahead<T> {
    parts: Option<Receiver<Part<T>>>, // until its last part
    part: vec::IntoIter<Result<T, LedgerError>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Begins to read. Where nobody takes what was read, the thread ends.
    pub(super) fn of<'scope, I>(scope: &'scope Scope<'scope, '_>, list: impl FnOnce() -> I + Send + 'scope) -> Self
    where
        I: Iterator<Item = Result<T, LedgerError>>,
    {
        let (give, take) = mpsc::sync_channel(1);
        scope.spawn(move || {
            let mut rows = list();
            loop {
                let part: Part<T> = rows.by_ref().take(PART).collect();
                let is_last = part.len() < PART;
                if give.send(part).is_err() || is_last {
                    return;
                }
            }
        });
        Self { parts: Some(take), part: Vec::new().into_iter() }
    }
}

impl<T> Iterator for Ahead<T> {
    type Item = Result<T, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.part.next() {
            return Some(row);
        }
        match self.parts.as_ref()?.recv() {
            Ok(part) => {
                if part.len() < PART {
                    self.parts = None;
                }
                self.part = part.into_iter();
                self.part.next()
            }
            // Never taken for the end of the list: what is missing then would be as new.
            Err(_) => {
                self.parts = None;
                let source = "the thread that reads it has broken down".into();
                Some(Err(LedgerError::Query { target: "the backup database".to_owned(), what: "be listed", source }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::*;

    fn rows(n: usize) -> impl Iterator<Item = Result<usize, LedgerError>> {
        (0..n).map(Ok)
    }

    #[test]
    fn nothing_is_lost_between_two_parts() {
        for n in [0, 1, PART - 1, PART, PART + 1, 3 * PART] {
            let read: Vec<usize> =
                thread::scope(|scope| Ahead::of(scope, move || rows(n)).map(Result::unwrap).collect());
            assert!(read.into_iter().eq(0..n), "{n}");
        }
    }

    #[test]
    fn who_walks_no_further_ends_the_reading() {
        let first = thread::scope(|scope| Ahead::of(scope, || rows(usize::MAX)).next().unwrap().unwrap());
        assert_eq!(first, 0);
    }

    #[test]
    fn a_reader_that_breaks_down_is_no_end_of_the_list() {
        let mut last = None;
        let broken = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                let list = || rows(PART + 1).inspect(|it| assert!(*it.as_ref().unwrap() < PART, "it breaks down"));
                last = Ahead::of(scope, list).last();
            });
        }));
        assert!(broken.is_err() && matches!(last, Some(Err(_))), "{last:?}");
    }
}
