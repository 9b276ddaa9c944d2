//! Names that only Java's `Paths.get` makes a path of, and links inside a store: what Dataverse finds, a run finds.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use dvb_model::Status;

use crate::bench::Bench;

fn assert_all_copied(bench: &Bench) {
    let summary = bench.run();
    assert_eq!((summary.exit_code, summary.files.failed), (0, 0), "{summary:#?}");
    assert_eq!(bench.copies(), expected(bench));
    assert_eq!(bench.run().files.unchanged, summary.files.catalogued);
}

/// The keys are the clean ones, whatever the rows say.
fn expected(bench: &Bench) -> BTreeMap<String, Vec<u8>> {
    bench.world.expected_copies()
}

fn rename_objects(bench: &Bench, name: &str) {
    // As before Dataverse 5.12, which let `..` in.
    bench.database.execute("ALTER TABLE dvobject DROP CONSTRAINT IF EXISTS chk_dvobject_storageidentifier");
    bench.database.execute(&format!("UPDATE dvobject SET storageidentifier = {name} WHERE dtype = 'DataFile'"));
}

fn rename_dataset(bench: &Bench, authority: &str, identifier: &str) {
    bench.database.execute(&format!(
        "UPDATE dvobject SET authority = '{authority}', identifier = '{identifier}' WHERE dtype = 'Dataset'"
    ));
}

#[test]
fn slashes_that_mean_nothing_in_a_folder_lead_where_dataverse_finds_the_file() {
    for (authority, identifier) in [
        ("10.5072", "/FK2/ONE"),
        ("10.5072", "FK2//ONE"),
        ("10.5072/", "//FK2/./ONE/"),
        ("", "10.5072/FK2/ONE"),
        ("10.5072/FK2/ONE", ""),
        ("/10.5072/FK2", "ONE"),
    ] {
        let bench = Bench::of_files(2);
        rename_dataset(&bench, authority, identifier);
        assert_all_copied(&bench);
    }
    for name in [
        "replace(storageidentifier, '://', ':///')",
        "replace(storageidentifier, '://', ':////')",
        "storageidentifier || '/'",
        "replace(storageidentifier, '://', '://./')",
    ] {
        let bench = Bench::of_files(2);
        rename_objects(&bench, name);
        assert_all_copied(&bench);
        // Its place there is found as well.
        let lost = bench.source_of(&bench.world.files[0].copies[0].0);
        fs::remove_file(&lost).unwrap();
        let restored = bench.give_in_place(&bench.missing());
        assert_eq!((restored.exit_code, restored.objects.restored), (0, 1), "{restored:#?}");
        assert_eq!(fs::read(lost).unwrap(), b"content 0");
    }
}

#[test]
fn dots_that_stay_in_the_store_lead_where_the_file_system_finds_the_file() {
    for (authority, identifier) in
        [("10.5072", "x/../FK2/ONE"), ("10.5072", "../10.5072/FK2/ONE"), ("a/..", "10.5072/FK2/ONE")]
    {
        let bench = Bench::of_files(2);
        rename_dataset(&bench, authority, identifier);
        assert_all_copied(&bench);
    }
    for (name, folder) in [
        ("replace(storageidentifier, '://', '://../ONE/')", ""),
        ("replace(storageidentifier, '://', '://../../../10.5072/FK2/ONE/')", ""),
        ("replace(storageidentifier, '://', '://sub/../')", "10.5072/FK2/ONE/sub"),
    ] {
        let bench = Bench::of_files(2);
        rename_objects(&bench, name);
        if !folder.is_empty() {
            // What the file system needs, Dataverse needs.
            let summary = bench.run();
            assert!(summary.failures.iter().all(|it| it.status == Status::FailRead), "{summary:#?}");
            assert_eq!(summary.files.failed, 2);
            fs::create_dir(bench.source_of(folder)).unwrap();
        }
        assert_all_copied(&bench);
        let lost = bench.source_of(&bench.world.files[0].copies[0].0);
        fs::remove_file(&lost).unwrap();
        let restored = bench.give_in_place(&bench.missing());
        assert_eq!((restored.exit_code, restored.objects.restored), (0, 1), "{restored:#?}");
        assert_eq!(fs::read(lost).unwrap(), b"content 0");
    }
}

#[test]
fn nothing_leads_out_of_the_root() {
    let bench = Bench::of_files(1);
    fs::write(bench.folder.path().join("secret"), "secret").unwrap();
    for (authority, identifier) in [("10.5072", "../../secret"), ("..", "/secret"), ("/..", ""), ("", ""), ("/", "/")] {
        rename_dataset(&bench, authority, identifier);
        let summary = bench.run();
        assert_eq!(summary.failures[0].status, Status::FailRead, "{authority:?} {identifier:?}: {summary:#?}");
        assert!(bench.copies().is_empty());
    }
    rename_dataset(&bench, "10.5072", "FK2/ONE");
    // What names the folder itself names no object, however it is written.
    for name in ["file://", "file:///", "file://./", "file:///.", "file://x/.."] {
        rename_objects(&bench, &format!("'{name}'"));
        let summary = bench.run();
        assert_eq!((summary.files.not_covered, summary.files.failed), (1, 0), "{name}: {summary:#?}");
        assert!(bench.copies().is_empty());
    }
    for name in ["file:///etc/passwd", "file://../../../../secret", "file://a/../../../../../secret"] {
        rename_objects(&bench, &format!("'{name}'"));
        let summary = bench.run();
        assert_eq!(summary.failures[0].status, Status::FailRead, "{name}: {summary:#?}");
        assert!(bench.copies().is_empty());
    }
}

#[test]
fn a_dataset_that_moved_and_left_an_absolute_link_is_copied() {
    let bench = Bench::of_files(2);
    let old = bench.source_of("10.5072/FK2/ONE");
    let new = bench.source_of("10.5072/FK2/NEW");
    fs::rename(&old, &new).unwrap();
    symlink(&new, &old).unwrap();
    assert_all_copied(&bench);
}
