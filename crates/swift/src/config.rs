//! Where the server is, how to log in, and how much at once: everything is told by the caller.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use dvb_http::TimeLimits;
use dvb_storage::Demand;

/// An account on a Swift. Nothing is looked up in the environment or in a home folder.
#[derive(Debug, Clone)]
pub struct SwiftAccount {
    /// Where to log in: whole, as Dataverse has it (`…/v3/auth/tokens`, `…/v2.0/tokens`, `…/auth/v1.0`), or only the
    /// server's address.
    pub auth_url: String,
    /// How the account logs in.
    pub auth: SwiftAuth,
    /// Storage address to use instead of the login's own answer (`SwiftEndPoint`). One that ends in `/v1` gets the
    /// account's name from that answer.
    pub endpoint: Option<String>,
    /// Region in Keystone's catalogue; must be given where there are several.
    pub region: Option<String>,
    /// File of the certificates (PEM) that are trusted, instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long to wait, and how often to try again.
    pub limits: TimeLimits,
}

/// With what to log in.
#[derive(Clone)]
pub enum SwiftAuth {
    /// Swift's own login, version 1.
    V1 {
        /// `account:user`, or the user alone where a tenant is given.
        user: String,
        /// The password or key of the user.
        key: String,
        /// The account, where `user` does not name it.
        tenant: Option<String>,
    },
    /// Keystone version 2.0, by a password for one tenant.
    V2 {
        /// The user or account that logs in.
        user: String,
        /// The password of the user.
        key: String,
        /// The tenant whose containers are used; version 2 has no default.
        tenant: String,
    },
    /// Keystone version 3 with a password.
    V3 {
        /// The user or account that logs in.
        user: String,
        /// The password of the user.
        key: String,
        /// Project; `None` for the user's default project.
        project: Option<String>,
        /// Domain of the user; `None` for `Default`.
        user_domain: Option<String>,
        /// Domain of the project; `None` for `Default`.
        project_domain: Option<String>,
    },
    /// Keystone version 3 with an application credential.
    ApplicationCredential {
        /// The id of the application credential.
        id: String,
        /// The secret that was shown once, when it was made.
        secret: String,
    },
}

impl fmt::Debug for SwiftAuth {
    /// Never shows a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V1 { user, .. } => write!(f, "V1({user})"),
            Self::V2 { user, tenant, .. } => write!(f, "V2({user}, {tenant})"),
            Self::V3 { user, project, .. } => write!(f, "V3({user}, {project:?})"),
            Self::ApplicationCredential { id, .. } => write!(f, "ApplicationCredential({id})"),
        }
    }
}

impl SwiftAccount {
    /// What suits a service on another host: 30 s to connect, 120 s of silence, 5 attempts.
    pub const LIMITS: TimeLimits = TimeLimits {
        connect: Duration::from_secs(30),
        idle: Duration::from_secs(120),
        attempts: 5,
        first_pause: Duration::from_millis(500),
        longest_pause: Duration::from_secs(60),
    };
}

/// Bytes at once. The server's own limits (`/info`) come first.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes a segment of a large object (`SwiftSegmentSize`).
    pub segment: u64,
    /// Objects up to this size wait in memory between `stage` and `commit` and are stored by one request; larger
    /// ones are static large objects.
    pub held_object: u64,
    /// What may wait in memory in all sessions of a sink together; what does not fit is stored as a large object.
    pub held_total: u64,
}

impl Limits {
    /// Segments of 1 GiB, and not much memory.
    pub const USUAL: Self = Self { segment: 1 << 30, held_object: 8 << 20, held_total: 64 << 20 };
}

/// A destination in a container.
#[derive(Debug, Clone)]
pub struct SwiftSinkConfig {
    /// Where, and as whom.
    pub account: SwiftAccount,
    /// The container; made if it is missing, as is `<container>_segments`.
    pub container: String,
    /// How much is in memory and under way at once.
    pub limits: Limits,
    /// Requests at once in a session; at least 1.
    pub requests: usize,
    /// Which evidence is demanded.
    pub demand: Demand,
}

/// A store of Dataverse: its endpoints by the names that storage identifiers call them, in either case.
#[derive(Debug, Clone)]
pub struct SwiftStoreConfig {
    /// `DefaultEndpoint`: where an identifier that names none is looked for.
    pub default_endpoint: Option<String>,
    /// The account of each endpoint.
    pub endpoints: BTreeMap<String, SwiftAccount>,
}
