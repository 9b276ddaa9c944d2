//! What a store of this kind is made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dvb_http::TimeLimits;
use jiff::civil::DateTime;

/// A store and the manners towards its server.
#[derive(Debug, Clone)]
pub struct RemoteConfig {
    /// `base-url`: nothing is asked for that does not lie below it.
    pub base_url: String,
    /// How identifiers are read.
    pub layout: Layout,
    /// How addresses are signed, where the server wants that.
    pub signing: Option<Signing>,
    /// How long to wait, and how often to try. A server that asks for a pause longer than the longest one
    /// (`Retry-After`) is not asked again.
    pub limits: TimeLimits,
}

/// Which address an identifier means, below the base address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The text behind its last `//` (`RemoteOverlayAccessIO`).
    Remote,
    /// The same, or without `//` a file that Dataverse manages: `<authority>/<identifier>/<name>`
    /// (`GlobusOverlayAccessIO`).
    Globus,
}

/// How addresses are signed (`UrlSignerUtil`).
#[derive(Clone)]
pub struct Signing {
    /// `secret-key` of the store in Dataverse's configuration, which the other server knows too.
    pub key: String,
    /// The local time, which the server compares with its own.
    pub clock: Arc<dyn Fn() -> DateTime + Send + Sync>,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing(***)")
    }
}

impl RemoteConfig {
    /// What suits somebody else's server: 30 s to connect, 120 s of silence, 4 attempts.
    pub const LIMITS: TimeLimits = TimeLimits {
        connect: Duration::from_secs(30),
        idle: Duration::from_secs(120),
        attempts: 4,
        first_pause: Duration::from_secs(1),
        longest_pause: Duration::from_secs(30),
    };
}
