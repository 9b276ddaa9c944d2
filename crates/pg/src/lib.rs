//! Connections to PostgreSQL, with libpq's meaning of `sslmode`.
//!
//! [`connect()`] opens one, [`pool()`] keeps several. Neither reads the environment, `~/.pgpass` or `~/.postgresql`.

mod connect;
mod error;
mod pool;
mod session;
mod target;
pub mod tls;

pub use connect::connect;
pub use error::{PgError, is_connection};
pub use pool::{Manager, Pool, pool};
pub use session::is_pooled;
pub use target::PostgresTarget;
pub use tls::SslMode;
