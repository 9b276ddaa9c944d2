//! What follows a run: the report by mail, and metrics for a monitoring system.

mod mail;
mod metrics;

pub(crate) use mail::is_address;
pub use mail::{MailError, Message, report_subject, send};
pub use metrics::{FileCounts, Metrics, MetricsError, write_metrics};
