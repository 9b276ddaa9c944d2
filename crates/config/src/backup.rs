//! `[Backup]` and `[Backup NAME]`: where the copies go.

use std::path::PathBuf;
use std::time::Duration;

use dvb_model::DestinationName;

use super::fields::Fields;
use super::store::{AccessKeyPair, access_keys};
use super::value::{self, BadValue};
use super::{PurgeLogin, Secret};

/// `[Backup]` (named `default`) or `[Backup NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// The name by which the configuration knows it.
    pub name: DestinationName,
    /// What it is and how it is reached.
    pub kind: DestinationKind,
    /// Evidence demanded of a copy.
    pub verify: Verify,
    /// After how long a copy is due to be verified again; `None`: only when asked.
    pub verify_every: Option<Duration>,
    /// Data files that are on their way at once.
    pub jobs: u32,
    /// Bytes a second that are sent at most.
    pub bandwidth_limit: Option<u64>,
    /// How long a run may last.
    pub time_budget: Option<Duration>,
    /// What the report says of it, and nothing else.
    pub stated: Stated,
    /// Who deletes copies there for a lawful purge.
    pub purge: PurgeLogin,
}

/// Facts about a destination that only its administrator knows, in their words; `None`: not stated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    /// `Place`: where it stands, for example a room or a city.
    pub place: Option<String>,
    /// What the copies are stored on.
    pub medium: Option<String>,
    /// The region that a disaster would strike as a whole.
    pub region: Option<String>,
    /// Who is responsible for it.
    pub administrator: Option<String>,
}

/// What a destination is, with what its kind needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationKind {
    /// A folder on an SSH server.
    Ssh(SshTarget),
    /// A container of `OpenStack` Swift.
    Swift(SwiftTarget),
    /// A bucket of an S3 service, Amazon's or another.
    S3(S3Target),
    /// A folder of this machine.
    Directory(PathBuf),
}

/// A folder on an SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshTarget {
    /// Name or address of the SSH server.
    pub host: String,
    /// TCP port that it listens on.
    pub port: u16,
    /// The account that logs in.
    pub username: String,
    /// Folder on the server; a relative one begins where the account's SFTP session does.
    pub directory: String,
    /// Private key; `None`: the agent's, or the user's usual ones.
    pub key_file: Option<PathBuf>,
    /// The passphrase of the private key.
    pub key_passphrase: Option<Secret>,
    /// File with the server's host key; `None`: the user's usual one.
    pub known_hosts: Option<PathBuf>,
    /// Which library speaks SSH.
    pub library: SshLibrary,
    /// Ciphers to offer, best first, comma-separated without blanks; `None`: the program's own choice.
    pub ciphers: Option<String>,
    /// Key exchanges, in the same way.
    pub exchanges: Option<String>,
    /// Message authentication codes, in the same way.
    pub macs: Option<String>,
    /// Types of host key, in the same way.
    pub host_key_types: Option<String>,
    /// Files that the server lets be open at once; `None`: found out.
    pub open_files: Option<u32>,
    /// How long to wait for a connection.
    pub connect_timeout: Duration,
    /// How long to wait for a server that says nothing.
    pub idle_timeout: Duration,
}

/// A container of Swift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwiftTarget {
    /// Where it is logged in to.
    pub auth_url: String,
    /// Version of the login.
    pub auth_version: SwiftAuthVersion,
    /// How the account logs in.
    pub auth: SwiftAuth,
    /// Tenant (project); always there with version 2.
    pub tenant: Option<String>,
    /// Storage address, where the login's own answer is not the one to use.
    pub endpoint: Option<String>,
    /// Domain of the user.
    pub user_domain: Option<String>,
    /// Domain of the project.
    pub project_domain: Option<String>,
    /// Region in the service list.
    pub region: Option<String>,
    /// Name of the container that holds the copies.
    pub container: String,
    /// Bytes a segment of a big object; `None`: the client's own choice.
    pub segment_size: Option<u64>,
}

/// Version of Swift's login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SwiftAuthVersion {
    /// Swift's own login (TempAuth and the like), without Keystone.
    V1,
    /// Keystone version 2.0, which `OpenStack` dropped in 2018.
    V2,
    /// Keystone version 3, with domains and projects.
    V3,
}

/// With what Swift is logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwiftAuth {
    /// A user and a password.
    User {
        /// `SwiftUser`, the account that logs in.
        user: String,
        /// `SwiftKey`: the password or key of that account.
        key: Secret,
    },
    /// A Keystone application credential; only with version 3.
    ApplicationCredential {
        /// The id of the application credential.
        id: String,
        /// The secret that was shown once, when it was made.
        secret: Secret,
    },
}

/// A bucket of an S3 service, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Target {
    /// Name of the bucket that holds the copies.
    pub bucket: String,
    /// Prefix of every key, without `/` at either end; may be empty.
    pub prefix: String,
    /// Address of a service that is not Amazon's.
    pub endpoint_url: Option<String>,
    /// Region that requests are signed for.
    pub region: Option<String>,
    /// Whether the bucket stands in the path of an address.
    pub path_style: bool,
    /// Profile of `~/.aws/config` and `~/.aws/credentials`.
    pub profile: Option<String>,
    /// Keys; `None`: the environment's or the profile's.
    pub keys: Option<AccessKeyPair>,
    /// Bytes a part of a multipart upload; `None`: the client's own choice.
    pub part_size: Option<u64>,
    /// How each copy is locked.
    pub object_lock: Option<ObjectLock>,
}

/// How copies in S3 are locked against being deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// Who may lift a lock.
    pub mode: ObjectLockMode,
    /// For how many days.
    pub days: u32,
}

/// Who may lift a lock before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectLockMode {
    /// Accounts with a right of its own.
    Governance,
    /// Nobody.
    Compliance,
}

/// A library that speaks SSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SshLibrary {
    /// russh, in Rust, which is always built in.
    #[default]
    Russh,
    /// libssh2, where this program was built with it.
    Libssh2,
}

/// Evidence demanded of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// The server's own digest where it offers one, else reading back.
    Auto,
    /// The server's own digest, or failure.
    RemoteHash,
    /// Reading the whole copy back, also where the server offers a digest.
    ReadBack,
}

#[derive(Clone, Copy)]
enum StorageType {
    Ssh,
    Swift,
    S3,
    Directory,
}

pub(super) fn read(name: &DestinationName, fields: &mut Fields<'_>) -> Option<Destination> {
    let types = [
        ("ssh", StorageType::Ssh),
        ("swift", StorageType::Swift),
        ("s3", StorageType::S3),
        ("directory", StorageType::Directory),
    ];
    let kind = fields.required_parsed("StorageType", |text| value::choice(text, &types));
    let kind = kind.and_then(|kind| match kind {
        StorageType::Ssh => read_ssh(fields).map(DestinationKind::Ssh),
        StorageType::Swift => read_swift(fields).map(DestinationKind::Swift),
        StorageType::S3 => read_s3(fields).map(DestinationKind::S3),
        StorageType::Directory => fields.required_path("BackupDirectory").map(DestinationKind::Directory),
    });
    let verify = [("auto", Verify::Auto), ("remote-hash", Verify::RemoteHash), ("read-back", Verify::ReadBack)];
    let verify = fields.parsed("Verify", |text| value::choice(text, &verify)).unwrap_or(Verify::Auto);
    let verify_every = fields.parsed("VerifyEvery", value::duration);
    let jobs = fields.parsed("Jobs", |text| value::number(text, 1, 256)).unwrap_or(4);
    let bandwidth_limit = fields.parsed("BandwidthLimit", value::rate);
    let time_budget = fields.parsed("TimeBudget", value::duration);
    let stated = Stated {
        place: fields.text("Place"),
        medium: fields.text("Medium"),
        region: fields.text("Region"),
        administrator: fields.text("Administrator"),
    };
    let kind = kind?;
    let (name, purge) = (name.clone(), PurgeLogin::Own);
    Some(Destination { name, kind, verify, verify_every, jobs, bandwidth_limit, time_budget, stated, purge })
}

fn read_ssh(fields: &mut Fields<'_>) -> Option<SshTarget> {
    let host = fields.required("SshHost");
    let username = fields.required("SshUsername");
    let directory = fields.required("BackupDirectory");
    let seconds = |count| Duration::from_secs(count);
    let port = fields.parsed("SshPort", value::port).unwrap_or(22);
    let key_passphrase = fields.secret("SshKeyPassphrase");
    let connect_timeout = fields.parsed("ConnectTimeout", value::duration).unwrap_or(seconds(30));
    let idle_timeout = fields.parsed("IdleTimeout", value::duration).unwrap_or(seconds(120));
    let libraries = [("russh", SshLibrary::Russh), ("libssh2", SshLibrary::Libssh2)];
    let library = fields.parsed("SshLibrary", |text| value::choice(text, &libraries)).unwrap_or_default();
    let open_files = fields.parsed("SshOpenFiles", |text| value::number(text, 1, 1000));
    let mut list = |key: &str| fields.text(key).map(|it| it.split_whitespace().collect::<String>());
    let [ciphers, exchanges, macs, host_key_types] =
        ["SshCiphers", "SshKexAlgorithms", "SshMacs", "SshHostKeyAlgorithms"].map(&mut list);
    Some(SshTarget {
        host: host?,
        port,
        username: username?,
        // SFTP knows no '~'; a relative folder begins at the account's home.
        directory: directory.map(|it| it.strip_prefix("~/").map(str::to_owned).unwrap_or(it))?,
        key_file: fields.path("SshKeyFile"),
        key_passphrase,
        known_hosts: fields.path("SshKnownHosts"),
        library,
        ciphers,
        exchanges,
        macs,
        host_key_types,
        open_files,
        connect_timeout,
        idle_timeout,
    })
}

fn read_swift(fields: &mut Fields<'_>) -> Option<SwiftTarget> {
    let auth_url = fields.required_parsed("SwiftAuthUrl", value::url);
    let auth_version = fields.required_parsed("SwiftAuthVersion", auth_version);
    let auth = read_swift_auth(fields, auth_version);
    let tenant = fields.text("SwiftTenant");
    if auth_version == Some(SwiftAuthVersion::V2) && tenant.is_none() {
        fields.missing("SwiftTenant", "");
    }
    let endpoint = fields.parsed("SwiftEndPoint", value::url);
    let segment_size = fields.parsed("SwiftSegmentSize", value::size);
    Some(SwiftTarget {
        auth_url: auth_url?,
        auth_version: auth_version?,
        auth: auth?,
        tenant,
        endpoint,
        user_domain: fields.text("SwiftUserDomain"),
        project_domain: fields.text("SwiftProjectDomain"),
        region: fields.text("SwiftRegion"),
        container: fields.text("SwiftContainer").unwrap_or_else(|| "dataverse-backup".to_owned()),
        segment_size,
    })
}

/// `2.0` too: the original handed the value to swiftclient, which takes both.
fn auth_version(text: &str) -> Result<SwiftAuthVersion, BadValue> {
    let versions = [("1", SwiftAuthVersion::V1), ("2", SwiftAuthVersion::V2), ("3", SwiftAuthVersion::V3)];
    value::choice(text.strip_suffix(".0").unwrap_or(text), &versions)
}

pub(super) fn read_swift_auth(fields: &mut Fields<'_>, version: Option<SwiftAuthVersion>) -> Option<SwiftAuth> {
    let (id_key, secret_key) = ("SwiftApplicationCredentialId", "SwiftApplicationCredentialSecret");
    if let Some(id) = fields.text(id_key) {
        if version.is_some_and(|it| it != SwiftAuthVersion::V3) {
            fields.problem(id_key, "application credentials need SwiftAuthVersion 3");
        }
        let secret = required_secret(fields, secret_key)?;
        return Some(SwiftAuth::ApplicationCredential { id, secret });
    }
    let user = fields.required("SwiftUser");
    let key = required_secret(fields, "SwiftKey");
    Some(SwiftAuth::User { user: user?, key: key? })
}

fn required_secret(fields: &mut Fields<'_>, key: &str) -> Option<Secret> {
    let before = fields.findings.problems.len();
    let secret = fields.secret(key);
    if secret.is_none() && fields.findings.problems.len() == before {
        fields.missing(key, "");
    }
    secret
}

fn read_s3(fields: &mut Fields<'_>) -> Option<S3Target> {
    let bucket = fields.required("S3Bucket");
    let endpoint_url = fields.parsed("S3EndpointUrl", value::url);
    let path_style = fields.parsed("S3PathStyle", value::boolean).unwrap_or(false);
    let keys = access_keys(fields, "S3AccessKey", "S3SecretKey");
    let part_size = fields.parsed("S3PartSize", part_size);
    let object_lock = read_object_lock(fields);
    Some(S3Target {
        bucket: bucket?,
        prefix: fields.text("S3Prefix").map(|it| it.trim_matches('/').to_owned()).unwrap_or_default(),
        endpoint_url,
        region: fields.text("S3Region"),
        path_style,
        profile: fields.text("S3Profile"),
        keys,
        part_size,
        object_lock,
    })
}

/// Days alone are of a lock that can be lifted.
fn read_object_lock(fields: &mut Fields<'_>) -> Option<ObjectLock> {
    let modes = [("governance", ObjectLockMode::Governance), ("compliance", ObjectLockMode::Compliance)];
    let is_asked = fields.has("S3ObjectLock");
    let mode = fields.parsed("S3ObjectLock", |text| value::choice(text, &modes));
    let days = fields.parsed("S3ObjectLockDays", |text| value::number(text, 1, 36_500));
    if is_asked && !fields.has("S3ObjectLockDays") {
        fields.problem("S3ObjectLock", "S3ObjectLockDays is missing: for how many days copies are locked");
    }
    days.map(|days| ObjectLock { mode: mode.unwrap_or(ObjectLockMode::Governance), days })
}

/// S3 takes parts from 5 MiB to 5 GiB.
fn part_size(text: &str) -> Result<u64, BadValue> {
    let accepted = "a size from 5MiB to 5GiB";
    let refused = || BadValue { value: text.to_owned(), accepted: accepted.to_owned() };
    let size = value::size(text).map_err(|_| refused())?;
    if (5 << 20..=5 << 30).contains(&size) { Ok(size) } else { Err(refused()) }
}
