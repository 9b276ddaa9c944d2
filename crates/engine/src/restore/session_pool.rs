//! A worker's sessions with the destinations that copies are read from.

use std::io::{self, Read};

use dvb_model::ObjectKey;
use dvb_storage::{SinkError, SinkSession};

use super::Shared;
use crate::copies::session::{Connection, Contact, Interrupted};
use crate::source::payload::Reading;

/// Sessions that one thing may use up.
pub(crate) const SESSIONS: u32 = 3;

/// Why a copy was not opened.
pub(crate) enum Unread {
    /// The destination cannot be had.
    Interrupted(String),
    /// The destination is there, this copy cannot be opened.
    Copy(SinkError),
    /// The restore was told to stop.
    Stopped,
}

impl From<Interrupted> for Unread {
    fn from(lost: Interrupted) -> Self {
        match lost {
            Interrupted::Session(error) => Self::Copy(error),
            Interrupted::Run(_, why) => Self::Interrupted(why),
            Interrupted::Stopped => Self::Stopped,
        }
    }
}

/// Sessions of one worker, opened when they are first needed.
pub(crate) struct SessionPool<'a> {
    shared: &'a Shared<'a>,
    connections: Vec<Connection<'a>>,
    /// What will probably be read next, in order: the destination, the key and the size on record.
    likely: Vec<(usize, ObjectKey, u64)>,
    /// So many of them the sessions were told of.
    told: usize,
}

impl<'a> SessionPool<'a> {
    pub(crate) fn new(shared: &'a Shared<'a>) -> Self {
        let connection = |(n, contact): (usize, &'a Contact)| Connection::new(shared.at(n), contact);
        Self {
            shared,
            connections: shared.contacts.iter().enumerate().map(connection).collect(),
            likely: Vec::new(),
            told: 0,
        }
    }

    /// What is probably read from now on, in this order. Nothing is asked for before the first of it is.
    pub(crate) fn prepare(&mut self, likely: Vec<(usize, ObjectKey, u64)>) {
        (self.likely, self.told) = (likely, 0);
    }

    /// What a session is to be told of before it opens this copy, and where that ends on the list.
    fn next(&self, n: usize, key: &ObjectKey) -> Option<(usize, Vec<(ObjectKey, u64)>)> {
        let at = self.told + self.likely[self.told..].iter().position(|it| it.0 == n && it.1 == *key)?;
        let of_it = self.likely[at..].iter().take_while(|it| it.0 == n);
        Some((at, of_it.map(|it| (it.1.clone(), it.2)).collect()))
    }

    /// Opens a copy at the n-th destination and hands its bytes to `work`.
    pub(crate) fn read<T>(
        &mut self,
        n: usize,
        key: &ObjectKey,
        mut work: impl FnMut(&mut dyn Read) -> T,
    ) -> Result<T, Unread> {
        let mut sessions = 1;
        if let Some((at, next)) = self.next(n, key) {
            // Where the session is lost, it is what is opened then that says so.
            let told = self.connections[n].with(|session| session.expect(&next)).unwrap_or(0);
            self.told = at + told.max(1);
        }
        loop {
            // A session that was open may have died since.
            let opened = self.connections[n].with(|session| match session.open(key) {
                Ok(mut body) => Ok(Ok(work(&mut Watched { body: body.as_mut(), reading: &self.shared.reading }))),
                Err(error) if error.cause.is_of_all() => Err(error),
                Err(error) => Ok(Err(error)),
            });
            match opened {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(error)) => return Err(Unread::Copy(error)),
                Err(Interrupted::Session(error)) if self.shared.setup.stop.is_no_verdict(error.cause) => {
                    return Err(Unread::Stopped);
                }
                Err(Interrupted::Session(_)) if sessions < SESSIONS => sessions += 1,
                Err(lost) => return Err(lost.into()),
            }
        }
    }

    /// The session with the n-th destination, to be given back with [`SessionPool::keep`] unless it is lost.
    pub(crate) fn take(&mut self, n: usize) -> Result<Box<dyn SinkSession>, Unread> {
        Ok(self.connections[n].take()?)
    }

    pub(crate) fn keep(&mut self, n: usize, session: Box<dyn SinkSession>) {
        self.connections[n].keep(session);
    }

    /// The next read gets a new session: this one may have lost its bytes.
    pub(crate) fn hang_up(&mut self, n: usize) {
        self.connections[n].hang_up();
    }

    /// Takes away the folder that a session makes for temporaries: a restore has none there.
    pub(crate) fn end(mut self) {
        self.connections.iter_mut().for_each(Connection::clean_up);
    }
}

/// Counts and limits what passes, until told to stop.
pub(crate) struct Watched<'a> {
    pub(crate) body: &'a mut (dyn Read + Send),
    pub(crate) reading: &'a Reading,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.reading.stop.may_go_on() {
            return Err(io::Error::other("stopped"));
        }
        let n = self.body.read(buffer)?;
        self.reading.passed(n);
        Ok(n)
    }
}
