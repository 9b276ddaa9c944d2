//! A copy as a stream of bytes.

use std::io::{self, Read};

use dvb_model::ObjectKey;
use dvb_storage::{Cause, SinkError};

use crate::download::Download;
use crate::error::refusal;
use crate::session::SftpSession;

/// A file that is read ahead of its reader.
pub(crate) struct Reading<'a> {
    session: &'a mut SftpSession,
    download: Download,
    piece: Vec<u8>,
    at: usize,
    over: bool,
}

impl<'a> Reading<'a> {
    /// Opens a copy and waits until it is known to be there. What is no file is not opened: a pipe would hold up the
    /// whole session.
    ///
    /// # Errors
    /// [`SinkError`], as [`SinkSession::open`](dvb_storage::SinkSession::open) promises.
    pub(crate) fn open(session: &'a mut SftpSession, key: &ObjectKey) -> Result<Self, SinkError> {
        let found = session.guarded("stat a copy on", |it| it.look(std::slice::from_ref(key)))?.pop().transpose()?;
        if found == Some(None) {
            return Err(SinkError::new(Cause::Missing, format!("there is no {key} on {}", session.who)));
        }
        let path = session.path(key);
        let (download, opened) = session.guarded("open a copy on", |session| {
            let mut download = Download::keep(path);
            loop {
                if let Some(opened) = download.is_open() {
                    return Ok((download, opened));
                }
                session.client.turn(&mut download)?;
            }
        })?;
        let mut reading = Self { session, download, piece: Vec::new(), at: 0, over: false };
        match opened {
            Ok(()) => Ok(reading),
            Err(status) => {
                reading.finish();
                let who = reading.session.who.clone();
                Err(refusal(format!("cannot open {key} on {who}"), status))
            }
        }
    }

    /// Waits for the answers that are due, so that the session can be used again.
    fn finish(&mut self) {
        self.download.stop();
        let download = &mut self.download;
        if !self.over && self.session.guarded("close a copy on", |it| it.client.drive(download)).is_err() {
            self.session.lost = true;
        }
        self.over = true;
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if let Some(piece) = self.download.next() {
                (self.piece, self.at) = (piece, 0);
                break;
            }
            if let Some(status) = self.download.failure() {
                return Err(io::Error::other(status.clone()));
            }
            if self.over {
                return Ok(0);
            }
            let download = &mut self.download;
            let more = self.session.going_on("read a copy from", |it| it.client.turn(download));
            self.over = !more.map_err(|it| io::Error::new(io::ErrorKind::ConnectionAborted, it))?;
        }
        let n = buffer.len().min(self.piece.len() - self.at);
        buffer[..n].copy_from_slice(&self.piece[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}
