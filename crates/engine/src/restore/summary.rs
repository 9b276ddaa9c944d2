//! What a restore reports.

use std::collections::BTreeSet;

use dvb_model::{DestinationName, DvObjectId, RunId};
use serde::Serialize;

use super::{Goal, RestoreOptions, RestoreSetup, now};
use crate::command::LISTED;
use crate::command::exit_status::ExitStatus;
use crate::command::hint::Hint;

/// Objects that were asked for, by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ObjectCounts {
    /// Put where they belong; with --dry-run, those that would be.
    pub restored: u64,
    /// Of these, objects that took the place of damaged ones.
    pub replaced: u64,
    /// There already: read, and found good.
    pub already_good: u64,
    /// There already with the right size, and not read (--missing).
    pub present: u64,
    /// Copies found missing or changed at a destination. None was given back.
    pub damaged_copies: u64,
    /// Objects that were not given back, for whatever reason.
    pub failed: u64,
    /// Not given back, because no destination has a proved copy.
    pub no_copy: u64,
}

/// An object that is not there, or a copy that is bad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreFinding {
    /// Which; `None` for an object of a dataset itself.
    pub data_file_id: Option<DvObjectId>,
    /// PID of its dataset.
    pub dataset: Option<String>,
    /// Its storage identifier as it stands.
    pub storage_identifier: Option<String>,
    /// Its newest name with its folder.
    pub name: Option<String>,
    /// Where it belongs below the folder or store.
    pub key: Option<String>,
    /// Why, in a sentence.
    pub reason: String,
}

/// What a restore reports at its end; serialised, it is what `--json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreSummary {
    /// Name of the restore.
    pub run_id: RunId,
    /// Destinations that copies were looked for at, in this order.
    pub from: Vec<DestinationName>,
    /// The folder; `None` where files went into their stores.
    pub to: Option<String>,
    /// Whether they went into their stores.
    pub in_place: bool,
    /// When it began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC.
    pub finished: String,
    /// Nothing was done, only looked at.
    pub dry_run: bool,
    /// How many objects were asked for, by what became of them.
    pub objects: ObjectCounts,
    /// Data files with at least one object that was restored.
    pub files: u64,
    /// Bytes of the objects that were restored.
    pub bytes: u64,
    /// Data files without bytes that a backup could have, by rule.
    pub not_covered: u64,
    /// Data files that were not looked at before the restore ended.
    pub pending: u64,
    /// The first of what is not there.
    pub failures: Vec<RestoreFinding>,
    /// How many failures there are; `failures` has the first of them.
    pub failures_total: u64,
    /// The first of the copies that are bad.
    pub damaged_copies: Vec<RestoreFinding>,
    /// Restricted, embargoed or expired data files that were restored: their bytes are not for everybody.
    pub restricted: Vec<DvObjectId>,
    /// How many restricted data files there are; `restricted` has the first of them.
    pub restricted_total: u64,
    /// Where damaged bytes were kept.
    pub kept: Vec<String>,
    /// What else the administrator should know.
    pub notes: Vec<String>,
    /// What was selected and did not come, and what can be done about it.
    #[serde(skip)]
    pub left_out: Vec<(String, Hint)>,
    /// Why it gave up before its end.
    pub aborted: Option<String>,
    /// The ending's exit code.
    pub exit_code: u8,
    /// How it ended, of which `exit_code` is the number.
    #[serde(skip)]
    pub ending: ExitStatus,
}

/// What the workers found.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) objects: ObjectCounts,
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) not_covered: u64,
    pub(super) pending: u64,
    failures: Vec<RestoreFinding>,
    failures_total: u64,
    damaged: Vec<RestoreFinding>,
    restricted: Vec<DvObjectId>,
    restricted_total: u64,
    kept: Vec<String>,
    notes: BTreeSet<String>,
    left_out: Vec<(String, Hint)>,
    pub(super) unusable: Option<ExitStatus>,
    pub(super) aborted: Option<(ExitStatus, String)>,
}

impl Tally {
    pub(super) fn fail(&mut self, finding: RestoreFinding) {
        self.failures_total += 1;
        push(&mut self.failures, finding);
    }

    pub(super) fn damaged(&mut self, finding: RestoreFinding) {
        self.objects.damaged_copies += 1;
        push(&mut self.damaged, finding);
    }

    pub(super) fn restrict(&mut self, id: DvObjectId) {
        self.restricted_total += 1;
        push(&mut self.restricted, id);
    }

    pub(super) fn keep(&mut self, path: String) {
        self.objects.replaced += 1;
        push(&mut self.kept, path);
    }

    pub(super) fn leave_out(&mut self, text: String, hint: Hint) {
        self.left_out.push((text, hint));
    }

    pub(super) fn note(&mut self, text: String) {
        if self.notes.len() < LISTED {
            self.notes.insert(text);
        }
    }

    pub(super) fn abort(&mut self, ending: ExitStatus, why: String) {
        self.aborted.get_or_insert((ending, why));
    }

    fn ending(&self, signal: Option<u8>, lost: Option<ExitStatus>) -> ExitStatus {
        let rules = [
            signal.map(ExitStatus::Signalled),
            self.aborted.as_ref().map(|it| it.0),
            lost.filter(|_| self.failures_total > 0),
            self.unusable,
            (self.objects.damaged_copies > 0).then_some(ExitStatus::DestinationDamaged),
            (self.failures_total > 0).then_some(ExitStatus::NotSafe),
        ];
        rules.into_iter().flatten().min().unwrap_or(ExitStatus::Safe)
    }
}

fn push<T>(list: &mut Vec<T>, it: T) {
    if list.len() < LISTED {
        list.push(it);
    }
}

pub(super) fn of(
    setup: &RestoreSetup<'_>,
    options: &RestoreOptions,
    started: String,
    mut tally: Tally,
    lost: Option<ExitStatus>,
) -> RestoreSummary {
    let signal = setup.stop.signalled().and_then(|it| u8::try_from(it).ok());
    let ending = tally.ending(signal, lost);
    tally.restricted.sort_unstable();
    setup.stores.notes().into_iter().for_each(|it| tally.note(it));
    let (to, in_place) = match setup.to {
        Goal::Folder(target) => (Some(target.describe()), false),
        Goal::InPlace(_) => (None, true),
    };
    RestoreSummary {
        run_id: options.run.clone(),
        from: setup.from.iter().map(|it| it.name.clone()).collect(),
        to,
        in_place,
        started,
        finished: now(),
        dry_run: options.dry_run,
        objects: tally.objects,
        files: tally.files,
        bytes: tally.bytes,
        not_covered: tally.not_covered,
        pending: tally.pending,
        failures: tally.failures,
        failures_total: tally.failures_total,
        damaged_copies: tally.damaged,
        restricted: tally.restricted,
        restricted_total: tally.restricted_total,
        kept: tally.kept,
        notes: tally.notes.into_iter().collect(),
        left_out: tally.left_out,
        aborted: tally.aborted.map(|it| it.1),
        exit_code: ending.code(),
        ending,
    }
}
