//! Copies that were found bad: kept, out of the way of the good ones that take their place.

use dvb_model::ObjectKey;

use crate::copies::session::{Connection, Interrupted};
use crate::run::batch::job::Batch;
use crate::run::batch::job::TaskAt;
use crate::run::destination_run::DestinationRun;

impl DestinationRun<'_> {
    /// Sets aside what lies where good copies are to take the place of bad ones. Where that cannot be done, the bad one
    /// stays, and the good one is made beside it.
    pub(crate) fn set_aside(
        &self,
        batch: &mut Batch,
        good: &mut Vec<TaskAt>,
        connection: &mut Connection<'_>,
    ) -> Result<(), Interrupted> {
        let replaced: Vec<TaskAt> = good.iter().copied().filter(|&at| batch.task(at).replace).collect();
        if replaced.is_empty() {
            return Ok(());
        }
        let keys: Vec<ObjectKey> = replaced.iter().map(|&at| batch.task(at).key.clone()).collect();
        let found = connection.with(|it| it.stat(&keys))?;
        let mut stay = Vec::new();
        for ((at, key), found) in replaced.into_iter().zip(keys).zip(found) {
            if matches!(found, Ok(None)) {
                continue;
            }
            let note = match self.move_away(&key, connection)? {
                Ok(to) => format!("the bad copy at {key} was set aside as {to}"),
                Err(why) => {
                    stay.push(at);
                    format!("the bad copy at {key} stays, because it could not be set aside: {why}")
                }
            };
            batch.job_mut(at).notes.push(note);
        }
        good.retain(|it| !stay.contains(it));
        self.discard(batch, stay.clone(), connection)?;
        stay.into_iter().for_each(|at| batch.task_mut(at).make_new_version());
        Ok(())
    }

    fn move_away(
        &self,
        key: &ObjectKey,
        connection: &mut Connection<'_>,
    ) -> Result<Result<ObjectKey, String>, Interrupted> {
        let to = match key.set_aside(&self.options.run) {
            Ok(it) => it,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut moved = connection.with(|it| Ok(it.rename(key, &to)))?;
        if moved.as_ref().is_err_and(|it| it.cause.is_of_all()) {
            // Where the session is lost, this look fails as a whole, and the batch is done again.
            let found = connection.with(|it| it.stat(std::slice::from_ref(key)))?.pop();
            moved = match found {
                Some(Ok(None)) => Ok(()),
                Some(_) | None => connection.with(|it| Ok(it.rename(key, &to)))?,
            };
        }
        Ok(moved.map(|()| to).map_err(|it| it.chain()))
    }
}
