//! Copies that are locked in S3.

use dvb_testkit::{seaweed, swift};

use crate::site::Site;

const DAY: i64 = 86_400;

/// A site whose copies go to a new bucket, with these lines in its section.
fn site(locks: bool, lines: &str) -> Site {
    let (mut site, bucket) = (Site::new(), swift::container("locked"));
    let server @ seaweed::Server { url, secret, access, .. } = seaweed::shared();
    if locks {
        server.make_locking_bucket(&bucket);
    } else {
        server.make_bucket(&bucket);
    }
    let keys = format!("S3EndpointUrl: {url}\nS3PathStyle: yes\nS3AccessKey: {access}\nS3SecretKey: {secret}");
    site.set("Backup", &format!("StorageType: s3\nS3Bucket: {bucket}\n{keys}\n{lines}"));
    site
}

/// In how many days a time is, rounded.
fn days_to(time: &serde_json::Value) -> i64 {
    let at: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    (at.as_second() - jiff::Timestamp::now().as_second() + DAY / 2) / DAY
}

#[test]
fn copies_are_locked_renewed_in_time_and_the_first_end_is_told() {
    let mut site = site(true, "S3ObjectLock: compliance\nS3ObjectLockDays: 30");
    site.add("Notifications", &format!("MetricsFile: {}", site.path("d.prom").display()));
    site.call(&["init"]).expect(0);
    site.call(&["check"]).expect(0).says(&["the lock holds", "one without a lock could"]);
    let run = site.call(&["--json", "run"]).expect(0).json();
    let copies = run["locks"]["looked_at"].as_u64().unwrap();
    assert!(copies > 0 && run["locks"]["failed"] == 0 && run["locks"]["complete"] == true, "{run}");
    assert_eq!((days_to(&run["locks"]["earliest"]), &run["locks"]["unlocked"]), (30, &0.into()), "{run}");

    // Nothing is due as long as half is left.
    for command in ["run", "verify"] {
        let done = site.call(&["--json", command]).expect(0).json();
        assert_eq!(done["locks"]["looked_at"], 0, "{command}: {done}");
    }
    let status = site.call(&["--json", "status"]).expect(0).json();
    assert_eq!(days_to(&status["destinations"][0]["locks"]["earliest"]), 30, "{status}");
    site.call(&["status"]).expect(0).says(&["first lock ends: 20", "in 29 days"]);
    let metrics = std::fs::read_to_string(site.path("d.prom")).unwrap();
    let first = "dataverse_backup_lock_expires_min_timestamp_seconds{destination=\"default\"} ";
    let line = metrics.lines().find_map(|it| it.strip_prefix(first)).unwrap_or_else(|| panic!("{metrics}"));
    assert_eq!((line.parse::<i64>().unwrap() - jiff::Timestamp::now().as_second() + DAY / 2) / DAY, 30);

    // Of a hundred days, thirty are less than half; of ten, they are more than all.
    for (days, command, looked_at, earliest) in
        [(100, "run", copies, 100), (10, "run", 0, 100), (250, "verify", copies, 250)]
    {
        site.change("Backup", "S3ObjectLockDays", &days.to_string());
        let done = site.call(&["--json", command]).expect(0).json();
        assert_eq!((&done["locks"]["looked_at"], &done["locks"]["failed"]), (&looked_at.into(), &0.into()), "{done}");
        assert_eq!(days_to(&done["locks"]["earliest"]), earliest, "{days}: {done}");
    }
    site.call(&["report"]).expect(0).says(&["S3 object lock (compliance), for 250 days", "the first lock ends 20"]);
    // A part is verified for its own sake.
    let part = site.call(&["--json", "verify", "--store", "file"]).expect(0).json();
    assert!(part["locks"].is_null(), "{part}");
}

#[test]
fn copies_from_before_there_was_a_lock_get_one() {
    let mut site = site(true, "");
    site.call(&["init"]).expect(0);
    let run = site.call(&["--json", "run"]).expect(0).json();
    assert!(run["locks"].is_null(), "{run}");
    assert!(site.call(&["--json", "status"]).expect(0).json()["destinations"][0]["locks"].is_null());
    site.add("Backup", "S3ObjectLock: compliance\nS3ObjectLockDays: 30");
    let run = site.call(&["--json", "run"]).expect(0).json();
    assert!(run["locks"]["looked_at"].as_u64().unwrap() > 0 && run["files"]["copied"] == 0, "{run}");
    assert_eq!((days_to(&run["locks"]["earliest"]), &run["locks"]["unlocked"]), (30, &0.into()), "{run}");
}

#[test]
fn a_bucket_without_object_lock_is_refused_by_check_and_run() {
    let mut site = site(false, "");
    site.call(&["init"]).expect(0);
    site.call(&["run"]).expect(0);
    site.add("Backup", "S3ObjectLock: governance\nS3ObjectLockDays: 30");
    let words = ["has no object lock, which S3ObjectLock asks for: make a bucket with object lock"];
    site.call(&["check"]).expect(2).says(&words);
    // Nothing is to be copied; the copies that are there are not as they should be.
    site.call(&["run"]).expect(1).says(&words).says(&["not locked as configured", "no copy is locked"]);
    site.call(&["verify"]).expect(1).says(&words);
}

#[test]
fn nothing_is_stored_in_a_bucket_without_object_lock() {
    let site = site(false, "S3ObjectLock: compliance\nS3ObjectLockDays: 30");
    site.call(&["init"]).expect(2).says(&["has no object lock, which S3ObjectLock asks for"]);
    site.call(&["run"]).expect(2).says(&["has no object lock, which S3ObjectLock asks for"]);
}

#[test]
fn hosts_that_share_a_run_see_to_locks_too() {
    let mut site = site(true, "S3ObjectLock: compliance\nS3ObjectLockDays: 30");
    let ledger = dvb_testkit::postgres::shared().create_database("locks");
    let of_ledger = format!("BackupDatabase: {}\nBackupPort: {}", ledger.name, ledger.port);
    let database = site.database.clone();
    site.set(
        "Database",
        &format!(
            "Host: {}\nPort: {}\nDatabase: {}\nUsername: {}\n{of_ledger}",
            database.host, database.port, database.name, database.user
        ),
    );
    site.call(&["init"]).expect(0);
    for (command, days) in [("run", 30), ("verify", 100)] {
        site.change("Backup", "S3ObjectLockDays", &days.to_string());
        let done = site.call(&["--json", command, "--join"]).expect(0).json();
        assert!(done["locks"]["looked_at"].as_u64().unwrap() > 0 && done["locks"]["failed"] == 0, "{done}");
        assert_eq!((days_to(&done["locks"]["earliest"]), &done["locks"]["unlocked"]), (days, &0.into()), "{done}");
    }
}

#[test]
fn an_account_that_may_not_list_is_told_which_locks_it_cannot_renew() {
    let mut site = site(true, "S3ObjectLock: compliance\nS3ObjectLockDays: 30");
    site.change("Backup", "S3AccessKey", seaweed::shared().unlisted);
    for command in ["init", "run", "check"] {
        site.call(&[command]).expect(2).says(&["s3:PutObjectRetention"]);
    }
    site.change("Backup", "S3AccessKey", seaweed::shared().locker);
    site.call(&["init"]).expect(0);
    site.change("Backup", "S3ObjectLock", "governance");
    site.call(&["check"]).expect(0).says(&["the lock holds", "the account may list nothing"]);
    let run = site.call(&["--json", "run"]).expect(1).json();
    let why = run["locks"]["reason"].as_str().unwrap();
    assert!(why.contains("the locks of snapshots cannot be renewed") && why.contains("s3:ListBucket"), "{run}");
    // All copies have theirs.
    assert_eq!((&run["locks"]["failed"], &run["locks"]["unlocked"]), (&1.into(), &0.into()), "{run}");
}

#[test]
fn an_account_that_may_lift_locks_is_told_by_check() {
    let site = site(true, "S3ObjectLockDays: 30");
    site.call(&["init"]).expect(0);
    site.call(&["check"]).expect(1).says(&["Its copies are not locked", "s3:BypassGovernanceRetention"]);
}
