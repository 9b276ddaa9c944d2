//! The destination as the engine holds it.

use std::sync::Arc;

use dvb_model::RunId;
use dvb_storage::{Room, Sink, SinkError, SinkSession};

use crate::config::SftpConfig;
use crate::handshake::{make, room, start, unmake};
use crate::lessons::Lessons;
use crate::pace::Interrupt;

/// A folder on an SSH server. Each session is a connection of its own.
#[derive(Debug, Clone)]
pub struct SftpSink {
    config: SftpConfig,
    lessons: Arc<Lessons>,
    interrupt: Interrupt,
}

impl SftpSink {
    /// A destination; nothing is contacted yet.
    #[must_use]
    pub fn new(config: SftpConfig) -> Self {
        let lessons = Lessons::default();
        if let Some(most) = config.open_files {
            lessons.handles.no_more_than(most);
        }
        Self { config, lessons: Arc::new(lessons), interrupt: Interrupt::default() }
    }
}

impl Sink for SftpSink {
    fn describe(&self) -> String {
        self.config.describe()
    }

    fn method(&self) -> &'static str {
        "ssh"
    }

    fn notes(&self) -> Vec<String> {
        self.lessons.notes()
    }

    fn room(&self) -> Result<Option<Room>, SinkError> {
        room(&self.config, &self.lessons, &self.interrupt)
    }

    fn make(&self) -> Result<(), SinkError> {
        make(&self.config, &self.lessons, &self.interrupt)
    }

    fn unmake(&self) -> Result<(), SinkError> {
        unmake(&self.config, &self.lessons, &self.interrupt)
    }

    fn connect(&self, run: &RunId) -> Result<Box<dyn SinkSession>, SinkError> {
        Ok(Box::new(start(&self.config, run, &self.lessons, &self.interrupt)?))
    }

    fn interrupt(&self) {
        self.interrupt.set();
    }
}
