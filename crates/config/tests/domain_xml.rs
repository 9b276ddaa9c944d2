//! Payara's `domain.xml` through the front door: which stores it describes, and what is said of those that it does not
//! describe fully.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};

use dvb_config::{self as config, DomainStore, DomainXml, Policy, ProcessContext, StoreType, SwiftAuthType};
use tempfile::TempDir;

struct Domain(TempDir);

impl Domain {
    /// In `domain1/config`, as Payara has it.
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(folder.path().parent().unwrap()).unwrap();
        fs::write(folder.path(), text).unwrap();
        folder
    }

    /// With these options in `server-config`.
    fn of(options: &[&str]) -> Self {
        Self::with(&domain(&config("server-config", options)))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("domain1/config/domain.xml")
    }

    fn read(&self) -> DomainXml {
        config::read_domain_xml(&self.path(), &process()).unwrap_or_else(|it| panic!("{it}"))
    }
}

fn config(name: &str, options: &[&str]) -> String {
    let options: String = options.iter().map(|it| format!("\n<jvm-options>{it}</jvm-options>")).collect();
    format!("<config name=\"{name}\"><java-config debug-enabled=\"false\">{options}\n</java-config></config>")
}

fn domain(configs: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x -->\n<domain version=\"1\"><configs>{configs}</configs></domain>"
    )
}

fn process() -> ProcessContext {
    let variables = [("BUCKET", "from-env"), ("dataverse_files_s3_key", "mp-key"), ("SECRET_OF_S3", "mp-secret")];
    let variables = variables.map(|(name, it)| (name.to_owned(), it.to_owned())).into();
    ProcessContext { variables, ..ProcessContext::default() }
}

fn store<'a>(domain: &'a DomainXml, id: &str) -> &'a DomainStore {
    domain.stores.iter().find(|it| it.id.0 == id).unwrap_or_else(|| panic!("{id}: {domain:?}"))
}

fn ids(domain: &DomainXml) -> Vec<&str> {
    domain.stores.iter().map(|it| it.id.0.as_str()).collect()
}

fn described<'a>(domain: &'a DomainXml, id: &str) -> &'a StoreType {
    store(domain, id).described.as_ref().unwrap_or_else(|it| panic!("{id}: {it}"))
}

fn why(domain: &DomainXml, id: &str) -> String {
    store(domain, id).described.as_ref().unwrap_err().clone()
}

fn directory(domain: &DomainXml, id: &str) -> PathBuf {
    match described(domain, id) {
        StoreType::File { directory, .. } => directory.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stores_of_every_type_are_read() {
    let domain = Domain::of(&[
        "-Xmx2g",
        "-Ddataverse.fqdn=dv.example.edu",
        "-Ddataverse.files.storage-driver-id=Archive-2_x",
        "-Ddataverse.files.directory=/tmp/uploads",
        "-Ddataverse.files.file.type=file",
        "-Ddataverse.files.file.label=Local",
        "-Ddataverse.files.file.directory=/srv/R&amp;D &#x2f; files",
        "[17|]-Ddataverse.files.Archive-2_x.type=s3",
        "-Ddataverse.files.Archive-2_x.bucket-name=bucket",
        "-Ddataverse.files.Archive-2_x.custom-endpoint-url=https://s3.example.edu",
        "-Ddataverse.files.Archive-2_x.custom-endpoint-region=eu",
        "-Ddataverse.files.Archive-2_x.path-style-access=true",
        "-Ddataverse.files.Archive-2_x.access-key=AK",
        "<![CDATA[-Ddataverse.files.Archive-2_x.secret-key=a<b&c=d]]>",
        "-Ddataverse.files.swift.type=swift",
        "-Ddataverse.files.swift.defaultEndpoint=ep1",
        "-Ddataverse.files.swift.authType.ep1=keystone_v3",
        "-Ddataverse.files.swift.authUrl.ep1=https://k.example.edu/v3/auth/tokens",
        "-Ddataverse.files.swift.username.ep1=u",
        "-Ddataverse.files.swift.password.ep1=p",
        "-Ddataverse.files.swift.tenant.ep1=t",
        "-Ddataverse.files.trsa.type=remote",
        "-Ddataverse.files.trsa.base-url=https://data.example.org/d",
        "-Ddataverse.files.trsa.secret-key=${ALIAS=not-needed-for-a-reference}",
        "-Ddataverse.files.globus.type=globus",
        "-Ddataverse.files.globus.reference-endpoints-with-basepaths=d8c42580/base",
    ])
    .read();
    assert_eq!(domain.default_store.as_ref().unwrap().as_ref().unwrap().0, "Archive-2_x");
    assert_eq!(ids(&domain), ["Archive-2_x", "file", "globus", "swift", "trsa"]);
    assert_eq!(directory(&domain, "file"), Path::new("/srv/R&D / files"));
    let StoreType::S3 { bucket_name, profile, custom_endpoint_url, custom_endpoint_region, path_style_access, keys } =
        described(&domain, "Archive-2_x")
    else {
        panic!("{domain:?}")
    };
    assert_eq!((bucket_name.as_deref(), profile.as_deref(), *path_style_access), (Some("bucket"), None, true));
    assert_eq!(
        (custom_endpoint_url.as_deref(), custom_endpoint_region.as_deref()),
        (Some("https://s3.example.edu"), Some("eu"))
    );
    let keys = keys.as_ref().unwrap();
    assert_eq!((keys.access_key.as_str(), keys.secret_key.expose()), ("AK", "a<b&c=d"));
    let StoreType::Swift { default_endpoint, endpoints } = described(&domain, "swift") else { panic!("{domain:?}") };
    assert_eq!((default_endpoint.as_deref(), endpoints.len()), (Some("ep1"), 1));
    assert_eq!((endpoints[0].auth_type, endpoints[0].password.expose()), (SwiftAuthType::KeystoneV3, "p"));
    let StoreType::Remote { base_url, policy, .. } = described(&domain, "trsa") else { panic!("{domain:?}") };
    assert_eq!((base_url.as_deref(), *policy), (Some("https://data.example.org/d"), Policy::Reference));
    assert!(matches!(
        described(&domain, "globus"),
        StoreType::Globus { base_url: None, policy: Policy::Reference, .. }
    ));
}

#[test]
fn the_names_before_4_20_describe_the_three_stores_of_then() {
    let domain = Domain::of(&[
        "-Ddataverse.files.directory=${com.sun.aas.instanceRoot}/files",
        "-Ddataverse.files.storage-driver-id=s3",
        "-Ddataverse.files.s3-bucket-name=old",
        "-Ddataverse.files.s3-custom-endpoint-url=https://minio.example.edu",
        "-Ddataverse.files.s3-custom-endpoint-region=r",
        "-Ddataverse.files.s3-path-style-access=true",
        "-Ddataverse.files.swift.authUrl.ep=https://swift.example.edu/auth/v1.0",
        "-Ddataverse.files.swift.authType.ep=tempauth",
        "-Ddataverse.files.swift.username.ep=u",
        "-Ddataverse.files.swift.password.ep=p",
    ]);
    let found = domain.read();
    assert_eq!(ids(&found), ["file", "s3", "swift"]);
    assert_eq!(directory(&found, "file"), domain.0.path().join("domain1/files"));
    let StoreType::S3 { bucket_name, path_style_access: true, .. } = described(&found, "s3") else {
        panic!("{found:?}")
    };
    assert_eq!(bucket_name.as_deref(), Some("old"));
    let StoreType::Swift { endpoints, .. } = described(&found, "swift") else { panic!("{found:?}") };
    assert_eq!(endpoints[0].auth_type, SwiftAuthType::Basic);
    assert_eq!(found.default_store, Ok(None), "identifiers without a prefix were files then, whatever the option said");
}

#[test]
fn options_of_today_go_before_those_of_then() {
    let domain = Domain::of(&[
        "-Ddataverse.files.directory=/tmp/uploads",
        "-Ddataverse.files.file.type=file",
        "-Ddataverse.files.file.directory=/srv/first",
        "-Ddataverse.files.file.directory=/srv/last",
    ]);
    assert_eq!(directory(&domain.read(), "file"), Path::new("/srv/last"));
}

#[test]
fn the_configuration_of_the_server_goes_first() {
    let other = config(
        "default-config",
        &[
            "-Ddataverse.files.file.type=file",
            "-Ddataverse.files.file.directory=/of/default",
            "-Ddataverse.files.more.type=file",
            "-Ddataverse.files.more.directory=/of/more",
        ],
    );
    let server =
        config("server-config", &["-Ddataverse.files.file.type=file", "-Ddataverse.files.file.directory=/of/server"]);
    for configs in [format!("{other}{server}"), format!("{server}{other}")] {
        let found = Domain::with(&domain(&configs)).read();
        assert_eq!(directory(&found, "file"), Path::new("/of/server"));
        assert_eq!(directory(&found, "more"), Path::new("/of/more"));
    }
}

#[test]
fn references_are_resolved_where_they_can_be() {
    let text = domain(&config(
        "server-config",
        &[
            "-Dfiles.root=${base}/deep",
            "-Ddataverse.files.file.type=file",
            "-Ddataverse.files.file.directory=${files.root}/x",
            "-Ddataverse.files.s3.type=s3",
            "-Ddataverse.files.s3.bucket-name=a-${ENV=BUCKET}-z",
            "-Ddataverse.files.s3.profile=${ENV=NONE:usual}",
            "-Ddataverse.files.s3.access-key=${MPCONFIG=dataverse.files.s3.key}",
            "-Ddataverse.files.s3.secret-key=${MPCONFIG=secret.of-s3}",
        ],
    ));
    let text = text.replace("<configs>", "<system-property name=\"base\" value=\"/a&amp;b\"/><configs>");
    let found = Domain::with(&text).read();
    assert_eq!(directory(&found, "file"), Path::new("/a&b/deep/x"));
    let StoreType::S3 { bucket_name, profile, keys: Some(keys), .. } = described(&found, "s3") else {
        panic!("{found:?}")
    };
    assert_eq!((bucket_name.as_deref(), profile.as_deref()), (Some("a-from-env-z"), Some("usual")));
    assert_eq!((keys.access_key.as_str(), keys.secret_key.expose()), ("mp-key", "mp-secret"));
}

#[test]
fn what_cannot_be_resolved_is_named_and_the_store_stays() {
    let found = Domain::of(&[
        "-Ddataverse.files.s3.type=s3",
        "-Ddataverse.files.s3.access-key=AK",
        "-Ddataverse.files.s3.secret-key=${ALIAS=s3secret}",
        "-Ddataverse.files.swift.type=swift",
        "-Ddataverse.files.swift.authUrl.ep=https://swift.example.edu/auth/v1.0",
        "-Ddataverse.files.swift.authType.ep=basic",
        "-Ddataverse.files.swift.username.ep=${ENV=SWIFT_USER}",
        "-Ddataverse.files.swift.password.ep=${MPCONFIG=swift.pass-word}",
        "-Ddataverse.files.circle.type=file",
        "-Ddataverse.files.circle.directory=${a}",
        "-Da=${b}",
        "-Db=${a}",
    ])
    .read();
    for (id, parts) in [
        (
            "s3",
            vec![
                "dataverse.files.s3.secret-key is the password alias s3secret",
                "[Store s3]",
                "SecretKey or SecretKeyFile",
            ],
        ),
        (
            "swift",
            vec![
                "dataverse.files.swift.username.ep is taken from the environment variable SWIFT_USER",
                "MicroProfile's swift.pass-word, and SWIFT_PASS_WORD is not set",
                "Password.ep or PasswordFile.ep",
            ],
        ),
        ("circle", vec!["refers to itself", "[Store circle]"]),
    ] {
        let why = why(&found, id);
        for part in parts {
            assert!(why.contains(part), "{part:?} is missing: {why}");
        }
    }
    assert_eq!(store(&found, "s3").type_name, "s3");
}

#[test]
fn what_is_missing_is_named_and_the_store_stays() {
    let found = Domain::of(&[
        "-Ddataverse.files.bare.type=file",
        "-Ddataverse.files.untyped.directory=/x",
        "-Ddataverse.files.odd.type=tape",
        "-Ddataverse.files.half.type=s3",
        "-Ddataverse.files.half.secret-key=swordfish",
        "-Ddataverse.files.none.type=swift",
    ])
    .read();
    for (id, part) in [
        ("bare", "Directory is missing"),
        ("untyped", "Type is missing"),
        ("odd", "cannot use \"tape\""),
        ("half", "AccessKey is missing"),
        ("none", "AuthUrl.EP is missing"),
    ] {
        let why = why(&found, id);
        assert!(why.contains(part) && why.contains("domain.xml") && !why.contains("swordfish"), "{id}: {why}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_where_and_why() {
    let one = domain(&config("server-config", &["-Ddataverse.files.file.type=file"]));
    for (text, part) in [
        (String::new(), "line 1: it is empty"),
        ("not XML".to_owned(), "line 1: it holds text outside"),
        ("<html>\n</html>".to_owned(), "it begins with <html>"),
        (one.replace("</domain>", ""), "line 5: it ends within <domain>"),
        (one.replace("</java-config>", ""), "line 5: it is not well-formed XML"),
        (one.replace("=file<", "=&nbsp;<"), "line 4: it uses the entity &nbsp;"),
        (domain(&config("server-config", &["-Xmx1g"])), "describe no store"),
    ] {
        let domain = Domain::with(&text);
        let error = config::read_domain_xml(&domain.path(), &process()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("domain.xml"), "{part:?}: {error}\n{text}");
    }
    let nowhere = config::read_domain_xml(Path::new("/nowhere/domain.xml"), &process()).unwrap_err().to_string();
    assert!(nowhere.contains("cannot read /nowhere/domain.xml"), "{nowhere}");
}
