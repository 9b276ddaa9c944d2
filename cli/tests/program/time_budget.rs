//! A command whose time is over ends, whoever hangs, and says so.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use dvb_testkit::postgres;

use crate::site::Site;

/// What a busy machine may take beyond the thirty seconds that are promised.
const SLACK: Duration = Duration::from_secs(20);
const BUDGET: [&str; 4] = ["run", "--json", "--time-budget", "2s"];

fn in_time(began: Instant) {
    let limit = Duration::from_secs(2 + 30) + SLACK;
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
}

#[test]
fn a_ledger_that_somebody_locks_is_not_waited_for_beyond_the_budget() {
    let mut site = Site::new();
    let ledger = postgres::shared().create_database("ledger");
    let database = &site.database;
    let lines = format!(
        "Host: {}\nPort: {}\nDatabase: {}\nUsername: {}\nBackupDatabase: {}",
        database.host, database.port, database.name, database.user, ledger.name
    );
    site.set("Database", &lines);
    site.call(&["init"]).expect(0);
    let mut other = ledger.client();
    other.batch_execute("BEGIN; LOCK TABLE backup_state, backup_copy IN ACCESS EXCLUSIVE MODE").unwrap();
    let began = Instant::now();
    let done = site.call(&BUDGET);
    in_time(began);
    let json = done.json();
    assert_eq!((done.code, &json["exit_code"]), (5, &5.into()), "{done}");
    assert!(done.out.contains("gives no answer") || done.err.contains("gives no answer"), "{done}");
    drop(other);
    site.call(&["run"]).expect(0);
}

#[test]
fn a_mail_server_that_says_nothing_does_not_hold_a_run_beyond_its_budget() {
    let mut site = Site::new();
    site.call(&["init"]).expect(0);
    // Connections are accepted by the system, and nobody ever speaks.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let lines =
        format!("Email: a@example.org\nEmailWhen: always\nSmtpHost: 127.0.0.1\nSmtpPort: {port}\nSmtpTls: none");
    site.add("Notifications", &lines);
    let began = Instant::now();
    let done = site.call(&BUDGET);
    in_time(began);
    let json = done.json();
    assert_eq!(json["exit_code"], done.code, "what was said before the mail counts: {done}");
    assert!(done.code == 0 || done.code == 8, "{done}");
}
