//! Keys of the role of a container or of an EC2 instance, from the endpoints that AWS has for them.
//!
//! For a [`Credentials::Provider`](crate::Credentials::Provider): they end after hours, and are asked for again.

use std::time::Duration;

use dvb_http::{Interrupt, Service};
use ureq::AsSendBody;
use ureq::http::Request;
use ureq::tls::RootCerts;

use crate::{CredentialsError, Keys, S3Endpoint, TimeLimits};

/// Where an EC2 instance finds its metadata.
pub const INSTANCE_METADATA: &str = "http://169.254.169.254";

/// These endpoints are on the same machine: where nothing answers soon, there is none.
const LIMIT: Duration = Duration::from_secs(5);

/// Keys of a container's role: `uri` is `AWS_CONTAINER_CREDENTIALS_FULL_URI`, or `http://169.254.170.2` with
/// `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`; `token` is `AWS_CONTAINER_AUTHORIZATION_TOKEN` or what its file holds.
///
/// # Errors
/// [`CredentialsError`], when there is no such endpoint or it gives none.
pub fn of_container(uri: &str, token: Option<&str>) -> Result<Keys, CredentialsError> {
    let mut request = Request::get(uri);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    Keys::from_json(&ask(&service(), request.body(()), uri)?)
}

/// Keys of an instance's role, by version 2 of the metadata service at `base` (as a rule [`INSTANCE_METADATA`]).
///
/// # Errors
/// [`CredentialsError`], when this is no such instance, or it has no role.
pub fn of_instance(base: &str) -> Result<Keys, CredentialsError> {
    let service = service();
    let url = format!("{base}/latest/api/token");
    let request = Request::put(url).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let token = ask(&service, request.body(b"".as_slice()), base)?;
    let get = |path: &str| {
        let request = Request::get(format!("{base}/latest/meta-data/iam/security-credentials/{path}"));
        ask(&service, request.header("x-aws-ec2-metadata-token", token.trim()).body(()), base)
    };
    let roles = get("")?;
    Keys::from_json(&get(roles.lines().next().unwrap_or("").trim())?)
}

/// Asks once. Whoever tells keys does not send us elsewhere: a redirect is an answer without keys.
fn ask<S: AsSendBody>(
    service: &Service,
    request: Result<Request<S>, ureq::http::Error>,
    base: &str,
) -> Result<String, CredentialsError> {
    let answer = request.map_err(ureq::Error::from).and_then(|request| service.send(request, 1, None));
    let text = answer.and_then(|mut response| response.body_mut().read_to_string());
    text.map_err(|error| CredentialsError::Role(base.to_owned(), error))
}

fn service() -> Service {
    let limits = TimeLimits { connect: LIMIT, idle: LIMIT, attempts: 1, ..S3Endpoint::LIMITS };
    // No proxy: through one, these addresses would be another machine's.
    Service::new(RootCerts::PlatformVerifier, limits, Interrupt::default(), |config| {
        config.timeout_global(Some(LIMIT)).http_status_as_error(true)
    })
}
