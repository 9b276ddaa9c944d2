//! A `config.ini` to begin with: what can be found is filled in, what cannot stands there as a comment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::domain_xml::{self, DomainXml};
use crate::environment::is_of_dataverse;
use crate::{BadValue, ConfigError, ProcessContext, is_mail_address};

/// What a new configuration is made from. Whatever is absent is left to be filled in.
#[derive(Debug, Clone, Default)]
pub struct ProposalSources {
    /// `domain.xml` of the Payara that Dataverse runs in.
    pub domain_xml: Option<PathBuf>,
    /// The environment file of the container that Dataverse runs in.
    pub environment: Option<PathBuf>,
    /// Where the copies go.
    pub destination: Option<Address>,
    /// Who gets mail; a list with commas.
    pub email: Option<String>,
}

/// A destination in one word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A folder of this host.
    Directory(String),
    /// A folder on an SSH server: `ssh://USER@HOST[:PORT]/FOLDER`.
    Ssh {
        /// Whom to log in as.
        user: String,
        /// Name or address of the SSH server.
        host: String,
        /// TCP port that it listens on; `None` means 22.
        port: Option<u16>,
        /// From the root on.
        folder: String,
    },
    /// A bucket of an S3 service: `s3://BUCKET[/PREFIX]`.
    S3 {
        /// Name of the bucket.
        bucket: String,
        /// What keys begin with; may be empty.
        prefix: String,
    },
    /// A container of `OpenStack` Swift: `swift://CONTAINER`.
    Swift(String),
}

/// The text of the file, and what to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The whole file. It may hold a secret.
    pub text: String,
    /// What was found, and where.
    pub found: Vec<String>,
    /// What is still to be filled in.
    pub missing: Vec<String>,
}

const HEAD: &str = "\
; The configuration of dataverse-backup. `dataverse-backup check` tries everything that it names.
; A line that begins with ; is a comment. Remove the ; of a key to use it.
; A secret X can lie in a file (XFile: PATH) or in an environment variable (XEnv: NAME).
";

const LEDGER: &str = "
; The ledger, which remembers what is safe. Without this key it is /var/lib/dataverse-backup/ledger.db.
; With PostgreSQL (createdb backupdb), it is safe from the loss of this host, too:
;BackupDatabase: backupdb
;BackupUsername: backup
;BackupPasswordFile: /etc/dataverse-backup/ledger.password
";

const REPOSITORY_MORE: &str = "
; Each run also looks whether what is safe is still in the stores, and reads a part of them again:
;PresenceCheck: yes
;AuditEvery: 90d
; A purge has to be approved by a second person (or none), and waits:
;PurgeApproval: two-person
;PurgeGrace: 7d
";

const BACKUP_MORE: &str = "
; Each run also reads a part of the copies again, so that none is unchecked for longer:
VerifyEvery: 30d
; A run begins no more work after this time, and sends no faster than this:
;TimeBudget: 5h
;BandwidthLimit: 40MiB/s
; For the report: where the copies are, and who keeps them.
;Place: another building
;Administrator: computing centre

; A second destination: [Backup NAME], with the same keys.

; What the law wants deleted is deleted with credentials of its own, if there are any: [Purge] for [Backup], [Purge NAME]
; for [Backup NAME]. Lay the key where only the user who purges can read it.
;[Purge]
;SshUsername: backup-purge
;SshKeyFile: /root/.ssh/dataverse-purge
";

const NOTIFICATIONS_MORE: &str = "\
; problems (default) or always.
;EmailWhen: always
; For Prometheus' node exporter, and for a service that notices when runs stop:
;MetricsFile: /var/lib/prometheus/node-exporter/dataverse-backup.prom
;PingUrl: https://monitoring.example.edu/ping/dataverse-backup
";

/// Makes a configuration from what there is. Nothing is connected to.
///
/// # Errors
/// When `domain.xml` cannot be read or describes no store.
pub fn propose(sources: &ProposalSources, process: &ProcessContext) -> Result<Proposal, ConfigError> {
    let domain = sources.domain_xml.as_deref().map(|it| domain_xml::read(it, process)).transpose()?;
    let mut draft = Draft { text: HEAD.to_owned(), found: Vec::new(), missing: Vec::new() };
    draft.database(sources, domain.as_ref(), process);
    draft.repository(sources, domain.as_ref(), process);
    draft.backup(sources.destination.as_ref());
    draft.notifications(sources.email.as_deref());
    Ok(Proposal { text: draft.text, found: draft.found, missing: draft.missing })
}

struct Draft {
    text: String,
    found: Vec<String>,
    missing: Vec<String>,
}

impl Draft {
    fn section(&mut self, name: &str) {
        let _ = writeln!(self.text, "\n[{name}]");
    }

    fn comment(&mut self, text: &str) {
        let _ = writeln!(self.text, "; {text}");
    }

    fn key(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.text, "{key}: {value}");
    }

    /// A key that somebody has to fill in, with what it could be.
    fn open(&mut self, section: &str, key: &str, example: &str) {
        let _ = writeln!(self.text, ";{key}: {example}");
        self.missing.push(format!("[{section}] {key}"));
    }

    fn database(&mut self, sources: &ProposalSources, domain: Option<&DomainXml>, process: &ProcessContext) {
        self.section("Database");
        self.comment(
            "Dataverse's PostgreSQL. It is only read: a role with the grants of sql/catalogue/grants.sql is enough.",
        );
        if is_container(sources, process) {
            let whose = self.environment_name(sources);
            self.comment(&format!("Host, Port, Database, Username and Password are taken from {whose}."));
            for key in ["Host", "Port", "Database", "Username", "Password"] {
                let _ = writeln!(self.text, ";{key}:");
            }
        } else {
            self.login(sources, domain);
        }
        self.text += LEDGER;
    }

    fn login(&mut self, sources: &ProposalSources, domain: Option<&DomainXml>) {
        let of_domain = |key: &str| domain.and_then(|it| it.database.get(key));
        let mut taken = Vec::new();
        for (key, usual) in [("Host", "localhost"), ("Port", "5432"), ("Database", "dvndb"), ("Username", "dvnapp")] {
            match of_domain(key) {
                Some(Ok(value)) => {
                    self.key(key, value.expose());
                    taken.push(key);
                }
                Some(Err(why)) => {
                    self.comment(&format!("domain.xml: the option {why}."));
                    self.open("Database", key, usual);
                }
                None => self.key(key, usual),
            }
        }
        match of_domain("Password") {
            Some(Ok(password)) if password.expose().trim() == password.expose() => {
                self.key("Password", password.expose());
                taken.push("Password");
            }
            other => {
                if let Some(Err(why)) = other {
                    self.comment(&format!("domain.xml: the option {why}."));
                }
                self.open("Database", "PasswordFile", "/etc/dataverse-backup/database.password");
            }
        }
        if let Some(path) = sources.domain_xml.as_ref().filter(|_| !taken.is_empty()) {
            self.found.push(format!("[Database] {} in {}", taken.join(", "), path.display()));
        }
    }

    fn repository(&mut self, sources: &ProposalSources, domain: Option<&DomainXml>, process: &ProcessContext) {
        self.section("Repository");
        match (&sources.domain_xml, domain) {
            (Some(path), Some(domain)) => {
                self.comment("The stores are taken from Payara's domain.xml, anew by each run.");
                self.key("DomainXml", &path.display().to_string());
                let ids: Vec<_> = domain.stores.iter().map(|it| it.id.0.as_str()).collect();
                self.found.push(format!("stores {} in {}", ids.join(", "), path.display()));
                for store in &domain.stores {
                    if let Err(why) = &store.described {
                        self.comment(&format!("{why}."));
                        self.missing.push(format!("[Store {}]", store.id));
                    }
                }
            }
            _ if is_container(sources, process) => {
                let whose = self.environment_name(sources);
                self.comment(&format!("The stores are taken from {whose}. Paths are those of this host:"));
                self.comment("where a volume lies elsewhere than in the container, a [Store ID] section says where.");
                if let Some(path) = &sources.environment {
                    self.key("Environment", &path.display().to_string());
                }
                self.found.push(format!("database and stores in {whose}"));
            }
            _ => {
                self.comment(
                    "The folder of the files, or DomainXml: PATH, or Environment: PATH, or a [Store ID] section each.",
                );
                let usual = "/usr/local/payara6/glassfish/domains/domain1/files";
                self.open("Repository", "FileSystemDirectory", usual);
            }
        }
        self.text += REPOSITORY_MORE;
    }

    fn environment_name(&self, sources: &ProposalSources) -> String {
        sources
            .environment
            .as_ref()
            .map_or_else(|| "this process's environment".to_owned(), |it| it.display().to_string())
    }

    fn backup(&mut self, destination: Option<&Address>) {
        self.section("Backup");
        self.comment("Where the copies go: StorageType is ssh, directory, s3 or swift.");
        match destination {
            None => {
                self.open("Backup", "StorageType", "ssh");
                let _ = writeln!(self.text, ";SshHost: backup.example.edu\n;SshUsername: backup");
                let _ = writeln!(self.text, ";BackupDirectory: /srv/dataverse_backup");
            }
            Some(Address::Directory(folder)) => {
                self.key("StorageType", "directory");
                self.key("BackupDirectory", folder);
            }
            Some(Address::Ssh { user, host, port, folder }) => {
                self.key("StorageType", "ssh");
                self.key("SshHost", host);
                if let Some(port) = port {
                    self.key("SshPort", &port.to_string());
                }
                self.key("SshUsername", user);
                self.key("BackupDirectory", folder);
                self.comment("Without these, the account's own key, agent and known_hosts.");
                let _ = writeln!(self.text, ";SshKeyFile: /etc/dataverse-backup/id_ed25519");
                let _ = writeln!(self.text, ";SshKnownHosts: /etc/dataverse-backup/known_hosts");
            }
            Some(Address::S3 { bucket, prefix }) => {
                self.key("StorageType", "s3");
                self.key("S3Bucket", bucket);
                if !prefix.is_empty() {
                    self.key("S3Prefix", prefix);
                }
                self.comment("Elsewhere than at Amazon. Without keys, those of the environment or of ~/.aws.");
                let _ = writeln!(self.text, ";S3EndpointUrl: https://s3.example.edu\n;S3AccessKey:");
                let _ = writeln!(self.text, ";S3SecretKeyFile: /etc/dataverse-backup/s3.secret");
            }
            Some(Address::Swift(container)) => {
                self.key("StorageType", "swift");
                self.key("SwiftContainer", container);
                self.open("Backup", "SwiftAuthUrl", "https://keystone.example.edu:5000/v3");
                self.open("Backup", "SwiftUser", "backup");
                self.open("Backup", "SwiftKeyFile", "/etc/dataverse-backup/swift.secret");
            }
        }
        self.text += BACKUP_MORE;
    }

    fn notifications(&mut self, email: Option<&str>) {
        self.section("Notifications");
        self.comment("Who gets mail when something is not safe.");
        match email {
            Some(email) => self.key("Email", email),
            None => {
                let _ = writeln!(self.text, ";Email: dataverse-admins@example.edu");
            }
        }
        self.text += NOTIFICATIONS_MORE;
    }
}

/// Whether a container's environment says where database and stores are.
fn is_container(sources: &ProposalSources, process: &ProcessContext) -> bool {
    let of_process = || process.variables.iter().any(|(name, value)| is_of_dataverse(name, value));
    sources.environment.is_some() || (sources.domain_xml.is_none() && of_process())
}

/// Mail addresses as the key `Email` has them.
///
/// # Errors
/// The first that is none.
pub fn mail_addresses(text: &str) -> Result<String, BadValue> {
    match text.split(',').map(str::trim).find(|it| !is_mail_address(it)) {
        Some(bad) => {
            Err(BadValue { value: bad.to_owned(), accepted: "a mail address, or several with commas".to_owned() })
        }
        None => Ok(text.trim().to_owned()),
    }
}

/// A destination in one word: a folder's path from the root on, `ssh://USER@HOST[:PORT]/FOLDER`, `s3://BUCKET[/PREFIX]` or
/// `swift://CONTAINER`.
///
/// # Errors
/// When it is none of these.
pub fn address(text: &str) -> Result<Address, BadValue> {
    let bad = || BadValue {
        value: text.to_owned(),
        accepted: "/FOLDER, ssh://USER@HOST[:PORT]/FOLDER, s3://BUCKET[/PREFIX] or swift://CONTAINER".to_owned(),
    };
    if text.chars().any(|it| it.is_control()) || text.trim() != text {
        return Err(bad());
    }
    let named = |it: &str| (!it.is_empty()).then(|| it.to_owned()).ok_or_else(bad);
    if Path::new(text).is_absolute() {
        return Ok(Address::Directory(text.to_owned()));
    }
    match text.split_once("://") {
        Some(("ssh", rest)) => ssh(rest).ok_or_else(bad),
        Some(("s3", rest)) => {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            Ok(Address::S3 { bucket: named(bucket)?, prefix: prefix.trim_end_matches('/').to_owned() })
        }
        Some(("swift", rest)) if !rest.contains('/') => Ok(Address::Swift(named(rest)?)),
        _ => Err(bad()),
    }
}

/// An IPv6 address stands in brackets, as in every URL (RFC 3986 section 3.2.2).
fn ssh(rest: &str) -> Option<Address> {
    let (user, rest) = rest.split_once('@')?;
    let (place, folder) = rest.split_at(rest.find('/')?);
    let (host, port) = match place.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((host, behind)) => (host, behind.strip_prefix(':').or(behind.is_empty().then_some(""))?),
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let port = if port.is_empty() { None } else { Some(crate::value::port(port).ok()?) };
    let is_named = !user.is_empty() && !host.is_empty() && folder.len() > 1;
    is_named.then(|| Address::Ssh { user: user.to_owned(), host: host.to_owned(), port, folder: folder.to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_one_word() {
        let ssh = |host: &str, port| Address::Ssh {
            user: "u".to_owned(),
            host: host.to_owned(),
            port,
            folder: "/srv/b".to_owned(),
        };
        assert_eq!(address("ssh://u@h/srv/b").unwrap(), ssh("h", None));
        assert_eq!(address("ssh://u@h:2222/srv/b").unwrap(), ssh("h", Some(2222)));
        assert_eq!(address("ssh://u@[::1]:22/srv/b").unwrap(), ssh("::1", Some(22)));
        assert_eq!(address("/srv/b").unwrap(), Address::Directory("/srv/b".to_owned()));
        let s3 = |prefix: &str| Address::S3 { bucket: "b".to_owned(), prefix: prefix.to_owned() };
        assert_eq!(address("s3://b").unwrap(), s3(""));
        assert_eq!(address("s3://b/p/q/").unwrap(), s3("p/q"));
        assert_eq!(address("swift://c").unwrap(), Address::Swift("c".to_owned()));
        for bad in [
            "",
            "srv",
            "ssh://h/srv",
            "ssh://u@h",
            "ssh://u@h/",
            "ssh://u@h:x/s",
            "ftp://h/x",
            "s3://",
            "swift://",
            "/a\nb: c",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }
}
