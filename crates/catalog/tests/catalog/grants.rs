//! A role that may read and nothing else, by `sql/catalogue/grants.sql`.

use std::process::Output;

use dvb_catalog::{CatalogError, Detail};
use dvb_testkit::dataverse::Schema;
use dvb_testkit::postgres::{Database, psql};

use crate::bench::{catalog, filled};
use crate::suite::assert_entries;
use crate::{entries, expected, told};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../sql/catalogue/grants.sql");

const OLD: [&str; 7] =
    ["datafile", "dataset", "datasetlock", "datasetversion", "datatable", "dvobject", "filemetadata"];
const NEW: [&str; 4] = ["alternativepersistentidentifier", "auxiliaryfile", "embargo", "retention"];

fn tables(schema: Schema) -> Vec<&'static str> {
    let newer = if schema == Schema::V6_9 { &NEW[..] } else { &[] };
    let mut tables = [&OLD, newer].concat();
    tables.sort_unstable();
    tables
}

/// A role whose name has to be quoted.
fn fresh_role(database: &Database) -> Database {
    let role = format!("{} Backup's", database.name);
    database.execute(&format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'secret'"));
    database.as_user(&role)
}

fn grant(database: &Database, role: &str) -> Output {
    psql(database).arg("-v").arg(format!("role={role}")).args(["-f", SCRIPT]).output().unwrap()
}

fn must_grant(database: &Database, role: &str) {
    let output = grant(database, role);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What is closed to the role, by reading and by a probe.
fn denied(database: &Database) -> Vec<String> {
    let catalog = catalog(database);
    let errors = [entries(&catalog, Detail::Essential).unwrap_err(), catalog.probe().unwrap_err()];
    let [read, probed] = errors.map(|error| {
        let text = told(&error);
        assert!(!error.is_transient() && text.contains("sql/catalogue/grants.sql"), "{text}");
        let CatalogError::Denied { relations, .. } = error else { panic!("{text}") };
        assert!(text.contains(&relations.join(", ")), "{text}");
        relations
    });
    assert_eq!(read, probed);
    read
}

#[test]
fn the_script_grants_what_is_read_and_nothing_else() {
    for schema in Schema::ALL {
        let (world, database) = filled(schema);
        let role = fresh_role(&database);
        assert_eq!(denied(&role), tables(schema));
        must_grant(&database, &role.user);
        must_grant(&database, &role.user);
        let found = entries(&catalog(&role), Detail::Full).unwrap();
        assert_entries(&found, &expected::entries(&world, Detail::Full));
        let rights = "SELECT table_name || ' ' || privilege_type FROM information_schema.role_table_grants
            WHERE grantee = $1 ORDER BY 1";
        let rights = database.client().query(rights, &[&role.user]).unwrap();
        let rights: Vec<String> = rights.iter().map(|it| it.get(0)).collect();
        assert_eq!(rights, tables(schema).iter().map(|it| format!("{it} SELECT")).collect::<Vec<_>>());
    }
}

#[test]
fn a_table_that_is_closed_is_named() {
    for schema in Schema::ALL {
        let (_, database) = filled(schema);
        let role = fresh_role(&database);
        must_grant(&database, &role.user);
        for table in tables(schema) {
            database.execute(&format!("REVOKE SELECT ON {table} FROM \"{}\"", role.user));
            assert_eq!(denied(&role), [table]);
            database.execute(&format!("GRANT SELECT ON {table} TO \"{}\"", role.user));
        }
    }
}

#[test]
fn a_column_that_is_closed_closes_its_table() {
    let (_, database) = filled(Schema::V6_9);
    let role = fresh_role(&database);
    must_grant(&database, &role.user);
    database.execute(&format!(
        "REVOKE SELECT ON datafile FROM \"{0}\"; GRANT SELECT (id, checksumtype) ON datafile TO \"{0}\"",
        role.user
    ));
    assert_eq!(denied(&role), ["datafile"]);
}

#[test]
fn a_schema_that_is_closed_is_named_and_opened() {
    let (world, database) = filled(Schema::V4_8);
    database.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC");
    let role = fresh_role(&database);
    assert_eq!(denied(&role), ["schema public"]);
    must_grant(&database, &role.user);
    let found = entries(&catalog(&role), Detail::Full).unwrap();
    assert_entries(&found, &expected::entries(&world, Detail::Full));
}

#[test]
fn rows_that_are_closed_are_not_left_out_silently() {
    let (_, database) = filled(Schema::V6_9);
    let role = fresh_role(&database);
    must_grant(&database, &role.user);
    database.execute("ALTER TABLE dvobject ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON dvobject USING (id < 50)");
    let error = entries(&catalog(&role), Detail::Full).unwrap_err();
    assert!(matches!(error, CatalogError::Query { .. }), "{error:?}");
    assert!(told(&error).contains("row-level security"), "{}", told(&error));
}

#[test]
fn the_script_wants_a_role() {
    let (_, database) = filled(Schema::V6_9);
    let output = psql(&database).args(["-f", SCRIPT]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("psql -v role=NAME"), "{output:?}");
    assert!(!grant(&database, "no such role").status.success());
}
