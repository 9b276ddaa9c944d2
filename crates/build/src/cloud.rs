//! S3 and Swift as the configuration describes them, with what their own tools would look up by themselves: the
//! environment, `~/.aws`, a container's or an instance's role.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dvb_s3::{
    Credentials, CredentialsError, INSTANCE_METADATA, Keys, LockMode, ObjectLock, Profile, ProfileError, S3Endpoint,
    S3Sink, S3SinkConfig, S3StoreConfig, of_container, of_instance,
};
use dvb_storage::{Demand, SinkError, SourceError, chain};
use dvb_swift::{Limits, SwiftAccount, SwiftAuth, SwiftSink, SwiftSinkConfig, SwiftStoreConfig};
use thiserror::Error;

use dvb_config::{
    AccessKeyPair, ObjectLockMode, S3Target, SwiftAuthType, SwiftAuthVersion, SwiftEndpoint, SwiftTarget,
};

/// Requests that one session has under way at a time.
const REQUESTS: usize = 4;
/// Where a container finds its role, with the path of `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
const CONTAINER: &str = "http://169.254.170.2";

/// A service cannot be used as it is described.
#[derive(Debug, Error)]
pub enum CloudError {
    /// A profile that is named cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A file that is named cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Path of the file that cannot be read.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Only a store of type `s3` is one.
    #[error("store type {0} is not S3")]
    Kind(&'static str),
    /// The store makes no sense as it is.
    #[error(transparent)]
    Store(#[from] SourceError),
    /// The destination makes no sense as it is.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// A store of type `s3`, by the keys of Dataverse's own options.
pub(crate) struct S3StoreKeys<'a> {
    pub(crate) bucket: Option<&'a str>,
    pub(crate) profile: Option<&'a str>,
    pub(crate) endpoint_url: Option<&'a str>,
    pub(crate) region: Option<&'a str>,
    pub(crate) path_style: bool,
    pub(crate) keys: Option<&'a AccessKeyPair>,
}

pub(crate) fn s3_store(store: &S3StoreKeys<'_>) -> Result<S3StoreConfig, CloudError> {
    let aws = Aws::of(store.profile)?;
    let endpoint = aws.endpoint(store.endpoint_url, store.region, store.path_style, store.keys)?;
    // Without a bucket of its own, the store has those that the identifiers name.
    let bucket = store.bucket.unwrap_or_default().to_owned();
    Ok(S3StoreConfig { endpoint, bucket })
}

pub(crate) fn s3_sink(target: &S3Target, demand: Demand) -> Result<S3Sink, CloudError> {
    Ok(S3Sink::new(s3_config(target, demand)?)?)
}

pub(crate) fn s3_config(target: &S3Target, demand: Demand) -> Result<S3SinkConfig, CloudError> {
    let aws = Aws::of(target.profile.as_deref())?;
    // Other services than Amazon's want the region that most of them are set up with.
    let region = target.region.as_deref().or(target.endpoint_url.as_ref().map(|_| "us-east-1"));
    let endpoint = aws.endpoint(target.endpoint_url.as_deref(), region, target.path_style, target.keys.as_ref())?;
    let mut config = S3SinkConfig::new(endpoint, &target.bucket, &target.prefix);
    config.demand = demand;
    config.part_size = target.part_size.unwrap_or(config.part_size);
    config.object_lock = target.object_lock.map(|it| ObjectLock {
        days: it.days,
        mode: match it.mode {
            ObjectLockMode::Governance => LockMode::Governance,
            ObjectLockMode::Compliance => LockMode::Compliance,
        },
    });
    Ok(config)
}

/// What the AWS tools know of a profile.
struct Aws {
    /// Named by the configuration, so it must be there and goes before keys (dataverse.md 2.5).
    is_named: bool,
    profile: Profile,
    /// Why there is no more in it, for whoever finds no keys at all.
    lacks: Vec<String>,
}

impl Aws {
    fn of(named: Option<&str>) -> Result<Self, CloudError> {
        let name = named.map(str::to_owned).or_else(|| env("AWS_PROFILE")).unwrap_or_else(|| "default".to_owned());
        let mut lacks = Vec::new();
        let mut read = |variable, usual| match aws_file(variable, usual) {
            Ok(text) => Ok(text),
            Err(error) if named.is_some() => Err(error),
            // Keys may come from elsewhere.
            Err(error) => {
                lacks.push(chain(&error));
                Ok(None)
            }
        };
        let credentials = read("AWS_SHARED_CREDENTIALS_FILE", "credentials")?;
        let config = read("AWS_CONFIG_FILE", "config")?;
        match Profile::read(credentials.as_deref(), config.as_deref(), &name) {
            Ok(profile) => Ok(Self { is_named: named.is_some(), profile, lacks }),
            Err(error) if named.is_some() => Err(error.into()),
            // What nobody asked for may be missing, or be of a kind that cannot be used.
            Err(error) => {
                if env("AWS_PROFILE").is_some() || !matches!(error, ProfileError::Unknown(_)) {
                    lacks.push(chain(&error));
                }
                Ok(Self { is_named: false, profile: Profile::default(), lacks })
            }
        }
    }

    fn endpoint(
        &self,
        url: Option<&str>,
        region: Option<&str>,
        path_style: bool,
        keys: Option<&AccessKeyPair>,
    ) -> Result<S3Endpoint, CloudError> {
        let url = url.map(str::to_owned).or_else(|| self.profile.endpoint_url.clone());
        let aws_region = || env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")).or(self.profile.region.clone());
        // Dataverse takes a region of its own only with an endpoint of its own.
        let region = region.map(str::to_owned).or_else(|| if url.is_some() { None } else { aws_region() });
        let is_plain = url.as_deref().is_some_and(|it| it.starts_with("http://"));
        let ca = match env("AWS_CA_BUNDLE").or_else(|| self.profile.ca_bundle.clone()).filter(|_| !is_plain) {
            Some(path) => Some(read(Path::new(&path))?),
            None => None,
        };
        Ok(S3Endpoint {
            proxy: proxy(url.as_deref(), is_plain),
            url,
            region,
            path_style,
            ca,
            credentials: self.credentials(keys),
            limits: S3Endpoint::LIMITS,
        })
    }

    /// In the order of Dataverse (dataverse.md 2.5): a profile that is named, keys, then what the AWS tools find.
    fn credentials(&self, keys: Option<&AccessKeyPair>) -> Credentials {
        let of_profile = || match (&self.profile.keys, &self.profile.credential_process) {
            (Some(keys), _) => Some(Credentials::Keys(keys.clone())),
            (None, Some(command)) => Some(of_process(command.clone())),
            (None, None) => None,
        };
        let named = if self.is_named { of_profile() } else { None };
        let given = || keys.map(|it| Credentials::Keys(Keys::lasting(&it.access_key, it.secret_key.expose())));
        named.or_else(given).or_else(of_environment).or_else(of_profile).unwrap_or_else(|| of_role(self.lacks.clone()))
    }
}

fn of_environment() -> Option<Credentials> {
    let keys = Keys::lasting(env("AWS_ACCESS_KEY_ID")?, env("AWS_SECRET_ACCESS_KEY")?);
    Some(Credentials::Keys(Keys { token: env("AWS_SESSION_TOKEN"), ..keys }))
}

/// The command stands in a file of the user's own, who may have it run whatever he likes.
fn of_process(command: String) -> Credentials {
    Credentials::Provider(Arc::new(move || {
        let output = Command::new("/bin/sh").args(["-c", &command]).output();
        let output = output.map_err(|it| CredentialsError::Provider(format!("credential_process: {it}")))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(CredentialsError::Provider(format!("credential_process: {} {}", output.status, text.trim())));
        }
        Keys::from_json(&String::from_utf8_lossy(&output.stdout))
    }))
}

fn of_role(lacks: Vec<String>) -> Credentials {
    Credentials::Provider(Arc::new(move || {
        let relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").map(|it| format!("{CONTAINER}{it}"));
        if let Some(uri) = relative.or_else(|| env("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
            let token = match (env("AWS_CONTAINER_AUTHORIZATION_TOKEN"), env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"))
            {
                (None, Some(path)) => Some(read_token(Path::new(&path))?),
                (token, _) => token,
            };
            return of_container(&uri, token.as_deref().map(str::trim));
        }
        let lacks: String = lacks.iter().map(|it| format!(" ({it})")).collect();
        let looked = format!("in the configuration, the environment and ~/.aws{lacks}");
        if env("AWS_EC2_METADATA_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            return Err(CredentialsError::Provider(format!("no S3 keys were found {looked}")));
        }
        of_instance(INSTANCE_METADATA)
            .map_err(|it| CredentialsError::Provider(format!("no S3 keys were found {looked}, and {it}")))
    }))
}

/// The proxy that the environment names for such an address.
fn proxy(url: Option<&str>, is_plain: bool) -> Option<String> {
    let either = |name: &str| env(&name.to_lowercase()).or_else(|| env(name));
    let host = url.map_or("amazonaws.com", |address| {
        let rest = address.split_once("://").map_or(address, |it| it.1);
        rest.split(['/', ':']).next().unwrap_or(rest)
    });
    let is_excepted = either("NO_PROXY").is_some_and(|list| {
        let fits = |exception: &str| {
            exception == "*" || (!exception.is_empty() && host.ends_with(exception.trim_start_matches('.')))
        };
        list.split(',').map(str::trim).any(fits)
    });
    if is_excepted { None } else { either(if is_plain { "HTTP_PROXY" } else { "HTTPS_PROXY" }) }
}

pub(crate) fn swift_store(default_endpoint: Option<&str>, endpoints: &[SwiftEndpoint]) -> SwiftStoreConfig {
    SwiftStoreConfig {
        default_endpoint: default_endpoint.map(str::to_owned),
        endpoints: endpoints.iter().map(|it| (it.name.clone(), endpoint_account(it))).collect(),
    }
}

fn endpoint_account(it: &SwiftEndpoint) -> SwiftAccount {
    let (user, key) = (it.username.clone(), it.password.expose().to_owned());
    let auth = match it.auth_type {
        SwiftAuthType::Basic => SwiftAuth::V1 { user, key, tenant: it.tenant.clone() },
        SwiftAuthType::Keystone => SwiftAuth::V2 { user, key, tenant: it.tenant.clone().unwrap_or_default() },
        SwiftAuthType::KeystoneV3 => SwiftAuth::V3 {
            user,
            key,
            project: it.tenant.clone(),
            user_domain: it.user_domain.clone(),
            project_domain: it.project_domain.clone(),
        },
    };
    account(&it.auth_url, auth, it.endpoint.clone().filter(|it| is_storage_url(it)), None)
}

/// Dataverse itself makes only temporary addresses of it, `<Endpoint>/v1/<container>/…` (`SwiftAccessIO`), so it usually
/// is the server's root: that the login knows better. `https://host/v1/AUTH_account` is meant.
fn is_storage_url(endpoint: &str) -> bool {
    let path = endpoint.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |it| it.1);
    path.split('/').filter(|it| !it.is_empty()).count() >= 2
}

pub(crate) fn swift_sink(target: &SwiftTarget, demand: Demand) -> SwiftSink {
    SwiftSink::new(swift_config(target, demand))
}

pub(crate) fn swift_config(target: &SwiftTarget, demand: Demand) -> SwiftSinkConfig {
    let auth = match (&target.auth, target.auth_version) {
        (dvb_config::SwiftAuth::ApplicationCredential { id, secret }, _) => {
            SwiftAuth::ApplicationCredential { id: id.clone(), secret: secret.expose().to_owned() }
        }
        (dvb_config::SwiftAuth::User { user, key }, version) => {
            let (user, key, tenant) = (user.clone(), key.expose().to_owned(), target.tenant.clone());
            match version {
                SwiftAuthVersion::V1 => SwiftAuth::V1 { user, key, tenant },
                SwiftAuthVersion::V2 => SwiftAuth::V2 { user, key, tenant: tenant.unwrap_or_default() },
                SwiftAuthVersion::V3 => SwiftAuth::V3 {
                    user,
                    key,
                    project: tenant,
                    user_domain: target.user_domain.clone(),
                    project_domain: target.project_domain.clone(),
                },
            }
        }
    };
    let segment = target.segment_size.unwrap_or(Limits::USUAL.segment);
    SwiftSinkConfig {
        account: account(&target.auth_url, auth, target.endpoint.clone(), target.region.clone()),
        container: target.container.clone(),
        limits: Limits { segment, ..Limits::USUAL },
        requests: REQUESTS,
        demand,
    }
}

fn account(auth_url: &str, auth: SwiftAuth, endpoint: Option<String>, region: Option<String>) -> SwiftAccount {
    // As the OpenStack clients.
    let ca = env("OS_CACERT").map(PathBuf::from);
    SwiftAccount { auth_url: auth_url.to_owned(), auth, endpoint, region, ca, limits: SwiftAccount::LIMITS }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|it| !it.is_empty())
}

/// The text of a file of the AWS tools, where there is one. One that the environment names is to be there.
fn aws_file(variable: &str, usual: &str) -> Result<Option<String>, CloudError> {
    let named = env(variable).map(PathBuf::from);
    let is_named = named.is_some();
    let Some(path) = named.or_else(|| Some(std::env::home_dir()?.join(".aws").join(usual))) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if !is_named && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(CloudError::File { path, source }),
    }
}

fn read_token(path: &Path) -> Result<String, CredentialsError> {
    let unread =
        |it| CredentialsError::Provider(format!("the token of the container's role, {}: {it}", path.display()));
    std::fs::read_to_string(path).map_err(unread)
}

fn read(path: &Path) -> Result<Vec<u8>, CloudError> {
    std::fs::read(path).map_err(|source| CloudError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_an_account_is_no_storage_address() {
        for meant in ["https://h/v1/AUTH_x", "https://h/swift/v1/AUTH_x/", "http://h:8080/v1/AUTH_x"] {
            assert!(is_storage_url(meant), "{meant}");
        }
        for root in ["https://h", "https://h/", "http://h:8080/v1", "https://h/v1/"] {
            assert!(!is_storage_url(root), "{root}");
        }
    }
}
