//! Several connections, opened when they are needed.

use postgres::{Client, NoTls};
use r2d2::ManageConnection;
use r2d2_postgres::PostgresConnectionManager;

use crate::{PgError, PostgresTarget, connect};

/// Connections to one [`PostgresTarget`].
pub type Pool = r2d2::Pool<Manager>;

/// Opens connections for a [`Pool`] by [`connect()`].
#[derive(Debug)]
pub struct Manager {
    target: PostgresTarget,
    driver: PostgresConnectionManager<NoTls>, // tells a live connection from a dead one; opens none
}

/// At most `connections` at a time, at least one. None is opened yet: whoever wants to know why the database is out of reach asks
/// [`connect()`], for a pool only says that it waited.
#[must_use]
pub fn pool(target: &PostgresTarget, connections: u32) -> Pool {
    let driver = PostgresConnectionManager::new(target.config(), NoTls);
    r2d2::Pool::builder()
        .max_size(connections.max(1))
        .min_idle(Some(0))
        .error_handler(Box::new(r2d2::NopErrorHandler)) // `get` returns the last one
        .build_unchecked(Manager { target: target.clone(), driver })
}

impl ManageConnection for Manager {
    type Connection = Client;
    type Error = PgError;

    fn connect(&self) -> Result<Client, PgError> {
        connect(&self.target)
    }

    fn is_valid(&self, client: &mut Client) -> Result<(), PgError> {
        self.driver.is_valid(client).map_err(|it| PgError::statement(&self.target, "answer", it))
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        self.driver.has_broken(client)
    }
}
