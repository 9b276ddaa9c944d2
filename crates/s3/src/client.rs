//! Requests to one S3 service: addressed, signed, carried, tried again.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};

use dvb_fixity::hex;
use dvb_http::{Attempt, Download, Interrupt, NotTrusted, Service, Steady, Version, content_length, retry_after};
use dvb_storage::Setting;
use ureq::Body;
use ureq::http::{HeaderMap, Request, Response};
use ureq::tls::RootCerts;
use url::Url;

use crate::config::S3Endpoint;
use crate::credentials::CredentialCache;
use crate::error::{ENDED, Fault, Refusal};
use crate::sign::{insert, sign};
use crate::xml::ErrorAnswer;

/// SHA-256 of no bytes.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// The longest answer that is read into memory: a list of 1,000 uploads has about 500 kB.
const LONGEST_ANSWER: u64 = 8 << 20;
/// What completing or copying a very large object may take before the first byte of the answer.
const PATIENCE: u32 = 10;

/// One S3 service and the keys that requests to it are signed with; for several threads at once.
pub(crate) struct Client {
    service: Service,
    base: Url,
    /// Signed for. Where the caller gave none, the service may say which one it is.
    region: Mutex<String>,
    is_region_given: bool,
    path_style: bool,
    credentials: CredentialCache,
}

/// One request, before it is signed.
#[derive(Clone, Default)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'static str,
    pub(crate) bucket: &'a str,
    /// Empty for the bucket itself.
    pub(crate) key: &'a str,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: &'a [u8],
    /// SHA-256 of the body in hexadecimal, where the caller has it.
    pub(crate) sha256: Option<String>,
    /// The service may have to work long before it answers.
    pub(crate) is_long: bool,
}

/// A good answer, without its body.
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(crate) fn etag(&self) -> Option<&str> {
        self.header("etag")
    }
}

impl Client {
    /// Nothing is contacted yet.
    ///
    /// # Errors
    /// [`Fault::Unsendable`], when the endpoint is no URL or the certificates are none.
    pub(crate) fn new(endpoint: &S3Endpoint) -> Result<Self, Fault> {
        let region = match (&endpoint.region, &endpoint.url) {
            (Some(it), _) => it.clone(),
            (None, Some(_)) => "dataverse".to_owned(),
            (None, None) => "us-east-1".to_owned(),
        };
        let url = endpoint.url.clone().unwrap_or_else(|| of_aws(&region));
        // Dataverse takes an endpoint without a scheme, as the AWS SDK does.
        let url = if url.contains("://") { url } else { format!("https://{url}") };
        let bad = |why: String| Fault::Unsendable(format!("{url:?} is not a valid endpoint: {why}"));
        let base = Url::parse(&url).map_err(|it| bad(it.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(bad("it must begin with https:// or http://".into()));
        }
        Ok(Self {
            service: service(endpoint)?,
            base,
            region: Mutex::new(region),
            is_region_given: endpoint.region.is_some(),
            path_style: endpoint.path_style,
            credentials: CredentialCache::new(endpoint.credentials.clone()),
        })
    }

    /// Cuts off whoever waits for the service, now or later.
    pub(crate) fn interrupt(&self) {
        self.service.interrupt();
    }

    /// The service, for messages.
    pub(crate) fn describe(&self, bucket: &str) -> String {
        let host = self.base.host_str().unwrap_or_default();
        if bucket.is_empty() {
            // A store without a bucket of its own.
            return format!(
                "the bucket that each storage identifier names ({} is not set), at {host}",
                Setting::StoreBucket
            );
        }
        format!("bucket {bucket} at {host}")
    }

    /// Who asks, for messages. No secret.
    pub(crate) fn who(&self) -> String {
        match self.credentials.keys() {
            Ok(keys) => format!("the account with the access key {}", keys.id()),
            // Then no request came so far.
            Err(_) => "this account".to_owned(),
        }
    }

    /// Asks, and reads a short answer.
    pub(crate) fn ask(&self, call: &Call<'_>) -> Result<Answer, Fault> {
        self.ask_once(call).0
    }

    /// Asks; also tells whether it was asked more than once: then an earlier request may have had its effect.
    pub(crate) fn ask_once(&self, call: &Call<'_>) -> (Result<Answer, Fault>, bool) {
        self.persist(call, |response| {
            let (parts, body) = response.into_parts();
            let mut text = Vec::new();
            // Some keep a connection alive by a blank now and then while they work.
            let window = self.service.limits().idle * if call.is_long { PATIENCE } else { 1 };
            let reader = body.into_with_config().limit(LONGEST_ANSWER).reader();
            Steady::new(reader, window).read_to_end(&mut text).map_err(|it| Fault::Transport(ureq::Error::Io(it)))?;
            Ok(Answer { headers: parts.headers, text: String::from_utf8_lossy(&text).into_owned() })
        })
    }

    /// Opens an object; after a break, the rest of it is asked for as long as it is the same (`If-Match`).
    pub(crate) fn download(self: &Arc<Self>, bucket: &str, key: &str) -> Result<Download, Fault> {
        let response = self.fetch(&Call { method: "GET", bucket, key, ..Call::default() })?;
        let size = content_length(response.headers()).ok_or(Fault::Lacking("Content-Length"))?;
        let version = Version::etag(response.headers());
        let (client, bucket, of) = (Arc::clone(self), bucket.to_owned(), key.to_owned());
        let reopen = move |at, version: &Version| {
            let headers = vec![("range", format!("bytes={at}-")), ("if-match", version.as_str().to_owned())];
            let call = Call { method: "GET", bucket: &bucket, key: &of, headers, ..Call::default() };
            client.fetch(&call).map(Into::into).map_err(Fault::io)
        };
        Ok(Download::new(&self.service, key.to_owned(), (size, version), response.into_body(), reopen))
    }

    fn fetch(&self, call: &Call<'_>) -> Result<Response<Body>, Fault> {
        self.persist(call, Ok).0
    }

    /// Makes a request until it succeeds, fails for good, or was made often enough.
    fn persist<T>(
        &self,
        call: &Call<'_>,
        finish: impl Fn(Response<Body>) -> Result<T, Fault>,
    ) -> (Result<T, Fault>, bool) {
        let (mut has_renewed, mut has_moved, mut has_failed, mut attempts) = (false, false, false, 1);
        let answered = self.service.retry(|attempt| {
            attempts = attempt;
            let keys = match self.credentials.keys() {
                Ok(it) => it,
                Err(error) => return Attempt::Ended(Err(error.into())),
            };
            let mut asked_to_wait = None;
            let region = self.region.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = self.send(call, attempt, &keys, &region).and_then(|response| {
                asked_to_wait = retry_after(response.headers());
                finish(accept(response)?)
            });
            let fault = match answer {
                Ok(it) => return Attempt::Ended(Ok(it)),
                Err(fault) => fault,
            };
            // An answer to HEAD has no body that could say more than 400.
            let has_ended = fault.is_code(&ENDED) || (call.method == "HEAD" && fault.is_status(&[400]));
            if has_ended && !has_renewed && self.credentials.renew(&keys) {
                tracing::debug!("credentials have expired: obtain new ones");
                has_renewed = true;
                return Attempt::Renewed;
            }
            if !has_moved && (self.learn_region(&fault, &region) || self.ask_region(call, &keys, &region, &fault)) {
                has_moved = true;
                return Attempt::Renewed;
            }
            let is_transient = match &fault {
                Fault::Transport(error) => !dvb_http::is_lasting(error),
                Fault::Refused(refusal) => refusal.is_transient(),
                Fault::Credentials(_)
                | Fault::Interrupted(_)
                | Fault::Unsendable(_)
                | Fault::TooLarge { .. }
                | Fault::Xml(_)
                | Fault::Lacking(_)
                | Fault::NoBucket
                | Fault::Body(_) => false,
            };
            has_failed = true;
            if is_transient { Attempt::Transient(fault, asked_to_wait) } else { Attempt::Ended(Err(fault)) }
        });
        let is_cut_off = matches!(answered, Err(Fault::Interrupted(_)));
        (answered, attempts > 1 || (is_cut_off && has_failed))
    }

    /// Takes the region that a service of its own says it is in, where none was given; whether it is another than was
    /// `tried`.
    fn learn_region(&self, fault: &Fault, tried: &str) -> bool {
        let Fault::Refused(Refusal { code, region: Some(told), .. }) = fault else { return false };
        let is_other = !self.is_region_given && code == "AuthorizationHeaderMalformed" && told != tried;
        if is_other {
            tracing::debug!(tried, region = told, "the service is in another region");
            self.region.lock().unwrap_or_else(PoisonError::into_inner).clone_from(told);
        }
        is_other
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// An answer to HEAD has no body that could tell the region: one to GET of the same has.
    fn ask_region(&self, call: &Call<'_>, keys: &crate::Keys, tried: &str, fault: &Fault) -> bool {
        if call.method != "HEAD" || self.is_region_given || !fault.is_status(&[400]) {
            return false;
        }
        let asked = self.send(&Call { method: "GET", ..call.clone() }, 1, keys, tried).and_then(accept);
        asked.is_err_and(|fault| self.learn_region(&fault, tried))
    }

    fn send(&self, call: &Call<'_>, attempt: u32, keys: &crate::Keys, region: &str) -> Result<Response<Body>, Fault> {
        let url = self.url(call)?;
        let mut headers = HeaderMap::new();
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        insert(&mut headers, "host", &host)?;
        for (name, value) in &call.headers {
            insert(&mut headers, name, value)?;
        }
        let payload = match &call.sha256 {
            Some(it) => it.clone(),
            None if call.body.is_empty() => OF_NOTHING.to_owned(),
            None => hex(&<sha2::Sha256 as sha2::Digest>::digest(call.body)),
        };
        sign(call.method, &url, &mut headers, &payload, region, keys)?;
        let unsendable = |it: ureq::http::Error| Fault::Unsendable(it.to_string());
        let mut request = Request::builder().method(call.method).uri(url.as_str());
        if let Some(it) = request.headers_mut() {
            *it = headers;
        }
        let idle = call.is_long.then(|| self.service.limits().idle * PATIENCE);
        // Reading gives no body to send: a GET with `Content-Length: 0` is refused by some.
        let answered = if matches!(call.method, "GET" | "HEAD" | "DELETE") {
            self.service.send(request.body(()).map_err(unsendable)?, attempt, idle)
        } else {
            self.service.send(request.body(call.body).map_err(unsendable)?, attempt, idle)
        };
        answered.map_err(Fault::Transport)
    }

    fn url(&self, call: &Call<'_>) -> Result<Url, Fault> {
        let mut text = String::from(self.base.scheme());
        text.push_str("://");
        let in_host = !self.path_style && self.base.domain().is_some() && is_label(call.bucket);
        if in_host {
            text.push_str(call.bucket);
            text.push('.');
        }
        text.push_str(self.base.host_str().unwrap_or_default());
        if let Some(port) = self.base.port() {
            text.push_str(&format!(":{port}"));
        }
        text.push_str(self.base.path().trim_end_matches('/'));
        text.push('/');
        if !in_host {
            text.push_str(call.bucket);
            text.push('/');
        }
        text.push_str(&s3::signing::uri_encode(call.key, false));
        for (n, (name, value)) in call.query.iter().enumerate() {
            text.push(if n == 0 { '?' } else { '&' });
            text.push_str(name);
            text.push('=');
            text.push_str(&s3::signing::uri_encode(value, true));
        }
        Url::parse(&text).map_err(|it| Fault::Unsendable(format!("{text:?}: {it}")))
    }
}

fn of_aws(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://s3.{region}.amazonaws.com{suffix}")
}

/// Whether a bucket's name can be a label of a host's name: a dot in it would not fit a certificate for `*.host`.
fn is_label(bucket: &str) -> bool {
    let is_plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
    bucket.bytes().all(is_plain) && !bucket.starts_with('-') && !bucket.ends_with('-') && bucket.len() <= 63
}

fn service(endpoint: &S3Endpoint) -> Result<Service, Fault> {
    let roots = match &endpoint.ca {
        None => RootCerts::PlatformVerifier,
        Some(pem) => dvb_http::trusted(pem).map_err(|untrusted| match untrusted {
            NotTrusted::Unreadable(error) => Fault::Transport(error),
            NotTrusted::None => Fault::Unsendable("the file of trusted certificates has none in PEM".into()),
        })?,
    };
    let proxy = endpoint.proxy.as_deref().map(ureq::Proxy::new).transpose().map_err(Fault::Transport)?;
    Ok(Service::new(roots, endpoint.limits, Interrupt::default(), |config| {
        config
            .proxy(proxy)
            .accept_encoding("identity")
            .no_delay(true)
            .max_idle_connections(256)
            .max_idle_connections_per_host(256)
            .output_buffer_size(128 << 10)
            .input_buffer_size(128 << 10)
    }))
}

/// The answer, unless it says no.
fn accept(response: Response<Body>) -> Result<Response<Body>, Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let (parts, mut body) = response.into_parts();
    let text = body.with_config().limit(LONGEST_ANSWER).lossy_utf8(true).read_to_string().unwrap_or_default();
    let answer: ErrorAnswer = quick_xml::de::from_str(text.trim_start()).unwrap_or_default();
    let region = parts.headers.get("x-amz-bucket-region").and_then(|it| it.to_str().ok()).map(str::to_owned);
    let code = if answer.code.is_empty() { status.canonical_reason().unwrap_or("").to_owned() } else { answer.code };
    let region = region.or(answer.region);
    Err(Refusal { status: status.as_u16(), code, message: answer.message, region }.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Credentials, Keys};

    fn url(endpoint: Option<&str>, path_style: bool, bucket: &str, key: &str) -> String {
        let endpoint = S3Endpoint {
            url: endpoint.map(str::to_owned),
            region: None,
            path_style,
            ca: None,
            proxy: None,
            credentials: Credentials::Keys(Keys::lasting("a", "b")),
            limits: S3Endpoint::LIMITS,
        };
        let call = Call { method: "GET", bucket, key, query: vec![("uploads", String::new())], ..Call::default() };
        Client::new(&endpoint).unwrap().url(&call).unwrap().to_string()
    }

    #[test]
    fn buckets_lie_where_they_can() {
        for (endpoint, path_style, bucket, expected) in [
            (None, false, "b", "https://b.s3.us-east-1.amazonaws.com/k?uploads="),
            (None, true, "b", "https://s3.us-east-1.amazonaws.com/b/k?uploads="),
            (None, false, "b.c", "https://s3.us-east-1.amazonaws.com/b.c/k?uploads="),
            (Some("https://h:8080/s3/"), false, "b", "https://b.h:8080/s3/k?uploads="),
            (Some("http://127.0.0.1:9"), false, "b", "http://127.0.0.1:9/b/k?uploads="),
            (Some("s3.example.org"), false, "B_1", "https://s3.example.org/B_1/k?uploads="),
        ] {
            assert_eq!(url(endpoint, path_style, bucket, "k"), expected);
        }
        assert_eq!(url(Some("http://h"), true, "b", "a b/ü+'%"), "http://h/b/a%20b/%C3%BC%2B%27%25?uploads=");
    }
}
