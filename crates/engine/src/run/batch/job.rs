//! The work on one data file or dataset, and how far each of its objects is.

use dvb_fixity::{Algorithm, Measured, Proved};
use dvb_ledger::{Basis, CopyRecord, CopyState, Finding, ObjectProof};
use dvb_model::{DestinationName, ObjectKey, ObjectRole};
use dvb_storage::Staged;

use crate::catalogue::spool::{Due, Subject};
use crate::source::judge::{Judgement, Seen};
use crate::source::list_objects::Object;
use crate::source::on_record::OnRecord;
use crate::source::package::Manifest;
use crate::source::stores::StoreLocation;

/// The data files and datasets that a worker carries together. It owns their jobs.
pub(crate) struct Batch(Vec<Job>);

/// One object's task in a batch. Jobs and their tasks are only ever added, so it stays what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskAt {
    job: usize,
    task: usize,
}

impl Batch {
    pub(crate) fn of(due: Vec<Due>) -> Self {
        Self(due.into_iter().map(Job::new).collect())
    }

    pub(crate) fn jobs(&self) -> &[Job] {
        &self.0
    }

    pub(crate) fn jobs_mut(&mut self) -> &mut [Job] {
        &mut self.0
    }

    /// Those whose objects are on their way.
    pub(crate) fn carried_mut(&mut self) -> impl Iterator<Item = &mut Job> {
        self.0.iter_mut().filter(|job| job.is_carried())
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = &ObjectTask> {
        self.0.iter().flat_map(|job| &job.items)
    }

    pub(crate) fn tasks_mut(&mut self) -> impl Iterator<Item = &mut ObjectTask> {
        self.0.iter_mut().flat_map(|job| &mut job.items)
    }

    /// The tasks of the jobs that are carried which are ready for a step.
    pub(crate) fn ready(&self, is_ready: impl Fn(&Job, &ObjectTask) -> bool) -> Vec<TaskAt> {
        let mut ready = Vec::new();
        for (n, job) in self.0.iter().enumerate().filter(|(_, job)| job.is_carried()) {
            let tasks = job.items.iter().enumerate().filter(|(_, task)| is_ready(job, task));
            ready.extend(tasks.map(|(m, _)| TaskAt { job: n, task: m }));
        }
        ready
    }

    pub(crate) fn job(&self, at: TaskAt) -> &Job {
        &self.0[at.job]
    }

    pub(crate) fn job_mut(&mut self, at: TaskAt) -> &mut Job {
        &mut self.0[at.job]
    }

    pub(crate) fn task(&self, at: TaskAt) -> &ObjectTask {
        &self.0[at.job].items[at.task]
    }

    pub(crate) fn task_mut(&mut self, at: TaskAt) -> &mut ObjectTask {
        &mut self.0[at.job].items[at.task]
    }
}

/// One data file or dataset on its way.
pub(crate) struct Job {
    pub(crate) due: Due,
    pub(crate) stage: JobStage,
    pub(crate) items: Vec<ObjectTask>,
    /// What the ledger knows of its copies.
    pub(crate) copies: Vec<CopyRecord>,
    /// Copies that were found missing or changed: role and version.
    pub(crate) damaged: Vec<(ObjectRole, u32)>,
    /// The same, for their incidents, as far as they are not on record yet.
    pub(crate) found: Vec<Finding>,
    pub(crate) place: Option<StoreLocation>,
    pub(crate) package: Option<Manifest>,
    pub(crate) directory: Option<String>,
    pub(crate) notes: Vec<String>,
    /// Set when everything of it was read.
    pub(crate) judgement: Option<Judgement>,
}

/// How far a job is.
pub(crate) enum JobStage {
    /// Its copies are to be looked at; the source comes into it only if one is bad.
    Recheck,
    /// Its objects are to be listed.
    List,
    /// Its items are on their way.
    Carry,
    /// Every copy that a snapshot claimed is proved: it is `OK` again, by this.
    Claimed(Basis),
    /// Nothing more is to be done, and nothing to be recorded.
    Unchanged,
    /// There is a verdict without any byte read.
    Settled(Settled),
}

/// A verdict without any byte read.
pub(crate) enum Settled {
    NotCovered(String),
    /// `FAIL_READ`; whether that means that something is lost at the source.
    Unread {
        why: String,
        lost: bool,
    },
    /// As above, because the store cannot be used.
    NoStore {
        why: String,
        ending: crate::command::exit_status::ExitStatus,
    },
}

impl Job {
    pub(crate) fn new(due: Due) -> Self {
        let stage = if due.recheck { JobStage::Recheck } else { JobStage::List };
        Self {
            due,
            stage,
            items: Vec::new(),
            copies: Vec::new(),
            damaged: Vec::new(),
            found: Vec::new(),
            place: None,
            package: None,
            directory: None,
            notes: Vec::new(),
            judgement: None,
        }
    }

    /// PID of its dataset, and the name of the data file.
    pub(crate) fn people(&self) -> (Option<String>, Option<String>) {
        match &self.due.subject {
            Subject::DataFile(it) => (it.dataset.as_ref().map(|it| it.pid.clone()), it.label()),
            Subject::Dataset(it) => (Some(it.pid.clone()), None),
        }
    }

    pub(crate) fn is_carried(&self) -> bool {
        matches!(self.stage, JobStage::Carry)
    }

    /// It was looked at, and must be again by the next run.
    pub(crate) fn is_later(&self) -> bool {
        matches!(self.judgement, Some(Judgement::Later(_)))
    }

    /// Whether nothing of it waits to be read.
    pub(crate) fn is_read(&self) -> bool {
        let waits = |it: &ObjectTask| matches!(it.progress, ObjectState::Todo | ObjectState::Compare);
        self.is_carried() && !self.items.iter().any(waits)
    }

    pub(crate) fn item(&self, role: &ObjectRole) -> Option<&ObjectTask> {
        self.items.iter().find(|it| it.object.role == *role)
    }

    /// What the ledger knows of its objects, without the copies that were found bad meanwhile.
    pub(crate) fn on_record(&self, destination: &DestinationName) -> OnRecord {
        let mut all = OnRecord::default();
        for copy in &self.copies {
            let is_bad = self.damaged.iter().any(|(role, version)| *role == copy.role && *version == copy.version);
            let state = if is_bad { CopyState::Damaged } else { copy.state };
            all.add(destination, CopyRecord { state, ..copy.clone() });
        }
        all
    }

    /// How the run ends because its store failed as a whole, where something of it could not be read for that.
    pub(crate) fn cut_off(&self) -> Option<crate::command::exit_status::ExitStatus> {
        let of_all = |item: &ObjectTask| match item.progress {
            ObjectState::Failed(ObjectError::Read(_, of_all)) => of_all,
            _ => None,
        };
        self.items.iter().filter_map(of_all).min()
    }

    /// The newest copy that is, or should be, there of each role.
    pub(crate) fn newest_proved(&self) -> impl Iterator<Item = &CopyRecord> {
        // The ledger lists them in the order of role and version.
        let newest = |(n, it): (usize, &CopyRecord)| {
            let newer =
                self.copies.iter().skip(n + 1).any(|other| other.role == it.role && other.state != CopyState::Reserved);
            it.state == CopyState::Proved && !newer
        };
        self.copies.iter().enumerate().filter(move |(n, it)| newest((*n, it))).map(|(_, it)| it)
    }

    /// Enters an object, with its version and key by what is known of its copies.
    pub(crate) fn add(&mut self, object: Object) {
        let known: Vec<CopyRecord> = self.copies.iter().filter(|it| it.role == object.role).cloned().collect();
        let is_reserved = known.is_empty() && self.due.main_key.as_ref() == Some(&object.key);
        let item = ObjectTask::new(object, known, &self.damaged);
        self.items.push(ObjectTask { reserved: item.reserved || is_reserved, ..item });
    }
}

/// One object on its way.
pub(crate) struct ObjectTask {
    pub(crate) object: Object,
    /// Its copies that the ledger knows, by version.
    pub(crate) known: Vec<CopyRecord>,
    /// Which of its versions is made now, and where.
    pub(crate) version: u32,
    pub(crate) key: ObjectKey,
    /// What lies at the key is known to be bad.
    pub(crate) replace: bool,
    pub(crate) reserved: bool,
    /// What lies at the key, the original script called a copy of this data file, and nobody has proved it.
    pub(crate) is_originals: bool,
    /// Why it got another key: the medium cannot have its own.
    pub(crate) named_otherwise: Option<String>,
    /// How often something went wrong that may pass.
    pub(crate) tries: u32,
    pub(crate) progress: ObjectState,
}

/// How far an object is.
#[derive(Debug)]
pub(crate) enum ObjectState {
    /// There are proved copies: the source's bytes are to be compared with them.
    Compare,
    /// To be stored at the destination.
    Todo,
    /// All bytes are at the destination under a temporary name; nothing shows at the key.
    Staged(Staged),
    /// The proved copy of this version is what the source holds.
    Held {
        version: u32,
        measured: Measured,
    },
    /// The proved copy of this version is left as it is, the source unread.
    Kept {
        version: u32,
    },
    /// Proved and shown in this run.
    Proved {
        proof: Proved,
        adopted: bool,
    },
    /// Read, and not to be shown.
    Dropped(Measured),
    /// It may be absent, and is: where it was looked for.
    Absent(String),
    Failed(ObjectError),
}

/// Why an object is not at the destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ObjectError {
    /// Not at the source: where it was looked for.
    Missing(String),
    /// Could not be read: why, and where its store failed as a whole, how the run ends.
    Read(String, Option<crate::command::exit_status::ExitStatus>),
    /// Could not be stored.
    Write(String),
    /// Could not be stored, for the destination is full; the words are the same for every object.
    Full(String),
    /// Stored, and found to be other bytes.
    Verify(String),
    /// Nothing went wrong: the run was stopped, or its time was over, before it was stored. It stays pending.
    Stopped,
}

impl ObjectTask {
    fn new(object: Object, known: Vec<CopyRecord>, damaged: &[(ObjectRole, u32)]) -> Self {
        let is_bad = |copy: &CopyRecord| {
            copy.state == CopyState::Damaged
                || damaged.iter().any(|(role, version)| *role == copy.role && *version == copy.version)
        };
        let newest = known.iter().rfind(|it| it.state != CopyState::Reserved);
        let has_good = known.iter().any(|it| it.state == CopyState::Proved && !is_bad(it));
        let (version, key) = newest.map_or_else(|| (1, object.key.clone()), |it| (it.version, it.key.clone()));
        Self {
            replace: newest.is_some_and(is_bad),
            reserved: newest.is_some(),
            is_originals: false,
            named_otherwise: None,
            progress: if has_good || newest.is_some() { ObjectState::Compare } else { ObjectState::Todo },
            object,
            version,
            key,
            known,
            tries: 0,
        }
    }

    /// Turns to a version that has no copy yet, at a key beside the first one's. What a run reserved that was killed then
    /// comes first: its bytes may be there.
    pub(crate) fn make_new_version(&mut self) {
        let is_left = |it: &&CopyRecord| it.state == CopyState::Reserved && it.version > self.version;
        let newest = self.known.iter().map(|it| it.version).max().unwrap_or(0).max(self.version);
        (self.version, self.key, self.reserved) = match self.known.iter().find(is_left) {
            Some(left) => (left.version, left.key.clone(), true),
            None => (newest + 1, self.base_key().version(newest + 1), false),
        };
        (self.replace, self.is_originals) = (false, false);
        self.progress = ObjectState::Todo;
    }

    /// What lies at its key is bad: the good bytes are stored again, and take its place.
    pub(crate) fn take_the_place(&mut self) {
        (self.replace, self.is_originals) = (true, false);
        self.progress = ObjectState::Todo;
    }

    /// The key of version 1, which another data file's claim may have moved.
    pub(crate) fn base_key(&self) -> ObjectKey {
        self.known.iter().find(|it| it.version == 1).map_or_else(|| self.object.key.clone(), |it| it.key.clone())
    }

    /// What was read of the source.
    pub(crate) fn measured(&self) -> Option<&Measured> {
        match &self.progress {
            ObjectState::Staged(it) => Some(&it.measured),
            ObjectState::Held { measured, .. } | ObjectState::Dropped(measured) => Some(measured),
            ObjectState::Proved { proof, .. } => Some(proof.measured()),
            ObjectState::Compare
            | ObjectState::Todo
            | ObjectState::Kept { .. }
            | ObjectState::Absent(_)
            | ObjectState::Failed(_) => None,
        }
    }

    /// For the judgement; `None` where it is still on its way, or its reading is no matter of the source.
    pub(crate) fn seen(&self) -> Option<Seen<'_>> {
        match &self.progress {
            ObjectState::Absent(at) | ObjectState::Failed(ObjectError::Missing(at)) => Some(Seen::Missing(at)),
            ObjectState::Failed(ObjectError::Read(why, _)) => Some(Seen::Failed(why)),
            ObjectState::Compare
            | ObjectState::Todo
            | ObjectState::Kept { .. }
            | ObjectState::Failed(
                ObjectError::Write(_) | ObjectError::Full(_) | ObjectError::Verify(_) | ObjectError::Stopped,
            ) => None,
            ObjectState::Staged(_)
            | ObjectState::Held { .. }
            | ObjectState::Proved { .. }
            | ObjectState::Dropped(_) => self.measured().map(Seen::Read),
        }
    }

    /// Whether its own recorded digest says that these are not its bytes.
    pub(crate) fn is_unexpected(&self) -> bool {
        let expected = self.object.expected.as_ref();
        expected.zip(self.measured()).is_some_and(|(it, measured)| measured.matches(it) == Some(false))
    }

    /// What is recorded of it.
    pub(crate) fn proof(&self) -> Option<ObjectProof> {
        let role = self.object.role.clone();
        match &self.progress {
            ObjectState::Held { version, .. } | ObjectState::Kept { version } => {
                Some(ObjectProof::Before { role, version: *version })
            }
            ObjectState::Proved { proof, adopted } => Some(ObjectProof::Now {
                role,
                version: self.version,
                key: self.key.clone(),
                proof: proof.clone(),
                adopted: *adopted,
            }),
            ObjectState::Compare
            | ObjectState::Todo
            | ObjectState::Staged(_)
            | ObjectState::Dropped(_)
            | ObjectState::Absent(_)
            | ObjectState::Failed(_) => None,
        }
    }

    /// What its bytes must be hashed with for its own comparisons.
    pub(crate) fn algorithms(&self, recorded: Option<Algorithm>) -> Vec<Algorithm> {
        let expected = self.object.expected.as_ref().map(dvb_fixity::Digest::algorithm);
        recorded.into_iter().chain(expected).collect()
    }
}
