//! `status --require`: a gate for monitoring.

use std::str::FromStr;
use std::time::Duration;

use dvb_engine::{Requirement, Shortfall, TooFew, UntouchedKind};
use serde_json::{Value, json};

use crate::args;
use crate::report::{self, data_files};

/// What is demanded, as the command line has it: `copies=2,verified=90d,audited=1y`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Demand(pub(super) Requirement);

impl FromStr for Demand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = Requirement::default();
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
        Ok(Self(all))
    }
}

/// What falls short, one line for each demand at each destination; empty where all is met.
pub(super) fn lines(shortfall: &Shortfall) -> Vec<String> {
    let few = shortfall.too_few.iter().filter(|few| few.files > 0).map(too_few);
    few.chain(shortfall.untouched.iter().map(|untouched| {
        let what = match untouched.kind {
            UntouchedKind::Copies(count, age) => format!("{count} copies were not verified for {}", days(age)),
            UntouchedKind::NoCopyEver => "no copy was ever verified".to_owned(),
            UntouchedKind::Files(count, age) => {
                format!("{} were not read in their stores for {}", data_files(count), days(age))
            }
        };
        format!("destination {}: {what}", untouched.destination)
    }))
    .collect()
}

/// The same as an object for `--json`.
pub(super) fn object(shortfall: &Shortfall, lines: &[String]) -> Value {
    let one = |file: &dvb_ledger::StateDetail| json!({ "data_file_id": file.id, "copies": file.destinations });
    let files = shortfall.too_few.as_ref().map(|few| few.first.iter().map(one).collect::<Vec<_>>());
    json!({ "met": shortfall.is_met(), "shortfalls": lines, "files_with_too_few_copies": files })
}

fn too_few(few: &TooFew) -> String {
    let TooFew { demanded, files, first } = few;
    let mut text = format!("{} with fewer than {demanded} proved copies", data_files(*files));
    for file in first {
        let (dataset, name) = (file.dataset.as_deref(), file.label.as_deref());
        let line = report::line(Some(file.id), dataset, name, file.status, file.reason.as_deref());
        text += &format!("\n    {} copies: {line}", file.destinations);
    }
    match files.saturating_sub(first.len() as u64) {
        0 => text,
        rest => format!("{text}\n    and {rest} more"),
    }
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
        let all: Demand = "copies=2, verified=90d".parse().unwrap();
        assert_eq!(all, Demand(Requirement { copies: Some(2), verified: Some(day * 90), audited: None }));
        for wrong in ["", "copies", "copies=0", "copies=x", "verified=soon", "verify=3d"] {
            assert!(wrong.parse::<Demand>().is_err(), "{wrong}");
        }
    }
}
