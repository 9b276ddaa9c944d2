//! A dataset and a data file by any of their names, in every command that takes one.

use crate::site::Site;

/// A site whose dataset had another PID before, and whose first data file has one of its own.
fn named() -> Site {
    let site = Site::with(|world, dataset| {
        let second = world.add_dataset("10.5072", "FK2/OTHER").id;
        world.add_file(second, "file://18f3a000000-00000000aaaa", b"of another");
        assert_ne!(dataset, second);
    });
    let (dataset, file) = (site.world.datasets[0].id, site.world.files[0].id);
    site.database.execute(&format!(
        "INSERT INTO alternativepersistentidentifier (dvobject_id, protocol, authority, identifier, storagelocationdesignator)
             VALUES ({dataset}, 'hdl', '1902.1', '00012', false);
         UPDATE dvobject SET protocol = 'doi', authority = '10.5072', separator = '/', identifier = 'FK2/ABC/ONE'
             WHERE id = {file}"
    ));
    site.call(&["init"]).expect(0);
    site
}

#[test]
fn a_dataset_is_found_by_any_of_its_names() {
    let site = named();
    for name in [
        "doi:10.5072/FK2/ABC",
        "DOI:10.5072/fk2/abc",
        "10.5072/FK2/ABC",
        " 10.5072/FK2/ABC/ ",
        "doi:10.5072%2FFK2%2FABC",
        "https://doi.org/10.5072/FK2/ABC",
        "https://dv.example.edu/dataset.xhtml?persistentId=doi:10.5072/FK2/ABC&version=DRAFT",
        "hdl:1902.1/00012",
        "http://hdl.handle.net/1902.1/00012",
        "https://doi.org/doi:10.5072/FK2/ABC",
    ] {
        let done = site.call(&["run", "--json", "--dataset", name]).expect(0);
        assert_eq!(done.json()["files"]["catalogued"], 3, "{name}: {done}");
        let is_said = done.err.contains("is taken for dataset doi:10.5072/FK2/ABC");
        assert_eq!(is_said, name != "doi:10.5072/FK2/ABC", "{name}: {done}");
        let status = site.call(&["status", "--json", "--dataset", name]).expect(0).json();
        assert_eq!(status["destinations"][0]["data_files"].as_array().unwrap().len(), 3, "{name}: {status:#}");
        assert_eq!(site.call(&["verify", "--json", "--dataset", name]).expect(0).json()["copies"]["good"], 3, "{name}");
        assert_eq!(site.call(&["audit", "--json", "--dataset", name]).expect(0).json()["files"]["good"], 3, "{name}");
        site.call(&["repair", "--json", "--dataset", name]).expect(0);
    }
    site.call(&["run"]).expect(0);
    for (number, more) in [&[][..], &["--from-snapshot"]].into_iter().enumerate() {
        let out = site.path(&format!("out{number}")).display().to_string();
        let words = [&["restore", "--json", "--dataset", "HDL:1902.1/00012", "--to", &out][..], more].concat();
        assert_eq!(site.call(&words).expect(0).json()["objects"]["restored"], 3);
    }
    let words = ["verify", "--json", "--from-snapshot", "--dataset", "1902.1/00012"];
    assert_eq!(site.call(&words).expect(0).json()["copies"]["good"], 3);
}

#[test]
fn a_data_file_is_found_by_its_own_pid_and_by_its_page() {
    let site = named();
    let id = site.world.files[0].id.to_string();
    let page = format!("https://dv.example.edu/file.xhtml?fileId={id}&version=1.0");
    for (option, name) in [
        ("--dataset", "doi:10.5072/FK2/ABC/ONE"),
        ("--dataset", "https://dv.example.edu/file.xhtml?persistentId=doi:10.5072/fk2/abc/one"),
        ("--dataset", page.as_str()),
        ("--file", page.as_str()),
        ("--file", "10.5072/FK2/ABC/ONE"),
        ("--file", id.as_str()),
    ] {
        let done = site.call(&["run", "--json", option, name]).expect(0);
        assert_eq!(done.json()["files"]["catalogued"], 1, "{name}: {done}");
        assert_eq!(done.err.contains(&format!("is taken for data file {id}")), name != id, "{name}: {done}");
        let status = site.call(&["status", "--json", option, name]).expect(0).json();
        assert_eq!(status["destinations"][0]["data_files"][0]["data_file_id"].to_string(), id, "{name}: {status:#}");
    }
    // A dataset and a file of another one: both.
    let words = ["run", "--json", "--dataset", "10.5072/FK2/OTHER", "--dataset", "10.5072/FK2/ABC/ONE"];
    assert_eq!(site.call(&words).expect(0).json()["files"]["catalogued"], 2);
}

#[test]
fn a_name_that_leads_nowhere_ends_with_2_and_names_near_ones_and_leaves_no_run() {
    let site = named();
    for (words, says) in [
        (["--dataset", "doi:10.5072/FK2/ABD"], "there is doi:10.5072/FK2/ABC\n"),
        (["--dataset", "doi:10.9999/NOWHERE/AT/ALL"], "there is no dataset or data file"),
        (["--dataset", " "], "neither a PID"),
        (["--dataset", "hdl:1902.1/00013"], "hdl:1902.1/00012"),
        (["--file", "12345"], "there is no data file \"12345\""),
        (["--store", "s3"], "there is file"),
        (["--storage-identifier", "nothing://like-it"], "there is no storage identifier"),
    ] {
        for command in ["run", "verify", "audit", "repair"] {
            site.call(&[&[command][..], &words].concat()).expect(2).says(&[says]);
        }
        if words[0] == "--dataset" {
            site.call(&[&["status"][..], &words].concat()).expect(2).says(&[says]);
        }
    }
    let status = site.call(&["status", "--json"]).expect(1).json();
    assert_eq!(status["destinations"][0]["runs"], serde_json::json!([]), "{status:#}");
}

/// Dataverse keeps an earlier PID only where it was changed by a command of its own: the ledger has the one of the last run.
#[test]
fn a_dataset_is_found_by_the_pid_of_the_last_run() {
    let site = Site::copied();
    let dataset = site.world.datasets[0].id;
    site.database.execute(&format!("UPDATE dvobject SET identifier = 'FK2/NEW' WHERE id = {dataset}"));
    let said = "\"doi:10.5072/FK2/ABC\" is taken for dataset doi:10.5072/FK2/NEW";
    let old = ["--dataset", "doi:10.5072/FK2/ABC"];
    let status = site.call(&[&["--json", "status"][..], &old].concat()).expect(0).says(&[said]).json();
    assert_eq!(status["destinations"][0]["data_files"].as_array().unwrap().len(), 3, "{status:#}");
    let verified = site.call(&[&["--json", "verify"][..], &old].concat()).expect(0).says(&[said]).json();
    assert_eq!(verified["copies"]["good"], 3);
    let out = site.path("out").display().to_string();
    let restored = site.call(&[&["--json", "restore", "--to", &out][..], &old].concat()).expect(0).says(&[said]).json();
    assert_eq!(restored["objects"]["restored"], 3);
    site.call(&[&["repair"][..], &old].concat()).says(&[said, "data files and datasets checked: 3"]);
    // Before the next run, the ledger has no other name of it.
    let status = site.call(&["--json", "status", "--dataset", "doi:10.5072/FK2/NEW"]).expect(0).json();
    assert_eq!(status["destinations"][0]["data_files"].as_array().unwrap().len(), 3, "{status:#}");
}

#[test]
fn names_of_the_last_run_do_without_the_catalogue_and_that_is_said() {
    let mut site = Site::copied();
    site.set(
        "Database",
        &format!(
            "Host: 127.0.0.1\nPort: 1\nDatabase: x\nUsername: x\nBackupDatabase: sqlite:{}",
            site.path("state/ledger.db").display()
        ),
    );
    let done = site.call(&["status", "--dataset", "10.5072/fk2/abc"]).expect(0);
    done.says(&["names are those of the last run", "is taken for dataset doi:10.5072/FK2/ABC"]);
}
