//! What follows a command: the report by mail, metrics for a monitoring system, and a ping for one that waits for it.

mod mail;
mod metrics;
mod ping;
mod state;

pub use dvb_engine::FileCounts;
pub use mail::{MailError, Message, report_subject, send, try_out};
pub use metrics::{Change, Family, Metrics, MetricsError, Scope, Work, write_metrics};
pub use ping::{PingError, ping};
pub use state::{before, of_command, of_ledger};
