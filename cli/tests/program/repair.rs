//! What `repair` prints, and what `status --file` knows afterwards.

use std::fs;

use crate::site::Site;

#[test]
fn what_would_be_done_is_said_then_done_then_on_record() {
    let site = Site::new();
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site.call(&["repair"]).expect(0).says(&["data files and datasets checked: 0", "0 can be repaired"]);
    let copy = site.path("copies").join(&site.world.objects[1].path);
    fs::write(&copy, "rotten").unwrap();
    fs::remove_file(site.object(0)).unwrap();
    site.call(&["verify"]).expect(4);
    let id = site.world.files[1].id.to_string();
    site.call(&["status", "--file", &id]).expect(4).says(&["FOUND TO BE BAD", "SHA-256", "first seen", "last proved"]);
    // The ledger knows of the copy alone.
    let said = ["can repair", "destination default", "good: store file", "would make the copy again from store file"];
    site.call(&["repair"]).expect(4).says(&said);
    assert_eq!(fs::read(&copy).unwrap(), b"rotten");
    let lost = site.world.files[0].id.to_string();
    let said = ["store file", "is missing in store file", "would put the bytes of destination default there"];
    site.call(&["repair", "--file", &lost]).expect(3).says(&said);
    assert!(!site.object(0).exists());

    site.call(&["repair", "--apply"]).expect(0).says(&[
        "1 repaired",
        "proved (read-back)",
        ".dataverse-backup/damaged/",
    ]);
    site.call(&["repair", "--apply", "--file", &lost]).expect(0).says(&["1 repaired", "read back"]);
    assert_eq!(
        (fs::read(&copy).unwrap(), fs::read(site.object(0)).unwrap()),
        (b"content 1".into(), b"content 0".into())
    );
    let said =
        ["incident 1: main was damaged in destination default", "from store file, proved by read-back", "is kept as"];
    site.call(&["status", "--file", &id]).expect(0).says(&said);
    let said = ["main was missing in store file", "from destination default, proved by read-back"];
    site.call(&["status", "--file", &lost]).expect(0).says(&said);
    let json = site.call(&["--json", "status", "--file", &id]).expect(0).json();
    assert_eq!(json["incidents"][&id][0]["found"], "damaged", "{json:#}");
    assert_eq!(json["destinations"][0]["data_files"][0]["custody"][0]["evidence"], "read-back", "{json:#}");
    site.call(&["repair", "--file", "987654"]).expect(2).says(&["there is no data file"]);
}
