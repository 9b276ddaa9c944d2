//! The report as data: this is its JSON form. Times are RFC 3339 UTC, durations seconds, sizes bytes.
//!
//! Whatever may name a file, a host or a person is an `Option`, and absent from a public report.

use serde::Serialize;

/// What a custody report says, made by [`gather`](crate::gather()) from the ledger and the [`Facts`](crate::Facts).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What a reader recognizes the document by: always `dataverse-backup report`.
    pub format: &'static str,
    /// Raised when a field is renamed or changes its meaning.
    pub format_version: u32,
    /// When the report was made, RFC 3339 UTC; its figures are of that time.
    pub as_of: String,
    /// When its period begins, RFC 3339 UTC.
    pub since: String,
    /// Names of files, hosts and people, and what people wrote, are left out.
    pub public: bool,
    /// What it is about.
    pub head: Head,
    /// What was promised, and whether it is kept.
    pub promises: Vec<Promise>,
    /// The data files and their copies.
    pub holdings: Holdings,
    /// Where the copies are.
    pub destinations: Vec<DestinationReport>,
    /// How, and how long ago, bytes were compared with recorded digests.
    pub fixity: Vec<Fixity>,
    /// Damage and loss that was ever found, repaired or not.
    pub incidents: Incidents,
    /// Losses that were acknowledged.
    pub acknowledged: Vec<AcknowledgedLoss>,
    /// Restores that were tried, in the period.
    pub drills: Vec<Drill>,
    /// What was deleted on purpose, in the period.
    pub purges: Purges,
    /// Brakes that were taken off, in the period.
    pub overrides: Vec<Overridden>,
    /// The commands of the period.
    pub commands: Vec<CommandCount>,
    /// Each command of the period, the first one first.
    pub events: Vec<EventReport>,
    /// The last 13 months, the oldest first.
    pub course: Vec<Month>,
    /// What this report does not show.
    pub not_shown: &'static [&'static str],
    /// Which section speaks to which requirement.
    pub crosswalk: &'static [Crosswalk],
}

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Head {
    /// Id of the installation; `None` before its first run.
    pub installation: Option<String>,
    /// Version of the program that made the report.
    pub program: String,
    /// User and host that made it.
    pub made_by: Option<String>,
    /// The ledger that it was made of.
    pub ledger: Option<String>,
    /// Dataverse's stores: driver ids with their types; in a public report, types alone.
    pub stores: Vec<String>,
    /// The newest snapshot at each destination, as the ledger knows it.
    pub snapshots: Vec<SnapshotSeen>,
    /// Keys of the configuration that decide what is copied and checked.
    pub policy: Vec<PolicyLine>,
}

/// The newest snapshot that a run left at a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotSeen {
    /// Name of the destination; in a public report, its number.
    pub destination: String,
    /// Name of the snapshot's file at the destination.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// When the run ended that said so.
    pub as_of: String,
}

/// A key of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyLine {
    /// The key as the configuration file spells it; of several destinations, with the number of its own.
    pub key: String,
    /// The value that counts, also where the key is absent and its default holds.
    pub value: String,
}

/// Whether something that was promised is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PromiseState {
    /// Everything that the promise is about keeps to it.
    Met,
    /// At least one thing breaks it; [`Promise::figures`] says how many.
    NotMet,
    /// The configuration promises nothing here, so nothing can be broken.
    NotPromised,
}

/// Something that was promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Promise {
    /// Whether it is kept.
    pub state: PromiseState,
    /// What, in a few words.
    pub promise: String,
    /// The figures that say so, in a sentence.
    pub figures: String,
}

/// The data files of the catalogue, as the last runs found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Data files that are covered: there are bytes that a backup can read.
    pub files: u64,
    /// Bytes of their proved objects.
    pub bytes: u64,
    /// The same by the number of destinations with a proved copy: 0, 1, 2, 3 or more.
    pub by_copies: Vec<CopiesLevel>,
    /// Data files that are not covered by any destination.
    pub not_covered: u64,
    /// The same by the reason, the most frequent first.
    pub not_covered_by_reason: Vec<ReasonCount>,
}

/// Data files with one number of copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CopiesLevel {
    /// How many destinations have a proved copy.
    pub copies: u64,
    /// Data files with more copies than `copies` are counted here too; true for the highest level alone.
    pub or_more: bool,
    /// How many data files.
    pub files: u64,
    /// Bytes of one of their copies each; unknown, and 0, where there is no copy.
    pub bytes: u64,
}

/// Data files that are not covered for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// Why no backup can read their bytes; `None` in a public report, and for the sum of the reasons that are not
    /// told apart.
    pub reason: Option<String>,
    /// How many data files.
    pub files: u64,
}

/// What a report says of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DestinationReport {
    /// Its name; in a public report, its number.
    pub name: String,
    /// How it is spoken to.
    pub protocol: &'static str,
    /// Host and folder, or bucket.
    pub location: Option<String>,
    /// Where it stands, as configured.
    pub place: Option<String>,
    /// What it is stored on, as configured.
    pub medium: Option<String>,
    /// Its region, as configured.
    pub region: Option<String>,
    /// Who is responsible for it, as configured.
    pub administrator: Option<String>,
    /// What keeps copies from being deleted, as configured.
    pub immutability: Option<String>,
    /// The evidence that is demanded of a copy.
    pub demanded_evidence: &'static str,
    /// Copies that are proved.
    pub copies: u64,
    /// Size of the proved copies together, in bytes.
    pub bytes: u64,
    /// The same copies by how they were proved last.
    pub evidence: Vec<EvidenceCount>,
    /// Copies found missing or changed, and not replaced yet.
    pub damaged_copies: u64,
    /// Copies that only a snapshot tells of, after the ledger was lost.
    pub claimed_copies: u64,
    /// Data files by their status.
    pub statuses: Vec<StatusCount>,
    /// Data files that left Dataverse and whose copies are kept.
    pub gone: u64,
    /// The last run of everything that ended.
    pub last_run: Option<LastRun>,
}

/// Copies that were proved by one evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EvidenceCount {
    /// Which: `remote-hash`, `read-back`, …
    pub evidence: String,
    /// Copies that this evidence proved last.
    pub copies: u64,
}

/// Data files of one status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusCount {
    /// The status by the name that the ledger and the reports have for it, for example `FAIL_READ`.
    pub status: &'static str,
    /// Data files of the catalogue with this status.
    pub files: u64,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its exit code; `None`: it is still running, or was cut off.
    pub exit_code: Option<u8>,
    /// What the exit code means, in a few words.
    pub words: &'static str,
}

/// The last run of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastRun {
    /// When the run began, RFC 3339 UTC.
    pub started: String,
    /// How it ended, over all destinations.
    pub outcome: Outcome,
}

/// Comparisons with recorded digests on one side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Fixity {
    /// Whose bytes were read: `destination`, or `store` for Dataverse's own.
    pub side: &'static str,
    /// The destination; `Dataverse's stores` for these.
    pub place: String,
    /// What is counted: `copies` or `data files`.
    pub unit: &'static str,
    /// All that could be checked.
    pub total: u64,
    /// Those of them that were last found good within the period.
    pub checked_in_period: u64,
    /// Those that were never checked, as far as the ledger knows.
    pub never: u64,
    /// The promised interval; `None`: nothing was promised.
    pub promised_seconds: Option<u64>,
    /// Those that were last found good longer ago than promised, or never.
    pub overdue: Option<u64>,
    /// The share that was found good within the promised interval, 0 to 1.
    pub share_within_promise: Option<f64>,
    /// Day (UTC) of the check that is longest ago, `2026-01-31`.
    pub oldest_day: Option<String>,
    /// How many days ago that was.
    pub oldest_days: Option<u64>,
    /// How many days ago half of them had been checked.
    pub median_days: Option<u64>,
    /// How many by the age of the last check.
    pub ages: Vec<AgeBin>,
    /// What the checks of the period found.
    pub checks: Checks,
}

/// A bar of a histogram of ages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AgeBin {
    /// From this many days.
    pub from_days: u64,
    /// To less than this many.
    pub to_days: u64,
    /// Copies or data files (see [`Fixity::unit`]) that were last checked so long ago.
    pub count: u64,
    /// Those of them that are older than promised.
    pub overdue: u64,
}

/// What the checks of a period found; what is checked twice counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    /// Commands that checked something.
    pub commands: u64,
    /// Comparisons, or looks that found nothing there.
    pub checked: u64,
    /// Comparisons that found the recorded bytes.
    pub good: u64,
    /// Other bytes, or none.
    pub bad: u64,
}

/// Damage and loss of objects, at destinations and in Dataverse's stores, as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incidents {
    /// All that are on record.
    pub total: u64,
    /// Those that are not repaired.
    pub open: u64,
    /// Those found in the period.
    pub found_in_period: u64,
    /// Those repaired in the period.
    pub repaired_in_period: u64,
    /// By the month in which they were found, 13 months, the oldest first.
    pub by_month: Vec<IncidentsOfMonth>,
    /// Each of them, open ones first, then the newest first.
    pub all: Vec<IncidentReport>,
}

/// Incidents that were found in one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentsOfMonth {
    /// The month in UTC, for example `2026-01`.
    pub month: String,
    /// Those that are repaired.
    pub repaired: u64,
    /// Those that are not repaired yet.
    pub open: u64,
}

/// Bytes by their size and digest, as far as these are known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BytesFound {
    /// Their number; `None` where it is not known, or nothing was there.
    pub size: Option<u64>,
    /// Algorithm of the digest: `MD5`, `SHA1`, `SHA256` or `SHA512`.
    pub algorithm: Option<String>,
    /// A digest of them, in hexadecimal digits.
    pub digest: Option<String>,
}

/// Damage or loss of one object on one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentReport {
    /// Its number in the ledger.
    pub number: u64,
    /// It is not repaired.
    pub open: bool,
    /// The loss was acknowledged.
    pub acknowledged: bool,
    /// Id of the data file or dataset in Dataverse.
    pub dvobject_id: i64,
    /// Which of its objects; in a public report without names.
    pub object: String,
    /// Which version of it.
    pub version: u32,
    /// Where it was found: `store` for one of Dataverse's, or `destination`.
    pub side: &'static str,
    /// Driver id, or name of the destination.
    pub place: Option<String>,
    /// Key of the object in that place; `None` in a public report.
    pub key: Option<String>,
    /// What the check saw, as the ledger has it: `missing`, `damaged`, …
    pub found: String,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// When it was found, RFC 3339 UTC.
    pub found_at: String,
    /// The command that found it, for example `verify`; `None` where the ledger does not say.
    pub found_by: Option<String>,
    /// What was on record.
    pub expected: BytesFound,
    /// What the check found in their place; all unknown where nothing was there.
    pub actual: BytesFound,
    /// How it was repaired.
    pub repair: Option<IncidentRepair>,
    /// What the administrator says of it.
    pub note: Option<IncidentWords>,
}

/// How an incident ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentRepair {
    /// When the good bytes were back and proved, RFC 3339 UTC.
    pub at: String,
    /// Where the good bytes came from.
    pub from: Option<String>,
    /// How they were proved.
    pub evidence: Option<&'static str>,
    /// SHA-256 of the good bytes.
    pub sha256: Option<String>,
    /// Where the bad bytes are kept.
    pub kept: Option<String>,
}

/// What an administrator wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentWords {
    /// What the administrator wrote; `None` in a public report.
    pub text: Option<String>,
    /// Who wrote it; `None` in a public report.
    pub by: Option<String>,
    /// When it was written, RFC 3339 UTC.
    pub at: String,
}

/// A data file that is known to be lost or damaged for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcknowledgedLoss {
    /// Id of the data file in Dataverse.
    pub dvobject_id: i64,
    /// At which destination the verdict was.
    pub destination: String,
    /// The verdict that was acknowledged.
    pub status: &'static str,
    /// Proved copies that were there then.
    pub copies: u64,
    /// When it was acknowledged, RFC 3339 UTC.
    pub at: String,
    /// Who acknowledged it; `None` in a public report.
    pub by: Option<String>,
    /// Why it is lost, in their words.
    pub reason: Option<String>,
    /// When something about the data file changed, so that it counts again, RFC 3339 UTC.
    pub ended_at: Option<String>,
}

/// A restore that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drill {
    /// When the drill began, RFC 3339 UTC.
    pub started: String,
    /// The destinations that the sample was restored from.
    pub destinations: Vec<String>,
    /// `everything`, or what was selected; `None` for a selection in a public report.
    pub scope: Option<String>,
    /// Data files that the sample was taken from; `None`, here and below, where nobody wrote that down.
    pub population: Option<u64>,
    /// Data files of the sample.
    pub sample: Option<u64>,
    /// Bytes that came back.
    pub bytes: Option<u64>,
    /// How long restoring and comparing took.
    pub milliseconds: Option<u64>,
    /// Those that came back right.
    pub good: Option<u64>,
    /// Those of them that were also compared with a checksum of Dataverse.
    pub by_dataverse: Option<u64>,
    /// Those that did not come back, or not right.
    pub failed: Option<u64>,
    /// Who gave the command, on which host; `None` in a public report.
    pub by: Option<String>,
    /// How the command ended, by its exit code.
    pub outcome: Outcome,
}

/// What was deleted on purpose.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Purges {
    /// Commands `purge execute` of the period that deleted anything.
    pub commands: u64,
    /// Objects deleted, by the legal basis.
    pub by_basis: Vec<BasisCount>,
}

/// What was deleted on one legal basis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BasisCount {
    /// The basis, in a word.
    pub basis: String,
    /// Objects deleted on it.
    pub objects: u64,
}

/// A command with brakes that were taken off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overridden {
    /// When the command began, RFC 3339 UTC.
    pub started: String,
    /// Name of the command, for example `run`.
    pub command: String,
    /// Which brakes, as the command line spells them.
    pub overrides: Vec<String>,
    /// `everything`, or what was selected; `None` for a selection in a public report.
    pub scope: Option<String>,
    /// Who gave it, on which host.
    pub by: Option<String>,
    /// How the command ended, by its exit code.
    pub outcome: Outcome,
}

/// How often a command was given in the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommandCount {
    /// Name of the command, for example `run`.
    pub command: String,
    /// How often it was given in the period, however it ended.
    pub times: u64,
    /// Those that ended with exit code 0.
    pub good: u64,
    /// Those that ended with another exit code.
    pub otherwise: u64,
    /// Those that are still running, or were cut off.
    pub without_end: u64,
    /// When the last one began.
    pub last: String,
}

/// A command, as the event log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventReport {
    /// Name of its run.
    pub id: String,
    /// Name of the command, for example `run`.
    pub command: String,
    /// When the command began, RFC 3339 UTC.
    pub started: String,
    /// When it ended, RFC 3339 UTC; `None`: it is still running, or was cut off.
    pub finished: Option<String>,
    /// Who gave it, on which host.
    pub by: Option<String>,
    /// Version of the program.
    pub program: String,
    /// `everything`, or what was selected; `None` for a selection in a public report.
    pub scope: Option<String>,
    /// The destinations it had to do with.
    pub destinations: Vec<String>,
    /// The brakes that were taken off.
    pub overrides: Vec<String>,
    /// How the command ended, by its exit code.
    pub outcome: Outcome,
    /// Data files that a run copied or adopted, at all destinations.
    pub files_copied: Option<u64>,
    /// Copies that it compared, over all destinations.
    pub copies_checked: Checks,
    /// Data files that it compared in their stores.
    pub files_checked: Checks,
}

/// One month of the course: how much there was, and how much of it was safe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Month {
    /// The month in UTC, for example `2026-01`.
    pub month: String,
    /// Data files in Dataverse's catalogue, by the last run of everything in it; `None` without any.
    pub files: Option<u64>,
    /// The share of what is covered that was safe after that run, at the destination where it is lowest; 0 to 1.
    pub coverage: Option<f64>,
    /// Bytes of the copies that are proved today and that the ledger knew by the end of that month.
    pub bytes: u64,
}

/// Which section speaks to which requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Crosswalk {
    /// The section of this report.
    pub section: &'static str,
    /// What it can show.
    pub shows: &'static str,
    /// Requirements of CoreTrustSeal 2023–2025.
    pub core_trust_seal: &'static str,
    /// Cells of the NDSA Levels of Digital Preservation, version 2.
    pub ndsa: &'static str,
    /// Clauses of ISO 16363:2012.
    pub iso_16363: &'static str,
    /// Criteria of the nestor Seal (DIN 31644).
    pub nestor: &'static str,
    /// Core Preservation Processes of EOSC EDEN.
    pub eosc_eden: &'static str,
}
