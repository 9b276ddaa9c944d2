//! From the ledger and the facts to the report.

mod ages;
mod incidents;
mod log;
mod naming;

use std::collections::HashSet;

use dvb_ledger::{Acknowledgement, Ledger, LedgerError, ProofDay, Retention};
use dvb_model::{DestinationName, DvObjectId, Status};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use self::ages::{Ages, CheckedOnDay};
use self::log::EventLog;
use self::naming::Naming;
use crate::crosswalk::{CROSSWALK, NOT_SHOWN};
use crate::facts::{DestinationFacts, Facts, LockFacts};
use crate::model::{
    AcknowledgedLoss, CopiesLevel, DestinationReport, EvidenceCount, Fixity, Head, Holdings, Month, PolicyLine,
    Promise, PromiseState, ReasonCount, Report, SnapshotSeen, StatusCount,
};
use crate::words::{data_files, interval, number, share};

/// How many reasons are told apart.
const REASONS: u32 = 50;
/// How many runs are asked for the snapshot that one of them left; few at first, because their summaries are long.
const RUNS: [u32; 2] = [5, 200];
/// Months of the course, the one of the report among them.
pub(crate) const MONTHS: usize = 13;

/// Makes the report. Nothing is written.
///
/// The ledger adds up: time grows with the number of copies, memory with that of incidents and commands alone.
///
/// # Errors
/// [`LedgerError`].
pub fn gather(ledger: &dyn Ledger, facts: &Facts) -> Result<Report, LedgerError> {
    let naming = Naming::of(facts);
    let as_of = time(facts.as_of);
    let since = time(facts.since);
    let months = months(facts.as_of);
    let log = EventLog::read(ledger, &naming, &since, &months)?;
    let acknowledgements = ledger.acknowledgements()?;
    let open: HashSet<DvObjectId> =
        acknowledgements.iter().filter(|it| it.ended_at.is_none()).map(|it| it.id).collect();
    let mut promises = Vec::new();
    let (mut destinations, mut fixity) = (Vec::new(), Vec::new());
    for destination in &facts.destinations {
        let overdue = overdue_before(facts, destination.verify_every);
        let proofs = ledger.proofs_by_day(&destination.name, overdue.as_deref())?;
        let report = self::destination(ledger, destination, &naming, &log, &proofs)?;
        let acknowledged = acknowledgements.iter().filter(|it| it.ended_at.is_none());
        let acknowledged = acknowledged.filter(|it| it.destination == destination.name).count() as u64;
        let checked = copies_checked(facts, destination, &report.name, proofs, &log);
        promises.push(all_is_safe(&report, acknowledged));
        promises.push(is_verified(destination, &report, &checked));
        destinations.push(report);
        fixity.push(checked);
    }
    let stores = stores_checked(ledger, facts, &log)?;
    promises.push(is_audited(facts, &stores));
    fixity.push(stores);
    Ok(Report {
        format: "dataverse-backup report",
        format_version: 1,
        head: head(ledger, facts, &naming)?,
        promises,
        holdings: holdings(ledger, &naming)?,
        destinations,
        fixity,
        incidents: incidents::gather(ledger, &naming, &since, &months, &open)?,
        acknowledged: acknowledgements.into_iter().map(|it| loss(it, &naming)).collect(),
        course: course(ledger, &months, &log)?,
        events: log.events,
        drills: log.drills,
        purges: log.purges,
        overrides: log.overrides,
        commands: log.commands.into_values().collect(),
        not_shown: NOT_SHOWN,
        crosswalk: CROSSWALK,
        public: facts.public,
        as_of,
        since,
    })
}

/// A time as the ledger has it.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The months up to that of a time, `2026-01`, the oldest first.
fn months(as_of: Timestamp) -> Vec<String> {
    let first = TimeZone::UTC.to_datetime(as_of).date().first_of_month();
    let back = (0..i64::try_from(MONTHS).unwrap_or(0)).rev();
    back.map(|months| first.saturating_sub(months.months()).strftime("%Y-%m").to_string()).collect()
}

/// What was checked before this time was checked longer ago than promised.
fn overdue_before(facts: &Facts, every: Option<std::time::Duration>) -> Option<String> {
    every.map(|every| time(facts.as_of.checked_sub(every).unwrap_or(Timestamp::MIN)))
}

fn head(ledger: &dyn Ledger, facts: &Facts, naming: &Naming) -> Result<Head, LedgerError> {
    let mut snapshots = Vec::new();
    for destination in &facts.destinations {
        snapshots.extend(newest_snapshot(ledger, &destination.name, naming)?);
    }
    let agent = &facts.agent;
    let policy = facts.policy.iter().map(|(key, value)| PolicyLine { key: key.clone(), value: value.clone() });
    Ok(Head {
        installation: ledger.installation_id()?,
        program: agent.program.clone(),
        made_by: naming.kept(format!("{} on {}", agent.user, agent.host)),
        ledger: naming.kept(facts.ledger.clone()),
        stores: facts.stores.iter().map(|it| naming.store(it)).collect(),
        snapshots,
        policy: policy.collect(),
    })
}

/// As the newest run says that knew of one.
fn newest_snapshot(
    ledger: &dyn Ledger,
    destination: &DestinationName,
    naming: &Naming,
) -> Result<Option<SnapshotSeen>, LedgerError> {
    for limit in RUNS {
        for (_, summary) in ledger.runs(destination, limit)? {
            let Some(summary) = summary else { continue };
            let run: Value = serde_json::from_str(&summary.json).unwrap_or_default();
            let text = |field: &str| run["snapshot"][field].as_str().map(str::to_owned);
            if let (Some(name), Some(sha256)) = (text("name"), text("sha256")) {
                let destination = naming.destination(destination);
                return Ok(Some(SnapshotSeen { destination, name, sha256, as_of: summary.finished }));
            }
        }
    }
    Ok(None)
}

fn holdings(ledger: &dyn Ledger, naming: &Naming) -> Result<Holdings, LedgerError> {
    let mut by_copies = [0, 1, 2, 3].map(|copies| CopiesLevel { copies, or_more: copies == 3, files: 0, bytes: 0 });
    for counted in ledger.files_by_copies()? {
        let level = &mut by_copies[usize::try_from(counted.copies).unwrap_or(usize::MAX).min(3)];
        level.files += counted.files;
        level.bytes += counted.bytes;
    }
    let (reasons, not_covered) = ledger.not_covered(REASONS)?;
    let told: u64 = reasons.iter().map(|it| it.1).sum();
    let mut by_reason: Vec<ReasonCount> = reasons
        .into_iter()
        .filter_map(|(reason, files)| Some(ReasonCount { reason: Some(naming.kept(reason)?), files }))
        .collect();
    let untold = if by_reason.is_empty() { not_covered } else { not_covered - told };
    if untold > 0 {
        by_reason.push(ReasonCount { reason: None, files: untold });
    }
    Ok(Holdings {
        files: by_copies.iter().map(|it| it.files).sum(),
        bytes: by_copies.iter().map(|it| it.bytes).sum(),
        by_copies: by_copies.into(),
        not_covered,
        not_covered_by_reason: by_reason,
    })
}

fn destination(
    ledger: &dyn Ledger,
    facts: &DestinationFacts,
    naming: &Naming,
    log: &EventLog,
    proofs: &[ProofDay],
) -> Result<DestinationReport, LedgerError> {
    let (counts, gone) = ledger.counts(&facts.name)?;
    let unproved = ledger.unproved_copies(&facts.name)?;
    let mut evidence: Vec<EvidenceCount> = Vec::new();
    for proof in proofs {
        match evidence.iter_mut().find(|it| it.evidence == proof.evidence) {
            Some(counted) => counted.copies += proof.copies,
            None => evidence.push(EvidenceCount { evidence: proof.evidence.clone(), copies: proof.copies }),
        }
    }
    let retention = ledger.retention(&facts.name)?;
    Ok(DestinationReport {
        name: naming.destination(&facts.name),
        protocol: facts.protocol,
        location: naming.kept(facts.location.clone()),
        place: facts.place.clone(),
        medium: facts.medium.clone(),
        region: facts.region.clone(),
        administrator: facts.administrator.clone().and_then(|it| naming.kept(it)),
        immutability: facts.lock.as_ref().map(|it| immutability(it, retention.as_ref())),
        demanded_evidence: facts.evidence,
        copies: proofs.iter().map(|it| it.copies).sum(),
        bytes: proofs.iter().map(|it| it.bytes).sum(),
        evidence,
        damaged_copies: unproved.damaged,
        claimed_copies: unproved.claimed,
        statuses: counts.into_iter().map(|(status, files)| StatusCount { status: status.name(), files }).collect(),
        gone,
        last_run: log.last_runs.get(&facts.name).cloned(),
    })
}

fn immutability(LockFacts { kind, days }: &LockFacts, retention: Option<&Retention>) -> String {
    let known = match retention {
        None => "no copy is known to be locked".to_owned(),
        Some(Retention { earliest, unlocked: 0 }) => format!("the first lock ends {earliest}"),
        Some(Retention { earliest, unlocked }) => {
            format!("the first lock ends {earliest}, and of {unlocked} copies no lock is known")
        }
    };
    format!("{kind}, for {days} days, renewed by runs; {known}")
}

fn copies_checked(
    facts: &Facts,
    destination: &DestinationFacts,
    place: &str,
    proofs: Vec<ProofDay>,
    log: &EventLog,
) -> Fixity {
    let dated = proofs.into_iter().map(|proved| CheckedOnDay {
        day: proved.day,
        overdue: proved.overdue,
        count: proved.copies,
    });
    let checks = log.checks.get(&destination.name).copied().unwrap_or_default();
    Ages::of(facts, dated.collect(), destination.verify_every).fixity("destination", place, "copies", checks)
}

fn stores_checked(ledger: &dyn Ledger, facts: &Facts, log: &EventLog) -> Result<Fixity, LedgerError> {
    let overdue = overdue_before(facts, facts.audit_every);
    let audits = ledger.audits_by_day(overdue.as_deref())?;
    let dated = audits.into_iter().map(|audited| CheckedOnDay {
        day: audited.day,
        overdue: audited.overdue,
        count: audited.files,
    });
    let ages = Ages::of(facts, dated.collect(), facts.audit_every);
    Ok(ages.fixity("store", "Dataverse's stores", "data files", log.store_checks))
}

/// A promise of every run, that needs no key.
fn all_is_safe(destination: &DestinationReport, acknowledged: u64) -> Promise {
    let count =
        |wanted: Status| destination.statuses.iter().find(|it| it.status == wanted.name()).map_or(0, |it| it.files);
    let all: u64 = destination.statuses.iter().map(|it| it.files).sum();
    let covered = all - count(Status::NotCovered) - count(Status::Purged);
    let not_safe = covered - count(Status::Ok);
    let mut figures = match (&destination.last_run, not_safe) {
        (None, _) => "no run of everything has ended in the last 13 months".to_owned(),
        (Some(_), 0) => format!("all {} are safe", data_files(covered)),
        (Some(_), _) => format!("{} of {} are not safe", number(not_safe), data_files(covered)),
    };
    if acknowledged > 0 {
        figures += &format!("; {} acknowledged as lost", number(acknowledged));
    }
    let state = match (&destination.last_run, not_safe) {
        (Some(_), 0) => PromiseState::Met,
        _ => PromiseState::NotMet,
    };
    Promise { state, promise: format!("every covered data file is safe at {}", destination.name), figures }
}

fn is_verified(facts: &DestinationFacts, destination: &DestinationReport, checked: &Fixity) -> Promise {
    let name = &destination.name;
    let Some(every) = facts.verify_every else {
        let promise = format!("copies at {name} are verified regularly");
        return Promise { state: PromiseState::NotPromised, promise, figures: "no interval is set".to_owned() };
    };
    let overdue = checked.overdue.unwrap_or(0);
    let unproved = destination.damaged_copies + destination.claimed_copies;
    let mut figures = match overdue {
        0 => format!("all {} proved copies are younger than that", number(checked.total)),
        _ => format!(
            "{} of {} copies are older than the promised {}",
            number(overdue),
            number(checked.total),
            interval(every)
        ),
    };
    if unproved > 0 {
        figures += &format!("; {} have no valid proof at all", number(unproved));
    }
    let state = if overdue + unproved == 0 { PromiseState::Met } else { PromiseState::NotMet };
    Promise { state, promise: format!("each copy at {name} is verified every {}", interval(every)), figures }
}

fn is_audited(facts: &Facts, checked: &Fixity) -> Promise {
    let Some(every) = facts.audit_every else {
        let promise = "Dataverse's own files are read again regularly".to_owned();
        return Promise { state: PromiseState::NotPromised, promise, figures: "no interval is set".to_owned() };
    };
    let overdue = checked.overdue.unwrap_or(0);
    let mut figures = match overdue {
        0 => format!("all {} were found good since", data_files(checked.total)),
        _ => format!(
            "{} of {} were last found good longer ago than the promised {}",
            number(overdue),
            data_files(checked.total),
            interval(every)
        ),
    };
    if checked.never > 0 {
        figures += &format!("; {} of them never", number(checked.never));
    }
    let state = if overdue == 0 { PromiseState::Met } else { PromiseState::NotMet };
    Promise {
        state,
        promise: format!("each file in Dataverse's stores is read again every {}", interval(every)),
        figures,
    }
}

fn loss(acknowledged: Acknowledgement, naming: &Naming) -> AcknowledgedLoss {
    AcknowledgedLoss {
        dvobject_id: acknowledged.id.0,
        destination: naming.destination(&acknowledged.destination),
        status: acknowledged.status.name(),
        copies: acknowledged.copies,
        at: acknowledged.at,
        by: naming.kept(acknowledged.by),
        reason: naming.kept(acknowledged.reason),
        ended_at: acknowledged.ended_at,
    }
}

fn course(ledger: &dyn Ledger, months: &[String], log: &EventLog) -> Result<Vec<Month>, LedgerError> {
    let copies = ledger.copies_by_month()?;
    let month = |month: &String| {
        let run = log.catalogues.get(month);
        Month {
            month: month.clone(),
            files: run.map(|it| it.files),
            coverage: run
                .map(|catalogue| catalogue.safe_shares.iter().map(|(safe, of)| share(*safe, *of)).fold(1.0, f64::min)),
            bytes: copies.iter().filter(|it| it.month <= *month).map(|it| it.bytes).sum(),
        }
    };
    Ok(months.iter().map(month).collect())
}
