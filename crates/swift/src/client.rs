//! Requests with a token that is renewed when it expires, tried again as long as that can help.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dvb_http::{Attempt, Interrupt, Service, is_lasting, is_transient, retry_after};
use ureq::SendBody;
use ureq::http::{Method, Request as HttpRequest};

use crate::auth::{self, Login};
use crate::config::SwiftAccount;
use crate::error::SwiftFailure;
use crate::http;
use crate::path::Path;
use dvb_http::Answer;

/// A new token may be one that another client got long ago: TempAuth hands out the same until it expires.
const RENEWALS: u32 = 2;

/// One account, for any number of threads.
pub(crate) struct Client {
    account: SwiftAccount,
    service: Service,
    login: Mutex<Option<Arc<Login>>>,
}

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
    pub(crate) fn new(account: SwiftAccount, interrupt: Interrupt) -> Result<Self, SwiftFailure> {
        let service = http::service(&account, interrupt)?;
        Ok(Self { account, service, login: Mutex::new(None) })
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Where the account is; logs in if that was not done yet.
    pub(crate) fn storage(&self) -> Result<String, SwiftFailure> {
        Ok(self.login()?.storage.clone())
    }

    /// An address of the same server without a token: `/info`.
    pub(crate) fn public(&self, url: &str) -> Result<Answer, SwiftFailure> {
        let request = HttpRequest::get(url).body(SendBody::none());
        match auth::ask(&self.service, request, url, 1) {
            Ok(answer) | Err(Attempt::Ended(Ok(answer))) => Ok(answer),
            Err(Attempt::Transient(failure, _) | Attempt::Ended(Err(failure))) => Err(failure),
            Err(Attempt::Renewed) => Err(SwiftFailure::Protocol("no answer".to_owned())),
        }
    }

    /// The login that all threads share; whoever needs it while it is made waits.
    fn login(&self) -> Result<Arc<Login>, SwiftFailure> {
        let mut kept = self.login.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(login) = &*kept {
            return Ok(Arc::clone(login));
        }
        let login = self.service.retry(|attempt| auth::login(&self.service, &self.account, attempt))?;
        let storage = dvb_http::without_secrets(&login.storage);
        tracing::debug!(from = dvb_http::without_secrets(&self.account.auth_url), storage, "login");
        let login = Arc::new(login);
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
        self.service.pause(1, None);
    }

    /// Sends a request until the answer is a good one (2xx), or no attempt can help any more.
    pub(crate) fn send(&self, mut request: Request<'_>) -> Result<Answer, SwiftFailure> {
        let (mut renewals, mut in_doubt, mut begun) = (0, false, false);
        self.service.retry(|attempt| {
            let login = match self.login() {
                Ok(it) => it,
                Err(failure) => return Attempt::Ended(Err(failure)),
            };
            let error = match self.once(&login, &mut request, &mut begun, attempt) {
                Ok(answer) if (200..300).contains(&answer.status) => return Attempt::Ended(Ok(answer)),
                Ok(mut answer) => {
                    let (status, wait, text) = (answer.status, retry_after(&answer.headers), answer.why());
                    if status == 401 && renewals < RENEWALS && !begun {
                        renewals += 1;
                        tracing::debug!(renewals, "the token has expired: log in again");
                        self.forget(&login);
                        return Attempt::Renewed;
                    }
                    let refused = SwiftFailure::Refused { status, text, in_doubt };
                    // Older servers limit the rate by 413 with Retry-After.
                    if begun || !(is_transient(status) || (status == 413 && wait.is_some())) {
                        return Attempt::Ended(Err(refused));
                    }
                    in_doubt |= status >= 500 || status == 408;
                    return Attempt::Transient(refused, wait);
                }
                Err(error) => error,
            };
            if is_lasting(&error) {
                let what = format!("cannot talk to {}", login.storage);
                return Attempt::Ended(Err(SwiftFailure::Setting(what, error.into())));
            }
            if begun {
                return Attempt::Ended(Err(SwiftFailure::Broken(Box::new(error))));
            }
            in_doubt = true;
            let (host, source) = (login.storage.clone(), Box::new(error));
            Attempt::Transient(SwiftFailure::Unreachable { host, tries: attempt, source }, None)
        })
    }

    fn once(
        &self,
        login: &Login,
        request: &mut Request<'_>,
        begun: &mut bool,
        attempt: u32,
    ) -> Result<Answer, ureq::Error> {
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
                self.service.send(builder.header("Content-Length", 0).body(body)?, attempt, request.idle)?
            }
            Body::None => self.service.send(builder.body(SendBody::none())?, attempt, request.idle)?,
            Body::Bytes(bytes) => {
                let mut reader: &[u8] = bytes;
                let body = SendBody::from_reader(&mut reader);
                self.service.send(builder.header("Content-Length", bytes.len()).body(body)?, attempt, request.idle)?
            }
            Body::Stream(stream, length) => {
                let mut watched = Watched { inner: *stream, begun };
                // A server that refuses says so before the body is gone: an expired token costs nothing then.
                let mut builder = builder.header("Expect", "100-continue");
                if let Some(length) = *length {
                    // To take chunks apart costs the server a fifth more of its processor.
                    builder = builder.header("Content-Length", length);
                }
                self.service.send(builder.body(SendBody::from_reader(&mut watched))?, attempt, request.idle)?
            }
        };
        Ok(response.into())
    }
}
