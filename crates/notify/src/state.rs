//! What monitoring hears of a command: its outcome, and what the ledger knows after it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use dvb_config::Config;
use dvb_engine::acknowledged;
use dvb_ledger::{Ledger, LedgerError, PurgeState, UnprovedCopies};
use dvb_model::DestinationName;
use jiff::{SignedDuration, Timestamp};

use crate::metrics::{Change, Family, Scope};

/// How far back the event log is searched for what the file does not say (it was removed, say).
const REMEMBERED: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Commands with a time and an exit code of their own beside `run`, whose numbers are older than this.
const COMMANDS: [(&str, Family, Family); 3] = [
    ("verify", Family::LastVerifyTimestamp, Family::LastVerifyExitCode),
    ("audit", Family::LastAuditTimestamp, Family::LastAuditExitCode),
    ("drill", Family::LastDrillTimestamp, Family::LastDrillExitCode),
];

/// What a command says of itself, by the exit code at each destination; of one without numbers of its own, nothing.
#[must_use]
pub fn of_command(command: &str, ended: &[(&DestinationName, u8)]) -> Vec<Change> {
    let Some((_, time, code)) = COMMANDS.iter().find(|it| it.0 == command) else { return Vec::new() };
    let now = i128::from(Timestamp::now().as_second());
    let one = |(name, exit_code): &(&DestinationName, u8)| {
        [Change::one(*time, &name.0, now), Change::one(*code, &name.0, i128::from(*exit_code))]
    };
    ended.iter().flat_map(one).collect()
}

/// What the ledger knows, of all destinations of the configuration.
///
/// # Errors
/// [`LedgerError`].
pub fn of_ledger(ledger: &dyn Ledger, config: &Config) -> Result<Vec<Change>, LedgerError> {
    let now = Timestamp::now();
    let mut changes = vec![everywhere(Family::BuildInfo, vec![("version", env!("CARGO_PKG_VERSION").to_owned(), 1)])];
    let mut known = HashSet::new();
    for destination in &config.destinations {
        let name = &destination.name;
        let acknowledged = acknowledged(ledger, name)?;
        changes.push(Change::one(Family::AcknowledgedFiles, &name.0, acknowledged.len() as i128));
        known.extend(acknowledged.into_iter().map(|it| it.id));
        let in_store = ledger.least_recently_audited(name, None, 1)?.into_iter().next().map(|it| it.at);
        let sides = [("destination", ledger.oldest_proof(name)?), ("store", in_store)];
        let of_sides = |family, value: &dyn Fn(i64) -> i64| {
            let samples = sides.iter().filter_map(|(side, at)| Some((*side, seconds(at.as_deref()?))));
            let samples = samples.map(|(side, at)| (vec![("side", side.to_owned())], value(at).into()));
            Change { family, scope: Scope::Destination(name.0.clone()), samples: samples.collect() }
        };
        changes.push(of_sides(Family::OldestProofTimestamp, &|at| at));
        changes.push(of_sides(Family::OldestProofAge, &|at| (now.as_second() - at).max(0)));
        changes.push(overdue(ledger, name, destination.verify_every, config.repository.audit_every, now)?);
        changes.push(copies(ledger, name)?);
        let first = ledger.retention(name)?.map(|it| (Vec::new(), seconds(&it.earliest).into()));
        let scope = Scope::Destination(name.0.clone());
        changes.push(Change { family: Family::LockExpiresMin, scope, samples: first.into_iter().collect() });
        changes.push(Change::one(Family::StateTimestamp, &name.0, i128::from(now.as_second())));
    }
    let spread: BTreeMap<u64, u64> = ledger.spread()?.into_iter().collect();
    // Every number that there can be: a series that ends says nothing.
    let most = spread.keys().max().copied().unwrap_or(0).max(config.destinations.len() as u64);
    let by_copies = (0..=most).map(|n| ("n", n.to_string(), spread.get(&n).copied().unwrap_or(0).into()));
    changes.push(everywhere(Family::FilesByCopies, by_copies.collect()));
    let (mut open, mut of_known) = (0_u64, 0_u64);
    ledger.visit_incidents(true, &mut |incident| {
        if known.contains(&incident.id) {
            of_known += 1;
        } else {
            open += 1;
        }
    })?;
    let incidents = [("no", open), ("yes", of_known)];
    let samples = incidents.map(|(known, count)| ("acknowledged", known.to_owned(), i128::from(count)));
    changes.push(everywhere(Family::IncidentsOpen, samples.into()));
    let purges = ledger.purges()?;
    let waiting = [PurgeState::Requested, PurgeState::Approved, PurgeState::Executing];
    let samples = waiting.map(|state| {
        let count = purges.iter().filter(|it| it.state == state).count();
        ("state", state.name().to_owned(), i128::try_from(count).unwrap_or(i128::MAX))
    });
    changes.push(everywhere(Family::PurgesWaiting, samples.into()));
    changes.extend(remembered(ledger, config, now)?);
    Ok(changes)
}

fn everywhere(family: Family, samples: Vec<(&'static str, String, i128)>) -> Change {
    let samples = samples.into_iter().map(|(label, text, value)| (vec![(label, text)], value));
    Change { family, scope: Scope::Everything, samples: samples.collect() }
}

/// What is older than was promised; without a promise nothing is.
fn overdue(
    ledger: &dyn Ledger,
    name: &DestinationName,
    verify_every: Option<Duration>,
    audit_every: Option<Duration>,
    now: Timestamp,
) -> Result<Change, LedgerError> {
    let mut samples = Vec::new();
    if let Some(every) = verify_every {
        samples.push(("destination", ledger.count_copies(name, Some(&before(now, every)))?));
    }
    if let Some(every) = audit_every {
        samples.push(("store", ledger.count_audited(name, Some(&before(now, every)))?));
    }
    let samples = samples.into_iter().map(|(side, count)| (vec![("side", side.to_owned())], count.into()));
    let scope = Scope::Destination(name.0.clone());
    Ok(Change { family: Family::ProofOverdueCopies, scope, samples: samples.collect() })
}

fn copies(ledger: &dyn Ledger, name: &DestinationName) -> Result<Change, LedgerError> {
    let UnprovedCopies { damaged, claimed } = ledger.unproved_copies(name)?;
    let states = [("proved", ledger.count_copies(name, None)?), ("damaged", damaged), ("claimed", claimed)];
    let samples = states.map(|(state, count)| (vec![("state", state.to_owned())], count.into()));
    Ok(Change { family: Family::Copies, scope: Scope::Destination(name.0.clone()), samples: samples.into() })
}

/// The last commands of the event log, for a file that does not know them.
fn remembered(ledger: &dyn Ledger, config: &Config, now: Timestamp) -> Result<Vec<Change>, LedgerError> {
    let mut last = BTreeMap::new();
    ledger.visit_events(Some(&before(now, REMEMBERED)), &mut |event| {
        let Some(end) = event.end else { return };
        let Some((command, ..)) = COMMANDS.iter().find(|it| it.0 == event.command) else { return };
        // A part says nothing of the whole; a drill is always one.
        if event.scope == "everything" || *command == "drill" {
            for destination in event.destinations {
                last.insert((destination, *command), (seconds(&end.finished), end.exit_code));
            }
        }
    })?;
    let mut changes = Vec::new();
    for destination in &config.destinations {
        let name = &destination.name;
        for (command, time, code) in COMMANDS {
            let Some(&(finished, exit_code)) = last.get(&(name.clone(), command)) else { continue };
            let missing = |family, value: i128| Change {
                family,
                scope: Scope::Missing(name.0.clone()),
                samples: vec![(Vec::new(), value)],
            };
            changes.extend([missing(time, finished.into()), missing(code, exit_code.into())]);
        }
    }
    Ok(changes)
}

/// In seconds since 1970; 0 where it never was, as far as the ledger knows.
fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, Timestamp::as_second)
}

/// The time that was so long ago, RFC 3339 UTC.
#[must_use]
pub fn before(now: Timestamp, age: Duration) -> String {
    let then = SignedDuration::try_from(age).ok().and_then(|it| now.checked_sub(it).ok());
    then.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
