//! The destination as the engine holds it.

use dvb_model::RunId;
use dvb_storage::{Sink, SinkError, SinkSession};

use crate::config::SftpConfig;
use crate::start::start;

/// A folder on an SSH server. Each session is a connection of its own.
#[derive(Debug, Clone)]
pub struct SftpSink {
    config: SftpConfig,
}

impl SftpSink {
    /// A destination; nothing is contacted yet.
    #[must_use]
    pub fn new(config: SftpConfig) -> Self {
        Self { config }
    }
}

impl Sink for SftpSink {
    fn describe(&self) -> String {
        self.config.describe()
    }

    fn method(&self) -> &'static str {
        "ssh"
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        Ok(Box::new(start(&self.config, run)?))
    }
}
