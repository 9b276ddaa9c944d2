//! What can be set about a store or a destination, where a message tells the administrator to change it.
//!
//! Such a message goes through many hands as text: the summary, the event log, an incident, a mail. So the words for a
//! setting cannot be put in at the end, as those of the engine's `Hint` are: whoever embeds the crates gives them once.

use std::fmt;
use std::sync::OnceLock;

/// Something that can be set about a store or a destination; shown, it is what the embedding program calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// How copies are to be proved ([`Demand`](crate::Demand)).
    Evidence,
    /// The folder of a destination.
    Folder,
    /// Folders that links of a store of files may lead into.
    ExtraRoots,
    /// The bucket of a destination.
    Bucket,
    /// The bucket of a store.
    StoreBucket,
    /// Bytes of a part of an upload to S3.
    PartSize,
    /// Whether, and how, an S3 service is to lock each copy.
    ObjectLock,
    /// How long an SSH server may take to let us in.
    ConnectTimeout,
    /// Files that an SSH server lets be open at a time.
    OpenFiles,
    /// The library that speaks SSH.
    SshLibrary,
    /// Ciphers that are offered to an SSH server.
    Ciphers,
    /// Key exchanges that are offered to an SSH server.
    KexAlgorithms,
    /// Message authentication codes that are offered to an SSH server.
    Macs,
    /// Types of an SSH server's host keys.
    HostKeyAlgorithms,
    /// The container of a destination in Swift.
    Container,
    /// The address of the login at a destination in Swift.
    AuthUrl,
    /// The version of that login.
    AuthVersion,
    /// The region of a destination in Swift.
    Region,
    /// The tenant, or project, of a destination in Swift.
    Tenant,
    /// The address of a destination's storage in Swift.
    Endpoint,
    /// The login at an endpoint of a store in Swift, by the endpoint's name.
    StoreEndpoint(String),
    /// The key by which requests to a remote store are signed.
    SigningKey,
    /// The description of one of Dataverse's stores, by its driver id.
    Store(String),
}

static NAMES: OnceLock<fn(&Setting) -> String> = OnceLock::new();

/// Says what this program calls its settings, for every message from now on; the first call counts. Without one they
/// have the names of their fields, in English, or OpenSSH's.
pub fn name_settings(names: fn(&Setting) -> String) {
    NAMES.get_or_init(|| names);
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(names) = NAMES.get() {
            return f.write_str(&names(self));
        }
        f.write_str(match self {
            Self::Evidence => "the evidence",
            Self::Folder => "the root folder",
            Self::ExtraRoots => "the extra roots",
            Self::Bucket | Self::StoreBucket => "the bucket",
            Self::PartSize => "the part size",
            Self::ObjectLock => "the object lock",
            Self::ConnectTimeout => "the connect timeout",
            Self::OpenFiles => "the open files",
            Self::SshLibrary => "the SSH library",
            Self::Ciphers => "Ciphers",
            Self::KexAlgorithms => "KexAlgorithms",
            Self::Macs => "MACs",
            Self::HostKeyAlgorithms => "HostKeyAlgorithms",
            Self::Container => "the container",
            Self::AuthUrl => "the login's address",
            Self::AuthVersion => "the login's version",
            Self::Region => "the region",
            Self::Tenant => "the tenant",
            Self::Endpoint => "the storage address",
            Self::StoreEndpoint(name) => return write!(f, "the login of endpoint {name}"),
            Self::SigningKey => "the signing key",
            Self::Store(id) => return write!(f, "a store {id:?}"),
        })
    }
}
