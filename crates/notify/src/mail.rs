//! The report by mail.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{SendmailTransport, SmtpTransport, Transport as _};
use thiserror::Error;

use dvb_config::{Notifications, Smtp, SmtpTls, is_mail_address};

/// How long a mail server may say nothing.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A mail, without its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject: one line of plain text.
    pub subject: String,
    /// The body: plain text in UTF-8.
    pub body: String,
}

/// The cause beneath a [`MailError`]: one text, since lettre's messages hold their own causes already.
type Cause = Box<dyn StdError + Send + Sync>;

/// The report could not be mailed. The run's own result is not touched by it.
#[derive(Debug, Error)]
pub enum MailError {
    /// An address is none.
    #[error("cannot write a mail to or from {address:?}")]
    Address {
        /// The address as it is configured.
        address: String,
        /// What is wrong with it.
        #[source]
        source: Cause,
    },
    /// The mail could not be put together.
    #[error("cannot put the report into a mail")]
    Compose(#[source] Cause),
    /// The system's sendmail did not take the mail.
    #[error("cannot mail the report with {}; install a mail system or set SmtpHost", program.display())]
    Sendmail {
        /// Path of the sendmail that was called.
        program: PathBuf,
        /// The error of the library or system behind it.
        #[source]
        source: Cause,
    },
    /// The mail server did not take the mail.
    #[error("cannot mail the report by {host}, port {port}; try SmtpHost, SmtpPort, SmtpTls and the login by hand")]
    Smtp {
        /// Name or address of the mail server.
        host: String,
        /// TCP port of the mail server.
        port: u16,
        /// The error of the library or system behind it.
        #[source]
        source: Cause,
    },
    /// The mail server took it, but not for everybody.
    #[error("{host} refused the report for {}; the other addresses got it", refused.join(", "))]
    Recipients {
        /// Name or address of the mail server.
        host: String,
        /// The addresses that it refused.
        refused: Vec<String>,
        /// What it said of the first of them.
        #[source]
        source: Cause,
    },
}

/// The subject of a run's report, as the original script had it.
#[must_use]
pub fn report_subject(date: jiff::civil::Date) -> String {
    format!("Dataverse datafile backup report [{date}]")
}

/// Sends one mail to all recipients, by the mail server if one is set, else by the system's sendmail. An address that the
/// server refuses does not keep the others from it.
/// Without recipients nothing happens. Whether this run deserves a mail (`EmailWhen`) is the caller's to decide.
///
/// # Errors
/// [`MailError`]; the server or sendmail did not take responsibility for the mail, or not for all addresses.
pub fn send(message: &Message, how: &Notifications) -> Result<(), MailError> {
    if how.email.is_empty() {
        return Ok(());
    }
    let mail = compose(message, how)?;
    match &how.smtp {
        Some(smtp) => {
            let failed = |source| MailError::Smtp { host: smtp.host.clone(), port: smtp.port, source };
            let transport = transport(smtp).map_err(|error| failed(flat(&error)))?;
            match transport.send(&mail) {
                Ok(_) => {}
                // One address that is refused ends the mail for all.
                Err(error) if error.status().is_some() && how.email.len() > 1 && is_let_in(&transport) => {
                    send_to_each(&transport, &mail, smtp)?;
                }
                Err(error) => return Err(failed(flat(&error))),
            }
        }
        None => SendmailTransport::new_with_command(&how.sendmail)
            .send(&mail)
            .map_err(|error| MailError::Sendmail { program: how.sendmail.clone(), source: flat(&error) })?,
    }
    Ok(())
}

/// Whether it was not the login that was refused: that is not tried again for each address.
fn is_let_in(transport: &SmtpTransport) -> bool {
    matches!(transport.test_connection(), Ok(true))
}

/// Sends the same mail to each address by itself.
fn send_to_each(transport: &SmtpTransport, mail: &lettre::Message, smtp: &Smtp) -> Result<(), MailError> {
    let (envelope, text) = (mail.envelope(), mail.formatted());
    let mut refused = Vec::new();
    let mut first = None;
    for address in envelope.to() {
        let one = Envelope::new(envelope.from().cloned(), vec![address.clone()]);
        let sent = one.map_err(|it| flat(&it)).and_then(|it| transport.send_raw(&it, &text).map_err(|it| flat(&it)));
        if let Err(error) = sent {
            refused.push(address.to_string());
            first.get_or_insert(error);
        }
    }
    let host = smtp.host.clone();
    match first {
        None => Ok(()),
        Some(source) if refused.len() == envelope.to().len() => Err(MailError::Smtp { host, port: smtp.port, source }),
        Some(source) => Err(MailError::Recipients { host, refused, source }),
    }
}

/// Tries, without a mail, whether one could be sent: logs in to the mail server, or looks for the system's sendmail.
/// Says what answered.
///
/// # Errors
/// [`MailError`].
pub fn try_out(how: &Notifications) -> Result<String, MailError> {
    for address in how.email.iter().chain(&how.from) {
        mailbox(address)?;
    }
    let Some(smtp) = &how.smtp else {
        let failed = |source| MailError::Sendmail { program: how.sendmail.clone(), source };
        rustix::fs::access(&how.sendmail, rustix::fs::Access::EXEC_OK).map_err(|it| failed(it.into()))?;
        return Ok(how.sendmail.display().to_string());
    };
    let failed = |source| MailError::Smtp { host: smtp.host.clone(), port: smtp.port, source };
    let transport = transport(smtp).map_err(|error| failed(flat(&error)))?;
    match transport.test_connection() {
        Ok(true) => Ok(format!("{}, port {}", smtp.host, smtp.port)),
        Ok(false) => Err(failed("the server ended the conversation".into())),
        Err(error) => Err(failed(flat(&error))),
    }
}

fn flat(error: &dyn StdError) -> Cause {
    Cause::from(error.to_string())
}

fn compose(message: &Message, how: &Notifications) -> Result<lettre::Message, MailError> {
    let from = how.from.as_deref().unwrap_or("dataverse-backup");
    // Tells vacation programs not to answer (RFC 3834).
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut builder = lettre::Message::builder()
        .from(mailbox(from)?)
        .subject(&message.subject)
        .message_id(None)
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    for address in &how.email {
        builder = builder.to(mailbox(address)?);
    }
    builder.body(message.body.clone()).map_err(|error| MailError::Compose(flat(&error)))
}

fn mailbox(address: &str) -> Result<Mailbox, MailError> {
    let whole = if address.contains('@') { address.to_owned() } else { format!("{address}@{}", host_name()) };
    whole.parse().map_err(|error| MailError::Address { address: whole, source: flat(&error) })
}

/// The host's name where a mail address could hold it, else `localhost`.
fn host_name() -> String {
    match ClientId::default() {
        ClientId::Domain(name) if is_mail_address(&format!("x@{name}")) => name,
        _ => "localhost".to_owned(),
    }
}

fn transport(smtp: &Smtp) -> Result<SmtpTransport, lettre::transport::smtp::Error> {
    let tls = match smtp.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::StartTls => Tls::Required(TlsParameters::new(smtp.host.clone())?),
        SmtpTls::Tls => Tls::Wrapper(TlsParameters::new(smtp.host.clone())?),
    };
    let mut builder = SmtpTransport::builder_dangerous(&smtp.host).port(smtp.port).timeout(Some(TIMEOUT)).tls(tls);
    if let Some((username, password)) = &smtp.login {
        builder = builder.credentials(Credentials::new(username.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}
