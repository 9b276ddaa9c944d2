//! Each sslmode against a real server, and what each way to fail is called.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dvb_pg::{Interrupt, Patience, PgError, PostgresTarget, SslMode, connect, connect_with, pool};
use dvb_testkit::postgres::{Database, PASSWORD, Server, shared};

const MODES: [SslMode; 5] =
    [SslMode::Disable, SslMode::Prefer, SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull];

fn target(database: &Database, ssl_mode: SslMode) -> PostgresTarget {
    PostgresTarget {
        host: database.host.clone(),
        port: database.port,
        database: database.name.clone(),
        username: database.user.clone(),
        password: Some(database.password.clone()),
        ssl_mode,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

fn scram(ssl_mode: SslMode) -> PostgresTarget {
    target(&shared().maintenance().as_user("scram"), ssl_mode)
}

fn patience(seconds: u64) -> Patience {
    Patience { silence: Duration::from_secs(seconds), interrupt: Interrupt::new() }
}

/// Whether the connection is encrypted, where there is one.
fn encrypted(target: &PostgresTarget) -> Result<bool, PgError> {
    let mut client = connect(target)?;
    let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]);
    Ok(row.unwrap().get(0))
}

/// The word for each outcome, for rows.
fn word(outcome: Result<bool, PgError>) -> &'static str {
    match outcome {
        Ok(true) => "encrypted",
        Ok(false) => "plain",
        Err(PgError::Unreachable { .. }) => "unreachable",
        Err(PgError::Refused { .. }) => "refused",
        Err(PgError::Tls { .. }) => "tls",
        Err(PgError::RootCert { .. }) => "root-cert",
        Err(PgError::NoRootCert { .. }) => "no-root-cert",
        Err(PgError::Query { .. }) => "query",
        Err(PgError::Full { .. }) => "full",
    }
}

/// The outcome by each of [`MODES`].
fn by_mode(change: impl Fn(&mut PostgresTarget)) -> [&'static str; 5] {
    MODES.map(|mode| {
        let mut target = scram(mode);
        change(&mut target);
        word(encrypted(&target))
    })
}

fn other_ca() -> (tempfile::TempDir, PathBuf) {
    let folder = dvb_testkit::temp_folder("ca");
    let file = folder.path().join("other.crt");
    std::fs::copy(&Server::start().ca, &file).unwrap();
    (folder, file)
}

#[test]
fn the_modes_check_what_libpq_s_check() {
    let (_folder, other) = other_ca();
    let ours = &shared().ca;
    let with = |ca: &Path, host: &str| {
        by_mode(|it| {
            it.ssl_root_cert = Some(ca.to_owned());
            it.host = host.to_owned();
        })
    };
    let all = "encrypted";
    assert_eq!(with(ours, "127.0.0.1"), ["plain", all, all, all, all]);
    assert_eq!(with(ours, "localhost"), ["plain", all, all, all, all]);
    // The same server by a name that is not in its certificate.
    assert_eq!(with(ours, "127.1"), ["plain", all, all, all, "tls"]);
    assert_eq!(with(&other, "127.0.0.1"), ["plain", all, "tls", "tls", "tls"]);
    // Without a file, the operating system's CAs count for verify-full, and none of them stands behind this server.
    assert_eq!(by_mode(|_| {}), ["plain", all, all, "no-root-cert", "tls"]);
    assert_eq!(with(Path::new("system"), "127.0.0.1"), ["plain", all, "no-root-cert", "no-root-cert", "tls"]);
}

#[test]
fn a_file_without_certificates_is_named() {
    let folder = dvb_testkit::temp_folder("ca");
    let junk = folder.path().join("junk.crt");
    std::fs::write(&junk, "no certificate").unwrap();
    for file in [junk, folder.path().join("missing.crt")] {
        let target = PostgresTarget { ssl_root_cert: Some(file.clone()), ..scram(SslMode::VerifyFull) };
        let Err(error @ PgError::RootCert { .. }) = connect(&target).map(drop) else { panic!("it was taken") };
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_role_that_is_let_in_only_by_tls_gets_there_by_prefer() {
    let outcomes = MODES[..3].iter().map(|mode| {
        let mut target = scram(*mode);
        target.username = "tls".into();
        word(encrypted(&target))
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), ["refused", "encrypted", "encrypted"]);
}

#[test]
fn a_server_without_tls_serves_those_who_do_not_ask_for_it() {
    let server = Server::start();
    server.maintenance().client().batch_execute("ALTER SYSTEM SET ssl = off").unwrap();
    server.maintenance().execute("SELECT pg_reload_conf()");
    let limit = Instant::now() + Duration::from_secs(10);
    let database = server.maintenance().as_user("scram");
    let over = |mode, password: &str| {
        let password = Some(password.to_owned());
        word(encrypted(&PostgresTarget { password, ssl_root_cert: Some(server.ca.clone()), ..target(&database, mode) }))
    };
    while over(SslMode::Require, PASSWORD) == "encrypted" {
        assert!(Instant::now() < limit, "the server does not turn off TLS");
    }
    let outcomes = MODES.map(|it| over(it, PASSWORD));
    assert_eq!(outcomes, ["plain", "plain", "tls", "tls", "tls"]);
    assert_eq!(over(SslMode::Prefer, "wrong"), "refused");
}

#[test]
fn whoever_is_not_let_in_is_told_what_to_check() {
    for mode in [SslMode::Disable, SslMode::Prefer, SslMode::Require] {
        let right = scram(mode);
        assert!(!format!("{right:?}").contains(PASSWORD), "a password was shown");
        let wrong = [
            PostgresTarget { password: Some("wrong".into()), ..right.clone() },
            PostgresTarget { password: None, ..right.clone() },
            PostgresTarget { username: "nobody".into(), ..right.clone() },
            PostgresTarget { database: "no such".into(), ..right.clone() },
        ];
        for target in wrong {
            let error = connect(&target).map(drop).unwrap_err();
            assert!(matches!(error, PgError::Refused { .. }), "{mode} {target:?}: {error:?}");
            assert!(error.to_string().contains(&target.username), "{error}");
        }
    }
}

#[test]
fn whoever_is_not_there_is_out_of_reach_within_the_limit() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    for (port, mode) in [free, silent.local_addr().unwrap().port()].into_iter().flat_map(|it| MODES.map(|m| (it, m))) {
        let target = PostgresTarget {
            port,
            connect_timeout: Duration::from_millis(300),
            ssl_root_cert: Some(shared().ca.clone()),
            ..scram(mode)
        };
        let began = Instant::now();
        assert_eq!(word(encrypted(&target)), "unreachable", "{mode} {port}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    }
    let unknown = PostgresTarget { host: "no-such-host.invalid".into(), ..scram(SslMode::Prefer) };
    assert_eq!(word(encrypted(&unknown)), "unreachable");
}

#[test]
fn a_connection_that_broke_is_told_from_a_statement_that_failed() {
    let server = Server::start();
    let target = target(&server.maintenance(), SslMode::Prefer);
    let mut client = connect(&target).unwrap();
    let failed = PgError::statement(&target, "count", client.simple_query("SELECT 1/0").unwrap_err());
    assert!(matches!(failed, PgError::Query { .. }), "{failed:?}");
    server.cut_connections();
    let broken = PgError::statement(&target, "count", client.simple_query("SELECT 1").unwrap_err());
    assert!(matches!(broken, PgError::Unreachable { .. }), "{broken:?}");
}

#[test]
fn a_pool_opens_a_new_connection_for_one_that_broke() {
    let mut server = Server::start();
    let target = target(&server.maintenance(), SslMode::Prefer);
    let pool = pool(&target, 2, &patience(300));
    pool.get().unwrap().batch_execute("SELECT 1").unwrap();
    server.cut_connections();
    pool.get().unwrap().batch_execute("SELECT 1").unwrap();
    server.stop();
    assert!(connect(&target).is_err());
    server.start_again();
    pool.get().unwrap().batch_execute("SELECT 1").unwrap();
}

/// By each mode, for TLS has buffers of its own.
const BOTH: [SslMode; 2] = [SslMode::Disable, SslMode::Require];

#[test]
fn a_server_that_is_stopped_is_not_waited_for_for_ever() {
    let server = Server::start();
    for mode in BOTH {
        let target = target(&server.maintenance(), mode);
        let mut client = connect_with(&target, &patience(2)).unwrap();
        client.batch_execute("SELECT 1").unwrap();
        // Silence without a question is none, and a slow answer is no silence as long as there is patience.
        std::thread::sleep(Duration::from_secs(6));
        client.batch_execute("SELECT pg_sleep(1)").unwrap();
        let (frozen, began) = (server.freeze(), Instant::now());
        let error = PgError::statement(&target, "count", client.simple_query("SELECT 1").unwrap_err());
        assert!(matches!(error, PgError::Unreachable { .. }), "{mode}: {error:?}");
        assert!(began.elapsed() < Duration::from_secs(30), "{mode}: {:?}", began.elapsed());
        assert!(client.is_closed(), "{mode}: nothing more is to be asked by it");
        drop(frozen);
    }
}

#[test]
fn a_unix_socket_serves_as_well_as_any() {
    let server = Server::start();
    let target = target(&server.by_socket(&server.maintenance()), SslMode::Require);
    let mut client = connect(&target).unwrap();
    let rows = client.query("SELECT repeat('x', 1000) FROM generate_series(1, 20000)", &[]).unwrap();
    assert_eq!(rows.len(), 20_000);
    client.batch_execute("SELECT 1").unwrap();
    drop(client);
    let pool = pool(&target, 3, &patience(300));
    let connections: Vec<_> = (0..3).map(|_| pool.get().unwrap()).collect();
    drop(connections);
    let nobody = PostgresTarget { host: "/nowhere".into(), ..target.clone() };
    assert!(matches!(connect(&nobody), Err(PgError::Unreachable { .. })));
    let stranger = PostgresTarget { database: "nowhere".into(), ..target };
    assert!(matches!(connect(&stranger), Err(PgError::Refused { .. })));
}

#[test]
fn whoever_waits_is_interrupted_and_so_is_whoever_comes_later() {
    let server = Server::start();
    let tcp = server.maintenance();
    for (database, mode) in [(tcp.clone(), BOTH[0]), (tcp.clone(), BOTH[1]), (server.by_socket(&tcp), BOTH[0])] {
        let (target, patience) = (target(&database, mode), patience(300));
        let mut client = connect_with(&target, &patience).unwrap();
        let pool = pool(&target, 2, &patience);
        pool.get().unwrap().batch_execute("SELECT 1").unwrap();
        let _frozen = server.freeze();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| client.simple_query("SELECT 1").unwrap_err());
            std::thread::sleep(Duration::from_millis(500));
            patience.interrupt.interrupt();
            let error = PgError::statement(&target, "count", waiting.join().unwrap());
            assert!(matches!(error, PgError::Unreachable { .. }), "{mode}: {error:?}");
        });
        assert!(pool.get().is_err());
        assert!(matches!(connect_with(&target, &patience), Err(PgError::Unreachable { .. })));
        assert!(began.elapsed() < Duration::from_secs(20), "{mode}: {:?}", began.elapsed());
    }
}

#[test]
fn a_full_disk_of_the_server_is_neither_a_lost_connection_nor_one_that_passes() {
    let target = target(&shared().maintenance(), SslMode::Disable);
    let mut client = connect(&target).unwrap();
    let error =
        client.batch_execute("DO $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = '53100'; END $$").unwrap_err();
    assert!(dvb_pg::is_full(&error) && !dvb_pg::is_connection(&error) && !dvb_pg::may_pass(&error));
    assert!(matches!(PgError::statement(&target, "write", error), PgError::Full { .. }));
}
