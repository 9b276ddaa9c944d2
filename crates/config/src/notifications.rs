//! `[Notifications]`: who hears of a run, and how.

use std::path::PathBuf;

use lettre::message::Mailbox;

use super::Secret;
use super::fields::Fields;
use super::value::{self, BadValue};

/// The section `[Notifications]`; where it is absent, nobody is told of anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notifications {
    /// Recipients; empty: no mail. `user@host`, or a local user's name alone.
    pub email: Vec<String>,
    /// After which runs they are written to.
    pub email_when: EmailWhen,
    /// Sender; `None`: `dataverse-backup@` this host.
    pub from: Option<String>,
    /// The mail server; `None`: the system's sendmail.
    pub smtp: Option<Smtp>,
    /// The system's sendmail. Not a key: always `/usr/sbin/sendmail` (LSB), other than in tests.
    pub sendmail: PathBuf,
    /// Address to call after each good run.
    pub ping_url: Option<String>,
    /// File of metrics for Prometheus.
    pub metrics_file: Option<PathBuf>,
}

impl Default for Notifications {
    fn default() -> Self {
        Self {
            email: Vec::new(),
            email_when: EmailWhen::Problems,
            from: None,
            smtp: None,
            sendmail: PathBuf::from("/usr/sbin/sendmail"),
            ping_url: None,
            metrics_file: None,
        }
    }
}

/// After which runs the report is mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailWhen {
    /// After each run, whatever its outcome.
    Always,
    /// After those that did not end with "everything is safe", or met with a store that nobody configured.
    Problems,
}

/// A mail server that takes the report, instead of the system's sendmail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smtp {
    /// Name or address of the server.
    pub host: String,
    /// TCP port that it listens on.
    pub port: u16,
    /// User and password, where the server wants a login.
    pub login: Option<(String, Secret)>,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
}

/// Encryption of the connection to a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Not encrypted: whoever is on the way can read the report and the login.
    None,
    /// Encrypted by STARTTLS before anything is said, or failure.
    StartTls,
    /// Encrypted from the first byte.
    Tls,
}

impl SmtpTls {
    /// The port that is usual with it.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::None => 25,
            Self::StartTls => 587,
            Self::Tls => 465,
        }
    }
}

/// `None` when a mail server was described but cannot be used (and reported).
pub(super) fn read(fields: &mut Fields<'_>) -> Option<Notifications> {
    let email = fields.parsed("Email", addresses).unwrap_or_default();
    let when = [("always", EmailWhen::Always), ("problems", EmailWhen::Problems)];
    let email_when = fields.parsed("EmailWhen", |text| value::choice(text, &when)).unwrap_or(EmailWhen::Problems);
    let from = fields.parsed("From", address);
    let ping_url = fields.parsed("PingUrl", value::url);
    let metrics_file = fields.path("MetricsFile");
    let smtp = match fields.text("SmtpHost") {
        Some(host) => Some(read_smtp(host, fields)?),
        None => None,
    };
    Some(Notifications { email, email_when, from, smtp, ping_url, metrics_file, ..Notifications::default() })
}

fn read_smtp(host: String, fields: &mut Fields<'_>) -> Option<Smtp> {
    let kinds = [("none", SmtpTls::None), ("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls)];
    let tls = fields.parsed("SmtpTls", |text| value::choice(text, &kinds)).unwrap_or(SmtpTls::StartTls);
    let port = fields.parsed("SmtpPort", value::port).unwrap_or(tls.usual_port());
    let username = fields.text("SmtpUsername");
    let before = fields.findings.problems.len();
    let login = match (username, fields.secret("SmtpPassword")) {
        (None, _) => None,
        (Some(username), Some(password)) => Some((username, password)),
        (Some(_), None) => {
            if fields.findings.problems.len() == before {
                fields.missing("SmtpPassword", "");
            }
            return None;
        }
    };
    Some(Smtp { host, port, login, tls })
}

fn addresses(text: &str) -> Result<Vec<String>, BadValue> {
    text.split(',').map(str::trim).filter(|it| !it.is_empty()).map(address).collect()
}

fn address(text: &str) -> Result<String, BadValue> {
    if is_mail_address(text) {
        return Ok(text.to_owned());
    }
    let accepted =
        "an e-mail address such as somebody@example.edu (several: with commas between), or a local user's name";
    Err(BadValue { value: text.to_owned(), accepted: accepted.to_owned() })
}

/// Whether this is `user@host`, `Name <user@host>`, or a local user's name.
#[must_use]
pub fn is_mail_address(text: &str) -> bool {
    let local = |it: char| it.is_ascii_alphanumeric() || "._-+".contains(it);
    text.parse::<Mailbox>().is_ok() || (!text.is_empty() && !text.starts_with('-') && text.chars().all(local))
}
