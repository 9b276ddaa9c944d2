//! One request, with its redirects and its tries.

use std::time::Duration;

use dvb_http::Interrupt;
use jiff::Timestamp;
use ureq::http::{HeaderMap, Method, Request, Response};
use ureq::tls::RootCerts;
use ureq::{Agent, Body};
use url::Url;

use crate::address::Base;
use crate::config::{Patience, RemoteConfig, Signing};
use crate::error::{Failure, is_passing};
use crate::sign;

/// More than that is a circle.
const REDIRECTS: u32 = 5;

pub(crate) struct Client {
    agent: Agent,
    pub(crate) interrupt: Interrupt,
    pub(crate) base: Base,
    signing: Option<Signing>,
    pub(crate) patience: Patience,
}

/// An answer that is none of the usual errors: 200, 206 or 416.
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: HeaderMap,
    pub(crate) body: Body,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|it| it.to_str().ok()).map(str::trim)
    }

    /// What `Content-Length` says.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|it| it.parse().ok())
    }
}

impl Client {
    pub(crate) fn new(config: &RemoteConfig) -> Result<Self, String> {
        let base = Base::parse(&config.base_url)?;
        let (agent, interrupt) = (agent(&config.patience), Interrupt::default());
        Ok(Self { agent, interrupt, base, signing: config.signing.clone(), patience: config.patience })
    }

    /// Cuts off whoever waits for the server, now or later.
    pub(crate) fn interrupt(&self) {
        self.interrupt.interrupt(Some(&self.agent));
    }

    /// Whether addresses are signed; the signature is good for GET alone.
    pub(crate) fn signs(&self) -> bool {
        self.signing.is_some()
    }

    pub(crate) fn send(&self, method: &Method, url: &Url, headers: &[(&str, String)]) -> Result<Answer, Failure> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let (parts, body) = self.until_answered(method, &url, headers)?.into_parts();
            let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, body };
            match answer.status {
                200 | 206 | 416 => return Ok(answer),
                301 | 302 | 303 | 307 | 308 => {
                    let nowhere = || Failure::Protocol("the server redirects to nowhere".to_owned());
                    let location = answer.header("location").ok_or_else(nowhere)?;
                    url = self.base.redirected(&url, location).map_err(Failure::Outside)?;
                }
                status => return Err(Failure::Answered { status }),
            }
        }
        Err(Failure::Protocol(format!("the server redirects more than {REDIRECTS} times")))
    }

    /// Tries until there is an answer that stands, with growing pauses.
    fn until_answered(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, String)],
    ) -> Result<Response<Body>, Failure> {
        let mut pause = self.patience.pause;
        let mut tries = 1;
        loop {
            if self.interrupt.is_interrupted() {
                return Err(Failure::Interrupted);
            }
            let answered = self.once(method, url, headers)?;
            let is_last = tries >= self.patience.tries;
            let wanted = match answered {
                Ok(response) if !is_passing(response.status().as_u16()) => return Ok(response),
                Ok(response) => match retry_after(response.headers()).unwrap_or(pause) {
                    wanted if !is_last && wanted <= self.patience.longest_pause => wanted,
                    _ => return Ok(response),
                },
                Err(error) if is_last => return Err(Failure::Unreached { tries, source: Box::new(error) }),
                Err(_) => pause,
            };
            self.interrupt.sleep(wanted);
            pause = (pause * 2).min(self.patience.longest_pause);
            tries += 1;
        }
    }

    /// Within: an error that another try can mend.
    fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, String)],
    ) -> Result<Result<Response<Body>, ureq::Error>, Failure> {
        let address = match &self.signing {
            Some(it) => sign::signed(url.as_str(), (it.clock)(), &it.key),
            None => url.to_string(),
        };
        // The length that the server tells is to be that of the file.
        let mut request = Request::builder().method(method).uri(address).header("accept-encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let no_request = |_| Failure::Protocol("its name makes no address".to_owned());
        match self.agent.run(request.body(()).map_err(no_request)?) {
            Err(error @ (ureq::Error::Tls(_) | ureq::Error::NativeTls(_))) => Err(Failure::Unusable(Box::new(error))),
            answered => Ok(answered),
        }
    }
}

fn agent(patience: &Patience) -> Agent {
    let limits = dvb_http::Limits { connect: patience.connect, idle: patience.idle };
    // What the system trusts, as everywhere in this program.
    dvb_http::agent(RootCerts::PlatformVerifier, limits, |it| {
        it.input_buffer_size(256 << 10)
            .timeout_send_request(Some(patience.idle))
            .timeout_recv_response(Some(patience.idle))
    })
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default())
}
