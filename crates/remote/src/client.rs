//! One request, with its redirects and its tries.

use dvb_http::{Answer, Attempt, Interrupt, Service, is_lasting, is_transient, retry_after};
use ureq::Body;
use ureq::http::{Method, Request, Response};
use ureq::tls::RootCerts;
use url::Url;

use crate::address::{Base, shown};
use crate::config::{RemoteConfig, Signing};
use crate::error::RemoteFailure;
use crate::sign;

/// More than that is a circle.
const REDIRECTS: u32 = 5;

pub(crate) struct Client {
    service: Service,
    pub(crate) base: Base,
    signing: Option<Signing>,
}

impl Client {
    pub(crate) fn new(config: &RemoteConfig) -> Result<Self, String> {
        let base = Base::parse(&config.base_url)?;
        let limits = config.limits;
        // What the system trusts, as everywhere in this program.
        let service = Service::new(RootCerts::PlatformVerifier, limits, Interrupt::default(), |config| {
            config
                .input_buffer_size(256 << 10)
                .timeout_send_request(Some(limits.idle))
                .timeout_recv_response(Some(limits.idle))
        });
        Ok(Self { service, base, signing: config.signing.clone() })
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Whether addresses are signed; the signature is good for GET alone.
    pub(crate) fn signs(&self) -> bool {
        self.signing.is_some()
    }

    /// An answer that is none of the usual errors: 200, 206 or 416.
    pub(crate) fn send(&self, method: &Method, url: &Url, headers: &[(&str, String)]) -> Result<Answer, RemoteFailure> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let answer: Answer = self.service.retry(|attempt| self.once(method, &url, headers, attempt))?.into();
            match answer.status {
                200 | 206 | 416 => return Ok(answer),
                301 | 302 | 303 | 307 | 308 => {
                    let nowhere = || RemoteFailure::Protocol("the server redirects to nowhere".to_owned());
                    let location = answer.header("location").ok_or_else(nowhere)?;
                    url = self.base.redirected(&url, location).map_err(RemoteFailure::Outside)?;
                    tracing::debug!(to = shown(&url), "redirect");
                }
                status => return Err(RemoteFailure::Answered { status }),
            }
        }
        Err(RemoteFailure::Protocol(format!("the server redirects more than {REDIRECTS} times")))
    }

    fn once(
        &self,
        method: &Method,
        url: &Url,
        headers: &[(&str, String)],
        attempt: u32,
    ) -> Attempt<Response<Body>, RemoteFailure> {
        let address = match &self.signing {
            Some(it) => sign::signed(url.as_str(), (it.clock)(), &it.key),
            None => url.to_string(),
        };
        // The length that the server tells is to be that of the file.
        let mut request = Request::builder().method(method).uri(address).header("accept-encoding", "identity");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let Ok(request) = request.body(()) else {
            return Attempt::Ended(Err(RemoteFailure::Protocol("its name makes no address".to_owned())));
        };
        match self.service.send(request, attempt, None) {
            Ok(response) if is_transient(response.status().as_u16()) => {
                let (failure, wait) =
                    (RemoteFailure::Answered { status: response.status().as_u16() }, retry_after(response.headers()));
                match wait {
                    // Somebody else's server is not asked before the time that it wants.
                    Some(wait) if wait > self.service.limits().longest_pause => Attempt::Ended(Err(failure)),
                    _ => Attempt::Transient(failure, wait),
                }
            }
            Ok(response) => Attempt::Ended(Ok(response)),
            Err(error) if is_lasting(&error) => Attempt::Ended(Err(RemoteFailure::Unusable(Box::new(error)))),
            Err(error) => {
                Attempt::Transient(RemoteFailure::Unreached { tries: attempt, source: Box::new(error) }, None)
            }
        }
    }
}
