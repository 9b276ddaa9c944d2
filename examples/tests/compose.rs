//! The example with containers: Compose can read it, and the backup finds Dataverse's database and stores in its
//! environment. No container is started: the images are other people's, and large.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dvb_config::{CatalogueSource, ProcessContext};
use serde_json::Value;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compose")
}

/// What Compose makes of the file, with variables from a file.
fn compose(variables: &Path) -> Output {
    Command::new("docker-compose")
        .current_dir(example())
        .arg("--env-file")
        .arg(variables)
        .args(["--profile", "backup", "config"])
        .output()
        .expect("docker-compose: ./.ci/packages test installs it")
}

fn services() -> Value {
    let output = compose(&example().join("env.example"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.is_empty(), "{complaints}");
    let yaml = tempfile::NamedTempFile::new().unwrap();
    fs::write(yaml.path(), &output.stdout).unwrap();
    let to_json = "import json, sys, yaml; json.dump(yaml.safe_load(open(sys.argv[1])), sys.stdout)";
    let json = Command::new("/usr/bin/python3").args(["-c", to_json]).arg(yaml.path()).output().unwrap();
    let read: Value = serde_json::from_slice(&json.stdout).unwrap();
    read["services"].clone()
}

#[test]
fn the_backup_finds_the_database_and_the_stores_in_its_environment() {
    let services = services();
    let environment = services["backup"]["environment"].as_object().unwrap();
    let variables =
        environment.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.ini");
    fs::copy(example().join("backup/config.ini"), &file).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = dvb_config::load(&file, &ProcessContext { variables, ..Default::default() }).unwrap();

    let CatalogueSource::Postgres(database) = &config.database.catalogue else { panic!("{:?}", config.database) };
    assert_eq!((database.host.as_str(), database.database.as_str()), ("postgres", "dataverse"));
    let stores: Vec<_> = config.environment_stores.iter().map(|it| format!("{:?}", it.store)).collect();
    assert_eq!(stores.len(), 2, "{stores:#?}");
    let is_told = |word: &str| stores.iter().any(|it| it.contains(word));
    assert!(is_told("/dv/store") && is_told("https://s3.example.edu"), "{stores:#?}");
}

/// They must not drift apart: what Dataverse writes to is what the backup reads.
#[test]
fn the_backup_has_what_dataverse_has() {
    let services = services();
    let (dataverse, backup) = (&services["dataverse"], &services["backup"]);
    let shared = |name: &String| name.contains("_files_") || name.contains("_FILES_") || name.contains("_DB_");
    let mut seen = 0;
    for (name, value) in dataverse["environment"].as_object().unwrap().iter().filter(|(name, _)| shared(name)) {
        assert_eq!(&backup["environment"][name], value, "{name}");
        seen += 1;
    }
    assert!(seen > 10, "{seen}");
    let mounts = |service: &Value| {
        let volumes = service["volumes"].as_array().unwrap().iter();
        volumes.map(|it| it.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(mounts(dataverse).contains(&"dataverse-files:/dv:rw".to_owned()), "{:?}", mounts(dataverse));
    assert!(mounts(backup).contains(&"dataverse-files:/dv:ro".to_owned()), "{:?}", mounts(backup));
}

#[test]
fn a_variable_that_is_missing_is_asked_for() {
    let nothing = tempfile::NamedTempFile::new().unwrap();
    let output = compose(nothing.path());
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("write it into .env"), "{output:?}");
}

/// No builder of images is at hand in tests: its instructions are looked at as text.
#[test]
fn the_image_is_made_of_the_package() {
    let text = fs::read_to_string(example().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let instructions: Vec<_> = text
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'))
        .map(|it| it.split_once(' ').unwrap())
        .collect();
    assert_eq!(instructions[0].0, "FROM");
    for (name, rest) in &instructions {
        match *name {
            "ENTRYPOINT" | "CMD" => drop(serde_json::from_str::<Vec<String>>(rest).unwrap()),
            "FROM" | "RUN" | "COPY" | "USER" | "WORKDIR" | "VOLUME" => {}
            other => panic!("{other} is no instruction that is known here"),
        }
    }
    assert!(instructions.contains(&("COPY", "dataverse-backup_*.deb /tmp/")));
    // Its account is there before the package is installed, which then makes none.
    let at = |word: &str| instructions.iter().position(|(_, rest)| rest.contains(word)).unwrap();
    assert!(at("useradd --uid 1000") < at("apt-get install"));
}
