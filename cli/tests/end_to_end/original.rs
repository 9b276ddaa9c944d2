//! An installation of the original script, taken over as it stands.

use std::fs;

use dvb_testkit::dataverse::{DataTable, Schema, Stored, World};
use dvb_testkit::{files, postgres, temp_folder};

use crate::installation::{Installation, Ledger, sshd};

/// The table as the original's `backupdb.sql` makes it.
const TABLE: &str = "CREATE TABLE datafilestatus (id SERIAL PRIMARY KEY, datasetidentifier varchar(255),
    storageidentifier varchar(255) UNIQUE, status varchar(255), createdate timestamp, lastbackuptime timestamp,
    lastbackupmethod varchar(16));";

#[test]
fn its_config_its_table_and_its_archive_go_on_as_they_are() {
    let account = sshd().shell().fresh("original");
    let folder = temp_folder("e2e");
    let mut world = World::new(Schema::V4_8, &folder.path().join("files"));
    let dataset = world.add_dataset("10.5072", "FK2/OLD").id;
    for n in 0..3 {
        world.add_file(dataset, &World::object_name(n), format!("content {n}").as_bytes());
    }
    let identifier = World::object_name(9);
    let key = world.add_object(dataset, &identifier, Stored::Bytes(b"a\tb\n".to_vec()));
    world.add_object(dataset, &format!("{identifier}.orig"), Stored::Bytes(b"a,b\n".to_vec()));
    let file = world.add_row(dataset, Some(&identifier), b"a,b\n");
    file.tables.push(DataTable { original_format: Some("text/csv".into()), ..DataTable::default() });
    file.copies = vec![(format!("{key}.orig"), b"a,b\n".to_vec()), (key, b"a\tb\n".to_vec())];
    let it = Installation::new(world, Ledger::Postgres, &account, folder);
    let ledger = it.ledger.as_ref().unwrap();
    ledger.execute(TABLE);
    for file in &it.world.files {
        let (key, bytes) = &file.copies[0];
        files::write(&it.local, key.trim_end_matches(".orig"), bytes);
        ledger.execute(&format!(
            "INSERT INTO datafilestatus (datasetidentifier, storageidentifier, status, createdate, lastbackupmethod)
             VALUES ('10.5072/FK2/OLD', '{}', 'OK', '2018-01-02', 'ssh')",
            file.storage_identifier.as_ref().unwrap()
        ));
    }
    let handed_over = std::process::Command::new("chown")
        .arg("-R")
        .arg(format!("{}:{}", account.owner.0, account.owner.1))
        .arg(&it.local)
        .status();
    assert!(handed_over.unwrap().success());

    // The key and the host's key are where ssh has them: the original's configuration names neither.
    let ssh = it.folder.path().join(".ssh");
    fs::create_dir(&ssh).unwrap();
    fs::copy(&account.key, ssh.join("id_ed25519")).unwrap();
    fs::copy(&account.known_hosts, ssh.join("known_hosts")).unwrap();
    let database = &it.database;
    it.write(
        "config.ini",
        &format!(
            "[Database]\n; the database can run on a remote server\nHost: {}\nPort: {}\nDatabase: {}\nUsername: {}\n\
             Password: {}\nBackupDatabase: {}\n\n[Repository]\n; configuration for files stored on the filesystem\n\n\
             FileSystemDirectory: {}\n\n[Backup]\nStorageType: ssh\nSshHost: {}\nSshPort: {}\nSshUsername: {}\n\
             BackupDirectory: {}\n\n;StorageType: swift\nSwiftAuthUrl: https://something.dataverse.edu/swift/v2.0/tokens\n\
             SwiftAuthVersion: 2\nSwiftUser: xxx\nSwiftKey: yyy\n; Note that the 'tenant' setting is only needed for Auth v.1 \
             and 2. \nSwiftTenant: zzz\nSwiftEndPoint: https://something.dataverse.edu/swift/v1\n",
            database.host,
            database.port,
            database.name,
            database.user,
            postgres::PASSWORD,
            ledger.name,
            it.world.stores[0].directory.display(),
            account.host,
            account.port,
            account.user,
            account.root
        ),
    );
    it.init();
    let (summary, code) = it.json(&["run"]);
    assert_eq!((code, summary["files"]["adopted"].as_u64(), summary["bytes_copied"].as_u64()), (0, Some(4), Some(4)));
    files::assert_same(&it.world.expected_copies(), &it.copies());
    let row = ledger.client().query_one(
        "SELECT status FROM datafilestatus WHERE datasetidentifier = '10.5072/FK2/OLD' AND storageidentifier = $1",
        &[&identifier],
    );
    assert_eq!(row.unwrap().get::<_, String>(0), "OK");
}
