//! The two channels of one connection, with one place that waits, whatever library carries them.

use std::time::{Duration, Instant};

use crate::error::Fault;
use crate::pace::{Interrupt, Pace};
use crate::transport::{Channels, Transport, Until};

/// How often silence is looked at.
const SLICE: Duration = Duration::from_millis(100);
/// Long enough for a look at the socket, too short to be felt.
const TOUCH: Duration = Duration::from_millis(1);

/// A connection with a channel for SFTP, and up to one for a shell.
pub(crate) struct Connection {
    transport: Box<dyn Transport>,
    channels: Channels,
    /// How long the server is waited for.
    pub(crate) pace: Pace,
}

impl Connection {
    /// Takes over a connection that is logged in, with its open channels.
    pub(crate) fn new(transport: Box<dyn Transport>, channels: Channels, idle: Duration, interrupt: Interrupt) -> Self {
        Self { transport, channels, pace: Pace::new(idle, interrupt) }
    }

    /// Expects no more of the shell.
    pub(crate) fn forget_shell(&mut self) {
        self.channels.shell = None;
        self.transport.forget_shell();
    }

    /// The bytes to be sent by SFTP; more are appended by the caller.
    pub(crate) fn sftp_out(&mut self) -> &mut Vec<u8> {
        &mut self.channels.sftp.out
    }

    /// The bytes received by SFTP; the caller removes what it has understood.
    pub(crate) fn sftp_input(&mut self) -> &mut Vec<u8> {
        &mut self.channels.sftp.input
    }

    /// The bytes to be sent to the shell, where there is one.
    pub(crate) fn shell_out(&mut self) -> Option<&mut Vec<u8>> {
        self.channels.shell.as_mut().map(|shell| &mut shell.out)
    }

    /// The bytes received from the shell.
    pub(crate) fn shell_input(&mut self) -> Option<&mut Vec<u8>> {
        self.channels.shell.as_mut().map(|shell| &mut shell.input)
    }

    /// Whether there is no shell, or none any more.
    pub(crate) fn shell_ended(&self) -> bool {
        self.channels.shell.as_ref().is_none_or(|shell| shell.over)
    }

    /// Whether more may be appended to the SFTP channel's bytes.
    pub(crate) fn has_room(&self) -> bool {
        self.channels.sftp.has_room()
    }

    /// Whether the SFTP channel's bytes were all handed to the operating system.
    pub(crate) fn all_sent(&self) -> bool {
        self.channels.sftp.is_all_sent()
    }

    /// Sends and receives what it can; waits while that brings nothing of what is wanted.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost or silent for too long.
    pub(crate) fn pump(&mut self, until: Until) -> Result<(), Fault> {
        let began = Instant::now();
        let pumped = self.pump_since(began, until);
        self.pace.waited(began.elapsed());
        pumped
    }

    fn pump_since(&mut self, began: Instant, until: Until) -> Result<(), Fault> {
        loop {
            self.pace.check(began, self.transport.activity())?;
            if self.transport.exchange(&mut self.channels, until, SLICE)? {
                return Ok(());
            }
            self.check_end()?;
            if until == Until::Room && self.has_room() {
                return Ok(());
            }
        }
    }

    /// Waits, while the server's own questions are answered.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost, or there is no time left.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Fault> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend_for(SLICE.min(until.saturating_duration_since(Instant::now())))?;
        }
        Ok(())
    }

    /// Sends and receives what it can without waiting, so that the server's own questions are answered.
    ///
    /// # Errors
    /// [`Fault`], when the connection is lost.
    pub(crate) fn tend(&mut self) -> Result<(), Fault> {
        self.tend_for(TOUCH)
    }

    fn tend_for(&mut self, time: Duration) -> Result<(), Fault> {
        self.pace.check(Instant::now(), self.transport.activity())?;
        self.transport.exchange(&mut self.channels, Until::Input, time)?;
        self.check_end()
    }

    fn check_end(&mut self) -> Result<(), Fault> {
        if self.channels.sftp.over {
            return Err(self.transport.last_words().map_or(Fault::Ended("SFTP"), Fault::Lost));
        }
        Ok(())
    }
}
