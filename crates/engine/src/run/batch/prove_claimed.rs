//! Copies that a snapshot claims, after the ledger was lost: proved where they lie before anything else is done.

use dvb_fixity::Measured;
use dvb_ledger::{Check, CopyRecord, CopyState, Found};
use dvb_model::{DestinationName, ObjectKey};
use dvb_storage::SinkError;

use crate::copies::compare::{Bad, compare, measure, sentence};
use crate::copies::incident::of_copy;
use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::job::Batch;
use crate::run::batch::job::{Job, JobStage};
use crate::run::destination_run::DestinationRun;
use crate::source::incident;
use crate::source::judge::Judgement;

/// How often a copy is looked at that was bad or could not be read: memory and network err too.
const LOOKS: u32 = 2;

impl DestinationRun<'_> {
    /// Proves what is claimed of a batch, and records that at once. What is proved is then known as any other copy, and so
    /// is what is bad; what cannot be looked at is left to the next run.
    pub(crate) fn prove_claimed(&self, batch: &mut Batch, connection: &mut Connection<'_>) -> Result<(), Interrupted> {
        for look in 1..=LOOKS {
            let wanted = claimed(batch);
            if wanted.is_empty() {
                break;
            }
            let keys: Vec<ObjectKey> = wanted.iter().map(|(n, m)| batch.jobs()[*n].copies[*m].key.clone()).collect();
            let sizes: Vec<u64> = wanted.iter().map(|(n, m)| batch.jobs()[*n].copies[*m].size.unwrap_or(0)).collect();
            let (held, evidence) = measure(&self.reading, &keys, &sizes, connection)?;
            let mut checks = Vec::new();
            for ((n, m), held) in wanted.into_iter().zip(held) {
                let judged = judge(&batch.jobs()[n].copies[m], held, evidence);
                checks.extend(take(&mut batch.jobs_mut()[n], m, judged, self.setup.destination, look == LOOKS));
            }
            if !checks.is_empty() {
                self.setup.ledger.record_checks(self.setup.destination, &self.options.run, &checks)?;
            }
        }
        for job in batch.jobs_mut().iter_mut().filter(|it| matches!(it.stage, JobStage::Recheck)) {
            let Some(basis) = job.due.claimed else { continue };
            let all_good = job.damaged.is_empty() && job.newest_proved().next().is_some();
            job.stage = if all_good { JobStage::Claimed(basis) } else { JobStage::List };
        }
        Ok(())
    }
}

/// The claimed copies of what is to be looked at, by the numbers of job and copy.
fn claimed(batch: &Batch) -> Vec<(usize, usize)> {
    let waits = |it: &Job| matches!(it.stage, JobStage::Recheck | JobStage::List);
    let of = |(n, job): (usize, &Job)| {
        let mine = job.copies.iter().enumerate().filter(|(_, it)| it.state == CopyState::Claimed);
        mine.map(|(m, _)| (n, m)).collect::<Vec<_>>()
    };
    batch.jobs().iter().enumerate().filter(|(_, it)| waits(it)).flat_map(of).collect()
}

enum CopyCheck {
    Good(Found),
    Bad(Bad),
    Unread(String),
}

fn judge(copy: &CopyRecord, held: Result<Measured, SinkError>, evidence: dvb_fixity::Evidence) -> CopyCheck {
    match held {
        Ok(held) => match compare(copy, held, evidence) {
            Ok(proof) => CopyCheck::Good(Found::Good(proof)),
            Err(bad) => CopyCheck::Bad(bad),
        },
        Err(error) if Bad::is_told_by(&error) => CopyCheck::Bad(Bad::of(error)),
        Err(error) => CopyCheck::Unread(error.chain()),
    }
}

/// Takes over what a look has shown; what is good counts at once, what is not at the last look.
fn take(job: &mut Job, n: usize, judged: CopyCheck, destination: &DestinationName, is_last: bool) -> Option<Check> {
    let (dataset, label) = job.people();
    let copy = &mut job.copies[n];
    let (state, found) = match judged {
        CopyCheck::Good(found) => (CopyState::Proved, found),
        CopyCheck::Bad(bad) if is_last => {
            let why = sentence(copy, dataset.as_deref(), label.as_deref(), &bad);
            job.damaged.push((copy.role.clone(), copy.version));
            let found = incident::Discovery { command: "run", detail: &why };
            let found = of_copy(found, destination, copy, &bad);
            job.notes.push(why);
            (CopyState::Damaged, Found::Damaged(Box::new(found)))
        }
        CopyCheck::Unread(why) if is_last => {
            let why = format!("the copy at {}, which a snapshot claims, cannot be checked: {why}", copy.key);
            job.stage = JobStage::Carry;
            job.judgement = Some(Judgement::Later(why));
            return None;
        }
        CopyCheck::Bad(_) | CopyCheck::Unread(_) => return None,
    };
    copy.state = state;
    Some(Check { id: copy.id, role: copy.role.clone(), version: copy.version, found })
}
