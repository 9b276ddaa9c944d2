//! The PostgreSQL server does what the tests count on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use dvb_testkit::postgres::{self, Server, psql};

#[test]
fn databases_of_one_server_are_apart() {
    let server = postgres::shared();
    let (one, two) = (server.create_database("apart"), server.create_database("apart"));
    one.execute("CREATE TABLE t (n integer); INSERT INTO t VALUES (1)");
    two.execute("CREATE TABLE t (n integer)");
    let count =
        |it: &postgres::Database| it.client().query_one("SELECT count(*) FROM t", &[]).unwrap().get::<_, i64>(0);
    assert_eq!((count(&one), count(&two)), (1, 0));
}

#[test]
fn passwords_and_tls_are_asked_for_as_promised() {
    let server = postgres::shared();
    let database = server.create_database("auth");
    let wrong = postgres::Database { password: "wrong".into(), ..database.as_user("scram") };
    assert!(wrong.config().connect(::postgres::NoTls).is_err(), "a wrong password was accepted");
    drop(database.as_user("scram").client());

    let over = |mode: &str| {
        let mut psql = psql(&database.as_user("tls"));
        psql.env("PGHOST", "localhost").env("PGSSLMODE", mode).env("PGSSLROOTCERT", &server.ca);
        psql.args(["-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"]).output().unwrap()
    };
    assert!(!over("disable").status.success(), "the role tls was let in without TLS");
    let verified = over("verify-full");
    assert_eq!(String::from_utf8_lossy(&verified.stdout), "t\n", "{}", String::from_utf8_lossy(&verified.stderr));
}

#[test]
fn a_crash_keeps_what_was_written_and_cuts_who_was_there() {
    let mut server = Server::start();
    let database = server.create_database("crash");
    database.execute("CREATE TABLE t AS SELECT 1 AS n");
    let mut client = database.client();
    server.cut_connections();
    assert!(client.simple_query("SELECT 1").is_err(), "the connection is alive");
    server.stop();
    assert!(database.config().connect(::postgres::NoTls).is_err(), "the server is alive");
    server.start_again();
    assert_eq!(database.client().query_one("SELECT n FROM t", &[]).unwrap().get::<_, i32>(0), 1);
}
