//! Connections to PostgreSQL, with libpq's meaning of `sslmode`.
//!
//! [`connect()`] opens one, [`pool()`] keeps several. Neither waits for
//! ever for a server that has stopped to answer, nor reads the environment, `~/.pgpass` or `~/.postgresql`.

mod connect;
mod error;
mod guard;
mod pool;
mod relay;
mod session;
mod target;
pub mod tls;

pub use connect::{connect, connect_with};
pub use error::{PgError, is_connection, is_full, may_pass};
pub use guard::{Interrupt, Patience};
pub use pool::{Manager, Pool, pool};
pub use session::is_pooled;
pub use target::PostgresTarget;
pub use tls::SslMode;
