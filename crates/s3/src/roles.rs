//! Keys of the role of a container or of an EC2 instance, from the endpoints that AWS has for them.
//!
//! For a [`Credentials::Provider`](crate::Credentials::Provider): they end after hours, and are asked for again.

use std::time::Duration;

use ureq::Agent;

use crate::{CredentialsError, Keys};

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
    let mut request = agent().get(uri);
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let text = request.call().and_then(|mut it| it.body_mut().read_to_string());
    Keys::from_json(&text.map_err(failed(uri))?)
}

/// Keys of an instance's role, by version 2 of the metadata service at `base` (as a rule [`INSTANCE_METADATA`]).
///
/// # Errors
/// [`CredentialsError`], when this is no such instance, or it has no role.
pub fn of_instance(base: &str) -> Result<Keys, CredentialsError> {
    let agent = agent();
    let request = agent.put(format!("{base}/latest/api/token")).header("x-aws-ec2-metadata-token-ttl-seconds", "300");
    let token = request.send_empty().and_then(|mut it| it.body_mut().read_to_string()).map_err(failed(base))?;
    let get = |path: &str| {
        let request = agent.get(format!("{base}/latest/meta-data/iam/security-credentials/{path}"));
        let answer = request.header("x-aws-ec2-metadata-token", token.trim()).call();
        answer.and_then(|mut it| it.body_mut().read_to_string()).map_err(failed(base))
    };
    let roles = get("")?;
    Keys::from_json(&get(roles.lines().next().unwrap_or("").trim())?)
}

fn agent() -> Agent {
    // Through a proxy these addresses would be another machine's.
    Agent::config_builder().proxy(None).timeout_global(Some(LIMIT)).build().new_agent()
}

fn failed(at: &str) -> impl Fn(ureq::Error) -> CredentialsError + '_ {
    move |it| CredentialsError::Role(at.to_owned(), it)
}
