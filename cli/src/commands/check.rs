//! `check`: tries what the configuration names, and changes nothing that stays.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dvb_build::{self as build, BuildError, CatalogueReader, Origin, StoreRow, StoreTable};
use dvb_catalog::Catalog;
use dvb_engine::{
    Access, CancelToken, CatalogueCheck, CheckOptions, CheckSetup, DestinationCheck, Due, Examined, ExitStatus, Probed,
    RunError, Samples, Seen, Stores, check_catalogue, check_destinations, check_store, lock_holder,
};
use dvb_fixity::Evidence;
use dvb_ledger::{Ledger, LedgerError};
use dvb_model::{DestinationName, DriverId};
use dvb_notify as notify;
use dvb_storage::{Cause, LockTrial, Sink, chain};
use serde::Serialize;
use serde_json::json;

use super::{Context, from_snapshot};
use crate::exit::CommandFailure;
use crate::output::{Tint, Verbosity, plain};
use crate::report;
use dvb_config::{Config, Environment, Verify};

/// How long a store is searched for each destination.
const PATIENCE: Duration = Duration::from_secs(20);

/// Try everything that the configuration names
///
/// Databases and grants, each store (a hundred objects of the catalogue are looked for, and one is opened), each destination
/// (it is no store and no other destination, and belongs to this installation; a probe is written, proved, renamed and
/// removed; the room is told), mail, the folder of the metrics: a line for each, and what to do where it fails. Nothing that stays is changed; no mail is
/// sent and PingUrl is not called.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// One thing that was tried.
#[derive(Serialize)]
struct Check {
    what: String,
    ok: bool,
    text: String,
    /// What to do, where the text does not say it.
    remedy: Option<String>,
    #[serde(skip)]
    ending: ExitStatus,
}

impl Check {
    fn fine(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, text: text.into(), remedy: None, ending: ExitStatus::Safe }
    }

    fn bad(what: impl Into<String>, ending: ExitStatus, text: impl Into<String>) -> Self {
        Self { what: what.into(), ok: false, text: text.into(), remedy: None, ending }
    }

    fn failed(what: impl Into<String>, failure: impl Into<CommandFailure>) -> Self {
        let failure = failure.into();
        Self::bad(what, failure.ending(), failure.text())
    }

    fn remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

pub(crate) fn run(_: &Args, context: &Context) -> Result<ExitStatus, CommandFailure> {
    let config = &context.config;
    let mut checks = Checks { context, done: Vec::new(), stores: Vec::new() };
    if let Some(environment) = &config.environment {
        checks.add(Check::fine("environment", from_environment(config, environment)))?;
    }
    let table = build::store_table(config);
    let stores = table.as_ref().map_or_else(|_| build::no_stores(), StoreTable::stores);
    let reader = build::catalogue(config)?;
    let (files, samples) = checks.catalogue(&reader, &stores)?;
    let ledger = checks.ledger()?;
    checks.stores(table, files.as_ref(), &samples)?;
    let catalog = files.is_some().then(|| reader.as_catalog());
    checks.destinations(&stores, &samples, catalog, &ledger)?;
    if !config.notifications.email.is_empty() {
        checks.add(match notify::try_out(&config.notifications) {
            Ok(answered) => Check::fine("mail", format!("{answered} takes mail")),
            Err(error) => Check::bad("mail", ExitStatus::Unreachable, chain(&error)),
        })?;
    }
    if let Some(file) = &config.notifications.metrics_file {
        checks.add(try_folder(file))?;
    }
    let ending = checks.done.iter().map(|it| it.ending).min().unwrap_or(ExitStatus::Safe);
    if context.screen.json {
        context
            .screen
            .print_json(&json!({ "checks": checks.done, "stores": checks.stores, "exit_code": ending.code() }))?;
    } else if context.screen.verbosity != Verbosity::Quiet {
        context.screen.print(&next(&checks.done, ledger.is_made))?;
    }
    Ok(ending)
}

/// The one thing to do next. A ledger that is not made yet comes last: `init` needs the rest.
fn next(done: &[Check], is_made: bool) -> String {
    let failed = || done.iter().filter(|it| !it.ok);
    match failed().find(|it| is_made || it.what != LEDGER) {
        Some(first) => format!("Next: correct this, then check again: {}", first.what),
        None if is_made => "Next: dataverse-backup run".to_owned(),
        None => "Next: dataverse-backup init".to_owned(),
    }
}

/// What was taken from a container's environment, by whom it was given. No values: some are secrets.
fn from_environment(config: &Config, environment: &Environment) -> String {
    let place =
        environment.file.as_ref().map_or_else(|| "this process's own".to_owned(), |it| it.display().to_string());
    let stores: Vec<&str> = config.environment_stores.iter().map(|it| it.store.id.0.as_str()).collect();
    let mut text = format!("{place}: stores {}", if stores.is_empty() { "none".to_owned() } else { stores.join(", ") });
    let mut by_giver: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (key, giver) in &environment.database {
        by_giver.entry(giver.clone()).or_default().push(key);
    }
    for (giver, keys) in by_giver {
        text += &format!("; [Database] {} from {giver}", keys.join(", "));
    }
    text
}

/// Data files of the catalogue by the driver that they name, if they name one.
type Named = BTreeMap<Option<DriverId>, u64>;

/// A line of the table of stores.
#[derive(Serialize)]
struct StoreLine {
    id: String,
    #[serde(rename = "type")]
    type_name: Option<String>,
    /// The section, or `domain.xml`; `None` where nobody described it.
    from: Option<String>,
    place: Option<String>,
    /// Data files of the catalogue; `None` when it cannot be read.
    data_files: Option<u64>,
    /// Whether identifiers without a prefix mean it.
    default: bool,
}

struct Checks<'a> {
    context: &'a Context,
    done: Vec<Check>,
    stores: Vec<StoreLine>,
}

impl Checks<'_> {
    /// Shows each as soon as it is known: some take long.
    fn add(&mut self, check: Check) -> Result<(), CommandFailure> {
        let screen = &self.context.screen;
        let is_wanted = !check.ok || screen.verbosity != Verbosity::Quiet;
        if is_wanted && !screen.json {
            let (tint, word) = if check.ok { (Tint::Good, "OK  ") } else { (Tint::Bad, "FAIL") };
            let text = report::about(&check.what, &plain_lines(&check.text));
            screen.print(&format!("{}  {text}", screen.tinted(tint, word)))?;
            if let Some(remedy) = &check.remedy {
                screen.print(&format!("      {remedy}"))?;
            }
        }
        self.done.push(check);
        Ok(())
    }

    /// `None` when the catalogue cannot be read; and some objects of each store.
    fn catalogue(
        &mut self,
        reader: &CatalogueReader,
        stores: &Stores,
    ) -> Result<(Option<Named>, Samples), CommandFailure> {
        let what = "catalogue";
        let place = reader.as_catalog().describe();
        let probed = match reader {
            CatalogueReader::Database(database) => database.probe().map(|it| Some(it.to_string())),
            CatalogueReader::Snapshot(_) => Ok(None),
        };
        let counted = probed.and_then(|probe| Ok((probe, check_catalogue(reader.as_catalog(), stores)?)));
        match counted {
            Ok((probe, CatalogueCheck { files, named, placeless, first_placeless: first, samples })) => {
                let text = probe.unwrap_or_else(|| report::data_files(files));
                self.add(Check::fine(what, format!("{place}: {text}")))?;
                if let Some(first) = first {
                    let text = format!("{} cannot be copied, the first: {first}", report::data_files(placeless));
                    self.add(Check::bad("rows of the catalogue", ExitStatus::NotSafe, text))?;
                }
                Ok((Some(named), samples))
            }
            Err(error) => {
                self.add(Check::failed(what, error))?;
                Ok((None, Samples::default()))
            }
        }
    }

    /// The ledger; where it is not made yet or cannot be used, one that knows nothing: a place can be proved without.
    fn ledger(&mut self) -> Result<LedgerToCompare, CommandFailure> {
        let what = LEDGER;
        let config = &self.context.config;
        let ledger = match build::ledger(config, 1, &CancelToken::new()) {
            Ok(it) => it,
            Err(error) => return self.without_ledger(error),
        };
        let mut running = Vec::new();
        for destination in &config.destinations {
            match lock_holder(ledger.as_ref(), &destination.name, &build::host_name()) {
                Ok(None) => {}
                Ok(Some(holder)) => running.push(format!("a run to {} is under way: {holder}", destination.name)),
                Err(error) => return self.without_ledger(error),
            }
        }
        let state = if running.is_empty() { "ready, no run is under way".to_owned() } else { running.join("; ") };
        self.add(Check::fine(what, format!("{}: {state}", ledger.describe())))?;
        Ok(LedgerToCompare { ledger, is_made: true, is_there: true, _scratch: None })
    }

    fn without_ledger(&mut self, error: LedgerError) -> Result<LedgerToCompare, CommandFailure> {
        // One that is not made yet knows as much as one that was made just now.
        let is_there = matches!(error, LedgerError::NotMigrated { .. });
        self.add(Check::failed(LEDGER, error))?;
        let scratch = from_snapshot::scratch_folder()?;
        let ledger = build::passing_ledger(scratch.path())?;
        // Of one that cannot be used for another reason, the reason comes first.
        Ok(LedgerToCompare { ledger, is_made: !is_there, is_there, _scratch: Some(scratch) })
    }

    fn stores(
        &mut self,
        table: Result<StoreTable, BuildError>,
        named: Option<&Named>,
        samples: &Samples,
    ) -> Result<(), CommandFailure> {
        let table = match table {
            Ok(it) => it,
            Err(error) => return self.add(Check::failed("stores", error)),
        };
        let named = named.map(|it| by_store(it, &table.default));
        self.stores = lines(&table, &self.context.config, named.as_ref());
        let screen = &self.context.screen;
        if !screen.json && screen.verbosity != Verbosity::Quiet {
            screen.print(&drawn(&self.stores))?;
        }
        for (id, row) in &table.rows {
            let count = named.as_ref().map(|it| it.get(id).copied().unwrap_or(0));
            self.add(try_store(id, row, count, samples))?;
        }
        let unknown = named.iter().flatten().filter(|(id, _)| !table.rows.contains_key(id));
        for (id, count) in unknown {
            let text = format!("{}, and nobody configured it: they are not covered", naming(*count));
            let remedy = format!("add a [Store {id}] section; if its bytes are kept elsewhere: Type: remote");
            self.add(Check::bad(format!("store {id}"), ExitStatus::Usage, text).remedy(remedy))?;
        }
        Ok(())
    }

    /// What each destination is, and what it can do.
    fn destinations(
        &mut self,
        stores: &Stores,
        samples: &Samples,
        catalog: Option<&dyn Catalog>,
        known: &LedgerToCompare,
    ) -> Result<(), CommandFailure> {
        let config = &self.context.config;
        let sinks: Vec<_> =
            config.destinations.iter().map(|it| (it, build::sink(it).map_err(CommandFailure::from))).collect();
        let usable: Vec<(&DestinationName, &dyn Sink)> =
            sinks.iter().filter_map(|(it, sink)| Some((&it.name, sink.as_ref().ok()?.as_ref()))).collect();
        let (ledger, is_known) = (known.ledger.as_ref(), known.is_there);
        let setup = CheckSetup { catalog, stores, samples, ledger, is_known, destinations: &usable };
        let (host, mut run) = (build::host_name(), super::run::dry_options(config));
        // The folder of a ledger that is not made yet may not be there; that is `init`'s to say, not the destination's.
        if !known.is_made && !run.spool_folder.exists() {
            run.spool_folder = std::env::temp_dir();
        }
        let mut found = check_destinations(&setup, &CheckOptions { host, patience: PATIENCE, run });
        for (destination, sink) in &sinks {
            let what = format!("destination {}", destination.name);
            let check = match sink {
                // One answer a destination that can be had.
                Ok(sink) => match found.next().unwrap_or(Err(RunError::NothingSelected)) {
                    Ok(found) => told(what, destination.verify, sink.as_ref(), &found, is_known),
                    Err(error) => Check::failed(what, error),
                },
                Err(failure) => Check::bad(what, failure.ending(), failure.text()),
            };
            self.add(check)?;
        }
        Ok(())
    }
}

const LEDGER: &str = "ledger";

/// What tells whose the destinations are.
struct LedgerToCompare {
    ledger: Box<dyn Ledger>,
    /// It needs no `init`.
    is_made: bool,
    /// It is the one of the configuration, or one as new as that.
    is_there: bool,
    /// Where it lies, for one that goes with this.
    _scratch: Option<from_snapshot::Scratch>,
}

fn by_store(named: &Named, default: &DriverId) -> BTreeMap<DriverId, u64> {
    let mut counted = BTreeMap::new();
    for (driver, count) in named {
        *counted.entry(driver.as_ref().unwrap_or(default).clone()).or_default() += count;
    }
    counted
}

/// Every store that somebody described, and those that only data files name.
fn lines(table: &StoreTable, config: &Config, named: Option<&BTreeMap<DriverId, u64>>) -> Vec<StoreLine> {
    let line = |id: &DriverId, row: Option<&StoreRow>| StoreLine {
        id: id.0.clone(),
        type_name: row.map(|it| it.type_name.clone()),
        from: row.map(|row| match row.origin {
            Origin::Repository => "[Repository]".to_owned(),
            Origin::Section => format!("[Store {id}]"),
            Origin::Environment(giver) => config.environment.as_ref().map_or_else(String::new, |it| it.named(giver)),
            Origin::DomainXml => "domain.xml".to_owned(),
        }),
        place: row.map(|it| it.place.clone()),
        data_files: named.map(|it| it.get(id).copied().unwrap_or(0)),
        default: *id == table.default,
    };
    let unknown = named.into_iter().flatten().map(|it| it.0).filter(|it| !table.rows.contains_key(it));
    table.rows.iter().map(|(id, row)| line(id, Some(row))).chain(unknown.map(|it| line(it, None))).collect()
}

/// The table in columns, below a line that says what they are.
fn drawn(lines: &[StoreLine]) -> String {
    let mut rows = vec![["store", "type", "described in", "data files", "place"].map(str::to_owned)];
    for line in lines {
        let id = if line.default { format!("{} (default)", line.id) } else { line.id.clone() };
        let count = line.data_files.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let text = |it: &Option<String>, absent: &str| it.clone().unwrap_or_else(|| absent.to_owned());
        let row = [id, text(&line.type_name, "?"), text(&line.from, "nowhere"), count, text(&line.place, "?")];
        rows.push(row.map(|it| plain(&it).into_owned()));
    }
    let width = |column: usize| rows.iter().map(|it| it[column].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let drawn = rows.iter().map(|[id, kind, from, count, place]| {
        let [a, b, c, d] = widths;
        format!("      {id:a$}  {kind:b$}  {from:c$}  {count:>d$}  {place}")
    });
    drawn.collect::<Vec<_>>().join("\n")
}

fn files(count: u64) -> String {
    report::data_files(count)
}

/// The text of an error may have lines of its own, and names from a database.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n      ")
}

fn try_store(id: &DriverId, row: &StoreRow, named: Option<u64>, samples: &Samples) -> Check {
    let what = format!("store {id}");
    let count = named.map_or_else(String::new, |it| format!("; {}", naming(it)));
    // domain.xml may speak of stores of long ago, and an image of one that is not used.
    let is_idle = named == Some(0) && matches!(row.origin, Origin::DomainXml | Origin::Environment(_));
    match row.access() {
        Access::Readable(source) => match check_store(id, source.as_ref(), samples) {
            Ok(seen) => {
                let notes: String = source.notes().iter().map(|it| format!("; {it}")).collect();
                let text = format!("{}{count}{}{notes}", source.describe(), looked(&seen));
                if seen.is_it() {
                    return Check::fine(what, text);
                }
                let remedy = "check that this is the store's folder, bucket or container, that it is mounted, and that this \
                              account may read what is in it";
                Check::bad(what, ExitStatus::Refused, text).remedy(remedy)
            }
            // An empty folder is what a new installation has.
            Err(_) if named == Some(0) && row.is_folder() => {
                Check::fine(what, format!("{}: empty{count}", source.describe()))
            }
            // Nothing is read there: a login that fails stops no run.
            Err(error) if named == Some(0) => Check::fine(what, format!("not needed{count} (else: {})", error.chain())),
            // As a run of it would.
            Err(error) if error.cause == Cause::Forbidden => Check::bad(what, ExitStatus::Refused, error.chain()),
            Err(error) => Check::failed(what, error),
        },
        Access::Unavailable(it) if it.cause == Cause::Forbidden && !is_idle => {
            Check::bad(what, ExitStatus::Refused, format!("{}{count}", it.why))
        }
        Access::Unavailable(it) if is_idle => Check::fine(what, format!("not needed{count} (else: {})", it.why)),
        Access::Unavailable(it) => Check::bad(what, ExitStatus::of_cause(it.cause), format!("{}{count}", it.why)),
        Access::Reference(why) => Check::fine(what, format!("{why}{count}")),
    }
}

/// What a look at some objects of a store has shown.
fn looked(seen: &Seen) -> String {
    let Seen { looked, there, missing, other_size, unknown, opened, first, .. } = seen;
    if *looked == 0 {
        return String::new();
    }
    let mut text = format!("; of {looked} objects that were looked for, {there} are there");
    text += if *opened { ", and one was opened" } else { ", and none could be opened" };
    if *other_size > 0 {
        text += &format!("; {other_size} have another size than Dataverse has on record");
    }
    if let Some(first) = first.as_ref().filter(|_| *missing > 0 || *unknown > 0 || !opened) {
        text += &format!("; {first}");
    }
    text
}

fn told(what: String, demand: Verify, sink: &dyn Sink, found: &DestinationCheck, is_known: bool) -> Check {
    let place = sink.describe();
    let Some(Probed { evidence, left, lock, unlisted }) = &found.probed else {
        let text = format!("{place} does not exist; it would be new: init, or the first run, makes it");
        return Check::fine(what, text);
    };
    let why = why(*evidence, demand);
    let done = match left {
        None => "a probe was written, proved, renamed and removed".to_owned(),
        Some(key) => format!(
            "a probe was written, proved and renamed. The account may remove nothing (append-only), which copies do not need: \
             the probe stays at {key} for the next check, and old snapshots stay too"
        ),
    };
    let mut more = identity(&found.examined, is_known);
    if let Some(why) = unlisted {
        more += &format!(
            "; the account may list nothing, which copies do not need: what dead runs left stays, and orphans and snapshots \
             cannot be listed ({why})"
        );
    }
    match lock {
        None => {}
        Some(LockTrial::Fails(why)) => {
            return Check::bad(what, ExitStatus::NotSafe, format!("{place}: {done}. Its copies are not locked: {why}"));
        }
        Some(LockTrial::Holds { may_delete: true, .. }) => {
            more += "; the lock holds: a locked version could not be deleted by this account, one without a lock could";
        }
        Some(LockTrial::Holds { may_delete: false, .. }) => {
            more += "; a locked version could not be deleted by this account, but neither could one without a lock: what holds may \
                     be the account's rights alone";
        }
    }
    let notes: String = sink.notes().iter().map(|it| format!("; {it}")).collect();
    let mut text = format!("{place}: {done}; proof by {why}{more}{notes}");
    if let Some(free) = found.free {
        text += &format!("; {} free", report::bytes(free));
        if let Some(Due { files: count, bytes }) = found.due {
            text += &format!(", {} due ({})", report::bytes(bytes), files(count));
        }
    }
    if let Some(why) = &found.unmeasured {
        text += &format!("; how much is free could not be asked: {why}");
    }
    if found.is_too_small() {
        return Check::bad(what, ExitStatus::NotSafe, text)
            .remedy("free some space there: there is less than what is due");
    }
    Check::fine(what, text)
}

/// Whose it is, and what could not be proved of its place.
fn identity(it: &Examined, is_known: bool) -> String {
    let mut text = match &it.owner {
        Some(owner) if !is_known => format!(
            "; it carries an id ({}), and whether it is this installation's could not be compared without the ledger",
            owner.describe()
        ),
        Some(owner) => format!("; it carries this installation's id since {}", owner.since),
        None => "; it carries no id yet: init, or the first run, leaves one".to_owned(),
    };
    for (driver, why) in &it.unfinished {
        text += &format!("; store {driver} was not searched to its end: {why}");
    }
    text
}

fn why(evidence: Evidence, demand: Verify) -> &'static str {
    match (evidence, demand) {
        (Evidence::RemoteHash, _) => "remote-hash: the destination computes digests itself",
        (Evidence::ReadBack, Verify::ReadBack) => "read-back, as Verify says",
        (Evidence::ReadBack, Verify::Auto | Verify::RemoteHash) => {
            "read-back: the destination computes no digests itself, so that every copy is read once more"
        }
    }
}

/// Whether a file could be replaced in its folder.
fn try_folder(file: &Path) -> Check {
    let what = "metrics";
    let folder = file.parent().unwrap_or(Path::new("/"));
    let remedy = format!("make the folder {} and let this account write to it", folder.display());
    let is_folder = file.is_dir();
    match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
        Ok(()) if is_folder => {
            Check::bad(what, ExitStatus::Usage, format!("{} is a folder", file.display())).remedy("name a file in it")
        }
        Ok(()) => Check::fine(what, format!("{} can be written", file.display())),
        Err(error) => {
            let text = format!("cannot write {}: {}", file.display(), std::io::Error::from(error));
            Check::bad(what, ExitStatus::Usage, text).remedy(remedy)
        }
    }
}

/// `1 data file names it`, `2 data files name it`.
fn naming(count: u64) -> String {
    format!("{} {} it", files(count), if count == 1 { "names" } else { "name" })
}
