//! What both ledgers do in the same way: each call is one transaction around a function of the dialect's own modules.

/// Implements the parts of [`Ledger`](crate::Ledger) for a ledger whose dialect has them in modules of the same names.
macro_rules! delegate {
    ($ledger:ident, read: $read:ident, write: $write:ident) => {
        impl RunLog for $ledger {
            fn lock(&self, destination: &DestinationName, holder: &Holder) -> Result<Box<dyn Lock>, LedgerError> {
                self.take_lock(destination, holder)
            }

            fn begin_run(&self, run: &Run) -> Result<(), LedgerError> {
                self.$write("record the run", |it| write::begin_run(it, run))
            }

            fn finish_run(&self, run: &RunId, summary: &RunSummary) -> Result<(), LedgerError> {
                let found = self.$write("record the end of the run", |it| write::finish_run(it, run, summary))?;
                if found { Ok(()) } else { Err(LedgerError::UnknownRun { target: self.describe(), run: run.clone() }) }
            }

            fn knows_run(&self, destination: &DestinationName, run: &RunId) -> Result<bool, LedgerError> {
                self.$read("look up a run", |it| read::knows_run(it, destination, run))
            }

            fn runs(
                &self,
                destination: &DestinationName,
                limit: u32,
            ) -> Result<Vec<(Run, Option<RunSummary>)>, LedgerError> {
                self.$read("list the runs", |it| read::runs(it, destination, limit))
            }
        }

        impl Verdicts for $ledger {
            fn states<'a>(
                &'a self,
                destination: &DestinationName,
                kind: EntryKind,
            ) -> Box<dyn Iterator<Item = Result<State, LedgerError>> + 'a> {
                let destination = destination.clone();
                let page = move |after| self.$read("list the states", |it| read::states(it, &destination, kind, after));
                Box::new(Pages::new(page, |it: &State| it.id.0))
            }

            fn holdings<'a>(
                &'a self,
                destination: &DestinationName,
                kind: EntryKind,
            ) -> Box<dyn Iterator<Item = Result<Holding, LedgerError>> + 'a> {
                let destination = destination.clone();
                let page =
                    move |after| self.$read("list what is held", |it| holdings::page(it, &destination, kind, after));
                Box::new(Pages::new(page, |it: &Holding| it.detail.id.0))
            }

            fn record(
                &self,
                destination: &DestinationName,
                run: &RunId,
                records: &[Record],
            ) -> Result<(), LedgerError> {
                self.$write("record verdicts", |it| write::record(it, destination, run, records))
            }

            fn mark_gone(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
                self.$write("mark what is gone", |it| write::mark_gone(it, destination, ids))
            }

            fn record_pids(
                &self,
                destination: &DestinationName,
                pids: &[(DvObjectId, &str)],
            ) -> Result<(), LedgerError> {
                self.$write("record PIDs", |it| write::record_pids(it, destination, pids))
            }

            fn counts(&self, destination: &DestinationName) -> Result<(Vec<(Status, u64)>, u64), LedgerError> {
                self.$read("count the states", |it| read::counts(it, destination))
            }

            fn spread(&self) -> Result<Vec<(u64, u64)>, LedgerError> {
                Ok(self.files_by_copies()?.into_iter().map(|it| (it.copies, it.files)).collect())
            }

            fn visit_details(
                &self,
                destination: &DestinationName,
                dataset: Option<&str>,
                failed_only: bool,
                visit: &mut dyn FnMut(StateDetail),
            ) -> Result<(), LedgerError> {
                let page = |after| {
                    self.$read("list the states", |it| read::details(it, destination, dataset, failed_only, after))
                };
                Pages::new(page, |it: &StateDetail| it.id.0).try_for_each(|it| it.map(&mut *visit))
            }

            fn distrust(&self, destination: &DestinationName, run: &RunId) -> Result<u64, LedgerError> {
                self.take_unfounded_away(destination, run)
            }

            fn history(&self, id: DvObjectId) -> Result<Vec<Custody>, LedgerError> {
                self.$read("list what is known", |it| history::history(it, id))
            }
        }

        impl Proofs for $ledger {
            fn copies(
                &self,
                destination: &DestinationName,
                ids: &[DvObjectId],
            ) -> Result<Vec<CopyRecord>, LedgerError> {
                self.$read("list the copies", |it| read::copies(it, destination, ids))
            }

            fn oldest_copies(
                &self,
                destination: &DestinationName,
                after: Option<&CopyRecord>,
                before: Option<&str>,
                limit: u32,
            ) -> Result<Vec<LedgerCopy>, LedgerError> {
                self.$read("list the oldest copies", |it| check::oldest_copies(it, destination, after, before, limit))
            }

            fn damaged_copies(
                &self,
                destination: &DestinationName,
                after: Option<&CopyRecord>,
                limit: u32,
            ) -> Result<Vec<LedgerCopy>, LedgerError> {
                self.$read("list the damaged copies", |it| check::damaged_copies(it, destination, after, limit))
            }

            fn count_copies(&self, destination: &DestinationName, before: Option<&str>) -> Result<u64, LedgerError> {
                self.$read("count the copies", |it| check::count_copies(it, destination, before))
            }

            fn record_checks(
                &self,
                destination: &DestinationName,
                run: &RunId,
                checks: &[Check],
            ) -> Result<(), LedgerError> {
                self.$write("record what was verified", |it| check::record_checks(it, destination, run, checks))
            }

            fn oldest_proof(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError> {
                self.$read("look for the oldest proof", |it| read::oldest_proof(it, destination))
            }

            fn digests(
                &self,
                destination: &DestinationName,
                ids: &[DvObjectId],
            ) -> Result<Vec<(DvObjectId, Digest)>, LedgerError> {
                self.$read("list the digests", |it| read::digests(it, destination, ids))
            }
        }

        impl Keys for $ledger {
            fn reserve(
                &self,
                destination: &DestinationName,
                wishes: &[Reservation],
            ) -> Result<Vec<DvObjectId>, LedgerError> {
                self.$write("reserve keys", |it| write::reserve(it, destination, wishes))
            }

            fn candidates(&self, wanted: &[(String, String)]) -> Result<Vec<Candidate>, LedgerError> {
                self.$read("look up the original's rows", |it| read::candidates(it, wanted))
            }

            fn known_keys(&self, destination: &DestinationName, keys: &[&str]) -> Result<HashSet<String>, LedgerError> {
                self.$read("look for keys", |it| read::known_keys(it, destination, keys))
            }

            fn copy_at(
                &self,
                destination: &DestinationName,
                key: &ObjectKey,
            ) -> Result<Option<CopyRecord>, LedgerError> {
                self.$read("look up a key", |it| read::copy_at(it, destination, key))
            }
        }

        impl Claims for $ledger {
            fn is_blank(&self, destination: &DestinationName) -> Result<bool, LedgerError> {
                self.$read("look whether it is empty", |it| claim::is_blank(it, destination))
            }

            fn claim(&self, destination: &DestinationName, run: &RunId, claims: &[Claim]) -> Result<(), LedgerError> {
                self.$write("record what a snapshot claims", |it| claim::claim(it, destination, run, claims))
            }

            fn claimed_copies(
                &self,
                destination: &DestinationName,
                after: Option<&CopyRecord>,
                limit: u32,
            ) -> Result<Vec<LedgerCopy>, LedgerError> {
                self.$read("list the claimed copies", |it| claim::claimed_copies(it, destination, after, limit))
            }

            fn count_claimed(&self, destination: &DestinationName) -> Result<u64, LedgerError> {
                self.$read("count the claimed copies", |it| claim::count_claimed(it, destination))
            }
        }

        impl SourceChecks for $ledger {
            fn record_source_damage(
                &self,
                destination: &DestinationName,
                run: &RunId,
                found: &[SourceDamage],
            ) -> Result<(), LedgerError> {
                self.$write("record what is damaged at the source", |it| {
                    check::record_source_damage(it, destination, run, found)
                })
            }

            fn sizes(
                &self,
                destination: &DestinationName,
                first: DvObjectId,
                last: DvObjectId,
            ) -> Result<Vec<ObjectSize>, LedgerError> {
                self.$read("list the sizes", |it| source::sizes(it, destination, (first, last)))
            }

            fn mark(&self, name: &str) -> Result<Option<String>, LedgerError> {
                self.$read("look up where to go on", |it| source::mark(it, name))
            }

            fn set_mark(&self, name: &str, value: Option<&str>) -> Result<(), LedgerError> {
                self.$write("record where to go on", |it| source::set_mark(it, name, value))
            }

            fn least_recently_audited(
                &self,
                destination: &DestinationName,
                before: Option<&str>,
                limit: u32,
            ) -> Result<Vec<Audited>, LedgerError> {
                self.$read("list what was audited longest ago", |it| {
                    source::least_recently_audited(it, destination, before, limit)
                })
            }

            fn count_audited(&self, destination: &DestinationName, before: Option<&str>) -> Result<u64, LedgerError> {
                self.$read("count what was audited", |it| source::count_audited(it, destination, before))
            }

            fn record_audited(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
                self.$write("record what was audited", |it| source::record_audited(it, destination, ids))
            }
        }

        impl Identity for $ledger {
            fn installation(&self, fresh: &str) -> Result<String, LedgerError> {
                self.$write("look up the installation", |it| installation::installation(it, fresh))
            }

            fn become_installation(&self, id: &str) -> Result<bool, LedgerError> {
                self.$write("take over an installation", |it| installation::become_installation(it, id))
            }

            fn identified_at(&self, destination: &DestinationName) -> Result<Option<String>, LedgerError> {
                self.$read("look up the destination", |it| installation::marked_at(it, destination))
            }

            fn identify(&self, destination: &DestinationName) -> Result<(), LedgerError> {
                self.$write("record whose the destination is", |it| installation::mark(it, destination))
            }
        }

        impl Incidents for $ledger {
            fn record_incidents(&self, run: &RunId, found: &[Finding], mended: &[Mending]) -> Result<(), LedgerError> {
                self.$write("record incidents", |it| incident::record(it, run, found, mended))
            }

            fn incidents(&self, id: DvObjectId) -> Result<Vec<Incident>, LedgerError> {
                self.$read("list incidents", |it| incident::of(it, id))
            }
        }

        impl History for $ledger {
            fn begin_event(&self, event: &Event) -> Result<(), LedgerError> {
                self.$write("record the command", |db| event::insert(db, std::slice::from_ref(event)))
            }

            fn finish_event(&self, id: &RunId, end: &EventEnd) -> Result<(), LedgerError> {
                let found = self.$write("record the end of the command", |db| event::finish(db, id, end))?;
                if found { Ok(()) } else { Err(LedgerError::UnknownRun { run: id.clone(), target: self.describe() }) }
            }

            fn visit_events(&self, since: Option<&str>, visit: &mut dyn FnMut(Event)) -> Result<(), LedgerError> {
                let mut last: Option<Event> = None;
                loop {
                    let page = self.$read("list the commands", |db| event::page(db, since, last.as_ref()))?;
                    let Some(end) = page.last() else { return Ok(()) };
                    last = Some(end.clone());
                    page.into_iter().for_each(&mut *visit);
                }
            }

            fn visit_incidents(&self, open: bool, visit: &mut dyn FnMut(Incident)) -> Result<(), LedgerError> {
                let mut after = 0;
                loop {
                    let page = self.$read("list incidents", |db| incident::page(db, after, open, PAGE))?;
                    let Some(last) = page.last() else { return Ok(()) };
                    after = last.number;
                    page.into_iter().for_each(&mut *visit);
                }
            }

            fn count_open_incidents(&self) -> Result<u64, LedgerError> {
                self.$read("count incidents", |db| incident::count_open(db))
            }

            fn note_incident(&self, number: u64, note: &str, by: &str) -> Result<bool, LedgerError> {
                self.$write("record the note", |db| incident::note(db, number, note, by))
            }

            fn acknowledge(&self, all: &[Acknowledgement]) -> Result<(), LedgerError> {
                self.$write("record the acknowledgement", |db| event::acknowledge(db, all))
            }

            fn acknowledgements(&self) -> Result<Vec<Acknowledgement>, LedgerError> {
                self.$read("list acknowledgements", |db| event::acknowledgements(db))
            }

            fn end_acknowledgements(
                &self,
                destination: &DestinationName,
                ids: &[DvObjectId],
            ) -> Result<(), LedgerError> {
                self.$write("end acknowledgements", |db| event::end_acknowledgements(db, destination, ids))
            }

            fn take_over_history(
                &self,
                events: &[Event],
                incidents: &[Incident],
                acknowledged: &[Acknowledgement],
            ) -> Result<(), LedgerError> {
                self.$write("take over the history", |db| {
                    event::insert(db, events)?;
                    incident::take_over(db, incidents)?;
                    event::acknowledge(db, acknowledged)
                })
            }
        }

        impl Purges for $ledger {
            fn request_purge(&self, purge: &Purge, targets: &[PurgeTarget]) -> Result<u64, LedgerError> {
                self.$write("record the purge", |db| purge::request(db, purge, targets))
            }

            fn purges(&self) -> Result<Vec<Purge>, LedgerError> {
                self.$read("list the purges", |db| purge::purges(db))
            }

            fn advance_purge(&self, purge: &Purge, from: PurgeState) -> Result<bool, LedgerError> {
                self.$write("record how far the purge has come", |db| purge::advance(db, purge, from))
            }

            fn purge_targets(&self, number: u64) -> Result<Vec<PurgeTarget>, LedgerError> {
                self.$read("list what is to be purged", |db| purge::targets(db, number))
            }

            fn record_purge_targets(&self, number: u64, targets: &[PurgeTarget]) -> Result<(), LedgerError> {
                self.$write("record what is to be purged", |db| purge::record_targets(db, number, targets))
            }

            fn bury(
                &self,
                destination: &DestinationName,
                run: &RunId,
                tombstones: &[Tombstone],
            ) -> Result<(), LedgerError> {
                self.$write("record what is purged", |db| purge::bury(db, destination, run, tombstones))
            }

            fn free_keys(&self, destination: &DestinationName, ids: &[DvObjectId]) -> Result<(), LedgerError> {
                self.$write("let go of the keys of what is purged", |db| purge::free_keys(db, destination, ids))
            }

            fn forget_deleted(&self) -> Result<Option<String>, LedgerError> {
                self.write_anew()
            }

            fn take_over_purges(&self, purges: &[Purge], holds: &[Hold]) -> Result<(), LedgerError> {
                self.$write("take over the purges", |db| purge::take_over(db, purges, holds))
            }

            fn tombstones(&self) -> Result<Vec<Tombstone>, LedgerError> {
                self.$read("list the tombstones", |db| purge::tombstones(db))
            }

            fn place_hold(&self, hold: &Hold) -> Result<u64, LedgerError> {
                self.$write("record the hold", |db| purge::place_hold(db, hold))
            }

            fn holds(&self) -> Result<Vec<Hold>, LedgerError> {
                self.$read("list the holds", |db| purge::holds(db))
            }

            fn release_hold(&self, number: u64, by: &Signed, reference: &str) -> Result<bool, LedgerError> {
                self.$write("release the hold", |db| purge::release_hold(db, number, by, reference))
            }
        }

        impl Retentions for $ledger {
            fn locks_due(
                &self,
                destination: &DestinationName,
                before: &str,
                unlocked: bool,
                after: Option<&LockedCopy>,
                limit: u32,
            ) -> Result<Vec<LockedCopy>, LedgerError> {
                self.$read("list the locks that end", |db| {
                    retention::locks_due(db, destination, (before, unlocked), after, limit)
                })
            }

            fn record_locks(
                &self,
                destination: &DestinationName,
                locks: &[(ObjectKey, String)],
            ) -> Result<(), LedgerError> {
                self.$write("record locks", |db| retention::record_locks(db, destination, locks))
            }

            fn retention(&self, destination: &DestinationName) -> Result<Option<Retention>, LedgerError> {
                self.$read("look up when locks end", |db| retention::retention(db, destination))
            }
        }

        impl Aggregates for $ledger {
            fn installation_id(&self) -> Result<Option<String>, LedgerError> {
                self.$read("look up the installation", |db| aggregate::installation_id(db))
            }

            fn files_by_copies(&self) -> Result<Vec<FilesByCopies>, LedgerError> {
                self.$read("count data files by their copies", |db| aggregate::files_by_copies(db))
            }

            fn not_covered(&self, limit: u32) -> Result<(Vec<(String, u64)>, u64), LedgerError> {
                self.$read("count what is not covered", |db| aggregate::not_covered(db, limit))
            }

            fn proofs_by_day(
                &self,
                destination: &DestinationName,
                overdue_before: Option<&str>,
            ) -> Result<Vec<ProofDay>, LedgerError> {
                self.$read("count the proofs", |db| aggregate::proofs_by_day(db, destination, overdue_before))
            }

            fn unproved_copies(&self, destination: &DestinationName) -> Result<UnprovedCopies, LedgerError> {
                self.$read("count the copies without a proof", |db| aggregate::unproved_copies(db, destination))
            }

            fn audits_by_day(&self, overdue_before: Option<&str>) -> Result<Vec<AuditDay>, LedgerError> {
                self.$read("count what was audited", |db| aggregate::audits_by_day(db, overdue_before))
            }

            fn copies_by_month(&self) -> Result<Vec<CopiesOfMonth>, LedgerError> {
                self.$read("count the copies by month", |db| aggregate::copies_by_month(db))
            }
        }
    };
}
pub(crate) use delegate;
