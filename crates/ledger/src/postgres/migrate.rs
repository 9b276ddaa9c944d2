//! Makes the tables, and puts a view in the place of the original's table.

use dvb_pg::PostgresTarget;
use postgres::error::SqlState;
use postgres::{Client, Transaction};

use super::{Fault, open};
use crate::{LedgerError, Migration};

const STEPS: [&str; 12] = [
    include_str!("../../sql/postgres/001_tables.sql"),
    include_str!("../../sql/postgres/002_oldest_proof.sql"),
    include_str!("../../sql/postgres/003_incidents.sql"),
    include_str!("../../sql/postgres/004_claims.sql"),
    include_str!("../../sql/postgres/005_open_incidents.sql"),
    include_str!("../../sql/postgres/006_source.sql"),
    include_str!("../../sql/postgres/007_installation.sql"),
    include_str!("../../sql/postgres/008_events.sql"),
    include_str!("../../sql/postgres/009_shared_runs.sql"),
    include_str!("../../sql/postgres/010_purges.sql"),
    include_str!("../../sql/postgres/011_shared_beside.sql"),
    include_str!("../../sql/postgres/012_locks.sql"),
];
const ORIGINAL: &str = include_str!("../../sql/postgres/datafilestatus.sql");

/// Version of the tables that this program works with.
const NEWEST: u32 = STEPS.len() as u32;

/// The advisory lock under which tables are made.
const MIGRATE_LOCK: i64 = 0x0dfb_0001;

pub(super) fn migrate(client: &mut Client, target: &PostgresTarget) -> Result<Migration, Fault> {
    let mut db = client.transaction()?;
    // Others wait here, and then find the work done.
    db.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATE_LOCK])?;
    let from = version(&mut db)?;
    if from > NEWEST {
        return Err(wrong_version(&open::describe(target), from).into());
    }
    let role = Role::of(&mut db)?;
    apply(&mut db, from).map_err(|it| denied(target, "make its tables", role.may_create(), it))?;
    let found = is_table(&mut db)?;
    if found && has_rows(&mut db, "datafilestatus_original")? {
        return Err(LedgerError::TwoOriginals { target: open::describe(target) }.into());
    }
    let what = "put a view in the place of the table datafilestatus";
    adopt(&mut db, found).map_err(|it| denied(target, what, role.may_rename(), it))?;
    let adopted = if found { Some(count_ok(&mut db)?) } else { None };
    db.commit()?;
    Ok(Migration { from, to: NEWEST, adopted })
}

/// Refuses tables of another version.
pub(super) fn check(db: &mut Transaction<'_>, target: &str) -> Result<(), Fault> {
    match version(db)? {
        NEWEST => Ok(()),
        found => Err(wrong_version(target, found).into()),
    }
}

fn wrong_version(target: &str, found: u32) -> LedgerError {
    let target = target.to_owned();
    if found > NEWEST {
        LedgerError::Newer { target, found, known: NEWEST }
    } else {
        LedgerError::NotMigrated { target }
    }
}

/// Version of the tables; 0 where there are none.
fn version(db: &mut Transaction<'_>) -> Result<u32, postgres::Error> {
    if !exists(db, "backup_schema")? {
        return Ok(0);
    }
    let version: i32 = db.query_one("SELECT coalesce(max(version), 0) FROM backup_schema", &[])?.try_get(0)?;
    Ok(u32::try_from(version).unwrap_or(0))
}

fn apply(db: &mut Transaction<'_>, from: u32) -> Result<(), postgres::Error> {
    if from == 0 && !exists(db, "backup_schema")? {
        db.batch_execute(
            "CREATE TABLE backup_schema (version integer PRIMARY KEY, applied timestamptz(3) NOT NULL DEFAULT now())",
        )?;
    }
    for (version, step) in (1_i32..).zip(STEPS).filter(|(version, _)| i64::from(*version) > i64::from(from)) {
        db.batch_execute(step)?;
        db.execute("INSERT INTO backup_schema (version) VALUES ($1)", &[&version])?;
    }
    Ok(())
}

fn adopt(db: &mut Transaction<'_>, found: bool) -> Result<(), postgres::Error> {
    if found {
        // An empty table of an earlier migration gives way to real rows.
        db.batch_execute(
            "DROP TABLE IF EXISTS datafilestatus_original;
             ALTER TABLE datafilestatus RENAME TO datafilestatus_original",
        )?;
    }
    // Only where something is missing: a role that may not create can still run `init` on what is complete.
    if found || !exists(db, "datafilestatus")? {
        db.batch_execute(ORIGINAL)?;
    }
    Ok(())
}

fn count_ok(db: &mut Transaction<'_>) -> Result<u64, postgres::Error> {
    let sql = "SELECT count(*) FROM datafilestatus_original WHERE status = 'OK'";
    let count: i64 = db.query_one(sql, &[])?.try_get(0)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn exists(db: &mut Transaction<'_>, name: &str) -> Result<bool, postgres::Error> {
    db.query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])?.try_get(0)
}

fn is_table(db: &mut Transaction<'_>) -> Result<bool, postgres::Error> {
    let sql = "SELECT EXISTS (
                   SELECT FROM pg_class WHERE oid = to_regclass('datafilestatus') AND relkind IN ('r', 'p', 'f'))";
    db.query_one(sql, &[])?.try_get(0)
}

fn has_rows(db: &mut Transaction<'_>, table: &str) -> Result<bool, postgres::Error> {
    if !exists(db, table)? {
        return Ok(false);
    }
    db.query_one(&format!("SELECT EXISTS (SELECT FROM {table})"), &[])?.try_get(0)
}

/// Who we are, as SQL spells it, for the advice in errors.
struct Role {
    user: String,
    schema: String,
}

impl Role {
    fn of(db: &mut Transaction<'_>) -> Result<Self, postgres::Error> {
        let sql = "SELECT quote_ident(current_user), quote_ident(coalesce(current_schema(), 'public'))";
        let row = db.query_one(sql, &[])?;
        Ok(Self { user: row.try_get(0)?, schema: row.try_get(1)? })
    }

    fn may_create(&self) -> String {
        format!("run there as a superuser: GRANT USAGE, CREATE ON SCHEMA {} TO {};", self.schema, self.user)
    }

    fn may_rename(&self) -> String {
        let Self { user, schema } = self;
        format!(
            "run there as a superuser: ALTER TABLE {schema}.datafilestatus OWNER TO {user}; \
             GRANT USAGE, CREATE ON SCHEMA {schema} TO {user};"
        )
    }
}

fn denied(target: &PostgresTarget, what: &'static str, remedy: String, error: postgres::Error) -> Fault {
    if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        LedgerError::Denied { target: open::describe(target), what, remedy, source: error.into() }.into()
    } else {
        error.into()
    }
}
