//! `[Store ID]`: one of Dataverse's stores, in the words of its own `dataverse.files.ID.*` options.

use std::path::PathBuf;

use dvb_model::{DriverId, StoreKind};

use super::Secret;
use super::fields::Fields;
use super::value::{self, BadValue};

/// A section `[Store ID]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The driver id, which stands before `://` in storage identifiers.
    pub id: DriverId,
    /// What it is and how it is read.
    pub kind: StoreType,
}

/// What a store is, with what its kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreType {
    /// A folder of this machine, which Dataverse writes to itself.
    File {
        /// Absolute path of the folder that the datasets' folders are in.
        directory: PathBuf,
        /// Further folders that links in it may lead to.
        extra_roots: Vec<PathBuf>,
    },
    /// A bucket of an S3 service, Amazon's or another.
    S3 {
        /// `bucket-name`; without it the bucket that each identifier names.
        bucket_name: Option<String>,
        /// `profile`: the profile of `~/.aws/config` and `~/.aws/credentials`; `None`: the usual one.
        profile: Option<String>,
        /// `custom-endpoint-url`: address of a service that is not Amazon's.
        custom_endpoint_url: Option<String>,
        /// `custom-endpoint-region`: the region that requests are signed for.
        custom_endpoint_region: Option<String>,
        /// `path-style-access`: whether the bucket stands in the path of an address; `false` where not set.
        path_style_access: bool,
        /// `access-key` and `secret-key`; `None`: those of the profile or of the environment.
        keys: Option<AccessKeyPair>,
    },
    /// Containers of `OpenStack` Swift.
    Swift {
        /// `defaultEndpoint`: the one meant where an identifier names none; always among `endpoints`.
        default_endpoint: Option<String>,
        /// Every endpoint that the section names; never empty.
        endpoints: Vec<SwiftEndpoint>,
    },
    /// Somebody else's web server.
    Remote {
        /// `base-url`; always there when the policy is to copy.
        base_url: Option<String>,
        /// `secret-key`, which signs addresses.
        secret_key: Option<Secret>,
        /// Whether the bytes are copied.
        policy: Policy,
    },
    /// A Globus endpoint, whose bytes can be read where it also has a web address.
    Globus {
        /// An address below which the bytes can be read; always there when the policy is to copy.
        base_url: Option<String>,
        /// A key that signs addresses.
        secret_key: Option<Secret>,
        /// Whether the bytes are copied.
        policy: Policy,
    },
}

/// A pair of S3 keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKeyPair {
    /// The id of the access key.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: Secret,
}

/// What becomes of files whose bytes are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The files are recorded as not covered; their bytes are not read.
    Reference,
    /// Copied, where they can be read.
    Copy,
}

/// One endpoint of a Swift store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwiftEndpoint {
    /// The name that storage identifiers call it by.
    pub name: String,
    /// How it is logged in to.
    pub auth_type: SwiftAuthType,
    /// Where; with Keystone the whole address of the tokens, as in Dataverse.
    pub auth_url: String,
    /// The user who logs in.
    pub username: String,
    /// The password that goes with the user.
    pub password: Secret,
    /// The tenant, which Keystone version 3 calls project.
    pub tenant: Option<String>,
    /// Storage address, where the login's own answer is not the one to use.
    pub endpoint: Option<String>,
    /// Domain of the user.
    pub user_domain: Option<String>,
    /// Domain of the project.
    pub project_domain: Option<String>,
}

/// How a Swift endpoint is logged in to (`SwiftAccessIO`: anything but the two Keystone words means basic).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwiftAuthType {
    /// Swift's own login, version 1.
    Basic,
    /// Keystone version 2.0; a tenant must be given.
    Keystone,
    /// Keystone version 3, with domains and projects.
    KeystoneV3,
}

impl StoreType {
    /// The kind of store, without what its kind needs.
    #[must_use]
    pub fn kind(&self) -> StoreKind {
        match self {
            Self::File { .. } => StoreKind::File,
            Self::S3 { .. } => StoreKind::S3,
            Self::Swift { .. } => StoreKind::Swift,
            Self::Remote { .. } => StoreKind::Remote,
            Self::Globus { .. } => StoreKind::Globus,
        }
    }
}

pub(super) fn read(id: &DriverId, fields: &mut Fields<'_>) -> Option<Store> {
    let kind = match fields.required_parsed("Type", kind)? {
        StoreKind::File => {
            StoreType::File { directory: fields.required_path("Directory")?, extra_roots: fields.paths("ExtraRoots") }
        }
        StoreKind::S3 => read_s3(fields)?,
        StoreKind::Swift => read_swift(fields)?,
        StoreKind::Remote => {
            let (base_url, secret_key, policy) = read_elsewhere(fields)?;
            StoreType::Remote { base_url, secret_key, policy }
        }
        StoreKind::Globus => {
            let (base_url, secret_key, policy) = read_elsewhere(fields)?;
            StoreType::Globus { base_url, secret_key, policy }
        }
    };
    Some(Store { id: id.clone(), kind })
}

fn kind(text: &str) -> Result<StoreKind, BadValue> {
    let kinds = [
        ("file", StoreKind::File),
        ("s3", StoreKind::S3),
        ("swift", StoreKind::Swift),
        ("remote", StoreKind::Remote),
        ("globus", StoreKind::Globus),
    ];
    value::choice(text, &kinds)
}

fn read_s3(fields: &mut Fields<'_>) -> Option<StoreType> {
    Some(StoreType::S3 {
        bucket_name: fields.text("BucketName"),
        profile: fields.text("Profile"),
        custom_endpoint_url: fields.parsed("CustomEndpointUrl", value::url),
        custom_endpoint_region: fields.text("CustomEndpointRegion"),
        path_style_access: fields.parsed("PathStyleAccess", value::boolean).unwrap_or(false),
        keys: access_keys(fields, "AccessKey", "SecretKey"),
    })
}

/// Both keys or none; one alone is reported.
pub(super) fn access_keys(fields: &mut Fields<'_>, id: &str, secret: &str) -> Option<AccessKeyPair> {
    let before = fields.findings.problems.len();
    match (fields.text(id), fields.secret(secret)) {
        (Some(access_key), Some(secret_key)) => return Some(AccessKeyPair { access_key, secret_key }),
        (Some(_), None) if fields.findings.problems.len() == before => {
            fields.problem(id, &format!("{secret} is missing; give both or neither"));
        }
        (None, Some(_)) => fields.problem(secret, &format!("{id} is missing; give both or neither")),
        (Some(_) | None, None) => {}
    }
    None
}

fn read_swift(fields: &mut Fields<'_>) -> Option<StoreType> {
    let names = fields.endpoints();
    if names.is_empty() {
        fields.missing("AuthUrl.EP", "AuthType.EP, AuthUrl.EP, Username.EP, Password.EP for each endpoint EP");
    }
    let default_endpoint = fields.text("DefaultEndpoint");
    let unknown = |it: &String| !names.iter().any(|name| name.eq_ignore_ascii_case(it));
    if !names.is_empty() && default_endpoint.as_ref().is_some_and(unknown) {
        fields.problem("DefaultEndpoint", "no key ends in this endpoint's name; give AuthUrl.EP and the others for it");
    }
    let endpoints: Vec<_> = names.iter().map(|name| read_endpoint(name, fields)).collect();
    let endpoints = endpoints.into_iter().collect::<Option<Vec<_>>>()?;
    if endpoints.is_empty() { None } else { Some(StoreType::Swift { default_endpoint, endpoints }) }
}

fn read_endpoint(name: &str, fields: &mut Fields<'_>) -> Option<SwiftEndpoint> {
    let key = |key: &str| format!("{key}.{name}");
    let auth_type = fields.required_parsed(&key("AuthType"), |text| {
        let types = [
            ("basic", SwiftAuthType::Basic),
            ("keystone", SwiftAuthType::Keystone),
            ("keystone_v3", SwiftAuthType::KeystoneV3),
        ];
        value::choice(text, &types)
    });
    let auth_url = fields.required_parsed(&key("AuthUrl"), value::url);
    let username = fields.required(&key("Username"));
    let before = fields.findings.problems.len();
    let password = fields.secret_of("Password", &format!(".{name}"));
    if password.is_none() && fields.findings.problems.len() == before {
        fields.missing(&key("Password"), "");
    }
    let tenant = fields.text(&key("Tenant"));
    if auth_type == Some(SwiftAuthType::Keystone) && tenant.is_none() {
        fields.missing(&key("Tenant"), "");
    }
    let endpoint = fields.parsed(&key("Endpoint"), value::url);
    Some(SwiftEndpoint {
        name: name.to_owned(),
        auth_type: auth_type?,
        auth_url: auth_url?,
        username: username?,
        password: password?,
        tenant,
        endpoint,
        user_domain: fields.text(&key("UserDomain")),
        project_domain: fields.text(&key("ProjectDomain")),
    })
}

fn read_elsewhere(fields: &mut Fields<'_>) -> Option<(Option<String>, Option<Secret>, Policy)> {
    let policies = [("reference", Policy::Reference), ("copy", Policy::Copy)];
    let policy = fields.parsed("Policy", |text| value::choice(text, &policies)).unwrap_or(Policy::Reference);
    let base_url = match policy {
        Policy::Reference => fields.parsed("BaseUrl", value::url),
        Policy::Copy => Some(fields.required_parsed("BaseUrl", value::url)?),
    };
    Some((base_url, fields.secret("SecretKey"), policy))
}
