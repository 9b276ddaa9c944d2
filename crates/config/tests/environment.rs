//! A container's environment through the front door: which stores and which login it gives.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use dvb_config::{self as config, CatalogueSource, Config, ConfigError, FoundStore, Giver, ProcessContext, StoreType};
use tempfile::TempDir;

struct ConfigFolder(TempDir);

impl ConfigFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, sections: &str, process: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let text = format!("{sections}\n[Backup]\nStorageType: directory\nBackupDirectory: /copies\n");
        let path = self.write("config.ini", &text, 0o600);
        let variables = process.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        config::load(&path, &ProcessContext { variables, ..ProcessContext::default() })
    }

    /// With an env file that nobody else can read.
    fn with(&self, env_file: &str, sections: &str) -> Config {
        self.write("dataverse.env", env_file, 0o600);
        let sections = format!("[Repository]\nEnvironment: dataverse.env\n{sections}");
        self.load(&sections, &[]).unwrap_or_else(|it| panic!("{it}"))
    }
}

fn store<'a>(config: &'a Config, id: &str) -> &'a FoundStore {
    let found = config.environment_stores.iter().find(|it| it.store.id.0 == id);
    found.unwrap_or_else(|| panic!("{id}: {:?}", config.environment_stores))
}

fn directory(config: &Config, id: &str) -> String {
    match &store(config, id).store.described {
        Ok(StoreType::File { directory, .. }) => directory.display().to_string(),
        other => panic!("{id}: {other:?}"),
    }
}

fn login(config: &Config) -> (String, u16, String, String, Option<String>) {
    let CatalogueSource::Postgres(it) = &config.database.catalogue else { panic!("{:?}", config.database) };
    (it.host.clone(), it.port, it.database.clone(), it.username.clone(), it.password.clone())
}

fn text(it: &str) -> String {
    it.to_owned()
}

#[test]
fn variables_are_options_as_the_image_makes_them() {
    let place = ConfigFolder::new();
    let config = place.with(
        "# stores\nexport dataverse_files_storage__driver__id=s3prod\n\
         dataverse_files_s3prod_type=s3\ndataverse_files_s3prod_label='S3'\n\
         dataverse_files_s3prod_bucket__name=\"files\" # the bucket\n\
         dataverse_files_s3prod_custom__endpoint__url=https://s3.example.org\n\
         dataverse_files_s3prod_path__style__access=true\n\
         dataverse_files_s3prod_access__key=AK\nDATAVERSE_FILES_S3PROD_SECRET_KEY=SK\n\
         dataverse_files_Archive__2_type=file\ndataverse_files_Archive__2_directory=${BASE:-/srv}/old\n\
         JVM_ARGS=-Xmx2g -Ddataverse.files.third.type=file -Ddataverse.files.third.directory=/third -Dother=1\n\
         dataverse_fqdn=x\n",
        "",
    );
    assert_eq!(config.environment.as_ref().unwrap().default_store().unwrap().unwrap().0, "s3prod");
    let ids: Vec<&str> = config.environment_stores.iter().map(|it| it.store.id.0.as_str()).collect();
    assert_eq!(ids, ["Archive-2", "s3prod", "third"], "the image's own store is not used");
    let Ok(StoreType::S3 { bucket_name, custom_endpoint_url, path_style_access, keys, .. }) =
        &store(&config, "s3prod").store.described
    else {
        panic!("{config:?}")
    };
    assert_eq!(
        (bucket_name.as_deref(), custom_endpoint_url.as_deref()),
        (Some("files"), Some("https://s3.example.org"))
    );
    let keys = keys.as_ref().unwrap();
    assert!(*path_style_access && keys.access_key == "AK" && keys.secret_key.expose() == "SK");
    assert_eq!((directory(&config, "Archive-2"), directory(&config, "third")), (text("/srv/old"), text("/third")));
    assert!(config.environment_stores.iter().all(|it| it.giver == Giver::File));
    assert!(!format!("{config:?}").contains("SK"), "a secret is printed");
}

#[test]
fn the_image_has_a_store_and_a_login_without_a_setting() {
    let place = ConfigFolder::new();
    let config = place.with("X=1\n", "");
    assert_eq!(config.environment.as_ref().unwrap().default_store().unwrap().unwrap().0, "local");
    assert_eq!((directory(&config, "local"), store(&config, "local").giver), (text("/dv/store"), Giver::Default));
    assert_eq!(login(&config), (text("localhost"), 5432, text("dataverse"), text("dataverse"), None));

    let config = place.with("STORAGE_DIR=/data\ndataverse_files_directory=/uploads\n", "");
    assert_eq!(directory(&config, "local"), "/data/store");
    assert!(config.environment_stores.iter().all(|it| it.store.id.0 == "local"), "uploads are no store");
    let config = place.with("dataverse_files_local_directory=${STORAGE_DIR}/elsewhere\n", "");
    assert_eq!(directory(&config, "local"), "/dv/elsewhere");
}

#[test]
fn a_reference_to_nothing_leaves_its_store_in_the_list() {
    let config = ConfigFolder::new()
        .with("dataverse_files_x_type=file\ndataverse_files_x_directory=${NOWHERE}/x\nA='${B}'\n", "");
    let why = store(&config, "x").store.described.clone().unwrap_err();
    assert!(why.contains("NOWHERE") && why.contains("[Store x]"), "{why}");
}

#[test]
fn the_login_is_completed_and_its_password_goes_with_its_user() {
    let place = ConfigFolder::new();
    let env =
        "DATAVERSE_DB_HOST=postgres\nDATAVERSE_DB_USER=dv\nDATAVERSE_DB_PASSWORD=secret\ndataverse_db_name=dvndb\n";
    let all = (text("postgres"), 5432, text("dvndb"), text("dv"), Some(text("secret")));
    assert_eq!(login(&place.with(env, "")), all);
    let here = place.with(env, "[Database]\nHost: 127.0.0.1\nPort: 5433\n");
    assert_eq!(login(&here), (text("127.0.0.1"), 5433, all.2, all.3, all.4));
    let noted: Vec<&str> = here.environment.as_ref().unwrap().database.iter().map(|it| it.0).collect();
    assert_eq!(noted, ["Password", "Database", "Username"]);
    let other = place.with(env, "[Database]\nUsername: backup\n");
    assert_eq!(login(&other).4, None, "another user's password is not tried");
    let own = place.with(env, "[Database]\nPassword: mine\n");
    assert_eq!(login(&own).4, Some(text("mine")));
}

#[test]
fn secrets_lie_in_a_folder_too() {
    let place = ConfigFolder::new();
    let secrets = place.0.path().join("secrets");
    place.write("secrets/dataverse.db.password", "one\n", 0o444);
    place.write("secrets/dataverse/files/s3/secret-key", "two", 0o444);
    place.write("secrets/dataverse/db/user", "dvn", 0o444);
    let config = place.with(
        &format!(
            "SECRETS_DIR={}\ndataverse_files_s3_type=s3\ndataverse_files_s3_access__key=AK\ndataverse_files_s3_bucket__name=b",
            secrets.display()
        ),
        "",
    );
    assert_eq!((login(&config).3, login(&config).4), (text("dvn"), Some(text("one"))));
    let Ok(StoreType::S3 { keys: Some(keys), .. }) = &store(&config, "s3").store.described else {
        panic!("{config:?}")
    };
    assert_eq!(keys.secret_key.expose(), "two");
}

#[test]
fn a_secret_that_cannot_be_read_is_not_one_that_is_not_there() {
    let place = ConfigFolder::new();
    // A link to itself: root may read whatever there is to be read.
    let secrets = place.0.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    std::os::unix::fs::symlink("dataverse.db.password", secrets.join("dataverse.db.password")).unwrap();
    place.write("e", &format!("SECRETS_DIR={}\nDATAVERSE_DB_HOST=h\n", secrets.display()), 0o600);
    let refused = place.load("[Repository]\nEnvironment: e\n", &[]).unwrap_err();
    let text = format!("{refused}");
    assert!(text.contains("secrets/dataverse.db.password, which cannot be read"), "{text}");
    place.write("e", "SECRETS_DIR=${NOWHERE}\nDATAVERSE_DB_HOST=h\n", 0o600);
    let refused = place.load("[Repository]\nEnvironment: e\n", &[]).unwrap_err();
    assert!(format!("{refused}").contains("SECRETS_DIR, which refers to NOWHERE"), "{refused}");
}

#[test]
fn a_default_store_that_cannot_be_told_is_not_the_images_own() {
    let place = ConfigFolder::new();
    let config = place.with("dataverse_files_storage__driver__id=${WHICH}\n", "");
    let why = config.environment.as_ref().unwrap().default_store().unwrap_err();
    assert!(why.contains("dataverse.files.storage-driver-id refers to WHICH, which is not set"), "{why}");
}

#[test]
fn the_process_has_an_environment_too() {
    let place = ConfigFolder::new();
    let process =
        [("DATAVERSE_DB_HOST", "db"), ("dataverse_files_a_type", "file"), ("dataverse_files_a_directory", "/a")];
    let config = place.load("", &process).unwrap();
    assert_eq!(
        (login(&config).0, directory(&config, "a"), store(&config, "a").giver),
        (text("db"), text("/a"), Giver::Process)
    );
    assert_eq!(directory(&config, "local"), "/dv/store");
    // The file goes before it, variable by variable.
    place.write("e", "DATAVERSE_DB_HOST=other\n", 0o600);
    let both = place.load("[Repository]\nEnvironment: e\n", &process).unwrap();
    assert_eq!((login(&both).0, directory(&both, "a")), (text("other"), text("/a")));
    // What describes its stores itself gets none that nobody named.
    let database = "[Database]\nDatabase: d\nUsername: u\n";
    let named = place.load(&format!("{database}[Repository]\nFileSystemDirectory: /files\n"), &process).unwrap();
    assert_eq!(named.environment.as_ref().unwrap().default_store(), Ok(None));
    assert_eq!(named.environment_stores.len(), 1);
    // Variables of others, and this program's own, say nothing of a Dataverse.
    let none = [("DATAVERSE_BACKUP_CONFIG", "x"), ("JVM_ARGS", "-Xmx1g"), ("STORAGE_DIR", "/x")];
    assert!(place.load(database, &none).unwrap().environment.is_none());
    assert!(matches!(place.load("", &none), Err(ConfigError::Invalid { .. })));
}

#[test]
fn a_file_with_secrets_is_for_its_owner_alone() {
    let place = ConfigFolder::new();
    let sections = "[Repository]\nEnvironment: e\n";
    for (env, is_refused) in [
        ("DATAVERSE_DB_PASSWORD=x\n", true),
        ("dataverse_files_s_secret__key=x\n", true),
        ("JVM_ARGS=-Ddataverse.db.password=x\n", true),
        ("DATAVERSE_DB_PASSWORD=\nSECRETS_DIR=/x\nDATAVERSE_DB_HOST=h\n", false),
    ] {
        place.write("e", env, 0o640);
        let loaded = place.load(sections, &[]);
        assert_eq!(matches!(&loaded, Err(ConfigError::Exposed { files, .. }) if files.len() == 1), is_refused, "{env}");
        place.write("e", env, 0o600);
        place.load(sections, &[]).unwrap();
    }
}

#[test]
fn what_is_wrong_with_the_file_is_said_without_quoting_it() {
    let place = ConfigFolder::new();
    let sections = "[Repository]\nEnvironment: e\n";
    let told = |place: &ConfigFolder| place.load(sections, &[]).unwrap_err().to_string();
    assert!(told(&place).contains("Environment: ") && told(&place).contains("cannot read it"), "{}", told(&place));
    place.write("e", "A=1\npass word\n", 0o600);
    assert!(told(&place).contains("line 2") && !told(&place).contains("pass word"), "{}", told(&place));
    place.write("e", "DATAVERSE_DB_PORT=many\n", 0o600);
    assert!(told(&place).contains("dataverse.db.port"), "{}", told(&place));
}
