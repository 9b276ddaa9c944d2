//! What a store of this kind is made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// How long to wait, and how often to try.
    pub patience: Patience,
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
    /// `secret-key`.
    pub key: String,
    /// The local time, which the server compares with its own.
    pub clock: Arc<dyn Fn() -> DateTime + Send + Sync>,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signing(***)")
    }
}

/// How long to wait, and how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a connection.
    pub connect: Duration,
    /// For a server that says nothing.
    pub idle: Duration,
    /// How often a request is sent at most, and how often a download may break without getting on.
    pub tries: u32,
    /// Before the second try; doubled for each further one.
    pub pause: Duration,
    /// A server that asks for a longer one (`Retry-After`) is not asked again.
    pub longest_pause: Duration,
}
