//! The list of the copies that the ledger knows, the one whose proof is oldest first.

use std::vec;

use dvb_ledger::{CopyRecord, LedgerCopy, LedgerError};

use crate::copies::session::DestinationContext;

/// Copies in a page of the ledger's list.
const PAGE: u32 = 5_000;

/// Which copies are looked at.
pub(crate) struct Wanted<'a> {
    /// First of all those that a snapshot claims, and those that were found bad, and still are as far as anybody knows.
    pub(crate) damaged: bool,
    /// Proved before this time; `None`: whenever. What is proved anew during a pass comes behind all that was planned, so the
    /// pass, which counts, ends all the same.
    pub(crate) before: Option<String>,
    /// And these among them.
    pub(crate) filter: &'a (dyn Fn(&LedgerCopy) -> bool + Sync),
}

/// The copies that are wanted, the one whose proof is oldest first.
pub(crate) struct Copies<'a> {
    at: DestinationContext<'a>,
    /// `None`: they are listed already.
    wanted: Option<&'a Wanted<'a>>,
    part: Part,
    after: Option<CopyRecord>,
    page: vec::IntoIter<LedgerCopy>,
}

/// How far the list was read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Claimed,
    Damaged,
    Proved,
    End,
}

impl<'a> Copies<'a> {
    pub(crate) fn new(at: DestinationContext<'a>, wanted: &'a Wanted<'a>) -> Self {
        let part = if wanted.damaged { Part::Claimed } else { Part::Proved };
        Self { at, wanted: Some(wanted), part, after: None, page: Vec::new().into_iter() }
    }

    /// The copies of this list alone; the ledger is not asked for others.
    pub(crate) fn listed(at: DestinationContext<'a>, list: Vec<LedgerCopy>) -> Self {
        Self { at, wanted: None, part: Part::End, after: None, page: list.into_iter() }
    }

    pub(crate) fn next(&mut self) -> Result<Option<LedgerCopy>, LedgerError> {
        loop {
            if let Some(held) = self.page.find(|it| self.wanted.is_none_or(|wanted| (wanted.filter)(it))) {
                return Ok(Some(held));
            }
            let Some(wanted) = self.wanted else { return Ok(None) };
            let DestinationContext { ledger, destination, .. } = self.at;
            let after = self.after.as_ref();
            let page = match self.part {
                Part::Claimed => ledger.claimed_copies(destination, after, PAGE)?,
                Part::Damaged => ledger.damaged_copies(destination, after, PAGE)?,
                Part::Proved => ledger.oldest_copies(destination, after, wanted.before.as_deref(), PAGE)?,
                Part::End => return Ok(None),
            };
            if page.is_empty() {
                self.part = match self.part {
                    Part::Claimed => Part::Damaged,
                    Part::Damaged => Part::Proved,
                    Part::Proved | Part::End => Part::End,
                };
            }
            self.after = page.last().map(|it| it.copy.clone());
            self.page = page.into_iter();
        }
    }
}
