//! Getting into the database, or not.

use dvb_catalog::{Catalog, CatalogError, Detail, PostgresCatalog};
use dvb_pg::{PostgresTarget, SslMode};
use dvb_testkit::dataverse::Schema;
use dvb_testkit::postgres::{Database, Server, shared};

use crate::bench::{filled, target};
use crate::suite::assert_entries;
use crate::{entries, expected, told};

fn fail(target: PostgresTarget) -> CatalogError {
    PostgresCatalog::new(target).probe().unwrap_err()
}

#[test]
fn nobody_there_is_a_reason_to_try_later() {
    let database = shared().create_database("reach");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = fail(PostgresTarget { port, ..target(&database) });
    assert!(matches!(error, CatalogError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}/{}", database.name)), "{error}");
}

#[test]
fn a_refused_login_is_told_apart() {
    let database = shared().create_database("reach").as_user("scram");
    let wrong = Database { password: "wrong".into(), ..database.clone() };
    let none = Database { name: "no_such_database".into(), ..database };
    for refused in [wrong, none] {
        let error = fail(target(&refused));
        assert!(matches!(&error, CatalogError::Refused { role, .. } if role == "scram"), "{error:?}");
        assert!(!error.is_transient());
        let text = told(&error);
        assert_eq!(text.matches("refuses role").count(), 1, "said twice: {text}");
    }
}

#[test]
fn tls_is_as_the_mode_demands_it() {
    let (world, database) = filled(Schema::V6_9);
    let database = database.as_user("tls");
    let mode = |ssl_mode, ssl_root_cert| PostgresTarget { ssl_mode, ssl_root_cert, ..target(&database) };
    let refused = fail(mode(SslMode::Disable, None));
    assert!(matches!(refused, CatalogError::Refused { .. }), "{refused:?}");
    for (ssl_mode, ca) in
        [(SslMode::Prefer, None), (SslMode::Require, None), (SslMode::VerifyFull, Some(shared().ca.clone()))]
    {
        let catalog = PostgresCatalog::new(mode(ssl_mode, ca));
        let found = entries(&catalog, Detail::Full).unwrap();
        assert_entries(&found, &expected::entries(&world, Detail::Full));
    }
    let other = Server::start();
    for error in [fail(mode(SslMode::VerifyFull, Some(other.ca.clone()))), fail(mode(SslMode::VerifyCa, None))] {
        assert!(matches!(error, CatalogError::Tls { .. }) && !error.is_transient(), "{error:?}");
    }
}

#[test]
fn it_is_described_without_its_password() {
    let database = shared().create_database("reach");
    let catalog = PostgresCatalog::new(PostgresTarget { password: Some("hidden".into()), ..target(&database) });
    assert_eq!(catalog.describe(), format!("127.0.0.1:{}/{}", database.port, database.name));
    assert!(!format!("{catalog:?}").contains("hidden"));
}
