//! The ledger in PostgreSQL.

use std::time::Duration;

use dvb_ledger::{Keys as _, Ledger, LedgerError, PostgresLedger, RunLog as _};
use dvb_model::{DvObjectId, Status};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_testkit::pgbouncer::{PoolMode, Pooler};
use dvb_testkit::postgres::{self as server, Database};
use postgres::{Client, NoTls, SimpleQueryMessage};

use crate::made::{a_run, copy_all, here, holder, run};
use crate::{Bench, told};

pub(crate) struct OnServer {
    pub(crate) database: Database,
    /// A server that nobody else uses.
    own: Option<server::Server>,
}

impl OnServer {
    pub(crate) fn new() -> Self {
        Self { database: server::shared().create_database("ledger"), own: None }
    }

    /// With a server of its own, whose log is of this alone.
    pub(crate) fn alone() -> Self {
        let server = server::Server::start();
        Self { database: server.create_database("ledger"), own: Some(server) }
    }

    /// Through a proxy, by which nothing is encrypted.
    pub(crate) fn open_through(&self, port: u16) -> Box<dyn Ledger> {
        let target = PostgresTarget { port, ssl_mode: SslMode::Disable, ..self.target() };
        Box::new(PostgresLedger::open(target, 4).unwrap())
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        self.own.as_ref().unwrap_or_else(|| server::shared()).log()
    }

    fn target(&self) -> PostgresTarget {
        let Database { host, port, name, user, password } = &self.database;
        target(host, *port, name, user, password)
    }

    pub(crate) fn client(&self) -> Client {
        connect(&self.target())
    }

    pub(crate) fn rows_of(client: &mut Client, sql: &str) -> Vec<String> {
        let mut rows = Vec::new();
        for message in client.simple_query(sql).unwrap() {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push((0..row.len()).map(|n| row.get(n).unwrap_or("-")).collect::<Vec<_>>().join("|"));
            }
        }
        rows
    }
}

fn target(host: &str, port: u16, database: &str, user: &str, password: &str) -> PostgresTarget {
    PostgresTarget {
        host: host.into(),
        port,
        database: database.into(),
        username: user.into(),
        password: Some(password.into()),
        ssl_mode: SslMode::Prefer,
        ssl_root_cert: None,
        connect_timeout: Duration::from_secs(10),
    }
}

fn connect(target: &PostgresTarget) -> Client {
    let mut config = postgres::Config::new();
    config.host(&target.host).port(target.port).dbname(&target.database).user(&target.username);
    config.password(target.password.clone().unwrap_or_default());
    config.connect(NoTls).unwrap()
}

/// Opens what [`Bench::address`] names.
pub(crate) fn open(address: &str) -> Box<dyn Ledger> {
    let parts: Vec<&str> = address.split('\t').collect();
    let target = target(parts[0], parts[1].parse().unwrap(), parts[2], parts[3], parts[4]);
    Box::new(PostgresLedger::open(target, 2).unwrap())
}

impl Bench for OnServer {
    fn open(&self) -> Box<dyn Ledger> {
        Box::new(PostgresLedger::open(self.target(), 4).unwrap())
    }

    fn execute(&self, sql: &str) {
        self.client().batch_execute(sql).unwrap();
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        Self::rows_of(&mut self.client(), sql)
    }

    fn address(&self) -> String {
        let Database { host, port, name, user, password } = &self.database;
        [host, &port.to_string(), name, user, password].map(String::as_str).join("\t")
    }
}

crate::suite!(OnServer::new());

crate::suite! { OnServer::new();
    shared::hosts_share_the_ranges,
    shared::hosts_that_ask_at_once_all_get_work,
    shared::who_lost_a_range_records_nothing,
    shared::what_kills_hosts_is_set_aside,
    shared::a_dead_planner_s_plan_is_made_anew,
    shared::a_plan_that_kills_hosts_ends_the_run,
    shared::an_answer_that_was_lost_leaves_no_range_behind,
    shared::a_pruned_host_s_range_comes_back,
    shared::a_destination_is_shared_or_had_alone,
    shared::a_host_that_lost_its_connection_comes_back,
    shared::what_a_host_staged_is_swept_when_it_has_left,
    shared::an_audit_is_shared_beside_what_has_the_destination,
}

#[test]
fn hosts_do_not_share_a_run_through_a_pooler_that_breaks_sessions() {
    let bench = OnServer::new();
    bench.migrated();
    let pooler = Pooler::start(server::shared(), PoolMode::Transaction, 4);
    let error = PostgresLedger::open(PostgresTarget { port: pooler.port, ..bench.target() }, 1).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Pooled { .. }), "{}", told(&error));
}

/// A role without any right of its own, in a database where nobody but the owner may create.
fn as_stranger(bench: &OnServer) -> PostgresLedger {
    let role = format!("{}_stranger", bench.database.name);
    bench.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT {role} TO CURRENT_USER"
    ));
    let target = PostgresTarget { username: role, password: Some("secret".into()), ..bench.target() };
    PostgresLedger::open(target, 1).unwrap()
}

#[test]
fn a_role_that_may_not_create_learns_what_to_grant() {
    let bench = OnServer::new();
    let stranger = as_stranger(&bench);
    let error = stranger.migrate().unwrap_err();
    assert!(matches!(error, LedgerError::Denied { .. }), "{error:?}");
    let advice = format!("GRANT USAGE, CREATE ON SCHEMA public TO {}_stranger;", bench.database.name);
    assert!(error.to_string().contains(&advice), "{error}");
    bench.execute(&advice);
    stranger.migrate().unwrap();
}

#[test]
fn a_role_that_may_not_rename_learns_whose_the_table_must_be() {
    let bench = OnServer::new();
    bench.execute(crate::adoption::TABLE);
    let stranger = as_stranger(&bench);
    bench.execute(&format!("GRANT USAGE, CREATE ON SCHEMA public TO {}_stranger", bench.database.name));
    let error = stranger.migrate().unwrap_err();
    let LedgerError::Denied { remedy, .. } = &error else { panic!("{error:?}") };
    assert_eq!(bench.rows("SELECT relkind::text FROM pg_class WHERE relname = 'datafilestatus'"), ["r"]);
    assert_eq!(bench.rows("SELECT relname::text FROM pg_class WHERE relname = 'backup_schema'"), [""; 0]);
    bench.execute(remedy.split_once(": ").unwrap().1);
    assert_eq!(stranger.migrate().unwrap().adopted, Some(0));
}

#[test]
fn who_could_read_the_original_table_can_read_the_view() {
    let bench = OnServer::new();
    bench.execute(crate::adoption::TABLE);
    let _stranger = as_stranger(&bench);
    bench.execute(&format!("GRANT SELECT ON datafilestatus TO \"{}_stranger\"", bench.database.name));
    bench.migrated();
    let read = format!(
        "SET ROLE \"{}_stranger\"; DO $$ BEGIN PERFORM * FROM datafilestatus; END $$; RESET ROLE",
        bench.database.name
    );
    bench.execute(&read);
}

#[test]
fn a_role_with_rights_on_the_rows_alone_is_enough_for_a_run() {
    let bench = OnServer::new();
    bench.migrated();
    let stranger = as_stranger(&bench);
    let error = stranger.reserve(&here(), &[]).unwrap_err();
    let LedgerError::Denied { remedy, .. } = &error else { panic!("{}", told(&error)) };
    let role = format!("{}_stranger", bench.database.name);
    let grants = remedy.split_once(": ").unwrap().1;
    bench.execute(&grants.replace("the role that this program logs in as", &role).replace("the same", &role));
    copy_all(&stranger, &here(), [1]);
    assert_eq!(stranger.candidates(&[("a".into(), "b".into())]).unwrap(), []);
    drop(stranger.lock(&here(), &holder("r")).unwrap());
    assert_eq!(stranger.migrate().unwrap().adopted, None);
}

#[test]
fn nobody_there_is_a_reason_to_try_later() {
    let bench = OnServer::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = PostgresLedger::open(PostgresTarget { port, ..bench.target() }, 1).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

fn cut_connections(bench: &OnServer) {
    bench.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
}

#[test]
fn a_connection_that_was_cut_is_made_anew() {
    let bench = OnServer::new();
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    let mut pages = ledger.states(&here(), dvb_ledger::EntryKind::DataFile);
    cut_connections(&bench);
    copy_all(&*ledger, &here(), [2]);
    cut_connections(&bench);
    assert_eq!(pages.by_ref().map(|it| it.unwrap().id).collect::<Vec<_>>(), [DvObjectId(1), DvObjectId(2)]);
    cut_connections(&bench);
    assert_eq!(ledger.counts(&here()).unwrap(), (vec![(Status::Ok, 2)], 0));
}

#[test]
fn a_connection_that_is_cut_at_work_is_made_anew() {
    let bench = OnServer::new();
    let ledger = bench.migrated();
    copy_all(&*ledger, &here(), [1]);
    // The call waits for this transaction, and is cut off while it does.
    let mut client = bench.client();
    let mut blocking = client.transaction().unwrap();
    blocking.execute("SELECT FROM backup_copy FOR UPDATE", &[]).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| copy_all(&*ledger, &here(), [1]));
        let waiting = "SELECT pid::text FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let pid = loop {
            if let [pid] = bench.rows(waiting).as_slice() {
                break pid.clone();
            }
        };
        bench.execute(&format!("SELECT pg_terminate_backend({pid}, 10000)"));
        blocking.rollback().unwrap();
        call.join().unwrap();
    });
    assert_eq!(ledger.counts(&here()).unwrap(), (vec![(Status::Ok, 1)], 0));
}

#[test]
fn a_lock_ends_with_its_connection() {
    let bench = OnServer::new();
    let ledger = bench.migrated();
    let lock = ledger.lock(&here(), &holder("first")).unwrap();
    cut_connections(&bench);
    assert!(!lock.is_held());
    let heir = bench.open().lock(&here(), &holder("heir")).unwrap();
    drop(lock);
    assert!(heir.is_held());
    assert!(matches!(ledger.lock(&here(), &holder("x")).map(drop), Err(LedgerError::Locked { .. })));
}

#[test]
fn what_is_recorded_waits_for_stable_storage() {
    let bench = OnServer::new();
    let name = &bench.database.name;
    bench.execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    bench.migrated();
    // A trigger sees the setting of the transaction that records.
    bench.execute(
        "CREATE TABLE seen (setting text);
         CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
         $$BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END$$;
         CREATE TRIGGER see AFTER INSERT OR UPDATE ON backup_copy EXECUTE FUNCTION see()",
    );
    copy_all(&*bench.open(), &here(), [1]);
    assert_eq!(bench.rows("SELECT DISTINCT setting FROM seen"), ["on"]);
}

#[test]
fn ledgers_of_two_schemas_do_not_share_locks() {
    let bench = OnServer::new();
    let first = bench.migrated().lock(&here(), &holder("r")).unwrap();
    bench.execute(&format!("CREATE SCHEMA other; ALTER DATABASE {} SET search_path = other", bench.database.name));
    let second = bench.migrated().lock(&here(), &holder("r")).unwrap();
    assert!(first.is_held() && second.is_held());
}

fn through(pooler: &Pooler, bench: &OnServer) -> PostgresTarget {
    PostgresTarget { port: pooler.port, ..bench.target() }
}

#[test]
fn a_pooler_that_shares_sessions_is_refused() {
    let bench = OnServer::new();
    bench.migrated();
    let in_turn = "server_round_robin = 1";
    let poolers = [
        (PoolMode::Transaction, 1, ""),
        (PoolMode::Transaction, 5, ""),
        (PoolMode::Transaction, 5, in_turn),
        (PoolMode::Transaction, 5, "server_reset_query_always = 1"),
        (PoolMode::Statement, 5, ""),
    ];
    for (mode, connections, settings) in poolers {
        let pooler = Pooler::with_settings(server::shared(), mode, connections, settings);
        // What others did leaves server connections in the pool.
        for _ in 0..2 {
            let error = PostgresLedger::open(through(&pooler, &bench), 1).map(drop).unwrap_err();
            assert!(matches!(error, LedgerError::Pooled { .. }) && !error.is_transient(), "{mode:?}: {error:?}");
            let text = told(&error);
            assert!(text.contains("go to PostgreSQL itself") && text.contains("pool_mode = session"), "{text}");
        }
    }
    // Nothing is left that would keep others out.
    drop(bench.open().lock(&here(), &holder("r")).unwrap());
}

#[test]
fn a_pooler_that_keeps_sessions_is_as_good_as_the_server() {
    let bench = OnServer::new();
    bench.migrated();
    let pooler = Pooler::start(server::shared(), PoolMode::Session, 20);
    let ledger = PostgresLedger::open(through(&pooler, &bench), 2).unwrap();
    let lock = ledger.lock(&here(), &holder("r")).unwrap();
    copy_all(&ledger, &here(), [1]);
    assert!(lock.is_held());
    assert!(matches!(bench.open().lock(&here(), &holder("x")).map(drop), Err(LedgerError::Locked { .. })));
    drop(lock);
    drop(bench.open().lock(&here(), &holder("x")).unwrap());
}

#[test]
fn a_lock_is_known_by_what_was_signed_for_it() {
    let bench = OnServer::new();
    let lock = bench.migrated().lock(&here(), &holder("first")).unwrap();
    assert!(lock.is_held());
    bench.execute(r#"UPDATE backup_lock SET holder = replace(holder, '"first"', '"other"')"#);
    assert!(!lock.is_held());
    // A row of a session that began before this one, with its number, is nobody's.
    bench.execute(
        r#"UPDATE backup_lock SET holder = regexp_replace(holder, '"session_began":"....', '"session_began":"1999')"#,
    );
    let Err(LedgerError::Locked { holder, .. }) = bench.open().lock(&here(), &holder("x")).map(drop) else { panic!() };
    assert_eq!(holder.run.0, "unknown");
}

#[test]
fn a_lock_of_a_run_that_is_over_says_what_to_end() {
    let bench = OnServer::new();
    let ledger = bench.migrated();
    let _lock = ledger.lock(&here(), &holder(&run().0)).unwrap();
    ledger.begin_run(&a_run(&run().0, "2026-01-02T03:04:05.000Z")).unwrap();
    let refused = || bench.open().lock(&here(), &holder("next")).map(drop).unwrap_err();
    assert!(matches!(refused(), LedgerError::Locked { .. }));
    bench.execute("UPDATE backup_run SET finished = now() - interval '1 hour'");
    let error = refused();
    let LedgerError::LeftOver { backend, .. } = error else { panic!("{error:?}") };
    assert!(error.to_string().contains(&format!("pg_terminate_backend({backend})")), "{error}");
    bench.execute(&format!("SELECT pg_terminate_backend({backend}, 10000)"));
    drop(bench.open().lock(&here(), &holder("next")).unwrap());
}

fn encoded(encoding: &str) -> OnServer {
    OnServer { database: server::shared().create_encoded("ledger", encoding), own: None }
}

#[test]
fn a_ledger_that_cannot_hold_every_name_is_refused() {
    let bench = encoded("LATIN1");
    let error = PostgresLedger::open(bench.target(), 1).map(drop).unwrap_err();
    assert!(matches!(&error, LedgerError::Encoding { encoding, .. } if encoding == "LATIN1"), "{error:?}");
    assert!(error.to_string().contains("createdb -E UTF8 -T template0"), "{error}");
    let bench = encoded("SQL_ASCII");
    // A role of LATIN1 clients is a client of UTF-8 here.
    bench.execute(&format!("ALTER DATABASE {} SET client_encoding = 'LATIN1'", bench.database.name));
    let ledger = bench.migrated();
    let odd = dvb_model::DestinationName("naïve 数据 ☃".into());
    copy_all(&*ledger, &odd, [1]);
    assert_eq!(bench.open().counts(&odd).unwrap(), (vec![(Status::Ok, 1)], 0));
}
