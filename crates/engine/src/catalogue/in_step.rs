//! The ledger's rows, walked in step with the catalogue: both come in the order of ids.

use std::iter::Peekable;

use dvb_ledger::{EntryKind, Holding, Ledger, LedgerError, State};
use dvb_model::{DestinationName, DvObjectId};

/// A row of the ledger about one data file or dataset.
pub(crate) trait Row {
    fn id(&self) -> DvObjectId;
}

impl Row for State {
    fn id(&self) -> DvObjectId {
        self.id
    }
}

impl Row for Holding {
    fn id(&self) -> DvObjectId {
        self.detail.id
    }
}

type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, LedgerError>> + 'a>;

/// Rows in the order of ids. The ids that are asked for must ascend too.
pub(crate) struct InStep<'a, T>(Peekable<Rows<'a, T>>);

impl<'a> InStep<'a, State> {
    /// The verdicts of one kind at a destination.
    pub(crate) fn states(ledger: &'a dyn Ledger, destination: &DestinationName, kind: EntryKind) -> Self {
        Self::new(ledger.states(destination, kind))
    }
}

impl<'a> InStep<'a, Holding> {
    /// The same with their copies.
    pub(crate) fn holdings(ledger: &'a dyn Ledger, destination: &DestinationName, kind: EntryKind) -> Self {
        Self::new(ledger.holdings(destination, kind))
    }
}

impl<'a, T: Row> InStep<'a, T> {
    pub(crate) fn new(rows: Rows<'a, T>) -> Self {
        Self(rows.peekable())
    }

    /// The row of `id`, if there is one; those before it are passed over.
    pub(crate) fn find(&mut self, id: DvObjectId) -> Result<Option<T>, LedgerError> {
        self.reach(id, |_| Ok(()))
    }

    /// The row of `id`, if there is one. Each row before it, which is not in the catalogue, is handed to `passed`.
    pub(crate) fn reach<E: From<LedgerError>>(
        &mut self,
        id: DvObjectId,
        mut passed: impl FnMut(T) -> Result<(), E>,
    ) -> Result<Option<T>, E> {
        while let Some(row) = self.0.next_if(|row| row.as_ref().is_ok_and(|row| row.id() < id)) {
            passed(row?)?;
        }
        Ok(self.0.next_if(|row| row.as_ref().map_or(true, |row| row.id() == id)).transpose()?)
    }

    /// The catalogue has ended: whatever is left is not in it.
    pub(crate) fn finish<E: From<LedgerError>>(&mut self, mut passed: impl FnMut(T) -> Result<(), E>) -> Result<(), E> {
        self.0.try_for_each(|row| passed(row?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Id(i64);

    impl Row for Id {
        fn id(&self) -> DvObjectId {
            DvObjectId(self.0)
        }
    }

    fn rows(ids: &[i64]) -> InStep<'static, Id> {
        let rows: Vec<Result<Id, LedgerError>> = ids.iter().map(|&id| Ok(Id(id))).collect();
        InStep::new(Box::new(rows.into_iter()))
    }

    #[test]
    fn what_the_catalogue_lacks_is_handed_over_in_its_place() {
        let mut rows = rows(&[1, 3, 4, 9]);
        let mut passed = Vec::new();
        let mut reach = |id| {
            let found = rows.reach(DvObjectId(id), |row| {
                passed.push(row.0);
                Ok::<_, LedgerError>(())
            });
            found.unwrap().map(|row| row.0)
        };
        assert_eq!([reach(2), reach(3), reach(8)], [None, Some(3), None]);
        rows.finish(|row| {
            passed.push(row.0);
            Ok::<_, LedgerError>(())
        })
        .unwrap();
        assert_eq!(passed, [1, 4, 9]);
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_it() {
        let broken = LedgerError::BadRow { what: "status of 2".to_owned(), value: "x".to_owned() };
        let rows: Vec<Result<Id, LedgerError>> = vec![Ok(Id(1)), Err(broken), Ok(Id(3))];
        let mut rows = InStep::new(Box::new(rows.into_iter()));
        assert!(rows.find(DvObjectId(3)).is_err());
    }
}
