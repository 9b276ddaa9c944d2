//! `status --require`: a gate for monitoring.

use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use dvb_engine::{ExitStatus, acknowledged};
use dvb_ledger::{Ledger, LedgerError, StateDetail};
use dvb_model::{DestinationName, DvObjectId, Status};
use serde_json::{Value, json};

use crate::args;
use crate::report::{self, data_files};

/// Data files that are named one by one.
const NAMED: usize = 20;

/// What is demanded, `copies=2,verified=90d,audited=1y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    /// Destinations with a proved copy of each data file.
    copies: Option<u64>,
    /// Longest time since any copy was proved.
    verified: Option<Duration>,
    /// Longest time since any data file was read in its store.
    audited: Option<Duration>,
}

impl FromStr for Requirement {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Self { copies: None, verified: None, audited: None };
        for part in text.split(',').map(str::trim) {
            let Some((what, value)) = part.split_once('=') else {
                return Err(format!("{part:?} is not NAME=VALUE; use copies=2, verified=90d or audited=1y"));
            };
            match what.trim() {
                "copies" => {
                    let count = value.trim().parse().ok().filter(|count| *count > 0);
                    all.copies = Some(count.ok_or_else(|| format!("copies={value} is not a number from 1 on"))?);
                }
                "verified" => all.verified = Some(args::duration(value.trim())?),
                "audited" => all.audited = Some(args::duration(value.trim())?),
                other => return Err(format!("{other:?} is not known; use copies, verified or audited")),
            }
        }
        Ok(all)
    }
}

/// What falls short of a [`Requirement`].
pub(crate) struct Shortfall {
    /// What falls short, one line for each demand; empty where all is met.
    pub(crate) lines: Vec<String>,
    object: Value,
}

impl Shortfall {
    pub(crate) fn ending(&self) -> ExitStatus {
        if self.lines.is_empty() { ExitStatus::Safe } else { ExitStatus::NotSafe }
    }

    /// The same as an object for `--json`.
    pub(crate) fn object(&self) -> Value {
        json!({ "met": self.lines.is_empty(), "shortfalls": self.lines, "files_with_too_few_copies": self.object })
    }
}

/// Looks what of the ledger falls short of what is demanded. Acknowledged losses and what Dataverse does not have any more
/// are left out.
pub(crate) fn shortfall(
    ledger: &dyn Ledger,
    destinations: &[&DestinationName],
    demanded: &Requirement,
) -> Result<Shortfall, LedgerError> {
    let (mut lines, mut object) = (Vec::new(), Value::Null);
    if let Some(copies) = demanded.copies {
        let (count, first) = too_few(ledger, destinations, copies)?;
        object = first.iter().map(|it| json!({ "data_file_id": it.id, "copies": it.destinations })).collect();
        if count > 0 {
            let named = first.iter().map(|detail| {
                let line = report::line(
                    Some(detail.id),
                    detail.dataset.as_deref(),
                    detail.label.as_deref(),
                    detail.status,
                    detail.reason.as_deref(),
                );
                format!("\n    {} copies: {line}", detail.destinations)
            });
            let rest = count.saturating_sub(first.len() as u64);
            let rest = if rest > 0 { format!("\n    and {rest} more") } else { String::new() };
            lines.push(format!(
                "{} with fewer than {copies} proved copies{}{rest}",
                data_files(count),
                named.collect::<String>()
            ));
        }
    }
    for destination in destinations {
        if let Some(age) = demanded.verified {
            let old = ledger.count_copies(destination, &ago(age))?;
            if old > 0 {
                lines.push(format!("destination {destination}: {old} copies were not verified for {}", days(age)));
            }
            if ledger.oldest_proof(destination)?.is_none() {
                lines.push(format!("destination {destination}: no copy was ever verified"));
            }
        }
        if let Some(age) = demanded.audited {
            let old = ledger.count_audited(destination, &ago(age))?;
            if old > 0 {
                let text = format!(
                    "destination {destination}: {} were not read in their stores for {}",
                    data_files(old),
                    days(age)
                );
                lines.push(text);
            }
        }
    }
    Ok(Shortfall { lines, object })
}

/// How many data files have too few copies, and the first of them.
fn too_few(
    ledger: &dyn Ledger,
    destinations: &[&DestinationName],
    copies: u64,
) -> Result<(u64, Vec<StateDetail>), LedgerError> {
    let mut known: HashSet<DvObjectId> = HashSet::new();
    for destination in destinations {
        known.extend(acknowledged(ledger, destination)?.into_iter().map(|it| it.id));
    }
    let (mut seen, mut first) = (HashSet::new(), Vec::new());
    for destination in destinations {
        ledger.visit_details(destination, None, false, &mut |detail| {
            let counts =
                detail.gone_since.is_none() && detail.status != Status::NotCovered && detail.destinations < copies;
            if counts && !known.contains(&detail.id) && seen.insert(detail.id) && first.len() < NAMED {
                first.push(detail);
            }
        })?;
    }
    Ok((seen.len() as u64, first))
}

fn ago(age: Duration) -> String {
    dvb_notify::before(jiff::Timestamp::now(), age)
}

fn days(age: Duration) -> String {
    let hours = age.as_secs() / 3600;
    if hours >= 48 && hours.is_multiple_of(24) { format!("{} days", hours / 24) } else { format!("{hours} hours") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn requirements_are_read() {
        let day = Duration::from_secs(86_400);
        let all: Requirement = "copies=2, verified=90d".parse().unwrap();
        assert_eq!(all, Requirement { copies: Some(2), verified: Some(day * 90), audited: None });
        for wrong in ["", "copies", "copies=0", "copies=x", "verified=soon", "verify=3d"] {
            assert!(wrong.parse::<Requirement>().is_err(), "{wrong}");
        }
    }
}
