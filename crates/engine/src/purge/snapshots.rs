//! Snapshots at the destination, written again without the names and keys of what is purged.
//!
//! The new one gets a name of its own beside the old one, and is proved, before the old one goes with all its versions.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::sync::Arc;

use dvb_catalog::{SnapshotLink, SnapshotRewriting, Without, read_header};
use dvb_ledger::Purge;
use dvb_model::{DvObjectId, ObjectKey};
use dvb_storage::{Cause, SinkError};

use super::destination::{Of, Site};
use super::rest::own_things;
use super::wait::Wait;
use crate::command::exit_status::ExitStatus;
use crate::command::time::now;
use crate::copies::own_files::{Failed, in_words, sha256_of, stage_and_commit};
use crate::copies::session::{Connection, Interrupted};
use crate::copies::snapshot_names;
use crate::guard::{self, Identity};
use crate::source::payload::Reading;

/// What a snapshot turns out to be.
enum Looked {
    /// It says nothing of what is purged.
    Clean,
    /// It was written again: this is the new one.
    Rewritten(SnapshotLink),
    /// Nobody can say what it names.
    Unreadable(String),
}

impl Site<'_> {
    /// Writes each snapshot again that names what is purged, and deletes the old ones; also what versions of removed ones
    /// the destination keeps.
    pub(super) fn rewrite_snapshots(&mut self, purge: &Purge) -> Result<(), Wait> {
        let ids: BTreeSet<DvObjectId> = purge.files.iter().map(|it| it.id).collect();
        let names = self.names();
        let without = Without { ids: &ids, names: &names };
        let mut stays: BTreeSet<String> = BTreeSet::new();
        let mut links: Vec<SnapshotLink> = Vec::new();
        let there = self.snapshots()?;
        let installations = self.installations()?;
        for name in &there {
            if !self.setup.stop.may_begin() {
                return Err(Interrupted::Stopped.into());
            }
            // An earlier call has written it again, and could not delete it: a lock holds it, or that call died.
            if snapshot_names::written_again(name).is_some_and(|it| there.contains(&it)) {
                continue;
            }
            match self.look_at(name, &without, purge, &installations)? {
                Looked::Clean => drop(stays.insert(name.clone())),
                Looked::Rewritten(link) => {
                    stays.insert(link.name.clone());
                    links.push(link);
                    self.snapshots_rewritten += 1;
                }
                Looked::Unreadable(why) => {
                    self.notes.push(format!("the snapshot {name} cannot be read ({why}), so it was deleted"));
                }
            }
        }
        // Those that an earlier call wrote and did not come to use are found by their names.
        self.snapshot = newest(&links, &stays);
        self.delete_snapshots(&stays)
    }

    /// The snapshots that are there. Where the account that copies may not list, whoever deletes can, and shows also those that
    /// were removed and are kept as versions.
    fn snapshots(&mut self) -> Result<Vec<String>, Wait> {
        let mut connection = Connection::new(self.at(), &self.contact);
        let listed = connection.with(|session| match session.list_own(snapshot_names::BEFORE) {
            Err(error) if error.cause == Cause::Forbidden => Ok(None),
            listed => listed.map(Some),
        })?;
        drop(connection);
        let names = match listed {
            Some(names) => names,
            None => {
                let keys = self.purger.own_keys(snapshot_names::BEFORE)?;
                keys.iter().filter_map(|it| it.as_str().rsplit('/').next()).map(str::to_owned).collect()
            }
        };
        let mut names = snapshot_names::as_spelled(names);
        names.retain(|it| snapshot_names::run_of(it).is_some());
        names.sort_unstable();
        Ok(names)
    }

    fn look_at(
        &self,
        name: &str,
        without: &Without<'_>,
        purge: &Purge,
        installations: &BTreeSet<String>,
    ) -> Result<Looked, Wait> {
        let folder = &self.options.spool_folder;
        let mut connection = Connection::new(self.at(), &self.contact);
        let mut old = tempfile::tempfile_in(folder)?;
        let key = own(name)?;
        match connection.with(|session| Ok(download(session, &key, &old)))? {
            Ok(()) => {}
            Err(Failing::Spool(error)) => return Err(error.into()),
            // One that is not there any more, for whoever may not list, is one that he may not read.
            Err(Failing::Sink(error)) if matches!(error.cause, Cause::Broken | Cause::Missing | Cause::Forbidden) => {
                return Ok(Looked::Unreadable(error.chain()));
            }
            Err(Failing::Sink(error)) => return Err(error.into()),
        }
        old.rewind()?;
        // The ids of another Dataverse mean other data files.
        match read_header(BufReader::new(&old)) {
            Ok(header) if header.installation.as_ref().is_some_and(|it| !installations.contains(it)) => {
                return Ok(Looked::Clean);
            }
            Ok(_) => {}
            Err(error) => return Ok(Looked::Unreadable(error.to_string())),
        }
        old.rewind()?;
        match without.is_named(BufReader::new(&old)) {
            Ok(false) => return Ok(Looked::Clean),
            Ok(true) => {}
            Err(error) => return Ok(Looked::Unreadable(error.to_string())),
        }
        let at = purge.executed.as_ref().map_or_else(now, |it| it.at.clone());
        let rewriting = SnapshotRewriting { purge: purge.run.clone(), at, was: sha256_of(&old)? };
        old.rewind()?;
        let new = BufWriter::new(tempfile::tempfile_in(folder)?);
        let new = without.rewrite(BufReader::new(&old), new, &rewriting)?;
        let new = new.into_inner().map_err(io::IntoInnerError::into_error)?;
        let new_name = snapshot_names::written_again(name).ok_or_else(|| Wait {
            reason: format!("{name} is not the name of a snapshot"),
            ending: ExitStatus::NotSafe,
        })?;
        let link = SnapshotLink { name: new_name.clone(), sha256: sha256_of(&new)? };
        let words = in_words(folder, &link)?;
        let files = [(own(&new_name)?, Arc::new(new)), (own(&snapshot_names::digest_of(&new_name))?, Arc::new(words))];
        let reading = Reading::new(self.setup.stop, None);
        // What lies at their names can only be what an earlier call left there.
        match connection.with(|session| stage_and_commit(session, &files, &reading, true))? {
            Ok(_) => Ok(Looked::Rewritten(link)),
            Err(Failed::Object(error)) => Err(error.into()),
            Err(Failed::Spool(error)) => Err(error.into()),
        }
    }

    /// Deletes every snapshot that does not stay, with all its versions, and the versions of those that were removed before.
    fn delete_snapshots(&mut self, stays: &BTreeSet<String>) -> Result<(), Wait> {
        self.delete_rounds(Of::Ours, &mut |purger| {
            let mut keys = purger.own_keys(snapshot_names::BEFORE)?;
            keys.retain(|key| {
                let name = key.as_str().rsplit('/').next().unwrap_or_default().to_owned();
                let name = snapshot_names::as_spelled(vec![name]).pop().unwrap_or_default();
                let snapshot = snapshot_names::snapshot_of_either(&name);
                // What is not named like one of ours is none.
                snapshot_names::run_of(snapshot).is_some() && !stays.contains(snapshot)
            });
            own_things("snapshot", purger, keys.into_iter())
        })
    }

    /// The ids of the installation that a snapshot here may be of: this one's, and those that the destination belonged to
    /// before.
    fn installations(&self) -> Result<BTreeSet<String>, Wait> {
        let mut ids = BTreeSet::from([guard::installation(self.setup.ledger)?]);
        let mut connection = Connection::new(self.at(), &self.contact);
        if let Identity::Of(owner) = connection.with(guard::look_at_identity)? {
            ids.insert(owner.id);
            ids.extend(owner.before);
        }
        Ok(ids)
    }
}

/// The newest snapshot, if it is one that was written again just now.
fn newest(links: &[SnapshotLink], stays: &BTreeSet<String>) -> Option<SnapshotLink> {
    let names: Vec<String> = stays.iter().cloned().collect();
    let newest = snapshot_names::newest(&names, snapshot_names::now())?;
    links.iter().find(|it| it.name == *newest).cloned()
}

fn own(name: &str) -> Result<ObjectKey, Wait> {
    ObjectKey::own(name)
        .map_err(|error| SinkError::because(Cause::Refused, format!("cannot name the snapshot {name}"), error).into())
}

/// Why a snapshot is not here.
enum Failing {
    Sink(SinkError),
    Spool(io::Error),
}

fn download(session: &mut dyn dvb_storage::SinkSession, key: &ObjectKey, mut to: &File) -> Result<(), Failing> {
    let mut body = session.open(key).map_err(Failing::Sink)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match body.read(&mut buffer) {
            Ok(0) => return to.flush().map_err(Failing::Spool),
            Ok(n) => to.write_all(&buffer[..n]).map_err(Failing::Spool)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let attempt = format!("reading {key} failed");
                return Err(Failing::Sink(SinkError::because(Cause::Transient, attempt, error)));
            }
        }
    }
}
