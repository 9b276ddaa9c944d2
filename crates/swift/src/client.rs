//! Requests with a token that is renewed when it expires, tried again as long as that can help.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dvb_http::{Interrupt, Steady};
use ureq::http::{Method, Request as HttpRequest};
use ureq::{Agent, BodyReader, SendBody};

use crate::auth::{self, Login, Tried, is_lasting};
use crate::config::{Patience, SwiftAccount};
use crate::error::{Failure, is_passing};
use crate::http::{self, Answer};
use crate::path::Path;

/// A new token may be one that another client got long ago: TempAuth hands out the same until it expires.
const RENEWALS: u32 = 2;

/// One account, for any number of threads.
pub(crate) struct Client {
    account: SwiftAccount,
    agent: Agent,
    interrupt: Interrupt,
    login: Mutex<Option<Arc<Login>>>,
}

/// What is asked.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a Path,
    /// With its `?`; may be empty.
    pub(crate) query: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body<'a>,
    /// Beyond this, silence of the server is an error; `None` for the usual.
    pub(crate) idle: Option<Duration>,
}

pub(crate) enum Body<'a> {
    None,
    Bytes(&'a [u8]),
    /// Can be sent only once; in chunks, where its length is not known.
    Stream(&'a mut dyn Read, Option<u64>),
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: Method, path: &'a Path) -> Self {
        Self { method, path, query: String::new(), headers: Vec::new(), body: Body::None, idle: None }
    }

    pub(crate) fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: Body<'a>) -> Self {
        self.body = body;
        self
    }
}

/// A body that remembers whether it was begun.
struct Watched<'a> {
    inner: &'a mut dyn Read,
    begun: &'a mut bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        *self.begun = true;
        self.inner.read(buffer)
    }
}

impl Client {
    pub(crate) fn new(account: SwiftAccount, interrupt: Interrupt) -> Result<Self, Failure> {
        let agent = http::agent(&account)?;
        Ok(Self { account, agent, interrupt, login: Mutex::new(None) })
    }

    /// Cuts off whoever waits for the server, now or later.
    pub(crate) fn interrupt(&self) {
        self.interrupt.interrupt(Some(&self.agent));
    }

    /// A body that comes at a pace.
    pub(crate) fn steady(&self, answer: Answer) -> Steady<BodyReader<'static>> {
        Steady::new(answer.body.into_with_config().limit(u64::MAX).reader(), self.patience().idle)
    }

    fn patience(&self) -> &Patience {
        &self.account.patience
    }

    /// Where the account is; logs in if that was not done yet.
    pub(crate) fn storage(&self) -> Result<String, Failure> {
        Ok(self.login()?.storage.clone())
    }

    /// An address of the same server without a token: `/info`.
    pub(crate) fn public(&self, url: &str) -> Result<Answer, Failure> {
        let request = HttpRequest::get(url).body(SendBody::none());
        match auth::ask(&self.agent, request, url) {
            Ok(answer) => Ok(answer),
            Err(Tried::Passing(failure, _) | Tried::Never(failure)) => Err(failure),
            Err(Tried::Done(_)) => Err(Failure::Protocol("no answer".to_owned())),
        }
    }

    /// The login that all threads share; whoever needs it while it is made waits.
    fn login(&self) -> Result<Arc<Login>, Failure> {
        let mut kept = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(login) = &*kept {
            return Ok(Arc::clone(login));
        }
        let mut tries = 1;
        let login = loop {
            if self.interrupt.is_interrupted() {
                return Err(Failure::Interrupted);
            }
            match auth::login(&self.agent, &self.account) {
                Tried::Done(login) => break Arc::new(login),
                Tried::Never(failure) => return Err(failure),
                Tried::Passing(failure, _) if tries >= self.patience().tries => return Err(after(failure, tries)),
                Tried::Passing(_, wait) => self.interrupt.sleep(self.pause(tries, wait)),
            }
            tries += 1;
        };
        *kept = Some(Arc::clone(&login));
        Ok(login)
    }

    /// Another thread may have renewed it meanwhile: then there is nothing to forget.
    fn forget(&self, expired: &Arc<Login>) {
        let mut kept = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_some_and(|it| Arc::ptr_eq(it, expired)) {
            *kept = None;
        }
    }

    /// A moment in which servers may come to agree.
    pub(crate) fn rest(&self) {
        self.interrupt.sleep(self.pause(1, None));
    }

    fn pause(&self, tries: u32, wanted: Option<u64>) -> Duration {
        let Patience { first_pause, longest_pause, .. } = self.patience();
        let usual = || {
            let doubled = first_pause.saturating_mul(1 << (tries - 1).min(16));
            // Threads that were refused together must not come back together.
            doubled.mul_f64(0.75 + fastrand::f64() / 2.0)
        };
        wanted.map_or_else(usual, Duration::from_secs).min(*longest_pause)
    }

    /// Sends a request until the answer is a good one (2xx), or no try can help any more.
    pub(crate) fn send(&self, mut request: Request<'_>) -> Result<Answer, Failure> {
        let (mut tries, mut renewals, mut in_doubt, mut begun) = (1, 0, false, false);
        loop {
            if self.interrupt.is_interrupted() {
                return Err(Failure::Interrupted);
            }
            let login = self.login()?;
            let last = tries >= self.patience().tries;
            let wait = match self.once(&login, &mut request, &mut begun) {
                Ok(answer) if (200..300).contains(&answer.status) => return Ok(answer),
                Ok(mut answer) => {
                    let (status, wait, text) = (answer.status, answer.retry_after(), answer.why());
                    if status == 401 && renewals < RENEWALS && !begun {
                        renewals += 1;
                        self.forget(&login);
                        continue;
                    }
                    // Older servers limit the rate by 413 with Retry-After.
                    let passing = is_passing(status) || (status == 413 && wait.is_some());
                    if !passing || last || begun {
                        return Err(Failure::Refused { status, text, in_doubt });
                    }
                    in_doubt |= status >= 500 || status == 408;
                    wait
                }
                Err(error) if is_lasting(&error) => {
                    return Err(Failure::Setting(format!("cannot talk to {}", login.storage), error.into()));
                }
                Err(error) if begun => return Err(Failure::Broken(Box::new(error))),
                Err(error) if last => {
                    let host = login.storage.clone();
                    return Err(Failure::Unreachable { host, tries, source: Box::new(error) });
                }
                Err(_) => {
                    in_doubt = true;
                    None
                }
            };
            self.interrupt.sleep(self.pause(tries, wait));
            tries += 1;
        }
    }

    fn once(&self, login: &Login, request: &mut Request<'_>, begun: &mut bool) -> Result<Answer, ureq::Error> {
        let address = format!("{}{}{}", login.storage, request.path.as_str(), request.query);
        let mut builder =
            HttpRequest::builder().method(&request.method).uri(address).header("X-Auth-Token", &login.token);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        let response = match &mut request.body {
            Body::None if request.method == Method::PUT => {
                let mut empty: &[u8] = &[];
                let body = SendBody::from_reader(&mut empty);
                self.run(builder.header("Content-Length", 0).body(body)?, request.idle)?
            }
            Body::None => self.run(builder.body(SendBody::none())?, request.idle)?,
            Body::Bytes(bytes) => {
                let mut reader: &[u8] = bytes;
                let body = SendBody::from_reader(&mut reader);
                self.run(builder.header("Content-Length", bytes.len()).body(body)?, request.idle)?
            }
            Body::Stream(stream, length) => {
                let mut watched = Watched { inner: *stream, begun };
                // A server that refuses says so before the body is gone: an expired token costs nothing then.
                let mut builder = builder.header("Expect", "100-continue");
                if let Some(length) = *length {
                    // To take chunks apart costs the server a fifth more of its processor.
                    builder = builder.header("Content-Length", length);
                }
                self.run(builder.body(SendBody::from_reader(&mut watched))?, request.idle)?
            }
        };
        Ok(Answer::new(response))
    }

    fn run(
        &self,
        request: HttpRequest<SendBody<'_>>,
        idle: Option<Duration>,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        match idle {
            None => self.agent.run(request),
            Some(idle) => {
                let request = self.agent.configure_request(request).timeout_per_read(Some(idle));
                self.agent.run(request.timeout_recv_response(Some(idle * 2)).build())
            }
        }
    }
}

/// The failure of the last of several tries.
fn after(failure: Failure, tries: u32) -> Failure {
    match failure {
        Failure::Unreachable { host, source, .. } => Failure::Unreachable { host, tries, source },
        other => other,
    }
}
