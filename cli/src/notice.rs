//! What a command tells those who are not at its screen: one machinery for the mail of all commands.

use dvb_build as build;
use dvb_config::{Destination, EmailWhen};
use dvb_engine::ExitStatus;
use dvb_model::DestinationName;
use dvb_notify::{self as notify, Change, Message, report_subject};
use dvb_storage::chain;

use crate::commands::Context;
use crate::exit::CommandFailure;
use crate::last_resort;
use crate::monitor;
use crate::output::{plain, plain_lines};

/// Destinations that a subject names.
const NAMED: usize = 2;

/// The result of one command at one destination.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) destination: DestinationName,
    pub(crate) ending: ExitStatus,
}

impl Ended {
    pub(crate) fn new(destination: &DestinationName, ending: ExitStatus) -> Self {
        Self { destination: destination.clone(), ending }
    }
}

/// What monitoring may conclude from a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    /// It was about everything.
    pub(crate) is_whole: bool,
    /// The ledger may know more than before.
    pub(crate) is_recorded: bool,
}

/// The outcome of a command: what its mail says, and when there is one.
///
/// Labels of Dataverse in it are escaped already ([`plain`]).
#[derive(Debug)]
pub(crate) struct Notice {
    /// The command's name on the command line: `run`, `verify`, …
    pub(crate) command: &'static str,
    /// Where, and with which outcome.
    pub(crate) ended: Vec<Ended>,
    /// The outcome in one line that goes on after the command's name: `found 2 damaged copies at ssh1`.
    pub(crate) outcome: String,
    /// First line of the mail, where it is not the outcome.
    pub(crate) lead: Option<String>,
    /// Details, one a destination.
    pub(crate) sections: Vec<String>,
    /// It has something that a mail is due for although all ended well.
    pub(crate) has_warnings: bool,
    /// It was about everything: monitoring hears of its outcome. A part says nothing of the whole.
    pub(crate) is_whole: bool,
    /// The ledger may know more than before: monitoring hears of that.
    pub(crate) is_recorded: bool,
    /// It is this host that mails it: of several that share a command, one does. Monitoring hears it from each.
    pub(crate) is_mailed: bool,
    /// Further numbers for monitoring.
    pub(crate) metrics: Vec<Change>,
}

impl Notice {
    /// A command with these outcomes, each in words ([`found`]).
    pub(crate) fn new(command: &'static str, ended: Vec<Ended>, outcomes: Vec<String>, sections: Vec<String>) -> Self {
        let outcome = joined(&outcomes);
        Self {
            command,
            ended,
            outcome,
            lead: None,
            sections,
            has_warnings: false,
            is_whole: true,
            is_recorded: true,
            is_mailed: true,
            metrics: Vec::new(),
        }
    }

    /// A command that could not begin.
    fn of_failure(command: &'static str, destinations: &[&Destination], failure: &CommandFailure) -> Self {
        let ended = destinations.iter().map(|it| Ended::new(&it.name, failure.ending())).collect();
        let outcome = format!("could not begin (exit code {})", failure.ending().code());
        Self::new(command, ended, vec![outcome], vec![format!("error: {}\n", plain_lines(&failure.text()))])
    }

    pub(crate) fn ending(&self) -> ExitStatus {
        self.ended.iter().map(|it| it.ending).min().unwrap_or(ExitStatus::Safe)
    }

    fn message(&self, host: &str, config: &str) -> Message {
        let Self { command, outcome, .. } = self;
        let subject = match *command {
            // As the original script had it: filters of mail programs know it.
            "run" => format!("{}: {outcome} on {host}", report_subject(jiff::ZonedDateTime::now().date())),
            _ => format!("Dataverse backup: {command} {outcome} on {host}"),
        };
        let lead = self.lead.clone().unwrap_or_else(|| format!("{command} {outcome}"));
        let body = format!("{lead}\n\nHost: {host}\nConfiguration: {config}\n\n{}", self.sections.join("\n"));
        Message { subject, body }
    }

    /// Mails it to whom the configuration names, where it wants that. A mail that cannot be delivered is a warning.
    fn mail(&self, context: &Context) {
        let notifications = &context.config.notifications;
        let wanted = match notifications.email_when {
            EmailWhen::Always => true,
            EmailWhen::Problems => self.ending() != ExitStatus::Safe || self.has_warnings,
        };
        if !wanted || notifications.email.is_empty() {
            return;
        }
        let message = self.message(&build::host_name(), &context.config.path.display().to_string());
        if let Err(error) = notify::send(&message, notifications) {
            context.screen.warn(&chain(&error));
        }
    }

    /// Tells monitoring and mail; the result is on the screen already.
    pub(crate) fn tell(&self, context: &Context) {
        last_resort::is_decided(self.ending());
        if self.is_recorded {
            monitor::write(context, &self.metrics, self.is_whole.then_some((self.command, self.ended.as_slice())));
        }
        if self.is_mailed {
            self.mail(context);
        }
    }
}

/// Tells of a command that is over, or could not begin, and gives its ending back.
pub(crate) fn conclude(
    context: &Context,
    command: &'static str,
    destinations: &[&Destination],
    reach: Reach,
    done: Result<Notice, CommandFailure>,
) -> Result<ExitStatus, CommandFailure> {
    let (notice, result) = match done {
        Ok(notice) => {
            let ending = notice.ending();
            (notice, Ok(ending))
        }
        Err(failure) => (Notice::of_failure(command, destinations, &failure), Err(failure)),
    };
    let Reach { is_whole, is_recorded } = reach;
    Notice { is_whole, is_recorded, ..notice }.tell(context);
    result
}

/// What a command found at a destination, for a subject: counts with what they count in the singular and the plural, those
/// of nothing left out. Without any, how it ended.
pub(crate) fn found(counts: &[(u64, &str, &str)], destination: Option<&DestinationName>, ending: ExitStatus) -> String {
    let at = destination.map(|it| format!(" at {}", plain(&it.0))).unwrap_or_default();
    let told: Vec<String> = counts
        .iter()
        .filter(|it| it.0 > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    match (told.is_empty(), ending) {
        (false, _) => format!("found {}{at}", told.join(", ")),
        (true, ExitStatus::Safe) => format!("found everything good{at}"),
        (true, _) => did_not_end_well(destination, ending),
    }
}

/// The same of a command that has nothing to say of files.
pub(crate) fn did_not_end_well(destination: Option<&DestinationName>, ending: ExitStatus) -> String {
    let at = destination.map(|it| format!(" at {}", plain(&it.0))).unwrap_or_default();
    match ending {
        ExitStatus::Stopped => format!("stopped at its time budget or limit{at}"),
        ExitStatus::Signalled(_) => format!("was ended by a signal{at}"),
        _ => format!("ended with exit code {}{at}", ending.code()),
    }
}

fn joined(outcomes: &[String]) -> String {
    let mut text = outcomes.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    let rest = outcomes.len().saturating_sub(NAMED);
    if rest > 0 {
        text += &format!("; and {rest} more");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_what_was_found() {
        let ssh1 = DestinationName("ssh1".to_owned());
        let counts = |damaged, missing| [(damaged, "damaged copy", "damaged copies"), (missing, "missing", "missing")];
        let said = |counts: &[(u64, &str, &str)], ending| found(counts, Some(&ssh1), ending);
        let damaged = ExitStatus::DestinationDamaged;
        assert_eq!(said(&counts(2, 0), damaged), "found 2 damaged copies at ssh1");
        assert_eq!(said(&counts(1, 3), damaged), "found 1 damaged copy, 3 missing at ssh1");
        assert_eq!(said(&counts(0, 0), ExitStatus::Safe), "found everything good at ssh1");
        assert_eq!(said(&counts(0, 0), ExitStatus::Locked), "ended with exit code 6 at ssh1");
        assert_eq!(said(&[], ExitStatus::Stopped), "stopped at its time budget or limit at ssh1");
        assert_eq!(joined(&["a".to_owned(), "b".to_owned(), "c".to_owned()]), "a; b; and 1 more");
    }
}
