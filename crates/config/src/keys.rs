//! Every section and key there is, and what each is for.

/// How a key may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    /// Also as `NameFile` and `NameEnv`.
    Secret,
    /// `Name.EP`, once for each Swift endpoint EP.
    Endpoint,
    /// Both: `Name.EP`, `NameFile.EP`, `NameEnv.EP`.
    EndpointSecret,
}

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What it is for: completes "it is missing: ".
    pub(super) about: &'static str,
}

/// How an entry gives the value of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueForm {
    Literally,
    InFile,
    InVariable,
}

impl Key {
    /// The names it goes by, without an endpoint.
    pub(super) fn names(&self) -> Vec<(String, ValueForm)> {
        let mut names = vec![(self.name.to_owned(), ValueForm::Literally)];
        if matches!(self.form, Form::Secret | Form::EndpointSecret) {
            names.push((format!("{}File", self.name), ValueForm::InFile));
            names.push((format!("{}Env", self.name), ValueForm::InVariable));
        }
        names
    }

    fn has_endpoint(&self) -> bool {
        matches!(self.form, Form::Endpoint | Form::EndpointSecret)
    }

    /// Whether a key as written is this one, and in which way it gives the value.
    pub(super) fn matches(&self, written: &str) -> Option<ValueForm> {
        let name = match (written.split_once('.'), self.has_endpoint()) {
            (Some((name, endpoint)), true) if !endpoint.is_empty() => name,
            (None, false) => written,
            _ => return None,
        };
        let mut names = self.names().into_iter();
        names.find(|(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, given)| given)
    }

    /// The names it goes by, as a message shows them.
    fn shown(&self) -> Vec<String> {
        let endpoint = if self.has_endpoint() { ".EP" } else { "" };
        self.names().into_iter().map(|(name, _)| name + endpoint).collect()
    }
}

const fn plain(name: &'static str, about: &'static str) -> Key {
    Key { name, form: Form::Plain, about }
}

const fn secret(name: &'static str, about: &'static str) -> Key {
    Key { name, form: Form::Secret, about }
}

const fn endpoint(name: &'static str, about: &'static str) -> Key {
    Key { name, form: Form::Endpoint, about }
}

pub(super) const DATABASE: &[Key] = &[
    plain("Host", "the server of Dataverse's PostgreSQL"),
    plain("Port", "the port of Dataverse's PostgreSQL"),
    plain("Database", "the name of Dataverse's database"),
    plain("Username", "the role that reads Dataverse's database"),
    secret("Password", "the password of that role"),
    plain("SslMode", "whether the connection is encrypted and the server checked"),
    plain("SslRootCert", "the certificates that the server is checked against"),
    plain("BackupDatabase", "where the ledger is kept"),
    plain("BackupHost", "the server of the ledger, where it is another"),
    plain("BackupPort", "the port of the ledger's server"),
    plain("BackupUsername", "the role that writes the ledger"),
    secret("BackupPassword", "the password of that role"),
    plain("BackupSslMode", "SslMode of the ledger's server"),
    plain("BackupSslRootCert", "SslRootCert of the ledger's server"),
    plain("Catalogue", "a snapshot of the catalogue to read instead of the database"),
];

pub(super) const REPOSITORY: &[Key] = &[
    plain("FileSystemDirectory", "the folder of Dataverse's store 'file'"),
    plain("ExtraRoots", "further folders that links in that folder may lead to"),
    plain("DefaultStore", "the store of identifiers without a prefix"),
    plain("DomainXml", "Payara's domain.xml, to take the stores from"),
    plain("Environment", "a file with a container's environment, to take the stores and the database's login from"),
    plain("AuxiliaryObjects", "whether auxiliary files, provenance and logos are copied"),
    plain("CachedExports", "whether cached metadata exports are copied"),
    plain("PresenceCheck", "whether each run looks, by listings, whether everything is still in its store"),
    plain("AuditEvery", "after how long a data file is due to be read again in its store"),
    plain("MaxDisappearance", "the share of data files that may leave the catalogue between two runs"),
    plain("MaxChange", "the share of known files that may have other bytes and checksums all at once"),
    plain("PurgeApproval", "whether a second person has to approve a purge"),
    plain("PurgeGrace", "how long a purge that was asked for has to wait"),
];

pub(super) const STORE: &[Key] = &[
    plain("Type", "what kind of store it is, as dataverse.files.ID.type says"),
    plain("Directory", "the folder of a store of type file"),
    plain("ExtraRoots", "further folders that links in a store of type file may lead to"),
    plain("BucketName", "the bucket of a store of type s3"),
    plain("Profile", "the profile in ~/.aws with the credentials"),
    plain("CustomEndpointUrl", "the address of an S3 service that is not Amazon's"),
    plain("CustomEndpointRegion", "the region of that service"),
    plain("PathStyleAccess", "whether the bucket stands in the path of an address"),
    plain("AccessKey", "the id of the S3 access key"),
    secret("SecretKey", "the secret of the S3 access key, or the key that signs addresses of a remote store"),
    plain("DefaultEndpoint", "the Swift endpoint that new files go to"),
    endpoint("AuthType", "how the Swift endpoint is logged in to"),
    endpoint("AuthUrl", "the address where the Swift endpoint is logged in to"),
    endpoint("Username", "the user of the Swift endpoint"),
    Key { name: "Password", form: Form::EndpointSecret, about: "the password of the Swift endpoint's user" },
    endpoint("Tenant", "the tenant (project) of the Swift endpoint"),
    endpoint("Endpoint", "the storage address of the Swift endpoint"),
    endpoint("UserDomain", "the domain of the user (keystone_v3)"),
    endpoint("ProjectDomain", "the domain of the project (keystone_v3)"),
    plain("BaseUrl", "the address below which a remote store's files lie"),
    plain("Policy", "whether the bytes of a remote or globus store are copied, or only recorded"),
];

pub(super) const BACKUP: &[Key] = &[
    plain("StorageType", "what kind of storage the copies go to"),
    plain("SshHost", "the server that holds the copies"),
    plain("SshPort", "the port of its SSH server"),
    plain("SshUsername", "the account on it"),
    plain("BackupDirectory", "the folder there that holds the copies"),
    plain("SshKeyFile", "the private key to log in with"),
    secret("SshKeyPassphrase", "the passphrase of that key"),
    plain("SshKnownHosts", "the file with the server's host key"),
    plain("SshLibrary", "the library that speaks SSH"),
    plain("SshCiphers", "the ciphers to offer, best first"),
    plain("SshKexAlgorithms", "the key exchanges to offer, best first"),
    plain("SshMacs", "the message authentication codes to offer, best first"),
    plain("SshHostKeyAlgorithms", "the types of host key to accept, best first"),
    plain("SshOpenFiles", "how many files the server lets be open at once"),
    plain("SwiftAuthUrl", "the address where Swift is logged in to"),
    plain("SwiftAuthVersion", "the version of Swift's login"),
    plain("SwiftUser", "the Swift user"),
    secret("SwiftKey", "the password of the Swift user"),
    plain("SwiftTenant", "the tenant (project), with versions 2 and 3"),
    plain("SwiftEndPoint", "the storage address, where the login's own answer is not the one to use"),
    plain("SwiftUserDomain", "the domain of the user, with version 3"),
    plain("SwiftProjectDomain", "the domain of the project, with version 3"),
    plain("SwiftRegion", "the region to take from Swift's service list"),
    plain("SwiftContainer", "the container that holds the copies"),
    plain("SwiftApplicationCredentialId", "the id of an application credential, instead of user and key"),
    secret("SwiftApplicationCredentialSecret", "the secret of that application credential"),
    plain("SwiftSegmentSize", "the size of the segments that big objects are cut into"),
    plain("S3Bucket", "the bucket that holds the copies"),
    plain("S3Prefix", "the prefix of every key in it"),
    plain("S3EndpointUrl", "the address of an S3 service that is not Amazon's"),
    plain("S3Region", "the region of the bucket"),
    plain("S3PathStyle", "whether the bucket stands in the path of an address"),
    plain("S3Profile", "the profile in ~/.aws with the credentials"),
    plain("S3AccessKey", "the id of the access key"),
    secret("S3SecretKey", "the secret of the access key"),
    plain("S3PartSize", "the size of the parts of a multipart upload"),
    plain("S3ObjectLock", "whether the locks of copies can be lifted by accounts with a right of its own"),
    plain("S3ObjectLockDays", "for how many days each copy is locked against deletion"),
    plain("Verify", "which evidence of a copy is demanded"),
    plain("VerifyEvery", "after how long a copy is due to be verified again"),
    plain("Jobs", "how many files are in flight"),
    plain("BandwidthLimit", "how many bytes a second are read and sent at most"),
    plain("TimeBudget", "how long a run may last"),
    plain("Place", "where the destination stands, for the report"),
    plain("Medium", "what the copies are stored on, for the report"),
    plain("Region", "the region that a disaster would strike as a whole, for the report"),
    plain("Administrator", "who is responsible for the destination, for the report"),
    plain("ConnectTimeout", "how long to wait for a connection"),
    plain("IdleTimeout", "how long to wait for a server that says nothing"),
];

pub(super) const PURGE: &[Key] = &[
    plain("SshUsername", "the account that deletes on the server"),
    plain("SshKeyFile", "the private key of that account"),
    secret("SshKeyPassphrase", "the passphrase of that key"),
    plain("SwiftUser", "the user that deletes in Swift"),
    secret("SwiftKey", "the password of that user"),
    plain("SwiftUserDomain", "the domain of that user (version 3)"),
    plain("SwiftApplicationCredentialId", "the id of the application credential that deletes, instead of a user"),
    secret("SwiftApplicationCredentialSecret", "the secret of that application credential"),
    plain("S3Profile", "the profile in ~/.aws with the credentials that delete"),
    plain("S3AccessKey", "the id of the access key that deletes"),
    secret("S3SecretKey", "the secret of that access key"),
];

pub(super) const NOTIFICATIONS: &[Key] = &[
    plain("Email", "who gets the reports"),
    plain("EmailWhen", "after which commands a report is mailed"),
    plain("From", "the sender of the report"),
    plain("SmtpHost", "the mail server, where the system's sendmail is not to be used"),
    plain("SmtpPort", "the port of the mail server"),
    plain("SmtpUsername", "the user of the mail server"),
    secret("SmtpPassword", "the password of that user"),
    plain("SmtpTls", "whether the connection to the mail server is encrypted"),
    plain("PingUrl", "an address to call after each good run"),
    plain("MetricsFile", "a file of metrics for Prometheus' textfile collector"),
];

/// Every kind of section, as a message shows it, with its keys.
pub(super) const SECTIONS: &[(&str, &[Key])] = &[
    ("[Database]", DATABASE),
    ("[Repository]", REPOSITORY),
    ("[Store ID]", STORE),
    ("[Backup]", BACKUP),
    ("[Purge]", PURGE),
    ("[Notifications]", NOTIFICATIONS),
];

/// The key of a section that an entry gives, and how.
pub(super) fn lookup(keys: &'static [Key], written: &str) -> Option<(&'static Key, ValueForm)> {
    keys.iter().find_map(|key| key.matches(written).map(|given| (key, given)))
}

/// What the administrator may have meant by a key that its section does not know.
pub(super) fn suggestion(keys: &'static [Key], written: &str) -> String {
    if let Some((section, _)) = SECTIONS.iter().find(|(_, keys)| lookup(keys, written).is_some()) {
        return format!("it belongs in {section}");
    }
    let names = keys.iter().flat_map(Key::shown);
    format!("the nearest known key is {}", nearest(written, names).unwrap_or_default())
}

/// The candidate that is spelled most like a word, whatever the case.
pub(super) fn nearest(written: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    let written = written.to_lowercase();
    candidates.min_by_key(|it| strsim::damerau_levenshtein(&written, &it.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_knows_every_key_in_its_section() {
        let page = include_str!("../../../docs/configuration.md");
        for (section, keys) in SECTIONS {
            let start = page.split_once(&format!("\n## {section}")).map_or("", |(_, rest)| rest);
            let part = start.split("\n## ").next().unwrap_or("");
            for key in *keys {
                let endpoint = if key.has_endpoint() { ".EP" } else { "" };
                let shown = format!("`{}{endpoint}`", key.name);
                let is_secret = key.names().len() > 1;
                let marked = part.contains(&format!("{shown} (*secret*)"));
                assert!(part.contains(&shown) && marked == is_secret, "{section} {shown}");
            }
        }
    }

    #[test]
    fn no_two_keys_of_a_section_share_a_name() {
        for (section, keys) in SECTIONS {
            let mut names: Vec<_> = keys.iter().flat_map(Key::names).map(|(name, _)| name.to_lowercase()).collect();
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{section}");
        }
    }

    #[test]
    fn a_key_is_known_however_it_is_written() {
        let given = |keys, written| lookup(keys, written).map(|(key, given)| (key.name, given));
        assert_eq!(given(DATABASE, "PASSWORDenv"), Some(("Password", ValueForm::InVariable)));
        assert_eq!(given(STORE, "passwordfile.End.1"), Some(("Password", ValueForm::InFile)));
        assert_eq!(given(BACKUP, "SshKeyFile"), Some(("SshKeyFile", ValueForm::Literally)));
        assert_eq!(given(STORE, "Password"), None);
        assert_eq!(given(STORE, "Password."), None);
        assert_eq!(given(DATABASE, "Password.x"), None);
        assert_eq!(given(DATABASE, "HostFile"), None);
    }
}
