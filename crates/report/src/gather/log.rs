//! What the event log tells: which commands there were, what they checked, and what they were allowed to.

use std::collections::{BTreeMap, HashMap};

use dvb_ledger::{Event, Ledger, LedgerError};
use dvb_model::DestinationName;
use serde_json::Value;

use super::naming::Naming;
use crate::model::{BasisCount, Checks, CommandCount, Drill, EventReport, LastRun, Outcome, Overridden, Purges};

/// The scope of a command that was about everything.
pub(super) const EVERYTHING: &str = "everything";

/// The event log of the period, and of the months of the course.
#[derive(Default)]
pub(super) struct EventLog {
    pub(super) commands: BTreeMap<String, CommandCount>,
    pub(super) checks: HashMap<DestinationName, Checks>,
    pub(super) store_checks: Checks,
    pub(super) events: Vec<EventReport>,
    pub(super) drills: Vec<Drill>,
    pub(super) purges: Purges,
    pub(super) overrides: Vec<Overridden>,
    pub(super) last_runs: HashMap<DestinationName, LastRun>,
    /// By month, the last run of everything in it.
    pub(super) catalogues: BTreeMap<String, Catalogue>,
}

/// What a run of everything found.
pub(super) struct Catalogue {
    pub(super) files: u64,
    /// For each destination: data files that are safe, and those that are covered.
    pub(super) safe_shares: Vec<(u64, u64)>,
}

impl EventLog {
    pub(super) fn read(
        ledger: &dyn Ledger,
        naming: &Naming,
        since: &str,
        months: &[String],
    ) -> Result<Self, LedgerError> {
        let mut log = Self::default();
        let first_month = months.first().map(|it| format!("{it}-01T00:00:00.000Z")).unwrap_or_default();
        let from = since.min(first_month.as_str());
        ledger.visit_events(Some(from), &mut |event| {
            log.course(&event);
            if event.started.as_str() >= since {
                log.period(event, naming);
            }
        })?;
        Ok(log)
    }

    /// What also counts where it was before the period.
    fn course(&mut self, event: &Event) {
        let Some(end) = event.end.as_ref().filter(|_| event.command == "run" && event.scope == EVERYTHING) else {
            return;
        };
        let outcome = outcome(event);
        let mut catalogue = Catalogue { files: 0, safe_shares: Vec::new() };
        for (destination, counts) in by_destination(&end.counts) {
            let Some(files) = counts.get("files").filter(|files| files.is_object()) else { continue };
            let catalogued = count(files, "catalogued");
            let safe = count(files, "unchanged") + count(files, "copied") + count(files, "adopted");
            catalogue.files = catalogue.files.max(catalogued);
            catalogue
                .safe_shares
                .push((safe, catalogued.saturating_sub(count(files, "not_covered") + count(files, "purged"))));
            let last = LastRun { started: event.started.clone(), outcome: outcome.clone() };
            self.last_runs.insert(DestinationName(destination.clone()), last);
        }
        if let (Some(month), false) = (event.started.get(..7), catalogue.safe_shares.is_empty()) {
            self.catalogues.insert(month.to_owned(), catalogue);
        }
    }

    fn period(&mut self, event: Event, naming: &Naming) {
        self.count_command(&event);
        let (copies_checked, files_checked) = self.count_checks(&event);
        if event.command == "drill" {
            self.drills.push(drill(&event, naming));
        }
        if event.command == "purge execute" {
            self.count_purge(&event);
        }
        let it = EventReport {
            outcome: outcome(&event),
            files_copied: files_copied(&event),
            id: event.id.0,
            command: event.command,
            started: event.started,
            finished: event.end.map(|end| end.finished),
            by: naming.kept(format!("{} on {}", event.agent.user, event.agent.host)),
            program: event.agent.program,
            scope: naming.scope(event.scope),
            destinations: event.destinations.iter().map(|it| naming.destination(it)).collect(),
            overrides: event.overrides,
            copies_checked,
            files_checked,
        };
        if !it.overrides.is_empty() {
            self.overrides.push(Overridden {
                started: it.started.clone(),
                command: it.command.clone(),
                overrides: it.overrides.clone(),
                scope: it.scope.clone(),
                by: it.by.clone(),
                outcome: it.outcome.clone(),
            });
        }
        self.events.push(it);
    }

    fn count_command(&mut self, event: &Event) {
        let counted = self.commands.entry(event.command.clone()).or_insert_with(|| CommandCount {
            command: event.command.clone(),
            times: 0,
            good: 0,
            otherwise: 0,
            without_end: 0,
            last: String::new(),
        });
        counted.times += 1;
        match &event.end {
            Some(end) if end.exit_code == 0 => counted.good += 1,
            Some(_) => counted.otherwise += 1,
            None => counted.without_end += 1,
        }
        counted.last.clone_from(&event.started);
    }

    /// `verify` counts the copies of its one destination, `run` those of its nightly share for each, `audit` and `run` data
    /// files in their stores. Gives back the sums: of copies, and of data files.
    fn count_checks(&mut self, event: &Event) -> (Checks, Checks) {
        let (mut copies, mut files) = (Checks::default(), Checks::default());
        let Some(end) = &event.end else { return (copies, files) };
        match event.command.as_str() {
            "verify" => {
                copies = Checks::of_copies(&end.counts["copies"]);
                if let Some(destination) = event.destinations.first() {
                    self.checks.entry(destination.clone()).or_default().add(copies);
                }
            }
            "run" => {
                for (destination, counts) in by_destination(&end.counts) {
                    let verified = Checks::of_copies(&counts["verified"]);
                    self.checks.entry(DestinationName(destination.clone())).or_default().add(verified);
                    copies.add(verified);
                    let (all, bad) = (count(&counts["audited"], "data_files"), count(&counts["audited"], "not_safe"));
                    files.add(Checks::of(all.saturating_sub(bad), bad));
                }
            }
            "audit" => {
                let counts = &end.counts["files"];
                files = Checks::of(count(counts, "good"), count(counts, "damaged") + count(counts, "missing"));
            }
            _ => {}
        }
        // One command each, however many destinations it had.
        copies.commands = copies.commands.min(1);
        files.commands = files.commands.min(1);
        self.store_checks.add(files);
        (copies, files)
    }

    fn count_purge(&mut self, event: &Event) {
        let Some(end) = &event.end else { return };
        // One that found nothing to be deleted says nothing of deleting.
        let mut has_deleted = false;
        for purge in end.counts.as_array().into_iter().flatten() {
            let at = purge["at"].as_object().into_iter().flatten();
            let objects: u64 = at.map(|(_, at)| count(at, "deleted")).sum();
            let Some(basis) = purge["basis"].as_str().filter(|_| objects > 0) else { continue };
            has_deleted = true;
            match self.purges.by_basis.iter_mut().find(|it| it.basis == basis) {
                Some(counted) => counted.objects += objects,
                None => self.purges.by_basis.push(BasisCount { basis: basis.to_owned(), objects }),
            }
        }
        self.purges.commands += u64::from(has_deleted);
    }
}

impl Checks {
    /// As `verify` and `run` write them.
    fn of_copies(copies: &Value) -> Self {
        Self::of(count(copies, "good"), count(copies, "damaged") + count(copies, "missing"))
    }

    fn of(good: u64, bad: u64) -> Self {
        Self { commands: u64::from(good + bad > 0), checked: good + bad, good, bad }
    }

    fn add(&mut self, more: Self) {
        self.commands += more.commands;
        self.checked += more.checked;
        self.good += more.good;
        self.bad += more.bad;
    }
}

/// Data files that a `run` copied or found at its destinations.
fn files_copied(event: &Event) -> Option<u64> {
    let end = event.end.as_ref().filter(|_| event.command == "run")?;
    let of = |counts: &Value| count(&counts["files"], "copied") + count(&counts["files"], "adopted");
    Some(by_destination(&end.counts).map(|(_, counts)| of(counts)).sum())
}

/// What each destination of a `run` was told of.
fn by_destination(counts: &Value) -> impl Iterator<Item = (&String, &Value)> {
    counts.as_object().into_iter().flatten().filter(|(_, of)| of.is_object())
}

/// What is not there, and what another version of the program writes otherwise, counts as nothing.
fn count(of: &Value, field: &str) -> u64 {
    of[field].as_u64().unwrap_or(0)
}

fn drill(event: &Event, naming: &Naming) -> Drill {
    let counts = event.end.as_ref().map(|end| &end.counts);
    let number = |field: &str| counts.and_then(|counts| counts[field].as_u64());
    let (sample, good) = (number("sample"), number("good"));
    Drill {
        started: event.started.clone(),
        destinations: event.destinations.iter().map(|it| naming.destination(it)).collect(),
        scope: naming.scope(event.scope.clone()),
        population: number("population"),
        sample,
        bytes: number("bytes"),
        milliseconds: number("milliseconds"),
        good,
        by_dataverse: number("by_dataverse"),
        failed: sample.zip(good).map(|(sample, good)| sample.saturating_sub(good)),
        by: naming.kept(format!("{} on {}", event.agent.user, event.agent.host)),
        outcome: outcome(event),
    }
}

/// By its exit code, in words that fit every command.
pub(crate) fn outcome(event: &Event) -> Outcome {
    let exit_code = event.end.as_ref().map(|end| end.exit_code);
    let words = match exit_code {
        None => "still running, or cut off",
        Some(0) => "good",
        Some(1) => "not everything is safe",
        Some(2) => "wrongly called or configured",
        Some(3) => "damage at the source",
        Some(4) => "damage at a destination",
        Some(5) => "something was unreachable",
        Some(6) => "another run was under way",
        Some(7) => "refused for safety",
        Some(8) => "time was over, the rest is pending",
        Some(128..) => "ended by a signal",
        Some(_) => "failed",
    };
    Outcome { exit_code, words }
}
