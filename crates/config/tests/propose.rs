//! A configuration that is proposed can be loaded, and says what it was made from.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use dvb_config::{
    Config, ConfigError, DestinationKind, ProcessContext, Proposal, ProposalSources, address, load, propose,
};
use tempfile::{TempDir, tempdir};

const DOMAIN: &str = r#"<domain><configs><config name="server-config"><java-config>
<jvm-options>-Ddataverse.files.file.type=file</jvm-options>
<jvm-options>-Ddataverse.files.file.directory=/srv/files</jvm-options>
<jvm-options>-Ddataverse.files.storage-driver-id=file</jvm-options>
<jvm-options>-Ddataverse.db.host=db.example.edu</jvm-options>
<jvm-options>-Ddataverse.db.name=dvn</jvm-options>
<jvm-options>-Ddataverse.db.user=app</jvm-options>
PASSWORD</java-config></config></configs></domain>"#;

/// A folder with such a `domain.xml`.
fn domain(password: &str) -> (TempDir, PathBuf) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("domain.xml");
    let option = format!("<jvm-options>-Ddataverse.db.password={password}</jvm-options>\n");
    fs::write(&path, DOMAIN.replace("PASSWORD", if password.is_empty() { "" } else { &option })).unwrap();
    (folder, path)
}

fn loaded(proposal: &Proposal, process: &ProcessContext) -> Result<Config, ConfigError> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("config.ini");
    fs::write(&path, &proposal.text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    load(&path, process)
}

#[test]
fn a_domain_gives_the_database_and_the_stores() {
    let (_folder, path) = domain("a;b # c=d:'e");
    let destination = Some(address("ssh://backup@far.example.edu:2222/srv/copies").unwrap());
    let sources = ProposalSources {
        domain_xml: Some(path.clone()),
        destination,
        email: Some("a@example.edu, b@example.edu".to_owned()),
        ..ProposalSources::default()
    };
    let process = ProcessContext::default();
    let proposal = propose(&sources, &process).unwrap();
    assert_eq!(proposal.missing, [""; 0]);
    assert!(proposal.found.iter().any(|it| it.contains("Host, Database, Username, Password")), "{:?}", proposal.found);
    let config = loaded(&proposal, &process).unwrap();
    let dvb_config::CatalogueSource::Postgres(database) = &config.database.catalogue else { panic!("{config:?}") };
    let shown = format!("{database:?}");
    assert!(shown.contains("db.example.edu") && shown.contains("dvn") && shown.contains("app"), "{shown}");
    assert_eq!(config.repository.domain_xml, Some(path));
    let DestinationKind::Ssh(ssh) = &config.destinations[0].kind else { panic!("{config:?}") };
    assert_eq!((ssh.host.as_str(), ssh.port, ssh.username.as_str()), ("far.example.edu", 2222, "backup"));
    assert_eq!(config.notifications.email, ["a@example.edu", "b@example.edu"]);
}

#[test]
fn a_password_that_only_payara_knows_is_to_be_filled_in() {
    let (_folder, path) = domain("${ALIAS=db_password_alias}");
    let sources = ProposalSources { domain_xml: Some(path), ..ProposalSources::default() };
    let proposal = propose(&sources, &ProcessContext::default()).unwrap();
    assert_eq!(proposal.missing, ["[Database] PasswordFile", "[Backup] StorageType"]);
    assert!(proposal.text.contains("password alias db_password_alias"), "{}", proposal.text);
}

#[test]
fn every_kind_of_destination_is_one_that_can_be_loaded() {
    let (_folder, path) = domain("secret");
    for (word, complete) in [("/srv/copies", true), ("s3://bucket/prefix", true), ("swift://container", false)] {
        let sources = ProposalSources {
            domain_xml: Some(path.clone()),
            destination: Some(address(word).unwrap()),
            ..ProposalSources::default()
        };
        let process = ProcessContext::default();
        let proposal = propose(&sources, &process).unwrap();
        assert_eq!(proposal.missing.is_empty(), complete, "{word}: {:?}", proposal.missing);
        assert_eq!(loaded(&proposal, &process).is_ok(), complete, "{word}");
    }
}

#[test]
fn an_environment_file_is_named_and_not_copied() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("dataverse.env");
    fs::write(&path, "DATAVERSE_DB_HOST=postgres\nDATAVERSE_DB_USER=dv\nDATAVERSE_DB_PASSWORD=hidden\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let sources = ProposalSources {
        environment: Some(path.clone()),
        destination: Some(address("/srv/copies").unwrap()),
        ..ProposalSources::default()
    };
    let process = ProcessContext::default();
    let proposal = propose(&sources, &process).unwrap();
    assert!(proposal.missing.is_empty() && !proposal.text.contains("hidden"), "{}", proposal.text);
    let config = loaded(&proposal, &process).unwrap();
    assert_eq!(config.environment.unwrap().file, Some(path));
}

#[test]
fn with_nothing_found_everything_is_to_be_filled_in() {
    let process = ProcessContext::default();
    let proposal = propose(&ProposalSources::default(), &process).unwrap();
    let missing = ["[Database] PasswordFile", "[Repository] FileSystemDirectory", "[Backup] StorageType"];
    assert_eq!(proposal.missing, missing);
    assert!(proposal.found.is_empty());
    assert!(loaded(&proposal, &process).is_err());
    // The keys in the comments are keys that there are.
    let open = |line: &str| line.strip_prefix(';').filter(|it| !it.starts_with(' ')).map(str::to_owned);
    let text: String = proposal.text.lines().map(|it| open(it).unwrap_or_else(|| it.to_owned()) + "\n").collect();
    let error = loaded(&Proposal { text, ..proposal }, &process).err().map(|it| it.to_string()).unwrap_or_default();
    assert!(!error.contains("unknown") && !error.contains("nearest"), "{error}");
}

/// The sample in the package is what `configure` writes where it finds nothing.
#[test]
fn the_packages_sample_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../cli/packaging/config.ini");
    let proposal = propose(&ProposalSources::default(), &ProcessContext::default()).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), proposal.text, "write it anew: {}", path.display());
}
