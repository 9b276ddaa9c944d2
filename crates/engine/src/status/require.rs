//! What is demanded of the copies, and what falls short of it.

use std::collections::HashSet;
use std::time::Duration;

use dvb_ledger::{Ledger, LedgerError, StateDetail};
use dvb_model::{DestinationName, DvObjectId, Status};

use crate::acknowledge::acknowledged;
use crate::command::exit_status::ExitStatus;
use crate::command::time::ago;

/// Data files with too few copies that are named one by one.
const NAMED: usize = 20;

/// What is demanded. A part that is `None` is not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirement {
    /// Destinations with a proved copy of each data file.
    pub copies: Option<u64>,
    /// Longest time since any copy was proved.
    pub verified: Option<Duration>,
    /// Longest time since any data file was read in its store.
    pub audited: Option<Duration>,
}

/// What falls short of a [`Requirement`].
#[derive(Debug, Clone, Default)]
pub struct Shortfall {
    /// Data files with too few copies; `None` where no number of copies was demanded.
    pub too_few: Option<TooFew>,
    /// What was not looked at for too long.
    pub untouched: Vec<Untouched>,
}

/// Data files with too few copies.
#[derive(Debug, Clone)]
pub struct TooFew {
    /// How many copies were demanded.
    pub demanded: u64,
    /// How many data files have fewer.
    pub files: u64,
    /// The first 20 of these data files.
    pub first: Vec<StateDetail>,
}

/// What was not looked at for too long at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untouched {
    /// Name of the destination.
    pub destination: DestinationName,
    /// What was not looked at, how many of it, and for how long.
    pub kind: UntouchedKind,
}

/// What was not looked at for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UntouchedKind {
    /// So many copies were not verified for this long.
    Copies(u64, Duration),
    /// No copy was ever verified.
    NoCopyEver,
    /// So many data files were not read in their stores for this long.
    Files(u64, Duration),
}

impl Shortfall {
    /// Whether all that was demanded is met.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.untouched.is_empty() && self.too_few.as_ref().is_none_or(|few| few.files == 0)
    }

    /// What it comes to.
    #[must_use]
    pub fn ending(&self) -> ExitStatus {
        if self.is_met() { ExitStatus::Safe } else { ExitStatus::NotSafe }
    }
}

/// Looks what of the ledger falls short of what is demanded. Acknowledged losses and what Dataverse does not have any more
/// are left out.
///
/// # Errors
/// [`LedgerError`].
pub fn shortfall(
    ledger: &dyn Ledger,
    destinations: &[&DestinationName],
    demanded: &Requirement,
) -> Result<Shortfall, LedgerError> {
    let too_few = demanded.copies.map(|copies| too_few(ledger, destinations, copies)).transpose()?;
    let mut found = Shortfall { too_few, untouched: Vec::new() };
    for &destination in destinations {
        let mut kinds = Vec::new();
        if let Some(age) = demanded.verified {
            kinds.push(UntouchedKind::Copies(ledger.count_copies(destination, Some(&ago(age)))?, age));
            if ledger.oldest_proof(destination)?.is_none() {
                kinds.push(UntouchedKind::NoCopyEver);
            }
        }
        if let Some(age) = demanded.audited {
            kinds.push(UntouchedKind::Files(ledger.count_audited(destination, Some(&ago(age)))?, age));
        }
        let bad =
            kinds.into_iter().filter(|kind| !matches!(kind, UntouchedKind::Copies(0, _) | UntouchedKind::Files(0, _)));
        found.untouched.extend(bad.map(|kind| Untouched { destination: destination.clone(), kind }));
    }
    Ok(found)
}

fn too_few(ledger: &dyn Ledger, destinations: &[&DestinationName], demanded: u64) -> Result<TooFew, LedgerError> {
    let mut known: HashSet<DvObjectId> = HashSet::new();
    for destination in destinations {
        known.extend(acknowledged(ledger, destination)?.into_iter().map(|loss| loss.id));
    }
    let (mut seen, mut first) = (HashSet::new(), Vec::new());
    for destination in destinations {
        ledger.visit_details(destination, None, false, &mut |detail| {
            let can_have = !matches!(detail.status, Status::NotCovered | Status::Purged);
            let counts = detail.gone_since.is_none() && can_have && detail.destinations < demanded;
            if counts && !known.contains(&detail.id) && seen.insert(detail.id) && first.len() < NAMED {
                first.push(detail);
            }
        })?;
    }
    Ok(TooFew { demanded, files: seen.len() as u64, first })
}
