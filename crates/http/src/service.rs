//! One service: its client, its time limits, and its one way to try again.

use std::time::{Duration, Instant};

use thiserror::Error;
use ureq::config::ConfigBuilder;
use ureq::http::{Request, Response, Uri, header};
use ureq::tls::RootCerts;
use ureq::typestate::AgentScope;
use ureq::{Agent, AsSendBody, Body, BodyReader};

use crate::{Interrupt, Steady, TimeLimits, agent};

/// One service. Clones share their connections.
#[derive(Clone)]
pub struct Service {
    agent: Agent,
    limits: TimeLimits,
    interrupt: Interrupt,
}

/// Nobody waits for an answer any more: the service was interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the time for it was over")]
pub struct Interrupted;

/// What came of one attempt.
pub enum Attempt<T, E> {
    /// Another attempt would change nothing.
    Ended(Result<T, E>),
    /// Another attempt may succeed, after this pause where the server asks for one.
    Transient(E, Option<Duration>),
    /// What refused the attempt was put right (a new token): again at once. It does not count.
    Renewed,
}

/// A body that comes at a pace.
pub type Bytes = Steady<BodyReader<'static>>;

impl Service {
    /// A client of its own; nothing is contacted yet. Every status is an answer. `more` is what this service wants
    /// beside.
    #[must_use]
    pub fn new(
        roots: RootCerts,
        limits: TimeLimits,
        interrupt: Interrupt,
        more: impl FnOnce(ConfigBuilder<AgentScope>) -> ConfigBuilder<AgentScope>,
    ) -> Self {
        Self { agent: agent(roots, &limits, more), limits, interrupt }
    }

    /// The time limits that it was made with.
    #[must_use]
    pub fn limits(&self) -> &TimeLimits {
        &self.limits
    }

    /// Cuts off whoever waits for the service, now or later.
    pub fn interrupt(&self) {
        self.interrupt.interrupt(Some(&self.agent));
    }

    /// Sends a request once, and traces it. `attempt` is its number, from 1 on; `idle` replaces the usual limit, for a
    /// service that may have to work long before it answers.
    ///
    /// # Errors
    /// Where no answer came.
    pub fn send(
        &self,
        request: Request<impl AsSendBody>,
        attempt: u32,
        idle: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        let traced = tracing::enabled!(tracing::Level::DEBUG).then(|| Traced::of(&request, attempt));
        let answered = match idle {
            None => self.agent.run(request),
            Some(idle) => {
                let request = self.agent.configure_request(request).timeout_per_read(Some(idle));
                self.agent.run(request.timeout_recv_response(Some(idle * 2)).build())
            }
        };
        if let Some(traced) = traced {
            traced.finish(&answered);
        }
        answered
    }

    /// The body of an answer, at a pace and however long it is.
    #[must_use]
    pub fn body(&self, body: Body) -> Bytes {
        Steady::new(body.into_with_config().limit(u64::MAX).reader(), self.limits.idle)
    }

    /// Attempts (numbered from 1 on) until one ends it, or there were enough of them.
    ///
    /// # Errors
    /// The last attempt's; [`Interrupted`], when nobody waits any more.
    pub fn retry<T, E: From<Interrupted>>(&self, mut attempt: impl FnMut(u32) -> Attempt<T, E>) -> Result<T, E> {
        let mut number = 1;
        loop {
            if self.interrupt.is_interrupted() {
                return Err(Interrupted.into());
            }
            match attempt(number) {
                Attempt::Ended(result) => return result,
                Attempt::Transient(error, _) if number >= self.limits.attempts => return Err(error),
                Attempt::Transient(_, asked) => {
                    self.pause(number, asked);
                    number += 1;
                }
                Attempt::Renewed => {}
            }
        }
    }

    /// Waits between two attempts: as long as the server `asked` for, else twice as long each time.
    pub fn pause(&self, attempt: u32, asked: Option<Duration>) {
        let pause = self.limits.pause(attempt, asked);
        tracing::debug!(attempt, pause_ms = pause.as_millis(), "wait before another attempt");
        self.interrupt.sleep(pause);
    }
}

/// A request as the trace shows it: no header, and of the query only the names, for either may hold a secret.
struct Traced {
    method: String,
    url: String,
    attempt: u32,
    sent: Option<u64>,
    began: Instant,
}

impl Traced {
    fn of<S>(request: &Request<S>, attempt: u32) -> Self {
        Self {
            method: request.method().to_string(),
            url: shown(request.uri()),
            attempt,
            sent: length(request.headers()),
            began: Instant::now(),
        }
    }

    fn finish(self, answered: &Result<Response<Body>, ureq::Error>) {
        let Self { method, url, attempt, sent, began } = self;
        let ms = began.elapsed().as_millis();
        match answered {
            Ok(response) => {
                let (status, received) = (response.status().as_u16(), length(response.headers()));
                tracing::debug!(method, url, status, attempt, ms, sent, received, "request");
            }
            // Such an error repeats the whole address.
            Err(ureq::Error::BadUri(_) | ureq::Error::Http(_)) => {
                tracing::debug!(method, url, error = "not a valid request", attempt, ms, sent, "request");
            }
            Err(error) => tracing::debug!(method, url, %error, attempt, ms, sent, "request"),
        }
    }
}

fn length(headers: &ureq::http::HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// An address as a trace may show it: without user, password, and the values of its query.
#[must_use]
pub fn without_secrets(url: &str) -> String {
    url.parse().map_or_else(|_| "not a valid address".to_owned(), |uri| shown(&uri))
}

/// Scheme, host, port and path, which names the bucket or container and the key; of the query the names.
fn shown(uri: &Uri) -> String {
    let mut text = format!("{}://{}", uri.scheme_str().unwrap_or("http"), uri.host().unwrap_or_default());
    if let Some(port) = uri.port_u16() {
        text.push_str(&format!(":{port}"));
    }
    text.push_str(uri.path());
    for (n, pair) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        text.push(if n == 0 { '?' } else { '&' });
        // Without "=", the whole may be a value.
        text.push_str(pair.split_once('=').map_or("…", |(name, _)| name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret() {
        for (uri, expected) in [
            ("https://h/b/k%20x?partNumber=3&uploadId=SECRET", "https://h/b/k%20x?partNumber&uploadId"),
            ("http://user:SECRET@h:81/a?SECRET", "http://h:81/a?…"),
            ("http://[::1]:8080/a?token=SECRET=", "http://[::1]:8080/a?token"),
        ] {
            assert_eq!(without_secrets(uri), expected);
        }
    }

    #[test]
    fn only_what_may_succeed_is_tried_again() {
        let limits = TimeLimits {
            connect: Duration::ZERO,
            idle: Duration::ZERO,
            attempts: 3,
            first_pause: Duration::ZERO,
            longest_pause: Duration::ZERO,
        };
        let service = Service::new(RootCerts::PlatformVerifier, limits, Interrupt::default(), |it| it);
        let mut numbers = Vec::new();
        let mut retry = |answers: &[Attempt<u32, String>]| {
            numbers.clear();
            let done = service.retry(|number| {
                numbers.push(number);
                match &answers[numbers.len() - 1] {
                    Attempt::Ended(result) => Attempt::Ended(result.clone()),
                    Attempt::Transient(error, asked) => Attempt::Transient(error.clone(), *asked),
                    Attempt::Renewed => Attempt::Renewed,
                }
            });
            (done, numbers.clone())
        };
        let transient = || Attempt::Transient("busy".to_owned(), None);
        assert_eq!(retry(&[transient(), Attempt::Renewed, Attempt::Ended(Ok(7))]), (Ok(7), vec![1, 2, 2]));
        assert_eq!(retry(&[transient(), transient(), transient()]), (Err("busy".to_owned()), vec![1, 2, 3]));
        assert_eq!(retry(&[Attempt::Ended(Err("no".to_owned()))]), (Err("no".to_owned()), vec![1]));
        service.interrupt();
        assert_eq!(retry(&[]), (Err("the time for it was over".to_owned()), vec![]));
    }

    impl From<Interrupted> for String {
        fn from(interrupted: Interrupted) -> Self {
            interrupted.to_string()
        }
    }
}
