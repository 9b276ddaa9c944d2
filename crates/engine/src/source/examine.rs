//! One data file of an audit: its objects are read, judged by Dataverse's checksum, and compared with what was first seen.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dvb_fixity::{Algorithm, Digest, Measured, RecordedChecksum};
use dvb_ledger::{CopyRecord, Finding, SourceDamage};
use dvb_model::{DataFile, DestinationName, DriverId, DvObjectId, ObjectRole, Status};
use dvb_storage::{Cause, PayloadError, Source};

use crate::catalogue::spool::{Line, Subject};
use crate::command::cancel::CancelToken;
use crate::command::exit_status::ExitStatus;
use crate::command::observer::{Event, Observer};
use crate::source::findings::{AuditFinding, Condition, Found, Subjected};
use crate::source::incident;
use crate::source::judge::{self, Judgement, Seen, reason};
use crate::source::list_objects::{self, Listed, Object, Unlisted};
use crate::source::on_record::OnRecord;
use crate::source::payload::{ObjectPayload, Reading};
use crate::source::stores::{NoStore, Scope, StoreLocation, Stores};

/// How often an object is tried whose reading fails for a reason that may pass.
const TRIES: u32 = 3;

/// What an examination works with.
#[derive(Clone, Copy)]
pub(crate) struct ExamineSetup<'a> {
    pub(crate) stores: &'a Stores,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a CancelToken,
    /// Auxiliary files and provenance are examined too.
    pub(crate) auxiliary_objects: bool,
}

/// What the ledger knows of the data files of a batch.
#[derive(Default)]
pub(crate) struct Known(HashMap<DvObjectId, OnRecord>);

impl Known {
    pub(crate) fn add(&mut self, destination: &DestinationName, copies: Vec<CopyRecord>) {
        for copy in copies {
            self.0.entry(copy.id).or_default().add(destination, copy);
        }
    }

    pub(crate) fn of(&self, id: DvObjectId) -> OnRecord {
        self.0.get(&id).cloned().unwrap_or_default()
    }
}

/// What came of reading an object.
enum Examination {
    Read(Measured),
    /// Where it was looked for.
    Missing(String),
    /// Why, and whether it may pass.
    Failed(String, Option<ExitStatus>),
}

impl Examination {
    fn seen(&self) -> Seen<'_> {
        match self {
            Self::Read(it) => Seen::Read(it),
            Self::Missing(at) => Seen::Missing(at),
            Self::Failed(why, _) => Seen::Failed(why),
        }
    }
}

type Examinations = Vec<(Object, Examination)>;

/// The end of one data file: how it is counted, and what is to be said of it.
struct Verdict {
    count: Count,
    findings: Vec<(Condition, String)>,
    unusable: Option<ExitStatus>,
    /// A run that looks again says the same, by Dataverse's checksum or because something is missing. Where only the digest
    /// first seen tells the damage, it would keep what is there now as a new version, so it is not sent there.
    by_checksum: bool,
    /// What is missing or damaged, for its incident.
    bad: Vec<Finding>,
}

/// What is to be recorded of a data file whose source is missing or damaged.
#[derive(Default)]
pub(crate) struct ToRecord {
    /// A run is to look at it.
    pub(crate) damage: Option<SourceDamage>,
    pub(crate) found: Vec<Finding>,
    /// It was read, and is good.
    pub(crate) good: bool,
    /// It was looked at to the end; what could not be read was not.
    pub(crate) looked_at: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    Good,
    Damaged,
    Missing,
    Unreadable,
    NotCovered,
    Left,
}

impl Verdict {
    fn of(count: Count) -> Self {
        Self { count, findings: Vec::new(), unusable: None, by_checksum: false, bad: Vec::new() }
    }

    fn bad(count: Count, what: Condition, why: impl Into<String>) -> Self {
        let by_checksum = matches!(count, Count::Damaged | Count::Missing);
        Self { count, findings: vec![(what, why.into())], unusable: None, by_checksum, bad: Vec::new() }
    }
}

/// The audit was told to stop.
struct Stopped;

/// What a store has of a data file of which no destination has a copy.
pub(crate) enum Uncopied {
    Good,
    Missing(String),
    Damaged(String),
    Unread {
        why: String,
        /// Where its store as a whole cannot be used.
        of_all: Option<ExitStatus>,
    },
    /// An ingest is under way: nobody can say now.
    Undecided,
    Stopped,
}

/// Judges a data file by Dataverse's checksum alone, for a restore or a repair.
pub(crate) fn without_copies(setup: ExamineSetup<'_>, file: &DataFile) -> Uncopied {
    let found = Mutex::default();
    let inspector = Examiner::new(setup, &found, "restore");
    let line = Line { subject: Subject::DataFile(file.clone()), fingerprint: String::new(), dests: Vec::new() };
    let (subject, known) = (Subjected { acknowledged: None, line, states: Vec::new() }, OnRecord::default());
    // Twice where it is bad, as everywhere.
    let mut verdict = inspector.verdict(&subject, file, &known);
    if verdict.as_ref().is_ok_and(|it| matches!(it.count, Count::Damaged | Count::Missing)) {
        verdict = inspector.verdict(&subject, file, &known);
    }
    let Ok(Verdict { count, findings, unusable, .. }) = verdict else { return Uncopied::Stopped };
    let why = findings.into_iter().map(|it| it.1).collect::<Vec<_>>().join("; ");
    match count {
        Count::Good | Count::NotCovered => Uncopied::Good,
        Count::Missing => Uncopied::Missing(why),
        Count::Damaged => Uncopied::Damaged(why),
        Count::Unreadable => Uncopied::Unread { why, of_all: unusable },
        Count::Left => Uncopied::Undecided,
    }
}

/// Shared by all workers of an audit.
pub(crate) struct Examiner<'a> {
    setup: ExamineSetup<'a>,
    found: &'a Mutex<Found>,
    /// Who looks, for the incidents.
    command: &'static str,
    reading: Reading,
    stores: TriedStores,
}

/// Whether each store can be used at all, as it was found out once.
pub(crate) type TriedStores = Arc<Mutex<HashMap<DriverId, Result<(), NoStore>>>>;

impl<'a> Examiner<'a> {
    pub(crate) fn new(setup: ExamineSetup<'a>, found: &'a Mutex<Found>, command: &'static str) -> Self {
        let reading = Reading::new(setup.stop, None);
        Self { setup, found, command, reading, stores: Arc::default() }
    }

    /// The same, by what another one has found out of the stores.
    pub(crate) fn knowing(self, stores: &TriedStores) -> Self {
        Self { stores: Arc::clone(stores), ..self }
    }

    /// The same, at a limited rate.
    pub(crate) fn at_rate_of(self, reading: Reading) -> Self {
        Self { reading, ..self }
    }

    /// What is to be recorded, where the source of a data file is missing or not what Dataverse recorded.
    pub(crate) fn look_at(&self, file: &Subjected, known: &Known) -> ToRecord {
        let Subject::DataFile(data_file) = &file.line.subject else { return ToRecord::default() };
        let known = &known.of(data_file.id);
        let Ok(mut verdict) = self.verdict(file, data_file, known) else { return ToRecord::default() };
        if matches!(verdict.count, Count::Damaged | Count::Missing) {
            // Memory and network err too, and Dataverse may be moving it just now.
            let first = verdict.findings.first().map(|it| it.1.clone()).unwrap_or_default();
            verdict = match self.verdict(file, data_file, known) {
                Ok(it) => it,
                Err(Stopped) => return ToRecord::default(),
            };
            if verdict.count == Count::Good {
                let text = format!("data file {}: {first}; read again, it was good", data_file.id);
                self.setup.observer.event(&Event::Warning(&text));
            }
        }
        if verdict.count == Count::Good
            && let Some(state) = file.states.iter().find(|it| it.gone || is_bad(it.status))
        {
            let then = if state.gone { "gone from the catalogue" } else { state.status.name() };
            let why = format!("it came back: it was {then} at the last check; now it is there and good");
            verdict.findings.push((Condition::CameBack, why));
        }
        self.enter(data_file, verdict, file.acknowledged)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, file: &DataFile, verdict: Verdict, acknowledged: Option<Status>) -> ToRecord {
        let Verdict { count, findings, unusable, by_checksum, bad } = verdict;
        let dataset = file.dataset.as_ref().map(|it| it.pid.clone());
        let mut found = self.found();
        let files = &mut found.files;
        let (counter, status) = match count {
            Count::Good => (&mut files.good, Status::Ok),
            Count::Damaged => (&mut files.damaged, Status::FailChecksum),
            Count::Missing => (&mut files.missing, Status::FailRead),
            Count::Unreadable => (&mut files.unreadable, Status::FailRead),
            Count::NotCovered => (&mut files.not_covered, Status::NotCovered),
            Count::Left => (&mut files.left, Status::Pending),
        };
        // Damage and loss that are known raise no alarm.
        let is_known = matches!(count, Count::Damaged | Count::Missing) && acknowledged == Some(status);
        *(if is_known { &mut files.acknowledged } else { counter }) += 1;
        ExitStatus::worsen(&mut found.unusable, unusable);
        for (what, reason) in findings.iter().filter(|_| !is_known) {
            found.add(AuditFinding {
                data_file_id: file.id,
                dataset: dataset.clone(),
                storage_identifier: file.storage_identifier.clone(),
                name: file.label(),
                what: *what,
                reason: reason.clone(),
            });
        }
        drop(found);
        let label = file.label();
        self.setup.observer.event(&Event::Judged {
            id: file.id,
            dataset: dataset.as_deref(),
            name: label.as_deref().or(file.storage_identifier.as_deref()).unwrap_or(""),
            status,
            reason: findings.first().map(|it| it.1.as_str()),
        });
        let reason = || findings.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join("; ");
        let damage = by_checksum.then(|| SourceDamage { id: file.id, status, reason: reason() });
        let looked_at = matches!(count, Count::Good | Count::Damaged | Count::Missing | Count::NotCovered);
        ToRecord { damage, found: bad, good: count == Count::Good, looked_at }
    }

    fn verdict(&self, subject: &Subjected, file: &DataFile, known: &OnRecord) -> Result<Verdict, Stopped> {
        let place = match self.setup.stores.scope(file) {
            Scope::Covered(place) => place,
            Scope::NotCovered(_) => return Ok(Verdict::of(Count::NotCovered)),
            Scope::Refused(why) => {
                return Ok(Verdict::bad(Count::Unreadable, Condition::Unreadable, why.to_string()));
            }
            Scope::Garbled(why) => return Ok(Verdict::bad(Count::Unreadable, Condition::Unreadable, why)),
            Scope::Orphaned => {
                let why = "the data file has no dataset (owner_id is NULL or leads nowhere)";
                return Ok(Verdict::bad(Count::Unreadable, Condition::Orphaned, why));
            }
            Scope::Unavailable(driver, why) => return Ok(without_store(&driver, &why)),
        };
        if let Err(why) = self.store_is_there(&place.driver, place.source.as_ref()) {
            return Ok(without_store(&place.driver, &why));
        }
        let listed = match list_objects::of_data_file(file, known, &place, self.setup.auxiliary_objects) {
            Ok(it) => it,
            Err(error) => {
                let verdict = unlisted(error, known);
                return Ok(with_incidents(self.command, verdict, file, &place, None, &Vec::new()));
            }
        };
        let mut looked = Vec::with_capacity(listed.objects.len());
        for object in &listed.objects {
            looked.push((object.clone(), self.read(file, object)?));
        }
        let (judgement, is_swapped) = self.judge(file, known, &place, &listed, &mut looked)?;
        let mut verdict = conclude(subject, file, known, judgement.clone(), &looked);
        if is_swapped && verdict.count == Count::Good {
            let why = "Dataverse says that it is not tabular, but the recorded checksum is that of its saved original";
            verdict.findings.push((Condition::SwappedPair, why.to_owned()));
        }
        for (_, look) in &looked {
            if let Examination::Failed(_, of_all) = look {
                ExitStatus::worsen(&mut verdict.unusable, *of_all);
            }
        }
        Ok(with_incidents(self.command, verdict, file, &place, Some(&judgement), &looked))
    }

    /// The judgement of a run, and whether only the saved original of a data file that is not tabular was good.
    fn judge(
        &self,
        file: &DataFile,
        known: &OnRecord,
        place: &StoreLocation,
        listed: &Listed,
        looked: &mut Examinations,
    ) -> Result<(Judgement, bool), Stopped> {
        if let Some(manifest) = &listed.package {
            let members: Vec<(&str, Seen<'_>)> = looked
                .iter()
                .filter_map(|(object, look)| match &object.role {
                    ObjectRole::Member(path) => Some((path.as_str(), look.seen())),
                    _ => None,
                })
                .collect();
            return Ok((judge::package(file, known, manifest, &members), false));
        }
        let judgement = judge_pair(file, known, looked);
        if judgement != Judgement::TryOriginal {
            return Ok((judgement, false));
        }
        let Some(main) = looked.iter().find(|it| it.0.role == ObjectRole::Main).map(|it| it.0.clone()) else {
            return Ok((judgement, false));
        };
        match list_objects::original(file, &main, place) {
            Ok(original) => {
                let look = self.read(file, &original)?;
                looked.push((original, look));
                let judgement = judge_pair(file, known, looked);
                let is_swapped = matches!(judgement, Judgement::Good { .. });
                Ok((judgement, is_swapped))
            }
            Err(Unlisted::Source(error)) => Ok((Judgement::Unread(reason(&error)), false)),
            Err(Unlisted::Name(why)) => Ok((Judgement::Unread(why.to_string()), false)),
        }
    }

    /// Reads an object to its end.
    fn read(&self, file: &DataFile, object: &Object) -> Result<Examination, Stopped> {
        let recorded = RecordedChecksum::parse(&file.checksum_value).algorithm();
        let algorithms: Vec<Algorithm> =
            recorded.into_iter().chain(object.expected.as_ref().map(Digest::algorithm)).collect();
        for tries in 1.. {
            let source = Arc::clone(&object.source);
            let payload =
                ObjectPayload::new(source, object.at.clone(), object.size_hint, &algorithms, self.reading.clone());
            match payload.measure() {
                Ok(measured) => {
                    self.found().bytes += measured.size;
                    self.setup.observer.event(&Event::Bytes(measured.size));
                    return Ok(Examination::Read(measured));
                }
                Err(PayloadError::Stopped) => break,
                Err(PayloadError::Source(error)) if error.cause == Cause::Missing => {
                    return Ok(Examination::Missing(object.source.place(&object.at)));
                }
                Err(PayloadError::Source(error)) if self.setup.stop.is_no_verdict(error.cause) => break,
                Err(PayloadError::Source(error)) => {
                    if error.cause != Cause::Transient || tries == TRIES {
                        return Ok(Examination::Failed(reason(&error), ExitStatus::of_all(error.cause)));
                    }
                    self.setup.stop.pause(Duration::from_secs(tries.into()));
                }
            }
        }
        Err(Stopped)
    }

    /// Whether a store can be read at all, tried once: a mount that is missing is not a thousand missing files.
    fn store_is_there(&self, driver: &DriverId, source: &dyn Source) -> Result<(), NoStore> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.entry(driver.clone()).or_insert_with(|| source.check().map_err(|it| NoStore::of(&it))).clone()
    }
}

/// Whether the last look at the source said that it is damaged, missing or unreadable.
pub(crate) fn is_bad(status: Status) -> bool {
    match status {
        Status::FailRead | Status::FailChecksum => true,
        Status::Ok | Status::Pending | Status::FailWrite | Status::FailVerify | Status::NotCovered | Status::Purged => {
            false
        }
    }
}

fn without_store(driver: &DriverId, NoStore { cause, why }: &NoStore) -> Verdict {
    let why = format!("store {driver}: {why}");
    Verdict {
        unusable: Some(ExitStatus::of_cause(*cause)),
        ..Verdict::bad(Count::Unreadable, Condition::Unreadable, why)
    }
}

/// Damage and loss are incidents, whoever finds them.
fn with_incidents(
    command: &'static str,
    verdict: Verdict,
    file: &DataFile,
    place: &StoreLocation,
    judgement: Option<&Judgement>,
    looked: &Examinations,
) -> Verdict {
    if !matches!(verdict.count, Count::Damaged | Count::Missing) {
        return verdict;
    }
    let detail = verdict.findings.iter().map(|it| it.1.as_str()).collect::<Vec<_>>().join("; ");
    let objects: Vec<_> = looked.iter().map(|(object, look)| (object, Some(look.seen()))).collect();
    let found = incident::Discovery { command, detail: &detail };
    let bad = incident::at_source(found, file, &place.driver, judgement, &objects);
    Verdict { bad, ..verdict }
}

fn unlisted(error: Unlisted, known: &OnRecord) -> Verdict {
    match error {
        Unlisted::Source(error) if error.cause == Cause::Missing => {
            let why = format!("{}; {}", reason(&error), known.where_it_is(None));
            Verdict::bad(Count::Missing, Condition::Missing, why)
        }
        Unlisted::Source(error) => Verdict {
            unusable: ExitStatus::of_all(error.cause),
            ..Verdict::bad(Count::Unreadable, Condition::Unreadable, reason(&error))
        },
        Unlisted::Name(why) => Verdict::bad(Count::Unreadable, Condition::Unreadable, why.to_string()),
    }
}

fn judge_pair(file: &DataFile, known: &OnRecord, looked: &Examinations) -> Judgement {
    let seen = |role| looked.iter().find(|it| it.0.role == role).map(|it| it.1.seen());
    // A main object is always among those that are listed.
    let main = seen(ObjectRole::Main).unwrap_or(Seen::Missing("where nobody looked"));
    judge::pair(file, known, main, seen(ObjectRole::Original))
}

/// Joins the judgement by Dataverse's checksum with the comparison with what was first seen.
fn conclude(
    subject: &Subjected,
    file: &DataFile,
    known: &OnRecord,
    judgement: Judgement,
    looked: &Examinations,
) -> Verdict {
    let is_primary = |it: &Object| !matches!(it.role, ObjectRole::Auxiliary(_) | ObjectRole::DatasetLevel(_));
    match judgement {
        Judgement::Later(_) => return Verdict::of(Count::Left),
        Judgement::Missing { what, why } => {
            let why = format!("missing: {why}; {}", known.where_it_is(Some(&what)));
            return Verdict::bad(Count::Missing, Condition::Missing, why);
        }
        Judgement::Unread(why) => return Verdict::bad(Count::Unreadable, Condition::Unreadable, why),
        Judgement::Damaged(why) => {
            let mut read = looked.iter().filter(|it| is_primary(&it.0)).filter_map(|(object, look)| match look {
                Examination::Read(it) => Some(known.has(&object.role, it)),
                Examination::Missing(_) | Examination::Failed(..) => None,
            });
            // An original that was looked for by chance has no copy; the bytes that have one must be those.
            let all: Vec<Option<bool>> = read.by_ref().collect();
            let are_first_seen = all.contains(&Some(true)) && !all.contains(&Some(false));
            return if are_first_seen {
                let why = format!("the bytes are those that were first seen, but {why}");
                Verdict::bad(Count::Damaged, Condition::ChecksumChanged, why)
            } else {
                Verdict::bad(Count::Damaged, Condition::Damaged, why)
            };
        }
        // `pair` asks for the original only while it was not looked for.
        Judgement::TryOriginal => {
            return Verdict::bad(Count::Unreadable, Condition::Unreadable, "it could not be judged");
        }
        Judgement::Good { .. } => {}
    }
    let mut verdict = Verdict::of(Count::Good);
    // A run has seen the same row of the database: whatever changed since, Dataverse does not know of it.
    let is_same_row = subject.states.iter().any(|it| it.fingerprint == subject.line.fingerprint);
    for (object, look) in looked {
        one_object(&mut verdict, file, known, object, look, is_same_row);
    }
    verdict
}

/// What the checksum of the data file does not speak of: the `.tab`, auxiliary files.
fn one_object(
    verdict: &mut Verdict,
    file: &DataFile,
    known: &OnRecord,
    object: &Object,
    look: &Examination,
    is_same_row: bool,
) {
    let role = &object.role;
    let worse = |verdict: &mut Verdict, count, what, why| {
        if verdict.count == Count::Good {
            verdict.count = count;
        }
        verdict.findings.push((what, why));
    };
    match look {
        Examination::Read(read) => {
            let differs = object.expected.as_ref().is_some_and(|it| read.matches(it) == Some(false));
            let checksum = RecordedChecksum::parse(&file.checksum_value);
            if differs {
                worse(verdict, Count::Damaged, Condition::Damaged, format!("{role} is not what its own checksum says"));
                verdict.by_checksum = true;
            } else if known.has(role, read) == Some(false) {
                if is_same_row && checksum.describes(read) != Some(true) {
                    let why = format!(
                        "{role} has other bytes than were first seen, and nothing in Dataverse's database has changed"
                    );
                    worse(verdict, Count::Damaged, Condition::Damaged, why);
                } else {
                    let why = format!("{role} has other bytes than were first seen; the next run keeps both");
                    verdict.findings.push((Condition::Changed, why));
                }
            }
        }
        Examination::Missing(_) if object.optional => {}
        Examination::Missing(at) => {
            // Whether the main object and the original must be there, the judgement has said.
            if matches!(role, ObjectRole::Auxiliary(_)) {
                let copy = known.where_it_is(Some(role));
                let why = format!("{role}: missing: it is not at {at}; {copy}");
                worse(verdict, Count::Missing, Condition::Missing, why);
                verdict.by_checksum = true;
            }
        }
        Examination::Failed(why, _) => worse(verdict, Count::Unreadable, Condition::Unreadable, why.clone()),
    }
}
