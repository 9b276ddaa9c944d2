//! `status`: what the ledger knows, without a look at anything else.

use std::collections::{BTreeSet, HashSet};

use dvb_build as build;
use dvb_engine::{Asked, CancelToken, ExitStatus, Selection, acknowledged};
use dvb_fixity::Digest;
use dvb_ledger::{Acknowledgement, CopyRecord, CopyState, EntryKind, Holding, Ledger, Run, RunSummary, StateDetail};
use dvb_model::{DestinationName, DvObjectId, ObjectKey, Status};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Context;
use super::destination_args::DestinationArgs;
use super::history::History;
use super::hosts;
use super::require::{self, Requirement};
use super::selection_args;
use crate::exit::Failure;
use crate::output::{Screen, Tint, plain};
use crate::report;

/// How many runs are shown.
const RUNS: u32 = 3;
/// How many are asked for where none of these says that a run has ended.
const ALL_RUNS: u32 = 10_000;

/// Say what is safe, and what is not and why
///
/// Asks the ledger alone; nothing is read or verified. The exit code says what would have to be done: 0 if nothing
/// failed and nothing is pending, 4 with a FAIL_VERIFY, 3 with a FAIL_CHECKSUM, else 1; also 1 as long as no run of
/// everything has ended for a destination. With --dataset or --file it is about these data files only, and a file or dataset that no
/// run has checked counts as pending. Where the last run was refused or could not work (7, 5, 2), its exit code counts
/// too: the numbers are those that it left. With several destinations, each data file is shown with how many of them have a
/// proved copy of it, also one from before it failed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A line for each data file that is not safe: failed or pending
    ///
    /// With --json: JSON Lines, one object for each data file, and nothing else.
    #[arg(long)]
    failed: bool,

    /// The data files that have left Dataverse's database: since when, and where their copies lie
    ///
    /// Their copies are kept. With --dataset or --file, these alone. With --json: JSON Lines, as for --failed.
    #[arg(long, conflicts_with = "failed")]
    gone: bool,

    /// A line for each data file of this dataset, by any of its names; repeatable
    ///
    /// Its PID with or without `doi:` or `hdl:`, in any case, one that it had before, or an address: of doi.org,
    /// hdl.handle.net, or of its page in Dataverse.
    #[arg(long, value_name = "PID")]
    dataset: Vec<String>,

    /// Everything that is known of the data file with this id in Dataverse's database; repeatable
    ///
    /// Its copies, when each was first seen and last proved and by which evidence, and what was repaired of it. Its own
    /// PID and the address of its page are taken too.
    #[arg(long, value_name = "ID")]
    file: Vec<String>,

    #[command(flatten)]
    destinations: DestinationArgs,

    /// End with 1 unless this holds, and name what falls short: `copies=2,verified=90d,audited=1y`
    ///
    /// `copies`: each data file has a proved copy at so many destinations. `verified`: each copy was verified within this time.
    /// `audited`: each data file that is safe was read in its store within it. Each part may stand alone. Losses that were
    /// acknowledged are left out. The usual exit codes apply too.
    #[arg(long, value_name = "WHAT")]
    require: Option<Requirement>,
}

impl Args {
    fn lists(&self) -> bool {
        !self.gone && (self.failed || self.selects())
    }

    fn selects(&self) -> bool {
        !self.gone && (!self.dataset.is_empty() || !self.file.is_empty())
    }

    /// Whether each data file is an object of its own with --json.
    fn is_lines(&self) -> bool {
        self.failed || self.gone
    }

    fn asked(&self) -> Asked {
        Asked { datasets: self.dataset.clone(), files: self.file.clone(), ..Asked::default() }
    }
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<ExitStatus, Failure> {
    let destinations = context.destinations(&args.destinations.names)?;
    let stop = CancelToken::new();
    let ledger = build::ledger(&context.config, 1, &stop)?;
    let several = context.config.destinations.len() > 1;
    let names: Vec<_> = destinations.iter().map(|it| &it.name).collect();
    let catalogue = || Ok(build::catalogue(&context.config)?);
    let selection =
        selection_args::resolve_by_ledger(&args.asked(), context, ledger.as_ref(), &names, catalogue, &stop)?;
    let status = Command { args, selection, screen: &context.screen, ledger: ledger.as_ref(), several };
    let (mut ending, mut objects) = (ExitStatus::Safe, Vec::new());
    for destination in &destinations {
        let (object, ends) = status.of(&destination.name)?;
        ending = ending.min(ends);
        objects.push(object);
    }
    let names: Vec<&DestinationName> = destinations.iter().map(|it| &it.name).collect();
    let demanded = args.require.as_ref();
    let shortfall = demanded.map(|demanded| require::shortfall(ledger.as_ref(), &names, demanded)).transpose()?;
    if let Some(shortfall) = &shortfall {
        ending = ending.min(shortfall.ending());
    }
    let spread = ledger.spread()?;
    let mended = status.incidents()?;
    if context.screen.json && !args.is_lines() {
        let copies: Map<String, Value> = spread.iter().map(|it| (it.0.to_string(), it.1.into())).collect();
        let mut object = json!({ "destinations": objects, "copies": copies, "exit_code": ending.code() });
        if let (Some(incidents), Some(object)) = (mended, object.as_object_mut()) {
            object.insert("incidents".to_owned(), incidents);
        }
        if let (Some(shortfall), Some(object)) = (&shortfall, object.as_object_mut()) {
            object.insert("require".to_owned(), shortfall.object());
        }
        context.screen.print_json(&object)?;
    } else if !context.screen.json && several {
        context.screen.print(&spread_text(&spread))?;
    }
    for line in shortfall.iter().flat_map(|it| &it.lines) {
        context.screen.say(&format!("not met: {line}"));
    }
    Ok(ending)
}

/// How many data files have how many copies, over all destinations.
fn spread_text(spread: &[(u64, u64)]) -> String {
    let lines: String =
        spread.iter().map(|(copies, files)| format!("\n  {:<13} {files:>10}", number_of_copies(*copies))).collect();
    format!("all destinations: data files by their proved copies{lines}")
}

fn number_of_copies(count: u64) -> String {
    format!("{count} {}", if count == 1 { "copy" } else { "copies" })
}

struct Command<'a> {
    args: &'a Args,
    selection: Selection,
    screen: &'a Screen,
    ledger: &'a dyn Ledger,
    /// There are several destinations, so a data file may have several copies.
    several: bool,
}

impl Command<'_> {
    /// The data files that are asked for one by one.
    fn files(&self) -> impl Iterator<Item = &DvObjectId> {
        self.selection.files.iter().chain(&self.selection.named_files)
    }

    fn is_selected(&self, detail: &StateDetail) -> bool {
        // Stores are no part of what is asked for.
        self.selection.has_detail(detail, "")
    }

    /// What was mended of the data files that are asked for by their ids: printed, or by id.
    fn incidents(&self) -> Result<Option<Value>, Failure> {
        let mut objects = Map::new();
        for id in self.files().copied() {
            let history = History::of(self.ledger, id)?;
            let text = history.incidents_text();
            if !self.screen.json && !text.is_empty() {
                self.screen.print(&format!("file {id}\n{text}"))?;
            }
            objects.insert(id.to_string(), history.incidents());
        }
        Ok((!objects.is_empty()).then_some(objects.into()))
    }

    /// Prints the text of one destination, or makes its object; and what its state comes to.
    fn of(&self, destination: &DestinationName) -> Result<(Value, ExitStatus), Failure> {
        let (counts, gone) = self.ledger.counts(destination)?;
        let oldest = self.ledger.oldest_proof(destination)?;
        let claimed = self.ledger.count_claimed(destination)?;
        let runs = self.ledger.runs(destination, RUNS)?;
        let is_enough = has_ended(&runs) && last_run(&runs).is_some();
        let all = if is_enough { Vec::new() } else { self.ledger.runs(destination, ALL_RUNS)? };
        let has_ended = has_ended(&runs) || has_ended(&all);
        let did_nothing = last_run(&runs).or_else(|| last_run(&all)).and_then(did_nothing);
        let known = acknowledged(self.ledger, destination)?;
        let is_new = |(status, count): &&(Status, u64)| {
            *count > known.iter().filter(|loss| loss.status == *status).count() as u64
        };
        let counted = counts.iter().filter(is_new).map(|it| ending_of(it.0)).min().unwrap_or(ExitStatus::Safe);
        // What Dataverse has, only a run that has ended can tell.
        let counted = if has_ended { counted } else { counted.min(ExitStatus::NotSafe) };
        if !self.screen.json {
            self.screen.print(&self.overview(
                destination,
                (&counts, known.len()),
                gone,
                claimed,
                oldest.as_deref(),
                &runs,
            ))?;
        }
        let shared = hosts::at(self.ledger, destination)?;
        if let Some(shared) = shared.as_ref().filter(|_| !self.screen.json) {
            self.screen.print(&hosts::text(shared))?;
        }
        if !has_ended {
            self.screen.say(&format!("destination {destination}: {}", before_the_first(runs.first())));
        }
        if let Some((_, why)) = &did_nothing {
            self.screen.say(&format!("destination {destination}: {why}"));
        }
        if self.args.gone {
            self.gone(destination)?;
        }
        let (listed, found) =
            if self.args.lists() { self.list(destination, &known)? } else { (None, ExitStatus::Safe) };
        let datasets = self.datasets(destination)?;
        let of_datasets = datasets.iter().map(|it| ending_of(it.status)).min().unwrap_or(ExitStatus::Safe);
        self.show_datasets(destination, &datasets)?;
        let mut object = json!({
            "destination": destination,
            "counts": all_counts(&counts),
            "acknowledged": known.len(),
            "complete": has_ended,
            "gone": gone,
            "claimed_copies": claimed,
            "datasets": datasets.iter().map(|it| dataset_object(destination, it)).collect::<Vec<_>>(),
            "oldest_proof": oldest,
            "last_run": runs.first().map(run_object),
            "runs": runs.iter().map(run_object).collect::<Vec<_>>(),
            "shared_run": shared.as_ref().map(hosts::object),
        });
        if let (Some(files), Some(object)) = (listed, object.as_object_mut()) {
            object.insert("data_files".to_owned(), files.into());
        }
        let of_last_run = did_nothing.map_or(ExitStatus::Safe, |it| it.0);
        Ok((object, if self.args.selects() { found } else { counted.min(of_last_run) }.min(of_datasets)))
    }

    /// The datasets whose own objects (a logo) are not safe, of those that are asked for.
    fn datasets(&self, destination: &DestinationName) -> Result<Vec<StateDetail>, Failure> {
        let mut found = Vec::new();
        for holding in self.ledger.holdings(destination, EntryKind::Dataset) {
            let detail = holding?.detail;
            let is_asked_for = self.selection.has_dataset(detail.dataset.as_deref().unwrap_or(""));
            if is_asked_for && is_unsafe(&detail) {
                found.push(detail);
            }
        }
        Ok(found)
    }

    fn show_datasets(&self, destination: &DestinationName, datasets: &[StateDetail]) -> Result<(), Failure> {
        let Self { args, screen, .. } = self;
        if screen.json {
            let lines = datasets.iter().filter(|_| args.failed);
            return lines.map(|it| dataset_object(destination, it)).try_for_each(|it| screen.print_json(&it));
        }
        if args.lists() {
            let line = |detail: &StateDetail| {
                report::line(
                    None,
                    detail.dataset.as_deref(),
                    Some("its own objects"),
                    detail.status,
                    detail.reason.as_deref(),
                )
            };
            datasets.iter().try_for_each(|it| screen.print(&format!("  {}", line(it))))?;
        } else if !datasets.is_empty() {
            let count = datasets.len();
            screen.print(&format!(
                "  {:<13} {count:>10}  with objects of their own (logos) that are not safe",
                "datasets"
            ))?;
        }
        Ok(())
    }

    /// Prints or gathers the data files that are asked for, and what they come to.
    fn list(
        &self,
        destination: &DestinationName,
        known: &[Acknowledgement],
    ) -> Result<(Option<Vec<Value>>, ExitStatus), Failure> {
        let known: HashSet<DvObjectId> = known.iter().map(|it| it.id).collect();
        let Self { args, screen, ledger, several, .. } = self;
        let (mut gathered, mut ending) = (Vec::new(), ExitStatus::Safe);
        let mut printed = Ok(());
        let mut missing: BTreeSet<_> = self.files().copied().collect();
        let in_full = !missing.is_empty();
        let mut found = Vec::new();
        let mut is_known = false;
        ledger.visit_details(destination, self.only_dataset(), false, &mut |detail| {
            if !self.is_selected(&detail) {
                return;
            }
            is_known = true;
            missing.remove(&detail.id);
            if detail.gone_since.is_none() && !known.contains(&detail.id) {
                ending = ending.min(ending_of(detail.status));
            }
            if (args.failed && !is_unsafe(&detail)) || printed.is_err() {
                return;
            }
            if in_full {
                found.push(detail);
                return;
            }
            match (screen.json, args.failed) {
                (false, _) => printed = screen.print(&format!("  {}", text(&detail, *several))),
                (true, true) => printed = screen.print_json(&DataFile::of(destination, detail)),
                (true, false) => gathered.push(json!(DataFile::of(destination, detail))),
            }
        })?;
        for it in found {
            gathered.extend(self.in_full(destination, it)?);
        }
        printed?;
        if !is_known && missing.is_empty() && args.selects() {
            let pids: Vec<_> = self.selection.datasets.iter().map(|it| plain(it)).collect();
            let pids = pids.join(", ");
            screen.say(&format!("destination {destination}: no run has checked a data file of dataset {pids} yet"));
            ending = ending.min(ExitStatus::NotSafe);
        }
        for id in missing {
            screen.say(&format!("destination {destination}: no run has checked data file {id} yet"));
            ending = ending.min(ExitStatus::NotSafe);
        }
        Ok(((screen.json && !args.failed).then_some(gathered), ending))
    }

    /// The PID by which the ledger can look its rows up, where one says it all.
    fn only_dataset(&self) -> Option<&str> {
        let Selection { datasets, earlier_pids, named_files, .. } = &self.selection;
        let is_all = datasets.len() == 1 && earlier_pids.is_empty() && named_files.is_empty();
        datasets.first().map(String::as_str).filter(|_| is_all)
    }

    /// Prints the data files that have left the catalogue, with their copies.
    fn gone(&self, destination: &DestinationName) -> Result<(), Failure> {
        for holding in self.ledger.holdings(destination, EntryKind::DataFile) {
            let Holding { detail, copies, .. } = holding?;
            if detail.gone_since.is_none() || !self.is_selected(&detail) {
                continue;
            }
            if self.screen.json {
                self.screen.print_json(&GoneFile::of(destination, detail, copies))?;
            } else {
                self.screen.print(&gone_text(&detail, &copies))?;
            }
        }
        Ok(())
    }

    /// Prints one data file with its copies and their history, or makes its object.
    fn in_full(&self, destination: &DestinationName, it: StateDetail) -> Result<Option<Value>, Failure> {
        let Self { args, screen, ledger, several, .. } = self;
        let history = History::of(*ledger, it.id)?;
        if !screen.json {
            screen.print(&format!("  {}\n{}", text(&it, *several), history.text(destination)))?;
            return Ok(None);
        }
        let mut object = json!(DataFile::of(destination, it));
        if let Some(object) = object.as_object_mut() {
            object.insert("first_seen".to_owned(), history.first_seen(destination).into());
            object.insert("custody".to_owned(), history.objects(destination));
        }
        if args.failed {
            screen.print_json(&object)?;
            return Ok(None);
        }
        Ok(Some(object))
    }

    fn overview(
        &self,
        destination: &DestinationName,
        (counts, acknowledged): (&[(Status, u64)], usize),
        gone: u64,
        claimed: u64,
        oldest: Option<&str>,
        runs: &[(Run, Option<RunSummary>)],
    ) -> String {
        let mut lines = vec![format!("destination {destination}")];
        for (status, count) in Status::ALL.map(|it| (it, count_of(counts, it))) {
            if count > 0 || status == Status::Ok {
                let name = self.screen.tinted(tint(status), &format!("{:<13}", status.name()));
                lines.push(format!("  {name} {count:>10}  {}", meaning(status)));
            }
        }
        if acknowledged > 0 {
            let what = "of these are known to be lost or damaged, and raise no alarm";
            lines.push(format!("  {:<13} {acknowledged:>10}  {what}", "acknowledged"));
        }
        if gone > 0 {
            lines.push(format!("  {:<13} {gone:>10}  left Dataverse; their copies are kept", "gone"));
        }
        if claimed > 0 {
            let what = "copies by a snapshot, not proved yet: the next run or verify does that";
            lines.push(format!("  {:<13} {claimed:>10}  {what}", "claimed"));
        }
        if let Some(at) = oldest {
            lines.push(format!("  oldest proof: {at}{}", age(at).map(|it| format!(", {it}")).unwrap_or_default()));
        }
        lines.extend(
            runs.iter().map(|(run, end)| format!("  {} {}", command(end.as_ref()), run_text(run, end.as_ref()))),
        );
        lines.join("\n")
    }
}

/// A data file as `--json` has it.
#[derive(Serialize)]
struct DataFile<'a> {
    destination: &'a DestinationName,
    data_file_id: DvObjectId,
    dataset: Option<String>,
    storage_identifier: Option<String>,
    name: Option<String>,
    status: Status,
    checksum_basis: Option<&'static str>,
    reason: Option<String>,
    provisional: bool,
    gone_since: Option<String>,
    recorded_at: String,
    /// Proved objects at this destination.
    objects: u64,
    /// Destinations that have it, whatever today's verdict.
    copies: u64,
}

impl<'a> DataFile<'a> {
    fn of(destination: &'a DestinationName, it: StateDetail) -> Self {
        Self {
            destination,
            data_file_id: it.id,
            dataset: it.dataset,
            storage_identifier: it.storage_identifier,
            name: it.label,
            status: it.status,
            checksum_basis: it.basis.map(dvb_ledger::Basis::name),
            reason: it.reason,
            provisional: it.provisional,
            gone_since: it.gone_since,
            recorded_at: it.recorded_at,
            objects: it.copies,
            copies: it.destinations,
        }
    }
}

/// A dataset with objects of its own that are not safe, as `--json` has it.
fn dataset_object(destination: &DestinationName, it: &StateDetail) -> Value {
    json!({
        "destination": destination,
        "data_file_id": null,
        "dataset": it.dataset,
        "status": it.status,
        "reason": it.reason,
        "recorded_at": it.recorded_at,
    })
}

/// A data file that has left the catalogue, as `--gone --json` has it.
#[derive(Serialize)]
struct GoneFile<'a> {
    destination: &'a DestinationName,
    data_file_id: DvObjectId,
    dataset: Option<String>,
    storage_identifier: Option<String>,
    name: Option<String>,
    gone_since: Option<String>,
    status: Status,
    copies: Vec<KeptCopy>,
}

#[derive(Serialize)]
struct KeptCopy {
    object: String,
    version: u32,
    key: ObjectKey,
    state: &'static str,
    size: Option<u64>,
    sha256: Option<Digest>,
    proved_at: Option<String>,
}

impl<'a> GoneFile<'a> {
    fn of(destination: &'a DestinationName, it: StateDetail, copies: Vec<CopyRecord>) -> Self {
        let kept = |copy: CopyRecord| KeptCopy {
            object: copy.role.to_string(),
            version: copy.version,
            key: copy.key,
            state: copy.state.name(),
            size: copy.size,
            sha256: copy.sha256,
            proved_at: copy.proved_at,
        };
        Self {
            destination,
            data_file_id: it.id,
            dataset: it.dataset,
            storage_identifier: it.storage_identifier,
            name: it.label,
            gone_since: it.gone_since,
            status: it.status,
            copies: copies.into_iter().filter(|it| it.state != CopyState::Reserved).map(kept).collect(),
        }
    }
}

fn gone_text(it: &StateDetail, copies: &[CopyRecord]) -> String {
    let name = it.label.as_deref().or(it.storage_identifier.as_deref());
    let parts: Vec<_> = [it.dataset.as_deref(), name].into_iter().flatten().map(plain).collect();
    let since = it.gone_since.as_deref().unwrap_or_default();
    let mut text = format!("  file {}, {}: left Dataverse {since}", it.id, parts.join(", "));
    let kept = copies.iter().filter(|it| it.state != CopyState::Reserved);
    for CopyRecord { role, key, size, state, proved_at, .. } in kept.clone() {
        let proved = proved_at.as_deref().unwrap_or_default();
        let state = if *state == CopyState::Damaged { "DAMAGED, was last good on" } else { "proved" };
        let size = report::bytes(size.unwrap_or(0));
        text += &format!("\n    {}  {}, {size}, {state} {proved}", plain(key.as_str()), plain(&role.to_string()));
    }
    if kept.count() == 0 {
        text += "\n    no copy was ever proved";
    }
    text
}

fn text(it: &StateDetail, several: bool) -> String {
    let name = it.label.as_deref().or(it.storage_identifier.as_deref());
    let mut text = report::line(Some(it.id), it.dataset.as_deref(), name, it.status, it.reason.as_deref());
    if several {
        text += &format!(" ({} proved)", number_of_copies(it.destinations));
    }
    if it.provisional {
        text += " (provisional: an ingest was under way)";
    }
    if let Some(since) = &it.gone_since {
        text += &format!(" (left Dataverse: {since})");
    }
    text
}

fn is_unsafe(it: &StateDetail) -> bool {
    it.gone_since.is_none() && ending_of(it.status) != ExitStatus::Safe
}

/// What a data file of this status comes to. Whether a source is damaged or only unreadable, a status does not tell.
fn ending_of(status: Status) -> ExitStatus {
    match status {
        Status::Ok | Status::NotCovered => ExitStatus::Safe,
        Status::Pending | Status::FailRead | Status::FailWrite => ExitStatus::NotSafe,
        Status::FailChecksum => ExitStatus::SourceDamaged,
        Status::FailVerify => ExitStatus::DestinationDamaged,
    }
}

fn meaning(status: Status) -> &'static str {
    match status {
        Status::Ok => "at the destination, and proved",
        Status::Pending => "known, not copied yet",
        Status::FailRead => "the source could not be read",
        Status::FailChecksum => "the source is not what Dataverse recorded: damaged there",
        Status::FailWrite => "could not be stored at the destination",
        Status::FailVerify => "the copy is missing, or the destination holds other bytes",
        Status::NotCovered => "no bytes that a backup could read, by rule",
    }
}

fn tint(status: Status) -> Tint {
    match ending_of(status) {
        ExitStatus::Safe if status == Status::Ok => Tint::Good,
        ExitStatus::Safe => Tint::Doubtful,
        _ => Tint::Bad,
    }
}

fn count_of(counts: &[(Status, u64)], status: Status) -> u64 {
    counts.iter().filter(|it| it.0 == status).map(|it| it.1).sum()
}

/// All statuses, so that a program finds each.
fn all_counts(counts: &[(Status, u64)]) -> Map<String, Value> {
    Status::ALL.map(|it| (it.name().to_owned(), count_of(counts, it).into())).into_iter().collect()
}

fn run_object((run, end): &(Run, Option<RunSummary>)) -> Value {
    json!({
        "command": command(end.as_ref()),
        "run_id": run.id,
        "started": run.started,
        "finished": end.as_ref().map(|it| &it.finished),
        "host": run.host,
        "exit_code": end.as_ref().map(|it| it.exit_code),
        "error": end.as_ref().and_then(gave_up),
    })
}

/// Why it gave up, where it did.
fn gave_up(end: &RunSummary) -> Option<String> {
    let summary: Value = serde_json::from_str(&end.json).ok()?;
    ["error", "aborted"].iter().find_map(|it| summary[*it].as_str()).map(str::to_owned)
}

/// The newest `run` that has come to its end.
fn last_run(runs: &[(Run, Option<RunSummary>)]) -> Option<&RunSummary> {
    runs.iter().filter_map(|it| it.1.as_ref()).find(|it| command(Some(it)) == "run")
}

/// Where a run was refused or could not work, no number tells it: how it ended, and what is to be said.
fn did_nothing(run: &RunSummary) -> Option<(ExitStatus, String)> {
    let (ending, what) = [
        (ExitStatus::Refused, "was refused"),
        (ExitStatus::Unreachable, "could not work"),
        (ExitStatus::Usage, "could not work"),
    ]
    .into_iter()
    .find(|it| it.0.code() == run.exit_code)?;
    let why = gave_up(run).map(|it| format!(": {}", plain(&it))).unwrap_or_default();
    let text = format!(
        "the last run, which ended {}, {what} (exit code {}); the numbers are those that it left{why}",
        run.finished, run.exit_code
    );
    Some((ending, text))
}

/// Which command it was. One that did not come to its end cannot tell.
fn command(end: Option<&RunSummary>) -> &'static str {
    let summary: Option<Value> = end.and_then(|it| serde_json::from_str(&it.json).ok());
    match summary.as_ref().and_then(|it| it["command"].as_str()) {
        Some("verify") => "verify",
        Some("repair") => "repair",
        Some("rebuild") => "rebuild",
        _ => "run",
    }
}

/// Why the numbers are not all that there is, and what to do.
fn before_the_first(newest: Option<&(Run, Option<RunSummary>)>) -> &'static str {
    match newest {
        None => "no run has ended yet; begin with dataverse-backup run",
        Some((run, None)) if is_alive(run) => {
            "no run has ended yet; one is under way, and what it has not checked is not counted here"
        }
        Some((_, None)) => {
            "no run has ended yet, and what no run has checked is not counted here; continue with dataverse-backup run"
        }
        Some(_) => {
            "no run that checked everything has ended yet, and the rest is not counted here; continue with dataverse-backup run"
        }
    }
}

/// Whether one of them is a `run` of everything that has ended, and had a catalogue to compare with: one that gave up
/// before that has only its error on record.
fn has_ended(runs: &[(Run, Option<RunSummary>)]) -> bool {
    runs.iter().filter_map(|it| it.1.as_ref()).any(|end| {
        let summary: Option<Value> = serde_json::from_str(&end.json).ok();
        command(Some(end)) == "run" && summary.is_none_or(|it| it.get("error").is_none() && it["whole"] != false)
    })
}

fn run_text(run: &Run, end: Option<&RunSummary>) -> String {
    let Run { started, host, .. } = run;
    match end {
        Some(end) => format!("{started} to {} on {host}: exit code {}", end.finished, end.exit_code),
        None if is_alive(run) => format!("{started} on {host}: under way"),
        None => format!("{started} on {host}: ended without a result (killed, or a power failure)"),
    }
}

fn age(at: &str) -> Option<String> {
    let at: Timestamp = at.parse().ok()?;
    let hours = Timestamp::now().duration_since(at).as_hours();
    Some(if hours < 48 { format!("{hours} hours ago") } else { format!("{} days ago", hours / 24) })
}

/// Whether a run that has no end on record may still be under way: on another host nobody can see that from here.
fn is_alive(run: &Run) -> bool {
    run.host != build::host_name() || std::path::Path::new(&format!("/proc/{}", run.pid)).exists()
}
