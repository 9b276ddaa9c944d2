//! From nothing to the first run, by what each command says comes next.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::site::{Site, done, program};

/// The `domain.xml` of a Payara that runs this Dataverse.
fn domain(site: &Site) -> String {
    let database = &site.database;
    let options = [
        ("files.file.type", "file".to_owned()),
        ("files.file.directory", site.path("files").display().to_string()),
        ("files.storage-driver-id", "file".to_owned()),
        ("db.host", database.host.clone()),
        ("db.port", database.port.to_string()),
        ("db.name", database.name.clone()),
        ("db.user", database.user.clone()),
        ("db.password", "any".to_owned()),
    ];
    let options = options.map(|(name, it)| format!("<jvm-options>-Ddataverse.{name}={it}</jvm-options>\n"));
    let options = options.concat();
    format!(
        "<domain><configs><config name=\"server-config\"><java-config>{options}</java-config></config></configs></domain>"
    )
}

#[test]
fn each_command_says_what_comes_next_until_everything_is_safe() {
    let site = Site::new();
    let (xml, config) = (site.path("domain.xml"), site.path("new.ini"));
    fs::write(&xml, domain(&site)).unwrap();
    let new = config.to_str().unwrap();
    let copies = site.path("new-copies");
    let call = |words: &[&str]| done(program().args(["--config", new]).args(words));

    let words = ["configure", "--domain-xml", xml.to_str().unwrap(), "--to", copies.to_str().unwrap(), "--output", new];
    let written = done(program().args(words)).expect(0).says(&["found:", "stores file", " check"]);
    assert!(!written.out.contains("missing"), "{written}");
    assert_eq!(fs::metadata(&config).unwrap().permissions().mode() & 0o777, 0o600);

    // The ledger's usual place is the system's.
    let ledger = format!("BackupDatabase: sqlite:{}\n[Repository]\n", site.path("new.db").display());
    let text = fs::read_to_string(&config).unwrap().replace("[Repository]\n", &ledger);
    fs::write(&config, text).unwrap();
    assert!(call(&["check"]).expect(2).out.ends_with("Next: dataverse-backup init\n"));
    call(&["init"]).expect(0);
    assert!(call(&["check"]).expect(0).out.ends_with("Next: dataverse-backup run\n"));
    call(&["run"]).expect(0);
    call(&["status"]).expect(0);

    fs::rename(site.path("files"), site.path("elsewhere")).unwrap();
    let failed = call(&["check"]);
    assert!(failed.out.ends_with("Next: correct this, then check again: store file\n"), "{failed}");
    assert!(!call(&["-q", "check"]).out.contains("Next:"));
}

#[test]
fn a_configuration_that_is_there_is_never_overwritten() {
    let folder = dvb_testkit::temp_folder("configure");
    let path = folder.path().join("config.ini");
    let words = ["configure", "--to", "/srv/copies", "--output", path.to_str().unwrap()];
    done(program().args(words)).expect(0).says(&["missing:", "[Database] PasswordFile", "fill in what is missing"]);
    let text = fs::read_to_string(&path).unwrap();
    done(program().args(words)).expect(2).says(&["is there already"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let object =
        done(program().args(["--json", "configure", "--output"]).arg(folder.path().join("other.ini"))).expect(0);
    assert_eq!(object.json()["missing"].as_array().unwrap().len(), 3);
    for word in ["srv", "ssh://host/srv"] {
        done(program().args(["configure", "--to", word])).expect(2).says(&["ssh://USER@HOST"]);
    }
    done(program().args(["configure", "--email", "a@b c"])).expect(2).says(&["is not a mail address"]);
}
