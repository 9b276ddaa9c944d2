//! Several connections, opened when they are needed.

use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use r2d2::{ManageConnection, PooledConnection};
use r2d2_postgres::PostgresConnectionManager;

use crate::guard::over;
use crate::{Patience, PgError, PostgresTarget, connect_with};

/// How long it is waited for a connection.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_secs(1);

/// Connections to one [`PostgresTarget`].
pub struct Pool {
    target: PostgresTarget,
    connections: r2d2::Pool<Manager>,
    patience: Patience,
}

impl Pool {
    /// A connection, as soon as one is free.
    ///
    /// # Errors
    /// [`PgError::Unreachable`], where none was available; of why, only what the last attempt said.
    pub fn get(&self) -> Result<PooledConnection<Manager>, PgError> {
        let until = Instant::now() + PATIENCE;
        loop {
            if self.patience.interrupt.is_interrupted() {
                return Err(PgError::unreachable(&self.target, over()));
            }
            match self.connections.get_timeout(TICK) {
                Err(_) if Instant::now() < until => {}
                done => return done.map_err(|it| PgError::unreachable(&self.target, it)),
            }
        }
    }
}

/// Opens connections for a [`Pool`] by [`connect_with()`].
#[derive(Debug)]
pub struct Manager {
    target: PostgresTarget,
    patience: Patience,
    driver: PostgresConnectionManager<NoTls>, // tells a live connection from a dead one; opens none
}

/// At most `connections` at a time, at least one. None is opened yet: whoever wants to know why the database is out of reach asks
/// [`connect_with()`], for a pool only says that it waited.
#[must_use]
pub fn pool(target: &PostgresTarget, connections: u32, patience: &Patience) -> Pool {
    let driver = PostgresConnectionManager::new(target.config(), NoTls);
    let manager = Manager { target: target.clone(), patience: patience.clone(), driver };
    let connections = r2d2::Pool::builder()
        .max_size(connections.max(1))
        .min_idle(Some(0))
        .error_handler(Box::new(r2d2::NopErrorHandler)) // `get` returns the last one
        .build_unchecked(manager);
    Pool { target: target.clone(), connections, patience: patience.clone() }
}

impl ManageConnection for Manager {
    type Connection = Client;
    type Error = PgError;

    fn connect(&self) -> Result<Client, PgError> {
        connect_with(&self.target, &self.patience)
    }

    fn is_valid(&self, client: &mut Client) -> Result<(), PgError> {
        self.driver.is_valid(client).map_err(|it| PgError::statement(&self.target, "answer", it))
    }

    fn has_broken(&self, client: &mut Client) -> bool {
        self.driver.has_broken(client)
    }
}
