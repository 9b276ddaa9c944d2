//! Against real Swift, with TempAuth and with Keystone, and against a Swift that misbehaves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod crook;
mod faults;
mod hangs;
mod large;
mod login;
mod purger;
mod source;
mod writer;

use std::time::Duration;

use dvb_fixity::Hasher;
use dvb_model::{ObjectKey, RunId};
use dvb_storage::conformance::{Bytes, End};
use dvb_storage::{
    Cause, CommitRequest, Demand, Payload, PayloadError, Sink, SinkSession, StageRequest, Staged, Unstaged,
};
use dvb_swift::{Limits, SwiftAccount, SwiftAuth, SwiftSink, SwiftSinkConfig, TimeLimits};
use dvb_testkit::swift::Server;

/// Nobody waits for long in a test.
pub(crate) const QUICK: TimeLimits = TimeLimits {
    first_pause: Duration::from_millis(5),
    attempts: 3,
    longest_pause: Duration::from_secs(2),
    ..SwiftAccount::LIMITS
};

/// So that large objects are small.
pub(crate) const SMALL: Limits = Limits { segment: 1 << 20, held_object: 64 << 10, held_total: 1 << 20 };

pub(crate) fn tempauth(server: &Server) -> SwiftAccount {
    SwiftAccount {
        auth_url: server.auth_url.clone(),
        auth: SwiftAuth::V1 { user: server.user.clone(), key: server.key.clone(), tenant: None },
        endpoint: None,
        region: None,
        ca: None,
        limits: QUICK,
    }
}

pub(crate) fn sink_config(account: SwiftAccount, container: &str, limits: Limits, demand: Demand) -> SwiftSinkConfig {
    SwiftSinkConfig { account, container: container.to_owned(), limits, requests: 4, demand }
}

pub(crate) fn sink(account: SwiftAccount, container: &str) -> SwiftSink {
    SwiftSink::new(sink_config(account, container, SMALL, Demand::Auto))
}

pub(crate) fn run() -> RunId {
    RunId("20260101T000000Z-test".into())
}

pub(crate) fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// A session; the container is made where it is not there yet, as `init` does.
pub(crate) fn connect(sink: &dyn Sink) -> Box<dyn SinkSession> {
    let connected = match sink.connect(&run()) {
        Err(error) if error.cause == Cause::Absent => sink.make().and_then(|()| sink.connect(&run())),
        other => other,
    };
    connected.unwrap_or_else(|error| panic!("{}", error.chain()))
}

pub(crate) fn stage_payload(
    session: &mut dyn SinkSession,
    at: &ObjectKey,
    payload: Box<dyn Payload>,
) -> Result<Staged, Unstaged> {
    session.stage(vec![StageRequest { key: at.clone(), payload }]).unwrap().remove(0)
}

pub(crate) fn stage(session: &mut dyn SinkSession, at: &ObjectKey, bytes: &[u8]) -> Result<Staged, Unstaged> {
    let algorithms = session.algorithms().to_vec();
    stage_payload(session, at, Box::new(Bytes::new(bytes.to_vec(), &algorithms, End::Whole)))
}

pub(crate) fn commit(session: &mut dyn SinkSession, staged: Staged) -> Result<(), Unstaged> {
    let request = CommitRequest { staged, replace: false };
    session.commit(vec![request]).unwrap().remove(0).map(|_| ())
}

pub(crate) fn put(session: &mut dyn SinkSession, at: &ObjectKey, bytes: &[u8]) -> Result<(), Unstaged> {
    let staged = stage(session, at, bytes)?;
    commit(session, staged)
}

pub(crate) fn get(session: &mut dyn SinkSession, at: &ObjectKey) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    session.open(at).unwrap().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A payload that does something while it is read.
pub(crate) struct Hooked {
    pub(crate) size: u64,
    pub(crate) at: u64,
    pub(crate) hasher: Hasher,
    /// Told how many bytes were read before.
    pub(crate) hook: Box<dyn FnMut(u64) + Send>,
}

impl Hooked {
    pub(crate) fn new(size: u64, session: &dyn SinkSession, hook: impl FnMut(u64) + Send + 'static) -> Box<Self> {
        Box::new(Self { size, at: 0, hasher: Hasher::new(session.algorithms()), hook: Box::new(hook) })
    }

    /// The byte at a place.
    pub(crate) fn byte(at: u64) -> u8 {
        ((at >> 8) ^ at).to_le_bytes()[0]
    }
}

impl Payload for Hooked {
    fn size_hint(&self) -> u64 {
        self.size
    }

    fn promised(&self) -> Option<u64> {
        Some(self.size)
    }

    fn open(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PayloadError> {
        (self.hook)(self.at);
        let n = buffer.len().min(usize::try_from(self.size - self.at).unwrap());
        for (offset, byte) in buffer[..n].iter_mut().enumerate() {
            *byte = Self::byte(self.at + offset as u64);
        }
        self.at += n as u64;
        self.hasher.update(&buffer[..n]);
        Ok(n)
    }

    fn finish(self: Box<Self>) -> dvb_fixity::Measured {
        self.hasher.finish()
    }
}
