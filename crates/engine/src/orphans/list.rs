//! Everything at the destination, less what the ledger names.

use std::ops::ControlFlow;

use dvb_storage::{Cause, Listed, Listing, SinkError};

use super::respelled::Names;
use super::{Counts, Failure, Orphan, Orphans, OrphansOptions};
use crate::catalogue::spool::Spool;
use crate::command::error::RunError;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::Event;
use crate::copies::session::{Connection, DestinationContext, Interrupted};
use crate::copies::spelling::folded;

/// Keys that the ledger is asked for at once.
const PAGE: usize = 1_000;
/// How often a listing is begun anew when the session is lost.
const ATTEMPTS: u32 = 3;
/// Folders that are named.
const NAMED: usize = 20;

pub(super) struct Found {
    pub(super) orphans: Orphans,
    pub(super) count: u64,
    /// Sizes that an orphan has.
    pub(super) sizes: Sizes,
    /// What the ledger names and was listed, as the ledger spells it.
    pub(super) listed: Names,
    /// What the ledger does not name, folded.
    pub(super) unknown: Names,
}

/// A set of sizes in a memory that does not grow: it may say yes by mistake, and never no.
pub(super) struct Sizes(Vec<u64>);

impl Sizes {
    const BITS: u64 = 1 << 26;

    fn new() -> Self {
        Self(vec![0; (Self::BITS / 64) as usize])
    }

    fn place(size: u64) -> (usize, u64) {
        // Neighbours are told apart as long as there is room; the multiplication spreads the rest.
        let at = size.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - Self::BITS.trailing_zeros());
        ((at / 64) as usize, 1 << (at % 64))
    }

    fn add(&mut self, size: u64) {
        let (word, bit) = Self::place(size);
        self.0[word] |= bit;
    }

    pub(super) fn may_have(&self, size: u64) -> bool {
        let (word, bit) = Self::place(size);
        self.0[word] & bit != 0
    }
}

/// Lists the orphans of the destination.
pub(super) fn list(
    at: DestinationContext<'_>,
    options: &OrphansOptions,
    connection: &mut Connection<'_>,
    counts: &mut Counts,
) -> Result<Found, Failure> {
    for attempt in 1..=ATTEMPTS {
        match list_once(at, options, connection, counts) {
            Err(Failure::Interrupted(Interrupted::Session(error))) if attempt < ATTEMPTS => {
                let text = format!("{}; it is listed anew", error.chain());
                at.observer.event(&Event::Warning(&text));
                *counts = Counts::default();
            }
            done => return done,
        }
    }
    Err(Failure::Interrupted(Interrupted::Stopped))
}

fn list_once(
    at: DestinationContext<'_>,
    options: &OrphansOptions,
    connection: &mut Connection<'_>,
    counts: &mut Counts,
) -> Result<Found, Failure> {
    let orphans = Spool::create(&options.spool_folder).map_err(|it| options.spool_error(it))?;
    let (listed, unknown) = (Names::new(), Names::new());
    let found = Found { orphans, count: 0, sizes: Sizes::new(), listed, unknown };
    let mut sieve = Sieve { at, page: Vec::new(), found };
    let mut failure = None;
    let mut visit = |listed: Result<Listed, SinkError>| {
        let done = match listed {
            Ok(listed) => {
                counts.listed += 1;
                sieve.take(listed, options)
            }
            Err(error) => {
                counts.unlisted_total += 1;
                if counts.unlisted.len() < NAMED {
                    counts.unlisted.push(error.chain());
                }
                Ok(())
            }
        };
        failure = done.err();
        if failure.is_some() || !at.stop.may_begin() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let listed = connection.with(|session| match session.list(Listing::Copies, &mut visit) {
        // The session is well, so there is nothing to be done again.
        Err(error) if error.cause == Cause::Forbidden => Ok(Err(error)),
        listed => listed.map(Ok),
    })?;
    if let Some(error) = failure {
        return Err(error.into());
    }
    if let Err(error) = listed {
        let text =
            format!("destination {}: this account may not list what lies there: {}", at.destination, error.chain());
        return Err(RunError::Destination { text, ending: ExitStatus::of_cause(error.cause) }.into());
    }
    sieve.sift(options)?;
    Ok(sieve.found)
}

/// Lets pass what the ledger does not name, a page at a time.
struct Sieve<'a> {
    at: DestinationContext<'a>,
    page: Vec<Listed>,
    found: Found,
}

impl Sieve<'_> {
    fn take(&mut self, listed: Listed, options: &OrphansOptions) -> Result<(), RunError> {
        self.page.push(listed);
        if self.page.len() < PAGE { Ok(()) } else { self.sift(options) }
    }

    fn sift(&mut self, options: &OrphansOptions) -> Result<(), RunError> {
        let keys: Vec<&str> = self.page.iter().map(|it| it.name.as_str()).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let known = self.at.ledger.known_keys(self.at.destination, &keys)?;
        for Listed { name, size } in self.page.drain(..) {
            if known.contains(&name) {
                self.found.listed.add(&name);
                continue;
            }
            self.found.unknown.add(&folded(&name));
            self.found.count += 1;
            self.found.sizes.add(size);
            let orphan = Orphan { key: name, size, is: Vec::new(), unreadable: None, digests: Vec::new() };
            self.found.orphans.push(&orphan).map_err(|it| options.spool_error(it))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_never_forgotten_and_seldom_made_up() {
        let mut sizes = Sizes::new();
        let all = || (0..20_000_u64).map(|it| it * it);
        all().step_by(2).for_each(|it| sizes.add(it));
        assert!(all().step_by(2).all(|it| sizes.may_have(it)));
        let made_up = all().skip(1).step_by(2).filter(|it| sizes.may_have(*it)).count();
        assert!(made_up < 100, "{made_up}");
        assert!(!sizes.may_have(u64::MAX));
    }
}
