//! A long list, read page by page in the order of ids: no transaction is open between two pages.

use std::vec;

use crate::LedgerError;

/// States in a page: a few megabytes, a few hundredths of a second.
pub(crate) const STATES: i64 = 20_000;
/// Details in a page: these rows are wider.
pub(crate) const DETAILS: i64 = 5_000;

/// Iterates over what `next_page` answers, which is given the id of the last row it answered before.
pub(crate) struct Pages<T, F> {
    next_page: F,
    last: fn(&T) -> i64,
    after: i64,
    page: vec::IntoIter<T>,
    done: bool,
}

impl<T, F: FnMut(i64) -> Result<Vec<T>, LedgerError>> Pages<T, F> {
    pub(crate) fn new(next_page: F, last: fn(&T) -> i64) -> Self {
        Self { next_page, last, after: i64::MIN, page: Vec::new().into_iter(), done: false }
    }
}

impl<T, F: FnMut(i64) -> Result<Vec<T>, LedgerError>> Iterator for Pages<T, F> {
    type Item = Result<T, LedgerError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(row) = self.page.next() {
            return Some(Ok(row));
        }
        if self.done {
            return None;
        }
        match (self.next_page)(self.after) {
            Ok(page) => {
                let Some(last) = page.last() else {
                    self.done = true;
                    return None;
                };
                self.after = (self.last)(last);
                self.page = page.into_iter();
                self.page.next().map(Ok)
            }
            Err(error) => {
                self.done = true;
                Some(Err(error))
            }
        }
    }
}
