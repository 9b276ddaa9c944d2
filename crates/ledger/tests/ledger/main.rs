//! One suite for every ledger, and what each has of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod adoption;
mod aggregates;
mod checks;
mod child;
mod claims;
mod events;
mod history;
mod holdings;
mod incidents;
mod locks;
mod made;
mod migration;
mod plans;
mod postgres;
mod purges;
mod reports;
mod reservations;
mod retention;
mod shared;
mod shared_faults;
mod sqlite;
mod verdicts;

use dvb_ledger::{Ledger, LedgerError};

/// A backup database, empty at first, that several programs can open.
trait Bench: Sync {
    /// Opens it once more, as another program would.
    fn open(&self) -> Box<dyn Ledger>;
    /// Runs SQL beside the ledger.
    fn execute(&self, sql: &str);
    /// Rows of text columns, `NULL` as `-`, joined by `|`.
    fn rows(&self, sql: &str) -> Vec<String>;
    /// How a child process finds it.
    fn address(&self) -> String;

    fn migrated(&self) -> Box<dyn Ledger> {
        let ledger = self.open();
        ledger.migrate().unwrap();
        ledger
    }
}

/// Makes a test of each named check, on a bench of `$make`.
macro_rules! suite {
    ($make:expr) => {
        crate::suite! { $make;
            migration::no_tables_are_told_of,
            migration::is_done_once,
            migration::several_at_once_do_it_once,
            migration::a_newer_ledger_is_refused,
            migration::an_older_ledger_is_brought_up_to_date,
            adoption::of_no_table_makes_a_view,
            adoption::keeps_the_rows_and_answers_in_their_place,
            adoption::of_a_table_that_came_later,
            adoption::refuses_a_second_table_with_rows,
            verdicts::safe_is_recorded_with_its_proofs,
            verdicts::safe_without_objects_is_refused,
            verdicts::before_without_a_proof_is_refused,
            verdicts::now_under_another_key_is_refused,
            verdicts::ok_is_no_failure,
            verdicts::a_refused_call_records_nothing,
            verdicts::a_failure_keeps_the_copies,
            verdicts::damage_is_kept_until_the_next_proof,
            verdicts::what_is_reserved_stays_reserved,
            verdicts::the_last_verdict_of_a_call_counts,
            verdicts::what_is_not_known_any_more_is_kept,
            verdicts::gone_and_back,
            verdicts::strange_text_is_kept,
            verdicts::workers_record_side_by_side,
            reservations::the_nth_answer_is_the_nth_wish_s,
            reservations::wishes_of_one_call_go_in_order,
            reservations::a_reservation_moves,
            reservations::a_copy_does_not_move,
            reservations::keys_change_hands_within_a_call,
            reservations::destinations_are_apart,
            reservations::threads_agree_on_the_owner,
            reports::states_come_in_order_over_pages,
            reports::kinds_and_destinations_are_apart,
            holdings::have_their_copies_in_order_over_pages,
            holdings::know_what_is_gone_damaged_or_without_a_copy,
            reports::counts_leave_out_what_is_gone,
            reports::details_can_be_narrowed,
            reports::copies_are_counted_over_destinations,
            reports::a_copy_counts_whatever_became_of_its_source,
            reports::the_oldest_proof_is_of_what_is_not_gone,
            reports::runs_come_newest_first,
            reports::keys_that_are_taken_are_told,
            reports::a_key_is_looked_up,
            checks::damage_at_the_source_is_of_what_was_safe,
            checks::the_oldest_come_first_page_by_page,
            checks::damaged_copies_of_what_is_not_safe_are_listed,
            checks::objects_of_one_time_are_all_seen,
            checks::a_good_copy_is_proved_anew,
            checks::a_proof_of_other_bytes_is_refused,
            checks::a_damaged_copy_is_not_proved_any_more,
            claims::are_pending_until_they_are_proved,
            claims::to_a_proof_are_refused,
            claims::leave_alone_what_is_known,
            claims::keep_their_keys,
            claims::make_no_ledger_known,
            history::is_told_of_every_destination,
            events::commands_are_on_record_from_their_beginning,
            events::commands_come_in_order_over_pages,
            events::incidents_are_listed_and_explained,
            events::losses_are_acknowledged_until_something_changes,
            events::history_is_taken_over_once,
            incidents::are_one_while_open,
            incidents::are_opened_and_closed_by_looks_at_copies,
            incidents::are_opened_and_closed_by_verdicts,
            incidents::from_before_are_kept,
            purges::go_from_their_request_to_their_end,
            purges::leave_tombstones_and_no_names,
            purges::are_kept_from_by_holds,
            purges::are_taken_over_after_a_loss,
            retention::what_has_no_lock_is_due_before_what_ends_soonest,
            retention::a_copy_that_is_stored_anew_has_no_known_lock,
            retention::no_lock_of_what_is_to_be_purged_is_due,
            aggregates::data_files_and_bytes_are_counted_by_copies,
            aggregates::what_is_not_covered_is_counted_by_reason,
            aggregates::proofs_are_counted_by_day,
            aggregates::audits_are_counted_by_day,
            aggregates::copies_are_counted_by_month,
            aggregates::who_it_is_is_told_without_making_it,
            locks::the_second_learns_who_holds_it,
            locks::another_destination_is_free,
            locks::many_at_once_give_one_holder,
            locks::die_with_their_process,
        }
    };
    ($make:expr; $($module:ident :: $check:ident,)*) => {
        $(#[test]
        fn $check() {
            crate::$module::$check(&$make);
        })*
    };
}
pub(crate) use suite;

/// The chain of messages, as the command line prints it.
fn told(error: &LedgerError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(it) = source {
        text = format!("{text}: {it}");
        source = it.source();
    }
    text
}
